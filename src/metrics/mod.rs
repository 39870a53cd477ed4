//! Counters: plain numbers in each core, added up when somebody asks, named once in [`names`].

pub mod names;
mod prometheus;

#[cfg(test)]
mod tests;

pub use prometheus::prometheus;

/// Upper bounds of the publish latency buckets, microseconds; one more bucket lies above. Source: API 3.6.
pub const LATENCY_BOUNDS_MICROS: [u64; 9] =
    [500, 1_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 1_000_000];

/// Counters of one core's gateway. Plain numbers: only their core writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayCounters {
    /// Open sessions by kind: producers, consumers, readers.
    pub sessions: [u64; 3],
    /// Sessions ever opened, by kind.
    pub sessions_opened: [u64; 3],
    /// Upgrades refused, by status class: 4xx, 5xx.
    pub refused: [u64; 2],
    /// Bytes of WebSocket frames received.
    pub bytes_received: u64,
    /// Bytes of WebSocket frames sent.
    pub bytes_sent: u64,
    /// Messages accepted from producers.
    pub messages_in: u64,
    /// Messages delivered to consumers and readers.
    pub messages_out: u64,
    /// Messages confirmed by brokers.
    pub messages_published: u64,
    /// Failure acks sent.
    pub send_errors: u64,
    /// Acknowledgements received from consumers.
    pub acks: u64,
    /// Publish latency: counts per bucket of [`LATENCY_BOUNDS_MICROS`], the last one above all bounds.
    pub publish_latency: [u64; 10],
    /// Sum of publish latencies, microseconds.
    pub publish_latency_sum_micros: u64,
    /// Bytes waiting for a broker's confirmation.
    pub pending_bytes: u64,
    /// Times a producer session was not read from because its budget was used up.
    pub producer_pauses: u64,
    /// Frames or texts that broke the protocol.
    pub violations: u64,
    /// Broker links by state: connecting, handshaking, ready.
    pub links: [u64; 3],
    /// Broker links that were lost.
    pub links_lost: u64,
    /// Events for a session or link that was gone already.
    pub stale_events: u64,
}

/// One producer session in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerRow {
    /// Key of the statistics: the full topic name.
    pub topic: String,
    /// `/127.0.0.1:54321`.
    pub remote: String,
    /// Messages confirmed.
    pub published: u64,
}

/// One consumer or reader session in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRow {
    /// Key of the statistics: the full topic name, or a synthetic one for several topics.
    pub topic: String,
    /// `/127.0.0.1:54321`.
    pub remote: String,
    /// Subscription name.
    pub subscription: String,
    /// `Exclusive`, `Shared`, `Failover`, `Key_Shared`.
    pub kind: &'static str,
    /// `Durable`, `NonDurable`; absent for readers.
    pub mode: Option<&'static str>,
    /// Messages delivered.
    pub delivered: u64,
}

/// Counts of one namespace since the core started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceCounters {
    /// Messages and bytes published.
    pub published: (u64, u64),
    /// Failed publishes.
    pub failures: u64,
    /// Messages and bytes delivered.
    pub delivered: (u64, u64),
    /// Acks received.
    pub acks: u64,
    /// Publish latency buckets.
    pub latency: [u64; 10],
    /// Sum of publish latencies, microseconds.
    pub latency_sum_micros: u64,
}

impl NamespaceCounters {
    /// Adds the counts of another.
    pub fn add(&mut self, other: &NamespaceCounters) {
        self.combine(other, |a, b| a + b);
    }

    /// The counts since `earlier`.
    pub fn since(&self, earlier: &NamespaceCounters) -> NamespaceCounters {
        let mut delta = self.clone();
        delta.combine(earlier, u64::saturating_sub);
        delta
    }

    /// Counts one successful publish that took this long.
    pub fn record_latency(&mut self, micros: u64) {
        let bucket = LATENCY_BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        self.latency[bucket] += 1;
        self.latency_sum_micros = self.latency_sum_micros.saturating_add(micros);
    }

    fn combine(&mut self, other: &NamespaceCounters, with: impl Fn(u64, u64) -> u64) {
        self.published =
            (with(self.published.0, other.published.0), with(self.published.1, other.published.1));
        self.failures = with(self.failures, other.failures);
        self.delivered =
            (with(self.delivered.0, other.delivered.0), with(self.delivered.1, other.delivered.1));
        self.acks = with(self.acks, other.acks);
        self.latency_sum_micros = with(self.latency_sum_micros, other.latency_sum_micros);
        for (mine, theirs) in self.latency.iter_mut().zip(other.latency) {
            *mine = with(*mine, theirs);
        }
    }
}

/// One core's answer to a request for numbers.
#[derive(Clone, Debug, Default)]
pub struct CoreReport {
    /// Which core.
    pub shard: u16,
    /// Its gateway counters.
    pub gateway: GatewayCounters,
    /// Its I/O counters, under the names of [`names`]; others are not shown.
    pub io: Vec<(&'static str, u64)>,
    /// Producer sessions, if asked for.
    pub producers: Vec<ProducerRow>,
    /// Consumer and reader sessions, if asked for.
    pub consumers: Vec<ConsumerRow>,
    /// Per namespace, if asked for.
    pub namespaces: Vec<(String, NamespaceCounters)>,
}
