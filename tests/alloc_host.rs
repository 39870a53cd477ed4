//! A message through a host allocates nothing of its own once warm: SEND, append, durable, receipt, delivery to a consumer,
//! acknowledgement. What is left are the log's, one for a frame, and the nodes of the tree of entries that shared subscriptions have
//! given out.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use pulsegate::base::time::{Clock, Instant, UnixMillis};
use pulsegate::broker::catalogue::{Catalogue, FirstStart};
use pulsegate::broker::host::{Asked, ConnectionId, Host, HostConfig, Request, Told};
use pulsegate::store::log::Config;
use pulsegate::store::{Completion, Contents, DiskOp, Log, StoreId, recover};
use pulsegate::wire::pulsar::Command;
use pulsegate::wire::pulsar::entry::{self, EntryMetadata};
use pulsegate::wire::pulsar::proto::{
    CommandAck, CommandFlow, CommandProducer, CommandSend, CommandSubscribe, MessageIdData, SubscriptionType,
};

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

/// Messages of a turn.
const BATCH: u64 = 64;
const TOPIC: &str = "persistent://public/default/t";

/// A host over a disk that is done at once and keeps nothing.
struct Bench {
    host: Host,
    catalogue: Catalogue,
    clock: Clock,
    entry: Bytes,
    sequence: u64,
    receipts: u64,
    /// Delivered, to be acknowledged.
    ids: Vec<MessageIdData>,
    delivered: u64,
}

impl Bench {
    fn new(kind: SubscriptionType) -> Bench {
        let mut catalogue = Catalogue::default();
        let first = FirstStart { cluster: "standalone".to_owned(), super_users: Vec::new(), stock: true };
        let plan = catalogue.plan_first_start(&first);
        catalogue.apply_plan(&plan, 1);
        let clock = Clock { now: Instant(1_000_000_000), wall: UnixMillis(1_700_000_000_000) };
        let recovered = recover(&Contents::default(), 1).expect("nothing is a new store");
        let log = Log::open(Config::new(1, 5 << 20), recovered, clock.wall.0 as u64);
        let host = Host::new(HostConfig::new(StoreId(0), 1, "standalone"), log, clock);
        let mut bytes = Vec::new();
        let metadata = EntryMetadata { producer_name: "p", ..EntryMetadata::default() };
        let body = |out: &mut Vec<u8>| {
            out.resize(out.len() + 256, 7);
            Ok::<_, ()>(())
        };
        entry::put(&mut bytes, &metadata, body).expect("written");
        let mut bench = Bench {
            host,
            catalogue,
            clock,
            entry: bytes.into(),
            sequence: 0,
            receipts: 0,
            ids: Vec::with_capacity(2 * BATCH as usize),
            delivered: 0,
        };
        bench.turn();
        let producer = CommandProducer { topic: TOPIC.to_owned(), ..CommandProducer::default() };
        bench.ask(1, Command::Producer(producer));
        let subscribe = CommandSubscribe {
            topic: TOPIC.to_owned(),
            subscription: "s".to_owned(),
            sub_type: kind as i32,
            ..CommandSubscribe::default()
        };
        bench.ask(2, Command::Subscribe(subscribe));
        bench.turn();
        bench.ask(2, Command::Flow(CommandFlow { consumer_id: 0, message_permits: 1 << 30 }));
        bench
    }

    fn request(&mut self, of: u64, command: Command, entry: Bytes) {
        let what = Asked::Command { command, entry };
        let request = Request { connection: ConnectionId(of), store: StoreId(0), what };
        self.host.on_request(self.clock, &self.catalogue, request);
    }

    fn ask(&mut self, of: u64, command: Command) {
        self.request(of, command, Bytes::new());
    }

    /// Turns until nothing moves.
    fn turn(&mut self) {
        loop {
            let mut quiet = !self.host.drive(self.clock, &self.catalogue);
            while let Some((id, op)) = self.host.take_op() {
                quiet = false;
                let done = match op {
                    DiskOp::Write { bytes, .. } => Completion::Wrote(bytes.len()),
                    DiskOp::Read { .. } => unreachable!("everything is in memory"),
                    _ => Completion::Done,
                };
                self.host.on_disk(self.clock, id, Ok(done));
            }
            while let Some(reply) = self.host.poll_reply() {
                match reply.what {
                    Told::Deliver { command, .. } => self.ids.push(command.message_id),
                    Told::Command(Command::SendReceipt(_)) => self.receipts += 1,
                    _ => {}
                }
            }
            if quiet {
                return;
            }
        }
    }

    /// A turn's messages from SEND to acknowledgement; the allocations on the way.
    fn round(&mut self) -> u64 {
        let before = ALLOCATIONS.with(Cell::get);
        for _ in 0..BATCH {
            let send = CommandSend { sequence_id: self.sequence, ..CommandSend::default() };
            self.sequence += 1;
            let entry = self.entry.clone();
            self.request(1, Command::Send(send), entry);
        }
        self.turn();
        let mut allocations = ALLOCATIONS.with(Cell::get) - before;
        self.delivered += self.ids.len() as u64;
        // The list of ids is the client's.
        let message_id = std::mem::replace(&mut self.ids, Vec::with_capacity(2 * BATCH as usize));
        let before = ALLOCATIONS.with(Cell::get);
        self.ask(2, Command::Ack(CommandAck { message_id, ..CommandAck::default() }));
        self.clock.now = self.clock.now + Duration::from_micros(500);
        if self.host.next_time(self.clock).is_some_and(|due| due <= self.clock.now) {
            self.host.on_timer(self.clock, &self.catalogue);
        }
        self.turn();
        allocations += ALLOCATIONS.with(Cell::get) - before;
        allocations
    }
}

#[test]
fn a_message_from_send_to_acknowledgement_allocates_nothing() {
    const ROUNDS: u64 = 500;
    for kind in [SubscriptionType::Exclusive, SubscriptionType::Shared, SubscriptionType::KeyShared] {
        let mut bench = Bench::new(kind);
        let warm: u64 = (0..ROUNDS).map(|_| bench.round()).sum();
        let (mut allocations, mut worst, mut free) = (0, 0, 0);
        for _ in 0..ROUNDS {
            let round = bench.round();
            allocations += round;
            worst = worst.max(round);
            free += u64::from(round == 0);
        }
        let messages = ROUNDS * BATCH;
        assert_eq!((bench.receipts, bench.delivered), (2 * messages, 2 * messages));
        println!(
            "{kind:?}: {warm} to warm up, then {allocations} allocations for {messages} messages, worst {worst}, none in {free}"
        );
        // Where single entries are with consumers, a tree holds them: a node for several.
        let share = if kind == SubscriptionType::Exclusive { 40 } else { 5 };
        assert!(
            allocations * share < messages,
            "{kind:?}: {allocations} allocations for {messages} messages"
        );
    }
}
