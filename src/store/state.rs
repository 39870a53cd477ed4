//! What the log's records add up to: topics, ledgers, cursors. The same [`State::apply`] serves appends and recovery.

use super::frame::Builder;
use super::index::Index;
use super::record::{Acks, CursorSet, Head, Record, TopicPut};
use super::{CursorId, TopicId};
use crate::base::id::{EntryId, LedgerId, Position};
use std::collections::BTreeMap;

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its full name.
    pub name: Vec<u8>,
    /// Its owner's properties, opaque here.
    pub properties: Vec<u8>,
}

/// A ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Whose it is.
    pub topic: TopicId,
    /// Entries appended, so the next entry's number.
    pub entries: u64,
    /// Nothing more is appended.
    pub closed: bool,
    /// When it was opened, ms since 1970.
    pub opened_ms: u64,
    /// When its last entry was appended or it was closed, ms since 1970.
    pub last_ms: u64,
    /// What of it is in its segment, and where.
    pub index: Index,
}

/// A cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Name of the subscription.
    pub name: Vec<u8>,
    /// Its owner's properties, opaque here.
    pub properties: Vec<u8>,
    /// Everything below this is consumed.
    pub below: Position,
    /// Consumed beyond it, merged: first entry to the one behind the last, in the same ledger.
    pub ranges: BTreeMap<Position, EntryId>,
    /// Batches consumed in part: a 1 bit is a message still unacked.
    pub partial: BTreeMap<Position, Vec<u64>>,
}

/// A record that does not fit what came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// There is no such topic.
    #[error("no such topic")]
    Topic,
    /// There is no such ledger, or there is one already.
    #[error("no such ledger, or it is there already")]
    Ledger,
    /// There is no such cursor.
    #[error("no such cursor")]
    Cursor,
    /// The ledger is closed, or its next entry is another one.
    #[error("the ledger is closed, or its next entry is another one")]
    Entry,
    /// The record belongs into another kind of file.
    #[error("a record in the wrong kind of file")]
    Kind,
}

/// All of it, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Topics.
    pub topics: BTreeMap<TopicId, Topic>,
    /// Ledgers.
    pub ledgers: BTreeMap<LedgerId, Ledger>,
    /// Cursors.
    pub cursors: BTreeMap<(TopicId, CursorId), Cursor>,
}

impl State {
    /// Applies one record of the journal.
    pub fn apply(&mut self, wall_ms: u64, record: &Record<'_>) -> Result<(), Misfit> {
        match record {
            Record::Entry { position, .. } => {
                let ledger = self.ledgers.get_mut(&position.ledger).ok_or(Misfit::Ledger)?;
                if ledger.closed || position.entry.0 != ledger.entries {
                    return Err(Misfit::Entry);
                }
                (ledger.entries, ledger.last_ms) = (ledger.entries + 1, wall_ms);
            }
            Record::LedgerOpen(id, topic) => {
                if !self.topics.contains_key(topic) {
                    return Err(Misfit::Topic);
                }
                if self.ledgers.contains_key(id) {
                    return Err(Misfit::Ledger);
                }
                let (topic, index) = (*topic, Index::default());
                let ledger =
                    Ledger { topic, entries: 0, closed: false, opened_ms: wall_ms, last_ms: wall_ms, index };
                self.ledgers.insert(*id, ledger);
            }
            Record::LedgerClose(id, entries) => {
                let ledger = self.ledgers.get_mut(id).ok_or(Misfit::Ledger)?;
                if ledger.closed || ledger.entries != *entries {
                    return Err(Misfit::Entry);
                }
                (ledger.closed, ledger.last_ms) = (true, wall_ms);
            }
            Record::LedgerDelete(id) => {
                self.ledgers.remove(id).ok_or(Misfit::Ledger)?;
            }
            Record::TopicPut(id, TopicPut { name, properties }) => {
                self.topics.insert(*id, Topic { name: name.to_vec(), properties: properties.to_vec() });
            }
            Record::TopicDelete(id) => {
                self.topics.remove(id).ok_or(Misfit::Topic)?;
                self.ledgers.retain(|_, ledger| ledger.topic != *id);
                self.cursors.retain(|(topic, _), _| topic != id);
            }
            Record::CursorSet(topic, id, set) => {
                if !self.topics.contains_key(topic) {
                    return Err(Misfit::Topic);
                }
                self.cursors.insert((*topic, *id), Cursor::new(set));
            }
            Record::CursorUpdate(topic, id, acks) => {
                self.cursors.get_mut(&(*topic, *id)).ok_or(Misfit::Cursor)?.update(acks);
            }
            Record::CursorDelete(topic, id) => {
                self.cursors.remove(&(*topic, *id)).ok_or(Misfit::Cursor)?;
            }
            Record::Settled(..) | Record::Checkpoint(_) => return Err(Misfit::Kind),
        }
        Ok(())
    }

    /// Writes the state down as the records of a checkpoint. Every entry must be settled.
    pub fn write(&self, head: Head, out: &mut Builder) {
        out.push(0, &Record::Checkpoint(head));
        for (id, topic) in &self.topics {
            let put = TopicPut { name: &topic.name, properties: &topic.properties };
            out.push(0, &Record::TopicPut(*id, put));
        }
        for (id, ledger) in &self.ledgers {
            out.push(ledger.opened_ms, &Record::LedgerOpen(*id, ledger.topic));
            let pieces = ledger.index.pieces().to_vec();
            out.push(ledger.last_ms, &Record::Settled(*id, ledger.entries, pieces));
            if ledger.closed {
                out.push(ledger.last_ms, &Record::LedgerClose(*id, ledger.entries));
            }
        }
        for ((topic, id), cursor) in &self.cursors {
            let (name, properties) = (&cursor.name[..], &cursor.properties[..]);
            out.push(0, &Record::CursorSet(*topic, *id, CursorSet { name, acks: cursor.acks(), properties }));
        }
    }

    /// Reads what [`State::write`] wrote.
    pub fn read(records: &[(u64, Record<'_>)]) -> Result<(Head, State), Misfit> {
        let Some(((_, Record::Checkpoint(head)), rest)) = records.split_first() else {
            return Err(Misfit::Kind);
        };
        let mut state = State::default();
        for (wall_ms, record) in rest {
            if let Record::Settled(id, entries, pieces) = record {
                let ledger = state.ledgers.get_mut(id).ok_or(Misfit::Ledger)?;
                ledger.index = Index::new(*entries, pieces.clone()).ok_or(Misfit::Entry)?;
                (ledger.entries, ledger.last_ms) = (*entries, *wall_ms);
            } else {
                state.apply(*wall_ms, record)?;
            }
        }
        Ok((*head, state))
    }
}

impl Cursor {
    fn new(set: &CursorSet<'_>) -> Self {
        let mut cursor = Cursor {
            name: set.name.to_vec(),
            properties: set.properties.to_vec(),
            below: set.acks.below,
            ranges: BTreeMap::new(),
            partial: BTreeMap::new(),
        };
        cursor.update(&set.acks);
        cursor
    }

    /// The whole of what is consumed.
    pub fn acks(&self) -> Acks {
        let ranges = self.ranges.iter().map(|(first, end)| (*first, *end)).collect();
        let partial = self.partial.iter().map(|(at, words)| (*at, words.clone())).collect();
        Acks { below: self.below, ranges, partial }
    }

    /// The entry is consumed.
    pub fn is_acked(&self, at: Position) -> bool {
        let range = self.ranges.range(..=at).next_back();
        at < self.below || range.is_some_and(|(first, end)| first.ledger == at.ledger && at.entry < *end)
    }

    fn update(&mut self, acks: &Acks) {
        for (at, words) in &acks.partial {
            if words.is_empty() {
                self.partial.remove(at);
            } else if !self.is_acked(*at) {
                self.partial.insert(*at, words.clone());
            }
        }
        for (first, end) in &acks.ranges {
            self.add(*first, *end);
        }
        if acks.below > self.below {
            self.below = acks.below;
            self.partial = self.partial.split_off(&acks.below);
        }
        while let Some((first, end)) = self.ranges.first_key_value()
            && (Position { ledger: first.ledger, entry: *end }) <= self.below
        {
            self.ranges.pop_first();
        }
    }

    /// Adds a range, joined with those it overlaps or touches.
    fn add(&mut self, first: Position, end: EntryId) {
        let (mut first, mut end) = (first, end);
        if end <= first.entry {
            return;
        }
        let behind = Position { ledger: first.ledger, entry: end };
        while let Some((at, _)) = self.partial.range(first..behind).next() {
            let at = *at;
            self.partial.remove(&at);
        }
        while let Some((start, stop)) = self.ranges.range(..=behind).next_back() {
            let (start, stop) = (*start, *stop);
            if start.ledger != first.ledger || stop < first.entry {
                break;
            }
            (first, end) = (first.min(start), end.max(stop));
            self.ranges.remove(&start);
        }
        self.ranges.insert(first, end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(entry: u64) -> Position {
        Position { ledger: LedgerId(3), entry: EntryId(entry) }
    }

    fn cursor(ranges: &[(u64, u64)]) -> Cursor {
        let ranges = ranges.iter().map(|(first, end)| (at(*first), EntryId(*end))).collect();
        let acks = Acks { below: at(0), ranges, partial: vec![(at(4), vec![5]), (at(50), vec![1])] };
        Cursor::new(&CursorSet { name: b"s", acks, properties: b"" })
    }

    #[test]
    fn ranges_are_joined_and_dropped_below_the_floor() {
        let mut cursor = cursor(&[(10, 13), (20, 22), (13, 15), (18, 20), (3, 6)]);
        let found = |cursor: &Cursor| {
            cursor.ranges.iter().map(|(first, end)| (first.entry.0, end.0)).collect::<Vec<_>>()
        };
        assert_eq!(found(&cursor), [(3, 6), (10, 15), (18, 22)]);
        assert_eq!(cursor.partial.keys().collect::<Vec<_>>(), [&at(50)], "entry 4 is acked as a whole");
        assert!(cursor.is_acked(at(14)) && !cursor.is_acked(at(15)) && !cursor.is_acked(at(0)));
        cursor.update(&Acks { below: at(11), ranges: vec![], partial: vec![(at(5), vec![1])] });
        assert_eq!((found(&cursor), cursor.partial.len()), (vec![(10, 15), (18, 22)], 1));
        cursor.update(&Acks { below: at(2), ranges: vec![(at(8), EntryId(40))], partial: vec![] });
        assert_eq!((cursor.below, found(&cursor)), (at(11), vec![(8, 40)]), "the floor never falls");
        cursor.update(&Acks { below: at(51), ranges: vec![], partial: vec![] });
        assert_eq!((found(&cursor), cursor.partial.len()), (vec![], 0));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut state = State::default();
        let (topic, ledger) = (TopicId(1), LedgerId(3));
        let entry = |entry| Record::Entry { position: at(entry), messages: 1, bytes: b"x" };
        assert_eq!(state.apply(0, &Record::LedgerOpen(ledger, topic)), Err(Misfit::Topic));
        let put = TopicPut { name: b"t", properties: b"" };
        state.apply(0, &Record::TopicPut(topic, put)).unwrap();
        assert_eq!(state.apply(0, &entry(0)), Err(Misfit::Ledger));
        state.apply(0, &Record::LedgerOpen(ledger, topic)).unwrap();
        assert_eq!(state.apply(0, &Record::LedgerOpen(ledger, topic)), Err(Misfit::Ledger));
        assert_eq!(state.apply(0, &entry(1)), Err(Misfit::Entry), "a gap");
        state.apply(0, &entry(0)).unwrap();
        assert_eq!(state.apply(0, &entry(0)), Err(Misfit::Entry), "twice");
        assert_eq!(state.apply(0, &Record::LedgerClose(ledger, 2)), Err(Misfit::Entry));
        state.apply(0, &Record::LedgerClose(ledger, 1)).unwrap();
        assert_eq!(state.apply(0, &entry(1)), Err(Misfit::Entry), "closed");
        assert_eq!(state.apply(0, &Record::CursorDelete(topic, CursorId(1))), Err(Misfit::Cursor));
        state.apply(0, &Record::TopicDelete(topic)).unwrap();
        assert_eq!(state, State::default());
    }
}
