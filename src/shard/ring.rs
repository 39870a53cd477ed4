//! The io_uring of one core, safe to use: it owns every byte the kernel may read or write (buffers being sent, receive
//! buffers, addresses) until the kernel's completion gives them back. Knows connections only as numbers.
//!
//! Needs Linux 6.7: multishot accept into direct descriptors, deferred task work, socket options through the ring.
#![allow(unsafe_code)]

mod files;
mod receive;
mod send;
mod wait;

pub(crate) use wait::{TICK, Wait};

use crate::base::table::{Key, Table};
use crate::shard::disk::Flight;
use crate::shard::links::Door;
use crate::shard::sys;
use io_uring::types::{CancelBuilder, DestinationSlot, Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use socket2::{SockAddr, SockAddrStorage};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{Ordering, fence};

const SUBMISSIONS: u32 = 1024;
const COMPLETIONS: u32 = 8192;
/// With more submissions than this in one enter the kernel holds writes to block devices back until it has gone through all of
/// them (`IO_PLUG_THRESHOLD`).
const UNPLUGGED_MAX: usize = 2;
/// `IORING_ENTER_GETEVENTS`: without it deferred completions are not run at all. `IORING_ENTER_EXT_ARG`: with time-out.
const ENTER_FLAGS: u32 = 1 | 8;
const SO_PEERNAME: u32 = 28;
/// `SOCKET_URING_OP_GETSOCKOPT`, for the field that the crate's `SetSockOpt` fills with its own number.
const COMMAND_GETSOCKOPT: u32 = 2;

static ON: libc::c_int = 1;
static RESET: libc::linger = libc::linger { l_onoff: 1, l_linger: 0 };

/// What a completion is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Op {
    Ignored,
    Accept,
    Name,
    Install,
    Socket,
    Connect,
    Receive,
    Send,
    Shutdown,
    Move,
    Adopt,
    Bell,
    File,
    Tick,
}

const OPS: [Op; 14] = [
    Op::Ignored,
    Op::Accept,
    Op::Name,
    Op::Install,
    Op::Socket,
    Op::Connect,
    Op::Receive,
    Op::Send,
    Op::Shutdown,
    Op::Move,
    Op::Adopt,
    Op::Bell,
    Op::File,
    Op::Tick,
];

/// A completion: operation, key or ticket, result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) op: Op,
    data: u64,
    pub(crate) result: i32,
    flags: u32,
}

impl Event {
    /// The key that the operation was begun with.
    pub(crate) fn key(&self) -> Key {
        Key::from_bits((self.data & 0xffff_ffff) << 32 | (self.data >> 32) & 0x00ff_ffff)
    }

    /// The ticket of a socket that another ring sent.
    pub(crate) fn ticket(&self) -> u64 {
        self.data & TICKET_MASK
    }

    /// The door of an accept.
    pub(crate) fn door(&self) -> Door {
        Door(self.data as u8)
    }

    /// The operation goes on; more completions follow.
    pub(crate) fn more(&self) -> bool {
        cqueue::more(self.flags)
    }

    pub(crate) fn buffer(&self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }
}

/// Tickets fit beside the operation's number.
pub(crate) const TICKET_MASK: u64 = (1 << 56) - 1;

/// Operation (8 bits), slot (24), generation (32).
fn tag(op: Op, key: Key) -> u64 {
    let (slot, generation) = (key.to_bits() & 0xffff_ffff, key.to_bits() >> 32);
    debug_assert!(slot < 1 << 24, "a core has fewer than 2^24 connections");
    (op as u64) << 56 | slot << 32 | generation
}

fn plain(op: Op) -> u64 {
    (op as u64) << 56
}

/// The address family of a listener and so of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn of(address: SocketAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

/// A freshly accepted socket whose peer, then perhaps our own address, is being asked for.
struct Naming {
    named: Named,
    address: Box<SockAddrStorage>,
}

/// A client's socket and who it is; no peer: gone already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named {
    pub(crate) socket: u32,
    pub(crate) door: Door,
    pub(crate) peer: Option<SocketAddr>,
}

/// See the head of the file.
pub(crate) struct Ring {
    /// Dropped first: closes the ring before the memory it was given.
    io: IoUring,
    buffers: receive::Buffers,
    /// Submissions that found the queue full, in order.
    late: VecDeque<squeue::Entry>,
    /// A commit is among what is not submitted yet: it does not wait for what comes after it.
    commit_waits: bool,
    /// By the slot of their connection.
    sends: Vec<send::Sending>,
    /// Sends that complete while they are submitted, asked for since the last enter: nobody needs to wake up for them.
    prompt_sends: u32,
    naming: Table<Naming>,
    connects: BTreeMap<Key, Box<SockAddr>>,
    bell: Box<[u8; sys::BELL_BYTES]>,
    /// Read when the tick is submitted.
    tick_time: Box<Timespec>,
    flights: Table<Flight>,
    /// Operations whose memory the kernel may still use; the ring may only be dropped at 0.
    using_memory: usize,
    pub(crate) enters: u64,
}

impl Ring {
    /// Must be called on the thread that will use it. `sockets`: size of the table of direct descriptors.
    pub(crate) fn new(sockets: u32) -> io::Result<Ring> {
        let mut io = IoUring::builder()
            .setup_cqsize(COMPLETIONS)
            .setup_clamp()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .build(SUBMISSIONS)?;
        io.submitter().register_files_sparse(sockets)?;
        let buffers = receive::Buffers::new(&mut io)?;
        Ok(Ring {
            io,
            buffers,
            late: VecDeque::new(),
            commit_waits: false,
            sends: Vec::new(),
            prompt_sends: 0,
            naming: Table::default(),
            connects: BTreeMap::new(),
            bell: Box::new([0; sys::BELL_BYTES]),
            tick_time: Box::default(),
            flights: Table::default(),
            using_memory: 0,
            enters: 0,
        })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.io.as_raw_fd()
    }

    /// The eventfd that is written for each completion while `set_signal(true)` holds.
    pub(crate) fn register_signal(&mut self, fd: RawFd) -> io::Result<()> {
        self.io.submitter().register_eventfd(fd)?;
        self.io.completion().disable_eventfd();
        Ok(())
    }

    pub(crate) fn set_signal(&mut self, on: bool) {
        if on {
            self.io.completion().enable_eventfd();
            // The kernel looks at this flag after it posted; `is_ready` must look at its posts after the flag.
            fence(Ordering::SeqCst);
        } else {
            self.io.completion().disable_eventfd();
        }
    }

    /// True when `enter` would find completions, or deferred work that makes some.
    pub(crate) fn is_ready(&mut self) -> bool {
        self.io.submission().taskrun() || !self.io.completion().is_empty()
    }

    /// True when operations wait to be submitted.
    pub(crate) fn has_unsubmitted(&mut self) -> bool {
        !self.late.is_empty() || !self.io.submission().is_empty()
    }

    /// Submits all that was asked for, and waits.
    pub(crate) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        self.buffers.publish();
        while let Some(entry) = self.late.pop_front() {
            if !self.try_push(&entry) {
                self.late.push_front(entry);
                break;
            }
        }
        self.enters += 1;
        self.commit_waits = false;
        let wait = if self.late.is_empty() { wait } else { Wait::Not };
        let time = match wait {
            Wait::AtMost(time) => Some(Timespec::from(time)),
            Wait::Not | Wait::Completion => None,
        };
        let args = SubmitArgs::new();
        let args = time.as_ref().map_or(args, |time| args.timespec(time));
        let count = self.io.submission().len() as u32;
        // Only exact if all that was asked for is submitted here: otherwise nothing is waited for.
        let prompt = std::mem::take(&mut self.prompt_sends);
        let want = if wait == Wait::Not { 0 } else { 1 + prompt };
        // SAFETY: `args` and `time` outlive the call, and the flags say that an extended argument is passed.
        match unsafe { self.io.submitter().enter(count, want, ENTER_FLAGS, Some(&args)) } {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // Time is up, a signal, or the kernel wants completions taken first: the caller takes them.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Appends all completions that are there.
    pub(crate) fn reap(&mut self, events: &mut Vec<Event>) {
        events.extend(self.io.completion().map(|c| Event {
            op: OPS.get((c.user_data() >> 56) as usize).copied().unwrap_or(Op::Ignored),
            data: c.user_data(),
            result: c.result(),
            flags: c.flags(),
        }));
    }

    /// Accepts clients until cancelled or failed.
    pub(crate) fn accept(&mut self, listener: RawFd, door: Door) {
        let entry = opcode::AcceptMulti::new(Fd(listener)).allocate_file_index(true).build();
        self.push(entry.user_data(plain(Op::Accept) | u64::from(door.0)));
    }

    pub(crate) fn stop_accept(&mut self, door: Door) {
        let which = CancelBuilder::user_data(plain(Op::Accept) | u64::from(door.0));
        self.push(opcode::AsyncCancel2::new(which).build());
    }

    /// Asks who the peer of a socket is: a direct descriptor has no number that `getpeername` would take.
    pub(crate) fn name(&mut self, socket: u32, family: Family, door: Door) {
        let named = Named { socket, door, peer: None };
        let key = self.naming.insert(Naming { named, address: Box::new(SockAddrStorage::zeroed()) });
        let Some(naming) = self.naming.get_mut(key) else { return };
        // The kernel refuses a length above that of the address.
        let room = match family {
            Family::V4 => size_of::<libc::sockaddr_in>(),
            Family::V6 => size_of::<libc::sockaddr_in6>(),
        } as u32;
        let address: *mut SockAddrStorage = &raw mut *naming.address;
        let level = libc::SOL_SOCKET as u32;
        let mut entry =
            opcode::SetSockOpt::new(Fixed(socket), level, SO_PEERNAME, address.cast_const().cast(), room)
                .build();
        // SAFETY: an entry is the kernel's `io_uring_sqe`, 64 bytes of plain integers; `cmd_op` is the u32 at offset 8.
        // The two commands differ in nothing else.
        unsafe { (&raw mut entry).cast::<u32>().add(2).write(COMMAND_GETSOCKOPT) };
        self.using_memory += 1;
        self.push(entry.user_data(tag(Op::Name, key)));
    }

    /// The answer to `name`: the socket, and its peer if it is still connected.
    pub(crate) fn named(&mut self, event: &Event) -> Option<Named> {
        let naming = self.naming.remove(event.key())?;
        self.using_memory -= 1;
        let length =
            libc::socklen_t::try_from(event.result).ok().filter(|n| *n > 0 && *n <= naming.address.size_of());
        let Some(length) = length else { return Some(naming.named) };
        // SAFETY: the kernel wrote `length` bytes of a socket address into the zeroed storage.
        let address = unsafe { SockAddr::new(*naming.address, length) };
        // A listener on `[::]` sees IPv4 clients as mapped addresses: call them what they are.
        let peer = address.as_socket().map(sys::canonical);
        Some(Named { peer, ..naming.named })
    }

    /// Gives a client's socket an ordinary descriptor for a moment, to ask for our own address: no operation of the ring
    /// tells it.
    pub(crate) fn install(&mut self, named: Named) {
        let key = self.naming.insert(Naming { named, address: Box::new(SockAddrStorage::zeroed()) });
        let entry = opcode::FixedFdInstall::new(Fixed(named.socket), 0).build();
        self.push(entry.user_data(tag(Op::Install, key)));
    }

    /// The answer to `install`: the socket and our own address; without one where the kernel is older than 6.8.
    pub(crate) fn installed(&mut self, event: &Event) -> Option<(Named, Option<SocketAddr>)> {
        let named = self.naming.remove(event.key())?.named;
        if event.result < 0 {
            return Some((named, None));
        }
        // SAFETY: the kernel made this descriptor for us, and nobody else has its number.
        let descriptor = unsafe { OwnedFd::from_raw_fd(event.result) };
        Some((named, sys::local_address(&descriptor)))
    }

    /// Makes a socket for `to`; its completion carries the number, then `connect` follows.
    pub(crate) fn socket(&mut self, key: Key, to: SocketAddr) {
        let domain = if to.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let entry = opcode::Socket::new(domain, libc::SOCK_STREAM, libc::IPPROTO_TCP);
        self.push(
            entry.file_index(Some(DestinationSlot::auto_target())).build().user_data(tag(Op::Socket, key)),
        );
    }

    /// Connects; small frames are not to wait for acknowledgements of earlier ones.
    pub(crate) fn connect(&mut self, key: Key, socket: u32, to: SocketAddr) {
        let on: *const libc::c_int = &raw const ON;
        let size = size_of::<libc::c_int>() as u32;
        let (level, name) = (libc::IPPROTO_TCP as u32, libc::TCP_NODELAY as u32);
        self.push(opcode::SetSockOpt::new(Fixed(socket), level, name, on.cast(), size).build());
        let address = self.connects.entry(key).insert_entry(Box::new(to.into())).into_mut();
        let entry = opcode::Connect::new(Fixed(socket), address.as_ptr().cast(), address.len()).build();
        self.using_memory += 1;
        self.push(entry.user_data(tag(Op::Connect, key)));
    }

    /// To be called at the completion of `connect`.
    pub(crate) fn connect_ended(&mut self, event: &Event) {
        if self.connects.remove(&event.key()).is_some() {
            self.using_memory -= 1;
        }
    }

    pub(crate) fn cancel_connect(&mut self, key: Key) {
        self.push(opcode::AsyncCancel2::new(CancelBuilder::user_data(tag(Op::Connect, key))).build());
    }

    /// Ends our direction. The kernel does this on a worker thread and looks the socket up there: until the completion the
    /// socket's number must not be given up, or another connection would be cut off.
    pub(crate) fn shutdown_write(&mut self, key: Key, socket: u32) {
        let entry = opcode::Shutdown::new(Fixed(socket), libc::SHUT_WR).build();
        self.push(entry.user_data(tag(Op::Shutdown, key)));
    }

    /// Cancels all that is under way on a socket.
    pub(crate) fn cancel_all(&mut self, socket: u32) {
        self.push(opcode::AsyncCancel2::new(CancelBuilder::fd(Fixed(socket)).all()).build());
    }

    /// Closes a socket on which nothing is under way.
    pub(crate) fn close(&mut self, socket: u32, reset: bool) {
        if reset {
            let option: *const libc::linger = &raw const RESET;
            let size = size_of::<libc::linger>() as u32;
            let (level, name) = (libc::SOL_SOCKET as u32, libc::SO_LINGER as u32);
            let entry = opcode::SetSockOpt::new(Fixed(socket), level, name, option.cast(), size).build();
            // The close must come second, whatever became of the option.
            self.push(entry.flags(squeue::Flags::IO_HARDLINK));
        }
        self.push(opcode::Close::new(Fixed(socket)).build());
    }

    /// Gives another ring a reference to a socket; it sees an `Adopt` event with the ticket.
    pub(crate) fn hand_over(&mut self, key: Key, socket: u32, ring: RawFd, ticket: u64) {
        let ticket = plain(Op::Adopt) | ticket & TICKET_MASK;
        let entry =
            opcode::MsgRingSendFd::new(Fd(ring), Fixed(socket), DestinationSlot::auto_target(), ticket);
        self.push(entry.build().user_data(tag(Op::Move, key)));
    }

    /// Waits for the bell.
    pub(crate) fn listen_to_bell(&mut self, bell: RawFd) {
        let entry = opcode::Read::new(Fd(bell), self.bell.as_mut_ptr(), sys::BELL_BYTES as u32).build();
        self.using_memory += 1;
        self.push(entry.user_data(plain(Op::Bell)));
    }

    /// To be called when the bell was heard.
    pub(crate) fn bell_heard(&mut self) {
        self.using_memory -= 1;
    }

    pub(crate) fn stop_bell(&mut self) {
        self.push(opcode::AsyncCancel2::new(CancelBuilder::user_data(plain(Op::Bell))).build());
    }

    /// True when the kernel uses none of our memory any more.
    pub(crate) fn is_still(&self) -> bool {
        self.using_memory == 0
    }

    /// Submits what was asked for, and does not look what came.
    fn submit_early(&mut self) {
        self.commit_waits = false;
        self.enters += 1;
        let count = self.io.submission().len() as u32;
        // SAFETY: no argument is passed, and the flags say so.
        let submitted = unsafe { self.io.submitter().enter::<libc::sigset_t>(count, 0, 0, None) };
        // What was not taken stays in the queue; the turn's own enter says why.
        drop(submitted);
    }

    fn push(&mut self, entry: squeue::Entry) {
        if self.commit_waits && self.io.submission().len() >= UNPLUGGED_MAX {
            self.submit_early();
        }
        if !self.late.is_empty() || !self.try_push(&entry) {
            self.late.push_back(entry);
        }
    }

    fn try_push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: all memory an entry names is owned by `self` (sends, naming, connects, bell, buffers) or static, and is
        // kept until the operation's last completion.
        unsafe { self.io.submission().push(entry) }.is_ok()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.is_still() {
            return;
        }
        // The kernel cancels what is left only after the ring was closed: rather leak than let it write to freed memory.
        log::error!("a ring is closed with {} operations under way", self.using_memory);
        std::mem::forget(std::mem::take(&mut self.sends));
        std::mem::forget(std::mem::take(&mut self.naming));
        std::mem::forget(std::mem::take(&mut self.connects));
        std::mem::forget(std::mem::take(&mut self.flights));
        std::mem::forget(std::mem::replace(&mut self.bell, Box::new([0; sys::BELL_BYTES])));
        self.buffers.leak();
    }
}
