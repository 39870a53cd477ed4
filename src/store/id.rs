//! Names of stored entries, as the broker protocol spells them (`ledgerId` unsigned, `entryId` signed).

/// A run of entries of one topic: the unit of retention. Grows along a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedgerId(pub u64);

/// An entry's number within its ledger, from 0 without gaps; -1 stands before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub i64);

/// Where an entry is. The order is a topic's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The ledger.
    pub ledger: LedgerId,
    /// The entry in it.
    pub entry: EntryId,
}
