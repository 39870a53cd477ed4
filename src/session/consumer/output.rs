//! What a consumer session wants done, and when acknowledgements go: each ACK costs its broker about as much as a message.
//! The first one after a quiet time leaves at once, those that follow are collected. They are sent together when that time
//! is over, when as many wait as one command holds, and before anything that they must not come after: requests to send
//! again, the end of the session or the subscription, and the first permits of a new consumer.

use super::dead_letters::DeadLetters;
use super::{Consumer, Unsubscription};
use crate::base::limit::SESSION_RECEIVE_BYTES_MAX;
use crate::base::time::Instant;
use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto::MessageIdData;
use std::time::Duration;

/// What the session wants done.
#[derive(Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are commands, and none is kept")]
pub enum Output {
    /// Send this command on the leg's link; its `consumer_id` is filled in. (FLOW, ACK, REDELIVER.)
    ToBroker {
        /// Which leg.
        leg: usize,
        /// The command.
        command: Command,
    },
    /// Unsubscribe every leg at its broker and report to [`Consumer::on_unsubscribed`].
    Unsubscribe,
    /// A dead letter waits: attach [`Consumer::dead_letters`] to its topic's broker.
    OpenDeadLetters,
}

/// When acks go, and which legs' wait for that.
#[derive(Debug)]
pub(super) struct Grouping {
    time: Duration,
    /// The turn in which acks were last sent.
    sent: Option<Instant>,
    /// Legs with acks that wait, each once.
    waiting: Vec<usize>,
}

impl Grouping {
    pub(super) fn new(time: Duration) -> Grouping {
        Grouping { time, sent: None, waiting: Vec::new() }
    }

    /// Acks may be sent now; those of several legs in the same turn.
    fn is_open(&self, now: Instant) -> bool {
        self.sent.is_none_or(|sent| now == sent || now >= sent + self.time)
    }

    /// When acks that wait are to be sent.
    pub(super) fn next(&self) -> Option<Instant> {
        self.sent.filter(|_| !self.waiting.is_empty()).map(|sent| sent + self.time)
    }

    /// The leg has nobody to send to.
    pub(super) fn forget(&mut self, leg: usize) {
        self.waiting.retain(|waiting| *waiting != leg);
    }
}

impl Consumer {
    /// What the session wants done; to `None` after every call of an event. What is collected in one turn comes out as one
    /// command: call this at the end of the turn. `ids`: an empty list; an ACK takes its room and is to give it back.
    pub fn poll_output(&mut self, now: Instant, ids: &mut Vec<MessageIdData>) -> Option<Output> {
        while let Some(leg) = self.listed.last().copied() {
            let (ceiling, acks_go) = (self.ceiling(leg), self.grouping.is_open(now));
            let state = &mut self.legs[leg];
            if let Some(command) = state.poll(ceiling, acks_go, ids) {
                if matches!(command, Command::Ack(_)) {
                    self.grouping.sent = Some(now);
                }
                return Some(Output::ToBroker { leg, command });
            }
            state.listed = false;
            self.listed.pop();
            if state.acks_wait() && !std::mem::replace(&mut state.waiting, true) {
                self.grouping.waiting.push(leg);
            }
        }
        // What was sent before its time is not waited for.
        let legs = &mut self.legs;
        while let Some(leg) = self.grouping.waiting.pop_if(|leg| !legs[*leg].acks_wait()) {
            legs[leg].waiting = false;
        }
        if self.dead.as_mut().is_some_and(DeadLetters::poll_open) {
            return Some(Output::OpenDeadLetters);
        }
        if self.unsubscription == Unsubscription::Asked {
            self.unsubscription = Unsubscription::UnderWay;
            return Some(Output::Unsubscribe);
        }
        None
    }

    /// True when [`Consumer::poll_output`] would give something.
    pub fn has_output(&self, now: Instant) -> bool {
        let acks_go = self.grouping.is_open(now);
        self.listed.iter().any(|leg| self.legs[*leg].has_output(self.ceiling(*leg), acks_go))
            || self.dead.as_ref().is_some_and(DeadLetters::wants_open)
            || self.unsubscription == Unsubscription::Asked
    }

    /// Acks that wait are to go at once: the session ends, or what comes next must find them done.
    pub fn flush_acks(&mut self) {
        for leg in 0..self.legs.len() {
            self.legs[leg].hurry_acks();
            self.list(leg);
        }
    }

    /// Lists the legs whose acks have waited long enough.
    pub(super) fn list_waiting(&mut self, now: Instant) {
        if self.grouping.is_open(now) {
            while let Some(leg) = self.grouping.waiting.pop() {
                self.legs[leg].waiting = false;
                self.list(leg);
            }
        }
    }

    /// Notes that a leg may have output.
    pub(super) fn list(&mut self, leg: usize) {
        if !std::mem::replace(&mut self.legs[leg].listed, true) {
            self.listed.push(leg);
        }
    }

    /// Messages a leg may have under way: its share of the session's, and in pull mode what the client asked for.
    fn ceiling(&self, leg: usize) -> u32 {
        if self.unsubscription != Unsubscription::None {
            return 0;
        }
        let legs = self.legs.len();
        let messages = self.settings.window / u32::try_from(legs).unwrap_or(u32::MAX);
        let ceiling = self.legs[leg].permits.ceiling(messages.max(1), SESSION_RECEIVE_BYTES_MAX / legs);
        match self.settings.pull {
            true => ceiling.min(u32::try_from(self.pull_permits).unwrap_or(u32::MAX)),
            false => ceiling,
        }
    }
}
