//! What a client is told when its command is not carried out: codes and texts as a 4.0.7 broker gives them (observed), so that
//! applications which look at them see no difference.

use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto as p;
use crate::wire::pulsar::proto::ServerError;
use crate::wire::route::TopicName;

/// What transactions are answered with (broker 10.1).
const NO_TRANSACTIONS: &str = "Transactions are not enabled.";

/// A topic's full name. `Err`: the text of `InvalidTopicName` (broker 2.1).
pub fn topic_name(text: &str) -> Result<TopicName, String> {
    if let Some((domain, _)) = text.split_once("://")
        && domain != "persistent"
        && domain != "non-persistent"
    {
        return Err(format!("Invalid topic name: Invalid topic domain: '{}'", clip(domain)));
    }
    if !text.contains("://") && !matches!(text.matches('/').count(), 0 | 2) {
        return Err(format!(
            "Invalid topic name: Invalid short topic name '{}', it should be in the format of \
             <tenant>/<namespace>/<topic> or <topic>",
            clip(text)
        ));
    }
    TopicName::parse(text).map_err(|error| error.to_string())
}

/// The beginning of a text that came from a peer, for a message.
fn clip(text: &str) -> &str {
    /// Enough to recognise it, bytes.
    const SHOWN: usize = 256;
    let end = (0..=SHOWN.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// The generic refusal.
pub fn error(request_id: u64, code: ServerError, text: impl Into<String>) -> Command {
    Command::Error(p::CommandError { request_id, error: code as i32, message: text.into() })
}

/// The generic positive answer.
pub(super) fn success(request_id: u64) -> Command {
    Command::Success(p::CommandSuccess { request_id, schema: None })
}

pub(super) fn consumer_not_found(request_id: u64) -> Command {
    error(request_id, ServerError::MetadataError, "Consumer not found")
}

pub(super) fn transactions(request_id: u64) -> Command {
    error(request_id, ServerError::NotAllowedError, NO_TRANSACTIONS)
}

/// Real: closes the connection. A consumer that just went is no reason for that.
pub(super) fn no_statistics(request_id: u64) -> Command {
    Command::ConsumerStatsResponse(p::CommandConsumerStatsResponse {
        request_id,
        error_code: Some(ServerError::ConsumerNotFound as i32),
        error_message: Some("Consumer not found".to_owned()),
        ..Default::default()
    })
}

pub(super) fn send_in_transaction(send: &p::CommandSend) -> Command {
    Command::SendError(p::CommandSendError {
        producer_id: send.producer_id,
        sequence_id: send.sequence_id.max(send.highest_sequence_id.unwrap_or(0)),
        error: ServerError::NotAllowedError as i32,
        message: NO_TRANSACTIONS.to_owned(),
    })
}

pub(super) fn ack_in_transaction(ack: &p::CommandAck) -> Option<Command> {
    let request_id = Some(ack.request_id?);
    Some(Command::AckResponse(p::CommandAckResponse {
        consumer_id: ack.consumer_id,
        request_id,
        error: Some(ServerError::NotAllowedError as i32),
        message: Some(NO_TRANSACTIONS.to_owned()),
        ..Default::default()
    }))
}

/// A LOOKUP that failed.
pub fn lookup(request_id: u64, code: ServerError, text: impl Into<String>) -> Command {
    Command::LookupResponse(p::CommandLookupTopicResponse {
        request_id,
        response: Some(p::LookupTopicResponseLookupType::Failed as i32),
        error: Some(code as i32),
        message: Some(text.into()),
        ..Default::default()
    })
}

/// PARTITIONED_METADATA that failed.
pub fn partitions(request_id: u64, code: ServerError, text: impl Into<String>) -> Command {
    Command::PartitionedMetadataResponse(p::CommandPartitionedTopicMetadataResponse {
        request_id,
        response: Some(p::PartitionedTopicMetadataResponseLookupType::Failed as i32),
        error: Some(code as i32),
        message: Some(text.into()),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_or_refused_in_the_words_observed() {
        let name = |text: &str| topic_name(text).map(|name| name.to_string());
        assert_eq!(name("t"), Ok("persistent://public/default/t".to_owned()));
        assert_eq!(name("x://a/b/c"), Err("Invalid topic name: Invalid topic domain: 'x'".to_owned()));
        let short = "Invalid topic name: Invalid short topic name 'a/b', it should be in the format of \
                     <tenant>/<namespace>/<topic> or <topic>";
        assert_eq!(name("a/b"), Err(short.to_owned()));
        let older = "persistent://public/cluster/default/x/y";
        assert_eq!(name(older), Ok(older.to_owned()), "the older form with a cluster");
        assert!(name(&"é/".repeat(1000)).is_err_and(|text| text.len() < 600));
    }
}
