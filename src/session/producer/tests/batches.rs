//! Batches: when they end, how they are stored, what their acks look like.

use super::*;

#[test]
fn a_batch_ends_by_count_and_acks_each_message_in_order() {
    let mut bench = Bench::new(batching(3), 0);
    ["a", "b", "c", "d"].iter().for_each(|body| bench.send(body));
    let written = bench.written(0);
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].bodies(), ["a", "b", "c"]);
    assert_eq!((written[0].sequence_id, written[0].highest), (0, Some(2)));
    let metadata = &written[0].metadata;
    assert_eq!((metadata.num_messages_in_batch, metadata.highest_sequence_id), (Some(3), Some(2)));
    assert_eq!(bench.producer.pending_messages(), 4);
    assert_eq!(bench.receipt(0, 0, Some(2), 8), Verdict::Fine);
    let answers = bench.answers();
    let ids: Vec<_> = answers.iter().map(|answer| answer["messageId"].as_str().unwrap()).collect();
    let ids: Vec<_> = ids.iter().map(|id| MessageId::from_text(id).unwrap()).collect();
    for (index, id) in (0..).zip(&ids) {
        assert_eq!(*id, MessageId { batch_index: index, ..MessageId::plain(LEDGER, 8) });
    }
    let contexts: Vec<_> = answers.iter().map(|answer| answer["context"].as_str().unwrap()).collect();
    assert_eq!(contexts, ["a", "b", "c"]);
    assert_eq!(bench.producer.pending_messages(), 1);
    assert_eq!(bench.producer.counters().published, (3, 3));
}

#[test]
fn a_batch_ends_by_time_and_alone_it_is_a_plain_message() {
    let mut bench = Bench::new(batching(0), 0);
    let members = json!({"key": "k", "properties": {"a": "b"}, "eventTime": "2026-01-02T03:04:05Z"});
    bench.request("x", members);
    assert!(bench.written(0).is_empty());
    assert_eq!(bench.producer.next_timer(), Some(Instant(1) + Duration::from_millis(10)));
    bench.pass(Duration::from_millis(9));
    assert!(bench.written(0).is_empty());
    bench.pass(Duration::from_millis(1));
    let written = bench.written(0).remove(0);
    assert_eq!((written.body.as_slice(), written.highest), (b"x".as_slice(), None));
    let metadata = &written.metadata;
    assert_eq!((metadata.num_messages_in_batch, metadata.highest_sequence_id), (None, None));
    assert_eq!(
        (metadata.partition_key.as_deref(), metadata.event_time),
        (Some("k"), Some(1_767_323_045_000))
    );
    assert_eq!((metadata.properties[0].value.as_str(), metadata.uncompressed_size), ("b", Some(1)));
    bench.receipt(0, 0, None, 3);
    let answers = bench.answers();
    let id = MessageId::from_text(answers[0]["messageId"].as_str().unwrap()).unwrap();
    assert_eq!((id, answers[0]["context"].as_str()), (MessageId::plain(LEDGER, 3), Some("x")));
    bench.assert_idle();
}

#[test]
fn a_batch_keeps_each_messages_own_parts() {
    let mut bench = Bench::new(batching(2), 0);
    bench.request("a", json!({"key": "k", "properties": {"n": "1"}}));
    bench.request("b", json!({"eventTime": "1960-01-01T00:00:00Z"}));
    let written = bench.written(0).remove(0);
    assert_eq!(
        (written.metadata.partition_key.as_deref(), written.metadata.properties.len()),
        (Some("k"), 0)
    );
    assert_eq!(written.metadata.event_time, None);
    let singles: Vec<_> = Messages::new(&written.body, 2).map(|message| message.unwrap().0).collect();
    assert_eq!((singles[0].partition_key, singles[1].partition_key), (Some("k"), None));
    assert_eq!(singles[0].properties().collect::<Vec<_>>(), [("n", "1")]);
    assert_eq!((singles[0].event_time, singles[1].event_time.cast_signed()), (0, -315_619_200_000));
    assert_eq!((singles[0].sequence_id, singles[1].sequence_id), (Some(0), Some(1)));
}

#[test]
fn batches_are_compressed_whole() {
    for codec in 1..5 {
        let compression = CompressionType::from_wire(codec).unwrap();
        let mut bench = Bench::new(ProducerSpec { compression, ..batching(50) }, 0);
        let body = "abc".repeat(100);
        (0..50).for_each(|_| bench.send(&body));
        let written = bench.written(0).remove(0);
        assert_eq!(written.bodies(), vec![body; 50]);
        assert_eq!(written.metadata.uncompressed_size, Some(written.body.len() as u32));
        assert!(written.entry.len() < written.body.len() / 2, "{compression:?}");
    }
}

#[test]
fn a_batch_ends_by_bytes() {
    let mut bench = Bench::new(batching(0), 0);
    let body = "x".repeat(10_000);
    (0..40).for_each(|_| bench.send(&body));
    let written = bench.written(0);
    assert!(written.len() >= 3 && written.iter().all(|entry| entry.body.len() <= BATCH_BYTES_MAX));
    assert!(written.iter().all(|entry| entry.metadata.num_messages_in_batch >= Some(12)), "well filled");
}

#[test]
fn a_batch_fits_a_small_broker() {
    let mut bench = Bench::new(batching(0), 0);
    bench.producer.on_detached(0);
    attach(&mut bench.producer, 0, 1000);
    (0..40).for_each(|_| bench.send(&"x".repeat(100)));
    bench.call(|producer, cx| producer.flush(cx));
    let written = bench.written(0);
    assert_eq!(written.iter().flat_map(Written::bodies).count(), 40);
    assert!(written.iter().all(|entry| entry.entry.len() <= 1000 + 10));
}

#[test]
fn what_has_outer_metadata_of_its_own_travels_alone_and_in_its_place() {
    for members in [json!({"deliverAfterMs": 5}), json!({"replicationClusters": ["x"]})] {
        let mut bench = Bench::new(batching(0), 0);
        bench.send("a");
        bench.send("b");
        bench.request("c", members);
        bench.send("d");
        bench.call(|producer, cx| producer.flush(cx));
        let written = bench.written(0);
        assert_eq!(
            written.iter().map(Written::bodies).collect::<Vec<_>>(),
            [vec!["a", "b"], vec!["c"], vec!["d"]]
        );
        assert_eq!(written.iter().map(|entry| entry.sequence_id).collect::<Vec<_>>(), [0, 2, 3]);
        let metadata = &written[1].metadata;
        assert!(metadata.deliver_at_time == Some(1_700_000_000_005) || metadata.replicate_to == ["x"]);
    }
}

#[test]
fn a_large_message_travels_alone_and_in_its_place() {
    let mut bench = Bench::new(batching(0), 0);
    let large = "x".repeat(BATCH_BYTES_MAX);
    ["a", &large, "b"].iter().for_each(|body| bench.send(body));
    bench.call(|producer, cx| producer.flush(cx));
    let sizes: Vec<_> = bench.written(0).iter().map(|entry| entry.body.len()).collect();
    assert_eq!(sizes, [1, BATCH_BYTES_MAX, 1]);
}

#[test]
fn a_bad_payload_leaves_the_batch_as_it_was() {
    let mut bench = Bench::new(batching(2), 0);
    bench.text(r#"{"payload":"!","context":"bad"}"#);
    bench.assert_idle();
    bench.send("a");
    bench.text(r#"{"payload":"-_-_","context":"bad"}"#);
    bench.send("b");
    assert_eq!(bench.results(), vec![("send-error:7".to_owned(), "bad".to_owned()); 2]);
    assert_eq!(bench.written(0)[0].bodies(), ["a", "b"]);
}

#[test]
fn round_robin_fills_the_batch_of_one_partition_before_it_goes_on() {
    let mut bench = Bench::new(ProducerSpec { routing: RoutingMode::RoundRobin, ..batching(0) }, 3);
    let mut used = Vec::new();
    for _ in 0..3 {
        (0..5).for_each(|_| bench.send("x"));
        bench.call(|producer, cx| producer.flush(cx));
        used.extend((0..3).filter(|leg| bench.written(*leg).iter().any(|entry| entry.bodies().len() == 5)));
        bench.pass(Duration::from_millis(100));
    }
    used.sort_unstable();
    assert_eq!(used, [0, 1, 2]);
}

#[test]
fn closing_flushes_every_leg() {
    let mut bench = Bench::new(ProducerSpec { batching: batching(0).batching, ..spec() }, 2);
    bench.request("x", json!({"key": "a"}));
    bench.request("y", json!({"key": "b"}));
    bench.call(|producer, cx| producer.flush(cx));
    assert_eq!((bench.written(0).len(), bench.written(1).len()), (1, 1));
}
