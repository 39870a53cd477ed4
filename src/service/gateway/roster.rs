//! Values beside the connections of a core: one per [`ConnKey`], found by slot, checked by generation.

use crate::shard::ConnKey;

/// One value per live connection. A stale key finds nothing. Iterates in slot order.
pub(super) struct Roster<T> {
    slots: Vec<Option<(ConnKey, T)>>,
}

impl<T> Default for Roster<T> {
    fn default() -> Self {
        Roster { slots: Vec::new() }
    }
}

impl<T> Roster<T> {
    /// Sets the value of a connection that has just come to life.
    pub(super) fn insert(&mut self, key: ConnKey, value: T) {
        let slot = key.slot() as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        let old = self.slots[slot].replace((key, value));
        debug_assert!(old.is_none(), "a slot is reused only after on_closed");
    }

    pub(super) fn get_mut(&mut self, key: ConnKey) -> Option<&mut T> {
        self.slots.get_mut(key.slot() as usize)?.as_mut().filter(|(k, _)| *k == key).map(|(_, value)| value)
    }

    pub(super) fn remove(&mut self, key: ConnKey) -> Option<T> {
        let slot = self.slots.get_mut(key.slot() as usize)?;
        match slot {
            Some((k, _)) if *k == key => slot.take().map(|(_, value)| value),
            _ => None,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnKey, &T)> {
        self.slots.iter().flatten().map(|(key, value)| (*key, value))
    }
}
