//! One bit per message of an entry, in the order of `ack_set` (protocol 13.3). Up to 64 messages need no allocation.

/// Bits 0 to `count - 1` of a set; bits outside are always clear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits {
    first: u64,
    rest: Box<[u64]>,
}

impl Bits {
    /// Room for `count` bits, all clear. The caller has bounded `count`.
    pub(super) fn none(count: u32) -> Bits {
        let words = (count as usize).div_ceil(64).max(1);
        Bits { first: 0, rest: vec![0; words - 1].into_boxed_slice() }
    }

    /// Bits 0 to `count - 1` set.
    pub(super) fn full(count: u32) -> Bits {
        let mut bits = Bits::none(count);
        bits.first = low_bits(count);
        for (word, place) in bits.rest.iter_mut().enumerate() {
            *place = low_bits(count - 64 * (word as u32 + 1));
        }
        bits
    }

    /// The words of an `ack_set`, of which the first `count` bits count and words left out are zero.
    pub(super) fn from_words(words: &[i64], count: u32) -> Bits {
        let mut bits = Bits::full(count);
        bits.first &= words.first().map_or(0, |word| *word as u64);
        for (word, place) in bits.rest.iter_mut().enumerate() {
            *place &= words.get(word + 1).map_or(0, |word| *word as u64);
        }
        bits
    }

    /// The words of an `ack_set`: trailing zero words are left out.
    pub(super) fn words(&self) -> Vec<i64> {
        let mut words: Vec<i64> =
            std::iter::once(&self.first).chain(&self.rest).map(|word| *word as i64).collect();
        words.truncate(words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1));
        words
    }

    /// Whether the bit is set; outside: it is not.
    pub(super) fn get(&self, index: u32) -> bool {
        self.word(index).is_some_and(|word| word >> (index & 63) & 1 == 1)
    }

    /// Sets a bit within the room.
    pub(super) fn set(&mut self, index: u32) {
        if let Some(word) = self.word_mut(index) {
            *word |= 1 << (index & 63);
        }
    }

    /// Clears a bit; true when it was set.
    pub(super) fn clear(&mut self, index: u32) -> bool {
        let was = self.get(index);
        if let Some(word) = self.word_mut(index) {
            *word &= !(1 << (index & 63));
        }
        was
    }

    /// Bits set.
    pub(super) fn count(&self) -> u32 {
        self.first.count_ones() + self.rest.iter().map(|word| word.count_ones()).sum::<u32>()
    }

    /// True when no bit is set.
    pub(super) fn is_empty(&self) -> bool {
        self.first == 0 && self.rest.iter().all(|word| *word == 0)
    }

    fn word(&self, index: u32) -> Option<&u64> {
        match index / 64 {
            0 => Some(&self.first),
            word => self.rest.get(word as usize - 1),
        }
    }

    fn word_mut(&mut self, index: u32) -> Option<&mut u64> {
        match index / 64 {
            0 => Some(&mut self.first),
            word => self.rest.get_mut(word as usize - 1),
        }
    }
}

/// The `count` lowest bits, all 64 from there on.
fn low_bits(count: u32) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// Bits set among the first `count` of an `ack_set`, with no allocation.
pub(super) fn count_words(words: &[i64], count: u32) -> u32 {
    let bits = |(word, bits): (usize, &i64)| {
        let below = u32::try_from(word).map_or(0, |word| count.saturating_sub(word.saturating_mul(64)));
        (*bits as u64 & low_bits(below)).count_ones()
    };
    words.iter().enumerate().map(bits).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Protocol 18.9.
    #[test]
    fn words_are_those_of_the_protocol() {
        let without = |count, indexes: std::ops::Range<u32>| {
            let mut bits = Bits::full(count);
            indexes.for_each(|index| assert!(bits.clear(index)));
            bits.words()
        };
        assert_eq!(without(4, 0..0), [15]);
        assert_eq!(without(4, 1..2), [13]);
        assert_eq!(without(4, 0..4), [0i64; 0]);
        assert_eq!(without(10, 0..5), [992]);
        assert_eq!(without(64, 0..0), [-1]);
        assert_eq!(without(64, 0..1), [-2]);
        assert_eq!(without(100, 0..0), [-1, 68_719_476_735]);
        assert_eq!(without(100, 0..64), [0, 68_719_476_735]);
        assert_eq!(without(100, 64..100), [-1]);
    }

    #[test]
    fn words_are_read_within_the_count() {
        let bits = Bits::from_words(&[-1, -1, -1], 70);
        assert_eq!((bits.count(), count_words(&[-1, -1, -1], 70)), (70, 70));
        assert!(bits.get(69) && !bits.get(70) && !bits.get(100_000));
        assert_eq!(Bits::from_words(&[13], 100).words(), [13]);
        assert_eq!(count_words(&[13], 2), 1);
        assert_eq!(count_words(&[], 5), 0);
    }

    #[test]
    fn setting_outside_the_room_changes_nothing() {
        let mut bits = Bits::none(65);
        bits.set(64);
        bits.set(128);
        assert_eq!(bits.count(), 1);
        assert!(bits.clear(64) && !bits.clear(64) && !bits.clear(128));
        assert!(bits.is_empty());
    }
}
