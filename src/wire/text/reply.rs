//! The texts we send: acks of producers, messages to consumers and readers, end-of-topic answers (API 3.3,
//! 4.2). All are appended to the caller's buffer; member order and presence are part of the contract.

use crate::base::time::UnixMillis;
use crate::wire::pulsar::entry::EncryptionKey;
use crate::wire::pulsar::message_id::MessageId;
use crate::wire::pulsar::metadata::Properties;
use crate::wire::pulsar::proto::CompressionType;
use crate::wire::text::{base64, date};

/// Bytes of an ack around its context: members, punctuation and a message id of the usual length.
const ACK_SIZE: usize = 128;
/// Bytes of a delivery beyond its payload, properties and optional members.
const DELIVERY_SIZE: usize = 144;

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

/// Appends `{"result":"ok","messageId":...}`. `context` is UTF-8.
pub fn put_ack(out: &mut Vec<u8>, id: &MessageId, context: Option<&[u8]>) {
    out.reserve(ACK_SIZE + context.map_or(0, <[u8]>::len));
    out.extend_from_slice(br#"{"result":"ok","messageId":""#);
    id.put_text(out);
    out.push(b'"');
    put_ack_end(out, context);
}

/// Appends `{"result":"send-error:N","errorMsg":...}`. `context` is UTF-8.
pub fn put_send_error(out: &mut Vec<u8>, code: SendErrorCode, message: &str, context: Option<&[u8]>) {
    out.extend_from_slice(br#"{"result":"send-error:"#);
    put_integer(out, code as u64);
    out.extend_from_slice(br#"","errorMsg":"#);
    put_json_string(out, message);
    put_ack_end(out, context);
}

/// The context, if there was one, and two members that say nothing but are always there.
fn put_ack_end(out: &mut Vec<u8>, context: Option<&[u8]>) {
    if let Some(context) = context {
        out.extend_from_slice(br#","context":"#);
        put_json_bytes(out, context);
    }
    out.extend_from_slice(br#","errorCode":0,"schemaVersion":0}"#);
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
pub fn delivery_size_hint(delivery: &Delivery<'_>) -> usize {
    // Quotes, colon and comma of a property come to 6.
    let properties: usize =
        delivery.properties.clone().map(|(name, value)| name.len() + value.len() + 6).sum();
    let context = delivery.encryption.as_ref().map_or(0, encryption_size_hint);
    DELIVERY_SIZE
        + delivery.payload.len().div_ceil(3) * 4
        + properties
        + delivery.event_time.map_or(0, |_| r#","eventTime":"2026-01-02T03:04:05.678Z""#.len())
        + delivery.key.map_or(0, |key| key.len() + r#","key":"""#.len())
        + context
}

fn encryption_size_hint(context: &EncryptionContext<'_>) -> usize {
    let pairs = |key: &EncryptionKey| {
        key.metadata.iter().map(|(name, value)| name.len() + value.len() + 6).sum::<usize>()
    };
    let keys =
        context.keys.iter().map(|key| 40 + key.name.len() + key.value.len().div_ceil(3) * 4 + pairs(key));
    let param = context.param.map_or(0, |param| 12 + param.len().div_ceil(3) * 4);
    128 + keys.sum::<usize>() + param + context.algorithm.map_or(0, |algorithm| 16 + algorithm.len())
}

/// Appends the message object.
pub fn put_delivery(out: &mut Vec<u8>, delivery: &Delivery<'_>) {
    out.extend_from_slice(br#"{"messageId":""#);
    delivery.id.put_text(out);
    out.extend_from_slice(br#"","payload":""#);
    base64::encode(delivery.payload, out);
    out.extend_from_slice(br#"","properties":"#);
    put_pairs(out, delivery.properties.clone());
    out.extend_from_slice(br#","publishTime":""#);
    date::put(out, delivery.publish_time);
    out.extend_from_slice(br#"","redeliveryCount":"#);
    put_integer(out, delivery.redelivery_count.into());
    if let Some(time) = delivery.event_time {
        out.extend_from_slice(br#","eventTime":""#);
        date::put(out, time);
        out.push(b'"');
    }
    if let Some(context) = &delivery.encryption {
        out.extend_from_slice(br#","encryptionContext":"#);
        put_encryption_context(out, context);
    }
    if let Some(key) = delivery.key {
        out.extend_from_slice(br#","key":"#);
        put_json_string(out, key);
    }
    out.push(b'}');
}

fn put_encryption_context(out: &mut Vec<u8>, context: &EncryptionContext<'_>) {
    out.extend_from_slice(br#"{"keys":{"#);
    for (index, key) in context.keys.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        put_json_string(out, &key.name);
        out.extend_from_slice(br#":{"keyValue":""#);
        base64::encode(&key.value, out);
        out.extend_from_slice(br#"","metadata":"#);
        put_pairs(out, key.metadata.iter().map(|(name, value)| (&**name, &**value)));
        out.push(b'}');
    }
    out.push(b'}');
    if let Some(param) = context.param {
        out.extend_from_slice(br#","param":""#);
        base64::encode(param, out);
        out.push(b'"');
    }
    if let Some(algorithm) = context.algorithm {
        out.extend_from_slice(br#","algorithm":"#);
        put_json_string(out, algorithm);
    }
    out.extend_from_slice(br#","compressionType":""#);
    out.extend_from_slice(compression_word(context.compression).as_bytes());
    out.extend_from_slice(br#"","uncompressedMessageSize":"#);
    put_integer(out, context.uncompressed_size.into());
    out.extend_from_slice(br#","batchSize":"#);
    match context.batch_size {
        Some(messages) => put_integer(out, messages.into()),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
}

/// The name of a compression in this API.
fn compression_word(compression: CompressionType) -> &'static str {
    match compression {
        CompressionType::None => "NONE",
        CompressionType::Lz4 => "LZ4",
        CompressionType::Zlib => "ZLIB",
        CompressionType::Zstd => "ZSTD",
        CompressionType::Snappy => "SNAPPY",
    }
}

/// Appends an object of strings.
fn put_pairs<'a>(out: &mut Vec<u8>, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut separator = b'{';
    for (name, value) in pairs {
        out.push(separator);
        put_json_string(out, name);
        out.push(b':');
        put_json_string(out, value);
        separator = b',';
    }
    out.extend_from_slice(if separator == b'{' { &b"{}"[..] } else { &b"}"[..] });
}

/// Appends `{"endOfTopic":true}` or `false`.
pub fn put_end_of_topic(out: &mut Vec<u8>, ended: bool) {
    out.extend_from_slice(if ended { br#"{"endOfTopic":true}"# } else { br#"{"endOfTopic":false}"# });
}

/// Appends a number in decimal.
pub(super) fn put_integer(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a JSON string: quotes, and the escapes Jackson writes; non-ASCII stays as it is.
pub fn put_json_string(out: &mut Vec<u8>, text: &str) {
    put_json_bytes(out, text.as_bytes());
}

/// As [`put_json_string`], of a text that lies where its type was not kept.
fn put_json_bytes(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = find_escaped(rest) {
        out.extend_from_slice(&rest[..at]);
        put_escape(out, rest[at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn is_escaped(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// The first byte that must be escaped. Whole chunks are tested without a branch, which the compiler makes
/// SIMD of.
fn find_escaped(bytes: &[u8]) -> Option<usize> {
    const CHUNK: usize = 32;
    for (index, chunk) in bytes.chunks(CHUNK).enumerate() {
        if chunk.iter().fold(false, |any, byte| any | is_escaped(*byte)) {
            return chunk.iter().position(|byte| is_escaped(*byte)).map(|at| index * CHUNK + at);
        }
    }
    None
}

fn put_escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: [u8; 16] = *b"0123456789ABCDEF";
    let letter = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', letter]);
}

#[cfg(test)]
mod tests;
