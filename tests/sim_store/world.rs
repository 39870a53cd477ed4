//! A store, its disk, and a model of what was promised. Every step is decided by the seed.

use crate::disk::SimDisk;
use bytes::{Bytes, BytesMut};
use pulsegate::base::id::{EntryId, LedgerId, Position};
use pulsegate::base::prng::Prng;
use pulsegate::store::log::Config;
use pulsegate::store::record::{decode, encode};
use pulsegate::store::state::Topics;
use pulsegate::store::{
    Acks, CursorId, CursorSet, Dedup, DiskOp, Event, Log, LogError, Lookup, OpId, Record, RecoverError,
    Recovered, State, Stored, Ticket, TopicId, TopicPut, recover,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub(crate) const STORE: u64 = 0x05ee_d0f0_0570_0123;
pub(crate) const CONFIG: Config = Config {
    slot_bytes: 64 * 1024,
    slots_max: 6,
    checkpoint_bytes: 96 * 1024,
    unsettled_bytes: 96 * 1024,
    inline_bytes: 12 * 1024,
    tail_bytes: 4 * 1024,
};

/// The world.
pub(crate) struct World {
    pub(crate) prng: Prng,
    pub(crate) disk: SimDisk,
    pub(crate) log: Log,
    /// Requests not yet carried out.
    pub(crate) ops: VecDeque<(OpId, DiskOp)>,
    /// What every entry ever appended holds; `None` once its ledger's end was asked for.
    pub(crate) entries: BTreeMap<Position, Bytes>,
    /// What everything confirmed adds up to.
    pub(crate) confirmed: State,
    /// What was appended and is not confirmed: the record, and when it was.
    pub(crate) pending: VecDeque<(Ticket, BytesMut)>,
    pub(crate) next_id: u64,
    pub(crate) dead: bool,
    pub(crate) checkpoints: u32,
    pub(crate) failed_checkpoints: u32,
    pub(crate) refused: u32,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self::start(Prng::new(seed), SimDisk::new(seed ^ 1)).expect("an empty disk is a store")
    }

    /// One that lived until it had so many checkpoints, came to rest, and was killed: what a start finds on its disk is known.
    pub(crate) fn killed_after(seed: u64, checkpoints: u32) -> Self {
        let mut world = World::new(seed);
        while world.checkpoints < checkpoints {
            world.step();
        }
        world.settle();
        world.disk.kill();
        world
    }

    fn start(prng: Prng, disk: SimDisk) -> Result<Self, RecoverError> {
        let recovered = recover(&disk.contents(), STORE)?;
        Ok(Self::with(prng, disk, recovered))
    }

    /// Goes on from what was recovered.
    pub(crate) fn with(prng: Prng, disk: SimDisk, recovered: Recovered) -> Self {
        assert_eq!(recovered.damaged, [], "segments are there");
        let log = Log::open(CONFIG, recovered, 0);
        // Numbers that were handed out and never confirmed are not used again: nothing follows in a ledger of an earlier run.
        let ledgers = || log.state().topics.values().flat_map(|topic| &topic.ledgers);
        assert!(ledgers().all(|ledger| ledger.closed), "ledgers of an earlier run are closed");
        let confirmed = log.state().clone();
        let mut world = World {
            prng,
            disk,
            log,
            ops: VecDeque::new(),
            entries: BTreeMap::new(),
            confirmed,
            pending: VecDeque::new(),
            next_id: 1,
            dead: false,
            checkpoints: 0,
            failed_checkpoints: 0,
            refused: 0,
        };
        world.gather();
        world
    }

    /// Ends this run and recovers; the model's entries go over. Checks everything that was promised.
    pub(crate) fn restart(self) -> Result<Self, RecoverError> {
        let mut next = Self::start(self.prng, self.disk)?;
        next.entries = self.entries;
        next.next_id = self.next_id;
        let kept = is_prefix(&self.confirmed, &self.pending, next.log.state());
        assert!(kept, "recovered {:?}\nconfirmed {:?}", next.log.state(), self.confirmed);
        Ok(next)
    }

    /// If the power went now: would recovery find what was promised?
    pub(crate) fn probe(&self, seed: u64) {
        let mut disk = self.disk.clone();
        disk.reseed(seed);
        disk.crash();
        let recovered = recover(&disk.contents(), STORE).expect("a crash is no rot");
        assert_eq!(recovered.damaged, [], "segments are there");
        assert!(is_prefix(&self.confirmed, &self.pending, &recovered.state), "{:?}", self.confirmed);
    }

    fn on_durable(&mut self, upto: Ticket) {
        while let Some((_, record)) = self.pending.pop_front_if(|(ticket, _)| *ticket <= upto) {
            let ((wall_ms, record), ..) = decode(&record).expect("encoded below");
            self.confirmed.apply(wall_ms, &record).expect("the log took it");
        }
    }

    fn remember(&mut self, ticket: Ticket, record: &Record<'_>) {
        let mut encoded = BytesMut::new();
        encode(record, self.next_id, &mut encoded);
        self.pending.push_back((ticket, encoded));
    }

    pub(crate) fn gather(&mut self) {
        while let Some(op) = self.log.take_op() {
            self.ops.push_back(op);
        }
        while let Some(event) = self.log.take_event() {
            match event {
                Event::Durable(upto) => self.on_durable(upto),
                Event::Dead => self.dead = true,
                Event::Checkpoint => self.checkpoints += 1,
                Event::CheckpointFailed(_) => self.failed_checkpoints += 1,
                Event::Open | Event::Scrubbed { .. } | Event::Read { .. } | Event::Found { .. } => {}
                Event::Damaged { ledger, first, .. } => panic!("{ledger:?} is damaged from {first:?} on"),
            }
        }
    }

    /// Carries the n-th waiting request out: the disk answers in any order.
    pub(crate) fn perform(&mut self, number: usize) {
        let Some((id, op)) = self.ops.remove(number) else { return };
        let result = self.disk.perform(op);
        self.log.on_done(id, result);
        self.gather();
    }

    /// Carries everything out until the log is quiet.
    pub(crate) fn settle(&mut self) {
        self.log.drive();
        self.gather();
        while !self.ops.is_empty() {
            self.perform(0);
        }
    }

    /// One step at random.
    pub(crate) fn step(&mut self) {
        match self.prng.below(10) {
            0..5 if !self.ops.is_empty() => {
                let number = self.prng.below(self.ops.len() as u64) as usize;
                self.perform(number);
            }
            0..9 => self.append(),
            _ => {
                self.log.heartbeat();
                self.log.drive();
                self.gather();
            }
        }
    }

    pub(crate) fn append(&mut self) {
        let result = self.append_something();
        match result {
            Ok(()) => {}
            Err(LogError::Full | LogError::NotOpen) => self.refused += 1,
            Err(error) => panic!("{error}"),
        }
        if self.prng.below(2) == 0 {
            self.log.drive();
            self.gather();
        }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let number = self.prng.below(from.len().max(1) as u64) as usize;
        from.get(number).copied()
    }

    fn append_something(&mut self) -> Result<(), LogError> {
        let state = self.log.state();
        let topics: Vec<TopicId> = state.topics.keys().copied().collect();
        let ledgers = || state.topics.values().flat_map(|topic| &topic.ledgers);
        let open = ledgers().filter(|ledger| !ledger.closed);
        let open: Vec<(LedgerId, u64)> = open.map(|ledger| (ledger.id, ledger.entries)).collect();
        let closed = ledgers().filter(|ledger| ledger.closed);
        let closed: Vec<LedgerId> = closed.map(|ledger| ledger.id).collect();
        let cursors =
            state.topics.iter().flat_map(|(id, topic)| topic.cursors.keys().map(|cursor| (*id, *cursor)));
        let cursors: Vec<(TopicId, CursorId)> = cursors.collect();
        let idle = |topic: &TopicId| {
            state.topic(*topic).is_some_and(|topic| topic.ledgers.last().is_none_or(|last| last.closed))
        };
        let idle: Vec<TopicId> = topics.iter().copied().filter(idle).collect();
        let (topic, ledger, cursor) = (self.pick(&topics), self.pick(&open), self.pick(&cursors));
        let idle = self.pick(&idle);
        self.next_id += 1;
        let id = self.next_id;
        let record = match (self.prng.below(34), topic, ledger, cursor) {
            (0..18, _, Some((ledger, _)), _) => return self.append_entry(ledger).map(drop),
            (18, _, Some((ledger, entries)), _) => Record::LedgerClose(ledger, entries),
            (19, ..) if closed.len() > 3 => Record::LedgerDelete(closed[0]),
            (20, Some(topic), ..) if topics.len() > 3 => Record::TopicDelete(topic),
            (21, Some(topic), ..) => {
                let below = Position { ledger: LedgerId(0), entry: EntryId(0) };
                let acks = Acks { below, ranges: vec![], partial: vec![] };
                let set = CursorSet { name: b"subscription", acks, properties: b"p" };
                Record::CursorSet(topic, CursorId(id), set)
            }
            (22..26, _, Some((ledger, entries)), Some((topic, cursor))) => {
                let at = |entry: u64| Position { ledger, entry: EntryId(entry) };
                let ranges = vec![(at(entries / 2), EntryId(entries))];
                let below = at(entries / 3);
                let acks = Acks { below, ranges, partial: vec![(at(entries + 1), vec![id])] };
                Record::CursorUpdate(topic, cursor, acks)
            }
            (26, _, _, Some((topic, cursor))) => Record::CursorDelete(topic, cursor),
            (27, Some(topic), ..) => Record::TopicEpoch(topic, id),
            (28, Some(topic), ..) if self.prng.below(9) == 0 => Record::TopicTerminate(topic),
            (29, Some(topic), ..) => {
                let (whole, below) =
                    (id.is_multiple_of(2), Position { ledger: LedgerId(id), entry: EntryId(3) });
                Record::Dedup(topic, Dedup { whole, below, names: vec![(b"one", id), (b"two", 7)] })
            }
            (30, Some(topic), ..) => Record::DedupDelete(topic),
            (31.., ..) if open.len() < 4 && idle.is_some() => {
                Record::LedgerOpen(LedgerId(id), idle.unwrap_or(TopicId(0)))
            }
            (_, None, ..) => {
                let put = TopicPut { name: b"persistent://public/default/t", properties: b"" };
                Record::TopicPut(TopicId(id), put)
            }
            (_, _, None, _) => match idle {
                Some(topic) => Record::LedgerOpen(LedgerId(id), topic),
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        self.append_record(&record)
    }

    /// Appends a record that is no entry.
    pub(crate) fn append_record(&mut self, record: &Record<'_>) -> Result<(), LogError> {
        let ticket = self.log.append(self.next_id, record)?;
        self.remember(ticket, record);
        Ok(())
    }

    /// Appends an entry whose bytes are known from the seed.
    pub(crate) fn append_entry(&mut self, ledger: LedgerId) -> Result<Ticket, LogError> {
        let length = [3, 100, 3000, 9000][self.prng.below(4) as usize];
        let bytes = Bytes::from(self.prng.hex(length));
        let (position, ticket) = self.log.append_entry(ledger, self.next_id, 1, bytes.clone())?;
        self.remember(ticket, &Record::Entry { position, messages: 1, bytes: &bytes });
        // A position may come again only if nobody was ever told of it.
        self.entries.insert(position, bytes);
        Ok(ticket)
    }

    /// All ledgers.
    pub(crate) fn ledgers(&self) -> Vec<LedgerId> {
        self.log.state().ledgers_from(Default::default()).map(|(_, ledger)| ledger.id).collect()
    }

    /// Reads every entry there is, and compares. Returns how many, and how many of them came from a segment.
    pub(crate) fn read_all(&mut self) -> (usize, usize) {
        let ledgers = self.log.state().topics.values().flat_map(|topic| &topic.ledgers);
        let all: Vec<(LedgerId, u64)> = ledgers.map(|ledger| (ledger.id, ledger.entries)).collect();
        let (mut count, mut fetched) = (0, 0);
        for (ledger, entries) in all {
            let mut entry = 0;
            while entry < entries {
                let first = Position { ledger, entry: EntryId(entry) };
                let run = match self.log.read(first, 20_000) {
                    Lookup::Ready(run) => run,
                    Lookup::Fetch(id) => {
                        let run = self.fetched(id, first);
                        fetched += run.len();
                        run
                    }
                    Lookup::Absent => panic!("{first:?} is gone"),
                };
                assert!(!run.is_empty());
                for stored in run {
                    let position = Position { ledger, entry: EntryId(entry) };
                    assert_eq!(Some(&stored.bytes), self.entries.get(&position), "{position:?}");
                    (entry, count) = (entry + 1, count + 1);
                }
            }
            assert_eq!(entry, entries);
        }
        (count, fetched)
    }

    /// When the ledger's entries were appended.
    pub(crate) fn times(&mut self, ledger: LedgerId, entries: u64) -> Vec<u64> {
        let mut times = Vec::new();
        while (times.len() as u64) < entries {
            let first = Position { ledger, entry: EntryId(times.len() as u64) };
            let run = match self.log.read(first, 20_000) {
                Lookup::Ready(run) => run,
                Lookup::Fetch(id) => self.fetched(id, first),
                Lookup::Absent => panic!("{first:?} is gone"),
            };
            times.extend(run.iter().map(|stored| stored.wall_ms));
        }
        times
    }

    fn fetched(&mut self, wanted: pulsegate::store::ReadId, position: Position) -> Vec<Stored> {
        while let Some((id, op)) = self.log.take_op() {
            let result = self.disk.perform(op);
            self.log.on_done(id, result);
        }
        while let Some(event) = self.log.take_event() {
            if let Event::Read { id, first, entries, .. } = event {
                assert_eq!((id, first), (wanted, position.entry));
                return entries.expect("a sound disk");
            }
        }
        panic!("no answer for {position:?}")
    }
}

/// What was found is what some prefix of the appends made, and no shorter one than was confirmed.
fn is_prefix(confirmed: &State, pending: &VecDeque<(Ticket, BytesMut)>, found: &State) -> bool {
    let (found, mut state) = (comparable(found), confirmed.clone());
    for (_, record) in pending {
        if comparable(&state) == found {
            return true;
        }
        let ((wall_ms, record), ..) = decode(record).expect("encoded by the model");
        state.apply(wall_ms, &record).expect("the log took it");
    }
    comparable(&state) == found
}

/// What of a state must come back: where entries lie is the log's business, and recovery closes what was open.
pub(crate) fn comparable(state: &State) -> Topics {
    let mut topics = state.topics.clone();
    for topic in topics.values_mut() {
        for ledger in &mut Arc::make_mut(topic).ledgers {
            ledger.index = Default::default();
            (ledger.closed, ledger.last_ms) = (true, 0);
        }
    }
    topics
}
