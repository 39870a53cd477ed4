//! Finds out whether this machine lets us have the ring, and if not, what would mend it.

use crate::shard::links::Door;
use crate::shard::ring::{Family, Op, Ring, Wait};
use crate::shard::sys;
use std::io;
use std::time::Duration;

/// Locked memory that glommio insists on for each executor, bytes.
const LOCKED_MEMORY_MIN: u64 = 512 * 1024;
/// Descriptors kept for everything but connections: listeners, rings, eventfds, logs.
pub(crate) const SPARE_DESCRIPTORS: u64 = 256;

/// Makes a small ring and uses what the driver needs. The error says what is missing and how to mend it.
pub fn probe() -> Result<(), String> {
    let locked = sys::locked_memory_limit();
    if locked < LOCKED_MEMORY_MIN {
        return Err(format!(
            "the limit of locked memory is {} KiB, at least {} KiB are needed (ulimit -l, LimitMEMLOCK=)",
            locked / 1024,
            LOCKED_MEMORY_MIN / 1024
        ));
    }
    // In a thread of its own: when a ring is closed the kernel interrupts the system calls of the thread that used it.
    let tried = std::thread::Builder::new().name("probe".into()).spawn(try_ring);
    let tried = tried.and_then(|thread| thread.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())));
    tried.map_err(|error| explain(&error))
}

fn explain(error: &io::Error) -> String {
    let mend = match error.raw_os_error() {
        Some(libc::ENOSYS) => {
            "the kernel has no io_uring, or a seccomp filter hides it: allow io_uring_setup, \
             io_uring_enter and io_uring_register (containers: --security-opt seccomp=...)"
        }
        Some(libc::EPERM | libc::EACCES) => {
            "io_uring is forbidden: sysctl kernel.io_uring_disabled must be 0, and the seccomp filter must allow it"
        }
        Some(libc::ENOMEM) => "not enough locked memory for a ring (ulimit -l, LimitMEMLOCK=)",
        Some(libc::EMFILE | libc::ENFILE) => "no descriptors left (ulimit -n, LimitNOFILE=)",
        Some(libc::EINVAL | libc::EOPNOTSUPP) => "the kernel is too old: 6.7 or later is needed",
        _ => "unexpected",
    };
    format!("no io_uring: {mend} ({error})")
}

/// The newest thing needed is the peer's name through the ring; the rest is tried by making the ring.
fn try_ring() -> io::Result<()> {
    let mut ring = Ring::new(8)?;
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    let client = std::net::TcpStream::connect(listener.local_addr()?)?;
    ring.accept(std::os::fd::AsRawFd::as_raw_fd(&listener), Door::WEB);
    let mut result = None;
    let mut events = Vec::new();
    // A handful of completions; each takes one round, and a refused operation ends with an error at once.
    for _ in 0..16 {
        ring.enter(Wait::AtMost(Duration::from_millis(250)))?;
        ring.reap(&mut events);
        for event in events.drain(..) {
            match (event.op, event.result) {
                (Op::Accept, socket @ 0..) => ring.name(socket as u32, Family::V4, Door::WEB),
                (Op::Accept, errno) => return Err(io::Error::from_raw_os_error(-errno)),
                (Op::Name, errno) => {
                    let named = ring.named(&event).and_then(|named| named.peer);
                    let as_expected = named.is_some() && named == client.local_addr().ok();
                    let errno = if errno < 0 { -errno } else { libc::EINVAL };
                    result =
                        Some(if as_expected { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) });
                }
                _ => {}
            }
        }
        if let Some(result) = result {
            return result;
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}
