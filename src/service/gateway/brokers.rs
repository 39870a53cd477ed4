//! Broker links of one core: made when a leg needs one, shared by all sessions of the core, and what their frames mean.

use super::legs::failed;
use super::service_url::Ask;
use super::token::Token;
use super::{Body, Conn, Gateway, LegIndex, LegRef, Waiter, errno_text};
use crate::base::limit;
use crate::base::table::Key;
use crate::base::time::Instant;
use crate::config::gateway::BrokerCredentials;
use crate::session::producer::Verdict;
use crate::session::upstream::link::Credentials;
use crate::session::upstream::{Answer, Failure, FrameInbox, HostPort, Link, LinkEvent, Role};
use crate::shard::{ConnKey, Links};
use crate::wire::pulsar::Command;
use crate::wire::pulsar::frame::{self, FrameError};
use crate::wire::pulsar::proto as p;
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

/// One link with its connection.
pub(super) struct BrokerLink {
    pub(super) target: Target,
    pub(super) link: Link<Waiter>,
    /// The socket, from connect to close.
    pub(super) conn: Option<ConnKey>,
    inbox: FrameInbox,
    /// Addresses not tried yet.
    addresses: Vec<SocketAddr>,
    /// Legs that wait for it to be ready.
    waiting: Vec<LegRef>,
    /// Questions that wait for it (redirected lookups).
    asks: Vec<Ask>,
    /// Sessions with entries to write that found its outbox full.
    pub(super) blocked: Vec<Key>,
    timer_at: Instant,
}

/// A link must end, and why.
pub(super) enum LinkFault {
    /// The broker broke the protocol.
    Protocol(String),
    /// The broker refused us.
    Refused(Failure),
}

impl From<FrameError> for LinkFault {
    fn from(error: FrameError) -> Self {
        LinkFault::Protocol(error.to_string())
    }
}

impl Gateway {
    /// The link to a broker: the one there is, or a new one on its way.
    pub(super) fn link_to(&mut self, io: &mut Links, target: Target) -> Key {
        if let Some(key) = self.links_by_target.get(&target) {
            return *key;
        }
        let physical = target.through.as_ref().unwrap_or(&target.broker).clone();
        let proxy_to = target.through.as_ref().map(|_| target.broker.to_string());
        let link = Link::new(target.broker.to_string(), self.credentials(), proxy_to);
        let key = self.links.insert(BrokerLink {
            target: target.clone(),
            link,
            conn: None,
            inbox: FrameInbox::new(limit::MESSAGE_SIZE_DEFAULT + limit::FRAME_PADDING),
            addresses: Vec::new(),
            waiting: Vec::new(),
            asks: Vec::new(),
            blocked: Vec::new(),
            timer_at: Instant::FAR,
        });
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
                broker.conn = Some(conn);
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
                broker.conn = None;
                self.conns.remove(conn);
                self.link_connect(io, key, &errno_text(result.err().unwrap_or(0)));
            }
        }
    }

    pub(super) fn link_bytes(&mut self, io: &mut Links, key: Key, bytes: &[u8]) {
        let Some(broker) = self.links.get_mut(key) else { return };
        let mut inbox = std::mem::replace(&mut broker.inbox, FrameInbox::new(0));
        let mut frame_max = None;
        let result = inbox.feed(bytes, |frame| self.on_frame(io, key, frame, &mut frame_max));
        if let Some(broker) = self.links.get_mut(key) {
            if let Some(max) = frame_max {
                inbox.set_frame_max(max);
            }
            broker.inbox = inbox;
        }
        match result {
            Ok(()) => self.arm_link(io, key),
            Err(LinkFault::Protocol(reason)) => {
                self.counters.violations += 1;
                log::warn!("broker {}: {reason}; closing the link", self.link_name(key));
                self.link_end(io, key, &reason);
            }
            Err(LinkFault::Refused(failure)) => {
                log::warn!("broker {} refused the connection: {failure}", self.link_name(key));
                self.link_end_with(io, key, failure);
            }
        }
    }

    fn link_name(&self, key: Key) -> String {
        self.links.get(key).map_or_else(String::new, |broker| broker.link.name().to_owned())
    }

    fn on_frame(
        &mut self,
        io: &mut Links,
        key: Key,
        bytes: &[u8],
        frame_max: &mut Option<usize>,
    ) -> Result<(), LinkFault> {
        let frame = frame::read(bytes)?;
        match frame.command {
            Command::SendReceipt(receipt) => return self.on_receipt(io, &receipt),
            Command::Message(message) => return self.on_message(io, &message, frame.rest),
            _ => {}
        }
        let now = io.clock().now;
        let Some(broker) = self.links.get_mut(key) else { return Ok(()) };
        let event = match broker.conn.and_then(|conn| io.outbox(conn)) {
            Some(out) => broker.link.on_command(now, frame.command, out),
            None => return Ok(()),
        };
        match event {
            LinkEvent::Nothing => {}
            LinkEvent::Ready { frame_max: max } => {
                *frame_max = Some(max);
                self.link_ready(io, key);
            }
            LinkEvent::Refused(failure) => return Err(LinkFault::Refused(failure)),
            LinkEvent::Violation(what) => return Err(LinkFault::Protocol(what.to_owned())),
            LinkEvent::Answered(waiter, answer) => self.answered(io, waiter, answer),
            LinkEvent::Forward(command) => return self.on_forwarded(io, key, command),
        }
        Ok(())
    }

    fn link_ready(&mut self, io: &mut Links, key: Key) {
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

    /// The hot path of publishing: a receipt for the producer that its id names.
    fn on_receipt(&mut self, io: &mut Links, receipt: &p::CommandSendReceipt) -> Result<(), LinkFault> {
        let Some(leg) = self.producers.get(&receipt.producer_id).copied() else {
            self.counters.stale_events += 1; // of a producer just closed
            return Ok(());
        };
        let verdict = self.with_session(io, leg.session, |body, cx| match (body, leg.leg) {
            (Body::Producer(producer), LegIndex::Topic(leg)) => {
                producer.on_receipt(cx, leg as usize, receipt)
            }
            (Body::Consumer(consumer), LegIndex::DeadLetters) => {
                consumer.on_dead_letter_receipt(cx, receipt).map_or(Verdict::CloseLink, |()| Verdict::Fine)
            }
            _ => Verdict::Fine,
        });
        match verdict {
            Some(Verdict::CloseLink) => {
                Err(LinkFault::Protocol("a receipt for what was never sent".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// The hot path of consuming: an entry for the consumer that its id names.
    fn on_message(
        &mut self,
        io: &mut Links,
        message: &p::CommandMessage,
        rest: &[u8],
    ) -> Result<(), LinkFault> {
        let Some(leg) = self.consumers.get(&message.consumer_id).copied() else {
            self.counters.stale_events += 1;
            return Ok(());
        };
        let payload = frame::payload(rest)?;
        self.with_session(io, leg.session, |body, cx| {
            if let (Body::Consumer(consumer), LegIndex::Topic(leg)) = (body, leg.leg) {
                consumer.on_message(cx, leg as usize, message, &payload);
            }
        });
        self.block_if_full(io, leg.session);
        Ok(())
    }

    /// What a broker says of a producer or consumer counts only on the link that it is attached by: a topic that moved may
    /// be closed at its old broker once more.
    fn leg_on_link(&mut self, link: Key, role: Role, id: u64) -> Option<LegRef> {
        let leg = match role {
            Role::Producer => self.producers.get(&id),
            Role::Consumer => self.consumers.get(&id),
        };
        let found = leg.copied().filter(|leg| {
            let session = self.sessions.get_mut(leg.session);
            session.and_then(|session| session.leg_mut(leg.leg)).is_some_and(|leg| leg.link == Some(link))
        });
        self.counters.stale_events += u64::from(found.is_none());
        found
    }

    fn on_forwarded(&mut self, io: &mut Links, link: Key, command: Command) -> Result<(), LinkFault> {
        let (role, id, assigned) = match &command {
            Command::SendError(error) => return self.on_send_error(io, link, error),
            Command::CloseProducer(close) => {
                (Role::Producer, close.producer_id, &close.assigned_broker_service_url)
            }
            Command::CloseConsumer(close) => {
                (Role::Consumer, close.consumer_id, &close.assigned_broker_service_url)
            }
            Command::TopicMigrated(moved) => {
                let producer = moved.resource_type == p::TopicMigratedResourceType::Producer as i32;
                let role = if producer { Role::Producer } else { Role::Consumer };
                (role, moved.resource_id, &moved.broker_service_url)
            }
            Command::ReachedEndOfTopic(end) => {
                self.on_end_of_topic(io, link, end.consumer_id);
                return Ok(());
            }
            _ => return Ok(()), // ACTIVE_CONSUMER_CHANGE, ACK_RESPONSE and the like: of no interest here
        };
        if let Some(leg) = self.leg_on_link(link, role, id) {
            self.leg_closed(io, leg, assigned.as_deref());
        }
        Ok(())
    }

    fn on_end_of_topic(&mut self, io: &mut Links, link: Key, id: u64) {
        let Some(leg) = self.leg_on_link(link, Role::Consumer, id) else { return };
        self.with_session(io, leg.session, |body, _| {
            if let (Body::Consumer(consumer), LegIndex::Topic(leg)) = (body, leg.leg) {
                consumer.on_end_of_topic(leg as usize);
            }
        });
    }

    fn on_send_error(
        &mut self,
        io: &mut Links,
        link: Key,
        error: &p::CommandSendError,
    ) -> Result<(), LinkFault> {
        let Some(leg) = self.leg_on_link(link, Role::Producer, error.producer_id) else { return Ok(()) };
        let verdict = self.with_session(io, leg.session, |body, cx| match (body, leg.leg) {
            (Body::Producer(producer), LegIndex::Topic(leg)) => {
                producer.on_send_error(cx, leg as usize, error)
            }
            _ => Verdict::Reattach,
        });
        match verdict {
            Some(Verdict::Reattach) => {
                self.leg_reattach(io, leg, Failure::broker(error.error, &error.message, 0, "broker"));
                Ok(())
            }
            Some(Verdict::CloseLink) => {
                Err(LinkFault::Protocol("an error for what was never sent".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// An answer for whoever asked.
    pub(super) fn answered(&mut self, io: &mut Links, waiter: Waiter, answer: Answer) {
        match waiter {
            Waiter::Partitions(session, topic) => self.partitions_answered(io, session, topic, answer),
            Waiter::Growth(session, leg) => self.partitions_grew(io, session, leg, answer),
            Waiter::Topics(session) => self.topics_answered(io, session, answer),
            Waiter::Lookup(leg) => self.leg_looked_up(io, leg, answer),
            Waiter::Create(leg, attempt) => self.leg_created(io, leg, attempt, answer),
            Waiter::Unsubscribe(leg) => self.unsubscribed(io, leg, answer),
            Waiter::Nobody => {}
        }
    }

    /// There is room in a link's outbox again: who waited for it goes on.
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
        loop {
            let Some(broker) = self.links.get_mut(key) else { return };
            broker.timer_at = Instant::FAR;
            let mut unsent = Vec::new();
            let out = match broker.conn {
                Some(conn) => io.outbox(conn),
                None => None,
            };
            match broker.link.on_timer(now, out.unwrap_or(&mut unsent)) {
                Ok(Some((waiter, answer))) => self.answered(io, waiter, answer),
                Ok(None) => return self.arm_link(io, key),
                Err(reason) => return self.link_end(io, key, reason),
            }
        }
    }

    fn link_end(&mut self, io: &mut Links, key: Key, reason: &str) {
        let name = self.link_name(key);
        self.link_end_with(io, key, failed(&name, reason));
    }

    fn link_end_with(&mut self, io: &mut Links, key: Key, failure: Failure) {
        self.drop_connection(io, key);
        self.link_gone(io, key, &failure);
    }

    /// Resets a link's connection, if it has one.
    fn drop_connection(&mut self, io: &mut Links, key: Key) {
        if let Some(conn) = self.links.get_mut(key).and_then(|broker| broker.conn.take()) {
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
