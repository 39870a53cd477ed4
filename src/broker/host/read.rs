//! Reading entries back: for consumers that are behind, for topics that are being loaded, for administrators, and to find the
//! first entry published at or after a time.

use super::registry::Body;
use super::{Host, Purpose};
use crate::base::id::Position;
use crate::base::table::Key;
use crate::base::time::Clock;
use crate::broker::event::SaveId;
use crate::store::{Found, Lookup, ReadError, ReadId, Stored};
use crate::wire::pulsar::frame;
use crate::wire::pulsar::metadata::MetadataView;

/// What a search is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SearchFor {
    /// A topic asked.
    Topic(SaveId),
    /// An administrator asked for an id.
    Id(u64),
    /// An administrator puts a subscription there.
    Reset { subscription: String, ticket: u64 },
    /// Messages before it expire.
    Expire { subscription: String },
}

/// When an entry was published, milliseconds since the epoch.
pub(super) fn published(entry: &[u8]) -> u64 {
    let metadata = frame::payload(entry).ok().and_then(|payload| MetadataView::read(payload.metadata).ok());
    metadata.map_or(0, |metadata| metadata.publish_time)
}

impl Host {
    /// Entries for the consumers of a topic.
    pub(super) fn read_for(&mut self, clock: Clock, key: Key, from: Position, bytes: usize) {
        match self.log.read(from, bytes) {
            Lookup::Ready(run) => {
                let entries = run.into_iter().map(|stored| stored.bytes);
                self.poke(key, |topic| topic.on_read(from, entries));
            }
            Lookup::Fetch(read) => drop(self.reads.insert(read, (key, Purpose::Consumers))),
            Lookup::Absent => self.poke(key, |topic| topic.on_read_failed(clock)),
        }
    }

    /// A time is looked for in a topic: the first entry whose time in the log, which is when it was published, is that or later.
    pub(super) fn search(&mut self, clock: Clock, key: Key, time: u64, what: SearchFor) {
        let Some(id) = self.topics.get(key).and_then(|entry| entry.id) else {
            return self.search_failed(key, what);
        };
        match self.log.find_time(id, time) {
            Found::Known(found) => self.search_ended(clock, key, what, found),
            Found::Fetch(read) => drop(self.reads.insert(read, (key, Purpose::Search(Box::new(what))))),
        }
    }

    /// A search ended.
    pub(super) fn on_found(
        &mut self,
        clock: Clock,
        read: ReadId,
        found: Result<Option<Position>, ReadError>,
    ) {
        let Some((key, Purpose::Search(what))) = self.reads.remove(&read) else { return };
        match found {
            Ok(found) => self.search_ended(clock, key, *what, found),
            Err(error) => {
                if let Some(entry) = self.topics.get(key) {
                    log::error!("{}: a time cannot be looked for: {error}", entry.name);
                }
                self.search_failed(key, *what);
            }
        }
    }

    fn search_ended(&mut self, clock: Clock, key: Key, what: SearchFor, found: Option<Position>) {
        match what {
            SearchFor::Topic(id) => self.with_topic(clock, key, |topic| topic.on_found(clock, id, found)),
            SearchFor::Id(ticket) => self.answer_id_at(key, ticket, found),
            SearchFor::Reset { subscription, ticket } => {
                self.reset_to(clock, key, ticket, &subscription, found, None);
            }
            SearchFor::Expire { subscription } => {
                self.with_topic(clock, key, |topic| {
                    let to = found.unwrap_or(topic.ledgers().end());
                    topic.expire_below(clock, &subscription, to);
                });
                self.save_soon(clock, key);
            }
        }
    }

    fn search_failed(&mut self, key: Key, what: SearchFor) {
        match what {
            SearchFor::Topic(id) => self.poke(key, |topic| topic.on_not_found(id)),
            SearchFor::Id(ticket) | SearchFor::Reset { ticket, .. } => {
                self.answer_refused(ticket, 500, "Entries could not be read");
            }
            SearchFor::Expire { .. } => {}
        }
    }

    /// A read ended: entries of one ledger, from `first` on.
    pub(super) fn on_read(
        &mut self,
        clock: Clock,
        read: ReadId,
        first: Position,
        entries: Result<Vec<Stored>, ReadError>,
    ) {
        let Some((key, purpose)) = self.reads.remove(&read) else { return };
        if let (Err(error), Some(entry)) = (&entries, self.topics.get(key)) {
            log::error!("{}: entries from {first:?} on cannot be read: {error}", entry.name);
        }
        match (purpose, entries) {
            (Purpose::Consumers, Ok(entries)) => {
                let entries = entries.into_iter().map(|stored| stored.bytes);
                self.poke(key, |topic| topic.on_read(first, entries));
            }
            (Purpose::Consumers, Err(_)) => self.poke(key, |topic| topic.on_read_failed(clock)),
            (Purpose::Load, entries) => {
                self.on_load_read(clock, key, first, entries.ok().as_deref());
                self.admit_waiting(clock);
            }
            (Purpose::Search(what), _) => self.search_failed(key, *what),
            (Purpose::Show { ticket }, Ok(entries)) => {
                self.answer_entry(ticket, first, entries.into_iter().next().map(|stored| stored.bytes));
            }
            (Purpose::Show { ticket }, Err(_)) => {
                self.answer_refused(ticket, 500, "The entry could not be read");
            }
        }
    }

    /// Those that waited for topics which are in memory now have their turn.
    pub(super) fn admit_waiting(&mut self, clock: Clock) {
        while let Some((key, waiting)) = self.loaded.pop_front() {
            for waiting in waiting {
                match waiting {
                    super::registry::Waiting::Command { connection, command } => {
                        self.admit(clock, key, connection, command);
                    }
                    super::registry::Waiting::Ask { ticket, ask } => self.ask_topic(clock, key, ticket, ask),
                }
            }
        }
    }

    /// Whether something is being read for a topic.
    pub(super) fn is_reading(&self, key: Key) -> bool {
        self.reads.values().any(|(of, _)| *of == key)
            || self.topics.get(key).is_some_and(|entry| matches!(entry.body, Body::Loading(_)))
    }
}
