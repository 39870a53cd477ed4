//! Times in texts: ISO-8601 with offset in, UTC with trailing zeros trimmed out (API 3.2, 4.2).

use crate::base::time::UnixMillis;

/// A time text that `java.time` would not parse; `Display` gives its words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Text '{text}' could not be parsed at index {index}")]
pub struct DateError {
    /// The text, as given.
    pub text: String,
    /// Where parsing stopped, in characters.
    pub index: usize,
}

/// Reads `2016-08-30T16:45:57.785+02:00`: seconds and fraction optional, fraction cut to milliseconds, `t` and `z` may
/// be small. Years -999999999 to 999999999 as `java.time` allows them.
pub fn parse(_text: &str) -> Result<UnixMillis, DateError> {
    unimplemented!()
}

/// Appends `2026-01-02T03:04:05.678Z`; zeros at the end of the fraction are left out, an empty fraction too.
pub fn put(_out: &mut Vec<u8>, _time: UnixMillis) {
    unimplemented!()
}
