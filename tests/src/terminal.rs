//! The binary in front of a real terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, waitpid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::{PATIENCE, World, binary, isolate, send};

/// Pieces of output within which everything has to have come.
const DRAWINGS_MAX: usize = 240;
/// How often keys are pressed for a program that does not seem to have heard them, and how long it has for each.
const PRESSES_MAX: usize = 80;
const PRESS_AGAIN: Duration = Duration::from_millis(500);
/// What shows the cursor again.
pub const SHOW_CURSOR: &str = "\u{1b}[?25h";
const HIDE_CURSOR: &str = "\u{1b}[?25l";
const ENTER_SCREEN: &str = "\u{1b}[?1049h";
const LEAVE_SCREEN: &str = "\u{1b}[?1049l";
/// On a screen with fewer columns or rows the emulator panics where it wraps a line.
const EMULATED_MIN: u16 = 2;
/// The screen, unless it is said otherwise.
const SIZE: (u16, u16) = (100, 24);

/// The binary as the only job of a terminal of its own.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: mpsc::Receiver<Vec<u8>>,
    seen: String,
    emulator: Emulator,
    device: OwnedFd,
    before: Termios,
}

impl Terminal {
    /// Starts the binary in `world`, on a screen without colours.
    #[must_use]
    pub fn start(world: &World, arguments: &[&str]) -> Terminal {
        Terminal::start_with(world, arguments, SIZE, &[("NO_COLOR", "1")])
    }

    /// Starts it on a screen of this size (columns and rows), with further variables.
    #[must_use]
    pub fn start_with(
        world: &World,
        arguments: &[&str],
        size: (u16, u16),
        variables: &[(&str, &str)],
    ) -> Terminal {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal can be made");
        grantpt(&controller).expect("it is ours");
        unlockpt(&controller).expect("it can be opened");
        let name = ptsname(&controller, Vec::new()).expect("it has a name").into_string().expect("in UTF-8");
        let device = File::options().read(true).write(true).open(name).expect("it can be opened");
        set_size(&device, size);
        let copy = || device.try_clone().expect("a file can be shared");
        let before = tcgetattr(&device).expect("it has modes");
        let mut command = Command::new("setsid");
        isolate(&mut command, world.path());
        let child = command
            .args(["--ctty", binary().as_str()])
            .args(arguments)
            .current_dir(world.path())
            .env("TERM", "xterm")
            .env_remove("BACKSTAY_STORE")
            .env_remove("NO_COLOR")
            .envs(variables.iter().copied())
            .env("USER", "tester")
            .env("XDG_STATE_HOME", world.path().join("state"))
            .env("XDG_CONFIG_HOME", world.path().join("user"))
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
        let emulator = Emulator::new(size);
        Terminal { child, keyboard, screen, seen: String::new(), emulator, device: device.into(), before }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What came since the start, or since it was forgotten.
    #[must_use]
    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// Forgets what came.
    pub fn forget(&mut self) {
        self.seen.clear();
    }

    /// The screen as a person sees it now, as far as it has come.
    #[must_use]
    pub fn screen(&self) -> String {
        self.emulator.contents()
    }

    /// Gives it another size.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        set_size(&self.device, (columns, rows));
        self.emulator.resize((columns, rows));
    }

    /// Waits until `text` stands on the screen now.
    pub fn wait_for_screen(&mut self, text: &str) {
        self.wait_until(text, |screen| screen.contains(text));
    }

    /// Waits until the screen is as `is_so` says (`what`, for people).
    pub fn wait_until(&mut self, what: &str, is_so: impl Fn(&str) -> bool) {
        for _ in 0..DRAWINGS_MAX {
            if is_so(&self.screen()) {
                return;
            }
            self.hear(what);
        }
        panic!("`{what}` is not on the screen:\n{}", self.screen());
    }

    fn hear(&mut self, what: &str) {
        match self.screen.recv_timeout(PATIENCE) {
            Ok(chunk) => {
                self.seen.push_str(&String::from_utf8_lossy(&chunk));
                self.emulator.take(&chunk);
            }
            Err(error) => panic!("`{what}` never came ({error}): {}\n{}", self.seen, self.screen()),
        }
    }

    /// Waits until `text` stands on the screen, or stood there.
    pub fn wait_for(&mut self, text: &str) {
        // A view that is drawn every second is no reason to wait for ever.
        for _ in 0..DRAWINGS_MAX {
            if self.seen.contains(text) {
                return;
            }
            self.hear(text);
        }
        panic!("`{text}` never came: {}", self.seen);
    }

    /// Waits until the system has stopped it, as a shell does before it says so.
    pub fn wait_until_stopped(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let stopped = waitpid(pid, WaitOptions::UNTRACED).expect("it is a child of this process");
        assert!(stopped.is_some_and(|(_, status)| status.stopped()), "{stopped:?}");
    }

    /// Types.
    pub fn press(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).expect("the terminal takes keys");
    }

    /// Types `keys` again and again until `text` has come: a program that draws a screen of its own loses what is typed while it is
    /// busy.
    #[expect(clippy::disallowed_methods, reason = "the bound of a wait is of the real clock")]
    pub fn press_until(&mut self, keys: &[u8], text: &str) {
        for _ in 0..PRESSES_MAX {
            self.press(keys);
            let pressed = std::time::Instant::now();
            while let Some(left) = PRESS_AGAIN.checked_sub(pressed.elapsed())
                && let Ok(chunk) = self.screen.recv_timeout(left)
            {
                self.seen.push_str(&String::from_utf8_lossy(&chunk));
                self.emulator.take(&chunk);
                if self.seen.contains(text) {
                    return;
                }
            }
        }
        panic!("`{text}` never came: {}\n{}", self.seen, self.screen());
    }

    /// How the terminal takes what is typed.
    #[must_use]
    pub fn modes(&self) -> LocalModes {
        tcgetattr(&self.device).expect("the terminal has modes").local_modes
    }

    /// Waits for the end, and holds that the terminal is as it was.
    #[must_use]
    pub fn end(mut self) -> (ExitStatus, String) {
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
        self.keyboard.write_all(b"nothing more\n").expect("the terminal takes keys");
        self.wait_for("nothing more");
        let (shown, hidden) = (self.seen.rfind(SHOW_CURSOR), self.seen.rfind(HIDE_CURSOR));
        assert!(shown >= hidden, "the cursor is shown again: {:?}", self.seen);
        let (left, entered) = (self.seen.rfind(LEAVE_SCREEN), self.seen.rfind(ENTER_SCREEN));
        assert!(left >= entered, "the whole screen is given back: {:?}", self.seen);
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

fn set_size(device: impl std::os::fd::AsFd, (columns, rows): (u16, u16)) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(device, size).expect("it has a size");
}

/// What a terminal makes of the bytes.
struct Emulator(vt100::Parser);

impl Emulator {
    fn new((columns, rows): (u16, u16)) -> Emulator {
        Emulator(vt100::Parser::new(rows.max(EMULATED_MIN), columns.max(EMULATED_MIN), 0))
    }

    fn take(&mut self, bytes: &[u8]) {
        self.0.process(bytes);
    }

    fn resize(&mut self, (columns, rows): (u16, u16)) {
        self.0.screen_mut().set_size(rows.max(EMULATED_MIN), columns.max(EMULATED_MIN));
    }

    fn contents(&self) -> String {
        self.0.screen().contents()
    }
}

impl std::fmt::Debug for Emulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.contents())
    }
}
