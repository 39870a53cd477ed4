use std::collections::BTreeSet;

use super::*;
use crate::base::prng::Prng;
use crate::broker::ledgers::{Ledger, position};

fn log(ledgers: &[(u64, u64)]) -> Ledgers {
    Ledgers::new(ledgers.iter().map(|&(id, entries)| Ledger { id: LedgerId(id), entries }))
}

fn set(words: &[i64]) -> AckSet {
    AckSet::read(words, None).expect("short")
}

#[test]
fn the_floor_moves_over_single_acks_and_ledgers() {
    let log = log(&[(1, 3), (4, 2)]);
    let mut cursor = Cursor::new(log.first());
    assert_eq!(cursor.backlog(&log), 5);
    for at in [position(1, 1), position(4, 0), position(1, 2)] {
        assert_eq!(cursor.ack(at, &log), Acked::Entry);
        assert_eq!(cursor.ack(at, &log), Acked::Nothing, "once is enough");
    }
    assert_eq!((cursor.floor(), cursor.backlog(&log)), (position(1, 0), 2));
    assert_eq!(cursor.next_unacked(position(1, 1), &log), position(4, 1));
    assert_eq!(cursor.ack(position(1, 0), &log), Acked::Entry);
    assert_eq!((cursor.floor(), cursor.backlog(&log)), (position(4, 1), 1));
    assert!(cursor.runs.is_empty() && cursor.in_runs == 0);
}

#[test]
fn acks_of_what_does_not_exist_do_nothing() {
    let log = log(&[(1, 3)]);
    let mut cursor = Cursor::new(log.first());
    for at in [position(1, 3), position(2, 0), position(0, 0), position(u64::MAX, u64::MAX)] {
        assert_eq!(cursor.ack(at, &log), Acked::Nothing);
        assert_eq!(cursor.ack_part(at, &set(&[1]), &log), Acked::Nothing);
    }
    assert!(!cursor.ack_below(position(2, 0), &log) && !cursor.ack_below(position(1, 0), &log));
    assert!(!cursor.take_dirty());
}

#[test]
fn parts_meet_until_nothing_is_left() {
    let log = log(&[(1, 2)]);
    let mut cursor = Cursor::new(log.first());
    assert_eq!(cursor.ack_part(position(1, 1), &set(&[0b110]), &log), Acked::Part);
    assert_eq!(cursor.ack_part(position(1, 1), &set(&[0b011]), &log), Acked::Part);
    assert_eq!(cursor.left(position(1, 1)).map(AckSet::words), Some([0b010].as_slice()));
    assert_eq!(cursor.ack_part(position(1, 1), &set(&[0b101]), &log), Acked::Entry);
    assert_eq!((cursor.left(position(1, 1)), cursor.is_acked(position(1, 1))), (None, true));
}

#[test]
fn a_cumulative_ack_cuts_runs() {
    let log = log(&[(1, 10)]);
    let mut cursor = Cursor::new(log.first());
    for entry in [2, 3, 4, 5, 8] {
        cursor.ack(position(1, entry), &log);
    }
    assert!(cursor.ack_below(position(1, 4), &log));
    assert_eq!((cursor.floor(), cursor.backlog(&log)), (position(1, 6), 3));
    cursor.reset(position(1, 1));
    assert_eq!((cursor.floor(), cursor.backlog(&log)), (position(1, 1), 9));
}

/// Random acks against a set of numbers, with saving and loading in between.
#[test]
fn a_model_agrees() {
    for seed in 0..200 {
        let mut prng = Prng::new(seed);
        let shape: Vec<_> = (0..4).map(|ledger| (ledger * 2 + 1, prng.below(12))).collect();
        let log = log(&shape);
        let all: Vec<_> =
            shape.iter().flat_map(|&(id, n)| (0..n).map(move |entry| position(id, entry))).collect();
        let mut left: BTreeSet<_> = all.iter().copied().collect();
        let mut cursor = Cursor::new(log.first());
        for _ in 0..60 {
            let Some(&at) = all.get(prng.below(all.len().max(1) as u64) as usize) else { continue };
            match prng.below(8) {
                0 => {
                    cursor.ack_below(at, &log);
                    left = left.split_off(&at);
                }
                1 => cursor = Cursor::load(&cursor.save(), &log).expect("our own bytes"),
                2 if cursor.ack_part(at, &set(&[1]), &log) == Acked::Part => {
                    assert!(left.contains(&at), "seed {seed}");
                }
                _ => assert_eq!(cursor.ack(at, &log) == Acked::Entry, left.remove(&at), "seed {seed}"),
            }
            assert_eq!(cursor.backlog(&log), left.len() as u64, "seed {seed}");
            let first = left.first().copied().unwrap_or(log.end());
            assert_eq!(cursor.next_unacked(position(0, 0), &log), first, "seed {seed}");
            assert_eq!(log.settle(cursor.floor()), first, "seed {seed}");
            assert!(all.iter().all(|at| cursor.is_acked(*at) != left.contains(at)), "seed {seed}");
        }
    }
}

#[test]
fn a_saved_state_is_read_or_refused() {
    let log = log(&[(1, 10)]);
    let mut cursor = Cursor::new(position(1, 2));
    cursor.ack(position(1, 4), &log);
    cursor.ack_part(position(1, 7), &set(&[5]), &log);
    let bytes = cursor.save();
    let golden = "01 0100000000000000 0200000000000000 01000000 0100000000000000 0400000000000000 \
                  0500000000000000 01000000 0100000000000000 0700000000000000 01000000 0500000000000000";
    let golden = golden.split(' ').flat_map(|part| {
        (0..part.len()).step_by(2).map(|at| u8::from_str_radix(&part[at..at + 2], 16).expect("hexadecimal"))
    });
    assert_eq!(bytes, golden.collect::<Vec<_>>());
    cursor.take_dirty();
    assert_eq!(Cursor::load(&bytes, &log), Ok(cursor));
    for end in 0..bytes.len() {
        assert!(Cursor::load(&bytes[..end], &log).is_err(), "{end} bytes");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(Cursor::load(&longer, &log), Err(CursorStateError::Malformed { at: bytes.len() }));
    assert_eq!(Cursor::load(&[9], &log), Err(CursorStateError::Version(9)));
    for seed in 0..500 {
        let mut prng = Prng::new(seed);
        let mut mutated = bytes.clone();
        let at = prng.below(mutated.len() as u64) as usize;
        mutated[at] = prng.next() as u8;
        if let Ok(cursor) = Cursor::load(&mutated, &log) {
            assert!(cursor.backlog(&log) <= 10, "seed {seed}");
        }
    }
}
