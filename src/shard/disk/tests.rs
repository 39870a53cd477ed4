//! Plain system calls on real files, and what becomes of their errors.

use super::files::Files;
use super::*;
use crate::base::id::LedgerId;
use crate::shard::folder::FolderOptions;
use crate::shard::folder::tests::fresh;
use crate::store::Completion;
use bytes::Bytes;
use std::os::unix::fs::symlink;

const STORE: StoreId = StoreId(1);
const BLOCK: usize = crate::store::disk::BLOCK;

fn folder(name: &str) -> Arc<DataFolder> {
    let options = FolderOptions { stores: 2, allow_volatile: true, sync_journal: true, wall_ms: 1 };
    Arc::new(DataFolder::open(&fresh(name), options).unwrap())
}

fn write(file: FileName, at: u64, byte: u8, blocks: usize) -> DiskOp {
    DiskOp::Write { file, at, bytes: Bytes::from(vec![byte; blocks * BLOCK]) }
}

#[test]
fn files_are_made_written_read_and_deleted() {
    let folder = folder("files");
    let mut files = Files::new(Arc::clone(&folder));
    let journal = FileName::Journal(3);
    let mut run = |request: DiskOp| files.carry_out(STORE, &request);
    assert_eq!(run(DiskOp::Create { file: journal, zeroes: 3 << 20 | 4096 }), Ok(Completion::Done));
    assert_eq!(run(DiskOp::SyncFolder), Ok(Completion::Done));
    let path = folder.store_path(STORE).join(journal.to_string());
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 3 << 20 | 4096);
    assert_eq!(run(write(journal, 8192, 7, 2)), Ok(Completion::Wrote(8192)));
    assert_eq!(run(DiskOp::Sync(journal)), Ok(Completion::Done));
    let expected = [vec![0; BLOCK], vec![7; 2 * BLOCK], vec![0; BLOCK]].concat();
    let read = run(DiskOp::Read { file: journal, at: 4096, length: 4 * BLOCK });
    assert_eq!(read, Ok(Completion::Read(Bytes::from(expected))));
    // Made again it is empty, whatever was there.
    assert_eq!(run(DiskOp::Create { file: journal, zeroes: 0 }), Ok(Completion::Done));
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    assert_eq!(
        run(DiskOp::Read { file: journal, at: 0, length: BLOCK }),
        Err(DiskError::Io),
        "nothing to read"
    );
    assert_eq!(run(DiskOp::Delete(journal)), Ok(Completion::Done));
    assert_eq!(run(DiskOp::Delete(journal)), Ok(Completion::Done), "one that is not there is no error");
    assert_eq!(run(write(journal, 0, 1, 1)), Err(DiskError::Io), "it was deleted");
    std::fs::remove_dir_all(&folder.path).unwrap();
}

#[test]
fn more_files_than_may_be_open_are_all_served() {
    let folder = folder("many-files");
    let mut files = Files::new(Arc::clone(&folder));
    let segment = |number| FileName::Segment(LedgerId(number));
    for number in 0..600 {
        files.carry_out(STORE, &DiskOp::Create { file: segment(number), zeroes: 0 }).unwrap();
        files.carry_out(STORE, &write(segment(number), 0, number as u8, 1)).unwrap();
    }
    for number in (0..600).rev() {
        let request = DiskOp::Read { file: segment(number), at: 0, length: BLOCK };
        let expected = Completion::Read(Bytes::from(vec![number as u8; BLOCK]));
        assert_eq!(files.carry_out(STORE, &request), Ok(expected));
    }
    assert!(std::fs::read_dir("/proc/self/fd").unwrap().count() < 500, "open files are bounded");
    std::fs::remove_dir_all(&folder.path).unwrap();
}

#[test]
fn a_full_disk_costs_the_reserve_and_is_called_full() {
    let folder = folder("full");
    let mut files = Files::new(Arc::clone(&folder));
    // The kernel's own full disk.
    symlink("/dev/full", folder.store_path(STORE).join(FileName::Checkpoint(1).to_string())).unwrap();
    assert!(folder.path.join("RESERVE").exists());
    let result = files.carry_out(STORE, &write(FileName::Checkpoint(1), 0, 1, 1));
    assert_eq!(result, Err(DiskError::Full));
    assert!(!folder.path.join("RESERVE").exists());
    std::fs::remove_dir_all(&folder.path).unwrap();
}

#[test]
fn a_device_that_fails_is_called_so() {
    let folder = folder("eio");
    let mut files = Files::new(Arc::clone(&folder));
    // Nothing is mapped at address 0: the kernel answers EIO.
    let segment = FileName::Segment(LedgerId(5));
    symlink("/proc/self/mem", folder.store_path(STORE).join(segment.to_string())).unwrap();
    let result = files.carry_out(STORE, &DiskOp::Read { file: segment, at: 0, length: BLOCK });
    assert_eq!(result, Err(DiskError::Io));
    assert!(folder.path.join("RESERVE").exists(), "only a full disk costs the reserve");
    std::fs::remove_dir_all(&folder.path).unwrap();
}

#[test]
fn journals_for_the_ring_are_direct_and_durable() {
    let folder = folder("flags");
    let mut files = Files::new(Arc::clone(&folder));
    let journal = FileName::Journal(0);
    files.carry_out(STORE, &DiskOp::Create { file: journal, zeroes: 4096 }).unwrap();
    let opened = files.open_for_ring((STORE, journal)).unwrap();
    let flags = rustix::fs::fcntl_getfl(&opened).unwrap();
    assert_ne!(flags.bits() & libc::O_DSYNC as u32, 0, "{flags:?}");
    assert_eq!(files.open_for_ring((STORE, FileName::Journal(1))).unwrap_err(), DiskError::Io, "not there");
    std::fs::remove_dir_all(&folder.path).unwrap();
}
