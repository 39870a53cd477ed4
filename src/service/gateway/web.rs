//! Requests that are neither WebSocket endpoints nor pages of the gateway: in front of the embedded broker they are questions to
//! its administration. The gateway reads them whole, hands them out by [`Gateway::poll_web`], and writes the answer that comes
//! by [`Gateway::answer_web`]. One request of a client is out at a time; what follows it waits.

use super::Gateway;
use super::clients::Phase;
use crate::base::limit;
use crate::base::time::Instant;
use crate::shard::{ConnKey, Links};
use crate::wire::http::{self, Answer, Head};
use std::net::SocketAddr;

/// One whole HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebRequest {
    /// Who asks, and where the answer goes.
    pub client: ConnKey,
    /// Its address.
    pub peer: SocketAddr,
    /// Method, as sent.
    pub method: String,
    /// Path and query, as sent and still percent-encoded.
    pub target: String,
    /// Header lines, names as sent.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, at most [`limit::WEB_BODY_MAX`] bytes.
    pub body: Vec<u8>,
}

impl WebRequest {
    /// First value of a header; names ignore case. Values that are not UTF-8 read as absent.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok().map(str::trim)
    }
}

/// A request on its way in, or waiting for its answer.
pub(super) struct Web {
    /// Until it is handed out.
    request: Option<Box<WebRequest>>,
    /// Bytes of the body still to come.
    left: u64,
    /// When all of it must be here.
    until: Instant,
    close: bool,
    head_only: bool,
    /// Bytes that follow the request.
    early: Vec<u8>,
}

impl Gateway {
    /// The next request for the administration.
    pub fn poll_web(&mut self) -> Option<WebRequest> {
        self.web.pop_front()
    }

    /// Answers a request. Nothing happens when its client is gone.
    pub fn answer_web(
        &mut self,
        io: &mut Links,
        client: ConnKey,
        status: u16,
        content_type: &str,
        headers: &[&str],
        body: &[u8],
    ) {
        let now = io.clock().now;
        let Some(Phase::Web(web)) = self.client_mut(client).map(|client| &mut client.phase) else { return };
        if web.request.is_some() {
            return; // not asked yet: the answer is to somebody else
        }
        let (close, head_only, early) = (web.close, web.head_only, std::mem::take(&mut web.early));
        if let Some(out) = io.outbox(client) {
            http::put_answer(out, &Answer { status, content_type, headers, body, close, head_only });
        }
        let Some(state) = self.client_mut(client) else { return };
        if close {
            state.phase = Phase::Closing;
            return io.close(client, limit::CLOSE_WAIT_MAX);
        }
        let since = (!early.is_empty()).then_some(now);
        state.last_received = now;
        state.phase = Phase::Head { buffer: early, since, body_left: 0 };
        io.resume(client);
        self.client_head(io, client);
    }

    /// Begins to read a request for the administration.
    pub(super) fn ask_web(&mut self, io: &mut Links, key: ConnKey, head: &Head<'_>) {
        let (close, head_only) = (!head.keep_alive(), head.method == "HEAD");
        let left = head.content_length().unwrap_or(0);
        if left > limit::WEB_BODY_MAX as u64 {
            let text = format!("a body of {left} bytes exceeds {}", limit::WEB_BODY_MAX);
            return self.answer(io, key, 413, "text/plain;charset=utf-8", &text, true, false);
        }
        if left > 0
            && head.has_token("expect", "100-continue")
            && let Some(out) = io.outbox(key)
        {
            out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let Some(client) = self.client_mut(key) else { return };
        let request = WebRequest {
            client: key,
            peer: client.peer,
            method: head.method.to_owned(),
            target: head.target.to_owned(),
            headers: head.headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect(),
            body: Vec::new(),
        };
        let (request, until) = (Some(Box::new(request)), io.clock().now + limit::HTTP_HEAD_TIME_MAX);
        client.phase =
            Phase::Web(Box::new(Web { request, left, until, close, head_only, early: Vec::new() }));
    }

    /// Bytes of such a request, and of what follows it.
    pub(super) fn web_bytes(&mut self, io: &mut Links, key: ConnKey, bytes: &[u8]) {
        let Some(Phase::Web(web)) = self.client_mut(key).map(|client| &mut client.phase) else { return };
        let mut rest = bytes;
        if let Some(request) = &mut web.request {
            let take = web.left.min(rest.len() as u64) as usize;
            request.body.extend_from_slice(&rest[..take]);
            web.left -= take as u64;
            rest = &rest[take..];
        }
        web.early.extend_from_slice(rest);
        let full = web.early.len() > limit::PIPELINED_BYTES_MAX;
        let whole = if web.left == 0 { web.request.take() } else { None };
        if full {
            io.pause(key); // read again when it is answered
        }
        match whole {
            Some(request) => self.web.push_back(*request),
            None => self.arm_client(io, key),
        }
    }
}

impl Web {
    /// When its body must be here, while it is not.
    pub(super) fn due(&self) -> Instant {
        if self.request.is_some() { self.until } else { Instant::FAR }
    }
}
