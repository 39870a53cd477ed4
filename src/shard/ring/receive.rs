//! Receiving, and the two kinds of buffers the kernel fills. Most clients send little at a time, and many may do so in one turn:
//! small buffers. What brings much at once (a broker's link, large messages) is received into large ones: fewer
//! calls into TCP, fewer acknowledgements of it, fewer frames that are cut off and put together.

use super::{Op, Ring, tag};
use crate::base::table::Key;
use crate::shard::bufring::BufRing;
use io_uring::types::{CancelBuilder, Fixed};
use io_uring::{IoUring, opcode};
use std::io;

/// Groups as the kernel numbers them.
const SMALL_GROUP: u16 = 7;
const LARGE_GROUP: u16 = 8;
/// Buffers of one core. Those in use at a time are few: a handler is done with one before it gets the next, and an enter of
/// a new kernel receives on some twenty connections. The kernel fills them in turn, so more of them are more memory to go through:
/// what messages of ordinary size leave in this many small ones stays in a second-level cache of 512 KiB.
const SMALL: u16 = 128;
const LARGE: u16 = 32;
/// Bytes: large enough that a frame of usual size arrives in one piece.
const SMALL_LENGTH: u32 = 8 * 1024;
/// Bytes: a turn's worth of a busy link, and well within the second-level cache.
const LARGE_LENGTH: u32 = 64 * 1024;

/// The receive buffers of one core, numbered through: small ones first.
pub(super) struct Buffers {
    small: BufRing,
    large: BufRing,
}

impl Buffers {
    pub(super) fn new(io: &mut IoUring) -> io::Result<Buffers> {
        let small = BufRing::new(io, SMALL_GROUP, 0, SMALL, SMALL_LENGTH)?;
        Ok(Buffers { small, large: BufRing::new(io, LARGE_GROUP, SMALL, LARGE, LARGE_LENGTH)? })
    }

    fn of(&mut self, buffer: u16) -> &mut BufRing {
        if buffer < SMALL { &mut self.small } else { &mut self.large }
    }

    pub(super) fn publish(&mut self) {
        self.small.publish();
        self.large.publish();
    }

    pub(super) fn leak(&mut self) {
        self.small.leak();
        self.large.leak();
    }
}

impl Ring {
    /// Small receive buffers there are.
    pub(crate) fn buffer_count(&self) -> usize {
        self.buffers.small.count()
    }

    /// Receives into our buffers until cancelled, failed, ended or out of buffers.
    pub(crate) fn receive(&mut self, key: Key, socket: u32, large: bool) {
        let group = if large { LARGE_GROUP } else { SMALL_GROUP };
        let entry = opcode::RecvMulti::new(Fixed(socket), group).build();
        self.using_memory += 1;
        self.push(entry.user_data(tag(Op::Receive, key)));
    }

    /// To be called at the last completion of `receive`.
    pub(crate) fn receive_ended(&mut self) {
        self.using_memory -= 1;
    }

    pub(crate) fn stop_receive(&mut self, key: Key) {
        self.push(opcode::AsyncCancel2::new(CancelBuilder::user_data(tag(Op::Receive, key))).build());
    }

    /// A receive filled a small buffer: there was more than it holds.
    pub(crate) fn was_filled(&self, buffer: u16, length: usize) -> bool {
        buffer < SMALL && length == self.buffers.small.length()
    }

    /// The bytes a receive brought.
    pub(crate) fn bytes(&mut self, buffer: u16, length: usize) -> &mut [u8] {
        self.buffers.of(buffer).bytes(buffer, length)
    }

    /// Gives a receive buffer back to the kernel.
    pub(crate) fn recycle(&mut self, buffer: u16) {
        self.buffers.of(buffer).recycle(buffer);
    }
}
