//! Frames: the unit of writing, and the verdict over what is found where one should be. Layout: `docs/log-format.md`.

use super::buffer;
use super::codec::Reader;
use super::disk::BLOCK;
use super::record::{self, Record};
use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of a frame's header.
pub const HEADER: usize = 64;
const MAGIC: u32 = u32::from_le_bytes(*b"PGLF");
const VERSION: u16 = 1;

/// Which kind of file a frame belongs to, and which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// The journal, which is one sequence over all its slots.
    Journal,
    /// A ledger's segment.
    Segment(u64),
    /// A checkpoint of this generation.
    Checkpoint(u64),
}

impl Home {
    fn code(self) -> (u16, u64) {
        match self {
            Home::Journal => (1, 0),
            Home::Segment(ledger) => (2, ledger),
            Home::Checkpoint(generation) => (3, generation),
        }
    }
}

/// What is written into every frame of a run of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The store's random number.
    pub store: u64,
    /// Which start of the store this is, from 1.
    pub epoch: u64,
}

/// A header that checks out. Says nothing about the records behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Store and epoch.
    pub stamp: Stamp,
    /// Position in its home.
    pub position: u64,
    /// Bytes of records.
    pub body: u32,
    /// Records.
    pub count: u32,
    /// Header checksum of the frame before.
    pub previous: u32,
    /// Checksum over the records' checksums.
    pub records: u32,
    /// This header's checksum.
    pub checksum: u32,
}

impl Header {
    /// Bytes the frame takes, zeroes included.
    pub fn length(&self) -> usize {
        padded(self.body as usize)
    }
}

/// Bytes of a frame with `body` bytes of records.
pub fn padded(body: usize) -> usize {
    (HEADER + body).next_multiple_of(BLOCK)
}

/// A frame being filled. It begins on a page and is one write, with no further copy.
#[derive(Debug, Default)]
pub struct Builder {
    bytes: BytesMut,
    count: u32,
    records: u32,
}

impl Builder {
    /// Fills this buffer first; it may be a used one.
    pub fn new(mut buffer: BytesMut) -> Self {
        buffer.clear();
        Builder { bytes: buffer, count: 0, records: 0 }
    }

    /// Adds a record.
    pub fn push(&mut self, wall_ms: u64, record: &Record<'_>) {
        let encoded = record::encoded_len(record);
        if self.bytes.is_empty() {
            buffer::reserve(&mut self.bytes, HEADER + encoded);
            self.bytes.put_bytes(0, HEADER);
        }
        buffer::reserve(&mut self.bytes, encoded);
        let checksum = record::encode(record, wall_ms, &mut self.bytes);
        self.records = crc32c::crc32c_append(self.records, &checksum.to_le_bytes());
        self.count += 1;
    }

    /// Bytes of records so far.
    pub fn body(&self) -> usize {
        self.bytes.len().saturating_sub(HEADER)
    }

    /// Records so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Nothing was added.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Ends the frame: its bytes, whole blocks, and its header checksum.
    pub fn finish(self, home: Home, stamp: Stamp, position: u64, previous: u32) -> (Bytes, u32) {
        let mut bytes = self.bytes;
        let body = u32::try_from(bytes.len().saturating_sub(HEADER)).expect("the journal bounds a batch");
        let padding = padded(body as usize) - bytes.len();
        buffer::reserve(&mut bytes, padding);
        bytes.put_bytes(0, padding);
        let (code, place) = home.code();
        let mut head = &mut bytes[..HEADER];
        head.put_u32_le(MAGIC);
        head.put_u16_le(VERSION);
        head.put_u16_le(code);
        for word in [stamp.store, stamp.epoch, place, position] {
            head.put_u64_le(word);
        }
        for word in [body, self.count, previous, self.records, 0] {
            head.put_u32_le(word);
        }
        let checksum = crc32c::crc32c(&bytes[..HEADER - 4]);
        bytes[HEADER - 4..HEADER].copy_from_slice(&checksum.to_le_bytes());
        (bytes.freeze(), checksum)
    }
}

/// The header at the start of `bytes`, if a frame of this home and store starts there.
pub fn header(bytes: &[u8], home: Home, store: u64) -> Option<Header> {
    let head = bytes.get(..HEADER)?;
    let mut reader = Reader(head);
    let (code, place) = home.code();
    if reader.u32()? != MAGIC || reader.u16()? != VERSION || reader.u16()? != code || reader.u64()? != store {
        return None;
    }
    let epoch = reader.u64()?;
    if reader.u64()? != place {
        return None;
    }
    let position = reader.u64()?;
    let (body, count, previous, records) = (reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?);
    let (zero, checksum) = (reader.u32()?, reader.u32()?);
    if zero != 0 || checksum != crc32c::crc32c(&head[..HEADER - 4]) {
        return None;
    }
    Some(Header { stamp: Stamp { store, epoch }, position, body, count, previous, records, checksum })
}

/// A record and when it was written.
pub type Stamped<'a> = (u64, Record<'a>);

/// The records of the frame whose header was read from the start of `bytes`; `None` unless all of it checks out.
pub fn records<'a>(bytes: &'a [u8], header: &Header) -> Option<Vec<Stamped<'a>>> {
    let frame = bytes.get(..header.length())?;
    let (mut body, zeroes) = frame[HEADER..].split_at(header.body as usize);
    let bound = body.len() / record::HEADER;
    if header.count as usize > bound || zeroes.iter().any(|byte| *byte != 0) {
        return None;
    }
    let mut found = Vec::with_capacity(header.count as usize);
    let mut sum = 0;
    while !body.is_empty() {
        let (record, checksum, length) = record::decode(body)?;
        sum = crc32c::crc32c_append(sum, &checksum.to_le_bytes());
        found.push(record);
        body = &body[length..];
    }
    (found.len() == header.count as usize && sum == header.records).then_some(found)
}

/// The store whose frame starts here, of whatever home. Only to be asked of a file's first block, where no payload can be.
pub fn store_of(bytes: &[u8]) -> Result<Option<u64>, UnknownVersion> {
    let Some(head) = bytes.get(..HEADER) else { return Ok(None) };
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if word(0) != MAGIC || word(60) != crc32c::crc32c(&head[..HEADER - 4]) {
        return Ok(None);
    }
    let version = u16::from_le_bytes([head[4], head[5]]);
    if version != VERSION {
        return Err(UnknownVersion(version));
    }
    Ok(Some(u64::from(word(8)) | u64::from(word(12)) << 32))
}

/// A frame of a format that this program does not know: written by a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("log format {0} is not known; this program writes format {VERSION}")]
pub struct UnknownVersion(pub u16);

#[cfg(test)]
mod tests;
