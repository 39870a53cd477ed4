//! Which consumer gets which entry. One dispatcher per subscription: [`single`] has one active consumer (Exclusive, Failover),
//! [`shared`] spreads entries over all (Shared, and Key_Shared with [`key_shared`] choosing by key).

pub(super) mod key_shared;
pub(super) mod ring;
pub(super) mod shared;
pub(super) mod single;

use bytes::Bytes;

use crate::base::id::Position;
use crate::base::limit::{DISPATCH_BYTES_MAX, DISPATCH_ENTRIES_MAX, READ_AHEAD_ENTRIES_MAX};
use crate::base::time::Clock;
use crate::broker::cursor::Cursor;
use crate::broker::entries::Entries;
use crate::broker::event::{ClientKey, Outbox, Output};
use crate::broker::ledgers::Ledgers;
use crate::broker::settings::Settings;
use crate::wire::pulsar::frame;
use crate::wire::pulsar::metadata::MetadataView;
use crate::wire::pulsar::proto::{CommandMessage, MessageIdData};

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
    /// Slot of its key, 1 to 65535.
    pub(super) slot: u16,
}

impl<'a> Facts<'a> {
    /// Reads an entry. What was stored was readable; if it is not any more, it counts as one message, and the client finds out.
    pub(super) fn read(entry: &'a [u8]) -> Facts<'a> {
        let metadata =
            frame::payload(entry).ok().and_then(|payload| MetadataView::read(payload.metadata).ok());
        let Some(metadata) = metadata else {
            return Facts { messages: 1, deliver_at: None, chunk_of: None, slot: 1 };
        };
        let last = metadata.chunk_id + 1 >= metadata.chunks;
        Facts {
            messages: metadata.batch_size.map_or(1, |size| size.max(1) as u32),
            deliver_at: metadata.deliver_at_time,
            chunk_of: metadata.uuid.filter(|_| metadata.chunks > 1).map(|uuid| (uuid, last)),
            slot: key_shared::slot(&metadata),
        }
    }
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
}

impl<'a> Feed<'a> {
    pub(super) fn new(
        (ledgers, entries): (&'a Ledgers, &'a Entries),
        settings: &'a Settings,
        clock: Clock,
        out: &'a mut Outbox,
    ) -> Feed<'a> {
        let (looks_left, bytes_left) = (DISPATCH_ENTRIES_MAX, DISPATCH_BYTES_MAX);
        Feed { ledgers, entries, settings, clock, out, looks_left, bytes_left, wanted: None }
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
        messages: u32,
        (cursor, redeliveries): (&Cursor, u32),
    ) -> u32 {
        let left = cursor.left(at);
        let count = left.map_or(messages, |set| set.left(messages));
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
