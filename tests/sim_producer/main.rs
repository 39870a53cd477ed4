//! A seeded world around one producer session: clients' texts, a model broker per leg, links that break at
//! any point, answers that are lost, repeated or late, send errors, time. Whatever happens, every text is
//! answered exactly once, acks of a leg come in the order of its texts, an acked id names the stored message,
//! a resent entry has the same bytes, sequence ids grow, and nothing stays on the books. Replay one seed with
//! `SIM_SEED=n`.

mod model;

use model::{Answer, BrokerLeg, Link, Sent};
use pulsegate::base::pool::BufferPool;
use pulsegate::base::prng::Prng;
use pulsegate::base::time::{Clock, Instant, UnixMillis};
use pulsegate::session::Context;
use pulsegate::session::producer::{Producer, Verdict};
use pulsegate::session::replies::Replies;
use pulsegate::wire::pulsar::MessageId;
use pulsegate::wire::pulsar::proto::{CommandProducerSuccess, CompressionType};
use pulsegate::wire::route::{Batching, HashingScheme, ProducerSpec, RoutingMode, TopicName};
use pulsegate::wire::text::{JsonReader, base64};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const SEEDS: u64 = 200;
const STEPS: u32 = 400;
const MESSAGE_SIZE_MAX: usize = 2_000;
const DUPLICATE: (u64, u64) = (u64::MAX, u64::MAX);

/// A text that is not answered yet.
struct Asked {
    payload: Vec<u8>,
    key: Option<String>,
    /// Neither its payload nor its members are wrong, so that it may be acked.
    sound: bool,
}

struct World {
    prng: Prng,
    producer: Producer,
    legs: Vec<BrokerLeg>,
    json: JsonReader,
    pool: BufferPool,
    out: Vec<u8>,
    now: Instant,
    asked: BTreeMap<u64, Asked>,
    texts: u64,
    /// Texts that cannot be read: their answers have no context.
    unreadable: u64,
    /// The last text acked per leg, and over all legs the last that was acked or timed out.
    acked: Vec<Option<u64>>,
    settled: Option<u64>,
    trace: u64,
    /// Kinds of answers that came.
    kinds: BTreeSet<&'static str>,
}

/// What a sweep must have seen to mean anything: a word of each kind of answer.
const KINDS: [&str; 9] = [
    "ok",
    "duplicate",
    "Base64",
    "$TimeoutException",
    "$ProducerQueueIsFullError",
    "$InvalidMessageException",
    "$NotAllowedException",
    "$TopicTerminatedException",
    "refused",
];

fn spec(prng: &mut Prng) -> ProducerSpec {
    let delay = Duration::from_millis(1 + prng.below(50));
    let messages_max = [0, 1, 2, 5, 1000][prng.below(5) as usize];
    let batching = (prng.below(2) == 0).then_some(Batching { messages_max, delay });
    let codec = prng.below(5) as i32;
    ProducerSpec {
        topic: TopicName::parse("persistent://public/default/sim").expect("a topic name"),
        name: (prng.below(2) == 0).then(|| "named".to_owned()),
        initial_sequence_id: if prng.below(2) == 0 { -1 } else { 41 },
        hashing: if prng.below(2) == 0 { HashingScheme::JavaString } else { HashingScheme::Murmur3 },
        routing: if prng.below(2) == 0 { RoutingMode::Single } else { RoutingMode::RoundRobin },
        send_timeout: (prng.below(3) > 0).then(|| Duration::from_millis(20 + prng.below(500))),
        pending_messages_max: (prng.below(4) == 0).then(|| 1 + prng.below(10) as u32),
        compression: CompressionType::from_wire(codec).expect("a known codec"),
        batching,
        encryption_keys: Vec::new(),
    }
}

impl World {
    fn new(seed: u64) -> World {
        let mut prng = Prng::new(seed);
        let partitions = [0, 0, 1, 3][prng.below(4) as usize];
        let dedup = prng.below(3) == 0;
        let producer = Producer::new(spec(&mut prng), partitions, seed);
        let legs: Vec<_> = (0..producer.legs()).map(|leg| BrokerLeg::new(leg as u64 + 10, dedup)).collect();
        let mut world = World {
            prng,
            acked: vec![None; legs.len()],
            producer,
            legs,
            json: JsonReader::default(),
            pool: BufferPool::new(16, 4096, 16_384),
            out: Vec::new(),
            now: Instant(1),
            asked: BTreeMap::new(),
            texts: 0,
            unreadable: 0,
            settled: None,
            trace: 0,
            kinds: BTreeSet::new(),
        };
        (0..world.legs.len()).for_each(|leg| world.attach(leg));
        world
    }

    /// One call of the session, and a look at what it answered.
    fn call<R>(&mut self, event: impl FnOnce(&mut Producer, &mut Context<'_>) -> R) -> R {
        let wall = UnixMillis(1_700_000_000_000 + (self.now.0 / 1_000_000) as i64);
        let mut cx = Context {
            clock: Clock { now: self.now, wall },
            replies: Replies::plain(&mut self.out),
            json: &mut self.json,
            pool: &mut self.pool,
        };
        let result = event(&mut self.producer, &mut cx);
        let out = std::mem::take(&mut self.out);
        self.trace = crc32c::crc32c_append(self.trace as u32, &out).into();
        for answer in model::texts(&out) {
            self.judge(&answer);
        }
        assert_eq!(
            self.asked.len() as u64 + self.unreadable,
            self.producer.pending_messages() as u64,
            "pending"
        );
        assert!(self.producer.pending_messages() > 0 || self.producer.pending_bytes() == 0, "pending bytes");
        result
    }

    fn leg(&mut self) -> usize {
        self.prng.below(self.legs.len() as u64) as usize
    }

    fn step(&mut self) {
        match self.prng.below(100) {
            0..40 => self.send_text(),
            40..60 => {
                let leg = self.leg();
                self.write(leg);
            }
            60..75 => {
                let leg = self.leg();
                self.broker_takes(leg);
            }
            75..90 => {
                let leg = self.leg();
                self.answer_arrives(leg);
            }
            90..93 => self.lose_link(),
            93..96 => {
                let leg = self.leg();
                self.attach(leg);
            }
            96 if self.prng.below(8) == 0 => {
                let leg = self.leg();
                self.legs[leg].link = None;
                self.call(|producer, cx| producer.on_refused(cx, leg, "refused".into()));
            }
            _ => {
                let nanos = self.prng.below(30_000_000);
                self.pass(Duration::from_nanos(nanos));
            }
        }
    }

    fn send_text(&mut self) {
        let number = self.texts;
        self.texts += 1;
        if self.prng.below(30) == 0 {
            self.unreadable += 1;
            return self.call(|producer, cx| producer.on_text(cx, br#"{"payload":"AAAA","#));
        }
        let length = if self.prng.below(40) == 0 { 3_000 } else { self.prng.below(200) };
        let mut payload = format!("{number}:").into_bytes();
        payload.extend((0..length).map(|_| (self.prng.next() >> self.prng.below(60)) as u8));
        let mut encoded = Vec::new();
        base64::encode(&payload, &mut encoded);
        let mut encoded = String::from_utf8(encoded).expect("base64 is ASCII");
        let key = (self.prng.below(3) == 0).then(|| format!("k{}", self.prng.below(5)));
        let sound = self.prng.below(20) > 0;
        if !sound {
            encoded.push('!');
        }
        let mut request = json!({ "payload": encoded, "context": number.to_string() });
        if let Some(key) = &key {
            request["key"] = json!(key);
        }
        let names = if self.prng.below(3) == 0 { self.prng.below(12) } else { 0 };
        request["properties"] =
            (0..names).map(|name| (format!("n{name}"), json!(number.to_string()))).collect();
        match self.prng.below(12) {
            0 => request["deliverAfterMs"] = json!(1_000),
            1 => request["replicationClusters"] = json!(["a", "b"]),
            2 => request["eventTime"] = json!("2026-01-02T03:04:05Z"),
            _ => {}
        }
        self.asked.insert(number, Asked { payload, key, sound });
        let text = request.to_string().into_bytes();
        self.call(|producer, cx| producer.on_text(cx, &text));
    }

    /// The link's outbox takes some entries.
    fn write(&mut self, leg: usize) {
        for _ in 0..=self.prng.below(4) {
            let Some(pending) = self.producer.next_unsent(leg) else { return };
            let sent = Sent {
                sequence_id: pending.sequence_id,
                highest: pending.highest_sequence_id,
                messages: pending.messages,
                entry: pending.entry.to_vec(),
            };
            self.legs[leg].written(sent);
        }
    }

    /// The broker takes one entry off the link: stores it, or refuses it.
    fn broker_takes(&mut self, leg: usize) {
        let dice = self.prng.below(200);
        self.legs[leg].take(dice);
    }

    /// One of the broker's answers reaches the session.
    fn answer_arrives(&mut self, leg: usize) {
        let Some(answer) = self.legs[leg].link.as_mut().and_then(|link| link.answers.pop_front()) else {
            return;
        };
        let verdict = match answer {
            Answer::Receipt(receipt) => {
                let again = (self.prng.below(10) == 0).then(|| receipt.clone());
                let verdict = self.call(|producer, cx| producer.on_receipt(cx, leg, &receipt));
                if let Some(receipt) = again {
                    let repeated = self.call(|producer, cx| producer.on_receipt(cx, leg, &receipt));
                    assert_eq!(repeated, Verdict::Fine, "an answer that comes twice");
                }
                verdict
            }
            Answer::Error(error) => self.call(|producer, cx| producer.on_send_error(cx, leg, &error)),
        };
        match verdict {
            Verdict::Fine => {}
            Verdict::Reattach => self.detach(leg),
            Verdict::CloseLink => panic!("the model broker keeps the protocol"),
        }
    }

    fn lose_link(&mut self) {
        let leg = self.leg();
        for _ in 0..self.prng.below(5) {
            self.legs[leg].take(u64::MAX);
        }
        self.detach(leg);
    }

    /// The leg's producer is gone; some answers of the past may still trickle in.
    fn detach(&mut self, leg: usize) {
        self.producer.on_detached(leg);
        assert!(!self.producer.has_unsent(leg));
        let Some(mut link) = self.legs[leg].link.take() else { return };
        while self.prng.below(2) == 0 {
            if let Some(Answer::Receipt(receipt)) = link.answers.pop_front() {
                let verdict = self.call(|producer, cx| producer.on_receipt(cx, leg, &receipt));
                assert_eq!(verdict, Verdict::Fine, "a late answer");
            }
        }
    }

    fn attach(&mut self, leg: usize) {
        if self.legs[leg].link.is_some() {
            return;
        }
        let command = self.producer.create_command(leg, 1, 2);
        let success = CommandProducerSuccess {
            producer_name: command.producer_name.unwrap_or_else(|| "standalone-0-0".to_owned()),
            last_sequence_id: Some(self.legs[leg].last_sequence_id()),
            ..CommandProducerSuccess::default()
        };
        self.producer.on_created(leg, &success, MESSAGE_SIZE_MAX);
        self.legs[leg].link = Some(Link::default());
    }

    /// Time passes; timers fire on the way.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.producer.next_timer().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.call(|producer, cx| producer.on_timer(cx));
            assert!(self.producer.next_timer().is_none_or(|next| next > self.now), "a timer that stays due");
        }
        self.now = end;
    }

    /// Checks one answer against what was asked and what is stored.
    fn judge(&mut self, answer: &Value) {
        let result = answer["result"].as_str().expect("every answer has a result");
        let Some(context) = answer["context"].as_str() else {
            assert_eq!(result, "send-error:3", "only unreadable texts have no context");
            self.unreadable = self.unreadable.checked_sub(1).expect("one answer per text");
            return;
        };
        let number: u64 = context.parse().expect("contexts are numbers");
        let asked = self.asked.remove(&number).expect("one answer per text");
        let words = answer["errorMsg"].as_str().unwrap_or(result);
        self.kinds.extend(KINDS.into_iter().filter(|word| words.contains(word)));
        let ordered = match result {
            "ok" => {
                assert!(asked.sound, "text {number} cannot be stored");
                self.judge_id(number, &asked, answer["messageId"].as_str().expect("an id"));
                true
            }
            "send-error:7" => {
                assert!(!asked.sound, "nothing is wrong with text {number}");
                false
            }
            "send-error:8" => {
                answer["errorMsg"].as_str().is_some_and(|text| text.contains("$TimeoutException: "))
            }
            other => panic!("unexpected {other}"),
        };
        if ordered && self.legs.len() == 1 {
            assert!(self.settled < Some(number), "text {number} settled after {:?}", self.settled);
            self.settled = Some(number);
        }
    }

    fn judge_id(&mut self, number: u64, asked: &Asked, text: &str) {
        let id = MessageId::from_text(text).expect("ids can be read");
        let partitioned = self.producer.topic(0).partition() >= 0;
        assert_eq!(id.partition >= 0, partitioned, "the partition is in ids of partitioned topics");
        let leg = usize::try_from(id.partition).unwrap_or(0);
        if (id.ledger, id.entry) == DUPLICATE {
            assert!(self.legs[leg].holds(&asked.payload), "text {number} was a duplicate of nothing");
            self.kinds.insert("duplicate");
        } else {
            let stored = self.legs[leg].message(id.entry, id.batch_index);
            assert_eq!(id.ledger, self.legs[leg].ledger);
            assert_eq!(
                (stored.payload, stored.key),
                (asked.payload.clone(), asked.key.clone()),
                "text {number}"
            );
        }
        assert!(self.acked[leg] < Some(number), "text {number} acked after {:?}", self.acked[leg]);
        self.acked[leg] = Some(number);
    }

    /// Lets everything come to its end: brokers are back and answer.
    fn settle(&mut self) {
        self.call(|producer, cx| producer.flush(cx));
        for leg in 0..self.legs.len() {
            self.detach(leg);
            self.attach(leg);
            while self.producer.has_unsent(leg) {
                self.write(leg);
            }
            while self.legs[leg].take(u64::MAX) {
                self.answer_arrives(leg);
            }
        }
        assert!(self.asked.is_empty(), "texts without an answer: {:?}", self.asked.keys());
        assert_eq!((self.producer.pending_bytes(), self.producer.pending_messages()), (0, 0));
        assert_eq!((self.unreadable, self.producer.next_timer()), (0, None));
    }
}

fn run(seed: u64) -> World {
    let result = std::panic::catch_unwind(|| {
        let mut world = World::new(seed);
        (0..STEPS).for_each(|_| world.step());
        world.settle();
        world
    });
    result.unwrap_or_else(|_| panic!("failed: replay with SIM_SEED={seed}"))
}

#[test]
fn every_text_is_answered_once_whatever_breaks() {
    if let Ok(seed) = std::env::var("SIM_SEED") {
        let world = run(seed.parse().expect("SIM_SEED is a number"));
        println!("trace {:x}, saw {:?}", world.trace, world.kinds);
        return;
    }
    let seen: BTreeSet<_> = (0..SEEDS).flat_map(|seed| run(seed).kinds).collect();
    assert_eq!(seen, BTreeSet::from(KINDS), "the sweep met every kind of answer");
}

#[test]
fn the_same_seed_gives_the_same_answers() {
    assert_eq!(run(7).trace, run(7).trace);
    assert_ne!(run(7).trace, run(8).trace);
}
