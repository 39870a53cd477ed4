//! One pass of settling, and the checkpoint behind it if one is wanted: a request after the other.

use crate::base::id::LedgerId;
use crate::store::TopicId;
use crate::store::buffer::Spare;
use crate::store::checkpoint::Snapshot;
use crate::store::disk::{Completion, DiskOp, FileName, OpId, Outbox, Writing};
use crate::store::frame::{Builder, Home, Stamp};
use crate::store::index::{Amount, Index};
use crate::store::journal;
use crate::store::memory::Memory;
use crate::store::record::Piece;
use crate::store::segment::{self, Place};
use crate::store::state::{State, Topic};
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Debug)]
enum Stage {
    /// The frame that ends where the checkpoint will begin is not durable yet.
    Wait,
    /// The next ledger's turn, or the checkpoint's when there is none.
    Next,
    Create,
    Write(Writing, Amount, Piece),
    Sync,
    /// New segments must be in the folder before a checkpoint names them.
    Folder,
    CheckpointCreate,
    /// The frame that is being written; its end, its checksum, and whether it is the last.
    CheckpointWrite(Writing, u64, u32, bool),
    CheckpointSync,
    CheckpointFolder,
}

/// A ledger to settle.
#[derive(Debug)]
struct Ledger {
    id: LedgerId,
    topic: (TopicId, Arc<Topic>),
    index: Arc<Index>,
    upto: u64,
}

/// What a step led to.
pub(super) enum Step {
    /// A request is under way.
    Asked(OpId),
    /// A ledger's entries are settled: this is its index now. The next step needs no completion.
    Settled(LedgerId, Arc<Index>),
    /// All is done; a checkpoint from which replay starts there is durable.
    End(Option<u64>),
    /// The disk answered something else than was asked.
    Broken,
}

#[derive(Debug)]
struct File {
    generation: u64,
    upto: u64,
    replay: u64,
    snapshot: Snapshot,
}

#[derive(Debug)]
pub(super) struct Job {
    ledgers: VecDeque<Ledger>,
    checkpoint: Option<File>,
    stage: Stage,
}

impl Job {
    /// `checkpoint`: its generation, and the append that `state` ends with.
    pub(super) fn new(
        state: &State,
        memory: &Memory,
        ledgers: Vec<LedgerId>,
        checkpoint: Option<(u64, Stamp, u64)>,
    ) -> Self {
        let whole = checkpoint.is_some();
        let ledgers = ledgers.into_iter().filter_map(|id| {
            let owner = state.owner(id)?;
            let topic = state.topics.get(&owner)?;
            let ledger = topic.ledger(id)?;
            // A checkpoint waits until all of it is durable.
            let upto = if whole { ledger.entries } else { memory.readable(ledger) };
            Some(Ledger { id, topic: (owner, topic.clone()), index: ledger.index.clone(), upto })
        });
        let ledgers = ledgers.collect();
        let checkpoint = checkpoint.map(|(generation, stamp, upto)| File {
            generation,
            upto,
            replay: 0,
            snapshot: Snapshot::new(state, generation, stamp),
        });
        let stage = if whole { Stage::Wait } else { Stage::Next };
        Job { ledgers, checkpoint, stage }
    }

    pub(super) fn on_durable(&mut self, upto: u64, cursor: &journal::Cursor) {
        if let Some(file) = &mut self.checkpoint
            && matches!(self.stage, Stage::Wait)
            && upto >= file.upto
        {
            file.replay = cursor.position;
            file.snapshot.set_replay(cursor.position, cursor.previous);
            self.stage = Stage::Next;
        }
    }

    /// A step needs no completion.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Next)
    }

    /// A request ended well, or [`Job::is_ready`].
    pub(super) fn step(
        &mut self,
        done: Option<Completion>,
        stamp: Stamp,
        memory: &Memory,
        spare: &mut Spare,
        out: &mut Outbox,
    ) -> Step {
        let file = self.checkpoint.as_ref().map(|file| FileName::Checkpoint(file.generation));
        match (std::mem::replace(&mut self.stage, Stage::Next), done, file) {
            (Stage::Next, None, _) => self.next(stamp, memory, spare, out),
            (Stage::Create, Some(Completion::Done), _) => self.piece(stamp, memory, spare, out),
            (Stage::Write(mut writing, amount, piece), Some(Completion::Wrote(wrote)), _) => {
                if !writing.on_wrote(wrote) {
                    let id = writing.ask(out);
                    self.stage = Stage::Write(writing, amount, piece);
                    return Step::Asked(id);
                }
                spare.give(writing.rest);
                if let Some(ledger) = self.ledgers.front_mut() {
                    Arc::make_mut(&mut ledger.index).push(amount, piece);
                }
                self.piece(stamp, memory, spare, out)
            }
            (Stage::Sync, Some(Completion::Done), _) => self.settled(),
            (Stage::Folder, Some(Completion::Done), Some(file)) => {
                self.stage = Stage::CheckpointCreate;
                Step::Asked(out.ask(DiskOp::Create { file, zeroes: 0 }))
            }
            (Stage::CheckpointCreate, Some(Completion::Done), Some(_)) => {
                self.frame((0, 0), stamp, memory, spare, out)
            }
            (
                Stage::CheckpointWrite(mut writing, end, sum, last),
                Some(Completion::Wrote(wrote)),
                Some(file),
            ) => {
                if !writing.on_wrote(wrote) {
                    let id = writing.ask(out);
                    self.stage = Stage::CheckpointWrite(writing, end, sum, last);
                    return Step::Asked(id);
                }
                spare.give(writing.rest);
                if !last {
                    return self.frame((end, sum), stamp, memory, spare, out);
                }
                self.stage = Stage::CheckpointSync;
                Step::Asked(out.ask(DiskOp::Sync(file)))
            }
            (Stage::CheckpointSync, Some(Completion::Done), Some(_)) => {
                self.stage = Stage::CheckpointFolder;
                Step::Asked(out.ask(DiskOp::SyncFolder))
            }
            (Stage::CheckpointFolder, Some(Completion::Done), Some(_)) => {
                Step::End(self.checkpoint.as_ref().map(|file| file.replay))
            }
            _ => Step::Broken,
        }
    }

    /// Starts the next ledger, or the checkpoint.
    fn next(&mut self, stamp: Stamp, memory: &Memory, spare: &mut Spare, out: &mut Outbox) -> Step {
        let Some(ledger) = self.ledgers.front() else {
            if self.checkpoint.is_none() {
                return Step::End(None);
            }
            self.stage = Stage::Folder;
            return Step::Asked(out.ask(DiskOp::SyncFolder));
        };
        if ledger.index.end() > 0 {
            return self.piece(stamp, memory, spare, out);
        }
        self.stage = Stage::Create;
        Step::Asked(out.ask(DiskOp::Create { file: FileName::Segment(ledger.id), zeroes: 0 }))
    }

    /// Writes the ledger's next piece, or syncs its segment when all of it is written.
    fn piece(&mut self, stamp: Stamp, memory: &Memory, spare: &mut Spare, out: &mut Outbox) -> Step {
        let Some(Ledger { id, topic, index, upto }) = self.ledgers.front() else { return Step::Broken };
        let file = FileName::Segment(*id);
        if index.settled() >= *upto {
            self.stage = Stage::Sync;
            return Step::Asked(out.ask(DiskOp::Sync(file)));
        }
        let place = Place { ledger: *id, topic: (topic.0, &topic.1), index };
        let tail = memory.get(*id).expect("what is not settled stays in memory");
        let (rest, amount, piece) = segment::piece(&place, stamp, tail, *upto, spare.take())
            .expect("what is not settled stays in memory");
        let writing = Writing { file, at: piece.at, rest };
        let asked = writing.ask(out);
        self.stage = Stage::Write(writing, amount, piece);
        Step::Asked(asked)
    }

    fn settled(&mut self) -> Step {
        let Some(Ledger { id, index, .. }) = self.ledgers.pop_front() else { return Step::Broken };
        if let Some(file) = &mut self.checkpoint {
            file.snapshot.on_settled(id, index.clone());
        }
        Step::Settled(id, index)
    }

    /// Writes the checkpoint's next frame, at this offset and behind the frame with this checksum.
    fn frame(
        &mut self,
        (at, previous): (u64, u32),
        stamp: Stamp,
        memory: &Memory,
        spare: &mut Spare,
        out: &mut Outbox,
    ) -> Step {
        let Some(File { generation, snapshot, .. }) = &mut self.checkpoint else { return Step::Broken };
        let mut builder = Builder::new(spare.take());
        let last = snapshot.fill(memory, &mut builder);
        let (rest, checksum) = builder.finish(Home::Checkpoint(*generation), stamp, at, previous);
        let end = at + rest.len() as u64;
        let writing = Writing { file: FileName::Checkpoint(*generation), at, rest };
        let id = writing.ask(out);
        self.stage = Stage::CheckpointWrite(writing, end, checksum, last);
        Step::Asked(id)
    }
}
