//! When the entries of a broker link go: at once, or, while the broker takes long anyway, together with those of the next moment.
//!
//! A broker pays for each piece that it reads from a connection, besides for the entries in it. While it keeps up, nothing is
//! gained by waiting. One that is at its limit is relieved by fewer and larger pieces, and its queue, in which all entries stand,
//! gets shorter by more than what is waited for here: an eighth of the time that it takes for a receipt, 2 ms at most.

use crate::base::limit::{LINK_GATHER_MAX, LINK_SLOW, LINK_WATCH_MAX};
use crate::base::time::Instant;
use std::time::Duration;

/// A mean follows its samples by a quarter at a time.
const MEAN_WEIGHT: u32 = 4;
/// Of the time to a receipt this part is waited for more entries.
const SHARE: u32 = 8;

/// An entry on its way to its receipt.
#[derive(Clone, Copy, Debug)]
struct Watched {
    producer_id: u64,
    sequence_id: u64,
    written_at: Instant,
}

/// The pace of one link: one entry at a time is watched from its writing to its receipt.
#[derive(Debug, Default)]
pub(super) struct Pace {
    watched: Option<Watched>,
    /// Mean time to a receipt.
    confirms: Duration,
    /// When entries were last written.
    written_at: Instant,
}

impl Pace {
    /// When entries may be written next; `None`: now. What is written in one turn goes together.
    pub(super) fn wait(&self, now: Instant) -> Option<Instant> {
        let under_way = self.watched.map_or(Duration::ZERO, |watched| now.since(watched.written_at));
        let takes = self.confirms.max(under_way);
        if takes < LINK_SLOW || now == self.written_at {
            return None;
        }
        let due = self.written_at + (takes / SHARE).min(LINK_GATHER_MAX);
        (now < due).then_some(due)
    }

    /// An entry was written.
    pub(super) fn on_written(&mut self, now: Instant, producer_id: u64, sequence_id: u64) {
        self.written_at = now;
        // One without an answer is of a producer that was closed.
        if self.watched.is_none_or(|watched| now.since(watched.written_at) > LINK_WATCH_MAX) {
            self.watched = Some(Watched { producer_id, sequence_id, written_at: now });
        }
    }

    /// A receipt came.
    pub(super) fn on_receipt(&mut self, now: Instant, producer_id: u64, sequence_id: u64) {
        let is_it =
            |watched: &mut Watched| watched.producer_id == producer_id && watched.sequence_id == sequence_id;
        if let Some(watched) = self.watched.take_if(is_it) {
            let sample = now.since(watched.written_at);
            self.confirms = (self.confirms * (MEAN_WEIGHT - 1) + sample) / MEAN_WEIGHT;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000_000;

    /// A link whose broker has confirmed twenty entries after so many microseconds each; the last receipt is a second old.
    fn link(micros: u64) -> (Pace, Instant) {
        let (mut pace, mut now) = (Pace::default(), Instant(1_000 * MILLI));
        for sequence_id in 0..20 {
            pace.on_written(now, 7, sequence_id);
            now = now + Duration::from_micros(micros);
            pace.on_receipt(now, 7, sequence_id);
        }
        (pace, Instant(now.0 + 1_000 * MILLI))
    }

    fn after(now: Instant, micros: u64) -> Instant {
        now + Duration::from_micros(micros)
    }

    #[test]
    fn a_broker_that_keeps_up_is_sent_everything_at_once() {
        let (mut pace, now) = link(7_500);
        pace.on_written(now, 7, 20);
        assert_eq!(pace.wait(after(now, 1)), None);
    }

    #[test]
    fn a_slow_one_is_sent_pieces() {
        let (mut pace, now) = link(12_000);
        assert_eq!(pace.wait(now), None, "the first does not wait");
        pace.on_written(now, 7, 20);
        assert_eq!(pace.wait(now), None, "nor what comes in the same turn");
        let due = pace.wait(after(now, 100)).expect("an eighth of 12 ms");
        assert!((1_450..=1_500).contains(&(due.since(now).as_micros())), "{due:?}");
        assert_eq!(pace.wait(due), None);
        let (mut pace, now) = link(200_000);
        pace.on_written(now, 7, 20);
        assert_eq!(pace.wait(after(now, 100)), Some(now + LINK_GATHER_MAX), "never longer");
    }

    #[test]
    fn one_that_stands_still_is_slow_and_one_that_recovers_is_not() {
        let (mut pace, now) = link(100);
        pace.on_written(now, 7, 20);
        let later = now + LINK_SLOW;
        pace.on_written(later, 7, 21);
        assert!(pace.wait(after(later, 1)).is_some(), "its oldest entry waits for as long");
        pace.on_receipt(after(later, 2), 8, 20);
        assert!(pace.wait(after(later, 2)).is_some(), "somebody else's receipt");
        pace.on_receipt(after(later, 3), 7, 20);
        pace.on_receipt(after(later, 3), 7, 21);
        assert_eq!(pace.wait(after(later, 4)), None);
    }

    #[test]
    fn an_entry_without_an_answer_is_given_up() {
        let (mut pace, now) = link(100);
        pace.on_written(now, 7, 20); // and its producer is closed
        let later = now + LINK_WATCH_MAX + Duration::from_nanos(1);
        pace.on_written(later, 9, 0);
        assert_eq!(pace.wait(after(later, 1)), None);
        pace.on_receipt(after(later, 50), 9, 0);
        assert_eq!(pace.wait(after(later, 51)), None);
    }
}
