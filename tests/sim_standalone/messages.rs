//! Messages through hosts of this and other cores.

use crate::client::Client;
use crate::world::{STORES, World};
use pulsegate::broker::host::store_of;
use pulsegate::wire::pulsar::Command;
use pulsegate::wire::pulsar::frame;
use pulsegate::wire::pulsar::proto as p;
use pulsegate::wire::pulsar::proto::SubscriptionType;
use std::time::Duration;

/// The n-th topic whose host is at `core` of `cores`.
pub fn topic_at(core: usize, cores: usize, nth: usize) -> String {
    let names = (0..10_000).map(|number| format!("persistent://public/default/t{number}"));
    let there = |name: &String| usize::from(store_of(name, STORES).0) % cores == core;
    names.filter(there).nth(nth).expect("names enough")
}

/// The payload of a delivered entry.
pub fn payload(entry: &[u8]) -> Vec<u8> {
    frame::payload(entry).expect("as it was sent").body.to_vec()
}

/// The next message.
#[track_caller]
pub fn message(client: &mut Client, world: &mut World) -> (p::CommandMessage, Vec<u8>) {
    let got = client.expect(world);
    match got.command {
        Command::Message(message) => (message, payload(&got.entry)),
        other => panic!("{other:?}"),
    }
}

/// The next receipt.
#[track_caller]
pub fn receipt(client: &mut Client, world: &mut World) -> p::CommandSendReceipt {
    match client.expect(world).command {
        Command::SendReceipt(receipt) => receipt,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_sent_arrives_whatever_core_has_the_topic() {
    for cores in 1..=3 {
        let mut world = World::new(cores);
        for core in 0..cores {
            let topic = topic_at(core, cores, 0);
            let mut producer = Client::connect(&mut world, 0);
            let mut consumer = Client::connect(&mut world, cores - 1);
            producer.producer(&mut world, 7, &topic, None).expect("a producer");
            consumer.subscribe(&mut world, 3, &topic, SubscriptionType::Exclusive, 100).expect("a consumer");
            for sequence in 0..10 {
                producer.publish(&mut world, 7, sequence, format!("m{sequence}").as_bytes());
            }
            for sequence in 0..10 {
                let receipt = receipt(&mut producer, &mut world);
                assert_eq!((receipt.producer_id, receipt.sequence_id), (7, sequence));
                let (command, payload) = message(&mut consumer, &mut world);
                assert_eq!((command.consumer_id, payload), (3, format!("m{sequence}").into_bytes()));
                assert_eq!(Some(command.message_id), receipt.message_id.map(with_partition));
            }
            assert!(consumer.next(&mut world).is_none());
        }
    }
}

/// Messages name their partition, receipts need not.
fn with_partition(id: p::MessageIdData) -> p::MessageIdData {
    p::MessageIdData { partition: Some(-1), ..id }
}

#[test]
fn many_producers_on_one_connection_keep_their_order_over_all_cores() {
    let cores = 4;
    let mut world = World::new(cores);
    let mut client = Client::connect(&mut world, 1);
    let topics: Vec<String> = (0..8).map(|number| topic_at(number % cores, cores, number / cores)).collect();
    for (id, topic) in (0..).zip(&topics) {
        client.producer(&mut world, id, topic, None).expect("a producer");
    }
    for sequence in 0..100 {
        for id in 0..8 {
            client.publish(&mut world, id, sequence, format!("{id}-{sequence}").as_bytes());
        }
        if sequence % 7 == 0 {
            world.turn();
        }
    }
    let mut next = [0; 8];
    for _ in 0..800 {
        let receipt = receipt(&mut client, &mut world);
        assert_eq!(
            receipt.sequence_id, next[receipt.producer_id as usize],
            "of producer {}",
            receipt.producer_id
        );
        next[receipt.producer_id as usize] += 1;
    }
    let mut consumer = Client::connect(&mut world, 2);
    for (id, topic) in (0..8).zip(&topics) {
        consumer.subscribe(&mut world, id, topic, SubscriptionType::Exclusive, 1000).expect("a consumer");
        for sequence in 0..100 {
            let (_, payload) = message(&mut consumer, &mut world);
            assert_eq!(payload, format!("{id}-{sequence}").into_bytes());
        }
    }
}

/// F17: the same data with any number of cores, and each start adds to it.
#[test]
fn what_was_confirmed_is_there_after_a_restart_with_another_number_of_cores() {
    let mut world = World::new(2);
    let topics: Vec<String> =
        (0..usize::from(STORES)).map(|store| topic_at(store, usize::from(STORES), 0)).collect();
    let publish = |world: &mut World, round: u64| {
        for topic in &topics {
            let mut client = Client::connect(world, 0);
            client.producer(world, 1, topic, None).expect("a producer");
            for sequence in round * 5..round * 5 + 5 {
                client.publish(world, 1, sequence, &sequence.to_be_bytes());
                receipt(&mut client, world);
            }
        }
    };
    for topic in &topics {
        let mut client = Client::connect(&mut world, 0);
        client.subscribe(&mut world, 1, topic, SubscriptionType::Shared, 0).expect("a consumer");
    }
    publish(&mut world, 0);
    for (round, cores) in (1..).zip([8, 1, 4, 2, 3]) {
        world.restart(cores);
        for topic in &topics {
            let mut client = Client::connect(&mut world, cores - 1);
            client.subscribe(&mut world, 1, topic, SubscriptionType::Shared, 100).expect("a consumer");
            // Of the last round's five three stay, of each earlier one's as well: two are acknowledged in a round.
            let left = (0..round)
                .flat_map(|earlier| earlier * 5 + 2 * u64::from(earlier + 1 < round)..earlier * 5 + 5);
            for (number, sequence) in (0..).zip(left) {
                let (message, payload) = message(&mut client, &mut world);
                assert_eq!(payload, sequence.to_be_bytes(), "{cores} cores, {topic}, message {number}");
                if sequence / 5 + 1 == round && sequence % 5 < 2 {
                    client.ack(&mut world, 1, &message.message_id);
                }
            }
            assert!(client.next(&mut world).is_none(), "the rest is acknowledged");
        }
        world.settle();
        world.pass(Duration::from_secs(1)); // cursors are saved
        publish(&mut world, round);
    }
}

#[test]
fn topics_are_listed_from_all_cores() {
    let cores = 3;
    let mut world = World::new(cores);
    let mut client = Client::connect(&mut world, 0);
    let mut topics: Vec<String> = (0..cores).map(|core| topic_at(core, cores, 0)).collect();
    for (id, topic) in (0..).zip(&topics) {
        client.producer(&mut world, id, topic, None).expect("a producer");
    }
    let ask = p::CommandGetTopicsOfNamespace {
        request_id: 9,
        namespace: "public/default".to_owned(),
        ..Default::default()
    };
    client.send(&mut world, Command::GetTopicsOfNamespace(ask));
    let Command::GetTopicsOfNamespaceResponse(answer) = client.expect(&mut world).command else { panic!() };
    topics.sort();
    assert_eq!(answer.topics, topics);
    for topic in &topics {
        assert_eq!(client.partitions(&mut world, topic, Some(false)), Ok(0), "it exists");
    }
}

#[test]
fn a_connection_that_ends_frees_its_place() {
    let mut world = World::new(2);
    let topic = topic_at(1, 2, 0);
    let mut first = Client::connect(&mut world, 0);
    first.subscribe(&mut world, 1, &topic, SubscriptionType::Exclusive, 10).expect("a consumer");
    world.cut(first.at);
    let mut second = Client::connect(&mut world, 0);
    second.subscribe(&mut world, 1, &topic, SubscriptionType::Exclusive, 10).expect("the place is free");
}

#[test]
fn a_newcomer_waits_until_the_one_in_its_place_shows_whether_it_lives() {
    let mut world = World::new(2);
    let topic = topic_at(1, 2, 0);
    let mut first = Client::connect(&mut world, 0);
    first.producer(&mut world, 1, &topic, Some("name")).expect("a producer");
    let mut second = Client::connect(&mut world, 1);
    let ask = |request_id| {
        Command::Producer(p::CommandProducer {
            topic: topic.clone(),
            producer_id: 1,
            request_id,
            producer_name: Some("name".to_owned()),
            ..Default::default()
        })
    };
    second.send(&mut world, ask(5));
    assert!(second.next(&mut world).is_none(), "the first one is asked");
    let probed = world.fetch(first.at);
    assert!(matches!(frame::read(&probed).expect("a frame").command, Command::Ping(_)));
    first.send(&mut world, Command::Pong(p::CommandPong {}));
    let Command::Error(busy) = second.expect(&mut world).command else { panic!("busy") };
    assert_eq!(busy.error, p::ServerError::ProducerBusy as i32);
    second.send(&mut world, ask(6));
    world.settle();
    world.pass(Duration::from_secs(5));
    let Command::ProducerSuccess(success) = second.expect(&mut world).command else { panic!("admitted") };
    assert_eq!(success.request_id, 6);
    world.settle();
    assert!(!world.is_open(first.at), "the dead one is closed");
}

#[test]
fn a_consumer_that_does_not_read_is_sent_little_and_costs_only_itself() {
    let mut world = World::new(2);
    for topic in [topic_at(0, 2, 0), topic_at(1, 2, 0)] {
        let mut producer = Client::connect(&mut world, 0);
        producer.producer(&mut world, 1, &topic, None).expect("a producer");
        let mut slow = Client::connect(&mut world, 0);
        slow.subscribe(&mut world, 1, &topic, SubscriptionType::Shared, 1000).expect("a consumer");
        let large = vec![1; 128 << 10];
        for sequence in 0..100 {
            producer.publish(&mut world, 1, sequence, &large);
            world.settle();
        }
        let queued = world.queued(slow.at);
        assert!((1 << 20..4 << 20).contains(&queued), "{queued} bytes wait for it");
        for sequence in 0..100 {
            assert_eq!(receipt(&mut producer, &mut world).sequence_id, sequence);
        }
        for _ in 0..100 {
            message(&mut slow, &mut world); // it reads on, and gets the rest
        }
        world.cut(slow.at);
        world.cut(producer.at);
    }
}

#[test]
fn publishers_wait_when_the_disk_stands_and_go_on_when_it_moves() {
    let mut world = World::new(2);
    for topic in [topic_at(0, 2, 0), topic_at(1, 2, 0)] {
        let mut client = Client::connect(&mut world, 0);
        client.producer(&mut world, 1, &topic, None).expect("a producer");
        world.disk_stands = true;
        for sequence in 0..1500 {
            client.publish(&mut world, 1, sequence, &[0; 100]);
        }
        world.settle();
        assert!(world.is_paused(client.at), "a thousand are under way");
        world.disk_stands = false;
        for sequence in 0..1500 {
            assert_eq!(receipt(&mut client, &mut world).sequence_id, sequence);
        }
        assert!(!world.is_paused(client.at));
    }
}

#[test]
fn a_client_that_breaks_the_protocol_is_closed_and_others_go_on() {
    let mut world = World::new(1);
    let topic = topic_at(0, 1, 0);
    let mut good = Client::connect(&mut world, 0);
    good.producer(&mut world, 1, &topic, None).expect("a producer");
    let bad = Client::connect(&mut world, 0);
    let mut worse = Client::connect(&mut world, 0);
    worse.publish(&mut world, 9, 0, b"of nobody");
    world.feed(bad.at, &[0xff; 64]);
    world.settle();
    assert!(!world.is_open(bad.at) && !world.is_open(worse.at));
    assert!(worse.next(&mut world).is_none());
    good.publish(&mut world, 1, 0, b"x");
    receipt(&mut good, &mut world);
}

#[test]
fn a_chunk_may_be_a_little_larger_than_a_message() {
    use prost::Message;
    /// A small one, for the sake of memory.
    const LARGEST: usize = 64 << 10;
    let mut world = World::with(1, |config| config.message_size_max = LARGEST);
    let topic = topic_at(0, 1, 0);
    let mut client = Client::connect(&mut world, 0);
    client.producer(&mut world, 1, &topic, None).expect("a producer");
    let chunk = |is_chunk: bool, sequence: u64| {
        let metadata = p::MessageMetadata {
            producer_name: "p".to_owned(),
            sequence_id: sequence,
            publish_time: 1,
            uuid: Some("p-0".to_owned()),
            num_chunks_from_msg: Some(2),
            total_chunk_msg_size: Some(8 << 20),
            chunk_id: Some(0),
            ..Default::default()
        }
        .encode_to_vec();
        // As the C++ client cuts it: up to the largest size without the fields of chunks.
        let mut summed = u32::try_from(metadata.len()).unwrap().to_be_bytes().to_vec();
        summed.extend(&metadata);
        summed.resize(summed.len() + LARGEST - 20, 7);
        let mut entry = vec![0x0e, 0x01];
        entry.extend(crc32c::crc32c(&summed).to_be_bytes());
        entry.extend(&summed);
        let mut bytes = Vec::new();
        let send = p::CommandSend {
            producer_id: 1,
            sequence_id: sequence,
            is_chunk: Some(is_chunk),
            ..Default::default()
        };
        frame::put_with_entry(&mut bytes, &Command::Send(send), &entry);
        bytes
    };
    world.feed(client.at, &chunk(true, 0));
    assert_eq!(receipt(&mut client, &mut world).sequence_id, 0);
    world.feed(client.at, &chunk(false, 1));
    let Command::SendError(error) = client.expect(&mut world).command else { panic!("refused") };
    assert_eq!(error.error, p::ServerError::NotAllowedError as i32);
}
