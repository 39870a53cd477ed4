//! Numbers: what this core counts, gathered over all cores when a page asks, and the rates of the last interval.

use super::pages::Page;
use super::token::Token;
use super::{Body, Gateway, Session, SessionKind};
use crate::metrics::{self, ConsumerRow, CoreReport, NamespaceCounters, ProducerRow, names};
use crate::shard::{ConnKey, Links, Mail, ShardId};
use crate::wire::pulsar::proto::SubscriptionType;
use crate::wire::route::TopicName;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Rates are computed over this span. Source: API 7.
const INTERVAL: Duration = Duration::from_secs(60);
/// Requests for numbers under way on one core; more are told to try again.
const GATHERS_MAX: usize = 64;

/// Which numbers a page wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Prometheus,
    /// The same behind what the embedded broker has to say.
    Metrics(String),
    Rates,
    Sessions,
    Topic(String),
}

/// A page that waits for the other cores.
struct Gather {
    client: ConnKey,
    wanted: Wanted,
    close: bool,
    head_only: bool,
    missing: usize,
    reports: Vec<CoreReport>,
}

/// This core's part in reports.
#[derive(Default)]
pub(super) struct Reports {
    next_ticket: u64,
    gathers: BTreeMap<u64, Gather>,
    /// Counts of sessions that have ended, per namespace.
    ended: BTreeMap<String, NamespaceCounters>,
    /// Totals at the start of the interval, and the last whole interval's counts.
    before: BTreeMap<String, NamespaceCounters>,
    last: Vec<(String, NamespaceCounters)>,
}

impl Session {
    fn counters(&self) -> Option<&NamespaceCounters> {
        match &self.body {
            Body::Producer(producer) => Some(producer.counters()),
            Body::Consumer(consumer) => Some(consumer.counters()),
            Body::Opening(_) => None,
        }
    }

    fn main_topic(&self) -> Option<TopicName> {
        match &self.body {
            Body::Producer(producer) => Some(producer.spec().topic.clone()),
            Body::Consumer(consumer) if consumer.legs() > 0 => {
                let topic = consumer.topic(0);
                Some(if consumer.legs() > 1 { topic.base() } else { topic.clone() })
            }
            _ => None,
        }
    }
}

impl Gateway {
    /// A page that needs the numbers of all cores.
    pub(super) fn report(
        &mut self,
        io: &mut Links,
        client: ConnKey,
        wanted: Wanted,
        close: bool,
        head_only: bool,
    ) {
        if self.reports.gathers.len() >= GATHERS_MAX {
            return self.answer_report(io, client, Page::Busy, close, head_only);
        }
        let ticket = self.reports.next_ticket;
        self.reports.next_ticket += 1;
        let sessions = !matches!(wanted, Wanted::Prometheus | Wanted::Metrics(_));
        let own = self.core_report(io, sessions);
        let mut missing = 0;
        for shard in 0..io.shards() as u16 {
            if ShardId(shard) != io.shard()
                && io.mail(ShardId(shard), Mail::Report { ticket, sessions }).is_ok()
            {
                missing += 1;
            }
        }
        if missing + 1 < io.shards() {
            return self.answer_report(io, client, Page::Busy, close, head_only);
        }
        let gather = Gather { client, wanted, close, head_only, missing, reports: vec![own] };
        self.reports.gathers.insert(ticket, gather);
        self.finish_gather(io, ticket);
    }

    pub(super) fn mail(&mut self, io: &mut Links, from: ShardId, mail: Mail) {
        match mail {
            Mail::Report { ticket, sessions } => {
                let report = Box::new(self.core_report(io, sessions));
                if io.mail(from, Mail::Reported { ticket, report }).is_err() {
                    self.counters.stale_events += 1; // the asker's mailbox is full: its page stays unanswered
                }
            }
            Mail::Reported { ticket, report } => {
                if let Some(gather) = self.reports.gathers.get_mut(&ticket) {
                    gather.missing = gather.missing.saturating_sub(1);
                    gather.reports.push(*report);
                    self.finish_gather(io, ticket);
                }
            }
            Mail::Adopt { key, peer, head } => {
                self.accept(io, key, peer);
                if self.stopping.is_some() {
                    let now = io.clock().now;
                    self.schedule_leave(io, key, now); // it was on its way when the others were told
                }
                let mut head = head;
                self.client_bytes(io, key, &mut head);
            }
            // For the embedded broker: without one nobody asks.
            Mail::Requests(_) | Mail::Replies { .. } | Mail::Ask { .. } | Mail::Answered { .. } => {
                self.counters.stale_events += 1;
            }
        }
    }

    fn finish_gather(&mut self, io: &mut Links, ticket: u64) {
        if self.reports.gathers.get(&ticket).is_none_or(|gather| gather.missing > 0) {
            return;
        }
        let Some(mut gather) = self.reports.gathers.remove(&ticket) else { return };
        gather.reports.sort_by_key(|report| report.shard);
        let page = match &gather.wanted {
            Wanted::Prometheus => Page::Metrics(metrics::prometheus(&gather.reports)),
            Wanted::Metrics(broker) => {
                Page::Metrics(format!("{broker}{}", metrics::prometheus(&gather.reports)))
            }
            Wanted::Rates => Page::Json(rates(&gather.reports).to_string()),
            Wanted::Sessions => Page::Json(Value::Object(sessions(&gather.reports)).to_string()),
            Wanted::Topic(name) => match sessions(&gather.reports).remove(name) {
                Some(topic) => Page::Json(topic.to_string()),
                None => Page::Missing,
            },
        };
        self.answer_report(io, gather.client, page, gather.close, gather.head_only);
    }

    /// Everything this core counts.
    fn core_report(&mut self, io: &Links, rows: bool) -> CoreReport {
        let mut gateway = self.counters.clone();
        gateway.pending_bytes = self.pending_bytes as u64;
        for (_, broker) in self.links.iter() {
            let state = match (broker.link.is_ready(), broker.link.is_connecting()) {
                (true, _) => 2,
                (false, true) => 0,
                (false, false) => 1,
            };
            gateway.links[state] += 1;
        }
        for counters in self.totals().values() {
            gateway.messages_in += counters.published.0 + counters.failures;
            gateway.messages_published += counters.published.0;
            gateway.send_errors += counters.failures;
            gateway.messages_out += counters.delivered.0;
            gateway.acks += counters.acks;
            gateway.publish_latency_sum_micros += counters.latency_sum_micros;
            for (sum, count) in gateway.publish_latency.iter_mut().zip(counters.latency) {
                *sum += count;
            }
        }
        let io_stats = io.stats();
        let mut report = CoreReport { shard: io.shard().0, gateway, ..Default::default() };
        report.io = vec![
            (names::CORE_TURNS.name, io_stats.turns),
            (names::CORE_ENTERS.name, io_stats.enters),
            (names::CORE_COMPLETIONS.name, io_stats.completions),
            (names::CORE_ACCEPTED.name, io_stats.accepted),
            (names::CORE_CLOSED.name, io_stats.closed),
            (names::CORE_OPEN.name, io_stats.open),
            (names::CORE_BYTES_IN.name, io_stats.bytes_in),
            (names::CORE_BYTES_OUT.name, io_stats.bytes_out),
            (names::CORE_STARVED.name, io_stats.starved),
            (names::CORE_PARKS.name, io_stats.parks),
            (names::CORE_STALE.name, io_stats.stale),
            (names::CORE_STALLS.name, io_stats.stalls),
        ];
        if rows {
            self.rows(&mut report);
            report.namespaces = self.reports.last.clone();
        }
        report
    }

    fn rows(&self, report: &mut CoreReport) {
        for (_, session) in self.sessions.iter().filter(|(_, session)| session.open) {
            let Some(topic) = session.main_topic() else { continue };
            let topic = session.stats_name.clone().unwrap_or_else(|| topic.to_string());
            let remote = format!("/{}", session.remote);
            let Some(counters) = session.counters() else { continue };
            match &session.body {
                Body::Producer(_) => {
                    report.producers.push(ProducerRow { topic, remote, published: counters.published.0 });
                }
                Body::Consumer(consumer) => report.consumers.push(ConsumerRow {
                    topic,
                    remote,
                    subscription: consumer.subscription().to_owned(),
                    kind: kind_name(session.subscription_kind),
                    mode: match (session.kind, session.durable) {
                        (SessionKind::Reader, _) => None,
                        (_, true) => Some("Durable"),
                        (_, false) => Some("NonDurable"),
                    },
                    delivered: counters.delivered.0,
                }),
                Body::Opening(_) => {}
            }
        }
    }

    /// Counts per namespace since the core started, live sessions included.
    fn totals(&self) -> BTreeMap<String, NamespaceCounters> {
        let mut totals = self.reports.ended.clone();
        for (_, session) in self.sessions.iter() {
            if let (Some(topic), Some(counters)) = (session.main_topic(), session.counters()) {
                totals.entry(topic.namespace().to_owned()).or_default().add(counters);
            }
        }
        totals
    }

    /// A session has ended: its counts stay.
    pub(super) fn count_ended(&mut self, session: &Session) {
        if let (Some(topic), Some(counters)) = (session.main_topic(), session.counters()) {
            self.reports.ended.entry(topic.namespace().to_owned()).or_default().add(counters);
        }
    }

    /// Starts the intervals of the rates.
    pub(super) fn start_intervals(&mut self, io: &mut Links) {
        io.arm(io.clock().now + INTERVAL, Token::Interval.pack());
    }

    /// An interval is over: its counts are what the statistics show until the next one.
    pub(super) fn interval_timer(&mut self, io: &mut Links) {
        let totals = self.totals();
        let deltas = totals.iter().map(|(name, now)| {
            let before = self.reports.before.get(name).cloned().unwrap_or_default();
            (name.clone(), now.since(&before))
        });
        self.reports.last = deltas.collect();
        self.reports.before = totals;
        io.arm(io.clock().now + INTERVAL, Token::Interval.pack());
    }
}

fn kind_name(kind: SubscriptionType) -> &'static str {
    match kind {
        SubscriptionType::Exclusive => "Exclusive",
        SubscriptionType::Shared => "Shared",
        SubscriptionType::Failover => "Failover",
        SubscriptionType::KeyShared => "Key_Shared",
    }
}

/// `GET /admin/v2/proxy-stats/stats`: topic to its sessions. Topics without sessions are not listed.
fn sessions(reports: &[CoreReport]) -> Map<String, Value> {
    let mut topics: BTreeMap<&str, (Vec<Value>, Vec<Value>)> = BTreeMap::new();
    for report in reports {
        for row in &report.producers {
            topics.entry(&row.topic).or_default().0.push(json!({
                "remoteConnection": row.remote, "numberOfMsgPublished": row.published,
            }));
        }
        for row in &report.consumers {
            let mut entry = json!({
                "remoteConnection": row.remote, "subscriptionName": row.subscription, "subscriptionType": row.kind,
            });
            if let (Some(mode), Some(entry)) = (row.mode, entry.as_object_mut()) {
                entry.insert("subscriptionMode".to_owned(), mode.into());
            }
            if let Some(entry) = entry.as_object_mut() {
                entry.insert("numberOfMsgDelivered".to_owned(), row.delivered.into());
            }
            topics.entry(&row.topic).or_default().1.push(entry);
        }
    }
    let shape = |(producers, consumers)| json!({ "producerStats": producers, "consumerStats": consumers });
    topics.into_iter().map(|(topic, rows)| (topic.to_owned(), shape(rows))).collect()
}

/// `GET /admin/v2/proxy-stats/metrics`: rates per second over the last interval, and the process.
fn rates(reports: &[CoreReport]) -> Value {
    let mut namespaces: BTreeMap<&str, NamespaceCounters> = BTreeMap::new();
    for (name, counters) in reports.iter().flat_map(|report| &report.namespaces) {
        namespaces.entry(name).or_default().add(counters);
    }
    if namespaces.is_empty() {
        return json!([]);
    }
    let rate = |count: u64| count as f64 / INTERVAL.as_secs_f64();
    let mut list: Vec<Value> = Vec::new();
    for (name, counters) in &namespaces {
        let mut entry = json!({
            "ns_msg_publish_rate": rate(counters.published.0), "ns_byte_publish_rate": rate(counters.published.1),
            "ns_msg_failure_rate": rate(counters.failures),
            "ns_msg_deliver_rate": rate(counters.delivered.0), "ns_byte_deliver_rate": rate(counters.delivered.1),
            "ns_msg_ack_rate": rate(counters.acks),
        });
        if let Some(entry) = entry.as_object_mut() {
            for (index, count) in counters.latency.iter().enumerate() {
                let bound = metrics::LATENCY_BOUNDS_MICROS.get(index);
                let label = bound.map_or("1000000_higher".to_owned(), ToString::to_string);
                entry.insert(format!("ns_msg_publish_latency_{label}"), (*count).into());
            }
        }
        list.push(json!({ "metrics": entry, "dimensions": { "namespace": name } }));
    }
    list.push(json!({ "metrics": { "jvm_thread_cnt": reports.len() }, "dimensions": { "system": "jvm" } }));
    Value::Array(list)
}
