//! Buffers that begin on a page, as direct I/O wants its memory: what is encoded into one is written from where it lies.

use super::disk::BLOCK;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Smallest buffer made, bytes: a few group commits of a quiet store.
const SIZE_MIN: usize = 16 * 1024;
/// Largest buffer kept for use again, bytes: a full frame of the journal.
const KEPT_MAX: usize = (1 << 20) + 4 * BLOCK;
/// Buffers kept: one is in flight while the next is filled.
const KEPT: usize = 3;

/// Makes room for `more` bytes. Grows in large steps, and to whole blocks, so that the end of a frame has room too.
pub(super) fn reserve(bytes: &mut BytesMut, more: usize) {
    let wanted = bytes.len() + more;
    if wanted <= bytes.capacity() {
        return;
    }
    let capacity = wanted.max(bytes.capacity() * 2).max(SIZE_MIN).next_multiple_of(BLOCK);
    let mut grown = BytesMut::with_capacity(capacity + BLOCK);
    let skip = grown.as_ptr().align_offset(BLOCK);
    grown.put_bytes(0, skip);
    grown.advance(skip);
    grown.put_slice(bytes);
    *bytes = grown;
}

/// Used buffers.
#[derive(Debug, Default)]
pub(super) struct Spare(Vec<BytesMut>);

impl Spare {
    /// One to fill, warm if there is one.
    pub(super) fn take(&mut self) -> BytesMut {
        self.0.pop().unwrap_or_default()
    }

    /// What was written is given back, if nobody else holds it.
    pub(super) fn give(&mut self, bytes: Bytes) {
        if self.0.len() < KEPT
            && bytes.as_ptr().align_offset(BLOCK) == 0
            && let Ok(mut buffer) = bytes.try_into_mut()
            && (SIZE_MIN..=KEPT_MAX).contains(&buffer.capacity())
        {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_begin_on_a_page_and_are_used_again() {
        let mut spare = Spare::default();
        let mut place = None;
        for round in 0..5 {
            let mut buffer = spare.take();
            for _ in 0..40_000 {
                reserve(&mut buffer, 10);
                buffer.put_slice(&[round; 10]);
                assert_eq!(buffer.as_ptr().align_offset(BLOCK), 0);
            }
            let bytes = buffer.freeze();
            assert!(bytes.len() == 400_000 && bytes.iter().all(|byte| *byte == round));
            assert!(place.is_none_or(|place| place == bytes.as_ptr()), "the same memory in round {round}");
            place = Some(bytes.as_ptr());
            spare.give(bytes);
        }
        let held = spare.take().freeze();
        spare.give(held.clone());
        assert!(spare.0.is_empty(), "somebody still reads it");
    }
}
