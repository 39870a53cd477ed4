//! Partitioned topics (broker 2.4, 6.4): a record in the catalogue and the topics of its partitions.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::broker::admin::{AdminAnswer, AdminAsk, Place, Refused};
use crate::service::admin::cx::{Cx, Flow, Stop};
use crate::service::admin::route::Handler;
use crate::service::admin::topics::{check_room, shown_id};
use crate::service::admin::web::WebAnswer;
use crate::wire::route::TopicName;

/// `path` is what follows the topic.
pub(super) fn find(method: &str, path: &[&str]) -> Option<Handler> {
    Some(match (method, path) {
        ("PUT", ["partitions"]) => create,
        ("POST", ["partitions"]) => grow,
        ("GET", ["partitions"]) => show,
        ("DELETE", ["partitions"]) => delete,
        ("POST", ["createMissedPartitions"]) => |cx| {
            let topic = cx.known_topic()?;
            let count = cx.partitions(&topic)?;
            if count == 0 {
                return Err(not_found(&topic));
            }
            make(cx, &topic, 0..count)
        },
        ("POST", ["terminate", "partitions"]) => terminate,
        _ => return None,
    })
}

fn not_found(topic: &TopicName) -> Stop {
    Refused::new(404, format!("Topic {topic} not found")).into()
}

/// How many partitions the body wants, and their properties.
fn wanted(cx: &Cx<'_>) -> Flow<(i64, Map<String, Value>)> {
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    let found = match cx.body()? {
        Some(Value::Object(map)) => {
            let properties = map.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
            map.get("partitions").and_then(number).map(|count| (count, properties))
        }
        Some(value) => number(&value).map(|count| (count, Map::new())),
        None => None,
    };
    found.ok_or_else(|| Stop::Answer(WebAnswer::malformed("a number of partitions is expected")))
}

/// Makes partitions that are not there.
fn make(cx: &mut Cx<'_>, topic: &TopicName, partitions: std::ops::Range<u32>) -> Flow<WebAnswer> {
    let create = |topic| AdminAsk::Create { topic, properties: BTreeMap::new() };
    cx.ask_partitions(topic, partitions, Some(409), create)?;
    Ok(WebAnswer::done())
}

fn create(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = cx.known_topic()?;
    let (count, properties) = wanted(cx)?;
    let most = cx.config.partitions_max;
    cx.check(|cx| cx.catalogue.plan_partitioned(&topic, count, &properties, most).map(drop))?;
    check_room(cx, &topic, usize::try_from(count).unwrap_or(0), 412)?;
    if let AdminAnswer::Exists(true) = cx.ask_one(&topic, AdminAsk::Exists { topic: topic.to_string() })? {
        return Err(Refused::new(409, "This topic already exists").into());
    }
    cx.write(|catalogue| catalogue.plan_partitioned(&topic, count, &properties, most))?;
    let count = cx.partitions(&topic)?;
    make(cx, &topic, 0..count)
}

/// New partitions begin with the subscriptions of the first one, so that no message to them is missed; then the record tells clients.
fn grow(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = cx.known_topic()?;
    let (count, _) = wanted(cx)?;
    let most = cx.config.partitions_max;
    cx.check(|cx| cx.catalogue.plan_partitions(&topic, count, most).map(drop))?;
    let before = cx.partitions(&topic)?;
    let after = u32::try_from(count).unwrap_or(before);
    if after == before {
        return make(cx, &topic, 0..before);
    }
    check_room(cx, &topic, after.saturating_sub(before) as usize, 412)?;
    make(cx, &topic, before..after)?;
    let first = topic.with_partition(0);
    let stored = cx.ask(|cx| vec![(cx.store_of(&first), AdminAsk::Internal { topic: first.to_string() })])?;
    let durable: Vec<&String> = match stored.first() {
        Some(AdminAnswer::Internal(stats)) => {
            stats.cursors.iter().filter(|(_, cursor)| cursor.durable).map(|(name, _)| name).collect()
        }
        _ => Vec::new(), // the first partition was never used
    };
    for subscription in durable {
        let copy = |topic| AdminAsk::CreateSubscription {
            topic,
            subscription: subscription.clone(),
            at: Place::Earliest,
            properties: BTreeMap::new(),
            replicated: false,
        };
        cx.ask_partitions(&topic, before..after, Some(409), copy)?;
    }
    cx.write(|catalogue| catalogue.plan_partitions(&topic, count, most))?;
    Ok(WebAnswer::done())
}

fn shown(partitions: u32, properties: Option<&Map<String, Value>>) -> WebAnswer {
    let mut shown = Map::new();
    shown.insert("partitions".into(), partitions.into());
    shown.insert("deleted".into(), false.into());
    if let Some(properties) = properties.filter(|properties| !properties.is_empty()) {
        shown.insert("properties".into(), Value::Object(properties.clone()));
    }
    WebAnswer::json(&Value::Object(shown))
}

fn show(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = cx.known_topic()?;
    if cx.partitions(&topic)? > 0 {
        let record = cx.catalogue.partitioned(&topic);
        return Ok(shown(
            record.map_or(0, |record| record.partitions),
            record.map(|record| &record.properties),
        ));
    }
    let of_base = cx.partitions(&topic.base())?;
    if topic.partition() >= 0 && topic.partition().unsigned_abs() < of_base {
        return Ok(shown(0, None));
    }
    if let AdminAnswer::Exists(true) = cx.ask_one(&topic, AdminAsk::Exists { topic: topic.to_string() })? {
        return Ok(shown(0, None));
    }
    let create = cx.request.query.flag("checkAllowAutoCreation") && topic.partition() < 0;
    let defaults = &cx.config.defaults;
    let partitions = cx.count(|cx| {
        let creation = cx.catalogue.auto_creation(topic.namespace(), defaults);
        match (create && creation.allowed, creation.partitions) {
            (false, _) => u32::MAX,
            (true, None) => 0,
            (true, Some(count)) => count,
        }
    })?;
    match partitions {
        u32::MAX => Err(not_found(&topic)),
        0 => Ok(shown(0, None)),
        count => {
            cx.write(|catalogue| match catalogue.partitions(&topic) {
                0 => catalogue.plan_partitioned(&topic, i64::from(count), &Map::new(), 0),
                _ => Ok(Vec::new()),
            })?;
            Ok(shown(cx.catalogue.partitions(&topic), None))
        }
    }
}

fn delete(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = cx.known_topic()?;
    let force = cx.request.query.flag("force");
    if topic.partition() >= 0 {
        let reason = "Partitioned Topic Name should not contain '-partition-'";
        return Err(Refused::new(412, reason).into());
    }
    let count = cx.partitions(&topic)?;
    if count == 0 {
        return match cx.ask_one(&topic, AdminAsk::Exists { topic: topic.to_string() })? {
            AdminAnswer::Exists(true) => {
                Err(Refused::new(409, format!("Topic {topic} is not the partitioned topic.")).into())
            }
            _ => Err(not_found(&topic)),
        };
    }
    let delete = |topic| AdminAsk::Delete { topic, force };
    match cx.ask_partitions(&topic, 0..count, Some(404), delete) {
        Err(Stop::Answer(answer)) if answer.status == 412 => {
            return Err(Refused::new(412, "Topic has active producers/subscriptions").into());
        }
        answer => drop(answer?),
    }
    cx.write(|catalogue| Ok(catalogue.plan_topic_gone(&topic)))?;
    Ok(WebAnswer::done())
}

fn terminate(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    super::topics::persistent(cx, 406)?;
    let topic = cx.known_topic()?;
    let count = cx.partitions(&topic)?;
    if count == 0 {
        super::topics::exists(cx, &topic)?;
        return Err(Refused::new(405, "Termination of a non-partitioned topic is not allowed using partitioned-terminate, please use terminate commands").into());
    }
    make(cx, &topic, 0..count)?;
    let answers = cx.ask_partitions(&topic, 0..count, None, |topic| AdminAsk::Terminate { topic })?;
    let ids = answers.iter().enumerate().filter_map(|(index, answer)| match answer {
        AdminAnswer::Id(id) => Some((index.to_string(), shown_id(id))),
        _ => None,
    });
    Ok(WebAnswer::json(&json!(ids.collect::<Map<String, Value>>())))
}
