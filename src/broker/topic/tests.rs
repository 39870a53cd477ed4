use std::collections::BTreeMap;

use super::*;
use crate::base::time::UnixMillis;
use crate::broker::ledgers::position;
use crate::wire::pulsar::entry::{self, EntryMetadata};
use crate::wire::pulsar::proto::{
    CommandAck, CommandFlow, CommandGetLastMessageId, CommandRedeliverUnacknowledgedMessages, CommandSeek,
    CommandUnsubscribe, IntRange, KeySharedMeta, KeySharedMode, MessageIdData, ProducerAccessMode,
    SubscriptionType,
};
use SubscriptionType::{Exclusive, Failover, KeyShared, Shared};

mod requests;

struct World {
    topic: Topic,
    clock: Clock,
    ledgers: Vec<(Position, Bytes)>,
    sent: u64,
}

/// Consumer `id` is number `id` of connection `id`.
fn key(id: u64) -> ConnectionId {
    ConnectionId(id)
}

fn id(entry: u64) -> MessageIdData {
    MessageIdData { ledger_id: 1, entry_id: entry, ..MessageIdData::default() }
}

impl World {
    fn new(settings: Settings) -> World {
        let topic = Topic::new("t", settings, Recovered::default());
        let clock = Clock { wall: UnixMillis(100_000), ..Clock::default() };
        let mut world = World { topic, clock, ledgers: Vec::new(), sent: 0 };
        world.topic.on_producer(clock, key(0), CommandProducer::default(), || "p".to_owned());
        world.seen();
        world
    }

    /// One message is published and durable.
    fn publish(&mut self, metadata: &EntryMetadata<'_>) -> Vec<String> {
        let mut entry = Vec::new();
        entry::put(&mut entry, metadata, |_| Ok::<_, ()>(())).expect("written");
        let entry = Bytes::from(entry);
        self.topic.on_send(self.clock, key(0), &CommandSend::default(), entry.clone());
        let at = position(1, self.sent);
        self.sent += 1;
        self.ledgers.push((at, entry));
        self.topic.on_appended(self.clock, at, 1);
        self.seen()
    }

    fn plain(&mut self, count: u64) {
        for _ in 0..count {
            self.publish(&EntryMetadata { producer_name: "p", ..EntryMetadata::default() });
        }
    }

    fn command(&mut self, of: u64, command: Command) -> Vec<String> {
        self.topic.on_command(self.clock, key(of), command);
        self.seen()
    }

    fn subscribe(&mut self, of: u64, kind: SubscriptionType) -> Vec<String> {
        self.subscribe_as(of, CommandSubscribe { sub_type: kind as i32, ..CommandSubscribe::default() })
    }

    fn subscribe_as(&mut self, of: u64, mut command: CommandSubscribe) -> Vec<String> {
        (command.consumer_id, command.request_id) = (of, of);
        command.consumer_name = Some(format!("c{of}"));
        if command.subscription.is_empty() {
            command.subscription = "s".to_owned();
        }
        self.command(of, Command::Subscribe(command))
    }

    fn flow(&mut self, of: u64, message_permits: u32) -> Vec<String> {
        self.command(of, Command::Flow(CommandFlow { consumer_id: of, message_permits }))
    }

    fn ack(&mut self, of: u64, entries: &[u64]) -> Vec<String> {
        let message_id = entries.iter().map(|entry| id(*entry)).collect();
        self.command(of, Command::Ack(CommandAck { consumer_id: of, message_id, ..CommandAck::default() }))
    }

    fn redeliver(&mut self, of: u64, entries: &[u64]) -> Vec<String> {
        let message_ids = entries.iter().map(|entry| id(*entry)).collect();
        let redeliver =
            CommandRedeliverUnacknowledgedMessages { consumer_id: of, message_ids, consumer_epoch: None };
        self.command(of, Command::Redeliver(redeliver))
    }

    fn pass(&mut self, time: Duration) -> Vec<String> {
        self.clock.now = self.clock.now + time;
        self.clock.wall.0 += time.as_millis() as i64;
        self.seen()
    }

    /// What comes out, in short; reads are answered, saves succeed at once. Receipts are left out.
    fn seen(&mut self) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let mut again = self.topic.dispatch(self.clock);
            while let Some(output) = self.topic.poll_output() {
                seen.extend(match output {
                    Output::Deliver { to, command, .. } => {
                        let count =
                            command.redelivery_count.map_or(String::new(), |count| format!(" x{count}"));
                        Some(format!("c{} gets {}{count}", to.0, command.message_id.entry_id))
                    }
                    Output::Read { from, .. } => {
                        let found = self.ledgers.iter().find(|(at, _)| *at == from).expect("it exists");
                        self.topic.on_read(from, [found.1.clone()]);
                        again = true;
                        None
                    }
                    Output::Save { id, .. } => {
                        self.topic.on_saved(id);
                        again = true;
                        None
                    }
                    Output::FindTime { search, time } => {
                        self.topic.on_found(self.clock, search, Some(position(1, time)));
                        again = true;
                        None
                    }
                    Output::Send { to, command } => short(to, command),
                    Output::CloseConnection { connection, .. } => Some(format!("c{} cut", connection.0)),
                    Output::Probe { connection } => Some(format!("c{} probed", connection.0)),
                    Output::Append { .. } => None,
                });
            }
            if !again {
                return seen;
            }
        }
    }
}

fn short(to: ConnectionId, command: Command) -> Option<String> {
    let text = match command {
        Command::Success(success) => format!("ok {}", success.request_id),
        Command::Error(error) => format!("refused {}", error.error),
        Command::CloseConsumer(_) => "closed".to_owned(),
        Command::CloseProducer(_) => "producer closed".to_owned(),
        Command::ReachedEndOfTopic(_) => "end".to_owned(),
        Command::ActiveConsumerChange(change) => format!("active {}", change.is_active.expect("always said")),
        Command::AckResponse(_) => "acked".to_owned(),
        Command::GetLastMessageIdResponse(last) => {
            let id = last.last_message_id;
            format!("last {}:{}:{}", id.ledger_id as i64, id.entry_id as i64, id.batch_index.expect("said"))
        }
        Command::SendReceipt(_) | Command::ProducerSuccess(_) => return None,
        other => format!("{other:?}"),
    };
    Some(format!("c{} {text}", to.0))
}

#[test]
fn shared_serves_better_priorities_first() {
    let mut world = World::new(Settings::default());
    for (of, priority) in [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1)] {
        let command = CommandSubscribe {
            sub_type: Shared as i32,
            priority_level: Some(priority),
            ..CommandSubscribe::default()
        };
        world.subscribe_as(of, command);
    }
    for (of, permits) in [(1, 2), (2, 1), (3, 1), (4, 2), (5, 1)] {
        world.flow(of, permits);
    }
    let mut order = Vec::new();
    for _ in 0..8 {
        order.extend(world.publish(&EntryMetadata { producer_name: "p", ..EntryMetadata::default() }));
    }
    let who: Vec<_> = order.iter().map(|text| &text[..2]).collect();
    assert_eq!(who, ["c1", "c2", "c3", "c1", "c4", "c5", "c4"]);
}

#[test]
fn redelivery_counts_and_takes_permits() {
    let mut world = World::new(Settings::default());
    world.subscribe(1, Shared);
    world.flow(1, 2);
    world.plain(3);
    assert_eq!(world.redeliver(1, &[0]), [""; 0], "permits are not given back");
    assert_eq!(world.flow(1, 2), ["c1 gets 0 x1", "c1 gets 2"]);
    world.subscribe(2, Shared);
    world.flow(2, 10);
    world.topic.on_disconnect(world.clock, key(1));
    assert_eq!(
        world.seen(),
        ["c2 gets 0 x1", "c2 gets 1", "c2 gets 2"],
        "a lost consumer counts for nothing"
    );
    world.topic.on_disconnect(world.clock, key(2));
    world.subscribe(3, Shared);
    assert_eq!(world.flow(3, 1), ["c3 gets 0"], "cleared with the last consumer");
}

#[test]
fn unacked_limits_pause_and_resume() {
    let settings = Settings { consumer_unacked_max: 4, ..Settings::default() };
    let mut world = World::new(settings);
    world.subscribe(1, Shared);
    world.flow(1, 20);
    world.plain(10);
    assert_eq!(world.ack(1, &[0]), [""; 0]);
    assert_eq!(world.ack(1, &[1]), ["c1 gets 4", "c1 gets 5"], "half is acknowledged");
}

#[test]
fn delayed_messages_wait_on_shared_only() {
    let mut world = World::new(Settings::default());
    world.subscribe(1, Shared);
    let single = CommandSubscribe { subscription: "single".into(), ..CommandSubscribe::default() };
    world.subscribe_as(2, single);
    world.flow(1, 10);
    world.flow(2, 10);
    let metadata =
        EntryMetadata { producer_name: "p", deliver_at: Some(103_000), ..EntryMetadata::default() };
    assert_eq!(world.publish(&metadata), ["c2 gets 0"]);
    assert_eq!(world.topic.backlog("s"), Some((1, 1)));
    assert_eq!(world.topic.next_time(world.clock), Some(world.clock.now + Duration::from_secs(3)));
    assert_eq!(world.pass(Duration::from_millis(1_999)), [""; 0]);
    assert_eq!(world.pass(Duration::from_millis(1)), ["c1 gets 0"], "a tick early, if it is looked after");
}

#[test]
fn failover_changes_after_a_delay() {
    let mut world = World::new(Settings { partition: 0, ..Settings::default() });
    world.plain(0);
    assert_eq!(world.subscribe(1, Failover), ["c1 ok 1"]);
    world.flow(1, 1);
    world.plain(2);
    assert_eq!(world.pass(Duration::from_millis(999)), [""; 0]);
    assert_eq!(world.pass(Duration::from_millis(1)), ["c1 active true", "c1 gets 0"]);
    assert_eq!(world.subscribe(2, Failover), ["c2 active false", "c2 ok 2"]);
    world.flow(2, 5);
    world.topic.on_disconnect(world.clock, key(1));
    assert_eq!(world.seen(), [""; 0]);
    assert_eq!(world.pass(Duration::from_secs(1)), ["c2 active true", "c2 gets 0", "c2 gets 1"]);
    assert_eq!(world.redeliver(2, &[1]), ["c2 gets 0", "c2 gets 1"], "one id rewinds all");
}

#[test]
fn sticky_ranges_are_checked_and_holes_wait() {
    let mut world = World::new(Settings::default());
    let sticky = |ranges: &[(i32, i32)]| CommandSubscribe {
        sub_type: KeyShared as i32,
        key_shared_meta: Some(KeySharedMeta {
            key_shared_mode: KeySharedMode::Sticky as i32,
            hash_ranges: ranges.iter().map(|&(start, end)| IntRange { start, end }).collect(),
            allow_out_of_order_delivery: None,
        }),
        ..CommandSubscribe::default()
    };
    assert_eq!(world.subscribe_as(1, sticky(&[])), ["c1 refused 19"]);
    assert_eq!(world.subscribe_as(1, sticky(&[(10, 5)])), ["c1 refused 19"]);
    assert_eq!(world.subscribe_as(1, sticky(&[(0, 70_000)])), ["c1 refused 19"]);
    assert_eq!(world.subscribe_as(1, sticky(&[(0, 32_767)])), ["c1 ok 1"]);
    assert_eq!(world.subscribe_as(2, sticky(&[(32_767, 40_000)])), ["c2 refused 19"]);
    assert_eq!(world.subscribe(2, KeyShared), ["c2 refused 5"], "another way to split");
    world.flow(1, 100);
    let mut got = BTreeMap::new();
    for entry in 0..20 {
        let name = format!("key-{entry}");
        let metadata =
            EntryMetadata { producer_name: "p", partition_key: Some(&name), ..EntryMetadata::default() };
        got.insert(entry, world.publish(&metadata).len());
    }
    let holes = got.values().filter(|count| **count == 0).count();
    assert!((1..20).contains(&holes), "{holes}");
    world.subscribe_as(2, sticky(&[(32_768, 65_535)]));
    assert_eq!(world.flow(2, 100).len(), holes, "they come once somebody owns them");
}
