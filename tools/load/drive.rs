//! The run: opens the sessions, keeps them busy from one epoll loop, measures a window of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use pulsegate::base::prng::Prng;
use rustix::event::{Timespec, epoll};

use crate::client::{Client, LoadError};
use crate::frames::{self, Template};
use crate::server::{self, Usage};

/// Unconfirmed messages of one connection in an open loop. Above, a due message is counted as unsent.
const PENDING_MAX: usize = 65_536;
/// After the window, answers to messages that were due in it are awaited this long.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
/// The loop turns at least this often, to see that its time is over.
const TURN_MAX: Duration = Duration::from_millis(100);
/// Longer waits are counted as this: a minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// The server's memory is looked at this often.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(200);
/// A consumer run without one message for this long has drained its topics.
const CONSUME_IDLE_MAX: Duration = Duration::from_secs(20);

/// How producers decide when to send.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pacing {
    /// Each keeps this many messages unconfirmed.
    Closed { depth: usize },
    /// So many a second, all together, whatever the answers do.
    Open { rate: f64 },
}

/// What to do.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) url: String,
    pub(crate) producers: usize,
    pub(crate) consumers: usize,
    pub(crate) topic: String,
    pub(crate) topics: usize,
    pub(crate) producer_query: String,
    pub(crate) consumer_query: String,
    pub(crate) pacing: Pacing,
    /// Payload bytes before base64.
    pub(crate) size: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    /// End after this many messages received.
    pub(crate) messages_max: Option<u64>,
    pub(crate) server_pid: Option<u32>,
}

/// What came of it.
pub(crate) struct Measured {
    pub(crate) window: Duration,
    /// Messages that were confirmed (produce) or delivered (the others) in the window.
    pub(crate) messages: u64,
    /// Messages answered with an error, at any time.
    pub(crate) failed: u64,
    /// Messages that were due while their connection had too many unconfirmed.
    pub(crate) unsent: u64,
    /// Messages sent but never confirmed.
    pub(crate) unanswered: u64,
    /// Nanoseconds, of messages that were due in the window.
    pub(crate) latency: Histogram<u64>,
    pub(crate) server: Option<ServerUse>,
    pub(crate) own_cpu_ns: u64,
}

/// What the server used in the window.
pub(crate) struct ServerUse {
    pub(crate) cpu_ns: u64,
    /// Before our sessions were opened.
    pub(crate) rss_before: u64,
    /// The most that was seen in the window.
    pub(crate) rss_max: u64,
}

struct Producer {
    template: Template,
    sent: u64,
    /// When each unconfirmed message was due, oldest first; None: answered out of order.
    pending: VecDeque<Option<u64>>,
}

struct Session {
    client: Client,
    /// None: a consumer.
    producer: Option<Producer>,
    waits_to_write: bool,
}

struct Run<'a> {
    plan: &'a Plan,
    epoll: std::os::fd::OwnedFd,
    sessions: Vec<Session>,
    start: Instant,
    /// The measured window, nanoseconds since `start`.
    from: u64,
    to: u64,
    /// Open loop: messages that were due so far.
    issued: u64,
    received: u64,
    last_received: u64,
    result: Measured,
}

/// What was used until the window began.
struct Before {
    server: Option<Usage>,
    own_cpu_ns: u64,
    time: u64,
}

/// Runs the plan to its end, or to the first session that fails.
pub(crate) fn run(plan: &Plan) -> Result<Measured, LoadError> {
    let idle = plan.server_pid.map(server::usage).transpose()?;
    let mut run = Run::new(plan, open_all(plan)?)?;
    let mut before = None;
    let (mut rss_max, mut sampled) = (0, 0);
    run.kick()?;
    loop {
        let now = run.now();
        if now >= run.to {
            break;
        }
        if now >= run.from && now >= sampled + nanoseconds(SAMPLE_INTERVAL) {
            sampled = now;
            rss_max = plan.server_pid.map(server::rss).transpose()?.unwrap_or(0).max(rss_max);
            if before.is_none() {
                let server = plan.server_pid.map(server::usage).transpose()?;
                before = Some(Before { server, own_cpu_ns: server::own_cpu_ns(), time: now });
            }
        }
        run.issue(now)?;
        run.turn(run.wait_time())?;
    }
    // Nothing measured: the topics held less than the warm-up took.
    let before = before.unwrap_or(Before { server: idle, own_cpu_ns: 0, time: 0 });
    run.result.window = Duration::from_nanos(run.now() - before.time);
    run.result.own_cpu_ns = server::own_cpu_ns().saturating_sub(before.own_cpu_ns);
    if let (Some(pid), Some(idle), Some(from)) = (plan.server_pid, idle, before.server) {
        let after = server::usage(pid)?;
        let cpu_ns = after.cpu_ns.saturating_sub(from.cpu_ns);
        run.result.server = Some(ServerUse { cpu_ns, rss_before: idle.rss, rss_max: rss_max.max(after.rss) });
    }
    run.drain()?;
    Ok(run.result)
}

fn open_all(plan: &Plan) -> Result<Vec<Session>, LoadError> {
    let path = |role: &str, number: usize, end: &str, query: &str| {
        let (topic, separator) = (&plan.topic, if query.is_empty() { "" } else { "?" });
        format!(
            "/ws/v2/{role}/persistent/public/default/{topic}-{}{end}{separator}{query}",
            number % plan.topics
        )
    };
    let mut sessions = Vec::with_capacity(plan.consumers + plan.producers);
    for number in 0..plan.consumers {
        let client = Client::open(&plan.url, path("consumer", number, "/load", &plan.consumer_query))?;
        sessions.push(Session { client, producer: None, waits_to_write: false });
    }
    // Random bytes: no compression on the way may flatter the result.
    let mut prng = Prng::new(1);
    let payload: Vec<u8> = (0..plan.size).map(|_| prng.next() as u8).collect();
    let payload = base64_simd::STANDARD.encode_to_string(&payload);
    for number in 0..plan.producers {
        let client = Client::open(&plan.url, path("producer", number, "", &plan.producer_query))?;
        let producer = Producer { template: Template::new(&payload), sent: 0, pending: VecDeque::new() };
        sessions.push(Session { client, producer: Some(producer), waits_to_write: false });
    }
    Ok(sessions)
}

impl Run<'_> {
    fn new(plan: &Plan, sessions: Vec<Session>) -> Result<Run<'_>, LoadError> {
        let in_loop =
            |error: rustix::io::Errno| LoadError::Io { path: "epoll".to_owned(), source: error.into() };
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(in_loop)?;
        for (index, session) in sessions.iter().enumerate() {
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&epoll, &session.client, data, epoll::EventFlags::IN).map_err(in_loop)?;
        }
        let result = Measured {
            window: Duration::ZERO,
            messages: 0,
            failed: 0,
            unsent: 0,
            unanswered: 0,
            latency: Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("legal bounds"),
            server: None,
            own_cpu_ns: 0,
        };
        let from = nanoseconds(plan.warm_up);
        let to = if plan.messages_max.is_some() { u64::MAX } else { from + nanoseconds(plan.measured) };
        let start = Instant::now();
        Ok(Run { plan, epoll, sessions, start, from, to, issued: 0, received: 0, last_received: 0, result })
    }

    fn now(&self) -> u64 {
        nanoseconds(self.start.elapsed())
    }

    /// Closed loop: the first messages of every producer. They cause all others. Then whatever came with the handshakes.
    fn kick(&mut self) -> Result<(), LoadError> {
        for index in 0..self.sessions.len() {
            self.on_texts(index)?;
            self.top_up(index)?;
            self.flush(index)?;
        }
        Ok(())
    }

    /// Open loop: sends what is due.
    fn issue(&mut self, now: u64) -> Result<(), LoadError> {
        let Pacing::Open { rate } = self.plan.pacing else { return Ok(()) };
        loop {
            let due = (self.issued as f64 * 1e9 / rate) as u64;
            if due > now || due >= self.to {
                return Ok(());
            }
            let index = self.plan.consumers + (self.issued as usize) % self.plan.producers;
            self.issued += 1;
            if self.sessions[index]
                .producer
                .as_ref()
                .is_some_and(|producer| producer.pending.len() >= PENDING_MAX)
            {
                self.result.unsent += 1;
                continue;
            }
            self.sessions[index].send(due);
            self.flush(index)?;
        }
    }

    fn wait_time(&self) -> Duration {
        let Pacing::Open { rate } = self.plan.pacing else { return TURN_MAX };
        let due = (self.issued as f64 * 1e9 / rate) as u64;
        Duration::from_nanos(due.saturating_sub(self.now())).min(TURN_MAX)
    }

    /// One wait, and the work it brought.
    fn turn(&mut self, wait: Duration) -> Result<(), LoadError> {
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        let mut space = [const { std::mem::MaybeUninit::uninit() }; 64];
        let events = match epoll::wait(&self.epoll, &mut space, Some(&wait)) {
            Ok((events, _)) => events,
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(LoadError::Io { path: "epoll".to_owned(), source: error.into() }),
        };
        for event in events {
            let data = event.data;
            let index = data.u64() as usize;
            let flags = event.flags;
            if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP) {
                self.sessions[index].client.fill()?;
                self.on_texts(index)?;
                self.top_up(index)?;
            }
            self.flush(index)?;
        }
        let idle =
            self.plan.producers == 0 && self.now() > self.last_received + nanoseconds(CONSUME_IDLE_MAX);
        if idle {
            return Err(LoadError::Closed {
                path: "consumers".to_owned(),
                reason: "no message for 20 s".to_owned(),
            });
        }
        Ok(())
    }

    fn on_texts(&mut self, index: usize) -> Result<(), LoadError> {
        let now = self.now();
        while let Some(text) = self.sessions[index].client.next_text()? {
            match self.sessions[index].producer.is_some() {
                true => self.on_answer(index, text, now)?,
                false => self.on_delivery(index, text, now)?,
            }
        }
        Ok(())
    }

    fn on_answer(&mut self, index: usize, text: std::ops::Range<usize>, now: u64) -> Result<(), LoadError> {
        let Session { client, producer, .. } = &mut self.sessions[index];
        let producer = producer.as_mut().expect("only producers get answers");
        let text = client.text(text);
        let Some((number, stored)) = frames::answer(text) else { return Err(client.odd("an answer", text)) };
        let oldest = producer.sent - producer.pending.len() as u64;
        let slot = number.checked_sub(oldest).and_then(|place| producer.pending.get_mut(place as usize));
        let Some(due) = slot.and_then(Option::take) else { return Err(client.odd("a second answer", text)) };
        while producer.pending.front() == Some(&None) {
            producer.pending.pop_front();
        }
        if !stored {
            self.result.failed += 1;
        } else if self.plan.consumers == 0 {
            self.count(due, now);
        }
        Ok(())
    }

    fn on_delivery(&mut self, index: usize, text: std::ops::Range<usize>, now: u64) -> Result<(), LoadError> {
        let client = &mut self.sessions[index].client;
        let (text, outbox) = client.text_and_outbox(text);
        let due = frames::stamp(text).unwrap_or(0);
        if !frames::acknowledge(text, outbox) {
            let text = text.to_vec();
            return Err(client.odd("a delivered message", &text));
        }
        self.received += 1;
        self.last_received = now;
        // What is stored carries the times of another run.
        if self.plan.producers > 0 {
            self.count(due, now)
        } else {
            self.result.messages += u64::from(self.measures(now))
        }
        if self.plan.messages_max.is_some_and(|max| self.received >= max) {
            self.to = now;
        }
        Ok(())
    }

    fn measures(&self, time: u64) -> bool {
        (self.from..self.to).contains(&time)
    }

    /// A message due then was done now.
    fn count(&mut self, due: u64, now: u64) {
        self.result.messages += u64::from(self.measures(now));
        if self.measures(due) {
            self.result.latency.saturating_record(now.saturating_sub(due));
        }
    }

    fn top_up(&mut self, index: usize) -> Result<(), LoadError> {
        let Pacing::Closed { depth } = self.plan.pacing else { return Ok(()) };
        let now = self.now();
        let session = &mut self.sessions[index];
        while now < self.to
            && session.producer.as_ref().is_some_and(|producer| producer.pending.len() < depth)
        {
            session.send(now);
        }
        Ok(())
    }

    fn flush(&mut self, index: usize) -> Result<(), LoadError> {
        let session = &mut self.sessions[index];
        let waits = !session.client.flush()?;
        if waits != session.waits_to_write {
            session.waits_to_write = waits;
            let writing = if waits { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
            let data = epoll::EventData::new_u64(index as u64);
            epoll::modify(&self.epoll, &session.client, data, epoll::EventFlags::IN | writing)
                .map_err(|error| LoadError::Io { path: session.client.path.clone(), source: error.into() })?;
        }
        Ok(())
    }

    /// Waits for the answers to what was sent, so that the slowest are not left out.
    fn drain(&mut self) -> Result<(), LoadError> {
        let until = self.now() + nanoseconds(DRAIN_TIME_MAX);
        let pending = |run: &Self| -> usize {
            run.sessions
                .iter()
                .filter_map(|session| session.producer.as_ref())
                .map(|producer| producer.pending.len())
                .sum()
        };
        while self.plan.producers > 0 && self.now() < until && !self.is_complete(pending(self)) {
            self.turn(TURN_MAX)?;
        }
        self.result.unanswered = pending(self) as u64;
        Ok(())
    }

    fn is_complete(&self, pending: usize) -> bool {
        let sent: u64 =
            self.sessions.iter().filter_map(|session| session.producer.as_ref()).map(|p| p.sent).sum();
        pending == 0 && (self.plan.consumers == 0 || self.received + self.result.failed >= sent)
    }
}

impl Session {
    fn send(&mut self, due: u64) {
        let Some(producer) = &mut self.producer else { return };
        producer.template.write(producer.sent, due, &mut self.client.outbox);
        producer.sent += 1;
        producer.pending.push_back(Some(due));
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
