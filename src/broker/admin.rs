//! What administrators ask of topics (broker 6.4), typed: one variant for each operation on topics of one store. Operations on a
//! partitioned topic, and on all topics of a namespace, are asked of each store and partition by whoever serves them.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::base::id::Position;
use crate::broker::stats::{HostCounts, InternalStats, TopicStats};

/// Where a subscription is put. Positions beyond the log are clamped to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before the first entry there is.
    Earliest,
    /// Behind the last one.
    Latest,
    /// Before this entry.
    Before(Position),
    /// Behind this entry.
    Behind(Position),
    /// Before the first entry published at this time or later, milliseconds since the epoch.
    Time(u64),
}

/// Which messages expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expire {
    /// Those older than so many seconds.
    Seconds(u64),
    /// This one and all before it.
    UpTo(Position),
}

/// A change of properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PropertiesChange {
    /// These are put over what is there.
    Merge(BTreeMap<String, String>),
    /// These replace what is there.
    Replace(BTreeMap<String, String>),
    /// One goes; no error if it is not there.
    Remove(String),
}

impl PropertiesChange {
    /// Carries it out.
    pub fn apply(&self, properties: &mut BTreeMap<String, String>) {
        match self {
            PropertiesChange::Merge(given) => properties.extend(given.clone()),
            PropertiesChange::Replace(given) => properties.clone_from(given),
            PropertiesChange::Remove(key) => drop(properties.remove(key)),
        }
    }
}

/// What statistics are to hold beyond what costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatsOptions {
    /// Bytes of each subscription's backlog (`subscriptionBacklogSize`).
    pub backlog_bytes: bool,
    /// Publish time of the earliest message of each backlog (`getEarliestTimeInBacklog`). Reads from the disk.
    pub earliest: bool,
    /// Leave publishers out.
    pub exclude_publishers: bool,
    /// Leave consumers out.
    pub exclude_consumers: bool,
}

/// A question or command. Topics are full names, `persistent://tenant/namespace/local`, partition suffix included. A subscription
/// that must exist and does not is refused with 404, so is a topic.
#[derive(Clone, Debug, PartialEq)]
pub enum AdminAsk {
    /// Make a topic. Refused with 409 if it is there. `Done`.
    Create {
        /// Topic.
        topic: String,
        /// Its properties.
        properties: BTreeMap<String, String>,
    },
    /// Delete a topic. Refused with 412 if clients are connected and it is not forced. `Done`.
    Delete {
        /// Topic.
        topic: String,
        /// Send its clients away first.
        force: bool,
    },
    /// Does it exist? `Exists`.
    Exists {
        /// Topic.
        topic: String,
    },
    /// Topics of a namespace, `tenant/namespace`, both domains, without order. `Names`.
    List {
        /// Namespace.
        namespace: String,
    },
    /// `Stats`.
    Stats {
        /// Topic.
        topic: String,
        /// How much.
        options: StatsOptions,
    },
    /// Statistics of all loaded topics, of one namespace or of all. `AllStats`.
    AllStats {
        /// `tenant/namespace`.
        namespace: Option<String>,
    },
    /// Also what `internal-info` shows. `Internal`.
    Internal {
        /// Topic.
        topic: String,
    },
    /// Names of subscriptions, connected readers included. `Names`.
    Subscriptions {
        /// Topic.
        topic: String,
    },
    /// Make a durable subscription, and the topic if it is missing and may be made. 409 if the subscription is there. `Done`.
    CreateSubscription {
        /// Topic.
        topic: String,
        /// Subscription.
        subscription: String,
        /// Where it begins.
        at: Place,
        /// Its properties.
        properties: BTreeMap<String, String>,
        /// Asked to be replicated; kept, without effect.
        replicated: bool,
    },
    /// Delete a subscription. 412 if consumers are connected and it is not forced. `Done`.
    DeleteSubscription {
        /// Topic.
        topic: String,
        /// Subscription.
        subscription: String,
        /// Send its consumers away first.
        force: bool,
    },
    /// Consume so many entries. `Done`.
    Skip {
        /// Topic.
        topic: String,
        /// Subscription.
        subscription: String,
        /// How many; `None`: all.
        entries: Option<u64>,
    },
    /// Consume what is old. 409 if nothing is. `Done`.
    Expire {
        /// Topic.
        topic: String,
        /// Subscription; `None`: all of them.
        subscription: Option<String>,
        /// What expires.
        what: Expire,
    },
    /// Put a subscription somewhere; its consumers are closed and come again. `Done`.
    Reset {
        /// Topic.
        topic: String,
        /// Subscription.
        subscription: String,
        /// Where.
        at: Place,
        /// First message of the batch to be sent; `None`: all.
        batch_index: Option<u32>,
    },
    /// The n-th message, from 1, of those not consumed. `Entry`.
    Peek {
        /// Topic.
        topic: String,
        /// Subscription.
        subscription: String,
        /// Which.
        position: u64,
    },
    /// One entry. `Entry`.
    Entry {
        /// Topic.
        topic: String,
        /// Which.
        at: Position,
    },
    /// The n-th entry, from 1, from one end of the topic. `Entry`.
    Examine {
        /// Topic.
        topic: String,
        /// Count from the first entry; otherwise from the last.
        from_earliest: bool,
        /// Which.
        position: u64,
    },
    /// `Id`.
    LastId {
        /// Topic.
        topic: String,
    },
    /// The first entry published at a time or later; beyond the end, the place behind the last one. `Id`.
    IdByTime {
        /// Topic.
        topic: String,
        /// Milliseconds since the epoch.
        time: u64,
    },
    /// Seal. 406 for a non-persistent topic. `Id`.
    Terminate {
        /// Topic.
        topic: String,
    },
    /// Send clients away and let go of the topic's memory. `Done`.
    Unload {
        /// Topic.
        topic: String,
    },
    /// Consume everything and delete what retention does not keep. `Done`.
    Truncate {
        /// Topic.
        topic: String,
    },
    /// Bytes behind an entry. `Size`.
    BacklogSize {
        /// Topic.
        topic: String,
        /// The entry.
        behind: Position,
    },
    /// `Properties`.
    Properties {
        /// Topic.
        topic: String,
    },
    /// `Done`.
    ChangeProperties {
        /// Topic.
        topic: String,
        /// How.
        change: PropertiesChange,
    },
    /// `Properties`.
    SubscriptionProperties {
        /// Topic.
        topic: String,
        /// Subscription.
        subscription: String,
    },
    /// `Done`.
    ChangeSubscriptionProperties {
        /// Topic.
        topic: String,
        /// Subscription.
        subscription: String,
        /// How.
        change: PropertiesChange,
    },
    /// Record that compaction was asked for; it is finished at once (broker 2.9). `Done`.
    Compact {
        /// Topic.
        topic: String,
    },
    /// When that was, milliseconds since the epoch; 0: never. `Size`.
    Compacted {
        /// Topic.
        topic: String,
    },
    /// Unload all topics of a namespace, or of all. `Done`.
    UnloadNamespace {
        /// `tenant/namespace`.
        namespace: Option<String>,
    },
    /// Skip everything in a namespace. `Done`.
    ClearBacklog {
        /// `tenant/namespace`.
        namespace: String,
        /// Of this subscription only.
        subscription: Option<String>,
    },
    /// Delete a subscription of all topics of a namespace. 412 if consumers are connected to one. `Done`.
    Unsubscribe {
        /// `tenant/namespace`.
        namespace: String,
        /// Subscription.
        subscription: String,
    },
    /// Check backlog quotas now. `Done`.
    CheckQuotas,
    /// `Counts`.
    Counts,
    /// Publish one message to an internal topic and read it back. `Done`, or 500 with the reason.
    Health,
}

/// A message id as REST shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageIdShown {
    /// Ledger.
    pub ledger: u64,
    /// Entry; -1: before the first.
    pub entry: i64,
    /// Partition; -1: none.
    pub partition: i32,
    /// Last message of a batch entry; -1: not a batch.
    pub batch_index: i32,
}

/// An entry read for an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryShown {
    /// Where it is.
    pub at: Position,
    /// As it was published, from its checksum magic on.
    pub entry: Bytes,
}

/// A refusal: HTTP status and text (broker 6.4).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {reason}")]
pub struct Refused {
    /// HTTP status.
    pub status: u16,
    /// For the client's eyes.
    pub reason: String,
}

impl Refused {
    /// A refusal.
    pub fn new(status: u16, reason: impl Into<String>) -> Refused {
        Refused { status, reason: reason.into() }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum AdminAnswer {
    /// It is done, and durable where it has to be.
    Done,
    /// It is not.
    Refused(Refused),
    /// Whether it exists.
    Exists(bool),
    /// Names.
    Names(Vec<String>),
    /// Of one topic.
    Stats(Box<TopicStats>),
    /// Of many topics, by full name.
    AllStats(Vec<(String, TopicStats)>),
    /// What is stored.
    Internal(Box<InternalStats>),
    /// A message id.
    Id(MessageIdShown),
    /// An entry.
    Entry(EntryShown),
    /// Bytes, or a time.
    Size(u64),
    /// Properties.
    Properties(BTreeMap<String, String>),
    /// Sums.
    Counts(Box<HostCounts>),
}

impl From<Refused> for AdminAnswer {
    fn from(refused: Refused) -> Self {
        AdminAnswer::Refused(refused)
    }
}
