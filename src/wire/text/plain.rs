//! Tokens read straight from the text, where it lies: objects whose members are strings without escapes, integers, words and more
//! such objects, which is what clients send. Strings are found by their quotes, so a long payload is searched once and copied
//! never. Whatever else there is, this reader is unsure and another one begins anew.

use crate::wire::text::json::{Source, Value};
use crate::wire::text::tape::Unsure;
use std::borrow::Cow;

/// Digits of an integer that certainly fits 64 bits.
const DIGITS_MAX: usize = 18;
/// Words of eight bytes that are looked at before a string counts as long: names of members, numbers as contexts.
const SHORT_WORDS: usize = 2;
/// A text of at most so many bytes is checked at once: that costs less than to check each of its strings.
const WHOLE_MAX: usize = 512;

/// A place in a text. Of its UTF-8 only that is checked which is given out as a string.
pub(super) struct Plain<'a> {
    text: &'a [u8],
    /// The text, if it is short and UTF-8.
    whole: Option<&'a str>,
    at: usize,
    /// Objects begun and not ended.
    open: usize,
    /// The innermost object was just begun: no comma is due.
    fresh: bool,
    /// A value may have been given out unchecked: whoever gets it looks at one.
    trusted: bool,
}

impl<'a> Plain<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        let whole = if text.len() <= WHOLE_MAX { simdutf8::basic::from_utf8(text).ok() } else { None };
        Plain { text, whole, at: 0, open: 0, fresh: false, trusted: false }
    }

    /// True when the value is whole and nothing follows it.
    pub(super) fn is_done(&mut self) -> bool {
        self.open == 0 && self.visible().is_none()
    }

    /// The next byte that is no white space.
    fn visible(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(*byte),
            }
        }
        None
    }

    /// Passes over the next visible byte if it is this one.
    fn take(&mut self, wanted: u8) -> Result<(), Unsure> {
        if self.visible() != Some(wanted) {
            return Err(Unsure);
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<&'a str, Unsure> {
        self.take(b'"')?;
        let rest = &self.text[self.at..];
        let length = string_length(rest)?;
        let start = self.at;
        let bytes = self.until_quote(length)?;
        let string = match self.whole {
            Some(whole) => whole.get(start..start + length),
            None => simdutf8::basic::from_utf8(bytes).ok(),
        };
        string.ok_or(Unsure)
    }

    /// The bytes up to the quote that must be `length` further on; behind it from here on.
    fn until_quote(&mut self, length: usize) -> Result<&'a [u8], Unsure> {
        let (bytes, rest) = self.text[self.at..].split_at(length);
        if rest.first() != Some(&b'"') {
            return Err(Unsure);
        }
        self.at += length + 1;
        Ok(bytes)
    }

    fn integer(&mut self) -> Result<i64, Unsure> {
        let rest = &self.text[self.at..];
        let sign = usize::from(rest.first() == Some(&b'-'));
        let digits = rest[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = &rest[..sign + digits];
        let odd = rest.get(number.len()).is_some_and(|next| matches!(next, b'.' | b'e' | b'E'));
        // A zero is left to who knows how it was written: 0, -0, or 01, which is none.
        if odd || digits == 0 || digits > DIGITS_MAX || rest[sign] == b'0' {
            return Err(Unsure);
        }
        self.at += number.len();
        let number = std::str::from_utf8(number).map_err(|_| Unsure)?;
        number.parse().map_err(|_| Unsure)
    }

    fn word(&mut self, word: &str) -> Result<(), Unsure> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return Err(Unsure);
        }
        self.at += word.len();
        Ok(())
    }
}

/// Bytes before the quote or backslash that comes first.
fn string_length(rest: &[u8]) -> Result<usize, Unsure> {
    let mut length = 0;
    for word in rest.as_chunks().0.iter().take(SHORT_WORDS) {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return Ok(length + special.trailing_zeros() as usize / 8);
        }
        length += word.len();
    }
    let long = &rest[length..];
    let more = memchr::memchr2(b'"', b'\\', long).ok_or(Unsure)?;
    // Control characters are illegal in strings. Written as a fold because that becomes SIMD.
    let lowest = long[..more].iter().fold(u8::MAX, |lowest, byte| lowest.min(*byte));
    if lowest < b' ' { Err(Unsure) } else { Ok(length + more) }
}

/// The lowest bit set lies in the first byte, in memory order, that is a quote, a backslash or a control character.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // A borrow may mark bytes behind the first that is below, never one before it.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, b' ') | is(b'"') | is(b'\\')
}

impl<'a> Source<'a> for Plain<'a> {
    type Error = Unsure;

    fn value(&mut self) -> Result<Value<'a>, Unsure> {
        Ok(match self.visible().ok_or(Unsure)? {
            b'"' => Value::Text(Cow::Borrowed(self.string()?)),
            b'{' => {
                self.at += 1;
                self.open += 1;
                self.fresh = true;
                Value::Object
            }
            b't' => self.word("true").map(|()| Value::Bool(true))?,
            b'f' => self.word("false").map(|()| Value::Bool(false))?,
            b'n' => self.word("null").map(|()| Value::Null)?,
            _ => Value::Integer(self.integer()?),
        })
    }

    fn name(&mut self) -> Result<Option<Cow<'a, str>>, Unsure> {
        let fresh = std::mem::replace(&mut self.fresh, false);
        match self.visible().ok_or(Unsure)? {
            b'}' => {
                self.at += 1;
                self.open = self.open.checked_sub(1).ok_or(Unsure)?;
                return Ok(None);
            }
            b',' if !fresh => self.at += 1,
            _ if fresh => {}
            _ => return Err(Unsure),
        }
        let name = self.string()?;
        self.take(b':')?;
        Ok(Some(Cow::Borrowed(name)))
    }

    fn unchecked(&mut self) -> Result<Option<&'a [u8]>, Unsure> {
        if std::mem::replace(&mut self.trusted, true) {
            return Err(Unsure);
        }
        if self.visible() != Some(b'"') {
            return Ok(None);
        }
        self.at += 1;
        let length = memchr::memchr2(b'"', b'\\', &self.text[self.at..]).ok_or(Unsure)?;
        self.until_quote(length).map(Some)
    }

    fn item(&mut self) -> Result<bool, Unsure> {
        Err(Unsure)
    }

    fn skip(&mut self) -> Result<(), Unsure> {
        match self.value()? {
            Value::Object | Value::Array => Err(Unsure),
            _ => Ok(()),
        }
    }

    fn refuse(&self, _message: impl FnOnce() -> String) -> Unsure {
        Unsure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_string_is_found_at_every_length() {
        for length in 0..70 {
            for end in [b'"', b'\\'] {
                let mut text: Vec<u8> =
                    (0..length).map(|at| [b'a', b' ', b'!', 0x7f, 0xc3][at % 5]).collect();
                text.push(end);
                text.extend_from_slice(b"behind \" \\ \n");
                assert_eq!(string_length(&text).ok(), Some(length), "{text:?}");
                for at in 0..length {
                    let mut odd = text.clone();
                    odd[at] = 0x1f;
                    // Refused, or reported as the place where no quote is.
                    assert!(string_length(&odd).map_or(true, |found| found == at), "{odd:?}");
                }
                text.truncate(length);
                assert!(string_length(&text).is_err(), "{text:?}");
            }
        }
    }
}
