//! The portable driver: readiness polling on a plain thread, for machines that do not let us have the ring. Same
//! [`Links`], same handlers, more system calls.

use crate::base::time::Instant;
use crate::shard::clock;
use crate::shard::conn::{SEND_MAX, Wish};
use crate::shard::disk::{Disk, Job};
use crate::shard::ending::{Advice, Ending};
use crate::shard::links::{ConnKey, Door, Handler, Links, Post};
use crate::shard::mesh::{Handed, Letter, Mesh, Parcel, ShardId};
use crate::shard::meta::MetaWriter;
use crate::shard::reactor::{LETTERS_PER_TURN, ROUNDS_PER_TURN, Seat};
use crate::shard::resolver::Resolver;
use crate::shard::sys;
use gates::Gate;
use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Duration;

mod gates;

const BELL: Token = Token(usize::MAX - 1);
const EVENTS_PER_TURN: usize = 1024;
/// One scratch buffer for all: a connection at rest holds none.
const SCRATCH: usize = 64 * 1024;
/// Reads of one connection in one turn: a fast sender must not hold the core.
const READS_PER_TURN: usize = 4;

struct Socket {
    stream: TcpStream,
    key: ConnKey,
    connecting: bool,
    /// The links want bytes.
    reading: bool,
    /// What the last events and calls said; `true` until a call would block.
    readable: bool,
    writable: bool,
    /// A send that waits for room, and where its unsent bytes begin.
    wire: Option<(Vec<u8>, usize)>,
    /// Is in `ready`.
    listed: bool,
}

/// The driver of one core.
pub(crate) struct Portable {
    poll: Poll,
    links: Links,
    mesh: Arc<Mesh>,
    shard: ShardId,
    mailbox: Receiver<Letter>,
    mail_waits: bool,
    resolver: Resolver,
    disk: Option<Disk>,
    /// Jobs that met a full queue.
    jobs: VecDeque<Job>,
    meta: Option<MetaWriter>,
    /// One for each door; none once the core stops.
    gates: Vec<Gate>,
    sockets: Vec<Option<Socket>>,
    free: Vec<u32>,
    /// Sockets to be looked at in the next turn.
    ready: VecDeque<u32>,
    /// Connects that failed at once: told in the next turn, never within the call.
    failed: Vec<(ConnKey, i32)>,
    parcels: VecDeque<(ShardId, Box<Parcel>)>,
    scratch: Vec<u8>,
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

impl Portable {
    pub(crate) fn new(seat: Seat) -> io::Result<Portable> {
        let poll = Poll::new()?;
        let gates = gates::open(seat.listeners, &poll)?;
        let bell = seat.mesh.bell(seat.shard).raw();
        poll.registry().register(&mut SourceFd(&bell), BELL, Interest::READABLE)?;
        let post = Post::Mesh(Arc::clone(&seat.mesh));
        let mut links = Links::new(seat.shard, seat.mesh.len(), seat.connections_max as usize, post);
        links.set_clock(clock::read());
        Ok(Portable {
            poll,
            links,
            mesh: seat.mesh,
            shard: seat.shard,
            mailbox: seat.mailbox,
            mail_waits: true,
            resolver: seat.resolver,
            disk: seat.disk,
            jobs: VecDeque::new(),
            meta: seat.meta,
            gates,
            sockets: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            failed: Vec::new(),
            parcels: VecDeque::new(),
            scratch: vec![0; SCRATCH],
        })
    }

    /// Turns until the stop has come to its end.
    pub(crate) fn run<H: Handler>(&mut self, handler: &mut H, mut ending: Ending) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let mesh = Arc::clone(&self.mesh);
        let pulse = mesh.pulse(self.shard);
        self.links.set_clock(clock::read());
        handler.on_start(&mut self.links);
        self.carry_out(handler);
        loop {
            pulse.beats.fetch_add(1, Ordering::Relaxed);
            self.wait(&mut events, ending.deadline())?;
            pulse.asleep_until.store(0, Ordering::SeqCst);
            self.turn(handler, &events);
            self.links.stats.stalls = pulse.stalls.load(Ordering::Relaxed);
            match ending.step(mesh.is_stopping(), &mut self.links, handler) {
                Advice::GoOn => {}
                Advice::StopAccepting => self.gates.clear(),
                Advice::LeaveWhenStill if !self.links.conns.is_empty() => {}
                Advice::LeaveWhenStill | Advice::Leave => return Ok(()),
            }
        }
    }

    fn wait(&mut self, events: &mut Events, until: Instant) -> io::Result<()> {
        let again = gates::next_accept(&self.gates, self.links.may_accept());
        let deadline = self.links.next_deadline().unwrap_or(Instant::FAR).min(until).min(again);
        let busy = self.links.has_work() || self.mail_waits || !self.ready.is_empty();
        let busy = busy || !self.failed.is_empty() || !self.parcels.is_empty() || !self.jobs.is_empty();
        let time = match deadline {
            _ if busy || !self.mesh.begin_to_wait(self.shard) => Some(Duration::ZERO),
            Instant::FAR => None,
            at => Some(at.since(clock::monotonic())),
        };
        if time != Some(Duration::ZERO) {
            self.links.stats.parks += 1;
            self.mesh.pulse(self.shard).asleep_until.store(deadline.0.max(1), Ordering::SeqCst);
        }
        self.links.stats.enters += 1;
        let polled = self.poll.poll(events, time);
        self.mesh.end_to_wait(self.shard);
        match polled {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    fn turn<H: Handler>(&mut self, handler: &mut H, events: &Events) {
        self.links.set_clock(clock::read());
        self.links.stats.turns += 1;
        for event in events {
            self.links.stats.completions += 1;
            match event.token() {
                BELL => {
                    self.mesh.bell(self.shard).hear();
                    self.mail_waits = true;
                }
                token if gates::is_listener(token) => gates::clients_wait(&mut self.gates, token),
                Token(number) => {
                    let number = number as u32;
                    if let Some(socket) = self.socket(number) {
                        socket.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
                        socket.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
                        self.list(number);
                    }
                }
            }
        }
        // Before what arrived on sockets: see `Handler::on_mail`.
        self.take_letters(handler);
        for (key, errno) in std::mem::take(&mut self.failed) {
            self.links.connected(handler, key, Err(errno));
        }
        for _ in 0..self.ready.len() {
            let Some(number) = self.ready.pop_front() else { break };
            self.look_at(handler, number);
        }
        for door in 0..self.gates.len() {
            self.accept(handler, Door(door as u8));
        }
        for _ in 0..ROUNDS_PER_TURN {
            self.links.run_due(handler);
            handler.on_turn_end(&mut self.links);
            self.carry_out(handler);
            if self.links.letters.is_empty() {
                break;
            }
        }
    }

    fn socket(&mut self, number: u32) -> Option<&mut Socket> {
        self.sockets.get_mut(number as usize)?.as_mut()
    }

    fn list(&mut self, number: u32) {
        if let Some(socket) = self.socket(number).filter(|socket| !socket.listed) {
            socket.listed = true;
            self.ready.push_back(number);
        }
    }

    /// Does what a socket's readiness allows.
    fn look_at<H: Handler>(&mut self, handler: &mut H, number: u32) {
        let Some(socket) = self.socket(number) else { return };
        socket.listed = false;
        if socket.connecting {
            if !socket.writable {
                return;
            }
            return self.finish_connect(handler, number);
        }
        if let Some((wire, from)) = socket.wire.take_if(|_| socket.writable) {
            self.write(handler, number, wire, from);
        }
        self.read(handler, number);
    }

    fn finish_connect<H: Handler>(&mut self, handler: &mut H, number: u32) {
        let Some(socket) = self.socket(number) else { return };
        let (key, local) = (socket.key, socket.stream.local_addr().ok());
        let result = match (socket.stream.take_error(), socket.stream.peer_addr()) {
            (Ok(None), Ok(_)) => Ok((number, local)),
            (Ok(Some(error)) | Err(error), _) => Err(errno(&error)),
            // Woken before it was done: another event follows.
            (Ok(None), Err(_)) => return socket.writable = false,
        };
        socket.connecting = false;
        if !self.links.connected(handler, key, result) {
            self.forget(number, false);
        }
    }

    fn read<H: Handler>(&mut self, handler: &mut H, number: u32) {
        for _ in 0..READS_PER_TURN {
            let Some(Some(socket)) = self.sockets.get_mut(number as usize) else { return };
            if !socket.reading || !socket.readable {
                return;
            }
            let key = socket.key;
            match socket.stream.read(&mut self.scratch) {
                Ok(0) => {
                    socket.reading = false;
                    return self.links.read_eof(handler, key);
                }
                Ok(count) => {
                    self.links.received(handler, key, &mut self.scratch[..count]);
                    // A pause takes effect with the next wishes; do not read past it.
                    if self.links.conns.get(key).is_some_and(|conn| conn.dirty && conn.paused) {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return socket.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    socket.reading = false;
                    return self.links.read_failed(key, errno(&error));
                }
            }
        }
        self.list(number);
    }

    /// Writes what the kernel takes. Progress is reported; without any the bytes wait for the next event.
    fn write<H: Handler>(&mut self, handler: &mut H, number: u32, wire: Vec<u8>, from: usize) {
        let Some(socket) = self.socket(number) else { return };
        let key = socket.key;
        let rest = &wire[from..wire.len().min(from + SEND_MAX)];
        match socket.stream.write(rest) {
            Ok(count) => self.links.sent(handler, key, wire, Ok(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                (socket.writable, socket.wire) = (false, Some((wire, from)));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.links.sent(handler, key, wire, Ok(0));
            }
            Err(error) => self.links.sent(handler, key, wire, Err(errno(&error))),
        }
    }

    fn keep(&mut self, stream: TcpStream, key: ConnKey, connecting: bool) -> io::Result<u32> {
        let number = self.free.pop().unwrap_or(self.sockets.len() as u32);
        let (wire, reading, listed, ready) = (None, false, false, !connecting);
        let mut socket =
            Socket { stream, key, connecting, reading, readable: ready, writable: ready, wire, listed };
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = self.poll.registry().register(&mut socket.stream, Token(number as usize), interest);
        if self.sockets.len() <= number as usize {
            self.sockets.push(None);
        }
        if let Err(error) = registered {
            self.free.push(number);
            return Err(error);
        }
        self.sockets[number as usize] = Some(socket);
        Ok(number)
    }

    fn assign(&mut self, number: u32, key: ConnKey) {
        if let Some(socket) = self.socket(number) {
            socket.key = key;
        }
    }

    /// Takes a socket out of the poll; the stream, if somebody wants it.
    fn release(&mut self, number: u32) -> Option<TcpStream> {
        let mut socket = self.sockets.get_mut(number as usize)?.take()?;
        if let Err(error) = self.poll.registry().deregister(&mut socket.stream) {
            log::error!("core {}: a socket stays in the poll: {error}", self.shard.0);
        }
        self.free.push(number);
        Some(socket.stream)
    }

    fn forget(&mut self, number: u32, reset: bool) {
        if let Some(stream) = self.release(number).filter(|_| reset)
            && let Err(error) = sys::set_reset_on_close(stream.as_fd())
        {
            log::debug!("core {}: closed without a reset: {error}", self.shard.0);
        }
    }

    fn take_letters<H: Handler>(&mut self, handler: &mut H) {
        for _ in 0..self.parcels.len() {
            let Some((to, parcel)) = self.parcels.pop_front() else { break };
            self.send_parcel(to, parcel);
        }
        if !std::mem::take(&mut self.mail_waits) && !self.mesh.is_rung(self.shard) {
            return;
        }
        self.mesh.heard_bell(self.shard);
        for _ in 0..LETTERS_PER_TURN {
            match self.mailbox.try_recv() {
                Ok(Letter::Parcel(parcel)) => self.take_parcel(handler, *parcel),
                Ok(letter) => self.links.letter(handler, letter),
                Err(_) => return,
            }
        }
        self.mail_waits = true;
    }

    fn take_parcel<H: Handler>(&mut self, handler: &mut H, parcel: Parcel) {
        let Handed::Stream(stream) = parcel.socket else { return };
        let Ok(number) = self.keep(TcpStream::from_std(stream), ConnKey::from_bits(0), false) else { return };
        let ends = (parcel.peer, parcel.local);
        match self.links.adopted(handler, parcel.from, number, ends, parcel.head) {
            Some(key) => self.assign(number, key),
            None => self.forget(number, false),
        }
    }

    fn send_parcel(&mut self, to: ShardId, parcel: Box<Parcel>) {
        if let Err(Letter::Parcel(parcel)) = self.mesh.post(to, Letter::Parcel(parcel)) {
            self.parcels.push_back((to, parcel));
        }
    }

    fn carry_out_disk(&mut self) {
        let shard = self.shard;
        let Some(disk) = &self.disk else { return self.links.refuse_disk() };
        let asked = self.links.disk.drain(..);
        self.jobs.extend(asked.map(|(store, op, request)| Job::Run { shard, store, op, request }));
        while let Some(job) = self.jobs.pop_front() {
            if let Err(job) = disk.ask(job) {
                return self.jobs.push_front(job);
            }
        }
    }

    fn carry_out<H: Handler>(&mut self, handler: &mut H) {
        self.resolver.ask_all(&mut self.links);
        self.carry_out_disk();
        MetaWriter::write_all(self.meta.as_ref(), &mut self.links);
        while let Some(key) = self.links.next_dirty() {
            while let Some(wish) = self.links.step(key) {
                self.carry_out_wish(handler, key, wish);
            }
        }
    }

    fn carry_out_wish<H: Handler>(&mut self, handler: &mut H, key: ConnKey, wish: Wish) {
        let Some(conn) = self.links.conns.get_mut(key) else { return };
        let Some(number) = conn.socket else {
            let peer = conn.peer;
            return match wish {
                Wish::Connect => self.connect(key, peer),
                Wish::Close { .. } => self.links.closed(handler, key),
                // A connect that failed at once: told in the next turn.
                _ => {}
            };
        };
        match wish {
            Wish::Connect => debug_assert!(false, "connected already"),
            Wish::Send => {
                if let Some((wire, from)) = self.links.take_wire(key) {
                    self.write(handler, number, wire, from);
                }
            }
            Wish::Read => {
                if let Some(socket) = self.socket(number) {
                    socket.reading = true;
                    self.list(number);
                }
            }
            Wish::StopRead => {
                if let Some(socket) = self.socket(number) {
                    socket.reading = false;
                }
                self.links.read_stopped(key);
            }
            Wish::ShutdownWrite => {
                if let Some(Err(error)) = self.socket(number).map(|s| s.stream.shutdown(Shutdown::Write)) {
                    // A reset was faster: reading tells.
                    log::debug!("core {}: shutdown: {error}", self.shard.0);
                }
                self.links.write_ended(key);
            }
            Wish::Cancel => self.cancel(handler, key, number),
            Wish::Close { reset } => {
                self.forget(number, reset);
                self.links.closed(handler, key);
            }
            Wish::Move => self.hand_over(handler, key, number),
        }
    }

    fn connect(&mut self, key: ConnKey, to: SocketAddr) {
        let begun = TcpStream::connect(to).and_then(|stream| {
            stream.set_nodelay(true)?;
            self.keep(stream, key, true)
        });
        match (begun, self.links.conns.get_mut(key)) {
            (Ok(number), Some(conn)) => conn.socket = Some(number),
            (Ok(number), None) => self.forget(number, false),
            (Err(error), _) => self.failed.push((key, errno(&error))),
        }
    }

    /// Ends all that is under way on a socket. The links are told of each.
    fn cancel<H: Handler>(&mut self, handler: &mut H, key: ConnKey, number: u32) {
        let Some(socket) = self.socket(number) else { return };
        if std::mem::take(&mut socket.connecting) {
            self.forget(number, false);
            self.links.connected(handler, key, Err(libc::ECANCELED));
            return;
        }
        let (wire, reading) = (socket.wire.take(), std::mem::take(&mut socket.reading));
        if reading {
            self.links.read_stopped(key);
        }
        if let Some((wire, _)) = wire {
            self.links.sent(handler, key, wire, Ok(0));
        }
    }

    fn hand_over<H: Handler>(&mut self, handler: &mut H, key: ConnKey, number: u32) {
        let (peer, local, leave) = (self.links.peer(key), self.links.local(key), self.links.leaving(key));
        let (Some(peer), Some(leave), Some(stream)) = (peer, leave, self.release(number)) else { return };
        self.links.moved(handler, key, Ok(()));
        let socket = Handed::Stream(stream.into());
        let parcel = Parcel { from: self.shard, socket, peer, local, head: leave.head };
        if leave.to == self.shard {
            self.take_parcel(handler, parcel);
        } else {
            self.send_parcel(leave.to, Box::new(parcel));
        }
    }
}
