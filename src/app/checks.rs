//! What may stand in the way of serving, each with its mend. `pulsegate check` shows them all; a start runs
//! those that it does not find out by itself.

use super::host;
use super::plan::Plan;
use crate::config::ServiceUrl;
use crate::shard;
use crate::shard::run::Driver;
use std::fmt;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

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

/// Whether the ring driver can be had: the kernel, its switches and the limits decide, so it is tried.
pub(super) fn ring(driver: Driver) -> Finding {
    if driver == Driver::Portable {
        return finding("driver", Grade::Good, "portable");
    }
    ring_found(shard::probe(), driver == Driver::Ring)
}

/// Without a ring the portable driver serves, unless the operator insists on the ring.
fn ring_found(probed: Result<(), String>, wanted: bool) -> Finding {
    match probed {
        Ok(()) => finding("driver", Grade::Good, "ring (io_uring)"),
        Err(reason) if wanted => finding("driver", Grade::Failure, format!("{reason}; or set driver=auto")),
        Err(reason) => {
            let until = "until then the portable driver serves; driver=portable silences this";
            finding("driver", Grade::Warning, format!("{reason}; {until}"))
        }
    }
}

/// Whether connections have file descriptors enough. Raises the limit first, as far as it goes.
pub(super) fn files(plan: &Plan) -> Finding {
    open_files(host::raise_open_files(), plan.connections_wanted + FILES_BESIDE)
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
pub(super) fn port(listen: SocketAddr, setting: &str) -> Finding {
    let error = match TcpListener::bind(listen) {
        Ok(_) => return finding("port", Grade::Good, format!("{listen} is free")),
        Err(error) => error,
    };
    let port = listen.port();
    let mend = match error.kind() {
        ErrorKind::AddrInUse => {
            format!("another process listens there (ss -ltnp 'sport = :{port}'); stop it or set {setting}")
        }
        ErrorKind::PermissionDenied => {
            format!("port {port} needs privileges; set {setting}=8080, or grant CAP_NET_BIND_SERVICE")
        }
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address; set bindAddress=0.0.0.0 or one that `ip address` lists".into()
        }
        _ => format!("check bindAddress and {setting}"),
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
        let missing = || Err("the kernel is too old".to_owned());
        assert_eq!(ring_found(missing(), false).grade, Grade::Warning);
        assert_eq!(ring_found(missing(), true).grade, Grade::Failure);
        assert_eq!(ring_found(Ok(()), true).grade, Grade::Good);
        assert_eq!(ring(Driver::Portable).grade, Grade::Good);
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
        let found = port(address, "webServicePort");
        assert!(found.grade == Grade::Failure && found.text.contains("webServicePort"), "{found}");
        assert_eq!(port("127.0.0.1:0".parse().unwrap(), "webServicePort").grade, Grade::Good);
        let foreign = port("192.0.2.1:0".parse().unwrap(), "webServicePort");
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
