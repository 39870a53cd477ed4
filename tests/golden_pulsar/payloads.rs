//! Frames with payload: SEND (protocol 18.3, V19 to V24) and MESSAGE (protocol 18.4, V34 to V36).

use std::convert::Infallible;

use prost::Message;
use pulsegate::wire::pulsar::batch::{self, Messages, Single};
use pulsegate::wire::pulsar::entry::{self, EntryMetadata};
use pulsegate::wire::pulsar::frame::{self, Checksum};
use pulsegate::wire::pulsar::metadata::MetadataView;
use pulsegate::wire::pulsar::proto::{
    BrokerEntryMetadata, CommandMessage, CommandSend, CompressionType, KeyValue, MessageIdData,
    MessageMetadata,
};
use pulsegate::wire::pulsar::{Command, compression};

use crate::hex;

const PUBLISH_TIME: u64 = 1_700_000_000_000;
const V19: &str = "000000280000000808063204080010000e0109290a040000000d0a02703110001880d095ffbc3168656c6c6f";
const V20: &str = "0000003c0000000808063204080010010e01f86eb9f8000000200a02703110011880d095ffbc3122060a016112\
                   016232026b31607b9201026f6b68656c6c6f32";
const V21: &str = "0000004e0000000c0806320808001002180230030e01c8cf1f1a000000150a02703110021880d095ffbc313201\
                   785802c00103000000071201781802400262300000000c0a060a0170120131180240036231";
const V22: &str = "000000490000000a080632060800100218020e015b252798000000120a02703110021880d095ffbc3132017858\
                   02000000071201781802400262300000000c0a060a0170120131180240036231";
const V23: &str = "000000590000000c0806320808001002180230030e01e3857ad8000000190a02703110021880d095ffbc313201\
                   784002481f5802c00103789c636060601762ac906072604a32606060e0e162e3622c106234048a30271902002c\
                   f5034c";
const V24: &str = "0000003a0000000a080632060800100738010e0158f313030000001d0a02703110071880d095ffbc31d2010470\
                   312d37d80102e0010ae801003031323334";
const V34: &str = "000000370000001708094a130800120f0807100018ffffffffffffffffff010e0109290a040000000d0a027031\
                   10001880d095ffbc3168656c6c6f";
const V35: &str = "0000003f0000001008094a0c0800120608071000180118020e020000000908fbd095ffbc3110640e0109290a04\
                   0000000d0a02703110001880d095ffbc3168656c6c6f";
const V36: &str = "000000580000001908094a150800120f0807100218ffffffffffffffffff0120020e015b252798000000120a02\
                   703110021880d095ffbc313201785802000000071201781802400262300000000c0a060a017012013118024003\
                   6231";
/// The payload of V21, V22 and V36.
const BATCH: &str = "000000071201781802400262300000000c0a060a0170120131180240036231";

/// What `Command::Send` says without the given differences.
fn send(sequence_id: u64) -> CommandSend {
    CommandSend { producer_id: 0, sequence_id, ..CommandSend::default() }
}

fn metadata(sequence_id: u64) -> MessageMetadata {
    MessageMetadata {
        producer_name: "p1".into(),
        sequence_id,
        publish_time: PUBLISH_TIME,
        ..MessageMetadata::default()
    }
}

/// Reads a whole vector and compares command, metadata and payload.
fn check_read(vector: &str, command: &Command, metadata: &MessageMetadata, body: &[u8]) {
    let bytes = hex(vector);
    let read = frame::read(&bytes).expect("readable");
    assert_eq!(read.command, *command);
    let payload = frame::payload(read.rest).expect("readable");
    assert_eq!(payload.checksum, Checksum::Good);
    assert_eq!(MessageMetadata::decode(payload.metadata), Ok(metadata.clone()));
    check_view(payload.metadata, metadata);
    assert_eq!(payload.body, body);
    let mut written = Vec::new();
    frame::put_with_entry(&mut written, command, read.rest);
    assert_eq!(written, bytes);
}

/// The borrowed view says the same as the generated message.
fn check_view(bytes: &[u8], metadata: &MessageMetadata) {
    let view = MetadataView::read(bytes).expect("readable");
    assert_eq!(view.producer_name, metadata.producer_name);
    assert_eq!(view.sequence_id, metadata.sequence_id);
    assert_eq!(view.publish_time, metadata.publish_time);
    assert_eq!(view.partition_key, metadata.partition_key.as_deref());
    assert_eq!(view.ordering_key, metadata.ordering_key.as_deref());
    assert_eq!(view.compression, metadata.compression.unwrap_or(0));
    assert_eq!(view.uncompressed_size, metadata.uncompressed_size.unwrap_or(0));
    assert_eq!(view.batch_size, metadata.num_messages_in_batch);
    assert_eq!(view.event_time, metadata.event_time.unwrap_or(0));
    assert_eq!(view.uuid, metadata.uuid.as_deref());
    assert_eq!(view.chunks, metadata.num_chunks_from_msg.unwrap_or(0));
    assert_eq!(view.total_chunk_size, metadata.total_chunk_msg_size.unwrap_or(0));
    assert_eq!(view.chunk_id, metadata.chunk_id.unwrap_or(0));
    let pairs: Vec<_> = metadata.properties.iter().map(|pair| (&pair.key[..], &pair.value[..])).collect();
    assert_eq!(view.properties().collect::<Vec<_>>(), pairs);
}

/// Writes the entry as a producer does.
fn entry_of(metadata: &EntryMetadata<'_>, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let Ok(()) = entry::put(&mut out, metadata, |out| {
        out.extend_from_slice(body);
        Ok::<_, Infallible>(())
    });
    out
}

#[test]
fn v19_one_plain_message() {
    check_read(V19, &Command::Send(send(0)), &metadata(0), b"hello");
    let metadata =
        EntryMetadata { producer_name: "p1", publish_time: PUBLISH_TIME, ..EntryMetadata::default() };
    let mut written = Vec::new();
    frame::put_send(&mut written, 0, 0, None, 1, &entry_of(&metadata, b"hello"));
    assert_eq!(written, hex(V19));
}

#[test]
fn v20_keys_property_and_event_time() {
    let metadata = MessageMetadata {
        properties: vec![KeyValue { key: "a".into(), value: "b".into() }],
        partition_key: Some("k1".into()),
        event_time: Some(123),
        ordering_key: Some(b"ok".to_vec()),
        ..metadata(1)
    };
    check_read(V20, &Command::Send(send(1)), &metadata, b"hello2");
}

#[test]
fn v21_v22_batches_in_both_styles() {
    for (vector, highest) in [(V21, Some(3)), (V22, None)] {
        let send = CommandSend { num_messages: Some(2), highest_sequence_id: highest, ..send(2) };
        let metadata = MessageMetadata {
            partition_key: Some("x".into()),
            num_messages_in_batch: Some(2),
            highest_sequence_id: highest,
            ..metadata(2)
        };
        check_read(vector, &Command::Send(send), &metadata, &hex(BATCH));
        let metadata = EntryMetadata {
            producer_name: "p1",
            sequence_id: 2,
            publish_time: PUBLISH_TIME,
            partition_key: Some("x"),
            batch_size: Some(2),
            highest_sequence_id: highest,
            ..EntryMetadata::default()
        };
        let mut written = Vec::new();
        frame::put_send(&mut written, 0, 2, highest, 2, &entry_of(&metadata, &hex(BATCH)));
        assert_eq!(written, hex(vector));
    }
}

#[test]
fn the_batch_payload() {
    let mut written = Vec::new();
    let first = Single { partition_key: Some("x"), sequence_id: 2, ..Single::default() };
    let second = Single { properties: &[("p", "1")], sequence_id: 3, ..Single::default() };
    for (single, body) in [(first, b"b0"), (second, b"b1")] {
        let Ok(()) = batch::put(&mut written, &single, |out| {
            out.extend_from_slice(body);
            Ok::<_, Infallible>(())
        });
    }
    assert_eq!(written, hex(BATCH));
    let read = Messages::new(&written, 2).collect::<Result<Vec<_>, _>>().expect("readable");
    let [(first, b0), (second, b1)] = read[..] else { panic!("two messages, not {}", read.len()) };
    assert_eq!((first.partition_key, first.sequence_id, b0), (Some("x"), Some(2), &b"b0"[..]));
    assert_eq!((second.partition_key, second.sequence_id, b1), (None, Some(3), &b"b1"[..]));
    assert_eq!(first.properties().count(), 0);
    assert_eq!(second.properties().collect::<Vec<_>>(), [("p", "1")]);
}

#[test]
fn v23_compressed_batch() {
    let send = CommandSend { num_messages: Some(2), highest_sequence_id: Some(3), ..send(2) };
    let metadata = MessageMetadata {
        partition_key: Some("x".into()),
        compression: Some(CompressionType::Zlib as i32),
        uncompressed_size: Some(31),
        num_messages_in_batch: Some(2),
        highest_sequence_id: Some(3),
        ..metadata(2)
    };
    let bytes = hex(V23);
    let body = &bytes[bytes.len() - 38..];
    check_read(V23, &Command::Send(send), &metadata, body);
    let mut plain = Vec::new();
    compression::decompress(2, body, 31, 31, &mut plain).expect("readable");
    assert_eq!(plain, hex(BATCH));
}

#[test]
fn v24_first_of_two_chunks() {
    let send = CommandSend { is_chunk: Some(true), ..send(7) };
    let metadata = MessageMetadata {
        uuid: Some("p1-7".into()),
        num_chunks_from_msg: Some(2),
        total_chunk_msg_size: Some(10),
        chunk_id: Some(0),
        ..metadata(7)
    };
    check_read(V24, &Command::Send(send), &metadata, b"01234");
}

#[test]
fn v34_v35_delivered() {
    let id = MessageIdData { ledger_id: 7, partition: Some(-1), ..MessageIdData::default() };
    let message = CommandMessage { message_id: id.clone(), ..CommandMessage::default() };
    check_read(V34, &Command::Message(message), &metadata(0), b"hello");

    let message = CommandMessage {
        message_id: MessageIdData { partition: Some(1), ..id },
        redelivery_count: Some(2),
        ..CommandMessage::default()
    };
    check_read(V35, &Command::Message(message), &metadata(0), b"hello");
    let bytes = hex(V35);
    let payload = frame::payload(frame::read(&bytes).expect("readable").rest).expect("readable");
    let broker_entry = payload.broker_entry.expect("the block is there");
    let expected = BrokerEntryMetadata { broker_timestamp: Some(1_700_000_000_123), index: Some(100) };
    assert_eq!(BrokerEntryMetadata::decode(broker_entry), Ok(expected));
}

#[test]
fn v36_delivered_with_ack_set() {
    let message = CommandMessage {
        message_id: MessageIdData {
            ledger_id: 7,
            entry_id: 2,
            partition: Some(-1),
            ..MessageIdData::default()
        },
        ack_set: vec![0b10],
        ..CommandMessage::default()
    };
    let metadata =
        MessageMetadata { partition_key: Some("x".into()), num_messages_in_batch: Some(2), ..metadata(2) };
    check_read(V36, &Command::Message(message), &metadata, &hex(BATCH));
}
