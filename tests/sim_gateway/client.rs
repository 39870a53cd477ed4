//! Model WebSocket clients: what they write is masked and cut anywhere, what they read is checked at once.

use crate::store::Store;
use pulsegate::base::prng::Prng;
use pulsegate::shard::ConnKey;
use pulsegate::wire::pulsar::message_id::MessageId;
use pulsegate::wire::text::base64;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Producer,
    Consumer,
    /// Reads from the earliest message on.
    Reader,
    /// Sends anything.
    Junk,
}

/// How far it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No answer to its upgrade yet.
    Waiting,
    Open,
    Refused(u16),
    /// The connection is gone.
    Ended,
}

pub(crate) struct Client {
    pub(crate) key: ConnKey,
    pub(crate) number: usize,
    pub(crate) role: Role,
    pub(crate) topic: String,
    pub(crate) subscription: String,
    pub(crate) phase: Phase,
    /// Bytes under way to the gateway.
    pub(crate) outgoing: VecDeque<u8>,
    received: Vec<u8>,
    /// Takes nothing from its socket.
    pub(crate) slow: bool,
    pub(crate) was_slow: bool,
    /// It said goodbye, or its socket is gone: nothing is promised to it any more.
    pub(crate) left: bool,
    pub(crate) sent: u64,
    pub(crate) answers: BTreeMap<u64, bool>,
    last_ok: BTreeMap<String, u64>,
    pub(crate) got: Vec<String>,
    nacked: BTreeSet<String>,
    /// It gives messages back now and then.
    pub(crate) picky: bool,
    pull: bool,
    /// Bytes that each fourth message is long.
    pub(crate) padding: usize,
    pub(crate) goodbye: Option<(u16, String)>,
}

/// A masked client frame.
pub(crate) fn put_frame(out: &mut VecDeque<u8>, opcode: u8, payload: &[u8], prng: &mut Prng) {
    let mask = (prng.next() as u32).to_be_bytes();
    out.push_back(0x80 | opcode);
    match payload.len() {
        length @ 0..126 => out.push_back(0x80 | length as u8),
        length => {
            out.push_back(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

fn path(role: Role, topic: &str, subscription: &str, pull: bool, prng: &mut Prng) -> String {
    let pick =
        |choices: &[&str], prng: &mut Prng| choices[prng.below(choices.len() as u64) as usize].to_owned();
    let short = topic.trim_start_matches("persistent://");
    match role {
        Role::Producer => {
            let batching =
                pick(&["", "&batchingEnabled=true", "&batchingEnabled=true&batchingMaxMessages=3"], prng);
            let time = pick(&["", "", "&sendTimeoutMillis=2000", "&sendTimeoutMillis=0"], prng);
            let rest = pick(&["", "&compressionType=LZ4", "&maxPendingMessages=5"], prng);
            format!("/ws/v2/producer/persistent/{short}?a=b{batching}{time}{rest}")
        }
        Role::Consumer => {
            let kind = pick(&["Exclusive", "Shared"], prng);
            let queue = pick(&["", "&receiverQueueSize=3", "&receiverQueueSize=1"], prng);
            format!(
                "/ws/v2/consumer/persistent/{short}/{subscription}?subscriptionInitialPosition=Earliest\
                 &subscriptionType={kind}&negativeAckRedeliveryDelay=500&pullMode={pull}{queue}"
            )
        }
        Role::Reader => {
            let queue = pick(&["", "&receiverQueueSize=3", "&receiverQueueSize=1"], prng);
            format!("/ws/v2/reader/persistent/{short}?messageId=earliest{queue}")
        }
        Role::Junk => pick(
            &["/ws/v2/producer/persistent/public/default/t0", "/metrics", "/", "/ws/v2/reader", "/ws/v2/%zz"],
            prng,
        ),
    }
}

impl Client {
    pub(crate) fn new(
        key: ConnKey,
        number: usize,
        role: Role,
        topic: &str,
        subscription: &str,
        prng: &mut Prng,
    ) -> Client {
        let pull = prng.below(4) == 0;
        let path = path(role, topic, subscription, pull, prng);
        let offer = match prng.below(4) {
            0 => "Sec-WebSocket-Version: 13\r\nX-Filler: ok\r\n",
            _ => "Sec-WebSocket-Version: 13\r\n",
        };
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{offer}\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        Client {
            key,
            number,
            role,
            topic: topic.to_owned(),
            subscription: subscription.to_owned(),
            phase: Phase::Waiting,
            outgoing: head.into_bytes().into(),
            received: Vec::new(),
            slow: false,
            was_slow: false,
            left: false,
            sent: 0,
            answers: BTreeMap::new(),
            last_ok: BTreeMap::new(),
            got: Vec::new(),
            nacked: BTreeSet::new(),
            picky: role == Role::Consumer,
            pull,
            padding: 600,
            goodbye: None,
        }
    }

    /// True while promises to it hold.
    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open && !self.left && self.goodbye.is_none()
    }

    /// Payload of its n-th message.
    pub(crate) fn payload(&self, number: u64) -> String {
        let padding = if number % 4 == 3 { self.padding } else { 0 };
        format!("c{}-{number}-{:padding$}", self.number, "")
    }

    /// Writes one more message.
    pub(crate) fn produce(&mut self, prng: &mut Prng) {
        let mut payload = Vec::new();
        base64::encode(self.payload(self.sent).as_bytes(), &mut payload);
        let payload = String::from_utf8(payload).expect("base64 is text");
        let key = if prng.below(3) == 0 { r#","key":"k""# } else { "" };
        let text = format!(r#"{{"payload":"{payload}","context":"{}"{key}}}"#, self.sent);
        put_frame(&mut self.outgoing, 1, text.as_bytes(), prng);
        self.sent += 1;
    }

    /// Writes noise: frames with random headers, texts of no meaning.
    pub(crate) fn babble(&mut self, prng: &mut Prng) {
        const TEXTS: [&str; 6] = ["", "{", "null", "{\"type\":\"permit\"}", "[[[[", "{\"payload\":1}"];
        match prng.below(4) {
            0 => (0..prng.below(40)).for_each(|_| self.outgoing.push_back(prng.next() as u8)),
            1 => put_frame(&mut self.outgoing, (prng.next() & 15) as u8, b"abc", prng),
            2 => self.outgoing.extend(b"GET /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"),
            _ => put_frame(&mut self.outgoing, 1, TEXTS[prng.below(6) as usize].as_bytes(), prng),
        }
    }

    /// Gives its subscription up; from then on nothing is promised to it.
    pub(crate) fn unsubscribe(&mut self, prng: &mut Prng) {
        put_frame(&mut self.outgoing, 1, br#"{"type":"unsubscribe"}"#, prng);
        self.left = true;
    }

    pub(crate) fn permit(&mut self, messages: u32, prng: &mut Prng) {
        if self.pull {
            let text = format!(r#"{{"type":"permit","permitMessages":{messages}}}"#);
            put_frame(&mut self.outgoing, 1, text.as_bytes(), prng);
        }
    }

    /// Bytes of the gateway arrive.
    pub(crate) fn receive(&mut self, bytes: &[u8], store: &Store, prng: &mut Prng) {
        if self.role == Role::Junk {
            return;
        }
        self.received.extend_from_slice(bytes);
        if self.phase == Phase::Waiting {
            let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") else { return };
            let head: Vec<u8> = self.received.drain(..end + 4).collect();
            let head = String::from_utf8(head).expect("a head is text");
            let status = head.strip_prefix("HTTP/1.1 ").expect("nothing comes before the head");
            self.phase = match status[..3].parse().expect("a status") {
                101 => Phase::Open,
                status => Phase::Refused(status),
            };
            if self.role == Role::Consumer && self.phase == Phase::Open {
                self.permit(5, prng);
            }
        }
        if self.phase != Phase::Open {
            return;
        }
        while let Some((opcode, payload)) = self.next_frame() {
            match opcode {
                1 => self.on_text(&payload, store, prng),
                8 if payload.is_empty() => self.goodbye = Some((1005, String::new())),
                8 => {
                    let code = u16::from_be_bytes([payload[0], payload[1]]);
                    let reason = String::from_utf8(payload[2..].to_vec()).expect("a reason is text");
                    self.goodbye = Some((code, reason));
                }
                9 | 10 => {}
                other => panic!("opcode {other}"),
            }
        }
    }

    fn next_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let [head, second, rest @ ..] = self.received.as_slice() else { return None };
        assert_eq!((head & 0xf0, second & 0x80), (0x80, 0), "whole and unmasked");
        assert!(self.goodbye.is_none(), "nothing follows a close frame");
        let (length, header) = match second {
            126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
            127 => panic!("the model's messages are small"),
            length => (usize::from(*length), 2),
        };
        if self.received.len() < header + length {
            return None;
        }
        let opcode = head & 15;
        let frame: Vec<u8> = self.received.drain(..header + length).collect();
        Some((opcode, frame[header..].to_vec()))
    }

    fn on_text(&mut self, text: &[u8], store: &Store, prng: &mut Prng) {
        let text: Value = serde_json::from_slice(text).expect("texts are JSON");
        match self.role {
            Role::Producer => self.on_answer(&text, store),
            _ => self.on_delivery(&text, prng),
        }
    }

    fn on_answer(&mut self, text: &Value, store: &Store) {
        let number: u64 = text["context"].as_str().expect("a context").parse().expect("ours");
        let ok = text["result"] == "ok";
        assert!(number < self.sent, "an answer to a message not sent");
        let again = self.answers.insert(number, ok);
        assert_eq!(again, None, "client {} message {number} is answered twice: {text}", self.number);
        if !ok {
            let error = text["result"].as_str().expect("a result");
            return assert!(error.starts_with("send-error:"), "{text}");
        }
        let payload = self.payload(number);
        let parts = store.parts(&self.topic);
        let held = |part: &&String| store.payloads(part).any(|stored| stored == payload);
        let part = parts.iter().find(held);
        let part = part.unwrap_or_else(|| panic!("{payload} is confirmed but not stored"));
        let id = text["messageId"].as_str().expect("an id");
        let id = MessageId::from_text(id).expect("an id");
        if id.entry != u64::MAX {
            let entry = store.entry(part, id.entry).expect("an id names an entry");
            assert_eq!(entry.payloads[id.batch_index.max(0) as usize], payload, "{id:?}");
        }
        let last = self.last_ok.insert(part.clone(), number);
        assert!(last.is_none_or(|last| last < number), "oks of a partition come in order");
    }

    fn on_delivery(&mut self, text: &Value, prng: &mut Prng) {
        let mut payload = Vec::new();
        base64::decode(text["payload"].as_str().expect("a payload").as_bytes(), &mut payload)
            .expect("base64");
        self.got.push(String::from_utf8(payload).expect("the model's payloads are text"));
        let id = text["messageId"].as_str().expect("an id").to_owned();
        let nack = self.picky && prng.below(8) == 0 && self.nacked.insert(id.clone());
        let answer = match nack {
            true => format!(r#"{{"type":"negativeAcknowledge","messageId":"{id}"}}"#),
            false => format!(r#"{{"messageId":"{id}"}}"#),
        };
        put_frame(&mut self.outgoing, 1, answer.as_bytes(), prng);
        self.permit(1, prng);
    }
}
