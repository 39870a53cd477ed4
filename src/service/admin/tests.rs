//! The administration against a world of its own: a meta store that compares and sets, and hosts that know topics by name.

mod requests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::*;
use crate::base::table::Key;
use crate::base::time::UnixMillis;
use crate::broker::admin::Refused;
use crate::broker::catalogue::FirstStart;
use crate::broker::stats::{CursorStats, InternalStats, PlaceShown, TopicStats};
use crate::wire::route::topic::is_in_namespace;

struct World {
    admin: Admin,
    catalogue: Catalogue,
    /// Versions by key, as the meta store has them.
    stored: BTreeMap<String, u64>,
    version: u64,
    topics: BTreeMap<String, BTreeSet<String>>,
    clock: Clock,
    /// What hosts and the meta store were asked, in words.
    seen: Vec<String>,
    /// Asks are left unanswered.
    silent: bool,
    /// So many writes meet another one first.
    raced: u32,
}

impl World {
    fn new() -> World {
        let runtime = vec![("maxTenants".into(), "0".into())];
        let config =
            AdminConfig { force_delete_namespace: true, runtime, ..AdminConfig::new("standalone", 3, 6650) };
        let mut world = World {
            admin: Admin::new(config),
            catalogue: Catalogue::default(),
            stored: BTreeMap::new(),
            version: 0,
            topics: BTreeMap::new(),
            clock: Clock { now: Instant(0), wall: UnixMillis(1_700_000_000_000) },
            seen: Vec::new(),
            silent: false,
            raced: 0,
        };
        let first = FirstStart { cluster: "standalone".into(), super_users: Vec::new(), stock: true };
        let plan = world.catalogue.plan_first_start(&first).into_iter().map(meta_change).collect();
        world.write(plan).expect("a new store takes it");
        world
    }

    fn write(&mut self, changes: Vec<MetaChange>) -> Result<(), MetaRefusal> {
        for change in &changes {
            let fits = match change.expect {
                meta::Expect::Any => true,
                meta::Expect::Absent => !self.stored.contains_key(&change.key),
                meta::Expect::Version(version) => self.stored.get(&change.key) == Some(&version),
            };
            if !fits {
                return Err(MetaRefusal::Conflict { key: change.key.clone() });
            }
        }
        self.version += 1;
        for change in changes {
            self.seen.push(format!("write {}", change.key));
            match change.value {
                Some(_) => self.stored.insert(change.key.clone(), self.version),
                None => self.stored.remove(&change.key),
            };
            self.catalogue.apply(&change.key, self.version, change.value.as_deref());
        }
        Ok(())
    }

    fn host(&mut self, ask: AdminAsk) -> AdminAnswer {
        let missing = |topic: &str| Refused::new(404, format!("Topic {topic} not found")).into();
        match ask {
            AdminAsk::Create { topic, .. } => match self.topics.contains_key(&topic) {
                true => Refused::new(409, "This topic already exists").into(),
                false => {
                    self.topics.insert(topic, BTreeSet::new());
                    AdminAnswer::Done
                }
            },
            AdminAsk::Delete { topic, force } => match self.topics.get(&topic) {
                None => missing(&topic),
                Some(_) if topic.contains("busy") && !force => {
                    Refused::new(412, "Topic has 1 connected producers/consumers").into()
                }
                Some(_) => {
                    self.topics.remove(&topic);
                    AdminAnswer::Done
                }
            },
            AdminAsk::Exists { topic } => AdminAnswer::Exists(self.topics.contains_key(&topic)),
            AdminAsk::List { namespace } => {
                let of = |name: &&String| is_in_namespace(name, &namespace);
                AdminAnswer::Names(self.topics.keys().filter(of).cloned().collect())
            }
            AdminAsk::CreateSubscription { topic, subscription, .. } => {
                self.topics.entry(topic).or_default().insert(subscription);
                AdminAnswer::Done
            }
            AdminAsk::Subscriptions { topic } => match self.topics.get(&topic) {
                Some(names) => AdminAnswer::Names(names.iter().cloned().collect()),
                None => missing(&topic),
            },
            AdminAsk::Internal { topic } => match self.topics.get(&topic) {
                Some(names) => AdminAnswer::Internal(Box::new(internal(names))),
                None => missing(&topic),
            },
            AdminAsk::Stats { topic, .. } => match self.topics.get(&topic) {
                Some(names) => {
                    let mut stats = TopicStats { persistent: true, ..Default::default() };
                    stats.published.messages = 2;
                    stats.subscriptions =
                        names.iter().map(|name| (name.clone(), Default::default())).collect();
                    AdminAnswer::Stats(Box::new(stats))
                }
                None => missing(&topic),
            },
            AdminAsk::AllStats { .. } => AdminAnswer::AllStats(Vec::new()),
            AdminAsk::Counts => AdminAnswer::Counts(Box::default()),
            _ => AdminAnswer::Done,
        }
    }

    /// Carries out what is to be done until a request is answered; `None`: it waits.
    fn settle(&mut self) -> Option<WebAnswer> {
        while let Some(effect) = self.admin.poll() {
            match effect {
                Effect::Answer { answer, .. } => return Some(answer),
                Effect::Ask { ticket, store, ask } => {
                    self.seen.push(format!("{ask:?}"));
                    assert!(store.0 < 3, "there is such a store");
                    if !self.silent {
                        // Stores share one list here: only the first one shows it.
                        let answer = match (&ask, store.0) {
                            (AdminAsk::List { .. }, 1..) => AdminAnswer::Names(Vec::new()),
                            _ => self.host(ask),
                        };
                        self.admin.on_answer(self.clock, &self.catalogue, ticket, answer);
                    }
                }
                Effect::Write { ticket, changes } => {
                    if self.raced > 0 {
                        self.raced -= 1;
                        let first = &changes[0];
                        let (key, value) = (first.key.clone(), self.catalogue.namespace("public/default"));
                        let value = value.map(|policies| json!(policies.members()).to_string().into_bytes());
                        let other = MetaChange { key, expect: meta::Expect::Any, value };
                        self.write(vec![other]).expect("any state will do");
                    }
                    let result = self.write(changes);
                    self.admin.on_written(self.clock, &self.catalogue, ticket, result);
                }
            }
        }
        None
    }

    fn send(&mut self, method: &str, target: &str, body: &str) -> Option<WebAnswer> {
        let client = Key::from_bits(1);
        let body = body.as_bytes().to_vec();
        match AdminRequest::new(client, method, target, Some("h:8080"), body) {
            Ok(request) => self.admin.on_request(self.clock, &self.catalogue, request),
            Err(answer) => return Some(answer),
        }
        self.settle()
    }

    /// Status and body.
    #[track_caller]
    fn call(&mut self, method: &str, path: &str, body: &str) -> (u16, String) {
        let answer = self.send(method, &format!("/admin/v2/{path}"), body).expect("an answer");
        (answer.status, String::from_utf8(answer.body).expect("UTF-8"))
    }

    #[track_caller]
    fn json(&mut self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, "");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    #[track_caller]
    fn status(&mut self, method: &str, path: &str, body: &str) -> u16 {
        self.call(method, path, body).0
    }
}

fn internal(names: &BTreeSet<String>) -> InternalStats {
    let at = crate::base::id::Position {
        ledger: crate::base::id::LedgerId(0),
        entry: crate::base::id::EntryId(0),
    };
    let cursor = |durable| CursorStats {
        mark_delete: PlaceShown::default(),
        read: at,
        consumed: 0,
        runs: Vec::new(),
        entries_left: 0,
        active: false,
        durable,
        saved_ms: 0,
        properties: BTreeMap::new(),
        subscription_properties: BTreeMap::new(),
    };
    let cursors = names.iter().map(|name| (name.clone(), cursor(!name.starts_with("reader")))).collect();
    InternalStats { cursors, ..Default::default() }
}

#[test]
fn unknown_paths_and_methods_are_told_apart() {
    let mut world = World::new();
    let mut status = |method: &str, target: &str| world.send(method, target, "").expect("an answer").status;
    assert_eq!(status("GET", "/admin/v2/clusters"), 200);
    assert_eq!(status("GET", "/admin/v2/clusters/"), 200);
    assert_eq!(status("HEAD", "/admin/v2/clusters"), 200);
    assert_eq!(status("PATCH", "/admin/v2/clusters"), 405);
    assert_eq!(status("DELETE", "/admin/v2/clusters"), 405);
    for unknown in
        ["/", "/admin", "/admin/v2", "/admin/v2/nothing", "/admin/clusters", "/admin/v2//clusters", "/x"]
    {
        assert_eq!(status("GET", unknown), 404, "{unknown}");
    }
    assert_eq!(status("GET", "/admin/v2/clusters/%zz"), 400);
    assert_eq!(status("GET", "/admin/v3/functions/x"), 409);
    assert_eq!(status("POST", "/admin/v3/transactions/x"), 503);
    let (code, body) = world.call("GET", "none", "");
    assert_eq!((code, body.as_str()), (404, r#"{"reason":"HTTP 404 Not Found"}"#));
}

#[test]
fn what_the_test_scripts_of_clients_put_first_is_there_already() {
    let mut world = World::new();
    assert_eq!(world.status("PUT", "clusters/standalone", "{}"), 409);
    let info = r#"{"adminRoles":["anonymous"],"allowedClusters":["standalone"]}"#;
    assert_eq!(world.status("PUT", "tenants/public", info), 409);
    assert_eq!(world.status("PUT", "namespaces/public/default", ""), 409);
    assert_eq!(world.json("tenants"), json!(["public", "pulsar"]));
    assert_eq!(world.json("namespaces/public"), json!(["public/default"]));
    let cluster = world.json("clusters/standalone");
    assert_eq!(cluster["brokerServiceUrl"], "pulsar://h:6650");
    assert_eq!(world.call("PUT", "clusters/other", "{}"), (200, String::new()));
    assert_eq!(world.call("PUT", "tenants/t", info), (204, String::new()));
    assert_eq!(world.json("tenants/t").to_string(), info);
    assert_eq!(world.status("DELETE", "tenants/t?force=true", ""), 405);
    assert_eq!(world.status("DELETE", "tenants/t", ""), 204);
}

#[test]
fn policies_are_read_back_as_written() {
    let mut world = World::new();
    let ns = "namespaces/public/default";
    let rate = r#"{"dispatchThrottlingRateInMsg":10,"dispatchThrottlingRateInByte":-1,"relativeToPublishRate":false,"ratePeriodInSecond":1}"#;
    for (name, value, unset) in [
        ("messageTTL", "10", ""),
        ("retention", r#"{"retentionTimeInMinutes":10,"retentionSizeInMB":10}"#, ""),
        ("dispatchRate", rate, ""),
        ("subscribeRate", r#"{"subscribeThrottlingRatePerConsumer":10,"ratePeriodInSecond":30}"#, ""),
        ("maxTopicsPerNamespace", "5", "0"),
        ("subscriptionTypesEnabled", r#"["Shared"]"#, "[]"),
        (
            "autoTopicCreation",
            r#"{"allowAutoTopicCreation":true,"topicType":"partitioned","defaultNumPartitions":3}"#,
            "",
        ),
        ("deduplication", "true", ""),
    ] {
        let path = format!("{ns}/{name}");
        assert_eq!(world.call("GET", &path, ""), (200, unset.to_owned()), "{name} is not set");
        assert_eq!(world.call("POST", &path, value), (204, String::new()), "{name}");
        assert_eq!(world.call("GET", &path, ""), (200, value.to_owned()), "{name} is set");
        assert_eq!(world.call("DELETE", &path, ""), (204, String::new()), "{name}");
        assert_eq!(world.call("GET", &path, ""), (200, unset.to_owned()), "{name} is unset");
    }
    for (name, value, status) in [
        ("messageTTL", "-1", 412),
        ("maxProducersPerTopic", "-1", 412),
        ("retention", r#"{"retentionTimeInMinutes":10}"#, 400),
        ("retention", r#"{"retentionTimeInMinutes":-2,"retentionSizeInMB":-2}"#, 400),
        ("autoTopicCreation", r#"{"allowAutoTopicCreation":true,"topicType":"partitioned"}"#, 412),
        ("persistence", r#"{"bookkeeperEnsemble":1,"bookkeeperWriteQuorum":2,"bookkeeperAckQuorum":1}"#, 400),
        ("messageTTL", "{", 400),
        ("messageTTL", "[]", 400),
    ] {
        assert_eq!(world.status("POST", &format!("{ns}/{name}"), value), status, "{name} {value}");
    }
    assert_eq!(world.status("POST", "namespaces/public/none/messageTTL", "1"), 404);
    assert_eq!(world.json(&format!("{ns}/backlogQuotaMap")), json!({}));
    let quota = r#"{"limitSize":1000,"policy":"producer_exception"}"#;
    assert_eq!(world.status("POST", &format!("{ns}/backlogQuota"), quota), 204);
    let shown = json!({ "destination_storage":
        { "limit": 1000, "limitSize": 1000, "limitTime": 0, "policy": "producer_exception" } });
    assert_eq!(world.json(&format!("{ns}/backlogQuotaMap")), shown);
    assert_eq!(world.status("POST", &format!("{ns}/backlogQuota"), "{}"), 400);
    assert_eq!(world.status("DELETE", &format!("{ns}/backlogQuota"), ""), 204);
    assert_eq!(world.status("PUT", &format!("{ns}/schemaCompatibilityStrategy"), "\"nonsense\""), 204);
    assert_eq!(world.json(&format!("{ns}/schemaCompatibilityStrategy")), json!("UNDEFINED"));
    assert_eq!(world.status("PUT", &format!("{ns}/property/k/v"), ""), 204);
    assert_eq!(world.call("DELETE", &format!("{ns}/property/k"), ""), (200, "v".to_owned()));
    assert_eq!(world.json(&format!("{ns}/properties")), json!({}));
    assert_eq!(world.status("POST", &format!("{ns}/permissions/r"), r#"["produce"]"#), 204);
    assert_eq!(world.json(&format!("{ns}/permissions")), json!({ "r": ["produce"] }));
}

#[test]
fn namespaces_go_when_they_are_empty_or_by_force() {
    let mut world = World::new();
    assert_eq!(world.status("PUT", "namespaces/public/x", ""), 204);
    assert_eq!(world.status("PUT", "persistent/public/x/t", ""), 204);
    assert_eq!(world.status("DELETE", "namespaces/public/x", ""), 409);
    assert_eq!(world.status("DELETE", "namespaces/public/x?force=true", ""), 204);
    assert_eq!((world.topics.len(), world.status("GET", "namespaces/public/x", "")), (0, 404));
    assert_eq!(world.status("DELETE", "namespaces/public/x", ""), 404);
    assert_eq!(world.status("PUT", "namespaces/public/x", ""), 204);
    assert_eq!(world.status("DELETE", "namespaces/public/x", ""), 204);
    let bundle = "namespaces/public/default/0x00000000_0x40000000";
    assert_eq!(world.status("PUT", &format!("{bundle}/split"), ""), 204);
    assert_eq!(world.json("namespaces/public/default/bundles")["numBundles"], 5);
    assert_eq!(world.status("PUT", &format!("{bundle}/unload"), ""), 412, "it is two bundles now");
    assert_eq!(world.status("PUT", "namespaces/public/default/unload", ""), 204);
    assert_eq!(world.status("POST", "namespaces/public/default/replication", r#"["standalone"]"#), 200);
    assert_eq!(world.status("POST", "namespaces/public/default/replication", r#"["other"]"#), 403);
}

#[test]
fn a_change_that_meets_another_is_planned_anew() {
    let mut world = World::new();
    world.raced = 3;
    assert_eq!(world.status("POST", "namespaces/public/default/messageTTL", "5"), 204);
    assert_eq!(world.json("namespaces/public/default/messageTTL"), json!(5));
    world.raced = u32::MAX;
    assert_eq!(world.status("POST", "namespaces/public/default/messageTTL", "6"), 409);
}

#[test]
fn who_waits_too_long_is_answered_and_a_late_answer_finds_nobody() {
    let mut world = World::new();
    world.silent = true;
    assert!(world.send("GET", "/admin/v2/brokers/health", "").is_none(), "it waits");
    assert_eq!(world.admin.next_time(), Some(Instant(0) + limit::HEALTH_TIME_MAX));
    world.clock.now = Instant(0) + limit::HEALTH_TIME_MAX;
    world.admin.on_timer(world.clock);
    assert_eq!(world.settle().expect("an answer").status, 504);
    assert_eq!((world.admin.next_time(), world.admin.tickets.len()), (None, 0));
    world.admin.on_answer(world.clock, &world.catalogue, 1, AdminAnswer::Done);
    assert!(world.settle().is_none());
    for _ in 0..limit::ADMIN_JOBS_MAX {
        assert!(world.send("GET", "/admin/v2/brokers/health", "").is_none());
    }
    assert_eq!(world.send("GET", "/admin/v2/brokers/health", "").expect("an answer").status, 503);
}

#[test]
fn many_partitions_are_asked_in_portions() {
    let mut world = World::new();
    assert_eq!(world.status("PUT", "persistent/public/default/p/partitions", "1000"), 204);
    assert_eq!(world.topics.len(), 1000);
    world.silent = true;
    world.seen.clear();
    assert!(world.send("PUT", "/admin/v2/persistent/public/default/p/unload", "").is_none());
    assert_eq!(world.seen.len(), limit::ADMIN_ASKS_MAX);
}
