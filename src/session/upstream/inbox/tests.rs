//! However the bytes are cut, and whatever they are, the same frames come out and nothing large is gathered.

use super::*;
use crate::base::prng::Prng;
use crate::wire::pulsar::proto as p;
use crate::wire::pulsar::{Command, frame};

const FRAME_MAX: usize = 200;

fn stream(prng: &mut Prng) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..1 + prng.below(6) {
        match prng.below(3) {
            0 => frame::put(&mut out, &Command::Ping(p::CommandPing {})),
            1 => {
                let message = "m".repeat(prng.below(100) as usize);
                frame::put(&mut out, &Command::Error(p::CommandError { request_id: 1, error: 1, message }));
            }
            _ => {
                let entry = vec![0x0e; prng.below(80) as usize];
                frame::put_send(&mut out, 1, prng.below(300), None, 1, &entry);
            }
        }
    }
    out
}

/// Feeds the pieces until one fails; the frames and how it ended.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Result<(), FrameError>) {
    let mut inbox = FrameInbox::new(FRAME_MAX);
    let mut frames = Vec::new();
    for piece in pieces {
        let result = inbox.feed(piece, |bytes| {
            frames.push(bytes.to_vec());
            Ok::<(), FrameError>(())
        });
        if result.is_err() {
            return (frames, result);
        }
        assert!(inbox.len() < FRAME_MAX, "{} bytes gathered", inbox.len());
    }
    (frames, Ok(()))
}

fn cut_anywhere<'a>(mut bytes: &'a [u8], prng: &mut Prng) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(1 + prng.below(bytes.len().min(40) as u64) as usize);
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

#[test]
fn cuts_change_nothing() {
    for seed in 0..200 {
        let mut prng = Prng::new(seed);
        let bytes = stream(&mut prng);
        let (whole, result) = feed([bytes.as_slice()]);
        assert_eq!((whole.concat(), result), (bytes.clone(), Ok(())), "seed {seed}");
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(feed([head, tail]), (whole.clone(), Ok(())), "seed {seed} cut {cut}");
            let (frames, result) = feed([head]);
            assert!(result.is_ok() && whole.starts_with(&frames), "seed {seed} prefix {cut}");
        }
        assert_eq!(feed(cut_anywhere(&bytes, &mut prng)), (whole, Ok(())), "seed {seed}");
    }
}

#[test]
fn mutated_bytes_are_framed_the_same_however_they_are_cut() {
    for seed in 0..3000 {
        let mut prng = Prng::new(seed);
        let mut bytes = stream(&mut prng);
        for _ in 0..1 + prng.below(4) {
            let at = prng.below(bytes.len() as u64) as usize;
            bytes[at] = prng.next() as u8;
        }
        let whole = feed([bytes.as_slice()]);
        assert_eq!(feed(cut_anywhere(&bytes, &mut prng)), whole, "seed {seed}");
        assert_eq!(feed(bytes.chunks(1)), whole, "seed {seed}");
    }
}

#[test]
fn a_size_beyond_the_limit_is_refused_before_anything_is_gathered() {
    let size = |total: usize| u32::try_from(total).expect("small").to_be_bytes();
    let (_, result) = feed([size(FRAME_MAX - 3).as_slice()]);
    assert!(matches!(result, Err(FrameError::TooLarge { got: 201, max: FRAME_MAX })), "{result:?}");
    assert_eq!(feed([size(FRAME_MAX - 4).as_slice()]), (Vec::new(), Ok(())));
}

#[test]
fn an_error_of_the_owner_ends_the_call_at_that_frame() {
    let mut bytes = Vec::new();
    (0..3).for_each(|_| frame::put(&mut bytes, &Command::Ping(p::CommandPing {})));
    for cut in 0..bytes.len() {
        let (head, tail) = bytes.split_at(cut);
        let (mut inbox, mut seen) = (FrameInbox::new(FRAME_MAX), 0);
        let mut refuse_second = |_: &[u8]| {
            seen += 1;
            if seen == 2 { Err(FrameError::TooLarge { got: 0, max: 0 }) } else { Ok(()) }
        };
        let result = inbox.feed(head, &mut refuse_second).and_then(|()| inbox.feed(tail, &mut refuse_second));
        assert!(result.is_err() && seen == 2, "cut {cut}");
    }
}
