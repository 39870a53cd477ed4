//! What goes into a host and comes out of it, for clients: typed values, so that they travel between cores as they are.

use std::net::SocketAddr;

use bytes::Bytes;

pub use crate::broker::event::ConnectionId;
use crate::store::StoreId;
use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto::CommandMessage;

/// Something of a client for the host of one store.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Whose.
    pub connection: ConnectionId,
    /// Which host.
    pub store: StoreId,
    /// What.
    pub what: Asked,
}

/// What a connection asks, or what became of it.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // as large as a command; a box would be an allocation per message
pub enum Asked {
    /// Who speaks: optional, and before its first command if at all. Shown in statistics, and the advertised version decides
    /// nothing here.
    Introduced {
        /// Where it comes from.
        address: Option<SocketAddr>,
        /// `client_version` of its CONNECT.
        client_version: String,
    },
    /// A command. PRODUCER and SUBSCRIBE name their topic, with its full name; all others go by connection and `producer_id` or
    /// `consumer_id`. Names were checked and permissions granted before.
    Command {
        /// The command.
        command: Command,
        /// What follows a SEND, from its magic on; empty otherwise.
        entry: Bytes,
    },
    /// It ended. Nothing of it follows, and nothing is sent to it any more.
    Disconnected,
    /// It takes more, or does not for now.
    Writable(bool),
    /// The answer to [`Told::Probe`]. A dead one is closed by its owner as well.
    Probed {
        /// It answered.
        alive: bool,
    },
    /// Does a topic exist? Answered by [`Told::Exists`].
    Exists {
        /// Comes back.
        ticket: u64,
        /// Full name.
        topic: String,
    },
    /// Which topics does a namespace have in this store? Answered by [`Told::Topics`].
    Topics {
        /// Comes back.
        ticket: u64,
        /// `tenant/namespace`.
        namespace: String,
    },
}

/// Something for a client, or for the connection's owner.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// For whom. The connection may be gone by now.
    pub to: ConnectionId,
    /// What.
    pub what: Told,
}

/// What a host says.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // as large as a command; a box would be an allocation per receipt
pub enum Told {
    /// A command for the client.
    Command(Command),
    /// A MESSAGE: the entry follows the command in its frame.
    Deliver {
        /// The command.
        command: CommandMessage,
        /// As it was stored, from its checksum magic on. Shared, not copied.
        entry: Bytes,
    },
    /// The client broke the protocol: the connection is closed.
    Close {
        /// For the log.
        reason: &'static str,
    },
    /// Is the connection alive? Ping it, wait at most five seconds (`connectionLivenessCheckTimeoutMillis`), answer with
    /// [`Asked::Probed`].
    Probe,
    /// Whether the topic exists.
    Exists {
        /// As asked.
        ticket: u64,
        /// It does.
        exists: bool,
    },
    /// Topics of the namespace, full names, without order.
    Topics {
        /// As asked.
        ticket: u64,
        /// Names.
        names: Vec<String>,
    },
}
