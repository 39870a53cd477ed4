//! Where a ledger's settled entries are in its segment: one piece per frame, in order, without gaps.

use super::disk::BLOCK;
use super::record::{Piece, Settled};
use crate::base::id::EntryId;

/// So much of a ledger, from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Entries.
    pub entries: u64,
    /// Messages in them.
    pub messages: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// The pieces of one ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    settled: Amount,
    pieces: Vec<Piece>,
}

impl Index {
    /// What a checkpoint says; `None` if the pieces do not follow each other from entry 0 and offset 0.
    pub fn new(settled: &Settled) -> Option<Self> {
        let mut index = Index::default();
        for (number, piece) in settled.pieces.iter().enumerate() {
            let next = settled.pieces.get(number + 1).map_or(settled.entries, |next| next.first);
            let block = BLOCK as u64;
            let whole = piece.length > 0 && piece.length % block == 0 && piece.length <= u64::from(u32::MAX);
            let follows = piece.first == index.settled.entries && piece.at == index.end();
            if !follows || next <= piece.first || !whole {
                return None;
            }
            index.push(Amount { entries: next, ..Amount::default() }, *piece);
        }
        let Settled { entries, messages, bytes, .. } = *settled;
        if index.settled.entries != entries {
            return None;
        }
        index.settled = Amount { entries, messages, bytes };
        Some(index)
    }

    /// The frame at [`Index::end`] is settled; with it this much of the ledger is.
    pub fn push(&mut self, settled: Amount, piece: Piece) {
        self.pieces.push(piece);
        self.settled = settled;
    }

    /// Entries settled, from 0.
    pub fn settled(&self) -> u64 {
        self.settled.entries
    }

    /// All that is settled.
    pub fn amount(&self) -> Amount {
        self.settled
    }

    /// Offset behind the last piece.
    pub fn end(&self) -> u64 {
        self.pieces.last().map_or(0, |piece| piece.at.saturating_add(piece.length))
    }

    /// The pieces.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The entry behind the last one of piece `number`.
    pub fn behind(&self, number: usize) -> EntryId {
        EntryId(self.pieces.get(number + 1).map_or(self.settled.entries, |next| next.first))
    }

    /// Number of the piece that holds `entry`.
    pub fn find(&self, entry: u64) -> Option<usize> {
        let after = self.pieces.partition_point(|piece| piece.first <= entry);
        if entry >= self.settled.entries { None } else { after.checked_sub(1) }
    }

    /// Number of the piece in which the first entry of `wall_ms` or later is, if it is in one that begins earlier:
    /// the last piece that begins before that time. `None`: all pieces begin at or after it.
    pub fn find_time(&self, wall_ms: u64) -> Option<usize> {
        self.pieces.partition_point(|piece| piece.wall_ms < wall_ms).checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_in_its_piece() {
        let piece = |first, at, length| Piece { first, at, length, wall_ms: first * 10, messages: first };
        let pieces = vec![piece(0, 0, 4096), piece(7, 4096, 8192), piece(8, 12288, 4096)];
        let settled = |entries, pieces: &[Piece]| {
            let pieces = pieces.to_vec();
            Index::new(&Settled { entries, messages: entries, bytes: 5, first_message: 0, pieces })
        };
        let index = settled(10, &pieces).unwrap();
        assert_eq!([0, 6, 7, 8, 9].map(|entry| index.find(entry)), [0, 0, 1, 2, 2].map(Some));
        assert_eq!((index.find(10), index.end(), index.settled()), (None, 16384, 10));
        assert_eq!([0, 1, 2].map(|number| index.behind(number).0), [7, 8, 10]);
        assert_eq!(
            [0, 1, 70, 71, 999].map(|ms| index.find_time(ms)),
            [None, Some(0), Some(0), Some(1), Some(2)]
        );
        assert_eq!(settled(8, &pieces), None, "an empty piece");
        assert_eq!(settled(10, &pieces[1..]), None, "does not start at 0");
        assert_eq!(settled(10, &[piece(0, 0, 4095)]), None, "no whole block");
        assert_eq!(settled(1, &[]), None, "settled nowhere");
    }
}
