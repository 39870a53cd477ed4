//! The page is checked as a scraper reads it: by a small parser of the text format that knows its rules.

use super::names::{ALL, Type};
use super::*;
use std::collections::{BTreeMap, BTreeSet};

type Labels = BTreeMap<String, String>;

/// A page that kept the rules: types by metric, values by sample name and labels.
struct Scraped {
    types: BTreeMap<String, String>,
    samples: BTreeMap<(String, Labels), f64>,
}

impl Scraped {
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(label, value)| ((*label).into(), (*value).into())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied()
    }
}

/// Reads a page as `promtool check metrics` would; the error is the first line that breaks a rule.
fn scrape(page: &str) -> Result<Scraped, String> {
    let mut scraped = Scraped { types: BTreeMap::new(), samples: BTreeMap::new() };
    let mut helped = BTreeSet::new();
    let mut current = String::new();
    if !page.ends_with('\n') {
        return Err("the last line does not end".into());
    }
    for line in page.lines() {
        let wrong = |why: &str| format!("{why}: {line}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or(wrong("no help text"))?;
            if help.is_empty() || !helped.insert(name.to_owned()) {
                return Err(wrong("empty or repeated help"));
            }
            current = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or(wrong("no type"))?;
            if name != current || !["counter", "gauge", "histogram"].contains(&kind) {
                return Err(wrong("a type follows its help"));
            }
            scraped.types.insert(name.to_owned(), kind.to_owned());
        } else {
            let (name, labels, value) = sample(line).ok_or(wrong("no sample"))?;
            let kind = scraped.types.get(&current).ok_or(wrong("a sample before its type"))?;
            let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            if !suffixes.iter().any(|suffix| name == format!("{current}{suffix}")) {
                return Err(wrong("a sample outside its group"));
            }
            if scraped.samples.insert((name, labels), value).is_some() {
                return Err(wrong("the same sample twice"));
            }
        }
    }
    Ok(scraped)
}

fn sample(line: &str) -> Option<(String, Labels, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, list) = match series.split_once('{') {
        Some((name, rest)) => (name, rest.strip_suffix('}')?),
        None => (series, ""),
    };
    let is_name = |text: &str| {
        !text.is_empty()
            && !text.starts_with(|first: char| first.is_ascii_digit())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let mut labels = Labels::new();
    for pair in list.split(',').filter(|pair| !pair.is_empty()) {
        let (label, quoted) = pair.split_once('=')?;
        let value = quoted.strip_prefix('"')?.strip_suffix('"')?;
        if !is_name(label)
            || value.contains(['"', '\\'])
            || labels.insert(label.into(), value.into()).is_some()
        {
            return None;
        }
    }
    is_name(name).then_some(())?;
    Some((name.to_owned(), labels, value.parse().ok()?))
}

fn report(shard: u16) -> CoreReport {
    let gateway = GatewayCounters {
        sessions: [1, 2, 3],
        sessions_opened: [10, 20, 30],
        refused: [4, 5],
        bytes_received: 1000,
        bytes_sent: 2000,
        messages_in: 7,
        publish_latency: [1, 0, 2, 0, 0, 0, 0, 0, 0, 1],
        publish_latency_sum_micros: 1_500_001,
        links: [1, 0, 2],
        ..GatewayCounters::default()
    };
    let io = vec![(names::CORE_TURNS.name, 99), (names::CORE_STALLS.name, u64::from(shard)), ("unnamed", 1)];
    CoreReport { shard, gateway, io, ..CoreReport::default() }
}

#[test]
fn a_scraper_reads_sums_of_cores_and_each_cores_own() {
    let page = scrape(&prometheus(&[report(0), report(1)])).unwrap();
    for (name, labels, expected) in [
        ("pulsar_websocket_num_producer_sessions", &[][..], 2.0),
        ("pulsar_websocket_num_consumer_sessions", &[], 4.0),
        ("pulsar_websocket_num_reader_sessions", &[], 6.0),
        ("pulsar_websocket_bytes_received", &[], 2000.0),
        ("pulsar_websocket_bytes_sent", &[], 4000.0),
        ("pulsegate_messages_in_total", &[], 14.0),
        ("pulsegate_sessions_opened_total", &[("kind", "reader")], 60.0),
        ("pulsegate_upgrades_refused_total", &[("status", "5xx")], 10.0),
        ("pulsegate_publish_latency_seconds_bucket", &[("le", "0.0005")], 2.0),
        ("pulsegate_publish_latency_seconds_bucket", &[("le", "0.001")], 2.0),
        ("pulsegate_publish_latency_seconds_bucket", &[("le", "0.005")], 6.0),
        ("pulsegate_publish_latency_seconds_bucket", &[("le", "1")], 6.0),
        ("pulsegate_publish_latency_seconds_bucket", &[("le", "+Inf")], 8.0),
        ("pulsegate_publish_latency_seconds_count", &[], 8.0),
        ("pulsegate_publish_latency_seconds_sum", &[], 3.000_002),
        ("pulsegate_broker_links", &[("core", "1"), ("state", "ready")], 2.0),
        ("pulsegate_core_turns_total", &[("core", "0")], 99.0),
        ("pulsegate_core_stalls_total", &[("core", "1")], 1.0),
    ] {
        assert_eq!(page.value(name, labels), Some(expected), "{name} {labels:?}");
    }
    assert!(page.samples.keys().all(|(name, _)| name != "unnamed"));
}

#[test]
fn every_metric_is_on_the_page_under_its_type() {
    let mut full = report(0);
    full.io = ALL
        .iter()
        .filter(|metric| metric.name.starts_with("pulsegate_core_"))
        .map(|metric| (metric.name, 1))
        .collect();
    let page = scrape(&prometheus(&[full])).unwrap();
    let declared: BTreeMap<String, String> =
        ALL.iter().map(|metric| (metric.name.to_owned(), metric.kind.word().to_owned())).collect();
    assert_eq!(page.types, declared);
    assert_eq!(declared.len(), ALL.len(), "each name is there once");
    for metric in ALL.iter().filter(|metric| metric.name.starts_with("pulsegate_")) {
        // The five of pulsar_websocket_* keep the names their dashboards know.
        assert_eq!(metric.name.ends_with("_total"), metric.kind == Type::Counter, "{}", metric.name);
    }
}

#[test]
fn extreme_numbers_and_no_cores_still_make_a_page() {
    assert!(scrape(&prometheus(&[])).is_ok());
    let mut report = report(0);
    report.gateway.publish_latency = [u64::MAX; 10];
    report.gateway.publish_latency_sum_micros = u64::MAX;
    report.gateway.bytes_sent = u64::MAX;
    assert!(scrape(&prometheus(&[report.clone(), CoreReport { shard: 1, ..report }])).is_ok());
}

#[test]
fn the_check_itself_refuses_broken_pages() {
    for broken in [
        "a 1",
        "a 1\n",
        "# HELP a b\n# TYPE a counter\nb 1\n",
        "# HELP a b\n# TYPE a counter\na 1\na 2\n",
        "# HELP a b\n# TYPE a number\na 1\n",
        "# HELP a b\n# TYPE a counter\na{b=c} 1\n",
        "# HELP a b\n# TYPE a counter\na{b=\"c\",b=\"d\"} 1\n",
        "# HELP a b\n# TYPE a counter\na one\n",
        "# HELP a b\n# TYPE a counter\n# HELP a b\n",
    ] {
        assert!(scrape(broken).is_err(), "{broken:?}");
    }
}
