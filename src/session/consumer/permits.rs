//! Permits of one leg (protocol 8.2): how many messages its broker may still send, and when to ask for more.
//!
//! Counted as the broker counts, per message of an entry: `granted` is what FLOW gave minus what arrived, and falls below
//! zero when a batch overshoots; `queued` arrived and waits for the client. Together they stay within the ceiling that
//! the session sets, and a top-up is due when they fall short of it by half.

use crate::base::limit::PERMITS_FIRST;

/// A mean follows its samples by an eighth at a time.
const MEAN_WEIGHT: u64 = 8;

/// The permits of one leg.
#[derive(Debug)]
pub(super) struct Permits {
    granted: i64,
    queued: i64,
    /// Grows from a small first grant, before sizes are known, to what the session allows.
    ramp: u32,
    arrived: u32,
    /// Mean bytes of a message; 0 before the first.
    mean_bytes: u64,
}

impl Default for Permits {
    fn default() -> Self {
        Permits { granted: 0, queued: 0, ramp: PERMITS_FIRST, arrived: 0, mean_bytes: 0 }
    }
}

impl Permits {
    /// An entry arrived for which the broker took `cost` permits.
    pub(super) fn on_entry(&mut self, cost: u32, bytes: usize) {
        self.granted -= i64::from(cost);
        self.arrived = self.arrived.saturating_add(cost);
        if self.arrived >= self.ramp {
            self.ramp = self.ramp.saturating_mul(2);
            self.arrived = 0;
        }
        let sample = (bytes as u64 / u64::from(cost.max(1))).max(1);
        self.mean_bytes = match self.mean_bytes {
            0 => sample,
            mean => ((mean * (MEAN_WEIGHT - 1) + sample) / MEAN_WEIGHT).max(1),
        };
    }

    /// What the leg may have under way, given its share of the session's messages and bytes. At least 1.
    pub(super) fn ceiling(&self, messages: u32, bytes: usize) -> u32 {
        let by_bytes = (bytes as u64).checked_div(self.mean_bytes).unwrap_or(u64::MAX);
        let by_bytes = u32::try_from(by_bytes).unwrap_or(u32::MAX);
        messages.min(self.ramp).min(by_bytes).max(1)
    }

    /// The FLOW that is due under a ceiling; 0: none.
    pub(super) fn top_up(&self, ceiling: u32) -> u32 {
        let room = i64::from(ceiling) - self.granted - self.queued;
        if ceiling == 0 || room < i64::from((ceiling / 2).max(1)) {
            return 0;
        }
        // The broker's counter is a Java int.
        room.min(i64::from(i32::MAX)) as u32
    }

    /// A FLOW was sent.
    pub(super) fn grant(&mut self, permits: u32) {
        self.granted += i64::from(permits);
    }

    /// Messages wait for the client.
    pub(super) fn enqueue(&mut self, messages: u32) {
        self.queued += i64::from(messages);
    }

    /// They wait no longer.
    pub(super) fn dequeue(&mut self, messages: u32) {
        self.queued -= i64::from(messages);
        debug_assert!(self.queued >= 0, "what leaves the queue was in it");
    }

    /// A new consumer at the broker starts without permits. What was learnt of sizes stays.
    pub(super) fn reset(&mut self) {
        (self.granted, self.queued) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(permits: &mut Permits, ceiling: u32) -> u32 {
        let more = permits.top_up(ceiling);
        permits.grant(more);
        more
    }

    /// Protocol 8.2: queue size 10 gives FLOW 10, then 5 after five messages.
    #[test]
    fn tops_up_at_half() {
        let mut permits = Permits::default();
        assert_eq!(flow(&mut permits, 10), 10);
        for expected in [0, 0, 0, 0, 5] {
            permits.on_entry(1, 100);
            assert_eq!(flow(&mut permits, 10), expected);
        }
    }

    #[test]
    fn the_first_grant_is_small_and_doubles() {
        let mut permits = Permits::default();
        let mut last = permits.ceiling(1000, usize::MAX);
        assert_eq!(last, PERMITS_FIRST);
        for _ in 0..10 {
            permits.on_entry(last, 100);
            let next = permits.ceiling(1000, usize::MAX);
            assert_eq!(next, 1000.min(last * 2));
            last = next;
        }
    }

    #[test]
    fn large_messages_mean_few_permits() {
        let mut permits = Permits::default();
        (0..100).for_each(|_| permits.on_entry(1, 1 << 20));
        assert_eq!(permits.ceiling(1000, 8 << 20), 8);
        (0..100).for_each(|_| permits.on_entry(1, 64 << 20));
        assert_eq!(permits.ceiling(1000, 8 << 20), 1);
        (0..200).for_each(|_| permits.on_entry(1, 100));
        assert_eq!(permits.ceiling(1000, 8 << 20), 1000);
    }

    #[test]
    fn a_batch_that_overshoots_is_paid_back() {
        let mut permits = Permits::default();
        assert_eq!(flow(&mut permits, 1), 1);
        permits.on_entry(10, 1000);
        permits.enqueue(9);
        assert_eq!(flow(&mut permits, 1), 1 + 9 - 9);
        permits.dequeue(9);
        assert_eq!(flow(&mut permits, 1), 9);
    }

    #[test]
    fn no_ceiling_no_flow() {
        assert_eq!(Permits::default().top_up(0), 0);
    }
}
