//! The run: starts the threads, gathers what they measure second by second, shows it on a terminal.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Barrier, OnceLock};
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;

use crate::kit::hlog::histogram;
use crate::plan::Plan;
use crate::recorder::{Counts, Interval};
use crate::server::Used;
use crate::worker::{self, Shared};

/// What a thread tells.
pub(crate) enum Report {
    Interval(Box<Interval>),
    End(Box<End>),
    Failed(String),
}

/// A thread's last word.
pub(crate) struct End {
    /// Messages sent but never confirmed.
    pub(crate) unanswered: u64,
    /// Sessions open at the end.
    pub(crate) sessions: usize,
    /// Only from the first thread.
    pub(crate) watched: Option<Used>,
}

/// What came of a run.
pub(crate) struct Outcome {
    /// When the window began.
    pub(crate) began: SystemTime,
    pub(crate) used: Used,
    pub(crate) counts: Counts,
    pub(crate) unanswered: u64,
    pub(crate) sessions: usize,
    /// Nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// By second.
    pub(crate) intervals: BTreeMap<u64, Interval>,
}

/// Runs the plan to its end, or to the first session that fails.
pub(crate) fn run(plan: &Plan) -> Result<Outcome, String> {
    let shared = Shared { plan, opened: Barrier::new(plan.workers()), start: OnceLock::new() };
    let (sender, reports) = channel();
    let seats = plan.seats();
    std::thread::scope(|scope| {
        for number in 0..plan.workers() {
            let (shared, sender) = (&shared, sender.clone());
            let share = seats.iter().skip(number).step_by(plan.workers()).cloned().collect();
            scope.spawn(move || {
                crate::kit::pin(plan.cores.get(number).copied());
                crate::kit::sharpen_timers();
                if let Err(error) = worker::run(shared, number, share, &sender) {
                    // Nobody listens: another thread failed first.
                    sender.send(Report::Failed(error)).unwrap_or_default();
                }
            });
        }
        drop(sender);
        gather(plan, &reports).unwrap_or_else(|error| {
            // The other threads may wait for the one that failed: the process ends with all of them.
            crate::kit::fail(&error)
        })
    })
    .finish()
}

/// What has been gathered so far.
struct Gathered {
    began: SystemTime,
    used: Option<Used>,
    counts: Counts,
    unanswered: u64,
    sessions: usize,
    intervals: BTreeMap<u64, Interval>,
}

fn gather(plan: &Plan, reports: &Receiver<Report>) -> Result<Gathered, String> {
    let is_live = std::io::stderr().is_terminal();
    let mut all = Gathered {
        began: SystemTime::now(),
        used: None,
        counts: Counts::default(),
        unanswered: 0,
        sessions: 0,
        intervals: BTreeMap::new(),
    };
    let mut heard = BTreeMap::<u64, usize>::new();
    for report in reports {
        match report {
            Report::Failed(error) => return Err(error),
            Report::End(end) => {
                all.unanswered += end.unanswered;
                all.sessions += end.sessions;
                all.used = all.used.or(end.watched);
            }
            Report::Interval(interval) => {
                let index = interval.index;
                if all.intervals.is_empty() {
                    all.began = SystemTime::now() - Duration::from_secs(index + 1);
                }
                all.add(*interval)?;
                let threads = heard.entry(index).or_default();
                *threads += 1;
                if is_live && *threads == plan.workers() {
                    all.show(index);
                }
            }
        }
    }
    if is_live {
        eprintln!();
    }
    Ok(all)
}

impl Gathered {
    fn add(&mut self, interval: Interval) -> Result<(), String> {
        self.counts.add(interval.counts);
        match self.intervals.get_mut(&interval.index) {
            None => {
                self.intervals.insert(interval.index, interval);
            }
            Some(known) => {
                known.counts.add(interval.counts);
                known.latency.add(&interval.latency).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// The live line.
    fn show(&self, index: u64) {
        let Some(Interval { latency, counts, .. }) = self.intervals.get(&index) else { return };
        let at = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
        eprint!(
            "\r\x1b[K{:>4} s  {:>9} /s  p50 {:>9.1} us  p99 {:>9.1} us  errors {}",
            index + 1,
            counts.done,
            at(0.5),
            at(0.99),
            self.counts.failed + self.counts.unsent
        );
    }

    fn finish(self) -> Result<Outcome, String> {
        let used = self.used.ok_or("the topics held less than the warm-up took: nothing was measured")?;
        let mut latency = histogram();
        for interval in self.intervals.values() {
            latency.add(&interval.latency).map_err(|error| error.to_string())?;
        }
        let Gathered { began, counts, unanswered, sessions, intervals, .. } = self;
        Ok(Outcome { began, used, counts, unanswered, sessions, latency, intervals })
    }
}
