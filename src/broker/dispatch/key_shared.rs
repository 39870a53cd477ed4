//! Which consumer of a Key_Shared subscription owns a key, and which keys nobody else may get yet because messages of theirs are
//! still with an earlier owner (protocol 12).

use std::collections::BTreeMap;

use crate::broker::dispatch::Consumer;
use crate::broker::dispatch::ring::{Ring, slot_of};
use crate::broker::event::{ClientKey, Refusal};
use crate::broker::stats::DrainingHash;
use crate::wire::pulsar::hash::murmur3_32;
use crate::wire::pulsar::metadata::MetadataView;
use crate::wire::pulsar::proto::ServerError;
use base64_simd::STANDARD;

/// Slot of an entry's key: its ordering key, else its key, else its producer and sequence.
pub(in crate::broker) fn slot(metadata: &MetadataView<'_>) -> u16 {
    if let Some(key) = metadata.ordering_key {
        return slot_of(murmur3_32(key));
    }
    let Some(key) = metadata.partition_key else { return slot_without_key(metadata) };
    let decoded = metadata.partition_key_b64_encoded.then(|| STANDARD.decode_to_vec(key).ok()).flatten();
    slot_of(murmur3_32(decoded.as_deref().unwrap_or(key.as_bytes())))
}

/// `name-sequence` stands for the key. Put together in place where it fits: most names are short.
fn slot_without_key(metadata: &MetadataView<'_>) -> u16 {
    use std::io::Write;
    let mut buffer = [0; 128];
    let mut rest = &mut buffer[..];
    let fits = write!(rest, "{}-{}", metadata.producer_name, metadata.sequence_id).is_ok();
    let left = rest.len();
    let length = buffer.len() - left;
    if fits {
        return slot_of(murmur3_32(&buffer[..length]));
    }
    slot_of(murmur3_32(format!("{}-{}", metadata.producer_name, metadata.sequence_id).as_bytes()))
}

/// How keys are split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum Split {
    /// By a ring of hashes.
    Ring,
    /// A newcomer takes half of the largest range.
    Halves,
    /// Consumers name their ranges.
    Sticky,
}

/// Owners of slots.
#[derive(Debug)]
pub(in crate::broker) struct Keys {
    pub(in crate::broker) split: Split,
    /// Ordering is not wanted (`allowOutOfOrderDelivery`).
    pub(in crate::broker) out_of_order: bool,
    ring: Ring,
    /// Upper bound (inclusive) of each range, to its owner and lower bound (inclusive).
    ranges: BTreeMap<u16, (u16, ClientKey)>,
    /// Slots with messages not acknowledged: at whom, and how many entries.
    held: BTreeMap<u16, (ClientKey, u32)>,
}

impl Keys {
    pub(in crate::broker) fn new(split: Split, out_of_order: bool) -> Keys {
        Keys { split, out_of_order, ring: Ring::default(), ranges: BTreeMap::new(), held: BTreeMap::new() }
    }

    /// Whether a consumer may join, by its ranges.
    pub(in crate::broker) fn check(&self, ranges: &[(u16, u16)]) -> Result<(), Refusal> {
        let refuse = |text: String| Err(Refusal::new(ServerError::ConsumerAssignError, text));
        if self.split != Split::Sticky {
            return Ok(());
        }
        if ranges.is_empty() {
            return refuse("Ranges for KeyShared policy must not be empty.".to_owned());
        }
        for (index, (start, end)) in ranges.iter().enumerate() {
            if start > end {
                return refuse(format!("Fixed hash range start > end for range: [{start},{end}]"));
            }
            let mine = ranges[..index].iter().any(|(low, high)| start <= high && low <= end);
            let theirs = self.ranges.range(start..).next().is_some_and(|(_, (low, _))| low <= end);
            if mine || theirs {
                return refuse(format!("Range conflict with consumer: [{start},{end}]"));
            }
        }
        Ok(())
    }

    /// The consumers changed: `joined` came, after [`Keys::check`].
    pub(in crate::broker) fn join(&mut self, joined: &Consumer, all: &[Consumer]) {
        match self.split {
            Split::Ring => self.build_ring(all),
            Split::Sticky => {
                self.ranges.extend(joined.ranges.iter().map(|(start, end)| (*end, (*start, joined.key))));
            }
            Split::Halves => {
                // Of equal ones the lowest: `max_by_key` takes the last.
                let widest = self.ranges.iter().rev().max_by_key(|(high, (low, _))| *high - low);
                let Some((&high, &(low, _))) = widest else {
                    self.ranges.insert(u16::MAX, (0, joined.key));
                    return;
                };
                if high > low {
                    let middle = low + (high - low) / 2;
                    self.ranges.insert(middle, (low, joined.key));
                    self.ranges.entry(high).and_modify(|(low, _)| *low = middle + 1);
                }
            }
        }
    }

    /// A consumer left; `all` are those that stay.
    pub(in crate::broker) fn leave(&mut self, left: ClientKey, all: &[Consumer]) {
        match self.split {
            Split::Ring => self.build_ring(all),
            Split::Sticky => self.ranges.retain(|_, (_, owner)| *owner != left),
            Split::Halves => {
                let Some((&high, &(low, _))) = self.ranges.iter().find(|(_, (_, owner))| *owner == left)
                else {
                    return;
                };
                self.ranges.remove(&high);
                if let Some((_, (above, _))) = self.ranges.range_mut(high..).next() {
                    *above = low;
                } else if let Some((_, (below, owner))) = self.ranges.pop_last() {
                    self.ranges.insert(high, (below, owner));
                }
            }
        }
    }

    fn build_ring(&mut self, all: &[Consumer]) {
        self.ring = Ring::new(all.iter().map(|consumer| (consumer.name.as_str(), consumer.key)));
    }

    /// Whose a slot is now.
    pub(in crate::broker) fn owner(&self, slot: u16) -> Option<ClientKey> {
        if self.split == Split::Ring {
            return self.ring.owner(slot);
        }
        let (_, (low, owner)) = self.ranges.range(slot..).next()?;
        (*low <= slot).then_some(*owner)
    }

    /// Whether messages of a slot are still with somebody else.
    pub(in crate::broker) fn is_draining(&self, slot: u16, owner: ClientKey) -> bool {
        !self.out_of_order && self.held.get(&slot).is_some_and(|(holder, _)| *holder != owner)
    }

    /// An entry of a slot was sent.
    pub(in crate::broker) fn hold(&mut self, slot: u16, owner: ClientKey) {
        let held = self.held.entry(slot).or_insert((owner, 0));
        *held = (owner, held.1 + 1);
    }

    /// An entry of a slot is no longer with a consumer.
    pub(in crate::broker) fn free(&mut self, slot: u16) {
        if let Some((_, count)) = self.held.get_mut(&slot) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(&slot);
            }
        }
    }

    /// Slots that a consumer has to drain before their owners get anything of them.
    pub(in crate::broker) fn draining(&self, holder: ClientKey) -> Vec<DrainingHash> {
        let held =
            self.held.iter().filter(|(slot, (of, _))| *of == holder && self.owner(**slot) != Some(holder));
        held.map(|(slot, (_, count))| DrainingHash { hash: *slot, unacked: *count, blocked_attempts: 0 })
            .collect()
    }

    /// Inclusive ranges of slots that a consumer owns. Walks over all slots: for statistics.
    pub(in crate::broker) fn ranges(&self, of: ClientKey) -> Vec<(u16, u16)> {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for slot in (0..=u16::MAX).filter(|slot| self.owner(*slot) == Some(of)) {
            match ranges.last_mut() {
                Some((_, end)) if *end + 1 == slot => *end = slot,
                _ => ranges.push((slot, slot)),
            }
        }
        ranges
    }

    /// Nobody holds anything.
    pub(in crate::broker) fn clear(&mut self) {
        self.held.clear();
    }
}
