//! A session's producers and consumers at brokers: carries out the steps of their attachments.

use super::brokers::Target;
use super::service_url::Ask;
use super::{Body, Gateway, Leg, LegIndex, LegRef, Session, Waiter};
use crate::base::table::Key;
use crate::session::upstream::{Answer, Attachment, Cause, Failure, HostPort, Role, Step};
use crate::shard::Links;
use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto as p;
use crate::wire::route::TopicName;

/// Stands for the broker of this process.
const EMBEDDED_URL: &str = "pulsar://embedded";

/// A failure of a connection to `name`.
pub(super) fn failed(name: &str, reason: &str) -> Failure {
    Failure::connection(name, reason)
}

impl Session {
    pub(super) fn leg_mut(&mut self, index: LegIndex) -> Option<&mut Leg> {
        match index {
            LegIndex::Topic(leg) => self.legs.get_mut(leg as usize),
            LegIndex::DeadLetters => self.dead_letters.as_mut(),
        }
    }

    /// What a leg is at its broker.
    fn carries(&self, index: LegIndex) -> Role {
        match (&self.body, index) {
            (Body::Producer(_), _) | (_, LegIndex::DeadLetters) => Role::Producer,
            _ => Role::Consumer,
        }
    }

    fn topic(&mut self, index: LegIndex) -> Option<TopicName> {
        match (&mut self.body, index) {
            (Body::Producer(producer), LegIndex::Topic(leg)) => Some(producer.topic(leg as usize).clone()),
            (Body::Consumer(consumer), LegIndex::Topic(leg)) => Some(consumer.topic(leg as usize).clone()),
            (Body::Consumer(consumer), LegIndex::DeadLetters) => {
                Some(consumer.dead_letters()?.topic().clone())
            }
            _ => None,
        }
    }
}

impl Gateway {
    /// Adds a leg and gives it the id that brokers will name it by.
    pub(super) fn new_leg(
        &mut self,
        session: Key,
        role: Role,
        index: LegIndex,
        attachment: fn(Role, u64) -> Attachment,
    ) -> Leg {
        let id = self.next_id;
        self.next_id += 1;
        let reference = LegRef { session, leg: index };
        match role {
            Role::Producer => self.producers.insert(id, reference),
            Role::Consumer => self.consumers.insert(id, reference),
        };
        Leg { attachment: attachment(role, self.prng.next()), id, link: None, attempt: 0 }
    }

    /// Runs `work` on a leg's attachment and carries out the step it asks for.
    pub(super) fn leg_step(
        &mut self,
        io: &mut Links,
        leg: LegRef,
        work: impl FnOnce(&mut Attachment) -> Step,
    ) {
        let Some(session) = self.sessions.get_mut(leg.session) else { return };
        let Some(found) = session.leg_mut(leg.leg) else { return };
        match work(&mut found.attachment) {
            Step::Nothing => {}
            Step::Lookup { to, authoritative } => self.leg_look_up(io, leg, to, authoritative),
            Step::Link { broker, through_service } => {
                // The broker behind the service URL may be the one that answers there: then its link serves both.
                let through = through_service.then(|| self.service.host().clone());
                let through = through.filter(|host| *host != broker);
                let link = self.link_to(io, Target { broker, through });
                if let Some(found) = self.sessions.get_mut(leg.session).and_then(|s| s.leg_mut(leg.leg)) {
                    found.link = Some(link);
                    self.wait_for_link(io, link, leg);
                }
            }
            Step::Create => self.leg_create(io, leg),
            Step::Wait { .. } => self.mark_dirty(leg.session), // its timer is armed when it is settled
            Step::GiveUp(failure) => self.leg_given_up(io, leg, failure),
        }
    }

    fn leg_look_up(&mut self, io: &mut Links, leg: LegRef, to: Option<HostPort>, authoritative: bool) {
        let Some(topic) = self.sessions.get_mut(leg.session).and_then(|s| s.topic(leg.leg)) else { return };
        let ask = Ask::Lookup { topic, authoritative, leg };
        match to {
            None => self.ask(io, ask),
            Some(broker) => self.ask_broker(io, broker, ask),
        }
    }

    pub(super) fn leg_looked_up(&mut self, io: &mut Links, leg: LegRef, answer: Answer) {
        let now = io.clock().now;
        let found = self.sessions.get_mut(leg.session).and_then(|session| session.leg_mut(leg.leg));
        if !found.is_some_and(|found| found.attachment.is_looking_up()) {
            return; // a later lookup was quicker: how this one failed is no matter
        }
        let local = self.local.is_some();
        self.leg_step(io, leg, |attachment| match answer {
            Answer::Lookup(mut response) => {
                if local {
                    // There is one broker and one way to it, under whatever address others are told to find it.
                    response.broker_service_url = Some(EMBEDDED_URL.to_owned());
                }
                attachment.on_lookup(now, &response)
            }
            Answer::Failed(failure) => attachment.on_failure(now, failure),
            _ => attachment.on_failure(now, failed("broker", "answered a lookup with something else")),
        });
    }

    /// The link a leg waited for is ready.
    pub(super) fn leg_link_ready(&mut self, io: &mut Links, leg: LegRef) {
        self.leg_step(io, leg, Attachment::on_link_ready);
    }

    fn leg_create(&mut self, io: &mut Links, leg: LegRef) {
        let now = io.clock().now;
        let Some(session) = self.sessions.get_mut(leg.session) else { return };
        let Some(found) = session.leg_mut(leg.leg) else { return };
        found.attempt = found.attempt.wrapping_add(1);
        let (id, link, attempt) = (found.id, found.link, found.attempt);
        let Some(broker) = link.and_then(|link| self.links.get_mut(link)) else { return };
        let request = broker.link.request(now, Waiter::Create(leg, attempt));
        let command = match (&mut session.body, leg.leg) {
            (Body::Producer(producer), LegIndex::Topic(leg)) => {
                Command::Producer(producer.create_command(leg as usize, id, request))
            }
            (Body::Consumer(consumer), LegIndex::Topic(leg)) => {
                Command::Subscribe(consumer.subscribe_command(leg as usize, id, request))
            }
            (Body::Consumer(consumer), LegIndex::DeadLetters) => match consumer.dead_letters() {
                Some(queue) => Command::Producer(queue.create_command(id, request)),
                None => return,
            },
            _ => return,
        };
        broker.send(io, command);
        if let Some(link) = link {
            self.arm_link(io, link);
        }
    }

    pub(super) fn leg_created(&mut self, io: &mut Links, leg: LegRef, attempt: u32, answer: Answer) {
        let now = io.clock().now;
        let Some(session) = self.sessions.get_mut(leg.session) else { return };
        let Some(found) = session.leg_mut(leg.leg) else { return };
        if !found.attachment.is_creating() || found.attempt != attempt {
            return; // closed by the broker in the meantime
        }
        if let Answer::Failed(failure) = answer {
            if failure.cause == Cause::Timeout {
                self.close_at_broker(io, leg); // it may have been made all the same (protocol 7.5)
            }
            self.leg_detached(leg);
            return self.leg_step(io, leg, |attachment| attachment.on_failure(now, failure));
        }
        let fits = match answer {
            Answer::Producer(_) => session.carries(leg.leg) == Role::Producer,
            Answer::Success => session.carries(leg.leg) == Role::Consumer,
            _ => false,
        };
        if !fits {
            self.close_at_broker(io, leg);
            return self.leg_failed(io, leg, failed("broker", "answered a creation with something else"));
        }
        let Some(found) = session.leg_mut(leg.leg) else { return };
        let size = found.link.and_then(|link| self.links.get(link)).map_or(0, |b| b.link.message_size_max());
        found.attachment.on_created();
        if let LegIndex::Topic(_) = leg.leg {
            session.unattached = session.unattached.saturating_sub(1);
        }
        self.with_session(io, leg.session, |body, cx| match (body, leg.leg, answer) {
            (Body::Producer(producer), LegIndex::Topic(leg), Answer::Producer(success)) => {
                producer.on_created(leg as usize, &success, size);
            }
            (Body::Consumer(consumer), LegIndex::Topic(leg), Answer::Success) => {
                consumer.on_subscribed(cx, leg as usize, size);
            }
            (Body::Consumer(consumer), LegIndex::DeadLetters, Answer::Producer(success)) => {
                if let Some(queue) = consumer.dead_letters() {
                    queue.on_created(&success, size);
                }
            }
            _ => {}
        });
        self.mark_dirty(leg.session);
        self.leg_opened(io, leg);
    }

    /// Some step failed, or the link was lost.
    pub(super) fn leg_failed(&mut self, io: &mut Links, leg: LegRef, failure: Failure) {
        let now = io.clock().now;
        self.leg_detached(leg);
        if let Some(session) = self.sessions.get_mut(leg.session).filter(|session| !session.open) {
            session.last_failure = Some(failure.clone());
        }
        self.leg_step(io, leg, |attachment| attachment.on_failure(now, failure));
    }

    /// The broker refused an entry in a way that passes: the producer is closed there and made anew.
    pub(super) fn leg_reattach(&mut self, io: &mut Links, leg: LegRef, failure: Failure) {
        self.close_at_broker(io, leg);
        self.leg_failed(io, leg, failure);
    }

    /// The broker closed the producer or consumer. One that is not answered yet is closed by us too: what the broker closed
    /// may have been an earlier one, and this one come to life.
    pub(super) fn leg_closed(&mut self, io: &mut Links, leg: LegRef, assigned: Option<&str>) {
        let now = io.clock().now;
        let Some(found) = self.sessions.get_mut(leg.session).and_then(|s| s.leg_mut(leg.leg)) else { return };
        match (found.attachment.is_attached(), found.attachment.is_creating()) {
            (true, _) => {}
            (_, true) => self.close_at_broker(io, leg),
            _ => return, // on its way to a broker already
        }
        self.leg_detached(leg);
        self.leg_step(io, leg, |attachment| attachment.on_closed_by_broker(now, assigned));
    }

    /// Tells the session that a leg is not attached any more.
    fn leg_detached(&mut self, leg: LegRef) {
        let Some(session) = self.sessions.get_mut(leg.session) else { return };
        let Some(found) = session.leg_mut(leg.leg) else { return };
        found.link = None;
        if !found.attachment.is_attached() {
            return;
        }
        match (&mut session.body, leg.leg) {
            (Body::Producer(producer), LegIndex::Topic(leg)) => producer.on_detached(leg as usize),
            (Body::Consumer(consumer), LegIndex::Topic(leg)) => consumer.on_detached(leg as usize),
            (Body::Consumer(consumer), LegIndex::DeadLetters) => {
                if let Some(queue) = consumer.dead_letters() {
                    queue.on_detached();
                }
            }
            _ => {}
        }
        if let LegIndex::Topic(_) = leg.leg {
            session.unattached += 1;
        }
    }

    /// A leg cannot be attached any more.
    fn leg_given_up(&mut self, io: &mut Links, leg: LegRef, failure: Failure) {
        let Some(session) = self.sessions.get_mut(leg.session) else { return };
        if !session.open {
            return self.refuse_session(io, leg.session, &failure);
        }
        let error = format!("{}: {}", failure.exception(), failure.text);
        self.with_session(io, leg.session, |body, cx| match (body, leg.leg) {
            (Body::Producer(producer), LegIndex::Topic(leg)) => producer.on_refused(cx, leg as usize, error),
            (Body::Consumer(consumer), LegIndex::DeadLetters) => consumer.on_dead_letters_refused(cx),
            _ => {}
        });
        if leg.leg == LegIndex::DeadLetters
            && let Some(old) = self.sessions.get_mut(leg.session).and_then(|s| s.dead_letters.take())
        {
            self.producers.remove(&old.id);
        }
    }

    /// Sends CLOSE_PRODUCER or CLOSE_CONSUMER for a leg; nobody waits for the answer.
    pub(super) fn close_at_broker(&mut self, io: &mut Links, leg: LegRef) {
        let now = io.clock().now;
        let Some(session) = self.sessions.get_mut(leg.session) else { return };
        let producer = session.carries(leg.leg) == Role::Producer;
        let Some(found) = session.leg_mut(leg.leg) else { return };
        if !found.attachment.is_attached() && !found.attachment.is_creating() {
            return;
        }
        let (id, link) = (found.id, found.link);
        let Some(broker) = link.and_then(|link| self.links.get_mut(link)) else { return };
        if !broker.link.is_ready() {
            return;
        }
        let request_id = broker.link.request(now, Waiter::Nobody);
        let command = match producer {
            true => Command::CloseProducer(p::CommandCloseProducer {
                producer_id: id,
                request_id,
                ..Default::default()
            }),
            false => Command::CloseConsumer(p::CommandCloseConsumer {
                consumer_id: id,
                request_id,
                ..Default::default()
            }),
        };
        broker.send(io, command);
        if let Some(link) = link {
            self.arm_link(io, link);
        }
    }

    /// All legs that use a link or wait for it. Walks every session: links are lost rarely.
    pub(super) fn legs_of_link(&self, link: Key) -> Vec<LegRef> {
        let mut found = Vec::new();
        for (session, state) in self.sessions.iter() {
            for (number, leg) in state.legs.iter().enumerate() {
                if leg.link == Some(link) {
                    found.push(LegRef { session, leg: LegIndex::Topic(number as u32) });
                }
            }
            if state.dead_letters.as_ref().is_some_and(|leg| leg.link == Some(link)) {
                found.push(LegRef { session, leg: LegIndex::DeadLetters });
            }
        }
        found
    }
}
