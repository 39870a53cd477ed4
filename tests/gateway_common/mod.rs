//! What tests and the bench of a gateway over simulated links share: a broker that agrees to everything, and what it is sent.
#![allow(
    clippy::expect_used,
    unreachable_pub,
    reason = "a test fails by panicking; each program has its own copy"
)]

use pulsegate::wire::pulsar::{Command, frame, proto as p};

/// Each command of whole frames.
pub fn each_command(mut bytes: &[u8], mut act: impl FnMut(Command)) {
    while let Some(size) = frame::size(bytes, 64 << 20).expect("a sound frame") {
        act(frame::read(&bytes[..size]).expect("a sound frame").command);
        bytes = &bytes[size..];
    }
}

/// Appends the answer of a broker that agrees; nothing to what has no answer.
pub fn agree(command: &Command, said: &mut Vec<u8>) {
    let answer = match command {
        Command::Connect(_) => Command::Connected(p::CommandConnected {
            server_version: "model".into(),
            protocol_version: Some(19),
            ..Default::default()
        }),
        Command::PartitionedMetadata(ask) => {
            Command::PartitionedMetadataResponse(p::CommandPartitionedTopicMetadataResponse {
                partitions: Some(0),
                request_id: ask.request_id,
                response: Some(0),
                ..Default::default()
            })
        }
        Command::Lookup(ask) => Command::LookupResponse(p::CommandLookupTopicResponse {
            broker_service_url: Some("pulsar://10.0.0.1:6650".into()),
            response: Some(p::LookupTopicResponseLookupType::Connect as i32),
            request_id: ask.request_id,
            ..Default::default()
        }),
        Command::Producer(ask) => Command::ProducerSuccess(p::CommandProducerSuccess {
            request_id: ask.request_id,
            producer_name: "model-1".into(),
            ..Default::default()
        }),
        Command::Subscribe(ask) => {
            Command::Success(p::CommandSuccess { request_id: ask.request_id, schema: None })
        }
        _ => return,
    };
    frame::put(said, &answer);
}
