//! Finding a broker when only an HTTP service URL is given: one `GET /lookup/v2/topic/…`, whose answer names the broker's
//! binary address. Everything after that goes over the binary protocol. Before there is a topic to look up, one `GET
//! /status.html` tells whether somebody answers there.

use crate::session::upstream::address::HostPort;
use crate::session::upstream::failure::Failure;
use crate::wire::route::TopicName;

/// Largest answer read, bytes: the JSON of a lookup is a few hundred.
const ANSWER_MAX: usize = 64 * 1024;
/// Header lines of an answer.
const HEADERS_MAX: usize = 64;

/// One HTTP lookup under way.
pub struct Discovery {
    host: String,
    /// The request named a topic.
    lookup: bool,
    buffer: Vec<u8>,
}

/// How a lookup ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Discovered {
    /// The broker's binary address.
    Broker(HostPort),
    /// No broker was asked for; somebody speaks HTTP there and is not broken.
    Somebody,
    /// Ask this HTTP address instead.
    Elsewhere(HostPort),
}

impl Discovery {
    /// A lookup at `host` (`host:port`).
    pub fn new(host: String) -> Self {
        Discovery { host, lookup: true, buffer: Vec::new() }
    }

    /// Appends the request for `topic`, or for a sign of life. `token` goes along as a bearer token.
    pub fn request(&mut self, topic: Option<&TopicName>, token: Option<&str>, out: &mut Vec<u8>) {
        self.lookup = topic.is_some();
        let path =
            topic.map_or("/status.html".to_owned(), |topic| format!("/lookup/v2/topic/{}", topic.path()));
        out.extend_from_slice(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.host).as_bytes());
        if let Some(token) = token {
            out.extend_from_slice(format!("Authorization: Bearer {token}\r\n").as_bytes());
        }
        out.extend_from_slice(b"Accept: application/json\r\nConnection: close\r\n\r\n");
    }

    /// Bytes of the answer; `end`: the server has closed its side. `None`: more is needed.
    pub fn on_bytes(&mut self, bytes: &[u8], end: bool) -> Option<Result<Discovered, Failure>> {
        if self.buffer.len() + bytes.len() > ANSWER_MAX {
            return Some(Err(Failure::connection(&self.host, "the HTTP lookup answer is too long")));
        }
        self.buffer.extend_from_slice(bytes);
        let verdict = self.verdict();
        match (verdict, end) {
            (None, true) => Some(Err(Failure::connection(&self.host, "the HTTP lookup answer was cut off"))),
            (verdict, _) => verdict,
        }
    }

    fn verdict(&self) -> Option<Result<Discovered, Failure>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let head = match response.parse(&self.buffer) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return None,
            Err(error) => return Some(Err(self.bad(&format!("malformed HTTP answer: {error}")))),
        };
        let header = |name: &str| {
            let line = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(line.value).ok().map(str::trim)
        };
        let status = response.code.unwrap_or(0);
        if !self.lookup {
            // A broker without a status file says 404, one that wants a token 401: it is there. A proxy without brokers says 502.
            let well = (200..500).contains(&status);
            let failure = || self.bad(&format!("HTTP answered {status}"));
            return Some(if well { Ok(Discovered::Somebody) } else { Err(failure()) });
        }
        if matches!(status, 301 | 302 | 307 | 308) {
            return Some(header("location").and_then(http_host).map_or_else(
                || Err(self.bad("redirected without a usable location")),
                |at| Ok(Discovered::Elsewhere(at)),
            ));
        }
        let body = &self.buffer[head..];
        let chunked = header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked"));
        let whole = match (header("content-length").map(str::parse::<usize>), chunked) {
            (Some(Ok(length)), _) => body.get(..length)?.to_vec(),
            (None, true) => unchunked(body)?,
            _ => body.to_vec(),
        };
        if status != 200 {
            let text = String::from_utf8_lossy(&whole[..whole.len().min(200)]).into_owned();
            let mut failure = self.bad(&format!("HTTP lookup answered {status} {text}"));
            if status == 404 {
                failure = Failure::broker(11, &text, 0, &self.host);
            }
            return Some(Err(failure));
        }
        let url = serde_json::from_slice::<serde_json::Value>(&whole).ok().and_then(|value| {
            let url = value.get("brokerUrl").or_else(|| value.get("brokerServiceUrl"))?;
            HostPort::from_url(url.as_str()?).ok()
        });
        match url {
            Some(broker) => Some(Ok(Discovered::Broker(broker))),
            // Without a length the answer ends with the connection.
            None if header("content-length").is_none() && !chunked => None,
            None => Some(Err(self.bad("the HTTP lookup answer names no brokerUrl"))),
        }
    }

    fn bad(&self, reason: &str) -> Failure {
        Failure::connection(&self.host, reason)
    }
}

/// Host and port of an `http://` URL.
fn http_host(url: &str) -> Option<HostPort> {
    let rest = url.strip_prefix("http://")?;
    let authority = rest.split(['/', '?']).next()?;
    let at = HostPort::from_url(&format!("pulsar://{authority}")).ok()?;
    let named = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Some(if named { at } else { HostPort { port: 80, ..at } })
}

/// The body of a chunked answer; `None`: not all here, or malformed.
fn unchunked(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let (used, size) = match httparse::parse_chunk_size(body) {
            Ok(httparse::Status::Complete(found)) => found,
            _ => return None,
        };
        let size = usize::try_from(size).ok()?;
        let rest = body.get(used..)?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(rest.get(..size)?);
        body = rest.get(size.checked_add(2)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str =
        r#"{"brokerUrl":"pulsar://b1:6651","httpUrl":"http://b1:8080","nativeUrl":"pulsar://b1:6651"}"#;

    fn answer(head: &str, body: &str) -> Vec<u8> {
        format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    #[test]
    fn an_answer_in_pieces_names_the_broker() {
        let whole = answer("200 OK", BODY);
        for cut in 0..whole.len() {
            let mut discovery = Discovery::new("h:8080".into());
            assert_eq!(discovery.on_bytes(&whole[..cut], false), None, "cut at {cut}");
            let broker = HostPort { host: "b1".into(), port: 6651 };
            assert_eq!(discovery.on_bytes(&whole[cut..], false), Some(Ok(Discovered::Broker(broker))));
        }
    }

    #[test]
    fn chunked_redirected_and_failed_answers() {
        let ask = |bytes: &[u8]| Discovery::new("h:8080".into()).on_bytes(bytes, true);
        let chunked = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{BODY}\r\n0\r\n\r\n",
            BODY.len()
        );
        assert!(matches!(ask(chunked.as_bytes()), Some(Ok(Discovered::Broker(_)))));
        let moved = b"HTTP/1.1 307 Moved\r\nLocation: http://h2:8081/lookup\r\nContent-Length: 0\r\n\r\n";
        let there = HostPort { host: "h2".into(), port: 8081 };
        assert_eq!(ask(moved), Some(Ok(Discovered::Elsewhere(there))));
        let missing = ask(&answer("404 Not Found", "{}")).expect("ended").expect_err("404");
        assert_eq!(missing.status(), 404);
        assert!(ask(b"garbage").expect("ended").is_err());
        assert!(ask(b"").expect("ended").is_err());
    }

    #[test]
    fn a_sign_of_life_is_any_answer_that_is_no_failure() {
        for (head, well) in
            [("200 OK", true), ("404 Not Found", true), ("401 Unauthorized", true), ("502 x", false)]
        {
            let mut discovery = Discovery::new("h:8080".into());
            let mut request = Vec::new();
            discovery.request(None, None, &mut request);
            assert!(request.starts_with(b"GET /status.html HTTP/1.1\r\nHost: h:8080\r\n"));
            let verdict = discovery.on_bytes(&answer(head, ""), false).expect("a whole head is enough");
            assert_eq!(verdict.is_ok_and(|found| found == Discovered::Somebody), well, "{head}");
        }
    }
}
