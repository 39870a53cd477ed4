//! What consumers ask of a topic: SUBSCRIBE to CLOSE_CONSUMER (protocol 8, 9).

use super::{After, Topic};
use crate::base::id::Position;
use crate::base::time::Clock;
use crate::broker::ack_set::AckSet;
use crate::broker::cursor::Cursor;
use crate::broker::event::{ClientKey, ConnectionId, Output, Refusal, Save, SaveId, success};
use crate::broker::ledgers::position;
use crate::broker::subscription::{Around, Subscription, place_of, position_of};
use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto::{
    CommandAck, CommandAckResponse, CommandGetLastMessageIdResponse, CommandSeek, CommandSubscribe,
    CommandUnsubscribe, InitialPosition, MessageIdData, ServerError, SubscriptionType,
};

impl Topic {
    pub(super) fn subscribe(&mut self, clock: Clock, key: ClientKey, command: CommandSubscribe) {
        let (to, request_id) = (key.connection, command.request_id);
        if self.consumers.contains_key(&key) {
            return self.out.success(to, request_id);
        }
        if self.probing.iter().any(|(_, other, _)| *other == key) {
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
        self.join(clock, key, &command);
    }

    /// The consumer in the way of others is alive, or gone.
    pub(super) fn subscribe_after_probe(&mut self, clock: Clock, probed: ConnectionId, alive: bool) {
        for (connection, key, command) in std::mem::take(&mut self.probing) {
            if connection != probed {
                self.probing.push((connection, key, command));
            } else if alive {
                // Whoever holds it now, `join` finds out.
                self.join(clock, key, &command);
            } else {
                self.subscribe(clock, key, command);
            }
        }
    }

    /// Checks that need no consumer.
    fn check_subscribe(&self, command: &CommandSubscribe) -> Result<(), Refusal> {
        let refuse = |code, text: &str| Err(Refusal::new(code, text));
        let name = command.subscription.as_str();
        let durable = command.durable.unwrap_or(true);
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
            _ => Ok(()),
        }
    }

    fn is_full(&self) -> bool {
        let max = self.settings.subscriptions_max;
        max > 0 && self.subscriptions.len() >= max
    }

    /// Adds a consumer, making the subscription if it is missing. A new durable one is durable before its consumer is told.
    fn join(&mut self, clock: Clock, key: ClientKey, command: &CommandSubscribe) {
        let name = &command.subscription;
        let around = Around { topic: &self.name, settings: &self.settings, ledgers: &self.ledgers, clock };
        let mut made = None;
        let subscription = match self.subscriptions.get_mut(name) {
            Some(subscription) => subscription,
            None => {
                let cursor = Cursor::new(start(command, around));
                made.insert(Subscription::new(cursor, command.durable.unwrap_or(true)))
            }
        };
        if let Err(refusal) = subscription.add(key, command, around, &mut self.out) {
            return self.out.error(key.connection, command.request_id, &refusal);
        }
        self.consumers.insert(key, name.clone());
        let Some(made) = made else { return self.out.success(key.connection, command.request_id) };
        if made.durable {
            let save = Save::Cursor { subscription: name.clone(), state: made.cursor.save() };
            let id = self.out.save(save);
            self.out.hold(id, key.connection, success(command.request_id));
        } else {
            self.out.success(key.connection, command.request_id);
        }
        self.subscriptions.insert(name.clone(), made);
    }

    pub(super) fn flow(&mut self, key: ClientKey, permits: u32) {
        if i32::try_from(permits).is_ok_and(|permits| permits > 0) {
            if let Some(consumer) = self.subscription_of(key).and_then(|found| found.consumer(key)) {
                consumer.flow(permits);
            }
        } else {
            self.out.close_connection(key.connection, "FLOW without permits");
        }
    }

    pub(super) fn ack(&mut self, clock: Clock, key: ClientKey, command: &CommandAck) {
        let around = Around { topic: &self.name, settings: &self.settings, ledgers: &self.ledgers, clock };
        let Some(name) = self.consumers.get(&key) else { return };
        if let Some(subscription) = self.subscriptions.get_mut(name) {
            subscription.ack(command, around);
        }
        if let Some(request_id) = command.request_id {
            let response = CommandAckResponse {
                consumer_id: key.id,
                request_id: Some(request_id),
                ..CommandAckResponse::default()
            };
            self.out.send(key.connection, Command::AckResponse(response));
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
    pub fn on_found(&mut self, search: SaveId, found: Option<Position>) {
        if let Some(After::Found { subscription, from, request_id }) = self.after.remove(&search) {
            let place = self.ledgers.settle(found.unwrap_or(self.ledgers.end()));
            self.reset(subscription, place, None, (from, request_id));
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
            subscription.cursor.take_dirty();
            let state = subscription.cursor.save();
            let id = self.out.save(Save::Cursor { subscription: name.clone(), state });
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
        let durable = subscription.durable;
        subscription.fenced = true;
        self.remove_consumer(clock, key);
        if let Some(subscription) = self.subscriptions.get_mut(&name) {
            for closed in subscription.close_all(&mut self.out) {
                self.consumers.remove(&closed);
            }
        }
        if durable {
            let id = self.out.save(Save::CursorDeleted { subscription: name.clone() });
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

/// Where a new subscription begins.
fn start(command: &CommandSubscribe, around: Around<'_>) -> Position {
    if command.durable.unwrap_or(true) {
        let earliest = command.initial_position == Some(InitialPosition::Earliest as i32);
        return if earliest { around.ledgers.first() } else { around.ledgers.end() };
    }
    // The named message is sent too; its reader skips it, or what is before it in the batch.
    command.start_message_id.as_ref().map_or(around.ledgers.end(), |id| place_of(id, around.ledgers))
}
