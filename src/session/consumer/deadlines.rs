//! Messages that are due later, all after the same delay: so in order. Entries settled meanwhile stay until their time
//! or until half of what is held is such chaff.

use super::tracker::Place;
use crate::base::time::Instant;
use std::collections::VecDeque;

/// Below this many nothing is swept.
const SWEEP_MIN: usize = 1024;

/// One message that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at: Instant,
    pub(super) leg: usize,
    pub(super) place: Place,
    pub(super) index: u32,
    /// Which stay of the entry; [`Due::STRANGER`]: none here.
    pub(super) birth: u64,
}

impl Due {
    /// The birth of entries this session does not track.
    pub(super) const STRANGER: u64 = 0;
}

/// Messages in the order in which they are due.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    queue: VecDeque<Due>,
    sweep_at: usize,
}

impl Deadlines {
    /// Adds the one that is due last. `live` tells what is still wanted.
    pub(super) fn push(&mut self, due: Due, live: impl Fn(&Due) -> bool) {
        debug_assert!(self.queue.back().is_none_or(|last| last.at <= due.at), "one delay for all");
        if self.queue.len() >= self.sweep_at.max(SWEEP_MIN) {
            self.queue.retain(live);
            self.sweep_at = self.queue.len() * 2;
        }
        self.queue.push_back(due);
    }

    /// Takes one whose time has come.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Due> {
        self.queue.pop_front_if(|due| due.at <= now)
    }

    /// Drops what is not wanted any more from the front, so that nobody wakes up for it.
    pub(super) fn trim(&mut self, live: impl Fn(&Due) -> bool) {
        while self.queue.pop_front_if(|due| !live(due)).is_some() {}
    }

    /// Drops those of a leg.
    pub(super) fn forget_leg(&mut self, leg: usize) {
        self.queue.retain(|due| due.leg != leg);
    }

    /// When the first one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.front().map(|due| due.at)
    }

    /// How many are held, chaff included.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(at: u64, leg: usize) -> Due {
        Due { at: Instant(at), leg, place: Place::default(), index: 0, birth: at }
    }

    #[test]
    fn comes_in_order_and_not_early() {
        let mut deadlines = Deadlines::default();
        [3, 5, 5, 9].into_iter().for_each(|at| deadlines.push(due(at, at as usize % 2), |_| true));
        assert_eq!((deadlines.next(), deadlines.pop(Instant(2))), (Some(Instant(3)), None));
        deadlines.trim(|due| due.at > Instant(3));
        assert_eq!(deadlines.pop(Instant(8)), Some(due(5, 1)));
        deadlines.forget_leg(1);
        assert_eq!((deadlines.len(), deadlines.next()), (0, None));
    }

    #[test]
    fn chaff_is_swept() {
        let mut deadlines = Deadlines::default();
        for at in 0..100_000 {
            deadlines.push(due(at, 0), |due| due.at > Instant(at - 10));
        }
        assert!(deadlines.len() <= SWEEP_MIN + 1);
    }
}
