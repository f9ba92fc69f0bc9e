//! Trees of a real git checkout: what is kept, that the user's own is untouched, and how it comes back.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use backstay_model::event::OmissionReason;
use backstay_model::{Attempt, EffectCall, EffectId, LogId, RunId, Scope};
use backstay_runtime::{
    Checkout, Removal, RemovalSafety, RunRefs, RunWorktree, TreeError, TreeMoment, TreeName, Unmerged,
};
use camino::Utf8Path;
use rustix::fs::{CWD, Mode, mkfifoat};
use tempfile::TempDir;

struct Repository {
    folder: TempDir,
    scratch: TempDir,
}

impl Repository {
    fn empty() -> Repository {
        let repository = Repository {
            folder: TempDir::new().expect("files and git work here"),
            scratch: TempDir::new().expect("files and git work here"),
        };
        repository.git(&["init", "-q", "-b", "main"]);
        repository
    }

    /// One commit, and over it: a change, a staged change, a deletion, an untracked and an ignored file.
    fn busy() -> Repository {
        let repository = Repository::empty();
        for name in ["kept", "changed", "staged", "deleted"] {
            repository.write(name, "old\n");
        }
        repository.write(".gitignore", "ignored\n");
        repository.git(&["add", "-A"]);
        repository.git(&["commit", "-q", "-m", "first"]);
        repository.write("changed", "new\n");
        repository.write("staged", "new\n");
        repository.git(&["add", "staged"]);
        fs::remove_file(repository.path().join("deleted")).expect("files and git work here");
        repository.write("deep/untracked", "new\n");
        repository.write("ignored", "secret\n");
        repository
    }

    fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).expect("files and git work here")
    }

    fn scratch(&self) -> &Utf8Path {
        Utf8Path::from_path(self.scratch.path()).expect("files and git work here")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("files and git work here")).expect("files and git work here");
        fs::write(path, text).expect("files and git work here");
    }

    fn git(&self, words: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@t"])
            .args(words)
            .current_dir(self.path())
            .output()
            .expect("files and git work here");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    fn checkout(&self) -> Checkout {
        Checkout::around(self.path()).expect("files and git work here").expect("it is a checkout")
    }

    /// All that the user sees of git, except the references that are kept.
    fn state(&self) -> (String, String, String) {
        let status = self.git(&["status", "--porcelain", "--ignored"]);
        (status, self.git(&["for-each-ref", "refs/heads", "refs/tags"]), self.git(&["ls-files", "--stage"]))
    }
}

fn name(attempt: u32, moment: TreeMoment) -> TreeName {
    let effect = EffectId {
        root: run().into(),
        scope: "green~3/fix".parse::<Scope>().expect("files and git work here"),
        call: EffectCall::Main,
    };
    TreeName::new(log(), &effect, Attempt(attempt), moment)
}

fn log() -> LogId {
    "log_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().expect("files and git work here")
}

fn refs() -> RunRefs {
    RunRefs::new(log(), run())
}

fn run() -> RunId {
    "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().expect("files and git work here")
}

fn files(repository: &Repository, commit: &str) -> Vec<String> {
    repository.git(&["ls-tree", "-r", "--name-only", commit]).lines().map(ToOwned::to_owned).collect()
}

#[test]
fn a_tree_has_what_is_tracked_changed_and_untracked_and_leaves_the_users_own_alone() {
    let repository = Repository::busy();
    let before = repository.state();
    let kept = repository.checkout().keep(&name(1, TreeMoment::Before), repository.scratch()).unwrap();
    assert_eq!(
        files(&repository, kept.commit.as_str()),
        [".gitignore", "changed", "deep/untracked", "kept", "staged"]
    );
    assert_eq!(repository.git(&["show", &format!("{}:changed", kept.commit)]), "new");
    assert_eq!(
        repository.git(&["rev-parse", &format!("{}^", kept.commit)]),
        repository.git(&["rev-parse", "HEAD"])
    );
    assert_eq!(repository.state(), before);
    assert_eq!(fs::read_dir(repository.scratch()).unwrap().count(), 0);
    assert_eq!(
        repository.checkout().kept(&name(1, TreeMoment::Before)).unwrap().unwrap().commit,
        kept.commit
    );
    assert_eq!(repository.checkout().kept(&name(1, TreeMoment::After)).unwrap(), None);
}

#[test]
fn a_change_of_the_same_size_in_the_moment_in_which_the_index_was_written_is_no_less_seen() {
    let repository = Repository::empty();
    repository.git(&["config", "core.trustctime", "false"]);
    let moment = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    let stamp = |name: &str| {
        let file = fs::File::options().append(true).open(repository.path().join(name)).unwrap();
        file.set_modified(moment).unwrap();
    };
    repository.write("changed", "old\n");
    stamp("changed");
    repository.git(&["add", "-A"]);
    repository.git(&["commit", "-q", "-m", "first"]);
    stamp(".git/index");
    repository.write("changed", "new\n");
    stamp("changed");
    let kept = repository.checkout().keep(&name(1, TreeMoment::Before), repository.scratch()).unwrap();
    assert_eq!(repository.git(&["show", &format!("{}:changed", kept.commit)]), "new");
}

#[test]
fn what_a_step_at_work_has_changed_can_be_seen_without_keeping_anything() {
    let repository = Repository::busy();
    let checkout = repository.checkout();
    let before = checkout.keep(&name(1, TreeMoment::Before), repository.scratch()).unwrap();
    repository.write("changed", "newer\n");
    repository.write("added", "more\n");
    let (state, references) = (repository.state(), repository.git(&["for-each-ref"]));
    let (now, omitted) = checkout.tree_now(repository.scratch()).unwrap();
    assert!(omitted.is_empty(), "{omitted:?}");
    let diff = String::from_utf8(checkout.diff(&before.tree, &now).unwrap()).unwrap();
    let changes: Vec<&str> =
        diff.lines().filter(|line| line.starts_with(['+', '-']) && !line.starts_with("---")).collect();
    assert_eq!(changes, ["+++ b/added", "+more", "+++ b/changed", "-new", "+newer"]);
    assert_eq!((repository.state(), repository.git(&["for-each-ref"])), (state, references));
}

#[test]
fn what_a_step_did_can_be_seen_and_brought_back_beside_the_checkout() {
    let repository = Repository::busy();
    let checkout = repository.checkout();
    let before = checkout.keep(&name(1, TreeMoment::Before), repository.scratch()).unwrap();
    repository.write("changed", "spoiled\n");
    repository.write("added", "more\n");
    fs::remove_file(repository.path().join("deep/untracked")).unwrap();
    let after = checkout.keep(&name(1, TreeMoment::After), repository.scratch()).unwrap();
    let changed = checkout.changed(&before.commit, &after.commit).unwrap();
    let spelled: Vec<String> = changed.iter().map(|file| format!("{} {}", file.change, file.path)).collect();
    assert_eq!(spelled, ["A added", "M changed", "D deep/untracked"]);
    let state = repository.state();
    let place = repository.scratch().join("restored");
    checkout.restore_to(&before.commit, &place).unwrap();
    assert_eq!(fs::read_to_string(place.join("changed")).unwrap(), "new\n");
    assert_eq!(fs::read_to_string(place.join("deep/untracked")).unwrap(), "new\n");
    assert!(!place.join("added").exists());
    assert_eq!(repository.state(), state, "the checkout itself is not touched");
    assert!(matches!(checkout.restore_to(&before.commit, &place), Err(TreeError::Occupied { .. })));
    checkout.restore_as_branch(&before.commit, "rescue").unwrap();
    assert_eq!(repository.git(&["rev-parse", "rescue"]), before.commit.as_str());
    assert!(checkout.restore_as_branch(&after.commit, "rescue").is_err(), "no branch is moved");
    assert_eq!(checkout.forget(&refs()).unwrap(), 2);
    assert_eq!(repository.git(&["for-each-ref", "refs/backstay"]), "");
    assert_eq!(checkout.forget(&refs()).unwrap(), 0);
}

#[test]
fn an_unchanged_checkout_has_the_same_tree() {
    let repository = Repository::busy();
    let checkout = repository.checkout();
    let before = checkout.keep(&name(1, TreeMoment::Before), repository.scratch()).unwrap();
    let after = checkout.keep(&name(1, TreeMoment::After), repository.scratch()).unwrap();
    assert_eq!(before.tree, after.tree);
}

#[test]
fn an_empty_repository_has_trees_too() {
    let repository = Repository::empty();
    repository.write("first", "x\n");
    let kept = repository.checkout().keep(&name(1, TreeMoment::Before), repository.scratch()).unwrap();
    assert_eq!(files(&repository, kept.commit.as_str()), ["first"]);
}

#[test]
fn odd_files_are_kept_or_counted() {
    let repository = Repository::empty();
    let big = fs::File::create(repository.path().join("big")).unwrap();
    big.set_len(17 * 1024 * 1024).unwrap();
    repository.write("with space\nand line", "x\n");
    fs::write(repository.path().as_std_path().join(std::ffi::OsStr::from_bytes(b"odd\xff")), "x").unwrap();
    std::os::unix::fs::symlink("/nowhere", repository.path().join("link")).unwrap();
    repository.write(".backstay/log.db", "the store");
    let inner = repository.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let output = Command::new("git").args(["init", "-q"]).current_dir(&inner).status().unwrap();
    assert!(output.success());
    fs::write(inner.join("file"), "x").unwrap();
    let kept = repository.checkout().keep(&name(1, TreeMoment::Before), repository.scratch()).unwrap();
    let listed = Command::new("git")
        .args(["ls-tree", "-r", "--name-only", "-z", kept.commit.as_str()])
        .current_dir(repository.path())
        .output()
        .unwrap();
    let mut names: Vec<&[u8]> =
        listed.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    assert_eq!(names, [&b"link"[..], b"odd\xff", b"with space\nand line"]);
    let omitted: Vec<(&str, &OmissionReason)> =
        kept.omitted.named.iter().map(|file| (file.path.as_str(), &file.reason)).collect();
    let large = OmissionReason::TooLarge { size_bytes: 17 << 20 };
    assert_eq!(omitted, [("big", &large), ("inner/", &OmissionReason::InnerRepository)]);
    let found = repository.checkout().kept(&name(1, TreeMoment::Before)).unwrap();
    assert_eq!(found, Some(kept), "what is not in it is known by its name, too");
}

#[test]
fn a_conflict_is_kept_as_it_stands_in_the_files() {
    let repository = Repository::empty();
    repository.write("file", "base\n");
    repository.git(&["add", "-A"]);
    repository.git(&["commit", "-q", "-m", "base"]);
    repository.git(&["checkout", "-q", "-b", "other"]);
    repository.write("file", "theirs\n");
    repository.git(&["commit", "-qam", "theirs"]);
    repository.git(&["checkout", "-q", "main"]);
    repository.write("file", "ours\n");
    repository.git(&["commit", "-qam", "ours"]);
    let merge = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@t", "merge", "-q", "other"])
        .current_dir(repository.path())
        .status()
        .unwrap();
    assert!(!merge.success(), "it conflicts");
    let state = repository.state();
    let kept = repository.checkout().keep(&name(1, TreeMoment::Before), repository.scratch()).unwrap();
    assert!(repository.git(&["show", &format!("{}:file", kept.commit)]).contains("<<<<<<<"));
    assert_eq!(repository.state(), state, "the conflict is still the user's");
}

#[test]
fn a_git_that_hangs_is_killed_with_what_it_started_and_said_so() {
    let repository = Repository::busy();
    let (held, pid) = (repository.scratch().join("held"), repository.scratch().join("pid"));
    // A filter that never answers stands for a network file system or a credential prompt.
    repository.git(&["config", "filter.slow.clean", &format!("echo $$ > {pid}; mkfifo {held}; cat {held}")]);
    repository.write(".git/info/attributes", "changed filter=slow\n");
    let patience = std::time::Duration::from_secs(1);
    let checkout = Checkout::around_within(repository.path(), patience).unwrap().unwrap();
    let state = || repository.git(&["for-each-ref"]);
    let before = state();
    let error = checkout.keep(&name(1, TreeMoment::Before), repository.scratch()).unwrap_err();
    assert!(matches!(error, TreeError::Hanging { seconds: 1, .. }), "{error:?}");
    assert_eq!(state(), before);
    let filter = fs::read_to_string(&pid).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", filter.trim())).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z"), "the filter lives: {stat}");
    assert!(
        !repository.scratch().join("tree-index").exists()
            && !repository.path().join(".git/index.lock").exists()
    );
}

#[test]
fn hooks_and_watchers_of_the_repository_are_not_called() {
    let repository = Repository::busy();
    let trace = repository.scratch().join("called");
    let hook = repository.scratch().join("hook");
    fs::write(&hook, format!("#!/bin/sh\necho \"$0\" >> {trace}\n")).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&hook, executable).unwrap();
    for name in ["post-index-change", "reference-transaction", "pre-commit", "commit-msg"] {
        fs::copy(&hook, repository.path().join(".git/hooks").join(name)).unwrap();
    }
    repository.git(&["config", "core.fsmonitor", hook.as_str()]);
    // The calls of this test itself do come there.
    repository.git(&["status"]);
    assert!(trace.exists());
    fs::remove_file(&trace).unwrap();
    repository.checkout().keep(&name(1, TreeMoment::Before), repository.scratch()).unwrap();
    assert!(!trace.exists(), "{}", fs::read_to_string(&trace).unwrap());
}

/// A worktree of the run beside the checkout, where nothing was done yet.
fn worktree(repository: &Repository) -> RunWorktree {
    let place = format!("{}.worktrees/{}", repository.path(), run());
    repository.git(&["worktree", "add", "-q", "-b", &format!("backstay/{}", run()), &place]);
    let made = format!("{}/worktree/{}", refs().folder(), run());
    repository.git(&["update-ref", &made, "HEAD"]);
    let found = repository.checkout().worktrees(&refs()).expect("git can tell");
    let [worktree] = &found[..] else { panic!("{found:?}") };
    worktree.clone()
}

/// A repository with one commit that ignores `*.local`, and the folder `built`.
fn ignoring() -> Repository {
    let repository = Repository::empty();
    repository.write(".gitignore", "*.local\nbuilt/\n");
    repository.write("deep/tracked", "old\n");
    repository.git(&["add", "-A"]);
    repository.git(&["commit", "-q", "-m", "first"]);
    repository
}

#[test]
fn a_commit_between_the_look_and_the_end_of_a_worktree_keeps_its_branch() {
    let repository = ignoring();
    let (checkout, worktree) = (repository.checkout(), worktree(&repository));
    let RemovalSafety::Nothing { head } = checkout.worth(&worktree).unwrap() else {
        panic!("nothing is in it")
    };
    let words = ["-C", worktree.path.as_str(), "commit", "-q", "--allow-empty", "-m", "late"];
    repository.git(&words);
    let branch = format!("refs/heads/backstay/{}", run());
    assert_eq!(checkout.remove_worktree(&worktree, &head).unwrap(), Removal::BranchStays(branch.clone()));
    assert_eq!(repository.git(&["log", "-1", "--format=%s", &branch]), "late");
    assert!(!worktree.path.exists());
}

#[test]
fn a_worktree_goes_with_its_branch_where_nothing_is_in_it() {
    let repository = ignoring();
    let worktree = worktree(&repository);
    assert_eq!(repository.checkout().free_worktree(&worktree).unwrap(), Removal::Gone);
    assert_eq!(repository.git(&["branch", "--list", "backstay/*"]), "");
    assert!(!worktree.path.with_file_name("").exists(), "nor is the folder around it there");
}

#[test]
fn ignored_files_keep_a_worktree_unless_the_checkout_has_them_or_they_are_in_an_ignored_folder() {
    let repository = ignoring();
    repository.write("same.local", "of this machine\n");
    repository.write("deep/other.local", "one\n");
    let (checkout, worktree) = (repository.checkout(), worktree(&repository));
    let put = |name: &str, text: &str| {
        let path = worktree.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("same.local", "of this machine\n");
    put("built/deep/thing", "x");
    put("deep/built/thing.local", "x");
    put(".cache/.gitignore", "*\n");
    put(".cache/thing", "x");
    put(".cache/deep/thing", "x");
    assert!(matches!(checkout.worth(&worktree).unwrap(), RemovalSafety::Nothing { .. }));
    for (name, text) in [
        ("new.local", ""),
        ("deep/other.local", "two\n"),
        ("same.local", "of this machina\n"),
        ("fresh/new.local", "x"),
        (".backstay/.gitignore", "*\n"),
    ] {
        put(name, text);
        let worth = checkout.worth(&worktree).unwrap();
        assert_eq!(worth, RemovalSafety::Something(Unmerged::Ignored), "{name}");
        assert_eq!(checkout.free_worktree(&worktree).unwrap(), Removal::Stays(Unmerged::Ignored), "{name}");
        fs::remove_file(worktree.path.join(name)).unwrap();
    }
    assert_eq!(checkout.free_worktree(&worktree).unwrap(), Removal::Gone);
}

#[test]
fn a_tree_has_nothing_of_stores_and_no_file_of_theirs_is_opened() {
    let repository = Repository::busy();
    for store in [".backstay", "deep/.backstay"] {
        repository.write(&format!("{store}/log.db"), "x");
        // Opening it would never end.
        let rules = repository.path().join(store).join(".gitignore");
        mkfifoat(CWD, rules.as_std_path(), Mode::from_raw_mode(0o600)).unwrap();
    }
    let kept = repository.checkout().keep(&name(1, TreeMoment::Before), repository.scratch()).unwrap();
    assert!(kept.omitted.is_empty(), "{:?}", kept.omitted);
    assert_eq!(
        files(&repository, kept.commit.as_str()),
        [".gitignore", "changed", "deep/untracked", "kept", "staged"]
    );
}

#[test]
fn a_worktree_that_lost_its_link_is_left_alone() {
    let repository = ignoring();
    let worktree = worktree(&repository);
    fs::remove_file(worktree.path.join(".git")).unwrap();
    let removal = repository.checkout().free_worktree(&worktree).unwrap();
    assert_eq!(removal, Removal::Stays(Unmerged::Unlinked));
    assert!(worktree.path.join("deep/tracked").exists());
    fs::remove_dir_all(worktree.path.with_file_name("")).unwrap();
}

#[test]
fn what_a_run_of_the_same_id_in_another_log_keeps_is_counted_and_left() {
    let repository = ignoring();
    let (checkout, worktree) = (repository.checkout(), worktree(&repository));
    checkout.keep(&name(1, TreeMoment::Before), repository.scratch()).unwrap();
    checkout.keep(&TreeName::taken_over(&refs(), 1, TreeMoment::After), repository.scratch()).unwrap();
    let all = repository.git(&["for-each-ref"]);
    let other = RunRefs::new("log_01JDX7Q2ZK8VQ5T3W9M4N6P7R9".parse().unwrap(), run());
    assert_eq!(
        (checkout.kept_count(&other).unwrap(), checkout.kept_elsewhere_count(&other).unwrap()),
        (0, 2)
    );
    assert_eq!(checkout.forget(&other).unwrap(), 0);
    let seen = checkout.worktrees(&other).unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(checkout.free_worktree(&seen[0]).unwrap(), Removal::Stays(Unmerged::Foreign));
    assert_eq!(repository.git(&["for-each-ref"]), all);
    assert!(worktree.path.exists());

    let kept_by_other = TreeName::taken_over(&other, 1, TreeMoment::After);
    checkout.keep(&kept_by_other, repository.scratch()).unwrap();
    assert_eq!(
        (checkout.kept_count(&refs()).unwrap(), checkout.kept_elsewhere_count(&refs()).unwrap()),
        (2, 1)
    );
    assert_eq!(checkout.free_worktree(&worktree).unwrap(), Removal::Gone);
    assert_eq!(checkout.forget(&refs()).unwrap(), 2, "the reference of a worktree is no tree");
    assert!(checkout.kept(&kept_by_other).unwrap().is_some());
    assert_eq!(repository.git(&["for-each-ref", "refs/backstay"]).lines().count(), 1);
}
