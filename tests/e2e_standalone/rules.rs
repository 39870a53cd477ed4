//! What a broker allows and refuses, and what a client that misbehaves costs.

use crate::broker::{Broker, Folder, drivers};
use crate::client::{Client, entry_of, subscription};
use pulsegate::shard::run::Driver;
use pulsegate::wire::pulsar::Command;
use pulsegate::wire::pulsar::frame;
use pulsegate::wire::pulsar::proto as p;
use pulsegate::wire::pulsar::proto::{ProducerAccessMode, ServerError, SubscriptionType};

const TOPIC: &str = "persistent://public/default/t";

/// One broker for a test, on two cores by the best driver.
fn broker() -> (Folder, Broker) {
    let folder = Folder::new();
    let broker = Broker::start(&folder, Driver::Auto, 2);
    (folder, broker)
}

#[test]
fn every_type_of_subscription_gets_every_message() {
    let (_folder, broker) = broker();
    for kind in [
        SubscriptionType::Exclusive,
        SubscriptionType::Shared,
        SubscriptionType::Failover,
        SubscriptionType::KeyShared,
    ] {
        let topic = format!("{TOPIC}-{}", kind as i32);
        let mut client = Client::connect(broker.binary);
        client.producer(1, &topic);
        let mut consumer = Client::connect(broker.binary);
        consumer.subscribe(1, &topic, kind, 100);
        for sequence in 0..20 {
            client.publish_one(1, sequence, &sequence.to_be_bytes());
        }
        let mut got: Vec<u64> = Vec::new();
        for _ in 0..20 {
            let (message, payload) = consumer.message();
            got.push(u64::from_be_bytes(payload.try_into().expect("a number")));
            consumer.ack(1, &message.message_id);
        }
        got.sort_unstable();
        assert_eq!(got, (0..20).collect::<Vec<_>>(), "{kind:?}");
    }
}

#[test]
fn seeking_goes_back_and_closes_the_consumer_first() {
    let (_folder, broker) = broker();
    let mut client = Client::connect(broker.binary);
    client.producer(1, TOPIC);
    let ids: Vec<_> = (0..5_u64).map(|sequence| client.publish_one(1, sequence, &[sequence as u8])).collect();
    let mut consumer = Client::connect(broker.binary);
    consumer.subscribe(7, TOPIC, SubscriptionType::Exclusive, 100);
    for number in 0..5 {
        assert_eq!(consumer.message().1, [number]);
    }
    let seek = p::CommandSeek {
        consumer_id: 7,
        request_id: 90,
        message_id: Some(ids[2].clone()),
        ..Default::default()
    };
    consumer.send(&Command::Seek(seek));
    let Command::CloseConsumer(close) = consumer.expect().command else { panic!("closed first") };
    assert_eq!((close.consumer_id, close.request_id), (7, u64::MAX));
    let Command::Success(success) = consumer.expect().command else { panic!("then answered") };
    assert_eq!(success.request_id, 90);
    consumer.subscribe(7, TOPIC, SubscriptionType::Exclusive, 100);
    for number in 2..5 {
        assert_eq!(consumer.message().1, [number]);
    }
    consumer.expect_nothing();
}

#[test]
fn places_are_taken_and_given() {
    let (_folder, broker) = broker();
    let mut first = Client::connect(broker.binary);
    let mut second = Client::connect(broker.binary);
    first.producer(1, TOPIC);
    first.subscribe(1, TOPIC, SubscriptionType::Exclusive, 10);
    let exclusive = p::CommandProducer {
        topic: TOPIC.to_owned(),
        producer_id: 1,
        producer_access_mode: Some(ProducerAccessMode::Exclusive as i32),
        ..Default::default()
    };
    let end = first.handle();
    std::thread::scope(|scope| {
        // It shows that it lives when it is asked.
        scope.spawn(move || while first.next().is_some() {});
        let busy = second.try_subscribe(subscription(1, TOPIC, SubscriptionType::Exclusive), 10);
        assert_eq!(busy.expect_err("taken").error, ServerError::ConsumerBusy as i32);
        let fenced = second.try_producer(exclusive.clone()).expect_err("there is another producer");
        assert_eq!(fenced.error, ServerError::ProducerFenced as i32);
        end.shutdown(std::net::Shutdown::Both).expect("a socket");
    });
    // That the first one is gone is heard of by the hosts before anything that is asked afterwards, but not by this test.
    while second.try_subscribe(subscription(1, TOPIC, SubscriptionType::Exclusive), 10).is_err() {}
    while second.try_producer(exclusive.clone()).is_err() {}
    second.publish_one(1, 0, b"mine alone");
}

#[test]
fn hostile_bytes_end_their_connection_and_no_other() {
    for driver in drivers() {
        let folder = Folder::new();
        let broker = Broker::start(&folder, driver, 1);
        let mut good = Client::connect(broker.binary);
        good.producer(1, TOPIC);
        let over_long = (6_u32 << 20).to_be_bytes().to_vec();
        let mut early = Vec::new();
        frame::put(&mut early, &Command::Flow(p::CommandFlow { consumer_id: 1, message_permits: 1 }));
        for hostile in [over_long, early, b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0; 64], vec![0xff; 64]] {
            let mut client = Client::silent(broker.binary);
            client.write(&hostile);
            assert!(client.next().is_none(), "{driver:?}: {hostile:02x?}");
        }
        let mut unknown = Client::connect(broker.binary);
        unknown.publish(9, 0, b"of nobody");
        assert!(unknown.next().is_none());
        good.publish_one(1, 0, b"x");
    }
}

#[test]
fn a_client_that_asks_and_never_reads_is_not_read_from() {
    let (_folder, broker) = broker();
    let mut rude = Client::connect(broker.binary);
    let mut ask = Vec::new();
    let look_up = p::CommandLookupTopic { topic: TOPIC.to_owned(), request_id: 1, ..Default::default() };
    frame::put(&mut ask, &Command::Lookup(look_up));
    let many = ask.repeat(10_000);
    // What it may send without reading is bounded by our buffers and the kernel's: far below this.
    let sent = rude.write_until_stuck(&many, 512 << 20);
    assert!(sent < 32 << 20, "{sent} bytes of requests were taken");
    let mut good = Client::connect(broker.binary);
    good.producer(1, TOPIC);
    good.publish_one(1, 0, b"undisturbed");
}

#[test]
fn a_consumer_that_never_reads_does_not_hold_others_up() {
    let (_folder, broker) = broker();
    let mut producer = Client::connect(broker.binary);
    producer.producer(1, TOPIC);
    let mut rude = Client::connect(broker.binary);
    let deaf = p::CommandSubscribe {
        subscription: "deaf".to_owned(),
        ..subscription(1, TOPIC, SubscriptionType::Exclusive)
    };
    rude.try_subscribe(deaf, 1000).expect("a consumer");
    let mut good = Client::connect(broker.binary);
    good.subscribe(1, TOPIC, SubscriptionType::Exclusive, 1000);
    let payload = vec![7; 256 << 10];
    for sequence in 0..200 {
        producer.publish_one(1, sequence, &payload);
        let (message, got) = good.message();
        assert_eq!(got.len(), payload.len());
        good.ack(1, &message.message_id);
    }
}

#[test]
fn what_was_sent_before_is_known_when_deduplication_is_on() {
    let folder = Folder::new();
    let rules = |config: &mut pulsegate::service::embedded::EmbeddedConfig| {
        config.policies.settings.deduplication = true;
    };
    for restarted in [false, true] {
        let broker = Broker::start_with(&folder, Driver::Auto, 2, rules);
        let mut client = Client::connect(broker.binary);
        let named = p::CommandProducer {
            topic: TOPIC.to_owned(),
            producer_id: 1,
            producer_name: Some("p".to_owned()),
            ..Default::default()
        };
        let success = loop {
            match client.try_producer(named.clone()) {
                Ok(success) => break success,
                Err(error) => assert_eq!(error.error, ServerError::ServiceNotReady as i32, "{error:?}"),
            }
        };
        assert_eq!(success.last_sequence_id, Some(if restarted { 9 } else { -1 }));
        let mut bytes = Vec::new();
        for sequence in 5..10 {
            frame::put_send(&mut bytes, 1, sequence, None, 1, &entry_of("p", sequence, b"x"));
        }
        client.write(&bytes);
        for sequence in 5..10 {
            let receipt = client.receipt();
            let id = receipt.message_id.expect("an id");
            assert_eq!((receipt.sequence_id, id.ledger_id == u64::MAX), (sequence, restarted));
        }
    }
}
