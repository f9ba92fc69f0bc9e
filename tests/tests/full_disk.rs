//! A disk that is full while a run is under way: the run is suspended, and goes on once there is room.

#![cfg(target_os = "linux")]

use std::fs;
use std::process::Command;

use backstay_engine::record::RunStatus;
use backstay_tests::folder::said;
use backstay_tests::{World, all, faults, soak};
use camino::{Utf8Path, Utf8PathBuf};

/// Bytes of the disk: the store with its reserve, and some.
const DISK_MIB: u32 = 24;
/// A step whose output is a blob of 339 KB, in a checkout that it changes, and one behind it.
const FLOW: &str = "backstay: 1\nname: full\nsteps:\n  - {id: one, run: 'echo one >> starts; echo begun > begun; cat go; seq 1 60000'}\n  - {id: two, run: 'seq 1 20000'}\n";

/// A small disk below a world's folder. It is taken away when dropped.
struct Disk {
    path: Utf8PathBuf,
}

impl Disk {
    /// Mounts it, or says why that is not possible here.
    fn mount(path: Utf8PathBuf) -> Result<Disk, String> {
        fs::create_dir(&path).expect("the folder is fresh");
        let size = format!("size={DISK_MIB}m");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs", path.as_str()]).output();
        match mount {
            Ok(output) if output.status.success() => Ok(Disk { path }),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Fills it until only `room_kib` are left.
    fn fill_but(&self, room_kib: u64) {
        let free = rustix::fs::statvfs(self.path.as_std_path()).expect("it is mounted");
        let size_bytes = (free.f_bavail * free.f_frsize).saturating_sub(room_kib * 1024);
        match fs::write(self.filler(), vec![1; usize::try_from(size_bytes).expect("it is small")]) {
            Ok(()) => {}
            // Somebody else took some of it meanwhile.
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::StorageFull),
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).expect("it is there");
    }

    fn filler(&self) -> Utf8PathBuf {
        self.path.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a keeper that a failed test leaves has its folder there.
        let unmounted = Command::new("umount").args(["-l", self.path.as_str()]).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

fn git(folder: &Utf8Path, words: &[&str]) {
    let mut command = Command::new("git");
    command.current_dir(folder).args(["-c", "user.name=t", "-c", "user.email=t@localhost"]).args(words);
    let output = command.env("HOME", folder).output().expect("git starts");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_disk_that_is_full_at_any_level_suspends_the_run_and_never_fails_it() {
    let step = if soak() { 20 } else { 170 };
    let levels: Vec<u64> = [0, 8].into_iter().chain((40..=1100).step_by(step)).collect();
    let mut suspended = 0;
    for level in levels {
        let world = World::new();
        let disk = match Disk::mount(world.path().join("disk")) {
            Ok(disk) => disk,
            Err(reason) => {
                assert!(!all(), "skipped: {reason}");
                return eprintln!("skipped: {reason}");
            }
        };
        for (name, words) in [("repo", vec!["init", "-q", "disk"]), ("add", vec!["add", "."])] {
            if name == "add" {
                world.write("disk/flow.yaml", FLOW);
                git(&disk.path, &words);
                git(&disk.path, &["commit", "-qm", "first"]);
            } else {
                git(world.path(), &words);
            }
        }
        let store = disk.path.join(".backstay");
        let within = |arguments: &[&str]| {
            let mut command = world.command(&[&["--store", store.as_str()], arguments].concat());
            command.current_dir(&disk.path);
            command
        };
        let (begun, go) = (world.gate("disk/begun"), world.gate("disk/go"));
        let mut run = within(&["run", "flow.yaml"]);
        let run =
            run.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        assert_eq!(begun.wait(), "begun\n");
        disk.fill_but(level);
        go.open();
        let output = run.wait_with_output().unwrap();
        let text = said(&output);
        assert!(!text.contains("BKS-R013") && !text.contains("panicked"), "{level} KiB: {text}");
        disk.make_room();
        match output.status.code() {
            Some(0) => {}
            Some(5) => {
                suspended += 1;
                // A step that was stopped begins anew.
                let mut resumed = within(&["resume", "@last"]);
                let resumed =
                    resumed.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
                let resumed = resumed.spawn().unwrap();
                let output = resumed.wait_with_output().unwrap();
                let again = said(&output);
                assert!(output.status.success(), "{level} KiB: {text}\n--- resumed:\n{again}");
            }
            code => panic!("{level} KiB: exit {code:?}: {text}"),
        }
        let shown = said(&within(&["ls", "--all"]).output().unwrap());
        assert!(shown.contains(RunStatus::Completed.as_str()), "{level} KiB: {shown}");
        assert_eq!(world.read("disk/starts"), "one\n", "{level} KiB: what was done is not done twice");
    }
    assert!(suspended > 0, "the disk was never too full");
}

#[test]
fn writes_that_find_no_room_from_any_moment_on_suspend_the_run_and_never_fail_it() {
    let told = |world: &World| world.path().join("told");
    let mut suspended = 0;
    for nth in (1..).step_by(if soak() { 1 } else { 29 }) {
        let world = World::new();
        world.write("first.yaml", "backstay: 1\nname: first\nsteps: [{id: one, run: 'true'}]\n");
        world.write(
            "flow.yaml",
            "backstay: 1\nname: full\nsteps:\n  - {id: one, run: 'echo one >> starts; seq 1 6000'}\n  - {id: two, run: 'echo two >> starts'}\n",
        );
        assert!(world.run(&["run", "first.yaml"]).status.success());
        let mut run = world.command(&["run", "flow.yaml"]);
        run.env("LD_PRELOAD", faults()).env("BACKSTAY_FAULTS", format!("write::{nth}+:ENOSPC"));
        run.env("BACKSTAY_FAULTS_UNDER", world.path().join(".backstay"));
        let output = run.env("BACKSTAY_FAULTS_TOLD", told(&world)).output().unwrap();
        let text = said(&output);
        assert!(!text.contains("BKS-R013") && !text.contains("panicked"), "write {nth}: {text}");
        let is_there = said(&world.run(&["show", "@last", "--json"])).contains("\"full\"");
        match output.status.code() {
            // What still found no room was only moved into the database, or only told others that there is news.
            Some(0) => assert!(suspended > 0, "write {nth}: no room was needed: {text}"),
            // It could not even be asked for.
            Some(1) => assert!(!is_there && suspended == 0, "write {nth}: {text}"),
            Some(5) => {
                suspended += 1;
                let resumed = world.run(&["resume", "@last"]);
                assert!(resumed.status.success(), "write {nth}: {text}\n--- resumed:\n{}", said(&resumed));
            }
            code => panic!("write {nth}: exit {code:?}: {text}"),
        }
        let starts = if is_there { "one\ntwo\n" } else { "" };
        assert_eq!(world.read("starts"), starts, "write {nth}: what was done is not done twice");
        assert!(said(&world.run(&["store", "check"])).contains("whole: "), "write {nth}");
        if !told(&world).exists() {
            assert!(output.status.success(), "{text}");
            break;
        }
    }
}
