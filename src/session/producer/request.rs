//! From a request text's members to a message: what is checked before anything is queued (API 3.2, 3.3, 3.5).

use crate::base::time::UnixMillis;
use crate::wire::pulsar::proto::CompressionType;
use crate::wire::text::base64::{self, Base64Error};
use crate::wire::text::date::{self, DateError};
use crate::wire::text::request::Request;

/// Items of a short list, kept without allocation: most messages have a few properties, or none. Room for more would cost each
/// message the clearing of it.
const FEW: usize = 4;

/// Why a request is answered with `send-error:7`. `Display` is the `errorMsg`; clients know some of the
/// words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadRequest {
    /// The text was the literal `null`.
    #[error("The request is null")]
    Null,
    #[error("The request has no payload")]
    NoPayload,
    #[error("Invalid Base64 message-payload error={0}")]
    Payload(Base64Error),
    #[error("Invalid Base64 encryptionParam error={0}")]
    EncryptionParam(Base64Error),
    /// Stored, such a message would keep every consumer with a private key from going on.
    #[error("The request has no encryptionParam, but the session has encryptionKeys")]
    NoEncryptionParam,
    #[error("the params compressionType and uncompressedMessageSize should both empty or both non-empty")]
    CompressionPair,
    #[error("uncompressedMessageSize is negative: {0}")]
    UncompressedSize(i32),
    #[error("Need Non-Null value for key: {0}")]
    NullProperty(String),
    #[error("The list replicationClusters contains null")]
    NullCluster,
    #[error(transparent)]
    EventTime(#[from] DateError),
}

/// A list that stays on the stack while it is short.
#[derive(Debug)]
pub(super) struct List<T> {
    few: [T; FEW],
    length: usize,
    many: Vec<T>,
}

impl<T: Copy + Default> List<T> {
    pub(super) fn new() -> Self {
        List { few: [T::default(); FEW], length: 0, many: Vec::new() }
    }

    pub(super) fn push(&mut self, item: T) {
        if self.length < FEW {
            self.few[self.length] = item;
            self.length += 1;
            return;
        }
        if self.many.is_empty() {
            self.many.extend_from_slice(&self.few);
        }
        self.many.push(item);
    }

    pub(super) fn as_slice(&self) -> &[T] {
        if self.many.is_empty() { &self.few[..self.length] } else { &self.many }
    }
}

/// What only messages of an encrypted session carry.
#[derive(Debug)]
pub(super) struct Cipher {
    /// Initialisation vector.
    pub(super) param: Vec<u8>,
    /// What the client compressed with, and the size before.
    pub(super) compression: Option<(CompressionType, u32)>,
}

/// One message, borrowed from its text. The payload is decoded later, straight to where it will stay.
#[derive(Debug)]
pub(super) struct Message<'a> {
    /// Base64, not yet known to be valid.
    pub(super) payload: &'a [u8],
    pub(super) properties: List<(&'a str, &'a str)>,
    pub(super) key: Option<&'a str>,
    pub(super) replicate_to: Vec<&'a str>,
    /// `None` when unset or exactly 0, which means the same to consumers.
    pub(super) event_time: Option<u64>,
    pub(super) deliver_at: Option<i64>,
    pub(super) context: Option<&'a str>,
    pub(super) cipher: Option<Cipher>,
}

impl<'a> Message<'a> {
    /// Checks everything but the payload's base64. `encrypted`: the session has client-side encryption keys.
    /// The order of checks is the original's, except that a bad payload comes before all of them: see
    /// [`which_error`]. Inlined: the result is large, and need not be moved.
    #[inline(always)]
    pub(super) fn read(
        request: &'a Request<'a>,
        encrypted: bool,
        wall: UnixMillis,
    ) -> Result<Message<'a>, BadRequest> {
        let payload = request.payload.as_deref().ok_or(BadRequest::NoPayload)?;
        let cipher = if encrypted { Some(read_cipher(request)?) } else { None };
        let mut properties = List::new();
        for (name, value) in &request.properties {
            let value = value.as_deref().ok_or_else(|| BadRequest::NullProperty(name.as_ref().to_owned()))?;
            properties.push((name.as_ref(), value));
        }
        let mut replicate_to = Vec::new();
        for cluster in &request.replication_clusters {
            replicate_to.push(cluster.as_deref().ok_or(BadRequest::NullCluster)?);
        }
        let event_time = match request.event_time.as_deref() {
            Some(text) => Some(date::parse(text)?.0.cast_unsigned()).filter(|time| *time != 0),
            None => None,
        };
        let deliver_at = if request.deliver_after_ms > 0 {
            Some(wall.0.saturating_add(request.deliver_after_ms))
        } else {
            Some(request.deliver_at).filter(|at| *at > 0)
        };
        let (key, context) = (request.key.as_deref(), request.context.as_deref());
        Ok(Message { payload, properties, key, replicate_to, event_time, deliver_at, context, cipher })
    }

    /// Bytes this message will take in a batch or an entry, at most (`u32` sizes, tags and varints included).
    pub(super) fn size_bound(&self) -> usize {
        let properties = self.properties.as_slice().iter().map(|(name, value)| name.len() + value.len() + 32);
        decoded_size(self.payload) + properties.sum::<usize>() + self.key.map_or(0, str::len) + 64
    }
}

/// The encryption members; elsewhere any value of theirs is ignored (API 3.2).
fn read_cipher(request: &Request<'_>) -> Result<Cipher, BadRequest> {
    let mut param = Vec::new();
    if let Some(text) = &request.encryption_param {
        base64::decode(text.as_bytes(), &mut param).map_err(BadRequest::EncryptionParam)?;
    }
    let compression = match (request.compression, request.uncompressed_size) {
        (None | Some(CompressionType::None), None) => None,
        (None | Some(CompressionType::None), Some(_)) | (Some(_), None) => {
            return Err(BadRequest::CompressionPair);
        }
        (Some(codec), Some(size)) => {
            Some((codec, u32::try_from(size).map_err(|_| BadRequest::UncompressedSize(size))?))
        }
    };
    if param.is_empty() {
        return Err(BadRequest::NoEncryptionParam);
    }
    Ok(Cipher { param, compression })
}

/// Of a request that cannot be taken for `error`: what its client is told. A payload that is not base64 comes
/// first, as the original decodes it before it looks at anything else. `scratch` is left as it was.
pub(super) fn which_error(request: &Request<'_>, error: BadRequest, scratch: &mut Vec<u8>) -> BadRequest {
    let Some(payload) = &request.payload else { return error };
    let length = scratch.len();
    let result = base64::decode(payload, scratch);
    scratch.truncate(length);
    result.err().map_or(error, BadRequest::Payload)
}

/// Bytes that a valid base64 text decodes to; padding is optional. Of an invalid text: some number near it.
pub(super) fn decoded_size(text: &[u8]) -> usize {
    let bare = text.len() - text.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    bare / 4 * 3 + (bare % 4 * 3) / 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    fn request() -> Request<'static> {
        Request { payload: Some(b"SGVsbG8=".into()), ..Request::default() }
    }

    fn wall() -> UnixMillis {
        UnixMillis(1_700_000_000_000)
    }

    #[test]
    fn a_list_keeps_order_when_it_outgrows_the_stack() {
        for length in 0..3 * FEW {
            let mut list = List::new();
            (0..length).for_each(|item| list.push(item));
            assert_eq!(list.as_slice(), (0..length).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_decoded_size_is_that_of_the_decoder() {
        for length in 0..50 {
            let mut text = Vec::new();
            base64::encode(&vec![7; length], &mut text);
            assert_eq!(decoded_size(&text), length);
            let bare = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
            assert_eq!(decoded_size(&text[..bare]), length);
        }
        assert_eq!(decoded_size(b"===="), 1, "invalid, and the decoder says so");
    }

    #[test]
    fn what_is_missing_or_null_is_said() {
        let error = |request: Request<'_>| Message::read(&request, false, wall()).unwrap_err().to_string();
        assert_eq!(error(Request::default()), "The request has no payload");
        let properties = vec![("n".into(), None)];
        assert_eq!(error(Request { properties, ..request() }), "Need Non-Null value for key: n");
        let replication_clusters = vec![None];
        let text = error(Request { replication_clusters, ..request() });
        assert_eq!(text, "The list replicationClusters contains null");
        let text = error(Request { event_time: Some("x".into()), ..request() });
        assert_eq!(text, "Text 'x' could not be parsed at index 0");
    }

    #[test]
    fn a_bad_payload_wins_over_every_other_error() {
        let mut scratch = vec![1];
        let bad = Request { payload: Some(b"-_-_".into()), ..Request::default() };
        let told = which_error(&bad, BadRequest::NullCluster, &mut scratch);
        assert_eq!(told.to_string(), "Invalid Base64 message-payload error=Illegal base64 character 2d");
        assert_eq!(which_error(&request(), BadRequest::NullCluster, &mut scratch), BadRequest::NullCluster);
        let missing = which_error(&Request::default(), BadRequest::NoPayload, &mut scratch);
        assert_eq!((missing, scratch), (BadRequest::NoPayload, vec![1]));
    }

    #[test]
    fn times_follow_the_api() {
        let deliver = |at, after| {
            let request = Request { deliver_at: at, deliver_after_ms: after, ..request() };
            Message::read(&request, false, wall()).unwrap().deliver_at
        };
        assert_eq!(deliver(0, 0), None);
        assert_eq!(deliver(-5, -5), None);
        assert_eq!(deliver(20, -5), Some(20));
        assert_eq!(deliver(20, 500), Some(wall().0 + 500));
        assert_eq!(deliver(0, i64::MAX), Some(i64::MAX));
        let event = |text: &'static str| {
            let request = Request { event_time: Some(text.into()), ..request() };
            Message::read(&request, false, wall()).unwrap().event_time
        };
        assert_eq!(event("1970-01-01T00:00:00Z"), None);
        assert_eq!(event("1970-01-01T00:00:00.001Z"), Some(1));
        assert_eq!(event("1969-12-31T23:59:59.999Z"), Some(u64::MAX));
    }

    #[test]
    fn encryption_members_are_checked_in_encrypted_sessions_only() {
        let cipher = |param: Option<&'static str>, compression, uncompressed_size| {
            let encryption_param = param.map(Cow::from);
            let request = Request { encryption_param, compression, uncompressed_size, ..request() };
            assert!(Message::read(&request, false, wall()).unwrap().cipher.is_none());
            Message::read(&request, true, wall()).map(|message| message.cipher.unwrap())
        };
        let lz4 = Some(CompressionType::Lz4);
        assert_eq!(
            cipher(Some("!!"), lz4, None).unwrap_err(),
            BadRequest::EncryptionParam(Base64Error::Character(0x21))
        );
        assert_eq!(cipher(None, lz4, None).unwrap_err(), BadRequest::CompressionPair);
        assert_eq!(cipher(Some("aXY="), None, Some(5)).unwrap_err(), BadRequest::CompressionPair);
        assert_eq!(cipher(Some("aXY="), lz4, Some(-1)).unwrap_err(), BadRequest::UncompressedSize(-1));
        assert_eq!(cipher(None, None, None).unwrap_err(), BadRequest::NoEncryptionParam);
        let plain = cipher(Some("aXY="), Some(CompressionType::None), None).unwrap();
        assert_eq!((plain.param.as_slice(), plain.compression), (b"iv".as_slice(), None));
        let packed = cipher(Some("aXY="), lz4, Some(1234)).unwrap();
        assert_eq!(packed.compression, Some((CompressionType::Lz4, 1234)));
    }
}
