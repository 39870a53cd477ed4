//! One active consumer reads the topic in order (Exclusive, Failover; protocol 8.9). Redelivery is a rewind.

use bytes::Bytes;

use crate::base::id::Position;
use crate::base::time::Instant;
use crate::broker::cursor::Cursor;
use crate::broker::dispatch::ring::{Ring, slot_of};
use crate::broker::dispatch::{Consumer, Facts, Feed};
use crate::broker::event::{ClientKey, Outbox, Refusal};
use crate::broker::ledgers::{behind, position};
use crate::broker::settings::Settings;
use crate::wire::pulsar::Command;
use crate::wire::pulsar::hash::murmur3_32;
use crate::wire::pulsar::proto::{CommandActiveConsumerChange, ServerError};

/// Dispatcher with one active consumer.
#[derive(Debug)]
pub(in crate::broker) struct Single {
    failover: bool,
    consumers: Vec<Consumer>,
    active: Option<ClientKey>,
    /// The active one begins then: the old one's acks shall arrive first.
    begins: Option<Instant>,
    /// What is read next.
    read: Position,
}

impl Single {
    pub(in crate::broker) fn new(failover: bool, read: Position) -> Single {
        Single { failover, consumers: Vec::new(), active: None, begins: None, read }
    }

    pub(in crate::broker) fn consumers(&self) -> &[Consumer] {
        &self.consumers
    }

    pub(in crate::broker) fn consumers_mut(&mut self) -> &mut [Consumer] {
        &mut self.consumers
    }

    pub(in crate::broker) fn consumer(&mut self, key: ClientKey) -> Option<&mut Consumer> {
        self.consumers.iter_mut().find(|consumer| consumer.key == key)
    }

    pub(in crate::broker) fn active(&self) -> Option<ClientKey> {
        self.active
    }

    /// A consumer joins. A Failover one that does not become active is told so.
    pub(in crate::broker) fn add(
        &mut self,
        consumer: Consumer,
        (topic, settings, now): (&str, &Settings, Instant),
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        if !self.failover && !self.consumers.is_empty() {
            return Err(Refusal::new(ServerError::ConsumerBusy, "Exclusive consumer is already connected"));
        }
        let key = consumer.key;
        self.consumers.push(consumer);
        let changed = self.choose(topic, settings, now);
        if self.failover && !changed {
            notice(key, false, out);
        }
        Ok(())
    }

    /// A consumer leaves; what it had not acknowledged is read again by the next.
    pub(in crate::broker) fn remove(
        &mut self,
        key: ClientKey,
        cursor: &Cursor,
        (topic, settings, now): (&str, &Settings, Instant),
    ) {
        self.consumers.retain(|consumer| consumer.key != key);
        if self.active == Some(key) {
            self.active = None;
            self.read = cursor.floor();
            self.choose(topic, settings, now);
        }
    }

    /// Chooses the active consumer. Whether it is another one than before.
    fn choose(&mut self, topic: &str, settings: &Settings, now: Instant) -> bool {
        let best = self.consumers.iter().map(|consumer| consumer.priority).min();
        let mut best: Vec<_> =
            self.consumers.iter().filter(|consumer| Some(consumer.priority) == best).collect();
        best.sort_by(|a, b| a.name.cmp(&b.name));
        let chosen = if let Ok(partition) = usize::try_from(settings.partition) {
            partition.checked_rem(best.len()).map(|index| best[index].key)
        } else {
            let ring = Ring::new(best.iter().map(|consumer| (consumer.name.as_str(), consumer.key)));
            ring.owner(slot_of(murmur3_32(topic.as_bytes())))
        };
        if chosen == self.active {
            return false;
        }
        self.active = chosen;
        // An Exclusive consumer has nobody whose acks could still come.
        self.begins = Some(if self.failover { now + settings.failover_delay } else { now });
        true
    }

    /// When it has something to do without being told.
    pub(in crate::broker) fn next_time(&self) -> Option<Instant> {
        self.begins
    }

    /// Everything that is not acknowledged comes again, whatever was asked for.
    pub(in crate::broker) fn redeliver(&mut self, key: ClientKey, epoch: Option<u64>, cursor: &Cursor) {
        let active = self.active == Some(key);
        if let Some(consumer) = self.consumer(key) {
            consumer.epoch = epoch.or(consumer.epoch);
            if active {
                self.read = cursor.floor();
            }
        }
    }

    /// Offers an entry of a topic that stores nothing. Whether it was sent.
    pub(in crate::broker) fn offer(&mut self, entry: &Bytes, cursor: &Cursor, feed: &mut Feed<'_>) -> bool {
        if self.begins.is_some_and(|begins| feed.clock.now < begins) {
            return false;
        }
        let active = self.active;
        let mut consumers = self.consumers.iter_mut();
        let Some(consumer) = consumers.find(|consumer| Some(consumer.key) == active) else { return false };
        let facts = Facts::read(entry);
        if consumer.is_available() {
            feed.deliver(consumer, position(0, 0), entry.clone(), facts.parts(), (cursor, 0));
            return true;
        }
        false
    }

    /// What is read next.
    pub(in crate::broker) fn read(&self) -> Position {
        self.read
    }

    /// Sends what there is.
    pub(in crate::broker) fn dispatch(&mut self, cursor: &mut Cursor, feed: &mut Feed<'_>) {
        if let Some(begins) = self.begins {
            if feed.clock.now < begins {
                return;
            }
            self.begins = None;
            self.read = cursor.floor();
            for consumer in self.consumers.iter().filter(|_| self.failover) {
                notice(consumer.key, self.active == Some(consumer.key), feed.out);
            }
        }
        let Some(active) = self.active else { return };
        let Some(consumer) = self.consumers.iter_mut().find(|consumer| consumer.key == active) else {
            return;
        };
        while consumer.is_available() && !feed.is_spent() {
            let at = cursor.next_unacked(self.read, feed.ledgers);
            if at == feed.ledgers.end() {
                return;
            }
            let Some(entry) = feed.get(at, consumer.permits) else { return };
            let facts = Facts::read(&entry);
            let wanted = consumer.ranges.is_empty()
                || consumer.ranges.iter().any(|(start, end)| (*start..=*end).contains(&facts.slot()));
            if wanted {
                feed.deliver(consumer, at, entry.clone(), facts.parts(), (cursor, 0));
            } else {
                cursor.ack(at, feed.ledgers);
            }
            self.read = behind(at);
        }
    }
}

/// Tells a consumer whether it is the active one.
fn notice(to: ClientKey, is_active: bool, out: &mut Outbox) {
    let change = CommandActiveConsumerChange { consumer_id: to.id, is_active: Some(is_active) };
    out.send(to.connection, Command::ActiveConsumerChange(change));
}
