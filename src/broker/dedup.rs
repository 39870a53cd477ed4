//! Deduplication by producer name and sequence id (protocol 7.6): what was handed to storage, and what is durable.

use std::collections::BTreeMap;

use crate::base::limit::DEDUP_NAMES_MAX;

/// How far a producer's sequence is. Chunks of a message share its sequence id, so they count inside it; a message that is
/// whole, or its last chunk, is [`Mark::whole`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    sequence: u64,
    chunk: u32,
}

impl Mark {
    pub(super) fn whole(sequence: u64) -> Mark {
        Mark { sequence, chunk: u32::MAX }
    }

    /// Chunk `index` of `chunks`.
    pub(super) fn chunk(sequence: u64, index: u32, chunks: u32) -> Mark {
        if index + 1 >= chunks { Mark::whole(sequence) } else { Mark { sequence, chunk: index } }
    }
}

/// What a publish is, to deduplication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not seen: store it.
    New,
    /// Stored before, durably.
    Duplicate,
    /// Handed to storage before, and not known to be durable: the client has to come again.
    Unknown,
}

/// Sequence state of all producers of a topic.
#[derive(Debug, Default)]
pub(super) struct Dedup {
    pushed: BTreeMap<String, Mark>,
    persisted: BTreeMap<String, Mark>,
}

impl Dedup {
    /// A durable entry found at recovery, oldest first.
    pub(super) fn restore(&mut self, name: &str, sequence: u64) {
        let mark = Mark::whole(sequence);
        for marks in [&mut self.pushed, &mut self.persisted] {
            let known = marks.entry(name.to_owned()).or_insert(mark);
            *known = mark.max(*known);
        }
    }

    /// Judges a publish that begins at `first`; a new one counts as handed to storage up to `last`.
    pub(super) fn publish(&mut self, name: &str, first: Mark, last: Mark) -> Verdict {
        match self.pushed.get_mut(name) {
            Some(pushed) if first <= *pushed => {
                let durable = self.persisted.get(name).is_some_and(|persisted| first <= *persisted);
                if durable { Verdict::Duplicate } else { Verdict::Unknown }
            }
            Some(pushed) => {
                *pushed = last;
                Verdict::New
            }
            None => {
                self.pushed.insert(name.to_owned(), last);
                Verdict::New
            }
        }
    }

    /// An entry is durable.
    pub(super) fn durable(&mut self, name: &str, last: Mark) {
        match self.persisted.get_mut(name) {
            Some(persisted) => *persisted = last.max(*persisted),
            None => drop(self.persisted.insert(name.to_owned(), last)),
        }
    }

    /// Everything that was on its way to storage failed.
    pub(super) fn failed(&mut self) {
        self.pushed.clone_from(&self.persisted);
    }

    /// Highest sequence accepted of a name; -1: none.
    pub(super) fn last_sequence(&self, name: &str) -> i64 {
        self.pushed.get(name).map_or(-1, |mark| mark.sequence as i64)
    }

    /// Durable state to save, bounded. A message whose chunks are not all there does not count as stored.
    pub(super) fn snapshot(&self) -> Vec<(String, u64)> {
        let whole = self.persisted.iter().filter_map(|(name, mark)| {
            let sequence =
                if mark.chunk == u32::MAX { Some(mark.sequence) } else { mark.sequence.checked_sub(1) };
            sequence.map(|sequence| (name.clone(), sequence))
        });
        whole.take(DEDUP_NAMES_MAX).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_durable_is_a_duplicate() {
        let mut dedup = Dedup::default();
        let whole = Mark::whole;
        assert_eq!((dedup.publish("a", whole(3), whole(5)), dedup.last_sequence("a")), (Verdict::New, 5));
        assert_eq!(dedup.publish("a", whole(5), whole(5)), Verdict::Unknown);
        dedup.durable("a", whole(5));
        assert_eq!(dedup.publish("a", whole(4), whole(4)), Verdict::Duplicate);
        assert_eq!(dedup.publish("a", whole(9), whole(9)), Verdict::New);
        dedup.failed();
        assert_eq!(dedup.publish("a", whole(9), whole(9)), Verdict::New, "what failed may come again");
        assert_eq!(dedup.last_sequence("b"), -1);
        assert_eq!(dedup.snapshot(), [("a".to_owned(), 5)]);
    }

    #[test]
    fn chunks_count_inside_their_sequence() {
        let mut dedup = Dedup::default();
        let chunk = |index| Mark::chunk(7, index, 3);
        let mut publish = |mark| {
            let verdict = dedup.publish("a", mark, mark);
            dedup.durable("a", mark);
            verdict
        };
        assert_eq!([0, 1, 0, 2, 2].map(|index| publish(chunk(index))), {
            use Verdict::{Duplicate, New};
            [New, New, Duplicate, New, Duplicate]
        });
        assert_eq!(publish(Mark::whole(7)), Verdict::Duplicate);
        assert_eq!(publish(Mark::whole(8)), Verdict::New);
    }
}
