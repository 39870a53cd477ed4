//! The opening handshake of WebSocket (RFC 6455 section 4.2).

use super::head::Head;
use sha1::{Digest, Sha1};

/// Appended to a key before it is hashed. Source: RFC 6455 section 1.3.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What kind of request a head is.
#[derive(Debug, PartialEq, Eq)]
pub enum Upgrade<'a> {
    /// Not an upgrade to WebSocket at all.
    No,
    /// A sound handshake: the key to answer and the offered extensions.
    Yes {
        /// `Sec-WebSocket-Key`.
        key: &'a str,
        /// `Sec-WebSocket-Extensions`, all lines joined with `, `; empty if none.
        extensions: String,
    },
    /// Wants to upgrade, but wrongly: 400, with `Sec-WebSocket-Version: 13` when the version is the reason.
    Wrong {
        /// Text of the answer.
        message: &'static str,
        /// The version header must be sent.
        version: bool,
    },
}

/// Checks the handshake headers (RFC 6455 section 4.2.1; API 1.1). A request with another method than GET is
/// not an upgrade, whatever its headers say. `Host` was checked with the head.
pub fn upgrade<'a>(head: &Head<'a>) -> Upgrade<'a> {
    if head.method != "GET" || !head.has_token("upgrade", "websocket") {
        return Upgrade::No;
    }
    let wrong = |message| Upgrade::Wrong { message, version: false };
    if head.minor == 0 {
        return wrong("WebSocket needs HTTP/1.1");
    }
    if !head.has_token("connection", "upgrade") {
        return wrong("Missing Connection: Upgrade");
    }
    if !head.lines("sec-websocket-version").map(<[u8]>::trim_ascii).eq([b"13"]) {
        return Upgrade::Wrong { message: "Sec-WebSocket-Version must be 13", version: true };
    }
    let Some(key) = head.header("sec-websocket-key").filter(|key| is_key(key)) else {
        return wrong("Missing or invalid Sec-WebSocket-Key");
    };
    if head.lines("sec-websocket-key").count() != 1 {
        return wrong("More than one Sec-WebSocket-Key");
    }
    // A body would have to be told apart from the frames that follow the head.
    if head.content_length() != Ok(0) {
        return wrong("An upgrade has no body");
    }
    let lines: Vec<&str> =
        head.lines("sec-websocket-extensions").filter_map(|line| std::str::from_utf8(line).ok()).collect();
    Upgrade::Yes { key, extensions: lines.join(", ") }
}

/// 16 bytes in base64. The spare bits of the last digit may be anything: some clients draw the digits at
/// random.
fn is_key(key: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    key.len() == 24 && key.strip_suffix("==").is_some_and(|digits| digits.bytes().all(digit))
}

/// Appends the 101 answer to a key, with the agreed extensions.
pub fn put_switching(out: &mut Vec<u8>, key: &str, extensions: Option<&str>) {
    let hash = Sha1::new().chain_update(key).chain_update(KEY_SUFFIX).finalize();
    let accept = base64_simd::STANDARD.encode_to_string(&hash[..]);
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n",
    );
    for (name, value) in
        [("Sec-WebSocket-Accept", Some(accept.as_str())), ("Sec-WebSocket-Extensions", extensions)]
    {
        let Some(value) = value else { continue };
        for part in [name, ": ", value, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
