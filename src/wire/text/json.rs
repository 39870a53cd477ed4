//! Reading JSON as Jackson does. simd-json reads the common case, borrowing from the text; what it refuses or cannot
//! tell (numbers as they were written, text after the first value, lone surrogates) goes to a lenient reader.

/// The text is no JSON, or not of the wanted shape. Worded like the original's parser messages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct JsonError {
    /// What is wrong, and where.
    pub message: String,
}

/// Buffers for reading JSON; one per core, reused for each text.
pub struct JsonReader {
    _private: (),
}

impl Default for JsonReader {
    fn default() -> Self {
        unimplemented!()
    }
}
