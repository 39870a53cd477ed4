//! What a subscription has consumed: the change since the last save, and the merged whole. A cursor that moves often is saved by its
//! changes: [`Delta`] gathers them, one record carries them, [`Consumed`] adds them up.

use super::record::Acks;
use crate::base::id::{EntryId, LedgerId, Position};
use std::collections::BTreeMap;

/// The merged state of one cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumed {
    /// Everything below this is consumed.
    pub below: Position,
    /// Consumed beyond it, merged: first entry to the one behind the last, in the same ledger.
    pub ranges: BTreeMap<Position, EntryId>,
    /// Batches consumed in part: a 1 bit is a message still unacked.
    pub partial: BTreeMap<Position, Vec<u64>>,
}

impl Default for Consumed {
    /// Nothing is.
    fn default() -> Self {
        let below = Position { ledger: LedgerId(0), entry: EntryId(0) };
        Consumed { below, ranges: BTreeMap::new(), partial: BTreeMap::new() }
    }
}

impl Consumed {
    /// The whole of it, as a record carries it.
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

    /// Adds what a record carries. The same twice is the same as once.
    pub fn update(&mut self, acks: &Acks) {
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
            && *first < self.below
        {
            let behind = Position { ledger: first.ledger, entry: *end };
            let end = *end;
            self.ranges.pop_first();
            if behind > self.below {
                self.ranges.insert(self.below, end);
            }
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

/// What was consumed since the last save. The owner of a cursor tells it of every change, and takes the sum once per journal
/// frame ([`crate::store::Log::takes_off`]): a consumer that acks in order costs one small record a frame, whatever its rate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    changes: Consumed,
}

impl Delta {
    /// One entry was consumed.
    pub fn on_entry(&mut self, at: Position) {
        self.changes.add(at, EntryId(at.entry.0.saturating_add(1)));
    }

    /// A batch was consumed in part: what is left of it.
    pub fn on_part(&mut self, at: Position, left: &[u64]) {
        self.changes.partial.insert(at, left.to_vec());
    }

    /// Everything below is consumed.
    pub fn on_below(&mut self, below: Position) {
        self.changes.update(&Acks { below, ranges: Vec::new(), partial: Vec::new() });
    }

    /// Nothing was.
    pub fn is_empty(&self) -> bool {
        *self == Delta::default()
    }

    /// Forgets everything: the cursor was saved as a whole.
    pub fn clear(&mut self) {
        *self = Delta::default();
    }

    /// What to save, once.
    pub fn take(&mut self) -> Acks {
        let acks = self.changes.acks();
        self.clear();
        acks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    fn at(entry: u64) -> Position {
        Position { ledger: LedgerId(3), entry: EntryId(entry) }
    }

    fn consumed(ranges: &[(u64, u64)]) -> Consumed {
        let ranges = ranges.iter().map(|(first, end)| (at(*first), EntryId(*end))).collect();
        let mut consumed = Consumed::default();
        consumed.update(&Acks { below: at(0), ranges, partial: vec![] });
        consumed
    }

    #[test]
    fn ranges_are_joined_and_dropped_below_the_floor() {
        let mut cursor = consumed(&[(10, 13), (20, 22), (13, 15), (18, 20)]);
        let found = |cursor: &Consumed| {
            cursor.ranges.iter().map(|(first, end)| (first.entry.0, end.0)).collect::<Vec<_>>()
        };
        cursor.update(&Acks {
            below: at(0),
            ranges: vec![],
            partial: vec![(at(4), vec![5]), (at(50), vec![1])],
        });
        cursor.update(&Acks { below: at(0), ranges: vec![(at(3), EntryId(6))], partial: vec![] });
        assert_eq!(found(&cursor), [(3, 6), (10, 15), (18, 22)]);
        assert_eq!(cursor.partial.keys().collect::<Vec<_>>(), [&at(50)], "entry 4 is acked as a whole");
        assert!(cursor.is_acked(at(14)) && !cursor.is_acked(at(15)) && !cursor.is_acked(at(0)));
        cursor.update(&Acks { below: at(11), ranges: vec![], partial: vec![(at(5), vec![1])] });
        assert_eq!((found(&cursor), cursor.partial.len()), (vec![(11, 15), (18, 22)], 1));
        cursor.update(&Acks { below: at(2), ranges: vec![(at(8), EntryId(40))], partial: vec![] });
        assert_eq!((cursor.below, found(&cursor)), (at(11), vec![(11, 40)]), "the floor never falls");
        cursor.update(&Acks { below: at(51), ranges: vec![], partial: vec![] });
        assert_eq!((found(&cursor), cursor.partial.len()), (vec![], 0));
    }

    /// However acks are gathered into saves, and however often a save is applied, the sum is the same.
    #[test]
    fn changes_add_up_to_the_whole() {
        for seed in 0..200 {
            let mut prng = Prng::new(seed);
            let (mut all, mut sum) = (Consumed::default(), Consumed::default());
            let mut delta = Delta::default();
            for _ in 0..300 {
                let entry = at(prng.below(60));
                let one = |below, ranges, partial| Acks { below, ranges, partial };
                match prng.below(20) {
                    0..12 => {
                        delta.on_entry(entry);
                        all.update(&one(at(0), vec![(entry, EntryId(entry.entry.0 + 1))], vec![]));
                    }
                    12..16 if !all.is_acked(entry) => {
                        delta.on_part(entry, &[prng.below(7) + 1]);
                        let left = delta.changes.partial[&entry].clone();
                        all.update(&one(at(0), vec![], vec![(entry, left)]));
                    }
                    16 => {
                        let below = at(entry.entry.0 / 3);
                        delta.on_below(below);
                        all.update(&one(below, vec![], vec![]));
                    }
                    _ => {
                        let acks = delta.take();
                        sum.update(&acks);
                        sum.update(&acks);
                        assert!(delta.is_empty());
                    }
                }
            }
            sum.update(&delta.take());
            assert_eq!(sum, all, "seed {seed}");
        }
    }
}
