//! HTTP/1.1 heads and answers, as much as an upgrade, health checks, metrics and statistics need.

/// A request that cannot be served; the connection closes after the answer unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {message}")]
pub struct HttpError {
    /// Status code of the answer.
    pub status: u16,
    /// Plain text for the body.
    pub message: String,
}

/// A request head, borrowed from the receive buffer.
#[derive(Debug)]
pub struct Head<'a> {
    /// Method, as sent.
    pub method: &'a str,
    /// Path and query, as sent and still percent-encoded. Of an absolute-form target only path and query.
    pub target: &'a str,
    /// 0 or 1: the minor version of HTTP/1.
    pub minor: u8,
    /// Name and value of each header line.
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// Bytes of the head, blank line included.
    pub length: usize,
}

impl<'a> Head<'a> {
    /// First value of a header, trimmed; names ignore case. Values that are not UTF-8 read as absent.
    pub fn header(&self, _name: &str) -> Option<&'a str> {
        unimplemented!()
    }

    /// True when a comma-separated header (in any of its lines) holds `token`, ignoring case.
    pub fn has_token(&self, _name: &str, _token: &str) -> bool {
        unimplemented!()
    }

    /// `Content-Length`, 0 if absent; an error if malformed or if `Transfer-Encoding` is used.
    pub fn content_length(&self) -> Result<u64, HttpError> {
        unimplemented!()
    }

    /// Whether the client wants the connection kept after the answer.
    pub fn keep_alive(&self) -> bool {
        unimplemented!()
    }
}

/// Reads a request head. `Ok(None)`: not all here yet. Over `max` bytes: 431. Malformed: 400.
pub fn read_head(_buffer: &[u8], _max: usize) -> Result<Option<Head<'_>>, HttpError> {
    unimplemented!()
}

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

/// Checks the handshake headers (RFC 6455 section 4.2.1; API 1.1).
pub fn upgrade<'a>(_head: &Head<'a>) -> Upgrade<'a> {
    unimplemented!()
}

/// Appends the 101 answer to a key, with the agreed extensions.
pub fn put_switching(_out: &mut Vec<u8>, _key: &str, _extensions: Option<&str>) {
    unimplemented!()
}

/// One whole answer.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Status code; the reason phrase is the standard one.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'a str,
    /// Further header lines, without line ends.
    pub headers: &'a [&'a str],
    /// The body; of a HEAD request only its length is sent.
    pub body: &'a [u8],
    /// Send `Connection: close`.
    pub close: bool,
    /// The request was HEAD.
    pub head_only: bool,
}

/// Appends an answer with `Content-Length`.
pub fn put_answer(_out: &mut Vec<u8>, _answer: &Answer<'_>) {
    unimplemented!()
}
