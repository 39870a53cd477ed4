//! What may be set for a topic. Defaults are the original's unless said otherwise.

use std::time::Duration;

use crate::base::limit;

/// Settings of one topic, policies already applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Index of the partition; -1: the topic is not one.
    pub partition: i32,
    /// Deduplicate by producer name and sequence id (`brokerDeduplicationEnabled`).
    pub deduplication: bool,
    /// Producers; 0: any number (`maxProducersPerTopic`).
    pub producers_max: usize,
    /// Producers must encrypt.
    pub encryption_required: bool,
    /// Largest entry, metadata and payload, bytes (`maxMessageSize`).
    pub message_size_max: usize,
    /// Subscriptions; 0: any number (`maxSubscriptionsPerTopic`).
    pub subscriptions_max: usize,
    /// Consumers of a subscription; 0: any number (`maxConsumersPerSubscription`).
    pub consumers_max: usize,
    /// Consumers of the topic; 0: any number (`maxConsumersPerTopic`).
    pub topic_consumers_max: usize,
    /// Subscription types that may be used: Exclusive, Shared, Failover, Key_Shared (`subscriptionTypesEnabled`).
    pub subscription_types: [bool; 4],
    /// Missing durable subscriptions are made when asked for (`allowAutoSubscriptionCreation`).
    pub auto_subscription: bool,
    /// Single messages of a batch can be acknowledged (`acknowledgmentAtBatchIndexLevelEnabled`). Ours: on, fewer duplicates.
    pub batch_index_acks: bool,
    /// Unacknowledged messages of a consumer; 0: any number.
    pub consumer_unacked_max: u32,
    /// Unacknowledged messages of a subscription; 0: any number.
    pub subscription_unacked_max: u32,
    /// Wait before a new active consumer begins; zero: none.
    pub failover_delay: Duration,
    /// Longest delay that may be asked for; zero: any (`delayedDeliveryMaxDelayInMillis`).
    pub delay_max: Duration,
    /// Honour `deliver_at_time` on Shared and Key_Shared (`delayedDeliveryEnabled`).
    pub delayed_delivery: bool,
    /// Delayed messages may come this much early (`delayedDeliveryTickTimeMillis`).
    pub delayed_tick: Duration,
    /// They may not (`isDelayedDeliveryDeliverAtTimeStrict`).
    pub delayed_strict: bool,
    /// Key_Shared splits by a hash ring; else by halving ranges (`subscriptionKeySharedUseConsistentHashing`).
    pub consistent_hashing: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            partition: -1,
            deduplication: false,
            producers_max: 0,
            encryption_required: false,
            message_size_max: limit::MESSAGE_SIZE_DEFAULT,
            subscriptions_max: 0,
            consumers_max: 0,
            topic_consumers_max: 0,
            subscription_types: [true; 4],
            auto_subscription: true,
            batch_index_acks: true,
            consumer_unacked_max: limit::CONSUMER_UNACKED_MAX,
            subscription_unacked_max: limit::SUBSCRIPTION_UNACKED_MAX,
            failover_delay: limit::FAILOVER_DELAY,
            delay_max: Duration::ZERO,
            delayed_delivery: true,
            delayed_tick: limit::DELAYED_TICK,
            delayed_strict: false,
            consistent_hashing: true,
        }
    }
}
