//! Frames without payload: protocol 18.1 to 18.3, and how they are checked. Each vector is decoded to a typed
//! command and that command encoded to the vector again: the vectors are in field-number order, and defaults
//! they spell out are spelt out here too.

use pulsegate::wire::pulsar::proto::{
    self, GetTopicsOfNamespaceMode, LookupTopicResponseLookupType, MessageIdData,
    PartitionedTopicMetadataResponseLookupType, ProducerAccessMode, ServerError,
};
use pulsegate::wire::pulsar::{Command, frame};

use crate::hex;

/// Name, frame in hexadecimal digits, meaning.
pub(crate) type Vector = (&'static str, &'static str, Command);

pub(crate) const TOPIC: &str = "persistent://public/default/t";

pub(crate) fn vector(name: &'static str, frame: &'static str, command: Command) -> Vector {
    (name, frame, command)
}

pub(crate) fn id(ledger_id: u64, entry_id: u64) -> MessageIdData {
    MessageIdData { ledger_id, entry_id, ..MessageIdData::default() }
}

fn flags_1_and_2() -> proto::FeatureFlags {
    proto::FeatureFlags {
        supports_auth_refresh: Some(true),
        supports_broker_entry_metadata: Some(true),
        ..proto::FeatureFlags::default()
    }
}

fn auth_data(method: &str, data: &[u8]) -> proto::AuthData {
    proto::AuthData { auth_method_name: Some(method.into()), auth_data: Some(data.to_vec()) }
}

pub(crate) fn check(vectors: Vec<Vector>) {
    for (name, text, command) in vectors {
        let bytes = hex(text);
        assert_eq!(frame::size(&bytes, bytes.len()), Ok(Some(bytes.len())), "{name}");
        let read = frame::read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(read.command, command, "{name}");
        assert!(read.rest.is_empty(), "{name}");
        let mut written = b"before".to_vec();
        frame::put(&mut written, &command);
        assert_eq!(written.split_off(6), bytes, "{name}");
    }
}

#[test]
fn handshake() {
    check(vec![
        vector(
            "V1 CONNECT, no authentication",
            "0000001a00000016080212120a08527573742d312e3020132a046e6f6e65",
            Command::Connect(proto::CommandConnect {
                client_version: "Rust-1.0".into(),
                protocol_version: Some(19),
                auth_method_name: Some("none".into()),
                ..proto::CommandConnect::default()
            }),
        ),
        vector(
            "V2 CONNECT with token, feature flags and proxy target",
            "0000003800000034080212300a08527573742d312e301a06746f6b2e656e20142a05746f6b656e320d62726f6b65722d\
             313a36363530520408011001",
            Command::Connect(proto::CommandConnect {
                client_version: "Rust-1.0".into(),
                auth_data: Some(b"tok.en".to_vec()),
                protocol_version: Some(20),
                auth_method_name: Some("token".into()),
                proxy_to_broker_url: Some("broker-1:6650".into()),
                feature_flags: Some(flags_1_and_2()),
                ..proto::CommandConnect::default()
            }),
        ),
        vector(
            "V3 CONNECT as sent by the Python client 3.13.0 (C++ 4.2.0)",
            "0000002900000025080212210a1150756c7361722d4350502d76342e322e3020142a046e6f6e65520408011001",
            Command::Connect(proto::CommandConnect {
                client_version: "Pulsar-CPP-v4.2.0".into(),
                protocol_version: Some(20),
                auth_method_name: Some("none".into()),
                feature_flags: Some(flags_1_and_2()),
                ..proto::CommandConnect::default()
            }),
        ),
        vector(
            "V4 CONNECTED",
            "000000270000002308031a1f0a1250756c73617220536572766572332e302e301013188080c00222022000",
            Command::Connected(proto::CommandConnected {
                server_version: "Pulsar Server3.0.0".into(),
                protocol_version: Some(19),
                max_message_size: Some(5_242_880),
                feature_flags: Some(proto::FeatureFlags {
                    supports_topic_watchers: Some(false),
                    ..Default::default()
                }),
            }),
        ),
    ]);
}

#[test]
fn keep_alive_and_refused_credentials() {
    check(vec![
        vector("V5 PING", "00000009000000050812920100", Command::Ping(proto::CommandPing {})),
        vector("V6 PONG", "000000090000000508139a0100", Command::Pong(proto::CommandPong {})),
        vector(
            "V7 AUTH_CHALLENGE (refresh)",
            "0000002e0000002a0824a202250a05332e302e30121a0a05746f6b656e121150756c7361724175746852656672657368\
             1813",
            Command::AuthChallenge(proto::CommandAuthChallenge {
                server_version: Some("3.0.0".into()),
                challenge: Some(auth_data("token", b"PulsarAuthRefresh")),
                protocol_version: Some(19),
            }),
        ),
        vector(
            "V8 AUTH_RESPONSE",
            "00000024000000200825aa021b0a08527573742d312e30120d0a05746f6b656e1204746f6b321813",
            Command::AuthResponse(proto::CommandAuthResponse {
                client_version: Some("Rust-1.0".into()),
                response: Some(auth_data("token", b"tok2")),
                protocol_version: Some(19),
            }),
        ),
        vector(
            "V9 ERROR answering CONNECT",
            "0000002d00000029080e722508ffffffffffffffffff0110031a164661696c656420746f2061757468656e7469636174\
             65",
            Command::Error(proto::CommandError {
                request_id: u64::MAX,
                error: ServerError::AuthenticationError as i32,
                message: "Failed to authenticate".into(),
            }),
        ),
    ]);
}

#[test]
fn partitions() {
    check(vec![
        vector(
            "V10 PARTITIONED_METADATA",
            "0000002a000000260815aa01210a1d70657273697374656e743a2f2f7075626c69632f64656661756c742f741001",
            Command::PartitionedMetadata(proto::CommandPartitionedTopicMetadata {
                topic: TOPIC.into(),
                request_id: 1,
                ..proto::CommandPartitionedTopicMetadata::default()
            }),
        ),
        vector(
            "V11 PARTITIONED_METADATA_RESPONSE, 3 partitions",
            "0000000f0000000b0816b20106080310011800",
            Command::PartitionedMetadataResponse(proto::CommandPartitionedTopicMetadataResponse {
                partitions: Some(3),
                request_id: 1,
                response: Some(PartitionedTopicMetadataResponseLookupType::Success as i32),
                ..proto::CommandPartitionedTopicMetadataResponse::default()
            }),
        ),
        vector(
            "V12 PARTITIONED_METADATA_RESPONSE, failed",
            "0000001a000000160816b201111001180120062a096e6f74207265616479",
            Command::PartitionedMetadataResponse(proto::CommandPartitionedTopicMetadataResponse {
                partitions: None,
                request_id: 1,
                response: Some(PartitionedTopicMetadataResponseLookupType::Failed as i32),
                error: Some(ServerError::ServiceNotReady as i32),
                message: Some("not ready".into()),
            }),
        ),
    ]);
}

#[test]
fn lookup_and_topics() {
    check(vec![
        vector(
            "V13 LOOKUP",
            "0000002c000000280817ba01230a1d70657273697374656e743a2f2f7075626c69632f64656661756c742f7410\
             021800",
            Command::Lookup(proto::CommandLookupTopic {
                topic: TOPIC.into(),
                request_id: 2,
                authoritative: Some(false),
                ..proto::CommandLookupTopic::default()
            }),
        ),
        vector(
            "V14 LOOKUP_RESPONSE Connect",
            "000000230000001f0818c2011a0a1070756c7361723a2f2f62313a363635301801200228014000",
            Command::LookupResponse(proto::CommandLookupTopicResponse {
                broker_service_url: Some("pulsar://b1:6650".into()),
                response: Some(LookupTopicResponseLookupType::Connect as i32),
                request_id: 2,
                authoritative: Some(true),
                proxy_through_service_url: Some(false),
                ..proto::CommandLookupTopicResponse::default()
            }),
        ),
        vector(
            "V15 LOOKUP_RESPONSE Redirect",
            "00000037000000330818c2012e0a1070756c7361723a2f2f62323a36363530121470756c7361722b73736c3a2f2f6232\
             3a36363531180020022801",
            Command::LookupResponse(proto::CommandLookupTopicResponse {
                broker_service_url: Some("pulsar://b2:6650".into()),
                broker_service_url_tls: Some("pulsar+ssl://b2:6651".into()),
                response: Some(LookupTopicResponseLookupType::Redirect as i32),
                request_id: 2,
                authoritative: Some(true),
                ..proto::CommandLookupTopicResponse::default()
            }),
        ),
        vector(
            "V16 GET_TOPICS_OF_NAMESPACE",
            "0000001d0000001908208202140803120e7075626c69632f64656661756c741800",
            Command::GetTopicsOfNamespace(proto::CommandGetTopicsOfNamespace {
                request_id: 3,
                namespace: "public/default".into(),
                mode: Some(GetTopicsOfNamespaceMode::Persistent as i32),
                ..proto::CommandGetTopicsOfNamespace::default()
            }),
        ),
    ]);
}

#[test]
fn creating_a_producer() {
    check(vec![
        vector(
            "V17 PRODUCER",
            "000000330000002f08052a2b0a1d70657273697374656e743a2f2f7075626c69632f64656661756c742f741000180428\
             00400048005000",
            Command::Producer(proto::CommandProducer {
                topic: TOPIC.into(),
                producer_id: 0,
                request_id: 4,
                encrypted: Some(false),
                epoch: Some(0),
                user_provided_producer_name: Some(false),
                producer_access_mode: Some(ProducerAccessMode::Shared as i32),
                ..proto::CommandProducer::default()
            }),
        ),
        vector(
            "V18 PRODUCER_SUCCESS",
            "0000001e0000001a08118a011508041202703118ffffffffffffffffff0122003001",
            Command::ProducerSuccess(proto::CommandProducerSuccess {
                request_id: 4,
                producer_name: "p1".into(),
                last_sequence_id: Some(-1),
                schema_version: Some(Vec::new()),
                topic_epoch: None,
                producer_ready: Some(true),
            }),
        ),
    ]);
}

#[test]
fn receipts_and_closing() {
    check(vec![
        vector(
            "V25 SEND_RECEIPT",
            "000000140000001008073a0c080010021a04080710022003",
            Command::SendReceipt(proto::CommandSendReceipt {
                producer_id: 0,
                sequence_id: 2,
                message_id: Some(id(7, 2)),
                highest_sequence_id: Some(3),
            }),
        ),
        vector(
            "V26 SEND_RECEIPT for a duplicate",
            "000000260000002208073a1e080010021a1608ffffffffffffffffff0110ffffffffffffffffff012003",
            Command::SendReceipt(proto::CommandSendReceipt {
                producer_id: 0,
                sequence_id: 2,
                message_id: Some(id(u64::MAX, u64::MAX)),
                highest_sequence_id: Some(3),
            }),
        ),
        vector(
            "V27 SEND_ERROR",
            "000000110000000d08084209080010051802220178",
            Command::SendError(proto::CommandSendError {
                producer_id: 0,
                sequence_id: 5,
                error: ServerError::PersistenceError as i32,
                message: "x".into(),
            }),
        ),
        vector(
            "V28 CLOSE_PRODUCER from the client",
            "0000000c00000008080f7a0408001009",
            Command::CloseProducer(proto::CommandCloseProducer {
                producer_id: 0,
                request_id: 9,
                ..proto::CommandCloseProducer::default()
            }),
        ),
        vector(
            "V29 CLOSE_PRODUCER from the broker with assigned URL",
            "0000002700000023080f7a1f080010ffffffffffffffffff011a1070756c7361723a2f2f62323a36363530",
            Command::CloseProducer(proto::CommandCloseProducer {
                producer_id: 0,
                request_id: u64::MAX,
                assigned_broker_service_url: Some("pulsar://b2:6650".into()),
                ..proto::CommandCloseProducer::default()
            }),
        ),
    ]);
}
