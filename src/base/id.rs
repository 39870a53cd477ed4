//! Names of stored things: a type for each number, so that two of them cannot be swapped.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// One append-only ledger of a topic. Ids grow along a topic and are never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedgerId(pub u64);

/// An entry's number in its ledger: counted from 0, dense, written once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub u64);

/// The place of an entry in a topic. The order of positions is the order of a topic's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Its ledger.
    pub ledger: LedgerId,
    /// Its number in the ledger.
    pub entry: EntryId,
}

/// A table by ids. Ids are ours, not a peer's choice, so they are spread by a multiplication: one place in memory per look-up, and
/// the same order in every run.
pub type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// Spreads ids.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, id: u64) {
        // 2^64 divided by the golden ratio: neighbours land far from each other.
        self.0 = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        // The table looks at the lowest bits, which a multiplication mixes least.
        self.0 ^ self.0 >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_and_multiples_spread() {
        for step in [1, 2, 16, 1024, 1 << 20] {
            let mut buckets = vec![0; 256];
            for id in 0..4096u64 {
                let mut hasher = IdHasher::default();
                hasher.write_u64(id * step);
                buckets[(hasher.finish() & 255) as usize] += 1;
            }
            let fullest = buckets.iter().max();
            assert!(fullest.is_some_and(|fullest| *fullest < 64), "step {step}: {fullest:?}");
        }
    }
}
