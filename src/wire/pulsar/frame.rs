//! Frames of the binary protocol (section 1): `[total][command size][command]` and, for SEND and MESSAGE,
//! `[0x0e02 block]? [0x0e01][crc32c][metadata size][metadata][payload]`.

use crate::wire::pulsar::command::{Command, CommandError};

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
    /// Serialised `MessageMetadata`.
    pub metadata: &'a [u8],
    /// The payload: one message, a batch, or a chunk; perhaps compressed or encrypted.
    pub body: &'a [u8],
}

/// Bytes of the next frame, its size field included. `Ok(None)`: fewer than four bytes are here. The size is checked
/// against `frame_max` (bytes, size field included) before anyone reserves memory for it.
pub fn size(_buffer: &[u8], _frame_max: usize) -> Result<Option<usize>, FrameError> {
    unimplemented!()
}

/// Reads one whole frame: exactly the bytes that [`size`] announced.
pub fn read(_frame: &[u8]) -> Result<Frame<'_>, FrameError> {
    unimplemented!()
}

/// Reads the part after the command of SEND or MESSAGE and checks its checksum.
pub fn payload(_rest: &[u8]) -> Result<Payload<'_>, FrameError> {
    unimplemented!()
}

/// Appends a frame without payload.
pub fn put(_out: &mut Vec<u8>, _command: &Command) {
    unimplemented!()
}

/// Appends a frame with payload; `entry` are the bytes from the `0x0e01` magic on, as [`super::entry`] writes them.
pub fn put_with_entry(_out: &mut Vec<u8>, _command: &Command, _entry: &[u8]) {
    unimplemented!()
}

/// Appends a SEND frame, written by hand: the hot path of producers. `highest` only for batches.
pub fn put_send(
    _out: &mut Vec<u8>,
    _producer_id: u64,
    _sequence_id: u64,
    _highest_sequence_id: Option<u64>,
    _messages: u32,
    _entry: &[u8],
) {
    unimplemented!()
}
