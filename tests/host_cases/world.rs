//! A host over a disk that does at once what it is asked, and clients whose news are written in short.

use std::time::Duration;

use bytes::Bytes;
use pulsegate::base::prng::Prng;
use pulsegate::base::time::{Clock, Instant, UnixMillis};
use pulsegate::broker::admin::{AdminAnswer, AdminAsk};
use pulsegate::broker::catalogue::{Catalogue, FirstStart};
use pulsegate::broker::host::{Asked, ConnectionId, Host, HostConfig, Request, Told};
use pulsegate::store::log::Config;
use pulsegate::store::{Log, StoreId, recover};
use pulsegate::wire::pulsar::Command;
use pulsegate::wire::pulsar::entry::{self, EntryMetadata};
use pulsegate::wire::pulsar::frame;
use pulsegate::wire::pulsar::proto::{
    CommandAck, CommandFlow, CommandProducer, CommandSend, CommandSubscribe, InitialPosition, MessageIdData,
    SubscriptionType,
};

use crate::disk::SimDisk;

pub(crate) const T: &str = "persistent://public/default/t";
const STORE: u64 = 7;

pub(crate) struct World {
    pub(crate) host: Host,
    pub(crate) catalogue: Catalogue,
    pub(crate) clock: Clock,
    pub(crate) disk: SimDisk,
    pub(crate) config: HostConfig,
    log: Config,
    tickets: u64,
    /// The answer to the last question.
    answer: Option<AdminAnswer>,
    heard: Vec<String>,
}

impl World {
    pub(crate) fn new() -> World {
        let mut config = HostConfig::new(StoreId(0), 1, "standalone");
        config.rules.retention = Default::default();
        World::with(config, Config { slot_bytes: 1 << 20, ..Config::new(1, 64 << 10) })
    }

    pub(crate) fn with(config: HostConfig, log: Config) -> World {
        let mut catalogue = Catalogue::default();
        let first = FirstStart { cluster: "standalone".to_owned(), super_users: Vec::new(), stock: true };
        let plan = catalogue.plan_first_start(&first);
        catalogue.apply_plan(&plan, 1);
        let disk = SimDisk::new(Prng::new(1).next());
        let clock = Clock { now: Instant(1_000_000_000), wall: UnixMillis(1_700_000_000_000) };
        let host = open(&disk, &config, log, clock);
        let mut world =
            World { host, catalogue, clock, disk, config, log, tickets: 0, answer: None, heard: Vec::new() };
        world.settle();
        assert!(world.host.is_open());
        world
    }

    /// The process dies and another one begins; the disk keeps what was flushed.
    pub(crate) fn restart(&mut self) {
        self.disk.crash();
        self.host = open(&self.disk, &self.config, self.log, self.clock);
        self.settle();
    }

    /// Runs until nothing moves; what clients heard.
    pub(crate) fn settle(&mut self) -> Vec<String> {
        for _ in 0..100_000 {
            let more = self.host.drive(self.clock, &self.catalogue);
            let mut quiet = !more;
            while let Some((id, op)) = self.host.take_op() {
                quiet = false;
                let result = self.disk.perform(op);
                self.host.on_disk(self.clock, id, result);
            }
            while let Some(reply) = self.host.poll_reply() {
                self.heard.extend(shown(reply.to, reply.what));
            }
            while let Some((_, answer)) = self.host.poll_answer() {
                self.answer = Some(answer);
            }
            if quiet {
                return std::mem::take(&mut self.heard);
            }
        }
        panic!("the host never comes to rest");
    }

    /// Time passes, and what is due is done; what clients heard.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<String> {
        let end = self.clock.now + time;
        while let Some(due) = self.host.next_time(self.clock).filter(|due| *due <= end) {
            self.set_time(due.max(self.clock.now));
            self.host.on_timer(self.clock, &self.catalogue);
            let heard = self.settle();
            self.heard.extend(heard);
        }
        self.set_time(end);
        self.settle()
    }

    fn set_time(&mut self, now: Instant) {
        let passed = now.since(self.clock.now);
        // The wall clock has no parts of milliseconds: never let it fall behind.
        self.clock.wall.0 += passed.as_nanos().div_ceil(1_000_000) as i64;
        self.clock.now = now;
    }

    pub(crate) fn ask(&mut self, of: u64, what: Asked) -> Vec<String> {
        let request = Request { connection: ConnectionId(of), store: StoreId(0), what };
        self.host.on_request(self.clock, &self.catalogue, request);
        self.settle()
    }

    pub(crate) fn command(&mut self, of: u64, command: Command) -> Vec<String> {
        self.ask(of, Asked::Command { command, entry: Bytes::new() })
    }

    /// An administrator's question and its answer.
    pub(crate) fn admin(&mut self, ask: AdminAsk) -> AdminAnswer {
        self.tickets += 1;
        self.host.on_ask(self.clock, &self.catalogue, self.tickets, ask);
        let heard = self.settle();
        self.heard = heard;
        self.answer.take().expect("an answer")
    }

    /// What clients heard during the last question.
    pub(crate) fn heard(&mut self) -> Vec<String> {
        std::mem::take(&mut self.heard)
    }

    /// Connection `of` produces to a topic, with its number as `producer_id`.
    pub(crate) fn produce(&mut self, of: u64, topic: &str) -> Vec<String> {
        self.produce_as(of, CommandProducer { topic: topic.to_owned(), ..CommandProducer::default() })
    }

    pub(crate) fn produce_as(&mut self, of: u64, mut command: CommandProducer) -> Vec<String> {
        (command.producer_id, command.request_id) = (of, of);
        self.command(of, Command::Producer(command))
    }

    /// One message, whose text is its payload.
    pub(crate) fn send(&mut self, of: u64, sequence_id: u64, text: &str) -> Vec<String> {
        let metadata = EntryMetadata {
            producer_name: "p",
            sequence_id,
            publish_time: self.clock.wall.0 as u64,
            ..EntryMetadata::default()
        };
        self.send_as(of, sequence_id, &metadata, text)
    }

    pub(crate) fn send_as(
        &mut self,
        of: u64,
        sequence_id: u64,
        metadata: &EntryMetadata<'_>,
        text: &str,
    ) -> Vec<String> {
        let mut bytes = Vec::new();
        let body = |out: &mut Vec<u8>| {
            out.extend_from_slice(text.as_bytes());
            Ok::<_, ()>(())
        };
        entry::put(&mut bytes, metadata, body).expect("written");
        let command =
            CommandSend { producer_id: of, sequence_id, num_messages: Some(1), ..Default::default() };
        self.ask(of, Asked::Command { command: Command::Send(command), entry: bytes.into() })
    }

    /// Connection `of` subscribes, with its number as `consumer_id`.
    pub(crate) fn subscribe(
        &mut self,
        of: u64,
        topic: &str,
        name: &str,
        kind: SubscriptionType,
    ) -> Vec<String> {
        let command = CommandSubscribe {
            topic: topic.to_owned(),
            subscription: name.to_owned(),
            sub_type: kind as i32,
            initial_position: Some(InitialPosition::Earliest as i32),
            ..CommandSubscribe::default()
        };
        self.subscribe_as(of, command)
    }

    pub(crate) fn subscribe_as(&mut self, of: u64, mut command: CommandSubscribe) -> Vec<String> {
        (command.consumer_id, command.request_id) = (of, of);
        command.consumer_name = Some(format!("c{of}"));
        self.command(of, Command::Subscribe(command))
    }

    pub(crate) fn flow(&mut self, of: u64, message_permits: u32) -> Vec<String> {
        self.command(of, Command::Flow(CommandFlow { consumer_id: of, message_permits }))
    }

    /// Acknowledges entries, `ledger:entry`, and asks for a receipt.
    pub(crate) fn ack(&mut self, of: u64, at: &[(u64, u64)]) -> Vec<String> {
        let message_id = at.iter().map(|(ledger, entry)| id(*ledger, *entry)).collect();
        let ack = CommandAck { consumer_id: of, message_id, request_id: Some(of), ..CommandAck::default() };
        self.command(of, Command::Ack(ack))
    }
}

pub(crate) fn id(ledger_id: u64, entry_id: u64) -> MessageIdData {
    MessageIdData { ledger_id, entry_id, ..MessageIdData::default() }
}

fn open(disk: &SimDisk, config: &HostConfig, log: Config, clock: Clock) -> Host {
    let recovered = recover(&disk.contents(), STORE).expect("a crash is no rot");
    let log = Log::open(log, recovered, clock.wall.0 as u64);
    Host::new(config.clone(), log, clock)
}

/// What a client is told, in short.
fn shown(to: ConnectionId, told: Told) -> Option<String> {
    let news = match told {
        Told::Deliver { command, entry } => {
            let payload = frame::payload(&entry).expect("as it was sent");
            let text = String::from_utf8_lossy(payload.body);
            let id = command.message_id;
            let again = command.redelivery_count.map_or(String::new(), |count| format!(" x{count}"));
            format!("gets {}:{} {text}{again}", id.ledger_id, id.entry_id)
        }
        Told::Command(Command::ProducerSuccess(success)) => {
            let last = success.last_sequence_id.filter(|last| *last >= 0);
            let last = last.map_or(String::new(), |last| format!(" from {last}"));
            let waits = if success.producer_ready == Some(false) { " waits" } else { "" };
            format!("produces{last}{waits}")
        }
        Told::Command(Command::SendReceipt(receipt)) => {
            let id = receipt.message_id.expect("always said");
            format!("stored {}:{}", id.ledger_id as i64, id.entry_id as i64)
        }
        Told::Command(Command::SendError(error)) => format!("send refused {}", error.error),
        Told::Command(Command::Error(error)) => format!("refused {}: {}", error.error, error.message),
        Told::Command(Command::Success(_)) => "success".to_owned(),
        Told::Command(Command::AckResponse(response)) => match response.error {
            Some(error) => format!("ack refused {error}"),
            None => "acked".to_owned(),
        },
        Told::Command(Command::CloseProducer(_)) => "producer closed".to_owned(),
        Told::Command(Command::CloseConsumer(_)) => "consumer closed".to_owned(),
        Told::Command(Command::ReachedEndOfTopic(_)) => "end".to_owned(),
        Told::Command(Command::ActiveConsumerChange(change)) => {
            format!("active {}", change.is_active.unwrap_or(false))
        }
        Told::Command(Command::GetLastMessageIdResponse(response)) => {
            let id = response.last_message_id;
            format!("last {}:{}", id.ledger_id as i64, id.entry_id as i64)
        }
        Told::Probe => "probe".to_owned(),
        Told::Close { reason } => format!("connection closed: {reason}"),
        other => format!("{other:?}"),
    };
    Some(format!("c{} {news}", to.0))
}
