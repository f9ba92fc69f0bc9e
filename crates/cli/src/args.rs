//! What can be said on the command line.

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::store_args::StoreArgs;

/// The durable runtime for agents: workflows that survive kill -9.
///
/// Exit codes: 0 completed, 1 failed, 2 bad usage, 3 waits for a person, 4 cancelled or denied, 5 suspended,
/// 6 owned by another process, 75 left to the background by `q`, 124 `wait --timeout` was over.
#[derive(Debug, Parser)]
#[command(name = "backstay", version, max_term_width = 100, propagate_version = true)]
pub(crate) struct Arguments {
    /// The store to use [default: BACKSTAY_STORE, else .backstay/ at or above the working folder].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) store: Option<Utf8PathBuf>,
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
    Up(UpArgs),
    /// Look after the store: what takes its room, whether it is whole, backups, secrets.
    Store(StoreArgs),
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
    /// The run: its id, a unique beginning of it, or @last.
    #[arg(default_value = "@last")]
    pub(crate) run: String,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `init`.
///
/// Nothing is asked: it finds the CLIs of agents and whether you are logged in, and the command that tests this repository.
/// Nothing is written over, and git sees nothing of the store.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The new file.
    #[arg(default_value = "fix.yaml")]
    pub(crate) file: Utf8PathBuf,
    /// The agent that does the work [default: one that is found and logged in].
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Option<String>,
    /// The command that tests [default: what Cargo.toml, package.json, pyproject.toml, go.mod or a Makefile says].
    #[arg(long, value_name = "COMMAND")]
    pub(crate) test: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The workflow file.
    pub(crate) file: Utf8PathBuf,
    /// An input; VALUE may be @FILE, or - for stdin.
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub(crate) input: Vec<String>,
    /// Inputs as a JSON object.
    #[arg(long, value_name = "FILE")]
    pub(crate) inputs: Option<Utf8PathBuf>,
    /// Another agent or preset in an agent's place: NAME=OTHER, or NAME='cmd: PROGRAM ARGUMENT…' with the prompt on stdin.
    #[arg(long, value_name = "NAME=AGENT")]
    pub(crate) agent: Vec<String>,
    /// Leave it to a process in the background and print the run's id.
    #[arg(long, short)]
    pub(crate) detach: bool,
    /// Print the plan and run nothing.
    #[arg(long, conflicts_with = "detach")]
    pub(crate) dry_run: bool,
    /// Print the final record as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) bell: BellFlag,
}

/// `demo`.
///
/// Three analysts (sh, git, awk) read the history of the repository side by side. The process that owns them gets a real
/// SIGKILL, another one finds them again, and the log proves that nothing was lost. Its store is in a temporary folder;
/// what stays are report.md and report.html.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// A folder in a git repository [default: the working folder; a small repository is made where there is none].
    pub(crate) dir: Option<Utf8PathBuf>,
    /// Where report.md and report.html are written [default: the working folder].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<Utf8PathBuf>,
    /// Print the workflow and its scripts, and run nothing.
    #[arg(long)]
    pub(crate) print: bool,
}

/// `exec`.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// The agent: a preset (codex, claude, gemini, opencode, or one of your own), or 'cmd: PROGRAM ARGUMENT…'.
    pub(crate) agent: String,
    /// What it is told; - for stdin.
    pub(crate) prompt: String,
    /// A shell command that tells whether it is done: the agent works in one session until this succeeds.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) until: Option<String>,
    /// How often it works at most.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..), requires = "until")]
    pub(crate) max_cycles: u32,
    /// Three cycles in a row that take less suspend the run.
    #[arg(long, value_name = "TIME", default_value = "10s", requires = "until")]
    pub(crate) min_cycle: String,
    /// What it may use before it is asked about, such as 800k or 4M tokens.
    #[arg(long, value_name = "N")]
    pub(crate) tokens: Option<String>,
    /// Let it work in a new worktree beside the checkout, on a branch of its own.
    #[arg(long)]
    pub(crate) worktree: bool,
    /// What it may do: read, write or full.
    #[arg(long, value_name = "ACCESS")]
    pub(crate) access: Option<String>,
    /// Its model.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Write the workflow that this is into a new file, too.
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<Utf8PathBuf>,
    /// Leave it to a process in the background and print the run's id.
    #[arg(long, short)]
    pub(crate) detach: bool,
    /// Print the plan and run nothing.
    #[arg(long, conflicts_with = "detach")]
    pub(crate) dry_run: bool,
    /// Print the final record as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) bell: BellFlag,
}

/// `ls`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct LsArgs {
    /// All runs, however many.
    #[arg(long, short)]
    pub(crate) all: bool,
    /// The runs of every store that you have used, those that have not ended unless --all is given.
    #[arg(long)]
    pub(crate) everywhere: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The run: its id, a unique beginning of it, or @last.
    #[arg(default_value = "@last")]
    pub(crate) run: String,
    /// Print the record as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print Markdown.
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
}

/// `watch`.
///
/// On a terminal single keys choose a step, open its log or its diff, answer, suspend and cancel; the last line names those
/// that work, `?` tells of all. In a pipe it prints a line for each event.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// The run: its id, a unique beginning of it, or @last.
    pub(crate) run: Option<String>,
    /// What has not ended in every store that you have used.
    #[arg(long, conflicts_with = "run")]
    pub(crate) everywhere: bool,
    #[command(flatten)]
    pub(crate) bell: BellFlag,
}

/// Which of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StreamName {
    /// What the step put out.
    Stdout,
    /// What it said beside.
    Stderr,
}

/// `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The run: its id, a unique beginning of it, or @last.
    #[arg(default_value = "@last")]
    pub(crate) run: String,
    /// Only this step.
    pub(crate) step: Option<String>,
    /// Go on until the run ends.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only this stream.
    #[arg(long, value_enum)]
    pub(crate) stream: Option<StreamName>,
    /// The bytes as they came, also of agents that write for programs.
    #[arg(long)]
    pub(crate) raw: bool,
}

/// `diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The run: its id, a unique beginning of it, or @last.
    #[arg(default_value = "@last")]
    pub(crate) run: String,
    /// Only this step; of a group all that is in it.
    pub(crate) step: Option<String>,
    /// Only how much changed in which files.
    #[arg(long, conflicts_with = "json")]
    pub(crate) stat: bool,
    /// The changed files as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// By what usage is told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum UsageBy {
    /// The preset.
    #[default]
    Agent,
    /// The model, as the agent tells it.
    Model,
    /// The workflow.
    Workflow,
    /// The step of a workflow.
    Step,
    /// The run.
    Run,
    /// The day on which an attempt began, by the local time.
    Day,
}

impl UsageBy {
    /// The word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            UsageBy::Agent => "agent",
            UsageBy::Model => "model",
            UsageBy::Workflow => "workflow",
            UsageBy::Step => "step",
            UsageBy::Run => "run",
            UsageBy::Day => "day",
        }
    }
}

/// `usage`.
#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// What is told apart.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) by: UsageBy,
    /// Only attempts that began within this time, such as 7d.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Print JSON; `known` is the sum of what was told, `untold` how many attempts told nothing.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `ask`.
///
/// The question is durable: it waits in `backstay inbox` whatever becomes of this process, and the same question of a later
/// attempt of the step gets the same answer. The step's timeouts stand still meanwhile.
#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// The question.
    pub(crate) prompt: String,
    /// What can be answered, separated by commas [default: any text].
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub(crate) options: Vec<String>,
    /// What is taken as the answer when the time is over.
    #[arg(long, value_name = "ANSWER", requires = "timeout")]
    pub(crate) default: Option<String>,
    /// How long an answer is waited for [default: as long as it takes].
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<String>,
    /// Another name for the question: with another one, the same text is asked anew.
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `prune`.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Runs that ended longer ago than this are freed [default: 14d, unless --max-size is given].
    #[arg(
        long,
        value_name = "TIME",
        default_value_if("max_size", clap::builder::ArgPredicate::IsPresent, None),
        default_value = "14d"
    )]
    pub(crate) older: Option<String>,
    /// While what steps left as files takes more than this, the run that ended first is freed: 500M, 5G.
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<String>,
    /// Only say what would be freed.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `rm`.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// The runs: ids, unique beginnings of them, or @last.
    #[arg(required = true)]
    pub(crate) runs: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The run: its id, a unique beginning of it, or @last.
    #[arg(default_value = "@last")]
    pub(crate) run: String,
    /// As it was before this step [default: before the first].
    #[arg(long, value_name = "STEP", conflicts_with = "after")]
    pub(crate) before: Option<String>,
    /// As it was after this step.
    #[arg(long, value_name = "STEP")]
    pub(crate) after: Option<String>,
    /// The folder of the new worktree [default: one beside the checkout].
    #[arg(long, value_name = "DIR", conflicts_with = "branch")]
    pub(crate) to: Option<Utf8PathBuf>,
    /// A new branch in place of a worktree.
    #[arg(long, value_name = "NAME")]
    pub(crate) branch: Option<String>,
}

/// `events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// The run: its id, a unique beginning of it, or @last.
    #[arg(default_value = "@last")]
    pub(crate) run: String,
    /// Go on until the run ends.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Begin behind this event.
    #[arg(long, value_name = "NUMBER|CURSOR")]
    pub(crate) after: Option<String>,
    /// Print one JSON document for each event.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The run: its id, a unique beginning of it, or @last.
    #[arg(default_value = "@last")]
    pub(crate) run: String,
    /// Take it from the process that owns it.
    #[arg(long)]
    pub(crate) take_over: bool,
    /// Leave it to a process in the background.
    #[arg(long, short, conflicts_with = "take_over")]
    pub(crate) detach: bool,
    /// Print the final record as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) bell: BellFlag,
}

/// `cancel`.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// The run: its id, a unique beginning of it, or @last.
    #[arg(default_value = "@last")]
    pub(crate) run: String,
    /// Why, for the record.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `retry`.
#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// The run: its id, a unique beginning of it, or @last.
    #[arg(default_value = "@last")]
    pub(crate) run: String,
    /// Do this step and all that need it anew.
    #[arg(long, value_name = "STEP")]
    pub(crate) from: Option<String>,
    /// Leave it to a process in the background.
    #[arg(long, short)]
    pub(crate) detach: bool,
    /// Print the final record as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) bell: BellFlag,
}

/// `skip`.
#[derive(Debug, Args)]
pub(crate) struct SkipArgs {
    /// The run: its id, a unique beginning of it, or @last.
    pub(crate) run: String,
    /// The step.
    pub(crate) step: String,
    /// Its output for the steps that read it, as JSON.
    #[arg(long, value_name = "JSON")]
    pub(crate) output: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `attach`.
#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// The run: its id, a unique beginning of it, or @last.
    pub(crate) run: String,
    /// The step whose agent it is.
    pub(crate) step: String,
    /// Leave the run to a process in the background afterwards.
    #[arg(long, short)]
    pub(crate) detach: bool,
    /// Let the run stand still afterwards.
    #[arg(long, conflicts_with = "detach")]
    pub(crate) stay: bool,
    #[command(flatten)]
    pub(crate) bell: BellFlag,
}

/// `answer`.
#[derive(Debug, Args)]
pub(crate) struct AnswerArgs {
    /// The question, or the run that has only one.
    pub(crate) question: String,
    /// The name of one of its options.
    pub(crate) choice: String,
    /// A value to go with it, as JSON.
    #[arg(long, value_name = "JSON")]
    pub(crate) value: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `wait`.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// The run: its id, a unique beginning of it, or @last.
    #[arg(default_value = "@last")]
    pub(crate) run: String,
    /// Give up after this time (90s, 20m, 2h30m).
    #[arg(long, value_name = "DURATION")]
    pub(crate) timeout: Option<String>,
    /// Print the record as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The workflow file.
    pub(crate) file: Utf8PathBuf,
    /// Mend what can be mended surely.
    #[arg(long)]
    pub(crate) fix: bool,
    /// Print the diagnostics as JSON.
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
