//! The five compressions of protocol 2.4: none, LZ4 block, ZLIB, ZSTD, Snappy block.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

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

/// ZSTD level: the fastest of the regular ones. A gateway pays for every byte on its way, disks are the
/// broker's.
const ZSTD_LEVEL: i32 = 1;
/// Room for a ZLIB stream beyond its input, bytes: header, checksum, block heads; what incompressible data
/// adds to that takes another turn.
const ZLIB_ROOM: usize = 64;
/// Why no compressor can fail here.
const BOUND_HOLDS: &str = "the output has the size the format guarantees to be enough";

/// Appends `input` compressed to `out`. Speed goes before ratio: ZLIB runs at its fastest level, ZSTD at
/// level 1; LZ4 blocks and Snappy have no levels.
pub fn compress(codec: CompressionType, input: &[u8], out: &mut Vec<u8>) {
    match codec {
        CompressionType::None => out.extend_from_slice(input),
        CompressionType::Lz4 => bounded(lz4_flex::block::get_maximum_output_size(input.len()), out, |room| {
            lz4_flex::block::compress_into(input, room).expect(BOUND_HOLDS)
        }),
        CompressionType::Zlib => compress_zlib(input, out),
        CompressionType::Zstd => bounded(zstd::zstd_safe::compress_bound(input.len()), out, |room| {
            zstd::bulk::compress_to_buffer(input, room, ZSTD_LEVEL).expect(BOUND_HOLDS)
        }),
        CompressionType::Snappy => bounded(snap::raw::max_compress_len(input.len()), out, |room| {
            snap::raw::Encoder::new().compress(input, room).expect(BOUND_HOLDS)
        }),
    }
}

/// Appends what `write` puts into at most `bound` bytes; it returns how many they were.
fn bounded(bound: usize, out: &mut Vec<u8>, write: impl FnOnce(&mut [u8]) -> usize) {
    let start = out.len();
    out.resize(start + bound, 0);
    let written = write(&mut out[start..]);
    out.truncate(start + written);
}

/// The library names no bound for its streams, so room is added until the end of the stream fits.
fn compress_zlib(input: &[u8], out: &mut Vec<u8>) {
    let mut stream = Compress::new(Compression::fast(), true);
    loop {
        let left = &input[stream.total_in() as usize..];
        out.reserve(left.len() + ZLIB_ROOM);
        let status =
            stream.compress_vec(left, out, FlushCompress::Finish).expect("the stream is used in order");
        if status == Status::StreamEnd {
            return;
        }
    }
}

/// Appends `input` decompressed to `out`: exactly `size` bytes, or an error with `out` as it was before.
/// `size` is checked against `size_max` before a byte is reserved. Without compression (number 0) `size` is
/// not looked at: many producers leave it out then, and the input is the output.
pub fn decompress(
    codec: i32,
    input: &[u8],
    size: usize,
    size_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    let codec = CompressionType::from_wire(codec).ok_or(CompressionError::Unknown(codec))?;
    let size = if codec == CompressionType::None { input.len() } else { size };
    if size > size_max {
        return Err(CompressionError::TooLarge { got: size, max: size_max });
    }
    if codec == CompressionType::None {
        out.extend_from_slice(input);
        return Ok(());
    }
    let start = out.len();
    // One byte more than allowed shows a stream that would go on.
    out.resize(start + size + 1, 0);
    let verdict = decompress_into(codec, input, &mut out[start..]).and_then(|written| match written {
        written if written == size => Ok(()),
        written => Err(format!("{written} bytes instead of {size}")),
    });
    out.truncate(if verdict.is_ok() { start + size } else { start });
    verdict.map_err(|reason| CompressionError::Corrupt { codec, reason })
}

/// Decompresses into `room`, which bounds the output. Returns bytes written.
fn decompress_into(codec: CompressionType, input: &[u8], room: &mut [u8]) -> Result<usize, String> {
    match codec {
        CompressionType::None => unreachable!("the caller copied it"),
        CompressionType::Lz4 => lz4_flex::block::decompress_into(input, room).map_err(|e| e.to_string()),
        CompressionType::Zlib => {
            let mut stream = Decompress::new(true);
            match stream.decompress(input, room, FlushDecompress::Finish) {
                Ok(Status::StreamEnd) => Ok(stream.total_out() as usize),
                Ok(Status::Ok | Status::BufError) => Err("the stream does not end".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        }
        CompressionType::Zstd => zstd::bulk::decompress_to_buffer(input, room).map_err(|e| e.to_string()),
        CompressionType::Snappy => {
            snap::raw::Decoder::new().decompress(input, room).map_err(|e| e.to_string())
        }
    }
}

#[cfg(test)]
mod tests;
