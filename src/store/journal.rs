//! Group commit: appends gather while a frame is in flight; one write and one flush serve all of them. No timer.
//!
//! Exactly one frame is in flight. Recovery depends on it: a frame that is there proves those before it durable.

use super::buffer::Spare;
use super::disk::{BLOCK, Completion, DiskError, DiskOp, FileName, OpId, Outbox, Writing};
use super::frame::{self, Builder, Home, Stamp};
use super::record::{self, Record};
use std::collections::{BTreeMap, VecDeque};

/// Bytes of records in one frame, unless one record is larger.
pub const FRAME_BYTES: usize = 1 << 20;
/// Slots kept ready: one to roll into, one while the next is being made.
const FREE_WANTED: usize = 2;

/// Where the journal goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Position of the next frame.
    pub position: u64,
    /// Header checksum of the frame before it.
    pub previous: u32,
}

/// The slots there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    /// Bytes of each.
    pub bytes: u64,
    /// Most slots ever made.
    pub max: u32,
    /// File number to slot, of those that may be needed for replay.
    pub live: BTreeMap<u64, u32>,
    /// Slots to use next.
    pub free: Vec<u32>,
}

impl Slots {
    fn unmade(&self) -> Option<u32> {
        let used = |slot: &u32| self.free.contains(slot) || self.live.values().any(|live| live == slot);
        (0..self.max).find(|slot| !used(slot))
    }
}

/// What a record is for: the last slot is kept for those that make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// An entry.
    Entry,
    /// Topics, cursors.
    State,
    /// Gives something up.
    Release,
}

#[derive(Debug)]
struct Batch {
    builder: Builder,
    /// The last append in it.
    upto: u64,
}

#[derive(Debug)]
enum Stage {
    Write,
    Sync,
}

#[derive(Debug)]
struct Flight {
    op: OpId,
    stage: Stage,
    writing: Writing,
    upto: u64,
    after: Cursor,
    empty: bool,
}

#[derive(Debug)]
enum Making {
    Create,
    Sync,
    Folder,
}

/// What became of a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing to tell.
    Nothing,
    /// Every append up to and including this one is durable.
    Durable(u64),
    /// A slot could not be made: there is less room until [`Journal::retry`] or [`Journal::trim`].
    NoSlot(DiskError),
    /// The journal failed. Nothing more is written in this process.
    Dead,
}

/// The journal of one store.
#[derive(Debug)]
pub struct Journal {
    stamp: Stamp,
    slots: Slots,
    cursor: Cursor,
    queue: VecDeque<Batch>,
    queued: usize,
    sealed: bool,
    flight: Option<Flight>,
    making: Option<(OpId, u32, Making)>,
    making_failed: bool,
    /// The tail is synced before anything is written: what was read may never have left the page cache.
    opening: Option<OpId>,
    appended: u64,
    beat: bool,
    dead: bool,
    spare: Spare,
}

impl Journal {
    /// Goes on at `cursor`.
    pub fn new(stamp: Stamp, slots: Slots, cursor: Cursor, out: &mut Outbox) -> Self {
        // The frame before the cursor ended at it: at a slot's very end the tail is the slot before.
        let tail = cursor.position.saturating_sub(1) / slots.bytes;
        let opening = slots.live.get(&tail).map(|slot| out.ask(DiskOp::Sync(FileName::Journal(*slot))));
        Journal {
            stamp,
            slots,
            cursor,
            queue: VecDeque::new(),
            queued: 0,
            sealed: false,
            flight: None,
            making: None,
            making_failed: false,
            opening,
            appended: 0,
            beat: false,
            dead: false,
            spare: Spare::default(),
        }
    }

    /// Adds a record to the batch; returns its number, counted from 1. The caller has checked [`Journal::fits`].
    pub fn append(&mut self, wall_ms: u64, record: &Record<'_>) -> u64 {
        let grown = record::encoded_len(record);
        let full = self.queue.back().is_some_and(|batch| {
            !batch.builder.is_empty() && batch.builder.body() + grown > FRAME_BYTES.min(self.body_max())
        });
        if self.queue.is_empty() || self.sealed || full {
            self.queue.push_back(Batch { builder: Builder::new(self.spare.take()), upto: 0 });
            self.sealed = false;
        }
        self.appended += 1;
        self.queued += grown;
        let batch = self.queue.back_mut().expect("pushed above");
        batch.builder.push(wall_ms, record);
        batch.upto = self.appended;
        self.appended
    }

    /// Asks for a frame without records: it proves the one before it durable. Returns its number.
    pub fn append_empty(&mut self) -> u64 {
        self.appended += 1;
        self.queue.push_back(Batch { builder: Builder::default(), upto: self.appended });
        self.sealed = true;
        self.appended
    }

    /// A record of this many bytes can be written at all.
    pub fn fits(&self, encoded: usize) -> bool {
        encoded <= self.body_max()
    }

    fn body_max(&self) -> usize {
        usize::try_from(self.slots.bytes).unwrap_or(usize::MAX) - frame::HEADER
    }

    /// A record of this need and many bytes may be appended. What is let in can always be written: the queue never waits
    /// for a slot that only a checkpoint can free, for the checkpoint would wait for the queue.
    pub fn has_room(&self, need: Need, encoded: usize) -> bool {
        if self.dead {
            return false;
        }
        let waiting = self.queued + encoded + (self.queue.len() + 1) * 2 * BLOCK;
        let (waiting, size) = (waiting as u64, self.slots.bytes);
        if !self.slots.free.is_empty() {
            return waiting < size / 2 || (self.queue.is_empty() && self.fits(encoded));
        }
        let at = self.flight.as_ref().map_or(self.cursor.position, |flight| flight.after.position);
        let left = at.next_multiple_of(size) - at;
        let reserved = match need {
            // A slot that is being made comes without a checkpoint; should it fail, what is kept is there for the others.
            Need::Entry if self.making.is_none() => return false,
            Need::Entry | Need::State => size / 4,
            Need::Release => size / 8,
        };
        left > reserved + waiting
    }

    /// The last slot is in use: only a checkpoint makes room.
    pub fn is_low(&self) -> bool {
        self.slots.free.is_empty() && self.slots.unmade().is_none()
    }

    /// Nothing is waiting or in flight, and the last frame held records: a heartbeat would tell rot of it from a torn tail.
    pub fn wants_heartbeat(&self) -> bool {
        self.is_quiet() && !self.beat && self.has_room(Need::State, 0)
    }

    /// Nothing is waiting or in flight.
    pub fn is_quiet(&self) -> bool {
        self.queue.is_empty() && self.flight.is_none() && self.opening.is_none()
    }

    /// What is appended before the next [`Journal::drive`] is in the next frame, and that starts then.
    pub fn takes_off(&self) -> bool {
        self.flight.is_none() && self.opening.is_none() && !self.dead
    }

    /// Something was appended and is not yet in a frame.
    pub fn has_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// What recovery read is durable: what follows from it may be carried out. A deletion it found must not be, before
    /// the record of it can no longer get lost.
    pub fn is_synced(&self) -> bool {
        self.opening.is_none() && !self.dead
    }

    /// The journal failed.
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// What is appended from now on goes into another frame. Returns the number of the last append.
    pub fn seal(&mut self) -> u64 {
        self.sealed = true;
        self.appended
    }

    /// The end of what is durable.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Files wholly below `position` are not needed any more. A slot that could not be made is tried again.
    pub fn trim(&mut self, position: u64) {
        let keep = self.slots.live.split_off(&(position / self.slots.bytes));
        let dropped = std::mem::replace(&mut self.slots.live, keep);
        self.slots.free.extend(dropped.into_values());
        self.making_failed = false;
    }

    /// Tries again to make a slot, if that failed.
    pub fn retry(&mut self) {
        self.making_failed = false;
    }

    /// Starts what can be started.
    pub fn drive(&mut self, out: &mut Outbox) {
        if self.dead {
            return;
        }
        if self.making.is_none()
            && !self.making_failed
            && self.slots.free.len() < FREE_WANTED
            && let Some(slot) = self.slots.unmade()
        {
            let file = FileName::Journal(slot);
            let op = out.ask(DiskOp::Create { file, zeroes: self.slots.bytes });
            self.making = Some((op, slot, Making::Create));
        }
        if self.flight.is_none() && self.opening.is_none() {
            self.take_off(out);
        }
    }

    fn take_off(&mut self, out: &mut Outbox) {
        let Some(batch) = self.queue.front() else { return };
        let length = frame::padded(batch.builder.body()) as u64;
        let size = self.slots.bytes;
        let mut position = self.cursor.position;
        if position % size + length > size {
            position = position.next_multiple_of(size);
        }
        let file = position / size;
        if !self.slots.live.contains_key(&file) {
            if self.slots.free.is_empty() {
                return;
            }
            // The oldest first: a slot used again soon may still be in the page cache, but order is easier to follow.
            self.slots.live.insert(file, self.slots.free.remove(0));
        }
        let slot = self.slots.live[&file];
        let Batch { builder, upto } = self.queue.pop_front().expect("front was there");
        let empty = builder.is_empty();
        self.queued = self.queued.saturating_sub(builder.body());
        let (rest, checksum) = builder.finish(Home::Journal, self.stamp, position, self.cursor.previous);
        let after = Cursor { position: position + length, previous: checksum };
        let writing = Writing { file: FileName::Journal(slot), at: position % size, rest };
        let op = writing.ask(out);
        self.flight = Some(Flight { op, stage: Stage::Write, writing, upto, after, empty });
    }

    /// The request is one of the journal's.
    pub fn owns(&self, id: OpId) -> bool {
        self.opening == Some(id)
            || self.flight.as_ref().is_some_and(|flight| flight.op == id)
            || self.making.as_ref().is_some_and(|making| making.0 == id)
    }

    /// One of its requests ended.
    pub fn on_done(&mut self, id: OpId, result: Result<Completion, DiskError>, out: &mut Outbox) -> Progress {
        if self.dead {
            return Progress::Nothing;
        }
        if self.making.as_ref().is_some_and(|making| making.0 == id) {
            return self.on_made(result, out);
        }
        let Ok(done) = result else {
            self.dead = true;
            return Progress::Dead;
        };
        if self.opening == Some(id) {
            self.opening = None;
            return Progress::Nothing;
        }
        let Some(mut flight) = self.flight.take() else { return Progress::Nothing };
        match (&flight.stage, done) {
            (Stage::Write, Completion::Wrote(wrote)) => {
                if flight.writing.on_wrote(wrote) {
                    flight.stage = Stage::Sync;
                    flight.op = out.ask(DiskOp::Sync(flight.writing.file));
                } else {
                    flight.op = flight.writing.ask(out);
                }
                self.flight = Some(flight);
                Progress::Nothing
            }
            (Stage::Sync, Completion::Done) => {
                self.cursor = flight.after;
                self.beat = flight.empty;
                self.spare.give(flight.writing.rest);
                Progress::Durable(flight.upto)
            }
            // The owner of the disk answered something else than was asked: trust nothing it says.
            _ => {
                self.dead = true;
                Progress::Dead
            }
        }
    }

    /// A slot that cannot be made is no failure of the journal: there is less room.
    fn on_made(&mut self, result: Result<Completion, DiskError>, out: &mut Outbox) -> Progress {
        let Some((_, slot, stage)) = self.making.take() else { return Progress::Nothing };
        if let Err(error) = result {
            self.making_failed = true;
            return Progress::NoSlot(error);
        }
        self.making = match stage {
            Making::Create => Some((out.ask(DiskOp::Sync(FileName::Journal(slot))), slot, Making::Sync)),
            Making::Sync => Some((out.ask(DiskOp::SyncFolder), slot, Making::Folder)),
            Making::Folder => {
                self.slots.free.push(slot);
                None
            }
        };
        Progress::Nothing
    }
}

#[cfg(test)]
mod tests;
