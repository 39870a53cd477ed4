//! The typed command: the seam between sessions and brokers, near or far. One variant per `BaseCommand` type;
//! the envelope is read and written by hand, with the type as selector, since it is no protobuf `oneof`.

use prost::Message;

use crate::wire::pulsar::proto;
use crate::wire::pulsar::protobuf::{Fields, Sink, varint_size};

/// Declares [`Command`] with its envelope numbers, and everything that differs by variant.
macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident = $number:literal : $message:ident),+ $(,)?) => {
        /// One command of the binary protocol.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Command {
            $(#[allow(missing_docs)] $name(proto::$message),)+
            /// A type this version does not know; ignored by receivers.
            Unknown(u32),
        }

        impl Command {
            /// The envelope number (`BaseCommand.type`).
            pub fn number(&self) -> u32 {
                match self {
                    $(Command::$name(_) => $number,)+
                    Command::Unknown(number) => *number,
                }
            }

            /// Bytes of the sub-message; 0 for an unknown command.
            fn body_size(&self) -> usize {
                match self {
                    $(Command::$name(body) => body.encoded_len(),)+
                    Command::Unknown(_) => 0,
                }
            }

            /// Appends the sub-message.
            fn put_body(&self, out: &mut Vec<u8>) {
                match self {
                    $(Command::$name(body) => body.encode_raw(out),)+
                    Command::Unknown(_) => {}
                }
            }

            /// Whether this version knows a type.
            fn is_known(number: u32) -> bool {
                matches!(number, $($number)|+)
            }

            /// Reads the sub-message of a type.
            fn decode_body(number: u32, body: &[u8]) -> Result<Command, prost::DecodeError> {
                match number {
                    $($number => proto::$message::decode(body).map(Command::$name),)+
                    _ => Ok(Command::Unknown(number)),
                }
            }
        }
    };
}

commands! {
    Connect = 2: CommandConnect, Connected = 3: CommandConnected, Subscribe = 4: CommandSubscribe,
    Producer = 5: CommandProducer, Send = 6: CommandSend, SendReceipt = 7: CommandSendReceipt,
    SendError = 8: CommandSendError, Message = 9: CommandMessage, Ack = 10: CommandAck,
    Flow = 11: CommandFlow,
    Unsubscribe = 12: CommandUnsubscribe, Success = 13: CommandSuccess, Error = 14: CommandError,
    CloseProducer = 15: CommandCloseProducer, CloseConsumer = 16: CommandCloseConsumer,
    ProducerSuccess = 17: CommandProducerSuccess, Ping = 18: CommandPing, Pong = 19: CommandPong,
    Redeliver = 20: CommandRedeliverUnacknowledgedMessages,
    PartitionedMetadata = 21: CommandPartitionedTopicMetadata,
    PartitionedMetadataResponse = 22: CommandPartitionedTopicMetadataResponse,
    Lookup = 23: CommandLookupTopic, LookupResponse = 24: CommandLookupTopicResponse,
    ConsumerStats = 25: CommandConsumerStats, ConsumerStatsResponse = 26: CommandConsumerStatsResponse,
    ReachedEndOfTopic = 27: CommandReachedEndOfTopic, Seek = 28: CommandSeek,
    GetLastMessageId = 29: CommandGetLastMessageId,
    GetLastMessageIdResponse = 30: CommandGetLastMessageIdResponse,
    ActiveConsumerChange = 31: CommandActiveConsumerChange,
    GetTopicsOfNamespace = 32: CommandGetTopicsOfNamespace,
    GetTopicsOfNamespaceResponse = 33: CommandGetTopicsOfNamespaceResponse,
    GetSchema = 34: CommandGetSchema, GetSchemaResponse = 35: CommandGetSchemaResponse,
    AuthChallenge = 36: CommandAuthChallenge, AuthResponse = 37: CommandAuthResponse,
    AckResponse = 38: CommandAckResponse, GetOrCreateSchema = 39: CommandGetOrCreateSchema,
    GetOrCreateSchemaResponse = 40: CommandGetOrCreateSchemaResponse,
    NewTransaction = 50: CommandNewTxn, AddPartitionToTransaction = 52: CommandAddPartitionToTxn,
    AddSubscriptionToTransaction = 54: CommandAddSubscriptionToTxn, EndTransaction = 56: CommandEndTxn,
    TransactionCoordinatorConnect = 62: CommandTcClientConnectRequest,
    WatchTopicList = 64: CommandWatchTopicList, WatchTopicListClose = 67: CommandWatchTopicListClose,
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

impl CommandError {
    fn new(bytes: &[u8], reason: impl Into<String>) -> Self {
        CommandError::Unreadable { length: bytes.len(), reason: reason.into() }
    }
}

/// Field number of `BaseCommand.type`.
const TYPE: u32 = 1;

impl Command {
    /// Bytes that [`Command::encode`] appends.
    pub(super) fn encoded_size(&self) -> usize {
        let number = self.number();
        let type_size = 1 + varint_size(u64::from(number));
        if let Command::Unknown(_) = self {
            return type_size;
        }
        let body = self.body_size();
        type_size + varint_size(u64::from(number) << 3) + varint_size(body as u64) + body
    }

    /// Appends the serialised `BaseCommand` (no frame header). An unknown command is its type alone.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let number = self.number();
        out.put_varint(TYPE, u64::from(number));
        if let Command::Unknown(_) = self {
            return;
        }
        out.put_head(number, self.body_size());
        self.put_body(out);
    }

    /// Reads a serialised `BaseCommand`. The order of its fields does not matter, and sub-messages that are
    /// not those of its type are skipped. Required fields of the sub-message that are missing read as zero.
    pub fn decode(bytes: &[u8]) -> Result<Command, CommandError> {
        match plain(bytes) {
            Some((number, body)) if Command::is_known(number) => Command::decode_message(bytes, number, body),
            _ => Command::decode_any(bytes),
        }
    }

    fn decode_message(bytes: &[u8], number: u32, body: &[u8]) -> Result<Command, CommandError> {
        Command::decode_body(number, body)
            .map_err(|error| CommandError::new(bytes, format!("message of type {number}: {error}")))
    }

    /// In whatever order its fields come.
    fn decode_any(bytes: &[u8]) -> Result<Command, CommandError> {
        let malformed = |at| CommandError::new(bytes, format!("malformed field at byte {at}"));
        let mut number = None;
        for field in Fields::new(bytes) {
            let field = field.map_err(|error| malformed(error.at))?;
            if field.number == TYPE {
                // An enumeration is a 32-bit number on the wire.
                number = Some(field.i32().map_err(|error| malformed(error.at))? as u32);
            }
        }
        let number = number.ok_or_else(|| CommandError::new(bytes, "no type"))?;
        if !Command::is_known(number) {
            return Ok(Command::Unknown(number));
        }
        let field = Fields::new(bytes).flatten().filter(|field| field.number == number).last();
        let field =
            field.ok_or_else(|| CommandError::new(bytes, format!("type {number} without its message")))?;
        let body = field.bytes().map_err(|error| malformed(error.at))?;
        Command::decode_message(bytes, number, body)
    }
}

/// Type and sub-message of a command as everybody writes it: the type, then the sub-message of that type, and nothing else.
pub(super) fn plain(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut fields = Fields::new(bytes);
    let number = fields.next()?.ok().filter(|field| field.number == TYPE)?.i32().ok()? as u32;
    let message = fields.next()?.ok().filter(|field| field.number == number)?.bytes().ok()?;
    fields.next().is_none().then_some((number, message))
}

#[cfg(test)]
mod tests;
