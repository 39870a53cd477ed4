//! What clients see.

use crate::broker::Broker;
use crate::gateway::{Served, Socket, TOPIC, config, read_answer};
use pulsegate::shard::run::Driver;
use pulsegate::wire::pulsar::proto::ServerError;
use std::io::{Read, Write};
use std::time::Duration;

const DRIVERS: [Driver; 2] = [Driver::Ring, Driver::Portable];

fn request(number: usize) -> String {
    format!(r#"{{"payload":"SGVsbG8=","context":"{number}"}}"#)
}

/// Runs a case on both drivers.
fn on_each(case: impl Fn(&Broker, &Served)) {
    for driver in DRIVERS {
        let broker = Broker::start();
        let served = Served::start(config(&broker), driver, 1);
        case(&broker, &served);
    }
}

#[test]
fn a_message_goes_in_and_comes_out() {
    on_each(|broker, served| {
        let mut consumer = served.consumer("");
        let mut producer = served.producer("");
        producer.send(r#"{"payload":"SGVsbG8=","context":"1","key":"k","properties":{"a":"b"}}"#);
        assert_eq!(
            producer.text(),
            r#"{"result":"ok","messageId":"CAEQADAA","context":"1","errorCode":0,"schemaVersion":0}"#
        );
        let message = consumer.json();
        assert_eq!(message["messageId"], "CAEQADAA");
        assert_eq!((&message["payload"], &message["key"]), (&"SGVsbG8=".into(), &"k".into()));
        assert_eq!(broker.state().bodies(TOPIC), [b"Hello"]);
        consumer.send(r#"{"messageId":"CAEQADAA"}"#);
        broker.wait_until("the ack", |state| state.topics[TOPIC].acked.contains(&0));
    });
}

#[test]
fn what_was_not_confirmed_is_sent_again_in_order_after_the_links_are_lost() {
    on_each(|broker, served| {
        let mut producer = served.producer("");
        producer.send(&request(0));
        assert!(producer.text().contains(r#""result":"ok""#));
        broker.state().hold_receipts = true;
        for number in 1..50 {
            producer.send(&request(number));
        }
        broker.wait_until("all are stored", |state| state.topics[TOPIC].entries.len() == 50);
        broker.drop_links();
        broker.state().hold_receipts = false;
        for number in 50..60 {
            producer.send(&request(number));
        }
        for number in 1..60 {
            let ack = producer.json();
            assert_eq!((&ack["result"], &ack["context"]), (&"ok".into(), &number.to_string().into()));
        }
        let state = broker.state();
        let ids: Vec<u64> = state.topics[TOPIC].entries.iter().map(|entry| entry.sequence_id).collect();
        let expected: Vec<u64> = (0..50).chain(1..60).collect();
        assert_eq!(ids, expected, "the unconfirmed ones again, with their ids, then the new ones");
        assert_eq!(state.topics[TOPIC].entries[1], state.topics[TOPIC].entries[50], "byte for byte");
    });
}

#[test]
fn a_consumer_comes_back_with_its_permits() {
    on_each(|broker, served| {
        let mut consumer = served.consumer("subscriptionInitialPosition=Earliest&receiverQueueSize=5");
        let mut producer = served.producer("");
        for number in 0..3 {
            producer.send(&request(number));
            producer.text();
            let message = consumer.text();
            assert!(message.contains(r#""payload":"SGVsbG8=""#), "{message}");
        }
        broker.drop_links();
        for _ in 0..3 {
            consumer.text(); // not acknowledged: they come again
        }
        producer.send(&request(3));
        assert!(consumer.text().contains("CAEQAzAA"));
    });
}

#[test]
fn a_refused_creation_is_the_status_and_the_connection_goes_on() {
    on_each(|broker, served| {
        broker.state().refuse_next = Some((ServerError::ConsumerBusy, "busy".to_owned()));
        let path = "/ws/v2/consumer/persistent/public/default/t/s";
        let upgrade = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let mut stream = served.connect();
        stream.write_all(upgrade.as_bytes()).unwrap();
        let answer = read_answer(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 409 "), "{answer}");
        assert!(answer.contains(r#"Failed to create producer/consumer: {"errorMsg":"busy""#), "{answer}");
        stream.write_all(upgrade.as_bytes()).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 101");
    });
}

#[test]
fn a_client_that_leaves_before_its_101_leaves_nothing() {
    on_each(|broker, served| {
        broker.state().mute_creation = true;
        let mut stream = served.connect();
        stream
            .write_all(
                b"GET /ws/v2/producer/persistent/public/default/t HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
                  Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            )
            .unwrap();
        let asked = |state: &crate::broker::State| state.commands.iter().any(|name| name == "Producer");
        broker.wait_until("the producer is asked for", asked);
        drop(stream);
        broker.wait_until("it is closed again", |state| {
            state.commands.iter().any(|name| name == "CloseProducer")
        });
    });
}

#[test]
fn a_flood_is_not_read_from_and_loses_nothing() {
    on_each(|broker, served| {
        broker.state().hold_receipts = true;
        let mut producer = served.producer("");
        let payload = "QUFB".repeat(4096);
        let flood = std::thread::scope(|scope| {
            let socket = Socket(producer.socket.get_ref().0.try_clone().unwrap());
            let mut writer =
                tungstenite::WebSocket::from_raw_socket(socket, tungstenite::protocol::Role::Client, None);
            let text = format!(r#"{{"payload":"{payload}"}}"#);
            scope.spawn(move || {
                for _ in 0..2000 {
                    writer.send(tungstenite::Message::text(text.as_str())).unwrap();
                }
            });
            served.get_until("/metrics", |text| {
                text.lines()
                    .any(|line| line.starts_with("pulsegate_producer_pauses_total") && !line.ends_with(" 0"))
            });
            broker.release_receipts();
            (0..2000).filter(|_| producer.text().contains(r#""result":"ok""#)).count()
        });
        assert_eq!(flood, 2000);
        assert_eq!(broker.state().topics[TOPIC].entries.len(), 2000);
    });
}

#[test]
fn pages_answer() {
    on_each(|_, served| {
        assert!(served.get("/livez").starts_with("HTTP/1.1 200 "));
        served.get_until("/readyz", |answer| answer.starts_with("HTTP/1.1 200 "));
        assert!(served.get("/status.html").starts_with("HTTP/1.1 404 "));
        assert!(served.get("/nothing").starts_with("HTTP/1.1 404 "));
        assert!(served.get("/ws/v2/producer").starts_with("HTTP/1.1 302 "));
        assert!(served.get("/ws/v2/producer/persistent/public/default/t").starts_with("HTTP/1.1 405 "));
        let _producer = served.producer("");
        let metrics = served.get("/metrics");
        assert!(metrics.contains("pulsar_websocket_num_producer_sessions 1"), "{metrics}");
        let stats = served.get("/admin/v2/proxy-stats/stats");
        assert!(stats.contains(r#""producerStats":[{"#), "{stats}");
    });
}

#[test]
fn several_cores_report_as_one() {
    let broker = Broker::start();
    let served = Served::start(config(&broker), Driver::Auto, 3);
    let producers: Vec<_> = (0..12).map(|_| served.producer("")).collect();
    let metrics = served.get("/metrics");
    assert!(metrics.contains("pulsar_websocket_num_producer_sessions 12"), "{metrics}");
    drop(producers);
    served.get_until("/metrics", |text| text.contains("pulsar_websocket_num_producer_sessions 0"));
}

#[test]
fn a_stop_waits_for_what_brokers_still_confirm_and_says_goodbye() {
    on_each(|broker, served| {
        let mut producer = served.producer("");
        let mut consumer = served.consumer("");
        broker.state().hold_receipts = true;
        producer.send(&request(1));
        broker.wait_until("it is stored", |state| {
            state.topics.get(TOPIC).is_some_and(|topic| !topic.entries.is_empty())
        });
        served.stop();
        consumer.text();
        assert_eq!(u16::from(consumer.closed().0), 1001);
        broker.release_receipts();
        assert!(producer.text().contains(r#""result":"ok""#));
        assert_eq!(u16::from(producer.closed().0), 1001);
    });
}

#[test]
fn a_head_that_does_not_end_gets_431_and_garbage_gets_400() {
    on_each(|_, served| {
        let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "y".repeat(9000));
        assert!(served.http(&long).starts_with("HTTP/1.1 431 "));
        assert!(served.http("\x01\x02\x03 garbage\r\n\r\n").starts_with("HTTP/1.1 400 "));
    });
}

#[test]
fn frames_sent_with_the_head_are_not_lost() {
    on_each(|broker, served| {
        let mut stream = served.connect();
        let mut bytes = b"GET /ws/v2/producer/persistent/public/default/t HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
              Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            .to_vec();
        let text = br#"{"payload":"QQ=="}"#;
        bytes.extend_from_slice(&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0]);
        bytes.extend_from_slice(text);
        stream.write_all(&bytes).unwrap();
        broker.wait_until("the message", |state| state.bodies(TOPIC) == [b"A"]);
        drop(stream);
        broker.wait_until("the producer is gone", |state| state.attached().0 == 0);
    });
}

#[test]
fn an_idle_session_is_closed_and_pings_keep_one_alive() {
    let broker = Broker::start();
    let mut idle = config(&broker);
    idle.session_idle = Duration::from_millis(300);
    let served = Served::start(idle.clone(), Driver::Auto, 1);
    assert_eq!(u16::from(served.producer("").closed().0), 1001);
    drop(served);
    idle.ping_interval = Some(Duration::from_millis(50));
    let served = Served::start(idle, Driver::Auto, 1);
    let mut producer = served.producer("");
    let mut pings = 0;
    while pings < 12 {
        if let tungstenite::Message::Ping(payload) = producer.socket.read().unwrap() {
            assert_eq!(payload.as_ref(), b"PING");
            pings += 1;
        }
    }
}
