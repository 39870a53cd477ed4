//! What may stand in the way of serving, each with its mend. `pulsegate check` shows them all; a start runs
//! those that it does not find out by itself.

use super::host::{self, Kernel};
use super::plan::Plan;
use crate::config::{Config, ServiceUrl};
use crate::shard::run::Driver;
use rustix::process::Resource;
use std::fmt;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Oldest kernel that has all the ring driver uses: socket commands came last.
const RING_KERNEL: Kernel = Kernel { major: 6, minor: 7 };
/// Locked memory that each ring needs at least, bytes. Source: glommio refuses to start below.
const RING_MEMLOCK_MIN: u64 = 512 * 1024;
/// A broker that does not take a connection for this long is called unreachable.
const BROKER_CONNECT_MAX: Duration = Duration::from_secs(2);
/// Files open beside connections: listeners, rings, doorbells, the log.
const FILES_BESIDE: u64 = 64;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grade {
    /// As it should be.
    Good,
    /// Serves, but not as well as it could.
    Warning,
    /// Does not serve.
    Failure,
}

/// Result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) subject: &'static str,
    /// How bad it is.
    pub(super) grade: Grade,
    /// What was found, and unless good, what to do.
    pub(super) text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match self.grade {
            Grade::Good => "ok",
            Grade::Warning => "warning",
            Grade::Failure => "failed",
        };
        write!(out, "{grade:<8}{:<16}{}", self.subject, self.text)
    }
}

fn finding(subject: &'static str, grade: Grade, text: impl Into<String>) -> Finding {
    Finding { subject, grade, text: text.into() }
}

/// Whether the ring driver can be had: kernel, its switch, locked memory. A start tries the ring and sees.
pub(super) fn ring(driver: Driver) -> Vec<Finding> {
    if driver == Driver::Portable {
        return Vec::new();
    }
    let wanted = driver == Driver::Ring;
    let (kernel, release) = Kernel::running();
    let switch = host::proc_value("/proc/sys/kernel/io_uring_disabled");
    vec![
        ring_kernel(kernel, &release, wanted),
        ring_allowed(switch.as_deref(), wanted),
        ring_memory(host::soft_limit(Resource::Memlock), wanted),
    ]
}

/// Whether connections have file descriptors enough. Raises the limit first, as far as it goes.
pub(super) fn files(config: &Config, plan: &Plan) -> Finding {
    let per_core = u64::from(plan.run.connections_max);
    // Without a cap of the operator's own, one full core is the measure: few machines are meant to fill them
    // all.
    let cores = if config.connections_max.is_some() { plan.run.cores.len() as u64 } else { 1 };
    open_files(host::raise_open_files(), per_core * cores + FILES_BESIDE)
}

/// Without a ring the portable driver serves, unless the operator insists on the ring.
fn without_ring(wanted: bool) -> (Grade, &'static str) {
    if wanted {
        (Grade::Failure, "or set driver=auto")
    } else {
        (Grade::Warning, "until then the portable driver serves; driver=portable silences this")
    }
}

fn ring_kernel(kernel: Option<Kernel>, release: &str, wanted: bool) -> Finding {
    if kernel.is_some_and(|kernel| kernel >= RING_KERNEL) {
        return finding("kernel", Grade::Good, release);
    }
    let (grade, or) = without_ring(wanted);
    let Kernel { major, minor } = RING_KERNEL;
    finding(
        "kernel",
        grade,
        format!("{release}: the ring driver needs {major}.{minor} or later; update the kernel, {or}"),
    )
}

fn ring_allowed(disabled: Option<&str>, wanted: bool) -> Finding {
    let how = match disabled {
        // Kernels before 6.6 have no such switch.
        None | Some("0") => return finding("io_uring", Grade::Good, "not disabled"),
        Some("1") => {
            "allowed to some users only (kernel.io_uring_disabled=1); add this one to kernel.io_uring_group"
        }
        Some(_) => "disabled (kernel.io_uring_disabled=2); run: sysctl -w kernel.io_uring_disabled=0",
    };
    let (grade, or) = without_ring(wanted);
    // With 1 the user may well be among the allowed; only the attempt tells.
    let grade = if disabled == Some("1") { Grade::Warning } else { grade };
    finding("io_uring", grade, format!("{how}, {or}"))
}

fn ring_memory(limit: Option<u64>, wanted: bool) -> Finding {
    match limit {
        None => finding("locked memory", Grade::Good, "unlimited"),
        Some(bytes) if bytes >= RING_MEMLOCK_MIN => {
            finding("locked memory", Grade::Good, format!("{} KiB", bytes / 1024))
        }
        Some(bytes) => {
            let (grade, or) = without_ring(wanted);
            let mend =
                "run: ulimit -l unlimited (systemd: LimitMEMLOCK=infinity; docker: --ulimit memlock=-1)";
            let least = RING_MEMLOCK_MIN / 1024;
            finding(
                "locked memory",
                grade,
                format!("{} KiB, a ring needs {least}; {mend}, {or}", bytes / 1024),
            )
        }
    }
}

fn open_files(limit: Option<u64>, wanted: u64) -> Finding {
    match limit {
        Some(limit) if limit < wanted => {
            let mend =
                "raise it with ulimit -Hn (systemd: LimitNOFILE=1048576; docker: --ulimit nofile=1048576)";
            finding("open files", Grade::Warning, format!("{limit} cannot hold {wanted} connections; {mend}"))
        }
        Some(limit) => finding("open files", Grade::Good, limit.to_string()),
        None => finding("open files", Grade::Good, "unlimited"),
    }
}

/// Whether the address can be listened on. The socket is closed again at once.
pub(super) fn port(listen: SocketAddr) -> Finding {
    let error = match TcpListener::bind(listen) {
        Ok(_) => return finding("port", Grade::Good, format!("{listen} is free")),
        Err(error) => error,
    };
    let port = listen.port();
    let mend = match error.kind() {
        ErrorKind::AddrInUse => format!(
            "another process listens there (ss -ltnp 'sport = :{port}'); stop it or set webServicePort"
        ),
        ErrorKind::PermissionDenied => {
            format!("port {port} needs privileges; set webServicePort=8080, or grant CAP_NET_BIND_SERVICE")
        }
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address; set bindAddress=0.0.0.0 or one that `ip address` lists".into()
        }
        _ => "check bindAddress and webServicePort".into(),
    };
    finding("port", Grade::Failure, format!("cannot listen on {listen}: {error}; {mend}"))
}

/// Whether at least one broker takes connections. Takes up to [`BROKER_CONNECT_MAX`] for each address of each
/// broker.
pub(super) fn brokers(service: &ServiceUrl) -> Finding {
    let mut reasons = Vec::new();
    for (host, port) in service.hosts() {
        let addresses = match (host.as_str(), *port).to_socket_addrs() {
            Ok(addresses) => addresses,
            Err(error) => {
                reasons.push(format!("{host}: {error}"));
                continue;
            }
        };
        for address in addresses {
            match TcpStream::connect_timeout(&address, BROKER_CONNECT_MAX) {
                Ok(_) => return finding("broker", Grade::Good, format!("{address} takes connections")),
                Err(error) => reasons.push(format!("{address}: {error}")),
            }
        }
    }
    let reasons = reasons.join("; ");
    let mend = "start a broker there or set brokerServiceUrl; until one answers, /readyz says not ready";
    finding("broker", Grade::Failure, format!("no broker of {service} is reachable ({reasons}); {mend}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_the_ring_away_is_a_failure_only_if_the_ring_was_asked_for() {
        let old = Some(Kernel { major: 5, minor: 15 });
        for (wanted, grade) in [(false, Grade::Warning), (true, Grade::Failure)] {
            assert_eq!(ring_kernel(old, "5.15", wanted).grade, grade);
            assert_eq!(ring_kernel(None, "?", wanted).grade, grade);
            assert_eq!(ring_kernel(Some(RING_KERNEL), "6.7", wanted).grade, Grade::Good);
            assert_eq!(ring_allowed(Some("2"), wanted).grade, grade);
            assert_eq!(ring_allowed(Some("1"), wanted).grade, Grade::Warning);
            assert_eq!(ring_allowed(Some("0"), wanted).grade, Grade::Good);
            assert_eq!(ring_allowed(None, wanted).grade, Grade::Good);
            assert_eq!(ring_memory(Some(RING_MEMLOCK_MIN - 1), wanted).grade, grade);
            assert_eq!(ring_memory(Some(RING_MEMLOCK_MIN), wanted).grade, Grade::Good);
            assert_eq!(ring_memory(None, wanted).grade, Grade::Good);
        }
    }

    #[test]
    fn too_few_files_are_a_warning_with_its_mend() {
        assert_eq!(open_files(Some(100), 100).grade, Grade::Good);
        assert_eq!(open_files(None, 100).grade, Grade::Good);
        let warning = open_files(Some(99), 100).to_string();
        assert!(warning.starts_with("warning open files") && warning.contains("LimitNOFILE"), "{warning}");
    }

    #[test]
    fn a_taken_port_is_found_and_a_free_one_too() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let found = port(address);
        assert!(found.grade == Grade::Failure && found.text.contains("webServicePort"), "{found}");
        assert_eq!(port("127.0.0.1:0".parse().unwrap()).grade, Grade::Good);
        let foreign = port("192.0.2.1:0".parse().unwrap());
        assert!(foreign.grade == Grade::Failure && foreign.text.contains("bindAddress"), "{foreign}");
    }

    #[test]
    fn one_broker_that_answers_is_enough() {
        let broker = TcpListener::bind("127.0.0.1:0").unwrap();
        let up = ("127.0.0.1".to_owned(), broker.local_addr().unwrap().port());
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        let down = ("127.0.0.1".to_owned(), gone.local_addr().unwrap().port());
        drop(gone);
        assert_eq!(brokers(&ServiceUrl::Binary(vec![down.clone(), up])).grade, Grade::Good);
        let failure = brokers(&ServiceUrl::Binary(vec![down]));
        assert!(failure.grade == Grade::Failure && failure.text.contains("brokerServiceUrl"), "{failure}");
    }
}
