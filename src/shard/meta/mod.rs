//! The meta store: a small versioned map from text to bytes, durable at commit, for what is rarely written and not part of
//! any log (tenants, namespaces, policies, partitioned topics, schemas). One thread of its own writes it; every core is
//! told of each change, in the order of the commits.

mod writer;

use std::sync::Arc;

pub(crate) use writer::MetaWriter;
pub use writer::{MetaError, MetaStore};

/// One key of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaChange {
    /// Which.
    pub key: String,
    /// What must be there now, or nothing of the whole write is done.
    pub expect: Expect,
    /// What is to be there; `None` deletes.
    pub value: Option<Vec<u8>>,
}

/// What a change expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Whatever it is.
    Any,
    /// Nothing.
    Absent,
    /// A value of this version.
    Version(u64),
}

/// A key as it was read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaRecord {
    /// Which.
    pub key: String,
    /// Number of the commit that wrote it: greater than that of every earlier one, of whatever key.
    pub version: u64,
    /// `None`: it was deleted.
    pub value: Option<Vec<u8>>,
}

/// What a core hears of the meta store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetaNews {
    /// Committed and durable. Every core hears of every commit, in the order of the commits; the asker's answer is sent
    /// after the news lies in all mailboxes.
    Applied {
        /// All keys of the write.
        records: Arc<Vec<MetaRecord>>,
        /// At the core that asked: its ticket.
        ticket: Option<u64>,
    },
    /// Nothing was changed. Only the core that asked hears of it.
    Refused {
        /// From the request.
        ticket: u64,
        /// Why.
        why: MetaRefusal,
    },
}

/// Why a write was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetaRefusal {
    /// Somebody else was faster: read again, then decide anew.
    #[error("{key} is not what the change expected")]
    Conflict {
        /// The first key that did not fit.
        key: String,
    },
    /// The store failed, or there is none. To try again is of no use before an operator has looked.
    #[error("{0}")]
    Failed(String),
}

#[cfg(test)]
mod tests;
