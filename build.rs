//! Puts the commit into the program for `--version`. `PULSEGATE_COMMIT` in the environment comes first:
//! packagers and images build without a repository. Without either, the commit is `unknown`.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PULSEGATE_COMMIT");
    let named = std::env::var("PULSEGATE_COMMIT").ok().filter(|commit| is_word(commit));
    let commit = named.or_else(commit_of_this_repository).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=PULSEGATE_COMMIT={commit}");
}

/// `None` where there is no git, or where these sources are only unpacked somewhere inside a foreign
/// repository.
fn commit_of_this_repository() -> Option<String> {
    let top = git(&["rev-parse", "--show-toplevel"])?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().ok()?;
    if Path::new(&top).canonicalize().ok()? != here {
        return None;
    }
    // HEAD's log grows with every commit and checkout. Where it is off, the commit may be an older one.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if here.join(&log).exists() {
        println!("cargo::rerun-if-changed={}", here.join(log).display());
    }
    git(&["rev-parse", "--short=10", "HEAD"]).filter(|commit| is_word(commit))
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
