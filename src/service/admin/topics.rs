//! `/admin/v2/{persistent,non-persistent}` (broker 6.4): topics themselves. What goes by a partitioned topic's base name is asked of
//! each partition where that has a meaning.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::base::limit;
use crate::broker::admin::{AdminAnswer, AdminAsk, MessageIdShown, PropertiesChange, Refused};
use crate::broker::catalogue::names;
use crate::service::admin::cx::{Cx, Flow, Stop, sorted_names};
use crate::service::admin::namespaces::{change_grants, inner, is_system};
use crate::service::admin::route::Handler;
use crate::service::admin::web::WebAnswer;
use crate::service::admin::{internal, messages, partitioned, stats, subscriptions, topic_policies};
use crate::wire::route::TopicName;

pub(super) fn find(method: &str, path: &[&str]) -> Option<Handler> {
    let [_, _, rest @ ..] = path else { return None };
    let found: Handler = match (method, rest) {
        ("GET", []) => list,
        ("GET", ["partitioned"]) => list_partitioned,
        ("PUT", [_]) => create,
        ("DELETE", [_]) => delete,
        ("GET", [_, "properties"]) => properties,
        ("PUT", [_, "properties"]) => merge_properties,
        ("DELETE", [_, "properties"]) => remove_property,
        ("GET", [_, "lastMessageId"]) => last_id,
        ("GET", [_, "messageid", _]) => id_by_time,
        ("POST", [_, "terminate"]) => terminate,
        ("PUT", [_, "unload"]) => |cx| each(cx, |topic| AdminAsk::Unload { topic }),
        ("DELETE", [_, "truncate"]) => truncate,
        ("PUT", [_, "compaction"]) => |cx| each(cx, |topic| AdminAsk::Compact { topic }),
        ("GET", [_, "compaction"]) => compaction,
        ("PUT", [_, "offload"]) => |cx| {
            plain(cx, 405)?;
            Err(Refused::new(405, "There is no second storage to offload to").into())
        },
        ("GET", [_, "offload"]) => offload,
        ("GET", [_, "permissions"]) => grants,
        ("POST", [_, "permissions", _]) => |cx| grant(cx, true),
        ("DELETE", [_, "permissions", _]) => |cx| grant(cx, false),
        ("PUT" | "POST", [_, "backlogSize"]) => backlog_size,
        (method, [_, rest @ ..]) => {
            return partitioned::find(method, rest)
                .or_else(|| stats::find(method, rest))
                .or_else(|| internal::find(method, rest))
                .or_else(|| messages::find(method, rest))
                .or_else(|| subscriptions::find(method, rest))
                .or_else(|| topic_policies::find(method, rest));
        }
        _ => return None,
    };
    Some(found)
}

/// The topic of the path, which is no partitioned one: those are refused with `status`.
pub(super) fn plain(cx: &mut Cx<'_>, status: u16) -> Flow<TopicName> {
    let topic = cx.known_topic()?;
    if cx.partitions(&topic)? > 0 {
        return Err(refuse_partitioned(&topic, status));
    }
    Ok(topic)
}

fn refuse_partitioned(topic: &TopicName, status: u16) -> Stop {
    let reason = match status {
        404 => format!("Topic {topic} not found"),
        _ => format!("{topic} is a partitioned topic: name one of its partitions"),
    };
    Refused::new(status, reason).into()
}

/// Only persistent topics can do this.
pub(super) fn persistent(cx: &Cx<'_>, status: u16) -> Flow<()> {
    match cx.path(0) {
        "persistent" => Ok(()),
        _ => Err(Refused::new(status, "Operation is not allowed on a non-persistent topic").into()),
    }
}

/// The same for a topic, or for each partition of a partitioned one. Partitions that were never used are left alone.
pub(super) fn each(cx: &mut Cx<'_>, ask: impl Fn(String) -> AdminAsk) -> Flow<WebAnswer> {
    let topic = cx.known_topic()?;
    match cx.partitions(&topic)? {
        0 => drop(cx.ask_one(&topic, ask(topic.to_string()))?),
        count => {
            let answers = cx.ask_partitions(&topic, 0..count, Some(404), ask)?;
            let missing = |answer: &&AdminAnswer| matches!(answer, AdminAnswer::Refused(_));
            if let (Some(AdminAnswer::Refused(refused)), true) =
                (answers.first(), answers.iter().filter(missing).count() == answers.len())
            {
                return Err(refused.clone().into());
            }
        }
    }
    Ok(WebAnswer::done())
}

fn list(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let namespace = cx.known_namespace("Namespace does not exist")?;
    let (domain, system) = (format!("{}://", cx.path(0)), cx.request.query.flag("includeSystemTopic"));
    let lists = cx.ask_all(|| AdminAsk::List { namespace: namespace.clone() })?;
    let wanted = |name: &&str| name.starts_with(&domain) && (system || !is_system(name));
    Ok(WebAnswer::json(&sorted_names(lists).into_iter().filter(wanted).collect()))
}

fn list_partitioned(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let namespace = cx.known_namespace("Namespace does not exist")?;
    let (domain, system) = (format!("{}://", cx.path(0)), cx.request.query.flag("includeSystemTopic"));
    let names = cx.catalogue.partitioned_of(&namespace).map(|(name, _)| name);
    let wanted = |name: &&str| name.starts_with(&domain) && (system || !is_system(name));
    Ok(WebAnswer::json(&names.filter(wanted).collect()))
}

/// A namespace may have so many topics and no more.
pub(super) fn check_room(cx: &mut Cx<'_>, topic: &TopicName, more: usize, status: u16) -> Flow<()> {
    let namespace = topic.namespace().to_owned();
    let most = cx.count(|cx| {
        let rules = cx.catalogue.effective(topic, &cx.config.defaults);
        u32::try_from(rules.topics_per_namespace_max).unwrap_or(u32::MAX)
    })?;
    if most == 0 || names::is_system(topic) {
        return Ok(());
    }
    let lists = cx.ask_all(|| AdminAsk::List { namespace: namespace.clone() })?;
    let there = sorted_names(lists).into_iter().filter(|name| !is_system(name)).count();
    match there + more > most as usize {
        true => Err(Refused::new(status, "Exceed maximum number of topics in namespace.").into()),
        false => Ok(()),
    }
}

fn create(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = cx.known_topic()?;
    let properties: BTreeMap<String, String> = cx.text_map()?.into_iter().collect();
    if topic.partition() >= 0 {
        let of_base = cx.partitions(&topic.base())?;
        if topic.partition().unsigned_abs() >= of_base {
            let (local, base) = (topic.local(), topic.base());
            let reason = format!(
                "Can't create topic {local} with \"-partition-\" followed by numeric value if there isn't a partitioned \
                 topic {} created.",
                base.local()
            );
            return Err(Refused::new(412, reason).into());
        }
    }
    if cx.partitions(&topic)? > 0 {
        return Err(Refused::new(409, "This topic already exists").into());
    }
    check_room(cx, &topic, 1, 409)?;
    cx.ask_one(&topic, AdminAsk::Create { topic: topic.to_string(), properties })?;
    Ok(WebAnswer::done())
}

fn delete(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = cx.known_topic()?;
    let force = cx.request.query.flag("force");
    if cx.partitions(&topic)? > 0 {
        let reason = format!("{topic} is a partitioned topic, delete it as one");
        return Err(Refused::new(409, reason).into());
    }
    match cx.ask_one(&topic, AdminAsk::Delete { topic: topic.to_string(), force }) {
        Err(Stop::Answer(answer)) if answer.status == 404 && !topic.is_persistent() => {}
        answer => drop(answer?),
    }
    cx.write(|catalogue| Ok(catalogue.plan_topic_gone(&topic)))?;
    Ok(WebAnswer::done())
}

fn properties(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = cx.known_topic()?;
    if let Some(record) = cx.catalogue.partitioned(&topic) {
        return Ok(WebAnswer::json(&Value::Object(record.properties.clone())));
    }
    match cx.ask_one(&topic, AdminAsk::Properties { topic: topic.to_string() })? {
        AdminAnswer::Properties(map) => Ok(WebAnswer::json(&json!(map))),
        other => Err(unexpected(other)),
    }
}

fn change_properties(cx: &mut Cx<'_>, merge: &[(String, String)], remove: Option<&str>) -> Flow<WebAnswer> {
    let topic = cx.known_topic()?;
    if cx.partitions(&topic)? > 0 {
        let merge: Map<String, Value> =
            merge.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        cx.write(|catalogue| catalogue.plan_properties(&topic, &merge, remove))?;
        return Ok(WebAnswer::done());
    }
    let change = match remove {
        Some(key) => PropertiesChange::Remove(key.to_owned()),
        None => PropertiesChange::Merge(merge.iter().cloned().collect()),
    };
    cx.ask_one(&topic, AdminAsk::ChangeProperties { topic: topic.to_string(), change })?;
    Ok(WebAnswer::done())
}

fn merge_properties(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let merge = cx.text_map()?;
    change_properties(cx, &merge, None)
}

fn remove_property(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let key = cx.request.query.get("key").unwrap_or_default();
    change_properties(cx, &[], Some(key))
}

/// A message id as it is shown. With a batch it says so.
pub(super) fn shown_id(id: &MessageIdShown) -> Value {
    let mut shown = Map::new();
    shown.insert("ledgerId".into(), id.ledger.into());
    shown.insert("entryId".into(), id.entry.into());
    shown.insert("partitionIndex".into(), id.partition.into());
    // The size is 0 in both forms, and the order of the two is another one in each.
    if id.batch_index < 0 {
        shown.insert("batchSize".into(), 0.into());
        shown.insert("batchIndex".into(), id.batch_index.into());
    } else {
        shown.insert("batchIndex".into(), id.batch_index.into());
        shown.insert("batchSize".into(), 0.into());
        shown.insert("outstandingAcksInSameBatch".into(), 0.into());
        shown.insert("originalBatchSize".into(), 0.into());
    }
    Value::Object(shown)
}

/// What a host never answers to such a question.
pub(super) fn unexpected(answer: &AdminAnswer) -> Stop {
    log::error!("a host answered another question: {answer:?}");
    Refused::new(500, "the broker answered another question").into()
}

fn answer_id(answer: &AdminAnswer) -> Flow<WebAnswer> {
    match answer {
        AdminAnswer::Id(id) => Ok(WebAnswer::json(&shown_id(id))),
        other => Err(unexpected(other)),
    }
}

fn last_id(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = plain(cx, 404)?;
    persistent(cx, 405)?;
    let answer = cx.ask_one(&topic, AdminAsk::LastId { topic: topic.to_string() })?;
    answer_id(answer)
}

fn id_by_time(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = plain(cx, 405)?;
    persistent(cx, 405)?;
    let time = cx.path(5).parse::<i64>().map_err(|_| Refused::new(404, "HTTP 404 Not Found"))?;
    let time = u64::try_from(time).unwrap_or(0);
    let answer = cx.ask_one(&topic, AdminAsk::IdByTime { topic: topic.to_string(), time })?;
    answer_id(answer)
}

fn terminate(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    persistent(cx, 406)?;
    let topic = plain(cx, 405)?;
    let answer = cx.ask_one(&topic, AdminAsk::Terminate { topic: topic.to_string() })?;
    answer_id(answer)
}

fn truncate(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    persistent(cx, 412)?;
    each(cx, |topic| AdminAsk::Truncate { topic })
}

fn compaction(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = plain(cx, 404)?;
    match cx.ask_one(&topic, AdminAsk::Compacted { topic: topic.to_string() })? {
        AdminAnswer::Size(time) => {
            let status = if *time == 0 { "NOT_RUN" } else { "SUCCESS" };
            Ok(WebAnswer::json(&json!({ "status": status, "lastError": "" })))
        }
        other => Err(unexpected(other)),
    }
}

fn offload(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = plain(cx, 405)?;
    exists(cx, &topic)?;
    let first =
        json!({ "ledgerId": -1, "entryId": -1, "partitionIndex": -1, "batchSize": 0, "batchIndex": -1 });
    Ok(WebAnswer::json(&json!({ "status": "NOT_RUN", "lastError": "", "firstUnoffloadedMessage": first })))
}

/// The topic is there, as a plain one or as one with partitions.
pub(super) fn exists(cx: &mut Cx<'_>, topic: &TopicName) -> Flow<()> {
    if cx.partitions(topic)? > 0 {
        return Ok(());
    }
    match cx.ask_one(topic, AdminAsk::Exists { topic: topic.to_string() })? {
        AdminAnswer::Exists(true) => Ok(()),
        _ => Err(Refused::new(404, format!("Topic {topic} not found")).into()),
    }
}

fn grants(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = cx.known_topic()?;
    exists(cx, &topic)?;
    let policies = cx.catalogue.namespace(topic.namespace());
    let auth = policies.and_then(|policies| policies.get("auth_policies"));
    let map = |kind: &str| auth.and_then(|auth| auth.get(kind)).and_then(Value::as_object);
    let mut shown = map("namespace_auth").cloned().unwrap_or_default();
    let own = map("destination_auth").and_then(|all| all.get(topic.as_str())).and_then(Value::as_object);
    shown.extend(own.cloned().unwrap_or_default());
    Ok(WebAnswer::json(&Value::Object(shown)))
}

fn grant(cx: &mut Cx<'_>, give: bool) -> Flow<WebAnswer> {
    let topic = cx.known_topic()?;
    exists(cx, &topic)?;
    let (role, actions) = (cx.path(5), cx.body()?.unwrap_or_else(|| json!([])));
    change_grants(cx, topic.namespace(), |auth| {
        let all = inner(auth, "destination_auth");
        let own = inner(all, topic.as_str());
        match give {
            true => drop(own.insert(role.to_owned(), actions.clone())),
            false => drop(own.shift_remove(role)),
        }
        if own.is_empty() {
            all.shift_remove(topic.as_str());
        }
    })
}

fn backlog_size(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = plain(cx, 405)?;
    persistent(cx, 405)?;
    let Some(id) = cx.object()? else { return Err(Refused::new(400, "a message id is needed").into()) };
    let behind = subscriptions::position_of(&id)?;
    match cx.ask_one(&topic, AdminAsk::BacklogSize { topic: topic.to_string(), behind })? {
        AdminAnswer::Size(bytes) => Ok(WebAnswer::json(&json!(bytes))),
        other => Err(unexpected(other)),
    }
}

const _: () =
    assert!(limit::PARTITIONS_MAX as usize >= limit::ADMIN_ASKS_MAX, "questions go out in portions");
