//! One topic, owned by one core. Commands and what became of storage go in by `on_*`; after each, [`Topic::dispatch`] sends what
//! there is, and the shell drains [`Topic::poll_output`]. Entries are kept as they arrived and sent without a copy; consumers see
//! them once they are durable.

mod consumers;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::base::id::{EntryId, Position};
use crate::base::time::{Clock, Instant};
use crate::broker::cursor::{Cursor, CursorStateError};
use crate::broker::dispatch::Feed;
use crate::broker::entries::Entries;
use crate::broker::event::{ClientKey, ConnectionId, Outbox, Output, Save, SaveId};
use crate::broker::ledgers::Ledgers;
use crate::broker::producers::{Gate, Producers, Sender};
use crate::broker::publish::Publisher;
use crate::broker::settings::Settings;
use crate::broker::subscription::Subscription;
use crate::wire::pulsar::Command;
use crate::wire::pulsar::frame;
use crate::wire::pulsar::metadata::MetadataView;
use crate::wire::pulsar::proto::{CommandProducer, CommandSend, CommandSubscribe};

/// First wait after a failed read, doubled up to [`READ_RETRY_MAX`].
const READ_RETRY_MIN: Duration = Duration::from_millis(100);
/// Longest wait after failed reads.
const READ_RETRY_MAX: Duration = Duration::from_secs(15);

/// A reader that was closed by its own seek comes back within this, or its cursor goes.
const READER_RETURN_MAX: Duration = Duration::from_secs(60);

/// What recovery found of a topic.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// Its durable entries.
    pub ledgers: Ledgers,
    /// Messages in the last entry, if that is a batch.
    pub last_batch: Option<i32>,
    /// Saved cursors by subscription.
    pub cursors: Vec<(String, Vec<u8>)>,
    /// Saved producer epoch.
    pub epoch: Option<u64>,
    /// Highest sequence ids by producer name: the snapshot, and then those of the entries behind it, oldest first.
    pub sequences: Vec<(String, u64)>,
    /// No entry may be added.
    pub terminated: bool,
}

/// What happens to a subscription once something it asked for is done.
#[derive(Debug)]
enum After {
    /// A time was looked for to seek to; the request is answered afterwards.
    Found { subscription: String, from: ClientKey, request_id: u64 },
    /// Its new state is saved: it serves again.
    Reset(String),
    /// It is gone.
    Deleted(String),
}

/// A topic: producers on one side, subscriptions on the other, durable entries between.
#[derive(Debug)]
pub struct Topic {
    name: String,
    settings: Settings,
    ledgers: Ledgers,
    entries: Entries,
    /// Messages in the last entry, if that is a batch.
    last_batch: Option<i32>,
    producers: Producers,
    publisher: Publisher,
    subscriptions: BTreeMap<String, Subscription>,
    /// Which subscription a consumer is of.
    consumers: BTreeMap<ClientKey, String>,
    /// SUBSCRIBEs that wait to hear whether the consumer in their way is alive.
    probing: Vec<(ConnectionId, ClientKey, CommandSubscribe)>,
    after: BTreeMap<SaveId, After>,
    out: Outbox,
    /// A read is under way.
    reading: bool,
    read_retry: Option<(Instant, Duration)>,
    /// The subscription that is served first in the next turn.
    first_served: usize,
    fenced: bool,
    terminated: bool,
}

impl Topic {
    /// A topic as it was left. A cursor state that cannot be read is an error of the store.
    pub fn new(name: &str, settings: Settings, found: Recovered) -> Result<Topic, CursorStateError> {
        let mut publisher = Publisher::new(settings.deduplication);
        if let Some(dedup) = publisher.dedup() {
            found.sequences.iter().for_each(|(name, sequence)| dedup.restore(name, *sequence));
        }
        let mut subscriptions = BTreeMap::new();
        for (subscription, state) in found.cursors {
            let cursor = Cursor::load(&state, &found.ledgers)?;
            subscriptions.insert(subscription, Subscription::new(cursor, true));
        }
        Ok(Topic {
            name: name.to_owned(),
            settings,
            ledgers: found.ledgers,
            entries: Entries::default(),
            last_batch: found.last_batch,
            producers: Producers::new(found.epoch),
            publisher,
            subscriptions,
            consumers: BTreeMap::new(),
            probing: Vec::new(),
            after: BTreeMap::new(),
            out: Outbox::default(),
            reading: false,
            read_retry: None,
            first_served: 0,
            fenced: false,
            terminated: found.terminated,
        })
    }

    /// The next thing to be done; `None`: nothing more before the next event.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop()
    }

    /// Any command of a client but PRODUCER and SEND. What is not a topic's business is ignored.
    pub fn on_command(&mut self, clock: Clock, connection: ConnectionId, command: Command) {
        let key = |id| ClientKey { connection, id };
        match command {
            Command::CloseProducer(close) => {
                self.producers.close(key(close.producer_id), close.request_id, &mut self.out);
            }
            Command::Subscribe(subscribe) => self.subscribe(clock, key(subscribe.consumer_id), subscribe),
            Command::Flow(flow) => self.flow(key(flow.consumer_id), flow.message_permits),
            Command::Ack(ack) => self.ack(clock, key(ack.consumer_id), &ack),
            Command::Redeliver(redeliver) => {
                if let Some(subscription) = self.subscription_of(key(redeliver.consumer_id)) {
                    let consumer = key(redeliver.consumer_id);
                    subscription.redeliver(consumer, &redeliver.message_ids, redeliver.consumer_epoch);
                }
            }
            Command::Seek(seek) => self.seek(key(seek.consumer_id), &seek),
            Command::Unsubscribe(ask) => self.unsubscribe(clock, key(ask.consumer_id), &ask),
            Command::GetLastMessageId(ask) => self.last_message_id(key(ask.consumer_id), ask.request_id),
            Command::CloseConsumer(close) => {
                self.remove_consumer(clock, key(close.consumer_id));
                self.out.success(connection, close.request_id);
            }
            _ => {}
        }
    }

    /// PRODUCER. `generated` makes a name that no producer of the cluster ever had (protocol 7.1).
    pub fn on_producer(
        &mut self,
        connection: ConnectionId,
        command: CommandProducer,
        generated: impl FnOnce() -> String,
    ) {
        let gate = Gate { settings: &self.settings, fenced: self.fenced, terminated: self.terminated };
        let last_sequence = |name: &str| self.publisher.last_sequence(name);
        self.producers.create(connection, command, generated, last_sequence, gate, &mut self.out);
    }

    /// SEND with its entry: everything behind the command in the frame.
    pub fn on_send(&mut self, connection: ConnectionId, command: &CommandSend, entry: Bytes) {
        let key = ClientKey { connection, id: command.producer_id };
        match self.producers.sender(key) {
            Sender::Ready(producer) => {
                let state = (&self.settings, self.fenced);
                self.publisher.send(key, producer, command, entry, state, &mut self.out);
            }
            Sender::ClosedByUs => {}
            Sender::Unknown => self.out.close_connection(connection, "SEND of an unknown producer"),
        }
    }

    /// The oldest `count` entries on their way are durable, from `first` on, in one ledger.
    pub fn on_appended(&mut self, first: Position, count: u64) {
        for index in 0..count {
            let at = Position { ledger: first.ledger, entry: EntryId(first.entry.0 + index) };
            let entry = self.publisher.appended(at, &self.producers, &mut self.out);
            let entry = entry.expect("the store confirms what it was asked to store, once");
            let metadata = frame::payload(&entry).ok();
            let metadata = metadata.and_then(|payload| MetadataView::read(payload.metadata).ok());
            self.last_batch = metadata.and_then(|metadata| metadata.batch_size);
            self.entries.push(at, entry);
        }
        self.ledgers.append(first, count);
    }

    /// All entries on their way failed. Producers are closed and come again; newcomers are refused until
    /// [`Topic::on_storage_ready`].
    pub fn on_append_failed(&mut self, clock: Clock) {
        self.fenced = true;
        self.publisher.failed(&self.producers, &mut self.out);
        self.producers.close_all(clock.now, &mut self.out);
    }

    /// The store takes entries again.
    pub fn on_storage_ready(&mut self) {
        self.fenced = false;
    }

    /// Entries were read: at least one, from `first` on, in one ledger.
    pub fn on_read(&mut self, first: Position, entries: impl IntoIterator<Item = Bytes>) {
        for (index, entry) in (0..).zip(entries) {
            let at = Position { ledger: first.ledger, entry: EntryId(first.entry.0 + index) };
            self.entries.insert(at, entry);
        }
        self.reading = false;
        self.read_retry = None;
    }

    /// Entries could not be read: tried again later.
    pub fn on_read_failed(&mut self, clock: Clock) {
        let wait = self.read_retry.map_or(READ_RETRY_MIN, |(_, wait)| (2 * wait).min(READ_RETRY_MAX));
        self.reading = false;
        self.read_retry = Some((clock.now + wait, wait));
    }

    /// A fact is durable: what waited for it goes on.
    pub fn on_saved(&mut self, id: SaveId) {
        self.producers.on_saved(id);
        self.out.release(id);
        match self.after.remove(&id) {
            Some(After::Reset(name)) => {
                if let Some(subscription) = self.subscriptions.get_mut(&name) {
                    subscription.fenced = false;
                }
            }
            Some(After::Deleted(name)) => drop(self.subscriptions.remove(&name)),
            Some(After::Found { .. }) | None => {}
        }
    }

    /// A connection is alive, or is not: the answer to a probe.
    pub fn on_probe(&mut self, clock: Clock, connection: ConnectionId, alive: bool) {
        if !alive {
            self.on_disconnect(clock, connection);
        }
        let gate = Gate { settings: &self.settings, fenced: self.fenced, terminated: self.terminated };
        self.producers.on_probe(connection, alive, gate, &mut self.out);
        self.subscribe_after_probe(clock, connection, alive);
    }

    /// A connection ended: its producers and consumers go.
    pub fn on_disconnect(&mut self, clock: Clock, connection: ConnectionId) {
        self.out.forget(connection);
        self.producers.disconnect(connection, &mut self.out);
        self.probing.retain(|(_, key, _)| key.connection != connection);
        let of_it = self.consumers.keys().copied().filter(|key| key.connection == connection);
        for key in of_it.collect::<Vec<_>>() {
            self.remove_consumer(clock, key);
        }
    }

    /// A connection takes more, or does not for now.
    pub fn on_writable(&mut self, connection: ConnectionId, writable: bool) {
        for (key, name) in self.consumers.iter().filter(|(key, _)| key.connection == connection) {
            let consumer = self.subscriptions.get_mut(name).and_then(|found| found.consumer(*key));
            if let Some(consumer) = consumer {
                consumer.writable = writable;
            }
        }
    }

    /// Now and then (`cursorFlushIntervalMs`): cursors that moved are saved.
    pub fn on_tick(&mut self, clock: Clock) {
        self.producers.on_tick(clock.now);
        self.subscriptions.retain(|_, subscription| {
            let idle = !subscription.durable && subscription.consumers().is_empty();
            subscription.idle_since = subscription.idle_since.filter(|_| idle).or(idle.then_some(clock.now));
            subscription.idle_since.is_none_or(|since| clock.now.since(since) < READER_RETURN_MAX)
        });
        for (name, subscription) in &mut self.subscriptions {
            if subscription.durable && !subscription.fenced && subscription.cursor.take_dirty() {
                let state = subscription.cursor.save();
                let _: SaveId = self.out.save(Save::Cursor { subscription: name.clone(), state });
            }
        }
    }

    /// What deduplication knows is saved: after many entries, or now and then (protocol 7.6).
    pub fn save_sequences(&mut self) {
        if let Some(dedup) = self.publisher.dedup() {
            let save = Save::Dedup { names: dedup.snapshot(), below: self.ledgers.end() };
            let _: SaveId = self.out.save(save);
        }
    }

    /// Retention took the ledgers below one.
    pub fn on_trimmed(&mut self, first: Position) {
        self.ledgers.trim(first.ledger);
        for subscription in self.subscriptions.values_mut() {
            subscription.cursor.trim(first, &self.ledgers);
        }
    }

    /// Seals the topic: producers go, consumers are told once they are through. Returns the last entry. Twice is once.
    pub fn terminate(&mut self, clock: Clock) -> Option<Position> {
        if !self.terminated {
            self.terminated = true;
            self.producers.close_all(clock.now, &mut self.out);
            let _: SaveId = self.out.save(Save::Terminated);
        }
        self.ledgers.last()
    }

    /// The topic leaves this core: its clients are sent away and come again.
    pub fn close(&mut self, clock: Clock) {
        self.fenced = true;
        self.producers.close_all(clock.now, &mut self.out);
        for subscription in self.subscriptions.values_mut() {
            subscription.close_all(&mut self.out);
        }
        self.consumers.clear();
    }

    /// Sends what there is, within a budget. `true`: there is more; call again after the outputs were taken.
    pub fn dispatch(&mut self, clock: Clock) -> bool {
        let Topic { ledgers, entries, settings, subscriptions, out, .. } = self;
        let mut feed = Feed::new((ledgers, entries), settings, clock, out);
        let count = subscriptions.len();
        let first = self.first_served.checked_rem(count).unwrap_or(0);
        self.first_served = first + 1;
        let terminated = self.terminated && self.publisher.is_idle();
        let mut wanted = None;
        // Each in turn begins, so that none is kept waiting by the others' reads or budget.
        for pass in [first..count, 0..first] {
            for subscription in subscriptions.values_mut().take(pass.end).skip(pass.start) {
                subscription.dispatch(terminated, &mut feed);
                wanted = wanted.or(feed.wanted.take());
            }
        }
        let spent = feed.is_spent();
        if !spent {
            self.entries.trim();
        }
        let waits = self.reading || self.read_retry.is_some_and(|(at, _)| clock.now < at);
        if let Some((from, entries)) = wanted
            && !waits
        {
            self.reading = true;
            self.out.push(Output::Read { from, entries, bytes: crate::base::limit::READ_AHEAD_BYTES });
        }
        spent
    }

    /// When [`Topic::dispatch`] has something to do without another event.
    pub fn next_time(&self, clock: Clock) -> Option<Instant> {
        let subscriptions = self.subscriptions.values();
        let first =
            subscriptions.filter_map(|subscription| subscription.next_time(&self.settings, clock)).min();
        let retry = self.read_retry.map(|(at, _)| at).filter(|_| !self.reading);
        first.into_iter().chain(retry).min()
    }

    /// Entries of a subscription to be consumed still, and how many of them wait for their time. `None`: no such subscription.
    pub fn backlog(&self, subscription: &str) -> Option<(u64, usize)> {
        let found = self.subscriptions.get(subscription)?;
        Some((found.cursor.backlog(&self.ledgers), found.delayed()))
    }

    /// Whether producers or consumers are connected.
    pub fn is_in_use(&self) -> bool {
        self.producers.len() > 0 || !self.consumers.is_empty()
    }

    /// First ledger that retention has to keep for a durable subscription. `None`: none of them holds anything back.
    pub fn slowest(&self) -> Option<Position> {
        let durable = self.subscriptions.values().filter(|subscription| subscription.durable);
        durable.map(|subscription| subscription.cursor.floor()).min()
    }

    fn subscription_of(&mut self, key: ClientKey) -> Option<&mut Subscription> {
        self.subscriptions.get_mut(self.consumers.get(&key)?)
    }
}

#[cfg(test)]
mod tests;
