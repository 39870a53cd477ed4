//! A session over Pulsar's WebSocket API.

use crate::kit::net::Net;
use crate::kit::ws::{self, Frame, Template};
use crate::plan::{Plan, Seat};
use crate::session::Event;

/// A reply head longer than this is not a handshake.
const HEAD_MAX: usize = 64 * 1024;
/// Largest frame taken from the server.
const FRAME_MAX: usize = 64 << 20;
/// Characters of a refusal that are shown.
const SHOWN: usize = 300;

/// The client's end.
pub(crate) struct Ws {
    host: String,
    path: String,
    is_open: bool,
    /// None: a consumer.
    template: Option<Template>,
}

impl Ws {
    pub(crate) fn new(plan: &Plan, seat: &Seat) -> Ws {
        let (role, end, query) = match &seat.subscription {
            None => ("producer", String::new(), &plan.producer_query),
            Some(subscription) => ("consumer", format!("/{subscription}"), &plan.consumer_query),
        };
        let separator = if query.is_empty() { "" } else { "?" };
        let path = format!("/ws/v2/{role}/persistent/public/default/{}{end}{separator}{query}", seat.topic);
        let template = seat.subscription.is_none().then(|| Template::new(&payload(plan.size)));
        Ws { host: plan.host.clone(), path, is_open: false, template }
    }

    pub(crate) fn hello(&self, out: &mut Vec<u8>) {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            self.path, self.host
        );
        out.extend_from_slice(request.as_bytes());
    }

    pub(crate) fn send(&mut self, number: u64, due: u64, out: &mut Vec<u8>) {
        if let Some(template) = &mut self.template {
            template.write(number, due, out);
        }
    }

    pub(crate) fn on_bytes(
        &mut self,
        net: &mut Net,
        id: usize,
        bytes: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<usize, String> {
        let mut at = 0;
        if !self.is_open {
            let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
                return if bytes.len() > HEAD_MAX {
                    Err(self.odd("an answer to the upgrade", bytes))
                } else {
                    Ok(0)
                };
            };
            if !bytes.starts_with(b"HTTP/1.1 101") {
                return Err(self.odd("upgrade refused:", bytes));
            }
            self.is_open = true;
            events.push(Event::Opened);
            at = end + 4;
        }
        while let Some((frame, length)) =
            ws::decode(&bytes[at..], FRAME_MAX).map_err(|what| self.odd(what, &bytes[at..]))?
        {
            let body = &bytes[at..at + length];
            match frame {
                Frame::Text(range) => self.on_text(net, id, &body[range], events)?,
                Frame::Ping(range) => ws::encode(ws::PONG, &body[range], net.out(id)),
                Frame::Pong => {}
                Frame::Close { code, reason } => {
                    let reason = String::from_utf8_lossy(&body[reason]);
                    return Err(format!("{}: closed by the server: {code} {reason}", self.path));
                }
            }
            at += length;
        }
        Ok(at)
    }

    fn on_text(
        &mut self,
        net: &mut Net,
        id: usize,
        text: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<(), String> {
        if self.template.is_some() {
            let (number, stored) = ws::answer(text).ok_or_else(|| self.odd("an answer:", text))?;
            events.push(Event::Answered { number, stored });
            return Ok(());
        }
        if !ws::acknowledge(text, net.out(id)) {
            return Err(self.odd("a delivered message:", text));
        }
        events.push(Event::Delivered { due: ws::stamp(text).unwrap_or(0) });
        Ok(())
    }

    fn odd(&self, what: &str, bytes: &[u8]) -> String {
        format!("{}: {what} {}", self.path, String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]))
    }
}

/// Random bytes as base64: no compression on the way may flatter the result.
fn payload(size: usize) -> String {
    let mut prng = pulsegate::base::prng::Prng::new(1);
    let payload: Vec<u8> = (0..size).map(|_| prng.next() as u8).collect();
    base64_simd::STANDARD.encode_to_string(&payload)
}
