//! What policies and time make of topics: retention, expiry, quotas, deletion, deduplication, and a disk without room.

use std::time::Duration;

use pulsegate::broker::admin::{AdminAnswer, AdminAsk, StatsOptions};
use pulsegate::broker::host::{Asked, HostConfig, HostState};
use pulsegate::broker::stats::{InternalStats, TopicStats};
use pulsegate::store::StoreId;
use pulsegate::store::log::Config;
use pulsegate::wire::pulsar::proto::{CommandProducer, SubscriptionType};

use crate::world::{T, World};
use SubscriptionType::{Exclusive, Shared};

/// Log sizes that are filled in a moment.
fn small() -> Config {
    Config {
        slot_bytes: 256 * 1024,
        slots_max: 4,
        checkpoint_bytes: 128 * 1024,
        unsettled_bytes: 128 * 1024,
        inline_bytes: 1024,
        tail_bytes: 1024,
    }
}

fn config() -> HostConfig {
    let mut config = HostConfig::new(StoreId(0), 1, "standalone");
    config.rolling.entries_max = 10;
    config
}

impl World {
    fn policy(&mut self, key: &str, value: &str) {
        self.catalogue.apply(key, 9, Some(value.as_bytes()));
        self.host.on_catalogue(self.clock, &self.catalogue, &[key]);
        self.settle();
    }

    fn stats(&mut self) -> TopicStats {
        let options = StatsOptions { backlog_bytes: true, ..StatsOptions::default() };
        match self.admin(AdminAsk::Stats { topic: T.to_owned(), options }) {
            AdminAnswer::Stats(stats) => *stats,
            other => panic!("{other:?}"),
        }
    }

    fn internal(&mut self) -> InternalStats {
        match self.admin(AdminAsk::Internal { topic: T.to_owned() }) {
            AdminAnswer::Internal(stats) => *stats,
            other => panic!("{other:?}"),
        }
    }

    fn publish(&mut self, count: u64) {
        (0..count).for_each(|sequence| drop(self.send(1, sequence, "0123456789")));
    }
}

const NAMESPACE: &str = "namespace/public/default";
const TOPIC: &str = "policies/persistent://public/default/t";

#[test]
fn retention_keeps_what_it_says() {
    let mut world = World::with(config(), small());
    world.produce(1, T);
    world.publish(35);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.internal().entries, 5, "nobody has subscribed: only the open ledger is kept");
    world.policy(NAMESPACE, r#"{"retention_policies":{"retentionTimeInMinutes":1,"retentionSizeInMB":-1}}"#);
    world.publish(30);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.internal().ledgers.len(), 4);
    world.pass(Duration::from_secs(70));
    assert_eq!(world.internal().ledgers.len(), 1, "older than a minute");
    world.policy(TOPIC, r#"{"retention_policies":{"retentionTimeInMinutes":-1,"retentionSizeInMB":-1}}"#);
    world.publish(30);
    world.pass(Duration::from_secs(1000));
    assert_eq!(world.internal().ledgers.len(), 4, "the topic's own word counts");
    assert_eq!(world.admin(AdminAsk::Truncate { topic: T.to_owned() }), AdminAnswer::Done);
    world.pass(Duration::from_secs(10));
    assert_eq!((world.internal().ledgers.len(), world.internal().entries), (1, 0));
}

#[test]
fn a_subscription_holds_ledgers_back() {
    let mut world = World::with(config(), small());
    world.produce(1, T);
    world.subscribe(2, T, "s", Shared);
    world.publish(25);
    world.flow(2, 100);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.internal().ledgers.len(), 3);
    let ledgers: Vec<u64> = world.internal().ledgers.iter().map(|ledger| ledger.id.0).collect();
    let all: Vec<_> = (0..10).map(|entry| (ledgers[0], entry)).collect();
    world.ack(2, &all[1..]);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.internal().ledgers.len(), 3, "one entry is not consumed");
    let cursor = world.internal().cursors.remove("s").expect("there");
    assert_eq!((cursor.mark_delete.entry, cursor.runs.len()), (-1, 1));
    world.ack(2, &all[..1]);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.internal().ledgers.len(), 2);
    world.restart();
    world.pass(Duration::from_secs(10));
    assert_eq!(world.stats().subscriptions["s"].backlog, 15);
}

#[test]
fn messages_grow_old() {
    let mut world = World::with(config(), small());
    world.produce(1, T);
    world.subscribe(2, T, "s", Exclusive);
    world.policy(TOPIC, r#"{"message_ttl_in_seconds":400}"#);
    world.publish(3);
    world.pass(Duration::from_secs(320));
    world.publish(2);
    assert_eq!(world.stats().subscriptions["s"].backlog, 5);
    world.pass(Duration::from_secs(300));
    assert_eq!(world.stats().subscriptions["s"].backlog, 2);
    assert_eq!(world.stats().subscriptions["s"].expired, 3);
}

#[test]
fn a_quota_keeps_producers_out() {
    for (policy, code) in [("producer_request_hold", 7), ("producer_exception", 8)] {
        let mut world = World::with(config(), small());
        world.produce(1, T);
        world.subscribe(2, T, "s", Exclusive);
        let quota = format!(
            r#"{{"backlog_quota_map":{{"destination_storage":{{"limitSize":300,"policy":"{policy}"}}}}}}"#
        );
        world.policy(TOPIC, &quota);
        world.publish(10);
        assert!(world.stats().backlog_bytes >= 300);
        assert_eq!(world.admin(AdminAsk::CheckQuotas), AdminAnswer::Done);
        assert_eq!(world.heard(), ["c1 producer closed"]);
        assert!(world.produce(3, T)[0].starts_with(&format!("c3 refused {code}: Cannot create producer")));
        let skip = AdminAsk::Skip { topic: T.to_owned(), subscription: "s".into(), entries: None };
        world.admin(skip);
        assert_eq!(world.produce(4, T), ["c4 produces"], "it is looked at again for each newcomer");
    }
    let mut world = World::with(config(), small());
    world.produce(1, T);
    world.subscribe(2, T, "s", Exclusive);
    let quota = r#"{"backlog_quota_map":{"destination_storage":{"limitSize":1000,"policy":"consumer_backlog_eviction"}}}"#;
    world.policy(TOPIC, quota);
    world.publish(40);
    assert!(world.stats().backlog_bytes > 1000);
    world.admin(AdminAsk::CheckQuotas);
    assert_eq!(world.heard(), [""; 0], "who publishes is not disturbed");
    let left = world.stats().backlog_bytes;
    assert!((700..=900).contains(&left), "{left}");
}

#[test]
fn what_nobody_uses_goes() {
    let mut config = config();
    config.rules.inactive.delete = true;
    let mut world = World::with(config, small());
    world.produce(1, T);
    world.send(1, 0, "x");
    let other = "persistent://public/default/kept";
    world.subscribe(2, other, "s", Exclusive);
    world.ask(2, Asked::Disconnected);
    world.pass(Duration::from_secs(200));
    let exists = |world: &mut World, topic: &str| {
        world.admin(AdminAsk::Exists { topic: topic.to_owned() }) == AdminAnswer::Exists(true)
    };
    assert!(exists(&mut world, T), "a producer is connected");
    world.ask(1, Asked::Disconnected);
    world.pass(Duration::from_secs(130));
    assert!(!exists(&mut world, T));
    assert!(exists(&mut world, other), "it has a subscription");
    world.policy(NAMESPACE, r#"{"subscription_expiration_time_minutes":10}"#);
    world.pass(Duration::from_secs(1500));
    assert!(!exists(&mut world, other), "its subscription went, and then itself");
}

#[test]
fn deduplication_survives_a_restart_and_is_forgotten_when_turned_off() {
    let mut world = World::with(config(), small());
    world.policy(TOPIC, r#"{"deduplicationEnabled":true}"#);
    let named = || CommandProducer {
        topic: T.to_owned(),
        producer_name: Some("p".into()),
        ..CommandProducer::default()
    };
    world.produce_as(1, named());
    world.publish(10);
    assert_eq!(world.send(1, 4, "again"), ["c1 stored -1:-1"]);
    world.pass(Duration::from_secs(130));
    world.send(1, 10, "behind the snapshot");
    world.restart();
    assert_eq!(world.produce_as(1, named()), ["c1 produces from 10"]);
    assert_eq!(world.send(1, 10, "again"), ["c1 stored -1:-1"]);
    world.policy(TOPIC, r#"{"deduplicationEnabled":false}"#);
    assert!(world.send(1, 10, "again")[0].starts_with("c1 stored "), "it is off");
    assert!(!world.stats().deduplication);
    world.restart();
    world.policy(TOPIC, r#"{"deduplicationEnabled":true}"#);
    assert_eq!(world.produce_as(1, named()), ["c1 produces from 10"], "from what is there");
}

#[test]
fn a_disk_without_room_holds_producers_and_lets_consumers_go_on() {
    let mut world = World::with(config(), small());
    world.produce(1, T);
    world.subscribe(2, T, "s", Shared);
    world.send(1, 0, "first");
    world.disk.faults.full = true;
    let mut heard = Vec::new();
    for sequence in 1..400 {
        heard = world.send(1, sequence, &"x".repeat(5000));
        if !heard.iter().any(|news| news.starts_with("c1 stored")) {
            // It waits for room a while.
            heard.extend(world.pass(Duration::from_secs(11)));
        }
        if heard.iter().any(|news| news == "c1 producer closed") {
            break;
        }
    }
    assert_eq!(
        heard.last().map(String::as_str),
        Some("c1 producer closed"),
        "whoever publishes is sent away"
    );
    assert_eq!(world.send(1, 500, "under way"), [""; 0]);
    assert_eq!(world.host.state(), HostState::Full);
    assert!(world.produce(3, T)[0].starts_with("c3 refused 7"));
    let first = world.flow(2, 1);
    assert!(first.len() == 1 && first[0].ends_with(" first"), "{first:?}");
    assert_eq!(world.ack(2, &[(1, 0)]), ["c2 acked"]);
    world.disk.faults.full = false;
    world.pass(Duration::from_secs(60));
    assert_eq!(world.host.state(), HostState::Open);
    assert_eq!(world.produce(3, T), ["c3 produces"]);
}

#[test]
fn a_disk_that_fails_ends_the_store_and_loses_nothing_confirmed() {
    let mut world = World::with(config(), small());
    world.produce(1, T);
    world.subscribe(2, T, "s", Shared);
    world.send(1, 0, "kept");
    world.disk.faults.journal_sync = Some(1);
    let heard = world.send(1, 1, "lost");
    assert_eq!(heard, ["c1 send refused 2", "c1 producer closed", "c2 consumer closed"]);
    assert!(matches!(world.host.state(), HostState::Failed(_)));
    assert!(world.produce(3, T)[0].starts_with("c3 refused 6"));
    let AdminAnswer::Refused(refused) = world.admin(AdminAsk::Health) else { panic!("it failed") };
    assert_eq!(refused.status, 500);
    world.restart();
    world.subscribe(2, T, "s", Shared);
    assert!(world.flow(2, 9)[0].ends_with(" kept"));
}

#[test]
fn limits_of_policies_act_at_once() {
    let mut world = World::with(config(), small());
    world.policy(
        TOPIC,
        r#"{"max_producers_per_topic":1,"max_consumers_per_topic":1,"max_subscriptions_per_topic":1}"#,
    );
    world.produce(1, T);
    assert!(world.produce(2, T)[0].starts_with("c2 refused 16"));
    world.subscribe(3, T, "s", Shared);
    assert!(world.subscribe(4, T, "s", Shared)[0].starts_with("c4 refused 5"));
    world.ask(3, Asked::Disconnected);
    assert!(world.subscribe(4, T, "other", Shared)[0].starts_with("c4 refused 22"));
    world.policy(TOPIC, r#"{"subscription_types_enabled":["Exclusive"]}"#);
    assert!(world.subscribe(4, T, "s", Shared)[0].starts_with("c4 refused 22"));
    assert_eq!(world.subscribe(4, T, "s", Exclusive), ["c4 success"]);
}
