//! File operations on the core's own ring: their completions come in the same turn as those of sockets.

use super::{FileKey, Job, Opened, error_of};
use crate::shard::mesh::Letter;
use crate::shard::reactor::Reactor;
use crate::shard::ring::Event;
use crate::store::disk::BLOCK;
use crate::store::{Completion, DiskError, DiskOp, FileName, OpId, StoreId};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

/// Files one core keeps open: a journal slot or two for each store, and the segments that are read.
const OPEN_MAX: usize = 256;
/// Aligned buffers a core keeps for its next journal writes, and the largest it keeps, bytes.
const SPARE_MAX: usize = 4;
const SPARE_BYTES_MAX: usize = 2 << 20;

/// What the kernel says of a file that has no page cache, or of a file system that was not made for it.
const NO_PARTS: [i32; 3] = [libc::EINVAL, libc::ESPIPE, libc::EOPNOTSUPP];

/// What the kernel works with until an operation's completion.
#[derive(Debug)]
pub(crate) enum Memory {
    /// Written from where the log put it.
    Bytes(Bytes),
    /// Written from a copy that begins at a page, and the bytes before that page.
    Aligned { buffer: Vec<u8>, from: usize, length: usize },
    /// Read into; so much of it is there.
    Read { buffer: Vec<u8>, filled: usize },
    /// So much was written, and is on its way from the page cache to the device.
    Written(usize),
    /// Nothing: a flush.
    None,
}

/// One operation under way. Holds its file open: the number in the submission must stay what it is.
#[derive(Debug)]
pub(crate) struct Flight {
    store: StoreId,
    op: OpId,
    file: FileName,
    descriptor: Arc<OwnedFd>,
    /// Offset in the file.
    pub(crate) at: u64,
    pub(crate) memory: Memory,
}

impl Flight {
    pub(crate) fn raw(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// Clients wait for it.
    pub(crate) fn is_commit(&self) -> bool {
        matches!(self.file, FileName::Journal(_))
    }
}

#[derive(Debug)]
struct Open {
    descriptor: Arc<OwnedFd>,
    /// When it was used last, counted in uses.
    used: u64,
    /// All that was written to it is durable.
    clean: bool,
}

/// The files of one core, and what waits for them.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    open: BTreeMap<FileKey, Open>,
    /// Requests that wait for their file to be opened.
    opening: BTreeMap<FileKey, Vec<(OpId, DiskOp)>>,
    /// Jobs that met a full queue.
    late: VecDeque<Job>,
    uses: u64,
    spare: Vec<Vec<u8>>,
}

impl Flights {
    pub(crate) fn has_work(&self) -> bool {
        !self.late.is_empty()
    }

    fn forget(&mut self, key: FileKey) {
        self.open.remove(&key);
    }

    fn keep(&mut self, key: FileKey, descriptor: OwnedFd) {
        if self.open.len() >= OPEN_MAX {
            // Segments first: a journal slot is written again and again.
            let rank =
                |(key, open): (&FileKey, &Open)| (matches!(key.1, FileName::Journal(_)), open.used, *key);
            if let Some((.., oldest)) = self.open.iter().map(rank).min() {
                self.open.remove(&oldest);
            }
        }
        self.open.insert(key, Open { descriptor: Arc::new(descriptor), used: 0, clean: false });
    }

    /// The memory that a write takes its bytes from: direct I/O wants them to begin at a page.
    fn memory(&mut self, key: FileKey, bytes: Bytes) -> Memory {
        let aligned = bytes.as_ptr().addr().is_multiple_of(BLOCK);
        if aligned || !matches!(key.1, FileName::Journal(_)) {
            return Memory::Bytes(bytes);
        }
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.reserve(bytes.len() + BLOCK);
        let from = buffer.as_ptr().align_offset(BLOCK);
        buffer.resize(from, 0);
        buffer.extend_from_slice(&bytes);
        Memory::Aligned { buffer, from, length: bytes.len() }
    }

    fn give(&mut self, memory: Memory) {
        if let Memory::Aligned { buffer, .. } = memory
            && self.spare.len() < SPARE_MAX
            && buffer.capacity() <= SPARE_BYTES_MAX
        {
            self.spare.push(buffer);
        }
    }
}

impl Reactor {
    /// Begins what the handler asked of its files.
    pub(crate) fn carry_out_disk(&mut self) {
        if self.disk.is_none() {
            return self.links.refuse_disk();
        }
        while let Some(job) = self.flights.late.pop_front() {
            if let Some(job) = self.hand_on(job) {
                self.flights.late.push_front(job);
                break;
            }
        }
        while let Some((store, op, request)) = self.links.disk.pop_front() {
            self.begin(store, op, request);
        }
    }

    fn begin(&mut self, store: StoreId, op: OpId, request: DiskOp) {
        let file = match &request {
            DiskOp::Write { file, .. } | DiskOp::Read { file, .. } | DiskOp::Sync(file) => *file,
            DiskOp::Create { file, .. } | DiskOp::Delete(file) => {
                self.flights.forget((store, *file));
                return self.leave_to_helper(Job::Run { shard: self.links.shard(), store, op, request });
            }
            DiskOp::SyncFolder => {
                return self.leave_to_helper(Job::Run { shard: self.links.shard(), store, op, request });
            }
        };
        let key = (store, file);
        self.flights.uses += 1;
        let used = self.flights.uses;
        let Some(open) = self.flights.open.get_mut(&key) else {
            let waiting = self.flights.opening.entry(key).or_default();
            waiting.push((op, request));
            if waiting.len() == 1 {
                self.leave_to_helper(Job::Open { shard: self.links.shard(), key });
            }
            return;
        };
        open.used = used;
        let descriptor = Arc::clone(&open.descriptor);
        let flight = |at, memory| Flight { store, op, file, descriptor, at, memory };
        match request {
            DiskOp::Sync(_) if open.clean => {
                self.links.letters.push_back(Letter::Disk { store, op, result: Ok(Completion::Done) });
            }
            DiskOp::Sync(_) => self.ring.flush_file(flight(0, Memory::None)),
            DiskOp::Write { at, bytes, .. } => {
                // Writes to a journal slot are durable when they complete.
                open.clean &= matches!(file, FileName::Journal(_));
                let memory = self.flights.memory(key, bytes);
                self.ring.write_file(flight(at, memory));
            }
            DiskOp::Read { at, length, .. } => {
                let memory = Memory::Read { buffer: vec![0; length], filled: 0 };
                self.ring.read_file(flight(at, memory));
            }
            DiskOp::Create { .. } | DiskOp::Delete(_) | DiskOp::SyncFolder => {}
        }
    }

    fn leave_to_helper(&mut self, job: Job) {
        if let Some(job) = self.hand_on(job) {
            self.flights.late.push_back(job);
        }
    }

    fn hand_on(&self, job: Job) -> Option<Job> {
        self.disk.as_ref()?.ask(job).err()
    }

    /// A file was opened for us: what waited for it begins.
    pub(crate) fn on_opened(&mut self, opened: Opened) {
        let Opened { key, result } = opened;
        let waiting = self.flights.opening.remove(&key).unwrap_or_default();
        match result {
            Ok(descriptor) => {
                self.flights.keep(key, descriptor);
                waiting.into_iter().for_each(|(op, request)| self.begin(key.0, op, request));
            }
            Err(error) => {
                let failed = |(op, _)| Letter::Disk { store: key.0, op, result: Err(error) };
                self.links.letters.extend(waiting.into_iter().map(failed));
            }
        }
    }

    /// An operation ended, perhaps only in part. Returns what its asker is told, once there is something to tell.
    pub(crate) fn on_file(
        &mut self,
        event: &Event,
    ) -> Option<(StoreId, OpId, Result<Completion, DiskError>)> {
        let mut flight = self.ring.take_flight(event)?;
        let count = match usize::try_from(event.result) {
            Ok(count) => count,
            Err(_) if [-libc::EINTR, -libc::EAGAIN].contains(&event.result) => {
                self.again(flight);
                return None;
            }
            // A file that cannot be pushed out by parts: the flush does it.
            Err(_) if matches!(flight.memory, Memory::Written(_)) && NO_PARTS.contains(&-event.result) => 0,
            Err(_) => {
                let error = self.failed(&flight, &io::Error::from_raw_os_error(-event.result));
                self.flights.give(flight.memory);
                return Some((flight.store, flight.op, Err(error)));
            }
        };
        let commit = flight.is_commit();
        let completion = match &mut flight.memory {
            Memory::None => {
                if let Some(open) = self.flights.open.get_mut(&(flight.store, flight.file)) {
                    open.clean = matches!(flight.file, FileName::Journal(_));
                }
                Ok(Completion::Done)
            }
            // Page by page: left to itself the kernel sends a whole segment at once, and commits stand in line behind it.
            Memory::Bytes(_) if count > 0 && !commit => {
                flight.memory = Memory::Written(count);
                self.ring.push_out_file(flight);
                return None;
            }
            Memory::Bytes(_) | Memory::Aligned { .. } => Ok(Completion::Wrote(count)),
            Memory::Written(length) => Ok(Completion::Wrote(*length)),
            Memory::Read { buffer, filled } => {
                *filled += count;
                if count > 0 && *filled < buffer.len() {
                    self.again(flight);
                    return None;
                }
                if *filled < buffer.len() {
                    let short =
                        io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was");
                    let error = self.failed(&flight, &short);
                    return Some((flight.store, flight.op, Err(error)));
                }
                Ok(Completion::Read(Bytes::from(std::mem::take(buffer))))
            }
        };
        self.flights.give(flight.memory);
        Some((flight.store, flight.op, completion))
    }

    fn again(&mut self, flight: Flight) {
        match flight.memory {
            Memory::Read { .. } => self.ring.read_file(flight),
            Memory::None => self.ring.flush_file(flight),
            Memory::Bytes(_) | Memory::Aligned { .. } => self.ring.write_file(flight),
            Memory::Written(_) => self.ring.push_out_file(flight),
        }
    }

    fn failed(&mut self, flight: &Flight, error: &io::Error) -> DiskError {
        let what = match flight.memory {
            Memory::Read { .. } => "reading",
            Memory::None => "flushing",
            Memory::Bytes(_) | Memory::Aligned { .. } | Memory::Written(_) => "writing",
        };
        let Some(disk) = &self.disk else { return DiskError::Io };
        let path = disk.folder.store_path(flight.store).join(flight.file.to_string());
        let error = error_of(error, what, &path);
        if error == DiskError::Full {
            self.leave_to_helper(Job::GiveUpReserve);
        }
        error
    }
}
