//! `standalone` end to end: native clients over sockets, real files, both drivers.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses its part, and fails by panicking"
)]

mod broker;
mod client;
mod messages;
mod rules;
mod websocket;
