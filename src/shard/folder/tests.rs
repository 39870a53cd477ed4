//! Making a folder, finding it again, and what it is refused for.

use super::*;
use crate::shard::folder::format::Format;

const OPTIONS: FolderOptions =
    FolderOptions { stores: 4, allow_volatile: true, sync_journal: true, wall_ms: 1_700_000_000_000 };

/// A folder of this test's own, empty.
pub(crate) fn fresh(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("pulsegate-{name}-{}", std::process::id()));
    if path.exists() {
        std::fs::remove_dir_all(&path).unwrap();
    }
    path
}

#[test]
fn a_folder_is_made_once_and_found_again() {
    let path = fresh("made");
    let made = DataFolder::open(&path, OPTIONS).unwrap();
    assert!(made.is_new && made.stores == 4 && made.created_ms == OPTIONS.wall_ms);
    assert_eq!(std::fs::metadata(path.join("RESERVE")).unwrap().len(), RESERVE_BYTES);
    let uuid = made.uuid.clone();
    let recovered = made.recover(&Accepted::new()).unwrap();
    assert_eq!(recovered.iter().map(|(store, _)| store.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(recovered.iter().all(|(_, found)| found.slots.is_none() && found.stamp.epoch == 1));
    let stamps: std::collections::BTreeSet<u64> = recovered.iter().map(|(_, r)| r.stamp.store).collect();
    assert_eq!(stamps.len(), 4, "each store has a stamp of its own");
    drop(made);
    // The number of stores is the folder's, whatever is asked for now.
    let found = DataFolder::open(&path, FolderOptions { stores: 8, ..OPTIONS }).unwrap();
    assert!(!found.is_new && found.stores == 4 && found.uuid == uuid);
    drop(found);
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn a_second_user_is_refused_with_the_number_of_the_first() {
    let path = fresh("twice");
    let first = DataFolder::open(&path, OPTIONS).unwrap();
    let refusal = DataFolder::open(&path, OPTIONS).unwrap_err().to_string();
    let process = format!("in use by process {}", std::process::id());
    assert!(refusal.contains(&process) && refusal.contains("--data-dir"), "{refusal}");
    drop(first);
    drop(DataFolder::open(&path, OPTIONS).unwrap());
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn what_the_machine_forgets_is_refused_unless_asked_for() {
    let memory = Path::new("/dev/shm");
    let volatile = statfs(memory).is_ok_and(|found| VOLATILE.contains(&found.f_type));
    let path = memory.join(format!("pulsegate-volatile-{}", std::process::id()));
    if volatile {
        let refusal = DataFolder::open(&path, FolderOptions { allow_volatile: false, ..OPTIONS });
        let refusal = refusal.unwrap_err().to_string();
        assert!(refusal.contains("allowVolatileDataDir=true"), "{refusal}");
        drop(DataFolder::open(&path, OPTIONS).unwrap());
        std::fs::remove_dir_all(path).unwrap();
    }
    // The numbers are those of statfs(2).
    assert_eq!(VOLATILE.map(|number| number as u32), [0x0102_1994, 0x8584_58f6]);
}

#[test]
fn data_without_format_is_not_made_anew() {
    let path = fresh("headless");
    drop(DataFolder::open(&path, OPTIONS).unwrap());
    std::fs::write(path.join("store-02/j-00000000"), b"something").unwrap();
    std::fs::remove_file(path.join("FORMAT")).unwrap();
    let refusal = DataFolder::open(&path, OPTIONS).unwrap_err();
    assert!(matches!(&refusal, FolderError::Headless(path) if path.ends_with("store-02")), "{refusal}");
    std::fs::remove_dir_all(path).unwrap();
}

/// The text as version 1 wrote it.
const GOLDEN: &str = "pulsegate data folder\nversion=1\nuuid=00112233445566778899aabbccddeeff\nstores=4\n\
                      createdMs=1700000000000\ncrc32c=";

#[test]
fn format_is_read_as_it_was_written_and_nothing_else_is() {
    let uuid = "00112233445566778899aabbccddeeff".to_owned();
    let format = Format { uuid, stores: 4, created_ms: 1_700_000_000_000 };
    let text = format.text();
    assert!(text.starts_with(GOLDEN), "{text}");
    assert_eq!(Format::parse(&text), Ok(format));
    let later = text.replace("version=1", "version=2");
    assert_eq!(Format::parse(&later), Err(FormatError::Version(2)));
    assert!(FormatError::Version(2).to_string().contains("use a later one"));
    for end in 0..text.len() - 1 {
        assert!(Format::parse(&text[..end]).is_err(), "{end}");
    }
    for at in 0..text.len() - 1 {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = if bytes[at] == b'3' { b'4' } else { b'3' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(Format::parse(&changed).is_err(), "{changed}");
    }
    let many = format!("stores={}", STORES_MAX + 1);
    assert!(Format::parse(&text.replace("stores=4", &many)).is_err());
}

#[test]
fn what_is_no_part_of_a_store_is_left_alone_or_tidied_up() {
    let path = fresh("damaged");
    let folder = DataFolder::open(&path, OPTIONS).unwrap();
    std::fs::write(path.join("store-01/notes.txt"), b"not ours").unwrap();
    assert!(folder.recover(&Accepted::new()).is_ok(), "foreign files are left alone");
    std::fs::write(path.join("store-01/l-0000000000000007"), b"").unwrap();
    let recovered = folder.recover(&Accepted::new()).unwrap();
    assert_eq!(recovered[1].1.deletes.len(), 1, "a segment without a ledger is tidied up");
    drop(folder);
    std::fs::remove_dir_all(path).unwrap();
}
