//! One Pulsar producer: what was queued for one topic and is not yet confirmed. Entries are kept until their receipt, so
//! that they can be sent again, in order and with their sequence ids, after the broker or its link was lost (binary
//! protocol 7.3 to 7.5). Used by producer sessions (one queue per partition) and by dead-letter forwarding.
//!
//! Invariants, checked after every mutation: sequence ids strictly grow; entries before `unsent` were written to the
//! link we are attached to; detached means nothing was written.

use crate::base::time::Instant;
use crate::wire::pulsar::proto::{CommandProducer, CommandProducerSuccess, CommandSendReceipt};
use crate::wire::route::TopicName;
use std::collections::VecDeque;

/// One entry under way; `T` is what its owner needs when the receipt comes.
#[derive(Debug)]
pub struct Pending<T> {
    /// First (lowest) sequence id.
    pub sequence_id: u64,
    /// Last sequence id when the entry is a batch.
    pub highest_sequence_id: Option<u64>,
    /// Messages in the entry.
    pub messages: u32,
    /// From the `0x0e01` magic on.
    pub entry: Vec<u8>,
    /// When the first message of the entry was queued: send timeout and latency count from here.
    pub queued_at: Instant,
    /// The owner's.
    pub tag: T,
}

/// What became of a receipt.
#[derive(Debug)]
pub enum Receipt<T> {
    /// The head of the queue is stored; its place is in the receipt.
    Confirmed(Pending<T>),
    /// An answer to something already given up or confirmed: ignored.
    Old,
    /// Names something never sent: the link breaks the protocol and must be closed.
    Violation,
}

/// The queue of one producer on one topic.
pub struct SendQueue<T> {
    topic: TopicName,
    _pending: VecDeque<Pending<T>>,
}

impl<T> SendQueue<T> {
    /// A queue for `topic`. `name`: the user's producer name. `initial_sequence_id`: the first message gets this plus 1;
    /// -1: continue after the broker's `last_sequence_id`.
    pub fn new(_topic: TopicName, _name: Option<String>, _initial_sequence_id: i64) -> Self {
        unimplemented!()
    }

    /// The topic (one partition, or a topic without partitions).
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// The producer name once known (given, or from the broker).
    pub fn name(&self) -> Option<&str> {
        unimplemented!()
    }

    /// Declares that this producer's payloads are encrypted by the client.
    pub fn set_encrypted(&mut self) {
        unimplemented!()
    }

    /// The PRODUCER command of the next attempt: same name, epoch counted up.
    pub fn create_command(&mut self, _producer_id: u64, _request_id: u64) -> CommandProducer {
        unimplemented!()
    }

    /// The broker made the producer: everything unconfirmed is to be written again.
    pub fn on_created(&mut self, _success: &CommandProducerSuccess, _message_size_max: usize) {
        unimplemented!()
    }

    /// The link or the producer is gone: nothing counts as written any more.
    pub fn on_detached(&mut self) {
        unimplemented!()
    }

    /// True between [`SendQueue::on_created`] and [`SendQueue::on_detached`].
    pub fn is_attached(&self) -> bool {
        unimplemented!()
    }

    /// Largest message of the broker, metadata and payload, bytes; the default before the first attachment.
    pub fn message_size_max(&self) -> usize {
        unimplemented!()
    }

    /// The sequence id the next message gets.
    pub fn next_sequence_id(&self) -> u64 {
        unimplemented!()
    }

    /// Queues an entry that took `messages` sequence ids from [`SendQueue::next_sequence_id`] on.
    pub fn push(&mut self, _entry: Vec<u8>, _messages: u32, _is_batch: bool, _queued_at: Instant, _tag: T) {
        unimplemented!()
    }

    /// The next entry to write to the link; counts as written from here on. `None`: detached, or nothing left.
    pub fn next_unsent(&mut self) -> Option<&Pending<T>> {
        unimplemented!()
    }

    /// True when [`SendQueue::next_unsent`] would give something.
    pub fn has_unsent(&self) -> bool {
        unimplemented!()
    }

    /// A receipt arrived.
    pub fn on_receipt(&mut self, _receipt: &CommandSendReceipt) -> Receipt<T> {
        unimplemented!()
    }

    /// Takes the entry with this sequence id out (SEND_ERROR for one message). `None`: not here.
    pub fn take(&mut self, _sequence_id: u64) -> Option<Pending<T>> {
        unimplemented!()
    }

    /// Gives everything up, oldest first (send timeout, topic terminated).
    pub fn take_all(&mut self) -> VecDeque<Pending<T>> {
        unimplemented!()
    }

    /// When the oldest entry was queued.
    pub fn oldest(&self) -> Option<Instant> {
        unimplemented!()
    }

    /// Entries held.
    pub fn len(&self) -> usize {
        unimplemented!()
    }

    /// True when nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages held.
    pub fn messages(&self) -> usize {
        unimplemented!()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        unimplemented!()
    }
}
