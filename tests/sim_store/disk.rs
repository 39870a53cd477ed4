//! A disk that keeps what was written apart from what was flushed, and forgets, tears or keeps the difference at a crash.

use bytes::Bytes;
use pulsegate::base::prng::Prng;
use pulsegate::store::disk::BLOCK;
use pulsegate::store::{Completion, Contents, DiskError, DiskOp, FileName};
use std::collections::{BTreeMap, BTreeSet};

/// What a real device writes as a whole.
const SECTOR: usize = 512;

#[derive(Clone, Default)]
struct File {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that differ, or may: written and not flushed.
    unsynced: BTreeSet<usize>,
}

/// Faults to come.
#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    /// `Create`, and writes to other files than the journal, fail with "full".
    pub(crate) full: bool,
    /// The n-th `Create` from now fails with "full".
    pub(crate) create: Option<u32>,
    /// The n-th sync of a journal slot from now fails.
    pub(crate) journal_sync: Option<u32>,
    /// Some writes are short.
    pub(crate) short: bool,
    /// Reads fail.
    pub(crate) read: bool,
}

/// The disk of one store.
#[derive(Clone)]
pub(crate) struct SimDisk {
    files: BTreeMap<FileName, File>,
    /// The folder as of its last sync: files created since may be gone, deleted ones may be back, after a crash.
    folder: BTreeMap<FileName, File>,
    pub(crate) faults: Faults,
    prng: Prng,
}

impl SimDisk {
    pub(crate) fn new(seed: u64) -> Self {
        let (files, folder) = (BTreeMap::new(), BTreeMap::new());
        SimDisk { files, folder, faults: Faults::default(), prng: Prng::new(seed) }
    }

    /// Carries one request out.
    pub(crate) fn perform(&mut self, op: DiskOp) -> Result<Completion, DiskError> {
        match op {
            DiskOp::Create { .. } if self.faults.full || self.create_fails() => Err(DiskError::Full),
            DiskOp::Create { file, zeroes } => {
                let live = vec![0; zeroes as usize];
                let unsynced = (0..live.len().div_ceil(SECTOR)).collect();
                self.files.insert(file, File { live, durable: Vec::new(), unsynced });
                Ok(Completion::Done)
            }
            DiskOp::Write { file, at, bytes } => self.write(file, at as usize, &bytes),
            DiskOp::Sync(name) => {
                if let (FileName::Journal(_), Some(left)) = (name, &mut self.faults.journal_sync) {
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        return Err(DiskError::Io);
                    }
                }
                let file = self.files.get_mut(&name).ok_or(DiskError::Io)?;
                for sector in std::mem::take(&mut file.unsynced) {
                    let end = file.live.len().min((sector + 1) * SECTOR);
                    file.durable.resize(file.live.len(), 0);
                    file.durable[sector * SECTOR..end].copy_from_slice(&file.live[sector * SECTOR..end]);
                }
                Ok(Completion::Done)
            }
            DiskOp::SyncFolder => {
                self.folder = self.files.keys().map(|name| (*name, File::default())).collect();
                Ok(Completion::Done)
            }
            DiskOp::Delete(name) => {
                if let (Some(file), Some(kept)) = (self.files.remove(&name), self.folder.get_mut(&name)) {
                    *kept = file;
                }
                Ok(Completion::Done)
            }
            DiskOp::Read { file, at, length } => {
                let live = self.files.get(&file).map(|file| &file.live[..]).unwrap_or_default();
                let found = live.get(at as usize..at as usize + length).filter(|_| !self.faults.read);
                found.map(|bytes| Completion::Read(Bytes::copy_from_slice(bytes))).ok_or(DiskError::Io)
            }
        }
    }

    fn create_fails(&mut self) -> bool {
        let Some(left) = &mut self.faults.create else { return false };
        *left = left.saturating_sub(1);
        let fails = *left == 0;
        if fails {
            self.faults.create = None;
        }
        fails
    }

    /// What is kept at a crash is another draw.
    pub(crate) fn reseed(&mut self, seed: u64) {
        self.prng = Prng::new(seed);
    }

    fn write(&mut self, name: FileName, at: usize, bytes: &[u8]) -> Result<Completion, DiskError> {
        assert!(at.is_multiple_of(BLOCK) && bytes.len().is_multiple_of(BLOCK), "{name}: whole blocks");
        if self.faults.full && !matches!(name, FileName::Journal(_)) {
            return Err(DiskError::Full);
        }
        let file = self.files.get_mut(&name).ok_or(DiskError::Io)?;
        let length = match self.faults.short && self.prng.below(3) == 0 {
            true => self.prng.below(bytes.len() as u64) as usize,
            false => bytes.len(),
        };
        if matches!(name, FileName::Journal(_)) {
            assert!(at + bytes.len() <= file.live.len(), "the journal stays in its slot");
        }
        file.live.resize(file.live.len().max(at + length), 0);
        file.live[at..at + length].copy_from_slice(&bytes[..length]);
        file.unsynced.extend(at / SECTOR..(at + length).div_ceil(SECTOR));
        Ok(Completion::Wrote(length))
    }

    /// Power goes: of what was not flushed each sector is kept or lost by itself, and so is each change of the folder.
    pub(crate) fn crash(&mut self) {
        let keep = self.prng.below(4);
        let kept = |prng: &mut Prng| match keep {
            0 => false,
            1 => true,
            _ => prng.below(2) == 0,
        };
        for (name, file) in std::mem::take(&mut self.files) {
            if self.folder.remove(&name).is_some() || kept(&mut self.prng) {
                let mut after = file.durable;
                for sector in file.unsynced.into_iter().filter(|_| kept(&mut self.prng)) {
                    let end = file.live.len().min((sector + 1) * SECTOR);
                    after.resize(after.len().max(end), 0);
                    after[sector * SECTOR..end].copy_from_slice(&file.live[sector * SECTOR..end]);
                }
                self.files
                    .insert(name, File { live: after.clone(), durable: after, unsynced: BTreeSet::new() });
            }
        }
        // Deleted, and the folder not synced: perhaps they are back.
        for (name, file) in std::mem::take(&mut self.folder) {
            if kept(&mut self.prng) {
                let live = file.durable;
                self.files
                    .insert(name, File { live: live.clone(), durable: live, unsynced: BTreeSet::new() });
            }
        }
        self.folder = self.files.keys().map(|name| (*name, File::default())).collect();
        self.faults = Faults::default();
    }

    /// The process dies, the machine does not: the page cache keeps everything, flushed or not.
    pub(crate) fn kill(&mut self) {
        self.faults = Faults::default();
    }

    /// What recovery reads.
    pub(crate) fn contents(&self) -> Contents {
        let mut contents = Contents::default();
        for (name, file) in &self.files {
            let bytes = || Bytes::copy_from_slice(&file.live);
            match name {
                FileName::Journal(slot) => drop(contents.journal.insert(*slot, bytes())),
                FileName::Checkpoint(generation) => drop(contents.checkpoints.insert(*generation, bytes())),
                FileName::Segment(ledger) => drop(contents.segments.insert(*ledger, file.live.len() as u64)),
            }
        }
        contents
    }

    /// Files vanish, as if deleted by hand.
    pub(crate) fn lose(&mut self, gone: impl Fn(FileName) -> bool) {
        self.files.retain(|name, _| !gone(*name));
        self.folder.retain(|name, _| !gone(*name));
    }

    /// Other checkpoints and another journal; of the segments only those that are named stay.
    pub(crate) fn put(&mut self, contents: &Contents) {
        self.lose(|name| match name {
            FileName::Segment(ledger) => !contents.segments.contains_key(&ledger),
            _ => true,
        });
        let slots = contents.journal.iter().map(|(slot, bytes)| (FileName::Journal(*slot), bytes));
        let checkpoints = contents.checkpoints.iter().map(|(id, bytes)| (FileName::Checkpoint(*id), bytes));
        for (name, bytes) in slots.chain(checkpoints) {
            let (live, durable) = (bytes.to_vec(), bytes.to_vec());
            self.files.insert(name, File { live, durable, unsynced: BTreeSet::new() });
            self.folder.insert(name, File::default());
        }
    }

    /// Names of the files, and their bytes to damage at rest.
    pub(crate) fn files(&mut self) -> impl Iterator<Item = (FileName, &mut Vec<u8>)> {
        self.files.iter_mut().map(|(name, file)| (*name, &mut file.live))
    }
}
