//! No core ever stops. glommio 0.9.0 may sleep with a runnable task when its thread is descheduled at the wrong moment;
//! heavy neighbours on the same processor make that happen. `SHARD_STALL_SECONDS` runs it for longer.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod shard_common;

use pulsegate::shard::run::{Driver, RunConfig};
use shard_common::{Server, burn, config, connect, drivers, ping};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

#[test]
#[allow(clippy::disallowed_methods, reason = "a test measures real time")]
fn no_core_stops_beside_heavy_neighbours() {
    let seconds = std::env::var("SHARD_STALL_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(8);
    let end = std::time::Instant::now() + Duration::from_secs(seconds);
    let processors = core_affinity::get_core_ids().unwrap();
    for driver in drivers().into_iter().filter(|driver| *driver == Driver::Ring) {
        let cores = vec![processors[0].id];
        let server = Server::start(RunConfig { cores, pin: true, ..config(driver, 1) });
        let address = server.address();
        let stop = Arc::new(AtomicBool::new(false));
        let neighbours: Vec<_> = (0..4)
            .map(|_| {
                let (stop, processor) = (Arc::clone(&stop), processors[0]);
                thread::spawn(move || {
                    core_affinity::set_for_current(processor);
                    while !stop.load(SeqCst) {
                        burn(Duration::from_millis(1));
                    }
                })
            })
            .collect();
        let clients: Vec<_> = (0..4u64)
            .map(|id| {
                thread::spawn(move || {
                    let mut stream = connect(address);
                    let (mut rounds, mut slowest) = (0u64, Duration::ZERO);
                    while std::time::Instant::now() < end {
                        let start = std::time::Instant::now();
                        // Fails after `WAIT`: a core that stopped would never answer.
                        ping(&mut stream, b"\0there?");
                        slowest = slowest.max(start.elapsed());
                        rounds += 1;
                        // Pauses of all lengths around those after which the core blocks and passes, and now and then, for
                        // all clients at once, around those after which it parks.
                        let most =
                            if ((end - start).as_millis() / 500).is_multiple_of(2) { 5_000 } else { 150_000 };
                        thread::park_timeout(Duration::from_micros((rounds * 7_919 * (id + 1)) % most));
                    }
                    (rounds, slowest)
                })
            })
            .collect();
        let results: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        stop.store(true, SeqCst);
        neighbours.into_iter().for_each(|neighbour| neighbour.join().unwrap());
        let stats = server.stop()[0].1;
        eprintln!("rounds and slowest: {results:?}; {stats:?}");
        assert!(results.iter().all(|(rounds, _)| *rounds > 20), "{results:?}");
        assert!(stats.parks > 0, "the test must exercise falling asleep: {stats:?}");
    }
}
