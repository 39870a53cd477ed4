//! Requests of consumers that are answered, and the end of topics.

use super::*;

#[test]
fn names_types_and_limits_are_checked() {
    let mut world = World::new(Settings { subscriptions_max: 1, ..Settings::default() });
    let named =
        |name: &str| CommandSubscribe { subscription: name.to_owned(), ..CommandSubscribe::default() };
    for name in ["  ", "pulsar.dedup", "pulsar.repl.x"] {
        assert_eq!(world.subscribe_as(1, named(name)), ["c1 refused 16"], "{name}");
    }
    assert_eq!(world.subscribe(1, Exclusive), ["c1 ok 1"]);
    assert_eq!(world.subscribe(1, Exclusive), ["c1 ok 1"], "the same again");
    assert_eq!(world.subscribe_as(2, named("other")), ["c2 refused 22"]);
    assert_eq!(world.subscribe(2, Shared), ["c2 refused 5"]);
    let compacted =
        CommandSubscribe { sub_type: 1, read_compacted: Some(true), ..CommandSubscribe::default() };
    assert_eq!(world.subscribe_as(2, compacted), ["c2 refused 22"]);
    let reader = CommandSubscribe { durable: Some(false), ..CommandSubscribe::default() };
    assert_eq!(world.subscribe_as(2, reader), ["c2 refused 22"], "durable already");
    assert_eq!(world.flow(1, 0), ["c1 cut"]);
}

#[test]
fn an_exclusive_newcomer_waits_for_the_probe() {
    let mut world = World::new(Settings::default());
    world.subscribe(1, Exclusive);
    assert_eq!(world.subscribe(2, Exclusive), ["c1 probed"]);
    world.topic.on_probe(world.clock, key(1), true);
    assert_eq!(world.seen(), ["c2 refused 5"]);
    world.subscribe(2, Exclusive);
    world.topic.on_probe(world.clock, key(1), false);
    assert_eq!(world.seen(), ["c2 ok 2"]);
}

#[test]
fn seek_closes_everybody_and_begins_there() {
    let mut world = World::new(Settings::default());
    world.subscribe(1, Shared);
    world.subscribe(2, Shared);
    world.plain(5);
    let seek = |message_id, time| {
        let base = CommandSeek { consumer_id: 1, request_id: 7, ..CommandSeek::default() };
        Command::Seek(CommandSeek { message_id, message_publish_time: time, ..base })
    };
    assert_eq!(world.command(1, seek(None, None)), ["c1 refused 1"]);
    assert_eq!(world.command(1, seek(Some(id(3)), None)), ["c1 closed", "c2 closed", "c1 ok 7"]);
    assert_eq!(world.command(1, seek(Some(id(3)), None)), ["c1 refused 1"], "consumer not found");
    world.subscribe(1, Shared);
    assert_eq!(world.flow(1, 9), ["c1 gets 3", "c1 gets 4"]);
    // The world finds entry n at time n.
    assert_eq!(world.command(1, seek(None, Some(2))), ["c1 closed", "c1 ok 7"]);
    world.subscribe(1, Exclusive);
    assert_eq!(world.flow(1, 1), ["c1 gets 2"]);
    let earliest = MessageIdData { ledger_id: u64::MAX, entry_id: u64::MAX, ..MessageIdData::default() };
    world.command(1, seek(Some(earliest), None));
    assert_eq!(world.topic.backlog("s"), Some((5, 0)));
    world.subscribe(1, Exclusive);
    let latest = i64::MAX as u64;
    let latest = MessageIdData { ledger_id: latest, entry_id: latest, ..MessageIdData::default() };
    world.command(1, seek(Some(latest), None));
    assert_eq!(world.topic.backlog("s"), Some((0, 0)));
}

#[test]
fn only_a_sole_consumer_unsubscribes() {
    let mut world = World::new(Settings::default());
    world.subscribe(1, Shared);
    world.subscribe(2, Shared);
    let ask = |force| {
        let ask = CommandUnsubscribe { consumer_id: 1, request_id: 7, force: Some(force) };
        Command::Unsubscribe(ask)
    };
    assert_eq!(world.command(1, ask(false)), ["c1 refused 1"]);
    assert_eq!(world.command(1, ask(true)), ["c2 closed", "c1 ok 7"]);
    assert_eq!(world.topic.backlog("s"), None);
    assert_eq!(world.command(1, ask(false)), ["c1 refused 1"]);
}

#[test]
fn cumulative_acks_know_the_entry_before_the_first() {
    let mut world = World::new(Settings::default());
    world.subscribe(1, Exclusive);
    world.plain(4);
    let mut ack = |message: MessageIdData, request_id| {
        let message_id = vec![message];
        let command =
            CommandAck { consumer_id: 1, ack_type: 1, message_id, request_id, ..CommandAck::default() };
        let seen = world.command(1, Command::Ack(command));
        (seen, world.topic.backlog("s").expect("there").0)
    };
    assert_eq!(ack(id(u64::MAX), None), (vec![], 4));
    assert_eq!(ack(id(99), Some(3)), (vec!["c1 acked".to_owned()], 4), "no such entry, and no error");
    assert_eq!(ack(id(1), None), (vec![], 2));
    let part = MessageIdData { ack_set: vec![2], ..id(3) };
    assert_eq!(ack(part, None), (vec![], 1), "the one before fully, this one in part");
}

#[test]
fn the_last_id_names_a_batch() {
    let mut world = World::new(Settings::default());
    world.subscribe(1, Exclusive);
    let ask = |consumer_id| Command::GetLastMessageId(CommandGetLastMessageId { consumer_id, request_id: 1 });
    assert_eq!(world.command(1, ask(1)), ["c1 last -1:-1:-1"]);
    world.plain(1);
    assert_eq!(world.command(1, ask(1)), ["c1 last 1:0:-1"]);
    world.publish(&EntryMetadata { producer_name: "p", batch_size: Some(5), ..EntryMetadata::default() });
    assert_eq!(world.command(1, ask(1)), ["c1 last 1:1:4"]);
    assert_eq!(world.command(1, ask(2)), ["c1 refused 1"]);
}

#[test]
fn readers_begin_where_they_say_and_leave_nothing() {
    let mut world = World::new(Settings::default());
    world.plain(3);
    let reader = |start| CommandSubscribe {
        durable: Some(false),
        start_message_id: start,
        ..CommandSubscribe::default()
    };
    world.subscribe_as(1, reader(Some(id(1))));
    assert_eq!(world.flow(1, 1), ["c1 gets 1"]);
    assert_eq!(world.topic.slowest(), None, "a reader holds nothing back");
    world.topic.on_disconnect(world.clock, key(1));
    assert_eq!(world.topic.backlog("s"), None);
    world.subscribe_as(2, reader(None));
    assert_eq!(world.topic.backlog("s"), Some((0, 0)));
}

#[test]
fn a_reader_that_seeks_and_does_not_return_is_forgotten() {
    let mut world = World::new(Settings::default());
    world.plain(3);
    world.subscribe_as(1, CommandSubscribe { durable: Some(false), ..CommandSubscribe::default() });
    let seek = CommandSeek { consumer_id: 1, message_id: Some(id(1)), ..CommandSeek::default() };
    assert_eq!(world.command(1, Command::Seek(seek)), ["c1 closed", "c1 ok 0"]);
    world.topic.on_tick(world.clock, Duration::from_secs(60));
    assert_eq!(world.topic.backlog("s"), Some((2, 0)), "it may return");
    world.pass(READER_RETURN_MAX);
    world.topic.on_tick(world.clock, Duration::from_secs(60));
    assert_eq!(world.topic.backlog("s"), None);
}

#[test]
fn a_terminated_topic_tells_who_is_through() {
    let mut world = World::new(Settings::default());
    world.subscribe(1, Exclusive);
    world.plain(1);
    assert!(world.topic.terminate(world.clock).is_some());
    assert_eq!(world.seen(), ["c0 producer closed"]);
    world.topic.on_send(world.clock, key(0), &CommandSend::default(), Bytes::new());
    assert_eq!(world.seen(), [""; 0], "under way, and ignored");
    assert_eq!(world.flow(1, 2), ["c1 gets 0"]);
    assert_eq!(world.ack(1, &[0]), ["c1 end"]);
    assert_eq!(world.topic.terminate(world.clock), None, "once is enough");
    let mode = Some(ProducerAccessMode::Shared as i32);
    let producer = CommandProducer { producer_access_mode: mode, ..CommandProducer::default() };
    world.topic.on_producer(world.clock, key(5), producer, || "q".to_owned());
    assert_eq!(world.seen(), ["c5 refused 15"]);
}
