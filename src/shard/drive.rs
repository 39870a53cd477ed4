//! The glommio task that turns a core's ring.
//!
//! Awake: one enter submits what is to be sent and collects what came. It blocks *in the ring*, deaf to glommio: to wake
//! glommio through an eventfd for each batch costs as much as glommio's own sockets. A tick in the ring bounds that, so that the
//! watchdog sees a beat and quiet is noticed. Quiet for a while: it parks the executor on an eventfd that the ring signals,
//! until then or the next timer. The executor has no other task, so an awake core never makes way for it.
//!
//! glommio 0.9.0 may go to sleep with a runnable task, when its preempt timer fires between its last look at the rings
//! and its first look at the timer (a descheduled thread is enough). Hence the preempt timer is far away, and the watchdog ends
//! such a sleep.

use crate::base::time::Instant;
use crate::shard::clock;
use crate::shard::ending::{Advice, Ending};
use crate::shard::links::Handler;
use crate::shard::mesh::{Mesh, Pulse, ShardId};
use crate::shard::reactor::Reactor;
use crate::shard::ring::Wait;
use crate::shard::sys::Signal;
use glommio::timer::Timer;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Parks after this long without a completion, at the tick after it: parking costs several system calls, so not between two
/// messages.
const PARK_AFTER: Duration = Duration::from_millis(10);

/// Wakes the task, and lets the watchdog know that it was woken: glommio may yet go to sleep without running it.
struct Alarm {
    mesh: Arc<Mesh>,
    shard: ShardId,
    task: Waker,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.mesh.pulse(self.shard).woken.store(true, Ordering::SeqCst);
        self.task.wake_by_ref();
    }
}

type Reading<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Turns the ring until the stop has come to its end.
pub(crate) async fn drive<H: Handler>(
    reactor: &mut Reactor,
    handler: &mut H,
    mut ending: Ending,
    register: impl FnOnce(Waker),
) -> io::Result<()> {
    let mesh = Arc::clone(&reactor.mesh);
    let pulse = mesh.pulse(reactor.links.shard());
    let task = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    register(task.clone());
    let alarm = Waker::from(Arc::new(Alarm { mesh: Arc::clone(&mesh), shard: reactor.links.shard(), task }));
    let signal = Signal::new()?;
    reactor.ring.register_signal(signal.raw())?;
    let file = signal.as_glommio_file()?;
    let mut reading: Option<Reading<'_>> = None;
    let mut last_event = clock::monotonic();
    let mut tick_due = last_event;
    reactor.start(handler);
    loop {
        pulse.beats.fetch_add(1, Ordering::Relaxed);
        let deadline = reactor.next_deadline().unwrap_or(Instant::FAR).min(ending.deadline());
        tick_due = reactor.arm_tick(deadline).unwrap_or(tick_due);
        let wait = match deadline < tick_due {
            true => Wait::AtMost(deadline.since(clock::monotonic())),
            false => Wait::Completion,
        };
        let count = reactor.turn(handler, wait)?;
        reactor.links.stats.stalls = pulse.stalls.load(Ordering::Relaxed);
        match ending.step(mesh.is_stopping(), &mut reactor.links, handler) {
            Advice::GoOn => {}
            Advice::StopAccepting => reactor.stop_accepting(),
            Advice::LeaveWhenStill => {
                if reactor.is_still() {
                    break;
                }
            }
            Advice::Leave => break,
        }
        let now = last_turn(reactor);
        if count > 0 {
            last_event = now;
        }
        let idle = count == 0 && !reactor.ticks() && now.since(last_event) >= PARK_AFTER;
        if idle && !reactor.has_work() && !reactor.ring.has_unsubmitted() {
            let deadline = reactor.next_deadline().unwrap_or(Instant::FAR).min(ending.deadline());
            reactor.ring.set_signal(true);
            if !reactor.ring.is_ready() && mesh.begin_to_wait(reactor.links.shard()) {
                reactor.links.stats.parks += 1;
                let read = || Box::pin(async { drop(file.read_at(0, 8).await) }) as Reading<'_>;
                park(pulse, deadline, &alarm, &mut reading, read).await;
            }
            mesh.end_to_wait(reactor.links.shard());
            reactor.ring.set_signal(false);
            last_event = clock::monotonic();
        }
    }
    drop(reading);
    drop(file.close().await);
    Ok(())
}

fn last_turn(reactor: &Reactor) -> Instant {
    reactor.links.clock().now
}

/// Sleeps in glommio until the ring signals, the deadline passes or the watchdog says so.
async fn park<'a>(
    pulse: &Pulse,
    deadline: Instant,
    alarm: &Waker,
    reading: &mut Option<Reading<'a>>,
    read: impl Fn() -> Reading<'a>,
) {
    let mut timer = (deadline < Instant::FAR).then(|| Timer::new(deadline.since(clock::monotonic())));
    pulse.asleep_until.store(deadline.0.max(1), Ordering::SeqCst);
    poll_fn(|_| {
        let cx = &mut Context::from_waker(alarm);
        // A read that is still pending from the last sleep serves this one: it costs no submission.
        if reading.get_or_insert_with(&read).as_mut().poll(cx).is_ready() {
            *reading = None;
            return Poll::Ready(());
        }
        if timer.as_mut().is_some_and(|timer| Pin::new(timer).poll(cx).is_ready()) {
            return Poll::Ready(());
        }
        if pulse.kicked.swap(false, Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    pulse.woken.store(false, Ordering::SeqCst);
    pulse.asleep_until.store(0, Ordering::SeqCst);
}
