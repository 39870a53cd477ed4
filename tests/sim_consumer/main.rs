//! A seeded world around one consumer session: a model broker per leg, links that break at any point and lose what is on
//! them, a client that acknowledges, gives back, repeats itself and talks of messages it never got, time. Whatever
//! happens, the window and the permits hold, what is shown is what was stored, in order where order is promised, nothing
//! comes back early, nothing is acknowledged that the client did not settle, and in the end everything is acknowledged.
//! Replay one seed with `SIM_SEED=n`, or run more of them with `SIM_SEEDS=n`.

mod model;

use model::BrokerLeg;
use prost::Message as _;
use pulsegate::base::pool::BufferPool;
use pulsegate::base::prng::Prng;
use pulsegate::base::time::{Clock, Instant, UnixMillis};
use pulsegate::session::Context;
use pulsegate::session::consumer::{Consumer, Output};
use pulsegate::session::replies::Replies;
use pulsegate::wire::pulsar::proto::{
    CommandProducerSuccess, CommandSendReceipt, InitialPosition, MessageMetadata, SubscriptionType,
};
use pulsegate::wire::pulsar::{Command, MessageId, frame};
use pulsegate::wire::route::{ConsumerSpec, CryptoFailureAction, DeadLetterPolicy, TopicName, Topics};
use pulsegate::wire::text::{JsonReader, base64};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const SEEDS: u64 = 200;
const STEPS: u32 = 500;
const NACK_DELAY: Duration = Duration::from_millis(50);
const ACK_TIMEOUT: Duration = Duration::from_millis(200);
const SHORTEST: Duration = Duration::from_millis(50);

/// Leg, entry, index.
type Key = (usize, usize, usize);

struct World {
    prng: Prng,
    spec: ConsumerSpec,
    consumer: Consumer,
    legs: Vec<BrokerLeg>,
    json: JsonReader,
    pool: BufferPool,
    out: Vec<u8>,
    now: Instant,
    /// What the client holds, by the id it saw, and since when.
    held: BTreeMap<Key, (MessageId, Instant)>,
    /// When messages of an entry were given back, for the first time since it was delivered.
    nacked: BTreeMap<(usize, usize), Instant>,
    /// Everything the client ever acknowledged, or that was stored as a dead letter.
    settled: BTreeSet<Key>,
    /// Ids the client may talk of although it holds nothing under them.
    old: Vec<MessageId>,
    /// Exclusive: the last message shown of a leg since the broker began anew.
    last: Vec<Option<(usize, usize)>>,
    letters_attached: bool,
    permitted: u64,
    shown: u64,
    trace: u32,
}

fn spec(prng: &mut Prng) -> ConsumerSpec {
    use SubscriptionType::{Exclusive, Failover, KeyShared, Shared};
    let kind = [Exclusive, Failover, Shared, Shared, KeyShared][prng.below(5) as usize];
    ConsumerSpec {
        topics: Topics::One(TopicName::parse("persistent://public/default/sim").expect("a topic name")),
        subscription: "s".into(),
        kind,
        durable: true,
        initial_position: InitialPosition::Latest,
        receiver_queue: [0, 1, 2, 3, 10, 100][prng.below(6) as usize],
        ack_timeout: (prng.below(3) == 0).then_some(ACK_TIMEOUT),
        name: None,
        priority: 0,
        nack_delay: NACK_DELAY,
        dead_letter: (prng.below(3) == 0).then_some(DeadLetterPolicy { redeliveries_max: 2, topic: None }),
        pull: prng.below(4) == 0,
        crypto_failure: CryptoFailureAction::Fail,
    }
}

impl World {
    fn new(seed: u64) -> World {
        let mut prng = Prng::new(seed);
        let spec = spec(&mut prng);
        let shared = matches!(spec.kind, SubscriptionType::Shared | SubscriptionType::KeyShared);
        let index_acks = prng.below(2) == 0;
        let group = Duration::from_millis([0, 30, 100][prng.below(3) as usize]);
        let mut consumer = Consumer::new(spec.clone(), seed, group);
        let partitions = [1, 1, 3][prng.below(3) as usize];
        let mut legs = Vec::new();
        for index in 0..partitions {
            let name = format!("persistent://public/default/sim-partition-{index}");
            consumer.add_leg(TopicName::parse(&name).expect("a topic name"));
            legs.push(BrokerLeg::new(10 + index, shared, index_acks));
        }
        let mut world = World {
            prng,
            spec,
            consumer,
            last: vec![None; legs.len()],
            legs,
            json: JsonReader::default(),
            pool: BufferPool::new(16, 4096, 0),
            out: Vec::new(),
            now: Instant(1),
            held: BTreeMap::new(),
            nacked: BTreeMap::new(),
            settled: BTreeSet::new(),
            old: Vec::new(),
            letters_attached: false,
            permitted: 0,
            shown: 0,
            trace: 0,
        };
        (0..world.legs.len()).for_each(|leg| world.attach(leg));
        world
    }

    fn shared(&self) -> bool {
        matches!(self.spec.kind, SubscriptionType::Shared | SubscriptionType::KeyShared)
    }

    /// One call of the session, and a look at what it wrote.
    fn call<R>(&mut self, event: impl FnOnce(&mut Consumer, &mut Context<'_>) -> R) -> R {
        let mut cx = Context {
            clock: Clock { now: self.now, wall: UnixMillis(1_700_000_000_000) },
            replies: Replies::plain(&mut self.out),
            json: &mut self.json,
            pool: &mut self.pool,
        };
        let result = event(&mut self.consumer, &mut cx);
        let out = std::mem::take(&mut self.out);
        self.trace = crc32c::crc32c_append(self.trace, &out);
        model::texts(&out).iter().for_each(|text| self.see(text));
        result
    }

    /// The client gets a message.
    fn see(&mut self, text: &str) {
        let message: Value = serde_json::from_str(text).expect("JSON");
        let id = MessageId::from_text(message["messageId"].as_str().expect("an id")).expect("an id");
        let leg = id.partition as usize;
        let at = id.entry as usize;
        let entry = &self.legs[leg].entries[at];
        assert_eq!(id.ledger, self.legs[leg].ledger, "partition and ledger belong together");
        let index = id.batch_index.max(0) as usize;
        assert!(entry.sent.contains(&index), "{id:?} was acknowledged before it was sent");
        let size = if entry.is_batch { entry.bodies.len() as i32 } else { 0 };
        assert_eq!((id.batch_size, id.batch_index >= 0), (size, entry.is_batch), "{id:?}");
        let first = entry.chunks.first().map(|first| (id.ledger, *first as u64));
        assert_eq!(id.first_chunk, first, "{id:?}");
        let mut body = Vec::new();
        base64::decode(message["payload"].as_str().expect("a payload").as_bytes(), &mut body)
            .expect("base64");
        assert_eq!(body, entry.bodies[index].as_bytes(), "{id:?}");
        let count = message["redeliveryCount"].as_u64().expect("a count");
        assert!(count <= u64::from(entry.redeliveries), "{count} of {}", entry.redeliveries);
        if self.shared() {
            if let Some(policy) = &self.spec.dead_letter {
                assert!(count <= u64::from(policy.redeliveries_max), "overdue messages are not shown");
            }
        } else {
            assert!(self.last[leg] < Some((at, index)), "in order: {:?} then {id:?}", self.last[leg]);
            self.last[leg] = Some((at, index));
        }
        let before = self.held.insert((leg, at, index), (id, self.now));
        assert!(before.is_none(), "shown once while the client holds it");
        self.shown += 1;
    }

    fn leg(&mut self) -> usize {
        self.prng.below(self.legs.len() as u64) as usize
    }

    fn attach(&mut self, leg: usize) {
        let command = self.consumer.subscribe_command(leg, leg as u64 + 1, 1);
        self.legs[leg].attach(command.consumer_epoch);
        self.last[leg] = None;
        self.call(|consumer, cx| consumer.on_subscribed(cx, leg, 1 << 20));
    }

    fn detach(&mut self, leg: usize) {
        self.legs[leg].detach();
        self.consumer.on_detached(leg);
        self.give_up(|key| key.0 == leg);
        self.nacked.retain(|(of, _), _| *of != leg);
    }

    /// What the session counts no longer as held: the client may still talk of it.
    fn give_up(&mut self, goes: impl Fn(&Key) -> bool) {
        let old = &mut self.old;
        self.held.retain(|key, (id, _)| {
            if goes(key) {
                old.push(id.clone());
            }
            !goes(key)
        });
    }

    /// The end of a turn: commands go out, and the books must agree.
    fn drain(&mut self) {
        while let Some(output) = self.consumer.poll_output(self.now, &mut Vec::new()) {
            match output {
                Output::ToBroker { leg, command } => self.send(leg, command),
                Output::OpenDeadLetters => self.letters_attached = false,
                Output::Unsubscribe => panic!("nobody unsubscribed"),
            }
        }
        assert!(!self.consumer.has_output(self.now), "drained");
        assert_eq!(self.consumer.outstanding(), self.held.len(), "the window counts what the client holds");
        if self.spec.pull {
            assert!(self.shown <= self.permitted, "pull gives what was permitted");
        } else {
            assert!(self.held.len() <= self.spec.receiver_queue.max(1) as usize, "the window holds");
        }
    }

    fn send(&mut self, leg: usize, command: Command) {
        assert!(self.legs[leg].attached, "nobody listens");
        if let Command::Redeliver(again) = &command {
            if again.message_ids.is_empty() {
                self.last[leg] = None;
                self.give_up(|key| key.0 == leg);
                self.nacked.retain(|(of, _), _| *of != leg);
            }
            for id in &again.message_ids {
                let at = id.entry_id as usize;
                self.is_due(leg, at);
                self.give_up(|key| (key.0, key.1) == (leg, at));
                self.nacked.remove(&(leg, at));
            }
        }
        self.legs[leg].to_broker.push_back(command);
    }

    /// Nothing is asked for again before its time. Chunks follow their message.
    fn is_due(&self, leg: usize, at: usize) {
        let late = |since: &Instant, delay: Duration| *since + delay <= self.now;
        let nacked = self.nacked.get(&(leg, at)).is_some_and(|since| late(since, NACK_DELAY));
        let mut held = self.held.range((leg, at, 0)..(leg, at + 1, 0));
        let timed_out =
            self.spec.ack_timeout.is_some() && held.any(|(_, (_, since))| late(since, ACK_TIMEOUT));
        let is_chunk = self.legs[leg].entries.get(at).is_none_or(|entry| entry.bodies.is_empty());
        let refused = self.spec.dead_letter.is_some();
        assert!(nacked || timed_out || is_chunk || refused, "{leg}/{at} asked for too early");
    }

    fn broker_takes(&mut self, leg: usize) -> bool {
        let Some(command) = self.legs[leg].to_broker.pop_front() else { return false };
        let done = self.legs[leg].take(&command);
        let legs = self.legs.len() as i64;
        let share = (i64::from(self.spec.receiver_queue.max(1)) / legs).max(1);
        assert!(self.legs[leg].permits <= share, "{} permits of {share}", self.legs[leg].permits);
        for (at, indexes) in done {
            for index in indexes {
                let is_chunk = self.legs[leg].entries[at].bodies.is_empty();
                assert!(
                    is_chunk || self.settled.contains(&(leg, at, index)),
                    "{leg}/{at}/{index} was not settled"
                );
            }
        }
        true
    }

    fn session_takes(&mut self, leg: usize) -> bool {
        let Some((message, at)) = self.legs[leg].to_session.pop_front() else { return false };
        let bytes = self.legs[leg].entries[at].bytes.clone();
        let payload = frame::payload(&bytes).expect("a sound entry");
        self.call(|consumer, cx| consumer.on_message(cx, leg, &message, &payload));
        true
    }

    fn say(&mut self, kind: &str, id: &MessageId) {
        let mut text = Vec::new();
        id.put_text(&mut text);
        let id = String::from_utf8(text).expect("base64");
        let mut text = format!(r#"{{"type":"{kind}","messageId":"{id}"}}"#).into_bytes();
        self.call(|consumer, cx| consumer.on_text(cx, &mut text)).expect("a readable command");
    }

    fn permit(&mut self, count: u64) {
        if self.spec.pull {
            self.permitted += count;
            let mut text = format!(r#"{{"type":"permit","permitMessages":{count}}}"#).into_bytes();
            self.call(|consumer, cx| consumer.on_text(cx, &mut text)).expect("a readable command");
        }
    }

    fn any_held(&mut self) -> Option<Key> {
        let count = self.held.len() as u64;
        let at = if count > 0 { self.prng.below(count) as usize } else { return None };
        self.held.keys().nth(at).copied()
    }

    fn ack(&mut self, key: Key) {
        if let Some((id, _)) = self.held.remove(&key) {
            self.settled.insert(key);
            self.old.push(id.clone());
            self.say("ack", &id);
        }
    }

    fn nack(&mut self, key: Key) {
        if let Some((id, _)) = self.held.remove(&key) {
            self.nacked.entry((key.0, key.1)).or_insert(self.now);
            self.say("negativeAcknowledge", &id);
        }
    }

    /// The client talks of something it does not hold.
    fn ramble(&mut self) {
        let known = self.old.len() as u64;
        if known == 0 || self.prng.below(4) == 0 {
            let unknown = MessageId { partition: self.leg() as i32, ..MessageId::plain(10, 1_000_000) };
            let ledger = self.legs[unknown.partition as usize].ledger;
            return self.say("ack", &MessageId { ledger, ..unknown });
        }
        let id = self.old[self.prng.below(known) as usize].clone();
        let key = (id.partition as usize, id.entry as usize, id.batch_index.max(0) as usize);
        // An id it holds again is not an old one; an id of three chunks does not name them all.
        if !self.held.contains_key(&key) && self.legs[key.0].entries[key.1].chunks.len() < 2 {
            self.settled.insert(key);
            self.say("ack", &id);
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.consumer.next_timer().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.call(|consumer, cx| consumer.on_timer(cx));
            self.expect_letters();
            self.drain();
        }
        self.now = end;
    }

    /// Candidates leave the window when they become letters, not with a command: see which.
    fn expect_letters(&mut self) {
        let Some(queue) = self.consumer.dead_letters() else { return };
        if !self.letters_attached {
            self.letters_attached = true;
            let success =
                CommandProducerSuccess { producer_name: "d".into(), ..CommandProducerSuccess::default() };
            queue.on_detached();
            queue.on_created(&success, 1 << 20);
        }
        let mut origins = Vec::new();
        while let Some(pending) = queue.next_unsent() {
            let payload = frame::payload(&pending.entry).expect("a sound entry");
            let metadata = MessageMetadata::decode(payload.metadata).expect("metadata");
            let origin =
                metadata.properties.iter().find(|pair| pair.key == "ORIGIN_MESSAGE_ID").expect("an origin");
            let numbers: Vec<i64> =
                origin.value.split(':').map(|part| part.parse().expect("a number")).collect();
            let key =
                (numbers[2] as usize, numbers[1] as usize, numbers.get(3).map_or(0, |index| *index as usize));
            let stored = &self.legs[key.0].entries[key.1].bodies[key.2];
            assert_eq!(payload.body, stored.as_bytes(), "the letter is the message");
            origins.push((pending.sequence_id, key));
        }
        for (sequence_id, key) in origins {
            self.give_up(|held| *held == key);
            if self.prng.below(8) == 0 {
                // The topic is lost before the receipt.
                self.letters_attached = false;
                return self.call(|consumer, cx| consumer.on_dead_letters_refused(cx));
            }
            self.settled.insert(key);
            let receipt = CommandSendReceipt { sequence_id, ..CommandSendReceipt::default() };
            self.call(|consumer, cx| consumer.on_dead_letter_receipt(cx, &receipt)).expect("no violation");
        }
    }

    fn step(&mut self) {
        let leg = self.leg();
        match self.prng.below(100) {
            0..8 => self.legs[leg].publish(&mut self.prng),
            8..25 => drop(self.legs[leg].dispatch()),
            25..42 => drop(self.session_takes(leg)),
            42..59 => drop(self.broker_takes(leg)),
            59..75 => {
                if let Some(key) = self.any_held() {
                    self.ack(key);
                }
            }
            75..80 => {
                if let Some(key) = self.any_held() {
                    self.nack(key);
                }
            }
            80..84 => self.ramble(),
            84..87 => {
                let count = self.prng.below(5);
                self.permit(count);
            }
            87..94 => {
                let time = Duration::from_millis(self.prng.below(40));
                self.pass(time);
            }
            94..96 => {
                let blocked = self.prng.below(2) == 0;
                self.call(|consumer, cx| consumer.set_blocked(cx, blocked));
            }
            _ if self.legs[leg].attached => self.detach(leg),
            _ => self.attach(leg),
        }
        self.expect_letters();
        if self.prng.below(3) > 0 {
            self.drain();
        }
    }

    /// What is left to do, for a failure's message.
    fn picture(&self) -> String {
        let left = |leg: &BrokerLeg| {
            let entries = leg.entries.iter().enumerate().filter(|(_, entry)| !entry.left.is_empty());
            let entries: Vec<_> =
                entries.map(|(at, entry)| (at, entry.left.clone(), entry.pending)).collect();
            format!("permits {}, left {entries:?}", leg.permits)
        };
        let legs: Vec<String> = self.legs.iter().map(left).collect();
        let (held, bytes) = (self.held.len(), self.consumer.buffered_bytes());
        format!("{held} held, {bytes} bytes wait, {legs:?}, {:?}", self.spec)
    }

    /// From here on everything works: in the end all must be acknowledged.
    fn finish(&mut self) {
        self.call(|consumer, cx| consumer.set_blocked(cx, false));
        for leg in 0..self.legs.len() {
            if !self.legs[leg].attached {
                self.attach(leg);
            }
        }
        for round in 0.. {
            assert!(round < 20_000, "stalled: {}", self.picture());
            self.expect_letters();
            self.drain();
            if self.legs.iter().all(BrokerLeg::is_done)
                && self.legs.iter().all(|leg| leg.to_broker.is_empty())
            {
                break;
            }
            for leg in 0..self.legs.len() {
                self.legs[leg].dispatch();
                self.session_takes(leg);
                self.broker_takes(leg);
            }
            self.permit(1);
            let held: Vec<Key> = self.held.keys().copied().collect();
            held.into_iter().for_each(|key| self.ack(key));
            // Waiting alone must not be what moves things on, unless something waits for its time.
            if self.legs.iter().all(|leg| leg.to_session.is_empty() && leg.to_broker.is_empty()) {
                self.pass(SHORTEST);
            }
        }
        self.pass(Duration::from_secs(120));
        self.drain();
        assert_eq!(self.consumer.buffered_bytes(), 0, "nothing stays");
        assert_eq!(self.consumer.next_timer(), None, "nothing is due");
    }
}

fn run(seed: u64) -> u32 {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.finish();
    world.trace
}

/// Says which seed failed, even when the failure is an assertion within the session.
struct Announce(u64);

impl Drop for Announce {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with SIM_SEED={}", self.0);
        }
    }
}

#[test]
fn every_message_is_settled_in_every_world() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = number("SIM_SEED").map_or(0..number("SIM_SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    for seed in seeds {
        let _announce = Announce(seed);
        run(seed);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
