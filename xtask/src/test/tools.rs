//! The programs that tests start.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A program, and the Debian package that has it.
struct Tool {
    program: &'static str,
    package: &'static str,
}

const TOOLS: [Tool; 5] = [
    Tool { program: "git", package: "git" },
    Tool { program: "bash", package: "bash" },
    Tool { program: "awk", package: "mawk" },
    Tool { program: "kill", package: "procps" },
    Tool { program: "ps", package: "procps" },
];

/// Sees to it that every tool is there.
///
/// # Errors
/// Names those that are missing and, with `install`, could not be installed.
pub(crate) fn require(install: bool) -> Result<()> {
    let mut missing = missing();
    if install && !missing.is_empty() && is_root() && is_on_path("apt-get") {
        apt_get(&["update"])?;
        let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
        apt_get(&[&["install", "-y", "--no-install-recommends"], packages.as_slice()].concat())?;
        missing = self::missing();
    }
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|tool| tool.program).collect();
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    bail!("the tests need {}; install, for example: apt-get install {}", names.join(", "), packages.join(" "))
}

fn missing() -> Vec<&'static Tool> {
    TOOLS.iter().filter(|tool| !is_on_path(tool.program)).collect()
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Whether the user may install packages.
fn is_root() -> bool {
    let id = Command::new("id").arg("-u").stdin(Stdio::null()).output();
    id.is_ok_and(|output| output.stdout == b"0\n")
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .context("cannot start apt-get")?;
    if status.success() { Ok(()) } else { bail!("`apt-get {}` failed ({status})", arguments.join(" ")) }
}
