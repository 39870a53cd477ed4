//! One Pulsar producer: what was queued for one topic and is not yet confirmed. Entries are kept until their
//! receipt, so that they can be sent again, in order and with their sequence ids, after the broker or its
//! link was lost (binary protocol 7.3 to 7.5). Used by producer sessions (one queue per partition) and by
//! dead-letter forwarding.
//!
//! Invariants, checked after every mutation: sequence ids strictly grow; entries before `unsent` were written
//! to the link we are attached to; detached means nothing was written.

use crate::base::limit::{
    MESSAGE_SIZE_DEFAULT, SEND_QUEUE_SPARE_MAX, SEND_WINDOW_BYTES_MAX, SEND_WINDOW_ENTRIES_MAX,
};
use crate::base::time::Instant;
use crate::session::arena::Entry;
use crate::wire::pulsar::proto::{
    CommandProducer, CommandProducerSuccess, CommandSendReceipt, ProducerAccessMode,
};
use crate::wire::route::TopicName;
use std::cmp::Ordering;
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
    pub entry: Entry,
    /// When the first message of the entry was queued: send timeout and latency count from here.
    pub queued_at: Instant,
    /// The owner's.
    pub tag: T,
}

impl<T> Pending<T> {
    /// The id brokers use in a SEND_ERROR: the highest one of a batch.
    fn is_named(&self, sequence_id: u64) -> bool {
        self.sequence_id == sequence_id || self.highest_sequence_id == Some(sequence_id)
    }
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
    name: Option<String>,
    /// The name is the user's, not one that a broker generated.
    user_named: bool,
    encrypted: bool,
    /// Of the next PRODUCER command.
    epoch: u64,
    attached: bool,
    message_size_max: usize,
    next_sequence_id: u64,
    /// The first sequence id is settled: given by the user, or taken from the broker's first answer.
    numbered: bool,
    pending: VecDeque<Pending<T>>,
    /// Entries at the head that were written to the link we are attached to.
    unsent: usize,
    /// Bytes of those.
    under_way: usize,
    /// Entries at the head that were written to any link.
    written: usize,
    messages: usize,
    bytes: usize,
}

impl<T> SendQueue<T> {
    /// A queue for `topic`. `name`: the user's producer name. `initial_sequence_id`: the first message gets
    /// this plus 1; -1: continue after the broker's `last_sequence_id`.
    pub fn new(topic: TopicName, name: Option<String>, initial_sequence_id: i64) -> Self {
        SendQueue {
            topic,
            user_named: name.is_some(),
            name,
            encrypted: false,
            epoch: 0,
            attached: false,
            message_size_max: MESSAGE_SIZE_DEFAULT,
            next_sequence_id: following(initial_sequence_id),
            numbered: initial_sequence_id != -1,
            pending: VecDeque::new(),
            unsent: 0,
            under_way: 0,
            written: 0,
            messages: 0,
            bytes: 0,
        }
    }

    /// The topic (one partition, or a topic without partitions).
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// The producer name once known (given, or from the broker).
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Takes over a name that a broker generated for another partition, unless this queue has one (protocol
    /// 7.8).
    pub fn adopt_name(&mut self, name: &str) {
        if self.name.is_none() {
            self.name = Some(name.to_owned());
        }
    }

    /// Declares that this producer's payloads are encrypted by the client.
    pub fn set_encrypted(&mut self) {
        self.encrypted = true;
    }

    /// The PRODUCER command of the next attempt: same name, epoch counted up.
    pub fn create_command(&mut self, producer_id: u64, request_id: u64) -> CommandProducer {
        let epoch = self.epoch;
        self.epoch += 1;
        CommandProducer {
            topic: self.topic.as_str().to_owned(),
            producer_id,
            request_id,
            producer_name: self.name.clone(),
            encrypted: Some(self.encrypted),
            epoch: Some(epoch),
            user_provided_producer_name: Some(self.user_named),
            producer_access_mode: Some(ProducerAccessMode::Shared as i32),
            ..CommandProducer::default()
        }
    }

    /// The broker made the producer: everything unconfirmed is to be written again.
    pub fn on_created(&mut self, success: &CommandProducerSuccess, message_size_max: usize) {
        self.adopt_name(&success.producer_name);
        if !self.numbered {
            self.numbered = true;
            self.next_sequence_id = following(success.last_sequence_id.unwrap_or(-1));
        }
        self.message_size_max = message_size_max;
        self.attached = true;
        (self.unsent, self.under_way) = (0, 0);
        self.check();
    }

    /// The link or the producer is gone: nothing counts as written any more.
    pub fn on_detached(&mut self) {
        self.attached = false;
        (self.unsent, self.under_way) = (0, 0);
        self.check();
    }

    /// True between [`SendQueue::on_created`] and [`SendQueue::on_detached`].
    pub fn is_attached(&self) -> bool {
        self.attached
    }

    /// Largest message of the broker, metadata and payload, bytes; the default before the first attachment.
    pub fn message_size_max(&self) -> usize {
        self.message_size_max
    }

    /// The sequence id the next message gets.
    pub fn next_sequence_id(&self) -> u64 {
        self.next_sequence_id
    }

    /// Queues an entry that took `messages` sequence ids from [`SendQueue::next_sequence_id`] on.
    pub fn push(&mut self, entry: Vec<u8>, messages: u32, is_batch: bool, queued_at: Instant, tag: T) {
        debug_assert!(messages > 0, "an entry holds messages");
        debug_assert!(is_batch || messages == 1, "several messages are a batch");
        let sequence_id = self.next_sequence_id;
        self.next_sequence_id = sequence_id.wrapping_add(u64::from(messages));
        // From here on the broker's counter comes too late.
        self.numbered = true;
        let highest_sequence_id = is_batch.then(|| self.next_sequence_id.wrapping_sub(1));
        self.messages += messages as usize;
        self.bytes += entry.len();
        let entry = Entry::Own(entry);
        self.pending.push_back(Pending { sequence_id, highest_sequence_id, messages, entry, queued_at, tag });
        self.check();
    }

    /// The next entry to write to the link; counts as written from here on. `None`: detached, or nothing
    /// left.
    pub fn next_unsent(&mut self) -> Option<&mut Pending<T>> {
        if !self.has_unsent() {
            return None;
        }
        self.under_way += self.pending[self.unsent].entry.len();
        self.unsent += 1;
        self.written = self.written.max(self.unsent);
        self.check();
        self.pending.get_mut(self.unsent - 1)
    }

    /// True when as much is under way as one producer may have on a link that it shares with others; the next
    /// receipt opens it again.
    pub fn is_window_full(&self) -> bool {
        self.unsent >= SEND_WINDOW_ENTRIES_MAX || self.under_way >= SEND_WINDOW_BYTES_MAX
    }

    /// True when [`SendQueue::next_unsent`] would give something.
    pub fn has_unsent(&self) -> bool {
        self.attached && self.unsent < self.pending.len()
    }

    /// A receipt arrived. While detached nothing is a violation: the answers are those of a link we have
    /// left, and only one for the head is of use, since it saves sending the head twice.
    pub fn on_receipt(&mut self, receipt: &CommandSendReceipt) -> Receipt<T> {
        let violation = if self.attached { Receipt::Violation } else { Receipt::Old };
        let expected = self.pending.front().map_or(self.next_sequence_id, |head| head.sequence_id);
        match order(receipt.sequence_id, expected) {
            Ordering::Less => return Receipt::Old,
            Ordering::Greater => return violation,
            Ordering::Equal => {}
        }
        let Some(head) = self.pending.front() else { return violation };
        // Absent, 0, -1 or the entry's own id when the entry is no batch: brokers differ.
        let highest = receipt.highest_sequence_id.filter(|id| order(*id, receipt.sequence_id).is_gt());
        let named = highest.is_none_or(|id| head.highest_sequence_id.unwrap_or(head.sequence_id) == id);
        if self.written == 0 || !named {
            return violation;
        }
        match self.remove(0) {
            Some(head) => Receipt::Confirmed(head),
            None => violation,
        }
    }

    /// The entry with this sequence id, or with this as its highest.
    pub fn find(&self, sequence_id: u64) -> Option<&Pending<T>> {
        self.pending.iter().find(|pending| pending.is_named(sequence_id))
    }

    /// Takes the entry with this sequence id, or with this as its highest, out (SEND_ERROR for one entry).
    /// `None`: not here.
    pub fn take(&mut self, sequence_id: u64) -> Option<Pending<T>> {
        let index = self.pending.iter().position(|pending| pending.is_named(sequence_id))?;
        self.remove(index)
    }

    /// Gives everything up, oldest first (send timeout, topic terminated).
    pub fn take_all(&mut self) -> VecDeque<Pending<T>> {
        (self.unsent, self.under_way, self.written, self.messages, self.bytes) = (0, 0, 0, 0, 0);
        std::mem::take(&mut self.pending)
    }

    /// When the oldest entry was queued.
    pub fn oldest(&self) -> Option<Instant> {
        self.pending.front().map(|head| head.queued_at)
    }

    /// Entries held.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// True when nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages held.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes one entry out and keeps the books.
    fn remove(&mut self, index: usize) -> Option<Pending<T>> {
        let pending = match index {
            0 => self.pending.pop_front()?,
            _ => self.pending.remove(index)?,
        };
        if index < self.unsent {
            self.unsent -= 1;
            self.under_way -= pending.entry.len();
        }
        self.written -= usize::from(index < self.written);
        self.messages -= pending.messages as usize;
        self.bytes -= pending.entry.len();
        if self.pending.is_empty() && self.pending.capacity() > 2 * SEND_QUEUE_SPARE_MAX {
            self.pending.shrink_to(SEND_QUEUE_SPARE_MAX);
        }
        self.check();
        Some(pending)
    }

    /// What must hold after every mutation. Looks at the ends only: the middle does not change.
    fn check(&self) {
        debug_assert!(
            self.unsent <= self.written && self.written <= self.pending.len(),
            "written, then unsent"
        );
        debug_assert!(self.attached || self.unsent == 0, "detached means nothing was written");
        debug_assert!(
            self.under_way <= self.bytes && (self.unsent > 0 || self.under_way == 0),
            "under way is held"
        );
        debug_assert!(self.pending.len() <= self.messages, "an entry holds messages");
        debug_assert!(
            !self.pending.is_empty() || (self.messages == 0 && self.bytes == 0),
            "empty holds nothing"
        );
        let grows = |a: &Pending<T>, b: u64| order(a.highest_sequence_id.unwrap_or(a.sequence_id), b).is_lt();
        let (last, before) = (self.pending.back(), self.pending.iter().rev().nth(1));
        debug_assert!(last.is_none_or(|last| grows(last, self.next_sequence_id)), "ids grow");
        debug_assert!(before.zip(last).is_none_or(|(a, b)| grows(a, b.sequence_id)), "ids grow");
    }
}

/// The sequence id after `last`, which is a Java `long`: -1 is before 0.
fn following(last: i64) -> u64 {
    last.wrapping_add(1).cast_unsigned()
}

/// Order of two sequence ids. They are Java `long`s in a `u64` and may begin anywhere, so the distance
/// decides.
fn order(a: u64, b: u64) -> Ordering {
    a.wrapping_sub(b).cast_signed().cmp(&0)
}

#[cfg(test)]
mod tests;
