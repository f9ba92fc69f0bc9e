//! How a folder stands to git: in no repository, in a checkout, or in something that cannot be used as one.
//!
//! It is found once, by what lies above the folder and by what git says of it, and worded in one place ([`CheckoutFault`]).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Output;
use std::time::Duration;

use backstay_model::{Code, Coded};
use camino::{Utf8Path, Utf8PathBuf};

use super::error::TreeError;
use super::git::{GIT_PATIENCE, Git, OUTSIDE, message};
use super::git_checkout::Checkout;

/// Folders above which git, and so this, does not look for a repository.
const CEILINGS: &str = "GIT_CEILING_DIRECTORIES";
/// Bytes of a `.git` file that are read: it has one path.
const LINK_BYTES_MAX: usize = 8 * 1024;

/// How a folder stands to git.
#[derive(Debug)]
pub enum CheckoutState {
    /// It is in no repository.
    Outside,
    /// It is in a checkout.
    Usable(Checkout),
    /// It is in something of git that cannot be used as a checkout: steps work there all the same, and nothing is kept of
    /// what they change.
    Unusable(TreeError),
}

/// What a folder is in where that is no checkout to work with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckoutFault {
    /// There is a `.git` folder that git passes over.
    #[error("{path} is no git repository: it has no {missing}")]
    NotARepository {
        /// The `.git` folder.
        path: Utf8PathBuf,
        /// The first thing that a repository has and it has not.
        missing: &'static str,
    },
    /// There is a `.git` file that leads nowhere: of a worktree or a submodule whose repository is gone.
    #[error("{file} leads to the repository {target}, which is gone")]
    LinkGone {
        /// The `.git` file.
        file: Utf8PathBuf,
        /// Where it leads.
        target: Utf8PathBuf,
    },
    /// There is a `.git` that is neither a folder nor a link to one.
    #[error("{file} is neither a git folder nor a link to one")]
    LinkUnreadable {
        /// That file.
        file: Utf8PathBuf,
    },
    /// It is in a bare repository, or in the git folder of one that is not.
    #[error("{path} is a git folder, in which no files are checked out")]
    NoWorkTree {
        /// That folder.
        path: Utf8PathBuf,
    },
    /// The configuration of the repository names another folder than the one that it lies in.
    #[error("the repository in {root} says by `core.worktree` that its files are in {elsewhere}")]
    Elsewhere {
        /// The folder with `.git`.
        root: Utf8PathBuf,
        /// Where its files are to be.
        elsewhere: Utf8PathBuf,
    },
    /// Git refuses a repository of another user.
    #[error("git refuses {root}: it belongs to another user{}", uid_words(*.owner))]
    OtherOwner {
        /// The folder with `.git`.
        root: Utf8PathBuf,
        /// The user's number, where it can be told.
        owner: Option<u32>,
    },
    /// Git refuses it for another reason.
    #[error("git refuses {root}: {message}")]
    Refused {
        /// The folder with `.git`.
        root: Utf8PathBuf,
        /// What git says.
        message: String,
    },
    /// Git cannot read the user's or the system's configuration.
    #[error("git cannot read its configuration: {message}")]
    Configuration {
        /// What it says.
        message: String,
    },
}

fn uid_words(owner: Option<u32>) -> String {
    owner.map_or_else(String::new, |uid| format!(" (number {uid})"))
}

impl Coded for CheckoutFault {
    fn code(&self) -> Code {
        match self {
            CheckoutFault::NotARepository { .. } => Code("BKS-R060"),
            CheckoutFault::LinkGone { .. } => Code("BKS-R061"),
            CheckoutFault::LinkUnreadable { .. } => Code("BKS-R062"),
            CheckoutFault::NoWorkTree { .. } => Code("BKS-R063"),
            CheckoutFault::Elsewhere { .. } => Code("BKS-R064"),
            CheckoutFault::OtherOwner { .. } => Code("BKS-R065"),
            CheckoutFault::Configuration { .. } => Code("BKS-R066"),
            CheckoutFault::Refused { .. } => Code("BKS-R067"),
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            CheckoutFault::NotARepository { path, .. } => {
                format!("remove {path}, or bring back what it has lost; git itself passes over it")
            }
            CheckoutFault::LinkGone { .. } => {
                "where the repository was moved, call `git worktree repair` in its new place; else nothing is left of it"
                    .to_owned()
            }
            CheckoutFault::LinkUnreadable { file } => format!("remove {file}, or write `gitdir: PATH` into it"),
            CheckoutFault::NoWorkTree { .. } => "work in a checkout: `git worktree add PATH` makes one".to_owned(),
            CheckoutFault::Elsewhere { root, .. } => {
                format!("`git -C '{root}' config --unset core.worktree`, or work in that folder")
            }
            CheckoutFault::OtherOwner { root, .. } => format!(
                "if you trust what its configuration runs: `git config --global --add safe.directory '{root}'`"
            ),
            CheckoutFault::Refused { root, .. } => format!("`git -C '{root}' status` says the same until it is mended"),
            CheckoutFault::Configuration { .. } => {
                "mend that file; `git config --list --show-origin` says the same when it is not".to_owned()
            }
        })
    }
}

impl CheckoutFault {
    /// Whether there is no repository any more, so that nothing which was kept in it is left.
    #[must_use]
    pub const fn is_nothing_left(&self) -> bool {
        matches!(
            self,
            CheckoutFault::NotARepository { .. }
                | CheckoutFault::LinkGone { .. }
                | CheckoutFault::LinkUnreadable { .. }
        )
    }
}

impl CheckoutState {
    /// How `folder` (absolute) stands to git. Starts at most a few processes of git, which run nothing that a repository
    /// names.
    #[must_use]
    pub fn of(folder: &Utf8Path) -> CheckoutState {
        CheckoutState::of_within(folder, GIT_PATIENCE)
    }

    /// The same, where no call of git, now or later, may take longer than `patience`.
    #[must_use]
    pub fn of_within(folder: &Utf8Path, patience: Duration) -> CheckoutState {
        // Git asks the system where it is, too.
        let Ok(folder) = folder.canonicalize_utf8() else { return CheckoutState::Outside };
        match nearest(&folder, &ceilings()) {
            Nearest::Nothing => CheckoutState::Outside,
            Nearest::Fault(fault) => CheckoutState::Unusable(fault.into()),
            Nearest::Repository { root } => match ask(&folder, &root, patience) {
                Ok(checkout) => CheckoutState::Usable(checkout),
                Err(error) => CheckoutState::Unusable(error),
            },
        }
    }
}

/// What lies nearest above a folder, as git would look for it.
#[derive(Debug, PartialEq, Eq)]
enum Nearest {
    Nothing,
    Fault(CheckoutFault),
    /// A folder with a `.git` that looks like a repository's.
    Repository {
        root: Utf8PathBuf,
    },
}

fn nearest(folder: &Utf8Path, ceilings: &[Utf8PathBuf]) -> Nearest {
    let device = fs::metadata(folder).map(|metadata| metadata.dev()).ok();
    let mut passed_over = None;
    for above in folder.ancestors() {
        let is_bound = above != folder
            && (ceilings.iter().any(|ceiling| ceiling == above)
                || fs::metadata(above).map(|metadata| metadata.dev()).ok() != device);
        if is_bound {
            break;
        }
        let git = above.join(".git");
        match fs::metadata(&git) {
            Ok(metadata) if metadata.is_dir() => match first_missing(&git) {
                None => return Nearest::Repository { root: above.to_owned() },
                // Git goes on above it.
                Some(missing) => {
                    passed_over.get_or_insert(CheckoutFault::NotARepository { path: git, missing });
                }
            },
            Ok(_) => return link(above, git),
            Err(_) => {}
        }
        if first_missing(above).is_none() {
            return Nearest::Fault(CheckoutFault::NoWorkTree { path: above.to_owned() });
        }
    }
    passed_over.map_or(Nearest::Nothing, Nearest::Fault)
}

/// The folders that git does not look above of. Git reads the variable itself, as it is inherited.
fn ceilings() -> Vec<Utf8PathBuf> {
    let Some(named) = std::env::var_os(CEILINGS) else { return Vec::new() };
    std::env::split_paths(&named)
        .filter(|path| path.is_absolute())
        .filter_map(|path| Utf8PathBuf::from_path_buf(path).ok())
        .map(|path| path.canonicalize_utf8().unwrap_or(path))
        .collect()
}

/// The first of the things that a git folder has and `path` has not.
fn first_missing(path: &Utf8Path) -> Option<&'static str> {
    let is_head = |text: &str| {
        let text = text.trim();
        text.starts_with("ref:") || (text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let head = path.join("HEAD");
    // As a link it names a branch that need not exist.
    let has_head = head.is_symlink() || read_start(&head).is_some_and(|text| is_head(&text));
    // The git folder of a worktree has the rest in another place.
    let is_part = path.join("commondir").is_file();
    match () {
        () if !has_head => Some("HEAD"),
        () if !is_part && !path.join("objects").is_dir() => Some("objects"),
        () if !is_part && !path.join("refs").is_dir() => Some("refs"),
        () => None,
    }
}

/// The beginning of a regular file.
fn read_start(path: &Utf8Path) -> Option<String> {
    use std::io::Read as _;
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(LINK_BYTES_MAX as u64).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a `.git` that is no folder leads to.
fn link(root: &Utf8Path, file: Utf8PathBuf) -> Nearest {
    let text = read_start(&file);
    let target =
        text.as_deref().and_then(|text| text.strip_prefix("gitdir:")).map(|path| root.join(path.trim()));
    match target {
        None => Nearest::Fault(CheckoutFault::LinkUnreadable { file }),
        Some(target) if !target.is_dir() => Nearest::Fault(CheckoutFault::LinkGone { file, target }),
        Some(target) => match first_missing(&target) {
            None => Nearest::Repository { root: root.to_owned() },
            Some(missing) => Nearest::Fault(CheckoutFault::NotARepository { path: target, missing }),
        },
    }
}

/// Asks git of the repository in `root`, for somebody who works in `folder` below it.
fn ask(folder: &Utf8Path, root: &Utf8Path, patience: Duration) -> Result<Checkout, TreeError> {
    let words = ["rev-parse", "--is-inside-work-tree", "--git-path", "index", "--show-toplevel"];
    let output = Git::new(folder, patience, &words).output(Vec::new())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    if lines.first() == Some(&"false") {
        return Err(CheckoutFault::NoWorkTree { path: root.join(".git") }.into());
    }
    if !output.status.success() {
        return Err(explain(folder, root, patience)?.into());
    }
    let (index, toplevel) = match lines[..] {
        [_, index, toplevel] => (index.to_owned(), toplevel.to_owned()),
        // A path has line breaks.
        _ => {
            let path = |option: &[&str]| -> Result<String, TreeError> {
                let words: Vec<&str> = std::iter::once("rev-parse").chain(option.iter().copied()).collect();
                let said = Git::new(folder, patience, &words).bytes()?;
                let said = String::from_utf8_lossy(&said).into_owned();
                Ok(said.strip_suffix('\n').unwrap_or(&said).to_owned())
            };
            (path(&["--git-path", "index"])?, path(&["--show-toplevel"])?)
        }
    };
    let toplevel = Utf8PathBuf::from(toplevel);
    if toplevel.canonicalize_utf8().is_ok_and(|toplevel| toplevel == root) {
        return Ok(Checkout::at(root.to_owned(), folder.join(index), patience));
    }
    Err(CheckoutFault::Elsewhere { root: root.to_owned(), elsewhere: toplevel }.into())
}

/// Why git refuses the repository in `root`.
fn explain(folder: &Utf8Path, root: &Utf8Path, patience: Duration) -> Result<CheckoutFault, TreeError> {
    let words = |output: &Output| message(&output.stderr).unwrap_or_else(|| output.status.to_string());
    let configuration =
        Git::new(folder, patience, &["config", "--list"]).env("GIT_DIR", OUTSIDE).output(Vec::new())?;
    if !configuration.status.success() {
        return Ok(CheckoutFault::Configuration { message: words(&configuration) });
    }
    let refusal =
        Git::new(folder, patience, &["rev-parse", "--git-dir", "--show-toplevel"]).output(Vec::new())?;
    let said = words(&refusal);
    let is_of_another = ["detected dubious ownership", "is owned by someone else"];
    if !is_of_another.iter().any(|words| said.contains(words)) {
        return Ok(CheckoutFault::Refused { root: root.to_owned(), message: said });
    }
    let own = rustix::process::geteuid().as_raw();
    let owner =
        |path: &Utf8Path| fs::metadata(path).ok().map(|metadata| metadata.uid()).filter(|uid| *uid != own);
    let owner = owner(root).or_else(|| owner(&root.join(".git")));
    Ok(CheckoutFault::OtherOwner { root: root.to_owned(), owner })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that git would take for its own.
    fn git_folder(path: &Utf8Path) {
        for name in ["objects", "refs"] {
            fs::create_dir_all(path.join(name)).unwrap();
        }
        fs::write(path.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    }

    #[test]
    fn what_lies_above_a_folder_is_found_as_git_finds_it_up_to_a_ceiling() {
        let temporary = tempfile::tempdir().unwrap();
        let above = Utf8Path::from_path(temporary.path()).unwrap().canonicalize_utf8().unwrap();
        let folder = above.join("a/b/c");
        fs::create_dir_all(&folder).unwrap();
        let ceilings = [above.clone()];
        let found = || nearest(&folder, &ceilings);
        assert_eq!(found(), Nearest::Nothing);
        git_folder(&above.join(".git"));
        assert_eq!(found(), Nearest::Nothing, "above the ceiling nothing is looked for");
        assert_eq!(nearest(&above, &ceilings), Nearest::Repository { root: above.clone() });
        let beyond = [above.parent().unwrap().to_owned()];
        assert_eq!(nearest(&folder, &beyond), Nearest::Repository { root: above.clone() });

        git_folder(&above.join("a/.git"));
        let stray = above.join("a/b/.git");
        fs::create_dir(&stray).unwrap();
        assert_eq!(found(), Nearest::Repository { root: above.join("a") }, "an empty one is passed over");
        fs::write(above.join("a/.git/HEAD"), "").unwrap();
        let fault = |missing| Nearest::Fault(CheckoutFault::NotARepository { path: stray.clone(), missing });
        assert_eq!(found(), fault("HEAD"), "the nearest is named");
        fs::write(stray.join("HEAD"), "0123456789012345678901234567890123456789\n").unwrap();
        assert_eq!(found(), fault("objects"));
        fs::create_dir(stray.join("objects")).unwrap();
        assert_eq!(found(), fault("refs"));

        let file = folder.join(".git");
        fs::write(&file, "nothing").unwrap();
        assert_eq!(found(), Nearest::Fault(CheckoutFault::LinkUnreadable { file: file.clone() }));
        fs::write(&file, "gitdir: ../gone\n").unwrap();
        let target = folder.join("../gone");
        assert_eq!(found(), Nearest::Fault(CheckoutFault::LinkGone { file: file.clone(), target }));
        git_folder(&above.join("a/b/gone"));
        assert_eq!(found(), Nearest::Repository { root: folder.clone() });
        fs::remove_file(&file).unwrap();
        git_folder(&folder);
        assert_eq!(found(), Nearest::Fault(CheckoutFault::NoWorkTree { path: folder.clone() }));
    }
}
