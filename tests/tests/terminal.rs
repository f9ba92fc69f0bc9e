//! In front of a real terminal: keys, signals, and the terminal as it was on every way out.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;

use backstay_engine::record::RunStatus;
use backstay_tests::{PATIENCE, World, binary, send};
use rustix::process::{Pid, Signal, WaitOptions, waitpid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

const GATED: &str = r#"
backstay: 1
name: gated
steps:
  - id: one
    run: |
      echo begun > begun
      cat go > /dev/null
  - {id: two, run: "echo last"}
"#;
/// Pieces of output within which everything has to have come.
const DRAWINGS_MAX: usize = 60;
const CTRL_C: &[u8] = b"\x03";
const SHOW_CURSOR: &str = "\u{1b}[?25h";
const HIDE_CURSOR: &str = "\u{1b}[?25l";

/// The binary as the only job of a terminal of its own.
struct Terminal {
    child: Child,
    keyboard: File,
    screen: mpsc::Receiver<Vec<u8>>,
    seen: String,
    device: OwnedFd,
    before: Termios,
}

impl Terminal {
    fn start(world: &World, arguments: &[&str]) -> Terminal {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal can be made");
        grantpt(&controller).expect("it is ours");
        unlockpt(&controller).expect("it can be opened");
        let name = ptsname(&controller, Vec::new()).expect("it has a name").into_string().expect("in UTF-8");
        let device = File::options().read(true).write(true).open(name).expect("it can be opened");
        let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&device, size).expect("it has a size");
        let copy = || device.try_clone().expect("a file can be shared");
        let before = tcgetattr(&device).expect("it has modes");
        let child = Command::new("setsid")
            .args(["--ctty", binary().as_str()])
            .args(arguments)
            .current_dir(world.path())
            .env("TERM", "xterm")
            .env("NO_COLOR", "1")
            .env_remove("BACKSTAY_STORE")
            .stdin(copy())
            .stdout(copy())
            .stderr(copy())
            .spawn()
            .expect("the binary starts");
        let mut shown = File::from(controller);
        let keyboard = shown.try_clone().expect("a file can be shared");
        let (say, screen) = mpsc::channel();
        std::thread::spawn(move || {
            let mut chunk = [0; 4_096];
            while let Ok(count) = shown.read(&mut chunk) {
                if say.send(chunk[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal { child, keyboard, screen, seen: String::new(), device: device.into(), before }
    }

    /// Waits until `text` stands on the screen, or stood there.
    fn wait_for(&mut self, text: &str) {
        // A view that is drawn every second is no reason to wait for ever.
        for _ in 0..DRAWINGS_MAX {
            if self.seen.contains(text) {
                return;
            }
            match self.screen.recv_timeout(PATIENCE) {
                Ok(chunk) => self.seen.push_str(&String::from_utf8_lossy(&chunk)),
                Err(error) => panic!("`{text}` never came ({error}): {}", self.seen),
            }
        }
        panic!("`{text}` never came: {}", self.seen);
    }

    /// Waits until the system has stopped it, as a shell does before it says so.
    fn wait_until_stopped(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let stopped = waitpid(pid, WaitOptions::UNTRACED).expect("it is a child of this process");
        assert!(stopped.is_some_and(|(_, status)| status.stopped()), "{stopped:?}");
    }

    fn press(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).expect("the terminal takes keys");
    }

    fn modes(&self) -> LocalModes {
        tcgetattr(&self.device).expect("the terminal has modes").local_modes
    }

    /// Waits for the end, and holds that the terminal is as it was.
    fn end(mut self) -> (ExitStatus, String) {
        let (ended, end) = mpsc::channel::<()>();
        let pid = self.child.id();
        std::thread::spawn(move || {
            if end.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                send(pid, Signal::KILL);
            }
        });
        let status = self.child.wait().expect("it can be waited for");
        drop(ended);
        assert_eq!(self.modes(), self.before.local_modes, "echo and lines are back");
        // All that was written is there by now, but may be on its way through the thread.
        self.keyboard.write_all(b"the end\n").expect("the terminal takes keys");
        self.wait_for("the end");
        let (shown, hidden) = (self.seen.rfind(SHOW_CURSOR), self.seen.rfind(HIDE_CURSOR));
        assert!(shown >= hidden, "the cursor is shown again: {:?}", self.seen);
        (status, std::mem::take(&mut self.seen))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().expect("it can be waited for");
        }
    }
}

/// A run that waits at a gate, and a watch of it whose keys work.
fn watched(world: &World) -> (backstay_tests::Started, backstay_tests::Gate, Terminal) {
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    world.write("flow.yaml", GATED);
    let run = world.start(&["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    let mut watch = Terminal::start(world, &["watch", "@last"]);
    watch.wait_for("[q]");
    assert!(!watch.modes().intersects(LocalModes::ECHO | LocalModes::ICANON), "single keys, unseen");
    assert!(watch.modes().contains(LocalModes::ISIG), "Ctrl-C is still a signal");
    (run, go, watch)
}

fn assert_goes_on(world: &World, run: backstay_tests::Started, go: &backstay_tests::Gate) {
    assert_eq!(world.record().status, RunStatus::Running);
    go.open();
    let (status, said) = run.end();
    assert!(status.success(), "{said}");
}

#[test]
fn q_leaves_a_watch_and_the_run_goes_on() {
    let world = World::new();
    let (run, go, mut watch) = watched(&world);
    watch.press(b"xq");
    let (status, seen) = watch.end();
    assert_eq!(status.code(), Some(0), "{seen}");
    assert_goes_on(&world, run, &go);
}

#[test]
fn ctrl_c_and_signals_end_a_watch_and_give_the_terminal_back() {
    let world = World::new();
    let (run, go, mut watch) = watched(&world);
    watch.press(CTRL_C);
    let (status, seen) = watch.end();
    assert_eq!(status.code(), Some(130), "{seen}");
    for (signal, code) in [(Signal::TERM, 143), (Signal::QUIT, 143), (Signal::INT, 130)] {
        let mut watch = Terminal::start(&world, &["watch"]);
        watch.wait_for("[q]");
        send(watch.child.id(), signal);
        let (status, seen) = watch.end();
        assert_eq!(status.code(), Some(code), "{signal:?}: {seen}");
    }
    assert_goes_on(&world, run, &go);
}

#[test]
fn a_watch_ends_with_its_run_and_gives_the_terminal_back() {
    let world = World::new();
    let (run, go, watch) = watched(&world);
    go.open();
    let (status, seen) = watch.end();
    assert_eq!(status.code(), Some(0), "{seen}");
    assert!(seen.contains("COMPLETED"), "{seen}");
    assert!(run.end().0.success());
}

#[test]
fn a_watch_stands_still_at_ctrl_z_with_the_terminal_as_it_was_and_goes_on() {
    let world = World::new();
    let (run, go, mut watch) = watched(&world);
    watch.press(b"\x1a");
    watch.wait_for(SHOW_CURSOR);
    // It stops itself a moment after it has given the terminal back.
    watch.wait_until_stopped();
    watch.seen.clear();
    send(watch.child.id(), Signal::CONT);
    watch.wait_for("[q]");
    watch.press(b"q");
    assert_eq!(watch.end().0.code(), Some(0));
    assert_goes_on(&world, run, &go);
}

#[test]
fn q_leaves_a_run_to_the_background_where_it_goes_on() {
    let world = World::new();
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    world.write("flow.yaml", GATED);
    let mut run = Terminal::start(&world, &["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    run.wait_for("[q] leave it running");
    run.press(b"q");
    let first = run.child.id();
    let (status, seen) = run.end();
    assert_eq!(status.code(), Some(75), "{seen}");
    assert!(seen.contains("backstay watch run_"), "it says how to see it again: {seen}");
    let record = world.record_when("has a new owner", |record| {
        record.owner.as_ref().is_some_and(|owner| owner.pid != first)
    });
    assert_eq!(record.status, RunStatus::Running, "nothing was suspended");
    assert_eq!(record.interruptions, [], "it was handed over");
    go.open();
    let record = world.record_when("ends", |record| record.status.is_ended());
    assert_eq!(record.status, RunStatus::Completed);
    let attempts: usize = record.steps.iter().map(|step| step.attempts.len()).sum();
    assert_eq!(attempts, 2, "no step began twice");
}

#[test]
fn ctrl_c_suspends_a_run_also_where_single_keys_are_read() {
    let world = World::new();
    let begun = world.gate("begun");
    world.write("flow.yaml", &GATED.replace("cat go", "sleep 600"));
    let mut run = Terminal::start(&world, &["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    run.wait_for("[Ctrl-C] suspend");
    run.press(CTRL_C);
    let (status, seen) = run.end();
    assert_eq!(status.code(), Some(5), "{seen}");
    assert!(seen.contains("backstay resume run_"), "it says how to go on: {seen}");
    assert_eq!(world.record().status, RunStatus::Suspended);
}

#[test]
fn a_run_whose_terminal_is_closed_goes_on_in_the_background() {
    let world = World::new();
    let (begun, go) = (world.gate("begun"), world.gate("go"));
    world.write("flow.yaml", GATED);
    let mut run = Terminal::start(&world, &["run", "flow.yaml"]);
    assert_eq!(begun.wait(), "begun\n");
    run.wait_for("[q] leave it running");
    let first = run.child.id();
    send(first, Signal::HUP);
    let record = world.record_when("has a new owner", |record| {
        record.owner.as_ref().is_some_and(|owner| owner.pid != first)
    });
    assert_eq!(record.interruptions, [], "it was handed over");
    let (status, seen) = run.end();
    assert_eq!(status.code(), Some(75), "{seen}");
    go.open();
    let record = world.record_when("ends", |record| record.status.is_ended());
    assert_eq!(record.status, RunStatus::Completed);
}
