//! What cores may say to each other: plain data over bounded queues, and nothing else.

use crate::metrics::CoreReport;
use crate::shard::links::ConnKey;
use std::net::SocketAddr;

/// Number of a core, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// To let a core ask for more, add a variant here and nowhere else. Plain data only.
#[derive(Debug)]
pub enum Mail {
    /// A socket that another core handed over, with the bytes already read from it.
    Adopt {
        /// Its key here.
        key: ConnKey,
        /// The client.
        peer: SocketAddr,
        /// Bytes to be read again.
        head: Vec<u8>,
    },
    /// Asks for a report of counters and sessions.
    Report {
        /// Comes back with the answer.
        ticket: u64,
        /// List the sessions, not only the counters.
        sessions: bool,
    },
    /// The answer to [`Mail::Report`].
    Reported {
        /// From the question.
        ticket: u64,
        /// The core's report.
        report: Box<CoreReport>,
    },
}
