//! What the server's process used in the measured window, read from /proc; what it says of its own system calls, if it is
//! pulsegate.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::plan::Plan;

/// The server's memory is looked at this often.
const SAMPLE_INTERVAL_NS: u64 = 200_000_000;
/// A page of metrics comes within this time.
const PAGE_TIME_MAX: Duration = Duration::from_secs(5);
/// The counter of system calls on pulsegate's page, one line a core.
const ENTERS: &str = "pulsegate_core_enters_total";

/// Counters of a process at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Nanoseconds on a processor, all threads that live now.
    pub(crate) cpu_ns: u64,
    /// Resident bytes.
    pub(crate) rss: u64,
    /// Context switches, all threads.
    pub(crate) switches: u64,
    /// Nanoseconds in which a thread could have run and another had its processor.
    pub(crate) waited_ns: u64,
}

/// What was used in the window.
#[derive(Clone, Debug)]
pub(crate) struct Used {
    pub(crate) window: Duration,
    pub(crate) own_cpu_ns: u64,
    pub(crate) server: Option<ServerUse>,
}

/// What the server used.
#[derive(Clone, Debug)]
pub(crate) struct ServerUse {
    pub(crate) cpu_ns: u64,
    pub(crate) switches: u64,
    /// Time its threads waited for a processor: a neighbour's work.
    pub(crate) waited_ns: u64,
    /// Before our sessions were opened.
    pub(crate) rss_before: u64,
    /// The most that was seen in the window.
    pub(crate) rss_max: u64,
    /// Calls of io_uring_enter, if the server tells.
    pub(crate) enters: Option<u64>,
}

/// Looks at the server, and at ourselves, when the window begins and ends.
pub(crate) struct Watch {
    pid: Option<u32>,
    page: Option<String>,
    idle: Usage,
    from: Option<(u64, Usage, Option<u64>)>,
    own_from: u64,
    rss_max: u64,
    sampled: u64,
    used: Option<Used>,
}

impl Watch {
    /// Before the sessions are opened.
    pub(crate) fn new(plan: &Plan) -> Result<Watch, String> {
        let idle = plan.server_pid.map_or(Ok(Usage::default()), usage)?;
        let page = plan.server_metrics.clone();
        Ok(Watch {
            pid: plan.server_pid,
            page,
            idle,
            from: None,
            own_from: 0,
            rss_max: 0,
            sampled: 0,
            used: None,
        })
    }

    /// It is now; the window lies between `from` and `to` (nanoseconds).
    pub(crate) fn look(&mut self, now: u64, from: u64, to: u64) -> Result<(), String> {
        if now < from {
            return Ok(());
        }
        if self.from.is_none() {
            let enters = self.page.as_deref().map(enters).transpose()?;
            let server = self.pid.map_or(Ok(Usage::default()), usage)?;
            self.from = Some((now, server, enters));
            self.own_from = own_cpu_ns();
        }
        if let Some(pid) = self.pid
            && now >= self.sampled + SAMPLE_INTERVAL_NS
        {
            self.sampled = now;
            self.rss_max = self.rss_max.max(usage(pid)?.rss);
        }
        if now >= to && self.used.is_none() {
            self.close(now)?;
        }
        Ok(())
    }

    fn close(&mut self, now: u64) -> Result<(), String> {
        let Some((from, before, enters_before)) = self.from else { return Ok(()) };
        let own_cpu_ns = own_cpu_ns().saturating_sub(self.own_from);
        let server = match self.pid {
            None => None,
            Some(pid) => {
                let after = usage(pid)?;
                let enters_after = self.page.as_deref().map(enters).transpose()?;
                Some(ServerUse {
                    cpu_ns: after.cpu_ns.saturating_sub(before.cpu_ns),
                    switches: after.switches.saturating_sub(before.switches),
                    waited_ns: after.waited_ns.saturating_sub(before.waited_ns),
                    rss_before: self.idle.rss,
                    rss_max: self.rss_max.max(after.rss),
                    enters: enters_after
                        .zip(enters_before)
                        .map(|(after, before)| after.saturating_sub(before)),
                })
            }
        };
        self.used = Some(Used { window: Duration::from_nanos(now - from), own_cpu_ns, server });
        Ok(())
    }

    /// What was used, if the window was reached.
    pub(crate) fn end(self) -> Option<Used> {
        self.used
    }
}

/// Reads the counters of a process now. The scheduler's count for each thread is exact; the process's own is in ticks of
/// 10 ms. A thread that ended is lost, which no server under test has in a measured window.
pub(crate) fn usage(pid: u32) -> Result<Usage, String> {
    let read = || -> io::Result<Usage> {
        let mut usage = Usage {
            rss: number_after(&fs::read_to_string(format!("/proc/{pid}/status"))?, "VmRSS:")? * 1024,
            ..Default::default()
        };
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let path = task?.path();
            // A thread may end between being listed and being read.
            let (Ok(times), Ok(status)) =
                (fs::read_to_string(path.join("schedstat")), fs::read_to_string(path.join("status")))
            else {
                continue;
            };
            usage.cpu_ns += number_after(&times, "")?;
            usage.waited_ns += number_after(&times, " ")?;
            for name in ["\nvoluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"] {
                usage.switches += number_after(&status, name)?;
            }
        }
        Ok(usage)
    };
    read().map_err(|error| format!("process {pid}: {error}"))
}

fn own_cpu_ns() -> u64 {
    usage(std::process::id()).map_or(0, |usage| usage.cpu_ns)
}

/// The first number behind `name`.
fn number_after(text: &str, name: &str) -> io::Result<u64> {
    let rest = text.find(name).map(|at| &text[at + name.len()..]);
    let word = rest.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse().ok());
    word.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no number behind {name:?}")))
}

/// Calls of io_uring_enter so far, all cores, from pulsegate's page of metrics.
fn enters(page: &str) -> Result<u64, String> {
    let (host, path) = page
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .ok_or_else(|| format!("--server-metrics {page}: write it as http://HOST:PORT/metrics"))?;
    let fetch = || -> io::Result<String> {
        let mut stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(PAGE_TIME_MAX))?;
        write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    let text = fetch().map_err(|error| format!("{page}: {error}"))?;
    Ok(sum_of(&text, ENTERS))
}

/// The sum of a metric over its labels.
fn sum_of(page: &str, metric: &str) -> u64 {
    let lines = page.lines().filter_map(|line| line.strip_prefix(metric));
    let values = lines.filter(|rest| rest.starts_with(['{', ' '])).filter_map(|rest| rest.rsplit(' ').next());
    values.filter_map(|value| value.trim().parse::<f64>().ok()).sum::<f64>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_time() {
        let spun = (0..5_000_000_u64).fold(0, |sum: u64, n| std::hint::black_box(sum ^ n));
        // Other tests' threads end meanwhile, so the sum may also shrink.
        let usage = usage(std::process::id()).expect("we are alive");
        assert!(usage.cpu_ns > 0 && usage.rss > 100_000, "{usage:?} {spun}");
        assert!(super::usage(u32::MAX).is_err());
    }

    #[test]
    fn a_metric_is_summed_over_its_cores() {
        let page = "# TYPE a counter\na{core=\"0\"} 3\na{core=\"1\"} 4\na_more 100\n";
        assert_eq!(sum_of(page, "a"), 7);
    }
}
