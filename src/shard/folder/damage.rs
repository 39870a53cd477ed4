//! Damaged stores: what a person is told, and what is done when the loss is accepted. Nothing is given up unasked, and what is
//! given up is kept in `set-aside/`, so that it can be looked at later.

use super::{DataFolder, FolderError, contents, failed};
use crate::shard::disk::sync_folder;
use crate::store::{
    Contents, Damage, FileName, Options, RecoverError, Recovered, StoreId, examine, recover_with,
};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Folder beside the stores for what was given up or could not be used. Never deleted by the program.
pub(super) const SET_ASIDE: &str = "set-aside";

/// What a person gives up: everything in a store's journal from this position on (`--accept-data-loss=<store>:<position>`).
pub type Accepted = BTreeMap<StoreId, u64>;

/// A store that is not served. `Display` names the file, the offset, what would be lost, and the mend.
#[derive(Debug)]
pub struct DamagedStore {
    /// Which.
    pub store: StoreId,
    /// Its folder.
    pub path: PathBuf,
    /// What recovery found.
    pub error: RecoverError,
    /// Where, if the journal can be cut there.
    pub damage: Option<Damage>,
}

impl fmt::Display for DamagedStore {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DamagedStore { store: StoreId(store), path, error, damage } = self;
        write!(out, "store {store} in {}: {error}", path.display())?;
        if let Some(Damage { at, place, loss }) = damage {
            match place {
                Some((file, offset)) => write!(out, " (file {file}, offset {offset})")?,
                None => write!(out, " (its file is not there)")?,
            }
            let mend = format!("--accept-data-loss={store}:{at}");
            return write!(
                out,
                "; nothing was changed: restore the folder from a copy, or start with {mend}, which gives up {loss}"
            );
        }
        let mend = match error {
            RecoverError::Version(_) => "use a later version of this program",
            RecoverError::NoCheckpoint | RecoverError::SlotLength(_) => {
                "restore the folder from a copy, or look at what `pulsegate repair` can put together"
            }
            _ => "restore the folder from a copy, or move this store's folder away",
        };
        write!(out, "; nothing was changed: {mend}")
    }
}

impl DataFolder {
    /// Reads all stores, each in a thread of its own, and works out what the logs go on with. To be called before anything
    /// is served; blocks for as long as the journals take to be read. All stores that are damaged are told of, and none is
    /// changed, unless each is in `accepted`.
    pub fn recover(&self, accepted: &Accepted) -> Result<Vec<(StoreId, Recovered)>, FolderError> {
        let one = |store| self.recover_store(store, accepted.get(&store).copied());
        let results: Vec<Result<Found, FolderError>> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..self.stores).map(|store| scope.spawn(move || one(StoreId(store)))).collect();
            let joined = threads.into_iter().map(|thread| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            joined.collect()
        });
        let (mut found, mut damaged) = (Vec::new(), Vec::new());
        for (store, result) in (0..).map(StoreId).zip(results) {
            match result? {
                Ok((recovered, given_up)) => found.push((store, recovered, given_up)),
                Err(store) => damaged.push(store),
            }
        }
        if !damaged.is_empty() {
            return Err(FolderError::Damaged(damaged));
        }
        for (store, position) in accepted {
            let path = self.store_path(*store);
            match found.iter().find(|(other, ..)| other == store) {
                Some((_, recovered, Some(damage))) => self.give_up(*store, damage, recovered)?,
                Some(_) => log::warn!("store {}: not damaged at {position}: nothing was given up", store.0),
                None => log::warn!("{}: there is no such store: nothing was given up", path.display()),
            }
        }
        for (store, recovered, _) in &found {
            tell(*store, recovered);
        }
        Ok(found.into_iter().map(|(store, recovered, _)| (store, recovered)).collect())
    }

    fn recover_store(&self, store: StoreId, accepted: Option<u64>) -> Result<Found, FolderError> {
        let path = self.store_path(store);
        let (contents, stamp) = (contents(&path)?, self.stamp(store));
        let error = match recover_with(&contents, stamp, Options::default()) {
            Ok(recovered) => return Ok(Ok((recovered, None))),
            Err(error) => error,
        };
        let damage = examine(&contents, stamp, &error);
        match &damage {
            Some(found) if accepted == Some(found.at) => Ok(cut(&contents, stamp, found)
                .map(|recovered| (recovered, damage))
                .map_err(|error| DamagedStore { store, path, error, damage: None })),
            _ => Ok(Err(DamagedStore { store, path, error, damage })),
        }
    }

    /// Says what is given up, and keeps a copy of it. The log cuts the journal with its first frame.
    fn give_up(&self, store: StoreId, damage: &Damage, recovered: &Recovered) -> Result<(), FolderError> {
        let aside = self.set_aside(store)?;
        let path = self.store_path(store);
        log::error!(
            "store {}: given up, as --accept-data-loss says: from position {} on {}; a copy is in {}",
            store.0,
            damage.at,
            damage.loss,
            aside.display(),
        );
        for entry in std::fs::read_dir(&path).map_err(failed("cannot read", &path))? {
            let file = entry.map_err(failed("cannot read", &path))?.path();
            let name = file.file_name().and_then(|name| FileName::parse(name.to_str()?));
            let to = |name: FileName| aside.join(name.to_string());
            match name {
                Some(name @ FileName::Journal(_)) => {
                    std::fs::copy(&file, to(name)).map_err(failed("cannot copy", &file))?;
                }
                Some(name) if recovered.deletes.contains(&name) => {
                    std::fs::hard_link(&file, to(name)).map_err(failed("cannot keep", &file))?;
                }
                _ => {}
            }
        }
        sync_folder(&aside).map_err(failed("cannot flush", &aside))
    }

    /// A new folder for what a store gives up.
    pub(super) fn set_aside(&self, store: StoreId) -> Result<PathBuf, FolderError> {
        let parent = self.path.join(SET_ASIDE);
        std::fs::create_dir_all(&parent).map_err(failed("cannot make", &parent))?;
        let free = |path: &PathBuf| !path.exists();
        let names = (1_u32..).map(|number| parent.join(format!("store-{:02}-{number}", store.0)));
        let path: PathBuf = names.into_iter().find(free).unwrap_or(parent.clone());
        std::fs::create_dir(&path).map_err(failed("cannot make", &path))?;
        for folder in [&parent, &self.path] {
            sync_folder(folder).map_err(failed("cannot flush", folder))?;
        }
        Ok(path)
    }
}

/// What became of one store: what its log goes on with, and what was given up for it.
type Found = Result<(Recovered, Option<Damage>), DamagedStore>;

fn cut(contents: &Contents, stamp: u64, damage: &Damage) -> Result<Recovered, RecoverError> {
    recover_with(contents, stamp, Options { accept_loss_at: Some(damage.at) })
}

/// What recovery found that an operator should know of.
fn tell(store: StoreId, recovered: &Recovered) {
    let StoreId(store) = store;
    if recovered.torn > 0 {
        log::info!("store {store}: {} bytes at the journal's end were never confirmed", recovered.torn);
    }
    for (topic, ledger) in &recovered.damaged {
        let name = recovered.state.topic(*topic).map(|topic| String::from_utf8_lossy(&topic.name));
        let (name, file) = (name.unwrap_or_default(), FileName::Segment(*ledger));
        log::error!("store {store}: {file} is missing or cut off: entries of {name} cannot be read");
    }
}

/// What is wrong with each, line by line.
pub(super) fn list(stores: &[DamagedStore]) -> String {
    let lines: Vec<String> = stores.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
