use super::*;
use crate::base::prng::Prng;
use crate::wire::pulsar::broken;

const CODECS: [CompressionType; 5] = [
    CompressionType::None,
    CompressionType::Lz4,
    CompressionType::Zlib,
    CompressionType::Zstd,
    CompressionType::Snappy,
];

fn compressed(codec: CompressionType, input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress(codec, input, &mut out);
    out
}

/// Payloads that compress well, badly and not at all.
fn payloads() -> Vec<Vec<u8>> {
    let mut prng = Prng::new(0x5eed_0007);
    let mut payloads = vec![Vec::new(), b"a".to_vec(), b"{\"key\": \"value\"}".repeat(500), vec![0; 300_000]];
    // Bytes above 143 cost nine bits each in a ZLIB block with fixed codes: the worst there is.
    for (length, floor) in [(13, 0), (1 << 16, 0), (1 << 16, 144), (700_001, 144)] {
        payloads.push((0..length).map(|_| floor + prng.below(256 - u64::from(floor)) as u8).collect());
    }
    payloads
}

#[test]
fn what_goes_in_comes_out() {
    for payload in payloads() {
        for codec in CODECS {
            let mut out = b"before".to_vec();
            compress(codec, &payload, &mut out);
            assert_eq!(out[..6], *b"before", "{codec:?}");
            let packed = out.split_off(6);
            decompress(codec as i32, &packed, payload.len(), payload.len(), &mut out).unwrap();
            assert!(out[..6] == *b"before" && out[6..] == payload, "{codec:?}, {} bytes", payload.len());
        }
    }
}

#[test]
fn large_payloads_get_smaller() {
    let payload = vec![b'x'; 100_000];
    for codec in &CODECS[1..] {
        assert!(compressed(*codec, &payload).len() < 6_000, "{codec:?}");
    }
}

#[test]
fn without_compression_the_size_is_not_looked_at() {
    let mut out = Vec::new();
    assert_eq!(decompress(0, b"hello", 0, 100, &mut out), Ok(()));
    assert_eq!(out, b"hello");
    assert_eq!(decompress(0, b"hello", 0, 4, &mut out), Err(CompressionError::TooLarge { got: 5, max: 4 }));
    assert_eq!(out, b"hello");
}

#[test]
fn the_size_must_be_exact() {
    let payload = b"hello hello hello hello";
    for codec in &CODECS[1..] {
        let packed = compressed(*codec, payload);
        for size in [0, 1, payload.len() - 1, payload.len() + 1, 1000] {
            let mut out = b"before".to_vec();
            let verdict = decompress(*codec as i32, &packed, size, 1000, &mut out);
            assert!(
                matches!(verdict, Err(CompressionError::Corrupt { .. })),
                "{codec:?}, size {size}: {verdict:?}"
            );
            assert_eq!(out, b"before", "{codec:?}");
        }
    }
}

#[test]
fn nothing_is_reserved_for_a_size_over_the_limit() {
    for codec in &CODECS[1..] {
        let mut out = Vec::new();
        let verdict = decompress(*codec as i32, &compressed(*codec, b"a"), usize::MAX, 1000, &mut out);
        assert_eq!(verdict, Err(CompressionError::TooLarge { got: usize::MAX, max: 1000 }));
        assert_eq!(out.capacity(), 0, "{codec:?}");
    }
}

#[test]
fn a_bomb_does_not_go_off() {
    let bomb = vec![0; 20 << 20];
    for codec in &CODECS[1..] {
        let packed = compressed(*codec, &bomb);
        let mut out = Vec::new();
        let verdict = decompress(*codec as i32, &packed, 1000, 5000, &mut out);
        assert!(matches!(verdict, Err(CompressionError::Corrupt { .. })), "{codec:?}: {verdict:?}");
        assert!(out.is_empty() && out.capacity() < 5000, "{codec:?}");
    }
}

#[test]
fn unknown_numbers_are_refused() {
    for number in [-1, 5, i32::MAX, i32::MIN] {
        assert_eq!(decompress(number, b"", 0, 0, &mut Vec::new()), Err(CompressionError::Unknown(number)));
    }
}

#[test]
fn broken_payloads() {
    let payload = b"abcabcabcabcabcabcabcabcabc, abcabc and so on, abcabcabcabcabc".repeat(3);
    for codec in &CODECS[1..] {
        let packed = compressed(*codec, &payload);
        let mut out = b"before".to_vec();
        broken::inputs(0x5eed_0008, &[&packed], |bytes| {
            match decompress(*codec as i32, bytes, payload.len(), 1000, &mut out) {
                Ok(()) => assert_eq!(out.len(), 6 + payload.len(), "{codec:?}"),
                Err(error) => {
                    assert!(matches!(error, CompressionError::Corrupt { .. }), "{codec:?}");
                    assert_eq!(out.len(), 6, "{codec:?}");
                }
            }
            out.truncate(6);
            assert_eq!(out, b"before");
        });
    }
}

/// Cutting anything off a compressed payload is always noticed.
#[test]
fn cut_payloads_are_refused() {
    let payload = b"abcabcabcabcabcabcabcabcabc, abcabc and so on".to_vec();
    for codec in &CODECS[1..] {
        let packed = compressed(*codec, &payload);
        for length in 0..packed.len() {
            let verdict = decompress(*codec as i32, &packed[..length], payload.len(), 1000, &mut Vec::new());
            assert!(verdict.is_err(), "{codec:?} cut to {length}");
        }
    }
}
