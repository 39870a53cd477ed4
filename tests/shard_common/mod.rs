//! What the tests of the cores share: an echo with back-pressure that tells the test what it sees, and streams of bytes
//! that show loss, order and cross-talk.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses its part, and fails by panicking"
)]

use pulsegate::base::time::Instant;
use pulsegate::shard::links::{Closed, ConnKey, Door, Handler, IoStats, Links};
use pulsegate::shard::mesh::{Mail, ShardId};
use pulsegate::shard::run::{Driver, RunConfig, Running, run};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Longest wait for anything that must come.
pub const WAIT: Duration = Duration::from_secs(20);
pub const HIGH: usize = 256 * 1024;
pub const LOW: usize = 64 * 1024;
pub const LINGER: Duration = Duration::from_secs(5);

/// The drivers this machine has: the ring only where the kernel allows it.
pub fn drivers() -> Vec<Driver> {
    match pulsegate::shard::probe() {
        Ok(()) => vec![Driver::Ring, Driver::Portable],
        Err(reason) => {
            eprintln!("without the ring: {reason}");
            vec![Driver::Portable]
        }
    }
}

pub fn config(driver: Driver, cores: usize) -> RunConfig {
    RunConfig {
        cores: (0..cores).collect(),
        pin: false,
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        connections_max: 1024,
        driver,
        drain_spread: Duration::from_millis(10),
        drain_time_max: Duration::from_millis(500),
        data: None,
        meta: None,
    }
}

/// What the echo tells the test.
#[derive(Debug, PartialEq)]
pub enum Seen {
    Accepted(ShardId, ConnKey, SocketAddr),
    /// After each `Accepted`: the door, and our own address.
    Door(Door, Option<SocketAddr>),
    Connected(Result<(), i32>),
    Eof,
    Closed(Closed),
    Timer(u64, Instant, Instant),
    Resolved(u64, Result<Vec<SocketAddr>, String>),
    Mail(ShardId, ShardId, u64),
    Adopted(ShardId, SocketAddr, usize),
    /// Largest outbox ever seen, and the counters, at the end.
    Ended(ShardId, usize, IoStats),
}

/// What the test may make the echo do: the first byte of a connection's first bytes asks for it.
pub mod ask {
    /// Echo.
    pub const ECHO: u8 = 0;
    /// Say "bye" and close with `LINGER` although the client goes on sending.
    pub const CLOSE: u8 = b'c';
    /// Reset.
    pub const ABORT: u8 = b'a';
    /// Connect to the address in the following text.
    pub const CONNECT: u8 = b'C';
    /// As `CONNECT`, but give up after 50 ms.
    pub const CONNECT_SHORT: u8 = b'S';
    /// Arm timers for now + 1, 20, 150 ms.
    pub const TIMERS: u8 = b't';
    /// Look up the name that follows.
    pub const RESOLVE: u8 = b'r';
    /// Send mail to the core whose number follows as a digit.
    pub const MAIL: u8 = b'm';
    /// Migrate to the next core, then echo there.
    pub const MIGRATE: u8 = b'M';
    /// Hold this many (digits) milliseconds of the core's time.
    pub const BURN: u8 = b'b';
}

pub struct Echo {
    seen: Sender<Seen>,
    fresh: BTreeMap<ConnKey, bool>,
    armed: BTreeMap<u64, Instant>,
    outbox_max: usize,
    stopping: bool,
    last_stats: Option<(ShardId, IoStats)>,
}

impl Echo {
    pub fn new(seen: Sender<Seen>) -> Echo {
        Echo {
            seen,
            fresh: BTreeMap::new(),
            armed: BTreeMap::new(),
            outbox_max: 0,
            stopping: false,
            last_stats: None,
        }
    }

    fn tell(&self, seen: Seen) {
        // The test may have seen enough.
        drop(self.seen.send(seen));
    }

    fn echo(&mut self, io: &mut Links, key: ConnKey, bytes: &[u8]) {
        let Some(outbox) = io.outbox(key) else { return };
        outbox.extend_from_slice(bytes);
        let queued = io.queued(key);
        self.outbox_max = self.outbox_max.max(queued);
        if queued > HIGH {
            io.pause(key);
            io.notify_below(key, LOW);
        }
    }

    fn command(&mut self, io: &mut Links, key: ConnKey, bytes: &[u8]) {
        let text = String::from_utf8_lossy(&bytes[1..]).into_owned();
        match bytes[0] {
            ask::CLOSE => {
                if let Some(outbox) = io.outbox(key) {
                    outbox.extend_from_slice(b"bye");
                }
                io.close(key, LINGER);
            }
            ask::ABORT => io.abort(key),
            ask::CONNECT | ask::CONNECT_SHORT => {
                let short = bytes[0] == ask::CONNECT_SHORT;
                let time = if short { Duration::from_millis(50) } else { WAIT };
                io.connect(text.parse().unwrap(), time).unwrap();
            }
            ask::TIMERS => {
                for millis in [150, 1, 20] {
                    let at = io.clock().now + Duration::from_millis(millis);
                    self.armed.insert(millis, at);
                    io.arm(at, millis);
                }
            }
            ask::RESOLVE => io.resolve(7, &text, 4242),
            ask::MAIL => {
                let to = ShardId(text.parse().unwrap());
                io.mail(to, Mail::Report { ticket: 99, sessions: false }).unwrap();
            }
            ask::BURN => burn(Duration::from_millis(text.parse().unwrap())),
            ask::MIGRATE => {
                let next = ShardId((io.shard().0 + 1) % io.shards() as u16);
                self.fresh.remove(&key);
                io.migrate(key, next, bytes[1..].to_vec());
            }
            _ => self.echo(io, key, bytes),
        }
    }
}

impl Handler for Echo {
    fn on_accept(&mut self, io: &mut Links, key: ConnKey, peer: SocketAddr, door: Door) {
        assert_eq!(io.peer(key), Some(peer));
        self.fresh.insert(key, true);
        self.tell(Seen::Accepted(io.shard(), key, peer));
        self.tell(Seen::Door(door, io.local(key)));
    }

    fn on_connected(&mut self, io: &mut Links, key: ConnKey, result: Result<(), i32>) {
        if result.is_ok() {
            io.outbox(key).unwrap().extend_from_slice(b"hello");
            io.close(key, LINGER);
        } else {
            assert!(io.outbox(key).is_none() && io.peer(key).is_none(), "the key is dead after an error");
        }
        self.tell(Seen::Connected(result));
    }

    fn on_bytes(&mut self, io: &mut Links, key: ConnKey, bytes: &mut [u8]) {
        match self.fresh.insert(key, false) {
            Some(true) => self.command(io, key, bytes),
            _ => self.echo(io, key, bytes),
        }
    }

    fn on_eof(&mut self, io: &mut Links, key: ConnKey) {
        self.tell(Seen::Eof);
        io.close(key, LINGER);
    }

    fn on_drained(&mut self, io: &mut Links, key: ConnKey) {
        assert!(io.queued(key) <= LOW);
        io.resume(key);
    }

    fn on_closed(&mut self, io: &mut Links, key: ConnKey, why: Closed) {
        assert!(io.peer(key).is_none(), "last call for this key");
        self.fresh.remove(&key);
        self.last_stats = Some((io.shard(), io.stats()));
        self.tell(Seen::Closed(why));
    }

    fn on_timer(&mut self, io: &mut Links, token: u64) {
        let at = self.armed[&token];
        self.tell(Seen::Timer(token, at, io.clock().now));
    }

    fn on_resolved(&mut self, _: &mut Links, token: u64, result: Result<Vec<SocketAddr>, String>) {
        self.tell(Seen::Resolved(token, result));
    }

    fn on_mail(&mut self, io: &mut Links, from: ShardId, mail: Mail) {
        match mail {
            Mail::Adopt { key, peer, head } => {
                self.fresh.insert(key, false);
                self.tell(Seen::Adopted(io.shard(), peer, head.len()));
                self.echo(io, key, &head);
            }
            Mail::Report { ticket, .. } => self.tell(Seen::Mail(from, io.shard(), ticket)),
            _ => {}
        }
    }

    fn on_turn_end(&mut self, io: &mut Links) {
        self.last_stats = Some((io.shard(), io.stats()));
    }

    fn on_stop(&mut self, io: &mut Links, _spread: Duration) {
        self.stopping = true;
        let keys: Vec<ConnKey> = self.fresh.keys().copied().collect();
        keys.into_iter().for_each(|key| io.close(key, LINGER));
    }

    fn is_quiet(&self) -> bool {
        self.stopping
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        if let Some((shard, stats)) = self.last_stats {
            self.tell(Seen::Ended(shard, self.outbox_max, stats));
        }
    }
}

/// A running echo and what it tells.
pub struct Server {
    pub running: Running,
    pub seen: Receiver<Seen>,
    told: Vec<Seen>,
}

impl Server {
    pub fn start(config: RunConfig) -> Server {
        let (sender, seen) = channel();
        let running = run(config, move |_| Echo::new(sender.clone())).unwrap();
        Server { running, seen, told: Vec::new() }
    }

    pub fn address(&self) -> SocketAddr {
        self.running.listening[0]
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.address())
    }

    /// Waits for something the echo tells; what it told besides is kept for later questions.
    pub fn wait_for(&mut self, what: impl Fn(&Seen) -> bool) -> Seen {
        if let Some(at) = self.told.iter().position(&what) {
            return self.told.remove(at);
        }
        loop {
            let seen =
                self.seen.recv_timeout(WAIT).unwrap_or_else(|_| panic!("never told; only {:?}", self.told));
            if what(&seen) {
                return seen;
            }
            self.told.push(seen);
        }
    }

    pub fn closed(&mut self) -> Closed {
        match self.wait_for(|seen| matches!(seen, Seen::Closed(_))) {
            Seen::Closed(why) => why,
            _ => unreachable!(),
        }
    }

    /// Stops, and returns each core's largest outbox and counters.
    pub fn stop(self) -> Vec<(usize, IoStats)> {
        self.running.stop();
        let Server { running, seen, mut told } = self;
        running.join().unwrap();
        let mut all: Vec<_> = told
            .drain(..)
            .chain(seen.try_iter())
            .filter_map(|seen| match seen {
                Seen::Ended(shard, outbox_max, stats) => Some((shard, outbox_max, stats)),
                _ => None,
            })
            .collect();
        all.sort_by_key(|(shard, ..)| *shard);
        let ends: Vec<_> = all.into_iter().map(|(_, outbox_max, stats)| (outbox_max, stats)).collect();
        assert!(ends.iter().all(|(_, stats)| stats.stale == 0), "completions for dead keys: {ends:?}");
        ends
    }
}

pub fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(WAIT)).unwrap();
    stream.set_write_timeout(Some(WAIT)).unwrap();
    stream
}

/// A byte that depends on the stream and the position: cross-talk, loss and reordering cannot hide. Never `ask`s.
pub fn pattern(stream: u64, from: u64, length: usize) -> Vec<u8> {
    let byte = |position: u64| {
        let x = (stream.wrapping_mul(0x9e37_79b9).wrapping_add(position)).wrapping_mul(0x2545_f491_4f6c_dd1d);
        (x >> 56) as u8
    };
    (from..from + length as u64).map(|position| if position == 0 { 0 } else { byte(position) }).collect()
}

/// Reads `length` bytes and compares.
pub fn expect(stream: &mut TcpStream, id: u64, from: u64, length: usize) {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    assert!(bytes == pattern(id, from, length), "wrong bytes on stream {id} at {from}");
}

/// Closes with a reset.
pub fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Keeps the thread busy, as a heavy neighbour or a long computation would.
#[allow(clippy::disallowed_methods, reason = "a test measures real time")]
pub fn burn(time: Duration) {
    let start = std::time::Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// One round trip.
pub fn ping(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, text);
}
