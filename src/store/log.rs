//! The log of one store: appends in, durable notices and entries out, [`DiskOp`]s in between.
//!
//! One turn of its owner: appends and reads, then [`Log::drive`], then [`Log::take_op`] until there is none; completions come back
//! by [`Log::on_done`], what follows from them by [`Log::take_event`].

mod care;

use super::disk::{DiskError, DiskOp, OpId, Outbox};
use super::frame::Stamp;
use super::journal::{Journal, Need, Slots};
use super::memory::Memory;
use super::reads::{Found, Lookup, ReadError, ReadId, Reads};
use super::record::{self, Record};
use super::recover::Recovered;
use super::segment::Stored;
use super::settle::Settler;
use super::state::{Misfit, State, Topic};
use super::{CursorId, StoreId, TopicId};
use crate::base::id::{EntryId, LedgerId, Position};
use crate::base::limit;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// Sizes of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes of a journal slot; an existing store keeps its own. A multiple of [`super::disk::BLOCK`].
    pub slot_bytes: u64,
    /// Most slots: bounds the journal.
    pub slots_max: u32,
    /// A checkpoint is begun when the journal has grown by this many bytes.
    pub checkpoint_bytes: u64,
    /// Bytes of entries in memory that are in no segment. Settling begins at half of it; above it the owner should read no more
    /// from producers ([`Log::is_behind`]); at four times of it entries are refused.
    pub unsettled_bytes: usize,
    /// Of these, bytes that may stay: entries of quiet ledgers, which checkpoints hold instead of a segment each.
    pub inline_bytes: usize,
    /// Settled entries kept in memory for readers of the tail, bytes.
    pub tail_bytes: usize,
}

impl Config {
    /// For one of so many stores of a process, and entries of up to `entry_max` bytes: the process's budgets are shared out.
    pub fn new(stores: u16, entry_max: usize) -> Self {
        let stores = usize::from(stores.max(1));
        // Four entries of the largest size: one in flight, one waiting, and room to seal the slot.
        let slot = limit::JOURNAL_SLOT_BYTES.max((4 * entry_max).next_multiple_of(1 << 20));
        let slots_max = (limit::JOURNAL_BYTES_MAX / slot).max(4);
        Config {
            slot_bytes: slot as u64,
            slots_max: u32::try_from(slots_max).unwrap_or(u32::MAX),
            checkpoint_bytes: limit::CHECKPOINT_INTERVAL_BYTES as u64,
            unsettled_bytes: (limit::UNSETTLED_BYTES_MAX / stores).max(limit::UNSETTLED_BYTES_MAX / 16),
            inline_bytes: limit::CHECKPOINT_ENTRIES_BYTES_MAX / stores,
            tail_bytes: limit::SETTLED_TAIL_BYTES_MAX / stores,
        }
    }
}

/// Names an append: later ones are greater. Durable notices name the last of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Why an append was refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The journal has no room until a checkpoint frees some, or memory none until entries are settled. Entries are refused
    /// first, then other records, last those that give something up.
    #[error("the log has no room")]
    Full,
    /// The record can never be written.
    #[error("the record is larger than a journal slot")]
    TooLarge,
    /// The journal failed, or recovery's first frame is not durable yet.
    #[error("the log is not open")]
    NotOpen,
    /// It does not fit the state: the caller's mistake.
    #[error("{0}")]
    Misfit(#[from] Misfit),
}

/// What the log has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Recovery is finished: appends and reads are served from now on.
    Open,
    /// Every append up to and including this one is durable, and its entries may be read.
    Durable(Ticket),
    /// A read ended.
    Read {
        /// Which read.
        id: ReadId,
        /// The ledger.
        ledger: LedgerId,
        /// Number of the first of the entries: the one that was asked for.
        first: EntryId,
        /// The entries, in order, at least one.
        entries: Result<Vec<Stored>, ReadError>,
    },
    /// A search for a time ended: the first entry at or after it, if there is one.
    Found {
        /// Which search.
        id: ReadId,
        /// Where.
        position: Result<Option<Position>, ReadError>,
    },
    /// Settled entries do not check out, and cannot be read. Found by a read or by scrubbing.
    Damaged {
        /// The ledger.
        ledger: LedgerId,
        /// The first of them.
        first: EntryId,
        /// The one behind the last.
        behind: EntryId,
    },
    /// A step of scrubbing ended ([`Log::scrub_step`]).
    Scrubbed {
        /// The ledger.
        ledger: LedgerId,
        /// Bytes that were read.
        bytes: u64,
    },
    /// A checkpoint is durable.
    Checkpoint,
    /// Settling, a checkpoint, or making room in the journal failed; nothing is lost. Tried again when the log has grown, or when asked for: the owner calls
    /// [`Log::checkpoint`] a second later.
    CheckpointFailed(DiskError),
    /// The journal failed: nothing is confirmed any more. Only a new start, with recovery, tells what is durable.
    Dead,
}

/// Entries of one ledger that follow each other among the appends.
#[derive(Debug)]
struct Pending {
    first: u64,
    count: u64,
    ledger: LedgerId,
}

/// The log of one store.
#[derive(Debug)]
pub struct Log {
    config: Config,
    stamp: Stamp,
    state: State,
    journal: Journal,
    settler: Settler,
    memory: Memory,
    /// Entries appended and not yet durable, in order.
    pending: VecDeque<Pending>,
    /// Ledgers given up, until that is durable and nothing is being settled: they may be read for that.
    forgotten: VecDeque<(Ticket, LedgerId)>,
    durable: Ticket,
    opening: Option<Ticket>,
    /// What recovery found, while the journal is too full to be opened: a checkpoint of it makes room.
    before: Option<State>,
    checkpointed: u64,
    checkpoint_asked: bool,
    /// Bytes that must be unsettled before settling begins again.
    settle_at: usize,
    reads: Reads,
    /// The piece to scrub next: its ledger and number.
    scrub: Option<(TopicId, LedgerId, usize)>,
    /// Latest wall clock seen: a clock that jumps back does not turn a ledger's times around.
    wall_ms: u64,
    out: Outbox,
    events: VecDeque<Event>,
}

impl Log {
    /// Goes on from what recovery found; `wall_ms` is now. Serves after [`Event::Open`].
    pub fn open(config: Config, recovered: Recovered, wall_ms: u64) -> Self {
        let mut out = Outbox::default();
        let fresh = Slots { bytes: config.slot_bytes, max: 0, live: BTreeMap::new(), free: Vec::new() };
        let mut slots = recovered.slots.unwrap_or(fresh);
        slots.max = config.slots_max;
        let checkpointed = recovered.kept.last().map_or(0, |kept| kept.replay);
        let journal = Journal::new(recovered.stamp, slots, recovered.cursor, &mut out);
        let settler = Settler::new(recovered.stamp, recovered.kept, recovered.generation, recovered.deletes);
        let ledgers = recovered.state.topics.values().flat_map(|topic| topic.ledgers.last());
        let wall_ms = ledgers.map(|ledger| ledger.last_ms).fold(wall_ms, u64::max);
        let mut log = Log {
            config,
            stamp: recovered.stamp,
            state: recovered.state,
            journal,
            settler,
            memory: Memory::new(recovered.tails),
            pending: VecDeque::new(),
            forgotten: VecDeque::new(),
            durable: Ticket(0),
            opening: None,
            before: None,
            checkpointed,
            checkpoint_asked: false,
            settle_at: 0,
            reads: Reads::new(recovered.stamp.store),
            scrub: None,
            wall_ms,
            out,
            events: VecDeque::new(),
        };
        log.before = log.journal.is_low().then(|| log.state.clone());
        log.checkpoint_asked = log.before.is_some();
        log.journal.append_empty();
        let ledgers = log.state.topics.values().flat_map(|topic| topic.ledgers.last());
        let open = ledgers.filter(|ledger| !ledger.closed);
        let open: Vec<_> = open.map(|ledger| Record::LedgerClose(ledger.id, ledger.entries)).collect();
        for close in &open {
            log.state.apply(wall_ms, close).expect("an open ledger closes at its length");
            log.journal.append(wall_ms, close);
        }
        log.opening = Some(Ticket(log.journal.seal()));
        log.drive();
        log
    }

    /// What all appends so far add up to, durable or not.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Which start of the store this is, from 1: never the same again, so that names made with it are not either.
    pub fn epoch(&self) -> u64 {
        self.stamp.epoch
    }

    /// Every append up to and including this one is durable.
    pub fn durable(&self) -> Ticket {
        self.durable
    }

    /// Entries may be appended.
    pub fn has_room(&self) -> bool {
        self.is_open() && self.journal.has_room(Need::Entry, 0) && self.fits_memory()
    }

    fn fits_memory(&self) -> bool {
        self.memory.unsettled() < 4 * self.config.unsettled_bytes
    }

    /// Entries come faster than the disk takes them: the owner should not read from producers until this is over.
    pub fn is_behind(&self) -> bool {
        self.memory.unsettled() >= self.config.unsettled_bytes
    }

    /// Bytes of entries in memory that are in no segment.
    pub fn unsettled(&self) -> usize {
        self.memory.unsettled()
    }

    /// Appends and reads are served.
    pub fn is_open(&self) -> bool {
        self.opening.is_none() && !self.journal.is_dead()
    }

    /// The next [`Log::drive`] starts a frame, if anything is appended: what should share it and changes often, as cursors do, is
    /// appended now and not in every turn.
    pub fn takes_off(&self) -> bool {
        self.is_open() && self.journal.takes_off()
    }

    /// Nothing is on its way into the journal.
    pub fn is_quiet(&self) -> bool {
        self.journal.is_quiet()
    }

    /// Something was appended and is not yet in a frame.
    pub fn has_waiting(&self) -> bool {
        self.journal.has_waiting()
    }

    /// An id for a new ledger, of store `store` out of `stores`: above all that the store ever used, and no other store's.
    pub fn next_ledger(&self, store: StoreId, stores: u16) -> LedgerId {
        let (high, step) = (self.state.ledger_high.0, u64::from(stores.max(1)));
        let id = high - high % step + u64::from(store.0) % step;
        LedgerId(if id > high { id } else { id + step })
    }

    /// An id for a new topic: above all that the store ever used.
    pub fn next_topic(&self) -> TopicId {
        TopicId(self.state.topic_high.0 + 1)
    }

    /// An id for a new cursor of a topic.
    pub fn next_cursor(&self, topic: TopicId) -> CursorId {
        let last = self.state.topic(topic).and_then(|topic| topic.cursors.last_key_value());
        CursorId(last.map_or(1, |(id, _)| id.0 + 1))
    }

    /// Appends an entry to an open ledger. Its position is known at once; it may be told to nobody before the ticket is durable.
    pub fn append_entry(
        &mut self,
        ledger: LedgerId,
        wall_ms: u64,
        messages: u32,
        bytes: Bytes,
    ) -> Result<(Position, Ticket), LogError> {
        if !self.is_open() {
            return Err(LogError::NotOpen);
        }
        if !self.fits_memory() {
            return Err(LogError::Full);
        }
        self.check_room(Need::Entry, record::padded(bytes.len()))?;
        self.wall_ms = self.wall_ms.max(wall_ms);
        let (topic, entry) = self.state.append_entry(self.wall_ms, ledger, messages, bytes.len())?;
        let position = Position { ledger, entry };
        let record = Record::Entry { position, messages, bytes: &bytes };
        let ticket = Ticket(self.journal.append(self.wall_ms, &record));
        self.memory.push((topic, ledger), entry.0, Stored { wall_ms: self.wall_ms, messages, bytes });
        match self.pending.back_mut() {
            Some(last) if last.ledger == ledger && last.first + last.count == ticket.0 => last.count += 1,
            _ => self.pending.push_back(Pending { first: ticket.0, count: 1, ledger }),
        }
        Ok((position, ticket))
    }

    /// Appends anything else.
    pub fn append(&mut self, wall_ms: u64, record: &Record<'_>) -> Result<Ticket, LogError> {
        if !self.is_open() {
            return Err(LogError::NotOpen);
        }
        let gone: Vec<LedgerId> = match record {
            Record::Entry { .. } => return Err(LogError::Misfit(Misfit::Kind)),
            Record::LedgerDelete(ledger) => vec![*ledger],
            Record::TopicDelete(topic) => {
                let ledgers = self.state.topic(*topic).into_iter().flat_map(|topic| &topic.ledgers);
                ledgers.map(|ledger| ledger.id).collect()
            }
            _ => Vec::new(),
        };
        let ticket = self.push(wall_ms, record)?;
        self.forgotten.extend(gone.into_iter().map(|ledger| (ticket, ledger)));
        Ok(ticket)
    }

    fn push(&mut self, wall_ms: u64, record: &Record<'_>) -> Result<Ticket, LogError> {
        let need = match record {
            Record::LedgerClose(..) | Record::LedgerDelete(_) => Need::Release,
            Record::TopicDelete(_) | Record::CursorDelete(..) | Record::DedupDelete(_) => Need::Release,
            _ => Need::State,
        };
        self.check_room(need, record::encoded_len(record))?;
        self.wall_ms = self.wall_ms.max(wall_ms);
        self.state.apply(self.wall_ms, record)?;
        Ok(Ticket(self.journal.append(self.wall_ms, record)))
    }

    fn check_room(&self, need: Need, length: usize) -> Result<(), LogError> {
        if !self.journal.fits(length) {
            Err(LogError::TooLarge)
        } else if !self.journal.has_room(need, length) {
            Err(LogError::Full)
        } else {
            Ok(())
        }
    }

    /// Looks entries up, from `from` on in its ledger: at least one, and up to about `bytes`. Asks the disk for what is not in
    /// memory; then whole pieces come, which may be more.
    pub fn read(&mut self, from: Position, bytes: usize) -> Lookup {
        let Some(ledger) = self.state.ledger(from.ledger).filter(|_| self.is_open()) else {
            return Lookup::Absent;
        };
        let run = self.memory.run(ledger, from.entry.0, bytes);
        if !run.is_empty() {
            return Lookup::Ready(run);
        }
        match self.reads.entries(ledger, from.entry, bytes) {
            Some(id) => {
                self.reads.drive(&mut self.out);
                Lookup::Fetch(id)
            }
            None => Lookup::Absent,
        }
    }

    /// An entry that is durable and in memory.
    pub fn peek(&self, position: Position) -> Option<&Stored> {
        let tail = self.memory.get(position.ledger)?;
        tail.get(position.entry.0).filter(|_| position.entry.0 < tail.readable())
    }

    /// Looks for the first durable entry of a topic whose time is `wall_ms` or later. Reads one piece at most.
    pub fn find_time(&mut self, topic: TopicId, wall_ms: u64) -> Found {
        let Some(topic) = self.state.topic(topic).filter(|_| self.is_open()) else {
            return Found::Known(None);
        };
        let from = topic.ledgers.partition_point(|ledger| ledger.last_ms < wall_ms);
        let first_of = |ledgers: &[super::Ledger]| {
            let mut readable = ledgers.iter().filter(|ledger| self.memory.readable(ledger) > 0);
            readable.next().map(|ledger| Position { ledger: ledger.id, entry: EntryId(0) })
        };
        let Some(ledger) = topic.ledgers.get(from) else { return Found::Known(None) };
        let beyond = first_of(&topic.ledgers[from + 1..]);
        let in_ledger = |entry| Position { ledger: ledger.id, entry: EntryId(entry) };
        if let Some(entry) = self.memory.find_time(ledger, wall_ms) {
            return Found::Known(entry.map(in_ledger).or(beyond));
        }
        let Some(number) = ledger.index.find_time(wall_ms) else {
            return Found::Known(first_of(&topic.ledgers[from..]));
        };
        let next = ledger.index.behind(number).0;
        let next = (next < self.memory.readable(ledger)).then(|| in_ledger(next));
        let id = self.reads.time(ledger, number, wall_ms, next.or(beyond));
        self.reads.drive(&mut self.out);
        Found::Fetch(id)
    }

    /// A topic by its number.
    pub fn topic(&self, id: TopicId) -> Option<&Topic> {
        self.state.topic(id)
    }

    /// The next request to carry out.
    pub fn take_op(&mut self) -> Option<(OpId, DiskOp)> {
        self.out.take()
    }

    /// The next thing to tell.
    pub fn take_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

const _: () = assert!(limit::JOURNAL_SLOT_BYTES.is_multiple_of(super::disk::BLOCK), "slots are whole blocks");
