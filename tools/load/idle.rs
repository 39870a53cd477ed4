//! Sessions that do nothing.

use crate::kit::net::Net;
use crate::server::Watch;
use crate::worker::{TURN_MAX, Worker};

impl Worker<'_> {
    /// Lets the sessions rest until the window is over.
    pub(crate) fn rest(&mut self, net: &mut Net, watch: &mut Option<Watch>) -> Result<(), String> {
        loop {
            let now = self.now();
            if let Some(watch) = watch {
                watch.look(now, self.recorder.from, self.recorder.to)?;
            }
            if now >= self.recorder.to {
                return Ok(());
            }
            self.recorder.tick(now);
            self.turn(net, TURN_MAX)?;
        }
    }
}
