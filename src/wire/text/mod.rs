//! The JSON texts of the WebSocket API, in and out, with the leniencies of the original server (API 3.2, 3.3,
//! 4.2, 4.3).

pub mod base64;
pub mod coerce;
pub mod command;
pub mod date;
pub mod json;
pub mod keys;
mod lenient;
mod plain;
pub mod reply;
pub mod request;
mod tape;

pub use json::{JsonError, JsonReader};

use std::borrow::Cow;

/// Characters of a client's text that an error message repeats.
const CLIP_CHARACTERS: usize = 64;

/// What an error message repeats of a client's text: its first 64 characters, then dots.
pub(crate) fn clip(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(CLIP_CHARACTERS) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
    }
}
