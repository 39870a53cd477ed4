//! What a handler asks of its core besides sockets of clients: connects, timers, names, mail.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod shard_common;

use pulsegate::shard::links::Closed;
use pulsegate::shard::run::{Driver, RunConfig};
use pulsegate::shard::{Door, ShardId};
use shard_common::{Seen, Server, ask, burn, config, connect, drivers, ping};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

fn tell(server: &Server, what: u8, text: &str) -> std::net::TcpStream {
    let mut client = server.connect();
    client.write_all(&[&[what], text.as_bytes()].concat()).unwrap();
    client
}

#[test]
fn connects() {
    for driver in drivers() {
        let mut server = Server::start(config(driver, 1));
        let broker = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let _asking = tell(&server, ask::CONNECT, &broker.local_addr().unwrap().to_string());
        let (mut link, _) = broker.accept().unwrap();
        let mut hello = [0; 5];
        link.read_exact(&mut hello).unwrap();
        assert_eq!(&hello, b"hello");
        server.wait_for(|seen| *seen == Seen::Connected(Ok(())));
        drop(link);
        assert_eq!(server.closed(), Closed::Local, "{driver:?}");
        server.stop();
    }
}

#[test]
fn a_refused_connect_tells_the_errno() {
    for driver in drivers() {
        let mut server = Server::start(config(driver, 1));
        // A port that was free a moment ago and has no listener.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let _asking = tell(&server, ask::CONNECT, &free.to_string());
        server.wait_for(|seen| *seen == Seen::Connected(Err(libc::ECONNREFUSED)));
        server.stop();
    }
}

#[test]
fn a_connect_that_hangs_times_out() {
    for driver in drivers() {
        let mut server = Server::start(config(driver, 1));
        // A full backlog drops SYNs: whoever comes now waits for ever.
        let deaf = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        deaf.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        deaf.listen(0).unwrap();
        let address = deaf.local_addr().unwrap().as_socket().unwrap();
        let _first = std::net::TcpStream::connect(address).unwrap();
        let _asking = tell(&server, ask::CONNECT_SHORT, &address.to_string());
        server.wait_for(|seen| *seen == Seen::Connected(Err(libc::ETIMEDOUT)));
        server.stop();
    }
}

#[test]
fn timers_fire_in_order_and_never_early() {
    for driver in drivers() {
        let mut server = Server::start(config(driver, 1));
        let _asking = tell(&server, ask::TIMERS, "");
        for expected in [1, 20, 150] {
            let seen = server.wait_for(|seen| matches!(seen, Seen::Timer(..)));
            let Seen::Timer(token, at, now) = seen else { unreachable!() };
            assert_eq!(token, expected, "{driver:?}");
            assert!(now >= at, "{driver:?}: timer {token} early by {:?}", at.since(now));
            // Far above a tick: other work shares the machine. A core that overslept would wait for the next event.
            assert!(
                now.since(at) < Duration::from_secs(2),
                "{driver:?}: timer {token} late by {:?}",
                now.since(at)
            );
        }
        server.stop();
    }
}

#[test]
fn names_are_looked_up_aside() {
    for driver in drivers() {
        let mut server = Server::start(config(driver, 1));
        let _literal = tell(&server, ask::RESOLVE, "[::1]");
        let literal: SocketAddr = "[::1]:4242".parse().unwrap();
        server.wait_for(|seen| *seen == Seen::Resolved(7, Ok(vec![literal])));
        let _name = tell(&server, ask::RESOLVE, "localhost");
        let seen = server.wait_for(|seen| matches!(seen, Seen::Resolved(7, Ok(_))));
        let Seen::Resolved(_, Ok(found)) = seen else { unreachable!() };
        assert!(found.iter().all(|a| a.ip().is_loopback() && a.port() == 4242), "{found:?}");
        // Reserved by RFC 6761: never exists.
        let _missing = tell(&server, ask::RESOLVE, "no-such-host.invalid");
        let seen = server.wait_for(|seen| matches!(seen, Seen::Resolved(..)));
        let Seen::Resolved(_, Err(reason)) = seen else { panic!("{seen:?}") };
        assert!(reason.contains("no-such-host.invalid"), "{reason}");
        server.stop();
    }
}

/// Clients until one lies on each of two cores.
fn one_client_per_core(server: &mut Server) -> [std::net::TcpStream; 2] {
    let mut found = [None, None];
    for _ in 0..200 {
        let client = server.connect();
        let local = client.local_addr().unwrap();
        let seen = server.wait_for(|seen| matches!(seen, Seen::Accepted(_, _, peer) if *peer == local));
        let Seen::Accepted(shard, ..) = seen else { unreachable!() };
        found[usize::from(shard.0)] = Some(client);
        if let [Some(_), Some(_)] = found {
            return found.map(Option::unwrap);
        }
    }
    panic!("the kernel gave all clients to one core")
}

#[test]
fn mail_reaches_a_sleeping_and_a_busy_core() {
    for driver in drivers() {
        let mut server = Server::start(config(driver, 2));
        let [mut first, mut second] = one_client_per_core(&mut server);
        // Both cores sleep by now or soon: mail must arrive either way.
        first.write_all(&[ask::MAIL, b'1']).unwrap();
        server.wait_for(|seen| *seen == Seen::Mail(ShardId(0), ShardId(1), 99));
        second.write_all(&[ask::MAIL, b'0']).unwrap();
        server.wait_for(|seen| *seen == Seen::Mail(ShardId(1), ShardId(0), 99));
        let [mut first, mut second] = one_client_per_core(&mut server);
        second.write_all(&[&[ask::BURN][..], b"30"].concat()).unwrap();
        first.write_all(&[ask::MAIL, b'1']).unwrap();
        server.wait_for(|seen| *seen == Seen::Mail(ShardId(0), ShardId(1), 99));
        // To itself.
        let [mut first, _second] = one_client_per_core(&mut server);
        first.write_all(&[ask::MAIL, b'0']).unwrap();
        server.wait_for(|seen| *seen == Seen::Mail(ShardId(0), ShardId(0), 99));
        server.stop();
    }
}

#[test]
fn a_core_at_rest_sleeps() {
    for driver in drivers() {
        let mut server = Server::start(config(driver, 1));
        let mut client = server.connect();
        ping(&mut client, b"\0");
        // Nothing to wait for: what must not happen needs time to happen.
        burn(Duration::from_millis(600));
        ping(&mut client, b"awake");
        drop(client);
        assert_eq!(server.closed(), Closed::Peer);
        let turns = server.stop()[0].1.turns;
        let most = if driver == Driver::Ring { 60 } else { 30 };
        assert!(turns < most, "{driver:?}: {turns} turns for two messages");
    }
}

#[test]
fn each_listener_is_a_door_and_the_binary_one_knows_what_was_dialled() {
    for driver in drivers() {
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let listen = vec![everywhere, everywhere, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
        let mut server = Server::start(RunConfig { listen, ..config(driver, 2) });
        let ports: Vec<u16> = server.running.listening.iter().map(SocketAddr::port).collect();
        for (door, known) in [(0, driver == Driver::Portable), (1, true), (2, true)] {
            // Not the address that a listener on all addresses would name by itself.
            let dialled = SocketAddr::from(([127, 0, 0, if door < 2 { 7 } else { 1 }], ports[door]));
            for _ in 0..20 {
                let mut client = connect(dialled);
                ping(&mut client, b"\0hello");
                let seen = server.wait_for(|seen| matches!(seen, Seen::Door(..)));
                assert_eq!(seen, Seen::Door(Door(door as u8), known.then_some(dialled)), "{driver:?}");
            }
        }
        server.stop();
    }
}
