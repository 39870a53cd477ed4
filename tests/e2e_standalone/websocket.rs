//! WebSocket clients of a broker with files. Two cores and four stores: of the topics of a case some lie at the core that accepted
//! the client and some do not, so that sockets change cores before their upgrade is answered.

use crate::broker::{Broker, Folder, drivers};
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use tungstenite::{Message, WebSocket};

const PREFIX: &str = "/ws/v2";
const NAMESPACE: &str = "persistent/public/default";

/// A socket whose waits end. The kernel may interrupt them when another thread of this process ends a ring.
struct Socket(TcpStream);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

struct Session {
    socket: WebSocket<Socket>,
}

impl Session {
    fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("the session is open");
    }

    fn json(&mut self) -> Value {
        loop {
            match self.socket.read().expect("a text within the time") {
                Message::Text(text) => return serde_json::from_str(&text).expect("texts are JSON"),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("expected a text, got {other:?}"),
            }
        }
    }

    fn produce(&mut self, payload: &str) -> String {
        self.send(&format!(r#"{{"payload":"{payload}"}}"#));
        let ack = self.json();
        assert_eq!(ack["result"], "ok", "{ack}");
        ack["messageId"].as_str().expect("an id").to_owned()
    }

    /// Payload and id of the next message.
    fn message(&mut self) -> (String, String) {
        let message = self.json();
        let member = |name: &str| message[name].as_str().expect("a text member").to_owned();
        (member("payload"), member("messageId"))
    }

    fn ack(&mut self, id: &str) {
        self.send(&format!(r#"{{"messageId":"{id}"}}"#));
    }

    /// Everything sent before has been seen, since commands are served in their order.
    fn settle(&mut self) {
        self.send(r#"{"type":"isEndOfTopic"}"#);
        assert_eq!(self.json()["endOfTopic"], false);
    }
}

fn connect(broker: &Broker) -> Socket {
    let stream = TcpStream::connect(broker.web).expect("the port is open");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    Socket(stream)
}

fn try_open(broker: &Broker, path: &str) -> Result<Session, u16> {
    let url = format!("ws://{}{path}", broker.web);
    match tungstenite::client(url, connect(broker)) {
        Ok((socket, _)) => Ok(Session { socket }),
        Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
            Err(response.status().as_u16())
        }
        Err(other) => panic!("{other}"),
    }
}

fn open(broker: &Broker, path: &str) -> Session {
    try_open(broker, path).unwrap_or_else(|status| panic!("{status} for {path}"))
}

fn producer(broker: &Broker, topic: &str, query: &str) -> Session {
    open(broker, &format!("{PREFIX}/producer/{NAMESPACE}/{topic}?{query}"))
}

fn consumer(broker: &Broker, topic: &str, query: &str) -> Session {
    open(broker, &format!("{PREFIX}/consumer/{NAMESPACE}/{topic}/s?{query}"))
}

/// One request to the administration; its whole answer.
fn ask(broker: &Broker, method: &str, path: &str, body: &str) -> String {
    let mut stream = connect(broker);
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .expect("a small request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, then the end");
    answer
}

fn on_each(case: impl Fn(&Folder, &dyn Fn() -> Broker)) {
    for driver in drivers() {
        let folder = Folder::new();
        case(&folder, &|| Broker::start(&folder, driver, 2));
    }
}

#[test]
fn messages_cross_from_every_core_and_outlive_a_restart() {
    on_each(|_, start| {
        let broker = start();
        for number in 0..8 {
            let topic = format!("t{number}");
            let mut consumer = consumer(&broker, &topic, "");
            let mut producer = producer(&broker, &topic, "");
            producer.send(r#"{"payload":"SGVsbG8=","context":"1","key":"k","properties":{"a":"b"}}"#);
            let ack = producer.json();
            let message = consumer.json();
            assert_eq!((&ack["result"], &ack["context"]), (&"ok".into(), &"1".into()));
            assert_eq!(message["messageId"], ack["messageId"]);
            assert_eq!((&message["payload"], &message["key"]), (&"SGVsbG8=".into(), &"k".into()));
            assert_eq!(message["properties"]["a"], "b");
            consumer.ack(ack["messageId"].as_str().expect("an id"));
            let kept = producer.produce("a2VwdA==");
            assert_eq!(consumer.message(), ("a2VwdA==".to_owned(), kept), "not acknowledged");
            consumer.settle();
        }
        broker.stop();
        let broker = start();
        for number in 0..8 {
            let mut again = consumer(&broker, &format!("t{number}"), "");
            let (mut payload, mut id) = again.message();
            if payload == "SGVsbG8=" {
                // Acknowledgements are saved soon, not at once: the last one may be lost, the message not.
                (payload, id) = again.message();
            }
            assert_eq!(payload, "a2VwdA==", "the one that was not acknowledged");
            let path = format!("{PREFIX}/reader/{NAMESPACE}/t{number}?messageId=earliest");
            let mut reader = open(&broker, &path);
            assert_eq!(reader.message().0, "SGVsbG8=", "readers see all there is");
            assert_eq!(reader.message(), (payload, id));
        }
    });
}

#[test]
fn many_at_once_are_confirmed_in_order_and_large_ones_whole() {
    on_each(|_, start| {
        let broker = start();
        let mut consumer = consumer(&broker, "t", "receiverQueueSize=1000");
        let mut producer = producer(&broker, "t", "");
        for number in 0..500 {
            producer.send(&format!(r#"{{"payload":"SGVsbG8=","context":"{number}"}}"#));
        }
        for number in 0..500 {
            assert_eq!(producer.json()["context"], number.to_string());
            let (_, id) = consumer.message();
            consumer.ack(&id);
        }
        let large = "QUJD".repeat(200_000);
        let id = producer.produce(&large);
        assert!(consumer.message() == (large, id), "a large message comes back as it was");
    });
}

#[test]
fn partitions_and_several_topics_are_served_from_all_cores() {
    on_each(|_, start| {
        let broker = start();
        // Right after a start the administration says 503, try again, of stores that are still opening. A session waits for its own.
        (0..16).for_each(|number| _ = producer(&broker, &format!("first-{number}"), "").produce("AAAA"));
        let made = ask(&broker, "PUT", "/admin/v2/persistent/public/default/p/partitions", "4");
        assert!(made.starts_with("HTTP/1.1 204"), "{made}");
        let mut all = consumer(&broker, "p", "");
        let mut one = open(&broker, "/ws/v3/consumer/v3?topics=a,b,c,d");
        let mut spread = producer(&broker, "p", "messageRoutingMode=RoundRobinPartition");
        for number in 0..8 {
            let payload = format!("AAA{number}");
            spread.produce(&payload);
            let (got, id) = all.message();
            assert_eq!(got, payload);
            all.ack(&id);
        }
        for topic in ["a", "b", "c", "d"] {
            let sent = producer(&broker, topic, "").produce("AAAA");
            assert_eq!(one.message(), ("AAAA".to_owned(), sent));
        }
        all.settle();
        drop(all);
        let mut again = consumer(&broker, "p", "");
        let late = spread.produce("BBBB");
        let (payload, id) = again.message();
        assert_eq!(payload, "BBBB", "all before were acknowledged at their partitions");
        // The id a producer is told names no partition on a partition's URL alone; here both do.
        assert_eq!(id, late);
    });
}

#[test]
fn what_is_given_back_too_often_is_a_dead_letter() {
    on_each(|_, start| {
        let broker = start();
        for topic in ["t", "u", "v"] {
            let letters = format!("{topic}-s-DLQ");
            let mut dead = consumer(&broker, &letters, "subscriptionInitialPosition=Earliest");
            let query = "subscriptionType=Shared&maxRedeliverCount=1&negativeAckRedeliveryDelay=10";
            let mut live = consumer(&broker, topic, query);
            producer(&broker, topic, "").produce("SGVsbG8=");
            for count in 0..2 {
                let message = live.json();
                assert_eq!(message["redeliveryCount"], count);
                let id = message["messageId"].as_str().expect("an id");
                live.send(&format!(r#"{{"type":"negativeAcknowledge","messageId":"{id}"}}"#));
            }
            let letter = dead.json();
            assert_eq!(letter["payload"], "SGVsbG8=");
            let origin = format!("persistent://public/default/{topic}");
            assert_eq!(letter["properties"]["REAL_TOPIC"], origin);
        }
    });
}

#[test]
fn what_cannot_be_opened_is_refused_with_its_status() {
    on_each(|_, start| {
        let broker = start();
        for topic in ["t", "u", "v"] {
            let _exclusive = consumer(&broker, topic, "");
            let second = format!("{PREFIX}/consumer/{NAMESPACE}/{topic}/s");
            assert_eq!(try_open(&broker, &second).err(), Some(409));
            let named = format!("{PREFIX}/producer/{NAMESPACE}/{topic}?producerName=x");
            let first = open(&broker, &named);
            assert_eq!(try_open(&broker, &named).err(), Some(409));
            drop(first);
            let missing = format!("{PREFIX}/producer/persistent/public/missing/{topic}");
            assert_eq!(try_open(&broker, &missing).err(), Some(404));
            assert_eq!(try_open(&broker, &format!("{named}&sendTimeoutMillis=x")).err(), Some(400));
        }
        assert!(ask(&broker, "GET", "/livez", "").starts_with("HTTP/1.1 200"));
        assert!(ask(&broker, "GET", "/admin/v2/tenants", "").starts_with("HTTP/1.1 200"));
    });
}
