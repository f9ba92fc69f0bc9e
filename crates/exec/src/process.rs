//! Starting the agent's process.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::event::Timespec;
use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::record::SpawnFailure;
use crate::spec::{EFFECT_VARIABLE, MARK_VARIABLE, ProcessSpec};

/// Where programs are looked for if the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The three standard streams of the agent.
pub(crate) struct Streams {
    pub(crate) stdin: Stdio,
    pub(crate) stdout: Stdio,
    pub(crate) stderr: Stdio,
}

/// Starts the process in a group of its own and returns its number. The caller collects it.
pub(crate) fn spawn(spec: &ProcessSpec, mark: &str, streams: Streams) -> Result<u32, SpawnFailure> {
    if !spec.cwd.is_dir() {
        return Err(SpawnFailure::CwdMissing { cwd: spec.cwd.clone() });
    }
    let (name, arguments) = match spec.argv.split_first() {
        Some((name, arguments)) => (name.as_str(), arguments),
        None => return Err(SpawnFailure::NotFound { program: String::new(), searched: None }),
    };
    let path = resolve(spec, name)?;
    let child = Command::new(&path)
        .arg0(name)
        .args(arguments)
        .current_dir(&spec.cwd)
        .env_clear()
        .envs(&spec.env)
        .env(EFFECT_VARIABLE, spec.effect.to_string())
        .env(MARK_VARIABLE, mark)
        .stdin(streams.stdin)
        .stdout(streams.stdout)
        .stderr(streams.stderr)
        .process_group(0)
        .spawn();
    match child {
        Ok(child) => Ok(child.id()),
        Err(error) => Err(explain(&error, path)),
    }
}

/// Where the program `name` is.
fn resolve(spec: &ProcessSpec, name: &str) -> Result<Utf8PathBuf, SpawnFailure> {
    let missing = |searched| SpawnFailure::NotFound { program: name.to_owned(), searched };
    if name.contains('/') {
        let path = spec.cwd.join(name);
        return if path.exists() { executable(path) } else { Err(missing(None)) };
    }
    let searched = spec.env.get("PATH").map_or(DEFAULT_PATH, String::as_str);
    let mut denied = None;
    for folder in searched.split(':') {
        let path = spec.cwd.join(if folder.is_empty() { "." } else { folder }).join(name);
        if !path.is_file() {
            continue;
        }
        match executable(path) {
            Ok(path) => return Ok(path),
            Err(failure) => denied = denied.or(Some(failure)),
        }
    }
    Err(denied.unwrap_or_else(|| missing(Some(searched.to_owned()))))
}

fn executable(path: Utf8PathBuf) -> Result<Utf8PathBuf, SpawnFailure> {
    if path.is_file() && access(path.as_std_path(), Access::EXEC_OK).is_ok() {
        Ok(path)
    } else {
        Err(SpawnFailure::PermissionDenied { path })
    }
}

fn explain(error: &io::Error, path: Utf8PathBuf) -> SpawnFailure {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::TOOBIG) => SpawnFailure::TooLarge,
        Some(Errno::NOEXEC) => SpawnFailure::NotAProgram { path },
        Some(Errno::ACCESS | Errno::PERM) => SpawnFailure::PermissionDenied { path },
        // The file is there: what is missing is the interpreter that it names.
        Some(Errno::NOENT) => SpawnFailure::NotFound { program: interpreter_of(&path), searched: None },
        _ => SpawnFailure::Refused { errno: error.raw_os_error().unwrap_or(0), message: error.to_string() },
    }
}

fn interpreter_of(path: &Utf8Path) -> String {
    let first_line = std::fs::read(path).ok().and_then(|bytes| {
        let line = bytes.split(|&byte| byte == b'\n').next()?.strip_prefix(b"#!")?;
        Some(String::from_utf8_lossy(line).trim().to_owned())
    });
    first_line.unwrap_or_else(|| path.to_string())
}

/// `duration` as the kernel takes it.
pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
