//! Client frames to messages. Whole frames are parsed, unmasked and checked in the receive buffer; only a frame that is
//! cut off at its end, a fragmented or a deflated message is gathered in a buffer of its own.

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

/// State of one connection's incoming side.
pub struct Decoder {
    _private: (),
}

impl Decoder {
    /// A connection that has just been upgraded.
    pub fn new(_config: DecoderConfig) -> Self {
        unimplemented!()
    }

    /// Takes the next event out of `input[*at..]` and moves `*at` behind what was read. `Ok(None)`: all of `input` was
    /// used up (gathered here if need be) and more bytes are needed. After an `Err` or a `Close` nothing more is read.
    pub fn next<'a>(
        &'a mut self,
        _input: &'a mut [u8],
        _at: &mut usize,
    ) -> Result<Option<Event<'a>>, Violation> {
        unimplemented!()
    }

    /// Bytes gathered in buffers of this connection.
    pub fn buffered(&self) -> usize {
        unimplemented!()
    }
}
