//! Negative acks and ack timeouts (API 4.1, protocol 8.5).

use super::*;

#[test]
fn a_nack_comes_due_exactly() {
    let mut bench = Bench::new(shared());
    (0..3).for_each(|entry_id| bench.arrive(0, entry_id, &single("x")));
    bench.sent();
    bench.nack(&id(1));
    bench.pass(SECOND / 2);
    bench.nack(&id(2));
    bench.nack(&id(2));
    assert_eq!(bench.consumer.next_timer(), Some(Instant(1) + SECOND));
    bench.pass(SECOND / 2 - Duration::from_nanos(1));
    assert_eq!(bench.sent(), []);
    bench.pass(Duration::from_nanos(1));
    assert_eq!(bench.sent(), [Sent::Redeliver(vec![1])]);
    bench.pass(SECOND / 2);
    assert_eq!(bench.sent(), [Sent::Redeliver(vec![2])]);
    assert_eq!((bench.consumer.next_timer(), bench.consumer.outstanding()), (None, 1));
    bench.texts();
    bench.arrive_again(1, 1, &single("again"));
    assert_eq!(bench.messages()[0]["redeliveryCount"], 1);
}

#[test]
fn nacks_due_together_are_one_command() {
    let mut bench = Bench::new(shared());
    (0..4).for_each(|entry_id| bench.arrive(0, entry_id, &single("x")));
    bench.sent();
    [3, 0, 2].into_iter().for_each(|entry_id| bench.nack(&id(entry_id)));
    bench.ack(&id(0));
    bench.pass(SECOND);
    assert_eq!(bench.sent(), [Sent::Ack(vec![0]), Sent::Redeliver(vec![3, 2])], "an ack takes a nack back");
}

#[test]
fn a_nacked_message_of_a_batch_brings_the_batch_back() {
    let mut bench = Bench::new(ConsumerSpec { receiver_queue: 2, ..shared() });
    bench.arrive(0, 0, &batch(&["a", "b", "c", "d"]));
    bench.nack(&batched(0, 0, 4));
    assert_eq!(bench.bodies(), ["a", "b", "c"]);
    bench.pass(SECOND);
    assert_eq!(bench.sent_but_flow(), [Sent::Redeliver(vec![0])]);
    assert_eq!(
        (bench.consumer.outstanding(), bench.consumer.buffered_bytes()),
        (0, 0),
        "all of it comes again"
    );
    bench.ack(&batched(0, 1, 4));
    bench.arrive_again(0, 1, &batch(&["a", "b", "c", "d"]));
    assert_eq!(bench.bodies(), ["a", "b"]);
}

#[test]
fn a_nack_of_an_unknown_message_is_passed_on() {
    let mut bench = Bench::new(shared());
    bench.sent();
    bench.nack(&id(77));
    bench.pass(SECOND);
    assert_eq!(bench.sent(), [Sent::Redeliver(vec![77])]);
    let mut exclusive = Bench::new(ConsumerSpec { nack_delay: SECOND, ..spec() });
    exclusive.sent();
    exclusive.nack(&id(77));
    exclusive.pass(SECOND);
    assert_eq!(exclusive.sent(), [], "it would bring everything back");
}

#[test]
fn exclusive_subscriptions_get_everything_again() {
    let mut bench = Bench::new(ConsumerSpec { nack_delay: SECOND, ..window(2) });
    let arrive = |bench: &mut Bench, entry_id: u64, epoch: u64| {
        let command = CommandMessage { consumer_epoch: Some(epoch), ..at(entry_id) };
        bench.message(0, &command, &single(&entry_id.to_string()));
    };
    (0..4).for_each(|entry_id| arrive(&mut bench, entry_id, 0));
    assert_eq!(bench.bodies(), ["0", "1"]);
    bench.ack(&id(0));
    bench.nack(&id(1));
    assert_eq!(bench.bodies(), ["2", "3"]);
    bench.sent();
    bench.pass(SECOND);
    assert_eq!(bench.consumer.outstanding(), 0);
    assert_eq!(bench.sent(), [Sent::RedeliverAll(1)]);
    arrive(&mut bench, 4, 0);
    assert_eq!(bench.bodies(), [""; 0], "sent before the broker heard of it");
    (1..3).for_each(|entry_id| arrive(&mut bench, entry_id, 1));
    assert_eq!(bench.bodies(), ["1", "2"]);
    assert_eq!(bench.consumer.subscribe_command(0, 1, 1).consumer_epoch, Some(1));
}

#[test]
fn what_is_dropped_is_asked_for_again() {
    let mut bench = Bench::new(ConsumerSpec { nack_delay: SECOND, ..window(1) });
    bench.sent();
    bench.arrive(0, 0, &batch(&["x"; 10]));
    assert_eq!(bench.sent(), [Sent::Flow(1)], "nine wait, but the broker took permits for ten");
    bench.nack(&batched(0, 0, 10));
    bench.pass(SECOND);
    assert_eq!(bench.sent(), [Sent::RedeliverAll(1), Sent::Flow(9)]);
}

#[test]
fn messages_that_are_not_acknowledged_in_time_go_back() {
    let mut bench = Bench::new(ConsumerSpec { ack_timeout: Some(2 * SECOND), receiver_queue: 2, ..shared() });
    (0..3).for_each(|entry_id| bench.arrive(0, entry_id, &single("x")));
    bench.sent();
    bench.pass(SECOND);
    bench.ack(&id(0));
    assert_eq!(bench.bodies().len(), 3);
    bench.pass(SECOND - Duration::from_nanos(1));
    assert_eq!(bench.sent_but_flow(), [Sent::Ack(vec![0])]);
    bench.pass(Duration::from_nanos(1));
    assert_eq!(bench.sent(), [Sent::Redeliver(vec![1])], "acknowledged ones do not time out");
    assert_eq!(bench.consumer.outstanding(), 1, "its slot is free");
    bench.arrive_again(1, 1, &single("again"));
    assert_eq!(bench.bodies(), ["again"]);
    bench.pass(SECOND);
    assert_eq!(bench.sent_but_flow(), [Sent::Redeliver(vec![2])], "not the second stay of the first");
    bench.ack(&id(1));
    bench.pass(10 * SECOND);
    assert_eq!(bench.sent_but_flow(), [Sent::Ack(vec![1])]);
    assert_eq!(bench.consumer.next_timer(), None);
}

#[test]
fn anonymous_messages_time_out_too() {
    let spec = ConsumerSpec { ack_timeout: Some(SECOND), ..window(1) };
    let mut bench = Bench::with(Consumer::new(spec, 1, GROUP), &["non-persistent://public/default/t"]);
    let mut command = at(0);
    command.message_id.ledger_id = 0;
    bench.message(0, &command, &single("a"));
    bench.message(0, &command, &single("b"));
    assert_eq!(bench.bodies(), ["a"]);
    bench.pass(SECOND);
    assert_eq!((bench.bodies(), bench.sent_but_flow()), (vec!["b".to_owned()], vec![]));
}

#[test]
fn a_message_sent_twice_is_shown_once() {
    let mut bench = Bench::new(spec());
    bench.arrive(0, 0, &single("x"));
    bench.arrive(0, 0, &single("x"));
    assert_eq!(bench.bodies(), ["x"]);
    assert_eq!(bench.consumer.outstanding(), 1);
}

#[test]
fn nacks_are_bounded_by_delivering_no_more() {
    let mut bench = Bench::new(shared());
    let limit = crate::base::limit::SESSION_UNSETTLED_MAX as u64;
    let mut delivered = 0;
    for entry_id in 0..limit + 10 {
        bench.arrive(0, entry_id, &single("x"));
        bench.nack(&id(entry_id));
        delivered += u64::from(!bench.out.is_empty());
        bench.out.clear();
    }
    assert_eq!(delivered, limit);
    bench.pass(SECOND);
    assert_eq!(bench.texts().len(), 10);
}
