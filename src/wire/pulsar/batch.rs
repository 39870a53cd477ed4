//! Batch payloads (protocol 2.3): `[size][SingleMessageMetadata][payload]` per message.

use crate::wire::pulsar::frame::size_field;
use crate::wire::pulsar::metadata::{MetadataError, SingleView};
use crate::wire::pulsar::protobuf::{Sink, varint_size};

/// What one message of a batch carries beside its payload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Single<'a> {
    /// User properties, in order.
    pub properties: &'a [(&'a str, &'a str)],
    /// Message key.
    pub partition_key: Option<&'a str>,
    /// Event time, milliseconds since the epoch.
    pub event_time: Option<u64>,
    /// Sequence id of this message.
    pub sequence_id: u64,
}

/// Bytes of the size in front of each message's metadata.
const SIZE: usize = 4;
/// Bytes set aside for the varint of `payload_size`: right for payloads of 128 B to 16 KiB.
const PAYLOAD_SIZE_GUESS: usize = 2;

/// Appends one message to a batch payload; `payload` writes its bytes. On `Err` the buffer is as it was
/// before.
///
/// The metadata stands first but holds the payload's size, which is known last: a guess is set aside for its
/// varint, and what follows moves by a byte or two when the guess was wrong.
pub fn put<T, E>(
    out: &mut Vec<u8>,
    single: &Single<'_>,
    payload: impl FnOnce(&mut Vec<u8>) -> Result<T, E>,
) -> Result<T, E> {
    let start = out.len();
    out.extend_from_slice(&[0; SIZE]);
    for (key, value) in single.properties {
        out.put_pair(1, key, value);
    }
    if let Some(key) = single.partition_key {
        out.put_bytes(2, key.as_bytes());
    }
    out.put_varint(3, 0);
    // The zero just written is the first byte of the guess.
    let gap = out.len() - 1;
    out.extend_from_slice(&[0; PAYLOAD_SIZE_GUESS - 1]);
    if let Some(time) = single.event_time {
        out.put_varint(5, time);
    }
    out.put_varint(8, single.sequence_id);
    let body = out.len();
    let done = match payload(out) {
        Ok(done) => done,
        Err(error) => {
            out.truncate(start);
            return Err(error);
        }
    };
    let payload_size = out.len() - body;
    let needed = varint_size(payload_size as u64);
    resize_gap(out, gap, PAYLOAD_SIZE_GUESS, needed);
    write_varint(&mut out[gap..gap + needed], payload_size);
    let metadata_size = body - start - SIZE - PAYLOAD_SIZE_GUESS + needed;
    out[start..start + SIZE].copy_from_slice(&size_field(metadata_size));
    Ok(done)
}

/// Moves everything behind the gap so that it is `to` bytes wide instead of `from`.
fn resize_gap(out: &mut Vec<u8>, gap: usize, from: usize, to: usize) {
    let end = out.len();
    if to > from {
        out.resize(end + to - from, 0);
    }
    if to != from {
        out.copy_within(gap + from..end, gap + to);
    }
    out.truncate(end - from + to);
}

/// Fills `place` exactly, as long as it is `varint_size(number)` bytes.
fn write_varint(place: &mut [u8], mut number: usize) {
    let last = place.len() - 1;
    for byte in &mut place[..last] {
        *byte = number as u8 | 0x80;
        number >>= 7;
    }
    place[last] = number as u8;
}

/// Walks the messages of a batch payload (decompressed). Stops after `count` messages or the first malformed
/// one.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    payload: &'a [u8],
    at: usize,
    left: u32,
}

impl<'a> Messages<'a> {
    /// `count` is `num_messages_in_batch`; it bounds the walk, it is not trusted for sizes.
    pub fn new(payload: &'a [u8], count: u32) -> Self {
        Messages { payload, at: 0, left: count }
    }

    fn message(&mut self) -> Result<(SingleView<'a>, &'a [u8]), MetadataError> {
        let malformed = MetadataError { at: self.at };
        let rest = &self.payload[self.at..];
        let (size, rest) = rest.split_first_chunk::<SIZE>().ok_or(malformed)?;
        let (metadata, rest) = rest.split_at_checked(u32::from_be_bytes(*size) as usize).ok_or(malformed)?;
        let single =
            SingleView::read(metadata).map_err(|error| MetadataError { at: self.at + SIZE + error.at })?;
        let payload_size = usize::try_from(single.payload_size).map_err(|_| malformed)?;
        let (payload, rest) = rest.split_at_checked(payload_size).ok_or(malformed)?;
        self.at = self.payload.len() - rest.len();
        Ok((single, payload))
    }
}

impl<'a> Iterator for Messages<'a> {
    /// The message's metadata and payload. Offsets in errors are those in the batch payload.
    type Item = Result<(SingleView<'a>, &'a [u8]), MetadataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let message = self.message();
        if message.is_err() {
            self.left = 0;
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests;
