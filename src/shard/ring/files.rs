//! Operations on files through the ring. A flight owns its memory and holds its file open until its completion.

use super::{Event, Op, Ring, tag};
use crate::shard::disk::{Flight, Memory};
use io_uring::types::{Fd, FsyncFlags};
use io_uring::{opcode, squeue};

const PUSH_OUT: u32 =
    libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;

impl Ring {
    /// Writes the flight's bytes at its offset. A commit goes to the device before what is submitted after it in the same turn,
    /// which are the receipts of the commit before it.
    pub(crate) fn write_file(&mut self, flight: Flight) {
        let commit = flight.is_commit();
        let bytes = match &flight.memory {
            Memory::Bytes(bytes) => &bytes[..],
            Memory::Aligned { buffer, from, length } => &buffer[*from..*from + *length],
            Memory::Read { .. } | Memory::Written(_) | Memory::None => &[],
        };
        let entry = opcode::Write::new(Fd(flight.raw()), bytes.as_ptr(), bytes.len() as u32);
        let entry = entry.offset(flight.at).build();
        self.fly(entry, flight);
        self.commit_waits |= commit;
    }

    /// Has the kernel hand what was written to the device, and waits for that; not for the device's cache.
    pub(crate) fn push_out_file(&mut self, flight: Flight) {
        let length = match flight.memory {
            Memory::Written(length) => u32::try_from(length).unwrap_or(u32::MAX),
            _ => 0,
        };
        let entry = opcode::SyncFileRange::new(Fd(flight.raw()), length).offset(flight.at).flags(PUSH_OUT);
        self.fly(entry.build(), flight);
    }

    /// Reads what is still missing.
    pub(crate) fn read_file(&mut self, mut flight: Flight) {
        let (descriptor, at) = (flight.raw(), flight.at);
        let Memory::Read { buffer, filled } = &mut flight.memory else { return };
        let (at, rest) = (at + *filled as u64, &mut buffer[*filled..]);
        let entry = opcode::Read::new(Fd(descriptor), rest.as_mut_ptr(), rest.len() as u32);
        let entry = entry.offset(at).build();
        self.fly(entry, flight);
    }

    /// Flushes what was written to the file, and the device.
    pub(crate) fn flush_file(&mut self, flight: Flight) {
        let entry = opcode::Fsync::new(Fd(flight.raw())).flags(FsyncFlags::DATASYNC).build();
        self.fly(entry, flight);
    }

    /// Moving the flight does not move its bytes: they lie behind pointers.
    fn fly(&mut self, entry: squeue::Entry, flight: Flight) {
        let key = self.flights.insert(flight);
        self.using_memory += 1;
        self.push(entry.user_data(tag(Op::File, key)));
    }

    /// The flight that a completion is about.
    pub(crate) fn take_flight(&mut self, event: &Event) -> Option<Flight> {
        let flight = self.flights.remove(event.key())?;
        self.using_memory -= 1;
        Some(flight)
    }
}
