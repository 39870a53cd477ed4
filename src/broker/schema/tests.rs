//! Resolution rule by rule (Avro specification 1.11), strategies, versions.

use serde_json::{Map, Value, json};

use super::*;
use crate::base::prng::Prng;

fn schema(value: &Value) -> avro::Schema {
    avro::Schema::parse(value.to_string().as_bytes()).expect("a schema")
}

/// Whether the first reads what the second writes.
fn reads(reader: &Value, writer: &Value) -> bool {
    avro::can_read(&schema(reader), &schema(writer)).is_ok()
}

fn record(fields: Value) -> Value {
    json!({ "type": "record", "name": "r", "namespace": "n", "fields": fields })
}

#[test]
fn primitives_are_promoted_one_way() {
    let names = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
    let promoted = [
        ("long", "int"),
        ("float", "int"),
        ("double", "int"),
        ("float", "long"),
        ("double", "long"),
        ("double", "float"),
        ("string", "bytes"),
        ("bytes", "string"),
    ];
    for reader in names {
        for writer in names {
            let expected = reader == writer || promoted.contains(&(reader, writer));
            assert_eq!(reads(&json!(reader), &json!(writer)), expected, "{reader} reads {writer}");
        }
    }
}

#[test]
fn records_need_what_they_read_or_a_default() {
    let a = json!({ "name": "a", "type": "int" });
    let b = json!({ "name": "b", "type": "string" });
    let with_default = json!({ "name": "b", "type": ["null", "string"], "default": null });
    let (one, two, three) = (record(json!([a])), record(json!([a, b])), record(json!([a, with_default])));
    assert!(reads(&one, &two), "what is not read is skipped");
    assert!(!reads(&two, &one) && reads(&three, &one));
    assert!(reads(&three, &two) && !reads(&two, &three), "null is written, too");
    let renamed = record(json!([{ "name": "x", "aliases": ["a"], "type": "long" }]));
    assert!(reads(&renamed, &one) && !reads(&one, &renamed));
    let other = json!({ "type": "record", "name": "q", "fields": [a] });
    let alias = json!({ "type": "record", "name": "q", "aliases": ["n.r"], "fields": [a] });
    assert!(!reads(&other, &one) && reads(&alias, &one));
    let moved = json!({ "type": "record", "name": "r", "namespace": "m", "fields": [a] });
    assert!(reads(&moved, &one), "a name counts without its namespace");
}

#[test]
fn unions_enums_and_collections() {
    let color = |symbols: Value| json!({ "type": "enum", "name": "c", "symbols": symbols });
    assert!(reads(&color(json!(["A", "B"])), &color(json!(["A"]))));
    assert!(!reads(&color(json!(["A"])), &color(json!(["A", "B"]))));
    let with_default = json!({ "type": "enum", "name": "c", "symbols": ["A"], "default": "A" });
    assert!(reads(&with_default, &color(json!(["A", "B"]))));
    assert!(reads(&json!(["null", "long"]), &json!("int")) && !reads(&json!("int"), &json!(["null", "int"])));
    assert!(reads(&json!(["string", "null"]), &json!(["null", "string"])));
    assert!(reads(&json!("long"), &json!(["int", "long"])), "each branch is readable");
    let list = |of: &str| json!({ "type": "array", "items": of });
    let map = |of: &str| json!({ "type": "map", "values": of });
    assert!(reads(&list("long"), &list("int")) && !reads(&list("int"), &list("long")));
    assert!(reads(&map("long"), &map("int")) && !reads(&map("int"), &list("int")));
    let fixed = |size: u32| json!({ "type": "fixed", "name": "f", "size": size });
    assert!(reads(&fixed(4), &fixed(4)) && !reads(&fixed(4), &fixed(5)));
}

#[test]
fn types_that_hold_themselves_are_compared_to_an_end() {
    let list = |of: &str, more: Value| {
        let mut fields = vec![
            json!({ "name": "value", "type": of }),
            json!({ "name": "next", "type": ["null", "n.r"], "default": null }),
        ];
        fields.extend(more.as_array().expect("a list").clone());
        record(Value::Array(fields))
    };
    assert!(reads(&list("long", json!([])), &list("int", json!([]))));
    assert!(!reads(&list("int", json!([])), &list("long", json!([]))));
    let missing = json!([{ "name": "more", "type": "int" }]);
    assert!(!reads(&list("int", missing.clone()), &list("int", json!([]))));
    assert!(reads(&list("int", json!([])), &list("int", missing)));
}

#[test]
fn what_is_no_schema_is_refused() {
    for text in [
        "",
        "{",
        "1",
        "\"nothing\"",
        r#"{"type":"record","name":"r"}"#,
        r#"{"type":"record","fields":[]}"#,
        r#"{"type":"enum","name":"e"}"#,
        r#"{"type":"fixed","name":"f"}"#,
        r#"{"type":"array"}"#,
        r#"[["int"]]"#,
        r#"{"type":"record","name":"r","fields":[{"name":"a"}]}"#,
        r#"{"type":"record","name":"r","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
    ] {
        assert!(avro::Schema::parse(text.as_bytes()).is_err(), "{text}");
    }
    let deep = format!("{}\"int\"{}", "{\"type\":".repeat(10_000), "}".repeat(10_000));
    assert!(avro::Schema::parse(deep.as_bytes()).is_err(), "depth is bounded");
}

fn version(kind: &str, data: &Value) -> SchemaRecord {
    SchemaRecord {
        kind: kind.to_owned(),
        timestamp: 1,
        data: data.to_string().into_bytes(),
        properties: Map::new(),
        deleted: false,
    }
}

fn add(catalogue: &mut Catalogue, record: &SchemaRecord) {
    let (_, change) = catalogue.plan_schema("t/n/x", record);
    catalogue.apply_plan(&[change], 1);
}

#[test]
fn strategies_say_who_must_read_whom() {
    let a = json!({ "name": "a", "type": "int" });
    let b = json!({ "name": "b", "type": "int" });
    let c = json!({ "name": "c", "type": "int", "default": 0 });
    let mut catalogue = Catalogue::default();
    let new = |catalogue: &Catalogue, record: &SchemaRecord, strategy: &str| {
        verdict(catalogue, "t/n/x", record, strategy)
    };
    let first = version("AVRO", &record(json!([a, b])));
    assert_eq!(new(&catalogue, &first, "FULL"), Verdict::New);
    add(&mut catalogue, &first);
    assert_eq!(
        new(&catalogue, &first, "ALWAYS_INCOMPATIBLE"),
        Verdict::Known(0),
        "the same bytes are the same version"
    );
    let fits = |catalogue: &Catalogue, record: &SchemaRecord| {
        let all =
            ["BACKWARD", "FORWARD", "FULL", "BACKWARD_TRANSITIVE", "FORWARD_TRANSITIVE", "FULL_TRANSITIVE"];
        all.map(|strategy| u8::from(new(catalogue, record, strategy) == Verdict::New))
    };
    let fewer = version("AVRO", &record(json!([a])));
    assert_eq!(fits(&catalogue, &fewer), [1, 0, 0, 1, 0, 0]);
    let more = version("AVRO", &record(json!([a, b, c])));
    assert_eq!(fits(&catalogue, &more), [1; 6]);
    add(&mut catalogue, &fewer);
    let back = version("AVRO", &record(json!([a, b, c])));
    assert_eq!(fits(&catalogue, &back), [0, 1, 0, 0, 1, 0], "the newest has no b");
    let third = version("AVRO", &record(json!([a, { "name": "b", "type": "string", "default": "" }])));
    assert_eq!(fits(&catalogue, &third), [1, 1, 1, 0, 0, 0], "the newest has no b, the first another one");
    let json = version("JSON", &record(json!([a])));
    assert!(matches!(new(&catalogue, &json, "FULL"), Verdict::Refused(_)));
    assert_eq!(new(&catalogue, &json, "ALWAYS_COMPATIBLE"), Verdict::New);
    let deleted = SchemaRecord { deleted: true, ..version("NONE", &json!(null)) };
    add(&mut catalogue, &deleted);
    assert_eq!((new(&catalogue, &json, "FULL"), find(&catalogue, "t/n/x", &first)), (Verdict::New, None));
}

#[test]
fn other_types_stay_as_they_are() {
    let mut catalogue = Catalogue::default();
    let first = version("PROTOBUF_NATIVE", &json!("a"));
    add(&mut catalogue, &first);
    let second = version("PROTOBUF_NATIVE", &json!("b"));
    assert!(matches!(verdict(&catalogue, "t/n/x", &second, "FULL"), Verdict::Refused(_)));
    assert_eq!(verdict(&catalogue, "t/n/x", &second, "ALWAYS_COMPATIBLE"), Verdict::New);
    assert_eq!(consumer_verdict(&catalogue, "t/n/x", &second, "ALWAYS_COMPATIBLE"), Verdict::Known(0));
    assert!(
        check(&version("AVRO", &json!("nothing"))).is_err() && check(&version("JSON", &json!({}))).is_ok()
    );
}

/// A random schema of few names, so that pairs often match.
fn random_type(random: &mut Prng, depth: u32) -> Value {
    let primitive = ["int", "long", "string", "null", "double"];
    match random.below(if depth == 0 { 5 } else { 9 }) {
        kind @ 0..5 => json!(primitive[kind as usize]),
        5 => json!({ "type": "array", "items": random_type(random, depth - 1) }),
        6 => json!({ "type": "map", "values": random_type(random, depth - 1) }),
        7 => json!(["null", random_type(random, 0)]),
        _ => {
            let fields: Vec<Value> = (0..random.below(3))
                .map(|field| json!({ "name": format!("f{field}"), "type": random_type(random, depth - 1), "default": 0 }))
                .collect();
            json!({ "type": "record", "name": format!("r{}", random.below(1000)), "fields": fields })
        }
    }
}

#[test]
fn every_random_schema_reads_itself() {
    let mut random = Prng::new(5);
    for round in 0..2000 {
        let value = random_type(&mut random, 3);
        let (text, other) = (value.to_string(), random_type(&mut random, 3).to_string());
        let Ok(one) = avro::Schema::parse(text.as_bytes()) else { continue }; // a name came twice
        assert_eq!(avro::can_read(&one, &one), Ok(()), "seed 5, round {round}: {text}");
        if let Ok(two) = avro::Schema::parse(other.as_bytes()) {
            // Any answer will do: it ends and does not panic.
            let _answer = (avro::can_read(&one, &two), avro::can_read(&two, &one));
        }
    }
}
