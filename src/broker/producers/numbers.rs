//! What is counted of producers, as statistics show it (broker 6.7).

use std::time::Duration;

use super::Producers;
use crate::broker::event::ConnectionId;
use crate::broker::stats::{Peer, PublisherStats, text_map};
use crate::wire::pulsar::proto::ProducerAccessMode;

impl Producers {
    /// So much time passed since the last call.
    pub(in crate::broker) fn roll(&mut self, passed: Duration) {
        for producer in self.connected.values_mut() {
            producer.published.roll(passed);
            producer.chunks.roll(passed);
            producer.dropped.roll(passed);
        }
    }

    /// Statistics of those that are connected. `who` knows connections.
    pub(in crate::broker) fn stats(&self, who: &impl Fn(ConnectionId) -> Peer) -> Vec<PublisherStats> {
        let producers = self.connected.iter();
        let stats = producers.map(|(key, producer)| {
            let Peer { address, client_version } = who(key.connection);
            PublisherStats {
                access_mode: match producer.mode {
                    ProducerAccessMode::Shared => "Shared",
                    ProducerAccessMode::Exclusive => "Exclusive",
                    ProducerAccessMode::WaitForExclusive => "WaitForExclusive",
                    ProducerAccessMode::ExclusiveWithFencing => "ExclusiveWithFencing",
                },
                published: producer.published.flow(),
                average_message_size: producer.published.mean(),
                chunked_rate: producer.chunks.rate(),
                drop_rate: producer.dropped.rate(),
                producer_id: key.id,
                supports_partial_producer: false,
                name: producer.name.clone(),
                address,
                connected_since_ms: producer.since_ms,
                client_version,
                metadata: text_map(&producer.metadata),
            }
        });
        stats.collect()
    }
}
