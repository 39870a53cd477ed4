//! Parameters to session specs: defaults, ranges and the original's messages, in its order (API 3.1, 4.1, 5).

use crate::base::limit::{RECEIVER_QUEUE_MAX, SEND_TIMEOUT_DEFAULT};
use crate::wire::pulsar::message_id::MessageId;
use crate::wire::pulsar::proto::{CompressionType, InitialPosition, SubscriptionType};
use crate::wire::route::keys;
use crate::wire::route::params::{Params, find};
use crate::wire::route::{
    Batching, ConsumerSpec, CryptoFailureAction, DeadLetterPolicy, HashingScheme, ProducerSpec, ReaderSpec,
    RouteError, RoutingMode, StartPosition, TopicName, Topics,
};
use crate::wire::text::clip;
use std::time::Duration;

/// Messages of a batch when `batchingMaxMessages` is absent. Source: API 3.1.
const BATCH_MESSAGES_DEFAULT: i32 = 1000;
/// `batchingMaxPublishDelay` when absent, milliseconds; also its minimum. Source: API 3.1.
const BATCH_DELAY_DEFAULT_MS: i32 = 1;
/// Shortest `ackTimeoutMillis` that is not 0. Source: API 4.1.
const ACK_TIMEOUT_MIN: Duration = Duration::from_millis(1000);
/// Ack timeout that a dead-letter policy brings along. Source: API 4.1.
const ACK_TIMEOUT_DEAD_LETTER: Duration = Duration::from_secs(30);
/// `negativeAckRedeliveryDelay` when absent, milliseconds. Source: API 4.1.
const NACK_DELAY_DEFAULT_MS: u32 = 60_000;

const HASHING: [(&str, HashingScheme); 2] =
    [("JavaStringHash", HashingScheme::JavaString), ("Murmur3_32Hash", HashingScheme::Murmur3)];
const ROUTING: [(&str, RoutingMode); 3] = [
    ("SinglePartition", RoutingMode::Single),
    ("RoundRobinPartition", RoutingMode::RoundRobin),
    ("CustomPartition", RoutingMode::Single),
];
const COMPRESSION: [(&str, CompressionType); 5] = [
    ("NONE", CompressionType::None),
    ("LZ4", CompressionType::Lz4),
    ("ZLIB", CompressionType::Zlib),
    ("ZSTD", CompressionType::Zstd),
    ("SNAPPY", CompressionType::Snappy),
];
const SUBSCRIPTION_TYPES: [(&str, SubscriptionType); 4] = [
    ("Exclusive", SubscriptionType::Exclusive),
    ("Shared", SubscriptionType::Shared),
    ("Failover", SubscriptionType::Failover),
    ("Key_Shared", SubscriptionType::KeyShared),
];
const SUBSCRIPTION_MODES: [(&str, bool); 2] = [("Durable", true), ("NonDurable", false)];
const INITIAL_POSITIONS: [(&str, InitialPosition); 2] =
    [("Latest", InitialPosition::Latest), ("Earliest", InitialPosition::Earliest)];
const CRYPTO_FAILURE_ACTIONS: [(&str, CryptoFailureAction); 3] = [
    ("FAIL", CryptoFailureAction::Fail),
    ("DISCARD", CryptoFailureAction::Discard),
    ("CONSUME", CryptoFailureAction::Consume),
];

/// A producer session. Keys of client-side encryption switch batching and compression off, values unread.
pub(super) fn producer(topic: TopicName, params: &Params<'_>) -> Result<ProducerSpec, RouteError> {
    let encryption_keys = params.get("encryptionKeys").map_or(Ok(Vec::new()), keys::read)?;
    let encrypted = !encryption_keys.is_empty();
    let name = params.name("producerName")?;
    let initial_sequence_id = params.integer("initialSequenceId")?.unwrap_or(-1);
    let hashing = match params.get("hashingScheme") {
        None => HashingScheme::JavaString,
        Some(value) => find(&HASHING, value).ok_or_else(|| {
            let class = "org.apache.pulsar.client.api.HashingScheme";
            RouteError::invalid(format_args!("No enum constant {class}.{}", clip(value)))
        })?,
    };
    let send_timeout = match params.natural("sendTimeoutMillis", "sendTimeout")? {
        None => Some(SEND_TIMEOUT_DEFAULT),
        Some(millis) => nonzero_millis(millis),
    };
    let batching =
        if params.boolean("batchingEnabled") && !encrypted { Some(batching(params)?) } else { None };
    let pending_messages_max = match batching {
        Some(_) => params.natural("maxPendingMessages", "maxPendingMessages")?,
        // Without batching the original never reads it: bad values pass, good ones are honoured all the same.
        None => params.get("maxPendingMessages").and_then(|value| value.parse::<i32>().ok()?.try_into().ok()),
    };
    let routing = params.choice("messageRoutingMode", &ROUTING, RoutingMode::Single)?;
    let compression = params.choice("compressionType", &COMPRESSION, CompressionType::None)?;
    Ok(ProducerSpec {
        topic,
        name,
        initial_sequence_id,
        hashing,
        routing,
        send_timeout,
        pending_messages_max: pending_messages_max.filter(|messages| *messages > 0),
        compression: if encrypted { CompressionType::None } else { compression },
        batching,
        encryption_keys,
    })
}

fn batching(params: &Params<'_>) -> Result<Batching, RouteError> {
    let messages_max = params.integer("batchingMaxMessages")?.unwrap_or(BATCH_MESSAGES_DEFAULT);
    let millis = params.integer("batchingMaxPublishDelay")?.unwrap_or(BATCH_DELAY_DEFAULT_MS);
    if millis < BATCH_DELAY_DEFAULT_MS {
        return Err(RouteError::invalid("configured value for batch delay must be at least 1ms"));
    }
    Ok(Batching { messages_max, delay: Duration::from_millis(millis.unsigned_abs().into()) })
}

/// A consumer session.
pub(super) fn consumer(
    topics: Topics,
    subscription: String,
    params: &Params<'_>,
) -> Result<ConsumerSpec, RouteError> {
    let ack_timeout = ack_timeout(params)?;
    let kind = params.choice("subscriptionType", &SUBSCRIPTION_TYPES, SubscriptionType::Exclusive)?;
    let durable = params.choice("subscriptionMode", &SUBSCRIPTION_MODES, true)?;
    let initial_position =
        params.choice("subscriptionInitialPosition", &INITIAL_POSITIONS, InitialPosition::Latest)?;
    let receiver_queue = receiver_queue(params)?;
    let name = params.name("consumerName")?;
    // Checked to be a natural number, so it fits.
    let priority = params.natural("priorityLevel", "priorityLevel")?.unwrap_or(0).cast_signed();
    let nack_delay =
        params.natural("negativeAckRedeliveryDelay", "redeliveryDelay")?.unwrap_or(NACK_DELAY_DEFAULT_MS);
    let dead_letter = dead_letter(params)?;
    Ok(ConsumerSpec {
        topics,
        subscription,
        kind,
        durable,
        initial_position,
        receiver_queue,
        ack_timeout: ack_timeout.or(dead_letter.as_ref().map(|_| ACK_TIMEOUT_DEAD_LETTER)),
        name,
        priority,
        nack_delay: Duration::from_millis(nack_delay.into()),
        dead_letter,
        pull: params.boolean("pullMode"),
        crypto_failure: crypto_failure(params),
    })
}

fn ack_timeout(params: &Params<'_>) -> Result<Option<Duration>, RouteError> {
    let millis = params.integer::<i32>("ackTimeoutMillis")?.unwrap_or(0);
    match u32::try_from(millis).map(nonzero_millis) {
        Ok(timeout) if timeout.is_none_or(|timeout| timeout >= ACK_TIMEOUT_MIN) => Ok(timeout),
        _ => Err(RouteError::invalid("Ack timeout should be greater than 1000 ms")),
    }
}

/// Either parameter asks for a policy; the number of redeliveries is then needed.
fn dead_letter(params: &Params<'_>) -> Result<Option<DeadLetterPolicy>, RouteError> {
    let redeliveries: Option<i32> = params.integer("maxRedeliverCount")?;
    let topic = params.get("deadLetterTopic");
    if redeliveries.is_none() && topic.is_none() {
        return Ok(None);
    }
    let redeliveries_max = match u32::try_from(redeliveries.unwrap_or(0)) {
        Ok(redeliveries) if redeliveries > 0 => redeliveries,
        _ => return Err(RouteError::invalid("MaxRedeliverCount must be > 0.")),
    };
    let topic = match topic.map(TopicName::parse).transpose() {
        Ok(topic) => topic,
        Err(error) => return Err(RouteError::invalid(format_args!("Invalid deadLetterTopic: {error}"))),
    };
    Ok(Some(DeadLetterPolicy { redeliveries_max, topic }))
}

/// A reader session.
pub(super) fn reader(topic: TopicName, params: &Params<'_>) -> Result<ReaderSpec, RouteError> {
    let receiver_queue = receiver_queue(params)?;
    let start = match params.get("messageId").unwrap_or_default() {
        "earliest" => StartPosition::Earliest,
        text if text == "latest" || text.trim().is_empty() => StartPosition::Latest,
        text => start_after(MessageId::from_text(text).map_err(RouteError::invalid)?),
    };
    Ok(ReaderSpec {
        topic,
        name: params.get("readerName").filter(|name| !name.is_empty()).map(str::to_owned),
        receiver_queue,
        start,
        crypto_failure: crypto_failure(params),
    })
}

/// The ids that stand for both ends mean them, also on partitioned topics.
fn start_after(id: MessageId) -> StartPosition {
    match (id.ledger, id.entry) {
        MessageId::EARLIEST => StartPosition::Earliest,
        MessageId::LATEST => StartPosition::Latest,
        _ => StartPosition::After(id),
    }
}

fn receiver_queue(params: &Params<'_>) -> Result<u32, RouteError> {
    let asked = params.natural("receiverQueueSize", "receiverQueueSize")?;
    Ok(asked.unwrap_or(RECEIVER_QUEUE_MAX).min(RECEIVER_QUEUE_MAX))
}

/// Unknown words count as absent.
fn crypto_failure(params: &Params<'_>) -> CryptoFailureAction {
    let word = params.get("cryptoFailureAction").unwrap_or_default();
    find(&CRYPTO_FAILURE_ACTIONS, word).unwrap_or(CryptoFailureAction::Fail)
}

fn nonzero_millis(millis: u32) -> Option<Duration> {
    (millis > 0).then(|| Duration::from_millis(millis.into()))
}
