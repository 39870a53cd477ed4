//! Client frames to messages. Whole frames are parsed, unmasked and checked in the receive buffer; only a
//! frame that is cut off at its end, a fragmented or a deflated message is gathered in a buffer of its own.
//!
//! One call of [`Decoder::next`] reads frames until an event is complete. What is under way between calls is
//! a header cut off (`stash`), a frame whose payload is not all here (`frame`) and a message that frames
//! still belong to (`message`); a control frame may come between the frames of a message, never inside one.

use super::header::{Header, LENGTH_MAX, Opcode};
use super::inflate::Inflater;
use super::mask;
use std::ops::Range;

/// Bytes that are unmasked and checked at a time while they are gathered: they stay in the first-level cache meanwhile.
const BLOCK: usize = 4096;

/// Limits and options of one connection.
#[derive(Clone, Copy, Debug)]
pub struct DecoderConfig {
    /// Largest text message, bytes, after reassembly and inflation.
    pub text_max: usize,
    /// Largest binary message, bytes.
    pub binary_max: usize,
    /// `permessage-deflate` was agreed on.
    pub deflate: bool,
}

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole text message, valid UTF-8, borrowed; may be changed in place.
    Text(&'a mut [u8]),
    /// A whole binary message of that many bytes; its content is of no interest to this API.
    Binary(usize),
    /// To be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// Activity, nothing else.
    Pong,
    /// The closing handshake: code and reason, checked. `None`: an empty close frame.
    Close(Option<(u16, &'a str)>),
}

/// The client broke the protocol or a limit: close with this code and reason (at most 123 bytes).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("close {code}: {reason}")]
pub struct Violation {
    /// RFC 6455 section 7.4: 1002, 1007 or 1009.
    pub code: u16,
    /// Text for the close frame.
    pub reason: String,
}

impl Violation {
    pub(super) fn protocol(reason: impl Into<String>) -> Self {
        Violation { code: 1002, reason: reason.into() }
    }

    pub(super) fn payload(reason: impl Into<String>) -> Self {
        Violation { code: 1007, reason: reason.into() }
    }

    pub(super) fn too_large(reason: impl Into<String>) -> Self {
        Violation { code: 1009, reason: reason.into() }
    }
}

/// State of one connection's incoming side.
pub struct Decoder {
    config: DecoderConfig,
    /// The first `stash_length` bytes of a header that the last input cut off.
    stash: [u8; LENGTH_MAX],
    stash_length: u8,
    frame: Option<Frame>,
    message: Option<Message>,
    gathered: Gathered,
    /// Its buffer goes back to who lent it.
    lent: bool,
    /// Payload of a control frame that the input cut off.
    control: Vec<u8>,
    /// Made at the first compressed message; its window is kept for the next.
    inflater: Option<Box<Inflater>>,
    /// After a violation or a close frame.
    ended: bool,
}

/// A frame whose payload is being read.
#[derive(Clone, Copy)]
struct Frame {
    header: Header,
    /// Payload bytes already taken, at most `header.length`.
    read: u64,
}

/// A message whose last frame is not complete.
#[derive(Clone, Copy)]
struct Message {
    binary: bool,
    deflated: bool,
    /// Payload of its frames as announced, bytes; at most the limit unless deflated.
    size: u64,
}

/// Plain bytes of the message under way.
#[derive(Default)]
struct Gathered {
    bytes: Vec<u8>,
    /// That many are known to be UTF-8; what follows is at most the beginning of one character. Of texts alone.
    checked: usize,
}

/// An event before it borrows anything.
struct Found {
    kind: Kind,
    place: Place,
}

enum Kind {
    Text,
    Binary(usize),
    Ping,
    Pong,
    Close,
}

/// Where the payload of an event lies.
enum Place {
    Input(Range<usize>),
    Gathered,
    Control,
}

impl Decoder {
    /// A connection that has just been upgraded.
    pub fn new(config: DecoderConfig) -> Self {
        Decoder {
            config,
            stash: [0; LENGTH_MAX],
            stash_length: 0,
            frame: None,
            message: None,
            gathered: Gathered::default(),
            lent: false,
            control: Vec::new(),
            inflater: None,
            ended: false,
        }
    }

    /// Takes the next event out of `input[*at..]` and moves `*at` behind what was read. `Ok(None)`: all of
    /// `input` was used up (gathered here if need be) and more bytes are needed. After an `Err` or a `Close`
    /// nothing more is read.
    pub fn next<'a>(
        &'a mut self,
        input: &'a mut [u8],
        at: &mut usize,
    ) -> Result<Option<Event<'a>>, Violation> {
        if self.ended {
            *at = input.len();
            return Ok(None);
        }
        self.forget_delivered();
        let found = match self.read_event(input, at) {
            Ok(Some(found)) => found,
            Ok(None) => {
                self.shrink();
                return Ok(None);
            }
            Err(violation) => {
                self.end();
                return Err(violation);
            }
        };
        let payload: &'a mut [u8] = match found.place {
            Place::Input(range) => &mut input[range],
            Place::Gathered => &mut self.gathered.bytes,
            Place::Control => &mut self.control,
        };
        Ok(Some(match found.kind {
            Kind::Text => Event::Text(payload),
            Kind::Binary(size) => Event::Binary(size),
            Kind::Ping => Event::Ping(payload),
            Kind::Pong => Event::Pong,
            Kind::Close => {
                self.ended = true;
                Event::Close(read_close(payload)?)
            }
        }))
    }

    /// Lends an empty buffer for messages that come in pieces; [`Decoder::take_back`] asks for it. Without one it makes its own.
    pub fn lend(&mut self, buffer: Vec<u8>) {
        if self.message.is_none() && self.gathered.bytes.capacity() == 0 {
            (self.gathered.bytes, self.lent) = (buffer, true);
        }
    }

    /// The buffer that pieces were gathered in, unless something is in it: the connection may be idle for long.
    pub fn take_back(&mut self) -> Vec<u8> {
        match self.message {
            Some(_) => Vec::new(),
            None => {
                self.lent = false;
                std::mem::take(&mut self.gathered).bytes
            }
        }
    }

    /// Bytes held by the buffers of this connection: 0 unless a frame or a message is under way.
    pub fn buffered(&self) -> usize {
        self.gathered.bytes.capacity() + self.control.capacity()
    }

    /// Empties the buffers whose content the last event lent out.
    fn forget_delivered(&mut self) {
        if self.message.is_none() {
            self.gathered.bytes.clear();
            self.gathered.checked = 0;
        }
        if self.frame.is_none() {
            self.control.clear();
        }
    }

    /// Frees the buffers that hold nothing: the connection may be idle for long.
    fn shrink(&mut self) {
        if self.message.is_none() && !self.lent {
            self.gathered = Gathered::default();
        }
        if self.frame.is_none() {
            self.control = Vec::new();
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.message = None;
        self.frame = None;
        self.inflater = None;
        self.shrink();
    }

    fn read_event(&mut self, input: &mut [u8], at: &mut usize) -> Result<Option<Found>, Violation> {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.read_header(input, at)? {
                    Some(header) => Frame { header, read: 0 },
                    None => return Ok(None),
                },
            };
            let position = frame.read;
            let here = (frame.header.length - position).min((input.len() - *at) as u64);
            let range = *at..*at + here as usize;
            *at = range.end;
            frame.read += here;
            let found = if frame.header.opcode.is_control() {
                self.read_control(&frame, position, input, range)
            } else {
                self.read_data(&frame, position, input, range)?
            };
            if frame.read < frame.header.length {
                self.frame = Some(frame);
                return Ok(None);
            }
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// The next header, checked against the message under way, or `None` when the input ends before it does.
    fn read_header(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Header>, Violation> {
        let rest = &input[*at..];
        let held = usize::from(self.stash_length);
        let (bytes, stashed) = if held == 0 {
            (rest, rest.len().min(LENGTH_MAX))
        } else {
            let more = rest.len().min(LENGTH_MAX - held);
            self.stash[held..held + more].copy_from_slice(&rest[..more]);
            (&self.stash[..held + more], held + more)
        };
        let Some((header, length)) = Header::parse(bytes, self.config.deflate)? else {
            if held == 0 {
                self.stash[..stashed].copy_from_slice(&rest[..stashed]);
            }
            self.stash_length = stashed as u8;
            *at = input.len();
            return Ok(None);
        };
        *at += length - held;
        self.stash_length = 0;
        self.admit(&header)?;
        Ok(Some(header))
    }

    /// Checks a frame against the message under way and the limits, before anything of it is gathered.
    fn admit(&mut self, header: &Header) -> Result<(), Violation> {
        let mut message = match (header.opcode, self.message) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => return Ok(()),
            (Opcode::Continuation, Some(message)) => message,
            (Opcode::Continuation, None) => {
                return Err(Violation::protocol("CONTINUATION frame without prior !FIN"));
            }
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(Violation::protocol(
                    "Data frame inside a fragmented message, expected CONTINUATION",
                ));
            }
            (opcode, None) => {
                Message { binary: opcode == Opcode::Binary, deflated: header.deflated, size: 0 }
            }
        };
        message.size = message.size.saturating_add(header.length);
        let (name, max) = match message.binary {
            true => ("Binary", self.config.binary_max),
            false => ("Text", self.config.text_max),
        };
        if !message.deflated && message.size > max as u64 {
            let size = message.size;
            return Err(Violation::too_large(format!(
                "{name} message size [{size}] exceeds maximum size [{max}]"
            )));
        }
        self.message = Some(message);
        Ok(())
    }

    fn read_control(
        &mut self,
        frame: &Frame,
        position: u64,
        input: &mut [u8],
        range: Range<usize>,
    ) -> Option<Found> {
        let whole = frame.read == frame.header.length;
        mask::apply(frame.header.mask, position, &mut input[range.clone()]);
        let place = if whole && position == 0 {
            Place::Input(range)
        } else {
            self.control.extend_from_slice(&input[range]);
            Place::Control
        };
        let kind = match frame.header.opcode {
            Opcode::Close => Kind::Close,
            Opcode::Ping => Kind::Ping,
            _ => Kind::Pong,
        };
        whole.then_some(Found { kind, place })
    }

    fn read_data(
        &mut self,
        frame: &Frame,
        position: u64,
        input: &mut [u8],
        range: Range<usize>,
    ) -> Result<Option<Found>, Violation> {
        let header = &frame.header;
        let message = self.message.expect("a data frame is admitted together with its message");
        let last = header.fin && frame.read == header.length;
        let chunk = &mut input[range.clone()];
        match (message.deflated, message.binary) {
            (true, _) => {
                mask::apply(header.mask, position, chunk);
                self.inflate(message, chunk, last)?;
            }
            // Counted when it was admitted; nobody looks at its bytes.
            (false, true) => {}
            (false, false) if last && position == 0 && header.opcode == Opcode::Text => {
                self.message = None;
                mask::apply(header.mask, position, chunk);
                simdutf8::basic::from_utf8(chunk).map_err(|_| invalid_text())?;
                return Ok(Some(Found { kind: Kind::Text, place: Place::Input(range) }));
            }
            (false, false) => {
                self.gathered.append(chunk, header.mask, position, message.size as usize)?;
            }
        }
        if message.deflated && !message.binary {
            self.gathered.check()?;
        }
        if !last {
            return Ok(None);
        }
        self.message = None;
        if !message.binary && !self.gathered.is_whole() {
            return Err(invalid_text());
        }
        let kind = match (message.binary, message.deflated) {
            (false, _) => Kind::Text,
            (true, false) => Kind::Binary(message.size as usize),
            (true, true) => Kind::Binary(self.gathered.bytes.len()),
        };
        Ok(Some(Found { kind, place: Place::Gathered }))
    }

    fn inflate(&mut self, message: Message, chunk: &[u8], last: bool) -> Result<(), Violation> {
        let max = if message.binary { self.config.binary_max } else { self.config.text_max };
        let inflater = self.inflater.get_or_insert_with(|| Box::new(Inflater::new()));
        inflater.append(chunk, &mut self.gathered.bytes, max)?;
        if last {
            inflater.finish(&mut self.gathered.bytes, max)?;
        }
        Ok(())
    }
}

impl Gathered {
    /// Takes in bytes of a message of which `announced` bytes in all are to come so far. The buffer doubles,
    /// but never beyond what was announced, and never by more than what has arrived calls for. They are unmasked and checked
    /// here, block by block, so that memory is gone through once.
    fn append(
        &mut self,
        chunk: &[u8],
        mask: [u8; 4],
        mut position: u64,
        announced: usize,
    ) -> Result<(), Violation> {
        let length = self.bytes.len() + chunk.len();
        if length > self.bytes.capacity() {
            let capacity = self.bytes.capacity().saturating_mul(2).min(announced).max(length);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        for block in chunk.chunks(BLOCK) {
            let at = self.bytes.len();
            self.bytes.extend_from_slice(block);
            mask::apply(mask, position, &mut self.bytes[at..]);
            self.check()?;
            position += block.len() as u64;
        }
        Ok(())
    }

    /// Checks what is new. A character may be cut off at the end.
    fn check(&mut self) -> Result<(), Violation> {
        match simdutf8::compat::from_utf8(&self.bytes[self.checked..]) {
            Ok(_) => self.checked = self.bytes.len(),
            Err(error) if error.error_len().is_some() => return Err(invalid_text()),
            Err(error) => self.checked += error.valid_up_to(),
        }
        Ok(())
    }

    /// No character is cut off at the end.
    fn is_whole(&self) -> bool {
        self.checked == self.bytes.len()
    }
}

fn invalid_text() -> Violation {
    Violation::payload("Text message is not valid UTF-8")
}

/// Code and reason of a close frame (RFC 6455 sections 5.5.1 and 7.4).
fn read_close(payload: &[u8]) -> Result<Option<(u16, &str)>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return match payload {
            [] => Ok(None),
            _ => Err(Violation::protocol("Close frame payload of 1 byte")),
        };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1011 | 3000..=4999) {
        return Err(Violation::protocol(format!("Invalid close code: {code}")));
    }
    match simdutf8::basic::from_utf8(reason) {
        Ok(reason) => Ok(Some((code, reason))),
        Err(_) => Err(Violation::payload("Close reason is not valid UTF-8")),
    }
}

#[cfg(test)]
mod tests;
