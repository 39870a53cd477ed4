//! A WebSocket producer session: requests in, entries to brokers out, acks back (API 3).
//!
//! A text becomes a `request::Message`, the `route::Router` names its leg, the `leg::Leg` encodes it
//! into an entry of its queue (at once, or with others when batching), and the receipt turns what is [`Owed`]
//! into acks. Every text is answered exactly once; answers of one leg's messages come in the order of their
//! texts, except errors that are known at once.

mod leg;
mod owed;
mod request;
mod route;

use crate::base::time::Instant;
use crate::metrics::NamespaceCounters;
use crate::session::Context;
use crate::session::producer::leg::{Leg, Turn};
pub use crate::session::producer::owed::Owed;
use crate::session::producer::request::{BadRequest, Message, which_error};
use crate::session::producer::route::Router;
use crate::session::replies::Replies;
use crate::session::send_queue::{Pending, Receipt, SendQueue};
use crate::wire::pulsar::proto::{
    CommandProducer, CommandProducerSuccess, CommandSendError, CommandSendReceipt, ServerError,
};
use crate::wire::route::{ProducerSpec, TopicName};
use crate::wire::text::JsonError;
use crate::wire::text::base64;
use crate::wire::text::reply::{self, SendErrorCode};

/// What the owner of the link must do after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// The producer of this leg must be made anew (lookup, PRODUCER): the broker refused in a way that
    /// passes. The leg counts as detached already.
    Reattach,
    /// The broker broke the protocol: close the link.
    CloseLink,
}

/// A text that is no message.
struct Refusal {
    error: TextError,
    /// To be echoed, as far as it could be read.
    context: Option<Vec<u8>>,
}

enum TextError {
    Json(JsonError),
    Request(BadRequest),
}

/// One producer session. Legs are its partitions (one leg when not partitioned).
pub struct Producer {
    spec: ProducerSpec,
    legs: Vec<Leg>,
    router: Router,
    pending_bytes: usize,
    pending_messages: usize,
    /// No timer of any leg is due before this. May be early: then [`Producer::on_timer`] finds nothing to do.
    timer: Instant,
    counters: NamespaceCounters,
    refused_texts: u64,
}

impl Producer {
    /// `partitions`: 0 for a topic without partitions (also one partition of a partitioned topic). `seed`
    /// chooses the partition of single-partition routing and the start of round robin.
    pub fn new(spec: ProducerSpec, partitions: u32, seed: u64) -> Self {
        let router = Router::new(&spec, partitions, seed);
        let legs = match partitions {
            0 => vec![new_leg(&spec, spec.topic.clone(), -1)],
            _ => (0..partitions).map(|index| new_partition(&spec, index)).collect(),
        };
        Producer {
            spec,
            legs,
            router,
            pending_bytes: 0,
            pending_messages: 0,
            timer: Instant::FAR,
            counters: NamespaceCounters::default(),
            refused_texts: 0,
        }
    }

    /// The spec it was opened with.
    pub fn spec(&self) -> &ProducerSpec {
        &self.spec
    }

    /// Number of legs.
    pub fn legs(&self) -> usize {
        self.legs.len()
    }

    /// True when the topic has partitions, of which there may be more one day.
    pub fn is_partitioned(&self) -> bool {
        self.legs.first().is_some_and(|leg| leg.is_partition())
    }

    /// Adds a leg for the next partition; returns its number. Messages go there once it, and all before it, were created.
    pub fn add_partition(&mut self) -> usize {
        self.legs.push(new_partition(&self.spec, self.legs.len() as u32));
        self.legs.len() - 1
    }

    /// The topic of a leg.
    pub fn topic(&self, leg: usize) -> &TopicName {
        self.legs[leg].queue.topic()
    }

    /// The PRODUCER command of the leg's next attempt. Legs after the first take over the name the first one
    /// got.
    pub fn create_command(&mut self, leg: usize, producer_id: u64, request_id: u64) -> CommandProducer {
        let (first, others) = self.legs.split_at_mut(1);
        let Some(index) = leg.checked_sub(1) else {
            return first[0].queue.create_command(producer_id, request_id);
        };
        let queue = &mut others[index].queue;
        if let Some(name) = first[0].queue.name() {
            queue.adopt_name(name);
        }
        queue.create_command(producer_id, request_id)
    }

    /// The broker made the leg's producer; unconfirmed entries are written again by
    /// [`Producer::next_unsent`].
    pub fn on_created(&mut self, leg: usize, success: &CommandProducerSuccess, message_size_max: usize) {
        self.legs[leg].on_accepted();
        self.legs[leg].queue.on_created(success, message_size_max);
        while self.legs.get(self.router.partitions()).is_some_and(Leg::was_created) {
            self.router.grow();
        }
    }

    /// The leg lost its link or its producer; it will be created again.
    pub fn on_detached(&mut self, leg: usize) {
        self.legs[leg].queue.on_detached();
    }

    /// The leg cannot be attached any more (terminated, fenced, ...): its pending messages and all later ones
    /// fail with `send-error:8` and this text (Java exception class first), until [`Producer::on_created`] is
    /// called again.
    pub fn on_refused(&mut self, cx: &mut Context<'_>, leg: usize, error: String) {
        self.with_leg(cx, leg, |leg, turn| leg.refuse(turn, error));
    }

    /// A text message of the client. Answers errors at once; queues otherwise.
    pub fn on_text(&mut self, cx: &mut Context<'_>, text: &[u8]) {
        let Err(Refusal { error, context }) = self.take(cx, text) else { return };
        let Context { replies, json, .. } = cx;
        let fault = match error {
            // What is no base64 may be no JSON either, and that comes first.
            TextError::Request(BadRequest::Payload(_)) => json.request_fault(text),
            _ => None,
        };
        match fault.map_or(error, TextError::Json) {
            TextError::Json(error) => self.refuse_text(replies, SendErrorCode::Json, &error.message, None),
            TextError::Request(error) => {
                self.refuse_text(replies, SendErrorCode::Encoding, &error.to_string(), context.as_deref());
            }
        }
    }

    /// Queues what a text asks for, or fails it for its leg's sake.
    fn take(&mut self, cx: &mut Context<'_>, text: &[u8]) -> Result<(), Refusal> {
        let Context { clock, replies, json, pool } = cx;
        let request = match json.request(text) {
            Ok(Some(request)) => request,
            Ok(None) => return Err(Refusal { error: TextError::Request(BadRequest::Null), context: None }),
            Err(error) => return Err(Refusal { error: TextError::Json(error), context: None }),
        };
        let refusal = |error| {
            let context = request.context.as_deref().map(|context| context.as_bytes().to_vec());
            Refusal { error: TextError::Request(error), context }
        };
        let encrypted = !self.spec.encryption_keys.is_empty();
        let message = match Message::read(&request, encrypted, clock.wall) {
            Ok(message) => message,
            Err(error) => {
                let mut scratch = pool.take();
                let error = which_error(&request, error, &mut scratch);
                pool.give(scratch);
                return Err(refusal(error));
            }
        };
        let leg = &mut self.legs[self.router.choose(message.key, clock.now)];
        let before = leg.held();
        let counters = &mut self.counters;
        let mut turn = Turn { clock: *clock, replies, pool, counters, spec: &self.spec };
        let result = match leg.obstacle(self.spec.pending_messages_max) {
            None => leg.send(&mut turn, &message),
            Some(text) => {
                // The original decodes the payload before it meets the obstacle.
                let mut scratch = turn.pool.take();
                let result = base64::decode(message.payload, &mut scratch);
                turn.pool.give(scratch);
                result.map(|()| turn.fail(&text, message.context.map(str::as_bytes)))
            }
        };
        let after = leg.held();
        self.timer = self.timer.min(leg.next_timer(self.spec.send_timeout));
        self.account(before, after);
        result.map_err(|error| refusal(BadRequest::Payload(error)))
    }

    /// A receipt for one of the leg's entries.
    pub fn on_receipt(&mut self, cx: &mut Context<'_>, leg: usize, receipt: &CommandSendReceipt) -> Verdict {
        self.with_leg(cx, leg, |leg, turn| match leg.queue.on_receipt(receipt) {
            Receipt::Confirmed(pending) => {
                // -1:-1 is what brokers answer for a duplicate; it is passed on, as the original does
                // (protocol 7.3).
                let id = receipt.message_id.as_ref();
                let place = id.map_or((u64::MAX, u64::MAX), |id| (id.ledger_id, id.entry_id));
                leg.confirm(turn, pending, place);
                Verdict::Fine
            }
            Receipt::Old => Verdict::Fine,
            Receipt::Violation => Verdict::CloseLink,
        })
    }

    /// The broker refused an entry (protocol 7.4).
    pub fn on_send_error(&mut self, cx: &mut Context<'_>, leg: usize, error: &CommandSendError) -> Verdict {
        self.with_leg(cx, leg, |leg, turn| {
            let passes = match ServerError::from_wire(error.error) {
                Some(ServerError::TopicTerminatedError) => {
                    leg.on_terminated(turn);
                    false
                }
                Some(ServerError::NotAllowedError) => {
                    leg.on_not_allowed(turn, error.sequence_id, &error.message);
                    false
                }
                Some(ServerError::ChecksumError) => {
                    leg.on_bad_checksum(turn, error.sequence_id, &error.message)
                }
                _ => true,
            };
            if passes {
                leg.queue.on_detached();
            }
            if passes { Verdict::Reattach } else { Verdict::Fine }
        })
    }

    /// The next entry of a leg to write to its link; counts as written.
    pub fn next_unsent(&mut self, leg: usize) -> Option<&Pending<Owed>> {
        self.legs[leg].queue.next_unsent().map(|pending| &*pending)
    }

    /// The entries of a leg, for the owner of its link to write.
    pub fn queue(&mut self, leg: usize) -> &mut SendQueue<Owed> {
        &mut self.legs[leg].queue
    }

    /// True when the leg is attached and has something to write.
    pub fn has_unsent(&self, leg: usize) -> bool {
        self.legs[leg].queue.has_unsent()
    }

    /// A timer is due: batch delays and send timeouts.
    pub fn on_timer(&mut self, cx: &mut Context<'_>) {
        let mut timer = Instant::FAR;
        for index in 0..self.legs.len() {
            if self.legs[index].next_timer(self.spec.send_timeout) <= cx.clock.now {
                self.with_leg(cx, index, |leg, turn| leg.on_timer(turn));
            }
            timer = timer.min(self.legs[index].next_timer(self.spec.send_timeout));
        }
        self.timer = timer;
    }

    /// When [`Producer::on_timer`] is to be called next. Costs nothing: it is no later than the first timer,
    /// and earlier at most once per timer.
    pub fn next_timer(&self) -> Option<Instant> {
        Some(self.timer).filter(|timer| self.pending_messages > 0 && *timer != Instant::FAR)
    }

    /// Ends open batches at once: the client is closing and has nothing more to add.
    pub fn flush(&mut self, cx: &mut Context<'_>) {
        for index in 0..self.legs.len() {
            self.with_leg(cx, index, |leg, turn| leg.end_batch(turn));
        }
    }

    /// Bytes not yet confirmed, open batches included.
    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Messages not yet confirmed, open batches included.
    pub fn pending_messages(&self) -> usize {
        self.pending_messages
    }

    /// Counts since it was opened (publish side). Failures are messages that failed on their way
    /// (`send-error:8`).
    pub fn counters(&self) -> &NamespaceCounters {
        &self.counters
    }

    /// Texts that were no message at all: answered with `send-error:3` or `send-error:7`.
    pub fn refused_texts(&self) -> u64 {
        self.refused_texts
    }

    /// Runs one event of one leg and keeps the session's books.
    fn with_leg<R>(
        &mut self,
        cx: &mut Context<'_>,
        leg: usize,
        event: impl FnOnce(&mut Leg, &mut Turn<'_, '_>) -> R,
    ) -> R {
        let leg = &mut self.legs[leg];
        let before = leg.held();
        let Context { clock, replies, pool, .. } = cx;
        let mut turn = Turn { clock: *clock, replies, pool, counters: &mut self.counters, spec: &self.spec };
        let result = event(leg, &mut turn);
        let after = leg.held();
        self.account(before, after);
        result
    }

    /// A leg that held `before` holds `after` now (bytes, messages).
    fn account(&mut self, before: (usize, usize), after: (usize, usize)) {
        self.pending_bytes = self.pending_bytes - before.0 + after.0;
        self.pending_messages = self.pending_messages - before.1 + after.1;
        if self.pending_messages == 0 {
            debug_assert_eq!(self.pending_bytes, 0, "no message holds no bytes");
            self.timer = Instant::FAR;
        }
    }

    /// Answers a text that is no message.
    fn refuse_text(
        &mut self,
        replies: &mut Replies<'_>,
        code: SendErrorCode,
        text: &str,
        context: Option<&[u8]>,
    ) {
        self.refused_texts += 1;
        let hint = 64 + text.len() + context.map_or(0, <[u8]>::len);
        replies.text(hint, |out| reply::put_send_error(out, code, text, context));
    }
}

fn new_partition(spec: &ProducerSpec, index: u32) -> Leg {
    new_leg(spec, spec.topic.with_partition(index), index.cast_signed())
}

fn new_leg(spec: &ProducerSpec, topic: TopicName, partition: i32) -> Leg {
    let mut queue = SendQueue::new(topic, spec.name.clone(), spec.initial_sequence_id);
    if !spec.encryption_keys.is_empty() {
        queue.set_encrypted();
    }
    Leg::new(queue, partition)
}

#[cfg(test)]
mod tests;
