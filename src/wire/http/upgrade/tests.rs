use super::*;
use crate::wire::http::read_head;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const SOUND: [&str; 5] = [
    "Host: h",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
];

/// What a request with these header lines is, in words.
fn judged(start: &str, lines: &[&str]) -> Result<Option<(String, String)>, (&'static str, bool)> {
    let text = format!("{start}\r\n{}\r\n\r\n", lines.join("\r\n"));
    let head = read_head(text.as_bytes(), 8192).expect("a sound head").expect("a whole head");
    match upgrade(&head) {
        Upgrade::No => Ok(None),
        Upgrade::Yes { key, extensions } => Ok(Some((key.to_owned(), extensions))),
        Upgrade::Wrong { message, version } => Err((message, version)),
    }
}

/// The sound handshake with line `index` replaced; an empty replacement leaves it out.
fn with(index: usize, line: &'static str) -> Result<Option<(String, String)>, (&'static str, bool)> {
    let mut lines = SOUND.to_vec();
    match line {
        "" => drop(lines.remove(index)),
        line => lines[index] = line,
    }
    judged("GET /ws HTTP/1.1", &lines)
}

fn yes(extensions: &str) -> Result<Option<(String, String)>, (&'static str, bool)> {
    Ok(Some((KEY.to_owned(), extensions.to_owned())))
}

#[test]
fn sound_handshakes() {
    assert_eq!(with(0, "Host: h"), yes(""));
    assert_eq!(with(1, "upgrade: h2c, WEBSOCKET"), yes(""));
    assert_eq!(with(2, "connection: keep-alive, UPGRADE"), yes(""));
    assert_eq!(with(4, "sec-websocket-version:  13 "), yes(""));
    let extended = [
        &SOUND[..],
        &["Sec-WebSocket-Extensions: a; b=1", "sec-websocket-extensions: c", "Content-Length: 0"],
    ]
    .concat();
    assert_eq!(judged("GET http://h/ws HTTP/1.1", &extended), yes("a; b=1, c"));
}

#[test]
fn plain_requests() {
    assert_eq!(with(1, ""), Ok(None));
    assert_eq!(with(1, "Upgrade: h2c"), Ok(None));
    assert_eq!(with(1, "Upgrade: websockets"), Ok(None));
    for method in ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "get"] {
        assert_eq!(judged(&format!("{method} /ws HTTP/1.1"), &SOUND), Ok(None));
    }
}

#[test]
fn wrong_handshakes() {
    assert_eq!(judged("GET /ws HTTP/1.0", &SOUND), Err(("WebSocket needs HTTP/1.1", false)));
    for line in ["", "Connection: keep-alive", "Connection: upgraded"] {
        assert_eq!(with(2, line), Err(("Missing Connection: Upgrade", false)), "{line}");
    }
    for line in [
        "",
        "Sec-WebSocket-Key:",
        "Sec-WebSocket-Key: short==",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=A",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZS!ub25jZQ==",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSéb25jZQ==",
    ] {
        assert_eq!(with(3, line), Err(("Missing or invalid Sec-WebSocket-Key", false)), "{line}");
    }
    for line in ["", "Sec-WebSocket-Version: 8", "Sec-WebSocket-Version: 013", "Sec-WebSocket-Version: 13, 8"]
    {
        assert_eq!(with(4, line), Err(("Sec-WebSocket-Version must be 13", true)), "{line}");
    }
    let with_more = |line| judged("GET /ws HTTP/1.1", &[&SOUND[..], &[line]].concat());
    assert_eq!(with_more("Sec-WebSocket-Version: 8"), Err(("Sec-WebSocket-Version must be 13", true)));
    assert_eq!(with_more(SOUND[3]), Err(("More than one Sec-WebSocket-Key", false)));
    for line in ["Content-Length: 1", "Transfer-Encoding: chunked"] {
        assert_eq!(with_more(line), Err(("An upgrade has no body", false)));
    }
}

#[test]
fn the_switching_answer() {
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n";
    // Key and hash: RFC 6455 section 1.3.
    let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    let mut out = Vec::new();
    put_switching(&mut out, KEY, None);
    assert_eq!(out, format!("{head}{accept}\r\n").as_bytes());
    out.clear();
    put_switching(&mut out, KEY, Some("permessage-deflate"));
    assert_eq!(out, format!("{head}{accept}Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n").as_bytes());
}
