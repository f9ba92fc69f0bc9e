//! A folder with a workflow and a store, and the real binary in it.

use std::fs::{self, File};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use backstay_engine::record::RunRecord;
use backstay_log::TopicFilter;
use backstay_model::{Position, RunId};
use backstay_runtime::{Registry, Store};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::{Gate, isolate};

/// The bound on every wait for something that has to come: far above what it takes, so that only a defect meets it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// After so long a store without news is opened anew: it may have been read before it was registered.
const REOPEN: Duration = Duration::from_millis(500);

/// A folder to work in.
#[derive(Debug)]
pub struct World {
    folder: TempDir,
    /// What the binary prints: beside the folder, since a test may keep that under git and count what changes in it.
    printed: TempDir,
}

/// A process of the real binary. Killed with -9 when dropped.
#[derive(Debug)]
pub struct Started {
    child: Child,
    out: Utf8PathBuf,
}

impl Default for World {
    fn default() -> World {
        World::new()
    }
}

impl World {
    /// An empty folder.
    #[must_use]
    pub fn new() -> World {
        let folder = |prefix| TempDir::with_prefix(prefix).expect("a temporary folder can be made");
        World { folder: folder("backstay-test-"), printed: folder("backstay-test-printed-") }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).expect("temporary folders have UTF-8 names")
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("a file can be written");
    }

    /// Reads a file; empty if it is not there.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        match fs::read_to_string(self.path().join(name)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => panic!("{name} can be read: {error}"),
        }
    }

    /// Writes the user's own configuration, which counts without being allowed.
    pub fn configure(&self, text: &str) {
        let folder = self.path().join("user/backstay");
        fs::create_dir_all(&folder).expect("a folder can be made");
        fs::write(folder.join("config.toml"), text).expect("a file can be written");
    }

    /// Makes a gate.
    #[must_use]
    pub fn gate(&self, name: &str) -> Gate {
        Gate::new(self.path().join(name))
    }

    /// The binary with these arguments, in the folder.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        command.env_remove("BACKSTAY_STORE").env("NO_COLOR", "1").env("USER", "tester");
        // What a user has beside the folder is here too.
        command.env("XDG_STATE_HOME", self.path().join("state"));
        isolate(&mut command, self.path());
        command.env("XDG_CONFIG_HOME", self.path().join("user"));
        command
    }

    /// Runs the binary to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary starts")
    }

    /// Starts the binary; its output goes to a file.
    #[must_use]
    pub fn start(&self, arguments: &[&str]) -> Started {
        self.start_with(arguments, &[])
    }

    /// Starts the binary with variables; its output goes to a file.
    #[must_use]
    pub fn start_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Started {
        let printed = Utf8Path::from_path(self.printed.path()).expect("temporary folders have UTF-8 names");
        let out = printed.join(format!("{}-{}", arguments.join("-").replace('/', "_"), unique()));
        let file = File::create(&out).expect("a file can be made");
        let error = file.try_clone().expect("a file can be shared");
        let child = self
            .command(arguments)
            .envs(variables.iter().copied())
            .stdout(file)
            .stderr(error)
            .spawn()
            .expect("the binary starts");
        Started { child, out }
    }

    /// Opens the store; none if it is not there yet.
    pub async fn store(&self) -> Option<Store> {
        let folder = self.path().join(".backstay");
        if !folder.join("log.db").exists() {
            return None;
        }
        // A test may have put it there itself, and reads it.
        Some(Store::open(&folder, &self.registry()).or_read_only().await.expect("the store opens"))
    }

    /// The registry of stores that the binary has here.
    #[must_use]
    pub fn registry(&self) -> Registry {
        Registry::in_folder(&self.path().join("state/backstay/registry"))
    }

    /// The only run of the store; none if none was asked for durably.
    #[must_use]
    pub fn only_run(&self) -> Option<RunId> {
        block_on(async {
            let store = self.store().await?;
            let rows = store.runs(TopicFilter::default()).await.expect("the runs can be listed");
            assert!(rows.len() <= 1, "only one run was asked for");
            rows.first().map(|row| row.run)
        })
    }

    /// The record of the only run.
    #[must_use]
    pub fn record(&self) -> RunRecord {
        self.record_when("exists", |_| true)
    }

    /// The record of the only run, once it is as `is_so` says (`what`, for people).
    #[must_use]
    pub fn record_when(&self, what: &str, is_so: impl Fn(&RunRecord) -> bool) -> RunRecord {
        block_on(async {
            let wait = async {
                let mut seen = Position(0);
                loop {
                    let Some(store) = self.store().await else {
                        tokio::task::yield_now().await;
                        continue;
                    };
                    let rows = store.runs(TopicFilter::default()).await.expect("the runs can be listed");
                    if let Some(row) = rows.first() {
                        let view = store.view(row.run).await.expect("the run can be read");
                        if is_so(&view.record) {
                            return view.record;
                        }
                    }
                    // The copy of a store that is not registered yet never changes.
                    if let Ok(position) = tokio::time::timeout(REOPEN, store.log().changed(seen)).await {
                        seen = position;
                    }
                }
            };
            match tokio::time::timeout(PATIENCE, wait).await {
                Ok(record) => record,
                Err(_elapsed) => panic!("the run never {what}: {:#?}", self.last_record().await),
            }
        })
    }

    async fn last_record(&self) -> Option<RunRecord> {
        let store = self.store().await?;
        let rows = store.runs(TopicFilter::default()).await.ok()?;
        Some(store.view(rows.first()?.run).await.ok()?.record)
    }
}

impl Started {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(&self.out).expect("its output can be read")
    }

    /// Waits until it has said `words`.
    #[expect(clippy::disallowed_methods, reason = "the bound of a wait is of the real clock")]
    pub fn wait_for(&self, words: &str) {
        let began = std::time::Instant::now();
        while !self.said().contains(words) {
            assert!(began.elapsed() < PATIENCE, "`{words}` was never said: {}", self.said());
            std::thread::yield_now();
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Kills it with -9 and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("it is there or gone");
        self.child.wait().expect("it can be waited for");
    }

    /// Waits for its end; gives its status and what it said.
    #[must_use]
    pub fn end(self) -> (ExitStatus, String) {
        self.end_within(PATIENCE)
    }

    /// The same, of one that may take longer than others.
    #[must_use]
    pub fn end_within(mut self, patience: Duration) -> (ExitStatus, String) {
        let (said, heard) = std::sync::mpsc::channel::<()>();
        let pid = self.pid();
        std::thread::spawn(move || {
            // The test may be over when the bound is.
            if heard.recv_timeout(patience) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                send(pid, Signal::KILL);
            }
        });
        let status = self.child.wait().expect("it can be waited for");
        drop(said);
        (status, fs::read_to_string(&self.out).expect("its output can be read"))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Already gone in most tests.
        if self.child.kill().is_ok() {
            self.child.wait().expect("it can be waited for");
        }
    }
}

/// Sends `signal` to `pid`; one that is gone already is fine.
pub fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    match rustix::process::kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("{signal:?} can be sent: {error}"),
    }
}

/// Runs a future to its end on a runtime of its own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime can be made")
        .block_on(future)
}

fn unique() -> usize {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// The real binary, beside the tests' own.
#[must_use]
pub fn binary() -> Utf8PathBuf {
    let own =
        Utf8PathBuf::try_from(std::env::current_exe().expect("a test has a path")).expect("a UTF-8 path");
    let profile = own.parent().and_then(Utf8Path::parent).expect("tests are in target/PROFILE/deps");
    let binary = profile.join("backstay");
    assert!(
        binary.exists(),
        "{binary} is not built: run `cargo xtask test`, or `cargo build -p backstay-cli` first"
    );
    binary
}

/// The library of faults, to be put before libc by `LD_PRELOAD`.
#[must_use]
pub fn faults() -> Utf8PathBuf {
    let library = binary().with_file_name("libbackstay_faults.so");
    assert!(library.exists(), "{library} is not built: run `cargo build -p backstay-faults` first");
    library
}
