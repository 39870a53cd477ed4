//! What administrators and time do to a topic and its subscriptions: each returns the save to wait for, where something is to be
//! durable before it counts as done.

use std::collections::BTreeMap;

use super::*;
use crate::broker::ack_set::AckSet;
use crate::broker::admin::{PropertiesChange, Refused};
use crate::broker::ledgers::behind;

/// The refusal for a subscription that is not there, in the words of a 4.0.7 broker (observed).
pub(in crate::broker) fn missing(name: &str, topic: &str) -> Refused {
    Refused::new(404, format!("Subscription {name} not found for topic {topic}"))
}

impl Topic {
    /// Its full name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its durable entries.
    pub fn ledgers(&self) -> &Ledgers {
        &self.ledgers
    }

    /// What it goes by now.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// It goes by other settings from now on. Producers that may not be encrypted are closed and come again.
    pub fn set_settings(&mut self, clock: Clock, settings: Settings) {
        if settings.encryption_required && !self.settings.encryption_required {
            self.producers.close_all(clock.now, &mut self.out);
        }
        if settings.deduplication != self.settings.deduplication {
            self.publisher.deduplicate(settings.deduplication);
            if !settings.deduplication {
                let _: SaveId = self.out.save(Save::DedupForgotten);
            }
        }
        self.settings = settings;
    }

    /// A quota is exceeded, or is not any more. `evict`: those that publish are closed as well.
    pub fn set_over_quota(&mut self, clock: Clock, code: Option<ServerError>, evict: bool) {
        self.over_quota = code;
        if code.is_some() && evict {
            self.producers.close_all(clock.now, &mut self.out);
        }
    }

    /// Newcomers that would publish are kept out.
    pub fn is_over_quota(&self) -> bool {
        self.over_quota.is_some()
    }

    /// Names of its subscriptions, and whether each is durable.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&str, bool)> {
        self.subscriptions.iter().map(|(name, found)| (name.as_str(), found.durable))
    }

    /// The first entry a subscription has to consume. `None`: no such subscription.
    pub fn floor(&self, name: &str) -> Option<Position> {
        self.subscriptions.get(name).map(|found| found.cursor.floor())
    }

    /// The first entry that a subscription has to consume still. `None`: there is none, or no such subscription.
    pub fn first_unacked(&self, name: &str) -> Option<Position> {
        let cursor = &self.subscriptions.get(name)?.cursor;
        Some(cursor.next_unacked(cursor.floor(), &self.ledgers)).filter(|at| *at != self.ledgers.end())
    }

    /// Messages in the last entry, if that is a batch.
    pub fn last_batch(&self) -> Option<i32> {
        self.last_batch
    }

    /// No new entry may be added.
    pub fn is_terminated(&self) -> bool {
        self.terminated
    }

    /// Connected producers and consumers.
    pub fn clients(&self) -> (usize, usize) {
        (self.producers.len() + self.producers.waiting(), self.consumers.len())
    }

    /// No entry waits for storage.
    pub fn is_idle(&self) -> bool {
        self.publisher.is_idle()
    }

    /// Nothing waits for storage.
    pub fn is_settled(&self) -> bool {
        self.publisher.is_idle() && self.after.is_empty() && !self.reading && self.owed.is_empty()
    }

    /// Makes a durable subscription.
    pub fn create_subscription(
        &mut self,
        clock: Clock,
        name: &str,
        place: Position,
        properties: BTreeMap<String, String>,
        replicated: bool,
    ) -> Result<SaveId, Refused> {
        if self.subscriptions.contains_key(name) {
            return Err(Refused::new(409, "Subscription already exists for topic"));
        }
        if name.trim().is_empty() || name == "pulsar.dedup" || name.starts_with("pulsar.repl.") {
            return Err(Refused::new(412, "Subscription name is reserved or empty"));
        }
        let max = self.settings.subscriptions_max;
        if max > 0 && self.subscriptions.len() >= max {
            let text = "Exceed the maximum number of subscriptions of the topic";
            return Err(Refused::new(409, text));
        }
        let id = CursorId(self.next_cursor);
        self.next_cursor += 1;
        let mut kept = Properties { given: properties, ..Properties::default() };
        kept.set("replicated", u8::from(replicated));
        let mut made = Subscription::new(id, Cursor::new(place), true, kept);
        made.last_active_ms = clock.wall.0.cast_unsigned();
        made.is_new = true;
        let save = made.save_all(name, &mut self.out);
        self.subscriptions.insert(name.to_owned(), made);
        Ok(save)
    }

    /// Deletes a subscription; `None`: it was not durable.
    pub fn delete_subscription(&mut self, name: &str, force: bool) -> Result<Option<SaveId>, Refused> {
        let subscription = self.subscriptions.get_mut(name).ok_or_else(|| missing(name, &self.name))?;
        if !subscription.consumers().is_empty() && !force {
            return Err(Refused::new(412, "Subscription has active connected consumers"));
        }
        subscription.fenced = true;
        let (durable, id) = (subscription.durable, subscription.id);
        for closed in subscription.close_all(&mut self.out) {
            self.consumers.remove(&closed);
        }
        if durable {
            let save = self.out.save(Save::CursorDeleted { id });
            self.after.insert(save, After::Deleted(name.to_owned()));
            return Ok(Some(save));
        }
        self.subscriptions.remove(name);
        Ok(None)
    }

    /// Consumes so many entries; `None`: all.
    pub fn skip(&mut self, name: &str, entries: Option<u64>) -> Result<Option<SaveId>, Refused> {
        let subscription = self.subscriptions.get(name).ok_or_else(|| missing(name, &self.name))?;
        let mut to = self.ledgers.end();
        if let Some(count) = entries {
            to = subscription.cursor.floor();
            for _ in 0..count {
                let at = subscription.cursor.next_unacked(to, &self.ledgers);
                if at == self.ledgers.end() {
                    break;
                }
                to = behind(at);
            }
        }
        self.consume_below(name, to)
    }

    /// Consumes everything below a place.
    fn consume_below(&mut self, name: &str, to: Position) -> Result<Option<SaveId>, Refused> {
        let subscription = self.subscriptions.get_mut(name).ok_or_else(|| missing(name, &self.name))?;
        subscription.cursor.ack_below(to, &self.ledgers);
        subscription.caught_up(&self.ledgers);
        if !subscription.durable {
            return Ok(None);
        }
        Ok(subscription.save(name, &mut self.out).or(subscription.saving))
    }

    /// Takes everything below a place away from a subscription because it is too old. Whether there was something.
    pub fn expire_below(&mut self, clock: Clock, name: &str, to: Position) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(name) else { return false };
        let before = subscription.cursor.backlog(&self.ledgers);
        subscription.cursor.ack_below(to.min(self.ledgers.end()), &self.ledgers);
        subscription.caught_up(&self.ledgers);
        let gone = before - subscription.cursor.backlog(&self.ledgers);
        subscription.expired.messages += gone;
        subscription.last_expire_ms = clock.wall.0.cast_unsigned();
        gone > 0
    }

    /// Puts a cursor before an entry; consumers are closed and come again. `left`: what remains of a batch there.
    pub fn reset_cursor(
        &mut self,
        name: &str,
        place: Position,
        first_in_batch: Option<u32>,
    ) -> Result<Option<SaveId>, Refused> {
        let subscription = self.subscriptions.get_mut(name).ok_or_else(|| missing(name, &self.name))?;
        if subscription.fenced {
            return Err(Refused::new(412, "Subscription is being reset already"));
        }
        let place = self.ledgers.settle(place);
        for closed in subscription.close_all(&mut self.out) {
            self.consumers.remove(&closed);
        }
        subscription.cursor.reset(place);
        if let Some(left) = first_in_batch.and_then(AckSet::from_index) {
            subscription.cursor.ack_part(place, &left, &self.ledgers);
        }
        if !subscription.durable {
            return Ok(None);
        }
        subscription.fenced = true;
        let save = subscription.save_all(name, &mut self.out);
        self.after.insert(save, After::Reset(name.to_owned()));
        Ok(Some(save))
    }

    /// The n-th entry, from 1, of those a subscription has to consume.
    pub fn nth_unacked(&self, name: &str, position: u64) -> Result<Option<Position>, Refused> {
        let subscription = self.subscriptions.get(name).ok_or_else(|| missing(name, &self.name))?;
        let mut at = subscription.cursor.floor();
        for left in (0..position).rev() {
            at = subscription.cursor.next_unacked(at, &self.ledgers);
            if at == self.ledgers.end() {
                return Ok(None);
            }
            if left > 0 {
                at = behind(at);
            }
        }
        Ok((position > 0).then_some(at))
    }

    /// Properties given to a subscription.
    pub fn subscription_properties(&self, name: &str) -> Result<BTreeMap<String, String>, Refused> {
        let subscription = self.subscriptions.get(name).ok_or_else(|| missing(name, &self.name))?;
        Ok(subscription.properties.given.clone())
    }

    /// Changes them.
    pub fn change_subscription_properties(
        &mut self,
        name: &str,
        change: &PropertiesChange,
    ) -> Result<Option<SaveId>, Refused> {
        let subscription = self.subscriptions.get_mut(name).ok_or_else(|| missing(name, &self.name))?;
        change.apply(&mut subscription.properties.given);
        Ok(subscription.durable.then(|| subscription.save_all(name, &mut self.out)))
    }

    /// Makes other facts durable.
    pub fn save(&mut self, save: Save) -> SaveId {
        self.out.save(save)
    }

    /// Durable subscriptions without consumers that were last used before a time, milliseconds since the epoch. Of those that
    /// were in use when the process died, the use ends now.
    pub fn unused_since(&mut self, clock: Clock, time: u64) -> Vec<String> {
        let mut unused = Vec::new();
        for (name, found) in &mut self.subscriptions {
            if found.last_active_ms == 0 {
                found.last_active_ms = clock.wall.0.cast_unsigned();
                found.cursor.on_save_failed();
            }
            if found.durable && !found.fenced && found.consumers().is_empty() && found.last_active_ms < time {
                unused.push(name.clone());
            }
        }
        unused
    }
}
