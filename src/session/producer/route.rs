//! Which partition a message goes to (protocol 11, API 3.1).

use crate::base::prng::Prng;
use crate::base::time::Instant;
use crate::wire::pulsar::hash;
use crate::wire::route::{HashingScheme, ProducerSpec, RoutingMode};

/// With batching, round robin stays on a partition for this many batch delays, so that its batches fill.
const DELAYS_PER_PARTITION: u64 = 10;

/// Chooses partitions for one session.
#[derive(Debug)]
pub(super) struct Router {
    hashing: HashingScheme,
    /// How messages without a key are spread.
    spread: Spread,
    partitions: u64,
}

#[derive(Debug)]
enum Spread {
    /// One partition for the session's life.
    Single(usize),
    /// One after another; the next one.
    Turns(u64),
    /// One after another, each for a span of time in nanoseconds, from a random start.
    Spans { start: u64, nanos: u64 },
}

impl Router {
    /// A router over `partitions` (at least 1).
    pub(super) fn new(spec: &ProducerSpec, partitions: u32, seed: u64) -> Self {
        let partitions = u64::from(partitions.max(1));
        let start = Prng::new(seed).below(partitions);
        let spread = match (spec.routing, spec.batching) {
            (RoutingMode::Single, _) => Spread::Single(start as usize),
            (RoutingMode::RoundRobin, None) => Spread::Turns(start),
            (RoutingMode::RoundRobin, Some(batching)) => {
                let delay = u64::try_from(batching.delay.as_nanos()).unwrap_or(u64::MAX);
                Spread::Spans { start, nanos: delay.saturating_mul(DELAYS_PER_PARTITION).max(1) }
            }
        };
        Router { hashing: spec.hashing, spread, partitions }
    }

    /// Partitions that messages go to.
    pub(super) fn partitions(&self) -> usize {
        self.partitions as usize
    }

    /// One partition more is ready to take messages.
    pub(super) fn grow(&mut self) {
        self.partitions += 1;
    }

    /// The partition of one message.
    pub(super) fn choose(&mut self, key: Option<&str>, now: Instant) -> usize {
        if self.partitions == 1 {
            return 0;
        }
        let number = match (key, &mut self.spread) {
            (Some(key), _) => match self.hashing {
                HashingScheme::JavaString => u64::from(hash::java_string(key)),
                HashingScheme::Murmur3 => u64::from(hash::murmur3_32(key.as_bytes())),
            },
            (None, Spread::Single(partition)) => return *partition,
            (None, Spread::Turns(next)) => {
                *next = next.wrapping_add(1);
                next.wrapping_sub(1)
            }
            (None, Spread::Spans { start, nanos }) => start.wrapping_add(now.0 / *nanos),
        };
        (number % self.partitions) as usize
    }
}
