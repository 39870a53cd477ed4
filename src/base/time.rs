//! Time as a value. Nothing below `shard` reads a clock: the core reads it once a turn and passes it down.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A point on the core's monotonic clock, in nanoseconds since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// A time that never comes.
    pub const FAR: Instant = Instant(u64::MAX);

    /// How long after `earlier` this is; zero when it is not later.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, rhs: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;
    fn sub(self, rhs: Duration) -> Instant {
        Instant(self.0.saturating_sub(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Wall-clock time: milliseconds since the Unix epoch, as Pulsar stores publish and event times. Negative: before 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

/// What a core knows of time during one turn: read once, passed down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Monotonic, for timers and latencies.
    pub now: Instant,
    /// Wall clock, for publish times.
    pub wall: UnixMillis,
}
