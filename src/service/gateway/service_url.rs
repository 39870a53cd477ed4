//! The service URL: the broker we ask first. With `pulsar://` one of its hosts; with `http://` the broker that an HTTP
//! lookup names. Questions wait here until a link is ready, and fail together when none can be had. As long as nobody asks, an
//! `http://` host is only asked whether it answers at all: that is what `/readyz` tells.

use super::brokers::Target;
use super::legs::failed;
use super::token::Token;
use super::{Conn, Gateway, LegRef, Waiter, errno_text, host_port};
use crate::base::limit;
use crate::base::prng::Prng;
use crate::base::table::Key;
use crate::base::time::Instant;
use crate::config::gateway::ServiceUrl;
use crate::session::upstream::discover::{Discovered, Discovery};
use crate::session::upstream::{Answer, Failure, HostPort};
use crate::shard::{ConnKey, Links};
use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto as p;
use crate::wire::route::TopicName;
use std::net::SocketAddr;
use std::time::Duration;

/// A question for the service URL.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    /// How many partitions has a topic?
    Partitions { topic: TopicName, waiter: Waiter },
    /// Which topics has a namespace?
    Topics { namespace: String, waiter: Waiter },
    /// Where is the broker of a topic?
    Lookup { topic: TopicName, authoritative: bool, leg: LegRef },
}

impl Ask {
    pub(super) fn waiter(&self) -> Waiter {
        match self {
            Ask::Partitions { waiter, .. } | Ask::Topics { waiter, .. } => *waiter,
            Ask::Lookup { leg, .. } => Waiter::Lookup(*leg),
        }
    }

    fn command(&self, request_id: u64) -> Command {
        match self {
            Ask::Partitions { topic, .. } => {
                Command::PartitionedMetadata(p::CommandPartitionedTopicMetadata {
                    topic: topic.as_str().to_owned(),
                    request_id,
                    ..Default::default()
                })
            }
            Ask::Topics { namespace, .. } => Command::GetTopicsOfNamespace(p::CommandGetTopicsOfNamespace {
                request_id,
                namespace: namespace.clone(),
                mode: Some(p::GetTopicsOfNamespaceMode::Persistent as i32),
                ..Default::default()
            }),
            Ask::Lookup { topic, authoritative, .. } => Command::Lookup(p::CommandLookupTopic {
                topic: topic.as_str().to_owned(),
                request_id,
                authoritative: Some(*authoritative),
                ..Default::default()
            }),
        }
    }
}

/// State of the service URL.
pub(super) struct Service {
    hosts: Vec<HostPort>,
    http: bool,
    at: usize,
    /// With `http://`: the broker found.
    discovered: Option<HostPort>,
    discovery: Option<Search>,
    pub(super) link: Option<Key>,
    asks: Vec<Ask>,
    backoff: Duration,
    retry_at: Option<Instant>,
    /// What is due then is to ask again whether somebody answers: a question need not wait for it.
    probed: bool,
    /// Why there is no link; for `/readyz`.
    pub(super) trouble: Option<String>,
}

/// An HTTP lookup under way.
struct Search {
    host: HostPort,
    /// `None`: whoever answers will do.
    topic: Option<TopicName>,
    conn: Option<ConnKey>,
    /// Addresses of the host not tried yet, the next one last.
    addresses: Vec<SocketAddr>,
    redirects: u32,
    state: Discovery,
    /// A host that says nothing until then has failed.
    until: Instant,
}

impl Service {
    pub(super) fn new(url: &ServiceUrl, seed: u64) -> Self {
        let (hosts, http) = match url {
            ServiceUrl::Binary(hosts) => (hosts, false),
            ServiceUrl::Http(hosts) => (hosts, true),
        };
        let hosts: Vec<HostPort> = hosts.iter().map(host_port).collect();
        Service {
            at: Prng::new(seed).below(hosts.len().max(1) as u64) as usize,
            hosts,
            http,
            discovered: None,
            discovery: None,
            link: None,
            asks: Vec::new(),
            backoff: limit::BACKOFF_MIN,
            retry_at: None,
            probed: false,
            trouble: Some("not connected yet".to_owned()),
        }
    }

    /// The broker of this process.
    pub(super) fn local() -> Self {
        Service::new(&ServiceUrl::Binary(vec![("embedded broker".to_owned(), 0)]), 0)
    }

    /// The host that TCP goes to now.
    pub(super) fn host(&self) -> &HostPort {
        match &self.discovered {
            Some(host) if self.http => host,
            _ => &self.hosts[self.at % self.hosts.len()],
        }
    }
}

impl Gateway {
    /// Connects to the service URL before the first client needs it.
    pub(super) fn service_start(&mut self, io: &mut Links) {
        self.service_connect(io);
    }

    /// True when questions can be answered; with `http://` before its first use, when somebody answers there.
    pub(super) fn service_is_ready(&self) -> bool {
        let linked =
            self.service.link.and_then(|link| self.links.get(link)).is_some_and(|l| l.link.is_ready());
        linked || (self.service.http && self.service.trouble.is_none())
    }

    /// Puts a question to the service URL, now or when its link is ready.
    pub(super) fn ask(&mut self, io: &mut Links, ask: Ask) {
        match self.service.link.filter(|link| self.links.get(*link).is_some_and(|l| l.link.is_ready())) {
            Some(link) => self.ask_at(io, link, &ask),
            None => {
                self.service.asks.push(ask);
                self.service_connect(io);
            }
        }
    }

    /// Sends a question on a link that is ready.
    pub(super) fn ask_at(&mut self, io: &mut Links, link: Key, ask: &Ask) {
        let now = io.clock().now;
        if let Some(broker) = self.links.get_mut(link) {
            let request = broker.link.request(now, ask.waiter());
            broker.send(io, ask.command(request));
        }
        self.arm_link(io, link);
    }

    /// Gets a link to the service URL, unless one is there, on its way, or due later.
    fn service_connect(&mut self, io: &mut Links) {
        if self.service.discovery.as_ref().is_some_and(|search| search.topic.is_none())
            && !self.service.asks.is_empty()
        {
            self.drop_search(io); // a question is more than whether somebody answers
        }
        let waits = self.service.retry_at.is_some() && !self.service.probed;
        if self.service.link.is_some() || self.service.discovery.is_some() || waits {
            return;
        }
        self.service.retry_at = None;
        if self.service.http && self.service.discovered.is_none() {
            let topic = self.service.asks.iter().find_map(|ask| match ask {
                Ask::Partitions { topic, .. } | Ask::Lookup { topic, .. } => Some(topic.clone()),
                Ask::Topics { namespace, .. } => {
                    TopicName::parse(&format!("persistent://{namespace}/any")).ok()
                }
            });
            let host = self.service.hosts[self.service.at % self.service.hosts.len()].clone();
            return self.search(io, host, topic, 0);
        }
        let target = Target { broker: self.service.host().clone(), through: None };
        let link = self.link_to(io, target);
        match self.links.get(link).map(|broker| broker.link.is_ready()) {
            Some(ready) => {
                self.service.link = Some(link);
                if ready {
                    self.service_link_ready(io);
                }
            }
            // It failed at once: no slot for its connection.
            None => self.service_link_failed(io, &failed("broker", "no connection can be made")),
        }
    }

    /// The service link can be asked: everything that waited is sent.
    pub(super) fn service_link_ready(&mut self, io: &mut Links) {
        self.service.trouble = None;
        self.service.backoff = limit::BACKOFF_MIN;
        let Some(link) = self.service.link else { return };
        for ask in std::mem::take(&mut self.service.asks) {
            self.ask_at(io, link, &ask);
        }
    }

    /// The service link is gone or could not be had: the next host is tried after a pause, who waited is told.
    pub(super) fn service_link_failed(&mut self, io: &mut Links, failure: &Failure) {
        self.service.link = None;
        self.service.discovered = None;
        self.service.discovery = None;
        self.service.at = (self.service.at + 1) % self.service.hosts.len();
        self.service.trouble = Some(failure.text.clone());
        let until = io.clock().now + self.service.backoff;
        self.service.backoff = (self.service.backoff * 2).min(limit::BACKOFF_MAX);
        (self.service.retry_at, self.service.probed) = (Some(until), false);
        io.arm(until, Token::Service.pack());
        for ask in std::mem::take(&mut self.service.asks) {
            self.answered(io, ask.waiter(), Answer::Failed(failure.clone()));
        }
    }

    pub(super) fn service_timer(&mut self, io: &mut Links) {
        let now = io.clock().now;
        if self.service.retry_at.is_some_and(|at| now >= at) {
            self.service.retry_at = None;
            self.service_connect(io);
        }
        if let Some(search) = self.service.discovery.as_ref().filter(|search| now >= search.until) {
            let what = format!("an HTTP request to {}", search.host);
            self.drop_search(io);
            self.service_link_failed(io, &Failure::timeout(&what));
        }
    }

    /// Gives up an HTTP request under way.
    fn drop_search(&mut self, io: &mut Links) {
        if let Some(conn) = self.service.discovery.take().and_then(|search| search.conn) {
            self.conns.remove(conn);
            io.abort(conn);
        }
    }

    // ---- HTTP lookup

    fn search(&mut self, io: &mut Links, host: HostPort, topic: Option<TopicName>, redirects: u32) {
        let state = Discovery::new(host.to_string());
        io.resolve(Token::Service.pack(), &host.host, host.port);
        let until = io.clock().now + limit::CONNECT_TIME_MAX;
        io.arm(until, Token::Service.pack());
        let (conn, addresses) = (None, Vec::new());
        self.service.discovery = Some(Search { host, topic, conn, addresses, redirects, state, until });
    }

    pub(super) fn discovery_resolved(&mut self, io: &mut Links, result: Result<Vec<SocketAddr>, String>) {
        let Some(search) = self.service.discovery.as_mut().filter(|search| search.conn.is_none()) else {
            return;
        };
        let name = search.host.to_string();
        match result {
            Ok(mut addresses) => {
                addresses.reverse(); // tried from the end
                search.addresses = addresses;
                self.discovery_connect(io, "no address");
            }
            Err(reason) => self.service_link_failed(io, &Failure::connection(&name, &reason)),
        }
    }

    /// Tries the next address of the host; none left: it failed for `reason`.
    fn discovery_connect(&mut self, io: &mut Links, reason: &str) {
        let Some(search) = self.service.discovery.as_mut() else { return };
        let name = search.host.to_string();
        match search.addresses.pop().map(|address| io.connect(address, limit::CONNECT_TIME_MAX)) {
            Some(Ok(conn)) => {
                search.conn = Some(conn);
                self.conns.insert(conn, Conn::Discovery);
            }
            Some(Err(full)) => self.service_link_failed(io, &Failure::connection(&name, &full.to_string())),
            None => self.service_link_failed(io, &Failure::connection(&name, reason)),
        }
    }

    pub(super) fn discovery_connected(&mut self, io: &mut Links, key: ConnKey, result: Result<(), i32>) {
        let token = self.broker_token();
        let Some(search) = self.service.discovery.as_mut().filter(|search| search.conn == Some(key)) else {
            return io.abort(key);
        };
        match (result, io.outbox(key)) {
            (Ok(()), Some(out)) => search.state.request(search.topic.as_ref(), token.as_deref(), out),
            (result, _) => {
                self.conns.remove(key);
                self.discovery_connect(io, &errno_text(result.err().unwrap_or(0)));
            }
        }
    }

    pub(super) fn discovery_bytes(&mut self, io: &mut Links, key: ConnKey, bytes: &[u8], end: bool) {
        let Some(search) = self.service.discovery.as_mut().filter(|search| search.conn == Some(key)) else {
            return io.abort(key);
        };
        let Some(verdict) = search.state.on_bytes(bytes, end) else { return };
        let (topic, redirects) = (search.topic.clone(), search.redirects);
        self.service.discovery = None;
        io.abort(key);
        match verdict {
            Ok(Discovered::Broker(broker)) => {
                self.service.discovered = Some(broker);
                self.service_connect(io);
            }
            Ok(Discovered::Somebody) => {
                self.service.trouble = None;
                self.service.backoff = limit::BACKOFF_MIN;
                let until = io.clock().now + limit::KEEP_ALIVE_INTERVAL;
                (self.service.retry_at, self.service.probed) = (Some(until), true);
                io.arm(until, Token::Service.pack());
            }
            Ok(Discovered::Elsewhere(host)) if redirects < limit::LOOKUP_REDIRECTS_MAX => {
                self.search(io, host, topic, redirects + 1);
            }
            Ok(Discovered::Elsewhere(host)) => {
                self.service_link_failed(io, &Failure::connection(&host.to_string(), "too many redirects"));
            }
            Err(failure) => self.service_link_failed(io, &failure),
        }
    }

    pub(super) fn discovery_closed(&mut self, io: &mut Links, key: ConnKey, why: &str) {
        if let Some(search) = self.service.discovery.as_ref().filter(|search| search.conn == Some(key)) {
            let failure = failed(&search.host.to_string(), why);
            self.service_link_failed(io, &failure);
        }
    }
}
