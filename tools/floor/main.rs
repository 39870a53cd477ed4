//! `pulsegate-floor`: the least that any gateway between Pulsar's WebSocket API and a broker must do, as a program, so that
//! "close to the limit" is a ratio on one's own machine. One thread, one epoll, one connection to the broker.
//!
//! It does the work on bytes that nothing can leave out. Producing: the text is unmasked, its payload decoded from base64, the
//! entry written with its metadata and checksum behind a SEND head, and the receipt's producer found and answered.
//! Consuming: the entry's checksum is checked, its payload encoded to base64 in a text, the acknowledgement's id decoded and
//! put into an ACK, permits granted as acknowledgements come.
//!
//! What it leaves out: JSON (it trusts the form in which `pulsegate-load` writes: payload first, a context of ten digits),
//! UTF-8, properties, keys, batches, compression, partitions, lookups, reconnects, resending, deadlines, limits, fairness,
//! back-pressure, fragments, pings; a second broker; message ids in acks of producers (a constant stands there), dates. It
//! believes every peer. It is no gateway, and a gateway at twice its cost is a good one.

#![allow(clippy::disallowed_methods)] // entries carry the time

#[path = "../kit/mod.rs"]
mod kit;

mod http;
mod relay;
mod text;

use std::net::SocketAddr;

use clap::Parser;

#[derive(Parser)]
#[command(
    name = "pulsegate-floor",
    about = "The least that any gateway must do, to measure gateways against",
    max_term_width = 110
)]
struct Cli {
    /// Where to listen for WebSocket clients
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The broker
    #[arg(long, default_value = "127.0.0.1:6650")]
    broker: SocketAddr,
    /// Run on this processor alone
    #[arg(long)]
    core: Option<usize>,
}

fn main() {
    let cli = Cli::parse();
    kit::pin(cli.core);
    let mut net = kit::net::Net::new().unwrap_or_else(|error| kit::fail(&format!("epoll: {error}")));
    let link = net.connect(cli.broker).unwrap_or_else(|error| kit::fail(&format!("{}: {error}", cli.broker)));
    let mut relay = relay::Relay::new(&mut net, link);
    while !relay.is_ready() {
        turn(&mut net, &mut relay);
    }
    let bound = net.listen(cli.listen).unwrap_or_else(|error| kit::fail(&format!("{}: {error}", cli.listen)));
    println!("listening on {bound}");
    loop {
        turn(&mut net, &mut relay);
    }
}

fn turn(net: &mut kit::net::Net, relay: &mut relay::Relay) {
    if let Err(error) = net.turn(relay, None) {
        kit::fail(&format!("epoll: {error}"));
    }
}
