//! Sweeps seeds of the host's simulation for as long as wanted: `pulsegate-simulate FIRST COUNT`. Prints the seeds that fail, each to
//! be replayed with `SIM_SEED=n cargo test --test sim_host`. Ends with 1 if any did.

#[path = "../../tests/sim_host/clients.rs"]
mod clients;
#[path = "../../tests/sim_store/disk.rs"]
#[allow(dead_code, unreachable_pub)] // the disk's faults at rest are the store's own tests
mod disk;
#[path = "../../tests/sim_host/model.rs"]
mod model;
#[path = "../../tests/sim_host/world.rs"]
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let [first, count] = numbers[..] else {
        eprintln!("usage: pulsegate-simulate FIRST COUNT");
        return ExitCode::from(2);
    };
    let mut failed = 0_u64;
    for seed in first..first.saturating_add(count) {
        if std::panic::catch_unwind(|| world::run(seed)).is_err() {
            println!("SIM_SEED={seed} failed");
            failed += 1;
        }
    }
    println!("{count} seeds from {first} on, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
