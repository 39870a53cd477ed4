//! The upgrade request: its path and key, and the answer.

use sha1::{Digest, Sha1};

/// A request head longer than this is none.
pub(crate) const HEAD_MAX: usize = 16 * 1024;
/// RFC 6455 section 1.3.
const SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a client wants to be.
#[derive(Debug, PartialEq)]
pub(crate) enum Wish {
    Producer { topic: String },
    Consumer { topic: String, subscription: String },
}

/// A whole request.
#[derive(Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) wish: Wish,
    pub(crate) accept: String,
}

/// Reads a head that ends with an empty line.
pub(crate) fn read(head: &str) -> Option<Request> {
    let mut lines = head.split("\r\n");
    let path = lines.next()?.split(' ').nth(1)?;
    let key = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim())
    })?;
    let path = path.split('?').next()?.strip_prefix("/ws/v2/")?;
    let (role, path) = path.split_once('/')?;
    let mut parts = path.split('/');
    let [domain, tenant, namespace, local] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let topic = format!("{domain}://{tenant}/{namespace}/{local}");
    let wish = match (role, parts.next()) {
        ("producer", None) => Wish::Producer { topic },
        ("consumer", Some(subscription)) => Wish::Consumer { topic, subscription: subscription.to_owned() },
        _ => return None,
    };
    let digest = Sha1::new().chain_update(key).chain_update(SUFFIX).finalize();
    Some(Request { wish, accept: base64_simd::STANDARD.encode_to_string(digest) })
}

/// Appends the answer that makes a WebSocket of the connection.
pub(crate) fn put_switch(accept: &str, out: &mut Vec<u8>) {
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    out.extend_from_slice(answer.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_is_read_and_its_key_answered() {
        let head = "GET /ws/v2/consumer/persistent/public/default/t/s?a=b HTTP/1.1\r\nHost: h\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let request = read(head).expect("it is whole");
        let topic = "persistent://public/default/t".to_owned();
        assert_eq!(request.wish, Wish::Consumer { topic: topic.clone(), subscription: "s".to_owned() });
        // RFC 6455 section 1.3 has this pair.
        assert_eq!(request.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let producer = head.replace("consumer", "producer").replace("/t/s", "/t");
        assert_eq!(read(&producer).map(|request| request.wish), Some(Wish::Producer { topic }));
        assert_eq!(read("GET / HTTP/1.1\r\n\r\n"), None);
    }
}
