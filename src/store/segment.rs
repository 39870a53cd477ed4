//! Segments: settled entries of one ledger, in frames of up to [`PIECE_BYTES`], and reading them back.

use super::frame::{self, Builder, Home, Stamp};
use super::record::{self, Piece, Record};
use crate::base::id::{EntryId, LedgerId, Position};
use bytes::Bytes;
use std::collections::VecDeque;

/// Bytes of records in one frame of a segment, unless one entry is larger: what a read fetches at once.
pub const PIECE_BYTES: usize = 256 * 1024;

/// An entry in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// When it was appended, ms since 1970.
    pub wall_ms: u64,
    /// Messages in it.
    pub messages: u32,
    /// As its producer sent it.
    pub bytes: Bytes,
}

/// The last entries of one ledger.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    /// Number of the oldest entry here.
    pub first: u64,
    /// The entries from there on.
    pub entries: VecDeque<Stored>,
}

impl Tail {
    /// The entry, if it is here.
    pub fn get(&self, entry: u64) -> Option<&Stored> {
        self.entries.get(usize::try_from(entry.checked_sub(self.first)?).ok()?)
    }
}

/// The next frame of a segment: entries from `from` on, below `upto`, as many as fit. `None` if they are not in the tail.
/// Returns the frame and the entry behind its last one.
pub fn piece(
    ledger: LedgerId,
    stamp: Stamp,
    at: u64,
    tail: &Tail,
    from: u64,
    upto: u64,
) -> Option<(Bytes, u64)> {
    let mut builder = Builder::default();
    let mut entry = from;
    while entry < upto {
        let stored = tail.get(entry)?;
        let grown = builder.body() + record::padded(stored.bytes.len());
        if !builder.is_empty() && grown > PIECE_BYTES {
            break;
        }
        let position = Position { ledger, entry: EntryId(entry) };
        let record = Record::Entry { position, messages: stored.messages, bytes: &stored.bytes };
        builder.push(stored.wall_ms, &record);
        entry += 1;
    }
    (!builder.is_empty()).then(|| (builder.finish(Home::Segment(ledger.0), stamp, at, 0).0, entry))
}

/// The entries of a piece as it was read; `None` if anything in it does not check out. Slices of `bytes`, not copies.
pub fn entries(bytes: &Bytes, ledger: LedgerId, store: u64, piece: &Piece) -> Option<Vec<Stored>> {
    let header = frame::header(bytes, Home::Segment(ledger.0), store)?;
    if header.position != piece.at || header.length() as u64 != piece.length {
        return None;
    }
    let mut found = Vec::new();
    for (next, (wall_ms, record)) in (piece.first..).zip(frame::records(bytes, &header)?) {
        let Record::Entry { position, messages, bytes: entry } = record else { return None };
        if position.ledger != ledger || position.entry.0 != next {
            return None;
        }
        found.push(Stored { wall_ms, messages, bytes: bytes.slice_ref(entry) });
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_settled_is_read_back_and_any_flip_is_seen() {
        let (ledger, stamp) = (LedgerId(7), Stamp { store: 42, epoch: 3 });
        let stored =
            |n: u64| Stored { wall_ms: n, messages: 2, bytes: Bytes::from(vec![n as u8; n as usize * 9]) };
        let tail = Tail { first: 10, entries: (10..30).map(stored).collect() };
        let (bytes, next) = piece(ledger, stamp, 8192, &tail, 12, 20).unwrap();
        assert_eq!((next, bytes.len()), (20, 4096));
        let place = Piece { first: 12, at: 8192, length: 4096 };
        assert_eq!(entries(&bytes, ledger, 42, &place).unwrap(), (12..20).map(stored).collect::<Vec<_>>());
        for other in
            [Piece { first: 11, ..place }, Piece { at: 4096, ..place }, Piece { length: 8192, ..place }]
        {
            assert_eq!(entries(&bytes, ledger, 42, &other), None);
        }
        assert_eq!(entries(&bytes, LedgerId(8), 42, &place), None, "another ledger's");
        for bit in (0..bytes.len() * 8).step_by(7) {
            let mut rotten = bytes.to_vec();
            rotten[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(entries(&Bytes::from(rotten), ledger, 42, &place), None, "bit {bit}");
        }
        assert_eq!(piece(ledger, stamp, 0, &tail, 9, 20), None, "no longer in memory");
    }

    #[test]
    fn a_piece_ends_before_it_grows_too_large() {
        let big = Stored { wall_ms: 0, messages: 1, bytes: Bytes::from(vec![1; PIECE_BYTES + 1]) };
        let tail = Tail { first: 0, entries: [big.clone(), big].into() };
        let (bytes, next) = piece(LedgerId(1), Stamp { store: 1, epoch: 1 }, 0, &tail, 0, 2).unwrap();
        assert_eq!((next, bytes.len()), (1, frame::padded(record::padded(PIECE_BYTES + 1))));
    }
}
