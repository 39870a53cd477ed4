//! One partition of a producer session: its queue of entries, its open batch, and the answers it owes.

use crate::base::limit::BATCH_BYTES_MAX;
use crate::base::pool::BufferPool;
use crate::base::time::{Clock, Instant};
use crate::metrics::NamespaceCounters;
use crate::session::producer::owed::{self, Owed, Slips};
use crate::session::producer::request::{List, Message, decoded_size};
use crate::session::replies::Replies;
use crate::session::send_queue::{Pending, SendQueue};
use crate::wire::pulsar::MessageId;
use crate::wire::pulsar::batch::{self, Messages};
use crate::wire::pulsar::compression::compress;
use crate::wire::pulsar::entry::{self, EntryMetadata};
use crate::wire::pulsar::frame::{self, Checksum};
use crate::wire::pulsar::proto::CompressionType;
use crate::wire::route::{Batching, ProducerSpec};
use crate::wire::text::base64::{self, Base64Error};
use crate::wire::text::reply::{self, SendErrorCode};
use std::convert::Infallible;
use std::time::Duration;

/// Bytes of an entry that brokers do not count against their message size: magic, checksum, metadata size
/// (protocol 1.4).
const ENTRY_HEAD: usize = 10;
/// Bytes of an ack without its context, roughly: the hint for the frame header.
const ACK_HINT: usize = 96;

/// Why a message fails with `send-error:8`. `Display` is the `errorMsg`: the official client's exception
/// class first, which log scrapers look for (API 3.3).
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub(super) enum SendFailure<'a> {
    #[error(
        "org.apache.pulsar.client.api.PulsarClientException$ProducerQueueIsFullError: \
         Producer send queue is full"
    )]
    QueueFull,
    #[error(
        "org.apache.pulsar.client.api.PulsarClientException$InvalidMessageException: \
         The producer {producer} of the topic {topic} sends a message with {got} bytes \
         that exceeds {max} bytes"
    )]
    TooLarge { producer: &'a str, topic: &'a str, got: usize, max: usize },
    #[error(
        "org.apache.pulsar.client.api.PulsarClientException$TimeoutException: \
         The producer {producer} can not send message to the topic {topic} within given timeout : \
         the oldest message waits {:.3} seconds, {}",
        .age.as_secs_f64(),
        if *.attached { "the broker did not confirm it" } else { "no broker is connected" }
    )]
    Timeout { producer: &'a str, topic: &'a str, age: Duration, attached: bool },
    #[error(
        "org.apache.pulsar.client.api.PulsarClientException$TopicTerminatedException: \
         The topic {topic} is terminated, the producer {producer} cannot send to it any more"
    )]
    Terminated { producer: &'a str, topic: &'a str },
    #[error("org.apache.pulsar.client.api.PulsarClientException$NotAllowedException: {0}")]
    NotAllowed(&'a str),
    #[error("org.apache.pulsar.client.api.PulsarClientException$ChecksumException: {0}")]
    Checksum(&'a str),
}

/// What a leg borrows of its session and its core for the length of one call.
pub(super) struct Turn<'a, 'r> {
    pub(super) clock: Clock,
    pub(super) replies: &'a mut Replies<'r>,
    pub(super) pool: &'a mut BufferPool,
    pub(super) counters: &'a mut NamespaceCounters,
    pub(super) spec: &'a ProducerSpec,
}

impl Turn<'_, '_> {
    /// Answers one message with `send-error:8`.
    pub(super) fn fail(&mut self, text: &str, context: Option<&[u8]>) {
        self.counters.failures += 1;
        let hint = ACK_HINT + text.len() + context.map_or(0, <[u8]>::len);
        self.replies.text(hint, |out| reply::put_send_error(out, SendErrorCode::Unknown, text, context));
    }

    /// Answers one message with its id.
    fn confirm(&mut self, id: &MessageId, queued_at: Instant, context: Option<&[u8]>) {
        let latency = u64::try_from(self.clock.now.since(queued_at).as_micros()).unwrap_or(u64::MAX);
        self.counters.record_latency(latency);
        self.counters.published.0 += 1;
        let hint = ACK_HINT + context.map_or(0, <[u8]>::len);
        self.replies.text(hint, |out| reply::put_ack(out, id, context));
    }
}

/// Messages that wait for others to share an entry with.
struct OpenBatch {
    /// The batch payload so far.
    payload: Vec<u8>,
    slips: Vec<u8>,
    messages: u32,
    payload_bytes: u64,
    /// Of the first message.
    queued_at: Instant,
    /// Of the first message, milliseconds since the epoch.
    publish_time: u64,
    ends_at: Instant,
}

/// One partition, or a topic without partitions.
pub(super) struct Leg {
    pub(super) queue: SendQueue<Owed>,
    batch: Option<OpenBatch>,
    /// Bytes of slips in the queue.
    slip_bytes: usize,
    /// Every message fails with this text.
    refused: Option<String>,
    /// In the ids of acks; -1 for a topic without partitions.
    partition: i32,
    /// A broker made its producer once.
    created: bool,
}

impl Leg {
    pub(super) fn new(queue: SendQueue<Owed>, partition: i32) -> Self {
        Leg { queue, batch: None, slip_bytes: 0, refused: None, partition, created: false }
    }

    pub(super) fn is_partition(&self) -> bool {
        self.partition >= 0
    }

    /// True once a broker made its producer.
    pub(super) fn was_created(&self) -> bool {
        self.created
    }

    /// Bytes and messages not yet confirmed, open batch included.
    pub(super) fn held(&self) -> (usize, usize) {
        let batch = self.batch.as_ref();
        let bytes = batch.map_or(0, |batch| batch.payload.len() + batch.slips.len());
        let messages = batch.map_or(0, |batch| batch.messages as usize);
        (self.queue.bytes() + self.slip_bytes + bytes, self.queue.messages() + messages)
    }

    /// When the oldest message was queued.
    fn oldest(&self) -> Option<Instant> {
        self.queue.oldest().or_else(|| self.batch.as_ref().map(|batch| batch.queued_at))
    }

    /// When this leg's first timer is due.
    pub(super) fn next_timer(&self, send_timeout: Option<Duration>) -> Instant {
        let timeout = send_timeout.zip(self.oldest()).map_or(Instant::FAR, |(time, oldest)| oldest + time);
        self.batch.as_ref().map_or(timeout, |batch| batch.ends_at.min(timeout))
    }

    /// Gives up what waited too long, and ends a batch whose delay is over. A message that waited too long
    /// takes all behind it along: they must not overtake it (protocol 7.5).
    pub(super) fn on_timer(&mut self, turn: &mut Turn<'_, '_>) {
        let now = turn.clock.now;
        let age = self.oldest().map(|oldest| now.since(oldest));
        if let Some((age, timeout)) = age.zip(turn.spec.send_timeout)
            && age >= timeout
        {
            let (producer, topic) = (self.queue.name().unwrap_or_default(), self.queue.topic().as_str());
            let attached = self.queue.is_attached();
            let text = SendFailure::Timeout { producer, topic, age, attached }.to_string();
            self.fail_all(turn, &text);
        }
        if self.batch.as_ref().is_some_and(|batch| batch.ends_at <= now) {
            self.end_batch(turn);
        }
    }

    /// All pending messages fail with this text, and all later ones, until [`Leg::on_accepted`].
    pub(super) fn refuse(&mut self, turn: &mut Turn<'_, '_>, text: String) {
        self.fail_all(turn, &text);
        self.queue.on_detached();
        self.refused = Some(text);
    }

    /// The topic is terminated: nothing is stored there any more.
    pub(super) fn on_terminated(&mut self, turn: &mut Turn<'_, '_>) {
        let (producer, topic) = (self.queue.name().unwrap_or_default(), self.queue.topic().as_str());
        let text = SendFailure::Terminated { producer, topic }.to_string();
        self.refuse(turn, text);
    }

    /// A broker takes messages again.
    pub(super) fn on_accepted(&mut self) {
        self.refused = None;
        self.created = true;
    }

    /// What would fail every message, whatever is in it.
    pub(super) fn obstacle(&self, pending_messages_max: Option<u32>) -> Option<String> {
        if let Some(text) = &self.refused {
            return Some(text.clone());
        }
        let full = pending_messages_max.is_some_and(|max| self.held().1 >= max as usize);
        full.then(|| SendFailure::QueueFull.to_string())
    }

    /// Queues a message, in the open batch or in an entry of its own. `Err`: its payload is not base64,
    /// nothing changed but that the batch before it may have ended.
    pub(super) fn send(&mut self, turn: &mut Turn<'_, '_>, message: &Message<'_>) -> Result<(), Base64Error> {
        // Outer metadata of a batch belongs to all its messages: whoever needs some of his own travels alone.
        let own_metadata =
            message.deliver_at.is_some() || message.cipher.is_some() || !message.replicate_to.is_empty();
        let Some(batching) = turn.spec.batching.filter(|_| !own_metadata) else {
            self.end_batch(turn);
            return self.send_alone(turn, message);
        };
        // An eighth is for outer metadata, and for data that compression makes larger.
        let message_size_max = self.queue.message_size_max();
        let bytes_max = BATCH_BYTES_MAX.min(message_size_max - message_size_max / 8);
        let size = message.size_bound();
        if self.batch.as_ref().is_some_and(|batch| batch.payload.len() + size > bytes_max) {
            self.end_batch(turn);
        }
        if size > bytes_max {
            return self.send_alone(turn, message);
        }
        self.add_to_batch(turn, message, batching)
    }

    /// Encodes one message into an entry of its own.
    fn send_alone(&mut self, turn: &mut Turn<'_, '_>, message: &Message<'_>) -> Result<(), Base64Error> {
        let Turn { clock, pool, spec, .. } = turn;
        let text = message.payload;
        let mut metadata = EntryMetadata {
            producer_name: self.producer_name(),
            sequence_id: self.queue.next_sequence_id(),
            publish_time: clock.wall.0.cast_unsigned(),
            properties: message.properties.as_slice(),
            partition_key: message.key,
            partition_key_b64_encoded: message.key.map(|_| false),
            replicate_to: &message.replicate_to,
            uncompressed_size: size_u32(decoded_size(message.payload)),
            event_time: message.event_time,
            deliver_at: message.deliver_at,
            ..EntryMetadata::default()
        };
        let mut codec = Some(spec.compression).filter(|codec| *codec != CompressionType::None);
        if let Some(cipher) = &message.cipher {
            codec = None;
            metadata.encryption_keys = &spec.encryption_keys;
            metadata.encryption_param = Some(&cipher.param);
            if let Some((codec, size)) = cipher.compression {
                (metadata.compression, metadata.uncompressed_size) = (Some(codec), size);
            }
        }
        let mut entry = pool.take_for(decoded_size(message.payload));
        let result = match codec {
            None => {
                entry.reserve(message.size_bound() + ACK_HINT);
                entry::put(&mut entry, &metadata, |out| base64::decode(text, out))
            }
            Some(codec) => {
                metadata.compression = Some(codec);
                let mut plain = pool.take();
                let result = base64::decode(text, &mut plain);
                let result = result.map(|()| put_body(&mut entry, &metadata, &plain));
                pool.give(plain);
                result
            }
        };
        let body = decoded_size(message.payload) as u64;
        if result.is_err() {
            turn.pool.give(entry);
            return result;
        }
        let queued_at = turn.clock.now;
        let owed = Owed::one(turn.pool, queued_at, message.context, body);
        self.push(turn, entry, 1, queued_at, owed);
        Ok(())
    }

    /// Adds one message to the open batch, or opens one with it; ends the batch if that filled it.
    fn add_to_batch(
        &mut self,
        turn: &mut Turn<'_, '_>,
        message: &Message<'_>,
        batching: Batching,
    ) -> Result<(), Base64Error> {
        let now = turn.clock.now;
        let mut batch = self.batch.take().unwrap_or_else(|| OpenBatch {
            payload: turn.pool.take(),
            slips: turn.pool.take(),
            messages: 0,
            payload_bytes: 0,
            queued_at: now,
            publish_time: turn.clock.wall.0.cast_unsigned(),
            ends_at: now + batching.delay,
        });
        let single = batch::Single {
            properties: message.properties.as_slice(),
            partition_key: message.key,
            event_time: message.event_time,
            sequence_id: self.queue.next_sequence_id().wrapping_add(u64::from(batch.messages)),
        };
        let text = message.payload;
        let result = batch::put(&mut batch.payload, &single, |out| base64::decode(text, out));
        if result.is_ok() {
            owed::put(&mut batch.slips, now, message.context);
            batch.messages += 1;
            batch.payload_bytes += decoded_size(message.payload) as u64;
        }
        if batch.messages == 0 {
            turn.pool.give(batch.payload);
            turn.pool.give(batch.slips);
            return result;
        }
        let full = u32::try_from(batching.messages_max).is_ok_and(|max| max > 0 && batch.messages >= max);
        self.batch = Some(batch);
        if full {
            self.end_batch(turn);
        }
        result
    }

    /// Makes an entry of the open batch. A batch of one becomes a plain message (API 3.4).
    pub(super) fn end_batch(&mut self, turn: &mut Turn<'_, '_>) {
        let Some(batch) = self.batch.take() else { return };
        let first = Messages::new(&batch.payload, 1).next().and_then(Result::ok);
        let (first, first_body) = first.expect("a batch of our own making has a first message");
        let is_batch = batch.messages > 1;
        let sequence_id = self.queue.next_sequence_id();
        let mut properties = List::new();
        let body = if is_batch { &batch.payload } else { first_body };
        let mut metadata = EntryMetadata {
            producer_name: self.producer_name(),
            sequence_id,
            publish_time: batch.publish_time,
            partition_key: first.partition_key,
            partition_key_b64_encoded: first.partition_key.map(|_| false),
            uncompressed_size: size_u32(body.len()),
            compression: Some(turn.spec.compression).filter(|codec| *codec != CompressionType::None),
            ..EntryMetadata::default()
        };
        if is_batch {
            metadata.batch_size = Some(batch.messages);
            metadata.highest_sequence_id = Some(sequence_id.wrapping_add(u64::from(batch.messages - 1)));
        } else {
            first.properties().for_each(|property| properties.push(property));
            metadata.properties = properties.as_slice();
            metadata.event_time = Some(first.event_time).filter(|time| *time != 0);
        }
        let mut entry = turn.pool.take();
        put_body(&mut entry, &metadata, body);
        turn.pool.give(batch.payload);
        let owed = Owed::row(batch.slips, batch.payload_bytes);
        self.push(turn, entry, batch.messages, batch.queued_at, owed);
    }

    /// Queues an entry, or fails its messages if it is too large for the broker: then its sequence ids are
    /// free again.
    fn push(
        &mut self,
        turn: &mut Turn<'_, '_>,
        entry: Vec<u8>,
        messages: u32,
        queued_at: Instant,
        owed: Owed,
    ) {
        let (got, max) = (entry.len().saturating_sub(ENTRY_HEAD), self.queue.message_size_max());
        if got > max {
            let (producer, topic) = (self.queue.name().unwrap_or_default(), self.queue.topic().as_str());
            let text = SendFailure::TooLarge { producer, topic, got, max }.to_string();
            fail_slips(turn, owed.slips(queued_at), &text);
            turn.pool.give(entry);
            owed.give_back(turn.pool);
            return;
        }
        self.slip_bytes += owed.bytes();
        self.queue.push(entry, messages, messages > 1, queued_at, owed);
    }

    /// An entry is stored: one ack per message, in order.
    pub(super) fn confirm(&mut self, turn: &mut Turn<'_, '_>, pending: Pending<Owed>, place: (u64, u64)) {
        self.slip_bytes -= pending.tag.bytes();
        turn.counters.published.1 += pending.tag.payload_bytes;
        let mut id = MessageId { partition: self.partition, ..MessageId::plain(place.0, place.1) };
        for (index, (queued_at, context)) in (0..).zip(pending.tag.slips(pending.queued_at)) {
            // The size stays 0: so the original's acks have it (API 6).
            id.batch_index = if pending.highest_sequence_id.is_some() { index } else { -1 };
            turn.confirm(&id, queued_at, context);
        }
        give_back(turn.pool, pending);
    }

    /// An entry will not be stored: its messages fail.
    fn fail(&mut self, turn: &mut Turn<'_, '_>, pending: Pending<Owed>, text: &str) {
        self.slip_bytes -= pending.tag.bytes();
        fail_slips(turn, pending.tag.slips(pending.queued_at), text);
        give_back(turn.pool, pending);
    }

    /// The broker does not allow this one entry.
    pub(super) fn on_not_allowed(&mut self, turn: &mut Turn<'_, '_>, sequence_id: u64, why: &str) {
        if let Some(pending) = self.queue.take(sequence_id) {
            self.fail(turn, pending, &SendFailure::NotAllowed(why).to_string());
        }
    }

    /// The broker got this entry with a wrong checksum. True: our copy is good, it is to be sent again.
    pub(super) fn on_bad_checksum(&mut self, turn: &mut Turn<'_, '_>, sequence_id: u64, why: &str) -> bool {
        let Some(pending) = self.queue.find(sequence_id) else { return false };
        if frame::payload(&pending.entry).is_ok_and(|payload| payload.checksum == Checksum::Good) {
            return true;
        }
        if let Some(pending) = self.queue.take(sequence_id) {
            self.fail(turn, pending, &SendFailure::Checksum(why).to_string());
        }
        false
    }

    /// Everything pending fails, oldest first, the open batch last.
    fn fail_all(&mut self, turn: &mut Turn<'_, '_>, text: &str) {
        for pending in self.queue.take_all() {
            self.fail(turn, pending, text);
        }
        if let Some(batch) = self.batch.take() {
            fail_slips(turn, Slips::new(&batch.slips), text);
            turn.pool.give(batch.payload);
            turn.pool.give(batch.slips);
        }
    }

    /// Known from the broker's first answer on, and a session opens only then.
    fn producer_name(&self) -> &str {
        let name = self.queue.name();
        debug_assert!(name.is_some(), "a session takes messages once its producers exist");
        name.unwrap_or_default()
    }
}

/// Fails the messages of an entry or a batch.
fn fail_slips(turn: &mut Turn<'_, '_>, slips: Slips<'_>, text: &str) {
    for (_, context) in slips {
        turn.fail(text, context);
    }
}

fn give_back(pool: &mut BufferPool, pending: Pending<Owed>) {
    if let Some(buffer) = pending.entry.into_buffer() {
        pool.give(buffer);
    }
    pending.tag.give_back(pool);
}

/// Appends an entry with a body that is at hand, compressed if the metadata says so.
fn put_body(entry: &mut Vec<u8>, metadata: &EntryMetadata<'_>, body: &[u8]) {
    let result: Result<(), Infallible> = entry::put(entry, metadata, |out| {
        match metadata.compression {
            Some(codec) => compress(codec, body, out),
            None => out.extend_from_slice(body),
        }
        Ok(())
    });
    let Ok(()) = result;
}

/// A size for the metadata. Bodies come in texts, which are far smaller than 4 GiB.
fn size_u32(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
