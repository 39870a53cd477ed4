//! The store by itself: versions, conflicts, what is there after it was closed or killed.

use super::writer::MetaStore;
use super::*;
use crate::shard::folder::tests::fresh;

fn change(key: &str, expect: Expect, value: Option<&str>) -> MetaChange {
    MetaChange { key: key.to_owned(), expect, value: value.map(|text| text.as_bytes().to_vec()) }
}

fn record(key: &str, version: u64, value: Option<&str>) -> MetaRecord {
    MetaRecord { key: key.to_owned(), version, value: value.map(|text| text.as_bytes().to_vec()) }
}

fn conflict(key: &str) -> MetaRefusal {
    MetaRefusal::Conflict { key: key.to_owned() }
}

#[test]
fn writes_are_whole_or_nothing_and_versions_tell_who_was_faster() {
    let path = fresh("meta-versions");
    let (store, records) = MetaStore::open(&path).unwrap();
    assert_eq!(records, []);
    let both = [change("a", Expect::Absent, Some("1")), change("b", Expect::Any, Some("2"))];
    assert_eq!(*store.write(&both).unwrap(), [record("a", 1, Some("1")), record("b", 1, Some("2"))]);
    // The second key does not fit: the first is not written either.
    let second = [change("c", Expect::Absent, Some("3")), change("a", Expect::Absent, Some("4"))];
    assert_eq!(store.write(&second), Err(conflict("a")));
    assert_eq!(store.write(&[change("c", Expect::Version(1), Some("5"))]), Err(conflict("c")));
    assert_eq!(store.write(&[change("a", Expect::Version(2), None)]), Err(conflict("a")));
    let gone = store.write(&[change("a", Expect::Version(1), None)]).unwrap();
    assert_eq!(*gone, [record("a", 2, None)]);
    // What comes after a deletion has a version that the deleted one never had.
    let again = store.write(&[change("a", Expect::Absent, Some("6"))]).unwrap();
    assert_eq!(*again, [record("a", 3, Some("6"))]);
    drop(store);
    let (_, records) = MetaStore::open(&path).unwrap();
    assert_eq!(records, [record("a", 3, Some("6")), record("b", 1, Some("2"))]);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn what_is_too_large_is_refused_and_changes_nothing() {
    let path = fresh("meta-large");
    let (store, _) = MetaStore::open(&path).unwrap();
    let large = "x".repeat(5 << 20);
    for changes in [change("k", Expect::Any, Some(&large)), change(&large, Expect::Any, Some("v"))] {
        assert!(matches!(store.write(&[changes]), Err(MetaRefusal::Failed(_))));
    }
    drop(store);
    assert_eq!(MetaStore::open(&path).unwrap().1, []);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_file_that_is_no_store_is_refused_by_name() {
    let path = fresh("meta-foreign");
    std::fs::write(&path, vec![7u8; 8192]).unwrap();
    let refusal = MetaStore::open(&path).unwrap_err().to_string();
    assert!(refusal.contains("meta-foreign") && refusal.contains("restore"), "{refusal}");
    std::fs::remove_file(path).unwrap();
}

/// The file as it lies on the disk while the store is in use is what a killed process leaves behind: every commit was
/// flushed before it was told.
#[test]
fn what_was_told_is_in_the_file_of_a_process_that_is_killed() {
    let (path, copy) = (fresh("meta-killed"), fresh("meta-killed-copy"));
    let (store, _) = MetaStore::open(&path).unwrap();
    for number in 0..40u64 {
        let key = format!("key-{}", number % 7);
        let written = store.write(&[change(&key, Expect::Any, Some(&number.to_string()))]).unwrap();
        assert_eq!(*written, [record(&key, number + 1, Some(&number.to_string()))]);
        std::fs::copy(&path, &copy).unwrap();
        let (left, records) = MetaStore::open(&copy).unwrap();
        let found = records.iter().find(|record| record.key == key).expect("told, so there");
        assert_eq!(found.version, number + 1);
        assert_eq!(records.len() as u64, (number + 1).min(7));
        drop(left);
    }
    drop(store);
    for path in [path, copy] {
        std::fs::remove_file(path).unwrap();
    }
}
