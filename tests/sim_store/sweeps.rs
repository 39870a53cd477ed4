//! Every request a crash, every byte a flip, every time a search.

use crate::seeds;
use crate::world::{CONFIG, STORE, World};
use pulsegate::base::id::{EntryId, LedgerId, Position};
use pulsegate::base::prng::Prng;
use pulsegate::store::state::Topics;
use pulsegate::store::{
    DiskOp, Event, FileName, Found, Options, RecoverError, StoreId, examine, recover, recover_with,
};

/// F01, F02, F14: at each request of a run (commits, rolls, settling, checkpoints, deletes) power may go, and each time something
/// else of what was not flushed is kept. Never is a torn frame of whatever size taken for rot, nor something confirmed lost.
#[test]
fn power_may_go_at_every_request() {
    for seed in seeds(2) {
        println!("SIM_SEED={seed}");
        let mut world = World::new(seed);
        let (mut requests, mut kinds) = (0, [0; 4]);
        while requests < 400 {
            world.step();
            let Some((_, op)) = world.ops.front() else { continue };
            let kind = match op {
                DiskOp::Write { file: FileName::Journal(_), .. } => 0,
                DiskOp::Write { file: FileName::Segment(_), .. } => 1,
                DiskOp::Write { file: FileName::Checkpoint(_), .. } => 2,
                _ => 3,
            };
            kinds[kind] += 1;
            requests += 1;
            world.perform(0);
            for draw in 0..2 {
                world.probe(seed << 32 | requests << 1 | draw);
            }
        }
        assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
    }
}

/// F10: each request that makes a file fails once, alone. Nothing is lost, and the store goes on by itself.
#[test]
fn no_file_that_cannot_be_made_stops_the_store() {
    for number in seeds(12).map(|seed| seed + 1) {
        let mut world = World::new(number);
        world.disk.faults.create = Some(number as u32);
        for _ in 0..3_000 {
            world.step();
            if world.failed_checkpoints > 0 {
                world.failed_checkpoints = 0;
                world.log.checkpoint();
            }
        }
        assert!(world.disk.faults.create.is_none(), "the {number}th file was wanted");
        world.settle();
        assert!(world.log.has_room() && !world.dead, "file {number}");
        let (read, _) = world.read_all();
        world.disk.crash();
        let mut world = world.restart().expect("a crash is no rot");
        world.settle();
        assert_eq!(world.read_all().0, read);
    }
}

/// A person accepts the loss of what is damaged: the journal is cut there, what is before it is served, what is behind it never
/// comes back, and the store goes on.
#[test]
fn an_accepted_loss_is_cut_and_stays_cut() {
    let (mut cut, mut seed, mut told, mut missing) = (0u64, 0, 0, 0);
    while cut < 5 {
        seed += 1;
        let mut world = World::new(seed);
        for _ in 0..400 {
            world.step();
        }
        world.settle();
        world.log.heartbeat();
        world.settle();
        world.disk.kill();
        let slot_bytes = CONFIG.slot_bytes;
        let end = recover(&world.disk.contents(), STORE).expect("sound").cursor.position;
        let bit = Prng::new(seed).below(end * 8);
        let (file, at) = (bit / 8 / slot_bytes, (bit / 8 % slot_bytes) as usize);
        // Files are made in order here, so a file's number is its slot's until one is used again.
        let found = world.disk.files().find(|(name, _)| *name == FileName::Journal(file as u32));
        let Some((_, bytes)) = found else { continue };
        bytes[at] ^= 1 << (bit % 8);
        let contents = world.disk.contents();
        let Err(RecoverError::Rotten { at }) = recover(&contents, STORE) else { continue };
        let damage = examine(&contents, STORE, &RecoverError::Rotten { at }).expect("it can be cut there");
        assert!(damage.at == at && damage.loss.bytes > 0, "{damage:?}");
        assert!(matches!(damage.place, Some((FileName::Journal(_), offset)) if offset == at % slot_bytes));
        let elsewhere = Options { accept_loss_at: Some(at + 4096) };
        assert!(recover_with(&contents, STORE, elsewhere).is_err(), "only what was named is given up");
        let recovered = recover_with(&contents, STORE, Options { accept_loss_at: Some(at) }).unwrap();
        // What was deleted behind the cut is gone, whatever the journal says now: told, and not of interest here.
        if !recovered.damaged.is_empty() {
            continue;
        }
        cut += 1;
        // What is told to be lost is all that is missing, but for the frame that cannot be read.
        let count = |topics: &Topics| {
            let ledgers = topics.values().flat_map(|topic| &topic.ledgers);
            ledgers.map(|ledger| ledger.entries).sum::<u64>()
        };
        let (before, after) = (count(&world.confirmed.topics), count(&recovered.state.topics));
        told += damage.loss.entries.values().sum::<u64>();
        missing += before.saturating_sub(after);
        assert!(recovered.torn > 0 && recovered.cursor.position <= at);
        let entries = world.entries;
        let mut world = World::with(world.prng, world.disk, recovered);
        world.settle();
        assert!(world.log.is_open());
        for _ in 0..3 {
            world.next_id |= 1 << 30 | cut << 20;
            (world.entries, world.confirmed) = (entries.clone(), world.log.state().clone());
            for _ in 0..300 {
                world.step();
            }
            world.settle();
            world.disk.crash();
            world = world.restart().expect("no need to accept it twice");
            world.settle();
        }
    }
    assert!(told > 0 && missing > 0, "{told} told, {missing} missing");
}

/// The journal is gone altogether: the store is not served, and if that is accepted, what the checkpoint holds is, for good.
#[test]
fn a_lost_journal_stops_the_store_until_that_is_accepted() {
    for seed in seeds(3) {
        println!("SIM_SEED={seed}");
        let mut world = World::killed_after(seed, 2);
        world.disk.lose(|name| matches!(name, FileName::Journal(_)));
        let contents = world.disk.contents();
        let Err(error @ RecoverError::Rotten { at }) = recover(&contents, STORE) else { panic!("served") };
        let damage = examine(&contents, STORE, &error).expect("it can be cut there");
        assert_eq!((damage.at, damage.place), (at, None));
        let recovered = recover_with(&contents, STORE, Options { accept_loss_at: Some(at) }).unwrap();
        let entries = world.entries;
        let mut world = World::with(world.prng, world.disk, recovered);
        (world.entries, world.next_id) = (entries, 1 << 30);
        world.settle();
        assert!(world.log.is_open() && world.read_all().0 > 0);
        for _ in 0..600 {
            world.step();
        }
        world.disk.crash();
        let mut world = world.restart().expect("no need to accept it twice");
        world.settle();
        world.disk.lose(|name| !matches!(name, FileName::Segment(_)));
        let without = recover(&world.disk.contents(), STORE).map(|_| ());
        assert_eq!(without, Err(RecoverError::NoCheckpoint), "segments alone are no new store");
    }
}

/// The first entry at or after any time is found, wherever it lies, with one read at most.
#[test]
fn times_are_found() {
    let mut fetched = 0;
    for seed in seeds(3) {
        println!("SIM_SEED={seed}");
        let mut world = World::new(seed);
        for _ in 0..3_000 {
            world.step();
        }
        world.settle();
        // A ledger's entries with their times, as reading finds them.
        let topics: Vec<_> = world.log.state().topics.keys().copied().collect();
        for topic in topics {
            let ledgers = world.log.topic(topic).expect("listed").ledgers.clone();
            let mut all = Vec::new();
            for ledger in &ledgers {
                let times = world.times(ledger.id, ledger.entries);
                let at = |entry| Position { ledger: ledger.id, entry: EntryId(entry) };
                all.extend((0..).map(at).zip(times));
            }
            let last = all.last().map_or(0, |(_, time)| *time);
            for wall_ms in (0..12).map(|n| n * (last + 20) / 11) {
                let expected = all.iter().find(|(_, time)| *time >= wall_ms).map(|(at, _)| *at);
                let found = match world.log.find_time(topic, wall_ms) {
                    Found::Known(found) => found,
                    Found::Fetch(wanted) => {
                        fetched += 1;
                        let (id, op) = world.log.take_op().expect("one read");
                        let result = world.disk.perform(op);
                        world.log.on_done(id, result);
                        let Some(Event::Found { id, position }) = world.log.take_event() else {
                            panic!("an answer")
                        };
                        assert_eq!(id, wanted);
                        position.expect("a sound disk")
                    }
                };
                assert_eq!(found, expected, "{topic:?} at {wall_ms}");
            }
        }
    }
    assert!(fetched > 0);
}

/// What only memory and the journal hold is bounded, however fast entries come.
#[test]
fn entries_leave_memory() {
    let mut world = World::new(9);
    let mut most = 0;
    for _ in 0..20_000 {
        world.step();
        most = most.max(world.log.unsettled());
    }
    assert!(world.log.durable().0 > 2_000 && most < 4 * CONFIG.unsettled_bytes + 10_000, "{most}");
    world.settle();
    assert!(!world.log.is_behind(), "{}", world.log.unsettled());
}

/// Ledgers of different stores never share an id, and none is used twice.
#[test]
fn ledger_ids_are_their_stores_own() {
    let mut world = World::new(4);
    world.settle();
    for _ in 0..2_000 {
        let high = world.ledgers().into_iter().max().unwrap_or(LedgerId(0));
        let next: Vec<u64> = (0..4).map(|store| world.log.next_ledger(StoreId(store), 4).0).collect();
        assert!(
            next.iter().enumerate().all(|(store, id)| id % 4 == store as u64 && *id > high.0),
            "{next:?}"
        );
        world.step();
    }
}
