//! A [`Links`] driven by hand: a test plays the network, the clock and the other cores. Nothing happens by itself: wishes
//! are carried out by [`Links::simulate_turn`], which a driver would do at the end of each turn.

use crate::base::time::{Clock, UnixMillis};
use crate::shard::conn::{Reading, Wish};
use crate::shard::links::{Closed, ConnKey, Door, Handler, Links, Post, Question};
use crate::shard::mesh::{Letter, Mail, ShardId};
use crate::shard::meta::{MetaChange, MetaNews};
use crate::store::{Completion, DiskError, DiskOp, OpId, StoreId};
use std::net::SocketAddr;
use std::time::Duration;

/// Rounds of wishes in one simulated turn: more means that handler and links answer each other for ever.
const ROUNDS_MAX: usize = 10_000;

impl Links {
    /// A client connects.
    pub fn simulate_accept<H: Handler>(&mut self, handler: &mut H, peer: SocketAddr) -> ConnKey {
        self.accepted(handler, 0, peer, None, Door::WEB).expect("a simulation stays below the table's size")
    }

    /// A client connects by that door, having dialled `local`.
    pub fn simulate_accept_at<H: Handler>(
        &mut self,
        handler: &mut H,
        peer: SocketAddr,
        local: SocketAddr,
        door: Door,
    ) -> ConnKey {
        self.accepted(handler, 0, peer, Some(local), door).expect("a simulation stays below the table's size")
    }

    /// Ends a request of [`Links::take_disk`].
    pub fn simulate_disk<H: Handler>(
        &mut self,
        handler: &mut H,
        store: StoreId,
        op: OpId,
        result: Result<Completion, DiskError>,
    ) {
        self.letter(handler, Letter::Disk { store, op, result });
    }

    /// The meta store has news.
    pub fn simulate_meta<H: Handler>(&mut self, handler: &mut H, news: MetaNews) {
        self.letter(handler, Letter::Meta(news));
    }

    /// Ends a connect of [`Links::pending_connects`].
    pub fn simulate_connected<H: Handler>(&mut self, handler: &mut H, key: ConnKey, result: Result<(), i32>) {
        self.connected(handler, key, result.map(|()| (0, None)));
    }

    /// Bytes arrive. A paused connection gets them too, as bytes already received do.
    pub fn simulate_bytes<H: Handler>(&mut self, handler: &mut H, key: ConnKey, bytes: &[u8]) {
        self.received(handler, key, &mut bytes.to_vec());
    }

    /// The peer ends its direction.
    pub fn simulate_eof<H: Handler>(&mut self, handler: &mut H, key: ConnKey) {
        self.read_eof(handler, key);
    }

    /// The connection fails with an errno; the handler hears of it in the next turn.
    pub fn simulate_failure(&mut self, key: ConnKey, errno: i32) {
        if let Some(conn) = self.conns.get_mut(key) {
            conn.die(false, Closed::Errno(errno));
        }
        self.touch(key);
    }

    /// Another core, or this one, sends mail.
    pub fn simulate_mail<H: Handler>(&mut self, handler: &mut H, from: ShardId, mail: Mail) {
        handler.on_mail(self, from, mail);
    }

    /// Answers a question of [`Links::take_questions`].
    pub fn simulate_resolved<H: Handler>(
        &mut self,
        handler: &mut H,
        token: u64,
        result: Result<Vec<SocketAddr>, String>,
    ) {
        self.letter(handler, Letter::Resolved { token, result });
    }

    /// Moves both clocks forward. Timers fire in the next turn.
    pub fn simulate_time(&mut self, by: Duration) {
        let Clock { now, wall } = self.clock();
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.set_clock(Clock { now: now + by, wall: UnixMillis(wall.0.saturating_add(millis)) });
    }

    /// One turn without the network: due timers and notices, `on_turn_end`, then all wishes. What is sent stays queued
    /// until [`Links::take_outbox`]; a closed connection with nothing queued ends at once, as if its peer had agreed.
    pub fn simulate_turn<H: Handler>(&mut self, handler: &mut H) {
        self.run_due(handler);
        handler.on_turn_end(self);
        let mut rounds = 0;
        while let Some(key) = self.next_dirty() {
            while let Some(wish) = self.step(key) {
                rounds += 1;
                assert!(rounds < ROUNDS_MAX, "the wishes of {key:?} never end");
                self.carry_out_simulated(handler, key, wish);
            }
        }
    }

    fn carry_out_simulated<H: Handler>(&mut self, handler: &mut H, key: ConnKey, wish: Wish) {
        match wish {
            // Answered by the test.
            Wish::Connect | Wish::Send | Wish::Read => {}
            Wish::StopRead => self.read_stopped(key),
            Wish::ShutdownWrite => {
                self.write_ended(key);
                self.read_eof(handler, key);
            }
            Wish::Cancel => {
                let Some(conn) = self.conns.get_mut(key) else { return };
                (conn.reading, conn.sending) = (Reading::Off, false);
                if conn.busy {
                    self.connected(handler, key, Err(rustix::io::Errno::CANCELED.raw_os_error()));
                } else {
                    self.touch(key);
                }
            }
            Wish::Close { .. } => self.closed(handler, key),
            Wish::Move => {
                let (leave, peer) = (self.leaving(key), self.peer(key));
                if let (Some(leave), Some(peer), Post::Kept(kept)) = (leave, peer, &mut self.post) {
                    kept.push((leave.to, Mail::Adopt { key, peer, head: leave.head }));
                }
                self.moved(handler, key, Ok(()));
            }
        }
    }

    /// Takes what was sent on a connection, as if the kernel had. A close that waited for it goes on in the next turn.
    pub fn take_outbox<H: Handler>(&mut self, handler: &mut H, key: ConnKey) -> Vec<u8> {
        let mut taken = Vec::new();
        let Some(conn) = self.conns.get_mut(key) else { return taken };
        let (wire_length, sending) = (conn.wire_length - conn.sent, conn.sending);
        taken.extend_from_slice(&conn.wire[conn.sent..]);
        taken.append(&mut conn.out);
        if sending && let Some((wire, _)) = self.take_wire(key) {
            self.sent(handler, key, wire, Ok(wire_length));
        }
        taken
    }

    /// Connects begun and not yet answered, in slot order.
    pub fn pending_connects(&mut self) -> Vec<(ConnKey, SocketAddr)> {
        let waiting = self.conns.iter().filter(|(_, conn)| conn.busy && conn.socket.is_none());
        waiting.map(|(key, conn)| (key, conn.peer)).collect()
    }

    /// File operations asked for, in their order.
    pub fn take_disk(&mut self) -> Vec<(StoreId, OpId, DiskOp)> {
        self.disk.drain(..).collect()
    }

    /// Writes to the meta store, with their tickets, in their order.
    pub fn take_meta(&mut self) -> Vec<(u64, Vec<MetaChange>)> {
        self.meta.drain(..).collect()
    }

    /// Names to be looked up.
    pub fn take_questions(&mut self) -> Vec<Question> {
        std::mem::take(&mut self.questions)
    }

    /// Mail for other cores; a hand-over appears as the [`Mail::Adopt`] it becomes there.
    pub fn take_mail(&mut self) -> Vec<(ShardId, Mail)> {
        match &mut self.post {
            Post::Kept(kept) => std::mem::take(kept),
            Post::Mesh(_) => Vec::new(),
        }
    }

    /// True while the connection is not read from.
    pub fn is_paused(&self, key: ConnKey) -> bool {
        self.conns.get(key).is_some_and(|conn| conn.paused)
    }

    /// True while the key names a connection that its owner has not closed.
    pub fn is_open(&self, key: ConnKey) -> bool {
        self.conns.get(key).is_some_and(|conn| conn.writable())
    }

    /// True when something would happen in a turn without any event, time included.
    pub fn is_busy(&self) -> bool {
        self.has_work() || self.next_deadline().is_some_and(|at| at <= self.clock().now)
    }
}
