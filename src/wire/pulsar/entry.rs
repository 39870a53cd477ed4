//! Writing entries: `[0x0e01][crc32c][metadata size][metadata][payload]`, as brokers store them. Metadata
//! fields are written by hand, in number order, straight from borrowed parts.

use crate::wire::pulsar::frame::{MAGIC_CHECKSUM, size_field};
use crate::wire::pulsar::proto::CompressionType;
use crate::wire::pulsar::protobuf::{Count, Sink};

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
    /// Whether the key stands for bytes, as base64. The official Java client says so with every key; brokers show it.
    pub partition_key_b64_encoded: Option<bool>,
    /// Clusters to replicate to.
    pub replicate_to: &'a [&'a str],
    /// Compression of the payload. `Some(CompressionType::None)` is the field's default and not written
    /// either.
    pub compression: Option<CompressionType>,
    /// Payload bytes before compression (the official Java client always writes it); 0 is not written.
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

/// Magic, checksum and metadata size.
const HEAD: [u8; 10] = [MAGIC_CHECKSUM[0], MAGIC_CHECKSUM[1], 0, 0, 0, 0, 0, 0, 0, 0];
/// Where the checksum is, from the magic on.
const CHECKSUM: std::ops::Range<usize> = 2..6;
/// Where the metadata size is, and everything the checksum covers begins.
const METADATA_SIZE: std::ops::Range<usize> = 6..10;

/// Appends an entry whose payload `body` writes; afterwards sizes and checksum are filled in. Returns what
/// `body` did. On `Err` the buffer is as it was before.
pub fn put<T, E>(
    out: &mut Vec<u8>,
    metadata: &EntryMetadata<'_>,
    body: impl FnOnce(&mut Vec<u8>) -> Result<T, E>,
) -> Result<T, E> {
    let start = out.len();
    out.extend_from_slice(&HEAD);
    put_metadata(out, metadata);
    let metadata_size = out.len() - start - HEAD.len();
    let done = match body(out) {
        Ok(done) => done,
        Err(error) => {
            out.truncate(start);
            return Err(error);
        }
    };
    let entry = &mut out[start..];
    entry[METADATA_SIZE].copy_from_slice(&size_field(metadata_size));
    let checksum = crc32c::crc32c(&entry[METADATA_SIZE.start..]);
    entry[CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
    Ok(done)
}

/// Serialised size of the metadata, bytes: brokers count metadata and payload against their message size.
pub fn metadata_size(metadata: &EntryMetadata<'_>) -> usize {
    let mut count = Count::default();
    put_metadata(&mut count, metadata);
    count.0
}

/// Writes `MessageMetadata`, in number order.
fn put_metadata(out: &mut impl Sink, metadata: &EntryMetadata<'_>) {
    out.put_bytes(1, metadata.producer_name.as_bytes());
    out.put_varint(2, metadata.sequence_id);
    out.put_varint(3, metadata.publish_time);
    for (key, value) in metadata.properties {
        out.put_pair(4, key, value);
    }
    if let Some(key) = metadata.partition_key {
        out.put_bytes(6, key.as_bytes());
    }
    for cluster in metadata.replicate_to {
        out.put_bytes(7, cluster.as_bytes());
    }
    if let Some(codec) = metadata.compression
        && codec != CompressionType::None
    {
        out.put_varint(8, codec as u64);
    }
    if metadata.uncompressed_size > 0 {
        out.put_varint(9, u64::from(metadata.uncompressed_size));
    }
    if let Some(messages) = metadata.batch_size {
        out.put_varint(11, u64::from(messages));
    }
    if let Some(time) = metadata.event_time {
        out.put_varint(12, time);
    }
    for key in metadata.encryption_keys {
        let mut count = Count::default();
        put_encryption_key(&mut count, key);
        out.put_head(13, count.0);
        put_encryption_key(out, key);
    }
    if let Some(parameter) = metadata.encryption_param {
        out.put_bytes(15, parameter);
    }
    if let Some(encoded) = metadata.partition_key_b64_encoded {
        out.put_varint(17, u64::from(encoded));
    }
    if let Some(time) = metadata.deliver_at {
        out.put_varint(19, time as u64);
    }
    if let Some(highest) = metadata.highest_sequence_id {
        out.put_varint(24, highest);
    }
}

fn put_encryption_key(out: &mut impl Sink, key: &EncryptionKey) {
    out.put_bytes(1, key.name.as_bytes());
    out.put_bytes(2, &key.value);
    for (name, value) in &key.metadata {
        out.put_pair(3, name, value);
    }
}

#[cfg(test)]
mod tests;
