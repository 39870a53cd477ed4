//! What is counted of a subscription and its consumers, as statistics show it (broker 6.7).

use std::time::Duration;

use super::{Dispatcher, Subscription};
use crate::broker::dispatch::Consumer;
use crate::broker::dispatch::key_shared::Split;
use crate::broker::event::ConnectionId;
use crate::broker::ledgers::Ledgers;
use crate::broker::stats::{ConsumerStats, CursorStats, Peer, PlaceShown, SubscriptionStats, text_map};
use crate::wire::pulsar::proto::SubscriptionType;

/// Bytes of an entry in the index of delayed ones.
const DELAYED_ENTRY_BYTES: u64 = 24;
/// Bytes of a run in a saved cursor.
const RUN_BYTES: u64 = 24;

impl Subscription {
    /// So much time passed since the last call.
    pub(in crate::broker) fn roll(&mut self, passed: Duration) {
        self.counts.roll(passed);
        self.expired.roll(passed);
        self.dropped.roll(passed);
        if let Some(dispatcher) = &mut self.dispatcher {
            let consumers = match dispatcher {
                Dispatcher::Single(single) => single.consumers_mut(),
                Dispatcher::Shared(shared) => shared.consumers_mut(),
            };
            consumers.iter_mut().for_each(|consumer| consumer.counts.roll(passed));
        }
    }

    /// Its statistics; bytes of the backlog are the topic's to say.
    pub(in crate::broker) fn stats(
        &self,
        ledgers: &Ledgers,
        who: &impl Fn(ConnectionId) -> Peer,
        with_consumers: bool,
    ) -> SubscriptionStats {
        let (in_replay, unacked, blocked) = match &self.dispatcher {
            Some(Dispatcher::Shared(shared)) => shared.debts(),
            _ => (0, 0, false),
        };
        let keys = match &self.dispatcher {
            Some(Dispatcher::Shared(shared)) => shared.keys.as_ref(),
            _ => None,
        };
        let active = match &self.dispatcher {
            Some(Dispatcher::Single(single)) => single.active(),
            _ => None,
        };
        let runs = self.cursor.runs().count() as u64;
        let consumers = self.consumers().iter();
        SubscriptionStats {
            delivered: self.counts.delivered.flow(),
            redeliver_rate: self.counts.redelivered.rate(),
            ack_rate: self.counts.acked.rate(),
            chunked_rate: self.counts.chunks.rate(),
            drop_rate: self.dropped.rate(),
            backlog: self.cursor.backlog(ledgers),
            backlog_bytes: -1,
            earliest_in_backlog_ms: 0,
            blocked,
            delayed: self.delayed() as u64,
            in_replay: in_replay as u64,
            unacked: u64::from(unacked),
            kind: self.kind_shown(),
            active_consumer: consumers
                .clone()
                .find(|consumer| Some(consumer.key) == active)
                .map(|consumer| consumer.name.clone()),
            expired_rate: self.expired.rate(),
            expired: self.expired.messages,
            last_expire_ms: self.last_expire_ms,
            last_flow_ms: self.counts.last_flow_ms,
            last_consumed_ms: self.counts.last_sent_ms,
            last_acked_ms: self.counts.last_acked_ms,
            last_advanced_ms: self.last_advanced_ms,
            consumers: if with_consumers {
                consumers.map(|consumer| self.consumer_stats(consumer, who)).collect()
            } else {
                Vec::new()
            },
            durable: self.durable,
            replicated: self.properties.number("replicated") == Some(1),
            out_of_order: keys.is_some_and(|keys| keys.out_of_order),
            key_shared_mode: keys
                .map(|keys| if keys.split == Split::Sticky { "STICKY" } else { "AUTO_SPLIT" }),
            drained: 0,
            runs,
            runs_bytes: runs * RUN_BYTES,
            delayed_bytes: self.delayed() as u64 * DELAYED_ENTRY_BYTES,
            properties: self.properties.given.clone(),
        }
    }

    fn kind_shown(&self) -> &'static str {
        match (&self.dispatcher, self.kind) {
            (None, _) => "None",
            (_, SubscriptionType::Exclusive) => "Exclusive",
            (_, SubscriptionType::Shared) => "Shared",
            (_, SubscriptionType::Failover) => "Failover",
            (_, SubscriptionType::KeyShared) => "Key_Shared",
        }
    }

    fn consumer_stats(&self, consumer: &Consumer, who: &impl Fn(ConnectionId) -> Peer) -> ConsumerStats {
        let Peer { address, client_version } = who(consumer.key.connection);
        let keys = match &self.dispatcher {
            Some(Dispatcher::Shared(shared)) => shared.keys.as_ref(),
            _ => None,
        };
        let counts = &consumer.counts;
        ConsumerStats {
            delivered: counts.delivered.flow(),
            redeliver_rate: counts.redelivered.rate(),
            ack_rate: counts.acked.rate(),
            chunked_rate: counts.chunks.rate(),
            name: consumer.name.clone(),
            consumer_id: consumer.key.id,
            available_permits: consumer.permits,
            unacked: u64::from(consumer.unacked),
            messages_per_entry: (counts.delivered.messages.checked_div(counts.entries).unwrap_or(0)) as u32,
            blocked: consumer.blocked,
            draining: keys.map_or(Vec::new(), |keys| keys.draining(consumer.key)),
            drained: 0,
            key_ranges: keys.map_or(Vec::new(), |keys| keys.ranges(consumer.key)),
            address,
            connected_since_ms: counts.since_ms,
            client_version,
            last_acked_ms: counts.last_acked_ms,
            last_consumed_ms: counts.last_sent_ms,
            last_flow_ms: counts.last_flow_ms,
            metadata: text_map(&counts.metadata),
        }
    }

    /// How far it is, for `internalStats`.
    pub(in crate::broker) fn cursor_stats(&self, ledgers: &Ledgers) -> CursorStats {
        let floor = self.cursor.floor();
        let runs = self.cursor.runs().map(|(start, end)| {
            let mut last = start;
            last.entry.0 = end.0 - 1;
            (start, last)
        });
        CursorStats {
            mark_delete: PlaceShown { ledger: floor.ledger.0, entry: floor.entry.0.cast_signed() - 1 },
            read: self.reading().unwrap_or(floor).max(floor),
            consumed: self.counts.acked.messages,
            runs: runs.collect(),
            entries_left: ledgers.count(floor, ledgers.end()),
            active: !self.consumers().is_empty(),
            durable: self.durable,
            saved_ms: self.last_advanced_ms,
            properties: Default::default(),
            subscription_properties: self.properties.given.clone(),
        }
    }
}
