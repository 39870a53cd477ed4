//! What the server's process used, read from /proc.

use std::fs;
use std::io;

use crate::client::LoadError;

/// Processor time and memory of a process at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Nanoseconds on a processor, all threads that live now.
    pub(crate) cpu_ns: u64,
    /// Resident bytes.
    pub(crate) rss: u64,
}

/// Reads the usage of a process now.
pub(crate) fn usage(pid: u32) -> Result<Usage, LoadError> {
    let cpu_ns = cpu_ns(&format!("/proc/{pid}/task")).map_err(|source| LoadError::Server { pid, source })?;
    Ok(Usage { cpu_ns, rss: rss(pid)? })
}

/// Reads the resident bytes of a process now.
pub(crate) fn rss(pid: u32) -> Result<u64, LoadError> {
    let resident = || -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Ok(first_number(line.unwrap_or(""))? * 1024)
    };
    resident().map_err(|source| LoadError::Server { pid, source })
}

/// Our own processor time, to show that the generator was not the limit.
pub(crate) fn own_cpu_ns() -> u64 {
    cpu_ns("/proc/self/task").unwrap_or(0)
}

/// The scheduler's count for each thread is exact; the process's own is in ticks of 10 ms. A thread that ended is lost,
/// which neither server under test has in a measured window.
fn cpu_ns(tasks: &str) -> io::Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(tasks)? {
        // A thread may end between being listed and being read.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        sum += first_number(&text)?;
    }
    Ok(sum)
}

fn first_number(text: &str) -> io::Result<u64> {
    let word = text.split_whitespace().next().and_then(|word| word.parse().ok());
    word.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no number in {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_time() {
        let before = usage(std::process::id()).expect("we are alive");
        let spun = (0..5_000_000_u64).fold(0, |sum: u64, n| std::hint::black_box(sum ^ n));
        let after = usage(std::process::id()).expect("we are alive");
        assert!(after.cpu_ns > before.cpu_ns && after.rss > 100_000, "{before:?} {after:?} {spun}");
        assert!(usage(u32::MAX).is_err());
    }
}
