//! Files by plain system calls, on a helper thread.

use super::{FileKey, error_of, sync_folder};
use crate::shard::folder::DataFolder;
use crate::store::disk::BLOCK;
use crate::store::{Completion, DiskError, DiskOp, FileName, StoreId};
use bytes::Bytes;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files one thread keeps open.
const OPEN_MAX: usize = 256;
/// Zeroes are written in pieces of this size, one after the other: a commit waits behind one of them at most.
const ZEROES: usize = 256 << 10;

/// A file that a thread or core has open.
struct Open {
    file: File,
    /// When it was used last, counted in uses.
    used: u64,
}

/// The files one thread works with.
pub(super) struct Files {
    folder: Arc<DataFolder>,
    open: BTreeMap<FileKey, Open>,
    uses: u64,
}

impl Files {
    pub(super) fn new(folder: Arc<DataFolder>) -> Files {
        Files { folder, open: BTreeMap::new(), uses: 0 }
    }

    fn path(&self, (store, file): FileKey) -> PathBuf {
        self.folder.store_path(store).join(file.to_string())
    }

    /// Carries a request out. A full disk costs the reserve, and then the request is tried once more.
    pub(super) fn carry_out(&mut self, store: StoreId, request: &DiskOp) -> Result<Completion, DiskError> {
        match self.attempt(store, request) {
            Err(DiskError::Full) => {
                self.give_up_reserve();
                self.attempt(store, request)
            }
            result => result,
        }
    }

    pub(super) fn give_up_reserve(&self) {
        self.folder.release_reserve();
    }

    fn attempt(&mut self, store: StoreId, request: &DiskOp) -> Result<Completion, DiskError> {
        let (what, key, done) = match request {
            DiskOp::Create { file, zeroes } => {
                ("making", (store, *file), self.create((store, *file), *zeroes))
            }
            DiskOp::Write { file, at, bytes } => {
                ("writing", (store, *file), self.write((store, *file), *at, bytes))
            }
            DiskOp::Read { file, at, length } => {
                ("reading", (store, *file), self.read((store, *file), *at, *length))
            }
            DiskOp::Sync(file) => ("flushing", (store, *file), self.sync((store, *file))),
            DiskOp::Delete(file) => ("deleting", (store, *file), self.delete((store, *file))),
            DiskOp::SyncFolder => {
                let path = self.folder.store_path(store);
                let done = sync_folder(&path).map(|()| Completion::Done);
                return done.map_err(|error| error_of(&error, "flushing", &path));
            }
        };
        done.map_err(|error| error_of(&error, what, &self.path(key)))
    }

    fn create(&mut self, key: FileKey, zeroes: u64) -> io::Result<Completion> {
        self.open.remove(&key);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let path = self.path(key);
        // Past the page cache: from there megabytes would go to the device at once.
        let mut file = open_direct(&mut options, if zeroes > 0 { libc::O_DIRECT } else { 0 }, &path)?;
        if zeroes > 0 {
            // In one piece where the file system can. The length grows with what is written.
            if fallocate(&file, FallocateFlags::KEEP_SIZE, 0, zeroes) == Err(Errno::NOSPC) {
                return Err(Errno::NOSPC.into());
            }
            let memory = vec![0; ZEROES + BLOCK];
            let piece = &memory[memory.as_ptr().align_offset(BLOCK)..][..ZEROES];
            let mut left = zeroes;
            while left > 0 {
                let length = piece.len().min(usize::try_from(left).unwrap_or(ZEROES));
                file.write_all(&piece[..length])?;
                left -= length as u64;
            }
        }
        // Direct writes must not meet blocks that were allocated and never written, nor dirty pages.
        file.sync_all()?;
        Ok(Completion::Done)
    }

    fn write(&mut self, key: FileKey, at: u64, bytes: &Bytes) -> io::Result<Completion> {
        let file = self.file(key)?;
        let mut wrote = 0;
        while wrote < bytes.len() {
            match file.write_at(&bytes[wrote..], at + wrote as u64) {
                Ok(0) => break,
                Ok(count) => wrote += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What is written already is told; the rest is asked for again, and then fails.
                Err(_) if wrote >= BLOCK => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Completion::Wrote(wrote))
    }

    fn read(&mut self, key: FileKey, at: u64, length: usize) -> io::Result<Completion> {
        let mut bytes = vec![0; length];
        self.file(key)?.read_exact_at(&mut bytes, at)?;
        Ok(Completion::Read(Bytes::from(bytes)))
    }

    fn sync(&mut self, key: FileKey) -> io::Result<Completion> {
        let durable = matches!(key.1, FileName::Journal(_)) && !self.folder.sync_journal;
        // Not even then may what was read before the first write be less than durable.
        let first = !self.open.contains_key(&key);
        let file = self.file(key)?;
        if first || !durable {
            file.sync_data()?;
        }
        Ok(Completion::Done)
    }

    fn delete(&mut self, key: FileKey) -> io::Result<Completion> {
        self.open.remove(&key);
        match std::fs::remove_file(self.path(key)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(Completion::Done),
        }
    }

    /// A file for reading and writing through the page cache.
    fn file(&mut self, key: FileKey) -> io::Result<&File> {
        self.uses += 1;
        if !self.open.contains_key(&key) {
            let file = OpenOptions::new().read(true).write(true).open(self.path(key))?;
            if self.open.len() >= OPEN_MAX {
                let oldest = self.open.iter().min_by_key(|(_, open)| open.used).map(|(key, _)| *key);
                oldest.map(|key| self.open.remove(&key));
            }
            self.open.insert(key, Open { file, used: 0 });
        }
        let open = self.open.get_mut(&key).ok_or(ErrorKind::NotFound)?;
        open.used = self.uses;
        Ok(&open.file)
    }

    /// A file for a core's ring: a journal slot so that its writes are durable when they complete.
    pub(super) fn open_for_ring(&self, key: FileKey) -> Result<OwnedFd, DiskError> {
        let path = self.path(key);
        let flags = match key.1 {
            FileName::Journal(_) if self.folder.sync_journal => libc::O_DIRECT | libc::O_DSYNC,
            FileName::Journal(_) => libc::O_DIRECT,
            FileName::Checkpoint(_) | FileName::Segment(_) => 0,
        };
        let opened = open_direct(OpenOptions::new().read(true).write(true), flags, &path);
        opened.map(OwnedFd::from).map_err(|error| error_of(&error, "opening", &path))
    }
}

/// Opens with these flags; without `O_DIRECT` where the file system has no direct I/O.
fn open_direct(options: &mut OpenOptions, flags: i32, path: &Path) -> io::Result<File> {
    match options.custom_flags(flags).open(path) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            options.custom_flags(flags & !libc::O_DIRECT).open(path)
        }
        result => result,
    }
}
