//! When acks go to the broker: the first at once, those after it together, and before what must not come first.

use super::*;
use crate::base::limit::{ACK_IDS_MAX, ACK_IDS_SPARE_MAX};

const STEP: Duration = Duration::from_millis(10);

/// A session that has entries 0 to 99 with the client and sent the ack of entry 0 just now.
fn grouping(spec: ConsumerSpec) -> Bench {
    let mut bench = Bench::new(spec);
    (0..100).for_each(|entry_id| bench.arrive(0, entry_id, &single("x")));
    bench.sent();
    bench.ack(&id(0));
    assert_eq!(bench.sent_but_flow(), [Sent::Ack(vec![0])], "the first does not wait");
    bench.now = bench.now + STEP;
    bench
}

#[test]
fn what_follows_the_first_ack_is_sent_together_when_its_time_is_over() {
    let mut bench = grouping(spec());
    for entry_id in 1..8 {
        bench.ack(&id(entry_id));
        assert_eq!(bench.sent_but_flow(), []);
        bench.now = bench.now + STEP;
    }
    let due = bench.consumer.next_timer().expect("acks wait");
    assert_eq!(due, Instant(1) + GROUP);
    bench.now = Instant(due.0 - 1);
    bench.call(|consumer, cx| consumer.on_timer(cx));
    assert_eq!(bench.sent_but_flow(), [], "not early");
    bench.pass(Duration::from_nanos(1));
    assert_eq!(bench.sent_but_flow(), [Sent::Ack((1..8).collect())]);
    assert_eq!(bench.consumer.next_timer(), None, "nothing waits");
}

#[test]
fn a_slow_client_is_never_waited_for_and_a_steady_one_costs_an_ack_a_window() {
    let mut bench = grouping(spec());
    assert_eq!(bench.consumer.next_timer(), None, "nobody is woken for nothing");
    bench.pass(GROUP);
    for entry_id in 1..4 {
        bench.ack(&id(entry_id));
        assert_eq!(bench.sent_but_flow(), [Sent::Ack(vec![entry_id])]);
        bench.pass(GROUP);
    }
    let (begun, mut acks) = (bench.now, Vec::new());
    for entry_id in 4..100 {
        bench.pass(STEP);
        bench.ack(&id(entry_id));
        acks.extend(bench.sent_but_flow());
    }
    let windows = (bench.now.0 - begun.0) as usize / GROUP.as_nanos() as usize;
    assert!((windows..=windows + 1).contains(&acks.len()), "{} in {windows} windows", acks.len());
}

#[test]
fn as_many_as_one_command_holds_do_not_wait() {
    let mut bench = grouping(spec());
    let max = ACK_IDS_MAX as u64;
    (1..max).for_each(|entry_id| bench.ack(&id(entry_id)));
    assert_eq!(bench.sent_but_flow(), []);
    bench.ack(&id(max));
    assert_eq!(bench.sent_but_flow(), [Sent::Ack((1..=max).collect())]);
    assert_eq!(bench.consumer.next_timer(), None, "nothing waits");
    bench.pass(GROUP);
    bench.ack(&id(0));
    assert_eq!(bench.sent_but_flow(), [Sent::Ack(vec![0])]);
    let leg = &bench.consumer.legs[0];
    assert!(leg.acks_room() <= ACK_IDS_SPARE_MAX, "a burst costs no memory for long: {}", leg.acks_room());
    assert!(bench.ids.capacity() <= ACK_IDS_MAX);
}

#[test]
fn parts_of_batches_are_bounded_as_well_and_go_before_wholes() {
    let mut bench = grouping(shared());
    bench.ack(&batched(500, 0, 2));
    bench.ack(&batched(500, 1, 2));
    bench.ack(&batched(501, 1, 2));
    assert_eq!(bench.sent_but_flow(), []);
    bench.pass(GROUP);
    let parts = Sent::AckPart(vec![(500, vec![0b10]), (501, vec![0b01])]);
    assert_eq!(bench.sent_but_flow(), [parts, Sent::Ack(vec![500])]);
    (0..ACK_IDS_MAX as u64).for_each(|entry_id| bench.ack(&batched(1000 + entry_id, 0, 2)));
    let sent = bench.sent_but_flow();
    assert!(matches!(&sent[..], [Sent::AckPart(parts)] if parts.len() == ACK_IDS_MAX), "{}", sent.len());
}

#[test]
fn acks_go_before_entries_are_asked_for_again() {
    let mut bench = grouping(shared());
    bench.nack(&id(1));
    bench.pass(GROUP);
    bench.ack(&id(2));
    assert_eq!(bench.sent_but_flow(), [Sent::Ack(vec![2])]);
    bench.pass(SECOND - GROUP - STEP);
    bench.ack(&id(3));
    bench.sent();
    bench.pass(STEP / 2);
    bench.ack(&id(4));
    assert_eq!(bench.sent_but_flow(), []);
    bench.pass(STEP / 2);
    assert_eq!(bench.sent_but_flow(), [Sent::Ack(vec![4]), Sent::Redeliver(vec![1])]);

    let mut bench = grouping(ConsumerSpec { nack_delay: STEP, ..spec() });
    bench.ack(&id(2));
    bench.nack(&id(1));
    assert_eq!(bench.sent_but_flow(), []);
    bench.pass(STEP);
    assert_eq!(bench.sent_but_flow(), [Sent::Ack(vec![2]), Sent::RedeliverAll(1)]);
}

#[test]
fn acks_go_before_the_session_or_the_subscription_ends() {
    let mut bench = grouping(spec());
    bench.ack(&id(1));
    assert_eq!(bench.sent_but_flow(), []);
    bench.consumer.flush_acks();
    assert_eq!(bench.sent_but_flow(), [Sent::Ack(vec![1])]);
    bench.now = bench.now + STEP;
    bench.ack(&id(2));
    assert_eq!(bench.sent_but_flow(), [], "the flush was for what waited");
    bench.text(r#"{"type":"unsubscribe"}"#);
    let first = bench.output();
    assert!(matches!(first, Some(Output::ToBroker { command: Command::Ack(_), .. })), "{first:?}");
    assert_eq!(bench.output(), Some(Output::Unsubscribe));
}

#[test]
fn a_lost_broker_gets_what_waited_before_the_first_permits() {
    let mut bench = grouping(spec());
    bench.ack(&id(1));
    assert_eq!(bench.sent_but_flow(), []);
    bench.consumer.on_detached(0);
    assert_eq!(bench.consumer.next_timer(), None, "there is nobody to send to");
    bench.ack(&id(2));
    assert_eq!((bench.sent(), bench.consumer.next_timer()), (vec![], None));
    bench.attach(0);
    let sent = bench.sent();
    assert!(matches!(&sent[..], [Sent::Ack(ids), Sent::Flow(_)] if *ids == [1, 2]), "{sent:?}");
}

#[test]
fn permits_do_not_wait_for_acks() {
    let mut bench = Bench::new(window(2));
    bench.sent();
    (0..4).for_each(|entry_id| bench.arrive(0, entry_id, &single("x")));
    bench.ack(&id(0));
    assert_eq!(bench.sent(), [Sent::Ack(vec![0]), Sent::Flow(3)]);
    bench.now = bench.now + STEP;
    bench.ack(&id(1));
    assert_eq!(bench.sent(), [Sent::Flow(1)]);
}

#[test]
fn legs_share_a_window() {
    let mut bench = Bench::partitions(shared(), 3);
    bench.sent_to();
    let ack = |bench: &mut Bench, partition, entry| bench.ack(&MessageId { partition, ..id(entry) });
    ack(&mut bench, 0, 1);
    ack(&mut bench, 1, 1);
    assert_eq!(bench.sent_to().len(), 2, "acks of one turn go together");
    bench.now = bench.now + STEP;
    ack(&mut bench, 2, 2);
    ack(&mut bench, 1, 2);
    ack(&mut bench, 2, 3);
    assert_eq!(bench.sent_to(), []);
    bench.pass(GROUP);
    let mut sent = bench.sent_to();
    sent.sort_by_key(|(leg, _)| *leg);
    assert_eq!(sent, [(1, Sent::Ack(vec![2])), (2, Sent::Ack(vec![2, 3]))]);
}

#[test]
fn a_reader_says_how_far_it_is_once_a_window() {
    let spec = ReaderSpec {
        topic: topic(TOPIC),
        receiver_queue: 1000,
        name: None,
        start: StartPosition::Earliest,
        crypto_failure: CryptoFailureAction::Fail,
    };
    let mut bench = Bench::with(Consumer::reader(spec, 7, GROUP), &[TOPIC]);
    bench.arrive(0, 0, &single("x"));
    assert_eq!(bench.sent_but_flow(), [Sent::AckUpTo(0)]);
    for entry_id in 1..5 {
        bench.now = bench.now + STEP;
        bench.arrive(0, entry_id, &single("x"));
        assert_eq!(bench.sent_but_flow(), []);
    }
    bench.pass(GROUP);
    assert_eq!(bench.sent_but_flow(), [Sent::AckUpTo(4)]);
}

#[test]
fn without_a_group_time_every_turn_sends_its_acks() {
    let mut bench = Bench::with(Consumer::new(spec(), 1, Duration::ZERO), &[TOPIC]);
    for entry_id in 0..5 {
        bench.now = bench.now + Duration::from_nanos(1);
        bench.ack(&id(entry_id));
        assert_eq!(bench.sent_but_flow(), [Sent::Ack(vec![entry_id])]);
        assert_eq!(bench.consumer.next_timer(), None);
    }
}
