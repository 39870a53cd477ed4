//! A WebSocket consumer or reader session: entries from brokers in, messages out, acks back (API 4, 5).
//!
//! The parts, in the order of a message's life: `permits` ask brokers for as much as the client may soon want;
//! `delivery` reads an entry (`chunks` are put together first) and hands its messages over while the client's window
//! is open; `tracker` remembers what the client holds; `acks` settle it, `redelivery` gives it back, and what was
//! given back too often goes to the `dead_letters`. What a broker is owed collects in its `leg` until it is polled, acks for
//! some time longer (`output`).
//!
//! Invariants, checked after every event: the messages with the client are those of the trackers plus those without an
//! id of their own; in push mode they fit the window; the queue's sizes add up.

mod acks;
mod bits;
mod chunks;
mod dead_letters;
mod deadlines;
mod delivery;
mod leg;
mod output;
mod permits;
mod redelivery;
mod start;
#[cfg(test)]
mod tests;
mod tracker;

use self::acks::Foreign;
use self::chunks::Chunks;
use self::dead_letters::DeadLetters;
pub use self::dead_letters::Letter;
use self::deadlines::Deadlines;
use self::delivery::Queued;
use self::leg::{Leg, Owners};
use self::output::Grouping;
pub use self::output::Output;
use self::start::Start;
use crate::base::limit::RECEIVER_QUEUE_MAX;
use crate::base::prng::Prng;
use crate::base::time::Instant;
use crate::metrics::NamespaceCounters;
use crate::session::send_queue::{Receipt, SendQueue};
use crate::session::{Context, GOODBYE_UNREADABLE, Goodbye};
use crate::wire::pulsar::frame::Payload;
use crate::wire::pulsar::proto::{
    CommandMessage, CommandSendReceipt, CommandSubscribe, InitialPosition, SubscriptionType,
};
use crate::wire::route::{ConsumerSpec, CryptoFailureAction, ReaderSpec, StartPosition, TopicName};
use crate::wire::text::command::{ClientCommand, ReaderCommand};
use crate::wire::text::reply;
use std::collections::VecDeque;
use std::time::Duration;

/// What the session was opened with.
struct Settings {
    subscription: String,
    kind: SubscriptionType,
    durable: bool,
    initial_position: InitialPosition,
    name: String,
    priority: i32,
    /// Messages the client may hold in push mode, and prefetched ones beside them; at least 1.
    window: u32,
    ack_timeout: Option<Duration>,
    nack_delay: Duration,
    pull: bool,
    reader: bool,
    /// Of readers.
    start: Option<StartPosition>,
    crypto_failure: CryptoFailureAction,
}

impl Settings {
    /// Messages are given back one by one.
    fn shared(&self) -> bool {
        matches!(self.kind, SubscriptionType::Shared | SubscriptionType::KeyShared)
    }

    /// The client names the messages it settles.
    fn tracks(&self) -> bool {
        !self.reader
    }
}

/// How far the client's wish to unsubscribe has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unsubscription {
    None,
    Asked,
    UnderWay,
}

/// One consumer or reader session. Legs are its topics and partitions; they may be added while it lives.
pub struct Consumer {
    settings: Settings,
    legs: Vec<Leg>,
    owners: Owners,
    /// Entries that wait for the client, of all legs in order of arrival.
    queue: VecDeque<Queued>,
    queue_bytes: usize,
    /// Messages the client holds.
    outstanding: usize,
    /// Those of them that have no id of their own, and when they time out.
    anonymous: VecDeque<(Instant, usize)>,
    /// Pull mode: what the client asked for and has not got.
    pull_permits: u64,
    nacks: Deadlines,
    timeouts: Deadlines,
    chunks: Chunks,
    foreign: Foreign,
    dead: Option<DeadLetters>,
    /// Counts entries ever tracked.
    births: u64,
    /// Legs that may have output.
    listed: Vec<usize>,
    grouping: Grouping,
    /// Slots were freed where nothing could be delivered: to be done at once.
    pump_wanted: bool,
    blocked: bool,
    unsubscription: Unsubscription,
    counters: NamespaceCounters,
}

impl Consumer {
    /// A consumer session; legs are added next. `seed` generates the consumer name if none is given. Acks that follow one
    /// that was sent are collected for `ack_group`.
    pub fn new(spec: ConsumerSpec, seed: u64, ack_group: Duration) -> Self {
        let mut prng = Prng::new(seed);
        let name = spec.name.clone().unwrap_or_else(|| prng.hex(5));
        let dead = DeadLetters::new(&spec, &name, &mut prng);
        let settings = Settings {
            subscription: spec.subscription,
            kind: spec.kind,
            durable: spec.durable,
            initial_position: spec.initial_position,
            name,
            priority: spec.priority,
            window: spec.receiver_queue.clamp(1, RECEIVER_QUEUE_MAX),
            ack_timeout: spec.ack_timeout,
            nack_delay: spec.nack_delay,
            pull: spec.pull,
            reader: false,
            start: None,
            crypto_failure: spec.crypto_failure,
        };
        Consumer::with(settings, dead, ack_group)
    }

    /// A reader session: a non-durable exclusive subscription named `reader-` and ten hex digits. The rest as above.
    pub fn reader(spec: ReaderSpec, seed: u64, ack_group: Duration) -> Self {
        let mut prng = Prng::new(seed);
        let settings = Settings {
            subscription: format!("reader-{}", prng.hex(10)),
            kind: SubscriptionType::Exclusive,
            durable: false,
            initial_position: InitialPosition::Latest,
            name: spec.name.unwrap_or_else(|| prng.hex(5)),
            priority: 0,
            window: spec.receiver_queue.clamp(1, RECEIVER_QUEUE_MAX),
            ack_timeout: None,
            nack_delay: Duration::ZERO,
            pull: false,
            reader: true,
            start: Some(spec.start),
            crypto_failure: spec.crypto_failure,
        };
        Consumer::with(settings, None, ack_group)
    }

    fn with(settings: Settings, dead: Option<DeadLetters>, ack_group: Duration) -> Self {
        Consumer {
            settings,
            legs: Vec::new(),
            owners: Owners::default(),
            queue: VecDeque::new(),
            queue_bytes: 0,
            outstanding: 0,
            anonymous: VecDeque::new(),
            pull_permits: 0,
            nacks: Deadlines::default(),
            timeouts: Deadlines::default(),
            chunks: Chunks::default(),
            foreign: Foreign::default(),
            dead,
            births: 0,
            listed: Vec::new(),
            grouping: Grouping::new(ack_group),
            pump_wanted: false,
            blocked: false,
            unsubscription: Unsubscription::None,
            counters: NamespaceCounters::default(),
        }
    }

    /// Adds a leg for one topic or partition; returns its number.
    pub fn add_leg(&mut self, topic: TopicName) -> usize {
        let start = match self.settings.durable {
            true => Start::durable(),
            false => Start::non_durable(self.settings.start.clone()),
        };
        self.legs.push(Leg::new(topic, start, self.settings.durable));
        self.legs.len() - 1
    }

    /// Number of legs.
    pub fn legs(&self) -> usize {
        self.legs.len()
    }

    /// The topic of a leg.
    pub fn topic(&self, leg: usize) -> &TopicName {
        &self.legs[leg].topic
    }

    /// The subscription's name.
    pub fn subscription(&self) -> &str {
        &self.settings.subscription
    }

    /// The SUBSCRIBE command of the leg's next attempt. A non-durable one starts after what was delivered last.
    pub fn subscribe_command(&mut self, leg: usize, consumer_id: u64, request_id: u64) -> CommandSubscribe {
        let settings = &self.settings;
        let state = &mut self.legs[leg];
        state.consumer_id = consumer_id;
        // Readers never ask for anything again, Shared kinds not for everything: they have no use for epochs.
        let uses_epoch = settings.tracks() && !settings.shared();
        CommandSubscribe {
            topic: state.topic.as_str().to_owned(),
            subscription: settings.subscription.clone(),
            sub_type: settings.kind as i32,
            consumer_id,
            request_id,
            consumer_name: Some(settings.name.clone()),
            priority_level: Some(settings.priority),
            durable: Some(settings.durable),
            start_message_id: state.start.subscribe(),
            read_compacted: Some(false),
            initial_position: Some(settings.initial_position as i32),
            replicate_subscription_state: Some(false),
            force_topic_creation: Some(true),
            consumer_epoch: uses_epoch.then_some(state.epoch),
            ..CommandSubscribe::default()
        }
    }

    /// The broker made the leg's consumer: permits follow as outputs.
    pub fn on_subscribed(&mut self, cx: &mut Context<'_>, leg: usize, message_size_max: usize) {
        self.legs[leg].attach(message_size_max);
        self.list(leg);
        self.pump(cx);
        self.check();
    }

    /// The leg lost its link or its consumer: what it prefetched is dropped, what it delivered will come again.
    pub fn on_detached(&mut self, leg: usize) {
        if let Some(first) = self.queue.iter().find(|queued| queued.head.leg == leg) {
            self.legs[leg].start.on_lost(first.head.place, first.first());
        }
        self.forget_leg(leg);
        if !self.settings.reader {
            let before = self.anonymous.len();
            self.anonymous.retain(|(_, of)| *of != leg);
            self.outstanding -= before - self.anonymous.len();
        }
        self.legs[leg].detach();
        self.grouping.forget(leg);
        self.pump_wanted = !self.queue.is_empty();
        self.check();
    }

    /// An entry arrived on a leg.
    pub fn on_message(
        &mut self,
        cx: &mut Context<'_>,
        leg: usize,
        message: &CommandMessage,
        payload: &Payload<'_>,
    ) {
        if self.legs[leg].attached && self.unsubscription == Unsubscription::None {
            self.receive(cx, leg, message, payload);
            self.check();
        }
    }

    /// A text message of the client. `Err`: close with this.
    pub fn on_text(&mut self, cx: &mut Context<'_>, text: &mut [u8]) -> Result<(), Goodbye> {
        if self.settings.reader {
            match cx.json.reader_command(text).map_err(|_| GOODBYE_UNREADABLE)? {
                ReaderCommand::Ack => self.on_reader_ack(cx),
                ReaderCommand::IsEndOfTopic => self.answer_end_of_topic(cx),
            }
        } else {
            let command = cx.json.consumer_command(text).map_err(|_| GOODBYE_UNREADABLE)?;
            self.on_command(cx, &command);
        }
        self.check();
        Ok(())
    }

    /// The broker says the leg's topic is terminated and this subscription has read all of it.
    pub fn on_end_of_topic(&mut self, leg: usize) {
        self.legs[leg].ended = true;
    }

    /// All legs answered the unsubscription: gone, or refused (`Err`: close with this).
    pub fn on_unsubscribed(&mut self, result: Result<(), ()>) -> Result<(), Goodbye> {
        result.map_err(|()| GOODBYE_UNREADABLE)
    }

    /// The client's outbox is full (`true`): deliver nothing, or it has room again (`false`): go on.
    pub fn set_blocked(&mut self, cx: &mut Context<'_>, blocked: bool) {
        self.blocked = blocked;
        self.pump(cx);
        self.check();
    }

    /// A timer is due: negative acks, ack timeouts, incomplete chunks, acks that waited.
    pub fn on_timer(&mut self, cx: &mut Context<'_>) {
        self.on_due(cx);
        self.list_waiting(cx.clock.now);
        self.check();
    }

    /// When [`Consumer::on_timer`] is to be called next.
    pub fn next_timer(&self) -> Option<Instant> {
        if self.pump_wanted && self.has_slot() && !self.blocked {
            return Some(Instant::default());
        }
        [self.next_due(), self.grouping.next()].into_iter().flatten().min()
    }

    /// The producer of dead letters, once [`Output::OpenDeadLetters`] asked for it. The owner attaches it like a leg of
    /// a producer session and brings receipts to [`Consumer::on_dead_letter_receipt`].
    pub fn dead_letters(&mut self) -> Option<&mut SendQueue<Letter>> {
        self.dead.as_mut()?.queue()
    }

    /// A receipt for a dead letter: its original is acknowledged. `Err`: the broker broke the protocol.
    #[expect(
        clippy::result_unit_err,
        reason = "there is one way to break it, and one answer: close the link"
    )]
    pub fn on_dead_letter_receipt(
        &mut self,
        cx: &mut Context<'_>,
        receipt: &CommandSendReceipt,
    ) -> Result<(), ()> {
        let Some(queue) = self.dead_letters() else { return Ok(()) };
        match queue.on_receipt(receipt) {
            Receipt::Confirmed(pending) => self.on_stored(&pending.tag),
            Receipt::Old => {}
            Receipt::Violation => return Err(()),
        }
        self.pump(cx);
        self.check();
        Ok(())
    }

    /// The dead-letter topic cannot be used: what waits for it is redelivered later.
    pub fn on_dead_letters_refused(&mut self, cx: &mut Context<'_>) {
        let letters = self.dead.as_mut().map(DeadLetters::give_up).unwrap_or_default();
        for letter in letters {
            self.give_back_later(cx.clock.now, letter.leg, letter.place, letter.index, letter.birth);
        }
        self.check();
    }

    /// Counts since it was opened (delivery side).
    pub fn counters(&self) -> &NamespaceCounters {
        &self.counters
    }

    /// Bytes held: prefetched entries, incomplete chunks, candidates for dead letters.
    pub fn buffered_bytes(&self) -> usize {
        self.queue_bytes + self.chunks.bytes() + self.dead.as_ref().map_or(0, DeadLetters::kept)
    }

    /// Messages the client holds: delivered and not settled.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    fn on_command(&mut self, cx: &mut Context<'_>, command: &ClientCommand) {
        match command {
            ClientCommand::IsEndOfTopic => self.answer_end_of_topic(cx),
            // There is no subscription any more.
            _ if self.unsubscription != Unsubscription::None => {}
            ClientCommand::Ack(id) => self.on_ack(cx, id),
            ClientCommand::Nack(id) => self.on_nack(cx, id),
            ClientCommand::Permit(more) => {
                if let Some(more) = u64::try_from(*more).ok().filter(|more| *more > 0 && self.settings.pull) {
                    self.pull_permits = self.pull_permits.saturating_add(more);
                    (0..self.legs.len()).for_each(|leg| self.list(leg));
                    self.pump(cx);
                }
            }
            ClientCommand::Unsubscribe => {
                self.unsubscription = Unsubscription::Asked;
                self.flush_acks();
            }
        }
    }

    /// Whatever a reader's client sends stands for one message it has read.
    fn on_reader_ack(&mut self, cx: &mut Context<'_>) {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.pump(cx);
    }

    fn answer_end_of_topic(&mut self, cx: &mut Context<'_>) {
        let ended = !self.legs.is_empty() && self.legs.iter().all(|leg| leg.ended) && self.queue.is_empty();
        cx.replies.text("{\"endOfTopic\":false}".len(), |out| reply::put_end_of_topic(out, ended));
    }

    /// The invariants at the head of this file. Large sessions are checked in part only: tests run on small ones.
    fn check(&self) {
        let small = self.legs.len() <= 8 && self.outstanding + self.nacks.len() + self.queue.len() <= 256;
        if cfg!(debug_assertions) && small {
            let anonymous = if self.settings.reader { self.outstanding } else { self.anonymous.len() };
            let tracked: usize = self.legs.iter().map(|leg| leg.tracker.out()).sum();
            assert_eq!(self.outstanding, tracked + anonymous, "the window counts what the client holds");
            assert_eq!(
                self.queue_bytes,
                self.queue.iter().map(Queued::size).sum::<usize>(),
                "bytes that wait"
            );
        }
        let window = self.settings.window as usize;
        debug_assert!(self.settings.pull || self.outstanding <= window, "the window is never exceeded");
    }
}
