//! A message through a whole core's gateway allocates nothing once warm: a text comes in and leaves as SEND, its receipt comes
//! back and the answer leaves; an entry comes in, leaves as a text, and its ack comes back. Simulated connections copy what
//! arrives once, as the kernel would. One allocation is left: the list of a message's properties while its text is read, if
//! it has any.

mod gateway_common;

use gateway_common::{agree, each_command};
use pulsegate::base::limit;
use pulsegate::config::gateway::{GatewayConfig, ServiceUrl};
use pulsegate::service::gateway::Gateway;
use pulsegate::shard::{ConnKey, Handler, Links, ShardId};
use pulsegate::wire::pulsar::entry::{self, EntryMetadata};
use pulsegate::wire::pulsar::message_id::MessageId;
use pulsegate::wire::pulsar::proto as p;
use pulsegate::wire::pulsar::{Command, frame};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting per thread.
struct Counting;

fn count() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait; it only counts")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// One core with one broker link and one client.
struct Bench {
    io: Links,
    gateway: Gateway,
    link: ConnKey,
    client: ConnKey,
    /// Allocations of the core in what was counted.
    allocations: u64,
}

impl Bench {
    /// Opens a session at a path; the broker takes whatever it is asked for.
    fn open(path: &str) -> Bench {
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
            cluster: "test".to_owned(),
        };
        let mut io = Links::simulated(ShardId(0), 1);
        let mut gateway = Gateway::new(Arc::new(config), ShardId(0), 1, 1);
        gateway.on_start(&mut io);
        io.simulate_turn(&mut gateway);
        let (link, _) = io.pending_connects()[0];
        io.simulate_connected(&mut gateway, link, Ok(()));
        let client = io.simulate_accept(&mut gateway, SocketAddr::from(([127, 0, 0, 1], 1000)));
        let mut bench = Bench { io, gateway, link, client, allocations: 0 };
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        bench.arrive(client, head.as_bytes());
        for _ in 0..8 {
            let heard = bench.take(link);
            let mut said = Vec::new();
            each_command(&heard, |command| agree(&command, &mut said));
            bench.arrive(link, &said);
        }
        let opened = bench.take(client);
        assert!(opened.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&opened));
        bench
    }

    /// Bytes arrive, and one turn follows: counted, but for the copy that the simulated connection makes of them.
    fn arrive(&mut self, key: ConnKey, bytes: &[u8]) {
        let before = ALLOCATIONS.with(Cell::get);
        self.io.simulate_time(Duration::from_millis(1));
        self.io.simulate_bytes(&mut self.gateway, key, bytes);
        self.io.simulate_turn(&mut self.gateway);
        let copy = u64::from(!bytes.is_empty());
        self.allocations += ALLOCATIONS.with(Cell::get) - before - copy;
    }

    fn take(&mut self, key: ConnKey) -> Vec<u8> {
        self.io.take_outbox(&mut self.gateway, key)
    }
}

/// A client's text frame; the mask is zero.
fn text(text: &str) -> Vec<u8> {
    let mut out = vec![0x81];
    match text.len() {
        length @ 0..126 => out.push(0x80 | length as u8),
        length => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend(text.as_bytes());
    out
}

fn produce(bench: &mut Bench, sequence_id: u64, frame: &[u8]) {
    bench.arrive(bench.client, frame);
    let mut receipt = Vec::new();
    each_command(&bench.take(bench.link), |command| match command {
        Command::Send(send) => {
            assert_eq!(send.sequence_id, sequence_id);
            frame::put(
                &mut receipt,
                &Command::SendReceipt(p::CommandSendReceipt {
                    producer_id: send.producer_id,
                    sequence_id,
                    message_id: Some(p::MessageIdData {
                        ledger_id: 7,
                        entry_id: sequence_id,
                        ..Default::default()
                    }),
                    highest_sequence_id: Some(0),
                }),
            );
        }
        other => agree(&other, &mut receipt),
    });
    bench.arrive(bench.link, &receipt);
    let answer = bench.take(bench.client);
    assert!(String::from_utf8_lossy(&answer).contains(r#""result":"ok""#));
}

/// Allocations of a thousand messages with these fields beside the payload.
fn allocations_of(fields: &str) -> u64 {
    let mut bench = Bench::open("/ws/v2/producer/persistent/public/default/t");
    let payload = "QUJD".repeat(64);
    let frame = text(&format!(r#"{{"payload":"{payload}",{fields}"context":"1"}}"#));
    (0..1000).for_each(|number| produce(&mut bench, number, &frame));
    bench.allocations = 0;
    (1000..2000).for_each(|number| produce(&mut bench, number, &frame));
    bench.allocations
}

#[test]
fn a_message_is_produced_without_an_allocation() {
    assert_eq!(allocations_of(""), 0);
    assert_eq!(allocations_of(r#""key":"k","#), 0);
    assert_eq!(allocations_of(r#""properties":{"a":"b","c":"d"},"#), 1000, "the list of properties");
}

/// Delivers an entry and acknowledges it. What the broker is told is acknowledged, some messages at a time, follows on `acked`.
fn consume(bench: &mut Bench, entry_id: u64, entry: &[u8], acked: &mut u64) {
    let message = Command::Message(p::CommandMessage {
        message_id: p::MessageIdData { ledger_id: 7, entry_id, ..Default::default() },
        ..Default::default()
    });
    let mut delivery = Vec::new();
    frame::put_with_entry(&mut delivery, &message, entry);
    bench.arrive(bench.link, &delivery);
    assert!(String::from_utf8_lossy(&bench.take(bench.client)).contains(r#""payload":"#));
    let mut id = Vec::new();
    MessageId::plain(7, entry_id).put_text(&mut id);
    let ack = text(&format!(r#"{{"messageId":"{}"}}"#, String::from_utf8_lossy(&id)));
    bench.arrive(bench.client, &ack);
    each_command(&bench.take(bench.link), |command| {
        for id in if let Command::Ack(ack) = command { ack.message_id } else { vec![] } {
            assert_eq!(id.entry_id, *acked);
            *acked += 1;
        }
    });
}

#[test]
fn a_message_is_delivered_and_acknowledged_without_an_allocation() {
    let mut bench = Bench::open("/ws/v2/consumer/persistent/public/default/t/s");
    let metadata = EntryMetadata { producer_name: "p", properties: &[("a", "b")], ..Default::default() };
    let mut entry = Vec::new();
    let Ok(()) = entry::put(&mut entry, &metadata, |out| {
        out.extend_from_slice(&[b'x'; 1000]);
        Ok::<(), Infallible>(())
    });
    let mut acked = 0;
    (0..1000).for_each(|number| consume(&mut bench, number, &entry, &mut acked));
    bench.allocations = 0;
    (1000..2000).for_each(|number| consume(&mut bench, number, &entry, &mut acked));
    assert_eq!(bench.allocations, 0);
    assert!(acked > 1900, "all but the last group: {acked}");
}
