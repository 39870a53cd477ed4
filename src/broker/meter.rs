//! Counters of messages and bytes, and their rates over the last minute or so.

use std::time::Duration;

use crate::broker::stats::Flow;

/// Counts what passes; [`Meter::roll`] makes the rates.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    before: (u64, u64),
    rate: f64,
    throughput: f64,
}

impl Meter {
    pub(super) fn add(&mut self, messages: u32, bytes: usize) {
        self.messages += u64::from(messages);
        self.bytes += bytes as u64;
    }

    /// So much time passed since the last call.
    pub(super) fn roll(&mut self, passed: Duration) {
        let seconds = passed.as_secs_f64();
        if seconds == 0.0 {
            return;
        }
        self.rate = (self.messages - self.before.0) as f64 / seconds;
        self.throughput = (self.bytes - self.before.1) as f64 / seconds;
        self.before = (self.messages, self.bytes);
    }

    pub(super) fn flow(&self) -> Flow {
        let Meter { messages, bytes, rate, throughput, .. } = *self;
        Flow { rate, throughput, messages, bytes }
    }

    /// Messages per second.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// Mean bytes of a message over the last minute; of all while there is no rate.
    pub(super) fn mean(&self) -> f64 {
        if self.rate > 0.0 {
            self.throughput / self.rate
        } else if self.messages > 0 {
            self.bytes as f64 / self.messages as f64
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_last_span() {
        let mut meter = Meter::default();
        meter.add(10, 1000);
        assert_eq!((meter.rate(), meter.mean()), (0.0, 100.0));
        meter.roll(Duration::from_secs(5));
        assert_eq!((meter.rate(), meter.flow().throughput), (2.0, 200.0));
        meter.roll(Duration::from_secs(5));
        assert_eq!((meter.rate(), meter.flow().messages), (0.0, 10));
    }
}
