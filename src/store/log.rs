//! The log of one store: appends in, durable notices and entries out, [`DiskOp`]s in between.
//!
//! One turn of its owner: appends and reads, then [`Log::drive`], then [`Log::take_op`] until there is none; completions come back
//! by [`Log::on_done`], what follows from them by [`Log::take_event`].

use super::disk::{BLOCK, Completion, DiskError, DiskOp, FileName, OpId, Outbox};
use super::frame::Stamp;
use super::journal::{self, Journal, Need, Slots};
use super::record::{self, Piece, Record};
use super::recover::Recovered;
use super::segment::{self, Stored, Tail};
use super::settle::{self, Settler};
use super::state::{Misfit, State};
use crate::base::id::{EntryId, LedgerId, Position};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// Times a piece is read before it is given up.
const READ_TRIES: u32 = 3;

/// Sizes of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes of a journal slot; an existing store keeps its own. A multiple of [`BLOCK`].
    pub slot_bytes: u64,
    /// Most slots: bounds the journal, and with it the entries kept in memory.
    pub slots_max: u32,
    /// A checkpoint is begun when the journal has grown by this many bytes.
    pub checkpoint_bytes: u64,
    /// Settled entries kept in memory for readers of the tail, bytes.
    pub tail_bytes: usize,
}

/// Names an append: later ones are greater. Durable notices name the last of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Names a read until its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// Why an append was refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The journal has no room until a checkpoint frees some. Entries are refused first, then other records, last those
    /// that give something up.
    #[error("the journal has no room")]
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

/// Where an entry is to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Here it is.
    Ready(Stored),
    /// It is being read, with its neighbours: [`Event::Read`] brings them.
    Fetch(ReadId),
    /// There is no such entry, or it is not durable yet.
    Absent,
}

/// Why entries could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// What was read does not check out.
    #[error("the segment is damaged")]
    Rotten,
    /// The disk failed.
    #[error(transparent)]
    Disk(DiskError),
}

/// What the log has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Recovery is finished: appends and reads are served from now on.
    Open,
    /// Every append up to and including this one is durable, and its entries may be read.
    Durable(Ticket),
    /// A read ended: entries of `ledger` from `first` on.
    Read {
        /// Which read.
        id: ReadId,
        /// The ledger.
        ledger: LedgerId,
        /// Number of the first of the entries.
        first: EntryId,
        /// The entries, in order.
        entries: Result<Vec<Stored>, ReadError>,
    },
    /// A checkpoint is durable.
    Checkpoint,
    /// A checkpoint failed; nothing is lost. Tried again when the journal has grown, or when asked for.
    CheckpointFailed(DiskError),
    /// The journal failed: nothing is confirmed any more. Only a new start, with recovery, tells what is durable.
    Dead,
}

#[derive(Debug)]
struct Read {
    id: ReadId,
    ledger: LedgerId,
    piece: Piece,
    tries: u32,
}

/// The log of one store.
#[derive(Debug)]
pub struct Log {
    config: Config,
    stamp: Stamp,
    state: State,
    journal: Journal,
    settler: Settler,
    tails: BTreeMap<LedgerId, Tail>,
    /// Entries appended and not yet durable, in order.
    pending: VecDeque<(Ticket, LedgerId)>,
    /// Entries of ledgers that can be read, where that is fewer than were appended.
    readable: BTreeMap<LedgerId, u64>,
    /// Ledgers given up, until that is durable and no checkpoint reads of them.
    forgotten: VecDeque<(Ticket, LedgerId)>,
    /// Settled entries in memory, oldest first: the ledger, the entry behind them, their bytes. And all their bytes.
    settled: VecDeque<(LedgerId, u64, usize)>,
    settled_bytes: usize,
    durable: Ticket,
    opening: Option<Ticket>,
    /// What recovery found, while the journal is too full to be opened: a checkpoint of it makes room.
    before: Option<State>,
    checkpointed: u64,
    checkpoint_asked: bool,
    reads: BTreeMap<OpId, Read>,
    read_next: u64,
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
        let mut log = Log {
            config,
            stamp: recovered.stamp,
            state: recovered.state,
            journal,
            settler,
            tails: recovered.tails,
            pending: VecDeque::new(),
            readable: BTreeMap::new(),
            forgotten: VecDeque::new(),
            settled: VecDeque::new(),
            settled_bytes: 0,
            durable: Ticket(0),
            opening: None,
            before: None,
            checkpointed,
            checkpoint_asked: false,
            reads: BTreeMap::new(),
            read_next: 0,
            out,
            events: VecDeque::new(),
        };
        log.before = log.journal.is_low().then(|| log.state.clone());
        log.checkpoint_asked = log.before.is_some();
        log.journal.append_empty();
        let open = log.state.ledgers.iter().filter(|(_, ledger)| !ledger.closed);
        let open: Vec<_> = open.map(|(id, ledger)| Record::LedgerClose(*id, ledger.entries)).collect();
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

    /// Every append up to and including this one is durable.
    pub fn durable(&self) -> Ticket {
        self.durable
    }

    /// Entries may be appended.
    pub fn has_room(&self) -> bool {
        self.is_open() && self.journal.has_room(Need::Entry, 0)
    }

    /// Appends and reads are served.
    pub fn is_open(&self) -> bool {
        self.opening.is_none() && !self.journal.is_dead()
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
        let next = self.state.ledgers.get(&ledger).ok_or(Misfit::Ledger)?.entries;
        let position = Position { ledger, entry: EntryId(next) };
        let ticket = self.push(wall_ms, &Record::Entry { position, messages, bytes: &bytes })?;
        let tail = self.tails.entry(ledger).or_insert_with(|| Tail { first: next, ..Tail::default() });
        tail.entries.push_back(Stored { wall_ms, messages, bytes });
        self.readable.entry(ledger).or_insert(next);
        self.pending.push_back((ticket, ledger));
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
                let ledgers = self.state.ledgers.iter();
                ledgers.filter(|(_, ledger)| ledger.topic == *topic).map(|(id, _)| *id).collect()
            }
            _ => Vec::new(),
        };
        let ticket = self.push(wall_ms, record)?;
        self.forgotten.extend(gone.into_iter().map(|ledger| (ticket, ledger)));
        Ok(ticket)
    }

    fn push(&mut self, wall_ms: u64, record: &Record<'_>) -> Result<Ticket, LogError> {
        let need = match record {
            Record::Entry { .. } => Need::Entry,
            Record::LedgerClose(..) | Record::LedgerDelete(_) => Need::Release,
            Record::TopicDelete(_) | Record::CursorDelete(..) => Need::Release,
            _ => Need::State,
        };
        let length = record::encoded_len(record);
        if !self.journal.fits(length) {
            return Err(LogError::TooLarge);
        }
        if !self.journal.has_room(need, length) {
            return Err(LogError::Full);
        }
        self.state.apply(wall_ms, record)?;
        Ok(Ticket(self.journal.append(wall_ms, record)))
    }

    /// Looks an entry up, and asks the disk for it if it is not in memory.
    pub fn read(&mut self, position: Position) -> Lookup {
        let ledger = position.ledger;
        let entry = position.entry.0;
        if !self.is_open() {
            return Lookup::Absent;
        }
        let Some(found) = self.state.ledgers.get(&ledger) else { return Lookup::Absent };
        if entry >= self.readable.get(&ledger).copied().unwrap_or(found.entries) {
            return Lookup::Absent;
        }
        if let Some(stored) = self.tails.get(&ledger).and_then(|tail| tail.get(entry)) {
            return Lookup::Ready(stored.clone());
        }
        let Some(piece) = found.index.find(entry) else { return Lookup::Absent };
        let id = ReadId(self.read_next);
        self.read_next += 1;
        self.fetch(Read { id, ledger, piece, tries: READ_TRIES });
        Lookup::Fetch(id)
    }

    fn fetch(&mut self, read: Read) {
        let length = usize::try_from(read.piece.length).expect("the index bounds a piece to 32 bits");
        let file = FileName::Segment(read.ledger);
        let op = self.out.ask(DiskOp::Read { file, at: read.piece.at, length });
        self.reads.insert(op, read);
    }

    /// Asks for a checkpoint: once in a while when quiet, and after room was made.
    pub fn checkpoint(&mut self) {
        self.checkpoint_asked = true;
        self.journal.retry();
    }

    /// A [`Log::heartbeat`] is due some 50 ms after the last frame.
    pub fn wants_heartbeat(&self) -> bool {
        self.is_open() && self.journal.wants_heartbeat()
    }

    /// Writes a frame that proves the last one durable, so that its rot is not taken for a torn tail.
    pub fn heartbeat(&mut self) {
        if self.wants_heartbeat() {
            self.journal.append_empty();
        }
    }

    /// Starts what can be started. To be called at the end of a turn, so that its appends share a frame.
    pub fn drive(&mut self) {
        self.forget();
        if self.is_due() && !self.settler.is_busy() && !self.journal.is_dead() {
            self.checkpoint_asked = false;
            self.checkpointed = self.journal.cursor().position;
            let (state, upto) = match &self.before {
                Some(before) => (before.clone(), 0),
                None => (self.state.clone(), self.journal.seal()),
            };
            self.settler.start(state, upto);
            self.settler.on_durable(self.durable.0, self.journal.cursor());
        }
        self.journal.drive(&mut self.out);
        if self.journal.is_synced() {
            self.settler.drive(&self.tails, &mut self.out);
        }
    }

    fn is_due(&self) -> bool {
        let position = self.journal.cursor().position;
        let grown = position.saturating_sub(self.checkpointed);
        match (&self.before, self.is_open()) {
            (None, true) => {
                let low = grown > 0 && self.journal.is_low();
                self.checkpoint_asked || low || grown >= self.config.checkpoint_bytes
            }
            // The tail is still where recovery found it.
            (Some(_), false) => self.checkpoint_asked && self.durable == Ticket(0),
            _ => false,
        }
    }

    /// Lets go of ledgers whose end is durable, unless a checkpoint is under way: it may read of them.
    fn forget(&mut self) {
        if self.settler.is_busy() {
            return;
        }
        while let Some((ticket, ledger)) = self.forgotten.front().copied()
            && ticket <= self.durable
        {
            self.forgotten.pop_front();
            self.tails.remove(&ledger);
            self.readable.remove(&ledger);
            self.settler.delete(FileName::Segment(ledger));
        }
    }

    /// The next request to carry out.
    pub fn take_op(&mut self) -> Option<(OpId, DiskOp)> {
        self.out.take()
    }

    /// The next thing to tell.
    pub fn take_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// A request ended.
    pub fn on_done(&mut self, id: OpId, result: Result<Completion, DiskError>) {
        if let Some(read) = self.reads.remove(&id) {
            self.on_read(read, result);
        } else if self.journal.owns(id) {
            match self.journal.on_done(id, result, &mut self.out) {
                journal::Progress::Nothing => {}
                journal::Progress::Durable(upto) => self.on_durable(Ticket(upto)),
                journal::Progress::Dead => self.events.push_back(Event::Dead),
            }
        } else if self.settler.owns(id) && !self.journal.is_dead() {
            match self.settler.on_done(result, &self.tails, &mut self.out) {
                settle::Progress::Nothing => {}
                settle::Progress::Settled(ledger, index) => {
                    if let Some(found) = self.state.ledgers.get_mut(&ledger) {
                        let more = index.settled() - found.index.settled();
                        found.index = index;
                        self.on_settled(ledger, more);
                    }
                }
                settle::Progress::Checkpoint(replay) => {
                    self.journal.trim(replay);
                    // The older of two checkpoints decides what may go: a second one here moves that up.
                    self.checkpoint_asked |= self.journal.is_low() && replay < self.checkpointed;
                    self.events.push_back(Event::Checkpoint);
                }
                settle::Progress::Failed(error) => self.events.push_back(Event::CheckpointFailed(error)),
            }
        }
        self.drive();
    }

    fn on_durable(&mut self, upto: Ticket) {
        self.durable = upto;
        while let Some((ticket, ledger)) = self.pending.front().copied()
            && ticket <= upto
        {
            self.pending.pop_front();
            if let Some(readable) = self.readable.get_mut(&ledger) {
                *readable += 1;
            }
        }
        self.settler.on_durable(upto.0, self.journal.cursor());
        if self.opening.is_some_and(|opening| opening <= upto) {
            (self.opening, self.before) = (None, None);
            self.events.push_back(Event::Open);
        }
        self.events.push_back(Event::Durable(upto));
    }

    /// So many more entries of the ledger may leave memory: the oldest of all do, down to the budget.
    fn on_settled(&mut self, ledger: LedgerId, more: u64) {
        let Some(found) = self.state.ledgers.get(&ledger) else { return };
        let settled = found.index.settled();
        let Some(tail) = self.tails.get(&ledger) else { return };
        let fresh = (settled - more..settled).filter_map(|entry| tail.get(entry));
        let bytes = fresh.map(|stored| stored.bytes.len()).sum::<usize>();
        self.settled_bytes += bytes;
        self.settled.push_back((ledger, settled, bytes));
        while self.settled_bytes > self.config.tail_bytes {
            let Some((ledger, upto, bytes)) = self.settled.pop_front() else { break };
            self.settled_bytes -= bytes;
            let Some(tail) = self.tails.get_mut(&ledger) else { continue };
            while tail.first < upto && tail.entries.pop_front().is_some() {
                tail.first += 1;
            }
        }
    }

    fn on_read(&mut self, mut read: Read, result: Result<Completion, DiskError>) {
        read.tries -= 1;
        let entries = match result {
            Ok(Completion::Read(bytes)) => {
                segment::entries(&bytes, read.ledger, self.stamp.store, &read.piece).ok_or(ReadError::Rotten)
            }
            Ok(_) => Err(ReadError::Disk(DiskError::Io)),
            Err(error) => Err(ReadError::Disk(error)),
        };
        if entries.is_err() && read.tries > 0 {
            self.fetch(read);
            return;
        }
        let first = EntryId(read.piece.first);
        self.events.push_back(Event::Read { id: read.id, ledger: read.ledger, first, entries });
    }
}

const _: () = assert!(segment::PIECE_BYTES.is_multiple_of(BLOCK), "a full piece is near whole blocks");
