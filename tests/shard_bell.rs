//! Mail to a core that sleeps wakes it at once, every time. Were it not heard, the watchdog would wake the core after 100 ms: that
//! is how the fault looked that this guards against.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod shard_common;

use pulsegate::base::time::Instant;
use pulsegate::shard::links::{Closed, ConnKey, Door, Handler, Links};
use pulsegate::shard::mesh::{Mail, ShardId};
use pulsegate::shard::run::run;
use shard_common::{WAIT, config, drivers};
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

const ROUNDS: u64 = 1500;

/// Core 0 asks core 1 something, again and again after pauses in which both fall asleep, and times the answers.
struct Caller {
    round: u64,
    asked: Instant,
    took: Vec<Duration>,
    done: Sender<Vec<Duration>>,
    stopping: bool,
}

impl Caller {
    fn pause(&self, io: &mut Links) {
        // Up to 7 ms: cores block in their rings for a while before they park.
        io.arm(io.clock().now + Duration::from_micros(self.round * 731 % 7000), 0);
    }
}

impl Handler for Caller {
    fn on_start(&mut self, io: &mut Links) {
        if io.shard() == ShardId(0) {
            self.pause(io);
        }
    }
    fn on_timer(&mut self, io: &mut Links, _: u64) {
        self.asked = io.clock().now;
        io.mail(ShardId(1), Mail::Report { ticket: self.round, sessions: false }).unwrap();
    }
    fn on_mail(&mut self, io: &mut Links, from: ShardId, mail: Mail) {
        let Mail::Report { ticket, .. } = mail else { panic!("{mail:?}") };
        if io.shard() == ShardId(1) {
            io.mail(from, Mail::Report { ticket, sessions: false }).unwrap();
            return;
        }
        assert_eq!(ticket, self.round);
        self.took.push(io.clock().now.since(self.asked));
        self.round += 1;
        if self.round < ROUNDS {
            return self.pause(io);
        }
        self.done.send(std::mem::take(&mut self.took)).unwrap();
    }
    fn on_accept(&mut self, _: &mut Links, _: ConnKey, _: SocketAddr, _: Door) {}
    fn on_connected(&mut self, _: &mut Links, _: ConnKey, _: Result<(), i32>) {}
    fn on_bytes(&mut self, _: &mut Links, _: ConnKey, _: &mut [u8]) {}
    fn on_eof(&mut self, _: &mut Links, _: ConnKey) {}
    fn on_drained(&mut self, _: &mut Links, _: ConnKey) {}
    fn on_closed(&mut self, _: &mut Links, _: ConnKey, _: Closed) {}
    fn on_resolved(&mut self, _: &mut Links, _: u64, _: Result<Vec<SocketAddr>, String>) {}
    fn on_turn_end(&mut self, _: &mut Links) {}
    fn on_stop(&mut self, _: &mut Links, _: Duration) {
        self.stopping = true;
    }
    fn is_quiet(&self) -> bool {
        self.stopping
    }
}

#[test]
fn a_sleeping_core_hears_every_call_at_once() {
    for driver in drivers() {
        let (done, times) = channel();
        let running = run(config(driver, 2), move |_| Caller {
            round: 0,
            asked: Instant(0),
            took: Vec::new(),
            done: done.clone(),
            stopping: false,
        })
        .unwrap();
        let mut times = times.recv_timeout(WAIT * 6).unwrap();
        running.stop();
        running.join().unwrap();
        assert_eq!(times.len() as u64, ROUNDS);
        times.sort();
        let (median, late) =
            (times[times.len() / 2], times.iter().filter(|t| **t >= Duration::from_millis(90)));
        let late = late.count();
        eprintln!("{driver:?}: median {median:?}, slowest {:?}, {late} late", times.last());
        // A busy machine may hold a thread up; a bell that is not heard holds up every round.
        assert!(
            median < Duration::from_millis(20) && late < times.len() / 20,
            "{driver:?}: {median:?}, {late} late"
        );
    }
}
