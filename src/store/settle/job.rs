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

/// The ledger that is being settled.
#[derive(Debug)]
struct Ledger {
    id: LedgerId,
    topic: (TopicId, Arc<Topic>),
    index: Arc<Index>,
    upto: u64,
}

/// What a step works with.
pub(super) struct Desk<'a> {
    pub(super) stamp: Stamp,
    pub(super) state: &'a State,
    pub(super) memory: &'a mut Memory,
    pub(super) spare: &'a mut Spare,
    pub(super) out: &'a mut Outbox,
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
    waiting: VecDeque<LedgerId>,
    ledger: Option<Ledger>,
    checkpoint: Option<File>,
    stage: Stage,
}

impl Job {
    /// Settles these ledgers and nothing more.
    pub(super) fn new(ledgers: Vec<LedgerId>) -> Self {
        Job { waiting: ledgers.into(), ledger: None, checkpoint: None, stage: Stage::Next }
    }

    /// Settles these ledgers and writes the snapshot down, which ends with append `upto`.
    pub(super) fn checkpoint(ledgers: Vec<LedgerId>, generation: u64, upto: u64, snapshot: Snapshot) -> Self {
        let checkpoint = Some(File { generation, upto, replay: 0, snapshot });
        Job { waiting: ledgers.into(), ledger: None, checkpoint, stage: Stage::Wait }
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
    pub(super) fn step(&mut self, done: Option<Completion>, desk: &mut Desk<'_>) -> Step {
        let file = self.checkpoint.as_ref().map(|file| FileName::Checkpoint(file.generation));
        match (std::mem::replace(&mut self.stage, Stage::Next), done, file) {
            (Stage::Next, None, _) => self.next(desk),
            (Stage::Create, Some(Completion::Done), _) => self.piece(desk),
            (Stage::Write(mut writing, amount, piece), Some(Completion::Wrote(wrote)), _) => {
                if !writing.on_wrote(wrote) {
                    let id = writing.ask(desk.out);
                    self.stage = Stage::Write(writing, amount, piece);
                    return Step::Asked(id);
                }
                desk.spare.give(writing.rest);
                if let Some(ledger) = &mut self.ledger {
                    Arc::make_mut(&mut ledger.index).push(amount, piece);
                }
                self.piece(desk)
            }
            (Stage::Sync, Some(Completion::Done), _) => self.settled(),
            (Stage::Folder, Some(Completion::Done), Some(file)) => {
                self.stage = Stage::CheckpointCreate;
                Step::Asked(desk.out.ask(DiskOp::Create { file, zeroes: 0 }))
            }
            (Stage::CheckpointCreate, Some(Completion::Done), Some(_)) => self.frame((0, 0), desk),
            (
                Stage::CheckpointWrite(mut writing, end, sum, last),
                Some(Completion::Wrote(wrote)),
                Some(file),
            ) => {
                if !writing.on_wrote(wrote) {
                    let id = writing.ask(desk.out);
                    self.stage = Stage::CheckpointWrite(writing, end, sum, last);
                    return Step::Asked(id);
                }
                desk.spare.give(writing.rest);
                if !last {
                    return self.frame((end, sum), desk);
                }
                self.stage = Stage::CheckpointSync;
                Step::Asked(desk.out.ask(DiskOp::Sync(file)))
            }
            (Stage::CheckpointSync, Some(Completion::Done), Some(_)) => {
                self.stage = Stage::CheckpointFolder;
                Step::Asked(desk.out.ask(DiskOp::SyncFolder))
            }
            (Stage::CheckpointFolder, Some(Completion::Done), Some(_)) => {
                Step::End(self.checkpoint.as_ref().map(|file| file.replay))
            }
            _ => Step::Broken,
        }
    }

    /// Takes the next ledger up.
    fn take_up(&mut self, desk: &Desk<'_>) -> Option<&Ledger> {
        while self.ledger.is_none() {
            let id = self.waiting.pop_front()?;
            let Some(tail) = desk.memory.get(id) else { continue };
            // A checkpoint is of the state that was, also of what was deleted since.
            let topic = match &self.checkpoint {
                Some(file) => file.snapshot.topic(tail.topic),
                None => desk.state.topics.get(&tail.topic),
            };
            let Some((topic, found)) = topic.and_then(|topic| Some((topic, topic.ledger(id)?))) else {
                continue;
            };
            let upto = if self.checkpoint.is_some() { found.entries } else { tail.readable() };
            if found.index.settled() < upto {
                let (topic, index) = ((tail.topic, topic.clone()), found.index.clone());
                self.ledger = Some(Ledger { id, topic, index, upto });
            }
        }
        self.ledger.as_ref()
    }

    /// Starts the next ledger, or the checkpoint.
    fn next(&mut self, desk: &mut Desk<'_>) -> Step {
        let Some(ledger) = self.take_up(desk) else {
            if self.checkpoint.is_none() {
                return Step::End(None);
            }
            self.stage = Stage::Folder;
            return Step::Asked(desk.out.ask(DiskOp::SyncFolder));
        };
        if ledger.index.end() > 0 {
            return self.piece(desk);
        }
        let file = FileName::Segment(ledger.id);
        self.stage = Stage::Create;
        Step::Asked(desk.out.ask(DiskOp::Create { file, zeroes: 0 }))
    }

    /// Writes the ledger's next piece, or syncs its segment when all of it is written.
    fn piece(&mut self, desk: &mut Desk<'_>) -> Step {
        let Some(Ledger { id, topic, index, upto }) = &self.ledger else { return Step::Broken };
        let file = FileName::Segment(*id);
        if index.settled() >= *upto {
            self.stage = Stage::Sync;
            return Step::Asked(desk.out.ask(DiskOp::Sync(file)));
        }
        let place = Place { ledger: *id, topic: (topic.0, &topic.1), index };
        let tail = desk.memory.get(*id).expect("what is not settled stays in memory");
        let (rest, amount, piece) = segment::piece(&place, desk.stamp, tail, *upto, desk.spare.take())
            .expect("what is not settled stays in memory");
        let writing = Writing { file, at: piece.at, rest };
        let asked = writing.ask(desk.out);
        self.stage = Stage::Write(writing, amount, piece);
        Step::Asked(asked)
    }

    fn settled(&mut self) -> Step {
        let Some(Ledger { id, index, .. }) = self.ledger.take() else { return Step::Broken };
        if let Some(file) = &mut self.checkpoint {
            file.snapshot.on_settled(id, index.clone());
        }
        Step::Settled(id, index)
    }

    /// Writes the checkpoint's next frame, at this offset and behind the frame with this checksum.
    fn frame(&mut self, (at, previous): (u64, u32), desk: &mut Desk<'_>) -> Step {
        let Some(File { generation, snapshot, .. }) = &mut self.checkpoint else { return Step::Broken };
        let mut builder = Builder::new(desk.spare.take());
        let last = snapshot.fill(desk.memory, &mut builder);
        let (rest, checksum) = builder.finish(Home::Checkpoint(*generation), desk.stamp, at, previous);
        let end = at + rest.len() as u64;
        let writing = Writing { file: FileName::Checkpoint(*generation), at, rest };
        let id = writing.ask(desk.out);
        self.stage = Stage::CheckpointWrite(writing, end, checksum, last);
        Step::Asked(id)
    }
}
