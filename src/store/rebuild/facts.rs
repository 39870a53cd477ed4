//! What all records together say, whatever is missing between them.

use super::segments::Found;
use crate::base::id::LedgerId;
use crate::store::record::Record;
use crate::store::segment::Stored;
use crate::store::{CursorId, TopicId};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// A topic, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct TopicFacts {
    pub(super) name: Vec<u8>,
    pub(super) properties: Vec<u8>,
    pub(super) epoch: Option<u64>,
    pub(super) terminated: bool,
    /// Messages ever appended, as a checkpoint said.
    pub(super) messages: u64,
    /// Names and properties of subscriptions.
    pub(super) cursors: BTreeMap<CursorId, (Vec<u8>, Vec<u8>)>,
}

/// A ledger, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct LedgerFacts {
    pub(super) topic: Option<TopicId>,
    pub(super) opened_ms: u64,
    pub(super) last_ms: u64,
    pub(super) first_message: Option<u64>,
    /// What is in its segment.
    pub(super) found: Found,
    /// Entries of the journal and of checkpoints that are not.
    pub(super) tail: BTreeMap<u64, Stored>,
}

#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) topics: BTreeMap<TopicId, TopicFacts>,
    pub(super) ledgers: BTreeMap<LedgerId, LedgerFacts>,
    pub(super) topic_high: TopicId,
    pub(super) ledger_high: LedgerId,
    /// Ids are never used again: what was deleted once stays so, also where the record of its making is read later.
    topics_gone: BTreeSet<TopicId>,
    ledgers_gone: BTreeSet<LedgerId>,
}

impl Facts {
    /// One more record, in the order of the log as far as there is one.
    pub(super) fn take(&mut self, wall_ms: u64, record: &Record<'_>) {
        match record {
            Record::Entry { position, messages, bytes } => {
                let ledger = self.ledger(position.ledger);
                ledger.last_ms = ledger.last_ms.max(wall_ms);
                let bytes = Bytes::copy_from_slice(bytes);
                ledger.tail.insert(position.entry.0, Stored { wall_ms, messages: *messages, bytes });
            }
            Record::LedgerOpen(id, topic) => {
                let ledger = self.ledger(*id);
                (ledger.topic, ledger.opened_ms) = (Some(*topic), wall_ms);
                ledger.last_ms = ledger.last_ms.max(wall_ms);
            }
            Record::LedgerClose(id, _) => {
                let ledger = self.ledger(*id);
                ledger.last_ms = ledger.last_ms.max(wall_ms);
            }
            Record::LedgerDelete(id) => drop(self.ledgers_gone.insert(*id)),
            Record::TopicDelete(id) => drop(self.topics_gone.insert(*id)),
            Record::Settled(id, settled) => self.ledger(*id).first_message = Some(settled.first_message),
            Record::TopicPut(id, put) => {
                self.topic_high = self.topic_high.max(*id);
                let topic = self.topics.entry(*id).or_default();
                (topic.name, topic.properties) = (put.name.to_vec(), put.properties.to_vec());
            }
            Record::TopicEpoch(id, epoch) => self.topics.entry(*id).or_default().epoch = Some(*epoch),
            Record::TopicTerminate(id) => self.topics.entry(*id).or_default().terminated = true,
            Record::TopicMessages(id, messages) => {
                let topic = self.topics.entry(*id).or_default();
                topic.messages = topic.messages.max(*messages);
            }
            Record::CursorSet(id, cursor, set) => {
                let facts = (set.name.to_vec(), set.properties.to_vec());
                self.topics.entry(*id).or_default().cursors.insert(*cursor, facts);
            }
            Record::CursorDelete(id, cursor) => {
                self.topics.entry(*id).or_default().cursors.remove(cursor);
            }
            Record::Checkpoint(head) => {
                self.topic_high = self.topic_high.max(head.topic_high);
                self.ledger_high = self.ledger_high.max(head.ledger_high);
            }
            // Where cursors were is not trusted. What deduplication knew is found out anew from all entries there are.
            Record::CursorUpdate(..) | Record::Dedup(..) | Record::DedupDelete(_) | Record::End(_) => {}
        }
    }

    fn ledger(&mut self, id: LedgerId) -> &mut LedgerFacts {
        self.ledger_high = self.ledger_high.max(id);
        self.ledgers.entry(id).or_default()
    }

    /// What a ledger's segment holds.
    pub(super) fn settle(&mut self, id: LedgerId, found: Found) {
        if let Some((topic, name, properties)) = &found.owner {
            self.topic_high = self.topic_high.max(*topic);
            let known = self.topics.entry(*topic).or_default();
            // The journal may know of a later change.
            if known.name.is_empty() {
                (known.name, known.properties) = (name.clone(), properties.clone());
            }
            self.ledger(id).topic = Some(*topic);
        }
        let ledger = self.ledger(id);
        ledger.tail.retain(|entry, _| *entry >= found.amount.entries);
        ledger.opened_ms = if ledger.opened_ms == 0 { found.opened_ms } else { ledger.opened_ms };
        ledger.last_ms = ledger.last_ms.max(found.last_ms);
        ledger.found = found;
    }

    /// Leaves out what was deleted, what has no name, and ledgers that belong to none of the topics.
    pub(super) fn tidy(&mut self) {
        let (topics_gone, ledgers_gone) = (&self.topics_gone, &self.ledgers_gone);
        self.topics.retain(|id, topic| !topic.name.is_empty() && !topics_gone.contains(id));
        let topics = &self.topics;
        let is_owned = |topic: Option<TopicId>| topic.is_some_and(|topic| topics.contains_key(&topic));
        self.ledgers.retain(|id, ledger| is_owned(ledger.topic) && !ledgers_gone.contains(id));
    }

    /// The ledger belongs to a topic that is there.
    pub(super) fn is_owned(&self, ledger: LedgerId) -> bool {
        self.ledgers.contains_key(&ledger)
    }
}
