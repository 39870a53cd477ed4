//! The five compressions of section 2.4: none, LZ4 block, ZLIB, ZSTD, Snappy block.

use crate::wire::pulsar::proto::CompressionType;

/// A compressed payload cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    /// The metadata names a size over the limit: nothing was reserved.
    #[error("uncompressed size {got} exceeds {max}")]
    TooLarge {
        /// Bytes named in the metadata.
        got: usize,
        /// The limit in force.
        max: usize,
    },
    /// The bytes are not of that format, or not of that size.
    #[error("{codec:?}: {reason}")]
    Corrupt {
        /// Which format.
        codec: CompressionType,
        /// What the decoder said.
        reason: String,
    },
    /// A number this version does not know.
    #[error("unknown compression {0}")]
    Unknown(i32),
}

/// Appends `input` compressed to `out`.
pub fn compress(_codec: CompressionType, _input: &[u8], _out: &mut Vec<u8>) {
    unimplemented!()
}

/// Appends `input` decompressed to `out`: exactly `size` bytes, or an error with `out` as it was before. `size` is
/// checked against `size_max` before a byte is reserved.
pub fn decompress(
    _codec: i32,
    _input: &[u8],
    _size: usize,
    _size_max: usize,
    _out: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    unimplemented!()
}
