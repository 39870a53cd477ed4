//! Records: what a frame holds. Layout: `docs/log-format.md`. Decoding borrows; nothing is reserved before it was checked.

use super::codec::Reader;
use super::{CursorId, TopicId};
use crate::base::id::{EntryId, LedgerId, Position};

/// Bytes of a record's header.
pub const HEADER: usize = 40;

/// One fact of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// An entry, as its producer sent it.
    Entry {
        /// Where it is.
        position: Position,
        /// Messages in it.
        messages: u32,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// A ledger begins.
    LedgerOpen(LedgerId, TopicId),
    /// A ledger ends with so many entries.
    LedgerClose(LedgerId, u64),
    /// A ledger's entries are given up.
    LedgerDelete(LedgerId),
    /// A topic is made, or its properties change.
    TopicPut(TopicId, TopicPut<'a>),
    /// A topic is given up with its ledgers and cursors.
    TopicDelete(TopicId),
    /// A cursor is made, or set as a whole (seek).
    CursorSet(TopicId, CursorId, CursorSet<'a>),
    /// Acknowledgements are added to a cursor.
    CursorUpdate(TopicId, CursorId, Acks),
    /// A cursor is given up.
    CursorDelete(TopicId, CursorId),
    /// In a checkpoint: how far a ledger is settled, and where its pieces are.
    Settled(LedgerId, u64, Vec<Piece>),
    /// Head of a checkpoint.
    Checkpoint(Head),
}

/// A topic's name and what else its owner keeps with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicPut<'a> {
    /// Its full name.
    pub name: &'a [u8],
    /// The owner's, opaque here.
    pub properties: &'a [u8],
}

/// A cursor's whole state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorSet<'a> {
    /// Name of the subscription.
    pub name: &'a [u8],
    /// What is consumed.
    pub acks: Acks,
    /// The owner's, opaque here.
    pub properties: &'a [u8],
}

/// What is consumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acks {
    /// Everything below this is consumed: the place of the first entry that may not be. Any place may stand here, also one
    /// behind a ledger's last entry, or `0:0` for a cursor that has consumed nothing.
    pub below: Position,
    /// Consumed beyond it: first entry, and the one behind the last, in the same ledger.
    pub ranges: Vec<(Position, EntryId)>,
    /// Batches consumed in part: a 1 bit is a message still unacked. No words: forget the entry.
    pub partial: Vec<(Position, Vec<u64>)>,
}

/// A run of settled entries of one ledger: one frame of its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its first entry.
    pub first: u64,
    /// Offset of its frame in the segment.
    pub at: u64,
    /// Bytes of its frame.
    pub length: u64,
}

/// What a checkpoint says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub generation: u64,
    /// The run that wrote it.
    pub epoch: u64,
    /// Everything below this journal position is in the checkpoint and in the segments it names.
    pub replay: u64,
    /// Header checksum of the journal frame that ends there.
    pub previous: u32,
}

/// Appends a record to `out` and returns its checksum.
pub fn encode(record: &Record<'_>, wall_ms: u64, out: &mut Vec<u8>) -> u32 {
    let start = out.len();
    out.resize(start + HEADER, 0);
    let (kind, key, sub, messages) = encode_body(record, out);
    let body = u32::try_from(out.len() - start - HEADER).expect("the journal bounds a record");
    let head = &mut out[start..start + HEADER];
    head[..4].copy_from_slice(&body.to_le_bytes());
    head[4] = kind;
    head[8..16].copy_from_slice(&key.to_le_bytes());
    head[16..24].copy_from_slice(&sub.to_le_bytes());
    head[24..32].copy_from_slice(&wall_ms.to_le_bytes());
    head[32..36].copy_from_slice(&messages.to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&out[start..start + 36]), &out[start + HEADER..]);
    out[start + 36..start + HEADER].copy_from_slice(&checksum.to_le_bytes());
    out.resize(out.len().next_multiple_of(8), 0);
    checksum
}

/// Bytes a record with a body of `body` bytes takes.
pub fn padded(body: usize) -> usize {
    (HEADER + body).next_multiple_of(8)
}

/// Bytes a record takes, before it is encoded: bounds are checked first.
pub fn encoded_len(record: &Record<'_>) -> usize {
    let acks = |acks: &Acks| {
        let partial: usize = acks.partial.iter().map(|(_, words)| 20 + words.len() * 8).sum();
        16 + 4 + acks.ranges.len() * 24 + 4 + partial
    };
    padded(match record {
        Record::Entry { bytes, .. } => bytes.len(),
        Record::TopicPut(_, put) => 4 + put.name.len() + put.properties.len(),
        Record::CursorSet(_, _, set) => 4 + set.name.len() + acks(&set.acks) + set.properties.len(),
        Record::CursorUpdate(_, _, update) => acks(update),
        Record::Settled(_, _, pieces) => pieces.len() * 24,
        Record::Checkpoint(_) => 12,
        _ => 0,
    })
}

fn encode_body(record: &Record<'_>, out: &mut Vec<u8>) -> (u8, u64, u64, u32) {
    match record {
        Record::Entry { position, messages, bytes } => {
            out.extend_from_slice(bytes);
            (1, position.ledger.0, position.entry.0, *messages)
        }
        Record::LedgerOpen(ledger, topic) => (2, ledger.0, topic.0, 0),
        Record::LedgerClose(ledger, entries) => (3, ledger.0, *entries, 0),
        Record::LedgerDelete(ledger) => (4, ledger.0, 0, 0),
        Record::TopicPut(topic, put) => {
            put_name(put.name, out);
            out.extend_from_slice(put.properties);
            (5, topic.0, 0, 0)
        }
        Record::TopicDelete(topic) => (6, topic.0, 0, 0),
        Record::CursorSet(topic, cursor, set) => {
            put_name(set.name, out);
            put_acks(&set.acks, out);
            out.extend_from_slice(set.properties);
            (7, topic.0, cursor.0, 0)
        }
        Record::CursorUpdate(topic, cursor, acks) => {
            put_acks(acks, out);
            (8, topic.0, cursor.0, 0)
        }
        Record::CursorDelete(topic, cursor) => (9, topic.0, cursor.0, 0),
        Record::Settled(ledger, entries, pieces) => {
            for word in pieces.iter().flat_map(|piece| [piece.first, piece.at, piece.length]) {
                out.extend_from_slice(&word.to_le_bytes());
            }
            (10, ledger.0, *entries, 0)
        }
        Record::Checkpoint(head) => {
            out.extend_from_slice(&head.replay.to_le_bytes());
            out.extend_from_slice(&head.previous.to_le_bytes());
            (11, head.generation, head.epoch, 0)
        }
    }
}

fn put_count(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(count).expect("the journal bounds a record").to_le_bytes());
}

fn put_name(name: &[u8], out: &mut Vec<u8>) {
    put_count(name.len(), out);
    out.extend_from_slice(name);
}

fn put_position(position: Position, out: &mut Vec<u8>) {
    out.extend_from_slice(&position.ledger.0.to_le_bytes());
    out.extend_from_slice(&position.entry.0.to_le_bytes());
}

fn put_acks(acks: &Acks, out: &mut Vec<u8>) {
    put_position(acks.below, out);
    put_count(acks.ranges.len(), out);
    for (first, end) in &acks.ranges {
        put_position(*first, out);
        out.extend_from_slice(&end.0.to_le_bytes());
    }
    put_count(acks.partial.len(), out);
    for (position, words) in &acks.partial {
        put_position(*position, out);
        put_count(words.len(), out);
        for word in words {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }
}

/// The record at the start of `bytes` with its wall clock, its checksum, and the bytes it takes; `None` unless it checks out.
pub fn decode(bytes: &[u8]) -> Option<((u64, Record<'_>), u32, usize)> {
    let mut reader = Reader(bytes);
    let (length, kind) = (reader.u32()? as usize, reader.u8()?);
    if reader.take(3)? != [0; 3] {
        return None;
    }
    let (key, sub, wall_ms) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let (messages, checksum) = (reader.u32()?, reader.u32()?);
    let body = reader.take(length)?;
    let whole = padded(length);
    let zeroes = reader.take(whole - HEADER - length)?;
    let sum = crc32c::crc32c_append(crc32c::crc32c(&bytes[..36]), body);
    if sum != checksum || zeroes.iter().any(|byte| *byte != 0) {
        return None;
    }
    let record = decode_body(kind, key, sub, messages, body)?;
    Some(((wall_ms, record), checksum, whole))
}

fn decode_body(kind: u8, key: u64, sub: u64, messages: u32, bytes: &[u8]) -> Option<Record<'_>> {
    let (ledger, topic, cursor) = (LedgerId(key), TopicId(key), CursorId(sub));
    let mut body = Reader(bytes);
    let record = match kind {
        1 => {
            let position = Position { ledger, entry: EntryId(sub) };
            return Some(Record::Entry { position, messages, bytes });
        }
        2 => Record::LedgerOpen(ledger, TopicId(sub)),
        3 => Record::LedgerClose(ledger, sub),
        4 => Record::LedgerDelete(ledger),
        5 => {
            let name = name(&mut body)?;
            Record::TopicPut(topic, TopicPut { name, properties: body.take(body.0.len())? })
        }
        6 => Record::TopicDelete(topic),
        7 => {
            let (name, acks) = (name(&mut body)?, acks(&mut body)?);
            Record::CursorSet(topic, cursor, CursorSet { name, acks, properties: body.take(body.0.len())? })
        }
        8 => Record::CursorUpdate(topic, cursor, acks(&mut body)?),
        9 => Record::CursorDelete(topic, cursor),
        10 => {
            let mut pieces = Vec::with_capacity(body.0.len() / 24);
            while !body.0.is_empty() {
                pieces.push(Piece { first: body.u64()?, at: body.u64()?, length: body.u64()? });
            }
            Record::Settled(ledger, sub, pieces)
        }
        11 => {
            let (replay, previous) = (body.u64()?, body.u32()?);
            Record::Checkpoint(Head { generation: key, epoch: sub, replay, previous })
        }
        _ => return None,
    };
    body.0.is_empty().then_some(record)
}

fn name<'a>(body: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = body.count(1)?;
    body.take(length)
}

fn position(body: &mut Reader<'_>) -> Option<Position> {
    Some(Position { ledger: LedgerId(body.u64()?), entry: EntryId(body.u64()?) })
}

fn acks(body: &mut Reader<'_>) -> Option<Acks> {
    let below = position(body)?;
    let ranges = (0..body.count(24)?)
        .map(|_| Some((position(body)?, EntryId(body.u64()?))))
        .collect::<Option<Vec<_>>>()?;
    let mut partial = Vec::new();
    for _ in 0..body.count(20)? {
        let at = position(body)?;
        let words = (0..body.count(8)?).map(|_| body.u64()).collect::<Option<Vec<_>>>()?;
        partial.push((at, words));
    }
    Some(Acks { below, ranges, partial })
}
