//! The catalogue: exact JSON as captured from Apache Pulsar 4.0.7, plans and their refusals, what holds for a topic.

use serde_json::{Map, Value, json};

use super::*;
use crate::base::prng::Prng;

/// `GET /admin/v2/namespaces/public/x` after `PUT` without a body; Pulsar 4.0.7.
const FRESH: &str =
    r#"{"auth_policies":{"namespace_auth":{},"destination_auth":{},"subscription_auth_roles":{}},"#;
const FRESH_REST: &str = r#""replication_clusters":["standalone"],"allowed_clusters":[],"bundles":{"boundaries":["0x00000000","0x40000000","0x80000000","0xc0000000","0xffffffff"],"numBundles":4},"backlog_quota_map":{},"clusterDispatchRate":{},"topicDispatchRate":{},"subscriptionDispatchRate":{},"replicatorDispatchRate":{},"clusterSubscribeRate":{},"publishMaxMessageRate":{},"latency_stats_sample_rate":{},"deleted":false,"encryption_required":false,"subscription_auth_mode":"None","offload_threshold":-1,"offload_threshold_in_seconds":-1,"schema_compatibility_strategy":"UNDEFINED","is_allow_auto_update_schema":true,"schema_validation_enforced":false,"subscription_types_enabled":[],"properties":{},"migrated":false,"clusterThatCanDeleteNamespace":"standalone"}"#;

/// The names of all members that 4.0.7 showed once everything that its REST interface can set was set.
const FULL: &str = "auth_policies replication_clusters allowed_clusters bundles backlog_quota_map clusterDispatchRate \
    topicDispatchRate subscriptionDispatchRate replicatorDispatchRate clusterSubscribeRate persistence deduplicationEnabled \
    autoTopicCreationOverride autoSubscriptionCreationOverride publishMaxMessageRate latency_stats_sample_rate \
    message_ttl_in_seconds subscription_expiration_time_minutes retention_policies deleted encryption_required \
    delayed_delivery_policies inactive_topic_policies subscription_auth_mode max_producers_per_topic max_consumers_per_topic \
    max_consumers_per_subscription max_unacked_messages_per_consumer max_unacked_messages_per_subscription \
    max_subscriptions_per_topic compaction_threshold offload_threshold offload_threshold_in_seconds max_topics_per_namespace \
    schema_auto_update_compatibility_strategy schema_compatibility_strategy is_allow_auto_update_schema \
    schema_validation_enforced offload_policies deduplicationSnapshotIntervalSeconds subscription_types_enabled properties \
    migrated dispatcherPauseOnAckStatePersistentEnabled clusterThatCanDeleteNamespace";

fn started() -> Catalogue {
    let mut catalogue = Catalogue::default();
    let first = FirstStart { cluster: "standalone".into(), super_users: vec!["root".into()], stock: false };
    let plan = catalogue.plan_first_start(&first);
    catalogue.apply_plan(&plan, 1);
    catalogue
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn topic(text: &str) -> TopicName {
    names::topic(text).expect("a topic name")
}

#[test]
fn names_with_a_cluster_need_no_namespace_and_share_none() {
    let mut catalogue = started();
    let broker = Effective::default();
    for (namespace, there) in
        [("a/b/c", true), ("public/global/c", false), ("public/x", false), ("public/default", true)]
    {
        assert_eq!(catalogue.has_namespace(namespace), there, "{namespace}");
        let allowed = catalogue.allows_auto_creation(namespace, &broker);
        assert_eq!(allowed, there && broker.auto_creation.allowed, "{namespace}");
    }
    let older = topic("persistent://public/default/a/b");
    assert_eq!((older.namespace(), older.local()), ("public/default/a", "b"));
    let plan = catalogue.plan_partitioned(&older, 2, &Map::new(), 0).expect("a plan");
    catalogue.apply_plan(&plan, 7);
    let of = |namespace| catalogue.partitioned_of(namespace).map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(of("public/default/a"), [older.as_str()]);
    assert_eq!(of("public/default"), [""; 0], "another namespace");
    assert_eq!(
        catalogue.effective(&older, &broker).retention,
        broker.retention,
        "no policies of public/default"
    );
}

#[track_caller]
fn refusal(plan: Plan) -> (u16, String) {
    let refused = plan.expect_err("a refusal");
    (refused.status, refused.reason)
}

#[test]
fn a_first_start_makes_what_a_newcomer_needs_and_a_second_one_nothing() {
    let catalogue = started();
    assert_eq!(catalogue.clusters().collect::<Vec<_>>(), ["standalone"]);
    assert_eq!(catalogue.tenants().collect::<Vec<_>>(), ["public", "pulsar"]);
    assert_eq!(catalogue.namespaces().collect::<Vec<_>>(), ["public/default", "pulsar/system"]);
    let info = Value::Object(catalogue.tenant("public").expect("made").info.clone()).to_string();
    assert_eq!(info, r#"{"adminRoles":["root"],"allowedClusters":["standalone"]}"#);
    let kept = catalogue.effective(&topic("t"), &Effective::default()).retention;
    assert_eq!(kept, Retention { minutes: 1440, mebibytes: 1024 });
    let first = FirstStart { cluster: "standalone".into(), super_users: Vec::new(), stock: true };
    assert_eq!(catalogue.plan_first_start(&first), []);
    let mut deleted = catalogue.clone();
    deleted.apply("namespace/public/default", 9, None);
    assert_eq!(deleted.plan_first_start(&first), [], "what a person deleted stays deleted");
}

#[test]
fn a_fresh_namespace_reads_exactly_as_the_original_one() {
    let mut catalogue = started();
    let plan = catalogue.plan_namespace("public", "x", None, "standalone").expect("a plan");
    assert_eq!((plan.len(), plan[0].expect), (1, Expect::Absent));
    assert_eq!(
        String::from_utf8(plan[0].value.clone().expect("a value")),
        Ok(format!("{FRESH}{FRESH_REST}"))
    );
    let empty = catalogue.plan_namespace("public", "x", Some(&Map::new()), "standalone").expect("a plan");
    assert_eq!(empty, plan, "an empty body is as none");
    catalogue.apply_plan(&plan, 1);
    let shown = Value::Object(catalogue.namespace("public/x").expect("made").members().clone()).to_string();
    assert_eq!(shown, format!("{FRESH}{FRESH_REST}"));
}

#[test]
fn members_keep_their_order_however_they_are_set() {
    let mut policies = Policies::fresh("standalone");
    let mut names: Vec<&str> = FULL.split_whitespace().collect();
    names.reverse();
    let values = [
        json!(true),
        json!(5),
        json!("x"),
        json!("Prefix"),
        json!({}),
        json!([]),
        json!({"policy": "producer_exception"}),
    ];
    for name in &names {
        let set = values.iter().any(|value| policies.set(name, Some(value)).is_ok());
        assert!(set, "{name}");
    }
    let shown: Vec<&str> = policies.members().keys().map(String::as_str).collect();
    assert_eq!(shown, FULL.split_whitespace().collect::<Vec<_>>());
    for name in names {
        policies.set(name, None).expect("it is a member");
    }
    policies.set("replication_clusters", Some(&json!(["standalone"]))).expect("texts");
    policies.set("clusterThatCanDeleteNamespace", Some(&json!("standalone"))).expect("a text");
    assert_eq!(policies, Policies::fresh("standalone"), "unset members are absent again");
}

#[test]
fn a_namespace_body_is_checked_member_by_member() {
    let catalogue = started();
    let put = |body: Value| catalogue.plan_namespace("public", "x", Some(&object(body)), "standalone");
    let stored = |body: Value| {
        let plan = put(body).expect("a plan");
        serde_json::from_slice::<Value>(plan[0].value.as_ref().expect("a value")).expect("JSON")
    };
    let made = stored(json!({ "unknown": 1, "bundles": { "numBundles": 3 }, "properties": null,
        "retention_policies": { "retentionSizeInMB": "7" } }));
    assert_eq!(
        made["bundles"]["boundaries"],
        json!(["0x00000000", "0x55555555", "0xaaaaaaaa", "0xffffffff"])
    );
    assert_eq!(made["retention_policies"], json!({ "retentionTimeInMinutes": 0, "retentionSizeInMB": 7 }));
    assert_eq!((made.get("unknown"), &made["properties"]), (None, &json!({})));
    assert_eq!(refusal(put(json!({ "encryption_required": [] }))).0, 400);
    assert_eq!(refusal(put(json!({ "subscription_auth_mode": "Bad" }))).0, 400);
    assert_eq!(
        refusal(put(json!({ "message_ttl_in_seconds": -5 }))),
        (412, "Invalid value for message TTL".into())
    );
    assert_eq!(refusal(put(json!({ "bundles": { "numBundles": 1_u64 << 40 } }))).0, 412);
    let other =
        (403, "Cluster [b] is not in the list of allowed clusters list for tenant [public]".to_owned());
    assert_eq!(refusal(put(json!({ "replication_clusters": ["b"] }))), other);
    let plan = |tenant: &str, name: &str| refusal(catalogue.plan_namespace(tenant, name, None, "standalone"));
    assert_eq!(plan("none", "x"), (404, "Tenant does not exist".into()));
    assert_eq!(plan("public", "default"), (409, "Namespace already exists".into()));
    assert_eq!(plan("public", "a b"), (412, "Namespace name is not valid".into()));
    assert_eq!(plan("a b", "x"), (412, "Tenant name is not valid".into()));
}

#[test]
fn tenants_and_clusters() {
    let mut catalogue = started();
    let tenant = |catalogue: &Catalogue, name: &str, info: Option<Value>, new| {
        catalogue.plan_tenant(name, info.map(object).as_ref(), new, 3)
    };
    let good = json!({ "adminRoles": ["a"], "allowedClusters": ["standalone"], "more": 1 });
    let with = |key: &str, value: Value| {
        let mut info = good.clone();
        info[key] = value;
        Some(info)
    };
    let bad = |info| refusal(tenant(&catalogue, "t", info, true));
    assert_eq!(bad(None), (412, "TenantInfo is null".into()));
    assert_eq!(bad(Some(json!({}))), (412, "Clusters cannot be null".into()));
    assert_eq!(bad(with("allowedClusters", json!([]))), (412, "Clusters cannot be empty or blank".into()));
    assert_eq!(bad(with("allowedClusters", json!(["b"]))), (412, "Clusters do not exist".into()));
    assert_eq!(bad(with("adminRoles", json!([" a"]))).0, 412);
    assert_eq!(bad(with("adminRoles", json!(7))).0, 400);
    assert_eq!(
        refusal(tenant(&catalogue, "public", Some(good.clone()), true)),
        (409, "Tenant already exist".into())
    );
    assert_eq!(
        refusal(tenant(&catalogue, "t", Some(good.clone()), false)),
        (404, "Tenant t not found".into())
    );
    let plan = tenant(&catalogue, "t", Some(good.clone()), true).expect("a plan");
    catalogue.apply_plan(&plan, 1);
    assert_eq!(
        refusal(tenant(&catalogue, "u", Some(good.clone()), true)).0,
        412,
        "three tenants are the most"
    );
    let changed = tenant(&catalogue, "t", Some(good), false).expect("a plan");
    assert_eq!(changed[0].expect, Expect::Version(1));
    assert_eq!(
        refusal(catalogue.plan_tenant_delete("public")),
        (409, "The tenant still has active namespaces".into())
    );
    assert_eq!(refusal(catalogue.plan_tenant_delete("x")), (404, "Tenant doesn't exist".into()));
    catalogue.apply_plan(&catalogue.plan_tenant_delete("t").expect("a plan"), 2);
    assert_eq!(catalogue.tenants().collect::<Vec<_>>(), ["public", "pulsar"]);

    let cluster = |name: &str, new| catalogue.plan_cluster(name, &Map::new(), new);
    assert_eq!(refusal(cluster("standalone", true)), (409, "Cluster already exists".into()));
    assert_eq!(refusal(cluster("b", false)), (404, "Cluster does not exist".into()));
    assert_eq!(refusal(cluster("b/c", true)), (412, "Cluster name is not valid".into()));
    assert_eq!(refusal(catalogue.plan_cluster_delete("standalone", "standalone")).0, 412);
    assert_eq!(cluster("b", true).expect("a plan")[0].key, "cluster/b");
}

#[test]
fn partitioned_topics_grow_and_never_shrink() {
    let mut catalogue = started();
    let base = topic("p");
    let none = Map::new();
    let put =
        |catalogue: &Catalogue, name: &str, count| catalogue.plan_partitioned(&topic(name), count, &none, 10);
    assert_eq!(refusal(put(&catalogue, "p", 0)), (406, "Number of partitions should be more than 0".into()));
    assert_eq!(refusal(put(&catalogue, "p", 11)).0, 406);
    assert_eq!(refusal(put(&catalogue, "p-partition-0", 2)).0, 412);
    assert_eq!(refusal(put(&catalogue, "p-partition-x", 2)).0, 412, "anywhere in the name");
    assert_eq!(refusal(put(&catalogue, "public/none/p", 2)), (404, "Namespace not found".into()));
    let plan = put(&catalogue, "p", 3).expect("a plan");
    catalogue.apply_plan(&plan, 5);
    assert_eq!((catalogue.partitions(&base), catalogue.partitions(&topic("q"))), (3, 0));
    assert_eq!(refusal(put(&catalogue, "p", 3)), (409, "This topic already exists".into()));
    let grow = |catalogue: &Catalogue, count| catalogue.plan_partitions(&base, count, 10);
    for count in [2, 0, -1, i64::MAX] {
        assert_eq!(refusal(grow(&catalogue, count)).0, 422, "{count}");
    }
    assert_eq!(grow(&catalogue, 3), Ok(Vec::new()));
    let reason = "Topic persistent://public/default/q is not the partitioned topic.";
    assert_eq!(refusal(catalogue.plan_partitions(&topic("q"), 4, 10)), (409, reason.into()));
    let plan = grow(&catalogue, 5).expect("a plan");
    assert_eq!(plan[0].expect, Expect::Version(5));
    catalogue.apply_plan(&plan, 6);
    let listed: Vec<_> =
        catalogue.partitioned_of("public/default").map(|(name, record)| (name, record.partitions)).collect();
    assert_eq!(listed, [("persistent://public/default/p", 5)]);
    catalogue.apply_plan(&catalogue.plan_topic_gone(&base), 7);
    assert_eq!(catalogue.partitions(&base), 0);
}

#[test]
fn a_topics_word_counts_before_its_namespaces_and_that_before_the_brokers() {
    let mut catalogue = started();
    let (name, broker) = (topic("t-partition-1"), Effective::default());
    let mut change = |plan: Plan| {
        let plan = plan.expect("a plan");
        catalogue.apply_plan(&plan, 1);
        catalogue.effective(&name, &broker)
    };
    let namespace = "public/default";
    let copy = started();
    let rules = change(copy.plan_policy(namespace, "max_producers_per_topic", Some(&json!(4))));
    assert_eq!((rules.settings.producers_max, rules.settings.partition), (4, 1));
    let rules = change(copy.plan_topic_policy(&name, "max_producers_per_topic", Some(&json!(2))));
    assert_eq!(rules.settings.producers_max, 2, "a partition goes by its base's policies");
    let rate = json!({ "dispatchThrottlingRateInMsg": 10, "relativeToPublishRate": true });
    let rules = change(copy.plan_policy_entry(namespace, "topicDispatchRate", "standalone", Some(&rate)));
    assert_eq!(
        (rules.dispatch_rate.messages, rules.dispatch_rate.bytes, rules.dispatch_rate.relative),
        (10, 0, true)
    );
    let quota = json!({ "limit": 100, "policy": "producer_exception" });
    let rules =
        change(copy.plan_policy_entry(namespace, "backlog_quota_map", "destination_storage", Some(&quota)));
    assert_eq!(rules.backlog_size, BacklogQuota { limit: 100, policy: BacklogPolicy::Refuse });
    assert_eq!(rules.backlog_age.limit, -1);
    let off = json!({ "allowAutoTopicCreation": false });
    change(copy.plan_policy(namespace, "autoTopicCreationOverride", Some(&off)));
    assert!(!catalogue.allows_auto_creation(namespace, &broker));
    assert!(!catalogue.allows_auto_creation("public/none", &broker), "there is no such namespace");
    assert!(catalogue.allows_auto_creation("pulsar/system", &broker));
}

#[test]
fn all_members_act_where_they_should() {
    let mut catalogue = started();
    let set = [
        ("deduplicationEnabled", json!(true)),
        ("message_ttl_in_seconds", json!(30)),
        ("encryption_required", json!(true)),
        (
            "delayed_delivery_policies",
            json!({ "tickTime": 50, "active": true, "maxDeliveryDelayInMillis": 9 }),
        ),
        ("subscription_types_enabled", json!(["Shared", "Key_Shared"])),
        ("schema_compatibility_strategy", json!("BACKWARD")),
        (
            "inactive_topic_policies",
            json!({ "deleteWhileInactive": true, "maxInactiveDurationSeconds": 3,
            "inactiveTopicDeleteMode": "delete_when_subscriptions_caught_up" }),
        ),
        ("publishMaxMessageRate", json!({ "standalone": { "publishThrottlingRateInMsg": 8 } })),
        ("clusterSubscribeRate", json!({ "standalone": { "subscribeThrottlingRatePerConsumer": 2 } })),
        (
            "autoTopicCreationOverride",
            json!({ "allowAutoTopicCreation": true, "topicType": "partitioned", "defaultNumPartitions": 4 }),
        ),
    ];
    for (member, value) in set {
        let plan = catalogue.plan_policy("public/default", member, Some(&value)).expect(member);
        catalogue.apply_plan(&plan, 2);
        assert_eq!(
            catalogue.plan_policy("public/default", member, Some(&value)),
            Ok(Vec::new()),
            "{member} is set"
        );
    }
    let broker = Effective::default();
    let rules = catalogue.effective(&topic("t"), &broker);
    assert!(rules.settings.deduplication && rules.settings.encryption_required && rules.inactive.caught_up);
    assert_eq!((rules.ttl_seconds, rules.subscription_types), (30, [false, true, false, true]));
    assert_eq!((rules.settings.delayed_tick.as_millis(), rules.delay_max.as_millis()), (50, 9));
    assert_eq!((rules.schema_compatibility.as_str(), rules.publish_rate.messages), ("BACKWARD", 8));
    assert_eq!((rules.subscribe_rate.subscribes, rules.subscribe_rate.period.as_secs()), (2, 30));
    assert_eq!(catalogue.auto_creation("public/default", &broker).partitions, Some(4));
    let volatile = catalogue.effective(&topic("non-persistent://public/default/t"), &broker);
    assert!(!volatile.settings.deduplication, "nothing to compare with");
}

#[test]
fn a_namespace_takes_along_what_is_below_it() {
    let mut catalogue = started();
    let (base, plain) = (topic("p"), topic("t"));
    let record = SchemaRecord {
        kind: "AVRO".into(),
        timestamp: 7,
        data: b"\"string\"".to_vec(),
        properties: Map::new(),
        deleted: false,
    };
    let (version, schema) = catalogue.plan_schema("public/default/t", &record);
    assert_eq!((version, schema.key.as_str()), (0, "schema/public/default/t/0000000000"));
    let mut plan = vec![schema];
    plan.extend(catalogue.plan_partitioned(&base, 2, &Map::new(), 0).expect("a plan"));
    plan.extend(catalogue.plan_topic_policy(&plain, "max_message_size", Some(&json!(100))).expect("a plan"));
    catalogue.apply_plan(&plan, 3);
    assert_eq!(catalogue.settings(&plain, &Effective::default()).message_size_max, 100);
    let merged = catalogue.plan_properties(&base, &object(json!({ "k": "v" })), None).expect("a plan");
    catalogue.apply_plan(&merged, 4);
    assert_eq!(catalogue.partitioned(&base).expect("made").properties, object(json!({ "k": "v" })));
    assert_eq!(catalogue.plan_properties(&base, &Map::new(), Some("x")), Ok(Vec::new()));
    assert_eq!(refusal(catalogue.plan_properties(&plain, &Map::new(), None)).0, 404);
    assert_eq!(catalogue.schemas("public/default/t").collect::<Vec<_>>(), [(0, &record)]);
    assert_eq!(catalogue.plan_schema("public/default/t", &record).0, 1);
    let mut alone = catalogue.clone();
    alone.apply_plan(&catalogue.plan_topic_gone(&plain), 4);
    assert!(alone.topic_policies(&plain).is_none());
    assert_eq!((alone.schemas("public/default/t").count(), alone.partitions(&base)), (0, 2));

    let plan = catalogue.plan_namespace_delete("public/default").expect("a plan");
    catalogue.apply_plan(&plan, 4);
    let mut expected = started();
    expected.apply("namespace/public/default", 4, None);
    assert_eq!(catalogue, expected);
    assert_eq!(refusal(catalogue.plan_namespace_delete("public/default")).0, 404);
}

#[test]
fn records_that_cannot_be_read_are_left_out_and_counted() {
    let mut catalogue = started();
    let before = catalogue.clone();
    for (key, value) in [
        ("tenant/x", &b"\xff"[..]),
        ("tenant/x", b"[]"),
        ("something/x", b"{}"),
        ("none", b"{}"),
        ("schema/public/default/t/x", b"{}"),
        ("schema/public/default/t/0", b"{}"),
    ] {
        catalogue.apply(key, 1, Some(value));
    }
    assert_eq!(catalogue.unreadable(), 6);
    assert_eq!(Catalogue { unreadable: 0, ..catalogue.clone() }, before);
    catalogue.apply(
        "namespace/public/odd",
        1,
        Some(br#"{"encryption_required":{},"max_producers_per_topic":3}"#),
    );
    let odd = catalogue.namespace("public/odd").expect("the rest of it is good");
    assert_eq!(
        (odd.get("encryption_required"), odd.get("max_producers_per_topic")),
        (Some(&json!(false)), Some(&json!(3)))
    );
}

#[test]
fn random_bodies_never_panic_and_what_is_stored_reads_back_the_same() {
    let mut random = Prng::new(11);
    let catalogue = started();
    let pieces =
        ["{", "}", "[", "]", ":", ",", "1", "-1", "1e99", "true", "null", "\"policy\"", "\"limit\"", "\"x\""];
    let names: Vec<String> = Policies::fresh("c").members().keys().map(|name| format!("{name:?}")).collect();
    let mut stored = 0;
    for round in 0..4_000 {
        let mut text = String::from("{");
        for _ in 0..random.below(4) {
            let value: String = (0..1 + random.below(3)).map(|_| pieces[random.below(14) as usize]).collect();
            text += &format!(
                "{}{}:{value}",
                if text.len() > 1 { "," } else { "" },
                names[random.below(names.len() as u64) as usize]
            );
        }
        text.push('}');
        let Ok(Value::Object(map)) = serde_json::from_str::<Value>(&text) else { continue };
        if let Ok(plan) = catalogue.plan_namespace("public", "x", Some(&map), "standalone") {
            let mut copy = catalogue.clone();
            copy.apply_plan(&plan, 2);
            let read = copy.namespace("public/x").expect("stored").members();
            let written = plan[0].value.clone().expect("a value");
            assert_eq!(serde_json::to_vec(read).expect("JSON"), written, "seed 11, round {round}: {text}");
            copy.effective(&topic("public/x/t"), &Effective::default());
            stored += 1;
        }
    }
    assert!(stored > 20, "the generator makes bodies that are accepted: {stored}");
}
