//! What a run does, and which connection plays which part in it.

use std::net::SocketAddr;
use std::time::Duration;

/// The subcommand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Produce,
    Consume,
    EndToEnd,
    FanOut,
    IdleProducers,
    IdleConsumers,
    Storm,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Produce => "produce",
            Mode::Consume => "consume",
            Mode::EndToEnd => "end-to-end",
            Mode::FanOut => "fan-out",
            Mode::IdleProducers => "idle producers",
            Mode::IdleConsumers => "idle consumers",
            Mode::Storm => "storm",
        }
    }

    /// A message is done when it is delivered, not when it is confirmed.
    pub(crate) fn counts_deliveries(self) -> bool {
        matches!(self, Mode::Consume | Mode::EndToEnd | Mode::FanOut)
    }
}

/// How the server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Ws,
    Pulsar,
}

/// How producers decide when to send.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pacing {
    /// Each keeps this many messages unconfirmed.
    Closed { depth: usize },
    /// So many a second, all together, whatever the answers do.
    Open { rate: f64 },
}

/// What to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) mode: Mode,
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddr,
    /// `host:port` as it was given.
    pub(crate) host: String,
    pub(crate) connections: usize,
    pub(crate) topic: String,
    pub(crate) topics: usize,
    pub(crate) producer_query: String,
    pub(crate) consumer_query: String,
    pub(crate) pacing: Pacing,
    /// Payload bytes before base64.
    pub(crate) size: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    /// End after this many messages received.
    pub(crate) messages_max: Option<u64>,
    pub(crate) server_pid: Option<u32>,
    pub(crate) server_metrics: Option<String>,
    /// One thread each; empty: one thread, not pinned.
    pub(crate) cores: Vec<usize>,
}

/// The part of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    /// None: a producer.
    pub(crate) subscription: Option<String>,
    /// Within `persistent://public/default`.
    pub(crate) topic: String,
}

impl Plan {
    /// Threads.
    pub(crate) fn workers(&self) -> usize {
        self.cores.len().max(1)
    }

    pub(crate) fn topic_of(&self, number: usize) -> String {
        format!("{}-{}", self.topic, number % self.topics)
    }

    /// All connections; consumers come first, so that they are there when producers begin.
    pub(crate) fn seats(&self) -> Vec<Seat> {
        let producer = |number| Seat { subscription: None, topic: self.topic_of(number) };
        let consumer = |number, subscription: &str| Seat {
            subscription: Some(subscription.to_owned()),
            topic: self.topic_of(number),
        };
        let all = 0..self.connections;
        match self.mode {
            Mode::Produce | Mode::IdleProducers => all.map(producer).collect(),
            Mode::Consume | Mode::IdleConsumers => all.map(|number| consumer(number, "load")).collect(),
            Mode::EndToEnd => {
                all.clone().map(|number| consumer(number, "load")).chain(all.map(producer)).collect()
            }
            Mode::FanOut => {
                let consumers = all.map(|number| consumer(number, &format!("load-{number}")));
                consumers.chain([producer(0)]).collect()
            }
            Mode::Storm => Vec::new(),
        }
    }
}

/// Nanoseconds; what does not fit never comes.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
