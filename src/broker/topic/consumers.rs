//! What consumers ask of a topic: SUBSCRIBE to CLOSE_CONSUMER (protocol 8, 9).

use super::{After, Topic};
use crate::base::id::Position;
use crate::base::time::Clock;
use crate::broker::ack_set::AckSet;
use crate::broker::cursor::Cursor;
use crate::broker::event::{ClientKey, ConnectionId, Output, Refusal, Save, SaveId, success};
use crate::broker::ledgers::position;
use crate::broker::properties::Properties;
use crate::broker::stats::text_map;
use crate::broker::subscription::{Around, Subscription, place_of, position_of};
use crate::store::CursorId;
use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto::{
    CommandAck, CommandGetLastMessageIdResponse, CommandSeek, CommandSubscribe, CommandUnsubscribe,
    InitialPosition, MessageIdData, ServerError, SubscriptionType,
};

impl Topic {
    pub(super) fn subscribe(&mut self, clock: Clock, key: ClientKey, command: CommandSubscribe) {
        let (to, request_id) = (key.connection, command.request_id);
        if self.consumers.contains_key(&key) {
            return self.out.success(to, request_id);
        }
        let rolling = |after: &After| matches!(after, After::Rollback { key: other, .. } if *other == key);
        if self.probing.iter().any(|(_, other, _)| *other == key) || self.after.values().any(rolling) {
            let refusal = Refusal::new(ServerError::ServiceNotReady, "Consumer is already being created");
            return self.out.error(to, request_id, &refusal);
        }
        if let Err(refusal) = self.check_subscribe(&command) {
            return self.out.error(to, request_id, &refusal);
        }
        let holder = self.subscriptions.get(&command.subscription).and_then(|found| found.holder(&command));
        if let Some(holder) = holder.filter(|holder| holder.connection != to) {
            // It may have died unnoticed, and "busy" would be the end for an official client: ask first.
            self.probing.push((holder.connection, key, command));
            return self.out.push(Output::Probe { connection: holder.connection });
        }
        let back = command.start_message_rollback_duration_sec.unwrap_or(0);
        if back > 0 && !self.volatile && !self.subscriptions.contains_key(&command.subscription) {
            let search = self.out.number();
            let time = clock.wall.0.cast_unsigned().saturating_sub(back.saturating_mul(1000));
            self.out.push(Output::FindTime { search, time });
            self.after.insert(search, After::Rollback { key, command: Box::new(command) });
            return;
        }
        self.join(clock, key, &command, None);
    }

    /// The consumer in the way of others is alive, or gone.
    pub(super) fn subscribe_after_probe(&mut self, clock: Clock, probed: ConnectionId, alive: bool) {
        for (connection, key, command) in std::mem::take(&mut self.probing) {
            if connection != probed {
                self.probing.push((connection, key, command));
            } else if alive {
                // Whoever holds it now, `join` finds out.
                self.join(clock, key, &command, None);
            } else {
                self.subscribe(clock, key, command);
            }
        }
    }

    /// Checks that need no consumer.
    fn check_subscribe(&self, command: &CommandSubscribe) -> Result<(), Refusal> {
        let refuse = |code, text: &str| Err(Refusal::new(code, text));
        let name = command.subscription.as_str();
        let durable = command.durable.unwrap_or(true) && !self.volatile;
        let found = self.subscriptions.get(name);
        if found.is_none() && durable && !self.settings.auto_subscription {
            return refuse(ServerError::SubscriptionNotFound, "Subscription does not exist");
        }
        let single = [SubscriptionType::Exclusive as i32, SubscriptionType::Failover as i32]
            .contains(&command.sub_type);
        if command.read_compacted.unwrap_or(false) && !single {
            let text = "readCompacted only allowed on failover or exclusive subscriptions";
            return refuse(ServerError::NotAllowedError, text);
        }
        if self.volatile && command.read_compacted.unwrap_or(false) {
            return refuse(ServerError::NotAllowedError, "readCompacted only valid on persistent topics");
        }
        let order = [0, 1, 2, 3].map(|index| self.settings.subscription_types[index]);
        if usize::try_from(command.sub_type).is_ok_and(|kind| order.get(kind) == Some(&false)) {
            return refuse(ServerError::NotAllowedError, "Subscription type is not enabled on this topic");
        }
        if name.trim().is_empty() {
            return refuse(ServerError::ProducerBusy, "Empty subscription name");
        }
        if name == "pulsar.dedup" || name.starts_with("pulsar.repl.") {
            let text = "Subscription with reserved subscription name attempted";
            return refuse(ServerError::ProducerBusy, text);
        }
        if self.fenced {
            return refuse(ServerError::ServiceNotReady, "Topic is temporarily unavailable");
        }
        match found {
            Some(found) if found.durable != durable => {
                let text = "Subscription exists with other durability";
                refuse(ServerError::NotAllowedError, text)
            }
            None if self.is_full() => refuse(
                ServerError::NotAllowedError,
                "Exceed the maximum number of subscriptions of the topic",
            ),
            _ if self.consumers.len() >= self.settings.topic_consumers_max
                && self.settings.topic_consumers_max > 0 =>
            {
                refuse(ServerError::ConsumerBusy, "Topic reached max consumers limit")
            }
            _ => Ok(()),
        }
    }

    fn is_full(&self) -> bool {
        let max = self.settings.subscriptions_max;
        max > 0 && self.subscriptions.len() >= max
    }

    /// Adds a consumer, making the subscription if it is missing, before `begin` or where the command says. A new durable one is
    /// durable before its consumer is told.
    fn join(&mut self, clock: Clock, key: ClientKey, command: &CommandSubscribe, begin: Option<Position>) {
        let name = &command.subscription;
        let around = Around { topic: &self.name, settings: &self.settings, ledgers: &self.ledgers, clock };
        let mut made = None;
        let subscription = match self.subscriptions.get_mut(name) {
            Some(subscription) => subscription,
            None => {
                let mut cursor = Cursor::new(begin.unwrap_or_else(|| start(command, around)));
                begin_inside(&mut cursor, command, around);
                let durable = command.durable.unwrap_or(true) && !self.volatile;
                let given = text_map(&command.subscription_properties);
                let properties = Properties { given, ..Properties::default() };
                let id = CursorId(self.next_cursor);
                made.insert(Subscription::new(id, cursor, durable, properties))
            }
        };
        if let Err(refusal) = subscription.add(key, command, around, &mut self.out) {
            return self.out.error(key.connection, command.request_id, &refusal);
        }
        self.consumers.insert(key, name.clone());
        let Some(mut made) = made else {
            // Until a subscription is durable, none of its consumers is told that it is there.
            let saving = self.subscriptions.get(name).and_then(|found| found.saving.filter(|_| found.is_new));
            return match saving {
                Some(id) => self.out.hold(id, key.connection, success(command.request_id)),
                None => self.out.success(key.connection, command.request_id),
            };
        };
        if made.durable {
            self.next_cursor += 1;
            made.is_new = true;
            let id = made.save_all(name, &mut self.out);
            self.out.hold(id, key.connection, success(command.request_id));
        } else {
            self.out.success(key.connection, command.request_id);
        }
        self.subscriptions.insert(name.clone(), made);
    }

    /// The subscription that a producer wants to be there: from the first entry on.
    pub(super) fn subscribe_initially(&mut self, name: &str) -> Result<(), Refusal> {
        if self.volatile || self.subscriptions.contains_key(name) {
            return Ok(());
        }
        let not_allowed = |text: &str| Err(Refusal::new(ServerError::NotAllowedError, text));
        if !self.settings.auto_subscription {
            return not_allowed("Could not create the initial subscription: it is not allowed to be created");
        }
        if self.is_full() {
            return not_allowed("Exceed the maximum number of subscriptions of the topic");
        }
        let cursor = Cursor::new(self.ledgers.first());
        let id = CursorId(self.next_cursor);
        self.next_cursor += 1;
        let mut made = Subscription::new(id, cursor, true, Properties::default());
        let _: SaveId = made.save_all(name, &mut self.out);
        self.subscriptions.insert(name.to_owned(), made);
        Ok(())
    }

    pub(super) fn flow(&mut self, clock: Clock, key: ClientKey, permits: u32) {
        if i32::try_from(permits).is_ok_and(|permits| permits > 0) {
            let Some(subscription) = self.subscription_of(key) else { return };
            let now_ms = clock.wall.0.cast_unsigned();
            subscription.counts.last_flow_ms = now_ms;
            if let Some(consumer) = subscription.consumer(key) {
                consumer.flow(permits);
                consumer.counts.last_flow_ms = now_ms;
            }
        } else {
            self.out.close_connection(key.connection, "FLOW without permits");
        }
    }

    pub(super) fn ack(&mut self, clock: Clock, key: ClientKey, command: &CommandAck) {
        let around = Around { topic: &self.name, settings: &self.settings, ledgers: &self.ledgers, clock };
        let Some(name) = self.consumers.get(&key) else { return };
        if let Some(subscription) = self.subscriptions.get_mut(name) {
            if !self.volatile {
                subscription.ack(key, command, around);
            }
            if let Some(request_id) = command.request_id {
                self.owed.push((name.clone(), key, request_id));
            }
        }
    }

    /// CLOSE_CONSUMER. What was acknowledged is durable once it is answered: most clients ask for no other confirmation.
    pub(super) fn close_consumer(&mut self, clock: Clock, key: ClientKey, request_id: u64) {
        let name = self.consumers.get(&key).cloned();
        self.remove_consumer(clock, key);
        let saving = name.and_then(|name| {
            let found = self.subscriptions.get_mut(&name).filter(|found| found.durable && !found.fenced)?;
            found.save(&name, &mut self.out).or(found.saving)
        });
        match saving {
            Some(id) => self.out.hold(id, key.connection, success(request_id)),
            None => self.out.success(key.connection, request_id),
        }
    }

    /// A consumer that requests name is not there.
    fn unknown_consumer(&mut self, key: ClientKey, request_id: u64) {
        let refusal = Refusal::new(ServerError::MetadataError, "Consumer not found");
        self.out.error(key.connection, request_id, &refusal);
    }

    pub(super) fn seek(&mut self, key: ClientKey, command: &CommandSeek) {
        let request_id = command.request_id;
        let Some(name) = self.consumers.get(&key).cloned() else {
            return self.unknown_consumer(key, request_id);
        };
        if command.message_id.is_none() && command.message_publish_time.is_none() {
            let text = "Message id and message publish time were not present in the seek command";
            let refusal = Refusal::new(ServerError::MetadataError, text);
            return self.out.error(key.connection, request_id, &refusal);
        }
        if self.volatile {
            return self.out.success(key.connection, request_id);
        }
        let Some(subscription) = self.subscriptions.get_mut(&name) else { return };
        // No other seek can be under way: the first one closed all consumers, and none joins while it lasts.
        subscription.fenced = true;
        for closed in subscription.close_all(&mut self.out) {
            self.consumers.remove(&closed);
        }
        match (&command.message_id, command.message_publish_time) {
            (Some(id), _) => {
                let place = place_of(id, &self.ledgers);
                self.reset(name, place, Some(id), (key, request_id));
            }
            (None, time) => {
                let search = self.out.number();
                self.out.push(Output::FindTime { search, time: time.unwrap_or(0) });
                self.after.insert(search, After::Found { subscription: name, from: key, request_id });
            }
        }
    }

    /// The first entry published at or after a time that was asked for; `None`: all are older.
    pub fn on_found(&mut self, clock: Clock, search: SaveId, found: Option<Position>) {
        let place = self.ledgers.settle(found.unwrap_or(self.ledgers.end()));
        match self.after.remove(&search) {
            Some(After::Found { subscription, from, request_id }) => {
                self.reset(subscription, place, None, (from, request_id));
            }
            Some(After::Rollback { key, command }) => self.join(clock, key, &command, Some(place)),
            _ => {}
        }
    }

    /// A time could not be looked for: entries could not be read.
    pub fn on_not_found(&mut self, search: SaveId) {
        let text = "Error when resetting subscription: entries could not be read";
        let refusal = Refusal::new(ServerError::UnknownError, text);
        match self.after.remove(&search) {
            Some(After::Found { subscription, from, request_id }) => {
                if let Some(subscription) = self.subscriptions.get_mut(&subscription) {
                    subscription.fenced = false;
                }
                self.out.error(from.connection, request_id, &refusal);
            }
            Some(After::Rollback { key, command }) => {
                self.out.error(key.connection, command.request_id, &refusal);
            }
            _ => {}
        }
    }

    /// Puts a cursor before an entry, and answers once that is durable.
    fn reset(
        &mut self,
        name: String,
        place: Position,
        id: Option<&MessageIdData>,
        (from, request_id): (ClientKey, u64),
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&name) else { return };
        subscription.cursor.reset(place);
        if let Some(id) = id.filter(|id| !id.ack_set.is_empty() && position_of(id) == place)
            && let Some(left) = AckSet::read(&id.ack_set, None).filter(|left| !left.is_empty())
        {
            subscription.cursor.ack_part(place, &left, &self.ledgers);
        }
        if subscription.durable {
            let id = subscription.save_all(&name, &mut self.out);
            self.out.hold(id, from.connection, success(request_id));
            self.after.insert(id, After::Reset(name));
        } else {
            subscription.fenced = false;
            self.out.success(from.connection, request_id);
        }
    }

    pub(super) fn unsubscribe(&mut self, clock: Clock, key: ClientKey, command: &CommandUnsubscribe) {
        let request_id = command.request_id;
        let Some(name) = self.consumers.get(&key).cloned() else {
            return self.unknown_consumer(key, request_id);
        };
        let Some(subscription) = self.subscriptions.get_mut(&name) else { return };
        if !subscription.may_unsubscribe(key) && !command.force.unwrap_or(false) {
            let text = "Unconnected or shared consumer attempting to unsubscribe";
            let refusal = Refusal::new(ServerError::MetadataError, text);
            return self.out.error(key.connection, request_id, &refusal);
        }
        let (durable, cursor) = (subscription.durable, subscription.id);
        subscription.fenced = true;
        self.remove_consumer(clock, key);
        if let Some(subscription) = self.subscriptions.get_mut(&name) {
            for closed in subscription.close_all(&mut self.out) {
                self.consumers.remove(&closed);
            }
        }
        if durable {
            let id = self.out.save(Save::CursorDeleted { id: cursor });
            self.out.hold(id, key.connection, success(request_id));
            self.after.insert(id, After::Deleted(name));
        } else {
            self.subscriptions.remove(&name);
            self.out.success(key.connection, request_id);
        }
    }

    pub(super) fn last_message_id(&mut self, key: ClientKey, request_id: u64) {
        let partition = self.settings.partition;
        let Some(floor) = self.subscription_of(key).map(|found| found.cursor.floor()) else {
            return self.unknown_consumer(key, request_id);
        };
        let id_of = |at: Position, batch_index| MessageIdData {
            ledger_id: at.ledger.0,
            entry_id: at.entry.0,
            partition: Some(partition),
            batch_index: Some(batch_index),
            ..MessageIdData::default()
        };
        if self.volatile {
            let text = "GetLastMessageId is not for topics that store nothing";
            let refusal = Refusal::new(ServerError::NotAllowedError, text);
            return self.out.error(key.connection, request_id, &refusal);
        }
        let before_all = position(u64::MAX, u64::MAX);
        let last = self.ledgers.last();
        let batch_index = last.and(self.last_batch).map_or(-1, |size| size - 1);
        let consumed = self.ledgers.before(floor).unwrap_or(before_all);
        let response = CommandGetLastMessageIdResponse {
            last_message_id: id_of(last.unwrap_or(before_all), batch_index),
            request_id,
            consumer_mark_delete_position: Some(id_of(consumed, -1)),
        };
        self.out.send(key.connection, Command::GetLastMessageIdResponse(response));
    }

    /// A consumer goes; a reader's subscription with it.
    pub(super) fn remove_consumer(&mut self, clock: Clock, key: ClientKey) {
        self.probing.retain(|(_, other, _)| *other != key);
        let Some(name) = self.consumers.remove(&key) else { return };
        let around = Around { topic: &self.name, settings: &self.settings, ledgers: &self.ledgers, clock };
        let Some(subscription) = self.subscriptions.get_mut(&name) else { return };
        subscription.remove(key, around);
        if !subscription.durable && subscription.consumers().is_empty() && !subscription.fenced {
            self.subscriptions.remove(&name);
        }
        if self.consumers.is_empty() {
            self.entries.clear_backlog();
        }
    }
}

/// A reader that begins inside of a batch is sent what is left of it from there on.
fn begin_inside(cursor: &mut Cursor, command: &CommandSubscribe, around: Around<'_>) {
    if let Some(id) = command.start_message_id.as_ref().filter(|id| !id.ack_set.is_empty())
        && let Some(left) = AckSet::read(&id.ack_set, None).filter(|left| !left.is_empty())
        && cursor.floor() == position_of(id)
    {
        cursor.ack_part(cursor.floor(), &left, around.ledgers);
    }
}

/// Where a new subscription begins.
fn start(command: &CommandSubscribe, around: Around<'_>) -> Position {
    if command.durable.unwrap_or(true) {
        let earliest = command.initial_position == Some(InitialPosition::Earliest as i32);
        return if earliest { around.ledgers.first() } else { around.ledgers.end() };
    }
    // The named message is sent too; its reader skips it, or what is before it in the batch.
    command.start_message_id.as_ref().map_or(around.ledgers.end(), |id| place_of(id, around.ledgers))
}
