//! `pulsegate repair`: looks at every store of a folder that no process uses, and puts together again those that recovery cannot
//! serve. Without leave to change anything it only says what it would do.

use super::damage::DamagedStore;
use super::{DataFolder, FolderError, contents, failed};
use crate::base::limit;
use crate::shard::disk::sync_folder;
use crate::store::disk::BLOCK;
use crate::store::rebuild::{Rebuild, Rebuilt};
use crate::store::{Contents, FileName, StoreId, examine, recover};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What became of the stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Stores that are as they should be.
    pub sound: u16,
    /// Stores that were put together again.
    pub rebuilt: u16,
    /// Stores that are damaged still.
    pub damaged: u16,
}

impl DataFolder {
    /// Looks at all stores; `say` gets a line for each step. With `rebuild`, damaged ones are put together from their segments and
    /// journals; the old folder of each goes to `set-aside/` as it is.
    pub fn repair(&self, rebuild: bool, say: &mut dyn FnMut(String)) -> Result<Repaired, FolderError> {
        let mut repaired = Repaired::default();
        for store in (0..self.stores).map(StoreId) {
            let (path, stamp) = (self.store_path(store), self.stamp(store));
            let contents = contents(&path)?;
            let error = match recover(&contents, stamp) {
                Ok(found) => {
                    let topics = found.state.topics.len();
                    say(format!("store {}: sound, {topics} topics", store.0));
                    repaired.sound += 1;
                    continue;
                }
                Err(error) => error,
            };
            let damage = examine(&contents, stamp, &error);
            say(DamagedStore { store, path, error, damage }.to_string());
            let Some(rebuilt) = self.put_together(store, &contents, say)? else {
                repaired.damaged += 1;
                continue;
            };
            if !rebuild {
                repaired.damaged += 1;
                say(format!("store {}: nothing was changed; --rebuild does it", store.0));
                continue;
            }
            let aside = self.exchange(store, &contents, &rebuilt)?;
            say(format!("store {}: rebuilt; what was there is in {}", store.0, aside.display()));
            repaired.rebuilt += 1;
        }
        Ok(repaired)
    }

    /// What the store would be. `None`: not even that can be served, which is told.
    fn put_together(
        &self,
        store: StoreId,
        contents: &Contents,
        say: &mut dyn FnMut(String),
    ) -> Result<Option<Rebuilt>, FolderError> {
        let (path, stamp) = (self.store_path(store), self.stamp(store));
        let mut rebuild = Rebuild::new(contents, stamp, limit::JOURNAL_SLOT_BYTES as u64);
        let count = contents.segments.len();
        for (number, ledger) in (1_u64..).zip(contents.segments.keys()) {
            let file = path.join(FileName::Segment(*ledger).to_string());
            rebuild.segment(*ledger, &std::fs::read(&file).map_err(failed("cannot read", &file))?);
            if number.is_multiple_of(1000) {
                say(format!("store {}: {number} of {count} segments read", store.0));
            }
        }
        let rebuilt = rebuild.finish();
        let report = &rebuilt.report;
        say(format!(
            "store {}: from segments and journal: {} topics with {} entries in {} ledgers, {} subscriptions, which begin at their \
             earliest message",
            store.0, report.topics, report.entries, report.ledgers, report.subscriptions
        ));
        if report.damaged > 0 || report.behind_gaps > 0 {
            say(format!(
                "store {}: {} pieces of segments cannot be read; {} entries behind a gap cannot be kept",
                store.0, report.damaged, report.behind_gaps
            ));
        }
        if !report.unused.is_empty() {
            let files: Vec<_> =
                report.unused.iter().take(10).map(|id| FileName::Segment(*id).to_string()).collect();
            say(format!(
                "store {}: {} segments are of deleted or unknown ledgers and are left out: {}",
                store.0,
                report.unused.len(),
                files.join(", ")
            ));
        }
        // Seen to be good before anything is changed.
        match recover(&rebuilt.contents(contents), stamp) {
            Ok(_) => Ok(Some(rebuilt)),
            Err(error) => {
                say(format!("store {}: it cannot be put together: {error}; restore it from a copy", store.0));
                Ok(None)
            }
        }
    }

    /// A new folder is made beside the store's and takes its place: a loss of power leaves one or the other.
    fn exchange(
        &self,
        store: StoreId,
        contents: &Contents,
        rebuilt: &Rebuilt,
    ) -> Result<PathBuf, FolderError> {
        let path = self.store_path(store);
        let draft = self.path.join(format!("store-{:02}.rebuilt", store.0));
        if draft.exists() {
            std::fs::remove_dir_all(&draft).map_err(failed("cannot remove", &draft))?;
        }
        std::fs::create_dir(&draft).map_err(failed("cannot make", &draft))?;
        for ledger in contents.segments.keys().filter(|id| !rebuilt.report.unused.contains(id)) {
            let name = FileName::Segment(*ledger).to_string();
            let to = draft.join(&name);
            std::fs::hard_link(path.join(&name), &to).map_err(failed("cannot link", &to))?;
        }
        for (generation, bytes) in &rebuilt.checkpoints {
            let file = draft.join(FileName::Checkpoint(*generation).to_string());
            write(&file, bytes).map_err(failed("cannot write", &file))?;
        }
        let slot = draft.join(FileName::Journal(0).to_string());
        write_slot(&slot, rebuilt).map_err(failed("cannot write", &slot))?;
        sync_folder(&draft).map_err(failed("cannot flush", &draft))?;
        let aside = self.set_aside(store)?;
        std::fs::rename(&path, &aside).map_err(failed("cannot move", &path))?;
        std::fs::rename(&draft, &path).map_err(failed("cannot move", &draft))?;
        sync_folder(&self.path).map_err(failed("cannot flush", &self.path))?;
        Ok(aside)
    }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn write_slot(path: &Path, rebuilt: &Rebuilt) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    // Written, not only allocated: the journal writes to it without a change of the file's shape.
    let zeroes = vec![0; 1 << 20];
    let mut left = rebuilt.slot_bytes;
    while left > 0 {
        let piece = left.min(zeroes.len() as u64);
        file.write_all(&zeroes[..usize::try_from(piece).unwrap_or(zeroes.len())])?;
        left -= piece;
    }
    file.write_all_at(&rebuilt.last_block, rebuilt.slot_bytes - BLOCK as u64)?;
    file.sync_all()
}
