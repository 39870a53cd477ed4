//! What clients see that ask for more than they take, or send what no client should.

use crate::broker::Broker;
use crate::gateway::{Served, config};
use pulsegate::shard::run::Driver;
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

const DRIVERS: [Driver; 2] = [Driver::Ring, Driver::Portable];

/// Runs a case on both drivers.
fn on_each(case: impl Fn(&Broker, &Served)) {
    for driver in DRIVERS {
        let broker = Broker::start();
        let served = Served::start(config(&broker), driver, 1);
        case(&broker, &served);
    }
}

#[test]
fn a_client_that_asks_for_pages_and_takes_none_is_not_read_until_it_does() {
    const REQUEST: &[u8] = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    const FAR_TOO_MANY: usize = 32 << 20;
    on_each(|_, served| {
        let mut stream = served.connect();
        socket2::SockRef::from(&stream.0).set_send_buffer_size(64 * 1024).unwrap();
        stream.0.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let many = REQUEST.repeat(500);
        let mut sent = 0;
        loop {
            match stream.write(&many[sent % many.len()..]) {
                Ok(written) => sent += written,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => panic!("{error}"),
            }
            assert!(sent < FAR_TOO_MANY, "answers pile up in the server");
        }
        // What it asked for all comes, once it reads.
        let (mut answers, mut kept, mut chunk) = (0, Vec::new(), [0; 64 * 1024]);
        while answers < sent / REQUEST.len() {
            let read = stream.read(&mut chunk).unwrap();
            assert!(read > 0, "cut off after {answers} answers");
            kept.extend_from_slice(&chunk[..read]);
            let text = std::str::from_utf8(&kept).unwrap();
            answers += text.matches("HTTP/1.1 200 OK\r\n").count();
            let rest = text.rfind("HTTP/1.1 200 OK\r\n").map_or(0, |at| at + "HTTP/1.1 200 OK\r\n".len());
            kept.drain(..rest);
        }
        assert_eq!(answers, sent / REQUEST.len());
    });
}

#[test]
fn an_unknown_page_with_a_long_name_of_any_letters_is_not_found() {
    on_each(|_, served| {
        for start in ["", "a", "ab", "abc"] {
            let path = format!("/{start}{}", "\u{e9}\u{20ac}\u{1f600}".repeat(50));
            assert!(served.get(&path).starts_with("HTTP/1.1 404 "), "{path}");
        }
        assert!(served.get("/livez").starts_with("HTTP/1.1 200 "));
    });
}

#[test]
fn an_unsubscription_without_a_broker_is_refused() {
    on_each(|broker, served| {
        let mut consumer = served.consumer("");
        broker.state().mute_creation = true; // it comes back to a broker that does not answer
        broker.drop_links();
        broker.wait_until("it is asked for again", |state| {
            state.commands.iter().filter(|name| *name == "Subscribe").count() == 2
        });
        consumer.send(r#"{"type":"unsubscribe"}"#);
        let (code, reason) = consumer.closed();
        assert_eq!((u16::from(code), reason.as_str()), (4003, "Failed to de-serialize from JSON"));
        assert!(!broker.state().commands.iter().any(|name| name == "Unsubscribe"));
    });
}
