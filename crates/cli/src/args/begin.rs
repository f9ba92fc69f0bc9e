//! What begins a run, or is done before one.

use camino::Utf8PathBuf;
use clap::Args;

use super::BellFlag;

/// `init`.
///
/// Nothing is asked: it finds the CLIs of agents and whether you are logged in, and the command that tests this repository.
/// Nothing is written over, and git sees nothing of the store.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The new file.
    #[arg(default_value = "fix.yaml")]
    pub(crate) file: Utf8PathBuf,
    /// The agent that does the work: a preset, or 'cmd: PROGRAM ARGUMENT…' [default: one that is found and logged in].
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Option<String>,
    /// The command that tests [default: what Cargo.toml, package.json, pyproject.toml, go.mod or a Makefile says].
    #[arg(long, value_name = "COMMAND")]
    pub(crate) test: Option<String>,
    /// Run the test command once, without asking, before it is written. The one that you give with --test is always run.
    #[arg(long = "try")]
    pub(crate) try_test: bool,
    /// Do not run the test command.
    #[arg(long, conflicts_with = "try_test")]
    pub(crate) no_try: bool,
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
    /// From the beginning of one cycle to that of the next, at least: for a command that waits for something outside. Without
    /// it, three cycles in a row without a change suspend the run.
    #[arg(long, value_name = "TIME", requires = "until")]
    pub(crate) min_cycle: Option<String>,
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
    /// How it gets what it is told: stdin, arg, file or env [default: the preset's way; stdin for a command].
    #[arg(long, value_name = "VIA")]
    pub(crate) via: Option<String>,
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

/// `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The workflow file.
    pub(crate) file: Utf8PathBuf,
    /// Make the edits after which each value is what you wrote. What is not sure stays, with the reason.
    #[arg(long)]
    pub(crate) fix: bool,
    /// Print the diagnostics as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
