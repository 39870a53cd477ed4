//! When a session's timer is armed for. Timers cannot be disarmed, and a session has near deadlines (a batch, in
//! milliseconds) beside far ones (the send timeout, in tens of seconds): arming the far one again after each near one
//! would fill the wheel.

use crate::base::time::Instant;

/// The armed timers of one session that it knows of: the next one, and one after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alarm {
    at: Instant,
    later: Instant,
}

impl Default for Alarm {
    fn default() -> Self {
        Alarm { at: Instant::FAR, later: Instant::FAR }
    }
}

impl Alarm {
    /// Something is due at `at`. True: a timer is to be armed for it, none is that early.
    pub(super) fn wants(&mut self, at: Instant) -> bool {
        let earlier = at < self.at;
        if earlier {
            (self.at, self.later) = (at, self.at);
        }
        earlier
    }

    /// A timer fired. False: it is one that was forgotten, the one that counts is still to come.
    pub(super) fn fires(&mut self, now: Instant) -> bool {
        let counts = now >= self.at;
        if counts {
            (self.at, self.later) = (self.later, Instant::FAR);
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn near_deadlines_do_not_arm_the_far_one_again_and_again() {
        let mut alarm = Alarm::default();
        let (mut armed, mut fired) = (Vec::new(), 0);
        let far = Duration::from_secs(30);
        let mut now = Instant(1);
        for _ in 0..100_000 {
            // A message: its batch is due in a millisecond, its confirmation in 30 seconds.
            for at in [now + Duration::from_millis(1), now + far] {
                if alarm.wants(at) {
                    armed.push(at);
                }
            }
            now = now + Duration::from_millis(1);
            let due = armed.iter().filter(|at| **at <= now).count();
            armed.retain(|at| *at > now);
            for _ in 0..due {
                fired += usize::from(alarm.fires(now));
            }
            if alarm.wants(now + far) {
                armed.push(now + far);
            }
            assert!(armed.len() <= 2, "{armed:?}");
            assert!(armed.iter().any(|at| *at <= now + far), "the far one is never forgotten");
        }
        assert!(fired >= 100_000);
    }

    #[test]
    fn a_forgotten_timer_does_nothing() {
        let mut alarm = Alarm::default();
        assert!(alarm.wants(Instant(30)) && alarm.wants(Instant(20)) && alarm.wants(Instant(10)));
        assert!(!alarm.wants(Instant(15)));
        assert!(alarm.fires(Instant(10)) && !alarm.fires(Instant(15)) && alarm.fires(Instant(20)));
        assert!(!alarm.fires(Instant(30)), "30 was forgotten");
        assert!(alarm.wants(Instant(31)));
    }
}
