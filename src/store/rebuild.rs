//! Puts a store together again that recovery cannot: from its segments, from all that can be read of its journal, and from what is
//! whole in damaged checkpoints (broker 5.8). Cursors begin at the earliest entry: messages come again, none is left out.
//!
//! A pure function, like recovery: the segments' bytes go in one by one, new checkpoints and a new journal slot come out.

mod facts;
mod segments;

use super::checkpoint::FRAME_BYTES;
use super::disk::BLOCK;
use super::frame::{self, Builder, Header, Home, Stamp};
use super::record::{self, Acks, CursorSet, Head, Record, Settled, TopicPut};
use super::recover::Contents;
use super::segment::Stored;
use super::{CursorId, TopicId};
use crate::base::id::{EntryId, LedgerId, Position};
use bytes::{Bytes, BytesMut};
use facts::{Facts, LedgerFacts};
use std::collections::{BTreeMap, BTreeSet};

/// Two checkpoints, as a running store keeps: one may rot.
const COPIES: u64 = 2;

/// What a rebuilt store holds, and what it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Topics.
    pub topics: u64,
    /// Subscriptions, all at their earliest entry.
    pub subscriptions: u64,
    /// Ledgers.
    pub ledgers: u64,
    /// Entries; some of them may lie in pieces that cannot be read.
    pub entries: u64,
    /// Pieces of segments that do not check out.
    pub damaged: u64,
    /// Entries behind a gap of their ledger: they cannot be kept.
    pub behind_gaps: u64,
    /// Segments of which nothing says whose they are, or that were deleted.
    pub unused: BTreeSet<LedgerId>,
}

/// The files of a rebuilt store, beside its segments.
#[derive(Clone, Debug)]
pub struct Rebuilt {
    /// Checkpoints by generation.
    pub checkpoints: Vec<(u64, Bytes)>,
    /// The one journal slot: zeroes but for its last block.
    pub slot_bytes: u64,
    /// That block: a frame that says where the journal goes on.
    pub last_block: Bytes,
    /// What is in them.
    pub report: Report,
}

impl Rebuilt {
    /// The store as it will be, with the segments of the old one.
    pub fn contents(&self, old: &Contents) -> Contents {
        let mut slot = vec![0; usize::try_from(self.slot_bytes).unwrap_or_default()];
        let at = slot.len().saturating_sub(self.last_block.len());
        slot[at..].copy_from_slice(&self.last_block);
        let kept = old.segments.iter().filter(|(id, _)| !self.report.unused.contains(id));
        Contents {
            checkpoints: self.checkpoints.iter().cloned().collect(),
            journal: [(0, Bytes::from(slot))].into(),
            segments: kept.map(|(id, length)| (*id, *length)).collect(),
        }
    }
}

/// A store that is being put together.
#[derive(Debug)]
pub struct Rebuild {
    store: u64,
    facts: Facts,
    /// Highest epoch and generation seen, and the end of the journal.
    epoch: u64,
    generation: u64,
    slot_bytes: u64,
    files: u64,
    damaged: u64,
    segments: BTreeSet<LedgerId>,
}

impl Rebuild {
    /// Begins with the checkpoints and the journal. `slot_bytes`: of a journal slot, if there is none to tell.
    pub fn new(contents: &Contents, store: u64, slot_bytes: u64) -> Rebuild {
        let longest = contents.journal.values().map(|bytes| bytes.len() as u64).max();
        let mut rebuild = Rebuild {
            store,
            facts: Facts::default(),
            epoch: 0,
            generation: contents.checkpoints.keys().next_back().copied().unwrap_or(0),
            slot_bytes: longest.filter(|bytes| *bytes > 0).unwrap_or(slot_bytes),
            files: 0,
            damaged: 0,
            segments: contents.segments.keys().copied().collect(),
        };
        for (generation, bytes) in &contents.checkpoints {
            let found = frames(bytes, Home::Checkpoint(*generation), store);
            rebuild.epoch = found.fold(rebuild.epoch, |epoch, (_, header)| epoch.max(header.stamp.epoch));
            rebuild.salvage(bytes);
        }
        rebuild.journal(contents);
        rebuild
    }

    /// Each slot serves as one file, the latest: what lies in it of earlier lives, behind the last frame, is older than anything
    /// that is known of its end.
    fn journal(&mut self, contents: &Contents) {
        let mut files: BTreeMap<u64, (u64, Vec<Framed<'_>>)> = BTreeMap::new();
        for bytes in contents.journal.values() {
            let file = |header: &Header| header.position / self.slot_bytes;
            let found: Vec<_> = frames(bytes, Home::Journal, self.store).collect();
            let latest = found.iter().map(|(_, header)| (header.stamp.epoch, file(header))).max();
            let Some((epoch, number)) = latest else { continue };
            // Two slots of one file: the journal was once cut by a person, and written anew.
            if files.get(&number).is_none_or(|(other, _)| *other < epoch) {
                let of_it = found.into_iter().filter(|(_, header)| file(header) == number);
                files.insert(number, (epoch, of_it.collect()));
            }
        }
        let mut epoch = 0;
        for (number, (_, found)) in files {
            self.files = number + 1;
            for (bytes, header) in found {
                // Cut off: of a run that was not gone on with.
                if header.stamp.epoch >= epoch {
                    epoch = header.stamp.epoch;
                    self.take(bytes, &header);
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8], header: &Header) {
        self.epoch = self.epoch.max(header.stamp.epoch);
        match frame::records(bytes, header) {
            Some(records) => records.iter().for_each(|(wall_ms, record)| self.facts.take(*wall_ms, record)),
            None => self.salvage(bytes.get(..header.length()).unwrap_or(bytes)),
        }
    }

    /// What is whole of damaged frames, record by record: each has a checksum of its own. Only of what adds something: bytes of a
    /// client that look like a record must not delete anything.
    fn salvage(&mut self, bytes: &[u8]) {
        // Payloads may hold what looks like records: a bound on the bytes that are summed for nothing.
        let (mut at, mut budget) = (0, 4 * bytes.len());
        while let Some(rest) = bytes.get(at..)
            && let Some((.., length)) = record::peek(rest)
        {
            at += 8;
            if length > budget {
                continue;
            }
            if let Some(((wall_ms, record), _, whole)) = record::decode(rest) {
                at += whole - 8;
                if !record.gives_up() {
                    self.facts.take(wall_ms, &record);
                }
            } else if length < rest.len() {
                budget -= length;
            }
        }
    }

    /// Adds a segment: all there is in its file.
    pub fn segment(&mut self, ledger: LedgerId, bytes: &[u8]) {
        let found = segments::read(bytes, ledger, self.store);
        self.epoch = self.epoch.max(found.epoch);
        self.damaged += found.damaged;
        self.facts.settle(ledger, found);
    }

    /// Writes it all down.
    pub fn finish(mut self) -> Rebuilt {
        let mut report = Report { damaged: self.damaged, ..Report::default() };
        self.facts.tidy();
        let stamp = Stamp { store: self.store, epoch: self.epoch + 1 };
        let position = (self.files + 1) * self.slot_bytes - BLOCK as u64;
        let (last_block, previous) = Builder::default().finish(Home::Journal, stamp, position, 0);
        let mut checkpoints = Vec::new();
        for generation in self.generation + 1..=self.generation + COPIES {
            let replay = position + BLOCK as u64;
            let (topic_high, ledger_high) = (self.facts.topic_high, self.facts.ledger_high);
            let head = Head { generation, epoch: stamp.epoch, replay, previous, topic_high, ledger_high };
            let mut writer = Writer::new(generation, stamp);
            writer.push(0, &Record::Checkpoint(head));
            report = self.write(&mut writer, Report { damaged: self.damaged, ..Report::default() });
            checkpoints.push((generation, writer.finish()));
        }
        report.unused = self.segments.iter().filter(|id| !self.facts.is_owned(**id)).copied().collect();
        Rebuilt { checkpoints, slot_bytes: self.slot_bytes, last_block, report }
    }

    fn write(&self, writer: &mut Writer, mut report: Report) -> Report {
        for (id, topic) in &self.facts.topics {
            report.topics += 1;
            writer.push(
                0,
                &Record::TopicPut(*id, TopicPut { name: &topic.name, properties: &topic.properties }),
            );
            if let Some(epoch) = topic.epoch {
                writer.push(0, &Record::TopicEpoch(*id, epoch));
            }
            if topic.terminated {
                writer.push(0, &Record::TopicTerminate(*id));
            }
            let mut messages = 0;
            for (ledger, facts) in self.facts.ledgers.iter().filter(|(_, facts)| facts.topic == Some(*id)) {
                messages = self.write_ledger(writer, *ledger, facts, messages, &mut report);
            }
            for (cursor, (name, properties)) in &topic.cursors {
                report.subscriptions += 1;
                put_cursor(writer, *id, *cursor, name, properties);
            }
            writer.push(0, &Record::TopicMessages(*id, messages.max(topic.messages)));
        }
        report
    }

    /// Returns the messages of the topic up to the ledger's end.
    fn write_ledger(
        &self,
        writer: &mut Writer,
        ledger: LedgerId,
        facts: &LedgerFacts,
        before: u64,
        report: &mut Report,
    ) -> u64 {
        let first_message = facts.first_message.unwrap_or(before).max(before);
        let amount = facts.found.amount;
        let settled = Settled {
            entries: amount.entries,
            messages: amount.messages,
            bytes: amount.bytes,
            first_message,
            pieces: facts.found.pieces.clone(),
        };
        let topic = facts.topic.unwrap_or_default();
        writer.push(facts.opened_ms, &Record::LedgerOpen(ledger, topic));
        let mut last_ms = facts.last_ms;
        writer.push(last_ms, &Record::Settled(ledger, settled));
        let (mut next, mut messages) = (amount.entries, amount.messages);
        while let Some(Stored { wall_ms, messages: count, bytes }) = facts.tail.get(&next) {
            let position = Position { ledger, entry: EntryId(next) };
            writer.push(*wall_ms, &Record::Entry { position, messages: *count, bytes });
            last_ms = last_ms.max(*wall_ms);
            (next, messages) = (next + 1, messages + u64::from(*count));
        }
        writer.push(last_ms, &Record::LedgerClose(ledger, next));
        report.ledgers += 1;
        report.entries += next;
        report.behind_gaps += facts.tail.range(next..).count() as u64;
        first_message + messages
    }
}

fn put_cursor(writer: &mut Writer, topic: TopicId, cursor: CursorId, name: &[u8], properties: &[u8]) {
    let below = Position { ledger: LedgerId(0), entry: EntryId(0) };
    let acks = Acks { below, ranges: Vec::new(), partial: Vec::new() };
    writer.push(0, &Record::CursorSet(topic, cursor, CursorSet { name, acks, properties }));
}

/// A frame's header, and the bytes from its beginning on.
type Framed<'a> = (&'a [u8], Header);

/// All frames of a file whose header checks out and says that it is where it should be.
fn frames(bytes: &[u8], home: Home, store: u64) -> impl Iterator<Item = Framed<'_>> {
    let length = bytes.len() as u64;
    let blocks = (0..bytes.len() / BLOCK).map(|block| (block * BLOCK) as u64);
    blocks.filter_map(move |at| {
        let rest = bytes.get(usize::try_from(at).ok()?..)?;
        let header = frame::header(rest, home, store)?;
        let expected = if home == Home::Journal { header.position % length } else { header.position };
        (expected == at).then_some((rest, header))
    })
}

/// A checkpoint that is being written.
struct Writer {
    generation: u64,
    stamp: Stamp,
    bytes: BytesMut,
    builder: Builder,
    previous: u32,
    records: u64,
}

impl Writer {
    fn new(generation: u64, stamp: Stamp) -> Writer {
        let (bytes, builder) = (BytesMut::new(), Builder::default());
        Writer { generation, stamp, bytes, builder, previous: 0, records: 0 }
    }

    fn push(&mut self, wall_ms: u64, record: &Record<'_>) {
        self.builder.push(wall_ms, record);
        self.records += 1;
        if self.builder.body() >= FRAME_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let builder = std::mem::take(&mut self.builder);
        let (home, at) = (Home::Checkpoint(self.generation), self.bytes.len() as u64);
        let (bytes, checksum) = builder.finish(home, self.stamp, at, self.previous);
        self.bytes.extend_from_slice(&bytes);
        self.previous = checksum;
    }

    fn finish(mut self) -> Bytes {
        self.push(0, &Record::End(self.records));
        if !self.builder.is_empty() {
            self.flush();
        }
        self.bytes.freeze()
    }
}
