//! Micro benchmarks of the message path: codecs, the log's frames, a topic's dispatch, a whole gateway. No I/O, one thread, the same input each
//! time.
//!
//! ```text
//! cargo bench --bench codec              nanoseconds per operation, best of five
//! cargo bench --bench codec -- json      only what is named so
//! bench/instructions                     instructions per operation, by callgrind
//! bench/instructions HEAD~1 HEAD         the same of two commits, side by side
//! ```
//! `cargo test` runs each a few times. The hash of the results must not change from commit to commit.

// A clock is what a benchmark is about.
#![allow(clippy::disallowed_methods, clippy::expect_used)]

mod broker;
mod gateway;
mod harness;
mod log;

use harness::{Bench, sum};
use pulsegate::base::prng::Prng;
use pulsegate::base::time::UnixMillis;
use pulsegate::wire::pulsar::entry::{self, EntryMetadata};
use pulsegate::wire::pulsar::metadata::MetadataView;
use pulsegate::wire::pulsar::{Command, MessageId, frame, proto};
use pulsegate::wire::text::reply::{self, Delivery};
use pulsegate::wire::text::{JsonReader, base64};
use pulsegate::wire::ws::{Decoder, DecoderConfig, Event};
use std::convert::Infallible;

/// Payload bytes of the messages: the sizes of the figures in `tuning.md`.
const SIZES: [usize; 3] = [128, 1024, 64 * 1024];

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

/// The entry of a single message.
pub(crate) fn put_entry(out: &mut Vec<u8>, body: &[u8]) {
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
        let request = json.request(&copy).expect("it is sound").expect("it is no null");
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
    bench.run("json delivery text", size, || {
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

/// Commands of the path that are read and written as protobuf: a receipt, an acknowledgement.
fn commands(bench: &Bench) {
    let id = proto::MessageIdData { ledger_id: 1393, entry_id: 8835, ..Default::default() };
    let receipt = Command::SendReceipt(proto::CommandSendReceipt {
        producer_id: 7,
        sequence_id: 12_345,
        message_id: Some(id.clone()),
        highest_sequence_id: Some(0),
    });
    let ack = Command::Ack(proto::CommandAck { consumer_id: 3, message_id: vec![id], ..Default::default() });
    let mut out = Vec::new();
    for (name, command) in [("receipt", receipt), ("ack", ack)] {
        bench.run(&format!("protobuf {name} written"), 0, || {
            out.clear();
            frame::put(&mut out, &command);
            sum(&out)
        });
        let mut wire = Vec::new();
        frame::put(&mut wire, &command);
        bench.run(&format!("protobuf {name} read"), 0, || {
            let read = frame::read(&wire).expect("a whole frame").command;
            u64::from(read.number()) + wire.len() as u64
        });
    }
    bench.run("json ack text", 0, || {
        out.clear();
        reply::put_ack(&mut out, &MessageId::plain(1393, 8835), Some(b"12345"));
        sum(&out)
    });
}

fn main() {
    let bench = Bench::from_arguments();
    for size in SIZES {
        incoming(&bench, size);
        outgoing(&bench, size);
        log::frames(&bench, size);
        broker::topic(&bench, size);
        if size <= gateway::SIZE_MAX {
            gateway::messages(&bench, size);
        }
    }
    commands(&bench);
}
