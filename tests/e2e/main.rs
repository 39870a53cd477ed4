//! The gateway end to end: real sockets, an independent WebSocket client, a small broker in this process. Every case runs
//! on the ring driver and on the portable one. Waits are bounded waits for events.

// A test's own threads and clocks are no part of the product.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, clippy::unwrap_used)]

mod broker;
mod cases;
mod cases_clients;
mod gateway;
