//! The embedded broker of one core: the hosts of its stores, its replica of the catalogue, its native clients, and the way of a
//! request to the host that has its topic, here or at another core.
//!
//! Events come in by `on_*`; what they mean for a host is told to it at once or put into the mail of its core. At the end of a
//! turn [`Embedded::drive`] drives each host that heard of something, once, so that all appends of a turn share a frame of the
//! log; replies go into outboxes, mail leaves, clients are read from or not.
//!
//! | file | holds |
//! |---|---|
//! | `clients` | native connections: bytes, timers, closing |
//! | `ids` | from the id that a reply carries to the connection |
//! | `route` | requests and replies between cores, and their credit |
//! | `asks` | look-ups, partitions, topic lists |
//! | `schemas` | schemas of clients, before a host hears of them |
//! | `local` | the gateway's own connection |

mod asks;
mod clients;
mod ids;
mod local;
mod route;
mod schemas;
mod token;

use crate::base::limit;
use crate::base::time::Instant;
use crate::broker::admin::{AdminAnswer, AdminAsk};
use crate::broker::catalogue::Catalogue;
use crate::broker::host::{Host, HostState, Reply, Request, Told, store_of};
use crate::session::arena::Arena;
use crate::session::inbound::{Effect, Places, Settings};
use crate::shard::meta::MetaRecord;
use crate::shard::{Links, Mail, ShardId};
use crate::store::{Completion, DiskError, OpId, StoreId};
use asks::Tickets;
use clients::Clients;
use local::LocalLink;
use route::Peers;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use token::Token;

/// Rounds of hosts, clients and the gateway within one turn; what is left goes on in the next.
const ROUNDS_MAX: usize = 4;

/// What the embedded brokers of all cores have in common.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// Stores of the data folder.
    pub stores: u16,
    /// URL that look-ups tell, `pulsar://host:port` (`advertisedAddress`). `None`: the address that the client dialled.
    pub advertised: Option<String>,
    /// PING this often (`keepAliveIntervalSeconds`).
    pub keep_alive: Duration,
    /// Largest message, bytes of metadata and payload (`maxMessageSize`).
    pub message_size_max: usize,
    /// Native connections of the process; 0: any number (`brokerMaxConnections`).
    pub connections_max: usize,
    /// Native connections of the process from one address; 0: any number (`brokerMaxConnectionsPerIp`).
    pub connections_per_ip_max: usize,
    /// Bytes of entries that each core holds for its native producers before it reads no more of them
    /// (`maxMessagePublishBufferSizeInMB` over the number of cores).
    pub publish_bytes_max: usize,
    /// What policies are when no namespace and no topic says otherwise.
    pub policies: crate::broker::catalogue::Effective,
    /// Native connections open now, of all cores.
    pub connections: Arc<AtomicUsize>,
}

/// A host and what this core knows of it.
struct Hosted {
    host: Host,
    /// It heard of something since it was driven last.
    stirred: bool,
    /// Its timer is armed for then.
    timer_at: Instant,
}

/// The embedded broker of one core.
pub struct Embedded {
    config: Arc<EmbeddedConfig>,
    shard: ShardId,
    /// Store s is at index s / cores.
    hosts: Vec<Hosted>,
    catalogue: Catalogue,
    clients: Clients,
    local: LocalLink,
    peers: Peers,
    tickets: Tickets,
    /// Answers for this core's administrators.
    answers: VecDeque<(u64, AdminAnswer)>,
    arena: Arena,
    effects: Vec<Effect>,
    /// Bytes of entries and cut-off frames that native clients made us hold.
    publish_bytes: usize,
    stopping: bool,
}

impl Embedded {
    /// The embedded broker of core `shard` of `shards`. `hosts`: those of its stores, ascending. `records`: all that the meta store
    /// holds.
    pub fn new(
        config: Arc<EmbeddedConfig>,
        shard: ShardId,
        shards: usize,
        hosts: Vec<Host>,
        records: &[MetaRecord],
    ) -> Embedded {
        let mut catalogue = Catalogue::default();
        for record in records {
            catalogue.apply(&record.key, record.version, record.value.as_deref());
        }
        let hosts = hosts.into_iter().map(|host| Hosted { host, stirred: true, timer_at: Instant::FAR });
        let places = Places { stores: config.stores, of: |topic, stores| store_of(topic, stores).0 };
        let settings =
            Settings { places, keep_alive: config.keep_alive, message_size_max: config.message_size_max };
        Embedded {
            shard,
            hosts: hosts.collect(),
            catalogue,
            clients: Clients::new(shard, settings),
            local: LocalLink::new(shard, places),
            peers: Peers::new(shards),
            tickets: Tickets::default(),
            answers: VecDeque::new(),
            arena: Arena::default(),
            effects: Vec::new(),
            publish_bytes: 0,
            stopping: false,
            config,
        }
    }

    /// This core's replica of the catalogue.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// What all cores have in common.
    pub fn config(&self) -> &EmbeddedConfig {
        &self.config
    }

    /// The state of each of this core's hosts.
    pub fn host_states(&self) -> impl Iterator<Item = (StoreId, HostState)> {
        self.hosts.iter().map(|hosted| (hosted.host.store(), hosted.host.state()))
    }

    /// All hosts of this core serve.
    pub fn is_open(&self) -> bool {
        self.hosts.iter().all(|hosted| hosted.host.is_open())
    }

    /// Native connections of this core.
    pub fn connections(&self) -> usize {
        self.clients.len()
    }

    /// Which core has a store.
    pub fn core_of(&self, store: StoreId) -> ShardId {
        self.peers.core_of(store)
    }

    fn hosted(&mut self, store: StoreId) -> Option<&mut Hosted> {
        let hosted = self.hosts.get_mut(usize::from(store.0) / self.peers.len())?;
        (hosted.host.store() == store).then_some(hosted)
    }

    /// A disk request of a host ended.
    pub fn on_disk(
        &mut self,
        io: &mut Links,
        store: StoreId,
        op: OpId,
        result: Result<Completion, DiskError>,
    ) {
        let clock = io.clock();
        if let Some(hosted) = self.hosted(store) {
            hosted.host.on_disk(clock, op, result);
            hosted.stirred = true;
        }
    }

    /// Records of the meta store changed.
    pub fn on_records(&mut self, io: &mut Links, records: &[MetaRecord]) {
        for record in records {
            self.catalogue.apply(&record.key, record.version, record.value.as_deref());
        }
        let keys: Vec<&str> = records.iter().map(|record| record.key.as_str()).collect();
        for hosted in &mut self.hosts {
            hosted.host.on_catalogue(io.clock(), &self.catalogue, &keys);
            hosted.stirred = true;
        }
    }

    /// An administrator's question to the host of a store; the answer comes from [`Embedded::poll_answer`].
    pub fn ask(&mut self, io: &mut Links, store: StoreId, ticket: u64, ask: AdminAsk) {
        let core = self.core_of(store);
        if core != self.shard {
            self.peers.ask(core, ticket, store, ask);
            return;
        }
        self.ask_here(io, store, self.shard, ticket, ask);
    }

    fn ask_here(&mut self, io: &mut Links, store: StoreId, from: ShardId, ticket: u64, ask: AdminAsk) {
        let clock = io.clock();
        let here = self.tickets.note_admin(from, ticket);
        let hosts = usize::from(store.0) / self.peers.len();
        match self.hosts.get_mut(hosts).filter(|hosted| hosted.host.store() == store) {
            Some(hosted) => {
                hosted.host.on_ask(clock, &self.catalogue, here, ask);
                hosted.stirred = true;
            }
            None => log::error!("a question for store {} came to core {}", store.0, self.shard.0),
        }
    }

    /// The next answer to a question of [`Embedded::ask`].
    pub fn poll_answer(&mut self) -> Option<(u64, AdminAnswer)> {
        self.answers.pop_front()
    }

    /// Mail of another core. `Err`: it is somebody else's.
    pub fn on_mail(&mut self, io: &mut Links, from: ShardId, mail: Mail) -> Result<(), Mail> {
        match mail {
            Mail::Requests(requests) => self.on_requests(io, from, requests),
            Mail::Replies { replies, credit } => {
                self.on_credit(io, from, credit);
                for reply in replies {
                    self.on_reply(io, reply);
                }
            }
            Mail::Ask { ticket, store, ask } => self.ask_here(io, store, from, ticket, *ask),
            Mail::Answered { ticket, answer } => self.answers.push_back((ticket, *answer)),
            other => return Err(other),
        }
        Ok(())
    }

    /// A timer is due. `Err`: it is somebody else's.
    pub fn on_timer(&mut self, io: &mut Links, token: u64) -> Result<(), u64> {
        match Token::unpack(token).ok_or(token)? {
            Token::Client(key) => self.client_timer(io, key),
            Token::Host(index) => {
                let clock = io.clock();
                if let Some(hosted) = self.hosts.get_mut(usize::from(index)) {
                    hosted.timer_at = Instant::FAR;
                    hosted.host.on_timer(clock, &self.catalogue);
                    hosted.stirred = true;
                }
            }
        }
        Ok(())
    }

    /// The end of a turn: hosts are driven, what they say is delivered, clients are read from or not. True: the gateway has
    /// something to hear ([`Embedded::poll_local`]).
    pub fn drive(&mut self, io: &mut Links) -> bool {
        for _ in 0..ROUNDS_MAX {
            let mut quiet = true;
            for index in 0..self.hosts.len() {
                quiet &= !self.drive_host(io, index);
            }
            self.release_here(io);
            self.settle_clients(io);
            if quiet && !self.hosts.iter().any(|hosted| hosted.stirred) {
                break;
            }
        }
        self.post(io);
        if self.hosts.iter().any(|hosted| hosted.stirred) || self.clients.are_unsettled() {
            self.wake(io);
        }
        self.local.has_events() || !self.answers.is_empty()
    }

    /// Drives one host if it heard of something, and hands on what it says. True: it was driven.
    fn drive_host(&mut self, io: &mut Links, index: usize) -> bool {
        let clock = io.clock();
        let hosted = &mut self.hosts[index];
        if !hosted.stirred || !self.peers.may_reply() {
            return false;
        }
        hosted.stirred = hosted.host.drive(clock, &self.catalogue);
        let store = hosted.host.store();
        while let Some((op, request)) = hosted.host.take_op() {
            io.disk(store, op, request);
        }
        if let Some(at) = hosted.host.next_time(clock)
            && at < hosted.timer_at
        {
            hosted.timer_at = at;
            io.arm(at, Token::Host(index as u16).pack());
        }
        while let Some(reply) = self.hosts[index].host.poll_reply() {
            self.reply(io, reply);
        }
        while let Some((ticket, answer)) = self.hosts[index].host.poll_answer() {
            match self.tickets.take_admin(ticket) {
                Some((core, ticket)) if core == self.shard => self.answers.push_back((ticket, answer)),
                Some((core, ticket)) => self.peers.answer(core, ticket, answer),
                None => {}
            }
        }
        true
    }

    /// The core does not sleep: there is something to do in the next turn.
    pub fn wake(&self, io: &mut Links) {
        // A full mailbox of our own means that there is a next turn anyway.
        drop(io.mail(self.shard, Mail::Requests(Vec::new())));
    }

    /// What a host of this core says: for a connection here, or for one of another core.
    fn reply(&mut self, io: &mut Links, reply: Reply) {
        let core = ids::core_of(reply.to);
        if core == self.shard {
            self.on_reply(io, reply);
        } else {
            self.peers.reply(core, reply);
        }
    }

    /// What a host says to a connection of this core, or to this core itself.
    fn on_reply(&mut self, io: &mut Links, reply: Reply) {
        match reply.what {
            Told::Exists { ticket, exists } => self.on_exists(io, ticket, exists),
            Told::Topics { ticket, names } => self.on_topics(io, ticket, names),
            told if self.local.is(reply.to) => self.local.on_told(io.clock().now, told),
            told => self.client_told(io, reply.to, told),
        }
    }

    /// Something for the host of a store.
    fn request(&mut self, io: &mut Links, request: Request) {
        let core = self.core_of(request.store);
        if core != self.shard {
            self.peers.request(core, request);
            return;
        }
        self.request_here(io, request);
    }

    fn request_here(&mut self, io: &mut Links, request: Request) {
        let index = usize::from(request.store.0) / self.peers.len();
        match self.hosts.get_mut(index).filter(|hosted| hosted.host.store() == request.store) {
            Some(hosted) => {
                hosted.host.on_request(io.clock(), &self.catalogue, request);
                hosted.stirred = true;
            }
            None => log::error!("a request for store {} came to core {}", request.store.0, self.shard.0),
        }
    }

    /// The process is to stop: native clients are closed, and find us again or do not. Their producers and consumers go with them.
    pub fn on_stop(&mut self, io: &mut Links) {
        self.stopping = true;
        self.close_all(io);
    }

    /// What is usually saved with a delay is saved now: nobody uses the topics any more.
    pub fn save_all(&mut self, io: &Links) {
        for hosted in &mut self.hosts {
            hosted.host.save_all(io.clock());
            hosted.stirred = true;
        }
    }

    /// Brings the stores to rest. False: there is something to wait for.
    pub fn settle_down(&mut self) -> bool {
        let mut settled = true;
        for hosted in &mut self.hosts {
            settled &= !hosted.stirred && hosted.host.settle_down();
            hosted.stirred = true;
        }
        settled
    }

    /// Nothing is left to wait for after [`Embedded::on_stop`].
    pub fn is_quiet(&self) -> bool {
        self.stopping && self.clients.is_empty()
    }
}

const _: () = assert!(limit::CORE_CONNECTIONS_MAX < ids::SLOTS, "every connection has an id");
