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
    /// Named in the session's list of legs whose acks wait.
    pub(super) waiting: bool,
    /// Acks that wait go with the next poll.
    acks_hurry: bool,
    acks: Vec<Place>,
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
            waiting: false,
            acks_hurry: false,
            acks: Vec::new(),
            partial_acks: Vec::new(),
            refused: VecDeque::new(),
            acked_up_to: None,
            redeliver: Vec::new(),
            redeliver_all: false,
        }
    }

    /// The broker made the leg's consumer. Acks kept until now go before its first permits, or their entries come again.
    pub(super) fn attach(&mut self, message_size_max: usize) {
        self.attached = true;
        self.message_size_max = message_size_max;
        self.hurry_acks();
    }

    /// Acknowledges an entry. While detached a bounded number is kept: what is lost then comes again.
    pub(super) fn ack(&mut self, place: Place) {
        if self.attached || (self.durable && self.acks.len() < DETACHED_ACKS_MAX) {
            self.acks.push(place);
        }
    }

    /// Acknowledges the messages of a batch that are not in `left`; an earlier one just before it is included.
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
        self.waiting = false;
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

    /// Acks that wait for more of them.
    pub(super) fn acks_wait(&self) -> bool {
        let any = !(self.acks.is_empty() && self.partial_acks.is_empty()) || self.acked_up_to.is_some();
        self.attached && any
    }

    #[cfg(test)]
    pub(super) fn acks_room(&self) -> usize {
        self.acks.capacity()
    }

    /// Acks that wait are to wait no longer.
    pub(super) fn hurry_acks(&mut self) {
        self.acks_hurry = self.acks_wait();
    }

    /// Acks are sent before their time: as many wait as one command holds, or nothing acknowledged is to come again.
    fn acks_go(&self) -> bool {
        let full = self.acks.len() >= ACK_IDS_MAX || self.partial_acks.len() >= ACK_IDS_MAX;
        full || self.acks_hurry || self.redeliver_all || !self.redeliver.is_empty()
    }

    /// True when [`Leg::poll`] would give something.
    pub(super) fn has_output(&self, ceiling: u32, acks_go: bool) -> bool {
        let acks = (acks_go || self.acks_go()) && self.acks_wait() || !self.refused.is_empty();
        let again = self.redeliver_all || !self.redeliver.is_empty();
        self.attached && (acks || again || self.permits.top_up(ceiling) > 0)
    }

    /// The next command for the broker. Acks go before requests to send again, so that nothing acknowledged returns;
    /// permits go last, so that what is sent again comes before anything new. They never wait for acks: a client that
    /// settles slowly is served as fast as one that does not.
    pub(super) fn poll(
        &mut self,
        ceiling: u32,
        acks_go: bool,
        ids: &mut Vec<MessageIdData>,
    ) -> Option<Command> {
        if !self.attached {
            return None;
        }
        if let Some(refusal) = self.poll_refusal() {
            return Some(Command::Ack(refusal));
        }
        if acks_go || self.acks_go() {
            if let Some(ack) = self.poll_ack(ids) {
                return Some(Command::Ack(ack));
            }
            self.acks_hurry = false;
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

    fn poll_refusal(&mut self) -> Option<CommandAck> {
        let (place, error) = self.refused.pop_front()?;
        let validation_error = Some(error as i32);
        Some(CommandAck { validation_error, ..self.ack_command(AckType::Individual, vec![place.id()]) })
    }

    /// Parts go before wholes: a part of what is done already would be news to the broker.
    fn poll_ack(&mut self, ids: &mut Vec<MessageIdData>) -> Option<CommandAck> {
        if !self.partial_acks.is_empty() {
            let part = |(place, left): (Place, Bits)| MessageIdData { ack_set: left.words(), ..place.id() };
            let some = ..self.partial_acks.len().min(ACK_IDS_MAX);
            let message_id = self.partial_acks.drain(some).map(part).collect();
            return Some(self.ack_command(AckType::Individual, message_id));
        }
        if self.acks.is_empty() {
            let place = self.acked_up_to.take()?;
            return Some(self.ack_command(AckType::Cumulative, vec![place.id()]));
        }
        let some = self.acks.len().min(ACK_IDS_MAX);
        ids.extend(self.acks.drain(..some).map(Place::id));
        // A burst must not cost its session memory for ever.
        if self.acks.capacity() > ACK_IDS_SPARE_MAX.max(some * 4) {
            self.acks.shrink_to(ACK_IDS_SPARE_MAX.max(some * 2));
        }
        Some(self.ack_command(AckType::Individual, std::mem::take(ids)))
    }

    fn ack_command(&self, kind: AckType, message_id: Vec<MessageIdData>) -> CommandAck {
        let (consumer_id, ack_type) = (self.consumer_id, kind as i32);
        CommandAck { consumer_id, ack_type, message_id, ..CommandAck::default() }
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
