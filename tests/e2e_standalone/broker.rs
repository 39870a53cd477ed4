//! `standalone` in this process, on real files and sockets, in a folder of its own that goes with it.
#![allow(
    clippy::disallowed_types,
    reason = "hosts are handed to the threads of their cores once, at the start"
)]

use pulsegate::base::limit;
use pulsegate::base::time::{Clock, Instant, UnixMillis};
use pulsegate::broker::catalogue::{Catalogue, Effective, Expect, FirstStart};
use pulsegate::broker::host::{Host, HostConfig};
use pulsegate::config::gateway::{GatewayConfig, ServiceUrl};
use pulsegate::service::admin::{Admin, AdminConfig};
use pulsegate::service::embedded::{Embedded, EmbeddedConfig};
use pulsegate::service::gateway::Gateway;
use pulsegate::service::gateway::local::LocalBroker;
use pulsegate::service::standalone::Standalone;
use pulsegate::shard::folder::{DataFolder, FolderOptions};
use pulsegate::shard::meta::{self, MetaChange, MetaStore};
use pulsegate::shard::run::{Driver, RunConfig, Running, run};
use pulsegate::shard::{Door, ShardId};
use pulsegate::store::{Config, Log};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The drivers this machine has: the ring only where the kernel allows it.
pub fn drivers() -> Vec<Driver> {
    match pulsegate::shard::probe() {
        Ok(()) => vec![Driver::Ring, Driver::Portable],
        Err(_) => vec![Driver::Portable],
    }
}

/// A folder that is removed when this goes.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("pulsegate-e2e-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for temporary files");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}

/// A running broker.
pub struct Broker {
    running: Option<Running>,
    pub web: SocketAddr,
    pub binary: SocketAddr,
}

fn gateway_config() -> Arc<GatewayConfig> {
    Arc::new(GatewayConfig {
        service: ServiceUrl::Binary(vec![("embedded".to_owned(), 6650)]),
        text_max: limit::TEXT_MESSAGE_MAX,
        http_head_max: limit::HTTP_HEAD_MAX,
        session_idle: limit::SESSION_IDLE_MAX,
        ping_interval: None,
        session_pending_bytes_max: limit::SESSION_PENDING_BYTES_MAX,
        process_pending_bytes_max: limit::PROCESS_PENDING_BYTES_MAX,
        status_file: None,
        broker_token: None,
        cluster: "standalone".to_owned(),
    })
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("a sane clock")
}

/// What the meta store holds at the first start.
fn first_records(store: &MetaStore) {
    let first = FirstStart { cluster: "standalone".to_owned(), super_users: Vec::new(), stock: false };
    let change = |change: pulsegate::broker::catalogue::Change| {
        assert_eq!(change.expect, Expect::Absent);
        MetaChange { key: change.key, expect: meta::Expect::Absent, value: change.value }
    };
    let plan: Vec<MetaChange> =
        Catalogue::default().plan_first_start(&first).into_iter().map(change).collect();
    store.write(&plan).expect("a first start writes");
}

impl Broker {
    /// Starts on a folder; what is in it is served.
    pub fn start(folder: &Folder, driver: Driver, cores: usize) -> Broker {
        Broker::start_with(folder, driver, cores, |_| {})
    }

    pub fn start_with(
        folder: &Folder,
        driver: Driver,
        cores: usize,
        settings: impl FnOnce(&mut EmbeddedConfig),
    ) -> Broker {
        let path: &Path = &folder.0;
        let options =
            FolderOptions { stores: 4, allow_volatile: true, sync_journal: true, wall_ms: wall_ms() };
        let data = Arc::new(DataFolder::open(path, options).expect("a folder of our own"));
        let recovered = data.recover(&Default::default()).expect("what was written is whole");
        let (meta, _) = MetaStore::open(&data.meta_path()).expect("a file of our own");
        if data.is_new {
            first_records(&meta);
        }
        drop(meta);
        let (meta, records) = MetaStore::open(&data.meta_path()).expect("a file of our own");
        let mut config = EmbeddedConfig {
            stores: data.stores,
            advertised: None,
            keep_alive: limit::KEEP_ALIVE_INTERVAL,
            message_size_max: limit::MESSAGE_SIZE_DEFAULT,
            connections_max: 0,
            connections_per_ip_max: 0,
            publish_bytes_max: 64 << 20,
            policies: Effective::default(),
            connections: Arc::new(AtomicUsize::new(0)),
        };
        settings(&mut config);
        let config = Arc::new(config);
        let mut hosts: Vec<Vec<Host>> = (0..cores).map(|_| Vec::new()).collect();
        let clock = Clock { now: Instant(0), wall: UnixMillis(wall_ms().cast_signed()) };
        for (store, recovered) in recovered {
            let log = Config { slot_bytes: 8 << 20, ..Config::new(data.stores, 1 << 20) };
            let log = Log::open(log, recovered, wall_ms());
            let mut rules = HostConfig::new(store, data.stores, "standalone");
            rules.rules = config.policies.clone();
            let host = Host::new(rules, log, clock);
            hosts[usize::from(store.0) % cores].push(host);
        }
        let stores = data.stores;
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let run_config = RunConfig {
            cores: (0..cores).collect(),
            pin: false,
            listen: vec![loopback, loopback],
            connections_max: 1024,
            driver,
            drain_spread: Duration::from_millis(10),
            drain_time_max: Duration::from_secs(2),
            data: Some(data),
            meta: Some(meta),
        };
        let hosts = Mutex::new(hosts);
        let make = move |shard: ShardId| {
            let mine = std::mem::take(&mut hosts.lock().expect("no core panics")[usize::from(shard.0)]);
            let broker = LocalBroker { stores, message_size_max: config.message_size_max };
            let gateway = Gateway::local(gateway_config(), cores, u64::from(shard.0), broker);
            let embedded = Embedded::new(Arc::clone(&config), shard, cores, mine, &records);
            Standalone::new(gateway, embedded, Admin::new(AdminConfig::new("standalone", stores, 6650)))
        };
        let running = run(run_config, make).expect("the cores start");
        let at = |door: Door| running.listening[usize::from(door.0)];
        Broker { web: at(Door::WEB), binary: at(Door::BINARY), running: Some(running) }
    }

    /// Ends it as a signal does.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
            running.join().expect("all cores end well");
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.end();
    }
}
