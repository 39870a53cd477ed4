//! `standalone` end to end: native clients over sockets, real files, both drivers.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "each test uses its part, fails by panicking, and has real clocks"
)]

mod broker;
mod client;
mod messages;
mod rules;
mod websocket;
