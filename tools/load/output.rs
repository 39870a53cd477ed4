//! What `--output PREFIX` keeps: the summary, the histogram of every second, a plot.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::kit::{hlog, plot};
use crate::plan::Plan;
use crate::recorder::INTERVAL_NS;
use crate::run::Outcome;

/// Writes the three files; nothing if `prefix` is empty.
pub(crate) fn write(prefix: &Path, plan: &Plan, outcome: &Outcome, summary: &Value) -> io::Result<()> {
    if prefix.as_os_str().is_empty() {
        return Ok(());
    }
    let with = |end: &str| {
        let mut path = prefix.as_os_str().to_owned();
        path.push(end);
        path
    };
    if let Some(folder) = prefix.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    fs::write(with(".json"), format!("{summary:#}\n"))?;
    let cpu = summary["server"]["cpu_us_per_message"].as_f64();
    let intervals = outcome.intervals.values().map(|interval| hlog::Interval {
        start: Duration::from_nanos(interval.index * INTERVAL_NS),
        length: Duration::from_nanos(INTERVAL_NS),
        latency: interval.latency.clone(),
    });
    let log =
        hlog::write(summary["machine"]["command"].as_str().unwrap_or(""), cpu, outcome.began, intervals)?;
    fs::write(with(".hlog"), log)?;
    if !outcome.latency.is_empty() {
        let title = format!("{} {} B, {} connections", plan.mode.name(), plan.size, plan.connections);
        let line = plot::Line { name: "latency".to_owned(), latency: &outcome.latency };
        fs::write(with(".svg"), plot::percentiles(&title, &[line]))?;
    }
    Ok(())
}
