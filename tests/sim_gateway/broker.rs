//! Model brokers: two of them over one store. They speak frames, own topics, move them, refuse, stay mute, and lose links.
//! What they are sent is checked on the way in: order, checksums, permits, ids that were never made.

use crate::store::{self, Store};
use pulsegate::base::prng::Prng;
use pulsegate::shard::ConnKey;
use pulsegate::wire::pulsar::proto::{self as p, ServerError as E};
use pulsegate::wire::pulsar::{Command, frame};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How many brokers there are.
pub(crate) const BROKERS: usize = 2;

/// How badly the brokers behave, in chances of one in 1000.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// PRODUCER, SUBSCRIBE, LOOKUP are refused.
    pub(crate) refuse: u64,
    /// A request is never answered.
    pub(crate) mute: u64,
    /// An answer is held back and comes later than others.
    pub(crate) hold: u64,
    /// SEND_ERROR instead of a receipt.
    pub(crate) send_error: u64,
}

#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) topic: String,
    name: String,
    stuck: bool,
}

#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) topic: String,
    subscription: String,
    permits: i64,
    outstanding: BTreeSet<u64>,
    /// Non-durable: where it goes on.
    next: Option<u64>,
}

/// One link, from its broker's side.
pub(crate) struct Link {
    pub(crate) conn: ConnKey,
    pub(crate) broker: usize,
    /// Bytes of the gateway, not yet read here.
    received: Vec<u8>,
    /// Bytes under way to the gateway.
    pub(crate) outgoing: VecDeque<u8>,
    held: Vec<(u64, Command)>,
    pub(crate) producers: BTreeMap<u64, Producer>,
    pub(crate) consumers: BTreeMap<u64, Consumer>,
    /// Ids that were made on this link once.
    known: BTreeSet<u64>,
    pub(crate) greeted: bool,
    /// Reads nothing and says nothing.
    pub(crate) mute: bool,
}

/// The brokers.
pub(crate) struct Brokers {
    pub(crate) store: Store,
    pub(crate) links: Vec<Link>,
    owners: BTreeMap<String, usize>,
    /// There is broker 0 alone.
    pub(crate) embedded: bool,
    pub(crate) partitions: BTreeMap<String, u32>,
    pub(crate) faults: Faults,
    /// Consumers that gave their subscription up: to make them again would bring it back.
    unsubscribed: BTreeSet<u64>,
    next_name: u64,
}

/// `pulsar://` URL of a broker.
fn url(broker: usize) -> String {
    format!("pulsar://broker-{broker}:6650")
}

fn success(request_id: u64) -> Command {
    Command::Success(p::CommandSuccess { request_id, schema: None })
}

fn error(request_id: u64, error: E) -> Command {
    Command::Error(p::CommandError { request_id, error: error as i32, message: format!("{error:?}") })
}

impl Link {
    pub(crate) fn new(conn: ConnKey, broker: usize) -> Link {
        Link {
            conn,
            broker,
            received: Vec::new(),
            outgoing: VecDeque::new(),
            held: Vec::new(),
            producers: BTreeMap::new(),
            consumers: BTreeMap::new(),
            known: BTreeSet::new(),
            greeted: false,
            mute: false,
        }
    }

    fn say(&mut self, command: &Command) {
        if crate::loud() {
            eprintln!("link {:?} of broker {} > {command:?}", self.conn, self.broker);
        }
        let mut out = Vec::new();
        frame::put(&mut out, command);
        self.outgoing.extend(out);
    }

    /// Whether an answer still fits what became of its request meanwhile.
    fn is_current(&self, id: u64, answer: &Command) -> bool {
        match answer {
            Command::ProducerSuccess(_) => self.producers.contains_key(&id),
            Command::Success(_) => self.consumers.contains_key(&id),
            _ => true,
        }
    }
}

impl Brokers {
    pub(crate) fn new(deduplicate: bool, faults: Faults) -> Brokers {
        Brokers {
            store: Store::new(deduplicate),
            links: Vec::new(),
            owners: BTreeMap::new(),
            embedded: false,
            partitions: BTreeMap::new(),
            faults,
            unsubscribed: BTreeSet::new(),
            next_name: 0,
        }
    }

    /// Bytes of the gateway arrive on a link.
    pub(crate) fn receive(&mut self, at: usize, bytes: &[u8], prng: &mut Prng) {
        self.links[at].received.extend_from_slice(bytes);
        if self.links[at].mute {
            return;
        }
        loop {
            let received = &self.links[at].received;
            let size = frame::size(received, 64 << 20).expect("the gateway writes sound frames");
            let Some(size) = size.filter(|size| *size <= received.len()) else { return };
            let whole: Vec<u8> = self.links[at].received.drain(..size).collect();
            let frame = frame::read(&whole).expect("the gateway writes sound frames");
            self.on_command(at, frame.command, frame.rest, prng);
        }
    }

    pub(crate) fn on_command(&mut self, at: usize, command: Command, rest: &[u8], prng: &mut Prng) {
        let link = &mut self.links[at];
        if crate::loud() {
            eprintln!("link {:?} of broker {} < {command:?}", link.conn, link.broker);
        }
        assert_ne!(link.greeted, matches!(command, Command::Connect(_)), "CONNECT comes first, and once");
        match command {
            Command::Connect(connect) => {
                link.greeted = true;
                if let Some(behind) = connect.proxy_to_broker_url {
                    // It relays to that broker from here on.
                    let number = behind.trim_start_matches("broker-").trim_end_matches(":6650");
                    link.broker = number.parse().expect("a broker's name");
                }
                link.say(&Command::Connected(p::CommandConnected {
                    server_version: "model".into(),
                    protocol_version: Some(19),
                    max_message_size: Some(1 << 20),
                    ..Default::default()
                }));
            }
            Command::Ping(_) => link.say(&Command::Pong(p::CommandPong {})),
            Command::Pong(_) => {}
            Command::PartitionedMetadata(ask) => {
                let partitions = self.partitions.get(&ask.topic).copied().unwrap_or(0);
                let answer = p::CommandPartitionedTopicMetadataResponse {
                    partitions: Some(partitions),
                    request_id: ask.request_id,
                    response: Some(0),
                    ..Default::default()
                };
                self.answer(at, 0, Command::PartitionedMetadataResponse(answer), prng);
            }
            Command::Lookup(ask) => self.look_up(at, &ask, prng),
            Command::Producer(ask) => self.create_producer(at, ask, prng),
            Command::Subscribe(ask) => self.subscribe(at, &ask, prng),
            Command::Send(send) => self.send(at, &send, rest, prng),
            Command::Flow(flow) => {
                if let Some(consumer) = link.consumers.get_mut(&flow.consumer_id) {
                    assert!(flow.message_permits > 0 && flow.message_permits <= 2000, "{flow:?}");
                    consumer.permits += i64::from(flow.message_permits);
                }
                assert!(link.known.contains(&flow.consumer_id), "FLOW of a consumer never made here");
            }
            Command::Ack(ack) => self.acknowledge(at, &ack),
            Command::Unsubscribe(ask) => self.unsubscribe(at, &ask, prng),
            Command::Redeliver(ask) => {
                if let Some(consumer) = link.consumers.get_mut(&ask.consumer_id) {
                    match ask.message_ids.is_empty() {
                        true => consumer.outstanding.clear(),
                        false => ask.message_ids.iter().for_each(|id| {
                            consumer.outstanding.remove(&id.entry_id);
                        }),
                    }
                }
            }
            Command::CloseProducer(close) => {
                link.producers.remove(&close.producer_id);
                link.say(&success(close.request_id));
            }
            Command::CloseConsumer(close) => {
                link.consumers.remove(&close.consumer_id);
                link.say(&success(close.request_id));
            }
            other => panic!("a broker is not sent {other:?}"),
        }
    }

    fn acknowledge(&mut self, at: usize, ack: &p::CommandAck) {
        let link = &mut self.links[at];
        assert!(link.known.contains(&ack.consumer_id), "ACK of a consumer never made here");
        if let Some(consumer) = link.consumers.get_mut(&ack.consumer_id) {
            for id in ack.message_id.iter().filter(|id| id.ack_set.is_empty()) {
                consumer.outstanding.remove(&id.entry_id);
                self.store.acknowledge(&consumer.topic, &consumer.subscription, id.entry_id);
            }
        }
    }

    fn unsubscribe(&mut self, at: usize, ask: &p::CommandUnsubscribe, prng: &mut Prng) {
        let refused = self.refusal(prng);
        let Some(consumer) = self.links[at].consumers.get(&ask.consumer_id) else {
            return self.answer(at, 0, error(ask.request_id, E::MetadataError), prng);
        };
        let (topic, subscription) = (consumer.topic.clone(), consumer.subscription.clone());
        let same = |c: &&Consumer| c.topic == topic && c.subscription == subscription;
        let consumers = self.links.iter().flat_map(|link| link.consumers.values());
        if refused.is_some() || consumers.filter(same).count() > 1 {
            return self.answer(at, 0, error(ask.request_id, refused.unwrap_or(E::ConsumerBusy)), prng);
        }
        self.links[at].consumers.remove(&ask.consumer_id);
        self.store.unsubscribe(&topic, &subscription);
        self.unsubscribed.insert(ask.consumer_id);
        self.links[at].say(&success(ask.request_id));
    }

    /// Answers now, later, or never.
    fn answer(&mut self, at: usize, id: u64, answer: Command, prng: &mut Prng) {
        let link = &mut self.links[at];
        match prng.below(1000) {
            dice if dice < self.faults.mute => {}
            dice if dice < self.faults.mute + self.faults.hold => link.held.push((id, answer)),
            _ => link.say(&answer),
        }
    }

    fn refusal(&self, prng: &mut Prng) -> Option<E> {
        const REFUSALS: [E; 12] = [
            E::ServiceNotReady,
            E::ServiceNotReady,
            E::ServiceNotReady,
            E::TooManyRequests,
            E::MetadataError,
            E::PersistenceError,
            E::UnknownError,
            E::ProducerBusy,
            E::ConsumerBusy,
            E::TopicNotFound,
            E::TopicTerminatedError,
            E::AuthorizationError,
        ];
        (prng.below(1000) < self.faults.refuse).then(|| REFUSALS[prng.below(12) as usize])
    }

    fn owner(&mut self, topic: &str, prng: &mut Prng) -> usize {
        let brokers = if self.embedded { 1 } else { BROKERS };
        *self.owners.entry(topic.to_owned()).or_insert_with(|| prng.below(brokers as u64) as usize)
    }

    fn look_up(&mut self, at: usize, ask: &p::CommandLookupTopic, prng: &mut Prng) {
        let (owner, broker) = (self.owner(&ask.topic, prng), self.links[at].broker);
        let redirect = owner != broker && prng.below(2) == 0;
        let refused = self.refusal(prng);
        let kind = match (&refused, redirect) {
            (Some(_), _) => p::LookupTopicResponseLookupType::Failed,
            (None, true) => p::LookupTopicResponseLookupType::Redirect,
            (None, false) => p::LookupTopicResponseLookupType::Connect,
        };
        let response = p::CommandLookupTopicResponse {
            broker_service_url: Some(url(owner)),
            response: Some(kind as i32),
            request_id: ask.request_id,
            authoritative: Some(true),
            error: refused.map(|error| error as i32),
            message: refused.map(|error| format!("{error:?}")),
            proxy_through_service_url: Some(!redirect && prng.below(10) == 0),
            ..Default::default()
        };
        self.answer(at, 0, Command::LookupResponse(response), prng);
    }

    fn create_producer(&mut self, at: usize, ask: p::CommandProducer, prng: &mut Prng) {
        let wrong = self.owner(&ask.topic, prng) != self.links[at].broker;
        let refused = if wrong { Some(E::ServiceNotReady) } else { self.refusal(prng) };
        if let Some(refused) = refused {
            return self.answer(at, 0, error(ask.request_id, refused), prng);
        }
        let name = ask.producer_name.filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| {
            self.next_name += 1;
            format!("model-{}", self.next_name)
        });
        let taken = |link: &Link| link.producers.values().any(|p| p.topic == ask.topic && p.name == name);
        if self.links.iter().any(taken) {
            return self.answer(at, 0, error(ask.request_id, E::ProducerBusy), prng);
        }
        let link = &mut self.links[at];
        link.known.insert(ask.producer_id);
        let producer = Producer { topic: ask.topic.clone(), name: name.clone(), stuck: false };
        let old = link.producers.insert(ask.producer_id, producer);
        assert!(old.is_none(), "producer {} is made while it exists", ask.producer_id);
        let answer = Command::ProducerSuccess(p::CommandProducerSuccess {
            request_id: ask.request_id,
            last_sequence_id: Some(self.store.last_sequence_id(&ask.topic, &name)),
            producer_name: name,
            ..Default::default()
        });
        self.answer(at, ask.producer_id, answer, prng);
    }

    fn subscribe(&mut self, at: usize, ask: &p::CommandSubscribe, prng: &mut Prng) {
        assert!(!self.unsubscribed.contains(&ask.consumer_id), "{} is subscribed again", ask.subscription);
        let wrong = self.owner(&ask.topic, prng) != self.links[at].broker;
        let exclusive = ask.sub_type == p::SubscriptionType::Exclusive as i32;
        let used = |c: &Consumer| c.topic == ask.topic && c.subscription == ask.subscription;
        let busy = exclusive && self.links.iter().any(|link| link.consumers.values().any(used));
        let refused = match (wrong, busy) {
            (true, _) => Some(E::ServiceNotReady),
            (_, true) => Some(E::ConsumerBusy),
            _ => self.refusal(prng),
        };
        if let Some(refused) = refused {
            return self.answer(at, 0, error(ask.request_id, refused), prng);
        }
        let next = match ask.durable {
            Some(false) => Some(store::start(ask.start_message_id.as_ref())),
            _ => {
                self.store.subscribe(&ask.topic, &ask.subscription, ask.initial_position == Some(1));
                None
            }
        };
        let consumer = Consumer {
            topic: ask.topic.clone(),
            subscription: ask.subscription.clone(),
            permits: 0,
            outstanding: BTreeSet::new(),
            next,
        };
        let link = &mut self.links[at];
        link.known.insert(ask.consumer_id);
        let old = link.consumers.insert(ask.consumer_id, consumer);
        assert!(old.is_none(), "consumer {} is made while it exists", ask.consumer_id);
        self.answer(at, ask.consumer_id, success(ask.request_id), prng);
    }

    fn send(&mut self, at: usize, send: &p::CommandSend, entry: &[u8], prng: &mut Prng) {
        let link = &mut self.links[at];
        assert!(link.known.contains(&send.producer_id), "SEND of a producer never made here");
        let Some(producer) = link.producers.get_mut(&send.producer_id).filter(|p| !p.stuck) else { return };
        let sequence_id = send.highest_sequence_id.unwrap_or(send.sequence_id);
        if prng.below(1000) < self.faults.send_error {
            let error = match prng.below(8) {
                0 => E::TopicTerminatedError,
                1..=4 => E::PersistenceError,
                _ => E::ChecksumError,
            };
            producer.stuck = true;
            let (producer_id, message) = (send.producer_id, "the model refuses".to_owned());
            let error = p::CommandSendError { producer_id, sequence_id, error: error as i32, message };
            return link.say(&Command::SendError(error));
        }
        let ledger_id = store::ledger(&producer.topic);
        let stored = self.store.put(&producer.topic, &producer.name, send, entry);
        let message_id = match stored {
            Some(entry_id) => p::MessageIdData { ledger_id, entry_id, ..Default::default() },
            None => p::MessageIdData { ledger_id: u64::MAX, entry_id: u64::MAX, ..Default::default() },
        };
        link.say(&Command::SendReceipt(p::CommandSendReceipt {
            producer_id: send.producer_id,
            sequence_id: send.sequence_id,
            message_id: Some(message_id),
            highest_sequence_id: Some(send.highest_sequence_id.unwrap_or(0)),
        }));
    }

    /// Sends consumers what they have permits for.
    pub(crate) fn dispatch(&mut self) {
        let mut taken: BTreeSet<(String, String, u64)> = BTreeSet::new();
        for consumer in self.links.iter().flat_map(|link| link.consumers.values()) {
            for entry in &consumer.outstanding {
                taken.insert((consumer.topic.clone(), consumer.subscription.clone(), *entry));
            }
        }
        for link in self.links.iter_mut().filter(|link| !link.mute) {
            for (id, consumer) in &mut link.consumers {
                while consumer.permits > 0 {
                    let (topic, subscription) = (&consumer.topic, &consumer.subscription);
                    let found = match &mut consumer.next {
                        Some(next) => self.store.entry(topic, *next).map(|_| {
                            *next += 1;
                            *next - 1
                        }),
                        None => self.store.open_entry(topic, subscription, |entry| {
                            taken.contains(&(topic.clone(), subscription.clone(), entry))
                        }),
                    };
                    let Some(entry_id) = found else { break };
                    let entry = self.store.entry(topic, entry_id).expect("found just now");
                    let message = Command::Message(p::CommandMessage {
                        consumer_id: *id,
                        message_id: p::MessageIdData {
                            ledger_id: store::ledger(topic),
                            entry_id,
                            partition: Some(store::partition(topic)),
                            ..Default::default()
                        },
                        ..Default::default()
                    });
                    let mut out = Vec::new();
                    frame::put_with_entry(&mut out, &message, &entry.bytes);
                    link.outgoing.extend(out);
                    consumer.permits -= entry.payloads.len() as i64;
                    taken.insert((topic.clone(), subscription.clone(), entry_id));
                    consumer.outstanding.insert(entry_id);
                }
            }
        }
    }

    /// Says one thing that was held back.
    pub(crate) fn release(&mut self, prng: &mut Prng) {
        for link in &mut self.links {
            if !link.held.is_empty() && !link.mute {
                let (id, answer) = link.held.remove(prng.below(link.held.len() as u64) as usize);
                if link.is_current(id, &answer) {
                    link.say(&answer);
                }
            }
        }
    }

    /// A topic moves to another broker: its producers and consumers are closed, some are told where to go.
    pub(crate) fn unload(&mut self, prng: &mut Prng) {
        if self.owners.is_empty() {
            return;
        }
        let at = prng.below(self.owners.len() as u64) as usize;
        let (topic, owner) = self.owners.iter_mut().nth(at).expect("below its length");
        *owner = prng.below(if self.embedded { 1 } else { BROKERS } as u64) as usize;
        let assigned_broker_service_url = (prng.below(2) == 0).then(|| url(*owner));
        for link in &mut self.links {
            let gone = |closed: &str| closed == topic;
            let producers = link.producers.iter().filter(|(_, p)| gone(&p.topic)).map(|(id, _)| *id);
            for producer_id in producers.collect::<Vec<_>>() {
                link.producers.remove(&producer_id);
                let assigned_broker_service_url = assigned_broker_service_url.clone();
                let times = 1 + prng.below(8) / 7; // now and then it says so twice
                (0..times).for_each(|_| {
                    link.say(&Command::CloseProducer(p::CommandCloseProducer {
                        producer_id,
                        request_id: u64::MAX,
                        assigned_broker_service_url: assigned_broker_service_url.clone(),
                        ..Default::default()
                    }));
                });
            }
            let consumers = link.consumers.iter().filter(|(_, c)| gone(&c.topic)).map(|(id, _)| *id);
            for consumer_id in consumers.collect::<Vec<_>>() {
                link.consumers.remove(&consumer_id);
                link.say(&Command::CloseConsumer(p::CommandCloseConsumer {
                    consumer_id,
                    request_id: u64::MAX,
                    assigned_broker_service_url: assigned_broker_service_url.clone(),
                    ..Default::default()
                }));
            }
        }
    }

    /// Producers and consumers of the gateway that exist.
    pub(crate) fn attached(&self) -> Vec<String> {
        let producers = self.links.iter().flat_map(|link| &link.producers).map(|made| format!("{made:?}"));
        let consumers = self.links.iter().flat_map(|link| &link.consumers).map(|made| format!("{made:?}"));
        producers.chain(consumers).collect()
    }
}
