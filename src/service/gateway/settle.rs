//! The end of a turn: every session that something happened to is visited once. What it wants sent goes to its links,
//! its client is paused or read again, its timers are armed.

use super::brokers::BrokerLink;
use super::token::Token;
use super::{Body, GOODBYE_STOPPING, Gateway, LegIndex, LegRef, Session, Stopping, Waiter};
use crate::base::limit;
use crate::base::table::{Key, Table};
use crate::base::time::Instant;
use crate::session::GOODBYE_UNREADABLE;
use crate::session::consumer::Output;
use crate::session::upstream::{Answer, Attachment, Role};
use crate::shard::Links;
use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto as p;
use std::time::Duration;

/// Bytes of entries one session may put on a link in one turn, so that a flood does not delay the others' by more.
const LINK_QUANTUM: usize = 256 * 1024;

impl Gateway {
    /// Visits every dirty session.
    pub(super) fn settle(&mut self, io: &mut Links) {
        let mut visiting = std::mem::take(&mut self.visiting);
        std::mem::swap(&mut visiting, &mut self.dirty);
        for key in visiting.drain(..) {
            if let Some(session) = self.sessions.get_mut(key) {
                session.dirty = false;
                self.settle_session(io, key);
            }
        }
        self.visiting = visiting;
    }

    fn settle_session(&mut self, io: &mut Links, key: Key) {
        self.send_entries(io, key, false);
        self.carry_out(io, key);
        self.control_reading(io, key);
        self.finish_drain(io, key);
        let next = self.session_due(key);
        if let Some(session) = self.sessions.get_mut(key) {
            Gateway::arm_session(io, key, session, next);
        }
    }

    /// Writes a producer's entries to its links: as far as their outboxes have room, or `all` of them when the session
    /// ends (what it may hold is bounded).
    fn send_entries(&mut self, io: &mut Links, key: Key, all: bool) {
        let Gateway { sessions, links, .. } = self;
        let Some(session) = sessions.get_mut(key) else { return };
        let Session { body, legs, dead_letters, .. } = session;
        let mut left = if all { usize::MAX } else { LINK_QUANTUM };
        let mut again = false;
        match body {
            Body::Producer(producer) => {
                for (number, leg) in legs.iter().enumerate() {
                    if producer.has_unsent(number)
                        && let Some((broker, room)) = writable(io, links, leg.link, key, all)
                    {
                        again |=
                            broker.send_entries(io, leg.id, &mut left, room, all, producer.queue(number));
                    }
                }
            }
            Body::Consumer(consumer) => {
                if let (Some(leg), Some(queue)) = (dead_letters, consumer.dead_letters())
                    && let Some((broker, room)) = writable(io, links, leg.link, key, all)
                {
                    again |= broker.send_entries(io, leg.id, &mut left, room, all, queue);
                }
            }
            Body::Opening(_) => {}
        }
        if again {
            self.mark_dirty(key); // others go first, and the outbox leaves now
        }
    }

    /// Does what a consumer session asks for. Not before it is open: a message to a client without its 101 would be lost, so
    /// no permit is granted until all legs are attached.
    fn carry_out(&mut self, io: &mut Links, key: Key) {
        let now = io.clock().now;
        loop {
            let Some(session) = self.sessions.get_mut(key).filter(|session| session.open) else { return };
            let Body::Consumer(consumer) = &mut session.body else { return };
            match consumer.poll_output(now, &mut self.ack_ids) {
                None => return,
                Some(Output::ToBroker { leg, mut command }) => {
                    let attached = session.legs.get(leg).filter(|leg| leg.attachment.is_attached());
                    let Some(found) = attached else { continue };
                    set_consumer_id(&mut command, found.id);
                    if let Some(broker) = found.link.and_then(|link| self.links.get_mut(link)) {
                        broker.send_out(io, &mut command);
                    }
                    if let Command::Ack(ack) = command {
                        self.ack_ids = ack.message_id;
                        self.ack_ids.clear();
                    }
                }
                Some(Output::Unsubscribe) => self.unsubscribe(io, key),
                Some(Output::OpenDeadLetters) => {
                    let leg = self.new_leg(key, Role::Producer, LegIndex::DeadLetters, Attachment::new);
                    if let Some(session) = self.sessions.get_mut(key) {
                        session.dead_letters = Some(leg);
                    }
                    let leg = LegRef { session: key, leg: LegIndex::DeadLetters };
                    self.leg_step(io, leg, Attachment::start);
                }
            }
        }
    }

    /// Pauses a client whose producer holds too much, or that does not take its answers; reads it again otherwise.
    fn control_reading(&mut self, io: &mut Links, key: Key) {
        let core_max = self.pending_bytes_max();
        let Some(session) = self.sessions.get_mut(key) else { return };
        if !session.open {
            return;
        }
        let queued = io.queued(session.client);
        let (pending, messages) = match &session.body {
            Body::Producer(producer) => (producer.pending_bytes(), producer.pending_messages()),
            _ => (0, 0),
        };
        self.pending_bytes = self.pending_bytes + pending - session.pending_counted;
        session.pending_counted = pending;
        // Below half of the budget it is read again: a session at the edge must not flap.
        let share = |max: usize, paused: bool| if paused { max / 2 } else { max };
        let own = pending > share(self.config.session_pending_bytes_max, session.paused)
            || messages > share(limit::SESSION_PENDING_MESSAGES_MAX, session.paused);
        let starved = pending > 0 && self.pending_bytes > core_max;
        let full = queued > limit::OUTBOX_HIGH * if session.kind as u8 == 0 { 1 } else { 4 };
        let pause = own || starved || full || session.draining;
        if full || session.blocked {
            io.notify_below(session.client, limit::OUTBOX_LOW);
        }
        if pause != session.paused {
            session.paused = pause;
            match pause {
                true => {
                    self.counters.producer_pauses += u64::from(own || starved);
                    io.pause(session.client);
                }
                false => io.resume(session.client),
            }
        }
        if starved && !std::mem::replace(&mut session.starved, true) {
            self.starved.push(key);
        }
        self.feed_starved(core_max);
    }

    /// Lets the sessions that waited for the core's budget look again, once half of it is free.
    fn feed_starved(&mut self, core_max: usize) {
        if self.pending_bytes <= core_max / 2 {
            while let Some(key) = self.starved.pop() {
                if let Some(session) = self.sessions.get_mut(key) {
                    session.starved = false;
                }
                self.mark_dirty(key);
            }
        }
    }

    /// A consumer whose client does not take what it is sent delivers nothing more until the outbox has drained.
    pub(super) fn block_if_full(&mut self, io: &mut Links, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.open && !session.blocked && io.queued(session.client) > limit::OUTBOX_HIGH {
            session.blocked = true;
            io.notify_below(session.client, limit::OUTBOX_LOW);
            self.set_blocked(io, key, true);
        }
    }

    pub(super) fn client_drained(&mut self, io: &mut Links, key: Key) {
        if self.sessions.get_mut(key).is_some_and(|session| std::mem::take(&mut session.blocked)) {
            self.set_blocked(io, key, false);
            self.block_if_full(io, key);
        }
        self.mark_dirty(key);
    }

    fn set_blocked(&mut self, io: &mut Links, key: Key, blocked: bool) {
        self.with_session(io, key, |body, cx| {
            if let Body::Consumer(consumer) = body {
                consumer.set_blocked(cx, blocked);
            }
        });
    }

    // ---- time

    fn session_due(&mut self, key: Key) -> Instant {
        let Some(session) = self.sessions.get_mut(key) else { return Instant::FAR };
        let own = match &session.body {
            Body::Producer(producer) => producer.next_timer(),
            Body::Consumer(consumer) => consumer.next_timer(),
            Body::Opening(_) => None,
        };
        let mut due =
            own.unwrap_or(Instant::FAR).min(Gateway::opening_timer(session)).min(session.discover_at);
        let letters = session.dead_letters.as_ref().and_then(|leg| leg.attachment.next_timer());
        due = due.min(letters.unwrap_or(Instant::FAR));
        if session.unattached > 0 {
            let legs = session.legs.iter().filter_map(|leg| leg.attachment.next_timer()).min();
            due = due.min(legs.unwrap_or(Instant::FAR));
        }
        match (session.draining, self.stopping) {
            (true, Some(stopping)) => due.min(stopping.until),
            _ => due,
        }
    }

    pub(super) fn session_timer(&mut self, io: &mut Links, key: Key) {
        let now = io.clock().now;
        let Some(session) = self.sessions.get_mut(key) else { return };
        if !session.alarm.fires(now) {
            return;
        }
        if !session.open {
            if now >= session.open_until {
                return self.opening_timed_out(io, key);
            }
            if matches!(&session.body, Body::Opening(o) if o.retry_at.is_some_and(|at| now >= at)) {
                self.opening_retry(io, key);
            }
        } else if now >= session.discover_at {
            self.discover(io, key);
        }
        self.with_session(io, key, |body, cx| match body {
            Body::Producer(producer) => producer.on_timer(cx),
            Body::Consumer(consumer) => consumer.on_timer(cx),
            Body::Opening(_) => {}
        });
        self.legs_timer(io, key, now);
        self.block_if_full(io, key);
        self.mark_dirty(key);
    }

    fn legs_timer(&mut self, io: &mut Links, key: Key, now: Instant) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let due = |leg: &super::Leg| leg.attachment.next_timer().is_some_and(|at| at <= now);
        let mut legs: Vec<LegIndex> = Vec::new();
        if session.unattached > 0 {
            let found = session.legs.iter().enumerate().filter(|(_, leg)| due(leg));
            legs.extend(found.map(|(number, _)| LegIndex::Topic(number as u32)));
        }
        if session.dead_letters.as_ref().is_some_and(due) {
            legs.push(LegIndex::DeadLetters);
        }
        for leg in legs {
            self.leg_step(io, LegRef { session: key, leg }, |attachment| attachment.on_timer(now));
        }
    }

    // ---- unsubscribing

    fn unsubscribe(&mut self, io: &mut Links, key: Key) {
        let now = io.clock().now;
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.discover_at = Instant::FAR;
        // One leg without its broker, and the subscription would stay there: refused, as the original does.
        let all = session.legs.iter().all(|leg| leg.attachment.is_attached());
        let legs: Vec<(u64, Option<Key>)> = session.legs.iter().map(|leg| (leg.id, leg.link)).collect();
        let mut asked = 0;
        for (number, (consumer_id, link)) in legs.into_iter().enumerate().filter(|_| all) {
            let Some(broker) = link.and_then(|link| self.links.get_mut(link)) else { continue };
            if !broker.link.is_ready() {
                continue;
            }
            let leg = LegRef { session: key, leg: LegIndex::Topic(number as u32) };
            let request_id = broker.link.request(now, Waiter::Unsubscribe(leg));
            let command =
                Command::Unsubscribe(p::CommandUnsubscribe { consumer_id, request_id, ..Default::default() });
            asked += u32::from(broker.send(io, command));
        }
        match self.sessions.get_mut(key) {
            Some(session) if asked > 0 => session.unsubscribing = asked,
            _ => self.dismiss(io, key, &GOODBYE_UNREADABLE), // no broker to ask: refused
        }
    }

    pub(super) fn unsubscribed(&mut self, io: &mut Links, leg: LegRef, answer: Answer) {
        let key = leg.session;
        let Some(session) = self.sessions.get_mut(key) else { return };
        let refused = !matches!(answer, Answer::Success);
        session.unsubscribing = session.unsubscribing.saturating_sub(1);
        let left = session.unsubscribing;
        if let Some(found) = session.leg_mut(leg.leg).filter(|_| !refused) {
            // The broker has closed the consumer. To attach it again would bring the subscription back.
            found.attachment.end();
            found.link = None;
        }
        if left > 0 && !refused {
            return;
        }
        let result = self.with_session(io, key, |body, _| match body {
            Body::Consumer(consumer) => consumer.on_unsubscribed(if refused { Err(()) } else { Ok(()) }),
            _ => Ok(()),
        });
        if let Some(Err(goodbye)) = result {
            self.dismiss(io, key, &goodbye);
        }
    }

    // ---- ending

    /// Ends a session: what its client sent goes out, its producers and consumers are closed at their brokers.
    pub(super) fn end_session(&mut self, io: &mut Links, key: Key) {
        if self.sessions.get_mut(key).is_none() {
            return;
        }
        self.flush_session(io, key);
        let count = self.sessions.get_mut(key).map_or(0, |session| session.legs.len() as u32);
        for leg in (0..count).map(LegIndex::Topic).chain([LegIndex::DeadLetters]) {
            self.close_at_broker(io, LegRef { session: key, leg });
        }
        let Some(session) = self.sessions.remove(key) else { return };
        if session.open {
            self.counters.sessions[session.kind as usize] -= 1;
        }
        self.pending_bytes -= session.pending_counted;
        for leg in &session.legs {
            match session.kind {
                super::SessionKind::Producer => self.producers.remove(&leg.id),
                _ => self.consumers.remove(&leg.id),
            };
        }
        if let Some(leg) = &session.dead_letters {
            self.producers.remove(&leg.id);
        }
        self.count_ended(&session);
    }

    /// Ends open batches and writes everything that can be written: acks before a close count.
    fn flush_session(&mut self, io: &mut Links, key: Key) {
        self.with_session(io, key, |body, cx| {
            if let Body::Producer(producer) = body {
                producer.flush(cx);
            }
        });
        // Also when the client, and so its outbox, is gone.
        if let Some(Session { body: Body::Consumer(consumer), .. }) = self.sessions.get_mut(key) {
            consumer.flush_acks();
        }
        self.send_entries(io, key, true);
        self.carry_out(io, key);
    }

    // ---- stopping

    /// The process stops: every client leaves within the spread.
    pub(super) fn stop(&mut self, io: &mut Links, spread: Duration) {
        let now = io.clock().now;
        self.stopping = Some(Stopping { until: now + spread + spread / 2 });
        let clients: Vec<_> = self
            .conns
            .iter()
            .filter(|(_, conn)| matches!(conn, super::Conn::Client(_)))
            .map(|(key, _)| key)
            .collect();
        let nanos = u64::try_from(spread.as_nanos()).unwrap_or(u64::MAX).max(1);
        for key in clients {
            let at = now + Duration::from_nanos(self.prng.below(nanos));
            self.schedule_leave(io, key, at);
        }
    }

    /// A session's client is to leave: what brokers still confirm is waited for, then it is told goodbye.
    pub(super) fn drain_session(&mut self, io: &mut Links, key: Key) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.draining = true;
            self.flush_session(io, key);
            self.mark_dirty(key);
            self.finish_drain(io, key);
        }
    }

    fn finish_drain(&mut self, io: &mut Links, key: Key) {
        let Some(session) = self.sessions.get_mut(key).filter(|session| session.draining) else { return };
        let pending = match &session.body {
            Body::Producer(producer) => producer.pending_messages(),
            _ => 0,
        };
        let late = self.stopping.is_none_or(|stopping| io.clock().now >= stopping.until);
        if pending == 0 || late {
            self.dismiss(io, key, &GOODBYE_STOPPING);
        }
    }
}

/// A leg's link and the room in its outbox, or a note there that the session waits for room, or for the link's pace. `all`: there
/// is always room, and no time.
fn writable<'a>(
    io: &mut Links,
    links: &'a mut Table<BrokerLink>,
    link: Option<Key>,
    session: Key,
    all: bool,
) -> Option<(&'a mut BrokerLink, usize)> {
    let key = link?;
    let broker = links.get_mut(key)?;
    if let Some(due) = broker.pace.wait(io.clock().now).filter(|_| !all) {
        // Who comes first sets the alarm; where somebody waits for room, that will come as well.
        if broker.blocked.is_empty() {
            io.arm(due, Token::Link(key).pack());
        }
        broker.blocked.push(session);
        return None;
    }
    match broker.room(io)? {
        _ if all => Some((broker, usize::MAX)),
        0 => {
            broker.blocked.push(session);
            if let Some(conn) = broker.socket() {
                io.notify_below(conn, limit::LINK_OUTBOX_LOW);
            }
            None
        }
        room => Some((broker, room)),
    }
}

fn set_consumer_id(command: &mut Command, id: u64) {
    match command {
        Command::Flow(flow) => flow.consumer_id = id,
        Command::Ack(ack) => ack.consumer_id = id,
        Command::Redeliver(redeliver) => redeliver.consumer_id = id,
        other => debug_assert!(false, "a consumer session does not send {other:?}"),
    }
}
