//! What is counted of a topic, as statistics show it (broker 6.7). What storage alone knows is filled in by the host.

use std::collections::BTreeMap;

use super::*;
use crate::broker::stats::{CursorStats, Peer, TopicStats};

impl Topic {
    /// So much time passed since the last call: rates are made anew.
    pub(super) fn roll(&mut self, passed: Duration) {
        self.published.roll(passed);
        self.delivered.roll(passed);
        self.producers.roll(passed);
        self.subscriptions.values_mut().for_each(|subscription| subscription.roll(passed));
    }

    /// Statistics. `who` knows connections.
    pub fn stats(&self, who: impl Fn(ConnectionId) -> Peer, publishers: bool, consumers: bool) -> TopicStats {
        let subscriptions = self.subscriptions.iter();
        let subscriptions: BTreeMap<_, _> = subscriptions
            .map(|(name, found)| (name.clone(), found.stats(&self.ledgers, &who, consumers)))
            .collect();
        TopicStats {
            persistent: !self.volatile,
            published: self.published.flow(),
            delivered: self.delivered.flow(),
            average_message_size: self.published.mean(),
            chunked: self.chunked,
            quota_bytes: -1,
            quota_seconds: -1,
            oldest_backlog_seconds: -1,
            publishers: if publishers { self.producers.stats(&who) } else { Vec::new() },
            waiting_publishers: self.producers.waiting() as u64,
            drop_rate: subscriptions.values().map(|found| found.drop_rate).sum(),
            subscriptions,
            deduplication: self.settings.deduplication,
            epoch: self.producers.epoch(),
            ..TopicStats::default()
        }
    }

    /// How far its cursors are.
    pub fn cursor_stats(&self) -> BTreeMap<String, CursorStats> {
        let subscriptions = self.subscriptions.iter();
        subscriptions.map(|(name, found)| (name.clone(), found.cursor_stats(&self.ledgers))).collect()
    }

    /// Entries added since it was loaded, and entries on their way.
    pub fn entries_added(&self) -> (u64, usize) {
        (self.added, self.publisher.pending())
    }

    /// Published and delivered messages and bytes, producers, consumers, subscriptions, and entries in all backlogs.
    pub fn sums(&self) -> crate::broker::stats::HostCounts {
        let subscriptions = self.subscriptions.values();
        crate::broker::stats::HostCounts {
            loaded: 1,
            subscriptions: self.subscriptions.len() as u64,
            producers: self.producers.len() as u64,
            consumers: self.consumers.len() as u64,
            backlog: subscriptions.map(|found| found.cursor.backlog(&self.ledgers)).sum(),
            published: self.published.flow(),
            delivered: self.delivered.flow(),
            ..Default::default()
        }
    }
}
