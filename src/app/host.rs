//! What the machine and the process's limits allow: processors, file descriptors; the configuration file.

use crate::base::limit::CONFIG_FILE_BYTES_MAX;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{self, Read};
use std::path::Path;

/// Reads a configuration file, one byte more than is allowed at most: the parser then refuses it.
pub(super) fn read_config(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(CONFIG_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// Milliseconds since the epoch.
pub(super) fn wall_ms() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    // A clock before 1970 is no clock.
    u64::try_from(time.tv_sec).unwrap_or(0) * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// A clock that never goes back.
pub(super) fn monotonic() -> crate::base::time::Instant {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // Never negative: it counts from the machine's start.
    crate::base::time::Instant(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Processors this process may run on, ascending.
pub(super) fn processors() -> Vec<usize> {
    let mut processors: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
    processors.sort_unstable();
    if processors.is_empty() { vec![0] } else { processors }
}

/// How many threads are worth running: fewer than processors where a container has a quota.
pub(super) fn parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Raises the number of open files to what the process may raise it to; returns the result, `None`:
/// unlimited.
pub(super) fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            log::warn!("the limit of open files stays as it is: {error}");
        }
    }
    getrlimit(Resource::Nofile).current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_processors_and_files() {
        assert!(processors().is_sorted() && parallelism() >= 1);
        assert!(raise_open_files().is_none_or(|limit| Some(limit) == getrlimit(Resource::Nofile).maximum));
    }
}
