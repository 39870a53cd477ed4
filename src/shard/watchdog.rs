//! A thread that looks at each core's pulse. A core that stands still while it should be awake, or sleeps past its own
//! deadline or though it was called, is woken from outside; the stall is counted and logged.

use crate::base::limit::STALL_MAX;
use crate::base::time::Instant;
use crate::shard::clock;
use crate::shard::mesh::{Mesh, ShardId};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;

/// Looks this often while a core is awake.
const TICK: Duration = Duration::from_millis(50);
/// And this often while all sleep: the machine is to be left in peace.
const TICK_AT_REST: Duration = Duration::from_secs(1);

enum Command {
    /// How to wake a core's executor from outside.
    Waker(ShardId, Waker),
    End,
}

/// The watchdog's thread.
pub(crate) struct Watchdog {
    commands: Sender<Command>,
    thread: JoinHandle<()>,
}

impl Watchdog {
    pub(crate) fn start(mesh: &Arc<Mesh>) -> io::Result<Watchdog> {
        let (commands, inbox) = channel();
        let mesh = Arc::clone(mesh);
        let thread =
            std::thread::Builder::new().name("watchdog".into()).spawn(move || watch(&mesh, &inbox))?;
        Ok(Watchdog { commands, thread })
    }

    /// Where a core leaves its waker. The send fails only when the watchdog is gone, and with it the need.
    pub(crate) fn register(&self) -> impl Fn(ShardId, Waker) + Send + Clone + 'static {
        let commands = self.commands.clone();
        move |shard, waker| drop(commands.send(Command::Waker(shard, waker)))
    }

    pub(crate) fn end(self) {
        drop(self.commands.send(Command::End));
        if self.thread.join().is_err() {
            log::error!("the watchdog had died");
        }
    }
}

/// What was seen of a core at the last look.
struct Seen {
    state: (u64, u64, bool),
    since: Instant,
    waker: Option<Waker>,
}

fn watch(mesh: &Mesh, inbox: &Receiver<Command>) {
    let mut seen: Vec<Seen> =
        (0..mesh.len()).map(|_| Seen { state: (0, 0, false), since: Instant(0), waker: None }).collect();
    let mut tick = TICK;
    loop {
        match inbox.recv_timeout(tick) {
            Ok(Command::Waker(shard, waker)) => seen[usize::from(shard.0)].waker = Some(waker),
            Ok(Command::End) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let now = clock::monotonic();
                let looks =
                    (0..).map(ShardId).zip(&mut seen).map(|(shard, seen)| look(mesh, shard, seen, now));
                tick = looks.min().unwrap_or(TICK_AT_REST);
            }
        }
    }
}

/// Looks at one core, and says when to look again: not before the one that sleeps as it should could have overslept.
fn look(mesh: &Mesh, shard: ShardId, seen: &mut Seen, now: Instant) -> Duration {
    let pulse = mesh.pulse(shard);
    let (beats, asleep_until) =
        (pulse.beats.load(Ordering::SeqCst), pulse.asleep_until.load(Ordering::SeqCst));
    if beats == 0 || pulse.ended.load(Ordering::SeqCst) {
        return TICK_AT_REST;
    }
    let called = mesh.is_rung(shard) || pulse.woken.load(Ordering::SeqCst);
    let state = (beats, asleep_until, called);
    if seen.state != state {
        (seen.state, seen.since) = (state, now);
    }
    let stood = now.since(seen.since);
    let overslept = Instant(asleep_until) + STALL_MAX < now;
    let stands = match asleep_until {
        0 => stood >= STALL_MAX,
        _ => overslept || (called && stood >= STALL_MAX),
    };
    if stands {
        seen.since = now;
        pulse.stalls.fetch_add(1, Ordering::Relaxed);
        let state = match (asleep_until, called) {
            (0, _) => "awake",
            (_, true) => "asleep though it was called",
            (_, false) => "asleep past its deadline",
        };
        log::warn!("core {} stood still for {stood:?} ({state}, turn {beats}): woken", shard.0);
        pulse.kicked.store(true, Ordering::SeqCst);
        mesh.bell(shard).ring();
        if let Some(waker) = &seen.waker {
            waker.wake_by_ref();
        }
    }
    if asleep_until == 0 || called || stands {
        return TICK;
    }
    let overslept = Instant(asleep_until) + STALL_MAX;
    overslept.since(now).clamp(TICK, TICK_AT_REST)
}
