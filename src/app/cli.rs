//! The command line.

use super::talk::{ConsumeArguments, ProduceArguments};
use crate::shard::folder::Accepted;
use crate::store::StoreId;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Version and commit.
pub(super) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("PULSEGATE_COMMIT"), ")");

const EXAMPLES: &str = "\
Examples:
  pulsegate standalone
  pulsegate serve --set brokerServiceUrl=pulsar://localhost:6650
  pulsegate serve --config /etc/pulsar/websocket.conf
  pulsegate check --config /etc/pulsar/websocket.conf

Then, in another terminal:
  curl http://127.0.0.1:8080/readyz";

const SERVE_EXAMPLES: &str = "\
Examples:
  pulsegate serve --set brokerServiceUrl=pulsar://localhost:6650
  pulsegate serve --config websocket.conf --set webServicePort=9090
  pulsegate serve --config websocket.conf --cores 0,2-3 --pin
  pulsegate serve --config websocket.conf --print-config
  PULSAR_PREFIX_brokerServiceUrl=pulsar://broker:6650 pulsegate serve

A setting's later place wins: default, file, environment (KEY=VALUE for keys of websocket.conf,
PULSAR_PREFIX_KEY=VALUE for all), --set. The log goes to standard error; RUST_LOG=debug shows more
of it, RUST_LOG=warn less.
SIGTERM or SIGINT stops: sessions are closed first; a second signal ends the process at once.";

const STANDALONE_EXAMPLES: &str = "\
Examples:
  pulsegate standalone
  pulsegate standalone --data-dir /var/lib/pulsegate --set bindAddress=0.0.0.0
  pulsegate standalone --config conf/standalone.conf --set webServicePort=9090
  pulsegate standalone --show-deviations

Keys are those of Pulsar's broker.conf and websocket.conf; --print-config shows them all. A later place wins:
default, file, environment, --set. It listens on loopback unless bindAddress says otherwise.
Exit codes: 2 wrong configuration, or a data folder in use or of a later version, 3 damaged data (the text says
what can be done), 4 a journal could not be written.";

const REPAIR_EXAMPLES: &str = "\
Examples:
  pulsegate repair --data-dir /var/lib/pulsegate              what is damaged, and what could be put together
  pulsegate repair --data-dir /var/lib/pulsegate --rebuild    do it

No process may use the folder meanwhile. A store whose journal is damaged in one place may be started with
--accept-data-loss instead, which keeps acknowledgements up to there. A rebuilt store keeps all messages that can
be read; its subscriptions begin at their earliest message again. Its old folder is kept in set-aside/.
Exit code 0: all stores are sound, or were rebuilt. 3: some are damaged still.";

const CHECK_EXAMPLES: &str = "\
Examples:
  pulsegate check --config /etc/pulsar/websocket.conf
  pulsegate check --set brokerServiceUrl=pulsar://localhost:6650 && echo ready to serve

Exit code 0: nothing stands in the way. 1: a check failed; its line says what to do.
2: the configuration is wrong.";

const PRODUCE_EXAMPLES: &str = "\
Examples:
  pulsegate produce my-topic hello
  pulsegate produce persistent://public/default/my-topic --key a one two three
  tail -f events.json | pulsegate produce my-topic
  pulsegate produce ws://broker:8080/ws/v2/producer/persistent/public/default/my-topic hello";

const CONSUME_EXAMPLES: &str = "\
Examples:
  pulsegate consume my-topic                         all that is kept, then what comes
  pulsegate consume my-topic --subscription mine     what was not yet acknowledged
  pulsegate consume my-topic -n 10 --server broker:8080";

/// Apache Pulsar's WebSocket API as one fast server: in front of Pulsar brokers, or with one of its own.
#[derive(Debug, Parser)]
#[command(name = "pulsegate", version = VERSION, after_help = EXAMPLES, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve WebSocket clients in front of Pulsar brokers
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(SettingArguments),
    /// Serve WebSocket and native clients with a durable broker of its own, in this process
    #[command(after_help = STANDALONE_EXAMPLES)]
    Standalone(StandaloneArguments),
    /// Look at a data folder's stores, and rebuild those that are damaged
    #[command(after_help = REPAIR_EXAMPLES)]
    Repair(RepairArguments),
    /// Run the start-up checks and say what to mend, without serving
    #[command(after_help = CHECK_EXAMPLES)]
    Check(SettingArguments),
    /// Send messages to a topic over WebSocket
    #[command(after_help = PRODUCE_EXAMPLES)]
    Produce(ProduceArguments),
    /// Print the messages of a topic, received over WebSocket
    #[command(after_help = CONSUME_EXAMPLES)]
    Consume(ConsumeArguments),
}

/// Settings of `standalone`, and its own.
#[derive(Debug, Args)]
pub(super) struct StandaloneArguments {
    #[command(flatten)]
    settings: SettingArguments,
    /// Folder of all data; made if it is not there [default: pulsegate-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Start although a store's journal is damaged, and give up everything in it from that position on; which, and what
    /// would be lost, is said by a start without this
    #[arg(long, value_name = "STORE:POSITION", value_parser = store_position)]
    accept_data_loss: Vec<(StoreId, u64)>,
    /// Show where defaults differ from the original's, and why, and exit
    #[arg(long)]
    pub(super) show_deviations: bool,
}

/// What to repair.
#[derive(Debug, Args)]
pub(super) struct RepairArguments {
    #[command(flatten)]
    settings: SettingArguments,
    /// Folder of all data [default: pulsegate-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Put damaged stores together again from their segments and journals; else only say what would be done
    #[arg(long)]
    pub(super) rebuild: bool,
}

impl RepairArguments {
    /// With the folder as one more of them.
    pub(super) fn settings(&self) -> SettingArguments {
        SettingArguments { data_dir: self.data_dir.clone(), ..self.settings.clone() }
    }
}

impl StandaloneArguments {
    /// With the folder as one more of them.
    pub(super) fn settings(&self) -> SettingArguments {
        SettingArguments { data_dir: self.data_dir.clone(), ..self.settings.clone() }
    }

    /// What the operator gives up.
    pub(super) fn accepted(&self) -> Accepted {
        self.accept_data_loss.iter().copied().collect()
    }
}

/// Where settings come from.
#[derive(Clone, Debug, Args)]
pub(super) struct SettingArguments {
    /// Configuration file: Pulsar's own websocket.conf is read as it is
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Set one key of the configuration; may be given more than once
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Processors to run on, as 0,2-3 [default: all that are allowed]
    #[arg(long, value_name = "LIST")]
    cores: Option<String>,
    /// Pin each core's thread to its processor
    #[arg(long)]
    pin: bool,
    /// Show every setting, where it comes from and what it means, and exit
    #[arg(long)]
    pub(super) print_config: bool,
    /// Of `standalone` alone.
    #[arg(skip)]
    data_dir: Option<String>,
}

impl SettingArguments {
    /// Key, value and option of everything set on the command line.
    pub(super) fn overrides(&self) -> Vec<(String, String, &'static str)> {
        let set = self.set.iter().map(|(key, value)| (key.clone(), value.clone(), "--set"));
        let cores = self.cores.iter().map(|list| ("cores".to_owned(), list.clone(), "--cores"));
        let pin = self.pin.then(|| ("pin".to_owned(), "true".to_owned(), "--pin"));
        let data = self.data_dir.iter().map(|path| ("dataDir".to_owned(), path.clone(), "--data-dir"));
        set.chain(cores).chain(pin).chain(data).collect()
    }
}

fn store_position(text: &str) -> Result<(StoreId, u64), String> {
    let parts = text.split_once(':').and_then(|(store, at)| Some((store.parse().ok()?, at.parse().ok()?)));
    parts
        .map(|(store, at)| (StoreId(store), at))
        .ok_or_else(|| "write it as the refused start did, for example 0:81920".to_owned())
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE, for example brokerServiceUrl=pulsar://localhost:6650".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_become_settings_in_their_order() {
        let line = ["pulsegate", "serve", "--cores", "0-1", "--set", "a=b=c", "--pin", "--set", "a="];
        let Command::Serve(arguments) = Arguments::try_parse_from(line).unwrap().command else {
            panic!("serve")
        };
        let set = |key: &str, value: &str, option| (key.to_owned(), value.to_owned(), option);
        let expected = [
            set("a", "b=c", "--set"),
            set("a", "", "--set"),
            set("cores", "0-1", "--cores"),
            set("pin", "true", "--pin"),
        ];
        assert_eq!(arguments.overrides(), expected);
        assert!(Arguments::try_parse_from(["pulsegate", "serve", "--set", "=b"]).is_err());
    }
}
