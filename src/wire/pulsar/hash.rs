//! Key hashes that choose partitions (protocol 11). Both results fit 31 bits, so a plain remainder chooses.

/// Java's `String.hashCode` over UTF-16 units, masked to 31 bits.
pub fn java_string(key: &str) -> u32 {
    let hash =
        key.encode_utf16().fold(0u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
    hash & SIGN_MASK
}

/// MurmurHash3 x86 32-bit, seed 0, over UTF-8 bytes, masked to 31 bits.
pub fn murmur3_32(key: &[u8]) -> u32 {
    let scramble = |word: u32| word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (words, tail) = key.as_chunks::<4>();
    let mut hash = 0u32;
    for word in words {
        hash ^= scramble(u32::from_le_bytes(*word));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    // An empty tail scrambles to 0 and changes nothing.
    hash ^= scramble(tail.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte)));
    // The algorithm mixes in the length modulo 2^32.
    hash ^= key.len() as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    (hash ^ (hash >> 16)) & SIGN_MASK
}

/// Java's `int` has a sign, partitions do not.
const SIGN_MASK: u32 = 0x7fff_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    /// The other vectors are among the golden bytes; these are tails of one to three bytes, and a hash whose
    /// sign bit was set.
    #[test]
    fn tails_and_signs() {
        assert_eq!(java_string("polygenelubricants"), 0, "-2147483648 without its sign");
        assert_eq!(murmur3_32(b""), 0);
        assert_eq!(murmur3_32(b"a"), 1_009_084_850);
        assert_eq!(murmur3_32(b"hello"), 613_153_351);
        assert_eq!(murmur3_32("日本".as_bytes()), 3_302_619_458 & SIGN_MASK);
        assert_eq!(murmur3_32(b"user-42"), 3_111_312_080 & SIGN_MASK);
    }
}
