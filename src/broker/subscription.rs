//! One subscription: its cursor, its consumers, and how entries get from one to the others (protocol 8).

mod numbers;

use bytes::Bytes;

use crate::base::id::{EntryId, LedgerId, Position};
use crate::base::time::{Clock, Instant};
use crate::broker::ack_set::AckSet;
use crate::broker::cursor::{Acked, Change, Cursor};
use crate::broker::dispatch::key_shared::{Keys, Split};
use crate::broker::dispatch::shared::Shared;
use crate::broker::dispatch::single::Single;
use crate::broker::dispatch::{Consumer, Counts, Feed};
use crate::broker::event::{ClientKey, Outbox, Refusal, Save, SaveId};
use crate::broker::ledgers::{Ledgers, behind};
use crate::broker::meter::Meter;
use crate::broker::properties::Properties;
use crate::broker::settings::Settings;
use crate::store::{Acks, CursorId};
use crate::wire::pulsar::Command;
use crate::wire::pulsar::MessageId;
use crate::wire::pulsar::proto::{
    AckType, CommandAck, CommandCloseConsumer, CommandReachedEndOfTopic, CommandSubscribe, KeySharedMode,
    MessageIdData, ServerError, SubscriptionType,
};

/// How entries get to consumers; made anew when the first consumer comes.
#[derive(Debug)]
enum Dispatcher {
    Single(Single),
    Shared(Box<Shared>),
}

/// A subscription of a topic.
#[derive(Debug)]
pub(super) struct Subscription {
    /// Its number in the topic's log; of those that are durable.
    pub(super) id: CursorId,
    pub(super) cursor: Cursor,
    /// Properties, and what else is kept with the cursor.
    pub(super) properties: Properties,
    /// It was never durable.
    pub(super) is_new: bool,
    /// The last save that is not durable yet.
    pub(super) saving: Option<SaveId>,
    pub(super) counts: Counts,
    /// Messages taken away because they were too old.
    pub(super) expired: Meter,
    /// Messages that nobody could take; of topics that store nothing.
    pub(super) dropped: Meter,
    /// Times of the wall clock, milliseconds: when messages last expired, the floor last moved, and it was last in use.
    pub(super) last_expire_ms: u64,
    pub(super) last_advanced_ms: u64,
    pub(super) last_active_ms: u64,
    /// Its cursor outlives its consumers, and the process.
    pub(super) durable: bool,
    /// Being reset or deleted: nobody may join, nothing is sent.
    pub(super) fenced: bool,
    /// Without consumers since then, as far as ticks saw.
    pub(super) idle_since: Option<Instant>,
    kind: SubscriptionType,
    dispatcher: Option<Dispatcher>,
    /// Consumers that were told that the topic has ended.
    told_of_end: Vec<ClientKey>,
}

/// What of a topic its subscriptions are told with each event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'a> {
    pub(super) topic: &'a str,
    pub(super) settings: &'a Settings,
    pub(super) ledgers: &'a Ledgers,
    pub(super) clock: Clock,
}

/// Key under which a subscription's last use is kept, milliseconds since the epoch. Absent while it has consumers.
const LAST_ACTIVE: &str = "last-active";

/// Calls the same method on either dispatcher.
macro_rules! either {
    ($dispatcher:expr, $name:ident => $call:expr) => {
        match $dispatcher {
            Dispatcher::Single($name) => $call,
            Dispatcher::Shared($name) => $call,
        }
    };
}

impl Subscription {
    pub(super) fn new(id: CursorId, cursor: Cursor, durable: bool, properties: Properties) -> Subscription {
        Subscription {
            id,
            cursor,
            is_new: false,
            saving: None,
            counts: Counts::default(),
            expired: Meter::default(),
            dropped: Meter::default(),
            last_expire_ms: 0,
            last_advanced_ms: 0,
            last_active_ms: properties.number(LAST_ACTIVE).unwrap_or(0),
            properties,
            durable,
            fenced: false,
            idle_since: None,
            kind: SubscriptionType::Exclusive,
            dispatcher: None,
            told_of_end: Vec::new(),
        }
    }

    /// Connected consumers.
    pub(super) fn consumers(&self) -> &[Consumer] {
        self.dispatcher.as_ref().map_or(&[], |dispatcher| either!(dispatcher, inner => inner.consumers()))
    }

    pub(super) fn consumer(&mut self, key: ClientKey) -> Option<&mut Consumer> {
        self.dispatcher.as_mut().and_then(|dispatcher| either!(dispatcher, inner => inner.consumer(key)))
    }

    /// The connection of the consumer that keeps an Exclusive newcomer out: it may be dead.
    pub(super) fn holder(&self, command: &CommandSubscribe) -> Option<ClientKey> {
        let exclusive = command.sub_type == SubscriptionType::Exclusive as i32;
        let taken = exclusive && self.kind == SubscriptionType::Exclusive;
        self.consumers().first().filter(|_| taken).map(|consumer| consumer.key)
    }

    /// A consumer joins, if its type fits those that are there.
    pub(super) fn add(
        &mut self,
        key: ClientKey,
        command: &CommandSubscribe,
        around: Around<'_>,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        let busy = |text: &str| Refusal::new(ServerError::ConsumerBusy, text);
        if self.fenced {
            return Err(Refusal::new(ServerError::ServiceNotReady, "Subscription is fenced"));
        }
        let Some(kind) = SubscriptionType::from_wire(command.sub_type) else {
            let text = format!("Unknown subscription type {}", command.sub_type);
            return Err(Refusal::new(ServerError::NotAllowedError, text));
        };
        let max = around.settings.consumers_max;
        if max > 0 && self.consumers().len() >= max {
            return Err(busy("Subscription reached max consumers limit"));
        }
        let mut consumer = consumer(key, command)?;
        let now_ms = around.clock.wall.0.cast_unsigned();
        (consumer.counts.since_ms, self.last_active_ms) = (now_ms, now_ms);
        let wanted = keys(kind, command, around.settings);
        if self.consumers().is_empty() {
            if self.properties.own.contains_key(LAST_ACTIVE) {
                self.cursor.on_save_failed();
            }
            self.kind = kind;
            let read = self.cursor.floor();
            self.dispatcher = Some(match kind {
                SubscriptionType::Exclusive => Dispatcher::Single(Single::new(false, read)),
                SubscriptionType::Failover => Dispatcher::Single(Single::new(true, read)),
                SubscriptionType::Shared | SubscriptionType::KeyShared => {
                    Dispatcher::Shared(Box::new(Shared::new(wanted, read)))
                }
            });
        } else if self.kind != kind {
            return Err(busy("Subscription is of different type"));
        } else if let (Some(Dispatcher::Shared(shared)), Some(wanted)) = (&self.dispatcher, wanted)
            && shared.keys.as_ref().is_some_and(|keys| {
                (keys.split == Split::Sticky) != (wanted.split == Split::Sticky)
                    || keys.out_of_order != wanted.out_of_order
            })
        {
            return Err(busy("Subscription is of different type: keys are split in another way"));
        }
        match &mut self.dispatcher {
            Some(Dispatcher::Single(single)) => {
                single.add(consumer, (around.topic, around.settings, around.clock.now), out)
            }
            Some(Dispatcher::Shared(shared)) => shared.add(consumer, &self.cursor),
            None => unreachable!("made above"),
        }
    }

    /// A consumer leaves. Whether it was here.
    pub(super) fn remove(&mut self, key: ClientKey, around: Around<'_>) -> bool {
        if self.consumer(key).is_none() {
            return false;
        }
        self.told_of_end.retain(|told| *told != key);
        self.last_active_ms = around.clock.wall.0.cast_unsigned();
        match &mut self.dispatcher {
            Some(Dispatcher::Single(single)) => {
                single.remove(key, &self.cursor, (around.topic, around.settings, around.clock.now));
            }
            Some(Dispatcher::Shared(shared)) => shared.remove(key, &self.cursor),
            None => {}
        }
        if self.consumers().is_empty() {
            self.cursor.on_save_failed();
        }
        true
    }

    /// Whether this consumer may delete the subscription: it is alone, and active where that is a choice.
    pub(super) fn may_unsubscribe(&self, key: ClientKey) -> bool {
        let active = match &self.dispatcher {
            Some(Dispatcher::Single(single)) => single.active() == Some(key),
            _ => true,
        };
        active && self.consumers().len() == 1
    }

    /// The broker closes all consumers: they come again by themselves.
    pub(super) fn close_all(&mut self, out: &mut Outbox) -> Vec<ClientKey> {
        let keys: Vec<_> = self.consumers().iter().map(|consumer| consumer.key).collect();
        for key in &keys {
            out.send(key.connection, close_consumer(key.id));
        }
        self.dispatcher = None;
        self.told_of_end.clear();
        self.cursor.on_save_failed();
        keys
    }

    /// ACK. Ids that name nothing do nothing.
    pub(super) fn ack(&mut self, key: ClientKey, command: &CommandAck, around: Around<'_>) {
        let before = self.cursor.floor();
        let now_ms = around.clock.wall.0.cast_unsigned();
        (self.counts.last_acked_ms, self.last_active_ms) = (now_ms, now_ms);
        let acked = self.acknowledge(command, around);
        self.counts.acked.messages += acked;
        if self.cursor.floor() != before {
            self.last_advanced_ms = now_ms;
        }
        if let Some(consumer) = self.consumer(key) {
            consumer.counts.acked.messages += acked;
            consumer.counts.last_acked_ms = now_ms;
        }
    }

    /// Returns how many ids had an effect.
    fn acknowledge(&mut self, command: &CommandAck, around: Around<'_>) -> u64 {
        let shared = matches!(self.dispatcher, Some(Dispatcher::Shared(_)));
        if command.ack_type == AckType::Cumulative as i32 {
            if let ([id], false) = (command.message_id.as_slice(), shared) {
                self.ack_cumulative(id, around);
            }
            return 1;
        }
        let mut acked = 0;
        for id in &command.message_id {
            let at = position_of(id);
            if self.ack_one(id, at, around) == Acked::Nothing {
                continue;
            }
            acked += 1;
            if let Some(Dispatcher::Shared(shared)) = &mut self.dispatcher {
                shared.acked(at, &self.cursor);
            }
        }
        acked
    }

    fn ack_one(&mut self, id: &MessageIdData, at: Position, around: Around<'_>) -> Acked {
        if id.ack_set.is_empty() {
            return self.cursor.ack(at, around.ledgers);
        }
        let size = id.batch_size.and_then(|size| u32::try_from(size).ok()).filter(|size| *size > 0);
        match AckSet::read(&id.ack_set, size) {
            // Without the option a partial ack is answered and forgotten.
            Some(left) if around.settings.batch_index_acks || left.is_empty() => {
                self.cursor.ack_part(at, &left, around.ledgers)
            }
            _ => Acked::Nothing,
        }
    }

    fn ack_cumulative(&mut self, id: &MessageIdData, around: Around<'_>) {
        let at = position_of(id);
        // The entry before the first of a ledger (protocol 8.4).
        if id.entry_id == u64::MAX {
            let first = Position { ledger: at.ledger, entry: EntryId(0) };
            if around.ledgers.contains(first) {
                self.cursor.ack_below(first, around.ledgers);
            }
        } else if around.ledgers.contains(at) {
            let part = !id.ack_set.is_empty();
            self.cursor.ack_below(if part { at } else { behind(at) }, around.ledgers);
            if part {
                self.ack_one(id, at, around);
            }
        }
    }

    /// The cursor moved by itself: what was sent below it is not owed any more.
    pub(super) fn caught_up(&mut self, ledgers: &Ledgers) {
        if let Some(Dispatcher::Shared(shared)) = &mut self.dispatcher {
            shared.forget_acked(&self.cursor, ledgers);
        }
    }

    /// REDELIVER of a consumer: these entries, or all.
    pub(super) fn redeliver(&mut self, key: ClientKey, ids: &[MessageIdData], epoch: Option<u64>) {
        match &mut self.dispatcher {
            Some(Dispatcher::Single(single)) => single.redeliver(key, epoch, &self.cursor),
            Some(Dispatcher::Shared(shared)) => {
                let positions: Vec<_> = ids.iter().map(position_of).collect();
                shared.redeliver(key, (!ids.is_empty()).then_some(&positions));
            }
            None => {}
        }
    }

    /// Sends what there is, and tells consumers that nothing more will come.
    pub(super) fn dispatch(&mut self, terminated: bool, feed: &mut Feed<'_>) {
        self.dispatch_or_tell(terminated, feed);
        self.count(feed);
    }

    /// Counts what was sent.
    fn count(&mut self, feed: &mut Feed<'_>) {
        let tally = std::mem::take(&mut feed.tally);
        if tally.entries > 0 {
            self.counts.sent(tally, feed.clock.wall.0.cast_unsigned());
            feed.all.add(tally);
        }
    }

    /// An entry of a topic that stores nothing: it is sent now or never.
    pub(super) fn offer(&mut self, entry: &Bytes, messages: u32, feed: &mut Feed<'_>) {
        let sent = match &mut self.dispatcher {
            Some(Dispatcher::Single(single)) => single.offer(entry, &self.cursor, feed),
            Some(Dispatcher::Shared(shared)) => shared.offer(entry, &self.cursor, feed),
            None => false,
        };
        if !sent {
            self.dropped.add(messages, entry.len());
        }
        self.count(feed);
    }

    /// The first entry that a consumer here may still ask for from memory; `None`: nobody reads.
    pub(super) fn reading(&self) -> Option<Position> {
        self.dispatcher
            .as_ref()
            .filter(|_| !self.consumers().is_empty())
            .map(|dispatcher| either!(dispatcher, inner => inner.read()))
    }

    /// Saves what changed. `None`: there is nothing to be saved.
    pub(super) fn save(&mut self, name: &str, out: &mut Outbox) -> Option<SaveId> {
        let save = match self.cursor.take_change()? {
            Change::Set(acks) => self.set(name, acks),
            Change::Update(acks) => Save::CursorUpdate { id: self.id, acks },
        };
        let id = out.save(save);
        self.saving = Some(id);
        Some(id)
    }

    /// Saves all of it: it is new, or its properties changed.
    pub(super) fn save_all(&mut self, name: &str, out: &mut Outbox) -> SaveId {
        let acks = self.cursor.take_all();
        let id = out.save(self.set(name, acks));
        self.saving = Some(id);
        id
    }

    fn set(&mut self, name: &str, acks: Acks) -> Save {
        if self.consumers().is_empty() {
            self.properties.set(LAST_ACTIVE, self.last_active_ms);
        } else {
            self.properties.own.remove(LAST_ACTIVE);
        }
        let properties = self.properties.encode();
        Save::CursorSet { id: self.id, subscription: name.to_owned(), acks, properties }
    }

    fn dispatch_or_tell(&mut self, terminated: bool, feed: &mut Feed<'_>) {
        if self.fenced {
            return;
        }
        match &mut self.dispatcher {
            Some(Dispatcher::Single(single)) => single.dispatch(&mut self.cursor, feed),
            Some(Dispatcher::Shared(shared)) => shared.dispatch(&mut self.cursor, feed),
            None => return,
        }
        if terminated && self.cursor.backlog(feed.ledgers) == 0 {
            let keys = self.consumers().iter().filter(|consumer| consumer.permits != 0);
            let untold: Vec<_> =
                keys.map(|consumer| consumer.key).filter(|key| !self.told_of_end.contains(key)).collect();
            for key in untold {
                let end = CommandReachedEndOfTopic { consumer_id: key.id };
                feed.out.send(key.connection, Command::ReachedEndOfTopic(end));
                self.told_of_end.push(key);
            }
        }
    }

    /// When it has something to do without being told.
    pub(super) fn next_time(&self, clock: Clock) -> Option<Instant> {
        match self.dispatcher.as_ref()? {
            Dispatcher::Single(single) => single.next_time(),
            Dispatcher::Shared(shared) => shared.next_time(clock),
        }
    }

    /// Entries that wait for their time.
    pub(super) fn delayed(&self) -> usize {
        match &self.dispatcher {
            Some(Dispatcher::Shared(shared)) => shared.delayed(),
            _ => 0,
        }
    }
}

/// A consumer as its SUBSCRIBE describes it.
fn consumer(key: ClientKey, command: &CommandSubscribe) -> Result<Consumer, Refusal> {
    let ranges = command.key_shared_meta.iter().flat_map(|meta| &meta.hash_ranges).map(|range| {
        let slot = |number| u16::try_from(number).ok();
        slot(range.start).zip(slot(range.end)).ok_or_else(|| {
            let text = format!("Hash range outside of 0 to 65535: [{},{}]", range.start, range.end);
            Refusal::new(ServerError::ConsumerAssignError, text)
        })
    });
    Ok(Consumer {
        key,
        name: command.consumer_name.clone().unwrap_or_default(),
        priority: command.priority_level.unwrap_or(0),
        permits: 0,
        withheld: 0,
        unacked: 0,
        blocked: false,
        writable: true,
        epoch: command.consumer_epoch,
        ranges: ranges.collect::<Result<_, _>>()?,
        counts: Counts { metadata: command.metadata.clone(), ..Counts::default() },
    })
}

/// How a consumer wants keys to be split.
fn keys(kind: SubscriptionType, command: &CommandSubscribe, settings: &Settings) -> Option<Keys> {
    if kind != SubscriptionType::KeyShared {
        return None;
    }
    let meta = command.key_shared_meta.as_ref();
    let split = match meta.map(|meta| meta.key_shared_mode) {
        Some(mode) if mode == KeySharedMode::Sticky as i32 => Split::Sticky,
        _ if settings.consistent_hashing => Split::Ring,
        _ => Split::Halves,
    };
    Some(Keys::new(split, meta.and_then(|meta| meta.allow_out_of_order_delivery).unwrap_or(false)))
}

/// The entry an id names.
pub(super) fn position_of(id: &MessageIdData) -> Position {
    Position { ledger: LedgerId(id.ledger_id), entry: EntryId(id.entry_id) }
}

/// The first entry from an id on; ids outside the log name its first entry or its end (protocol 8.8, 9).
pub(super) fn place_of(id: &MessageIdData, ledgers: &Ledgers) -> Position {
    let pair = (id.ledger_id, id.entry_id);
    if pair == MessageId::EARLIEST {
        return ledgers.first();
    }
    if pair == MessageId::LATEST {
        return ledgers.end();
    }
    // The entry before the first of a ledger.
    let entry = if id.entry_id == u64::MAX { 0 } else { id.entry_id };
    ledgers.settle(Position { ledger: LedgerId(id.ledger_id), entry: EntryId(entry) })
}

/// CLOSE_CONSUMER from us: answers no request.
fn close_consumer(consumer_id: u64) -> Command {
    Command::CloseConsumer(CommandCloseConsumer {
        consumer_id,
        request_id: u64::MAX,
        assigned_broker_service_url: None,
        assigned_broker_service_url_tls: None,
    })
}
