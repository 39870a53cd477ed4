//! Messages through a broker with files.

use crate::broker::{Broker, Folder, drivers};
use crate::client::Client;
use pulsegate::wire::pulsar::proto::SubscriptionType;

const TOPIC: &str = "persistent://public/default/t";

#[test]
fn what_is_sent_arrives_and_is_there_after_a_restart() {
    for driver in drivers() {
        let folder = Folder::new();
        let broker = Broker::start(&folder, driver, 2);
        let topics: Vec<String> = (0..8).map(|number| format!("{TOPIC}{number}")).collect();
        let mut producer = Client::connect(broker.binary);
        let mut consumer = Client::connect(broker.binary);
        for (id, topic) in (0..).zip(&topics) {
            producer.producer(id, topic);
            consumer.subscribe(id, topic, SubscriptionType::Exclusive, 100);
            for sequence in 0..10 {
                producer.publish(id, sequence, format!("{id}-{sequence}").as_bytes());
            }
            for sequence in 0..10 {
                let receipt = producer.receipt();
                assert_eq!((receipt.producer_id, receipt.sequence_id), (id, sequence));
                let (message, payload) = consumer.message();
                assert_eq!((message.consumer_id, payload), (id, format!("{id}-{sequence}").into_bytes()));
                if sequence < 4 {
                    consumer.ack_heard(id, &message.message_id);
                }
            }
        }
        broker.stop();
        let broker = Broker::start(&folder, driver, 1);
        let mut consumer = Client::connect(broker.binary);
        for (id, topic) in (0..).zip(&topics) {
            consumer.subscribe(id, topic, SubscriptionType::Exclusive, 100);
            for sequence in 4..10 {
                assert_eq!(consumer.message().1, format!("{id}-{sequence}").into_bytes(), "{driver:?}");
            }
            consumer.expect_nothing();
        }
    }
}
