//! Writing entries: `[0x0e01][crc32c][metadata size][metadata][payload]`, as brokers store them. Metadata fields are
//! written by hand, in number order, straight from borrowed parts.

use crate::wire::pulsar::proto::CompressionType;

/// One encryption key of a client-side encrypted message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptionKey {
    /// Key name.
    pub name: String,
    /// The encrypted data key.
    pub value: Vec<u8>,
    /// Pairs the key reader attached.
    pub metadata: Vec<(String, String)>,
}

/// What a producer puts into `MessageMetadata`. Borrowed; absent parts are not written.
#[derive(Clone, Copy, Debug, Default)]
pub struct EntryMetadata<'a> {
    /// Producer name (required).
    pub producer_name: &'a str,
    /// Sequence id; of a batch, the first.
    pub sequence_id: u64,
    /// Milliseconds since the epoch.
    pub publish_time: u64,
    /// User properties, in order. Not for batches.
    pub properties: &'a [(&'a str, &'a str)],
    /// Message key; of a batch, that of its first message.
    pub partition_key: Option<&'a str>,
    /// Clusters to replicate to.
    pub replicate_to: &'a [&'a str],
    /// Compression and size before it; `None` writes `uncompressed_size` alone if given.
    pub compression: Option<CompressionType>,
    /// Payload bytes before compression (the official Java client always writes it).
    pub uncompressed_size: u32,
    /// Messages in the batch; its presence marks the payload as a batch.
    pub batch_size: Option<u32>,
    /// Event time, milliseconds since the epoch (as `i64` in a `u64`, so before 1970 works).
    pub event_time: Option<u64>,
    /// Keys of a client-side encrypted message.
    pub encryption_keys: &'a [EncryptionKey],
    /// Initialisation vector of a client-side encrypted message.
    pub encryption_param: Option<&'a [u8]>,
    /// Deliver not before, milliseconds since the epoch.
    pub deliver_at: Option<i64>,
    /// Last sequence id of a batch.
    pub highest_sequence_id: Option<u64>,
}

/// Appends an entry whose payload `body` writes; afterwards sizes and checksum are filled in. Returns what `body` did.
/// On `Err` the buffer is as it was before.
pub fn put<T, E>(
    _out: &mut Vec<u8>,
    _metadata: &EntryMetadata<'_>,
    _body: impl FnOnce(&mut Vec<u8>) -> Result<T, E>,
) -> Result<T, E> {
    unimplemented!()
}

/// Serialised size of the metadata, bytes: brokers count metadata and payload against their message size.
pub fn metadata_size(_metadata: &EntryMetadata<'_>) -> usize {
    unimplemented!()
}
