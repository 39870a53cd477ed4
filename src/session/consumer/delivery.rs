//! From an entry to texts for the client (protocol 2, API 4.2). The usual entry, one message that may go out at once,
//! passes through borrowed and leaves nothing behind but its place; what has to wait is copied once.

use super::bits::{Bits, count_words};
use super::chunks::Chunk;
use super::dead_letters::{Letter, Message, Origin};
use super::deadlines::Due;
use super::tracker::{Extra, Place, Tracked};
use super::{Consumer, Unsubscription};
use crate::base::limit::{CHUNKED_MESSAGE_BYTES_MAX, OUTBOX_HIGH, RECEIVER_QUEUE_MAX, SESSION_UNSETTLED_MAX};
use crate::base::time::{Instant, UnixMillis};
use crate::session::Context;
use crate::wire::pulsar::batch::Messages;
use crate::wire::pulsar::compression::{CompressionError, decompress};
use crate::wire::pulsar::frame::{Checksum, Payload};
use crate::wire::pulsar::message_id::MessageId;
use crate::wire::pulsar::metadata::MetadataView;
use crate::wire::pulsar::proto::{CommandMessage, CompressionType, ValidationError};
use crate::wire::route::CryptoFailureAction;
use crate::wire::text::reply::{self, Delivery, EncryptionContext};

/// Bytes of a batch that one message takes at least: a size, and metadata with its one required field. Bounds what a
/// batch's count makes us keep.
const BATCHED_MESSAGE_MIN: usize = 6;
/// Bytes of the size in front of each message's metadata in a batch.
const BATCH_SIZE_FIELD: usize = 4;

/// What is known of an entry beside its bytes.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) leg: usize,
    pub(super) place: Place,
    partition: i32,
    redeliveries: u32,
    /// Messages in the batch; 0: the body is one message.
    size: u32,
    /// Messages to be handed over still.
    left: Bits,
    /// All chunks but the last, whose place is the entry's.
    chunks: Vec<Place>,
    /// The first message of the batch not looked at yet, and where it begins in the body.
    next: u32,
    offset: usize,
}

/// An entry that waits until the client may have more.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) head: Head,
    /// Metadata, then the body.
    bytes: Vec<u8>,
    metadata_size: usize,
    /// The body is as it will be read: decompressed.
    open: bool,
}

impl Queued {
    /// The first message that waits; -1: the entry is no batch.
    pub(super) fn first(&self) -> i32 {
        if self.head.size == 0 { -1 } else { self.head.next as i32 }
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Messages that wait.
    pub(super) fn messages(&self) -> u32 {
        self.head.left.count()
    }
}

/// How far handing over an entry went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Done,
    /// The rest has to wait.
    Stopped,
}

/// Permits the broker took for an entry.
fn cost(metadata: &MetadataView<'_>, ack_set: &[i64]) -> u32 {
    let messages = metadata.batch_size.unwrap_or(1).max(1).unsigned_abs();
    if ack_set.is_empty() { messages } else { count_words(ack_set, messages) }
}

/// Whether the body must be decompressed before it is read. What is encrypted is passed on as it is.
fn is_compressed(metadata: &MetadataView<'_>) -> bool {
    metadata.compression != CompressionType::None as i32 && !metadata.encrypted
}

impl Consumer {
    /// An entry arrived.
    pub(super) fn receive(
        &mut self,
        cx: &mut Context<'_>,
        leg: usize,
        message: &CommandMessage,
        payload: &Payload<'_>,
    ) {
        self.list(leg);
        let metadata = MetadataView::read(payload.metadata);
        let state = &mut self.legs[leg];
        let intact = payload.checksum != Checksum::Bad;
        let cost = metadata.as_ref().map_or(1, |metadata| cost(metadata, &message.ack_set));
        // A number that may be damaged is not trusted beyond what a broker would be sent.
        let cost = if intact { cost } else { cost.min(RECEIVER_QUEUE_MAX) };
        state.permits.on_entry(cost, payload.metadata.len() + payload.body.len());
        if message.consumer_epoch.is_some_and(|epoch| epoch < state.epoch) {
            return;
        }
        let place = Place::of(&message.message_id);
        if !intact {
            return state.refuse(place, ValidationError::ChecksumMismatch);
        }
        let Ok(metadata) = metadata else { return };
        if metadata.marker_type.is_some() || state.start.skips(place, metadata.batch_size.is_some()) {
            return;
        }
        if metadata.encrypted && self.settings.crypto_failure != CryptoFailureAction::Consume {
            if self.settings.crypto_failure == CryptoFailureAction::Discard {
                state.refuse(place, ValidationError::DecryptionError);
            }
            return;
        }
        match self.head(leg, message, &metadata, payload.body.len()) {
            Err(error) => self.legs[leg].refuse(place, error),
            Ok(head) if metadata.chunks > 1 => self.on_chunk(cx, head, &metadata, payload.body),
            Ok(head) => self.accept(cx, head, &metadata, payload.body),
        }
    }

    /// Reads and checks what is known of an entry before its body is touched.
    fn head(
        &self,
        leg: usize,
        message: &CommandMessage,
        metadata: &MetadataView<'_>,
        body_size: usize,
    ) -> Result<Head, ValidationError> {
        let state = &self.legs[leg];
        let place = Place::of(&message.message_id);
        let compressed = is_compressed(metadata);
        let clear_size = if compressed { metadata.uncompressed_size as usize } else { body_size };
        let chunk = metadata.chunks > 1;
        if compressed && !chunk && clear_size > state.message_size_max {
            return Err(ValidationError::UncompressedSizeCorruption);
        }
        let mut size = 0;
        if let Some(count) = metadata.batch_size.filter(|_| !metadata.encrypted && !chunk) {
            let fits = |count: &u32| *count > 0 && *count as usize <= clear_size / BATCHED_MESSAGE_MIN;
            let count = u32::try_from(count).ok().filter(fits);
            size = count.ok_or(ValidationError::BatchDeSerializeError)?;
        }
        let mut left = match size {
            0 => Bits::full(1),
            _ if message.ack_set.is_empty() => Bits::full(size),
            _ => Bits::from_words(&message.ack_set, size),
        };
        for index in 0..state.start.skipped_in_batch(place).min(size) {
            left.clear(index);
        }
        let partition = match state.partition {
            -1 => message.message_id.partition.unwrap_or(-1),
            partition => partition,
        };
        let redeliveries = if self.settings.shared() { message.redelivery_count.unwrap_or(0) } else { 0 };
        Ok(Head { leg, place, partition, redeliveries, size, left, chunks: Vec::new(), next: 0, offset: 0 })
    }

    fn on_chunk(&mut self, cx: &mut Context<'_>, mut head: Head, metadata: &MetadataView<'_>, body: &[u8]) {
        let (leg, place) = (head.leg, head.place);
        match self.chunks.on_chunk(cx.clock.now, leg, place, metadata, body) {
            Chunk::Kept => {}
            Chunk::Duplicate => self.legs[leg].ack(place),
            Chunk::Whole(chunks, bytes) => {
                head.chunks = chunks;
                self.accept(cx, head, metadata, &bytes);
            }
        }
        self.give_up_chunks(cx.clock.now);
    }

    /// Hands an entry over if the client may have it now; what it may not have waits.
    fn accept(&mut self, cx: &mut Context<'_>, mut head: Head, metadata: &MetadataView<'_>, body: &[u8]) {
        let compressed = is_compressed(metadata);
        if !self.queue.is_empty() || !self.is_open(cx) {
            return self.enqueue(cx, head, metadata, body, !compressed);
        }
        if !compressed {
            if self.hand_over(cx, &mut head, metadata, body) == Step::Stopped {
                self.enqueue(cx, head, metadata, body, true);
            }
            return;
        }
        let mut bytes = cx.pool.take();
        bytes.extend_from_slice(metadata.bytes);
        let metadata_size = bytes.len();
        if let Err(error) = self.decompress(&head, metadata, body, &mut bytes) {
            self.legs[head.leg].refuse(head.place, error);
        } else if self.hand_over(cx, &mut head, metadata, &bytes[metadata_size..]) == Step::Stopped {
            return self.wait(Queued { head, bytes, metadata_size, open: true });
        }
        cx.pool.give(bytes);
    }

    /// Copies an entry that has to wait.
    fn enqueue(
        &mut self,
        cx: &mut Context<'_>,
        head: Head,
        metadata: &MetadataView<'_>,
        body: &[u8],
        open: bool,
    ) {
        let mut bytes = cx.pool.take();
        bytes.extend_from_slice(metadata.bytes);
        bytes.extend_from_slice(body);
        self.wait(Queued { head, bytes, metadata_size: metadata.bytes.len(), open });
    }

    fn wait(&mut self, queued: Queued) {
        self.legs[queued.head.leg].permits.enqueue(queued.messages());
        self.queue_bytes += queued.size();
        self.queue.push_back(queued);
    }

    fn decompress(
        &self,
        head: &Head,
        metadata: &MetadataView<'_>,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ValidationError> {
        // A chunked message is larger than a message by design.
        let size_max = if head.chunks.is_empty() {
            self.legs[head.leg].message_size_max
        } else {
            CHUNKED_MESSAGE_BYTES_MAX
        };
        decompress(metadata.compression, body, metadata.uncompressed_size as usize, size_max, out).map_err(
            |error| match error {
                CompressionError::TooLarge { .. } => ValidationError::UncompressedSizeCorruption,
                CompressionError::Corrupt { .. } | CompressionError::Unknown(_) => {
                    ValidationError::DecompressionError
                }
            },
        )
    }

    /// Hands over what waits, as long as the client may have more.
    pub(super) fn pump(&mut self, cx: &mut Context<'_>) {
        self.pump_wanted = false;
        while self.is_open(cx) {
            let Some(mut queued) = self.queue.pop_front() else { return };
            let leg = queued.head.leg;
            self.legs[leg].permits.dequeue(queued.messages());
            self.queue_bytes -= queued.size();
            self.list(leg);
            let step = self.pump_one(cx, &mut queued);
            if step == Step::Stopped {
                self.legs[leg].permits.enqueue(queued.messages());
                self.queue_bytes += queued.size();
                self.queue.push_front(queued);
                return;
            }
            cx.pool.give(queued.bytes);
        }
    }

    fn pump_one(&mut self, cx: &mut Context<'_>, queued: &mut Queued) -> Step {
        let Queued { head, bytes, metadata_size, open } = queued;
        if !*open {
            let mut clear = cx.pool.take();
            clear.extend_from_slice(&bytes[..*metadata_size]);
            let opened = MetadataView::read(&bytes[..*metadata_size])
                .map_err(|_| ValidationError::DecompressionError)
                .and_then(|metadata| self.decompress(head, &metadata, &bytes[*metadata_size..], &mut clear));
            cx.pool.give(std::mem::replace(bytes, clear));
            if let Err(error) = opened {
                self.legs[head.leg].refuse(head.place, error);
                return Step::Done;
            }
            *open = true;
        }
        let (metadata, body) = bytes.split_at(*metadata_size);
        match MetadataView::read(metadata) {
            Ok(metadata) => self.hand_over(cx, head, &metadata, body),
            Err(_) => Step::Done,
        }
    }

    /// Hands over the messages of an entry; the body is decompressed. Stops where the client may have no more.
    fn hand_over(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut Head,
        metadata: &MetadataView<'_>,
        body: &[u8],
    ) -> Step {
        if head.size == 0 {
            let (key, event_time) = (metadata.partition_key, metadata.event_time);
            let message = Message { payload: body, key, properties: metadata.properties(), event_time };
            self.hand_over_one(cx, head, metadata, 0, &message);
            head.left.clear(0);
            return Step::Done;
        }
        let mut messages = Messages::new(&body[head.offset..], head.size - head.next);
        while !head.left.is_empty() {
            if !self.is_open(cx) {
                return Step::Stopped;
            }
            let Some(Ok((single, payload))) = messages.next() else {
                self.legs[head.leg].refuse(head.place, ValidationError::BatchDeSerializeError);
                return Step::Done;
            };
            let index = head.next;
            if head.left.get(index) {
                if single.compacted_out {
                    self.settle(head.leg, head.place, Some(index));
                } else {
                    let (key, event_time) = (single.partition_key, single.event_time);
                    let message = Message { payload, key, properties: single.properties(), event_time };
                    self.hand_over_one(cx, head, metadata, index, &message);
                }
            }
            head.left.clear(index);
            head.next += 1;
            head.offset += BATCH_SIZE_FIELD + single.bytes.len() + payload.len();
        }
        Step::Done
    }

    /// Hands one message to the client, or to the dead letters, unless the client has it or had it.
    fn hand_over_one(
        &mut self,
        cx: &mut Context<'_>,
        head: &Head,
        metadata: &MetadataView<'_>,
        index: u32,
        message: &Message<'_>,
    ) {
        if self.settings.tracks() && self.legs[head.leg].persistent {
            let tracked = self.track(head);
            if tracked.out.get(index) || !tracked.left.get(index) {
                return;
            }
            let birth = tracked.birth;
            if self.dead.as_ref().is_some_and(|dead| dead.is_overdue(head.redeliveries)) {
                return self.bury(cx, head, index, birth, message);
            }
            self.take_slot(cx.clock.now, head, index, birth, message);
        } else {
            self.take_anonymous_slot(cx.clock.now, head, index);
        }
        self.legs[head.leg].start.on_handed(head.place, if head.size == 0 { -1 } else { index as i32 });
        self.pull_permits = self.pull_permits.saturating_sub(1);
        self.counters.delivered.0 += 1;
        self.counters.delivered.1 += message.payload.len() as u64;
        write(cx, head, metadata, index, message, self.settings.reader);
    }

    /// The tracked entry of a head; from here on its messages are to be settled.
    fn track(&mut self, head: &Head) -> &mut Tracked {
        let births = &mut self.births;
        let state = &mut self.legs[head.leg];
        if state.ledger != Some(head.place.ledger) {
            state.ledger = Some(head.place.ledger);
            self.owners.insert(head.place.ledger, head.leg);
        }
        state.tracker.entry(head.place, || {
            *births += 1;
            let extra = (!head.chunks.is_empty())
                .then(|| Box::new(Extra { chunks: head.chunks.clone(), candidates: Vec::new() }));
            let (left, out) = (head.left.clone(), Bits::none(head.size.max(1)));
            Tracked { place: head.place, birth: *births, size: head.size, left, out, extra }
        })
    }

    /// Notes that the client holds a message.
    fn take_slot(&mut self, now: Instant, head: &Head, index: u32, birth: u64, message: &Message<'_>) {
        let tracked = self.legs[head.leg].tracker.get_mut(head.place).expect("was tracked just before");
        tracked.out.set(index);
        if let Some(dead) = self.dead.as_mut().filter(|dead| dead.is_candidate(head.redeliveries))
            && let Some(content) = dead.keep(message)
        {
            tracked.extra.get_or_insert_default().candidates.push((index, content));
        }
        self.outstanding += 1;
        if let Some(timeout) = self.settings.ack_timeout {
            let due = Due { at: now + timeout, leg: head.leg, place: head.place, index, birth };
            let legs = &self.legs;
            self.timeouts.push(due, |due| super::redelivery::is_out(legs, due));
        }
        // Only pull mode comes here: its client says how many messages it wants, not how many it settled.
        while self.outstanding > SESSION_UNSETTLED_MAX {
            let Some(oldest) = self.legs[head.leg].tracker.remove_first() else { return };
            self.forget(&oldest);
        }
    }

    /// Notes that the client holds one more message that has no id of its own: all ids of a non-persistent topic are
    /// the same, and a reader's client names none.
    fn take_anonymous_slot(&mut self, now: Instant, head: &Head, index: u32) {
        if self.settings.reader {
            self.outstanding += 1;
            let last = head.size == 0 || head.left.count() == 1 && head.left.get(index);
            if last && self.legs[head.leg].persistent {
                self.legs[head.leg].ack_up_to(head.place);
            }
        } else if !self.settings.pull {
            self.outstanding += 1;
            let at = self.settings.ack_timeout.map_or(Instant::FAR, |timeout| now + timeout);
            self.anonymous.push_back((at, head.leg));
        }
    }

    /// Moves a message to the dead letters; if that cannot be, it is given back in its time.
    fn bury(&mut self, cx: &mut Context<'_>, head: &Head, index: u32, birth: u64, message: &Message<'_>) {
        let Some(dead) = &mut self.dead else { return };
        let origin = Origin {
            topic: &self.legs[head.leg].topic,
            subscription: &self.settings.subscription,
            partition: head.partition,
            letter: Letter { leg: head.leg, place: head.place, index, size: head.size, birth },
        };
        let mut properties = message.properties.clone().collect();
        let (key, event_time) = (message.key, message.event_time);
        if !dead.post(cx.clock, &origin, message.payload, key, event_time, &mut properties) {
            self.give_back_later(cx.clock.now, head.leg, head.place, index, birth);
        }
    }

    /// Whether the client may have one more message now.
    pub(super) fn is_open(&self, cx: &Context<'_>) -> bool {
        // What the client nacked waits for its time and is bounded by delivering nothing more.
        let may = !self.blocked && self.unsubscription == Unsubscription::None;
        may && cx.replies.len() <= OUTBOX_HIGH && self.nacks.len() < SESSION_UNSETTLED_MAX && self.has_slot()
    }

    /// Whether the client's window or its permits leave room.
    pub(super) fn has_slot(&self) -> bool {
        if self.settings.pull {
            self.pull_permits > 0
        } else {
            self.outstanding < self.settings.window as usize
        }
    }
}

/// Writes the text of a message.
fn write(
    cx: &mut Context<'_>,
    head: &Head,
    metadata: &MetadataView<'_>,
    index: u32,
    message: &Message<'_>,
    reader: bool,
) {
    let id = MessageId {
        ledger: head.place.ledger,
        entry: head.place.entry,
        partition: head.partition,
        batch_index: if head.size == 0 { -1 } else { index as i32 },
        batch_size: head.size as i32,
        first_chunk: head.chunks.first().map(|first| (first.ledger, first.entry)),
    };
    // Readers show no context (API 5). Decoding the keys allocates; only encrypted messages have any.
    let shows_context = metadata.encrypted && !reader;
    let keys = if shows_context { metadata.encryption_keys() } else { Vec::new() };
    let encryption = shows_context.then(|| EncryptionContext {
        keys: &keys,
        param: metadata.encryption_param,
        algorithm: metadata.encryption_algo,
        compression: CompressionType::from_wire(metadata.compression).unwrap_or(CompressionType::None),
        uncompressed_size: metadata.uncompressed_size,
        batch_size: metadata.batch_size.and_then(|size| u32::try_from(size).ok()),
    });
    let delivery = Delivery {
        id: &id,
        payload: message.payload,
        properties: message.properties.clone(),
        publish_time: UnixMillis(metadata.publish_time as i64),
        redelivery_count: head.redeliveries,
        event_time: (message.event_time != 0).then_some(UnixMillis(message.event_time as i64)),
        encryption,
        key: message.key,
    };
    cx.replies.text(reply::delivery_size_hint(&delivery), |out| reply::put_delivery(out, &delivery));
}
