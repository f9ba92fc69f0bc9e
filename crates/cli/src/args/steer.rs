//! What is said to runs, and what becomes of what they left.

use camino::Utf8PathBuf;
use clap::Args;

use super::BellFlag;

/// `ask`.
///
/// The question is durable: it waits in `backstay inbox` whatever becomes of this process, and the same question of a later
/// attempt of the step gets the same answer. The step's timeouts stand still meanwhile. It writes to the store: from a sandbox
/// that forbids that, it ends with exit code 2.
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
///
/// Where no other process has the store open, its files become smaller by what is free.
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
    /// The run: its id, a unique prefix of it, its workflow's name, or @last [default: the only active run, else the newest].
    pub(crate) run: Option<String>,
    /// As it was before this step, or this cycle of it, `code~2` [default: before the first].
    #[arg(long, value_name = "STEP", conflicts_with = "after")]
    pub(crate) before: Option<String>,
    /// As it was after this step, or this cycle of it.
    #[arg(long, value_name = "STEP")]
    pub(crate) after: Option<String>,
    /// The folder of the new worktree [default: one beside the checkout].
    #[arg(long, value_name = "DIR", conflicts_with = "branch")]
    pub(crate) to: Option<Utf8PathBuf>,
    /// A new branch in place of a worktree.
    #[arg(long, value_name = "NAME")]
    pub(crate) branch: Option<String>,
}

/// `resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The run: its id, a unique prefix of it, its workflow's name, or @last [default: the only active run, else the newest].
    pub(crate) run: Option<String>,
    /// Ask again at once what waits for a moment: an agent that met a limit, a step before its next try.
    #[arg(long)]
    pub(crate) now: bool,
    /// Take it from the process that owns it, and end the screen that somebody has open on one of its agents.
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
    /// The run: its id, a unique prefix of it, its workflow's name, or @last [default: the only active run, else the newest].
    pub(crate) run: Option<String>,
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
    /// The run: its id, a unique prefix of it, its workflow's name, or @last [default: the only active run, else the newest].
    pub(crate) run: Option<String>,
    /// Do this step and all that need it anew.
    #[arg(long, value_name = "STEP")]
    pub(crate) from: Option<String>,
    /// Go on by this workflow file: what it changes is done anew, with all that needs it; the rest is kept.
    #[arg(long, value_name = "FILE")]
    pub(crate) workflow: Option<Utf8PathBuf>,
    /// An input in place of the run's; VALUE may be @FILE, or - for stdin.
    #[arg(long, short, value_name = "NAME=VALUE", requires = "workflow")]
    pub(crate) input: Vec<String>,
    /// Another agent in an agent's place, as in `run` [default: those that the run was given].
    #[arg(long, value_name = "NAME=AGENT", requires = "workflow")]
    pub(crate) agent: Vec<String>,
    /// Take a file that drops the whole run without asking: one of another workflow, or with none of the run's steps.
    #[arg(long, short, requires = "workflow")]
    pub(crate) yes: bool,
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
    /// The run: its id, a unique prefix of it, its workflow's name, or @last.
    pub(crate) run: String,
    /// The step.
    pub(crate) step: String,
    /// Its output for the steps that read it, as JSON.
    #[arg(long, value_name = "JSON")]
    pub(crate) output: Option<String>,
    /// Take a run that has ended up again without asking.
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `attach`.
#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// The run: its id, a unique prefix of it, its workflow's name, or @last.
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
#[command(allow_missing_positional = true)]
pub(crate) struct AnswerArgs {
    /// The question, or the run that has only one [default: the only open question].
    pub(crate) question: Option<String>,
    /// The name of one of its options, or a text where it has none.
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
    /// The run: its id, a unique prefix of it, its workflow's name, or @last [default: the only active run, else the newest].
    pub(crate) run: Option<String>,
    /// Give up after this time (90s, 20m, 2h30m).
    #[arg(long, value_name = "DURATION")]
    pub(crate) timeout: Option<String>,
    /// Print the record as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
