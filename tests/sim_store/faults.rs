//! One fault at a time, each with what must follow from it.

use crate::seeds;
use crate::world::{CONFIG, STORE, World, comparable};
use bytes::Bytes;
use pulsegate::base::id::{EntryId, LedgerId, Position};
use pulsegate::base::prng::Prng;
use pulsegate::store::disk::BLOCK;
use pulsegate::store::{
    DiskError, Event, FileName, Lookup, ReadError, RecoverError, TopicId, TopicPut, recover,
};

fn run(world: &mut World, steps: u64) {
    for _ in 0..steps {
        world.step();
    }
}

/// Everything carried out, and the last frame proven by a heartbeat.
fn quiet(world: &mut World) {
    world.settle();
    world.log.heartbeat();
    world.settle();
}

/// Runs until `count` checkpoints were made, and is quiet.
fn run_to_checkpoints(world: &mut World, count: u32) {
    for _ in 0..20_000 {
        if world.checkpoints >= count {
            break;
        }
        world.step();
    }
    assert!(world.checkpoints >= count, "enough was written for {count} checkpoints");
    quiet(world);
}

fn file(world: &mut World, wanted: impl Fn(FileName) -> bool) -> &mut Vec<u8> {
    world.disk.files().find(|(name, _)| wanted(*name)).expect("the file is there").1
}

/// F05: a bit that flips below the heartbeat is always found, wherever it is.
#[test]
fn rot_is_never_taken_for_a_torn_tail() {
    let mut found = 0;
    for seed in seeds(20) {
        println!("SIM_SEED={seed}");
        let mut world = World::new(seed);
        run(&mut world, 60);
        quiet(&mut world);
        assert_eq!(world.checkpoints, 0, "all of it is still in the journal");
        let (sound, mut prng) = (world.disk.contents(), Prng::new(seed));
        let before = recover(&sound, STORE).unwrap();
        let end = before.cursor.position as usize - BLOCK;
        for _ in 0..50 {
            let mut rotten = sound.clone();
            let bit = prng.below(end as u64 * 8) as usize;
            let (slot, at) = (bit / 8 / CONFIG.slot_bytes as usize, bit / 8 % CONFIG.slot_bytes as usize);
            let mut bytes = rotten.journal[&(slot as u32)].to_vec();
            bytes[at] ^= 1 << (bit % 8);
            rotten.journal.insert(slot as u32, bytes.into());
            match recover(&rotten, STORE) {
                Err(RecoverError::Rotten { at }) => found += usize::from(at <= bit as u64 / 8),
                Err(other) => panic!("bit {bit}: {other}"),
                // Behind the last frame of a slot, where nothing is.
                Ok(after) => assert_eq!(after.state, before.state, "bit {bit}"),
            }
        }
    }
    assert!(found >= seeds(20).count() * 35, "{found} of {}", seeds(20).count() * 50);
}

/// F07: one damaged checkpoint costs a longer replay; two stop the store.
#[test]
fn the_older_checkpoint_serves_when_the_newer_rots() {
    for seed in seeds(8) {
        println!("SIM_SEED={seed}");
        let mut world = World::new(seed);
        run_to_checkpoints(&mut world, 3);
        // No further checkpoint succeeds: the journal grows into every slot that was let go.
        world.disk.faults.full = true;
        run(&mut world, 5_000);
        quiet(&mut world);
        world.disk.kill();
        let generations: Vec<u64> = world.disk.contents().checkpoints.keys().copied().collect();
        let [older, newer] = generations[..] else { panic!("two are kept: {generations:?}") };
        file(&mut world, |name| name == FileName::Checkpoint(newer))[100] ^= 1;
        let state = comparable(world.log.state());
        let mut world = world.restart().unwrap();
        assert_eq!(comparable(world.log.state()), state);
        world.settle();
        assert!(world.read_all().0 > 0);
        // Enough that the first files of the journal are gone: with them, replay from nothing would be right.
        run_to_checkpoints(&mut world, 10);
        world.disk.crash();
        let mut world = world.restart().unwrap();
        world.settle();
        world.read_all();
        for (name, bytes) in world.disk.files().filter(|(name, _)| matches!(name, FileName::Checkpoint(_))) {
            assert_ne!(name, FileName::Checkpoint(newer), "the damaged one is gone");
            bytes[70] ^= 4;
        }
        let stopped = recover(&world.disk.contents(), STORE).map(|_| ());
        assert!(matches!(stopped, Err(RecoverError::NoCheckpoint)), "{stopped:?} without {older}");
    }
}

/// F10: a full disk stops entries before it stops anything else, loses nothing, and when there is room again all goes on.
#[test]
fn a_full_disk_refuses_and_recovers() {
    for seed in seeds(2) {
        println!("SIM_SEED={seed}");
        let mut world = World::new(seed);
        run_to_checkpoints(&mut world, 1);
        world.disk.faults.full = true;
        world.refused = 0;
        for _ in 0..6_000 {
            world.step();
        }
        assert!(world.refused > 0 && world.failed_checkpoints > 0 && !world.dead);
        assert!(!world.log.has_room());
        world.settle();
        world.disk.faults.full = false;
        world.log.checkpoint();
        world.settle();
        assert!(world.log.has_room(), "a checkpoint made room");
        let (read, _) = world.read_all();
        world.disk.crash();
        let mut world = world.restart().unwrap();
        world.settle();
        assert_eq!(world.read_all().0, read);
    }
}

/// F10 at a start: a journal without room, a disk without room. Not open, not lost; room, then open.
#[test]
fn a_full_store_opens_once_there_is_room() {
    let mut world = World::new(5);
    run_to_checkpoints(&mut world, 1);
    world.disk.faults.full = true;
    run(&mut world, 20_000);
    world.settle();
    for _ in 0..20 {
        world.disk.kill();
        world.disk.faults.full = true;
        world = world.restart().unwrap();
        world.settle();
    }
    world.disk.faults.full = false;
    world.log.checkpoint();
    world.settle();
    assert!(world.log.is_open() && world.log.has_room());
    assert!(world.read_all().0 > 0);
}

/// F11: after a flush failed nothing is confirmed and nothing is written; recovery has all that was confirmed.
#[test]
fn a_failed_flush_is_the_end() {
    for seed in seeds(40) {
        println!("SIM_SEED={seed}");
        let mut world = World::new(seed);
        world.settle();
        world.disk.faults.journal_sync = Some(1 + seed as u32);
        for _ in 0..5_000 {
            world.step();
            if world.dead {
                break;
            }
        }
        assert!(world.dead && !world.log.is_open());
        let durable = world.log.durable();
        run(&mut world, 100);
        world.settle();
        assert_eq!(world.log.durable(), durable, "nothing is confirmed after it");
        world.disk.crash();
        world.restart().unwrap();
    }
}

/// F13: slots in their second and third life are full of whole frames of earlier ones.
#[test]
fn frames_of_an_earlier_life_are_never_replayed() {
    for seed in seeds(4) {
        println!("SIM_SEED={seed}");
        let mut world = World::new(seed);
        run_to_checkpoints(&mut world, 12);
        let position = recover(&world.disk.contents(), STORE).unwrap().cursor.position;
        assert!(position > 2 * CONFIG.slot_bytes * u64::from(CONFIG.slots_max), "every slot was used again");
        let (state, entries) = (comparable(world.log.state()), world.read_all());
        world.disk.crash();
        let mut world = world.restart().unwrap();
        assert_eq!(comparable(world.log.state()), state);
        world.settle();
        assert_eq!(world.read_all().0, entries.0);
    }
}

/// Carries out what a read wants; its entries, and the gaps that were told of.
#[allow(clippy::type_complexity, reason = "said in the line above")]
fn read(world: &mut World, position: Position) -> (Result<Vec<Bytes>, ReadError>, Vec<(u64, u64)>) {
    world.settle();
    let Lookup::Fetch(wanted) = world.log.read(position, 1) else { panic!("not in memory") };
    while let Some((id, op)) = world.log.take_op() {
        let result = world.disk.perform(op);
        world.log.on_done(id, result);
    }
    let (mut read, mut gaps) = (None, Vec::new());
    while let Some(event) = world.log.take_event() {
        match event {
            Event::Read { id, entries, .. } if id == wanted => {
                read = Some(entries.map(|run| run.into_iter().map(|stored| stored.bytes).collect()));
            }
            Event::Damaged { first, behind, .. } => gaps.push((first.0, behind.0)),
            _ => {}
        }
    }
    (read.expect("an answer"), gaps)
}

/// A settled ledger of several entries that is no longer in memory.
fn settled(world: &mut World) -> Position {
    let ledgers: Vec<LedgerId> = world.ledgers();
    let mut found = ledgers.into_iter().map(|ledger| Position { ledger, entry: EntryId(0) });
    let is_settled = |at: &Position| {
        let lookup = world.log.read(*at, 1);
        let ledger = world.log.state().ledger(at.ledger).expect("listed");
        matches!(lookup, Lookup::Fetch(_)) && ledger.index.behind(0).0 > 2
    };
    found.find(is_settled).expect("something is settled and no longer in memory")
}

/// F06, F12: a damaged segment and a failing read are told, never served; what of it is whole can be had.
#[test]
fn damaged_entries_are_told_and_not_served() {
    let mut world = World::new(3);
    run_to_checkpoints(&mut world, 2);
    let position = settled(&mut world);
    let (all, _) = read(&mut world, position);
    let all = all.unwrap();
    world.disk.faults.read = true;
    assert_eq!(read(&mut world, position).0, Err(ReadError::Disk(DiskError::Io)));
    world.disk.faults.read = false;
    let segment = file(&mut world, |name| name == FileName::Segment(position.ledger));
    let body = segment.windows(all[0].len()).position(|bytes| bytes == all[0]).expect("entry 0 is there");
    segment[body + 1] ^= 1;
    let (entries, gaps) = read(&mut world, position);
    assert_eq!((entries, gaps), (Err(ReadError::Rotten { behind: EntryId(1) }), vec![(0, 1)]));
    let (entries, gaps) = read(&mut world, Position { entry: EntryId(1), ..position });
    assert_eq!((entries.unwrap(), gaps), (all[1..].to_vec(), vec![(0, 1)]), "who skips it goes on");
    // Scrubbing finds it within one pass.
    let (mut found, mut steps) = (Vec::new(), 0);
    while world.log.scrub_step() {
        while let Some((id, op)) = world.log.take_op() {
            let result = world.disk.perform(op);
            world.log.on_done(id, result);
        }
        while let Some(event) = world.log.take_event() {
            if let Event::Damaged { ledger, first, behind } = event {
                found.push((ledger, first, behind));
            }
        }
        steps += 1;
    }
    assert_eq!(found, [(position.ledger, EntryId(0), EntryId(1))]);
    let topics = world.log.state().topics.values();
    let pieces = topics.flat_map(|topic| &topic.ledgers).map(|ledger| ledger.index.pieces().len());
    assert_eq!(steps, pieces.sum::<usize>(), "each piece once");
}

/// Group commit: whatever waits while a flush is under way shares the next one.
#[test]
fn one_flush_serves_all_that_wait() {
    let mut world = World::new(1);
    while world.log.state().topics.is_empty() {
        run(&mut world, 20);
    }
    let topic = TopicId(1 << 40);
    let put = TopicPut { name: b"t", properties: b"" };
    let ledger = LedgerId(1 << 40);
    world.settle();
    world.log.append(0, &pulsegate::store::Record::TopicPut(topic, put)).unwrap();
    world.log.append(0, &pulsegate::store::Record::LedgerOpen(ledger, topic)).unwrap();
    world.settle();
    let mut syncs = 0;
    let mut last = None;
    for _ in 0..64 {
        let bytes = bytes::Bytes::from_static(&[7; 100]);
        last = Some(world.log.append_entry(ledger, 0, 1, bytes).unwrap().1);
    }
    world.log.drive();
    world.gather();
    while let Some((id, op)) = world.ops.pop_front() {
        syncs += usize::from(matches!(op, pulsegate::store::DiskOp::Sync(FileName::Journal(_))));
        let result = world.disk.perform(op);
        world.log.on_done(id, result);
        world.gather();
    }
    assert!(Some(world.log.durable()) >= last);
    assert_eq!(syncs, 1, "64 appends, {syncs} flushes");
}
