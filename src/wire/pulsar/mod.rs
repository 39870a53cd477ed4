//! The Pulsar binary protocol, both directions: frames, commands, metadata, batches, compression, message
//! ids.

pub mod batch;
#[cfg(test)]
mod broken;
pub mod command;
pub mod compression;
pub mod entry;
pub mod frame;
pub mod hash;
pub mod hot;
pub mod message_id;
pub mod metadata;
#[rustfmt::skip]
pub mod proto;
mod protobuf;

pub use command::Command;
pub use message_id::MessageId;
