//! Key hashes that choose partitions (section 11).

/// Java's `String.hashCode` over UTF-16 units, masked to 31 bits.
pub fn java_string(_key: &str) -> u32 {
    unimplemented!()
}

/// MurmurHash3 x86 32-bit, seed 0, over UTF-8 bytes, masked to 31 bits.
pub fn murmur3_32(_key: &[u8]) -> u32 {
    unimplemented!()
}
