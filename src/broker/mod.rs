//! The embedded broker's core: one topic is a value owned by one core. Typed commands of connections, and what became of storage,
//! go in; commands for connections, and storage asked for by value, come out. No socket, file or clock.

mod ack_set;
pub mod admin;
pub mod catalogue;
pub mod cursor;
mod dedup;
mod dispatch;
mod entries;
pub mod event;
pub mod host;
pub mod ledgers;
mod meter;
mod producers;
pub mod properties;
mod publish;
pub mod schema;
pub mod settings;
pub mod stats;
mod subscription;
pub mod topic;
