//! The one place that reads clocks. A core reads once a turn and passes the value down.

use crate::base::time::{Clock, Instant, UnixMillis};
use std::sync::OnceLock;
use std::time::SystemTime;

static START: OnceLock<std::time::Instant> = OnceLock::new();

/// Nanoseconds since the process first asked.
#[allow(clippy::disallowed_methods, reason = "the one reader of the monotonic clock")]
pub(crate) fn monotonic() -> Instant {
    let now = std::time::Instant::now();
    let start = START.get_or_init(|| now);
    Instant(u64::try_from(now.saturating_duration_since(*start).as_nanos()).unwrap_or(u64::MAX))
}

/// Both clocks.
#[allow(clippy::disallowed_methods, reason = "the one reader of the wall clock")]
pub(crate) fn read() -> Clock {
    let wall = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    };
    Clock { now: monotonic(), wall: UnixMillis(wall) }
}
