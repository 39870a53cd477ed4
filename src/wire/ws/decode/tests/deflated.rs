//! Compressed messages: the examples of RFC 7692, kept windows, limits on what they inflate to.

use super::*;
use flate2::{Compress, Compression, FlushCompress};

const DEFLATE: DecoderConfig = DecoderConfig { deflate: true, ..CONFIG };

/// A client's compressor, which keeps its window between messages.
struct Client(Compress);

impl Client {
    fn new() -> Client {
        Client(Compress::new(Compression::best(), false))
    }

    /// The payload of a compressed message.
    fn squeeze(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(plain.len() + plain.len() / 100 + 100);
        self.0.compress_vec(plain, &mut out, FlushCompress::Sync).expect("any bytes compress");
        assert!(out.ends_with(&[0, 0, 0xff, 0xff]), "there was room for all");
        out.truncate(out.len() - 4);
        out
    }
}

#[test]
fn rfc_7692_section_7_2_3() {
    let payloads: [&[u8]; 6] = [
        b"\xf2\x48\xcd\xc9\xc9\x07\x00",                         // 7.2.3.1: one block
        b"\xf2\x00\x11\x00\x00",                                 // 7.2.3.2: by the window
        b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",         // 7.2.3.3: not compressed
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",                     // 7.2.3.4: a last block
        b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", // 7.2.3.5: two blocks
        b"\xf2\x48\xcd\xc9\xc9\x07\x00",
    ];
    let stream = payloads.map(|payload| frame(FIN | RSV1 | TEXT, payload)).concat();
    assert_eq!(run(DEFLATE, &stream, &[]), (vec![Seen::text("Hello"); 6], None));
    let empty = frame(FIN | RSV1 | TEXT, b"\x00"); // 7.2.3.6
    assert_eq!(run(DEFLATE, &empty, &[]), (vec![Seen::text("")], None));
    let fragments =
        [frame(RSV1 | TEXT, b"\xf2\x48\xcd"), frame(FIN | CONTINUATION, b"\xc9\xc9\x07\x00")].concat();
    assert_eq!(run(DEFLATE, &fragments, &[]), (vec![Seen::text("Hello")], None));
}

#[test]
fn the_window_is_kept_between_messages() {
    let mut client = Client::new();
    let mut prng = Prng::new(3);
    let base = prng.hex(20_000);
    let mut stream = Vec::new();
    let mut expected = Vec::new();
    for number in 0..20 {
        let text = format!("{number}{base}{}", prng.hex(50));
        let payload = client.squeeze(text.as_bytes());
        assert!(number == 0 || payload.len() < 1000, "the window helps: {} bytes", payload.len());
        let cut = prng.below(payload.len() as u64) as usize;
        stream.extend(frame(RSV1 | TEXT, &payload[..cut]));
        stream.extend(frame(FIN | CONTINUATION, &payload[cut..]));
        expected.push(Seen::text(text));
        // Plain and binary messages in between leave the window alone, compressed binary ones are part of it.
        stream.extend(frame(FIN | TEXT, b"plain"));
        expected.push(Seen::text("plain"));
        stream.extend(frame(FIN | RSV1 | BINARY, &client.squeeze(&[0xff; 700])));
        expected.push(Seen::Binary(700));
    }
    for seed in 0..50 {
        let cuts = random_cuts(&mut Prng::new(seed), stream.len());
        assert_eq!(run(DEFLATE, &stream, &cuts), (expected.clone(), None), "seed {seed}");
    }
}

#[test]
fn the_limit_counts_inflated_bytes() {
    let config = DecoderConfig { text_max: 5000, binary_max: 3000, deflate: true };
    for (opcode, max) in [(TEXT, config.text_max), (BINARY, config.binary_max)] {
        let payload = Client::new().squeeze(&vec![b'a'; max]);
        let (seen, violation) = run(config, &frame(FIN | RSV1 | opcode, &payload), &[]);
        assert_eq!((seen.len(), violation), (1, None), "exactly the limit");
        let payload = Client::new().squeeze(&vec![b'a'; max + 1]);
        assert_eq!(
            violation_of_inflated(config, opcode, &payload),
            format!("Resulting message size [{}] is too large for configured max of [{max}]", max + 1)
        );
    }
    // Bytes that do not compress take more room on the wire than the limit allows inflated; that is no
    // violation.
    let mut prng = Prng::new(9);
    let noise: Vec<u8> = (0..config.text_max).map(|_| (prng.next() & 0x7f) as u8).collect();
    let stored = [&[0x00, 0x88, 0x13, 0x77, 0xec][..], &noise, &[0x00]].concat();
    assert!(stored.len() > config.text_max);
    assert_eq!(run(config, &frame(FIN | RSV1 | TEXT, &stored), &[]), (vec![Seen::Text(noise)], None));
}

fn violation_of_inflated(config: DecoderConfig, opcode: u8, payload: &[u8]) -> String {
    let violation = violation(config, &frame(FIN | RSV1 | opcode, payload));
    assert_eq!(violation.code, 1009);
    violation.reason
}

#[test]
fn a_bomb_is_defused_within_the_limit() {
    let bomb = Client::new().squeeze(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 100_000, "64 MiB in {} bytes", bomb.len());
    let mut decoder = Decoder::new(DEFLATE);
    let mut input = frame(FIN | RSV1 | TEXT, &bomb);
    // Up to the violation no more is held than the limit; after it, nothing.
    let mut held = 0;
    for byte in &mut input {
        match decoder.next(std::slice::from_mut(byte), &mut 0) {
            Ok(event) => assert_eq!(event, None),
            Err(violation) => {
                assert_eq!(violation.code, 1009);
                break;
            }
        }
        held = held.max(decoder.buffered());
    }
    assert!(held > 0 && held <= DEFLATE.text_max + 1, "{held} bytes held");
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn what_does_not_inflate_is_1007() {
    // A block of the reserved type; a stored block whose lengths disagree; a distance before the beginning.
    for payload in [&b"\x07\x00"[..], b"\x00\x05\x00\x05\x00hello", b"\xf2\x00\x11\x00\x00"] {
        let error = violation(DEFLATE, &frame(FIN | RSV1 | TEXT, payload));
        assert_eq!(error, Violation::payload("Invalid compressed data"), "{payload:x?}");
    }
}

#[test]
fn inflated_text_is_checked_too() {
    for text in [&b"abc\xff"[..], b"abc\xe2\x82", b"\xed\xa0\x80"] {
        let payload = Client::new().squeeze(text);
        assert_eq!(violation(DEFLATE, &frame(FIN | RSV1 | TEXT, &payload)).code, 1007);
    }
    let binary = Client::new().squeeze(b"\xff\xfe");
    assert_eq!(run(DEFLATE, &frame(FIN | RSV1 | BINARY, &binary), &[]), (vec![Seen::Binary(2)], None));
    let first_half = [Client::new().squeeze(b"abc\xff"), vec![0, 0, 0xff, 0xff]].concat();
    assert_eq!(
        violation(DEFLATE, &frame(RSV1 | TEXT, &first_half)).code,
        1007,
        "before the message is complete"
    );
}

#[test]
fn no_decompressor_until_it_is_needed() {
    let mut decoder = Decoder::new(DEFLATE);
    feed(&mut decoder, &frame(FIN | TEXT, b"plain"), &mut Vec::new()).expect("sound");
    assert!(decoder.inflater.is_none());
    feed(&mut decoder, &frame(FIN | RSV1 | TEXT, b"\x00"), &mut Vec::new()).expect("sound");
    assert!(decoder.inflater.is_some());
    assert_eq!(decoder.buffered(), 0, "the window stays, the message goes");
}
