//! Which messages of a batch entry are still to be consumed: the `ack_set` of protocol 13.3, one bit per message, 1 = still
//! there.

use crate::base::limit::ACK_SET_WORDS_MAX;

/// The remaining messages of an entry. Trailing zero words are left out, so equal sets are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AckSet {
    words: Vec<i64>,
}

impl AckSet {
    /// A set as a client sent it; `None` when it is longer than any batch. `size` is the number of messages, when the client
    /// said it: bits behind do not count.
    pub fn read(words: &[i64], size: Option<u32>) -> Option<AckSet> {
        if words.len() > ACK_SET_WORDS_MAX {
            return None;
        }
        let mut set = AckSet { words: words.to_vec() };
        if let Some(size) = size {
            set.words.truncate(size.div_ceil(64) as usize);
            if let Some(last) = set.words.get_mut(size as usize / 64) {
                *last &= (1i64 << (size % 64)).wrapping_sub(1);
            }
        }
        set.shorten();
        Some(set)
    }

    /// All messages from an index on, of a batch of any size; `None` for the first, or when no batch has so many.
    pub fn from_index(index: u32) -> Option<AckSet> {
        let word = index as usize / 64;
        if index == 0 || word >= ACK_SET_WORDS_MAX {
            return None;
        }
        let mut words = vec![-1; ACK_SET_WORDS_MAX];
        words[..word].fill(0);
        words[word] = -1i64 << (index % 64);
        Some(AckSet { words })
    }

    /// Leaves what is in both.
    pub fn intersect(&mut self, other: &AckSet) {
        self.words.truncate(other.words.len());
        for (word, theirs) in self.words.iter_mut().zip(&other.words) {
            *word &= theirs;
        }
        self.shorten();
    }

    fn shorten(&mut self) {
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }

    /// Nothing is left: the entry is consumed.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Messages left of the first `size`.
    pub fn left(&self, size: u32) -> u32 {
        let whole = size as usize / 64;
        let full: u32 = self.words.iter().take(whole).map(|word| word.count_ones()).sum();
        let rest = self.words.get(whole).map_or(0, |word| *word as u64 & ((1u64 << (size % 64)) - 1));
        full + rest.count_ones()
    }

    /// The words, as they travel.
    pub fn words(&self) -> &[i64] {
        &self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_meet_and_count() {
        // The set and the permits that a real broker used: broker observation for a batch of 5.
        let mut set = AckSet::read(&[28], Some(5)).expect("short");
        assert_eq!(set.left(5), 3);
        set.intersect(&AckSet::read(&[7], None).expect("short"));
        assert_eq!((set.words(), set.left(5)), ([4].as_slice(), 1));
        set.intersect(&AckSet::read(&[3], None).expect("short"));
        assert!(set.is_empty());
    }

    #[test]
    fn a_batch_is_taken_from_an_index_on() {
        let set = AckSet::from_index(66).expect("legal");
        assert_eq!((set.words()[..3].to_vec(), set.left(70)), (vec![0, -4, -1], 4));
        assert!(AckSet::from_index(0).is_none() && AckSet::from_index(u32::MAX).is_none());
    }

    #[test]
    fn bits_behind_the_batch_do_not_count() {
        let set = AckSet::read(&[-1, -1, -1], Some(65)).expect("short");
        assert_eq!(set.words(), [-1, 1]);
        assert_eq!((set.left(65), set.left(64), set.left(1)), (65, 64, 1));
        assert_eq!(AckSet::read(&[-1], Some(64)).expect("short").words(), [-1]);
        assert!(AckSet::read(&[-1], Some(0)).expect("short").is_empty());
        assert_eq!(AckSet::read(&vec![1; ACK_SET_WORDS_MAX + 1], None), None);
    }
}
