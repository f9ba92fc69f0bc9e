//! `backstay wait`.

use backstay_engine::record::{RunRecord, RunStatus};
use backstay_model::RunId;
use backstay_runtime::{RunRest, Store};

use crate::args::WaitArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::{Exit, of_status};
use crate::output;
use crate::ui::{LiveRun, Moment, QuestionTeller, Style, parse_duration};

/// Waits until a run ends, stands still or needs a person; the exit code says which.
pub(crate) async fn wait(context: &Context, args: WaitArgs) -> Result<Exit, CliError> {
    let timeout = args.timeout.as_deref().map(parse_duration).transpose()?;
    let store = context.store().await?;
    let run = context.run(&store, args.run.as_deref()).await?;
    let status = match timeout {
        None => rest(context, &store, run).await?,
        Some(timeout) => match tokio::time::timeout(timeout, rest(context, &store, run)).await {
            Ok(status) => status?,
            Err(_elapsed) => {
                let status = store.view(run).await?.record.status;
                output::note(&format!("{run} is still {status}"));
                return Ok(Exit::TimedOut);
            }
        },
    };
    if args.json {
        super::show::print_json(&store, run).await?;
    } else {
        output::line(&status.to_string())?;
    }
    Ok(of_status(status))
}

/// The status of a run that has ended, is suspended or does nothing before a person answers.
pub(crate) fn at_rest(store: &Store, record: &RunRecord) -> Option<RunStatus> {
    match store.rest(record)? {
        RunRest::WaitingForPerson => Some(RunStatus::Waiting),
        _ => Some(record.status),
    }
}

/// Says on stderr what the run asks that was not said yet.
pub(crate) async fn note_questions(
    context: &Context,
    store: &Store,
    live: &LiveRun,
    questions: &mut QuestionTeller,
) -> Result<(), CliError> {
    for line in questions.lines(store, live, &context.times()).await? {
        output::note(&line.render(Style::default(), usize::MAX));
    }
    Ok(())
}

/// Looks in a row, a second apart, at which nobody owned the run before it is said that somebody has to resume it.
const LOOKS_WITHOUT_OWNER: u32 = 5;

/// Resolves once the run ended, stands still or needs a person: also one who resumes it because its owner died.
/// What is asked meanwhile, and how it is answered, is said on stderr.
pub(crate) async fn rest(context: &Context, store: &Store, run: RunId) -> Result<RunStatus, CliError> {
    let mut live = LiveRun::open(store, run).await?;
    let mut questions = QuestionTeller::default();
    let mut looks = 0;
    loop {
        note_questions(context, store, &live, &mut questions).await?;
        if let Some(status) = at_rest(store, &live.record) {
            return Ok(status);
        }
        if let Moment::Look = live.next().await? {
            looks = if store.view(run).await?.is_without_owner() { looks + 1 } else { 0 };
        }
        if looks >= LOOKS_WITHOUT_OWNER {
            output::note(&format!("nobody owns {run}"));
            output::note(&format!("next  backstay resume {run}"));
            return Ok(RunStatus::Waiting);
        }
    }
}
