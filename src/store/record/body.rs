//! Bodies of records, by kind: `docs/log-format.md`, "Record".

use super::{Acks, CursorSet, Dedup, ENTRY, Head, Piece, Record, Settled, TopicPut};
use crate::base::id::{EntryId, LedgerId, Position};
use crate::store::codec::Reader;
use crate::store::{CursorId, TopicId};
use bytes::{BufMut, BytesMut};

/// Bytes of a piece in a record.
const PIECE: usize = 40;

/// Bytes of the body.
pub(super) fn length(record: &Record<'_>) -> usize {
    let acks = |acks: &Acks| {
        let partial: usize = acks.partial.iter().map(|(_, words)| 20 + words.len() * 8).sum();
        16 + 4 + acks.ranges.len() * 24 + 4 + partial
    };
    match record {
        Record::Entry { bytes, .. } => bytes.len(),
        Record::TopicPut(_, put) => 4 + put.name.len() + put.properties.len(),
        Record::CursorSet(_, _, set) => 4 + set.name.len() + acks(&set.acks) + set.properties.len(),
        Record::CursorUpdate(_, _, update) => acks(update),
        Record::Settled(_, settled) => 24 + settled.pieces.len() * PIECE,
        Record::Checkpoint(_) => 28,
        Record::Dedup(_, dedup) => {
            17 + 4 + dedup.names.iter().map(|(name, _)| 12 + name.len()).sum::<usize>()
        }
        _ => 0,
    }
}

/// Appends the body; returns what the header says: kind, key, sub and messages.
pub(super) fn encode(record: &Record<'_>, out: &mut BytesMut) -> (u8, u64, u64, u32) {
    match record {
        Record::Entry { position, messages, bytes } => {
            out.put_slice(bytes);
            (ENTRY, position.ledger.0, position.entry.0, *messages)
        }
        Record::LedgerOpen(ledger, topic) => (2, ledger.0, topic.0, 0),
        Record::LedgerClose(ledger, entries) => (3, ledger.0, *entries, 0),
        Record::LedgerDelete(ledger) => (4, ledger.0, 0, 0),
        Record::TopicPut(topic, put) => {
            put_name(put.name, out);
            out.put_slice(put.properties);
            (5, topic.0, 0, 0)
        }
        Record::TopicDelete(topic) => (6, topic.0, 0, 0),
        Record::CursorSet(topic, cursor, set) => {
            put_name(set.name, out);
            put_acks(&set.acks, out);
            out.put_slice(set.properties);
            (7, topic.0, cursor.0, 0)
        }
        Record::CursorUpdate(topic, cursor, acks) => {
            put_acks(acks, out);
            (8, topic.0, cursor.0, 0)
        }
        Record::CursorDelete(topic, cursor) => (9, topic.0, cursor.0, 0),
        Record::Settled(ledger, settled) => {
            put_settled(settled, out);
            (10, ledger.0, settled.entries, 0)
        }
        Record::Checkpoint(head) => {
            out.put_u64_le(head.replay);
            out.put_u32_le(head.previous);
            out.put_u64_le(head.topic_high.0);
            out.put_u64_le(head.ledger_high.0);
            (11, head.generation, head.epoch, 0)
        }
        Record::TopicEpoch(topic, epoch) => (12, topic.0, *epoch, 0),
        Record::TopicTerminate(topic) => (13, topic.0, 0, 0),
        Record::Dedup(topic, dedup) => {
            put_dedup(dedup, out);
            (14, topic.0, 0, 0)
        }
        Record::DedupDelete(topic) => (15, topic.0, 0, 0),
        Record::TopicMessages(topic, messages) => (16, topic.0, *messages, 0),
        Record::End(records) => (17, *records, 0, 0),
    }
}

fn put_count(count: usize, out: &mut BytesMut) {
    out.put_u32_le(u32::try_from(count).expect("the journal bounds a record"));
}

fn put_name(name: &[u8], out: &mut BytesMut) {
    put_count(name.len(), out);
    out.put_slice(name);
}

fn put_position(position: Position, out: &mut BytesMut) {
    out.put_u64_le(position.ledger.0);
    out.put_u64_le(position.entry.0);
}

fn put_acks(acks: &Acks, out: &mut BytesMut) {
    put_position(acks.below, out);
    put_count(acks.ranges.len(), out);
    for (first, end) in &acks.ranges {
        put_position(*first, out);
        out.put_u64_le(end.0);
    }
    put_count(acks.partial.len(), out);
    for (position, words) in &acks.partial {
        put_position(*position, out);
        put_count(words.len(), out);
        words.iter().for_each(|word| out.put_u64_le(*word));
    }
}

fn put_settled(settled: &Settled, out: &mut BytesMut) {
    for word in [settled.messages, settled.bytes, settled.first_message] {
        out.put_u64_le(word);
    }
    for piece in &settled.pieces {
        for word in [piece.first, piece.at, piece.length, piece.wall_ms, piece.messages] {
            out.put_u64_le(word);
        }
    }
}

fn put_dedup(dedup: &Dedup<'_>, out: &mut BytesMut) {
    out.put_u8(u8::from(dedup.whole));
    put_position(dedup.below, out);
    put_count(dedup.names.len(), out);
    for (name, sequence) in &dedup.names {
        out.put_u64_le(*sequence);
        put_name(name, out);
    }
}

/// The record that header and body say; `None` if the body is not what its kind wants.
pub(super) fn decode(kind: u8, key: u64, sub: u64, messages: u32, bytes: &[u8]) -> Option<Record<'_>> {
    let (ledger, topic, cursor) = (LedgerId(key), TopicId(key), CursorId(sub));
    let mut body = Reader(bytes);
    let record = match kind {
        ENTRY => {
            return Some(Record::Entry {
                position: Position { ledger, entry: EntryId(sub) },
                messages,
                bytes,
            });
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
        10 => Record::Settled(ledger, settled(sub, &mut body)?),
        11 => {
            let (replay, previous) = (body.u64()?, body.u32()?);
            let (topic_high, ledger_high) = (TopicId(body.u64()?), LedgerId(body.u64()?));
            let (generation, epoch) = (key, sub);
            Record::Checkpoint(Head { generation, epoch, replay, previous, topic_high, ledger_high })
        }
        12 => Record::TopicEpoch(topic, sub),
        13 => Record::TopicTerminate(topic),
        14 => Record::Dedup(topic, dedup(&mut body)?),
        15 => Record::DedupDelete(topic),
        16 => Record::TopicMessages(topic, sub),
        17 => Record::End(key),
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

fn settled(entries: u64, body: &mut Reader<'_>) -> Option<Settled> {
    let (messages, bytes, first_message) = (body.u64()?, body.u64()?, body.u64()?);
    let mut pieces = Vec::with_capacity(body.0.len() / PIECE);
    while !body.0.is_empty() {
        let (first, at, length) = (body.u64()?, body.u64()?, body.u64()?);
        pieces.push(Piece { first, at, length, wall_ms: body.u64()?, messages: body.u64()? });
    }
    Some(Settled { entries, messages, bytes, first_message, pieces })
}

fn dedup<'a>(body: &mut Reader<'a>) -> Option<Dedup<'a>> {
    let whole = match body.u8()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let below = position(body)?;
    let mut names = Vec::new();
    for _ in 0..body.count(12)? {
        let sequence = body.u64()?;
        names.push((name(body)?, sequence));
    }
    Some(Dedup { whole, below, names })
}
