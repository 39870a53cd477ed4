//! Backlogs are held to their quotas (broker 4.14): producers are kept out, or the oldest messages go.

use super::Host;
use super::read::published;
use super::registry::Entry;
use crate::base::id::{EntryId, Position};
use crate::base::table::Key;
use crate::base::time::Clock;
use crate::broker::catalogue::BacklogPolicy;
use crate::wire::pulsar::proto::ServerError;

impl Host {
    /// Backlogs are held to their quotas (broker 4.14).
    pub(super) fn check_quotas(&mut self, clock: Clock) {
        self.each_loaded(|host, key| host.check_quota(clock, key, true));
    }

    /// `evict`: who publishes on is closed as well, not only kept out.
    pub(super) fn check_quota(&mut self, clock: Clock, key: Key, evict: bool) {
        let Some(entry) = self.topics.get(key).filter(|entry| entry.id.is_some()) else { return };
        let (Some(topic), Some(rules)) = (entry.topic(), entry.rules.clone()) else { return };
        let limit = u64::try_from(rules.backlog_size.limit).ok().filter(|limit| *limit > 0);
        let age = u64::try_from(rules.backlog_age.limit).ok().filter(|limit| *limit > 0);
        if limit.is_none() && age.is_none() && !topic.is_over_quota() {
            return;
        }
        let mut code = None;
        let mut skips = Vec::new();
        let mut expired = Vec::new();
        let now_ms = clock.wall.0.cast_unsigned();
        for (name, _) in topic.subscriptions().filter(|(_, durable)| *durable) {
            let Some(first) = topic.first_unacked(name) else { continue };
            let bytes = entry.bytes_from(first, self.log.state());
            if let Some(limit) = limit.filter(|limit| bytes >= *limit) {
                match rules.backlog_size.policy {
                    BacklogPolicy::Evict => {
                        let excess = bytes - limit / 10 * 9;
                        skips.push((name.to_owned(), self.skip_bytes(entry, first, excess)));
                    }
                    policy => code = code.or(Some(code_of(policy))),
                }
            }
            if let Some(age) = age.filter(|age| self.time_of(first) + age * 1000 <= now_ms) {
                match rules.backlog_age.policy {
                    BacklogPolicy::Evict => expired.push((name.to_owned(), now_ms - age * 1000)),
                    policy => code = code.or(Some(code_of(policy))),
                }
            }
        }
        self.poke(key, |topic| {
            topic.set_over_quota(clock, code, evict);
            for (name, to) in skips {
                topic.expire_below(clock, &name, to);
            }
        });
        self.save_soon(clock, key);
        for (name, time) in expired {
            self.expire_older(clock, key, vec![name], time);
        }
    }

    /// The place so many bytes behind another, as if all of a ledger's entries were of one size.
    fn skip_bytes(&self, entry: &Entry, from: Position, bytes: u64) -> Position {
        let mut left = bytes;
        let mut at = from;
        let ledgers = entry.ledgers(self.log.state()).iter();
        for ledger in ledgers.filter(|ledger| ledger.id >= from.ledger && ledger.entries > 0) {
            let mean = (ledger.bytes / ledger.entries).max(1);
            let first = if ledger.id == from.ledger { from.entry.0 } else { 0 };
            let here = ledger.entries.saturating_sub(first);
            let wanted = left.div_ceil(mean);
            at = Position { ledger: ledger.id, entry: EntryId(first + wanted.min(here)) };
            if wanted <= here {
                return at;
            }
            left -= here * mean;
        }
        at
    }

    /// When an entry was published, as far as is known without the disk: no later than that.
    fn time_of(&self, at: Position) -> u64 {
        if let Some(stored) = self.log.peek(at) {
            return published(&stored.bytes);
        }
        self.log.state().ledger(at.ledger).map_or(u64::MAX / 2, |ledger| ledger.opened_ms)
    }
}

/// The refusal that a policy stands for.
fn code_of(policy: BacklogPolicy) -> ServerError {
    match policy {
        BacklogPolicy::Refuse => ServerError::ProducerBlockedQuotaExceededException,
        _ => ServerError::ProducerBlockedQuotaExceededError,
    }
}
