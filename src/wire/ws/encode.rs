//! Server frames: unmasked, never fragmented, written straight into the connection's outbox.

use crate::base::limit::CONTROL_PAYLOAD_MAX;

const FIN: u8 = 0x80;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
/// Bytes reserved beforehand at most: a guess may be wrong.
const HINT_MAX: usize = 1 << 20;
/// RSV1: the message is compressed. Source: RFC 7692 section 6.
pub(super) const COMPRESSED: u8 = 0x40;

/// Appends a text frame whose payload `write` appends; the header is sized for what was written. `hint` is
/// the expected payload length: a good guess saves moving the payload.
pub fn put_text(out: &mut Vec<u8>, hint: usize, write: impl FnOnce(&mut Vec<u8>)) {
    put_text_frame(out, 0, hint, write);
}

/// As [`put_text`], with reserved bits: 0 or [`COMPRESSED`].
pub(super) fn put_text_frame(out: &mut Vec<u8>, reserved: u8, hint: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    let guessed = start + header_length(hint);
    out.reserve(guessed - start + hint.min(HINT_MAX));
    out.resize(guessed, 0);
    write(out);
    assert!(out.len() >= guessed, "the payload is appended, nothing is taken away");
    let length = out.len() - guessed;
    let payload = start + header_length(length);
    if payload > guessed {
        out.resize(payload + length, 0);
    }
    if payload != guessed {
        out.copy_within(guessed..guessed + length, payload);
        out.truncate(payload + length);
    }
    out[start] = FIN | reserved | TEXT;
    put_length(&mut out[start + 1..payload], length);
}

/// Bytes of the header of a frame with that payload.
fn header_length(payload: usize) -> usize {
    match payload {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// Fills the length field, 1, 3 or 9 bytes: `field` has the size that `length` calls for.
fn put_length(field: &mut [u8], length: usize) {
    let (short, long) = (&mut field[0], length as u64);
    match length {
        0..=125 => *short = length as u8,
        126..=0xffff => {
            *short = 126;
            field[1..].copy_from_slice(&long.to_be_bytes()[6..]);
        }
        _ => {
            *short = 127;
            field[1..].copy_from_slice(&long.to_be_bytes());
        }
    }
}

/// Appends a ping, at most 125 bytes of payload.
pub fn put_ping(out: &mut Vec<u8>, payload: &[u8]) {
    put_control(out, PING, &[payload]);
}

/// Appends a pong, at most 125 bytes of payload.
pub fn put_pong(out: &mut Vec<u8>, payload: &[u8]) {
    put_control(out, PONG, &[payload]);
}

/// Appends a close frame; the reason is cut at a character boundary to 123 bytes. `None`: an empty close
/// frame.
pub fn put_close(out: &mut Vec<u8>, code: Option<(u16, &str)>) {
    let Some((code, reason)) = code else {
        return put_control(out, CLOSE, &[]);
    };
    let code = code.to_be_bytes();
    let reason = &reason[..reason.floor_char_boundary(CONTROL_PAYLOAD_MAX - code.len())];
    put_control(out, CLOSE, &[&code, reason.as_bytes()]);
}

fn put_control(out: &mut Vec<u8>, opcode: u8, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    assert!(length <= CONTROL_PAYLOAD_MAX, "control frames are short: {length} bytes");
    out.extend_from_slice(&[FIN | opcode, length as u8]);
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests;
