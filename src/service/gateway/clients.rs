//! A client's connection: HTTP heads, the upgrade, WebSocket frames, the goodbye.
//!
//! ```text
//! Head ─upgrade─> Opening ─attached─> Open ─goodbye─> (closing: the socket lingers, nothing is read)
//!  ^  └─page─┐      │refused
//!  └─────────┴──────┘
//! ```
//! In front of the embedded broker a client whose topic is another core's leaves for it with its head, as if it had connected
//! there.

use super::web::Web;
use super::{Body, Conn, Gateway, Tools, mark_dirty};
use crate::base::limit;
use crate::base::table::Key;
use crate::base::time::Instant;
use crate::session::Goodbye;
use crate::shard::{ConnKey, Links, ShardId};
use crate::wire::http::{self, Answer, Head, Upgrade};
use crate::wire::route;
use crate::wire::ws::deflate::negotiate;
use crate::wire::ws::{Decoder, DecoderConfig, Event, encode};
use std::net::SocketAddr;

/// Bytes received at once that are likely a part of a message larger than a receive buffer.
const LARGE_INPUT: usize = 8 * 1024;

/// A client.
pub(super) struct Client {
    pub(super) peer: SocketAddr,
    pub(super) phase: Phase,
    /// The last frame or byte from it.
    pub(super) last_received: Instant,
    pub(super) next_ping: Instant,
    pub(super) timer_at: Instant,
    /// It is told goodbye then: the process stops.
    pub(super) leave_at: Instant,
}

pub(super) enum Phase {
    /// Reads heads. `body_left`: bytes of a request body to be skipped first.
    Head { buffer: Vec<u8>, since: Option<Instant>, body_left: u64 },
    /// Its session is being opened.
    Opening(Box<Upgrading>),
    /// Frames both ways.
    Open(Box<Open>),
    /// Its request is for the administration of the embedded broker.
    Web(Box<Web>),
    /// Its topic is at this core: it goes there, and its head is read there again.
    Leaving(ShardId),
    /// Said goodbye; the socket lingers.
    Closing,
}

/// An upgrade whose session is not open yet.
pub(super) struct Upgrading {
    pub(super) session: Key,
    /// `Sec-WebSocket-Key`.
    pub(super) key: String,
    /// Extensions to agree to.
    pub(super) extensions: Option<&'static str>,
    /// Bytes that came too early.
    pub(super) early: Vec<u8>,
}

pub(super) struct Open {
    pub(super) session: Key,
    decoder: Decoder,
}

/// How reading a client's frames ended.
enum End {
    /// All was read.
    Not,
    /// The client closes: answer with the same code and reason.
    Echo(Option<(u16, String)>),
    /// We close.
    Say(u16, String),
}

impl Client {
    /// The session it has or waits for.
    pub(super) fn session(&self) -> Option<Key> {
        match &self.phase {
            Phase::Opening(upgrading) => Some(upgrading.session),
            Phase::Open(open) => Some(open.session),
            Phase::Head { .. } | Phase::Web(_) | Phase::Leaving(_) | Phase::Closing => None,
        }
    }
}

impl Gateway {
    pub(super) fn accept(&mut self, io: &mut Links, key: ConnKey, peer: SocketAddr) {
        let now = io.clock().now;
        let phase = Phase::Head { buffer: Vec::new(), since: None, body_left: 0 };
        let far = Instant::FAR;
        let client = Client { peer, phase, last_received: now, next_ping: far, timer_at: far, leave_at: far };
        self.conns.insert(key, Conn::Client(Box::new(client)));
        self.arm_client(io, key);
    }

    pub(super) fn client_mut(&mut self, key: ConnKey) -> Option<&mut Client> {
        match self.conns.get_mut(key) {
            Some(Conn::Client(client)) => Some(client),
            _ => None,
        }
    }

    pub(super) fn client_bytes(&mut self, io: &mut Links, key: ConnKey, bytes: &mut [u8]) {
        let now = io.clock().now;
        let Some(client) = self.client_mut(key) else { return };
        client.last_received = now;
        match &mut client.phase {
            Phase::Open(_) => self.client_frames(io, key, bytes),
            Phase::Head { buffer, since, body_left } => {
                let skip = (*body_left).min(bytes.len() as u64) as usize;
                *body_left -= skip as u64;
                if bytes.len() > skip {
                    since.get_or_insert(now);
                    buffer.extend_from_slice(&bytes[skip..]);
                    self.client_head(io, key);
                }
            }
            Phase::Opening(upgrading) => {
                upgrading.early.extend_from_slice(bytes);
                if upgrading.early.len() > limit::PIPELINED_BYTES_MAX {
                    io.pause(key); // read again when the session is open
                }
            }
            Phase::Web(_) => self.web_bytes(io, key, bytes),
            Phase::Leaving(_) | Phase::Closing => {}
        }
    }

    /// A client that did not take its answers has taken them: its further heads are served.
    pub(super) fn client_head_drained(&mut self, io: &mut Links, key: ConnKey) {
        let now = io.clock().now;
        let Some(client) = self.client_mut(key) else { return };
        let Phase::Head { buffer, since, .. } = &mut client.phase else { return };
        if !buffer.is_empty() {
            since.get_or_insert(now);
        }
        io.resume(key);
        self.client_head(io, key);
    }

    /// Serves every whole head in the buffer, as long as the client takes the answers.
    pub(super) fn client_head(&mut self, io: &mut Links, key: ConnKey) {
        let max = self.config.http_head_max;
        loop {
            let Some(client) = self.client_mut(key) else { return };
            let Phase::Head { buffer, since, body_left } = &mut client.phase else { return };
            if buffer.is_empty() {
                *since = None;
                *buffer = Vec::new(); // an idle connection holds no memory
                return self.arm_client(io, key);
            }
            if io.queued(key) > limit::OUTBOX_HIGH {
                *since = None; // the client is the one waited for, but not for its head
                io.pause(key);
                io.notify_below(key, limit::OUTBOX_LOW);
                return self.arm_client(io, key);
            }
            let mut text = std::mem::take(buffer);
            let (head, skip) = match http::read_head(&text, max).and_then(|head| {
                let skip = head.as_ref().map_or(Ok(0), Head::content_length)?;
                Ok((head, skip))
            }) {
                Ok((Some(head), skip)) => (head, skip),
                Ok((None, _)) => {
                    *buffer = text;
                    return self.arm_client(io, key);
                }
                Err(error) => {
                    self.answer(
                        io,
                        key,
                        error.status,
                        "text/plain;charset=utf-8",
                        &error.message,
                        true,
                        false,
                    );
                    return;
                }
            };
            let length = head.length;
            let here = (text.len() - length) as u64;
            *body_left = skip.saturating_sub(here);
            *since = None;
            self.serve(io, key, &head);
            match self.client_mut(key).map(|client| &client.phase) {
                Some(Phase::Leaving(to)) => return io.migrate(key, *to, text),
                Some(Phase::Web(_)) => return self.web_bytes(io, key, &text[length..]),
                _ => {}
            }
            text.drain(..length + skip.min(here) as usize);
            let Some(client) = self.client_mut(key) else { return };
            match &mut client.phase {
                Phase::Head { buffer, .. } => *buffer = text,
                Phase::Opening(upgrading) => {
                    upgrading.early = text;
                    return;
                }
                Phase::Open(_) => return self.client_frames(io, key, &mut text), // opened at once
                Phase::Web(_) | Phase::Leaving(_) | Phase::Closing => return,
            }
        }
    }

    /// One request: an upgrade, or a page.
    fn serve(&mut self, io: &mut Links, key: ConnKey, head: &Head<'_>) {
        let close = !head.keep_alive();
        let mount = match route::mount(head.target) {
            Ok(Some(mount)) => mount,
            Ok(None) => return self.serve_page(io, key, head),
            Err(location) => return self.redirect(io, key, &location, head),
        };
        let (ws_key, extensions) = match http::upgrade(head) {
            Upgrade::Yes { key, extensions } => (key, extensions),
            Upgrade::No => return self.refuse_method(io, key, head),
            Upgrade::Wrong { message, version } => {
                let headers: &[&str] = if version { &["Sec-WebSocket-Version: 13"] } else { &[] };
                self.counters.refused[0] += 1;
                return self.answer_with(
                    io,
                    key,
                    400,
                    "text/plain;charset=utf-8",
                    headers,
                    message,
                    close,
                    false,
                );
            }
        };
        if self.stopping.is_some() {
            return self.refuse_client(io, key, 503, "the server is shutting down");
        }
        let route = match route::route(mount, head.target) {
            Ok(route) => route,
            Err(error) => return self.refuse_client(io, key, error.status, &error.message),
        };
        let elsewhere = self.steer_route(io, &route);
        let Some(client) = self.client_mut(key) else { return };
        if let Some(to) = elsewhere {
            client.phase = Phase::Leaving(to);
            return;
        }
        let peer = client.peer;
        let session = self.open_session(io, key, peer, route);
        // An opening that ended at once (refused, or no topic to wait for) has found no upgrade: finish it here.
        let upgrading = Gateway::upgrading(session, ws_key.to_owned(), negotiate(&extensions));
        let Some(state) = self.sessions.get_mut(session) else { return };
        state.deflate = upgrading.extensions.is_some();
        let open = state.open;
        if let Some(client) = self.client_mut(key) {
            client.phase = Phase::Opening(Box::new(upgrading));
        }
        if open {
            self.switch_protocols(io, key, session);
        }
    }

    /// The session is open: 101, then what the client sent early.
    pub(super) fn switch_protocols(&mut self, io: &mut Links, key: ConnKey, session: Key) {
        let now = io.clock().now;
        let config = self.config.clone();
        let Some(client) = self.client_mut(key) else { return };
        if !matches!(&client.phase, Phase::Opening(upgrading) if upgrading.session == session) {
            return; // opened within the request itself: `serve` calls again
        }
        let Phase::Opening(upgrading) = std::mem::replace(&mut client.phase, Phase::Closing) else { return };
        let decoder = Decoder::new(DecoderConfig {
            text_max: config.text_max,
            binary_max: limit::BINARY_MESSAGE_MAX,
            deflate: upgrading.extensions.is_some(),
        });
        client.phase = Phase::Open(Box::new(Open { session, decoder }));
        client.last_received = now;
        client.next_ping = config.ping_interval.map_or(Instant::FAR, |interval| now + interval);
        if let Some(out) = io.outbox(key) {
            http::put_switching(out, &upgrading.key, upgrading.extensions);
        }
        io.resume(key);
        self.arm_client(io, key);
        let mut early = upgrading.early;
        if !early.is_empty() {
            self.client_frames(io, key, &mut early);
        }
    }

    /// WebSocket frames of an open session: the hot path of producers.
    fn client_frames(&mut self, io: &mut Links, key: ConnKey, bytes: &mut [u8]) {
        let clock = io.clock();
        self.counters.bytes_received += bytes.len() as u64;
        let Gateway { conns, sessions, json, pool, deflater, counters, dirty, .. } = self;
        let Some(Conn::Client(client)) = conns.get_mut(key) else { return };
        let Phase::Open(open) = &mut client.phase else { return };
        let (Some(session), Some(out)) = (sessions.get_mut(open.session), io.outbox(key)) else { return };
        let before = out.len();
        if bytes.len() >= LARGE_INPUT {
            open.decoder.lend(pool.take_for(limit::POOL_BUFFER_CAPACITY_MAX + 1));
        }
        let mut tools = Tools { json, pool, deflater };
        let mut text_scratch = Vec::new();
        let mut at = 0;
        let end = loop {
            match open.decoder.next(bytes, &mut at) {
                Ok(None) => break End::Not,
                Ok(Some(Event::Text(text))) => {
                    let mut cx = tools.context(clock, out, session.deflate, &mut text_scratch);
                    let result = match &mut session.body {
                        Body::Producer(producer) => {
                            producer.on_text(&mut cx, text);
                            Ok(())
                        }
                        Body::Consumer(consumer) => consumer.on_text(&mut cx, text),
                        Body::Opening(_) => Ok(()),
                    };
                    if let Err(goodbye) = result {
                        break End::Say(goodbye.code, goodbye.reason.to_owned());
                    }
                }
                Ok(Some(Event::Ping(payload))) => encode::put_pong(out, payload),
                Ok(Some(Event::Binary(_) | Event::Pong)) => {}
                Ok(Some(Event::Close(close))) => {
                    break End::Echo(close.map(|(code, reason)| (code, reason.to_owned())));
                }
                Err(violation) => {
                    counters.violations += 1;
                    break End::Say(violation.code, violation.reason);
                }
            }
        };
        pool.give(open.decoder.take_back());
        let written = (out.len() - before) as u64;
        if written > 0 {
            session.last_sent = clock.now;
            counters.bytes_sent += written;
        }
        mark_dirty(sessions, dirty, open.session);
        match end {
            End::Not => {}
            End::Echo(close) => {
                let close = close.as_ref().map(|(code, reason)| (*code, reason.as_str()));
                self.say_goodbye(io, key, close);
            }
            End::Say(code, reason) => self.say_goodbye(io, key, Some((code, &reason))),
        }
    }

    /// Ends a client's session and closes its WebSocket: what it sent before counts, names are free at once.
    pub(super) fn say_goodbye(&mut self, io: &mut Links, key: ConnKey, close: Option<(u16, &str)>) {
        let Some(client) = self.client_mut(key) else { return };
        let session = client.session();
        client.phase = Phase::Closing;
        if let Some(session) = session {
            self.end_session(io, session);
        }
        if let Some(out) = io.outbox(key) {
            encode::put_close(out, close);
        }
        io.close(key, limit::CLOSE_WAIT_MAX);
    }

    /// As [`Gateway::say_goodbye`], for a session.
    pub(super) fn dismiss(&mut self, io: &mut Links, session: Key, goodbye: &Goodbye) {
        if let Some(client) = self.sessions.get_mut(session).map(|session| session.client) {
            self.say_goodbye(io, client, Some((goodbye.code, goodbye.reason)));
        }
    }

    /// The client ended its side of TCP without a closing handshake.
    pub(super) fn client_eof(&mut self, io: &mut Links, key: ConnKey) {
        let Some(client) = self.client_mut(key) else { return };
        let session = client.session();
        client.phase = Phase::Closing;
        if let Some(session) = session {
            self.end_session(io, session);
        }
        io.close(key, limit::CLOSE_WAIT_MAX);
    }

    /// An upgrade is refused; the connection goes on with the next head.
    pub(super) fn refuse_client(&mut self, io: &mut Links, key: ConnKey, status: u16, message: &str) {
        self.counters.refused[usize::from(status >= 500)] += 1;
        self.answer(io, key, status, "text/plain;charset=utf-8", message, false, false);
        let now = io.clock().now;
        let Some(client) = self.client_mut(key) else { return };
        // While its head is being served the phase is `Head` still, and knows how much of a body is to be skipped.
        if let Phase::Opening(upgrading) = &mut client.phase {
            let buffer = std::mem::take(&mut upgrading.early);
            let since = (!buffer.is_empty()).then_some(now);
            client.phase = Phase::Head { buffer, since, body_left: 0 };
            io.resume(key);
            self.client_head(io, key);
        }
    }

    /// A WebSocket mount without an upgrade. Source: API 1.1.
    fn refuse_method(&mut self, io: &mut Links, key: ConnKey, head: &Head<'_>) {
        let (close, head_only) = (!head.keep_alive(), head.method == "HEAD");
        match head.method {
            "OPTIONS" => {
                self.answer_with(io, key, 200, "text/plain", &["Allow: TRACE, OPTIONS"], "", close, false)
            }
            _ => {
                let text = "this URL takes WebSocket upgrades only";
                self.answer(io, key, 405, "text/plain;charset=utf-8", text, close, head_only);
            }
        }
    }

    fn redirect(&mut self, io: &mut Links, key: ConnKey, location: &str, head: &Head<'_>) {
        let line = format!("Location: {location}");
        let close = !head.keep_alive();
        self.answer_with(io, key, 302, "text/plain", &[&line], "", close, head.method == "HEAD");
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn answer(
        &mut self,
        io: &mut Links,
        key: ConnKey,
        status: u16,
        content_type: &str,
        body: &str,
        close: bool,
        head_only: bool,
    ) {
        self.answer_with(io, key, status, content_type, &[], body, close, head_only);
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn answer_with(
        &mut self,
        io: &mut Links,
        key: ConnKey,
        status: u16,
        content_type: &str,
        headers: &[&str],
        body: &str,
        close: bool,
        head_only: bool,
    ) {
        if let Some(out) = io.outbox(key) {
            let body = body.as_bytes();
            http::put_answer(out, &Answer { status, content_type, headers, body, close, head_only });
        }
        if close {
            if let Some(client) = self.client_mut(key) {
                client.phase = Phase::Closing;
            }
            io.close(key, limit::CLOSE_WAIT_MAX);
        }
    }
}
