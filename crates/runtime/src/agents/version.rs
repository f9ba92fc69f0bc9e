//! Which version of an agent's program is there.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use backstay_agent::one_line;

/// How long a program may take to say its version; the slowest of those known takes two seconds where nothing else works.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of what it says that are read.
const SAID_BYTES_MAX: u64 = 4 * 1024;

/// The versions of the programs that this process has asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versions(Arc<Mutex<BTreeMap<Vec<String>, Option<String>>>>);

impl Versions {
    /// What `command` says of its version, in a line; none if it says nothing. It is asked once.
    pub(crate) fn of(&self, command: &[String], env: &BTreeMap<String, String>) -> Option<String> {
        if let Some(known) = self.lock().get(command) {
            return known.clone();
        }
        let said = match ask(command, env) {
            Ok(said) => said.lines().next().map(one_line).filter(|line| !line.is_empty()),
            Err(error) => {
                tracing::info!(?command, %error, "the version of an agent is not known");
                None
            }
        };
        self.lock().insert(command.to_vec(), said.clone());
        said
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Vec<String>, Option<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ask(command: &[String], env: &BTreeMap<String, String>) -> io::Result<String> {
    let (program, words) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut child = Command::new(program)
        .args(words)
        .env_clear()
        .envs(env)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let stdout = child.stdout.take();
    let (tell, told) = mpsc::channel();
    // The thread ends with the pipe: at the latest when the group is gone.
    std::thread::Builder::new().name("agent-version".to_owned()).spawn(move || {
        let mut said = String::new();
        let read = stdout.map(|stdout| stdout.take(SAID_BYTES_MAX).read_to_string(&mut said));
        if tell.send(read.transpose().map(|_| said)).is_err() {
            tracing::debug!("nobody waits for a version any more");
        }
    })?;
    let said = told.recv_timeout(PATIENCE);
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let (Err(_), Some(group)) = (&said, group) {
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL)?;
    }
    child.wait()?;
    said.map_err(|_too_slow| io::Error::from(io::ErrorKind::TimedOut))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(script: &str) -> Option<String> {
        let command = ["sh", "-c", script].map(str::to_owned);
        let env = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
        Versions::default().of(&command, &env)
    }

    #[test]
    fn a_version_is_the_first_line_of_what_is_said() {
        assert_eq!(version("echo 'codex-cli 0.169.0'; echo more"), Some("codex-cli 0.169.0".to_owned()));
        assert_eq!(version("exit 3"), None);
        let nothing = Versions::default().of(&["/nowhere/agent".to_owned()], &BTreeMap::new());
        assert_eq!(nothing, None);
    }

    #[test]
    fn a_program_is_asked_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("asked");
        let script = format!("echo x >> {0}; wc -l < {0}", file.display());
        let command = ["sh".to_owned(), "-c".to_owned(), script];
        let env = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
        let versions = Versions::default();
        for _ in 0..2 {
            assert_eq!(versions.clone().of(&command, &env).as_deref(), Some("1"));
        }
    }
}
