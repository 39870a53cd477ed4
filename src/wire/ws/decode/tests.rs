//! What the other files here share: building client frames, feeding them in pieces, comparing what comes out.

mod deflated;
mod rules;
mod splits;
mod utf8;

use super::*;
use crate::base::prng::Prng;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

const CONFIG: DecoderConfig = DecoderConfig { text_max: 1 << 20, binary_max: 1 << 16, deflate: false };

/// An event that borrows nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Text(Vec<u8>),
    Binary(usize),
    Ping(Vec<u8>),
    Pong,
    Close(Option<(u16, String)>),
}

impl Seen {
    fn text(text: impl AsRef<[u8]>) -> Seen {
        Seen::Text(text.as_ref().to_vec())
    }
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Seen {
        match event {
            Event::Text(text) => Seen::Text(text.to_vec()),
            Event::Binary(size) => Seen::Binary(size),
            Event::Ping(payload) => Seen::Ping(payload.to_vec()),
            Event::Pong => Seen::Pong,
            Event::Close(code) => Seen::Close(code.map(|(code, reason)| (code, reason.to_owned()))),
        }
    }
}

/// A masked client frame; `first` is its first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = vec![first];
    match payload.len() {
        short @ 0..=125 => out.push(0x80 | short as u8),
        medium @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// Feeds one input to its end, or to the violation.
fn feed(decoder: &mut Decoder, input: &[u8], seen: &mut Vec<Seen>) -> Result<(), Violation> {
    let mut input = input.to_vec();
    let mut at = 0;
    while let Some(event) = decoder.next(&mut input, &mut at)? {
        seen.push(event.into());
    }
    assert_eq!(at, input.len(), "all of an input is used up");
    Ok(())
}

/// All events of a stream that arrives cut at `cuts`, which ascend.
fn run(config: DecoderConfig, stream: &[u8], cuts: &[usize]) -> (Vec<Seen>, Option<Violation>) {
    let mut decoder = Decoder::new(config);
    let mut seen = Vec::new();
    let mut start = 0;
    for end in cuts.iter().copied().chain([stream.len()]) {
        if let Err(violation) = feed(&mut decoder, &stream[start..end], &mut seen) {
            return (seen, Some(violation));
        }
        start = end;
    }
    (seen, None)
}

/// The violation of a stream that has one, and nothing before it.
fn violation(config: DecoderConfig, stream: &[u8]) -> Violation {
    match run(config, stream, &[]) {
        (seen, Some(violation)) if seen.is_empty() => violation,
        other => panic!("not a violation at once: {other:?}"),
    }
}

/// Ascending places to cut a stream of that length.
fn random_cuts(prng: &mut Prng, length: usize) -> Vec<usize> {
    let count = prng.below(12);
    let mut cuts: Vec<usize> = (0..count).map(|_| prng.below(length as u64 + 1) as usize).collect();
    cuts.sort_unstable();
    cuts
}
