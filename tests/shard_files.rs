//! What a core does with files: requests of many stores beside busy sockets, on real files, and the meta store's news at
//! every core.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod shard_common;

use bytes::Bytes;
use pulsegate::base::id::LedgerId;
use pulsegate::shard::links::{Closed, ConnKey, Door, Handler, Links};
use pulsegate::shard::mesh::{Mail, ShardId};
use pulsegate::shard::meta::{Expect, MetaChange, MetaNews, MetaRefusal, MetaStore};
use pulsegate::shard::run::{Driver, RunConfig, run};
use pulsegate::shard::{DataFolder, FolderOptions};
use pulsegate::store::{Completion, DiskError, DiskOp, FileName, OpId, StoreId};
use shard_common::{WAIT, config, connect, drivers, ping};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

const BLOCK: usize = 4096;

/// What a worker tells its test.
#[derive(Debug)]
enum Told {
    Ended(StoreId, OpId, Result<Completion, DiskError>),
    News(ShardId, MetaNews),
}

/// Runs one list of requests for each store, one request after the other; writes to the meta store; echoes.
struct Worker {
    lists: BTreeMap<StoreId, VecDeque<DiskOp>>,
    writes: Vec<Vec<MetaChange>>,
    told: Sender<Told>,
    next: u64,
    stopping: bool,
}

impl Worker {
    fn go_on(&mut self, io: &mut Links, store: StoreId) {
        if let Some(request) = self.lists.get_mut(&store).and_then(VecDeque::pop_front) {
            self.next += 1;
            io.disk(store, OpId(self.next), request);
        }
    }
}

impl Handler for Worker {
    fn on_start(&mut self, io: &mut Links) {
        let stores: Vec<StoreId> = self.lists.keys().copied().collect();
        stores.into_iter().for_each(|store| self.go_on(io, store));
        for (ticket, changes) in std::mem::take(&mut self.writes).into_iter().enumerate() {
            io.write_meta(ticket as u64, changes).unwrap();
        }
    }
    fn on_accept(&mut self, _: &mut Links, _: ConnKey, _: SocketAddr, _: Door) {}
    fn on_connected(&mut self, _: &mut Links, _: ConnKey, _: Result<(), i32>) {}
    fn on_bytes(&mut self, io: &mut Links, key: ConnKey, bytes: &mut [u8]) {
        io.outbox(key).unwrap().extend_from_slice(bytes);
    }
    fn on_eof(&mut self, io: &mut Links, key: ConnKey) {
        io.close(key, Duration::ZERO);
    }
    fn on_drained(&mut self, _: &mut Links, _: ConnKey) {}
    fn on_closed(&mut self, _: &mut Links, _: ConnKey, _: Closed) {}
    fn on_timer(&mut self, _: &mut Links, _: u64) {}
    fn on_resolved(&mut self, _: &mut Links, _: u64, _: Result<Vec<SocketAddr>, String>) {}
    fn on_mail(&mut self, _: &mut Links, _: ShardId, _: Mail) {}
    fn on_disk(&mut self, io: &mut Links, store: StoreId, op: OpId, result: Result<Completion, DiskError>) {
        drop(self.told.send(Told::Ended(store, op, result)));
        self.go_on(io, store);
    }
    fn on_meta(&mut self, io: &mut Links, news: MetaNews) {
        drop(self.told.send(Told::News(io.shard(), news)));
    }
    fn on_turn_end(&mut self, _: &mut Links) {}
    fn on_stop(&mut self, _: &mut Links, _: Duration) {
        self.stopping = true;
    }
    fn is_quiet(&self) -> bool {
        self.stopping
    }
}

fn fresh(name: &str, driver: Driver) -> PathBuf {
    let path = std::env::temp_dir().join(format!("pulsegate-{name}-{driver:?}-{}", std::process::id()));
    if path.exists() {
        std::fs::remove_dir_all(&path).unwrap();
    }
    path
}

fn open(path: &std::path::Path, stores: u16) -> Arc<DataFolder> {
    let options = FolderOptions { stores, allow_volatile: true, sync_journal: true, wall_ms: 1 };
    Arc::new(DataFolder::open(path, options).unwrap())
}

fn block(store: u16, number: u64) -> u8 {
    (u64::from(store) * 31 + number * 7 + 1) as u8
}

const WRITES: u64 = 12;

/// What a log does: a slot is made, frames are written and flushed, some settle into a segment that is read back.
fn list(store: u16) -> VecDeque<DiskOp> {
    let (journal, segment) = (FileName::Journal(0), FileName::Segment(LedgerId(u64::from(store))));
    let mut list = VecDeque::from([
        DiskOp::Create { file: journal, zeroes: 1 << 20 },
        DiskOp::Sync(journal),
        DiskOp::SyncFolder,
        DiskOp::Create { file: segment, zeroes: 0 },
        DiskOp::SyncFolder,
    ]);
    for number in 0..WRITES {
        let bytes = Bytes::from(vec![block(store, number); BLOCK]);
        // From within a larger one: not where a page begins.
        let odd = Bytes::from([&[0; 5][..], &bytes].concat()).slice(5..);
        list.push_back(DiskOp::Write { file: journal, at: number * BLOCK as u64, bytes: odd });
        list.push_back(DiskOp::Sync(journal));
        list.push_back(DiskOp::Write { file: segment, at: number * BLOCK as u64, bytes });
        list.push_back(DiskOp::Sync(segment));
        let (at, length) = (number / 2 * BLOCK as u64, (number - number / 2 + 1) as usize * BLOCK);
        list.push_back(DiskOp::Read { file: segment, at, length });
    }
    list.push_back(DiskOp::Read { file: segment, at: 0, length: (WRITES as usize + 1) * BLOCK });
    list.push_back(DiskOp::Create { file: FileName::Checkpoint(1), zeroes: 0 });
    list.push_back(DiskOp::Delete(FileName::Checkpoint(1)));
    list
}

#[test]
fn files_of_many_stores_are_served_beside_busy_sockets() {
    const STORES: u16 = 8;
    for driver in drivers() {
        let path = fresh("files", driver);
        let folder = open(&path, STORES);
        let (told, ended) = channel();
        let config = RunConfig { data: Some(Arc::clone(&folder)), ..config(driver, 2) };
        let running = run(config, move |shard| Worker {
            lists: (0..STORES).filter(|s| s % 2 == shard.0).map(|s| (StoreId(s), list(s))).collect(),
            writes: Vec::new(),
            told: told.clone(),
            next: 0,
            stopping: false,
        })
        .unwrap();
        let address = running.listening[0];
        let clients: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(move || {
                    let mut stream = connect(address);
                    (0..500).for_each(|_| ping(&mut stream, &[9; 700]));
                })
            })
            .collect();
        let mut lists: Vec<_> = (0..STORES).map(list).collect();
        for _ in 0..lists.iter().map(VecDeque::len).sum() {
            let Told::Ended(store, _, result) = ended.recv_timeout(WAIT).unwrap() else { panic!("no news") };
            match (lists[usize::from(store.0)].pop_front().unwrap(), result) {
                (DiskOp::Read { length, .. }, result) if length > WRITES as usize * BLOCK => {
                    assert_eq!(result, Err(DiskError::Io), "{driver:?}: beyond the end");
                }
                (DiskOp::Read { at, length, .. }, Ok(Completion::Read(bytes))) => {
                    assert_eq!(bytes.len(), length);
                    for (number, read) in (at / BLOCK as u64..).zip(bytes.chunks(BLOCK)) {
                        assert!(read.iter().all(|byte| *byte == block(store.0, number)), "{driver:?}");
                    }
                }
                (DiskOp::Write { bytes, .. }, result) => {
                    assert_eq!(result, Ok(Completion::Wrote(bytes.len())), "{driver:?}");
                }
                (request, result) => assert_eq!(result, Ok(Completion::Done), "{driver:?}: {request:?}"),
            }
        }
        clients.into_iter().for_each(|client| client.join().unwrap());
        running.stop();
        running.join().unwrap();
        for store in 0..STORES {
            let journal = std::fs::read(folder.store_path(StoreId(store)).join("j-00000000")).unwrap();
            assert_eq!(journal.len(), 1 << 20);
            for (number, written) in journal.chunks(BLOCK).enumerate() {
                let expected = if (number as u64) < WRITES { block(store, number as u64) } else { 0 };
                assert!(written.iter().all(|byte| *byte == expected), "{driver:?} {store} {number}");
            }
        }
        // Nothing of it is in use any more.
        drop(folder);
        drop(open(&path, STORES));
        std::fs::remove_dir_all(path).unwrap();
    }
}

/// What is settled is pushed out to the device piece by piece, where there is a page cache to push it from; the kernel's own full disk
/// says what it is.
#[test]
fn a_file_without_a_page_cache_is_written_all_the_same_and_a_full_disk_is_called_full() {
    for driver in drivers() {
        let path = fresh("odd-files", driver);
        let folder = open(&path, 1);
        let (odd, full) = (FileName::Segment(LedgerId(1)), FileName::Segment(LedgerId(2)));
        for (file, device) in [(odd, "/dev/zero"), (full, "/dev/full")] {
            std::os::unix::fs::symlink(device, folder.store_path(StoreId(0)).join(file.to_string())).unwrap();
        }
        let write = |file| DiskOp::Write { file, at: 0, bytes: Bytes::from(vec![1; 3 * BLOCK]) };
        let lists = BTreeMap::from([(StoreId(0), VecDeque::from([write(odd), write(full)]))]);
        let (told, ended) = channel();
        let config = RunConfig { data: Some(Arc::clone(&folder)), ..config(driver, 1) };
        let running = run(config, move |_| Worker {
            lists: lists.clone(),
            writes: Vec::new(),
            told: told.clone(),
            next: 0,
            stopping: false,
        })
        .unwrap();
        for expected in [Ok(Completion::Wrote(3 * BLOCK)), Err(DiskError::Full)] {
            let Told::Ended(_, _, result) = ended.recv_timeout(WAIT).unwrap() else { panic!("no news") };
            assert_eq!(result, expected, "{driver:?}");
        }
        running.stop();
        running.join().unwrap();
        drop(folder);
        std::fs::remove_dir_all(path).unwrap();
    }
}

fn change(key: &str, expect: Expect, value: &str) -> MetaChange {
    MetaChange { key: key.to_owned(), expect, value: Some(value.as_bytes().to_vec()) }
}

#[test]
fn every_core_hears_of_every_commit_in_one_order_and_the_asker_of_its_own() {
    const CORES: usize = 3;
    const EACH: usize = 30;
    for driver in drivers() {
        let path = fresh("meta", driver);
        let (store, records) = MetaStore::open(&path).unwrap();
        assert_eq!(records, []);
        let (told, news) = channel();
        let running = run(RunConfig { meta: Some(store), ..config(driver, CORES) }, move |shard| Worker {
            lists: BTreeMap::new(),
            // All want `first`: one gets it, and the refused writes leave nothing behind.
            writes: (0..EACH)
                .map(|number| match number {
                    0 => vec![
                        change(&format!("lost-{}", shard.0), Expect::Any, ""),
                        change("first", Expect::Absent, ""),
                    ],
                    _ => vec![change(
                        &format!("key-{}", number % 5),
                        Expect::Any,
                        &format!("{}-{number}", shard.0),
                    )],
                })
                .collect(),
            told: told.clone(),
            next: 0,
            stopping: false,
        })
        .unwrap();
        let commits = CORES * (EACH - 1) + 1;
        let (mut orders, mut answers, mut refused) = (vec![Vec::new(); CORES], vec![Vec::new(); CORES], 0);
        while orders.iter().any(|order| order.len() < commits) || refused < CORES - 1 {
            let Told::News(shard, news) = news.recv_timeout(WAIT).unwrap() else { panic!("no files here") };
            let shard = usize::from(shard.0);
            match news {
                MetaNews::Applied { records, ticket } => {
                    orders[shard].push(records[0].version);
                    answers[shard].extend(ticket);
                }
                MetaNews::Refused { ticket: 0, why } => {
                    assert_eq!(why, MetaRefusal::Conflict { key: "first".to_owned() });
                    refused += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        let expected: Vec<u64> = (1..=commits as u64).collect();
        assert!(orders.iter().all(|order| *order == expected), "{driver:?}: {orders:?}");
        for answers in answers {
            let whole: Vec<u64> = (0..EACH as u64).collect();
            assert!(answers == whole || answers == whole[1..], "{driver:?}: {answers:?}");
        }
        running.stop();
        running.join().unwrap();
        let (_, records) = MetaStore::open(&path).unwrap();
        let keys: Vec<_> = records.iter().map(|record| record.key.as_str()).collect();
        assert_eq!(keys.iter().filter(|key| key.starts_with("lost")).count(), 1, "{keys:?}");
        assert_eq!(keys.len(), 7, "{keys:?}");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn without_a_folder_or_a_meta_store_requests_fail_and_writes_beyond_the_bound_are_refused() {
    for driver in drivers() {
        let (told, ended) = channel();
        let running = run(config(driver, 1), move |_| Worker {
            lists: BTreeMap::from([(StoreId(0), VecDeque::from([DiskOp::SyncFolder]))]),
            writes: vec![vec![change("k", Expect::Any, "v")]; 256],
            told: told.clone(),
            next: 0,
            stopping: false,
        })
        .unwrap();
        let (mut failed, mut refused) = (0, 0);
        while failed < 1 || refused < 256 {
            match ended.recv_timeout(WAIT).unwrap() {
                Told::Ended(StoreId(0), OpId(1), Err(DiskError::Io)) => failed += 1,
                Told::News(_, MetaNews::Refused { why: MetaRefusal::Failed(_), .. }) => refused += 1,
                other => panic!("{other:?}"),
            }
        }
        running.stop();
        running.join().unwrap();
    }
    let mut io = Links::simulated(ShardId(0), 1);
    for ticket in 0..256 {
        io.write_meta(ticket, Vec::new()).unwrap();
    }
    assert!(io.write_meta(256, Vec::new()).is_err());
    assert_eq!(io.take_meta().len(), 256);
}
