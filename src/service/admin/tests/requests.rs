//! Topics, their policies, lookups and schemas, request by request.

use serde_json::{Value, json};

use super::World;

#[test]
fn plain_topics() {
    let mut world = World::new();
    let t = "persistent/public/default/t";
    assert_eq!(world.call("PUT", t, ""), (204, String::new()));
    assert_eq!(world.call("PUT", t, ""), (409, r#"{"reason":"This topic already exists"}"#.to_owned()));
    assert_eq!(world.json("persistent/public/default"), json!(["persistent://public/default/t"]));
    assert_eq!(world.json("non-persistent/public/default"), json!([]));
    assert_eq!(world.json("namespaces/public/default/topics"), json!(["persistent://public/default/t"]));
    assert_eq!(world.json(&format!("{t}/partitions")), json!({ "partitions": 0, "deleted": false }));
    assert_eq!(world.status("GET", "persistent/public/default/none/partitions", ""), 404);
    let created = world.json("persistent/public/default/none/partitions?checkAllowAutoCreation=true");
    assert_eq!((created, world.topics.len()), (json!({ "partitions": 0, "deleted": false }), 1));
    assert_eq!(world.status("PUT", &format!("{t}/subscription/s"), "\"earliest\""), 204);
    assert_eq!(world.status("PUT", &format!("{t}/subscription/pulsar.dedup"), ""), 412);
    assert_eq!(world.status("PUT", &format!("{t}/subscription/s"), "\"nowhere\""), 400);
    assert_eq!(world.json(&format!("{t}/subscriptions")), json!(["s"]));
    let stats = world.json(&format!("{t}/stats"));
    assert_eq!((&stats["ownerBroker"], &stats["msgInCounter"]), (&json!("h:8080"), &json!(2)));
    assert_eq!(stats["msgRateIn"].to_string(), "0.0");
    assert_eq!(world.status("PUT", "persistent/public/none/t", ""), 404);
    assert_eq!(world.status("PUT", "persistent/public/default/t-partition-0", ""), 412);
    assert_eq!(
        world.status("PUT", "persistent/public/default/a%2Fb", ""),
        204,
        "of namespace public/default/a"
    );
    assert_eq!(world.json("persistent/public/default/a%2Fb/subscriptions"), json!([]));
    assert_eq!(world.json("persistent/public/default"), json!(["persistent://public/default/t"]));
    assert_eq!(world.status("PUT", "persistent/public/global/a%2Fb", ""), 404);
    assert_eq!(world.status("PUT", &format!("{t}/partitions"), "3"), 409);
    assert_eq!(world.status("POST", &format!("{t}/partitions"), "3"), 409);
    assert_eq!(world.status("DELETE", &format!("{t}/partitions"), ""), 409);
    assert_eq!(world.status("DELETE", t, ""), 204);
    assert_eq!(world.status("DELETE", t, ""), 404);
}

#[test]
fn partitioned_topics_from_creation_to_deletion() {
    let mut world = World::new();
    let p = "persistent/public/default/p";
    assert_eq!(world.status("PUT", &format!("{p}/partitions"), "0"), 406);
    assert_eq!(world.status("PUT", &format!("{p}/partitions"), ""), 400);
    assert_eq!(world.status("PUT", &format!("{p}/partitions"), "\"x\""), 400);
    assert_eq!(
        world.status("PUT", &format!("{p}/partitions"), r#"{"partitions":2,"properties":{"k":"v"}}"#),
        204
    );
    assert_eq!(world.status("PUT", &format!("{p}/partitions"), "2"), 409);
    assert_eq!(world.status("PUT", p, ""), 409);
    assert_eq!(world.topics.len(), 2);
    let shown = json!({ "partitions": 2, "deleted": false, "properties": { "k": "v" } });
    assert_eq!(world.json(&format!("{p}/partitions")), shown);
    assert_eq!(world.json("persistent/public/default/partitioned"), json!(["persistent://public/default/p"]));
    assert_eq!(world.status("PUT", &format!("{p}/subscription/s"), ""), 204);
    let first = "persistent://public/default/p-partition-0".to_owned();
    world.topics.entry(first).or_default().insert("reader-1".into());
    assert_eq!(world.status("POST", &format!("{p}/partitions"), "1"), 422);
    assert_eq!(world.status("POST", &format!("{p}/partitions"), "4"), 204);
    let last = &world.topics["persistent://public/default/p-partition-3"];
    assert_eq!(last.iter().collect::<Vec<_>>(), ["s"], "durable subscriptions come along, readers do not");
    assert_eq!(world.json(&format!("{p}/subscriptions")), json!(["reader-1", "s"]));
    assert_eq!(world.status("GET", &format!("{p}/stats"), ""), 404);
    let stats = world.json(&format!("{p}/partitioned-stats?perPartition=true"));
    assert_eq!((&stats["msgInCounter"], &stats["metadata"]["partitions"]), (&json!(8), &json!(4)));
    assert_eq!(stats["partitions"].as_object().expect("a map").len(), 4);
    assert_eq!(world.status("POST", &format!("{p}/terminate"), ""), 405);
    assert_eq!(world.status("DELETE", p, ""), 409);
    assert_eq!(world.status("DELETE", &format!("{p}/partitions"), ""), 204);
    assert_eq!((world.topics.len(), world.json("persistent/public/default/partitioned")), (0, json!([])));
    assert_eq!(world.status("GET", &format!("{p}/partitions"), ""), 404);
    assert_eq!(world.status("PUT", "persistent/public/default/busy/partitions", "1"), 204);
    let (status, body) = world.call("DELETE", "persistent/public/default/busy/partitions", "");
    assert_eq!((status, body.as_str()), (412, r#"{"reason":"Topic has active producers/subscriptions"}"#));
    assert_eq!(world.json("persistent/public/default/busy/partitions")["partitions"], 1, "the record stays");
    assert_eq!(world.status("DELETE", "persistent/public/default/busy/partitions?force=true", ""), 204);
}

#[test]
fn topic_policies_and_what_holds() {
    let mut world = World::new();
    let t = "persistent/public/default/t";
    assert_eq!(world.status("GET", &format!("{t}/retention"), ""), 404);
    assert_eq!(world.status("PUT", t, ""), 204);
    assert_eq!(world.call("GET", &format!("{t}/messageTTL"), ""), (200, String::new()));
    assert_eq!(world.json(&format!("{t}/messageTTL?applied=true")), json!(0));
    assert_eq!(world.status("POST", &format!("{t}/messageTTL?messageTTL=7"), ""), 204);
    assert_eq!(world.json(&format!("{t}/messageTTL?applied=true")), json!(7));
    assert_eq!(world.status("GET", &format!("{t}/publishRate"), ""), 204);
    assert_eq!(world.json(&format!("{t}/maxUnackedMessagesOnConsumer?applied=true")), json!(50_000));
    assert_eq!(world.json(&format!("{t}/schemaCompatibilityStrategy?applied=true")), json!("FULL"));
    assert_eq!(world.status("POST", "namespaces/public/default/maxProducersPerTopic", "4"), 204);
    assert_eq!(world.json(&format!("{t}/maxProducers?applied=true")), json!(4));
    assert_eq!(world.status("POST", &format!("{t}/maxProducers"), "-1"), 412);
    assert_eq!(world.json(&format!("{t}/backlogQuotaMap")), json!({}));
    let quota = r#"{"limitTime":5,"policy":"producer_exception"}"#;
    assert_eq!(world.status("POST", &format!("{t}/backlogQuota?backlogQuotaType=message_age"), quota), 204);
    assert_eq!(world.json(&format!("{t}/backlogQuotaMap"))["message_age"]["limitTime"], 5);
    assert_eq!(world.status("DELETE", &format!("{t}/backlogQuota?backlogQuotaType=message_age"), ""), 204);
    assert_eq!(world.status("DELETE", t, ""), 204);
    assert!(world.stored.keys().all(|key| !key.starts_with("policies/")), "they go with their topic");
}

#[test]
fn lookups_brokers_and_metrics() {
    let mut world = World::new();
    let found = world.send("GET", "/lookup/v2/topic/persistent/public/default/t", "").expect("an answer");
    let found: Value = serde_json::from_slice(&found.body).expect("JSON");
    assert_eq!(
        (&found["brokerUrl"], &found["httpUrl"]),
        (&json!("pulsar://h:6650"), &json!("http://h:8080"))
    );
    assert!(found.get("brokerUrlTls").is_some(), "one client wants the key");
    let none = world.send("GET", "/lookup/v2/topic/persistent/public/none/t", "").expect("an answer");
    assert_eq!(none.status, 404);
    let range =
        world.send("GET", "/lookup/v2/topic/persistent/public/default/t/bundle", "").expect("an answer");
    assert!(range.body.starts_with(b"0x"), "{range:?}");
    assert_eq!(world.json("brokers"), json!(["h:8080"]));
    assert_eq!(world.json("brokers/standalone"), json!(["h:8080"]));
    assert_eq!(world.call("GET", "brokers/version", ""), (200, "4.0.7".to_owned()));
    assert_eq!(world.call("GET", "brokers/health?topicVersion=V2", ""), (200, "ok".to_owned()));
    assert_eq!(world.json("brokers/configuration/runtime"), json!({ "maxTenants": "0" }));
    assert_eq!(world.json("brokers/standalone/h:8080/ownedNamespaces").as_object().expect("a map").len(), 8);
    assert_eq!(world.json("broker-stats/load-report")["numBundles"], 8);
    let metrics = world.send("GET", "/metrics/", "").expect("an answer");
    assert!(metrics.content_type.starts_with("text/plain; version=0.0.4"), "{metrics:?}");
}

#[test]
fn schemas_over_rest() {
    let mut world = World::new();
    let path = "schemas/public/default/t";
    let body = |fields: &str| {
        let schema = json!({ "type": "record", "name": "r", "fields": serde_json::from_str::<Value>(fields).expect("JSON") });
        json!({ "type": "AVRO", "schema": schema.to_string(), "properties": {} }).to_string()
    };
    let (one, more) = (body(r#"[{"name":"a","type":"int"}]"#), body(r#"[{"name":"b","type":"int"}]"#));
    assert_eq!(world.status("GET", &format!("{path}/schema"), ""), 404);
    assert_eq!(
        world.call("POST", &format!("{path}/schema"), &one),
        (200, r#"{"version":{"version":0}}"#.to_owned())
    );
    assert_eq!(
        world.call("POST", &format!("{path}/schema"), &one),
        (200, r#"{"version":{"version":0}}"#.to_owned())
    );
    assert_eq!(world.status("POST", &format!("{path}/schema"), &more), 409);
    let (status, body) = world.call("POST", &format!("{path}/compatibility"), &more);
    assert_eq!(
        (status, body.as_str()),
        (202, r#"{"schemaCompatibilityStrategy":"FULL","compatibility":false}"#)
    );
    assert_eq!(world.call("POST", &format!("{path}/version"), &one), (200, r#"{"version":0}"#.to_owned()));
    assert_eq!(world.call("POST", &format!("{path}/version"), &more), (200, r#"{"version":-1}"#.to_owned()));
    assert_eq!(world.json(&format!("{path}/schema/0"))["type"], "AVRO");
    assert_eq!(world.call("DELETE", &format!("{path}/schema"), ""), (200, r#"{"version":1}"#.to_owned()));
    assert_eq!(world.status("GET", &format!("{path}/schema"), ""), 404);
    assert_eq!(
        world.call("POST", &format!("{path}/schema"), &more),
        (200, r#"{"version":{"version":2}}"#.to_owned())
    );
    let bad = r#"{"type":"AVRO","schema":"{","properties":{}}"#;
    assert_eq!(world.status("POST", &format!("{path}/schema"), bad), 422);
    assert_eq!(world.status("POST", &format!("{path}/schema"), r#"{"type":"X","schema":""}"#), 400);
}
