//! Reading JSON as Jackson does. The usual text is read where it lies; one with escapes, lists or more nesting by simd-json; what
//! that refuses or cannot tell (numbers as they were written, text after the first value, lone surrogates, deep nesting) goes
//! to a lenient reader, which has the last word. What a text means is written once, over a `Source` of tokens that all three
//! implement.

use crate::wire::text::lenient::Lenient;
use crate::wire::text::plain::Plain;
use crate::wire::text::tape::{TapeSource, Unsure};
use simd_json::{Buffers, INPUT_PADDING, Tape};
use std::borrow::Cow;
use std::mem;

/// The text is no JSON, or not of the wanted shape. Worded like the original's parser messages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct JsonError {
    /// What is wrong, and where.
    pub message: String,
}

/// Levels that simd-json reads. Deeper texts are rare, and its count need not be ours: they go to the lenient
/// reader.
const FAST_DEPTH_MAX: usize = 32;
/// Bytes a reader is ready for without allocating: an ordinary message.
const TEXT_EXPECTED: usize = 4096;

/// Buffers for reading JSON; one per core, reused for each text. They stay as large as the largest text
/// needed.
pub struct JsonReader {
    /// The text and the padding simd-json wants behind it. It unescapes in place, so it gets a copy of its
    /// own.
    padded: Vec<u8>,
    buffers: Buffers,
    /// Always empty between texts; kept for its capacity.
    tape: Tape<'static>,
}

impl Default for JsonReader {
    fn default() -> Self {
        JsonReader {
            padded: Vec::with_capacity(TEXT_EXPECTED + INPUT_PADDING),
            buffers: Buffers::with_max_depth(TEXT_EXPECTED, FAST_DEPTH_MAX),
            tape: Tape(Vec::new()),
        }
    }
}

impl JsonReader {
    /// Reads a text where it lies; where that is not plain, from simd-json's tape; where that cannot tell, with the lenient
    /// reader. Bytes that [`Source::unchecked`] gave may hold what no string may.
    pub(super) fn read<'a, T: Shape<'a>>(&'a mut self, text: &'a [u8]) -> Result<T, JsonError> {
        let mut plain = Plain::new(text);
        match T::read(&mut plain) {
            Ok(value) if plain.is_done() => Ok(value),
            _ => self.read_anew(text),
        }
    }

    /// As [`JsonReader::read`], without the reader that leaves bytes unchecked.
    pub(super) fn read_anew<'a, T: Shape<'a>>(&'a mut self, text: &'a [u8]) -> Result<T, JsonError> {
        self.padded.clear();
        self.padded.extend_from_slice(text);
        self.padded.resize(text.len() + INPUT_PADDING, b' ');
        let mut tape: Tape<'a> = mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let filled = simd_json::fill_tape_padded(&mut self.padded, text.len(), &mut self.buffers, &mut tape);
        let read = filled.map_err(|_| Unsure).and_then(|()| T::read(&mut TapeSource::new(&tape.0)));
        self.tape = tape.reset();
        match read {
            Ok(value) => Ok(value),
            Err(Unsure) => T::read(&mut Lenient::new(text)?),
        }
    }
}

/// The head of a value. Members and items follow through [`Source::name`] and [`Source::item`].
#[derive(Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    /// A number as it was written.
    Number(&'a str),
    /// An integer of which only the value is known: 0 may have been written `-0`.
    Integer(i64),
    Text(Cow<'a, str>),
    Object,
    Array,
}

/// What a whole text is read into, from either source.
pub(super) trait Shape<'a>: Sized {
    fn read<S: Source<'a>>(source: &mut S) -> Result<Self, S::Error>;
}

/// A stream of tokens. The innermost object or array that was begun must be read to its end.
pub(super) trait Source<'a> {
    type Error;

    /// The head of the next value.
    fn value(&mut self) -> Result<Value<'a>, Self::Error>;

    /// The name of the next member of the innermost object; its value must be read or skipped. `None`: the
    /// object ended.
    fn name(&mut self) -> Result<Option<Cow<'a, str>>, Self::Error>;

    /// The bytes between the quotes, if the next value is a string without escapes and its reader can leave the rest to whoever
    /// decodes them: they may hold control characters and be no UTF-8. `None`: nothing was read. Good for one value
    /// of a text: of several with one name, who reads them looks at the last.
    fn unchecked(&mut self) -> Result<Option<&'a [u8]>, Self::Error> {
        Ok(None)
    }

    /// True if the innermost array has another item, which must be read or skipped. False: it ended.
    fn item(&mut self) -> Result<bool, Self::Error>;

    /// Passes over the next value.
    fn skip(&mut self) -> Result<(), Self::Error>;

    /// The error for the value last read not being what is wanted.
    fn refuse(&self, message: impl FnOnce() -> String) -> Self::Error;
}

#[cfg(test)]
mod tests;
