//! One topic: a message from SEND over its append and its receipt to the delivery, and its acknowledgement.

use std::time::Duration;

use bytes::Bytes;
use pulsegate::base::id::{EntryId, LedgerId, Position};
use pulsegate::base::time::{Clock, Instant, UnixMillis};
use pulsegate::broker::event::{ConnectionId, Output};
use pulsegate::broker::settings::Settings;
use pulsegate::broker::topic::{Recovered, Topic};
use pulsegate::wire::pulsar::{Command, proto as p};

use crate::harness::Bench;

const PRODUCER: ConnectionId = ConnectionId(1);
const CONSUMER: ConnectionId = ConnectionId(2);
const LEDGER: u64 = 5;

/// A topic with one producer and one Shared consumer.
struct World {
    topic: Topic,
    clock: Clock,
    next: u64,
    entry: Bytes,
}

impl World {
    fn new(entry: Bytes) -> World {
        let topic = Topic::new("persistent://public/default/t", Settings::default(), Recovered::default());
        let clock = Clock { now: Instant(1), wall: UnixMillis(1_700_000_000_000) };
        let mut world = World { topic, clock, next: 0, entry };
        let producer = p::CommandProducer { producer_id: 1, request_id: 1, ..Default::default() };
        world.topic.on_producer(clock, PRODUCER, producer, || "name".to_owned());
        let subscribe = p::CommandSubscribe {
            subscription: "s".to_owned(),
            sub_type: 1, // Shared
            consumer_id: 1,
            request_id: 2,
            ..Default::default()
        };
        world.topic.on_command(clock, CONSUMER, Command::Subscribe(subscribe));
        world.settle();
        world
    }

    /// Takes all outputs; saves succeed at once. Returns how many commands and deliveries there were.
    fn settle(&mut self) -> u64 {
        let mut seen = 0;
        loop {
            let again = self.topic.dispatch(self.clock);
            let mut quiet = true;
            while let Some(output) = self.topic.poll_output() {
                quiet = false;
                match output {
                    Output::Save { id, .. } => self.topic.on_saved(id),
                    Output::Append { .. } => {
                        let first = Position { ledger: LedgerId(LEDGER), entry: EntryId(self.next) };
                        self.next += 1;
                        self.topic.on_appended(self.clock, first, 1);
                    }
                    Output::Send { .. } | Output::Deliver { .. } => seen += 1,
                    _ => {}
                }
            }
            if quiet && !again {
                return seen;
            }
        }
    }

    /// One message, all the way. Returns what was said: a receipt and a delivery.
    fn message(&mut self) -> u64 {
        self.clock.now = self.clock.now + Duration::from_micros(1);
        let flow = p::CommandFlow { consumer_id: 1, message_permits: 1 };
        self.topic.on_command(self.clock, CONSUMER, Command::Flow(flow));
        let send = p::CommandSend { producer_id: 1, sequence_id: self.next, ..Default::default() };
        let entry_id = self.next;
        self.topic.on_send(self.clock, PRODUCER, &send, self.entry.clone());
        let seen = self.settle();
        let id = p::MessageIdData { ledger_id: LEDGER, entry_id, ..Default::default() };
        let ack = p::CommandAck { consumer_id: 1, message_id: vec![id], ..Default::default() };
        self.topic.on_command(self.clock, CONSUMER, Command::Ack(ack));
        seen + self.settle()
    }
}

/// An operation is one message.
pub(crate) fn topic(bench: &Bench, size: usize) {
    let mut entry = Vec::new();
    crate::put_entry(&mut entry, &vec![b'x'; size]);
    let mut world = World::new(Bytes::from(entry));
    bench.run("dispatch: send, deliver, ack", size, || world.message());
}
