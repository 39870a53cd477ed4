//! Scrubbing: what was settled long ago and is seldom read is read through now and then, slowly, so that rot is found while there
//! may still be a copy elsewhere (broker 5.8).

use std::time::Duration;

use super::{Host, HostState};
use crate::base::limit::{SCRUB_BYTES_PER_SECOND, SCRUB_DELAY, SCRUB_PIECE_PAUSE_MIN};
use crate::base::time::{Clock, Instant};

/// How far a pass is.
#[derive(Debug)]
pub(super) struct Scrub {
    /// From one pass to the next; zero: never.
    every: Duration,
    /// When the next piece is read. `None`: one is being read, or never.
    pub(super) due: Option<Instant>,
    /// When this pass began.
    begun: Option<Instant>,
    /// Bytes that this pass read, and what was found damaged before it.
    pass: (u64, u64),
    /// Bytes read since the process began.
    pub(super) bytes: u64,
}

impl Scrub {
    /// The first pass begins a while after the start: that has other things to read.
    pub(super) fn new(now: Instant, every: Duration) -> Scrub {
        let due = (!every.is_zero()).then(|| now + SCRUB_DELAY);
        Scrub { every, due, begun: None, pass: (0, 0), bytes: 0 }
    }

    /// A piece was read: the next one comes when this one's share of the rate is over.
    pub(super) fn on_scrubbed(&mut self, now: Instant, bytes: u64) {
        self.bytes += bytes;
        self.pass.0 += bytes;
        let share = Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / SCRUB_BYTES_PER_SECOND);
        self.due = Some(now + share.max(SCRUB_PIECE_PAUSE_MIN));
    }
}

impl Host {
    /// Reads the next piece, or ends the pass.
    pub(super) fn scrub(&mut self, clock: Clock) {
        let begun = *self.scrub.begun.get_or_insert_with(|| {
            self.scrub.pass = (0, self.damaged);
            clock.now
        });
        self.scrub.due = None;
        // A disk that is behind has better things to do.
        if self.state != HostState::Open || self.log.is_behind() {
            self.scrub.due = Some(clock.now + SCRUB_DELAY);
            return;
        }
        if self.log.scrub_step() {
            return;
        }
        let (bytes, before) = self.scrub.pass;
        let (store, found) = (self.config.store.0, self.damaged.saturating_sub(before));
        if found > 0 {
            log::error!("store {store}: of {bytes} bytes in segments, {found} entries were found damaged");
        } else if bytes > 0 {
            log::info!("store {store}: {bytes} bytes in segments were read through, all sound");
        }
        self.scrub.begun = None;
        self.scrub.due = Some((begun + self.scrub.every).max(clock.now + SCRUB_DELAY));
    }
}
