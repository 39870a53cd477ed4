//! The client half of RFC 6455 that a load generator needs, and the texts of Pulsar's WebSocket API by their known form.
//!
//! Frames are masked with the key 0: legal bytes, the same work for the server, none for us.

use std::ops::Range;

const TEXT: u8 = 0x1;
/// Opcode of a pong.
pub(crate) const PONG: u8 = 0xa;

/// One frame from the server; ranges are within the bytes given to [`decode`].
#[derive(Debug, PartialEq)]
pub(crate) enum Frame {
    Text(Range<usize>),
    Ping(Range<usize>),
    Pong,
    Close { code: u16, reason: Range<usize> },
}

/// The first whole frame of `bytes` and its length, or None when more bytes are needed. Errors name what is wrong.
pub(crate) fn decode(bytes: &[u8], payload_max: usize) -> Result<Option<(Frame, usize)>, &'static str> {
    let Some(&[first, second]) = bytes.first_chunk() else { return Ok(None) };
    if second & 0x80 != 0 {
        return Err("a masked frame");
    }
    if first & 0xf0 != 0x80 {
        return Err("a fragment or reserved bits"); // neither server has a reason to send them
    }
    let (length, start) = match second {
        126 => match bytes[2..].first_chunk() {
            Some(length) => (usize::from(u16::from_be_bytes(*length)), 4),
            None => return Ok(None),
        },
        127 => match bytes[2..].first_chunk() {
            Some(length) => (usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX), 10),
            None => return Ok(None),
        },
        short => (usize::from(short), 2),
    };
    if length > payload_max {
        return Err("an oversized frame");
    }
    let payload = start..start + length;
    if bytes.len() < payload.end {
        return Ok(None);
    }
    let end = payload.end;
    let frame = match first & 0x0f {
        TEXT => Frame::Text(payload),
        0x8 => {
            let code = bytes[payload.clone()].first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
            Frame::Close { code, reason: (payload.start + 2).min(end)..end }
        }
        0x9 => Frame::Ping(payload),
        PONG => Frame::Pong,
        _ => return Err("an opcode that is not text"),
    };
    Ok(Some((frame, end)))
}

/// Appends one whole frame.
pub(crate) fn encode(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// What stands before a payload, or a context.
const PAYLOAD: &[u8] = br#""payload":""#;
const CONTEXT: &[u8] = br#""context":""#;
const CONTEXT_DIGITS: usize = 10;
/// Characters of a payload's base64 that carry a time: hexadecimal digits are base64 as well, and 16 of them 12 bytes.
const STAMP_DIGITS: usize = 16;

/// A message ready to send but for its time and its number, which are patched in place.
pub(crate) struct Template {
    frame: Vec<u8>,
    stamp_at: usize,
    context_at: usize,
}

impl Template {
    /// `payload`: base64 text of 16 characters at least.
    pub(crate) fn new(payload: &str) -> Template {
        let text = format!(r#"{{"payload":"{payload}","context":"{}"}}"#, "0".repeat(CONTEXT_DIGITS));
        let mut frame = Vec::new();
        encode(TEXT, text.as_bytes(), &mut frame);
        let stamp_at = frame.len() - text.len() + r#"{"payload":""#.len();
        let context_at = frame.len() - r#""}"#.len() - CONTEXT_DIGITS;
        Template { frame, stamp_at, context_at }
    }

    /// Appends the message of this number, due at this time.
    pub(crate) fn write(&mut self, number: u64, due: u64, out: &mut Vec<u8>) {
        let mut rest = number;
        for digit in self.frame[self.context_at..][..CONTEXT_DIGITS].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        for (place, digit) in self.frame[self.stamp_at..][..STAMP_DIGITS].iter_mut().rev().enumerate() {
            *digit = b"0123456789abcdef"[(due >> (4 * place) & 15) as usize];
        }
        out.extend_from_slice(&self.frame);
    }
}

/// What stands behind the context of an answer.
const BEHIND_CONTEXT: usize = r#"","errorCode":0,"schemaVersion":0}"#.len();

/// The answer to a message: its number, and whether it was stored. None: not an answer.
pub(crate) fn answer(text: &[u8]) -> Option<(u64, bool)> {
    // Where it always is; elsewhere it is looked for.
    let usual = text.len().checked_sub(BEHIND_CONTEXT + CONTEXT_DIGITS + CONTEXT.len());
    let usual = usual.and_then(|at| text[at..].strip_prefix(CONTEXT)).map(|rest| &rest[..CONTEXT_DIGITS]);
    let number = usual.or_else(|| value(text, CONTEXT))?;
    let number = number.iter().try_fold(0, |sum: u64, c| Some(sum * 10 + u64::from(c.checked_sub(b'0')?)))?;
    Some((number, text.starts_with(br#"{"result":"ok""#)))
}

/// When a delivered message was due. None: it is not one of ours.
pub(crate) fn stamp(text: &[u8]) -> Option<u64> {
    let start = memchr::memmem::find(text, PAYLOAD)? + PAYLOAD.len();
    let digits = text.get(start..start + STAMP_DIGITS)?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Appends the acknowledgement of a delivered message. False: it has no id.
pub(crate) fn acknowledge(text: &[u8], out: &mut Vec<u8>) -> bool {
    const BEFORE: &[u8] = br#"{"messageId":""#;
    let usual = text.strip_prefix(BEFORE).and_then(|rest| Some(&rest[..memchr::memchr(b'"', rest)?]));
    let Some(id) = usual.or_else(|| value(text, BEFORE)).filter(|id| id.len() < 100) else { return false };
    let length = r#"{"messageId":""}"#.len() + id.len();
    out.extend_from_slice(&[0x80 | TEXT, 0x80 | length as u8, 0, 0, 0, 0]);
    out.extend_from_slice(br#"{"messageId":""#);
    out.extend_from_slice(id);
    out.extend_from_slice(br#""}"#);
    true
}

fn value<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let start = memchr::memmem::find(text, name)? + name.len();
    let length = memchr::memchr(b'"', &text[start..])?;
    Some(&text[start..start + length])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_carries_number_and_time() {
        let mut template = Template::new("AAAAAAAAAAAAAAAAAAAA");
        let mut out = Vec::new();
        template.write(42, 0x1f, &mut out);
        let text = br#"{"payload":"000000000000001fAAAA","context":"0000000042"}"#;
        let mut whole = Vec::new();
        encode(TEXT, text, &mut whole);
        assert_eq!(out, whole);
        assert_eq!(stamp(text), Some(0x1f));
        assert_eq!(answer(text), Some((42, false)));
    }

    #[test]
    fn answers_and_deliveries_are_understood() {
        let ok = br#"{"result":"ok","messageId":"CAEQADAA","context":"0000000007","errorCode":0,"schemaVersion":0}"#;
        assert_eq!(answer(ok), Some((7, true)));
        assert_eq!(answer(b"{}"), None);
        let mut out = Vec::new();
        assert!(acknowledge(br#"{"messageId":"CAEQADAA","payload":""}"#, &mut out));
        assert_eq!(&out[6..], br#"{"messageId":"CAEQADAA"}"#);
        assert_eq!(usize::from(out[1] & 0x7f), out.len() - 6);
        assert!(!acknowledge(b"{}", &mut out));
    }

    #[test]
    fn every_prefix_of_a_frame_asks_for_more() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let mut frame = vec![0x80 | TEXT];
            match length {
                0..=125 => frame.push(length as u8),
                126..=65_535 => frame.extend_from_slice(&[126, (length >> 8) as u8, length as u8]),
                _ => frame.extend_from_slice(&[127, 0, 0, 0, 0, 0, 1, 0, 0]),
            }
            let start = frame.len();
            frame.resize(start + length, b'x');
            for cut in (0..frame.len()).filter(|cut| *cut < 300 || *cut > length) {
                assert_eq!(decode(&frame[..cut], 1 << 20), Ok(None), "{cut} of {length}");
            }
            assert_eq!(
                decode(&frame, 1 << 20),
                Ok(Some((Frame::Text(start..start + length), start + length)))
            );
        }
    }

    #[test]
    fn the_other_frames_and_the_wrong_ones() {
        assert_eq!(
            decode(b"\x88\x05\x03\xe8bye", 125),
            Ok(Some((Frame::Close { code: 1000, reason: 4..7 }, 7)))
        );
        assert_eq!(decode(b"\x88\x00", 125), Ok(Some((Frame::Close { code: 1005, reason: 2..2 }, 2))));
        assert_eq!(decode(b"\x89\x01p", 125), Ok(Some((Frame::Ping(2..3), 3))));
        assert_eq!(decode(b"\x8a\x00", 125), Ok(Some((Frame::Pong, 2))));
        for wrong in [
            &b"\x81\x80"[..],
            b"\x01\x00",
            b"\xc1\x00",
            b"\x82\x00",
            b"\x81\x7e\x01\x00",
            b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(decode(wrong, 125).is_err(), "{wrong:?}");
        }
    }
}
