//! State machines, one value each: a WebSocket producer, consumer or reader session, and the client side of a broker
//! link. Events go in by `on_*`, outputs come out of `poll_*`; no socket, clock or random number lives here.

pub mod arena;
pub mod consumer;
pub mod inbound;
pub mod producer;
pub mod replies;
pub mod send_queue;
pub mod upstream;

use crate::base::pool::BufferPool;
use crate::base::time::Clock;
use crate::session::replies::Replies;
use crate::wire::text::JsonReader;

/// What a session borrows from its core for the length of one call.
pub struct Context<'a> {
    /// The time of this turn.
    pub clock: Clock,
    /// Where answers to the client go.
    pub replies: Replies<'a>,
    /// Reads texts.
    pub json: &'a mut JsonReader,
    /// Spare buffers.
    pub pool: &'a mut BufferPool,
}

/// The client must be told goodbye with this code and reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goodbye {
    /// RFC 6455 section 7.4, or 4000 + N (API 9.3 and its deliberate differences).
    pub code: u16,
    /// At most 123 bytes.
    pub reason: &'static str,
}

/// An undecodable command of a consumer or reader.
pub const GOODBYE_UNREADABLE: Goodbye = Goodbye { code: 4003, reason: "Failed to de-serialize from JSON" };
