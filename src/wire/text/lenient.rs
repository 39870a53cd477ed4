//! A JSON reader after Jackson's rules and in its words (API 3.2): it keeps numbers as they were written,
//! stops after the first complete value, reads lone surrogates as `?` and nests to a depth of 1000.

use crate::base::limit::JSON_DEPTH_MAX;
use crate::wire::text::clip;
use crate::wire::text::json::{JsonError, Source, Value};
use std::borrow::Cow;

/// A string between its quotes, checked, not yet unescaped.
#[derive(Clone, Copy)]
struct Raw<'a> {
    text: &'a str,
    escaped: bool,
}

/// A value's head with strings left as they are, so that skipping allocates nothing.
enum Head<'a> {
    Text(Raw<'a>),
    Other(Value<'a>),
}

/// A place in a text.
pub(super) struct Lenient<'a> {
    text: &'a str,
    at: usize,
    /// Where the last token began, for messages.
    token_at: usize,
    /// One bit for each open level: set for an object.
    objects: [u64; JSON_DEPTH_MAX.div_ceil(64)],
    depth: usize,
    /// The innermost object or array was just begun: no comma is due.
    fresh: bool,
}

impl<'a> Lenient<'a> {
    pub(super) fn new(text: &'a [u8]) -> Result<Self, JsonError> {
        let text = simdutf8::compat::from_utf8(text).map_err(|error| JsonError {
            message: format!("Invalid UTF-8 at byte {}", error.valid_up_to()),
        })?;
        Ok(Lenient { text, at: 0, token_at: 0, objects: [0; _], depth: 0, fresh: false })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Moves to the next character that is no white space.
    fn next_visible(&mut self) -> Result<Option<u8>, JsonError> {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                0..b' ' => {
                    let why = "only regular white space (\\r, \\n, \\t) is allowed between tokens";
                    return Err(self.error(format!("Illegal character ({}): {why}", self.named())));
                }
                _ => return Ok(Some(byte)),
            }
        }
        Ok(None)
    }

    fn head(&mut self) -> Result<Head<'a>, JsonError> {
        let first = self.next_visible()?;
        self.token_at = self.at;
        Ok(Head::Other(match first {
            None if self.depth == 0 => {
                return Err(self.error("No content to map due to end-of-input".to_owned()));
            }
            None => return Err(self.cut_off()),
            Some(b'"') => return self.string().map(Head::Text),
            Some(b'{') => {
                self.begin(true)?;
                Value::Object
            }
            Some(b'[') => {
                self.begin(false)?;
                Value::Array
            }
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
            Some(_) => match self.word() {
                "null" => Value::Null,
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                word => return Err(self.bad_word(word)),
            },
        }))
    }

    fn begin(&mut self, object: bool) -> Result<(), JsonError> {
        if self.depth == JSON_DEPTH_MAX {
            let depth = JSON_DEPTH_MAX + 1;
            return Err(self.error(format!(
                "Document nesting depth ({depth}) exceeds the maximum allowed ({JSON_DEPTH_MAX})"
            )));
        }
        let (word, bit) = (self.depth / 64, 1 << (self.depth % 64));
        self.objects[word] = if object { self.objects[word] | bit } else { self.objects[word] & !bit };
        self.depth += 1;
        self.fresh = true;
        self.at += 1;
        Ok(())
    }

    fn in_object(&self) -> bool {
        let innermost = self.depth - 1;
        self.objects[innermost / 64] >> (innermost % 64) & 1 == 1
    }

    /// Moves behind the comma that is due. False: the innermost object or array ended instead.
    fn advance(&mut self, end: u8) -> Result<bool, JsonError> {
        let first = std::mem::take(&mut self.fresh);
        match self.next_visible()? {
            None => Err(self.cut_off()),
            Some(byte) if byte == end => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if first => Ok(true),
            Some(_) => {
                Err(self.unexpected(&format!("was expecting comma to separate {} entries", self.innermost())))
            }
        }
    }

    fn raw_name(&mut self) -> Result<Option<Raw<'a>>, JsonError> {
        if !self.advance(b'}')? {
            return Ok(None);
        }
        match self.next_visible()? {
            None => return Err(self.cut_off()),
            Some(b'"') => {}
            Some(_) => return Err(self.unexpected("was expecting double-quote to start field name")),
        }
        let name = self.string()?;
        match self.next_visible()? {
            None => return Err(self.cut_off()),
            Some(b':') => self.at += 1,
            Some(_) => return Err(self.unexpected("was expecting a colon to separate field name and value")),
        }
        Ok(Some(name))
    }

    /// Reads a string, `at` being at its first quote.
    fn string(&mut self) -> Result<Raw<'a>, JsonError> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        self.at = start;
        let mut escaped = false;
        loop {
            let rest = &bytes[self.at..];
            let plain = memchr::memchr2(b'"', b'\\', rest);
            if let Some(control) = rest[..plain.unwrap_or(rest.len())].iter().position(|byte| *byte < b' ') {
                self.at += control;
                let why = "has to be escaped using backslash to be included in string value";
                return Err(self.error(format!("Illegal unquoted character ({}): {why}", self.named())));
            }
            let Some(plain) = plain else {
                self.at = bytes.len();
                return Err(self
                    .error("Unexpected end-of-input: was expecting closing quote for a string".to_owned()));
            };
            self.at += plain;
            if bytes[self.at] == b'"' {
                let text = &self.text[start..self.at];
                self.at += 1;
                return Ok(Raw { text, escaped });
            }
            escaped = true;
            self.escape()?;
        }
    }

    /// Moves behind an escape, `at` being at its backslash.
    fn escape(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                for _ in 0..4 {
                    self.at += 1;
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.unexpected("expected a hex-digit for character escape sequence"));
                    }
                }
                self.at += 1;
            }
            Some(_) => return Err(self.error(format!("Unrecognized character escape {}", self.named()))),
            None => return Err(self.error("Unexpected end-of-input in character escape sequence".to_owned())),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let integer = self.at;
        self.digits("expected digit (0-9) to follow minus sign, for valid numeric value")?;
        if self.at > integer + 1 && self.text.as_bytes()[integer] == b'0' {
            return Err(self.error("Invalid numeric value: Leading zeroes not allowed".to_owned()));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits("Decimal point not followed by a digit")?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits("Exponent indicator not followed by a digit")?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self, wanted: &str) -> Result<(), JsonError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.unexpected(wanted)) } else { Ok(()) }
    }

    /// The run of characters that could be a Java identifier, as Jackson takes a token; empty at anything
    /// else.
    fn word(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn bad_word(&self, word: &str) -> JsonError {
        match word {
            "" => self.unexpected("expected a valid value (JSON String, Number, Array, Object or token)"),
            "NaN" | "Infinity" | "INF" => self.error(format!("Non-standard token '{word}': not allowed")),
            word => {
                let wanted = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')";
                self.error(format!("Unrecognized token '{}': was expecting {wanted}", clip(word)))
            }
        }
    }

    fn innermost(&self) -> &'static str {
        if self.depth > 0 && self.in_object() { "Object" } else { "Array" }
    }

    fn cut_off(&self) -> JsonError {
        self.error(format!("Unexpected end-of-input: expected close marker for {}", self.innermost()))
    }

    fn unexpected(&self, wanted: &str) -> JsonError {
        match self.peek() {
            None => self.error(format!("Unexpected end-of-input: {wanted}")),
            Some(_) => self.error(format!("Unexpected character ({}): {wanted}", self.named())),
        }
    }

    /// The character at `at` as Jackson names it.
    fn named(&self) -> String {
        let found = self.text[self.at..].chars().next().unwrap_or('\0');
        match u32::from(found) {
            code @ 0..32 => format!("(CTRL-CHAR, code {code})"),
            code @ 32..=255 => format!("'{found}' (code {code})"),
            code => format!("'{found}' (code {code} / 0x{code:x})"),
        }
    }

    fn error(&self, message: String) -> JsonError {
        self.error_at(message, self.at)
    }

    fn error_at(&self, mut message: String, at: usize) -> JsonError {
        let before = &self.text[..at];
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        message.push_str(&format!(" at [line: {line}, column: {column}]"));
        JsonError { message }
    }
}

impl<'a> Source<'a> for Lenient<'a> {
    type Error = JsonError;

    fn value(&mut self) -> Result<Value<'a>, JsonError> {
        Ok(match self.head()? {
            Head::Text(raw) => Value::Text(raw.unescape()),
            Head::Other(value) => value,
        })
    }

    fn name(&mut self) -> Result<Option<Cow<'a, str>>, JsonError> {
        Ok(self.raw_name()?.map(Raw::unescape))
    }

    fn item(&mut self) -> Result<bool, JsonError> {
        self.advance(b']')
    }

    fn skip(&mut self) -> Result<(), JsonError> {
        let outside = self.depth;
        self.head()?;
        while self.depth > outside {
            let more = if self.in_object() { self.raw_name()?.is_some() } else { self.advance(b']')? };
            if more {
                self.head()?;
            }
        }
        Ok(())
    }

    fn refuse(&self, message: impl FnOnce() -> String) -> JsonError {
        self.error_at(message(), self.token_at)
    }
}

impl<'a> Raw<'a> {
    fn unescape(self) -> Cow<'a, str> {
        if !self.escaped {
            return Cow::Borrowed(self.text);
        }
        let mut out = String::with_capacity(self.text.len());
        let mut rest = self.text;
        while let Some((plain, escape)) = rest.split_once('\\') {
            out.push_str(plain);
            let (found, length) = unescape_one(escape);
            out.push(found);
            rest = &escape[length..];
        }
        out.push_str(rest);
        Cow::Owned(out)
    }
}

/// The character of a checked escape, and how long it is behind its backslash.
fn unescape_one(escape: &str) -> (char, usize) {
    let found = match escape.as_bytes().first() {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unescape_unicode(escape),
        Some(byte) => char::from(*byte),
        None => '?',
    };
    (found, 1)
}

fn unescape_unicode(escape: &str) -> (char, usize) {
    let unit = |at: usize| escape.get(at..at + 4).and_then(|digits| u16::from_str_radix(digits, 16).ok());
    let first = unit(1).unwrap_or(0xd800);
    if let Some(found) = char::from_u32(first.into()) {
        return (found, 5);
    }
    let second = if escape.get(5..7) == Some("\\u") { unit(7) } else { None };
    let pair = second.and_then(|second| char::decode_utf16([first, second]).next()?.ok());
    pair.map_or(('?', 5), |found| (found, 11))
}
