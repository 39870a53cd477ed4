//! What a host goes by.

use std::time::Duration;

use crate::base::limit;
use crate::broker::catalogue::Effective;
use crate::store::StoreId;

/// When a topic's ledger is closed and another opened (broker 3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rolling {
    /// At so many entries (`managedLedgerMaxEntriesPerLedger`).
    pub entries_max: u64,
    /// At so many bytes (`managedLedgerMaxSizePerLedgerMbytes`). Ours: less, as a ledger is our unit of retention.
    pub bytes_max: u64,
    /// But not sooner than this (`managedLedgerMinLedgerRolloverTimeMinutes`). Ours: no minimum.
    pub age_min: Duration,
    /// After this in any case, if there is an entry (`managedLedgerMaxLedgerRolloverTimeMinutes`).
    pub age_max: Duration,
}

impl Default for Rolling {
    fn default() -> Self {
        Rolling {
            entries_max: 50_000,
            bytes_max: 256 << 20,
            age_min: Duration::ZERO,
            age_max: Duration::from_secs(240 * 60),
        }
    }
}

/// How often is looked after topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upkeep {
    /// Acknowledgements are saved after this (`cursorFlushIntervalMs`).
    pub cursor_flush: Duration,
    /// Retention, idle topics, cursors of readers.
    pub tick: Duration,
    /// Old messages (`messageExpiryCheckIntervalInMinutes`).
    pub expiry: Duration,
    /// Backlog quotas (`backlogQuotaCheckIntervalInSeconds`).
    pub quota: Duration,
    /// Topics that nobody uses (`brokerDeleteInactiveTopicsFrequencySeconds`).
    pub inactive: Duration,
    /// Subscriptions that nobody uses (`subscriptionExpiryCheckIntervalInMinutes`).
    pub subscriptions: Duration,
    /// What deduplication knows is saved (`brokerDeduplicationSnapshotIntervalSeconds`).
    pub sequences: Duration,
    /// Rates are made.
    pub rates: Duration,
    /// A topic without clients goes from memory after this.
    pub idle: Duration,
    /// A checkpoint is made this often, if anything changed.
    pub checkpoint: Duration,
    /// All that is settled is read through, to find rot (`scrubIntervalDays`); zero: never.
    pub scrub: Duration,
}

impl Default for Upkeep {
    fn default() -> Self {
        Upkeep {
            cursor_flush: Duration::from_millis(20),
            tick: Duration::from_secs(5),
            expiry: Duration::from_secs(300),
            quota: Duration::from_secs(60),
            inactive: Duration::from_secs(60),
            subscriptions: Duration::from_secs(300),
            sequences: Duration::from_secs(120),
            rates: Duration::from_secs(60),
            idle: limit::TOPIC_IDLE_MAX,
            checkpoint: Duration::from_secs(60),
            scrub: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// What a host must know beside its log.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Which store it owns.
    pub store: StoreId,
    /// How many stores the data folder has.
    pub stores: u16,
    /// The cluster's name: begins the names of producers that have none.
    pub cluster: String,
    /// The broker's own rules, over which policies are laid.
    pub rules: Effective,
    /// When ledgers roll.
    pub rolling: Rolling,
    /// How often is looked after topics.
    pub upkeep: Upkeep,
}

impl HostConfig {
    /// With the rest as it is when nothing is set.
    pub fn new(store: StoreId, stores: u16, cluster: &str) -> HostConfig {
        HostConfig {
            store,
            stores,
            cluster: cluster.to_owned(),
            rules: Effective::default(),
            rolling: Rolling::default(),
            upkeep: Upkeep::default(),
        }
    }
}
