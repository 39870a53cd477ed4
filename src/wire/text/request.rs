//! A producer's request text (API 3.2).

use crate::wire::pulsar::proto::CompressionType;
use crate::wire::text::coerce::{self, Strings};
use crate::wire::text::json::{JsonError, JsonReader, Shape, Source, Value};
use std::borrow::Cow;

/// One request, borrowed from the text. Members that this API parses and ignores (`sequenceId`,
/// `disableReplication`, the schema members) are checked to parse and not kept.
#[derive(Debug, Default, PartialEq)]
pub struct Request<'a> {
    /// Base64 of the message body, not yet decoded, and not looked at otherwise. `None`: missing or null.
    pub payload: Option<Cow<'a, [u8]>>,
    /// User properties in order of first appearance, later duplicates winning; `None` as a value: JSON null.
    pub properties: Strings<'a>,
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
    /// Reads a request. `Ok(None)`: the literal `null`. Its payload may hold anything but quotes and backslashes; if that turns
    /// out to be no base64, [`JsonReader::request_fault`] has to be asked what is wrong with the text.
    pub fn request<'a>(&'a mut self, text: &'a [u8]) -> Result<Option<Request<'a>>, JsonError> {
        self.read(text)
    }

    /// Why a text is no JSON, if the one thing that is wrong with it is in its payload.
    pub fn request_fault(&mut self, text: &[u8]) -> Option<JsonError> {
        self.read_anew::<Option<Request<'_>>>(text).err()
    }
}

impl<'a> Shape<'a> for Option<Request<'a>> {
    fn read<S: Source<'a>>(source: &mut S) -> Result<Self, S::Error> {
        const CLASS: &str = "org.apache.pulsar.websocket.data.ProducerMessage";
        match source.value()? {
            Value::Object => {}
            Value::Null => return Ok(None),
            other => return Err(source.refuse(|| coerce::not_a_container(CLASS, &other))),
        }
        let mut request = Request::default();
        while let Some(name) = source.name()? {
            match &*name {
                "payload" => request.payload = coerce::base64(source)?,
                "properties" => request.properties = coerce::strings(source)?.unwrap_or_default(),
                "context" => request.context = coerce::string(source)?,
                "key" => request.key = coerce::string(source)?,
                "replicationClusters" => request.replication_clusters = clusters(source)?,
                "eventTime" => request.event_time = coerce::string(source)?,
                "deliverAt" => request.deliver_at = coerce::long(source)?,
                "deliverAfterMs" => request.deliver_after_ms = coerce::long(source)?,
                "encryptionParam" => request.encryption_param = coerce::string(source)?,
                "compressionType" => request.compression = coerce::compression(source)?,
                "uncompressedMessageSize" => request.uncompressed_size = coerce::int(source)?,
                "sequenceId" | "schemaVersion" => drop(coerce::long(source)?),
                "disableReplication" => drop(coerce::boolean(source)?),
                "keySchema" | "valueSchema" => drop(coerce::string(source)?),
                _ => source.skip()?,
            }
        }
        Ok(Some(request))
    }
}

fn clusters<'a, S: Source<'a>>(source: &mut S) -> Result<Vec<Option<Cow<'a, str>>>, S::Error> {
    match source.value()? {
        Value::Array => {}
        Value::Null => return Ok(Vec::new()),
        other => return Err(source.refuse(|| coerce::not_a_container("java.util.ArrayList", &other))),
    }
    let mut names = Vec::new();
    while source.item()? {
        names.push(coerce::string(source)?);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the decoder of its base64 would refuse as well is left to it; then the text is looked at once more.
    #[test]
    fn a_payload_is_looked_at_when_it_is_no_base64() {
        let mut reader = JsonReader::default();
        for payload in ["a\n", "\u{1}", "AAAA\u{1f}"] {
            let text = format!(r#"{{"payload":"{payload}","context":"1"}}"#);
            assert!(reader.request(text.as_bytes()).is_ok(), "{text:?}");
            let fault = reader.request_fault(text.as_bytes()).expect("no JSON");
            assert!(fault.message.starts_with("Illegal unquoted character"), "{fault}");
        }
        let broken = b"{\"payload\":\"AA\xff\"}";
        assert!(reader.request(broken).is_ok());
        assert!(reader.request_fault(broken).is_some());
        assert_eq!(reader.request_fault(br#"{"payload":"-"}"#), None);
        // The last of several counts, so the first would never be looked at.
        for text in
            ["{\"payload\":\"\u{1}\",\"payload\":\"QQ==\"}", "{\"payload\":\"\u{1}\",\"payload\":null}"]
        {
            assert!(reader.request(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn strings_of_long_texts_are_utf_8_as_well() {
        let payload = "QUFB".repeat(500);
        let text = |context: &[u8]| {
            let around = format!(r#"{{"payload":"{payload}","context":""#);
            [around.as_bytes(), context, br#""}"#].concat()
        };
        let mut reader = JsonReader::default();
        let sound = text("é😀".as_bytes());
        let request = reader.request(&sound).expect("sound").expect("not null");
        assert_eq!(
            (request.context.as_deref(), request.payload.as_deref()),
            (Some("é😀"), Some(payload.as_bytes()))
        );
        assert!(reader.request(&text(b"\xc3\x28")).is_err());
    }
}
