use super::*;
use crate::base::limit::BATCH_BYTES_MAX;
use crate::base::pool::BufferPool;
use crate::base::time::{Clock, UnixMillis};
use crate::session::replies::Replies;
use crate::wire::pulsar::MessageId;
use crate::wire::pulsar::batch::Messages;
use crate::wire::pulsar::compression::decompress;
use crate::wire::pulsar::entry::EncryptionKey;
use crate::wire::pulsar::frame;
use crate::wire::pulsar::metadata::MetadataView;
use crate::wire::pulsar::proto::{CompressionType, MessageIdData, MessageMetadata};
use crate::wire::route::{Batching, HashingScheme, RoutingMode};
use crate::wire::text::{JsonReader, base64};
use prost::Message as _;
use serde_json::{Value, json};
use std::time::Duration;

mod batches;
mod failures;
mod singles;

const EXCEPTION: &str = "org.apache.pulsar.client.api.PulsarClientException$";
const TOPIC: &str = "persistent://public/default/t";
const LEDGER: u64 = 5;

fn spec() -> ProducerSpec {
    ProducerSpec {
        topic: TopicName::parse(TOPIC).unwrap(),
        name: Some("p".into()),
        initial_sequence_id: -1,
        hashing: HashingScheme::JavaString,
        routing: RoutingMode::Single,
        send_timeout: Some(Duration::from_secs(30)),
        pending_messages_max: None,
        compression: CompressionType::None,
        batching: None,
        encryption_keys: Vec::new(),
    }
}

fn batching(messages_max: i32) -> ProducerSpec {
    ProducerSpec { batching: Some(Batching { messages_max, delay: Duration::from_millis(10) }), ..spec() }
}

/// A session whose legs are attached, and what it needs.
struct Bench {
    producer: Producer,
    json: JsonReader,
    pool: BufferPool,
    out: Vec<u8>,
    now: Instant,
}

impl Bench {
    fn new(spec: ProducerSpec, partitions: u32) -> Bench {
        let mut producer = Producer::new(spec, partitions, 1);
        for leg in 0..producer.legs() {
            attach(&mut producer, leg, 1 << 20);
        }
        let (json, pool) = (JsonReader::default(), BufferPool::default());
        Bench { producer, json, pool, out: Vec::new(), now: Instant(1) }
    }

    fn call<R>(&mut self, event: impl FnOnce(&mut Producer, &mut Context<'_>) -> R) -> R {
        let mut cx = Context {
            clock: Clock { now: self.now, wall: UnixMillis(1_700_000_000_000) },
            replies: Replies::plain(&mut self.out),
            json: &mut self.json,
            pool: &mut self.pool,
        };
        event(&mut self.producer, &mut cx)
    }

    fn text(&mut self, text: &str) {
        self.call(|producer, cx| producer.on_text(cx, text.as_bytes()));
    }

    /// A request with this body and, as its context, the same.
    fn send(&mut self, body: &str) {
        self.request(body, json!({}));
    }

    fn request(&mut self, body: &str, mut members: Value) {
        let mut encoded = Vec::new();
        base64::encode(body.as_bytes(), &mut encoded);
        members["payload"] = json!(String::from_utf8(encoded).unwrap());
        members["context"] = json!(body);
        self.text(&members.to_string());
    }

    /// Answers since the last look.
    fn answers(&mut self) -> Vec<Value> {
        let mut rest = self.out.as_slice();
        let mut answers = Vec::new();
        while let Some((head, after)) = rest.split_first_chunk::<2>() {
            let (length, after) = match head[1] {
                126 => (usize::from(u16::from_be_bytes([after[0], after[1]])), &after[2..]),
                length => (usize::from(length), after),
            };
            answers.push(serde_json::from_slice(&after[..length]).expect("answers are JSON"));
            rest = &after[length..];
        }
        self.out.clear();
        answers
    }

    /// `(result, context)` of the answers since the last look.
    fn results(&mut self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        self.answers().iter().map(|answer| (text(&answer["result"]), text(&answer["context"]))).collect()
    }

    /// The one answer since the last look: its result and its error text.
    fn error(&mut self) -> (String, String) {
        let answers = self.answers();
        assert_eq!(answers.len(), 1, "{answers:?}");
        let text = |name: &str| answers[0][name].as_str().unwrap_or("-").to_owned();
        (text("result"), text("errorMsg"))
    }

    /// What the link takes of a leg.
    fn written(&mut self, leg: usize) -> Vec<Written> {
        let mut entries = Vec::new();
        while let Some(pending) = self.producer.next_unsent(leg) {
            entries.push(Written::read(pending));
        }
        entries
    }

    fn receipt(&mut self, leg: usize, sequence_id: u64, highest: Option<u64>, entry_id: u64) -> Verdict {
        let message_id = Some(MessageIdData { ledger_id: LEDGER, entry_id, ..MessageIdData::default() });
        let receipt =
            CommandSendReceipt { producer_id: 0, sequence_id, message_id, highest_sequence_id: highest };
        self.call(|producer, cx| producer.on_receipt(cx, leg, &receipt))
    }

    fn send_error(&mut self, error: ServerError, sequence_id: u64) -> Verdict {
        let message = "the broker says no".to_owned();
        let error = CommandSendError { producer_id: 0, sequence_id, error: error as i32, message };
        self.call(|producer, cx| producer.on_send_error(cx, 0, &error))
    }

    /// Lets time pass, then fires what is due.
    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        if self.producer.next_timer().is_some_and(|timer| timer <= self.now) {
            self.call(|producer, cx| producer.on_timer(cx));
        }
    }

    fn assert_idle(&self) {
        assert_eq!((self.producer.pending_messages(), self.producer.pending_bytes()), (0, 0));
        assert_eq!(self.producer.next_timer(), None);
    }
}

fn attach(producer: &mut Producer, leg: usize, message_size_max: usize) {
    let command = producer.create_command(leg, 0, 0);
    let producer_name = command.producer_name.unwrap_or_else(|| "standalone-0-0".into());
    let success = CommandProducerSuccess { producer_name, ..CommandProducerSuccess::default() };
    producer.on_created(leg, &success, message_size_max);
}

/// One entry as a consumer reads it.
#[derive(Debug)]
struct Written {
    sequence_id: u64,
    highest: Option<u64>,
    metadata: MessageMetadata,
    /// Decompressed; of a batch, the batch payload.
    body: Vec<u8>,
    entry: Vec<u8>,
}

impl Written {
    fn read(pending: &Pending<Owed>) -> Written {
        let payload = frame::payload(&pending.entry).expect("an entry");
        assert_eq!(payload.checksum, frame::Checksum::Good);
        let metadata = MessageMetadata::decode(payload.metadata).expect("metadata");
        let view = MetadataView::read(payload.metadata).expect("metadata");
        let mut body = Vec::new();
        if view.encrypted {
            body.extend_from_slice(payload.body);
        } else {
            let size = view.uncompressed_size as usize;
            decompress(view.compression, payload.body, size, 1 << 20, &mut body).expect("a body");
        }
        assert_eq!(metadata.sequence_id, pending.sequence_id);
        Written {
            sequence_id: pending.sequence_id,
            highest: pending.highest_sequence_id,
            metadata,
            body,
            entry: pending.entry.to_vec(),
        }
    }

    /// Bodies of the messages in it.
    fn bodies(&self) -> Vec<String> {
        let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
        match self.metadata.num_messages_in_batch {
            None => vec![text(&self.body)],
            Some(count) => {
                Messages::new(&self.body, count as u32).map(|message| text(message.unwrap().1)).collect()
            }
        }
    }
}
