//! Questions of administrators about one topic, which is in memory (broker 6.4).

use super::answer::{Then, last_id};
use super::ask::refuse_volatile;
use super::load::COMPACTED;
use super::read::SearchFor;
use super::registry::{Body, Entry};
use super::{Host, Purpose};
use crate::base::id::{EntryId, Position};
use crate::base::table::Key;
use crate::base::time::Clock;
use crate::broker::admin::{AdminAnswer, AdminAsk, Expire, Place, Refused, StatsOptions};
use crate::broker::event::{Save, SaveId};
use crate::broker::ledgers::behind;
use crate::broker::stats::{InternalStats, LedgerStats, PlaceShown, TopicState, TopicStats};
use crate::broker::topic::Topic;
use crate::broker::topic::operate::missing;
use crate::store::Lookup;

impl Host {
    /// Tells a topic in memory something, and answers when what follows from it is durable.
    fn tell_and_answer(
        &mut self,
        key: Key,
        ticket: u64,
        tell: impl FnOnce(&mut Topic) -> Result<Option<SaveId>, Refused>,
    ) {
        let Some(topic) = self.topics.get_mut(key).and_then(Entry::topic_mut) else {
            return self.answer_refused(ticket, 404, "Topic not found");
        };
        let result = tell(topic);
        self.answer_result(key, ticket, result);
        self.serve_soon(key);
    }

    pub(super) fn ask_topic(&mut self, clock: Clock, key: Key, ticket: u64, ask: AdminAsk) {
        let Some(entry) = self.topics.get(key) else {
            return self.answer_refused(ticket, 404, "Topic not found");
        };
        if let Some(refused) = refuse_volatile(&ask, entry) {
            return self.answer(ticket, refused.into());
        }
        match ask {
            AdminAsk::Delete { force, .. } => self.ask_delete(clock, key, ticket, force),
            AdminAsk::Stats { options, .. } => match self.topic_stats(key, options) {
                Some(stats) => self.answer(ticket, AdminAnswer::Stats(Box::new(stats))),
                None => self.answer_refused(ticket, 404, "Topic not found"),
            },
            AdminAsk::Internal { .. } => match self.internal_stats(key) {
                Some(stats) => self.answer(ticket, AdminAnswer::Internal(Box::new(stats))),
                None => self.answer_refused(ticket, 404, "Topic not found"),
            },
            AdminAsk::Subscriptions { .. } => {
                let names = entry.topic().into_iter().flat_map(Topic::subscriptions);
                let names = names.map(|(name, _)| name.to_owned()).collect();
                self.answer(ticket, AdminAnswer::Names(names));
            }
            AdminAsk::LastId { .. } => self.answer_when_saved(key, None, ticket, Then::LastId),
            AdminAsk::IdByTime { time, .. } => self.search(clock, key, time, SearchFor::Id(ticket)),
            AdminAsk::BacklogSize { behind: at, .. } => {
                let bytes = entry.bytes_from(behind(at), self.log.state());
                self.answer(ticket, AdminAnswer::Size(bytes));
            }
            AdminAsk::Properties { .. } => {
                let properties = entry.properties.given.clone();
                self.answer(ticket, AdminAnswer::Properties(properties));
            }
            AdminAsk::Compacted { .. } => {
                let time = entry.properties.number(COMPACTED).unwrap_or(0);
                self.answer(ticket, AdminAnswer::Size(time));
            }
            AdminAsk::Unload { .. } => {
                self.unload(clock, key);
                // As after a restart, the next entry begins a ledger, so that this one can go when nobody wants it.
                if let Err(error) = self.close_ledger(clock, key) {
                    log::debug!("a ledger stays open: {error}");
                }
                self.answer_done(ticket);
            }
            AdminAsk::Truncate { .. } => self.truncate(clock, key, ticket),
            AdminAsk::Peek { subscription, position, .. } => {
                let found = entry.topic().map(|topic| topic.nth_unacked(&subscription, position));
                match found {
                    Some(Ok(Some(at))) => self.show(key, ticket, at),
                    Some(Err(refused)) => self.answer(ticket, refused.into()),
                    _ => self.answer_refused(ticket, 404, "Message not found"),
                }
            }
            AdminAsk::Entry { at, .. } => self.show(key, ticket, at),
            AdminAsk::Examine { from_earliest, position, .. } => {
                self.examine(key, ticket, from_earliest, position);
            }
            other => self.ask_change(clock, key, ticket, other),
        }
    }

    /// Questions that change something durable.
    fn ask_change(&mut self, clock: Clock, key: Key, ticket: u64, ask: AdminAsk) {
        match ask {
            AdminAsk::CreateSubscription { subscription, at, properties, replicated, .. } => {
                self.tell_and_answer(key, ticket, |topic| {
                    let at = place(topic, at);
                    topic.create_subscription(clock, &subscription, at, properties, replicated).map(Some)
                });
            }
            AdminAsk::DeleteSubscription { subscription, force, .. } => {
                self.tell_and_answer(key, ticket, |topic| topic.delete_subscription(&subscription, force));
                self.trims.push(key);
            }
            AdminAsk::Unsubscribe { subscription, .. } => {
                self.tell_and_answer(key, ticket, |topic| match topic.floor(&subscription) {
                    Some(_) => topic.delete_subscription(&subscription, false),
                    None => Ok(None),
                });
                self.trims.push(key);
            }
            AdminAsk::Skip { subscription, entries, .. } => {
                self.tell_and_answer(key, ticket, |topic| topic.skip(&subscription, entries));
                self.trims.push(key);
            }
            AdminAsk::ClearBacklog { subscription, .. } => {
                self.tell_and_answer(key, ticket, |topic| skip_all(topic, subscription.as_deref()));
                self.trims.push(key);
            }
            AdminAsk::Expire { subscription, what, .. } => {
                self.expire(clock, key, ticket, subscription.as_deref(), what);
            }
            AdminAsk::Reset { subscription, at: Place::Time(time), .. } => {
                let known =
                    self.topics.get(key).and_then(Entry::topic).and_then(|topic| topic.floor(&subscription));
                if known.is_none() {
                    let name = self.topics.get(key).map(|entry| entry.name.clone()).unwrap_or_default();
                    return self.answer(ticket, missing(&subscription, &name).into());
                }
                self.search(clock, key, time, SearchFor::Reset { subscription, ticket });
            }
            AdminAsk::Reset { subscription, at, batch_index, .. } => {
                self.tell_and_answer(key, ticket, |topic| {
                    let at = place(topic, at);
                    topic.reset_cursor(&subscription, at, batch_index)
                });
            }
            other => self.ask_change_topic(clock, key, ticket, other),
        }
    }

    /// Questions that change something durable of the topic itself.
    fn ask_change_topic(&mut self, clock: Clock, key: Key, ticket: u64, ask: AdminAsk) {
        match ask {
            AdminAsk::Terminate { .. } => {
                let Some(topic) = self.topics.get_mut(key).and_then(Entry::topic_mut) else { return };
                let save = topic.terminate(clock);
                self.answer_when_saved(key, save, ticket, Then::LastId);
                self.serve_soon(key);
            }
            other => self.ask_change_properties(clock, key, ticket, other),
        }
    }

    /// Questions about what is kept with a topic or a subscription.
    fn ask_change_properties(&mut self, clock: Clock, key: Key, ticket: u64, ask: AdminAsk) {
        match ask {
            AdminAsk::ChangeProperties { change, .. } => {
                let Some(entry) = self.topics.get_mut(key) else { return };
                let mut given = entry.properties.given.clone();
                change.apply(&mut given);
                if entry.id.is_none() {
                    entry.properties.given = given;
                    return self.answer_done(ticket);
                }
                self.tell_and_answer(key, ticket, |topic| Ok(Some(topic.save(Save::Properties(given)))));
            }
            AdminAsk::SubscriptionProperties { subscription, .. } => {
                let topic = self.topics.get(key).and_then(Entry::topic);
                match topic.map(|topic| topic.subscription_properties(&subscription)) {
                    Some(Ok(properties)) => self.answer(ticket, AdminAnswer::Properties(properties)),
                    Some(Err(refused)) => self.answer(ticket, refused.into()),
                    None => self.answer_refused(ticket, 404, "Topic not found"),
                }
            }
            AdminAsk::ChangeSubscriptionProperties { subscription, change, .. } => {
                self.tell_and_answer(key, ticket, |topic| {
                    topic.change_subscription_properties(&subscription, &change)
                });
            }
            AdminAsk::Compact { .. } => {
                let now = clock.wall.0.cast_unsigned();
                self.tell_and_answer(key, ticket, |topic| Ok(Some(topic.save(Save::Compacted(now)))));
            }
            _ => self.answer_refused(ticket, 500, "This is not asked of a topic"),
        }
    }

    fn ask_delete(&mut self, clock: Clock, key: Key, ticket: u64, force: bool) {
        let Some(topic) = self.topics.get_mut(key).and_then(Entry::topic_mut) else {
            return self.answer_refused(ticket, 404, "Topic not found");
        };
        let (producers, consumers) = topic.clients();
        if producers + consumers > 0 && !force {
            let text = format!("Topic has {} connected producers/consumers", producers + consumers);
            return self.answer_refused(ticket, 412, &text);
        }
        topic.close(clock);
        self.carry(clock, key);
        self.delete_and_answer(clock, key, ticket);
    }

    /// Puts a subscription before what was found; behind everything when nothing was.
    pub(super) fn reset_to(
        &mut self,
        _clock: Clock,
        key: Key,
        ticket: u64,
        subscription: &str,
        found: Option<Position>,
        batch_index: Option<u32>,
    ) {
        self.tell_and_answer(key, ticket, |topic| {
            let at = found.unwrap_or(topic.ledgers().end());
            topic.reset_cursor(subscription, at, batch_index)
        });
    }

    /// One entry is shown.
    fn show(&mut self, key: Key, ticket: u64, at: Position) {
        let exists =
            self.topics.get(key).and_then(Entry::topic).is_some_and(|topic| topic.ledgers().contains(at));
        if !exists {
            return self.answer_refused(ticket, 404, "Message id not found");
        }
        match self.log.read(at, 1) {
            Lookup::Ready(run) => {
                self.answer_entry(ticket, at, run.into_iter().next().map(|stored| stored.bytes));
            }
            Lookup::Fetch(read) => drop(self.reads.insert(read, (key, Purpose::Show { ticket }))),
            Lookup::Absent => self.answer_entry(ticket, at, None),
        }
    }

    fn examine(&mut self, key: Key, ticket: u64, from_earliest: bool, position: u64) {
        let Some(topic) = self.topics.get(key).and_then(Entry::topic) else { return };
        let ledgers = topic.ledgers();
        let total = ledgers.count(ledgers.first(), ledgers.end());
        if total == 0 {
            let text = "Could not examine messages due to the total message is zero";
            return self.answer_refused(ticket, 412, text);
        }
        let position = position.clamp(1, total);
        let index = if from_earliest { position - 1 } else { total - position };
        let at = ledgers.advance(ledgers.first(), index);
        self.show(key, ticket, at);
    }

    fn expire(&mut self, clock: Clock, key: Key, ticket: u64, subscription: Option<&str>, what: Expire) {
        let Some(topic) = self.topics.get_mut(key).and_then(Entry::topic_mut) else { return };
        let names: Vec<String> = match subscription {
            Some(name) => vec![name.to_owned()],
            None => topic.subscriptions().map(|(name, _)| name.to_owned()).collect(),
        };
        if let Some(name) = names.iter().find(|name| topic.floor(name).is_none()) {
            let refused = missing(name, topic.name());
            return self.answer(ticket, refused.into());
        }
        if names.iter().any(|name| topic.backlog(name).is_none_or(|(entries, _)| entries == 0)) {
            let text = format!(
                "Expire message by timestamp not issued on topic {} due to ongoing message expiration not \
                 finished or subscription almost catch up. If it's performed on a partitioned topic operation \
                 might succeeded on other partitions, please check stats of individual partition.",
                topic.name()
            );
            return self.answer_refused(ticket, 409, &text);
        }
        for name in names {
            match what {
                Expire::UpTo(at) => {
                    self.poke(key, |topic| {
                        topic.expire_below(clock, &name, behind(at));
                    });
                }
                Expire::Seconds(seconds) => {
                    let age = seconds.saturating_mul(1000);
                    let time = clock.wall.0.cast_unsigned().saturating_sub(age);
                    self.search(clock, key, time, SearchFor::Expire { subscription: name });
                }
            }
        }
        self.save_soon(clock, key);
        self.trims.push(key);
        self.answer_done(ticket);
    }

    fn truncate(&mut self, clock: Clock, key: Key, ticket: u64) {
        if let Err(error) = self.roll(clock, key) {
            return self.answer_refused(ticket, 503, &format!("It cannot be stored: {error}"));
        }
        self.tell_and_answer(key, ticket, |topic| skip_all(topic, None));
        if let Some(entry) = self.topics.get_mut(key) {
            entry.truncating = true;
        }
        self.trims.push(key);
    }

    pub(super) fn topic_stats(&self, key: Key, options: StatsOptions) -> Option<TopicStats> {
        let entry = self.topics.get(key)?;
        let Body::Loaded(topic) = &entry.body else {
            let persistent = entry.id.is_some();
            return Some(TopicStats {
                persistent,
                storage_bytes: entry.bytes(self.log.state()),
                ..TopicStats::default()
            });
        };
        let who = |connection| self.routes.peer(connection);
        let mut stats = topic.stats(who, !options.exclude_publishers, !options.exclude_consumers);
        stats.storage_bytes = entry.bytes(self.log.state());
        let state = self.log.state();
        for (name, found) in &mut stats.subscriptions {
            let floor = topic.floor(name).unwrap_or(topic.ledgers().end());
            let bytes = if found.backlog == 0 { 0 } else { entry.bytes_from(floor, state) };
            if found.durable {
                stats.backlog_bytes = stats.backlog_bytes.max(bytes);
            }
            found.backlog_bytes = if options.backlog_bytes { bytes as i64 } else { -1 };
            let first = topic.first_unacked(name).filter(|_| options.earliest && found.backlog > 0);
            let published =
                first.and_then(|at| self.log.peek(at)).map(|stored| super::read::published(&stored.bytes));
            found.earliest_in_backlog_ms = published.unwrap_or(0);
        }
        let earliest = stats.subscriptions.values().map(|found| found.earliest_in_backlog_ms);
        stats.earliest_in_backlogs_ms = earliest.filter(|time| *time > 0).min().unwrap_or(0);
        if let Some(rules) = &entry.rules
            && entry.id.is_some()
        {
            stats.quota_bytes = rules.backlog_size.limit.max(-1);
            stats.quota_seconds = rules.backlog_age.limit.max(-1);
        }
        stats.compacted_ms = entry.properties.number(COMPACTED).unwrap_or(0);
        Some(stats)
    }

    fn internal_stats(&self, key: Key) -> Option<InternalStats> {
        let entry = self.topics.get(key)?;
        let topic = entry.topic()?;
        let (added, pending) = topic.entries_added();
        let state = self.log.state();
        let known = entry.ledgers(state);
        let ledgers = known.iter().map(|ledger| LedgerStats {
            id: ledger.id,
            entries: ledger.entries,
            bytes: ledger.bytes,
            closed: ledger.closed,
            closed_ms: if ledger.closed { ledger.last_ms } else { 0 },
        });
        let last = last_id(entry, state)?;
        let last = PlaceShown { ledger: last.ledger, entry: last.entry };
        let terminated = topic.is_terminated();
        Some(InternalStats {
            added,
            entries: topic.ledgers().count(topic.ledgers().first(), topic.ledgers().end()),
            bytes: entry.bytes(self.log.state()),
            ledger_opened_ms: known.last().map_or(0, |ledger| ledger.opened_ms),
            created_ms: known.first().map_or(0, |ledger| ledger.opened_ms),
            pending: pending as u64,
            last,
            state: match known.last() {
                _ if terminated => TopicState::Terminated,
                Some(ledger) if !ledger.closed => TopicState::LedgerOpened,
                _ => TopicState::ClosedLedger,
            },
            terminated: terminated.then_some(last),
            ledgers: ledgers.collect(),
            cursors: topic.cursor_stats(),
            properties: entry.properties.given.clone(),
        })
    }
}

/// Where a place is in a topic.
fn place(topic: &Topic, at: Place) -> Position {
    let ledgers = topic.ledgers();
    match at {
        Place::Earliest | Place::Time(_) => ledgers.first(),
        Place::Latest => ledgers.end(),
        Place::Before(at) => ledgers.settle(from_signed(at)),
        Place::Behind(at) => ledgers.settle(from_signed(behind(at))),
    }
}

/// The place before the first entry of a ledger, -1, is its first.
fn from_signed(at: Position) -> Position {
    if at.entry.0 == u64::MAX { Position { entry: EntryId(0), ..at } } else { at }
}

/// Consumes everything of one subscription, if it is there, or of all.
fn skip_all(topic: &mut Topic, subscription: Option<&str>) -> Result<Option<SaveId>, Refused> {
    let names: Vec<String> = topic.subscriptions().map(|(name, _)| name.to_owned()).collect();
    let mut last = None;
    for name in names.iter().filter(|name| subscription.is_none_or(|wanted| wanted == *name)) {
        last = topic.skip(name, None)?.or(last);
    }
    Ok(last)
}
