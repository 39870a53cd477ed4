//! What a correct broker does, kept as plain sets: which messages of which entries a subscription has left, who holds what, and
//! what may come next.

use std::collections::{BTreeMap, BTreeSet};

use pulsegate::base::id::Position;
use pulsegate::broker::event::ClientKey;
use pulsegate::wire::pulsar::proto::{CommandMessage, SubscriptionType};

/// An entry of the log, as the model sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) messages: u32,
    pub(super) key: u64,
}

/// A connected consumer.
#[derive(Debug, Default)]
pub(super) struct Consumer {
    pub(super) permits: i64,
    /// Entries it has, on shared subscriptions.
    pub(super) holds: BTreeSet<Position>,
}

/// A subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) name: String,
    pub(super) kind: SubscriptionType,
    pub(super) consumers: BTreeMap<ClientKey, Consumer>,
    /// Bits of messages left, of entries touched by an ack.
    pub(super) left: BTreeMap<Position, u64>,
    /// Everything below is consumed.
    pub(super) floor: Position,
    pub(super) redeliveries: BTreeMap<Position, u32>,
    /// The one that reads, and what it read last, where only one does.
    pub(super) active: Option<ClientKey>,
    pub(super) last: Option<Position>,
}

pub(super) fn all_bits(messages: u32) -> u64 {
    (1 << messages) - 1
}

impl Subscription {
    pub(super) fn is_single(&self) -> bool {
        matches!(self.kind, SubscriptionType::Exclusive | SubscriptionType::Failover)
    }

    pub(super) fn left(&self, at: Position, entry: Entry) -> u64 {
        if at < self.floor {
            return 0;
        }
        self.left.get(&at).copied().unwrap_or(all_bits(entry.messages))
    }

    /// Consumes the messages whose bits are clear in `left`.
    pub(super) fn ack(&mut self, at: Position, entry: Entry, left: u64) {
        let left = self.left(at, entry) & left;
        self.left.insert(at, left);
        if left == 0 {
            self.redeliveries.remove(&at);
            for consumer in self.consumers.values_mut() {
                consumer.holds.remove(&at);
            }
        }
    }

    /// A consumer went.
    pub(super) fn remove(&mut self, key: ClientKey) {
        self.consumers.remove(&key);
        if self.active == Some(key) {
            (self.active, self.last) = (None, None);
        }
        if self.consumers.is_empty() {
            self.redeliveries.clear();
        }
    }

    /// A consumer gives entries back.
    pub(super) fn redeliver(&mut self, key: ClientKey, ids: &[Position]) {
        if self.is_single() {
            if self.active == Some(key) {
                self.last = None;
            }
            return;
        }
        let Some(consumer) = self.consumers.get_mut(&key) else { return };
        let given: Vec<_> =
            if ids.is_empty() { consumer.holds.iter().copied().collect() } else { ids.to_vec() };
        for at in given {
            if consumer.holds.remove(&at) {
                *self.redeliveries.entry(at).or_insert(0) += 1;
            }
        }
    }

    /// A message came: everything about it is checked.
    pub(super) fn deliver(
        &mut self,
        key: ClientKey,
        at: Position,
        command: &CommandMessage,
        log: &BTreeMap<Position, Entry>,
    ) {
        let entry = log[&at];
        let left = self.left(at, entry);
        assert_ne!(left, 0, "{at:?} is consumed");
        let set = command.ack_set.first().map_or(all_bits(entry.messages), |word| *word as u64);
        assert_eq!(set, left, "the message says what is left of it");
        if self.is_single() {
            assert_eq!(self.active, Some(key), "only the active consumer gets messages");
            let mut after = log.iter().filter(|(other, _)| Some(**other) > self.last);
            let expected = after.find(|(other, entry)| self.left(**other, **entry) != 0);
            assert_eq!(expected.map(|(other, _)| *other), Some(at), "in order, nothing left out");
            assert_eq!(command.redelivery_count.unwrap_or(0), 0);
            self.last = Some(at);
        } else {
            let held = self.consumers.values().any(|consumer| consumer.holds.contains(&at));
            assert!(!held, "{at:?} is with somebody");
            let count = self.redeliveries.get(&at).copied().unwrap_or(0);
            assert_eq!(command.redelivery_count.unwrap_or(0), count, "given back so often");
        }
        if self.kind == SubscriptionType::KeyShared {
            self.check_key(key, at, entry, log);
        }
        let consumer = self.consumers.get_mut(&key).expect("messages go to consumers");
        assert!(consumer.permits > 0, "nothing without a permit");
        consumer.permits -= i64::from(left.count_ones());
        consumer.holds.insert(at);
    }

    fn check_key(&self, key: ClientKey, at: Position, entry: Entry, log: &BTreeMap<Position, Entry>) {
        for (other, _) in log.range(..at).filter(|(_, other)| other.key == entry.key) {
            let is_left = self.left(*other, log[other]) != 0;
            let here = self.consumers[&key].holds.contains(other);
            assert!(
                !is_left || here,
                "{other:?} of the same key is left, and not with {key:?}, who gets {at:?}"
            );
        }
        for (other, consumer) in self.consumers.iter().filter(|(other, _)| **other != key) {
            let same = consumer.holds.iter().find(|held| log[*held].key == entry.key);
            assert!(same.is_none(), "{other:?} holds {same:?} of the same key as {at:?}");
        }
    }

    /// Entries left.
    pub(super) fn backlog(&self, log: &BTreeMap<Position, Entry>) -> u64 {
        log.iter().filter(|(at, entry)| self.left(**at, **entry) != 0).count() as u64
    }
}
