//! What the model brokers keep: entries of topics, and how far subscriptions are.

use pulsegate::wire::pulsar::batch::Messages;
use pulsegate::wire::pulsar::compression::decompress;
use pulsegate::wire::pulsar::frame::{self, Checksum};
use pulsegate::wire::pulsar::metadata::MetadataView;
use pulsegate::wire::pulsar::proto::{CommandSend, MessageIdData};
use std::collections::{BTreeMap, BTreeSet};

/// One entry, as it was sent and as a consumer would read it.
pub(crate) struct Entry {
    pub(crate) bytes: Vec<u8>,
    pub(crate) payloads: Vec<String>,
}

#[derive(Default)]
struct Topic {
    entries: Vec<Entry>,
    /// Highest sequence id of each producer name.
    sequence_ids: BTreeMap<String, u64>,
}

#[derive(Default)]
pub(crate) struct Subscription {
    pub(crate) begins: u64,
    acknowledged: BTreeSet<u64>,
}

/// All topics and durable subscriptions.
pub(crate) struct Store {
    topics: BTreeMap<String, Topic>,
    subscriptions: BTreeMap<(String, String), Subscription>,
    deduplicate: bool,
}

/// The partition a topic's name ends with; -1: none.
pub(crate) fn partition(topic: &str) -> i32 {
    topic.rsplit_once("-partition-").map_or(-1, |(_, number)| number.parse().expect("a number"))
}

/// The ledger of a topic's entries: no two topics share one.
pub(crate) fn ledger(topic: &str) -> u64 {
    topic.bytes().fold(7, |ledger, byte| (ledger * 31 + u64::from(byte)) % 1_000_003)
}

/// The entry a non-durable subscription begins at: the one its id names (protocol 9.2).
pub(crate) fn start(id: Option<&MessageIdData>) -> u64 {
    match id {
        Some(id) if id.ledger_id == u64::MAX => 0,
        Some(id) => id.entry_id,
        None => panic!("a reader says where it begins"),
    }
}

impl Store {
    pub(crate) fn new(deduplicate: bool) -> Store {
        Store { topics: BTreeMap::new(), subscriptions: BTreeMap::new(), deduplicate }
    }

    pub(crate) fn last_sequence_id(&self, topic: &str, name: &str) -> i64 {
        let last = self.topics.get(topic).and_then(|topic| topic.sequence_ids.get(name));
        last.filter(|_| self.deduplicate).map_or(-1, |id| *id as i64)
    }

    /// Stores what was sent; `None`: it is here already.
    pub(crate) fn put(&mut self, topic: &str, name: &str, send: &CommandSend, bytes: &[u8]) -> Option<u64> {
        let payloads = open(send, bytes);
        let topic = self.topics.entry(topic.to_owned()).or_default();
        let sequence_id = send.highest_sequence_id.unwrap_or(send.sequence_id);
        let last = topic.sequence_ids.entry(name.to_owned()).or_insert(u64::MAX);
        if self.deduplicate && *last != u64::MAX && sequence_id <= *last {
            return None;
        }
        *last = sequence_id;
        topic.entries.push(Entry { bytes: bytes.to_vec(), payloads });
        Some(topic.entries.len() as u64 - 1)
    }

    pub(crate) fn subscribe(&mut self, topic: &str, subscription: &str, earliest: bool) {
        let length = self.topics.get(topic).map_or(0, |topic| topic.entries.len()) as u64;
        let begins = if earliest { 0 } else { length };
        let name = (topic.to_owned(), subscription.to_owned());
        self.subscriptions.entry(name).or_insert(Subscription { begins, ..Default::default() });
    }

    pub(crate) fn unsubscribe(&mut self, topic: &str, subscription: &str) {
        self.subscriptions.remove(&(topic.to_owned(), subscription.to_owned()));
    }

    pub(crate) fn acknowledge(&mut self, topic: &str, subscription: &str, entry: u64) {
        let name = (topic.to_owned(), subscription.to_owned());
        if let Some(subscription) = self.subscriptions.get_mut(&name) {
            subscription.acknowledged.insert(entry);
        }
    }

    pub(crate) fn entry(&self, topic: &str, entry: u64) -> Option<&Entry> {
        self.topics.get(topic)?.entries.get(entry as usize)
    }

    /// The first entry of a subscription that is neither acknowledged nor `taken`.
    pub(crate) fn open_entry(
        &self,
        topic: &str,
        subscription: &str,
        taken: impl Fn(u64) -> bool,
    ) -> Option<u64> {
        let length = self.topics.get(topic)?.entries.len() as u64;
        let found = self.subscriptions.get(&(topic.to_owned(), subscription.to_owned()))?;
        (found.begins..length).find(|entry| !found.acknowledged.contains(entry) && !taken(*entry))
    }

    /// Names of the topics that are a topic or its partitions.
    pub(crate) fn parts(&self, topic: &str) -> Vec<String> {
        let prefix = format!("{topic}-partition-");
        let part = |name: &&String| *name == topic || name.starts_with(&prefix);
        self.topics.keys().filter(part).cloned().collect()
    }

    /// Payloads of a topic, in order.
    pub(crate) fn payloads(&self, topic: &str) -> impl Iterator<Item = &str> {
        let entries = self.topics.get(topic).map(|topic| topic.entries.as_slice()).unwrap_or_default();
        entries.iter().flat_map(|entry| &entry.payloads).map(String::as_str)
    }
}

/// Reads an entry as a consumer would, and checks what a broker and a consumer rely on.
fn open(send: &CommandSend, bytes: &[u8]) -> Vec<String> {
    let payload = frame::payload(bytes).expect("an entry can be read");
    assert_eq!(payload.checksum, Checksum::Good);
    let metadata = MetadataView::read(payload.metadata).expect("metadata can be read");
    assert_eq!(metadata.sequence_id, send.sequence_id);
    assert!(!metadata.producer_name.is_empty());
    let size = metadata.uncompressed_size as usize;
    let mut body = Vec::new();
    decompress(metadata.compression, payload.body, size, 1 << 20, &mut body).expect("a body can be opened");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("the model's payloads are text");
    let count = send.num_messages.unwrap_or(1) as u32;
    if metadata.batch_size.is_none() {
        assert_eq!(count, 1);
        return vec![text(&body)];
    }
    let messages = Messages::new(&body, count).map(|message| message.expect("a batch can be read"));
    let payloads: Vec<String> = messages.map(|(_, payload)| text(payload)).collect();
    assert_eq!(payloads.len(), count as usize);
    payloads
}
