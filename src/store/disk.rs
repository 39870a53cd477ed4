//! What the log asks of its disk, and what it is told.

use crate::base::id::LedgerId;
use bytes::Bytes;

/// Unit of every write: offset and length are multiples of it, as direct I/O wants.
pub const BLOCK: usize = 4096;

/// A file of the store. `Display` is its name in the store's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileName {
    /// A journal slot.
    Journal(u32),
    /// A checkpoint, by generation.
    Checkpoint(u64),
    /// The settled entries of a ledger.
    Segment(LedgerId),
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FileName::Journal(slot) => write!(f, "j-{slot:08x}"),
            FileName::Checkpoint(generation) => write!(f, "c-{generation:016x}"),
            FileName::Segment(ledger) => write!(f, "l-{:016x}", ledger.0),
        }
    }
}

impl FileName {
    /// The file a name in the store's folder stands for, if it is one of ours.
    pub fn parse(name: &str) -> Option<Self> {
        let (kind, digits) = name.split_at_checked(2)?;
        let number = u64::from_str_radix(digits, 16).ok()?;
        let file = match kind {
            "j-" => FileName::Journal(u32::try_from(number).ok()?),
            "c-" => FileName::Checkpoint(number),
            "l-" => FileName::Segment(LedgerId(number)),
            _ => return None,
        };
        (file.to_string() == name).then_some(file)
    }
}

/// Names one request until its completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// One request to the disk. What the log needs in order it asks for one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// Make the file, or empty it if it is there, and write `zeroes` zero bytes into it.
    Create {
        /// The file.
        file: FileName,
        /// Its length, bytes; written, not only allocated.
        zeroes: u64,
    },
    /// Write whole blocks.
    Write {
        /// The file; it was created.
        file: FileName,
        /// Offset, a multiple of [`BLOCK`].
        at: u64,
        /// What to write; a multiple of [`BLOCK`] long. It begins on a page in memory, so that direct I/O needs no copy. The log
        /// uses the memory again if nobody holds it when the completion is told: drop it before.
        bytes: Bytes,
    },
    /// Flush what was written to the file and the device's cache (`fdatasync`).
    Sync(FileName),
    /// Flush the folder: what was created and deleted.
    SyncFolder,
    /// Remove the file; one that is not there is no error.
    Delete(FileName),
    /// Read exactly `length` bytes; fewer are an error.
    Read {
        /// The file.
        file: FileName,
        /// Offset, a multiple of [`BLOCK`].
        at: u64,
        /// Bytes, a multiple of [`BLOCK`].
        length: usize,
    },
}

/// How a request ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Done, for all but writes and reads.
    Done,
    /// So many bytes were written, from the start; short writes are gone on with.
    Wrote(usize),
    /// What was read.
    Read(Bytes),
}

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// ENOSPC, EDQUOT.
    #[error("no space left on the device")]
    Full,
    /// EIO, EROFS and everything else.
    #[error("the device failed")]
    Io,
}

/// Requests on their way out.
#[derive(Debug, Default)]
pub struct Outbox {
    next: u64,
    ops: std::collections::VecDeque<(OpId, DiskOp)>,
}

impl Outbox {
    /// Asks for `op`.
    pub fn ask(&mut self, op: DiskOp) -> OpId {
        let id = OpId(self.next);
        self.next += 1;
        self.ops.push_back((id, op));
        id
    }

    /// The next request to carry out.
    pub fn take(&mut self) -> Option<(OpId, DiskOp)> {
        self.ops.pop_front()
    }
}

/// A write that goes on until all of it is there.
#[derive(Debug)]
pub struct Writing {
    /// The file.
    pub file: FileName,
    /// Where the rest goes.
    pub at: u64,
    /// The rest.
    pub rest: Bytes,
}

impl Writing {
    /// Asks for the rest.
    pub fn ask(&self, out: &mut Outbox) -> OpId {
        out.ask(DiskOp::Write { file: self.file, at: self.at, bytes: self.rest.clone() })
    }

    /// So many bytes were written; true when all were. Goes back to the last whole block, as direct I/O wants.
    pub fn on_wrote(&mut self, wrote: usize) -> bool {
        if wrote >= self.rest.len() {
            return true;
        }
        let whole = wrote - wrote % BLOCK;
        self.rest = self.rest.slice(whole..);
        self.at += whole as u64;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for file in [FileName::Journal(17), FileName::Checkpoint(1 << 40), FileName::Segment(LedgerId(9))] {
            assert_eq!(FileName::parse(&file.to_string()), Some(file));
        }
        for foreign in ["", "j", "j-1", "x-00000001", "j-0000000g", "j-100000000", "l-é"] {
            assert_eq!(FileName::parse(foreign), None, "{foreign}");
        }
    }
}
