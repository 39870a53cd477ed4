//! A host owns one store: its log and its topics. Requests of clients and administrators, the catalogue's news, time, and what
//! became of disk requests go in; replies, answers and disk requests come out. A value like everything here: no socket, file or
//! clock. One turn of its owner: `on_*` for what there is, [`Host::drive`], then `poll_reply`, `poll_answer` and `take_op` until
//! there is none.

mod message;

use std::collections::VecDeque;

pub use message::{Asked, ConnectionId, Reply, Request, Told};

use crate::base::time::{Clock, Instant};
use crate::broker::admin::{AdminAnswer, AdminAsk, Refused};
use crate::broker::catalogue::Catalogue;
use crate::broker::event::Refusal;
use crate::store::{Completion, DiskError, DiskOp, Event, Log, OpId, StoreId};
use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto::ServerError;

/// Which store a topic is in. Decided by its full name, partition suffix included, and the number of stores, which never changes.
pub fn store_of(topic: &str, stores: u16) -> StoreId {
    let hash = crc32c::crc32c(topic.as_bytes());
    StoreId((hash % u32::from(stores.max(1))) as u16)
}

/// What a host must know beside its log.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Which store it owns.
    pub store: StoreId,
    /// How many stores the data folder has.
    pub stores: u16,
    /// The cluster's name: begins the names of producers that have none.
    pub cluster: String,
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

/// One store's topics.
#[derive(Debug)]
pub struct Host {
    config: HostConfig,
    log: Log,
    state: HostState,
    /// Requests that wait for the log to open.
    waiting: VecDeque<Request>,
    replies: VecDeque<Reply>,
    answers: VecDeque<(u64, AdminAnswer)>,
}

impl Host {
    /// A host over a log that was just opened. Serves after the log's [`Event::Open`]; requests wait until then.
    pub fn new(config: HostConfig, log: Log, _clock: Clock) -> Host {
        Host {
            config,
            log,
            state: HostState::Recovering,
            waiting: VecDeque::new(),
            replies: VecDeque::new(),
            answers: VecDeque::new(),
        }
    }

    /// Which store this is.
    pub fn store(&self) -> StoreId {
        self.config.store
    }

    /// The log is open, or has room no more: requests are answered.
    pub fn is_open(&self) -> bool {
        matches!(self.state, HostState::Open | HostState::Full)
    }

    /// For health and metrics.
    pub fn state(&self) -> HostState {
        self.state.clone()
    }

    /// A request of a client.
    pub fn on_request(&mut self, _clock: Clock, _catalogue: &Catalogue, request: Request) {
        if self.state == HostState::Recovering {
            return self.waiting.push_back(request);
        }
        self.refuse(&request);
    }

    /// What there is to say to a request that is not served.
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
        self.replies.push_back(Reply { to: request.connection, what });
    }

    /// A question of an administrator; `ticket` comes back with the answer.
    pub fn on_ask(&mut self, _clock: Clock, _catalogue: &Catalogue, ticket: u64, _ask: AdminAsk) {
        self.answers.push_back((ticket, Refused::new(503, "The store is not open").into()));
    }

    /// Records of the catalogue changed: settings of loaded topics are made anew where the keys concern them.
    pub fn on_catalogue(&mut self, _clock: Clock, _catalogue: &Catalogue, _keys: &[&str]) {}

    /// A disk request ended.
    pub fn on_disk(&mut self, _clock: Clock, op: OpId, result: Result<Completion, DiskError>) {
        self.log.on_done(op, result);
    }

    /// Time passed.
    pub fn on_timer(&mut self, _clock: Clock) {}

    /// When [`Host::on_timer`] is due.
    pub fn next_time(&self, _clock: Clock) -> Option<Instant> {
        None
    }

    /// The end of a turn: what came in is carried out together. `true`: there is more to do, call again in the next turn.
    pub fn drive(&mut self, _clock: Clock) -> bool {
        while let Some(event) = self.log.take_event() {
            match event {
                Event::Open => self.state = HostState::Open,
                Event::Dead => self.state = HostState::Failed("the journal could not be written".to_owned()),
                _ => {}
            }
        }
        while self.state != HostState::Recovering
            && let Some(request) = self.waiting.pop_front()
        {
            self.refuse(&request);
        }
        self.log.drive();
        false
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
