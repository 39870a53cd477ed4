//! The host, its disk, and the clients of its topics. Every step is decided by the seed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use pulsegate::base::id::Position;
use pulsegate::base::prng::Prng;
use pulsegate::base::time::{Clock, Instant, UnixMillis};
use pulsegate::broker::admin::AdminAnswer;
use pulsegate::broker::catalogue::{Catalogue, FirstStart};
use pulsegate::broker::event::ClientKey;
use pulsegate::broker::host::{Asked, ConnectionId, Host, HostConfig, HostState, Request, Told};
use pulsegate::broker::ledgers::position;
use pulsegate::store::log::Config;
use pulsegate::store::{DiskOp, Log, OpId, StoreId, recover};
use pulsegate::wire::pulsar::Command;
use pulsegate::wire::pulsar::proto::{CommandFlow, CommandSubscribe, MessageIdData, SubscriptionType};

use crate::disk::SimDisk;
use crate::model::{Topic, sequence_of};

const STORE: u64 = 0x5eed;
/// How often what deduplication knows is saved: several times in a run of a seed.
pub(crate) const SNAPSHOTS: Duration = Duration::from_millis(300);
const LOG: Config = Config {
    slot_bytes: 512 * 1024,
    slots_max: 6,
    checkpoint_bytes: 256 * 1024,
    unsettled_bytes: 256 * 1024,
    inline_bytes: 4 * 1024,
    tail_bytes: 16 * 1024,
};

pub(crate) struct World {
    pub(crate) prng: Prng,
    pub(crate) clock: Clock,
    disk: SimDisk,
    ops: VecDeque<(OpId, DiskOp)>,
    pub(crate) host: Host,
    pub(crate) catalogue: Catalogue,
    pub(crate) topics: Vec<Topic>,
    connections: u64,
    pub(crate) requests: u64,
    /// What a reader found, while one reads: its connection, and the entries.
    reading: Option<(ConnectionId, BTreeMap<Position, u64>)>,
    answers: BTreeMap<u64, AdminAnswer>,
    /// The host was told something since its last turn.
    stirred: bool,
    pub(crate) receipts: u64,
    pub(crate) acks: u64,
    pub(crate) restarts: u64,
}

/// One seed: several runs with a crash after each, and everything to its end.
pub(crate) fn run(seed: u64) -> World {
    let mut world = World::new(seed);
    for _ in 0..5 {
        for _ in 0..300 {
            world.step();
        }
        world.restart();
    }
    world.finish();
    world
}

fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    let first = FirstStart { cluster: "standalone".to_owned(), super_users: Vec::new(), stock: true };
    let plan = catalogue.plan_first_start(&first);
    catalogue.apply_plan(&plan, 1);
    let keep = br#"{"deduplicationEnabled":true}"#;
    catalogue.apply("policies/persistent://public/default/b", 1, Some(keep));
    catalogue
}

fn open(disk: &SimDisk, clock: Clock) -> Host {
    let recovered = recover(&disk.contents(), STORE).expect("a crash is no rot");
    assert_eq!(recovered.damaged, [], "segments are there");
    let log = Log::open(LOG, recovered, clock.wall.0 as u64);
    let mut config = HostConfig::new(StoreId(0), 1, "standalone");
    config.rolling.entries_max = 15;
    config.rules.retention.minutes = -1;
    config.rules.retention.mebibytes = -1;
    config.upkeep.tick = Duration::from_secs(1);
    config.upkeep.idle = Duration::from_secs(2);
    config.upkeep.sequences = SNAPSHOTS;
    Host::new(config, log, clock)
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let mut prng = Prng::new(seed);
        let disk = SimDisk::new(prng.next());
        let clock = Clock { now: Instant(1_000_000_000), wall: UnixMillis(1_700_000_000_000) };
        let host = open(&disk, clock);
        let full = |local: &str| format!("persistent://public/default/{local}");
        let kind = [SubscriptionType::Exclusive, SubscriptionType::Shared];
        let topics = ["a", "b", "c"].into_iter().enumerate();
        let topics = topics.map(|(index, local)| Topic::new(&full(local), local == "b", kind[index % 2]));
        World {
            prng,
            clock,
            disk,
            ops: VecDeque::new(),
            host,
            catalogue: catalogue(),
            topics: topics.collect(),
            connections: 0,
            requests: 0,
            reading: None,
            answers: BTreeMap::new(),
            stirred: false,
            receipts: 0,
            acks: 0,
            restarts: 0,
        }
    }

    pub(crate) fn connection(&mut self) -> ConnectionId {
        self.connections += 1;
        ConnectionId(self.connections)
    }

    pub(crate) fn ask(&mut self, connection: ConnectionId, what: Asked) {
        self.stirred = true;
        let request = Request { connection, store: StoreId(0), what };
        self.host.on_request(self.clock, &self.catalogue, request);
    }

    pub(crate) fn command(&mut self, connection: ConnectionId, command: Command) {
        self.ask(connection, Asked::Command { command, entry: Bytes::new() });
    }

    pub(crate) fn step(&mut self) {
        let index = self.prng.below(3) as usize;
        match self.prng.below(24) {
            0..6 => self.perform(),
            6..10 => self.produce(index),
            10..12 => self.consume(index),
            12..16 => self.ack(index),
            16 if self.prng.below(8) == 0 => self.seek(index),
            17 if self.prng.below(10) == 0 => self.disconnect(index),
            18 if self.prng.below(12) == 0 => self.administrate(index),
            19 if self.prng.below(20) == 0 => self.disk.faults.full = !self.disk.faults.full,
            20 if self.prng.below(150) == 0 => self.disk.faults.journal_sync = Some(1),
            21 => {
                let time = Duration::from_millis(self.prng.below(400));
                self.pass(time);
            }
            _ => {}
        }
        if self.prng.below(3) > 0 {
            self.drive();
        }
        if matches!(self.host.state(), HostState::Failed(_)) {
            self.restart();
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.clock.now = self.clock.now + time;
        self.clock.wall.0 += time.as_millis() as i64;
        if self.host.next_time(self.clock).is_some_and(|due| due <= self.clock.now) {
            self.host.on_timer(self.clock, &self.catalogue);
        }
    }

    /// One of the disk's requests ends, in any order.
    fn perform(&mut self) {
        if self.ops.is_empty() {
            return;
        }
        let number = self.prng.below(self.ops.len() as u64) as usize;
        let (id, op) = self.ops.remove(number).expect("it is there");
        let result = self.disk.perform(op);
        self.host.on_disk(self.clock, id, result);
        self.gather();
    }

    /// The end of a turn.
    fn drive(&mut self) -> bool {
        let more = self.host.drive(self.clock, &self.catalogue);
        self.gather();
        more
    }

    fn gather(&mut self) {
        while let Some(op) = self.host.take_op() {
            self.ops.push_back(op);
        }
        while let Some((ticket, answer)) = self.host.poll_answer() {
            assert!(self.answers.insert(ticket, answer).is_none(), "one answer each");
        }
        while let Some(reply) = self.host.poll_reply() {
            self.hear(reply.to, reply.what);
        }
    }

    /// Everything is carried out until nothing moves.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            self.stirred = false;
            let more = self.drive();
            if self.ops.is_empty() && !more && !self.stirred {
                return;
            }
            self.perform();
        }
        panic!("the host never comes to rest");
    }

    fn topic_of(&mut self, key: ClientKey, producer: bool) -> Option<&mut Topic> {
        let of = |topic: &&mut Topic| {
            let client = if producer { topic.producer } else { topic.consumer };
            client.is_some_and(|(client, _)| client == key)
        };
        self.topics.iter_mut().find(of)
    }

    fn hear(&mut self, to: ConnectionId, told: Told) {
        let key = |id| ClientKey { connection: to, id };
        match told {
            Told::Deliver { command, entry } => {
                let at = position(command.message_id.ledger_id, command.message_id.entry_id);
                if self.prng.below(60) == 0 {
                    self.check_durable(at);
                }
                if let Some((reader, found)) = &mut self.reading
                    && *reader == to
                {
                    found.insert(at, sequence_of(&entry));
                } else if let Some(topic) = self.topic_of(key(command.consumer_id), false) {
                    topic.on_delivery(at, &entry);
                }
            }
            Told::Command(command) => self.hear_command(to, command),
            // A connection in a newcomer's way: it was left behind.
            Told::Probe => self.ask(to, Asked::Probed { alive: false }),
            Told::Close { reason } => panic!("{to:?} is closed: {reason}"),
            other => panic!("{other:?}"),
        }
    }

    fn hear_command(&mut self, to: ConnectionId, command: Command) {
        let key = |id| ClientKey { connection: to, id };
        let own = |client: &Option<(ClientKey, bool)>| client.is_some_and(|(key, _)| key.connection == to);
        match command {
            Command::ProducerSuccess(_) => {
                for topic in self.topics.iter_mut().filter(|topic| own(&topic.producer)) {
                    topic.producer = topic.producer.map(|(key, _)| (key, true));
                }
            }
            Command::SendReceipt(receipt) => {
                let id = receipt.message_id.expect("always said");
                let stored = id.ledger_id != u64::MAX;
                let at = stored.then(|| position(id.ledger_id, id.entry_id));
                self.receipts += 1;
                if let Some(topic) = self.topic_of(key(receipt.producer_id), true) {
                    topic.on_receipt(receipt.sequence_id, at);
                }
            }
            // The official clients connect anew and send again what is not confirmed.
            Command::SendError(error) => {
                if let Some(topic) = self.topic_of(key(error.producer_id), true) {
                    topic.lose_producer();
                    self.ask(to, Asked::Disconnected);
                }
            }
            Command::CloseProducer(close) => {
                self.topic_of(key(close.producer_id), true).into_iter().for_each(Topic::lose_producer);
            }
            Command::CloseConsumer(close) => {
                let topic = self.topic_of(key(close.consumer_id), false);
                topic.into_iter().for_each(Topic::lose_consumer);
            }
            Command::Error(_) => {
                for topic in &mut self.topics {
                    if own(&topic.producer) {
                        topic.lose_producer();
                    }
                    if own(&topic.consumer) {
                        topic.lose_consumer();
                    }
                }
                self.ask(to, Asked::Disconnected);
            }
            Command::Success(_) => {
                if let Some((reader, _)) = &self.reading
                    && *reader == to
                {
                    let flow = CommandFlow { consumer_id: 0, message_permits: 1_000_000 };
                    return self.command(to, Command::Flow(flow));
                }
                for topic in self.topics.iter_mut().filter(|topic| own(&topic.consumer)) {
                    topic.consumer = topic.consumer.map(|(key, _)| (key, true));
                }
            }
            Command::AckResponse(response) => {
                self.acks += 1;
                let Some(topic) = self.topic_of(key(response.consumer_id), false) else { return };
                let asked = topic.asked.iter().position(|(id, _)| Some(*id) == response.request_id);
                let positions = asked.and_then(|at| topic.asked.remove(at)).map(|(_, at)| at);
                if response.error.is_none() {
                    topic.acked.extend(positions.into_iter().flatten());
                }
            }
            _ => {}
        }
    }

    /// What a consumer sees survives the worst crash.
    fn check_durable(&mut self, at: Position) {
        let mut disk = self.disk.clone();
        disk.crash();
        let recovered = recover(&disk.contents(), STORE).expect("a crash is no rot");
        let ledger = recovered.state.ledger(at.ledger).expect("the ledger of a delivered entry");
        assert!(at.entry.0 < ledger.entries, "{at:?} was delivered and is not durable");
    }

    /// The process dies, or the machine does; another one goes on with what is there.
    pub(crate) fn restart(&mut self) {
        let power_goes = self.prng.below(3) > 0;
        self.restart_after(power_goes);
        if self.prng.below(3) == 0 {
            self.settle();
            self.check_all();
        }
    }

    /// The same, and which of the two it is, is given.
    pub(crate) fn restart_after(&mut self, power_goes: bool) {
        match power_goes {
            true => self.disk.crash(),
            false => self.disk.kill(),
        }
        self.ops.clear();
        self.answers.clear();
        self.reading = None;
        self.restarts += 1;
        for topic in &mut self.topics {
            topic.lose_producer();
            topic.lose_consumer();
        }
        self.pass(Duration::from_millis(20));
        self.host = open(&self.disk, self.clock);
    }

    /// Reads every topic and compares.
    pub(crate) fn check_all(&mut self) {
        for index in 0..self.topics.len() {
            let reader = self.connection();
            self.reading = Some((reader, BTreeMap::new()));
            let command = CommandSubscribe {
                topic: self.topics[index].name.clone(),
                subscription: format!("reader-{}", reader.0),
                sub_type: SubscriptionType::Exclusive as i32,
                durable: Some(false),
                start_message_id: Some(MessageIdData {
                    ledger_id: u64::MAX,
                    entry_id: u64::MAX,
                    ..MessageIdData::default()
                }),
                ..CommandSubscribe::default()
            };
            self.command(reader, Command::Subscribe(command));
            self.settle();
            let (_, found) = self.reading.take().expect("set above");
            self.topics[index].check(&found);
            self.ask(reader, Asked::Disconnected);
            self.settle();
        }
    }

    /// Everybody does the rest: everything sent is stored, everything stored is delivered.
    pub(crate) fn finish(&mut self) {
        self.disk.faults = Default::default();
        for _ in 0..3000 {
            for index in 0..self.topics.len() {
                if self.topics[index].producer.is_none_or(|(_, ready)| !ready)
                    || self.topics[index].under_way < self.topics[index].unanswered.len()
                {
                    self.produce(index);
                }
                self.consume(index);
                self.ack(index);
            }
            self.pass(Duration::from_millis(100));
            self.settle();
            if matches!(self.host.state(), HostState::Failed(_)) {
                self.restart();
            }
        }
        self.check_all();
        for topic in &self.topics {
            assert!(topic.unanswered.is_empty(), "{}: {:?} are not confirmed", topic.name, topic.unanswered);
            let unseen: Vec<_> = topic.confirmed.keys().filter(|at| !topic.seen.contains(at)).collect();
            assert!(unseen.is_empty(), "{}: {unseen:?} were never delivered", topic.name);
        }
    }
}

pub(crate) fn id_of(at: Position) -> MessageIdData {
    MessageIdData { ledger_id: at.ledger.0, entry_id: at.entry.0, ..MessageIdData::default() }
}
