//! Settings of `standalone` beside those of the gateway: the keys of the original's `broker.conf` and `standalone.conf` (broker
//! 10.2), and pulsegate's own. A key of this name here comes before one of the same name in [`super::keys::KEYS`].

use crate::config::keys::{Key, Kind, Type};

const fn key(
    name: &'static str,
    takes: Type,
    default: &'static str,
    unit: &'static str,
    help: &'static str,
) -> Key {
    Key { name, kind: Kind::Honoured(takes), default, unit, help }
}

const fn idle(name: &'static str, default: &'static str, help: &'static str) -> Key {
    Key { name, kind: Kind::NoEffect, default, unit: "", help }
}

const fn refused(name: &'static str, harmless: &'static [&'static str], help: &'static str) -> Key {
    Key { name, kind: Kind::Refused { harmless }, default: "", unit: "", help }
}

const FLAG: Type = Type::Flag;
const TEXT: Type = Type::Text;
const COUNT: Type = Type::Number { min: 0, max: i32::MAX as i64 };
const ANY: Type = Type::Number { min: i32::MIN as i64, max: i32::MAX as i64 };
const SOME: Type = Type::Number { min: 1, max: i32::MAX as i64 };
const OFF: &[&str] = &["false"];
const EMBEDDED: &str = "the broker is in this process";
const JAVA: &str = "a Java class cannot be loaded";
const LOCAL: &str = "there is one broker on one machine";

/// What begins like this belongs to parts of the original that do not exist here: accepted without effect.
pub const IDLE_PREFIXES: &[&str] = &[
    "bookie",
    "bookkeeper",
    "dbStorage_",
    "zookeeper",
    "zooKeeper",
    "metadataStore",
    "configurationMetadataStore",
    "configurationStore",
    "journal",
    "loadBalancer",
    "loadManager",
    "managedLedger",
    "offload",
    "functions",
    "replication",
    "replicator",
    "transaction",
    "brokerClient",
    "compact",
    "topicCompaction",
    "ledgerStorage",
    "numIO",
    "num",
    "gc",
    "nettyMax",
    "s3Managed",
    "gcsManaged",
    "fileSystem",
    "resourceUsage",
    "defaultNamespaceBundle",
    "supportedNamespaceBundle",
];

/// All settings of the embedded broker.
pub const BROKER_KEYS: &[Key] = &[
    // ---- Listeners
    key("brokerServicePort", Type::Port, "6650", "", "port of the binary protocol; 0 takes a free one"),
    key("bindAddress", TEXT, "127.0.0.1", "", "address or host name to listen on; 0.0.0.0: all"),
    key(
        "advertisedAddress",
        TEXT,
        "",
        "",
        "host that look-ups name; empty: the address that the client dialled",
    ),
    refused(
        "brokerServicePortTls",
        &[],
        "TLS is not available in this version; put a TLS terminator in front",
    ),
    refused("advertisedListeners", &[], "one address is advertised: set advertisedAddress"),
    refused("bindAddresses", &[], "one address is listened on: set bindAddress"),
    refused("haProxyProtocolEnabled", OFF, "the PROXY protocol is not available in this version"),
    key("brokerMaxConnections", COUNT, "0", "", "native connections of the process; 0: any number"),
    key("brokerMaxConnectionsPerIp", COUNT, "0", "", "native connections from one address; 0: any number"),
    key(
        "keepAliveIntervalSeconds",
        SOME,
        "30",
        "s",
        "PING to native clients; who is silent for a whole further one is closed",
    ),
    idle("brokerServiceUrl", "", EMBEDDED),
    idle("serviceUrl", "", EMBEDDED),
    // ---- Data
    key("dataDir", TEXT, "pulsegate-data", "", "folder of all data"),
    key(
        "stores",
        Type::Number { min: 0, max: 64 },
        "0",
        "",
        "logs of a new data folder, each with a journal; 0: by the number of cores",
    ),
    key(
        "journalSyncData",
        FLAG,
        "true",
        "",
        "confirm what the device has; false: what the kernel has, lost with the machine",
    ),
    key("allowVolatileDataDir", FLAG, "false", "", "take a data folder in memory (tmpfs)"),
    key(
        "onFatalDiskError",
        Type::Choice(&["exit", "failStore"]),
        "exit",
        "",
        "when a journal cannot be written: end the process with code 4, or go on without that store",
    ),
    key(
        "scrubIntervalDays",
        COUNT,
        "7",
        "d",
        "all that is stored is read through this often, to find rot; 0: never",
    ),
    key(
        "stock",
        FLAG,
        "false",
        "",
        "the original's own defaults instead of ours where they differ: see --show-deviations",
    ),
    key(
        "memoryLimitMB",
        COUNT,
        "0",
        "MiB",
        "bytes of entries held for native producers, all cores; 0: 256 MiB",
    ),
    idle(
        "autoSkipNonRecoverableData",
        "false",
        "an entry that cannot be read stops its subscription, and is logged",
    ),
    // ---- Cluster
    key("superUserRoles", TEXT, "", "", "administrators of the first tenants"),
    idle("systemTopicEnabled", "true", "policies are in the meta store, not in topics"),
    idle("topicLevelPoliciesEnabled", "true", "topics have policies of their own, always"),
    // ---- Topics
    key("allowAutoTopicCreation", FLAG, "true", "", "topics are made when they are first used"),
    key(
        "allowAutoTopicCreationType",
        Type::Choice(&["non-partitioned", "partitioned"]),
        "non-partitioned",
        "",
        "as what they are made",
    ),
    key("defaultNumPartitions", SOME, "1", "", "partitions of topics made that way"),
    key(
        "allowAutoSubscriptionCreation",
        FLAG,
        "true",
        "",
        "durable subscriptions are made when they are first used",
    ),
    key(
        "maxMessageSize",
        Type::Number { min: 1024, max: 128 << 20 },
        "5242880",
        "bytes",
        "largest message, metadata included",
    ),
    key("maxTopicsPerNamespace", COUNT, "0", "", "0: any number"),
    key("maxProducersPerTopic", COUNT, "0", "", "0: any number"),
    key("maxConsumersPerTopic", COUNT, "0", "", "0: any number"),
    key("maxSubscriptionsPerTopic", COUNT, "0", "", "0: any number"),
    key("maxConsumersPerSubscription", COUNT, "0", "", "0: any number"),
    key("encryptionRequireOnProducer", FLAG, "false", "", "producers must encrypt"),
    key(
        "brokerDeduplicationEnabled",
        FLAG,
        "false",
        "",
        "a sequence id that a producer name used is not stored again",
    ),
    key("brokerDeleteInactiveTopicsEnabled", FLAG, "false", "", "topics that nobody uses are deleted"),
    key(
        "brokerDeleteInactiveTopicsFrequencySeconds",
        SOME,
        "60",
        "s",
        "after this long, if no longer time is set",
    ),
    key(
        "brokerDeleteInactiveTopicsMaxInactiveDurationSeconds",
        TEXT,
        "",
        "s",
        "after this long; empty: the frequency",
    ),
    key(
        "brokerDeleteInactiveTopicsMode",
        Type::Choice(&["delete_when_no_subscriptions", "delete_when_subscriptions_caught_up"]),
        "delete_when_no_subscriptions",
        "",
        "which topics count as unused",
    ),
    // ---- Subscriptions
    key(
        "acknowledgmentAtBatchIndexLevelEnabled",
        FLAG,
        "true",
        "",
        "single messages of a batch can be acknowledged",
    ),
    key("maxUnackedMessagesPerConsumer", COUNT, "50000", "", "0: any number"),
    key("maxUnackedMessagesPerSubscription", COUNT, "200000", "", "0: any number"),
    key(
        "activeConsumerFailoverDelayTimeMillis",
        COUNT,
        "1000",
        "ms",
        "wait before a new active consumer begins",
    ),
    key(
        "subscriptionKeySharedUseConsistentHashing",
        FLAG,
        "true",
        "",
        "Key_Shared splits by a hash ring; false: by halving ranges",
    ),
    key(
        "subscriptionTypesEnabled",
        TEXT,
        "Exclusive,Shared,Failover,Key_Shared",
        "",
        "subscription types that may be used",
    ),
    key(
        "subscriptionExpirationTimeMinutes",
        COUNT,
        "0",
        "min",
        "subscriptions that nobody uses are deleted; 0: never",
    ),
    key("delayedDeliveryEnabled", FLAG, "true", "", "Shared and Key_Shared honour a message's delivery time"),
    key("delayedDeliveryTickTimeMillis", SOME, "1000", "ms", "delayed messages may come this much early"),
    key("isDelayedDeliveryDeliverAtTimeStrict", FLAG, "false", "", "they may not"),
    key("delayedDeliveryMaxDelayInMillis", COUNT, "0", "ms", "longest delay; 0: any"),
    // ---- Keeping
    key("defaultRetentionTimeInMinutes", ANY, "0", "min", "consumed messages are kept; -1: for ever"),
    key("defaultRetentionSizeInMB", ANY, "0", "MiB", "consumed messages are kept; -1: any amount"),
    key("ttlDurationDefaultInSeconds", COUNT, "0", "s", "older messages count as consumed; 0: never"),
    key(
        "backlogQuotaDefaultLimitBytes",
        Type::Number { min: -1, max: i64::MAX },
        "-1",
        "bytes",
        "largest backlog; -1: any",
    ),
    key("backlogQuotaDefaultLimitSecond", ANY, "-1", "s", "oldest backlog; -1: any"),
    key(
        "backlogQuotaDefaultRetentionPolicy",
        Type::Choice(&["producer_request_hold", "producer_exception", "consumer_backlog_eviction"]),
        "producer_request_hold",
        "",
        "what is done about a backlog that is larger",
    ),
    // ---- Rates
    key("maxPublishRatePerTopicInMessages", COUNT, "0", "1/s", "0: any"),
    key("maxPublishRatePerTopicInBytes", COUNT, "0", "bytes/s", "0: any"),
    key("dispatchThrottlingRatePerTopicInMsg", COUNT, "0", "1/s", "0: any"),
    key("dispatchThrottlingRatePerTopicInByte", COUNT, "0", "bytes/s", "0: any"),
    key("dispatchThrottlingRatePerSubscriptionInMsg", COUNT, "0", "1/s", "0: any"),
    key("dispatchThrottlingRatePerSubscriptionInByte", COUNT, "0", "bytes/s", "0: any"),
    key(
        "subscribeThrottlingRatePerConsumer",
        COUNT,
        "0",
        "",
        "SUBSCRIBEs of one consumer per period; 0: any number",
    ),
    key("subscribeRatePeriodPerConsumerInSecond", SOME, "30", "s", "the period"),
    // ---- Schemas
    key(
        "schemaCompatibilityStrategy",
        Type::Choice(&[
            "FULL",
            "ALWAYS_COMPATIBLE",
            "ALWAYS_INCOMPATIBLE",
            "BACKWARD",
            "FORWARD",
            "BACKWARD_TRANSITIVE",
            "FORWARD_TRANSITIVE",
            "FULL_TRANSITIVE",
        ]),
        "FULL",
        "",
        "what a new version of a schema must be",
    ),
    key(
        "isSchemaValidationEnforced",
        FLAG,
        "false",
        "",
        "producers must have a schema where the topic has one",
    ),
    key("isAllowAutoUpdateSchemaEnabled", FLAG, "true", "", "producers may bring new versions of a schema"),
    // ---- Administration
    key("forceDeleteTenantAllowed", FLAG, "false", "", "a tenant may be deleted with all that is in it"),
    key(
        "forceDeleteNamespaceAllowed",
        FLAG,
        "false",
        "",
        "a namespace may be deleted with all that is in it",
    ),
    key("maxTenants", COUNT, "0", "", "0: any number"),
    key("maxNumPartitionsPerPartitionedTopic", COUNT, "0", "", "0: any number"),
    // ---- What would change the meaning of the data if it were ignored
    refused("messagingProtocols", &[], JAVA),
    refused("brokerInterceptors", &[], JAVA),
    refused("entryFilterNames", &[], JAVA),
    refused(
        "brokerEntryMetadataInterceptors",
        &[],
        "brokers' own metadata of entries is not available in this version",
    ),
    refused(
        "managedLedgerStorageClassName",
        &["org.apache.bookkeeper.mledger.impl.ManagedLedgerFactoryImpl"],
        JAVA,
    ),
    refused("transactionCoordinatorEnabled", OFF, "transactions are not available"),
    refused("webSocketServiceEnabled", &["true"], "the WebSocket service is what pulsegate is for"),
    idle("enablePersistentTopics", "true", "both kinds of topics are always there"),
    idle("enableNonPersistentTopics", "true", "both kinds of topics are always there"),
    idle("clusterReplicators", "", LOCAL),
    idle("defaultNumberOfNamespaceBundles", "4", "bundles are listed, and mean nothing on one broker"),
    idle("exposeTopicLevelMetricsInPrometheus", "true", "topics are always in the metrics"),
    // ---- How often is looked after things
    key("statsUpdateFrequencyInSecs", SOME, "60", "s", "rates are made this often"),
    key("cursorFlushIntervalMs", SOME, "20", "ms", "acknowledgements are saved after this"),
    key("messageExpiryCheckIntervalInMinutes", SOME, "5", "min", "old messages are looked for this often"),
    key("backlogQuotaCheckIntervalInSeconds", SOME, "60", "s", "backlogs are measured this often"),
    key(
        "subscriptionExpiryCheckIntervalInMinutes",
        SOME,
        "5",
        "min",
        "unused subscriptions are looked for this often",
    ),
    key("brokerDeduplicationSnapshotIntervalSeconds", SOME, "120", "s", "sequence ids are saved this often"),
    // ---- Ledgers
    key("managedLedgerMaxEntriesPerLedger", SOME, "50000", "", "a ledger is closed at so many entries"),
    key("managedLedgerMaxSizePerLedgerMbytes", SOME, "256", "MiB", "a ledger is closed at this size"),
    key("managedLedgerMinLedgerRolloverTimeMinutes", COUNT, "0", "min", "but not sooner than this"),
    key("managedLedgerMaxLedgerRolloverTimeMinutes", SOME, "240", "min", "and after this in any case"),
    idle("brokerShutdownTimeoutMs", "60000", "shutdownTimeoutMillis says how long a stop may take"),
];
