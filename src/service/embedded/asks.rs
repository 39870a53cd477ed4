//! Questions of clients that concern no producer or consumer: where a topic is, how many partitions it has, which topics a namespace
//! has (broker 2.3, 2.5, 4.17; texts as observed at a 4.0.7 broker). Most are answered from the catalogue at once; the others wait
//! under a ticket for hosts or for the meta store.

use super::Embedded;
use crate::base::limit;
use crate::broker::catalogue::names::is_system;
use crate::broker::catalogue::{Change, Expect};
use crate::broker::host::{Asked, ConnectionId, Request, store_of};
use crate::session::inbound::{error, lookup_refused, partitions_refused, topic_name};
use crate::shard::meta::{self, MetaChange, MetaRefusal};
use crate::shard::{Links, ShardId};
use crate::store::StoreId;
use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto as p;
use crate::wire::pulsar::proto::ServerError;
use crate::wire::route::TopicName;
use regex::Regex;
use std::collections::BTreeMap;

/// Tickets of this broker's writes to the meta store; an administrator's are below.
const OURS: u64 = 1 << 63;

/// Who waits, and for what.
pub(super) enum Waiting {
    /// PARTITIONED_METADATA of a topic that has no record: whether a plain topic of the name exists decides. If there is none, a
    /// record with this many partitions is made, or nothing is.
    Exists { connection: ConnectionId, request: u64, topic: TopicName, create: Option<u32> },
    /// PARTITIONED_METADATA: the record is being written.
    Partitions { connection: ConnectionId, request: u64, topic: TopicName },
    /// GET_TOPICS_OF_NAMESPACE: the lists of so many stores are still to come.
    Topics { connection: ConnectionId, ask: p::CommandGetTopicsOfNamespace, left: usize, names: Vec<String> },
    /// A schema is being written.
    Schema(Box<super::schemas::Waiting>),
    /// An administrator at this core waits for a host's answer to his question of that number.
    Admin { core: ShardId, ticket: u64 },
}

/// Everything that waits for an answer of hosts or of the meta store. Bounded by what each connection may ask.
#[derive(Default)]
pub(super) struct Tickets {
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
}

impl Tickets {
    pub(super) fn note(&mut self, waiting: Waiting) -> u64 {
        self.next += 1;
        self.waiting.insert(self.next, waiting);
        self.next
    }

    pub(super) fn take(&mut self, ticket: u64) -> Option<Waiting> {
        self.waiting.remove(&ticket)
    }

    pub(super) fn note_admin(&mut self, core: ShardId, ticket: u64) -> u64 {
        self.note(Waiting::Admin { core, ticket })
    }

    pub(super) fn take_admin(&mut self, ticket: u64) -> Option<(ShardId, u64)> {
        match self.waiting.remove(&ticket)? {
            Waiting::Admin { core, ticket } => Some((core, ticket)),
            other => {
                debug_assert!(false, "an answer for somebody else");
                self.waiting.insert(ticket, other);
                None
            }
        }
    }
}

impl Embedded {
    /// A question of a native client or of the gateway.
    pub(super) fn question(&mut self, io: &mut Links, connection: ConnectionId, command: Command) {
        match command {
            Command::Lookup(ask) => {
                let answer = self.look_up(io, connection, &ask);
                self.answer(io, connection, answer);
            }
            Command::PartitionedMetadata(ask) => self.partitions(io, connection, &ask),
            Command::GetTopicsOfNamespace(ask) => self.topics(io, connection, ask),
            Command::GetSchema(ask) => {
                let answer = self.get_schema(&ask);
                self.answer(io, connection, answer);
            }
            Command::GetOrCreateSchema(ask) => self.get_or_create_schema(io, connection, ask),
            other => debug_assert!(false, "{other:?} is no question"),
        }
    }

    /// The answer to a question of this core's clients.
    pub(super) fn answer(&mut self, io: &mut Links, connection: ConnectionId, answer: Command) {
        match self.local.is(connection) {
            true => self.local.push(answer),
            false => self.client_answer(io, connection, &answer),
        }
    }

    fn look_up(&mut self, io: &Links, connection: ConnectionId, ask: &p::CommandLookupTopic) -> Command {
        let request_id = ask.request_id;
        let topic = match topic_name(&ask.topic) {
            Ok(topic) => topic,
            Err(text) => return lookup_refused(request_id, ServerError::InvalidTopicName, text),
        };
        let listener = ask.advertised_listener_name.as_deref().unwrap_or_default();
        if !listener.is_empty() {
            let text = format!("the broker do not have {listener} listener");
            return lookup_refused(request_id, ServerError::ServiceNotReady, text);
        }
        if !self.catalogue.has_namespace(topic.namespace()) {
            return lookup_refused(request_id, ServerError::TopicNotFound, "Namespace not found");
        }
        let dialled = self.dialled(io, connection).map(|address| format!("pulsar://{address}"));
        // Our own gateway dialled nothing, and asks for an address it can read; it then comes through this link all the same.
        let url =
            self.config.advertised.clone().or(dialled).unwrap_or_else(|| "pulsar://localhost".to_owned());
        Command::LookupResponse(p::CommandLookupTopicResponse {
            broker_service_url: Some(url),
            response: Some(p::LookupTopicResponseLookupType::Connect as i32),
            request_id,
            authoritative: Some(true),
            proxy_through_service_url: Some(true),
            ..Default::default()
        })
    }

    fn partitions(
        &mut self,
        io: &mut Links,
        connection: ConnectionId,
        ask: &p::CommandPartitionedTopicMetadata,
    ) {
        let request = ask.request_id;
        let topic = match topic_name(&ask.topic) {
            Ok(topic) => topic,
            Err(text) => {
                let refused = partitions_refused(request, ServerError::InvalidTopicName, text);
                return self.answer(io, connection, refused);
            }
        };
        let namespace = topic.namespace();
        if !self.catalogue.has_namespace(namespace) {
            let refused = partitions_refused(request, ServerError::TopicNotFound, "Namespace not found");
            return self.answer(io, connection, refused);
        }
        let known = self.catalogue.partitions(&topic);
        if known > 0 {
            return self.answer(io, connection, partitions_are(request, known));
        }
        if topic.partition() >= 0 {
            let of_base = self.catalogue.partitions(&topic.base());
            if topic.partition().unsigned_abs() < of_base {
                return self.answer(io, connection, partitions_are(request, 0));
            }
            // It may be a plain topic whose name only looks like that of a partition.
            return self.ask_whether_exists(io, connection, request, topic, None);
        }
        let creation = self.catalogue.auto_creation(namespace, &self.config.policies);
        let create = ask.metadata_auto_creation_enabled.unwrap_or(true) && creation.allowed;
        match (create, creation.partitions) {
            (true, None) => self.answer(io, connection, partitions_are(request, 0)),
            (true, count) => self.ask_whether_exists(io, connection, request, topic, count),
            (false, _) => self.ask_whether_exists(io, connection, request, topic, None),
        }
    }

    fn ask_whether_exists(
        &mut self,
        io: &mut Links,
        connection: ConnectionId,
        request: u64,
        topic: TopicName,
        create: Option<u32>,
    ) {
        let store = store_of(topic.as_str(), self.config.stores);
        let name = topic.to_string();
        let ticket = self.tickets.note(Waiting::Exists { connection, request, topic, create });
        self.request(io, Request { connection, store, what: Asked::Exists { ticket, topic: name } });
    }

    /// A host says whether a topic exists.
    pub(super) fn on_exists(&mut self, io: &mut Links, ticket: u64, exists: bool) {
        let Some(Waiting::Exists { connection, request, topic, create }) = self.tickets.take(ticket) else {
            return;
        };
        match create {
            _ if exists => self.answer(io, connection, partitions_are(request, 0)),
            Some(count) => self.create_record(io, connection, request, topic, count),
            None => self.answer(io, connection, partitions_refused(request, ServerError::TopicNotFound, "")),
        }
    }

    /// Makes a topic a partitioned one. Its partitions are made when they are first used.
    fn create_record(
        &mut self,
        io: &mut Links,
        connection: ConnectionId,
        request: u64,
        topic: TopicName,
        count: u32,
    ) {
        let properties = serde_json::Map::new();
        let plan = self.catalogue.plan_partitioned(&topic, i64::from(count), &properties, 0);
        let ticket = self.tickets.note(Waiting::Partitions { connection, request, topic });
        match plan {
            Ok(plan) => self.write(io, ticket, plan),
            // Somebody was faster: his record is what counts.
            Err(_) => self.on_written(io, ticket, Ok(())),
        }
    }

    /// Writes to the meta store; [`Embedded::on_written`] brings the outcome.
    pub(super) fn write(&mut self, io: &mut Links, ticket: u64, plan: Vec<Change>) {
        let changes = plan.into_iter().map(meta_change).collect();
        if io.write_meta(ticket | OURS, changes).is_err() {
            let why = MetaRefusal::Failed("too many changes are waiting to be written".to_owned());
            self.on_written(io, ticket, Err(why));
        }
    }

    /// True for tickets of this broker's own writes to the meta store.
    pub fn owns_ticket(ticket: u64) -> bool {
        ticket & OURS != 0
    }

    /// A write of ours to the meta store ended.
    pub fn on_written(&mut self, io: &mut Links, ticket: u64, result: Result<(), MetaRefusal>) {
        match self.tickets.take(ticket & !OURS) {
            Some(Waiting::Partitions { connection, request, topic }) => {
                let answer = match (self.catalogue.partitions(&topic), result) {
                    (0, Err(why)) => {
                        partitions_refused(request, ServerError::ServiceNotReady, why.to_string())
                    }
                    (count, _) => partitions_are(request, count),
                };
                self.answer(io, connection, answer);
            }
            Some(Waiting::Schema(waiting)) => self.schema_written(io, *waiting, result),
            Some(_) => debug_assert!(false, "a ticket of another kind"),
            None => {}
        }
    }

    fn topics(&mut self, io: &mut Links, connection: ConnectionId, ask: p::CommandGetTopicsOfNamespace) {
        let namespace = ask.namespace.clone();
        if !matches!(namespace.split('/').count(), 2 | 3) {
            let text = format!("Invalid namespace format. namespace: {namespace}");
            let refused = error(ask.request_id, ServerError::MetadataError, text);
            return self.answer(io, connection, refused);
        }
        if let Err(refused) = pattern_of(&ask) {
            return self.answer(io, connection, refused);
        }
        let left = usize::from(self.config.stores);
        let ticket = self.tickets.note(Waiting::Topics { connection, ask, left, names: Vec::new() });
        for store in (0..self.config.stores).map(StoreId) {
            let what = Asked::Topics { ticket, namespace: namespace.clone() };
            self.request(io, Request { connection, store, what });
        }
    }

    /// A host lists its topics of a namespace.
    pub(super) fn on_topics(&mut self, io: &mut Links, ticket: u64, more: Vec<String>) {
        let Some(Waiting::Topics { connection, ask, left, mut names }) = self.tickets.take(ticket) else {
            return;
        };
        names.extend(more);
        if left > 1 {
            self.tickets.waiting.insert(ticket, Waiting::Topics { connection, ask, left: left - 1, names });
            return;
        }
        self.answer(io, connection, topic_list(&ask, names));
    }
}

fn partitions_are(request_id: u64, partitions: u32) -> Command {
    Command::PartitionedMetadataResponse(p::CommandPartitionedTopicMetadataResponse {
        partitions: Some(partitions),
        request_id,
        response: Some(p::PartitionedTopicMetadataResponseLookupType::Success as i32),
        ..Default::default()
    })
}

fn meta_change(change: Change) -> MetaChange {
    let expect = match change.expect {
        Expect::Any => meta::Expect::Any,
        Expect::Absent => meta::Expect::Absent,
        Expect::Version(version) => meta::Expect::Version(version),
    };
    MetaChange { key: change.key, expect, value: change.value }
}

/// The expression of a topic list, for names without scheme. `None`: all topics are wanted, or the client filters by itself.
#[allow(clippy::result_large_err, reason = "rare, and the answer that is sent as it is")]
fn pattern_of(ask: &p::CommandGetTopicsOfNamespace) -> Result<Option<Regex>, Command> {
    let pattern = ask.topics_pattern.as_deref().filter(|pattern| pattern.len() <= limit::PATTERN_LENGTH_MAX);
    let Some(pattern) = pattern.filter(|pattern| !pattern.is_empty()) else { return Ok(None) };
    let without_scheme = pattern.split_once("://").map_or(pattern, |(_, rest)| rest);
    let whole = regex::RegexBuilder::new(&format!("^(?:{without_scheme})$"))
        .size_limit(limit::PATTERN_PROGRAM_MAX)
        .build();
    whole.map(Some).map_err(|why| {
        let text = format!("Invalid topics pattern '{pattern}': {why}");
        error(ask.request_id, ServerError::MetadataError, text)
    })
}

/// The answer to GET_TOPICS_OF_NAMESPACE: `names` are all topics of the namespace.
fn topic_list(ask: &p::CommandGetTopicsOfNamespace, names: Vec<String>) -> Command {
    let mode = p::GetTopicsOfNamespaceMode::from_wire(ask.mode.unwrap_or(0));
    let pattern = pattern_of(ask).unwrap_or(None);
    let wanted = |name: &TopicName| {
        let right_domain = match mode {
            Some(p::GetTopicsOfNamespaceMode::All) => true,
            Some(p::GetTopicsOfNamespaceMode::NonPersistent) => !name.is_persistent(),
            _ => name.is_persistent(),
        };
        let base = name.base();
        let local = base.as_str().split_once("://").map_or("", |(_, rest)| rest);
        right_domain && !is_system(name) && pattern.as_ref().is_none_or(|pattern| pattern.is_match(local))
    };
    let mut topics: Vec<String> =
        names.into_iter().filter(|name| TopicName::parse(name).is_ok_and(|name| wanted(&name))).collect();
    topics.sort_unstable();
    let hash = topics_hash(&topics);
    let changed = ask.topics_hash.as_deref().is_none_or(|known| known != hash);
    if !changed {
        topics.clear();
    }
    Command::GetTopicsOfNamespaceResponse(p::CommandGetTopicsOfNamespaceResponse {
        request_id: ask.request_id,
        topics,
        filtered: Some(pattern.is_some()),
        topics_hash: Some(hash),
        changed: Some(changed),
    })
}

/// The hash of a sorted list of topics: CRC32C of the names joined with commas, least significant byte first (broker 4.17).
fn topics_hash(sorted: &[String]) -> String {
    let mut hash = 0;
    for (index, name) in sorted.iter().enumerate() {
        if index > 0 {
            hash = crc32c::crc32c_append(hash, b",");
        }
        hash = crc32c::crc32c_append(hash, name.as_bytes());
    }
    hash.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn list(ask: p::CommandGetTopicsOfNamespace) -> p::CommandGetTopicsOfNamespaceResponse {
        let all = names(&[
            "persistent://public/default/b-partition-1",
            "persistent://public/default/a",
            "non-persistent://public/default/a",
            "persistent://public/default/__change_events",
        ]);
        match topic_list(&ask, all) {
            Command::GetTopicsOfNamespaceResponse(list) => list,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_hash_of_a_list_is_that_of_the_original() {
        // Protocol 18.10.
        assert_eq!(topics_hash(&[]), "00000000");
        let (a, b) = ("persistent://public/default/a", "persistent://public/default/b");
        assert_eq!(topics_hash(&names(&[a])), "e4a876e3");
        assert_eq!(topics_hash(&names(&[a, b])), "c7559e98");
    }

    #[test]
    fn a_list_is_of_its_domain_and_its_pattern() {
        let ask = p::CommandGetTopicsOfNamespace { request_id: 1, ..Default::default() };
        let plain = list(ask.clone());
        let (a, b) = ("persistent://public/default/a", "persistent://public/default/b-partition-1");
        assert_eq!((plain.topics, plain.filtered, plain.changed), (names(&[a, b]), Some(false), Some(true)));
        let all = list(p::CommandGetTopicsOfNamespace { mode: Some(2), ..ask.clone() });
        assert_eq!(all.topics.len(), 3);
        let pattern = |text: &str| Some(text.to_owned());
        for (text, found) in [
            ("persistent://public/default/b", 1), // the partition's base
            ("public/default/.", 2),
            ("public/default", 0), // the whole name must match
        ] {
            let answer =
                list(p::CommandGetTopicsOfNamespace { topics_pattern: pattern(text), ..ask.clone() });
            assert_eq!((answer.topics.len(), answer.filtered), (found, Some(true)), "{text}");
        }
        let long = "x".repeat(limit::PATTERN_LENGTH_MAX + 1);
        let long = list(p::CommandGetTopicsOfNamespace { topics_pattern: Some(long), ..ask.clone() });
        assert_eq!((long.topics.len(), long.filtered), (2, Some(false)), "left to the client");
        let known = list(p::CommandGetTopicsOfNamespace { topics_hash: plain.topics_hash, ..ask });
        assert_eq!((known.topics.len(), known.changed), (0, Some(false)));
    }

    #[test]
    fn an_expression_that_cannot_be_is_refused() {
        for text in ["(", "(a{1000}){1000}"] {
            let topics_pattern = Some(text.to_owned());
            let ask = p::CommandGetTopicsOfNamespace { request_id: 9, topics_pattern, ..Default::default() };
            let Err(Command::Error(refused)) = pattern_of(&ask) else { panic!("{text}") };
            assert_eq!((refused.request_id, refused.error), (9, 1), "{text}");
        }
    }
}
