//! The entries a topic has in memory: its newest ones, and those read back for consumers that are behind. Both bounded in bytes.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::base::id::Position;
use crate::base::limit::{TOPIC_BACKLOG_BYTES_MAX, TOPIC_TAIL_BYTES_MAX};

/// Slots an empty tail keeps: a burst must not cost its topic memory for the rest of its life.
const TAIL_SPARE_MAX: usize = 1024;

/// Entries by position.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// In order.
    tail: VecDeque<(Position, Bytes)>,
    tail_bytes: usize,
    backlog: BTreeMap<Position, Bytes>,
    /// The order in which the backlog was read: the oldest read goes first.
    order: VecDeque<Position>,
    backlog_bytes: usize,
}

impl Entries {
    pub(super) fn get(&self, at: Position) -> Option<&Bytes> {
        self.in_tail(at).or_else(|| self.backlog.get(&at))
    }

    /// Of one ledger the entries lie side by side, so most are found at the first look.
    fn in_tail(&self, at: Position) -> Option<&Bytes> {
        let (first, _) = self.tail.front()?;
        let guess = usize::try_from(at.entry.0.wrapping_sub(first.entry.0)).unwrap_or(usize::MAX);
        if let Some((found, entry)) = self.tail.get(guess)
            && *found == at
        {
            return Some(entry);
        }
        let index = self.tail.binary_search_by_key(&at, |(at, _)| *at).ok()?;
        self.tail.get(index).map(|(_, entry)| entry)
    }

    /// Entries below a position are not kept in the tail.
    pub(super) fn forget_below(&mut self, at: Position) {
        while let Some((_, entry)) = self.tail.pop_front_if(|(first, _)| *first < at) {
            self.tail_bytes -= entry.len();
        }
        if self.tail.is_empty() && self.tail.capacity() > TAIL_SPARE_MAX {
            self.tail = VecDeque::new();
        }
    }

    /// A new entry became durable. Those that no longer fit go, but never the new one.
    pub(super) fn push(&mut self, at: Position, entry: Bytes) {
        self.tail_bytes += entry.len();
        self.tail.push_back((at, entry));
        while self.tail_bytes > TOPIC_TAIL_BYTES_MAX && self.tail.len() > 1 {
            let Some((_, entry)) = self.tail.pop_front() else { return };
            self.tail_bytes -= entry.len();
        }
    }

    /// An entry was read back. It stays until [`Entries::trim`].
    pub(super) fn insert(&mut self, at: Position, entry: Bytes) {
        if self.get(at).is_none() {
            self.backlog_bytes += entry.len();
            self.backlog.insert(at, entry);
            self.order.push_back(at);
        }
    }

    /// Lets go of what was read back longest ago, down to the bound: consumers have had their chance at what came last.
    pub(super) fn trim(&mut self) {
        while self.backlog_bytes > TOPIC_BACKLOG_BYTES_MAX
            && let Some(at) = self.order.pop_front()
        {
            self.backlog_bytes -= self.backlog.remove(&at).map_or(0, |entry| entry.len());
        }
    }

    /// Lets go of everything: nobody consumes.
    pub(super) fn clear_backlog(&mut self) {
        self.backlog.clear();
        self.order.clear();
        self.backlog_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::ledgers::position;

    #[test]
    fn both_parts_are_bounded() {
        let mut entries = Entries::default();
        let big = Bytes::from(vec![0; TOPIC_TAIL_BYTES_MAX / 2]);
        for entry in 0..5 {
            entries.push(position(2, entry), big.clone());
            entries.insert(position(1, entry), big.clone());
        }
        assert!(entries.get(position(1, 0)).is_some(), "kept until trimmed");
        entries.trim();
        let has = |ledger| {
            (0..5u64).filter(|&entry| entries.get(position(ledger, entry)).is_some()).collect::<Vec<_>>()
        };
        assert_eq!((has(1), has(2)), (vec![3, 4], vec![3, 4]));
        entries.push(position(3, 0), vec![0; 2 * TOPIC_TAIL_BYTES_MAX].into());
        assert!(entries.get(position(3, 0)).is_some(), "one always fits");
        let mut tail = Entries::default();
        (0..4).for_each(|entry| tail.push(position(1 + entry / 2, entry % 2), Bytes::from_static(b"x")));
        tail.forget_below(position(1, 1));
        let left = [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 0)]
            .map(|(ledger, entry)| tail.get(position(ledger, entry)).is_some());
        assert_eq!((left, tail.tail_bytes), ([false, true, true, true, false, false], 3));
        entries.clear_backlog();
        assert!(entries.get(position(1, 4)).is_none());
    }
}
