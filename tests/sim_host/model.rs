//! What a client of one topic knows and may rely on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use pulsegate::base::id::Position;
use pulsegate::broker::event::ClientKey;
use pulsegate::wire::pulsar::entry::{self, EntryMetadata};
use pulsegate::wire::pulsar::frame;
use pulsegate::wire::pulsar::metadata::MetadataView;
use pulsegate::wire::pulsar::proto::SubscriptionType;

/// Name of the one producer of a topic.
pub(crate) const PRODUCER: &str = "producer";

/// A topic with one producer and one durable subscription.
pub(crate) struct Topic {
    pub(crate) name: String,
    /// Deduplication is on.
    pub(crate) dedup: bool,
    pub(crate) kind: SubscriptionType,
    /// Connected, and whether it was told so.
    pub(crate) producer: Option<(ClientKey, bool)>,
    pub(crate) next_sequence: u64,
    /// Sent, perhaps several times, and not confirmed.
    pub(crate) unanswered: VecDeque<u64>,
    /// Of these, so many are under way in this connection.
    pub(crate) under_way: usize,
    /// Confirmed: positions, and sequence ids of which only that they are stored is known.
    pub(crate) confirmed: BTreeMap<Position, u64>,
    pub(crate) duplicates: BTreeSet<u64>,
    pub(crate) consumer: Option<(ClientKey, bool)>,
    /// With the consumer, and not acknowledged.
    pub(crate) holds: BTreeSet<Position>,
    /// Ever delivered.
    pub(crate) seen: BTreeSet<Position>,
    /// Acknowledged, and confirmed to be.
    pub(crate) acked: BTreeSet<Position>,
    /// Acknowledged with a receipt that is outstanding.
    pub(crate) asked: VecDeque<(u64, Vec<Position>)>,
    /// A seek is outstanding.
    pub(crate) seeking: bool,
}

impl Topic {
    pub(crate) fn new(name: &str, dedup: bool, kind: SubscriptionType) -> Topic {
        Topic {
            name: name.to_owned(),
            dedup,
            kind,
            producer: None,
            next_sequence: 0,
            unanswered: VecDeque::new(),
            under_way: 0,
            confirmed: BTreeMap::new(),
            duplicates: BTreeSet::new(),
            consumer: None,
            holds: BTreeSet::new(),
            seen: BTreeSet::new(),
            acked: BTreeSet::new(),
            asked: VecDeque::new(),
            seeking: false,
        }
    }

    /// The producer is gone: what is not confirmed has to be sent again.
    pub(crate) fn lose_producer(&mut self) {
        self.producer = None;
        self.under_way = 0;
    }

    /// The consumer is gone: what it asked for is unknown, and what it holds comes again.
    pub(crate) fn lose_consumer(&mut self) {
        self.consumer = None;
        self.holds.clear();
        self.asked.clear();
        self.seeking = false;
    }

    /// The oldest SEND is confirmed. `None`: stored before.
    pub(crate) fn on_receipt(&mut self, sequence: u64, at: Option<Position>) {
        assert_eq!(self.unanswered.pop_front(), Some(sequence), "{}: receipts in order", self.name);
        self.under_way -= 1;
        let Some(at) = at else {
            assert!(self.dedup, "only deduplication knows duplicates");
            self.duplicates.insert(sequence);
            return;
        };
        let last = self.confirmed.last_key_value().map(|(at, _)| *at);
        assert!(last.is_none_or(|last| last < at), "{}: {at:?} after {last:?}", self.name);
        self.confirmed.insert(at, sequence);
    }

    /// A message came.
    pub(crate) fn on_delivery(&mut self, at: Position, entry: &[u8]) {
        assert!(!self.acked.contains(&at), "{}: {at:?} was acknowledged with a receipt", self.name);
        let sequence = sequence_of(entry);
        if let Some(known) = self.confirmed.get(&at) {
            assert_eq!(*known, sequence, "{}: {at:?} is what was confirmed", self.name);
        }
        assert!(sequence < self.next_sequence, "{}: something that was sent", self.name);
        self.holds.insert(at);
        self.seen.insert(at);
    }

    /// The whole topic, as a reader found it.
    pub(crate) fn check(&self, found: &BTreeMap<Position, u64>) {
        for (at, sequence) in &self.confirmed {
            assert_eq!(found.get(at), Some(sequence), "{}: {at:?} was confirmed", self.name);
        }
        let sequences: BTreeSet<u64> = found.values().copied().collect();
        for sequence in &self.duplicates {
            assert!(sequences.contains(sequence), "{}: {sequence} was said to be stored", self.name);
        }
        if self.dedup {
            let all: Vec<u64> = found.values().copied().collect();
            assert!(all.is_sorted_by(|a, b| a < b), "{}: once, and in order: {all:?}", self.name);
        }
        let mut first_seen = BTreeSet::new();
        let mut last = None;
        for sequence in found.values().filter(|sequence| first_seen.insert(**sequence)) {
            assert!(last.is_none_or(|last| last < *sequence), "{}: in the order of the SENDs", self.name);
            last = Some(*sequence);
        }
    }
}

/// The entry of a producer's sequence id; some are large.
pub(crate) fn entry_of(producer_name: &str, sequence: u64, size: usize) -> Bytes {
    let mut out = Vec::new();
    let metadata = EntryMetadata { producer_name, sequence_id: sequence, ..EntryMetadata::default() };
    let body = |out: &mut Vec<u8>| {
        out.resize(out.len() + size, sequence as u8);
        Ok::<_, ()>(())
    };
    entry::put(&mut out, &metadata, body).expect("written");
    out.into()
}

/// The sequence id that an entry says.
pub(crate) fn sequence_of(entry: &[u8]) -> u64 {
    let payload = frame::payload(entry).expect("stored as it was sent");
    MetadataView::read(payload.metadata).expect("stored as it was sent").sequence_id
}
