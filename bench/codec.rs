//! Micro benchmarks of the message path's codecs: no I/O, one thread, the same input each time.
//!
//! ```text
//! cargo bench --bench codec              nanoseconds per operation, best of five
//! cargo bench --bench codec -- json      only what is named so
//! valgrind --tool=callgrind target/release/deps/codec-* --bench --once json     instructions, to compare two commits
//! ```
//! `cargo test` runs each a few times. The hash of the results must not change from commit to commit.

// A clock is what a benchmark is about.
#![allow(clippy::disallowed_methods, clippy::expect_used)]

use pulsegate::base::prng::Prng;
use pulsegate::base::time::UnixMillis;
use pulsegate::wire::pulsar::entry::{self, EntryMetadata};
use pulsegate::wire::pulsar::metadata::MetadataView;
use pulsegate::wire::pulsar::{Command, MessageId, frame, proto};
use pulsegate::wire::text::reply::{self, Delivery};
use pulsegate::wire::text::{JsonReader, base64};
use pulsegate::wire::ws::{Decoder, DecoderConfig, Event};
use std::convert::Infallible;
use std::hint::black_box;
use std::time::Instant;

/// Payload bytes of the messages: the sizes of the figures in `tuning.md`.
const SIZES: [usize; 3] = [128, 1024, 64 * 1024];
const ROUNDS: usize = 5;

struct Bench {
    /// Operations per round and kilobyte of payload; 0: the few of a test.
    scale: usize,
    only: Option<String>,
}

impl Bench {
    /// Times `operation`, which returns a hash of its result; prints the best round and that hash.
    fn run(&self, name: &str, size: usize, mut operation: impl FnMut() -> u64) {
        let name = format!("{name} {size} B");
        if self.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            return;
        }
        let count = if self.scale == 0 { 3 } else { (self.scale * 1024 / size.max(128)).max(10) };
        let (expected, mut best) = (operation(), f64::INFINITY);
        for _ in 0..if self.scale == 0 { 1 } else { ROUNDS } {
            let start = Instant::now();
            let same = (0..count).filter(|_| black_box(operation()) == expected).count();
            best = best.min(start.elapsed().as_nanos() as f64 / count as f64);
            assert_eq!(same, count, "{name}: the same input gives the same result");
        }
        println!("{name:<32} {best:>10.0} ns   result {expected:016x}");
    }
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(bytes.len() as u64, |sum, byte| sum.rotate_left(5) ^ u64::from(*byte))
}

fn request(size: usize) -> Vec<u8> {
    let mut prng = Prng::new(size as u64);
    let body: Vec<u8> = (0..size).map(|_| prng.next() as u8).collect();
    let mut text = br#"{"payload":""#.to_vec();
    base64::encode(&body, &mut text);
    text.extend_from_slice(br#"","context":"12345"}"#);
    text
}

/// A client's masked text frame.
fn masked(text: &[u8]) -> Vec<u8> {
    let mask = [0x12, 0x34, 0x56, 0x78];
    let mut frame = vec![0x81];
    match text.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(text.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn metadata() -> EntryMetadata<'static> {
    EntryMetadata {
        producer_name: "standalone-0-1",
        sequence_id: 12_345,
        publish_time: 1_700_000_000_000,
        ..Default::default()
    }
}

fn put_entry(out: &mut Vec<u8>, body: &[u8]) {
    let done: Result<(), Infallible> = entry::put(out, &metadata(), |out| {
        out.extend_from_slice(body);
        Ok(())
    });
    done.unwrap_or_else(|never| match never {});
}

fn incoming(bench: &Bench, size: usize) {
    let text = request(size);
    let wire = masked(&text);
    let mut scratch = wire.clone();
    let config = DecoderConfig { text_max: 1 << 20, binary_max: 1 << 16, deflate: false };
    bench.run("frame, unmask, utf-8", size, || {
        scratch.copy_from_slice(&wire);
        let (mut decoder, mut at) = (Decoder::new(config), 0);
        match decoder.next(&mut scratch, &mut at) {
            Ok(Some(Event::Text(text))) => text.len() as u64,
            other => panic!("{other:?}"),
        }
    });
    let mut json = JsonReader::default();
    let mut copy = text.clone();
    bench.run("json request", size, || {
        copy.copy_from_slice(&text);
        let request = json.request(&mut copy).expect("it is sound").expect("it is no null");
        request.payload.map_or(0, |payload| payload.len() as u64)
    });
    let encoded = &text[12..text.len() - 20];
    let mut out = Vec::new();
    bench.run("base64 decode", size, || {
        out.clear();
        base64::decode(encoded, &mut out).expect("it is base64");
        out.len() as u64
    });
}

fn outgoing(bench: &Bench, size: usize) {
    let body: Vec<u8> = (0..size).map(|at| at as u8).collect();
    let mut out = Vec::new();
    bench.run("entry and send frame", size, || {
        out.clear();
        put_entry(&mut out, &body);
        let entry = std::mem::take(&mut out);
        out.reserve(entry.len() + 64);
        frame::put_send(&mut out, 7, 12_345, None, 1, &entry);
        sum(&out[..out.len().min(64)])
    });
    let mut entry = Vec::new();
    put_entry(&mut entry, &body);
    let message = Command::Message(proto::CommandMessage {
        consumer_id: 3,
        message_id: proto::MessageIdData {
            ledger_id: 7,
            entry_id: 9,
            partition: Some(-1),
            ..Default::default()
        },
        ..Default::default()
    });
    let mut wire = Vec::new();
    frame::put_with_entry(&mut wire, &message, &entry);
    bench.run("message frame, checksum", size, || {
        let read = frame::read(&wire).expect("a whole frame");
        frame::payload(read.rest).expect("a payload").body.len() as u64
    });
    let payload = frame::payload(&entry).expect("a payload");
    let view = MetadataView::read(payload.metadata).expect("sound metadata");
    let id = MessageId::plain(7, 9);
    bench.run("delivery text", size, || {
        out.clear();
        let delivery = Delivery {
            id: &id,
            payload: payload.body,
            properties: view.properties(),
            publish_time: UnixMillis(1_700_000_000_123),
            redelivery_count: 0,
            event_time: None,
            encryption: None,
            key: None,
        };
        reply::put_delivery(&mut out, &delivery);
        sum(&out[out.len() - 64..])
    });
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let scale = if has("--bench") && !has("--once") { 200_000 } else { 0 };
    let only = arguments.iter().find(|argument| !argument.starts_with("--")).cloned();
    let bench = Bench { scale, only };
    for size in SIZES {
        incoming(&bench, size);
        outgoing(&bench, size);
    }
    let mut out = Vec::new();
    bench.run("ack text", 0, || {
        out.clear();
        reply::put_ack(&mut out, &MessageId::plain(1393, 8835), Some("12345"));
        sum(&out)
    });
}
