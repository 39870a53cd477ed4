//! Windows, permits, blocking (API 4.4, 4.5).

use super::*;

fn fill(bench: &mut Bench, entries: std::ops::Range<u64>) {
    for entry_id in entries {
        bench.arrive(0, entry_id, &single(&entry_id.to_string()));
    }
}

#[test]
fn the_window_holds_back_what_is_not_acknowledged() {
    let mut bench = Bench::new(window(2));
    assert_eq!(bench.sent(), [Sent::Flow(2)]);
    fill(&mut bench, 0..4);
    assert_eq!(bench.bodies(), ["0", "1"]);
    assert_eq!(bench.sent(), [Sent::Flow(2)], "as many again are prefetched");
    bench.ack(&id(0));
    assert_eq!(bench.bodies(), ["2"]);
    assert_eq!(bench.sent(), [Sent::Ack(vec![0]), Sent::Flow(1)]);
    bench.ack(&id(0));
    bench.ack(&id(99));
    assert_eq!(bench.bodies(), [""; 0], "only an outstanding id frees its slot");
    assert_eq!(bench.sent(), [Sent::Ack(vec![0, 99])], "the broker may know them");
    bench.nack(&id(1));
    assert_eq!(bench.bodies(), ["3"]);
    bench.nack(&id(1));
    assert_eq!(bench.consumer.outstanding(), 2);
}

#[test]
fn queue_size_0_is_one_at_a_time() {
    let mut bench = Bench::new(window(0));
    assert_eq!(bench.sent(), [Sent::Flow(1)]);
    fill(&mut bench, 0..2);
    assert_eq!(bench.bodies(), ["0"]);
    bench.ack(&id(0));
    assert_eq!(bench.bodies(), ["1"]);
}

#[test]
fn partitions_share_window_and_permits() {
    let mut bench = Bench::partitions(window(4), 2);
    let mut flows = bench.sent_to();
    flows.sort_by_key(|(leg, _)| *leg);
    assert_eq!(flows, [(0, Sent::Flow(2)), (1, Sent::Flow(2))]);
    for leg in 0..2 {
        for entry_id in 0..3 {
            let mut command = at(entry_id);
            command.message_id.ledger_id = LEDGER + leg as u64;
            bench.message(leg, &command, &single(&format!("{leg}{entry_id}")));
        }
    }
    assert_eq!(bench.bodies(), ["00", "01", "02", "10"]);
    bench.ack(&MessageId { ledger: LEDGER + 1, partition: 1, ..id(0) });
    assert_eq!(bench.bodies(), ["11"]);
    assert!(bench.sent_to().contains(&(1, Sent::Ack(vec![0]))));
}

#[test]
fn the_first_grant_is_small_and_grows() {
    let mut bench = Bench::new(spec());
    assert_eq!(bench.sent(), [Sent::Flow(64)]);
    let mut granted = 64;
    let mut entry_id = 0;
    while granted < 1000 + entry_id as u32 {
        bench.arrive(0, entry_id, &single("x"));
        entry_id += 1;
        bench.ack(&id(entry_id - 1));
        for sent in bench.sent() {
            if let Sent::Flow(more) = sent {
                granted += more;
            }
        }
        assert!(granted <= 1000 + entry_id as u32, "never more than the queue size ahead");
        assert!(entry_id < 5000, "grows");
    }
}

#[test]
fn pull_gives_what_was_permitted_and_asks_for_no_more() {
    let mut bench = Bench::new(ConsumerSpec { pull: true, ..window(10) });
    assert_eq!(bench.sent(), []);
    for count in [0, -1, i32::MIN] {
        bench.permit(count);
    }
    assert_eq!(bench.sent(), []);
    bench.permit(2);
    assert_eq!(bench.sent(), [Sent::Flow(2)]);
    fill(&mut bench, 0..2);
    assert_eq!((bench.bodies(), bench.sent()), (vec!["0".to_owned(), "1".into()], vec![]));
    bench.ack(&id(0));
    assert_eq!(bench.sent(), [Sent::Ack(vec![0])], "acks do not matter for the flow");
    bench.permit(i32::MAX);
    bench.permit(i32::MAX);
    assert_eq!(bench.sent(), [Sent::Flow(10)]);
    bench.arrive(0, 2, &batch(&["2"; 30]));
    assert_eq!(bench.bodies().len(), 30);
}

#[test]
fn permits_in_push_mode_are_ignored() {
    let mut bench = Bench::new(window(1));
    fill(&mut bench, 0..2);
    bench.bodies();
    bench.permit(5);
    assert_eq!(bench.bodies(), [""; 0]);
}

#[test]
fn a_batch_is_split_at_permits_and_windows() {
    let mut bench = Bench::new(ConsumerSpec { pull: true, ..window(10) });
    bench.permit(2);
    bench.arrive(0, 0, &batch(&["a", "b", "c", "d", "e"]));
    assert_eq!(bench.bodies(), ["a", "b"]);
    assert!(bench.consumer.buffered_bytes() > 0);
    bench.permit(1);
    assert_eq!(bench.bodies(), ["c"]);
    bench.permit(9);
    assert_eq!(bench.bodies(), ["d", "e"]);
    assert_eq!(bench.consumer.buffered_bytes(), 0);
}

#[test]
fn a_full_outbox_stops_deliveries() {
    let mut bench = Bench::new(spec());
    bench.call(|consumer, cx| consumer.set_blocked(cx, true));
    fill(&mut bench, 0..3);
    assert_eq!(bench.bodies(), [""; 0]);
    bench.call(|consumer, cx| consumer.set_blocked(cx, false));
    assert_eq!(bench.bodies(), ["0", "1", "2"]);
}

#[test]
fn one_turn_does_not_overfill_the_outbox() {
    let mut bench = Bench::new(spec());
    bench.call(|consumer, cx| consumer.set_blocked(cx, true));
    for entry_id in 0..100 {
        bench.arrive(0, entry_id, &single(&"x".repeat(10_000)));
    }
    bench.call(|consumer, cx| consumer.set_blocked(cx, false));
    let high = crate::base::limit::OUTBOX_HIGH;
    assert!((high..high + 20_000).contains(&bench.out.len()), "{}", bench.out.len());
    let first = bench.bodies().len();
    bench.call(|consumer, cx| consumer.set_blocked(cx, true));
    bench.call(|consumer, cx| consumer.set_blocked(cx, false));
    assert!(first > 10 && bench.bodies().len() > 10);
}

#[test]
fn losing_the_broker_forgets_what_comes_again() {
    let mut bench = Bench::new(window(2));
    fill(&mut bench, 0..4);
    assert_eq!(bench.bodies(), ["0", "1"]);
    bench.sent();
    bench.ack(&id(0));
    bench.consumer.on_detached(0);
    assert_eq!((bench.consumer.outstanding(), bench.consumer.buffered_bytes()), (0, 0));
    assert_eq!(bench.sent(), [], "there is nobody to send to");
    bench.ack(&id(1));
    bench.arrive(0, 9, &single("late"));
    bench.texts();
    bench.attach(0);
    assert_eq!(
        bench.sent(),
        [Sent::Ack(vec![0, 1]), Sent::Flow(2)],
        "acks first: nothing acknowledged comes again"
    );
    fill(&mut bench, 2..4);
    assert_eq!(bench.bodies(), ["2", "3"]);
}

#[test]
fn slots_freed_by_a_lost_leg_are_used_at_once() {
    let mut bench = Bench::partitions(window(2), 2);
    fill(&mut bench, 0..2);
    let mut command = at(0);
    command.message_id.ledger_id = LEDGER + 1;
    bench.message(1, &command, &single("other"));
    assert_eq!(bench.bodies(), ["0", "1"]);
    bench.consumer.on_detached(0);
    assert!(bench.consumer.next_timer().is_some_and(|at| at <= bench.now));
    bench.pass(Duration::ZERO);
    assert_eq!(bench.bodies(), ["other"]);
    assert_eq!(bench.consumer.next_timer(), None);
}

#[test]
fn non_persistent_messages_all_have_one_id() {
    let mut bench = Bench::with(Consumer::new(window(2), 1, GROUP), &["non-persistent://public/default/t"]);
    let mut command = at(0);
    command.message_id.ledger_id = 0;
    for text in ["a", "b", "c", "d"] {
        bench.message(0, &command, &single(text));
    }
    assert_eq!(bench.bodies(), ["a", "b"]);
    let id = MessageId::plain(0, 0);
    bench.ack(&id);
    assert_eq!(bench.bodies(), ["c"]);
    bench.nack(&id);
    assert_eq!(bench.bodies(), ["d"]);
    assert_eq!(bench.sent_but_flow(), [], "the broker keeps nothing");
    bench.consumer.on_detached(0);
    assert_eq!(bench.consumer.outstanding(), 0);
}

#[test]
fn what_waits_takes_no_new_buffers_once_warm() {
    let mut bench = Bench::new(window(1));
    fill(&mut bench, 0..3);
    for entry_id in 3..50 {
        bench.ack(&id(entry_id - 3));
        bench.arrive(0, entry_id, &single("x"));
    }
    bench.ack(&id(47));
    assert_eq!(
        (bench.pool.len(), bench.consumer.queue.len()),
        (1, 1),
        "two wait at a time: two buffers in all"
    );
}
