//! Where the demo plays: a temporary folder with the store, the scripts and, where needed, a repository.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command as Blocking, Stdio};
use std::time::Duration;

use backstay_model::event::{CancelRequested, InputEvent};
use backstay_runtime::{Registry, Store};
use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{FILES, Repository};
use crate::context::{Context, utf8};
use crate::error::CliError;

/// How long the stopping of what is at work may take; the keepers themselves take at most half of it.
const CLEAN_PATIENCE: Duration = Duration::from_secs(30);
/// The variable that says where the demo's own registry of stores is.
const STATE: &str = "XDG_STATE_HOME";
/// Commits of the repository that is made.
const SAMPLE_COMMITS: u64 = 40;

/// The temporary folder, and the process that owns the run now. Nothing of it stays.
#[derive(Debug)]
pub(super) struct Stage {
    folder: TempDir,
    pub(super) root: Utf8PathBuf,
    pub(super) repository: Repository,
    pub(super) owner: Option<Child>,
}

impl Stage {
    /// Writes the scripts and finds the repository, or makes one.
    pub(super) fn set(context: &Context, wanted: &Utf8Path) -> Result<Stage, CliError> {
        let folder = TempDir::with_prefix("backstay-demo-").map_err(stopped)?;
        let root = utf8(folder.path().to_owned())?;
        for (name, text) in FILES {
            let path = root.join(name);
            std::fs::write(&path, text).map_err(|source| CliError::WriteFile { path, source })?;
        }
        let repository = match git(wanted, &["rev-parse", "--show-toplevel"]) {
            Some(top) if git(wanted, &["rev-parse", "-q", "--verify", "HEAD"]).is_some() => {
                Repository::Own(top.into())
            }
            Some(_) | None => {
                let sample = root.join("sample");
                make_sample(&sample, context.now().as_micros() / 1_000_000)?;
                Repository::Made(sample)
            }
        };
        Ok(Stage { folder, root, repository, owner: None })
    }

    /// The store's folder.
    pub(super) fn store(&self) -> Utf8PathBuf {
        self.root.join("store")
    }

    /// Opens the store, which its owner has made.
    pub(super) async fn open(&self) -> Result<Store, CliError> {
        let state = BTreeMap::from([(STATE.to_owned(), self.state().into_string())]);
        Ok(Store::open(&self.store(), &Registry::of_environment(&state)).await?)
    }

    /// The folder of its own registry: its store is nobody's, and no list shall name it.
    fn state(&self) -> Utf8PathBuf {
        self.root.join("state")
    }

    /// This program on the demo's store, in a process group of its own: Ctrl-C is for the demo to hear.
    pub(super) fn program(&self, arguments: &[&str]) -> Result<Command, CliError> {
        let mut command = Command::new(std::env::current_exe().map_err(CliError::Program)?);
        command.args(["--store", self.store().as_str()]).args(arguments);
        command
            .current_dir(self.repository.folder())
            .env("BACKSTAY_TREES", "off")
            .env(STATE, self.state())
            // And nobody is told of its runs.
            .env("XDG_CONFIG_HOME", self.folder.path().join("configuration"))
            .env_remove("BACKSTAY_EFFECT");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Ok(command)
    }

    /// Starts an owner of the run.
    pub(super) fn own(&mut self, arguments: &[&str]) -> Result<u32, CliError> {
        let child = self.program(arguments)?.spawn().map_err(stopped)?;
        let pid =
            child.id().ok_or_else(|| CliError::Demo { what: "its owner is gone at once".to_owned() })?;
        self.owner = Some(child);
        Ok(pid)
    }

    /// Stops what is still at work, and removes the folder.
    pub(super) async fn clear(mut self) -> Result<(), CliError> {
        let stopping = tokio::time::timeout(CLEAN_PATIENCE, self.stop()).await;
        if let Some(owner) = &mut self.owner {
            owner.kill().await.map_err(stopped)?;
        }
        stopping.map_err(|late| CliError::Demo { what: format!("its analysts did not end: {late}") })??;
        self.folder.close().map_err(stopped)
    }

    async fn stop(&mut self) -> Result<(), CliError> {
        if let Some(owner) = &mut self.owner {
            // Gone already, mostly.
            owner.kill().await.map_err(stopped)?;
        }
        self.owner = None;
        if !self.store().join("log.db").exists() {
            return Ok(());
        }
        let store = self.open().await?;
        let rows = store.runs(backstay_log::TopicFilter::default()).await?;
        for row in rows.iter().filter(|row| !row.summary.status.is_ended()) {
            let by = backstay_model::event::Actor { name: "demo".to_owned(), via: "command line".to_owned() };
            store.say(row.run, InputEvent::from(CancelRequested { by, reason: None })).await?;
            let run = row.run.to_string();
            self.own(&["resume", run.as_str(), "--json"])?;
            if let Some(owner) = &mut self.owner {
                owner.wait().await.map_err(stopped)?;
            }
        }
        Ok(())
    }
}

/// The error of a step of the demo itself.
pub(super) fn stopped(source: std::io::Error) -> CliError {
    CliError::Demo { what: source.to_string() }
}

fn git(folder: &Utf8Path, arguments: &[&str]) -> Option<String> {
    let output =
        Blocking::new("git").arg("-C").arg(folder).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Makes a repository in which each analyst finds something; the last commit is of `now_s`, in seconds.
fn make_sample(folder: &Utf8Path, now_s: i64) -> Result<(), CliError> {
    let failed = |what: &str| CliError::Demo { what: format!("a repository cannot be made: {what}") };
    std::fs::create_dir(folder).map_err(stopped)?;
    git(folder, &["init", "-q", "-b", "main"]).ok_or_else(|| failed("git init"))?;
    let mut import = Blocking::new("git")
        .arg("-C")
        .arg(folder)
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()
        .map_err(stopped)?;
    let mut stdin = import.stdin.take().ok_or_else(|| failed("no pipe"))?;
    stdin.write_all(sample(now_s).as_bytes()).map_err(stopped)?;
    drop(stdin);
    if !import.wait().map_err(stopped)?.success() {
        return Err(failed("git fast-import"));
    }
    git(folder, &["reset", "-q", "--hard"]).map(drop).ok_or_else(|| failed("git reset"))
}

/// The history of the sample, as `git fast-import` reads it.
fn sample(now_s: i64) -> String {
    const DAY_S: i64 = 86_400;
    let mark = ["TO", "DO"].concat();
    let mut text = String::new();
    for round in 0..SAMPLE_COMMITS {
        let at = now_s - DAY_S * 3 * (SAMPLE_COMMITS - round).cast_signed();
        let mut files = vec![(
            "src/parse.rs",
            format!("// {mark}: say where the mistake is\nconst ROUND: u64 = {round};\n"),
        )];
        if round % 2 == 0 {
            files.push((
                "src/plan.rs",
                format!("const ROUND: u64 = {round};\n// {mark}: plan again after a change\n"),
            ));
            files.push(("docs/plan.md", format!("# The plan\n\nRound {round}.\n")));
        }
        if round % 4 == 0 {
            files.push(("tests/parse.rs", format!("#[test]\nfn round_{round}() {{}}\n")));
        }
        // A text has no failing writer.
        let header = format!(
            "commit refs/heads/main\ncommitter Sample <sample@example.org> {at} +0000\ndata 6\nround\n\n"
        );
        text.push_str(&header);
        for (path, content) in files {
            if writeln!(text, "M 100644 inline {path}\ndata {}\n{content}", content.len()).is_err() {
                return text;
            }
        }
    }
    text
}
