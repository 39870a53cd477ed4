//! Request heads, borrowed from the receive buffer. What is ambiguous is refused, not repaired: two servers
//! that read one head differently can be played against each other.

use crate::base::limit::HTTP_HEADERS_MAX;

/// A request that cannot be served; the connection closes after the answer unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {message}")]
pub struct HttpError {
    /// Status code of the answer.
    pub status: u16,
    /// Plain text for the body.
    pub message: String,
}

impl HttpError {
    fn new(status: u16, message: impl Into<String>) -> Self {
        HttpError { status, message: message.into() }
    }
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
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.lines(name).next().and_then(|value| std::str::from_utf8(value).ok()).map(str::trim)
    }

    /// True when a comma-separated header (in any of its lines) holds `token`, ignoring case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.lines(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    /// `Content-Length`, 0 if absent; an error if malformed or if `Transfer-Encoding` is used.
    pub fn content_length(&self) -> Result<u64, HttpError> {
        if self.lines("transfer-encoding").next().is_some() {
            return Err(HttpError::new(411, "Transfer-Encoding is not supported, send a Content-Length"));
        }
        let mut lines = self.lines("content-length");
        let Some(value) = lines.next() else {
            return Ok(0);
        };
        // One line of digits alone: no sign, no list, however well its items agree.
        let digits =
            std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        match (digits.and_then(|digits| digits.parse().ok()), lines.next()) {
            (Some(length), None) => Ok(length),
            _ => Err(HttpError::new(400, "Ambiguous or malformed Content-Length")),
        }
    }

    /// Whether the client wants the connection kept after the answer.
    pub fn keep_alive(&self) -> bool {
        !self.has_token("connection", "close")
            && (self.minor >= 1 || self.has_token("connection", "keep-alive"))
    }

    /// The values of all lines with that name, in order.
    pub(super) fn lines(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

/// Reads a request head. `Ok(None)`: not all here yet. Over `max` bytes: 431. Of another HTTP version: 505.
/// Malformed, or without exactly one `Host` (none is needed in HTTP/1.0): 400.
pub fn read_head(buffer: &[u8], max: usize) -> Result<Option<Head<'_>>, HttpError> {
    let too_large = || HttpError::new(431, format!("Request head exceeds {max} bytes"));
    let mut slots = [httparse::EMPTY_HEADER; HTTP_HEADERS_MAX];
    let mut request = httparse::Request::new(&mut slots);
    let length = match request.parse(&buffer[..buffer.len().min(max)]) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if buffer.len() < max => return Ok(None),
        Ok(httparse::Status::Partial) => return Err(too_large()),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(HttpError::new(431, format!("More than {HTTP_HEADERS_MAX} header lines")));
        }
        Err(httparse::Error::Version) => return Err(HttpError::new(505, "HTTP/1.1 is spoken here")),
        Err(error) => return Err(HttpError::new(400, format!("Malformed request head: {error}"))),
    };
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(HttpError::new(400, "Malformed request head"));
    };
    let headers = request.headers.iter().map(|header| (header.name, header.value)).collect();
    let head = Head { method, target: local_target(method, target)?, minor, headers, length };
    match head.lines("host").count() {
        1 => Ok(Some(head)),
        0 if minor == 0 => Ok(Some(head)),
        hosts => Err(HttpError::new(400, format!("One Host header is needed, not {hosts}"))),
    }
}

/// Path and query of a target. Source of the forms: RFC 9112 section 3.2.
fn local_target<'a>(method: &str, target: &'a str) -> Result<&'a str, HttpError> {
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok(target);
    }
    let bad = || HttpError::new(400, "Bad request target");
    let (scheme, rest) = target.split_once("://").ok_or_else(bad)?;
    if !["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(bad());
    }
    match rest.find(['/', '?', '#']) {
        Some(0) => Err(bad()),
        Some(end) if rest.as_bytes()[end] == b'/' => Ok(&rest[end..]),
        Some(_) => Err(bad()),
        None if rest.is_empty() => Err(bad()),
        None => Ok("/"),
    }
}

#[cfg(test)]
mod tests;
