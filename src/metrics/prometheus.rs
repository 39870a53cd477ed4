//! Reports of all cores as a page of Prometheus text, format 0.0.4.

use super::names::{self, Metric};
use super::{CoreReport, GatewayCounters, LATENCY_BOUNDS_MICROS};
use std::fmt::{Display, Write};

/// Session kinds in the order of [`GatewayCounters::sessions`].
const KINDS: [&str; 3] = ["producer", "consumer", "reader"];
/// Link states in the order of [`GatewayCounters::links`].
const LINK_STATES: [&str; 3] = ["connecting", "handshaking", "ready"];
/// Status classes in the order of [`GatewayCounters::refused`].
const STATUS_CLASSES: [&str; 2] = ["4xx", "5xx"];

/// Renders reports of all cores, one per core, as Prometheus text (version 0.0.4).
pub fn prometheus(reports: &[CoreReport]) -> String {
    // A page is about 6 KiB and 1 KiB per core: one allocation.
    let mut page = Page { text: String::with_capacity(8 * 1024 + reports.len() * 2048) };
    page.describe(&names::BUILD_INFO);
    let commit = env!("PULSEGATE_COMMIT");
    let build = format!("version=\"{}\",commit=\"{commit}\"", env!("CARGO_PKG_VERSION"));
    page.sample(names::BUILD_INFO.name, &build, 1);

    let sum = |read: fn(&GatewayCounters) -> u64| total(reports, read);
    page.single(&names::PRODUCER_SESSIONS, sum(|core| core.sessions[0]));
    page.single(&names::CONSUMER_SESSIONS, sum(|core| core.sessions[1]));
    page.single(&names::READER_SESSIONS, sum(|core| core.sessions[2]));
    page.single(&names::BYTES_RECEIVED, sum(|core| core.bytes_received));
    page.single(&names::BYTES_SENT, sum(|core| core.bytes_sent));
    page.family(&names::SESSIONS_OPENED, "kind", &KINDS, &sums(reports, |core| core.sessions_opened));
    page.family(&names::UPGRADES_REFUSED, "status", &STATUS_CLASSES, &sums(reports, |core| core.refused));
    page.single(&names::MESSAGES_IN, sum(|core| core.messages_in));
    page.single(&names::MESSAGES_OUT, sum(|core| core.messages_out));
    page.single(&names::MESSAGES_PUBLISHED, sum(|core| core.messages_published));
    page.single(&names::SEND_ERRORS, sum(|core| core.send_errors));
    page.single(&names::ACKS, sum(|core| core.acks));
    page.latency(&sums(reports, |core| core.publish_latency), sum(|core| core.publish_latency_sum_micros));
    page.single(&names::PENDING_BYTES, sum(|core| core.pending_bytes));
    page.single(&names::PRODUCER_PAUSES, sum(|core| core.producer_pauses));
    page.single(&names::VIOLATIONS, sum(|core| core.violations));

    page.describe(&names::LINKS);
    for report in reports {
        for (state, count) in LINK_STATES.iter().zip(report.gateway.links) {
            let labels = format!("core=\"{}\",state=\"{state}\"", report.shard);
            page.sample(names::LINKS.name, &labels, count);
        }
    }
    page.per_core(&names::LINKS_LOST, reports, |report| Some(report.gateway.links_lost));
    page.per_core(&names::STALE_EVENTS, reports, |report| Some(report.gateway.stale_events));
    for metric in names::ALL {
        let value = |report: &CoreReport| {
            report.io.iter().find(|(name, _)| *name == metric.name).map(|&(_, value)| value)
        };
        if reports.iter().any(|report| value(report).is_some()) {
            page.per_core(metric, reports, value);
        }
    }
    page.text
}

fn total(reports: &[CoreReport], read: fn(&GatewayCounters) -> u64) -> u64 {
    reports.iter().fold(0, |sum, report| sum.wrapping_add(read(&report.gateway)))
}

fn sums<const N: usize>(reports: &[CoreReport], read: fn(&GatewayCounters) -> [u64; N]) -> [u64; N] {
    let mut sums = [0u64; N];
    for report in reports {
        for (sum, value) in sums.iter_mut().zip(read(&report.gateway)) {
            *sum = sum.wrapping_add(value);
        }
    }
    sums
}

struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a String takes any text");
    }

    fn describe(&mut self, metric: &Metric) {
        self.line(format_args!("# HELP {} {}", metric.name, metric.help));
        self.line(format_args!("# TYPE {} {}", metric.name, metric.kind.word()));
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        if labels.is_empty() {
            self.line(format_args!("{name} {value}"));
        } else {
            self.line(format_args!("{name}{{{labels}}} {value}"));
        }
    }

    fn single(&mut self, metric: &Metric, value: u64) {
        self.describe(metric);
        self.sample(metric.name, "", value);
    }

    fn family(&mut self, metric: &Metric, label: &str, words: &[&str], values: &[u64]) {
        self.describe(metric);
        for (word, value) in words.iter().zip(values) {
            self.sample(metric.name, &format!("{label}=\"{word}\""), value);
        }
    }

    fn per_core(
        &mut self,
        metric: &Metric,
        reports: &[CoreReport],
        read: impl Fn(&CoreReport) -> Option<u64>,
    ) {
        self.describe(metric);
        for report in reports {
            if let Some(value) = read(report) {
                self.sample(metric.name, &format!("core=\"{}\"", report.shard), value);
            }
        }
    }

    /// Buckets are cumulative and in seconds, as Prometheus has them.
    fn latency(&mut self, counts: &[u64; 10], sum_micros: u64) {
        let metric = &names::PUBLISH_LATENCY;
        self.describe(metric);
        let bucket = format!("{}_bucket", metric.name);
        let mut below = 0u64;
        for (count, bound) in counts.iter().zip(LATENCY_BOUNDS_MICROS) {
            below = below.wrapping_add(*count);
            self.sample(&bucket, &format!("le=\"{}\"", seconds(bound)), below);
        }
        below = below.wrapping_add(counts[LATENCY_BOUNDS_MICROS.len()]);
        self.sample(&bucket, "le=\"+Inf\"", below);
        self.sample(&format!("{}_sum", metric.name), "", seconds(sum_micros));
        self.sample(&format!("{}_count", metric.name), "", below);
    }
}

/// Microseconds as a decimal number of seconds, exactly and without trailing zeros.
fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
