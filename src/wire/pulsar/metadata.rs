//! Reading `MessageMetadata` and `SingleMessageMetadata` as borrowed views: nothing is allocated on the way to a
//! consumer. The prost messages in `proto` stay for tools and tests.

/// A metadata field is malformed: the entry cannot be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message metadata is malformed at byte {at}")]
pub struct MetadataError {
    /// Offset of the field.
    pub at: usize,
}

/// Outer metadata of an entry. Strings are checked to be UTF-8. Repeated fields stay serialised; see the iterators.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MetadataView<'a> {
    /// The serialised message, for the iterators.
    pub bytes: &'a [u8],
    /// Field 1.
    pub producer_name: &'a str,
    /// Field 2.
    pub sequence_id: u64,
    /// Field 3.
    pub publish_time: u64,
    /// Field 6.
    pub partition_key: Option<&'a str>,
    /// Field 8, raw number.
    pub compression: i32,
    /// Field 9.
    pub uncompressed_size: u32,
    /// Field 11; presence means batch format.
    pub batch_size: Option<i32>,
    /// Field 12; 0 is unset.
    pub event_time: u64,
    /// Field 13: at least one encryption key is there.
    pub encrypted: bool,
    /// Field 14.
    pub encryption_algo: Option<&'a str>,
    /// Field 15.
    pub encryption_param: Option<&'a [u8]>,
    /// Field 17.
    pub partition_key_b64_encoded: bool,
    /// Field 18.
    pub ordering_key: Option<&'a [u8]>,
    /// Field 19.
    pub deliver_at_time: Option<i64>,
    /// Field 20; presence marks an internal entry.
    pub marker_type: Option<i32>,
    /// Field 25.
    pub null_value: bool,
    /// Field 26.
    pub uuid: Option<&'a str>,
    /// Field 27.
    pub chunks: i32,
    /// Field 28.
    pub total_chunk_size: i32,
    /// Field 29.
    pub chunk_id: i32,
}

/// Metadata of one message in a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SingleView<'a> {
    /// The serialised message, for the iterators.
    pub bytes: &'a [u8],
    /// Field 2.
    pub partition_key: Option<&'a str>,
    /// Field 3.
    pub payload_size: i32,
    /// Field 4.
    pub compacted_out: bool,
    /// Field 5; 0 is unset.
    pub event_time: u64,
    /// Field 6.
    pub partition_key_b64_encoded: bool,
    /// Field 7.
    pub ordering_key: Option<&'a [u8]>,
    /// Field 8.
    pub sequence_id: Option<u64>,
    /// Field 9.
    pub null_value: bool,
}

impl<'a> MetadataView<'a> {
    /// Reads outer metadata. Unknown fields are skipped; last value of a repeated scalar wins.
    pub fn read(_bytes: &'a [u8]) -> Result<Self, MetadataError> {
        unimplemented!()
    }

    /// User properties in wire order.
    pub fn properties(&self) -> Properties<'a> {
        unimplemented!()
    }

    /// Field 13 decoded; allocates, only for encrypted messages.
    pub fn encryption_keys(&self) -> Vec<crate::wire::pulsar::entry::EncryptionKey> {
        unimplemented!()
    }
}

impl<'a> SingleView<'a> {
    /// Reads the metadata of one message of a batch.
    pub fn read(_bytes: &'a [u8]) -> Result<Self, MetadataError> {
        unimplemented!()
    }

    /// User properties in wire order.
    pub fn properties(&self) -> Properties<'a> {
        unimplemented!()
    }
}

/// Pairs of key and value, in wire order. Were checked when the view was read.
#[derive(Clone, Debug)]
pub struct Properties<'a> {
    _rest: &'a [u8],
}

impl<'a> Iterator for Properties<'a> {
    type Item = (&'a str, &'a str);
    fn next(&mut self) -> Option<Self::Item> {
        unimplemented!()
    }
}
