//! One core of `standalone`: the gateway for WebSocket clients, the embedded broker with its native clients, its administration,
//! and what they have to say to each other. All decisions are theirs; here events find their owner, and the end of a turn goes round until nobody has
//! more to say.

use super::admin::{Admin, AdminRequest, Effect, METRICS_TYPE, WebAnswer};
use super::embedded::Embedded;
use super::gateway::Gateway;
use super::gateway::web::WebRequest;
use crate::base::time::Instant;
use crate::broker::host::HostState;
use crate::shard::links::{Closed, ConnKey, Handler, Links};
use crate::shard::meta::{MetaNews, MetaRefusal};
use crate::shard::{Door, Mail, ShardId};
use crate::store::{Completion, DiskError, OpId, StoreId};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Times per turn that gateway and broker hear each other; what is left goes on in the next turn.
const ROUNDS_MAX: usize = 4;

/// Token of the administration's timer; those of gateway and broker have other first bytes.
const ADMIN_TIMER: u64 = 0x22 << 56;
/// Token of the timer that ends a stop.
const STOP_TIMER: u64 = 0x23 << 56;
/// During a stop a core looks this often whether the other cores' clients are gone, and whether its stores are at rest.
const STOP_STEP: Duration = Duration::from_millis(5);
/// Times that stores must be at rest in a row: mail of other cores may have been on its way at the first look.
const STOP_LOOKS: u32 = 2;

type Tell = Box<dyn Fn(StoreId, &str) + Send + Sync>;

/// What all cores know of each other: stores that failed, and how far a stop has come.
pub struct Failures {
    count: AtomicUsize,
    /// Cores, and those of them whose clients are gone.
    cores: AtomicUsize,
    quiet: AtomicUsize,
    tell: Tell,
}

impl Failures {
    /// `tell` is called once for each store whose journal failed while it ran, with the reason.
    pub fn new(tell: impl Fn(StoreId, &str) + Send + Sync + 'static) -> Failures {
        let [count, cores, quiet] = [0; 3].map(AtomicUsize::new);
        Failures { count, cores, quiet, tell: Box::new(tell) }
    }
}

/// One core of `standalone`.
pub struct Standalone {
    gateway: Gateway,
    embedded: Embedded,
    admin: Admin,
    /// The administration's timer is armed for then.
    admin_at: Instant,
    failures: Arc<Failures>,
    /// Stores of this core that were told of.
    failed: BTreeSet<StoreId>,
    /// A file operation failed since the hosts were looked at.
    disk_failed: bool,
    /// What `/readyz` says at this core: failed stores of all cores; `None` while the stores are being opened.
    said: Option<usize>,
    stop: Stop,
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    No,
    /// Clients are being closed.
    Clients,
    /// Ours are gone; those of other cores may still use our topics.
    Others,
    /// What they left behind is being saved; so often in a row nothing was left to do.
    Settling(u32),
    Done,
}

impl Standalone {
    /// The parts of one core. The gateway is one in front of the embedded broker ([`Gateway::local`]).
    pub fn new(gateway: Gateway, embedded: Embedded, admin: Admin) -> Standalone {
        let failures = Failures::new(|_, _| {});
        failures.cores.store(1, Relaxed);
        Standalone {
            gateway,
            embedded,
            admin,
            admin_at: Instant::FAR,
            failures: Arc::new(failures),
            failed: BTreeSet::new(),
            disk_failed: true,
            said: Some(usize::MAX),
            stop: Stop::No,
        }
    }

    /// The same; `failures` is shared by all cores.
    pub fn with_failures(self, failures: Arc<Failures>) -> Standalone {
        failures.cores.fetch_add(1, Relaxed);
        Standalone { failures, ..self }
    }

    /// Whether all stores serve, here and elsewhere: for `/readyz`, and for whoever decides about the process.
    fn look_after_stores(&mut self) {
        if std::mem::take(&mut self.disk_failed) {
            for (store, state) in self.embedded.host_states() {
                if let HostState::Failed(reason) = state
                    && self.failed.insert(store)
                {
                    self.failures.count.fetch_add(1, Relaxed);
                    (self.failures.tell)(store, &reason);
                }
            }
        }
        let failed = self.failures.count.load(Relaxed);
        // Once open a store is open until it fails.
        let open = failed > 0 || matches!(self.said, Some(0)) || self.embedded.is_open();
        let state = open.then_some(failed);
        if self.said != state {
            self.said = state;
            self.gateway.set_trouble(match state {
                None => Some("the stores are being opened".to_owned()),
                Some(0) => None,
                Some(failed) => Some(format!("{failed} stores failed: their topics are not served")),
            });
        }
    }

    fn look_after_stop(&mut self, io: &mut Links) {
        if self.stop == Stop::Clients && self.gateway.is_quiet() && self.embedded.is_quiet() {
            self.failures.quiet.fetch_add(1, Relaxed);
            self.stop = Stop::Others;
            io.arm(io.clock().now, STOP_TIMER);
        }
    }

    fn go_on_stopping(&mut self, io: &mut Links) {
        let all_quiet = self.failures.quiet.load(Relaxed) >= self.failures.cores.load(Relaxed);
        self.stop = match self.stop {
            Stop::Others if all_quiet => {
                self.embedded.save_all(io);
                Stop::Settling(0)
            }
            Stop::Settling(looks) if self.embedded.settle_down() => match looks + 1 {
                STOP_LOOKS => Stop::Done,
                looks => Stop::Settling(looks),
            },
            Stop::Settling(_) => Stop::Settling(0),
            stop => stop,
        };
        if self.stop != Stop::Done {
            io.arm(io.clock().now + STOP_STEP, STOP_TIMER);
        }
    }

    /// The embedded broker of this core.
    pub fn embedded(&self) -> &Embedded {
        &self.embedded
    }

    /// What the gateway wants goes to the broker. True: there was something.
    fn carry_requests(&mut self, io: &mut Links) -> bool {
        let mut any = false;
        while let Some(request) = self.gateway.poll_local() {
            self.embedded.local_request(io, request);
            any = true;
        }
        any
    }

    /// What the administration has to say to all others, and they to it. True: there was something.
    fn carry_admin(&mut self, io: &mut Links) -> bool {
        let mut any = false;
        while let Some(request) = self.gateway.poll_web() {
            any = true;
            self.take_web(io, request);
        }
        while let Some((ticket, answer)) = self.embedded.poll_answer() {
            any = true;
            self.admin.on_answer(io.clock(), self.embedded.catalogue(), ticket, answer);
        }
        while let Some(effect) = self.admin.poll() {
            any = true;
            match effect {
                Effect::Ask { ticket, store, ask } => self.embedded.ask(io, store, ticket, ask),
                Effect::Write { ticket, changes } => {
                    if io.write_meta(ticket, changes).is_err() {
                        let why =
                            MetaRefusal::Failed("too many changes are waiting to be written".to_owned());
                        self.admin.on_written(io.clock(), self.embedded.catalogue(), ticket, Err(why));
                    }
                }
                Effect::Answer { client, answer } => self.answer_web(io, client, &answer),
            }
        }
        if let Some(at) = self.admin.next_time()
            && at < self.admin_at
        {
            self.admin_at = at;
            io.arm(at, ADMIN_TIMER);
        }
        any
    }

    fn take_web(&mut self, io: &mut Links, request: WebRequest) {
        let host = request.header("host").map(str::to_owned);
        let WebRequest { client, method, target, body, .. } = request;
        match AdminRequest::new(client, &method, &target, host.as_deref(), body) {
            Ok(request) => self.admin.on_request(io.clock(), self.embedded.catalogue(), request),
            Err(answer) => self.answer_web(io, client, &answer),
        }
    }

    fn answer_web(&mut self, io: &mut Links, client: ConnKey, answer: &WebAnswer) {
        if answer.content_type == METRICS_TYPE {
            let page = String::from_utf8_lossy(&answer.body).into_owned();
            return self.gateway.answer_metrics(io, client, page);
        }
        let headers: Vec<&str> = answer.headers.iter().map(String::as_str).collect();
        self.gateway.answer_web(io, client, answer.status, answer.content_type, &headers, &answer.body);
    }

    /// What the broker says goes to the gateway. True: there was something.
    fn carry_events(&mut self, io: &mut Links) -> bool {
        let mut any = false;
        while let Some(event) = self.embedded.poll_local(io) {
            self.gateway.on_local(io, event);
            any = true;
        }
        any
    }
}

impl Handler for Standalone {
    fn on_start(&mut self, io: &mut Links) {
        self.gateway.on_start(io);
    }

    fn on_accept(&mut self, io: &mut Links, key: ConnKey, peer: SocketAddr, door: Door) {
        match door {
            Door::BINARY => self.embedded.on_accept(io, key, peer),
            door => self.gateway.on_accept(io, key, peer, door),
        }
    }

    fn on_connected(&mut self, io: &mut Links, key: ConnKey, result: Result<(), i32>) {
        self.gateway.on_connected(io, key, result);
    }

    fn on_bytes(&mut self, io: &mut Links, key: ConnKey, bytes: &mut [u8]) {
        match self.embedded.owns(key) {
            true => self.embedded.on_bytes(io, key, bytes),
            false => self.gateway.on_bytes(io, key, bytes),
        }
    }

    fn on_eof(&mut self, io: &mut Links, key: ConnKey) {
        match self.embedded.owns(key) {
            true => self.embedded.on_eof(io, key),
            false => self.gateway.on_eof(io, key),
        }
    }

    fn on_drained(&mut self, io: &mut Links, key: ConnKey) {
        match self.embedded.owns(key) {
            true => self.embedded.on_drained(io, key),
            false => self.gateway.on_drained(io, key),
        }
    }

    fn on_closed(&mut self, io: &mut Links, key: ConnKey, why: Closed) {
        match self.embedded.owns(key) {
            true => self.embedded.on_closed(io, key),
            false => self.gateway.on_closed(io, key, why),
        }
    }

    fn on_timer(&mut self, io: &mut Links, token: u64) {
        if token == STOP_TIMER {
            return self.go_on_stopping(io);
        }
        if token == ADMIN_TIMER {
            self.admin_at = Instant::FAR;
            return self.admin.on_timer(io.clock());
        }
        if let Err(token) = self.embedded.on_timer(io, token) {
            self.gateway.on_timer(io, token);
        }
    }

    fn on_resolved(&mut self, io: &mut Links, token: u64, result: Result<Vec<SocketAddr>, String>) {
        self.gateway.on_resolved(io, token, result);
    }

    fn on_mail(&mut self, io: &mut Links, from: ShardId, mail: Mail) {
        if let Err(mail) = self.embedded.on_mail(io, from, mail) {
            self.gateway.on_mail(io, from, mail);
        }
    }

    fn on_disk(&mut self, io: &mut Links, store: StoreId, op: OpId, result: Result<Completion, DiskError>) {
        self.disk_failed |= result.is_err();
        self.embedded.on_disk(io, store, op, result);
    }

    fn on_meta(&mut self, io: &mut Links, news: MetaNews) {
        let (ticket, result) = match news {
            MetaNews::Applied { records, ticket } => {
                self.embedded.on_records(io, &records);
                (ticket, Ok(()))
            }
            MetaNews::Refused { ticket, why } => (Some(ticket), Err(why)),
        };
        match ticket {
            Some(ticket) if Embedded::owns_ticket(ticket) => self.embedded.on_written(io, ticket, result),
            Some(ticket) => {
                self.admin.on_written(io.clock(), self.embedded.catalogue(), ticket, result);
            }
            None => {}
        }
    }

    fn on_turn_end(&mut self, io: &mut Links) {
        self.look_after_stores();
        self.look_after_stop(io);
        self.gateway.on_turn_end(io);
        for _ in 0..ROUNDS_MAX {
            let asked = self.carry_requests(io);
            self.embedded.drive(io);
            let told = self.carry_events(io);
            if told {
                self.gateway.on_turn_end(io);
            }
            let managed = self.carry_admin(io);
            if !asked && !told && !managed {
                return;
            }
        }
        // The last round left something: it is not forgotten while nothing else happens.
        self.embedded.wake(io);
    }

    fn on_stop(&mut self, io: &mut Links, spread: Duration) {
        self.gateway.on_stop(io, spread);
        self.embedded.on_stop(io);
        self.stop = Stop::Clients;
    }

    fn is_quiet(&self) -> bool {
        self.stop == Stop::Done
    }
}
