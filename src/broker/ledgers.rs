//! Which entries a topic has: its ledgers and how many durable entries each holds. Cursors walk over this, so that
//! "the position after" and "how many lie between" need no disk (broker side of protocol 13.2).

use crate::base::id::{EntryId, LedgerId, Position};

/// One ledger: its entries are numbered from 0 without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Its id; ids grow along a topic.
    pub id: LedgerId,
    /// Durable entries.
    pub entries: u64,
}

/// The durable entries of a topic. Only ledgers with entries are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledgers {
    list: Vec<Ledger>,
}

/// The position `ledger:entry`.
pub fn position(ledger: u64, entry: u64) -> Position {
    Position { ledger: LedgerId(ledger), entry: EntryId(entry) }
}

/// The place right behind an entry, which may not hold one.
pub fn behind(at: Position) -> Position {
    Position { ledger: at.ledger, entry: EntryId(at.entry.0.saturating_add(1)) }
}

impl Ledgers {
    /// What recovery found. Empty ledgers are left out; the ids must grow.
    pub fn new(found: impl IntoIterator<Item = Ledger>) -> Ledgers {
        let list: Vec<Ledger> = found.into_iter().filter(|ledger| ledger.entries > 0).collect();
        debug_assert!(list.is_sorted_by(|a, b| a.id < b.id), "ledger ids grow along a topic");
        Ledgers { list }
    }

    /// Entries `first` to `first + count - 1` became durable. They follow what is there: the store numbers densely.
    pub fn append(&mut self, first: Position, count: u64) {
        if count == 0 {
            return;
        }
        match self.list.last_mut() {
            Some(last) if last.id == first.ledger => {
                assert_eq!(last.entries, first.entry.0, "entries of a ledger are dense");
                last.entries += count;
            }
            last => {
                assert!(last.is_none_or(|last| last.id < first.ledger), "ledger ids grow");
                assert_eq!(first.entry.0, 0, "a ledger begins at entry 0");
                self.list.push(Ledger { id: first.ledger, entries: count });
            }
        }
    }

    /// Ledgers below `first` were deleted by retention.
    pub fn trim(&mut self, first: LedgerId) {
        self.list.retain(|ledger| ledger.id >= first);
    }

    /// The ledgers, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Ledger> {
        self.list.iter()
    }

    /// Where the first entry is or would be.
    pub fn first(&self) -> Position {
        self.list.first().map_or(position(0, 0), |ledger| Position { ledger: ledger.id, entry: EntryId(0) })
    }

    /// The place behind the last entry.
    pub fn end(&self) -> Position {
        self.list
            .last()
            .map_or(position(0, 0), |ledger| Position { ledger: ledger.id, entry: EntryId(ledger.entries) })
    }

    /// The last entry.
    pub fn last(&self) -> Option<Position> {
        self.before(self.end())
    }

    /// Index of the first ledger that is not below an id.
    fn index(&self, id: LedgerId) -> usize {
        self.list.partition_point(|ledger| ledger.id < id)
    }

    /// Whether this entry exists.
    pub fn contains(&self, at: Position) -> bool {
        let ledger = self.list.get(self.index(at.ledger));
        ledger.is_some_and(|ledger| ledger.id == at.ledger && at.entry.0 < ledger.entries)
    }

    /// Entries of a ledger; 0 if it is not there.
    pub fn entries(&self, id: LedgerId) -> u64 {
        self.list.get(self.index(id)).filter(|ledger| ledger.id == id).map_or(0, |ledger| ledger.entries)
    }

    /// The entry `count` entries behind an entry; [`Ledgers::end`] when there are not so many.
    pub fn advance(&self, at: Position, count: u64) -> Position {
        let at = self.settle(at);
        let mut left = at.entry.0.saturating_add(count);
        for ledger in &self.list[self.index(at.ledger)..] {
            if left < ledger.entries {
                return Position { ledger: ledger.id, entry: EntryId(left) };
            }
            left -= ledger.entries;
        }
        self.end()
    }

    /// The first entry at or after a place; [`Ledgers::end`] when there is none.
    pub fn settle(&self, at: Position) -> Position {
        let index = self.index(at.ledger);
        match self.list.get(index) {
            None => self.end(),
            Some(ledger) if ledger.id > at.ledger => Position { ledger: ledger.id, entry: EntryId(0) },
            Some(ledger) if at.entry.0 < ledger.entries => at,
            Some(_) => match self.list.get(index + 1) {
                Some(next) => Position { ledger: next.id, entry: EntryId(0) },
                None => self.end(),
            },
        }
    }

    /// The last entry below a place.
    pub fn before(&self, at: Position) -> Option<Position> {
        let index = self.index(at.ledger);
        if let Some(ledger) = self.list.get(index)
            && ledger.id == at.ledger
            && at.entry.0 > 0
        {
            return Some(Position { ledger: ledger.id, entry: EntryId(at.entry.0.min(ledger.entries) - 1) });
        }
        let ledger = self.list.get(index.checked_sub(1)?)?;
        Some(Position { ledger: ledger.id, entry: EntryId(ledger.entries - 1) })
    }

    /// Entries at or after `from` and below `to`.
    pub fn count(&self, from: Position, to: Position) -> u64 {
        if from >= to {
            return 0;
        }
        let below = |ledger: &Ledger, at: Position| match ledger.id.cmp(&at.ledger) {
            std::cmp::Ordering::Less => ledger.entries,
            std::cmp::Ordering::Equal => at.entry.0.min(ledger.entries),
            std::cmp::Ordering::Greater => 0,
        };
        let touched = self.list[self.index(from.ledger)..].iter().take_while(|ledger| ledger.id <= to.ledger);
        touched.map(|ledger| below(ledger, to) - below(ledger, from)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Ledgers {
        let ledger = |id, entries| Ledger { id: LedgerId(id), entries };
        Ledgers::new([ledger(2, 3), ledger(3, 0), ledger(5, 1), ledger(9, 2)])
    }

    #[test]
    fn walking_crosses_ledgers() {
        let log = three();
        assert_eq!(
            (log.first(), log.end(), log.last()),
            (position(2, 0), position(9, 2), Some(position(9, 1)))
        );
        assert_eq!(log.settle(position(2, 3)), position(5, 0));
        assert_eq!(log.settle(position(3, 7)), position(5, 0));
        assert_eq!(log.settle(position(9, 2)), position(9, 2));
        assert_eq!(log.settle(position(u64::MAX, 1)), position(9, 2));
        let advanced = [0, 2, 3, 4, 5, 6, 99].map(|count| log.advance(position(2, 0), count));
        let wanted = [(2, 0), (2, 2), (5, 0), (9, 0), (9, 1), (9, 2), (9, 2)];
        assert_eq!(advanced, wanted.map(|(ledger, entry)| position(ledger, entry)));
        assert_eq!((log.entries(LedgerId(9)), log.entries(LedgerId(4))), (2, 0));
        assert_eq!(log.before(position(5, 0)), Some(position(2, 2)));
        assert_eq!(log.before(position(2, 0)), None);
        assert_eq!(log.before(position(9, 99)), Some(position(9, 1)));
        assert!(
            log.contains(position(5, 0)) && !log.contains(position(5, 1)) && !log.contains(position(3, 0))
        );
    }

    #[test]
    fn counting_agrees_with_walking() {
        let log = three();
        let all: Vec<_> =
            (0..12).flat_map(|ledger| (0..4).map(move |entry| position(ledger, entry))).collect();
        for &from in &all {
            for &to in &all {
                let walked =
                    all.iter().filter(|&&at| at >= from && at < to && log.contains(at)).count() as u64;
                assert_eq!(log.count(from, to), walked, "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn an_empty_topic_ends_where_it_begins() {
        let mut log = Ledgers::default();
        assert_eq!((log.first(), log.end(), log.last()), (position(0, 0), position(0, 0), None));
        log.append(position(4, 0), 2);
        log.append(position(4, 2), 1);
        log.append(position(6, 0), 1);
        assert_eq!(log.count(position(0, 0), log.end()), 4);
        log.trim(LedgerId(6));
        assert_eq!((log.first(), log.settle(position(0, 0))), (position(6, 0), position(6, 0)));
    }
}
