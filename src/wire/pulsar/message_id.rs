//! Message ids as clients see them: base64 of a protobuf `MessageIdData` (API section 6).

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
    pub fn from_text(_text: &str) -> Result<MessageId, MessageIdError> {
        unimplemented!()
    }

    /// Reads a serialised `MessageIdData`.
    pub fn from_bytes(_bytes: &[u8]) -> Result<MessageId, MessageIdError> {
        unimplemented!()
    }

    /// Appends the base64 text, with no allocation.
    pub fn put_text(&self, _out: &mut Vec<u8>) {
        unimplemented!()
    }
}
