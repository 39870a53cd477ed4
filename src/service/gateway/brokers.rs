//! Broker links of one core: made when a leg needs one, shared by all sessions of the core. A link is a socket, or the way
//! to the embedded broker of this process: who sends on it need not know which.

use super::legs::failed;
use super::local::{LocalRequest, LocalWay};
use super::pace::Pace;
use super::service_url::Ask;
use super::token::Token;
use super::{Conn, Gateway, LegRef, Waiter, errno_text};
use crate::base::limit;
use crate::base::table::Key;
use crate::base::time::Instant;
use crate::config::gateway::BrokerCredentials;
use crate::session::send_queue::SendQueue;
use crate::session::upstream::link::Credentials;
use crate::session::upstream::{Answer, Failure, FrameInbox, HostPort, Link};
use crate::shard::{ConnKey, Links};
use crate::wire::pulsar::Command;
use crate::wire::pulsar::frame;
use std::net::{IpAddr, SocketAddr};

/// Our name towards brokers.
const CLIENT_VERSION: &str = concat!("pulsegate-v", env!("CARGO_PKG_VERSION"));

/// Which broker, and which way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) broker: HostPort,
    /// TCP goes here instead, and the other end relays (protocol 3.4).
    pub(super) through: Option<HostPort>,
}

/// How commands get to a broker.
pub(super) enum Way {
    /// No connection yet, or none any more.
    Nowhere,
    /// Encoded, over this connection, from connect to close.
    Socket(ConnKey),
    /// As they are, to the embedded broker.
    Local(LocalWay),
}

/// One link with its connection.
pub(super) struct BrokerLink {
    pub(super) target: Target,
    pub(super) link: Link<Waiter>,
    pub(super) way: Way,
    /// Of a socket.
    pub(super) inbox: FrameInbox,
    /// Addresses not tried yet.
    addresses: Vec<SocketAddr>,
    /// Legs that wait for it to be ready.
    waiting: Vec<LegRef>,
    /// Questions that wait for it (redirected lookups).
    asks: Vec<Ask>,
    /// Sessions with entries to write that found its outbox full, or that wait for its pace.
    pub(super) blocked: Vec<Key>,
    pub(super) pace: Pace,
    timer_at: Instant,
}

impl BrokerLink {
    pub(super) fn new(target: Target, link: Link<Waiter>, way: Way) -> BrokerLink {
        BrokerLink {
            target,
            link,
            way,
            inbox: FrameInbox::new(limit::MESSAGE_SIZE_DEFAULT + limit::FRAME_PADDING),
            addresses: Vec::new(),
            waiting: Vec::new(),
            asks: Vec::new(),
            blocked: Vec::new(),
            pace: Pace::default(),
            timer_at: Instant::FAR,
        }
    }

    /// Its socket.
    pub(super) fn socket(&self) -> Option<ConnKey> {
        match self.way {
            Way::Socket(conn) => Some(conn),
            Way::Nowhere | Way::Local(_) => None,
        }
    }

    /// Sends a command. False: there is no connection that takes it.
    pub(super) fn send(&mut self, io: &mut Links, command: Command) -> bool {
        match &mut self.way {
            Way::Nowhere => return false,
            Way::Socket(conn) => match io.outbox(*conn) {
                Some(out) => frame::put(out, &command),
                None => return false,
            },
            Way::Local(local) => local.queue.push_back(LocalRequest::command(command)),
        }
        true
    }

    /// As [`BrokerLink::send`]; what a socket was sent stays with the caller, whose lists can be used again.
    pub(super) fn send_out(&mut self, io: &mut Links, command: &mut Command) {
        match &mut self.way {
            Way::Nowhere => {}
            Way::Socket(conn) => {
                if let Some(out) = io.outbox(*conn) {
                    frame::put(out, command);
                }
            }
            Way::Local(local) => {
                let command = std::mem::replace(command, Command::Unknown(0));
                local.queue.push_back(LocalRequest::command(command));
            }
        }
    }

    /// Bytes that may still be sent before its outbox counts as full; `None`: nothing can be sent.
    pub(super) fn room(&self, io: &Links) -> Option<usize> {
        match &self.way {
            Way::Nowhere => None,
            Way::Socket(conn) => Some(limit::LINK_OUTBOX_HIGH.saturating_sub(io.queued(*conn))),
            // What is handed over is shared, not copied: the sessions' own bounds hold.
            Way::Local(_) => Some(usize::MAX),
        }
    }

    /// Sends a producer's unsent entries: as far as there is `room`, bytes, until `left` of the turn's bytes are used up, and
    /// within its window, or `all` of them. True: more can be sent when the outbox has left.
    pub(super) fn send_entries<T>(
        &mut self,
        io: &mut Links,
        id: u64,
        left: &mut usize,
        room: usize,
        all: bool,
        queue: &mut SendQueue<T>,
    ) -> bool {
        match &mut self.way {
            Way::Nowhere => false,
            Way::Local(local) => {
                while let Some(pending) = queue.next_unsent() {
                    local.send(id, pending);
                }
                false
            }
            Way::Socket(conn) => {
                let now = io.clock().now;
                let Some(out) = io.outbox_for(*conn, queue.bytes().min(room)) else { return false };
                let before = out.len();
                let stop = before.saturating_add(room.min(*left));
                let mut more = false;
                while !more
                    && (all || !queue.is_window_full())
                    && let Some(pending) = queue.next_unsent()
                {
                    let (first, last) = (pending.sequence_id, pending.highest_sequence_id);
                    frame::put_send(out, id, first, last, pending.messages, &pending.entry);
                    self.pace.on_written(now, id, first);
                    more = out.len() >= stop;
                }
                *left = left.saturating_sub(out.len() - before).max(1);
                if more {
                    io.notify_below(*conn, limit::LINK_OUTBOX_LOW); // the end of a send alone brings no turn
                }
                more
            }
        }
    }
}

impl Gateway {
    /// The link to a broker: the one there is, or a new one on its way.
    pub(super) fn link_to(&mut self, io: &mut Links, target: Target) -> Key {
        if let Some(key) = self.links_by_target.get(&target) {
            return *key;
        }
        if self.local.is_some() {
            return self.local_link(target);
        }
        let physical = target.through.as_ref().unwrap_or(&target.broker).clone();
        let proxy_to = target.through.as_ref().map(|_| target.broker.to_string());
        let link = Link::new(target.broker.to_string(), self.credentials(), proxy_to);
        let key = self.links.insert(BrokerLink::new(target.clone(), link, Way::Nowhere));
        self.links_by_target.insert(target, key);
        match physical.host.parse::<IpAddr>() {
            Ok(ip) => self.link_resolved(io, key, Ok(vec![SocketAddr::new(ip, physical.port)])),
            Err(_) => io.resolve(Token::Link(key).pack(), &physical.host, physical.port),
        }
        key
    }

    /// A leg wants to be told when the link is ready; at once if it is.
    pub(super) fn wait_for_link(&mut self, io: &mut Links, link: Key, leg: LegRef) {
        match self.links.get_mut(link) {
            Some(broker) if broker.link.is_ready() => self.leg_link_ready(io, leg),
            Some(broker) => broker.waiting.push(leg),
            None => self.leg_failed(io, leg, failed("broker", "the link is gone")),
        }
    }

    /// Puts a question to a particular broker, now or when its link is ready.
    pub(super) fn ask_broker(&mut self, io: &mut Links, broker: HostPort, ask: Ask) {
        let key = self.link_to(io, Target { broker, through: None });
        match self.links.get_mut(key) {
            Some(broker) if broker.link.is_ready() => self.ask_at(io, key, &ask),
            Some(broker) => broker.asks.push(ask),
            None => self.answered(io, ask.waiter(), Answer::Failed(failed("broker", "the link is gone"))),
        }
    }

    pub(super) fn link_resolved(
        &mut self,
        io: &mut Links,
        key: Key,
        result: Result<Vec<SocketAddr>, String>,
    ) {
        let Some(broker) = self.links.get_mut(key) else { return };
        match result {
            Ok(mut addresses) => {
                addresses.reverse(); // tried from the end
                broker.addresses = addresses;
                self.link_connect(io, key, "no address");
            }
            Err(reason) => self.link_lost(io, key, &reason),
        }
    }

    /// Tries the next address; none left: the link failed for `reason`.
    fn link_connect(&mut self, io: &mut Links, key: Key, reason: &str) {
        let Some(broker) = self.links.get_mut(key) else { return };
        match broker.addresses.pop().map(|address| io.connect(address, limit::CONNECT_TIME_MAX)) {
            Some(Ok(conn)) => {
                broker.way = Way::Socket(conn);
                self.conns.insert(conn, Conn::Link(key));
            }
            Some(Err(full)) => self.link_lost(io, key, &full.to_string()),
            None => self.link_lost(io, key, reason),
        }
    }

    pub(super) fn link_connected(
        &mut self,
        io: &mut Links,
        key: Key,
        conn: ConnKey,
        result: Result<(), i32>,
    ) {
        let now = io.clock().now;
        let Some(broker) = self.links.get_mut(key) else { return io.abort(conn) };
        match (result, io.outbox(conn)) {
            (Ok(()), Some(out)) => {
                broker.link.on_connected(now, CLIENT_VERSION, out);
                self.arm_link(io, key);
            }
            (result, _) => {
                broker.way = Way::Nowhere;
                self.conns.remove(conn);
                self.link_connect(io, key, &errno_text(result.err().unwrap_or(0)));
            }
        }
    }

    pub(super) fn link_name(&self, key: Key) -> String {
        self.links.get(key).map_or_else(String::new, |broker| broker.link.name().to_owned())
    }

    pub(super) fn link_ready(&mut self, io: &mut Links, key: Key) {
        let Some(broker) = self.links.get_mut(key) else { return };
        log::info!("broker {}: connected", broker.link.name());
        let waiting = std::mem::take(&mut broker.waiting);
        for ask in std::mem::take(&mut broker.asks) {
            self.ask_at(io, key, &ask);
        }
        if self.service.link == Some(key) {
            self.service_link_ready(io);
        }
        for leg in waiting {
            self.leg_link_ready(io, leg);
        }
    }

    /// There is room in a link's outbox again, or its time has come: who waited for it goes on.
    pub(super) fn link_drained(&mut self, key: Key) {
        let blocked = self.links.get_mut(key).map(|broker| std::mem::take(&mut broker.blocked));
        blocked.into_iter().flatten().for_each(|session| self.mark_dirty(session));
    }

    /// Arms the link's next timer, if it is not armed for that early already.
    pub(super) fn arm_link(&mut self, io: &mut Links, key: Key) {
        let Some(broker) = self.links.get_mut(key) else { return };
        let next = broker.link.next_timer();
        if next < broker.timer_at {
            broker.timer_at = next;
            io.arm(next, Token::Link(key).pack());
        }
    }

    pub(super) fn link_timer(&mut self, io: &mut Links, key: Key) {
        let now = io.clock().now;
        self.link_drained(key);
        loop {
            let Some(broker) = self.links.get_mut(key) else { return };
            broker.timer_at = Instant::FAR;
            let mut unsent = Vec::new();
            let out = match broker.socket() {
                Some(conn) => io.outbox(conn),
                None => None,
            };
            match broker.link.on_timer(now, out.unwrap_or(&mut unsent)) {
                Ok(Some((waiter, answer))) => self.answered(io, waiter, answer),
                Ok(None) => return self.arm_link(io, key),
                Err(reason) => {
                    log::warn!("broker {}: {reason}; closing the link", self.link_name(key));
                    return self.link_end(io, key, &reason);
                }
            }
        }
    }

    pub(super) fn link_end(&mut self, io: &mut Links, key: Key, reason: &str) {
        let name = self.link_name(key);
        self.link_end_with(io, key, failed(&name, reason));
    }

    pub(super) fn link_end_with(&mut self, io: &mut Links, key: Key, failure: Failure) {
        self.drop_connection(io, key);
        self.link_gone(io, key, &failure);
    }

    /// Resets a link's connection, if it has one.
    fn drop_connection(&mut self, io: &mut Links, key: Key) {
        let Some(broker) = self.links.get_mut(key) else { return };
        if let Way::Socket(conn) = std::mem::replace(&mut broker.way, Way::Nowhere) {
            self.conns.remove(conn);
            io.abort(conn);
        }
    }

    /// The broker ended the connection of a link.
    pub(super) fn link_closed_by_broker(&mut self, io: &mut Links, key: Key) {
        self.drop_connection(io, key);
        self.link_lost(io, key, "closed by the broker");
    }

    /// The connection of a link ended, or could not be made.
    pub(super) fn link_lost(&mut self, io: &mut Links, key: Key, reason: &str) {
        let name = self.link_name(key);
        match self.stopping {
            None => log::warn!("broker {name}: {reason}"),
            Some(_) => log::debug!("broker {name}: {reason}"), // closed by ourselves, or of no matter any more
        }
        self.link_gone(io, key, &failed(&name, reason));
    }

    fn link_gone(&mut self, io: &mut Links, key: Key, failure: &Failure) {
        let Some(mut broker) = self.links.remove(key) else { return };
        self.links_by_target.remove(&broker.target);
        self.counters.links_lost += 1;
        let waiters = broker.link.take_waiters();
        if self.service.link == Some(key) {
            self.service_link_failed(io, failure);
        }
        for leg in self.legs_of_link(key) {
            self.leg_failed(io, leg, failure.clone());
        }
        for leg in broker.waiting {
            self.leg_failed(io, leg, failure.clone());
        }
        for ask in broker.asks {
            self.answered(io, ask.waiter(), Answer::Failed(failure.clone()));
        }
        for waiter in waiters {
            self.answered(io, waiter, Answer::Failed(failure.clone()));
        }
        broker.blocked.iter().for_each(|session| self.mark_dirty(*session));
    }

    /// What we prove who we are with; a token file is read anew for each connection, so that it can be renewed.
    fn credentials(&self) -> Option<Credentials> {
        let token = self.broker_token()?;
        Some(Credentials { method: "token".to_owned(), data: token.into_bytes() })
    }

    pub(super) fn broker_token(&self) -> Option<String> {
        match self.config.broker_token.as_ref()? {
            BrokerCredentials::Token(text) => Some(text.clone()),
            BrokerCredentials::File(path) => match std::fs::read_to_string(path) {
                Ok(text) => Some(text.trim().to_owned()),
                Err(error) => {
                    log::error!("broker token file {}: {error}; connecting without a token", path.display());
                    None
                }
            },
        }
    }
}
