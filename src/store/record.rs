//! Records: what a frame holds. Layout: `docs/log-format.md`. Decoding borrows; nothing is reserved before it was checked.

mod body;

use super::codec::Reader;
use super::{CursorId, TopicId};
use crate::base::id::{EntryId, LedgerId, Position};
use bytes::{BufMut, BytesMut};

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
    /// A topic is made, or its name or properties change. What else belongs to it stays.
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
    Settled(LedgerId, Settled),
    /// Head of a checkpoint.
    Checkpoint(Head),
    /// The topic's producer epoch.
    TopicEpoch(TopicId, u64),
    /// Nothing is added to the topic from now on.
    TopicTerminate(TopicId),
    /// What deduplication knows.
    Dedup(TopicId, Dedup<'a>),
    /// Deduplication was turned off: what it knew is forgotten.
    DedupDelete(TopicId),
    /// In a checkpoint: so many messages were ever appended to the topic. The last record of the topic.
    TopicMessages(TopicId, u64),
    /// Last record of a checkpoint: so many records are before it.
    End(u64),
}

impl Record<'_> {
    /// Something is given up with it.
    pub fn gives_up(&self) -> bool {
        matches!(
            self,
            Record::LedgerDelete(_)
                | Record::TopicDelete(_)
                | Record::CursorDelete(..)
                | Record::DedupDelete(_)
        )
    }
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

/// Highest sequence ids by producer name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedup<'a> {
    /// These names are all there are. Otherwise they are added to those known.
    pub whole: bool,
    /// All entries below are counted in.
    pub below: Position,
    /// Producer names and their highest sequence ids.
    pub names: Vec<(&'a [u8], u64)>,
}

/// How far a ledger is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Entries settled, from 0.
    pub entries: u64,
    /// Messages in them.
    pub messages: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Messages that were appended to the topic before the ledger's first.
    pub first_message: u64,
    /// Where they are.
    pub pieces: Vec<Piece>,
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
    /// When its first entry was appended, ms since 1970.
    pub wall_ms: u64,
    /// Messages of the ledger before its first entry.
    pub messages: u64,
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
    /// Highest topic ever made.
    pub topic_high: TopicId,
    /// Highest ledger ever opened.
    pub ledger_high: LedgerId,
}

/// Appends a record to `out` and returns its checksum.
pub fn encode(record: &Record<'_>, wall_ms: u64, out: &mut BytesMut) -> u32 {
    let start = out.len();
    out.put_bytes(0, HEADER);
    let (kind, key, sub, messages) = body::encode(record, out);
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
    out.put_bytes(0, padded(body as usize) - HEADER - body as usize);
    checksum
}

/// Bytes a record with a body of `body` bytes takes.
pub fn padded(body: usize) -> usize {
    (HEADER + body).next_multiple_of(8)
}

/// Bytes a record takes, before it is encoded: bounds are checked first.
pub fn encoded_len(record: &Record<'_>) -> usize {
    padded(body::length(record))
}

/// Kind of an entry.
pub const ENTRY: u8 = 1;

/// What the header at the start of `bytes` says, unchecked: kind, key, sub, and the bytes of its body.
pub fn peek(bytes: &[u8]) -> Option<(u8, u64, u64, usize)> {
    let mut reader = Reader(bytes.get(..HEADER)?);
    let (length, kind) = (reader.u32()? as usize, reader.u8()?);
    reader.take(3)?;
    Some((kind, reader.u64()?, reader.u64()?, length))
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
    let record = body::decode(kind, key, sub, messages, body)?;
    Some(((wall_ms, record), checksum, whole))
}
