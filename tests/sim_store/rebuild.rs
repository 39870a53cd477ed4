//! Stores that recovery cannot serve, put together again from what is left.

use crate::disk::SimDisk;
use crate::seeds;
use crate::world::{CONFIG, STORE, World};
use pulsegate::base::prng::Prng;
use pulsegate::store::rebuild::{Rebuild, Rebuilt};
use pulsegate::store::state::Topics;
use pulsegate::store::{FileName, RecoverError, recover};
use std::collections::BTreeMap;

fn rebuild(disk: &mut SimDisk) -> Rebuilt {
    let contents = disk.contents();
    let mut rebuild = Rebuild::new(&contents, STORE, CONFIG.slot_bytes);
    for (name, bytes) in disk.files() {
        if let FileName::Segment(ledger) = name {
            rebuild.segment(ledger, bytes);
        }
    }
    let rebuilt = rebuild.finish();
    let after = rebuilt.contents(&contents);
    disk.put(&after);
    rebuilt
}

/// Ledgers with their entries and topic, and names of subscriptions.
type Held = (BTreeMap<u64, (String, u64)>, Vec<(String, String)>);

fn held(topics: &Topics) -> Held {
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let (mut ledgers, mut cursors) = (BTreeMap::new(), Vec::new());
    for (id, topic) in topics {
        let name = format!("{} {}", id.0, text(&topic.name));
        for ledger in topic.ledgers.iter().filter(|ledger| ledger.entries > 0) {
            ledgers.insert(ledger.id.0, (name.clone(), ledger.entries));
        }
        cursors.extend(topic.cursors.values().map(|cursor| (name.clone(), text(&cursor.name))));
    }
    (ledgers, cursors)
}

/// F07: both checkpoints rot. Every entry is there, at its place, with its bytes; subscriptions are there and begin anew; what was
/// deleted does not come back; the store goes on.
#[test]
fn a_store_without_checkpoints_is_put_together() {
    let mut told = 0;
    for seed in seeds(12) {
        println!("SIM_SEED={seed}");
        let mut world = World::killed_after(seed, 12);
        let before = held(&world.log.state().topics);
        let mut prng = Prng::new(seed);
        for (name, bytes) in world.disk.files() {
            if matches!(name, FileName::Checkpoint(_)) {
                let at = prng.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1;
            }
        }
        let stopped = recover(&world.disk.contents(), STORE).map(|_| ());
        // A flip in the zeroes behind the records of the last frame counts too.
        assert_eq!(stopped, Err(RecoverError::NoCheckpoint));
        let rebuilt = rebuild(&mut world.disk);
        assert_eq!((rebuilt.report.damaged, rebuilt.report.behind_gaps), (0, 0));
        let entries = world.entries;
        let recovered = recover(&world.disk.contents(), STORE).expect("it was put together");
        let after = held(&recovered.state.topics);
        assert_eq!(after.0, before.0, "ledgers");
        // A subscription of which only the damaged part of a checkpoint tells is not known any more.
        assert!(after.1.iter().all(|cursor| before.1.contains(cursor)), "{after:?} {before:?}");
        told += after.1.len();
        let cursors = recovered.state.topics.values().flat_map(|topic| topic.cursors.values());
        assert!(cursors.into_iter().all(|cursor| cursor.below.ledger.0 == 0 && cursor.ranges.is_empty()));
        let next_id = world.next_id;
        let mut world = World::with(world.prng, world.disk, recovered);
        (world.entries, world.next_id) = (entries, next_id + 1);
        world.settle();
        assert!(world.log.is_open());
        let count: u64 = before.0.values().map(|(_, entries)| *entries).sum();
        assert_eq!(world.read_all().0 as u64, count, "every entry");
        for _ in 0..3 {
            for _ in 0..600 {
                world.step();
            }
            world.disk.crash();
            world = world.restart().expect("a crash is no rot");
            world.settle();
            world.read_all();
        }
    }
    assert!(told > 0, "subscriptions came back");
}

/// A damaged segment costs what is damaged, and is told of when it is read; the rest of its ledger is there.
#[test]
fn a_hole_in_a_segment_stays_a_hole() {
    let mut holes = 0;
    for seed in seeds(6) {
        println!("SIM_SEED={seed}");
        let mut world = World::killed_after(seed, 8);
        let before = held(&world.log.state().topics);
        world.disk.lose(|name| matches!(name, FileName::Checkpoint(_)));
        let mut prng = Prng::new(seed);
        for (name, bytes) in world.disk.files() {
            if matches!(name, FileName::Segment(_)) && bytes.len() > 4096 {
                let at = prng.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1;
            }
        }
        let rebuilt = rebuild(&mut world.disk);
        holes += rebuilt.report.damaged;
        let recovered = recover(&world.disk.contents(), STORE).expect("it was put together");
        let after = held(&recovered.state.topics);
        for (ledger, (topic, entries)) in &after.0 {
            let (known, all) = &before.0[ledger];
            assert!(known == topic && entries <= all, "{ledger}");
        }
        let mut world = World::with(world.prng, world.disk, recovered);
        world.settle();
        assert!(world.log.is_open());
    }
    assert!(holes > 0);
}
