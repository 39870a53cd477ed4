//! Numbers of the embedded broker as Prometheus text (broker 7.2). Topic and subscription families are gauges by name, even those
//! that only grow: so the original types them, and a strict scraper refuses a changed type.

use std::fmt::{Display, Write};

use crate::broker::stats::{HostCounts, SubscriptionStats, TopicStats};

struct Page {
    text: String,
    cluster: String,
}

type OfTopic = fn(&TopicStats) -> f64;
type OfSubscription = fn(&SubscriptionStats) -> f64;

const TOPIC: &[(&str, OfTopic)] = &[
    ("pulsar_subscriptions_count", |topic| topic.subscriptions.len() as f64),
    ("pulsar_producers_count", |topic| topic.publishers.len() as f64),
    ("pulsar_consumers_count", |topic| {
        topic.subscriptions.values().map(|subscription| subscription.consumers.len()).sum::<usize>() as f64
    }),
    ("pulsar_rate_in", |topic| topic.published.rate),
    ("pulsar_rate_out", |topic| topic.delivered.rate),
    ("pulsar_throughput_in", |topic| topic.published.throughput),
    ("pulsar_throughput_out", |topic| topic.delivered.throughput),
    ("pulsar_average_msg_size", |topic| topic.average_message_size),
    ("pulsar_in_messages_total", |topic| topic.published.messages as f64),
    ("pulsar_in_bytes_total", |topic| topic.published.bytes as f64),
    ("pulsar_msg_backlog", |topic| topic.subscriptions.values().map(|one| one.backlog).sum::<u64>() as f64),
    ("pulsar_storage_size", |topic| topic.storage_bytes as f64),
    ("pulsar_storage_logical_size", |topic| topic.storage_bytes as f64),
    ("pulsar_storage_backlog_size", |topic| topic.backlog_bytes as f64),
    ("pulsar_storage_offloaded_size", |_| 0.0),
    ("pulsar_storage_backlog_quota_limit", |topic| topic.quota_bytes as f64),
    ("pulsar_storage_backlog_quota_limit_time", |topic| topic.quota_seconds as f64),
    ("pulsar_storage_backlog_age_seconds", |topic| topic.oldest_backlog_seconds as f64),
    ("pulsar_publish_rate_limit_times", |topic| topic.throttled as f64),
    ("pulsar_delayed_message_index_size_bytes", |topic| {
        topic.subscriptions.values().map(|one| one.delayed_bytes).sum::<u64>() as f64
    }),
];

const SUBSCRIPTION: &[(&str, OfSubscription)] = &[
    ("pulsar_subscription_back_log", |one| one.backlog as f64),
    ("pulsar_subscription_back_log_no_delayed", |one| one.backlog.saturating_sub(one.delayed) as f64),
    ("pulsar_subscription_delayed", |one| one.delayed as f64),
    ("pulsar_subscription_in_replay", |one| one.in_replay as f64),
    ("pulsar_subscription_msg_rate_redeliver", |one| one.redeliver_rate),
    ("pulsar_subscription_unacked_messages", |one| one.unacked as f64),
    ("pulsar_subscription_blocked_on_unacked_messages", |one| f64::from(u8::from(one.blocked))),
    ("pulsar_subscription_msg_rate_out", |one| one.delivered.rate),
    ("pulsar_subscription_msg_throughput_out", |one| one.delivered.throughput),
    ("pulsar_subscription_msg_ack_rate", |one| one.ack_rate),
    ("pulsar_subscription_msg_rate_expired", |one| one.expired_rate),
    ("pulsar_subscription_total_msg_expired", |one| one.expired as f64),
    ("pulsar_subscription_msg_drop_rate", |one| one.drop_rate),
    ("pulsar_subscription_consumers_count", |one| one.consumers.len() as f64),
    ("pulsar_subscription_last_expire_timestamp", |one| one.last_expire_ms as f64),
    ("pulsar_subscription_last_acked_timestamp", |one| one.last_acked_ms as f64),
    ("pulsar_subscription_last_consumed_flow_timestamp", |one| one.last_flow_ms as f64),
    ("pulsar_subscription_last_consumed_timestamp", |one| one.last_consumed_ms as f64),
    ("pulsar_subscription_last_mark_delete_advanced_timestamp", |one| one.last_advanced_ms as f64),
    ("pulsar_subscription_delayed_message_index_size_bytes", |one| one.delayed_bytes as f64),
    ("pulsar_out_messages_total", |one| one.delivered.messages as f64),
    ("pulsar_out_bytes_total", |one| one.delivered.bytes as f64),
];

/// The page of all `topics`, by full name and sorted.
pub(super) fn page(
    cluster: &str,
    counts: &HostCounts,
    states: &[u8],
    topics: &[(&str, &TopicStats)],
) -> String {
    let mut page =
        Page { text: String::with_capacity(4096 + topics.len() * 4096), cluster: escaped(cluster) };
    page.broker(counts);
    page.kind("psb_store_state");
    for (store, state) in states.iter().enumerate() {
        page.sample("psb_store_state", &format!("store=\"{store}\""), state);
    }
    page.kind("psb_stores");
    page.sample("psb_stores", "", states.len());
    page.counter("psb_crc_errors_total");
    page.sample("psb_crc_errors_total", "where=\"segment\"", counts.damaged);
    page.counter("psb_scrubbed_bytes_total");
    page.sample("psb_scrubbed_bytes_total", "", counts.scrubbed_bytes);
    page.process();
    page.namespaces(topics);
    for (name, read) in TOPIC {
        page.kind(name);
        for (topic, stats) in topics {
            let labels = topic_labels(topic);
            page.sample(name, &labels, read(stats));
        }
    }
    for (name, read) in SUBSCRIPTION {
        page.kind(name);
        for (topic, stats) in topics {
            for (subscription, stats) in &stats.subscriptions {
                let labels = format!("{},subscription=\"{}\"", topic_labels(topic), escaped(subscription));
                page.sample(name, &labels, read(stats));
            }
        }
    }
    page.text
}

impl Page {
    fn broker(&mut self, counts: &HostCounts) {
        let gauges: [(&str, f64); 12] = [
            ("pulsar_broker_topics_count", counts.topics as f64),
            ("pulsar_broker_subscriptions_count", counts.subscriptions as f64),
            ("pulsar_broker_producers_count", counts.producers as f64),
            ("pulsar_broker_consumers_count", counts.consumers as f64),
            ("pulsar_broker_rate_in", counts.published.rate),
            ("pulsar_broker_rate_out", counts.delivered.rate),
            ("pulsar_broker_throughput_in", counts.published.throughput),
            ("pulsar_broker_throughput_out", counts.delivered.throughput),
            ("pulsar_broker_storage_size", counts.storage_bytes as f64),
            ("pulsar_broker_storage_logical_size", counts.storage_bytes as f64),
            ("pulsar_broker_msg_backlog", counts.backlog as f64),
            ("pulsar_ml_count", counts.topics as f64),
        ];
        for (name, value) in gauges {
            self.kind(name);
            self.sample(name, "", value);
        }
    }

    /// Of the whole process, by the names that its kind usually has. What the system does not tell is left out.
    fn process(&mut self) {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let status = read("status");
        let kibibytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        // Fields 14 and 15 of the line: ticks of 10 ms in user and system mode. The second field may hold blanks.
        let stat = read("stat");
        let ticks = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u64 =
            ticks.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<u64>().ok()).sum();
        let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let values = [
            ("process_cpu_seconds_total", "counter", Some(ticks as f64 / 100.0)),
            ("process_resident_memory_bytes", "gauge", kibibytes("VmRSS:").map(|size| (size * 1024) as f64)),
            ("process_virtual_memory_bytes", "gauge", kibibytes("VmSize:").map(|size| (size * 1024) as f64)),
            ("process_open_fds", "gauge", Some(files as f64)),
            ("process_threads", "gauge", kibibytes("Threads:").map(|count| count as f64)),
        ];
        for (name, kind, value) in values {
            if let Some(value) = value {
                self.line(format_args!("# TYPE {name} {kind}"));
                self.line(format_args!("{name} {value}"));
            }
        }
    }

    fn namespaces(&mut self, topics: &[(&str, &TopicStats)]) {
        let mut counts = std::collections::BTreeMap::<&str, u64>::new();
        for (topic, _) in topics {
            *counts.entry(namespace_of(topic)).or_default() += 1;
        }
        self.kind("pulsar_topics_count");
        for (namespace, count) in counts {
            let labels = format!("namespace=\"{}\"", escaped(namespace));
            self.sample("pulsar_topics_count", &labels, count);
        }
    }

    fn kind(&mut self, name: &str) {
        self.line(format_args!("# TYPE {name} gauge"));
    }

    fn counter(&mut self, name: &str) {
        self.line(format_args!("# TYPE {name} counter"));
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let comma = if labels.is_empty() { "" } else { "," };
        let cluster = std::mem::take(&mut self.cluster);
        self.line(format_args!("{name}{{cluster=\"{cluster}\"{comma}{labels}}} {value}"));
        self.cluster = cluster;
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a String takes any text");
    }
}

fn namespace_of(topic: &str) -> &str {
    let rest = topic.split_once("://").map_or(topic, |(_, rest)| rest);
    rest.rsplit_once('/').map_or(rest, |(namespace, _)| namespace)
}

fn topic_labels(topic: &str) -> String {
    format!("namespace=\"{}\",topic=\"{}\"", escaped(namespace_of(topic)), escaped(topic))
}

/// A label's value: backslash, quote and line end are escaped (text format 0.0.4).
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_families_are_whole() {
        let stats = TopicStats { quota_bytes: -1, ..Default::default() };
        let mut with = stats.clone();
        with.subscriptions
            .insert("a\"\\\n".to_owned(), SubscriptionStats { backlog: 7, ..Default::default() });
        let topics = [("persistent://t/n/a", &stats), ("persistent://t/n/b", &with)];
        let text = page("c", &HostCounts::default(), &[1, 3], &topics);
        let line = "pulsar_subscription_back_log{cluster=\"c\",namespace=\"t/n\",topic=\"persistent://t/n/b\",\
                    subscription=\"a\\\"\\\\\\n\"} 7\n";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("pulsar_topics_count{cluster=\"c\",namespace=\"t/n\"} 2\n"), "{text}");
        assert!(text.contains("psb_store_state{cluster=\"c\",store=\"1\"} 3\n"), "{text}");
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
        let mut seen = std::collections::BTreeSet::new();
        for kind in text.lines().filter(|line| line.starts_with("# TYPE")) {
            assert!(seen.insert(kind.to_owned()), "{kind} comes once");
        }
        let sample = |line: &&str| !line.starts_with('#');
        for line in text.lines().filter(sample) {
            assert!(line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok()), "{line}");
        }
    }
}
