//! The network around one core's gateway: connections that are slow, cut bytes anywhere, and break. Or no network on the side
//! of the brokers, but one of them in the same process.

use crate::broker::{BROKERS, Brokers, Faults, Link};
use crate::client::{Client, Phase, Role, put_frame};
use pulsegate::base::limit;
use pulsegate::base::prng::Prng;
use pulsegate::config::gateway::{GatewayConfig, ServiceUrl};
use pulsegate::metrics::CoreReport;
use pulsegate::service::gateway::Gateway;
use pulsegate::service::gateway::local::LocalBroker;
use pulsegate::shard::links::Question;
use pulsegate::shard::{ConnKey, Handler, Links, Mail, ShardId};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const ECONNRESET: i32 = 104;
const ECONNREFUSED: i32 = 111;
/// Topics: the n-th has n partitions.
pub(crate) const TOPICS: u64 = 4;

pub(crate) fn topic(number: u64) -> String {
    format!("persistent://public/default/t{number}")
}

fn address(broker: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, broker as u8], 6650))
}

pub(crate) fn config() -> GatewayConfig {
    GatewayConfig {
        service: ServiceUrl::Binary((0..BROKERS).map(|n| (format!("broker-{n}"), 6650)).collect()),
        text_max: 48 * 1024,
        http_head_max: limit::HTTP_HEAD_MAX,
        session_idle: limit::SESSION_IDLE_MAX,
        ping_interval: Some(Duration::from_secs(30)),
        session_pending_bytes_max: 8192,
        process_pending_bytes_max: 16_384,
        status_file: None,
        broker_token: None,
        cluster: "model".to_owned(),
    }
}

pub(crate) struct World {
    pub(crate) io: Links,
    pub(crate) gateway: Gateway,
    pub(crate) prng: Prng,
    pub(crate) brokers: Brokers,
    pub(crate) clients: Vec<Client>,
    questions: Vec<Question>,
    up: [bool; BROKERS],
    pub(crate) stopping: bool,
    /// Some messages are large enough to fill outboxes.
    heavy: bool,
    /// Broker 0 is in this process: the only one, and there is no link to cut.
    local: bool,
    /// Nothing is slow or cut any more.
    calm: bool,
    /// A hash of everything that was said.
    pub(crate) trace: u64,
}

impl World {
    pub(crate) fn new(seed: u64, local: bool) -> World {
        let mut prng = Prng::new(seed);
        let mut chance = |most: u64| prng.below(2) * prng.below(most);
        let faults =
            Faults { refuse: chance(150), mute: chance(60), hold: chance(300), send_error: chance(20) };
        let mut brokers = Brokers::new(prng.below(2) == 0, faults);
        (1..TOPICS).for_each(|number| _ = brokers.partitions.insert(topic(number), number as u32));
        let mut io = Links::simulated(ShardId(0), 2);
        io.simulate_time(Duration::from_secs(1));
        let config = Arc::new(config());
        let mut gateway = match local {
            true => Gateway::local(config, 1, seed, LocalBroker { stores: 1, message_size_max: 1 << 20 }),
            false => Gateway::new(config, ShardId(0), 1, seed),
        };
        if local {
            brokers.embed();
        }
        gateway.on_start(&mut io);
        World {
            io,
            gateway,
            prng,
            brokers,
            clients: Vec::new(),
            questions: Vec::new(),
            up: [true; BROKERS],
            stopping: false,
            heavy: seed % 16 == 5,
            local,
            calm: false,
            trace: 0xcbf2_9ce4_8422_2325,
        }
    }

    pub(crate) fn note(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.trace = (self.trace ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    pub(crate) fn dice(&mut self, sides: u64) -> bool {
        self.prng.below(sides) == 0
    }

    /// Anything at all happens.
    pub(crate) fn event(&mut self) {
        match self.prng.below(100) {
            0..8 => self.connect(),
            8..40 => self.with_client(|client, prng| match client.role {
                Role::Producer => (0..prng.below(6)).for_each(|_| client.produce(prng)),
                Role::Consumer if client.phase == Phase::Open => client.permit(1, prng),
                Role::Junk => client.babble(prng),
                _ => {}
            }),
            40..43 => self.with_client(|client, _| {
                client.slow = !client.slow;
                client.was_slow = true;
            }),
            43..46 => self.leave(),
            46..52 => self.brokers.release(&mut self.prng),
            52..54 => self.brokers.unload(&mut self.prng),
            54 if self.local => self.close_local(),
            54 => self.drop_link(),
            55 if !self.local => {
                let broker = self.prng.below(BROKERS as u64) as usize;
                self.up[broker] = !self.up[broker];
                while !self.up[broker] && self.brokers.links.iter().any(|link| link.broker == broker) {
                    let at = self.brokers.links.iter().position(|link| link.broker == broker);
                    self.break_link(at.expect("found just now"));
                }
            }
            56 if !self.local && self.dice(4) => {
                let count = self.brokers.links.len() as u64;
                if count > 0 {
                    let at = self.prng.below(count) as usize;
                    self.brokers.links[at].mute = true;
                }
            }
            57 if self.dice(3) => {
                let by = self.prng.below(40_000);
                self.io.simulate_time(Duration::from_millis(by));
            }
            58 if !self.stopping && self.dice(30) => {
                self.stopping = true;
                self.gateway.on_stop(&mut self.io, Duration::from_secs(3));
            }
            59..62 => self.with_client(|client, prng| {
                if client.role == Role::Consumer && client.phase == Phase::Open {
                    client.unsubscribe(prng);
                }
            }),
            _ => {}
        }
        let by = self.prng.below(20);
        self.io.simulate_time(Duration::from_millis(by));
        self.turn();
    }

    fn with_client(&mut self, act: impl FnOnce(&mut Client, &mut Prng)) {
        if self.clients.is_empty() {
            return;
        }
        let at = self.prng.below(self.clients.len() as u64) as usize;
        let client = &mut self.clients[at];
        if !client.left && client.phase != Phase::Ended {
            act(client, &mut self.prng);
        }
    }

    fn connect(&mut self) {
        let live = self.clients.iter().filter(|client| client.phase != Phase::Ended).count();
        if live >= 12 || self.stopping {
            return;
        }
        let number = self.clients.len();
        let key = self.io.simulate_accept(&mut self.gateway, SocketAddr::from(([127, 0, 0, 1], 1000)));
        let prng = &mut self.prng;
        let role = match prng.below(10) {
            0..4 => Role::Producer,
            4..7 => Role::Consumer,
            7..9 => Role::Reader,
            _ => Role::Junk,
        };
        let topic = topic(prng.below(TOPICS));
        let subscription = format!("s{}", prng.below(2));
        let mut client = Client::new(key, number, role, &topic, &subscription, prng);
        if self.heavy {
            client.padding = 20_000;
        }
        if role == Role::Producer && prng.below(3) == 0 {
            client.produce(prng); // before its 101
        }
        self.clients.push(client);
    }

    /// A client goes: politely, by FIN, or by RST.
    fn leave(&mut self) {
        let way = self.prng.below(3);
        let mut found = None;
        self.with_client(|client, prng| {
            if way == 0 && client.phase == Phase::Open {
                put_frame(&mut client.outgoing, 8, &1000u16.to_be_bytes(), prng);
            } else {
                found = Some(client.key);
                client.outgoing.clear();
            }
            client.left = true;
        });
        match (found, way) {
            (Some(key), 2) => self.io.simulate_failure(key, ECONNRESET),
            (Some(key), _) => self.io.simulate_eof(&mut self.gateway, key),
            (None, _) => {}
        }
    }

    fn drop_link(&mut self) {
        if !self.brokers.links.is_empty() {
            let at = self.prng.below(self.brokers.links.len() as u64) as usize;
            self.break_link(at);
        }
    }

    fn break_link(&mut self, at: usize) {
        let link = self.brokers.links.remove(at);
        match self.dice(2) {
            true => self.io.simulate_failure(link.conn, ECONNRESET),
            false => self.io.simulate_eof(&mut self.gateway, link.conn),
        }
    }

    /// One turn of the core, with what the network does in it.
    pub(crate) fn turn(&mut self) {
        self.resolve();
        self.answer_connects();
        match self.local {
            true => self.deliver_locally(),
            false => self.deliver_to_links(),
        }
        self.deliver_to_clients();
        self.io.simulate_turn(&mut self.gateway);
        match self.local {
            true => self.read_locally(),
            false => self.read_links(),
        }
        self.read_clients();
        self.brokers.dispatch();
    }

    fn resolve(&mut self) {
        self.questions.extend(self.io.take_questions());
        for question in std::mem::take(&mut self.questions) {
            if !self.calm && self.dice(2) {
                self.questions.push(question);
                continue;
            }
            let number: usize = question.host.trim_start_matches("broker-").parse().expect("a broker's name");
            let result = match !self.calm && self.dice(20) {
                true => Err("no such host".to_owned()),
                false => Ok(vec![address(number)]),
            };
            self.io.simulate_resolved(&mut self.gateway, question.token, result);
        }
    }

    fn answer_connects(&mut self) {
        for (key, to) in self.io.pending_connects() {
            let broker = (0..BROKERS).find(|broker| address(*broker) == to).expect("a broker's address");
            if !self.calm && self.dice(2) {
                continue;
            }
            let result = if self.up[broker] { Ok(()) } else { Err(ECONNREFUSED) };
            if result.is_ok() {
                self.brokers.links.push(Link::new(key, broker));
            }
            self.io.simulate_connected(&mut self.gateway, key, result);
        }
    }

    /// How many of `length` bytes arrive now.
    fn cut(&mut self, length: usize) -> usize {
        match self.prng.below(4) {
            _ if self.calm || length == 0 => length,
            0 => 0,
            1 => self.prng.below(length as u64) as usize + 1,
            _ => length,
        }
    }

    fn deliver_to_links(&mut self) {
        for at in 0..self.brokers.links.len() {
            let length = self.brokers.links[at].outgoing.len();
            let take = self.cut(length);
            let link = &mut self.brokers.links[at];
            let (conn, bytes) = (link.conn, link.outgoing.drain(..take).collect::<Vec<u8>>());
            self.note(&bytes);
            if !bytes.is_empty() && self.io.is_open(conn) {
                self.io.simulate_bytes(&mut self.gateway, conn, &bytes);
            }
        }
    }

    fn deliver_to_clients(&mut self) {
        for at in 0..self.clients.len() {
            let key = self.clients[at].key;
            let length = self.clients[at].outgoing.len();
            if length == 0 || (self.io.is_paused(key) && (self.calm || !self.dice(10))) {
                continue;
            }
            let take = self.cut(length);
            let bytes: Vec<u8> = self.clients[at].outgoing.drain(..take).collect();
            if !bytes.is_empty() && self.io.is_open(key) {
                self.io.simulate_bytes(&mut self.gateway, key, &bytes);
            }
        }
    }

    fn read_links(&mut self) {
        let mut at = 0;
        while at < self.brokers.links.len() {
            let conn = self.brokers.links[at].conn;
            if !self.io.is_open(conn) {
                self.brokers.links.remove(at);
                continue;
            }
            if self.calm || !self.dice(4) {
                let bytes = self.io.take_outbox(&mut self.gateway, conn);
                self.note(&bytes);
                self.brokers.receive(at, &bytes, &mut self.prng);
            }
            at += 1;
        }
    }

    fn read_clients(&mut self) {
        for at in 0..self.clients.len() {
            let client = &mut self.clients[at];
            if client.phase == Phase::Ended || (client.slow && !self.calm) {
                continue;
            }
            let bytes = self.io.take_outbox(&mut self.gateway, client.key);
            let gone = self.io.peer(client.key).is_none();
            client.receive(&bytes, &self.brokers.store, &mut self.prng);
            if let Phase::Refused(_) = client.phase
                && !client.left
            {
                client.left = true;
                client.outgoing.clear();
                self.io.simulate_eof(&mut self.gateway, client.key);
            }
            if gone {
                self.check_end(at);
            }
            self.note(&bytes);
        }
    }

    /// A connection is gone: for a reason that we know.
    fn check_end(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let known = match &client.goodbye {
            _ if client.left || client.role == Role::Junk => true,
            Some((1001, reason)) => {
                reason.starts_with("Idle timeout expired")
                    || (self.stopping && reason == "the server is shutting down")
            }
            // A goodbye waits two seconds for a reader; a head must come within a minute.
            None if client.was_slow => true,
            None => client.phase == Phase::Waiting && (self.stopping || !client.outgoing.is_empty()),
            Some(_) => false,
        };
        let (number, phase, goodbye) = (client.number, &client.phase, &client.goodbye);
        assert!(known, "client {number} ended for no reason: {phase:?} {goodbye:?}");
        client.phase = Phase::Ended;
    }

    /// All is well from now on: what is owed comes within two minutes.
    pub(crate) fn heal(&mut self) {
        self.calm = true;
        self.up = [true; BROKERS];
        self.brokers.faults = Faults::default();
        self.clients.iter_mut().for_each(|client| client.picky = false);
        while let Some(at) = self.brokers.links.iter().position(|link| link.mute) {
            self.break_link(at);
        }
        self.wait(Duration::from_secs(120));
    }

    /// Runs quiet turns for a while.
    pub(crate) fn wait(&mut self, time: Duration) {
        let until = self.io.clock().now + time;
        while self.io.clock().now < until {
            self.brokers.release(&mut self.prng);
            self.turn();
            self.turn();
            self.io.simulate_time(Duration::from_millis(400));
        }
    }

    pub(crate) fn close_all(&mut self) {
        let keys: Vec<ConnKey> = self.clients.iter().map(|client| client.key).collect();
        for (at, key) in keys.into_iter().enumerate() {
            self.clients[at].left = true;
            self.io.simulate_eof(&mut self.gateway, key);
        }
        self.wait(Duration::from_secs(5));
    }

    /// What the gateway says of itself.
    pub(crate) fn report(&mut self) -> CoreReport {
        self.io.take_mail();
        let ask = Mail::Report { ticket: 1, sessions: true };
        self.io.simulate_mail(&mut self.gateway, ShardId(1), ask);
        match self.io.take_mail().pop() {
            Some((_, Mail::Reported { report, .. })) => *report,
            other => panic!("no report: {other:?}"),
        }
    }
}
