//! Carries out what topics ask for: entries and facts go to the log, commands and messages to clients; and tells topics what
//! became of it. The order of the log is the order of everything that becomes durable.

use std::time::Duration;

use super::load::COMPACTED;
use super::read::SearchFor;
use super::registry::{Body, Entry};
use super::{Host, HostState, Pending, Reply, Told, Unstored, What};
use crate::base::id::{EntryId, LedgerId, Position};
use crate::base::limit::{DEDUP_SNAPSHOT_BYTES_MAX, ROOM_WAIT_MAX};
use crate::base::table::Key;
use crate::base::time::Clock;
use crate::broker::event::{Output, Save, SaveId};
use crate::broker::topic::Topic;
use crate::store::{CursorSet, Dedup, LogError, Record, Ticket};

impl Host {
    /// Tells a topic in memory something; it is served at the end of the turn. Nothing happens if it is not in memory.
    pub(super) fn with_topic(&mut self, clock: Clock, key: Key, tell: impl FnOnce(&mut Topic)) {
        let Some(entry) = self.topics.get_mut(key) else { return };
        let Body::Loaded(topic) = &mut entry.body else { return };
        tell(topic);
        self.touch(clock, key);
    }

    /// A topic is served at the end of the turn.
    pub(super) fn touch(&mut self, clock: Clock, key: Key) {
        let Some(entry) = self.topics.get_mut(key) else { return };
        (entry.used, entry.used_ms) = (clock.now, clock.wall.0.cast_unsigned());
        if !entry.is_busy {
            entry.is_busy = true;
            self.busy.push_back(key);
        }
    }

    /// Takes what a topic wants done, and does it.
    pub(super) fn carry(&mut self, clock: Clock, key: Key) {
        while let Some(Entry { body: Body::Loaded(topic), .. }) = self.topics.get_mut(key) {
            let Some(output) = topic.poll_output() else { return };
            match output {
                Output::Send { to, command } => {
                    self.replies.push_back(Reply { to, what: Told::Command(command) });
                }
                Output::Deliver { to, command, entry } => {
                    self.replies.push_back(Reply { to, what: Told::Deliver { command, entry } });
                }
                Output::CloseConnection { connection, reason } => {
                    self.tell(connection, Told::Close { reason });
                }
                Output::Probe { connection } => self.tell(connection, Told::Probe),
                Output::Append { entry, messages, published_ms } => {
                    self.append(clock, Unstored { key, messages, published_ms, bytes: entry });
                }
                Output::Read { from, bytes, .. } => self.read_for(clock, key, from, bytes),
                Output::FindTime { search, time } => self.search(clock, key, time, SearchFor::Topic(search)),
                Output::Save { id, save } => self.save(clock, key, id, save),
            }
        }
    }

    /// An entry goes to the log, or waits for room in it.
    fn append(&mut self, clock: Clock, entry: Unstored) {
        let key = entry.key;
        if self.stalled.is_empty() || self.state == HostState::Full {
            match self.try_append(clock, &entry) {
                Ok((position, ticket)) => return self.appended(key, position, ticket),
                Err(LogError::Full) if self.state == HostState::Open => {
                    // A file may be on its way, or a checkpoint.
                    self.log.checkpoint();
                    self.room_due.get_or_insert(clock.now + ROOM_WAIT_MAX);
                }
                Err(error) => {
                    if !matches!(error, LogError::Full | LogError::NotOpen) {
                        let store = self.config.store.0;
                        log::error!("store {store}: an entry is refused by the log: {error}");
                    }
                    let taken = self.topics.get(key).map_or(0, |entry| entry.in_flight);
                    return self.poke(key, |topic| topic.on_append_refused(clock, taken));
                }
            }
        }
        self.stalled.push_back(entry);
    }

    fn appended(&mut self, topic: Key, position: Position, ticket: Ticket) {
        if let Some(entry) = self.topics.get_mut(topic) {
            entry.in_flight += 1;
            self.pending.push_back(Pending { ticket, topic, what: What::Entry(position) });
        }
    }

    /// Entries that waited for room go to the log.
    pub(super) fn append_stalled(&mut self, clock: Clock) {
        while self.log.has_room()
            && let Some(entry) = self.stalled.pop_front()
        {
            match self.try_append(clock, &entry) {
                Ok((position, ticket)) => self.appended(entry.key, position, ticket),
                Err(LogError::Full) => return self.stalled.push_front(entry),
                // The topic was deleted meanwhile.
                Err(_) => {}
            }
        }
        if self.stalled.is_empty() && self.state == HostState::Open {
            self.room_due = None;
        }
    }

    /// Appends to the topic's open ledger; opens one first where that is due. What is looked for by time is looked for by when it
    /// was published (broker 4.9): that is its time in the log, but never later than now nor earlier than the entry before it,
    /// as clocks of producers may be anything.
    fn try_append(&mut self, clock: Clock, unstored: &Unstored) -> Result<(Position, Ticket), LogError> {
        let Unstored { key, messages, published_ms, ref bytes } = *unstored;
        let wall_ms = clock.wall.0.cast_unsigned();
        let Some(entry) = self.topics.get(key) else { return Err(LogError::NotOpen) };
        if let Some(ledger) = entry.ledgers(self.log.state()).last().filter(|ledger| !ledger.closed) {
            let age = Duration::from_millis(wall_ms.saturating_sub(ledger.opened_ms));
            let rolling = &self.config.rolling;
            let is_full = ledger.entries >= rolling.entries_max || ledger.bytes >= rolling.bytes_max;
            if !(is_full && age >= rolling.age_min || ledger.entries > 0 && age >= rolling.age_max) {
                let published_ms = published_ms.min(wall_ms).max(ledger.last_ms);
                return self.log.append_entry(ledger.id, published_ms, messages, bytes.clone());
            }
        }
        if !self.log.has_room() {
            return Err(LogError::Full);
        }
        let ledger = self.roll(clock, key)?;
        self.log.append_entry(ledger, wall_ms, messages, bytes.clone())
    }

    /// Closes the topic's open ledger, if there is one, and opens another.
    pub(super) fn roll(&mut self, clock: Clock, key: Key) -> Result<LedgerId, LogError> {
        let wall_ms = clock.wall.0.cast_unsigned();
        let id = self.topics.get(key).and_then(|entry| entry.id).ok_or(LogError::NotOpen)?;
        self.close_ledger(clock, key)?;
        let ledger = self.log.next_ledger(self.config.store, self.config.stores);
        self.log.append(wall_ms, &Record::LedgerOpen(ledger, id))?;
        Ok(ledger)
    }

    /// Closes the topic's open ledger, if there is one: the next entry opens another.
    pub(super) fn close_ledger(&mut self, clock: Clock, key: Key) -> Result<(), LogError> {
        let Some(entry) = self.topics.get(key) else { return Ok(()) };
        if let Some(ledger) = entry.ledgers(self.log.state()).last().filter(|ledger| !ledger.closed) {
            let close = Record::LedgerClose(ledger.id, ledger.entries);
            self.log.append(clock.wall.0.cast_unsigned(), &close)?;
            self.trims.push(key);
        }
        Ok(())
    }

    fn save(&mut self, clock: Clock, key: Key, id: SaveId, save: Save) {
        let saved = self.try_save(clock, key, id, save);
        if let Err(error) = saved {
            log::warn!("store {}: a fact is not saved: {error}", self.config.store.0);
            self.log.checkpoint();
            self.refuse_asks(key, id, &error);
            if let Some(topic) = self.topics.get_mut(key).and_then(Entry::topic_mut) {
                topic.on_save_failed(clock, id);
            }
        }
    }

    fn try_save(&mut self, clock: Clock, key: Key, id: SaveId, save: Save) -> Result<(), LogError> {
        let wall_ms = clock.wall.0.cast_unsigned();
        let Some(entry) = self.topics.get_mut(key) else { return Ok(()) };
        let Some(topic) = entry.id else { return Ok(()) };
        let properties = &mut entry.properties;
        let record = match &save {
            Save::CursorSet { id, subscription, acks, properties } => {
                let name = subscription.as_bytes();
                Record::CursorSet(topic, *id, CursorSet { name, acks: acks.clone(), properties })
            }
            Save::CursorUpdate { id, acks } => Record::CursorUpdate(topic, *id, acks.clone()),
            Save::CursorDeleted { id } => Record::CursorDelete(topic, *id),
            Save::Dedup { names, below } => Record::Dedup(topic, dedup(names, *below)),
            Save::DedupForgotten => Record::DedupDelete(topic),
            Save::Epoch(epoch) => Record::TopicEpoch(topic, *epoch),
            Save::Terminated => Record::TopicTerminate(topic),
            Save::Compacted(time) => {
                properties.set(COMPACTED, time);
                return self.put_properties(clock, key, What::Saved(id));
            }
            Save::Properties(given) => {
                properties.given.clone_from(given);
                return self.put_properties(clock, key, What::Saved(id));
            }
        };
        let ticket = self.log.append(wall_ms, &record)?;
        self.pending.push_back(Pending { ticket, topic: key, what: What::Saved(id) });
        Ok(())
    }

    /// Everything up to a ticket is durable: topics are told, in the order of the log.
    pub(super) fn on_durable(&mut self, clock: Clock, upto: Ticket) {
        while let Some(head) = self.pending.pop_front_if(|head| head.ticket <= upto) {
            match head.what {
                What::Entry(first) => self.on_entries_durable(clock, head.topic, first, upto),
                What::Saved(id) => {
                    self.answer_saved(head.topic, id);
                    self.with_topic(clock, head.topic, |topic| topic.on_saved(id));
                }
                What::Asked(ticket) => self.answer_done(ticket),
                What::Health { ticket, at } => self.end_probe(clock, ticket, at),
            }
        }
    }

    /// A run of entries of one topic is told at once.
    fn on_entries_durable(&mut self, clock: Clock, key: Key, first: Position, upto: Ticket) {
        let mut count = 1;
        while let Some(next) = self.pending.front()
            && next.ticket <= upto
            && next.topic == key
            && let What::Entry(at) = next.what
            && at == (Position { ledger: first.ledger, entry: EntryId(first.entry.0 + count) })
        {
            self.pending.pop_front();
            count += 1;
        }
        if let Some(entry) = self.topics.get_mut(key) {
            entry.in_flight -= count as usize;
        }
        self.with_topic(clock, key, |topic| topic.on_appended(clock, first, count));
    }

    /// The journal failed: nothing that is not durable will be (broker 5.8).
    pub(super) fn on_dead(&mut self, clock: Clock, reason: &str) {
        log::error!("store {}: {reason}: nothing is stored any more", self.config.store.0);
        self.state = HostState::Failed(reason.to_owned());
        self.room_due = None;
        self.stalled.clear();
        self.pending.clear();
        let keys: Vec<Key> = self.topics.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(entry) = self.topics.get_mut(key) {
                entry.in_flight = 0;
            }
            self.with_topic(clock, key, |topic| {
                topic.on_append_failed(clock);
                topic.close(clock);
            });
        }
        self.refuse_all_asks(reason);
    }
}

/// What deduplication knows, as much of it as fits into a record.
fn dedup(names: &[(String, u64)], below: Position) -> Dedup<'_> {
    let mut left = DEDUP_SNAPSHOT_BYTES_MAX;
    let fitting = names.iter().take_while(|(name, _)| {
        let rest = left.checked_sub(name.len() + 12);
        left = rest.unwrap_or(0);
        rest.is_some()
    });
    let names = fitting.map(|(name, sequence)| (name.as_bytes(), *sequence)).collect();
    Dedup { whole: true, below, names }
}
