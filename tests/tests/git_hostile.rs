//! A repository whose own configuration names a program for every occasion: what only reads starts none of them.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use backstay_tests::{Terminal, World, git, git_command};

/// Keys of the configuration that name a program; the program leaves a file that is named after the key.
const PROGRAMS: [&str; 24] = [
    "core.fsmonitor",
    "core.pager",
    "core.editor",
    "core.sshCommand",
    "core.askPass",
    "core.gitProxy",
    "core.alternateRefsCommand",
    "pager.diff",
    "pager.config",
    "pager.for-each-ref",
    "sequence.editor",
    "credential.helper",
    "gpg.program",
    "diff.external",
    "diff.evil.textconv",
    "diff.evil.command",
    "filter.evil.clean",
    "filter.evil.smudge",
    "filter.evil.process",
    "merge.evil.driver",
    "interactive.diffFilter",
    "remote.origin.uploadpack",
    "uploadpack.packObjectsHook",
    "hook.evil.command",
];

const HOOKS: [&str; 8] = [
    "post-checkout",
    "post-index-change",
    "reference-transaction",
    "pre-commit",
    "commit-msg",
    "pre-auto-gc",
    "fsmonitor-watchman",
    "post-commit",
];

/// A world with a run that changed something, and then a configuration that is out for more.
fn hostile() -> World {
    let world = World::new();
    let root = world.path();
    git(root, &["init", "-q", "-b", "main"]);
    world.write("notes", "old\n");
    world.write(".gitignore", "canaries/\nstate/\nhooks/\n");
    git(root, &["add", "-A"]);
    git(root, &["commit", "-qm", "first"]);
    world.write(
        "flow.yaml",
        "backstay: 1\nname: change\nsteps:\n  - {id: change, run: 'echo new > notes; echo said'}\n",
    );
    let ran = world.run(&["run", "flow.yaml"]);
    assert!(ran.status.success(), "{ran:?}");
    fs::create_dir(root.join("canaries")).unwrap();
    let canary = |name: &str| format!("touch '{}'", root.join("canaries").join(name));
    for folder in [root.join(".git/hooks"), root.join("hooks")] {
        fs::create_dir_all(&folder).unwrap();
        for name in HOOKS {
            let hook = folder.join(name);
            fs::write(&hook, format!("#!/bin/sh\n{}\n", canary(name))).unwrap();
            fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    // One half in the configuration itself, the other in a file that it includes.
    let (own, included) = PROGRAMS.split_at(PROGRAMS.len() / 2);
    for (file, keys) in [(root.join(".git/config"), own), (root.join(".git/more"), included)] {
        for key in keys {
            let value = format!("{}; cat; false", canary(key));
            git(root, &["config", "--file", file.as_str(), key, &value]);
        }
    }
    for (key, value) in [
        ("include.path", "more"),
        ("core.hooksPath", root.join("hooks").as_str()),
        ("log.showSignature", "true"),
        ("commit.gpgSign", "true"),
        ("hook.evil.event", "post-index-change"),
        ("submodule.recurse", "true"),
        ("diff.submodule", "diff"),
        ("protocol.ext.allow", "always"),
        ("remote.origin.url", &format!("ext::sh -c {}", canary("remote").replace(' ', "% "))),
        ("remote.origin.promisor", "true"),
        ("remote.origin.partialCloneFilter", "blob:none"),
        ("alias.rev-parse", &format!("!{}", canary("alias"))),
    ] {
        git(root, &["config", "--file", ".git/config", key, value]);
    }
    world.write(".gitattributes", "* diff=evil filter=evil merge=evil\n");
    // Its time says that it may have changed, so that whoever compares has to read it.
    let notes = fs::File::options().append(true).open(root.join("notes")).unwrap();
    notes.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000)).unwrap();
    world
}

/// What was started, by name; all is as before then.
fn canaries(world: &World) -> Vec<String> {
    let folder = world.path().join("canaries");
    let mut found: Vec<String> =
        folder.read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
    for name in &found {
        fs::remove_file(folder.join(name)).unwrap();
    }
    found.sort();
    found
}

#[test]
fn no_command_that_reads_starts_a_program_that_a_repository_names() {
    let world = hostile();
    // What git by itself makes of this repository: so the traps are armed.
    for words in [&["status"] as &[&str], &["diff", "HEAD"], &["show", "refs/heads/main"]] {
        git_command(world.path()).args(words).output().unwrap();
    }
    let armed = canaries(&world);
    for name in ["core.fsmonitor", "diff.evil.command", "filter.evil.process"] {
        assert!(armed.iter().any(|canary| canary == name), "{name} is not armed: {armed:?}");
    }
    for arguments in [
        &["doctor"] as &[&str],
        &["doctor", "--json"],
        &["init"],
        &["ls"],
        &["ls", "--json"],
        &["show"],
        &["show", "--markdown"],
        &["check", "flow.yaml"],
        &["run", "flow.yaml", "--dry-run"],
        &["diff"],
        &["diff", "--stat"],
        &["diff", "--json"],
        &["diff", "@last", "change"],
        &["inbox"],
        &["watch", "@last"],
        &["logs"],
        &["events"],
        &["usage"],
        &["prune", "--older", "0s", "--dry-run"],
        &["completions", "bash"],
        &["restore", "--branch", "rescue"],
    ] {
        let output = world.run(arguments);
        assert_eq!(canaries(&world), Vec::<String>::new(), "{arguments:?}: {output:?}");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    let screen = Terminal::start_with(&world, &["diff"], (100, 24), &[("GIT_PAGER", "cat")]);
    let (status, seen) = screen.end();
    assert!(status.success() && seen.contains("diff --git a/notes b/notes"), "{seen}");
    assert_eq!(canaries(&world), Vec::<String>::new(), "on a terminal");
}

#[test]
fn a_run_in_a_hostile_repository_starts_the_filters_that_its_files_name_and_nothing_else() {
    let world = hostile();
    let ran = world.run(&["run", "flow.yaml"]);
    assert!(ran.status.success(), "{ran:?}");
    let started = canaries(&world);
    assert!(started.iter().all(|name| name.starts_with("filter.evil.")), "{started:?}");
    let place = world.path().join("restored");
    let restored = world.run(&["restore", "--before", "change", "--to", place.as_str()]);
    let started = canaries(&world);
    assert!(started.iter().all(|name| name.starts_with("filter.evil.")), "{started:?}: {restored:?}");
    let removed = world.run(&["rm", "@last"]);
    assert!(removed.status.success(), "{removed:?}");
    assert_eq!(canaries(&world), Vec::<String>::new());
}
