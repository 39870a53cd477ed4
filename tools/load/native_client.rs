//! A session over the binary protocol, as the official clients open one: CONNECT, LOOKUP (so that the broker loads the topic),
//! then PRODUCER or SUBSCRIBE. What a lookup answers is not followed: one server is measured, the one at `--url`.

use std::time::{SystemTime, UNIX_EPOCH};

use pulsegate::wire::pulsar::entry::{self, EntryMetadata};
use pulsegate::wire::pulsar::{Command, frame, proto as p};

use crate::kit::native::{self, FRAME_MAX};
use crate::kit::net::Net;
use crate::plan::{Plan, Seat};
use crate::session::Event;

/// Messages granted to a consumer, as by default (`receiverQueueSize`); half of it is granted again when that many came.
const PERMITS: u32 = 1000;
/// The only producer or consumer of its connection.
const ID: u64 = 0;
/// Bytes at a payload's beginning that carry the time it was due.
const STAMP: usize = 8;

/// The client's end.
pub(crate) struct Native {
    topic: String,
    subscription: Option<String>,
    name: String,
    payload: Vec<u8>,
    entry: Vec<u8>,
    acknowledged: Vec<u8>,
    received: u32,
}

impl Native {
    pub(crate) fn new(plan: &Plan, seat: &Seat) -> Native {
        let mut prng = pulsegate::base::prng::Prng::new(1);
        let producing = seat.subscription.is_none();
        Native {
            topic: format!("persistent://public/default/{}", seat.topic),
            subscription: seat.subscription.clone(),
            name: String::new(),
            payload: (0..if producing { plan.size } else { 0 }).map(|_| prng.next() as u8).collect(),
            entry: Vec::new(),
            acknowledged: Vec::new(),
            received: 0,
        }
    }

    pub(crate) fn hello(&self, out: &mut Vec<u8>) {
        let connect = p::CommandConnect {
            client_version: "pulsegate-load".to_owned(),
            protocol_version: Some(20),
            auth_method_name: Some("none".to_owned()),
            ..Default::default()
        };
        frame::put(out, &Command::Connect(connect));
    }

    pub(crate) fn send(&mut self, number: u64, due: u64, out: &mut Vec<u8>) {
        self.payload[..STAMP].copy_from_slice(&due.to_be_bytes());
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
        let metadata = EntryMetadata {
            producer_name: &self.name,
            sequence_id: number,
            publish_time: time,
            uncompressed_size: self.payload.len() as u32,
            ..Default::default()
        };
        self.entry.clear();
        let payload = &self.payload;
        let Ok(()) = entry::put(&mut self.entry, &metadata, |out| {
            out.extend_from_slice(payload);
            Ok::<(), std::convert::Infallible>(())
        });
        frame::put_send(out, ID, number, None, 1, &self.entry);
    }

    pub(crate) fn on_bytes(
        &mut self,
        net: &mut Net,
        id: usize,
        bytes: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<usize, String> {
        let mut at = 0;
        while let Some(size) = frame::size(&bytes[at..], FRAME_MAX).map_err(|error| error.to_string())? {
            let Some(whole) = bytes.get(at..at + size) else { break };
            at += size;
            match (native::kind(whole), native::two_numbers(whole)) {
                (native::RECEIPT, Some((_, number))) => events.push(Event::Answered { number, stored: true }),
                (native::MESSAGE, _) => self.on_message(net, id, whole, events)?,
                _ => self.on_command(net, id, whole, events)?,
            }
        }
        if !self.acknowledged.is_empty() {
            // One ACK for all that came at once, as the official clients group them.
            native::put_ack(net.out(id), ID, &self.acknowledged);
            self.acknowledged.clear();
        }
        Ok(at)
    }

    fn on_message(
        &mut self,
        net: &mut Net,
        id: usize,
        whole: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<(), String> {
        let odd = || format!("{}: a message of another form", self.topic);
        let (_, message_id) = native::delivery(whole).ok_or_else(odd)?;
        let entry = native::entry(whole).ok_or_else(odd)?;
        let body = match native::payload(entry) {
            Some(body) => body,
            None => frame::payload(entry).map_err(|error| format!("{}: {error}", self.topic))?.body,
        };
        let due = body.first_chunk().map_or(0, |stamp: &[u8; STAMP]| u64::from_be_bytes(*stamp));
        events.push(Event::Delivered { due });
        native::put_ack_id(&mut self.acknowledged, message_id);
        self.received += 1;
        if self.received == PERMITS / 2 {
            self.received = 0;
            self.flow(net.out(id), PERMITS / 2);
        }
        Ok(())
    }

    fn flow(&self, out: &mut Vec<u8>, message_permits: u32) {
        frame::put(out, &Command::Flow(p::CommandFlow { consumer_id: ID, message_permits }));
    }

    fn on_command(
        &mut self,
        net: &mut Net,
        id: usize,
        whole: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<(), String> {
        let refused = |why: String| Err(format!("{}: refused by the broker: {why}", self.topic));
        match frame::read(whole).map_err(|error| error.to_string())?.command {
            Command::Connected(_) => {
                let lookup =
                    p::CommandLookupTopic { topic: self.topic.clone(), request_id: 1, ..Default::default() };
                frame::put(net.out(id), &Command::Lookup(lookup));
            }
            Command::LookupResponse(answer) if answer.response == Some(2) => {
                return refused(answer.message.unwrap_or_default());
            }
            Command::LookupResponse(_) => frame::put(net.out(id), &self.wish()),
            Command::ProducerSuccess(done) if done.producer_ready != Some(false) => {
                self.name = done.producer_name;
                events.push(Event::Opened);
            }
            Command::Success(_) => {
                self.flow(net.out(id), PERMITS);
                events.push(Event::Opened);
            }
            Command::SendError(error) => {
                events.push(Event::Answered { number: error.sequence_id, stored: false });
            }
            Command::Ping(_) => frame::put(net.out(id), &Command::Pong(p::CommandPong {})),
            Command::Error(error) => return refused(error.message),
            Command::CloseProducer(_) | Command::CloseConsumer(_) => {
                return refused("it closed the producer or consumer".to_owned());
            }
            _ => {}
        }
        Ok(())
    }

    fn wish(&self) -> Command {
        match self.subscription.clone() {
            None => Command::Producer(p::CommandProducer {
                topic: self.topic.clone(),
                producer_id: ID,
                request_id: 2,
                ..Default::default()
            }),
            Some(subscription) => Command::Subscribe(p::CommandSubscribe {
                topic: self.topic.clone(),
                subscription,
                sub_type: 1, // Shared
                consumer_id: ID,
                request_id: 2,
                initial_position: Some(p::InitialPosition::Earliest as i32),
                ..Default::default()
            }),
        }
    }
}
