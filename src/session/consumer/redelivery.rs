//! Giving messages back: negative acks in their time, and messages the client did not settle in time (API 4.1; protocol
//! 8.5). Shared subscriptions ask for single entries, the others for everything that is not acknowledged.

use super::Consumer;
use super::dead_letters::{Letter, Origin};
use super::deadlines::Due;
use super::leg::Leg;
use super::tracker::{Place, Tracked};
use crate::base::limit::SESSION_UNSETTLED_MAX;
use crate::base::time::Instant;
use crate::session::Context;
use crate::wire::pulsar::message_id::MessageId;

/// The stay of the entry that a timer was armed for, if it lasts.
fn tracked<'a>(legs: &'a [Leg], due: &Due) -> Option<&'a Tracked> {
    legs[due.leg].tracker.get(due.place).filter(|tracked| tracked.birth == due.birth)
}

/// True as long as the client holds the message.
pub(super) fn is_out(legs: &[Leg], due: &Due) -> bool {
    tracked(legs, due).is_some_and(|tracked| tracked.out.get(due.index))
}

/// True as long as the message is not acknowledged.
fn is_left(legs: &[Leg], due: &Due) -> bool {
    due.birth == Due::STRANGER || tracked(legs, due).is_some_and(|tracked| tracked.left.get(due.index))
}

impl Consumer {
    /// The client gives a message back.
    pub(super) fn on_nack(&mut self, cx: &mut Context<'_>, id: &MessageId) {
        if self.take_anonymous(id) {
            return self.pump(cx);
        }
        let Some(leg) = self.leg_of(id) else { return };
        let place = Place { ledger: id.ledger, entry: id.entry };
        let Some(tracked) = self.legs[leg].tracker.get_mut(place) else {
            // Exclusive and Failover: only everything could be asked for, and what we do not hold comes again anyway.
            if self.settings.shared() && self.legs[leg].persistent && self.nacks.len() < SESSION_UNSETTLED_MAX
            {
                self.give_back_later(cx.clock.now, leg, place, 0, Due::STRANGER);
            }
            return;
        };
        let birth = tracked.birth;
        let bits = match tracked.bit(id.batch_index) {
            Some(bit) => bit..bit + 1,
            // The id names a batch as a whole.
            None if id.batch_index < 0 => 0..tracked.size,
            None => return,
        };
        for index in bits {
            let tracked = self.legs[leg].tracker.get_mut(place);
            if tracked.is_some_and(|tracked| tracked.out.clear(index)) {
                self.outstanding -= 1;
                self.give_back_later(cx.clock.now, leg, place, index, birth);
            }
        }
        self.pump(cx);
    }

    /// Arms the redelivery of a message that nobody holds.
    pub(super) fn give_back_later(&mut self, now: Instant, leg: usize, place: Place, index: u32, birth: u64) {
        let due = Due { at: now + self.settings.nack_delay, leg, place, index, birth };
        let legs = &self.legs;
        self.nacks.push(due, |due| is_left(legs, due));
    }

    /// Gives back what is due.
    pub(super) fn on_due(&mut self, cx: &mut Context<'_>) {
        let now = cx.clock.now;
        while let Some(due) = self.nacks.pop(now) {
            if is_left(&self.legs, &due) && !is_out(&self.legs, &due) {
                self.give_back(cx, &due);
            }
        }
        while let Some(due) = self.timeouts.pop(now) {
            if is_out(&self.legs, &due) {
                self.give_back(cx, &due);
            }
        }
        let legs = &self.legs;
        self.nacks.trim(|due| is_left(legs, due));
        self.timeouts.trim(|due| is_out(legs, due));
        while self.anonymous.pop_front_if(|(at, _)| *at <= now).is_some() {
            self.outstanding -= 1;
        }
        self.chunks.expire(now);
        self.give_up_chunks(now);
        self.pump(cx);
    }

    /// Chunks of messages that will not become whole go back, where single entries can.
    pub(super) fn give_up_chunks(&mut self, now: Instant) {
        while let Some((leg, place)) = self.chunks.poll_given_up() {
            if self.settings.shared() && self.nacks.len() < SESSION_UNSETTLED_MAX {
                self.give_back_later(now, leg, place, 0, Due::STRANGER);
            }
        }
    }

    /// When something is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let anonymous = self.anonymous.front().map(|(at, _)| *at).filter(|at| *at != Instant::FAR);
        [self.nacks.next(), self.timeouts.next(), self.chunks.next(), anonymous].into_iter().flatten().min()
    }

    /// Gives one message back to the broker, with everything that goes with it; a candidate goes to the dead letters.
    fn give_back(&mut self, cx: &Context<'_>, due: &Due) {
        let Due { leg, place, .. } = *due;
        self.list(leg);
        if !self.settings.shared() {
            return self.give_all_back(leg);
        }
        if due.birth != Due::STRANGER {
            if self.bury_candidate(cx, due) {
                return;
            }
            let Some(tracked) = self.legs[leg].tracker.remove(place) else { return };
            self.forget(&tracked);
            self.drop_queued(leg, Some(place));
            for place in tracked.places() {
                self.legs[leg].redeliver(place);
            }
        } else {
            self.legs[leg].redeliver(place);
        }
    }

    /// Moves a message whose content was kept to the dead letters.
    fn bury_candidate(&mut self, cx: &Context<'_>, due: &Due) -> bool {
        let Due { leg, place, index, birth, .. } = *due;
        let state = &mut self.legs[leg];
        let (Some(tracked), Some(dead)) = (state.tracker.get_mut(place), &mut self.dead) else {
            return false;
        };
        let Some(content) = tracked.take_candidate(index) else { return false };
        if tracked.out.clear(index) {
            self.outstanding -= 1;
        }
        dead.dropped(&content);
        let letter = Letter { leg, place, index, size: tracked.size, birth };
        let (topic, subscription) = (&state.topic, &self.settings.subscription);
        let origin = Origin { topic, subscription, partition: state.partition, letter };
        let mut properties = content.properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        dead.post(
            cx.clock,
            &origin,
            &content.payload,
            content.key.as_deref(),
            content.event_time,
            &mut properties,
        )
    }

    /// Exclusive and Failover: the broker sends again all that is not acknowledged, so nothing of it is ours any more.
    fn give_all_back(&mut self, leg: usize) {
        self.legs[leg].redeliver_all();
        self.forget_leg(leg);
    }

    /// Forgets what a leg delivered, what waits of it and what was to be given back: all of it comes again.
    pub(super) fn forget_leg(&mut self, leg: usize) {
        let mut tracker = std::mem::take(&mut self.legs[leg].tracker);
        for tracked in tracker.drain() {
            self.forget(&tracked);
        }
        self.legs[leg].tracker = tracker;
        self.drop_queued(leg, None);
        self.nacks.forget_leg(leg);
        self.chunks.forget_leg(leg);
    }

    /// An entry is tracked no longer: its messages leave the window, its candidates are dropped.
    pub(super) fn forget(&mut self, tracked: &Tracked) {
        self.outstanding -= tracked.out.count() as usize;
        if let (Some(extra), Some(dead)) = (&tracked.extra, &mut self.dead) {
            extra.candidates.iter().for_each(|(_, content)| dead.dropped(content));
        }
    }

    /// Drops what waits of a leg, or of one of its entries.
    pub(super) fn drop_queued(&mut self, leg: usize, place: Option<Place>) {
        let permits = &mut self.legs[leg].permits;
        let bytes = &mut self.queue_bytes;
        self.queue.retain(|queued| {
            let goes = queued.head.leg == leg && place.is_none_or(|place| queued.head.place == place);
            if goes {
                permits.dequeue(queued.messages());
                *bytes -= queued.size();
            }
            !goes
        });
    }
}
