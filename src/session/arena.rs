//! Bytes that are shared instead of copied again: many small pieces lie in one chunk, so that a piece costs no allocation.

use bytes::{Bytes, BytesMut};

/// Bytes of a chunk. One piece that is still held keeps its chunk: small enough that a few idle topics cost little, large
/// enough that allocations are rare beside the copies.
const CHUNK_BYTES: usize = 64 * 1024;
/// From this size on a piece gets its own memory: it would waste the rest of a chunk.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// Where small pieces are copied to. One core owns it.
#[derive(Debug, Default)]
pub struct Arena {
    chunk: BytesMut,
}

impl Arena {
    /// A copy of `bytes`. A chunk that nobody holds any more is used again.
    pub fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.len() > PIECE_BYTES_MAX {
            return Bytes::copy_from_slice(bytes);
        }
        if self.chunk.capacity() < bytes.len() {
            self.chunk.reserve(CHUNK_BYTES);
        }
        self.chunk.extend_from_slice(bytes);
        self.chunk.split().freeze()
    }
}

/// An entry that its queue keeps until it is confirmed, and that others may hold too.
#[derive(Debug)]
pub enum Entry {
    /// Ours alone; its buffer goes back to the pool.
    Own(Vec<u8>),
    /// Shared with others.
    Shared(Bytes),
}

impl Entry {
    /// The entry for somebody else to keep: a small one is copied, so that its buffer stays in use here; a large one is shared
    /// from now on.
    pub fn share(&mut self, arena: &mut Arena) -> Bytes {
        match self {
            Entry::Shared(bytes) => bytes.clone(),
            Entry::Own(bytes) if bytes.len() <= PIECE_BYTES_MAX => arena.copy(bytes),
            Entry::Own(bytes) => {
                let shared = Bytes::from(std::mem::take(bytes));
                *self = Entry::Shared(shared.clone());
                shared
            }
        }
    }

    /// Its buffer, if it is ours alone.
    pub fn into_buffer(self) -> Option<Vec<u8>> {
        match self {
            Entry::Own(buffer) => Some(buffer),
            Entry::Shared(_) => None,
        }
    }
}

impl std::ops::Deref for Entry {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Entry::Own(bytes) => bytes,
            Entry::Shared(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn pieces_keep_their_bytes_and_share_chunks() {
        let mut arena = Arena::default();
        let mut random = Prng::new(1);
        let mut held: Vec<(Vec<u8>, Bytes)> = Vec::new();
        for round in 0..5000 {
            let size = random.below(if round % 50 == 0 { 40_000 } else { 300 }) as usize;
            let bytes: Vec<u8> = (0..size).map(|_| random.next() as u8).collect();
            held.push((bytes.clone(), arena.copy(&bytes)));
            if held.len() > 100 {
                held.swap_remove(random.below(100) as usize);
            }
            assert!(held.iter().all(|(bytes, piece)| bytes == piece), "seed 1, round {round}");
        }
        let (first, second) = (arena.copy(b"ab"), arena.copy(b"cd"));
        assert_eq!(first.as_ptr().wrapping_add(2), second.as_ptr(), "one chunk");
    }

    #[test]
    fn large_entries_are_shared_and_small_ones_copied() {
        let mut arena = Arena::default();
        let mut small = Entry::Own(vec![1; 10]);
        let piece = small.share(&mut arena);
        assert_ne!(piece.as_ptr(), small.as_ptr());
        assert_eq!(small.into_buffer().map(|buffer| buffer.len()), Some(10));
        let mut large = Entry::Own(vec![2; PIECE_BYTES_MAX + 1]);
        let at = large.as_ptr();
        let (once, again) = (large.share(&mut arena), large.share(&mut arena));
        assert_eq!((once.as_ptr(), again.as_ptr(), large.len()), (at, at, PIECE_BYTES_MAX + 1));
        assert!(large.into_buffer().is_none());
    }
}
