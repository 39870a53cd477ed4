//! One leg: a topic or partition with its consumer at a broker, what is known of it, and what it owes its broker.

use super::bits::Bits;
use super::permits::Permits;
use super::start::Start;
use super::tracker::{Place, Tracker};
use crate::base::limit::{ACK_IDS_MAX, ACK_IDS_SPARE_MAX, DETACHED_ACKS_MAX, MESSAGE_SIZE_DEFAULT};
use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto::{
    AckType, CommandAck, CommandFlow, CommandRedeliverUnacknowledgedMessages, MessageIdData, ValidationError,
};
use crate::wire::route::TopicName;
use std::collections::VecDeque;

/// State of one leg.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) topic: TopicName,
    /// Of the topic's name; -1: not a partition.
    pub(super) partition: i32,
    /// Messages of a non-persistent topic all have the same id: they are counted, not tracked.
    pub(super) persistent: bool,
    pub(super) attached: bool,
    pub(super) consumer_id: u64,
    /// Largest message of the broker, bytes.
    pub(super) message_size_max: usize,
    /// Counts requests to send everything again; what an earlier one sent is stale (protocol 8.7).
    pub(super) epoch: u64,
    pub(super) permits: Permits,
    pub(super) start: Start,
    pub(super) tracker: Tracker,
    /// The topic is terminated and the broker has nothing left for us.
    pub(super) ended: bool,
    /// Named in the session's list of legs to poll.
    pub(super) listed: bool,
    /// Ledger of the newest delivery.
    pub(super) ledger: Option<u64>,
    /// Whether the subscription survives its consumers: acks for another kind are useless once detached.
    durable: bool,
    acks: Vec<Place>,
    /// An empty list for the ids of the next ACK.
    spare: Vec<MessageIdData>,
    partial_acks: Vec<(Place, Bits)>,
    refused: VecDeque<(Place, ValidationError)>,
    acked_up_to: Option<Place>,
    redeliver: Vec<Place>,
    redeliver_all: bool,
}

impl Leg {
    pub(super) fn new(topic: TopicName, start: Start, durable: bool) -> Leg {
        Leg {
            partition: topic.partition(),
            persistent: topic.is_persistent(),
            topic,
            attached: false,
            consumer_id: 0,
            message_size_max: MESSAGE_SIZE_DEFAULT,
            epoch: 0,
            permits: Permits::default(),
            start,
            tracker: Tracker::default(),
            ended: false,
            listed: false,
            ledger: None,
            durable,
            acks: Vec::new(),
            spare: Vec::new(),
            partial_acks: Vec::new(),
            refused: VecDeque::new(),
            acked_up_to: None,
            redeliver: Vec::new(),
            redeliver_all: false,
        }
    }

    /// Acknowledges an entry. While detached a bounded number is kept: what is lost then comes again.
    pub(super) fn ack(&mut self, place: Place) {
        if self.attached || (self.durable && self.acks.len() < DETACHED_ACKS_MAX) {
            self.acks.push(place);
        }
    }

    /// Acknowledges the messages of a batch that are not in `left`; an earlier one of the same turn is included in it.
    pub(super) fn ack_part(&mut self, place: Place, left: &Bits) {
        let room = self.durable && self.partial_acks.len() < ACK_IDS_MAX;
        if !(self.attached || room) {
            return;
        }
        match self.partial_acks.last_mut() {
            Some((last, bits)) if *last == place => bits.clone_from(left),
            _ => self.partial_acks.push((place, left.clone())),
        }
    }

    /// Acknowledges everything up to an entry.
    pub(super) fn ack_up_to(&mut self, place: Place) {
        self.acked_up_to = Some(place);
    }

    /// Acknowledges an entry that cannot be shown.
    pub(super) fn refuse(&mut self, place: Place, error: ValidationError) {
        if self.attached {
            self.refused.push_back((place, error));
        }
    }

    /// Asks for an entry again.
    pub(super) fn redeliver(&mut self, place: Place) {
        if self.attached {
            self.redeliver.push(place);
        }
    }

    /// Asks for everything again that is not acknowledged (Exclusive, Failover).
    pub(super) fn redeliver_all(&mut self) {
        if self.attached {
            self.redeliver_all = true;
            self.epoch += 1;
        }
    }

    /// The consumer at the broker is gone.
    pub(super) fn detach(&mut self) {
        self.attached = false;
        self.ended = false;
        self.permits.reset();
        self.redeliver.clear();
        self.redeliver_all = false;
        self.refused.clear();
        self.acked_up_to = None;
        if self.durable {
            self.acks.truncate(DETACHED_ACKS_MAX);
            self.partial_acks.truncate(ACK_IDS_MAX);
        } else {
            self.acks.clear();
            self.partial_acks.clear();
        }
    }

    /// True when [`Leg::poll`] would give something.
    pub(super) fn has_output(&self, ceiling: u32) -> bool {
        let acks = !(self.acks.is_empty() && self.partial_acks.is_empty() && self.refused.is_empty());
        let again = self.redeliver_all || !self.redeliver.is_empty();
        let owes = acks || self.acked_up_to.is_some() || again;
        self.attached && (owes || self.permits.top_up(ceiling) > 0)
    }

    /// The next command for the broker. Acks go before requests to send again, so that nothing acknowledged returns;
    /// permits go last, so that both are settled before anything new comes.
    pub(super) fn poll(&mut self, ceiling: u32) -> Option<Command> {
        if !self.attached {
            return None;
        }
        if let Some(ack) = self.poll_ack() {
            return Some(Command::Ack(ack));
        }
        let consumer_id = self.consumer_id;
        if std::mem::take(&mut self.redeliver_all) {
            self.redeliver.clear();
            let consumer_epoch = Some(self.epoch);
            let all =
                CommandRedeliverUnacknowledgedMessages { consumer_id, message_ids: vec![], consumer_epoch };
            return Some(Command::Redeliver(all));
        }
        if !self.redeliver.is_empty() {
            let some = ..self.redeliver.len().min(ACK_IDS_MAX);
            let message_ids = self.redeliver.drain(some).map(Place::id).collect();
            let ids =
                CommandRedeliverUnacknowledgedMessages { consumer_id, message_ids, consumer_epoch: None };
            return Some(Command::Redeliver(ids));
        }
        let message_permits = self.permits.top_up(ceiling);
        self.permits.grant(message_permits);
        (message_permits > 0).then_some(Command::Flow(CommandFlow { consumer_id, message_permits }))
    }

    /// The list of an ACK that was sent. A long one is not kept: a burst must not cost its session memory.
    pub(super) fn take_back(&mut self, mut ids: Vec<MessageIdData>) {
        if ids.capacity() <= ACK_IDS_SPARE_MAX {
            ids.clear();
            self.spare = ids;
        }
    }

    fn poll_ack(&mut self) -> Option<CommandAck> {
        let (mut kind, mut validation_error) = (AckType::Individual, None);
        let message_id: Vec<MessageIdData> = if !self.acks.is_empty() {
            let mut ids = std::mem::take(&mut self.spare);
            ids.extend(self.acks.drain(..self.acks.len().min(ACK_IDS_MAX)).map(Place::id));
            ids
        } else if !self.partial_acks.is_empty() {
            let part = |(place, left): (Place, Bits)| MessageIdData { ack_set: left.words(), ..place.id() };
            self.partial_acks.drain(..self.partial_acks.len().min(ACK_IDS_MAX)).map(part).collect()
        } else if let Some((place, error)) = self.refused.pop_front() {
            validation_error = Some(error as i32);
            vec![place.id()]
        } else {
            kind = AckType::Cumulative;
            let place = self.acked_up_to.take()?;
            vec![place.id()]
        };
        let ack_type = kind as i32;
        Some(CommandAck {
            consumer_id: self.consumer_id,
            ack_type,
            message_id,
            validation_error,
            ..CommandAck::default()
        })
    }
}

/// Which leg delivered from which ledger. Ledger numbers are unique in a cluster, and an id names its ledger but not its
/// topic. Bounded: the lowest, and so oldest, are forgotten.
#[derive(Debug, Default)]
pub(super) struct Owners {
    sorted: Vec<(u64, usize)>,
}

impl Owners {
    /// Remembers a ledger's leg.
    pub(super) fn insert(&mut self, ledger: u64, leg: usize) {
        match self.sorted.binary_search_by_key(&ledger, |(ledger, _)| *ledger) {
            Ok(at) => self.sorted[at].1 = leg,
            Err(at) => {
                self.sorted.insert(at, (ledger, leg));
                if self.sorted.len() > crate::base::limit::SESSION_LEDGERS_MAX {
                    self.sorted.remove(0);
                }
            }
        }
    }

    /// The leg that delivered from a ledger.
    pub(super) fn get(&self, ledger: u64) -> Option<usize> {
        let at = self.sorted.binary_search_by_key(&ledger, |(ledger, _)| *ledger).ok()?;
        Some(self.sorted[at].1)
    }
}
