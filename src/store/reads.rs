//! Reading settled entries back: runs of pieces of one segment in one request, so many at once, each tried a few times and
//! checked. A damaged piece gives what of it still checks out.

use super::disk::{Completion, DiskError, DiskOp, FileName, OpId, Outbox};
use super::log::Event;
use super::record::Piece;
use super::segment::{self, Stored};
use super::state::Ledger;
use crate::base::id::{EntryId, LedgerId, Position};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// Times something is read before it is given up.
const TRIES: u32 = 3;
/// Reads at the disk at once: what waits is bounded by the owner, these bound memory.
const FLYING_MAX: usize = 16;

/// Names a read until its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// Where entries are to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Here they are, from the one that was asked for on, in order: at least one.
    Ready(Vec<Stored>),
    /// They are being read: [`Event::Read`] brings them.
    Fetch(ReadId),
    /// There is no such entry, or it is not durable yet.
    Absent,
}

/// Where the first entry at or after a time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// There, or nowhere: all durable entries are older.
    Known(Option<Position>),
    /// One piece is being read: [`Event::Found`] brings the answer.
    Fetch(ReadId),
}

/// Why entries could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// What was read does not check out. Entries up to `behind` (exclusive) are lost; who may skip them goes on there.
    #[error("the segment is damaged: entries up to {} cannot be read", behind.0)]
    Rotten {
        /// The next entry that may be readable.
        behind: EntryId,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(DiskError),
}

#[derive(Debug)]
enum Purpose {
    /// Entries, from this one on.
    Entries(EntryId),
    /// The first entry at or after this time; if it is not in the piece, it is there.
    Time(u64, Option<Position>),
    /// Only to see whether it checks out.
    Scrub,
}

#[derive(Debug)]
struct Read {
    id: ReadId,
    ledger: LedgerId,
    /// Pieces that follow each other, each with the entry behind its last.
    pieces: Vec<(Piece, EntryId)>,
    purpose: Purpose,
    tries: u32,
}

/// The reads of one store.
#[derive(Debug)]
pub(super) struct Reads {
    store: u64,
    next: u64,
    flying: BTreeMap<OpId, Read>,
    waiting: VecDeque<Read>,
    scrubbing: bool,
}

impl Reads {
    /// Of the store with this random number.
    pub(super) fn new(store: u64) -> Self {
        Reads { store, next: 0, flying: BTreeMap::new(), waiting: VecDeque::new(), scrubbing: false }
    }

    /// Reads entries from `entry` on: the piece that holds it, and those behind it while they fit into `bytes`. `None`: not settled.
    pub(super) fn entries(&mut self, ledger: &Ledger, entry: EntryId, bytes: usize) -> Option<ReadId> {
        let first = ledger.index.find(entry.0)?;
        let mut room = bytes as u64;
        let fits = |(number, piece): &(usize, &Piece)| {
            let fits = *number == first || piece.length <= room;
            room = room.saturating_sub(piece.length);
            fits
        };
        let from = ledger.index.pieces().iter().enumerate().skip(first);
        let pieces = from.take_while(fits).map(|(number, piece)| (*piece, ledger.index.behind(number)));
        let pieces = pieces.collect();
        Some(self.ask(ledger.id, pieces, Purpose::Entries(entry)))
    }

    /// Looks into one piece for the first entry at or after a time; `beyond`: where it is if it is not in it.
    pub(super) fn time(
        &mut self,
        ledger: &Ledger,
        number: usize,
        wall_ms: u64,
        beyond: Option<Position>,
    ) -> ReadId {
        let piece = (ledger.index.pieces()[number], ledger.index.behind(number));
        self.ask(ledger.id, vec![piece], Purpose::Time(wall_ms, beyond))
    }

    /// Reads a piece only to see whether it checks out.
    pub(super) fn scrub(&mut self, ledger: &Ledger, number: usize) {
        let piece = (ledger.index.pieces()[number], ledger.index.behind(number));
        self.scrubbing = true;
        self.ask(ledger.id, vec![piece], Purpose::Scrub);
    }

    /// A piece is being scrubbed.
    pub(super) fn is_scrubbing(&self) -> bool {
        self.scrubbing
    }

    fn ask(&mut self, ledger: LedgerId, pieces: Vec<(Piece, EntryId)>, purpose: Purpose) -> ReadId {
        let id = ReadId(self.next);
        self.next += 1;
        self.waiting.push_back(Read { id, ledger, pieces, purpose, tries: TRIES });
        id
    }

    /// Asks the disk for what waits.
    pub(super) fn drive(&mut self, out: &mut Outbox) {
        while self.flying.len() < FLYING_MAX
            && let Some(read) = self.waiting.pop_front()
        {
            let length: u64 = read.pieces.iter().map(|(piece, _)| piece.length).sum();
            let length = usize::try_from(length).expect("the index bounds a piece to 32 bits");
            let (file, at) = (FileName::Segment(read.ledger), read.pieces[0].0.at);
            let op = out.ask(DiskOp::Read { file, at, length });
            self.flying.insert(op, read);
        }
    }

    /// A request ended; `None`: it was not one of the reads, or it is tried again.
    pub(super) fn on_done(&mut self, id: OpId, result: &Result<Completion, DiskError>) -> Option<Vec<Event>> {
        let mut read = self.flying.remove(&id)?;
        read.tries -= 1;
        let outcome = match result {
            Ok(Completion::Read(bytes)) => read.parse(bytes, self.store, read.tries == 0),
            Ok(_) => Err(ReadError::Disk(DiskError::Io)),
            Err(error) => Err(ReadError::Disk(*error)),
        };
        let is_whole = matches!(&outcome, Ok(runs) if runs.iter().all(Result::is_ok));
        if !is_whole && read.tries > 0 {
            self.waiting.push_front(read);
            return Some(Vec::new());
        }
        self.scrubbing &= !matches!(read.purpose, Purpose::Scrub);
        Some(read.answer(outcome))
    }
}

/// Entries that follow each other from a number on, or a gap up to one.
type Run = Result<(EntryId, Vec<Stored>), (EntryId, EntryId)>;

impl Read {
    /// The pieces' entries; with `salvage` also what is left of damaged ones, with the gaps between. Otherwise the first damage is all.
    fn parse(&self, bytes: &Bytes, store: u64, salvage: bool) -> Result<Vec<Run>, ReadError> {
        let (mut runs, mut at) = (Vec::new(), 0);
        for (piece, behind) in &self.pieces {
            let end = at + usize::try_from(piece.length).expect("the index bounds a piece to 32 bits");
            if bytes.len() < end {
                return Err(ReadError::Disk(DiskError::Io));
            }
            let slice = bytes.slice(at..end);
            match segment::entries(&slice, self.ledger, store, piece, *behind) {
                Some(entries) => runs.push(Ok((EntryId(piece.first), entries))),
                None if salvage => self.salvage(&slice, piece, *behind, &mut runs),
                None => runs.push(Err((EntryId(piece.first), *behind))),
            }
            at = end;
        }
        Ok(runs)
    }

    fn salvage(&self, bytes: &Bytes, piece: &Piece, behind: EntryId, runs: &mut Vec<Run>) {
        let mut found = segment::salvage(bytes, self.ledger, piece, behind);
        let mut entry = piece.first;
        while entry < behind.0 {
            let run: Vec<Stored> = (entry..).map_while(|entry| found.remove(&entry)).collect();
            let start = entry;
            entry += run.len() as u64;
            if !run.is_empty() {
                runs.push(Ok((EntryId(start), run)));
            }
            let gap = entry;
            entry = found.first_key_value().map_or(behind.0, |(next, _)| *next);
            if gap < entry {
                runs.push(Err((EntryId(gap), EntryId(entry))));
            }
        }
    }

    fn answer(&self, outcome: Result<Vec<Run>, ReadError>) -> Vec<Event> {
        let (id, ledger) = (self.id, self.ledger);
        let mut events = Vec::new();
        for gap in outcome.iter().flatten().filter_map(|run| run.as_ref().err()) {
            events.push(Event::Damaged { ledger, first: gap.0, behind: gap.1 });
        }
        match self.purpose {
            Purpose::Entries(first) => {
                let entries = outcome.and_then(|runs| from(first, runs));
                events.push(Event::Read { id, ledger, first, entries });
            }
            Purpose::Time(wall_ms, beyond) => {
                let position = outcome.map(|runs| {
                    let readable = runs.into_iter().flatten();
                    let each = readable.flat_map(|(first, run)| (first.0..).zip(run));
                    let found = each.into_iter().find(|(_, stored)| stored.wall_ms >= wall_ms);
                    found.map(|(entry, _)| Position { ledger, entry: EntryId(entry) }).or(beyond)
                });
                events.push(Event::Found { id, position });
            }
            Purpose::Scrub => {
                let [(piece, behind)] = self.pieces[..] else { return events };
                if outcome.is_err() {
                    events.push(Event::Damaged { ledger, first: EntryId(piece.first), behind });
                }
                events.push(Event::Scrubbed { ledger, bytes: piece.length });
            }
        }
        events
    }
}

/// Entries from `first` on up to the first gap.
fn from(first: EntryId, runs: Vec<Run>) -> Result<Vec<Stored>, ReadError> {
    let (mut entries, mut next) = (Vec::new(), first.0);
    for run in runs {
        match run {
            Ok((start, run)) if start.0 + run.len() as u64 <= next => {}
            Ok((start, run)) => {
                let skip = usize::try_from(next - start.0).expect("entries in memory are counted in memory");
                next = start.0 + run.len() as u64;
                entries.extend(run.into_iter().skip(skip));
            }
            Err((_, behind)) if behind.0 <= next => {}
            Err((_, behind)) if entries.is_empty() => return Err(ReadError::Rotten { behind }),
            Err(_) => break,
        }
    }
    Ok(entries)
}
