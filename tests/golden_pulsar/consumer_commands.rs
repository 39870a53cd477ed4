//! Frames without payload of consumers: protocol 18.4, and the general answers.

use pulsegate::wire::pulsar::Command;
use pulsegate::wire::pulsar::proto::{
    self, AckType, InitialPosition, KeySharedMode, MessageIdData, ServerError, SubscriptionType,
    ValidationError,
};

use crate::commands::{TOPIC, check, id, vector};

#[test]
fn subscribe_and_flow() {
    check(vec![
        vector(
            "V30 SUBSCRIBE, durable Shared, Earliest",
            "00000037000000330804222f0a1d70657273697374656e743a2f2f7075626c69632f64656661756c742f741201731801\
             2000280532016340016801",
            Command::Subscribe(proto::CommandSubscribe {
                topic: TOPIC.into(),
                subscription: "s".into(),
                sub_type: SubscriptionType::Shared as i32,
                consumer_id: 0,
                request_id: 5,
                consumer_name: Some("c".into()),
                durable: Some(true),
                initial_position: Some(InitialPosition::Earliest as i32),
                ..proto::CommandSubscribe::default()
            }),
        ),
        vector(
            "V31 SUBSCRIBE, reader from earliest",
            "0000005a00000056080422520a1d70657273697374656e743a2f2f7075626c69632f64656661756c742f741211726561\
             6465722d3031323334353637383918002001280640004a1608ffffffffffffffffff0110ffffffffffffffffff01",
            Command::Subscribe(proto::CommandSubscribe {
                topic: TOPIC.into(),
                subscription: "reader-0123456789".into(),
                sub_type: SubscriptionType::Exclusive as i32,
                consumer_id: 1,
                request_id: 6,
                durable: Some(false),
                start_message_id: Some(id(u64::MAX, u64::MAX)),
                ..proto::CommandSubscribe::default()
            }),
        ),
        vector(
            "V32 SUBSCRIBE, Key_Shared STICKY",
            "0000003d00000039080422350a1d70657273697374656e743a2f2f7075626c69632f64656661756c742f741201731803\
             200228078a010a08011a06080010ffff01",
            Command::Subscribe(proto::CommandSubscribe {
                topic: TOPIC.into(),
                subscription: "s".into(),
                sub_type: SubscriptionType::KeyShared as i32,
                consumer_id: 2,
                request_id: 7,
                key_shared_meta: Some(proto::KeySharedMeta {
                    key_shared_mode: KeySharedMode::Sticky as i32,
                    hash_ranges: vec![proto::IntRange { start: 0, end: 32767 }],
                    allow_out_of_order_delivery: None,
                }),
                ..proto::CommandSubscribe::default()
            }),
        ),
        vector(
            "V33 FLOW 1000",
            "0000000d00000009080b5a05080010e807",
            Command::Flow(proto::CommandFlow { consumer_id: 0, message_permits: 1000 }),
        ),
    ]);
}

#[test]
fn acknowledge() {
    check(vec![
        vector(
            "V37 ACK individual, two entries",
            "0000001800000014080a5210080010001a04080710001a0408071001",
            Command::Ack(proto::CommandAck {
                consumer_id: 0,
                ack_type: AckType::Individual as i32,
                message_id: vec![id(7, 0), id(7, 1)],
                ..proto::CommandAck::default()
            }),
        ),
        vector(
            "V38 ACK individual of batch index 1 out of 4",
            "0000001400000010080a520c080010001a0608071000280d",
            Command::Ack(proto::CommandAck {
                consumer_id: 0,
                ack_type: AckType::Individual as i32,
                message_id: vec![MessageIdData { ack_set: vec![13], ..id(7, 0) }],
                ..proto::CommandAck::default()
            }),
        ),
        vector(
            "V39 ACK cumulative with request_id",
            "0000001400000010080a520c080010011a0408071009400b",
            Command::Ack(proto::CommandAck {
                consumer_id: 0,
                ack_type: AckType::Cumulative as i32,
                message_id: vec![id(7, 9)],
                request_id: Some(11),
                ..proto::CommandAck::default()
            }),
        ),
        vector(
            "V40 ACK cumulative before entry 0",
            "0000001b00000017080a5213080110011a0d080710ffffffffffffffffff01",
            Command::Ack(proto::CommandAck {
                consumer_id: 1,
                ack_type: AckType::Cumulative as i32,
                message_id: vec![id(7, u64::MAX)],
                ..proto::CommandAck::default()
            }),
        ),
        vector(
            "V41 ACK with validation error",
            "0000001400000010080a520c080010001a04080710002002",
            Command::Ack(proto::CommandAck {
                consumer_id: 0,
                ack_type: AckType::Individual as i32,
                message_id: vec![id(7, 0)],
                validation_error: Some(ValidationError::ChecksumMismatch as i32),
                ..proto::CommandAck::default()
            }),
        ),
    ]);
}

#[test]
fn ack_response_and_redeliver() {
    check(vec![
        vector(
            "V42 ACK_RESPONSE",
            "0000000d000000090826b202040800300b",
            Command::AckResponse(proto::CommandAckResponse {
                consumer_id: 0,
                request_id: Some(11),
                ..proto::CommandAckResponse::default()
            }),
        ),
        vector(
            "V43 REDELIVER one entry",
            "000000110000000d0814a201080800120408071000",
            Command::Redeliver(proto::CommandRedeliverUnacknowledgedMessages {
                consumer_id: 0,
                message_ids: vec![id(7, 0)],
                ..proto::CommandRedeliverUnacknowledgedMessages::default()
            }),
        ),
        vector(
            "V44 REDELIVER all, epoch 1",
            "0000000d000000090814a2010408001801",
            Command::Redeliver(proto::CommandRedeliverUnacknowledgedMessages {
                consumer_id: 0,
                consumer_epoch: Some(1),
                ..proto::CommandRedeliverUnacknowledgedMessages::default()
            }),
        ),
    ]);
}

#[test]
fn seek_and_close() {
    check(vec![
        vector(
            "V45 SEEK by id",
            "000000130000000f081ce2010a0800100c1a0408071000",
            Command::Seek(proto::CommandSeek {
                consumer_id: 0,
                request_id: 12,
                message_id: Some(id(7, 0)),
                ..proto::CommandSeek::default()
            }),
        ),
        vector(
            "V46 SEEK by time",
            "0000001400000010081ce2010b0800100d2080d095ffbc31",
            Command::Seek(proto::CommandSeek {
                consumer_id: 0,
                request_id: 13,
                message_publish_time: Some(1_700_000_000_000),
                ..proto::CommandSeek::default()
            }),
        ),
        vector(
            "V47 UNSUBSCRIBE",
            "0000000c00000008080c62040800100e",
            Command::Unsubscribe(proto::CommandUnsubscribe {
                consumer_id: 0,
                request_id: 14,
                ..proto::CommandUnsubscribe::default()
            }),
        ),
        vector(
            "V48 CLOSE_CONSUMER from the broker",
            "0000001600000012081082010d080010ffffffffffffffffff01",
            Command::CloseConsumer(proto::CommandCloseConsumer {
                consumer_id: 0,
                request_id: u64::MAX,
                ..proto::CommandCloseConsumer::default()
            }),
        ),
    ]);
}

#[test]
fn last_id_and_notices() {
    check(vec![
        vector(
            "V49 GET_LAST_MESSAGE_ID",
            "0000000d00000009081dea01040800100f",
            Command::GetLastMessageId(proto::CommandGetLastMessageId { consumer_id: 0, request_id: 15 }),
        ),
        vector(
            "V50 GET_LAST_MESSAGE_ID_RESPONSE, last entry is a batch of 2",
            "0000002400000020081ef2011b0a110807100218ffffffffffffffffff012001100f1a0408071000",
            Command::GetLastMessageIdResponse(proto::CommandGetLastMessageIdResponse {
                last_message_id: MessageIdData { partition: Some(-1), batch_index: Some(1), ..id(7, 2) },
                request_id: 15,
                consumer_mark_delete_position: Some(id(7, 0)),
            }),
        ),
        vector(
            "V51 GET_LAST_MESSAGE_ID_RESPONSE, empty topic",
            "0000002e0000002a081ef201250a2108ffffffffffffffffff0110ffffffffffffffffff0118ffffffffffffffffff01\
             100f",
            Command::GetLastMessageIdResponse(proto::CommandGetLastMessageIdResponse {
                last_message_id: MessageIdData { partition: Some(-1), ..id(u64::MAX, u64::MAX) },
                request_id: 15,
                ..proto::CommandGetLastMessageIdResponse::default()
            }),
        ),
        vector(
            "V52 ACTIVE_CONSUMER_CHANGE",
            "0000000d00000009081ffa010408001001",
            Command::ActiveConsumerChange(proto::CommandActiveConsumerChange {
                consumer_id: 0,
                is_active: Some(true),
            }),
        ),
        vector(
            "V53 REACHED_END_OF_TOPIC",
            "0000000b00000007081bda01020800",
            Command::ReachedEndOfTopic(proto::CommandReachedEndOfTopic { consumer_id: 0 }),
        ),
        vector(
            "V54 SUCCESS",
            "0000000a00000006080d6a020805",
            Command::Success(proto::CommandSuccess { request_id: 5, ..proto::CommandSuccess::default() }),
        ),
        vector(
            "V55 ERROR",
            "000000120000000e080e720a080510051a0462757379",
            Command::Error(proto::CommandError {
                request_id: 5,
                error: ServerError::ConsumerBusy as i32,
                message: "busy".into(),
            }),
        ),
    ]);
}
