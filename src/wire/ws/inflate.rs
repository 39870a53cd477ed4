//! Incoming compressed messages (RFC 7692 section 7.2.2): inflated as their bytes arrive, into a bounded
//! buffer.

use super::decode::Violation;
use flate2::{Decompress, FlushDecompress, Status};

/// What a sender strips from the end of each message and a receiver puts back. Source: RFC 7692 section
/// 7.2.2.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// First room made for a message, bytes; it doubles from there.
const ROOM_FIRST: usize = 1024;

/// One connection's decompressor with the window that it keeps between messages.
pub(super) struct Inflater {
    stream: Decompress,
}

impl Inflater {
    pub(super) fn new() -> Self {
        Inflater { stream: Decompress::new(false) }
    }

    /// Appends what `compressed` inflates to. `out` holds the message so far; it never grows beyond `max` + 1
    /// bytes.
    pub(super) fn append(
        &mut self,
        compressed: &[u8],
        out: &mut Vec<u8>,
        max: usize,
    ) -> Result<(), Violation> {
        let mut rest = compressed;
        loop {
            if out.len() == out.capacity() {
                // One byte beyond the limit: room to see that there is more than allowed.
                let room = out.len().max(ROOM_FIRST).min(max.saturating_add(1) - out.len());
                out.reserve_exact(room);
            }
            let (read_before, length_before) = (self.stream.total_in(), out.len());
            let status = self
                .stream
                .decompress_vec(rest, out, FlushDecompress::None)
                .map_err(|_| Violation::payload("Invalid compressed data"))?;
            let read = (self.stream.total_in() - read_before) as usize;
            rest = &rest[read..];
            if out.len() > max {
                return Err(Violation::too_large(format!(
                    "Resulting message size [{}] is too large for configured max of [{max}]",
                    out.len()
                )));
            }
            if status == Status::StreamEnd {
                // A last block (BFINAL) ends the stream, not the message: RFC 7692 section 7.2.3.4.
                self.stream.reset(false);
                if rest.is_empty() {
                    return Ok(());
                }
            } else if out.len() < out.capacity() {
                if rest.is_empty() {
                    return Ok(());
                }
                if read == 0 && out.len() == length_before {
                    return Err(Violation::payload("Invalid compressed data"));
                }
            }
        }
    }

    /// Appends what is still held back when all bytes of a message were given to `append`.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>, max: usize) -> Result<(), Violation> {
        self.append(&TAIL, out, max)
    }
}
