//! Spare buffers of one core: what the hot path would otherwise allocate for each message.

use crate::base::limit;

/// Keeps returned buffers for reuse: a number of small ones, and large ones up to a sum of bytes. One core owns it.
pub struct BufferPool {
    spare: Vec<Vec<u8>>,
    spare_max: usize,
    capacity_max: usize,
    /// Buffers above `capacity_max`.
    large: Vec<Vec<u8>>,
    large_bytes: usize,
    large_bytes_max: usize,
}

impl BufferPool {
    /// A pool that keeps at most `spare_max` buffers of up to `capacity_max` bytes, and of larger ones `large_bytes_max` bytes
    /// in all.
    pub fn new(spare_max: usize, capacity_max: usize, large_bytes_max: usize) -> Self {
        let (spare, large) = (Vec::new(), Vec::new());
        BufferPool { spare, spare_max, capacity_max, large, large_bytes: 0, large_bytes_max }
    }

    /// An empty buffer, warm when one is spare.
    pub fn take(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// An empty buffer for about so many bytes.
    pub fn take_for(&mut self, bytes: usize) -> Vec<u8> {
        if bytes <= self.capacity_max {
            return self.take();
        }
        let buffer = self.large.pop().unwrap_or_default();
        self.large_bytes -= buffer.capacity();
        buffer
    }

    /// Gives a buffer back. Beyond the bounds it is freed, so that a burst does not stay in memory.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        buffer.clear();
        if capacity > self.capacity_max {
            if self.large_bytes + capacity <= self.large_bytes_max {
                self.large_bytes += capacity;
                self.large.push(buffer);
            }
        } else if capacity > 0 && self.spare.len() < self.spare_max {
            self.spare.push(buffer);
        }
    }

    /// Spare buffers held now.
    pub fn len(&self) -> usize {
        self.spare.len() + self.large.len()
    }

    /// True when no buffer is spare.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for BufferPool {
    fn default() -> Self {
        BufferPool::new(limit::POOL_BUFFERS_MAX, limit::POOL_BUFFER_CAPACITY_MAX, limit::POOL_LARGE_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_small_buffers_up_to_its_bound() {
        let mut pool = BufferPool::new(1, 64, 0);
        pool.give(Vec::with_capacity(65));
        assert!(pool.is_empty());
        pool.give(vec![1, 2, 3]);
        pool.give(vec![4]);
        assert_eq!(pool.len(), 1);
        let buffer = pool.take();
        assert!(buffer.is_empty() && buffer.capacity() >= 3);
        assert_eq!(pool.take().capacity(), 0);
    }

    #[test]
    fn keeps_large_buffers_apart_and_within_their_bytes() {
        let mut pool = BufferPool::new(1, 64, 250);
        for _ in 0..3 {
            pool.give(Vec::with_capacity(100));
        }
        assert_eq!((pool.len(), pool.take().capacity()), (2, 0));
        assert_eq!(pool.take_for(64).capacity(), 0, "a small one is asked for");
        assert_eq!([pool.take_for(65).capacity(), pool.take_for(65).capacity()], [100, 100]);
        assert_eq!(pool.take_for(65).capacity(), 0);
        pool.give(Vec::with_capacity(250));
        assert_eq!(pool.len(), 1, "what was taken is not counted any more");
    }
}
