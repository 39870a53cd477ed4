//! The texts we send: acks of producers, messages to consumers and readers, end-of-topic answers (API 3.3, 4.2). All are
//! appended to the caller's buffer; member order and presence are part of the contract.

use crate::base::time::UnixMillis;
use crate::wire::pulsar::entry::EncryptionKey;
use crate::wire::pulsar::message_id::MessageId;
use crate::wire::pulsar::metadata::Properties;
use crate::wire::pulsar::proto::CompressionType;

/// Numbers of `send-error:N` (API 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SendErrorCode {
    /// The text cannot be read as a request.
    Json = 3,
    /// The request's content is wrong.
    Encoding = 7,
    /// The broker, or the way to it, failed.
    Unknown = 8,
}

/// Appends `{"result":"ok","messageId":...}`.
pub fn put_ack(_out: &mut Vec<u8>, _id: &MessageId, _context: Option<&str>) {
    unimplemented!()
}

/// Appends `{"result":"send-error:N","errorMsg":...}`.
pub fn put_send_error(_out: &mut Vec<u8>, _code: SendErrorCode, _message: &str, _context: Option<&str>) {
    unimplemented!()
}

/// `encryptionContext` of an encrypted message.
#[derive(Clone, Debug, PartialEq)]
pub struct EncryptionContext<'a> {
    /// Data keys by name.
    pub keys: &'a [EncryptionKey],
    /// Initialisation vector.
    pub param: Option<&'a [u8]>,
    /// Algorithm, usually unset.
    pub algorithm: Option<&'a str>,
    /// Compression before encryption.
    pub compression: CompressionType,
    /// Size before compression.
    pub uncompressed_size: u32,
    /// Messages in the encrypted batch; written as `null` outside a batch.
    pub batch_size: Option<u32>,
}

/// One message for a consumer or reader.
#[derive(Clone, Debug)]
pub struct Delivery<'a> {
    /// Its id.
    pub id: &'a MessageId,
    /// Its body.
    pub payload: &'a [u8],
    /// User properties.
    pub properties: Properties<'a>,
    /// When it was published.
    pub publish_time: UnixMillis,
    /// How often it was delivered before.
    pub redelivery_count: u32,
    /// Event time; `None` when 0.
    pub event_time: Option<UnixMillis>,
    /// Only of encrypted messages, never to readers.
    pub encryption: Option<EncryptionContext<'a>>,
    /// Key, as published (base64 text for byte keys).
    pub key: Option<&'a str>,
}

/// Bytes the text of a delivery will have, roughly: the hint for the frame header.
pub fn delivery_size_hint(_delivery: &Delivery<'_>) -> usize {
    unimplemented!()
}

/// Appends the message object.
pub fn put_delivery(_out: &mut Vec<u8>, _delivery: &Delivery<'_>) {
    unimplemented!()
}

/// Appends `{"endOfTopic":true}` or `false`.
pub fn put_end_of_topic(_out: &mut Vec<u8>, _ended: bool) {
    unimplemented!()
}

/// Appends a JSON string: quotes, and the escapes Jackson writes; non-ASCII stays as it is.
pub fn put_json_string(_out: &mut Vec<u8>, _text: &str) {
    unimplemented!()
}
