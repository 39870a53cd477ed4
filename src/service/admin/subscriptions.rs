//! Subscriptions of a topic (broker 6.4).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::base::id::{EntryId, LedgerId, Position};
use crate::broker::admin::{AdminAnswer, AdminAsk, Expire, Place, PropertiesChange, Refused};
use crate::broker::catalogue::names;
use crate::service::admin::cx::{Cx, Flow, Stop, sorted_names};
use crate::service::admin::route::Handler;
use crate::service::admin::topics::{check_room, each, persistent, plain, unexpected};
use crate::service::admin::web::WebAnswer;

/// `path` is what follows the topic.
pub(super) fn find(method: &str, path: &[&str]) -> Option<Handler> {
    Some(match (method, path) {
        ("GET", ["subscriptions"]) => list,
        ("PUT", ["subscription", _]) => create,
        ("DELETE", ["subscription", _]) => delete,
        ("POST", ["subscription", _, "skip_all"]) => |cx| skip(cx, None),
        ("POST", ["subscription", _, "skip", _]) => skip_some,
        ("POST", ["subscription", _, "expireMessages", _]) => |cx| expire(cx, true),
        ("POST", ["all_subscription", "expireMessages", _]) => |cx| expire(cx, false),
        ("POST", ["subscription", _, "expireMessages"]) => expire_by_id,
        ("POST", ["subscription", _, "resetcursor", _]) => reset_by_time,
        ("POST", ["subscription", _, "resetcursor"]) => reset_by_id,
        ("GET", ["subscription", _, "properties"]) => properties,
        ("PUT", ["subscription", _, "properties"]) => set_properties,
        ("GET", ["subscription", _, "replicatedSubscriptionStatus"]) => |cx| {
            plain(cx, 405)?;
            Ok(WebAnswer::json(&json!({})))
        },
        ("POST", ["subscription", _, "replicatedSubscriptionStatus"]) => |cx| {
            plain(cx, 405)?;
            Ok(WebAnswer::done())
        },
        _ => return None,
    })
}

/// Element of the subscription's name behind `/admin/v2/`.
const SUBSCRIPTION_AT: usize = 5;

fn list(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = cx.known_topic()?;
    let names = |answers: &[AdminAnswer]| {
        let mut names: Vec<String> = sorted_names(answers).into_iter().map(str::to_owned).collect();
        names.dedup();
        WebAnswer::json(&names.into())
    };
    match cx.partitions(&topic)? {
        0 => {
            let answer = cx.ask_one(&topic, AdminAsk::Subscriptions { topic: topic.to_string() })?;
            Ok(names(std::slice::from_ref(answer)))
        }
        count => {
            let ask = |topic| AdminAsk::Subscriptions { topic };
            Ok(names(cx.ask_partitions(&topic, 0..count, Some(404), ask)?))
        }
    }
}

/// A message id of a body, with what comes along.
struct IdGiven {
    at: Place,
    batch_index: Option<u32>,
    properties: BTreeMap<String, String>,
}

/// Ledger and entry of a message id.
pub(super) fn position_of(id: &Map<String, Value>) -> Flow<Position> {
    let number = |name: &str| id.get(name).and_then(Value::as_i64);
    match (number("ledgerId"), number("entryId")) {
        (Some(ledger), Some(entry)) => Ok(Position {
            ledger: LedgerId(u64::try_from(ledger).unwrap_or(0)),
            entry: EntryId(u64::try_from(entry).unwrap_or(0)),
        }),
        _ => Err(Stop::Answer(WebAnswer::malformed("a message id has ledgerId and entryId"))),
    }
}

/// Reads `"earliest"`, `"latest"` or a message id. `None`: there is no body.
fn id_given(cx: &Cx<'_>) -> Flow<Option<IdGiven>> {
    let plain = |at| IdGiven { at, batch_index: None, properties: BTreeMap::new() };
    let id = match cx.body()? {
        None => return Ok(None),
        Some(Value::String(word)) => match word.as_str() {
            "earliest" => return Ok(Some(plain(Place::Earliest))),
            "latest" => return Ok(Some(plain(Place::Latest))),
            other => return Err(Refused::new(400, format!("{other} is no place in a topic")).into()),
        },
        Some(Value::Object(id)) => id,
        Some(_) => return Err(Stop::Answer(WebAnswer::malformed("a message id is expected"))),
    };
    let number = |name: &str| id.get(name).and_then(Value::as_i64);
    let position = position_of(&id)?;
    let excluded = id.get("excluded").and_then(Value::as_bool).unwrap_or(false);
    let at = match (number("ledgerId"), number("entryId")) {
        // The official clients' names of the two ends are the largest and the smallest numbers.
        (Some(i64::MAX), _) => Place::Latest,
        (Some(ledger), _) if ledger < 0 => Place::Earliest,
        _ if excluded => Place::Behind(position),
        _ => Place::Before(position),
    };
    let batch_index = number("batchIndex").and_then(|index| u32::try_from(index).ok());
    let texts = id.get("properties").and_then(Value::as_object).into_iter().flatten();
    let properties =
        texts.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
    Ok(Some(IdGiven { at, batch_index, properties }))
}

fn create(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = cx.known_topic()?;
    persistent(cx, 400)?;
    let subscription = cx.path(SUBSCRIPTION_AT).to_owned();
    names::subscription(&subscription)?;
    let given = id_given(cx)?;
    let given =
        given.unwrap_or(IdGiven { at: Place::Latest, batch_index: None, properties: BTreeMap::new() });
    let replicated = cx.request.query.flag("replicated");
    let ask = |topic| AdminAsk::CreateSubscription {
        topic,
        subscription: subscription.clone(),
        at: given.at,
        properties: given.properties.clone(),
        replicated,
    };
    let count = cx.partitions(&topic)?;
    if count > 0 {
        cx.ask_partitions(&topic, 0..count, None, ask)?;
        return Ok(WebAnswer::done());
    }
    if let AdminAnswer::Exists(false) = cx.ask_one(&topic, AdminAsk::Exists { topic: topic.to_string() })? {
        let defaults = &cx.config.defaults;
        let allowed =
            cx.count(|cx| u32::from(cx.catalogue.allows_auto_creation(topic.namespace(), defaults)))?;
        if allowed == 0 {
            return Err(Refused::new(412, "Topic does not exist and cannot be auto-created").into());
        }
        check_room(cx, &topic, 1, 409)?;
    }
    cx.ask_one(&topic, ask(topic.to_string()))?;
    Ok(WebAnswer::done())
}

fn delete(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let (subscription, force) = (cx.path(SUBSCRIPTION_AT).to_owned(), cx.request.query.flag("force"));
    each(cx, |topic| AdminAsk::DeleteSubscription { topic, subscription: subscription.clone(), force })
}

fn skip(cx: &mut Cx<'_>, entries: Option<u64>) -> Flow<WebAnswer> {
    persistent(cx, 405)?;
    let subscription = cx.path(SUBSCRIPTION_AT).to_owned();
    each(cx, |topic| AdminAsk::Skip { topic, subscription: subscription.clone(), entries })
}

fn skip_some(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    plain(cx, 405)?;
    let entries = number_at(cx, SUBSCRIPTION_AT + 2)?;
    match u64::try_from(entries) {
        Ok(0) | Err(_) => Ok(WebAnswer::done()),
        Ok(entries) => skip(cx, Some(entries)),
    }
}

fn number_at(cx: &Cx<'_>, index: usize) -> Flow<i64> {
    cx.path(index).parse().map_err(|_| Refused::new(404, "HTTP 404 Not Found").into())
}

fn expire(cx: &mut Cx<'_>, one: bool) -> Flow<WebAnswer> {
    persistent(cx, 405)?;
    let (subscription, at) = match one {
        true => (Some(cx.path(SUBSCRIPTION_AT).to_owned()), SUBSCRIPTION_AT + 2),
        false => (None, SUBSCRIPTION_AT + 1),
    };
    let seconds = u64::try_from(number_at(cx, at)?).unwrap_or(0);
    each(cx, |topic| AdminAsk::Expire {
        topic,
        subscription: subscription.clone(),
        what: Expire::Seconds(seconds),
    })
}

fn expire_by_id(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    persistent(cx, 405)?;
    let topic = plain(cx, 405)?;
    let Some(id) = cx.object()? else { return Err(Refused::new(400, "a message id is needed").into()) };
    let what = Expire::UpTo(position_of(&id)?);
    let subscription = Some(cx.path(SUBSCRIPTION_AT).to_owned());
    cx.ask_one(&topic, AdminAsk::Expire { topic: topic.to_string(), subscription, what })?;
    Ok(WebAnswer::done())
}

fn reset_by_time(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    persistent(cx, 405)?;
    let subscription = cx.path(SUBSCRIPTION_AT).to_owned();
    let time = u64::try_from(number_at(cx, SUBSCRIPTION_AT + 2)?).unwrap_or(0);
    each(cx, |topic| AdminAsk::Reset {
        topic,
        subscription: subscription.clone(),
        at: Place::Time(time),
        batch_index: None,
    })
}

fn reset_by_id(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    persistent(cx, 405)?;
    let topic = plain(cx, 405)?;
    let Some(given) = id_given(cx)? else { return Err(Refused::new(400, "a message id is needed").into()) };
    let subscription = cx.path(SUBSCRIPTION_AT).to_owned();
    let (topic_name, batch_index) = (topic.to_string(), given.batch_index);
    cx.ask_one(&topic, AdminAsk::Reset { topic: topic_name, subscription, at: given.at, batch_index })?;
    Ok(WebAnswer::done())
}

fn properties(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = cx.known_topic()?;
    let count = cx.partitions(&topic)?;
    let of = if count > 0 { topic.with_partition(0) } else { topic };
    let subscription = cx.path(SUBSCRIPTION_AT).to_owned();
    match cx.ask_one(&of, AdminAsk::SubscriptionProperties { topic: of.to_string(), subscription })? {
        AdminAnswer::Properties(map) => Ok(WebAnswer::json(&json!(map))),
        other => Err(unexpected(other)),
    }
}

fn set_properties(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let map: BTreeMap<String, String> = cx.text_map()?.into_iter().collect();
    let subscription = cx.path(SUBSCRIPTION_AT).to_owned();
    each(cx, |topic| AdminAsk::ChangeSubscriptionProperties {
        topic,
        subscription: subscription.clone(),
        change: PropertiesChange::Replace(map.clone()),
    })
}
