//! How a core stops: accept no more, let the handler close what is open, wait until it is quiet or the time is up, then
//! take down the rest.

use crate::base::time::Instant;
use crate::shard::links::{Handler, Links};
use std::time::Duration;

/// After the rest was aborted the kernel is given this long to let go of it.
const LET_GO_MAX: Duration = Duration::from_secs(1);

enum Stage {
    Running,
    Draining { until: Instant },
    Aborting { until: Instant },
}

/// Progress of one core's stop.
pub(crate) struct Ending {
    stage: Stage,
    spread: Duration,
    time_max: Duration,
    /// The stage is new: `step` may have more to say at once.
    fresh: bool,
}

/// What the driver is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    GoOn,
    /// Once, at the beginning of the stop.
    StopAccepting,
    /// Leave the loop as soon as nothing is left in the kernel.
    LeaveWhenStill,
    /// Leave the loop.
    Leave,
}

impl Ending {
    pub(crate) fn new(spread: Duration, time_max: Duration) -> Ending {
        Ending { stage: Stage::Running, spread, time_max, fresh: false }
    }

    /// To be asked once a turn.
    pub(crate) fn step<H: Handler>(&mut self, stopping: bool, links: &mut Links, handler: &mut H) -> Advice {
        let now = links.clock().now;
        self.fresh = matches!(self.stage, Stage::Running) && stopping;
        match self.stage {
            Stage::Running if stopping => {
                self.stage = Stage::Draining { until: now + self.time_max };
                handler.on_stop(links, self.spread);
                Advice::StopAccepting
            }
            Stage::Running => Advice::GoOn,
            Stage::Draining { until } if now >= until || (handler.is_quiet() && !links.is_ending()) => {
                self.stage = Stage::Aborting { until: now + LET_GO_MAX };
                // From here on nothing new begins, whatever the handler does about its losses.
                links.connections_max = 0;
                links.abort_all();
                Advice::LeaveWhenStill
            }
            Stage::Draining { .. } => Advice::GoOn,
            Stage::Aborting { until } if now >= until => Advice::Leave,
            Stage::Aborting { .. } => Advice::LeaveWhenStill,
        }
    }

    /// When `step` has something to say without any event.
    pub(crate) fn deadline(&self) -> Instant {
        match self.stage {
            _ if self.fresh => Instant(0),
            Stage::Running => Instant::FAR,
            Stage::Draining { until } | Stage::Aborting { until } => until,
        }
    }
}
