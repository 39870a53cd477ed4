//! One host over a seeded disk: producers, consumers that acknowledge with and without receipts and seek, administrators, a full
//! disk, a failing one, crashes at any request of the disk. What was confirmed is there afterwards, in order, once where
//! deduplication is on (F16); what was acknowledged with a receipt does not come again (F15); nothing comes before it is durable.
//!
//! `SIM_SEED=n cargo test --test sim_host` replays one seed; `SIM_RUNS=n` sweeps so many.

mod clients;
mod deduplication;
#[path = "../sim_store/disk.rs"]
#[allow(dead_code, unreachable_pub)] // the disk's faults at rest are the store's own tests
mod disk;
mod model;
mod world;

/// The seeds to run: `SIM_SEED` alone, or the first `SIM_RUNS`.
fn seeds(default: u64) -> std::ops::Range<u64> {
    let variable = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match (variable("SIM_SEED"), variable("SIM_RUNS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, runs) => 0..runs.unwrap_or(default),
    }
}

#[test]
fn a_host_keeps_its_promises_over_crashes() {
    let (mut receipts, mut acks, mut restarts) = (0, 0, 0);
    for seed in seeds(40) {
        println!("SIM_SEED={seed}");
        let world = world::run(seed);
        receipts += world.receipts;
        acks += world.acks;
        restarts += world.restarts;
    }
    if seeds(40).count() >= 40 {
        assert!(receipts > 2000 && acks > 1000 && restarts >= 200, "{receipts} {acks} {restarts}");
    }
}
