//! Policies of topics themselves (broker 6.4): as the namespace's, with `?applied=true` for what holds.

use serde_json::{Value, json};

use crate::broker::admin::Refused;
use crate::broker::catalogue::Effective;
use crate::service::admin::cx::{Cx, Flow};
use crate::service::admin::policies::{Kind, checked, checked_quota, quota_type};
use crate::service::admin::route::Handler;
use crate::service::admin::topics::exists;
use crate::service::admin::web::WebAnswer;

/// A policy of a path `/T/{path}`.
struct Policy {
    path: &'static str,
    member: &'static str,
    kind: Kind,
    /// What an unset one is shown as; empty: an empty answer; `-`: 204.
    unset: &'static str,
}

const fn policy(path: &'static str, member: &'static str, kind: Kind, unset: &'static str) -> Policy {
    Policy { path, member, kind, unset }
}

const POLICIES: &[Policy] = &[
    policy("messageTTL", "message_ttl_in_seconds", Kind::Ttl, ""),
    policy("retention", "retention_policies", Kind::Retention, ""),
    policy("publishRate", "publishMaxMessageRate", Kind::Plain, "-"),
    policy("dispatchRate", "topicDispatchRate", Kind::Plain, ""),
    policy("subscriptionDispatchRate", "subscriptionDispatchRate", Kind::Plain, ""),
    policy("replicatorDispatchRate", "replicatorDispatchRate", Kind::Plain, ""),
    policy("subscribeRate", "clusterSubscribeRate", Kind::Plain, ""),
    policy("maxProducers", "max_producers_per_topic", Kind::Count, ""),
    policy("maxConsumers", "max_consumers_per_topic", Kind::Count, ""),
    policy("maxConsumersPerSubscription", "max_consumers_per_subscription", Kind::Count, ""),
    policy("maxSubscriptionsPerTopic", "max_subscriptions_per_topic", Kind::Count, "-"),
    policy("maxMessageSize", "max_message_size", Kind::Count, "-"),
    policy("maxUnackedMessagesOnConsumer", "max_unacked_messages_per_consumer", Kind::Count, ""),
    policy("maxUnackedMessagesOnSubscription", "max_unacked_messages_per_subscription", Kind::Count, ""),
    policy("deduplicationEnabled", "deduplicationEnabled", Kind::Plain, ""),
    policy("deduplicationSnapshotInterval", "deduplicationSnapshotIntervalSeconds", Kind::Count, ""),
    policy("delayedDelivery", "delayed_delivery_policies", Kind::Plain, ""),
    policy("inactiveTopicPolicies", "inactive_topic_policies", Kind::Plain, ""),
    policy("compactionThreshold", "compaction_threshold", Kind::Count, ""),
    policy("persistence", "persistence", Kind::Persistence, ""),
    policy("subscriptionTypesEnabled", "subscription_types_enabled", Kind::Types, "[]"),
    policy("schemaCompatibilityStrategy", "schema_compatibility_strategy", Kind::Strategy, ""),
    policy("schemaValidationEnforced", "schema_validation_enforced", Kind::Plain, ""),
    policy("entryFilters", "entryFilters", Kind::Plain, ""),
    policy("autoSubscriptionCreation", "autoSubscriptionCreationOverride", Kind::Plain, ""),
    policy(
        "dispatcherPauseOnAckStatePersistent",
        "dispatcherPauseOnAckStatePersistentEnabled",
        Kind::Plain,
        "false",
    ),
    policy("offloadPolicies", "offload_policies", Kind::Plain, ""),
];

fn of_path(path: &str) -> Option<&'static Policy> {
    POLICIES.iter().find(|policy| policy.path == path)
}

/// `path` is what follows the topic.
pub(super) fn find(method: &str, path: &[&str]) -> Option<Handler> {
    match (method, path) {
        ("GET", ["backlogQuotaMap"]) => return Some(quotas),
        ("POST", ["backlogQuota"]) => return Some(set_quota),
        ("DELETE", ["backlogQuota"]) => return Some(delete_quota),
        ("GET", ["replication"]) => {
            return Some(|cx| {
                let topic = cx.known_topic()?;
                exists(cx, &topic)?;
                match cx.request.query.flag("applied") {
                    true => Ok(WebAnswer::json(&json!([cx.config.cluster]))),
                    false => Ok(WebAnswer::empty()),
                }
            });
        }
        ("POST" | "DELETE", ["replication"]) => return Some(replicate),
        ("GET", ["shadowTopics"]) => return Some(|_| Ok(WebAnswer::empty())),
        ("PUT", ["shadowTopics"]) => {
            return Some(|_| Err(Refused::new(403, "There are no shadow topics here").into()));
        }
        _ => {}
    }
    let [name] = path else { return None };
    let policy = of_path(name)?;
    match (method, policy.member) {
        ("GET", _) => Some(show),
        ("DELETE", _) => Some(|cx| set(cx, false)),
        ("POST", _) | ("PUT", "schema_compatibility_strategy") => Some(|cx| set(cx, true)),
        _ => None,
    }
}

fn wanted(cx: &Cx<'_>) -> Flow<&'static Policy> {
    of_path(cx.path(4)).ok_or_else(|| Refused::new(404, "HTTP 404 Not Found").into())
}

fn show(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let policy = wanted(cx)?;
    let topic = cx.known_topic()?;
    exists(cx, &topic)?;
    let own = cx.catalogue.topic_policies(&topic).and_then(|policies| policies.get(policy.member)).cloned();
    let applied = cx.request.query.flag("applied");
    let value = own.or_else(|| if applied { of_namespace(cx, &topic, policy.member) } else { None });
    let value = match (value, applied) {
        (None, true) => of_broker(policy.member, &cx.config.defaults),
        (value, _) => value,
    };
    Ok(match (value, policy.unset) {
        (Some(value), _) => WebAnswer::json(&value),
        (None, "-") => WebAnswer::done(),
        (None, "") => WebAnswer::empty(),
        (None, text) => WebAnswer::text(text.as_bytes().to_vec()),
    })
}

fn of_namespace(cx: &Cx<'_>, topic: &crate::wire::route::TopicName, member: &str) -> Option<Value> {
    let value = cx.catalogue.namespace(topic.namespace())?.get(member)?;
    match member {
        "topicDispatchRate"
        | "subscriptionDispatchRate"
        | "replicatorDispatchRate"
        | "clusterSubscribeRate"
        | "publishMaxMessageRate" => value.get(&cx.config.cluster).cloned(),
        "schema_compatibility_strategy" if value == "UNDEFINED" => None,
        "subscription_types_enabled" if value.as_array().is_some_and(Vec::is_empty) => None,
        _ => Some(value.clone()),
    }
}

/// What holds where neither topic nor namespace says anything.
fn of_broker(member: &str, rules: &Effective) -> Option<Value> {
    let rate = |rate: &crate::broker::catalogue::DispatchRate| {
        json!({ "dispatchThrottlingRateInMsg": rate.messages, "dispatchThrottlingRateInByte": rate.bytes,
            "relativeToPublishRate": rate.relative, "ratePeriodInSecond": rate.period.as_secs() })
    };
    let settings = &rules.settings;
    Some(match member {
        "message_ttl_in_seconds" => json!(rules.ttl_seconds),
        "retention_policies" => json!({ "retentionTimeInMinutes": rules.retention.minutes,
            "retentionSizeInMB": rules.retention.mebibytes }),
        "topicDispatchRate" => rate(&rules.dispatch_rate),
        "subscriptionDispatchRate" => rate(&rules.subscription_dispatch_rate),
        "clusterSubscribeRate" => json!({
            "subscribeThrottlingRatePerConsumer": rules.subscribe_rate.subscribes,
            "ratePeriodInSecond": rules.subscribe_rate.period.as_secs() }),
        "max_producers_per_topic" => json!(settings.producers_max),
        "max_consumers_per_topic" => json!(rules.consumers_per_topic_max),
        "max_consumers_per_subscription" => json!(settings.consumers_max),
        "max_unacked_messages_per_consumer" => json!(settings.consumer_unacked_max),
        "max_unacked_messages_per_subscription" => json!(settings.subscription_unacked_max),
        "deduplicationEnabled" => json!(settings.deduplication),
        "delayed_delivery_policies" => json!({
            "tickTime": u64::try_from(settings.delayed_tick.as_millis()).unwrap_or(u64::MAX),
            "active": settings.delayed_delivery,
            "maxDeliveryDelayInMillis": u64::try_from(rules.delay_max.as_millis()).unwrap_or(u64::MAX) }),
        "inactive_topic_policies" => json!({
            "inactiveTopicDeleteMode": match rules.inactive.caught_up {
                true => "delete_when_subscriptions_caught_up",
                false => "delete_when_no_subscriptions",
            },
            "maxInactiveDurationSeconds": rules.inactive.after.as_secs(),
            "deleteWhileInactive": rules.inactive.delete }),
        "compaction_threshold" => json!(0),
        "schema_compatibility_strategy" => json!(rules.schema_compatibility),
        "schema_validation_enforced" => json!(rules.schema_validation_enforced),
        "autoSubscriptionCreationOverride" => {
            json!({ "allowAutoSubscriptionCreation": settings.auto_subscription })
        }
        "subscription_types_enabled" => {
            crate::broker::catalogue::shape::SUBSCRIPTION_TYPES.iter().copied().collect()
        }
        _ => return None,
    })
}

fn set(cx: &mut Cx<'_>, give: bool) -> Flow<WebAnswer> {
    let policy = wanted(cx)?;
    let topic = cx.known_topic()?;
    exists(cx, &topic)?;
    let body = match policy.kind {
        // The only one that comes in the query.
        Kind::Ttl => {
            cx.request.query.get("messageTTL").and_then(|text| text.parse::<i64>().ok()).map(Value::from)
        }
        _ => cx.body()?,
    };
    let value = match (give, body) {
        (true, Some(value)) => Some(checked(policy.kind, policy.path, value)?),
        _ => None,
    };
    cx.write(|catalogue| catalogue.plan_topic_policy(&topic, policy.member, value.as_ref()))?;
    Ok(WebAnswer::done())
}

fn replicate(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = cx.known_topic()?;
    exists(cx, &topic)?;
    let clusters = cx.body()?.unwrap_or_else(|| json!([]));
    let clusters = clusters.as_array().into_iter().flatten().filter_map(Value::as_str);
    match clusters.into_iter().find(|name| *name != cx.config.cluster) {
        Some(other) => Err(Refused::new(403, format!("Invalid cluster id: {other}")).into()),
        None => Ok(WebAnswer::done()),
    }
}

fn quotas(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = cx.known_topic()?;
    exists(cx, &topic)?;
    let own = cx.catalogue.topic_policies(&topic).and_then(|policies| policies.get("backlog_quota_map"));
    let namespace = cx.catalogue.namespace(topic.namespace());
    let applied = cx.request.query.flag("applied");
    let inherited = namespace.filter(|_| applied).and_then(|policies| policies.get("backlog_quota_map"));
    Ok(WebAnswer::json(own.or(inherited).unwrap_or(&json!({}))))
}

fn edit_quota(cx: &mut Cx<'_>, quota: Option<Value>) -> Flow<WebAnswer> {
    let (topic, kind) = (cx.topic()?, quota_type(cx)?);
    cx.write(|catalogue| {
        let own = catalogue.topic_policies(&topic).and_then(|policies| policies.get("backlog_quota_map"));
        let mut map = own.and_then(Value::as_object).cloned().unwrap_or_default();
        match &quota {
            Some(quota) => map.insert(kind.to_owned(), quota.clone()),
            None => map.shift_remove(kind),
        };
        let value = Some(Value::Object(map)).filter(|map| map.as_object().is_some_and(|map| !map.is_empty()));
        catalogue.plan_topic_policy(&topic, "backlog_quota_map", value.as_ref())
    })?;
    Ok(WebAnswer::done())
}

fn set_quota(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = cx.known_topic()?;
    exists(cx, &topic)?;
    let own = cx.catalogue.topic_policies(&topic).and_then(|policies| policies.get("retention_policies"));
    let retention = own.cloned().or_else(|| of_namespace(cx, &topic, "retention_policies"));
    let quota = checked_quota(quota_type(cx)?, cx.body()?, retention.as_ref())?;
    edit_quota(cx, Some(quota))
}

fn delete_quota(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = cx.known_topic()?;
    exists(cx, &topic)?;
    edit_quota(cx, None)
}
