//! Sessions that are opened and at once closed again, by a reset: what a deployment does to its gateway when it restarts.

use std::time::Duration;

use crate::kit::net::Net;
use crate::plan::{Pacing, Seat};
use crate::server::Watch;
use crate::worker::{TURN_MAX, Worker};

/// Sessions being opened at a time in an open loop. Above, one that is due is counted as unsent.
const OPENING_MAX: usize = 4096;

impl Worker<'_> {
    /// Opens and closes until the window is over.
    pub(crate) fn storm(&mut self, net: &mut Net, watch: &mut Option<Watch>) -> Result<(), String> {
        let workers = self.plan.workers();
        let mut begun: u64 = 0;
        loop {
            let now = self.now();
            if let Some(watch) = watch {
                watch.look(now, self.recorder.from, self.recorder.to)?;
            }
            if now >= self.recorder.to {
                return Ok(());
            }
            self.recorder.tick(now);
            let mut wait = TURN_MAX;
            loop {
                let place = begun * workers as u64 + self.number as u64;
                let due = match self.plan.pacing {
                    Pacing::Closed { depth } if self.opening < depth => self.now(),
                    Pacing::Closed { .. } => break,
                    Pacing::Open { rate } => (place as f64 * 1e9 / rate) as u64,
                };
                if due > self.now() {
                    wait = wait.min(Duration::from_nanos(due - self.now()));
                    break;
                }
                begun += 1;
                if self.opening >= OPENING_MAX {
                    self.recorder.unsent();
                    continue;
                }
                let seat = Seat { subscription: None, topic: self.plan.topic_of(place as usize) };
                let id = self.open(net, &seat)?;
                if let Some(session) = &mut self.sessions[id] {
                    session.due = due;
                }
            }
            self.turn(net, wait)?;
        }
    }

    /// It is open: measured, and closed.
    pub(crate) fn on_stormed(&mut self, net: &mut Net, id: usize, now: u64) {
        if let Some(session) = self.sessions[id].take() {
            self.recorder.done(session.due, now);
        }
        net.close(id, true);
    }
}
