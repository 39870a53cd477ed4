//! Messages that travel alone: metadata, acks, routing, encryption.

use super::*;

#[test]
fn a_message_is_acked_with_its_place_and_context() {
    let mut bench = Bench::new(spec(), 0);
    bench.text(r#"{"payload":"SGVsbG8=","context":"1"}"#);
    bench.text(r#"{"payload":""}"#);
    assert_eq!((bench.producer.pending_messages(), bench.answers().len()), (2, 0));
    let written = bench.written(0);
    assert_eq!(
        (written[0].body.as_slice(), written[1].body.as_slice()),
        (b"Hello".as_slice(), b"".as_slice())
    );
    assert_eq!((written[0].sequence_id, written[1].sequence_id), (0, 1));
    bench.now = bench.now + Duration::from_micros(700);
    assert_eq!(bench.receipt(0, 0, Some(0), 0), Verdict::Fine);
    assert_eq!(bench.receipt(0, 1, Some(0), 1), Verdict::Fine);
    let id = |entry| {
        let mut text = Vec::new();
        MessageId::plain(LEDGER, entry).put_text(&mut text);
        String::from_utf8(text).unwrap()
    };
    let first =
        json!({"result": "ok", "messageId": id(0), "context": "1", "errorCode": 0, "schemaVersion": 0});
    let second = json!({"result": "ok", "messageId": id(1), "errorCode": 0, "schemaVersion": 0});
    assert_eq!(bench.answers(), [first, second]);
    bench.assert_idle();
    let counters = bench.producer.counters();
    assert_eq!((counters.published, counters.failures), ((2, 5), 0));
    assert_eq!(counters.latency, [0, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(counters.latency_sum_micros, 2 * 700);
}

#[test]
fn latency_bounds_are_upper_bounds() {
    for (micros, bucket) in [(0, 0), (500, 0), (501, 1), (1_000_000, 8), (1_000_001, 9), (90_000_000, 9)] {
        let mut bench = Bench::new(ProducerSpec { send_timeout: None, ..spec() }, 0);
        bench.send("a");
        bench.written(0);
        bench.now = bench.now + Duration::from_micros(micros);
        bench.receipt(0, 0, None, 0);
        assert_eq!(bench.producer.counters().latency[bucket], 1, "{micros}");
    }
}

#[test]
fn metadata_is_what_the_official_client_writes() {
    let mut bench = Bench::new(ProducerSpec { compression: CompressionType::Lz4, ..spec() }, 0);
    let members = json!({"key": "k", "properties": {"a": "b", "c": 5}, "eventTime": "2026-01-02T03:04:05Z",
        "replicationClusters": ["x"], "deliverAt": 1893456000123_i64, "sequenceId": 77,
        "encryptionParam": "!!"});
    bench.request(&"x".repeat(200), members);
    let written = bench.written(0).remove(0);
    assert_eq!(written.body, "x".repeat(200).as_bytes());
    let metadata = written.metadata;
    assert_eq!((metadata.producer_name.as_str(), metadata.publish_time), ("p", 1_700_000_000_000));
    let properties: Vec<_> =
        metadata.properties.iter().map(|pair| (pair.key.as_str(), pair.value.as_str())).collect();
    assert_eq!(properties, [("a", "b"), ("c", "5")]);
    assert_eq!(
        (metadata.partition_key.as_deref(), metadata.partition_key_b64_encoded),
        (Some("k"), Some(false))
    );
    assert_eq!(metadata.replicate_to, ["x"]);
    assert_eq!(
        (metadata.compression, metadata.uncompressed_size),
        (Some(CompressionType::Lz4 as i32), Some(200))
    );
    assert_eq!(
        (metadata.event_time, metadata.deliver_at_time),
        (Some(1_767_323_045_000), Some(1_893_456_000_123))
    );
    assert_eq!((metadata.num_messages_in_batch, metadata.highest_sequence_id), (None, None));
    assert_eq!((metadata.encryption_param, metadata.encryption_keys.len()), (None, 0));
}

#[test]
fn every_compression_carries_every_size() {
    for codec in 0..5 {
        let compression = CompressionType::from_wire(codec).unwrap();
        let mut bench = Bench::new(ProducerSpec { compression, ..spec() }, 0);
        let bodies = ["", "x", &"x".repeat(5000)];
        bodies.iter().for_each(|body| bench.send(body));
        let written = bench.written(0);
        assert_eq!(written.iter().flat_map(Written::bodies).collect::<Vec<_>>(), bodies);
        let named =
            written.iter().all(|entry| entry.metadata.compression == Some(codec).filter(|codec| *codec > 0));
        assert!(named, "{compression:?}");
    }
}

#[test]
fn a_key_chooses_the_partition_and_its_ack_says_which() {
    for (hashing, partitions) in [(HashingScheme::JavaString, [1, 2]), (HashingScheme::Murmur3, [2, 0])] {
        let mut bench = Bench::new(ProducerSpec { hashing, routing: RoutingMode::RoundRobin, ..spec() }, 3);
        for (key, partition) in ["a", "apple"].iter().zip(partitions) {
            bench.request("x", json!({ "key": key }));
            assert_eq!(bench.written(partition).len(), 1, "{hashing:?} {key}");
            bench.receipt(partition, 0, None, 9);
            let id = bench.answers()[0]["messageId"].as_str().unwrap().to_owned();
            let id = MessageId::from_text(&id).unwrap();
            assert_eq!((id.ledger, id.entry, id.partition), (LEDGER, 9, partition as i32));
            assert_eq!(bench.producer.topic(partition).as_str(), format!("{TOPIC}-partition-{partition}"));
        }
    }
}

#[test]
fn a_partition_url_has_no_partition_in_its_ids() {
    let topic = TopicName::parse(&format!("{TOPIC}-partition-2")).unwrap();
    let mut bench = Bench::new(ProducerSpec { topic, ..spec() }, 0);
    bench.send("a");
    bench.written(0);
    bench.receipt(0, 0, None, 7);
    let id = MessageId::from_text(bench.answers()[0]["messageId"].as_str().unwrap()).unwrap();
    assert_eq!(id, MessageId::plain(LEDGER, 7));
}

#[test]
fn single_partition_stays_and_round_robin_goes_round() {
    let legs = |routing| {
        let mut bench = Bench::new(ProducerSpec { routing, ..spec() }, 3);
        let mut legs = Vec::new();
        for _ in 0..6 {
            bench.send("x");
            legs.extend((0..3).filter(|leg| !bench.written(*leg).is_empty()));
        }
        legs
    };
    let single = legs(RoutingMode::Single);
    assert!(single.iter().all(|leg| *leg == single[0]));
    let round = legs(RoutingMode::RoundRobin);
    assert_eq!(round[..3], round[3..]);
    assert_eq!(round[..3].iter().sum::<usize>(), 3, "each once: {round:?}");
}

#[test]
fn later_partitions_take_over_the_generated_name() {
    let mut producer = Producer::new(ProducerSpec { name: None, ..spec() }, 2, 1);
    assert_eq!(producer.create_command(0, 0, 0).producer_name, None);
    attach(&mut producer, 0, 1000);
    let second = producer.create_command(1, 1, 1);
    assert_eq!(second.producer_name.as_deref(), Some("standalone-0-0"));
    assert_eq!((second.user_provided_producer_name, second.epoch), (Some(false), Some(0)));
}

fn encrypted() -> ProducerSpec {
    let key =
        EncryptionKey { name: "one".into(), value: vec![1, 2], metadata: vec![("v".into(), "1".into())] };
    ProducerSpec { encryption_keys: vec![key], ..spec() }
}

#[test]
fn an_encrypted_session_passes_on_what_the_client_did() {
    let mut bench = Bench::new(encrypted(), 0);
    assert_eq!(bench.producer.create_command(0, 0, 0).encrypted, Some(true));
    bench.request("secret", json!({"encryptionParam": "aXY=", "properties": {"a": "b"}}));
    let packed =
        json!({"encryptionParam": "aXY=", "compressionType": "ZLIB", "uncompressedMessageSize": 1234});
    bench.request("packed", packed);
    let written = bench.written(0);
    let metadata = &written[0].metadata;
    assert_eq!(
        (written[0].body.as_slice(), metadata.encryption_param.as_deref()),
        (&b"secret"[..], Some(&b"iv"[..]))
    );
    let key = &metadata.encryption_keys[0];
    assert_eq!(
        (key.key.as_str(), key.value.as_slice(), key.metadata[0].key.as_str()),
        ("one", &[1, 2][..], "v")
    );
    assert_eq!((metadata.compression, metadata.uncompressed_size), (None, Some(6)));
    let metadata = &written[1].metadata;
    assert_eq!((metadata.compression, metadata.uncompressed_size), (Some(2), Some(1234)));
}

#[test]
fn an_encrypted_session_checks_its_members() {
    let pair = "the params compressionType and uncompressedMessageSize should both empty or both non-empty";
    let mut bench = Bench::new(encrypted(), 0);
    for (members, error) in [
        (json!({"compressionType": "LZ4"}), pair),
        (json!({"uncompressedMessageSize": 5}), pair),
        (
            json!({"encryptionParam": "!!"}),
            "Invalid Base64 encryptionParam error=Illegal base64 character 21",
        ),
        (json!({}), "The request has no encryptionParam, but the session has encryptionKeys"),
    ] {
        bench.request("x", members);
        assert_eq!(bench.error(), ("send-error:7".into(), error.into()));
    }
    bench.request("x", json!({"encryptionParam": "aXY=", "compressionType": "NONE"}));
    assert_eq!(bench.written(0)[0].sequence_id, 0);
    assert_eq!(bench.producer.refused_texts(), 4);
}
