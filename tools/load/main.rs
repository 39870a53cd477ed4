//! `pulsegate-load`: loads a Pulsar WebSocket server and measures it, from one pinned thread.
//!
//! Closed loop (`--depth` unconfirmed messages on each connection) finds the most a server does; open loop (`--rate`)
//! sends on a schedule whatever the server does and measures latency from the time a message was due, so that a stall
//! counts for every message it delayed. With `--server-pid` the server's processor time is counted over the same window.

#![allow(clippy::disallowed_methods)] // a load generator reads the clock: that is its work

mod client;
mod drive;
mod frames;
mod report;
mod server;

use std::time::Duration;

use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "pulsegate-load",
    about = "Loads a Pulsar WebSocket server and measures it",
    max_term_width = 110
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Producers only: latency is from sending (or from being due) to the broker's confirmation.
    Produce {
        #[command(flatten)]
        load: Load,
        #[command(flatten)]
        sending: Sending,
    },
    /// Consumers only: receives and acknowledges what is already stored.
    Consume {
        #[command(flatten)]
        load: Load,
        /// End after this many messages, all consumers together, instead of after --seconds
        #[arg(long)]
        messages: Option<u64>,
    },
    /// As many consumers as producers: latency is from sending (or from being due) to delivery.
    EndToEnd {
        #[command(flatten)]
        load: Load,
        #[command(flatten)]
        sending: Sending,
    },
}

/// Where the load goes, and for how long.
#[derive(Args, Clone, Debug)]
struct Load {
    /// Address of the server, ws://HOST:PORT
    #[arg(long, default_value = "ws://127.0.0.1:8080")]
    url: String,
    /// Connections; end-to-end opens as many again for the consumers
    #[arg(long, short, default_value_t = 16)]
    connections: usize,
    /// Topics, named TOPIC-0, TOPIC-1, …; connection N uses number N modulo this [default: as many as connections]
    #[arg(long)]
    topics: Option<usize>,
    /// What the topics' names begin with [default: new names]
    #[arg(long)]
    topic: Option<String>,
    /// Measured seconds
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Seconds of load before them that are not measured
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    /// Parameters of producers, e.g. batchingEnabled=true
    #[arg(long, default_value = "")]
    producer_query: String,
    /// Parameters of consumers
    #[arg(long, default_value = "subscriptionType=Shared&subscriptionInitialPosition=Earliest")]
    consumer_query: String,
    /// Count processor time and memory of this process
    #[arg(long)]
    server_pid: Option<u32>,
    /// Run on this core alone
    #[arg(long)]
    core: Option<usize>,
}

/// What producers send.
#[derive(Args, Clone, Debug)]
struct Sending {
    /// Unconfirmed messages of each connection in a closed loop
    #[arg(long, default_value_t = 16, conflicts_with = "rate")]
    depth: usize,
    /// Messages a second, all connections together, in an open loop
    #[arg(long)]
    rate: Option<f64>,
    /// Payload bytes of a message, before base64; 12 at least, which carry the time it was due
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(12..=5_000_000))]
    size: u32,
}

fn main() {
    let (mode, load, sending, messages_max) = match Cli::parse().command {
        Command::Produce { load, sending } => ("produce", load, Some(sending), None),
        Command::Consume { load, messages } => ("consume", load, None, messages),
        Command::EndToEnd { load, sending } => ("end-to-end", load, Some(sending), None),
    };
    if let Some(id) = load.core
        && !core_affinity::set_for_current(core_affinity::CoreId { id })
    {
        fail(&format!("cannot run on core {id}"));
    }
    let plan = drive::Plan {
        consumers: if mode == "produce" { 0 } else { load.connections },
        producers: if mode == "consume" { 0 } else { load.connections },
        topic: load.topic.clone().unwrap_or_else(|| format!("load-{}", std::process::id())),
        topics: load.topics.unwrap_or(load.connections).max(1),
        warm_up: Duration::from_secs_f64(load.warm_up),
        measured: Duration::from_secs_f64(load.seconds),
        messages_max,
        pacing: match sending.as_ref().and_then(|sending| sending.rate) {
            Some(rate) => drive::Pacing::Open { rate },
            None => drive::Pacing::Closed { depth: sending.as_ref().map_or(0, |sending| sending.depth) },
        },
        size: sending.as_ref().map_or(0, |sending| sending.size as usize),
        url: load.url,
        producer_query: load.producer_query,
        consumer_query: load.consumer_query,
        server_pid: load.server_pid,
    };
    match drive::run(&plan) {
        Ok(measured) => report::print(mode, &plan, &measured),
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(text: &str) -> ! {
    eprintln!("pulsegate-load: {text}");
    std::process::exit(1)
}
