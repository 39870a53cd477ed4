//! `permessage-deflate`: outgoing texts are compressed one by one, with one compressor for a whole core and
//! no context kept between messages (allowed to any server; costs ratio, saves 256 KiB per connection).
//! Incoming messages may use a kept window, so each connection that sends compressed frames has a
//! decompressor, made at the first such frame.

use super::encode::{COMPRESSED, put_text_frame};
use flate2::{Compress, Compression, FlushCompress};

/// Window of outgoing messages, as a power of two: 32 KiB, the largest there is. A smaller one costs large
/// messages both ratio and time.
const WINDOW_BITS: u8 = 15;
/// Ends each flushed message and is not sent. Source: RFC 7692 section 7.2.1.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// Least room for the compressor, bytes. A flush that just fills its room would be repeated (zlib manual:
/// more than 6).
const ROOM_MIN: usize = 64;

/// Compresses outgoing messages; one per core.
#[derive(Default)]
pub struct Deflater {
    /// Made at the first message: most servers never need it.
    stream: Option<Compress>,
}

impl Deflater {
    /// Appends a compressed text frame (RSV1 set) holding `text`.
    pub fn put_text(&mut self, out: &mut Vec<u8>, text: &[u8]) {
        // The fastest level: the next one takes twice the time for a quarter less.
        let stream = self
            .stream
            .get_or_insert_with(|| Compress::new_with_window_bits(Compression::fast(), false, WINDOW_BITS));
        stream.reset();
        put_text_frame(out, COMPRESSED, text.len(), |out| {
            let start = out.len();
            out.reserve(text.len() / 2 + ROOM_MIN);
            loop {
                let read = stream.total_in() as usize;
                stream
                    .compress_vec(&text[read..], out, FlushCompress::Sync)
                    .expect("a stream that was reset takes any bytes");
                if stream.total_in() as usize == text.len() && out.len() < out.capacity() {
                    break;
                }
                out.reserve(ROOM_MIN.max(text.len() / 4));
            }
            assert!(out[start..].ends_with(&TAIL), "a sync flush ends with an empty stored block");
            out.truncate(out.len() - TAIL.len());
        });
    }
}

/// Answers a `Sec-WebSocket-Extensions` header: the value to send back, or `None` when nothing is accepted.
/// An offer with unknown or malformed parameters is declined. Source: API 2.6 and its deliberate differences.
///
/// A client that wants our window smaller than it is (`server_max_window_bits` below 15) is declined: the one
/// compressor serves all. One that asks for 15 must be told so (RFC 7692 section 7.1.2.1).
/// `client_max_window_bits` only says what the client could do; it needs no answer.
pub fn negotiate(offers: &str) -> Option<&'static str> {
    offers.split(',').find_map(accept)
}

/// One offer: the extension's name and its parameters.
fn accept(offer: &str) -> Option<&'static str> {
    let mut parts = offer.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("permessage-deflate") {
        return None;
    }
    let (mut server_plain, mut client_plain, mut server_window, mut client_window) =
        (false, false, false, false);
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim_start())?)),
            None => (part, None),
        };
        let seen = match (name, value) {
            ("server_no_context_takeover", None) => &mut server_plain,
            ("client_no_context_takeover", None) => &mut client_plain,
            ("server_max_window_bits", Some(bits)) if window_bits(bits)? >= WINDOW_BITS => &mut server_window,
            ("client_max_window_bits", None) => &mut client_window,
            ("client_max_window_bits", Some(bits)) if window_bits(bits).is_some() => &mut client_window,
            _ => return None,
        };
        if std::mem::replace(seen, true) {
            return None;
        }
    }
    Some(match (server_plain, client_plain, server_window) {
        (false, false, false) => "permessage-deflate",
        (true, false, false) => "permessage-deflate; server_no_context_takeover",
        (false, true, false) => "permessage-deflate; client_no_context_takeover",
        (true, true, false) => "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        (false, false, true) => "permessage-deflate; server_max_window_bits=15",
        (true, false, true) => "permessage-deflate; server_no_context_takeover; server_max_window_bits=15",
        (false, true, true) => "permessage-deflate; client_no_context_takeover; server_max_window_bits=15",
        (true, true, true) => {
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15"
        }
    })
}

/// A parameter's value without its quotes, if it has them (RFC 6455 section 9.1 allows both).
fn unquoted(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => Some(value),
    }
}

/// 8 to 15, in decimal without leading zeros (RFC 7692 section 7.1.2).
fn window_bits(value: &str) -> Option<u8> {
    match value.as_bytes() {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

const _: () = assert!(WINDOW_BITS == 15, "the answers above name it");

#[cfg(test)]
mod tests;
