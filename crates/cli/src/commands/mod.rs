//! The verbs, one file for each.

mod answer;
mod ask;
mod attach;
mod cancel;
mod check;
mod completions;
mod demo;
mod difference;
mod doctor;
mod events;
pub(crate) mod exec;
mod inbox;
mod init;
mod input;
mod logs;
pub(crate) mod ls;
mod prune;
mod resume;
mod retry;
mod run;
pub(crate) mod show;
mod skip;
mod store;
mod suspend;
pub(crate) mod tell;
mod trees;
mod trust;
mod up;
mod usage;
pub(crate) mod wait;
pub(crate) mod watch;
mod watch_list;
pub(crate) mod workflow;

pub(crate) use input::{Heard, Successor, verdict};
pub(crate) use trees::omitted_lines;

use crate::args::Command;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;

/// Does what was said.
pub(crate) async fn dispatch(context: &Context, command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Run(args) => run::run(context, args).await,
        Command::Init(args) => init::init(context, args).await,
        Command::Demo(args) => demo::demo(context, &args).await,
        Command::Exec(args) => exec::exec(context, args).await,
        Command::Ls(args) => ls::ls(context, args).await,
        Command::Show(args) => show::show(context, &args).await,
        Command::Watch(args) => watch::watch(context, args).await,
        Command::Logs(args) => logs::logs(context, args).await,
        Command::Events(args) => events::events(context, args).await,
        Command::Suspend(args) => suspend::suspend(context, args).await,
        Command::Resume(args) => resume::resume(context, args).await,
        Command::Cancel(args) => cancel::cancel(context, args).await,
        Command::Retry(args) => retry::retry(context, args).await,
        Command::Skip(args) => skip::skip(context, args).await,
        Command::Attach(args) => attach::attach(context, args).await,
        Command::Diff(args) => trees::diff(context, args).await,
        Command::Restore(args) => trees::restore(context, args).await,
        Command::Prune(args) => prune::prune(context, args).await,
        Command::Rm(args) => prune::rm(context, args).await,
        Command::Inbox(args) => inbox::inbox(context, args).await,
        Command::Ask(args) => ask::ask(context, args).await,
        Command::Answer(args) => answer::answer(context, args).await,
        Command::Wait(args) => wait::wait(context, args).await,
        Command::Check(args) => check::check(context, &args),
        Command::Usage(args) => usage::usage(context, args).await,
        Command::Up(args) => up::up(context, args).await,
        Command::Store(args) => store::store(context, args).await,
        Command::Trust(args) => trust::trust(context, args),
        Command::Doctor(args) => doctor::doctor(context, args).await,
        Command::Completions(args) => completions::completions(args),
        Command::Keeper(args) => Ok(Exit::from_keeper(&args.folder)),
    }
}
