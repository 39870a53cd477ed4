//! From settings to what the embedded broker goes by.

use super::Failure;
use crate::broker::catalogue::{
    AutoCreation, BacklogPolicy, BacklogQuota, DispatchRate, Effective, InactiveTopics, PublishRate,
    Retention, SubscribeRate,
};
use crate::broker::host::{Rolling, Upkeep};
use crate::broker::settings::Settings as TopicSettings;
use crate::config::{ConfigError, Fault, Settings};
use std::time::Duration;

/// Where ours differ from the original's own (broker 10.3): key, original's, ours, why.
pub(super) const DEVIATIONS: &[(&str, &str, &str, &str)] = &[
    ("journalSyncData", "false", "true", "a confirmation means that the message survives a loss of power"),
    (
        "brokerDeleteInactiveTopicsEnabled",
        "true",
        "false",
        "what is published before anybody subscribes must not vanish",
    ),
    ("acknowledgmentAtBatchIndexLevelEnabled", "false", "true", "fewer duplicates"),
    ("managedLedgerMaxSizePerLedgerMbytes", "2048", "256", "a ledger is the unit of retention"),
    ("managedLedgerMinLedgerRolloverTimeMinutes", "10", "0", "a ledger is the unit of retention"),
];

/// Two more that are no settings of their own.
pub(super) const OTHER_DEVIATIONS: &[(&str, &str, &str, &str)] = &[
    ("retention of public/default", "none", "24 h, 1 GiB", "a newcomer's first messages must not vanish"),
    (
        "advertised address",
        "host name",
        "the address dialled",
        "works from any network the client comes from",
    ),
];

/// The text of a key, with the original's default where `stock` is set and nobody said otherwise.
struct Rules<'a>(&'a Settings);

impl Rules<'_> {
    fn stock(&self, key: &str) -> Option<&'static str> {
        let wanted = self.0.flag("stock") && self.0.is_default(key);
        DEVIATIONS.iter().find(|row| wanted && row.0 == key).map(|row| row.1)
    }

    fn flag(&self, key: &str) -> bool {
        self.stock(key).map_or_else(|| self.0.flag(key), |text| text == "true")
    }

    fn count(&self, key: &str) -> u64 {
        self.stock(key).and_then(|text| text.parse().ok()).unwrap_or_else(|| self.0.count(key))
    }

    fn size(&self, key: &str) -> usize {
        usize::try_from(self.count(key)).unwrap_or(usize::MAX)
    }

    fn signed(&self, key: &str) -> i64 {
        self.0.number(key).unwrap_or(-1)
    }

    fn small(&self, key: &str) -> u32 {
        u32::try_from(self.count(key)).unwrap_or(u32::MAX)
    }

    fn millis(&self, key: &str) -> Duration {
        Duration::from_millis(self.count(key))
    }

    fn seconds(&self, key: &str) -> Duration {
        Duration::from_secs(self.count(key))
    }

    fn minutes(&self, key: &str) -> Duration {
        Duration::from_secs(60 * self.count(key))
    }

    fn dispatch(&self, scope: &str) -> DispatchRate {
        DispatchRate {
            messages: self.count(&format!("dispatchThrottlingRatePer{scope}InMsg")),
            bytes: self.count(&format!("dispatchThrottlingRatePer{scope}InByte")),
            relative: false,
            period: Duration::from_secs(1),
        }
    }
}

/// Confirm only what the device has.
pub(super) fn sync_journal(settings: &Settings) -> bool {
    Rules(settings).flag("journalSyncData")
}

/// What policies are laid over.
pub(super) fn effective(settings: &Settings) -> Result<Effective, Failure> {
    let rules = Rules(settings);
    let policy = match settings.text("backlogQuotaDefaultRetentionPolicy") {
        "producer_exception" => BacklogPolicy::Refuse,
        "consumer_backlog_eviction" => BacklogPolicy::Evict,
        _ => BacklogPolicy::Hold,
    };
    let retention = Retention {
        minutes: rules.signed("defaultRetentionTimeInMinutes"),
        mebibytes: rules.signed("defaultRetentionSizeInMB"),
    };
    let backlog = rules.signed("backlogQuotaDefaultLimitBytes");
    // The original's check at its start: what is to be kept must not be refused before (broker 1, row 2).
    if backlog > 0 && retention.mebibytes > 0 && backlog >= retention.mebibytes << 20 {
        let reason = "is not less than defaultRetentionSizeInMB: producers would be refused while messages are to be kept";
        return Err(blame(settings, "backlogQuotaDefaultLimitBytes", reason.to_owned()));
    }
    Ok(Effective {
        settings: topic(settings, &rules)?,
        consumers_per_topic_max: rules.size("maxConsumersPerTopic"),
        retention,
        ttl_seconds: rules.count("ttlDurationDefaultInSeconds"),
        subscription_expiration_minutes: rules.count("subscriptionExpirationTimeMinutes"),
        backlog_size: BacklogQuota { limit: backlog, policy },
        backlog_age: BacklogQuota { limit: rules.signed("backlogQuotaDefaultLimitSecond"), policy },
        publish_rate: PublishRate {
            messages: rules.count("maxPublishRatePerTopicInMessages"),
            bytes: rules.count("maxPublishRatePerTopicInBytes"),
        },
        dispatch_rate: rules.dispatch("Topic"),
        subscription_dispatch_rate: rules.dispatch("Subscription"),
        subscribe_rate: SubscribeRate {
            subscribes: rules.count("subscribeThrottlingRatePerConsumer"),
            period: rules.seconds("subscribeRatePeriodPerConsumerInSecond"),
        },
        inactive: inactive(settings, &rules)?,
        dedup_snapshot_seconds: rules.count("brokerDeduplicationSnapshotIntervalSeconds"),
        subscription_types: types(settings)?,
        delay_max: rules.millis("delayedDeliveryMaxDelayInMillis"),
        schema_compatibility: settings.text("schemaCompatibilityStrategy").to_owned(),
        schema_validation_enforced: rules.flag("isSchemaValidationEnforced"),
        schema_auto_update: rules.flag("isAllowAutoUpdateSchemaEnabled"),
        auto_creation: AutoCreation {
            allowed: rules.flag("allowAutoTopicCreation"),
            partitions: (settings.text("allowAutoTopicCreationType") == "partitioned")
                .then(|| rules.small("defaultNumPartitions")),
        },
        topics_per_namespace_max: rules.size("maxTopicsPerNamespace"),
    })
}

fn topic(settings: &Settings, rules: &Rules<'_>) -> Result<TopicSettings, Failure> {
    Ok(TopicSettings {
        partition: -1,
        deduplication: rules.flag("brokerDeduplicationEnabled"),
        producers_max: rules.size("maxProducersPerTopic"),
        encryption_required: rules.flag("encryptionRequireOnProducer"),
        message_size_max: rules.size("maxMessageSize"),
        subscriptions_max: rules.size("maxSubscriptionsPerTopic"),
        consumers_max: rules.size("maxConsumersPerSubscription"),
        topic_consumers_max: rules.size("maxConsumersPerTopic"),
        subscription_types: types(settings)?,
        auto_subscription: rules.flag("allowAutoSubscriptionCreation"),
        batch_index_acks: rules.flag("acknowledgmentAtBatchIndexLevelEnabled"),
        consumer_unacked_max: rules.small("maxUnackedMessagesPerConsumer"),
        subscription_unacked_max: rules.small("maxUnackedMessagesPerSubscription"),
        failover_delay: rules.millis("activeConsumerFailoverDelayTimeMillis"),
        delay_max: rules.millis("delayedDeliveryMaxDelayInMillis"),
        delayed_delivery: rules.flag("delayedDeliveryEnabled"),
        delayed_tick: rules.millis("delayedDeliveryTickTimeMillis"),
        delayed_strict: rules.flag("isDelayedDeliveryDeliverAtTimeStrict"),
        consistent_hashing: rules.flag("subscriptionKeySharedUseConsistentHashing"),
    })
}

fn inactive(settings: &Settings, rules: &Rules<'_>) -> Result<InactiveTopics, Failure> {
    const KEY: &str = "brokerDeleteInactiveTopicsMaxInactiveDurationSeconds";
    let after = match settings.text(KEY) {
        "" => rules.seconds("brokerDeleteInactiveTopicsFrequencySeconds"),
        text => {
            let seconds = text.parse().map_err(|_| blame(settings, KEY, format!("{text:?} is no number")))?;
            Duration::from_secs(seconds)
        }
    };
    Ok(InactiveTopics {
        delete: rules.flag("brokerDeleteInactiveTopicsEnabled"),
        caught_up: settings.text("brokerDeleteInactiveTopicsMode") == "delete_when_subscriptions_caught_up",
        after,
    })
}

/// In the order in which topics keep them.
fn types(settings: &Settings) -> Result<[bool; 4], Failure> {
    const KEY: &str = "subscriptionTypesEnabled";
    const NAMES: [&str; 4] = ["Exclusive", "Shared", "Failover", "Key_Shared"];
    let listed: Vec<&str> =
        settings.text(KEY).split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if let Some(wrong) = listed.iter().find(|name| !NAMES.contains(name)) {
        return Err(blame(settings, KEY, format!("{wrong:?} is none of {}", NAMES.join(", "))));
    }
    Ok(NAMES.map(|name| listed.contains(&name)))
}

/// When ledgers roll.
pub(super) fn rolling(settings: &Settings) -> Rolling {
    let rules = Rules(settings);
    Rolling {
        entries_max: rules.count("managedLedgerMaxEntriesPerLedger"),
        bytes_max: rules.count("managedLedgerMaxSizePerLedgerMbytes") << 20,
        age_min: rules.minutes("managedLedgerMinLedgerRolloverTimeMinutes"),
        age_max: rules.minutes("managedLedgerMaxLedgerRolloverTimeMinutes"),
    }
}

/// How often is looked after topics.
pub(super) fn upkeep(settings: &Settings) -> Upkeep {
    let rules = Rules(settings);
    Upkeep {
        cursor_flush: rules.millis("cursorFlushIntervalMs"),
        expiry: rules.minutes("messageExpiryCheckIntervalInMinutes"),
        quota: rules.seconds("backlogQuotaCheckIntervalInSeconds"),
        inactive: rules.seconds("brokerDeleteInactiveTopicsFrequencySeconds"),
        subscriptions: rules.minutes("subscriptionExpiryCheckIntervalInMinutes"),
        sequences: rules.seconds("brokerDeduplicationSnapshotIntervalSeconds"),
        rates: rules.seconds("statsUpdateFrequencyInSecs"),
        scrub: Duration::from_secs(24 * 3600).saturating_mul(rules.small("scrubIntervalDays")),
        ..Upkeep::default()
    }
}

/// What is wrong with one setting.
pub(super) fn blame(settings: &Settings, key: &'static str, reason: String) -> Failure {
    ConfigError(vec![Fault::Invalid { origin: settings.of(key).1.clone(), key, reason }]).into()
}

/// `--show-deviations`: what differs from the original's defaults, and why.
pub(super) fn deviations() -> String {
    let mut out = String::from("setting | original | pulsegate | why\n");
    for (key, original, ours, why) in DEVIATIONS.iter().chain(OTHER_DEVIATIONS) {
        out.push_str(&format!("{key} | {original} | {ours} | {why}\n"));
    }
    out.push_str("stock=true restores the original's, for all that nobody set\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Program, Sources, load};

    fn settings(file: &str) -> Settings {
        let sources = Sources {
            program: Program::Standalone,
            file: Some(("b.conf", file.as_bytes())),
            ..Sources::default()
        };
        load(&sources).unwrap_or_else(|error| panic!("{file}: {error}")).1
    }

    #[test]
    fn defaults_are_the_brokers_and_stock_restores_the_originals() {
        let ours = effective(&settings("")).unwrap();
        assert_eq!(ours, Effective { dedup_snapshot_seconds: 120, ..Effective::default() });
        assert_eq!(rolling(&settings("")), Rolling::default());
        assert_eq!(upkeep(&settings("")), Upkeep::default());
        assert!(sync_journal(&settings("")) && !sync_journal(&settings("stock=true")));
        let stock = effective(&settings("stock=true")).unwrap();
        assert!(stock.inactive.delete && !stock.settings.batch_index_acks);
        assert!(sync_journal(&settings("stock=true\njournalSyncData=true")), "what somebody set counts");
        for (key, original, ..) in DEVIATIONS {
            assert!(effective(&settings(&format!("{key}={original}"))).is_ok(), "{key} takes {original}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused_by_name() {
        for (file, key) in [
            (
                "defaultRetentionSizeInMB=1\nbacklogQuotaDefaultLimitBytes=1048576",
                "backlogQuotaDefaultLimitBytes",
            ),
            ("subscriptionTypesEnabled=Shared,Split", "subscriptionTypesEnabled"),
            (
                "brokerDeleteInactiveTopicsMaxInactiveDurationSeconds=soon",
                "brokerDeleteInactiveTopicsMaxInactiveDurationSeconds",
            ),
        ] {
            let error = effective(&settings(file)).unwrap_err();
            assert!(error.to_string().contains(key) && error.exit_code() == 2, "{error}");
        }
    }
}
