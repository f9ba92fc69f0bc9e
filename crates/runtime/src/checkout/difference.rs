//! The difference between two commits, as git tells it to a person or a program.

use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};

use backstay_model::ObjectId;

use super::error::TreeError;
use super::git::{DIFF_OPTIONS, hardened, users_pager};
use super::git_checkout::Checkout;

/// What is told of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiffForm {
    /// The lines that changed.
    Lines,
    /// How much changed in which files.
    Sums,
}

/// What git tells of a difference, without colours, as it comes.
#[derive(Debug)]
pub struct DiffText {
    git: Child,
    stdout: ChildStdout,
}

impl Read for DiffText {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stdout.read(buffer)
    }
}

impl DiffText {
    /// Whether git was content. It is asked when nothing more is to be read; git ends where there was more.
    ///
    /// # Errors
    /// [`TreeError`] if that cannot be known.
    pub fn finish(self) -> Result<bool, TreeError> {
        let DiffText { mut git, stdout } = self;
        drop(stdout);
        Ok(git.wait().map_err(TreeError::NoGit)?.success())
    }
}

impl Checkout {
    /// Lets git print to the stdout of this process what is different between two commits: byte by byte what `git apply`
    /// takes. True if git was content.
    ///
    /// # Errors
    /// [`TreeError`] if git cannot be started.
    pub fn print_diff(&self, from: &ObjectId, to: &ObjectId, form: DiffForm) -> Result<bool, TreeError> {
        let status = self.differing(from, to, form).status().map_err(TreeError::NoGit)?;
        Ok(status.success())
    }

    /// Reads what is different between two commits. Sums are made for lines of so many columns.
    ///
    /// # Errors
    /// [`TreeError`] if git cannot be started.
    pub fn read_diff(
        &self,
        from: &ObjectId,
        to: &ObjectId,
        form: DiffForm,
        columns: usize,
    ) -> Result<DiffText, TreeError> {
        let mut command = self.differing(from, to, form);
        // What a person types while it is shown is not for git.
        command.process_group(0).env("COLUMNS", columns.to_string()).stdout(Stdio::piped());
        let mut git = command.spawn().map_err(TreeError::NoGit)?;
        match git.stdout.take() {
            Some(stdout) => Ok(DiffText { git, stdout }),
            None => Err(TreeError::NoGit(io::Error::other("its output cannot be read"))),
        }
    }

    fn differing(&self, from: &ObjectId, to: &ObjectId, form: DiffForm) -> Command {
        let mut command = hardened(self.root(), self.settings());
        command.args(["--no-pager", "diff", "--no-color"]).args(DIFF_OPTIONS);
        match form {
            DiffForm::Lines => {}
            DiffForm::Sums => drop(command.arg("--stat")),
        }
        command.args(["--end-of-options", from.as_str(), to.as_str(), "--"]).stdin(Stdio::null());
        command
    }

    /// The program that shows long texts to this user, as a shell reads it: of the environment and the user's configuration
    /// of git, never of the repository's.
    ///
    /// # Errors
    /// [`TreeError`] if git cannot tell.
    pub fn users_pager(&self) -> Result<String, TreeError> {
        users_pager(self.root(), self.patience())
    }
}
