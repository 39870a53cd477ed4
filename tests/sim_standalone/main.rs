//! `standalone` in a simulated world: native clients, several cores, restarts. Deterministic; no socket, file or clock.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses its part, and fails by panicking"
)]

mod client;
mod messages;
mod questions;
mod world;
