//! The log of the embedded broker: topics, ledgers, cursors and entries that survive a crash. `docs/log-format.md` is the
//! format and the promises; this is the code that keeps them.
//!
//! Nothing here touches a file. [`Log`] asks for [`DiskOp`]s by value and is told what became of each; whoever owns a disk
//! (a core, or a seeded simulation) carries them out. [`recover()`] is a pure function over what the files hold.

pub mod acks;
mod buffer;
pub mod checkpoint;
mod codec;
pub mod disk;
pub mod frame;
pub mod index;
pub mod journal;
pub mod log;
pub mod memory;
pub mod reads;
pub mod rebuild;
pub mod record;
pub mod recover;
pub mod segment;
pub mod settle;
pub mod state;

pub use disk::{Completion, DiskError, DiskOp, FileName, OpId};
pub use log::{Config, Event, Log, LogError, Ticket};
pub use reads::{Found, Lookup, ReadError, ReadId};
pub use record::{Acks, CursorSet, Dedup, Record, TopicPut};
pub use recover::{Contents, Damage, Loss, Options, RecoverError, Recovered, examine, recover, recover_with};
pub use segment::Stored;
pub use state::{Cursor, Ledger, State, Topic};

/// Which of the data folder's stores: from 0. A topic's name decides it, so it is the same on every core and after every start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub u16);

/// A topic's number in its store. Chosen by the broker, never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub u64);

/// A subscription's number in its topic. Chosen by the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CursorId(pub u64);
