//! A whole core's gateway without a kernel: sixteen messages at a time through simulated connections. An operation is the
//! sixteen; what the bench itself does as client and broker is counted too.

#[path = "../tests/gateway_common/mod.rs"]
mod gateway_common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pulsegate::base::limit;
use pulsegate::config::gateway::{GatewayConfig, ServiceUrl};
use pulsegate::service::gateway::Gateway;
use pulsegate::shard::{ConnKey, Handler, Links, ShardId};
use pulsegate::wire::pulsar::message_id::MessageId;
use pulsegate::wire::pulsar::{Command, frame, proto as p};

use self::gateway_common::{agree, each_command};
use crate::harness::Bench;

/// Messages at a time: the depth of the figures in `tuning.md`.
const DEPTH: u64 = 16;
const LEDGER: u64 = 7;
/// Payload bytes of which sixteen fit into what a gateway takes at once.
pub(crate) const SIZE_MAX: usize = 1024;

/// One core with one broker link and one client.
struct World {
    io: Links,
    gateway: Gateway,
    link: ConnKey,
    client: ConnKey,
    next: u64,
    said: Vec<u8>,
}

impl World {
    /// Opens a session at a path.
    fn open(path: &str) -> World {
        let config = GatewayConfig {
            service: ServiceUrl::Binary(vec![("10.0.0.1".to_owned(), 6650)]),
            text_max: limit::TEXT_MESSAGE_MAX,
            http_head_max: limit::HTTP_HEAD_MAX,
            session_idle: limit::SESSION_IDLE_MAX,
            ping_interval: None,
            session_pending_bytes_max: limit::SESSION_PENDING_BYTES_MAX,
            process_pending_bytes_max: limit::PROCESS_PENDING_BYTES_MAX,
            status_file: None,
            broker_token: None,
            cluster: "bench".to_owned(),
        };
        let mut io = Links::simulated(ShardId(0), 1);
        let mut gateway = Gateway::new(Arc::new(config), ShardId(0), 1, 1);
        gateway.on_start(&mut io);
        io.simulate_turn(&mut gateway);
        let (link, _) = io.pending_connects()[0];
        io.simulate_connected(&mut gateway, link, Ok(()));
        let client = io.simulate_accept(&mut gateway, SocketAddr::from(([127, 0, 0, 1], 1000)));
        let mut world = World { io, gateway, link, client, next: 0, said: Vec::new() };
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        world.arrive(client, head.as_bytes());
        for _ in 0..8 {
            let heard = world.io.take_outbox(&mut world.gateway, link);
            let mut said = Vec::new();
            each_command(&heard, |command| agree(&command, &mut said));
            world.arrive(link, &said);
        }
        let opened = world.io.take_outbox(&mut world.gateway, client);
        assert!(opened.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&opened));
        world
    }

    fn arrive(&mut self, key: ConnKey, bytes: &[u8]) {
        self.io.simulate_time(Duration::from_millis(1));
        self.io.simulate_bytes(&mut self.gateway, key, bytes);
        self.io.simulate_turn(&mut self.gateway);
    }

    /// Texts in, SENDs out, receipts in, answers out. Returns how many were confirmed.
    #[inline(never)] // bench/profile collects between its call and its return
    fn produce(&mut self, texts: &[u8]) -> u64 {
        self.arrive(self.client, texts);
        let sends = self.io.take_outbox(&mut self.gateway, self.link);
        let mut said = std::mem::take(&mut self.said);
        said.clear();
        each_command(&sends, |command| {
            if let Command::Send(send) = command {
                let id =
                    p::MessageIdData { ledger_id: LEDGER, entry_id: send.sequence_id, ..Default::default() };
                let receipt = p::CommandSendReceipt {
                    producer_id: send.producer_id,
                    sequence_id: send.sequence_id,
                    message_id: Some(id),
                    highest_sequence_id: Some(0),
                };
                frame::put(&mut said, &Command::SendReceipt(receipt));
            }
        });
        self.arrive(self.link, &said);
        self.said = said;
        let answers = self.io.take_outbox(&mut self.gateway, self.client);
        memchr::memmem::find_iter(&answers, br#"{"result":"ok""#).count() as u64
    }

    /// Entries in, texts out, acknowledgements in, an ACK out. Returns how many were delivered.
    #[inline(never)] // as above
    fn consume(&mut self, entry: &[u8]) -> u64 {
        let mut said = std::mem::take(&mut self.said);
        said.clear();
        for entry_id in self.next..self.next + DEPTH {
            let message_id = p::MessageIdData { ledger_id: LEDGER, entry_id, ..Default::default() };
            let message = p::CommandMessage { message_id, ..Default::default() };
            frame::put_with_entry(&mut said, &Command::Message(message), entry);
        }
        self.arrive(self.link, &said);
        let texts = self.io.take_outbox(&mut self.gateway, self.client);
        said.clear();
        for entry_id in self.next..self.next + DEPTH {
            let mut ack = br#"{"messageId":""#.to_vec();
            MessageId::plain(LEDGER, entry_id).put_text(&mut ack);
            ack.extend_from_slice(br#""}"#);
            said.extend(crate::masked(&ack));
        }
        self.next += DEPTH;
        self.io.simulate_time(limit::ACK_GROUP_TIME); // so that none of them waits for more
        self.arrive(self.client, &said);
        self.said = said;
        let acks = self.io.take_outbox(&mut self.gateway, self.link);
        assert!(!acks.is_empty(), "what was acknowledged is passed on");
        memchr::memmem::find_iter(&texts, br#""payload":""#).count() as u64
    }
}

/// Both directions.
pub(crate) fn messages(bench: &Bench, size: usize) {
    let texts = crate::masked(&crate::request(size)).repeat(DEPTH as usize);
    if bench.wants("gateway produces 16", size) {
        let mut world = World::open("/ws/v2/producer/persistent/public/default/t");
        bench.run("gateway produces 16", size, || world.produce(&texts));
    }
    let mut entry = Vec::new();
    crate::put_entry(&mut entry, &vec![b'x'; size]);
    if bench.wants("gateway delivers 16", size) {
        let mut world = World::open("/ws/v2/consumer/persistent/public/default/t/s");
        bench.run("gateway delivers 16", size, || world.consume(&entry));
    }
}
