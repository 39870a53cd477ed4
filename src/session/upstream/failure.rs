//! What went wrong on the way to a broker, whose fault it was, and what follows: try again, give up, which HTTP status.

use crate::session::upstream::attach::Role;
use crate::wire::pulsar::proto::ServerError;

/// Who or what failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A broker answered with this error.
    Broker(ServerError),
    /// No connection could be made, or it was lost.
    Connection,
    /// No answer in time.
    Timeout,
    /// The request can never work (our client's fault): 400.
    Request,
}

/// One failure, with its text for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// Who or what.
    pub cause: Cause,
    /// Text; for broker errors the JSON object that clients of the original know (API 2.1).
    pub text: String,
}

impl Failure {
    /// An error answer of a broker; `number` is raw, an unknown one reads as `UnknownError`.
    pub fn broker(number: i32, message: &str, request_id: u64, remote: &str) -> Failure {
        let error = ServerError::from_wire(number).unwrap_or(ServerError::UnknownError);
        let mut text = Vec::from(&b"{\"errorMsg\":"[..]);
        crate::wire::text::reply::put_json_string(&mut text, plain_message(message));
        let mut text = String::from_utf8(text).unwrap_or_default();
        text.push_str(&format!(",\"reqId\":{request_id}, \"remote\":\"{remote}\"}}"));
        Failure { cause: Cause::Broker(error), text }
    }

    /// No connection to `remote`.
    pub fn connection(remote: &str, reason: &str) -> Failure {
        Failure { cause: Cause::Connection, text: format!("{reason}: {remote}") }
    }

    /// No answer in time.
    pub fn timeout(what: &str) -> Failure {
        Failure { cause: Cause::Timeout, text: format!("{what} was not answered in time") }
    }

    /// A request that cannot work.
    pub fn request(text: impl Into<String>) -> Failure {
        Failure { cause: Cause::Request, text: text.into() }
    }

    /// The HTTP status of an upgrade that failed for this reason. Source: API 2.1.
    pub fn status(&self) -> u16 {
        use ServerError as E;
        match self.cause {
            Cause::Request => 400,
            Cause::Timeout => 504,
            Cause::Connection => 500,
            Cause::Broker(error) => match error {
                E::AuthenticationError => 401,
                E::AuthorizationError => 403,
                E::TopicNotFound | E::SubscriptionNotFound => 404,
                E::ProducerBusy | E::ConsumerBusy | E::ProducerFenced | E::IncompatibleSchema => 409,
                E::ConsumerAssignError => 409,
                E::TooManyRequests => 429,
                E::ProducerBlockedQuotaExceededError | E::ProducerBlockedQuotaExceededException => 503,
                E::TopicTerminatedError => 503,
                E::InvalidTopicName => 400,
                _ if self.text.contains("Namespace not found") => 404,
                _ => 500,
            },
        }
    }

    /// True when an upgrade must not wait for another attempt. Source: protocol 14.2; quota errors too (API 2.1: answer
    /// at once).
    pub fn ends_opening(&self) -> bool {
        use ServerError as E;
        match self.cause {
            Cause::Request => true,
            Cause::Timeout | Cause::Connection => false,
            Cause::Broker(error) => match error {
                E::UnknownError | E::MetadataError => self.text.contains("Namespace not found"),
                E::PersistenceError | E::ServiceNotReady | E::TooManyRequests => false,
                _ => true,
            },
        }
    }

    /// True when an open session's producer or consumer cannot come back. Source: protocol 14.2.
    pub fn ends_attachment(&self, role: Role) -> bool {
        use ServerError as E;
        role == Role::Producer
            && matches!(self.cause, Cause::Broker(E::TopicTerminatedError | E::ProducerFenced))
    }

    /// The exception class the original names for it in `errorMsg` (API 3.3).
    pub fn exception(&self) -> &'static str {
        use ServerError as E;
        match self.cause {
            Cause::Timeout => "org.apache.pulsar.client.api.PulsarClientException$TimeoutException",
            Cause::Broker(E::TopicTerminatedError) => {
                "org.apache.pulsar.client.api.PulsarClientException$TopicTerminatedException"
            }
            Cause::Broker(E::ProducerFenced) => {
                "org.apache.pulsar.client.api.PulsarClientException$ProducerFencedException"
            }
            _ => "org.apache.pulsar.client.api.PulsarClientException",
        }
    }
}

/// Brokers put Java's exception class in front of some messages; clients of the original do not see it.
fn plain_message(message: &str) -> &str {
    let known = [
        "org.apache.pulsar.broker.service.BrokerServiceException",
        "java.util.concurrent.CompletionException",
    ];
    let mut rest = message;
    while known.iter().any(|class| rest.starts_with(class)) {
        match rest.split_once(": ") {
            Some((_, tail)) => rest = tail,
            None => break,
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_follow_the_table() {
        let status = |error: ServerError| Failure::broker(error as i32, "m", 1, "b:1").status();
        assert_eq!(status(ServerError::TopicNotFound), 404);
        assert_eq!(status(ServerError::ConsumerBusy), 409);
        assert_eq!(status(ServerError::TopicTerminatedError), 503);
        assert_eq!(status(ServerError::UnknownError), 500);
        assert_eq!(Failure::broker(1, "Namespace not found", 1, "b:1").status(), 404);
        assert_eq!(Failure::timeout("lookup").status(), 504);
        assert_eq!(Failure::connection("b:1", "Connection refused").status(), 500);
        assert_eq!(Failure::broker(99, "m", 1, "b:1").cause, Cause::Broker(ServerError::UnknownError));
    }

    #[test]
    fn java_classes_are_taken_off() {
        let class = "org.apache.pulsar.broker.service.BrokerServiceException$ConsumerBusyException";
        assert_eq!(
            plain_message(&format!("{class}: Exclusive consumer is already connected")),
            "Exclusive consumer is already connected"
        );
        assert_eq!(plain_message("Topic: x"), "Topic: x");
    }
}
