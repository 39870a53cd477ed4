//! The topics of a store: their names, what is kept of each while it rests, numbers that are never used twice, and making and
//! deleting topics.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::{Host, Pending, What};
use crate::base::id::Position;
use crate::base::table::Key;
use crate::base::time::{Clock, Instant};
use crate::broker::admin::AdminAsk;
use crate::broker::catalogue::{Catalogue, Effective};
use crate::broker::event::{ConnectionId, Refusal};
use crate::broker::ledgers::{Ledger, Ledgers};
use crate::broker::properties::Properties;
use crate::broker::topic::Topic;
use crate::store::{self, LogError, Record, State, Ticket, TopicId, TopicPut};
use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto::ServerError;
use crate::wire::route::TopicName;
use crate::wire::route::topic::is_in_namespace;

/// Names that begin like this are ours: no client can name them.
const HIDDEN: char = '\0';
/// The topic of health probes.
pub(super) const HEALTH_NAME: &str = "\0health";

/// What a topic that is being loaded waits with.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // few, and not for long
pub(super) enum Waiting {
    Command { connection: ConnectionId, command: Command },
    Ask { ticket: u64, ask: AdminAsk },
}

/// A topic on its way into memory: entries are read for what they say about its end and about producers.
#[derive(Debug)]
pub(super) struct Loading {
    pub(super) ledgers: Ledgers,
    pub(super) next: Position,
    pub(super) last_batch: Option<i32>,
    pub(super) sequences: BTreeMap<String, u64>,
    pub(super) waiting: VecDeque<Waiting>,
}

/// How much of a topic is in memory.
#[derive(Debug)]
pub(super) enum Body {
    /// Nothing but what follows from its records.
    Resting,
    Loading(Box<Loading>),
    Loaded(Box<Topic>),
}

/// A topic of this store.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    /// `None`: nothing of it is stored.
    pub(super) id: Option<TopicId>,
    pub(super) properties: Properties,
    pub(super) rules: Option<Arc<Effective>>,
    pub(super) body: Body,
    /// Entries that the log has and that are not durable.
    pub(super) in_flight: usize,
    /// Its clients were sent away, and it goes from memory.
    pub(super) is_leaving: bool,
    /// What is consumed goes, whatever retention says.
    pub(super) truncating: bool,
    /// It is among those served in this turn.
    pub(super) is_busy: bool,
    /// Its cursors are to be saved soon.
    pub(super) is_unsaved: bool,
    /// When it is armed to be woken.
    pub(super) wake: Option<Instant>,
    /// When a client last did something.
    pub(super) used: Instant,
    /// Wall clock of the same, milliseconds.
    pub(super) used_ms: u64,
}

impl Entry {
    fn new(name: Arc<str>, id: Option<TopicId>, properties: Properties, clock: Clock) -> Entry {
        Entry {
            name,
            id,
            properties,
            rules: None,
            body: Body::Resting,
            in_flight: 0,
            is_leaving: false,
            truncating: false,
            is_busy: false,
            is_unsaved: false,
            wake: None,
            used: clock.now,
            used_ms: clock.wall.0.cast_unsigned(),
        }
    }

    pub(super) fn topic(&self) -> Option<&Topic> {
        if let Body::Loaded(topic) = &self.body { Some(topic) } else { None }
    }

    pub(super) fn topic_mut(&mut self) -> Option<&mut Topic> {
        if let Body::Loaded(topic) = &mut self.body { Some(topic) } else { None }
    }

    /// Its ledgers, oldest first; those without entries too. None where nothing is stored.
    pub(super) fn ledgers<'a>(&self, state: &'a State) -> &'a [store::Ledger] {
        self.id.and_then(|id| state.topic(id)).map_or(&[], |topic| &topic.ledgers)
    }

    /// Bytes stored.
    pub(super) fn bytes(&self, state: &State) -> u64 {
        self.ledgers(state).iter().map(|ledger| ledger.bytes).sum()
    }

    /// Bytes of entries at or behind a position, as if all of a ledger's entries were of one size.
    pub(super) fn bytes_from(&self, at: Position, state: &State) -> u64 {
        let behind = self.ledgers(state).iter().filter(|ledger| ledger.id >= at.ledger);
        let bytes = behind.map(|ledger| {
            if ledger.id > at.ledger || ledger.entries == 0 {
                return ledger.bytes;
            }
            let left = ledger.entries.saturating_sub(at.entry.0);
            (u128::from(ledger.bytes) * u128::from(left) / u128::from(ledger.entries)) as u64
        });
        bytes.sum()
    }

    /// The entries that the log has of it.
    pub(super) fn find_ledgers(&self, state: &State) -> Ledgers {
        let ledgers = self.ledgers(state).iter();
        Ledgers::new(ledgers.map(|ledger| Ledger { id: ledger.id, entries: ledger.entries }))
    }
}

impl Host {
    /// Takes over what the log has of topics. Once, when it is open.
    pub(super) fn register_all(&mut self, clock: Clock) {
        for (id, topic) in &self.log.state().topics {
            let Ok(name) = std::str::from_utf8(&topic.name) else { continue };
            if name == HEALTH_NAME {
                self.health = Some(*id);
            }
            if name.starts_with(HIDDEN) {
                continue;
            }
            let name: Arc<str> = name.into();
            let properties = Properties::decode(&topic.properties).unwrap_or_default();
            let key = self.topics.insert(Entry::new(name.clone(), Some(*id), properties, clock));
            self.names.insert(name, key);
        }
    }

    /// A topic by its name, if it is there.
    pub(super) fn find(&self, name: &str) -> Option<Key> {
        self.names.get(name).copied()
    }

    /// A topic for a client: found, or made where that is allowed (broker 2.3).
    pub(super) fn find_or_create(
        &mut self,
        clock: Clock,
        catalogue: &Catalogue,
        name: &str,
        may_create: bool,
    ) -> Result<Key, Refusal> {
        let refuse = |code, text: String| Err(Refusal { code, text });
        if let Some(key) = self.find(name) {
            return Ok(key);
        }
        let topic = match TopicName::parse(name) {
            Ok(topic) if topic.as_str() == name => topic,
            Ok(_) => {
                return refuse(ServerError::InvalidTopicName, format!("{name} is not a full topic name"));
            }
            Err(error) => return refuse(ServerError::InvalidTopicName, error.to_string()),
        };
        if !catalogue.has_namespace(topic.namespace()) {
            return refuse(ServerError::TopicNotFound, "Namespace not found".to_owned());
        }
        let missing = || refuse(ServerError::TopicNotFound, format!("Topic {name} does not exist"));
        match u32::try_from(topic.partition()) {
            Ok(partition) if partition >= catalogue.partitions(&topic.base()) => return missing(),
            Ok(_) => {}
            Err(_) if catalogue.partitions(&topic) > 0 => {
                let text = format!("{name} is a partitioned topic: use its partitions");
                return refuse(ServerError::NotAllowedError, text);
            }
            Err(_) => {
                let allowed = catalogue.auto_creation(topic.namespace(), &self.config.rules).allowed;
                if !may_create || !allowed {
                    return missing();
                }
            }
        }
        let made = self.create(clock, name, Properties::default());
        made.map(|(key, _)| key).map_err(|error| Refusal {
            code: ServerError::ServiceNotReady,
            text: format!("The topic cannot be made: {error}"),
        })
    }

    /// Makes a topic that is not there. It is durable with the ticket; `None`: nothing of it is stored.
    pub(super) fn create(
        &mut self,
        clock: Clock,
        name: &str,
        properties: Properties,
    ) -> Result<(Key, Option<Ticket>), LogError> {
        let shared: Arc<str> = name.into();
        let mut ticket = None;
        let mut entry = Entry::new(shared.clone(), None, properties, clock);
        if !name.starts_with("non-persistent://") {
            let wall_ms = clock.wall.0.cast_unsigned();
            if !self.log.has_room() {
                return Err(LogError::Full);
            }
            let id = self.log.next_topic();
            let properties = &entry.properties.encode();
            let put = TopicPut { name: name.as_bytes(), properties };
            let put = self.log.append(wall_ms, &Record::TopicPut(id, put))?;
            entry.id = Some(id);
            // The first ledger is opened at once, so that an empty topic has a place to show; without room the first entry
            // opens it.
            let ledger = self.log.next_ledger(self.config.store, self.config.stores);
            let opened = self.log.append(wall_ms, &Record::LedgerOpen(ledger, id));
            ticket = Some(opened.unwrap_or(put));
        }
        let key = self.topics.insert(entry);
        self.names.insert(shared, key);
        Ok((key, ticket))
    }

    /// Deletes a topic, whose clients were sent away. Gone with the ticket; `None`: nothing of it was stored.
    pub(super) fn delete(&mut self, clock: Clock, key: Key) -> Result<Option<Ticket>, LogError> {
        let Some(entry) = self.topics.get(key) else { return Ok(None) };
        let (name, id) = (entry.name.clone(), entry.id);
        let wall_ms = clock.wall.0.cast_unsigned();
        let ticket = id.map(|id| self.log.append(wall_ms, &Record::TopicDelete(id))).transpose()?;
        self.names.remove(&name);
        self.topics.remove(key);
        self.refuse_asks_of(key);
        Ok(ticket)
    }

    /// Writes a topic's properties down.
    pub(super) fn put_properties(&mut self, clock: Clock, key: Key, what: What) -> Result<(), LogError> {
        let Some(entry) = self.topics.get(key) else { return Ok(()) };
        let Some(id) = entry.id else { return Ok(()) };
        let properties = &entry.properties.encode();
        let put = TopicPut { name: entry.name.as_bytes(), properties };
        let ticket = self.log.append(clock.wall.0.cast_unsigned(), &Record::TopicPut(id, put))?;
        self.pending.push_back(Pending { ticket, topic: key, what });
        Ok(())
    }

    /// Full names of a namespace's topics; of all without one.
    pub(super) fn names_of(&self, namespace: Option<&str>) -> Vec<Arc<str>> {
        let Some(namespace) = namespace else { return self.names.keys().cloned().collect() };
        let mut found = Vec::new();
        for domain in ["persistent", "non-persistent"] {
            let prefix: Arc<str> = format!("{domain}://{namespace}/").into();
            let names = self.names.range(prefix.clone()..).map(|(name, _)| name);
            let names = names.take_while(|name| name.starts_with(&*prefix));
            found.extend(names.filter(|name| is_in_namespace(name, namespace)).cloned());
        }
        found
    }
}

/// A command for a topic that has no bytes behind it.
pub(super) fn waiting(connection: ConnectionId, command: Command, entry: &Bytes) -> Waiting {
    debug_assert!(entry.is_empty(), "nobody sends before the topic is loaded");
    Waiting::Command { connection, command }
}
