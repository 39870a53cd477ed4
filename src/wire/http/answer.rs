//! Answers to plain HTTP requests.

use std::io::Write;

/// One whole answer.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Status code; the reason phrase is the standard one.
    pub status: u16,
    /// `Content-Type`; empty: none.
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
pub fn put_answer(out: &mut Vec<u8>, answer: &Answer<'_>) {
    let put = |out: &mut Vec<u8>| {
        write!(out, "HTTP/1.1 {} {}\r\n", answer.status, reason_phrase(answer.status))?;
        // A 204 has no content: RFC 9110 section 8.6 forbids it a length.
        if answer.status != 204 {
            if !answer.content_type.is_empty() {
                write!(out, "Content-Type: {}\r\n", answer.content_type)?;
            }
            write!(out, "Content-Length: {}\r\n", answer.body.len())?;
        }
        for line in answer.headers {
            write!(out, "{line}\r\n")?;
        }
        if answer.close {
            write!(out, "Connection: close\r\n")?;
        }
        write!(out, "\r\n")
    };
    put(out).expect("a Vec takes all bytes");
    if !answer.head_only && answer.status != 204 {
        out.extend_from_slice(answer.body);
    }
}

/// The phrase registered for a status; empty for one that this server never sends (RFC 9112 section 4 allows
/// it).
fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        302 => "Found",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
