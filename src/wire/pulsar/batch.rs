//! Batch payloads (section 2.3): `[size][SingleMessageMetadata][payload]` per message.

use crate::wire::pulsar::metadata::{MetadataError, SingleView};

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

/// Appends one message to a batch payload; `payload` writes its bytes. On `Err` the buffer is as it was before.
pub fn put<T, E>(
    _out: &mut Vec<u8>,
    _single: &Single<'_>,
    _payload: impl FnOnce(&mut Vec<u8>) -> Result<T, E>,
) -> Result<T, E> {
    unimplemented!()
}

/// Walks the messages of a batch payload (decompressed). Stops after `count` messages or the first malformed one.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    _rest: &'a [u8],
    _left: u32,
}

impl<'a> Messages<'a> {
    /// `count` is `num_messages_in_batch`; it bounds the walk, it is not trusted for sizes.
    pub fn new(_payload: &'a [u8], _count: u32) -> Self {
        unimplemented!()
    }
}

impl<'a> Iterator for Messages<'a> {
    /// The message's metadata and payload.
    type Item = Result<(SingleView<'a>, &'a [u8]), MetadataError>;
    fn next(&mut self) -> Option<Self::Item> {
        unimplemented!()
    }
}
