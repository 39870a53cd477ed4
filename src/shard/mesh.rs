//! What cores may say to each other: plain data over bounded queues, and nothing else.

use crate::base::limit;
use crate::broker::admin::{AdminAnswer, AdminAsk};
use crate::broker::host::{Reply, Request};
use crate::metrics::CoreReport;
use crate::shard::disk::Opened;
use crate::shard::links::ConnKey;
use crate::shard::meta::MetaNews;
use crate::shard::sys::Bell;
use crate::store::{Completion, DiskError, OpId, StoreId};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// Number of a core, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// To let a core ask for more, add a variant here and nowhere else. Plain data only.
#[derive(Debug)]
pub enum Mail {
    /// A socket that another core handed over, with the bytes already read from it.
    Adopt {
        /// Its key here.
        key: ConnKey,
        /// The client.
        peer: SocketAddr,
        /// Bytes to be read again.
        head: Vec<u8>,
    },
    /// Asks for a report of counters and sessions.
    Report {
        /// Comes back with the answer.
        ticket: u64,
        /// List the sessions, not only the counters.
        sessions: bool,
    },
    /// The answer to [`Mail::Report`].
    Reported {
        /// From the question.
        ticket: u64,
        /// The core's report.
        report: Box<CoreReport>,
    },
    /// Requests of native connections and of the gateway to topics of the other core's stores. Bounded by the sender's
    /// credit, which comes back with the replies.
    Requests(Vec<Request>),
    /// Answers and deliveries to connections of the other core.
    Replies {
        /// In the order of the host.
        replies: Vec<Reply>,
        /// Bytes of requests that were taken, and may be sent anew.
        credit: usize,
    },
    /// An administrator's question to a topic of the other core's stores.
    Ask {
        /// Comes back with the answer.
        ticket: u64,
        /// The store asked.
        store: StoreId,
        /// The question.
        ask: Box<AdminAsk>,
    },
    /// The answer to [`Mail::Ask`].
    Answered {
        /// From the question.
        ticket: u64,
        /// The answer.
        answer: Box<AdminAnswer>,
    },
}

/// What lies in a mailbox: mail of the logic above, and the drivers' own.
#[derive(Debug)]
pub(crate) enum Letter {
    Mail { from: ShardId, mail: Mail },
    Resolved { token: u64, result: Result<Vec<SocketAddr>, String> },
    Parcel(Box<Parcel>),
    Opened(Box<Opened>),
    Disk { store: StoreId, op: OpId, result: Result<Completion, DiskError> },
    Meta(MetaNews),
}

/// A socket on its way, with what is known of it.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) from: ShardId,
    pub(crate) socket: Handed,
    pub(crate) peer: SocketAddr,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) head: Vec<u8>,
}

/// How a socket travels.
#[derive(Debug)]
pub(crate) enum Handed {
    /// From ring to ring; its arrival there carries this ticket.
    Ticket(u64),
    /// As an owned descriptor: closed if nobody takes it out.
    Stream(TcpStream),
}

/// What a core publishes about itself for the watchdog, and what the watchdog and `stop` tell it.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// Grows with each turn.
    pub(crate) beats: AtomicU64,
    /// Zero: awake. Else asleep until this time, nanoseconds since the process began (`u64::MAX`: no timer).
    pub(crate) asleep_until: AtomicU64,
    /// Asleep, but what it waits for has come: it is to run at once.
    pub(crate) woken: AtomicBool,
    /// Set by the watchdog: do not stay parked.
    pub(crate) kicked: AtomicBool,
    /// Times the watchdog found the core standing still.
    pub(crate) stalls: AtomicU64,
    /// The core has ended.
    pub(crate) ended: AtomicBool,
}

struct Core {
    sender: SyncSender<Letter>,
    bell: Bell,
    /// The bell was rung and the core has not looked since: no need to ring again.
    rung: AtomicBool,
    /// The core waits for something to happen, or is about to: only then does ringing cost a system call.
    waits: AtomicBool,
    /// Descriptor of the core's ring, -1 while it has none.
    ring: AtomicI32,
    pulse: Pulse,
}

/// All mailboxes and doorbells of the process. Shared by the cores; holds no state of any connection.
pub(crate) struct Mesh {
    cores: Vec<Core>,
    stopping: AtomicBool,
}

impl Mesh {
    /// The mesh and each core's end of its mailbox. `bells` as the driver needs them, one for each core.
    pub(crate) fn new(bells: Vec<Bell>) -> (Mesh, Vec<Receiver<Letter>>) {
        let (mut cores, mut mailboxes) = (Vec::new(), Vec::new());
        for bell in bells {
            let (sender, mailbox) = sync_channel(limit::MAILBOX_MAX);
            let (rung, ring) = (AtomicBool::new(false), AtomicI32::new(-1));
            let waits = AtomicBool::new(false);
            cores.push(Core { sender, bell, rung, waits, ring, pulse: Pulse::default() });
            mailboxes.push(mailbox);
        }
        (Mesh { cores, stopping: AtomicBool::new(false) }, mailboxes)
    }

    pub(crate) fn len(&self) -> usize {
        self.cores.len()
    }

    pub(crate) fn mail(&self, from: ShardId, to: ShardId, mail: Mail) -> Result<(), Mail> {
        match self.post(to, Letter::Mail { from, mail }) {
            Err(Letter::Mail { mail, .. }) => Err(mail),
            _ => Ok(()),
        }
    }

    /// Puts a letter into a mailbox and rings. A full mailbox, or one of a core that has ended, gives it back.
    pub(crate) fn post(&self, to: ShardId, letter: Letter) -> Result<(), Letter> {
        match self.core(to).sender.try_send(letter) {
            Ok(()) => {
                self.ring_bell(to);
                Ok(())
            }
            Err(TrySendError::Full(letter) | TrySendError::Disconnected(letter)) => Err(letter),
        }
    }

    /// As `post`, but waits for room: for helper threads only, never for a core.
    pub(crate) fn post_waiting(&self, to: ShardId, letter: Letter) {
        // An error means that the core has ended: nobody wants the letter.
        if self.core(to).sender.send(letter).is_ok() {
            self.ring_bell(to);
        }
    }

    /// Wakes a core, asleep or blocked in its ring.
    pub(crate) fn ring_bell(&self, to: ShardId) {
        let core = self.core(to);
        // Either we see that it waits, or it sees, before it waits, that the bell was rung.
        if !core.rung.swap(true, Ordering::SeqCst) && core.waits.load(Ordering::SeqCst) {
            core.bell.ring();
        }
    }

    /// The core is about to wait. False: its bell was rung before, so it must look first.
    pub(crate) fn begin_to_wait(&self, shard: ShardId) -> bool {
        self.core(shard).waits.store(true, Ordering::SeqCst);
        !self.is_rung(shard)
    }

    /// The core waits no longer: it looks at its mailbox by itself.
    pub(crate) fn end_to_wait(&self, shard: ShardId) {
        self.core(shard).waits.store(false, Ordering::SeqCst);
    }

    /// The core heard its bell and is about to look: what is posted from here on rings again.
    pub(crate) fn heard_bell(&self, shard: ShardId) {
        self.core(shard).rung.store(false, Ordering::SeqCst);
    }

    /// True when the bell was rung and not yet heard.
    pub(crate) fn is_rung(&self, shard: ShardId) -> bool {
        self.core(shard).rung.load(Ordering::SeqCst)
    }

    pub(crate) fn bell(&self, shard: ShardId) -> &Bell {
        &self.core(shard).bell
    }

    pub(crate) fn pulse(&self, shard: ShardId) -> &Pulse {
        &self.core(shard).pulse
    }

    pub(crate) fn ring_of(&self, shard: ShardId) -> Option<i32> {
        Some(self.core(shard).ring.load(Ordering::Acquire)).filter(|fd| *fd >= 0)
    }

    pub(crate) fn set_ring(&self, shard: ShardId, fd: Option<i32>) {
        self.core(shard).ring.store(fd.unwrap_or(-1), Ordering::Release);
    }

    /// Tells all cores to stop.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        (0..self.cores.len()).for_each(|shard| self.core(ShardId(shard as u16)).bell.ring());
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn core(&self, shard: ShardId) -> &Core {
        &self.cores[usize::from(shard.0)]
    }
}
