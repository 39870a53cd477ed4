//! Statistics of topics as plain values: every field of broker 6.7, in the order of the original, named as Rust names things. Who
//! serves them turns them into JSON. Rates are per second over the last minute that was counted, sizes are bytes, times are
//! milliseconds since the epoch with 0 for "never".

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::base::id::{LedgerId, Position};
use crate::wire::pulsar::proto::KeyValue;

/// What is known of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Where it comes from; unknown for sessions of this process.
    pub address: Option<SocketAddr>,
    /// What its CONNECT said it is.
    pub client_version: String,
}

/// Pairs of text, as clients send them. Of equal keys the last counts.
pub(super) fn text_map(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    pairs.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect()
}

/// Messages and bytes that passed one way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flow {
    /// Messages per second.
    pub rate: f64,
    /// Bytes per second.
    pub throughput: f64,
    /// Messages since the counter began.
    pub messages: u64,
    /// Bytes since the counter began.
    pub bytes: u64,
}

/// A connected producer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PublisherStats {
    /// `Shared`, `Exclusive`, `WaitForExclusive`, `ExclusiveWithFencing`.
    pub access_mode: &'static str,
    /// What it published.
    pub published: Flow,
    /// Mean bytes of a message.
    pub average_message_size: f64,
    /// Chunks per second.
    pub chunked_rate: f64,
    /// Messages lost per second; non-persistent topics only.
    pub drop_rate: f64,
    /// Its number on its connection.
    pub producer_id: u64,
    /// It can produce to single partitions of a topic.
    pub supports_partial_producer: bool,
    /// Its name.
    pub name: String,
    /// Where its connection comes from; unknown for sessions of this process.
    pub address: Option<SocketAddr>,
    /// When it was admitted.
    pub connected_since_ms: u64,
    /// What its CONNECT said it is.
    pub client_version: String,
    /// Metadata of its PRODUCER.
    pub metadata: BTreeMap<String, String>,
}

/// A hash whose messages must be acknowledged before its new owner gets any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainingHash {
    /// The slot.
    pub hash: u16,
    /// Messages still with the old owner.
    pub unacked: u32,
    /// Times that something was held back for it.
    pub blocked_attempts: u64,
}

/// A connected consumer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConsumerStats {
    /// What it was sent.
    pub delivered: Flow,
    /// Messages sent to it again, per second.
    pub redeliver_rate: f64,
    /// Messages it acknowledged, per second.
    pub ack_rate: f64,
    /// Chunks sent to it, per second.
    pub chunked_rate: f64,
    /// Its name.
    pub name: String,
    /// Its number on its connection.
    pub consumer_id: u64,
    /// Messages it may be sent.
    pub available_permits: i64,
    /// Messages sent and not acknowledged.
    pub unacked: u64,
    /// Mean messages of the entries it was sent.
    pub messages_per_entry: u32,
    /// It has too many unacknowledged messages.
    pub blocked: bool,
    /// Hashes it has to drain before others get them.
    pub draining: Vec<DrainingHash>,
    /// Hashes it has drained since it came.
    pub drained: u64,
    /// Inclusive slots it owns; Key_Shared only.
    pub key_ranges: Vec<(u16, u16)>,
    /// Where its connection comes from; unknown for sessions of this process.
    pub address: Option<SocketAddr>,
    /// When it joined.
    pub connected_since_ms: u64,
    /// What its CONNECT said it is.
    pub client_version: String,
    /// When it last acknowledged.
    pub last_acked_ms: u64,
    /// When it was last sent something.
    pub last_consumed_ms: u64,
    /// When it last gave permits.
    pub last_flow_ms: u64,
    /// Metadata of its SUBSCRIBE.
    pub metadata: BTreeMap<String, String>,
}

/// A subscription.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubscriptionStats {
    /// What its consumers were sent.
    pub delivered: Flow,
    /// Messages sent again, per second.
    pub redeliver_rate: f64,
    /// Messages acknowledged, per second.
    pub ack_rate: f64,
    /// Chunks sent, per second.
    pub chunked_rate: f64,
    /// Messages lost per second; non-persistent topics only.
    pub drop_rate: f64,
    /// Entries to be consumed still.
    pub backlog: u64,
    /// Their bytes; -1 when they were not asked for.
    pub backlog_bytes: i64,
    /// Publish time of the first of them; 0 when it was not asked for or there is none.
    pub earliest_in_backlog_ms: u64,
    /// Too many of its messages are unacknowledged.
    pub blocked: bool,
    /// Entries that wait for their time.
    pub delayed: u64,
    /// Entries read and to be sent again.
    pub in_replay: u64,
    /// Messages sent and not acknowledged.
    pub unacked: u64,
    /// `Exclusive`, `Shared`, `Failover`, `Key_Shared`, or `None` when nobody was ever connected.
    pub kind: &'static str,
    /// Name of the active consumer, where one is.
    pub active_consumer: Option<String>,
    /// Messages expired, per second.
    pub expired_rate: f64,
    /// Messages expired.
    pub expired: u64,
    /// When messages last expired.
    pub last_expire_ms: u64,
    /// When a consumer last gave permits.
    pub last_flow_ms: u64,
    /// When a consumer was last sent something.
    pub last_consumed_ms: u64,
    /// When a consumer last acknowledged.
    pub last_acked_ms: u64,
    /// When everything up to some entry was consumed for the last time.
    pub last_advanced_ms: u64,
    /// Its consumers.
    pub consumers: Vec<ConsumerStats>,
    /// It outlives its consumers.
    pub durable: bool,
    /// It was asked to be replicated; kept, without effect.
    pub replicated: bool,
    /// Key_Shared without order.
    pub out_of_order: bool,
    /// `AUTO_SPLIT` or `STICKY`; Key_Shared only.
    pub key_shared_mode: Option<&'static str>,
    /// Hashes drained since it has consumers.
    pub drained: u64,
    /// Runs of consumed entries that have others before them.
    pub runs: u64,
    /// Bytes that these runs take when saved.
    pub runs_bytes: u64,
    /// Bytes of the index of delayed entries.
    pub delayed_bytes: u64,
    /// Properties given by clients or over REST.
    pub properties: BTreeMap<String, String>,
}

/// A topic.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopicStats {
    /// Whether it stores what is published.
    pub persistent: bool,
    /// What was published.
    pub published: Flow,
    /// What was delivered.
    pub delivered: Flow,
    /// Mean bytes of a message.
    pub average_message_size: f64,
    /// A chunk was published since it was loaded.
    pub chunked: bool,
    /// Bytes stored.
    pub storage_bytes: u64,
    /// Bytes that the slowest subscription has to consume still.
    pub backlog_bytes: u64,
    /// Limit of the backlog, bytes; -1: none.
    pub quota_bytes: i64,
    /// Limit of the backlog's age, seconds; -1: none.
    pub quota_seconds: i64,
    /// Age of the oldest message in a backlog, seconds; -1: none or unknown.
    pub oldest_backlog_seconds: i64,
    /// The subscription that has it.
    pub oldest_backlog_subscription: Option<String>,
    /// Times that publishing was slowed down.
    pub throttled: u64,
    /// Publish time of the earliest message in a backlog; 0 when it was not asked for.
    pub earliest_in_backlogs_ms: u64,
    /// Connected producers.
    pub publishers: Vec<PublisherStats>,
    /// Producers that wait to have the topic for themselves.
    pub waiting_publishers: u64,
    /// Subscriptions by name.
    pub subscriptions: BTreeMap<String, SubscriptionStats>,
    /// Deduplication is on.
    pub deduplication: bool,
    /// Messages lost per second; non-persistent topics only.
    pub drop_rate: f64,
    /// The producer epoch, once there is one.
    pub epoch: Option<u64>,
    /// Removed by compaction the last time, 0: compaction only records that it was asked for.
    pub compaction_removed: u64,
    /// When it was last compacted.
    pub compacted_ms: u64,
}

/// A place as it is shown: the entry is -1 before a ledger's first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaceShown {
    /// Ledger.
    pub ledger: u64,
    /// Entry.
    pub entry: i64,
}

/// A ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerStats {
    /// Its id.
    pub id: LedgerId,
    /// Entries.
    pub entries: u64,
    /// Bytes.
    pub bytes: u64,
    /// Nothing more is appended.
    pub closed: bool,
    /// When it was closed; 0 while it is open.
    pub closed_ms: u64,
}

/// A cursor.
#[derive(Clone, Debug, PartialEq)]
pub struct CursorStats {
    /// Everything up to this is consumed.
    pub mark_delete: PlaceShown,
    /// What is read next.
    pub read: Position,
    /// Entries consumed since the topic was loaded.
    pub consumed: u64,
    /// Consumed beyond the mark: first and last entry of each run.
    pub runs: Vec<(Position, Position)>,
    /// Entries from the first one on that is not consumed.
    pub entries_left: u64,
    /// Consumers are connected.
    pub active: bool,
    /// It is durable.
    pub durable: bool,
    /// When it was last saved.
    pub saved_ms: u64,
    /// Numbers kept with it.
    pub properties: BTreeMap<String, i64>,
    /// Properties of its subscription.
    pub subscription_properties: BTreeMap<String, String>,
}

/// `LedgerOpened`, `ClosedLedger`, `Terminated`, `Fenced`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopicState {
    /// Entries may be added.
    #[default]
    LedgerOpened,
    /// The next entry begins a ledger.
    ClosedLedger,
    /// Sealed.
    Terminated,
    /// Storage failed.
    Fenced,
}

/// What is stored of a topic.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InternalStats {
    /// Entries added since it was loaded.
    pub added: u64,
    /// Entries stored.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When its current ledger was opened.
    pub ledger_opened_ms: u64,
    /// When the topic was made, as far as its ledgers tell.
    pub created_ms: u64,
    /// Entries on their way to storage.
    pub pending: u64,
    /// The last durable entry.
    pub last: PlaceShown,
    /// State.
    pub state: TopicState,
    /// Where a sealed topic ends.
    pub terminated: Option<PlaceShown>,
    /// Ledgers, oldest first; the last one may be open.
    pub ledgers: Vec<LedgerStats>,
    /// Cursors by subscription.
    pub cursors: BTreeMap<String, CursorStats>,
    /// Properties of the topic.
    pub properties: BTreeMap<String, String>,
}

/// Sums of one host, cheap to make.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HostCounts {
    /// 0 recovering, 1 open, 2 full, 3 failed (`psb_store_state`, broker 7.3).
    pub state: u8,
    /// Topics known.
    pub topics: u64,
    /// Topics in memory.
    pub loaded: u64,
    /// Subscriptions of loaded topics.
    pub subscriptions: u64,
    /// Connected producers.
    pub producers: u64,
    /// Connected consumers.
    pub consumers: u64,
    /// Entries to be consumed still, of loaded topics.
    pub backlog: u64,
    /// Published since the process began.
    pub published: Flow,
    /// Delivered since the process began.
    pub delivered: Flow,
    /// Bytes stored, of loaded topics.
    pub storage_bytes: u64,
    /// Entries found damaged since the process began, counted each time (`psb_crc_errors_total`).
    pub damaged: u64,
    /// Bytes of segments read through to find damage (`psb_scrubbed_bytes_total`).
    pub scrubbed_bytes: u64,
}
