//! Recovery: a pure function from what the files hold to what the log goes on with. `docs/log-format.md`, "Recovery".

mod damage;

use super::TopicId;
use super::checkpoint;
use super::disk::{BLOCK, FileName};
use super::frame::{self, Header, Home, Stamp, Stamped, UnknownVersion};
use super::journal::{Cursor, Slots};
use super::memory::Tail;
use super::settle::Kept;
use super::state::{Misfit, State};
use crate::base::id::LedgerId;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

pub use damage::{Damage, Loss, examine};

/// What the store's folder holds.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Checkpoints by generation.
    pub checkpoints: BTreeMap<u64, Bytes>,
    /// Journal slots.
    pub journal: BTreeMap<u32, Bytes>,
    /// Segments and their lengths.
    pub segments: BTreeMap<LedgerId, u64>,
}

/// Why a store is not served. Nothing was changed: a person decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// Frames that were flushed do not check out.
    #[error("the journal is damaged at position {at}: what was confirmed there cannot be read")]
    Rotten {
        /// Journal position.
        at: u64,
    },
    /// A whole frame holds a record that does not fit what came before it.
    #[error("the journal contradicts itself at position {at}: {why}")]
    Misfit {
        /// Journal position.
        at: u64,
        /// How.
        why: Misfit,
    },
    /// No checkpoint is good, and the journal alone does not tell all.
    #[error("no checkpoint is whole, and the journal does not reach back to the store's beginning")]
    NoCheckpoint,
    /// A slot of another length holds frames: it was cut, or is of another store.
    #[error("journal slot {0} is shorter than the others and holds frames")]
    SlotLength(u32),
    /// The files were written by another store.
    #[error("the files belong to store {0:016x}")]
    Foreign(u64),
    /// The files were written by a newer program.
    #[error(transparent)]
    Version(#[from] UnknownVersion),
}

/// What the log goes on with.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The store, and the epoch of the run that starts now.
    pub stamp: Stamp,
    /// What the records add up to.
    pub state: State,
    /// Entries that are in no segment.
    pub tails: BTreeMap<LedgerId, Tail>,
    /// Slots; `None` if there are none yet.
    pub slots: Option<Slots>,
    /// Where the journal goes on.
    pub cursor: Cursor,
    /// Checkpoints that are good, oldest first.
    pub kept: Vec<Kept>,
    /// The next checkpoint's number.
    pub generation: u64,
    /// Files that are not part of the store any more.
    pub deletes: VecDeque<FileName>,
    /// Bytes at the end that were begun and never confirmed, or were given up.
    pub torn: u64,
    /// Ledgers whose segment is missing or shorter than what was settled into it: reading them will fail.
    pub damaged: Vec<(TopicId, LedgerId)>,
}

/// What is found where a frame should be (`docs/log-format.md`, "Recovery", 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan<'a> {
    /// A good frame: its header and records.
    Frame(Header, Vec<Stamped<'a>>),
    /// Nothing was begun here.
    End,
    /// Something was begun and never confirmed: keep what is before `keep`.
    Torn {
        /// Journal position.
        keep: u64,
    },
    /// Something confirmed is damaged.
    Rotten {
        /// Journal position.
        at: u64,
    },
}

/// The journal's slots by the file number that their frames say.
struct Journal<'a> {
    store: u64,
    slot_bytes: u64,
    files: BTreeMap<u64, (u32, &'a [u8])>,
    /// The epoch of a file's last frame.
    epochs: BTreeMap<u64, u64>,
    /// Highest position of a frame with a valid header, per epoch.
    highest: BTreeMap<u64, u64>,
    free: Vec<u32>,
}

impl<'a> Journal<'a> {
    fn read(contents: &'a Contents, store: u64) -> Result<Self, RecoverError> {
        let longest = contents.journal.values().map(Bytes::len).max().unwrap_or(0);
        let mut journal = Journal {
            store,
            slot_bytes: longest as u64,
            files: BTreeMap::new(),
            epochs: BTreeMap::new(),
            highest: BTreeMap::new(),
            free: Vec::new(),
        };
        for (slot, bytes) in &contents.journal {
            match frame::store_of(bytes)? {
                Some(other) if other != store => return Err(RecoverError::Foreign(other)),
                _ => journal.add(*slot, bytes)?,
            }
        }
        Ok(journal)
    }

    /// A slot serves as the file of the latest frame in it: frames of its earlier lives are of earlier epochs, or lower.
    fn add(&mut self, slot: u32, bytes: &'a [u8]) -> Result<(), RecoverError> {
        let mut file = None;
        for (block, at) in bytes.chunks(BLOCK).zip((0u64..).step_by(BLOCK)) {
            let Some(header) = frame::header(block, Home::Journal, self.store) else { continue };
            if bytes.len() as u64 != self.slot_bytes {
                return Err(RecoverError::SlotLength(slot));
            }
            if header.position % self.slot_bytes == at {
                file = file.max(Some((header.stamp.epoch, header.position / self.slot_bytes)));
                let highest = self.highest.entry(header.stamp.epoch).or_insert(0);
                *highest = header.position.max(*highest);
            }
        }
        let Some((epoch, file)) = file else {
            // A shorter one was being made when the store ended: made again when it is wanted.
            if bytes.len() as u64 == self.slot_bytes {
                self.free.push(slot);
            }
            return Ok(());
        };
        // Two slots of one file: the journal was once cut in or below it, by a person, and written anew.
        match self.epochs.get(&file) {
            Some(other) if *other > epoch => self.free.push(slot),
            // Not so: a disk answered one slot's read with another's blocks.
            Some(other) if *other == epoch => {
                return Err(RecoverError::Rotten { at: file.saturating_mul(self.slot_bytes) });
            }
            _ => {
                self.epochs.insert(file, epoch);
                let stale = self.files.insert(file, (slot, bytes));
                self.free.extend(stale.map(|(slot, _)| slot));
            }
        }
        Ok(())
    }

    fn at(&self, position: u64) -> Option<&'a [u8]> {
        let (_, bytes) = self.files.get(&position.checked_div(self.slot_bytes)?)?;
        bytes.get(usize::try_from(position % self.slot_bytes).ok()?..)
    }

    /// The frame at `position`, its records if they check out.
    fn frame(&self, position: u64, epoch: u64) -> Option<(Header, Option<Vec<Stamped<'a>>>)> {
        let bytes = self.at(position)?;
        let header = frame::header(bytes, Home::Journal, self.store)?;
        let ours = header.position == position && header.stamp.epoch >= epoch;
        ours.then(|| (header, frame::records(bytes, &header)))
    }

    /// What is at `cursor`, or, if the frame there did not fit, at the start of the next file.
    fn scan(&self, cursor: &Cursor, epoch: u64) -> Scan<'a> {
        let here = cursor.position;
        let next = match self.slot_bytes {
            0 => return Scan::End,
            bytes => here.next_multiple_of(bytes),
        };
        let later = |at: u64| self.highest.range(epoch..).any(|(_, position)| *position > at);
        for position in [here, next] {
            match self.frame(position, epoch) {
                Some((header, Some(records))) if header.previous == cursor.previous => {
                    return Scan::Frame(header, records);
                }
                // Whole, but not what follows: the frame between was lost.
                Some((_, Some(_))) => return Scan::Rotten { at: here },
                Some((header, None)) if header.previous == cursor.previous => {
                    return if later(position) {
                        Scan::Rotten { at: position }
                    } else {
                        Scan::Torn { keep: here }
                    };
                }
                _ => {}
            }
        }
        if later(here) {
            return Scan::Rotten { at: here };
        }
        let block = self.at(here).and_then(|bytes| bytes.get(..BLOCK));
        let begun = block.is_some_and(|block| {
            block.iter().any(|byte| *byte != 0) && frame::header(block, Home::Journal, self.store).is_none()
        });
        if begun { Scan::Torn { keep: here } } else { Scan::End }
    }
}

/// What a person decided about damage that recovery found before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The journal is cut at this position if that is where recovery stops: everything confirmed from there on is given up
    /// (`--accept-data-loss=<store>:<position>`). Any other damage still stops it.
    pub accept_loss_at: Option<u64>,
}

/// Works out what the store holds.
pub fn recover(contents: &Contents, store: u64) -> Result<Recovered, RecoverError> {
    recover_with(contents, store, Options::default())
}

/// As [`recover()`], with what a person decided.
pub fn recover_with(contents: &Contents, store: u64, options: Options) -> Result<Recovered, RecoverError> {
    let journal = Journal::read(contents, store)?;
    let mut start = checkpoints(contents, store)?;
    let (mut epoch, mut cursor) = (start.epoch, start.cursor);
    // Slots are used again, never emptied: a checkpoint without any frame means that the journal was lost.
    let is_lost = journal.files.is_empty() && !start.kept.is_empty();
    if is_lost && options.accept_loss_at != Some(cursor.position) {
        return Err(RecoverError::Rotten { at: cursor.position });
    }
    // Files are made in order, and only checkpoints let go of them, or of what is in segments alone.
    let was_more = !start.bad.is_empty() || contents.segments.values().any(|length| *length > 0);
    let begins = if journal.files.is_empty() { !was_more } else { journal.files.contains_key(&0) };
    if start.kept.is_empty() && !begins {
        return Err(RecoverError::NoCheckpoint);
    }
    let mut tails = start.tails;
    let torn = loop {
        match journal.scan(&cursor, epoch) {
            Scan::Frame(header, records)
                if options.accept_loss_at == Some(header.position)
                    && !fits(start.state.clone(), &records) =>
            {
                break journal.end().saturating_sub(header.position);
            }
            Scan::Frame(header, records) => {
                for (wall_ms, record) in records {
                    let misfit = |why| RecoverError::Misfit { at: header.position, why };
                    start.state.apply(wall_ms, &record).map_err(misfit)?;
                    checkpoint::keep(&start.state, &mut tails, wall_ms, &record);
                }
                epoch = header.stamp.epoch;
                let position = header.position + header.length() as u64;
                cursor = Cursor { position, previous: header.checksum };
            }
            Scan::End => break 0,
            Scan::Torn { keep } => break journal.begun(keep),
            Scan::Rotten { at } if options.accept_loss_at == Some(at) => {
                break journal.end().saturating_sub(at);
            }
            Scan::Rotten { at } => return Err(RecoverError::Rotten { at }),
        }
    };
    let is_owned = |id: &LedgerId| start.state.owner(*id).is_some();
    let tails = tails.into_iter().filter(|(id, _)| is_owned(id)).map(|(id, tail)| (id, tail.recovered()));
    let tails = tails.collect();
    let mut recovered = Recovered {
        stamp: Stamp { store, epoch: epoch + 1 },
        state: start.state,
        tails,
        slots: None,
        cursor,
        kept: start.kept,
        generation: contents.checkpoints.keys().next_back().map_or(1, |last| last + 1),
        deletes: start.bad,
        torn,
        damaged: Vec::new(),
    };
    recovered.slots(journal);
    recovered.segments(contents);
    Ok(recovered)
}

fn fits(mut state: State, records: &[Stamped<'_>]) -> bool {
    records.iter().all(|(wall_ms, record)| state.apply(*wall_ms, record).is_ok())
}

struct Start {
    state: State,
    tails: BTreeMap<LedgerId, Tail>,
    cursor: Cursor,
    epoch: u64,
    kept: Vec<Kept>,
    bad: VecDeque<FileName>,
}

/// The newest good checkpoint, which are good, and which are not.
fn checkpoints(contents: &Contents, store: u64) -> Result<Start, RecoverError> {
    let (state, tails, cursor) = (State::default(), BTreeMap::new(), Cursor::default());
    let mut start = Start { state, tails, cursor, epoch: 0, kept: Vec::new(), bad: VecDeque::new() };
    for (generation, bytes) in &contents.checkpoints {
        if let Some(other) = frame::store_of(bytes)?.filter(|other| *other != store) {
            return Err(RecoverError::Foreign(other));
        }
        let Some(found) = checkpoint::read(bytes, *generation, store) else {
            start.bad.push_back(FileName::Checkpoint(*generation));
            continue;
        };
        let head = found.head;
        start.kept.push(Kept { generation: *generation, replay: head.replay });
        start.cursor = Cursor { position: head.replay, previous: head.previous };
        (start.state, start.tails, start.epoch) = (found.state, found.tails, head.epoch);
    }
    Ok(start)
}

impl Journal<'_> {
    /// Behind the last frame that was begun, as far as one can tell.
    fn end(&self) -> u64 {
        self.highest.values().max().map_or(0, |position| position + BLOCK as u64)
    }

    /// Bytes of the torn tail, as far as one can tell: to the end of its last block that is not zero.
    fn begun(&self, keep: u64) -> u64 {
        let bytes = self.at(keep).unwrap_or_default();
        let blocks = bytes.chunks(BLOCK).take_while(|block| block.iter().any(|byte| *byte != 0));
        (blocks.count() * BLOCK) as u64
    }
}

impl Recovered {
    /// Which slots are free: those below what the older good checkpoint needs, and those never used.
    fn slots(&mut self, journal: Journal<'_>) {
        // Without a frame the length of a slot says nothing: it may not have been finished.
        if journal.files.is_empty() {
            return;
        }
        let older = self.kept.iter().rev().nth(1).map_or(0, |kept| kept.replay);
        let mut slots =
            Slots { bytes: journal.slot_bytes, max: 0, live: BTreeMap::new(), free: journal.free };
        let tail = self.cursor.position / slots.bytes;
        for (file, (slot, _)) in journal.files {
            if file > tail {
                // One frame at most was torn beyond the tail. First in turn, for no other slot may become this file.
                slots.free.insert(0, slot);
            } else if (file + 1) * slots.bytes <= older {
                slots.free.push(slot);
            } else {
                slots.live.insert(file, slot);
            }
        }
        self.slots = Some(slots);
    }

    /// Segments without a ledger are deleted; ledgers without their segment are named.
    fn segments(&mut self, contents: &Contents) {
        let gone = contents.segments.keys().filter(|id| self.state.owner(**id).is_none());
        self.deletes.extend(gone.map(|id| FileName::Segment(*id)));
        for (id, topic) in &self.state.topics {
            for ledger in &topic.ledgers {
                if contents.segments.get(&ledger.id).copied().unwrap_or(0) < ledger.index.end() {
                    self.damaged.push((*id, ledger.id));
                }
            }
        }
    }
}
