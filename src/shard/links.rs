//! What a core's logic may do with its connections: a table of outboxes and wishes, with no ring and no socket in it.
//! A driver (ring, portable, or a simulated world in tests) carries the wishes out and reports what became of them.

use crate::base::table::Key;
use crate::base::time::{Clock, Instant};
use crate::shard::mesh::{Mail, ShardId};
use std::net::SocketAddr;
use std::time::Duration;

/// Names one connection of one core; a stale key finds nothing.
pub type ConnKey = Key;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// We asked for it and everything in the outbox was sent.
    Local,
    /// The peer ended it (EOF answered with a close, or a lingering close ran out).
    Peer,
    /// Reset, broken pipe, time-out: the errno.
    Errno(i32),
    /// It lives on at another core.
    Moved,
}

/// All connections are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all connection slots of this core are taken")]
pub struct Full;

/// A core's logic: told what happened, acts through [`Links`]. No futures, no I/O, no clock; never called twice at once.
pub trait Handler {
    /// The core runs; called once, before anything else.
    fn on_start(&mut self, io: &mut Links);
    /// A client connected.
    fn on_accept(&mut self, io: &mut Links, key: ConnKey, peer: SocketAddr);
    /// A [`Links::connect`] ended: connected, or the errno. After an error the key is dead.
    fn on_connected(&mut self, io: &mut Links, key: ConnKey, result: Result<(), i32>);
    /// Bytes arrived. The buffer is the core's and may be changed in place; it is gone after the call.
    fn on_bytes(&mut self, io: &mut Links, key: ConnKey, bytes: &mut [u8]);
    /// The peer will send nothing more (half close). The connection stays until closed.
    fn on_eof(&mut self, io: &mut Links, key: ConnKey);
    /// The outbox fell to the mark given to [`Links::notify_below`].
    fn on_drained(&mut self, io: &mut Links, key: ConnKey);
    /// The connection is gone; last call for this key.
    fn on_closed(&mut self, io: &mut Links, key: ConnKey, why: Closed);
    /// A timer armed with [`Links::arm`] is due.
    fn on_timer(&mut self, io: &mut Links, token: u64);
    /// A [`Links::resolve`] ended.
    fn on_resolved(&mut self, io: &mut Links, token: u64, result: Result<Vec<SocketAddr>, String>);
    /// Another core has something for us.
    fn on_mail(&mut self, io: &mut Links, from: ShardId, mail: Mail);
    /// All completions of this turn were delivered; outboxes filled now still leave in this turn.
    fn on_turn_end(&mut self, io: &mut Links);
    /// The process is to stop: accepting has ended; close what is open, spread over `spread`.
    fn on_stop(&mut self, io: &mut Links, spread: Duration);
    /// True when nothing is left to wait for after [`Handler::on_stop`].
    fn is_quiet(&self) -> bool;
}

/// The connections of one core.
pub struct Links {
    clock: Clock,
}

impl Links {
    /// The time of this turn.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Which core this is.
    pub fn shard(&self) -> ShardId {
        unimplemented!()
    }

    /// How many cores there are.
    pub fn shards(&self) -> usize {
        unimplemented!()
    }

    /// Begins a connection; [`Handler::on_connected`] tells how it went. Fails at once when the table is full.
    pub fn connect(&mut self, _to: SocketAddr, _time_max: Duration) -> Result<ConnKey, Full> {
        unimplemented!()
    }

    /// Looks a host name up on a helper thread; [`Handler::on_resolved`] brings the result.
    pub fn resolve(&mut self, _token: u64, _host: &str, _port: u16) {
        unimplemented!()
    }

    /// The outbox: what is appended leaves at the end of this turn. `None`: the key is dead or closing.
    pub fn outbox(&mut self, _key: ConnKey) -> Option<&mut Vec<u8>> {
        unimplemented!()
    }

    /// Bytes not yet taken by the kernel.
    pub fn queued(&self, _key: ConnKey) -> usize {
        unimplemented!()
    }

    /// Asks for one [`Handler::on_drained`] once at most `mark` bytes are queued (at the earliest in the next turn).
    pub fn notify_below(&mut self, _key: ConnKey, _mark: usize) {
        unimplemented!()
    }

    /// Address of the other end.
    pub fn peer(&self, _key: ConnKey) -> Option<SocketAddr> {
        unimplemented!()
    }

    /// Our own address on this connection.
    pub fn local(&self, _key: ConnKey) -> Option<SocketAddr> {
        unimplemented!()
    }

    /// Stops reading. Bytes already received (a few buffers at most) are still delivered.
    pub fn pause(&mut self, _key: ConnKey) {
        unimplemented!()
    }

    /// Reads again.
    pub fn resume(&mut self, _key: ConnKey) {
        unimplemented!()
    }

    /// Sends what is in the outbox, ends our direction, reads and drops what still comes until the peer ends its own
    /// or `linger` has passed, then closes. [`Handler::on_bytes`] is not called any more.
    pub fn close(&mut self, _key: ConnKey, _linger: Duration) {
        unimplemented!()
    }

    /// Drops the outbox and resets the connection.
    pub fn abort(&mut self, _key: ConnKey) {
        unimplemented!()
    }

    /// Arms a timer. Tokens are the caller's; arming again does not disarm: a token that finds nothing due is harmless.
    pub fn arm(&mut self, _at: Instant, _token: u64) {
        unimplemented!()
    }

    /// Sends mail to another core (or this one). A full mailbox gives it back.
    pub fn mail(&mut self, _to: ShardId, _mail: Mail) -> Result<(), Mail> {
        unimplemented!()
    }

    /// Hands the live socket to another core, where it arrives as [`Mail::Adopt`]'s key with `head`, the bytes read here
    /// and to be read again there.
    pub fn migrate(&mut self, _key: ConnKey, _to: ShardId, _head: Vec<u8>) {
        unimplemented!()
    }

    /// Counters of the I/O layer.
    pub fn stats(&self) -> IoStats {
        unimplemented!()
    }

    /// A table driven by hand, for tests and simulations of handlers.
    pub fn simulated(_shard: ShardId, _shards: usize) -> Links {
        unimplemented!()
    }
}

/// Counters of one core's I/O.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoStats {
    /// Turns of the loop.
    pub turns: u64,
    /// `io_uring_enter` calls (or polls).
    pub enters: u64,
    /// Completions.
    pub completions: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections closed.
    pub closed: u64,
    /// Connections open.
    pub open: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Receives that found no free buffer.
    pub starved: u64,
    /// Times the core went to sleep.
    pub parks: u64,
    /// Completions for a key that was already dead: must stay 0.
    pub stale: u64,
    /// Times the watchdog woke this core.
    pub stalls: u64,
}
