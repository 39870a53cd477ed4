use std::collections::BTreeSet;

use super::*;
use crate::base::id::LedgerId;
use crate::base::prng::Prng;
use crate::broker::ledgers::{Ledger, position};
use crate::store::{CursorId, CursorSet, Record, State, TopicId, TopicPut};

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
    assert!(!cursor.is_dirty());
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

/// What was saved, as the log keeps it: sets and updates are put together by its own rules.
#[derive(Default)]
struct Saved(State);

impl Saved {
    fn new() -> Saved {
        let mut saved = Saved::default();
        saved.put(&Record::TopicPut(TopicId(1), TopicPut { name: b"t", properties: b"" }));
        saved
    }

    fn put(&mut self, record: &Record<'_>) {
        self.0.apply(0, record).expect("it fits");
    }

    fn save(&mut self, change: Option<Change>) {
        match change {
            Some(Change::Set(acks)) => {
                let set = CursorSet { name: b"s", acks, properties: b"" };
                self.put(&Record::CursorSet(TopicId(1), CursorId(1), set));
            }
            Some(Change::Update(acks)) => self.put(&Record::CursorUpdate(TopicId(1), CursorId(1), acks)),
            None => {}
        }
    }

    fn load(&self, log: &Ledgers) -> Cursor {
        Cursor::load(self.0.cursor(TopicId(1), CursorId(1)).expect("saved"), log)
    }
}

/// What a consumer can tell of a cursor.
fn facts(cursor: &Cursor, log: &Ledgers, all: &[Position]) -> Vec<(bool, Option<Vec<i64>>)> {
    let of = |at: &Position| (cursor.is_acked(*at), cursor.left(*at).map(|set| set.words().to_vec()));
    assert_eq!(cursor.backlog(log), all.iter().filter(|at| !cursor.is_acked(**at)).count() as u64);
    all.iter().map(of).collect()
}

#[test]
fn updates_add_up_to_the_whole() {
    for seed in 0..300 {
        let mut prng = Prng::new(seed);
        let shape: Vec<_> = (0..3).map(|ledger| (ledger + 1, 1 + prng.below(9))).collect();
        let log = log(&shape);
        let all: Vec<_> =
            shape.iter().flat_map(|&(id, n)| (0..n).map(move |entry| position(id, entry))).collect();
        let mut saved = Saved::new();
        let mut cursor = Cursor::new(log.first());
        saved.save(Some(Change::Set(cursor.take_all())));
        for _ in 0..50 {
            let at = all[prng.below(all.len() as u64) as usize];
            match prng.below(10) {
                0 => drop(cursor.ack_below(at, &log)),
                1 if prng.below(4) == 0 => cursor.reset(at),
                2 | 3 => {
                    let left = set(&[1 + prng.below(7) as i64]);
                    cursor.ack_part(at, &left, &log);
                }
                4 if prng.below(4) == 0 => {
                    let lost = cursor.take_change();
                    if lost.is_some() {
                        cursor.on_save_failed();
                    }
                }
                _ => drop(cursor.ack(at, &log)),
            }
            if prng.below(3) == 0 {
                saved.save(cursor.take_change());
                let loaded = saved.load(&log);
                assert_eq!(facts(&loaded, &log, &all), facts(&cursor, &log, &all), "seed {seed}");
                if prng.below(5) == 0 {
                    cursor = loaded;
                }
            }
        }
    }
}

#[test]
fn what_is_saved_is_bounded_and_nonsense_is_left_out() {
    let log = log(&[(1, 30_000)]);
    let mut cursor = Cursor::new(log.first());
    for entry in (1..30_000).step_by(2) {
        cursor.ack(position(1, entry), &log);
    }
    let Some(Change::Set(acks)) = cursor.take_change() else { panic!("too much for an update") };
    assert_eq!(acks.ranges.len(), CURSOR_RANGES_SAVED_MAX);
    let mut saved = Saved::new();
    let ranges = vec![(position(1, 29_990), EntryId(90_000)), (position(7, 0), EntryId(9))];
    let partial = vec![(position(1, 5), vec![0]), (position(9, 0), vec![1]), (position(1, 6), vec![2])];
    saved.save(Some(Change::Set(Acks { below: position(1, 2), ranges, partial })));
    let loaded = saved.load(&log);
    assert_eq!(loaded.backlog(&log), 30_000 - 2 - 10);
    assert_eq!((loaded.left(position(1, 5)), loaded.left(position(1, 6))), (None, Some(&set(&[2]))));
}
