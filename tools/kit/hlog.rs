//! HdrHistogram logs: one compressed histogram a second, readable by every HdrHistogram tool. Processor time per message stands
//! in a comment that only we look for.

use std::fmt::Write;
use std::io;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, IntervalLogWriterBuilder, LogEntry};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};

/// Values are nanoseconds; the column of maxima is in microseconds.
const MAX_DIVISOR: f64 = 1e3;
/// What the comment with the server's processor time begins with.
const CPU: &str = "#[server CPU us per message: ";
/// A log larger than this is not read.
pub(crate) const LOG_MAX: usize = 64 << 20;

/// Longer waits are counted as this: a minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// An empty histogram for latencies in nanoseconds.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("legal bounds")
}

/// A part of a run.
pub(crate) struct Interval {
    /// Since the window began.
    pub(crate) start: Duration,
    pub(crate) length: Duration,
    /// Nanoseconds.
    pub(crate) latency: Histogram<u64>,
}

/// A whole run, read back.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) latency: Histogram<u64>,
    /// Microseconds of the server's processor time per message, if it was counted.
    pub(crate) cpu_us: Option<f64>,
}

/// The text of a log.
pub(crate) fn write(
    command: &str,
    cpu_us: Option<f64>,
    began: SystemTime,
    intervals: impl Iterator<Item = Interval>,
) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    if let Some(cpu) = cpu_us {
        out.extend_from_slice(format!("{CPU}{cpu}]\n").as_bytes());
    }
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment(&format!("[{}]", command.replace('\n', " ")))
        .with_start_time(began)
        .with_base_time(began)
        .with_max_value_divisor(MAX_DIVISOR);
    let mut log = builder.begin_log_with(&mut out, &mut serializer)?;
    for interval in intervals {
        log.write_histogram(&interval.latency, interval.start, interval.length, None)
            .map_err(|error| io::Error::other(format!("a histogram cannot be written: {error:?}")))?;
    }
    Ok(out)
}

/// Reads a log; errors say what is wrong with it.
pub(crate) fn read(text: &[u8]) -> Result<Run, String> {
    let lines = String::from_utf8_lossy(text);
    let cpu = lines.lines().find_map(|line| line.strip_prefix(CPU)?.strip_suffix(']'));
    let cpu_us = cpu.map(|cpu| cpu.parse().map_err(|_| format!("no number in {cpu:?}"))).transpose()?;
    let mut latency = histogram();
    let mut deserializer = Deserializer::new();
    for entry in IntervalLogIterator::new(text) {
        let interval = match entry {
            Ok(LogEntry::Interval(interval)) => interval,
            Ok(_) => continue,
            Err(error) => return Err(format!("not a histogram log: {error:?}")),
        };
        let bytes = base64_simd::STANDARD
            .decode_to_vec(interval.encoded_histogram())
            .map_err(|error| format!("a histogram is not base64: {error}"))?;
        let part: Histogram<u64> = deserializer
            .deserialize(&mut &bytes[..])
            .map_err(|error| format!("a histogram cannot be read: {error}"))?;
        latency.add(&part).map_err(|error| error.to_string())?;
    }
    Ok(Run { latency, cpu_us })
}

/// Appends a number of nanoseconds as a person reads it.
pub(crate) fn put_time(nanoseconds: f64, out: &mut String) {
    let done = match nanoseconds {
        n if n < 1e3 => write!(out, "{n:.0} ns"),
        n if n < 1e6 => write!(out, "{:.1} us", n / 1e3),
        n if n < 1e9 => write!(out, "{:.2} ms", n / 1e6),
        n => write!(out, "{:.2} s", n / 1e9),
    };
    done.expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_reads_as_it_was_written() {
        let mut latency = histogram();
        (1..=1000).for_each(|n| latency.saturating_record(n * 1000));
        let interval = |second| Interval {
            start: Duration::from_secs(second),
            length: Duration::from_secs(1),
            latency: latency.clone(),
        };
        let log =
            write("a\ncommand", Some(2.5), SystemTime::UNIX_EPOCH, (0..3).map(interval)).expect("it writes");
        let run = read(&log).expect("it reads");
        assert_eq!((run.latency.len(), run.cpu_us), (3000, Some(2.5)));
        assert_eq!(run.latency.value_at_quantile(0.5), latency.value_at_quantile(0.5));
        let mut text = String::new();
        [900.0, 1500.0, 2.5e6, 3e9].iter().for_each(|time| put_time(*time, &mut text));
        assert_eq!(text, "900 ns1.5 us2.50 ms3.00 s");
        for cut in (0..log.len()).step_by(7) {
            // Never a panic, and never more than was written, whatever is missing.
            let count = read(&log[..cut]).map_or(0, |run| run.latency.len());
            assert!(count <= 3000, "{count} of 3000 in {cut} bytes");
        }
    }
}
