//! What time does to topics: cursors are saved, ledgers and messages go by their policies, what nobody uses goes from memory or
//! altogether (broker 2.7, 4.11 to 4.14).

use std::time::Duration;

use super::config::Upkeep;
use super::load::rules;
use super::read::SearchFor;
use super::registry::{Body, Entry};
use super::{Host, HostState};
use crate::base::id::{EntryId, LedgerId, Position};
use crate::base::limit::HEARTBEAT_DELAY;
use crate::base::table::Key;
use crate::base::time::{Clock, Instant};
use crate::broker::catalogue::{Catalogue, Effective};
use crate::broker::topic::Topic;
use crate::store::Record;

/// Topics are looked after in turn, a part of them at a time, so that ten thousand do not hold up their core.
const TICKS: u32 = 10;
/// A part is not smaller than this: a core that rests is to be woken seldom.
const TICK_TOPICS_MIN: usize = 500;

/// Something that is done again and again.
#[derive(Debug)]
struct Round {
    due: Instant,
    every: Duration,
}

impl Round {
    fn new(now: Instant, every: Duration) -> Round {
        Round { due: now + every, every }
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.due <= now;
        if due {
            self.due = now + self.every;
        }
        due
    }
}

/// When a host has to look after something.
#[derive(Debug)]
pub(super) struct Alarms {
    /// Cursors are saved.
    flush: Option<Instant>,
    /// A frame proves the last one durable.
    pub(super) heartbeat: Option<Instant>,
    /// The last frame became durable.
    pub(super) framed: Instant,
    /// A checkpoint that failed is tried again.
    pub(super) retry: Option<Instant>,
    tick: Round,
    /// Topics before this one had their turn.
    visited: usize,
    expiry: Round,
    quota: Round,
    inactive: Round,
    subscriptions: Round,
    sequences: Round,
    checkpoint: Round,
    /// Something was appended since the last checkpoint was asked for.
    changed: bool,
}

impl Alarms {
    pub(super) fn new(now: Instant, upkeep: &Upkeep) -> Alarms {
        Alarms {
            flush: None,
            heartbeat: None,
            framed: now,
            retry: None,
            tick: Round::new(now, upkeep.tick),
            visited: 0,
            expiry: Round::new(now, upkeep.expiry),
            quota: Round::new(now, upkeep.quota),
            inactive: Round::new(now, upkeep.inactive),
            subscriptions: Round::new(now, upkeep.subscriptions),
            sequences: Round::new(now, upkeep.sequences),
            checkpoint: Round::new(now, upkeep.checkpoint),
            changed: false,
        }
    }

    /// A checkpoint was made, for whatever reason.
    pub(super) fn on_checkpoint(&mut self) {
        self.changed = false;
    }

    pub(super) fn next(&self) -> Option<Instant> {
        let rounds = [
            &self.tick,
            &self.expiry,
            &self.quota,
            &self.inactive,
            &self.subscriptions,
            &self.sequences,
            &self.checkpoint,
        ];
        let rounds = rounds.into_iter().map(|round| round.due);
        rounds.chain(self.flush).chain(self.heartbeat).chain(self.retry).min()
    }
}

impl Host {
    /// Tells a topic in memory something that is no use of it; it is served at the end of the turn.
    pub(super) fn poke(&mut self, key: Key, tell: impl FnOnce(&mut Topic)) {
        if let Some(topic) = self.topics.get_mut(key).and_then(Entry::topic_mut) {
            tell(topic);
            self.serve_soon(key);
        }
    }

    /// As [`Host::poke`], but the topic is served only if there is something to be carried out.
    fn nudge(&mut self, key: Key, tell: impl FnOnce(&mut Topic)) {
        if let Some(topic) = self.topics.get_mut(key).and_then(Entry::topic_mut) {
            tell(topic);
            if topic.has_output() {
                self.serve_soon(key);
            }
        }
    }

    pub(super) fn serve_soon(&mut self, key: Key) {
        if let Some(entry) = self.topics.get_mut(key)
            && !entry.is_busy
        {
            entry.is_busy = true;
            self.busy.push_back(key);
        }
    }

    /// A topic's cursors moved.
    pub(super) fn save_soon(&mut self, clock: Clock, key: Key) {
        let Some(entry) = self.topics.get_mut(key) else { return };
        if !entry.is_unsaved {
            entry.is_unsaved = true;
            self.unsaved.push(key);
            self.alarms.flush.get_or_insert(clock.now + self.config.upkeep.cursor_flush);
        }
    }

    /// Time passed.
    pub fn on_timer(&mut self, clock: Clock, catalogue: &Catalogue) {
        if self.room_due.is_some_and(|due| due <= clock.now) && self.log.is_open() {
            self.log.checkpoint();
            self.on_full(clock);
        }
        if self.state == HostState::Recovering {
            return;
        }
        let now = clock.now;
        let mut woken = Vec::new();
        self.wheel.advance(now, |token| woken.push(Key::from_bits(token)));
        for key in woken {
            if let Some(entry) = self.topics.get_mut(key) {
                entry.wake = None;
                self.serve_soon(key);
            }
        }
        if self.alarms.flush.is_some_and(|due| due <= now) {
            self.alarms.flush = None;
            for key in std::mem::take(&mut self.unsaved) {
                if let Some(entry) = self.topics.get_mut(key) {
                    entry.is_unsaved = false;
                }
                self.poke(key, Topic::save_cursors);
                self.trims.push(key);
            }
        }
        if self.alarms.heartbeat.is_some_and(|due| due <= now) {
            // Another frame came since: the time counts from that.
            let due = self.alarms.framed + HEARTBEAT_DELAY;
            self.alarms.heartbeat = Some(due).filter(|due| *due > now);
            if self.alarms.heartbeat.is_none() {
                self.log.heartbeat();
            }
        }
        if self.alarms.retry.is_some_and(|due| due <= now) {
            self.alarms.retry = None;
            self.log.checkpoint();
        }
        if self.scrub.due.is_some_and(|due| due <= now) {
            self.scrub(clock);
        }
        self.on_rounds(clock, catalogue);
    }

    fn on_rounds(&mut self, clock: Clock, catalogue: &Catalogue) {
        let now = clock.now;
        if self.alarms.tick.is_due(now) {
            self.tick(clock, catalogue);
        }
        if self.alarms.expiry.is_due(now) {
            self.expire_all(clock, catalogue);
        }
        if self.alarms.quota.is_due(now) {
            self.check_quotas(clock);
        }
        if self.alarms.inactive.is_due(now) {
            self.delete_inactive(clock, catalogue);
        }
        if self.alarms.subscriptions.is_due(now) {
            self.expire_subscriptions(clock, catalogue);
        }
        if self.alarms.sequences.is_due(now) {
            self.each_loaded(|host, key| host.nudge(key, Topic::save_sequences));
        }
        if self.alarms.checkpoint.is_due(now) && std::mem::take(&mut self.alarms.changed) {
            self.log.checkpoint();
        }
    }

    /// For each topic in memory.
    pub(super) fn each_loaded(&mut self, mut visit: impl FnMut(&mut Host, Key)) {
        let loaded = self.topics.iter().filter(|(_, entry)| entry.topic().is_some());
        let keys: Vec<Key> = loaded.map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| visit(self, key));
    }

    /// The next part of all topics: a tenth, if there are many.
    fn tick(&mut self, clock: Clock, catalogue: &Catalogue) {
        let parts =
            u32::try_from(self.topics.len().div_ceil(TICK_TOPICS_MIN)).unwrap_or(TICKS).clamp(1, TICKS);
        self.alarms.tick = Round::new(clock.now, self.config.upkeep.tick / parts);
        let count = self.topics.len().div_ceil(parts as usize).max(1);
        let next = self.topics.iter().skip(self.alarms.visited).take(count);
        let keys: Vec<Key> = next.map(|(key, _)| key).collect();
        self.alarms.visited = if keys.len() < count { 0 } else { self.alarms.visited + count };
        keys.into_iter().for_each(|key| self.look_after(clock, catalogue, key));
        self.alarms.changed |= !self.pending.is_empty() || self.log.durable() != self.checkpointed;
        self.checkpointed = self.log.durable();
    }

    fn look_after(&mut self, clock: Clock, catalogue: &Catalogue, key: Key) {
        let rates = self.config.upkeep.rates;
        self.nudge(key, |topic| topic.on_tick(clock, rates));
        let Some(entry) = self.topics.get(key) else { return };
        let unused = entry.id.is_some() && clock.now.since(entry.used) >= self.config.upkeep.idle;
        if unused && entry.topic().is_some_and(|topic| topic.clients() == (0, 0) && topic.is_settled()) {
            self.unload(clock, key);
        }
        let Some(entry) = self.topics.get(key) else { return };
        if entry.ledgers(self.log.state()).len() > 1 {
            self.know_rules(catalogue, key);
            self.trim(clock, key);
        }
    }

    /// What policies say of a topic is known from now on.
    fn know_rules(&mut self, catalogue: &Catalogue, key: Key) {
        if let Some(entry) = self.topics.get_mut(key)
            && entry.rules.is_none()
        {
            entry.rules = Some(rules(catalogue, &entry.name, &self.config.rules).into());
        }
    }

    /// Clients are sent away, and the topic goes from memory once nothing of it is under way.
    pub(super) fn unload(&mut self, clock: Clock, key: Key) {
        let Some(entry) = self.topics.get_mut(key) else { return };
        let Body::Loaded(topic) = &mut entry.body else { return };
        topic.save_cursors();
        topic.save_sequences();
        topic.close(clock);
        entry.is_leaving = true;
        self.carry(clock, key);
        self.rest_if_done(clock, key);
    }

    /// Lets go of a topic that is to leave, if nothing of it is under way.
    pub(super) fn rest_if_done(&mut self, clock: Clock, key: Key) {
        let Some(entry) = self.topics.get_mut(key).filter(|entry| entry.is_leaving) else { return };
        let Body::Loaded(topic) = &mut entry.body else { return };
        if entry.in_flight > 0 || !topic.is_idle() || !matches!(self.state, HostState::Open | HostState::Full)
        {
            return;
        }
        topic.save_cursors();
        self.carry(clock, key);
        if let Some(entry) = self.topics.get_mut(key) {
            (entry.is_leaving, entry.body) = (false, Body::Resting);
        }
    }

    /// The process is to stop: what is saved with a delay is saved now.
    pub fn save_all(&mut self, clock: Clock) {
        self.alarms.flush = None;
        self.unsaved.clear();
        let keys: Vec<Key> = self.topics.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(entry) = self.topics.get_mut(key) {
                entry.is_unsaved = false;
            }
            self.poke(key, Topic::save_cursors);
            self.poke(key, Topic::save_sequences);
            self.carry(clock, key);
        }
    }

    /// True: nothing is on its way to the disk, and the last frame is proven.
    pub fn settle_down(&mut self) -> bool {
        if !matches!(self.state, HostState::Open | HostState::Full) {
            return true;
        }
        self.log.heartbeat();
        self.pending.is_empty() && self.unsaved.is_empty() && self.log.is_quiet()
    }

    /// How far the slowest durable subscription is. `None`: there is none.
    fn slowest(&self, entry: &Entry) -> Option<Position> {
        if let Some(topic) = entry.topic() {
            return topic.slowest();
        }
        let ledgers = entry.find_ledgers(self.log.state());
        let cursors = self.log.state().topic(entry.id?)?.cursors.values();
        cursors.map(|cursor| ledgers.settle(cursor.below)).min()
    }

    /// Deletes ledgers that are consumed and that retention does not keep (broker 4.13).
    pub(super) fn trim(&mut self, clock: Clock, key: Key) {
        let now_ms = clock.wall.0.cast_unsigned();
        let mut gone = Vec::new();
        {
            let state = self.log.state();
            let Some(entry) = self.topics.get(key) else { return };
            let ledgers = entry.ledgers(state);
            let (Some(rules), Some((_, ledgers))) = (entry.rules.as_ref(), ledgers.split_last()) else {
                return;
            };
            let end = Position { ledger: LedgerId(u64::MAX), entry: EntryId(0) };
            let slowest = self.slowest(entry).unwrap_or(end);
            let (minutes, mebibytes) = (rules.retention.minutes, rules.retention.mebibytes);
            let mut total = entry.bytes(state);
            for ledger in ledgers {
                let consumed = ledger.id < slowest.ledger
                    || ledger.id == slowest.ledger && slowest.entry.0 >= ledger.entries
                    || ledger.entries == 0;
                let kept_ms = u64::try_from(minutes).map(|minutes| minutes.saturating_mul(60_000));
                let old = kept_ms.is_ok_and(|kept| ledger.last_ms.saturating_add(kept) <= now_ms);
                let large = u64::try_from(mebibytes).is_ok_and(|kept| total > kept.saturating_mul(1 << 20));
                if !ledger.closed || !consumed || !(old || large || entry.truncating) {
                    break;
                }
                total -= ledger.bytes;
                gone.push(ledger.id);
            }
        }
        if let Some(entry) = self.topics.get_mut(key) {
            entry.truncating = false;
        }
        for id in gone {
            if self.log.append(now_ms, &Record::LedgerDelete(id)).is_err() {
                return self.log.checkpoint();
            }
            let ledgers = self.topics.get(key).map(|entry| entry.ledgers(self.log.state()));
            let Some(first) = ledgers.and_then(<[_]>::first) else { return };
            let first = Position { ledger: first.id, entry: EntryId(0) };
            self.poke(key, |topic| topic.on_trimmed(first));
        }
    }

    /// Messages that are too old are taken away (broker 4.12).
    fn expire_all(&mut self, clock: Clock, catalogue: &Catalogue) {
        let keys: Vec<Key> = self.topics.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.know_rules(catalogue, key);
            let Some(entry) = self.topics.get(key) else { continue };
            let ttl = entry.rules.as_ref().map_or(0, |rules| rules.ttl_seconds);
            if ttl == 0 || entry.id.is_none() {
                continue;
            }
            if !self.load(clock, catalogue, key) {
                // It is on its way: the next round finds it.
                continue;
            }
            let Some(topic) = self.topics.get(key).and_then(Entry::topic) else { continue };
            let names = topic.subscriptions().map(|(name, _)| name);
            let behind = names.filter(|name| topic.backlog(name).is_some_and(|(entries, _)| entries > 0));
            let behind: Vec<String> = behind.map(str::to_owned).collect();
            let time = clock.wall.0.cast_unsigned().saturating_sub(ttl.saturating_mul(1000));
            self.expire_older(clock, key, behind, time);
        }
    }

    pub(super) fn expire_older(&mut self, clock: Clock, key: Key, subscriptions: Vec<String>, time: u64) {
        for subscription in subscriptions {
            self.search(clock, key, time, SearchFor::Expire { subscription });
        }
    }

    /// Topics that nobody uses go, where that is wanted (broker 2.7).
    fn delete_inactive(&mut self, clock: Clock, catalogue: &Catalogue) {
        let now_ms = clock.wall.0.cast_unsigned();
        let keys: Vec<Key> = self.topics.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.know_rules(catalogue, key);
            let Some(entry) = self.topics.get_mut(key) else { continue };
            let Some(rules) = entry.rules.clone().filter(|rules| rules.inactive.delete) else { continue };
            if entry.topic().is_some_and(|topic| topic.clients() != (0, 0)) {
                (entry.used, entry.used_ms) = (clock.now, now_ms);
                continue;
            }
            let Some(entry) = self.topics.get(key) else { continue };
            let idle = clock.now.since(entry.used) >= rules.inactive.after;
            let settled = entry.topic().is_none_or(Topic::is_settled) && !self.is_reading(key);
            if idle
                && settled
                && !self.is_wanted(entry, &rules)
                && !is_retained(&rules, entry.used_ms, now_ms)
            {
                log::info!("{}: nobody uses it, it is deleted", entry.name);
                if self.delete(clock, key).is_err() {
                    self.log.checkpoint();
                }
            }
        }
    }

    /// Subscriptions keep a topic: any, or those that have something to consume still.
    fn is_wanted(&self, entry: &Entry, rules: &Effective) -> bool {
        if let Some(topic) = entry.topic() {
            let mut names = topic.subscriptions();
            return names.any(|(name, _)| {
                let behind = topic.backlog(name).is_some_and(|(entries, _)| entries > 0);
                behind || !rules.inactive.caught_up
            });
        }
        let state = self.log.state();
        let ledgers = entry.find_ledgers(state);
        let stored = entry.id.and_then(|id| state.topic(id));
        let mut cursors = stored.into_iter().flat_map(|stored| stored.cursors.values());
        cursors.any(|cursor| !rules.inactive.caught_up || ledgers.settle(cursor.below) != ledgers.end())
    }

    /// Subscriptions that nobody uses go (broker 4.11).
    fn expire_subscriptions(&mut self, clock: Clock, catalogue: &Catalogue) {
        let keys: Vec<Key> = self.topics.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.know_rules(catalogue, key);
            let Some(entry) = self.topics.get(key).filter(|entry| entry.id.is_some()) else { continue };
            let minutes = entry.rules.as_ref().map_or(0, |rules| rules.subscription_expiration_minutes);
            if minutes == 0 || !self.load(clock, catalogue, key) {
                continue;
            }
            let time = clock.wall.0.cast_unsigned().saturating_sub(minutes.saturating_mul(60_000));
            self.poke(key, |topic| {
                for name in topic.unused_since(clock, time) {
                    log::info!("{}: subscription {name} was not used for {minutes} minutes", topic.name());
                    if let Err(refused) = topic.delete_subscription(&name, false) {
                        log::debug!("{}: {refused}", topic.name());
                    }
                }
            });
            self.trims.push(key);
        }
    }
}

/// Whether retention keeps a topic that was last used then.
fn is_retained(rules: &Effective, used_ms: u64, now_ms: u64) -> bool {
    let minutes = rules.retention.minutes;
    minutes < 0 || now_ms < used_ms.saturating_add(minutes.unsigned_abs().saturating_mul(60_000))
}
