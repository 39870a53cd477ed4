//! Which figures are compared, which a sample can carry, and what follows.

use std::fmt;

use hdrhistogram::Histogram;

use crate::kit::hlog::{Run, histogram, put_time};
use crate::statistics::{self, Ratio};

/// Messages beyond a percentile that each run must have: below, the percentile is the luck of a few messages.
const BEYOND_MIN: f64 = 30.0;

/// A figure of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    P50,
    P90,
    P99,
    P999,
    Cpu,
}

impl Metric {
    pub(crate) const ALL: [Metric; 5] = [Metric::P50, Metric::P90, Metric::P99, Metric::P999, Metric::Cpu];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Metric::P50 => "p50",
            Metric::P90 => "p90",
            Metric::P99 => "p99",
            Metric::P999 => "p99.9",
            Metric::Cpu => "cpu",
        }
    }

    fn quantile(self) -> Option<f64> {
        match self {
            Metric::P50 => Some(0.5),
            Metric::P90 => Some(0.9),
            Metric::P99 => Some(0.99),
            Metric::P999 => Some(0.999),
            Metric::Cpu => None,
        }
    }

    /// The figure of one run; `Err`: why it has none.
    fn of(self, run: &Run) -> Result<f64, String> {
        let Some(quantile) = self.quantile() else {
            return run
                .cpu_us
                .filter(|cpu| *cpu > 0.0)
                .ok_or_else(|| "not counted (--server-pid)".to_owned());
        };
        let needed = (BEYOND_MIN / (1.0 - quantile)).ceil() as u64;
        let count = run.latency.len();
        if count < needed {
            return Err(format!("a run has {count} messages, {needed} are needed"));
        }
        Ok(run.latency.value_at_quantile(quantile).max(1) as f64)
    }

    fn put(self, value: f64, out: &mut String) {
        match self {
            Metric::Cpu => out.push_str(&format!("{value:.2} us/msg")),
            _ => put_time(value, out),
        }
    }
}

/// The largest ratio of each metric that is no change.
pub(crate) struct Tolerances([f64; Metric::ALL.len()]);

impl Default for Tolerances {
    /// What neither a change of code nor a person would notice; tails are what a scheduler does as well.
    fn default() -> Tolerances {
        Tolerances([1.05, 1.10, 1.15, 1.30, 1.05])
    }
}

impl Tolerances {
    pub(crate) fn set(&mut self, metric: Metric, ratio: f64) {
        self.0[metric as usize] = ratio;
    }
}

/// What a comparison says, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Faster,
    Same,
    Undecided,
    Slower,
}

impl Verdict {
    /// The last line for people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Verdict::Faster => "B is faster.",
            Verdict::Same => "B is not slower.",
            Verdict::Undecided => {
                "UNDECIDED: the runs differ too much among themselves; more runs, a quieter machine."
            }
            Verdict::Slower => "B IS SLOWER.",
        }
    }

    fn of(ratio: Ratio, tolerance: f64) -> Verdict {
        if ratio.low > tolerance {
            Verdict::Slower
        } else if ratio.high < 1.0 / tolerance {
            Verdict::Faster
        } else if ratio.high > tolerance {
            Verdict::Undecided
        } else {
            Verdict::Same
        }
    }
}

/// One line of the table.
pub(crate) struct Row {
    metric: Metric,
    tolerance: f64,
    /// Middles of both sets and their ratio, or why there is none.
    found: Result<(f64, f64, Ratio), String>,
}

impl Row {
    fn verdict(&self) -> Option<Verdict> {
        self.found.as_ref().ok().map(|(_, _, ratio)| Verdict::of(*ratio, self.tolerance))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric.name();
        match &self.found {
            Err(why) => write!(f, "| {name} | | | | | {:.2} | refused: {why} |", self.tolerance),
            Ok((a, b, ratio)) => {
                let (mut shown_a, mut shown_b) = (String::new(), String::new());
                self.metric.put(*a, &mut shown_a);
                self.metric.put(*b, &mut shown_b);
                let Ratio { value, low, high } = ratio;
                let verdict = Verdict::of(*ratio, self.tolerance);
                let word = format!("{verdict:?}").to_lowercase();
                write!(
                    f,
                    "| {name} | {shown_a} | {shown_b} | {value:.3} | {low:.3} … {high:.3} | {:.2} | {word} |",
                    self.tolerance
                )
            }
        }
    }
}

/// Compares all metrics.
pub(crate) fn rows(a: &[Run], b: &[Run], tolerances: &Tolerances) -> Vec<Row> {
    let row = |metric: Metric| {
        let figures = |runs: &[Run]| runs.iter().map(|run| metric.of(run)).collect::<Result<Vec<_>, _>>();
        let found = figures(a).and_then(|a| Ok((a, figures(b)?)));
        let found =
            found.map(|(a, b)| (statistics::middle(&a), statistics::middle(&b), statistics::ratio(&a, &b)));
        Row { metric, tolerance: tolerances.0[metric as usize], found }
    };
    Metric::ALL.into_iter().map(row).collect()
}

/// The verdict over all: slower in one is slower. A comparison without a single figure decides nothing.
pub(crate) fn verdict(rows: &[Row]) -> Verdict {
    rows.iter().filter_map(Row::verdict).max().unwrap_or(Verdict::Undecided)
}

/// All messages of a set.
pub(crate) fn pooled(runs: &[Run]) -> Result<Histogram<u64>, String> {
    let mut all = histogram();
    for run in runs {
        all.add(&run.latency).map_err(|error| error.to_string())?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulsegate::base::prng::Prng;

    /// A number around 0 with standard deviation 1: twelve uniform ones (Irwin and Hall).
    fn normal(prng: &mut Prng) -> f64 {
        (0..12).map(|_| prng.below(1 << 20) as f64 / f64::from(1 << 20)).sum::<f64>() - 6.0
    }

    /// A run on a shared machine: its own level (4 % around the true one), one in ten slowed by a neighbour by up to half,
    /// a long tail. `slower`: what the code under test costs.
    fn run(prng: &mut Prng, messages: u64, slower: f64) -> Run {
        let disturbed = if prng.below(10) == 0 { 1.0 + prng.below(50) as f64 / 100.0 } else { 1.0 };
        let level = slower * disturbed * (0.04 * normal(prng)).exp();
        let mut latency = histogram();
        for _ in 0..messages {
            let tail = if prng.below(50) == 0 { 1.0 + prng.below(900) as f64 / 100.0 } else { 1.0 };
            latency.saturating_record((200_000.0 * level * tail * (0.2 * normal(prng)).exp()) as u64);
        }
        Run { latency, cpu_us: Some(3.0 * level) }
    }

    fn set(prng: &mut Prng, runs: usize, messages: u64, slower: f64) -> Vec<Run> {
        (0..runs).map(|_| run(prng, messages, slower)).collect()
    }

    fn verdicts(runs: usize, messages: u64, slower: f64, comparisons: usize) -> usize {
        let mut prng = Prng::new(7);
        let slow = (0..comparisons).filter(|_| {
            let (a, b) = (set(&mut prng, runs, messages, 1.0), set(&mut prng, runs, messages, slower));
            verdict(&rows(&a, &b, &Tolerances::default())) == Verdict::Slower
        });
        slow.count()
    }

    #[test]
    fn a_thing_compared_with_itself_raises_less_than_one_alarm_in_a_hundred() {
        assert_eq!(verdicts(5, 300, 1.0, 120), 0, "of 120 with 5 runs each");
        assert_eq!(verdicts(3, 300, 1.0, 80), 0, "of 80 with 3 runs each");
    }

    #[test]
    fn a_change_of_a_half_is_found() {
        let found = verdicts(10, 300, 1.5, 20);
        assert!(found >= 19, "{found} of 20");
    }

    #[test]
    fn percentiles_that_the_sample_cannot_carry_are_refused() {
        let mut prng = Prng::new(1);
        let (a, b) = (set(&mut prng, 3, 2_999, 1.0), set(&mut prng, 3, 2_999, 1.0));
        let rows = rows(&a, &b, &Tolerances::default());
        let refused: Vec<_> = rows.iter().filter(|row| row.found.is_err()).map(|row| row.metric).collect();
        assert_eq!(refused, [Metric::P99, Metric::P999]);
        assert!(rows[2].to_string().contains("a run has 2999 messages, 3000 are needed"), "{}", rows[2]);
        let nothing = [Run { latency: histogram(), cpu_us: None }];
        let rows = super::rows(&nothing, &nothing, &Tolerances::default());
        assert_eq!(verdict(&rows), Verdict::Undecided);
    }
}
