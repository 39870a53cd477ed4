//! Topics and subscriptions by name: made, used, asked about, sealed, deleted.

use std::collections::BTreeMap;
use std::time::Duration;

use pulsegate::base::id::Position;
use pulsegate::broker::admin::{AdminAnswer, AdminAsk, Expire, Place, PropertiesChange, StatsOptions};
use pulsegate::broker::host::Asked;
use pulsegate::broker::ledgers::position;
use pulsegate::store::FileName;
use pulsegate::wire::pulsar::Command;
use pulsegate::wire::pulsar::entry::EntryMetadata;
use pulsegate::wire::pulsar::proto::{
    CommandGetLastMessageId, CommandProducer, CommandSeek, CommandSubscribe, SubscriptionType,
};

use crate::world::{T, World};
use SubscriptionType::{Exclusive, Shared};

fn topic() -> String {
    T.to_owned()
}

fn status(answer: &AdminAnswer) -> u16 {
    match answer {
        AdminAnswer::Refused(refused) => refused.status,
        _ => 200,
    }
}

fn backlog(world: &mut World, name: &str) -> u64 {
    let answer = world.admin(AdminAsk::Stats { topic: topic(), options: StatsOptions::default() });
    let AdminAnswer::Stats(stats) = answer else { panic!("{answer:?}") };
    stats.subscriptions[name].backlog
}

#[test]
fn a_topic_is_made_when_it_is_used_and_is_there_after_a_restart() {
    let mut world = World::new();
    assert_eq!(world.produce(1, T), ["c1 produces"]);
    assert_eq!(world.send(1, 0, "x"), ["c1 stored 1:0"]);
    assert_eq!(world.send(1, 1, "y"), ["c1 stored 1:1"]);
    assert_eq!(world.subscribe(2, T, "s", Exclusive), ["c2 success"]);
    assert_eq!(world.flow(2, 1), ["c2 gets 1:0 x"]);
    assert_eq!(world.ack(2, &[(1, 0)]), ["c2 acked"]);
    world.restart();
    assert_eq!(world.admin(AdminAsk::Exists { topic: topic() }), AdminAnswer::Exists(true));
    assert_eq!(world.subscribe(3, T, "s", Exclusive), ["c3 success"]);
    assert_eq!(world.flow(3, 9), ["c3 gets 1:1 y"], "what was acknowledged does not come again");
    assert_eq!(world.produce(4, T), ["c4 produces"]);
    assert_eq!(world.send(4, 0, "z"), ["c4 stored 2:0", "c3 gets 2:0 z"], "a new ledger after a start");
}

#[test]
fn names_and_rules_decide_whether_a_topic_is_made() {
    let mut world = World::new();
    let refused = |world: &mut World, topic: &str| {
        let heard = world.produce(1, topic).remove(0);
        heard.split(':').next().expect("some words").to_owned()
    };
    assert_eq!(refused(&mut world, "other://public/default/t"), "c1 refused 17");
    assert_eq!(refused(&mut world, "persistent://public/none/t"), "c1 refused 11");
    assert_eq!(refused(&mut world, "persistent://public/default/t-partition-2"), "c1 refused 11");
    let record = br#"{"partitions":3,"properties":{}}"#;
    world.catalogue.apply("partitioned/persistent://public/default/t", 1, Some(record));
    assert_eq!(world.produce(2, "persistent://public/default/t-partition-2"), ["c2 produces"]);
    assert_eq!(refused(&mut world, "persistent://public/default/t-partition-3"), "c1 refused 11");
    assert_eq!(refused(&mut world, T), "c1 refused 22", "the base of partitions");
    let command = CommandSubscribe {
        topic: "persistent://public/default/u".to_owned(),
        subscription: "s".to_owned(),
        force_topic_creation: Some(false),
        ..CommandSubscribe::default()
    };
    assert!(world.subscribe_as(3, command)[0].starts_with("c3 refused 11"));
    let policy = br#"{"autoTopicCreationOverride":{"allowAutoTopicCreation":false}}"#;
    world.catalogue.apply("namespace/public/default", 2, Some(policy));
    assert_eq!(refused(&mut world, "persistent://public/default/u"), "c1 refused 11");
}

#[test]
fn administrators_make_and_delete_topics() {
    let mut world = World::new();
    let create = AdminAsk::Create { topic: topic(), properties: BTreeMap::from([("a".into(), "b".into())]) };
    assert_eq!(world.admin(create.clone()), AdminAnswer::Done);
    assert_eq!(status(&world.admin(create)), 409);
    let names = world.admin(AdminAsk::List { namespace: "public/default".into() });
    assert_eq!(names, AdminAnswer::Names(vec![topic()]));
    let AdminAnswer::Id(last) = world.admin(AdminAsk::LastId { topic: topic() }) else { panic!("an id") };
    assert_eq!((last.entry, last.batch_index, last.ledger > 0), (-1, -1, true), "the ledger to be filled");
    world.produce(1, T);
    assert_eq!(status(&world.admin(AdminAsk::Delete { topic: topic(), force: false })), 412);
    assert_eq!(world.admin(AdminAsk::Delete { topic: topic(), force: true }), AdminAnswer::Done);
    assert_eq!(world.heard(), ["c1 producer closed"]);
    assert_eq!(world.send(1, 0, "x"), [""; 0], "under way, and ignored");
    for gone in [AdminAsk::Delete { topic: topic(), force: true }, AdminAsk::LastId { topic: topic() }] {
        assert_eq!(status(&world.admin(gone)), 404);
    }
    world.restart();
    assert_eq!(world.admin(AdminAsk::Exists { topic: topic() }), AdminAnswer::Exists(false));
    world.produce(2, T);
    let stored = world.send(2, 0, "x").remove(0);
    assert!(stored.starts_with("c2 stored ") && !stored.contains(" 1:"), "another ledger: {stored}");
    let AdminAnswer::Properties(none) = world.admin(AdminAsk::Properties { topic: topic() }) else {
        panic!("properties")
    };
    assert!(none.is_empty(), "nothing is left of the one before");
}

#[test]
fn subscriptions_over_rest() {
    let mut world = World::new();
    world.produce(1, T);
    (0..6).for_each(|sequence| drop(world.send(1, sequence, &sequence.to_string())));
    let make = |name: &str, at| AdminAsk::CreateSubscription {
        topic: topic(),
        subscription: name.to_owned(),
        at,
        properties: BTreeMap::new(),
        replicated: false,
    };
    for (name, at, left) in [
        ("early", Place::Earliest, 6),
        ("late", Place::Latest, 0),
        ("before", Place::Before(position(1, 4)), 2),
        ("behind", Place::Behind(position(1, 4)), 1),
    ] {
        assert_eq!(world.admin(make(name, at)), AdminAnswer::Done);
        assert_eq!(backlog(&mut world, name), left, "{name}");
    }
    assert_eq!(status(&world.admin(make("early", Place::Latest))), 409);
    let skip = |entries| AdminAsk::Skip { topic: topic(), subscription: "early".into(), entries };
    world.admin(skip(Some(2)));
    assert_eq!(backlog(&mut world, "early"), 4);
    let peek = |position| AdminAsk::Peek { topic: topic(), subscription: "early".into(), position };
    let AdminAnswer::Entry(entry) = world.admin(peek(2)) else { panic!("an entry") };
    assert_eq!(entry.at, position(1, 3));
    assert_eq!(status(&world.admin(peek(5))), 404);
    world.admin(skip(None));
    assert_eq!(backlog(&mut world, "early"), 0);
    let reset =
        |at, batch_index| AdminAsk::Reset { topic: topic(), subscription: "early".into(), at, batch_index };
    assert_eq!(world.admin(reset(Place::Before(position(1, 1)), None)), AdminAnswer::Done);
    world.restart();
    assert_eq!(backlog(&mut world, "early"), 5, "a reset is durable");
    world.subscribe(2, T, "early", Shared);
    let delete = |force| AdminAsk::DeleteSubscription { topic: topic(), subscription: "early".into(), force };
    assert_eq!(status(&world.admin(delete(false))), 412);
    assert_eq!(world.admin(delete(true)), AdminAnswer::Done);
    assert_eq!(world.heard(), ["c2 consumer closed"]);
    assert_eq!(status(&world.admin(delete(true))), 404);
    let AdminAnswer::Names(mut names) = world.admin(AdminAsk::Subscriptions { topic: topic() }) else {
        panic!("names")
    };
    names.sort();
    assert_eq!(names, ["before", "behind", "late"]);
}

#[test]
fn old_messages_expire_when_asked() {
    let mut world = World::new();
    world.produce(1, T);
    world.subscribe(2, T, "s", Exclusive);
    world.send(1, 0, "old");
    world.pass(Duration::from_secs(100));
    world.send(1, 1, "new");
    let expire = |subscription: Option<&str>, seconds| AdminAsk::Expire {
        topic: topic(),
        subscription: subscription.map(str::to_owned),
        what: Expire::Seconds(seconds),
    };
    assert_eq!(world.admin(expire(Some("s"), 50)), AdminAnswer::Done);
    assert_eq!(backlog(&mut world, "s"), 1);
    let all = AdminAsk::Expire { topic: topic(), subscription: None, what: Expire::UpTo(position(1, 1)) };
    assert_eq!(world.admin(all), AdminAnswer::Done);
    assert_eq!(backlog(&mut world, "s"), 0);
    assert_eq!(status(&world.admin(expire(None, 1))), 409, "caught up");
    assert_eq!(status(&world.admin(expire(Some("none"), 1))), 404);
}

#[test]
fn times_are_looked_for_in_memory_and_on_the_disk() {
    let mut world = World::new();
    world.produce(1, T);
    let began = world.clock.wall.0 as u64;
    for sequence in 0..200 {
        world.send(1, sequence, &"x".repeat(20_000));
        world.pass(Duration::from_secs(1));
    }
    for rounds in 0..2 {
        let id = |world: &mut World, time| match world.admin(AdminAsk::IdByTime { topic: topic(), time }) {
            AdminAnswer::Id(id) => id.entry,
            other => panic!("{other:?}"),
        };
        assert_eq!(id(&mut world, 0), 0, "round {rounds}");
        let found = id(&mut world, began + 100_000);
        assert!((95..=101).contains(&found), "round {rounds}: {found}");
        assert_eq!(id(&mut world, u64::MAX), 200, "round {rounds}: behind the last one");
        world.restart();
    }
    world.subscribe(2, T, "s", Exclusive);
    let seek = CommandSeek {
        consumer_id: 2,
        request_id: 9,
        message_publish_time: Some(began + 150_000),
        ..CommandSeek::default()
    };
    assert_eq!(world.command(2, Command::Seek(seek)), ["c2 consumer closed", "c2 success"]);
    let left = backlog(&mut world, "s");
    assert!((48..=55).contains(&left), "{left}");
}

/// An entry is on its way for a while: its time is when it was published, not when it was stored; a clock that is ahead or behind
/// does not put entries out of order.
#[test]
fn what_is_looked_for_is_when_it_was_published() {
    let mut world = World::new();
    world.produce(1, T);
    let began = world.clock.wall.0 as u64;
    for (sequence, published) in [(0, 0), (1, 1_000), (2, 2_000), (3, 900_000), (4, 1_500)] {
        world.pass(Duration::from_secs(5));
        let publish_time = began + published;
        let metadata = EntryMetadata { producer_name: "p", publish_time, ..EntryMetadata::default() };
        world.send_as(1, sequence, &metadata, "text");
    }
    let mut first = |after| match world.admin(AdminAsk::IdByTime { topic: topic(), time: began + after }) {
        AdminAnswer::Id(id) => id.entry,
        other => panic!("{other:?}"),
    };
    assert_eq!([0, 1, 1_000, 1_001].map(&mut first), [0, 1, 1, 2]);
    assert_eq!(first(2_001), 3, "the others were published before that");
    assert_eq!(first(20_000), 3, "stored after 20 s, published in the future");
    assert_eq!(first(20_001), 5, "and so was none");
}

#[test]
fn a_sealed_topic_stays_sealed() {
    let mut world = World::new();
    world.produce(1, T);
    world.send(1, 0, "x");
    let AdminAnswer::Id(end) = world.admin(AdminAsk::Terminate { topic: topic() }) else { panic!("an id") };
    assert_eq!((end.ledger, end.entry), (1, 0));
    assert_eq!(world.heard(), ["c1 producer closed"]);
    for _ in 0..2 {
        assert!(world.produce(2, T)[0].starts_with("c2 refused 15"));
        let AdminAnswer::Id(again) = world.admin(AdminAsk::Terminate { topic: topic() }) else {
            panic!("an id")
        };
        assert_eq!(again, end);
        world.restart();
    }
    world.subscribe(3, T, "s", Exclusive);
    assert_eq!(world.flow(3, 9), ["c3 gets 1:0 x"]);
    assert_eq!(world.ack(3, &[(1, 0)]), ["c3 end", "c3 acked"]);
}

#[test]
fn properties_are_kept() {
    let mut world = World::new();
    world.subscribe(1, T, "s", Exclusive);
    let map = |key: &str| BTreeMap::from([(key.to_owned(), "1".to_owned())]);
    let change = |change| AdminAsk::ChangeProperties { topic: topic(), change };
    world.admin(change(PropertiesChange::Merge(map("a"))));
    world.admin(change(PropertiesChange::Merge(map("b"))));
    world.admin(change(PropertiesChange::Remove("a".into())));
    let change = PropertiesChange::Replace(map("c"));
    world.admin(AdminAsk::ChangeSubscriptionProperties { topic: topic(), subscription: "s".into(), change });
    world.restart();
    assert_eq!(world.admin(AdminAsk::Properties { topic: topic() }), AdminAnswer::Properties(map("b")));
    let of = AdminAsk::SubscriptionProperties { topic: topic(), subscription: "s".into() };
    assert_eq!(world.admin(of), AdminAnswer::Properties(map("c")));
}

#[test]
fn a_topic_that_stores_nothing() {
    let mut world = World::new();
    let name = "non-persistent://public/default/t";
    world.produce(1, name);
    assert_eq!(world.send(1, 0, "lost"), ["c1 stored 0:0"]);
    world.subscribe(2, name, "s", Shared);
    assert_eq!(world.send(1, 1, "lost"), ["c1 stored 0:0"], "without a permit");
    world.flow(2, 1);
    assert_eq!(world.send(1, 2, "x"), ["c1 stored 0:0", "c2 gets 0:0 x"]);
    assert_eq!(world.ack(2, &[(0, 0)]), ["c2 acked"]);
    let last = CommandGetLastMessageId { consumer_id: 2, request_id: 5 };
    assert!(world.command(2, Command::GetLastMessageId(last))[0].starts_with("c2 refused 22"));
    let topic = || name.to_owned();
    for (ask, wanted) in [
        (AdminAsk::Skip { topic: topic(), subscription: "s".into(), entries: None }, 405),
        (AdminAsk::Peek { topic: topic(), subscription: "s".into(), position: 1 }, 405),
        (AdminAsk::Terminate { topic: topic() }, 406),
        (AdminAsk::Truncate { topic: topic() }, 412),
        (AdminAsk::Unload { topic: topic() }, 200),
    ] {
        assert_eq!(status(&world.admin(ask)), wanted);
    }
    assert_eq!(world.heard(), ["c1 producer closed", "c2 consumer closed"]);
}

#[test]
fn an_unloaded_topic_is_as_it_was() {
    let mut world = World::new();
    world.produce(1, T);
    world.subscribe(2, T, "s", Shared);
    world.send(1, 0, "a");
    world.send(1, 1, "b");
    world.flow(2, 9);
    world.ack(2, &[(1, 1)]);
    assert_eq!(world.admin(AdminAsk::Unload { topic: topic() }), AdminAnswer::Done);
    assert_eq!(world.heard(), ["c1 producer closed", "c2 consumer closed"]);
    let AdminAnswer::Counts(counts) = world.admin(AdminAsk::Counts) else { panic!("counts") };
    assert_eq!((counts.topics, counts.loaded), (1, 0));
    assert_eq!(world.subscribe(2, T, "s", Shared), ["c2 success"]);
    assert_eq!(world.flow(2, 9), ["c2 gets 1:0 a"]);
    let last = CommandGetLastMessageId { consumer_id: 2, request_id: 5 };
    assert_eq!(world.command(2, Command::GetLastMessageId(last)), ["c2 last 1:1"]);
    world.produce(1, T);
    assert_eq!(world.send(1, 2, "c"), ["c1 stored 2:0", "c2 gets 2:0 c"], "in another ledger");
}

#[test]
fn another_consumer_takes_over_when_a_connection_ends() {
    let mut world = World::new();
    world.produce(1, T);
    world.subscribe(2, T, "s", SubscriptionType::Failover);
    world.subscribe(3, T, "s", SubscriptionType::Failover);
    (2..4).for_each(|of| drop(world.flow(of, 100)));
    world.pass(Duration::from_secs(2));
    let heard = world.send(1, 0, "a");
    let active = if heard.iter().any(|news| news == "c2 gets 1:0 a") { 2 } else { 3 };
    world.send(1, 1, "b");
    world.ack(active, &[(1, 0)]);
    world.ask(active, Asked::Disconnected);
    let other = 5 - active;
    assert_eq!(world.send(1, 2, "c"), ["c1 stored 1:2"], "not yet");
    let heard = world.pass(Duration::from_secs(2));
    let wanted = ["active true", "gets 1:1 b", "gets 1:2 c"].map(|news| format!("c{other} {news}"));
    assert_eq!(heard, wanted);
}

#[test]
fn entries_are_shown_by_place() {
    let mut world = World::new();
    world.produce(1, T);
    (0..4).for_each(|sequence| drop(world.send(1, sequence, "x")));
    let examine = |from_earliest, position| AdminAsk::Examine { topic: topic(), from_earliest, position };
    let place = |answer: AdminAnswer| match answer {
        AdminAnswer::Entry(shown) => shown.at,
        other => panic!("{other:?}"),
    };
    assert_eq!(place(world.admin(examine(true, 2))), position(1, 1));
    assert_eq!(place(world.admin(examine(false, 1))), position(1, 3));
    let entry = |at: Position| AdminAsk::Entry { topic: topic(), at };
    assert_eq!(place(world.admin(entry(position(1, 2)))), position(1, 2));
    assert_eq!(status(&world.admin(entry(position(1, 4)))), 404);
    let size = |at| AdminAsk::BacklogSize { topic: topic(), behind: at };
    let AdminAnswer::Size(all) = world.admin(size(position(0, 0))) else { panic!("a size") };
    let AdminAnswer::Size(one) = world.admin(size(position(1, 2))) else { panic!("a size") };
    assert_eq!((all, all > 0), (4 * one, true));
    assert_eq!(world.admin(AdminAsk::Health), AdminAnswer::Done);
    assert_eq!(world.admin(AdminAsk::Health), AdminAnswer::Done);
}

#[test]
fn a_producer_may_want_a_subscription_to_be_there() {
    let mut world = World::new();
    let command = CommandProducer {
        topic: topic(),
        initial_subscription_name: Some("first".into()),
        ..CommandProducer::default()
    };
    assert_eq!(world.produce_as(1, command), ["c1 produces"]);
    world.send(1, 0, "x");
    world.restart();
    world.subscribe(2, T, "first", Shared);
    assert_eq!(world.flow(2, 1), ["c2 gets 1:0 x"]);
}

#[test]
fn a_dead_holder_of_a_name_makes_room() {
    let mut world = World::new();
    let named =
        || CommandProducer { topic: topic(), producer_name: Some("p".into()), ..CommandProducer::default() };
    world.produce_as(1, named());
    assert_eq!(world.produce_as(2, named()), ["c1 probe"]);
    assert!(world.ask(1, Asked::Probed { alive: true })[0].starts_with("c2 refused 16"));
    assert_eq!(world.produce_as(2, named()), ["c1 probe"]);
    assert_eq!(world.ask(1, Asked::Probed { alive: false }), ["c2 produces"]);
    world.ask(1, Asked::Disconnected);
    assert_eq!(world.send(2, 0, "x"), ["c2 stored 1:0"]);
    assert_eq!(world.produce_as(3, named()), ["c2 probe"]);
    assert_eq!(world.ask(2, Asked::Disconnected), ["c3 produces"], "an end is an answer too");
    assert_eq!(world.ask(2, Asked::Probed { alive: false }), [""; 0]);
}

/// What lies in segments is read through by and by; rot in it is found and counted although nobody reads it.
#[test]
fn rot_in_what_nobody_reads_is_found() {
    let mut world = World::new();
    world.produce(1, T);
    let text = "a message of some length ".repeat(100);
    for sequence in 0..200 {
        world.send(1, sequence, &text);
    }
    let counts = |world: &mut World| match world.admin(AdminAsk::Counts) {
        AdminAnswer::Counts(counts) => (counts.scrubbed_bytes, counts.damaged),
        other => panic!("{other:?}"),
    };
    // A checkpoint settles it; the first pass is later than that.
    world.pass(Duration::from_secs(120));
    let segment = |(name, bytes): (FileName, &mut Vec<u8>)| match name {
        FileName::Segment(_) => Some(bytes.len()),
        _ => None,
    };
    let settled: usize = world.disk.files().filter_map(segment).sum();
    assert!(settled > 400_000, "{settled}");
    assert_eq!(counts(&mut world), (0, 0));
    world.pass(Duration::from_secs(600));
    assert_eq!(counts(&mut world), (settled as u64, 0), "each byte once");
    let (_, bytes) =
        world.disk.files().find(|(name, _)| matches!(name, FileName::Segment(_))).expect("a segment");
    bytes[5000] ^= 1;
    world.pass(Duration::from_secs(6 * 24 * 3600));
    assert_eq!(counts(&mut world), (settled as u64, 0), "a pass a week");
    world.pass(Duration::from_secs(24 * 3600));
    assert_eq!(counts(&mut world), (2 * settled as u64, 1));
    // A deleted topic ends with no reads, and does not stop the passes.
    world.ask(1, Asked::Disconnected);
    world.admin(AdminAsk::Delete { topic: topic(), force: true });
    world.pass(Duration::from_secs(15 * 24 * 3600));
    assert_eq!(counts(&mut world), (2 * settled as u64, 1));
}
