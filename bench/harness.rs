//! Runs one operation: in time, in number, or a few times as a test.

use std::hint::black_box;
use std::time::Instant;

/// Rounds of which the best counts.
const ROUNDS: usize = 5;
/// Operations per round and kilobyte of payload.
const SCALE: usize = 200_000;

/// How operations are run.
enum Mode {
    /// `cargo test`: a few times.
    Test,
    /// `cargo bench`: in time.
    Time,
    /// Exactly so often, for a counter of instructions.
    Count(usize),
    /// Not at all: the names.
    List,
}

/// What the command line asks for.
pub(crate) struct Bench {
    mode: Mode,
    only: Option<String>,
}

impl Bench {
    /// `--count N NAME` runs what is named exactly so, `--list` prints names; else every word that is no option is a part of
    /// the names to run.
    pub(crate) fn from_arguments() -> Bench {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let has = |name: &str| arguments.iter().position(|argument| argument == name);
        let count = has("--count").and_then(|at| arguments.get(at + 1)?.parse().ok());
        let mode = match (count, has("--list"), has("--bench")) {
            (Some(count), _, _) => Mode::Count(count),
            (None, Some(_), _) => Mode::List,
            (None, None, Some(_)) => Mode::Time,
            (None, None, None) => Mode::Test,
        };
        let mut words = arguments.iter().filter(|word| !word.starts_with("--"));
        // The last one: before it may come a number of times.
        Bench { mode, only: words.next_back().cloned() }
    }

    /// Whether [`Bench::run`] would do anything: asked before something expensive is set up.
    pub(crate) fn wants(&self, name: &str, size: usize) -> bool {
        let name = full_name(name, size);
        match (&self.mode, &self.only) {
            (Mode::List, _) | (_, None) => true,
            (Mode::Count(_), Some(only)) => *only == name,
            (_, Some(only)) => name.contains(only.as_str()),
        }
    }

    /// Runs `operation`, which returns a hash of its result, the same each time.
    pub(crate) fn run(&self, name: &str, size: usize, mut operation: impl FnMut() -> u64) {
        if !self.wants(name, size) {
            return;
        }
        let name = full_name(name, size);
        let count = match self.mode {
            Mode::List => return println!("{name}"),
            Mode::Count(count) => count,
            Mode::Time => (SCALE * 1024 / size.max(128)).max(10),
            Mode::Test => 3,
        };
        let (expected, mut best) = (operation(), f64::INFINITY);
        for _ in 0..if matches!(self.mode, Mode::Time) { ROUNDS } else { 1 } {
            let start = Instant::now();
            let same = (0..count).filter(|_| black_box(operation()) == expected).count();
            best = best.min(start.elapsed().as_nanos() as f64 / count as f64);
            assert_eq!(same, count, "{name}: the same input gives the same result");
        }
        println!("{name:<36} {best:>10.0} ns   result {expected:016x}");
    }
}

fn full_name(name: &str, size: usize) -> String {
    if size == 0 { name.to_owned() } else { format!("{name} {size} B") }
}

/// A hash of bytes.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(bytes.len() as u64, |sum, byte| sum.rotate_left(5) ^ u64::from(*byte))
}
