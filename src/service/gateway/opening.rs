//! From a route to an open session: how many partitions its topics have, a leg for each, all attached at their brokers,
//! then the 101; or the refusal. All of it asynchronous: a slow broker delays this session alone.

use super::alarm::Alarm;
use super::clients::Upgrading;
use super::service_url::Ask;
use super::token::Token;
use super::{Body, Gateway, Leg, LegIndex, LegRef, Session, SessionKind, Waiter};
use crate::base::limit;
use crate::base::table::Key;
use crate::base::time::Instant;
use crate::session::consumer::Consumer;
use crate::session::producer::Producer;
use crate::session::upstream::{Answer, Attachment, Failure, Role};
use crate::shard::{ConnKey, Links};
use crate::wire::pulsar::proto::SubscriptionType;
use crate::wire::route::{Route, StartPosition, TopicName, Topics};
use std::net::SocketAddr;
use std::time::Duration;

/// A session whose topics are being looked up.
pub(super) struct Opening {
    route: Route,
    /// Topics and, once known, their partitions.
    topics: Vec<(TopicName, Option<u32>)>,
    /// Answers still missing.
    missing: usize,
    /// Questions are put again then (the last attempt failed in a way that passes).
    pub(super) retry_at: Option<Instant>,
    backoff: Duration,
}

impl Opening {
    fn new(route: Route) -> Self {
        let topics = match &route {
            Route::Producer(spec) => vec![spec.topic.clone()],
            Route::Reader(spec) => vec![spec.topic.clone()],
            Route::Consumer(spec) => match &spec.topics {
                Topics::One(topic) => vec![topic.clone()],
                Topics::Many(topics) => topics.clone(),
                Topics::Pattern { .. } => Vec::new(),
            },
        };
        let topics = topics.into_iter().map(|topic| (topic, None)).collect();
        Opening { route, topics, missing: 0, retry_at: None, backoff: limit::BACKOFF_MIN }
    }
}

/// The namespace and expression of a pattern session.
fn pattern_of(route: &Route) -> Option<(&str, &str)> {
    match route {
        Route::Consumer(spec) => match &spec.topics {
            Topics::Pattern { namespace, expression, .. } => Some((namespace, expression)),
            _ => None,
        },
        _ => None,
    }
}

impl Gateway {
    /// Makes the session of a route and starts to open it. Its client waits for the answer.
    pub(super) fn open_session(
        &mut self,
        io: &mut Links,
        client: ConnKey,
        remote: SocketAddr,
        route: Route,
    ) -> Key {
        let now = io.clock().now;
        let several = matches!(&route, Route::Consumer(spec) if !matches!(spec.topics, Topics::One(_)));
        let (kind, subscription_kind, durable) = match &route {
            Route::Producer(_) => (SessionKind::Producer, SubscriptionType::Exclusive, false),
            Route::Consumer(spec) => (SessionKind::Consumer, spec.kind, spec.durable),
            Route::Reader(_) => (SessionKind::Reader, SubscriptionType::Exclusive, false),
        };
        let pattern = pattern_of(&route).map(|(namespace, text)| (namespace.to_owned(), text.to_owned()));
        let stats_name = several.then(|| format!("MultiTopicsConsumer-{}", self.prng.hex(5)));
        let key = self.sessions.insert(Session {
            client,
            remote,
            kind,
            subscription_kind,
            durable,
            pattern,
            body: Body::Opening(Box::new(Opening::new(route))),
            legs: Vec::new(),
            dead_letters: None,
            unattached: 0,
            open: false,
            open_until: now + limit::OPERATION_TIME_MAX,
            last_failure: None,
            dirty: false,
            deflate: false,
            paused: false,
            starved: false,
            blocked: false,
            draining: false,
            unsubscribing: 0,
            pending_counted: 0,
            last_sent: now,
            alarm: Alarm::default(),
            discover_at: Instant::FAR,
            discover_every: limit::DISCOVERY_INTERVAL,
            stats_name,
        });
        self.ask_for_topics(io, key);
        self.mark_dirty(key);
        key
    }

    /// Puts the questions an opening session still has.
    fn ask_for_topics(&mut self, io: &mut Links, key: Key) {
        let Some(Body::Opening(opening)) = self.sessions.get_mut(key).map(|s| &mut s.body) else { return };
        opening.retry_at = None;
        if let Some((namespace, _)) = pattern_of(&opening.route) {
            let namespace = namespace.to_owned();
            opening.missing = 1;
            return self.ask(io, Ask::Topics { namespace, waiter: Waiter::Topics(key) });
        }
        let open = opening.topics.iter().enumerate().filter(|(_, (_, partitions))| partitions.is_none());
        let asks: Vec<Ask> = open
            .map(|(number, (topic, _))| Ask::Partitions {
                topic: topic.clone(),
                waiter: Waiter::Partitions(key, number as u32),
            })
            .collect();
        opening.missing = asks.len();
        for ask in asks {
            self.ask(io, ask);
        }
    }

    pub(super) fn partitions_answered(&mut self, io: &mut Links, key: Key, topic: u32, answer: Answer) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Body::Opening(opening) = &mut session.body else { return }; // asked twice, answered twice
        match answer {
            Answer::Partitions(count) if count <= limit::PARTITIONS_MAX => {
                if let Some(known) = opening.topics.get_mut(topic as usize) {
                    known.1 = Some(count);
                }
                opening.missing = opening.missing.saturating_sub(1);
                if opening.missing == 0 && opening.topics.iter().all(|(_, partitions)| partitions.is_some()) {
                    self.build(io, key);
                }
            }
            Answer::Partitions(count) => {
                let text =
                    format!("the topic has {count} partitions, at most {} work", limit::PARTITIONS_MAX);
                self.refuse_session(io, key, &Failure::request(text));
            }
            Answer::Failed(failure) => self.question_failed(io, key, failure),
            _ => {}
        }
    }

    pub(super) fn topics_answered(&mut self, io: &mut Links, key: Key, answer: Answer) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let names = match answer {
            Answer::Topics(names) => names,
            Answer::Failed(failure) => return self.question_failed(io, key, failure),
            _ => return,
        };
        match &mut session.body {
            Body::Opening(opening) => {
                let Some((_, expression)) = pattern_of(&opening.route) else { return };
                match matching(expression, names) {
                    Ok(found) => {
                        opening.topics = found.into_iter().map(|topic| (topic, Some(0))).collect();
                        self.build(io, key);
                    }
                    Err(failure) => self.refuse_session(io, key, &failure),
                }
            }
            Body::Consumer(consumer) => {
                debug_assert!(consumer.legs() <= limit::SESSION_TOPICS_MAX);
                let Some((_, expression)) = &session.pattern else { return };
                if let Ok(found) = matching(expression, names) {
                    self.add_topics(io, key, found);
                }
            }
            Body::Producer(_) => {}
        }
    }

    /// A question of an opening session failed: again after a pause, unless that cannot help.
    fn question_failed(&mut self, io: &mut Links, key: Key, failure: Failure) {
        let now = io.clock().now;
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Body::Opening(opening) = &mut session.body else { return };
        if failure.ends_opening() {
            return self.refuse_session(io, key, &failure);
        }
        session.last_failure = Some(failure);
        if opening.retry_at.is_none() {
            opening.retry_at = Some(now + opening.backoff);
            opening.backoff = (opening.backoff * 2).min(limit::BACKOFF_MAX);
        }
        self.mark_dirty(key);
    }

    /// How long acks of a session are collected. In front of the embedded broker not at all: there they cross no network and
    /// share the journal frame of their turn, so that collecting saves nothing, and a crash may lose only 20 ms of them (broker F15).
    fn ack_group(&self) -> Duration {
        if self.local.is_some() { Duration::ZERO } else { limit::ACK_GROUP_TIME }
    }

    /// Everything is known: makes the state machine and its legs, and attaches them.
    fn build(&mut self, io: &mut Links, key: Key) {
        let seed = self.prng.next();
        let ack_group = self.ack_group();
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Body::Opening(opening) = &mut session.body else { return };
        let partitioned = opening.topics.iter().any(|(_, partitions)| partitions.unwrap_or(0) > 0);
        let topics = expand(&opening.topics);
        if topics.len() > limit::SESSION_TOPICS_MAX {
            let text = format!("{} topics, at most {} work", topics.len(), limit::SESSION_TOPICS_MAX);
            return self.refuse_session(io, key, &Failure::request(text));
        }
        let mut discover = partitioned;
        let (body, count, role) = match opening.route.clone() {
            Route::Producer(spec) => {
                let partitions = opening.topics.first().and_then(|(_, partitions)| *partitions).unwrap_or(0);
                let producer = Producer::new(*spec, partitions, seed);
                let legs = producer.legs();
                (Body::Producer(Box::new(producer)), legs, Role::Producer)
            }
            Route::Reader(spec) => {
                if partitioned && matches!(spec.start, StartPosition::After(_)) {
                    let text = "The partitioned topic startMessageId is illegal";
                    return self.refuse_session(io, key, &Failure::request(text));
                }
                (
                    consumer_body(Consumer::reader(*spec, seed, ack_group), &topics),
                    topics.len(),
                    Role::Consumer,
                )
            }
            Route::Consumer(spec) => {
                discover |= matches!(spec.topics, Topics::Pattern { .. });
                (consumer_body(Consumer::new(*spec, seed, ack_group), &topics), topics.len(), Role::Consumer)
            }
        };
        session.body = body;
        session.unattached = count as u32;
        if discover {
            if session.pattern.is_some() {
                session.discover_every = limit::DISCOVERY_FIRST;
            }
            session.discover_at = io.clock().now + session.discover_every;
        }
        let legs: Vec<Leg> = (0..count as u32)
            .map(|leg| self.new_leg(key, role, LegIndex::Topic(leg), Attachment::new))
            .collect();
        if let Some(session) = self.sessions.get_mut(key) {
            session.legs = legs;
        }
        // A producer's other partitions take over the name the first one gets (protocol 7.8).
        let first = if role == Role::Producer { 1 } else { count };
        for leg in 0..first.min(count) as u32 {
            self.start_leg(io, LegRef { session: key, leg: LegIndex::Topic(leg) });
        }
        if count == 0 {
            self.finish_opening(io, key);
        }
    }

    pub(super) fn start_leg(&mut self, io: &mut Links, leg: LegRef) {
        self.leg_step(io, leg, Attachment::start);
    }

    /// A leg was attached: the rest of a producer's partitions follow the first; after the last one the session is open.
    pub(super) fn leg_opened(&mut self, io: &mut Links, leg: LegRef) {
        let Some(session) = self.sessions.get_mut(leg.session) else { return };
        if session.open || leg.leg == LegIndex::DeadLetters {
            return;
        }
        if session.unattached == 0 {
            return self.finish_opening(io, leg.session);
        }
        let producer = matches!(session.body, Body::Producer(_));
        if producer && leg.leg == LegIndex::Topic(0) && session.unattached as usize == session.legs.len() - 1
        {
            for other in 1..session.legs.len() as u32 {
                self.start_leg(io, LegRef { session: leg.session, leg: LegIndex::Topic(other) });
            }
        }
    }

    /// Everything is attached: the client gets its 101, and what it sent early is read.
    fn finish_opening(&mut self, io: &mut Links, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let kind = session.kind as usize;
        session.open = true;
        session.last_failure = None;
        session.last_sent = io.clock().now;
        self.counters.sessions[kind] += 1;
        self.counters.sessions_opened[kind] += 1;
        let client = session.client;
        self.switch_protocols(io, client, key);
        self.mark_dirty(key);
    }

    /// A session that cannot be opened: its client gets the status, nothing stays at the brokers.
    pub(super) fn refuse_session(&mut self, io: &mut Links, key: Key, failure: &Failure) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let status = failure.status();
        let prefix = match (session.kind, status) {
            (_, 400) => "Invalid query params: ",
            (SessionKind::Reader, _) => "Failed to create reader: ",
            _ => "Failed to create producer/consumer: ",
        };
        let message = format!("{prefix}{}", failure.text);
        let client = session.client;
        self.end_session(io, key);
        self.refuse_client(io, client, status, &message);
    }

    /// The opening took too long.
    pub(super) fn opening_timed_out(&mut self, io: &mut Links, key: Key) {
        let last = self.sessions.get_mut(key).and_then(|session| session.last_failure.take());
        let failure = last.unwrap_or_else(|| Failure::timeout("the broker"));
        self.refuse_session(io, key, &failure);
    }

    /// Puts the questions again after a pause.
    pub(super) fn opening_retry(&mut self, io: &mut Links, key: Key) {
        self.ask_for_topics(io, key);
    }

    /// Arms what an opening session waits for.
    pub(super) fn opening_timer(session: &Session) -> Instant {
        let retry = match &session.body {
            Body::Opening(opening) => opening.retry_at.unwrap_or(Instant::FAR),
            _ => Instant::FAR,
        };
        if session.open { Instant::FAR } else { session.open_until.min(retry) }
    }

    /// Arms a session's timer unless it is armed for that early already.
    pub(super) fn arm_session(io: &mut Links, key: Key, session: &mut Session, at: Instant) {
        if session.alarm.wants(at) {
            io.arm(at, Token::Session(key).pack());
        }
    }

    /// What a client's upgrade needs to remember.
    pub(super) fn upgrading(session: Key, key: String, extensions: Option<&'static str>) -> Upgrading {
        Upgrading { session, key, extensions, early: Vec::new() }
    }
}

fn consumer_body(mut consumer: Consumer, topics: &[TopicName]) -> Body {
    for topic in topics {
        consumer.add_leg(topic.clone());
    }
    Body::Consumer(Box::new(consumer))
}

/// Partitioned topics become their partitions; a topic named twice counts once.
fn expand(topics: &[(TopicName, Option<u32>)]) -> Vec<TopicName> {
    let mut all = Vec::new();
    for (topic, partitions) in topics {
        match partitions.unwrap_or(0) {
            0 => all.push(topic.clone()),
            count => all.extend((0..count).map(|index| topic.with_partition(index))),
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|topic| seen.insert(topic.clone()));
    all
}

/// Topics of a namespace whose `tenant/namespace/local`, partition suffix removed, the expression matches whole.
fn matching(expression: &str, names: Vec<String>) -> Result<Vec<TopicName>, Failure> {
    let expression = regex::Regex::new(&format!("^(?:{expression})$"))
        .map_err(|error| Failure::request(format!("topicsPattern: {error}")))?;
    let mut found = Vec::new();
    for name in names {
        let Ok(topic) = TopicName::parse(&name) else { continue };
        let base = topic.base();
        let bare = base.as_str().split_once("://").map_or(base.as_str(), |(_, rest)| rest);
        if !topic.local().starts_with("__") && expression.is_match(bare) {
            found.push(topic);
        }
    }
    match found.len() > limit::SESSION_TOPICS_MAX {
        true => Err(Failure::request(format!("topicsPattern matches {} topics", found.len()))),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(text: &str) -> TopicName {
        TopicName::parse(text).expect("a topic name")
    }

    #[test]
    fn partitioned_topics_become_their_partitions_once() {
        let topics = [(topic("a"), Some(2)), (topic("b"), Some(0)), (topic("a-partition-1"), Some(0))];
        let names: Vec<String> = expand(&topics).iter().map(ToString::to_string).collect();
        let base = "persistent://public/default/";
        assert_eq!(
            names,
            [format!("{base}a-partition-0"), format!("{base}a-partition-1"), format!("{base}b")]
        );
    }

    #[test]
    fn a_pattern_matches_whole_names_without_partition_and_scheme() {
        let names = ["ab", "ab-partition-0", "xab", "__change_events"];
        let names = names.map(|name| format!("persistent://public/default/{name}")).to_vec();
        let found = matching("public/default/a.*", names.clone()).expect("a sound pattern");
        let locals: Vec<&str> = found.iter().map(TopicName::local).collect();
        assert_eq!(locals, ["ab", "ab-partition-0"]);
        assert_eq!(matching("(", names).expect_err("unsound").status(), 400);
    }
}
