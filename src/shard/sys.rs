//! Small things of the operating system: doorbells, listeners, limits of the process. What needs `unsafe` here are calls
//! into glommio and libc that take raw descriptors.
#![allow(unsafe_code)]

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

/// Connections the kernel keeps for us until we accept them. It cuts this to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Bytes of a bell that are heard at once: one for each time it was rung.
pub(crate) const BELL_BYTES: usize = 64;

/// A pipe that wakes one core. Not an eventfd: a ring that has a signal of its own (also an eventfd) puts that signal off
/// while a thread is writing to another eventfd, and a parked core would hear of its bell late or never.
#[derive(Debug)]
pub(crate) struct Bell {
    heard: OwnedFd,
    rung: OwnedFd,
}

impl Bell {
    /// For a read that waits in a ring: with `O_NONBLOCK` the ring would answer `EAGAIN` at once.
    pub(crate) fn for_ring() -> io::Result<Bell> {
        Bell::new(false)
    }

    /// For readiness polling.
    pub(crate) fn for_poll() -> io::Result<Bell> {
        Bell::new(true)
    }

    fn new(poll: bool) -> io::Result<Bell> {
        let (heard, rung) = pipe_with(PipeFlags::CLOEXEC)?;
        // Whoever rings never waits: a full pipe has been rung.
        fcntl_setfl(&rung, OFlags::NONBLOCK)?;
        if poll {
            fcntl_setfl(&heard, OFlags::NONBLOCK)?;
        }
        Ok(Bell { heard, rung })
    }

    /// Wakes the core. May be called from any thread.
    pub(crate) fn ring(&self) {
        match rustix::io::write(&self.rung, &[1]) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => {}
            Err(error) => log::error!("a core cannot be woken: {error}"),
        }
    }

    /// Silences a bell made by `for_poll`.
    pub(crate) fn hear(&self) {
        let mut bytes = [0u8; BELL_BYTES];
        while matches!(rustix::io::read(&self.heard, &mut bytes), Ok(BELL_BYTES)) {}
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.heard.as_raw_fd()
    }
}

/// The eventfd that a ring writes for each completion while its core is parked.
#[derive(Debug)]
pub(crate) struct Signal(OwnedFd);

impl Signal {
    pub(crate) fn new() -> io::Result<Signal> {
        Ok(Signal(eventfd(0, EventfdFlags::CLOEXEC)?))
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
