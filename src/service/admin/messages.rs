//! Single messages over REST (broker 6.4): the payload as the body, its metadata as headers.

use std::collections::BTreeMap;

use prost::Message;

use crate::base::id::{EntryId, LedgerId, Position};
use crate::base::limit;
use crate::base::time::UnixMillis;
use crate::broker::admin::{AdminAnswer, AdminAsk, EntryShown, Refused};
use crate::service::admin::cx::{Cx, Flow};
use crate::service::admin::route::Handler;
use crate::service::admin::topics::{persistent, plain, unexpected};
use crate::service::admin::web::WebAnswer;
use crate::wire::pulsar::proto::MessageMetadata;
use crate::wire::pulsar::{compression, frame};
use crate::wire::text::date;

/// `path` is what follows the topic.
pub(super) fn find(method: &str, path: &[&str]) -> Option<Handler> {
    Some(match (method, path) {
        ("GET", ["subscription", _, "position", _]) => peek,
        ("GET", ["ledger", _, "entry", _]) => entry,
        ("GET", ["examinemessage"]) => examine,
        _ => return None,
    })
}

fn peek(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    persistent(cx, 405)?;
    let topic = plain(cx, 405)?;
    let position = match cx.path(7).parse::<u64>() {
        Ok(position) if position > 0 => position,
        _ => return Err(Refused::new(400, "messages are counted from 1").into()),
    };
    let subscription = cx.path(5).to_owned();
    let answer = cx.ask_one(&topic, AdminAsk::Peek { topic: topic.to_string(), subscription, position })?;
    shown(answer)
}

fn entry(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    persistent(cx, 405)?;
    let topic = plain(cx, 405)?;
    let number = |index| cx.path(index).parse::<u64>().map_err(|_| Refused::new(404, "Message id not found"));
    let at = Position { ledger: LedgerId(number(5)?), entry: EntryId(number(7)?) };
    let answer = cx.ask_one(&topic, AdminAsk::Entry { topic: topic.to_string(), at })?;
    shown(answer)
}

fn examine(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    persistent(cx, 405)?;
    let topic = plain(cx, 405)?;
    let from_earliest = cx.request.query.get("initialPosition") == Some("earliest");
    let position = cx.request.query.get("messagePosition").map_or(Ok(1), str::parse::<i64>);
    let position = position.map_err(|_| Refused::new(404, "HTTP 404 Not Found"))?;
    let position = u64::try_from(position).unwrap_or(1).max(1);
    let ask = AdminAsk::Examine { topic: topic.to_string(), from_earliest, position };
    let answer = cx.ask_one(&topic, ask)?;
    shown(answer)
}

fn shown(answer: &AdminAnswer) -> Flow<WebAnswer> {
    match answer {
        AdminAnswer::Entry(entry) => Ok(message(entry)?),
        other => Err(unexpected(other)),
    }
}

/// What cannot be opened, because it is encrypted or damaged, is shown as it is stored.
fn message(entry: &EntryShown) -> Result<WebAnswer, Refused> {
    let unreadable = |what: String| Refused::new(500, format!("the entry cannot be read: {what}"));
    let payload = frame::payload(&entry.entry).map_err(|error| unreadable(error.to_string()))?;
    let metadata =
        MessageMetadata::decode(payload.metadata).map_err(|error| unreadable(error.to_string()))?;
    let codec = metadata.compression.unwrap_or(0);
    let size = metadata.uncompressed_size.unwrap_or(0) as usize;
    let mut body = Vec::new();
    let opened = metadata.encryption_keys.is_empty()
        && compression::decompress(codec, payload.body, size, limit::MESSAGE_SIZE_MAX, &mut body).is_ok();
    if !opened {
        body = payload.body.to_vec();
    }
    // As the original counts a batch: the entry without its metadata.
    let without_metadata = entry.entry.len() - payload.metadata.len();
    Ok(WebAnswer { headers: headers(entry.at, &metadata, without_metadata), ..WebAnswer::text(body) })
}

/// Names of compressions by number.
const CODECS: [&str; 5] = ["NONE", "LZ4", "ZLIB", "ZSTD", "SNAPPY"];

fn headers(at: Position, metadata: &MessageMetadata, stored: usize) -> Vec<String> {
    let mut headers = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        let Some(value) = value else { return };
        // A header line is visible text: what is not would end it.
        let value: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        headers.push(format!("X-Pulsar-{name}: {value}"));
    };
    let properties: BTreeMap<&str, &str> =
        metadata.properties.iter().map(|pair| (pair.key.as_str(), pair.value.as_str())).collect();
    let codec = |number: i32| usize::try_from(number).ok().and_then(|number| CODECS.get(number));
    add("Message-ID", Some(format!("{}:{}", at.ledger.0, at.entry.0)));
    add("PROPERTY", Some(ascii(&serde_json::json!(properties).to_string())));
    add("publish-time", Some(iso(metadata.publish_time)));
    add("event-time", metadata.event_time.map(iso));
    add("deliver-at-time", metadata.deliver_at_time.map(|time| iso(u64::try_from(time).unwrap_or(0))));
    add("num-batch-message", metadata.num_messages_in_batch.map(|count| count.to_string()));
    add("batch-size", metadata.num_messages_in_batch.map(|_| stored.to_string()));
    add("null-value", metadata.null_value.map(|null| null.to_string()));
    add("Is-Encrypted", Some((!metadata.encryption_keys.is_empty()).to_string()));
    add("producer-name", Some(metadata.producer_name.clone()));
    add("sequence-id", Some(metadata.sequence_id.to_string()));
    add("replicated-from", metadata.replicated_from.clone());
    metadata.replicate_to.iter().for_each(|cluster| add("replicated-to", Some(cluster.clone())));
    add("partition-key", metadata.partition_key.clone());
    add("compression", metadata.compression.and_then(codec).map(|name| (*name).to_owned()));
    add("uncompressed-size", metadata.uncompressed_size.map(|size| size.to_string()));
    add("encryption-algo", metadata.encryption_algo.clone());
    add("partition-key-b64-encoded", metadata.partition_key_b64_encoded.map(|encoded| encoded.to_string()));
    add("marker-type", metadata.marker_type.map(|kind| kind.to_string()));
    add("highest-sequence-id", metadata.highest_sequence_id.map(|id| id.to_string()));
    add("uuid", metadata.uuid.clone());
    add("num-chunks-from-msg", metadata.num_chunks_from_msg.map(|count| count.to_string()));
    add("total-chunk-msg-size", metadata.total_chunk_msg_size.map(|size| size.to_string()));
    add("chunk-id", metadata.chunk_id.map(|id| id.to_string()));
    let base64 = |bytes: &Vec<u8>| base64_simd::STANDARD.encode_to_string(bytes);
    add("encryption-param", metadata.encryption_param.as_ref().map(base64));
    add("schema-version", metadata.schema_version.as_ref().map(base64));
    add("ordering-key", metadata.ordering_key.as_ref().map(base64));
    add("txn-uncommitted", Some("false".to_owned()));
    headers
}

/// JSON text with everything beyond ASCII escaped: headers hold nothing else safely.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c.is_ascii() {
            true => out.push(c),
            false => {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
            }
        }
    }
    out
}

/// `2026-01-02T03:04:05.678Z`.
pub(super) fn iso(millis: u64) -> String {
    let mut out = Vec::new();
    date::put(&mut out, UnixMillis(i64::try_from(millis).unwrap_or(i64::MAX)));
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_hold_nothing_that_ends_them() {
        assert_eq!(ascii("{\"k\":\"\u{e4}\u{1f600}\"}"), "{\"k\":\"\\u00e4\\ud83d\\ude00\"}");
        let producer_name = "a\r\nX: y".to_owned();
        let metadata = MessageMetadata { producer_name, publish_time: 1, ..Default::default() };
        let lines = headers(Position { ledger: LedgerId(3), entry: EntryId(4) }, &metadata, 0);
        assert!(lines.iter().all(|line| !line.contains(['\r', '\n'])), "{lines:?}");
        assert_eq!(lines[0], "X-Pulsar-Message-ID: 3:4");
        assert!(lines.contains(&"X-Pulsar-publish-time: 1970-01-01T00:00:00.001Z".to_owned()), "{lines:?}");
        assert!(lines.contains(&"X-Pulsar-PROPERTY: {}".to_owned()), "{lines:?}");
    }
}
