//! What a figure was measured on: without it no figure means anything.

use std::fs;

use serde_json::{Value, json};

/// Machine, kernel, commit and command line.
pub(crate) fn facts() -> Value {
    let read = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()))
        .unwrap_or("unknown");
    let command: Vec<String> = std::env::args().collect();
    json!({
        "processor": model,
        "processors": processors.lines().filter(|line| line.starts_with("processor")).count(),
        "architecture": std::env::consts::ARCH,
        "kernel": read("/proc/sys/kernel/osrelease"),
        "load_average": read("/proc/loadavg"),
        "commit": env!("PULSEGATE_COMMIT"),
        "version": env!("CARGO_PKG_VERSION"),
        "command": command.join(" "),
    })
}
