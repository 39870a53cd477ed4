//! A table whose keys go stale: slot and generation, so that a key kept too long finds nothing.

/// Names one entry of one [`Table`] for as long as it lives; a reused slot has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    slot: u32,
    generation: u32,
}

impl Key {
    /// The slot and generation in one number, for places that carry a `u64` (timer tokens, mail).
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    /// The key that `to_bits` gave.
    pub fn from_bits(bits: u64) -> Key {
        Key { slot: bits as u32, generation: (bits >> 32) as u32 }
    }

    /// The slot alone: small and dense, for statistics and tests.
    pub fn slot(self) -> u32 {
        self.slot
    }
}

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Values under keys of slot and generation. Iterates in slot order. Grows; the owner enforces its bound.
pub struct Table<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Table<T> {
    /// Stores a value and returns its key.
    pub fn insert(&mut self, value: T) -> Key {
        if let Some(slot) = self.free.pop() {
            let entry = &mut self.slots[slot as usize];
            entry.value = Some(value);
            return Key { slot, generation: entry.generation };
        }
        let slot = u32::try_from(self.slots.len()).expect("a core never holds 2^32 entries");
        self.slots.push(Slot { generation: 1, value: Some(value) });
        Key { slot, generation: 1 }
    }

    /// The value, unless the key is stale.
    pub fn get(&self, key: Key) -> Option<&T> {
        self.slots.get(key.slot as usize).filter(|s| s.generation == key.generation)?.value.as_ref()
    }

    /// The value, unless the key is stale.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slots.get_mut(key.slot as usize).filter(|s| s.generation == key.generation)?.value.as_mut()
    }

    /// Takes the value out; the key and its copies are stale from here on.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.slot as usize).filter(|s| s.generation == key.generation)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1).max(1);
        self.free.push(key.slot);
        Some(value)
    }

    /// How many values are held.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// True when nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All values with their keys, in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().enumerate().filter_map(|(slot, s)| {
            Some((Key { slot: slot as u32, generation: s.generation }, s.value.as_ref()?))
        })
    }

    /// All values with their keys, in slot order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> {
        self.slots.iter_mut().enumerate().filter_map(|(slot, s)| {
            let key = Key { slot: slot as u32, generation: s.generation };
            Some((key, s.value.as_mut()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut table = Table::default();
        let first = table.insert('a');
        assert_eq!(table.remove(first), Some('a'));
        let second = table.insert('b');
        assert_eq!(first.slot(), second.slot());
        assert_eq!((table.get(first), table.get(second)), (None, Some(&'b')));
        assert_eq!(table.remove(first), None);
        assert_eq!(Key::from_bits(second.to_bits()), second);
        assert_eq!(table.iter().collect::<Vec<_>>(), vec![(second, &'b')]);
    }
}
