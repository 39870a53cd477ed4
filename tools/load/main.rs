//! `pulsegate-load`: loads a Pulsar-compatible server, over WebSocket or over the binary protocol, and measures it.
//!
//! Closed loop (`--depth` unconfirmed messages on each connection) finds the most a server does; open loop (`--rate`)
//! sends on a schedule whatever the server does and measures latency from the time a message was due, so that a stall
//! counts for every message it delayed. With `--server-pid` the server's processor time is counted over the same window.
//!
//! One thread for each of `--cores`, each with its own share of the connections; nothing is shared while it runs.

#![allow(clippy::disallowed_methods)] // a load generator reads the clock: that is its work

#[path = "../kit/mod.rs"]
mod kit;

mod cli;
mod idle;
mod machine;
mod native_client;
mod output;
mod plan;
mod recorder;
mod report;
mod run;
mod server;
mod session;
mod storm;
mod worker;
mod ws_client;

use clap::Parser;

fn main() {
    let cli = cli::Cli::parse();
    raise_descriptor_limit();
    let (plan, output) = cli.plan().unwrap_or_else(|error| kit::fail(&error));
    let result = run::run(&plan).unwrap_or_else(|error| kit::fail(&error));
    let summary = report::summary(&plan, &result);
    if let Err(error) = output::write(&output, &plan, &result, &summary) {
        kit::fail(&format!("--output {}: {error}", output.display()));
    }
    report::print(&plan, &result, &summary);
}

/// One descriptor a connection: as many as we may have.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        eprintln!("the limit of open descriptors stays at {:?}: {error}", limit.current);
    }
}
