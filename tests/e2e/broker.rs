//! A small broker for tests: it keeps what it is sent in memory, delivers it, and does as it is told (holds receipts, drops
//! links, refuses). One thread per link; it speaks through the crate's own codec, which golden bytes pin to real peers.

use pulsegate::wire::pulsar::proto as p;
use pulsegate::wire::pulsar::{Command, frame};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// One stored entry: from the `0x0e01` magic on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) bytes: Vec<u8>,
    pub(crate) messages: u32,
    pub(crate) sequence_id: u64,
}

#[derive(Default)]
pub(crate) struct Topic {
    pub(crate) entries: Vec<Entry>,
    pub(crate) acked: BTreeSet<u64>,
    pub(crate) partitions: u32,
}

struct Consumer {
    link: usize,
    id: u64,
    topic: String,
    permits: i64,
    next: usize,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) topics: BTreeMap<String, Topic>,
    consumers: Vec<Consumer>,
    links: BTreeMap<usize, TcpStream>,
    producers: BTreeMap<(usize, u64), String>,
    /// Receipts held back, in order: link and frame.
    held: Vec<(usize, Vec<u8>)>,
    pub(crate) hold_receipts: bool,
    /// Error answered to the next PRODUCER or SUBSCRIBE.
    pub(crate) refuse_next: Option<(p::ServerError, String)>,
    /// Never answers PRODUCER and SUBSCRIBE.
    pub(crate) mute_creation: bool,
    pub(crate) commands: Vec<String>,
    next_link: usize,
    next_name: u64,
}

/// The broker; dropping it ends its links.
pub(crate) struct Broker {
    pub(crate) address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Broker {
    pub(crate) fn start() -> Broker {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                stream.set_nodelay(true).unwrap();
                let shared = shared.clone();
                let link = {
                    let mut state = shared.0.lock().unwrap();
                    let link = state.next_link;
                    state.next_link += 1;
                    state.links.insert(link, stream.try_clone().unwrap());
                    link
                };
                std::thread::spawn(move || serve(link, stream, address, &shared));
            }
        });
        Broker { address, state }
    }

    /// The state, to look at or to change.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap()
    }

    /// Waits until `check` holds, at most ten seconds.
    pub(crate) fn wait_until(&self, what: &str, mut check: impl FnMut(&State) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut state = self.state.0.lock().unwrap();
        while !check(&state) {
            let left = deadline.checked_duration_since(Instant::now());
            let left = left.unwrap_or_else(|| panic!("not within ten seconds: {what}"));
            state = self.state.1.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Sends the receipts that were held back, and holds no more.
    pub(crate) fn release_receipts(&self) {
        let mut state = self.state();
        state.hold_receipts = false;
        for (link, frame) in std::mem::take(&mut state.held) {
            state.write(link, &frame);
        }
    }

    /// Ends every link, as a restart does. What was stored stays; held receipts are lost.
    pub(crate) fn drop_links(&self) {
        let mut state = self.state();
        state.held.clear();
        for (_, stream) in std::mem::take(&mut state.links) {
            stream.shutdown(std::net::Shutdown::Both).ok();
        }
        state.consumers.clear();
        state.producers.clear();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.drop_links();
    }
}

impl State {
    fn write(&mut self, link: usize, frame: &[u8]) {
        if let Some(stream) = self.links.get_mut(&link) {
            stream.write_all(frame).ok(); // a link that ended meanwhile
        }
    }

    fn answer(&mut self, link: usize, command: &Command) {
        let mut out = Vec::new();
        frame::put(&mut out, command);
        self.write(link, &out);
    }

    /// Payload bytes of every entry of a topic, unbatched and uncompressed ones.
    pub(crate) fn bodies(&self, topic: &str) -> Vec<Vec<u8>> {
        let entries = self.topics.get(topic).map(|topic| topic.entries.as_slice()).unwrap_or_default();
        entries.iter().map(|entry| frame::payload(&entry.bytes).unwrap().body.to_vec()).collect()
    }

    fn dispatch(&mut self) {
        let mut out: Vec<(usize, Vec<u8>)> = Vec::new();
        for consumer in &mut self.consumers {
            let Some(topic) = self.topics.get(&consumer.topic) else { continue };
            while consumer.permits > 0 && consumer.next < topic.entries.len() {
                let entry = &topic.entries[consumer.next];
                let message = Command::Message(p::CommandMessage {
                    consumer_id: consumer.id,
                    message_id: p::MessageIdData {
                        ledger_id: 1,
                        entry_id: consumer.next as u64,
                        partition: Some(-1),
                        ..Default::default()
                    },
                    ..Default::default()
                });
                let mut frame = Vec::new();
                frame::put_with_entry(&mut frame, &message, &entry.bytes);
                out.push((consumer.link, frame));
                consumer.permits -= i64::from(entry.messages);
                consumer.next += 1;
            }
        }
        for (link, frame) in out {
            self.write(link, &frame);
        }
    }

    fn refusal(&mut self, request_id: u64) -> Option<Command> {
        let (error, message) = self.refuse_next.take()?;
        Some(Command::Error(p::CommandError { request_id, error: error as i32, message }))
    }

    fn send(&mut self, link: usize, send: &p::CommandSend, entry: &[u8]) {
        let Some(topic) = self.producers.get(&(link, send.producer_id)).cloned() else { return };
        let messages = send.num_messages.unwrap_or(1) as u32;
        let entries = &mut self.topics.entry(topic).or_default().entries;
        entries.push(Entry { bytes: entry.to_vec(), messages, sequence_id: send.sequence_id });
        let receipt = Command::SendReceipt(p::CommandSendReceipt {
            producer_id: send.producer_id,
            sequence_id: send.sequence_id,
            message_id: Some(p::MessageIdData {
                ledger_id: 1,
                entry_id: entries.len() as u64 - 1,
                ..Default::default()
            }),
            highest_sequence_id: send.highest_sequence_id,
        });
        let mut out = Vec::new();
        frame::put(&mut out, &receipt);
        match self.hold_receipts {
            true => self.held.push((link, out)),
            false => self.write(link, &out),
        }
        self.dispatch();
    }

    fn create_producer(&mut self, link: usize, command: p::CommandProducer) {
        if let Some(refusal) = self.refusal(command.request_id) {
            return self.answer(link, &refusal);
        }
        self.producers.insert((link, command.producer_id), command.topic.clone());
        self.topics.entry(command.topic).or_default();
        self.next_name += 1;
        let generated = format!("stub-{}", self.next_name);
        let success = p::CommandProducerSuccess {
            request_id: command.request_id,
            producer_name: command.producer_name.filter(|name| !name.is_empty()).unwrap_or(generated),
            ..Default::default()
        };
        self.answer(link, &Command::ProducerSuccess(success));
    }

    fn subscribe(&mut self, link: usize, command: &p::CommandSubscribe) {
        if let Some(refusal) = self.refusal(command.request_id) {
            return self.answer(link, &refusal);
        }
        let topic = self.topics.entry(command.topic.clone()).or_default();
        let next = match command.initial_position {
            Some(1) => (0..topic.entries.len()).find(|at| !topic.acked.contains(&(*at as u64))),
            _ => None,
        };
        let next = next.unwrap_or(topic.entries.len());
        let (id, topic) = (command.consumer_id, command.topic.clone());
        self.consumers.push(Consumer { link, id, topic, permits: 0, next });
        self.answer(link, &success(command.request_id));
    }

    fn on_command(&mut self, link: usize, command: Command, entry: &[u8], address: SocketAddr) {
        self.commands.push(format!("{command:?}").split('(').next().unwrap_or_default().to_owned());
        match command {
            Command::Connect(_) => {
                let connected = p::CommandConnected {
                    server_version: "stub".into(),
                    protocol_version: Some(19),
                    max_message_size: Some(1 << 20),
                    ..Default::default()
                };
                self.answer(link, &Command::Connected(connected));
            }
            Command::Ping(_) => self.answer(link, &Command::Pong(p::CommandPong {})),
            Command::PartitionedMetadata(ask) => {
                let partitions = self.topics.get(&ask.topic).map_or(0, |topic| topic.partitions);
                let response = p::CommandPartitionedTopicMetadataResponse {
                    partitions: Some(partitions),
                    request_id: ask.request_id,
                    response: Some(0),
                    ..Default::default()
                };
                self.answer(link, &Command::PartitionedMetadataResponse(response));
            }
            Command::Lookup(ask) => {
                let response = p::CommandLookupTopicResponse {
                    broker_service_url: Some(format!("pulsar://{address}")),
                    response: Some(1),
                    request_id: ask.request_id,
                    authoritative: Some(true),
                    ..Default::default()
                };
                self.answer(link, &Command::LookupResponse(response));
            }
            Command::Producer(_) | Command::Subscribe(_) if self.mute_creation => {}
            Command::Producer(command) => self.create_producer(link, command),
            Command::Subscribe(command) => self.subscribe(link, &command),
            Command::Send(send) => self.send(link, &send, entry),
            Command::Flow(flow) => {
                let found = self.consumers.iter_mut().find(|c| c.link == link && c.id == flow.consumer_id);
                if let Some(consumer) = found {
                    consumer.permits += i64::from(flow.message_permits);
                }
                self.dispatch();
            }
            Command::Ack(ack) => {
                let found = self.consumers.iter().find(|c| c.link == link && c.id == ack.consumer_id);
                if let Some(topic) = found.map(|c| c.topic.clone()) {
                    let ids = ack.message_id.iter().map(|id| id.entry_id);
                    self.topics.entry(topic).or_default().acked.extend(ids);
                }
            }
            Command::CloseProducer(close) => {
                self.producers.remove(&(link, close.producer_id));
                self.answer(link, &success(close.request_id));
            }
            Command::CloseConsumer(close) => {
                self.consumers.retain(|c| !(c.link == link && c.id == close.consumer_id));
                self.answer(link, &success(close.request_id));
            }
            _ => {}
        }
    }

    pub(crate) fn attached(&self) -> (usize, usize) {
        (self.producers.len(), self.consumers.len())
    }
}

fn success(request_id: u64) -> Command {
    Command::Success(p::CommandSuccess { request_id, schema: None })
}

fn serve(link: usize, mut stream: TcpStream, address: SocketAddr, shared: &(Mutex<State>, Condvar)) {
    let mut buffer: Vec<u8> = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    loop {
        let read = stream.read(&mut chunk).unwrap_or(0);
        if read == 0 {
            break;
        }
        buffer.extend_from_slice(&chunk[..read]);
        while let Some(size) = frame::size(&buffer, 64 << 20).unwrap().filter(|size| *size <= buffer.len()) {
            let bytes: Vec<u8> = buffer.drain(..size).collect();
            let frame = frame::read(&bytes).unwrap();
            let mut state = shared.0.lock().unwrap();
            state.on_command(link, frame.command, frame.rest, address);
            shared.1.notify_all();
        }
    }
    let mut state = shared.0.lock().unwrap();
    state.links.remove(&link);
    state.producers.retain(|(l, _), _| *l != link);
    state.consumers.retain(|consumer| consumer.link != link);
    shared.1.notify_all();
}
