//! What can go wrong on the command line, each with a code and the way out.

use backstay_exec::SpoolError;
use backstay_log::{CursorError, InspectError, ReadError};
use backstay_model::event::Verdict;
use backstay_model::{Code, Coded, InvalidPayload};
use backstay_runtime::care::{BackupError, RestoreError, StoreScrubError};
use backstay_runtime::{
    AttachError, DriveError, FreeError, RegistryError, RunError, SayError, StoreOpenError, TreeError,
};
use backstay_workflow::InputProblem;
use camino::Utf8PathBuf;

/// A command could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// A store takes more open files than this process may have.
    #[error("this process may have {allowed} files open at a time (`ulimit -n`), and needs {needed}")]
    TooFewFiles {
        /// The limit.
        allowed: u64,
        /// What is needed at least.
        needed: u64,
    },
    #[error("there is no store at or above {from}")]
    NoStore { from: Utf8PathBuf },
    #[error("there are no runs in this store")]
    NoRuns,
    #[error("there is no run `{text}` in this store")]
    UnknownRun { text: String },
    #[error("`{text}` is the beginning of {} runs: {}", .candidates.len(), .candidates.join(", "))]
    AmbiguousRun { text: String, candidates: Vec<String> },
    #[error("the workflow has no step `{text}`")]
    UnknownStep { text: String, known: Vec<String> },
    #[error("no step is done by an agent `{name}`")]
    UnusedAgent { name: String, known: Vec<String> },
    #[error("there is no agent `{name}`")]
    UnknownAgent { name: String, known: Vec<String> },
    #[error("`{text}` is no address of a step")]
    AddressForm { text: String },
    #[error(
        "`{text}`: `{step}` is in {}",
        if .loops.is_empty() { "no loop, so it has no cycles".to_owned() } else { format!("fewer loops: {}", .loops.join(", ")) }
    )]
    NoSuchLoop { text: String, step: String, loops: Vec<String> },
    #[error("there is no cycle `{text}` in this run")]
    UnknownCycle { text: String, step: String, known: Vec<u32> },
    #[error("`{text}` is one cycle, and this takes a whole step")]
    CycleNotTaken { text: String, step: String },
    #[error("no tree of {what} is kept{}", .why.as_ref().map_or_else(String::new, |why| format!(": {why}")))]
    NoTree { what: String, why: Option<String> },
    #[error("{what} changed files in several worktrees")]
    SeveralPlaces { what: String },
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error("there is no variable {name}, or it is not UTF-8")]
    NoVariable { name: String },
    #[error("stdin cannot be read")]
    Input(#[source] std::io::Error),
    #[error(transparent)]
    Look(#[from] InspectError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    RestoreStore(#[from] RestoreError),
    #[error(transparent)]
    Scrub(#[from] StoreScrubError),
    #[error("no open question is or belongs to `{text}`")]
    UnknownQuestion { text: String },
    #[error("the test command `{command}` cannot be run here: {why}")]
    TestNotRun { command: String, why: String },
    #[error("no question waits for an answer")]
    NoQuestion,
    #[error("the prompt for `{agent}` is empty")]
    EmptyPrompt { agent: String },
    #[error("`{question}` names a question or a run, and no answer is given")]
    NoAnswer { question: String },
    #[error("{} questions are open: {}", .questions.len(), .questions.join(", "))]
    SeveralQuestions { questions: Vec<String> },
    #[error("not done: {consequence}")]
    NotAgreed { consequence: String, command: String },
    #[error("{run} has {} open questions: {}", .questions.len(), .questions.join(", "))]
    ManyQuestions { run: String, questions: Vec<String> },
    #[error("{file} has {errors} {}", if *.errors == 1 { "mistake" } else { "mistakes" })]
    Workflow { file: String, errors: usize },
    #[error("{file} has {errors} {}", if *.errors == 1 { "mistake" } else { "mistakes" })]
    Mistakes { file: String, errors: usize },
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Inputs(Vec<InputProblem>),
    #[error("`{text}` is not an input of the form NAME=VALUE")]
    InputForm { text: String },
    #[error("{path} is not a JSON object")]
    InputsFile { path: Utf8PathBuf, source: serde_json::Error },
    #[error("`{text}` is not JSON")]
    NotJson { text: String, source: InvalidPayload },
    #[error("`{text}` is not an agent of the form NAME=OTHER or NAME='cmd: …'")]
    AgentForm { text: String },
    #[error("`{text}` is not a duration with a unit, such as 90s, 20m or 2h30m")]
    DurationForm { text: String },
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("this is no step of a run")]
    NotInAStep,
    #[error(
        "no question can be asked from here: this process may not write to the store {folder}, as in an agent's sandbox"
    )]
    CannotAskHere { folder: Utf8PathBuf },
    #[error("the default `{default}` is none of the options: {}", .options.join(", "))]
    DefaultNotAnOption { default: String, options: Vec<String> },
    #[error("the step's time cannot be held")]
    Pause(#[source] std::io::Error),
    #[error("{path}:{line}: {message}")]
    Configuration { path: Utf8PathBuf, line: usize, message: String, meant: Option<String> },
    #[error("{path} says how agents are started or what they may do, and you have not allowed it: {}", first_of(.settings))]
    UntrustedConfiguration { path: Utf8PathBuf, settings: Vec<String> },
    #[error("there is no {path}")]
    NoConfiguration { path: Utf8PathBuf },
    #[error("a step of a run cannot allow a configuration")]
    TrustInAStep,
    #[error("{path} is not yours, or others can write it")]
    OthersWrite { path: Utf8PathBuf },
    #[error("there is no folder to remember it in: neither XDG_STATE_HOME nor HOME is an absolute path")]
    NoStateFolder,
    #[error("`{text}` is not a size, such as 500M or 5G")]
    SizeForm { text: String },
    #[error(transparent)]
    Cursor(#[from] CursorError),
    #[error("{path} cannot be read")]
    ReadFile { path: Utf8PathBuf, source: std::io::Error },
    #[error("{path} is no text in UTF-8: byte {byte} of line {line} begins no character")]
    NotUtf8 { path: Utf8PathBuf, byte: usize, line: usize },
    #[error("{path} is there already, and is not written over")]
    FileExists { path: Utf8PathBuf },
    #[error("{path} cannot be written")]
    WriteFile { path: Utf8PathBuf, source: std::io::Error },
    #[error("the path {path} is not UTF-8")]
    PathName { path: String },
    #[error("the working folder cannot be told")]
    Folder(#[source] std::io::Error),
    #[error("the path of this program cannot be told")]
    Program(#[source] std::io::Error),
    #[error("the pager `{command}` cannot be used")]
    Pager { command: String, source: std::io::Error },
    #[error("the asynchronous runtime cannot start")]
    AsyncRuntime(#[source] std::io::Error),
    #[error("signals cannot be listened for")]
    Signals(#[source] std::io::Error),
    #[error("a thread died")]
    Thread(#[from] tokio::task::JoinError),
    #[error(transparent)]
    Store(#[from] StoreOpenError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("an agent's screen needs a terminal")]
    NoTerminal,
    #[error(transparent)]
    Attach(#[from] AttachError),
    #[error(transparent)]
    Free(#[from] FreeError),
    #[error(transparent)]
    Say(#[from] SayError),
    #[error("{}", match .0 { Verdict::Refused { message, .. } => message.clone(), Verdict::Superseded { by } => format!("another input ({by}) was first"), Verdict::Accepted => "accepted".to_owned() })]
    Refused(Verdict),
    #[error(transparent)]
    Log(#[from] ReadError),
    #[error(transparent)]
    Drive(#[from] DriveError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Presets(#[from] backstay_agent::PresetError),
    #[error("the result has no JSON form")]
    Encode(#[from] serde_json::Error),
    #[error("the result cannot be written")]
    Output(#[source] std::io::Error),
    #[error("nobody reads the result any more")]
    OutputClosed,
    #[error("the demo cannot go on: {what}")]
    Demo { what: String },
    #[error("{path} is there, and not made by `backstay demo`")]
    NotOurs { path: Utf8PathBuf },
    #[error("`backstay up` cannot be started")]
    Keep { source: std::io::Error },
}

impl Coded for CliError {
    fn code(&self) -> Code {
        match self {
            CliError::NoStore { .. } => Code("BKS-C001"),
            CliError::NoRuns => Code("BKS-C002"),
            CliError::UnknownRun { .. } => Code("BKS-C003"),
            CliError::AmbiguousRun { .. } => Code("BKS-C004"),
            CliError::UnknownStep { .. } => Code("BKS-C005"),
            CliError::UnusedAgent { .. } => Code("BKS-C027"),
            CliError::UnknownAgent { .. } => Code("BKS-C037"),
            CliError::AddressForm { .. } | CliError::NoSuchLoop { .. } => Code("BKS-C062"),
            CliError::UnknownCycle { .. } => Code("BKS-C063"),
            CliError::CycleNotTaken { .. } => Code("BKS-C064"),
            CliError::NoTree { .. } => Code("BKS-C026"),
            CliError::SeveralPlaces { .. } => Code("BKS-C060"),
            CliError::Tree(error) => error.code(),
            CliError::NoVariable { .. } => Code("BKS-C028"),
            CliError::Input(_) => Code("BKS-C029"),
            CliError::Look(error) => error.code(),
            CliError::Backup(error) => error.code(),
            CliError::RestoreStore(error) => error.code(),
            CliError::Scrub(error) => error.code(),
            CliError::UnknownQuestion { .. } => Code("BKS-C006"),
            CliError::ManyQuestions { .. } | CliError::SeveralQuestions { .. } => Code("BKS-C007"),
            CliError::TestNotRun { .. } => Code("BKS-C083"),
            CliError::NoQuestion => Code("BKS-C080"),
            CliError::NoAnswer { .. } => Code("BKS-C081"),
            CliError::EmptyPrompt { .. } => Code("BKS-C086"),
            CliError::NotAgreed { .. } => Code("BKS-C082"),
            CliError::Workflow { .. } | CliError::Mistakes { .. } => Code("BKS-C008"),
            CliError::Inputs(problems) => problems.first().map_or(Code("BKS-C009"), Coded::code),
            CliError::InputForm { .. } => Code("BKS-C010"),
            CliError::InputsFile { .. } => Code("BKS-C011"),
            CliError::NotJson { .. } => Code("BKS-C012"),
            CliError::AgentForm { .. } => Code("BKS-C013"),
            CliError::DurationForm { .. } => Code("BKS-C014"),
            CliError::NotInAStep => Code("BKS-C030"),
            CliError::CannotAskHere { .. } => Code("BKS-C085"),
            CliError::DefaultNotAnOption { .. } => Code("BKS-C035"),
            CliError::FileExists { .. } => Code("BKS-C036"),
            CliError::Registry(error) => error.code(),
            CliError::Pause(_) => Code("BKS-C031"),
            CliError::SizeForm { .. } => Code("BKS-C033"),
            CliError::Configuration { .. } => Code("BKS-C034"),
            CliError::UntrustedConfiguration { .. } => Code("BKS-C070"),
            CliError::NoConfiguration { .. } => Code("BKS-C071"),
            CliError::TrustInAStep => Code("BKS-C072"),
            CliError::OthersWrite { .. } => Code("BKS-C073"),
            CliError::NoStateFolder => Code("BKS-C074"),
            CliError::Demo { .. } => Code("BKS-C040"),
            CliError::NotOurs { .. } => Code("BKS-C041"),
            CliError::TooFewFiles { .. } => Code("BKS-C042"),
            CliError::Cursor(_) => Code("BKS-C015"),
            CliError::ReadFile { .. } => Code("BKS-C016"),
            CliError::NotUtf8 { .. } => Code("BKS-C024"),
            CliError::WriteFile { .. } => Code("BKS-C017"),
            CliError::PathName { .. } => Code("BKS-C018"),
            CliError::Folder(_) => Code("BKS-C019"),
            CliError::Program(_) => Code("BKS-C020"),
            CliError::Pager { .. } => Code("BKS-C084"),
            CliError::AsyncRuntime(_) | CliError::Signals(_) | CliError::Thread(_) => Code("BKS-C021"),
            CliError::Refused(_) => Code("BKS-R006"),
            CliError::Encode(_) | CliError::Output(_) | CliError::OutputClosed => Code("BKS-C022"),
            CliError::Keep { .. } => Code("BKS-C023"),
            CliError::Presets(error) => error.code(),
            CliError::Store(error) => error.code(),
            CliError::Run(error) => error.code(),
            CliError::NoTerminal => Code("BKS-C061"),
            CliError::Attach(error) => error.code(),
            CliError::Free(error) => error.code(),
            CliError::Say(error) => error.code(),
            CliError::Log(error) => error.code(),
            CliError::Drive(error) => error.code(),
            CliError::Spool(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            CliError::NoStore { .. } => Some(
                "`backstay run FILE` makes one in the working folder; `--store DIR` or BACKSTAY_STORE names another"
                    .to_owned(),
            ),
            CliError::NoRuns => Some("`backstay run FILE` starts one".to_owned()),
            CliError::UnknownRun { .. } => Some("`backstay ls --all` shows the runs of this store".to_owned()),
            CliError::AmbiguousRun { .. } => Some("write more of it, or `@last` for the newest".to_owned()),
            CliError::UnknownStep { known, .. } => Some(format!("it has {}", known.join(", "))),
            CliError::UnusedAgent { known, .. } if known.is_empty() => Some("no step of it has an agent".to_owned()),
            CliError::UnusedAgent { known, .. } => Some(format!("its steps have {}", known.join(", "))),
            CliError::UnknownAgent { known, .. } => {
                Some(format!("there are {}, and those under `[agents.NAME]` in the configuration", known.join(", ")))
            }
            CliError::AddressForm { .. } => {
                Some("write a step, `code`, or a cycle of one in a loop, `code~2`".to_owned())
            }
            CliError::NoSuchLoop { step, loops, .. } => Some(match loops.len() {
                0 => format!("write `{step}`"),
                1 => format!("write `{step}` or `{step}~2`"),
                count => format!("write `{step}`, or up to {count} numbers: the cycles of {}", loops.join(", then ")),
            }),
            CliError::UnknownCycle { step, known, .. } => Some(match known[..] {
                [] => format!("`{step}` has not begun in any"),
                [only] => format!("there is `{step}~{only}`"),
                [first, .., last] => format!("there are `{step}~{first}` to `{step}~{last}`"),
            }),
            CliError::CycleNotTaken { step, .. } => Some(format!("write `{step}`")),
            CliError::NoTree { .. } => Some(
                "trees are kept of steps that ran in a git checkout, once they began, until they are pruned".to_owned(),
            ),
            CliError::SeveralPlaces { .. } => Some("name one step".to_owned()),
            CliError::Tree(error) => error.hint(),
            CliError::Pager { .. } => Some("`GIT_PAGER=cat backstay diff` shows it without one".to_owned()),
            CliError::NoVariable { .. } => Some("export it, or give the value on stdin".to_owned()),
            CliError::Input(_) => Some("give a text in UTF-8".to_owned()),
            CliError::Look(error) => error.hint(),
            CliError::Backup(error) => error.hint(),
            CliError::RestoreStore(error) => error.hint(),
            CliError::Scrub(error) => error.hint(),
            CliError::UnknownQuestion { .. } => Some("`backstay inbox` shows what waits for an answer".to_owned()),
            CliError::SeveralQuestions { .. } => Some("name one of them: `backstay answer QUESTION ANSWER`".to_owned()),
            CliError::TestNotRun { .. } => {
                Some("nothing was written; `--test COMMAND` names another, `--no-try` writes this one".to_owned())
            }
            CliError::NoQuestion => Some("`backstay ls` shows what the runs do".to_owned()),
            CliError::EmptyPrompt { agent } => {
                Some(format!("say what it is to do:  backstay exec {agent:?} \"Fix the failing test.\""))
            }
            CliError::NoAnswer { question } => Some(format!("`backstay answer {question} ANSWER`")),
            CliError::NotAgreed { command, .. } => Some(format!("{command} does it without asking")),
            CliError::ManyQuestions { .. } => Some("name the question instead of the run".to_owned()),
            CliError::Workflow { .. } => {
                Some("nothing was started; `backstay check FILE` shows the mistakes again".to_owned())
            }
            CliError::Inputs(problems) => {
                let hints: Vec<String> = problems.iter().filter_map(Coded::hint).collect();
                (!hints.is_empty()).then(|| hints.join("; "))
            }
            CliError::InputForm { .. } => {
                Some("`--input name=value`, `--input name=@file`, or `--input name=-` for stdin".to_owned())
            }
            CliError::InputsFile { .. } => Some("give {\"name\": value, …}".to_owned()),
            CliError::NotJson { .. } => Some("a text needs quotes in JSON: '\"text\"'".to_owned()),
            CliError::AgentForm { .. } => {
                Some("for example `--agent reviewer=claude`, or `--agent reviewer='cmd: ./mine --x'`".to_owned())
            }
            CliError::Configuration { meant: Some(meant), .. } => Some(meant.clone()),
            CliError::Configuration { .. } => {
                Some("`[retention]` has `older = \"30d\"` and `max_size = \"5G\"`, `[notify]` has `command = [\"notify-send\", \"Backstay\"]`".to_owned())
            }
            CliError::UntrustedConfiguration { .. } => Some(
                "`backstay trust --show` prints it, `backstay trust` allows it as it is now; your own agents belong into ~/.config/backstay/config.toml"
                    .to_owned(),
            ),
            CliError::NoConfiguration { .. } => {
                Some("`backstay trust` is for the config.toml of a store; your own, ~/.config/backstay/config.toml, always counts".to_owned())
            }
            CliError::TrustInAStep => Some("call `backstay trust` outside of the run".to_owned()),
            CliError::OthersWrite { path } => Some(format!("`chmod go-w {path}`, if what is in it is yours")),
            CliError::NoStateFolder => Some("set XDG_STATE_HOME to a folder of yours".to_owned()),
            CliError::NotInAStep => Some(
                "`backstay ask` is for scripts and agents that a run started: BACKSTAY_EFFECT names their work".to_owned(),
            ),
            CliError::CannotAskHere { folder } => Some(format!(
                "an agent ends its turn with the question as its answer; or whoever wrote the workflow gives the step `access: full`, \
                 or lets Codex write there: `access: write` with `args: [-c, 'sandbox_workspace_write.writable_roots=[\"{folder}\"]']`"
            )),
            CliError::DefaultNotAnOption { .. } => {
                Some("`--options a,b --default a`: the default is one of the answers".to_owned())
            }
            // They stand above, each with its own hint.
            CliError::Mistakes { .. } => None,
            CliError::Pause(_) | CliError::DurationForm { .. } | CliError::SizeForm { .. } | CliError::Folder(_) => None,
            CliError::Cursor(_) => Some("`--after` takes a number or a cursor as this command printed it".to_owned()),
            CliError::NotUtf8 { .. } => {
                Some("`iconv -f ENCODING -t UTF-8` converts a text of another encoding (`UTF-16` if it begins with the bytes FF FE or FE FF); bytes that are no text stay in a file".to_owned())
            }
            CliError::PathName { .. } => Some("rename it, or call this in a folder whose path is UTF-8".to_owned()),
            CliError::FileExists { .. } => Some("name a new file, or move that one away".to_owned()),
            CliError::ReadFile { .. } | CliError::WriteFile { .. } => {
                Some("check the path and its permissions".to_owned())
            }
            CliError::Refused(_) => Some("`backstay show RUN` says where the run stands".to_owned()),
            CliError::Keep { .. } => {
                Some("the run is safe: `backstay resume RUN` works on it in the foreground".to_owned())
            }
            CliError::NotOurs { .. } => Some("`--out DIR` names another folder for the reports".to_owned()),
            CliError::TooFewFiles { .. } => {
                Some("say `ulimit -n 1024` in this shell, then the command again".to_owned())
            }
            CliError::Demo { .. }
            | CliError::Program(_)
            | CliError::AsyncRuntime(_)
            | CliError::Signals(_)
            | CliError::Thread(_)
            | CliError::Encode(_)
            | CliError::Output(_)
            | CliError::OutputClosed => None,
            CliError::Presets(error) => error.hint(),
            CliError::Store(error) => error.hint(),
            CliError::Registry(error) => error.hint(),
            CliError::Run(error) => error.hint(),
            CliError::NoTerminal => Some("call it in a terminal, without a pipe".to_owned()),
            CliError::Attach(error) => error.hint(),
            CliError::Free(error) => error.hint(),
            CliError::Say(error) => error.hint(),
            CliError::Log(error) => error.hint(),
            CliError::Drive(error) => error.hint(),
            CliError::Spool(error) => error.hint(),
        }
    }
}

/// The first few of many names.
fn first_of(names: &[String]) -> String {
    /// As many as fit into a line.
    const SHOWN_MAX: usize = 3;
    let shown = names.iter().take(SHOWN_MAX).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
