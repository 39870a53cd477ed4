use super::*;
use crate::base::limit::HTTP_HEAD_MAX;
use crate::base::prng::Prng;

const SOUND: &str = "GET /ws/v2/producer/persistent/p/n/t?a=%20b HTTP/1.1\r\nHost: example:8080\r\n\
                     Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nX-Empty:\r\nx-twice: 1\r\nX-Twice:  2 \r\n\r\n";

/// The status of a refusal.
fn refused(text: impl AsRef<[u8]>) -> Option<u16> {
    read_head(text.as_ref(), HTTP_HEAD_MAX).err().map(|error| error.status)
}

fn whole(text: &str) -> Head<'_> {
    read_head(text.as_bytes(), HTTP_HEAD_MAX).expect("a sound head").expect("a whole head")
}

#[test]
fn a_whole_head() {
    let text = format!("{SOUND}frames that follow");
    let head = whole(&text);
    assert_eq!((head.method, head.minor, head.length), ("GET", 1, SOUND.len()));
    assert_eq!(head.target, "/ws/v2/producer/persistent/p/n/t?a=%20b");
    assert_eq!(head.header("HOST"), Some("example:8080"));
    assert_eq!(head.header("x-empty"), Some(""));
    assert_eq!(head.header("x-twice"), Some("1"));
    assert_eq!(head.header("x-none"), None);
    assert!(head.has_token("connection", "upgrade") && head.has_token("x-twice", "2"));
    assert!(!head.has_token("connection", "keep") && !head.has_token("x-none", ""));
}

#[test]
fn every_prefix_is_incomplete() {
    for length in 0..SOUND.len() {
        assert!(
            matches!(read_head(&SOUND.as_bytes()[..length], HTTP_HEAD_MAX), Ok(None)),
            "prefix of {length}"
        );
    }
}

#[test]
fn values_that_are_not_utf8_read_as_absent() {
    let text = b"GET / HTTP/1.1\r\nHost: h\r\nX: \xff\r\n\r\n";
    let head = read_head(text, HTTP_HEAD_MAX).expect("sound").expect("whole");
    assert_eq!(head.header("x"), None);
}

#[test]
fn the_size_is_bounded() {
    let exact = SOUND.len();
    assert!(matches!(read_head(SOUND.as_bytes(), exact), Ok(Some(_))));
    let over =
        |buffer: &[u8], max| read_head(buffer, max).map(|head| head.is_some()).map_err(|error| error.status);
    assert_eq!(over(SOUND.as_bytes(), exact - 1), Err(431));
    assert_eq!(
        over(&SOUND.as_bytes()[..exact - 1], exact - 1),
        Err(431),
        "nothing that follows can make it fit"
    );
    assert_eq!(over(&SOUND.as_bytes()[..exact - 2], exact - 1), Ok(false));
    assert_eq!(refused("\r\n".repeat(HTTP_HEAD_MAX)), Some(431));
    let line = |number| format!("X-{number}: y\r\n");
    let lines = |count| (0..count).map(line).collect::<String>();
    assert_eq!(refused(format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", lines(HTTP_HEADERS_MAX - 1))), None);
    assert_eq!(refused(format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", lines(HTTP_HEADERS_MAX))), Some(431));
}

#[test]
fn malformed_heads() {
    let lines = [
        "Host: h\r\nX: a\r\n folded",
        "Host: h\r\nX : a",
        "Host : h",
        "Host: h\r\nX: a\0b",
        "Host: h\r\nX\0: a",
        "Host: h\r\nno colon",
        "Host: h\r\n: nameless",
        "Host: a\r\nHost: a",
        "X: no host",
    ];
    for line in lines {
        assert_eq!(refused(format!("GET / HTTP/1.1\r\n{line}\r\n\r\n")), Some(400), "{line:?}");
    }
    for start in
        ["GET /a b HTTP/1.1", "GET / HTTX/1.1", "G(T / HTTP/1.1", " GET / HTTP/1.1", "GET /\0 HTTP/1.1"]
    {
        let status = refused(format!("{start}\r\nHost: h\r\n\r\n"));
        assert!(matches!(status, Some(400 | 505)), "{start:?}: {status:?}");
    }
    assert_eq!(refused("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), Some(505));
    assert_eq!(refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), Some(400), "TLS on a plain port");
}

#[test]
fn host_is_needed_from_1_1_on() {
    assert_eq!(whole("GET / HTTP/1.0\r\n\r\n").minor, 0);
    assert_eq!(refused("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"), Some(400));
}

#[test]
fn targets() {
    let target = |method: &str, target: &str| {
        let text = format!("{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        read_head(text.as_bytes(), HTTP_HEAD_MAX)
            .map(|head| head.expect("whole").target.to_owned())
            .map_err(|error| error.status)
    };
    let good = [
        ("/", "/"),
        ("//twice//", "//twice//"),
        ("/a?b=http://c/d", "/a?b=http://c/d"),
        ("http://h:80/a/b?c", "/a/b?c"),
        ("WS://h/a", "/a"),
        ("https://h", "/"),
    ];
    for (sent, local) in good {
        assert_eq!(target("GET", sent), Ok(local.to_owned()));
    }
    for sent in ["a", "h:80", "*", "ftp://h/a", "http://", "http:///a", "http://h?a", "://h/a", "?a"] {
        assert_eq!(target("GET", sent), Err(400), "{sent}");
    }
    assert_eq!(target("OPTIONS", "*"), Ok("*".to_owned()));
}

#[test]
fn content_length() {
    let length = |lines: &str| {
        whole(&format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n"))
            .content_length()
            .map_err(|error| error.status)
    };
    assert_eq!(length(""), Ok(0));
    assert_eq!(length("Content-Length: 12\r\n"), Ok(12));
    assert_eq!(length("Content-Length: 18446744073709551615\r\n"), Ok(u64::MAX));
    for bad in ["", "-1", "+1", "1,1", "1 1", "0x1", "18446744073709551616", "1\r\nContent-Length: 1"] {
        assert_eq!(length(&format!("Content-Length: {bad}\r\n")), Err(400), "{bad}");
    }
    assert_eq!(length("Transfer-Encoding: chunked\r\n"), Err(411));
    assert_eq!(length("Content-Length: 1\r\nTransfer-Encoding: identity\r\n"), Err(411));
}

#[test]
fn keep_alive() {
    let kept = |minor, line| whole(&format!("GET / HTTP/1.{minor}\r\nHost: h\r\n{line}\r\n")).keep_alive();
    assert!(kept(1, "") && kept(1, "Connection: Upgrade\r\n") && kept(0, "Connection: Keep-Alive\r\n"));
    assert!(!kept(0, "") && !kept(1, "Connection: x, CLOSE\r\n"));
    assert!(!kept(0, "Connection: keep-alive\r\nConnection: close\r\n"));
}

#[test]
fn mutated_heads_never_panic() {
    let mut refusals = 0;
    for seed in 0..5000 {
        let mut prng = Prng::new(seed);
        let mut text = SOUND.as_bytes().to_vec();
        for _ in 0..=prng.below(4) {
            let at = prng.below(text.len() as u64) as usize;
            match prng.below(3) {
                0 => text[at] = prng.next() as u8,
                1 => text.truncate(at.max(1)),
                _ => text.insert(at, b" \r\n:\0,;/"[prng.below(8) as usize]),
            }
        }
        match read_head(&text, HTTP_HEAD_MAX) {
            Ok(Some(head)) => {
                assert!(head.length <= text.len() && !head.target.is_empty(), "seed {seed}");
                assert!(head.content_length().is_ok(), "seed {seed}: no such header was put in");
            }
            Ok(None) => {}
            Err(error) => {
                assert!([400, 431, 505].contains(&error.status), "seed {seed}");
                refusals += 1;
            }
        }
    }
    assert!(refusals > 500, "only {refusals} refused");
}
