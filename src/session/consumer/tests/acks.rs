//! Acknowledgements (API 4.6).

use super::*;

#[test]
fn acks_of_one_turn_are_one_command() {
    let mut bench = Bench::new(spec());
    (0..3).for_each(|entry_id| bench.arrive(0, entry_id, &single("x")));
    bench.sent();
    bench.ack(&id(2));
    bench.ack(&id(0));
    bench.ack(&id(1));
    assert_eq!(bench.sent(), [Sent::Ack(vec![2, 0, 1])]);
    assert_eq!(bench.consumer.counters().acks, 3);
}

#[test]
fn commands_are_bounded() {
    let mut bench = Bench::new(spec());
    (0..2500).for_each(|entry_id| bench.ack(&id(entry_id)));
    let sizes: Vec<usize> = bench
        .sent_but_flow()
        .iter()
        .map(|sent| match sent {
            Sent::Ack(entries) => entries.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sizes, [1000, 1000, 500]);
}

#[test]
fn a_batch_is_acknowledged_with_its_last_message() {
    let mut bench = Bench::new(spec());
    bench.arrive(0, 0, &batch(&["a", "b", "c"]));
    let ids: Vec<String> =
        bench.messages().iter().map(|m| m["messageId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, [0, 1, 2].map(|index| id_text(&batched(0, index, 3))));
    bench.sent();
    bench.ack(&batched(0, 1, 3));
    bench.ack(&batched(0, 1, 3));
    bench.ack(&batched(0, 7, 3));
    // A producer's id: it does not know the size.
    bench.ack(&batched(0, 0, 0));
    assert_eq!(bench.sent(), []);
    assert_eq!(bench.consumer.outstanding(), 1);
    bench.ack(&batched(0, 2, 3));
    assert_eq!(bench.sent(), [Sent::Ack(vec![0])]);
}

#[test]
fn a_plain_id_acknowledges_a_whole_batch() {
    let mut bench = Bench::new(window(2));
    bench.arrive(0, 0, &batch(&["a", "b", "c"]));
    assert_eq!(bench.bodies(), ["a", "b"]);
    bench.ack(&id(0));
    assert_eq!(bench.bodies(), [""; 0], "the rest is acknowledged too");
    assert_eq!(bench.sent_but_flow(), [Sent::Ack(vec![0])]);
    assert_eq!((bench.consumer.outstanding(), bench.consumer.buffered_bytes()), (0, 0));
}

#[test]
fn acknowledged_indexes_are_not_delivered() {
    let mut bench = Bench::new(spec());
    bench.message(0, &CommandMessage { ack_set: vec![0b101], ..at(0) }, &batch(&["a", "b", "c"]));
    assert_eq!(bench.bodies(), ["a", "c"]);
    bench.ack(&batched(0, 0, 3));
    bench.ack(&batched(0, 2, 3));
    assert_eq!(bench.sent_but_flow(), [Sent::Ack(vec![0])]);
}

#[test]
fn a_batch_of_another_session_is_acknowledged_message_by_message() {
    let mut bench = Bench::new(shared());
    bench.sent();
    bench.ack(&batched(5, 1, 3));
    assert_eq!(bench.sent(), [Sent::AckPart(vec![(5, vec![0b101])])]);
    bench.ack(&batched(5, 0, 3));
    bench.ack(&batched(6, 0, 2));
    assert_eq!(bench.sent(), [Sent::AckPart(vec![(5, vec![0b100]), (6, vec![0b10])])]);
    bench.ack(&batched(5, 2, 3));
    assert_eq!(bench.sent(), [Sent::Ack(vec![5])], "brokers may not keep parts");
    bench.ack(&batched(8, 0, 1));
    assert_eq!(bench.sent(), [Sent::Ack(vec![8])]);
    for nonsense in [batched(9, 0, 0), batched(9, 3, 3), batched(9, 0, i32::MAX), batched(9, 0, -1)] {
        bench.ack(&nonsense);
    }
    assert_eq!(bench.sent(), []);
}

#[test]
fn the_partition_of_an_id_chooses_the_leg() {
    let mut bench = Bench::partitions(shared(), 3);
    bench.sent_to();
    bench.ack(&MessageId { partition: 2, ..id(1) });
    assert_eq!(bench.sent_to(), [(2, Sent::Ack(vec![1]))]);
    bench.ack(&MessageId { partition: 3, ..id(1) });
    bench.ack(&id(1));
    assert_eq!(bench.sent_to(), []);
}

#[test]
fn the_ledger_of_an_id_chooses_among_topics() {
    let names = ["persistent://public/default/a", "persistent://public/default/b"];
    let mut bench = Bench::with(Consumer::new(shared(), 1, GROUP), &names);
    let mut command = at(0);
    command.message_id.ledger_id = 100;
    bench.message(1, &command, &single("x"));
    bench.sent_to();
    bench.ack(&MessageId::plain(100, 0));
    bench.ack(&MessageId::plain(100, 5));
    assert_eq!(bench.sent_to(), [(1, Sent::Ack(vec![0, 5]))]);
    bench.ack(&MessageId::plain(101, 0));
    assert_eq!(bench.sent_to(), [], "an ack at the wrong topic could do harm");
}

#[test]
fn acks_without_a_broker_are_bounded() {
    let mut bench = Bench::new(shared());
    bench.consumer.on_detached(0);
    (0..20_000).for_each(|entry_id| bench.ack(&id(entry_id)));
    bench.attach(0);
    let acked: usize = bench
        .sent_but_flow()
        .iter()
        .map(|sent| match sent {
            Sent::Ack(entries) => entries.len(),
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(acked, crate::base::limit::DETACHED_ACKS_MAX);
}
