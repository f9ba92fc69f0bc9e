//! Where programs are, and which of them belong to the repository that a command is called in.

use std::collections::BTreeMap;

use backstay_runtime::STORE_FOLDER;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{Access, access};

/// Where programs are looked for if the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// What makes a folder the root of a repository.
const MARKS: [&str; 2] = [".git", STORE_FOLDER];

/// Where a program is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProgramPlace {
    /// Outside of the repository, or where the user's own configuration says.
    Found(Utf8PathBuf),
    /// In the repository, or where a relative path leads: whoever wrote the repository chose it.
    OfRepository(Utf8PathBuf),
    /// Nowhere.
    Missing,
}

/// Looks for programs as a shell does, and tells those of the repository apart.
#[derive(Clone, Debug)]
pub(crate) struct ProgramSearch {
    path: String,
    cwd: Utf8PathBuf,
    repository: Option<Utf8PathBuf>,
}

impl ProgramSearch {
    /// Looks for what a command finds that is called in `cwd` with `env`.
    pub(crate) fn new(env: &BTreeMap<String, String>, cwd: &Utf8Path) -> ProgramSearch {
        let path = env.get("PATH").map_or(DEFAULT_PATH, String::as_str).to_owned();
        let home = env.get("HOME").map(|home| canonical(Utf8Path::new(home)));
        let cwd = canonical(cwd);
        // A home that is kept in git, or has a store, is no repository of somebody else.
        let is_home = |folder: &Utf8Path| home.as_ref().is_some_and(|home| home.starts_with(folder));
        let is_root =
            |folder: &&Utf8Path| MARKS.iter().any(|mark| folder.join(mark).symlink_metadata().is_ok());
        let repository = cwd.ancestors().find(is_root).filter(|root| !is_home(root)).map(Utf8Path::to_owned);
        ProgramSearch { path, cwd, repository }
    }

    /// Where `program` is.
    pub(crate) fn place(&self, program: &str) -> ProgramPlace {
        if program.starts_with('/') {
            let path = Utf8PathBuf::from(program);
            return if is_program(&path) { ProgramPlace::Found(path) } else { ProgramPlace::Missing };
        }
        let path = self.cwd.join(program);
        if program.contains('/') {
            return if is_program(&path) { ProgramPlace::OfRepository(path) } else { ProgramPlace::Missing };
        }
        let found = self.path.split(':').map(|folder| (folder, self.cwd.join(folder).join(program)));
        match found.into_iter().find(|(_, path)| is_program(path)) {
            None => ProgramPlace::Missing,
            Some((folder, path)) if !self.is_outside(folder) || self.is_inside(&path) => {
                ProgramPlace::OfRepository(path)
            }
            Some((_, path)) => ProgramPlace::Found(path),
        }
    }

    /// The `PATH` without what belongs to the repository: for programs that look for others.
    pub(crate) fn outside_path(&self) -> String {
        self.path.split(':').filter(|folder| self.is_outside(folder)).collect::<Vec<_>>().join(":")
    }

    fn is_outside(&self, folder: &str) -> bool {
        folder.starts_with('/') && !self.is_inside(Utf8Path::new(folder))
    }

    fn is_inside(&self, path: &Utf8Path) -> bool {
        self.repository.as_ref().is_some_and(|root| canonical(path).starts_with(root))
    }
}

fn is_program(path: &Utf8Path) -> bool {
    path.is_file() && access(path.as_std_path(), Access::EXEC_OK).is_ok()
}

/// The path without links; what is not there is where it says.
fn canonical(path: &Utf8Path) -> Utf8PathBuf {
    path.canonicalize_utf8().unwrap_or_else(|_not_there| path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_a_repository_brings_is_told_apart_from_what_the_user_has() {
        let keep = tempfile::tempdir().unwrap();
        let root = canonical(Utf8Path::from_path(keep.path()).unwrap());
        for path in ["repo/tools/mine", "repo/tools/both", "usr/theirs", "usr/both", "repo/src/here"] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        std::fs::create_dir(root.join("repo/.git")).unwrap();
        symlink(root.join("repo/tools"), root.join("link")).unwrap();
        symlink(root.join("repo/tools/mine"), root.join("usr/linked")).unwrap();
        let search = |path: &str, home: &str| {
            let path = path.replace("ROOT", root.as_str());
            let env = BTreeMap::from([
                ("PATH".to_owned(), path),
                ("HOME".to_owned(), root.join(home).into_string()),
            ]);
            ProgramSearch::new(&env, &root.join("repo/src"))
        };
        let found = |path: &str| ProgramPlace::Found(root.join(path));
        let own = |path: &str| ProgramPlace::OfRepository(root.join(path));
        let absolute = search("ROOT/repo/tools:ROOT/usr", "home");
        assert_eq!(absolute.place("mine"), own("repo/tools/mine"));
        assert_eq!(absolute.place("both"), own("repo/tools/both"), "it is the one that a run would start");
        assert_eq!(absolute.place("theirs"), found("usr/theirs"));
        assert_eq!(absolute.place("linked"), own("usr/linked"), "where it leads counts");
        assert_eq!(absolute.place("nothing"), ProgramPlace::Missing);
        assert_eq!(absolute.outside_path(), format!("{root}/usr"));
        let relative = search("../tools:.::ROOT/link:ROOT/usr", "home");
        assert_eq!(relative.place("mine"), own("repo/src/../tools/mine"));
        assert_eq!(relative.place("here"), own("repo/src/./here"));
        assert_eq!(relative.outside_path(), format!("{root}/usr"));
        assert_eq!(relative.place("./here"), own("repo/src/./here"));
        assert_eq!(relative.place(root.join("repo/tools/mine").as_str()), found("repo/tools/mine"));
        let at_home = search("ROOT/repo/tools:.", "repo");
        assert_eq!(at_home.place("mine"), found("repo/tools/mine"), "a home in git is the user's own");
        assert_eq!(at_home.place("here"), own("repo/src/./here"));
    }
}
