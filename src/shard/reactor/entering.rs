//! Entering the ring, until something came that somebody's turn is due for.

use super::Reactor;
use crate::shard::links::Handler;
use crate::shard::ring::{Event, Op, Wait};
use std::io;

/// Times a turn waits again when nothing came but that sends ended.
const SENT_ROUNDS_MAX: usize = 4;

impl Reactor {
    /// Submits all that was asked for, and waits for what is news to the handler, or to us.
    pub(super) fn wait<H: Handler>(
        &mut self,
        handler: &mut H,
        wait: Wait,
        events: &mut Vec<Event>,
    ) -> io::Result<()> {
        self.enter(wait, events)?;
        for _ in 0..SENT_ROUNDS_MAX {
            // A time-out would begin anew; the tick goes on.
            if wait != Wait::Completion || !self.only_sent(handler, events) {
                break;
            }
            self.enter(wait, events)?;
        }
        Ok(())
    }

    /// Submits, waits if there is nothing else to do, and takes what completed.
    fn enter(&mut self, wait: Wait, events: &mut Vec<Event>) -> io::Result<()> {
        let may_wait = !self.has_work() && self.mesh.begin_to_wait(self.shard);
        let entered = self.ring.enter(if may_wait { wait } else { Wait::Not });
        self.mesh.end_to_wait(self.shard);
        entered?;
        self.ring.reap(events);
        Ok(())
    }

    /// Sends usually end while they are submitted, and the enter that was to wait for clients comes back with nothing else (but for
    /// the small ones, for which the ring itself does not come back). True: so it was, they are done with, and nobody's turn has come.
    fn only_sent<H: Handler>(&mut self, handler: &mut H, events: &mut Vec<Event>) -> bool {
        if events.is_empty() || events.iter().any(|event| event.op != Op::Send) || self.has_work() {
            return false;
        }
        self.links.stats.completions += events.len() as u64;
        let mut matters = false;
        for event in events.drain(..) {
            matters |= event.result < 0 || self.links.awaits_send(event.key());
            self.sent(handler, &event);
        }
        while !matters && let Some(key) = self.links.next_dirty() {
            while let Some(wish) = self.links.step(key) {
                self.carry_out_wish(handler, key, wish);
            }
        }
        !matters
    }

    pub(super) fn sent<H: Handler>(&mut self, handler: &mut H, event: &Event) {
        let (wire, result) = self.ring.take_sent(event);
        self.links.sent(handler, event.key(), wire, result);
    }
}
