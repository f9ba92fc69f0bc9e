//! What can be said on the command line.

mod begin;
mod see;
mod steer;
mod store;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand};

pub(crate) use begin::*;
pub(crate) use see::*;
pub(crate) use steer::*;
pub(crate) use store::*;

/// The durable runtime for agents: workflows that survive kill -9.
///
/// Exit codes: 0 completed, 1 failed, 2 bad usage, 3 waits for a person, 4 cancelled or denied, 5 suspended
/// or no room on the disk, 6 owned by another process, 75 left to the background by `q`, 124 `wait --timeout` was over.
#[derive(Debug, Parser)]
#[command(name = "backstay", version, max_term_width = 100, propagate_version = true)]
pub(crate) struct Arguments {
    /// The store to use [default: BACKSTAY_STORE, else .backstay/ at or above the working folder].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) store: Option<Utf8PathBuf>,
    /// Use a store that is not known to be yours [or: BACKSTAY_ADOPT=1].
    ///
    /// It is adopted first, as `store adopt` does; where nothing can be noted (CI, a container), it is used as it is.
    #[arg(long, global = true)]
    pub(crate) adopt: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a first workflow for this repository: an agent works until its tests pass.
    Init(InitArgs),
    /// Run a workflow file and watch it.
    Run(RunArgs),
    /// See in half a minute what survives kill -9, on the history of your own repository; no model is called.
    Demo(DemoArgs),
    /// Let an agent do something, as a workflow of one step; with --until, again and again until a command succeeds.
    Exec(ExecArgs),
    /// List the runs: those that have not ended, and the newest that have.
    Ls(LsArgs),
    /// Show one run: where it stands, why, what next, its steps.
    Show(ShowArgs),
    /// Watch a run live; without RUN, all that have not ended.
    Watch(WatchArgs),
    /// Print what the steps of a run said.
    Logs(LogsArgs),
    /// Print the events of a run.
    Events(EventsArgs),
    /// Tell what agents used, over all runs.
    Usage(UsageArgs),
    /// Let a run come to a stand, so that it can be resumed later.
    Suspend(RunRef),
    /// Go on with a suspended or interrupted run.
    Resume(ResumeArgs),
    /// Stop a run for good; its `finally` still runs.
    Cancel(CancelArgs),
    /// Go on with an ended run: the steps that did not succeed anew, or all from one step on.
    Retry(RetryArgs),
    /// Leave a step out, or give its output yourself.
    Skip(SkipArgs),
    /// Work in the session of a step's agent, on the agent's own screen, while the run stands still.
    Attach(AttachArgs),
    /// Show what a run or one step of it changed in the git checkout.
    Diff(DiffArgs),
    /// Put the git checkout as it was around a step into a new worktree or branch.
    Restore(RestoreArgs),
    /// Free what runs that ended long ago take, and keep their records.
    Prune(PruneArgs),
    /// Remove runs that have ended, with their records.
    Rm(RmArgs),
    /// List the questions that wait for an answer.
    Inbox(JsonFlag),
    /// Answer a question.
    Answer(AnswerArgs),
    /// Ask a person something, from inside a step; prints the answer.
    Ask(AskArgs),
    /// Wait until a run ends, stands still or needs a person.
    Wait(WaitArgs),
    /// Check a workflow file, and mend what can be mended.
    Check(CheckArgs),
    /// Work on every run that is due, until none is left.
    ///
    /// A damaged run does not keep the others from their end; then the error names the damage, and the exit code is 1.
    Up(UpArgs),
    /// Look after the store: what takes its room, whether it is whole, backups, secrets.
    Store(StoreArgs),
    /// Allow what the store's config.toml executes, as it is now; shows it, and asks in a terminal.
    Trust(TrustArgs),
    /// Say whether everything that runs need is there: agents and their logins, programs, the store, its owners and runs.
    Doctor(JsonFlag),
    /// Print the completions for a shell.
    Completions(CompletionsArgs),
    /// Hold one agent.
    #[command(hide = true)]
    Keeper(KeeperArgs),
}

impl Command {
    /// Whether the terminal may ring.
    pub(crate) const fn rings(&self) -> bool {
        let bell = match self {
            Command::Run(args) => args.bell,
            Command::Exec(args) => args.bell,
            Command::Watch(args) => args.bell,
            Command::Resume(args) => args.bell,
            Command::Retry(args) => args.bell,
            _ => return true,
        };
        !bell.no_bell
    }
}

/// `--json` alone.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct JsonFlag {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `--no-bell` of what shows a run on a terminal.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct BellFlag {
    /// Do not ring the terminal when a run needs somebody or ends.
    #[arg(long)]
    pub(crate) no_bell: bool,
}

/// One run.
#[derive(Debug, Args)]
pub(crate) struct RunRef {
    /// The run: its id, a unique prefix of it, its workflow's name, or @last [default: the only active run, else the newest].
    pub(crate) run: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `up`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct UpArgs {
    /// Only this run, until it rests; outlives the terminal it was started from.
    #[arg(long, hide = true)]
    pub(crate) run: Option<backstay_model::RunId>,
}

/// `completions`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// `keeper`.
#[derive(Debug, Args)]
pub(crate) struct KeeperArgs {
    /// The folder of the attempt.
    #[arg(long)]
    pub(crate) folder: Utf8PathBuf,
}
