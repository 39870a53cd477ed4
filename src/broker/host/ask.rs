//! Questions of administrators that are not of one topic, and finding the topic of those that are (broker 6.4).

use bytes::Bytes;

use super::registry::{Body, Entry, HEALTH_NAME, Waiting};
use super::{Host, HostState, Pending, What};
use crate::base::table::Key;
use crate::base::time::Clock;
use crate::broker::admin::{AdminAnswer, AdminAsk, Refused};
use crate::broker::catalogue::Catalogue;
use crate::broker::properties::Properties;
use crate::broker::stats::HostCounts;
use crate::store::{LogError, Record, Ticket, TopicPut};

impl Host {
    /// A question, once the log is open.
    pub(super) fn serve_ask(&mut self, clock: Clock, catalogue: &Catalogue, ticket: u64, ask: AdminAsk) {
        match ask {
            AdminAsk::Create { topic, properties } => {
                if self.find(&topic).is_some() {
                    return self.answer_refused(ticket, 409, "This topic already exists");
                }
                let properties = Properties { given: properties, ..Properties::default() };
                let made = self.create(clock, &topic, properties);
                self.answer_when_durable(ticket, made);
            }
            AdminAsk::Exists { topic } => {
                let exists = self.find(&topic).is_some();
                self.answer(ticket, AdminAnswer::Exists(exists));
            }
            AdminAsk::List { namespace } => {
                let names = self.names_of(Some(&namespace)).iter().map(|name| name.to_string()).collect();
                self.answer(ticket, AdminAnswer::Names(names));
            }
            AdminAsk::AllStats { namespace } => {
                let names = self.names_of(namespace.as_deref());
                let stats = names.into_iter().filter_map(|name| {
                    let key = self.find(&name)?;
                    Some((name.to_string(), self.topic_stats(key, Default::default())?))
                });
                let stats = stats.collect();
                self.answer(ticket, AdminAnswer::AllStats(stats));
            }
            AdminAsk::UnloadNamespace { namespace } => {
                let each = |topic| AdminAsk::Unload { topic };
                self.ask_each(clock, catalogue, ticket, namespace.as_deref(), each);
            }
            AdminAsk::ClearBacklog { namespace, subscription } => {
                let each =
                    |topic| AdminAsk::ClearBacklog { namespace: topic, subscription: subscription.clone() };
                self.ask_each(clock, catalogue, ticket, Some(&namespace), each);
            }
            AdminAsk::Unsubscribe { namespace, subscription } => {
                let each =
                    |topic| AdminAsk::Unsubscribe { namespace: topic, subscription: subscription.clone() };
                self.ask_each(clock, catalogue, ticket, Some(&namespace), each);
            }
            AdminAsk::CheckQuotas => {
                self.check_quotas(clock);
                self.answer_done(ticket);
            }
            AdminAsk::Counts => {
                let counts = Box::new(self.counts());
                self.answer(ticket, AdminAnswer::Counts(counts));
            }
            AdminAsk::Health => self.probe_health(clock, ticket),
            of_topic => self.ask_of_topic(clock, catalogue, ticket, of_topic),
        }
    }

    /// A question about one topic: it is found, and loaded.
    fn ask_of_topic(&mut self, clock: Clock, catalogue: &Catalogue, ticket: u64, ask: AdminAsk) {
        let Some(name) = topic_of(&ask) else {
            return self.answer_refused(ticket, 500, "This is not asked of a store");
        };
        let mut found = self.find(name);
        if found.is_none() && matches!(ask, AdminAsk::CreateSubscription { .. }) {
            found = match self.find_or_create(clock, catalogue, name, true) {
                Ok(key) => Some(key),
                Err(_) => {
                    let text = "Topic does not exist and cannot be auto-created";
                    return self.answer_refused(ticket, 412, text);
                }
            };
        }
        let Some(key) = found else {
            if matches!(ask, AdminAsk::Delete { .. }) && name.starts_with("non-persistent://") {
                return self.answer_done(ticket);
            }
            let refused = Refused::new(404, format!("Topic {name} not found"));
            return self.answer(ticket, refused.into());
        };
        let resting = self.topics.get(key).is_some_and(|entry| matches!(entry.body, Body::Resting));
        match ask {
            AdminAsk::Delete { .. } if resting => return self.delete_and_answer(clock, key, ticket),
            AdminAsk::Unload { .. } if resting => return self.answer_done(ticket),
            _ => {}
        }
        if self.load(clock, catalogue, key) {
            return self.ask_topic(clock, key, ticket, ask);
        }
        if let Some(Waiting::Ask { ticket, .. }) = self.wait_for(key, Waiting::Ask { ticket, ask }) {
            self.answer_refused(ticket, 503, "The topic is being loaded, try again");
        }
    }

    /// The same of each topic of a namespace; answered when all are.
    fn ask_each(
        &mut self,
        clock: Clock,
        catalogue: &Catalogue,
        ticket: u64,
        namespace: Option<&str>,
        each: impl Fn(String) -> AdminAsk,
    ) {
        let names = self.names_of(namespace);
        if names.is_empty() {
            return self.answer_done(ticket);
        }
        let group = self.group(ticket, names.len());
        for name in names {
            // A topic's own name stands where that of its namespace was.
            self.ask_of_topic(clock, catalogue, group, each(name.to_string()));
        }
    }

    fn answer_when_durable(&mut self, ticket: u64, made: Result<(Key, Option<Ticket>), LogError>) {
        match made {
            Ok((topic, Some(at))) => {
                self.pending.push_back(Pending { ticket: at, topic, what: What::Asked(ticket) });
            }
            Ok((_, None)) => self.answer_done(ticket),
            Err(error) => self.answer_refused(ticket, 503, &format!("It cannot be stored: {error}")),
        }
    }

    /// Deletes a topic whose clients are gone.
    pub(super) fn delete_and_answer(&mut self, clock: Clock, key: Key, ticket: u64) {
        let deleted = self.delete(clock, key).map(|at| (key, at));
        self.answer_when_durable(ticket, deleted);
    }

    /// Sums over all topics in memory.
    pub(super) fn counts(&self) -> HostCounts {
        let state = match self.state {
            HostState::Recovering => 0,
            HostState::Open => 1,
            HostState::Full => 2,
            HostState::Failed(_) => 3,
        };
        let mut sums = HostCounts {
            state,
            topics: self.names.len() as u64,
            damaged: self.damaged,
            scrubbed_bytes: self.scrub.bytes,
            ..HostCounts::default()
        };
        for (_, entry) in self.topics.iter() {
            sums.storage_bytes += entry.bytes(self.log.state());
            let Some(topic) = entry.topic() else { continue };
            let one = topic.sums();
            sums.loaded += 1;
            sums.subscriptions += one.subscriptions;
            sums.producers += one.producers;
            sums.consumers += one.consumers;
            sums.backlog += one.backlog;
            for (sum, one) in [(&mut sums.published, one.published), (&mut sums.delivered, one.delivered)] {
                sum.rate += one.rate;
                sum.throughput += one.throughput;
                sum.messages += one.messages;
                sum.bytes += one.bytes;
            }
        }
        sums
    }

    /// Stores one message on a topic of its own, to be read back when it is durable (broker 6.6).
    fn probe_health(&mut self, clock: Clock, ticket: u64) {
        if self.state != HostState::Open {
            return self.answer_refused(ticket, 500, "The store has no room");
        }
        let probed = self.try_probe(clock, ticket);
        if let Err(error) = probed {
            self.answer_refused(ticket, 500, &format!("The store takes no message: {error}"));
        }
    }

    fn try_probe(&mut self, clock: Clock, ticket: u64) -> Result<(), LogError> {
        let wall_ms = clock.wall.0.cast_unsigned();
        let id = self.health.unwrap_or(self.log.next_topic());
        if self.health.is_none() {
            let put = TopicPut { name: HEALTH_NAME.as_bytes(), properties: b"" };
            self.log.append(wall_ms, &Record::TopicPut(id, put))?;
            self.health = Some(id);
        }
        // One that a crash left behind, or another probe that is under way.
        let known = self.log.topic(id).and_then(|topic| topic.ledgers.last());
        if let Some(ledger) = known.filter(|ledger| !ledger.closed) {
            let close = Record::LedgerClose(ledger.id, ledger.entries);
            self.log.append(wall_ms, &close)?;
        }
        let ledger = self.log.next_ledger(self.config.store, self.config.stores);
        self.log.append(wall_ms, &Record::LedgerOpen(ledger, id))?;
        let message = Bytes::copy_from_slice(&wall_ms.to_le_bytes());
        let (at, durable) = self.log.append_entry(ledger, wall_ms, 1, message)?;
        let what = What::Health { ticket, at };
        self.pending.push_back(Pending { ticket: durable, topic: Key::from_bits(u64::MAX), what });
        Ok(())
    }

    /// The message of a health probe is durable: it is read back, and goes.
    pub(super) fn end_probe(&mut self, clock: Clock, ticket: u64, at: crate::base::id::Position) {
        let wall_ms = clock.wall.0.cast_unsigned();
        let found = self.log.peek(at).is_some_and(|stored| stored.bytes.len() == 8);
        let closed = self.log.state().ledger(at.ledger).is_some_and(|ledger| ledger.closed);
        let gone = match closed {
            true => Ok(Ticket(0)),
            false => self.log.append(wall_ms, &Record::LedgerClose(at.ledger, 1)),
        };
        let gone = gone.and_then(|_| self.log.append(wall_ms, &Record::LedgerDelete(at.ledger)));
        match (found, gone) {
            (true, Ok(_)) => self.answer_done(ticket),
            (true, Err(error)) => self.answer_refused(ticket, 500, &error.to_string()),
            (false, _) => self.answer_refused(ticket, 500, "The message of the probe is not there"),
        }
    }
}

/// The topic that a question is about.
fn topic_of(ask: &AdminAsk) -> Option<&str> {
    use AdminAsk as A;
    match ask {
        A::Create { topic, .. }
        | A::Delete { topic, .. }
        | A::Exists { topic }
        | A::Stats { topic, .. }
        | A::Internal { topic }
        | A::Subscriptions { topic }
        | A::CreateSubscription { topic, .. }
        | A::DeleteSubscription { topic, .. }
        | A::Skip { topic, .. }
        | A::Expire { topic, .. }
        | A::Reset { topic, .. }
        | A::Peek { topic, .. }
        | A::Entry { topic, .. }
        | A::Examine { topic, .. }
        | A::LastId { topic }
        | A::IdByTime { topic, .. }
        | A::Terminate { topic }
        | A::Unload { topic }
        | A::Truncate { topic }
        | A::BacklogSize { topic, .. }
        | A::Properties { topic }
        | A::ChangeProperties { topic, .. }
        | A::SubscriptionProperties { topic, .. }
        | A::ChangeSubscriptionProperties { topic, .. }
        | A::Compact { topic }
        | A::Compacted { topic }
        // Asked of each topic by name, see `ask_each`.
        | A::ClearBacklog { namespace: topic, .. }
        | A::Unsubscribe { namespace: topic, .. } => Some(topic),
        A::List { .. }
        | A::AllStats { .. }
        | A::UnloadNamespace { .. }
        | A::CheckQuotas
        | A::Counts
        | A::Health => None,
    }
}

/// A topic of which nothing is stored cannot do what needs stored entries: the status for each question (broker 6.4).
pub(super) fn refuse_volatile(ask: &AdminAsk, entry: &Entry) -> Option<Refused> {
    use AdminAsk as A;
    if entry.id.is_some() {
        return None;
    }
    let status = match ask {
        A::CreateSubscription { .. } => 400,
        A::Terminate { .. } => 406,
        A::Truncate { .. } => 412,
        A::Skip { .. }
        | A::Expire { .. }
        | A::Reset { .. }
        | A::Peek { .. }
        | A::Entry { .. }
        | A::Examine { .. }
        | A::LastId { .. }
        | A::IdByTime { .. }
        | A::BacklogSize { .. } => 405,
        _ => return None,
    };
    Some(Refused::new(status, "This is not for non-persistent topics"))
}
