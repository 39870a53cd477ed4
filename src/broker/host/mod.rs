//! A host owns one store: its log and its topics. Requests of clients and administrators, the catalogue's news, time, and what
//! became of disk requests go in; replies, answers and disk requests come out. A value like everything here: no socket, file or
//! clock. One turn of its owner: `on_*` for what there is, [`Host::drive`], then `poll_reply`, `poll_answer` and `take_op` until
//! there is none.

mod answer;
mod ask;
mod ask_topic;
mod carry;
mod config;
mod load;
mod message;
mod quota;
mod read;
mod registry;
mod route;
mod scrub;
mod upkeep;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

pub use config::{HostConfig, Rolling, Upkeep};
pub use message::{Asked, ConnectionId, Reply, Request, Told};

use crate::base::id::Position;
use crate::base::limit::{CHECKPOINT_RETRY, HEARTBEAT_DELAY, HOST_WAITING_MAX, ROOM_WAIT_MAX};
use crate::base::table::{Key, Table};
use crate::base::time::{Clock, Instant};
use crate::base::wheel::Wheel;
use crate::broker::admin::{AdminAnswer, AdminAsk, Refused};
use crate::broker::catalogue::Catalogue;
use crate::broker::event::{Refusal, SaveId};
use crate::store::{Completion, DiskError, DiskOp, Event, Log, OpId, ReadId, StoreId, Ticket, TopicId};
use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto::ServerError;
use crate::wire::route::TopicName;
use crate::wire::route::topic::is_in_namespace;
use answer::Asks;
use read::SearchFor;
use registry::{Body, Entry, Waiting};
use route::{Routes, Spreading};
use upkeep::Alarms;

/// Which store a topic is in. Decided by its full name, partition suffix included, and the number of stores, which never changes.
pub fn store_of(topic: &str, stores: u16) -> StoreId {
    let hash = crc32c::crc32c(topic.as_bytes());
    StoreId((hash % u32::from(stores.max(1))) as u16)
}

/// What a host can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostState {
    /// The log is being opened: requests wait.
    Recovering,
    /// All is served.
    Open,
    /// The disk or the journal has no room: nothing is published; what is there is consumed and deleted.
    Full,
    /// The disk failed. Nothing is confirmed any more; a new start, with recovery, tells what is stored.
    Failed(String),
}

/// An entry that is to be stored.
struct Unstored {
    key: Key,
    messages: u32,
    /// As its producer says, milliseconds since the epoch.
    published_ms: u64,
    bytes: Bytes,
}

/// Something the log has and that is not durable yet.
#[derive(Debug)]
struct Pending {
    ticket: Ticket,
    topic: Key,
    what: What,
}

/// What is done when it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// An entry of the topic.
    Entry(Position),
    /// A fact the topic asked to be saved.
    Saved(SaveId),
    /// An administrator is answered.
    Asked(u64),
    /// The message of a health probe is read back.
    Health { ticket: u64, at: Position },
}

/// What is read for.
#[derive(Debug)]
enum Purpose {
    Consumers,
    Load,
    Search(Box<SearchFor>),
    /// An administrator wants to see an entry.
    Show {
        ticket: u64,
    },
}

/// What waits for the log to open.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // few, and not for long
enum Early {
    Request(Request),
    Ask(u64, AdminAsk),
}

/// One store's topics.
pub struct Host {
    config: HostConfig,
    log: Log,
    state: HostState,
    waiting: VecDeque<Early>,
    /// The topic of health probes, once there is one.
    health: Option<TopicId>,
    /// Producers that were given a name in this run.
    producers_named: u64,
    topics: Table<Entry>,
    names: BTreeMap<Arc<str>, Key>,
    routes: Routes,
    /// In the order of the log.
    pending: VecDeque<Pending>,
    /// Entries that wait for room in the log, in order, and until when they may.
    stalled: VecDeque<Unstored>,
    room_due: Option<Instant>,
    reads: Spreading<ReadId, (Key, Purpose)>,
    /// Topics that were loaded, with what waited for them.
    loaded: VecDeque<(Key, VecDeque<Waiting>)>,
    /// Topics to be served at the end of the turn.
    busy: VecDeque<Key>,
    /// Topics whose cursors are to be saved soon.
    unsaved: Vec<Key>,
    /// Topics of which a ledger was closed or consumed.
    trims: Vec<Key>,
    wheel: Wheel,
    alarms: Alarms,
    /// What is durable, what of it topics were told, and what of it there was at the last look.
    durable: Ticket,
    told: Ticket,
    checkpointed: Ticket,
    asks: Asks,
    /// Entries that were found damaged.
    damaged: u64,
    scrub: scrub::Scrub,
    replies: VecDeque<Reply>,
    answers: VecDeque<(u64, AdminAnswer)>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Host");
        out.field("store", &self.config.store).field("state", &self.state);
        out.field("topics", &self.topics.len()).field("pending", &self.pending.len()).finish_non_exhaustive()
    }
}

impl Host {
    /// A host over a log that was just opened. Serves after the log's [`Event::Open`]; requests wait until then.
    pub fn new(config: HostConfig, log: Log, clock: Clock) -> Host {
        let scrub = scrub::Scrub::new(clock.now, config.upkeep.scrub);
        Host {
            alarms: Alarms::new(clock.now, &config.upkeep),
            config,
            log,
            state: HostState::Recovering,
            waiting: VecDeque::new(),
            health: None,
            producers_named: 0,
            topics: Table::default(),
            names: BTreeMap::new(),
            routes: Routes::default(),
            pending: VecDeque::new(),
            stalled: VecDeque::new(),
            room_due: None,
            reads: Spreading::default(),
            loaded: VecDeque::new(),
            busy: VecDeque::new(),
            unsaved: Vec::new(),
            trims: Vec::new(),
            wheel: Wheel::default(),
            durable: Ticket(0),
            told: Ticket(0),
            checkpointed: Ticket(0),
            asks: Asks::default(),
            damaged: 0,
            scrub,
            replies: VecDeque::new(),
            answers: VecDeque::new(),
        }
    }

    /// Which store this is.
    pub fn store(&self) -> StoreId {
        self.config.store
    }

    /// Requests are answered.
    pub fn is_open(&self) -> bool {
        matches!(self.state, HostState::Open | HostState::Full)
    }

    /// For health and metrics.
    pub fn state(&self) -> HostState {
        self.state.clone()
    }

    /// Entries come faster than the disk takes them: producers should not be read from until this is over.
    pub fn is_behind(&self) -> bool {
        self.log.is_behind()
    }

    /// A request of a client.
    pub fn on_request(&mut self, clock: Clock, catalogue: &Catalogue, request: Request) {
        if self.state != HostState::Recovering {
            return self.serve(clock, catalogue, request);
        }
        if self.waiting.len() < HOST_WAITING_MAX || matches!(request.what, Asked::Disconnected) {
            return self.waiting.push_back(Early::Request(request));
        }
        self.refuse(&request);
    }

    /// Too much waits for the log already.
    fn refuse(&mut self, request: &Request) {
        let refusal =
            Refusal { code: ServerError::ServiceNotReady, text: "The store is not open".to_owned() };
        let what = match &request.what {
            Asked::Command { command: Command::Producer(producer), .. } => {
                Told::Command(refusal.command(producer.request_id))
            }
            Asked::Command { command: Command::Subscribe(subscribe), .. } => {
                Told::Command(refusal.command(subscribe.request_id))
            }
            Asked::Exists { ticket, .. } => Told::Exists { ticket: *ticket, exists: false },
            Asked::Topics { ticket, .. } => Told::Topics { ticket: *ticket, names: Vec::new() },
            _ => return,
        };
        self.tell(request.connection, what);
    }

    /// A question of an administrator; `ticket` comes back with the answer.
    pub fn on_ask(&mut self, clock: Clock, catalogue: &Catalogue, ticket: u64, ask: AdminAsk) {
        match &self.state {
            HostState::Recovering if self.waiting.len() < HOST_WAITING_MAX => {
                self.waiting.push_back(Early::Ask(ticket, ask));
            }
            HostState::Recovering => self.answer_refused(ticket, 503, "The store is not open"),
            HostState::Failed(reason) if !matches!(ask, AdminAsk::Counts) => {
                let refused = Refused::new(500, format!("Store {}: {reason}", self.config.store.0));
                self.answer(ticket, refused.into());
            }
            _ => self.serve_ask(clock, catalogue, ticket, ask),
        }
    }

    /// Records of the catalogue changed: settings of topics in memory are made anew where the keys concern them.
    pub fn on_catalogue(&mut self, clock: Clock, catalogue: &Catalogue, keys: &[&str]) {
        let concerns = |name: &str| {
            keys.iter().any(|key| match key.split_once('/') {
                Some(("namespace", namespace)) => is_in_namespace(name, namespace),
                Some(("policies", topic)) => {
                    TopicName::parse(name).is_ok_and(|name| name.base().as_str() == topic)
                }
                _ => false,
            })
        };
        let known = self.topics.iter().filter(|(_, entry)| entry.rules.is_some());
        let changed: Vec<Key> =
            known.filter(|(_, entry)| concerns(&entry.name)).map(|(key, _)| key).collect();
        for key in changed {
            self.apply_rules(clock, catalogue, key);
        }
    }

    fn apply_rules(&mut self, clock: Clock, catalogue: &Catalogue, key: Key) {
        let Some(entry) = self.topics.get_mut(key) else { return };
        let rules = Arc::new(load::rules(catalogue, &entry.name, &self.config.rules));
        entry.rules = Some(rules.clone());
        self.poke(key, |topic| topic.set_settings(clock, load::settings(&rules)));
        self.trims.push(key);
        self.check_quota(clock, key, false);
    }

    /// A disk request ended.
    pub fn on_disk(&mut self, clock: Clock, op: OpId, result: Result<Completion, DiskError>) {
        self.log.on_done(op, result);
        self.take_events(clock);
    }

    fn take_events(&mut self, clock: Clock) {
        while let Some(event) = self.log.take_event() {
            match event {
                Event::Open => {
                    self.register_all(clock);
                    // The first files are still being made: nobody is told "full" for that.
                    self.room_due = Some(clock.now + ROOM_WAIT_MAX);
                }
                Event::Durable(upto) => (self.durable, self.alarms.framed) = (upto, clock.now),
                Event::Read { id, ledger, first, entries } => {
                    self.on_read(clock, id, Position { ledger, entry: first }, entries);
                }
                Event::Found { id, position } => self.on_found(clock, id, position),
                Event::Damaged { ledger, first, behind } => {
                    let store = self.config.store.0;
                    log::error!("store {store}: entries {first:?} to {behind:?} of {ledger:?} are damaged");
                    self.damaged += behind.0.saturating_sub(first.0);
                }
                Event::Scrubbed { bytes, .. } => self.scrub.on_scrubbed(clock.now, bytes),
                Event::Checkpoint => self.alarms.on_checkpoint(),
                Event::CheckpointFailed(error) => {
                    log::warn!("store {}: a checkpoint failed: {error}", self.config.store.0);
                    self.alarms.retry = Some(clock.now + CHECKPOINT_RETRY);
                    if self.log.is_behind() && self.state == HostState::Open {
                        self.on_full(clock);
                    }
                }
                Event::Dead => self.on_dead(clock, "the journal could not be written"),
            }
        }
        // While entries come faster than the disk takes them away from memory, nobody is told that more is stored: producers
        // wait, and nothing is refused. When the disk does not take them at all, waiting would not help.
        if self.told < self.durable && (!self.log.is_behind() || self.state != HostState::Open) {
            self.told = self.durable;
            self.on_durable(clock, self.durable);
        }
    }

    /// The end of a turn: what came in is carried out together. `true`: there is more to do, call again in the next turn.
    pub fn drive(&mut self, clock: Clock, catalogue: &Catalogue) -> bool {
        self.take_events(clock);
        if self.state == HostState::Recovering && self.log.is_open() && self.log.has_room() {
            (self.state, self.room_due) = (HostState::Open, None);
        }
        if self.state == HostState::Recovering {
            self.log.drive();
            return false;
        }
        self.append_stalled(clock);
        while let Some(early) = self.waiting.pop_front() {
            match early {
                Early::Request(request) => self.serve(clock, catalogue, request),
                Early::Ask(ticket, ask) => self.on_ask(clock, catalogue, ticket, ask),
            }
        }
        if self.state == HostState::Full && self.log.has_room() && !self.log.is_behind() {
            self.on_room(clock);
        }
        self.admit_waiting(clock);
        for _ in 0..self.busy.len() {
            let Some(key) = self.busy.pop_front() else { break };
            self.dispatch(clock, key);
        }
        for key in std::mem::take(&mut self.trims) {
            self.trim(clock, key);
        }
        self.log.drive();
        self.take_events(clock);
        if self.log.wants_heartbeat() {
            self.alarms.heartbeat.get_or_insert(clock.now + HEARTBEAT_DELAY);
        }
        !self.busy.is_empty()
    }

    /// A topic sends what it has, and what it asks for is carried out.
    fn dispatch(&mut self, clock: Clock, key: Key) {
        let Some(entry) = self.topics.get_mut(key) else { return };
        entry.is_busy = false;
        let Body::Loaded(topic) = &mut entry.body else { return };
        let more = topic.dispatch(clock);
        self.carry(clock, key);
        let Some(entry) = self.topics.get_mut(key) else { return };
        let Body::Loaded(topic) = &mut entry.body else { return };
        if more && !entry.is_busy {
            entry.is_busy = true;
            self.busy.push_back(key);
        }
        if let Some(at) = topic.next_time(clock)
            && entry.wake.is_none_or(|wake| at < wake)
        {
            entry.wake = Some(at);
            self.wheel.arm(at, key.to_bits());
        }
        self.rest_if_done(clock, key);
    }

    /// There is no room: nobody publishes.
    pub(super) fn on_full(&mut self, clock: Clock) {
        self.stalled.clear();
        self.room_due = None;
        log::warn!("store {}: nothing is published until there is room", self.config.store.0);
        self.state = HostState::Full;
        let keys: Vec<Key> = self.topics.iter().map(|(key, _)| key).collect();
        for key in keys {
            let taken = self.topics.get(key).map_or(0, |entry| entry.in_flight);
            self.poke(key, |topic| topic.on_append_refused(clock, taken));
        }
    }

    /// There is room again.
    fn on_room(&mut self, _clock: Clock) {
        log::info!("store {}: there is room again", self.config.store.0);
        self.state = HostState::Open;
        let keys: Vec<Key> = self.topics.iter().map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.poke(key, |topic| topic.on_room()));
    }

    /// When [`Host::on_timer`] is due.
    pub fn next_time(&self, _clock: Clock) -> Option<Instant> {
        if self.state == HostState::Recovering {
            return self.room_due;
        }
        [self.wheel.next(), self.alarms.next(), self.room_due, self.scrub.due].into_iter().flatten().min()
    }

    /// The next thing for a client.
    pub fn poll_reply(&mut self) -> Option<Reply> {
        self.replies.pop_front()
    }

    /// The next answer to an administrator, with its ticket.
    pub fn poll_answer(&mut self) -> Option<(u64, AdminAnswer)> {
        self.answers.pop_front()
    }

    /// The next request for the disk.
    pub fn take_op(&mut self) -> Option<(OpId, DiskOp)> {
        self.log.take_op()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_chosen_by_the_whole_name() {
        assert_eq!(store_of("persistent://public/default/a", 1), StoreId(0));
        let names = (0..100).map(|index| format!("persistent://public/default/a-partition-{index}"));
        let mut used = [0; 4];
        names.for_each(|name| used[usize::from(store_of(&name, 4).0)] += 1);
        assert!(used.iter().all(|count| *count > 10), "{used:?}");
        // CRC-32C of "123456789" is 0xe3069283 (RFC 3720, B.4): stable over versions, or topics would be lost.
        assert_eq!(store_of("123456789", u16::MAX), StoreId((0xe306_9283_u32 % 65535) as u16));
    }
}
