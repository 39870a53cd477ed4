//! A producer's request text (API 3.2).

use crate::wire::pulsar::proto::CompressionType;
use crate::wire::text::json::{JsonError, JsonReader};
use std::borrow::Cow;

/// One request, borrowed from the text. Members that this API parses and ignores (`sequenceId`, `disableReplication`,
/// the schema members) are checked to parse and not kept.
#[derive(Debug, Default, PartialEq)]
pub struct Request<'a> {
    /// Base64 of the message body, not yet decoded. `None`: missing or null.
    pub payload: Option<Cow<'a, str>>,
    /// User properties in order of first appearance, later duplicates winning; `None` as a value: JSON null.
    pub properties: Vec<(Cow<'a, str>, Option<Cow<'a, str>>)>,
    /// Echoed in the ack.
    pub context: Option<Cow<'a, str>>,
    /// Message key.
    pub key: Option<Cow<'a, str>>,
    /// Clusters to replicate to; `None` as an item: JSON null.
    pub replication_clusters: Vec<Option<Cow<'a, str>>>,
    /// Event time text, not yet parsed.
    pub event_time: Option<Cow<'a, str>>,
    /// Deliver at, milliseconds since the epoch; used if positive.
    pub deliver_at: i64,
    /// Deliver after, milliseconds; used if positive, wins over `deliver_at`.
    pub deliver_after_ms: i64,
    /// Base64 initialisation vector of a client-side encrypted message.
    pub encryption_param: Option<Cow<'a, str>>,
    /// Compression done by the client; unknown words read as `None`.
    pub compression: Option<CompressionType>,
    /// Size before compression by the client.
    pub uncompressed_size: Option<i32>,
}

impl JsonReader {
    /// Reads a request. The text may be changed in place. `Ok(None)`: the literal `null`.
    pub fn request<'a>(&'a mut self, _text: &'a mut [u8]) -> Result<Option<Request<'a>>, JsonError> {
        unimplemented!()
    }
}
