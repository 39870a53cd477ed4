//! The typed command: the seam between sessions and brokers, near or far. One variant per `BaseCommand` type; the
//! envelope is read and written by hand, with the type as selector, since it is no protobuf `oneof`.

use crate::wire::pulsar::proto;

/// Declares [`Command`] with its envelope numbers.
macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident = $number:literal : $message:ident),+ $(,)?) => {
        /// One command of the binary protocol.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Command {
            $(#[allow(missing_docs)] $name(proto::$message),)+
            /// A type this version does not know; ignored by receivers.
            Unknown(u32),
        }
    };
}

commands! {
    Connect = 2: CommandConnect, Connected = 3: CommandConnected, Subscribe = 4: CommandSubscribe,
    Producer = 5: CommandProducer, Send = 6: CommandSend, SendReceipt = 7: CommandSendReceipt,
    SendError = 8: CommandSendError, Message = 9: CommandMessage, Ack = 10: CommandAck, Flow = 11: CommandFlow,
    Unsubscribe = 12: CommandUnsubscribe, Success = 13: CommandSuccess, Error = 14: CommandError,
    CloseProducer = 15: CommandCloseProducer, CloseConsumer = 16: CommandCloseConsumer,
    ProducerSuccess = 17: CommandProducerSuccess, Ping = 18: CommandPing, Pong = 19: CommandPong,
    Redeliver = 20: CommandRedeliverUnacknowledgedMessages,
    PartitionedMetadata = 21: CommandPartitionedTopicMetadata,
    PartitionedMetadataResponse = 22: CommandPartitionedTopicMetadataResponse,
    Lookup = 23: CommandLookupTopic, LookupResponse = 24: CommandLookupTopicResponse,
    ConsumerStats = 25: CommandConsumerStats, ConsumerStatsResponse = 26: CommandConsumerStatsResponse,
    ReachedEndOfTopic = 27: CommandReachedEndOfTopic, Seek = 28: CommandSeek,
    GetLastMessageId = 29: CommandGetLastMessageId, GetLastMessageIdResponse = 30: CommandGetLastMessageIdResponse,
    ActiveConsumerChange = 31: CommandActiveConsumerChange,
    GetTopicsOfNamespace = 32: CommandGetTopicsOfNamespace,
    GetTopicsOfNamespaceResponse = 33: CommandGetTopicsOfNamespaceResponse,
    GetSchema = 34: CommandGetSchema, GetSchemaResponse = 35: CommandGetSchemaResponse,
    AuthChallenge = 36: CommandAuthChallenge, AuthResponse = 37: CommandAuthResponse,
    AckResponse = 38: CommandAckResponse, GetOrCreateSchema = 39: CommandGetOrCreateSchema,
    GetOrCreateSchemaResponse = 40: CommandGetOrCreateSchemaResponse,
    TopicMigrated = 68: CommandTopicMigrated,
}

/// A command's bytes make no sense. The peer's fault: the connection is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Not a protobuf message, or no `type` in it.
    #[error("command of {length} bytes is not readable: {reason}")]
    Unreadable {
        /// Bytes of the command.
        length: usize,
        /// What the decoder said.
        reason: String,
    },
}

impl Command {
    /// The envelope number (`BaseCommand.type`).
    pub fn number(&self) -> u32 {
        unimplemented!()
    }

    /// Appends the serialised `BaseCommand` (no frame header).
    pub fn encode(&self, _out: &mut Vec<u8>) {
        unimplemented!()
    }

    /// Reads a serialised `BaseCommand`.
    pub fn decode(_bytes: &[u8]) -> Result<Command, CommandError> {
        unimplemented!()
    }
}
