//! Reader sessions (API 5, protocol 9).

use super::*;

fn reader(receiver_queue: u32, start: StartPosition) -> Bench {
    let spec = ReaderSpec {
        topic: topic(TOPIC),
        name: None,
        receiver_queue,
        start,
        crypto_failure: CryptoFailureAction::Consume,
    };
    Bench::with(Consumer::reader(spec, 7, GROUP), &[TOPIC])
}

#[test]
fn a_reader_is_a_non_durable_exclusive_subscription() {
    let mut bench = reader(1000, StartPosition::Earliest);
    let command = bench.consumer.subscribe_command(0, 1, 2);
    assert!(command.subscription.starts_with("reader-") && command.subscription.len() == 17);
    assert_eq!((command.sub_type, command.durable), (SubscriptionType::Exclusive as i32, Some(false)));
    assert_eq!(command.start_message_id.map(|id| id.ledger_id), Some(u64::MAX));
    assert_eq!(command.consumer_epoch, None);
}

#[test]
fn any_object_lets_one_more_out() {
    let mut bench = reader(0, StartPosition::Latest);
    (0..4).for_each(|entry_id| bench.arrive(0, entry_id, &single(&entry_id.to_string())));
    assert_eq!(bench.bodies(), ["0"]);
    for (text, expected) in [("{}", "1"), (r#"{"messageId":"***"}"#, "2"), (r#"{"type":"permit"}"#, "3")] {
        bench.text(text);
        assert_eq!(bench.bodies(), [expected]);
    }
    (0..5).for_each(|_| bench.text("{}"));
    (4..8).for_each(|entry_id| bench.arrive(0, entry_id, &single("x")));
    assert_eq!(bench.texts().len(), 1, "acks of nothing count for nothing");
}

#[test]
fn messages_are_acknowledged_as_they_go_out() {
    let mut bench = reader(4, StartPosition::Latest);
    bench.sent();
    bench.arrive(0, 0, &single("0"));
    bench.arrive(0, 1, &batch(&["a", "b"]));
    assert_eq!(bench.sent_but_flow(), [Sent::AckUpTo(1)], "one for the turn");
    bench.arrive(0, 2, &batch(&["c", "d"]));
    assert_eq!(bench.sent_but_flow(), [], "not all of the batch is out");
    bench.text("{}");
    assert_eq!(bench.sent_but_flow(), [Sent::AckUpTo(2)]);
}

#[test]
fn a_concrete_start_is_exclusive_also_in_a_batch() {
    let mut bench = reader(1000, StartPosition::After(batched(3, 1, 4)));
    bench.arrive(0, 2, &single("before"));
    bench.arrive(0, 3, &batch(&["a", "b", "c", "d"]));
    bench.arrive(0, 4, &single("after"));
    assert_eq!(bench.bodies(), ["c", "d", "after"]);
}

#[test]
fn a_reconnected_reader_goes_on_where_it_was() {
    let mut bench = reader(3, StartPosition::Earliest);
    bench.arrive(0, 0, &single("0"));
    bench.arrive(0, 1, &batch(&["a", "b", "c"]));
    assert_eq!(bench.bodies(), ["0", "a", "b"]);
    bench.consumer.on_detached(0);
    let start = bench.consumer.subscribe_command(0, 1, 1).start_message_id.expect("a start");
    assert_eq!((start.ledger_id, start.entry_id, start.batch_index), (LEDGER, 1, Some(1)));
    bench.attach(0);
    bench.arrive(0, 1, &batch(&["a", "b", "c"]));
    assert_eq!(bench.bodies(), [""; 0], "the client still has three");
    bench.text("{}");
    assert_eq!(bench.bodies(), ["c"]);
}

#[test]
fn readers_show_no_encryption_and_no_count() {
    let mut bench = reader(1000, StartPosition::Earliest);
    let keys = vec![crate::wire::pulsar::proto::EncryptionKeys::default()];
    let encrypted = MessageMetadata { encryption_keys: keys, ..metadata() };
    bench.arrive_again(0, 5, &entry(&encrypted, b"x"));
    let message = bench.messages().remove(0);
    assert_eq!((&message["redeliveryCount"], message.get("encryptionContext")), (&0.into(), None));
}

#[test]
fn a_question_is_no_ack() {
    let mut bench = reader(1, StartPosition::Earliest);
    (0..2).for_each(|entry_id| bench.arrive(0, entry_id, &single("x")));
    bench.texts();
    bench.text(r#"{"type":"isEndOfTopic"}"#);
    assert_eq!(bench.texts(), [r#"{"endOfTopic":false}"#]);
}
