//! The background: moves entries from the journal into segments, writes a checkpoint, lets old journal files go. One request
//! at a time, so that it stays out of the way of commits. A failure anywhere leaves everything as it was.

use super::disk::{Completion, DiskError, DiskOp, FileName, OpId, Outbox, Writing};
use super::frame::{Builder, Home, Stamp};
use super::index::Index;
use super::journal;
use super::record::{Head, Piece};
use super::segment::{self, Tail};
use super::state::State;
use crate::base::id::LedgerId;
use std::collections::{BTreeMap, VecDeque};

/// Checkpoints kept: the newest may rot.
const KEPT: usize = 2;

/// A checkpoint on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub generation: u64,
    /// Where replay from it starts.
    pub replay: u64,
}

#[derive(Debug)]
enum Stage {
    /// The frame that ends where the checkpoint will begin is not durable yet.
    Wait,
    /// The next ledger's turn, or the checkpoint's when there is none.
    Next,
    Create(LedgerId),
    Write(LedgerId, Writing, u64, Piece),
    Sync(LedgerId),
    /// New segments must be in the folder before a checkpoint names them.
    Folder,
    CheckpointCreate,
    CheckpointWrite(Writing),
    CheckpointSync,
    CheckpointFolder,
}

#[derive(Debug)]
struct Job {
    upto: u64,
    cursor: journal::Cursor,
    state: State,
    ledgers: VecDeque<LedgerId>,
    stage: Stage,
}

/// What the request under way is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Delete,
    DeleteFolder,
    Job,
}

/// What became of a completion.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing to tell.
    Nothing,
    /// A ledger's entries are settled: this is its index now.
    Settled(LedgerId, Index),
    /// A checkpoint is durable; the journal below this position may go.
    Checkpoint(u64),
    /// The attempt failed; nothing is lost.
    Failed(DiskError),
}

/// The background work of one store.
#[derive(Debug)]
pub struct Settler {
    stamp: Stamp,
    kept: Vec<Kept>,
    generation: u64,
    job: Option<Job>,
    deletes: VecDeque<FileName>,
    /// Something was deleted and the folder not yet synced.
    folder_due: bool,
    op: Option<(OpId, Task)>,
}

impl Settler {
    /// With the checkpoints there are, oldest first, the next free generation, and files to delete first.
    pub fn new(stamp: Stamp, kept: Vec<Kept>, generation: u64, deletes: VecDeque<FileName>) -> Self {
        Settler { stamp, kept, generation, job: None, deletes, folder_due: false, op: None }
    }

    /// A checkpoint is under way.
    pub fn is_busy(&self) -> bool {
        self.job.is_some()
    }

    /// Starts a checkpoint of `state`, which is what the journal up to append `upto` adds up to.
    pub fn start(&mut self, state: State, upto: u64) {
        let unsettled = state.ledgers.iter().filter(|(_, ledger)| ledger.entries > ledger.index.settled());
        let ledgers = unsettled.map(|(id, _)| *id).collect();
        self.job = Some(Job { upto, cursor: journal::Cursor::default(), state, ledgers, stage: Stage::Wait });
    }

    /// The journal is durable up to append `upto`, which ends at `cursor`.
    pub fn on_durable(&mut self, upto: u64, cursor: &journal::Cursor) {
        if let Some(job) = &mut self.job
            && matches!(job.stage, Stage::Wait)
            && upto >= job.upto
        {
            job.cursor = cursor.clone();
            job.stage = Stage::Next;
        }
    }

    /// A file is not needed any more. To be called while no checkpoint is under way, for that may still read of it.
    pub fn delete(&mut self, file: FileName) {
        self.deletes.push_back(file);
    }

    /// Starts what can be started.
    pub fn drive(&mut self, tails: &BTreeMap<LedgerId, Tail>, out: &mut Outbox) {
        if self.op.is_some() {
            return;
        }
        // Deletes first, and durable before the next checkpoint: a rejected checkpoint must not come back after the
        // segments it names were written over.
        if let Some(file) = self.deletes.pop_front() {
            self.folder_due = true;
            self.op = Some((out.ask(DiskOp::Delete(file)), Task::Delete));
        } else if self.folder_due {
            self.op = Some((out.ask(DiskOp::SyncFolder), Task::DeleteFolder));
        } else if let Some(job) = &mut self.job
            && matches!(job.stage, Stage::Next)
        {
            let id = job.next(out);
            let id = id.unwrap_or_else(|ledger| job.piece(ledger, self.stamp, tails, out));
            self.op = Some((id, Task::Job));
        }
    }

    /// The request is one of the background's.
    pub fn owns(&self, id: OpId) -> bool {
        self.op.is_some_and(|(op, _)| op == id)
    }

    /// Its request ended.
    pub fn on_done(
        &mut self,
        result: Result<Completion, DiskError>,
        tails: &BTreeMap<LedgerId, Tail>,
        out: &mut Outbox,
    ) -> Progress {
        let task = self.op.take().map(|(_, task)| task);
        match (task, result) {
            // A segment that cannot be deleted costs room, no promise; it is found again at the next start.
            (Some(Task::Delete), _) => Progress::Nothing,
            (Some(Task::DeleteFolder), result) => {
                self.folder_due = false;
                match result {
                    Ok(_) => Progress::Nothing,
                    Err(error) => self.fail(error),
                }
            }
            (_, Err(error)) => self.fail(error),
            (_, Ok(done)) => self.step(done, tails, out),
        }
    }

    fn fail(&mut self, error: DiskError) -> Progress {
        self.job = None;
        Progress::Failed(error)
    }

    fn step(&mut self, done: Completion, tails: &BTreeMap<LedgerId, Tail>, out: &mut Outbox) -> Progress {
        let Some(job) = &mut self.job else { return Progress::Nothing };
        let file = FileName::Checkpoint(self.generation);
        let id = match (std::mem::replace(&mut job.stage, Stage::Next), done) {
            (Stage::Create(ledger), Completion::Done) => job.piece(ledger, self.stamp, tails, out),
            (Stage::Write(ledger, mut writing, settled, piece), Completion::Wrote(wrote)) => {
                if writing.on_wrote(wrote) {
                    job.index(ledger).push(settled, piece);
                    job.piece(ledger, self.stamp, tails, out)
                } else {
                    let id = writing.ask(out);
                    job.stage = Stage::Write(ledger, writing, settled, piece);
                    id
                }
            }
            (Stage::Sync(ledger), Completion::Done) => {
                job.ledgers.pop_front();
                return Progress::Settled(ledger, job.index(ledger).clone());
            }
            (Stage::Folder, Completion::Done) => {
                job.stage = Stage::CheckpointCreate;
                out.ask(DiskOp::Create { file, zeroes: 0 })
            }
            (Stage::CheckpointCreate, Completion::Done) => {
                let writing = Writing { file, at: 0, rest: job.checkpoint(self.generation, self.stamp) };
                let id = writing.ask(out);
                job.stage = Stage::CheckpointWrite(writing);
                id
            }
            (Stage::CheckpointWrite(mut writing), Completion::Wrote(wrote)) => {
                if writing.on_wrote(wrote) {
                    job.stage = Stage::CheckpointSync;
                    out.ask(DiskOp::Sync(file))
                } else {
                    let id = writing.ask(out);
                    job.stage = Stage::CheckpointWrite(writing);
                    id
                }
            }
            (Stage::CheckpointSync, Completion::Done) => {
                job.stage = Stage::CheckpointFolder;
                out.ask(DiskOp::SyncFolder)
            }
            (Stage::CheckpointFolder, Completion::Done) => {
                let replay = job.cursor.position;
                return self.finish(replay);
            }
            _ => return self.fail(DiskError::Io),
        };
        self.op = Some((id, Task::Job));
        Progress::Nothing
    }

    fn finish(&mut self, replay: u64) -> Progress {
        self.job = None;
        self.kept.push(Kept { generation: self.generation, replay });
        self.generation += 1;
        if self.kept.len() < KEPT {
            return Progress::Checkpoint(0);
        }
        while self.kept.len() > KEPT {
            self.deletes.push_back(FileName::Checkpoint(self.kept.remove(0).generation));
        }
        Progress::Checkpoint(self.kept[0].replay)
    }
}

impl Job {
    fn index(&mut self, ledger: LedgerId) -> &mut Index {
        &mut self.state.ledgers.get_mut(&ledger).expect("the job settles ledgers of its own state").index
    }

    /// Starts the next ledger, or the checkpoint. `Err`: a ledger whose segment is there, so that it can be written to at once.
    fn next(&mut self, out: &mut Outbox) -> Result<OpId, LedgerId> {
        let Some(ledger) = self.ledgers.front().copied() else {
            self.stage = Stage::Folder;
            return Ok(out.ask(DiskOp::SyncFolder));
        };
        if self.index(ledger).end() > 0 {
            return Err(ledger);
        }
        self.stage = Stage::Create(ledger);
        Ok(out.ask(DiskOp::Create { file: FileName::Segment(ledger), zeroes: 0 }))
    }

    /// Writes the ledger's next piece, or syncs its segment when all of it is written.
    fn piece(
        &mut self,
        ledger: LedgerId,
        stamp: Stamp,
        tails: &BTreeMap<LedgerId, Tail>,
        out: &mut Outbox,
    ) -> OpId {
        let file = FileName::Segment(ledger);
        let upto = self.state.ledgers[&ledger].entries;
        let index = self.index(ledger);
        let (from, at) = (index.settled(), index.end());
        if from < upto {
            let tail = tails.get(&ledger).expect("what is not settled stays in memory");
            let (rest, settled) = segment::piece(ledger, stamp, at, tail, from, upto)
                .expect("what is not settled stays in memory");
            let piece = Piece { first: from, at, length: rest.len() as u64 };
            let writing = Writing { file, at, rest };
            let id = writing.ask(out);
            self.stage = Stage::Write(ledger, writing, settled, piece);
            return id;
        }
        self.stage = Stage::Sync(ledger);
        out.ask(DiskOp::Sync(file))
    }

    fn checkpoint(&self, generation: u64, stamp: Stamp) -> bytes::Bytes {
        let journal::Cursor { position: replay, previous } = self.cursor;
        let mut builder = Builder::default();
        self.state.write(Head { generation, epoch: stamp.epoch, replay, previous }, &mut builder);
        builder.finish(Home::Checkpoint(generation), stamp, 0, 0).0
    }
}
