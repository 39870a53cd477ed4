//! A WebSocket producer session: requests in, entries to brokers out, acks back (API 3).

use crate::base::time::Instant;
use crate::metrics::NamespaceCounters;
use crate::session::Context;
use crate::session::send_queue::Pending;
use crate::wire::pulsar::proto::{
    CommandProducer, CommandProducerSuccess, CommandSendError, CommandSendReceipt,
};
use crate::wire::route::{ProducerSpec, TopicName};

/// What one pending entry owes the client. (Contents are this module's.)
#[derive(Debug, Default)]
pub struct Owed {
    _private: (),
}

/// What the owner of the link must do after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// The producer of this leg must be made anew (lookup, PRODUCER): the broker refused in a way that passes.
    Reattach,
    /// The broker broke the protocol: close the link.
    CloseLink,
}

/// One producer session. Legs are its partitions (one leg when not partitioned).
pub struct Producer {
    spec: ProducerSpec,
}

impl Producer {
    /// `partitions`: 0 for a topic without partitions (also one partition of a partitioned topic). `seed` chooses the
    /// partition of single-partition routing and the start of round robin.
    pub fn new(_spec: ProducerSpec, _partitions: u32, _seed: u64) -> Self {
        unimplemented!()
    }

    /// The spec it was opened with.
    pub fn spec(&self) -> &ProducerSpec {
        &self.spec
    }

    /// Number of legs.
    pub fn legs(&self) -> usize {
        unimplemented!()
    }

    /// The topic of a leg.
    pub fn topic(&self, _leg: usize) -> &TopicName {
        unimplemented!()
    }

    /// The PRODUCER command of the leg's next attempt. Legs after the first take over the name the first one got.
    pub fn create_command(&mut self, _leg: usize, _producer_id: u64, _request_id: u64) -> CommandProducer {
        unimplemented!()
    }

    /// The broker made the leg's producer; unconfirmed entries are written again by [`Producer::next_unsent`].
    pub fn on_created(&mut self, _leg: usize, _success: &CommandProducerSuccess, _message_size_max: usize) {
        unimplemented!()
    }

    /// The leg lost its link or its producer; it will be created again.
    pub fn on_detached(&mut self, _leg: usize) {
        unimplemented!()
    }

    /// The leg cannot be attached any more (terminated, fenced, ...): its pending messages and all later ones fail with
    /// `send-error:8` and this text (Java exception class first), until [`Producer::on_created`] is called again.
    pub fn on_refused(&mut self, _cx: &mut Context<'_>, _leg: usize, _error: String) {
        unimplemented!()
    }

    /// A text message of the client. Answers errors at once; queues otherwise.
    pub fn on_text(&mut self, _cx: &mut Context<'_>, _text: &mut [u8]) {
        unimplemented!()
    }

    /// A receipt for one of the leg's entries.
    pub fn on_receipt(
        &mut self,
        _cx: &mut Context<'_>,
        _leg: usize,
        _receipt: &CommandSendReceipt,
    ) -> Verdict {
        unimplemented!()
    }

    /// The broker refused an entry.
    pub fn on_send_error(
        &mut self,
        _cx: &mut Context<'_>,
        _leg: usize,
        _error: &CommandSendError,
    ) -> Verdict {
        unimplemented!()
    }

    /// The next entry of a leg to write to its link; counts as written.
    pub fn next_unsent(&mut self, _leg: usize) -> Option<&Pending<Owed>> {
        unimplemented!()
    }

    /// True when the leg is attached and has something to write.
    pub fn has_unsent(&self, _leg: usize) -> bool {
        unimplemented!()
    }

    /// A timer is due: batch delays and send timeouts.
    pub fn on_timer(&mut self, _cx: &mut Context<'_>) {
        unimplemented!()
    }

    /// When [`Producer::on_timer`] is to be called next.
    pub fn next_timer(&self) -> Option<Instant> {
        unimplemented!()
    }

    /// Ends open batches at once: the client is closing and has nothing more to add.
    pub fn flush(&mut self, _cx: &mut Context<'_>) {
        unimplemented!()
    }

    /// Bytes not yet confirmed, open batches included.
    pub fn pending_bytes(&self) -> usize {
        unimplemented!()
    }

    /// Messages not yet confirmed, open batches included.
    pub fn pending_messages(&self) -> usize {
        unimplemented!()
    }

    /// Counts since it was opened (publish side).
    pub fn counters(&self) -> &NamespaceCounters {
        unimplemented!()
    }
}
