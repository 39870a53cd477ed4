//! One topic, owned by one core. Commands and what became of storage go in by `on_*`; after each, [`Topic::dispatch`] sends what
//! there is, and the shell drains [`Topic::poll_output`]. Entries are kept as they arrived and sent without a copy; consumers see
//! them once they are durable.

mod consumers;
mod numbers;
pub(in crate::broker) mod operate;
mod storage;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::base::id::{EntryId, Position};
use crate::base::time::{Clock, Instant};
use crate::broker::cursor::Cursor;
use crate::broker::dispatch::Feed;
use crate::broker::entries::Entries;
use crate::broker::event::{ClientKey, ConnectionId, Outbox, Output, Save, SaveId};
use crate::broker::ledgers::Ledgers;
use crate::broker::meter::Meter;
use crate::broker::producers::{Gate, Producers, Sender};
use crate::broker::properties::Properties;
use crate::broker::publish::{Appended, Publisher};
use crate::broker::settings::Settings;
use crate::broker::subscription::Subscription;
use crate::store::{self, CursorId};
use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto::{CommandProducer, CommandSend, CommandSubscribe, ServerError};

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
    /// Saved cursors.
    pub cursors: Vec<(CursorId, store::Cursor)>,
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
    /// A time was looked for where a new subscription begins; then it is subscribed to.
    Rollback { key: ClientKey, command: Box<CommandSubscribe> },
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
    /// Nothing is stored: what is published goes to whoever can take it (broker 2.6).
    volatile: bool,
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
    /// Acknowledgements to be confirmed once they are durable: subscription, consumer, request.
    owed: Vec<(String, ClientKey, u64)>,
    after: BTreeMap<SaveId, After>,
    out: Outbox,
    /// Number of the next durable subscription.
    next_cursor: u64,
    /// A read is under way.
    reading: bool,
    read_retry: Option<(Instant, Duration)>,
    /// The subscription that is served first in the next turn.
    first_served: usize,
    fenced: bool,
    terminated: bool,
    /// The store has no room: nobody may publish.
    full: bool,
    /// A quota is exceeded: newcomers that would publish are refused with this.
    over_quota: Option<ServerError>,
    published: Meter,
    delivered: Meter,
    /// When rates were made.
    rolled: Option<Instant>,
    chunked: bool,
    /// Entries added, and entries since what deduplication knows was last saved.
    added: u64,
    unsaved_sequences: u64,
}

impl Topic {
    /// A topic as it was left.
    pub fn new(name: &str, settings: Settings, found: Recovered) -> Topic {
        let mut publisher = Publisher::new(settings.deduplication);
        if let Some(dedup) = publisher.dedup() {
            found.sequences.iter().for_each(|(name, sequence)| dedup.restore(name, *sequence));
        }
        let mut subscriptions = BTreeMap::new();
        let mut next_cursor = 1;
        for (id, saved) in found.cursors {
            next_cursor = next_cursor.max(id.0.saturating_add(1));
            let cursor = Cursor::load(&saved, &found.ledgers);
            let properties = Properties::decode(&saved.properties).unwrap_or_default();
            let name = String::from_utf8_lossy(&saved.name).into_owned();
            subscriptions.insert(name, Subscription::new(id, cursor, true, properties));
        }
        Topic {
            name: name.to_owned(),
            volatile: name.starts_with("non-persistent://"),
            settings,
            ledgers: found.ledgers,
            entries: Entries::default(),
            last_batch: found.last_batch,
            producers: Producers::new(found.epoch),
            publisher,
            subscriptions,
            consumers: BTreeMap::new(),
            probing: Vec::new(),
            owed: Vec::new(),
            after: BTreeMap::new(),
            out: Outbox::default(),
            next_cursor,
            reading: false,
            read_retry: None,
            first_served: 0,
            fenced: false,
            terminated: found.terminated,
            full: false,
            over_quota: None,
            published: Meter::default(),
            delivered: Meter::default(),
            rolled: None,
            chunked: false,
            added: 0,
            unsaved_sequences: 0,
        }
    }

    /// Something is to be done.
    pub fn has_output(&self) -> bool {
        self.out.has_some()
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
            Command::Flow(flow) => self.flow(clock, key(flow.consumer_id), flow.message_permits),
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
                self.close_consumer(clock, key(close.consumer_id), close.request_id);
            }
            _ => {}
        }
    }

    /// PRODUCER. `generated` makes a name that no producer of the cluster ever had (protocol 7.1).
    pub fn on_producer(
        &mut self,
        clock: Clock,
        connection: ConnectionId,
        command: CommandProducer,
        generated: impl FnOnce() -> String,
    ) {
        if let Some(name) = command.initial_subscription_name.as_ref().filter(|name| !name.is_empty())
            && let Err(refusal) = self.subscribe_initially(name)
        {
            return self.out.error(connection, command.request_id, &refusal);
        }
        let gate = gate(&self.name, self.view(), &self.settings, clock);
        let last_sequence = |name: &str| self.publisher.last_sequence(name);
        self.producers.create(connection, command, generated, last_sequence, gate, &mut self.out);
    }

    /// SEND with its entry: everything behind the command in the frame.
    pub fn on_send(&mut self, clock: Clock, connection: ConnectionId, command: &CommandSend, entry: Bytes) {
        let key = ClientKey { connection, id: command.producer_id };
        match self.producers.sender(key) {
            Sender::Ready(producer) => {
                let state = (&self.settings, self.fenced || self.full);
                if self.volatile {
                    let passed = self.publisher.pass(key, producer, command, entry, state, &mut self.out);
                    return passed.into_iter().for_each(|entry| self.offer(clock, &entry));
                }
                self.publisher.send(key, producer, command, entry, state, &mut self.out);
            }
            Sender::ClosedByUs => {}
            Sender::Unknown => self.out.close_connection(connection, "SEND of an unknown producer"),
        }
    }

    /// A connection is alive, or is not: the answer to a probe.
    pub fn on_probe(&mut self, clock: Clock, connection: ConnectionId, alive: bool) {
        if !alive {
            self.on_disconnect(clock, connection);
        }
        let gate = gate(&self.name, self.view(), &self.settings, clock);
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

    /// Sends what there is, within a budget. `true`: there is more; call again after the outputs were taken.
    pub fn dispatch(&mut self, clock: Clock) -> bool {
        self.confirm_acks();
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
        let (spent, sent) = (feed.is_spent(), feed.all);
        self.delivered.messages += sent.messages;
        self.delivered.bytes += sent.bytes;
        if !spent {
            self.entries.trim();
            self.forget_read();
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

    /// Entries that every reader has passed are not kept: who wants one again asks the store.
    fn forget_read(&mut self) {
        let first = self.subscriptions.values().filter_map(Subscription::reading).min();
        self.entries.forget_below(first.unwrap_or(self.ledgers.end()));
    }

    /// An entry of a topic that stores nothing goes to whoever can take it.
    fn offer(&mut self, clock: Clock, passed: &Appended) {
        self.count_in(passed);
        let Topic { ledgers, entries, settings, subscriptions, out, .. } = self;
        let mut feed = Feed::new((ledgers, entries), settings, clock, out);
        for subscription in subscriptions.values_mut() {
            subscription.offer(&passed.entry, passed.messages, &mut feed);
        }
        let sent = feed.all;
        self.delivered.messages += sent.messages;
        self.delivered.bytes += sent.bytes;
    }

    fn count_in(&mut self, entry: &Appended) {
        self.published.add(entry.messages, entry.entry.len());
        self.chunked |= entry.chunk;
        self.added += 1;
        if let Some(producer) = self.producers.get_mut(entry.from) {
            producer.published.add(entry.messages, entry.entry.len());
            producer.chunks.messages += u64::from(entry.chunk);
        }
    }

    /// What decides about producers, beside settings.
    fn view(&self) -> (bool, bool, Option<ServerError>) {
        let full = self.full.then_some(ServerError::ProducerBlockedQuotaExceededError);
        (self.fenced, self.terminated, full.or(self.over_quota))
    }

    /// When [`Topic::dispatch`] has something to do without another event.
    pub fn next_time(&self, clock: Clock) -> Option<Instant> {
        let subscriptions = self.subscriptions.values();
        let first = subscriptions.filter_map(|subscription| subscription.next_time(clock)).min();
        // Once it has passed, whoever wants to read asks again by himself.
        let retry = self.read_retry.map(|(at, _)| at).filter(|at| !self.reading && *at > clock.now);
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

/// What decides about producers.
fn gate<'a>(
    topic: &'a str,
    (fenced, terminated, blocked): (bool, bool, Option<ServerError>),
    settings: &'a Settings,
    clock: Clock,
) -> Gate<'a> {
    Gate { topic, settings, fenced, terminated, blocked, now_ms: clock.wall.0.cast_unsigned() }
}

#[cfg(test)]
mod tests;
