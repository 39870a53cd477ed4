//! Bringing a topic into memory. Its records say nearly everything; the last entry says whether it is a batch, and the entries
//! behind the last snapshot say what deduplication has to know (broker 3.4).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::registry::{Body, Entry, Loading, Waiting};
use super::{Host, HostState, Purpose};
use crate::base::id::{EntryId, Position};
use crate::base::limit::{READ_AHEAD_BYTES, TOPIC_WAITING_MAX};
use crate::base::table::Key;
use crate::base::time::Clock;
use crate::broker::catalogue::{Catalogue, Effective};
use crate::broker::event::Refusal;
use crate::broker::ledgers::behind;
use crate::broker::settings::Settings;
use crate::broker::topic::{Recovered, Topic};
use crate::store::{Lookup, Stored};
use crate::wire::pulsar::Command;
use crate::wire::pulsar::frame;
use crate::wire::pulsar::metadata::MetadataView;
use crate::wire::pulsar::proto::ServerError;
use crate::wire::route::TopicName;

/// A property that the broker keeps with a topic: when compaction was last asked for.
pub(super) const COMPACTED: &str = "compacted";

/// What policies say about a topic, and what it goes by.
pub(super) fn rules(catalogue: &Catalogue, name: &str, broker: &Effective) -> Effective {
    match TopicName::parse(name) {
        Ok(name) => catalogue.effective(&name, broker),
        Err(_) => broker.clone(),
    }
}

/// What a topic goes by, of what policies say.
pub(super) fn settings(rules: &Effective) -> Settings {
    Settings {
        topic_consumers_max: rules.consumers_per_topic_max,
        delay_max: rules.delay_max,
        subscription_types: rules.subscription_types,
        ..rules.settings.clone()
    }
}

impl Host {
    /// Makes sure that a topic is in memory, or on its way. `false`: it is on its way.
    pub(super) fn load(&mut self, clock: Clock, catalogue: &Catalogue, key: Key) -> bool {
        let Some(entry) = self.topics.get_mut(key) else { return false };
        match &entry.body {
            Body::Loaded(_) => return true,
            Body::Loading(_) => return false,
            Body::Resting => {}
        }
        (entry.used, entry.used_ms) = (clock.now, clock.wall.0.cast_unsigned());
        let rules = Arc::new(rules(catalogue, &entry.name, &self.config.rules));
        let state = self.log.state();
        let ledgers = entry.find_ledgers(state);
        let mut next = ledgers.last().unwrap_or(ledgers.end());
        let mut sequences = BTreeMap::new();
        if rules.settings.deduplication {
            let saved = entry.id.and_then(|id| state.topic(id)?.dedup.as_ref());
            let names = saved.into_iter().flat_map(|saved| &saved.names);
            sequences.extend(names.map(|(name, at)| (String::from_utf8_lossy(name).into_owned(), *at)));
            next = next.min(ledgers.settle(saved.map_or(ledgers.first(), |saved| saved.below)));
        }
        entry.rules = Some(rules);
        let loading = Loading { ledgers, next, last_batch: None, sequences, waiting: VecDeque::new() };
        entry.body = Body::Loading(Box::new(loading));
        self.go_on_loading(clock, key)
    }

    /// Reads what is in memory, asks for the rest. `true`: the topic is loaded.
    fn go_on_loading(&mut self, clock: Clock, key: Key) -> bool {
        let Some(entry) = self.topics.get_mut(key) else { return false };
        let Body::Loading(loading) = &mut entry.body else { return false };
        loop {
            let at = loading.ledgers.settle(loading.next);
            if at == loading.ledgers.end() {
                break;
            }
            match self.log.read(at, READ_AHEAD_BYTES) {
                Lookup::Ready(run) => loading.note_all(at, &run),
                Lookup::Fetch(read) => {
                    self.reads.insert(read, (key, Purpose::Load));
                    return false;
                }
                Lookup::Absent => loading.next = behind(at),
            }
        }
        let Body::Loading(loading) = std::mem::replace(&mut entry.body, Body::Resting) else { return false };
        let stored = entry.id.and_then(|id| self.log.state().topic(id));
        let cursors = stored.into_iter().flat_map(|stored| &stored.cursors);
        let found = Recovered {
            ledgers: loading.ledgers,
            last_batch: loading.last_batch,
            cursors: cursors.map(|(id, cursor)| (*id, (**cursor).clone())).collect(),
            epoch: stored.and_then(|stored| stored.epoch),
            sequences: loading.sequences.into_iter().collect(),
            terminated: stored.is_some_and(|stored| stored.terminated),
        };
        let settings = entry.rules.as_ref().map_or_else(Settings::default, |rules| settings(rules));
        let mut topic = Topic::new(&entry.name, settings, found);
        if self.state == HostState::Full {
            topic.on_append_refused(clock, 0);
        }
        entry.body = Body::Loaded(Box::new(topic));
        self.loaded.extend((!loading.waiting.is_empty()).then_some((key, loading.waiting)));
        self.touch(clock, key);
        true
    }

    /// Entries came that a topic is loaded with.
    pub(super) fn on_load_read(
        &mut self,
        clock: Clock,
        key: Key,
        first: Position,
        entries: Option<&[Stored]>,
    ) {
        let Some(Entry { body: Body::Loading(loading), name, .. }) = self.topics.get_mut(key) else { return };
        match entries {
            Some(entries) => loading.note_all(first, entries),
            None => {
                log::error!("{name}: {:?} cannot be read: left out while loading", loading.next);
                loading.next = behind(loading.next);
            }
        }
        self.go_on_loading(clock, key);
    }

    /// Something for a topic that is on its way waits for it. Comes back if too much waits already.
    #[allow(
        clippy::result_large_err,
        reason = "given back as it came: a box would be an allocation per request"
    )]
    pub(super) fn wait_for(&mut self, key: Key, what: Waiting) -> Option<Waiting> {
        match self.topics.get_mut(key) {
            Some(Entry { body: Body::Loading(loading), .. }) if loading.waiting.len() < TOPIC_WAITING_MAX => {
                loading.waiting.push_back(what);
                None
            }
            _ => Some(what),
        }
    }
}

impl Loading {
    /// What entries side by side say, from `first` on.
    fn note_all(&mut self, first: Position, entries: &[Stored]) {
        for (index, stored) in (0..).zip(entries) {
            self.note(Position { ledger: first.ledger, entry: EntryId(first.entry.0 + index) }, stored);
        }
    }

    /// What an entry says.
    fn note(&mut self, at: Position, stored: &Stored) {
        self.next = behind(at);
        let payload = frame::payload(&stored.bytes).ok();
        let metadata = payload.and_then(|payload| MetadataView::read(payload.metadata).ok());
        let Some(metadata) = metadata else { return };
        self.last_batch = metadata.batch_size;
        // A message whose chunks are not all there does not count as stored.
        let whole = metadata.chunks <= 1 || metadata.chunk_id + 1 >= metadata.chunks;
        let first = metadata.sequence_id;
        let last = metadata.highest_sequence_id.filter(|last| *last as i64 > first as i64).unwrap_or(first);
        if let Some(sequence) = if whole { Some(last) } else { first.checked_sub(1) } {
            match self.sequences.get_mut(metadata.producer_name) {
                Some(known) => *known = sequence.max(*known),
                None => drop(self.sequences.insert(metadata.producer_name.to_owned(), sequence)),
            }
        }
    }
}

/// The refusal when a topic cannot be had now, and its request id.
pub(super) fn not_ready(command: &Command) -> Option<Command> {
    let refusal = Refusal {
        code: ServerError::ServiceNotReady,
        text: "The topic is being loaded, try again".to_owned(),
    };
    match command {
        Command::Producer(producer) => Some(refusal.command(producer.request_id)),
        Command::Subscribe(subscribe) => Some(refusal.command(subscribe.request_id)),
        _ => None,
    }
}
