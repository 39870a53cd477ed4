//! Small things of the operating system: doorbells, listeners, limits of the process. What needs `unsafe` here are calls
//! into glommio and libc that take raw descriptors.
#![allow(unsafe_code)]

use rustix::event::{EventfdFlags, eventfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

/// Connections the kernel keeps for us until we accept them. It cuts this to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// An eventfd that wakes one core.
#[derive(Debug)]
pub(crate) struct Bell(OwnedFd);

impl Bell {
    /// For a read that waits in a ring: with `O_NONBLOCK` the ring would answer `EAGAIN` at once.
    pub(crate) fn for_ring() -> io::Result<Bell> {
        Ok(Bell(eventfd(0, EventfdFlags::CLOEXEC)?))
    }

    /// For readiness polling.
    pub(crate) fn for_poll() -> io::Result<Bell> {
        Ok(Bell(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Wakes the core. May be called from any thread.
    pub(crate) fn ring(&self) {
        if let Err(error) = rustix::io::write(&self.0, &1u64.to_ne_bytes()) {
            log::error!("a core cannot be woken: {error}");
        }
    }

    /// Silences a bell made by `for_poll`.
    pub(crate) fn hear(&self) {
        let mut count = [0u8; 8];
        // EAGAIN: it was silent already.
        let silent = rustix::io::read(&self.0, &mut count);
        debug_assert!(matches!(silent, Ok(8) | Err(rustix::io::Errno::AGAIN)), "{silent:?}");
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// A file that glommio can wait on. It is a duplicate: both name the same counter.
    pub(crate) fn as_glommio_file(&self) -> io::Result<glommio::io::BufferedFile> {
        let fd = self.0.try_clone()?.into_raw_fd();
        // SAFETY: `fd` is a fresh descriptor that nobody else owns; the file closes it.
        Ok(unsafe { glommio::io::BufferedFile::from_raw_fd(fd) })
    }
}

/// Listens `count` times on one address, so that the kernel spreads clients over the cores.
///
/// The first socket binds *and listens* without `SO_REUSEPORT`: that fails if anybody else listens there, another
/// instance of this program included, which `SO_REUSEPORT` alone would let in to take a share of our clients. Only then
/// is the option set on it and the others join. `TCP_NODELAY` is inherited by accepted sockets.
pub(crate) fn listen(address: SocketAddr, count: usize) -> io::Result<(SocketAddr, Vec<Socket>)> {
    let first = listener(address)?;
    first.bind(&address.into())?;
    first.listen(BACKLOG)?;
    first.set_reuse_port(true)?;
    let bound = first.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut sockets = vec![first];
    while sockets.len() < count {
        let next = listener(address)?;
        next.set_reuse_port(true)?;
        next.bind(&bound.into())?;
        next.listen(BACKLOG)?;
        sockets.push(next);
    }
    Ok((bound, sockets))
}

fn listener(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier run in TIME_WAIT do not keep us from binding.
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

/// Raises the soft limit of open descriptors to the hard one; returns what holds now.
pub(crate) fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            log::warn!("the limit of open descriptors stays at {:?}: {error}", limit.current);
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Locked memory the process may use, bytes.
pub(crate) fn locked_memory_limit() -> u64 {
    getrlimit(Resource::Memlock).current.unwrap_or(u64::MAX)
}

/// A listener on `[::]` sees IPv4 clients as mapped addresses: they are called what they are.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The address that the other end of a connection dialled.
pub(crate) fn local_address(socket: &impl std::os::fd::AsFd) -> Option<SocketAddr> {
    socket2::SockRef::from(socket).local_addr().ok()?.as_socket().map(canonical)
}

/// Makes the next close of a socket a reset.
pub(crate) fn set_reset_on_close(fd: BorrowedFd<'_>) -> io::Result<()> {
    socket2::SockRef::from(&fd).set_linger(Some(std::time::Duration::ZERO))
}

/// Accepting failed for want of descriptors or memory: to try again at once would spin.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
