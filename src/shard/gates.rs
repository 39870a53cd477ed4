//! The ring driver's listeners: one gate for each door, and the way of a client's socket through it.

use crate::base::time::Instant;
use crate::shard::links::{Door, Handler};
use crate::shard::reactor::Reactor;
use crate::shard::ring::{Event, Family, Named};
use crate::shard::sys;
use socket2::Socket;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// After accepting failed for want of descriptors or memory it is tried again this much later.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Accepting {
    /// To be armed when there is room.
    Wanted,
    Armed,
    /// Told to stop as the table is full; arms again when it is not.
    Stopping,
    /// Failed: not before this time.
    Pause(Instant),
}

/// One listener.
pub(crate) struct Gate {
    listener: Socket,
    family: Family,
    /// Where it listens; of clients' own addresses all that is known without asking.
    address: Option<SocketAddr>,
    accepting: Accepting,
}

impl Gate {
    pub(crate) fn new(listener: Socket) -> io::Result<Gate> {
        let address = listener.local_addr()?.as_socket();
        let family = address.map_or(Family::V4, Family::of);
        Ok(Gate { listener, family, address, accepting: Accepting::Wanted })
    }

    /// When accepting is to be tried again.
    pub(crate) fn next_deadline(&self) -> Instant {
        match self.accepting {
            Accepting::Pause(until) => until,
            _ => Instant::FAR,
        }
    }

    /// The address that clients of this gate dialled, if they all dialled the same.
    fn local(&self) -> Option<SocketAddr> {
        self.address.filter(|address| !address.ip().is_unspecified())
    }
}

impl Reactor {
    /// Clients still in the kernel's queue are reset: the process is to end.
    pub(crate) fn stop_accepting(&mut self) {
        for (door, gate) in self.gates.drain(..).enumerate() {
            if gate.accepting == Accepting::Armed {
                self.ring.stop_accept(Door(door as u8));
            }
        }
    }

    /// Accepts where there is room, and not where there is none.
    pub(super) fn arm_gates(&mut self) {
        let (may_accept, now) = (self.links.may_accept(), self.links.clock.now);
        for (door, gate) in self.gates.iter_mut().enumerate() {
            let door = Door(door as u8);
            if matches!(gate.accepting, Accepting::Pause(until) if now >= until) {
                gate.accepting = Accepting::Wanted;
            }
            match gate.accepting {
                Accepting::Wanted if may_accept => {
                    self.ring.accept(gate.listener.as_raw_fd(), door);
                    gate.accepting = Accepting::Armed;
                }
                Accepting::Armed if !may_accept => {
                    self.ring.stop_accept(door);
                    gate.accepting = Accepting::Stopping;
                }
                _ => {}
            }
        }
    }

    pub(super) fn on_accept(&mut self, event: &Event) {
        let door = event.door();
        let Some(gate) = self.gates.get_mut(usize::from(door.0)) else {
            // Stopped meanwhile.
            if let Ok(socket) = u32::try_from(event.result) {
                self.ring.close(socket, false);
            }
            return;
        };
        if let Ok(socket) = u32::try_from(event.result) {
            self.ring.name(socket, gate.family, door);
        }
        if !event.more() {
            let error = io::Error::from_raw_os_error(-event.result);
            gate.accepting = if sys::is_shortage(&error) {
                // The table of direct descriptors full is no news: clients wait in the kernel's queue.
                if self.links.may_accept() {
                    log::warn!("core {}: cannot accept, {error}", self.links.shard().0);
                }
                Accepting::Pause(self.links.clock.now + ACCEPT_PAUSE)
            } else {
                Accepting::Wanted
            };
        }
    }

    pub(super) fn on_name<H: Handler>(&mut self, handler: &mut H, event: &Event) {
        let Some(named) = self.ring.named(event) else { return };
        let local = self.gates.get(usize::from(named.door.0)).and_then(Gate::local);
        if named.peer.is_some() && local.is_none() && named.door != Door::WEB {
            // Only the socket itself knows which of our addresses the client dialled.
            self.ring.install(named);
            return;
        }
        self.admit(handler, &named, local);
    }

    pub(super) fn on_install<H: Handler>(&mut self, handler: &mut H, event: &Event) {
        if let Some((named, local)) = self.ring.installed(event) {
            self.admit(handler, &named, local);
        }
    }

    fn admit<H: Handler>(&mut self, handler: &mut H, named: &Named, local: Option<SocketAddr>) {
        // Without a peer the client is gone already.
        let accepted =
            named.peer.and_then(|peer| self.links.accepted(handler, named.socket, peer, local, named.door));
        if accepted.is_none() {
            self.ring.close(named.socket, false);
        }
    }
}
