//! Which topic a request is for. PRODUCER and SUBSCRIBE name it; what follows goes by connection and number.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use bytes::Bytes;

use super::load::not_ready;
use super::registry::{Body, Waiting, waiting};
use super::{Asked, ConnectionId, Host, HostState, Reply, Request, Told};
use crate::base::table::Key;
use crate::base::time::Clock;
use crate::broker::catalogue::Catalogue;
use crate::broker::event::{ClientKey, Refusal, success};
use crate::broker::stats::Peer;
use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto::ServerError;

/// Keys are counters, not a peer's choice of bits worth attacking: one multiplication spreads them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // The odd constant of Fibonacci hashing; the rotation brings high bits down, where tables look.
        self.0 = (self.0.rotate_left(26) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

/// A map by numbers.
pub(super) type Spreading<K, V> = HashMap<K, V, BuildHasherDefault<Spread>>;

/// What is known of a connection.
#[derive(Debug, Default)]
pub(super) struct Connection {
    pub(super) peer: Peer,
    /// Topics it spoke to.
    topics: Vec<Key>,
    producers: Vec<u64>,
    consumers: Vec<u64>,
}

/// Who speaks to which topic.
#[derive(Debug, Default)]
pub(super) struct Routes {
    pub(super) connections: Spreading<ConnectionId, Connection>,
    producers: Spreading<ClientKey, Key>,
    consumers: Spreading<ClientKey, Key>,
}

impl Routes {
    fn produces(&mut self, client: ClientKey, topic: Key) {
        let connection = self.connections.entry(client.connection).or_default();
        if self.producers.insert(client, topic).is_none() {
            connection.producers.push(client.id);
        }
        connection.speaks_to(topic);
    }

    fn consumes(&mut self, client: ClientKey, topic: Key) {
        let connection = self.connections.entry(client.connection).or_default();
        if self.consumers.insert(client, topic).is_none() {
            connection.consumers.push(client.id);
        }
        connection.speaks_to(topic);
    }

    fn forget_producer(&mut self, client: ClientKey) {
        self.producers.remove(&client);
        if let Some(connection) = self.connections.get_mut(&client.connection) {
            connection.producers.retain(|id| *id != client.id);
        }
    }

    fn forget_consumer(&mut self, client: ClientKey) {
        self.consumers.remove(&client);
        if let Some(connection) = self.connections.get_mut(&client.connection) {
            connection.consumers.retain(|id| *id != client.id);
        }
    }

    fn forget(&mut self, id: ConnectionId) -> Vec<Key> {
        let Some(connection) = self.connections.remove(&id) else { return Vec::new() };
        for producer in connection.producers {
            self.producers.remove(&ClientKey { connection: id, id: producer });
        }
        for consumer in connection.consumers {
            self.consumers.remove(&ClientKey { connection: id, id: consumer });
        }
        connection.topics
    }

    fn topics(&self, id: ConnectionId) -> Vec<Key> {
        self.connections.get(&id).map_or(Vec::new(), |connection| connection.topics.clone())
    }

    pub(super) fn peer(&self, id: ConnectionId) -> Peer {
        self.connections.get(&id).map_or_else(Peer::default, |connection| connection.peer.clone())
    }
}

impl Connection {
    fn speaks_to(&mut self, topic: Key) {
        if !self.topics.contains(&topic) {
            self.topics.push(topic);
        }
    }
}

impl Host {
    /// A request, once the log is open.
    pub(super) fn serve(&mut self, clock: Clock, catalogue: &Catalogue, request: Request) {
        let to = request.connection;
        match request.what {
            Asked::Command { command, entry } => self.on_command(clock, catalogue, to, command, entry),
            Asked::Introduced { address, client_version } => {
                self.routes.connections.entry(to).or_default().peer = Peer { address, client_version };
            }
            Asked::Disconnected => {
                for key in self.routes.forget(to) {
                    self.forget_waiting(key, to);
                    // Who waits to hear whether it is alive hears it by this.
                    self.with_topic(clock, key, |topic| topic.on_probe(clock, to, false));
                    self.save_soon(clock, key);
                }
            }
            Asked::Writable(writable) => {
                for key in self.routes.topics(to) {
                    self.with_topic(clock, key, |topic| topic.on_writable(to, writable));
                }
            }
            Asked::Probed { alive } => {
                for key in self.routes.topics(to) {
                    self.with_topic(clock, key, |topic| topic.on_probe(clock, to, alive));
                }
            }
            Asked::Exists { ticket, topic } => {
                let exists = self.find(&topic).is_some();
                self.tell(to, Told::Exists { ticket, exists });
            }
            Asked::Topics { ticket, namespace } => {
                let names = self.names_of(Some(&namespace)).iter().map(|name| name.to_string()).collect();
                self.tell(to, Told::Topics { ticket, names });
            }
        }
    }

    pub(super) fn tell(&mut self, to: ConnectionId, what: Told) {
        self.replies.push_back(Reply { to, what });
    }

    fn error(&mut self, to: ConnectionId, request_id: u64, code: ServerError, text: &str) {
        let refusal = Refusal { code, text: text.to_owned() };
        self.tell(to, Told::Command(refusal.command(request_id)));
    }

    fn on_command(
        &mut self,
        clock: Clock,
        catalogue: &Catalogue,
        connection: ConnectionId,
        command: Command,
        entry: Bytes,
    ) {
        let client = |id| ClientKey { connection, id };
        match &command {
            Command::Send(send) => {
                let Some(key) = self.routes.producers.get(&client(send.producer_id)).copied() else {
                    return self.tell(connection, Told::Close { reason: "SEND of an unknown producer" });
                };
                // One whose topic is not in memory was closed by us: what was under way is ignored.
                self.with_topic(clock, key, |topic| topic.on_send(clock, connection, send, entry));
            }
            Command::Producer(_) | Command::Subscribe(_) => {
                self.on_newcomer(clock, catalogue, connection, command, &entry);
            }
            Command::CloseProducer(close) => {
                let (client, request_id) = (client(close.producer_id), close.request_id);
                let key = self.routes.producers.get(&client).copied();
                self.routes.forget_producer(client);
                self.hand_to_topic(clock, key, connection, request_id, command);
            }
            Command::CloseConsumer(close) => {
                let (client, request_id) = (client(close.consumer_id), close.request_id);
                let key = self.routes.consumers.get(&client).copied();
                self.routes.forget_consumer(client);
                self.hand_to_topic(clock, key, connection, request_id, command);
            }
            Command::Flow(flow) => self.hand_to_consumer(clock, client(flow.consumer_id), None, command),
            Command::Ack(ack) => self.hand_to_consumer(clock, client(ack.consumer_id), None, command),
            Command::Redeliver(given) => {
                self.hand_to_consumer(clock, client(given.consumer_id), None, command)
            }
            Command::Seek(seek) => {
                self.hand_to_consumer(clock, client(seek.consumer_id), Some(seek.request_id), command);
            }
            Command::Unsubscribe(ask) => {
                self.hand_to_consumer(clock, client(ask.consumer_id), Some(ask.request_id), command);
            }
            Command::GetLastMessageId(ask) => {
                self.hand_to_consumer(clock, client(ask.consumer_id), Some(ask.request_id), command);
            }
            other => log::debug!("command {} is no host's business", other.number()),
        }
    }

    fn hand_to_topic(
        &mut self,
        clock: Clock,
        key: Option<Key>,
        to: ConnectionId,
        request_id: u64,
        command: Command,
    ) {
        let found = key.filter(|key| self.topics.get(*key).is_some_and(|entry| entry.topic().is_some()));
        match found {
            Some(key) => self.with_topic(clock, key, |topic| topic.on_command(clock, to, command)),
            None => {
                key.into_iter().for_each(|key| self.forget_waiting(key, to));
                self.tell(to, Told::Command(success(request_id)));
            }
        }
    }

    fn hand_to_consumer(
        &mut self,
        clock: Clock,
        client: ClientKey,
        request_id: Option<u64>,
        command: Command,
    ) {
        let to = client.connection;
        let key = self.routes.consumers.get(&client).copied();
        let found = key.filter(|key| self.topics.get(*key).is_some_and(|entry| entry.topic().is_some()));
        match (found, request_id) {
            (Some(key), _) => {
                let acks = matches!(command, Command::Ack(_));
                self.with_topic(clock, key, |topic| topic.on_command(clock, to, command));
                if acks {
                    self.save_soon(clock, key);
                }
            }
            (None, Some(id)) => self.error(to, id, ServerError::MetadataError, "Consumer not found"),
            (None, None) => {}
        }
    }

    /// PRODUCER or SUBSCRIBE: its topic is found or made, and loaded.
    fn on_newcomer(
        &mut self,
        clock: Clock,
        catalogue: &Catalogue,
        to: ConnectionId,
        command: Command,
        entry: &Bytes,
    ) {
        let (name, request_id, may_create) = match &command {
            Command::Producer(producer) => (&producer.topic, producer.request_id, true),
            Command::Subscribe(subscribe) => {
                let force = subscribe.force_topic_creation.unwrap_or(true);
                (&subscribe.topic, subscribe.request_id, force)
            }
            _ => return,
        };
        if let HostState::Failed(_) = self.state {
            return self.error(to, request_id, ServerError::ServiceNotReady, "The store failed");
        }
        let key = match self.find_or_create(clock, catalogue, name, may_create) {
            Ok(key) => key,
            Err(refusal) => return self.tell(to, Told::Command(refusal.command(request_id))),
        };
        match &command {
            Command::Producer(producer) => {
                self.routes.produces(ClientKey { connection: to, id: producer.producer_id }, key);
            }
            Command::Subscribe(subscribe) => {
                self.routes.consumes(ClientKey { connection: to, id: subscribe.consumer_id }, key);
            }
            _ => {}
        }
        if self.load(clock, catalogue, key) {
            return self.admit(clock, key, to, command);
        }
        if let Some(Waiting::Command { command, .. }) = self.wait_for(key, waiting(to, command, entry))
            && let Some(refusal) = not_ready(&command)
        {
            self.tell(to, Told::Command(refusal));
        }
    }

    /// A newcomer to a topic that is in memory.
    pub(super) fn admit(&mut self, clock: Clock, key: Key, connection: ConnectionId, command: Command) {
        match command {
            Command::Producer(producer) => {
                self.check_quota(clock, key, false);
                let of = (self.config.store.0, self.config.stores);
                let number = self.producers_named * u64::from(of.1) + u64::from(of.0);
                self.producers_named += 1;
                let name = || format!("{}-{}-{number}", self.config.cluster, self.log.epoch());
                let generated = if producer.producer_name.as_ref().is_none_or(String::is_empty) {
                    name()
                } else {
                    String::new()
                };
                self.with_topic(clock, key, |topic| {
                    topic.on_producer(clock, connection, producer, || generated);
                });
            }
            other => self.with_topic(clock, key, |topic| topic.on_command(clock, connection, other)),
        }
    }

    /// What a connection wanted of a topic that is still being loaded is not wanted any more.
    fn forget_waiting(&mut self, key: Key, of: ConnectionId) {
        if let Some(entry) = self.topics.get_mut(key)
            && let Body::Loading(loading) = &mut entry.body
        {
            loading.waiting.retain(|waiting| match waiting {
                Waiting::Command { connection, .. } => *connection != of,
                Waiting::Ask { .. } => true,
            });
        }
    }
}
