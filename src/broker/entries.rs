//! The entries a topic has in memory: its newest ones, and those read back for consumers that are behind. Both bounded in bytes.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::base::id::Position;
use crate::base::limit::{TOPIC_BACKLOG_BYTES_MAX, TOPIC_TAIL_BYTES_MAX};

/// Entries by position.
#[derive(Debug, Default)]
pub(super) struct Entries {
    tail: BTreeMap<Position, Bytes>,
    tail_bytes: usize,
    backlog: BTreeMap<Position, Bytes>,
    /// The order in which the backlog was read: the oldest read goes first.
    order: VecDeque<Position>,
    backlog_bytes: usize,
}

impl Entries {
    pub(super) fn get(&self, at: Position) -> Option<&Bytes> {
        self.tail.get(&at).or_else(|| self.backlog.get(&at))
    }

    /// A new entry became durable. Those that no longer fit go, but never the new one.
    pub(super) fn push(&mut self, at: Position, entry: Bytes) {
        self.tail_bytes += entry.len();
        self.tail.insert(at, entry);
        while self.tail_bytes > TOPIC_TAIL_BYTES_MAX && self.tail.len() > 1 {
            let Some((_, entry)) = self.tail.pop_first() else { return };
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
        entries.clear_backlog();
        assert!(entries.get(position(1, 4)).is_none());
    }
}
