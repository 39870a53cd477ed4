//! A topic and its storage: what became of entries, reads and saves, and what storage makes of the topic.

use super::*;
use crate::base::limit::DEDUP_SNAPSHOT_ENTRIES;
use crate::broker::event::Refusal;

impl Topic {
    /// The oldest `count` entries on their way are durable, from `first` on, in one ledger.
    pub fn on_appended(&mut self, clock: Clock, first: Position, count: u64) {
        for index in 0..count {
            let at = Position { ledger: first.ledger, entry: EntryId(first.entry.0 + index) };
            let appended = self.publisher.appended(at, &self.producers, &mut self.out);
            let appended = appended.expect("the store confirms what it was asked to store, once");
            self.count_in(&appended);
            self.last_batch = appended.batch;
            self.entries.push(at, appended.entry);
        }
        self.ledgers.append(first, count);
        self.unsaved_sequences += count;
        if self.unsaved_sequences >= DEDUP_SNAPSHOT_ENTRIES {
            self.save_sequences();
        }
        self.close_full(clock);
    }

    /// The store has no room: of the entries on their way it takes the first `taken`. Producers are closed once those are
    /// answered, and newcomers refused, until [`Topic::on_room`].
    pub fn on_append_refused(&mut self, clock: Clock, taken: usize) {
        self.full = true;
        self.publisher.refused(taken, &self.producers, &mut self.out);
        self.close_full(clock);
    }

    fn close_full(&mut self, clock: Clock) {
        if self.full && self.publisher.is_idle() && self.producers.len() > 0 {
            self.producers.close_all(clock.now, &mut self.out);
        }
    }

    /// The store has room again.
    pub fn on_room(&mut self) {
        self.full = false;
    }

    /// All entries on their way failed. Producers are closed and come again; newcomers are refused until
    /// [`Topic::on_storage_ready`].
    pub fn on_append_failed(&mut self, clock: Clock) {
        self.fenced = true;
        self.publisher.failed(&self.producers, &mut self.out);
        self.producers.close_all(clock.now, &mut self.out);
    }

    /// The store takes entries again.
    pub fn on_storage_ready(&mut self) {
        self.fenced = false;
    }

    /// Entries were read: at least one, from `first` on, in one ledger.
    pub fn on_read(&mut self, first: Position, entries: impl IntoIterator<Item = Bytes>) {
        for (index, entry) in (0..).zip(entries) {
            let at = Position { ledger: first.ledger, entry: EntryId(first.entry.0 + index) };
            self.entries.insert(at, entry);
        }
        self.reading = false;
        self.read_retry = None;
    }

    /// Entries could not be read: tried again later.
    pub fn on_read_failed(&mut self, clock: Clock) {
        let wait = self.read_retry.map_or(READ_RETRY_MIN, |(_, wait)| (2 * wait).min(READ_RETRY_MAX));
        self.reading = false;
        self.read_retry = Some((clock.now + wait, wait));
    }

    /// A fact is durable: what waited for it goes on.
    pub fn on_saved(&mut self, id: SaveId) {
        self.producers.on_saved(id);
        for subscription in self.subscriptions.values_mut() {
            if subscription.saving == Some(id) {
                (subscription.saving, subscription.is_new) = (None, false);
            }
        }
        self.out.release(id);
        match self.after.remove(&id) {
            Some(After::Reset(name)) => {
                if let Some(subscription) = self.subscriptions.get_mut(&name) {
                    subscription.fenced = false;
                }
            }
            Some(After::Deleted(name)) => drop(self.subscriptions.remove(&name)),
            Some(After::Found { .. } | After::Rollback { .. }) | None => {}
        }
    }

    /// A fact was not saved, and will not be: who waited for it is refused.
    pub fn on_save_failed(&mut self, clock: Clock, id: SaveId) {
        let refusal = Refusal::new(ServerError::PersistenceError, "There is no room to store this");
        self.out.refuse(id, &refusal);
        for subscription in self.subscriptions.values_mut().filter(|found| found.saving == Some(id)) {
            subscription.saving = None;
            subscription.cursor.on_save_failed();
        }
        self.producers.on_save_failed(clock.now, id, &mut self.out);
        if let Some(After::Reset(name) | After::Deleted(name)) = self.after.remove(&id)
            && let Some(subscription) = self.subscriptions.get_mut(&name)
        {
            subscription.fenced = false;
        }
    }

    /// Acknowledgements whose confirmation was asked for are saved, and confirmed when that is durable (broker 5.1).
    pub(super) fn confirm_acks(&mut self) {
        for (name, key, request_id) in std::mem::take(&mut self.owed) {
            let command = ack_response(key, request_id);
            let saving = self.subscriptions.get_mut(&name).filter(|found| found.durable);
            let saving = saving.and_then(|found| found.save(&name, &mut self.out).or(found.saving));
            match saving {
                Some(id) => self.out.hold(id, key.connection, command),
                None => self.out.send(key.connection, command),
            }
        }
    }

    /// Soon after acknowledgements (`cursorFlushIntervalMs`): cursors that moved are saved.
    pub fn save_cursors(&mut self) {
        for (name, subscription) in &mut self.subscriptions {
            if subscription.durable && !subscription.fenced {
                let _: Option<SaveId> = subscription.save(name, &mut self.out);
            }
        }
    }

    /// A cursor waits for [`Topic::save_cursors`].
    pub fn is_dirty(&self) -> bool {
        let mut durable = self.subscriptions.values().filter(|found| found.durable && !found.fenced);
        durable.any(|found| found.cursor.is_dirty())
    }

    /// Now and then: what is forgotten after a while is, and rates are made when `rates` has passed since they were.
    pub fn on_tick(&mut self, clock: Clock, rates: Duration) {
        let passed = clock.now.since(self.rolled.unwrap_or(clock.now));
        if passed >= rates || self.rolled.is_none() {
            self.roll(passed);
            self.rolled = Some(clock.now);
        }
        self.producers.on_tick(clock.now);
        self.subscriptions.retain(|_, subscription| {
            let idle = !subscription.durable && subscription.consumers().is_empty();
            subscription.idle_since = subscription.idle_since.filter(|_| idle).or(idle.then_some(clock.now));
            subscription.idle_since.is_none_or(|since| clock.now.since(since) < READER_RETURN_MAX)
        });
        self.save_cursors();
    }

    /// What deduplication knows is saved: after many entries, or now and then (protocol 7.6).
    pub fn save_sequences(&mut self) {
        if self.unsaved_sequences == 0 {
            return;
        }
        self.unsaved_sequences = 0;
        if let Some(dedup) = self.publisher.dedup() {
            let save = Save::Dedup { names: dedup.snapshot(), below: self.ledgers.end() };
            let _: SaveId = self.out.save(save);
        }
    }

    /// Retention took the ledgers below one.
    pub fn on_trimmed(&mut self, first: Position) {
        self.ledgers.trim(first.ledger);
        for subscription in self.subscriptions.values_mut() {
            subscription.cursor.trim(first, &self.ledgers);
        }
    }

    /// Seals the topic: producers go, consumers are told once they are through. Twice is once.
    pub fn terminate(&mut self, clock: Clock) -> Option<SaveId> {
        if self.terminated {
            return None;
        }
        self.terminated = true;
        self.producers.close_all(clock.now, &mut self.out);
        Some(self.out.save(Save::Terminated))
    }

    /// The topic leaves this core, or goes: its clients are sent away and come again.
    pub fn close(&mut self, clock: Clock) {
        self.fenced = true;
        self.producers.close_all(clock.now, &mut self.out);
        for subscription in self.subscriptions.values_mut() {
            subscription.close_all(&mut self.out);
        }
        self.consumers.clear();
    }
}

/// The positive answer to an acknowledgement.
pub(super) fn ack_response(key: ClientKey, request_id: u64) -> Command {
    use crate::wire::pulsar::proto::CommandAckResponse;
    let request_id = Some(request_id);
    Command::AckResponse(CommandAckResponse { consumer_id: key.id, request_id, ..Default::default() })
}
