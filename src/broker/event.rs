//! What a topic asks of the outside, by value. The shell carries outputs out in order and tells the topic what became of those
//! that concern storage or liveness.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::base::id::Position;
use crate::store::{Acks, CursorId};
use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto::{
    CommandAckResponse, CommandError, CommandMessage, CommandSuccess, ServerError,
};

/// A connection, or a session that speaks to the topic without one. Never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// A producer or consumer: its connection and the number it goes by there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey {
    /// Its connection.
    pub connection: ConnectionId,
    /// `producer_id` or `consumer_id`.
    pub id: u64,
}

/// Pairs a [`Save`] with what became of it. Grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SaveId(pub u64);

/// Small durable facts beside the entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Save {
    /// A durable subscription's cursor, whole. A new number makes a new subscription.
    CursorSet {
        /// Its number in the topic.
        id: CursorId,
        /// Name of the subscription.
        subscription: String,
        /// What is consumed.
        acks: Acks,
        /// [`crate::broker::properties::Properties::encode`].
        properties: Vec<u8>,
    },
    /// What was consumed in addition.
    CursorUpdate {
        /// Its number in the topic.
        id: CursorId,
        /// What is consumed.
        acks: Acks,
    },
    /// A subscription is gone.
    CursorDeleted {
        /// Its number in the topic.
        id: CursorId,
    },
    /// The topic's producer epoch (protocol 7.2).
    Epoch(u64),
    /// What deduplication knows of entries below a position.
    Dedup {
        /// Producer names and their highest sequence ids.
        names: Vec<(String, u64)>,
        /// All entries below are counted in.
        below: Position,
    },
    /// Deduplication was turned off: what was saved of it is forgotten.
    DedupForgotten,
    /// No entry is added from now on.
    Terminated,
    /// Properties given to the topic.
    Properties(BTreeMap<String, String>),
    /// Compaction was asked for, milliseconds since the epoch.
    Compacted(u64),
}

/// What a topic wants done. In order.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
#[allow(clippy::large_enum_variant)] // queue slots are used again; a box would be an allocation per receipt
pub enum Output {
    /// A command for a client.
    Send {
        /// To whom.
        to: ConnectionId,
        /// What.
        command: Command,
    },
    /// A MESSAGE: the command and, behind it in the frame, the entry as it was stored.
    Deliver {
        /// To whom.
        to: ConnectionId,
        /// The command.
        command: CommandMessage,
        /// The entry, from its checksum magic on. Shared, not copied.
        entry: Bytes,
    },
    /// The client broke the protocol: its connection is closed.
    CloseConnection {
        /// Which.
        connection: ConnectionId,
        /// For the log.
        reason: &'static str,
    },
    /// Is this connection alive? The shell pings it (`connectionLivenessCheckTimeoutMillis`) and reports `on_probe`.
    Probe {
        /// Which.
        connection: ConnectionId,
    },
    /// Store an entry. Answered in order by `on_appended`; by `on_append_refused` if this one and those behind it are not
    /// stored; or for all at once by `on_append_failed`.
    Append {
        /// From its checksum magic on.
        entry: Bytes,
        /// Messages in it.
        messages: u32,
        /// When its producer says that it was published, milliseconds since the epoch.
        published_ms: u64,
    },
    /// Read entries back. Answered by `on_read` with at least one entry, or `on_read_failed`.
    Read {
        /// The first one.
        from: Position,
        /// At most so many, of one ledger.
        entries: u64,
        /// At most so many bytes, except that one entry is always read.
        bytes: usize,
    },
    /// Find the first entry published at or after a time. Answered by `on_found`.
    FindTime {
        /// Pairs question and answer.
        search: SaveId,
        /// Milliseconds since the epoch.
        time: u64,
    },
    /// Make a fact durable. Answered by `on_saved`, or `on_save_failed`.
    Save {
        /// Pairs it with its answer.
        id: SaveId,
        /// What.
        save: Save,
    },
}

/// Outputs not yet taken, and those that wait for a save.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Output>,
    held: BTreeMap<SaveId, Vec<Output>>,
    next_save: u64,
}

impl Outbox {
    pub(super) fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    pub(super) fn has_some(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(super) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    pub(super) fn send(&mut self, to: ConnectionId, command: Command) {
        self.push(Output::Send { to, command });
    }

    pub(super) fn success(&mut self, to: ConnectionId, request_id: u64) {
        self.send(to, success(request_id));
    }

    pub(super) fn error(&mut self, to: ConnectionId, request_id: u64, refusal: &Refusal) {
        self.send(to, refusal.command(request_id));
    }

    pub(super) fn close_connection(&mut self, connection: ConnectionId, reason: &'static str) {
        self.push(Output::CloseConnection { connection, reason });
    }

    /// A new number to pair an answer with.
    pub(super) fn number(&mut self) -> SaveId {
        self.next_save += 1;
        SaveId(self.next_save)
    }

    pub(super) fn save(&mut self, save: Save) -> SaveId {
        let id = self.number();
        self.push(Output::Save { id, save });
        id
    }

    /// Holds a command back until a save is durable.
    pub(super) fn hold(&mut self, id: SaveId, to: ConnectionId, command: Command) {
        self.held.entry(id).or_default().push(Output::Send { to, command });
    }

    /// A success that is held back for this request is not given after all.
    pub(super) fn withdraw(&mut self, connection: ConnectionId, request: u64) {
        for held in self.held.values_mut() {
            held.retain(|output| match output {
                Output::Send { to, command: Command::ProducerSuccess(success) } => {
                    *to != connection || success.request_id != request
                }
                _ => true,
            });
        }
    }

    /// What waited for a save goes out.
    pub(super) fn release(&mut self, id: SaveId) {
        self.queue.extend(self.held.remove(&id).unwrap_or_default());
    }

    /// What waited for a save that failed is refused.
    pub(super) fn refuse(&mut self, id: SaveId, refusal: &Refusal) {
        for output in self.held.remove(&id).unwrap_or_default() {
            let Output::Send { to, command } = output else { continue };
            match command {
                Command::Success(success) => self.error(to, success.request_id, refusal),
                Command::ProducerSuccess(success) => self.error(to, success.request_id, refusal),
                Command::AckResponse(response) => {
                    let (error, message) = (Some(refusal.code as i32), Some(refusal.text.clone()));
                    let response = CommandAckResponse { error, message, ..response };
                    self.send(to, Command::AckResponse(response));
                }
                _ => {}
            }
        }
    }

    /// Nothing more is to be stored of what was asked for.
    pub(super) fn drop_appends(&mut self) {
        self.queue.retain(|output| !matches!(output, Output::Append { .. }));
    }

    /// Nothing that is held reaches a connection that ended.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        for held in self.held.values_mut() {
            held.retain(|output| !matches!(output, Output::Send { to, .. } if *to == connection));
        }
    }
}

/// The generic positive answer.
pub(super) fn success(request_id: u64) -> Command {
    Command::Success(CommandSuccess { request_id, schema: None })
}

/// A request is refused: code and text, as the client is told them (protocol 14).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// The code.
    pub code: ServerError,
    /// The text.
    pub text: String,
}

impl Refusal {
    pub(super) fn new(code: ServerError, text: impl Into<String>) -> Refusal {
        Refusal { code, text: text.into() }
    }

    /// The answer to a request.
    pub fn command(&self, request_id: u64) -> Command {
        Command::Error(CommandError { request_id, error: self.code as i32, message: self.text.clone() })
    }
}
