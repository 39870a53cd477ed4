//! What one leg delivered and the client has not settled yet: per entry, which of its messages are still to be
//! acknowledged and which of those the client holds (API 4.4, 4.6; protocol 8.4).

use super::bits::Bits;
use super::dead_letters::Content;
use crate::wire::pulsar::proto::MessageIdData;
use std::collections::VecDeque;

/// An entry's place in its topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) ledger: u64,
    pub(super) entry: u64,
}

impl Place {
    /// The place a broker's message id names.
    pub(super) fn of(id: &MessageIdData) -> Place {
        Place { ledger: id.ledger_id, entry: id.entry_id }
    }

    /// The id that names the whole entry in ACK and REDELIVER.
    pub(super) fn id(self) -> MessageIdData {
        MessageIdData { ledger_id: self.ledger, entry_id: self.entry, ..MessageIdData::default() }
    }
}

/// One entry. `out` is a part of `left`; an entry with nothing left is not kept.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) place: Place,
    /// Tells this stay of the entry from an earlier one: timers that were armed for that one find nothing.
    pub(super) birth: u64,
    /// Messages in the batch; 0: not a batch.
    pub(super) size: u32,
    /// To be acknowledged: with the client, nacked, on their way to the dead letters, or not yet delivered.
    pub(super) left: Bits,
    /// With the client: each takes a slot of the window.
    pub(super) out: Bits,
    /// What few entries have.
    pub(super) extra: Option<Box<Extra>>,
}

/// What few entries have.
#[derive(Debug, Default)]
pub(super) struct Extra {
    /// All chunks but the last, whose place is the entry's.
    pub(super) chunks: Vec<Place>,
    /// Messages that become dead letters when they are given back, by index.
    pub(super) candidates: Vec<(u32, Content)>,
}

impl Tracked {
    /// The bit of an index in an id: of a batch, within its bounds; otherwise the only one.
    pub(super) fn bit(&self, batch_index: i32) -> Option<u32> {
        match (self.size, u32::try_from(batch_index)) {
            (0, _) => Some(0),
            (size, Ok(index)) if index < size => Some(index),
            _ => None,
        }
    }

    /// Takes the content of a candidate for the dead letters.
    pub(super) fn take_candidate(&mut self, index: u32) -> Option<Content> {
        let candidates = &mut self.extra.as_mut()?.candidates;
        let at = candidates.iter().position(|(of, _)| *of == index)?;
        Some(candidates.swap_remove(at).1)
    }

    /// Every place the entry takes in the topic: its own, and those of its earlier chunks.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        let chunks = self.extra.as_ref().map_or(&[][..], |extra| &extra.chunks);
        chunks.iter().copied().chain([self.place])
    }
}

/// The entries of one leg, sorted by place. They arrive and leave nearly in that order, so both ends are cheap; in the
/// middle a few small values move. Nothing is allocated once warm.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    entries: VecDeque<Tracked>,
}

impl Tracker {
    /// The entry at a place.
    pub(super) fn get(&self, place: Place) -> Option<&Tracked> {
        self.position(place).ok().map(|at| &self.entries[at])
    }

    /// The entry at a place.
    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Tracked> {
        self.position(place).ok().map(|at| &mut self.entries[at])
    }

    /// The entry at a place; `make` makes it when it is not here.
    pub(super) fn entry(&mut self, place: Place, make: impl FnOnce() -> Tracked) -> &mut Tracked {
        let at = match self.position(place) {
            Ok(at) => at,
            Err(at) => {
                self.entries.insert(at, make());
                at
            }
        };
        &mut self.entries[at]
    }

    /// Takes the entry at a place out.
    pub(super) fn remove(&mut self, place: Place) -> Option<Tracked> {
        self.position(place).ok().and_then(|at| self.entries.remove(at))
    }

    /// Takes the entry with the lowest place out.
    pub(super) fn remove_first(&mut self) -> Option<Tracked> {
        self.entries.pop_front()
    }

    /// Takes all entries out, in order of place.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Tracked> {
        self.entries.drain(..)
    }

    /// Messages with the client. Walks everything: for checks.
    pub(super) fn out(&self) -> usize {
        self.entries.iter().map(|entry| entry.out.count() as usize).sum()
    }

    fn position(&self, place: Place) -> Result<usize, usize> {
        match self.entries.back() {
            None => Err(0),
            Some(last) if last.place < place => Err(self.entries.len()),
            Some(last) if last.place == place => Ok(self.entries.len() - 1),
            // Clients settle in the order of delivery, if nothing keeps them from it.
            Some(_) if self.entries[0].place == place => Ok(0),
            Some(_) => self.entries.binary_search_by_key(&place, |entry| entry.place),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(entry: u64) -> Place {
        Place { ledger: 1, entry }
    }

    fn tracked(entry: u64) -> Tracked {
        let (left, out) = (Bits::full(1), Bits::none(1));
        Tracked { place: place(entry), birth: 1, size: 0, left, out, extra: None }
    }

    #[test]
    fn stays_sorted_whatever_the_order() {
        let mut tracker = Tracker::default();
        for entry in [5, 1, 9, 3, 3, 7] {
            assert_eq!(tracker.entry(place(entry), || tracked(entry)).place, place(entry));
        }
        assert!(tracker.remove(place(4)).is_none());
        assert_eq!(tracker.remove(place(3)).map(|t| t.place), Some(place(3)));
        assert!(tracker.get(place(7)).is_some() && tracker.get_mut(place(3)).is_none());
        assert_eq!(tracker.remove_first().map(|t| t.place), Some(place(1)));
        assert_eq!(tracker.drain().map(|t| t.place.entry).collect::<Vec<_>>(), [5, 7, 9]);
    }

    #[test]
    fn an_index_means_something_only_in_a_batch() {
        let mut entry = tracked(0);
        assert_eq!((entry.bit(-1), entry.bit(7)), (Some(0), Some(0)));
        entry.size = 3;
        assert_eq!((entry.bit(-1), entry.bit(2), entry.bit(3)), (None, Some(2), None));
    }
}
