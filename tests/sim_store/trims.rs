//! Ledgers go, one by one as retention takes them and all at once with their topic, and the power with them.

use crate::seeds;
use crate::world::World;
use pulsegate::base::id::LedgerId;
use pulsegate::store::{DiskOp, FileName, LogError, Record, TopicId};
use std::collections::BTreeSet;

/// Segments deleted in a seed, at least.
const DELETES: u32 = 12;

impl World {
    /// The oldest ledger of the topic that has most, if it is closed; every third time the topic.
    fn take_away(&mut self, round: u32) -> Result<(), LogError> {
        let topics = &self.log.state().topics;
        let Some((topic, of)) = topics.iter().max_by_key(|(_, topic)| topic.ledgers.len()) else {
            return Ok(());
        };
        let topic: TopicId = *topic;
        match of.ledgers.first() {
            Some(_) if round.is_multiple_of(3) => self.append_record(&Record::TopicDelete(topic)),
            Some(oldest) if oldest.closed => {
                let ledger = oldest.id;
                self.append_record(&Record::LedgerDelete(ledger))
            }
            _ => Ok(()),
        }
    }

    /// Segments of ledgers that are gone.
    fn nameless(&mut self) -> BTreeSet<LedgerId> {
        let named = self.ledgers();
        let ledger = |(name, _)| match name {
            FileName::Segment(ledger) if !named.contains(&ledger) => Some(ledger),
            _ => None,
        };
        self.disk.files().filter_map(ledger).collect()
    }
}

/// F14: the power goes at every request of trims and deletes, between settling and checkpoints. No ledger that is left misses its
/// segment, what is confirmed to be gone stays gone, and after a start no segment is left that nobody names.
#[test]
fn power_may_go_while_ledgers_go() {
    for seed in seeds(3) {
        println!("SIM_SEED={seed}");
        let mut world = World::new(seed);
        let (mut deletes, mut round, mut left) = (0, 0, 0);
        while deletes < DELETES || left == 0 {
            round += 1;
            (0..30).for_each(|_| world.append());
            match world.take_away(round) {
                Ok(()) | Err(LogError::Full | LogError::NotOpen) => {}
                Err(error) => panic!("{error}"),
            }
            world.log.drive();
            world.gather();
            let mut stays = true;
            while stays && !world.ops.is_empty() {
                let number = world.prng.below(world.ops.len() as u64) as usize;
                let is_delete = matches!(world.ops[number].1, DiskOp::Delete(FileName::Segment(_)));
                deletes += u32::from(is_delete);
                stays = !is_delete || world.prng.below(3) > 0;
                if stays {
                    world.perform(number);
                    world.probe(seed << 40 | u64::from(round) << 20 | world.ops.len() as u64);
                }
            }
            if !stays {
                world.disk.crash();
                world = world.restart().expect("a crash is no rot");
                left += world.nameless().len();
                world.settle();
                assert_eq!(world.nameless(), BTreeSet::new(), "segments of nobody");
                world.read_all();
            }
        }
    }
}
