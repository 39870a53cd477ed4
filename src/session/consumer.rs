//! A WebSocket consumer or reader session: entries from brokers in, messages out, acks back (API 4, 5).

use crate::base::time::Instant;
use crate::metrics::NamespaceCounters;
use crate::session::send_queue::SendQueue;
use crate::session::{Context, Goodbye};
use crate::wire::pulsar::Command;
use crate::wire::pulsar::frame::Payload;
use crate::wire::pulsar::proto::{CommandMessage, CommandSendReceipt, CommandSubscribe};
use crate::wire::route::{ConsumerSpec, ReaderSpec, TopicName};

/// What a dead letter under way stands for. (Contents are this module's.)
#[derive(Debug, Default)]
pub struct Letter {
    _private: (),
}

/// What the session wants done.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Send this command on the leg's link; its `consumer_id` is filled in. (FLOW, ACK, REDELIVER.)
    ToBroker {
        /// Which leg.
        leg: usize,
        /// The command.
        command: Command,
    },
    /// Unsubscribe every leg at its broker and report to [`Consumer::on_unsubscribed`].
    Unsubscribe,
    /// A dead letter waits: attach [`Consumer::dead_letters`] to its topic's broker.
    OpenDeadLetters,
}

/// One consumer or reader session. Legs are its topics and partitions; they may be added while it lives.
pub struct Consumer {
    _private: (),
}

impl Consumer {
    /// A consumer session; legs are added next. `seed` generates the consumer name if none is given.
    pub fn new(_spec: ConsumerSpec, _seed: u64) -> Self {
        unimplemented!()
    }

    /// A reader session: a non-durable exclusive subscription named `reader-` and ten hex digits.
    pub fn reader(_spec: ReaderSpec, _seed: u64) -> Self {
        unimplemented!()
    }

    /// Adds a leg for one topic or partition; returns its number.
    pub fn add_leg(&mut self, _topic: TopicName) -> usize {
        unimplemented!()
    }

    /// Number of legs.
    pub fn legs(&self) -> usize {
        unimplemented!()
    }

    /// The topic of a leg.
    pub fn topic(&self, _leg: usize) -> &TopicName {
        unimplemented!()
    }

    /// The subscription's name.
    pub fn subscription(&self) -> &str {
        unimplemented!()
    }

    /// The SUBSCRIBE command of the leg's next attempt. A non-durable one starts after what was delivered last.
    pub fn subscribe_command(
        &mut self,
        _leg: usize,
        _consumer_id: u64,
        _request_id: u64,
    ) -> CommandSubscribe {
        unimplemented!()
    }

    /// The broker made the leg's consumer: permits follow as outputs.
    pub fn on_subscribed(&mut self, _cx: &mut Context<'_>, _leg: usize, _message_size_max: usize) {
        unimplemented!()
    }

    /// The leg lost its link or its consumer: what it prefetched is dropped, what it delivered will come again.
    pub fn on_detached(&mut self, _leg: usize) {
        unimplemented!()
    }

    /// An entry arrived on a leg.
    pub fn on_message(
        &mut self,
        _cx: &mut Context<'_>,
        _leg: usize,
        _message: &CommandMessage,
        _payload: &Payload<'_>,
    ) {
        unimplemented!()
    }

    /// A text message of the client. `Err`: close with this.
    pub fn on_text(&mut self, _cx: &mut Context<'_>, _text: &mut [u8]) -> Result<(), Goodbye> {
        unimplemented!()
    }

    /// The broker says the leg's topic is terminated and this subscription has read all of it.
    pub fn on_end_of_topic(&mut self, _leg: usize) {
        unimplemented!()
    }

    /// All legs answered the unsubscription: gone, or refused (`Err`: close with this).
    pub fn on_unsubscribed(&mut self, _result: Result<(), ()>) -> Result<(), Goodbye> {
        unimplemented!()
    }

    /// The client's outbox is full (`true`): deliver nothing, or it has room again (`false`): go on.
    pub fn set_blocked(&mut self, _cx: &mut Context<'_>, _blocked: bool) {
        unimplemented!()
    }

    /// A timer is due: negative acks, ack timeouts, ack grouping.
    pub fn on_timer(&mut self, _cx: &mut Context<'_>) {
        unimplemented!()
    }

    /// When [`Consumer::on_timer`] is to be called next.
    pub fn next_timer(&self) -> Option<Instant> {
        unimplemented!()
    }

    /// What the session wants done; to `None` after every call above. Acks collected in one turn come out as one
    /// command: call this at the end of the turn.
    pub fn poll_output(&mut self) -> Option<Output> {
        unimplemented!()
    }

    /// True when [`Consumer::poll_output`] would give something.
    pub fn has_output(&self) -> bool {
        unimplemented!()
    }

    /// The producer of dead letters, once [`Output::OpenDeadLetters`] asked for it. The owner attaches it like a leg of
    /// a producer session and brings receipts to [`Consumer::on_dead_letter_receipt`].
    pub fn dead_letters(&mut self) -> Option<&mut SendQueue<Letter>> {
        unimplemented!()
    }

    /// A receipt for a dead letter: its original is acknowledged. `Err`: the broker broke the protocol.
    pub fn on_dead_letter_receipt(
        &mut self,
        _cx: &mut Context<'_>,
        _receipt: &CommandSendReceipt,
    ) -> Result<(), ()> {
        unimplemented!()
    }

    /// The dead-letter topic cannot be used: what waits for it is redelivered later.
    pub fn on_dead_letters_refused(&mut self, _cx: &mut Context<'_>) {
        unimplemented!()
    }

    /// Counts since it was opened (delivery side).
    pub fn counters(&self) -> &NamespaceCounters {
        unimplemented!()
    }

    /// Bytes held: prefetched entries, incomplete chunks.
    pub fn buffered_bytes(&self) -> usize {
        unimplemented!()
    }
}
