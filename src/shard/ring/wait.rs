//! How long an enter waits. A time-out that an enter carries is armed and disarmed with each enter: on a virtual machine
//! that costs more than the message it waits for. So a core that is awake has one timer under way in its ring, the tick,
//! over as many turns as it lasts; only what is due before it is waited for with a time-out.

use super::{Op, Ring, plain};
use io_uring::opcode;
use io_uring::types::Timespec;
use std::time::Duration;

/// From arming the tick to its completion. Each one wakes a core that may have nothing else to do: at a few hundred messages a
/// second a short one costs as much as the messages. Well below what the watchdog takes for a stall.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// How long to wait for a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all.
    Not,
    /// Until there is one: the tick is one.
    Completion,
    /// At most so long.
    AtMost(Duration),
}

impl Ring {
    /// Asks for one completion `after` from now: a [`TICK`], or what is left until something is due. One at a time.
    pub(crate) fn tick(&mut self, after: Duration) {
        *self.tick_time = Timespec::from(after);
        let time: *const Timespec = &raw const *self.tick_time;
        self.push(opcode::Timeout::new(time).build().user_data(plain(Op::Tick)));
    }
}
