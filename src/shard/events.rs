//! The drivers' side of [`Links`]: what to do next, and what became of it.

use crate::base::time::{Clock, Instant};
use crate::shard::conn::{Conn, Leave, Phase, Reading, Wish};
use crate::shard::links::{Closed, ConnKey, Door, Handler, Links};
use crate::shard::mesh::{Letter, Mail, ShardId};
use crate::shard::meta::{MetaNews, MetaRefusal};
use crate::store::DiskError;
use std::net::SocketAddr;

/// Own mail delivered in one turn: a handler that answers itself must not hold the core.
const OWN_MAIL_PER_TURN: usize = 256;
/// Part of the table that clients may not take, so that broker links can always be made: one in this many.
const RESERVE_PART: usize = 8;
/// And at most this many connections.
const RESERVE_MAX: usize = 64;

impl Links {
    pub(crate) fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// True while clients may be accepted: some slots stay reserved for connections of our own.
    pub(crate) fn may_accept(&self) -> bool {
        let reserve = (self.connections_max / RESERVE_PART).min(RESERVE_MAX);
        self.conns.len() + reserve < self.connections_max
    }

    /// Earliest deadline of any timer.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match (self.timers.next(), self.deadlines.next()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// True when a turn would find something to do without any event.
    pub(crate) fn has_work(&self) -> bool {
        !(self.dirty.is_empty()
            && self.watched.is_empty()
            && self.own_mail.is_empty()
            && self.answers.is_empty()
            && self.questions.is_empty()
            && self.letters.is_empty()
            && self.disk.is_empty()
            && self.meta.is_empty())
    }

    /// The next connection whose steps are to be carried out.
    pub(crate) fn next_dirty(&mut self) -> Option<ConnKey> {
        while let Some(key) = self.dirty.pop_front() {
            if let Some(conn) = self.conns.get_mut(key) {
                conn.dirty = false;
                return Some(key);
            }
        }
        None
    }

    pub(crate) fn step(&mut self, key: ConnKey) -> Option<Wish> {
        let conn = self.conns.get_mut(key)?;
        let wish = conn.step();
        if wish.is_none() && conn.out.is_empty() && conn.out.capacity() > 0 {
            // Looked at the outbox and wrote nothing: an idle connection holds no buffer.
            self.pool.give(std::mem::take(&mut conn.out));
        }
        wish
    }

    /// Timers, drained notices, own mail and ready answers that are due at this turn's clock.
    pub(crate) fn run_due<H: Handler>(&mut self, handler: &mut H) {
        let mut due = std::mem::take(&mut self.due);
        self.deadlines.advance(self.clock.now, |bits| due.push(bits));
        for bits in due.drain(..) {
            self.deadline(ConnKey::from_bits(bits));
        }
        self.timers.advance(self.clock.now, |token| due.push(token));
        for token in due.drain(..) {
            handler.on_timer(self, token);
        }
        self.due = due;
        if !self.watched.is_empty() {
            for key in std::mem::take(&mut self.watched) {
                self.drained(handler, key);
            }
        }
        for _ in 0..OWN_MAIL_PER_TURN {
            let Some(mail) = self.own_mail.pop_front() else { break };
            let shard = self.shard;
            handler.on_mail(self, shard, mail);
        }
        if !self.answers.is_empty() {
            for (token, result) in std::mem::take(&mut self.answers) {
                handler.on_resolved(self, token, result);
            }
        }
        for _ in 0..self.letters.len() {
            let Some(letter) = self.letters.pop_front() else { break };
            self.letter(handler, letter);
        }
    }

    /// Without a data folder every request to a file fails.
    pub(crate) fn refuse_disk(&mut self) {
        for (store, op, _) in self.disk.drain(..) {
            self.letters.push_back(Letter::Disk { store, op, result: Err(DiskError::Io) });
        }
    }

    /// Without a meta store every write to it fails.
    pub(crate) fn refuse_meta(&mut self) {
        for (ticket, _) in self.meta.drain(..) {
            let why = MetaRefusal::Failed("this process has no meta store".to_owned());
            self.letters.push_back(Letter::Meta(MetaNews::Refused { ticket, why }));
        }
    }

    /// A connect took too long, or a lingering close has to end. Deadlines are not disarmed: one of a connect that went
    /// well finds a later deadline, or none.
    fn deadline(&mut self, key: ConnKey) {
        let now = self.clock.now;
        let Some(conn) = self.conns.get_mut(key).filter(|conn| now >= conn.until) else { return };
        match conn.phase {
            Phase::Connecting => conn.die(false, Closed::Errno(rustix::io::Errno::TIMEDOUT.raw_os_error())),
            // Unsent bytes at the deadline: the peer does not read; a reset tells it that something is missing.
            Phase::Ending { .. } => conn.die(conn.queued() > 0, Closed::Peer),
            Phase::Open | Phase::Leaving | Phase::Dead { .. } => return,
        }
        self.touch(key);
    }

    fn drained<H: Handler>(&mut self, handler: &mut H, key: ConnKey) {
        let Some(conn) = self.conns.get_mut(key).filter(|c| c.phase == Phase::Open) else { return };
        if conn.mark.is_some_and(|mark| conn.queued() <= mark) {
            conn.mark = None;
            handler.on_drained(self, key);
        }
    }

    /// A letter from another core or a helper thread. Handed-over sockets are the driver's business.
    pub(crate) fn letter<H: Handler>(&mut self, handler: &mut H, letter: Letter) {
        match letter {
            Letter::Mail { from, mail } => handler.on_mail(self, from, mail),
            Letter::Resolved { token, result } => handler.on_resolved(self, token, result),
            Letter::Disk { store, op, result } => handler.on_disk(self, store, op, result),
            Letter::Meta(news) => self.meta_news(handler, news),
            Letter::Parcel(_) | Letter::Opened(_) => {
                debug_assert!(false, "drivers take these themselves");
            }
        }
    }

    /// News of the meta store. An answer of ours makes room for another write.
    pub(crate) fn meta_news<H: Handler>(&mut self, handler: &mut H, news: MetaNews) {
        if matches!(news, MetaNews::Applied { ticket: Some(_), .. } | MetaNews::Refused { .. }) {
            self.meta_waiting = self.meta_waiting.saturating_sub(1);
        }
        handler.on_meta(self, news);
    }

    /// A client's socket arrived. `None`: no room; the driver closes it.
    pub(crate) fn accepted<H: Handler>(
        &mut self,
        handler: &mut H,
        socket: u32,
        peer: SocketAddr,
        local: Option<SocketAddr>,
        door: Door,
    ) -> Option<ConnKey> {
        if !self.may_accept() {
            return None;
        }
        self.stats.accepted += 1;
        let key = self.insert(Conn { local, ..Conn::new(Phase::Open, Some(socket), peer) });
        handler.on_accept(self, key, peer, door);
        Some(key)
    }

    /// A connect ended. False: nobody wants the socket any more; the driver closes it.
    pub(crate) fn connected<H: Handler>(
        &mut self,
        handler: &mut H,
        key: ConnKey,
        result: Result<(u32, Option<SocketAddr>), i32>,
    ) -> bool {
        let Some(conn) = self.conns.get_mut(key) else {
            self.stats.stale += 1;
            return false;
        };
        conn.busy = false;
        let failure = match (conn.phase, conn.why, result) {
            (Phase::Connecting, _, Ok((socket, local))) => {
                (conn.phase, conn.socket, conn.local) = (Phase::Open, Some(socket), local);
                if conn.mark.is_some() {
                    // Asked for while connecting, when there was nothing to tell.
                    self.watched.push(key);
                }
                self.touch(key);
                handler.on_connected(self, key, Ok(()));
                return true;
            }
            (Phase::Connecting, _, Err(errno)) | (_, Closed::Errno(errno), _) => Err(errno),
            (_, why, _) => Ok(why),
        };
        self.remove(key);
        match failure {
            Err(errno) => handler.on_connected(self, key, Err(errno)),
            Ok(why) => handler.on_closed(self, key, why),
        }
        false
    }

    /// Bytes arrived.
    pub(crate) fn received<H: Handler>(&mut self, handler: &mut H, key: ConnKey, bytes: &mut [u8]) {
        self.stats.bytes_in += bytes.len() as u64;
        let Some(conn) = self.conns.get_mut(key) else {
            self.stats.stale += 1;
            return;
        };
        match conn.phase {
            Phase::Open => handler.on_bytes(self, key, bytes),
            Phase::Leaving => {
                if let Some(leave) = &mut conn.leave {
                    leave.head.extend_from_slice(bytes);
                }
            }
            // Read to be dropped: unread bytes would turn our close into a reset.
            Phase::Connecting | Phase::Ending { .. } | Phase::Dead { .. } => {}
        }
    }

    /// Our direction has ended.
    pub(crate) fn write_ended(&mut self, key: ConnKey) {
        match self.conns.get_mut(key) {
            Some(conn) => conn.shutting = false,
            None => self.stats.stale += 1,
        }
        self.touch(key);
    }

    /// Receiving ended, as it was told to or because the driver has to begin anew.
    pub(crate) fn read_stopped(&mut self, key: ConnKey) {
        match self.conns.get_mut(key) {
            Some(conn) => conn.reading = Reading::Off,
            None => self.stats.stale += 1,
        }
        self.touch(key);
    }

    /// Receiving ended as no buffer was free. True: the driver queues the key and calls `read_stopped` when it may go on.
    pub(crate) fn read_starved(&mut self, key: ConnKey) -> bool {
        self.stats.starved += 1;
        match self.conns.get_mut(key) {
            Some(conn) if conn.reading == Reading::On => {
                conn.reading = Reading::Starved;
                true
            }
            _ => {
                self.read_stopped(key);
                false
            }
        }
    }

    /// The peer ended its direction, and receiving ended with it.
    pub(crate) fn read_eof<H: Handler>(&mut self, handler: &mut H, key: ConnKey) {
        self.read_stopped(key);
        let Some(conn) = self.conns.get_mut(key) else { return };
        match conn.phase {
            Phase::Open if !conn.eof => {
                conn.eof = true;
                handler.on_eof(self, key);
            }
            // The next owner will meet the same end of stream.
            Phase::Leaving => {}
            _ => conn.eof = true,
        }
    }

    /// Receiving ended with an error.
    pub(crate) fn read_failed(&mut self, key: ConnKey, errno: i32) {
        self.read_stopped(key);
        if let Some(conn) = self.conns.get_mut(key) {
            conn.die(false, Closed::Errno(errno));
        }
    }

    /// The buffer that [`Wish::Send`] is about, and where its unsent bytes begin. It comes back with [`Links::sent`].
    pub(crate) fn take_wire(&mut self, key: ConnKey) -> Option<(Vec<u8>, usize)> {
        let conn = self.conns.get_mut(key)?;
        Some((std::mem::take(&mut conn.wire), conn.sent))
    }

    /// Somebody waits for a send of this connection to end, or something follows it.
    pub(crate) fn awaits_send(&self, key: ConnKey) -> bool {
        self.conns.get(key).is_none_or(|conn| conn.phase != Phase::Open || conn.mark.is_some())
    }

    /// A send ended: its buffer, and the bytes taken or the errno.
    pub(crate) fn sent<H: Handler>(
        &mut self,
        handler: &mut H,
        key: ConnKey,
        wire: Vec<u8>,
        result: Result<usize, i32>,
    ) {
        let Some(conn) = self.conns.get_mut(key) else {
            self.stats.stale += 1;
            return;
        };
        debug_assert!(wire.len() == conn.wire_length, "not the buffer that was taken");
        conn.wire = wire;
        debug_assert!(conn.sending, "a send ended that was never begun");
        conn.sending = false;
        match result {
            Ok(count) => {
                self.stats.bytes_out += count as u64;
                conn.sent += count;
            }
            Err(errno) => conn.die(false, Closed::Errno(errno)),
        }
        if conn.sent == conn.wire_length {
            (conn.wire_length, conn.sent) = (0, 0);
            self.pool.give(std::mem::take(&mut conn.wire));
            if conn.out.is_empty() {
                self.pool.give(std::mem::take(&mut conn.out));
            }
        }
        self.touch(key);
        self.drained(handler, key);
    }

    /// Carried out [`Wish::Close`]: the key is dead.
    pub(crate) fn closed<H: Handler>(&mut self, handler: &mut H, key: ConnKey) {
        if let Some(conn) = self.remove(key) {
            handler.on_closed(self, key, conn.why);
        }
    }

    /// Takes what a hand-over needs. Called for [`Wish::Move`].
    pub(crate) fn leaving(&mut self, key: ConnKey) -> Option<Leave> {
        self.conns.get_mut(key)?.leave.take().map(|leave| *leave)
    }

    /// The hand-over was carried out, or could not be.
    pub(crate) fn moved<H: Handler>(&mut self, handler: &mut H, key: ConnKey, result: Result<(), i32>) {
        if self.remove(key).is_none() {
            self.stats.stale += 1;
            return;
        }
        handler.on_closed(self, key, result.map_or_else(Closed::Errno, |()| Closed::Moved));
    }

    /// A socket from another core is here with all that belongs to it. `None`: no room; the driver closes it.
    pub(crate) fn adopted<H: Handler>(
        &mut self,
        handler: &mut H,
        from: ShardId,
        socket: u32,
        (peer, local): (SocketAddr, Option<SocketAddr>),
        head: Vec<u8>,
    ) -> Option<ConnKey> {
        if self.conns.len() >= self.connections_max {
            return None;
        }
        let key = self.insert(Conn { local, ..Conn::new(Phase::Open, Some(socket), peer) });
        handler.on_mail(self, from, Mail::Adopt { key, peer, head });
        Some(key)
    }

    /// Takes down everything that is still open, at the end of the process.
    pub(crate) fn abort_all(&mut self) {
        let keys: Vec<ConnKey> = self.conns.iter().map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.abort(key));
    }

    /// True while some connection has yet to send its last bytes or to be handed over.
    pub(crate) fn is_ending(&self) -> bool {
        self.conns.iter().any(|(_, conn)| matches!(conn.phase, Phase::Ending { .. } | Phase::Leaving))
    }

    fn remove(&mut self, key: ConnKey) -> Option<Conn> {
        let mut conn = self.conns.remove(key)?;
        self.stats.closed += 1;
        self.pool.give(std::mem::take(&mut conn.out));
        self.pool.give(std::mem::take(&mut conn.wire));
        Some(conn)
    }
}
