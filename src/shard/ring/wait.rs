//! How long an enter waits. A time-out that an enter carries is armed and disarmed with each enter: on a virtual machine
//! that costs more than the message it waits for. So a core that is awake has one timer under way in its ring, the tick,
//! over as many turns as it lasts; only what is due before it is waited for with a time-out.

use super::{Op, Ring, plain};
use io_uring::opcode;
use io_uring::types::Timespec;
use std::time::Duration;

/// From arming the tick to its completion.
pub(crate) const TICK: Duration = Duration::from_millis(2);

static TICK_TIME: Timespec = Timespec::new().nsec(TICK.subsec_nanos());

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
    /// Asks for one completion a [`TICK`] from now.
    pub(crate) fn tick(&mut self) {
        let time: *const Timespec = &raw const TICK_TIME;
        self.push(opcode::Timeout::new(time).build().user_data(plain(Op::Tick)));
    }
}
