//! Producers, consumers and the broker's connection, each event passed on at once.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use pulsegate::wire::pulsar::{Command, frame, proto as p};

use crate::http::{self, Wish};
use crate::kit::native::{self, FRAME_MAX, PADDED, SIZES};
use crate::kit::net::{Handler, Net};
use crate::{kit, text};

/// Messages a consumer may have on the way, as by default (`receiverQueueSize`); half of it is granted at a time.
const PERMITS: u32 = 1000;
/// Longest id of a message, base64: without a batch it is under 30 characters.
const ID_MAX: usize = 64;
/// Bytes of a padded varint that holds milliseconds until the year 2109.
const TIME_BYTES: usize = 6;

enum Role {
    /// Has not sent its request.
    Http,
    /// Waits for the broker, with its answer.
    Opening {
        accept: String,
    },
    Producer {
        template: SendTemplate,
        sequence: u64,
        contexts: VecDeque<[u8; 10]>,
    },
    Consumer {
        acknowledged: u32,
    },
}

/// A client; its place in the list is its producer, consumer and request id.
struct Client {
    conn: usize,
    role: Role,
}

/// The relay's state.
pub(crate) struct Relay {
    link: usize,
    is_ready: bool,
    clients: Vec<Client>,
    /// Client of a connection.
    of: Vec<Option<usize>>,
}

/// A SEND frame up to its payload, with padded numbers that are patched in place.
struct SendTemplate {
    head: Vec<u8>,
    sequence_at: usize,
    entry_at: usize,
    inner_sequence_at: usize,
    time_at: usize,
}

impl SendTemplate {
    fn new(producer: u64, name: &str) -> SendTemplate {
        let mut head = vec![0; SIZES];
        head.extend_from_slice(&[0x08, native::SEND, native::SEND << 3 | 2, 2 * (1 + PADDED as u8), 0x08]);
        let producer_at = head.len();
        head.extend_from_slice(&[0; PADDED]);
        head.push(0x10);
        let sequence_at = head.len();
        head.extend_from_slice(&[0; PADDED]);
        native::put_padded(&mut head[producer_at..], producer);
        native::close_command(&mut head);
        let entry_at = head.len();
        head.extend_from_slice(&[0x0e, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0x0a, name.len() as u8]);
        head.extend_from_slice(name.as_bytes());
        head.push(0x10);
        let inner_sequence_at = head.len();
        head.extend_from_slice(&[0; PADDED]);
        head.push(0x18);
        let time_at = head.len();
        head.extend_from_slice(&[0; TIME_BYTES]);
        let metadata = (head.len() - entry_at - 10) as u32;
        head[entry_at + 6..entry_at + 10].copy_from_slice(&metadata.to_be_bytes());
        SendTemplate { head, sequence_at, entry_at, inner_sequence_at, time_at }
    }

    /// Appends the frame of one message.
    fn put(&mut self, sequence: u64, time: u64, payload: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        native::put_padded(&mut self.head[self.sequence_at..], sequence);
        native::put_padded(&mut self.head[self.inner_sequence_at..], sequence);
        for (index, byte) in self.head[self.time_at..].iter_mut().enumerate() {
            let more = if index + 1 < TIME_BYTES { 0x80 } else { 0 };
            *byte = (time >> (7 * index)) as u8 & 0x7f | more;
        }
        let start = out.len();
        out.extend_from_slice(&self.head);
        base64_simd::STANDARD.decode_append(payload, out).map_err(|error| error.to_string())?;
        let total = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&total.to_be_bytes());
        let entry = &mut out[start + self.entry_at..];
        let sum = crc32c::crc32c(&entry[6..]);
        entry[2..6].copy_from_slice(&sum.to_be_bytes());
        Ok(())
    }
}

impl Relay {
    /// Says CONNECT on the connection `link`.
    pub(crate) fn new(net: &mut Net, link: usize) -> Relay {
        let connect = p::CommandConnect {
            client_version: "pulsegate-floor".to_owned(),
            protocol_version: Some(20),
            ..Default::default()
        };
        frame::put(net.out(link), &Command::Connect(connect));
        Relay { link, is_ready: false, clients: Vec::new(), of: Vec::new() }
    }

    /// The broker has answered.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready
    }

    fn on_request(&mut self, net: &mut Net, conn: usize, bytes: &[u8]) -> Result<usize, String> {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
            return if bytes.len() > http::HEAD_MAX { Err("no request".to_owned()) } else { Ok(0) };
        };
        let request = std::str::from_utf8(&bytes[..end]).ok().and_then(http::read);
        let request = request.ok_or("a request that is no upgrade of a producer or consumer")?;
        let number = self.clients.len() as u64;
        let command = match request.wish {
            Wish::Producer { topic } => Command::Producer(p::CommandProducer {
                topic,
                producer_id: number,
                request_id: number,
                ..Default::default()
            }),
            Wish::Consumer { topic, subscription } => Command::Subscribe(p::CommandSubscribe {
                topic,
                subscription,
                sub_type: 1, // Shared
                consumer_id: number,
                request_id: number,
                ..Default::default()
            }),
        };
        frame::put(net.out(self.link), &command);
        self.of[conn] = Some(self.clients.len());
        self.clients.push(Client { conn, role: Role::Opening { accept: request.accept } });
        Ok(end + 4)
    }

    /// The broker let a client in, if it still waits.
    fn open(&mut self, net: &mut Net, number: u64, role: Role) -> bool {
        let Some(client) = self.clients.get_mut(number as usize) else { return false };
        let Role::Opening { accept } = &client.role else { return false };
        http::put_switch(accept, net.out(client.conn));
        client.role = role;
        true
    }

    fn on_broker(&mut self, net: &mut Net, bytes: &[u8]) -> Result<(), String> {
        match native::kind(bytes) {
            native::RECEIPT => {
                self.on_receipt(net, bytes).ok_or_else(|| "a receipt of another form".to_owned())
            }
            native::MESSAGE => {
                self.on_message(net, bytes).ok_or_else(|| "a message of another form".to_owned())
            }
            _ => {
                match frame::read(bytes).map_err(|error| error.to_string())?.command {
                    Command::Connected(_) => self.is_ready = true,
                    Command::ProducerSuccess(done) => {
                        let template = SendTemplate::new(done.request_id, &done.producer_name);
                        let role = Role::Producer { template, sequence: 0, contexts: VecDeque::new() };
                        self.open(net, done.request_id, role);
                    }
                    Command::Success(done) => {
                        let consumer = Role::Consumer { acknowledged: 0 };
                        let opened = self.open(net, done.request_id, consumer);
                        // Another success is of a consumer that is gone already: nothing is granted.
                        let permits = if opened { PERMITS } else { 0 };
                        flow(net.out(self.link), done.request_id, permits);
                    }
                    Command::Ping(_) => frame::put(net.out(self.link), &Command::Pong(p::CommandPong {})),
                    Command::Error(error) => return Err(error.message),
                    _ => {}
                }
                Ok(())
            }
        }
    }

    fn on_receipt(&mut self, net: &mut Net, bytes: &[u8]) -> Option<()> {
        let (producer, _) = native::two_numbers(bytes)?;
        let client = self.clients.get_mut(producer as usize)?;
        // Receipts come in order, so the oldest context is this one's.
        if let Role::Producer { contexts, .. } = &mut client.role
            && let Some(context) = contexts.pop_front()
        {
            text::put_answer(&context, net.out(client.conn));
        }
        Some(())
    }

    fn on_message(&mut self, net: &mut Net, bytes: &[u8]) -> Option<()> {
        let (consumer, id) = native::delivery(bytes)?;
        let payload = native::payload(native::entry(bytes)?)?;
        let client = self.clients.get(consumer as usize)?;
        if matches!(client.role, Role::Consumer { .. }) {
            text::put_delivery(id, payload, net.out(client.conn));
        }
        Some(())
    }

    fn on_text(&mut self, net: &mut Net, number: usize, text: &[u8], time: u64) -> Result<(), String> {
        match &mut self.clients[number].role {
            Role::Producer { template, sequence, contexts } => {
                let (payload, context) = text::request(text).ok_or("a text of another form")?;
                template.put(*sequence, time, payload, net.out(self.link))?;
                contexts.push_back(*context);
                *sequence += 1;
            }
            Role::Consumer { acknowledged } => {
                let id = text::acknowledged(text).ok_or("an acknowledgement of another form")?;
                let out = net.out(self.link);
                put_ack(number as u64, id, out)?;
                *acknowledged += 1;
                if *acknowledged == PERMITS / 2 {
                    *acknowledged = 0;
                    flow(out, number as u64, PERMITS / 2);
                }
            }
            Role::Http | Role::Opening { .. } => return Err("a text before the upgrade".to_owned()),
        }
        Ok(())
    }
}

/// Grants permits, if any.
fn flow(out: &mut Vec<u8>, consumer_id: u64, message_permits: u32) {
    if message_permits == 0 {
        return;
    }
    frame::put(out, &Command::Flow(p::CommandFlow { consumer_id, message_permits }));
}

/// Appends an ACK of one message; `id` is base64.
fn put_ack(consumer: u64, id: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let mut space = [0; 2 + ID_MAX];
    let place = space[2..].get_mut(..id.len()).ok_or("a long id")?;
    let length = base64_simd::STANDARD
        .decode(id, base64_simd::Out::from_slice(place))
        .map_err(|error| error.to_string())?
        .len();
    (space[0], space[1]) = (0x1a, length as u8);
    native::put_ack(out, consumer, &space[..2 + length]);
    Ok(())
}

impl Handler for Relay {
    fn on_accept(&mut self, _: &mut Net, id: usize, _: usize) {
        if self.of.len() <= id {
            self.of.resize(id + 1, None);
        }
        self.of[id] = None;
    }

    fn on_bytes(&mut self, net: &mut Net, id: usize, bytes: &mut [u8]) -> Result<usize, String> {
        let mut at = 0;
        if id == self.link {
            while let Some(size) = frame::size(&bytes[at..], FRAME_MAX).map_err(|error| error.to_string())? {
                let Some(frame) = bytes.get(at..at + size) else { break };
                self.on_broker(net, frame)?;
                at += size;
            }
            return Ok(at);
        }
        let Some(number) = self.of[id] else { return self.on_request(net, id, bytes) };
        // One look at the clock for all that came at once.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
        while let Some(frame) = text::next(bytes, at)? {
            match frame.opcode {
                text::TEXT => self.on_text(net, number, &bytes[frame.start..frame.end], time)?,
                text::CLOSE => return Err("closed by the client".to_owned()),
                _ => return Err("a frame that is no text".to_owned()),
            }
            at = frame.end;
        }
        Ok(at)
    }

    fn on_closed(&mut self, net: &mut Net, id: usize, why: &str) {
        if id == self.link {
            kit::fail(&format!("the broker's connection ended: {why}"));
        }
        let Some(number) = self.of[id].take() else { return };
        // Nothing is sent to the connection any more; its place stays, so that ids stay.
        let role = std::mem::replace(&mut self.clients[number].role, Role::Http);
        let (request_id, out) = (number as u64, net.out(self.link));
        match role {
            Role::Producer { .. } => {
                let close =
                    p::CommandCloseProducer { producer_id: request_id, request_id, ..Default::default() };
                frame::put(out, &Command::CloseProducer(close));
            }
            Role::Consumer { .. } => {
                let close =
                    p::CommandCloseConsumer { consumer_id: request_id, request_id, ..Default::default() };
                frame::put(out, &Command::CloseConsumer(close));
            }
            Role::Http | Role::Opening { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_is_one_for_the_library() {
        let mut template = SendTemplate::new(300, "name");
        let mut out = Vec::new();
        template.put(70_000, 1_700_000_000_123, b"cGF5bG9hZA==", &mut out).expect("base64");
        let read = frame::read(&out).expect("a frame");
        let Command::Send(send) = read.command else { panic!("{:?}", read.command) };
        assert_eq!((send.producer_id, send.sequence_id), (300, 70_000));
        let payload = frame::payload(read.rest).expect("an entry");
        assert_eq!((payload.checksum, payload.body), (frame::Checksum::Good, &b"payload"[..]));
        let metadata: p::MessageMetadata = prost::Message::decode(payload.metadata).expect("metadata");
        assert_eq!((metadata.producer_name.as_str(), metadata.sequence_id), ("name", 70_000));
        assert_eq!(metadata.publish_time, 1_700_000_000_123);
    }

    #[test]
    fn an_ack_is_one_for_the_library() {
        let mut out = Vec::new();
        put_ack(300, b"CAEQAg==", &mut out).expect("base64");
        let Command::Ack(ack) = frame::read(&out).expect("a frame").command else { panic!("an ack") };
        assert_eq!((ack.consumer_id, ack.message_id[0].ledger_id, ack.message_id[0].entry_id), (300, 1, 2));
        assert!(put_ack(1, &[b'A'; 100], &mut out).is_err());
    }
}
