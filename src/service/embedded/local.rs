//! The gateway's connection to the embedded broker of its core: typed commands by value, the same rules as for a native client,
//! no socket and no encoding.

use super::{Embedded, ids};
use crate::base::time::Instant;
use crate::broker::host::{Asked, ConnectionId, Request, Told};
use crate::service::gateway::local::{LocalEvent, LocalRequest};
use crate::session::inbound::{Members, Places, Step};
use crate::shard::{Links, ShardId};
use crate::store::StoreId;
use crate::wire::pulsar::Command;
use std::collections::VecDeque;

/// What hosts show of the gateway in their statistics.
const CLIENT_VERSION: &str = concat!("pulsegate-v", env!("CARGO_PKG_VERSION"));

/// The broker's side of the connection.
pub(super) struct LocalLink {
    shard: ShardId,
    places: Places,
    count: u64,
    id: ConnectionId,
    members: Members,
    events: VecDeque<LocalEvent>,
    /// What a host asked of the connection: it is always alive.
    probed: bool,
}

impl LocalLink {
    pub(super) fn new(shard: ShardId, places: Places) -> LocalLink {
        let (id, members) = (ids::id(shard, 0, ids::SLOTS), Members::new(places));
        LocalLink { shard, places, count: 0, id, members, events: VecDeque::new(), probed: false }
    }

    pub(super) fn is(&self, id: ConnectionId) -> bool {
        id == self.id
    }

    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty() || self.probed
    }

    pub(super) fn push(&mut self, command: Command) {
        self.events.push_back(LocalEvent::Command(command));
    }

    pub(super) fn members(&mut self) -> &mut Members {
        &mut self.members
    }

    pub(super) fn on_told(&mut self, now: Instant, told: Told) {
        match told {
            Told::Command(mut command) => {
                self.members.on_told(now, &mut command);
                self.push(command);
            }
            Told::Deliver { command, entry } => self.events.push_back(LocalEvent::Deliver { command, entry }),
            Told::Close { reason } => self.events.push_back(LocalEvent::Closed { reason }),
            Told::Probe => self.probed = true,
            Told::Exists { .. } | Told::Topics { .. } => debug_assert!(false, "these answer tickets"),
        }
    }

    /// A new connection takes its place.
    fn renew(&mut self) -> (ConnectionId, Members) {
        self.count += 1;
        self.events.clear();
        let id = std::mem::replace(&mut self.id, ids::id(self.shard, self.count, ids::SLOTS));
        (id, std::mem::replace(&mut self.members, Members::new(self.places)))
    }
}

impl Embedded {
    /// What the gateway wants.
    pub fn local_request(&mut self, io: &mut Links, request: LocalRequest) {
        let (command, entry) = match request {
            LocalRequest::Command { command, entry } => (command, entry),
            LocalRequest::Disconnected => {
                let (connection, members) = self.local.renew();
                for store in members.stores() {
                    let what = Asked::Disconnected;
                    self.request(io, Request { connection, store: StoreId(store), what });
                }
                return;
            }
        };
        let connection = self.local.id;
        match self.local.members.on_command(io.clock().now, command, entry.len()) {
            Step::Nothing => {}
            Step::Answer(answer) => self.local.push(answer),
            Step::Close(reason) => self.local.events.push_back(LocalEvent::Closed { reason }),
            Step::Ask(command) => self.question(io, connection, command),
            Step::Forward { store, first, command } => {
                let store = StoreId(store);
                if first {
                    let client_version = CLIENT_VERSION.to_owned();
                    let what = Asked::Introduced { address: None, client_version };
                    self.request(io, Request { connection, store, what });
                }
                self.forward(io, connection, store, command, entry);
            }
        }
    }

    /// What the embedded broker says to the gateway, in order.
    pub fn poll_local(&mut self, io: &mut Links) -> Option<LocalEvent> {
        if std::mem::take(&mut self.local.probed) {
            let connection = self.local.id;
            for store in self.local.members.stores().collect::<Vec<_>>() {
                let what = Asked::Probed { alive: true };
                self.request(io, Request { connection, store: StoreId(store), what });
            }
        }
        self.local.events.pop_front()
    }
}
