//! WebSocket frames and texts, by their known form.

/// One whole frame of a client.
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    /// Where the text begins and the frame ends, in the bytes given.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Opcode of a text.
pub(crate) const TEXT: u8 = 0x81;
/// Opcode of a close.
pub(crate) const CLOSE: u8 = 0x88;
/// `{"payload":"` before, `","context":"0123456789"}` behind the payload of a producer's text.
const PAYLOAD_AT: usize = 12;
const CONTEXT: usize = 10;
const BEHIND: usize = 13 + CONTEXT + 2;
/// `{"messageId":"` before, `"}` behind the id of an acknowledgement.
const ID_AT: usize = 14;
const ID_BEHIND: usize = 2;

/// Finds the next frame at `at` and unmasks it. `None`: it is not whole. `Err`: not masked.
pub(crate) fn next(bytes: &mut [u8], at: usize) -> Result<Option<Frame>, String> {
    let Some(&[opcode, second]) = bytes[at..].first_chunk() else { return Ok(None) };
    if second & 0x80 == 0 {
        return Err("a frame without a mask".to_owned());
    }
    let (length, head) = match second & 0x7f {
        126 => match bytes[at + 2..].first_chunk() {
            Some(length) => (usize::from(u16::from_be_bytes(*length)), 4),
            None => return Ok(None),
        },
        127 => match bytes[at + 2..].first_chunk() {
            Some(length) => (u64::from_be_bytes(*length) as usize, 10),
            None => return Ok(None),
        },
        short => (usize::from(short), 2),
    };
    let start = at + head + 4;
    let Some(end) = start.checked_add(length) else { return Err("a frame beyond all memory".to_owned()) };
    if bytes.len() < end {
        return Ok(None);
    }
    let mask = [bytes[start - 4], bytes[start - 3], bytes[start - 2], bytes[start - 1]];
    unmask(mask, &mut bytes[start..end]);
    Ok(Some(Frame { opcode, start, end }))
}

fn unmask(mask: [u8; 4], payload: &mut [u8]) {
    let half = u64::from(u32::from_ne_bytes(mask));
    let word = half << 32 | half;
    let (words, tail) = payload.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(mask) {
        *byte ^= key;
    }
    // A tail has up to seven bytes, the key four.
    for (byte, key) in tail.iter_mut().skip(4).zip(mask) {
        *byte ^= key;
    }
}

/// Payload (base64) and context of a producer's text.
pub(crate) fn request(text: &[u8]) -> Option<(&[u8], &[u8; CONTEXT])> {
    let payload = text.get(PAYLOAD_AT..text.len().checked_sub(BEHIND)?)?;
    let context = text[..text.len() - 2].last_chunk()?;
    Some((payload, context))
}

/// The id (base64) of a consumer's acknowledgement.
pub(crate) fn acknowledged(text: &[u8]) -> Option<&[u8]> {
    text.get(ID_AT..text.len().checked_sub(ID_BEHIND)?)
}

/// Appends the head of a text frame from the server.
pub(crate) fn put_head(length: usize, out: &mut Vec<u8>) {
    out.push(TEXT);
    match length {
        0..126 => out.push(length as u8),
        126..0x1_0000 => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// The answer to a message, but for its context.
const ANSWER: &[u8; 93] =
    br#"{"result":"ok","messageId":"CAEQADAA","context":"0000000000","errorCode":0,"schemaVersion":0}"#;
/// Where the context is in it.
const ANSWER_CONTEXT: usize = 49;

/// Appends the frame that confirms a message.
pub(crate) fn put_answer(context: &[u8; CONTEXT], out: &mut Vec<u8>) {
    let mut frame = [0; 2 + ANSWER.len()];
    frame[0] = TEXT;
    frame[1] = ANSWER.len() as u8;
    frame[2..].copy_from_slice(ANSWER);
    frame[2 + ANSWER_CONTEXT..][..CONTEXT].copy_from_slice(context);
    out.extend_from_slice(&frame);
}

const BEFORE_ID: &[u8] = br#"{"messageId":""#;
const BEFORE_PAYLOAD: &[u8] = br#"","payload":""#;
const BEHIND_PAYLOAD: &[u8] =
    br#"","properties":{},"publishTime":"2026-01-02T03:04:05.678Z","redeliveryCount":0}"#;

/// Appends the frame of a message to a consumer; `id` is its serialised id.
pub(crate) fn put_delivery(id: &[u8], payload: &[u8], out: &mut Vec<u8>) {
    let encoded = |length: usize| length.div_ceil(3) * 4;
    let around = BEFORE_ID.len() + BEFORE_PAYLOAD.len() + BEHIND_PAYLOAD.len();
    put_head(around + encoded(id.len()) + encoded(payload.len()), out);
    out.extend_from_slice(BEFORE_ID);
    base64_simd::STANDARD.encode_append(id, out);
    out.extend_from_slice(BEFORE_PAYLOAD);
    base64_simd::STANDARD.encode_append(payload, out);
    out.extend_from_slice(BEHIND_PAYLOAD);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::ws;

    #[test]
    fn the_load_generator_s_texts_are_read_at_their_places() {
        let mut template = ws::Template::new("AAAAAAAAAAAAAAAAAAAA");
        let mut bytes = Vec::new();
        template.write(42, 0x1f, &mut bytes);
        let frame = next(&mut bytes, 0).expect("masked").expect("whole");
        let (payload, context) = request(&bytes[frame.start..frame.end]).expect("its form");
        assert_eq!((payload, &context[..]), (&b"000000000000001fAAAA"[..], &b"0000000042"[..]));
        let mut answer = Vec::new();
        put_answer(context, &mut answer);
        assert_eq!(ws::answer(&answer[2..]), Some((42, true)));
        let mut delivery = Vec::new();
        put_delivery(b"\x08\x01", b"payload", &mut delivery);
        let Ok(Some((ws::Frame::Text(text), length))) = ws::decode(&delivery, 1000) else { panic!("a text") };
        assert_eq!(length, delivery.len());
        let mut ack = Vec::new();
        assert!(ws::acknowledge(&delivery[text], &mut ack));
        let frame = next(&mut ack, 0).expect("masked").expect("whole");
        assert_eq!(acknowledged(&ack[frame.start..frame.end]), Some(&b"CAE="[..]));
    }

    #[test]
    fn every_length_is_unmasked_and_every_prefix_asks_for_more() {
        for length in (0..40).chain([125, 126, 127, 65_535, 65_536]) {
            let plain: Vec<u8> = (0..length).map(|n: usize| n as u8).collect();
            let mask = [0x37, 0xfa, 0x21, 0x3d];
            let mut frame = Vec::new();
            ws::encode(1, &plain, &mut frame);
            let start = frame.len() - length;
            frame[start - 4..start].copy_from_slice(&mask);
            frame[start..].iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
            let whole = frame.len();
            for cut in (0..whole).filter(|cut| *cut < 20 || cut + 20 > whole) {
                assert!(next(&mut frame[..cut], 0).expect("masked").is_none());
            }
            let found = next(&mut frame, 0).expect("masked").expect("whole");
            assert_eq!(&frame[found.start..found.end], &plain[..]);
        }
        assert!(next(&mut [0x81, 0x00], 0).is_err());
    }
}
