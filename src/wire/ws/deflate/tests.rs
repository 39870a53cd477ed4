use super::*;
use crate::base::prng::Prng;
use flate2::{Decompress, FlushDecompress, Status};

/// A client that keeps no more than the agreed window: it inflates into a few bytes at a time, so that every
/// reference goes through the window.
fn inflate(window_bits: u8, payload: &[u8]) -> Vec<u8> {
    let mut stream = Decompress::new_with_window_bits(false, window_bits);
    let input = [payload, &TAIL].concat();
    let (mut plain, mut room) = (Vec::new(), [0; 100]);
    loop {
        let (read, written) = (stream.total_in() as usize, stream.total_out());
        let status = stream.decompress(&input[read..], &mut room, FlushDecompress::None).expect("sound");
        let fresh = (stream.total_out() - written) as usize;
        plain.extend_from_slice(&room[..fresh]);
        assert_ne!(status, Status::StreamEnd, "the stream goes on after a message");
        if fresh < room.len() && stream.total_in() as usize == input.len() {
            return plain;
        }
    }
}

/// Payload of the one compressed text frame in `frame`.
fn payload(frame: &[u8]) -> &[u8] {
    assert_eq!(frame[0], 0xc1, "FIN, RSV1, text");
    let (header, length) = match frame[1] {
        126 => (4, usize::from(u16::from_be_bytes([frame[2], frame[3]]))),
        127 => (10, u64::from_be_bytes(frame[2..10].try_into().unwrap()) as usize),
        short => (2, usize::from(short)),
    };
    assert_eq!(frame.len(), header + length);
    &frame[header..]
}

/// Texts as they are sent, of all sizes around the header's boundaries and the window's, from repetitive to
/// random.
fn texts(prng: &mut Prng) -> Vec<String> {
    let mut texts = vec![String::new(), "Hello".into()];
    for size in [1, 60, 124, 125, 126, 127, 200, 10_000, 32_767, 32_768, 32_769, 65_535, 65_536, 300_000] {
        texts.push("a".repeat(size));
        texts.push(prng.hex(size));
        texts.push(prng.hex(size / 3).repeat(3));
    }
    texts
}

#[test]
fn a_client_with_the_agreed_window_reads_every_message() {
    let mut deflater = Deflater::default();
    for text in texts(&mut Prng::new(5)) {
        let mut out = Vec::new();
        deflater.put_text(&mut out, text.as_bytes());
        // A fresh decompressor each time: no message refers to another.
        assert_eq!(inflate(WINDOW_BITS, payload(&out)), text.as_bytes(), "{} bytes", text.len());
    }
}

#[test]
fn a_client_that_keeps_its_window_reads_them_too() {
    let mut deflater = Deflater::default();
    let mut stream = Decompress::new(false);
    for text in texts(&mut Prng::new(6)) {
        let mut out = Vec::new();
        deflater.put_text(&mut out, text.as_bytes());
        let mut plain = Vec::with_capacity(text.len() + 1);
        let input = [payload(&out), &TAIL].concat();
        stream.decompress_vec(&input, &mut plain, FlushDecompress::None).expect("sound");
        assert_eq!(plain, text.as_bytes());
    }
}

#[test]
fn small_golden_frames() {
    let mut deflater = Deflater::default();
    let mut out = b"before".to_vec();
    deflater.put_text(&mut out, b"");
    deflater.put_text(&mut out, b"Hello");
    deflater.put_text(&mut out, b"Hello");
    // RFC 7692 sections 7.2.3.6 and 7.2.3.1; the second "Hello" does not refer to the first.
    let hello = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00";
    assert_eq!(out, [&b"before\xc1\x01\x00"[..], hello, hello].concat());
}

#[test]
fn a_warm_outbox_does_not_grow() {
    let mut deflater = Deflater::default();
    let text = Prng::new(1).hex(5000);
    let mut out = Vec::new();
    deflater.put_text(&mut out, text.as_bytes());
    let (warm, first) = (out.capacity(), out.clone());
    for _ in 0..100 {
        out.clear();
        deflater.put_text(&mut out, text.as_bytes());
        assert_eq!((out.capacity(), &out), (warm, &first));
    }
}

#[test]
fn answers_to_offers() {
    let plain = Some("permessage-deflate");
    let cases = [
        ("", None),
        ("x-bogus", None),
        ("x-webkit-deflate-frame", None),
        ("permessage-deflate", plain),
        ("Permessage-Deflate", plain),
        (" permessage-deflate ; client_max_window_bits ", plain),
        ("permessage-deflate;client_max_window_bits=8", plain),
        ("permessage-deflate; client_max_window_bits=\"15\"", plain),
        ("x-bogus; a=b, permessage-deflate", plain),
        (
            "permessage-deflate; server_no_context_takeover",
            Some("permessage-deflate; server_no_context_takeover"),
        ),
        (
            "permessage-deflate; client_no_context_takeover",
            Some("permessage-deflate; client_no_context_takeover"),
        ),
        (
            "permessage-deflate; client_no_context_takeover; client_max_window_bits; server_no_context_takeover",
            Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
        ),
        (
            "permessage-deflate; server_max_window_bits=15",
            Some("permessage-deflate; server_max_window_bits=15"),
        ),
        // What a widespread Python client offers: it goes on without compression.
        ("permessage-deflate; server_max_window_bits=12; client_max_window_bits=12", None),
        ("permessage-deflate; server_max_window_bits=14", None),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", plain),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits=015", None),
        ("permessage-deflate; server_max_window_bits=", None),
        ("permessage-deflate; client_max_window_bits=7", None),
        ("permessage-deflate; client_max_window_bits=\"12", None),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits=12", None),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; unheard_of", None),
        ("permessage-deflate; unheard_of, permessage-deflate; client_max_window_bits", plain),
        ("permessage-deflate;", None),
        (",,;=,\"", None),
    ];
    for (offers, answer) in cases {
        assert_eq!(negotiate(offers), answer, "{offers}");
    }
}

#[test]
fn any_text_is_an_offer_without_panic() {
    let words = [
        "permessage-deflate",
        ";",
        ",",
        "=",
        " ",
        "\"",
        "client_max_window_bits",
        "server_max_window_bits",
        "12",
        "é",
    ];
    for seed in 0..2000 {
        let mut prng = Prng::new(seed);
        let offers: String =
            (0..prng.below(12)).map(|_| words[prng.below(words.len() as u64) as usize]).collect();
        if let Some(answer) = negotiate(&offers) {
            assert!(answer.starts_with("permessage-deflate"), "seed {seed}");
        }
    }
}
