//! One connection to a broker, seen as a client: handshake, keep-alive, requests and their answers (protocol 3, 4).
//!
//! A link is a value. Its owner feeds it commands and time, sends what it appends to `out`, and acts on the
//! [`LinkEvent`]s. What belongs to producers and consumers is handed through untouched.

use crate::base::limit;
use crate::base::time::Instant;
use crate::session::upstream::failure::Failure;
use crate::wire::pulsar::proto as p;
use crate::wire::pulsar::{Command, frame};
use std::collections::BTreeMap;

/// Highest protocol version spoken. Source: protocol 3.1.
const PROTOCOL_VERSION: i32 = 20;
/// The id of messages that answer no request. Source: protocol 4.
const NO_REQUEST: u64 = u64::MAX;

/// What we prove who we are with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// `auth_method_name`, e.g. `token`.
    pub method: String,
    /// Raw bytes, as the method defines them.
    pub data: Vec<u8>,
}

/// An answer to a request.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// SUCCESS.
    Success,
    /// PRODUCER_SUCCESS with `producer_ready`.
    Producer(p::CommandProducerSuccess),
    /// LOOKUP_RESPONSE that is no failure.
    Lookup(p::CommandLookupTopicResponse),
    /// Partitions of a topic; 0: not partitioned.
    Partitions(u32),
    /// Topics of a namespace.
    Topics(Vec<String>),
    /// ERROR, a failed response, or no answer in time.
    Failed(Failure),
}

/// What a command meant.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // lives on the stack for one call
pub enum LinkEvent<W> {
    /// Nothing for the owner to do.
    Nothing,
    /// The handshake is through: requests may be sent. Frames up to this many bytes may come.
    Ready {
        /// Largest frame, bytes.
        frame_max: usize,
    },
    /// The broker refused us; close the connection.
    Refused(Failure),
    /// The answer to the request that `waiter` made.
    Answered(W, Answer),
    /// For a producer or consumer.
    Forward(Command),
    /// The broker breaks the protocol; close the connection.
    Violation(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Handshaking { until: Instant },
    Ready,
}

/// The state of one link; `W` says who waits for an answer.
///
/// Invariants: requests exist only when ready; their ids grow, and so do their deadlines.
pub struct Link<W> {
    name: String,
    phase: Phase,
    credentials: Option<Credentials>,
    proxy_to: Option<String>,
    requests: BTreeMap<u64, (W, Instant)>,
    next_request: u64,
    next_ping: Instant,
    unanswered_ping: bool,
    /// When the broker said anything.
    last_heard: Instant,
    message_size_max: usize,
}

impl<W> Link<W> {
    /// A link that is being connected. `name`: the broker's `host:port`, for messages. `proxy_to`: the broker behind the
    /// service URL (protocol 3.4).
    pub fn new(name: String, credentials: Option<Credentials>, proxy_to: Option<String>) -> Self {
        Link {
            name,
            phase: Phase::Connecting,
            credentials,
            proxy_to,
            requests: BTreeMap::new(),
            next_request: 0,
            next_ping: Instant::FAR,
            unanswered_ping: false,
            last_heard: Instant::default(),
            message_size_max: limit::MESSAGE_SIZE_DEFAULT,
        }
    }

    /// A link to the broker in this process: ready at once, never silent.
    pub fn local(name: String, message_size_max: usize) -> Self {
        Link { phase: Phase::Ready, message_size_max, ..Link::new(name, None, None) }
    }

    /// `host:port` of the broker.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True when requests may be sent.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// True while TCP is being connected.
    pub fn is_connecting(&self) -> bool {
        self.phase == Phase::Connecting
    }

    /// Largest message the broker takes, bytes of metadata and payload.
    pub fn message_size_max(&self) -> usize {
        self.message_size_max
    }

    /// TCP is connected: appends CONNECT.
    pub fn on_connected(&mut self, now: Instant, version: &str, out: &mut Vec<u8>) {
        self.phase = Phase::Handshaking { until: now + limit::KEEP_ALIVE_INTERVAL };
        let connect = p::CommandConnect {
            client_version: version.to_owned(),
            protocol_version: Some(PROTOCOL_VERSION),
            auth_method_name: Some(self.credentials.as_ref().map_or("none".to_owned(), |c| c.method.clone())),
            auth_data: self.credentials.as_ref().map(|c| c.data.clone()),
            proxy_to_broker_url: self.proxy_to.clone(),
            feature_flags: Some(p::FeatureFlags {
                supports_auth_refresh: Some(true),
                supports_broker_entry_metadata: Some(true),
                ..Default::default()
            }),
            ..Default::default()
        };
        frame::put(out, &Command::Connect(connect));
    }

    /// Takes a request id for `waiter`; the answer comes as [`LinkEvent::Answered`], at the latest from
    /// [`Link::on_timer`].
    pub fn request(&mut self, now: Instant, waiter: W) -> u64 {
        debug_assert!(self.is_ready(), "a request before the handshake");
        let id = self.next_request;
        self.next_request += 1;
        self.requests.insert(id, (waiter, now + limit::OPERATION_TIME_MAX));
        id
    }

    /// Everyone who waits for an answer: they will get none, the link is gone.
    pub fn take_waiters(&mut self) -> Vec<W> {
        std::mem::take(&mut self.requests).into_values().map(|(waiter, _)| waiter).collect()
    }

    /// Bytes arrived: the broker is alive, whatever they say.
    pub fn on_heard(&mut self, now: Instant) {
        self.unanswered_ping = false;
        self.last_heard = now;
    }

    /// A command arrived. Answers of our own (PONG, AUTH_RESPONSE) are appended to `out`.
    pub fn on_command(&mut self, now: Instant, command: Command, out: &mut Vec<u8>) -> LinkEvent<W> {
        match command {
            Command::Connected(connected) => return self.on_handshake(now, &connected),
            Command::Error(error) if error.request_id == NO_REQUEST || !self.is_ready() => {
                return LinkEvent::Refused(Failure::broker(error.error, &error.message, 0, &self.name));
            }
            Command::Ping(_) => frame::put(out, &Command::Pong(p::CommandPong {})),
            Command::Pong(_) | Command::Unknown(_) => {}
            Command::AuthChallenge(_) => self.answer_challenge(out),
            _ if !self.is_ready() => return LinkEvent::Violation("a command before CONNECTED"),
            other => return self.on_ready_command(other),
        }
        LinkEvent::Nothing
    }

    /// When [`Link::on_timer`] is to be called next.
    pub fn next_timer(&self) -> Instant {
        let request = self.requests.values().next().map_or(Instant::FAR, |(_, until)| *until);
        match self.phase {
            Phase::Connecting => Instant::FAR, // the connect has a time limit of its own
            Phase::Handshaking { until } => until,
            Phase::Ready => self.next_ping.min(request),
        }
    }

    /// Time passed: sends the keep-alive PING, gives up requests. `Err`: the broker is silent, close the link.
    pub fn on_timer(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<Option<(W, Answer)>, String> {
        match self.phase {
            Phase::Handshaking { until } if now >= until => return Err("no CONNECTED in time".to_owned()),
            Phase::Ready if now >= self.next_ping => {
                if self.unanswered_ping {
                    let silence = now.since(self.last_heard).as_secs_f64();
                    return Err(format!("keep-alive PING was not answered, silent for {silence:.1} s"));
                }
                frame::put(out, &Command::Ping(p::CommandPing {}));
                self.unanswered_ping = true;
                self.next_ping = now + limit::KEEP_ALIVE_INTERVAL;
            }
            _ => {}
        }
        let due = self.requests.first_entry().filter(|entry| entry.get().1 <= now);
        Ok(due.map(|entry| {
            let (waiter, _) = entry.remove();
            (waiter, Answer::Failed(Failure::timeout(&format!("a request to {}", self.name))))
        }))
    }

    fn on_handshake(&mut self, now: Instant, connected: &p::CommandConnected) -> LinkEvent<W> {
        if self.is_ready() {
            return LinkEvent::Violation("CONNECTED twice");
        }
        let announced = connected.max_message_size.and_then(|size| usize::try_from(size).ok());
        if announced.is_some_and(|size| size > limit::MESSAGE_SIZE_MAX) {
            return LinkEvent::Violation("announces a message size beyond our limit");
        }
        self.message_size_max = announced.filter(|size| *size > 0).unwrap_or(limit::MESSAGE_SIZE_DEFAULT);
        self.phase = Phase::Ready;
        self.last_heard = now;
        self.next_ping = now + limit::KEEP_ALIVE_INTERVAL;
        LinkEvent::Ready { frame_max: self.message_size_max + limit::FRAME_PADDING }
    }

    fn answer_challenge(&mut self, out: &mut Vec<u8>) {
        let (method, data) = self
            .credentials
            .as_ref()
            .map_or(("none".to_owned(), Vec::new()), |c| (c.method.clone(), c.data.clone()));
        let response = p::CommandAuthResponse {
            response: Some(p::AuthData { auth_method_name: Some(method), auth_data: Some(data) }),
            protocol_version: Some(PROTOCOL_VERSION),
            ..Default::default()
        };
        frame::put(out, &Command::AuthResponse(response));
    }

    fn on_ready_command(&mut self, command: Command) -> LinkEvent<W> {
        match command {
            Command::Success(success) => self.answered(success.request_id, |_| Answer::Success),
            Command::Error(e) => self.answered(e.request_id, |name| {
                Answer::Failed(Failure::broker(e.error, &e.message, e.request_id, name))
            }),
            // Queued for exclusive access: the same request is answered again later.
            Command::ProducerSuccess(success) if success.producer_ready == Some(false) => LinkEvent::Nothing,
            Command::ProducerSuccess(success) => {
                self.answered(success.request_id, |_| Answer::Producer(success))
            }
            Command::LookupResponse(response) => self.answered(response.request_id, |name| {
                let failed = Some(p::LookupTopicResponseLookupType::Failed as i32);
                match response.response {
                    Some(_) if response.response != failed => Answer::Lookup(response),
                    _ => {
                        failed_answer(response.error, response.message.as_deref(), response.request_id, name)
                    }
                }
            }),
            Command::PartitionedMetadataResponse(r) => self.answered(r.request_id, |name| {
                let failed = Some(p::PartitionedTopicMetadataResponseLookupType::Failed as i32);
                match r.response == failed || r.error.is_some() {
                    true => failed_answer(r.error, r.message.as_deref(), r.request_id, name),
                    false => Answer::Partitions(r.partitions.unwrap_or(0)),
                }
            }),
            Command::GetTopicsOfNamespaceResponse(response) => {
                self.answered(response.request_id, |_| Answer::Topics(response.topics))
            }
            other => LinkEvent::Forward(other),
        }
    }

    fn answered(&mut self, request: u64, answer: impl FnOnce(&str) -> Answer) -> LinkEvent<W> {
        match self.requests.remove(&request) {
            Some((waiter, _)) => LinkEvent::Answered(waiter, answer(&self.name)),
            // Given up already: its answer came too late.
            None => LinkEvent::Nothing,
        }
    }
}

fn failed_answer(error: Option<i32>, message: Option<&str>, request: u64, name: &str) -> Answer {
    let number = error.unwrap_or(p::ServerError::UnknownError as i32);
    Answer::Failed(Failure::broker(number, message.unwrap_or_default(), request, name))
}

#[cfg(test)]
mod tests;
