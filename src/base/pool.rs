//! Spare buffers of one core: what the hot path would otherwise allocate for each message.

/// Keeps returned buffers for reuse, at most `spare_max` of at most `capacity_max` bytes each. One core owns it.
pub struct BufferPool {
    spare: Vec<Vec<u8>>,
    spare_max: usize,
    capacity_max: usize,
}

impl BufferPool {
    /// A pool that keeps at most `spare_max` buffers, none larger than `capacity_max` bytes.
    pub fn new(spare_max: usize, capacity_max: usize) -> Self {
        BufferPool { spare: Vec::new(), spare_max, capacity_max }
    }

    /// An empty buffer, warm when one is spare.
    pub fn take(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Gives a buffer back. Large ones are freed, so that one big message does not stay in memory.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        if (1..=self.capacity_max).contains(&buffer.capacity()) && self.spare.len() < self.spare_max {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Spare buffers held now.
    pub fn len(&self) -> usize {
        self.spare.len()
    }

    /// True when no buffer is spare.
    pub fn is_empty(&self) -> bool {
        self.spare.is_empty()
    }
}

impl Default for BufferPool {
    fn default() -> Self {
        BufferPool::new(crate::base::limit::POOL_BUFFERS_MAX, crate::base::limit::POOL_BUFFER_CAPACITY_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_small_buffers_up_to_its_bound() {
        let mut pool = BufferPool::new(1, 64);
        pool.give(Vec::with_capacity(65));
        assert!(pool.is_empty());
        pool.give(vec![1, 2, 3]);
        pool.give(vec![4]);
        assert_eq!(pool.len(), 1);
        let buffer = pool.take();
        assert!(buffer.is_empty() && buffer.capacity() >= 3);
        assert_eq!(pool.take().capacity(), 0);
    }
}
