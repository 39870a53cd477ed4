//! Statistics of topics as JSON (broker 6.7): all keys, in the order of the original, zero or empty where there is nothing.

use serde_json::{Map, Value, json};

use crate::broker::admin::{AdminAnswer, AdminAsk, Refused, StatsOptions};
use crate::broker::stats::{ConsumerStats, PublisherStats, SubscriptionStats, TopicStats};
use crate::service::admin::cx::{Cx, Flow};
use crate::service::admin::messages::iso;
use crate::service::admin::route::Handler;
use crate::service::admin::topics::{plain, unexpected};
use crate::service::admin::web::WebAnswer;
use crate::wire::route::TopicName;

/// `path` is what follows the topic.
pub(super) fn find(method: &str, path: &[&str]) -> Option<Handler> {
    Some(match (method, path) {
        ("GET", ["stats"]) => one,
        ("GET", ["partitioned-stats"]) => partitioned,
        _ => return None,
    })
}

/// An object with these members in this order.
pub(super) fn object<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn options(cx: &Cx<'_>) -> StatsOptions {
    let query = &cx.request.query;
    StatsOptions {
        backlog_bytes: query.get("subscriptionBacklogSize").is_none_or(|value| value != "false"),
        earliest: query.flag("getEarliestTimeInBacklog"),
        exclude_publishers: query.flag("excludePublishers"),
        exclude_consumers: query.flag("excludeConsumers"),
    }
}

fn one(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = plain(cx, 404)?;
    let ask = AdminAsk::Stats { topic: topic.to_string(), options: options(cx) };
    match cx.ask_one(&topic, ask)? {
        AdminAnswer::Stats(stats) => {
            let mut shown = topic_json(stats, true);
            shown.insert("ownerBroker".into(), cx.web_address().into());
            Ok(WebAnswer::json(&Value::Object(shown)))
        }
        other => Err(unexpected(other)),
    }
}

/// `{"partitions":N,"deleted":false,…}` of a record.
pub(super) fn metadata_json(cx: &Cx<'_>, topic: &TopicName, count: u32) -> Value {
    let mut shown = object([("partitions", count.into()), ("deleted", false.into())]);
    if let Some(record) = cx.catalogue.partitioned(topic).filter(|record| !record.properties.is_empty()) {
        shown.insert("properties".into(), Value::Object(record.properties.clone()));
    }
    Value::Object(shown)
}

/// The partitioned topic of the path, and how many partitions it has.
pub(super) fn partitioned_topic(cx: &mut Cx<'_>) -> Flow<(TopicName, u32)> {
    let topic = cx.known_topic()?;
    match cx.partitions(&topic)? {
        0 => {
            Err(Refused::new(404, format!("Partitioned Topic not found: {topic} has zero partitions")).into())
        }
        count => Ok((topic, count)),
    }
}

fn partitioned(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let (topic, count) = partitioned_topic(cx)?;
    let options = options(cx);
    let each = cx.request.query.flag("perPartition");
    let answers =
        cx.ask_partitions(&topic, 0..count, Some(404), |topic| AdminAsk::Stats { topic, options })?;
    let mut sum = TopicStats { persistent: topic.is_persistent(), ..Default::default() };
    (sum.quota_bytes, sum.quota_seconds, sum.oldest_backlog_seconds) = (-1, -1, -1);
    let mut partitions = Map::new();
    for (index, answer) in (0..).zip(answers) {
        if let AdminAnswer::Stats(stats) = answer {
            add_topic(&mut sum, stats);
            if each {
                let mut shown = topic_json(stats, true);
                shown.insert("ownerBroker".into(), cx.web_address().into());
                partitions.insert(topic.with_partition(index).to_string(), Value::Object(shown));
            }
        }
    }
    let mut shown = topic_json(&sum, false);
    shown.insert("metadata".into(), metadata_json(cx, &topic, count));
    shown.insert("partitions".into(), Value::Object(partitions));
    Ok(WebAnswer::json(&Value::Object(shown)))
}

/// A topic; `single`: it is one, and not the sum of its partitions.
pub(super) fn topic_json(stats: &TopicStats, single: bool) -> Map<String, Value> {
    let mut shown = object([
        ("msgRateIn", stats.published.rate.into()),
        ("msgThroughputIn", stats.published.throughput.into()),
        ("msgRateOut", stats.delivered.rate.into()),
        ("msgThroughputOut", stats.delivered.throughput.into()),
        ("bytesInCounter", stats.published.bytes.into()),
        ("msgInCounter", stats.published.messages.into()),
        ("systemTopicBytesInCounter", 0.into()),
        ("bytesOutCounter", stats.delivered.bytes.into()),
        ("msgOutCounter", stats.delivered.messages.into()),
        ("bytesOutInternalCounter", 0.into()),
        ("averageMsgSize", stats.average_message_size.into()),
        ("msgChunkPublished", stats.chunked.into()),
        ("storageSize", stats.storage_bytes.into()),
        ("backlogSize", stats.backlog_bytes.into()),
        ("backlogQuotaLimitSize", stats.quota_bytes.into()),
        ("backlogQuotaLimitTime", stats.quota_seconds.into()),
        ("oldestBacklogMessageAgeSeconds", stats.oldest_backlog_seconds.into()),
    ]);
    if let Some(name) = &stats.oldest_backlog_subscription {
        shown.insert("oldestBacklogMessageSubscriptionName".into(), name.clone().into());
    }
    shown.extend(object([
        ("publishRateLimitedTimes", stats.throttled.into()),
        ("earliestMsgPublishTimeInBacklogs", stats.earliest_in_backlogs_ms.into()),
        ("offloadedStorageSize", 0.into()),
        ("lastOffloadLedgerId", 0.into()),
        ("lastOffloadSuccessTimeStamp", 0.into()),
        ("lastOffloadFailureTimeStamp", 0.into()),
        ("ongoingTxnCount", 0.into()),
        ("abortedTxnCount", 0.into()),
        ("committedTxnCount", 0.into()),
    ]));
    if !stats.persistent {
        shown.insert("msgDropRate".into(), stats.drop_rate.into());
    }
    let publisher = |publisher: &PublisherStats| Value::Object(publisher_json(publisher, stats.persistent));
    let publishers: Vec<Value> = stats.publishers.iter().map(publisher).collect();
    let subscription = |(name, subscription): (&String, &SubscriptionStats)| {
        (name.clone(), Value::Object(subscription_json(subscription, stats.persistent)))
    };
    let subscriptions: Map<String, Value> = stats.subscriptions.iter().map(subscription).collect();
    shown.extend(object([
        ("publishers", Value::Array(publishers)),
        ("waitingPublishers", stats.waiting_publishers.into()),
        ("subscriptions", Value::Object(subscriptions)),
        ("replication", json!({})),
    ]));
    if single && stats.persistent {
        let status = if stats.deduplication { "Enabled" } else { "Disabled" };
        shown.insert("deduplicationStatus".into(), status.into());
    }
    if let Some(epoch) = stats.epoch {
        shown.insert("topicEpoch".into(), epoch.into());
    }
    shown.extend(indexes_json(stats));
    shown
}

/// What a topic holds beside its entries.
fn indexes_json(stats: &TopicStats) -> Map<String, Value> {
    let runs = |read: fn(&SubscriptionStats) -> u64| stats.subscriptions.values().map(read).sum::<u64>();
    let compaction = object([
        ("lastCompactionRemovedEventCount", stats.compaction_removed.into()),
        ("lastCompactionSucceedTimestamp", stats.compacted_ms.into()),
        ("lastCompactionFailedTimestamp", 0.into()),
        ("lastCompactionDurationTimeInMills", 0.into()),
    ]);
    object([
        ("nonContiguousDeletedMessagesRanges", runs(|subscription| subscription.runs).into()),
        (
            "nonContiguousDeletedMessagesRangesSerializedSize",
            runs(|subscription| subscription.runs_bytes).into(),
        ),
        ("delayedMessageIndexSizeInBytes", runs(|subscription| subscription.delayed_bytes).into()),
        ("compaction", Value::Object(compaction)),
    ])
}

/// Where a client comes from. Sessions of this process have no connection.
fn address(address: Option<std::net::SocketAddr>) -> Value {
    address.map_or_else(|| "embedded".into(), |address| format!("/{address}").into())
}

pub(super) fn publisher_json(stats: &PublisherStats, persistent: bool) -> Map<String, Value> {
    let mut shown = object([
        ("accessMode", stats.access_mode.into()),
        ("msgRateIn", stats.published.rate.into()),
        ("msgThroughputIn", stats.published.throughput.into()),
        ("averageMsgSize", stats.average_message_size.into()),
        ("chunkedMessageRate", stats.chunked_rate.into()),
        ("producerId", stats.producer_id.into()),
        ("supportsPartialProducer", stats.supports_partial_producer.into()),
        ("producerName", stats.name.clone().into()),
        ("address", address(stats.address)),
        ("connectedSince", iso(stats.connected_since_ms).into()),
        ("clientVersion", stats.client_version.clone().into()),
        ("metadata", json!(stats.metadata)),
    ]);
    if !persistent {
        shown.insert("msgDropRate".into(), stats.drop_rate.into());
    }
    shown
}

pub(super) fn subscription_json(stats: &SubscriptionStats, persistent: bool) -> Map<String, Value> {
    let mut shown = object([
        ("msgRateOut", stats.delivered.rate.into()),
        ("msgThroughputOut", stats.delivered.throughput.into()),
        ("bytesOutCounter", stats.delivered.bytes.into()),
        ("msgOutCounter", stats.delivered.messages.into()),
        ("msgRateRedeliver", stats.redeliver_rate.into()),
        ("messageAckRate", stats.ack_rate.into()),
        ("chunkedMessageRate", stats.chunked_rate.into()),
        ("msgBacklog", stats.backlog.into()),
        ("backlogSize", stats.backlog_bytes.into()),
        ("earliestMsgPublishTimeInBacklog", stats.earliest_in_backlog_ms.into()),
        ("msgBacklogNoDelayed", stats.backlog.saturating_sub(stats.delayed).into()),
        ("blockedSubscriptionOnUnackedMsgs", stats.blocked.into()),
        ("msgDelayed", stats.delayed.into()),
        ("msgInReplay", stats.in_replay.into()),
        ("unackedMessages", stats.unacked.into()),
        ("type", stats.kind.into()),
    ]);
    if matches!(stats.kind, "Exclusive" | "Failover")
        && let Some(name) = &stats.active_consumer
    {
        shown.insert("activeConsumerName".into(), name.clone().into());
    }
    let keyed = stats.kind == "Key_Shared";
    let consumers: Vec<Value> =
        stats.consumers.iter().map(|consumer| Value::Object(consumer_json(consumer, keyed))).collect();
    shown.extend(object([
        ("msgRateExpired", stats.expired_rate.into()),
        ("totalMsgExpired", stats.expired.into()),
        ("lastExpireTimestamp", stats.last_expire_ms.into()),
        ("lastConsumedFlowTimestamp", stats.last_flow_ms.into()),
        ("lastConsumedTimestamp", stats.last_consumed_ms.into()),
        ("lastAckedTimestamp", stats.last_acked_ms.into()),
        ("lastMarkDeleteAdvancedTimestamp", stats.last_advanced_ms.into()),
        ("consumers", Value::Array(consumers)),
        ("isDurable", stats.durable.into()),
        ("isReplicated", stats.replicated.into()),
        ("allowOutOfOrderDelivery", stats.out_of_order.into()),
    ]));
    if let Some(mode) = stats.key_shared_mode {
        shown.insert("keySharedMode".into(), mode.into());
    }
    let draining = || stats.consumers.iter().flat_map(|consumer| &consumer.draining);
    shown.extend(object([
        ("consumersAfterMarkDeletePosition", json!({})),
        ("drainingHashesCount", draining().count().into()),
        ("drainingHashesClearedTotal", stats.drained.into()),
        ("drainingHashesUnackedMessages", draining().map(|hash| u64::from(hash.unacked)).sum::<u64>().into()),
        ("nonContiguousDeletedMessagesRanges", stats.runs.into()),
        ("nonContiguousDeletedMessagesRangesSerializedSize", stats.runs_bytes.into()),
        ("delayedMessageIndexSizeInBytes", stats.delayed_bytes.into()),
        ("subscriptionProperties", json!(stats.properties)),
        ("filterProcessedMsgCount", 0.into()),
        ("filterAcceptedMsgCount", 0.into()),
        ("filterRejectedMsgCount", 0.into()),
        ("filterRescheduledMsgCount", 0.into()),
        ("dispatchThrottledMsgEventsBySubscriptionLimit", 0.into()),
        ("dispatchThrottledBytesEventsBySubscriptionLimit", 0.into()),
        ("dispatchThrottledMsgEventsByTopicLimit", 0.into()),
        ("dispatchThrottledBytesEventsByTopicLimit", 0.into()),
        ("dispatchThrottledMsgEventsByBrokerLimit", 0.into()),
        ("dispatchThrottledBytesEventsByBrokerLimit", 0.into()),
    ]));
    if !persistent {
        shown.insert("msgDropRate".into(), stats.drop_rate.into());
    }
    shown.extend(object([("durable", stats.durable.into()), ("replicated", stats.replicated.into())]));
    shown
}

fn consumer_json(stats: &ConsumerStats, keyed: bool) -> Map<String, Value> {
    let mut shown = object([
        ("msgRateOut", stats.delivered.rate.into()),
        ("msgThroughputOut", stats.delivered.throughput.into()),
        ("bytesOutCounter", stats.delivered.bytes.into()),
        ("msgOutCounter", stats.delivered.messages.into()),
        ("msgRateRedeliver", stats.redeliver_rate.into()),
        ("messageAckRate", stats.ack_rate.into()),
        ("chunkedMessageRate", stats.chunked_rate.into()),
        ("consumerName", stats.name.clone().into()),
        ("availablePermits", stats.available_permits.into()),
        ("unackedMessages", stats.unacked.into()),
        ("avgMessagesPerEntry", stats.messages_per_entry.into()),
        ("blockedConsumerOnUnackedMsgs", stats.blocked.into()),
        ("drainingHashesCount", stats.draining.len().into()),
        ("drainingHashesClearedTotal", stats.drained.into()),
        (
            "drainingHashesUnackedMessages",
            stats.draining.iter().map(|hash| u64::from(hash.unacked)).sum::<u64>().into(),
        ),
    ]);
    if keyed {
        let draining = stats.draining.iter().map(|hash| {
            json!({ "hash": hash.hash, "unackMsgs": hash.unacked, "blockedAttempts": hash.blocked_attempts })
        });
        shown.insert("drainingHashes".into(), draining.collect());
    }
    shown.extend(object([
        ("address", address(stats.address)),
        ("connectedSince", iso(stats.connected_since_ms).into()),
        ("clientVersion", stats.client_version.clone().into()),
        ("lastAckedTimestamp", stats.last_acked_ms.into()),
        ("lastConsumedTimestamp", stats.last_consumed_ms.into()),
        ("lastConsumedFlowTimestamp", stats.last_flow_ms.into()),
    ]));
    if keyed {
        let ranges = stats.key_ranges.iter().map(|(from, to)| json!([from, to]));
        shown.insert("keyHashRangeArrays".into(), ranges.collect());
    }
    shown.extend(object([
        ("metadata", json!(stats.metadata)),
        ("lastAckedTime", iso(stats.last_acked_ms).into()),
        ("lastConsumedTime", iso(stats.last_consumed_ms).into()),
    ]));
    shown
}

/// Adds a partition to the sum of a topic. Producers and consumers of all partitions are listed one by one.
fn add_topic(sum: &mut TopicStats, stats: &TopicStats) {
    let flows = [(&mut sum.published, &stats.published), (&mut sum.delivered, &stats.delivered)];
    for (sum, more) in flows {
        add_flow(sum, more);
    }
    sum.average_message_size = match sum.published.messages {
        0 => 0.0,
        // Means need no exact sums.
        messages => sum.published.bytes as f64 / messages as f64,
    };
    sum.chunked |= stats.chunked;
    sum.storage_bytes += stats.storage_bytes;
    sum.backlog_bytes += stats.backlog_bytes;
    sum.quota_bytes = sum.quota_bytes.max(stats.quota_bytes);
    sum.quota_seconds = sum.quota_seconds.max(stats.quota_seconds);
    if stats.oldest_backlog_seconds > sum.oldest_backlog_seconds {
        sum.oldest_backlog_seconds = stats.oldest_backlog_seconds;
        sum.oldest_backlog_subscription = stats.oldest_backlog_subscription.clone();
    }
    sum.throttled += stats.throttled;
    sum.earliest_in_backlogs_ms = earliest(sum.earliest_in_backlogs_ms, stats.earliest_in_backlogs_ms);
    sum.waiting_publishers += stats.waiting_publishers;
    sum.drop_rate += stats.drop_rate;
    sum.compacted_ms = sum.compacted_ms.max(stats.compacted_ms);
    sum.publishers.extend(stats.publishers.iter().cloned());
    for (name, more) in &stats.subscriptions {
        match sum.subscriptions.get_mut(name) {
            Some(sum) => add_subscription(sum, more),
            None => drop(sum.subscriptions.insert(name.clone(), more.clone())),
        }
    }
}

fn add_flow(sum: &mut crate::broker::stats::Flow, more: &crate::broker::stats::Flow) {
    sum.rate += more.rate;
    sum.throughput += more.throughput;
    sum.messages += more.messages;
    sum.bytes += more.bytes;
}

fn add_subscription(sum: &mut SubscriptionStats, more: &SubscriptionStats) {
    add_flow(&mut sum.delivered, &more.delivered);
    sum.redeliver_rate += more.redeliver_rate;
    sum.ack_rate += more.ack_rate;
    sum.chunked_rate += more.chunked_rate;
    sum.drop_rate += more.drop_rate;
    sum.backlog += more.backlog;
    sum.backlog_bytes = if sum.backlog_bytes < 0 {
        more.backlog_bytes
    } else {
        sum.backlog_bytes + more.backlog_bytes.max(0)
    };
    sum.earliest_in_backlog_ms = earliest(sum.earliest_in_backlog_ms, more.earliest_in_backlog_ms);
    sum.blocked |= more.blocked;
    sum.delayed += more.delayed;
    sum.in_replay += more.in_replay;
    sum.unacked += more.unacked;
    if sum.kind == "None" {
        sum.kind = more.kind;
    }
    sum.expired_rate += more.expired_rate;
    sum.expired += more.expired;
    let latest: [(&mut u64, u64); 5] = [
        (&mut sum.last_expire_ms, more.last_expire_ms),
        (&mut sum.last_flow_ms, more.last_flow_ms),
        (&mut sum.last_consumed_ms, more.last_consumed_ms),
        (&mut sum.last_acked_ms, more.last_acked_ms),
        (&mut sum.last_advanced_ms, more.last_advanced_ms),
    ];
    for (sum, more) in latest {
        *sum = (*sum).max(more);
    }
    sum.consumers.extend(more.consumers.iter().cloned());
    sum.drained += more.drained;
    sum.runs += more.runs;
    sum.runs_bytes += more.runs_bytes;
    sum.delayed_bytes += more.delayed_bytes;
}

/// The earlier of two times of which 0 is none.
fn earliest(one: u64, other: u64) -> u64 {
    if one == 0 || other == 0 { one.max(other) } else { one.min(other) }
}
