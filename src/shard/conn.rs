//! One connection as a value: what its owner asked for, what is under way at the driver, and from both the next thing to
//! do ([`Conn::step`]). No driver is named here; ring, portable and simulated drivers follow the same steps.
//!
//! ```text
//!   Connecting ──connected──▶ Open ──close──▶ Ending ──flushed, our FIN sent, their FIN or deadline──▶ Dead ──▶ closed
//!        │                     ├──migrate──▶ Leaving ──flushed, reading stopped──▶ moved
//!        └──refused──▶ gone    └──abort, errno──▶ Dead
//! ```
//!
//! Invariant: a connection is closed or moved only when nothing of it is under way ([`Conn::is_still`]), so no
//! completion can arrive for a key that is dead.

use crate::base::time::Instant;
use crate::shard::links::Closed;
use crate::shard::mesh::ShardId;
use std::net::SocketAddr;

/// Bytes handed to the kernel at a time: large outboxes make progress that `queued` can see.
pub(crate) const SEND_MAX: usize = 256 * 1024;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Connecting,
    Open,
    Ending { linger: bool, shut: bool },
    Leaving,
    Dead { reset: bool },
}

/// What the driver does about incoming bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Off,
    On,
    /// Would read, but the driver had no buffer; waits in the driver's queue.
    Starved,
    /// Told to stop, not yet stopped.
    Stopping,
}

/// What a driver is to do next for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Begin to connect to `peer`.
    Connect,
    /// Send `wire` from `sent` on, at most [`SEND_MAX`] bytes at a time: [`Links::take_wire`].
    ///
    /// [`Links::take_wire`]: crate::shard::links::Links
    Send,
    /// Receive until told to stop.
    Read,
    /// Stop receiving; the end is to be reported.
    StopRead,
    /// End our direction; the end of that is to be reported.
    ShutdownWrite,
    /// Cancel all that is under way (connect, receive, send); each end is to be reported.
    Cancel,
    /// Close the socket, with RST when `reset`; the key is removed at once.
    Close { reset: bool },
    /// Hand the socket over.
    Move,
}

/// Destination of a connection that leaves.
#[derive(Debug)]
pub(crate) struct Leave {
    pub(crate) to: ShardId,
    pub(crate) head: Vec<u8>,
}

/// One connection. `socket` is the driver's number for it, once it has one.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) socket: Option<u32>,
    pub(crate) phase: Phase,
    /// A connect or a hand-over is under way.
    pub(crate) busy: bool,
    pub(crate) reading: Reading,
    /// It is received into large buffers, as it brings much at once.
    pub(crate) large: bool,
    /// Small buffers it filled, one after another.
    pub(crate) filled: u8,
    /// A send is under way.
    pub(crate) sending: bool,
    /// The end of our direction is under way: the kernel may look the socket up late, so its number must not be reused.
    pub(crate) shutting: bool,
    pub(crate) paused: bool,
    pub(crate) eof: bool,
    pub(crate) cancelled: bool,
    /// Is in the list of connections to look at.
    pub(crate) dirty: bool,
    pub(crate) why: Closed,
    /// When a connect or a lingering close is given up.
    pub(crate) until: Instant,
    pub(crate) peer: SocketAddr,
    pub(crate) local: Option<SocketAddr>,
    /// Being filled by the owner.
    pub(crate) out: Vec<u8>,
    /// Being sent; the driver has it while `sending`.
    pub(crate) wire: Vec<u8>,
    /// Bytes of `wire`, wherever it is, and how many of them the kernel has taken.
    pub(crate) wire_length: usize,
    pub(crate) sent: usize,
    pub(crate) mark: Option<usize>,
    pub(crate) leave: Option<Box<Leave>>,
}

impl Conn {
    pub(crate) fn new(phase: Phase, socket: Option<u32>, peer: SocketAddr) -> Conn {
        Conn {
            socket,
            phase,
            busy: false,
            reading: Reading::Off,
            large: false,
            filled: 0,
            sending: false,
            shutting: false,
            paused: false,
            eof: false,
            cancelled: false,
            dirty: false,
            why: Closed::Local,
            until: Instant::FAR,
            peer,
            local: None,
            out: Vec::new(),
            wire: Vec::new(),
            wire_length: 0,
            sent: 0,
            mark: None,
            leave: None,
        }
    }

    /// Bytes not yet taken by the kernel.
    pub(crate) fn queued(&self) -> usize {
        self.out.len() + self.wire_length - self.sent
    }

    /// True when the owner may still write.
    pub(crate) fn writable(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Connecting)
    }

    /// True when bytes are to be received: for the owner, or to be dropped while the connection ends.
    fn wants_bytes(&self) -> bool {
        !self.eof
            && match self.phase {
                Phase::Open => !self.paused,
                Phase::Ending { linger, .. } => linger,
                Phase::Connecting | Phase::Leaving | Phase::Dead { .. } => false,
            }
    }

    /// Nothing of this connection is under way at the driver.
    pub(crate) fn is_still(&self) -> bool {
        self.reading == Reading::Off && !self.sending && !self.busy && !self.shutting
    }

    /// The next thing to do, noted as begun; `None`: nothing until something is reported. Ask until `None`.
    pub(crate) fn step(&mut self) -> Option<Wish> {
        match self.phase {
            Phase::Connecting if !self.busy => {
                self.busy = true;
                return Some(Wish::Connect);
            }
            Phase::Connecting => return None,
            Phase::Dead { reset } => return self.step_dead(reset),
            Phase::Open | Phase::Ending { .. } | Phase::Leaving => {}
        }
        if let Some(wish) = self.step_transfer() {
            return Some(wish);
        }
        let flushed = self.queued() == 0 && !self.sending;
        match self.phase {
            Phase::Leaving if flushed && self.is_still() => {
                self.busy = true;
                Some(Wish::Move)
            }
            Phase::Ending { linger: true, shut: false } if flushed && !self.eof => {
                self.phase = Phase::Ending { linger: true, shut: true };
                self.shutting = true;
                Some(Wish::ShutdownWrite)
            }
            Phase::Ending { linger, .. } if flushed && (self.eof || !linger) => {
                self.phase = Phase::Dead { reset: false };
                self.step_dead(false)
            }
            _ => None,
        }
    }

    fn step_transfer(&mut self) -> Option<Wish> {
        if !self.sending && self.queued() > 0 {
            if self.sent == self.wire_length {
                self.wire.clear();
                std::mem::swap(&mut self.out, &mut self.wire);
                (self.wire_length, self.sent) = (self.wire.len(), 0);
            }
            self.sending = true;
            return Some(Wish::Send);
        }
        match (self.wants_bytes(), self.reading) {
            (true, Reading::Off) => {
                self.reading = Reading::On;
                Some(Wish::Read)
            }
            (false, Reading::On) => {
                self.reading = Reading::Stopping;
                Some(Wish::StopRead)
            }
            (false, Reading::Starved) => {
                self.reading = Reading::Off;
                None
            }
            _ => None,
        }
    }

    fn step_dead(&mut self, reset: bool) -> Option<Wish> {
        if self.reading == Reading::Starved {
            self.reading = Reading::Off;
        }
        if self.is_still() {
            return Some(Wish::Close { reset });
        }
        if !self.cancelled {
            self.cancelled = true;
            if self.reading == Reading::On {
                self.reading = Reading::Stopping;
            }
            return Some(Wish::Cancel);
        }
        None
    }

    /// The connection can only be taken down from here on.
    pub(crate) fn die(&mut self, reset: bool, why: Closed) {
        if !matches!(self.phase, Phase::Dead { .. }) {
            self.phase = Phase::Dead { reset };
            self.why = why;
            self.leave = None;
        }
    }
}
