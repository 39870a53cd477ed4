//! The producers of a topic: who may be one, under which name, and who has the topic for itself (protocol 7.1, 7.2).

mod numbers;

use std::collections::{BTreeMap, VecDeque};

use crate::base::limit::CLOSED_PRODUCER_MEMORY;
use crate::base::time::Instant;
use crate::broker::event::{ClientKey, ConnectionId, Outbox, Output, Refusal, Save, SaveId};
use crate::broker::meter::Meter;
use crate::broker::settings::Settings;
use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto::{
    CommandCloseProducer, CommandProducer, CommandProducerSuccess, KeyValue, ProducerAccessMode, ServerError,
};

/// What a PRODUCER asks for, with its name settled.
#[derive(Clone, Debug)]
struct Request {
    key: ClientKey,
    request_id: u64,
    name: String,
    mode: ProducerAccessMode,
    topic_epoch: Option<u64>,
    /// Attempt of the client, from 0.
    attempt: u64,
    metadata: Vec<KeyValue>,
}

/// A producer that was admitted.
#[derive(Debug)]
pub(super) struct Producer {
    pub(super) name: String,
    /// Tells it from an earlier producer of the same key.
    pub(super) incarnation: u64,
    request_id: u64,
    attempt: u64,
    /// Its epoch is being saved; it is told of its success afterwards.
    creating: Option<SaveId>,
    mode: ProducerAccessMode,
    metadata: Vec<KeyValue>,
    since_ms: u64,
    pub(super) published: Meter,
    pub(super) chunks: Meter,
    pub(super) dropped: Meter,
}

/// What the topic knows that decides about producers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate<'a> {
    /// The topic's name, for refusals.
    pub(super) topic: &'a str,
    pub(super) settings: &'a Settings,
    pub(super) fenced: bool,
    pub(super) terminated: bool,
    /// Newcomers are refused with this code: a quota is exceeded.
    pub(super) blocked: Option<ServerError>,
    pub(super) now_ms: u64,
}

/// What is known of the owner of a SEND.
#[derive(Debug)]
pub(super) enum Sender<'a> {
    /// It may send.
    Ready(&'a Producer),
    /// The broker closed it a moment ago: what was under way is ignored.
    ClosedByUs,
    /// It never was, or the client closed it: the connection is closed.
    Unknown,
}

/// All producers of a topic.
#[derive(Debug, Default)]
pub(super) struct Producers {
    connected: BTreeMap<ClientKey, Producer>,
    names: BTreeMap<String, ClientKey>,
    /// The one that has the topic for itself.
    exclusive: Option<ClientKey>,
    /// Those that wait to have it, in order.
    waiting: VecDeque<Request>,
    /// Those whose name is taken by a producer of this other connection, which is being probed.
    probing: Vec<(ConnectionId, Request)>,
    epoch: Option<u64>,
    closed: BTreeMap<ClientKey, Instant>,
    incarnations: u64,
    /// Last sequence ids by name are asked for on success; filled by the topic.
    last_sequences: BTreeMap<String, i64>,
    /// Wall clock of the last tick or newcomer.
    now_ms: u64,
}

impl Producers {
    /// Producers of a topic whose saved epoch is this.
    pub(super) fn new(epoch: Option<u64>) -> Producers {
        Producers { epoch, ..Producers::default() }
    }

    /// A PRODUCER. `generated` makes a name that no producer of the cluster ever had; `last_sequence` is what deduplication
    /// knows of the name that was given.
    pub(super) fn create(
        &mut self,
        connection: ConnectionId,
        command: CommandProducer,
        generated: impl FnOnce() -> String,
        last_sequence: impl FnOnce(&str) -> i64,
        gate: Gate<'_>,
        out: &mut Outbox,
    ) {
        let request_id = command.request_id;
        self.now_ms = gate.now_ms;
        let key = ClientKey { connection, id: command.producer_id };
        let name = command.producer_name.filter(|name| !name.is_empty());
        let attempt = command.epoch.unwrap_or(0);
        if let Some(known) = self.connected.get(&key) {
            let same_name = name.as_ref().is_none_or(|name| *name == known.name);
            if attempt <= known.attempt || !same_name {
                return self.repeat(key, request_id, out);
            }
            // Its successor: the old one goes without a word.
            self.remove(key);
        } else if self.is_on_its_way(key) {
            let refusal = Refusal::new(ServerError::ServiceNotReady, "Producer is already being created");
            return out.error(connection, request_id, &refusal);
        }
        let mode = command.producer_access_mode.unwrap_or(0);
        let Some(mode) = ProducerAccessMode::from_wire(mode) else {
            let refusal = Refusal::new(ServerError::NotAllowedError, format!("Unknown access mode {mode}"));
            return out.error(connection, request_id, &refusal);
        };
        if let Some(code) = gate.blocked {
            let text = "Cannot create producer on topic with backlog quota exceeded";
            return out.error(connection, request_id, &Refusal::new(code, text));
        }
        if gate.settings.encryption_required && !command.encrypted.unwrap_or(false) {
            let text = "Encryption is required in this topic";
            return out.error(connection, request_id, &Refusal::new(ServerError::MetadataError, text));
        }
        let name = name.unwrap_or_else(generated);
        let last_sequence = last_sequence(&name);
        if last_sequence >= 0 {
            self.last_sequences.insert(name.clone(), last_sequence);
        }
        let topic_epoch = command.topic_epoch;
        let metadata = command.metadata;
        let request = Request { key, request_id, name, mode, topic_epoch, attempt, metadata };
        self.admit(request, gate, out);
    }

    /// A PRODUCER for a producer that is there.
    fn repeat(&mut self, key: ClientKey, request_id: u64, out: &mut Outbox) {
        let known = &self.connected[&key];
        if known.creating.is_some() {
            let refusal = Refusal::new(ServerError::ServiceNotReady, "Producer is already being created");
            return out.error(key.connection, request_id, &refusal);
        }
        let success = self.success(request_id, &known.name, true);
        out.send(key.connection, success);
    }

    fn is_on_its_way(&self, key: ClientKey) -> bool {
        self.waiting
            .iter()
            .chain(self.probing.iter().map(|(_, request)| request))
            .any(|other| other.key == key)
    }

    fn success(&self, request_id: u64, name: &str, ready: bool) -> Command {
        Command::ProducerSuccess(CommandProducerSuccess {
            request_id,
            producer_name: name.to_owned(),
            last_sequence_id: Some(self.last_sequences.get(name).copied().unwrap_or(-1)),
            schema_version: Some(Vec::new()),
            topic_epoch: self.epoch,
            producer_ready: Some(ready),
        })
    }

    /// Lets a request in, queues it, or refuses it.
    fn admit(&mut self, request: Request, gate: Gate<'_>, out: &mut Outbox) {
        let connection = request.key.connection;
        if let Some(holder) = self.names.get(&request.name).copied()
            && holder.connection != connection
            // One that drives everybody out need not ask.
            && request.mode != ProducerAccessMode::ExclusiveWithFencing
            && !gate.fenced
            && !gate.terminated
        {
            // The name may be held by a connection that died unnoticed: official clients give up when told "busy", so ask first.
            let asked = self.probing.iter().any(|(probed, _)| *probed == holder.connection);
            self.probing.push((holder.connection, request));
            if !asked {
                out.push(Output::Probe { connection: holder.connection });
            }
            return;
        }
        if let Err(refusal) = self.check(&request, gate) {
            return out.error(connection, request.request_id, &refusal);
        }
        let free = self.connected.is_empty() && self.waiting.is_empty();
        match request.mode {
            ProducerAccessMode::Shared => self.enter(request, None, gate.now_ms, out),
            ProducerAccessMode::WaitForExclusive if !free => {
                out.send(connection, self.success(request.request_id, &request.name, false));
                self.waiting.push_back(request);
            }
            ProducerAccessMode::Exclusive | ProducerAccessMode::WaitForExclusive => {
                self.take(request, gate.now_ms, out);
            }
            ProducerAccessMode::ExclusiveWithFencing => self.fence_out(request, gate.now_ms, out),
        }
    }

    /// The refusals of access mode, topic state, limit and name, in this order.
    fn check(&self, request: &Request, gate: Gate<'_>) -> Result<(), Refusal> {
        let held = self.exclusive.is_some() || !self.waiting.is_empty();
        match request.mode {
            ProducerAccessMode::Shared if held => {
                let text = "Topic has an existing exclusive producer";
                return Err(Refusal::new(ServerError::ProducerBusy, text));
            }
            ProducerAccessMode::Exclusive if held || !self.connected.is_empty() => {
                let text = "Topic has other producers, and one was asked for that excludes them";
                return Err(Refusal::new(ServerError::ProducerFenced, text));
            }
            _ => {}
        }
        if gate.fenced {
            return Err(Refusal::new(ServerError::ServiceNotReady, "Topic is temporarily unavailable"));
        }
        if gate.terminated {
            return Err(Refusal::new(ServerError::TopicTerminatedError, "Topic was already terminated"));
        }
        let fencing = request.mode == ProducerAccessMode::ExclusiveWithFencing;
        let max = gate.settings.producers_max;
        if max > 0 && self.connected.len() + self.waiting.len() >= max && !fencing {
            return Err(Refusal::new(ServerError::ProducerBusy, "Topic reached max producers limit"));
        }
        if self.names.contains_key(&request.name) && !fencing {
            return Err(name_in_use(&request.name, gate.topic));
        }
        Ok(())
    }

    /// The epoch a holder gets, or that its own is over.
    fn next_epoch(&self, request: &Request) -> Result<u64, Refusal> {
        match (request.topic_epoch, self.epoch) {
            (Some(given), Some(current)) if given < current => {
                let text = format!("Topic epoch has already moved. Current epoch: {current}, given: {given}");
                Err(Refusal::new(ServerError::ProducerFenced, text))
            }
            (Some(given), _) => Ok(given),
            (None, current) => Ok(current.map_or(0, |current| current + 1)),
        }
    }

    /// A request becomes the holder of a topic without producers.
    fn take(&mut self, request: Request, now_ms: u64, out: &mut Outbox) {
        match self.next_epoch(&request) {
            Ok(epoch) => self.enter(request, Some(epoch), now_ms, out),
            Err(refusal) => out.error(request.key.connection, request.request_id, &refusal),
        }
    }

    /// A request drives everyone else out.
    fn fence_out(&mut self, request: Request, now_ms: u64, out: &mut Outbox) {
        let epoch = match self.next_epoch(&request) {
            Ok(epoch) => epoch,
            Err(refusal) => return out.error(request.key.connection, request.request_id, &refusal),
        };
        let fenced = Refusal::new(ServerError::ProducerFenced, "Fenced out");
        for waiting in std::mem::take(&mut self.waiting) {
            out.error(waiting.key.connection, waiting.request_id, &fenced);
        }
        // The time is not known here; that of the next tick is what the memory of closed producers needs.
        self.close_all(Instant::default(), out);
        self.enter(request, Some(epoch), now_ms, out);
    }

    /// Admits a producer; `epoch`: as the holder, who is told once the epoch is durable.
    fn enter(&mut self, request: Request, epoch: Option<u64>, now_ms: u64, out: &mut Outbox) {
        let Request { key, request_id, name, attempt, mode, metadata, .. } = request;
        let mut creating = None;
        if let Some(epoch) = epoch {
            self.exclusive = Some(key);
            if self.epoch != Some(epoch) {
                self.epoch = Some(epoch);
                creating = Some(out.save(Save::Epoch(epoch)));
            }
        }
        let success = self.success(request_id, &name, true);
        match creating {
            Some(save) => out.hold(save, key.connection, success),
            None => out.send(key.connection, success),
        }
        self.incarnations += 1;
        self.closed.remove(&key);
        self.names.insert(name.clone(), key);
        let incarnation = self.incarnations;
        let producer = Producer {
            name,
            incarnation,
            request_id,
            attempt,
            creating,
            mode,
            metadata,
            since_ms: now_ms,
            published: Meter::default(),
            chunks: Meter::default(),
            dropped: Meter::default(),
        };
        self.connected.insert(key, producer);
    }

    /// An epoch became durable.
    pub(super) fn on_saved(&mut self, id: SaveId) {
        for producer in self.connected.values_mut().filter(|producer| producer.creating == Some(id)) {
            producer.creating = None;
        }
    }

    /// An epoch will not be durable: who waited for it was refused, and is no producer.
    pub(super) fn on_save_failed(&mut self, now: Instant, id: SaveId, out: &mut Outbox) {
        let failed: Vec<_> = self
            .connected
            .iter()
            .filter(|(_, known)| known.creating == Some(id))
            .map(|(key, _)| *key)
            .collect();
        for key in failed {
            self.remove(key);
            self.closed.insert(key, now);
        }
        self.promote(out);
    }

    /// Whether a connection that holds a name that others want is alive.
    pub(super) fn on_probe(&mut self, probed: ConnectionId, alive: bool, gate: Gate<'_>, out: &mut Outbox) {
        if !alive {
            self.disconnect(probed, out);
        }
        let mut asking = Vec::new();
        self.probing.retain(|(connection, request)| {
            let this = *connection == probed;
            if this {
                asking.push(request.clone());
            }
            !this
        });
        for request in asking {
            let holder = self.names.get(&request.name).copied();
            if alive && holder.is_some_and(|holder| holder.connection == probed) {
                let refusal = name_in_use(&request.name, gate.topic);
                out.error(request.key.connection, request.request_id, &refusal);
            } else {
                self.admit(request, gate, out);
            }
        }
        self.promote(out);
    }

    /// Whose SEND this is.
    pub(super) fn sender(&self, key: ClientKey) -> Sender<'_> {
        match self.connected.get(&key) {
            Some(producer) if producer.creating.is_none() => Sender::Ready(producer),
            None if self.closed.contains_key(&key) => Sender::ClosedByUs,
            _ => Sender::Unknown,
        }
    }

    /// Whether a producer is there still, and not another under its number.
    pub(super) fn is_connected(&self, key: ClientKey, incarnation: u64) -> bool {
        self.connected.get(&key).is_some_and(|producer| producer.incarnation == incarnation)
    }

    /// A connected producer, to count what it does.
    pub(super) fn get_mut(&mut self, key: ClientKey) -> Option<&mut Producer> {
        self.connected.get_mut(&key)
    }

    /// Producers that wait to have the topic for themselves.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The producer epoch.
    pub(super) fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// Connected producers.
    pub(super) fn len(&self) -> usize {
        self.connected.len()
    }

    /// Forgets a producer or a request of this key.
    fn remove(&mut self, key: ClientKey) {
        if let Some(producer) = self.connected.remove(&key) {
            self.names.remove(&producer.name);
            self.last_sequences.remove(&producer.name);
        }
        self.waiting.retain(|request| request.key != key);
        self.probing.retain(|(_, request)| request.key != key);
        if self.exclusive == Some(key) {
            self.exclusive = None;
        }
    }

    /// CLOSE_PRODUCER of the client: always a success.
    pub(super) fn close(&mut self, key: ClientKey, request_id: u64, out: &mut Outbox) {
        self.remove(key);
        self.closed.remove(&key);
        out.success(key.connection, request_id);
        self.promote(out);
    }

    /// A connection ended. Those that asked for its names are decided by `on_probe`.
    pub(super) fn disconnect(&mut self, connection: ConnectionId, out: &mut Outbox) {
        let of_it = |key: &ClientKey| key.connection == connection;
        let requests = self.waiting.iter().chain(self.probing.iter().map(|(_, request)| request));
        let mut keys: Vec<ClientKey> = requests.map(|request| request.key).filter(of_it).collect();
        keys.extend(self.connected.keys().copied().filter(of_it));
        keys.into_iter().for_each(|key| self.remove(key));
        self.closed.retain(|key, _| !of_it(key));
        self.promote(out);
    }

    /// The first in the queue gets the topic once nobody is left.
    fn promote(&mut self, out: &mut Outbox) {
        while self.connected.is_empty() {
            let Some(request) = self.waiting.pop_front() else { return };
            self.take(request, self.now_ms, out);
        }
    }

    /// The broker closes all producers: what they have under way is ignored for a while.
    pub(super) fn close_all(&mut self, now: Instant, out: &mut Outbox) {
        for key in self.connected.keys().copied().collect::<Vec<_>>() {
            let producer = &self.connected[&key];
            if producer.creating.is_some() {
                let text = "Fenced out";
                let refusal = Refusal::new(ServerError::ProducerFenced, text);
                out.withdraw(key.connection, producer.request_id);
                out.error(key.connection, producer.request_id, &refusal);
            } else {
                out.send(key.connection, close_producer(key.id));
            }
            self.remove(key);
            self.closed.insert(key, now);
        }
    }

    /// Forgets closed producers whose messages under way must have arrived.
    pub(super) fn on_tick(&mut self, now: Instant) {
        for since in self.closed.values_mut().filter(|since| **since == Instant::default()) {
            *since = now;
        }
        self.closed.retain(|_, since| now.since(*since) < CLOSED_PRODUCER_MEMORY);
    }
}

/// CLOSE_PRODUCER from us: answers no request (protocol 7.7).
fn close_producer(producer_id: u64) -> Command {
    Command::CloseProducer(CommandCloseProducer {
        producer_id,
        request_id: u64::MAX,
        assigned_broker_service_url: None,
        assigned_broker_service_url_tls: None,
    })
}

/// In the words of a 4.0.7 broker (observed).
fn name_in_use(name: &str, topic: &str) -> Refusal {
    let text = format!("Producer with name '{name}' is already connected to topic '{topic}'");
    Refusal::new(ServerError::ProducerBusy, text)
}

#[cfg(test)]
mod tests;
