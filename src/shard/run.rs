//! Starts the cores: listeners, executors, watchdog; stops them again.

use crate::shard::disk::Disk;
use crate::shard::drive::drive;
use crate::shard::ending::Ending;
use crate::shard::folder::DataFolder;
use crate::shard::links::Handler;
use crate::shard::mesh::{Mesh, ShardId};
use crate::shard::meta::{MetaStore, MetaWriter};
use crate::shard::portable::Portable;
use crate::shard::probe::{SPARE_DESCRIPTORS, probe};
use crate::shard::reactor::{Reactor, Seat};
use crate::shard::resolver::Resolver;
use crate::shard::sys::{self, Bell};
use crate::shard::watchdog::Watchdog;
use glommio::{LocalExecutorBuilder, Placement};
use socket2::Socket;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;

/// A core must have begun after this.
const START_TIME_MAX: Duration = Duration::from_secs(10);
/// glommio's preemption: the core's task makes way by itself, and the timer can put an executor to sleep for good.
const PREEMPT: Duration = Duration::from_secs(3600);

/// With fewer connections than this a core serves nobody beside its broker links.
const CONNECTIONS_MIN: u32 = 16;

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
    /// Addresses to listen on, one for each [`Door`](crate::shard::Door); port 0 picks one. Each core has its own share of
    /// each.
    pub listen: Vec<SocketAddr>,
    /// Connections per core.
    pub connections_max: u32,
    /// Driver choice.
    pub driver: Driver,
    /// Span over which sessions are closed at a stop.
    pub drain_spread: Duration,
    /// The stop ends at the latest after this.
    pub drain_time_max: Duration,
    /// Where [`Links::disk`](crate::shard::Links::disk) finds its files; without one it fails.
    pub data: Option<Arc<DataFolder>>,
    /// What [`Links::write_meta`](crate::shard::Links::write_meta) writes to; without one it is refused.
    pub meta: Option<MetaStore>,
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
    /// The addresses in use (with the real ports), by door.
    pub listening: Vec<SocketAddr>,
    /// The driver in use.
    pub driver: Driver,
    /// Why not the ring, when it was wanted.
    pub fallback: Option<String>,
    mesh: Arc<Mesh>,
    cores: Vec<Thread>,
    /// They end when the cores have ended: then the data folder is free.
    helpers: Vec<JoinHandle<()>>,
    watchdog: Option<Watchdog>,
}

/// Stops the cores of a [`Running`].
#[derive(Clone)]
pub struct Stopper(Arc<Mesh>);

impl Stopper {
    /// As [`Running::stop`].
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// However a core ends, by an error or a panic too: the others are stopped as well. A process with a dead core would keep
/// its share of the port and answer nobody on it.
struct Last(Arc<Mesh>, ShardId);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.pulse(self.1).ended.store(true, Ordering::SeqCst);
        self.0.stop();
    }
}

enum Thread {
    Executor(glommio::ExecutorJoinHandle<Result<(), String>>),
    Plain(std::thread::JoinHandle<Result<(), String>>),
}

impl Thread {
    fn join(self) -> Result<(), String> {
        let died = || "the thread of a core died".to_owned();
        match self {
            Thread::Executor(handle) => handle.join().map_err(|error| error.to_string())?,
            Thread::Plain(handle) => handle.join().map_err(|_| died())?,
        }
    }
}

impl Running {
    /// Begins a stop: no more accepts, handlers are told. May be called from a signal thread, and more than once.
    pub fn stop(&self) {
        self.mesh.stop();
    }

    /// A handle that stops the cores, for who cannot hold this while it is joined.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.mesh))
    }

    /// Waits until all cores have ended; without an earlier [`Running::stop`] that is when one of them fails.
    pub fn join(mut self) -> Result<(), String> {
        self.wait()
    }

    fn wait(&mut self) -> Result<(), String> {
        let mut result = Ok(());
        for (shard, core) in self.cores.drain(..).enumerate() {
            if let Err(reason) = core.join() {
                log::error!("core {shard} failed: {reason}");
                result = result.and(Err(format!("core {shard}: {reason}")));
            }
        }
        for helper in self.helpers.drain(..) {
            if helper.join().is_err() {
                result = result.and(Err("a helper thread died".to_owned()));
            }
        }
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.end();
        }
        result
    }
}

impl Running {
    fn start_helpers(
        &mut self,
        data: Option<Arc<DataFolder>>,
        meta: Option<MetaStore>,
    ) -> io::Result<(Option<Disk>, Option<MetaWriter>)> {
        let disk = data.map(|folder| Disk::start(folder, &self.mesh)).transpose()?;
        let disk = disk.map(|(disk, threads)| {
            self.helpers.extend(threads);
            disk
        });
        let meta = meta.map(|store| store.start(&self.mesh)).transpose()?;
        let meta = meta.map(|(writer, thread)| {
            self.helpers.push(thread);
            writer
        });
        Ok((disk, meta))
    }
}

impl Drop for Running {
    /// Cores never outlive the handle.
    fn drop(&mut self) {
        if !self.cores.is_empty() || !self.helpers.is_empty() {
            self.stop();
            if let Err(reason) = self.wait() {
                log::error!("{reason}");
            }
        }
    }
}

/// Starts one core per entry of `cores`; `make` builds each core's handler on its own thread.
pub fn run<H, F>(config: RunConfig, make: F) -> Result<Running, StartError>
where
    H: Handler + 'static,
    F: Fn(ShardId) -> H + Send + Sync + 'static,
{
    run_listening(config, move |shard, _| make(shard))
}

/// As [`run`]; `make` is also told the addresses in use, by door, with the real ports.
pub fn run_listening<H, F>(config: RunConfig, make: F) -> Result<Running, StartError>
where
    H: Handler + 'static,
    F: Fn(ShardId, &[SocketAddr]) -> H + Send + Sync + 'static,
{
    let (driver, fallback) = choose(config.driver)?;
    let connections_max = affordable_connections(config.connections_max, config.cores.len())?;
    let (listening, mut listeners) = listen(&config.listen, config.cores.len())?;

    let failed = |error: io::Error| core_error(ShardId(0), &error.to_string());
    let bell = if driver == Driver::Ring { Bell::for_ring } else { Bell::for_poll };
    let bells = config.cores.iter().map(|_| bell()).collect::<io::Result<Vec<_>>>().map_err(failed)?;
    let (mesh, mailboxes) = Mesh::new(bells);
    let mesh = Arc::new(mesh);
    let resolver = Resolver::start(&mesh).map_err(failed)?;
    let watchdog = Watchdog::start(&mesh).map_err(failed)?;
    let addresses = listening.clone();
    let make = Arc::new(move |shard| make(shard, &addresses));
    let (started, starts) = channel();
    let register = watchdog.register();
    let mut running = Running {
        listening,
        driver,
        fallback,
        mesh,
        cores: Vec::new(),
        helpers: Vec::new(),
        watchdog: Some(watchdog),
    };
    // After `running`, so that they are gone before it waits for the helpers, however this ends.
    let (disk, meta) = running.start_helpers(config.data, config.meta).map_err(failed)?;
    for (index, mailbox) in mailboxes.into_iter().enumerate() {
        let shard = ShardId(index as u16);
        let seat = Seat {
            shard,
            mesh: Arc::clone(&running.mesh),
            mailbox,
            resolver: resolver.clone(),
            disk: disk.clone(),
            meta: meta.clone(),
            listeners: listeners.iter_mut().filter_map(Vec::pop).collect(),
            connections_max,
            drain_spread: config.drain_spread,
            drain_time_max: config.drain_time_max,
        };
        let make = Arc::clone(&make);
        let cpu = config.pin.then(|| config.cores[index]);
        let (started, register) = (started.clone(), register.clone());
        let core = match driver {
            Driver::Portable => spawn_portable(seat, cpu, started, move || make(shard)),
            _ => spawn_ring(seat, cpu, started, move |waker| register(shard, waker), move || make(shard)),
        };
        running.cores.push(core.map_err(|reason| core_error(shard, &reason))?);
    }
    drop((started, disk, meta));
    // Every core tells; a core whose thread dies before drops its sender.
    for _ in 0..running.cores.len() {
        match starts.recv_timeout(START_TIME_MAX) {
            Ok(told) => told.map_err(|(shard, reason)| core_error(shard, &reason))?,
            Err(RecvTimeoutError::Disconnected) => return Err(core_error(ShardId(0), "its thread died")),
            Err(RecvTimeoutError::Timeout) => {
                // One that has not begun cannot be told to stop: it is left behind, as the process is to end.
                running.mesh.stop();
                running.cores.clear();
                running.helpers.clear();
                return Err(core_error(
                    ShardId(0),
                    &format!("a core did not begin within {START_TIME_MAX:?}"),
                ));
            }
        }
    }
    Ok(running)
}

/// The real addresses by door, and by door one listener for each core.
fn listen(addresses: &[SocketAddr], cores: usize) -> Result<(Vec<SocketAddr>, Vec<Vec<Socket>>), StartError> {
    let (mut listening, mut listeners) = (Vec::new(), Vec::new());
    for &address in addresses {
        let refused = |error: io::Error| StartError::Listen { address, reason: refusal(address, &error) };
        let (bound, sockets) = sys::listen(address, cores).map_err(refused)?;
        listening.push(bound);
        listeners.push(sockets);
    }
    Ok((listening, listeners))
}

type Started = Sender<Result<(), (ShardId, String)>>;

fn core_error(shard: ShardId, reason: &str) -> StartError {
    StartError::Core { shard, reason: reason.to_owned() }
}

fn choose(wanted: Driver) -> Result<(Driver, Option<String>), StartError> {
    match (wanted, probe()) {
        (Driver::Portable, _) => Ok((Driver::Portable, None)),
        (_, Ok(())) => Ok((Driver::Ring, None)),
        (Driver::Ring, Err(reason)) => Err(core_error(ShardId(0), &reason)),
        (Driver::Auto, Err(reason)) => {
            // Said by whoever started us.
            Ok((Driver::Portable, Some(reason)))
        }
    }
}

/// The setting, cut to what the limit of open descriptors allows each core.
fn affordable_connections(wanted: u32, cores: usize) -> Result<u32, StartError> {
    let limit = sys::raise_descriptor_limit();
    let each = limit.saturating_sub(SPARE_DESCRIPTORS) / cores.max(1) as u64;
    let affordable = u32::try_from(each).unwrap_or(u32::MAX);
    if affordable < CONNECTIONS_MIN.min(wanted) {
        let reason = format!(
            "the limit of open descriptors, {limit}, leaves no room for clients; raise it: ulimit -n, LimitNOFILE="
        );
        return Err(core_error(ShardId(0), &reason));
    }
    if affordable < wanted {
        log::warn!(
            "{affordable} instead of {wanted} connections per core: the limit of open descriptors is {limit} \
             (ulimit -n, LimitNOFILE=)"
        );
    }
    Ok(wanted.min(affordable))
}

fn refusal(address: SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("port {port} is in use by another process; stop it or choose another port")
        }
        io::ErrorKind::PermissionDenied => {
            format!("port {port} needs a privilege: choose one above 1023, or grant CAP_NET_BIND_SERVICE")
        }
        io::ErrorKind::AddrNotAvailable => format!("{} is not an address of this machine", address.ip()),
        _ => error.to_string(),
    }
}

fn spawn_ring<H: Handler + 'static>(
    seat: Seat,
    cpu: Option<usize>,
    started: Started,
    register: impl FnOnce(Waker) + Send + 'static,
    make: impl FnOnce() -> H + Send + 'static,
) -> Result<Thread, String> {
    let shard = seat.shard;
    let task = move || async move {
        let ending = Ending::new(seat.drain_spread, seat.drain_time_max);
        let _last = Last(Arc::clone(&seat.mesh), shard);
        match Reactor::new(seat) {
            Ok(mut reactor) => {
                let mut handler = make();
                tell(&started, Ok(()));
                drive(&mut reactor, &mut handler, ending, register).await.map_err(|error| error.to_string())
            }
            Err(error) => {
                tell(&started, Err((shard, error.to_string())));
                Ok(())
            }
        }
    };
    LocalExecutorBuilder::new(cpu.map_or(Placement::Unbound, Placement::Fixed))
        .name(&format!("core-{}", shard.0))
        // Never, in effect: see the head of `drive.rs`.
        .preempt_timer(PREEMPT)
        // Files are no business of ours: glommio's minimum.
        .io_memory(64 << 10)
        .spawn(task)
        .map(Thread::Executor)
        .map_err(|error| error.to_string())
}

fn spawn_portable<H: Handler + 'static>(
    seat: Seat,
    cpu: Option<usize>,
    started: Started,
    make: impl FnOnce() -> H + Send + 'static,
) -> Result<Thread, String> {
    let shard = seat.shard;
    let task = move || {
        if cpu.is_some_and(|id| !core_affinity::set_for_current(core_affinity::CoreId { id })) {
            log::warn!("core {}: cannot be pinned to processor {cpu:?}", shard.0);
        }
        let ending = Ending::new(seat.drain_spread, seat.drain_time_max);
        let _last = Last(Arc::clone(&seat.mesh), shard);
        match Portable::new(seat) {
            Ok(mut portable) => {
                let mut handler = make();
                tell(&started, Ok(()));
                portable.run(&mut handler, ending).map_err(|error| error.to_string())
            }
            Err(error) => {
                tell(&started, Err((shard, error.to_string())));
                Ok(())
            }
        }
    };
    let thread = std::thread::Builder::new().name(format!("core-{}", shard.0)).spawn(task);
    thread.map(Thread::Plain).map_err(|error| error.to_string())
}

/// Nobody listens when another core failed before: then all cores are stopped anyway.
fn tell(started: &Started, result: Result<(), (ShardId, String)>) {
    drop(started.send(result));
}
