//! A provided buffer ring: the kernel picks a buffer for each receive, we give it back after the handler has seen it.
//! Memory that was never used is never touched, so a core at rest does not hold it.
#![allow(unsafe_code)]

use io_uring::{IoUring, types::BufRingEntry};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

const PAGE: usize = 4096;
/// Bytes between two buffers: an odd number of cache lines, so that the beginnings of buffers, all that small messages touch, do not
/// share the few places of a cache that addresses a power of two apart have.
const GAP: usize = 5 * 64;

/// Buffers shared with the kernel. Invariant: a buffer is either offered to the kernel or, between a completion that names
/// it and `recycle`, ours alone.
pub(crate) struct BufRing {
    entries: NonNull<BufRingEntry>,
    layout: Layout,
    memory: NonNull<[u8]>,
    /// Number of the first buffer.
    first: u16,
    count: u16,
    length: u32,
    tail: u16,
    leaked: bool,
}

impl BufRing {
    /// `count` buffers of `length` bytes, numbered from `first`; `count` is a power of two. The ring must be closed before `self`
    /// is dropped.
    pub(crate) fn new(
        io: &mut IoUring,
        group: u16,
        first: u16,
        count: u16,
        length: u32,
    ) -> io::Result<BufRing> {
        assert!(count.is_power_of_two(), "the kernel masks indices");
        let layout = Layout::from_size_align(usize::from(count) * size_of::<BufRingEntry>(), PAGE)
            .expect("a few pages are a legal layout");
        // SAFETY: the layout is not empty.
        let entries = NonNull::new(unsafe { alloc_zeroed(layout) }.cast::<BufRingEntry>());
        let Some(entries) = entries else { handle_alloc_error(layout) };
        // Zeroed memory of this size comes from the kernel untouched.
        let memory = Box::into_raw(vec![0; usize::from(count) * (length as usize + GAP)].into_boxed_slice());
        let memory = NonNull::new(memory).expect("a box is never null");
        let mut ring = BufRing { entries, layout, memory, first, count, length, tail: 0, leaked: false };
        // SAFETY: `entries` has room for `count` entries, is page-aligned, and lives until after the ring was closed.
        unsafe { io.submitter().register_buf_ring_with_flags(entries.as_ptr() as u64, count, group, 0)? };
        (first..first + count).for_each(|buffer| ring.recycle(buffer));
        ring.publish();
        Ok(ring)
    }

    pub(crate) fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// Bytes of one buffer.
    pub(crate) fn length(&self) -> usize {
        self.length as usize
    }

    /// Where a buffer of ours begins.
    fn offset(&self, buffer: u16) -> usize {
        usize::from(buffer - self.first) * (self.length as usize + GAP)
    }

    /// The first `length` bytes of a buffer that a completion named.
    pub(crate) fn bytes(&mut self, buffer: u16, length: usize) -> &mut [u8] {
        let ours = buffer >= self.first && buffer - self.first < self.count;
        assert!(ours && length <= self.length as usize, "the kernel names its own buffers");
        let at = self.offset(buffer);
        // SAFETY: in bounds by the assertion, and by the invariant the kernel does not write to this buffer.
        unsafe { std::slice::from_raw_parts_mut(self.memory.cast::<u8>().add(at).as_ptr(), length) }
    }

    /// Queues a buffer for the kernel; `publish` makes it visible.
    pub(crate) fn recycle(&mut self, buffer: u16) {
        let at = self.offset(buffer);
        let index = usize::from(self.tail & (self.count - 1));
        // SAFETY: both offsets are within their allocations; the kernel does not read entries at or past the tail, and
        // the tail itself lies in a reserved field that no setter writes.
        let (address, entry) =
            unsafe { (self.memory.cast::<u8>().add(at), &mut *self.entries.add(index).as_ptr()) };
        entry.set_addr(address.as_ptr() as u64);
        entry.set_len(self.length);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    pub(crate) fn publish(&mut self) {
        // SAFETY: the shared tail lies in the first entry, is aligned for a u16, and only this line writes it.
        let tail = unsafe { &*BufRingEntry::tail(self.entries.as_ptr()).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }

    /// Never frees the memory: for a ring that closes while the kernel may still write.
    pub(crate) fn leak(&mut self) {
        self.leaked = true;
    }
}

impl Drop for BufRing {
    fn drop(&mut self) {
        if self.leaked {
            return;
        }
        // SAFETY: both were allocated in `new` with these layouts, and the ring that used them is closed.
        unsafe {
            dealloc(self.entries.as_ptr().cast(), self.layout);
            drop(Box::from_raw(self.memory.as_ptr()));
        }
    }
}
