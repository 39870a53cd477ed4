//! Headers of client frames (RFC 6455 section 5.2), with every rule that needs no knowledge of the message
//! around them.

use super::decode::Violation;
use crate::base::limit::CONTROL_PAYLOAD_MAX;

/// Longest header, bytes: two, a 64-bit length, the mask.
pub(super) const LENGTH_MAX: usize = 14;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Opcode> {
        Some(match bits {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    /// Close, ping and pong: may stand between the fragments of a message.
    pub(super) fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// One sound header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) opcode: Opcode,
    /// The last frame of its message.
    pub(super) fin: bool,
    /// RSV1: the message that starts here is compressed.
    pub(super) deflated: bool,
    pub(super) mask: [u8; 4],
    /// Payload, bytes; below 2^63.
    pub(super) length: u64,
}

impl Header {
    /// Reads the header at the start of `bytes`: it and its own length, or `None` while it is cut off. A
    /// violation is reported as soon as the byte that shows it is there. `deflate`: `permessage-deflate` was
    /// agreed on.
    pub(super) fn parse(bytes: &[u8], deflate: bool) -> Result<Option<(Header, usize)>, Violation> {
        let [first, second, rest @ ..] = bytes else {
            return Ok(None);
        };
        let (opcode, short) = Header::check_start(*first, *second, deflate)?;
        let (length, rest) = match short {
            126 => match rest.split_first_chunk() {
                Some((long, rest)) => (minimal(u64::from(u16::from_be_bytes(*long)), 126)?, rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk() {
                Some((long, rest)) => (minimal(u64::from_be_bytes(*long), 1 << 16)?, rest),
                None => return Ok(None),
            },
            short => (u64::from(short), rest),
        };
        if length >> 63 != 0 {
            return Err(Violation::protocol("Payload length with the most significant bit set"));
        }
        let Some((mask, rest)) = rest.split_first_chunk() else {
            return Ok(None);
        };
        let header =
            Header { opcode, fin: first & 0x80 != 0, deflated: first & 0x40 != 0, mask: *mask, length };
        Ok(Some((header, bytes.len() - rest.len())))
    }

    /// What the first two bytes say: the opcode and the seven bits of length.
    fn check_start(first: u8, second: u8, deflate: bool) -> Result<(Opcode, u8), Violation> {
        let Some(opcode) = Opcode::from_bits(first & 0x0f) else {
            return Err(Violation::protocol(format!("Unknown opcode: {}", first & 0x0f)));
        };
        let rsv1_allowed = deflate && matches!(opcode, Opcode::Text | Opcode::Binary);
        for (bit, name) in [(0x40, "RSV1"), (0x20, "RSV2"), (0x10, "RSV3")] {
            if first & bit != 0 && !(bit == 0x40 && rsv1_allowed) {
                return Err(Violation::protocol(format!("{name} not allowed to be set")));
            }
        }
        if second & 0x80 == 0 {
            return Err(Violation::protocol("Client MUST mask all frames (RFC-6455: Section 5.1)"));
        }
        let short = second & 0x7f;
        if opcode.is_control() {
            if first & 0x80 == 0 {
                return Err(Violation::protocol(format!("Fragmented control frame [{opcode:?}]")));
            }
            if usize::from(short) > CONTROL_PAYLOAD_MAX {
                return Err(Violation::protocol(format!(
                    "Invalid control frame payload length, [{short}] cannot exceed [{CONTROL_PAYLOAD_MAX}]"
                )));
            }
        }
        Ok((opcode, short))
    }
}

/// RFC 6455 section 5.2: "the minimal number of bytes MUST be used to encode the length".
fn minimal(length: u64, least: u64) -> Result<u64, Violation> {
    if length < least {
        return Err(Violation::protocol(format!("Payload length {length} is not minimally encoded")));
    }
    Ok(length)
}
