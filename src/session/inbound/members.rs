//! The producers and consumers of one connection by the numbers they go by: which store each is at, whether it is being
//! created, and what of it is still to be answered (broker 3.1, 3.2, 4.1). The same rules hold for a native client and for
//! the gateway's local link.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::base::limit;
use crate::base::time::Instant;
use crate::session::inbound::refusals::{self, topic_name};
use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto as p;
use crate::wire::pulsar::proto::ServerError;

/// Where topics are.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// Stores of the data folder.
    pub stores: u16,
    /// The store of a topic by its full name, partition suffix included.
    pub of: fn(&str, u16) -> u16,
}

/// What is to be done with a command.
#[derive(Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // lives on the stack for one call
pub enum Step {
    /// Nothing: what it names is not there, and nobody waits.
    Nothing,
    /// It is answered here.
    Answer(Command),
    /// For the topic's host.
    Forward {
        /// Number of the store.
        store: u16,
        /// The store hears of this connection for the first time.
        first: bool,
        /// The command; a topic in it has its full name.
        command: Command,
    },
    /// A question that concerns no producer or consumer: whoever owns the connection answers it.
    Ask(Command),
    /// The client broke the protocol: its connection is closed.
    Close(&'static str),
}

/// A producer as its connection knows it.
#[derive(Debug)]
struct Producer {
    store: u16,
    topic: Box<str>,
    /// Attempt of the client (`epoch`), from 0.
    attempt: u64,
    /// Version of the schema it brought.
    schema_version: Option<u64>,
    /// Its success, once it was told; until then it is being created.
    success: Option<Box<p::CommandProducerSuccess>>,
    /// Bytes of entries not answered yet, oldest first.
    pending: VecDeque<u32>,
}

#[derive(Debug)]
struct Consumer {
    store: u16,
    topic: Box<str>,
    created: bool,
}

/// Who waits for the answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Producer(u64),
    Consumer(u64),
    Unsubscribe(u64),
}

/// All producers and consumers of a connection.
///
/// Invariants: `pending` and `pending_bytes` are the sums over `producers`; what is being created has an entry in `waiting`.
#[derive(Debug)]
pub struct Members {
    places: Places,
    producers: BTreeMap<u64, Producer>,
    consumers: BTreeMap<u64, Consumer>,
    waiting: BTreeMap<u64, Waiting>,
    /// Producers the broker closed a moment ago: what was under way for them is ignored.
    closed: BTreeMap<u64, Instant>,
    closed_order: VecDeque<(Instant, u64)>,
    stores: BTreeSet<u16>,
    pending: usize,
    pending_bytes: usize,
}

impl Members {
    /// A connection without any.
    pub fn new(places: Places) -> Members {
        Members {
            places,
            producers: BTreeMap::new(),
            consumers: BTreeMap::new(),
            waiting: BTreeMap::new(),
            closed: BTreeMap::new(),
            closed_order: VecDeque::new(),
            stores: BTreeSet::new(),
            pending: 0,
            pending_bytes: 0,
        }
    }

    /// Entries that were forwarded and are not answered yet.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Their bytes.
    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Stores that heard of this connection, ascending: they are told when it ends.
    pub fn stores(&self) -> impl Iterator<Item = u16> {
        self.stores.iter().copied()
    }

    /// Stores that have consumers of this connection, ascending, each once.
    pub fn consuming(&self) -> BTreeSet<u16> {
        self.consumers.values().map(|consumer| consumer.store).collect()
    }

    /// Producers and consumers, those being created included.
    pub fn len(&self) -> usize {
        self.producers.len() + self.consumers.len()
    }

    /// True when there is no producer and no consumer.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// It has a producer, also one being created.
    pub fn produces(&self) -> bool {
        !self.producers.is_empty()
    }

    /// This PRODUCER or SUBSCRIBE is still wanted: it was neither closed nor answered meanwhile.
    pub fn is_waiting(&self, request: u64) -> bool {
        self.waiting.contains_key(&request)
    }

    /// A client's command. `entry`: bytes that follow a SEND.
    pub fn on_command(&mut self, now: Instant, command: Command, entry: usize) -> Step {
        match command {
            Command::Send(send) => self.send(now, send, entry),
            Command::Flow(flow) => self.to_consumer(flow.consumer_id, Command::Flow(flow)),
            Command::Ack(ack) => self.ack(ack),
            Command::Redeliver(ask) => self.to_consumer(ask.consumer_id, Command::Redeliver(ask)),
            Command::Producer(producer) => self.producer(producer),
            Command::Subscribe(subscribe) => self.subscribe(subscribe),
            Command::CloseProducer(close) => self.close_producer(close),
            Command::CloseConsumer(close) => self.close_consumer(close),
            Command::Seek(seek) => self.seek(seek),
            Command::Unsubscribe(ask) => self.unsubscribe(ask),
            Command::GetLastMessageId(ask) => match self.consumers.get(&ask.consumer_id) {
                Some(consumer) => forward(consumer.store, Command::GetLastMessageId(ask)),
                None => Step::Answer(refusals::consumer_not_found(ask.request_id)),
            },
            Command::ConsumerStats(ask) => match self.consumers.get(&ask.consumer_id) {
                Some(consumer) => forward(consumer.store, Command::ConsumerStats(ask)),
                None => Step::Answer(refusals::no_statistics(ask.request_id)),
            },
            Command::Lookup(_)
            | Command::PartitionedMetadata(_)
            | Command::GetTopicsOfNamespace(_)
            | Command::GetSchema(_)
            | Command::GetOrCreateSchema(_) => Step::Ask(command),
            other => refused(&other),
        }
    }

    /// What a host says to this client. Called with everything before it is sent.
    ///
    /// A success gets the version of the schema that its producer brought.
    pub fn on_told(&mut self, now: Instant, command: &mut Command) {
        match command {
            Command::SendReceipt(receipt) => self.answered(receipt.producer_id),
            Command::SendError(error) => self.answered(error.producer_id),
            Command::ProducerSuccess(success) => self.producer_created(success),
            Command::Success(success) => match self.waiting.remove(&success.request_id) {
                Some(Waiting::Consumer(id)) => {
                    if let Some(consumer) = self.consumers.get_mut(&id) {
                        consumer.created = true;
                    }
                }
                Some(Waiting::Unsubscribe(id)) => drop(self.consumers.remove(&id)),
                _ => {}
            },
            Command::Error(error) => match self.waiting.remove(&error.request_id) {
                Some(Waiting::Producer(id)) => self.forget_producer(id),
                Some(Waiting::Consumer(id)) => drop(self.consumers.remove(&id)),
                Some(Waiting::Unsubscribe(_)) | None => {}
            },
            Command::CloseProducer(close) => {
                if let Some(producer) = self.producers.get(&close.producer_id) {
                    if producer.success.is_none() {
                        self.waiting.retain(|_, waiting| *waiting != Waiting::Producer(close.producer_id));
                    }
                    self.forget_producer(close.producer_id);
                    self.remember_closed(now, close.producer_id);
                }
            }
            Command::CloseConsumer(close) => drop(self.consumers.remove(&close.consumer_id)),
            _ => {}
        }
    }

    fn producer_created(&mut self, success: &mut p::CommandProducerSuccess) {
        let Some(Waiting::Producer(id)) = self.waiting.get(&success.request_id).copied() else { return };
        let Some(producer) = self.producers.get_mut(&id) else { return };
        if let Some(version) = producer.schema_version {
            success.schema_version = Some(version.to_be_bytes().to_vec());
        }
        if success.producer_ready != Some(false) {
            self.waiting.remove(&success.request_id);
            producer.success = Some(Box::new(success.clone()));
        }
    }

    /// The schema that this PRODUCER brought has this version.
    pub fn set_schema_version(&mut self, request: u64, version: u64) {
        if let Some(Waiting::Producer(id)) = self.waiting.get(&request)
            && let Some(producer) = self.producers.get_mut(id)
        {
            producer.schema_version = Some(version);
        }
    }

    fn send(&mut self, now: Instant, send: p::CommandSend, entry: usize) -> Step {
        let id = send.producer_id;
        let Some(producer) = self.producers.get_mut(&id) else {
            let recently = |at: &Instant| now.since(*at) < limit::CLOSED_PRODUCER_MEMORY;
            return match self.closed.get(&id).is_some_and(recently) {
                true => Step::Nothing,
                false => Step::Close("SEND of an unknown producer"),
            };
        };
        if producer.success.is_none() {
            return Step::Close("SEND of a producer that is not ready");
        }
        if send.txnid_least_bits.is_some() || send.txnid_most_bits.is_some() {
            return Step::Answer(refusals::send_in_transaction(&send));
        }
        // A frame, and so its entry, is far below 4 GiB.
        producer.pending.push_back(u32::try_from(entry).unwrap_or(u32::MAX));
        self.pending += 1;
        self.pending_bytes += entry;
        forward(producer.store, Command::Send(send))
    }

    fn answered(&mut self, id: u64) {
        let Some(producer) = self.producers.get_mut(&id) else { return };
        if let Some(bytes) = producer.pending.pop_front() {
            self.pending -= 1;
            self.pending_bytes -= bytes as usize;
        }
    }

    fn forget_producer(&mut self, id: u64) {
        if let Some(producer) = self.producers.remove(&id) {
            self.pending -= producer.pending.len();
            self.pending_bytes -= producer.pending.iter().map(|bytes| *bytes as usize).sum::<usize>();
        }
    }

    fn remember_closed(&mut self, now: Instant, id: u64) {
        self.closed.insert(id, now);
        self.closed_order.push_back((now, id));
        while let Some((at, id)) = self.closed_order.front().copied()
            && (now.since(at) >= limit::CLOSED_PRODUCER_MEMORY
                || self.closed_order.len() > limit::CONNECTION_MEMBERS_MAX)
        {
            self.closed_order.pop_front();
            if self.closed.get(&id) == Some(&at) {
                self.closed.remove(&id);
            }
        }
    }

    fn producer(&mut self, mut ask: p::CommandProducer) -> Step {
        let (id, request) = (ask.producer_id, ask.request_id);
        let topic = match topic_name(&ask.topic) {
            Ok(topic) => topic,
            Err(text) => return refuse(request, ServerError::InvalidTopicName, text),
        };
        let attempt = ask.epoch.unwrap_or(0);
        if let Some(known) = self.producers.get(&id) {
            match &known.success {
                None => {
                    let text = "Producer is already present on the connection";
                    return refuse(request, ServerError::ServiceNotReady, text);
                }
                Some(_) if *known.topic == *topic.as_str() && attempt > known.attempt => {
                    self.forget_producer(id); // its successor: the host lets it take the old one's place
                }
                Some(success) => {
                    let success = p::CommandProducerSuccess { request_id: request, ..(**success).clone() };
                    return Step::Answer(Command::ProducerSuccess(success));
                }
            }
        }
        if self.len() >= limit::CONNECTION_MEMBERS_MAX {
            return refuse(request, ServerError::NotAllowedError, "Too many producers and consumers");
        }
        self.closed.remove(&id);
        let (store, first) = self.place(topic.as_str());
        let name: Box<str> = topic.as_str().into();
        ask.topic = topic.to_string();
        let producer = Producer {
            store,
            topic: name,
            attempt,
            schema_version: None,
            success: None,
            pending: VecDeque::new(),
        };
        self.producers.insert(id, producer);
        self.waiting.insert(request, Waiting::Producer(id));
        Step::Forward { store, first, command: Command::Producer(ask) }
    }

    fn subscribe(&mut self, mut ask: p::CommandSubscribe) -> Step {
        let (id, request) = (ask.consumer_id, ask.request_id);
        let topic = match topic_name(&ask.topic) {
            Ok(topic) => topic,
            Err(text) => return refuse(request, ServerError::InvalidTopicName, text),
        };
        match self.consumers.get(&id) {
            Some(known) if !known.created => {
                let text = "Consumer is already present on the connection";
                return refuse(request, ServerError::ServiceNotReady, text);
            }
            Some(known) if *known.topic != *topic.as_str() => {
                let success = p::CommandSuccess { request_id: request, schema: None };
                return Step::Answer(Command::Success(success));
            }
            _ => {}
        }
        if self.len() >= limit::CONNECTION_MEMBERS_MAX {
            return refuse(request, ServerError::NotAllowedError, "Too many producers and consumers");
        }
        let (store, first) = self.place(topic.as_str());
        let name: Box<str> = topic.as_str().into();
        ask.topic = topic.to_string();
        self.consumers.insert(id, Consumer { store, topic: name, created: false });
        self.waiting.insert(request, Waiting::Consumer(id));
        Step::Forward { store, first, command: Command::Subscribe(ask) }
    }

    /// The store of a topic, and whether it hears of this connection for the first time.
    fn place(&mut self, topic: &str) -> (u16, bool) {
        let store = (self.places.of)(topic, self.places.stores);
        (store, self.stores.insert(store))
    }

    fn close_producer(&mut self, ask: p::CommandCloseProducer) -> Step {
        let Some(store) = self.producers.get(&ask.producer_id).map(|producer| producer.store) else {
            return Step::Answer(refusals::success(ask.request_id));
        };
        self.forget_producer(ask.producer_id);
        self.waiting.retain(|_, waiting| *waiting != Waiting::Producer(ask.producer_id));
        forward(store, Command::CloseProducer(ask))
    }

    fn close_consumer(&mut self, ask: p::CommandCloseConsumer) -> Step {
        let Some(consumer) = self.consumers.remove(&ask.consumer_id) else {
            return Step::Answer(refusals::success(ask.request_id));
        };
        let gone = [Waiting::Consumer(ask.consumer_id), Waiting::Unsubscribe(ask.consumer_id)];
        self.waiting.retain(|_, waiting| !gone.contains(waiting));
        forward(consumer.store, Command::CloseConsumer(ask))
    }

    fn seek(&mut self, ask: p::CommandSeek) -> Step {
        if ask.message_id.is_none() && ask.message_publish_time.is_none() {
            let text = "Message id and message publish time were not present";
            return refuse(ask.request_id, ServerError::MetadataError, text);
        }
        match self.consumers.get(&ask.consumer_id) {
            Some(consumer) => forward(consumer.store, Command::Seek(ask)),
            None => Step::Answer(refusals::consumer_not_found(ask.request_id)),
        }
    }

    fn unsubscribe(&mut self, ask: p::CommandUnsubscribe) -> Step {
        match self.consumers.get(&ask.consumer_id) {
            Some(consumer) => {
                self.waiting.insert(ask.request_id, Waiting::Unsubscribe(ask.consumer_id));
                forward(consumer.store, Command::Unsubscribe(ask))
            }
            None => Step::Answer(refusals::consumer_not_found(ask.request_id)),
        }
    }

    fn ack(&mut self, ack: p::CommandAck) -> Step {
        if ack.txnid_least_bits.is_some() || ack.txnid_most_bits.is_some() {
            return refusals::ack_in_transaction(&ack).map_or(Step::Nothing, Step::Answer);
        }
        self.to_consumer(ack.consumer_id, Command::Ack(ack))
    }

    fn to_consumer(&self, id: u64, command: Command) -> Step {
        self.consumers.get(&id).map_or(Step::Nothing, |consumer| forward(consumer.store, command))
    }
}

/// What is never carried out: transactions and topic watchers, which we do not announce, and what no client may send.
fn refused(command: &Command) -> Step {
    let request = match command {
        Command::NewTransaction(ask) => ask.request_id,
        Command::AddPartitionToTransaction(ask) => ask.request_id,
        Command::AddSubscriptionToTransaction(ask) => ask.request_id,
        Command::EndTransaction(ask) => ask.request_id,
        Command::TransactionCoordinatorConnect(ask) => ask.request_id,
        Command::WatchTopicList(ask) => {
            return refuse(ask.request_id, ServerError::NotAllowedError, "Topic list watcher is disabled");
        }
        Command::WatchTopicListClose(ask) => return Step::Answer(refusals::success(ask.request_id)),
        _ => return Step::Close("a command that clients do not send"),
    };
    Step::Answer(refusals::transactions(request))
}

fn forward(store: u16, command: Command) -> Step {
    Step::Forward { store, first: false, command }
}

fn refuse(request: u64, code: ServerError, text: impl Into<String>) -> Step {
    Step::Answer(refusals::error(request, code, text))
}

#[cfg(test)]
mod tests;
