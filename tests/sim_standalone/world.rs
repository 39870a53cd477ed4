//! Cores of `standalone` in one thread: simulated links, disks in memory, a meta store that is a map. One call to [`World::settle`]
//! runs turns of all cores, and carries mail, disk requests and changes, until nothing moves.

use bytes::Bytes;
use pulsegate::base::limit;
use pulsegate::broker::catalogue::{Catalogue, Effective, FirstStart};
use pulsegate::broker::host::{Host, HostConfig};
use pulsegate::config::gateway::{GatewayConfig, ServiceUrl};
use pulsegate::service::admin::{Admin, AdminConfig};
use pulsegate::service::embedded::{Embedded, EmbeddedConfig};
use pulsegate::service::gateway::Gateway;
use pulsegate::service::gateway::local::LocalBroker;
use pulsegate::service::standalone::Standalone;
use pulsegate::shard::meta::{Expect, MetaChange, MetaNews, MetaRecord, MetaRefusal};
use pulsegate::shard::{Door, Handler, Links, ShardId};
use pulsegate::store::{Completion, Config, Contents, DiskError, DiskOp, FileName, Log, StoreId, recover};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// Stores of the data folder.
pub const STORES: u16 = 8;
/// Turns of all cores until nothing moves: more means that they answer each other for ever.
const TURNS_MAX: usize = 20_000;

/// A disk that never forgets.
#[derive(Clone, Default)]
struct Disk(BTreeMap<FileName, Vec<u8>>);

impl Disk {
    fn perform(&mut self, op: DiskOp) -> Result<Completion, DiskError> {
        match op {
            DiskOp::Create { file, zeroes } => {
                self.0.insert(file, vec![0; zeroes as usize]);
                Ok(Completion::Done)
            }
            DiskOp::Write { file, at, bytes } => {
                let content = self.0.get_mut(&file).ok_or(DiskError::Io)?;
                let (begin, end) = (at as usize, at as usize + bytes.len());
                content.resize(content.len().max(end), 0);
                content[begin..end].copy_from_slice(&bytes);
                Ok(Completion::Wrote(bytes.len()))
            }
            DiskOp::Sync(_) | DiskOp::SyncFolder => Ok(Completion::Done),
            DiskOp::Delete(file) => {
                self.0.remove(&file);
                Ok(Completion::Done)
            }
            DiskOp::Read { file, at, length } => {
                let content = self.0.get(&file).ok_or(DiskError::Io)?;
                let piece = content.get(at as usize..at as usize + length).ok_or(DiskError::Io)?;
                Ok(Completion::Read(Bytes::copy_from_slice(piece)))
            }
        }
    }

    fn contents(&self) -> Contents {
        let mut contents = Contents::default();
        for (file, bytes) in &self.0 {
            match file {
                FileName::Journal(slot) => {
                    contents.journal.insert(*slot, Bytes::from(bytes.clone()));
                }
                FileName::Checkpoint(generation) => {
                    contents.checkpoints.insert(*generation, Bytes::from(bytes.clone()));
                }
                FileName::Segment(ledger) => {
                    contents.segments.insert(*ledger, bytes.len() as u64);
                }
            }
        }
        contents
    }
}

struct Core {
    io: Links,
    node: Standalone,
}

/// The process.
pub struct World {
    cores: Vec<Core>,
    disks: Vec<Disk>,
    meta: BTreeMap<String, (u64, Vec<u8>)>,
    commits: u64,
    /// Requests to disks are left lying.
    pub disk_stands: bool,
    waiting: VecDeque<(usize, StoreId, pulsegate::store::OpId, DiskOp)>,
    connections: u16,
    settings: fn(&mut EmbeddedConfig),
    /// Files and meta store as they are, for a restart.
    now: Duration,
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

impl World {
    /// A first start with this many cores.
    pub fn new(cores: usize) -> World {
        World::with(cores, |_| {})
    }

    /// The same with other settings.
    pub fn with(cores: usize, settings: fn(&mut EmbeddedConfig)) -> World {
        let mut world = World {
            cores: Vec::new(),
            disks: vec![Disk::default(); usize::from(STORES)],
            meta: BTreeMap::new(),
            commits: 0,
            disk_stands: false,
            waiting: VecDeque::new(),
            connections: 0,
            settings,
            now: Duration::from_secs(1),
        };
        let first = FirstStart { cluster: "standalone".to_owned(), super_users: Vec::new(), stock: false };
        let plan = Catalogue::default().plan_first_start(&first);
        for change in plan {
            world.commits += 1;
            world.meta.insert(change.key, (world.commits, change.value.unwrap_or_default()));
        }
        world.start(cores);
        world
    }

    /// Ends the process without a word and starts it again on its files, with this many cores.
    pub fn restart(&mut self, cores: usize) {
        self.cores.clear();
        self.waiting.clear();
        self.disk_stands = false;
        self.start(cores);
    }

    fn start(&mut self, cores: usize) {
        let records: Vec<MetaRecord> = self
            .meta
            .iter()
            .map(|(key, (version, value))| MetaRecord {
                key: key.clone(),
                version: *version,
                value: Some(value.clone()),
            })
            .collect();
        let mut config = EmbeddedConfig {
            stores: STORES,
            advertised: None,
            keep_alive: limit::KEEP_ALIVE_INTERVAL,
            message_size_max: limit::MESSAGE_SIZE_DEFAULT,
            connections_max: 0,
            connections_per_ip_max: 0,
            publish_bytes_max: 64 << 20,
            policies: Effective::default(),
            connections: Arc::new(AtomicUsize::new(0)),
        };
        (self.settings)(&mut config);
        let config = Arc::new(config);
        for core in 0..cores {
            let shard = ShardId(core as u16);
            let mut io = Links::simulated(shard, cores);
            io.simulate_time(self.now);
            let stores = (0..STORES).filter(|store| usize::from(*store) % cores == core);
            let hosts: Vec<Host> =
                stores.map(|store| self.host(&io, StoreId(store), config.message_size_max)).collect();
            let broker = LocalBroker { stores: STORES, message_size_max: config.message_size_max };
            let gateway = Gateway::local(gateway_config(), cores, 7, broker);
            let embedded = Embedded::new(Arc::clone(&config), shard, cores, hosts, &records);
            let admin = Admin::new(AdminConfig::new("standalone", STORES, 6650));
            self.cores.push(Core { io, node: Standalone::new(gateway, embedded, admin) });
        }
        for core in &mut self.cores {
            core.node.on_start(&mut core.io);
        }
        self.settle();
        assert!(self.cores.iter().all(|core| core.node.embedded().is_open()), "all stores are open");
    }

    fn host(&self, io: &Links, store: StoreId, message_size_max: usize) -> Host {
        let config = Config { slot_bytes: 1 << 20, checkpoint_bytes: 4 << 20, ..Config::new(4, 64 << 10) };
        let contents = self.disks[usize::from(store.0)].contents();
        let recovered = recover(&contents, u64::from(store.0)).expect("what was written is whole");
        let log = Log::open(config, recovered, io.clock().wall.0.cast_unsigned());
        let mut config = HostConfig::new(store, STORES, "standalone");
        config.rules.settings.message_size_max = message_size_max;
        Host::new(config, log, io.clock())
    }

    /// Runs until nothing moves.
    pub fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            if !self.turn() {
                return;
            }
        }
        panic!("the cores never come to rest");
    }

    /// One turn of each core, and what follows from it. False: nothing moved.
    pub fn turn(&mut self) -> bool {
        let mut moved = false;
        for index in 0..self.cores.len() {
            let core = &mut self.cores[index];
            moved |= core.io.is_busy();
            core.io.simulate_turn(&mut core.node);
            let ops = core.io.take_disk();
            self.waiting.extend(ops.into_iter().map(|(store, op, request)| (index, store, op, request)));
            for (to, mail) in core.io.take_mail() {
                moved = true;
                let from = ShardId(index as u16);
                let core = &mut self.cores[usize::from(to.0)];
                core.io.simulate_mail(&mut core.node, from, mail);
            }
            for (ticket, changes) in self.cores[index].io.take_meta() {
                moved = true;
                self.write_meta(index, ticket, changes);
            }
        }
        if !self.disk_stands {
            for (index, store, op, request) in std::mem::take(&mut self.waiting) {
                moved = true;
                let result = self.disks[usize::from(store.0)].perform(request);
                let core = &mut self.cores[index];
                core.io.simulate_disk(&mut core.node, store, op, result);
            }
        }
        moved
    }

    fn write_meta(&mut self, index: usize, ticket: u64, changes: Vec<MetaChange>) {
        let fits = |change: &MetaChange| match change.expect {
            Expect::Any => true,
            Expect::Absent => !self.meta.contains_key(&change.key),
            Expect::Version(version) => self.meta.get(&change.key).is_some_and(|(v, _)| *v == version),
        };
        if let Some(change) = changes.iter().find(|change| !fits(change)) {
            let why = MetaRefusal::Conflict { key: change.key.clone() };
            let core = &mut self.cores[index];
            return core.io.simulate_meta(&mut core.node, MetaNews::Refused { ticket, why });
        }
        self.commits += 1;
        let mut records = Vec::new();
        for MetaChange { key, value, .. } in changes {
            match &value {
                Some(value) => drop(self.meta.insert(key.clone(), (self.commits, value.clone()))),
                None => drop(self.meta.remove(&key)),
            }
            records.push(MetaRecord { key, version: self.commits, value });
        }
        let records = Arc::new(records);
        for (other, core) in self.cores.iter_mut().enumerate() {
            let ticket = (other == index).then_some(ticket);
            let news = MetaNews::Applied { records: Arc::clone(&records), ticket };
            core.io.simulate_meta(&mut core.node, news);
        }
    }

    /// Time passes; timers fire.
    pub fn pass(&mut self, by: Duration) {
        self.now += by;
        for core in &mut self.cores {
            core.io.simulate_time(by);
        }
        self.settle();
    }

    /// A native client connects to a core. What it gets is to be read with the other calls.
    pub fn connect(&mut self, core: usize) -> (usize, pulsegate::shard::ConnKey) {
        self.connections += 1;
        let peer = SocketAddr::from(([10, 0, 0, 1], self.connections));
        let local = SocketAddr::from(([10, 0, 0, 9], 6650));
        let Core { io, node } = &mut self.cores[core];
        (core, io.simulate_accept_at(node, peer, local, Door::BINARY))
    }

    /// Bytes of a client arrive.
    pub fn feed(&mut self, at: (usize, pulsegate::shard::ConnKey), bytes: &[u8]) {
        let Core { io, node } = &mut self.cores[at.0];
        io.simulate_bytes(node, at.1, bytes);
    }

    /// What was sent to a client since.
    pub fn fetch(&mut self, at: (usize, pulsegate::shard::ConnKey)) -> Vec<u8> {
        let Core { io, node } = &mut self.cores[at.0];
        io.take_outbox(node, at.1)
    }

    /// The client is gone.
    pub fn cut(&mut self, at: (usize, pulsegate::shard::ConnKey)) {
        self.cores[at.0].io.simulate_failure(at.1, 104);
        self.settle();
    }

    /// The client is connected.
    pub fn is_open(&self, at: (usize, pulsegate::shard::ConnKey)) -> bool {
        self.cores[at.0].io.is_open(at.1)
    }

    /// The client is not read from.
    pub fn is_paused(&self, at: (usize, pulsegate::shard::ConnKey)) -> bool {
        self.cores[at.0].io.is_paused(at.1)
    }

    /// Bytes queued for a client.
    pub fn queued(&self, at: (usize, pulsegate::shard::ConnKey)) -> usize {
        self.cores[at.0].io.queued(at.1)
    }
}
