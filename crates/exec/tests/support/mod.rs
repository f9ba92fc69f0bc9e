//! Real keepers for the tests of this crate.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    dead_code,
    reason = "helpers of tests, of which each test file uses a part"
)]

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use backstay_exec::{
    ExitRecord, KeeperControl, KeeperEvent, KeeperHandle, Keepers, ProcessSpec, RecoverError, Recovered,
    StartError,
};
use backstay_model::{Attempt, EffectId, Epoch};
use camino::{Utf8Path, Utf8PathBuf};

/// Nothing in these tests takes longer on a machine that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder for one attempt, and a keeper program to use it.
pub(crate) struct Bench {
    keep: tempfile::TempDir,
    pub(crate) keepers: Keepers,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let keep = tempfile::tempdir().unwrap();
        let sockets = vec![utf8(keep.path()).join("s")];
        std::fs::create_dir(keep.path().join("attempt")).unwrap();
        Bench { keepers: Keepers::new(keeper_program(), Vec::new(), sockets), keep }
    }

    pub(crate) fn folder(&self) -> Utf8PathBuf {
        utf8(self.keep.path()).canonicalize_utf8().unwrap().join("attempt")
    }

    pub(crate) fn path(&self, name: &str) -> Utf8PathBuf {
        utf8(self.keep.path()).canonicalize_utf8().unwrap().join(name)
    }

    pub(crate) fn start(&self, spec: &ProcessSpec) -> Result<Running, StartError> {
        self.keepers.start(&self.folder(), spec).map(Running::new)
    }

    /// Starts `script` under `sh` with the given changes and waits for its end.
    pub(crate) fn run(&self, script: &str, change: impl FnOnce(&mut ProcessSpec)) -> ExitRecord {
        let mut spec = sh(script);
        change(&mut spec);
        self.start(&spec).unwrap().end()
    }

    pub(crate) fn stdout(&self) -> Vec<u8> {
        backstay_exec::spool::stdout_bytes(&self.folder(), u64::MAX).unwrap()
    }
}

/// A process that runs, and what its keeper tells.
pub(crate) struct Running {
    pub(crate) control: KeeperControl,
    pub(crate) events: Receiver<KeeperEvent>,
}

impl Running {
    pub(crate) fn new(handle: KeeperHandle) -> Running {
        let (sender, events) = channel();
        let (control, _thread) = handle.watch(move |event| drop(sender.send(event))).unwrap();
        Running { control, events }
    }

    pub(crate) fn next(&self) -> KeeperEvent {
        self.events.recv_timeout(PATIENCE).unwrap()
    }

    /// The first event that `wanted` gives something for.
    pub(crate) fn wait<T>(&self, wanted: impl Fn(KeeperEvent) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.next()) {
                return found;
            }
        }
    }

    pub(crate) fn end(&self) -> ExitRecord {
        self.wait(|event| match event {
            KeeperEvent::Exited(record) => Some(*record),
            KeeperEvent::KeeperGone | KeeperEvent::Fenced { .. } => panic!("{event:?}"),
            _ => None,
        })
    }
}

/// Finds out what became of the first attempt of the effect that every spec here has.
pub(crate) fn recover(folder: &Utf8Path, epoch: Epoch) -> Result<Recovered, RecoverError> {
    let (store, below) = (folder.parent().unwrap(), Utf8Path::new(folder.file_name().unwrap()));
    backstay_exec::recover(store, below, &effect(), Attempt::FIRST, epoch)
}

pub(crate) fn effect() -> EffectId {
    "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:code:main".parse().unwrap()
}

/// `script` under `sh`.
pub(crate) fn sh(script: &str) -> ProcessSpec {
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let mut spec = ProcessSpec::new(effect(), Attempt::FIRST, Epoch(1), argv, "/".into());
    spec.env.insert("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned());
    spec.beat_ms = 100;
    spec.grace_ms = 300;
    spec
}

pub(crate) fn utf8(path: &std::path::Path) -> &Utf8Path {
    Utf8Path::from_path(path).unwrap()
}

/// The example `keeper` of this crate, beside the tests.
pub(crate) fn keeper_program() -> Utf8PathBuf {
    let test = Utf8PathBuf::from_path_buf(std::env::current_exe().unwrap()).unwrap();
    let program = test.parent().and_then(Utf8Path::parent).unwrap().join("examples/keeper");
    assert!(program.exists(), "{program} is missing: `cargo build -p backstay-exec --examples` makes it");
    program
}

/// Whether a process of this number is there and not dead.
pub(crate) fn is_alive(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat[stat.rfind(')').unwrap()..].starts_with(") Z"),
        Err(_) => {
            std::process::Command::new("kill").args(["-0", &pid.to_string()]).status().unwrap().success()
        }
    }
}

/// Waits until `path` has a whole line, and returns the number in it.
pub(crate) fn pid_in(path: &Utf8Path) -> u32 {
    wait_for(|| {
        let text = std::fs::read_to_string(path).ok()?;
        text.strip_suffix('\n')?.trim().parse().ok()
    })
}

/// Waits until `found` gives something.
pub(crate) fn wait_for<T>(found: impl Fn() -> Option<T>) -> T {
    let looks_max = PATIENCE.as_millis() / LOOK.as_millis();
    for _look in 0..looks_max {
        if let Some(found) = found() {
            return found;
        }
        // Processes that nobody hears of: looking again is the only way.
        std::thread::park_timeout(LOOK);
    }
    panic!("it did not come");
}

/// Time between two looks at something that tells nobody when it changes.
const LOOK: Duration = Duration::from_millis(10);

pub(crate) fn kill(pid: u32) {
    send(pid, rustix::process::Signal::KILL);
}

pub(crate) fn send(pid: u32, signal: rustix::process::Signal) {
    rustix::process::kill_process(self::pid(pid), signal).unwrap();
}

pub(crate) fn pid(number: u32) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(i32::try_from(number).unwrap()).unwrap()
}

/// A small file system of its own.
pub(crate) struct SmallDisk {
    pub(crate) path: Utf8PathBuf,
}

impl SmallDisk {
    /// Mounts it at `path`, or says why that is not possible here.
    pub(crate) fn mount(path: &Utf8Path, size_kib: u32) -> Result<SmallDisk, String> {
        std::fs::create_dir(path).map_err(|error| error.to_string())?;
        let size = format!("size={size_kib}k");
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs", path.as_str()])
            .output();
        match mount {
            Ok(output) if output.status.success() => Ok(SmallDisk { path: path.to_owned() }),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Fills it with the file `ballast` until only `room_kib` are left.
    pub(crate) fn fill_but(&self, ballast: &Utf8Path, room_kib: u64) {
        let free = rustix::fs::statvfs(self.path.as_std_path()).unwrap();
        let free_bytes = free.f_bavail * free.f_frsize;
        let size_bytes = free_bytes.saturating_sub(room_kib * 1024);
        std::fs::write(ballast, vec![1; usize::try_from(size_bytes).unwrap()]).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg(&self.path).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// Says why a test cannot run here; where all have to, that is a failure.
pub(crate) fn skip(reason: &str) {
    assert!(std::env::var_os("BACKSTAY_TEST_ALL").is_none(), "skipped: {reason}");
    eprintln!("skipped: {reason}");
}
