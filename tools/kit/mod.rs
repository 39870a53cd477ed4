//! What the programs under `tools/` share. Each takes this folder in as a module and uses its own part of it.
#![allow(dead_code)] // another program uses the rest
#![allow(clippy::disallowed_methods)] // clocks and sockets are what load tools are about

pub(crate) mod hlog;
pub(crate) mod native;
pub(crate) mod net;
pub(crate) mod plot;
pub(crate) mod ws;

/// Runs the calling thread on this processor alone; ends the program if that cannot be.
pub(crate) fn pin(core: Option<usize>) {
    if let Some(id) = core
        && !core_affinity::set_for_current(core_affinity::CoreId { id })
    {
        fail(&format!("cannot run on processor {id}: taskset -pc $$ shows which are allowed"));
    }
}

/// Lets the calling thread sleep to the microsecond: by default the kernel gathers wake-ups within 50 us.
pub(crate) fn sharpen_timers() {
    let slack = std::num::NonZeroU64::MIN;
    if let Err(error) = rustix::thread::set_current_timer_slack(Some(slack)) {
        eprintln!("{}: sleeps stay coarse: {error}", program());
    }
}

/// Ends the program: 1, and why.
pub(crate) fn fail(text: &str) -> ! {
    eprintln!("{}: {text}", program());
    std::process::exit(1)
}

/// The program's own name, for its messages.
fn program() -> String {
    let path = std::env::args().next().unwrap_or_default();
    std::path::Path::new(&path).file_name().map_or(path.clone(), |name| name.to_string_lossy().into_owned())
}
