//! Which consumer gets which entry. One dispatcher per subscription: [`single`] has one active consumer (Exclusive, Failover),
//! [`shared`] spreads entries over all (Shared, and Key_Shared with [`key_shared`] choosing by key).

pub(super) mod key_shared;
pub(super) mod ring;
pub(super) mod shared;
pub(super) mod single;

use std::time::Duration;

use bytes::Bytes;

use crate::base::id::Position;
use crate::base::limit::{DISPATCH_BYTES_MAX, DISPATCH_ENTRIES_MAX, READ_AHEAD_ENTRIES_MAX};
use crate::base::time::Clock;
use crate::broker::cursor::Cursor;
use crate::broker::entries::Entries;
use crate::broker::event::{ClientKey, Outbox, Output};
use crate::broker::ledgers::Ledgers;
use crate::broker::meter::Meter;
use crate::broker::settings::Settings;
use crate::wire::pulsar::frame;
use crate::wire::pulsar::metadata::MetadataView;
use crate::wire::pulsar::proto::{CommandMessage, KeyValue, MessageIdData};

/// A connected consumer, as its dispatcher sees it.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) key: ClientKey,
    pub(super) name: String,
    /// 0 is best.
    pub(super) priority: i32,
    /// Messages it may be sent; below zero after a batch that was larger.
    pub(super) permits: i64,
    /// Permits that came while it was blocked.
    pub(super) withheld: i64,
    /// Messages sent and not acknowledged, on shared subscriptions.
    pub(super) unacked: u32,
    /// It has too many of them.
    pub(super) blocked: bool,
    /// Its connection takes more.
    pub(super) writable: bool,
    /// Last epoch it sent (protocol 8.7).
    pub(super) epoch: Option<u64>,
    /// Inclusive slots it wants, of those that ask for a part of the keys.
    pub(super) ranges: Vec<(u16, u16)>,
    pub(super) counts: Counts,
}

/// What is counted of a consumer, or of all that a subscription had.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) delivered: Meter,
    pub(super) redelivered: Meter,
    pub(super) acked: Meter,
    pub(super) chunks: Meter,
    pub(super) entries: u64,
    /// Times of the wall clock, milliseconds.
    pub(super) since_ms: u64,
    pub(super) last_flow_ms: u64,
    pub(super) last_sent_ms: u64,
    pub(super) last_acked_ms: u64,
    /// Metadata of its SUBSCRIBE.
    pub(super) metadata: Vec<KeyValue>,
}

impl Counts {
    /// So much time passed since the last call.
    pub(super) fn roll(&mut self, passed: Duration) {
        for meter in [&mut self.delivered, &mut self.redelivered, &mut self.acked, &mut self.chunks] {
            meter.roll(passed);
        }
    }

    pub(super) fn sent(&mut self, tally: Tally, now_ms: u64) {
        self.delivered.messages += tally.messages;
        self.delivered.bytes += tally.bytes;
        self.redelivered.messages += tally.again;
        self.chunks.messages += tally.chunks;
        self.entries += tally.entries;
        self.last_sent_ms = now_ms;
    }
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) entries: u64,
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// Messages among them that were sent before.
    pub(super) again: u64,
    /// Chunks among the entries.
    pub(super) chunks: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: Tally) {
        self.entries += other.entries;
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.again += other.again;
        self.chunks += other.chunks;
    }
}

impl Consumer {
    pub(super) fn is_available(&self) -> bool {
        self.permits > 0 && !self.blocked && self.writable
    }

    pub(super) fn flow(&mut self, permits: u32) {
        let counter = if self.blocked { &mut self.withheld } else { &mut self.permits };
        *counter = counter.saturating_add(i64::from(permits)).min(PERMITS_MAX);
    }
}

/// More permits than this are none: nobody has so many messages, and the sum must not overflow.
const PERMITS_MAX: i64 = i64::MAX / 2;

/// What a dispatcher has to know of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    /// Messages in it.
    pub(super) messages: u32,
    /// Milliseconds since the epoch.
    pub(super) deliver_at: Option<i64>,
    /// The message this is a chunk of, and whether it is the last chunk.
    pub(super) chunk_of: Option<(&'a str, bool)>,
    /// What its key is read from; `None`: it is not readable.
    metadata: Option<MetadataView<'a>>,
}

impl<'a> Facts<'a> {
    /// Reads an entry. What was stored was readable; if it is not any more, it counts as one message, and the client finds out.
    pub(super) fn read(entry: &'a [u8]) -> Facts<'a> {
        let metadata =
            frame::payload(entry).ok().and_then(|payload| MetadataView::read(payload.metadata).ok());
        let Some(metadata) = metadata else {
            return Facts { messages: 1, deliver_at: None, chunk_of: None, metadata: None };
        };
        let last = metadata.chunk_id + 1 >= metadata.chunks;
        Facts {
            messages: metadata.batch_size.map_or(1, |size| size.max(1) as u32),
            deliver_at: metadata.deliver_at_time,
            chunk_of: metadata.uuid.filter(|_| metadata.chunks > 1).map(|uuid| (uuid, last)),
            metadata: Some(metadata),
        }
    }
}

impl Facts<'_> {
    /// Slot of its key, 1 to 65535.
    pub(super) fn slot(&self) -> u16 {
        self.metadata.as_ref().map_or(1, key_shared::slot)
    }

    /// What counts are made of.
    pub(super) fn parts(&self) -> Parts {
        Parts { messages: self.messages, is_chunk: self.chunk_of.is_some() }
    }
}

/// What of an entry is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    messages: u32,
    is_chunk: bool,
}

/// What dispatchers of a topic share during one turn.
#[derive(Debug)]
pub(super) struct Feed<'a> {
    pub(super) ledgers: &'a Ledgers,
    pub(super) entries: &'a Entries,
    pub(super) settings: &'a Settings,
    pub(super) clock: Clock,
    pub(super) out: &'a mut Outbox,
    looks_left: usize,
    bytes_left: usize,
    /// The entry that is missing in memory, and how many from it on would be of use.
    pub(super) wanted: Option<(Position, u64)>,
    /// What was sent since it was last taken.
    pub(super) tally: Tally,
    /// What all of them sent.
    pub(super) all: Tally,
}

impl<'a> Feed<'a> {
    pub(super) fn new(
        (ledgers, entries): (&'a Ledgers, &'a Entries),
        settings: &'a Settings,
        clock: Clock,
        out: &'a mut Outbox,
    ) -> Feed<'a> {
        let (looks_left, bytes_left) = (DISPATCH_ENTRIES_MAX, DISPATCH_BYTES_MAX);
        let tally = Tally::default();
        Feed {
            ledgers,
            entries,
            settings,
            clock,
            out,
            looks_left,
            bytes_left,
            wanted: None,
            tally,
            all: tally,
        }
    }

    /// The turn's budget is used up: go on in the next one.
    pub(super) fn is_spent(&self) -> bool {
        self.looks_left == 0 || self.bytes_left == 0
    }

    /// An entry from memory; otherwise it is noted as wanted, together with up to `permits` behind it.
    pub(super) fn get(&mut self, at: Position, permits: i64) -> Option<Bytes> {
        self.looks_left = self.looks_left.saturating_sub(1);
        let entry = self.entries.get(at).cloned();
        if entry.is_none() {
            self.wanted = Some((at, permits.clamp(1, READ_AHEAD_ENTRIES_MAX as i64) as u64));
        }
        entry
    }

    /// Sends an entry to a consumer and charges its permits. Returns the messages it brings.
    pub(super) fn deliver(
        &mut self,
        consumer: &mut Consumer,
        at: Position,
        entry: Bytes,
        facts: Parts,
        (cursor, redeliveries): (&Cursor, u32),
    ) -> u32 {
        let left = cursor.left(at);
        let count = left.map_or(facts.messages, |set| set.left(facts.messages));
        let sent = Tally {
            entries: 1,
            messages: u64::from(count),
            bytes: entry.len() as u64,
            again: if redeliveries > 0 { u64::from(count) } else { 0 },
            chunks: u64::from(facts.is_chunk),
        };
        consumer.counts.sent(sent, self.clock.wall.0.cast_unsigned());
        self.tally.add(sent);
        consumer.permits -= i64::from(count);
        self.bytes_left = self.bytes_left.saturating_sub(entry.len());
        let message_id = MessageIdData {
            ledger_id: at.ledger.0,
            entry_id: at.entry.0,
            partition: Some(self.settings.partition),
            ..MessageIdData::default()
        };
        let command = CommandMessage {
            consumer_id: consumer.key.id,
            message_id,
            redelivery_count: (redeliveries > 0).then_some(redeliveries),
            ack_set: left.map_or(Vec::new(), |set| set.words().to_vec()),
            consumer_epoch: consumer.epoch,
        };
        self.out.push(Output::Deliver { to: consumer.key.connection, command, entry });
        count
    }
}
