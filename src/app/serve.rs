//! `pulsegate serve`: checks, cores, signals, stop.

use super::checks::{self, Grade};
use super::plan::{self, Plan};
use super::{Failure, cli, host};
use crate::config::ServiceUrl;
use crate::service::gateway::Gateway;
use crate::shard::run::{Driver, Running, run};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// Beyond the deadline that the cores keep themselves: later they are taken to hang.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// A second signal within this time is the first one again: a terminal and a supervisor may both send one.
const SAME_SIGNAL: Duration = Duration::from_millis(200);
/// Exit code when a journal could not be written.
const DISK_FAILED: u8 = 4;

/// A port in use is waited for this long: the kernel keeps the listeners of a killed process's rings for some milliseconds, and
/// whoever supervises us starts the next process at once.
const PORT_WAIT_MAX: Duration = Duration::from_secs(1);
/// It is looked at this often.
const PORT_WAIT_STEP: Duration = Duration::from_millis(20);

/// What ends serving.
pub(super) enum Event {
    /// Somebody wants us to stop.
    Signal(i32),
    /// A journal cannot be written, and the process is to end for it.
    DiskFailed(String),
    /// All cores have ended.
    Ended(Result<(), String>),
}

/// Serves until a signal comes.
pub(super) fn serve(plan: &Plan) -> Result<ExitCode, Failure> {
    log::info!("pulsegate {}", cli::VERSION);
    // The cores find out about ring and files by themselves; of the port they do not know the settings.
    check_ports(plan)?;
    // Before the cores: a signal during the start is then a stop right after it.
    let (sender, events) = channel();
    watch_signals(sender.clone())?;

    let shards = plan.run.cores.len();
    let gateway = Arc::clone(&plan.gateway);
    let seed = seed();
    let running = run(plan.run.clone(), move |shard| {
        Gateway::new(Arc::clone(&gateway), shard, shards, seed.wrapping_add(u64::from(shard.0)))
    })
    .map_err(|error| Failure::Other(error.to_string()))?;
    announce(&running, plan);
    watch_brokers(plan.gateway.service.clone())?;
    wait(running, sender, &events, plan.run.drain_time_max)
}

/// Whether all addresses can be listened on: the cores do not know the names of the settings.
pub(super) fn check_ports(plan: &Plan) -> Result<(), Failure> {
    let begun = host::monotonic();
    for (listen, setting) in plan.run.listen.iter().zip(["webServicePort", "brokerServicePort"]) {
        loop {
            let port = checks::port(*listen, setting);
            if port.grade != Grade::Failure {
                break;
            }
            if host::monotonic().since(begun) > PORT_WAIT_MAX {
                return Err(Failure::Other(port.text));
            }
            thread::park_timeout(PORT_WAIT_STEP);
        }
    }
    Ok(())
}

/// Jitter and generated names differ between processes; nothing secret hangs on it.
pub(super) fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    match thread::Builder::new().name(name.to_owned()).spawn(work) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(Failure::Other(format!("cannot start the thread {name}: {error}; raise ulimit -u")))
        }
    }
}

pub(super) fn watch_signals(sender: Sender<Event>) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGTERM, SIGINT])
        .map_err(|error| Failure::Other(format!("cannot watch for signals: {error}")))?;
    spawn("signals", move || {
        for signal in signals.forever() {
            if sender.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    })
}

/// Brokers may come later than we do: a log line, and no reason to stay down. Name servers can be slow, hence
/// a thread.
fn watch_brokers(service: ServiceUrl) -> Result<(), Failure> {
    spawn("broker-check", move || {
        let finding = checks::brokers(&service);
        match finding.grade {
            Grade::Good => log::debug!("broker: {}", finding.text),
            _ => log::warn!("{}", finding.text),
        }
    })
}

/// On which processors, and what moves the bytes.
pub(super) fn driver_text(running: &Running, plan: &Plan) -> String {
    let driver = match running.driver {
        Driver::Ring => "ring (io_uring)",
        Driver::Portable => "portable",
        Driver::Auto => "auto",
    };
    if let Some(reason) = &running.fallback {
        log::warn!("no ring: {reason}");
    }
    let cores = plan::list(&plan.run.cores);
    let pinned = if plan.run.pin { ", pinned" } else { "" };
    format!("processors {cores}{pinned}, driver {driver}")
}

fn announce(running: &Running, plan: &Plan) {
    log::info!("listening on {}, {}", running.listening[0], driver_text(running, plan));
    log::info!("brokers: {}", plan.gateway.service);
    let here = reachable(running.listening[0]);
    log::info!("try it: curl http://{here}/readyz");
    log::info!("produce: ws://{here}/ws/v2/producer/persistent/public/default/my-topic");
}

/// An address to paste: "any address" cannot be connected to everywhere.
pub(super) fn reachable(listening: SocketAddr) -> SocketAddr {
    match listening {
        SocketAddr::V4(address) if address.ip().is_unspecified() => {
            (Ipv4Addr::LOCALHOST, address.port()).into()
        }
        SocketAddr::V6(address) if address.ip().is_unspecified() => {
            (Ipv6Addr::LOCALHOST, address.port()).into()
        }
        other => other,
    }
}

/// Waits for the first signal, stops the cores, and sees to it that the process ends in time.
pub(super) fn wait(
    running: Running,
    sender: Sender<Event>,
    events: &Receiver<Event>,
    time_max: Duration,
) -> Result<ExitCode, Failure> {
    let stopper = running.stopper();
    spawn("join", move || {
        // Nobody listens only when the process is on its way out already.
        if sender.send(Event::Ended(running.join())).is_err() {
            log::debug!("the cores ended after the process did");
        }
    })?;
    let mut code = ExitCode::SUCCESS;
    match events.recv() {
        Ok(Event::Signal(signal)) => {
            log::info!("stopping on {}; once more ends at once", signal_name(signal))
        }
        Ok(Event::DiskFailed(reason)) => {
            log::error!(
                "stopping, as onFatalDiskError=exit says ({reason}): a new start finds out what is stored"
            );
            code = ExitCode::from(DISK_FAILED);
        }
        // Nobody asked for it: a core failed, and took the others along.
        Ok(Event::Ended(result)) => {
            let reason = result.err().unwrap_or_else(|| "the cores ended by themselves".to_owned());
            return Err(Failure::Other(reason));
        }
        Err(_) => {}
    }
    let first = host::monotonic();
    stopper.stop();
    let time_max = time_max.saturating_add(STOP_GRACE);
    loop {
        let left = time_max.saturating_sub(host::monotonic().since(first));
        match events.recv_timeout(left) {
            Ok(Event::Ended(Ok(()))) => {
                log::info!("stopped");
                return Ok(code);
            }
            Ok(Event::Ended(Err(reason))) => {
                return Err(Failure::Other(format!("not every core ended well: {reason}")));
            }
            Ok(Event::Signal(_)) if host::monotonic().since(first) < SAME_SIGNAL => {}
            Ok(Event::Signal(signal)) => {
                log::warn!("ended at once on a second signal, {}", signal_name(signal));
                // Signal numbers are below 64.
                return Ok(ExitCode::from(128 + signal as u8));
            }
            Ok(Event::DiskFailed(_)) => code = ExitCode::from(DISK_FAILED),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                let reason = format!("the cores did not stop within {time_max:?} (shutdownTimeoutMillis)");
                return Err(Failure::Other(reason));
            }
        }
    }
}

fn signal_name(signal: i32) -> &'static str {
    signal_hook::low_level::signal_name(signal).unwrap_or("a signal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_to_paste_can_be_connected_to() {
        for (listening, expected) in
            [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("10.0.0.1:80", "10.0.0.1:80")]
        {
            assert_eq!(reachable(listening.parse().unwrap()), expected.parse().unwrap());
        }
    }
}
