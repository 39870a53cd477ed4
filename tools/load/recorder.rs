//! What one thread measures: a histogram and counts for each second of the measured window.

use std::sync::mpsc::Sender;

use hdrhistogram::Histogram;

use crate::kit::hlog::histogram;
use crate::plan::{Plan, nanoseconds};
use crate::run::Report;

/// Length of an interval of the log.
pub(crate) const INTERVAL_NS: u64 = 1_000_000_000;

/// What was done in one second.
#[derive(Clone, Debug)]
pub(crate) struct Interval {
    /// Seconds since the window began.
    pub(crate) index: u64,
    /// Nanoseconds, of messages that were due in the window.
    pub(crate) latency: Histogram<u64>,
    pub(crate) counts: Counts,
}

/// Messages by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Confirmed (produce), delivered (consume), opened (storm).
    pub(crate) done: u64,
    /// Answered with an error.
    pub(crate) failed: u64,
    /// Due while their connection had too many unconfirmed.
    pub(crate) unsent: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Counts) {
        self.done += other.done;
        self.failed += other.failed;
        self.unsent += other.unsent;
    }
}

/// One thread's measurements; times are nanoseconds since the start of the run.
pub(crate) struct Recorder {
    pub(crate) from: u64,
    pub(crate) to: u64,
    interval: Interval,
    reports: Sender<Report>,
}

impl Recorder {
    pub(crate) fn new(plan: &Plan, reports: Sender<Report>) -> Recorder {
        let from = nanoseconds(plan.warm_up);
        let to = if plan.messages_max.is_some() { u64::MAX } else { from + nanoseconds(plan.measured) };
        let interval = Interval { index: 0, latency: histogram(), counts: Counts::default() };
        Recorder { from, to, interval, reports }
    }

    /// Whether this time is in the measured window.
    pub(crate) fn measures(&self, time: u64) -> bool {
        (self.from..self.to).contains(&time)
    }

    /// Hands over the interval if its second is over.
    pub(crate) fn tick(&mut self, now: u64) {
        let index = now.saturating_sub(self.from) / INTERVAL_NS;
        if index > self.interval.index {
            self.hand_over(index);
        }
    }

    /// A message due then was done now.
    pub(crate) fn done(&mut self, due: u64, now: u64) {
        self.interval.counts.done += u64::from(self.measures(now));
        if self.measures(due) {
            self.interval.latency.saturating_record(now.saturating_sub(due));
        }
    }

    /// A message that carries no time of this run was done now.
    pub(crate) fn done_untimed(&mut self, now: u64) {
        self.interval.counts.done += u64::from(self.measures(now));
    }

    pub(crate) fn failed(&mut self) {
        self.interval.counts.failed += 1;
    }

    pub(crate) fn unsent(&mut self) {
        self.interval.counts.unsent += 1;
    }

    /// Hands over what is left.
    pub(crate) fn finish(mut self) {
        self.hand_over(u64::MAX);
    }

    fn hand_over(&mut self, next: u64) {
        let fresh = Interval { index: next, latency: histogram(), counts: Counts::default() };
        let over = std::mem::replace(&mut self.interval, fresh);
        if self.reports.send(Report::Interval(Box::new(over))).is_err() {
            crate::kit::fail("the run has ended without this thread");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_decides_what_counts() {
        let (reports, received) = std::sync::mpsc::channel();
        let mut recorder = Recorder::new(&crate::worker::tests::plan(), reports);
        let (from, to) = (recorder.from, recorder.to);
        assert_eq!((from, to - from), (1_000_000_000, 3_000_000_000));
        recorder.done(from - 10, from - 1); // warm-up
        recorder.done(from - 10, from + 5); // counted, not timed
        recorder.done(from, from + 1_000);
        recorder.tick(from + INTERVAL_NS);
        recorder.done(to - 1, to + 5_000); // timed, not counted
        recorder.failed();
        recorder.finish();
        let intervals: Vec<_> = received.iter().collect();
        let [Report::Interval(first), Report::Interval(second)] = &intervals[..] else {
            panic!("two intervals")
        };
        assert_eq!((first.index, first.counts.done, first.latency.len()), (0, 2, 1));
        assert_eq!(
            (second.index, second.counts, second.latency.len()),
            (1, Counts { failed: 1, ..Default::default() }, 1)
        );
    }
}
