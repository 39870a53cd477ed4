//! However a stream is cut into inputs, the same events come out; and no bytes at all make it panic.

use super::*;

/// A stream with every kind of frame, and what it says. Ends with a close frame.
fn sample(text_sizes: &[usize]) -> (Vec<u8>, Vec<Seen>) {
    let mut stream = Vec::new();
    let mut events = Vec::new();
    let mut put = |frames: &[Vec<u8>], expected: &[Seen]| {
        stream.extend(frames.concat());
        events.extend_from_slice(expected);
    };
    for size in text_sizes {
        let text = "x日".repeat(size / 4 + 1);
        let text = &text.as_bytes()[..size / 4 * 4];
        put(&[frame(FIN | TEXT, text)], &[Seen::text(text)]);
    }
    put(&[frame(FIN | PING, b"ping")], &[Seen::Ping(b"ping".to_vec())]);
    put(&[frame(FIN | PONG, b"unasked")], &[Seen::Pong]);
    let split = "sp\u{10348}lit".as_bytes();
    put(
        &[
            frame(TEXT, &split[..3]),
            frame(FIN | PING, b""),
            frame(CONTINUATION, &split[3..4]),
            frame(CONTINUATION, b""),
            frame(FIN | PONG, b""),
            frame(FIN | PING, &[7; 125]),
            frame(FIN | CONTINUATION, &split[4..]),
        ],
        &[Seen::Ping(vec![]), Seen::Pong, Seen::Ping(vec![7; 125]), Seen::text(split)],
    );
    put(&[frame(FIN | BINARY, &[0xff; 40])], &[Seen::Binary(40)]);
    put(
        &[frame(BINARY, &[0xff; 3]), frame(FIN | PING, b"b"), frame(FIN | CONTINUATION, &[0xfe; 4])],
        &[Seen::Ping(b"b".to_vec()), Seen::Binary(7)],
    );
    // RFC 7692 section 7.2.3.2: "Hello" twice, the second time by the window that was kept; a plain text
    // between.
    let (first, second) = (b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\xf2\x00\x11\x00\x00");
    put(&[frame(FIN | RSV1 | TEXT, first)], &[Seen::text("Hello")]);
    put(&[frame(FIN | TEXT, b"plain")], &[Seen::text("plain")]);
    put(
        &[
            frame(RSV1 | TEXT, &second[..2]),
            frame(FIN | PING, b"d"),
            frame(CONTINUATION, &second[2..4]),
            frame(FIN | CONTINUATION, &second[4..]),
        ],
        &[Seen::Ping(b"d".to_vec()), Seen::text("Hello")],
    );
    put(&[frame(FIN | CLOSE, b"\x03\xe8bye")], &[Seen::Close(Some((1000, "bye".into())))]);
    (stream, events)
}

const DEFLATE: DecoderConfig = DecoderConfig { deflate: true, ..CONFIG };

#[test]
fn one_cut_at_every_place() {
    let (stream, events) = sample(&[0, 4, 124, 128]);
    for cut in 0..=stream.len() {
        assert_eq!(run(DEFLATE, &stream, &[cut]), (events.clone(), None), "cut at {cut}");
    }
}

#[test]
fn byte_by_byte() {
    let (stream, events) = sample(&[0, 4, 124, 128, 65_532, 65_540]);
    let cuts: Vec<usize> = (0..stream.len()).collect();
    assert_eq!(run(DEFLATE, &stream, &cuts), (events, None));
}

#[test]
fn random_cuts_of_long_messages() {
    let (stream, events) = sample(&[65_532, 65_536, 100_000, 8]);
    for seed in 0..200 {
        let cuts = random_cuts(&mut Prng::new(seed), stream.len());
        assert_eq!(run(DEFLATE, &stream, &cuts), (events.clone(), None), "seed {seed}");
    }
}

#[test]
fn no_prefix_is_an_error() {
    let (stream, events) = sample(&[0, 4, 128]);
    for length in 0..stream.len() {
        let (seen, violation) = run(DEFLATE, &stream[..length], &[]);
        assert_eq!(violation, None, "prefix of {length}");
        assert_eq!(seen, events[..seen.len()], "prefix of {length}");
    }
}

/// Mutated streams: no panic, bounded memory, and the same events whole and cut.
#[test]
fn mutated_streams() {
    let (sound, _) = sample(&[0, 4, 128, 300]);
    let mut broken = 0;
    for seed in 0..4000 {
        let mut prng = Prng::new(seed);
        let mut stream = sound.clone();
        for _ in 0..=prng.below(4) {
            let at = prng.below(stream.len() as u64) as usize;
            match prng.below(3) {
                0 => stream[at] ^= 1 << prng.below(8),
                1 => stream[at] = prng.next() as u8,
                _ => drop(stream.remove(at)),
            }
        }
        broken += same_whole_and_cut(&stream, seed, &mut prng);
    }
    assert!(broken > 1000, "only {broken} of the mutations did harm");
}

#[test]
fn random_bytes() {
    let mut broken = 0;
    for seed in 0..4000 {
        let mut prng = Prng::new(seed);
        let mut stream: Vec<u8> = (0..prng.below(200)).map(|_| prng.next() as u8).collect();
        // A sound beginning takes some of them past the first header.
        if let Some(two) = stream.first_chunk_mut() {
            let first = [TEXT, BINARY, FIN | PING, FIN | RSV1 | TEXT, FIN | CLOSE][prng.below(5) as usize];
            *two = [first, 0x80 | (two[1] % 20)];
        }
        broken += same_whole_and_cut(&stream, seed, &mut prng);
    }
    assert!(broken > 1000, "only {broken} were refused");
}

fn same_whole_and_cut(stream: &[u8], seed: u64, prng: &mut Prng) -> u32 {
    let small = DecoderConfig { text_max: 1000, binary_max: 500, deflate: true };
    let (seen, violation) = run(small, stream, &[]);
    let cuts = random_cuts(prng, stream.len());
    let (seen_cut, violation_cut) = run(small, stream, &cuts);
    assert_eq!(seen, seen_cut, "seed {seed}");
    assert_eq!(violation.is_some(), violation_cut.is_some(), "seed {seed}");
    for text in seen.iter().filter_map(|seen| if let Seen::Text(text) = seen { Some(text) } else { None }) {
        assert!(text.len() <= small.text_max && std::str::from_utf8(text).is_ok(), "seed {seed}");
    }
    if let Some(violation) = &violation {
        assert!([1002, 1007, 1009].contains(&violation.code) && violation.reason.len() <= 123, "seed {seed}");
    }
    violation.is_some().into()
}

/// Long texts are unmasked and checked in blocks: no character, and no byte of the mask, is lost where two of them meet.
#[test]
fn long_texts_come_whole_through_every_block() {
    let mut prng = Prng::new(5);
    for shift in 0..4 {
        let text = "x".repeat(shift) + &"é😀\u{20ac}a".repeat(BLOCK);
        let stream = frame(FIN | TEXT, text.as_bytes());
        for cut in [shift + 20, BLOCK, 3 * BLOCK + shift + 7] {
            assert_eq!(run(CONFIG, &stream, &[cut]), (vec![Seen::text(&text)], None), "cut at {cut}");
        }
        let cuts = random_cuts(&mut prng, stream.len());
        assert_eq!(run(CONFIG, &stream, &cuts), (vec![Seen::text(&text)], None), "cut at {cuts:?}");
        let mut broken = text.into_bytes();
        let last = broken.len() - 2;
        broken[last] = 0xff;
        let (seen, violation) = run(CONFIG, &frame(FIN | TEXT, &broken), &[BLOCK]);
        assert!(seen.is_empty() && violation.is_some_and(|violation| violation.code == 1007));
    }
}
