//! What the machine and the process's limits allow: kernel, processors, file descriptors, locked memory.

use crate::base::limit::CONFIG_FILE_BYTES_MAX;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{self, Read};
use std::path::Path;

/// Version of the running kernel, as far as it can be read from its release (`6.1.0-13-amd64`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kernel {
    pub(super) major: u32,
    pub(super) minor: u32,
}

impl Kernel {
    /// The running one, and its release as the system spells it.
    pub(super) fn running() -> (Option<Kernel>, String) {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        (Kernel::parse(&release), release)
    }

    fn parse(release: &str) -> Option<Kernel> {
        let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
        Some(Kernel { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
    }
}

/// Content of a file under `/proc`, without its line end.
pub(super) fn proc_value(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Reads a configuration file, one byte more than is allowed at most: the parser then refuses it.
pub(super) fn read_config(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(CONFIG_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
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

/// Soft limit of a resource; `None`: unlimited.
pub(super) fn soft_limit(resource: Resource) -> Option<u64> {
    getrlimit(resource).current
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
    soft_limit(Resource::Nofile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_releases_are_read_and_compared() {
        let kernel = |major, minor| Some(Kernel { major, minor });
        for (release, expected) in [
            ("6.1.0-13-amd64", kernel(6, 1)),
            ("5.15.167.4-microsoft-standard-WSL2", kernel(5, 15)),
            ("6.18", kernel(6, 18)),
            ("7", None),
            ("", None),
            ("weird", None),
            ("99999999999.1", None),
        ] {
            assert_eq!(Kernel::parse(release), expected, "{release}");
        }
        assert!(kernel(5, 19) < kernel(6, 1) && kernel(6, 2) < kernel(6, 10));
    }

    #[test]
    fn this_machine_has_a_kernel_and_processors() {
        assert!(Kernel::running().0.is_some(), "{}", Kernel::running().1);
        assert!(processors().is_sorted() && parallelism() >= 1);
    }
}
