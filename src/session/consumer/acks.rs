//! Acknowledgements (API 4.6, protocol 8.4): which leg an id belongs to, when an entry is done, and ids of messages that
//! another session delivered.

use super::Consumer;
use super::bits::Bits;
use super::dead_letters::Letter;
use super::tracker::Place;
use crate::base::limit::{FOREIGN_BATCH_MESSAGES_MAX, FOREIGN_BATCHES_MAX};
use crate::session::Context;
use crate::wire::pulsar::message_id::MessageId;
use std::collections::VecDeque;

/// A batch of which another session delivered messages, and what is left of it.
#[derive(Debug)]
struct Batch {
    leg: usize,
    place: Place,
    left: Bits,
}

/// Batches acknowledged in part that are not tracked here, oldest first. Brokers may forget partial acknowledgements, so
/// that a batch completes only when somebody adds them up.
#[derive(Debug, Default)]
pub(super) struct ForeignBatches {
    batches: VecDeque<Batch>,
}

impl ForeignBatches {
    /// One message is acknowledged. What is left of the batch; empty: it is done, and forgotten here.
    fn ack(&mut self, leg: usize, place: Place, index: u32, size: u32) -> Bits {
        let known = self.batches.iter().rposition(|batch| batch.leg == leg && batch.place == place);
        let at = known.unwrap_or_else(|| {
            if self.batches.len() == FOREIGN_BATCHES_MAX {
                self.batches.pop_front();
            }
            self.batches.push_back(Batch { leg, place, left: Bits::full(size) });
            self.batches.len() - 1
        });
        let left = &mut self.batches[at].left;
        left.clear(index);
        if !left.is_empty() {
            return left.clone();
        }
        self.batches.remove(at);
        Bits::default()
    }
}

impl Consumer {
    /// The client acknowledges a message.
    pub(super) fn on_ack(&mut self, cx: &mut Context<'_>, id: &MessageId) {
        self.counters.acks += 1;
        if !self.take_anonymous(id)
            && let Some(leg) = self.leg_of(id)
            && self.legs[leg].persistent
        {
            let place = Place { ledger: id.ledger, entry: id.entry };
            let index = self.legs[leg].tracker.get(place).map(|tracked| tracked.bit(id.batch_index));
            match index {
                Some(Some(index)) => self.settle(leg, place, Some(index)),
                // A plain id names the whole batch; an index beyond the batch names nothing.
                Some(None) if id.batch_index < 0 => self.settle(leg, place, None),
                Some(None) => {}
                None => self.ack_foreign(leg, id),
            }
        }
        self.pump(cx);
    }

    /// The leg an id belongs to; `None` when that cannot be known. An ack at the wrong topic could disturb its cursor,
    /// so none is sent on a guess.
    pub(super) fn leg_of(&self, id: &MessageId) -> Option<usize> {
        if self.legs.len() == 1 {
            return Some(0);
        }
        if let Some(leg) = self.owners.get(id.ledger) {
            return Some(leg);
        }
        let mut same = (0..self.legs.len()).filter(|leg| self.legs[*leg].partition == id.partition);
        same.next().filter(|_| same.next().is_none())
    }

    /// Non-persistent topics give all messages one id: each ack, or nack, of it stands for the oldest.
    pub(super) fn take_anonymous(&mut self, id: &MessageId) -> bool {
        let freed = id.ledger == 0 && id.entry == 0 && self.anonymous.pop_front().is_some();
        self.outstanding -= usize::from(freed);
        freed
    }

    /// A message of a tracked entry is done, or all of them; when none is left the entry is acknowledged.
    pub(super) fn settle(&mut self, leg: usize, place: Place, index: Option<u32>) {
        let state = &mut self.legs[leg];
        let Some(tracked) = state.tracker.get_mut(place) else { return };
        let Some(index) = index else {
            let Some(tracked) = state.tracker.remove(place) else { return };
            tracked.places().for_each(|place| state.ack(place));
            self.forget(&tracked);
            self.drop_queued(leg, Some(place));
            return self.list(leg);
        };
        if tracked.out.clear(index) {
            self.outstanding -= 1;
        }
        tracked.left.clear(index);
        if let (Some(content), Some(dead)) = (tracked.take_candidate(index), &mut self.dead) {
            dead.dropped(&content);
        }
        if tracked.left.is_empty() {
            let Some(tracked) = state.tracker.remove(place) else { return };
            tracked.places().for_each(|place| state.ack(place));
            self.list(leg);
        }
    }

    /// Acknowledges a message that is not tracked here: another session delivered it, or a lost connection or a timeout
    /// made it the broker's again.
    fn ack_foreign(&mut self, leg: usize, id: &MessageId) {
        let place = Place { ledger: id.ledger, entry: id.entry };
        let first = id.first_chunk.map(|(ledger, entry)| Place { ledger, entry });
        let index = u32::try_from(id.batch_index);
        match (index, u32::try_from(id.batch_size)) {
            (Err(_), _) | (Ok(0), Ok(1)) => {
                first.into_iter().chain([place]).for_each(|place| self.legs[leg].ack(place));
                self.list(leg);
            }
            (Ok(index), Ok(size)) => self.ack_foreign_index(leg, place, index, size),
            (Ok(_), Err(_)) => {}
        }
    }

    /// A producer's id of a batched message gives its size as 0: then nothing can be told, and nothing is sent.
    fn ack_foreign_index(&mut self, leg: usize, place: Place, index: u32, size: u32) {
        if index >= size || size > FOREIGN_BATCH_MESSAGES_MAX {
            return;
        }
        let left = self.foreign.ack(leg, place, index, size);
        if left.is_empty() {
            self.legs[leg].ack(place);
        } else {
            self.legs[leg].ack_part(place, &left);
        }
        self.list(leg);
    }

    /// A dead letter is stored: its original is done.
    pub(super) fn on_stored(&mut self, letter: &Letter) {
        let Letter { leg, place, index, size, birth } = *letter;
        let tracked = self.legs[leg].tracker.get(place).is_some_and(|tracked| tracked.birth == birth);
        if tracked {
            self.settle(leg, place, Some(index));
        } else if size > 1 {
            self.ack_foreign_index(leg, place, index, size);
        } else {
            self.legs[leg].ack(place);
            self.list(leg);
        }
    }
}
