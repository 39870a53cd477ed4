//! The log against a seeded disk: crashes at any request, torn and reordered writes, a full disk, a failing disk, rot.
//!
//! `SIM_SEED=n cargo test --test sim_store` replays one seed; `SIM_RUNS=n` sweeps so many.

mod disk;
mod faults;
mod rebuild;
mod sweeps;
mod trims;
mod world;

use world::World;

/// The seeds to run: `SIM_SEED` alone, or the first `SIM_RUNS`.
pub(crate) fn seeds(default: u64) -> std::ops::Range<u64> {
    let variable = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match (variable("SIM_SEED"), variable("SIM_RUNS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, runs) => 0..runs.unwrap_or(default),
    }
}

/// F01, F04, F14, F15: whatever is under way when the power goes or the process dies, what was confirmed is there,
/// in order, and nothing that was never appended.
#[test]
fn what_was_confirmed_survives() {
    let (mut checkpoints, mut entries, mut fetched) = (0, 0, 0);
    for seed in seeds(60) {
        println!("SIM_SEED={seed}");
        let mut world = World::new(seed);
        for _ in 0..6 {
            world.disk.faults.short = world.prng.below(2) == 0;
            for _ in 0..world.prng.below(400) {
                world.step();
            }
            checkpoints += world.checkpoints;
            if world.prng.below(3) == 0 {
                world.disk.kill();
            } else {
                world.disk.crash();
            }
            world = world.restart().expect("a crash is no rot");
            if world.prng.below(2) == 0 {
                world.settle();
                let (read, from_segments) = world.read_all();
                (entries, fetched) = (entries + read, fetched + from_segments);
            }
        }
    }
    if seeds(60).count() >= 60 {
        assert!(checkpoints > 100 && entries > 1000 && fetched > 100, "{checkpoints} {entries} {fetched}");
    }
}
