//! How far a subscription is: a floor below which everything is consumed, ranges of entries consumed above it, and batch entries
//! consumed in part (protocol 8.4). Reading is the dispatcher's; this is what survives it.

use std::collections::BTreeMap;

use crate::base::id::{EntryId, LedgerId, Position};
use crate::base::limit::{CURSOR_PARTIAL_MAX, CURSOR_RANGES_SAVED_MAX};
use crate::broker::ack_set::AckSet;
use crate::broker::ledgers::{Ledgers, behind};

/// What an acknowledgement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acked {
    /// The entry is consumed by this.
    Entry,
    /// Some of the entry's messages are consumed by this.
    Part,
    /// It changed nothing: consumed already, or no such entry.
    Nothing,
}

/// Consumption state of one subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Everything below is consumed. The original's mark-delete position is the entry before.
    floor: Position,
    /// Consumed runs above the floor: first entry to the one behind the last, in one ledger each; they never touch.
    runs: BTreeMap<Position, EntryId>,
    /// Entries in the runs.
    in_runs: u64,
    /// Entries consumed in part, with what is left.
    partial: BTreeMap<Position, AckSet>,
    /// Changed since it was last saved.
    dirty: bool,
}

impl Cursor {
    /// A cursor before `next`, the first entry it has to consume.
    pub fn new(next: Position) -> Cursor {
        Cursor { floor: next, runs: BTreeMap::new(), in_runs: 0, partial: BTreeMap::new(), dirty: false }
    }

    /// Everything below this is consumed.
    pub fn floor(&self) -> Position {
        self.floor
    }

    /// Whether an entry is consumed.
    pub fn is_acked(&self, at: Position) -> bool {
        at < self.floor || self.run_with(at).is_some()
    }

    /// What is left of an entry that is consumed in part.
    pub fn left(&self, at: Position) -> Option<&AckSet> {
        self.partial.get(&at)
    }

    /// The run that holds an entry.
    fn run_with(&self, at: Position) -> Option<(Position, EntryId)> {
        let (&start, &end) = self.runs.range(..=at).next_back()?;
        (start.ledger == at.ledger && at.entry < end).then_some((start, end))
    }

    /// The first entry at or after `at` that is not consumed; the log's end when there is none.
    pub fn next_unacked(&self, at: Position, ledgers: &Ledgers) -> Position {
        let mut at = ledgers.settle(at.max(self.floor));
        while let Some((start, end)) = self.run_with(at) {
            at = ledgers.settle(Position { ledger: start.ledger, entry: end });
        }
        at
    }

    /// Entries to be consumed still (broker side of `msgBacklog`).
    pub fn backlog(&self, ledgers: &Ledgers) -> u64 {
        ledgers.count(self.floor, ledgers.end()).saturating_sub(self.in_runs)
    }

    /// Consumes one entry.
    pub fn ack(&mut self, at: Position, ledgers: &Ledgers) -> Acked {
        if !ledgers.contains(at) || self.is_acked(at) {
            return Acked::Nothing;
        }
        self.partial.remove(&at);
        self.insert(at);
        self.advance(ledgers);
        self.dirty = true;
        Acked::Entry
    }

    /// Consumes the messages of a batch entry whose bits are clear in `left`.
    pub fn ack_part(&mut self, at: Position, left: &AckSet, ledgers: &Ledgers) -> Acked {
        if !ledgers.contains(at) || self.is_acked(at) {
            return Acked::Nothing;
        }
        if !self.partial.contains_key(&at) && self.partial.len() >= CURSOR_PARTIAL_MAX && !left.is_empty() {
            return Acked::Nothing;
        }
        let set = self.partial.entry(at).or_insert_with(|| left.clone());
        set.intersect(left);
        if set.is_empty() {
            return self.ack(at, ledgers);
        }
        self.dirty = true;
        Acked::Part
    }

    /// Consumes everything below `next`: a cumulative acknowledgement. Places beyond the log have no effect. `false`: nothing
    /// changed.
    pub fn ack_below(&mut self, next: Position, ledgers: &Ledgers) -> bool {
        if next <= self.floor || next > ledgers.end() {
            return false;
        }
        self.floor = next;
        self.drop_below_floor();
        self.advance(ledgers);
        self.dirty = true;
        true
    }

    /// Starts anew before `next`: a seek.
    pub fn reset(&mut self, next: Position) {
        *self = Cursor { dirty: true, ..Cursor::new(next) };
    }

    /// Entries below `first` are gone: retention took them from a cursor that does not hold it back.
    pub fn trim(&mut self, first: Position, ledgers: &Ledgers) {
        if first > self.floor {
            self.floor = first;
            self.drop_below_floor();
            self.advance(ledgers);
            self.dirty = true;
        }
    }

    /// Adds one entry to the runs, joining neighbours.
    fn insert(&mut self, at: Position) {
        let mut start = at;
        let mut end = EntryId(at.entry.0 + 1);
        if let Some((&left, &left_end)) = self.runs.range(..at).next_back()
            && left.ledger == at.ledger
            && left_end == at.entry
        {
            start = left;
        }
        if let Some(right_end) = self.runs.remove(&behind(at)) {
            end = right_end;
        }
        self.runs.insert(start, end);
        self.in_runs += 1;
    }

    /// Forgets runs and parts that the floor has passed.
    fn drop_below_floor(&mut self) {
        let floor = self.floor;
        while let Some((&start, &end)) = self.runs.first_key_value() {
            if start >= floor {
                break;
            }
            self.runs.pop_first();
            if start.ledger == floor.ledger && end > floor.entry {
                self.in_runs -= floor.entry.0 - start.entry.0;
                self.runs.insert(floor, end);
                break;
            }
            self.in_runs -= end.0 - start.entry.0;
        }
        self.partial = self.partial.split_off(&floor);
    }

    /// Moves the floor over what is consumed behind it, across ledgers.
    fn advance(&mut self, ledgers: &Ledgers) {
        self.floor = ledgers.settle(self.floor);
        while let Some((&start, &end)) = self.runs.first_key_value()
            && start == self.floor
        {
            self.runs.pop_first();
            self.in_runs -= end.0 - start.entry.0;
            self.floor = ledgers.settle(Position { ledger: start.ledger, entry: end });
        }
    }

    /// Whether it changed since the last call; the caller saves it.
    pub fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }

    /// The state to save, version 1: floor, runs, parts; all numbers little-endian. At most [`CURSOR_RANGES_SAVED_MAX`] runs
    /// and parts, the lowest ones: what is left out is delivered again.
    pub fn save(&self) -> Vec<u8> {
        let mut out = vec![STATE_VERSION];
        put_position(&mut out, self.floor);
        let runs = self.runs.len().min(CURSOR_RANGES_SAVED_MAX);
        out.extend_from_slice(&(runs as u32).to_le_bytes());
        for (start, end) in self.runs.iter().take(runs) {
            put_position(&mut out, *start);
            out.extend_from_slice(&end.0.to_le_bytes());
        }
        let parts = self.partial.len().min(CURSOR_RANGES_SAVED_MAX);
        out.extend_from_slice(&(parts as u32).to_le_bytes());
        for (at, set) in self.partial.iter().take(parts) {
            put_position(&mut out, *at);
            out.extend_from_slice(&(set.words().len() as u32).to_le_bytes());
            set.words().iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        }
        out
    }

    /// Reads a saved state. Entries of it that the log no longer has are forgotten, so that the count stays right.
    pub fn load(bytes: &[u8], ledgers: &Ledgers) -> Result<Cursor, CursorStateError> {
        let mut reader = Reader { bytes, at: 0 };
        let version = reader.take::<1>()?[0];
        if version != STATE_VERSION {
            return Err(CursorStateError::Version(version));
        }
        let mut cursor = Cursor::new(reader.position()?);
        for _ in 0..reader.u32()? {
            let start = reader.position()?;
            let end = reader.u64()?;
            for entry in start.entry.0..end {
                let at = Position { ledger: start.ledger, entry: EntryId(entry) };
                if !ledgers.contains(at) {
                    break;
                }
                if !cursor.is_acked(at) {
                    cursor.insert(at);
                }
            }
        }
        for _ in 0..reader.u32()? {
            let at = reader.position()?;
            let words = (0..reader.u32()?).map(|_| reader.u64().map(|word| word as i64));
            let words = words.collect::<Result<Vec<_>, _>>()?;
            let set = AckSet::read(&words, None).ok_or(CursorStateError::Malformed { at: reader.at })?;
            if ledgers.contains(at) && !cursor.is_acked(at) {
                cursor.partial.insert(at, set);
            }
        }
        if reader.at != bytes.len() {
            return Err(CursorStateError::Malformed { at: reader.at });
        }
        cursor.floor = cursor.floor.min(ledgers.end());
        cursor.advance(ledgers);
        cursor.drop_below_floor();
        Ok(cursor)
    }
}

/// First byte of a saved state.
const STATE_VERSION: u8 = 1;

/// A saved cursor is not readable: the store gave back something else than it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorStateError {
    /// Written by a version that we do not know.
    #[error("cursor state of version {0}")]
    Version(u8),
    /// Too short, too long, or numbers that make no sense.
    #[error("cursor state is malformed at byte {at}")]
    Malformed {
        /// Offset of the fault.
        at: usize,
    },
}

fn put_position(out: &mut Vec<u8>, at: Position) {
    out.extend_from_slice(&at.ledger.0.to_le_bytes());
    out.extend_from_slice(&at.entry.0.to_le_bytes());
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], CursorStateError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.first_chunk::<N>().ok_or(CursorStateError::Malformed { at: self.at })?;
        self.at += N;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, CursorStateError> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, CursorStateError> {
        self.take().map(u64::from_le_bytes)
    }

    fn position(&mut self) -> Result<Position, CursorStateError> {
        Ok(Position { ledger: LedgerId(self.u64()?), entry: EntryId(self.u64()?) })
    }
}

#[cfg(test)]
mod tests;
