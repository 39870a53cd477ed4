//! Open sessions grow: patterns match new topics, partitioned topics get more partitions.

use super::service_url::Ask;
use super::{Body, Gateway, LegIndex, LegRef, Waiter};
use crate::base::limit;
use crate::base::table::Key;
use crate::session::upstream::{Answer, Attachment, Role};
use crate::shard::Links;
use crate::wire::route::TopicName;

impl Gateway {
    /// Looks for topics that a pattern matches now, or partitions that were added.
    pub(super) fn discover(&mut self, io: &mut Links, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.discover_every = (session.discover_every * 2).min(limit::DISCOVERY_INTERVAL);
        session.discover_at = io.clock().now + session.discover_every;
        if let Some((namespace, _)) = &session.pattern {
            let namespace = namespace.clone();
            return self.ask(io, Ask::Topics { namespace, waiter: Waiter::Topics(key) });
        }
        let mut bases: Vec<(u32, TopicName)> = Vec::new();
        match &session.body {
            Body::Producer(producer) => bases.push((0, producer.topic(0).base())),
            Body::Consumer(consumer) => {
                for leg in 0..consumer.legs() {
                    let topic = consumer.topic(leg);
                    if topic.partition() == 0 {
                        bases.push((leg as u32, topic.base()));
                    }
                }
            }
            Body::Opening(_) => {}
        }
        for (leg, topic) in bases {
            self.ask(io, Ask::Partitions { topic, waiter: Waiter::Growth(key, leg) });
        }
    }

    /// An open session asked how many partitions its topic (the base of leg `leg`) has by now.
    pub(super) fn partitions_grew(&mut self, io: &mut Links, key: Key, leg: u32, answer: Answer) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Answer::Partitions(count) = answer else { return }; // asked again in its time
        if count > limit::PARTITIONS_MAX {
            return;
        }
        match &session.body {
            Body::Producer(producer) if producer.is_partitioned() => {
                self.add_partitions(io, key, count as usize)
            }
            Body::Consumer(consumer) if (leg as usize) < consumer.legs() => {
                let base = consumer.topic(leg as usize).base();
                self.add_topics(io, key, (0..count).map(|index| base.with_partition(index)).collect());
            }
            _ => {}
        }
    }

    /// Adds legs to a producer until it has one for each of `count` partitions.
    fn add_partitions(&mut self, io: &mut Links, key: Key, count: usize) {
        loop {
            let Some(session) = self.sessions.get_mut(key) else { return };
            let Body::Producer(producer) = &mut session.body else { return };
            if producer.legs() >= count {
                return;
            }
            let number = producer.add_partition() as u32;
            self.join(io, key, Role::Producer, number);
        }
    }

    /// Attaches a leg that was added to an open session.
    fn join(&mut self, io: &mut Links, key: Key, role: Role, number: u32) {
        let index = LegIndex::Topic(number);
        let leg = self.new_leg(key, role, index, Attachment::joining);
        if let Some(session) = self.sessions.get_mut(key) {
            session.legs.push(leg);
            session.unattached += 1;
        }
        self.leg_step(io, LegRef { session: key, leg: index }, Attachment::start);
    }

    /// Adds legs for topics the session does not have yet.
    pub(super) fn add_topics(&mut self, io: &mut Links, key: Key, topics: Vec<TopicName>) {
        for topic in topics {
            let Some(session) = self.sessions.get_mut(key) else { return };
            let Body::Consumer(consumer) = &mut session.body else { return };
            let known = (0..consumer.legs()).any(|leg| *consumer.topic(leg) == topic);
            if known || consumer.legs() >= limit::SESSION_TOPICS_MAX {
                continue;
            }
            let number = consumer.add_leg(topic) as u32;
            self.join(io, key, Role::Consumer, number);
        }
    }
}
