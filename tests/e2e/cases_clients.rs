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
