//! What brokers say: frames of a socket, or commands of the embedded broker, and which session, leg or question they are for.

use super::{Body, Gateway, LegIndex, LegRef, Waiter};
use crate::base::table::Key;
use crate::session::producer::Verdict;
use crate::session::upstream::{Answer, Failure, FrameInbox, LinkEvent, Role};
use crate::shard::Links;
use crate::wire::pulsar::Command;
use crate::wire::pulsar::frame::{self, FrameError};
use crate::wire::pulsar::hot::{self, Hot};
use crate::wire::pulsar::proto as p;

/// A link must end, and why.
pub(super) enum LinkFault {
    /// The broker broke the protocol.
    Protocol(String),
    /// The broker refused us.
    Refused(Failure),
}

impl From<FrameError> for LinkFault {
    fn from(error: FrameError) -> Self {
        LinkFault::Protocol(error.to_string())
    }
}

impl Gateway {
    pub(super) fn link_bytes(&mut self, io: &mut Links, key: Key, bytes: &[u8]) {
        let now = io.clock().now;
        let Some(broker) = self.links.get_mut(key) else { return };
        broker.link.on_heard(now);
        let mut inbox = std::mem::replace(&mut broker.inbox, FrameInbox::new(0));
        let mut frame_max = None;
        let result = inbox.feed(bytes, |frame| self.on_frame(io, key, frame, &mut frame_max));
        if let Some(broker) = self.links.get_mut(key) {
            if let Some(max) = frame_max {
                inbox.set_frame_max(max);
            }
            broker.inbox = inbox;
        }
        self.link_heard(io, key, result);
    }

    /// Ends a link whose broker broke the protocol or refused us.
    pub(super) fn link_heard(&mut self, io: &mut Links, key: Key, result: Result<(), LinkFault>) {
        match result {
            Ok(()) => self.arm_link(io, key),
            Err(LinkFault::Protocol(reason)) => {
                self.counters.violations += 1;
                log::warn!("broker {}: {reason}; closing the link", self.link_name(key));
                self.link_end(io, key, &reason);
            }
            Err(LinkFault::Refused(failure)) => {
                log::warn!("broker {} refused the connection: {failure}", self.link_name(key));
                self.link_end_with(io, key, failure);
            }
        }
    }

    fn on_frame(
        &mut self,
        io: &mut Links,
        key: Key,
        bytes: &[u8],
        frame_max: &mut Option<usize>,
    ) -> Result<(), LinkFault> {
        let command = match hot::read(bytes)? {
            Hot::Receipt(receipt) => {
                let now = io.clock().now;
                if let Some(broker) = self.links.get_mut(key) {
                    broker.pace.on_receipt(now, receipt.producer_id, receipt.sequence_id);
                }
                return self.on_receipt(io, &receipt);
            }
            Hot::Message(message, entry) => return self.on_message(io, &message, entry),
            Hot::Other(command) => command,
        };
        let now = io.clock().now;
        let Some(broker) = self.links.get_mut(key) else { return Ok(()) };
        let event = match broker.socket().and_then(|conn| io.outbox(conn)) {
            Some(out) => broker.link.on_command(now, command, out),
            None => return Ok(()),
        };
        self.on_event(io, key, event, frame_max)
    }

    /// What a command means to its link, its sessions and those who asked.
    pub(super) fn on_event(
        &mut self,
        io: &mut Links,
        key: Key,
        event: LinkEvent<Waiter>,
        frame_max: &mut Option<usize>,
    ) -> Result<(), LinkFault> {
        match event {
            LinkEvent::Nothing => {}
            LinkEvent::Ready { frame_max: max } => {
                *frame_max = Some(max);
                self.link_ready(io, key);
            }
            LinkEvent::Refused(failure) => return Err(LinkFault::Refused(failure)),
            LinkEvent::Violation(what) => return Err(LinkFault::Protocol(what.to_owned())),
            LinkEvent::Answered(waiter, answer) => self.answered(io, waiter, answer),
            LinkEvent::Forward(command) => return self.on_forwarded(io, key, command),
        }
        Ok(())
    }

    /// The hot path of publishing: a receipt for the producer that its id names.
    pub(super) fn on_receipt(
        &mut self,
        io: &mut Links,
        receipt: &p::CommandSendReceipt,
    ) -> Result<(), LinkFault> {
        let Some(leg) = self.producers.get(&receipt.producer_id).copied() else {
            self.counters.stale_events += 1; // of a producer just closed
            return Ok(());
        };
        let verdict = self.with_session(io, leg.session, |body, cx| match (body, leg.leg) {
            (Body::Producer(producer), LegIndex::Topic(leg)) => {
                producer.on_receipt(cx, leg as usize, receipt)
            }
            (Body::Consumer(consumer), LegIndex::DeadLetters) => {
                consumer.on_dead_letter_receipt(cx, receipt).map_or(Verdict::CloseLink, |()| Verdict::Fine)
            }
            _ => Verdict::Fine,
        });
        match verdict {
            Some(Verdict::CloseLink) => {
                Err(LinkFault::Protocol("a receipt for what was never sent".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// The hot path of consuming: an entry for the consumer that its id names.
    pub(super) fn on_message(
        &mut self,
        io: &mut Links,
        message: &p::CommandMessage,
        rest: &[u8],
    ) -> Result<(), LinkFault> {
        let Some(leg) = self.consumers.get(&message.consumer_id).copied() else {
            self.counters.stale_events += 1;
            return Ok(());
        };
        let payload = frame::payload(rest)?;
        self.with_session(io, leg.session, |body, cx| {
            if let (Body::Consumer(consumer), LegIndex::Topic(leg)) = (body, leg.leg) {
                consumer.on_message(cx, leg as usize, message, &payload);
            }
        });
        self.block_if_full(io, leg.session);
        Ok(())
    }

    /// What a broker says of a producer or consumer counts only on the link that it is attached by: a topic that moved may
    /// be closed at its old broker once more.
    fn leg_on_link(&mut self, link: Key, role: Role, id: u64) -> Option<LegRef> {
        let leg = match role {
            Role::Producer => self.producers.get(&id),
            Role::Consumer => self.consumers.get(&id),
        };
        let found = leg.copied().filter(|leg| {
            let session = self.sessions.get_mut(leg.session);
            session.and_then(|session| session.leg_mut(leg.leg)).is_some_and(|leg| leg.link == Some(link))
        });
        self.counters.stale_events += u64::from(found.is_none());
        found
    }

    fn on_forwarded(&mut self, io: &mut Links, link: Key, command: Command) -> Result<(), LinkFault> {
        let (role, id, assigned) = match &command {
            Command::SendError(error) => return self.on_send_error(io, link, error),
            Command::CloseProducer(close) => {
                (Role::Producer, close.producer_id, &close.assigned_broker_service_url)
            }
            Command::CloseConsumer(close) => {
                (Role::Consumer, close.consumer_id, &close.assigned_broker_service_url)
            }
            Command::TopicMigrated(moved) => {
                let producer = moved.resource_type == p::TopicMigratedResourceType::Producer as i32;
                let role = if producer { Role::Producer } else { Role::Consumer };
                (role, moved.resource_id, &moved.broker_service_url)
            }
            Command::ReachedEndOfTopic(end) => {
                self.on_end_of_topic(io, link, end.consumer_id);
                return Ok(());
            }
            _ => return Ok(()), // ACTIVE_CONSUMER_CHANGE, ACK_RESPONSE and the like: of no interest here
        };
        if let Some(leg) = self.leg_on_link(link, role, id) {
            self.leg_closed(io, leg, assigned.as_deref());
        }
        Ok(())
    }

    fn on_end_of_topic(&mut self, io: &mut Links, link: Key, id: u64) {
        let Some(leg) = self.leg_on_link(link, Role::Consumer, id) else { return };
        self.with_session(io, leg.session, |body, _| {
            if let (Body::Consumer(consumer), LegIndex::Topic(leg)) = (body, leg.leg) {
                consumer.on_end_of_topic(leg as usize);
            }
        });
    }

    fn on_send_error(
        &mut self,
        io: &mut Links,
        link: Key,
        error: &p::CommandSendError,
    ) -> Result<(), LinkFault> {
        let Some(leg) = self.leg_on_link(link, Role::Producer, error.producer_id) else { return Ok(()) };
        let verdict = self.with_session(io, leg.session, |body, cx| match (body, leg.leg) {
            (Body::Producer(producer), LegIndex::Topic(leg)) => {
                producer.on_send_error(cx, leg as usize, error)
            }
            _ => Verdict::Reattach,
        });
        match verdict {
            Some(Verdict::Reattach) => {
                self.leg_reattach(io, leg, Failure::broker(error.error, &error.message, 0, "broker"));
                Ok(())
            }
            Some(Verdict::CloseLink) => {
                Err(LinkFault::Protocol("an error for what was never sent".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// An answer for whoever asked.
    pub(super) fn answered(&mut self, io: &mut Links, waiter: Waiter, answer: Answer) {
        match waiter {
            Waiter::Partitions(session, topic) => self.partitions_answered(io, session, topic, answer),
            Waiter::Growth(session, leg) => self.partitions_grew(io, session, leg, answer),
            Waiter::Topics(session) => self.topics_answered(io, session, answer),
            Waiter::Lookup(leg) => self.leg_looked_up(io, leg, answer),
            Waiter::Create(leg, attempt) => self.leg_created(io, leg, attempt, answer),
            Waiter::Unsubscribe(leg) => self.unsubscribed(io, leg, answer),
            Waiter::Nobody => {}
        }
    }
}
