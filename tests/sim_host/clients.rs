//! What clients of the host's topics do.

use pulsegate::base::id::Position;
use pulsegate::broker::admin::AdminAsk;
use pulsegate::broker::event::ClientKey;
use pulsegate::broker::host::Asked;
use pulsegate::wire::pulsar::Command;
use pulsegate::wire::pulsar::proto::{
    AckType, CommandAck, CommandFlow, CommandProducer, CommandSeek, CommandSend, CommandSubscribe,
    InitialPosition, SubscriptionType,
};

use crate::model::{PRODUCER, entry_of};
use crate::world::{World, id_of};

impl World {
    pub(crate) fn produce(&mut self, index: usize) {
        match self.topics[index].producer {
            None => {
                let key = ClientKey { connection: self.connection(), id: index as u64 };
                self.requests += 1;
                let command = CommandProducer {
                    topic: self.topics[index].name.clone(),
                    producer_id: key.id,
                    request_id: self.requests,
                    producer_name: Some(PRODUCER.to_owned()),
                    ..CommandProducer::default()
                };
                self.topics[index].producer = Some((key, false));
                self.command(key.connection, Command::Producer(command));
            }
            Some((_, false)) => {}
            Some((key, true)) => {
                let topic = &mut self.topics[index];
                let sequence = match topic.unanswered.get(topic.under_way) {
                    Some(again) => *again,
                    None => {
                        topic.unanswered.push_back(topic.next_sequence);
                        topic.next_sequence += 1;
                        topic.next_sequence - 1
                    }
                };
                topic.under_way += 1;
                let size = [3, 200, 5000][self.prng.below(3) as usize];
                let command = CommandSend {
                    producer_id: key.id,
                    sequence_id: sequence,
                    num_messages: Some(1),
                    ..CommandSend::default()
                };
                let entry = entry_of(PRODUCER, sequence, size);
                self.ask(key.connection, Asked::Command { command: Command::Send(command), entry });
            }
        }
    }

    pub(crate) fn consume(&mut self, index: usize) {
        match self.topics[index].consumer {
            None => {
                let key = ClientKey { connection: self.connection(), id: index as u64 };
                self.topics[index].consumer = Some((key, false));
                self.requests += 1;
                let command = CommandSubscribe {
                    topic: self.topics[index].name.clone(),
                    subscription: "s".to_owned(),
                    sub_type: self.topics[index].kind as i32,
                    consumer_id: key.id,
                    request_id: self.requests,
                    initial_position: Some(InitialPosition::Earliest as i32),
                    ..CommandSubscribe::default()
                };
                self.command(key.connection, Command::Subscribe(command));
            }
            Some((key, true)) => {
                let message_permits = 1 + self.prng.below(8) as u32;
                let flow = CommandFlow { consumer_id: key.id, message_permits };
                self.command(key.connection, Command::Flow(flow));
            }
            Some((_, false)) => {}
        }
    }

    pub(crate) fn ack(&mut self, index: usize) {
        let Some((key, true)) = self.topics[index].consumer else { return };
        let held: Vec<Position> = self.topics[index].holds.iter().copied().collect();
        if held.is_empty() || self.topics[index].seeking {
            return;
        }
        let at = held[self.prng.below(held.len() as u64) as usize];
        let single = self.topics[index].kind == SubscriptionType::Exclusive;
        let cumulative = single && self.prng.below(3) == 0;
        let positions = match cumulative {
            true => held.iter().copied().filter(|held| *held <= at).collect(),
            false => vec![at],
        };
        let receipt = self.prng.below(2) == 0;
        self.requests += 1;
        let command = CommandAck {
            consumer_id: key.id,
            ack_type: if cumulative { AckType::Cumulative } else { AckType::Individual } as i32,
            message_id: vec![id_of(at)],
            request_id: receipt.then_some(self.requests),
            ..CommandAck::default()
        };
        let topic = &mut self.topics[index];
        for at in &positions {
            topic.holds.remove(at);
        }
        if receipt {
            topic.asked.push_back((self.requests, positions));
        }
        self.command(key.connection, Command::Ack(command));
    }

    pub(crate) fn seek(&mut self, index: usize) {
        let Some((key, true)) = self.topics[index].consumer else { return };
        let seen: Vec<Position> = self.topics[index].seen.iter().copied().collect();
        if seen.is_empty() || self.topics[index].seeking {
            return;
        }
        let at = seen[self.prng.below(seen.len() as u64) as usize];
        let topic = &mut self.topics[index];
        topic.acked.retain(|acked| *acked < at);
        topic.asked.clear();
        topic.seeking = true;
        self.requests += 1;
        let request_id = self.requests;
        let message_id = Some(id_of(at));
        let command = CommandSeek { consumer_id: key.id, request_id, message_id, ..CommandSeek::default() };
        self.command(key.connection, Command::Seek(command));
    }

    pub(crate) fn disconnect(&mut self, index: usize) {
        let topic = &mut self.topics[index];
        let gone = if self.prng.below(2) == 0 {
            let gone = topic.producer.map(|(key, _)| key);
            topic.lose_producer();
            gone
        } else {
            let gone = topic.consumer.map(|(key, _)| key);
            topic.lose_consumer();
            gone
        };
        if let Some(key) = gone {
            self.ask(key.connection, Asked::Disconnected);
        }
    }

    pub(crate) fn administrate(&mut self, index: usize) {
        let topic = self.topics[index].name.clone();
        self.requests += 1;
        let ask = match self.prng.below(5) {
            0 => AdminAsk::Unload { topic },
            1 => AdminAsk::Stats { topic, options: Default::default() },
            2 => AdminAsk::Internal { topic },
            3 => AdminAsk::LastId { topic },
            _ => AdminAsk::Health,
        };
        self.host.on_ask(self.clock, &self.catalogue, self.requests, ask);
    }
}
