//! What the log's records add up to: topics with their ledgers and cursors. The same [`State::apply`] serves appends and recovery.
//!
//! A topic is shared with the checkpoint that is being written and copied when it changes meanwhile: taking the state for a
//! checkpoint costs a pointer per topic.

use super::acks::Consumed;
use super::index::Index;
use super::record::{CursorSet, Record, Settled, TopicPut};
use super::{CursorId, TopicId};
use crate::base::id::{EntryId, IdMap, LedgerId, Position};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topic {
    /// Its full name.
    pub name: Vec<u8>,
    /// Its owner's properties, opaque here.
    pub properties: Vec<u8>,
    /// Its producer epoch, if it ever had one.
    pub epoch: Option<u64>,
    /// Nothing is added any more.
    pub terminated: bool,
    /// What deduplication knew when it was last saved.
    pub dedup: Option<Sequences>,
    /// Messages ever appended, also those whose ledgers are gone: the index of the next one (`BrokerEntryMetadata`).
    pub messages: u64,
    /// Its ledgers, oldest first; ids grow. Only the last one may be open.
    pub ledgers: Vec<Ledger>,
    /// Its cursors.
    pub cursors: BTreeMap<CursorId, Arc<Cursor>>,
}

/// What deduplication knows of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequences {
    /// All entries below are counted in.
    pub below: Position,
    /// Highest sequence id by producer name.
    pub names: BTreeMap<Vec<u8>, u64>,
}

/// A ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Its id.
    pub id: LedgerId,
    /// Entries appended, so the next entry's number.
    pub entries: u64,
    /// Messages in them.
    pub messages: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Messages that were appended to the topic before its first.
    pub first_message: u64,
    /// Nothing more is appended.
    pub closed: bool,
    /// When it was opened, ms since 1970.
    pub opened_ms: u64,
    /// When its last entry was appended or it was closed, ms since 1970.
    pub last_ms: u64,
    /// What of it is in its segment, and where.
    pub index: Arc<Index>,
}

/// A cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Name of the subscription.
    pub name: Vec<u8>,
    /// Its owner's properties, opaque here.
    pub properties: Vec<u8>,
    /// What is consumed.
    pub consumed: Consumed,
}

/// A record that does not fit what came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// There is no such topic.
    #[error("no such topic")]
    Topic,
    /// There is no such ledger, or there is one already, or its id is below the topic's last one.
    #[error("no such ledger, or it is there already")]
    Ledger,
    /// There is no such cursor.
    #[error("no such cursor")]
    Cursor,
    /// The ledger is closed, or its next entry is another one.
    #[error("the ledger is closed, or its next entry is another one")]
    Entry,
    /// The record belongs into another kind of file.
    #[error("a record in the wrong kind of file")]
    Kind,
}

/// Topics by id. A copy shares them.
pub type Topics = BTreeMap<TopicId, Arc<Topic>>;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The topics.
    pub topics: Topics,
    /// Whose a ledger is.
    owners: IdMap<LedgerId, TopicId>,
    /// Highest topic ever made: ids are never used again.
    pub(super) topic_high: TopicId,
    /// Highest ledger ever opened.
    pub(super) ledger_high: LedgerId,
}

impl State {
    /// A topic.
    pub fn topic(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(&id).map(|topic| &**topic)
    }

    /// Whose a ledger is.
    pub fn owner(&self, ledger: LedgerId) -> Option<TopicId> {
        self.owners.get(&ledger).copied()
    }

    /// All ledgers, topic by topic, from one of a topic on.
    pub fn ledgers_from(&self, from: (TopicId, LedgerId)) -> impl Iterator<Item = (TopicId, &Ledger)> {
        let topics = self.topics.range(from.0..);
        let all = topics.flat_map(|(id, topic)| topic.ledgers.iter().map(|ledger| (*id, ledger)));
        all.skip_while(move |(id, ledger)| (*id, ledger.id) < from)
    }

    /// A ledger.
    pub fn ledger(&self, id: LedgerId) -> Option<&Ledger> {
        self.topic(self.owner(id)?)?.ledger(id)
    }

    /// A cursor.
    pub fn cursor(&self, topic: TopicId, id: CursorId) -> Option<&Cursor> {
        self.topic(topic)?.cursors.get(&id).map(|cursor| &**cursor)
    }

    pub(super) fn ledger_mut(&mut self, id: LedgerId) -> Result<&mut Ledger, Misfit> {
        let owner = self.owners.get(&id).ok_or(Misfit::Ledger)?;
        self.topics.get_mut(owner).and_then(|topic| Arc::make_mut(topic).ledger_mut(id)).ok_or(Misfit::Ledger)
    }

    /// Adds an entry to a ledger; returns whose it is, and its number.
    pub(super) fn append_entry(
        &mut self,
        wall_ms: u64,
        ledger: LedgerId,
        messages: u32,
        bytes: usize,
    ) -> Result<(TopicId, EntryId), Misfit> {
        let owner = *self.owners.get(&ledger).ok_or(Misfit::Ledger)?;
        let topic = self.topics.get_mut(&owner).map(Arc::make_mut).ok_or(Misfit::Ledger)?;
        Ok((owner, topic.append(wall_ms, ledger, None, messages, bytes)?))
    }

    fn topic_mut(&mut self, id: TopicId) -> Result<&mut Topic, Misfit> {
        self.topics.get_mut(&id).map(Arc::make_mut).ok_or(Misfit::Topic)
    }

    /// Applies one record of the journal.
    pub fn apply(&mut self, wall_ms: u64, record: &Record<'_>) -> Result<(), Misfit> {
        match record {
            Record::Entry { position, messages, bytes } => {
                let owner = self.owners.get(&position.ledger).ok_or(Misfit::Ledger)?;
                let topic = self.topics.get_mut(owner).map(Arc::make_mut).ok_or(Misfit::Ledger)?;
                topic.append(wall_ms, position.ledger, Some(position.entry), *messages, bytes.len())?;
            }
            Record::LedgerOpen(id, topic) => {
                if self.owners.contains_key(id) {
                    return Err(Misfit::Ledger);
                }
                self.topic_mut(*topic)?.open(wall_ms, *id)?;
                self.owners.insert(*id, *topic);
                self.ledger_high = self.ledger_high.max(*id);
            }
            Record::LedgerClose(id, entries) => {
                let ledger = self.ledger_mut(*id)?;
                if ledger.closed || ledger.entries != *entries {
                    return Err(Misfit::Entry);
                }
                (ledger.closed, ledger.last_ms) = (true, wall_ms.max(ledger.last_ms));
            }
            Record::LedgerDelete(id) => {
                let owner = self.owners.remove(id).ok_or(Misfit::Ledger)?;
                self.topic_mut(owner)?.ledgers.retain(|ledger| ledger.id != *id);
            }
            Record::TopicPut(id, TopicPut { name, properties }) => {
                let topic = Arc::make_mut(self.topics.entry(*id).or_default());
                (topic.name, topic.properties) = (name.to_vec(), properties.to_vec());
                self.topic_high = self.topic_high.max(*id);
            }
            Record::TopicDelete(id) => {
                let topic = self.topics.remove(id).ok_or(Misfit::Topic)?;
                for ledger in &topic.ledgers {
                    self.owners.remove(&ledger.id);
                }
            }
            Record::TopicEpoch(id, epoch) => self.topic_mut(*id)?.epoch = Some(*epoch),
            Record::TopicTerminate(id) => self.topic_mut(*id)?.terminated = true,
            Record::TopicMessages(..) | Record::Settled(..) => return Err(Misfit::Kind),
            Record::Checkpoint(_) | Record::End(_) => return Err(Misfit::Kind),
            Record::CursorSet(..) | Record::CursorUpdate(..) | Record::CursorDelete(..) => {
                self.apply_cursor(record)?;
            }
            Record::Dedup(id, dedup) => {
                let topic = self.topic_mut(*id)?;
                let known = topic.dedup.take().filter(|_| !dedup.whole);
                let mut names = known.map(|known| known.names).unwrap_or_default();
                for (name, sequence) in &dedup.names {
                    let highest = names.entry(name.to_vec()).or_insert(*sequence);
                    *highest = (*highest).max(*sequence);
                }
                topic.dedup = Some(Sequences { below: dedup.below, names });
            }
            Record::DedupDelete(id) => self.topic_mut(*id)?.dedup = None,
        }
        Ok(())
    }

    fn apply_cursor(&mut self, record: &Record<'_>) -> Result<(), Misfit> {
        match record {
            Record::CursorSet(topic, id, set) => {
                self.topic_mut(*topic)?.cursors.insert(*id, Arc::new(Cursor::new(set)));
            }
            Record::CursorUpdate(topic, id, acks) => {
                let topic = self.topics.get_mut(topic).map(Arc::make_mut).ok_or(Misfit::Cursor)?;
                let cursor = topic.cursors.get_mut(id).ok_or(Misfit::Cursor)?;
                Arc::make_mut(cursor).consumed.update(acks);
            }
            Record::CursorDelete(topic, id) => {
                let topic = self.topics.get_mut(topic).map(Arc::make_mut).ok_or(Misfit::Cursor)?;
                topic.cursors.remove(id).ok_or(Misfit::Cursor)?;
            }
            _ => return Err(Misfit::Kind),
        }
        Ok(())
    }

    /// Applies what only a checkpoint says.
    pub(super) fn apply_checkpointed(&mut self, wall_ms: u64, record: &Record<'_>) -> Result<(), Misfit> {
        match record {
            Record::Settled(id, settled) => self.ledger_mut(*id)?.settle(wall_ms, settled),
            Record::TopicMessages(id, messages) => {
                self.topic_mut(*id)?.messages = *messages;
                Ok(())
            }
            _ => self.apply(wall_ms, record),
        }
    }
}

impl Topic {
    /// A ledger of it.
    pub fn ledger(&self, id: LedgerId) -> Option<&Ledger> {
        self.position(id).map(|at| &self.ledgers[at])
    }

    fn ledger_mut(&mut self, id: LedgerId) -> Option<&mut Ledger> {
        self.position(id).map(|at| &mut self.ledgers[at])
    }

    fn position(&self, id: LedgerId) -> Option<usize> {
        // What is asked for most is the one that is written to.
        if self.ledgers.last().is_some_and(|last| last.id == id) {
            return Some(self.ledgers.len() - 1);
        }
        self.ledgers.binary_search_by_key(&id, |ledger| ledger.id).ok()
    }

    /// Adds an entry, which must be `expected` if that is given.
    fn append(
        &mut self,
        wall_ms: u64,
        ledger: LedgerId,
        expected: Option<EntryId>,
        messages: u32,
        bytes: usize,
    ) -> Result<EntryId, Misfit> {
        let ledger = self.ledger_mut(ledger).ok_or(Misfit::Ledger)?;
        let entry = EntryId(ledger.entries);
        if ledger.closed || expected.is_some_and(|expected| expected != entry) {
            return Err(Misfit::Entry);
        }
        (ledger.entries, ledger.last_ms) = (ledger.entries + 1, wall_ms);
        ledger.messages += u64::from(messages);
        ledger.bytes += bytes as u64;
        self.messages += u64::from(messages);
        Ok(entry)
    }

    fn open(&mut self, wall_ms: u64, id: LedgerId) -> Result<(), Misfit> {
        if self.ledgers.last().is_some_and(|last| last.id >= id || !last.closed) {
            return Err(Misfit::Ledger);
        }
        let (first_message, index) = (self.messages, Arc::default());
        let (opened_ms, last_ms) = (wall_ms, wall_ms);
        let (entries, messages, bytes, closed) = (0, 0, 0, false);
        let ledger =
            Ledger { id, entries, messages, bytes, first_message, closed, opened_ms, last_ms, index };
        self.ledgers.push(ledger);
        Ok(())
    }
}

impl Ledger {
    fn settle(&mut self, wall_ms: u64, settled: &Settled) -> Result<(), Misfit> {
        self.index = Arc::new(Index::new(settled).ok_or(Misfit::Entry)?);
        (self.entries, self.messages, self.bytes) = (settled.entries, settled.messages, settled.bytes);
        (self.first_message, self.last_ms) = (settled.first_message, wall_ms);
        Ok(())
    }
}

/// A cursor reads as what it has consumed.
impl std::ops::Deref for Cursor {
    type Target = Consumed;

    fn deref(&self) -> &Consumed {
        &self.consumed
    }
}

impl Cursor {
    fn new(set: &CursorSet<'_>) -> Self {
        let (name, properties) = (set.name.to_vec(), set.properties.to_vec());
        let mut consumed = Consumed::default();
        consumed.update(&set.acks);
        Cursor { name, properties, consumed }
    }
}

#[cfg(test)]
mod tests;
