//! The ring driver: carries the wishes of a [`Links`] out through a [`Ring`] and reports what became of them.
//! One `io_uring_enter` a turn; `drive.rs` decides how long it may wait.

mod entering;

use crate::base::limit;
use crate::base::time::Instant;
use crate::shard::clock;
use crate::shard::conn::{Reading, Wish};
use crate::shard::disk::{Disk, Flights};
use crate::shard::gates::Gate;
use crate::shard::links::{ConnKey, Handler, Links};
use crate::shard::mesh::{Handed, Letter, Mesh, Parcel, ShardId};
use crate::shard::meta::MetaWriter;
use crate::shard::resolver::Resolver;
use crate::shard::ring::{Event, Op, Ring, TICK, TICKET_MASK, Wait};
use socket2::Socket;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// Small buffers that a connection fills one after another before it gets large ones.
const FILLED_MAX: u8 = 2;
/// Direct descriptors beyond the connection table: sockets on their way in or out, accepted too many.
const SPARE_SOCKETS: u32 = 64;
/// Letters taken in one turn: all that can be waiting, since what arrived on sockets comes after them.
pub(crate) const LETTERS_PER_TURN: usize = limit::MAILBOX_MAX;
/// Times the end of a turn is gone through again for what needed no kernel: flushes of journals that are durable already.
pub(crate) const ROUNDS_PER_TURN: usize = 4;
/// Sockets from other cores whose parcel has not come yet, or whose parcel came first.
const ARRIVALS_MAX: usize = 64 * 1024;

const ECANCELED: i32 = libc::ECANCELED;
const ENOBUFS: i32 = libc::ENOBUFS;

/// Everything one core's driver needs from the rest of the process.
pub(crate) struct Seat {
    pub(crate) shard: ShardId,
    pub(crate) mesh: Arc<Mesh>,
    pub(crate) mailbox: Receiver<Letter>,
    pub(crate) resolver: Resolver,
    /// Without a data folder there is none.
    pub(crate) disk: Option<Disk>,
    pub(crate) meta: Option<MetaWriter>,
    /// One for each door.
    pub(crate) listeners: Vec<Socket>,
    pub(crate) connections_max: u32,
    pub(crate) drain_spread: Duration,
    pub(crate) drain_time_max: Duration,
}

enum Arrival {
    Socket(u32),
    Parcel(Box<Parcel>),
}

/// The driver of one core.
pub(crate) struct Reactor {
    pub(crate) ring: Ring,
    pub(crate) links: Links,
    pub(crate) mesh: Arc<Mesh>,
    shard: ShardId,
    mailbox: Receiver<Letter>,
    mail_waits: bool,
    bell_armed: bool,
    tick_armed: bool,
    resolver: Resolver,
    pub(super) disk: Option<Disk>,
    pub(super) flights: Flights,
    meta: Option<MetaWriter>,
    /// One for each door; none once the core stops.
    pub(super) gates: Vec<Gate>,
    /// Met an empty buffer ring; re-armed at most one for each buffer and turn.
    starved: VecDeque<ConnKey>,
    arrivals: BTreeMap<u64, Arrival>,
    tickets: u64,
    /// Tickets and destinations of hand-overs under way.
    handovers: BTreeMap<ConnKey, (ShardId, Box<Parcel>)>,
    /// Parcels that met a full mailbox.
    parcels: VecDeque<(ShardId, Box<Parcel>)>,
    events: Vec<Event>,
}

impl Reactor {
    /// Must be called on the thread that will turn it.
    pub(crate) fn new(seat: Seat) -> io::Result<Reactor> {
        let ring = Ring::new(seat.connections_max + SPARE_SOCKETS)?;
        seat.mesh.set_ring(seat.shard, Some(ring.fd()));
        let gates = seat.listeners.into_iter().map(Gate::new).collect::<io::Result<Vec<_>>>()?;
        let post = crate::shard::links::Post::Mesh(Arc::clone(&seat.mesh));
        let mut links = Links::new(seat.shard, seat.mesh.len(), seat.connections_max as usize, post);
        links.set_clock(clock::read());
        Ok(Reactor {
            ring,
            links,
            mesh: seat.mesh,
            shard: seat.shard,
            mailbox: seat.mailbox,
            mail_waits: true,
            bell_armed: false,
            tick_armed: false,
            resolver: seat.resolver,
            disk: seat.disk,
            flights: Flights::default(),
            meta: seat.meta,
            gates,
            starved: VecDeque::new(),
            arrivals: BTreeMap::new(),
            tickets: u64::from(seat.shard.0) << 40,
            handovers: BTreeMap::new(),
            parcels: VecDeque::new(),
            events: Vec::new(),
        })
    }

    /// Tells the handler that its core runs.
    pub(crate) fn start<H: Handler>(&mut self, handler: &mut H) {
        self.links.set_clock(clock::read());
        handler.on_start(&mut self.links);
        self.carry_out(handler);
    }

    /// Submits, waits, delivers everything that came, carries out what the handler wished. Returns how many completions,
    /// ticks not counted.
    pub(crate) fn turn<H: Handler>(&mut self, handler: &mut H, wait: Wait) -> io::Result<usize> {
        let mut events = std::mem::take(&mut self.events);
        self.wait(handler, wait, &mut events)?;
        self.links.set_clock(clock::read());
        let was_armed = self.tick_armed;
        // Before what arrived on sockets: see `Handler::on_mail`.
        self.take_letters(handler);
        for event in &events {
            self.complete(handler, event);
        }
        let ticks = usize::from(was_armed && !self.tick_armed);
        let count = events.len() - ticks;
        events.clear();
        self.events = events;
        self.links.stats.turns += 1;
        self.links.stats.enters = self.ring.enters;
        self.links.stats.completions += count as u64;
        for _ in 0..ROUNDS_PER_TURN {
            self.links.run_due(handler);
            handler.on_turn_end(&mut self.links);
            self.carry_out(handler);
            if self.links.letters.is_empty() {
                break;
            }
        }
        Ok(count)
    }

    /// Sees to it that the ring completes something at `deadline`, and a tick from now at the latest. Tells when, if that is news.
    pub(crate) fn arm_tick(&mut self, deadline: Instant) -> Option<Instant> {
        if std::mem::replace(&mut self.tick_armed, true) {
            return None;
        }
        let now = self.links.clock().now;
        let due = deadline.max(now).min(now + TICK);
        self.ring.tick(due.since(now));
        Some(due)
    }

    /// A tick is under way.
    pub(crate) fn ticks(&self) -> bool {
        self.tick_armed
    }

    /// True when the next turn finds something to do without any completion.
    pub(crate) fn has_work(&self) -> bool {
        self.links.has_work()
            || self.flights.has_work()
            || self.mail_waits
            || !self.starved.is_empty()
            || !self.parcels.is_empty()
    }

    /// When the next timer is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let again = self.gates.iter().map(Gate::next_deadline).min().unwrap_or(Instant::FAR);
        Some(self.links.next_deadline().unwrap_or(Instant::FAR).min(again)).filter(|at| *at < Instant::FAR)
    }

    /// Nothing of ours is left in the kernel; the bell goes last.
    pub(crate) fn is_still(&mut self) -> bool {
        if self.links.conns.is_empty() && self.bell_armed && !self.mesh.pulse(self.shard).ended.load(SeqCst) {
            self.mesh.pulse(self.shard).ended.store(true, SeqCst);
            self.ring.stop_bell();
        }
        self.links.conns.is_empty()
            && !self.bell_armed
            && self.ring.is_still()
            && !self.ring.has_unsubmitted()
    }

    fn complete<H: Handler>(&mut self, handler: &mut H, event: &Event) {
        match event.op {
            Op::Ignored => {}
            Op::Receive => self.on_receive(handler, event),
            Op::Send => self.sent(handler, event),
            Op::Accept => self.on_accept(event),
            Op::Name => self.on_name(handler, event),
            Op::Install => self.on_install(handler, event),
            Op::Socket => self.on_socket(handler, event),
            Op::Connect => self.on_connect(handler, event),
            Op::Shutdown => self.links.write_ended(event.key()),
            Op::Move => self.on_move(handler, event),
            Op::Adopt => {
                if let Ok(socket) = u32::try_from(event.result) {
                    self.arrived(handler, event.ticket(), Arrival::Socket(socket));
                }
            }
            Op::File => {
                if let Some((store, op, result)) = self.on_file(event) {
                    handler.on_disk(&mut self.links, store, op, result);
                }
            }
            Op::Bell => {
                self.ring.bell_heard();
                (self.bell_armed, self.mail_waits) = (false, true);
            }
            Op::Tick => self.tick_armed = false,
        }
    }

    fn on_receive<H: Handler>(&mut self, handler: &mut H, event: &Event) {
        let key = event.key();
        if let Some(buffer) = event.buffer() {
            if let Ok(length @ 1..) = usize::try_from(event.result) {
                self.weigh(key, buffer, length, event.more());
                self.links.received(handler, key, self.ring.bytes(buffer, length));
            }
            self.ring.recycle(buffer);
        }
        if event.more() {
            return;
        }
        self.ring.receive_ended();
        match event.result {
            1.. => self.links.read_stopped(key),
            0 => self.links.read_eof(handler, key),
            result if result == -ECANCELED => self.links.read_stopped(key),
            result if result == -ENOBUFS => self.on_starved(key),
            result => self.links.read_failed(key, -result),
        }
    }

    /// Who fills small buffers gets large ones, from the next time that receiving begins.
    fn weigh(&mut self, key: ConnKey, buffer: u16, length: usize, goes_on: bool) {
        let Some(conn) = self.links.conns.get_mut(key).filter(|conn| !conn.large) else { return };
        conn.filled = if self.ring.was_filled(buffer, length) { conn.filled.saturating_add(1) } else { 0 };
        if conn.filled >= FILLED_MAX && goes_on && conn.reading == Reading::On {
            (conn.large, conn.filled, conn.reading) = (true, 0, Reading::Stopping);
            self.ring.stop_receive(key);
        }
    }

    /// No buffer was free. Large ones are few: small ones do as well, for a while.
    fn on_starved(&mut self, key: ConnKey) {
        if let Some(conn) = self.links.conns.get_mut(key) {
            (conn.large, conn.filled) = (false, 0);
        }
        if self.links.read_starved(key) {
            self.starved.push_back(key);
        }
    }

    fn on_socket<H: Handler>(&mut self, handler: &mut H, event: &Event) {
        let key = event.key();
        match (u32::try_from(event.result), self.links.conns.get_mut(key)) {
            (Ok(socket), Some(conn)) if conn.writable() => {
                conn.socket = Some(socket);
                let to: SocketAddr = conn.peer;
                self.ring.connect(key, socket, to);
            }
            (Ok(socket), _) => {
                self.ring.close(socket, false);
                self.links.connected(handler, key, Err(ECANCELED));
            }
            (Err(_), _) => {
                self.links.connected(handler, key, Err(-event.result));
            }
        }
    }

    fn on_connect<H: Handler>(&mut self, handler: &mut H, event: &Event) {
        self.ring.connect_ended(event);
        let key = event.key();
        let socket = self.links.conns.get(key).and_then(|conn| conn.socket);
        let result = match (event.result, socket) {
            (0, Some(socket)) => Ok((socket, None)),
            (errno, _) => Err(-errno),
        };
        let wanted = self.links.connected(handler, key, result);
        if let Some(socket) = socket.filter(|_| !wanted) {
            self.ring.close(socket, false);
        }
    }

    fn on_move<H: Handler>(&mut self, handler: &mut H, event: &Event) {
        let key = event.key();
        let Some((to, parcel)) = self.handovers.remove(&key) else { return };
        let socket = self.links.conns.get(key).and_then(|conn| conn.socket);
        if event.result >= 0 {
            self.send_parcel(to, parcel);
        }
        self.links.moved(handler, key, if event.result >= 0 { Ok(()) } else { Err(-event.result) });
        // The other ring holds its own reference.
        if let Some(socket) = socket {
            self.ring.close(socket, false);
        }
    }

    /// A socket or its parcel is here; with both, the connection begins its life on this core.
    fn arrived<H: Handler>(&mut self, handler: &mut H, ticket: u64, arrival: Arrival) {
        let (socket, parcel) = match (self.arrivals.remove(&ticket), arrival) {
            (Some(Arrival::Socket(socket)), Arrival::Parcel(parcel))
            | (Some(Arrival::Parcel(parcel)), Arrival::Socket(socket)) => (socket, parcel),
            (None, first) if self.arrivals.len() < ARRIVALS_MAX => {
                self.arrivals.insert(ticket, first);
                return;
            }
            (_, Arrival::Socket(socket)) => return self.ring.close(socket, false),
            (_, Arrival::Parcel(_)) => return,
        };
        if self
            .links
            .adopted(handler, parcel.from, socket, (parcel.peer, parcel.local), parcel.head)
            .is_none()
        {
            self.ring.close(socket, false);
        }
    }

    fn send_parcel(&mut self, to: ShardId, parcel: Box<Parcel>) {
        if let Err(Letter::Parcel(parcel)) = self.mesh.post(to, Letter::Parcel(parcel)) {
            self.parcels.push_back((to, parcel));
        }
    }

    fn take_letters<H: Handler>(&mut self, handler: &mut H) {
        // What was posted before this turn's bytes arrived is seen here, whether or not the bell was heard yet.
        if !std::mem::take(&mut self.mail_waits) && !self.mesh.is_rung(self.shard) {
            return;
        }
        self.mesh.heard_bell(self.shard);
        for _ in 0..LETTERS_PER_TURN {
            let Ok(letter) = self.mailbox.try_recv() else { return };
            match letter {
                Letter::Parcel(parcel) => match parcel.socket {
                    Handed::Ticket(ticket) => self.arrived(handler, ticket, Arrival::Parcel(parcel)),
                    Handed::Stream(_) => debug_assert!(false, "rings hand over by ticket"),
                },
                Letter::Opened(opened) => self.on_opened(*opened),
                other => self.links.letter(handler, other),
            }
        }
        self.mail_waits = true;
    }

    /// Makes submissions of all wishes. Closing calls the handler, which may wish more; each call ends a connection.
    fn carry_out<H: Handler>(&mut self, handler: &mut H) {
        self.arm();
        self.resolver.ask_all(&mut self.links);
        self.carry_out_disk();
        MetaWriter::write_all(self.meta.as_ref(), &mut self.links);
        while let Some(key) = self.links.next_dirty() {
            while let Some(wish) = self.links.step(key) {
                self.carry_out_wish(handler, key, wish);
            }
        }
    }

    /// The standing operations: bell, accept, receives that met an empty buffer ring, parcels that met a full mailbox.
    fn arm(&mut self) {
        if !self.bell_armed && !self.mesh.pulse(self.shard).ended.load(SeqCst) {
            self.bell_armed = true;
            self.ring.listen_to_bell(self.mesh.bell(self.shard).raw());
        }
        for _ in 0..self.parcels.len() {
            let Some((to, parcel)) = self.parcels.pop_front() else { break };
            self.send_parcel(to, parcel);
        }
        for _ in 0..self.starved.len().min(self.ring.buffer_count()) {
            let Some(key) = self.starved.pop_front() else { break };
            if self.links.conns.get(key).is_some_and(|c| c.reading == Reading::Starved) {
                self.links.read_stopped(key);
            }
        }
        self.arm_gates();
    }

    fn carry_out_wish<H: Handler>(&mut self, handler: &mut H, key: ConnKey, wish: Wish) {
        let Some(conn) = self.links.conns.get(key) else { return };
        let (peer, local, connecting, large) = (conn.peer, conn.local, conn.busy, conn.large);
        let Some(socket) = conn.socket else {
            match wish {
                Wish::Connect => self.ring.socket(key, peer),
                Wish::Close { .. } => self.links.closed(handler, key),
                // The socket itself is still being made: its completion finds that nobody wants it.
                _ => {}
            }
            return;
        };
        match wish {
            Wish::Connect => debug_assert!(false, "connected already"),
            Wish::Send => {
                let awaited = self.links.awaits_send(key);
                if let Some((wire, from)) = self.links.take_wire(key) {
                    self.ring.send(key, socket, wire, from, awaited);
                }
            }
            Wish::Read => self.ring.receive(key, socket, large),
            Wish::StopRead => self.ring.stop_receive(key),
            Wish::ShutdownWrite => self.ring.shutdown_write(key, socket),
            Wish::Cancel if connecting => self.ring.cancel_connect(key),
            Wish::Cancel => self.ring.cancel_all(socket),
            Wish::Close { reset } => {
                self.ring.close(socket, reset);
                self.links.closed(handler, key);
            }
            Wish::Move => self.begin_move(handler, key, socket, (peer, local)),
        }
    }

    fn begin_move<H: Handler>(
        &mut self,
        handler: &mut H,
        key: ConnKey,
        socket: u32,
        (peer, local): (SocketAddr, Option<SocketAddr>),
    ) {
        let Some(leave) = self.links.leaving(key) else { return };
        if leave.to == self.shard {
            self.links.moved(handler, key, Ok(()));
            if self.links.adopted(handler, self.shard, socket, (peer, local), leave.head).is_none() {
                self.ring.close(socket, false);
            }
            return;
        }
        let Some(ring) = self.mesh.ring_of(leave.to) else {
            self.ring.close(socket, false);
            self.links.moved(handler, key, Err(libc::ESHUTDOWN));
            return;
        };
        self.tickets = (self.tickets + 1) & TICKET_MASK;
        let parcel = Box::new(Parcel {
            from: self.shard,
            socket: Handed::Ticket(self.tickets),
            peer,
            local,
            head: leave.head,
        });
        self.ring.hand_over(key, socket, ring, self.tickets);
        self.handovers.insert(key, (leave.to, parcel));
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        self.mesh.set_ring(self.shard, None);
    }
}
