//! Names of stored things: a type for each number, so that two of them cannot be swapped.

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
