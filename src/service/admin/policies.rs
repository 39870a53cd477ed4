//! Policies of namespaces (broker 6.3): one table of paths, what they set, and how.

use serde_json::{Map, Value, json};

use crate::broker::admin::Refused;
use crate::service::admin::cx::{Cx, Flow, Stop};
use crate::service::admin::namespaces::{inner, policies_of};
use crate::service::admin::route::Handler;
use crate::service::admin::web::WebAnswer;

/// A policy of a path `/NS/{path}`.
struct Policy {
    path: &'static str,
    member: &'static str,
    /// Method that sets it.
    set: &'static str,
    delete: bool,
    kind: Kind,
    /// What an unset one is shown as; empty: an empty answer.
    unset: &'static str,
}

/// How a value is checked and kept.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// As its shape says.
    Plain,
    /// A number, 0 or more.
    Count,
    /// Kept by cluster.
    ByCluster,
    /// Checked in its own way.
    Ttl,
    Retention,
    AutoTopic,
    Persistence,
    Strategy,
    Types,
}

const fn policy(
    path: &'static str,
    member: &'static str,
    set: &'static str,
    kind: Kind,
    unset: &'static str,
) -> Policy {
    Policy { path, member, set, delete: true, kind, unset }
}

/// One that cannot be unset.
const fn lasting(path: &'static str, member: &'static str, set: &'static str, kind: Kind) -> Policy {
    Policy { path, member, set, delete: false, kind, unset: "" }
}

const POLICIES: &[Policy] = &[
    policy("messageTTL", "message_ttl_in_seconds", "POST", Kind::Ttl, ""),
    policy("retention", "retention_policies", "POST", Kind::Retention, ""),
    policy("autoTopicCreation", "autoTopicCreationOverride", "POST", Kind::AutoTopic, ""),
    policy("autoSubscriptionCreation", "autoSubscriptionCreationOverride", "POST", Kind::Plain, ""),
    policy("publishRate", "publishMaxMessageRate", "POST", Kind::ByCluster, ""),
    policy("dispatchRate", "topicDispatchRate", "POST", Kind::ByCluster, ""),
    policy("subscriptionDispatchRate", "subscriptionDispatchRate", "POST", Kind::ByCluster, ""),
    policy("replicatorDispatchRate", "replicatorDispatchRate", "POST", Kind::ByCluster, ""),
    policy("subscribeRate", "clusterSubscribeRate", "POST", Kind::ByCluster, ""),
    policy("maxProducersPerTopic", "max_producers_per_topic", "POST", Kind::Count, ""),
    policy("maxConsumersPerTopic", "max_consumers_per_topic", "POST", Kind::Count, ""),
    policy("maxConsumersPerSubscription", "max_consumers_per_subscription", "POST", Kind::Count, ""),
    policy("maxSubscriptionsPerTopic", "max_subscriptions_per_topic", "POST", Kind::Count, ""),
    policy("maxTopicsPerNamespace", "max_topics_per_namespace", "POST", Kind::Count, "0"),
    policy("maxUnackedMessagesPerConsumer", "max_unacked_messages_per_consumer", "POST", Kind::Count, ""),
    policy(
        "maxUnackedMessagesPerSubscription",
        "max_unacked_messages_per_subscription",
        "POST",
        Kind::Count,
        "",
    ),
    policy("deduplication", "deduplicationEnabled", "POST", Kind::Plain, ""),
    policy("subscriptionExpirationTime", "subscription_expiration_time_minutes", "POST", Kind::Count, ""),
    policy("inactiveTopicPolicies", "inactive_topic_policies", "POST", Kind::Plain, ""),
    policy("delayedDelivery", "delayed_delivery_policies", "POST", Kind::Plain, ""),
    policy("persistence", "persistence", "POST", Kind::Persistence, ""),
    policy("subscriptionTypesEnabled", "subscription_types_enabled", "POST", Kind::Types, "[]"),
    policy("properties", "properties", "PUT", Kind::Plain, "{}"),
    policy("compactionThreshold", "compaction_threshold", "PUT", Kind::Count, ""),
    policy("offloadPolicies", "offload_policies", "POST", Kind::Plain, ""),
    policy("offloadDeletionLagMs", "offload_deletion_lag_ms", "PUT", Kind::Plain, ""),
    policy("resourcegroup", "resource_group_name", "POST", Kind::Plain, ""),
    policy("entryFilters", "entryFilters", "POST", Kind::Plain, ""),
    policy(
        "dispatcherPauseOnAckStatePersistent",
        "dispatcherPauseOnAckStatePersistentEnabled",
        "POST",
        Kind::Plain,
        "false",
    ),
    lasting("deduplicationSnapshotInterval", "deduplicationSnapshotIntervalSeconds", "POST", Kind::Count),
    lasting("encryptionRequired", "encryption_required", "POST", Kind::Plain),
    lasting("subscriptionAuthMode", "subscription_auth_mode", "POST", Kind::Plain),
    lasting("schemaValidationEnforced", "schema_validation_enforced", "POST", Kind::Plain),
    lasting("isAllowAutoUpdateSchema", "is_allow_auto_update_schema", "POST", Kind::Plain),
    lasting("schemaCompatibilityStrategy", "schema_compatibility_strategy", "PUT", Kind::Strategy),
    lasting(
        "schemaAutoUpdateCompatibilityStrategy",
        "schema_auto_update_compatibility_strategy",
        "PUT",
        Kind::Plain,
    ),
    lasting("offloadThreshold", "offload_threshold", "PUT", Kind::Plain),
    lasting("offloadThresholdInSeconds", "offload_threshold_in_seconds", "PUT", Kind::Plain),
    lasting("allowedClusters", "allowed_clusters", "POST", Kind::Plain),
    lasting("antiAffinity", "antiAffinity", "POST", Kind::Plain),
];

fn of_path(path: &str) -> Option<&'static Policy> {
    POLICIES.iter().find(|policy| policy.path == path)
}

/// `path` is what follows the namespace.
pub(super) fn find(method: &str, path: &[&str]) -> Option<Handler> {
    match (method, path) {
        ("GET", ["backlogQuotaMap"]) => return Some(quotas),
        ("POST", ["backlogQuota"]) => return Some(set_quota),
        ("DELETE", ["backlogQuota"]) => return Some(delete_quota),
        ("PUT", ["property", _, _]) => return Some(set_property),
        ("GET", ["property", _]) => return Some(|cx| property(cx, false)),
        ("DELETE", ["property", _]) => return Some(|cx| property(cx, true)),
        _ => {}
    }
    let [name] = path else { return None };
    let policy = of_path(name)?;
    match method {
        "GET" => Some(show),
        "DELETE" if policy.delete => Some(unset),
        method if method == policy.set => Some(set),
        _ => None,
    }
}

fn wanted(cx: &Cx<'_>) -> Flow<&'static Policy> {
    of_path(cx.path(3)).ok_or_else(|| Refused::new(404, "HTTP 404 Not Found").into())
}

fn show(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let policy = wanted(cx)?;
    let value = policies_of(cx)?.get(policy.member);
    let value = match policy.kind {
        Kind::ByCluster => value.and_then(|map| map.get(&cx.config.cluster)),
        _ => value,
    };
    Ok(match value {
        None if !policy.unset.is_empty() => WebAnswer::text(policy.unset.as_bytes().to_vec()),
        value => WebAnswer::json_or_empty(value),
    })
}

fn set(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let policy = wanted(cx)?;
    let namespace = cx.namespace()?;
    policies_of_now(cx)?;
    let body = cx.body()?;
    if policy.path == "antiAffinity" {
        return Ok(WebAnswer::done()); // one broker: it has no neighbour to be kept apart from
    }
    let value = match body {
        Some(value) => checked(policy.kind, policy.path, value)?,
        None if policy.delete || policy.kind == Kind::Count => return unset(cx),
        None => return Err(Refused::new(400, format!("{} needs a value", policy.path)).into()),
    };
    match policy.kind {
        Kind::ByCluster => {
            let cluster = cx.config.cluster.as_str();
            cx.write(|catalogue| {
                catalogue.plan_policy_entry(&namespace, policy.member, cluster, Some(&value))
            })?;
        }
        _ => {
            if policy.path == "properties" {
                return merge_properties(cx, &namespace, &value);
            }
            cx.write(|catalogue| catalogue.plan_policy(&namespace, policy.member, Some(&value)))?;
        }
    }
    Ok(WebAnswer::done())
}

/// A refusal comes before one of the body.
fn policies_of_now(cx: &mut Cx<'_>) -> Flow<()> {
    cx.known_namespace("Namespace does not exist").map(drop)
}

fn unset(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let policy = wanted(cx)?;
    let namespace = cx.namespace()?;
    let cluster = cx.config.cluster.as_str();
    cx.write(|catalogue| match policy.kind {
        Kind::ByCluster => catalogue.plan_policy_entry(&namespace, policy.member, cluster, None),
        _ => catalogue.plan_policy(&namespace, policy.member, None),
    })?;
    Ok(WebAnswer::done())
}

/// A value of a body, checked beyond its shape. Also for topics.
pub(super) fn checked(kind: Kind, path: &str, value: Value) -> Flow<Value> {
    let refuse = |status, reason: String| Err(Stop::from(Refused::new(status, reason)));
    match kind {
        Kind::Count if value.as_i64().is_some_and(|number| number < 0) => {
            refuse(412, format!("{path} must be 0 or more"))
        }
        Kind::Ttl if value.as_i64().is_some_and(|number| number < 0) => {
            refuse(412, "Invalid value for message TTL, message TTL must >= 0".to_owned())
        }
        Kind::Retention => {
            let number = |name: &str| value.get(name).and_then(Value::as_i64).unwrap_or(0);
            let (minutes, size) = (number("retentionTimeInMinutes"), number("retentionSizeInMB"));
            if minutes < -1 || size < -1 || (minutes == 0) != (size == 0) {
                return refuse(400, invalid_retention(minutes, size));
            }
            Ok(value)
        }
        Kind::AutoTopic => match auto_topic(&value) {
            Some(reason) => refuse(412, reason),
            None => Ok(value),
        },
        Kind::Persistence => {
            let number = |name: &str| value.get(name).and_then(Value::as_i64).unwrap_or(0);
            let (ensemble, write, ack) = (
                number("bookkeeperEnsemble"),
                number("bookkeeperWriteQuorum"),
                number("bookkeeperAckQuorum"),
            );
            if ensemble < write || write < ack || ack < 0 {
                let reason =
                    format!("Bookkeeper Ensemble >= WriteQuorum >= AckQuoru, {ensemble} {write} {ack}");
                return refuse(400, reason);
            }
            Ok(value)
        }
        Kind::Strategy => {
            let known =
                value.as_str().filter(|name| crate::broker::catalogue::shape::STRATEGIES.contains(name));
            Ok(json!(known.unwrap_or("UNDEFINED")))
        }
        Kind::Types => {
            let known = |kind: &Value| {
                crate::broker::catalogue::shape::SUBSCRIPTION_TYPES.iter().any(|name| kind == name)
            };
            match value.as_array() {
                Some(types) if types.iter().all(known) => Ok(value),
                _ => refuse(400, "unknown subscription type".to_owned()),
            }
        }
        _ => Ok(value),
    }
}

fn invalid_retention(minutes: i64, size: i64) -> String {
    let why = match minutes < -1 || size < -1 {
        true => "a limit is at least -1, which is none",
        false => "setting one of the limits to 0 and the other one to something else makes no sense",
    };
    format!("Invalid retention policy: {why} (retentionTimeInMinutes {minutes}, retentionSizeInMB {size})")
}

fn auto_topic(value: &Value) -> Option<String> {
    let kind = value.get("topicType").and_then(Value::as_str);
    let count = value.get("defaultNumPartitions").filter(|count| !count.is_null()).and_then(Value::as_i64);
    if !value.get("allowAutoTopicCreation").and_then(Value::as_bool).unwrap_or(false) {
        return None;
    }
    let reason = match (kind, count) {
        (Some("partitioned"), Some(1..)) | (Some("non-partitioned"), None) => return None,
        (Some("partitioned"), Some(_)) => "[defaultNumPartitions] cannot be less than 1 for partition type.",
        (Some("partitioned"), None) => "[defaultNumPartitions] cannot be null when the type is partitioned.",
        (Some("non-partitioned"), Some(_)) => {
            "[defaultNumPartitions] is not allowed to be set when the type is non-partition."
        }
        _ => {
            return Some(format!(
                "Invalid configuration for autoTopicCreationOverride. the detail is Unknown topic type [{}]",
                kind.unwrap_or("null")
            ));
        }
    };
    Some(format!("Invalid configuration for autoTopicCreationOverride. the detail is {reason}"))
}

fn quotas(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    Ok(WebAnswer::json_or_empty(policies_of(cx)?.get("backlog_quota_map")))
}

/// Which quota a request means.
pub(super) fn quota_type<'a>(cx: &Cx<'a>) -> Flow<&'a str> {
    let kind = cx.request.query.get("backlogQuotaType").filter(|kind| !kind.is_empty());
    let kind = kind.unwrap_or("destination_storage");
    match ["destination_storage", "message_age"].contains(&kind) {
        true => Ok(kind),
        false => Err(Refused::new(404, "HTTP 404 Not Found").into()),
    }
}

/// A quota above what retention keeps can never be reached. `retention`: JSON of the policy, if there is one.
pub(super) fn checked_quota(kind: &str, quota: Option<Value>, retention: Option<&Value>) -> Flow<Value> {
    let known = ["producer_request_hold", "producer_exception", "consumer_backlog_eviction"];
    let is_known = |quota: &Value| {
        quota.get("policy").and_then(Value::as_str).is_some_and(|policy| known.contains(&policy))
    };
    let Some(quota) = quota.filter(is_known) else {
        return Err(Refused::new(400, "Backlog quota policy is missing or unknown").into());
    };
    let number = |name: &str| quota.get(name).and_then(Value::as_i64);
    let kept = |name: &str| retention.and_then(|kept| kept.get(name)).and_then(Value::as_i64).unwrap_or(0);
    let size = number("limitSize").or(number("limit")).unwrap_or(0);
    let (kept_size, kept_time) = (kept("retentionSizeInMB"), kept("retentionTimeInMinutes"));
    let over = match kind {
        "destination_storage" => kept_size > 0 && size >= kept_size.saturating_mul(1 << 20),
        _ => kept_time > 0 && number("limitTime").unwrap_or(0) >= kept_time.saturating_mul(60),
    };
    match over {
        true => Err(Refused::new(412, "Backlog Quota exceeds configured retention quota for namespace. Please increase retention quota and retry").into()),
        false => Ok(quota),
    }
}

fn set_quota(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let (namespace, kind) = (cx.namespace()?, quota_type(cx)?);
    policies_of_now(cx)?;
    let retention = policies_of(cx)?.get("retention_policies");
    let quota = checked_quota(kind, cx.body()?, retention)?;
    cx.write(|catalogue| catalogue.plan_policy_entry(&namespace, "backlog_quota_map", kind, Some(&quota)))?;
    Ok(WebAnswer::done())
}

fn delete_quota(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let (namespace, kind) = (cx.namespace()?, quota_type(cx)?);
    cx.write(|catalogue| catalogue.plan_policy_entry(&namespace, "backlog_quota_map", kind, None))?;
    Ok(WebAnswer::done())
}

fn merge_properties(cx: &mut Cx<'_>, namespace: &str, more: &Value) -> Flow<WebAnswer> {
    let Some(more) = more.as_object() else {
        return Err(Stop::Answer(WebAnswer::malformed("a map of texts is expected")));
    };
    edit_properties(cx, namespace, |properties| properties.extend(more.clone()))
}

fn edit_properties(
    cx: &mut Cx<'_>,
    namespace: &str,
    edit: impl Fn(&mut Map<String, Value>),
) -> Flow<WebAnswer> {
    cx.write(|catalogue| {
        catalogue.plan_policies(namespace, |policies| {
            let mut holder = Map::new();
            let now = policies.get("properties").cloned().unwrap_or_default();
            holder.insert("properties".to_owned(), now);
            edit(inner(&mut holder, "properties"));
            let set = policies.set("properties", holder.get("properties"));
            set.map(drop).map_err(|error| Refused::new(400, error.to_string()))
        })
    })?;
    Ok(WebAnswer::done())
}

fn set_property(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let (namespace, key, value) = (cx.namespace()?, cx.path(4), cx.path(5));
    edit_properties(cx, &namespace, |properties| drop(properties.insert(key.to_owned(), value.into())))
}

/// The value of one property; it goes if `remove`.
fn property(cx: &mut Cx<'_>, remove: bool) -> Flow<WebAnswer> {
    let (namespace, key) = (cx.namespace()?, cx.path(4));
    let values = cx.names(|cx| {
        let policies = cx.catalogue.namespace(&namespace);
        let value = policies.and_then(|policies| policies.get("properties")).and_then(|all| all.get(key));
        value.and_then(Value::as_str).map(str::to_owned).into_iter().collect()
    })?;
    policies_of(cx)?;
    if remove {
        edit_properties(cx, &namespace, |properties| drop(properties.shift_remove(key)))?;
    }
    Ok(values.first().map_or_else(WebAnswer::empty, |value| WebAnswer::text(value.clone().into_bytes())))
}
