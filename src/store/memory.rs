//! Entries in memory: those that are in no segment yet, and the newest of the others. Bounded by bytes.
//!
//! An entry's bytes are a slice of a larger buffer that they keep alive. So what leaves memory does so oldest first, and what
//! will stay long (the few entries of quiet topics) is copied out of its buffer.

use super::TopicId;
use super::segment::Stored;
use super::state::Ledger;
use crate::base::id::{IdMap, LedgerId};
use bytes::BytesMut;
use std::collections::{BTreeMap, VecDeque};

/// Bytes an entry takes beside its own: its place in the queue.
const EACH: usize = std::mem::size_of::<Stored>();

/// The last entries of one ledger.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    /// Whose the ledger is.
    pub topic: TopicId,
    /// Number of the oldest entry here.
    pub first: u64,
    /// The entries from there on.
    pub entries: VecDeque<Stored>,
    /// Entries below are durable.
    readable: u64,
    /// Entries below are in the segment.
    settled: u64,
    /// Entries below, of those not settled, do not share their memory.
    copied: u64,
    /// Bytes of what is not settled.
    unsettled: usize,
}

impl Tail {
    /// An empty one that goes on at entry `first`; all before is durable and settled.
    pub fn new(topic: TopicId, first: u64) -> Self {
        let (readable, settled, copied) = (first, first, first);
        Tail { topic, first, entries: VecDeque::new(), readable, settled, copied, unsettled: 0 }
    }

    /// Adds an entry.
    pub fn push(&mut self, stored: Stored) {
        self.unsettled += stored.bytes.len() + EACH;
        self.entries.push_back(stored);
    }

    /// All entries here are durable: recovery found them.
    pub fn recovered(mut self) -> Self {
        self.readable = self.end();
        self.copied = self.end();
        self
    }

    /// The entry, if it is here.
    pub fn get(&self, entry: u64) -> Option<&Stored> {
        self.entries.get(usize::try_from(entry.checked_sub(self.first)?).ok()?)
    }

    /// The entry behind the last one here.
    pub fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Entries below are durable.
    pub fn readable(&self) -> u64 {
        self.readable
    }

    /// Entries below are in the segment.
    pub fn settled(&self) -> u64 {
        self.settled
    }

    /// Bytes of what is not in the segment, with what they cost beside.
    pub fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// When the oldest entry that is not settled was appended, ms since 1970.
    pub fn oldest_ms(&self) -> u64 {
        self.get(self.settled).map_or(0, |stored| stored.wall_ms)
    }
}

/// Entries of all ledgers of a store.
#[derive(Debug, Default)]
pub struct Memory {
    tails: IdMap<LedgerId, Tail>,
    unsettled: usize,
    /// Settled entries that are still here, oldest first: the ledger, the entry behind them, their bytes. And all their bytes.
    settled: VecDeque<(LedgerId, u64, usize)>,
    settled_bytes: usize,
}

impl Memory {
    /// What recovery found.
    pub fn new(tails: BTreeMap<LedgerId, Tail>) -> Self {
        let unsettled = tails.values().map(Tail::unsettled).sum();
        Memory { tails: tails.into_iter().collect(), unsettled, ..Memory::default() }
    }

    /// The tails, in no order.
    pub fn tails(&self) -> &IdMap<LedgerId, Tail> {
        &self.tails
    }

    /// One ledger's.
    pub fn get(&self, ledger: LedgerId) -> Option<&Tail> {
        self.tails.get(&ledger)
    }

    /// Bytes of entries that are in no segment.
    pub fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// Entries of the ledger that may be read: all below.
    pub fn readable(&self, ledger: &Ledger) -> u64 {
        self.tails.get(&ledger.id).map_or(ledger.entries, Tail::readable)
    }

    /// Adds an entry, number `next` of its ledger.
    pub fn push(&mut self, (topic, ledger): (TopicId, LedgerId), next: u64, stored: Stored) {
        self.unsettled += stored.bytes.len() + EACH;
        self.tails.entry(ledger).or_insert_with(|| Tail::new(topic, next)).push(stored);
    }

    /// So many more entries of the ledger are durable.
    pub fn on_durable(&mut self, ledger: LedgerId, count: u64) {
        if let Some(tail) = self.tails.get_mut(&ledger) {
            tail.readable += count;
        }
    }

    /// Entries below `settled` are in the segment. The oldest settled entries of all ledgers leave memory, down to `budget` bytes.
    pub fn on_settled(&mut self, ledger: LedgerId, settled: u64, budget: usize) {
        let Some(tail) = self.tails.get_mut(&ledger) else { return };
        let range = tail.settled..settled;
        let fresh = range.filter_map(|entry| tail.get(entry));
        let bytes = fresh.map(|stored| stored.bytes.len() + EACH).sum::<usize>();
        tail.settled = settled.max(tail.settled);
        tail.unsettled -= bytes;
        self.unsettled -= bytes;
        self.settled_bytes += bytes;
        self.settled.push_back((ledger, settled, bytes));
        self.shrink(budget);
    }

    /// The oldest settled entries leave memory, down to `budget` bytes.
    pub fn shrink(&mut self, budget: usize) {
        while self.settled_bytes > budget {
            let Some((ledger, upto, bytes)) = self.settled.pop_front() else { break };
            self.settled_bytes -= bytes;
            let Some(tail) = self.tails.get_mut(&ledger) else { continue };
            while tail.first < upto && tail.entries.pop_front().is_some() {
                tail.first += 1;
            }
            if tail.entries.is_empty() {
                // Everything of the ledger is settled, so durable: without a tail all of it may be read.
                self.tails.remove(&ledger);
            } else if tail.entries.capacity() > 64 + 4 * tail.entries.len() {
                tail.entries.shrink_to(2 * tail.entries.len());
            }
        }
    }

    /// What of the ledger is not settled will stay here: it must not keep larger buffers alive.
    pub fn detach(&mut self, ledger: LedgerId) {
        let Some(tail) = self.tails.get_mut(&ledger) else { return };
        let from = tail.copied.max(tail.settled).max(tail.first);
        let skip = usize::try_from(from - tail.first).expect("entries in memory are counted in memory");
        let fresh = tail.entries.iter_mut().skip(skip);
        let mut block = BytesMut::with_capacity(fresh.map(|stored| stored.bytes.len()).sum());
        for stored in tail.entries.iter_mut().skip(skip) {
            block.extend_from_slice(&stored.bytes);
            stored.bytes = block.split().freeze();
        }
        tail.copied = tail.end();
        if tail.entries.capacity() > 2 * tail.entries.len() {
            tail.entries.shrink_to_fit();
        }
    }

    /// The ledger was given up.
    pub fn forget(&mut self, ledger: LedgerId) {
        self.unsettled -= self.tails.remove(&ledger).map_or(0, |tail| tail.unsettled);
    }

    /// Entries from `from` on, while they are here and durable, up to `bytes` but at least one.
    pub fn run(&self, ledger: &Ledger, from: u64, bytes: usize) -> Vec<Stored> {
        let Some(tail) = self.tails.get(&ledger.id) else { return Vec::new() };
        let mut room = bytes;
        let numbers = from..tail.readable;
        let fits = |stored: &&Stored| {
            let fits = room == bytes || stored.bytes.len() <= room;
            room = room.saturating_sub(stored.bytes.len().max(1));
            fits
        };
        numbers.map_while(|entry| tail.get(entry)).take_while(fits).cloned().collect()
    }

    /// The first durable entry of the ledger here whose time is `wall_ms` or later, if there is one; outer `None`: the
    /// earlier ones are not here, and it may be among them.
    #[allow(clippy::option_option, reason = "not known is another answer than none")]
    pub fn find_time(&self, ledger: &Ledger, wall_ms: u64) -> Option<Option<u64>> {
        let tail = self.tails.get(&ledger.id)?;
        let found = tail.entries.partition_point(|stored| stored.wall_ms < wall_ms) as u64;
        if found == 0 && tail.first > 0 {
            return None;
        }
        Some(Some(tail.first + found).filter(|entry| *entry < tail.readable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn ledger(id: u64, entries: u64) -> Ledger {
        let (closed, opened_ms, last_ms, index) = (false, 0, 0, Default::default());
        let (messages, bytes, first_message) = (0, 0, 0);
        Ledger {
            id: LedgerId(id),
            entries,
            messages,
            bytes,
            first_message,
            closed,
            opened_ms,
            last_ms,
            index,
        }
    }

    fn with(ledgers: &[u64], entries: u64) -> Memory {
        let chunk = Bytes::from(vec![7; 100_000]);
        let mut memory = Memory::default();
        for entry in 0..entries {
            for id in ledgers {
                let at = entry as usize * 100;
                let stored = Stored { wall_ms: 10 * entry, messages: 1, bytes: chunk.slice(at..at + 100) };
                memory.push((TopicId(9), LedgerId(*id)), entry, stored);
            }
        }
        ledgers.iter().for_each(|id| memory.on_durable(LedgerId(*id), entries));
        memory
    }

    #[test]
    fn what_is_settled_leaves_oldest_first() {
        let mut memory = with(&[1, 2], 10);
        let all = memory.unsettled();
        memory.on_settled(LedgerId(2), 6, all);
        memory.on_settled(LedgerId(1), 10, all);
        assert_eq!((memory.unsettled(), memory.get(LedgerId(2)).unwrap().first), (all / 5, 0));
        memory.shrink(all / 2);
        assert_eq!(memory.get(LedgerId(2)).unwrap().first, 6, "settled first, gone first");
        assert_eq!(memory.get(LedgerId(1)).unwrap().first, 0);
        memory.shrink(0);
        assert!(memory.get(LedgerId(1)).is_none(), "all of it is settled");
        assert_eq!(memory.get(LedgerId(2)).unwrap().entries.len(), 4, "what is not settled stays");
        assert_eq!(memory.run(&ledger(2, 10), 6, 1_000_000).len(), 4);
        memory.forget(LedgerId(2));
        assert_eq!((memory.unsettled(), memory.tails().len()), (0, 0));
    }

    #[test]
    fn what_stays_long_keeps_no_larger_buffer_alive() {
        let mut memory = with(&[1], 10);
        let before = memory.run(&ledger(1, 10), 0, 1_000_000);
        memory.detach(LedgerId(1));
        let after = memory.run(&ledger(1, 10), 0, 1_000_000);
        assert_eq!(before, after);
        assert!(before.iter().zip(&after).all(|(one, two)| one.bytes.as_ptr() != two.bytes.as_ptr()));
        memory.detach(LedgerId(1));
        let again = memory.run(&ledger(1, 10), 0, 1_000_000);
        assert!(again.iter().zip(&after).all(|(one, two)| one.bytes.as_ptr() == two.bytes.as_ptr()), "once");
    }

    #[test]
    fn a_run_is_bounded_and_durable() {
        let mut memory = with(&[1], 10);
        let run = |memory: &Memory, from, bytes| memory.run(&ledger(1, 10), from, bytes).len();
        assert_eq!(
            [(0, 1000), (0, 999), (0, 1), (7, 5000), (10, 100)].map(|(at, by)| run(&memory, at, by)),
            [10, 9, 1, 3, 0]
        );
        memory.push((TopicId(9), LedgerId(1)), 10, Stored { wall_ms: 100, messages: 1, bytes: Bytes::new() });
        assert_eq!(run(&memory, 0, 100_000), 10, "the last one is not durable");
        let found = |ms| memory.find_time(&ledger(1, 11), ms);
        assert_eq!(
            [0, 5, 10, 90, 91].map(found),
            [Some(Some(0)), Some(Some(1)), Some(Some(1)), Some(Some(9)), Some(None)]
        );
    }
}
