//! Where a command works: the environment, the store, and the runs that are meant.

use std::collections::BTreeMap;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;

use backstay_exec::Umask;
use backstay_files::Dir;
use backstay_log::maintenance::refuse_damage;
use backstay_log::{InspectError, TopicFilter};
use backstay_model::event::Actor;
use backstay_model::{RunId, Timestamp};
use backstay_runtime::{
    CHECKOUT_RUN, Clock, OpenStore, ReadSource, Registry, RunRow, STORE_FOLDER, Store, StoreOpenError,
    SystemClock, check_private, find_store, other_things,
};
use camino::{Utf8Path, Utf8PathBuf};

use crate::args::Arguments;
use crate::configuration::{Configuration, TrustedConfiguration};
use crate::error::CliError;
use crate::foreground::EFFECT;
use crate::output;
use crate::ui::{Style, Times};

/// The name of the newest run.
const LAST: &str = "@last";
/// The log in a store's folder (docs/formats.md).
pub(crate) const LOG_FILE: &str = "log.db";
/// What is held by everybody who has a store open (docs/formats.md).
const STORE_LOCK: &str = "store.lock";
/// The variable that says what `--adopt` says.
pub(crate) const ADOPT: &str = "BACKSTAY_ADOPT";
/// Open files that a store and one step take, and some to spare.
const FILES_MIN: u64 = 64;
/// Columns where nothing tells how wide the screen is.
const COLUMNS_DEFAULT: u16 = 100;
/// Candidates that an ambiguous id names at most.
const CANDIDATES_MAX: usize = 6;

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Context {
    /// The variables whose names and values are UTF-8.
    pub(crate) env: BTreeMap<String, String>,
    /// The working folder.
    pub(crate) cwd: Utf8PathBuf,
    /// How results look.
    pub(crate) style: Style,
    /// Whether stderr is a screen that can be redrawn.
    pub(crate) is_live: bool,
    /// Whether the terminal may ring, unless the store's configuration forbids it.
    pub(crate) rings: bool,
    /// Whether a store that is not known to be this user's is adopted on the way.
    pub(crate) adopts: bool,
    /// The umask of whoever called: that of what is started.
    pub(crate) umask: Umask,
    store: Option<Utf8PathBuf>,
    /// The run that was chosen because none was named.
    left_out: OnceLock<Candidate>,
}

/// Whether the environment wants colours where there may be some.
pub(crate) fn wants_color() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

impl Context {
    /// Reads the environment; nothing else does but [`wants_color`].
    pub(crate) fn new(arguments: &Arguments) -> Result<Context, CliError> {
        refuse_few_files()?;
        let env: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let cwd = utf8(std::env::current_dir().map_err(CliError::Folder)?)?;
        let named = arguments.store.clone().or_else(|| env.get("BACKSTAY_STORE").map(Utf8PathBuf::from));
        let is_screen = crate::output::stdout().is_terminal();
        Ok(Context {
            style: Style { color: wants_color() && is_screen },
            is_live: is_screen && env.get("TERM").is_none_or(|term| term != "dumb"),
            rings: arguments.command.rings(),
            umask: backstay_exec::open_umask(),
            store: named.filter(|folder| !folder.as_str().is_empty()).map(|folder| cwd.join(folder)),
            adopts: arguments.adopt || env.get(ADOPT).is_some_and(|value| value == "1"),
            cwd,
            env,
            left_out: OnceLock::new(),
        })
    }

    /// The store's folder, if there is one.
    pub(crate) fn store_folder(&self) -> Option<Utf8PathBuf> {
        self.store.clone().or_else(|| find_store(&self.cwd))
    }

    /// The store, which has to be there.
    pub(crate) async fn store(&self) -> Result<Store, CliError> {
        let folder = self.store_folder().ok_or_else(|| CliError::NoStore { from: self.cwd.clone() })?;
        Ok(self.opening(&folder).await?)
    }

    /// The store for a command that only reads; why nothing else could be done with it is said.
    pub(crate) async fn store_to_read(&self) -> Result<Store, CliError> {
        let folder = self.store_folder().ok_or_else(|| CliError::NoStore { from: self.cwd.clone() })?;
        let store = self.opening(&folder).or_read_only().await?;
        if let Some(read_only) = store.read_only() {
            output::note(&read_only.describe());
        }
        Ok(store)
    }

    /// Where the store in `folder` is looked at by what changes nothing in it; why not in its own folder is said.
    pub(crate) async fn read_source(&self, folder: &Utf8Path) -> Result<ReadSource, CliError> {
        let (source, reason) = self.opening(folder).read_source().await?;
        if let Some(reason) = reason {
            output::note(&reason.describe(source.folder()));
        }
        Ok(source)
    }

    /// Refuses the store in `folder` if it is not this user's, for what changes it without opening it.
    pub(crate) async fn check_adopted(&self, folder: &Utf8Path) -> Result<(), CliError> {
        use backstay_runtime::ReadOnlyReason;
        match self.opening(folder).read_source().await?.1 {
            Some(ReadOnlyReason::NotAdopted(standing)) => {
                Err(StoreOpenError::NotAdopted { folder: folder.to_owned(), standing }.into())
            }
            Some(ReadOnlyReason::NoRegistry { .. }) => Err(CliError::Registry(match self.registry().all() {
                Err(error) => error,
                // It came back a moment ago.
                Ok(_) => return Ok(()),
            })),
            Some(ReadOnlyReason::NotWritable) | None => Ok(()),
        }
    }

    /// Begins to open the store in `folder`.
    pub(crate) fn opening(&self, folder: &Utf8Path) -> OpenStore {
        let opening = Store::open(folder, &self.registry());
        if self.adopts { opening.adopt() } else { opening }
    }

    /// The user's registry of stores.
    pub(crate) fn registry(&self) -> Registry {
        Registry::of_environment(&self.env)
    }

    /// The stores that this user made or adopted and that are there, in order of path.
    pub(crate) fn known_stores(&self) -> Result<Vec<Utf8PathBuf>, CliError> {
        let mut folders: Vec<Utf8PathBuf> =
            self.registry().all()?.into_iter().map(|entry| entry.path).collect();
        folders.retain(|folder| folder.join(LOG_FILE).is_file());
        folders.dedup();
        Ok(folders)
    }

    /// The store; one is made if there is none.
    pub(crate) async fn store_or_new(&self) -> Result<Store, CliError> {
        let folder = self.store_folder().unwrap_or_else(|| self.cwd.join(STORE_FOLDER));
        self.refuse_foreign(&folder)?;
        // What is asked for there would find nobody to own it.
        self.configuration(&folder)?.trusted()?;
        let store = self.opening(&folder).create().await?;
        ignore_in_git(&folder)?;
        Ok(store)
    }

    /// Refuses to make a store of a folder with other things in it, and one that is not this user's alone.
    pub(crate) fn refuse_foreign(&self, folder: &Utf8Path) -> Result<(), CliError> {
        check_private(folder).map_err(StoreOpenError::from)?;
        if !folder.is_dir() {
            return Ok(());
        }
        if folder.join(LOG_FILE).exists() {
            return Ok(());
        }
        if folder.join(STORE_LOCK).exists() {
            // It was a store, and its database is gone: that says more than what else is in it.
            refuse_damage(folder.as_std_path()).map_err(InspectError::from).map_err(StoreOpenError::from)?;
        }
        match other_things(folder).map_err(StoreOpenError::from)? {
            Some(name) => Err(StoreOpenError::OtherThings { folder: folder.to_owned(), name }.into()),
            None => Ok(()),
        }
    }

    /// The user's own configuration, and that in the folder `store`.
    pub(crate) fn configuration(&self, store: &Utf8Path) -> Result<Configuration, CliError> {
        // What somebody else configured counts for nothing here.
        check_private(store).map_err(StoreOpenError::from)?;
        Configuration::read(&self.env, &self.cwd, store)
    }

    /// The same where the store is, or would be made.
    pub(crate) fn configuration_here(&self) -> Result<Configuration, CliError> {
        self.configuration(&self.store_or_its_place())
    }

    /// The store's folder, or where it would be made.
    pub(crate) fn store_or_its_place(&self) -> Utf8PathBuf {
        self.store_folder().unwrap_or_else(|| self.cwd.join(STORE_FOLDER))
    }

    /// What work in `store` goes by.
    ///
    /// # Errors
    /// [`CliError::UntrustedConfiguration`], before anything is said to a run.
    pub(crate) fn trusted(&self, store: &Store) -> Result<TrustedConfiguration, CliError> {
        let trusted = self.configuration(store.folder())?.trusted()?;
        // What runs pin of these may be started; other presets came with the store.
        store.note_presets(trusted.presets())?;
        Ok(trusted)
    }

    /// Who this command speaks for.
    pub(crate) fn actor(&self) -> Actor {
        let name = self.env.get("USER").filter(|name| !name.is_empty());
        Actor { name: name.map_or("somebody", String::as_str).to_owned(), via: "command line".to_owned() }
    }

    /// The run that holds the checkout for this command, if a step of it calls.
    pub(crate) fn holder(&self) -> Option<RunId> {
        self.env.get(CHECKOUT_RUN).and_then(|run| run.parse().ok())
    }

    /// Columns of the screen.
    pub(crate) fn columns(&self) -> usize {
        let asked = if self.is_live {
            crossterm::terminal::size().ok().map(|(columns, _rows)| columns)
        } else {
            None
        };
        let named = self.env.get("COLUMNS").and_then(|text| text.parse().ok());
        usize::from(asked.filter(|columns| *columns > 0).or(named).unwrap_or(COLUMNS_DEFAULT)).max(40)
    }

    /// Columns that a line may take: in a pipe nothing is cut that somebody may want whole.
    pub(crate) fn room(&self) -> usize {
        if self.is_live { self.columns() } else { usize::MAX }
    }

    /// How times are shown now.
    pub(crate) fn times(&self) -> Times {
        Times::local(self.now())
    }

    /// The time zone that the user named, if there is none of this name. A step's own calls do not say it again.
    pub(crate) fn unknown_zone(&self) -> Option<&str> {
        let named = self.env.get("TZ").filter(|zone| !zone.is_empty() && !self.env.contains_key(EFFECT))?;
        (!Times::knows_zone()).then_some(named.as_str())
    }

    /// The wall clock.
    pub(crate) fn now(&self) -> Timestamp {
        SystemClock.wall()
    }

    /// The run that `text` means; without one the only active run, else the newest.
    pub(crate) async fn run<'t>(
        &self,
        store: &Store,
        text: impl Into<Option<&'t str>>,
    ) -> Result<RunId, CliError> {
        let text = text.into();
        if let Some(run) = text.and_then(|text| text.parse().ok()) {
            return Ok(run);
        }
        let runs: Vec<Candidate> =
            store.runs(TopicFilter::default()).await?.into_iter().map(Candidate::from).collect();
        if let Some(text) = text {
            return find_run(&runs, text);
        }
        let chosen = chosen(&runs.iter().collect::<Vec<_>>()).ok_or(CliError::NoRuns)?;
        // A command names one run, so that there is one choice to tell of.
        self.left_out.get_or_init(|| chosen.clone());
        Ok(chosen.run)
    }

    /// The run that was chosen because none was named, for an error about it.
    pub(crate) fn chosen_run(&self) -> Option<String> {
        let Candidate { run, workflow, is_active } = self.left_out.get()?;
        let why = if *is_active { "the only active run" } else { "the newest run" };
        Some(format!("no RUN was given, so {run} (`{workflow}`) was meant: {why}"))
    }
}

/// A run that a text may mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    run: RunId,
    workflow: String,
    is_active: bool,
}

impl From<RunRow> for Candidate {
    fn from(row: RunRow) -> Candidate {
        let is_active = !row.summary.status.is_ended();
        Candidate { run: row.run, workflow: row.summary.workflow, is_active }
    }
}

/// The only active run of `runs` (the newest first), else the newest.
fn chosen<'r>(runs: &[&'r Candidate]) -> Option<&'r Candidate> {
    let mut active = runs.iter().filter(|run| run.is_active);
    match (active.next(), active.next()) {
        (Some(only), None) => Some(only),
        _ => runs.first().copied(),
    }
}

/// Refuses to begin with fewer open files than a store and one step take: a limit that is met in the middle would leave work
/// that nobody can follow.
fn refuse_few_files() -> Result<(), CliError> {
    match rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        Some(allowed) if allowed < FILES_MIN => Err(CliError::TooFewFiles { allowed, needed: FILES_MIN }),
        _ => Ok(()),
    }
}

/// The one of `runs` (the newest first, as the log lists them) that `text` means. Their ids do not tell which is the newest:
/// they begin with the time of a wall clock, which may have gone back.
pub(crate) fn find_run(runs: &[Candidate], text: &str) -> Result<RunId, CliError> {
    if text == LAST {
        return runs.first().map(|newest| newest.run).ok_or(CliError::NoRuns);
    }
    let wanted = text.strip_prefix(RunId::PREFIX).unwrap_or(text).to_ascii_uppercase();
    let has_prefix = |run: &&Candidate| !text.is_empty() && run.run.ulid().starts_with(&wanted);
    let found: Vec<RunId> = runs.iter().filter(has_prefix).map(|run| run.run).collect();
    match found[..] {
        [] => {
            let named: Vec<&Candidate> = runs.iter().filter(|run| run.workflow == text).collect();
            chosen(&named).map(|run| run.run).ok_or_else(|| CliError::UnknownRun { text: text.to_owned() })
        }
        [run] => Ok(run),
        [..] => Err(CliError::AmbiguousRun {
            text: text.to_owned(),
            candidates: found.iter().take(CANDIDATES_MAX).map(ToString::to_string).collect(),
        }),
    }
}

/// A path as text.
pub(crate) fn utf8(path: std::path::PathBuf) -> Result<Utf8PathBuf, CliError> {
    Utf8PathBuf::from_path_buf(path)
        .map_err(|path| CliError::PathName { path: path.to_string_lossy().into_owned() })
}

/// The whole text of a file.
pub(crate) fn read_text(path: &Utf8Path) -> Result<String, CliError> {
    let bytes = std::fs::read(path).map_err(|source| CliError::ReadFile { path: path.to_owned(), source })?;
    text_of(path, bytes)
}

/// The text that `bytes` of `path` are.
pub(crate) fn text_of(path: &Utf8Path, bytes: Vec<u8>) -> Result<String, CliError> {
    String::from_utf8(bytes).map_err(|odd| {
        let before = &odd.as_bytes()[..odd.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let byte = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
        CliError::NotUtf8 { path: path.to_owned(), byte, line }
    })
}

/// Writes a new file, whole or not at all.
pub(crate) fn write_new(path: &Utf8Path, text: &str) -> Result<(), CliError> {
    let failed = |source: std::io::Error| match source.kind() {
        ErrorKind::AlreadyExists => CliError::FileExists { path: path.to_owned() },
        _ => CliError::WriteFile { path: path.to_owned(), source },
    };
    let mut file = std::fs::File::create_new(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(|error| {
        // Half a file would be in the way of the next try.
        match std::fs::remove_file(path) {
            Ok(()) => failed(error),
            Err(also) => failed(std::io::Error::other(format!("{error}; half of it stays: {also}"))),
        }
    })
}

/// Replaces the text of a file, whole or not at all. A link stays one, and the file keeps its mode.
pub(crate) fn replace_text(path: &Utf8Path, text: &str) -> Result<(), CliError> {
    let failed = |source: std::io::Error| CliError::WriteFile { path: path.to_owned(), source };
    let target = path.canonicalize_utf8().map_err(failed)?;
    let folder = target.parent().unwrap_or(&target);
    let mode = std::fs::metadata(&target).map_err(failed)?.permissions();
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().set_permissions(mode).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&target).map_err(|error| failed(error.error))?;
    Ok(())
}

/// A store is not for version control: it says so itself.
pub(crate) fn ignore_in_git(folder: &Utf8Path) -> Result<(), CliError> {
    let path = folder.join(".gitignore");
    let made = Dir::open_found(folder.as_std_path())
        .and_then(|folder| folder.create_new(".gitignore")?.write_all(b"*\n"));
    match made {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(CliError::WriteFile { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs() -> Vec<Candidate> {
        [
            ("run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8", "fix", false),
            ("run_01JDX7Q2ZK8VQ5T3W9M4N6P7R9", "review", true),
            ("run_01JDX9AAAA8VQ5T3W9M4N6P7R8", "review", false),
        ]
        .map(|(run, workflow, is_active)| Candidate {
            run: run.parse().unwrap(),
            workflow: workflow.to_owned(),
            is_active,
        })
        .to_vec()
    }

    #[test]
    fn a_run_is_found_by_a_unique_prefix_in_any_case_with_or_without_its_kind() {
        let runs = runs();
        for text in ["run_01JDX9", "01jdx9", "01JDX9AAAA8VQ5T3W9M4N6P7R8"] {
            assert_eq!(find_run(&runs, text).unwrap(), runs[2].run, "{text}");
        }
    }

    #[test]
    fn the_last_run_is_the_first_of_the_list_whatever_its_id() {
        let mut runs = runs();
        assert_eq!(find_run(&runs, LAST).unwrap(), runs[0].run);
        runs.reverse();
        assert_eq!(find_run(&runs, LAST).unwrap(), runs[0].run);
    }

    #[test]
    fn a_workflows_name_or_nothing_means_the_only_active_run_else_the_newest() {
        let mut runs = runs();
        assert_eq!(find_run(&runs, "review").unwrap(), runs[1].run, "one is active");
        assert_eq!(find_run(&runs, "fix").unwrap(), runs[0].run);
        assert_eq!(chosen(&runs.iter().collect::<Vec<_>>()), Some(&runs[1]));
        runs[2].is_active = true;
        assert_eq!(find_run(&runs, "review").unwrap(), runs[1].run, "two are active: the newest");
        assert_eq!(chosen(&runs.iter().collect::<Vec<_>>()), Some(&runs[0]), "two are active: the newest");
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn a_prefix_of_two_runs_names_them() {
        let error = find_run(&runs(), "01JDX7").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`01JDX7` is the beginning of 2 runs: run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8, run_01JDX7Q2ZK8VQ5T3W9M4N6P7R9"
        );
    }

    #[test]
    fn what_all_ids_begin_with_is_the_beginning_of_every_run() {
        let error = find_run(&runs(), RunId::PREFIX).unwrap_err();
        assert!(matches!(error, CliError::AmbiguousRun { .. }), "{error}");
        assert!(error.to_string().starts_with("`run_` is the beginning of 3 runs: run_"), "{error}");
        assert!(matches!(find_run(&[], RunId::PREFIX), Err(CliError::UnknownRun { .. })));
    }

    #[test]
    fn a_text_that_names_no_run_is_unknown() {
        for text in ["", "run_X", "nope", "@first"] {
            let error = find_run(&runs(), text).unwrap_err();
            assert!(matches!(error, CliError::UnknownRun { .. }), "{text}: {error}");
        }
        assert!(matches!(find_run(&[], LAST), Err(CliError::NoRuns)));
    }
}
