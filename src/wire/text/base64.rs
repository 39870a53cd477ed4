//! Base64 as the JDK's basic decoder reads it: padding optional, loose trailing bits allowed, everything else
//! refused with the JDK's words (API 3.2). All but the last unit runs on SIMD, straight into the caller's
//! buffer.

/// Why a text is not base64; `Display` gives the JDK's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Base64Error {
    /// A character outside the alphabet, as one byte of Latin-1 (`?` for characters beyond); the JDK prints
    /// it signed.
    #[error("Illegal base64 character {}", signed_hex(.0))]
    Character(u8),
    /// `=` where it cannot stand.
    #[error("Input byte array has wrong 4-byte ending unit")]
    Ending,
    /// A last unit of one character.
    #[error("Last unit does not have enough valid bits")]
    Bits,
    /// Text after the padding; the offset of its first byte.
    #[error("Input byte array has incorrect ending byte at {0}")]
    AfterPadding(usize),
    /// A text of one character.
    #[error("Input byte[] should at least have 2 bytes for base64 bytes")]
    Short,
}

fn signed_hex(byte: &u8) -> String {
    let signed = byte.cast_signed();
    format!("{}{:x}", if signed < 0 { "-" } else { "" }, signed.unsigned_abs())
}

/// Appends the decoded bytes to `out`. On `Err` the buffer is as it was before.
pub fn decode(text: &[u8], out: &mut Vec<u8>) -> Result<(), Base64Error> {
    // The last unit may lack padding or carry loose bits; units before it have one legal form.
    let units = text.len().saturating_sub(1) / 4 * 4;
    let before = out.len();
    out.reserve(text.len().div_ceil(4) * 3);
    if base64_simd::STANDARD_NO_PAD.decode_append(&text[..units], out).is_ok() {
        return decode_exactly(text, units, out).inspect_err(|_| out.truncate(before));
    }
    out.truncate(before);
    decode_exactly(text, 0, out).inspect_err(|_| out.truncate(before))
}

/// The JDK's algorithm, byte by byte, from the unit at `at` on. `out` may be left with a part of the result.
fn decode_exactly(text: &[u8], mut at: usize, out: &mut Vec<u8>) -> Result<(), Base64Error> {
    if is_one_character(text) {
        return Err(Base64Error::Short);
    }
    let (mut bits, mut sextets) = (0u32, 0);
    while at < text.len() {
        let byte = text[at];
        at += 1;
        if byte == b'=' {
            let second_padding = sextets != 2 || text.get(at) == Some(&b'=');
            if sextets == 0 || !second_padding {
                return Err(Base64Error::Ending);
            }
            at += usize::from(sextets == 2);
            break;
        }
        bits = bits << 6 | sextet(byte).ok_or_else(|| illegal(text, at - 1))?;
        sextets += 1;
        if sextets == 4 {
            out.extend_from_slice(&bits.to_be_bytes()[1..]);
            (bits, sextets) = (0, 0);
        }
    }
    match sextets {
        1 => return Err(Base64Error::Bits),
        2 => out.push((bits >> 4) as u8),
        3 => out.extend_from_slice(&[(bits >> 10) as u8, (bits >> 2) as u8]),
        _ => {}
    }
    if at < text.len() { Err(Base64Error::AfterPadding(at)) } else { Ok(()) }
}

fn sextet(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

/// The JDK turns a string into Latin-1 first, so a character counts once, however many bytes it has here.
fn is_one_character(text: &[u8]) -> bool {
    text.len() <= 4 && std::str::from_utf8(text).map_or(text.len() == 1, |text| text.chars().count() == 1)
}

fn illegal(text: &[u8], at: usize) -> Base64Error {
    if text[at].is_ascii() {
        return Base64Error::Character(text[at]);
    }
    let end = text.len().min(at + 4);
    let character = text[at..end].utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
    Base64Error::Character(character.and_then(|found| u8::try_from(found).ok()).unwrap_or(b'?'))
}

/// Appends the standard base64 of `bytes`, with padding.
pub fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    // Reserved here because the library reserves exactly, which would make a growing outbox quadratic.
    out.reserve(bytes.len().div_ceil(3) * 4);
    base64_simd::STANDARD.encode_append(bytes, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    fn decoded(text: &str) -> Result<Vec<u8>, String> {
        let mut out = b"kept".to_vec();
        match decode(text.as_bytes(), &mut out) {
            Ok(()) => Ok(out.strip_prefix(b"kept").expect("what was there stays").to_vec()),
            Err(error) => {
                assert_eq!(out, b"kept", "an error leaves the buffer alone: {text:?}");
                Err(error.to_string())
            }
        }
    }

    #[test]
    fn padding_and_loose_bits_are_optional() {
        for text in ["SGVsbG8=", "SGVsbG8", "SGVsbG9="] {
            assert_eq!(decoded(text), Ok(b"Hello".to_vec()), "{text}");
        }
        assert_eq!(decoded(""), Ok(vec![]));
        assert_eq!(decoded("AA"), Ok(vec![0]));
        assert_eq!(decoded("AB=="), Ok(vec![0]));
        assert_eq!(decoded("////+w=="), Ok(vec![255, 255, 255, 251]));
    }

    /// Texts recorded from java.util.Base64 by way of the API (API 3.2).
    #[test]
    fn errors_are_in_the_jdks_words() {
        for (text, words) in [
            ("A", "Input byte[] should at least have 2 bytes for base64 bytes"),
            ("\u{e9}", "Input byte[] should at least have 2 bytes for base64 bytes"),
            ("\u{1f600}", "Input byte[] should at least have 2 bytes for base64 bytes"),
            ("SGVs\nbG8=", "Illegal base64 character a"),
            ("-_-_", "Illegal base64 character 2d"),
            ("***", "Illegal base64 character 2a"),
            ("AAA\u{e9}", "Illegal base64 character -17"),
            ("AAA\u{20ac}A", "Illegal base64 character 3f"),
            ("AB=", "Input byte array has wrong 4-byte ending unit"),
            ("AB=C", "Input byte array has wrong 4-byte ending unit"),
            ("====", "Input byte array has wrong 4-byte ending unit"),
            ("AAAA=", "Input byte array has wrong 4-byte ending unit"),
            ("A=", "Last unit does not have enough valid bits"),
            ("AAAAA", "Last unit does not have enough valid bits"),
            ("AA==BB", "Input byte array has incorrect ending byte at 4"),
            ("AAA=B", "Input byte array has incorrect ending byte at 4"),
            ("AAAAAAA=\u{e9}", "Input byte array has incorrect ending byte at 8"),
        ] {
            assert_eq!(decoded(text), Err(words.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut random = Prng::new(1);
        for length in (0..200usize).chain([1000, 4095, 4096, 65_537]) {
            let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
            let mut text = Vec::new();
            encode(&bytes, &mut text);
            let text = String::from_utf8(text).expect("base64 is ASCII");
            assert_eq!(text.len(), length.div_ceil(3) * 4);
            assert_eq!(decoded(&text).as_ref(), Ok(&bytes), "padded, {length} bytes");
            assert_eq!(decoded(text.trim_end_matches('=')), Ok(bytes), "bare, {length} bytes");
        }
    }

    /// The fast path and the exact one agree on every text.
    #[test]
    fn both_ways_agree_on_mutated_texts() {
        let mut random = Prng::new(2);
        for round in 0..20_000 {
            let length = random.below(90) as usize;
            let mut text: Vec<u8> =
                (0..length).map(|_| b"ABCDwxyz0189+/"[random.below(14) as usize]).collect();
            for _ in 0..random.below(3) {
                let at = random.below(length as u64 + 1) as usize;
                text.insert(at, b"==\n-\xc3"[random.below(5) as usize]);
            }
            let (mut fast, mut exact) = (Vec::new(), Vec::new());
            let outcomes = (decode(&text, &mut fast), decode_exactly(&text, 0, &mut exact));
            assert_eq!(outcomes.0, outcomes.1, "seed 2, round {round}: {text:?}");
            assert!(outcomes.0.is_err() || fast == exact, "seed 2, round {round}: {text:?}");
        }
    }
}
