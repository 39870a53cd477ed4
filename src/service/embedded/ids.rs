//! Ids of connections as hosts know them: the core, a count that goes round after 2^31 connections, and the slot of the
//! connection, so that a reply finds it without a search.

use crate::broker::host::ConnectionId;
use crate::shard::ShardId;

const SLOT_BITS: u32 = 17;
const COUNT_BITS: u32 = 31;

/// Slots there can be; the last one is the gateway's.
pub(super) const SLOTS: u32 = (1 << SLOT_BITS) - 1;

pub(super) fn id(shard: ShardId, count: u64, slot: u32) -> ConnectionId {
    debug_assert!(slot <= SLOTS, "slots of connections are below the table's size");
    let count = count & ((1 << COUNT_BITS) - 1);
    ConnectionId(u64::from(shard.0) << (SLOT_BITS + COUNT_BITS) | count << SLOT_BITS | u64::from(slot))
}

pub(super) fn core_of(id: ConnectionId) -> ShardId {
    ShardId((id.0 >> (SLOT_BITS + COUNT_BITS)) as u16)
}

pub(super) fn slot_of(id: ConnectionId) -> u32 {
    id.0 as u32 & SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_core_and_slot() {
        for (core, count, slot) in [(0, 0, 0), (65_535, u64::MAX, SLOTS), (3, 1 << 31, 70_000)] {
            let made = id(ShardId(core), count, slot);
            assert_eq!((core_of(made), slot_of(made)), (ShardId(core), slot));
        }
        assert_ne!(id(ShardId(1), 1, 5), id(ShardId(1), 2, 5));
    }
}
