//! A hash ring of consumers: each owns the slots up to its points. Joining and leaving move only the slots next to points that
//! came or went (protocol 12).

use std::collections::BTreeMap;

use crate::base::limit::RING_POINTS;
use crate::broker::event::ClientKey;
use crate::wire::pulsar::hash::murmur3_32;

/// Slot of a hash: its lower 16 bits, but 1 for 0, which stands for "not set" (as a 4.0.7 broker routes keys to ranges: observed;
/// applications compute ranges for their keys).
pub(in crate::broker) fn slot_of(hash: u32) -> u16 {
    ((hash & 0xffff) as u16).max(1)
}

/// The points of all consumers.
#[derive(Debug, Default)]
pub(in crate::broker) struct Ring {
    points: BTreeMap<(u16, String, u32), ClientKey>,
}

impl Ring {
    /// A ring of these consumers. Where names are equal, their order decides whose points are whose.
    pub(in crate::broker) fn new<'a>(consumers: impl Iterator<Item = (&'a str, ClientKey)>) -> Ring {
        let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
        let mut points = BTreeMap::new();
        for (name, key) in consumers {
            let twin = seen.entry(name).and_modify(|twins| *twins += 1).or_insert(0);
            for point in 0..RING_POINTS {
                let hash = murmur3_32(format!("{name}\0{twin}\0{point}").as_bytes());
                points.insert((slot_of(hash), name.to_owned(), *twin), key);
            }
        }
        Ring { points }
    }

    /// The owner of a slot: that of the first point at or after it, around the end.
    pub(in crate::broker) fn owner(&self, slot: u16) -> Option<ClientKey> {
        let from = (slot, String::new(), 0);
        self.points.range(from..).next().or_else(|| self.points.first_key_value()).map(|(_, key)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::event::ConnectionId;

    fn key(id: u64) -> ClientKey {
        ClientKey { connection: ConnectionId(id), id }
    }

    #[test]
    fn slots_are_those_of_the_original() {
        // Key `a` hashes to 1009084850, `hello` to 613153351.
        let slots = [1_009_084_850, 613_153_351, 0, 0x5_0000, u32::MAX].map(slot_of);
        assert_eq!(slots, [27_058, 64_071, 1, 1, 65_535]);
    }

    #[test]
    fn slots_spread_and_few_move() {
        let names: Vec<_> = (0..5).map(|id| (format!("consumer-{id}"), key(id))).collect();
        let ring = |count| Ring::new(names.iter().take(count).map(|(name, key)| (name.as_str(), *key)));
        let (four, five) = (ring(4), ring(5));
        let mut shares = [0u32; 5];
        for slot in 1..=65_535 {
            let owner = five.owner(slot).expect("somebody");
            shares[owner.id as usize] += 1;
            assert!(owner == key(4) || four.owner(slot) == Some(owner), "slots move only to the newcomer");
        }
        assert!(shares.iter().all(|share| (6_000..22_000).contains(share)), "{shares:?}");
        assert_eq!(ring(0).owner(1), None);
    }

    #[test]
    fn equal_names_share() {
        let ring = Ring::new([("a", key(1)), ("a", key(2))].into_iter());
        let mine = (1..=65_535).filter(|slot| ring.owner(*slot) == Some(key(1))).count();
        assert!((15_000..50_000).contains(&mine), "{mine}");
    }
}
