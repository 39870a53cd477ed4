//! The program: command line, start, stop. The only place that knows every part.
//!
//! Exit codes: 0 after a clean stop, 1 when something failed, 2 for a wrong command line or configuration, or a data folder
//! that another process uses or a later version made, 3 for damaged data, 4 when a journal could not be written, 128 and the signal's number after a second signal.

mod checks;
mod cli;
mod host;
mod plan;
mod repair;
mod rules;
mod serve;
mod standalone;
mod talk;

use crate::config::{self, Config, ConfigError, Program, Settings, Sources};
use clap::Parser;
use cli::{Arguments, Command, SettingArguments};
use plan::Plan;
use std::io::Write;
use std::process::ExitCode;

/// Something that ends the program before it serves. `Display` names the setting and the mend.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The operator's to mend, in the places where settings are written.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The configuration file cannot be read.
    #[error("cannot read the configuration file {path}: {error}; check --config and the file's owner")]
    File {
        /// As given.
        path: String,
        /// From the system.
        error: std::io::Error,
    },
    /// The data folder may not be used.
    #[error("{0}")]
    Folder(String),
    /// The data is damaged: a person decides.
    #[error("{0}")]
    Damaged(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Exit code for damaged data.
const DAMAGED: u8 = 3;

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Failure::Config(_) | Failure::File { .. } | Failure::Folder(_) => 2,
            Failure::Damaged(_) => DAMAGED,
            Failure::Other(_) => 1,
        }
    }
}

/// Runs the program on the process's own command line and environment.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let result = match arguments.command {
        Command::Produce(arguments) => talk::produce(&arguments),
        Command::Consume(arguments) => talk::consume(&arguments),
        Command::Serve(settings) => with_settings(&settings, Program::Gateway, |plan, _| serve::serve(plan)),
        Command::Check(settings) => with_settings(&settings, Program::Gateway, |plan, _| check(plan)),
        Command::Standalone(arguments) if arguments.show_deviations => show(&rules::deviations()),
        Command::Repair(arguments) => {
            with_settings(&arguments.settings(), Program::Standalone, |_, settings| {
                repair::repair(settings, arguments.rebuild)
            })
        }
        Command::Standalone(arguments) => {
            let accepted = arguments.accepted();
            with_settings(&arguments.settings(), Program::Standalone, |plan, settings| {
                standalone::standalone(plan, settings, &accepted)
            })
        }
    };
    result.unwrap_or_else(|failure| {
        for line in failure.to_string().lines() {
            eprintln!("error: {line}");
        }
        ExitCode::from(failure.exit_code())
    })
}

/// Loads the settings; shows them if only that was asked for, else goes on.
fn with_settings(
    arguments: &SettingArguments,
    program: Program,
    go_on: impl FnOnce(&Plan, &Settings) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    let (config, settings) = load(arguments, program)?;
    if arguments.print_config {
        return show(&settings.print());
    }
    for note in &settings.notes {
        log::info!("{note}");
    }
    let plan = Plan::new(&config, &settings)?;
    go_on(&plan, &settings)
}

fn load(arguments: &SettingArguments, program: Program) -> Result<(Config, Settings), Failure> {
    let path = arguments.config.as_ref().map(|path| path.display().to_string());
    let text = match (&arguments.config, &path) {
        (Some(file), Some(path)) => {
            host::read_config(file).map_err(|error| Failure::File { path: path.clone(), error })?
        }
        _ => Vec::new(),
    };
    // Names or values that are not UTF-8 are no settings of ours.
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let overrides = arguments.overrides();
    let file = path.as_deref().map(|path| (path, text.as_slice()));
    let sources = Sources { program, file, environment: &environment, overrides: &overrides };
    Ok(config::load(&sources)?)
}

/// `pulsegate check`: every start-up check, one line each.
fn check(plan: &Plan) -> Result<ExitCode, Failure> {
    let findings = [
        checks::ring(plan.run.driver),
        checks::files(plan),
        checks::port(plan.run.listen[0], "webServicePort"),
        checks::brokers(&plan.gateway.service),
    ];
    let text: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    show(&text)?;
    let failed = findings.iter().any(|finding| finding.grade == checks::Grade::Failure);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Standard output may be a pipe that nobody reads any more: an error, not a panic.
fn show(text: &str) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::Other(format!("cannot write to standard output: {error}")))?;
    Ok(ExitCode::SUCCESS)
}
