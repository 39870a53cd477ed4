//! Settings: from `websocket.conf`, the environment and the command line to checked values in their final
//! units. The texts are handed in; nothing here opens a file. [`keys::KEYS`] is the one table of all settings
//! (API 8).

pub mod broker_keys;
pub mod gateway;
pub mod keys;
pub mod properties;
pub mod settings;

#[cfg(test)]
mod tests;

pub use gateway::{BrokerCredentials, GatewayConfig, ServiceUrl};
pub use keys::Program;
pub use settings::{ConfigError, Fault, Origin, Settings, Sources};

use crate::base::limit;
use std::time::Duration;

/// Everything the program needs to know to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Address or host name to listen on.
    pub bind: String,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Processors to run on; `None`: all that are allowed.
    pub cores: Option<Vec<usize>>,
    /// Pin each core's thread.
    pub pin: bool,
    /// Which driver to use.
    pub driver: DriverChoice,
    /// Connections of the process, if fewer than the cores have room for.
    pub connections_max: Option<u32>,
    /// Span over which sessions are closed at a stop.
    pub shutdown_spread: Duration,
    /// The process ends this long after a signal; not shorter than `shutdown_spread`.
    pub shutdown_time_max: Duration,
    /// For the gateway.
    pub gateway: GatewayConfig,
}

/// Which driver moves the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverChoice {
    /// The ring where it can be had.
    Auto,
    /// io_uring or nothing.
    Ring,
    /// Readiness polling.
    Portable,
}

/// Reads all places where settings are written. Returns what to serve with, and the settings as they stand.
pub fn load(sources: &Sources<'_>) -> Result<(Config, Settings), ConfigError> {
    let settings = settings::resolve(sources)?;
    let mut faults = Vec::new();
    match build(&settings, &mut faults) {
        Some(config) if faults.is_empty() => Ok((config, settings)),
        _ => Err(ConfigError(faults)),
    }
}

/// What single values cannot show: texts that must be parsed, and relations between settings. `None` only
/// with a fault.
fn build(settings: &Settings, faults: &mut Vec<Fault>) -> Option<Config> {
    let mut blame = |key: &'static str, reason: String| {
        faults.push(Fault::Invalid { origin: settings.of(key).1.clone(), key, reason });
    };
    let service = service_url(settings, &mut blame);
    let port = settings.number("webServicePort");
    if port.is_none() {
        blame("webServicePort", "is empty, so there is nothing to listen on; set webServicePort=8080".into());
    }
    let cores = match settings.text("cores") {
        "" => Some(None),
        list => parse_cores(list).map_err(|reason| blame("cores", reason)).ok().map(Some),
    };
    let plugin = settings.text("brokerClientAuthenticationPlugin");
    let broker_token =
        BrokerCredentials::parse(plugin, settings.text("brokerClientAuthenticationParameters"))
            .map_err(|error| match error {
                gateway::CredentialsError::Plugin => {
                    blame("brokerClientAuthenticationPlugin", format!("{plugin}: {error}"));
                }
                _ => blame("brokerClientAuthenticationParameters", error.to_string()),
            })
            .ok();
    let text_max = size(settings, "webSocketMaxTextFrameSize");
    let (session_pending_bytes_max, process_pending_bytes_max) = budgets(settings, text_max, &mut blame);
    let shutdown_spread = millis(settings, "shutdownSpreadMillis");
    let shutdown_time_max = millis(settings, "shutdownTimeoutMillis");
    if shutdown_spread > shutdown_time_max {
        blame(
            "shutdownSpreadMillis",
            "is longer than shutdownTimeoutMillis: sessions would be cut off".into(),
        );
    }
    let status_file = settings.text("statusFilePath");
    Some(Config {
        bind: settings.text("bindAddress").to_owned(),
        port: u16::try_from(port?).ok()?,
        cores: cores?,
        pin: settings.flag("pin"),
        driver: match settings.text("driver") {
            "ring" => DriverChoice::Ring,
            "portable" => DriverChoice::Portable,
            _ => DriverChoice::Auto,
        },
        connections_max: u32::try_from(settings.number("maxHttpServerConnections")?)
            .ok()
            .filter(|&max| max > 0),
        shutdown_spread,
        shutdown_time_max,
        gateway: GatewayConfig {
            service: service?,
            text_max,
            http_head_max: size(settings, "httpMaxRequestHeaderSize"),
            session_idle: positive(settings, "webSocketSessionIdleTimeoutMillis")
                .map_or(limit::SESSION_IDLE_MAX, Duration::from_millis),
            ping_interval: positive(settings, "webSocketPingDurationSeconds").map(Duration::from_secs),
            session_pending_bytes_max,
            process_pending_bytes_max,
            status_file: (!status_file.is_empty()).then(|| status_file.into()),
            broker_token: broker_token?,
            cluster: settings.text("clusterName").to_owned(),
        },
    })
}

/// The binary URL is preferred, as in the original (API 8).
fn service_url(settings: &Settings, blame: &mut impl FnMut(&'static str, String)) -> Option<ServiceUrl> {
    if settings.program() == Program::Standalone {
        return Some(ServiceUrl::Binary(vec![("embedded".to_owned(), 6650)]));
    }
    let key = ["brokerServiceUrl", "serviceUrl"].into_iter().find(|key| !settings.text(key).is_empty());
    let Some(key) = key else {
        let how = "names no broker; set brokerServiceUrl=pulsar://HOST:6650 (or serviceUrl=http://HOST:8080)";
        blame("brokerServiceUrl", how.to_owned());
        return None;
    };
    let text = settings.text(key);
    ServiceUrl::parse(text).map_err(|error| blame(key, format!("{text}: {error}"))).ok()
}

/// The session's and the process's budget of unconfirmed bytes. Budgets nobody set make room for those that
/// were.
fn budgets(
    settings: &Settings,
    text_max: usize,
    blame: &mut impl FnMut(&'static str, String),
) -> (usize, usize) {
    const SESSION: &str = "webSocketSessionPendingBytesMax";
    const PROCESS: &str = "webSocketPulsarClientMemoryLimitInMB";
    let mut session = size(settings, SESSION);
    if session <= text_max {
        if *settings.of(SESSION).1 == Origin::Default {
            session = text_max.saturating_mul(2);
        } else {
            let least = text_max + 1;
            blame(
                SESSION,
                format!("{session} does not hold one webSocketMaxTextFrameSize; set at least {least}"),
            );
        }
    }
    let process = match size(settings, PROCESS) {
        0 => limit::PROCESS_PENDING_BYTES_MAX.max(session.saturating_mul(2)),
        mebibytes => mebibytes << 20,
    };
    if process < session {
        if *settings.of(SESSION).1 == Origin::Default && process > text_max {
            session = process;
        } else {
            let least = session.div_ceil(1 << 20);
            blame(
                PROCESS,
                format!("is less than one session may use; set at least {least}, or less per session"),
            );
        }
    }
    (session, process)
}

/// The number of a key whose range holds no negative one.
fn size(settings: &Settings, key: &str) -> usize {
    settings.number(key).and_then(|number| usize::try_from(number).ok()).unwrap_or(0)
}

fn positive(settings: &Settings, key: &str) -> Option<u64> {
    settings.number(key).and_then(|number| u64::try_from(number).ok()).filter(|&number| number > 0)
}

fn millis(settings: &Settings, key: &str) -> Duration {
    Duration::from_millis(positive(settings, key).unwrap_or(0))
}

/// Reads a list of processors as `0,2-3`: ascending, each once. The error says what is wrong.
fn parse_cores(list: &str) -> Result<Vec<usize>, String> {
    /// No machine has more: bounds the list that a range can make.
    const PROCESSORS_MAX: usize = 4096;
    let wrong = |part: &str| format!("{part:?} is no processor or range of processors; write it as 0,2-3");
    let number = |text: &str| text.trim().parse::<usize>().ok().filter(|&number| number < PROCESSORS_MAX);
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => cores.extend(first..=last),
            _ => return Err(wrong(part)),
        }
        if cores.len() > PROCESSORS_MAX {
            return Err(format!("more than {PROCESSORS_MAX} processors are named"));
        }
    }
    cores.sort_unstable();
    if cores.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("names a processor twice: each core of pulsegate needs its own".into());
    }
    Ok(cores)
}
