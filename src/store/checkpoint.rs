//! Checkpoints: the state written down frame by frame, and read back. Layout: `docs/log-format.md`.

use super::frame::{self, Builder, Home, Stamp};
use super::index::Index;
use super::memory::{Memory, Tail};
use super::record::{CursorSet, Dedup, Head, Record, Settled, TopicPut};
use super::segment::Stored;
use super::state::{Ledger, State, Topic, Topics};
use super::{CursorId, TopicId};
use crate::base::id::{EntryId, LedgerId, Position};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of records after which a frame of a checkpoint ends: what a core encodes at once, far less than a millisecond.
pub const FRAME_BYTES: usize = 256 * 1024;

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Next {
    Topic(TopicId),
    Ledger(TopicId, usize),
    Cursor(TopicId, CursorId),
}

/// A state that is being written down while the log goes on.
#[derive(Debug)]
pub struct Snapshot {
    topics: Topics,
    head: Head,
    /// Ledgers that were settled since the copy was taken.
    settled: BTreeMap<LedgerId, Arc<Index>>,
    next: Next,
    records: u64,
}

impl Snapshot {
    /// A copy of the state, to be written down as this generation.
    pub fn new(state: &State, generation: u64, stamp: Stamp) -> Self {
        let (topic_high, ledger_high) = (state.topic_high, state.ledger_high);
        let (replay, previous) = (0, 0);
        let head = Head { generation, epoch: stamp.epoch, replay, previous, topic_high, ledger_high };
        let (settled, next) = (BTreeMap::new(), Next::Topic(TopicId(0)));
        Snapshot { topics: state.topics.clone(), head, settled, next, records: 0 }
    }

    /// The state is what the journal below this position adds up to.
    pub fn set_replay(&mut self, replay: u64, previous: u32) {
        (self.head.replay, self.head.previous) = (replay, previous);
    }

    /// A ledger was settled: this is its index now.
    pub fn on_settled(&mut self, ledger: LedgerId, index: Arc<Index>) {
        self.settled.insert(ledger, index);
    }

    /// A topic as it was when the copy was taken.
    pub fn topic(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topics.get(&id)
    }

    /// Fills a frame; true: it is the last one. Entries that are in no segment are in `memory`, and stay there. What was
    /// written down is let go at once: all of it at the end would stop the core for milliseconds.
    pub fn fill(&mut self, memory: &mut Memory, out: &mut Builder) -> bool {
        if self.records == 0 {
            out.push(0, &Record::Checkpoint(self.head));
        }
        let mut is_last = false;
        while out.body() < FRAME_BYTES && !is_last {
            self.next = match self.next {
                Next::Topic(from) => match self.topics.range(from..).next() {
                    Some((id, topic)) => {
                        put_topic(*id, topic, out);
                        Next::Ledger(*id, 0)
                    }
                    None => {
                        out.push(0, &Record::End(self.records + u64::from(out.count())));
                        is_last = true;
                        self.next
                    }
                },
                Next::Ledger(id, at) => match self.topics[&id].ledgers.get(at) {
                    Some(ledger) => {
                        let settled = self.settled.remove(&ledger.id);
                        let index = settled.as_ref().unwrap_or(&ledger.index);
                        if index.settled() < ledger.entries {
                            memory.detach(ledger.id);
                        }
                        put_ledger(id, ledger, index, memory, out);
                        Next::Ledger(id, at + 1)
                    }
                    None => Next::Cursor(id, CursorId(0)),
                },
                Next::Cursor(id, from) => match self.topics[&id].cursors.range(from..).next() {
                    Some((cursor, found)) => {
                        let (name, acks) = (&found.name[..], found.consumed.acks());
                        let set = CursorSet { name, acks, properties: &found.properties };
                        out.push(0, &Record::CursorSet(id, *cursor, set));
                        Next::Cursor(id, CursorId(cursor.0 + 1))
                    }
                    None => {
                        let messages = self.topics.remove(&id).map_or(0, |topic| topic.messages);
                        out.push(0, &Record::TopicMessages(id, messages));
                        Next::Topic(TopicId(id.0 + 1))
                    }
                },
            };
        }
        self.records += u64::from(out.count());
        is_last
    }
}

fn put_topic(id: TopicId, topic: &Topic, out: &mut Builder) {
    let (name, properties) = (&topic.name[..], &topic.properties[..]);
    out.push(0, &Record::TopicPut(id, TopicPut { name, properties }));
    if let Some(epoch) = topic.epoch {
        out.push(0, &Record::TopicEpoch(id, epoch));
    }
    if topic.terminated {
        out.push(0, &Record::TopicTerminate(id));
    }
    if let Some(dedup) = &topic.dedup {
        let names = dedup.names.iter().map(|(name, sequence)| (&name[..], *sequence)).collect();
        out.push(0, &Record::Dedup(id, Dedup { whole: true, below: dedup.below, names }));
    }
}

fn put_ledger(topic: TopicId, ledger: &Ledger, index: &Index, memory: &Memory, out: &mut Builder) {
    out.push(ledger.opened_ms, &Record::LedgerOpen(ledger.id, topic));
    let (amount, first_message, pieces) = (index.amount(), ledger.first_message, index.pieces().to_vec());
    let (entries, messages, bytes) = (amount.entries, amount.messages, amount.bytes);
    let settled = Settled { entries, messages, bytes, first_message, pieces };
    out.push(ledger.last_ms, &Record::Settled(ledger.id, settled));
    for entry in entries..ledger.entries {
        let stored = memory.get(ledger.id).and_then(|tail| tail.get(entry));
        let Stored { wall_ms, messages, bytes } = stored.expect("what is not settled stays in memory");
        let position = Position { ledger: ledger.id, entry: EntryId(entry) };
        out.push(*wall_ms, &Record::Entry { position, messages: *messages, bytes });
    }
    if ledger.closed {
        out.push(ledger.last_ms, &Record::LedgerClose(ledger.id, ledger.entries));
    }
}

/// A checkpoint that checks out.
#[derive(Debug)]
pub struct Checkpoint {
    /// What it says about itself.
    pub head: Head,
    /// The state.
    pub state: State,
    /// Entries that it holds itself: they are in no segment.
    pub tails: BTreeMap<LedgerId, Tail>,
}

/// Reads what [`Snapshot::fill`] wrote; `None` unless all of it checks out.
pub fn read(bytes: &[u8], generation: u64, store: u64) -> Option<Checkpoint> {
    let (mut state, mut tails) = (State::default(), BTreeMap::new());
    let (mut head, mut end) = (None, None);
    let (mut at, mut previous, mut count) = (0, 0, 0u64);
    while end.is_none() {
        let rest = bytes.get(at..)?;
        let header = frame::header(rest, Home::Checkpoint(generation), store)?;
        if header.position != at as u64 || header.previous != previous {
            return None;
        }
        for (wall_ms, record) in frame::records(rest, &header)? {
            match record {
                _ if end.is_some() => return None,
                Record::Checkpoint(found) if count == 0 => head = Some(found),
                Record::End(records) => end = Some(records == count),
                _ => {
                    state.apply_checkpointed(wall_ms, &record).ok()?;
                    keep(&state, &mut tails, wall_ms, &record);
                }
            }
            count += 1;
        }
        at += header.length();
        previous = header.checksum;
    }
    let head = head.filter(|_| end == Some(true))?;
    (state.topic_high, state.ledger_high) = (head.topic_high, head.ledger_high);
    Some(Checkpoint { head, state, tails })
}

/// Keeps an entry in memory: it is in no segment. A copy, for a slice would keep the whole file.
pub(super) fn keep(state: &State, tails: &mut BTreeMap<LedgerId, Tail>, wall_ms: u64, record: &Record<'_>) {
    if let Record::Entry { position, messages, bytes } = record
        && let Some(topic) = state.owner(position.ledger)
    {
        let tail = tails.entry(position.ledger).or_insert_with(|| Tail::new(topic, position.entry.0));
        tail.push(Stored { wall_ms, messages: *messages, bytes: Bytes::copy_from_slice(bytes) });
    }
}
