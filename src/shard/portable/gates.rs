//! The portable driver's listeners: one gate for each door.

use super::Portable;
use crate::base::time::Instant;
use crate::shard::gates::ACCEPT_PAUSE;
use crate::shard::links::{ConnKey, Door, Handler};
use crate::shard::sys;
use mio::net::TcpListener;
use mio::{Interest, Poll, Token};
use std::io;

/// Of the first door; those of the others go down from here.
const LISTENER: usize = usize::MAX - 2;
/// Doors that tokens are kept for.
const DOORS_MAX: usize = 16;
const ACCEPTS_PER_TURN: usize = 64;

/// One listener.
pub(super) struct Gate {
    listener: TcpListener,
    clients_wait: bool,
    accept_after: Instant,
}

impl Gate {
    fn new(listener: socket2::Socket, door: usize, poll: &Poll) -> io::Result<Gate> {
        listener.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(listener.into());
        poll.registry().register(&mut listener, Token(LISTENER - door), Interest::READABLE)?;
        Ok(Gate { listener, clients_wait: true, accept_after: Instant(0) })
    }
}

pub(super) fn open(listeners: Vec<socket2::Socket>, poll: &Poll) -> io::Result<Vec<Gate>> {
    let listeners = listeners.into_iter().take(DOORS_MAX).enumerate();
    listeners.map(|(door, listener)| Gate::new(listener, door, poll)).collect()
}

pub(super) fn is_listener(token: Token) -> bool {
    token.0 <= LISTENER && token.0 > LISTENER - DOORS_MAX
}

/// Clients came to the listener of that token.
pub(super) fn clients_wait(gates: &mut [Gate], token: Token) {
    if let Some(gate) = gates.get_mut(LISTENER - token.0) {
        gate.clients_wait = true;
    }
}

/// When to look at the listeners again without any event.
pub(super) fn next_accept(gates: &[Gate], may_accept: bool) -> Instant {
    let again = gates.iter().filter(|gate| gate.clients_wait && may_accept);
    again.map(|gate| gate.accept_after).min().unwrap_or(Instant::FAR)
}

impl Portable {
    pub(super) fn accept<H: Handler>(&mut self, handler: &mut H, door: Door) {
        for _ in 0..ACCEPTS_PER_TURN {
            let (may_accept, now) = (self.links.may_accept(), self.links.clock.now);
            let Some(gate) = self.gates.get_mut(usize::from(door.0)) else { return };
            if !(gate.clients_wait && now >= gate.accept_after && may_accept) {
                return;
            }
            match gate.listener.accept() {
                Ok((stream, peer)) => {
                    let peer = sys::canonical(peer);
                    let local = sys::local_address(&stream);
                    let Ok(number) = self.keep(stream, ConnKey::from_bits(0), false) else { continue };
                    match self.links.accepted(handler, number, peer, local, door) {
                        Some(key) => self.assign(number, key),
                        None => self.forget(number, false),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return gate.clients_wait = false,
                Err(error) if sys::is_shortage(&error) => {
                    log::warn!("core {}: cannot accept, {error}", self.shard.0);
                    gate.accept_after = now + ACCEPT_PAUSE;
                    return;
                }
                Err(error) => {
                    log::debug!("core {}: a client was gone before it was accepted: {error}", self.shard.0)
                }
            }
        }
    }
}
