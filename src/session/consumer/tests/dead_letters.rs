//! Dead letters (protocol 10).

use super::*;
use crate::wire::pulsar::proto::{CommandProducerSuccess, KeyValue};
use crate::wire::route::DeadLetterPolicy;

fn policy(redeliveries_max: u32) -> ConsumerSpec {
    let dead_letter = Some(DeadLetterPolicy { redeliveries_max, topic: None });
    ConsumerSpec { dead_letter, receiver_queue: 2, ..shared() }
}

impl Bench {
    /// Attaches the dead letters' producer as its owner would, and gives what it writes.
    fn letters(&mut self) -> Vec<(u64, MessageMetadata, Vec<u8>)> {
        let queue = self.consumer.dead_letters().expect("letters wait");
        let command = queue.create_command(1, 1);
        let producer_name = command.producer_name.expect("a name of our own");
        let success = CommandProducerSuccess {
            producer_name,
            last_sequence_id: Some(-1),
            ..CommandProducerSuccess::default()
        };
        queue.on_created(&success, 1 << 20);
        let mut letters = Vec::new();
        while let Some(pending) = queue.next_unsent() {
            let payload = frame::payload(&pending.entry).expect("well-formed");
            assert_eq!(payload.checksum, frame::Checksum::Good);
            let metadata = MessageMetadata::decode(payload.metadata).expect("readable");
            letters.push((pending.sequence_id, metadata, payload.body.to_vec()));
        }
        letters
    }

    fn stored(&mut self, sequence_id: u64) {
        let receipt = CommandSendReceipt { producer_id: 1, sequence_id, ..CommandSendReceipt::default() };
        assert_eq!(self.call(|consumer, cx| consumer.on_dead_letter_receipt(cx, &receipt)), Ok(()));
    }

    /// Everything for the broker but FLOW, and whether the dead letters are to be opened.
    fn sent_and_opened(&mut self) -> (Vec<Sent>, bool) {
        let (mut sent, mut opened) = (Vec::new(), false);
        while let Some(output) = self.output() {
            match output {
                Output::ToBroker { command: Command::Flow(_), .. } => {}
                Output::ToBroker { command, .. } => sent.push(Sent::of(command)),
                Output::OpenDeadLetters => opened = true,
                Output::Unsubscribe => panic!("nobody unsubscribed"),
            }
        }
        (sent, opened)
    }
}

fn properties(metadata: &MessageMetadata) -> Vec<(&str, &str)> {
    metadata.properties.iter().map(|pair| (pair.key.as_str(), pair.value.as_str())).collect()
}

#[test]
fn given_back_once_too_often_a_message_moves() {
    let mut bench = Bench::new(policy(1));
    let full = MessageMetadata {
        partition_key: Some("k".into()),
        event_time: Some(5),
        properties: vec![KeyValue { key: "a".into(), value: "b".into() }],
        ..metadata()
    };
    bench.arrive(0, 0, &entry(&full, b"x"));
    bench.nack(&id(0));
    bench.pass(SECOND);
    assert_eq!(bench.sent_and_opened(), (vec![Sent::Redeliver(vec![0])], false));
    bench.arrive_again(0, 1, &entry(&full, b"x"));
    assert_eq!(bench.bodies(), ["x", "x"]);
    bench.nack(&id(0));
    bench.pass(SECOND);
    assert_eq!(bench.sent_and_opened(), (vec![], true), "kept until the letter is stored");
    assert_eq!(bench.consumer.outstanding(), 0);

    let (sequence_id, letter, body) = bench.letters().remove(0);
    let expected = MessageMetadata {
        producer_name: letter.producer_name.clone(),
        sequence_id: 0,
        properties: letter.properties.clone(),
        uncompressed_size: Some(1),
        ..full
    };
    assert_eq!((letter.clone(), body.as_slice()), (expected, &b"x"[..]));
    let origins = [("ORIGIN_MESSAGE_ID", "7:0:-1"), ("ORIGIN_MESSAGE_IDY_TIME", "7:0:-1")];
    assert_eq!(
        properties(&letter),
        [("a", "b"), ("REAL_TOPIC", TOPIC), ("REAL_SUBSCRIPTION", "s"), origins[0], origins[1]]
    );
    let queue = bench.consumer.dead_letters().expect("open");
    assert_eq!(queue.topic().as_str(), "persistent://public/default/t-s-DLQ");
    bench.stored(sequence_id);
    assert_eq!(bench.sent_and_opened(), (vec![Sent::Ack(vec![0])], false));
    assert_eq!(bench.consumer.buffered_bytes(), 0);
}

#[test]
fn an_overdue_message_moves_at_once_and_keeps_its_history() {
    let mut bench = Bench::new(policy(1));
    let properties_before = vec![KeyValue { key: "REAL_TOPIC".into(), value: "before".into() }];
    bench.arrive_again(4, 2, &entry(&MessageMetadata { properties: properties_before, ..metadata() }, b"x"));
    assert_eq!((bench.texts(), bench.consumer.outstanding()), (vec![], 0));
    let (_, letter, _) = bench.letters().remove(0);
    assert_eq!(properties(&letter)[0], ("REAL_TOPIC", "before"));
    assert_eq!(properties(&letter).len(), 4);
}

#[test]
fn messages_of_a_batch_move_one_by_one() {
    let mut bench = Bench::new(policy(1));
    bench.arrive_again(0, 1, &batch(&["a", "b", "c"]));
    bench.nack(&batched(0, 0, 3));
    bench.ack(&batched(0, 1, 3));
    assert_eq!(bench.bodies(), ["a", "b", "c"]);
    bench.pass(SECOND);
    assert_eq!(bench.sent_and_opened(), (vec![], true));
    let letters = bench.letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(properties(&letters[0].1)[2], ("ORIGIN_MESSAGE_ID", "7:0:-1:0"));
    bench.stored(0);
    assert_eq!(bench.sent_and_opened().0, [], "the client has the third");
    bench.ack(&batched(0, 2, 3));
    assert_eq!(bench.sent_and_opened().0, [Sent::Ack(vec![0])]);
}

#[test]
fn a_timeout_gives_back_too() {
    let mut bench = Bench::new(ConsumerSpec { ack_timeout: Some(SECOND), ..policy(1) });
    bench.arrive_again(0, 1, &single("x"));
    bench.pass(SECOND);
    assert_eq!(bench.sent_and_opened(), (vec![], true));
    assert_eq!((bench.letters().len(), bench.consumer.outstanding()), (1, 0));
}

#[test]
fn a_refused_topic_means_redelivery_later() {
    let mut bench = Bench::new(policy(1));
    bench.arrive_again(0, 2, &single("x"));
    assert_eq!(bench.sent_and_opened(), (vec![], true));
    bench.call(|consumer, cx| consumer.on_dead_letters_refused(cx));
    assert!(bench.consumer.dead_letters().is_none());
    bench.pass(SECOND);
    assert_eq!(bench.sent_and_opened(), (vec![Sent::Redeliver(vec![0])], false));
    bench.arrive_again(0, 3, &single("x"));
    assert_eq!(bench.sent_and_opened(), (vec![], true), "the next letter tries again");
}

#[test]
fn letters_under_way_are_bounded() {
    let mut bench = Bench::new(policy(1));
    let large = "x".repeat(900_000);
    for entry_id in 0..10 {
        bench.arrive_again(entry_id, 2, &single(&large));
    }
    let waiting = bench.letters().len() as u64;
    assert_eq!(waiting, 4, "4 MiB");
    bench.sent_and_opened();
    bench.pass(SECOND);
    assert_eq!(bench.sent_and_opened().0, [Sent::Redeliver((waiting..10).collect())]);
}

#[test]
fn candidates_are_bounded_and_overdue_the_next_time() {
    let mut bench = Bench::new(ConsumerSpec { receiver_queue: 100, ..policy(1) });
    let large = "x".repeat(900_000);
    for entry_id in 0..10 {
        bench.arrive_again(entry_id, 1, &single(&large));
        bench.out.clear();
    }
    assert!(bench.consumer.buffered_bytes() < 5 << 20);
    (0..10).for_each(|entry_id| bench.nack(&id(entry_id)));
    bench.pass(SECOND);
    let (sent, opened) = bench.sent_and_opened();
    assert_eq!((sent, opened, bench.letters().len()), (vec![Sent::Redeliver((4..10).collect())], true, 4));
    assert_eq!(bench.consumer.buffered_bytes(), 0);
}

#[test]
fn a_letter_stored_after_the_broker_was_lost_still_counts() {
    let mut bench = Bench::new(policy(1));
    bench.arrive_again(0, 2, &single("x"));
    bench.arrive_again(1, 2, &batch(&["a", "b"]));
    assert_eq!(bench.letters().len(), 3);
    bench.consumer.on_detached(0);
    bench.attach(0);
    bench.sent_and_opened();
    bench.stored(0);
    assert_eq!(bench.sent_and_opened().0, [Sent::Ack(vec![0])]);
    bench.stored(1);
    assert_eq!(bench.sent_and_opened().0, [Sent::AckPart(vec![(1, vec![0b10])])]);
    bench.stored(2);
    assert_eq!(bench.sent_and_opened().0, [Sent::Ack(vec![1])]);
}

#[test]
fn names_follow_the_url() {
    let name = |topics: Topics, kind| {
        let spec = ConsumerSpec { topics, kind, ..policy(1) };
        let mut bench = Bench::new(spec);
        bench.arrive_again(0, 2, &single("x"));
        bench.consumer.dead_letters().map(|queue| queue.topic().as_str().to_owned())
    };
    let shared = SubscriptionType::KeyShared;
    let partition = topic(&format!("{TOPIC}-partition-0"));
    let many = vec![topic("persistent://public/default/one"), topic("persistent://public/default/two")];
    assert_eq!(name(Topics::One(partition), shared).as_deref(), Some(&*format!("{TOPIC}-partition-0-s-DLQ")));
    assert_eq!(name(Topics::Many(many), shared).as_deref(), Some("persistent://public/default/one-s-DLQ"));
    assert_eq!(name(Topics::One(topic(TOPIC)), SubscriptionType::Failover), None);
}

#[test]
fn a_receipt_for_nothing_breaks_the_protocol() {
    let mut bench = Bench::new(policy(1));
    bench.arrive_again(0, 2, &single("x"));
    bench.letters();
    let receipt = CommandSendReceipt { sequence_id: 9, ..CommandSendReceipt::default() };
    assert_eq!(bench.call(|consumer, cx| consumer.on_dead_letter_receipt(cx, &receipt)), Err(()));
}
