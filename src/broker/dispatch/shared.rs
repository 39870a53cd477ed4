//! Entries spread over all consumers of a subscription (Shared, Key_Shared): round robin by priority or by key, redelivery of
//! single entries, limits of what is unacknowledged, delayed delivery.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use crate::base::id::Position;
use crate::base::limit::{DELAYED_ENTRIES_MAX, KEY_LOOK_AHEAD_MAX, KEY_LOOK_AHEAD_PER_CONSUMER};
use crate::base::time::{Clock, Instant};
use crate::broker::cursor::Cursor;
use crate::broker::dispatch::key_shared::Keys;
use crate::broker::dispatch::{Consumer, Facts, Feed};
use crate::broker::event::{ClientKey, Refusal};
use crate::broker::ledgers::{Ledgers, behind, position};
use crate::broker::settings::Settings;

/// An entry that a consumer has and has not acknowledged.
#[derive(Clone, Copy, Debug)]
struct Sent {
    owner: ClientKey,
    /// Messages in it, and those of them that count as unacknowledged.
    messages: u32,
    unacked: u32,
    slot: u16,
}

/// Dispatcher to many consumers.
#[derive(Debug)]
pub(in crate::broker) struct Shared {
    /// By priority, then in order of arrival.
    consumers: Vec<Consumer>,
    /// Who is next in turn.
    next: usize,
    /// What is read next.
    read: Position,
    sent: BTreeMap<Position, Sent>,
    /// Read before and to be sent (again), with the slot of the key.
    replay: BTreeMap<Position, u16>,
    /// Entries in `replay` by slot.
    waiting: BTreeMap<u16, u32>,
    /// How often clients gave entries back.
    redeliveries: BTreeMap<Position, u32>,
    /// Entries whose time has not come, by time in milliseconds since the epoch.
    delayed: BTreeSet<(i64, Position)>,
    /// Who gets the chunks of a message.
    chunked: BTreeMap<String, ClientKey>,
    unacked: u32,
    /// Nothing new is read: too much is unacknowledged.
    blocked: bool,
    pub(in crate::broker) keys: Option<Keys>,
    /// Entries were passed over whose slot nobody owned.
    passed_over: bool,
}

/// What became of an attempt to send an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    /// It is sent.
    Sent,
    /// Nobody owns its slot.
    Unowned,
    /// Its consumer cannot take it now; others may take others.
    Held,
    /// Nobody can take anything.
    NoRoom,
}

impl Shared {
    pub(in crate::broker) fn new(keys: Option<Keys>, read: Position) -> Shared {
        Shared {
            consumers: Vec::new(),
            next: 0,
            read,
            sent: BTreeMap::new(),
            replay: BTreeMap::new(),
            waiting: BTreeMap::new(),
            redeliveries: BTreeMap::new(),
            delayed: BTreeSet::new(),
            chunked: BTreeMap::new(),
            unacked: 0,
            blocked: false,
            keys,
            passed_over: false,
        }
    }

    pub(in crate::broker) fn consumers(&self) -> &[Consumer] {
        &self.consumers
    }

    fn index_of(&self, key: ClientKey) -> Option<usize> {
        self.consumers.iter().position(|consumer| consumer.key == key)
    }

    pub(in crate::broker) fn consumers_mut(&mut self) -> &mut [Consumer] {
        &mut self.consumers
    }

    pub(in crate::broker) fn consumer(&mut self, key: ClientKey) -> Option<&mut Consumer> {
        self.consumers.iter_mut().find(|consumer| consumer.key == key)
    }

    pub(in crate::broker) fn add(&mut self, consumer: Consumer, cursor: &Cursor) -> Result<(), Refusal> {
        if let Some(keys) = &self.keys {
            keys.check(&consumer.ranges)?;
        }
        let key = consumer.key;
        let at = self.consumers.partition_point(|other| other.priority <= consumer.priority);
        self.consumers.insert(at, consumer);
        if at < self.next {
            self.next += 1;
        }
        if let Some(keys) = &mut self.keys {
            keys.join(&self.consumers[at], &self.consumers);
        }
        debug_assert_eq!(self.consumers[at].key, key, "it is where it was put");
        if std::mem::take(&mut self.passed_over) {
            self.read = cursor.floor();
        }
        Ok(())
    }

    /// A consumer leaves: what it had goes to the others, and counts as given back by nobody.
    pub(in crate::broker) fn remove(&mut self, key: ClientKey, cursor: &Cursor) {
        let Some(index) = self.index_of(key) else { return };
        self.consumers.remove(index);
        if index < self.next {
            self.next -= 1;
        }
        if let Some(keys) = &mut self.keys {
            keys.leave(key, &self.consumers);
        }
        self.chunked.retain(|_, owner| *owner != key);
        if self.consumers.is_empty() {
            return self.rewind(cursor.floor());
        }
        for at in self.owned_by(key) {
            self.take_back(at);
        }
    }

    /// Forgets everything that was read; reading begins anew.
    fn rewind(&mut self, read: Position) {
        let consumers = std::mem::take(&mut self.consumers);
        let mut keys = self.keys.take();
        if let Some(keys) = &mut keys {
            keys.clear();
        }
        *self = Shared { consumers, ..Shared::new(keys, read) };
    }

    fn owned_by(&self, key: ClientKey) -> Vec<Position> {
        self.sent.iter().filter(|(_, sent)| sent.owner == key).map(|(at, _)| *at).collect()
    }

    /// An entry is no longer with its consumer.
    fn unsend(&mut self, at: Position) -> Option<Sent> {
        let sent = self.sent.remove(&at)?;
        self.count_off(sent.owner, sent.unacked);
        if let Some(keys) = &mut self.keys {
            keys.free(sent.slot);
        }
        Some(sent)
    }

    /// An entry goes from its consumer to those waiting to be sent.
    fn take_back(&mut self, at: Position) {
        if let Some(sent) = self.unsend(at) {
            self.set_aside(at, sent.slot);
        }
    }

    fn set_aside(&mut self, at: Position, slot: u16) {
        if self.replay.insert(at, slot).is_none() {
            *self.waiting.entry(slot).or_insert(0) += 1;
        }
    }

    fn unset_aside(&mut self, at: Position) {
        if let Some(slot) = self.replay.remove(&at)
            && let Some(count) = self.waiting.get_mut(&slot)
        {
            *count -= 1;
            if *count == 0 {
                self.waiting.remove(&slot);
            }
        }
    }

    /// Messages are no longer unacknowledged at a consumer.
    fn count_off(&mut self, owner: ClientKey, messages: u32) {
        self.unacked -= messages;
        if let Some(consumer) = self.consumers.iter_mut().find(|consumer| consumer.key == owner) {
            consumer.unacked -= messages;
        }
    }

    /// Those that were blocked and have caught up go on.
    pub(in crate::broker) fn unblock(&mut self, settings: &Settings) {
        let max = settings.consumer_unacked_max;
        for consumer in self.consumers.iter_mut().filter(|consumer| consumer.blocked) {
            if max == 0 || consumer.unacked <= max / 2 {
                consumer.blocked = false;
                consumer.permits += std::mem::take(&mut consumer.withheld);
            }
        }
        let max = settings.subscription_unacked_max;
        if self.blocked && (max == 0 || self.unacked < max / 2) {
            self.blocked = false;
        }
    }

    /// Single acknowledgement of an entry, after the cursor took it; `left`: its messages that remain.
    pub(in crate::broker) fn acked(&mut self, at: Position, cursor: &Cursor) {
        if cursor.is_acked(at) {
            self.unsend(at);
            self.unset_aside(at);
            self.redeliveries.remove(&at);
            return;
        }
        let (Some(sent), Some(set)) = (self.sent.get_mut(&at), cursor.left(at)) else { return };
        let left = set.left(sent.messages).min(sent.unacked);
        let (owner, freed) = (sent.owner, sent.unacked - left);
        sent.unacked = left;
        self.count_off(owner, freed);
    }

    /// Entries were consumed by other means than acknowledgements.
    pub(in crate::broker) fn forget_acked(&mut self, cursor: &Cursor, ledgers: &Ledgers) {
        let gone = |at: &Position| cursor.is_acked(*at) || !ledgers.contains(*at);
        let sent: Vec<_> = self.sent.keys().chain(self.replay.keys()).copied().filter(gone).collect();
        for at in sent {
            self.unsend(at);
            self.unset_aside(at);
            self.redeliveries.remove(&at);
        }
        self.delayed.retain(|(_, at)| !gone(at));
    }

    /// A client gives entries back: these, or all it has. Each counts once.
    pub(in crate::broker) fn redeliver(&mut self, key: ClientKey, ids: Option<&[Position]>) {
        let given = ids.map_or_else(|| self.owned_by(key), <[Position]>::to_vec);
        for at in given {
            if self.sent.get(&at).is_some_and(|sent| sent.owner == key) {
                *self.redeliveries.entry(at).or_insert(0) += 1;
                self.take_back(at);
            }
        }
    }

    /// When the first delayed entry is due. It may go a tick sooner, with others; nobody is woken for that.
    pub(in crate::broker) fn next_time(&self, clock: Clock) -> Option<Instant> {
        let &(time, _) = self.delayed.first()?;
        let wait = time.saturating_sub(clock.wall.0).max(0) as u64;
        Some(clock.now + std::time::Duration::from_millis(wait))
    }

    /// Entries delayed now.
    pub(in crate::broker) fn delayed(&self) -> usize {
        self.delayed.len()
    }

    /// Whether an entry is still too early.
    fn is_early(time: i64, settings: &Settings, clock: Clock) -> bool {
        let tick = settings.delayed_tick.as_millis() as i64;
        time > clock.wall.0.saturating_add(if settings.delayed_strict { 0 } else { tick })
    }

    fn release_due(&mut self, settings: &Settings, clock: Clock) {
        while let Some(&(time, at)) = self.delayed.first()
            && !Self::is_early(time, settings, clock)
        {
            self.delayed.pop_first();
            // The slot is read again with the entry; until then it waits under slot 0, which no key has.
            self.set_aside(at, 0);
        }
    }

    /// Sends what there is: what was set aside first, lowest positions first.
    pub(in crate::broker) fn dispatch(&mut self, cursor: &mut Cursor, feed: &mut Feed<'_>) {
        self.release_due(feed.settings, feed.clock);
        self.unblock(feed.settings);
        if self.send_again(cursor, feed) {
            self.send_new(cursor, feed);
        }
        self.check();
    }

    fn has_room(&self) -> bool {
        self.consumers.iter().any(Consumer::is_available)
    }

    /// What was set aside. `false`: nothing else is to be tried in this turn.
    fn send_again(&mut self, cursor: &Cursor, feed: &mut Feed<'_>) -> bool {
        let mut held_slots = BTreeSet::new();
        let mut next = self.replay.first_key_value().map(|(at, slot)| (*at, *slot));
        while let Some((at, slot)) = next {
            next = self.replay.range((Excluded(at), Unbounded)).next().map(|(at, slot)| (*at, *slot));
            if !feed.ledgers.contains(at) || cursor.is_acked(at) {
                self.unset_aside(at);
                continue;
            }
            if !self.has_room() || feed.is_spent() {
                return false;
            }
            if held_slots.contains(&slot) {
                continue;
            }
            if slot != 0 && self.keys.is_some() && !self.can_take(slot) {
                held_slots.insert(slot);
                continue;
            }
            let Some(entry) = feed.get(at, 1) else { return false };
            let facts = Facts::read(&entry);
            if held_slots.contains(&self.slot(&facts)) {
                continue;
            }
            match self.attempt(at, entry.clone(), &facts, cursor, feed) {
                Attempt::Sent => self.unset_aside(at),
                Attempt::NoRoom => return false,
                Attempt::Held | Attempt::Unowned => {
                    // Chunks wait alone; keys make what follows them wait.
                    if self.keys.is_some() {
                        held_slots.insert(self.slot(&facts));
                    }
                }
            }
        }
        true
    }

    /// Slots matter only where keys do.
    fn slot(&self, facts: &Facts<'_>) -> u16 {
        if self.keys.is_some() { facts.slot() } else { 0 }
    }

    /// Whether the owner of a slot could take an entry of it now.
    fn can_take(&self, slot: u16) -> bool {
        let Some(keys) = &self.keys else { return true };
        let Some(owner) = keys.owner(slot) else { return false };
        let available = self.index_of(owner).is_some_and(|index| self.consumers[index].is_available());
        available && !keys.is_draining(slot, owner)
    }

    /// What was not read before.
    fn send_new(&mut self, cursor: &Cursor, feed: &mut Feed<'_>) {
        let ahead = KEY_LOOK_AHEAD_MAX.min(KEY_LOOK_AHEAD_PER_CONSUMER * self.consumers.len());
        while self.has_room() && !self.blocked && !feed.is_spent() {
            if self.delayed.len() >= DELAYED_ENTRIES_MAX || self.replay.len() >= ahead {
                return;
            }
            let at = cursor.next_unacked(self.read, feed.ledgers);
            if at == feed.ledgers.end() {
                return;
            }
            // After a rewind for slots that had no owner, much of what comes is under way already.
            if self.sent.contains_key(&at) || self.replay.contains_key(&at) {
                self.read = behind(at);
                continue;
            }
            let permits = self.consumers.iter().map(|consumer| consumer.permits.max(0)).sum();
            let Some(entry) = feed.get(at, permits) else { return };
            let facts = Facts::read(&entry);
            if let Some(time) = facts.deliver_at
                && feed.settings.delayed_delivery
                && Self::is_early(time, feed.settings, feed.clock)
            {
                self.delayed.insert((time, at));
                self.read = behind(at);
                continue;
            }
            let slot = self.slot(&facts);
            let follows =
                self.keys.as_ref().is_some_and(|keys| !keys.out_of_order) && self.waiting.contains_key(&slot);
            let attempt =
                if follows { Attempt::Held } else { self.attempt(at, entry.clone(), &facts, cursor, feed) };
            match attempt {
                Attempt::Sent => {}
                Attempt::Held => self.set_aside(at, slot),
                Attempt::Unowned => self.passed_over = true,
                Attempt::NoRoom => return,
            }
            self.read = behind(at);
        }
    }

    /// Tries to send one entry.
    fn attempt(
        &mut self,
        at: Position,
        entry: bytes::Bytes,
        facts: &Facts<'_>,
        cursor: &Cursor,
        feed: &mut Feed<'_>,
    ) -> Attempt {
        let slot = self.slot(facts);
        let chunk_owner = facts.chunk_of.and_then(|(uuid, _)| self.chunked.get(uuid).copied());
        let index = if let Some(keys) = &self.keys {
            let Some(owner) = keys.owner(slot) else { return Attempt::Unowned };
            if !self.can_take(slot) {
                return Attempt::Held;
            }
            self.index_of(owner)
        } else if let Some(owner) = chunk_owner {
            let index = self.index_of(owner);
            if !index.is_some_and(|index| self.consumers[index].is_available()) {
                return Attempt::Held;
            }
            index
        } else {
            self.in_turn()
        };
        let Some(index) = index else { return Attempt::NoRoom };
        let consumer = &mut self.consumers[index];
        let owner = consumer.key;
        let redeliveries = self.redeliveries.get(&at).copied().unwrap_or(0);
        let count = feed.deliver(consumer, at, entry, facts.parts(), (cursor, redeliveries));
        consumer.unacked += count;
        let max = feed.settings.consumer_unacked_max;
        consumer.blocked |= max > 0 && consumer.unacked >= max;
        self.unacked += count;
        let max = feed.settings.subscription_unacked_max;
        self.blocked |= max > 0 && self.unacked >= max;
        self.sent.insert(at, Sent { owner, messages: facts.messages, unacked: count, slot });
        if let Some(keys) = &mut self.keys {
            keys.hold(slot, owner);
        } else if let Some((uuid, last)) = facts.chunk_of {
            if last {
                self.chunked.remove(uuid);
            } else if chunk_owner.is_none() {
                self.chunked.insert(uuid.to_owned(), owner);
            }
        }
        Attempt::Sent
    }

    /// Offers an entry of a topic that stores nothing. Whether it was sent.
    pub(in crate::broker) fn offer(
        &mut self,
        entry: &bytes::Bytes,
        cursor: &Cursor,
        feed: &mut Feed<'_>,
    ) -> bool {
        let facts = Facts::read(entry);
        let index = match &self.keys {
            Some(keys) => keys.owner(facts.slot()).and_then(|owner| self.index_of(owner)),
            None => self.in_turn(),
        };
        let Some(consumer) = index.map(|index| &mut self.consumers[index]) else { return false };
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

    /// Entries read and to be sent again, and messages sent and not acknowledged; whether these are too many.
    pub(in crate::broker) fn debts(&self) -> (usize, u32, bool) {
        (self.replay.len(), self.unacked, self.blocked)
    }

    /// The next consumer: of a better priority if one has room, else in turn among equals, else of a worse one.
    fn in_turn(&mut self) -> Option<usize> {
        let best = self.consumers.iter().find(|consumer| consumer.is_available())?.priority;
        let start = self.consumers.partition_point(|consumer| consumer.priority < best);
        let end = self.consumers.partition_point(|consumer| consumer.priority <= best);
        let from = if (start..end).contains(&self.next) { self.next } else { start };
        let index = (from..end).chain(start..from).find(|index| self.consumers[*index].is_available())?;
        self.next = index + 1;
        Some(index)
    }
}

impl Shared {
    /// Sums that must agree after any event. Walks over everything, so only where assertions are on.
    fn check(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        let unacked: u32 = self.sent.values().map(|sent| sent.unacked).sum();
        assert_eq!(self.unacked, unacked, "the subscription counts what is sent");
        for consumer in &self.consumers {
            let own = self.sent.values().filter(|sent| sent.owner == consumer.key);
            assert_eq!(consumer.unacked, own.map(|sent| sent.unacked).sum::<u32>(), "each counts its own");
        }
        assert_eq!(self.waiting.values().sum::<u32>() as usize, self.replay.len(), "slots count what waits");
        assert!(self.replay.keys().all(|at| !self.sent.contains_key(at)), "either sent or waiting");
    }
}
