//! Pseudo-random numbers from a seed: jitter, generated names, simulations. Not for secrets.

/// SplitMix64 (Steele, Lea, Flood 2014): one word of state, passes the usual statistical tests.
#[derive(Clone, Debug)]
pub struct Prng(u64);

impl Prng {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Prng(seed)
    }

    /// The next 64 bits.
    #[allow(clippy::should_implement_trait)] // endless: an iterator's `Option` would be noise
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be 0. The bias (under 2^-32 for our bounds) does not matter here.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below 0");
        self.next() % bound
    }

    /// `length` lower-case hexadecimal digits, as Pulsar clients generate names.
    pub fn hex(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(b"0123456789abcdef"[(self.next() & 15) as usize])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides() {
        let draw = |seed| (0..4).map(|_| Prng::new(seed).next()).collect::<Vec<_>>();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_eq!(Prng::new(1).hex(10).len(), 10);
        assert!((0..100).all(|seed| Prng::new(seed).below(3) < 3));
    }
}
