//! Connections that come, go, break and move, beside streams that must not notice.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod shard_common;

use pulsegate::shard::run::{Driver, RunConfig};
use shard_common::{Seen, Server, ask, config, connect, drivers, expect, pattern, reset};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

#[test]
fn streams_survive_churn_over_a_small_table() {
    for driver in drivers() {
        // A small table: slots are reused at once.
        let server = Server::start(RunConfig { connections_max: 64, ..config(driver, 1) });
        let address = server.address();
        let stop = Arc::new(AtomicBool::new(false));
        let steady: Vec<_> = (0..4u64)
            .map(|id| {
                let stop = Arc::clone(&stop);
                thread::spawn(move || {
                    let (mut stream, mut at) = (connect(address), 0);
                    while !stop.load(SeqCst) {
                        stream.write_all(&pattern(id, at, 1000)).unwrap();
                        expect(&mut stream, id, at, 1000);
                        at += 1000;
                    }
                    at
                })
            })
            .collect();
        for id in 100..1300u64 {
            let mut stream = connect(address);
            stream.write_all(&pattern(id, 0, 3000)).unwrap();
            match id % 4 {
                0 => reset(stream), // with our echo in flight
                1 => {
                    expect(&mut stream, id, 0, 3000);
                    stream.shutdown(Shutdown::Write).unwrap();
                    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0, "an orderly end is answered");
                }
                2 => drop(stream), // unread data: the kernel turns this into a reset
                _ => {
                    expect(&mut stream, id, 0, 100);
                    reset(stream);
                }
            }
        }
        stop.store(true, SeqCst);
        assert!(steady.into_iter().all(|thread| thread.join().unwrap() > 0));
        // `stop` checks that no completion met a dead key.
        let ends = server.stop();
        assert_eq!(ends[0].1.accepted, ends[0].1.closed, "{driver:?}: {:?}", ends[0].1);
    }
}

#[test]
fn a_full_table_keeps_clients_waiting_until_there_is_room() {
    for driver in drivers() {
        let mut server = Server::start(RunConfig { connections_max: 8, ..config(driver, 1) });
        let mut first: Vec<_> = (0..7u8).map(|_| server.connect()).collect();
        for stream in &mut first {
            shard_common::ping(stream, b"\0here");
        }
        // The eighth slot is kept for a connection of the core's own. These wait, in the kernel's queue or refused.
        let late: Vec<_> = (0..4u8).map(|_| server.connect()).collect();
        first.clear();
        for _ in 0..7 {
            server.closed();
        }
        // Whoever was refused comes again; all are served.
        for mut stream in late {
            let mut back = [0; 5];
            let served = stream.write_all(b"\0late").and_then(|()| stream.read_exact(&mut back));
            if served.is_err() {
                stream = server.connect();
                shard_common::ping(&mut stream, b"\0late");
            }
        }
        server.stop();
    }
}

#[test]
fn more_bytes_than_receive_buffers() {
    const CLIENTS: u64 = 64;
    const ROUND: usize = 128 << 10;
    for driver in drivers() {
        let server = Server::start(config(driver, 1));
        let address = server.address();
        let burner = thread::spawn(move || {
            // While the core is busy elsewhere more arrives than its receive buffers hold.
            for _ in 0..8 {
                let mut stream = connect(address);
                stream.write_all(&[&[ask::BURN][..], b"120"].concat()).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
            }
        });
        let clients: Vec<_> = (0..CLIENTS)
            .map(|id| {
                thread::spawn(move || {
                    let mut stream = connect(address);
                    let mut writer = stream.try_clone().unwrap();
                    let writing = thread::spawn(move || {
                        for round in 0..8 {
                            writer.write_all(&pattern(id, (round * ROUND) as u64, ROUND)).unwrap();
                        }
                    });
                    for round in 0..8 {
                        expect(&mut stream, id, (round * ROUND) as u64, ROUND);
                    }
                    writing.join().unwrap();
                })
            })
            .collect();
        clients.into_iter().for_each(|thread| thread.join().unwrap());
        burner.join().unwrap();
        let ends = server.stop();
        if driver == Driver::Ring {
            assert!(ends[0].1.starved > 0, "the buffers never ran out: {:?}", ends[0].1);
        }
    }
}

#[test]
fn live_sockets_move_between_cores() {
    const CLIENTS: u64 = 100;
    const LENGTH: usize = 200_000;
    for driver in drivers() {
        let mut server = Server::start(config(driver, 2));
        let address = server.address();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|id| {
                thread::spawn(move || {
                    let mut stream = connect(address);
                    let local = stream.local_addr().unwrap();
                    let mut writer = stream.try_clone().unwrap();
                    let writing = thread::spawn(move || {
                        // The order to migrate, with the stream's first bytes behind it: they travel as the head,
                        // and the rest is in flight meanwhile.
                        writer.write_all(&[ask::MIGRATE]).unwrap();
                        for from in (0..LENGTH).step_by(1000) {
                            writer.write_all(&pattern(id, from as u64, 1000)).unwrap();
                        }
                        writer.shutdown(Shutdown::Write).unwrap();
                    });
                    expect(&mut stream, id, 0, LENGTH);
                    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0, "the end of the stream moved too");
                    writing.join().unwrap();
                    local
                })
            })
            .collect();
        for client in clients {
            let local = client.join().unwrap();
            let seen = server.wait_for(|seen| matches!(seen, Seen::Accepted(_, _, peer) if *peer == local));
            let Seen::Accepted(from, ..) = seen else { unreachable!() };
            let seen = server.wait_for(|seen| matches!(seen, Seen::Adopted(_, peer, _) if *peer == local));
            let Seen::Adopted(to, ..) = seen else { unreachable!() };
            assert_ne!(from, to);
        }
        server.stop();
    }
}
