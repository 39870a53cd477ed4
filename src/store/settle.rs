//! The background: moves entries from memory into segments, writes a checkpoint, lets old journal files go. One request
//! at a time, so that it stays out of the way of commits. A failure anywhere leaves everything as it was.

mod job;

use super::buffer::Spare;
use super::checkpoint::Snapshot;
use super::disk::{Completion, DiskError, DiskOp, FileName, OpId, Outbox};
use super::frame::Stamp;
use super::index::Index;
use super::journal;
use super::memory::Memory;
use super::state::State;
use crate::base::id::LedgerId;
use job::{Desk, Job, Step};
use std::collections::VecDeque;
use std::sync::Arc;

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
    Settled(LedgerId, Arc<Index>),
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
    spare: Spare,
    deletes: VecDeque<FileName>,
    /// Something was deleted and the folder not yet synced.
    folder_due: bool,
    op: Option<(OpId, Task)>,
}

impl Settler {
    /// With the checkpoints there are, oldest first, the next free generation, and files to delete first.
    pub fn new(stamp: Stamp, kept: Vec<Kept>, generation: u64, deletes: VecDeque<FileName>) -> Self {
        let spare = Spare::default();
        Settler { stamp, kept, generation, job: None, spare, deletes, folder_due: false, op: None }
    }

    /// Settling or a checkpoint is under way.
    pub fn is_busy(&self) -> bool {
        self.job.is_some()
    }

    /// Starts to settle these ledgers, in this order, up to what of them is durable when their turn comes.
    pub fn settle(&mut self, ledgers: Vec<LedgerId>) {
        self.job = Some(Job::new(ledgers));
    }

    /// Starts a checkpoint of `state`, which is what the journal up to append `upto` adds up to. These ledgers are settled first;
    /// the entries of the others go into the checkpoint.
    pub fn checkpoint(&mut self, state: &State, upto: u64, ledgers: Vec<LedgerId>) {
        let snapshot = Snapshot::new(state, self.generation, self.stamp);
        self.job = Some(Job::checkpoint(ledgers, self.generation, upto, snapshot));
    }

    /// The journal is durable up to append `upto`, which ends at `cursor`.
    pub fn on_durable(&mut self, upto: u64, cursor: &journal::Cursor) {
        if let Some(job) = &mut self.job {
            job.on_durable(upto, cursor);
        }
    }

    /// A file is not needed any more. To be called while nothing is being settled, for that may be writing to it.
    pub fn delete(&mut self, file: FileName) {
        self.deletes.push_back(file);
    }

    /// Starts what can be started.
    pub fn drive(&mut self, state: &State, memory: &mut Memory, out: &mut Outbox) {
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
        } else if self.job.as_ref().is_some_and(Job::is_ready) {
            self.step(None, state, memory, out);
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
        state: &State,
        memory: &mut Memory,
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
            (_, Ok(done)) => self.step(Some(done), state, memory, out),
        }
    }

    fn fail(&mut self, error: DiskError) -> Progress {
        self.job = None;
        Progress::Failed(error)
    }

    fn step(
        &mut self,
        done: Option<Completion>,
        state: &State,
        memory: &mut Memory,
        out: &mut Outbox,
    ) -> Progress {
        let Some(job) = &mut self.job else { return Progress::Nothing };
        let mut desk = Desk { stamp: self.stamp, state, memory, spare: &mut self.spare, out };
        match job.step(done, &mut desk) {
            Step::Asked(id) => {
                self.op = Some((id, Task::Job));
                Progress::Nothing
            }
            Step::Settled(ledger, index) => Progress::Settled(ledger, index),
            Step::End(None) => {
                self.job = None;
                Progress::Nothing
            }
            Step::End(Some(replay)) => self.finish(replay),
            Step::Broken => self.fail(DiskError::Io),
        }
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
