//! Answers to administrators: which wait for something to be durable, and which are made of many.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Host;
use super::registry::Entry;
use crate::base::id::Position;
use crate::base::table::Key;
use crate::broker::admin::{AdminAnswer, EntryShown, MessageIdShown, Refused};
use crate::broker::event::SaveId;
use crate::broker::topic::Topic;
use crate::store::{LogError, State};

/// What is answered when a fact is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Done,
    /// Where the topic ends.
    LastId,
}

/// One question that was made into many.
#[derive(Debug)]
struct Group {
    ticket: u64,
    left: usize,
    refused: Option<Refused>,
}

/// Questions that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Asks {
    saves: BTreeMap<(Key, SaveId), Vec<(u64, Then)>>,
    groups: BTreeMap<u64, Group>,
    next_group: u64,
}

/// Tickets with this bit are of groups: the owner's count from 0 and never come so far.
const GROUP: u64 = 1 << 63;

impl Host {
    pub(super) fn answer(&mut self, ticket: u64, answer: AdminAnswer) {
        let Some(group) = self.asks.groups.get_mut(&ticket) else {
            return self.answers.push_back((ticket, answer));
        };
        group.left -= 1;
        if let AdminAnswer::Refused(refused) = answer {
            group.refused.get_or_insert(refused);
        }
        if group.left == 0
            && let Some(group) = self.asks.groups.remove(&ticket)
        {
            let answer = group.refused.map_or(AdminAnswer::Done, AdminAnswer::Refused);
            self.answers.push_back((group.ticket, answer));
        }
    }

    /// A ticket for each of `count` questions that together answer one. Refused if any of them is.
    pub(super) fn group(&mut self, ticket: u64, count: usize) -> u64 {
        self.asks.next_group += 1;
        let id = GROUP | self.asks.next_group;
        self.asks.groups.insert(id, Group { ticket, left: count, refused: None });
        id
    }

    pub(super) fn answer_refused(&mut self, ticket: u64, status: u16, reason: &str) {
        self.answer(ticket, Refused::new(status, reason).into());
    }

    pub(super) fn answer_done(&mut self, ticket: u64) {
        self.answer(ticket, AdminAnswer::Done);
    }

    /// Answers when a fact is durable; at once where there is nothing to wait for.
    pub(super) fn answer_when_saved(&mut self, key: Key, save: Option<SaveId>, ticket: u64, then: Then) {
        match save {
            Some(id) => self.asks.saves.entry((key, id)).or_default().push((ticket, then)),
            None => self.answer_then(key, ticket, then),
        }
    }

    /// As [`Host::answer_when_saved`], or the refusal.
    pub(super) fn answer_result(&mut self, key: Key, ticket: u64, result: Result<Option<SaveId>, Refused>) {
        match result {
            Ok(save) => self.answer_when_saved(key, save, ticket, Then::Done),
            Err(refused) => self.answer(ticket, refused.into()),
        }
    }

    fn answer_then(&mut self, key: Key, ticket: u64, then: Then) {
        match then {
            Then::Done => self.answer_done(ticket),
            Then::LastId => {
                let answer = match self.topics.get(key) {
                    Some(entry) => last_id(entry, self.log.state())
                        .map_or(Refused::new(404, "Topic not found").into(), AdminAnswer::Id),
                    None => Refused::new(404, "Topic not found").into(),
                };
                self.answer(ticket, answer);
            }
        }
    }

    /// A fact is durable.
    pub(super) fn answer_saved(&mut self, key: Key, id: SaveId) {
        for (ticket, then) in self.asks.saves.remove(&(key, id)).unwrap_or_default() {
            self.answer_then(key, ticket, then);
        }
    }

    /// A fact is not saved.
    pub(super) fn refuse_asks(&mut self, key: Key, id: SaveId, error: &LogError) {
        for (ticket, _) in self.asks.saves.remove(&(key, id)).unwrap_or_default() {
            self.answer_refused(ticket, 500, &format!("It cannot be stored: {error}"));
        }
    }

    /// The topic is gone: nothing of it is saved any more.
    pub(super) fn refuse_asks_of(&mut self, key: Key) {
        let of = (key, SaveId(0))..=(key, SaveId(u64::MAX));
        let gone: Vec<_> = self.asks.saves.range(of).map(|(of, _)| *of).collect();
        let gone: Vec<_> = gone.into_iter().filter_map(|of| self.asks.saves.remove(&of)).flatten().collect();
        for (ticket, _) in gone {
            self.answer_refused(ticket, 404, "The topic was deleted meanwhile");
        }
    }

    /// Nothing is saved any more.
    pub(super) fn refuse_all_asks(&mut self, reason: &str) {
        for (ticket, _) in std::mem::take(&mut self.asks.saves).into_values().flatten() {
            self.answer_refused(ticket, 500, reason);
        }
    }

    /// The first entry at or after a time, or the place behind the last one.
    pub(super) fn answer_id_at(&mut self, key: Key, ticket: u64, found: Option<Position>) {
        let answer = self.topics.get(key).and_then(|entry| {
            let topic = entry.topic()?;
            let at = found.unwrap_or(topic.ledgers().end());
            Some(id_shown(topic, at, -1))
        });
        let missing = Refused::new(404, "Topic not found").into();
        self.answer(ticket, answer.map_or(missing, AdminAnswer::Id));
    }

    pub(super) fn answer_entry(&mut self, ticket: u64, at: Position, entry: Option<Bytes>) {
        match entry {
            Some(entry) => self.answer(ticket, AdminAnswer::Entry(EntryShown { at, entry })),
            None => self.answer_refused(ticket, 404, "Message not found"),
        }
    }
}

fn id_shown(topic: &Topic, at: Position, batch_index: i32) -> MessageIdShown {
    let partition = topic.settings().partition;
    MessageIdShown { ledger: at.ledger.0, entry: at.entry.0.cast_signed(), partition, batch_index }
}

/// The last entry of a topic; of an empty one the place before the first of its last ledger.
pub(super) fn last_id(entry: &Entry, state: &State) -> Option<MessageIdShown> {
    let topic = entry.topic()?;
    if let Some(last) = topic.ledgers().last() {
        return Some(id_shown(topic, last, topic.last_batch().map_or(-1, |size| size - 1)));
    }
    let ledger = entry.ledgers(state).last().map_or(0, |ledger| ledger.id.0);
    Some(MessageIdShown { ledger, entry: -1, partition: topic.settings().partition, batch_index: -1 })
}
