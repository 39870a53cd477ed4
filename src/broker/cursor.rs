//! How far a subscription is: a floor below which everything is consumed, ranges of entries consumed above it, and batch entries
//! consumed in part (protocol 8.4). Reading is the dispatcher's; this is what survives it.

use std::collections::BTreeMap;

use crate::base::id::{EntryId, Position};
use crate::base::limit::{CURSOR_PARTIAL_MAX, CURSOR_RANGES_SAVED_MAX, CURSOR_SAVED_BYTES_MAX};
use crate::broker::ack_set::AckSet;
use crate::broker::ledgers::{Ledgers, behind};
use crate::store::{self, Acks};

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
    /// What was last saved is not what this was made of: the next save is of the whole.
    whole: bool,
    /// Entries consumed one by one, and in part, since it was last saved.
    touched: Vec<Position>,
    parts: Vec<Position>,
}

impl Cursor {
    /// A cursor before `next`, the first entry it has to consume.
    pub fn new(next: Position) -> Cursor {
        Cursor {
            floor: next,
            runs: BTreeMap::new(),
            in_runs: 0,
            partial: BTreeMap::new(),
            dirty: false,
            whole: true,
            touched: Vec::new(),
            parts: Vec::new(),
        }
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
        self.touch(at);
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
        if self.parts.last() != Some(&at) {
            self.parts.push(at);
        }
        self.whole |= self.parts.len() > CURSOR_RANGES_SAVED_MAX;
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

    /// Whether it changed since it was last saved.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// What is to be saved so that the saved state is this one; `None`: it is.
    pub fn take_change(&mut self) -> Option<Change> {
        if !self.dirty {
            return None;
        }
        if self.whole {
            return Some(Change::Set(self.take_all()));
        }
        self.dirty = false;
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        let mut ranges: Vec<(Position, EntryId)> = Vec::new();
        // Beyond the bound single acks are not saved: what they say is delivered again after a restart.
        let room = self.runs.len() <= CURSOR_RANGES_SAVED_MAX;
        for at in touched.iter().filter(|at| **at >= self.floor && room) {
            match ranges.last_mut() {
                Some((first, end)) if first.ledger == at.ledger && *end >= at.entry => {
                    *end = behind(*at).entry
                }
                _ => ranges.push((*at, behind(*at).entry)),
            }
        }
        touched.clear();
        self.touched = touched;
        let parts = std::mem::take(&mut self.parts).into_iter();
        let partial = parts.filter_map(|at| Some((at, words(self.partial.get(&at)?)))).collect();
        Some(Change::Update(Acks { below: self.floor, ranges, partial }))
    }

    /// The whole state, for saving: the lowest [`CURSOR_RANGES_SAVED_MAX`] runs and parts, as far as they fit into
    /// [`CURSOR_SAVED_BYTES_MAX`]. What is left out is delivered again after a restart.
    pub fn take_all(&mut self) -> Acks {
        (self.dirty, self.whole) = (false, false);
        self.touched.clear();
        self.parts.clear();
        let runs = self.runs.len().min(CURSOR_RANGES_SAVED_MAX);
        let ranges: Vec<_> = self.runs.iter().take(runs).map(|(start, end)| (*start, *end)).collect();
        let mut left = CURSOR_SAVED_BYTES_MAX;
        let parts = self.partial.iter().take(CURSOR_RANGES_SAVED_MAX);
        let parts = parts.map(|(at, set)| (*at, words(set))).take_while(|(_, words)| {
            let fits = left.checked_sub(20 + 8 * words.len());
            left = fits.unwrap_or(0);
            fits.is_some()
        });
        Acks { below: self.floor, ranges, partial: parts.collect() }
    }

    /// What was to be saved was not, or what is kept with it changed: the next save is of the whole.
    pub fn on_save_failed(&mut self) {
        (self.dirty, self.whole) = (true, true);
    }

    /// An entry's acknowledgement is to be saved.
    fn touch(&mut self, at: Position) {
        self.dirty = true;
        if self.touched.len() < CURSOR_RANGES_SAVED_MAX {
            self.touched.push(at);
        } else {
            self.whole = true;
        }
    }

    /// A saved state. Entries of it that the log no longer has are forgotten, so that the count stays right.
    pub fn load(saved: &store::Cursor, ledgers: &Ledgers) -> Cursor {
        let mut cursor = Cursor::new(saved.below.min(ledgers.end().max(ledgers.first())));
        for (start, end) in &saved.ranges {
            let start = (*start).max(cursor.floor);
            let end = (*end).min(EntryId(ledgers.entries(start.ledger)));
            if start.entry < end {
                cursor.in_runs += end.0 - start.entry.0;
                cursor.runs.insert(start, end);
            }
        }
        for (at, words) in &saved.partial {
            let words: Vec<i64> = words.iter().map(|word| word.cast_signed()).collect();
            let set = AckSet::read(&words, None).filter(|set| !set.is_empty());
            if let Some(set) = set.filter(|_| ledgers.contains(*at) && !cursor.is_acked(*at)) {
                cursor.partial.insert(*at, set);
            }
        }
        cursor.advance(ledgers);
        cursor.drop_below_floor();
        cursor.whole = false;
        cursor
    }

    /// Consumed runs above the floor: first entry, and the one behind the last.
    pub fn runs(&self) -> impl Iterator<Item = (Position, EntryId)> {
        self.runs.iter().map(|(start, end)| (*start, *end))
    }
}

/// What of a cursor is to be saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// All of it.
    Set(Acks),
    /// What was added.
    Update(Acks),
}

/// A set's words, as the log keeps them.
fn words(set: &AckSet) -> Vec<u64> {
    set.words().iter().map(|word| word.cast_unsigned()).collect()
}

#[cfg(test)]
mod tests;
