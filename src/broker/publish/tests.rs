use super::*;
use crate::broker::event::ConnectionId;
use crate::broker::producers::{Gate, Sender};
use crate::wire::pulsar::entry::{self, EntryMetadata};
use crate::wire::pulsar::proto::CommandProducer;

struct World {
    producers: Producers,
    publisher: Publisher,
    settings: Settings,
    fenced: bool,
    out: Outbox,
}

const KEY: ClientKey = ClientKey { connection: ConnectionId(1), id: 5 };

fn entry_of(payload: &[u8]) -> Bytes {
    let mut out = Vec::new();
    let metadata = EntryMetadata { producer_name: "a", ..EntryMetadata::default() };
    entry::put(&mut out, &metadata, |out| {
        out.extend_from_slice(payload);
        Ok::<_, ()>(())
    })
    .expect("written");
    out.into()
}

impl World {
    fn new(deduplication: bool) -> World {
        let mut world = World {
            producers: Producers::default(),
            publisher: Publisher::new(deduplication),
            settings: Settings::default(),
            fenced: false,
            out: Outbox::default(),
        };
        let command = CommandProducer { producer_id: KEY.id, ..CommandProducer::default() };
        let gate = Gate {
            topic: "t",
            settings: &world.settings,
            fenced: false,
            terminated: false,
            blocked: None,
            now_ms: 0,
        };
        world.producers.create(KEY.connection, command, || "a".into(), |_| -1, gate, &mut world.out);
        world.out.pop();
        world
    }

    fn send(&mut self, sequence_id: u64, entry: Bytes) -> Vec<String> {
        let Sender::Ready(producer) = self.producers.sender(KEY) else { panic!("it is there") };
        let command = CommandSend { producer_id: KEY.id, sequence_id, ..CommandSend::default() };
        let state = (&self.settings, self.fenced);
        self.publisher.send(KEY, producer, &command, entry, state, &mut self.out);
        self.seen()
    }

    fn appended(&mut self, entry: u64) -> Vec<String> {
        self.publisher.appended(position(1, entry), &self.producers, &mut self.out).expect("asked for");
        self.seen()
    }

    fn seen(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.out.pop())
            .map(|output| match output {
                Output::Append { messages, .. } => format!("append {messages}"),
                Output::Send { command: Command::SendReceipt(receipt), .. } => {
                    let id = receipt.message_id.expect("always there");
                    format!("{} at {}:{}", receipt.sequence_id, id.ledger_id as i64, id.entry_id as i64)
                }
                Output::Send { command: Command::SendError(error), .. } => {
                    format!("{} refused {}", error.sequence_id, error.error)
                }
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

#[test]
fn a_receipt_follows_durability_in_order() {
    let mut world = World::new(false);
    assert_eq!(world.send(0, entry_of(b"x")), ["append 1"]);
    assert_eq!(world.send(1, entry_of(b"y")), ["append 1"]);
    assert_eq!(world.appended(0), ["0 at 1:0"]);
    assert_eq!(world.appended(1), ["1 at 1:1"]);
    assert!(world.publisher.is_idle());
    assert!(world.publisher.appended(position(1, 2), &world.producers, &mut world.out).is_none());
}

#[test]
fn duplicates_queue_behind_what_is_under_way() {
    let mut world = World::new(true);
    world.send(4, entry_of(b"x"));
    assert_eq!(world.send(4, entry_of(b"x")), [""; 0], "unknown, and in its turn");
    assert_eq!(world.appended(0), ["4 at 1:0", "4 refused 2"]);
    world.send(5, entry_of(b"y"));
    assert_eq!(world.send(4, entry_of(b"x")), [""; 0]);
    assert_eq!(world.appended(1), ["5 at 1:1", "4 at -1:-1"]);
    assert_eq!(world.send(3, entry_of(b"x")), ["3 at -1:-1"], "at once when nothing is under way");
}

#[test]
fn each_fault_has_its_code() {
    let mut world = World::new(false);
    let mut bad = entry_of(b"x").to_vec();
    *bad.last_mut().expect("not empty") ^= 1;
    assert_eq!(world.send(0, bad.into()), ["0 refused 9"]);
    assert_eq!(world.send(1, Bytes::from_static(b"\x0e")), ["1 refused 1"]);
    world.settings.message_size_max = 20;
    assert_eq!(world.send(2, entry_of(&[0; 30])), ["2 refused 22"]);
    world.fenced = true;
    assert_eq!(world.send(3, entry_of(b"x")), ["3 refused 2"]);
    world.settings.encryption_required = true;
    assert_eq!(world.send(4, entry_of(b"x")), ["4 refused 1"]);
}

#[test]
fn a_failure_of_storage_refuses_all_and_forgets_them() {
    let mut world = World::new(true);
    world.send(0, entry_of(b"x"));
    world.send(1, entry_of(b"y"));
    world.publisher.failed(&world.producers, &mut world.out);
    assert_eq!(world.seen(), ["0 refused 2", "1 refused 2"]);
    assert_eq!(world.send(0, entry_of(b"x")), ["append 1"]);
}

#[test]
fn who_left_gets_no_receipt() {
    let mut world = World::new(false);
    world.send(0, entry_of(b"x"));
    world.producers.disconnect(KEY.connection, &mut world.out);
    assert_eq!(world.appended(0), [""; 0]);
}
