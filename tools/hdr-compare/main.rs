//! `pulsegate-hdr-compare A B`: whether B is slower than A, from the histogram logs of several runs of each.
//!
//! For each percentile, and for the server's processor time per message, it gives the ratio B / A with an interval from
//! resampling *runs*: messages of one run share its luck, so only runs are independent. A percentile for which a run has too
//! few messages is refused, not guessed. B is called slower only when the whole interval lies beyond the tolerance, which
//! makes less than one false alarm in a hundred comparisons of a thing with itself; an interval too wide to say either is
//! called undecided.
//!
//! Exit code: 0 not slower (or undecided, unless `--strict`), 1 slower, 2 not comparable, 3 undecided with `--strict`.

#[path = "../kit/mod.rs"]
mod kit;

mod compare;
mod statistics;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use crate::compare::{Metric, Tolerances, Verdict};
use crate::kit::{hlog, plot};

/// Fewer runs have no spread to speak of.
const RUNS_MIN: usize = 3;

#[derive(Parser)]
#[command(
    name = "pulsegate-hdr-compare",
    about = "Compares the latencies of two sets of runs: is B slower than A?",
    after_help = "Exit code: 0 not slower, 1 slower, 2 not comparable, 3 undecided (with --strict).\n\
                  Runs of A and B should alternate in time: tests/interop/commits does so.",
    max_term_width = 110
)]
struct Cli {
    /// Folder of .hlog files, or files separated by commas: the runs before
    a: String,
    /// The runs after
    b: String,
    /// Largest ratio that is no change, for one metric: p50=1.05; may be given more than once
    #[arg(long, value_name = "METRIC=RATIO", value_parser = tolerance)]
    threshold: Vec<(Metric, f64)>,
    /// Undecided is not good enough: exit code 3
    #[arg(long)]
    strict: bool,
    /// Write a plot of both here
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

fn tolerance(text: &str) -> Result<(Metric, f64), String> {
    let (name, ratio) = text.split_once('=').ok_or("write it as p99=1.15")?;
    let metric = Metric::ALL.into_iter().find(|metric| metric.name() == name);
    let known = || Metric::ALL.map(Metric::name).join(", ");
    let metric = metric.ok_or_else(|| format!("no metric {name}; there are: {}", known()))?;
    let ratio = ratio.parse().ok().filter(|ratio: &f64| *ratio >= 1.0 && ratio.is_finite());
    Ok((metric, ratio.ok_or("a ratio of 1 or more")?))
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(Verdict::Slower) => ExitCode::from(1),
        Ok(Verdict::Undecided) if cli.strict => ExitCode::from(3),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pulsegate-hdr-compare: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<Verdict, String> {
    let (a, b) = (read_set(&cli.a)?, read_set(&cli.b)?);
    let mut tolerances = Tolerances::default();
    for (metric, ratio) in &cli.threshold {
        tolerances.set(*metric, *ratio);
    }
    let rows = compare::rows(&a, &b, &tolerances);
    println!("A: {}, {} runs; B: {}, {} runs\n", cli.a, a.len(), cli.b, b.len());
    println!(
        "| metric | A | B | B / A | 99 % interval | tolerance | verdict |\n|---|---:|---:|---:|---:|---:|---|"
    );
    for row in &rows {
        println!("{row}");
    }
    let verdict = compare::verdict(&rows);
    println!("\n{}", verdict.words());
    if let Some(path) = &cli.plot {
        write_plot(path, &a, &b)?;
    }
    Ok(verdict)
}

fn write_plot(path: &Path, a: &[hlog::Run], b: &[hlog::Run]) -> Result<(), String> {
    let (a, b) = (compare::pooled(a)?, compare::pooled(b)?);
    let line = |name: &str, latency| plot::Line { name: name.to_owned(), latency };
    let svg = plot::percentiles("latency of A and B", &[line("A", &a), line("B", &b)]);
    std::fs::write(path, svg).map_err(|error| format!("{}: {error}", path.display()))
}

/// All runs of a set, in the order of their names.
fn read_set(set: &str) -> Result<Vec<hlog::Run>, String> {
    let folder = Path::new(set);
    let mut files: Vec<PathBuf> = Vec::new();
    if folder.is_dir() {
        let entries = std::fs::read_dir(folder).map_err(|error| format!("{set}: {error}"))?;
        for entry in entries {
            files.push(entry.map_err(|error| format!("{set}: {error}"))?.path());
        }
        files.retain(|file| file.extension().is_some_and(|end| end == "hlog"));
        files.sort();
    } else {
        files.extend(set.split(',').map(PathBuf::from));
    }
    if files.len() < RUNS_MIN {
        return Err(format!(
            "{set}: {} runs; {RUNS_MIN} at least are needed to see how much runs differ",
            files.len()
        ));
    }
    files.iter().map(|file| read_run(file)).collect()
}

fn read_run(file: &Path) -> Result<hlog::Run, String> {
    let wrong = |error: String| format!("{}: {error}", file.display());
    let size = std::fs::metadata(file).map_err(|error| wrong(error.to_string()))?.len();
    if size > hlog::LOG_MAX as u64 {
        return Err(wrong(format!("{size} bytes; {} at most", hlog::LOG_MAX)));
    }
    let text = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    hlog::read(&text).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_read() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        assert_eq!(tolerance("p99.9=1.5"), Ok((Metric::P999, 1.5)));
        for wrong in ["p99", "p98=1.1", "p99=0.5", "p99=x"] {
            assert!(tolerance(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn too_few_runs_are_refused() {
        let error = read_set("a.hlog,b.hlog").expect_err("two are too few");
        assert!(error.contains("2 runs"), "{error}");
        assert!(read_set("no-1.hlog,no-2.hlog,no-3.hlog").is_err());
    }
}
