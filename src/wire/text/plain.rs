//! Tokens read straight from the text, where it lies: objects whose members are strings without escapes, integers, words and more
//! such objects, which is what clients send. Strings are found by their quotes, so a long payload is searched once and copied
//! never. Whatever else there is, this reader is unsure and another one begins anew.

use crate::wire::text::json::{Source, Value};
use crate::wire::text::tape::Unsure;
use std::borrow::Cow;

/// Digits of an integer that certainly fits 64 bits.
const DIGITS_MAX: usize = 18;

/// A place in a text.
pub(super) struct Plain<'a> {
    text: &'a [u8],
    at: usize,
    /// Objects begun and not ended.
    open: usize,
    /// The innermost object was just begun: no comma is due.
    fresh: bool,
}

impl<'a> Plain<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Plain { text, at: 0, open: 0, fresh: false }
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
        let length = memchr::memchr2(b'"', b'\\', rest).ok_or(Unsure)?;
        let bytes = &rest[..length];
        // Control characters are illegal in strings. Written as a fold because that becomes SIMD.
        let lowest = bytes.iter().fold(u8::MAX, |lowest, byte| lowest.min(*byte));
        if rest[length] != b'"' || lowest < b' ' {
            return Err(Unsure);
        }
        self.at += length + 1;
        simdutf8::basic::from_utf8(bytes).map_err(|_| Unsure)
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
