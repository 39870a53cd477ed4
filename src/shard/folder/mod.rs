//! The data folder of `standalone`: who may use it, how many stores it has, and what they hold at a start.
//!
//! ```text
//!   LOCK        locked while a process uses the folder; holds its number
//!   FORMAT      text: version of the folder, uuid, number of stores, when it was made, checksum
//!   RESERVE     ballast: deleted when the disk is full, so that what makes room has room; made again at the next start
//!   meta.redb   the meta store
//!   set-aside/  what was given up or could not be used: for a person to look at, never used again
//!   store-00/   one store: journal slots, checkpoints, segments (docs/log-format.md)
//! ```

mod damage;
mod format;
mod repair;

use crate::shard::disk::sync_folder;
use crate::store::{Contents, FileName, RecoverError, StoreId};
use bytes::Bytes;
use format::Format;
use rustix::fs::{FallocateFlags, fallocate, statfs};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

pub use damage::{Accepted, DamagedStore};
pub use format::FormatError;
pub use repair::Repaired;

/// Most stores of a folder: each has a journal of its own, and one core serves them all if need be.
pub const STORES_MAX: u16 = 64;
/// Size of the ballast, bytes. Source: broker 5.3.
const RESERVE_BYTES: u64 = 64 << 20;
/// `statfs` numbers of file systems that forget: tmpfs, ramfs.
const VOLATILE: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// How to use a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderOptions {
    /// Number of stores, if the folder is to be made. Power of two or not; from 1 to [`STORES_MAX`].
    pub stores: u16,
    /// Use a file system that forgets everything when the machine stops (`allowVolatileDataDir`).
    pub allow_volatile: bool,
    /// Confirm only what the device has (`journalSyncData`); else what the kernel has.
    pub sync_journal: bool,
    /// Now, for the record: milliseconds since the epoch.
    pub wall_ms: u64,
}

/// Why the folder is not used; `Display` names the setting and the mend.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process has it.
    #[error(
        "the data folder {path} is in use by process {owner}: stop that one, or choose another folder (--data-dir, dataDir)"
    )]
    InUse {
        /// The folder.
        path: String,
        /// The other's number, as it wrote it.
        owner: String,
    },
    /// The file system forgets.
    #[error(
        "the data folder {0} is in memory (tmpfs): everything would be lost with the machine; choose another folder \
         (--data-dir, dataDir), or set allowVolatileDataDir=true"
    )]
    Volatile(String),
    /// It cannot be read or written.
    #[error("{what} {path}: {error}; check dataDir, its owner and the disk")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: String,
        /// From the system.
        error: io::Error,
    },
    /// FORMAT is not ours, or of a later version.
    #[error("{path}: {error}")]
    Format {
        /// The file.
        path: String,
        /// Cause and mend.
        error: FormatError,
    },
    /// There is data, and nothing that says what it is.
    #[error(
        "{0} holds stores but no FORMAT: it was damaged or is no data folder; restore FORMAT or choose an empty folder"
    )]
    Headless(String),
    /// Stores are damaged: a person decides.
    #[error("{}", damage::list(.0))]
    Damaged(Vec<DamagedStore>),
}

impl FolderError {
    /// The data are at fault: not who uses them, nor the machine.
    pub fn is_damage(&self) -> bool {
        match self {
            FolderError::Headless(_) => true,
            FolderError::Format { error, .. } => matches!(error, FormatError::Damaged(_)),
            FolderError::Damaged(stores) => {
                stores.iter().any(|store| !matches!(store.error, RecoverError::Version(_)))
            }
            _ => false,
        }
    }
}

/// A folder in use. The lock is held while this lives.
#[derive(Debug)]
pub struct DataFolder {
    /// The folder.
    pub path: PathBuf,
    /// Stores it has: fixed when it was made.
    pub stores: u16,
    /// Names the folder, and so the cluster in it: 32 hexadecimal digits.
    pub uuid: String,
    /// When it was made, milliseconds since the epoch.
    pub created_ms: u64,
    /// It was made by this start.
    pub is_new: bool,
    /// What a confirmed message survives: `journalSyncData`.
    pub sync_journal: bool,
    _lock: File,
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.display().to_string();
    move |error| FolderError::Io { what, path, error }
}

impl DataFolder {
    /// Takes the folder, and makes it if it is not there.
    pub fn open(path: &Path, options: FolderOptions) -> Result<DataFolder, FolderError> {
        std::fs::create_dir_all(path).map_err(failed("cannot make", path))?;
        // Errors of later, and `Display`, name it the same from wherever they are read.
        let path = path.canonicalize().map_err(failed("cannot find", path))?;
        let lock = lock(&path)?;
        let kind = statfs(&path).map_err(|error| failed("cannot look at", &path)(error.into()))?.f_type;
        if VOLATILE.contains(&kind) && !options.allow_volatile {
            return Err(FolderError::Volatile(path.display().to_string()));
        }
        let (format, is_new) = match Format::read(&path)? {
            Some(format) => (format, false),
            None => (make(&path, &options)?, true),
        };
        reserve(&path);
        Ok(DataFolder {
            path,
            stores: format.stores,
            uuid: format.uuid,
            created_ms: format.created_ms,
            is_new,
            sync_journal: options.sync_journal,
            _lock: lock,
        })
    }

    /// A store's folder.
    pub fn store_path(&self, store: StoreId) -> PathBuf {
        store_path(&self.path, store)
    }

    /// The meta store's file.
    pub fn meta_path(&self) -> PathBuf {
        self.path.join("meta.redb")
    }

    /// What stands in every frame of a store, so that another's files do not pass for its own.
    fn stamp(&self, store: StoreId) -> u64 {
        let folder = self.uuid.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
        (folder & !0xffff) | u64::from(store.0)
    }

    /// Gives the ballast up: the disk is full.
    pub(crate) fn release_reserve(&self) {
        match std::fs::remove_file(self.path.join("RESERVE")) {
            Ok(()) => log::error!(
                "the disk of {} is full: the reserve of {} MiB is given up",
                self.path.display(),
                RESERVE_BYTES >> 20
            ),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => log::error!("the reserve of {} cannot be given up: {error}", self.path.display()),
        }
    }
}

fn store_path(folder: &Path, store: StoreId) -> PathBuf {
    folder.join(format!("store-{:02}", store.0))
}

fn lock(folder: &Path) -> Result<File, FolderError> {
    let path = folder.join("LOCK");
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = options.map_err(failed("cannot open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let read = file.take(20).read_to_string(&mut owner);
            let owner = owner.trim();
            let owner = if read.is_ok() && !owner.is_empty() { owner } else { "(unknown)" }.to_owned();
            return Err(FolderError::InUse { path: folder.display().to_string(), owner });
        }
        Err(TryLockError::Error(error)) => return Err(failed("cannot lock", &path)(error)),
    }
    let number = format!("{}\n", std::process::id());
    file.set_len(0)
        .and_then(|()| file.write_all(number.as_bytes()))
        .map_err(failed("cannot write", &path))?;
    Ok(file)
}

/// Makes the stores' folders, then FORMAT: with it the folder is whole.
fn make(path: &Path, options: &FolderOptions) -> Result<Format, FolderError> {
    let stores = options.stores.clamp(1, STORES_MAX);
    for store in 0..stores {
        let path = store_path(path, StoreId(store));
        std::fs::create_dir_all(&path).map_err(failed("cannot make", &path))?;
        let holds = std::fs::read_dir(&path).map_err(failed("cannot read", &path))?.next().is_some();
        if holds {
            return Err(FolderError::Headless(path.display().to_string()));
        }
    }
    let mut random = [0u8; 16];
    let source = Path::new("/dev/urandom");
    let read = File::open(source).and_then(|mut file| file.read_exact(&mut random));
    read.map_err(failed("cannot read", source))?;
    let uuid = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let format = Format { uuid, stores, created_ms: options.wall_ms };
    format.write(path)?;
    Ok(format)
}

/// Makes the ballast where there is room for it; without it the folder works too.
fn reserve(folder: &Path) {
    let path = folder.join("RESERVE");
    let made = OpenOptions::new().write(true).create(true).truncate(false).open(&path).and_then(|file| {
        if file.metadata()?.len() >= RESERVE_BYTES {
            return Ok(());
        }
        fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES)?;
        file.sync_all()?;
        sync_folder(folder)
    });
    if let Err(error) = made {
        log::warn!("no reserve in {}: {error}; a full disk will leave no room to tidy up", folder.display());
        if let Err(error) = std::fs::remove_file(&path) {
            log::debug!("{}: {error}", path.display());
        }
    }
}

/// What one store's folder holds. Files that are not ours are left alone.
fn contents(path: &Path) -> Result<Contents, FolderError> {
    let mut contents = Contents::default();
    for entry in std::fs::read_dir(path).map_err(failed("cannot read", path))? {
        let entry = entry.map_err(failed("cannot read", path))?;
        let (name, file) = (entry.file_name(), entry.path());
        let Some(parsed) = name.to_str().and_then(FileName::parse) else {
            log::warn!("{} is no file of a store: it is left alone", file.display());
            continue;
        };
        let read = || std::fs::read(&file).map(Bytes::from).map_err(failed("cannot read", &file));
        match parsed {
            FileName::Journal(slot) => drop(contents.journal.insert(slot, read()?)),
            FileName::Checkpoint(generation) => drop(contents.checkpoints.insert(generation, read()?)),
            FileName::Segment(ledger) => {
                let length = entry.metadata().map_err(failed("cannot look at", &file))?.len();
                contents.segments.insert(ledger, length);
            }
        }
    }
    Ok(contents)
}

#[cfg(test)]
pub(crate) mod tests;
