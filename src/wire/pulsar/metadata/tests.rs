use prost::Message;

use super::*;
use crate::wire::pulsar::broken;
use crate::wire::pulsar::proto::{EncryptionKeys, KeyValue, MessageMetadata, SingleMessageMetadata};
use crate::wire::pulsar::protobuf::Sink;

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.into(), value: value.into() }
}

/// Every field that Pulsar has, those the view leaves out included.
fn message() -> MessageMetadata {
    MessageMetadata {
        producer_name: "prod".into(),
        sequence_id: 1 << 40,
        publish_time: 1_700_000_000_000,
        properties: vec![pair("a", "1"), pair("b", "é")],
        replicated_from: Some("west".into()),
        partition_key: Some("key".into()),
        replicate_to: vec!["east".into()],
        compression: Some(4),
        uncompressed_size: Some(99),
        num_messages_in_batch: Some(3),
        event_time: Some(u64::MAX),
        encryption_keys: vec![
            EncryptionKeys { key: "k".into(), value: vec![0, 0xff], metadata: vec![pair("m", "n")] },
            EncryptionKeys { key: "l".into(), value: vec![1], metadata: vec![] },
        ],
        encryption_algo: Some("gcm".into()),
        encryption_param: Some(vec![0xff; 12]),
        schema_version: Some(vec![0; 8]),
        partition_key_b64_encoded: Some(true),
        ordering_key: Some(vec![0xff]),
        deliver_at_time: Some(-1),
        marker_type: Some(10),
        txnid_least_bits: Some(1),
        txnid_most_bits: Some(2),
        highest_sequence_id: Some(5),
        null_value: Some(true),
        uuid: Some("prod-7".into()),
        num_chunks_from_msg: Some(4),
        total_chunk_msg_size: Some(4000),
        chunk_id: Some(-2),
        null_partition_key: Some(true),
        compacted_batch_indexes: vec![0, 2],
        schema_id: Some(vec![3]),
        entry_hash_min: Some(1),
        entry_hash_max: Some(2),
    }
}

fn single() -> SingleMessageMetadata {
    SingleMessageMetadata {
        properties: vec![pair("p", "1"), pair("", "")],
        partition_key: Some("x".into()),
        payload_size: 77,
        compacted_out: Some(true),
        event_time: Some(5),
        partition_key_b64_encoded: Some(true),
        ordering_key: Some(vec![1, 2]),
        sequence_id: Some(9),
        null_value: Some(true),
        null_partition_key: Some(true),
    }
}

#[test]
fn every_field_of_an_entry() {
    let bytes = message().encode_to_vec();
    let view = MetadataView::read(&bytes).unwrap();
    let expected = MetadataView {
        bytes: &bytes,
        producer_name: "prod",
        sequence_id: 1 << 40,
        publish_time: 1_700_000_000_000,
        has_properties: true,
        partition_key: Some("key"),
        compression: 4,
        uncompressed_size: 99,
        batch_size: Some(3),
        event_time: u64::MAX,
        encrypted: true,
        encryption_algo: Some("gcm"),
        encryption_param: Some(&[0xff; 12]),
        partition_key_b64_encoded: true,
        ordering_key: Some(&[0xff]),
        deliver_at_time: Some(-1),
        marker_type: Some(10),
        highest_sequence_id: Some(5),
        null_value: true,
        uuid: Some("prod-7"),
        chunks: 4,
        total_chunk_size: 4000,
        chunk_id: -2,
    };
    assert_eq!(view, expected);
    assert_eq!(view.properties().collect::<Vec<_>>(), [("a", "1"), ("b", "é")]);
    let keys = view.encryption_keys();
    assert_eq!(keys.len(), 2);
    assert_eq!((&keys[0].name[..], &keys[0].value[..]), ("k", &[0, 0xff][..]));
    assert_eq!(keys[0].metadata, [("m".to_owned(), "n".to_owned())]);
    assert_eq!((&keys[1].name[..], &keys[1].metadata[..]), ("l", &[][..]));
}

#[test]
fn every_field_of_a_message_in_a_batch() {
    let bytes = single().encode_to_vec();
    let view = SingleView::read(&bytes).unwrap();
    let expected = SingleView {
        bytes: &bytes,
        partition_key: Some("x"),
        payload_size: 77,
        compacted_out: true,
        event_time: 5,
        partition_key_b64_encoded: true,
        ordering_key: Some(&[1, 2]),
        sequence_id: Some(9),
        null_value: true,
    };
    assert_eq!(view, expected);
    assert_eq!(view.properties().collect::<Vec<_>>(), [("p", "1"), ("", "")]);
}

#[test]
fn absent_fields_have_their_defaults() {
    let bytes = MessageMetadata { producer_name: "p".into(), ..MessageMetadata::default() }.encode_to_vec();
    let view = MetadataView::read(&bytes).unwrap();
    assert_eq!(view, MetadataView { bytes: &bytes, producer_name: "p", ..MetadataView::default() });
    assert_eq!(view.properties().count(), 0);
    assert_eq!(view.encryption_keys(), []);
    assert_eq!(
        SingleView::read(&[0x18, 0]).unwrap(),
        SingleView { bytes: &[0x18, 0], ..SingleView::default() }
    );
}

#[test]
fn required_fields_are_required() {
    let mut bytes = Vec::new();
    bytes.put_bytes(1, b"p");
    bytes.put_varint(2, 1);
    assert_eq!(MetadataView::read(&bytes), Err(MetadataError { at: bytes.len() }));
    // Any order will do, and the last of two values counts.
    let bytes = [0x18, 3, 0x10, 2, 0x0a, 1, b'p', 0x18, 4];
    let view = MetadataView::read(&bytes).unwrap();
    assert_eq!((view.producer_name, view.sequence_id, view.publish_time), ("p", 2, 4));
    assert_eq!(SingleView::read(&[0x40, 1]), Err(MetadataError { at: 2 }));
}

/// A field behind the required ones, so that its offset is known.
fn with_field(write: impl FnOnce(&mut Vec<u8>)) -> (Vec<u8>, usize) {
    let mut bytes = vec![0x0a, 1, b'p', 0x10, 1, 0x18, 1];
    let at = bytes.len();
    write(&mut bytes);
    (bytes, at)
}

#[test]
fn strings_must_be_utf_8() {
    for number in [1, 6, 14, 26] {
        let (bytes, at) = with_field(|out| out.put_bytes(number, &[0xff]));
        assert_eq!(MetadataView::read(&bytes), Err(MetadataError { at }), "field {number}");
    }
    for nested in [&[0x0a, 1, 0xff][..], &[0x12, 1, 0xc3], &[0x0a, 2, b'a'], &[0x08, 1], &[0x0b]] {
        let (bytes, at) = with_field(|out| out.put_bytes(4, nested));
        assert_eq!(MetadataView::read(&bytes), Err(MetadataError { at }), "property {nested:02x?}");
        let (bytes, at) = with_field(|out| {
            out.put_head(13, nested.len() + 2);
            out.put_bytes(3, nested);
        });
        assert_eq!(MetadataView::read(&bytes), Err(MetadataError { at }), "encryption key {nested:02x?}");
    }
    // Bytes need not be.
    for number in [15, 18] {
        let (bytes, _) = with_field(|out| out.put_bytes(number, &[0xff]));
        assert!(MetadataView::read(&bytes).is_ok(), "field {number}");
    }
}

#[test]
fn wrong_wire_types_are_refused_and_unknown_fields_are_not() {
    for number in [1, 4, 6, 13, 14, 15, 18, 26] {
        let (bytes, at) = with_field(|out| out.put_varint(number, 0));
        assert_eq!(MetadataView::read(&bytes), Err(MetadataError { at }), "field {number}");
    }
    for number in [2, 3, 8, 9, 11, 12, 17, 19, 20, 25, 27, 28, 29] {
        let (bytes, at) = with_field(|out| out.put_bytes(number, b"1"));
        assert_eq!(MetadataView::read(&bytes), Err(MetadataError { at }), "field {number}");
    }
    for (bytes, at) in
        [with_field(|out| out.put_varint(1000, 0)), with_field(|out| out.put_bytes(1000, b"\xff"))]
    {
        assert_eq!(MetadataView::read(&bytes).unwrap().sequence_id, 1, "unknown at {at}");
    }
    let (bytes, _) = with_field(|out| out.extend_from_slice(&[0xad, 0x06, 1, 2, 3, 4]));
    assert_eq!(MetadataView::read(&bytes).unwrap().sequence_id, 1, "fixed bits");
    let (bytes, at) = with_field(|out| out.extend_from_slice(&[0xab, 0x06, 0xac, 0x06]));
    assert_eq!(MetadataView::read(&bytes), Err(MetadataError { at }), "a group");
}

#[test]
fn broken_metadata() {
    let bytes = message().encode_to_vec();
    let mut read = 0;
    broken::inputs(0x5eed_0004, &[&bytes], |bytes| match MetadataView::read(bytes) {
        Err(error) => assert!(error.at <= bytes.len()),
        Ok(view) => {
            read += 1;
            // What the view found sound, the iterators show in full, and the official schema reads alike.
            let message = MessageMetadata::decode(bytes);
            if let Ok(message) = message {
                assert_eq!(view.properties().count(), message.properties.len());
                assert_eq!(view.encryption_keys().len(), message.encryption_keys.len());
                assert_eq!(view.sequence_id, message.sequence_id);
                assert_eq!(view.batch_size, message.num_messages_in_batch);
                assert_eq!(view.uuid, message.uuid.as_deref());
            }
        }
    });
    assert!(read > 0, "some changes do no harm");
    let bytes = single().encode_to_vec();
    broken::inputs(0x5eed_0005, &[&bytes], |bytes| match SingleView::read(bytes) {
        Err(error) => assert!(error.at <= bytes.len()),
        Ok(view) => assert!(view.properties().count() <= bytes.len()),
    });
}
