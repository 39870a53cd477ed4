//! Carries out what the logs ask of their disk ([`DiskOp`]). The ring driver writes, reads and flushes through the core's
//! own ring (`flights.rs`) and leaves to helper threads only what would hold it up: opening, making, deleting. The portable
//! driver leaves them all of it. Either way a core never waits for a file system.
//!
//! A journal slot is opened with `O_DIRECT | O_DSYNC`: a write to it is durable when it completes, so the flush that the log
//! asks for after it costs nothing.

mod files;
mod flights;

use crate::shard::folder::DataFolder;
use crate::shard::mesh::{Letter, Mesh, ShardId};
use crate::store::{DiskError, DiskOp, FileName, OpId, StoreId};
use files::Files;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

pub(crate) use flights::{Flight, Flights, Memory};

/// Some threads make journal slots, which takes long, and which a new store waits for; the others do the rest. Each serves its
/// share of the stores.
const MAKERS: usize = 2;
const THREADS: usize = MAKERS + 2;
/// Requests waiting for one thread. Beyond they wait at the core, which tries again each turn.
const QUEUE_MAX: usize = 1024;

/// Which file.
pub(crate) type FileKey = (StoreId, FileName);

/// What a helper thread is asked for.
#[derive(Debug)]
pub(crate) enum Job {
    /// Carry out a request; the answer is a [`Letter::Disk`].
    Run { shard: ShardId, store: StoreId, op: OpId, request: DiskOp },
    /// Open a file for the core's ring; the answer is a [`Letter::Opened`].
    Open { shard: ShardId, key: FileKey },
    /// The disk is full.
    GiveUpReserve,
}

impl Job {
    /// Which thread it is for.
    fn thread(&self) -> usize {
        let share = |store: &StoreId, of: usize| usize::from(store.0) % of;
        match self {
            Job::Run { store, request: DiskOp::Create { zeroes: 1.., .. }, .. } => share(store, MAKERS),
            Job::Run { store, .. } | Job::Open { key: (store, _), .. } => {
                MAKERS + share(store, THREADS - MAKERS)
            }
            Job::GiveUpReserve => MAKERS,
        }
    }
}

/// What the operating system said, for the log: the log's owner hears only the kind.
pub(crate) fn error_of(error: &io::Error, what: &str, file: &Path) -> DiskError {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => {
            log::error!("{what} {}: no space left", file.display());
            DiskError::Full
        }
        _ => {
            log::error!("{what} {}: {error}", file.display());
            DiskError::Io
        }
    }
}

/// Makes what was created and deleted in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The way to the helper threads, for one core; they end when the last copy is dropped.
#[derive(Clone)]
pub(crate) struct Disk {
    pub(crate) folder: Arc<DataFolder>,
    queues: Vec<SyncSender<Job>>,
}

impl Disk {
    /// Starts the helper threads.
    pub(crate) fn start(
        folder: Arc<DataFolder>,
        mesh: &Arc<Mesh>,
    ) -> io::Result<(Disk, Vec<JoinHandle<()>>)> {
        let (mut queues, mut threads) = (Vec::new(), Vec::new());
        for _ in 0..THREADS {
            let (sender, receiver) = sync_channel(QUEUE_MAX);
            let (folder, mesh) = (Arc::clone(&folder), Arc::clone(mesh));
            let thread = std::thread::Builder::new().name("disk".into());
            threads.push(thread.spawn(move || serve(&receiver, folder, &mesh))?);
            queues.push(sender);
        }
        Ok((Disk { folder, queues }, threads))
    }

    /// Hands a job on; gives it back while the queue is full.
    pub(crate) fn ask(&self, job: Job) -> Result<(), Job> {
        let queue = &self.queues[job.thread()];
        queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => job,
        })
    }
}

fn serve(jobs: &Receiver<Job>, folder: Arc<DataFolder>, mesh: &Mesh) {
    let mut files = Files::new(folder);
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Run { shard, store, op, request } => {
                let result = files.carry_out(store, &request);
                mesh.post_waiting(shard, Letter::Disk { store, op, result });
            }
            Job::Open { shard, key } => {
                let result = files.open_for_ring(key);
                mesh.post_waiting(shard, Letter::Opened(Box::new(Opened { key, result })));
            }
            Job::GiveUpReserve => files.give_up_reserve(),
        }
    }
}

/// The answer to [`Job::Open`].
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) key: FileKey,
    pub(crate) result: Result<OwnedFd, DiskError>,
}

#[cfg(test)]
mod tests;
