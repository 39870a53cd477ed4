//! The command line. Options are named as those of `pulsar-perf websocket-producer`, whose own names work too.

use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::plan::{Mode, Pacing, Plan, Protocol};

const EXAMPLES: &str = "\
Examples:
  pulsegate-load produce --connections 16 --depth 16 --time 10 --server-pid $(pidof pulsegate)
  pulsegate-load produce --rate 10000 --connections 64 --size 128 --output before-1
  pulsegate-load consume --topic load --messages 100000
  pulsegate-load end-to-end --protocol pulsar --url pulsar://127.0.0.1:6650 --rate 1000
  pulsegate-load fan-out --connections 100
  pulsegate-load idle --connections 20000 --server-pid PID
  pulsegate-load storm --depth 64 --server-pid PID

Prints a JSON summary; --output also keeps it with a histogram log and a plot, for pulsegate-hdr-compare.";

#[derive(Parser)]
#[command(
    name = "pulsegate-load",
    about = "Loads a Pulsar-compatible server and measures it",
    after_help = EXAMPLES,
    max_term_width = 110
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Producers only: latency is from sending (or from being due) to the broker's confirmation
    Produce {
        #[command(flatten)]
        load: Load,
        #[command(flatten)]
        sending: Sending,
    },
    /// Consumers only: receives and acknowledges what is stored or made
    Consume {
        #[command(flatten)]
        load: Load,
        /// End after this many messages, all consumers together, instead of after --time
        #[arg(long, short, visible_alias = "num-messages")]
        messages: Option<u64>,
    },
    /// As many consumers as producers: latency is from sending (or from being due) to delivery
    EndToEnd {
        #[command(flatten)]
        load: Load,
        #[command(flatten)]
        sending: Sending,
    },
    /// One producer, each connection a consumer with a subscription of its own: latency to each delivery
    FanOut {
        #[command(flatten)]
        load: Load,
        #[command(flatten)]
        sending: Sending,
    },
    /// Producers (or, with --consumers, consumers) that do nothing: memory and processor time of each
    Idle {
        #[command(flatten)]
        load: Load,
        /// Sessions are consumers
        #[arg(long)]
        consumers: bool,
    },
    /// Opens producers, one after another, --depth at a time or --rate a second, and closes each at once
    Storm {
        #[command(flatten)]
        load: Load,
        #[command(flatten)]
        sending: Sending,
    },
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Wire {
    /// Pulsar's WebSocket API
    Ws,
    /// Pulsar's binary protocol
    Pulsar,
}

/// Where the load goes, and for how long.
#[derive(Args, Clone, Debug)]
struct Load {
    /// Address of the server: ws://HOST:PORT or pulsar://HOST:PORT
    #[arg(long, short, visible_alias = "proxy-url")]
    url: Option<String>,
    /// How to speak [default: what the address begins with]
    #[arg(long, value_enum)]
    protocol: Option<Wire>,
    /// Connections; end-to-end opens as many again for the consumers, fan-out one more for the producer
    #[arg(long, short, default_value_t = 16)]
    connections: usize,
    /// Topics, named TOPIC-0, TOPIC-1, …; connection N uses number N modulo this [default: as many as connections]
    #[arg(long, short, visible_alias = "num-topic")]
    topics: Option<usize>,
    /// What the topics' names begin with [default: new names]
    #[arg(long)]
    topic: Option<String>,
    /// Measured seconds
    #[arg(long = "time", visible_alias = "seconds", alias = "test-duration", default_value_t = 10.0)]
    time: f64,
    /// Seconds of load before them that are not measured
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    /// Parameters of WebSocket producers, e.g. batchingEnabled=true
    #[arg(long, default_value = "")]
    producer_query: String,
    /// Parameters of WebSocket consumers
    #[arg(long, default_value = "subscriptionType=Shared&subscriptionInitialPosition=Earliest")]
    consumer_query: String,
    /// Count processor time, memory and context switches of this process
    #[arg(long)]
    server_pid: Option<u32>,
    /// Count the server's calls of io_uring_enter on this page of pulsegate, e.g. http://127.0.0.1:8080/metrics
    #[arg(long)]
    server_metrics: Option<String>,
    /// Run on these processors, one thread each, pinned: 0,2-3 [default: one thread, anywhere]
    #[arg(long, visible_alias = "core")]
    cores: Option<String>,
    /// Keep PREFIX.json, PREFIX.hlog and PREFIX.svg
    #[arg(long, short, value_name = "PREFIX")]
    output: Option<PathBuf>,
}

/// What producers send.
#[derive(Args, Clone, Debug)]
struct Sending {
    /// Unconfirmed messages of each connection in a closed loop
    #[arg(long, default_value_t = 16, conflicts_with = "rate")]
    depth: usize,
    /// Messages a second, all connections together, in an open loop
    #[arg(long, short)]
    rate: Option<f64>,
    /// Payload bytes of a message, before base64; 12 at least, which carry the time it was due
    #[arg(long, short, default_value_t = 128, value_parser = clap::value_parser!(u32).range(12..=5_000_000))]
    size: u32,
}

impl Cli {
    /// What to do, and where to keep what comes of it.
    pub(crate) fn plan(self) -> Result<(Plan, PathBuf), String> {
        let (mode, load, sending, messages_max) = match self.command {
            Command::Produce { load, sending } => (Mode::Produce, load, Some(sending), None),
            Command::Consume { load, messages } => (Mode::Consume, load, None, messages),
            Command::EndToEnd { load, sending } => (Mode::EndToEnd, load, Some(sending), None),
            Command::FanOut { load, sending } => (Mode::FanOut, load, Some(sending), None),
            Command::Idle { load, consumers: false } => (Mode::IdleProducers, load, None, None),
            Command::Idle { load, consumers: true } => (Mode::IdleConsumers, load, None, None),
            Command::Storm { load, sending } => (Mode::Storm, load, Some(sending), None),
        };
        let (protocol, host) = target(load.url.as_deref(), load.protocol)?;
        let address = host.to_socket_addrs().map_err(|error| format!("{host}: {error}"))?.next();
        let cores = load.cores.as_deref().map_or(Ok(Vec::new()), cores)?;
        if mode == Mode::FanOut && cores.len() > 1 {
            return Err("fan-out runs on one core: one producer waits for all consumers".to_owned());
        }
        let pacing = match sending.as_ref().map(|sending| (sending.rate, sending.depth)) {
            Some((Some(rate), _)) if rate > 0.0 => Pacing::Open { rate },
            Some((Some(rate), _)) => return Err(format!("--rate {rate}: more than 0")),
            Some((None, depth)) => Pacing::Closed { depth: depth.max(1) },
            None => Pacing::Closed { depth: 0 },
        };
        let topics = if mode == Mode::FanOut { 1 } else { load.topics.unwrap_or(load.connections).max(1) };
        let plan = Plan {
            mode,
            protocol,
            address: address.ok_or_else(|| format!("{host}: no address"))?,
            host,
            connections: load.connections.max(1),
            topic: load.topic.unwrap_or_else(|| format!("load-{}", std::process::id())),
            topics,
            producer_query: load.producer_query,
            consumer_query: load.consumer_query,
            pacing,
            size: sending.as_ref().map_or(0, |sending| sending.size as usize),
            warm_up: Duration::from_secs_f64(load.warm_up),
            measured: Duration::from_secs_f64(load.time),
            messages_max,
            server_pid: load.server_pid,
            server_metrics: load.server_metrics,
            cores,
        };
        Ok((plan, load.output.unwrap_or_default()))
    }
}

/// Protocol and `host:port`.
fn target(url: Option<&str>, wire: Option<Wire>) -> Result<(Protocol, String), String> {
    let url = match (url, wire) {
        (Some(url), _) => url,
        (None, Some(Wire::Pulsar)) => "pulsar://127.0.0.1:6650",
        (None, _) => "ws://127.0.0.1:8080",
    };
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let protocol = match (wire, scheme) {
        (Some(Wire::Ws), "ws" | "") | (None, "ws") => Protocol::Ws,
        (Some(Wire::Pulsar), "pulsar" | "") | (None, "pulsar") => Protocol::Pulsar,
        _ => return Err(format!("--url {url}: not an address of that protocol (ws://…, pulsar://…)")),
    };
    let host = rest.trim_end_matches('/');
    if !host.contains(':') {
        return Err(format!("--url {url}: no port"));
    }
    Ok((protocol, host.to_owned()))
}

/// `0,2-3` as numbers.
fn cores(list: &str) -> Result<Vec<usize>, String> {
    let wrong = |_| format!("--cores {list}: write it as 0,2-3");
    let mut found = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        found.extend(first.parse::<usize>().map_err(wrong)?..=last.parse::<usize>().map_err(wrong)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn addresses_and_cores_are_read() {
        assert_eq!(target(Some("ws://h:1/"), None), Ok((Protocol::Ws, "h:1".to_owned())));
        assert_eq!(target(None, Some(Wire::Pulsar)), Ok((Protocol::Pulsar, "127.0.0.1:6650".to_owned())));
        for (url, wire) in [("ws://h:1", Some(Wire::Pulsar)), ("http://h:1", None), ("ws://h", None)] {
            assert!(target(Some(url), wire).is_err(), "{url}");
        }
        assert_eq!(cores("0,2-3"), Ok(vec![0, 2, 3]));
        assert!(cores("a").is_err());
    }

    #[test]
    fn the_names_of_pulsar_perf_work() {
        let line = "pulsegate-load produce --proxy-url ws://127.0.0.1:1 --num-topic 3 -r 100 -s 200 --test-duration 4";
        let cli = Cli::try_parse_from(line.split(' ')).expect("known options");
        let (plan, _) = cli.plan().expect("a plan");
        assert_eq!((plan.topics, plan.size, plan.measured.as_secs()), (3, 200, 4));
        assert!(matches!(plan.pacing, Pacing::Open { rate } if rate == 100.0));
    }
}
