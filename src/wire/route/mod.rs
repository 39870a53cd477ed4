//! URLs to what they ask for: endpoints, topics, subscriptions, parameters (API 1, 3.1, 4.1, 5).

mod keys;
pub mod params;
mod path;
mod spec;
pub mod topic;

#[cfg(test)]
mod tests;

use crate::wire::pulsar::entry::EncryptionKey;
use crate::wire::pulsar::message_id::MessageId;
use crate::wire::pulsar::proto::{CompressionType, InitialPosition, SubscriptionType};
use params::Params;
use std::fmt;
use std::time::Duration;

pub use topic::TopicName;

/// A URL that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {message}")]
pub struct RouteError {
    /// HTTP status.
    pub status: u16,
    /// Text for the client, e.g. `Invalid query params: For input string: "abc"`.
    pub message: String,
}

impl RouteError {
    /// 400: the client's URL is at fault. The prefix is part of the API (2.1).
    fn invalid(detail: impl fmt::Display) -> Self {
        RouteError { status: 400, message: format!("Invalid query params: {detail}") }
    }
}

/// How keys choose partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashingScheme {
    /// `String.hashCode`.
    JavaString,
    /// MurmurHash3.
    Murmur3,
}

/// How messages without a key choose partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoutingMode {
    /// One partition for the session's life (also what `CustomPartition` means).
    Single,
    /// One after another.
    RoundRobin,
}

/// Batching of a producer session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// A batch ends at this many messages; 0 and negative: no bound by count.
    pub messages_max: i32,
    /// A batch ends this long after its first message.
    pub delay: Duration,
}

/// A producer session, as its URL asks for it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProducerSpec {
    /// The topic: not partitioned, partitioned, or one partition.
    pub topic: TopicName,
    /// `producerName`; `None`: the broker generates one.
    pub name: Option<String>,
    /// `initialSequenceId`: the first message gets this plus 1. -1: from the broker's answer.
    pub initial_sequence_id: i64,
    /// `hashingScheme`.
    pub hashing: HashingScheme,
    /// `messageRoutingMode`.
    pub routing: RoutingMode,
    /// `sendTimeoutMillis`; `None`: never.
    pub send_timeout: Option<Duration>,
    /// `maxPendingMessages`; `None`: bounded by bytes only (the session is then not read from instead of
    /// refused).
    pub pending_messages_max: Option<u32>,
    /// `compressionType`.
    pub compression: CompressionType,
    /// `batchingEnabled` and its limits.
    pub batching: Option<Batching>,
    /// Client-side encryption keys; empty: not encrypted. Non-empty switches batching and compression off.
    pub encryption_keys: Vec<EncryptionKey>,
}

/// Which topics a consumer session is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topics {
    /// One topic (V1, V2).
    One(TopicName),
    /// A list (V3 `topics`).
    Many(Vec<TopicName>),
    /// A pattern (V3 `topicsPattern`): namespace and the expression, which must match
    /// `tenant/namespace/local` whole.
    Pattern {
        /// `tenant/namespace`.
        namespace: String,
        /// The expression, scheme removed.
        expression: String,
        /// The parameter's text, for logs and statistics.
        text: String,
    },
}

/// What to do with a message that cannot be decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CryptoFailureAction {
    /// Deliver nothing; the message stays in the backlog.
    Fail,
    /// Acknowledge and drop.
    Discard,
    /// Deliver the ciphertext with its `encryptionContext`.
    Consume,
}

/// Dead-letter policy of a consumer session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterPolicy {
    /// Redeliveries before a message is moved; at least 1.
    pub redeliveries_max: u32,
    /// Destination; `None`: `{topic}-{subscription}-DLQ`.
    pub topic: Option<TopicName>,
}

/// A consumer session, as its URL asks for it.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerSpec {
    /// Which topics.
    pub topics: Topics,
    /// Subscription name, decoded.
    pub subscription: String,
    /// `subscriptionType`.
    pub kind: SubscriptionType,
    /// `subscriptionMode`: a durable cursor or none.
    pub durable: bool,
    /// `subscriptionInitialPosition`.
    pub initial_position: InitialPosition,
    /// `receiverQueueSize`, clamped to 1000; 0 stays 0.
    pub receiver_queue: u32,
    /// `ackTimeoutMillis`; a dead-letter policy switches it on at 30 s.
    pub ack_timeout: Option<Duration>,
    /// `consumerName`.
    pub name: Option<String>,
    /// `priorityLevel`.
    pub priority: i32,
    /// `negativeAckRedeliveryDelay`.
    pub nack_delay: Duration,
    /// `maxRedeliverCount`, `deadLetterTopic`.
    pub dead_letter: Option<DeadLetterPolicy>,
    /// `pullMode`.
    pub pull: bool,
    /// `cryptoFailureAction`.
    pub crypto_failure: CryptoFailureAction,
}

/// Where a reader begins; a concrete id is exclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartPosition {
    /// The oldest message.
    Earliest,
    /// Only new messages.
    Latest,
    /// After this message.
    After(MessageId),
}

/// A reader session, as its URL asks for it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReaderSpec {
    /// The topic.
    pub topic: TopicName,
    /// `readerName`; empty counts as absent.
    pub name: Option<String>,
    /// `receiverQueueSize`, clamped to 1000.
    pub receiver_queue: u32,
    /// `messageId`.
    pub start: StartPosition,
    /// `cryptoFailureAction`.
    pub crypto_failure: CryptoFailureAction,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Route {
    /// A producer session.
    Producer(Box<ProducerSpec>),
    /// A consumer session, single- or multi-topic.
    Consumer(Box<ConsumerSpec>),
    /// A reader session.
    Reader(Box<ReaderSpec>),
}

/// Which WebSocket mount a path lies under, before anything else of it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mount {
    /// `/ws/v2/producer/`, `/ws/producer/`.
    Producer,
    /// `/ws/v2/consumer/`, `/ws/consumer/`.
    Consumer,
    /// `/ws/v3/consumer/`.
    MultiConsumer,
    /// `/ws/v2/reader/`, `/ws/reader/`.
    Reader,
}

/// The mount of a request target (path and query); `None`: no WebSocket endpoint (404 unless it is another
/// page). A mount without its trailing slash is `Err` with the location to redirect to (302).
pub fn mount(target: &str) -> Result<Option<Mount>, String> {
    let (path, query) = path::split(target);
    for (prefix, mount) in path::MOUNTS {
        if let Some(rest) = path.strip_prefix(prefix) {
            if rest.starts_with('/') {
                return Ok(Some(mount));
            }
            if rest.is_empty() {
                return Err(query.map_or_else(|| format!("{prefix}/"), |query| format!("{prefix}/?{query}")));
            }
        }
    }
    Ok(None)
}

/// Reads a request target under a mount into what it asks for. Checks in the order of API 2.2, errors as in
/// 1.3 with the deliberate differences: 400 throughout.
pub fn route(mount: Mount, target: &str) -> Result<Route, RouteError> {
    let (path, query) = path::split(target);
    let elements: Vec<&str> = path.split('/').collect();
    // A query that cannot be decoded tells before its parameters are needed, but after the path.
    let params = || Params::read(query.unwrap_or_default());
    Ok(match mount {
        Mount::Producer => {
            let topic = path::topic(&elements, elements.len())?;
            Route::Producer(Box::new(spec::producer(topic, &params()?)?))
        }
        Mount::Consumer => {
            let topic = path::topic(&elements, elements.len() - 1)?;
            let subscription = path::subscription(&elements)?;
            Route::Consumer(Box::new(spec::consumer(Topics::One(topic), subscription, &params()?)?))
        }
        Mount::MultiConsumer => {
            let params = params()?;
            let topics = path::topics(&params)?;
            let subscription = path::multi_subscription(&elements)?;
            Route::Consumer(Box::new(spec::consumer(topics, subscription, &params)?))
        }
        Mount::Reader => {
            let topic = path::topic(&elements, elements.len())?;
            Route::Reader(Box::new(spec::reader(topic, &params()?)?))
        }
    })
}

/// The value of `token` in a query, decoded; for authentication and for leaving it out of logs.
pub fn token(target: &str) -> Option<String> {
    let query = path::split(target).1?;
    let named = |name: &str| params::form_decode(name).is_some_and(|name| name == "token");
    let (_, value) = params::raw_pairs(query).find(|(name, _)| named(name))?;
    params::form_decode(value).map(|value| value.into_owned())
}
