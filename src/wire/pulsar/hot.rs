//! The two commands that come once for every message, SEND_RECEIPT and MESSAGE, read by hand: straight into their structs, without
//! the envelope's. What is not of the usual form is left to [`Command::decode`], which has the last word. And the one that names every
//! message on the way back, ACK, written by hand.

use crate::wire::pulsar::command::{Command, plain};
use crate::wire::pulsar::frame::{self, FrameError, size_field};
use crate::wire::pulsar::proto::{CommandAck, CommandMessage, CommandSendReceipt, MessageIdData};
use crate::wire::pulsar::protobuf::{Field, Fields, Sink, varint_size};

/// Envelope numbers.
const SEND_RECEIPT: u32 = 7;
const MESSAGE: u32 = 9;
const ACK: u32 = 10;

/// A frame of a broker.
#[derive(Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // lives on the stack, is never moved
pub enum Hot<'a> {
    /// A receipt.
    Receipt(CommandSendReceipt),
    /// A message, and the entry behind the command.
    Message(CommandMessage, &'a [u8]),
    /// Anything else.
    Other(Command),
}

/// Reads one whole frame: exactly the bytes that [`frame::size`] announced.
pub fn read(bytes: &[u8]) -> Result<Hot<'_>, FrameError> {
    let (command, rest) = frame::split(bytes)?;
    match plain(command) {
        Some((SEND_RECEIPT, body)) => {
            if let Some(receipt) = receipt(body) {
                return Ok(Hot::Receipt(receipt));
            }
        }
        Some((MESSAGE, body)) => {
            if let Some(message) = message(body) {
                return Ok(Hot::Message(message, rest));
            }
        }
        _ => {}
    }
    Ok(match Command::decode(command)? {
        Command::SendReceipt(receipt) => Hot::Receipt(receipt),
        Command::Message(message) => Hot::Message(message, rest),
        other => Hot::Other(other),
    })
}

fn receipt(body: &[u8]) -> Option<CommandSendReceipt> {
    let mut receipt = CommandSendReceipt::default();
    for field in Fields::new(body) {
        let field = field.ok()?;
        match field.number {
            1 => receipt.producer_id = field.u64().ok()?,
            2 => receipt.sequence_id = field.u64().ok()?,
            3 if receipt.message_id.is_none() => receipt.message_id = Some(message_id(&field)?),
            4 => receipt.highest_sequence_id = Some(field.u64().ok()?),
            _ => return None,
        }
    }
    Some(receipt)
}

fn message(body: &[u8]) -> Option<CommandMessage> {
    let mut message = CommandMessage::default();
    let mut named = false;
    for field in Fields::new(body) {
        let field = field.ok()?;
        match field.number {
            1 => message.consumer_id = field.u64().ok()?,
            2 if !named => (message.message_id, named) = (message_id(&field)?, true),
            3 => message.redelivery_count = Some(field.u64().ok()? as u32),
            5 => message.consumer_epoch = Some(field.u64().ok()?),
            _ => return None,
        }
    }
    Some(message)
}

fn message_id(field: &Field<'_>) -> Option<MessageIdData> {
    let mut id = MessageIdData::default();
    for field in Fields::new(field.bytes().ok()?) {
        let field = field.ok()?;
        match field.number {
            1 => id.ledger_id = field.u64().ok()?,
            2 => id.entry_id = field.u64().ok()?,
            3 => id.partition = Some(field.i32().ok()?),
            4 => id.batch_index = Some(field.i32().ok()?),
            6 => id.batch_size = Some(field.i32().ok()?),
            _ => return None,
        }
    }
    Some(id)
}

/// True when an ACK names whole entries and has nothing beside them: as nearly all have it.
pub(super) fn is_plain_ack(ack: &CommandAck) -> bool {
    let CommandAck { consumer_id: _, ack_type: _, message_id, validation_error, properties, .. } = ack;
    let alone = validation_error.is_none() && properties.is_empty() && ack.request_id.is_none();
    alone
        && ack.txnid_least_bits.is_none()
        && ack.txnid_most_bits.is_none()
        && message_id.iter().all(|id| {
            let numbers = id.partition.or(id.batch_index).or(id.batch_size);
            numbers.is_none() && id.ack_set.is_empty() && id.first_chunk_message_id.is_none()
        })
}

/// Appends the frame of such an ACK.
pub(super) fn put_ack(out: &mut Vec<u8>, ack: &CommandAck) {
    let id_size = |id: &MessageIdData| 2 + varint_size(id.ledger_id) + varint_size(id.entry_id);
    // An id is at most 22 bytes: its length takes one.
    let ids: usize = ack.message_id.iter().map(|id| 2 + id_size(id)).sum();
    let kind = i64::from(ack.ack_type).cast_unsigned();
    let body = 2 + varint_size(ack.consumer_id) + varint_size(kind) + ids;
    let command = 3 + varint_size(body as u64) + body;
    out.reserve(8 + command);
    out.extend_from_slice(&size_field(4 + command));
    out.extend_from_slice(&size_field(command));
    out.put_varint(1, u64::from(ACK));
    out.put_head(ACK, body);
    out.put_varint(1, ack.consumer_id);
    out.put_varint(2, kind);
    for id in &ack.message_id {
        out.put_head(3, id_size(id));
        out.put_varint(1, id.ledger_id);
        out.put_varint(2, id.entry_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::pulsar::broken;

    fn id() -> MessageIdData {
        MessageIdData { ledger_id: 7, entry_id: u64::MAX, partition: Some(-1), ..Default::default() }
    }

    fn framed(command: &Command, entry: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame::put_with_entry(&mut out, command, entry);
        out
    }

    #[test]
    fn both_are_read_by_hand() {
        let receipt = CommandSendReceipt {
            producer_id: 300,
            sequence_id: 1 << 40,
            message_id: Some(id()),
            highest_sequence_id: Some(0),
        };
        let mut body = Vec::new();
        prost::Message::encode(&receipt, &mut body).expect("a Vec takes all bytes");
        assert_eq!(super::receipt(&body), Some(receipt.clone()));
        let bytes = framed(&Command::SendReceipt(receipt.clone()), b"");
        assert_eq!(read(&bytes), Ok(Hot::Receipt(receipt)));
        let message = CommandMessage {
            consumer_id: 9,
            message_id: id(),
            redelivery_count: Some(2),
            consumer_epoch: Some(1),
            ack_set: Vec::new(),
        };
        let bytes = framed(&Command::Message(message.clone()), b"entry");
        assert_eq!(read(&bytes), Ok(Hot::Message(message, b"entry")));
    }

    #[test]
    fn the_general_reader_agrees_on_whatever_comes() {
        let receipt = CommandSendReceipt { message_id: Some(id()), ..Default::default() };
        let plain = CommandMessage { message_id: id(), ..Default::default() };
        let odd = CommandMessage { message_id: MessageIdData { ack_set: vec![5], ..id() }, ..plain.clone() };
        let parts = CommandMessage { ack_set: vec![-1, 0], ..plain.clone() };
        let commands = [
            Command::SendReceipt(receipt),
            Command::Message(plain),
            Command::Message(odd),
            Command::Message(parts),
        ];
        let valid: Vec<Vec<u8>> = commands.iter().map(|command| framed(command, b"abc")).collect();
        let valid: Vec<&[u8]> = valid.iter().map(Vec::as_slice).collect();
        broken::inputs(5, &valid, |bytes| {
            let general = frame::read(bytes).map(|frame| match frame.command {
                Command::SendReceipt(receipt) => Hot::Receipt(receipt),
                Command::Message(message) => Hot::Message(message, frame.rest),
                other => Hot::Other(other),
            });
            assert_eq!(read(bytes), general);
        });
    }

    #[test]
    fn an_ack_is_written_as_the_general_writer_does() {
        for (count, step) in [(0, 1), (1, 1), (2, 1 << 20), (40, u64::MAX / 40)] {
            for ack_type in [0, 1, -1] {
                let message_id: Vec<_> = (0..count)
                    .map(|n| MessageIdData {
                        ledger_id: n * step,
                        entry_id: u64::MAX - n,
                        ..Default::default()
                    })
                    .collect();
                let ack = CommandAck { consumer_id: step, ack_type, message_id, ..Default::default() };
                assert!(is_plain_ack(&ack));
                let mut by_hand = Vec::new();
                put_ack(&mut by_hand, &ack);
                assert_eq!(by_hand, framed(&Command::Ack(ack), b""));
            }
        }
    }

    #[test]
    fn an_ack_with_anything_else_is_not_plain() {
        let with = |id: MessageIdData| CommandAck { message_id: vec![id], ..Default::default() };
        let id = MessageIdData::default;
        for ack in [
            with(MessageIdData { partition: Some(1), ..id() }),
            with(MessageIdData { batch_index: Some(1), ..id() }),
            with(MessageIdData { batch_size: Some(1), ..id() }),
            with(MessageIdData { ack_set: vec![1], ..id() }),
            with(MessageIdData { first_chunk_message_id: Some(Box::default()), ..id() }),
            CommandAck { validation_error: Some(1), ..with(id()) },
            CommandAck { request_id: Some(1), ..with(id()) },
            CommandAck { txnid_least_bits: Some(1), ..with(id()) },
            CommandAck { txnid_most_bits: Some(1), ..with(id()) },
        ] {
            assert!(!is_plain_ack(&ack), "{ack:?}");
            let mut out = Vec::new();
            frame::put(&mut out, &Command::Ack(ack.clone()));
            assert_eq!(out, framed(&Command::Ack(ack), b""));
        }
    }
}
