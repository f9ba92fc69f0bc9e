//! The CLIs, in the versions that the presets were tried with, in a folder under the build's.

use std::fs::{File, create_dir_all};
use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};

const PACKAGES: &str = include_str!("../clis/package.json");

/// The folder with the programs; `None`, having said why, where these tests are not to run.
pub(crate) fn programs() -> Option<Utf8PathBuf> {
    if std::env::var_os("BACKSTAY_TEST_ALL").is_none() {
        println!("skipped: the real agent CLIs run in the full mode only (`cargo xtask test --all`)");
        return None;
    }
    let folder = Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("agent-clis");
    create_dir_all(&folder).unwrap();
    // Each test may be a process of its own.
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let stamp = folder.join("installed.json");
    if std::fs::read_to_string(&stamp).ok().as_deref() != Some(PACKAGES) {
        if let Err(reason) = install(&folder) {
            println!("skipped: the agent CLIs cannot be installed: {reason}");
            return None;
        }
        std::fs::write(stamp, PACKAGES).unwrap();
    }
    Some(folder.join("node_modules/.bin"))
}

fn install(folder: &Utf8Path) -> Result<(), String> {
    std::fs::write(folder.join("package.json"), PACKAGES).map_err(|error| error.to_string())?;
    let output = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--no-package-lock", "--prefix", folder.as_str()])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("npm: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
