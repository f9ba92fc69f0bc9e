//! A store whose files are links, FIFOs and devices, as it may come with a repository of somebody else: nothing outside of it
//! is read into it, written or removed, and every command comes to its end.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::time::Duration;

use backstay_engine::record::RunStatus;
use backstay_exec::run_within;
use backstay_model::{RunId, Seq};
use backstay_tests::folder::{contents, copy_folder, files, has_bytes, listing, said};
use backstay_tests::{World, send, soak};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;
use tempfile::TempDir;

/// The bound on one command: far above what any takes, so that only one that waits for what never comes meets it.
const BOUND: Duration = Duration::from_secs(30);
/// What is outside, and nowhere in the store.
const SENTINEL: &str = "sentinel-that-is-outside-of-the-store";

const FLOW: &str = "backstay: 1\nname: small\nsteps:\n  - {id: one, run: 'seq 1 4000; echo x > changed; echo a > $BACKSTAY_ARTIFACTS/a'}\n  - {id: two, run: 'echo done; echo aside >&2'}\n";
/// Its step says that it has begun, and waits as long as `gate` is a FIFO.
const HELD: &str =
    "backstay: 1\nname: held\nsteps:\n  - {id: one, after_crash: rerun, run: 'echo began > up; cat gate'}\n";

/// The event of each run that says that its first step runs.
const EVENT_RUNNING: u64 = 7;

/// Files directly in a store.
const FILES: [&str; 15] = [
    "turn.lock",
    "writer.lock",
    "store.lock",
    "wakeup",
    "disk_reserve",
    "up.lock",
    "up.log",
    ".gitignore",
    "config.toml",
    "log.db",
    "log.db-wal",
    "log.db-shm",
    "log.db-journal",
    "log.db.part",
    "blobs/collect.lock",
];
/// Folders directly in a store.
const FOLDERS: [&str; 3] = ["owners", "blobs", "runs"];
/// Files of an attempt.
const ATTEMPT_FILES: [&str; 14] = [
    "keeper.lock",
    "keeper.json",
    "exit.json",
    "exit.json.part",
    "lost.json",
    "stdout",
    "stderr",
    "order",
    "times",
    "script",
    "output",
    "artifacts/a",
    "tree-index",
    "scrubbed.json",
];

/// Commands that read or write a store, the code that each ends with where nothing is planted, and the error that it says.
const COMMANDS: [(&str, i32, &str); 28] = [
    ("run flow.yaml", 0, ""),
    ("store scrub", 0, ""),
    ("prune --older 0s", 0, ""),
    ("resume HELD", 0, ""),
    ("retry ENDED --from one", 0, ""),
    ("logs ENDED", 0, ""),
    ("store backup COPY", 0, ""),
    ("rm ENDED", 0, ""),
    ("store check", 0, ""),
    ("up", 0, ""),
    ("show HELD", 0, ""),
    ("logs HELD", 0, ""),
    ("ls", 0, ""),
    ("cancel HELD", 0, ""),
    ("diff ENDED", 0, ""),
    ("store info", 0, ""),
    ("doctor", 0, ""),
    ("skip HELD one", 0, ""),
    ("events HELD", 0, ""),
    ("usage", 0, ""),
    ("inbox", 0, ""),
    ("watch ENDED", 0, ""),
    ("wait ENDED", 0, ""),
    ("suspend HELD", 0, ""),
    ("restore ENDED --to TO", 0, ""),
    ("answer HELD yes", 2, "BKS-C006"),
    ("check flow.yaml", 0, ""),
    ("prune --dry-run", 0, ""),
];

/// One call of the program, and how it ends where nothing is planted.
struct Command {
    words: Vec<String>,
    code: i32,
    /// The code of the error that it says; empty if it says none.
    error: &'static str,
}

/// How a command ended with something planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// As without it.
    Usual,
    /// With an error that names what was planted.
    Named,
    /// It was not started: nothing of this kind can be there.
    NotPlanted,
}

/// A name in a store, and what a store has there.
struct Name {
    path: String,
    is_folder: bool,
}

/// A checkout with a store of two runs, one that has ended and one whose processes are dead, and what is outside of it.
struct Scene {
    world: World,
    template: TempDir,
    outside: TempDir,
    ended: RunId,
    held: RunId,
}

/// What is in the place of a file of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hostile {
    LinkToFile,
    LinkToFolder,
    LinkToFifo,
    LinkToZero,
    LinkToNothing,
    Fifo,
    HardLink,
}

/// Those that are no link to something of the expected kind.
const ODD: [Hostile; 5] =
    [Hostile::LinkToFifo, Hostile::LinkToZero, Hostile::LinkToNothing, Hostile::Fifo, Hostile::HardLink];

fn git(world: &World, arguments: &[&str]) {
    let output = std::process::Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgSign=false"])
        .args(arguments)
        .current_dir(world.path())
        .output()
        .expect("git starts");
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
}

fn utf8(folder: &TempDir) -> &Utf8Path {
    Utf8Path::from_path(folder.path()).expect("temporary folders have UTF-8 names")
}

/// The run whose id stands in what `ls` says, by its workflow.
fn run_of(world: &World, workflow: &str) -> RunId {
    let store = backstay_tests::block_on(world.store()).expect("there is a store");
    let rows = backstay_tests::block_on(store.runs(backstay_log::TopicFilter::default())).expect("a list");
    rows.iter().find(|row| row.summary.workflow == workflow).expect("the run is listed").run
}

/// Whether `text` names the file `name` of the store, the folder of the run or of the attempt that it is in, or its blob.
fn is_named(name: &str, text: &str) -> bool {
    let name = Utf8Path::new(name);
    let folder = name.parent().filter(|folder| !folder.as_str().is_empty() && *folder != "blobs");
    let blob = name.file_name().filter(|_| name.starts_with("blobs")).map(|file| format!("the blob {file}"));
    let names = [Some(name.as_str()), folder.map(Utf8Path::as_str), blob.as_deref()];
    names.into_iter().flatten().any(|name| text.contains(name))
}

impl Command {
    fn is_usual(&self, code: i32, text: &str) -> bool {
        code == self.code && text.contains(self.error)
    }
}

impl Scene {
    fn new() -> Scene {
        let world = World::new();
        world.write("flow.yaml", FLOW);
        world.write("held.yaml", HELD);
        world.write(".gitignore", "state\ngate\nup\ncopied\nrestored\n");
        git(&world, &["init", "-q"]);
        git(&world, &["add", "."]);
        git(&world, &["commit", "-q", "-m", "first"]);
        let output = world.run(&["run", "flow.yaml"]);
        assert!(output.status.success(), "{}", said(&output));
        let ended = run_of(&world, "small");
        let (up, gate) = (world.gate("up"), world.gate("gate"));
        let owner = world.start(&["run", "held.yaml"]);
        assert_eq!(up.wait(), "began\n");
        // The step may be faster than the event that says that it runs.
        let record = world.record_when("tells that its step runs", |record| {
            record.workflow.as_ref().is_some_and(|workflow| workflow.name == "held")
                && record.head >= Seq(EVENT_RUNNING)
        });
        assert_eq!(record.status, RunStatus::Running);
        owner.kill();
        let held = run_of(&world, "held");
        let attempt = world.path().join(format!(".backstay/runs/{held}/one/1"));
        let keeper = fs::read_to_string(attempt.join("keeper.json")).expect("it has a keeper");
        let keeper: serde_json::Value = serde_json::from_str(&keeper).expect("JSON");
        for pid in ["keeper_pid", "pid"].iter().filter_map(|name| keeper[name].as_u64()) {
            send(pid.try_into().expect("a pid"), Signal::KILL);
        }
        // What the step had started ends, and the next attempt of the step waits for nothing.
        gate.open();
        for name in ["up", "gate"] {
            fs::remove_file(world.path().join(name)).expect("a FIFO can go");
            world.write(name, "open\n");
        }
        let template = TempDir::new().expect("a temporary folder");
        copy_folder(&world.path().join(".backstay"), &utf8(&template).join("store"));
        // Which stores this user knows, and how far they are.
        copy_folder(&world.path().join("state"), &utf8(&template).join("state"));
        Scene { world, template, outside: TempDir::new().expect("a temporary folder"), ended, held }
    }

    fn store(&self) -> Utf8PathBuf {
        self.world.path().join(".backstay")
    }

    /// The store as it was, and the outside as it was.
    fn reset(&self) {
        for folder in [self.store(), utf8(&self.outside).join("x")] {
            if folder.symlink_metadata().is_ok_and(|there| there.is_symlink()) {
                fs::remove_file(&folder).expect("a link can go");
            } else if folder.exists() {
                fs::remove_dir_all(&folder).expect("a folder can go");
            }
        }
        let outside = utf8(&self.outside).join("x");
        copy_folder(&utf8(&self.template).join("store"), &self.store());
        let state = self.world.path().join("state");
        fs::remove_dir_all(&state).expect("a folder can go");
        copy_folder(&utf8(&self.template).join("state"), &state);
        fs::create_dir_all(outside.join("folder/artifacts")).expect("a folder can be made");
        for name in ["file", "folder/stdout", "folder/script", "folder/artifacts/a", "folder/exit.json"] {
            fs::write(outside.join(name), format!("{SENTINEL}\n")).expect("a file can be written");
        }
        mkfifoat(CWD, outside.join("fifo").as_std_path(), Mode::from_raw_mode(0o600)).expect("a FIFO");
    }

    /// Puts `hostile` in the place of `name` in the store; false if it cannot be there.
    fn plant(&self, name: &str, hostile: Hostile) -> bool {
        let (place, outside) = (self.store().join(name), utf8(&self.outside).join("x"));
        let is_folder = place.is_dir();
        if is_folder && hostile == Hostile::HardLink {
            return false;
        }
        if is_folder {
            fs::remove_dir_all(&place).expect("a folder can go");
        } else if place.symlink_metadata().is_ok() {
            fs::remove_file(&place).expect("a file can go");
        }
        fs::create_dir_all(place.parent().expect("it is in a folder")).expect("a folder can be made");
        let link = |to: &str| symlink(outside.join(to), &place).expect("a link can be made");
        match hostile {
            Hostile::LinkToFile => link("file"),
            Hostile::LinkToFolder => link("folder"),
            Hostile::LinkToFifo => link("fifo"),
            Hostile::LinkToNothing => link("nothing"),
            Hostile::LinkToZero => symlink("/dev/zero", &place).expect("a link can be made"),
            Hostile::Fifo => {
                mkfifoat(CWD, place.as_std_path(), Mode::from_raw_mode(0o600)).expect("a FIFO can be made");
            }
            Hostile::HardLink => fs::hard_link(outside.join("file"), &place).expect("a link can be made"),
        }
        true
    }

    /// What surrounds the store, with everything that could be changed of it but its time of access.
    fn surroundings(&self) -> BTreeMap<Utf8PathBuf, String> {
        let mut found = BTreeMap::new();
        let mut waiting = vec![utf8(&self.outside).to_owned()];
        while let Some(at) = waiting.pop() {
            for entry in at.read_dir_utf8().expect("the folder can be read") {
                let path = entry.expect("an entry").into_path();
                let there = path.symlink_metadata().expect("it is there");
                let what = match there.is_file() {
                    true => fs::read_to_string(&path).expect("a text"),
                    false => format!("{:?}", there.file_type()),
                };
                let time = if there.is_dir() { 0 } else { there.mtime_nsec() };
                waiting.extend(there.is_dir().then(|| path.clone()));
                found.insert(path, format!("{what} {:o} {time}", there.mode()));
            }
        }
        found
    }

    /// Runs the program to its end; gives its exit code and what it said.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        self.run_as(&format!("{arguments:?}"), arguments)
    }

    /// The same; a failure names the case by `what`.
    fn run_as(&self, what: &str, arguments: &[&str]) -> (i32, String) {
        let input = if arguments == ["store", "scrub"] { SENTINEL } else { "" };
        let output = run_within(self.world.command(arguments), input.as_bytes().to_vec(), BOUND);
        let output = output.unwrap_or_else(|error| panic!("{what}: {error}"));
        let text = said(&output);
        let code = output.status.code().unwrap_or_else(|| panic!("{what} was killed: {text}"));
        assert!(!text.contains("panicked"), "{what}: {text}");
        assert!(code == 0 || !text.trim().is_empty(), "{what} fails without a word");
        (code, text)
    }

    /// Whether the store has a file with what is outside.
    fn has_read(&self) -> bool {
        let store = self.store();
        store.symlink_metadata().is_ok_and(|there| there.is_dir())
            && files(&store)
                .iter()
                .filter(|path| path.symlink_metadata().is_ok_and(|there| there.nlink() == 1))
                .any(|path| has_bytes(&fs::read(path).expect("a file"), SENTINEL.as_bytes()))
    }

    /// Runs `command` on the store with `hostile` in the place of `name`.
    fn attack(&self, name: &str, hostile: Hostile, command: &Command) -> Ending {
        self.reset();
        if !self.plant(name, hostile) {
            return Ending::NotPlanted;
        }
        let before = self.surroundings();
        let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
        let what = format!("{words:?} with {hostile:?} for {name}");
        let (code, text) = self.run_as(&what, &words);
        let what = format!("{what}: exit {code}: {text}");
        assert_eq!(self.surroundings(), before, "{what}");
        if hostile != Hostile::HardLink {
            assert!(!text.contains(SENTINEL), "{what}");
            assert!(!self.has_read(), "{what}");
        }
        if command.is_usual(code, &text) {
            return Ending::Usual;
        }
        assert!(is_named(name, &text), "neither as usual nor an error that names what is planted: {what}");
        Ending::Named
    }

    /// Names in the store.
    fn names(&self) -> Vec<Name> {
        let (ended, held) = (self.ended, self.held);
        let blob = files(&self.store().join("blobs")).into_iter().next().expect("there is a blob");
        let blob = blob.strip_prefix(self.store()).expect("it is in the store").to_owned();
        let file = |path: String| Name { path, is_folder: false };
        let folder = |path: String| Name { path, is_folder: true };
        let mut names: Vec<Name> = FILES.map(|name| file(name.to_owned())).into();
        names.extend(FOLDERS.map(|name| folder(name.to_owned())));
        names.push(folder(blob.parent().expect("a folder").to_string()));
        names.push(file(blob.into_string()));
        names.extend(["freeing.json", "tree-index"].map(|name| file(format!("runs/{ended}/{name}"))));
        names.extend(["", "/one", "/one/2"].map(|rest| folder(format!("runs/{ended}{rest}"))));
        // What the next attempt makes is there before it.
        for (run, number) in [(ended, 1), (held, 1), (ended, 2), (held, 2)] {
            let attempt = format!("runs/{run}/one/{number}");
            names.extend(ATTEMPT_FILES.map(|name| file(format!("{attempt}/{name}"))));
            names.extend(["artifacts", "waits"].map(|name| folder(format!("{attempt}/{name}"))));
        }
        names
    }

    /// The commands that read or write a store.
    fn commands(&self) -> Vec<Command> {
        COMMANDS
            .iter()
            .map(|(line, code, error)| Command { words: self.words(line), code: *code, error })
            .collect()
    }

    fn words(&self, line: &str) -> Vec<String> {
        let word = |word: &str| match word {
            "HELD" => self.held.to_string(),
            "ENDED" => self.ended.to_string(),
            "TO" => self.world.path().join("restored").into_string(),
            "COPY" => self.world.path().join("copied").into_string(),
            word => word.to_owned(),
        };
        line.split(' ').map(word).collect()
    }

    /// Attacks each name with all commands, or some of the names with one command each, in turn; says how many commands ended
    /// as usual, so that they passed the first look at the store.
    fn attack_all(&self, part: usize, hostile: impl Fn(usize, &Name) -> Vec<Hostile>) -> usize {
        let commands = self.commands();
        let mut usual = 0;
        self.reset();
        for (number, name) in
            self.names().iter().enumerate().filter(|(number, _)| soak() || number % part == 0)
        {
            for (kind, hostile) in hostile(number, name).into_iter().enumerate() {
                let turn = (number / part + kind) % commands.len();
                for (_, command) in commands.iter().enumerate().filter(|(index, _)| soak() || *index == turn)
                {
                    let ending = self.attack(&name.path, hostile, command);
                    usual += usize::from(ending == Ending::Usual);
                    self.clean();
                }
            }
        }
        usual
    }

    /// What commands make beside the store.
    fn clean(&self) {
        for name in ["restored", "copied"] {
            let path = self.world.path().join(name);
            if path.exists() {
                fs::remove_dir_all(path).expect("a folder can go");
            }
        }
        git(&self.world, &["worktree", "prune"]);
    }
}

#[test]
fn no_command_follows_a_link_in_the_place_of_a_file_or_folder_of_the_store() {
    let scene = Scene::new();
    let usual = scene.attack_all(2, |_, name| {
        vec![if name.is_folder { Hostile::LinkToFolder } else { Hostile::LinkToFile }]
    });
    assert!(usual >= 30, "{usual} commands passed the first look at the store");
}

#[test]
fn no_command_waits_for_a_fifo_or_a_device_or_writes_through_a_hard_link() {
    let scene = Scene::new();
    let kinds = |number: usize| if soak() { ODD.to_vec() } else { vec![ODD[number % ODD.len()]] };
    let usual = scene.attack_all(3, |number, _| kinds(number));
    assert!(usual >= 22, "{usual} commands passed the first look at the store");
}

#[test]
fn the_folder_of_a_run_that_is_a_link_is_not_emptied() {
    let scene = Scene::new();
    for (name, hostile, line, ending) in [
        ("runs/ENDED", Hostile::LinkToFolder, "prune --older 0s", Ending::Named),
        ("runs/ENDED/one", Hostile::LinkToFolder, "rm ENDED", Ending::Usual),
        ("runs", Hostile::LinkToFolder, "prune --older 0s", Ending::Named),
        ("up.log", Hostile::LinkToFile, "run flow.yaml --detach", Ending::Named),
    ] {
        let name = name.replace("ENDED", &scene.ended.to_string());
        let command = Command { words: scene.words(line), code: 0, error: "" };
        assert_eq!(scene.attack(&name, hostile, &command), ending, "{line} with {hostile:?} for {name}");
    }
}

#[test]
fn every_command_ends_as_the_table_says_where_nothing_is_planted() {
    let scene = Scene::new();
    for command in scene.commands() {
        scene.reset();
        let (code, text) = scene.run(&command.words.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(command.is_usual(code, &text), "{:?}: exit {code}: {text}", command.words);
        scene.clean();
    }
}

#[test]
fn what_would_be_waited_for_or_looked_at_for_ever_is_refused_and_the_error_names_it() {
    let scene = Scene::new();
    let lock = format!("runs/{}/one/1/keeper.lock", scene.held);
    let cases = [
        // Git opens it as well.
        (".gitignore", Hostile::Fifo, "run flow.yaml", 2, ".gitignore is a pipe"),
        (&lock, Hostile::LinkToFile, "up", 1, "keeper.lock is a symbolic link"),
    ];
    for (name, hostile, line, expected, words) in cases {
        scene.reset();
        assert!(scene.plant(name, hostile));
        let (code, text) = scene.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(code, expected, "{line}: {text}");
        assert!(text.contains(words), "{line}: {text}");
    }
}

#[test]
fn a_step_writes_through_no_link_that_was_among_its_artifacts_before_it_began() {
    let scene = Scene::new();
    let place = format!("runs/{}/one/2/artifacts/a", scene.ended);
    let command = Command { words: scene.words("retry ENDED --from one"), code: 0, error: "" };
    for hostile in [Hostile::LinkToFile, Hostile::HardLink] {
        assert_eq!(scene.attack(&place, hostile, &command), Ending::Usual, "{hostile:?}");
        let written = fs::read_to_string(scene.store().join(&place)).expect("the step ran");
        assert_eq!(written, "a\n", "{hostile:?}");
    }
}

#[test]
fn a_store_that_is_a_link_is_refused_and_the_error_names_the_link() {
    let scene = Scene::new();
    for arguments in [&["ls"][..], &["run", "flow.yaml"], &["store", "check"], &["prune"]] {
        scene.reset();
        let (store, moved) = (scene.store(), utf8(&scene.outside).join("x/moved"));
        copy_folder(&store, &moved);
        fs::remove_dir_all(&store).expect("a folder can go");
        symlink(&moved, &store).expect("a link can be made");
        let before = contents(&moved);
        let (code, text) = scene.run(arguments);
        assert_ne!(code, 0, "{arguments:?}: {text}");
        assert!(text.contains("is a symbolic link") && text.contains(".backstay"), "{arguments:?}: {text}");
        assert_eq!(contents(&moved), before, "{arguments:?}");
    }
}

#[test]
fn values_of_events_lead_to_no_option_of_git_and_to_no_file_outside() {
    let scene = Scene::new();
    let outside = utf8(&scene.outside).join("x");
    let values = [
        ("commit", format!("--output={outside}/made")),
        ("commit", "--upload-pack=touch made".to_owned()),
        ("tree", format!("--output={outside}/made")),
        ("folder", format!("{outside}/folder")),
        ("folder", format!("../../../../../../../../..{outside}/folder")),
        ("folder", format!("runs/../..{outside}/folder")),
    ];
    for (number, (field, value)) in values.iter().enumerate() {
        let lines = [
            "diff",
            "restore",
            "show",
            "logs",
            "watch",
            "resume",
            "retry",
            "prune --older 0s",
            "store check",
        ];
        for (_, line) in lines.iter().enumerate().filter(|(index, _)| soak() || (index + number) % 3 == 0) {
            let line = *line;
            scene.reset();
            let database = rusqlite::Connection::open(scene.store().join("log.db")).expect("it opens");
            database.execute_batch("DELETE FROM snapshot").expect("it is written");
            let changed = change(&database, field, value);
            assert!(changed > 0, "{field} is in an event");
            drop(database);
            let before = scene.surroundings();
            let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            match line {
                "diff" | "restore" | "logs" | "show" | "watch" | "retry" => {
                    words.push(scene.ended.to_string())
                }
                "resume" => words.push(scene.held.to_string()),
                _ => {}
            }
            let (code, text) = scene.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(
                (code, text.contains(&format!("event {EVENT_RUNNING} "))),
                (1, true),
                "{words:?} {value}: {text}"
            );
            assert_eq!(scene.surroundings(), before, "{words:?} {value}: {text}");
            assert!(!text.contains(SENTINEL) && !scene.has_read(), "{words:?} {value}: {text}");
            assert!(!scene.world.path().join("made").exists(), "{words:?} {value}: {text}");
        }
    }
}

/// Puts `value` into a field of every event that has it; says how many have.
fn change(database: &rusqlite::Connection, field: &str, value: &str) -> usize {
    let mut statement = database.prepare("SELECT g, payload FROM event").expect("it is read");
    let rows: Vec<(i64, String)> = statement
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("it is read")
        .collect::<Result<_, _>>()
        .expect("rows");
    let mut count = 0;
    for (g, payload) in rows {
        let mut event: serde_json::Value = serde_json::from_str(&payload).expect("JSON");
        if set(&mut event, field, value) {
            count += 1;
            let text = event.to_string();
            database.execute("UPDATE event SET payload = ?1 WHERE g = ?2", (text, g)).expect("it is written");
        }
    }
    count
}

fn set(value: &mut serde_json::Value, field: &str, text: &str) -> bool {
    match value {
        serde_json::Value::Object(fields) => {
            let mut is_set = false;
            for (name, value) in fields {
                // The folder of a workflow file is the user's own, and absolute.
                if name == field && !(field == "folder" && value.as_str().is_some_and(|v| v.starts_with('/')))
                {
                    *value = text.into();
                    is_set = true;
                } else {
                    is_set |= set(value, field, text);
                }
            }
            is_set
        }
        _ => false,
    }
}

#[test]
fn a_manifest_leads_to_nothing_outside_of_the_backup_and_of_the_restored_store() {
    let scene = Scene::new();
    scene.reset();
    let outside = utf8(&scene.outside).join("x");
    let backup = scene.world.path().join("copy");
    let (code, text) = scene.run(&["store", "backup", "copy"]);
    assert_eq!(code, 0, "{text}");
    let manifest = fs::read_to_string(backup.join("manifest.json")).expect("it has one");
    let first = r#""files":["#;
    assert!(manifest.contains(first));
    let file = |path: &str| {
        let digest = backstay_model::Digest::of(format!("{SENTINEL}\n").as_bytes());
        format!(r#"{{"path":"{path}","size_bytes":{},"digest":"{digest}"}},"#, SENTINEL.len() + 1)
    };
    let link = |path: &str, to: &str| format!(r#"{{"path":"{path}","link":"{to}"}},"#);
    let target = scene.world.path().join("restored");
    let up = format!("../../../../../..{outside}");
    for parts in [
        file(&format!("{outside}/file")),
        file(&format!("{up}/file")),
        file("runs/../../x"),
        link(&format!("{up}/made"), "x"),
        link("a", &format!("{outside}/folder")),
        link("a", "../../x"),
        link("runs/a", "b/../../../x"),
        link("a", "runs") + &file("a/made"),
    ] {
        let hostile = manifest.replace(first, &format!("{first}{parts}"));
        fs::write(backup.join("manifest.json"), hostile).expect("it is written");
        let before = (scene.surroundings(), listing(&backup));
        let (code, text) = scene.run(&["--store", target.as_str(), "store", "restore", "copy"]);
        assert_ne!(code, 0, "{parts}: {text}");
        assert_eq!((scene.surroundings(), listing(&backup)), before, "{parts}: {text}");
        assert!(!target.exists(), "{parts}: {text}");
    }
    fs::write(backup.join("manifest.json"), &manifest).expect("it is written");
    for name in
        ["log.db".to_owned(), "manifest.json".to_owned(), format!("runs/{}/one/1/stdout", scene.ended)]
    {
        for to in ["file", "fifo", "/dev/zero"] {
            let kept = fs::read(backup.join(&name)).expect("it is there");
            fs::remove_file(backup.join(&name)).expect("it can go");
            symlink(outside.join(to), backup.join(&name)).expect("a link can be made");
            let before = scene.surroundings();
            let (code, text) = scene.run(&["--store", target.as_str(), "store", "restore", "copy"]);
            assert_ne!(code, 0, "{name} {to}: {text}");
            assert_eq!(scene.surroundings(), before, "{name} {to}: {text}");
            assert!(!target.exists(), "{name} {to}: {text}");
            fs::remove_file(backup.join(&name)).expect("it can go");
            fs::write(backup.join(&name), kept).expect("it is written");
        }
    }
    let (code, text) = scene.run(&["--store", target.as_str(), "store", "restore", "copy"]);
    assert_eq!(code, 0, "as it was, it is restored: {text}");
}

#[test]
fn a_workflow_whose_prompt_is_a_fifo_or_a_device_is_refused_and_not_waited_for() {
    let scene = Scene::new();
    scene.reset();
    let agent = "  - {id: one, agent: codex, prompt_file: prompt.md}\n";
    scene.world.write("agent.yaml", &format!("backstay: 1\nname: a\nsteps:\n{agent}"));
    let prompt = scene.world.path().join("prompt.md");
    for to in ["/dev/zero".into(), utf8(&scene.outside).join("x/fifo")] {
        symlink(&to, &prompt).expect("a link can be made");
        let (code, text) = scene.run(&["check", "agent.yaml"]);
        assert!(code != 0 && text.contains("not a regular file"), "{to}: {code} {text}");
        fs::remove_file(&prompt).expect("it can go");
    }
}
