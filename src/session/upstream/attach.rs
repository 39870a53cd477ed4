//! How one producer or consumer finds its broker and stays with it: lookup, redirects, link, creation, back-off
//! (protocol 6.2, 7.5, 8.6, 15).
//!
//! ```text
//! Idle ─start─> LookingUp ─Connect─> Linking ─ready─> Creating ─made─> Attached
//!                ^   │Redirect          │                │                │
//!                │   └──┐   failure     v                v    lost/closed v
//!                └──────┴─────────── Waiting <───────────┴────────────────┘
//! ```
//! The owner carries out each [`Step`] and reports how it went. A failure that cannot pass ends in [`Step::GiveUp`].

use crate::base::limit;
use crate::base::prng::Prng;
use crate::base::time::Instant;
use crate::session::upstream::address::HostPort;
use crate::session::upstream::failure::Failure;
use crate::wire::pulsar::proto::{CommandLookupTopicResponse, LookupTopicResponseLookupType};
use std::time::Duration;

/// What is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A producer.
    Producer,
    /// A consumer or reader.
    Consumer,
}

/// What the owner is to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing, until the next report.
    Nothing,
    /// Send LOOKUP: to the broker given, or to the service URL.
    Lookup {
        /// `None`: the service URL.
        to: Option<HostPort>,
        /// To be copied into the command.
        authoritative: bool,
    },
    /// Get a link to this broker, by itself or through the service URL, and report when it is ready.
    Link {
        /// The broker.
        broker: HostPort,
        /// TCP goes to the service URL, which relays.
        through_service: bool,
    },
    /// Send PRODUCER or SUBSCRIBE on the link.
    Create,
    /// Call [`Attachment::on_timer`] at this time.
    Wait {
        /// When.
        until: Instant,
    },
    /// It cannot work.
    GiveUp(Failure),
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Idle,
    LookingUp,
    Linking,
    Creating,
    Attached,
    Waiting { until: Instant },
    Ended,
}

/// One producer's or consumer's way to its broker.
pub struct Attachment {
    role: Role,
    state: State,
    /// Never attached yet, and the client waits for its 101: errors that cannot pass end the attempt.
    opening: bool,
    redirects: u32,
    backoff: Duration,
    prng: Prng,
}

impl Attachment {
    /// Not started. `seed` jitters the back-off, so that many do not return at once.
    pub fn new(role: Role, seed: u64) -> Self {
        Attachment {
            role,
            state: State::Idle,
            opening: true,
            redirects: 0,
            backoff: limit::BACKOFF_MIN,
            prng: Prng::new(seed),
        }
    }

    /// Not started, of a session that is open already: nobody waits, so what one in use waits out it waits out too.
    pub fn joining(role: Role, seed: u64) -> Self {
        Attachment { opening: false, ..Attachment::new(role, seed) }
    }

    /// True while PRODUCER or SUBSCRIBE went through and nothing was lost since.
    pub fn is_attached(&self) -> bool {
        self.state == State::Attached
    }

    /// True while the answer to a LOOKUP is awaited.
    pub fn is_looking_up(&self) -> bool {
        self.state == State::LookingUp
    }

    /// True while an answer to PRODUCER or SUBSCRIBE is awaited.
    pub fn is_creating(&self) -> bool {
        self.state == State::Creating
    }

    /// True until it was attached for the first time.
    pub fn is_opening(&self) -> bool {
        self.opening
    }

    /// When [`Attachment::on_timer`] is due.
    pub fn next_timer(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            _ => None,
        }
    }

    /// Begins, with a lookup at the service URL. Nothing when it has begun already: a second lookup beside the first would
    /// make the broker's answer to the first stale, and leave behind what it made.
    pub fn start(&mut self) -> Step {
        match self.state {
            State::Idle => self.look_up(),
            _ => Step::Nothing,
        }
    }

    fn look_up(&mut self) -> Step {
        self.redirects = 0;
        self.state = State::LookingUp;
        Step::Lookup { to: None, authoritative: false }
    }

    /// The lookup was answered without failure.
    pub fn on_lookup(&mut self, now: Instant, response: &CommandLookupTopicResponse) -> Step {
        if self.state != State::LookingUp {
            return Step::Nothing;
        }
        let url = response.broker_service_url.as_deref().unwrap_or_default();
        let broker = match HostPort::from_url(url) {
            Ok(broker) => broker,
            Err(error) => return self.on_failure(now, Failure::connection(url, &error.to_string())),
        };
        let through_service = response.proxy_through_service_url.unwrap_or(false);
        let redirect = response.response == Some(LookupTopicResponseLookupType::Redirect as i32);
        if redirect {
            self.redirects += 1;
            if self.redirects > limit::LOOKUP_REDIRECTS_MAX {
                return self.on_failure(now, Failure::connection(url, "too many lookup redirects"));
            }
            let to = (!through_service).then_some(broker);
            return Step::Lookup { to, authoritative: response.authoritative.unwrap_or(false) };
        }
        self.state = State::Linking;
        Step::Link { broker, through_service }
    }

    /// The link is ready.
    pub fn on_link_ready(&mut self) -> Step {
        if self.state != State::Linking {
            return Step::Nothing;
        }
        self.state = State::Creating;
        Step::Create
    }

    /// PRODUCER or SUBSCRIBE went through.
    pub fn on_created(&mut self) {
        debug_assert_eq!(self.state, State::Creating);
        self.state = State::Attached;
        self.opening = false;
        self.backoff = limit::BACKOFF_MIN;
    }

    /// It is not wanted any more, at its broker neither.
    pub fn end(&mut self) {
        self.state = State::Ended;
    }

    /// Some step failed, or the link was lost.
    pub fn on_failure(&mut self, now: Instant, failure: Failure) -> Step {
        if matches!(self.state, State::Ended | State::Waiting { .. } | State::Idle) {
            return Step::Nothing;
        }
        let final_ = match self.opening {
            true => failure.ends_opening(),
            false => failure.ends_attachment(self.role),
        };
        if final_ {
            self.state = State::Ended;
            return Step::GiveUp(failure);
        }
        self.wait(now)
    }

    /// The broker closed the producer or consumer (unload, seek): attach again, at once if it said where.
    pub fn on_closed_by_broker(&mut self, now: Instant, assigned: Option<&str>) -> Step {
        if !matches!(self.state, State::Attached | State::Creating) {
            return Step::Nothing;
        }
        match assigned.map(HostPort::from_url) {
            Some(Ok(broker)) => {
                self.state = State::Linking;
                Step::Link { broker, through_service: false }
            }
            _ => self.wait(now),
        }
    }

    /// The back-off is over.
    pub fn on_timer(&mut self, now: Instant) -> Step {
        match self.state {
            State::Waiting { until } if now >= until => self.look_up(),
            _ => Step::Nothing,
        }
    }

    /// 0 to 9 % less than the doubled delay, never less than the first. Source: protocol 15.
    fn wait(&mut self, now: Instant) -> Step {
        let delay = self.backoff - self.backoff.mul_f64(self.prng.below(10) as f64 / 100.0);
        self.backoff = (self.backoff * 2).min(limit::BACKOFF_MAX);
        let until = now + delay.max(limit::BACKOFF_MIN.mul_f64(0.9));
        self.state = State::Waiting { until };
        Step::Wait { until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::pulsar::proto::ServerError;

    const NOW: Instant = Instant(1_000_000_000);

    fn answer(kind: LookupTopicResponseLookupType, url: &str) -> CommandLookupTopicResponse {
        CommandLookupTopicResponse {
            response: Some(kind as i32),
            broker_service_url: Some(url.to_owned()),
            authoritative: Some(true),
            ..Default::default()
        }
    }

    fn attached(role: Role) -> Attachment {
        let mut attachment = Attachment::new(role, 1);
        attachment.start();
        let _ = attachment.on_lookup(NOW, &answer(LookupTopicResponseLookupType::Connect, "pulsar://b:1"));
        assert_eq!(attachment.on_link_ready(), Step::Create);
        attachment.on_created();
        attachment
    }

    #[test]
    fn finds_its_broker_over_a_redirect() {
        let mut attachment = Attachment::new(Role::Producer, 1);
        assert_eq!(attachment.start(), Step::Lookup { to: None, authoritative: false });
        let other = HostPort { host: "b2".into(), port: 6650 };
        let redirect = answer(LookupTopicResponseLookupType::Redirect, "pulsar://b2:6650");
        let step = attachment.on_lookup(NOW, &redirect);
        assert_eq!(step, Step::Lookup { to: Some(other.clone()), authoritative: true });
        let connect = answer(LookupTopicResponseLookupType::Connect, "pulsar://b2:6650");
        assert_eq!(attachment.on_lookup(NOW, &connect), Step::Link { broker: other, through_service: false });
        assert_eq!(attachment.on_link_ready(), Step::Create);
        attachment.on_created();
        assert!(attachment.is_attached() && !attachment.is_opening());
    }

    #[test]
    fn what_has_begun_does_not_begin_again() {
        let mut attachment = Attachment::new(Role::Producer, 1);
        assert!(matches!(attachment.start(), Step::Lookup { .. }));
        assert!(attachment.is_looking_up());
        assert_eq!(attachment.start(), Step::Nothing);
        let mut attached = attached(Role::Producer);
        assert_eq!(attached.start(), Step::Nothing);
        assert!(attached.is_attached());
    }

    #[test]
    fn redirects_are_bounded() {
        let mut attachment = Attachment::new(Role::Consumer, 1);
        attachment.start();
        let redirect = answer(LookupTopicResponseLookupType::Redirect, "pulsar://b2:6650");
        for _ in 0..limit::LOOKUP_REDIRECTS_MAX {
            assert!(matches!(attachment.on_lookup(NOW, &redirect), Step::Lookup { .. }));
        }
        assert!(matches!(attachment.on_lookup(NOW, &redirect), Step::Wait { .. }));
    }

    #[test]
    fn back_off_doubles_up_to_its_bound_and_starts_over_after_success() {
        let mut attachment = attached(Role::Producer);
        let mut delays = Vec::new();
        for _ in 0..12 {
            match attachment.on_failure(NOW, Failure::connection("b:1", "lost")) {
                Step::Wait { until } => delays.push(until.since(NOW)),
                other => panic!("{other:?}"),
            }
            assert!(matches!(attachment.on_timer(NOW + limit::BACKOFF_MAX), Step::Lookup { .. }));
        }
        assert!(delays[0] >= Duration::from_millis(90) && delays[0] <= limit::BACKOFF_MIN);
        assert!(delays.windows(2).all(|pair| pair[1].as_secs_f64() > pair[0].as_secs_f64() * 0.9));
        assert!(*delays.last().unwrap() <= limit::BACKOFF_MAX);
    }

    #[test]
    fn an_opening_ends_on_what_cannot_pass_and_an_open_one_goes_on() {
        let busy = || Failure::broker(ServerError::ConsumerBusy as i32, "busy", 1, "b:1");
        let mut opening = Attachment::new(Role::Consumer, 1);
        opening.start();
        assert_eq!(opening.on_failure(NOW, busy()), Step::GiveUp(busy()));
        let mut open = attached(Role::Consumer);
        assert!(matches!(open.on_failure(NOW, busy()), Step::Wait { .. }));
        let fenced = || Failure::broker(ServerError::ProducerFenced as i32, "fenced", 1, "b:1");
        let mut producer = attached(Role::Producer);
        assert_eq!(producer.on_failure(NOW, fenced()), Step::GiveUp(fenced()));
    }

    #[test]
    fn who_joins_an_open_session_waits_out_what_would_end_an_opening() {
        for error in [ServerError::ConsumerBusy, ServerError::TopicNotFound, ServerError::AuthorizationError]
        {
            let mut joining = Attachment::joining(Role::Consumer, 1);
            joining.start();
            let step = joining.on_failure(NOW, Failure::broker(error as i32, "not now", 1, "b:1"));
            assert!(matches!(step, Step::Wait { .. }), "{error:?}: {step:?}");
            assert!(matches!(joining.on_timer(NOW + limit::BACKOFF_MAX), Step::Lookup { .. }));
        }
        let mut producer = Attachment::joining(Role::Producer, 1);
        producer.start();
        let ended = Failure::broker(ServerError::TopicTerminatedError as i32, "over", 1, "b:1");
        assert_eq!(producer.on_failure(NOW, ended.clone()), Step::GiveUp(ended));
    }

    #[test]
    fn an_assigned_broker_saves_the_lookup() {
        let mut attachment = attached(Role::Consumer);
        let broker = HostPort { host: "b3".into(), port: 1 };
        let step = attachment.on_closed_by_broker(NOW, Some("pulsar://b3:1"));
        assert_eq!(step, Step::Link { broker, through_service: false });
        assert_eq!(attachment.on_closed_by_broker(NOW, None), Step::Nothing, "already under way");
    }
}
