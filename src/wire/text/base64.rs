//! Base64 as the JDK's basic decoder reads it: padding optional, loose trailing bits allowed, everything else refused
//! with the JDK's words (API 3.2). The common case runs on SIMD, straight into the caller's buffer.

/// Why a text is not base64; `Display` gives the JDK's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Base64Error {
    /// A byte outside the alphabet.
    #[error("Illegal base64 character {0:x}")]
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

/// Appends the decoded bytes to `out`. On `Err` the buffer is as it was before.
pub fn decode(_text: &[u8], _out: &mut Vec<u8>) -> Result<(), Base64Error> {
    unimplemented!()
}

/// Appends the standard base64 of `bytes`, with padding.
pub fn encode(_bytes: &[u8], _out: &mut Vec<u8>) {
    unimplemented!()
}
