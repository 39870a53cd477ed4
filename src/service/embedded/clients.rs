//! Native connections of a core: their bytes, their timers, when they are read from, and their end.

use super::token::Token;
use super::{Embedded, ids};
use crate::base::limit;
use crate::base::time::Instant;
use crate::broker::host::{Asked, ConnectionId, Request, Told};
use crate::session::inbound::{Context, Effect, Fault, Inbound, NO_REQUEST, Settings, error};
use crate::shard::{ConnKey, Links, ShardId};
use crate::store::StoreId;
use crate::wire::pulsar::Command;
use crate::wire::pulsar::frame;
use crate::wire::pulsar::proto::ServerError;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A client that was told why is given this long to read it.
const LINGER: Duration = Duration::from_secs(2);

/// One native connection.
struct Client {
    key: ConnKey,
    id: ConnectionId,
    peer: SocketAddr,
    inbound: Inbound,
    /// Its socket is not read from.
    paused: bool,
    /// Hosts know that it takes no deliveries.
    unwritable: bool,
    /// On the list of those to settle.
    unsettled: bool,
    /// Waits for credit of these cores' stores; how often it is held for it.
    credits: u32,
    /// Waits for the core's budget of entries.
    over_budget: bool,
    /// Bytes of it counted in the core's budget.
    counted: usize,
    timer_at: Instant,
    /// Its last bytes are being sent; nothing is read and no host knows it any more.
    closing: bool,
}

/// All native connections of a core, by slot.
pub(super) struct Clients {
    shard: ShardId,
    settings: Settings,
    slots: Vec<Option<Box<Client>>>,
    open: usize,
    count: u64,
    unsettled: Vec<ConnKey>,
    /// Clients that wait for the core's budget of entries.
    starved: Vec<ConnKey>,
    by_ip: BTreeMap<IpAddr, usize>,
}

impl Clients {
    pub(super) fn new(shard: ShardId, settings: Settings) -> Clients {
        Clients {
            shard,
            settings,
            slots: Vec::new(),
            open: 0,
            count: 0,
            unsettled: Vec::new(),
            starved: Vec::new(),
            by_ip: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.open
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open == 0
    }

    pub(super) fn are_unsettled(&self) -> bool {
        !self.unsettled.is_empty()
    }

    fn get(&mut self, key: ConnKey) -> Option<&mut Client> {
        self.slots.get_mut(key.slot() as usize)?.as_deref_mut().filter(|client| client.key == key)
    }

    fn by_id(&mut self, id: ConnectionId) -> Option<&mut Client> {
        self.slots.get_mut(ids::slot_of(id) as usize)?.as_deref_mut().filter(|client| client.id == id)
    }

    fn insert(&mut self, now: Instant, key: ConnKey, peer: SocketAddr) -> &mut Client {
        let slot = key.slot() as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        self.count += 1;
        self.open += 1;
        *self.by_ip.entry(peer.ip()).or_default() += 1;
        let client = Client {
            key,
            id: ids::id(self.shard, self.count, key.slot()),
            peer,
            inbound: Inbound::new(now, self.settings),
            paused: false,
            unwritable: false,
            unsettled: false,
            credits: 0,
            over_budget: false,
            counted: 0,
            timer_at: Instant::FAR,
            closing: false,
        };
        self.slots[slot].insert(Box::new(client))
    }

    fn remove(&mut self, key: ConnKey) -> Option<Box<Client>> {
        self.get(key)?;
        let client = self.slots[key.slot() as usize].take()?;
        self.open -= 1;
        if let Some(count) = self.by_ip.get_mut(&client.peer.ip()) {
            *count -= 1;
            if *count == 0 {
                self.by_ip.remove(&client.peer.ip());
            }
        }
        Some(client)
    }

    fn unsettle(&mut self, key: ConnKey) {
        let Some(client) = self.get(key) else { return };
        if !std::mem::replace(&mut client.unsettled, true) {
            self.unsettled.push(key);
        }
    }
}

impl Embedded {
    /// A client connected by the binary protocol's door.
    pub fn on_accept(&mut self, io: &mut Links, key: ConnKey, peer: SocketAddr) {
        let now = io.clock().now;
        let open = self.config.connections.fetch_add(1, Ordering::Relaxed);
        self.clients.insert(now, key, peer);
        let from_there = self.clients.by_ip.get(&peer.ip()).copied().unwrap_or(0);
        let (most, most_per_ip) = (self.config.connections_max, self.config.connections_per_ip_max);
        if (most > 0 && open >= most) || (most_per_ip > 0 && from_there > most_per_ip) || self.stopping {
            if let Some(out) = io.outbox(key) {
                let code = ServerError::NotAllowedError;
                frame::put(out, &error(NO_REQUEST, code, "Reached the maximum number of connections"));
            }
            self.end_client(io, key, LINGER);
            return;
        }
        self.clients.unsettle(key);
    }

    /// True when the connection is a native client's.
    pub fn owns(&mut self, key: ConnKey) -> bool {
        self.clients.get(key).is_some()
    }

    /// Bytes of a client.
    pub fn on_bytes(&mut self, io: &mut Links, key: ConnKey, bytes: &[u8]) {
        self.with_client(io, key, |inbound, cx| inbound.on_bytes(cx, bytes));
    }

    /// The client sends nothing more: all that it had is over.
    pub fn on_eof(&mut self, io: &mut Links, key: ConnKey) {
        self.end_client(io, key, Duration::ZERO);
    }

    /// The connection is gone.
    pub fn on_closed(&mut self, io: &mut Links, key: ConnKey) {
        self.disown(io, key);
        if self.clients.remove(key).is_some() {
            self.config.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The outbox of a client is nearly empty again.
    pub fn on_drained(&mut self, io: &mut Links, key: ConnKey) {
        let queued = io.queued(key);
        let Some(client) = self.clients.get(key) else { return };
        client.inbound.on_outbox(queued);
        if std::mem::take(&mut client.unwritable) {
            self.tell_writable(io, key, true);
        }
        self.clients.unsettle(key);
    }

    pub(super) fn client_timer(&mut self, io: &mut Links, key: ConnKey) {
        let Some(client) = self.clients.get(key) else { return };
        client.timer_at = Instant::FAR;
        self.with_client(io, key, |inbound, cx| match cx.now >= inbound.next_timer() {
            true => inbound.on_timer(cx),
            false => Ok(()),
        });
    }

    /// Runs `work` on a client with its outbox, carries out what it wants, and ends it if it must end.
    fn with_client(
        &mut self,
        io: &mut Links,
        key: ConnKey,
        work: impl FnOnce(&mut Inbound, &mut Context<'_>) -> Result<(), Fault>,
    ) {
        let now = io.clock().now;
        let queued = io.queued(key);
        let Some(client) = self.clients.get(key).filter(|client| !client.closing) else { return };
        let Some(out) = io.outbox(key) else { return };
        let sending = queued - out.len();
        let mut effects = std::mem::take(&mut self.effects);
        let (arena, inbound) = (&mut self.arena, &mut client.inbound);
        let result = work(inbound, &mut Context { now, out, sending, arena, effects: &mut effects });
        let holds = inbound.members().pending_bytes() + inbound.gathered();
        self.publish_bytes = self.publish_bytes - client.counted + holds;
        client.counted = holds;
        self.clients.unsettle(key);
        for effect in effects.drain(..) {
            self.carry_out(io, key, effect);
        }
        self.effects = effects;
        if let Err(fault) = result {
            self.end_faulty(io, key, &fault);
        }
    }

    fn carry_out(&mut self, io: &mut Links, key: ConnKey, effect: Effect) {
        let Some(client) = self.clients.get(key) else { return };
        let (connection, peer) = (client.id, client.peer);
        match effect {
            Effect::Forward { store, first, command, entry } => {
                let store = StoreId(store);
                if first {
                    let client_version = client.inbound.client_version().to_owned();
                    let what = Asked::Introduced { address: Some(peer), client_version };
                    self.request(io, Request { connection, store, what });
                }
                let fresh = !entry.is_empty();
                self.forward(io, connection, store, command, entry);
                if fresh && self.is_clogged(store) {
                    self.hold_for_credit(store, key);
                }
            }
            Effect::Ask(command) => self.question(io, connection, command),
            Effect::Probed { alive } => {
                for store in client.inbound.members().stores().collect::<Vec<_>>() {
                    let what = Asked::Probed { alive };
                    self.request(io, Request { connection, store: StoreId(store), what });
                }
            }
        }
    }

    fn hold_for_credit(&mut self, store: StoreId, key: ConnKey) {
        let Some(client) = self.clients.get(key).filter(|client| client.credits == 0) else { return };
        client.credits += 1;
        client.inbound.hold();
        self.peers.hold(store, key);
    }

    /// Credit came: a client that waited for it goes on.
    pub(super) fn release_client(&mut self, _io: &mut Links, key: ConnKey) {
        let Some(client) = self.clients.get(key).filter(|client| client.credits > 0) else { return };
        client.credits -= 1;
        client.inbound.release();
        self.clients.unsettle(key);
    }

    /// The answer to a question of a client of this core.
    pub(super) fn client_answer(&mut self, io: &mut Links, id: ConnectionId, answer: &Command) {
        let Some(client) = self.clients.by_id(id).filter(|client| !client.closing) else { return };
        let key = client.key;
        let Some(out) = io.outbox(key) else { return };
        client.inbound.answer(out, answer);
        self.clients.unsettle(key);
    }

    /// What a host says to a client of this core.
    pub(super) fn client_told(&mut self, io: &mut Links, id: ConnectionId, told: Told) {
        let now = io.clock().now;
        let Some(client) = self.clients.by_id(id).filter(|client| !client.closing) else { return };
        let key = client.key;
        let Some(out) = io.outbox(key) else { return };
        match told {
            Told::Command(mut command) => {
                if let Err(fault) = client.inbound.on_told(now, out, &mut command) {
                    return self.end_faulty(io, key, &fault);
                }
            }
            Told::Deliver { command, entry } => client.inbound.deliver(out, command, &entry),
            Told::Close { reason } => return self.end_faulty(io, key, &Fault::Protocol(reason)),
            Told::Probe => {
                return self.with_client(io, key, |inbound, cx| {
                    inbound.probe(cx);
                    Ok(())
                });
            }
            Told::Exists { .. } | Told::Topics { .. } => debug_assert!(false, "these answer tickets"),
        }
        self.clients.unsettle(key);
        let queued = io.queued(key);
        self.check_writable(io, key, queued);
    }

    /// Stops deliveries to a client that does not read them.
    fn check_writable(&mut self, io: &mut Links, key: ConnKey, queued: usize) {
        let Some(client) = self.clients.get(key) else { return };
        if queued < limit::CONNECTION_OUTBOX_HIGH || std::mem::replace(&mut client.unwritable, true) {
            return;
        }
        io.notify_below(key, limit::CONNECTION_OUTBOX_LOW);
        self.tell_writable(io, key, false);
    }

    fn tell_writable(&mut self, io: &mut Links, key: ConnKey, writable: bool) {
        let Some(client) = self.clients.get(key) else { return };
        let connection = client.id;
        for store in client.inbound.members().consuming() {
            let what = Asked::Writable(writable);
            self.request(io, Request { connection, store: StoreId(store), what });
        }
    }

    /// Goes on with what clients sent before, and reads from them or not.
    pub(super) fn settle_clients(&mut self, io: &mut Links) {
        let mut visiting = std::mem::take(&mut self.clients.unsettled);
        for key in &visiting {
            self.settle_client(io, *key);
        }
        visiting.clear();
        if self.clients.unsettled.is_empty() {
            self.clients.unsettled = visiting;
        }
        if self.publish_bytes <= self.config.publish_bytes_max / 2 && !self.clients.starved.is_empty() {
            for key in std::mem::take(&mut self.clients.starved) {
                if let Some(client) = self.clients.get(key)
                    && std::mem::take(&mut client.over_budget)
                {
                    client.inbound.release();
                    self.clients.unsettle(key);
                }
            }
        }
    }

    fn settle_client(&mut self, io: &mut Links, key: ConnKey) {
        let queued = io.queued(key);
        let Some(client) = self.clients.get(key) else { return };
        client.unsettled = false;
        if client.closing {
            return;
        }
        client.inbound.on_outbox(queued);
        if queued > limit::CONNECTION_OUTBOX_LOW {
            io.notify_below(key, limit::CONNECTION_OUTBOX_LOW);
        }
        let holds = client.inbound.members().pending_bytes() + client.inbound.gathered();
        self.publish_bytes = self.publish_bytes - client.counted + holds;
        client.counted = holds;
        let produces = client.inbound.members().produces();
        if self.publish_bytes > self.config.publish_bytes_max && produces && !client.over_budget {
            client.over_budget = true;
            client.inbound.hold();
            self.clients.starved.push(key);
        }
        let Some(client) = self.clients.get(key) else { return };
        if client.inbound.has_frame() && !client.inbound.is_held() {
            // What came while it was held goes first: were it read from meanwhile, more would come each time than one turn takes, and
            // what lies here would grow for as long as the client sends.
            if !std::mem::replace(&mut client.paused, true) {
                io.pause(key);
            }
            return self.with_client(io, key, Inbound::go_on); // and then it is looked at again
        }
        let held = client.inbound.is_held();
        if held != client.paused {
            client.paused = held;
            match held {
                true => io.pause(key),
                false => io.resume(key),
            }
        }
        let due = client.inbound.next_timer();
        if due < client.timer_at {
            client.timer_at = due;
            io.arm(due, Token::Client(key).pack());
        }
    }

    fn end_faulty(&mut self, io: &mut Links, key: ConnKey, fault: &Fault) {
        if let Some(client) = self.clients.get(key) {
            log::info!("native client {}: {fault}; closing its connection", client.peer);
        }
        self.end_client(io, key, LINGER);
    }

    /// Hosts hear that it is gone; what is in its outbox is still sent.
    fn end_client(&mut self, io: &mut Links, key: ConnKey, linger: Duration) {
        self.disown(io, key);
        io.close(key, linger);
    }

    /// Its hosts and budgets forget a client.
    fn disown(&mut self, io: &mut Links, key: ConnKey) {
        let Some(client) = self.clients.get(key) else { return };
        if std::mem::replace(&mut client.closing, true) {
            return;
        }
        self.publish_bytes -= std::mem::take(&mut client.counted);
        let connection = client.id;
        for store in client.inbound.members().stores().collect::<Vec<_>>() {
            let what = Asked::Disconnected;
            self.request(io, Request { connection, store: StoreId(store), what });
        }
    }

    /// A PRODUCER or SUBSCRIBE that waited for its schema is still wanted.
    pub(super) fn is_waiting(&mut self, connection: ConnectionId, request: u64) -> bool {
        if self.local.is(connection) {
            return self.local.members().is_waiting(request);
        }
        let client = self.clients.by_id(connection).filter(|client| !client.closing);
        client.is_some_and(|client| client.inbound.members().is_waiting(request))
    }

    /// The schema that a PRODUCER brought has this version.
    pub(super) fn note_schema_version(&mut self, connection: ConnectionId, request: u64, version: u64) {
        if self.local.is(connection) {
            self.local.members().set_schema_version(request, version);
        } else if let Some(client) = self.clients.by_id(connection) {
            client.inbound.set_schema_version(request, version);
        }
    }

    /// The refusal of a PRODUCER or SUBSCRIBE of this core's clients.
    pub(super) fn refuse(&mut self, io: &mut Links, connection: ConnectionId, refusal: Command) {
        let told = Told::Command(refusal);
        match self.local.is(connection) {
            true => self.local.on_told(io.clock().now, told),
            false => self.client_told(io, connection, told),
        }
    }

    /// The address that a client dialled.
    pub(super) fn dialled(&mut self, io: &Links, connection: ConnectionId) -> Option<SocketAddr> {
        let client = self.clients.by_id(connection)?;
        io.local(client.key)
    }

    /// Closes all clients; they hear nothing beforehand, as from a broker that goes down.
    pub(super) fn close_all(&mut self, io: &mut Links) {
        let keys: Vec<ConnKey> = self.clients.slots.iter().flatten().map(|client| client.key).collect();
        for key in keys {
            self.end_client(io, key, Duration::ZERO);
        }
    }
}
