use super::*;
use crate::wire::pulsar::proto::MessageIdData;

fn queue(initial_sequence_id: i64) -> SendQueue<u32> {
    let topic = TopicName::parse("persistent://public/default/t").expect("a topic name");
    SendQueue::new(topic, None, initial_sequence_id)
}

fn success(last_sequence_id: i64) -> CommandProducerSuccess {
    CommandProducerSuccess {
        producer_name: "standalone-0-0".into(),
        last_sequence_id: Some(last_sequence_id),
        ..CommandProducerSuccess::default()
    }
}

fn attached(initial_sequence_id: i64, last_sequence_id: i64) -> SendQueue<u32> {
    let mut queue = queue(initial_sequence_id);
    queue.on_created(&success(last_sequence_id), 1000);
    queue
}

fn push(queue: &mut SendQueue<u32>, messages: u32, tag: u32) {
    queue.push(vec![7; 10], messages, messages > 1, Instant(u64::from(tag)), tag);
}

fn receipt(sequence_id: u64, highest_sequence_id: Option<u64>) -> CommandSendReceipt {
    let message_id = Some(MessageIdData { ledger_id: 1, entry_id: 2, ..MessageIdData::default() });
    CommandSendReceipt { producer_id: 0, sequence_id, message_id, highest_sequence_id }
}

/// The tag that was confirmed, `None` for an old receipt; a violation panics.
fn confirmed(queue: &mut SendQueue<u32>, sequence_id: u64) -> Option<u32> {
    match queue.on_receipt(&receipt(sequence_id, None)) {
        Receipt::Confirmed(pending) => Some(pending.tag),
        Receipt::Old => None,
        Receipt::Violation => panic!("a violation"),
    }
}

fn sent(queue: &mut SendQueue<u32>) -> Vec<(u64, Option<u64>)> {
    let mut ids = Vec::new();
    while let Some(pending) = queue.next_unsent() {
        ids.push((pending.sequence_id, pending.highest_sequence_id));
    }
    ids
}

#[test]
fn ids_start_after_the_users_number_or_after_the_brokers() {
    for (initial, last, first) in
        [(-1, -1, 0), (-1, 9, 10), (41, 9, 42), (0, -1, 1), (-5, 3, (-4_i64) as u64)]
    {
        let mut queue = attached(initial, last);
        assert_eq!(queue.next_sequence_id(), first, "{initial} {last}");
        push(&mut queue, 1, 0);
        queue.on_created(&success(1000), 1000);
        assert_eq!(queue.next_sequence_id(), first + 1, "a later answer of the broker changes nothing");
    }
}

#[test]
fn ids_grow_over_the_end_of_javas_long() {
    let mut queue = attached(i64::MAX - 1, -1);
    for tag in 0..3 {
        push(&mut queue, 2, tag);
    }
    assert_eq!(sent(&mut queue).len(), 3);
    let first = i64::MAX as u64;
    assert_eq!(confirmed(&mut queue, first), Some(0));
    assert_eq!(confirmed(&mut queue, first), None);
    assert_eq!(confirmed(&mut queue, first + 2), Some(1));
}

#[test]
fn the_generated_name_is_kept_and_said_to_be_generated() {
    let mut queue = queue(-1);
    let first = queue.create_command(3, 4);
    assert_eq!((first.producer_name, first.epoch), (None, Some(0)));
    assert_eq!((first.producer_id, first.request_id, first.user_provided_producer_name), (3, 4, Some(false)));
    queue.on_created(&success(-1), 1000);
    queue.on_detached();
    let again = queue.create_command(3, 5);
    assert_eq!((again.producer_name.as_deref(), again.epoch), (Some("standalone-0-0"), Some(1)));
    assert_eq!(again.user_provided_producer_name, Some(false));
    queue.adopt_name("other");
    assert_eq!(queue.name(), Some("standalone-0-0"));
}

#[test]
fn the_users_name_stays_the_users() {
    let topic = TopicName::parse("persistent://public/default/t").unwrap();
    let mut queue = SendQueue::<()>::new(topic, Some("p".into()), -1);
    queue.set_encrypted();
    let command = queue.create_command(0, 0);
    assert_eq!(
        (command.producer_name.as_deref(), command.user_provided_producer_name),
        (Some("p"), Some(true))
    );
    assert_eq!((command.encrypted, command.topic.as_str()), (Some(true), "persistent://public/default/t"));
}

#[test]
fn everything_unconfirmed_is_written_again_with_its_ids() {
    let mut queue = attached(-1, -1);
    push(&mut queue, 1, 0);
    push(&mut queue, 3, 1);
    push(&mut queue, 1, 2);
    assert_eq!(sent(&mut queue), [(0, None), (1, Some(3)), (4, None)]);
    assert_eq!(confirmed(&mut queue, 0), Some(0));
    queue.on_detached();
    assert!(!queue.has_unsent() && queue.next_unsent().is_none());
    push(&mut queue, 1, 3);
    queue.on_created(&success(2), 1000);
    assert_eq!(sent(&mut queue), [(1, Some(3)), (4, None), (5, None)]);
}

#[test]
fn the_window_closes_at_its_entries_or_bytes_and_a_receipt_opens_it() {
    let mut queue = attached(-1, -1);
    for tag in 0..=SEND_WINDOW_ENTRIES_MAX as u32 {
        assert!(!queue.is_window_full(), "{tag} not written yet");
        push(&mut queue, 1, tag);
    }
    for _ in 0..SEND_WINDOW_ENTRIES_MAX {
        assert!(!queue.is_window_full());
        queue.next_unsent().expect("queued");
    }
    assert!(queue.is_window_full());
    assert_eq!(confirmed(&mut queue, 0), Some(0));
    assert!(!queue.is_window_full());

    let mut queue = attached(-1, -1);
    for tag in 0..2 {
        queue.push(vec![7; SEND_WINDOW_BYTES_MAX], 1, false, Instant(tag), 0);
    }
    assert!(!queue.is_window_full(), "the largest entry goes alone");
    queue.next_unsent().expect("queued");
    assert!(queue.is_window_full());
    queue.on_detached();
    assert!(!queue.is_window_full(), "nothing is under way without a link");
    queue.on_created(&success(0), 1000);
    queue.next_unsent().expect("to be written again");
    assert!(queue.is_window_full());
}

#[test]
fn receipts_pair_with_the_head() {
    let mut queue = attached(-1, -1);
    (0..3).for_each(|tag| push(&mut queue, 1, tag));
    assert_eq!(sent(&mut queue).len(), 3);
    assert!(matches!(queue.on_receipt(&receipt(1, None)), Receipt::Violation), "the head was passed over");
    assert_eq!(confirmed(&mut queue, 0), Some(0));
    assert_eq!(confirmed(&mut queue, 0), None, "a second answer after a resend");
    assert_eq!(confirmed(&mut queue, 1), Some(1));
    assert!(matches!(queue.on_receipt(&receipt(3, None)), Receipt::Violation), "never queued");
    assert_eq!(confirmed(&mut queue, 2), Some(2));
    assert!(queue.is_empty() && queue.bytes() == 0 && queue.messages() == 0);
    assert_eq!(confirmed(&mut queue, 2), None);
    assert!(matches!(queue.on_receipt(&receipt(3, None)), Receipt::Violation), "nothing is under way");
}

#[test]
fn receipts_of_batches_name_both_ends() {
    let pair = |highest| {
        let mut queue = attached(-1, -1);
        push(&mut queue, 4, 0);
        assert_eq!(sent(&mut queue), [(0, Some(3))]);
        queue.on_receipt(&receipt(0, highest))
    };
    for highest in [None, Some(0), Some(3), Some(u64::MAX)] {
        assert!(matches!(pair(highest), Receipt::Confirmed(_)), "{highest:?}");
    }
    assert!(matches!(pair(Some(2)), Receipt::Violation));
}

#[test]
fn what_was_never_written_cannot_be_confirmed() {
    let mut queue = attached(-1, -1);
    push(&mut queue, 1, 0);
    assert!(matches!(queue.on_receipt(&receipt(0, None)), Receipt::Violation));
    assert_eq!(queue.len(), 1);
}

#[test]
fn a_late_receipt_of_the_old_link_saves_a_resend() {
    let mut queue = attached(-1, -1);
    (0..3).for_each(|tag| push(&mut queue, 1, tag));
    assert!(queue.next_unsent().is_some() && queue.next_unsent().is_some());
    queue.on_detached();
    assert!(matches!(queue.on_receipt(&receipt(1, None)), Receipt::Old), "not the head");
    assert_eq!(confirmed(&mut queue, 0), Some(0));
    assert_eq!(confirmed(&mut queue, 1), Some(1));
    assert!(matches!(queue.on_receipt(&receipt(2, None)), Receipt::Old), "never written");
    queue.on_created(&success(1), 1000);
    assert_eq!(sent(&mut queue), [(2, None)]);
}

#[test]
fn one_entry_can_be_taken_out() {
    let mut queue = attached(-1, -1);
    push(&mut queue, 1, 0);
    push(&mut queue, 3, 1);
    push(&mut queue, 1, 2);
    assert!(queue.next_unsent().is_some() && queue.next_unsent().is_some());
    assert_eq!(queue.find(3).map(|pending| pending.tag), Some(1), "named by its highest id");
    assert_eq!(queue.take(3).map(|pending| pending.tag), Some(1));
    assert!(queue.take(2).is_none() && queue.find(9).is_none());
    assert_eq!((queue.len(), queue.messages(), queue.bytes()), (2, 2, 20));
    assert_eq!(sent(&mut queue), [(4, None)], "the place in the link is kept");
    assert_eq!(confirmed(&mut queue, 0), Some(0));
    assert_eq!(confirmed(&mut queue, 4), Some(2));
}

#[test]
fn giving_up_keeps_the_ids_used() {
    let mut queue = attached(-1, -1);
    (0..3).for_each(|tag| push(&mut queue, 1, tag));
    assert!(queue.next_unsent().is_some());
    assert_eq!(queue.oldest(), Some(Instant(0)));
    assert_eq!(queue.take_all().iter().map(|pending| pending.tag).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!((queue.len(), queue.messages(), queue.bytes(), queue.oldest()), (0, 0, 0, None));
    assert_eq!(confirmed(&mut queue, 0), None, "its receipt comes late");
    push(&mut queue, 1, 3);
    assert_eq!(sent(&mut queue), [(3, None)]);
    assert_eq!(confirmed(&mut queue, 1), None);
    assert_eq!(confirmed(&mut queue, 3), Some(3));
}

#[test]
fn a_burst_does_not_keep_its_memory() {
    let mut queue = attached(-1, -1);
    let burst = 10 * SEND_QUEUE_SPARE_MAX as u64;
    (0..burst).for_each(|_| push(&mut queue, 1, 0));
    assert_eq!(sent(&mut queue).len() as u64, burst);
    (0..burst).for_each(|id| assert_eq!(confirmed(&mut queue, id), Some(0)));
    assert!(queue.pending.capacity() <= 2 * SEND_QUEUE_SPARE_MAX);
}
