//! Bytes through a core: echo, slow readers, half close, lingering close, abort.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod shard_common;

use pulsegate::shard::links::Closed;
use pulsegate::shard::run::Driver;
use shard_common::{Seen, Server, ask, config, drivers, expect, pattern, ping, reset};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;

#[test]
fn echoes() {
    for driver in drivers() {
        let mut server = Server::start(config(driver, 1));
        assert_eq!(server.running.driver, driver);
        let mut client = server.connect();
        ping(&mut client, b"\0one");
        let local = client.local_addr().unwrap();
        server.wait_for(|seen| matches!(seen, Seen::Accepted(_, _, peer) if *peer == local));
        ping(&mut client, b"two");
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0, "{driver:?}: EOF is answered");
        assert_eq!(server.closed(), Closed::Peer);
        let ends = server.stop();
        assert_eq!((ends[0].1.bytes_in, ends[0].1.bytes_out), (7, 7), "{driver:?}");
    }
}

#[test]
fn a_slow_reader_gets_every_byte_and_the_outbox_stays_bounded() {
    const LENGTH: usize = 32 << 20;
    for driver in drivers() {
        let server = Server::start(config(driver, 1));
        let mut client = server.connect();
        let mut writer = client.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            for from in (0..LENGTH).step_by(1 << 20) {
                writer.write_all(&pattern(1, from as u64, 1 << 20)).unwrap();
            }
        });
        // Reads in small steps: the writer is always ahead until the echo stops reading.
        for from in (0..LENGTH).step_by(64 << 10) {
            expect(&mut client, 1, from as u64, 64 << 10);
        }
        writing.join().unwrap();
        drop(client);
        let ends = server.stop();
        // Above the mark come at most the bytes received before the pause took effect: the receive buffers.
        assert!(ends[0].0 <= shard_common::HIGH + (5 << 20), "{driver:?}: outbox of {}", ends[0].0);
    }
}

/// Small answers to a client that does not read: its socket fills up in the middle of one, and the rest waits for room.
#[test]
fn small_sends_to_a_full_socket_lose_nothing_and_hold_nobody_up() {
    const STEP: usize = 1 << 10;
    const STEPS_MAX: usize = 16 << 10;
    for driver in drivers() {
        let server = Server::start(config(driver, 1));
        let (mut client, mut other) = (server.connect(), server.connect());
        client.set_nonblocking(true).unwrap();
        let mut written = 0;
        for step in 0..STEPS_MAX {
            let bytes = pattern(1, (step * STEP) as u64, STEP);
            match client.write(&bytes) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{driver:?}: {error}"),
            }
            if written < (step + 1) * STEP {
                break;
            }
            // The core has had a turn for what was written.
            ping(&mut other, b"\0");
        }
        assert!(written < STEPS_MAX * STEP, "{driver:?}: nothing was full");
        ping(&mut other, b"still served");
        client.set_nonblocking(false).unwrap();
        expect(&mut client, 1, 0, written);
        drop((client, other));
        server.stop();
    }
}

/// A core does not wake up to learn that a small send was taken.
#[test]
fn a_round_trip_is_one_wake() {
    const ROUND_TRIPS: u64 = 100;
    // Ticks wake as well, and there are many of them while others have the processor.
    const TRIES: usize = 20;
    if !drivers().contains(&Driver::Ring) {
        return;
    }
    let tries = (0..TRIES).map(|_| {
        let server = Server::start(config(Driver::Ring, 1));
        let mut client = server.connect();
        for _ in 0..ROUND_TRIPS {
            ping(&mut client, b"\0ping");
        }
        drop(client);
        server.stop()[0].1.enters
    });
    let mut seen = Vec::new();
    for enters in tries {
        seen.push(enters);
        if enters < ROUND_TRIPS * 3 / 2 {
            return;
        }
    }
    panic!("enters for {ROUND_TRIPS} round trips: {seen:?}");
}

#[test]
fn a_lingering_close_sends_everything_and_drops_what_still_comes() {
    for driver in drivers() {
        let mut server = Server::start(config(driver, 1));
        let mut client = server.connect();
        client.write_all(&[ask::CLOSE]).unwrap();
        let mut answer = Vec::new();
        // The server has ended its direction, but ours still takes bytes without a reset.
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"bye");
        client.write_all(&pattern(2, 0, 1 << 20)).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(server.closed(), Closed::Local, "{driver:?}");
        server.stop();
    }
}

#[test]
fn an_abort_resets() {
    for driver in drivers() {
        let mut server = Server::start(config(driver, 1));
        let mut client = server.connect();
        client.write_all(&[ask::ABORT]).unwrap();
        let error = client.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{driver:?}");
        assert_eq!(server.closed(), Closed::Local);
        let mut client = server.connect();
        ping(&mut client, b"\0");
        reset(client);
        assert!(matches!(server.closed(), Closed::Errno(libc::ECONNRESET)), "{driver:?}");
        server.stop();
    }
}
