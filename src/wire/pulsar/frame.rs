//! Frames of the binary protocol (section 1): `[total][command size][command]` and, for SEND and MESSAGE,
//! `[0x0e02 block]? [0x0e01][crc32c][metadata size][metadata][payload]`.

use crate::wire::pulsar::command::{Command, CommandError};
use crate::wire::pulsar::hot;
use crate::wire::pulsar::protobuf::{Sink, Stack, VARINT_MAX, varint_size};

/// A frame breaks the protocol. The peer's fault: the connection is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Larger than the peer may send.
    #[error("frame of {got} bytes exceeds {max}")]
    TooLarge {
        /// Bytes of the frame, its size field included.
        got: u64,
        /// The limit in force.
        max: usize,
    },
    /// The sizes inside contradict each other.
    #[error("sizes in a frame of {total} bytes contradict each other: {what}")]
    Sizes {
        /// Bytes of the frame.
        total: usize,
        /// Which size.
        what: &'static str,
    },
    /// The command cannot be read.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// One whole frame, borrowed from the receive buffer.
#[derive(Debug)]
pub struct Frame<'a> {
    /// The command.
    pub command: Command,
    /// Everything after the command; empty for simple commands.
    pub rest: &'a [u8],
}

/// What the checksum of a payload says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// No `0x0e01` magic: old peers leave it out.
    Absent,
    /// Present and right.
    Good,
    /// Present and wrong.
    Bad,
}

/// The payload part of SEND or MESSAGE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    /// Serialised `BrokerEntryMetadata`, if the block was there.
    pub broker_entry: Option<&'a [u8]>,
    /// Verdict over metadata size, metadata and payload.
    pub checksum: Checksum,
    /// Serialised `MessageMetadata`; empty if the checksum is bad, since then its size is not to be trusted.
    pub metadata: &'a [u8],
    /// The payload: one message, a batch, or a chunk; perhaps compressed or encrypted. Empty if the checksum
    /// is bad.
    pub body: &'a [u8],
}

/// Bytes of a size field.
const SIZE: usize = 4;
/// In front of checksum, metadata and payload (protocol 1.2).
pub(super) const MAGIC_CHECKSUM: [u8; 2] = [0x0e, 0x01];
/// In front of the broker entry metadata (protocol 1.3).
const MAGIC_BROKER_ENTRY: [u8; 2] = [0x0e, 0x02];
/// `BaseCommand.type` of SEND, and the number of its sub-message.
const SEND: u32 = 6;

/// Takes a big-endian size off the front; `None` if there are too few bytes.
fn split_size(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (size, rest) = bytes.split_first_chunk::<SIZE>()?;
    Some((u32::from_be_bytes(*size) as usize, rest))
}

/// Takes a size and that many bytes off the front; `None` if there are too few bytes.
fn split_sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = split_size(bytes)?;
    rest.split_at_checked(size)
}

/// Bytes of the next frame, its size field included. `Ok(None)`: fewer than four bytes are here. The size is
/// checked against `frame_max` (bytes, size field included) before anyone reserves memory for it.
pub fn size(buffer: &[u8], frame_max: usize) -> Result<Option<usize>, FrameError> {
    let Some((total, _)) = split_size(buffer) else {
        return Ok(None);
    };
    let frame = total as u64 + SIZE as u64;
    if frame > frame_max as u64 {
        return Err(FrameError::TooLarge { got: frame, max: frame_max });
    }
    if total < SIZE {
        return Err(FrameError::Sizes { total: total + SIZE, what: "no room for the command size" });
    }
    Ok(Some(total + SIZE))
}

/// Reads one whole frame: exactly the bytes that [`size`] announced.
pub fn read(frame: &[u8]) -> Result<Frame<'_>, FrameError> {
    let (command, rest) = split(frame)?;
    Ok(Frame { command: Command::decode(command)?, rest })
}

/// Parts one whole frame into its serialised command and what follows.
pub(super) fn split(frame: &[u8]) -> Result<(&[u8], &[u8]), FrameError> {
    let sizes = |what| FrameError::Sizes { total: frame.len(), what };
    let (total, rest) = split_size(frame).ok_or(sizes("no total size"))?;
    if total != rest.len() {
        return Err(sizes("total size"));
    }
    split_sized(rest).ok_or(sizes("command size"))
}

/// Reads the part after the command of SEND or MESSAGE and checks its checksum. A bad checksum is no error of
/// the frame: the connection stays, and the receiver refuses or acknowledges the entry (protocol 1.2).
pub fn payload(rest: &[u8]) -> Result<Payload<'_>, FrameError> {
    let sizes = |what| FrameError::Sizes { total: rest.len(), what };
    let mut broker_entry = None;
    let mut entry = rest;
    if let Some(block) = entry.strip_prefix(&MAGIC_BROKER_ENTRY) {
        let (metadata, behind) = split_sized(block).ok_or(sizes("broker entry metadata size"))?;
        broker_entry = Some(metadata);
        entry = behind;
    }
    let mut checksum = Checksum::Absent;
    if let Some(summed) = entry.strip_prefix(&MAGIC_CHECKSUM) {
        let (sum, behind) = summed.split_first_chunk::<4>().ok_or(sizes("checksum"))?;
        if crc32c::crc32c(behind) != u32::from_be_bytes(*sum) {
            return Ok(Payload { broker_entry, checksum: Checksum::Bad, metadata: &[], body: &[] });
        }
        checksum = Checksum::Good;
        entry = behind;
    }
    let (metadata, body) = split_sized(entry).ok_or(sizes("metadata size"))?;
    Ok(Payload { broker_entry, checksum, metadata, body })
}

/// A size field. Everything we send is far below 4 GiB: commands are small and entries bounded by the
/// broker's limit.
pub(super) fn size_field(size: usize) -> [u8; SIZE] {
    u32::try_from(size).expect("what is sent is bounded by the message size").to_be_bytes()
}

/// Appends a frame without payload.
pub fn put(out: &mut Vec<u8>, command: &Command) {
    match command {
        Command::Ack(ack) if hot::is_plain_ack(ack) => hot::put_ack(out, ack),
        _ => put_with_entry(out, command, &[]),
    }
}

/// Appends a frame with payload; `entry` are the bytes from the `0x0e01` magic on, as [`super::entry`] writes
/// them.
pub fn put_with_entry(out: &mut Vec<u8>, command: &Command, entry: &[u8]) {
    let command_size = command.encoded_size();
    out.reserve(2 * SIZE + command_size + entry.len());
    out.extend_from_slice(&size_field(SIZE + command_size + entry.len()));
    out.extend_from_slice(&size_field(command_size));
    let start = out.len();
    command.encode(out);
    debug_assert_eq!(out.len() - start, command_size, "the size field tells the truth");
    out.extend_from_slice(entry);
}

/// Appends a SEND frame, written by hand: the hot path of producers. `highest` only for batches.
pub fn put_send(
    out: &mut Vec<u8>,
    producer_id: u64,
    sequence_id: u64,
    highest_sequence_id: Option<u64>,
    messages: u32,
    entry: &[u8],
) {
    // One is the field's default.
    let messages = (messages > 1).then_some(u64::from(messages));
    let field_size = |number| 1 + varint_size(number);
    let send_size = field_size(producer_id)
        + field_size(sequence_id)
        + messages.map_or(0, field_size)
        + highest_sequence_id.map_or(0, field_size);
    // Type, then tag and length of the sub-message: one byte each, for at most four numbers.
    let command_size = 4 + send_size;
    let mut head = Stack::<SEND_HEAD_MAX>::new();
    head.raw(&size_field(SIZE + command_size + entry.len()));
    head.raw(&size_field(command_size));
    head.put_varint(1, u64::from(SEND));
    head.put_head(SEND, send_size);
    head.put_varint(1, producer_id);
    head.put_varint(2, sequence_id);
    if let Some(messages) = messages {
        head.put_varint(3, messages);
    }
    if let Some(highest) = highest_sequence_id {
        head.put_varint(6, highest);
    }
    debug_assert_eq!(head.written().len(), 2 * SIZE + command_size, "the size field tells the truth");
    out.reserve(head.written().len() + entry.len());
    out.extend_from_slice(head.written());
    out.extend_from_slice(entry);
}

/// Longest SEND frame before its entry: two sizes, the envelope, three 64-bit numbers and one of 32 bits.
const SEND_HEAD_MAX: usize = 2 * SIZE + 4 + 3 * (1 + VARINT_MAX) + (1 + 5);

#[cfg(test)]
mod tests;
