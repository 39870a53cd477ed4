//! `pulsegate-null-broker`: a Pulsar broker over the binary protocol that costs nearly nothing, so that what stands before
//! it is seen alone. One thread, one epoll.
//!
//! It agrees to everything: any topic exists, unpartitioned, here; any producer and consumer is let in. What it does as a
//! broker must: frames are cut, each SEND's producer and sequence are read and a receipt with an id of its own is written
//! (all that came in one read leave in one write), permits are counted, each MESSAGE has an id of its own.
//! What it leaves out: it keeps nothing, checks no checksum, reads no metadata, forgets acknowledgements (answers those that
//! ask), never delivers twice, and what a consumer without permits would get in `--fan-out` is lost and counted.
//!
//! Consumers get messages that it makes: as many as their permits allow, or `--rate` a second in turn; with `--fan-out` they
//! get what producers send to their topic instead, each consumer each message.

#![allow(clippy::disallowed_methods)] // it paces by the clock

#[path = "../kit/mod.rs"]
mod kit;

mod broker;
mod deliver;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Parser;

#[derive(Parser)]
#[command(
    name = "pulsegate-null-broker",
    about = "A Pulsar broker that costs nearly nothing: what stands before it is seen alone",
    max_term_width = 110
)]
struct Cli {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:6650")]
    listen: SocketAddr,
    /// Payload bytes of the messages made for consumers
    #[arg(long, short, default_value_t = 128)]
    size: usize,
    /// Messages made a second, all consumers together; 0: none [default: as many as permits allow]
    #[arg(long, short, conflicts_with = "fan_out")]
    rate: Option<f64>,
    /// Consumers get what is produced to their topic, each of them each message
    #[arg(long)]
    fan_out: bool,
    /// Run on this processor alone
    #[arg(long)]
    core: Option<usize>,
}

fn main() {
    let cli = Cli::parse();
    kit::pin(cli.core);
    let source = match (cli.fan_out, cli.rate) {
        (true, _) => deliver::Source::Producers,
        (false, None) => deliver::Source::Flat,
        (false, Some(rate)) => deliver::Source::Paced { rate },
    };
    let mut net = kit::net::Net::new().unwrap_or_else(|error| kit::fail(&format!("epoll: {error}")));
    let bound = net.listen(cli.listen).unwrap_or_else(|error| kit::fail(&format!("{}: {error}", cli.listen)));
    println!("listening on {bound}");
    let mut broker = broker::Broker::new(source, cli.size);
    let start = Instant::now();
    loop {
        let wait = broker.deliver(&mut net, start.elapsed());
        // Nothing due: whatever comes wakes us.
        let wait = (wait != Duration::MAX).then_some(wait);
        if let Err(error) = net.turn(&mut broker, wait) {
            kit::fail(&format!("epoll: {error}"));
        }
    }
}
