//! A shell in a terminal of its own, what is typed into it, and what it shows.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cargo_metadata::camino::Utf8Path;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// The bound on every wait: far above what it takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pieces of output within which something has to come.
const PIECES_MAX: usize = 400;
const PROMPT: &str = "$ ";

/// A shell that is watched.
pub(super) struct Film {
    shell: Child,
    keyboard: File,
    pieces: Receiver<Vec<u8>>,
    screen: vt100::Parser,
}

impl Film {
    /// Starts the shell in `folder`; programs are found in `path`.
    pub(super) fn begin(folder: &Utf8Path, path: &str, columns: u16, rows: u16) -> Result<Film> {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&controller)?;
        unlockpt(&controller)?;
        let name = ptsname(&controller, Vec::new())?.into_string()?;
        let device = File::options().read(true).write(true).open(name)?;
        tcsetwinsize(&device, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?;
        let shell = Command::new("setsid")
            .args(["--ctty", "bash", "--noprofile", "--norc", "--noediting", "-i"])
            .current_dir(folder)
            .env_clear()
            .envs([("PATH", path), ("HOME", folder.as_str()), ("USER", "ada"), ("PS1", PROMPT)])
            .envs([("TERM", "xterm-256color"), ("LANG", "C.UTF-8")])
            // A repository above the temporary folder is none of the picture.
            .env("GIT_CEILING_DIRECTORIES", folder.parent().unwrap_or(folder).as_str())
            .stdin(device.try_clone()?)
            .stdout(device.try_clone()?)
            .stderr(device)
            .spawn()
            .context("a shell is needed for the picture")?;
        let mut shown = File::from(controller);
        let keyboard = shown.try_clone()?;
        let (say, pieces) = mpsc::channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4_096];
            while let Ok(count) = shown.read(&mut piece) {
                if say.send(piece[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Film { shell, keyboard, pieces, screen: vt100::Parser::new(rows, columns, 0) })
    }

    /// Types a line.
    pub(super) fn enter(&mut self, line: &str) -> Result<()> {
        Ok(self.keyboard.write_all(format!("{line}\n").as_bytes())?)
    }

    /// Waits for the shell's prompt number `count` to be the last line.
    pub(super) fn prompt(&mut self, count: usize) -> Result<()> {
        self.wait(&format!("prompt {count}"), |screen| {
            let prompts = screen.lines().filter(|line| line.starts_with('$')).count();
            prompts == count && screen.trim_end().ends_with('$')
        })
    }

    /// Waits until the screen is as `is_so` says (`what`, for people).
    pub(super) fn wait(&mut self, what: &str, is_so: impl Fn(&str) -> bool) -> Result<()> {
        for _ in 0..PIECES_MAX {
            if is_so(&self.contents()) {
                return Ok(());
            }
            let Ok(piece) = self.pieces.recv_timeout(PATIENCE) else { break };
            self.screen.process(&piece);
        }
        bail!("never came: {what}; the screen is\n{}", self.contents())
    }

    /// The screen as text.
    pub(super) fn contents(&self) -> String {
        self.screen.screen().contents()
    }

    /// Ends the shell; gives the last screen.
    pub(super) fn end(mut self) -> Result<vt100::Parser> {
        let rows = self.screen.screen().size();
        let last = std::mem::replace(&mut self.screen, vt100::Parser::new(rows.0, rows.1, 0));
        self.enter("exit")?;
        self.shell.wait()?;
        Ok(last)
    }
}

impl Drop for Film {
    fn drop(&mut self) {
        // Where the shell has not ended by itself something went wrong, and that is told.
        if self.shell.kill().is_ok() && self.shell.wait().is_err() {
            eprintln!("the shell of the picture cannot be waited for");
        }
    }
}

/// Sends SIGKILL.
pub(super) fn kill(pid: u32) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no process has that id")?;
    Ok(kill_process(pid, Signal::KILL)?)
}
