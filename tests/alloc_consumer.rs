//! The hot path of a consumer session allocates nothing once warm: an entry arrives, its message goes out, its ack comes
//! in, and acks go together in the list of ids that the session is lent.

use pulsegate::base::limit::ACK_GROUP_TIME;
use pulsegate::base::pool::BufferPool;
use pulsegate::base::time::{Clock, Instant, UnixMillis};
use pulsegate::session::Context;
use pulsegate::session::consumer::{Consumer, Output};
use pulsegate::session::replies::Replies;
use pulsegate::wire::pulsar::Command;
use pulsegate::wire::pulsar::entry::{self, EntryMetadata};
use pulsegate::wire::pulsar::frame;
use pulsegate::wire::pulsar::message_id::MessageId;
use pulsegate::wire::pulsar::proto::{CommandMessage, InitialPosition, MessageIdData, SubscriptionType};
use pulsegate::wire::route::{ConsumerSpec, CryptoFailureAction, TopicName, Topics};
use pulsegate::wire::text::JsonReader;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::convert::Infallible;
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

fn spec() -> ConsumerSpec {
    ConsumerSpec {
        topics: Topics::One(TopicName::parse("persistent://public/default/t").expect("a topic name")),
        subscription: "s".into(),
        kind: SubscriptionType::Shared,
        durable: true,
        initial_position: InitialPosition::Latest,
        receiver_queue: 100,
        ack_timeout: Some(Duration::from_secs(30)),
        name: None,
        priority: 0,
        nack_delay: Duration::from_secs(60),
        dead_letter: None,
        pull: false,
        crypto_failure: CryptoFailureAction::Fail,
    }
}

struct Bench {
    consumer: Consumer,
    json: JsonReader,
    pool: BufferPool,
    out: Vec<u8>,
    text: Vec<u8>,
    entry: Vec<u8>,
    now: Instant,
    ids: Vec<MessageIdData>,
    acked: u64,
}

impl Bench {
    fn call<R>(&mut self, event: impl FnOnce(&mut Consumer, &mut Context<'_>) -> R) -> R {
        let mut cx = Context {
            clock: Clock { now: self.now, wall: UnixMillis(1_700_000_000_000) },
            replies: Replies::plain(&mut self.out),
            json: &mut self.json,
            pool: &mut self.pool,
        };
        event(&mut self.consumer, &mut cx)
    }

    fn deliver(&mut self, entry_id: u64) {
        let message_id = MessageIdData { ledger_id: 7, entry_id, ..MessageIdData::default() };
        let command = CommandMessage { message_id, ..CommandMessage::default() };
        let entry = std::mem::take(&mut self.entry);
        let payload = frame::payload(&entry).expect("a sound entry");
        self.call(|consumer, cx| consumer.on_message(cx, 0, &command, &payload));
        self.entry = entry;
    }

    fn ack(&mut self, entry_id: u64) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        text.extend_from_slice(b"{\"messageId\":\"");
        MessageId::plain(7, entry_id).put_text(&mut text);
        text.extend_from_slice(b"\"}");
        self.call(|consumer, cx| consumer.on_text(cx, &mut text)).expect("a readable command");
        self.text = text;
    }

    /// A turn of fifty messages, all acknowledged. Returns the ACK commands.
    fn turn(&mut self, first: u64) -> u64 {
        self.now = self.now + Duration::from_millis(10);
        (first..first + 50).for_each(|entry_id| self.deliver(entry_id));
        assert!(!self.out.is_empty(), "delivered");
        self.out.clear();
        (first..first + 50).for_each(|entry_id| self.ack(entry_id));
        let mut acks = 0;
        if self.consumer.next_timer().is_some_and(|due| due <= self.now) {
            self.call(|consumer, cx| consumer.on_timer(cx));
        }
        while let Some(output) = self.consumer.poll_output(self.now, &mut self.ids) {
            if let Output::ToBroker { command: Command::Ack(ack), .. } = output {
                acks += 1;
                self.acked += ack.message_id.len() as u64;
                self.ids = ack.message_id;
                self.ids.clear();
            }
        }
        acks
    }
}

#[test]
fn deliveries_and_acks_allocate_nothing_once_warm() {
    let mut consumer = Consumer::new(spec(), 1, ACK_GROUP_TIME);
    consumer.add_leg(TopicName::parse("persistent://public/default/t").expect("a topic name"));
    let metadata =
        EntryMetadata { producer_name: "p", properties: &[("a", "b")], ..EntryMetadata::default() };
    let mut entry = Vec::new();
    let Ok(()) = entry::put(&mut entry, &metadata, |out| {
        out.extend_from_slice(&[b'x'; 1000]);
        Ok::<(), Infallible>(())
    });
    let (json, pool) = (JsonReader::default(), BufferPool::default());
    let (out, text) = (Vec::new(), Vec::new());
    let ids = Vec::new();
    let mut bench = Bench { consumer, json, pool, out, text, entry, now: Instant(1), ids, acked: 0 };
    bench.call(|consumer, cx| consumer.on_subscribed(cx, 0, 1 << 20));
    assert_eq!((0..100).map(|turn| bench.turn(turn * 50)).sum::<u64>(), 10, "warm");

    let before = ALLOCATIONS.with(Cell::get);
    let acks: u64 = (100..200).map(|turn| bench.turn(turn * 50)).sum();
    let allocations = ALLOCATIONS.with(Cell::get) - before;
    assert_eq!((acks, allocations), (10, 0));
    assert!(bench.acked >= 9_500, "all but those of the last window: {}", bench.acked);
    assert_eq!(bench.consumer.counters().delivered.0, 10_000);
}
