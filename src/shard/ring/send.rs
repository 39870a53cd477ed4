//! Sending. A small send to a socket that takes it completes while it is submitted; to wake up for that would cost a turn, and
//! at one message at a time every other turn would be such a one. So a small send is told not to wait (`MSG_DONTWAIT`): then it
//! completes at once in any case, with fewer bytes or `EAGAIN` if the socket is full, and the enter that submits it waits for one
//! completion more. What is left after that, and all that is large, the kernel sends when it can.

use super::{Event, Op, Ring, tag};
use crate::base::table::Key;
use crate::shard::conn::SEND_MAX;
use io_uring::opcode;
use io_uring::types::Fixed;

/// Bytes of a small send: what any socket with an empty buffer takes. A larger one is worth the wake.
const PROMPT_MAX: usize = 8 * 1024;

/// What is being sent on one connection.
#[derive(Default)]
pub(super) struct Sending {
    /// The kernel may read it until the completion.
    wire: Option<Vec<u8>>,
    /// Bytes asked for.
    asked: usize,
    /// Told not to wait.
    prompt: bool,
    /// The last send found the socket full: the next one is left to the kernel.
    full: bool,
}

impl Ring {
    /// Sends `wire` from `from` on, at most [`SEND_MAX`] bytes. `awaited`: somebody has to hear of its end.
    pub(crate) fn send(&mut self, key: Key, socket: u32, wire: Vec<u8>, from: usize, awaited: bool) {
        let slot = key.slot() as usize;
        if self.sends.len() <= slot {
            self.sends.resize_with(slot + 1, Sending::default);
        }
        let sending = &mut self.sends[slot];
        let rest = &wire[from..wire.len().min(from + SEND_MAX)];
        let full = std::mem::take(&mut sending.full);
        let prompt = rest.len() <= PROMPT_MAX && !full && !awaited;
        // With `MSG_WAITALL` the kernel goes on by itself after a short send.
        let how = if prompt { libc::MSG_DONTWAIT } else { libc::MSG_WAITALL };
        let entry = opcode::Send::new(Fixed(socket), rest.as_ptr(), rest.len() as u32)
            .flags(libc::MSG_NOSIGNAL | how)
            .build();
        (sending.asked, sending.prompt) = (rest.len(), prompt);
        // Moving the Vec does not move its bytes.
        let before = sending.wire.replace(wire);
        assert!(before.is_none(), "one send at a time: the kernel may still read the last one's buffer");
        self.prompt_sends += u32::from(prompt);
        self.using_memory += 1;
        self.push(entry.user_data(tag(Op::Send, key)));
    }

    /// The buffer of a send that ended, and the bytes taken or the errno.
    pub(crate) fn take_sent(&mut self, event: &Event) -> (Vec<u8>, Result<usize, i32>) {
        self.using_memory -= 1;
        let result = usize::try_from(event.result).map_err(|_| -event.result);
        let Some(sending) = self.sends.get_mut(event.key().slot() as usize) else {
            return (Vec::new(), result);
        };
        let wire = sending.wire.take().unwrap_or_default();
        sending.full = sending.prompt && result.is_ok_and(|count| count < sending.asked);
        match result {
            Err(libc::EAGAIN) if sending.prompt => {
                sending.full = true;
                (wire, Ok(0))
            }
            result => (wire, result),
        }
    }
}
