//! `pulsegate standalone`: the data folder, its recovery, then cores that serve WebSocket, administration and the binary protocol.

use super::plan::{self, Plan};
use super::rules;
use super::serve::{self, Event, reachable};
use super::{Failure, cli, host, show};
use crate::base::time::{Clock, Instant, UnixMillis};
use crate::broker::catalogue::{Catalogue, Effective, Expect, FirstStart};
use crate::broker::host::{Host, HostConfig};
use crate::config::Settings;
use crate::service::admin::{Admin, AdminConfig};
use crate::service::embedded::{Embedded, EmbeddedConfig};
use crate::service::gateway::Gateway;
use crate::service::gateway::local::LocalBroker;
use crate::service::standalone::{Failures, Standalone};
use crate::shard::folder::{Accepted, DataFolder, FolderError, FolderOptions};
use crate::shard::meta::{self, MetaChange, MetaRecord, MetaStore};
use crate::shard::run::{Running, run_listening};
use crate::shard::{Door, ShardId};
use crate::store::{Config as LogConfig, Log, Recovered, StoreId};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// Bytes of entries that native producers may make the process hold, if nobody says otherwise.
const PUBLISH_BYTES_DEFAULT: usize = 256 << 20;
/// Most stores that a new folder gets by itself. Source: broker 5.2.
const STORES_DEFAULT_MAX: usize = 16;

/// Hosts of all cores, each handed to its core once, when that starts.
#[allow(
    clippy::disallowed_types,
    reason = "hosts are handed to the threads of their cores once, at the start"
)]
type Hosts = std::sync::Mutex<Vec<Vec<Host>>>;

/// What all cores are made of.
struct Parts {
    embedded: EmbeddedConfig,
    admin: AdminConfig,
    /// Host name that clients are told.
    advertised: Option<String>,
    broker: LocalBroker,
    records: Vec<MetaRecord>,
    hosts: Hosts,
}

/// Serves until a signal comes.
pub(super) fn standalone(plan: &Plan, settings: &Settings, accepted: &Accepted) -> Result<ExitCode, Failure> {
    log::info!("pulsegate {}", cli::VERSION);
    let rules = rules::effective(settings)?;
    serve::check_ports(plan)?;
    let (sender, events) = channel();
    serve::watch_signals(sender.clone())?;
    let begun = host::monotonic();

    let data = Arc::new(open_folder(settings, plan.run.cores.len())?);
    let (meta, records) = open_meta(&data, settings)?;
    let recovered = data.recover(accepted).map_err(folder_failure)?;
    log::info!(
        "data in {}{}: {} stores, {} topics, read in {:?}",
        data.path.display(),
        if data.is_new { " (new)" } else { "" },
        data.stores,
        recovered.iter().map(|(_, recovered)| recovered.state.topics.len()).sum::<usize>(),
        host::monotonic().since(begun),
    );
    let mut config = plan.run.clone();
    (config.data, config.meta) = (Some(Arc::clone(&data)), Some(meta));
    let parts = Arc::new(parts(plan, settings, rules, &data, records, recovered));
    let failures = Arc::new(watch_stores(settings, sender.clone()));
    let (gateway, cores, seed) = (Arc::clone(&plan.gateway), plan.run.cores.len(), serve::seed());
    let running = run_listening(config, move |shard: ShardId, listening: &[SocketAddr]| {
        let gateway =
            Gateway::local(Arc::clone(&gateway), cores, seed.wrapping_add(u64::from(shard.0)), parts.broker);
        let mut hosts = parts.hosts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let hosts = std::mem::take(&mut hosts[usize::from(shard.0)]);
        // Port 0 was given another number.
        let port = |door: Door| listening[usize::from(door.0)].port();
        let binary_port = port(Door::BINARY);
        let url = parts.advertised.as_ref().map(|host| format!("pulsar://{host}:{binary_port}"));
        let advertised_web = parts.advertised.as_ref().map(|host| format!("{host}:{}", port(Door::WEB)));
        let config = EmbeddedConfig { advertised: url.clone(), ..parts.embedded.clone() };
        let embedded = Embedded::new(Arc::new(config), shard, cores, hosts, &parts.records);
        let config =
            AdminConfig { binary_port, advertised_binary: url, advertised_web, ..parts.admin.clone() };
        let admin = Admin::new(config);
        Standalone::new(gateway, embedded, admin).with_failures(Arc::clone(&failures))
    })
    .map_err(|error| Failure::Other(error.to_string()))?;
    announce(&running, plan, &data)?;
    serve::wait(running, sender, &events, plan.run.drain_time_max)
}

/// What is done about a store whose journal cannot be written (`onFatalDiskError`).
fn watch_stores(settings: &Settings, sender: Sender<Event>) -> Failures {
    let exit = settings.text("onFatalDiskError") == "exit";
    Failures::new(move |store, reason| {
        let reason = format!("store {}: journal failed while running: {reason}", store.0);
        log::error!("{reason}");
        // Nobody listens only when the process is on its way out already.
        if exit && sender.send(Event::DiskFailed(reason)).is_err() {
            log::debug!("the process is stopping already");
        }
    })
}

pub(super) fn folder_failure(error: FolderError) -> Failure {
    let text = error.to_string();
    match error {
        _ if error.is_damage() => Failure::Damaged(text),
        FolderError::Io { .. } => Failure::Other(text),
        // A folder that may not be used, or not by this version, is the operator's to mend: as a wrong setting.
        _ => Failure::Folder(text),
    }
}

pub(super) fn open_folder(settings: &Settings, cores: usize) -> Result<DataFolder, Failure> {
    let wanted = match settings.count("stores") {
        0 => cores.next_power_of_two().min(STORES_DEFAULT_MAX) as u64,
        stores => stores,
    };
    let options = FolderOptions {
        stores: u16::try_from(wanted).unwrap_or(u16::MAX),
        allow_volatile: settings.flag("allowVolatileDataDir"),
        sync_journal: rules::sync_journal(settings),
        wall_ms: host::wall_ms(),
    };
    let folder = DataFolder::open(Path::new(settings.text("dataDir")), options).map_err(folder_failure)?;
    if settings.count("stores") > 0 && settings.count("stores") != u64::from(folder.stores) {
        let reason = format!("the folder was made with {}, which cannot be changed", folder.stores);
        return Err(rules::blame(settings, "stores", reason));
    }
    Ok(folder)
}

/// The meta store and all it holds; a new one gets the objects of a first start.
fn open_meta(data: &DataFolder, settings: &Settings) -> Result<(MetaStore, Vec<MetaRecord>), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Other(error.to_string());
    let opened = MetaStore::open(&data.meta_path()).map_err(|error| match error.is_damage() {
        true => Failure::Damaged(error.to_string()),
        false => failed(&error),
    });
    let (store, mut records) = opened?;
    let mut catalogue = Catalogue::default();
    for record in &records {
        catalogue.apply(&record.key, record.version, record.value.as_deref());
    }
    let super_users =
        settings.text("superUserRoles").split(',').map(str::trim).filter(|role| !role.is_empty());
    let first = FirstStart {
        cluster: settings.text("clusterName").to_owned(),
        super_users: super_users.map(str::to_owned).collect(),
        stock: settings.flag("stock"),
    };
    let expect = |expect| match expect {
        Expect::Any => meta::Expect::Any,
        Expect::Absent => meta::Expect::Absent,
        Expect::Version(version) => meta::Expect::Version(version),
    };
    let plan = catalogue.plan_first_start(&first).into_iter();
    let changes: Vec<MetaChange> = plan
        .map(|change| MetaChange { key: change.key, expect: expect(change.expect), value: change.value })
        .collect();
    if !changes.is_empty() {
        let written = store.write(&changes).map_err(|error| failed(&error))?;
        records.extend(written.iter().cloned());
    }
    Ok((store, records))
}

fn parts(
    plan: &Plan,
    settings: &Settings,
    rules: Effective,
    data: &DataFolder,
    records: Vec<MetaRecord>,
    recovered: Vec<(StoreId, Recovered)>,
) -> Parts {
    let cores = plan.run.cores.len();
    let cluster = settings.text("clusterName");
    let message_size_max = rules.settings.message_size_max;
    let advertised = Some(settings.text("advertisedAddress")).filter(|host| !host.is_empty());
    let publish_bytes = match settings.count("memoryLimitMB") {
        0 => PUBLISH_BYTES_DEFAULT,
        mebibytes => usize::try_from(mebibytes << 20).unwrap_or(usize::MAX),
    };
    let embedded = EmbeddedConfig {
        stores: data.stores,
        advertised: None,
        keep_alive: Duration::from_secs(settings.count("keepAliveIntervalSeconds")),
        message_size_max,
        connections_max: usize::try_from(settings.count("brokerMaxConnections")).unwrap_or(0),
        connections_per_ip_max: usize::try_from(settings.count("brokerMaxConnectionsPerIp")).unwrap_or(0),
        publish_bytes_max: publish_bytes / cores,
        policies: rules.clone(),
        connections: Arc::new(AtomicUsize::new(0)),
    };
    let admin = AdminConfig {
        defaults: rules.clone(),
        partitions_max: u32::try_from(settings.count("maxNumPartitionsPerPartitionedTopic")).unwrap_or(0),
        tenants_max: usize::try_from(settings.count("maxTenants")).unwrap_or(0),
        force_delete_tenant: settings.flag("forceDeleteTenantAllowed"),
        force_delete_namespace: settings.flag("forceDeleteNamespaceAllowed"),
        runtime: settings.shown(),
        ..AdminConfig::new(cluster, data.stores, 0)
    };
    let clock = Clock { now: Instant(0), wall: UnixMillis(host::wall_ms().cast_signed()) };
    let mut hosts: Vec<Vec<Host>> = (0..cores).map(|_| Vec::new()).collect();
    for (store, recovered) in recovered {
        let log = Log::open(LogConfig::new(data.stores, message_size_max), recovered, host::wall_ms());
        let config = HostConfig {
            rules: rules.clone(),
            rolling: rules::rolling(settings),
            upkeep: rules::upkeep(settings),
            ..HostConfig::new(store, data.stores, cluster)
        };
        hosts[usize::from(store.0) % cores].push(Host::new(config, log, clock));
    }
    Parts {
        embedded,
        advertised: advertised.map(str::to_owned),
        admin,
        broker: LocalBroker { stores: data.stores, message_size_max },
        records,
        hosts: hosts.into(),
    }
}

fn announce(running: &Running, plan: &Plan, data: &DataFolder) -> Result<ExitCode, Failure> {
    log::info!("{}", serve::driver_text(running, plan));
    let at = |door: Door| running.listening[usize::from(door.0)];
    log::info!(
        "WebSocket and administration: http://{}, binary protocol: pulsar://{}",
        at(Door::WEB),
        at(Door::BINARY)
    );
    match data.sync_journal {
        true => log::info!("a confirmed message survives a loss of power (journalSyncData=true)"),
        false => log::warn!("a confirmed message does not survive a loss of power (journalSyncData=false)"),
    }
    log::debug!("processors {}", plan::list(&plan.run.cores));
    show(&to_paste(reachable(at(Door::WEB))))
}

/// Lines for another terminal, with this very program: it need not be installed.
fn to_paste(web: SocketAddr) -> String {
    let program =
        std::env::current_exe().map_or_else(|_| "pulsegate".to_owned(), |path| path.display().to_string());
    // `consume` without a subscription begins with the oldest message: the lines work in any order.
    format!(
        "\nTry it:\n\n  {program} produce --server {web} my-topic hello\n  \
         {program} consume --server {web} my-topic\n  \
         curl http://{web}/admin/v2/persistent/public/default/my-topic/stats\n\n"
    )
}
