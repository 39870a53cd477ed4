//! Segments: settled entries of one ledger, in frames of up to [`PIECE_BYTES`], and reading them back.

use super::TopicId;
use super::frame::{self, Builder, Home, Stamp};
use super::index::{Amount, Index};
use super::memory::Tail;
use super::record::{self, Piece, Record, TopicPut};
use super::state::Topic;
use crate::base::id::{EntryId, LedgerId, Position};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;

/// Bytes of records in one frame of a segment, unless one entry is larger: what a read fetches at once.
pub const PIECE_BYTES: usize = 256 * 1024;

/// An entry in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// When it was published, as far as that is believed; ms since 1970.
    pub wall_ms: u64,
    /// Messages in it.
    pub messages: u32,
    /// As its producer sent it.
    pub bytes: Bytes,
}

/// Whose segment it is, and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The ledger.
    pub ledger: LedgerId,
    /// Its topic: a segment begins with who it is, so that it can be put back without any checkpoint.
    pub topic: (TopicId, &'a Topic),
    /// What is settled so far.
    pub index: &'a Index,
}

/// The next frame of a segment: entries below `upto`, as many as fit. `None` if there are none, or they are not in memory.
/// Returns the frame, what is settled with it, and its piece.
pub fn piece(
    place: &Place<'_>,
    stamp: Stamp,
    tail: &Tail,
    upto: u64,
    buffer: BytesMut,
) -> Option<(Bytes, Amount, Piece)> {
    let Place { ledger, topic: (id, topic), index } = *place;
    let (mut builder, mut amount) = (Builder::new(buffer), index.amount());
    let (first, at, messages) = (amount.entries, index.end(), amount.messages);
    let wall_ms = tail.get(first)?.wall_ms;
    if at == 0 {
        let put = TopicPut { name: &topic.name, properties: &topic.properties };
        builder.push(0, &Record::TopicPut(id, put));
        builder.push(wall_ms, &Record::LedgerOpen(ledger, id));
    }
    while amount.entries < upto {
        let stored = tail.get(amount.entries)?;
        let grown = builder.body() + record::padded(stored.bytes.len());
        if amount.entries > first && grown > PIECE_BYTES {
            break;
        }
        let position = Position { ledger, entry: EntryId(amount.entries) };
        let record = Record::Entry { position, messages: stored.messages, bytes: &stored.bytes };
        builder.push(stored.wall_ms, &record);
        amount.entries += 1;
        amount.messages += u64::from(stored.messages);
        amount.bytes += stored.bytes.len() as u64;
    }
    if amount.entries == first {
        return None;
    }
    let (bytes, _) = builder.finish(Home::Segment(ledger.0), stamp, at, 0);
    let piece = Piece { first, at, length: bytes.len() as u64, wall_ms, messages };
    Some((bytes, amount, piece))
}

/// The entries of a piece as it was read, up to entry `behind`; `None` if anything in it does not check out. Slices of `bytes`, not
/// copies.
pub fn entries(
    bytes: &Bytes,
    ledger: LedgerId,
    store: u64,
    piece: &Piece,
    behind: EntryId,
) -> Option<Vec<Stored>> {
    let header = frame::header(bytes, Home::Segment(ledger.0), store)?;
    if header.position != piece.at || header.length() as u64 != piece.length {
        return None;
    }
    let (mut found, mut next) = (Vec::with_capacity(header.count as usize), piece.first);
    for (wall_ms, record) in frame::records(bytes, &header)? {
        match record {
            Record::Entry { position, messages, bytes: entry } => {
                if position.ledger != ledger || position.entry.0 != next {
                    return None;
                }
                found.push(Stored { wall_ms, messages, bytes: bytes.slice_ref(entry) });
                next += 1;
            }
            Record::TopicPut(..) | Record::LedgerOpen(..) if next == piece.first && piece.at == 0 => {}
            _ => return None,
        }
    }
    (next == behind.0).then_some(found)
}

/// What of a damaged piece still checks out, record by record. Looks at every place where a record may begin.
pub fn salvage(bytes: &Bytes, ledger: LedgerId, piece: &Piece, behind: EntryId) -> BTreeMap<u64, Stored> {
    let (mut found, mut at) = (BTreeMap::new(), frame::HEADER);
    // Payloads may hold what looks like records: a bound on the bytes that are summed for nothing.
    let mut budget = 4 * bytes.len();
    while let Some(rest) = bytes.get(at..)
        && let Some((kind, key, entry, length)) = record::peek(rest)
    {
        at += 8;
        let is_ours = key == ledger.0 && (piece.first..behind.0).contains(&entry);
        if kind != record::ENTRY || !is_ours || length > budget {
            continue;
        }
        budget -= length;
        if let Some(((wall_ms, Record::Entry { messages, bytes: body, .. }), _, length)) =
            record::decode(rest)
        {
            found.insert(entry, Stored { wall_ms, messages, bytes: bytes.slice_ref(body) });
            at += length - 8;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const LEDGER: LedgerId = LedgerId(7);
    const STAMP: Stamp = Stamp { store: 42, epoch: 3 };

    fn settle(tail: &Tail, upto: u64) -> (Vec<u8>, Index) {
        let (mut file, mut index) = (Vec::new(), Arc::new(Index::default()));
        let topic = Topic { name: b"t".to_vec(), ..Topic::default() };
        loop {
            let place = Place { ledger: LEDGER, topic: (TopicId(1), &topic), index: &index };
            let Some((bytes, amount, piece)) = piece(&place, STAMP, tail, upto, BytesMut::new()) else {
                return (file, Arc::unwrap_or_clone(index));
            };
            assert_eq!(file.len() as u64, piece.at);
            file.extend_from_slice(&bytes);
            Arc::make_mut(&mut index).push(amount, piece);
        }
    }

    fn tail(lengths: impl IntoIterator<Item = usize>) -> (Tail, Vec<Stored>) {
        let mut tail = Tail::new(TopicId(1), 0);
        for (number, length) in (0u64..).zip(lengths) {
            let bytes = Bytes::from(vec![number as u8; length]);
            tail.push(Stored { wall_ms: number * 5, messages: 2, bytes });
        }
        let all = tail.entries.iter().cloned().collect();
        (tail, all)
    }

    #[test]
    fn what_is_settled_is_read_back_and_any_flip_is_seen() {
        let (tail, all) = tail((0..30).map(|n| n * 9));
        let (file, index) = settle(&tail, 20);
        let [piece] = index.pieces()[..] else { panic!("one piece") };
        assert_eq!(index.amount(), Amount { entries: 20, messages: 40, bytes: 9 * 190 });
        let (bytes, behind) = (Bytes::from(file), EntryId(20));
        assert_eq!(entries(&bytes, LEDGER, 42, &piece, behind).unwrap(), all[..20]);
        let others =
            [Piece { first: 1, ..piece }, Piece { at: 4096, ..piece }, Piece { length: 12288, ..piece }];
        for other in others {
            assert_eq!(entries(&bytes, LEDGER, 42, &other, behind), None);
        }
        assert_eq!(entries(&bytes, LedgerId(8), 42, &piece, behind), None, "another ledger's");
        assert_eq!(entries(&bytes, LEDGER, 42, &piece, EntryId(21)), None, "one is missing");
        for bit in (0..bytes.len() * 8).step_by(7) {
            let mut rotten = bytes.to_vec();
            rotten[bit / 8] ^= 1 << (bit % 8);
            let rotten = Bytes::from(rotten);
            assert_eq!(entries(&rotten, LEDGER, 42, &piece, behind), None, "bit {bit}");
            let saved = salvage(&rotten, LEDGER, &piece, behind);
            assert!(saved.len() >= 19, "bit {bit}: one flip costs one entry at most");
            assert!(saved.iter().all(|(entry, stored)| *stored == all[*entry as usize]), "bit {bit}");
        }
    }

    #[test]
    fn a_piece_ends_before_it_grows_too_large() {
        let (mut long, _) = tail([PIECE_BYTES + 1, PIECE_BYTES + 1, 10, 10]);
        let (file, index) = settle(&long, 4);
        let found: Vec<_> = index.pieces().iter().map(|piece| (piece.first, piece.messages)).collect();
        assert_eq!((found, file.len() as u64), (vec![(0, 0), (1, 2), (2, 4)], index.end()));
        long.entries.pop_front();
        long.first += 1;
        assert_eq!(settle(&long, 4).0.len(), 0, "no longer in memory");
    }
}
