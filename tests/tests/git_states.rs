//! Git as it is out there: what cannot be used, is not looked at, or is not kept is said in words, and stops no work.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Output;

use backstay_tests::{World, git, git_command, isolate};
use camino::Utf8Path;

const FLOW: &str = "backstay: 1\nname: change\nsteps:\n  - {id: change, run: 'echo one > file'}\n";

/// What a process printed on stderr.
fn noted(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The binary in a folder of the world, with more variables.
fn call(world: &World, folder: &Utf8Path, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = world.command(arguments);
    command.current_dir(folder).envs(variables.iter().copied());
    command.output().unwrap()
}

/// A repository with one commit.
fn repository(folder: &Utf8Path) {
    fs::create_dir_all(folder).unwrap();
    git(folder, &["init", "-q", "-b", "main"]);
    fs::write(folder.join("tracked"), "old\n").unwrap();
    git(folder, &["add", "-A"]);
    git(folder, &["commit", "-qm", "first"]);
}

/// What makes a folder of git unusable, in a world whose runs are asked for in the folder `work`.
struct State {
    name: &'static str,
    make: fn(&Utf8Path),
    variables: &'static [(&'static str, &'static str)],
    code: &'static str,
    words: &'static str,
}

const STATES: [State; 9] = [
    State {
        name: "an empty .git above",
        make: |world| fs::create_dir(world.join(".git")).unwrap(),
        variables: &[],
        code: "BKS-R060",
        words: "/.git is no git repository: it has no HEAD",
    },
    State {
        name: "a repository that lost its objects",
        make: |world| {
            repository(world);
            fs::remove_dir_all(world.join(".git/objects")).unwrap();
        },
        variables: &[],
        code: "BKS-R060",
        words: "/.git is no git repository: it has no objects",
    },
    State {
        name: "a worktree whose repository is gone",
        make: |world| {
            repository(&world.join("main"));
            git(&world.join("main"), &["worktree", "add", "-q", world.join("work/tree").as_str()]);
            fs::remove_dir_all(world.join("main")).unwrap();
            fs::rename(world.join("work/tree/.git"), world.join("work/.git")).unwrap();
        },
        variables: &[],
        code: "BKS-R061",
        words: "/main/.git/worktrees/tree, which is gone",
    },
    State {
        name: "a .git file of nothing",
        make: |world| fs::write(world.join(".git"), "nothing\n").unwrap(),
        variables: &[],
        code: "BKS-R062",
        words: "/.git is neither a git folder nor a link to one",
    },
    State {
        name: "a bare repository",
        make: |world| {
            git(world, &["init", "-q", "--bare", "."]);
        },
        variables: &[],
        code: "BKS-R063",
        words: " is a git folder, in which no files are checked out",
    },
    State {
        name: "core.worktree of another folder",
        make: |world| {
            repository(world);
            git(world, &["config", "core.worktree", "/"]);
        },
        variables: &[],
        code: "BKS-R064",
        words: "says by `core.worktree` that its files are in /",
    },
    State {
        name: "a repository of another user",
        make: repository,
        variables: &[("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")],
        code: "BKS-R065",
        words: "it belongs to another user",
    },
    State {
        name: "a broken configuration of the user",
        make: |world| {
            repository(world);
            fs::write(world.join("broken"), "[core\n").unwrap();
        },
        variables: &[("GIT_CONFIG_GLOBAL", "../broken")],
        code: "BKS-R066",
        words: "git cannot read its configuration: fatal: bad config line 1 in file ",
    },
    State {
        name: "a broken configuration of the repository",
        make: |world| {
            repository(world);
            let config = fs::read_to_string(world.join(".git/config")).unwrap();
            fs::write(world.join(".git/config"), config + "[core\n").unwrap();
        },
        variables: &[],
        code: "BKS-R067",
        words: ": fatal: bad config line ",
    },
];

#[test]
fn what_cannot_be_used_as_a_checkout_is_said_by_a_run_by_diff_and_by_doctor_and_stops_no_work() {
    for State { name, make, variables, code, words } in STATES {
        let world = World::new();
        let work = world.path().join("work");
        fs::create_dir(&work).unwrap();
        make(world.path());
        fs::write(work.join("flow.yaml"), FLOW).unwrap();
        let ran = call(&world, &work, variables, &["run", "flow.yaml"]);
        assert!(ran.status.success(), "{name}: {ran:?}");
        assert_eq!(fs::read_to_string(work.join("file")).unwrap(), "one\n", "{name}");
        let said = noted(&ran);
        assert!(said.contains(&format!("warning {code} ")) && said.contains(words), "{name}: {said}");
        assert_eq!(said.matches(words).count(), 1, "{name}: once is enough: {said}");
        let diff = call(&world, &work, variables, &["diff"]);
        let said = noted(&diff);
        assert_eq!(diff.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains("no tree of run_") && said.contains(words), "{name}: {said}");
        let doctor = call(&world, &work, variables, &["doctor"]);
        let told = printed(&doctor).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains(words.trim()), "{name}: {told}");
        let removed = call(&world, &work, variables, &["rm", "@last"]);
        let is_gone = matches!(code, "BKS-R060" | "BKS-R061" | "BKS-R062");
        assert_eq!(removed.status.success(), is_gone, "{name}: {removed:?}");
        assert!(noted(&removed).contains(words), "{name}: {removed:?}");
    }
}

#[test]
fn what_lies_above_the_folder_of_a_test_is_not_known_to_it() {
    let world = World::new();
    repository(world.path());
    let inner = world.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let told = |ceiling: bool| {
        let mut command = world.command(&["doctor"]);
        command.current_dir(&inner);
        if ceiling {
            isolate(&mut command, &inner);
        }
        printed(&command.output().unwrap()).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(told(false).contains(", on main"), "{}", told(false));
    assert!(told(true).contains("inner is in none: what steps change is not kept"), "{}", told(true));
    assert_ne!(git_command(&inner).arg("status").status().unwrap().code(), Some(0));
}

#[test]
fn a_git_error_is_told_whole() {
    let world = World::new();
    repository(world.path());
    world.write("flow.yaml", FLOW);
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    // Its last line alone says nothing of the reason.
    git(world.path(), &["config", "core.repositoryFormatVersion", "1"]);
    git(world.path(), &["config", "extensions.fromTheFuture", "true"]);
    let said = noted(&world.run(&["diff"]));
    assert!(said.contains("unknown repository extension") && said.contains("fromthefuture"), "{said}");
}

#[test]
fn a_diff_names_what_was_not_looked_at_and_never_says_that_nothing_changed_there() {
    let world = World::new();
    let root = world.path();
    repository(&root.join("source"));
    repository(root);
    let submodule = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "./source", "sub"];
    git(root, &submodule);
    fs::write(root.join(".gitattributes"), "*.bin filter=gone\n").unwrap();
    fs::write(root.join("a.bin"), "old\n").unwrap();
    fs::write(root.join(".gitignore"), "source/\n.backstay/\nstate/\n").unwrap();
    git(root, &["add", "-A"]);
    git(root, &["commit", "-qm", "second"]);
    git(root, &["config", "filter.gone.clean", "no-such-program-of-a-filter"]);
    git(root, &["config", "filter.gone.required", "true"]);
    world.write(
        "flow.yaml",
        r#"
backstay: 1
name: change
steps:
  - id: change
    run: |
      echo new > sub/tracked; echo newer > a.bin
      git init -q inner; echo x > inner/x
      truncate -s 17M large
      echo y > 'ä b'; printf z > "$(printf 'odd\377')"
  - {id: look, run: 'echo > sub/added'}
"#,
    );
    let ran = world.run(&["run", "flow.yaml"]);
    assert!(ran.status.success(), "{ran:?}");
    let diff = world.run(&["diff"]);
    assert!(diff.status.success(), "{diff:?}");
    let (shown, said) = (printed(&diff), noted(&diff));
    assert!(shown.contains("b/ä b") && shown.contains("+z"), "what can be looked at is shown: {shown}");
    for line in [
        "not looked at: large: not tracked and 17 MiB large",
        "not looked at: inner/: a repository of its own",
        "not looked at: sub: a submodule with changes that are not committed in it",
        "not looked at: a.bin: git's filter `gone` fails",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let look = world.run(&["diff", "@last", "look"]);
    let said = noted(&look);
    assert!(
        said.contains("`look` changed nothing in what was looked at")
            && said.contains("not looked at: sub: "),
        "{said}"
    );
    let json: serde_json::Value = serde_json::from_str(&printed(&world.run(&["diff", "--json"]))).unwrap();
    assert_eq!(json["omitted"].as_array().unwrap().len(), 4, "{json}");
    let doctor = printed(&world.run(&["doctor"])).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(doctor.contains("`gone` needs `no-such-program-of-a-filter`, which is not found"), "{doctor}");
}

/// Which files a run changed that writes `new` into these, by letter and path.
fn changed_by(world: &World, names: &[&str]) -> Vec<String> {
    let writes: String = names.iter().map(|name| format!("      echo new > {name}\n")).collect();
    let flow = format!(
        "backstay: 1\nname: change\nsteps:\n  - id: change\n    run: |\n      mkdir -p outside\n{writes}"
    );
    world.write("flow.yaml", &flow);
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    let json: serde_json::Value = serde_json::from_str(&printed(&world.run(&["diff", "--json"]))).unwrap();
    let file = |file: &serde_json::Value| {
        format!("{} {}", file["change"].as_str().unwrap(), file["path"].as_str().unwrap())
    };
    let mut changed: Vec<String> = json["files"].as_array().unwrap().iter().map(file).collect();
    changed.sort();
    changed
}

#[test]
fn files_that_git_was_told_to_pass_over_are_looked_at_all_the_same() {
    let world = World::new();
    let root = world.path();
    repository(root);
    for name in ["assumed", "skipped", "outside/far", "inside/near"] {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), "old\n").unwrap();
    }
    git(root, &["add", "-A"]);
    git(root, &["commit", "-qm", "second"]);
    git(root, &["update-index", "--assume-unchanged", "assumed"]);
    git(root, &["update-index", "--skip-worktree", "skipped"]);
    git(root, &["config", "core.ignoreCase", "true"]);
    let told = git(root, &["ls-files", "-v"]);
    assert!(told.contains("h assumed") && told.contains("S skipped"), "{told}");
    assert_eq!(
        changed_by(&world, &["assumed", "skipped", "Tracked"]),
        ["A Tracked", "M assumed", "M skipped"]
    );
    assert_eq!(git(root, &["ls-files", "-v"]), told, "what the user told git stays told");
    git(root, &["update-index", "--no-assume-unchanged", "assumed"]);
    git(root, &["update-index", "--no-skip-worktree", "skipped"]);
    git(root, &["commit", "-qam", "third"]);
    git(root, &["sparse-checkout", "set", "inside"]);
    assert!(!root.join("outside").exists());
    assert_eq!(changed_by(&world, &["inside/near", "outside/far"]), ["M inside/near", "M outside/far"]);
}

#[test]
fn states_that_are_in_nobodys_way_are_named_by_doctor_and_kept() {
    let world = World::new();
    let root = world.path();
    git(root, &["init", "-q", "-b", "main"]);
    let doctor = || printed(&world.run(&["doctor"])).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(doctor().contains("on main, which has no commit: worktrees need one"), "{}", doctor());
    world.write("flow.yaml", FLOW);
    let run = || assert!(world.run(&["run", "flow.yaml"]).status.success());
    run();
    assert!(printed(&world.run(&["diff"])).contains("+one"), "without a commit");
    repository(root);
    git(root, &["checkout", "-q", "--detach"]);
    fs::write(root.join(".git/index.lock"), "").unwrap();
    let told = doctor();
    assert!(told.contains("on no branch") && told.contains("index.lock is there"), "{told}");
    fs::remove_file(root.join("file")).unwrap();
    run();
    assert!(printed(&world.run(&["diff"])).contains("+one"), "detached, with a locked index");
}

#[test]
fn a_worktree_that_git_cannot_look_into_stays_and_keeps_nothing_else() {
    let world = World::new();
    let root = world.path().join("api");
    repository(&root);
    let flow = "backstay: 1\nname: change\nsteps:\n  - {id: change, run: 'echo one > file', workspace: worktree}\n  - {id: here, run: 'true'}\n";
    fs::write(root.join("flow.yaml"), flow).unwrap();
    let ran = call(&world, &root, &[], &["run", "flow.yaml"]);
    assert!(ran.status.success(), "{ran:?}");
    let worktrees = world.path().join("api.worktrees");
    let worktree = worktrees.read_dir_utf8().unwrap().next().unwrap().unwrap().into_path();
    fs::write(worktree.join(".git"), "gitdir: /nowhere/at/all\n").unwrap();
    assert!(!git(&root, &["for-each-ref", "refs/backstay/*/*/here/**"]).is_empty());
    let removed = call(&world, &root, &[], &["rm", "@last"]);
    assert!(removed.status.success(), "{removed:?}");
    assert_eq!(git(&root, &["for-each-ref", "refs/backstay"]), "", "its trees are gone");
    let said = noted(&removed);
    assert!(said.contains(worktree.as_str()) && said.contains("/nowhere/at/all, which is gone"), "{said}");
    assert!(worktree.join("file").exists());
}

/// The odd name of a file is on this disk, too.
#[test]
fn a_file_without_a_utf8_name_comes_back() {
    let world = World::new();
    repository(world.path());
    let odd = Path::new(OsStr::from_bytes(b"odd\xff"));
    world.write(
        "flow.yaml",
        "backstay: 1\nname: change\nsteps:\n  - id: change\n    run: printf z > \"$(printf 'odd\\377')\"\n",
    );
    assert!(world.run(&["run", "flow.yaml"]).status.success());
    let changed: serde_json::Value = serde_json::from_slice(&world.run(&["diff", "--json"]).stdout).unwrap();
    let file = &changed["files"][0];
    assert_eq!((&file["path"], &file["path_hex"]), (&"odd\u{fffd}".into(), &"6f6464ff".into()), "{changed}");
    let place = world.path().join("back");
    let restored = world.run(&["restore", "--after", "change", "--to", place.as_str()]);
    assert!(restored.status.success(), "{restored:?}");
    assert_eq!(fs::read(place.as_std_path().join(odd)).unwrap(), b"z");
}
