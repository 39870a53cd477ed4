//! From settings to what the cores are started with: addresses looked up, processors chosen, room divided.

use super::{Failure, host};
use crate::base::limit::{CORE_CONNECTIONS_MAX, CORE_LINKS_ROOM};
use crate::config::{Config, ConfigError, DriverChoice, Fault, GatewayConfig, Program, Settings};
use crate::shard::run::{Driver, RunConfig};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

/// What to start.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) run: RunConfig,
    pub(super) gateway: Arc<GatewayConfig>,
    /// Connections the process should have file descriptors for.
    pub(super) connections_wanted: u64,
}

impl Plan {
    pub(super) fn new(config: &Config, settings: &Settings) -> Result<Plan, Failure> {
        let blame = |key: &'static str, reason: String| {
            ConfigError(vec![Fault::Invalid { origin: settings.of(key).1.clone(), key, reason }])
        };
        let cores = cores(config.cores.as_deref(), &host::processors(), host::parallelism())
            .map_err(|reason| blame("cores", reason))?;
        let listen = resolve(&config.bind, config.port).map_err(|reason| blame("bindAddress", reason))?;
        let mut listen = vec![listen];
        if settings.program() == Program::Standalone {
            let Some(port) = settings.number("brokerServicePort").and_then(|port| u16::try_from(port).ok())
            else {
                let reason = "is empty, so clients find no broker; set brokerServicePort=6650".to_owned();
                return Err(blame("brokerServicePort", reason).into());
            };
            listen.push(resolve(&config.bind, port).map_err(|reason| blame("bindAddress", reason))?);
        }
        let run = RunConfig {
            connections_max: connections_per_core(config.connections_max, cores.len()),
            cores,
            pin: config.pin,
            listen,
            driver: match config.driver {
                DriverChoice::Auto => Driver::Auto,
                DriverChoice::Ring => Driver::Ring,
                DriverChoice::Portable => Driver::Portable,
            },
            drain_spread: config.shutdown_spread,
            drain_time_max: config.shutdown_time_max,
            data: None,
            meta: None,
        };
        // Without a cap of the operator's own, one full core is the measure: few are meant to fill all.
        let full_cores = if config.connections_max.is_some() { run.cores.len() as u64 } else { 1 };
        let connections_wanted = u64::from(run.connections_max) * full_cores;
        Ok(Plan { run, gateway: Arc::new(config.gateway.clone()), connections_wanted })
    }
}

/// The processors asked for, or as many of those allowed as are worth a thread.
fn cores(wanted: Option<&[usize]>, allowed: &[usize], parallelism: usize) -> Result<Vec<usize>, String> {
    let Some(wanted) = wanted else {
        return Ok(allowed[..parallelism.clamp(1, allowed.len())].to_vec());
    };
    match wanted.iter().find(|core| !allowed.contains(core)) {
        Some(core) => Err(format!("this process may not run on processor {core}, only on {}", list(allowed))),
        None => Ok(wanted.to_vec()),
    }
}

/// An even share of the clients for each core, and room for its links to brokers.
fn connections_per_core(connections_max: Option<u32>, cores: usize) -> u32 {
    let cores = u32::try_from(cores).unwrap_or(u32::MAX);
    match connections_max {
        Some(max) => max.div_ceil(cores).saturating_add(CORE_LINKS_ROOM).min(CORE_CONNECTIONS_MAX),
        None => CORE_CONNECTIONS_MAX,
    }
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr, String> {
    let mut addresses = (host, port).to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
    addresses.next().ok_or_else(|| format!("{host} has no address"))
}

/// Processors as `--cores` takes them: `0,2-3`.
pub(super) fn list(cores: &[usize]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for run in cores.chunk_by(|left, right| left + 1 == *right) {
        match run {
            [first, .., last] => parts.push(format!("{first}-{last}")),
            [only] => parts.push(only.to_string()),
            [] => (),
        }
    }
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_those_asked_for_or_as_many_as_are_worth_it() {
        assert_eq!(cores(None, &[0, 1, 4], 2), Ok(vec![0, 1]));
        assert_eq!(cores(None, &[0, 1], 64), Ok(vec![0, 1]));
        assert_eq!(cores(None, &[3], 0), Ok(vec![3]));
        assert_eq!(cores(Some(&[1, 4]), &[0, 1, 4], 1), Ok(vec![1, 4]));
        let error = cores(Some(&[1, 7]), &[0, 1, 2, 4], 4).unwrap_err();
        assert_eq!(error, "this process may not run on processor 7, only on 0-2,4");
    }

    #[test]
    fn clients_are_divided_and_links_have_room() {
        assert_eq!(connections_per_core(None, 4), CORE_CONNECTIONS_MAX);
        assert_eq!(connections_per_core(Some(2048), 4), 512 + CORE_LINKS_ROOM);
        assert_eq!(connections_per_core(Some(1), 4), 1 + CORE_LINKS_ROOM);
        assert_eq!(connections_per_core(Some(u32::MAX), 1), CORE_CONNECTIONS_MAX);
    }

    #[test]
    fn addresses_are_looked_up() {
        assert_eq!(resolve("127.0.0.1", 80), Ok("127.0.0.1:80".parse().unwrap()));
        assert_eq!(resolve("::1", 80), Ok("[::1]:80".parse().unwrap()));
        assert!(resolve("not an address", 80).is_err());
    }
}
