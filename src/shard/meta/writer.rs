//! The meta store's file and the thread that writes it.

use super::{Expect, MetaChange, MetaNews, MetaRecord, MetaRefusal};
use crate::base::limit;
use crate::shard::links::Links;
use crate::shard::mesh::{Letter, Mesh, ShardId};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Key to version and value.
const RECORDS: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("records");
/// One row: the number of the last write. Versions of deleted keys are never given out again.
const COUNTER: TableDefinition<'_, (), u64> = TableDefinition::new("counter");
const TABLES: usize = 2;
/// Writes that share one commit, and so one flush.
const WRITES_PER_COMMIT: usize = 64;
/// Longest key and value, bytes. Policies and schemas are far smaller; a value is held once by every core.
const KEY_BYTES_MAX: usize = 4096;
const VALUE_BYTES_MAX: usize = 4 << 20;

/// Why the meta store cannot be opened; `Display` names the file.
#[derive(Debug, thiserror::Error)]
#[error("the meta store {path}: {error}; check the disk, or restore the file from a copy of the data folder")]
pub struct MetaError {
    path: String,
    error: redb::Error,
}

impl MetaError {
    /// The file is at fault, not the machine.
    pub fn is_damage(&self) -> bool {
        match &self.error {
            redb::Error::Corrupted(_) => true,
            redb::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
            _ => false,
        }
    }
}

/// The open file, before its thread runs.
#[derive(Clone)]
pub struct MetaStore {
    database: Arc<Database>,
}

impl std::fmt::Debug for MetaStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MetaStore")
    }
}

impl MetaStore {
    /// Opens the file, or makes it, and reads all there is in it.
    pub fn open(path: &Path) -> Result<(MetaStore, Vec<MetaRecord>), MetaError> {
        let open = || -> Result<_, redb::Error> {
            let store = MetaStore { database: Arc::new(Database::create(path)?) };
            // Made here, so that reading never meets a store without its tables. Only once: a commit is a flush of the disk, which
            // a start on a busy one waits for.
            let there = store.database.begin_read()?.list_tables()?.count();
            if there < TABLES {
                let begun = store.begin()?;
                begun.open_table(RECORDS)?;
                begun.open_table(COUNTER)?;
                begun.commit()?;
            }
            let records = store.records()?;
            Ok((store, records))
        };
        open().map_err(|error| MetaError { path: path.display().to_string(), error })
    }

    fn records(&self) -> Result<Vec<MetaRecord>, redb::Error> {
        let table = self.database.begin_read()?.open_table(RECORDS)?;
        let mut records = Vec::new();
        for row in table.iter()? {
            let (key, value) = row?;
            let (version, value) = value.value();
            records.push(MetaRecord { key: key.value().to_owned(), version, value: Some(value.to_vec()) });
        }
        Ok(records)
    }

    fn begin(&self) -> Result<WriteTransaction, redb::Error> {
        let mut begun = self.database.begin_write()?;
        begun.set_durability(Durability::Immediate)?;
        Ok(begun)
    }

    /// One write, done at once: for what is made at the first start, before there are cores, and for tests.
    pub fn write(&self, changes: &[MetaChange]) -> Result<Arc<Vec<MetaRecord>>, MetaRefusal> {
        let write = Write { shard: ShardId(0), ticket: 0, changes: changes.to_vec() };
        let failed = |error: redb::Error| MetaRefusal::Failed(format!("the meta store failed: {error}"));
        let mut outcomes = self.commit(&[write]).map_err(failed)?;
        outcomes.pop().unwrap_or_else(|| Err(MetaRefusal::Failed("nothing was written".to_owned())))
    }

    /// Starts the thread. It ends, and the file is closed, when the last writer is dropped.
    pub(crate) fn start(self, mesh: &Arc<Mesh>) -> std::io::Result<(MetaWriter, JoinHandle<()>)> {
        let (sender, writes) = sync_channel(limit::META_WRITES_MAX * mesh.len());
        let mesh = Arc::clone(mesh);
        let thread = std::thread::Builder::new().name("meta".into());
        let thread = thread.spawn(move || self.serve(&writes, &mesh))?;
        Ok((MetaWriter { sender }, thread))
    }

    fn serve(&self, writes: &Receiver<Write>, mesh: &Mesh) {
        while let Ok(first) = writes.recv() {
            let mut batch = vec![first];
            batch.extend(writes.try_iter().take(WRITES_PER_COMMIT - 1));
            match self.commit(&batch) {
                Ok(outcomes) => {
                    for (write, outcome) in batch.into_iter().zip(outcomes) {
                        tell(mesh, &write, outcome);
                    }
                }
                Err(error) => {
                    log::error!("the meta store failed: {error}");
                    for write in batch {
                        tell(
                            mesh,
                            &write,
                            Err(MetaRefusal::Failed(format!("the meta store failed: {error}"))),
                        );
                    }
                }
            }
        }
    }

    /// Does the writes in their order, each wholly or not at all, and makes them durable together.
    fn commit(&self, batch: &[Write]) -> Result<Vec<Outcome>, redb::Error> {
        let begun = self.begin()?;
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut changed = false;
        {
            let mut counter = begun.open_table(COUNTER)?;
            let mut records = begun.open_table(RECORDS)?;
            let mut last = counter.get(())?.map_or(0, |value| value.value());
            for write in batch {
                if let Some(refusal) = refusal(&records, &write.changes)? {
                    outcomes.push(Err(refusal));
                    continue;
                }
                (last, changed) = (last + 1, true);
                let mut applied = Vec::with_capacity(write.changes.len());
                for MetaChange { key, value, .. } in &write.changes {
                    match value {
                        Some(value) => drop(records.insert(key.as_str(), (last, value.as_slice()))?),
                        None => drop(records.remove(key.as_str())?),
                    }
                    applied.push(MetaRecord { key: key.clone(), version: last, value: value.clone() });
                }
                outcomes.push(Ok(Arc::new(applied)));
            }
            counter.insert((), last)?;
        }
        if changed {
            begun.commit()?;
        } else {
            begun.abort()?;
        }
        Ok(outcomes)
    }
}

type Outcome = Result<Arc<Vec<MetaRecord>>, MetaRefusal>;

fn refusal(
    records: &impl ReadableTable<&'static str, (u64, &'static [u8])>,
    changes: &[MetaChange],
) -> Result<Option<MetaRefusal>, redb::Error> {
    for MetaChange { key, expect, value } in changes {
        if key.len() > KEY_BYTES_MAX || value.as_ref().is_some_and(|value| value.len() > VALUE_BYTES_MAX) {
            let text = format!("a key of {} bytes or its value is too large", key.len());
            return Ok(Some(MetaRefusal::Failed(text)));
        }
        let version = records.get(key.as_str())?.map(|found| found.value().0);
        let fits = match expect {
            Expect::Any => true,
            Expect::Absent => version.is_none(),
            Expect::Version(wanted) => version == Some(*wanted),
        };
        if !fits {
            return Ok(Some(MetaRefusal::Conflict { key: key.clone() }));
        }
    }
    Ok(None)
}

/// All cores hear of a change before the one that asked for it hears that it is done.
fn tell(mesh: &Mesh, write: &Write, outcome: Outcome) {
    let news = match outcome {
        Err(why) => MetaNews::Refused { ticket: write.ticket, why },
        Ok(records) => {
            let others = (0..mesh.len() as u16).map(ShardId).filter(|shard| *shard != write.shard);
            for shard in others {
                let news = MetaNews::Applied { records: Arc::clone(&records), ticket: None };
                mesh.post_waiting(shard, Letter::Meta(news));
            }
            MetaNews::Applied { records, ticket: Some(write.ticket) }
        }
    };
    mesh.post_waiting(write.shard, Letter::Meta(news));
}

#[derive(Debug)]
struct Write {
    shard: ShardId,
    ticket: u64,
    changes: Vec<MetaChange>,
}

/// A core's way to the thread.
#[derive(Clone)]
pub(crate) struct MetaWriter {
    sender: SyncSender<Write>,
}

impl MetaWriter {
    /// Hands on what the links ask to be written; without a store all of it is refused.
    pub(crate) fn write_all(writer: Option<&MetaWriter>, links: &mut Links) {
        let Some(writer) = writer else { return links.refuse_meta() };
        let shard = links.shard();
        while let Some((ticket, changes)) = links.meta.pop_front() {
            // The queue holds what all cores may have unanswered, so an error means that the thread died.
            if writer.sender.try_send(Write { shard, ticket, changes }).is_err() {
                let why = MetaRefusal::Failed("the meta store's thread has ended".to_owned());
                links.letters.push_back(Letter::Meta(MetaNews::Refused { ticket, why }));
            }
        }
    }
}
