//! One connection to the server: opened by its protocol, then sending and receiving messages.

use std::collections::VecDeque;

use crate::kit::net::Net;
use crate::native_client::Native;
use crate::plan::{Plan, Protocol, Seat};
use crate::ws_client::Ws;

/// What a session saw in the bytes it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It may send, or will receive.
    Opened,
    /// The message of this number is stored, or refused.
    Answered { number: u64, stored: bool },
    /// A message came that was due at this time.
    Delivered { due: u64 },
}

enum Wire {
    Ws(Box<Ws>),
    Native(Box<Native>),
}

/// A connection.
pub(crate) struct Session {
    pub(crate) is_producer: bool,
    pub(crate) is_open: bool,
    /// When its opening was due; only a storm asks.
    pub(crate) due: u64,
    wire: Wire,
    pub(crate) sent: u64,
    /// When each unconfirmed message was due, oldest first; None: answered out of order.
    pending: VecDeque<Option<u64>>,
}

impl Session {
    pub(crate) fn new(plan: &Plan, seat: &Seat) -> Session {
        let wire = match plan.protocol {
            Protocol::Ws => Wire::Ws(Box::new(Ws::new(plan, seat))),
            Protocol::Pulsar => Wire::Native(Box::new(Native::new(plan, seat))),
        };
        let is_producer = seat.subscription.is_none();
        Session { is_producer, is_open: false, due: 0, wire, sent: 0, pending: VecDeque::new() }
    }

    /// Says the first words.
    pub(crate) fn hello(&self, out: &mut Vec<u8>) {
        match &self.wire {
            Wire::Ws(ws) => ws.hello(out),
            Wire::Native(native) => native.hello(out),
        }
    }

    /// Bytes came. Returns how many are done with.
    pub(crate) fn on_bytes(
        &mut self,
        net: &mut Net,
        id: usize,
        bytes: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<usize, String> {
        match &mut self.wire {
            Wire::Ws(ws) => ws.on_bytes(net, id, bytes, events),
            Wire::Native(native) => native.on_bytes(net, id, bytes, events),
        }
    }

    /// Messages without an answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.pending.len()
    }

    /// Sends the next message.
    pub(crate) fn send(&mut self, due: u64, out: &mut Vec<u8>) {
        match &mut self.wire {
            Wire::Ws(ws) => ws.send(self.sent, due, out),
            Wire::Native(native) => native.send(self.sent, due, out),
        }
        self.sent += 1;
        self.pending.push_back(Some(due));
    }

    /// When the message that was answered now had been due. `None`: it was not waited for.
    pub(crate) fn answered(&mut self, number: u64) -> Option<u64> {
        let oldest = self.sent - self.pending.len() as u64;
        if number == oldest
            && let Some(due) = self.pending.pop_front()
        {
            self.forget_answered();
            return due;
        }
        let place = usize::try_from(number.checked_sub(oldest)?).ok()?;
        self.pending.get_mut(place)?.take()
    }

    fn forget_answered(&mut self) {
        while self.pending.front() == Some(&None) {
            self.pending.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn answers_are_matched_in_any_order_and_once() {
        let mut session = crate::worker::tests::session();
        let mut out = Vec::new();
        (0..4).for_each(|number| session.send(100 + number, &mut out));
        assert_eq!(session.answered(1), Some(101));
        assert_eq!(session.answered(1), None);
        assert_eq!((session.answered(0), session.unanswered()), (Some(100), 2));
        assert_eq!((session.answered(0), session.answered(9)), (None, None));
        assert_eq!(
            (session.answered(2), session.answered(3), session.unanswered()),
            (Some(102), Some(103), 0)
        );
    }
}
