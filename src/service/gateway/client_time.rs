//! What time does to clients: heads and idleness run out, pings are due, a stop lets them leave one by one.

use super::clients::Phase;
use super::token::Token;
use super::{Conn, GOODBYE_STOPPING, Gateway};
use crate::base::limit;
use crate::base::time::Instant;
use crate::shard::{ConnKey, Links};
use crate::wire::ws::encode;

impl Gateway {
    /// When something is due for a client: its head, its idleness, a ping, its leave.
    fn client_due(&mut self, key: ConnKey) -> Instant {
        let (idle_max, ping) = (self.config.session_idle, self.config.ping_interval);
        let Some(Conn::Client(client)) = self.conns.get_mut(key) else { return Instant::FAR };
        let due = match &client.phase {
            Phase::Head { since: Some(since), .. } => *since + limit::HTTP_HEAD_TIME_MAX,
            Phase::Head { since: None, .. } => client.last_received + limit::HTTP_IDLE_MAX,
            Phase::Web(web) => web.due(),
            Phase::Opening(_) | Phase::Leaving(_) | Phase::Closing => Instant::FAR,
            Phase::Open(open) => {
                let sent =
                    self.sessions.get_mut(open.session).map_or(Instant(0), |session| session.last_sent);
                let idle = client.last_received.max(sent) + idle_max;
                if ping.is_some() { idle.min(client.next_ping) } else { idle }
            }
        };
        due.min(client.leave_at)
    }

    pub(super) fn arm_client(&mut self, io: &mut Links, key: ConnKey) {
        let due = self.client_due(key);
        let Some(client) = self.client_mut(key) else { return };
        if due < client.timer_at {
            client.timer_at = due;
            io.arm(due, Token::Client(key).pack());
        }
    }

    pub(super) fn client_timer(&mut self, io: &mut Links, key: ConnKey) {
        let now = io.clock().now;
        let Some(client) = self.client_mut(key) else { return };
        client.timer_at = Instant::FAR;
        if self.client_due(key) > now {
            return self.arm_client(io, key);
        }
        let ping = self.config.ping_interval;
        let Some(client) = self.client_mut(key) else { return };
        if now >= client.leave_at {
            return self.client_leaves(io, key);
        }
        match &client.phase {
            Phase::Head { since: Some(_), .. } => {
                let text = "the request head took too long";
                self.answer(io, key, 408, "text/plain;charset=utf-8", text, true, false);
            }
            Phase::Head { since: None, .. } => self.client_eof(io, key),
            Phase::Open(_) if ping.is_some() && now >= client.next_ping => {
                client.next_ping = ping.map_or(Instant::FAR, |interval| now + interval);
                let session = client.session();
                if let Some(out) = io.outbox(key) {
                    encode::put_ping(out, b"PING"); // the payload of the original, API 2.6
                }
                if let Some(session) = session.and_then(|session| self.sessions.get_mut(session)) {
                    session.last_sent = now;
                }
                self.arm_client(io, key);
            }
            Phase::Open(_) => {
                let text = format!("Idle timeout expired: {} ms", self.config.session_idle.as_millis());
                self.say_goodbye(io, key, Some((1001, &text)));
            }
            Phase::Web(_) => {
                let text = "the request body took too long";
                self.answer(io, key, 408, "text/plain;charset=utf-8", text, true, false);
            }
            Phase::Opening(_) | Phase::Leaving(_) | Phase::Closing => {}
        }
    }

    /// The process stops: each client is to leave at a time of its own within the spread.
    pub(super) fn schedule_leave(&mut self, io: &mut Links, key: ConnKey, at: Instant) {
        if let Some(client) = self.client_mut(key) {
            client.leave_at = at;
        }
        self.arm_client(io, key);
    }

    fn client_leaves(&mut self, io: &mut Links, key: ConnKey) {
        let Some(client) = self.client_mut(key) else { return };
        client.leave_at = Instant::FAR;
        match &client.phase {
            Phase::Open(open) => {
                let session = open.session;
                self.drain_session(io, session);
            }
            Phase::Opening(upgrading) => {
                let session = upgrading.session;
                self.end_session(io, session);
                self.refuse_client(io, key, 503, GOODBYE_STOPPING.reason);
                io.close(key, limit::CLOSE_WAIT_MAX);
            }
            Phase::Head { .. } | Phase::Web(_) => self.client_eof(io, key),
            Phase::Leaving(_) | Phase::Closing => {}
        }
    }
}
