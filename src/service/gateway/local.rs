//! The way to the embedded broker of this process: commands by value, entries as shared bytes, no socket between.
//!
//! What sessions send collects in the link and is taken out by [`Gateway::poll_local`]; what the broker says comes in by
//! [`Gateway::on_local`] and runs the same code as a decoded frame. Whoever owns both carries the values over, at the end of
//! each turn, until neither has more.

use super::Gateway;
use super::brokers::{BrokerLink, Target, Way};
use super::incoming::LinkFault;
use crate::base::table::Key;
use crate::broker::host::store_of;
use crate::session::arena::Arena;
use crate::session::send_queue::Pending;
use crate::session::upstream::{HostPort, Link};
use crate::shard::{Links, ShardId};
use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto::{CommandMessage, CommandSend};
use crate::wire::route::{Route, Topics};
use bytes::Bytes;
use std::collections::VecDeque;

/// What the gateway needs to know of the embedded broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalBroker {
    /// Stores of the data folder: which of them has a topic says which core has it.
    pub stores: u16,
    /// Largest message it takes, bytes of metadata and payload.
    pub message_size_max: usize,
}

/// From the gateway's sessions to the embedded broker of their core. All of them share one connection.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // queue slots are used again; a box would be an allocation per message
pub enum LocalRequest {
    /// A client's command, as over the binary protocol.
    Command {
        /// The command. Producer and consumer ids are unique on this core and never used again.
        command: Command,
        /// What follows a SEND, from its `0x0e01` magic on; empty otherwise.
        entry: Bytes,
    },
    /// The connection has ended: its producers and consumers are gone. What follows belongs to a new one.
    Disconnected,
}

/// From the embedded broker to the gateway of its core.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // as above
pub enum LocalEvent {
    /// A broker's command, as over the binary protocol; a receipt too.
    Command(Command),
    /// A MESSAGE and the entry that lies behind it.
    Deliver {
        /// The command.
        command: CommandMessage,
        /// From its magic on, as it was stored.
        entry: Bytes,
    },
    /// The broker closed the connection, as it does when a client breaks the protocol.
    Closed {
        /// For the log.
        reason: &'static str,
    },
}

impl LocalRequest {
    /// A command without an entry.
    pub(super) fn command(command: Command) -> LocalRequest {
        LocalRequest::Command { command, entry: Bytes::new() }
    }
}

/// The outgoing half of the local link.
#[derive(Default)]
pub(super) struct LocalWay {
    pub(super) queue: VecDeque<LocalRequest>,
    arena: Arena,
}

impl LocalWay {
    /// Sends one entry. It stays in its queue until it is confirmed, so small ones are copied, once; large ones are shared.
    pub(super) fn send<T>(&mut self, producer_id: u64, pending: &mut Pending<T>) {
        let command = Command::Send(CommandSend {
            producer_id,
            sequence_id: pending.sequence_id,
            num_messages: Some(pending.messages.cast_signed()).filter(|messages| *messages > 1),
            highest_sequence_id: pending.highest_sequence_id,
            ..CommandSend::default()
        });
        let entry = pending.entry.share(&mut self.arena);
        self.queue.push_back(LocalRequest::Command { command, entry });
    }
}

/// The gateway's side of the embedded broker.
pub(super) struct Local {
    broker: LocalBroker,
    link: Option<Key>,
    /// Why the broker is not ready; for `/readyz`.
    pub(super) trouble: Option<String>,
}

impl Local {
    pub(super) fn new(broker: LocalBroker) -> Local {
        Local { broker, link: None, trouble: None }
    }
}

impl Gateway {
    /// Says why the embedded broker cannot serve now, for `/readyz`; `None`: it can.
    pub fn set_trouble(&mut self, trouble: Option<String>) {
        if let Some(local) = &mut self.local {
            local.trouble = trouble;
        }
    }

    /// What sessions want of the embedded broker, in order.
    pub fn poll_local(&mut self) -> Option<LocalRequest> {
        let link = self.local.as_ref()?.link?;
        match &mut self.links.get_mut(link)?.way {
            Way::Local(local) => local.queue.pop_front(),
            Way::Nowhere | Way::Socket(_) => None,
        }
    }

    /// What the embedded broker says.
    pub fn on_local(&mut self, io: &mut Links, event: LocalEvent) {
        let Some(link) = self.local.as_ref().and_then(|local| local.link) else {
            self.counters.stale_events += 1;
            return;
        };
        let result = match event {
            LocalEvent::Deliver { command, entry } => self.on_message(io, &command, &entry),
            LocalEvent::Command(Command::SendReceipt(receipt)) => self.on_receipt(io, &receipt),
            LocalEvent::Command(command) => self.on_local_command(io, link, command),
            LocalEvent::Closed { reason } => {
                Err(LinkFault::Protocol(format!("closed by the broker: {reason}")))
            }
        };
        if result.is_err() {
            self.link_heard(io, link, result);
        }
    }

    fn on_local_command(&mut self, io: &mut Links, key: Key, command: Command) -> Result<(), LinkFault> {
        let now = io.clock().now;
        let Some(broker) = self.links.get_mut(key) else { return Ok(()) };
        let mut unsent = Vec::new(); // a local link has nothing to say for itself
        let event = broker.link.on_command(now, command, &mut unsent);
        debug_assert!(unsent.is_empty(), "the embedded broker does not ping");
        self.on_event(io, key, event, &mut None)
    }

    /// The link to the embedded broker, whatever broker was named: there is one.
    pub(super) fn local_link(&mut self, _asked: Target) -> Key {
        let Some(local) = &self.local else { unreachable!("asked for in local mode only") };
        if let Some(key) = local.link.filter(|key| self.links.get(*key).is_some()) {
            return key;
        }
        let name = "embedded broker".to_owned();
        let link = Link::local(name.clone(), local.broker.message_size_max);
        let mut way = LocalWay::default();
        if local.link.is_some() {
            way.queue.push_back(LocalRequest::Disconnected);
        }
        let target = Target { broker: HostPort { host: name, port: 0 }, through: None };
        let key = self.links.insert(BrokerLink::new(target.clone(), link, Way::Local(way)));
        self.links_by_target.insert(target, key);
        if let Some(local) = &mut self.local {
            local.link = Some(key);
        }
        key
    }

    /// The core that has a topic, if it is another one than this: its clients are handed over to it before their upgrade is
    /// answered. `None` in front of other brokers.
    pub fn steer(&self, io: &Links, topic: &str) -> Option<ShardId> {
        let local = self.local.as_ref()?;
        let cores = u16::try_from(io.shards()).ok()?;
        let owner = ShardId(store_of(topic, local.broker.stores).0 % cores.max(1));
        (owner != io.shard()).then_some(owner)
    }

    /// Where a session is to be served: at the core of its topic, of the first one of several. A pattern names none.
    pub(super) fn steer_route(&self, io: &Links, route: &Route) -> Option<ShardId> {
        let topic = match route {
            Route::Producer(spec) => &spec.topic,
            Route::Reader(spec) => &spec.topic,
            Route::Consumer(spec) => match &spec.topics {
                Topics::One(topic) => topic,
                Topics::Many(topics) => topics.first()?,
                Topics::Pattern { .. } => return None,
            },
        };
        self.steer(io, topic.as_str())
    }
}
