//! What shows runs.

use clap::{Args, ValueEnum};

use super::BellFlag;

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
    /// The run: its id, a unique prefix of it, its workflow's name, or @last [default: the only active run, else the newest].
    pub(crate) run: Option<String>,
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
    /// The run: its id, a unique prefix of it, its workflow's name, or @last.
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
    /// The run: its id, a unique prefix of it, its workflow's name, or @last [default: the only active run, else the newest].
    pub(crate) run: Option<String>,
    /// Only this step, all that is in this group, or one cycle: `code~2`.
    pub(crate) step: Option<String>,
    /// Only the last lines of what is there.
    #[arg(long, value_name = "LINES", allow_hyphen_values = true, value_parser = line_count)]
    pub(crate) tail: Option<usize>,
    /// Go on until the run ends.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only this stream.
    #[arg(long, value_enum)]
    pub(crate) stream: Option<StreamName>,
    /// A time before each line, that at which its beginning came; blank where it is not known.
    #[arg(long)]
    pub(crate) timestamps: bool,
    /// The bytes as they came, also of agents that write for programs; a terminal gets no control characters all the same.
    #[arg(long)]
    pub(crate) raw: bool,
}

/// `diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The run: its id, a unique prefix of it, its workflow's name, or @last [default: the only active run, else the newest].
    pub(crate) run: Option<String>,
    /// Only this step; of a group all that is in it; of a loop one cycle with `code~2`.
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

/// `events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// The run: its id, a unique prefix of it, its workflow's name, or @last [default: the only active run, else the newest].
    pub(crate) run: Option<String>,
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

/// A number of lines was expected.
#[derive(Debug, thiserror::Error)]
#[error("give a number of lines from 0 on, such as `--tail 20`")]
pub(crate) struct NotALineCount;

fn line_count(text: &str) -> Result<usize, NotALineCount> {
    text.parse().map_err(|_not_a_number: std::num::ParseIntError| NotALineCount)
}
