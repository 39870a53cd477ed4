//! What the JSON of each policy looks like: one table for reading request bodies, for what is stored, and for what is shown.
//! Source of names, order and defaults: broker 6.8, 9.1-9.4.

use serde_json::{Map, Number, Value};

/// The form of a JSON value.
#[derive(Debug, PartialEq)]
pub enum Shape {
    /// `true`, `false`.
    Flag,
    /// A whole number.
    Integer,
    /// A number shown with a point.
    Decimal,
    /// A text.
    Text,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A list of texts, each kept once.
    Texts,
    /// A map, each of whose values is of the inner shape.
    Each(&'static Shape),
    /// An object with these members in this order.
    Record(&'static [Field]),
    /// A quota: `limit` is the older name of `limitSize`, and both are shown.
    Quota,
    /// Kept as it is.
    Any,
}

/// A member of a record.
#[derive(Debug, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its form.
    pub shape: &'static Shape,
    /// What it is when it is not given, as JSON; empty: absent.
    pub default: &'static str,
}

const fn field(name: &'static str, shape: &'static Shape, default: &'static str) -> Field {
    Field { name, shape, default }
}

/// `retention_policies`.
pub const RETENTION: Shape = Shape::Record(&[
    field("retentionTimeInMinutes", &Shape::Integer, "0"),
    field("retentionSizeInMB", &Shape::Integer, "0"),
]);
/// `dispatchRate` and its kin.
pub const DISPATCH_RATE: Shape = Shape::Record(&[
    field("dispatchThrottlingRateInMsg", &Shape::Integer, "-1"),
    field("dispatchThrottlingRateInByte", &Shape::Integer, "-1"),
    field("relativeToPublishRate", &Shape::Flag, "false"),
    field("ratePeriodInSecond", &Shape::Integer, "1"),
]);
/// `publishRate`.
pub const PUBLISH_RATE: Shape = Shape::Record(&[
    field("publishThrottlingRateInMsg", &Shape::Integer, "-1"),
    field("publishThrottlingRateInByte", &Shape::Integer, "-1"),
]);
/// `subscribeRate`.
pub const SUBSCRIBE_RATE: Shape = Shape::Record(&[
    field("subscribeThrottlingRatePerConsumer", &Shape::Integer, "-1"),
    field("ratePeriodInSecond", &Shape::Integer, "30"),
]);
/// `persistence`: stored, without effect.
pub const PERSISTENCE: Shape = Shape::Record(&[
    field("bookkeeperEnsemble", &Shape::Integer, "0"),
    field("bookkeeperWriteQuorum", &Shape::Integer, "0"),
    field("bookkeeperAckQuorum", &Shape::Integer, "0"),
    field("managedLedgerMaxMarkDeleteRate", &Shape::Decimal, "0.0"),
]);
/// `autoTopicCreation`.
pub const AUTO_TOPIC: Shape = Shape::Record(&[
    field("allowAutoTopicCreation", &Shape::Flag, "false"),
    field("topicType", &Shape::Text, ""),
    field("defaultNumPartitions", &Shape::Integer, ""),
]);
/// `autoSubscriptionCreation`.
pub const AUTO_SUBSCRIPTION: Shape =
    Shape::Record(&[field("allowAutoSubscriptionCreation", &Shape::Flag, "false")]);
/// `delayedDelivery`.
pub const DELAYED: Shape = Shape::Record(&[
    field("tickTime", &Shape::Integer, "0"),
    field("active", &Shape::Flag, "false"),
    field("maxDeliveryDelayInMillis", &Shape::Integer, "0"),
]);
/// `inactiveTopicPolicies`.
pub const INACTIVE: Shape = Shape::Record(&[
    field("inactiveTopicDeleteMode", &INACTIVE_MODE, ""),
    field("maxInactiveDurationSeconds", &Shape::Integer, "0"),
    field("deleteWhileInactive", &Shape::Flag, "false"),
]);
const INACTIVE_MODE: Shape =
    Shape::Choice(&["delete_when_no_subscriptions", "delete_when_subscriptions_caught_up"]);
/// What happens to a topic over its backlog quota.
pub const QUOTA_POLICY: Shape =
    Shape::Choice(&["producer_request_hold", "producer_exception", "consumer_backlog_eviction"]);
/// Types of subscriptions.
pub const SUBSCRIPTION_TYPES: [&str; 4] = ["Exclusive", "Shared", "Failover", "Key_Shared"];
/// Schema compatibility strategies; an unknown one is stored as the first.
pub const STRATEGIES: [&str; 9] = [
    "UNDEFINED",
    "ALWAYS_INCOMPATIBLE",
    "ALWAYS_COMPATIBLE",
    "BACKWARD",
    "FORWARD",
    "FULL",
    "BACKWARD_TRANSITIVE",
    "FORWARD_TRANSITIVE",
    "FULL_TRANSITIVE",
];

const AUTH: Shape = Shape::Record(&[
    field("namespace_auth", &ROLES, "{}"),
    field("destination_auth", &Shape::Each(&ROLES), "{}"),
    field("subscription_auth_roles", &ROLES, "{}"),
]);
const ROLES: Shape = Shape::Each(&Shape::Texts);
const BUNDLES: Shape =
    Shape::Record(&[field("boundaries", &Shape::Texts, "[]"), field("numBundles", &Shape::Integer, "0")]);

/// Members of a namespace's policies in the order in which they are shown, with their value in a fresh namespace.
pub const MEMBERS: &[Field] = &[
    field(
        "auth_policies",
        &AUTH,
        r#"{"namespace_auth":{},"destination_auth":{},"subscription_auth_roles":{}}"#,
    ),
    field("replication_clusters", &Shape::Texts, "[]"),
    field("allowed_clusters", &Shape::Texts, "[]"),
    field(
        "bundles",
        &BUNDLES,
        r#"{"boundaries":["0x00000000","0x40000000","0x80000000","0xc0000000","0xffffffff"],"numBundles":4}"#,
    ),
    field("backlog_quota_map", &Shape::Each(&Shape::Quota), "{}"),
    field("clusterDispatchRate", &Shape::Each(&DISPATCH_RATE), "{}"),
    field("topicDispatchRate", &Shape::Each(&DISPATCH_RATE), "{}"),
    field("subscriptionDispatchRate", &Shape::Each(&DISPATCH_RATE), "{}"),
    field("replicatorDispatchRate", &Shape::Each(&DISPATCH_RATE), "{}"),
    field("clusterSubscribeRate", &Shape::Each(&SUBSCRIBE_RATE), "{}"),
    field("persistence", &PERSISTENCE, ""),
    field("deduplicationEnabled", &Shape::Flag, ""),
    field("autoTopicCreationOverride", &AUTO_TOPIC, ""),
    field("autoSubscriptionCreationOverride", &AUTO_SUBSCRIPTION, ""),
    field("publishMaxMessageRate", &Shape::Each(&PUBLISH_RATE), "{}"),
    field("latency_stats_sample_rate", &Shape::Each(&Shape::Integer), "{}"),
    field("message_ttl_in_seconds", &Shape::Integer, ""),
    field("subscription_expiration_time_minutes", &Shape::Integer, ""),
    field("retention_policies", &RETENTION, ""),
    field("deleted", &Shape::Flag, "false"),
    field("encryption_required", &Shape::Flag, "false"),
    field("delayed_delivery_policies", &DELAYED, ""),
    field("inactive_topic_policies", &INACTIVE, ""),
    field("subscription_auth_mode", &Shape::Choice(&["None", "Prefix"]), "\"None\""),
    field("max_producers_per_topic", &Shape::Integer, ""),
    field("max_consumers_per_topic", &Shape::Integer, ""),
    field("max_consumers_per_subscription", &Shape::Integer, ""),
    field("max_unacked_messages_per_consumer", &Shape::Integer, ""),
    field("max_unacked_messages_per_subscription", &Shape::Integer, ""),
    field("max_subscriptions_per_topic", &Shape::Integer, ""),
    field("compaction_threshold", &Shape::Integer, ""),
    field("offload_threshold", &Shape::Integer, "-1"),
    field("offload_threshold_in_seconds", &Shape::Integer, "-1"),
    field("offload_deletion_lag_ms", &Shape::Integer, ""),
    field("max_topics_per_namespace", &Shape::Integer, ""),
    field("schema_auto_update_compatibility_strategy", &Shape::Text, ""),
    field("schema_compatibility_strategy", &Shape::Text, "\"UNDEFINED\""),
    field("is_allow_auto_update_schema", &Shape::Flag, "true"),
    field("schema_validation_enforced", &Shape::Flag, "false"),
    field("offload_policies", &Shape::Any, ""),
    field("deduplicationSnapshotIntervalSeconds", &Shape::Integer, ""),
    field("subscription_types_enabled", &Shape::Texts, "[]"),
    field("properties", &Shape::Each(&Shape::Text), "{}"),
    field("resource_group_name", &Shape::Text, ""),
    field("migrated", &Shape::Flag, "false"),
    field("dispatcherPauseOnAckStatePersistentEnabled", &Shape::Flag, ""),
    field("entryFilters", &Shape::Any, ""),
    field("clusterThatCanDeleteNamespace", &Shape::Text, ""),
];

/// Members of a topic's own policies. Those that a namespace has too go by the same name; rates are not kept by cluster.
pub const TOPIC_MEMBERS: &[Field] = &[
    field("backlog_quota_map", &Shape::Each(&Shape::Quota), ""),
    field("topicDispatchRate", &DISPATCH_RATE, ""),
    field("subscriptionDispatchRate", &DISPATCH_RATE, ""),
    field("replicatorDispatchRate", &DISPATCH_RATE, ""),
    field("clusterSubscribeRate", &SUBSCRIBE_RATE, ""),
    field("publishMaxMessageRate", &PUBLISH_RATE, ""),
    field("persistence", &PERSISTENCE, ""),
    field("deduplicationEnabled", &Shape::Flag, ""),
    field("deduplicationSnapshotIntervalSeconds", &Shape::Integer, ""),
    field("autoSubscriptionCreationOverride", &AUTO_SUBSCRIPTION, ""),
    field("message_ttl_in_seconds", &Shape::Integer, ""),
    field("retention_policies", &RETENTION, ""),
    field("delayed_delivery_policies", &DELAYED, ""),
    field("inactive_topic_policies", &INACTIVE, ""),
    field("max_producers_per_topic", &Shape::Integer, ""),
    field("max_consumers_per_topic", &Shape::Integer, ""),
    field("max_consumers_per_subscription", &Shape::Integer, ""),
    field("max_unacked_messages_per_consumer", &Shape::Integer, ""),
    field("max_unacked_messages_per_subscription", &Shape::Integer, ""),
    field("max_subscriptions_per_topic", &Shape::Integer, ""),
    field("max_message_size", &Shape::Integer, ""),
    field("compaction_threshold", &Shape::Integer, ""),
    field("schema_compatibility_strategy", &Shape::Text, ""),
    field("schema_validation_enforced", &Shape::Flag, ""),
    field("subscription_types_enabled", &Shape::Texts, ""),
    field("dispatcherPauseOnAckStatePersistentEnabled", &Shape::Flag, ""),
    field("offload_policies", &Shape::Any, ""),
    field("entryFilters", &Shape::Any, ""),
];

impl Shape {
    /// `value` in this form: members in order, unknown ones dropped, missing ones at their default. `None`: it cannot be read so.
    pub fn read(&self, value: &Value) -> Option<Value> {
        match self {
            Shape::Flag => flag(value).map(Value::Bool),
            Shape::Integer => integer(value).map(Value::from),
            Shape::Decimal => decimal(value).and_then(Number::from_f64).map(Value::Number),
            Shape::Text => text(value).map(Value::String),
            Shape::Choice(words) => {
                value.as_str().filter(|word| words.contains(word)).map(|word| Value::String(word.to_owned()))
            }
            Shape::Texts => texts(value.as_array()?),
            Shape::Each(inner) => {
                let read = |(name, value): (&String, &Value)| Some((name.clone(), inner.read(value)?));
                value.as_object()?.iter().map(read).collect::<Option<Map<_, _>>>().map(Value::Object)
            }
            Shape::Record(fields) => read_fields(fields, value.as_object()?).ok().map(Value::Object),
            Shape::Quota => quota(value.as_object()?).map(Value::Object),
            Shape::Any => Some(value.clone()),
        }
    }
}

/// The members of a record in order. The error is the name of the first that cannot be read. `null` counts as not given.
pub(super) fn read_fields(
    fields: &[Field],
    map: &Map<String, Value>,
) -> Result<Map<String, Value>, &'static str> {
    let mut out = Map::new();
    for field in fields {
        let given = map.get(field.name).filter(|value| !value.is_null());
        let value = match given {
            Some(value) => Some(field.shape.read(value).ok_or(field.name)?),
            None => fresh(field),
        };
        if let Some(value) = value {
            out.insert(field.name.to_owned(), value);
        }
    }
    Ok(out)
}

/// A member that nobody set.
pub(super) fn fresh(field: &Field) -> Option<Value> {
    let text = Some(field.default).filter(|text| !text.is_empty())?;
    Some(serde_json::from_str(text).expect("a table of JSON literals"))
}

/// The original's parser takes texts for flags and numbers, and cuts fractions off.
fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            // In range by the comparison, so the cast keeps the whole part.
            number.as_f64().filter(|number| number.abs() < 9e15).map(|number| number as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn decimal(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

fn texts(list: &[Value]) -> Option<Value> {
    let mut out: Vec<Value> = Vec::with_capacity(list.len());
    for item in list {
        let item = Value::String(text(item)?);
        if !out.contains(&item) {
            out.push(item);
        }
    }
    Some(Value::Array(out))
}

fn quota(map: &Map<String, Value>) -> Option<Map<String, Value>> {
    let number = |name| map.get(name).filter(|value| !value.is_null()).map(integer);
    let size = match (number("limitSize"), number("limit")) {
        (Some(size), _) | (None, Some(size)) => size?,
        (None, None) => 0,
    };
    let time = number("limitTime").unwrap_or(Some(0))?;
    let mut out = Map::new();
    out.insert("limit".into(), size.into());
    out.insert("limitSize".into(), size.into());
    out.insert("limitTime".into(), time.into());
    out.insert("policy".into(), QUOTA_POLICY.read(map.get("policy")?)?);
    Some(out)
}
