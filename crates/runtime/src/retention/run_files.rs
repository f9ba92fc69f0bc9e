//! What a run leaves beside the log, and giving it back: files, and kept trees of a checkout.
//!
//! Before a run's events go, a note in its folder says where its checkout is. The note goes last: so however the freeing is
//! broken off, whoever comes later knows what is left.

use std::io;

use backstay_files::{Dir, FileKind, if_there};
use backstay_log::crash::crash_point;
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::archive::{FreeError, Freed};
use crate::checkout::{Checkout, Removal, RemovalSafety, RunRefs, TreeError, Unmerged};
use crate::maintenance::replace_durably;

/// The name of the note in a run's folder.
const NOTE: &str = "freeing.json";
/// A note has fewer bytes than this.
const NOTE_BYTES_MAX: u64 = 64 * 1024;
/// The version of [`Note`]'s form.
const NOTE_VERSION: u32 = 1;

/// What has to be known of a run to free what it left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// The version of this form.
    version: u32,
    /// The folder that its steps worked in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cwd: Option<Utf8PathBuf>,
}

/// What a run left: its folder in the store, and references in a checkout.
#[derive(Clone, Debug)]
pub(super) struct RunFiles {
    pub(super) refs: RunRefs,
    pub(super) folder: Utf8PathBuf,
}

impl RunFiles {
    fn failed(&self) -> impl FnOnce(io::Error) -> FreeError {
        let path = self.folder.clone();
        move |source| FreeError::Files { path, source }
    }

    /// Notes where its checkout is, durably: `cwd` is the folder that its steps worked in. A run that left no folder left no
    /// trees either. Blocks.
    pub(super) fn note(&self, cwd: Option<&str>) -> Result<(), FreeError> {
        let Some(folder) = self.open()? else { return Ok(()) };
        if self.noted(&folder)?.is_some() {
            return Ok(());
        }
        let note = Note { version: NOTE_VERSION, cwd: cwd.map(Utf8PathBuf::from) };
        match replace_durably(&folder, NOTE, &note) {
            // Somebody else was at it, and is done.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            noted => noted.map_err(self.failed()),
        }
    }

    /// What freeing it would give back, if its steps worked in `cwd`. Blocks.
    pub(super) fn look(&self, cwd: Option<&Utf8Path>) -> Result<Freed, FreeError> {
        let files_bytes = folder_bytes(&self.folder).map_err(self.failed())?;
        let mut freed = Freed { files_bytes, ..Freed::default() };
        if let Some(checkout) = checkout(cwd, &mut freed)? {
            freed.trees = checkout.kept_count(&self.refs)? as u64;
            freed.trees_left = checkout.kept_elsewhere_count(&self.refs)? as u64;
            worktrees(&checkout, &self.refs, Deed::Look, &mut freed)?;
        }
        Ok(freed)
    }

    /// Removes all of it, and says what this process gave back: somebody else may be at it too. Blocks.
    pub(super) fn free(&self) -> Result<Freed, FreeError> {
        let Some(folder) = self.open()? else { return Ok(Freed::default()) };
        let cwd = self.noted(&folder)?.and_then(|note| note.cwd);
        let files_bytes = remove_below(&folder, Some(NOTE)).map_err(self.failed())?;
        crash_point("retention.files");
        let mut freed = Freed { files_bytes, ..Freed::default() };
        if let Some(checkout) = checkout(cwd.as_deref(), &mut freed)? {
            // What became of the worktrees does not keep the trees.
            let worktrees = worktrees(&checkout, &self.refs, Deed::Remove, &mut freed);
            freed.trees = checkout.forget(&self.refs)? as u64;
            freed.trees_left = checkout.kept_elsewhere_count(&self.refs)? as u64;
            crash_point("retention.trees");
            worktrees?;
        }
        let note_bytes = remove_below(&folder, None).map_err(self.failed())?;
        match self.remove_empty() {
            // Somebody else is at it, and was first, or has just made a note of it and goes on.
            Err(error)
                if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) =>
            {
                Err(self.failed()(error))
            }
            _ => {
                freed.files_bytes += note_bytes;
                Ok(freed)
            }
        }
    }

    /// The folder, if it is there.
    fn open(&self) -> Result<Option<Dir>, FreeError> {
        if_there(Dir::open(self.folder.as_std_path())).map_err(self.failed())
    }

    fn remove_empty(&self) -> io::Result<()> {
        match (self.folder.parent(), self.folder.file_name()) {
            (Some(runs), Some(name)) => Dir::open(runs.as_std_path())?.remove_folder(name),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn noted(&self, folder: &Dir) -> Result<Option<Note>, FreeError> {
        let bytes = if_there(folder.read(NOTE, NOTE_BYTES_MAX)).map_err(self.failed())?;
        let Some(bytes) = bytes else { return Ok(None) };
        let note: Note =
            serde_json::from_slice(&bytes).map_err(|error| self.failed()(io::Error::other(error)))?;
        if note.version > NOTE_VERSION {
            let what = format!("its {NOTE} has version {}, known is {NOTE_VERSION}", note.version);
            return Err(self.failed()(io::Error::other(what)));
        }
        Ok(Some(note))
    }
}

/// Removes what is in a folder, but for the file `kept`; says how many bytes went by this. Links go themselves, and nothing
/// that they lead to. What somebody else removes meanwhile is theirs.
pub(crate) fn remove_below(folder: &Dir, kept: Option<&str>) -> io::Result<u64> {
    let mut total = 0;
    for entry in folder.entries()? {
        if kept.is_some_and(|kept| entry.name == kept) {
            continue;
        }
        if entry.kind == FileKind::Folder {
            let Some(below) = if_there(folder.folder(&entry.name))? else { continue };
            // Whoever takes the empty folder away, what was in it went by this.
            total += remove_below(&below, None)?;
            if_there(folder.remove_folder(&entry.name))?;
        } else if let Some(there) = folder.status(&entry.name)?
            && if_there(folder.remove(&entry.name))?.is_some()
        {
            total += there.size_bytes;
        }
    }
    Ok(total)
}

/// What the files under a folder take, in bytes; what goes meanwhile takes nothing.
pub(super) fn folder_bytes(folder: &Utf8Path) -> io::Result<u64> {
    let mut waiting: Vec<Dir> = if_there(Dir::open(folder.as_std_path()))?.into_iter().collect();
    let mut total = 0;
    while let Some(folder) = waiting.pop() {
        for entry in folder.entries()? {
            if entry.kind == FileKind::Folder {
                waiting.extend(if_there(folder.folder(&entry.name))?);
            } else {
                total += folder.status(&entry.name)?.map_or(0, |there| there.size_bytes);
            }
        }
    }
    Ok(total)
}

/// The checkout that the run worked in; none where there is none any more, which `freed` says. Where its folder is gone the
/// nearest one above it is asked: a checkout loses a folder more often than it goes itself, and one that is gone keeps nothing
/// any more.
fn checkout(cwd: Option<&Utf8Path>, freed: &mut Freed) -> Result<Option<Checkout>, FreeError> {
    let Some(cwd) = cwd else { return Ok(None) };
    match Checkout::around(cwd.ancestors().find(|folder| folder.is_dir()).unwrap_or(cwd)) {
        Ok(checkout) => Ok(checkout),
        Err(error) if !cwd.is_dir() => {
            // It may never have been the run's.
            tracing::debug!(%cwd, %error, "the checkout above a folder that is gone cannot be asked");
            Ok(None)
        }
        Err(TreeError::Checkout(fault)) if fault.is_nothing_left() => {
            freed.checkouts_gone.push(fault);
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Look,
    Remove,
}

/// The worktrees that were made for steps of a run: those in which nothing would be lost go.
fn worktrees(checkout: &Checkout, refs: &RunRefs, deed: Deed, freed: &mut Freed) -> Result<(), FreeError> {
    for worktree in checkout.worktrees(refs)? {
        let removal = match deed {
            Deed::Remove => checkout.free_worktree(&worktree),
            Deed::Look => checkout.worth(&worktree).map(|worth| match worth {
                RemovalSafety::Something(why) => Removal::Stays(why),
                RemovalSafety::Nothing { .. } => Removal::Gone,
            }),
        };
        // One that git cannot tell about does not keep the others.
        let removal = match removal {
            Err(TreeError::Git { message, .. }) => Removal::Stays(Unmerged::Refused { message }),
            removal => removal?,
        };
        match removal {
            Removal::Stays(why) => freed.worktrees_left.push((worktree.path, why)),
            Removal::Gone => freed.worktrees += 1,
            Removal::BranchStays(branch) => {
                freed.worktrees += 1;
                freed.branches_left.push(branch);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use backstay_model::RunId;

    use super::*;

    fn run_files(folder: &Utf8Path) -> RunFiles {
        let [log, run] = ["log", "run"].map(|kind| format!("{kind}_01JDX7Q2ZK8VQ5T3W9M4N6P7R8"));
        RunFiles {
            refs: RunRefs::new(log.parse().unwrap(), run.parse::<RunId>().unwrap()),
            folder: folder.join("run"),
        }
    }

    #[test]
    fn the_note_has_the_form_that_is_documented() {
        for text in [r#"{"version":1,"cwd":"/home/user/project"}"#, r#"{"version":1}"#] {
            let note: Note = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&note).unwrap(), text);
        }
    }

    #[test]
    fn what_a_run_left_goes_with_its_note_and_each_byte_is_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let left = run_files(Utf8Path::from_path(folder.path()).unwrap());
        left.note(Some("/nowhere")).unwrap();
        assert!(!left.folder.exists(), "where nothing is, nothing is noted");
        fs::create_dir_all(left.folder.join("step/1")).unwrap();
        fs::write(left.folder.join("step/1/stdout"), "12345").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", left.folder.join("step/link")).unwrap();
        let before = left.look(None).unwrap().files_bytes;
        left.note(Some("/nowhere")).unwrap();
        let note = fs::metadata(left.folder.join(NOTE)).unwrap().len();
        assert_eq!(left.free().unwrap(), Freed { files_bytes: before + note, ..Freed::default() });
        assert_eq!(left.free().unwrap(), Freed::default(), "there is nothing more");
    }

    #[test]
    fn a_note_of_a_newer_version_is_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let left = run_files(Utf8Path::from_path(folder.path()).unwrap());
        fs::create_dir_all(&left.folder).unwrap();
        fs::write(left.folder.join(NOTE), r#"{"version":2}"#).unwrap();
        assert!(matches!(left.free(), Err(FreeError::Files { .. })));
        assert!(left.folder.join(NOTE).exists());
    }
}
