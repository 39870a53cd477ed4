use prost::Message;

use super::*;
use crate::wire::pulsar::frame::{Checksum, payload};
use crate::wire::pulsar::metadata::MetadataView;
use crate::wire::pulsar::proto::{EncryptionKeys, KeyValue, MessageMetadata};

fn keys() -> Vec<EncryptionKey> {
    vec![
        EncryptionKey {
            name: "k1".into(),
            value: vec![7; 256],
            metadata: vec![("a".into(), "1".into()), ("".into(), "".into())],
        },
        EncryptionKey { name: "k2".into(), value: Vec::new(), metadata: Vec::new() },
    ]
}

/// Every field, with values at their limits.
fn full(encryption_keys: &[EncryptionKey]) -> EntryMetadata<'_> {
    EntryMetadata {
        producer_name: "standalone-1-2",
        sequence_id: u64::MAX,
        publish_time: 1_700_000_000_000,
        properties: &[("a", "b"), ("", ""), ("a", "é日😀")],
        partition_key: Some(""),
        partition_key_b64_encoded: Some(false),
        replicate_to: &["east", "west"],
        compression: Some(CompressionType::Zstd),
        uncompressed_size: u32::MAX,
        batch_size: Some(1),
        event_time: Some(-1i64 as u64),
        encryption_keys,
        encryption_param: Some(&[1; 12]),
        deliver_at: Some(-5),
        highest_sequence_id: Some(0),
    }
}

/// The same by the schema.
fn full_message() -> MessageMetadata {
    let pair = |key: &str, value: &str| KeyValue { key: key.into(), value: value.into() };
    MessageMetadata {
        producer_name: "standalone-1-2".into(),
        sequence_id: u64::MAX,
        publish_time: 1_700_000_000_000,
        properties: vec![pair("a", "b"), pair("", ""), pair("a", "é日😀")],
        partition_key: Some(String::new()),
        partition_key_b64_encoded: Some(false),
        replicate_to: vec!["east".into(), "west".into()],
        compression: Some(3),
        uncompressed_size: Some(u32::MAX),
        num_messages_in_batch: Some(1),
        event_time: Some(u64::MAX),
        encryption_keys: vec![
            EncryptionKeys {
                key: "k1".into(),
                value: vec![7; 256],
                metadata: vec![pair("a", "1"), pair("", "")],
            },
            EncryptionKeys { key: "k2".into(), value: Vec::new(), metadata: Vec::new() },
        ],
        encryption_param: Some(vec![1; 12]),
        deliver_at_time: Some(-5),
        highest_sequence_id: Some(0),
        ..MessageMetadata::default()
    }
}

#[test]
fn all_fields_by_hand_are_all_fields_by_the_schema() {
    let keys = keys();
    let metadata = full(&keys);
    let mut out = b"before".to_vec();
    let done: Result<u8, ()> = put(&mut out, &metadata, |out| {
        out.extend_from_slice(b"body");
        Ok(9)
    });
    assert_eq!(done, Ok(9), "what the body returned");
    assert_eq!(out[..6], *b"before");
    let read = payload(&out[6..]).unwrap();
    assert_eq!((read.checksum, read.body), (Checksum::Good, &b"body"[..]));
    assert_eq!(read.metadata, full_message().encode_to_vec());
    assert_eq!(metadata_size(&metadata), read.metadata.len());
    let view = MetadataView::read(read.metadata).unwrap();
    assert_eq!(view.encryption_keys(), keys);
    assert!(view.properties().eq(metadata.properties.iter().copied()));
}

#[test]
fn absent_parts_are_not_written() {
    let metadata = EntryMetadata { producer_name: "p", ..EntryMetadata::default() };
    assert_eq!(
        metadata_size(&metadata),
        MessageMetadata { producer_name: "p".into(), ..Default::default() }.encoded_len()
    );
    let uncompressed = EntryMetadata { compression: Some(CompressionType::None), ..metadata };
    assert_eq!(metadata_size(&uncompressed), metadata_size(&metadata));
}

#[test]
fn an_empty_payload_is_an_entry() {
    let mut out = Vec::new();
    let metadata = EntryMetadata { producer_name: "p", ..EntryMetadata::default() };
    put(&mut out, &metadata, |_| Ok::<_, ()>(())).unwrap();
    let read = payload(&out).unwrap();
    assert_eq!((read.checksum, read.body), (Checksum::Good, &b""[..]));
}

#[test]
fn a_failing_body_leaves_nothing() {
    let mut out = b"before".to_vec();
    let failed: Result<(), &str> = put(&mut out, &full(&[]), |out| {
        out.extend_from_slice(&[1; 10_000]);
        Err("no base64")
    });
    assert_eq!(failed, Err("no base64"));
    assert_eq!(out, b"before");
}
