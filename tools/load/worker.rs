//! One thread: opens its share of the sessions, keeps them busy, and measures.

use std::collections::VecDeque;
use std::sync::mpsc::Sender;
use std::sync::{Barrier, OnceLock};
use std::time::{Duration, Instant};

use crate::kit::net::{Handler, Net};
use crate::plan::{Mode, Pacing, Plan, Seat, nanoseconds};
use crate::recorder::Recorder;
use crate::run::{End, Report};
use crate::server::Watch;
use crate::session::{Event, Session};

/// Connections that one thread opens at a time.
const OPENING_MAX: usize = 200;
/// Sessions that take longer to open fail the run.
const OPEN_TIME_MAX: Duration = Duration::from_secs(60);
/// Unconfirmed messages of one connection in an open loop. Above, a due message is counted as unsent.
const PENDING_MAX: usize = 65_536;
/// After the window, answers to messages that were due in it are awaited this long.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
/// The loop turns at least this often, to see that its time is over.
pub(crate) const TURN_MAX: Duration = Duration::from_millis(100);
/// A consumer run without one message for this long has drained its topics.
const CONSUME_IDLE_MAX: Duration = Duration::from_secs(20);

/// What the threads of a run share.
pub(crate) struct Shared<'a> {
    pub(crate) plan: &'a Plan,
    /// All sessions of all threads are open.
    pub(crate) opened: Barrier,
    /// The zero of all times.
    pub(crate) start: OnceLock<Instant>,
}

/// A thread's state beside its sockets.
pub(crate) struct Worker<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) number: usize,
    start: Instant,
    pub(crate) seats: VecDeque<Seat>,
    /// By connection.
    pub(crate) sessions: Vec<Option<Session>>,
    producers: Vec<usize>,
    pub(crate) consumers: usize,
    pub(crate) opening: usize,
    pub(crate) recorder: Recorder,
    events: Vec<Event>,
    /// Open loop: messages that were due so far.
    issued: u64,
    sent: u64,
    received: u64,
    failed: u64,
    last_received: u64,
    /// This thread's part of `--messages`.
    messages_max: u64,
    pub(crate) error: Option<String>,
}

/// The thread's whole life.
pub(crate) fn run(
    shared: &Shared<'_>,
    number: usize,
    seats: VecDeque<Seat>,
    reports: &Sender<Report>,
) -> Result<(), String> {
    let mut net = Net::new().map_err(|error| format!("epoll: {error}"))?;
    let mut worker = Worker::new(shared.plan, number, seats, Recorder::new(shared.plan, reports.clone()));
    let idle = Watch::new(shared.plan)?;
    worker.open_all(&mut net)?;
    shared.opened.wait();
    worker.start = *shared.start.get_or_init(Instant::now);
    worker.last_received = worker.now();
    let mut watch = (number == 0).then_some(idle);
    match shared.plan.mode {
        Mode::IdleProducers | Mode::IdleConsumers => worker.rest(&mut net, &mut watch)?,
        Mode::Storm => worker.storm(&mut net, &mut watch)?,
        _ => worker.traffic(&mut net, &mut watch)?,
    }
    let unanswered = worker.unanswered() as u64;
    let sessions = worker.sessions.iter().flatten().count();
    worker.recorder.finish();
    let end = End { unanswered, sessions, watched: watch.and_then(Watch::end) };
    reports.send(Report::End(Box::new(end))).map_err(|error| error.to_string())
}

impl<'a> Worker<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        number: usize,
        seats: VecDeque<Seat>,
        recorder: Recorder,
    ) -> Worker<'a> {
        let workers = plan.workers() as u64;
        Worker {
            plan,
            number,
            start: Instant::now(),
            seats,
            sessions: Vec::new(),
            producers: Vec::new(),
            consumers: 0,
            opening: 0,
            recorder,
            events: Vec::new(),
            issued: 0,
            sent: 0,
            received: 0,
            failed: 0,
            last_received: 0,
            messages_max: plan.messages_max.map_or(u64::MAX, |all| all.div_ceil(workers)),
            error: None,
        }
    }

    pub(crate) fn now(&self) -> u64 {
        nanoseconds(self.start.elapsed())
    }

    /// One wait, and the work it brought.
    pub(crate) fn turn(&mut self, net: &mut Net, wait: Duration) -> Result<(), String> {
        net.turn(self, Some(wait)).map_err(|error| format!("epoll: {error}"))?;
        self.error.take().map_or(Ok(()), Err)
    }

    /// Begins to open one session.
    pub(crate) fn open(&mut self, net: &mut Net, seat: &Seat) -> Result<usize, String> {
        let address = self.plan.address;
        let id = net.connect(address).map_err(|error| format!("{address}: {error}"))?;
        let session = Session::new(self.plan, seat);
        session.hello(net.out(id));
        if self.sessions.len() <= id {
            self.sessions.resize_with(id + 1, || None);
        }
        self.sessions[id] = Some(session);
        self.opening += 1;
        Ok(id)
    }

    fn open_all(&mut self, net: &mut Net) -> Result<(), String> {
        let until = Instant::now() + OPEN_TIME_MAX;
        loop {
            while self.opening < OPENING_MAX
                && let Some(seat) = self.seats.pop_front()
            {
                let id = self.open(net, &seat)?;
                match seat.subscription {
                    Some(_) => self.consumers += 1,
                    None => self.producers.push(id),
                }
            }
            if self.opening == 0 {
                return Ok(());
            }
            if Instant::now() > until {
                let (waiting, rest) = (self.opening, self.seats.len());
                let open = self.sessions.iter().flatten().filter(|session| session.is_open).count();
                return Err(format!(
                    "{open} sessions opened within {OPEN_TIME_MAX:?}; {waiting} wait, {rest} more to come"
                ));
            }
            self.turn(net, TURN_MAX)?;
        }
    }

    /// Messages until the window is over, and their answers.
    fn traffic(&mut self, net: &mut Net, watch: &mut Option<Watch>) -> Result<(), String> {
        for at in 0..self.producers.len() {
            self.top_up(net, self.producers[at]);
        }
        loop {
            let now = self.now();
            if let Some(watch) = watch {
                watch.look(now, self.recorder.from, self.recorder.to)?;
            }
            if now >= self.recorder.to {
                break;
            }
            self.recorder.tick(now);
            self.issue(net, now);
            let wait = self.wait_time();
            self.turn(net, wait)?;
            if self.producers.is_empty() && self.now() > self.last_received + nanoseconds(CONSUME_IDLE_MAX) {
                return Err(format!("no message for {CONSUME_IDLE_MAX:?}: the topics are empty"));
            }
        }
        self.drain(net)
    }

    /// Open loop: sends what is due.
    fn issue(&mut self, net: &mut Net, now: u64) {
        let Pacing::Open { rate } = self.plan.pacing else { return };
        while !self.producers.is_empty() {
            let due = self.due(rate);
            if due > now || due >= self.recorder.to {
                return;
            }
            let id = self.producers[self.issued as usize % self.producers.len()];
            self.issued += 1;
            let Some(session) = &mut self.sessions[id] else { continue };
            if session.unanswered() >= PENDING_MAX {
                self.recorder.unsent();
                continue;
            }
            session.send(due, net.out(id));
            self.sent += 1;
        }
    }

    /// When the next message of an open loop is due: the threads take turns.
    fn due(&self, rate: f64) -> u64 {
        let place = self.issued * self.plan.workers() as u64 + self.number as u64;
        (place as f64 * 1e9 / rate) as u64
    }

    fn wait_time(&self) -> Duration {
        let Pacing::Open { rate } = self.plan.pacing else { return TURN_MAX };
        if self.producers.is_empty() {
            return TURN_MAX;
        }
        Duration::from_nanos(self.due(rate).saturating_sub(self.now())).min(TURN_MAX)
    }

    /// Closed loop: sends until the depth is reached.
    fn top_up(&mut self, net: &mut Net, id: usize) {
        let Pacing::Closed { depth } = self.plan.pacing else { return };
        let now = self.now();
        let Some(session) = &mut self.sessions[id] else { return };
        let deliveries_max = (depth * self.consumers) as u64;
        while now < self.recorder.to && session.unanswered() < depth {
            // The slowest consumer sets the pace of a fan-out.
            let delivered = self.plan.mode != Mode::FanOut
                || self.sent * (self.consumers as u64) < self.received + deliveries_max;
            if !delivered {
                return;
            }
            session.send(now, net.out(id));
            self.sent += 1;
        }
    }

    fn on_events(&mut self, net: &mut Net, id: usize) {
        let now = self.now();
        let events = std::mem::take(&mut self.events);
        for event in &events {
            match *event {
                Event::Opened => self.on_opened(net, id, now),
                Event::Answered { number, stored } => self.on_answer(id, number, stored, now),
                Event::Delivered { due } => self.on_delivery(due, now),
            }
        }
        self.events = events;
        self.events.clear();
        match &self.sessions[id] {
            Some(session) if session.is_producer && session.is_open => self.top_up_open(net, id),
            Some(_) if self.plan.mode == Mode::FanOut => {
                self.top_up_open(net, *self.producers.last().unwrap_or(&id))
            }
            _ => {}
        }
    }

    fn top_up_open(&mut self, net: &mut Net, id: usize) {
        // Nothing is sent before all are open, and nothing in modes without messages.
        let has_begun = self.opening == 0 && self.seats.is_empty() && self.sent > 0;
        if has_begun {
            self.top_up(net, id);
        }
    }

    fn on_opened(&mut self, net: &mut Net, id: usize, now: u64) {
        self.opening -= 1;
        if let Some(session) = &mut self.sessions[id] {
            session.is_open = true;
        }
        if self.plan.mode == Mode::Storm {
            self.on_stormed(net, id, now);
        }
    }

    fn on_answer(&mut self, id: usize, number: u64, stored: bool, now: u64) {
        let due = self.sessions[id].as_mut().and_then(|session| session.answered(number));
        match due {
            None => self.error = Some(format!("an answer to message {number}, which was not waited for")),
            Some(_) if !stored => {
                self.failed += 1;
                self.recorder.failed();
            }
            Some(due) if !self.plan.mode.counts_deliveries() => self.recorder.done(due, now),
            Some(_) => {}
        }
    }

    fn on_delivery(&mut self, due: u64, now: u64) {
        self.received += 1;
        self.last_received = now;
        // What was stored before carries the times of another run.
        match self.plan.mode {
            Mode::Consume => self.recorder.done_untimed(now),
            _ => self.recorder.done(due, now),
        }
        if self.received >= self.messages_max {
            self.recorder.to = self.recorder.to.min(now);
        }
    }

    pub(crate) fn unanswered(&self) -> usize {
        self.sessions.iter().flatten().map(Session::unanswered).sum()
    }

    /// Waits for the answers to what was sent, so that the slowest are not left out.
    fn drain(&mut self, net: &mut Net) -> Result<(), String> {
        let until = self.now() + nanoseconds(DRAIN_TIME_MAX);
        while !self.producers.is_empty() && self.now() < until && !self.is_complete() {
            self.turn(net, TURN_MAX)?;
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        // With several threads a message may be delivered to another one: each waits for its confirmations alone.
        let awaits_deliveries = self.plan.mode.counts_deliveries() && self.plan.workers() == 1;
        let copies = if self.plan.mode == Mode::FanOut { self.consumers as u64 } else { 1 };
        self.unanswered() == 0 && (!awaits_deliveries || self.received >= (self.sent - self.failed) * copies)
    }
}

impl Handler for Worker<'_> {
    fn on_bytes(&mut self, net: &mut Net, id: usize, bytes: &mut [u8]) -> Result<usize, String> {
        // A storm has done with it.
        let Some(session) = &mut self.sessions[id] else { return Ok(bytes.len()) };
        let used = session.on_bytes(net, id, bytes, &mut self.events)?;
        if !self.events.is_empty() {
            self.on_events(net, id);
        }
        Ok(used)
    }

    fn on_closed(&mut self, _: &mut Net, id: usize, why: &str) {
        if self.sessions[id].take().is_none() {
            return;
        }
        if self.plan.mode == Mode::Storm {
            // Refused: in a storm that is a result.
            self.opening -= 1;
            self.recorder.failed();
        } else {
            self.error.get_or_insert_with(|| format!("a session ended: {why}"));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::plan::Protocol;

    pub(crate) fn plan() -> Plan {
        Plan {
            mode: Mode::Produce,
            protocol: Protocol::Ws,
            address: "127.0.0.1:1".parse().expect("an address"),
            host: "127.0.0.1:1".to_owned(),
            connections: 2,
            topic: "t".to_owned(),
            topics: 2,
            producer_query: String::new(),
            consumer_query: String::new(),
            pacing: Pacing::Open { rate: 1000.0 },
            size: 128,
            warm_up: Duration::from_secs(1),
            measured: Duration::from_secs(3),
            messages_max: None,
            server_pid: None,
            server_metrics: None,
            cores: vec![0, 1],
        }
    }

    pub(crate) fn session() -> Session {
        let plan = plan();
        Session::new(&plan, &plan.seats()[0])
    }

    #[test]
    fn threads_share_a_schedule_without_gap_or_repeat() {
        let plan = plan();
        let (reports, _received) = std::sync::mpsc::channel();
        let mut times = Vec::new();
        for number in 0..2 {
            let recorder = Recorder::new(&plan, reports.clone());
            let mut worker = Worker::new(&plan, number, VecDeque::new(), recorder);
            for issued in 0..50 {
                worker.issued = issued;
                times.push(worker.due(1000.0));
            }
        }
        times.sort_unstable();
        assert!(times.iter().enumerate().all(|(place, time)| *time == place as u64 * 1_000_000));
    }
}
