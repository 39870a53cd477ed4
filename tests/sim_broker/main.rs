//! A seeded world around one topic of the embedded broker: a store that is late, fails, rolls ledgers and forgets what was not
//! saved at a restart; connections that end; consumers of all four types that come, go, acknowledge whole entries and parts, give
//! back and seek. Receipts come in order and only for what is stored; a message comes only with a permit, never when it is consumed
//! or with somebody else, with the right count and the right messages left; keys stay in order at one consumer; in the end everything
//! was delivered. Replay one seed with `SIM_SEED=n`.

mod model;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use model::{Consumer, Entry, Subscription, all_bits};
use pulsegate::base::id::Position;
use pulsegate::base::prng::Prng;
use pulsegate::base::time::{Clock, UnixMillis};
use pulsegate::broker::cursor::Cursor;
use pulsegate::broker::event::{ClientKey, ConnectionId, Output, Save};
use pulsegate::broker::ledgers::{Ledgers, position};
use pulsegate::broker::settings::Settings;
use pulsegate::broker::topic::{Recovered, Topic};
use pulsegate::store::{CursorSet, Record, State, TopicId, TopicPut};
use pulsegate::wire::pulsar::Command;
use pulsegate::wire::pulsar::entry::{self, EntryMetadata};
use pulsegate::wire::pulsar::proto::{
    AckType, CommandAck, CommandCloseConsumer, CommandFlow, CommandProducer,
    CommandRedeliverUnacknowledgedMessages, CommandSeek, CommandSend, CommandSubscribe, InitialPosition,
    MessageIdData, SubscriptionType,
};

const SEEDS: u64 = 150;
const STEPS: u32 = 500;
const KEYS: u64 = 6;
const TOPIC: TopicId = TopicId(1);
const PRODUCER: ClientKey = ClientKey { connection: ConnectionId(0), id: 0 };

struct World {
    prng: Prng,
    clock: Clock,
    settings: Settings,
    topic: Topic,
    /// Durable entries.
    log: BTreeMap<Position, Entry>,
    stored: BTreeMap<Position, Bytes>,
    ledgers: Ledgers,
    next: Position,
    /// Asked of the store, not durable.
    appending: VecDeque<(Entry, Bytes)>,
    reading: Option<(Position, u64)>,
    /// What of cursors is durable, put together by the log's own rules.
    saved: State,
    /// Sequence ids whose answers are owed, with what is known of their entries.
    owed: VecDeque<u64>,
    sequence: u64,
    producing: bool,
    connections: u64,
    subscriptions: Vec<Subscription>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut prng = Prng::new(seed);
        let mut settings = Settings { consistent_hashing: prng.below(2) == 0, ..Settings::default() };
        if prng.below(2) == 0 {
            settings.consumer_unacked_max = 8;
            settings.subscription_unacked_max = 20;
        }
        if prng.below(2) == 0 {
            settings.partition = 1;
        }
        use SubscriptionType::{Exclusive, Failover, KeyShared, Shared};
        let subscriptions = (0..2).map(|index| Subscription {
            name: format!("subscription-{index}"),
            kind: [Exclusive, Shared, Failover, KeyShared][prng.below(4) as usize],
            consumers: BTreeMap::new(),
            left: BTreeMap::new(),
            floor: position(0, 0),
            redeliveries: BTreeMap::new(),
            active: None,
            last: None,
        });
        let subscriptions = subscriptions.collect();
        let topic = Topic::new("persistent://a/b/c", settings.clone(), Recovered::default());
        let mut world = World {
            prng,
            clock: Clock { wall: UnixMillis(1_000_000), ..Clock::default() },
            settings,
            topic,
            log: BTreeMap::new(),
            stored: BTreeMap::new(),
            ledgers: Ledgers::default(),
            next: position(1, 0),
            appending: VecDeque::new(),
            reading: None,
            saved: State::default(),
            owed: VecDeque::new(),
            sequence: 0,
            producing: false,
            connections: 0,
            subscriptions,
        };
        // Subscriptions exist from the start, so that they have to see everything.
        for index in 0..2 {
            world.join(index);
        }
        world
    }

    fn step(&mut self) {
        let index = self.prng.below(2) as usize;
        match self.prng.below(20) {
            0..5 => self.publish(),
            5..7 => self.store(),
            7 => self.answer_read(),
            8 if self.prng.below(4) == 0 => self.fail(),
            9 => self.join(index),
            10 if self.prng.below(3) == 0 => self.leave(index),
            11..13 => self.flow(index),
            13..16 => self.ack(index),
            16 => self.give_back(index),
            17 if self.prng.below(10) == 0 => self.seek(index),
            18 if self.prng.below(15) == 0 => self.restart(),
            18 => self.topic.on_tick(self.clock, Duration::from_secs(60)),
            _ => {
                let time = self.prng.below(400);
                self.pass(Duration::from_millis(time));
            }
        }
        self.drain();
    }

    fn pass(&mut self, time: Duration) {
        self.clock.now = self.clock.now + time;
        self.clock.wall.0 += time.as_millis() as i64;
    }

    fn publish(&mut self) {
        if !self.producing {
            let command = CommandProducer { producer_id: PRODUCER.id, ..CommandProducer::default() };
            self.topic.on_producer(self.clock, PRODUCER.connection, command, || "producer".to_owned());
            self.producing = true;
            self.drain();
        }
        let entry = Entry { messages: 1 + self.prng.below(4) as u32, key: self.prng.below(KEYS) };
        let key = entry.key.to_string();
        let metadata = EntryMetadata {
            producer_name: "producer",
            sequence_id: self.sequence,
            partition_key: Some(&key),
            batch_size: (entry.messages > 1).then_some(entry.messages),
            ..EntryMetadata::default()
        };
        let mut bytes = Vec::new();
        // Some are so large that the topic cannot keep all of them in memory.
        let size = if self.prng.below(4) == 0 { 200_000 } else { 10 };
        let body = |out: &mut Vec<u8>| {
            out.resize(out.len() + size, 0);
            Ok::<_, ()>(())
        };
        entry::put(&mut bytes, &metadata, body).expect("written");
        let command = CommandSend {
            producer_id: PRODUCER.id,
            sequence_id: self.sequence,
            num_messages: Some(entry.messages as i32),
            ..CommandSend::default()
        };
        self.owed.push_back(self.sequence);
        self.sequence += 1;
        let bytes = Bytes::from(bytes);
        self.appending.push_back((entry, bytes.clone()));
        self.topic.on_send(self.clock, PRODUCER.connection, &command, bytes);
    }

    /// Some of what was asked for is durable.
    fn store(&mut self) {
        if self.prng.below(8) == 0 && self.next.entry.0 > 0 {
            self.next = position(self.next.ledger.0 + 1 + self.prng.below(3), 0);
        }
        let count = self.prng.below(self.appending.len() as u64 + 1);
        let first = self.next;
        for (entry, bytes) in self.appending.drain(..count as usize) {
            self.log.insert(self.next, entry);
            self.stored.insert(self.next, bytes);
            self.next.entry.0 += 1;
        }
        self.ledgers.append(first, count);
        self.topic.on_appended(self.clock, first, count);
    }

    fn fail(&mut self) {
        self.appending.clear();
        self.topic.on_append_failed(self.clock);
        self.drain();
        assert!(self.owed.is_empty(), "all were refused");
        self.producing = false;
        self.topic.on_storage_ready();
    }

    fn answer_read(&mut self) {
        let Some((from, count)) = self.reading.take() else { return };
        if self.prng.below(5) == 0 {
            return self.topic.on_read_failed(self.clock);
        }
        let same = self.stored.range(from..).take_while(|(at, _)| at.ledger == from.ledger);
        let entries: Vec<_> = same.take(count as usize).map(|(_, bytes)| bytes.clone()).collect();
        assert!(!entries.is_empty(), "only what exists is read");
        let some = 1 + self.prng.below(entries.len() as u64) as usize;
        self.topic.on_read(from, entries.into_iter().take(some));
    }

    fn join(&mut self, index: usize) {
        let subscription = &mut self.subscriptions[index];
        let full = if subscription.kind == SubscriptionType::Exclusive { 1 } else { 3 };
        if subscription.consumers.len() >= full {
            return;
        }
        self.connections += 1;
        let key = ClientKey { connection: ConnectionId(self.connections), id: index as u64 };
        let command = CommandSubscribe {
            subscription: subscription.name.clone(),
            sub_type: subscription.kind as i32,
            consumer_id: key.id,
            consumer_name: Some(format!("consumer-{}", self.connections)),
            priority_level: Some(self.prng.below(2) as i32),
            initial_position: Some(InitialPosition::Earliest as i32),
            ..CommandSubscribe::default()
        };
        subscription.consumers.insert(key, Consumer::default());
        if subscription.kind == SubscriptionType::Exclusive {
            (subscription.active, subscription.last) = (Some(key), None);
        }
        self.topic.on_command(self.clock, key.connection, Command::Subscribe(command));
        self.drain();
    }

    /// One of the consumers of a subscription.
    fn any(&mut self, index: usize) -> Option<ClientKey> {
        let keys: Vec<_> = self.subscriptions[index].consumers.keys().copied().collect();
        let count = keys.len() as u64;
        (count > 0).then(|| keys[self.prng.below(count) as usize])
    }

    fn leave(&mut self, index: usize) {
        let Some(key) = self.any(index) else { return };
        self.subscriptions[index].remove(key);
        if self.prng.below(2) == 0 {
            return self.topic.on_disconnect(self.clock, key.connection);
        }
        let close = CommandCloseConsumer { consumer_id: key.id, ..CommandCloseConsumer::default() };
        self.topic.on_command(self.clock, key.connection, Command::CloseConsumer(close));
    }

    fn flow(&mut self, index: usize) {
        let Some(key) = self.any(index) else { return };
        let permits = 1 + self.prng.below(6) as u32;
        let consumer = self.subscriptions[index].consumers.get_mut(&key).expect("just chosen");
        consumer.permits += i64::from(permits);
        let flow = CommandFlow { consumer_id: key.id, message_permits: permits };
        self.topic.on_command(self.clock, key.connection, Command::Flow(flow));
    }

    /// Something that a consumer was sent.
    fn held(&mut self, index: usize, key: ClientKey) -> Option<Position> {
        let held: Vec<_> = self.subscriptions[index].consumers[&key].holds.iter().copied().collect();
        let count = held.len() as u64;
        (count > 0).then(|| held[self.prng.below(count) as usize])
    }

    fn ack(&mut self, index: usize) {
        let Some(key) = self.any(index) else { return };
        let Some(at) = self.held(index, key) else { return };
        let subscription = &mut self.subscriptions[index];
        let entry = self.log[&at];
        let mut id = id_of(at);
        let mut left = 0;
        if entry.messages > 1 && self.prng.below(2) == 0 {
            left = self.prng.next() & all_bits(entry.messages);
            if left != 0 {
                id.ack_set = vec![left as i64];
            }
        }
        let mut ack_type = AckType::Individual;
        if subscription.is_single() && self.prng.below(3) == 0 {
            ack_type = AckType::Cumulative;
            let below: Vec<_> = self.log.range(..at).map(|(at, entry)| (*at, *entry)).collect();
            below.into_iter().for_each(|(at, entry)| subscription.ack(at, entry, 0));
        }
        subscription.ack(at, entry, left);
        let ack = CommandAck {
            consumer_id: key.id,
            ack_type: ack_type as i32,
            message_id: vec![id],
            ..CommandAck::default()
        };
        self.topic.on_command(self.clock, key.connection, Command::Ack(ack));
    }

    fn give_back(&mut self, index: usize) {
        let Some(key) = self.any(index) else { return };
        let one_only = self.prng.below(2) == 0;
        let one = self.held(index, key).filter(|_| one_only);
        let ids: Vec<_> = one.into_iter().collect();
        self.subscriptions[index].redeliver(key, &ids);
        let redeliver = CommandRedeliverUnacknowledgedMessages {
            consumer_id: key.id,
            message_ids: ids.into_iter().map(id_of).collect(),
            consumer_epoch: None,
        };
        self.topic.on_command(self.clock, key.connection, Command::Redeliver(redeliver));
    }

    fn seek(&mut self, index: usize) {
        let Some(key) = self.any(index) else { return };
        let all: Vec<_> = self.log.keys().copied().collect();
        if all.is_empty() {
            return;
        }
        let at = all[self.prng.below(all.len() as u64) as usize];
        let subscription = &mut self.subscriptions[index];
        subscription.left.clear();
        subscription.floor = at;
        // All are closed before the answer.
        for key in subscription.consumers.keys().copied().collect::<Vec<_>>() {
            subscription.remove(key);
        }
        let seek = CommandSeek { consumer_id: key.id, message_id: Some(id_of(at)), ..CommandSeek::default() };
        self.topic.on_command(self.clock, key.connection, Command::Seek(seek));
    }

    /// The process dies: what was not saved is forgotten, and what was not durable is lost.
    fn restart(&mut self) {
        self.appending.clear();
        self.owed.clear();
        (self.producing, self.reading) = (false, None);
        if self.next.entry.0 > 0 {
            self.next = position(self.next.ledger.0 + 1, 0);
        }
        for subscription in &mut self.subscriptions {
            let stored = self.saved.topic(TOPIC).expect("something was saved");
            let mut states = stored.cursors.values();
            let state = states.find(|state| state.name == subscription.name.as_bytes());
            let cursor = Cursor::load(state.expect("saved when made"), &self.ledgers);
            let mut left = BTreeMap::new();
            for (at, entry) in &self.log {
                let bits = match cursor.left(*at) {
                    _ if cursor.is_acked(*at) => 0,
                    Some(set) => set.words()[0] as u64,
                    None => all_bits(entry.messages),
                };
                let before = subscription.left(*at, *entry);
                assert_eq!(before & bits, before, "nothing is consumed by a restart");
                left.insert(*at, bits);
            }
            (subscription.left, subscription.floor) = (left, position(0, 0));
            for key in subscription.consumers.keys().copied().collect::<Vec<_>>() {
                subscription.remove(key);
            }
        }
        let stored = self.saved.topic(TOPIC).into_iter();
        let cursors = stored.flat_map(|stored| &stored.cursors);
        let found = Recovered {
            ledgers: self.ledgers.clone(),
            cursors: cursors.map(|(id, state)| (*id, (**state).clone())).collect(),
            ..Recovered::default()
        };
        self.topic = Topic::new("persistent://a/b/c", self.settings.clone(), found);
    }

    /// Takes all outputs and checks them.
    fn drain(&mut self) {
        loop {
            let more = self.topic.dispatch(self.clock);
            while let Some(output) = self.topic.poll_output() {
                self.output(output);
            }
            if !more {
                break;
            }
        }
        for subscription in &self.subscriptions {
            if let Some((entries, _)) = self.topic.backlog(&subscription.name) {
                assert_eq!(entries, subscription.backlog(&self.log), "entries left");
            }
        }
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Deliver { to, command, entry } => {
                let key = ClientKey { connection: to, id: command.consumer_id };
                let at = position(command.message_id.ledger_id, command.message_id.entry_id);
                assert_eq!(self.stored.get(&at), Some(&entry), "byte for byte, and durable");
                self.subscriptions[key.id as usize].deliver(key, at, &command, &self.log);
            }
            Output::Send { command: Command::SendReceipt(receipt), .. } => {
                assert_eq!(self.owed.pop_front(), Some(receipt.sequence_id), "in order");
                let id = receipt.message_id.expect("always said");
                assert!(self.log.contains_key(&position(id.ledger_id, id.entry_id)), "durable");
            }
            Output::Send { command: Command::SendError(error), .. } => {
                assert_eq!(self.owed.pop_front(), Some(error.sequence_id), "in order");
                assert!(self.appending.is_empty(), "only when storage failed");
            }
            Output::Send { to, command: Command::ActiveConsumerChange(change) } => {
                let key = ClientKey { connection: to, id: change.consumer_id };
                let subscription = &mut self.subscriptions[key.id as usize];
                if change.is_active == Some(true) {
                    (subscription.active, subscription.last) = (Some(key), None);
                }
            }
            Output::Send { command: Command::Error(error), .. } => panic!("{error:?}"),
            Output::Send { .. } | Output::Append { .. } => {}
            Output::Read { from, entries, .. } => {
                assert_eq!(self.reading.replace((from, entries)), None, "one read at a time");
            }
            Output::Save { id, save } => {
                let record = match &save {
                    Save::CursorSet { id, subscription, acks, properties } => {
                        let (name, acks) = (subscription.as_bytes(), acks.clone());
                        Record::CursorSet(TOPIC, *id, CursorSet { name, acks, properties })
                    }
                    Save::CursorUpdate { id, acks } => Record::CursorUpdate(TOPIC, *id, acks.clone()),
                    other => panic!("{other:?}"),
                };
                let put = TopicPut { name: b"t", properties: b"" };
                self.saved.apply(0, &Record::TopicPut(TOPIC, put)).expect("it fits");
                self.saved.apply(0, &record).expect("it fits");
                self.topic.on_saved(id);
            }
            other => panic!("{other:?}"),
        }
    }

    /// Everybody takes and acknowledges everything: nothing may be left.
    fn finish(&mut self) {
        for _ in 0..20_000 {
            if self.subscriptions.iter().all(|subscription| subscription.backlog(&self.log) == 0)
                && self.appending.is_empty()
            {
                return;
            }
            for index in 0..2 {
                self.join(index);
                self.flow(index);
                self.ack(index);
            }
            self.store();
            self.answer_read();
            self.pass(Duration::from_millis(500));
            self.drain();
        }
        let left: Vec<_> =
            self.subscriptions.iter().map(|found| (found.kind, found.backlog(&self.log))).collect();
        panic!("not everything was delivered: {left:?}");
    }
}

fn id_of(at: Position) -> MessageIdData {
    MessageIdData { ledger_id: at.ledger.0, entry_id: at.entry.0, ..MessageIdData::default() }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.finish();
}

/// The seeds that are `half` modulo 2, or the one that was given if it is such: two sweeps keep two cores busy.
fn sweep(half: u64) {
    let given = std::env::var("SIM_SEED").ok();
    let seeds = given.map_or(0..SEEDS, |seed| {
        let seed = seed.parse().expect("SIM_SEED is a number");
        seed..seed + 1
    });
    for seed in seeds.filter(|seed| seed % 2 == half) {
        let outcome = std::panic::catch_unwind(|| run(seed));
        assert!(outcome.is_ok(), "seed {seed} failed: replay it with SIM_SEED={seed}");
    }
}

#[test]
fn a_topic_keeps_its_promises_on_even_seeds() {
    sweep(0);
}

#[test]
fn a_topic_keeps_its_promises_on_odd_seeds() {
    sweep(1);
}
