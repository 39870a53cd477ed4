//! Where a ledger's settled entries are in its segment: one piece per frame, in order, without gaps.

use super::disk::BLOCK;
use super::record::Piece;

/// The pieces of one ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    settled: u64,
    pieces: Vec<Piece>,
}

impl Index {
    /// `settled` entries in these pieces; `None` if they do not follow each other from entry 0 and offset 0.
    pub fn new(settled: u64, pieces: Vec<Piece>) -> Option<Self> {
        let mut index = Index::default();
        for (number, piece) in pieces.iter().enumerate() {
            let next = pieces.get(number + 1).map_or(settled, |next| next.first);
            let block = BLOCK as u64;
            let whole = piece.length > 0 && piece.length % block == 0 && piece.length <= u64::from(u32::MAX);
            if piece.first != index.settled || piece.at != index.end() || next <= piece.first || !whole {
                return None;
            }
            index.push(next, *piece);
        }
        (index.settled == settled).then_some(index)
    }

    /// The frame at [`Index::end`] is settled and holds the entries up to `settled`, exclusive.
    pub fn push(&mut self, settled: u64, piece: Piece) {
        self.pieces.push(piece);
        self.settled = settled;
    }

    /// Entries settled, from 0.
    pub fn settled(&self) -> u64 {
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

    /// The piece that holds `entry`.
    pub fn find(&self, entry: u64) -> Option<Piece> {
        let after = self.pieces.partition_point(|piece| piece.first <= entry);
        if entry >= self.settled { None } else { self.pieces.get(after.checked_sub(1)?).copied() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_in_its_piece() {
        let piece = |first, at, length| Piece { first, at, length };
        let pieces = vec![piece(0, 0, 4096), piece(7, 4096, 8192), piece(8, 12288, 4096)];
        let index = Index::new(10, pieces.clone()).unwrap();
        let first = |entry| index.find(entry).map(|piece| piece.first);
        assert_eq!([0, 6, 7, 8, 9].map(first), [Some(0), Some(0), Some(7), Some(8), Some(8)]);
        assert_eq!((first(10), index.end(), index.settled()), (None, 16384, 10));
        assert_eq!(Index::new(8, pieces.clone()), None, "an empty piece");
        assert_eq!(Index::new(10, pieces[1..].to_vec()), None, "does not start at 0");
        assert_eq!(Index::new(10, vec![piece(0, 0, 4095)]), None, "no whole block");
        assert_eq!(Index::new(1, vec![]), None, "settled nowhere");
    }
}
