//! pulsegate serves Apache Pulsar's WebSocket API.
//!
//! Layers, lowest first: [`base`] (words), [`wire`] (bytes to typed values and back), [`session`] (state machines: one
//! WebSocket client, one broker link), [`broker`] (topics, producers, subscriptions of `standalone`), [`shard`] (one core: sockets, timers, mailboxes), [`service`] (which session
//! speaks to which broker), [`app`] (command line, start, stop). [`config`] and [`metrics`] stand beside.
//! Below `shard` there is no socket, clock, lock or task; `tests/layering.rs` holds that line.

pub mod app;
pub mod base;
pub mod broker;
pub mod config;
pub mod metrics;
pub mod service;
pub mod session;
pub mod shard;
pub mod store;
pub mod wire;
