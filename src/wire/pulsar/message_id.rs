//! Message ids as clients see them: base64 of a protobuf `MessageIdData` (API section 6).

use base64_simd::{Out, STANDARD};

use crate::wire::pulsar::protobuf::{Fields, Malformed, Sink, Stack, VARINT_MAX};
use crate::wire::text::base64;

/// One message's place. Written in the newest form (`batch_size` always); read in every form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MessageId {
    /// Ledger.
    pub ledger: u64,
    /// Entry in the ledger.
    pub entry: u64,
    /// Partition of the topic; -1: not partitioned.
    pub partition: i32,
    /// Index in the batch; -1: not in a batch.
    pub batch_index: i32,
    /// Messages in the batch; 0: not in a batch, or not known.
    pub batch_size: i32,
    /// First chunk (ledger, entry) of a chunked message, whose own place is the last chunk.
    pub first_chunk: Option<(u64, u64)>,
}

/// Why an id text is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageIdError {
    /// Not base64; the text is the decoder's, worded as clients know it.
    #[error("{0}")]
    Base64(String),
    /// Base64, but not a `MessageIdData` with ledger and entry.
    #[error("not a message id")]
    NotAnId,
}

impl MessageId {
    /// Before the first message.
    pub const EARLIEST: (u64, u64) = (u64::MAX, u64::MAX);
    /// After the last message.
    pub const LATEST: (u64, u64) = (i64::MAX as u64, i64::MAX as u64);

    /// A plain id: no partition, no batch.
    pub fn plain(ledger: u64, entry: u64) -> Self {
        MessageId { ledger, entry, partition: -1, batch_index: -1, batch_size: 0, first_chunk: None }
    }

    /// Reads the base64 text (padding optional, as the JDK's decoder).
    pub fn from_text(text: &str) -> Result<MessageId, MessageIdError> {
        // Ids that Pulsar writes are short and padded: they are decoded on the stack.
        let mut short = [0u8; TEXT_MAX];
        if text.len() <= TEXT_MAX
            && let Ok(bytes) = STANDARD.decode(text.as_bytes(), Out::from_slice(&mut short))
        {
            return MessageId::from_bytes(bytes);
        }
        let mut bytes = Vec::new();
        base64::decode(text.as_bytes(), &mut bytes)
            .map_err(|error| MessageIdError::Base64(error.to_string()))?;
        MessageId::from_bytes(&bytes)
    }

    /// Reads a serialised `MessageIdData`. Unknown fields and the ack set are skipped; absent and negative
    /// numbers read as "none". A chunk's own first chunk is not looked at, so nesting has no depth.
    pub fn from_bytes(bytes: &[u8]) -> Result<MessageId, MessageIdError> {
        read(bytes).ok().flatten().ok_or(MessageIdError::NotAnId)
    }

    /// Appends the base64 text, with no allocation.
    pub fn put_text(&self, out: &mut Vec<u8>) {
        let mut bytes = Stack::<BYTES_MAX>::new();
        self.put(&mut bytes);
        STANDARD.encode_append(bytes.written(), out);
    }

    /// Writes the newest serialised form (API 6), in number order.
    fn put(&self, out: &mut impl Sink) {
        out.put_varint(LEDGER, self.ledger);
        out.put_varint(ENTRY, self.entry);
        if let Ok(partition) = u64::try_from(self.partition) {
            out.put_varint(PARTITION, partition);
        }
        if let Ok(index) = u64::try_from(self.batch_index) {
            out.put_varint(BATCH_INDEX, index);
        }
        out.put_varint(BATCH_SIZE, u64::try_from(self.batch_size).unwrap_or(0));
        if let Some((ledger, entry)) = self.first_chunk {
            let mut first = Stack::<FIRST_CHUNK_MAX>::new();
            first.put_varint(LEDGER, ledger);
            first.put_varint(ENTRY, entry);
            first.put_varint(BATCH_SIZE, 0);
            out.put_bytes(FIRST_CHUNK, first.written());
        }
    }
}

/// Reads the fields; `Ok(None)` if ledger or entry is missing.
fn read(bytes: &[u8]) -> Result<Option<MessageId>, Malformed> {
    let (mut ledger, mut entry, mut first_chunk) = (None, None, None);
    let mut id = MessageId::plain(0, 0);
    for field in Fields::new(bytes) {
        let field = field?;
        match field.number {
            LEDGER => ledger = Some(field.u64()?),
            ENTRY => entry = Some(field.u64()?),
            PARTITION => id.partition = field.i32()?.max(-1),
            BATCH_INDEX => id.batch_index = field.i32()?.max(-1),
            BATCH_SIZE => id.batch_size = field.i32()?.max(0),
            FIRST_CHUNK => {
                let place = read_place(field.bytes()?)?.ok_or(field.malformed())?;
                first_chunk = Some(place);
            }
            _ => {}
        }
    }
    Ok(ledger.zip(entry).map(|(ledger, entry)| MessageId { ledger, entry, first_chunk, ..id }))
}

/// Reads ledger and entry alone.
fn read_place(bytes: &[u8]) -> Result<Option<(u64, u64)>, Malformed> {
    let (mut ledger, mut entry) = (None, None);
    for field in Fields::new(bytes) {
        let field = field?;
        match field.number {
            LEDGER => ledger = Some(field.u64()?),
            ENTRY => entry = Some(field.u64()?),
            _ => {}
        }
    }
    Ok(ledger.zip(entry))
}

// Field numbers of `MessageIdData`.
const LEDGER: u32 = 1;
const ENTRY: u32 = 2;
const PARTITION: u32 = 3;
const BATCH_INDEX: u32 = 4;
const BATCH_SIZE: u32 = 6;
const FIRST_CHUNK: u32 = 7;

/// Longest first chunk, bytes: two 64-bit numbers and a batch size of 0.
const FIRST_CHUNK_MAX: usize = 2 * (1 + VARINT_MAX) + 2;
/// Longest id we write, bytes: two 64-bit numbers, three positive 32-bit ones, a first chunk.
const BYTES_MAX: usize = 2 * (1 + VARINT_MAX) + 3 * (1 + 5) + 2 + FIRST_CHUNK_MAX;
/// Texts up to this length, bytes, are decoded on the stack. Longer than any id we write, so that ids with
/// fields we would not write (an explicit -1, an ack set) stay there too.
const TEXT_MAX: usize = 128;
const _: () = assert!(BYTES_MAX.div_ceil(3) * 4 <= TEXT_MAX, "ids of our own are read without allocation");

#[cfg(test)]
mod tests;
