//! `workspace: worktree`: steps that work beside the user's checkout.

use std::path::Path;
use std::process::{Command, Output};

use backstay_engine::record::RunStatus;
use backstay_tests::World;
use backstay_tests::folder::copy_folder;
use camino::{Utf8Path, Utf8PathBuf};

fn git(folder: &Utf8Path, words: &[&str]) -> String {
    backstay_tests::git(folder, words)
}

/// A world whose checkout is the folder `api` in it, with work of its user that is not committed.
fn checkout() -> (World, Utf8PathBuf) {
    let world = World::new();
    let root = world.path().join("api");
    std::fs::create_dir_all(root.join("sub")).expect("a folder can be made");
    world.write("api/sub/notes", "first\n");
    world.write("api/.gitignore", "*.local\ndeep/\n");
    world.write("api/.worktreeinclude", "*.local\n");
    git(&root, &["init", "-q", "-b", "main"]);
    git(&root, &["add", "-A"]);
    git(&root, &["commit", "-qm", "first"]);
    world.write("api/sub/notes", "mine\n");
    world.write("api/sub/config.local", "secret of this machine\n");
    std::fs::create_dir_all(root.join("deep")).expect("a folder can be made");
    world.write("api/deep/large", "not wanted\n");
    (world, root)
}

/// The binary, called in `sub` of the checkout, with the store of the world.
fn call(world: &World, arguments: &[&str]) -> Command {
    let mut command = world.command(arguments);
    command.current_dir(world.path().join("api/sub")).env("BACKSTAY_STORE", world.path().join(".backstay"));
    command
}

fn run(world: &World, arguments: &[&str]) -> Output {
    call(world, arguments).output().expect("the binary starts")
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const FLOW: &str = r#"
backstay: 1
name: beside
workspace: {worktree: {setup: "test -e config.local && echo made > setup.out"}}
steps:
  - {id: change, run: "cat setup.out; echo changed > notes; git add -A; git -c user.name=t -c user.email=t@t commit -qm done"}
  - {id: where, run: pwd}
  - {id: outside, workspace: here, run: pwd}
outputs: {where: "${{ steps.where.output }}", outside: "${{ steps.outside.output }}"}
"#;

#[test]
fn what_works_in_a_worktree_leaves_the_checkout_alone() {
    let (world, root) = checkout();
    world.write("flow.yaml", FLOW);
    let before = git(&root, &["status", "--porcelain", "--ignored"]);
    said(&run(&world, &["run", "../../flow.yaml"]));
    assert_eq!(git(&root, &["status", "--porcelain", "--ignored"]), before);
    assert_eq!(world.read("api/sub/notes"), "mine\n");
    let record = world.record();
    let place = world.path().join(format!("api.worktrees/{}", record.run));
    let Some(backstay_model::Text::Inline(outputs)) = &record.outputs else { panic!("{record:#?}") };
    let expected = serde_json::json!({"where": place.join("sub"), "outside": root.join("sub")});
    assert_eq!(serde_json::from_str::<serde_json::Value>(outputs).unwrap(), expected);
    assert_eq!(
        git(&place, &["log", "-1", "--format=%s %D"]),
        format!("done HEAD -> backstay/{}", record.run)
    );
    assert!(!place.join("deep").exists(), "only what the project names is taken along");
    let log = said(&run(&world, &["logs", "@last", "worktree"]));
    assert!(log.contains("not in it: 1 files of"), "{log}");
    let changed = said(&run(&world, &["diff", "@last"]));
    assert!(changed.contains("-first\n+changed") && !changed.contains("mine"), "{changed}");
}

/// Kills a run and what makes its worktree in the middle of it, does `meanwhile` with the place, and resumes the run.
fn crash_half_made(meanwhile: impl FnOnce(&Utf8Path)) {
    let (world, root) = checkout();
    world.write("flow.yaml", &FLOW.replace("test -e config.local && echo", "echo"));
    let (begun, gate) = (world.gate("begun"), world.gate("gate"));
    let hook = format!(
        "#!/bin/sh\nif [ ! -e {0}/once ]; then touch {0}/once; echo $PPID > {1}; cat {2}; fi\n",
        world.path(),
        begun.path(),
        gate.path()
    );
    // Git calls this hook when the files are there, so whoever is killed in it leaves a worktree that is not whole.
    world.write("api/.git/hooks/post-checkout", &hook);
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(root.join(".git/hooks/post-checkout"), executable).expect("a mode can be set");
    let child = call(&world, &["run", "../../flow.yaml"]).spawn().expect("the binary starts");
    assert!(!begun.wait().trim().is_empty());
    let record = world.record_when("works", |record| {
        record
            .steps
            .first()
            .is_some_and(|step| step.attempts.iter().any(|attempt| attempt.keeper_pid.is_some()))
    });
    let keeper = record.steps[0].attempts[0].keeper_pid.expect("it is known");
    let mut child = child;
    child.kill().expect("it is there");
    child.wait().expect("it can be waited for");
    backstay_tests::send(keeper, rustix::process::Signal::KILL);
    let place = world.path().join(format!("api.worktrees/{}", record.run));
    assert!(place.join(".git").exists(), "it was begun");
    meanwhile(&place);
    said(&run(&world, &["resume", "@last"]));
    let record = world.record();
    assert_eq!(record.status, RunStatus::Completed);
    assert_eq!(git(&place, &["log", "-1", "--format=%s"]), "done");
    assert_eq!(git(&root, &["worktree", "list"]).lines().count(), 2, "nothing is left of the first one");
}

#[test]
fn a_worktree_that_was_half_made_in_a_crash_is_made_anew() {
    crash_half_made(|_| {});
}

#[test]
fn a_worktree_whose_folder_is_gone_before_it_was_whole_is_made_anew() {
    crash_half_made(|place| std::fs::remove_dir_all(place).expect("it can be removed"));
}

/// A worktree on a disk that is not mounted now is not gone.
#[test]
fn worktrees_of_others_that_cannot_be_seen_now_stay_known() {
    let (world, root) = checkout();
    let (far, away) = (world.path().join("far"), world.path().join("away"));
    git(&root, &["worktree", "add", "-q", "-b", "theirs", far.as_str()]);
    std::fs::rename(&far, &away).expect("it can be moved");
    world.write("flow.yaml", FLOW);
    said(&run(&world, &["run", "../../flow.yaml"]));
    std::fs::rename(&away, &far).expect("it can be moved");
    assert_eq!(git(&far, &["rev-parse", "--abbrev-ref", "HEAD"]), "theirs");
}

/// As in a hook of git: its variables name the user's index.
#[test]
fn a_worktree_that_a_hook_asks_for_does_not_touch_the_users_index() {
    let (world, root) = checkout();
    world.write("flow.yaml", &FLOW.replace("echo made", "git rm -q --cached notes; echo made"));
    git(&root, &["add", "sub/notes"]);
    let staged = || git(&root, &["diff", "--cached"]);
    let before = staged();
    assert!(before.contains("+mine"));
    let mut command = call(&world, &["run", "../../flow.yaml"]);
    command.env("GIT_DIR", root.join(".git")).env("GIT_INDEX_FILE", root.join(".git/index"));
    said(&command.output().expect("the binary starts"));
    assert_eq!(staged(), before);
    assert_eq!(git(&root, &["log", "-1", "--format=%s"]), "first", "what steps commit is in their worktree");
}

#[test]
fn what_keeps_a_worktree_from_being_made_is_told() {
    let (world, root) = checkout();
    git(&root, &["branch", "taken"]);
    for (worktree, folder, said) in [
        ("{branch: taken}", "api", "there is a branch `taken` already"),
        ("{branch: 'a b'}", "api", "`a b` can not be the name of a branch"),
        ("{from: nowhere}", "api", "there is no commit `nowhere` to begin with"),
        ("{setup: 'false'}", "api", "exit 1"),
        ("{}", ".", "is in none"),
    ] {
        let flow = format!(
            "backstay: 1\nsteps:\n  - {{id: a, run: 'true', workspace: {{worktree: {worktree}}}}}\nfinally:\n  - {{id: bye, run: pwd}}\n"
        );
        world.write("bad.yaml", &flow);
        let folder = world.path().join(folder);
        let mut command = call(&world, &["run", world.path().join("bad.yaml").as_str()]);
        let output = command.current_dir(&folder).output().expect("the binary starts");
        let shown =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{worktree}: {shown}");
        assert!(shown.contains(said), "{worktree}: {shown}");
        let logs = call(&world, &["logs", "@last", "bye"]).output().expect("the binary starts");
        assert!(String::from_utf8_lossy(&logs.stdout).contains(folder.file_name().unwrap()), "{logs:?}");
    }
}

#[test]
fn exec_works_in_a_worktree_if_it_is_told_so() {
    let (world, root) = checkout();
    let before = git(&root, &["status", "--porcelain"]);
    let agent = "cmd: sh -c 'cat >/dev/null; echo better > notes'";
    said(&run(&world, &["exec", agent, "Make it better.", "--worktree", "--until", "grep -q better notes"]));
    assert_eq!(git(&root, &["status", "--porcelain"]), before);
    let place = world.path().join(format!("api.worktrees/{}/sub/notes", world.record().run));
    assert_eq!(std::fs::read_to_string(Path::new(place.as_str())).unwrap(), "better\n");
}

#[test]
fn a_worktree_goes_with_its_run_unless_something_in_it_would_be_lost() {
    let (world, root) = checkout();
    let flow =
        |run: &str| format!("backstay: 1\nworkspace: worktree\nsteps:\n  - {{id: a, run: \"{run}\"}}\n");
    let place = || {
        let shown: serde_json::Value =
            serde_json::from_str(&said(&run(&world, &["show", "--json"]))).expect("it is JSON");
        world.path().join(format!("api.worktrees/{}", shown["run"].as_str().unwrap_or_default()))
    };
    let commit = "echo x > new && git add -A && git -c user.name=t -c user.email=t@t commit -qm new";
    let mut places = Vec::new();
    for work in ["true", "echo x > new", commit, "echo x > ignored.local"] {
        world.write("flow.yaml", &flow(work));
        said(&run(&world, &["run", "../../flow.yaml"]));
        places.push(place());
    }
    let [untouched, changed, committed, ignored] = &places[..] else { panic!("{places:?}") };
    let looked = run(&world, &["prune", "--older", "0s", "--dry-run"]);
    assert!(said(&looked).contains("1 worktree,"), "{looked:?}");
    assert!(places.iter().all(|place| place.is_dir()), "it only looked");
    let freed = run(&world, &["prune", "--older", "0s"]);
    assert!(said(&freed).contains("1 worktree,"), "{freed:?}");
    let notes = String::from_utf8_lossy(&freed.stderr).into_owned();
    let force = format!("`git worktree remove --force {changed}` removes it");
    let stays = format!("{changed} stays: it has changes that are not committed; {force}");
    assert!(notes.contains(&stays), "{notes}");
    assert!(
        notes.contains(&format!("{committed} stays: it has commits that are in no other branch")),
        "{notes}"
    );
    assert_eq!(
        [untouched, changed, committed, ignored].map(|place| place.is_dir()),
        [false, true, true, true]
    );
    assert!(
        notes.contains(&format!("{ignored} stays: it has ignored files that the checkout has not")),
        "{notes}"
    );
    let branches = git(&root, &["branch", "--list", "backstay/*"]);
    assert_eq!(branches.lines().count(), 3, "{branches}");

    world.write("flow.yaml", &flow(commit));
    said(&run(&world, &["run", "../../flow.yaml"]));
    let merged = place();
    let branch = git(&merged, &["rev-parse", "--abbrev-ref", "HEAD"]);
    git(&root, &["stash", "-q"]);
    git(&root, &["merge", "-q", "--ff-only", &branch]);
    let removed = said(&run(&world, &["rm", "@last"]));
    assert!(removed.contains("1 worktree") && !merged.exists(), "{removed}");
}

/// A flow whose worktree is there after it.
const BESIDE: &str = "backstay: 1\nworkspace: worktree\nsteps:\n  - {id: a, run: 'true'}\n";

#[test]
fn a_worktree_in_which_another_run_works_stays() {
    let (world, other) = (checkout().0, World::new());
    world.write("flow.yaml", BESIDE);
    said(&run(&world, &["run", "../../flow.yaml"]));
    let place = world.path().join(format!("api.worktrees/{}", world.record().run));
    let (begun, gate) = (other.gate("begun"), other.gate("gate"));
    let work = format!("echo here > {}; cat {}", begun.path(), gate.path());
    other.write("flow.yaml", &format!("backstay: 1\nsteps:\n  - {{id: a, run: \"{work}\"}}\n"));
    let mut command = other.command(&["run", other.path().join("flow.yaml").as_str()]);
    command.current_dir(&place).env("BACKSTAY_STORE", other.path().join(".backstay"));
    let mut at_work = command.spawn().expect("the binary starts");
    assert_eq!(begun.wait(), "here\n");
    let freed = run(&world, &["prune", "--older", "0s"]);
    let notes = String::from_utf8_lossy(&freed.stderr).into_owned();
    assert!(notes.contains(&format!("{place} stays: it is worked in by a run")), "{notes}");
    assert!(place.is_dir());
    gate.open();
    assert!(at_work.wait().expect("it can be waited for").success());
}

/// Git removes no worktree with submodules.
#[test]
fn a_worktree_with_submodules_stays_and_all_else_of_its_run_goes() {
    let (world, root) = checkout();
    let library = world.path().join("library");
    std::fs::create_dir_all(&library).expect("a folder can be made");
    git(&library, &["init", "-q", "-b", "main"]);
    git(&library, &["commit", "-q", "--allow-empty", "-m", "first"]);
    let local = ["-c", "protocol.file.allow=always", "submodule", "--quiet"];
    git(&root, &[&local[..], &["add", library.as_str(), "library"]].concat());
    git(&root, &["commit", "-q", "-m", "with a library"]);
    let work = format!("git {} update --init ../library", local.join(" "));
    world.write("flow.yaml", &BESIDE.replace("true", &work));
    said(&run(&world, &["run", "../../flow.yaml"]));
    let place = world.path().join(format!("api.worktrees/{}", world.record().run));
    assert!(!git(&root, &["for-each-ref", "refs/backstay"]).is_empty());
    let freed = run(&world, &["prune", "--older", "0s"]);
    said(&freed);
    let notes = String::from_utf8_lossy(&freed.stderr).into_owned();
    assert!(notes.contains(&format!("{place} stays: it has submodules")), "{notes}");
    assert!(place.is_dir());
    assert_eq!(git(&root, &["for-each-ref", "refs/backstay"]), "");
    said(&run(&world, &["prune", "--older", "0s"]));
}

#[test]
fn kept_trees_go_also_where_the_folder_that_the_run_worked_in_is_gone() {
    let (world, root) = checkout();
    world.write("flow.yaml", "backstay: 1\nsteps:\n  - {id: a, run: 'true'}\n");
    said(&run(&world, &["run", "../../flow.yaml"]));
    assert!(!git(&root, &["for-each-ref", "refs/backstay"]).is_empty());
    std::fs::remove_dir_all(root.join("sub")).expect("it can be removed");
    let mut command = world.command(&["prune", "--older", "0s"]);
    said(&command.current_dir(world.path()).output().expect("the binary starts"));
    assert_eq!(git(&root, &["for-each-ref", "refs/backstay"]), "");
}

/// A flow that keeps a worktree, and trees of the checkout.
const KEEPING: &str = "backstay: 1\nsteps:\n  - {id: beside, run: 'true', workspace: worktree}\n  - {id: here, run: 'echo one >> made'}\n";

/// All that git knows in a checkout of references, branches and worktrees.
fn kept_in(root: &Utf8Path) -> [String; 2] {
    [git(root, &["for-each-ref"]), git(root, &["worktree", "list", "--porcelain"])]
}

fn noted(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_copy_of_a_store_frees_its_own_in_a_checkout_and_leaves_what_the_original_keeps() {
    let (world, root) = checkout();
    world.write("flow.yaml", KEEPING);
    let untouched = kept_in(&root);
    for _ in 0..2 {
        said(&run(&world, &["run", "../../flow.yaml"]));
    }
    let [copied, moved] = ["copied", "moved"].map(|name| world.path().join(name));
    copy_folder(&world.path().join(".backstay"), &copied);
    let call_in = |store: &Utf8Path, arguments: &[&str]| {
        run(&world, &[&["--store", store.as_str()], arguments].concat())
    };
    let in_copy = |arguments: &[&str]| call_in(&copied, arguments);
    said(&in_copy(&["store", "adopt"]));
    let (before, changed) = (kept_in(&root), said(&run(&world, &["diff", "@last", "here"])));
    assert!(changed.contains("+one"), "{changed}");
    assert_eq!(said(&in_copy(&["diff", "@last", "here"])), changed, "what is kept can be read");
    said(&in_copy(&["run", "../../flow.yaml"]));
    assert_ne!(kept_in(&root), before);
    let own = in_copy(&["rm", "@last"]);
    assert!(said(&own).contains("4 kept trees, 1 worktree"), "{own:?}");
    assert!(!noted(&own).contains("another store"), "{own:?}");
    assert_eq!(kept_in(&root), before, "of its own run nothing is left");

    for (arguments, left) in [
        (&["prune", "--older", "0s", "--dry-run"][..], "2 worktrees and 8 kept trees"),
        (&["rm", "@last"], "1 worktree and 4 kept trees"),
        (&["prune", "--older", "0s"], "1 worktree and 4 kept trees"),
    ] {
        let output = in_copy(arguments);
        let note = noted(&output);
        assert!(
            note.contains(&format!("{left} belong to another store and were left")),
            "{arguments:?}: {note}"
        );
        assert_eq!(note.matches("another store").count(), 1, "{arguments:?}: {note}");
        assert!(said(&output).contains("0 kept trees") && !said(&output).contains("worktree"), "{output:?}");
        assert_eq!(kept_in(&root), before, "{arguments:?}");
    }
    std::fs::rename(world.path().join(".backstay"), &moved).expect("it can be moved");
    for arguments in [&["rm", "@last"][..], &["prune", "--older", "0s"]] {
        let output = call_in(&moved, arguments);
        assert!(said(&output).contains("4 kept trees, 1 worktree"), "{output:?}");
    }
    assert_eq!(kept_in(&root), untouched);
}

/// A store says in its events where its runs worked; whoever wrote it may name any folder.
#[test]
fn a_store_that_says_it_worked_in_the_checkout_of_another_one_frees_nothing_there() {
    let (victim, root) = checkout();
    victim.write("flow.yaml", KEEPING);
    said(&run(&victim, &["run", "../../flow.yaml"]));
    let author = World::new();
    author.write("flow.yaml", "backstay: 1\nsteps:\n  - {id: here, run: 'true'}\n");
    said(&author.run(&["run", "flow.yaml"]));
    let (theirs, its) = (victim.record().run.to_string(), author.record().run.to_string());
    // As if the run that is there had the id of the hostile store's run.
    let place = |run: &str| victim.path().join(format!("api.worktrees/{run}-beside"));
    git(&root, &["worktree", "move", place(&theirs).as_str(), place(&its).as_str()]);
    for line in git(&root, &["for-each-ref", "--format=%(refname) %(objectname)", "refs/backstay"]).lines() {
        let (name, object) = line.split_once(' ').expect("a name and an object");
        git(&root, &["update-ref", &name.replace(&theirs, &its), object]);
    }
    let database = rusqlite::Connection::open(author.path().join(".backstay/log.db")).expect("it opens");
    database.execute_batch("DELETE FROM snapshot").expect("it is written");
    // Without the check value of the event.
    let words = "UPDATE event SET flags = flags & 7, payload = json_set(payload, '$.cwd', ?1) WHERE kind = 'run_requested'";
    let cwd = root.join("sub");
    assert_eq!(database.execute(words, [cwd.as_str()]).expect("it is written"), 1);
    drop(database);
    let strange = victim.path().join("strange");
    copy_folder(&author.path().join(".backstay"), &strange);
    let before = kept_in(&root);
    for arguments in [&["store", "adopt"][..], &["prune", "--older", "0s"], &["rm", "@last"]] {
        let output = run(&victim, &[&["--store", strange.as_str()], arguments].concat());
        assert_eq!(
            noted(&output).contains("another store and were left"),
            arguments[0] == "prune",
            "{output:?}"
        );
        assert_eq!(kept_in(&root), before, "{arguments:?}");
    }
}

#[test]
fn a_copy_of_a_store_makes_no_worktree_where_the_original_has_one_of_the_same_run() {
    let (world, root) = checkout();
    world.write("flow.yaml", &BESIDE.replace("'true'", "'false'"));
    let failed = run(&world, &["run", "../../flow.yaml"]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    let copied = world.path().join("copied");
    copy_folder(&world.path().join(".backstay"), &copied);
    let in_copy = |arguments: &[&str]| run(&world, &[&["--store", copied.as_str()], arguments].concat());
    said(&in_copy(&["store", "adopt"]));
    let place = world.path().join(format!("api.worktrees/{}", world.record().run));
    std::fs::write(place.join("sub/work"), "not committed").expect("a file can be written");
    let before = kept_in(&root);
    let retried = in_copy(&["retry", "@last", "--from", "worktree"]);
    assert_eq!(retried.status.code(), Some(1), "{retried:?}");
    let told = String::from_utf8_lossy(&in_copy(&["logs", "@last", "worktree"]).stdout).into_owned();
    assert!(told.contains("made by another store") && told.contains("backstay rm"), "{told}");
    assert_eq!(kept_in(&root), before);
    std::fs::remove_file(place.join("sub/work")).expect("it can be removed");
    said(&run(&world, &["rm", "@last"]));
    assert!(!place.exists());
    let retried = in_copy(&["retry", "@last", "--from", "worktree"]);
    assert!(String::from_utf8_lossy(&retried.stdout).contains("worktree"), "{retried:?}");
    assert!(place.exists(), "it is the copy's own now");
    said(&in_copy(&["rm", "@last"]));
    assert!(!place.exists());
}
