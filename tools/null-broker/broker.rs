//! Commands in, answers out.

use std::collections::HashMap;
use std::time::Duration;

use pulsegate::wire::pulsar::{Command, frame, proto as p};

use crate::deliver::{Consumers, Source};
use crate::kit::native::{self, FRAME_MAX};
use crate::kit::net::{Handler, Net};

/// Protocol version we say we speak; the client's own if it is lower.
const PROTOCOL_VERSION: i32 = 20;

/// The broker.
pub(crate) struct Broker {
    topics: HashMap<String, usize>,
    /// Topic of a connection's producer.
    producers: HashMap<(usize, u64), usize>,
    consumers: Consumers,
    fans_out: bool,
    /// Messages taken so far: the entry id of the next.
    entries: u64,
}

impl Broker {
    pub(crate) fn new(source: Source, size: usize) -> Broker {
        Broker {
            topics: HashMap::new(),
            producers: HashMap::new(),
            consumers: Consumers::new(source, size),
            fans_out: matches!(source, Source::Producers),
            entries: 0,
        }
    }

    /// Makes the messages that are due. Returns when to call again at the latest.
    pub(crate) fn deliver(&mut self, net: &mut Net, now: Duration) -> Duration {
        self.consumers.deliver(net, now)
    }

    fn topic(&mut self, name: String) -> usize {
        let next = self.topics.len();
        *self.topics.entry(name).or_insert(next)
    }

    fn on_frame(&mut self, net: &mut Net, id: usize, bytes: &[u8]) -> Result<(), String> {
        match (native::kind(bytes), native::two_numbers(bytes)) {
            (native::SEND, Some((producer, sequence))) => {
                self.entries += 1;
                native::put_receipt(net.out(id), producer, sequence, producer + 1, self.entries);
                if self.fans_out
                    && let (Some(&topic), Some(entry)) =
                        (self.producers.get(&(id, producer)), native::entry(bytes))
                {
                    self.consumers.publish(net, topic, entry);
                }
                Ok(())
            }
            (native::FLOW, Some((consumer, permits))) => {
                self.consumers.flow(id, consumer, permits);
                Ok(())
            }
            _ => {
                let command = frame::read(bytes).map_err(|error| error.to_string())?.command;
                if let Some(answer) = self.answer(net, id, command) {
                    frame::put(net.out(id), &answer);
                }
                Ok(())
            }
        }
    }

    fn answer(&mut self, net: &Net, id: usize, command: Command) -> Option<Command> {
        let success = |request_id| Some(Command::Success(p::CommandSuccess { request_id, schema: None }));
        match command {
            Command::Connect(ask) => Some(Command::Connected(p::CommandConnected {
                server_version: "pulsegate-null-broker".to_owned(),
                protocol_version: Some(ask.protocol_version.unwrap_or(0).min(PROTOCOL_VERSION)),
                max_message_size: Some(5 << 20),
                ..Default::default()
            })),
            Command::PartitionedMetadata(ask) => {
                Some(Command::PartitionedMetadataResponse(p::CommandPartitionedTopicMetadataResponse {
                    partitions: Some(0),
                    request_id: ask.request_id,
                    response: Some(0),
                    ..Default::default()
                }))
            }
            Command::Lookup(ask) => Some(Command::LookupResponse(p::CommandLookupTopicResponse {
                broker_service_url: net.local(id).map(|address| format!("pulsar://{address}")),
                response: Some(1),
                request_id: ask.request_id,
                authoritative: Some(true),
                ..Default::default()
            })),
            Command::Producer(ask) => {
                let topic = self.topic(ask.topic);
                self.producers.insert((id, ask.producer_id), topic);
                Some(Command::ProducerSuccess(p::CommandProducerSuccess {
                    request_id: ask.request_id,
                    producer_name: ask
                        .producer_name
                        .unwrap_or_else(|| format!("null-{id}-{}", ask.producer_id)),
                    last_sequence_id: Some(-1),
                    schema_version: Some(Vec::new()),
                    topic_epoch: Some(0),
                    producer_ready: Some(true),
                }))
            }
            Command::Subscribe(ask) => {
                let topic = self.topic(ask.topic);
                self.consumers.add(id, ask.consumer_id, topic);
                success(ask.request_id)
            }
            Command::CloseProducer(ask) => {
                self.producers.remove(&(id, ask.producer_id));
                success(ask.request_id)
            }
            Command::CloseConsumer(ask) => {
                self.consumers.remove(|link, consumer| (link, consumer) == (id, ask.consumer_id));
                success(ask.request_id)
            }
            Command::Unsubscribe(ask) => success(ask.request_id),
            Command::Seek(ask) => success(ask.request_id),
            Command::Ping(_) => Some(Command::Pong(p::CommandPong {})),
            Command::Ack(ask) => ask.request_id.map(|request_id| {
                Command::AckResponse(p::CommandAckResponse {
                    consumer_id: ask.consumer_id,
                    request_id: Some(request_id),
                    ..Default::default()
                })
            }),
            _ => None,
        }
    }
}

impl Handler for Broker {
    fn on_bytes(&mut self, net: &mut Net, id: usize, bytes: &mut [u8]) -> Result<usize, String> {
        let mut at = 0;
        while let Some(size) = frame::size(&bytes[at..], FRAME_MAX).map_err(|error| error.to_string())? {
            let Some(frame) = bytes.get(at..at + size) else { break };
            // What answers nothing needs no reading: the most frequent command of consumers.
            if !is_plain_ack(frame) {
                self.on_frame(net, id, frame)?;
            }
            at += size;
        }
        Ok(at)
    }

    fn on_closed(&mut self, _: &mut Net, id: usize, why: &str) {
        self.producers.retain(|(link, _), _| *link != id);
        self.consumers.remove(|link, _| link == id);
        if self.consumers.lost > 0 {
            eprintln!("{} messages were lost for want of permits", self.consumers.lost);
            self.consumers.lost = 0;
        }
        if why != "closed by the peer" {
            eprintln!("a connection ended: {why}");
        }
    }
}

/// An ACK that asks for no answer: its request id would be the last field, and no field of a message id is number 8.
fn is_plain_ack(frame: &[u8]) -> bool {
    native::kind(frame) == native::ACK && !native::has_request(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ack_that_asks_is_answered() {
        let ack = |request_id| {
            let mut out = Vec::new();
            let ids =
                (0..40).map(|entry_id| p::MessageIdData { ledger_id: 7, entry_id, ..Default::default() });
            let ack = p::CommandAck { message_id: ids.collect(), request_id, ..Default::default() };
            frame::put(&mut out, &Command::Ack(ack));
            out
        };
        assert!(is_plain_ack(&ack(None)));
        assert!(!is_plain_ack(&ack(Some(0))));
        assert!(!is_plain_ack(b""));
    }
}
