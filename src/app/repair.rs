//! `pulsegate repair`: a data folder that no process uses is looked at, and put in order.

use super::standalone::{folder_failure, open_folder};
use super::{DAMAGED, Failure, show};
use crate::config::Settings;
use std::path::Path;
use std::process::ExitCode;

/// Looks at all stores; rebuilds those that are damaged if that is wanted.
pub(super) fn repair(settings: &Settings, rebuild: bool) -> Result<ExitCode, Failure> {
    let path = settings.text("dataDir");
    // To make a folder here would hide a name that was mistyped.
    if !Path::new(path).join("FORMAT").exists() {
        return Err(Failure::Folder(format!("{path} is no data folder: it has no FORMAT; see --data-dir")));
    }
    let folder = open_folder(settings, 1)?;
    let mut shown = Ok(ExitCode::SUCCESS);
    let mut say = |line: String| {
        if shown.is_ok() {
            shown = show(&format!("{line}\n"));
        }
    };
    let repaired = folder.repair(rebuild, &mut say).map_err(folder_failure)?;
    shown?;
    let (sound, rebuilt, damaged) = (repaired.sound, repaired.rebuilt, repaired.damaged);
    show(&format!("{sound} stores are sound, {rebuilt} were rebuilt, {damaged} are damaged\n"))?;
    Ok(if damaged > 0 { ExitCode::from(DAMAGED) } else { ExitCode::SUCCESS })
}
