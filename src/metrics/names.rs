//! One constant per metric: its name, its type, and what it says. What is not in [`ALL`] is not exposed.
//! `pulsar_websocket_*` are sums over the cores; `pulsegate_*` with a label `core` are one core's own.

/// A metric as Prometheus knows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Unique name.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: Type,
    /// One line for people.
    pub help: &'static str,
}

/// Types of the Prometheus text format that are in use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts per bucket.
    Histogram,
}

impl Type {
    /// The word of the `# TYPE` line.
    pub fn word(self) -> &'static str {
        match self {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        }
    }
}

/// Declares the constants and the list of them all, so that none can be forgotten.
macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric { name: $name, kind: Type::$kind, help: $help };
        )*
        /// Every metric, in the order of the page.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    BUILD_INFO = Gauge "pulsegate_build_info",
        "Version and commit of the running program, as labels; always 1.";
    PRODUCER_SESSIONS = Gauge "pulsar_websocket_num_producer_sessions", "Open producer sessions.";
    CONSUMER_SESSIONS = Gauge "pulsar_websocket_num_consumer_sessions", "Open consumer sessions.";
    READER_SESSIONS = Gauge "pulsar_websocket_num_reader_sessions", "Open reader sessions.";
    BYTES_RECEIVED = Counter "pulsar_websocket_bytes_received", "Bytes of WebSocket frames received.";
    BYTES_SENT = Counter "pulsar_websocket_bytes_sent", "Bytes of WebSocket frames sent.";
    SESSIONS_OPENED = Counter "pulsegate_sessions_opened_total", "Sessions ever opened, by kind.";
    UPGRADES_REFUSED = Counter "pulsegate_upgrades_refused_total",
        "Upgrades refused, by class of the HTTP status.";
    MESSAGES_IN = Counter "pulsegate_messages_in_total", "Messages accepted from producers.";
    MESSAGES_OUT = Counter "pulsegate_messages_out_total", "Messages delivered to consumers and readers.";
    MESSAGES_PUBLISHED = Counter "pulsegate_messages_published_total", "Messages confirmed by brokers.";
    SEND_ERRORS = Counter "pulsegate_send_errors_total", "Messages answered with an error.";
    ACKS = Counter "pulsegate_acks_total", "Acknowledgements received from consumers.";
    PUBLISH_LATENCY = Histogram "pulsegate_publish_latency_seconds",
        "Time from a producer's message to its confirmation by the broker.";
    PENDING_BYTES = Gauge "pulsegate_pending_bytes",
        "Bytes of messages that wait for a broker's confirmation.";
    PRODUCER_PAUSES = Counter "pulsegate_producer_pauses_total",
        "Times a producer session was not read from because its budget was used up.";
    VIOLATIONS = Counter "pulsegate_protocol_violations_total",
        "Frames or texts of clients that broke the protocol.";
    LINKS = Gauge "pulsegate_broker_links", "Connections to brokers, by core and state.";
    LINKS_LOST = Counter "pulsegate_broker_links_lost_total",
        "Connections to brokers that were lost, by core.";
    STALE_EVENTS = Counter "pulsegate_stale_events_total",
        "Events for a session or link that was gone already, by core.";
    CORE_TURNS = Counter "pulsegate_core_turns_total", "Turns of the core's loop.";
    CORE_ENTERS = Counter "pulsegate_core_enters_total", "Calls of io_uring_enter, or polls.";
    CORE_COMPLETIONS = Counter "pulsegate_core_completions_total", "I/O completions.";
    CORE_ACCEPTED = Counter "pulsegate_core_connections_accepted_total", "Connections accepted.";
    CORE_CLOSED = Counter "pulsegate_core_connections_closed_total", "Connections closed.";
    CORE_OPEN = Gauge "pulsegate_core_connections", "Connections open, to clients and to brokers.";
    CORE_BYTES_IN = Counter "pulsegate_core_received_bytes_total", "Bytes received on all connections.";
    CORE_BYTES_OUT = Counter "pulsegate_core_sent_bytes_total", "Bytes sent on all connections.";
    CORE_STARVED = Counter "pulsegate_core_starved_receives_total", "Receives that found no free buffer.";
    CORE_PARKS = Counter "pulsegate_core_parks_total", "Times the core went to sleep.";
    CORE_STALE = Counter "pulsegate_core_stale_completions_total",
        "Completions for a connection that was gone already; must stay 0.";
    CORE_STALLS = Counter "pulsegate_core_stalls_total",
        "Times the watchdog found the core's loop standing still.";
}
