//! Start and stop: who may listen, what a stop waits for.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod shard_common;

use pulsegate::shard::ShardId;
use pulsegate::shard::links::Closed;
use pulsegate::shard::run::{Driver, RunConfig, run};
use shard_common::{Echo, Server, WAIT, ask, config, drivers, ping};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::time::Duration;

#[test]
fn a_second_instance_may_not_share_the_port() {
    for driver in drivers() {
        let server = Server::start(config(driver, 2));
        let (sender, _seen) = channel();
        let again = RunConfig { listen: vec![server.address()], ..config(driver, 2) };
        let refused = run(again, move |_| Echo::new(sender.clone()));
        let reason = refused.err().expect("the port is taken").to_string();
        assert!(
            reason.contains(&server.address().port().to_string()) && reason.contains("in use"),
            "{reason}"
        );
        // The first is unharmed, and after it ended the port is free at once.
        ping(&mut server.connect(), b"\0");
        let address = server.address();
        server.stop();
        let (sender, _seen) = channel();
        let next =
            run(RunConfig { listen: vec![address], ..config(driver, 2) }, move |_| Echo::new(sender.clone()));
        next.unwrap();
    }
}

#[test]
fn instances_that_start_together_do_not_share_the_port() {
    // A port that was free a moment ago.
    for _ in 0..20 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let starts: Vec<_> = (0..2)
            .map(|_| {
                std::thread::spawn(move || {
                    let (sender, _seen) = channel();
                    let config = RunConfig { listen: vec![free], ..config(Driver::Portable, 2) };
                    run(config, move |_| Echo::new(sender.clone()))
                })
            })
            .collect();
        let started: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
        let running = started.iter().filter(|result| result.is_ok()).count();
        assert_eq!(running, 1, "exactly one has the port");
    }
}

#[test]
fn all_cores_serve() {
    for driver in drivers() {
        let server = Server::start(config(driver, 2));
        let clients: Vec<TcpStream> = (0..64).map(|_| server.connect()).collect();
        for mut client in clients {
            ping(&mut client, b"\0");
        }
        let ends = server.stop();
        assert!(ends.iter().all(|(_, stats)| stats.accepted > 0), "{driver:?}: {ends:?}");
    }
}

#[test]
fn a_stop_closes_what_is_open_and_flushes_it() {
    for driver in drivers() {
        let mut server = Server::start(config(driver, 1));
        let mut client = server.connect();
        ping(&mut client, b"\0hello");
        server.running.stop();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0, "{driver:?}: an orderly end");
        drop(client);
        assert_eq!(server.closed(), Closed::Local);
        let address = server.address();
        server.stop();
        assert!(TcpStream::connect_timeout(&address, WAIT).is_err(), "nobody listens any more");
    }
}

#[test]
fn a_stop_ends_at_its_deadline_whatever_clients_do() {
    for driver in drivers() {
        let drain_time_max = Duration::from_millis(200);
        let mut server = Server::start(RunConfig { drain_time_max, ..config(driver, 1) });
        // Never ends its direction: the lingering close would wait for 5 s.
        let mut client = server.connect();
        ping(&mut client, b"\0hello");
        server.running.stop();
        assert_eq!(server.closed(), Closed::Local, "{driver:?}");
        server.stop();
        drop(client);
    }
}

#[test]
fn a_core_that_cannot_start_says_why() {
    let (sender, _seen) = channel();
    // 203.0.113.0/24 is reserved for documentation: no machine has it.
    let listen = "203.0.113.1:0".parse().unwrap();
    let refused =
        run(RunConfig { listen: vec![listen], ..config(Driver::Portable, 1) }, move |_: ShardId| {
            Echo::new(sender.clone())
        });
    let reason = refused.err().expect("not our address").to_string();
    assert!(reason.contains("203.0.113.1") && reason.contains("not an address of this machine"), "{reason}");
}

#[test]
fn a_long_computation_is_counted_as_a_stall_and_survived() {
    for driver in drivers() {
        let server = Server::start(config(driver, 1));
        let mut client = server.connect();
        // While all cores sleep the watchdog looks once a second.
        client.write_all(&[&[ask::BURN][..], b"1500"].concat()).unwrap();
        let mut other = server.connect();
        ping(&mut other, b"\0still here");
        drop((client, other));
        let ends = server.stop();
        assert!(ends[0].1.stalls > 0, "{driver:?}: {:?}", ends[0].1);
    }
}
