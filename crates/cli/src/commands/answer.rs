//! `backstay answer`.

use backstay_engine::record::RunStatus;
use backstay_model::event::{Answer, InputEvent, QuestionAnswered, Verdict};
use backstay_model::{QuestionId, RunId};
use backstay_runtime::{OpenQuestion, Store};
use serde::Serialize;

use super::inbox::name;
use super::input::{self, Heard, Successor};
use super::skip::json_text;
use crate::args::AnswerArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, Document};

/// Answers a question. The answer is durable at once. Where nobody works on the run, it goes on in the background.
pub(crate) async fn answer(context: &Context, args: AnswerArgs) -> Result<Exit, CliError> {
    #[derive(Serialize)]
    struct Answered {
        run: RunId,
        question: QuestionId,
        status: RunStatus,
    }
    let store = context.store().await?;
    let (run, question) = match &args.question {
        Some(question) => find_question(context, &store, question).await?,
        None => only_question(&store, &args.choice).await?,
    };
    let value = args.value.as_deref().map(json_text).transpose()?;
    let answer = Answer { choice: args.choice, value };
    let event = InputEvent::from(QuestionAnswered { by: context.actor(), question, answer });
    if !store.is_owned(run).await? {
        // Nobody could go on with the answer.
        context.trusted(&store)?;
    }
    let said = store.say(run, event).await?;
    let mut is_owned = store.is_owned(run).await?;
    let successor = if is_owned {
        Successor::Nobody
    } else {
        crate::detach::go_on(context, &store, run)?;
        Successor::Started
    };
    match input::verdict(context, &store, run, said, successor).await? {
        (Verdict::Accepted, Heard::Settled) if is_owned => {
            // Its owner died before it answered.
            is_owned = false;
            crate::detach::go_on(context, &store, run)?;
        }
        (Verdict::Accepted, _) => {}
        (verdict, _) => return Err(CliError::Refused(verdict)),
    }
    // What followed from the answer stands in the same append as the verdict.
    let record = store.record(run).await?;
    let (status, asks) = (record.status, record.questions.iter().any(|other| other.closed_at.is_none()));
    if args.json {
        output::json(&Document::new(Answered { run, question, status }))?;
        return Ok(Exit::Completed);
    }
    let (becomes, next) = what_follows(run, status, is_owned);
    output::line(&format!("answered; {run} {becomes}"))?;
    if asks && status != RunStatus::Waiting {
        output::note("it asks more: `backstay inbox`");
    }
    if let Some(next) = next {
        output::note(&format!("next  {next}"));
    }
    Ok(Exit::Completed)
}

/// What a run does with an answer, and the command that comes next.
fn what_follows(run: RunId, status: RunStatus, is_owned: bool) -> (&'static str, Option<String>) {
    let next = |verb: &str| Some(format!("backstay {verb} {run}"));
    match status {
        RunStatus::Suspending | RunStatus::Suspended => {
            ("is suspended, and goes on with the answer once it is resumed", next("resume"))
        }
        RunStatus::Waiting => ("waits for another answer", Some("backstay inbox".to_owned())),
        RunStatus::Cancelling => ("is being cancelled", next("watch")),
        RunStatus::Completed => ("completed", next("show")),
        RunStatus::Failed => ("failed", next("show")),
        RunStatus::Cancelled => ("was cancelled", next("show")),
        RunStatus::Queued | RunStatus::Running if is_owned => ("goes on", None),
        RunStatus::Queued | RunStatus::Running => ("goes on in the background", next("watch")),
    }
}

/// The only open question. What names a run or a question is no answer to it.
async fn only_question(store: &Store, choice: &str) -> Result<(RunId, QuestionId), CliError> {
    if choice.parse::<RunId>().is_ok() || choice.parse::<QuestionId>().is_ok() {
        return Err(CliError::NoAnswer { question: choice.to_owned() });
    }
    match store.inbox().await?.as_slice() {
        [] => Err(CliError::NoQuestion),
        [only] => Ok((only.run, only.question.question)),
        all => Err(CliError::SeveralQuestions { questions: all.iter().map(name).collect() }),
    }
}

async fn find_question(
    context: &Context,
    store: &Store,
    text: &str,
) -> Result<(RunId, QuestionId), CliError> {
    let unknown = || CliError::UnknownQuestion { text: text.to_owned() };
    let asked = store.inbox().await?;
    let wanted = text.to_ascii_uppercase();
    let is_meant = |asked: &&OpenQuestion| {
        let id = asked.question.question.to_string().to_ascii_uppercase();
        let bare = id.split_once('_').map_or(id.as_str(), |(_, bare)| bare);
        !wanted.is_empty() && (id.starts_with(&wanted) || bare.starts_with(&wanted))
    };
    let mut meant: Vec<&OpenQuestion> = asked.iter().filter(is_meant).collect();
    if meant.is_empty() {
        let run = context.run(store, text).await.map_err(|error| match error {
            CliError::UnknownRun { .. } => unknown(),
            error => error,
        })?;
        meant = asked.iter().filter(|asked| asked.run == run).collect();
    }
    match meant[..] {
        [] => Err(unknown()),
        [only] => Ok((only.run, only.question.question)),
        [..] => Err(CliError::ManyQuestions {
            run: text.to_owned(),
            questions: meant.iter().map(|asked| asked.question.question.to_string()).collect(),
        }),
    }
}
