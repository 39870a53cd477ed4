//! What a core's logic may do with its connections: a table of outboxes and wishes, with no ring and no socket in it.
//! A driver (ring, portable, or a simulated world in tests) carries the wishes out and reports what became of them
//! through the calls in `events.rs`; `simulate.rs` lets a test play the driver by hand.

use crate::base::limit;
use crate::base::pool::BufferPool;
use crate::base::table::{Key, Table};
use crate::base::time::{Clock, Instant};
use crate::base::wheel::Wheel;
use crate::shard::conn::{Conn, Leave, Phase};
use crate::shard::mesh::{Letter, Mail, Mesh, ShardId};
use crate::shard::meta::{MetaChange, MetaNews};
use crate::store::{Completion, DiskError, DiskOp, OpId, StoreId};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Names one connection of one core; a stale key finds nothing.
pub type ConnKey = Key;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// We asked for it: everything in the outbox was sent and the peer ended its direction too, or it was an abort.
    Local,
    /// The peer ended it first (EOF answered with a close), or a lingering close ran out.
    Peer,
    /// Reset, broken pipe, time-out: the errno.
    Errno(i32),
    /// It lives on at another core.
    Moved,
}

/// Which listener a client came by: index into [`RunConfig::listen`](crate::shard::run::RunConfig::listen).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Door(pub u8);

impl Door {
    /// HTTP and WebSocket.
    pub const WEB: Door = Door(0);
    /// Pulsar's binary protocol. [`Links::local`] is known for its clients.
    pub const BINARY: Door = Door(1);
}

/// All slots are taken: of connections, or of writes to the meta store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all slots of this core are taken")]
pub struct Full;

/// A core's logic: told what happened, acts through [`Links`]. No futures, no I/O, no clock; never called twice at once.
pub trait Handler {
    /// The core runs; called once, before anything else.
    fn on_start(&mut self, _io: &mut Links) {}
    /// A client connected.
    fn on_accept(&mut self, io: &mut Links, key: ConnKey, peer: SocketAddr, door: Door);
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
    /// A request of [`Links::disk`] ended.
    fn on_disk(
        &mut self,
        io: &mut Links,
        _store: StoreId,
        _op: OpId,
        _result: Result<Completion, DiskError>,
    ) {
        // Who asks for files hears of them: nobody asked here.
        io.stats.stale += 1;
    }
    /// The meta store changed, or refused a write of ours.
    fn on_meta(&mut self, _io: &mut Links, _news: MetaNews) {}
    /// Another core has something for us. Within a turn mail, news of the meta store included, comes before what arrived
    /// on connections.
    fn on_mail(&mut self, io: &mut Links, from: ShardId, mail: Mail);
    /// All completions of this turn were delivered; outboxes filled now still leave in this turn.
    fn on_turn_end(&mut self, io: &mut Links);
    /// The process is to stop: accepting has ended; close what is open, spread over `spread`.
    fn on_stop(&mut self, io: &mut Links, spread: Duration);
    /// True when nothing is left to wait for after [`Handler::on_stop`].
    fn is_quiet(&self) -> bool;
}

/// A host name to be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Comes back with the answer.
    pub token: u64,
    /// Host name.
    pub host: String,
    /// Port of the addresses wanted.
    pub port: u16,
}

/// Where mail for other cores goes.
pub(crate) enum Post {
    Mesh(Arc<Mesh>),
    /// A simulation collects it.
    Kept(Vec<(ShardId, Mail)>),
}

/// The connections of one core.
pub struct Links {
    pub(crate) clock: Clock,
    pub(crate) shard: ShardId,
    pub(crate) shards: usize,
    pub(crate) connections_max: usize,
    pub(crate) conns: Table<Conn>,
    /// Connections whose next step is to be looked at.
    pub(crate) dirty: VecDeque<ConnKey>,
    /// Connections that asked for a drained notice: looked at in the next turn.
    pub(crate) watched: Vec<ConnKey>,
    pub(crate) pool: BufferPool,
    /// The handler's timers.
    pub(crate) timers: Wheel,
    /// Our own: time-outs of connects and lingering closes; tokens are keys.
    pub(crate) deadlines: Wheel,
    pub(crate) due: Vec<u64>,
    pub(crate) post: Post,
    pub(crate) own_mail: VecDeque<Mail>,
    pub(crate) questions: Vec<Question>,
    /// Answers that needed no look-up: delivered in the next turn.
    pub(crate) answers: Vec<(u64, Result<Vec<SocketAddr>, String>)>,
    /// Letters to ourselves: delivered in the next turn.
    pub(crate) letters: VecDeque<Letter>,
    /// Requests to files, in the order they were asked for.
    pub(crate) disk: VecDeque<(StoreId, OpId, DiskOp)>,
    /// Writes to the meta store that were not yet handed on, and how many were not yet answered.
    pub(crate) meta: VecDeque<(u64, Vec<MetaChange>)>,
    pub(crate) meta_waiting: usize,
    pub(crate) stats: IoStats,
}

impl Links {
    pub(crate) fn new(shard: ShardId, shards: usize, connections_max: usize, post: Post) -> Links {
        Links {
            clock: Clock::default(),
            shard,
            shards,
            connections_max,
            conns: Table::default(),
            dirty: VecDeque::new(),
            watched: Vec::new(),
            pool: BufferPool::default(),
            timers: Wheel::default(),
            deadlines: Wheel::default(),
            due: Vec::new(),
            post,
            own_mail: VecDeque::new(),
            questions: Vec::new(),
            answers: Vec::new(),
            letters: VecDeque::new(),
            disk: VecDeque::new(),
            meta: VecDeque::new(),
            meta_waiting: 0,
            stats: IoStats::default(),
        }
    }

    /// The time of this turn.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Which core this is.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// How many cores there are.
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// Begins a connection; [`Handler::on_connected`] tells how it went. Fails at once when the table is full.
    pub fn connect(&mut self, to: SocketAddr, time_max: Duration) -> Result<ConnKey, Full> {
        if self.conns.len() >= self.connections_max {
            return Err(Full);
        }
        let until = self.clock.now + time_max;
        // What we connect to is a broker, which speaks for many.
        let key = self.insert(Conn { until, large: true, ..Conn::new(Phase::Connecting, None, to) });
        self.deadlines.arm(until, key.to_bits());
        Ok(key)
    }

    /// Looks a host name up on a helper thread; [`Handler::on_resolved`] brings the result, never in this call.
    pub fn resolve(&mut self, token: u64, host: &str, port: u16) {
        let literal = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        match literal.parse::<IpAddr>() {
            Ok(ip) => self.answers.push((token, Ok(vec![SocketAddr::new(ip, port)]))),
            Err(_) => self.questions.push(Question { token, host: host.to_owned(), port }),
        }
    }

    /// The outbox: what is appended leaves at the end of this turn. `None`: the key is dead or closing.
    pub fn outbox(&mut self, key: ConnKey) -> Option<&mut Vec<u8>> {
        let conn = self.conns.get_mut(key).filter(|c| c.writable())?;
        if conn.out.capacity() == 0 {
            conn.out = self.pool.take();
        }
        if !conn.dirty {
            conn.dirty = true;
            self.dirty.push_back(key);
        }
        Some(&mut conn.out)
    }

    /// As [`Links::outbox`], for about so many bytes more.
    pub fn outbox_for(&mut self, key: ConnKey, bytes: usize) -> Option<&mut Vec<u8>> {
        if let Some(conn) = self.conns.get_mut(key).filter(|c| c.writable() && c.out.capacity() == 0) {
            conn.out = self.pool.take_for(bytes);
        }
        self.outbox(key)
    }

    /// Bytes not yet taken by the kernel.
    pub fn queued(&self, key: ConnKey) -> usize {
        self.conns.get(key).map_or(0, Conn::queued)
    }

    /// Asks for one [`Handler::on_drained`] once at most `mark` bytes are queued (at the earliest in the next turn).
    pub fn notify_below(&mut self, key: ConnKey, mark: usize) {
        if let Some(conn) = self.conns.get_mut(key).filter(|c| c.writable())
            && conn.mark.replace(mark).is_none()
        {
            self.watched.push(key);
        }
    }

    /// Address of the other end.
    pub fn peer(&self, key: ConnKey) -> Option<SocketAddr> {
        self.conns.get(key).map(|c| c.peer)
    }

    /// Our own address on this connection, where the driver knows it. Always for clients of [`Door::BINARY`]; for those of
    /// the other door the ring would pay a system call, where it listens on all addresses.
    pub fn local(&self, key: ConnKey) -> Option<SocketAddr> {
        self.conns.get(key)?.local
    }

    /// Stops reading. Bytes already received (a few buffers at most) are still delivered.
    pub fn pause(&mut self, key: ConnKey) {
        self.change(key, |conn| conn.paused = true);
    }

    /// Reads again.
    pub fn resume(&mut self, key: ConnKey) {
        self.change(key, |conn| conn.paused = false);
    }

    /// Sends what is in the outbox, ends our direction, reads and drops what still comes until the peer ends its own
    /// or `linger` has passed, then closes. [`Handler::on_bytes`] is not called any more. With a `linger` of zero the
    /// socket is closed as soon as the outbox is sent.
    pub fn close(&mut self, key: ConnKey, linger: Duration) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        match conn.phase {
            Phase::Connecting => conn.die(false, Closed::Local),
            Phase::Open => {
                conn.why = if conn.eof { Closed::Peer } else { Closed::Local };
                conn.phase = Phase::Ending { linger: !linger.is_zero(), shut: false };
                conn.until = self.clock.now + linger;
                if !linger.is_zero() {
                    self.deadlines.arm(conn.until, key.to_bits());
                }
            }
            Phase::Ending { .. } | Phase::Leaving | Phase::Dead { .. } => return,
        }
        self.touch(key);
    }

    /// Drops the outbox and resets the connection.
    pub fn abort(&mut self, key: ConnKey) {
        self.change(key, |conn| conn.die(true, Closed::Local));
    }

    /// Arms a timer. Tokens are the caller's; arming again does not disarm: a token that finds nothing due is harmless.
    pub fn arm(&mut self, at: Instant, token: u64) {
        self.timers.arm(at, token);
    }

    /// Sends mail to another core (or this one). A full mailbox gives it back.
    pub fn mail(&mut self, to: ShardId, mail: Mail) -> Result<(), Mail> {
        if usize::from(to.0) >= self.shards {
            return Err(mail);
        }
        if to == self.shard {
            if self.own_mail.len() >= limit::MAILBOX_MAX {
                return Err(mail);
            }
            self.own_mail.push_back(mail);
            return Ok(());
        }
        match &mut self.post {
            Post::Mesh(mesh) => mesh.mail(self.shard, to, mail),
            Post::Kept(kept) => {
                kept.push((to, mail));
                Ok(())
            }
        }
    }

    /// Asks for a file operation of a store; [`Handler::on_disk`] brings the result, never in this call. It is begun at the
    /// end of the turn; what must come after another is asked for after the other's result.
    pub fn disk(&mut self, store: StoreId, op: OpId, request: DiskOp) {
        self.disk.push_back((store, op, request));
    }

    /// Asks for a write to the meta store, all of it or nothing; [`Handler::on_meta`] brings the outcome with the ticket.
    /// Refused at once while [`limit::META_WRITES_MAX`] writes of this core are unanswered.
    pub fn write_meta(&mut self, ticket: u64, changes: Vec<MetaChange>) -> Result<(), Full> {
        if self.meta_waiting >= limit::META_WRITES_MAX {
            return Err(Full);
        }
        self.meta_waiting += 1;
        self.meta.push_back((ticket, changes));
        Ok(())
    }

    /// Hands the live socket to another core, where it arrives as [`Mail::Adopt`]'s key with `head`, the bytes read here
    /// and to be read again there; bytes that still arrive here follow in `head`. The outbox is sent first. Here it ends
    /// with [`Closed::Moved`], or with the errno when the other core cannot take it.
    pub fn migrate(&mut self, key: ConnKey, to: ShardId, head: Vec<u8>) {
        if usize::from(to.0) >= self.shards {
            return self.abort(key);
        }
        self.change(key, |conn| {
            if conn.phase == Phase::Open {
                conn.phase = Phase::Leaving;
                conn.leave = Some(Box::new(Leave { to, head }));
            }
        });
    }

    /// Counters of the I/O layer.
    pub fn stats(&self) -> IoStats {
        IoStats { open: self.conns.len() as u64, ..self.stats }
    }

    /// A table driven by hand, for tests and simulations of handlers: see the `simulate_*` and `take_*` calls.
    pub fn simulated(shard: ShardId, shards: usize) -> Links {
        Links::new(shard, shards, limit::CORE_CONNECTIONS_MAX as usize, Post::Kept(Vec::new()))
    }

    pub(crate) fn insert(&mut self, conn: Conn) -> ConnKey {
        let key = self.conns.insert(conn);
        self.touch(key);
        key
    }

    /// Puts a connection on the list of those to look at.
    pub(crate) fn touch(&mut self, key: ConnKey) {
        if let Some(conn) = self.conns.get_mut(key).filter(|c| !c.dirty) {
            conn.dirty = true;
            self.dirty.push_back(key);
        }
    }

    fn change(&mut self, key: ConnKey, change: impl FnOnce(&mut Conn)) {
        if let Some(conn) = self.conns.get_mut(key) {
            change(conn);
            self.touch(key);
        }
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

#[cfg(test)]
mod tests;
