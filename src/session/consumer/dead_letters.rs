//! Dead letters (protocol 10): messages of Shared and Key_Shared subscriptions that were given back too often move to
//! another topic, and are acknowledged once they are stored there.

use super::tracker::Place;
use crate::base::limit::DEAD_LETTER_BYTES_MAX;
use crate::base::prng::Prng;
use crate::base::time::Clock;
use crate::session::send_queue::SendQueue;
use crate::wire::pulsar::entry::{self, EntryMetadata};
use crate::wire::pulsar::metadata::Properties;
use crate::wire::pulsar::proto::SubscriptionType;
use crate::wire::route::{ConsumerSpec, TopicName, Topics};
use std::convert::Infallible;

/// What a dead letter under way stands for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Letter {
    pub(super) leg: usize,
    pub(super) place: Place,
    pub(super) index: u32,
    /// Messages in the original's batch; 0: it was none.
    pub(super) size: u32,
    pub(super) birth: u64,
}

/// A message's parts, borrowed from where it was read.
#[derive(Clone, Debug)]
pub(super) struct Message<'a> {
    pub(super) payload: &'a [u8],
    pub(super) key: Option<&'a str>,
    pub(super) properties: Properties<'a>,
    /// 0: none.
    pub(super) event_time: u64,
}

/// A message's parts, kept until it is acknowledged or becomes a dead letter.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) payload: Vec<u8>,
    pub(super) key: Option<String>,
    pub(super) properties: Vec<(String, String)>,
    pub(super) event_time: u64,
}

impl Content {
    /// Copies a message.
    pub(super) fn of(message: &Message<'_>) -> Content {
        Content {
            payload: message.payload.to_vec(),
            key: message.key.map(str::to_owned),
            properties: message.properties.clone().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            event_time: message.event_time,
        }
    }

    /// Memory it takes, bytes.
    pub(super) fn size(&self) -> usize {
        let texts = self.properties.iter().map(|(key, value)| key.len() + value.len());
        self.payload.len()
            + self.key.as_ref().map_or(0, String::len)
            + texts.sum::<usize>()
            + size_of::<Self>()
    }
}

/// Where a dead letter comes from.
#[derive(Debug)]
pub(super) struct Origin<'a> {
    pub(super) topic: &'a TopicName,
    pub(super) subscription: &'a str,
    pub(super) partition: i32,
    pub(super) letter: Letter,
}

/// The dead letters of one session.
pub(super) struct DeadLetters {
    redeliveries_max: u32,
    topic: TopicName,
    producer_name: String,
    queue: Option<SendQueue<Letter>>,
    /// The owner is to attach the queue.
    open: bool,
    /// Bytes of candidates' contents.
    kept: usize,
}

impl DeadLetters {
    /// What a session's URL asks for; `None`: nothing, or nothing that this kind of subscription can have.
    pub(super) fn new(spec: &ConsumerSpec, consumer_name: &str, prng: &mut Prng) -> Option<DeadLetters> {
        let policy = spec.dead_letter.as_ref()?;
        if !matches!(spec.kind, SubscriptionType::Shared | SubscriptionType::KeyShared) {
            return None;
        }
        let remembered = match &spec.topics {
            Topics::One(topic) => topic.as_str(),
            Topics::Many(topics) => topics.first()?.as_str(),
            Topics::Pattern { text, .. } => text,
        };
        let default = || TopicName::parse(&format!("{remembered}-{}-DLQ", spec.subscription)).ok();
        let topic = policy.topic.clone().or_else(default)?;
        // Unlike the sessions of one subscription, their dead-letter producers must differ in name.
        let producer_name = format!("{remembered}-{}-{consumer_name}-{}-DLQ", spec.subscription, prng.hex(5));
        let redeliveries_max = policy.redeliveries_max;
        Some(DeadLetters { redeliveries_max, topic, producer_name, queue: None, open: false, kept: 0 })
    }

    /// Given back once more, the message becomes a dead letter.
    pub(super) fn is_candidate(&self, redeliveries: u32) -> bool {
        redeliveries >= self.redeliveries_max
    }

    /// The client must not see the message any more.
    pub(super) fn is_overdue(&self, redeliveries: u32) -> bool {
        redeliveries > self.redeliveries_max
    }

    /// A candidate's content, unless too many are kept: that one then comes once more and is overdue.
    pub(super) fn keep(&mut self, message: &Message<'_>) -> Option<Content> {
        if self.kept + message.payload.len() > DEAD_LETTER_BYTES_MAX {
            return None;
        }
        let content = Content::of(message);
        self.kept += content.size();
        Some(content)
    }

    /// A content that [`DeadLetters::keep`] gave is dropped.
    pub(super) fn dropped(&mut self, content: &Content) {
        self.kept -= content.size();
    }

    /// Puts a letter into the queue. `false`: there is no room, or the letter is larger than its topic takes.
    pub(super) fn post(
        &mut self,
        clock: Clock,
        origin: &Origin<'_>,
        payload: &[u8],
        key: Option<&str>,
        event_time: u64,
        properties: &mut Vec<(&str, &str)>,
    ) -> bool {
        let topic = &self.topic;
        let (name, open) = (&self.producer_name, &mut self.open);
        let queue = self.queue.get_or_insert_with(|| {
            *open = true;
            SendQueue::new(topic.clone(), Some(name.clone()), -1)
        });
        if queue.bytes() + payload.len() > DEAD_LETTER_BYTES_MAX && !queue.is_empty() {
            return false;
        }
        let letter = origin.letter;
        let Place { ledger, entry } = letter.place;
        let mut id = format!("{ledger}:{entry}:{}", origin.partition);
        if letter.size > 0 {
            id = format!("{id}:{}", letter.index);
        }
        let origins = [
            ("REAL_TOPIC", origin.topic.as_str()),
            ("REAL_SUBSCRIPTION", origin.subscription),
            ("ORIGIN_MESSAGE_ID", &id),
            // The original server writes it, misspelt.
            ("ORIGIN_MESSAGE_IDY_TIME", &id),
        ];
        let mut properties: Vec<(&str, &str)> = std::mem::take(properties);
        for (name, value) in origins {
            if properties.iter().all(|(known, _)| *known != name) {
                properties.push((name, value));
            }
        }
        let metadata = EntryMetadata {
            producer_name: name,
            sequence_id: queue.next_sequence_id(),
            publish_time: clock.wall.0 as u64,
            properties: &properties,
            partition_key: key,
            uncompressed_size: payload.len() as u32,
            event_time: (event_time != 0).then_some(event_time),
            ..EntryMetadata::default()
        };
        if entry::metadata_size(&metadata) + payload.len() > queue.message_size_max() {
            return false;
        }
        let mut bytes = Vec::new();
        let Ok(()) = entry::put(&mut bytes, &metadata, |out| {
            out.extend_from_slice(payload);
            Ok::<(), Infallible>(())
        });
        queue.push(bytes, 1, false, clock.now, letter);
        true
    }

    /// True once for each queue: its owner is to attach it.
    pub(super) fn poll_open(&mut self) -> bool {
        std::mem::take(&mut self.open)
    }

    /// True when [`DeadLetters::poll_open`] would be.
    pub(super) fn wants_open(&self) -> bool {
        self.open
    }

    /// The queue, once a letter was posted.
    pub(super) fn queue(&mut self) -> Option<&mut SendQueue<Letter>> {
        self.queue.as_mut()
    }

    /// Gives up the queue; the next letter opens another.
    pub(super) fn give_up(&mut self) -> Vec<Letter> {
        self.open = false;
        let pending = self.queue.take().map(|mut queue| queue.take_all()).unwrap_or_default();
        pending.into_iter().map(|pending| pending.tag).collect()
    }

    /// Bytes held for candidates.
    pub(super) fn kept(&self) -> usize {
        self.kept
    }
}
