//! What holds for one topic: its own policy, else its namespace's, else the broker's (broker 6.4, 9.1-9.4).

use std::time::Duration;

use serde_json::{Map, Value};

use crate::broker::catalogue::shape::SUBSCRIPTION_TYPES;
use crate::broker::catalogue::{Catalogue, Policies, TopicPolicies, names};
use crate::broker::settings::Settings;
use crate::wire::route::TopicName;

/// How long consumed messages stay. Negative: for ever, or any amount. Both 0: not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Minutes since a ledger was closed.
    pub minutes: i64,
    /// Mebibytes of a topic.
    pub mebibytes: i64,
}

/// What is done about a backlog over its quota (broker 4.14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BacklogPolicy {
    /// New producers are refused with code 7.
    #[default]
    Hold,
    /// New producers are refused with code 8.
    Refuse,
    /// The oldest messages are skipped.
    Evict,
}

/// A quota of the backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BacklogQuota {
    /// Bytes, or seconds; negative or 0: none.
    pub limit: i64,
    /// What is done above.
    pub policy: BacklogPolicy,
}

/// Publishes per second (broker 9.1). 0: no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishRate {
    /// Messages.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Deliveries per period (broker 9.3). 0: no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DispatchRate {
    /// Messages.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
    /// The bound is on top of the current publish rate.
    pub relative: bool,
    /// The period.
    pub period: Duration,
}

/// SUBSCRIBEs of one consumer per period (broker 9.4). 0: no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeRate {
    /// How many.
    pub subscribes: u64,
    /// The period.
    pub period: Duration,
}

/// When a topic that nobody uses is deleted (broker 2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InactiveTopics {
    /// It is, at all.
    pub delete: bool,
    /// Also with subscriptions, when they are caught up.
    pub caught_up: bool,
    /// After this long.
    pub after: Duration,
}

/// Whether and how a missing topic is made when it is used (broker 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoCreation {
    /// It is made.
    pub allowed: bool,
    /// As a partitioned topic with this many partitions; `None`: a plain one.
    pub partitions: Option<u32>,
}

/// All that policies say about a topic. A value of the broker's own settings is what policies are laid over.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// What the topic itself goes by.
    pub settings: Settings,
    /// Consumers of a topic; 0: any number (`maxConsumersPerTopic`).
    pub consumers_per_topic_max: usize,
    /// Retention.
    pub retention: Retention,
    /// Messages older than this are skipped, seconds; 0: none are.
    pub ttl_seconds: u64,
    /// Unused subscriptions are deleted after so many minutes; 0: never.
    pub subscription_expiration_minutes: u64,
    /// Quota in bytes.
    pub backlog_size: BacklogQuota,
    /// Quota in seconds of age.
    pub backlog_age: BacklogQuota,
    /// Publish rate.
    pub publish_rate: PublishRate,
    /// Dispatch rate of the topic.
    pub dispatch_rate: DispatchRate,
    /// Dispatch rate of each subscription.
    pub subscription_dispatch_rate: DispatchRate,
    /// Subscribe rate of each consumer.
    pub subscribe_rate: SubscribeRate,
    /// Deletion of unused topics.
    pub inactive: InactiveTopics,
    /// Entries between two snapshots of deduplication are at most this many seconds apart; 0: the broker's.
    pub dedup_snapshot_seconds: u64,
    /// Subscription types that may be used, in the order of [`SUBSCRIPTION_TYPES`].
    pub subscription_types: [bool; 4],
    /// Longest delay of a delayed message; zero: any.
    pub delay_max: Duration,
    /// Name of the schema compatibility strategy.
    pub schema_compatibility: String,
    /// Producers must have a schema where the topic has one.
    pub schema_validation_enforced: bool,
    /// Producers may bring new versions of a schema.
    pub schema_auto_update: bool,
    /// Creation of missing topics. A namespace's matter; a topic cannot say otherwise.
    pub auto_creation: AutoCreation,
    /// Topics of a namespace; 0: any number.
    pub topics_per_namespace_max: usize,
}

impl Default for Effective {
    fn default() -> Self {
        let rate = DispatchRate { messages: 0, bytes: 0, relative: false, period: Duration::from_secs(1) };
        let quota = BacklogQuota { limit: -1, policy: BacklogPolicy::Hold };
        Effective {
            settings: Settings::default(),
            consumers_per_topic_max: 0,
            retention: Retention::default(),
            ttl_seconds: 0,
            subscription_expiration_minutes: 0,
            backlog_size: quota,
            backlog_age: quota,
            publish_rate: PublishRate::default(),
            dispatch_rate: rate,
            subscription_dispatch_rate: rate,
            subscribe_rate: SubscribeRate { subscribes: 0, period: Duration::from_secs(30) },
            inactive: InactiveTopics { delete: false, caught_up: false, after: Duration::from_secs(60) },
            dedup_snapshot_seconds: 0,
            subscription_types: [true; 4],
            delay_max: Duration::ZERO,
            schema_compatibility: "FULL".to_owned(),
            schema_validation_enforced: false,
            schema_auto_update: true,
            auto_creation: AutoCreation { allowed: true, partitions: None },
            topics_per_namespace_max: 0,
        }
    }
}

impl Catalogue {
    /// What holds for a topic, over the broker's own settings. Also for a topic that is not there, and a namespace that is not.
    pub fn effective(&self, topic: &TopicName, broker: &Effective) -> Effective {
        let mut rules = broker.clone();
        let namespace = self.namespace(topic.namespace());
        if let Some(policies) = namespace {
            rules.lay_namespace(policies);
        }
        if let Some(policies) = self.topic_policies(topic) {
            rules.lay_topic(policies);
        }
        rules.settings.partition = topic.partition();
        if !topic.is_persistent() || names::is_system(topic) {
            rules.settings.deduplication = false;
        }
        rules
    }

    /// As [`Catalogue::effective`]: what a topic goes by.
    pub fn settings(&self, topic: &TopicName, broker: &Effective) -> Settings {
        self.effective(topic, broker).settings
    }

    /// Whether topics of a namespace are made when they are first used. None are where there is no namespace.
    pub fn auto_creation(&self, namespace: &str, broker: &Effective) -> AutoCreation {
        let Some(policies) = self.namespace(namespace) else {
            return match names::is_implied(namespace) {
                true => broker.auto_creation,
                false => AutoCreation { allowed: false, partitions: None },
            };
        };
        match policies.get("autoTopicCreationOverride").and_then(Value::as_object) {
            Some(given) => {
                let partitioned = given.get("topicType").and_then(Value::as_str) == Some("partitioned");
                let count = given.get("defaultNumPartitions").and_then(Value::as_u64);
                let count = count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1);
                AutoCreation {
                    allowed: given.get("allowAutoTopicCreation").and_then(Value::as_bool).unwrap_or(false),
                    partitions: partitioned.then_some(count.max(1)),
                }
            }
            None => broker.auto_creation,
        }
    }

    /// As [`Catalogue::auto_creation`].
    pub fn allows_auto_creation(&self, namespace: &str, broker: &Effective) -> bool {
        self.auto_creation(namespace, broker).allowed
    }
}

impl Effective {
    fn lay_namespace(&mut self, policies: &Policies) {
        let by_cluster = |name: &str| {
            // One cluster is all there is: any entry is meant for it.
            policies.get(name).and_then(Value::as_object).and_then(|map| map.values().next())
        };
        self.lay(&|name| match name {
            "topicDispatchRate" => by_cluster(name).or_else(|| by_cluster("clusterDispatchRate")),
            "subscriptionDispatchRate" | "clusterSubscribeRate" | "publishMaxMessageRate" => by_cluster(name),
            _ => policies.get(name),
        });
        let flag = |name| policies.get(name).and_then(Value::as_bool);
        // A namespace that says no to these three says nothing: the broker's word counts.
        self.settings.encryption_required |= flag("encryption_required").unwrap_or(false);
        self.schema_validation_enforced |= flag("schema_validation_enforced").unwrap_or(false);
        self.schema_auto_update &= flag("is_allow_auto_update_schema").unwrap_or(true);
        let number = |name: &str| policies.get(name).and_then(Value::as_u64);
        if let Some(minutes) = number("subscription_expiration_time_minutes") {
            self.subscription_expiration_minutes = minutes;
        }
        if let Some(max) = number("max_topics_per_namespace") {
            self.topics_per_namespace_max = usize::try_from(max).unwrap_or(usize::MAX);
        }
    }

    fn lay_topic(&mut self, policies: &TopicPolicies) {
        self.lay(&|name| policies.get(name));
        if let Some(enforced) = policies.get("schema_validation_enforced").and_then(Value::as_bool) {
            self.schema_validation_enforced = enforced;
        }
        let size = policies.get("max_message_size").and_then(Value::as_u64);
        if let Some(size) = size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0) {
            self.settings.message_size_max = self.settings.message_size_max.min(size);
        }
    }

    /// Members that namespaces and topics have in common.
    fn lay<'a>(&mut self, get: &dyn Fn(&str) -> Option<&'a Value>) {
        self.lay_counts(get);
        self.lay_rates(get);
        let record = |name: &str| get(name).and_then(Value::as_object);
        if let Some(on) = get("deduplicationEnabled").and_then(Value::as_bool) {
            self.settings.deduplication = on;
        }
        if let Some(given) = record("autoSubscriptionCreationOverride") {
            self.settings.auto_subscription = flag(given, "allowAutoSubscriptionCreation");
        }
        if let Some(given) = record("retention_policies") {
            let number = |name| given.get(name).and_then(Value::as_i64).unwrap_or(0);
            self.retention = Retention {
                minutes: number("retentionTimeInMinutes"),
                mebibytes: number("retentionSizeInMB"),
            };
        }
        if let Some(given) = record("delayed_delivery_policies") {
            self.settings.delayed_delivery = flag(given, "active");
            let millis = |name| given.get(name).and_then(Value::as_u64).unwrap_or(0);
            if millis("tickTime") > 0 {
                self.settings.delayed_tick = Duration::from_millis(millis("tickTime"));
            }
            self.delay_max = Duration::from_millis(millis("maxDeliveryDelayInMillis"));
        }
        if let Some(given) = record("inactive_topic_policies") {
            let mode = given.get("inactiveTopicDeleteMode").and_then(Value::as_str);
            let seconds = given.get("maxInactiveDurationSeconds").and_then(Value::as_u64).unwrap_or(0);
            self.inactive = InactiveTopics {
                delete: flag(given, "deleteWhileInactive"),
                caught_up: mode == Some("delete_when_subscriptions_caught_up"),
                after: Duration::from_secs(seconds),
            };
        }
        if let Some(types) = get("subscription_types_enabled").and_then(Value::as_array)
            && !types.is_empty()
        {
            self.subscription_types = SUBSCRIPTION_TYPES.map(|kind| types.iter().any(|given| given == kind));
        }
        let strategy = get("schema_compatibility_strategy").and_then(Value::as_str);
        if let Some(strategy) = strategy.filter(|strategy| *strategy != "UNDEFINED") {
            self.schema_compatibility = strategy.to_owned();
        }
    }

    fn lay_counts<'a>(&mut self, get: &dyn Fn(&str) -> Option<&'a Value>) {
        let settings = &mut self.settings;
        let counts: [(&str, &mut usize); 4] = [
            ("max_producers_per_topic", &mut settings.producers_max),
            ("max_subscriptions_per_topic", &mut settings.subscriptions_max),
            ("max_consumers_per_subscription", &mut settings.consumers_max),
            ("max_consumers_per_topic", &mut self.consumers_per_topic_max),
        ];
        for (name, count) in counts {
            if let Some(max) = get(name).and_then(Value::as_u64) {
                *count = usize::try_from(max).unwrap_or(usize::MAX);
            }
        }
        let unacked: [(&str, &mut u32); 2] = [
            ("max_unacked_messages_per_consumer", &mut settings.consumer_unacked_max),
            ("max_unacked_messages_per_subscription", &mut settings.subscription_unacked_max),
        ];
        for (name, count) in unacked {
            if let Some(max) = get(name).and_then(Value::as_u64) {
                *count = u32::try_from(max).unwrap_or(u32::MAX);
            }
        }
        let seconds: [(&str, &mut u64); 2] = [
            ("message_ttl_in_seconds", &mut self.ttl_seconds),
            ("deduplicationSnapshotIntervalSeconds", &mut self.dedup_snapshot_seconds),
        ];
        for (name, value) in seconds {
            if let Some(given) = get(name).and_then(Value::as_u64) {
                *value = given;
            }
        }
    }

    fn lay_rates<'a>(&mut self, get: &dyn Fn(&str) -> Option<&'a Value>) {
        let record = |name: &str| get(name).and_then(Value::as_object);
        if let Some(given) = record("publishMaxMessageRate") {
            self.publish_rate = PublishRate {
                messages: positive(given, "publishThrottlingRateInMsg"),
                bytes: positive(given, "publishThrottlingRateInByte"),
            };
        }
        if let Some(given) = record("topicDispatchRate") {
            self.dispatch_rate = dispatch_rate(given);
        }
        if let Some(given) = record("subscriptionDispatchRate") {
            self.subscription_dispatch_rate = dispatch_rate(given);
        }
        if let Some(given) = record("clusterSubscribeRate") {
            self.subscribe_rate = SubscribeRate {
                subscribes: positive(given, "subscribeThrottlingRatePerConsumer"),
                period: period(given),
            };
        }
        if let Some(quotas) = record("backlog_quota_map") {
            let quota = |kind: &str, limit: &str| {
                let given = quotas.get(kind)?.as_object()?;
                let policy = match given.get("policy").and_then(Value::as_str) {
                    Some("producer_exception") => BacklogPolicy::Refuse,
                    Some("consumer_backlog_eviction") => BacklogPolicy::Evict,
                    _ => BacklogPolicy::Hold,
                };
                Some(BacklogQuota { limit: given.get(limit).and_then(Value::as_i64).unwrap_or(-1), policy })
            };
            if let Some(quota) = quota("destination_storage", "limitSize") {
                self.backlog_size = quota;
            }
            if let Some(quota) = quota("message_age", "limitTime") {
                self.backlog_age = quota;
            }
        }
    }
}

fn flag(map: &Map<String, Value>, name: &str) -> bool {
    map.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// Zero and negative rates are none.
fn positive(map: &Map<String, Value>, name: &str) -> u64 {
    map.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn period(map: &Map<String, Value>) -> Duration {
    Duration::from_secs(positive(map, "ratePeriodInSecond").max(1))
}

fn dispatch_rate(map: &Map<String, Value>) -> DispatchRate {
    DispatchRate {
        messages: positive(map, "dispatchThrottlingRateInMsg"),
        bytes: positive(map, "dispatchThrottlingRateInByte"),
        relative: flag(map, "relativeToPublishRate"),
        period: period(map),
    }
}
