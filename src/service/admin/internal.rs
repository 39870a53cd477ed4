//! What is stored of a topic, as JSON (broker 6.7).

use serde_json::{Map, Value, json};

use crate::broker::admin::{AdminAnswer, AdminAsk};
use crate::broker::stats::{CursorStats, InternalStats, LedgerStats, PlaceShown, TopicState};
use crate::service::admin::cx::{Cx, Flow};
use crate::service::admin::messages::iso;
use crate::service::admin::route::Handler;
use crate::service::admin::stats::{metadata_json, object, partitioned_topic};
use crate::service::admin::topics::{plain, unexpected};
use crate::service::admin::web::WebAnswer;

/// `path` is what follows the topic.
pub(super) fn find(method: &str, path: &[&str]) -> Option<Handler> {
    Some(match (method, path) {
        ("GET", ["internalStats"]) => one,
        ("GET", ["internal-info"]) => info,
        ("GET", ["partitioned-internalStats"]) => partitioned,
        _ => return None,
    })
}

fn one(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = plain(cx, 404)?;
    match cx.ask_one(&topic, AdminAsk::Internal { topic: topic.to_string() })? {
        AdminAnswer::Internal(stats) => {
            let shown = if topic.is_persistent() { internal_json(stats) } else { volatile_json() };
            Ok(WebAnswer::json(&Value::Object(shown)))
        }
        other => Err(unexpected(other)),
    }
}

fn partitioned(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let (topic, count) = partitioned_topic(cx)?;
    let answers = cx.ask_partitions(&topic, 0..count, Some(404), |topic| AdminAsk::Internal { topic })?;
    let of = |(index, answer): (u32, &AdminAnswer)| match answer {
        AdminAnswer::Internal(stats) => {
            Some((topic.with_partition(index).to_string(), Value::Object(internal_json(stats))))
        }
        _ => None,
    };
    let partitions: Map<String, Value> = (0..).zip(answers).filter_map(of).collect();
    let metadata = metadata_json(cx, &topic, count);
    Ok(WebAnswer::json(&json!({ "metadata": metadata, "partitions": partitions })))
}

fn info(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = cx.known_topic()?;
    let count = cx.partitions(&topic)?;
    if count == 0 {
        return match cx.ask_one(&topic, AdminAsk::Internal { topic: topic.to_string() })? {
            AdminAnswer::Internal(stats) => Ok(WebAnswer::json(&info_json(stats))),
            other => Err(unexpected(other)),
        };
    }
    let answers = cx.ask_partitions(&topic, 0..count, Some(404), |topic| AdminAsk::Internal { topic })?;
    let of = |(index, answer): (u32, &AdminAnswer)| match answer {
        AdminAnswer::Internal(stats) => Some((topic.with_partition(index).to_string(), info_json(stats))),
        _ => None,
    };
    let partitions: Map<String, Value> = (0..).zip(answers).filter_map(of).collect();
    Ok(WebAnswer::json(&json!({ "version": 0, "partitions": partitions })))
}

fn place(place: PlaceShown) -> String {
    format!("{}:{}", place.ledger, place.entry)
}

fn state(state: TopicState) -> &'static str {
    match state {
        TopicState::LedgerOpened => "LedgerOpened",
        TopicState::ClosedLedger => "ClosedLedger",
        TopicState::Terminated => "Terminated",
        TopicState::Fenced => "Fenced",
    }
}

pub(super) fn internal_json(stats: &InternalStats) -> Map<String, Value> {
    let ledger = |ledger: &LedgerStats| {
        // The original counts the open ledger's entries apart.
        let (entries, bytes) = if ledger.closed { (ledger.entries, ledger.bytes) } else { (0, 0) };
        json!({ "ledgerId": ledger.id.0, "entries": entries, "size": bytes, "offloaded": false, "underReplicated": false })
    };
    let current = stats.ledgers.last().filter(|ledger| !ledger.closed);
    let cursors: Map<String, Value> = stats
        .cursors
        .iter()
        .map(|(name, cursor)| (url_encoded(name), Value::Object(cursor_json(cursor))))
        .collect();
    object([
        ("entriesAddedCounter", stats.added.into()),
        ("numberOfEntries", stats.entries.into()),
        ("totalSize", stats.bytes.into()),
        ("currentLedgerEntries", current.map_or(0, |ledger| ledger.entries).into()),
        ("currentLedgerSize", current.map_or(0, |ledger| ledger.bytes).into()),
        ("lastLedgerCreatedTimestamp", iso(stats.ledger_opened_ms).into()),
        ("waitingCursorsCount", 0.into()),
        ("pendingAddEntriesCount", stats.pending.into()),
        ("lastConfirmedEntry", place(stats.last).into()),
        ("state", state(stats.state).into()),
        ("ledgers", stats.ledgers.iter().map(ledger).collect()),
        ("cursors", Value::Object(cursors)),
        ("schemaLedgers", json!([])),
        (
            "compactedLedger",
            json!({ "ledgerId": -1, "entries": -1, "size": -1, "offloaded": false, "underReplicated": false }),
        ),
    ])
}

fn volatile_json() -> Map<String, Value> {
    object([
        ("entriesAddedCounter", 0.into()),
        ("numberOfEntries", 0.into()),
        ("totalSize", 0.into()),
        ("currentLedgerEntries", 0.into()),
        ("currentLedgerSize", 0.into()),
        ("waitingCursorsCount", 0.into()),
        ("pendingAddEntriesCount", 0.into()),
        ("cursors", json!({})),
    ])
}

fn cursor_json(cursor: &CursorStats) -> Map<String, Value> {
    let run = |(first, last): &(crate::base::id::Position, crate::base::id::Position)| {
        let before = i128::from(first.entry.0) - 1;
        format!("({}:{before}..{}:{}]", first.ledger.0, last.ledger.0, last.entry.0)
    };
    let runs: Vec<String> = cursor.runs.iter().map(run).collect();
    object([
        ("markDeletePosition", place(cursor.mark_delete).into()),
        ("readPosition", format!("{}:{}", cursor.read.ledger.0, cursor.read.entry.0).into()),
        ("waitingReadOp", false.into()),
        ("pendingReadOps", 0.into()),
        ("messagesConsumedCounter", cursor.consumed.into()),
        ("cursorLedger", (-1).into()),
        ("cursorLedgerLastEntry", (-1).into()),
        ("individuallyDeletedMessages", format!("[{}]", runs.join(",")).into()),
        ("lastLedgerSwitchTimestamp", iso(cursor.saved_ms).into()),
        ("state", if cursor.durable { "Open" } else { "NoLedger" }.into()),
        ("active", cursor.active.into()),
        ("numberOfEntriesSinceFirstNotAckedMessage", cursor.entries_left.into()),
        ("totalNonContiguousDeletedMessagesRange", cursor.runs.len().into()),
        ("subscriptionHavePendingRead", false.into()),
        ("subscriptionHavePendingReplayRead", false.into()),
        ("properties", json!(cursor.properties)),
    ])
}

fn info_json(stats: &InternalStats) -> Value {
    let ledger = |ledger: &LedgerStats| match ledger.closed {
        true => json!({ "ledgerId": ledger.id.0, "entries": ledger.entries, "size": ledger.bytes,
            "timestamp": ledger.closed_ms, "isOffloaded": false }),
        false => json!({ "ledgerId": ledger.id.0, "isOffloaded": false }),
    };
    let position = |place: PlaceShown| json!({ "ledgerId": place.ledger, "entryId": place.entry });
    let cursor = |(name, cursor): (&String, &CursorStats)| {
        let saved = iso(cursor.saved_ms);
        let shown = json!({ "version": 0, "creationDate": saved, "modificationDate": saved, "cursorsLedgerId": -1,
            "markDelete": position(cursor.mark_delete) });
        (url_encoded(name), shown)
    };
    let mut shown = object([
        ("version", 0.into()),
        ("creationDate", iso(stats.created_ms).into()),
        ("modificationDate", iso(stats.ledger_opened_ms).into()),
        ("ledgers", stats.ledgers.iter().map(ledger).collect()),
    ]);
    if let Some(end) = stats.terminated {
        shown.insert("terminatedPosition".into(), position(end));
    }
    let durable = stats.cursors.iter().filter(|(_, cursor)| cursor.durable);
    shown.insert("cursors".into(), Value::Object(durable.map(cursor).collect()));
    if !stats.properties.is_empty() {
        shown.insert("properties".into(), json!(stats.properties));
    }
    Value::Object(shown)
}

/// Form encoding, as the original writes names of cursors.
fn url_encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
