//! The log's frames: sixteen entries into one frame of the journal, and back.

use pulsegate::base::id::{EntryId, LedgerId, Position};
use pulsegate::store::frame::{self, Builder, Home, Stamp};
use pulsegate::store::record::Record;

use crate::harness::Bench;

/// Entries of a frame: what gathers while a write is under way.
const ENTRIES: u64 = 16;
const STAMP: Stamp = Stamp { store: 42, epoch: 1 };
const WALL_MS: u64 = 1_700_000_000_000;

fn fill(entry: &[u8]) -> (bytes::Bytes, u32) {
    let mut builder = Builder::default();
    for number in 0..ENTRIES {
        let position = Position { ledger: LedgerId(7), entry: EntryId(number) };
        builder.push(WALL_MS, &Record::Entry { position, messages: 1, bytes: entry });
    }
    builder.finish(Home::Journal, STAMP, 4096, 0)
}

/// Writing and reading a frame; an operation is a whole frame.
pub(crate) fn frames(bench: &Bench, size: usize) {
    let mut entry = Vec::new();
    crate::put_entry(&mut entry, &vec![b'x'; size]);
    bench.run("journal frame of 16", size, || u64::from(fill(&entry).1));
    let (bytes, _) = fill(&entry);
    bench.run("journal frame of 16 read", size, || {
        let header = frame::header(&bytes, Home::Journal, STAMP.store).expect("a sound header");
        let records = frame::records(&bytes, &header).expect("sound records");
        records.len() as u64
    });
}
