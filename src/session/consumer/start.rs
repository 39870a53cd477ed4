//! Where a non-durable subscription begins, at first and after each reconnection, and which messages lie before that
//! (protocol 9.2).

use super::tracker::Place;
use crate::wire::pulsar::message_id::MessageId;
use crate::wire::pulsar::proto::MessageIdData;
use crate::wire::route::StartPosition;

/// A point within a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    place: Place,
    /// In a batch; -1: the entry as a whole.
    index: i32,
    /// The message at the point is wanted too.
    inclusive: bool,
}

/// Start of one leg.
#[derive(Debug)]
pub(super) struct Start {
    durable: bool,
    origin: Option<StartPosition>,
    /// What the present subscription was told: earlier messages are not wanted.
    from: Option<Point>,
    /// Where the next one begins: after what was handed to the client last, or at the first message that waited.
    next: Option<Point>,
}

impl Start {
    /// A durable subscription: the broker knows where to go on.
    pub(super) fn durable() -> Start {
        Start { durable: true, origin: None, from: None, next: None }
    }

    /// A non-durable one. Without `origin` the broker follows `initialPosition`.
    pub(super) fn non_durable(origin: Option<StartPosition>) -> Start {
        Start { durable: false, origin, from: None, next: None }
    }

    /// A message was handed to the client; -1: not in a batch.
    pub(super) fn on_handed(&mut self, place: Place, index: i32) {
        if !self.durable {
            self.next = Some(Point { place, index, inclusive: false });
        }
    }

    /// The subscription is gone, and this message had been waiting for the client.
    pub(super) fn on_lost(&mut self, place: Place, index: i32) {
        if !self.durable && self.next.is_none() {
            self.next = Some(Point { place, index, inclusive: true });
        }
    }

    /// The start id of the next SUBSCRIBE.
    pub(super) fn subscribe(&mut self) -> Option<MessageIdData> {
        if self.next.is_some() {
            self.from = self.next;
        } else if let Some(StartPosition::After(id)) = &self.origin {
            let place = Place { ledger: id.ledger, entry: id.entry };
            self.from = Some(Point { place, index: id.batch_index, inclusive: false });
        }
        // The official Java client always writes the index.
        let id = |(ledger_id, entry_id), index| MessageIdData {
            ledger_id,
            entry_id,
            batch_index: Some(index),
            ..MessageIdData::default()
        };
        match (self.from, &self.origin) {
            (Some(from), _) => Some(id((from.place.ledger, from.place.entry), from.index)),
            (None, Some(StartPosition::Earliest)) => Some(id(MessageId::EARLIEST, -1)),
            (None, Some(StartPosition::Latest)) => Some(id(MessageId::LATEST, -1)),
            (None, _) => None,
        }
    }

    /// True when no message of the entry is wanted: the broker begins with the whole entry of the start id.
    pub(super) fn skips(&self, place: Place, is_batch: bool) -> bool {
        self.from.is_some_and(|from| {
            let same = from.place == place && !is_batch && !from.inclusive;
            from.place.ledger == place.ledger && (place.entry < from.place.entry || same)
        })
    }

    /// How many messages at the head of a batch are not wanted.
    pub(super) fn skipped_in_batch(&self, place: Place) -> u32 {
        match self.from {
            Some(from) if from.place == place => {
                let first = if from.inclusive { from.index } else { from.index.saturating_add(1) };
                u32::try_from(first).unwrap_or(0)
            }
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(ledger: u64, entry: u64) -> Place {
        Place { ledger, entry }
    }

    fn shown(id: Option<MessageIdData>) -> Option<(u64, u64, Option<i32>)> {
        id.map(|id| (id.ledger_id, id.entry_id, id.batch_index))
    }

    #[test]
    fn a_durable_subscription_names_no_start() {
        let mut start = Start::durable();
        start.on_handed(place(1, 1), -1);
        start.on_lost(place(1, 2), -1);
        assert_eq!(start.subscribe(), None);
        assert!(!start.skips(place(0, 0), false));
    }

    #[test]
    fn the_ends_of_the_topic() {
        let mut earliest = Start::non_durable(Some(StartPosition::Earliest));
        assert_eq!(shown(earliest.subscribe()), Some((u64::MAX, u64::MAX, Some(-1))));
        assert!(!earliest.skips(place(1, 0), false));
        let mut latest = Start::non_durable(Some(StartPosition::Latest));
        assert_eq!(shown(latest.subscribe()), Some((i64::MAX as u64, i64::MAX as u64, Some(-1))));
        assert_eq!(Start::non_durable(None).subscribe(), None);
    }

    #[test]
    fn a_concrete_start_is_exclusive() {
        let mut start = Start::non_durable(Some(StartPosition::After(MessageId::plain(3, 5))));
        assert_eq!(shown(start.subscribe()), Some((3, 5, Some(-1))));
        let skipped = [(3, 4), (3, 5), (3, 6), (2, 9), (4, 0)].map(|(l, e)| start.skips(place(l, e), false));
        assert_eq!(skipped, [true, true, false, false, false]);
        // As the official client does: a plain id before a batch is before its first message.
        assert!(!start.skips(place(3, 5), true));
        assert_eq!(start.skipped_in_batch(place(3, 5)), 0);
    }

    #[test]
    fn inside_a_batch() {
        let id = MessageId { batch_index: 1, batch_size: 5, ..MessageId::plain(3, 5) };
        let mut start = Start::non_durable(Some(StartPosition::After(id)));
        assert_eq!(shown(start.subscribe()), Some((3, 5, Some(1))));
        assert!(!start.skips(place(3, 5), true));
        assert_eq!((start.skipped_in_batch(place(3, 5)), start.skipped_in_batch(place(3, 6))), (2, 0));
    }

    #[test]
    fn reconnecting_goes_on_after_what_was_handed_over() {
        let mut start = Start::non_durable(Some(StartPosition::Latest));
        start.subscribe();
        start.on_lost(place(1, 4), 2);
        assert_eq!(shown(start.subscribe()), Some((1, 4, Some(2))));
        assert!(!start.skips(place(1, 4), false));
        assert_eq!(start.skipped_in_batch(place(1, 4)), 2);
        start.on_handed(place(1, 6), -1);
        start.on_lost(place(1, 7), -1);
        assert!(!start.skips(place(1, 6), false), "the filter is that of the subscription");
        assert_eq!(shown(start.subscribe()), Some((1, 6, Some(-1))));
        assert!(start.skips(place(1, 6), false) && !start.skips(place(1, 7), false));
    }
}
