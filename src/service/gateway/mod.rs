//! The gateway of one core: WebSocket clients on one side, broker links on the other.
//!
//! A [`Gateway`] owns all sessions, links and clients of its core and is driven by the core's loop as a
//! [`Handler`]. What happens to bytes is decided in `session`; this module routes: a client's text to its session, a
//! broker's frame to the session that the producer or consumer id names, answers to whoever asked.
//!
//! Within a turn, events mark their session dirty; at its end `Gateway::settle` visits each dirty session once: what it
//! wants sent goes to its links, its timers are armed, its client is paused or read again.
//!
//! | file | holds |
//! |---|---|
//! | `clients` | a client's connection: HTTP head, upgrade, WebSocket frames, closing |
//! | `opening` | from a route to an open session: partitions, attachments, 101 or refusal |
//! | `growth` | topics and partitions that come while it is open |
//! | `legs` | a session's producers and consumers at brokers, step by step |
//! | `brokers`, `service_url` | links, and the broker that is asked first |
//! | `local` | the link to the embedded broker, and to which core a client belongs |
//! | `incoming` | what brokers say |
//! | `settle` | the end of a turn |
//! | `pages`, `report` | health, metrics, statistics |
//! | `web` | requests for the administration of the embedded broker |

mod alarm;
mod brokers;
mod client_time;
mod clients;
mod growth;
mod incoming;
mod legs;
pub mod local;
mod opening;
mod pace;
mod pages;
mod report;
mod roster;
mod service_url;
mod settle;
mod token;
pub mod web;

use crate::base::pool::BufferPool;
use crate::base::prng::Prng;
use crate::base::table::{Key, Table};
use crate::base::time::{Clock, Instant};
use crate::config::gateway::GatewayConfig;
use crate::metrics::GatewayCounters;
use crate::session::consumer::Consumer;
use crate::session::producer::Producer;
use crate::session::replies::Replies;
use crate::session::upstream::{Attachment, Failure, HostPort};
use crate::session::{Context, Goodbye};
use crate::shard::{Closed, ConnKey, Door, Handler, Links, Mail, ShardId};
use crate::wire::pulsar::proto::{MessageIdData, SubscriptionType};
use crate::wire::text::JsonReader;
use crate::wire::ws::deflate::Deflater;
use alarm::Alarm;
use brokers::BrokerLink;
use clients::Client;
use local::{Local, LocalBroker};
use opening::Opening;
use report::Reports;
use roster::Roster;
use service_url::Service;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use token::Token;
use web::WebRequest;

/// What a connection of this core is used for.
enum Conn {
    /// A WebSocket or HTTP client.
    Client(Box<Client>),
    /// A broker link.
    Link(Key),
    /// An HTTP lookup of the service URL.
    Discovery,
}

/// One producer or consumer of a session at a broker.
struct Leg {
    attachment: Attachment,
    /// `producer_id` or `consumer_id`, unique on this core and never reused.
    id: u64,
    /// The link in use or waited for.
    link: Option<Key>,
    /// Counts its PRODUCER or SUBSCRIBE commands: the answer to an earlier one is not that to the last.
    attempt: u32,
}

/// Names a leg: of the session's topics, or the one that carries its dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LegRef {
    session: Key,
    leg: LegIndex,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LegIndex {
    Topic(u32),
    DeadLetters,
}

/// The state machine of a session.
enum Body {
    /// Its topics are being looked up.
    Opening(Box<Opening>),
    Producer(Box<Producer>),
    Consumer(Box<Consumer>),
}

/// What a session is; the order of the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionKind {
    Producer = 0,
    Consumer = 1,
    Reader = 2,
}

/// One session: its state machine, its legs, its client.
struct Session {
    client: ConnKey,
    remote: SocketAddr,
    kind: SessionKind,
    /// Of consumers and readers, for the statistics.
    subscription_kind: SubscriptionType,
    durable: bool,
    /// Namespace and expression of a pattern session.
    pattern: Option<(String, String)>,
    body: Body,
    legs: Vec<Leg>,
    dead_letters: Option<Leg>,
    /// Legs that are not attached now.
    unattached: u32,
    /// The 101 was sent.
    open: bool,
    /// While opening: when the client is told that it took too long.
    open_until: Instant,
    /// The last failure while opening, for that answer.
    last_failure: Option<Failure>,
    /// On the dirty list.
    dirty: bool,
    /// Deflate was agreed on.
    deflate: bool,
    /// Its client is not read from.
    paused: bool,
    /// On the list of sessions that wait for the core's budget.
    starved: bool,
    /// Its client's outbox is full: it delivers nothing.
    blocked: bool,
    /// It waits for unconfirmed messages, then is closed: the process stops.
    draining: bool,
    /// Answers of brokers to an unsubscription still awaited.
    unsubscribing: u32,
    /// Bytes of it counted in the core's pending bytes.
    pending_counted: usize,
    /// Last frame to the client.
    last_sent: Instant,
    alarm: Alarm,
    /// Pattern sessions and partitioned topics look for new topics then.
    discover_at: Instant,
    discover_every: Duration,
    /// Statistics key of a session with several topics.
    stats_name: Option<String>,
}

/// Who waits for a broker's answer.
#[derive(Clone, Copy, Debug)]
enum Waiter {
    /// An opening session: the partitions of its n-th topic.
    Partitions(Key, u32),
    /// An open session: how many partitions the base of its n-th topic has by now.
    Growth(Key, u32),
    /// A session: the topics of its namespace.
    Topics(Key),
    /// A leg: where its broker is.
    Lookup(LegRef),
    /// A leg: its n-th PRODUCER or SUBSCRIBE.
    Create(LegRef, u32),
    /// A leg: its unsubscription.
    Unsubscribe(LegRef),
    /// Nobody: the session is gone.
    Nobody,
}

/// The gateway of one core.
pub struct Gateway {
    config: Arc<GatewayConfig>,
    shards: usize,
    prng: Prng,
    stopping: Option<Stopping>,
    conns: Roster<Conn>,
    sessions: Table<Session>,
    links: Table<BrokerLink>,
    links_by_target: BTreeMap<brokers::Target, Key>,
    service: Service,
    /// Requests for the administration, not yet handed out.
    web: VecDeque<WebRequest>,
    /// The embedded broker, if that is what sessions are served from.
    local: Option<Local>,
    producers: HashMap<u64, LegRef, IdHash>,
    consumers: HashMap<u64, LegRef, IdHash>,
    next_id: u64,
    dirty: Vec<Key>,
    visiting: Vec<Key>,
    /// Sessions paused because the core's budget, not their own, was used up.
    starved: Vec<Key>,
    pending_bytes: usize,
    counters: GatewayCounters,
    reports: Reports,
    json: JsonReader,
    pool: BufferPool,
    deflater: Option<Box<Deflater>>,
    scratch: Vec<u8>,
    /// The list of the ids of one ACK after the other: room for [`limit::ACK_IDS_MAX`] at most.
    ack_ids: Vec<MessageIdData>,
}

/// A stop under way.
#[derive(Clone, Copy)]
struct Stopping {
    /// Unconfirmed messages are waited for until then.
    until: Instant,
}

/// Ids are counted up: a multiplication spreads them well enough.
#[derive(Clone, Copy, Default)]
struct IdHash;

struct IdHasher(u64);

impl std::hash::BuildHasher for IdHash {
    type Hasher = IdHasher;
    fn build_hasher(&self) -> IdHasher {
        IdHasher(0)
    }
}

impl std::hash::Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }
    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

impl Gateway {
    /// The gateway of core `shard` of `shards`. `seed` feeds jitter and generated names.
    pub fn new(config: Arc<GatewayConfig>, _shard: ShardId, shards: usize, seed: u64) -> Gateway {
        Gateway {
            service: Service::new(&config.service, seed),
            config,
            local: None,
            web: VecDeque::new(),
            shards,
            prng: Prng::new(seed),
            stopping: None,
            conns: Roster::default(),
            sessions: Table::default(),
            links: Table::default(),
            links_by_target: BTreeMap::new(),
            producers: HashMap::default(),
            consumers: HashMap::default(),
            next_id: 0,
            dirty: Vec::new(),
            visiting: Vec::new(),
            starved: Vec::new(),
            pending_bytes: 0,
            counters: GatewayCounters::default(),
            reports: Reports::default(),
            json: JsonReader::default(),
            pool: BufferPool::default(),
            deflater: None,
            scratch: Vec::new(),
            ack_ids: Vec::new(),
        }
    }

    /// The same in front of the embedded broker of this process: see [`local`].
    pub fn local(config: Arc<GatewayConfig>, shards: usize, seed: u64, broker: LocalBroker) -> Gateway {
        let (local, service) = (Some(Local::new(broker)), Service::local());
        Gateway { local, service, ..Gateway::new(config, ShardId(0), shards, seed) }
    }

    /// Bytes of unconfirmed messages this core may hold: its share of the process's budget.
    fn pending_bytes_max(&self) -> usize {
        (self.config.process_pending_bytes_max / self.shards.max(1))
            .max(self.config.session_pending_bytes_max)
    }

    fn mark_dirty(&mut self, key: Key) {
        mark_dirty(&mut self.sessions, &mut self.dirty, key);
    }

    /// Runs `work` on a session's state machine with its client's outbox. `None`: the session or its client is gone.
    fn with_session<R>(
        &mut self,
        io: &mut Links,
        key: Key,
        work: impl FnOnce(&mut Body, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let session = self.sessions.get_mut(key)?;
        let clock = io.clock();
        let out = match session.open {
            true => io.outbox(session.client)?,
            false => &mut self.scratch, // nothing is said before the 101
        };
        let before = out.len();
        let mut tools = Tools { json: &mut self.json, pool: &mut self.pool, deflater: &mut self.deflater };
        let mut text = Vec::new();
        let result = {
            let mut cx = tools.context(clock, out, session.deflate, &mut text);
            work(&mut session.body, &mut cx)
        };
        let written = out.len() - before;
        if written > 0 {
            session.last_sent = clock.now;
            self.counters.bytes_sent += written as u64;
        }
        debug_assert!(session.open || self.scratch.is_empty(), "nothing is said before the 101");
        if !std::mem::replace(&mut session.dirty, true) {
            self.dirty.push(key);
        }
        Some(result)
    }
}

/// What sessions borrow from their core.
struct Tools<'a> {
    json: &'a mut JsonReader,
    pool: &'a mut BufferPool,
    deflater: &'a mut Option<Box<Deflater>>,
}

impl Tools<'_> {
    fn context<'b>(
        &'b mut self,
        clock: Clock,
        out: &'b mut Vec<u8>,
        deflate: bool,
        text: &'b mut Vec<u8>,
    ) -> Context<'b> {
        let replies = match deflate {
            false => Replies::plain(out),
            true => Replies::deflated(out, self.deflater.get_or_insert_with(Box::default), text),
        };
        Context { clock, replies, json: self.json, pool: self.pool }
    }
}

fn mark_dirty(sessions: &mut Table<Session>, dirty: &mut Vec<Key>, key: Key) {
    if let Some(session) = sessions.get_mut(key)
        && !session.dirty
    {
        session.dirty = true;
        dirty.push(key);
    }
}

impl Handler for Gateway {
    fn on_accept(&mut self, io: &mut Links, key: ConnKey, peer: SocketAddr, _: Door) {
        self.accept(io, key, peer);
    }

    fn on_connected(&mut self, io: &mut Links, key: ConnKey, result: Result<(), i32>) {
        match self.conns.get_mut(key) {
            Some(Conn::Link(link)) => {
                let link = *link;
                self.link_connected(io, link, key, result);
            }
            Some(Conn::Discovery) => self.discovery_connected(io, key, result),
            _ => self.counters.stale_events += 1,
        }
    }

    fn on_bytes(&mut self, io: &mut Links, key: ConnKey, bytes: &mut [u8]) {
        match self.conns.get_mut(key) {
            Some(Conn::Client(_)) => self.client_bytes(io, key, bytes),
            Some(Conn::Link(link)) => {
                let link = *link;
                self.link_bytes(io, link, bytes);
            }
            Some(Conn::Discovery) => self.discovery_bytes(io, key, bytes, false),
            None => self.counters.stale_events += 1,
        }
    }

    fn on_eof(&mut self, io: &mut Links, key: ConnKey) {
        match self.conns.get_mut(key) {
            Some(Conn::Client(_)) => self.client_eof(io, key),
            Some(Conn::Link(link)) => {
                let link = *link;
                self.link_closed_by_broker(io, link);
            }
            Some(Conn::Discovery) => self.discovery_bytes(io, key, &[], true),
            None => self.counters.stale_events += 1,
        }
    }

    fn on_drained(&mut self, io: &mut Links, key: ConnKey) {
        match self.conns.get_mut(key) {
            Some(Conn::Client(client)) => match client.session() {
                Some(session) => self.client_drained(io, session),
                None => self.client_head_drained(io, key),
            },
            Some(Conn::Link(link)) => {
                let link = *link;
                self.link_drained(link);
            }
            _ => {}
        }
    }

    fn on_closed(&mut self, io: &mut Links, key: ConnKey, why: Closed) {
        match self.conns.remove(key) {
            Some(Conn::Client(client)) => {
                if let Some(session) = client.session() {
                    self.end_session(io, session);
                }
            }
            Some(Conn::Link(link)) => self.link_lost(io, link, &closed_text(why)),
            Some(Conn::Discovery) => self.discovery_closed(io, key, &closed_text(why)),
            None if why == Closed::Local => {} // aborted after what it was for had ended
            None => self.counters.stale_events += 1,
        }
    }

    fn on_timer(&mut self, io: &mut Links, token: u64) {
        match Token::unpack(token) {
            Some(Token::Client(key)) => self.client_timer(io, key),
            Some(Token::Session(key)) => self.session_timer(io, key),
            Some(Token::Link(key)) => self.link_timer(io, key),
            Some(Token::Service) => self.service_timer(io),
            Some(Token::Interval) => self.interval_timer(io),
            None => self.counters.stale_events += 1,
        }
    }

    fn on_resolved(&mut self, io: &mut Links, token: u64, result: Result<Vec<SocketAddr>, String>) {
        match Token::unpack(token) {
            Some(Token::Link(key)) => self.link_resolved(io, key, result),
            Some(Token::Service) => self.discovery_resolved(io, result),
            _ => self.counters.stale_events += 1,
        }
    }

    fn on_mail(&mut self, io: &mut Links, from: ShardId, mail: Mail) {
        self.mail(io, from, mail);
    }

    fn on_start(&mut self, io: &mut Links) {
        self.service_start(io);
        self.start_intervals(io);
    }

    fn on_turn_end(&mut self, io: &mut Links) {
        self.settle(io);
    }

    fn on_stop(&mut self, io: &mut Links, spread: Duration) {
        self.stop(io, spread);
    }

    fn is_quiet(&self) -> bool {
        self.stopping.is_some() && !self.conns.iter().any(|(_, conn)| matches!(conn, Conn::Client(_)))
    }
}

fn closed_text(why: Closed) -> String {
    match why {
        Closed::Local => "closed here".to_owned(),
        Closed::Peer => "closed by the peer".to_owned(),
        Closed::Errno(errno) => errno_text(errno),
        Closed::Moved => "moved to another core".to_owned(),
    }
}

/// `Connection refused` and the like, without the number.
fn errno_text(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// The farewell of a stop. Source: API 9.1, RFC 6455 section 7.4.1.
const GOODBYE_STOPPING: Goodbye = Goodbye { code: 1001, reason: "the server is shutting down" };

/// `host:port` of the configuration as an address.
fn host_port(pair: &(String, u16)) -> HostPort {
    HostPort { host: pair.0.clone(), port: pair.1 }
}
