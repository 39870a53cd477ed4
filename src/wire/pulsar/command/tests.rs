use super::*;
use crate::wire::pulsar::broken;
use crate::wire::pulsar::proto::{KeyValue, MessageIdData, Schema};

/// All envelope numbers this version knows.
fn numbers() -> Vec<u32> {
    (0..100).filter(|&number| Command::is_known(number)).collect()
}

fn encoded(command: &Command) -> Vec<u8> {
    let mut out = Vec::new();
    command.encode(&mut out);
    assert_eq!(out.len(), command.encoded_size(), "{command:?}");
    out
}

fn decode(bytes: &[u8]) -> Command {
    Command::decode(bytes).unwrap_or_else(|error| panic!("{error}: {bytes:02x?}"))
}

/// Commands with fields that the golden frames leave out, or of types that they leave out.
fn samples() -> Vec<Command> {
    [schemas(), others()].concat()
}

fn schemas() -> Vec<Command> {
    let schema = Schema {
        name: "n".into(),
        schema_data: vec![1, 2],
        r#type: 4,
        properties: vec![KeyValue { key: "k".into(), value: "v".into() }],
    };
    vec![
        Command::GetSchema(proto::CommandGetSchema {
            request_id: 1,
            topic: "t".into(),
            schema_version: Some(vec![0; 200]),
        }),
        Command::GetSchemaResponse(proto::CommandGetSchemaResponse {
            request_id: 1,
            schema: Some(schema.clone()),
            ..Default::default()
        }),
        Command::GetOrCreateSchema(proto::CommandGetOrCreateSchema {
            request_id: 1,
            topic: "t".into(),
            schema: schema.clone(),
            producer_name: Some(String::new()),
        }),
        Command::GetOrCreateSchemaResponse(proto::CommandGetOrCreateSchemaResponse {
            request_id: 1,
            error_code: Some(18),
            error_message: Some("no".into()),
            schema_version: None,
        }),
        Command::Success(proto::CommandSuccess { request_id: 1, schema: Some(schema) }),
    ]
}

fn others() -> Vec<Command> {
    vec![
        Command::Send(proto::CommandSend {
            producer_id: 1,
            sequence_id: 2,
            num_messages: Some(-3),
            txnid_least_bits: Some(4),
            txnid_most_bits: Some(5),
            highest_sequence_id: Some(u64::MAX),
            is_chunk: Some(true),
            marker: Some(false),
            message_id: Some(MessageIdData {
                first_chunk_message_id: Some(Box::default()),
                ..Default::default()
            }),
        }),
        Command::Message(proto::CommandMessage {
            consumer_id: 300,
            message_id: MessageIdData { ledger_id: 7, entry_id: 1 << 40, ..Default::default() },
            redelivery_count: Some(u32::MAX),
            ack_set: vec![-1, 0, 1],
            consumer_epoch: Some(9),
        }),
        Command::ConsumerStats(proto::CommandConsumerStats { request_id: 1, consumer_id: 2 }),
        Command::ConsumerStatsResponse(proto::CommandConsumerStatsResponse {
            request_id: 1,
            error_code: Some(-1),
            error_message: Some("é".into()),
            msg_rate_out: Some(0.5),
            blocked_consumer_on_unacked_msgs: Some(true),
            msg_backlog: Some(1 << 63),
            ..Default::default()
        }),
        Command::GetTopicsOfNamespaceResponse(proto::CommandGetTopicsOfNamespaceResponse {
            request_id: 1,
            topics: vec!["a".into(), String::new(), "b".into()],
            filtered: Some(true),
            topics_hash: Some("c7559e98".into()),
            changed: Some(false),
        }),
        Command::TopicMigrated(proto::CommandTopicMigrated {
            resource_id: 1,
            resource_type: 1,
            broker_service_url: Some("pulsar://b".into()),
            broker_service_url_tls: None,
        }),
    ]
}

#[test]
fn every_type_round_trips() {
    let numbers = numbers();
    assert_eq!(numbers, (2..=40).chain([50, 52, 54, 56, 62, 64, 67, 68]).collect::<Vec<_>>());
    for number in numbers {
        let empty = Command::decode_body(number, &[]).unwrap();
        assert_eq!(empty.number(), number);
        assert_eq!(decode(&encoded(&empty)), empty);
    }
    for command in samples() {
        assert_eq!(decode(&encoded(&command)), command);
    }
}

#[test]
fn types_of_other_versions_are_unknown() {
    for number in [0, 1, 41, 51, 63, 66, 69, 81, 1000, u32::MAX] {
        let command = Command::Unknown(number);
        assert_eq!(command.number(), number);
        assert_eq!(decode(&encoded(&command)), command);
    }
    // With its message (field 70), before or after the type.
    assert_eq!(decode(&[0x08, 70, 0xb2, 0x04, 1, 0xff]), Command::Unknown(70));
    assert_eq!(decode(&[0xb2, 0x04, 1, 0xff, 0x08, 70]), Command::Unknown(70));
    // -1 as protobuf writes it.
    let minus_one = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(decode(&minus_one), Command::Unknown(u32::MAX));
}

#[test]
fn the_order_of_fields_does_not_matter() {
    let flow = Command::Flow(proto::CommandFlow { consumer_id: 1, message_permits: 2 });
    for bytes in [
        &[0x08, 11, 0x5a, 4, 0x08, 1, 0x10, 2][..],
        &[0x5a, 4, 0x10, 2, 0x08, 1, 0x08, 11],
        // A message of another type (PING), an unknown number, fixed bits.
        &[0x92, 0x01, 0, 0x08, 11, 0xfa, 0x3f, 0, 0x5a, 4, 0x08, 1, 0x10, 2, 0x95, 0x05, 1, 2, 3, 4],
        // The last of two types and messages counts.
        &[0x08, 18, 0x5a, 2, 0x08, 9, 0x08, 11, 0x5a, 4, 0x08, 1, 0x10, 2],
    ] {
        assert_eq!(decode(bytes), flow, "{bytes:02x?}");
    }
}

#[test]
fn incomplete_commands_are_refused() {
    for (bytes, says) in [
        (&[][..], "no type"),
        (&[0x92, 0x01, 0], "no type"),
        (&[0x08, 18], "type 18 without its message"),
        (&[0x08, 18, 0x9a, 0x01, 0], "type 18 without its message"),
        (&[0x08], "malformed field at byte 0"),
        (&[0x0a, 1, 18, 0x92, 0x01, 0], "malformed field at byte 0"),
        (&[0x08, 18, 0x90, 0x01, 0], "malformed field at byte 2"),
        (&[0x08, 18, 0x92, 0x01, 1], "malformed field at byte 2"),
        (&[0x08, 18, 0x93, 0x01, 0x94, 0x01], "malformed field at byte 2"),
        (&[0x08, 13, 0x6a, 1, 0x08], "message of type 13: "),
        (&[0x08, 14, 0x72, 3, 0x1a, 1, 0xff], "message of type 14: "),
    ] {
        let Err(CommandError::Unreadable { length, reason }) = Command::decode(bytes) else {
            panic!("{bytes:02x?} was read");
        };
        assert_eq!(length, bytes.len());
        assert!(reason.starts_with(says), "{bytes:02x?}: {reason}");
    }
}

/// Message ids nest (first chunk): a peer could nest them without end.
#[test]
fn nesting_is_bounded() {
    let mut id = Vec::new();
    for _ in 0..1_000 {
        let mut outer = vec![0x08, 1, 0x10, 2];
        outer.put_bytes(7, &id);
        id = outer;
    }
    let mut seek = vec![0x08, 1, 0x10, 1];
    seek.put_bytes(3, &id);
    let mut command = vec![0x08, 28];
    command.put_bytes(28, &seek);
    assert!(Command::decode(&command).is_err());
}

#[test]
fn broken_commands() {
    let samples = samples();
    let valid: Vec<Vec<u8>> = samples.iter().map(encoded).collect();
    let valid: Vec<&[u8]> = valid.iter().map(Vec::as_slice).collect();
    let mut read = 0;
    broken::inputs(0x5eed_0001, &valid, |bytes| {
        // What can be read means the same after writing. Bytes are compared, since a rate may be "not a
        // number".
        if let Ok(command) = Command::decode(bytes) {
            read += 1;
            let written = encoded(&command);
            assert_eq!(encoded(&decode(&written)), written);
        }
    });
    assert!(read > samples.len(), "some changes do no harm");
}
