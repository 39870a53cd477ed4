//! Reading `MessageMetadata` and `SingleMessageMetadata` as borrowed views: nothing is allocated on the way
//! to a consumer. The prost messages in `proto` stay for tools and tests.

use crate::wire::pulsar::entry::EncryptionKey;
use crate::wire::pulsar::protobuf::{Field, Fields, Malformed};

/// A metadata field is malformed or a required one missing: the entry cannot be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message metadata is malformed at byte {at}")]
pub struct MetadataError {
    /// Offset of the field, or of the end if a required field is missing.
    pub at: usize,
}

impl From<Malformed> for MetadataError {
    fn from(malformed: Malformed) -> Self {
        MetadataError { at: malformed.at }
    }
}

/// Outer metadata of an entry. Strings are checked to be UTF-8. Repeated fields stay serialised; see the
/// iterators.
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
    /// Field 4: at least one property is there.
    pub has_properties: bool,
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
    /// Field 24: the last sequence id of a batch.
    pub highest_sequence_id: Option<u64>,
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

/// Numbers of the required fields seen, as bits.
#[derive(Debug, Default)]
struct Seen(u32);

impl Seen {
    fn mark(&mut self, field: &Field<'_>) {
        // Required fields have small numbers; others need no bit.
        self.0 |= 1u32.checked_shl(field.number).unwrap_or(0);
    }

    fn require(&self, numbers: &[u32], message: &[u8]) -> Result<(), MetadataError> {
        let all = numbers.iter().all(|number| self.0 & 1 << number != 0);
        if all { Ok(()) } else { Err(MetadataError { at: message.len() }) }
    }
}

impl<'a> MetadataView<'a> {
    /// Number of the properties among the fields.
    const PROPERTIES: u32 = 4;

    /// Reads outer metadata. Unknown fields are skipped; last value of a repeated scalar wins. Producer name,
    /// sequence id and publish time are required.
    pub fn read(bytes: &'a [u8]) -> Result<Self, MetadataError> {
        let mut view = MetadataView { bytes, ..MetadataView::default() };
        let mut seen = Seen::default();
        for field in Fields::new(bytes) {
            let field = field?;
            seen.mark(&field);
            match field.number {
                1 => view.producer_name = field.str()?,
                2 => view.sequence_id = field.u64()?,
                3 => view.publish_time = field.u64()?,
                Self::PROPERTIES => {
                    read_pair(&field)?;
                    view.has_properties = true;
                }
                6 => view.partition_key = Some(field.str()?),
                8 => view.compression = field.i32()?,
                9 => view.uncompressed_size = field.u64()? as u32,
                11 => view.batch_size = Some(field.i32()?),
                12 => view.event_time = field.u64()?,
                ENCRYPTION_KEYS => {
                    read_encryption_key(&field)?;
                    view.encrypted = true;
                }
                14 => view.encryption_algo = Some(field.str()?),
                15 => view.encryption_param = Some(field.bytes()?),
                17 => view.partition_key_b64_encoded = field.bool()?,
                18 => view.ordering_key = Some(field.bytes()?),
                19 => view.deliver_at_time = Some(field.u64()? as i64),
                20 => view.marker_type = Some(field.i32()?),
                24 => view.highest_sequence_id = Some(field.u64()?),
                25 => view.null_value = field.bool()?,
                26 => view.uuid = Some(field.str()?),
                27 => view.chunks = field.i32()?,
                28 => view.total_chunk_size = field.i32()?,
                29 => view.chunk_id = field.i32()?,
                _ => {}
            }
        }
        seen.require(&[1, 2, 3], bytes)?;
        Ok(view)
    }

    /// User properties in wire order.
    pub fn properties(&self) -> Properties<'a> {
        let bytes = if self.has_properties { self.bytes } else { &[] };
        Properties { fields: Fields::new(bytes), number: Self::PROPERTIES }
    }

    /// Field 13 decoded; allocates, only for encrypted messages.
    pub fn encryption_keys(&self) -> Vec<EncryptionKey> {
        // They were checked when the view was read, so no error is left to flatten away.
        let fields = Fields::new(self.bytes).flatten().filter(|field| field.number == ENCRYPTION_KEYS);
        fields.flat_map(|field| read_encryption_key(&field)).map(EncryptionKeyView::into_key).collect()
    }
}

impl<'a> SingleView<'a> {
    /// Number of the properties among the fields.
    const PROPERTIES: u32 = 1;
    /// Number of `payload_size`.
    const PAYLOAD_SIZE: u32 = 3;

    /// Reads the metadata of one message of a batch. The payload size is required.
    pub fn read(bytes: &'a [u8]) -> Result<Self, MetadataError> {
        let mut view = SingleView { bytes, ..SingleView::default() };
        let mut seen = Seen::default();
        for field in Fields::new(bytes) {
            let field = field?;
            seen.mark(&field);
            match field.number {
                Self::PROPERTIES => {
                    read_pair(&field)?;
                }
                2 => view.partition_key = Some(field.str()?),
                Self::PAYLOAD_SIZE => view.payload_size = field.i32()?,
                4 => view.compacted_out = field.bool()?,
                5 => view.event_time = field.u64()?,
                6 => view.partition_key_b64_encoded = field.bool()?,
                7 => view.ordering_key = Some(field.bytes()?),
                8 => view.sequence_id = Some(field.u64()?),
                9 => view.null_value = field.bool()?,
                _ => {}
            }
        }
        seen.require(&[Self::PAYLOAD_SIZE], bytes)?;
        Ok(view)
    }

    /// User properties in wire order.
    pub fn properties(&self) -> Properties<'a> {
        Properties { fields: Fields::new(self.bytes), number: Self::PROPERTIES }
    }
}

/// Number of the encryption keys in `MessageMetadata`.
const ENCRYPTION_KEYS: u32 = 13;

/// Reads a `KeyValue`. A missing part reads as empty: nothing depends on it.
fn read_pair<'a>(field: &Field<'a>) -> Result<(&'a str, &'a str), Malformed> {
    let (mut key, mut value) = ("", "");
    // Offsets inside a nested message mean nothing to the caller: the error names the nested field as a
    // whole.
    let whole = |_: Malformed| field.malformed();
    for part in Fields::new(field.bytes()?) {
        let part = part.map_err(whole)?;
        match part.number {
            1 => key = part.str().map_err(whole)?,
            2 => value = part.str().map_err(whole)?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// A borrowed [`EncryptionKey`].
#[derive(Debug)]
struct EncryptionKeyView<'a> {
    name: &'a str,
    value: &'a [u8],
    metadata: Properties<'a>,
}

impl EncryptionKeyView<'_> {
    fn into_key(self) -> EncryptionKey {
        EncryptionKey {
            name: self.name.to_owned(),
            value: self.value.to_owned(),
            metadata: self.metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        }
    }
}

/// Reads an `EncryptionKeys` and checks the pairs in it.
fn read_encryption_key<'a>(field: &Field<'a>) -> Result<EncryptionKeyView<'a>, Malformed> {
    const METADATA: u32 = 3;
    let bytes = field.bytes()?;
    let whole = |_: Malformed| field.malformed();
    let metadata = Properties { fields: Fields::new(bytes), number: METADATA };
    let mut key = EncryptionKeyView { name: "", value: &[], metadata };
    for part in Fields::new(bytes) {
        let part = part.map_err(whole)?;
        match part.number {
            1 => key.name = part.str().map_err(whole)?,
            2 => key.value = part.bytes().map_err(whole)?,
            METADATA => {
                read_pair(&part).map_err(whole)?;
            }
            _ => {}
        }
    }
    Ok(key)
}

/// Pairs of key and value, in wire order. Were checked when the view was read.
#[derive(Clone, Debug)]
pub struct Properties<'a> {
    fields: Fields<'a>,
    number: u32,
}

impl<'a> Iterator for Properties<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.number;
        let field = self.fields.by_ref().flatten().find(|field| field.number == number)?;
        read_pair(&field).ok()
    }
}

#[cfg(test)]
mod tests;
