//! One native client of the embedded broker, as a value: frames, handshake, keep-alive, and what its commands mean before any
//! topic hears of them (broker 2.3, 3.8, 4.16; protocol 1, 3, 4).
//!
//! Bytes go in by [`Inbound::on_bytes`]; answers that need nobody else are appended to the outbox at once, the rest comes out as
//! [`Effect`]s. What hosts say goes through [`Inbound::on_told`] and [`Inbound::deliver`]. A client that has too much under way is
//! held ([`Inbound::is_held`]): its owner stops reading, what was received already stays here until [`Inbound::go_on`].

mod members;
mod refusals;

pub use members::{Members, Places, Step};
pub use refusals::{error, lookup as lookup_refused, partitions as partitions_refused, topic_name};

use bytes::Bytes;

use crate::base::limit;
use crate::base::time::Instant;
use crate::session::arena::Arena;
use crate::wire::pulsar::Command;
use crate::wire::pulsar::frame::{self, FrameError};
use crate::wire::pulsar::proto as p;
use crate::wire::pulsar::proto::ServerError;
use std::time::Duration;

/// What we say we are: clients choose features by the protocol version, tools show this text. Source: broker 2.3.
const SERVER_VERSION: &str = "Pulsar Server4.0.7";
/// Highest protocol version spoken. Source: broker 2.3.
const PROTOCOL_VERSION: i32 = 21;
/// The id of messages that answer no request. Source: protocol 4.
pub const NO_REQUEST: u64 = u64::MAX;
/// Clients of an older version are not told of active consumers. Source: protocol 8.9.
const VERSION_ACTIVE_CONSUMER: i32 = 12;
/// Clients of an older version know no checksums. Source: protocol 1.2.
const VERSION_CHECKSUM: i32 = 11;
/// Checksum magic and checksum, bytes.
const CHECKSUM_BYTES: usize = 6;
/// Bytes of the field that says how long a frame is.
const SIZE_FIELD: usize = 4;
/// Above this capacity an emptied buffer is given back: one large message must not stay in memory.
const CAPACITY_KEPT_MAX: usize = 64 * 1024;

/// What all connections of a broker have in common.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Where topics are.
    pub places: Places,
    /// PING this often (`keepAliveIntervalSeconds`).
    pub keep_alive: Duration,
    /// Largest message, bytes of metadata and payload (`maxMessageSize`): announced, and with its padding the largest frame.
    pub message_size_max: usize,
}

/// What a connection borrows from its core for the length of one call.
pub struct Context<'a> {
    /// The time of this turn.
    pub now: Instant,
    /// The connection's outbox.
    pub out: &'a mut Vec<u8>,
    /// Bytes of it on their way already.
    pub sending: usize,
    /// Where entries are copied to.
    pub arena: &'a mut Arena,
    /// What is to be done elsewhere, in order.
    pub effects: &'a mut Vec<Effect>,
}

/// What the owner of a connection is to do.
#[derive(Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // slots of a list that is used again; a box would be an allocation per message
pub enum Effect {
    /// For the host of a store.
    Forward {
        /// Number of the store.
        store: u16,
        /// It hears of this connection for the first time.
        first: bool,
        /// The command.
        command: Command,
        /// What follows a SEND, from its magic on; empty otherwise.
        entry: Bytes,
    },
    /// A question to be answered with [`Inbound::answer`]: LOOKUP, PARTITIONED_METADATA, GET_TOPICS_OF_NAMESPACE, GET_SCHEMA,
    /// GET_OR_CREATE_SCHEMA.
    Ask(Command),
    /// Whether the client answered [`Inbound::probe`].
    Probed {
        /// It did. Otherwise its connection is to be closed.
        alive: bool,
    },
}

/// The connection must end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The client broke the protocol.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// So did it.
    #[error("{0}")]
    Protocol(&'static str),
    /// Nothing came from it for two intervals, or no CONNECT for one.
    #[error("the client is silent: {0}")]
    Silent(&'static str),
    /// It proved who it is in a way that does not hold; it was told.
    #[error("it sent credentials that nobody asked for")]
    Refused,
    /// It is too old to be told to open a producer or consumer anew.
    #[error("a client this old finds its topic anew by a new connection")]
    TooOld,
}

/// One connection.
///
/// Invariant: unless it is held, `gathered` never holds a whole frame between two calls.
#[derive(Debug)]
pub struct Inbound {
    settings: Settings,
    connected: bool,
    client_version: String,
    protocol_version: i32,
    members: Members,
    gathered: Vec<u8>,
    asks: usize,
    /// Reasons of the owner not to read.
    holds: u32,
    pending_full: bool,
    outbox_full: bool,
    next_ping: Instant,
    unanswered: bool,
    probe_until: Option<Instant>,
}

impl Inbound {
    /// A client that has just connected.
    pub fn new(now: Instant, settings: Settings) -> Inbound {
        Inbound {
            members: Members::new(settings.places),
            connected: false,
            client_version: String::new(),
            protocol_version: 0,
            gathered: Vec::new(),
            asks: 0,
            holds: 0,
            pending_full: false,
            outbox_full: false,
            next_ping: now + settings.keep_alive,
            unanswered: false,
            probe_until: None,
            settings,
        }
    }

    /// Its producers and consumers.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// As [`Members::set_schema_version`].
    pub fn set_schema_version(&mut self, request: u64, version: u64) {
        self.members.set_schema_version(request, version);
    }

    /// `client_version` of its CONNECT; empty before.
    pub fn client_version(&self) -> &str {
        &self.client_version
    }

    /// It said CONNECT.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Bytes held: of a frame that is not all here, and of frames that wait.
    pub fn gathered(&self) -> usize {
        self.gathered.len()
    }

    /// A frame lies here, whole, or one that breaks the protocol: [`Inbound::go_on`] has something to do once it may.
    pub fn has_frame(&self) -> bool {
        self.frame_size(&self.gathered)
            .map_or(true, |size| size.is_some_and(|total| total <= self.gathered.len()))
    }

    /// Do not read from it now.
    pub fn is_held(&self) -> bool {
        self.holds > 0 || self.pending_full || self.outbox_full || self.asks >= limit::CONNECTION_ASKS_MAX
    }

    /// A reason of the owner's not to read from it. Each is ended by [`Inbound::release`].
    pub fn hold(&mut self) {
        self.holds += 1;
    }

    /// One reason of the owner's is gone.
    pub fn release(&mut self) {
        debug_assert!(self.holds > 0, "released more often than held");
        self.holds = self.holds.saturating_sub(1);
    }

    /// The outbox holds this many bytes, those on their way included: above one mark no more requests are taken, until it is
    /// below the other.
    pub fn on_outbox(&mut self, queued: usize) {
        if queued >= limit::CONNECTION_OUTBOX_MAX {
            self.outbox_full = true;
        } else if queued <= limit::CONNECTION_OUTBOX_LOW {
            self.outbox_full = false;
        }
    }

    /// Bytes arrived. On `Err` the connection is to be closed; effects of the frames before are still to be carried out.
    pub fn on_bytes(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Result<(), Fault> {
        self.unanswered = false;
        if self.probe_until.take().is_some() {
            cx.effects.push(Effect::Probed { alive: true });
        }
        self.go_on(cx)?;
        let mut bytes = bytes;
        while !self.gathered.is_empty() && !bytes.is_empty() && !self.is_held() {
            let want = self.frame_size(&self.gathered)?.unwrap_or(SIZE_FIELD);
            let take = want.saturating_sub(self.gathered.len()).min(bytes.len());
            if self.gathered.len() >= limit::FRAME_GROWTH_MAX {
                self.gathered.reserve_exact(want - self.gathered.len());
            }
            self.gathered.extend_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            if self.frame_size(&self.gathered)? == Some(self.gathered.len()) {
                let whole = std::mem::take(&mut self.gathered);
                self.on_own_frame(cx, whole)?;
            }
        }
        let used = if self.gathered.is_empty() { self.take_frames(cx, bytes)? } else { 0 };
        self.gathered.extend_from_slice(&bytes[used..]);
        Ok(())
    }

    /// Goes on with what was received while it was held.
    pub fn go_on(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        if self.gathered.len() < SIZE_FIELD || self.is_held() {
            return Ok(());
        }
        let mut waiting = std::mem::take(&mut self.gathered);
        let used = self.take_frames(cx, &waiting)?;
        waiting.drain(..used);
        self.keep(waiting);
        Ok(())
    }

    /// Takes whole frames from the front until it is held; returns their bytes.
    fn take_frames(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Result<usize, Fault> {
        let mut used = 0;
        while !self.is_held()
            && let Some(total) = self.frame_size(&bytes[used..])?.filter(|total| *total <= bytes.len() - used)
        {
            let frame = frame::read(&bytes[used..used + total])?;
            self.on_frame(cx, frame.command, frame.rest.len(), |arena| arena.copy(frame.rest))?;
            used += total;
        }
        Ok(used)
    }

    /// A frame in a buffer of its own: a large entry stays in it, uncopied.
    fn on_own_frame(&mut self, cx: &mut Context<'_>, mut whole: Vec<u8>) -> Result<(), Fault> {
        let (command, rest) = {
            let frame = frame::read(&whole)?;
            (frame.command, frame.rest.len())
        };
        let begin = whole.len() - rest;
        if rest <= limit::FRAME_GROWTH_MAX {
            self.on_frame(cx, command, rest, |arena| arena.copy(&whole[begin..]))?;
            whole.clear();
            self.keep(whole);
            return Ok(());
        }
        self.on_frame(cx, command, rest, |_| Bytes::from(whole).slice(begin..))
    }

    fn frame_size(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        frame::size(bytes, self.settings.message_size_max + limit::FRAME_PADDING)
    }

    /// Puts the buffer back, with what is left in it.
    fn keep(&mut self, buffer: Vec<u8>) {
        if !buffer.is_empty() || buffer.capacity() <= CAPACITY_KEPT_MAX {
            self.gathered = buffer;
        }
    }

    fn on_frame(
        &mut self,
        cx: &mut Context<'_>,
        command: Command,
        rest: usize,
        entry: impl FnOnce(&mut Arena) -> Bytes,
    ) -> Result<(), Fault> {
        match command {
            Command::Ping(_) => frame::put(cx.out, &Command::Pong(p::CommandPong {})),
            Command::Pong(_) => {}
            Command::Connect(connect) if !self.connected => self.connect(cx, &connect),
            Command::Connect(_) => return Err(Fault::Protocol("CONNECT twice")),
            _ if !self.connected => return Err(Fault::Protocol("a command before CONNECT")),
            Command::AuthResponse(_) => {
                let code = ServerError::AuthenticationError;
                frame::put(cx.out, &error(NO_REQUEST, code, "Failed to authenticate"));
                return Err(Fault::Refused);
            }
            command => match self.members.on_command(cx.now, command, rest) {
                Step::Nothing => {}
                Step::Answer(answer) => frame::put(cx.out, &answer),
                Step::Forward { store, first, command } => {
                    let entry = match command {
                        Command::Send(_) => entry(cx.arena),
                        _ => Bytes::new(),
                    };
                    cx.effects.push(Effect::Forward { store, first, command, entry });
                    self.pending_full |= self.members.pending() >= limit::CONNECTION_PENDING_MAX;
                }
                Step::Ask(command) => {
                    self.asks += 1;
                    cx.effects.push(Effect::Ask(command));
                }
                Step::Close(reason) => return Err(Fault::Protocol(reason)),
            },
        }
        self.on_outbox(cx.sending + cx.out.len());
        Ok(())
    }

    fn connect(&mut self, cx: &mut Context<'_>, connect: &p::CommandConnect) {
        self.connected = true;
        self.protocol_version = connect.protocol_version.unwrap_or(0).clamp(0, PROTOCOL_VERSION);
        let version = &connect.client_version;
        let end = version.floor_char_boundary(limit::CLIENT_VERSION_MAX);
        version[..end].clone_into(&mut self.client_version);
        let connected = p::CommandConnected {
            server_version: SERVER_VERSION.to_owned(),
            protocol_version: Some(self.protocol_version),
            max_message_size: i32::try_from(self.settings.message_size_max).ok(),
            feature_flags: Some(p::FeatureFlags {
                supports_get_partitioned_metadata_without_auto_creation: Some(true),
                ..Default::default()
            }),
        };
        frame::put(cx.out, &Command::Connected(connected));
    }

    /// Appends the answer to an [`Effect::Ask`].
    pub fn answer(&mut self, out: &mut Vec<u8>, answer: &Command) {
        self.asks = self.asks.saturating_sub(1);
        frame::put(out, answer);
    }

    /// What a host says to this client.
    pub fn on_told(&mut self, now: Instant, out: &mut Vec<u8>, command: &mut Command) -> Result<(), Fault> {
        self.members.on_told(now, command);
        if self.pending_full && self.members.pending() <= limit::CONNECTION_PENDING_MAX / 2 {
            self.pending_full = false;
        }
        match command {
            // C++ and Go clients drop their connection when they hear of it. Source: protocol 8.10.
            Command::ReachedEndOfTopic(_) if !self.knows_end_of_topic() => {}
            Command::ActiveConsumerChange(_) if self.protocol_version < VERSION_ACTIVE_CONSUMER => {}
            Command::CloseProducer(_) | Command::CloseConsumer(_) if self.protocol_version < 5 => {
                return Err(Fault::TooOld);
            }
            command => frame::put(out, command),
        }
        Ok(())
    }

    fn knows_end_of_topic(&self) -> bool {
        self.protocol_version >= 9
            && ["Pulsar-Java", "pulsar-rs"].iter().any(|name| self.client_version.starts_with(name))
    }

    /// Appends a MESSAGE with its entry.
    pub fn deliver(&self, out: &mut Vec<u8>, message: p::CommandMessage, entry: &[u8]) {
        let summed = entry.starts_with(&[0x0e, 0x01]);
        let entry = match summed && self.protocol_version < VERSION_CHECKSUM {
            true => entry.get(CHECKSUM_BYTES..).unwrap_or(entry),
            false => entry,
        };
        frame::put_with_entry(out, &Command::Message(message), entry);
    }

    /// Is it alive? Appends a PING; [`Effect::Probed`] tells. A client that is not read from cannot show it, and is believed.
    pub fn probe(&mut self, cx: &mut Context<'_>) {
        if self.is_held() {
            cx.effects.push(Effect::Probed { alive: true });
            return;
        }
        if self.probe_until.is_none() {
            self.probe_until = Some(cx.now + limit::LIVENESS_CHECK_MAX);
            frame::put(cx.out, &Command::Ping(p::CommandPing {}));
        }
    }

    /// When [`Inbound::on_timer`] is to be called next.
    pub fn next_timer(&self) -> Instant {
        self.probe_until.map_or(self.next_ping, |until| until.min(self.next_ping))
    }

    /// Time passed. `Err`: the client is silent.
    pub fn on_timer(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        if self.probe_until.is_some_and(|until| cx.now >= until) {
            self.probe_until = None;
            // Not read from meanwhile: its answer may lie in the kernel.
            let alive = self.is_held();
            cx.effects.push(Effect::Probed { alive });
            if !alive {
                return Err(Fault::Silent("a newcomer needs its place"));
            }
        }
        if cx.now < self.next_ping {
            return Ok(());
        }
        if !self.connected {
            return Err(Fault::Silent("no CONNECT"));
        }
        if self.unanswered && !self.is_held() {
            return Err(Fault::Silent("PING was not answered"));
        }
        frame::put(cx.out, &Command::Ping(p::CommandPing {}));
        self.unanswered = true;
        self.next_ping = cx.now + self.settings.keep_alive;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
