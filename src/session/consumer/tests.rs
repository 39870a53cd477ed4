use super::*;
use crate::base::pool::BufferPool;
use crate::base::time::{Clock, UnixMillis};
use crate::session::replies::Replies;
use crate::wire::pulsar::Command;
use crate::wire::pulsar::frame;
use crate::wire::pulsar::proto::{MessageIdData, MessageMetadata, SingleMessageMetadata};
use crate::wire::pulsar::{MessageId, compression};
use crate::wire::route::Topics;
use crate::wire::text::{JsonReader, base64};
use prost::Message as _;
use serde_json::Value;

mod acks;
mod dead_letters;
mod entries;
mod flow;
mod grouping;
mod readers;
mod redelivery;

const TOPIC: &str = "persistent://public/default/t";
const LEDGER: u64 = 7;
const SECOND: Duration = Duration::from_secs(1);
const GROUP: Duration = crate::base::limit::ACK_GROUP_TIME;

fn topic(name: &str) -> TopicName {
    TopicName::parse(name).unwrap()
}

fn spec() -> ConsumerSpec {
    ConsumerSpec {
        topics: Topics::One(topic(TOPIC)),
        subscription: "s".into(),
        kind: SubscriptionType::Exclusive,
        durable: true,
        initial_position: InitialPosition::Latest,
        receiver_queue: 1000,
        ack_timeout: None,
        name: Some("c".into()),
        priority: 0,
        nack_delay: 60 * SECOND,
        dead_letter: None,
        pull: false,
        crypto_failure: CryptoFailureAction::Fail,
    }
}

fn shared() -> ConsumerSpec {
    ConsumerSpec { kind: SubscriptionType::Shared, nack_delay: SECOND, ..spec() }
}

fn window(receiver_queue: u32) -> ConsumerSpec {
    ConsumerSpec { receiver_queue, ..spec() }
}

/// A command to a broker, shortened; entries are those of [`LEDGER`].
#[derive(Clone, Debug, PartialEq)]
enum Sent {
    Flow(u32),
    Ack(Vec<u64>),
    AckPart(Vec<(u64, Vec<i64>)>),
    AckUpTo(u64),
    Refused(u64, i32),
    Redeliver(Vec<u64>),
    RedeliverAll(u64),
}

impl Sent {
    fn of(command: Command) -> Sent {
        let entries = |ids: &[MessageIdData]| ids.iter().map(|id| id.entry_id).collect::<Vec<_>>();
        match command {
            Command::Flow(flow) => Sent::Flow(flow.message_permits),
            Command::Ack(ack) if ack.ack_type == 1 => Sent::AckUpTo(ack.message_id[0].entry_id),
            Command::Ack(ack) => match ack.validation_error {
                Some(error) => Sent::Refused(ack.message_id[0].entry_id, error),
                None if ack.message_id.iter().all(|id| id.ack_set.is_empty()) => {
                    Sent::Ack(entries(&ack.message_id))
                }
                None => {
                    Sent::AckPart(ack.message_id.into_iter().map(|id| (id.entry_id, id.ack_set)).collect())
                }
            },
            Command::Redeliver(all) if all.message_ids.is_empty() => {
                Sent::RedeliverAll(all.consumer_epoch.unwrap_or(u64::MAX))
            }
            Command::Redeliver(some) => Sent::Redeliver(entries(&some.message_ids)),
            other => panic!("{other:?} is not for a broker"),
        }
    }
}

/// A session whose legs are attached, and what it needs.
struct Bench {
    consumer: Consumer,
    json: JsonReader,
    pool: BufferPool,
    out: Vec<u8>,
    ids: Vec<MessageIdData>,
    now: Instant,
}

impl Bench {
    fn new(spec: ConsumerSpec) -> Bench {
        Bench::with(Consumer::new(spec, 1, GROUP), &[TOPIC])
    }

    fn partitions(spec: ConsumerSpec, count: u32) -> Bench {
        let names: Vec<String> = (0..count).map(|index| format!("{TOPIC}-partition-{index}")).collect();
        Bench::with(Consumer::new(spec, 1, GROUP), &names.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn with(mut consumer: Consumer, topics: &[&str]) -> Bench {
        for name in topics {
            consumer.add_leg(topic(name));
        }
        let (json, pool) = (JsonReader::default(), BufferPool::default());
        let mut bench = Bench { consumer, json, pool, out: Vec::new(), ids: Vec::new(), now: Instant(1) };
        (0..topics.len()).for_each(|leg| bench.attach(leg));
        bench
    }

    fn attach(&mut self, leg: usize) {
        self.consumer.subscribe_command(leg, leg as u64 + 40, 1);
        self.call(|consumer, cx| consumer.on_subscribed(cx, leg, 1 << 20));
    }

    fn call<R>(&mut self, event: impl FnOnce(&mut Consumer, &mut Context<'_>) -> R) -> R {
        let mut cx = Context {
            clock: Clock { now: self.now, wall: UnixMillis(1_700_000_000_000) },
            replies: Replies::plain(&mut self.out),
            json: &mut self.json,
            pool: &mut self.pool,
        };
        event(&mut self.consumer, &mut cx)
    }

    /// An entry from the broker, with whatever the command says beside its place.
    fn message(&mut self, leg: usize, command: &CommandMessage, entry: &[u8]) {
        let payload = frame::payload(entry).expect("sizes are right");
        self.call(|consumer, cx| consumer.on_message(cx, leg, command, &payload));
    }

    fn arrive(&mut self, leg: usize, entry_id: u64, entry: &[u8]) {
        self.message(leg, &at(entry_id), entry);
    }

    fn arrive_again(&mut self, entry_id: u64, count: u32, entry: &[u8]) {
        let command = CommandMessage { redelivery_count: Some(count), ..at(entry_id) };
        self.message(0, &command, entry);
    }

    fn text(&mut self, text: &str) {
        let mut text = text.as_bytes().to_vec();
        self.call(|consumer, cx| consumer.on_text(cx, &mut text)).expect("a readable text");
    }

    fn ack(&mut self, id: &MessageId) {
        self.text(&format!(r#"{{"messageId":"{}"}}"#, id_text(id)));
    }

    fn nack(&mut self, id: &MessageId) {
        self.text(&format!(r#"{{"type":"negativeAcknowledge","messageId":"{}"}}"#, id_text(id)));
    }

    fn permit(&mut self, count: i32) {
        self.text(&format!(r#"{{"type":"permit","permitMessages":{count}}}"#));
    }

    /// Lets time pass up to a moment, with a call at each timer on the way.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.consumer.next_timer().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.call(|consumer, cx| consumer.on_timer(cx));
        }
        self.now = end;
    }

    /// Texts since the last look.
    fn texts(&mut self) -> Vec<String> {
        let mut rest = self.out.as_slice();
        let mut texts = Vec::new();
        while let Some((head, after)) = rest.split_first_chunk::<2>() {
            let (length, after) = match head[1] {
                126 => (usize::from(u16::from_be_bytes([after[0], after[1]])), &after[2..]),
                127 => (u64::from_be_bytes(after[..8].try_into().unwrap()) as usize, &after[8..]),
                length => (usize::from(length), after),
            };
            texts.push(String::from_utf8(after[..length].to_vec()).expect("texts are UTF-8"));
            rest = &after[length..];
        }
        self.out.clear();
        texts
    }

    fn messages(&mut self) -> Vec<Value> {
        self.texts().iter().map(|text| serde_json::from_str(text).expect("texts are JSON")).collect()
    }

    /// Bodies delivered since the last look.
    fn bodies(&mut self) -> Vec<String> {
        self.messages().iter().map(body).collect()
    }

    fn output(&mut self) -> Option<Output> {
        self.consumer.poll_output(self.now, &mut self.ids)
    }

    /// Everything for brokers since the last look.
    fn sent_to(&mut self) -> Vec<(usize, Sent)> {
        let mut sent = Vec::new();
        loop {
            let announced = self.consumer.has_output(self.now);
            match self.consumer.poll_output(self.now, &mut self.ids) {
                Some(Output::ToBroker { leg, command }) => sent.push((leg, Sent::of(command))),
                Some(other) => panic!("{other:?} was not expected"),
                None => {
                    assert!(!announced, "output was announced and did not come");
                    return sent;
                }
            }
            assert!(announced, "output was not announced");
        }
    }

    /// Everything for the broker of a session with one leg.
    fn sent(&mut self) -> Vec<Sent> {
        self.sent_to().into_iter().map(|(_, sent)| sent).collect()
    }

    /// As [`Bench::sent`], without FLOW.
    fn sent_but_flow(&mut self) -> Vec<Sent> {
        self.sent().into_iter().filter(|sent| !matches!(sent, Sent::Flow(_))).collect()
    }
}

fn at(entry_id: u64) -> CommandMessage {
    let message_id =
        MessageIdData { ledger_id: LEDGER, entry_id, partition: Some(-1), ..MessageIdData::default() };
    CommandMessage { message_id, ..CommandMessage::default() }
}

fn id(entry: u64) -> MessageId {
    MessageId::plain(LEDGER, entry)
}

fn batched(entry: u64, index: i32, size: i32) -> MessageId {
    MessageId { batch_index: index, batch_size: size, ..id(entry) }
}

fn id_text(id: &MessageId) -> String {
    let mut text = Vec::new();
    id.put_text(&mut text);
    String::from_utf8(text).unwrap()
}

fn body(message: &Value) -> String {
    let mut bytes = Vec::new();
    base64::decode(message["payload"].as_str().expect("a payload").as_bytes(), &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn metadata() -> MessageMetadata {
    let publish_time = 1_700_000_000_000;
    MessageMetadata { producer_name: "p".into(), sequence_id: 1, publish_time, ..MessageMetadata::default() }
}

/// `[0x0e01][crc32c][metadata size][metadata][payload]`, protocol 1.2.
fn entry(metadata: &MessageMetadata, body: &[u8]) -> Vec<u8> {
    let metadata = metadata.encode_to_vec();
    let mut covered = (metadata.len() as u32).to_be_bytes().to_vec();
    covered.extend_from_slice(&metadata);
    covered.extend_from_slice(body);
    let checksum = crc32c::crc32c(&covered).to_be_bytes();
    [&[0x0e, 0x01], &checksum[..], &covered].concat()
}

fn single(body: &str) -> Vec<u8> {
    entry(&metadata(), body.as_bytes())
}

fn batch_body(bodies: &[&str]) -> Vec<u8> {
    let mut batch = Vec::new();
    for body in bodies {
        let single =
            SingleMessageMetadata { payload_size: body.len() as i32, ..SingleMessageMetadata::default() };
        let single = single.encode_to_vec();
        batch.extend_from_slice(&(single.len() as u32).to_be_bytes());
        batch.extend_from_slice(&single);
        batch.extend_from_slice(body.as_bytes());
    }
    batch
}

fn batch(bodies: &[&str]) -> Vec<u8> {
    let count = Some(bodies.len() as i32);
    entry(&MessageMetadata { num_messages_in_batch: count, ..metadata() }, &batch_body(bodies))
}

fn compressed(
    codec: crate::wire::pulsar::proto::CompressionType,
    metadata: MessageMetadata,
    body: &[u8],
) -> Vec<u8> {
    let mut packed = Vec::new();
    compression::compress(codec, body, &mut packed);
    let uncompressed_size = Some(body.len() as u32);
    entry(&MessageMetadata { compression: Some(codec as i32), uncompressed_size, ..metadata }, &packed)
}

#[test]
fn subscribe_commands_are_those_of_the_official_client() {
    let mut bench = Bench::new(ConsumerSpec { priority: 3, ..spec() });
    let command = bench.consumer.subscribe_command(0, 9, 8);
    let expected = CommandSubscribe {
        topic: TOPIC.into(),
        subscription: "s".into(),
        sub_type: SubscriptionType::Exclusive as i32,
        consumer_id: 9,
        request_id: 8,
        consumer_name: Some("c".into()),
        priority_level: Some(3),
        durable: Some(true),
        read_compacted: Some(false),
        initial_position: Some(InitialPosition::Latest as i32),
        replicate_subscription_state: Some(false),
        force_topic_creation: Some(true),
        consumer_epoch: Some(0),
        ..CommandSubscribe::default()
    };
    assert_eq!(command, expected);
    let mut bench = Bench::new(ConsumerSpec { name: None, durable: false, ..shared() });
    let command = bench.consumer.subscribe_command(0, 9, 8);
    assert_eq!(
        (command.consumer_epoch, command.durable, command.start_message_id),
        (None, Some(false), None)
    );
    assert_eq!(command.consumer_name.map(|name| name.len()), Some(5), "generated");
}

#[test]
fn a_message_reads_as_specified() {
    let mut bench = Bench::new(spec());
    let full = MessageMetadata {
        partition_key: Some("k".into()),
        event_time: Some(1_767_323_045_000),
        properties: vec![crate::wire::pulsar::proto::KeyValue { key: "a".into(), value: "b".into() }],
        ..metadata()
    };
    bench.arrive(0, 0, &single("Hello"));
    bench.arrive(0, 1, &entry(&full, b""));
    assert_eq!(
        bench.texts(),
        [
            r#"{"messageId":"CAcQADAA","payload":"SGVsbG8=","properties":{},"publishTime":"2023-11-14T22:13:20Z","redeliveryCount":0}"#,
            r#"{"messageId":"CAcQATAA","payload":"","properties":{"a":"b"},"publishTime":"2023-11-14T22:13:20Z","redeliveryCount":0,"eventTime":"2026-01-02T03:04:05Z","key":"k"}"#,
        ]
    );
    assert_eq!((bench.consumer.counters().delivered, bench.consumer.buffered_bytes()), ((2, 5), 0));
}

#[test]
fn unreadable_commands_end_the_session() {
    let mut bench = Bench::new(spec());
    for text in ["garbage", "null", "{}", r#"{"messageId":"***"}"#, r#"{"type":"permit"}"#] {
        let mut text = text.as_bytes().to_vec();
        assert_eq!(bench.call(|consumer, cx| consumer.on_text(cx, &mut text)), Err(GOODBYE_UNREADABLE));
    }
}

#[test]
fn the_end_of_the_topic_is_told_when_nothing_waits() {
    let mut bench = Bench::partitions(window(1), 2);
    let ask = |bench: &mut Bench| {
        bench.text(r#"{"type":"isEndOfTopic"}"#);
        bench.texts().pop()
    };
    bench.consumer.on_end_of_topic(0);
    assert_eq!(ask(&mut bench).as_deref(), Some(r#"{"endOfTopic":false}"#), "one leg goes on");
    bench.arrive(1, 0, &single("0"));
    bench.arrive(1, 1, &single("1"));
    bench.consumer.on_end_of_topic(1);
    assert_eq!(ask(&mut bench).as_deref(), Some(r#"{"endOfTopic":false}"#), "a message waits");
    bench.ack(&MessageId { partition: 1, ..id(0) });
    assert_eq!(ask(&mut bench).as_deref(), Some(r#"{"endOfTopic":true}"#));
}

#[test]
fn unsubscribing_makes_the_session_silent() {
    let mut bench = Bench::new(window(2));
    bench.arrive(0, 0, &single("0"));
    bench.sent();
    bench.texts();
    bench.ack(&id(0));
    bench.text(r#"{"type":"unsubscribe"}"#);
    let flushed = bench.output();
    assert!(matches!(flushed, Some(Output::ToBroker { leg: 0, command: Command::Ack(_) })), "{flushed:?}");
    assert_eq!(bench.output(), Some(Output::Unsubscribe));
    bench.arrive(0, 1, &single("1"));
    bench.ack(&id(1));
    bench.text(r#"{"type":"unsubscribe"}"#);
    assert_eq!((bench.texts(), bench.sent()), (vec![], vec![]));
    assert_eq!(bench.consumer.on_unsubscribed(Ok(())), Ok(()));
    assert_eq!(bench.consumer.on_unsubscribed(Err(())), Err(GOODBYE_UNREADABLE));
}
