//! Cuts the byte stream of a link into frames. Whole frames are handed on where they lie; only one that is cut off at
//! the end of the received bytes is gathered here.

use crate::wire::pulsar::frame::{self, FrameError};

/// The incoming side of one link.
///
/// Invariant: `gathered` never holds a whole frame between two calls.
pub struct FrameInbox {
    gathered: Vec<u8>,
    frame_max: usize,
}

/// Bytes of the field that says how long a frame is.
const SIZE_FIELD: usize = 4;
/// Above this capacity an emptied buffer is given back: one large message must not stay in memory.
const CAPACITY_KEPT_MAX: usize = 64 * 1024;

impl FrameInbox {
    /// `frame_max`: largest frame accepted, bytes, size field included.
    pub fn new(frame_max: usize) -> Self {
        FrameInbox { gathered: Vec::new(), frame_max }
    }

    /// Sets the limit the broker announced.
    pub fn set_frame_max(&mut self, frame_max: usize) {
        self.frame_max = frame_max;
    }

    /// Bytes gathered of a frame that is not all here.
    pub fn len(&self) -> usize {
        self.gathered.len()
    }

    /// True when no frame is cut off.
    pub fn is_empty(&self) -> bool {
        self.gathered.is_empty()
    }

    /// Takes received bytes and hands every whole frame to `on_frame`, in order. An error of either ends the link.
    pub fn feed<E: From<FrameError>>(
        &mut self,
        mut bytes: &[u8],
        mut on_frame: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !self.gathered.is_empty() && !bytes.is_empty() {
            let want = frame::size(&self.gathered, self.frame_max)?.unwrap_or(SIZE_FIELD);
            let take = (want - self.gathered.len()).min(bytes.len());
            let (head, rest) = bytes.split_at(take);
            self.gathered.extend_from_slice(head);
            bytes = rest;
            if frame::size(&self.gathered, self.frame_max)? == Some(self.gathered.len()) {
                let whole = std::mem::take(&mut self.gathered);
                on_frame(&whole)?;
                self.keep(whole);
            }
        }
        while let Some(total) = frame::size(bytes, self.frame_max)?.filter(|total| *total <= bytes.len()) {
            let (whole, rest) = bytes.split_at(total);
            on_frame(whole)?;
            bytes = rest;
        }
        self.gathered.extend_from_slice(bytes);
        Ok(())
    }

    fn keep(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= CAPACITY_KEPT_MAX {
            buffer.clear();
            self.gathered = buffer;
        }
    }
}

#[cfg(test)]
mod tests;
