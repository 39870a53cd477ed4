//! Sockets of the tools: one thread, one level-triggered epoll. A turn reads each ready connection once into one shared
//! buffer and, at its end, writes each connection that has something to say once: the fewest system calls that readiness
//! polling allows, and the same discipline in all the tools, so that they can be compared.

use std::io::{self, Read, Write};
use std::mem::{self, MaybeUninit};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// Bytes read at once. Larger than what loopback delivers in a turn, small enough to stay in the second-level cache.
const READ_BYTES: usize = 256 * 1024;
/// Bytes asked for behind a frame that came in part.
const REST_BYTES: usize = 64 * 1024;
/// Events taken in one wait.
const EVENTS: usize = 256;
/// A connection with more unsent bytes has a peer that does not read: it is closed.
const OUT_MAX: usize = 256 << 20;
/// An outbox that grew beyond this gives its memory back once it is empty: a thousand of them are held.
const OUT_KEPT: usize = 1 << 20;
/// Connections the kernel keeps until they are accepted; it cuts this to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Event data of a listener: its door plus this.
const LISTENER: u64 = 1 << 63;

/// What a program does with its connections. `id` names one until `on_closed`; then it may be used again.
pub(crate) trait Handler {
    /// A client came by the listener number `door`.
    fn on_accept(&mut self, _net: &mut Net, _id: usize, _door: usize) {}
    /// Bytes came. Returns how many are done with; the others are given again, with more behind them. `Err`: the
    /// connection is closed, for that reason.
    fn on_bytes(&mut self, net: &mut Net, id: usize, bytes: &mut [u8]) -> Result<usize, String>;
    /// The connection is gone, for this reason; not called after `Net::close`.
    fn on_closed(&mut self, net: &mut Net, id: usize, why: &str);
}

struct Conn {
    stream: TcpStream,
    /// Received bytes that are not yet a whole frame.
    rest: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    is_dirty: bool,
    waits_to_write: bool,
}

/// System calls made so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Calls {
    pub(crate) waits: u64,
    pub(crate) reads: u64,
    pub(crate) writes: u64,
}

/// All sockets of a program.
pub(crate) struct Net {
    epoll: OwnedFd,
    listeners: Vec<TcpListener>,
    table: Vec<Option<Conn>>,
    free: Vec<usize>,
    dirty: Vec<usize>,
    buffer: Vec<u8>,
    pub(crate) calls: Calls,
}

impl Net {
    pub(crate) fn new() -> io::Result<Net> {
        Ok(Net {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            listeners: Vec::new(),
            table: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            buffer: vec![0; READ_BYTES],
            calls: Calls::default(),
        })
    }

    /// Listens; the n-th call makes door n. Returns the bound address.
    pub(crate) fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_tcp_nodelay(true)?; // inherited by what is accepted
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener: TcpListener = socket.into();
        let data = epoll::EventData::new_u64(LISTENER + self.listeners.len() as u64);
        epoll::add(&self.epoll, &listener, data, epoll::EventFlags::IN)?;
        let bound = listener.local_addr()?;
        self.listeners.push(listener);
        Ok(bound)
    }

    /// Begins to connect; what is put into its outbox meanwhile leaves when it is connected.
    pub(crate) fn connect(&mut self, address: SocketAddr) -> io::Result<usize> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => Err(error),
            _ => self.insert(socket.into()),
        }
    }

    fn insert(&mut self, stream: TcpStream) -> io::Result<usize> {
        let id = self.free.last().copied().unwrap_or(self.table.len());
        epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(id as u64), epoll::EventFlags::IN)?;
        let conn = Conn {
            stream,
            rest: Vec::new(),
            out: Vec::new(),
            written: 0,
            is_dirty: false,
            waits_to_write: false,
        };
        match self.free.pop() {
            Some(_) => self.table[id] = Some(conn),
            None => self.table.push(Some(conn)),
        }
        Ok(id)
    }

    /// The connection's outbox, which leaves at the end of this turn; a spare one if the connection is gone.
    pub(crate) fn out(&mut self, id: usize) -> &mut Vec<u8> {
        match &mut self.table[id] {
            Some(conn) => {
                if !conn.is_dirty {
                    conn.is_dirty = true;
                    self.dirty.push(id);
                }
                &mut conn.out
            }
            None => panic!("connection {id} is closed, and its owner was told"),
        }
    }

    /// Bytes that the kernel does not have yet.
    pub(crate) fn unsent(&self, id: usize) -> usize {
        self.table[id].as_ref().map_or(0, |conn| conn.out.len() - conn.written)
    }

    /// Our address, as the peer dialled it.
    pub(crate) fn local(&self, id: usize) -> Option<SocketAddr> {
        self.table[id].as_ref().and_then(|conn| conn.stream.local_addr().ok())
    }

    /// Closes at once; `reset` leaves nothing behind in the kernel, so ports can be used again.
    pub(crate) fn close(&mut self, id: usize, reset: bool) {
        let Some(conn) = self.table[id].take() else { return };
        if reset {
            // Without it the port waits; the run goes on.
            socket2::SockRef::from(&conn.stream).set_linger(Some(Duration::ZERO)).unwrap_or_default();
        }
        self.free.push(id);
    }

    /// One wait, all it brought, and the writes that came of it. `wait`: at most that long; `None`: until something comes.
    pub(crate) fn turn<H: Handler>(&mut self, handler: &mut H, wait: Option<Duration>) -> io::Result<()> {
        self.flush_all(handler);
        let wait = wait
            .map(|wait| Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) });
        let mut space = [const { MaybeUninit::uninit() }; EVENTS];
        self.calls.waits += 1;
        let events = match epoll::wait(&self.epoll, &mut space, wait.as_ref()) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for event in events {
            let (data, flags) = (event.data.u64(), event.flags);
            if data >= LISTENER {
                self.accept(handler, (data - LISTENER) as usize)?;
                continue;
            }
            let id = data as usize;
            if flags.contains(epoll::EventFlags::OUT) {
                self.out_again(id);
            }
            if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                self.receive(handler, id);
            }
        }
        self.flush_all(handler);
        Ok(())
    }

    fn out_again(&mut self, id: usize) {
        if self.table[id].is_some() {
            self.out(id);
        }
    }

    fn accept<H: Handler>(&mut self, handler: &mut H, door: usize) -> io::Result<()> {
        loop {
            match self.listeners[door].accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    let id = self.insert(stream)?;
                    handler.on_accept(self, id, door);
                }
                Err(error) if would_wait(&error) => return Ok(()),
                // The client is gone already.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn receive<H: Handler>(&mut self, handler: &mut H, id: usize) {
        // None: closed earlier in this turn.
        let Some(conn) = self.table[id].as_mut() else { return };
        self.calls.reads += 1;
        let mut rest = mem::take(&mut conn.rest);
        let is_fresh = rest.is_empty();
        let result = if is_fresh {
            conn.stream.read(&mut self.buffer)
        } else {
            rest.reserve(REST_BYTES);
            rustix::io::read(&conn.stream, rustix::buffer::spare_capacity(&mut rest)).map_err(io::Error::from)
        };
        let count = match result {
            Ok(0) => return self.lose(handler, id, "closed by the peer"),
            Ok(count) => count,
            Err(error) if would_wait(&error) => {
                conn.rest = rest;
                return;
            }
            Err(error) => return self.lose(handler, id, &error.to_string()),
        };
        if is_fresh {
            let mut buffer = mem::take(&mut self.buffer);
            let used = handler.on_bytes(self, id, &mut buffer[..count]);
            if let Ok(used) = used {
                rest.extend_from_slice(&buffer[used..count]);
            }
            self.buffer = buffer;
            self.received(handler, id, rest, used.map(|_| 0));
        } else {
            let used = handler.on_bytes(self, id, &mut rest);
            self.received(handler, id, rest, used);
        }
    }

    /// Keeps what was not used, or closes.
    fn received<H: Handler>(
        &mut self,
        handler: &mut H,
        id: usize,
        mut rest: Vec<u8>,
        used: Result<usize, String>,
    ) {
        match used {
            Ok(used) => {
                if let Some(conn) = self.table[id].as_mut() {
                    rest.drain(..used);
                    conn.rest = rest;
                }
            }
            Err(why) => self.lose(handler, id, &why),
        }
    }

    fn lose<H: Handler>(&mut self, handler: &mut H, id: usize, why: &str) {
        self.close(id, false);
        handler.on_closed(self, id, why);
    }

    fn flush_all<H: Handler>(&mut self, handler: &mut H) {
        let mut at = 0;
        while let Some(&id) = self.dirty.get(at) {
            at += 1;
            if let Err(error) = self.flush(id) {
                self.lose(handler, id, &error.to_string());
            }
        }
        self.dirty.clear();
    }

    fn flush(&mut self, id: usize) -> io::Result<()> {
        let Some(conn) = self.table[id].as_mut() else { return Ok(()) };
        conn.is_dirty = false;
        while conn.written < conn.out.len() {
            self.calls.writes += 1;
            match conn.stream.write(&conn.out[conn.written..]) {
                Ok(count) => conn.written += count,
                Err(error) if would_wait(&error) => break,
                Err(error) => return Err(error),
            }
        }
        if conn.written == conn.out.len() {
            conn.written = 0;
            conn.out.clear();
            if conn.out.capacity() > OUT_KEPT {
                conn.out = Vec::new();
            }
        }
        if conn.out.len() - conn.written > OUT_MAX {
            return Err(io::Error::other("the peer does not read"));
        }
        let waits = !conn.out.is_empty();
        if waits != conn.waits_to_write {
            conn.waits_to_write = waits;
            let flags = epoll::EventFlags::IN
                | if waits { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
            epoll::modify(&self.epoll, &conn.stream, epoll::EventData::new_u64(id as u64), flags)?;
        }
        Ok(())
    }
}

fn would_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends back every whole pair of bytes; ends at a `!`.
    #[derive(Default)]
    struct Pairs {
        accepted: usize,
        client: Vec<u8>,
        closed: Vec<String>,
        client_id: Option<usize>,
    }

    impl Handler for Pairs {
        fn on_accept(&mut self, _: &mut Net, _: usize, door: usize) {
            assert_eq!(door, 0);
            self.accepted += 1;
        }

        fn on_bytes(&mut self, net: &mut Net, id: usize, bytes: &mut [u8]) -> Result<usize, String> {
            if self.client_id == Some(id) {
                self.client.extend_from_slice(bytes);
                return Ok(bytes.len());
            }
            if bytes.contains(&b'!') {
                return Err("a shout".to_owned());
            }
            let whole = bytes.len() / 2 * 2;
            net.out(id).extend_from_slice(&bytes[..whole]);
            Ok(whole)
        }

        fn on_closed(&mut self, _: &mut Net, _: usize, why: &str) {
            self.closed.push(why.to_owned());
        }
    }

    fn until(net: &mut Net, pairs: &mut Pairs, done: impl Fn(&Pairs) -> bool) {
        for _ in 0..1000 {
            if done(pairs) {
                return;
            }
            net.turn(pairs, Some(Duration::from_secs(10))).expect("it turns");
        }
        panic!("not in a thousand turns");
    }

    #[test]
    fn parts_are_kept_large_writes_arrive_and_the_end_is_told() {
        let (mut net, mut pairs) = (Net::new().expect("epoll"), Pairs::default());
        let address = net.listen("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let client = net.connect(address).expect("it connects");
        pairs.client_id = Some(client);
        net.out(client).extend_from_slice(b"abc");
        until(&mut net, &mut pairs, |pairs| pairs.client == b"ab");
        let large: Vec<u8> = (0..8_000_001_u32).map(|n| n as u8 | 0x80).collect();
        net.out(client).extend_from_slice(&large);
        until(&mut net, &mut pairs, |pairs| pairs.client.len() == large.len() + 3);
        assert_eq!(&pairs.client[..3], b"abc");
        assert!(pairs.client[3..] == large);
        net.out(client).push(b'!');
        until(&mut net, &mut pairs, |pairs| pairs.closed.len() == 2);
        assert_eq!((pairs.accepted, &pairs.closed[0][..]), (1, "a shout"));
    }
}
