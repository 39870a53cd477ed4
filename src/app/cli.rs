//! The command line.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Version and commit.
pub(super) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("PULSEGATE_COMMIT"), ")");

const EXAMPLES: &str = "\
Examples:
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

const CHECK_EXAMPLES: &str = "\
Examples:
  pulsegate check --config /etc/pulsar/websocket.conf
  pulsegate check --set brokerServiceUrl=pulsar://localhost:6650 && echo ready to serve

Exit code 0: nothing stands in the way. 1: a check failed; its line says what to do.
2: the configuration is wrong.";

/// Apache Pulsar's WebSocket API as one fast server in front of Pulsar brokers.
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
    /// Run the start-up checks and say what to mend, without serving
    #[command(after_help = CHECK_EXAMPLES)]
    Check(SettingArguments),
}

/// Where settings come from.
#[derive(Debug, Args)]
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
}

impl SettingArguments {
    /// Key, value and option of everything set on the command line.
    pub(super) fn overrides(&self) -> Vec<(String, String, &'static str)> {
        let set = self.set.iter().map(|(key, value)| (key.clone(), value.clone(), "--set"));
        let cores = self.cores.iter().map(|list| ("cores".to_owned(), list.clone(), "--cores"));
        let pin = self.pin.then(|| ("pin".to_owned(), "true".to_owned(), "--pin"));
        set.chain(cores).chain(pin).collect()
    }
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
