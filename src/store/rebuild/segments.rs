//! What a segment says about itself: whose it is, and which pieces it consists of.

use super::frames;
use crate::base::id::LedgerId;
use crate::store::TopicId;
use crate::store::frame::{self, Header, Home};
use crate::store::index::Amount;
use crate::store::record::{Piece, Record};

/// What was found in one segment.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Its topic, with name and properties.
    pub(super) owner: Option<(TopicId, Vec<u8>, Vec<u8>)>,
    pub(super) opened_ms: u64,
    pub(super) last_ms: u64,
    pub(super) amount: Amount,
    pub(super) pieces: Vec<Piece>,
    /// Pieces that do not check out: reading them tells so.
    pub(super) damaged: u64,
    pub(super) epoch: u64,
}

/// A frame of the segment with what its entries are.
struct Run {
    at: u64,
    length: u64,
    first: u64,
    behind: u64,
    messages: u64,
    bytes: u64,
    first_ms: u64,
    last_ms: u64,
}

/// Follows the frames of a segment from its beginning; where one is damaged, the next one tells how many entries are in the hole.
pub(super) fn read(bytes: &[u8], ledger: LedgerId, store: u64) -> Found {
    let mut found = Found::default();
    for (bytes, header) in frames(bytes, Home::Segment(ledger.0), store) {
        let end = found.pieces.last().map_or(0, |piece| piece.at + piece.length);
        // Inside the last piece: left from before a crash, and written over in part.
        if header.position < end {
            continue;
        }
        found.epoch = found.epoch.max(header.stamp.epoch);
        let run = run(bytes, &header, ledger, &mut found);
        match run {
            // A hole: its entries are as many as are missing. Nothing can be in it if none are.
            Some(run) if header.position > end && run.first > found.amount.entries => {
                found.hole(end, run.at, run.first, run.first_ms);
                found.push(&run);
            }
            Some(run) if header.position == end && run.first == found.amount.entries => found.push(&run),
            // The header tells how many entries there are, though they cannot all be read.
            None if header.position == end && header.count > 0 => {
                let others = if end == 0 { 2 } else { 0 };
                let behind = found.amount.entries + u64::from(header.count.saturating_sub(others));
                if behind > found.amount.entries {
                    found.hole(end, end + header.length() as u64, behind, found.last_ms);
                }
            }
            _ => {}
        }
    }
    found
}

/// The entries of a frame; `None` if not all of it checks out, or there are none.
fn run(bytes: &[u8], header: &Header, ledger: LedgerId, found: &mut Found) -> Option<Run> {
    let mut run: Option<Run> = None;
    let (at, length) = (header.position, header.length() as u64);
    for (wall_ms, record) in frame::records(bytes, header)? {
        match record {
            Record::TopicPut(topic, put) => {
                found.owner = Some((topic, put.name.to_vec(), put.properties.to_vec()));
            }
            Record::LedgerOpen(..) => found.opened_ms = wall_ms,
            Record::Entry { position, messages, bytes } if position.ledger == ledger => {
                let first = position.entry.0;
                let run = run.get_or_insert(Run {
                    at,
                    length,
                    first,
                    behind: first,
                    messages: 0,
                    bytes: 0,
                    first_ms: wall_ms,
                    last_ms: wall_ms,
                });
                if first != run.behind {
                    return None;
                }
                (run.behind, run.last_ms) = (run.behind + 1, wall_ms);
                run.messages += u64::from(messages);
                run.bytes += bytes.len() as u64;
            }
            _ => return None,
        }
    }
    run
}

impl Found {
    fn push(&mut self, run: &Run) {
        let Amount { entries: first, messages, bytes } = self.amount;
        self.pieces.push(Piece { first, at: run.at, length: run.length, wall_ms: run.first_ms, messages });
        self.amount =
            Amount { entries: run.behind, messages: messages + run.messages, bytes: bytes + run.bytes };
        self.last_ms = self.last_ms.max(run.last_ms);
    }

    /// A piece that cannot be read, up to the offset and the entry where the next begins. Its messages are not known: one each.
    fn hole(&mut self, at: u64, end: u64, behind: u64, wall_ms: u64) {
        let Amount { entries: first, messages, bytes } = self.amount;
        self.pieces.push(Piece { first, at, length: end - at, wall_ms, messages });
        self.amount = Amount { entries: behind, messages: messages + (behind - first), bytes };
        self.damaged += 1;
    }
}
