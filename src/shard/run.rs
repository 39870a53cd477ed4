//! Starts the cores: listeners, executors, watchdog; stops them again.

use crate::shard::links::Handler;
use crate::shard::mesh::ShardId;
use std::net::SocketAddr;
use std::time::Duration;

/// Which driver moves the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// The ring where it can be had, else the portable one.
    Auto,
    /// io_uring inside a glommio executor.
    Ring,
    /// Readiness polling on a plain thread.
    Portable,
}

/// How to run.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// Processors, one core (shard) each.
    pub cores: Vec<usize>,
    /// Pin each core's thread to its processor.
    pub pin: bool,
    /// Address to listen on; port 0 picks one. Each core has its own share of it.
    pub listen: SocketAddr,
    /// Connections per core.
    pub connections_max: u32,
    /// Driver choice.
    pub driver: Driver,
    /// Span over which sessions are closed at a stop.
    pub drain_spread: Duration,
    /// The stop ends at the latest after this.
    pub drain_time_max: Duration,
}

/// Why the cores could not be started; `Display` names the setting and the mend.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process has the port, or it may not be used.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Cause and mend.
        reason: String,
    },
    /// A core could not be made.
    #[error("core {shard:?} cannot start: {reason}")]
    Core {
        /// Which.
        shard: ShardId,
        /// Cause and mend.
        reason: String,
    },
}

/// The running cores.
pub struct Running {
    /// The address in use (with the real port).
    pub listening: SocketAddr,
    /// The driver in use.
    pub driver: Driver,
    /// Why not the ring, when it was wanted.
    pub fallback: Option<String>,
}

impl Running {
    /// Begins a stop: no more accepts, handlers are told. May be called from a signal thread.
    pub fn stop(&self) {
        unimplemented!()
    }

    /// Waits until all cores have ended.
    pub fn join(self) -> Result<(), String> {
        unimplemented!()
    }
}

/// Starts one core per entry of `cores`; `make` builds each core's handler on its own thread.
pub fn run<H, F>(_config: RunConfig, _make: F) -> Result<Running, StartError>
where
    H: Handler + 'static,
    F: Fn(ShardId) -> H + Send + Sync + 'static,
{
    unimplemented!()
}
