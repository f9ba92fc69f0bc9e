//! `backstay ask`: a question to a person, from inside a step.

use std::time::Duration;

use backstay_engine::record::{QuestionRecord, RunRecord};
use backstay_exec::{HumanWait, NOTE_INTERVAL, Secrets};
use backstay_model::event::{Actor, AskRequested, Verdict};
use backstay_model::{Attempt, Delivery, Digest, EffectId, QuestionId, RunId, Seq, Topic};
use backstay_runtime::{ReadOnlyReason, RunError, RunInput, Store, StoreOpenError};
use camino::Utf8Path;
use serde::Serialize;

use crate::args::AskArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, Document};
use crate::ui::parse_duration;

/// The work in whose name is asked.
struct Asker {
    run: RunId,
    effect: EffectId,
    attempt: Attempt,
}

/// What became of the question.
enum Reply {
    Answered(String),
    Closed,
}

/// Asks, waits for the answer, and prints it. What was answered before is printed at once.
pub(crate) async fn ask(context: &Context, args: AskArgs) -> Result<Exit, CliError> {
    #[derive(Serialize)]
    struct Answered<'a> {
        question: QuestionId,
        answer: &'a str,
    }
    let asker = Asker::of(context)?;
    let wait = args.timeout.as_deref().map(parse_duration).transpose()?;
    if let Some(default) =
        args.default.as_ref().filter(|default| !args.options.is_empty() && !args.options.contains(default))
    {
        return Err(CliError::DefaultNotAnOption { default: default.clone(), options: args.options.clone() });
    }
    let store = store(context).await?;
    let record = store.record(asker.run).await?;
    let question = asker.question(&record, &args);
    let reply = match known(&record, question) {
        Some(answer) => Reply::Answered(answer),
        None if store.read_only().is_some() => return Err(cannot_ask(store.folder())),
        None => asker.ask(context, &store, question, &args, wait).await?,
    };
    match reply {
        Reply::Answered(answer) if args.json => {
            output::json(&Document::new(Answered { question, answer: &answer }))?;
            Ok(Exit::Completed)
        }
        Reply::Answered(answer) => {
            // For the script that asks.
            output::put_bytes(format!("{answer}\n").as_bytes())?;
            Ok(Exit::Completed)
        }
        Reply::Closed => {
            output::note("the question was closed without an answer");
            Ok(Exit::Cancelled)
        }
    }
}

/// The store; to read only where this process may not write to it: it may be in an agent's sandbox, and what was answered
/// before is known all the same.
async fn store(context: &Context) -> Result<Store, CliError> {
    let folder = context.store_folder().ok_or_else(|| CliError::NoStore { from: context.cwd.clone() })?;
    let is_out_of_reach =
        |store: &Store| store.read_only().is_some_and(|why| *why.reason() == ReadOnlyReason::NotWritable);
    match context.opening(&folder).or_read_only().await {
        Ok(store) if store.read_only().is_none() || is_out_of_reach(&store) => Ok(store),
        // Says why it is only read.
        Ok(_) => context.store().await,
        // A store that cannot be written is read by a copy, for which a sandbox may have no place.
        Err(StoreOpenError::Mirror(_)) => Err(cannot_ask(&folder)),
        Err(error) => Err(error.into()),
    }
}

fn cannot_ask(folder: &Utf8Path) -> CliError {
    CliError::CannotAskHere { folder: folder.to_owned() }
}

impl Asker {
    /// The step that this process runs in, as its environment says.
    fn of(context: &Context) -> Result<Asker, CliError> {
        let read = |name: &str| context.env.get(name).map(String::as_str);
        let effect: Option<EffectId> = read("BACKSTAY_EFFECT").and_then(|text| text.parse().ok());
        let run = effect.as_ref().and_then(|effect| effect.root.run_id());
        let attempt = read("BACKSTAY_ATTEMPT").and_then(|text| text.parse().ok());
        match (run, effect, attempt) {
            (Some(run), Some(effect), Some(attempt)) => Ok(Asker { run, effect, attempt: Attempt(attempt) }),
            _ => Err(CliError::NotInAStep),
        }
    }

    /// The same for another attempt of the work that asks the same; so its answer survives. Once the step was reset, what
    /// was answered before counts no more.
    fn question(&self, record: &RunRecord, args: &AskArgs) -> QuestionId {
        let what = match &args.key {
            Some(key) => format!("key:{key}"),
            None => format!("text:{}\n{}", args.prompt, args.options.join(",")),
        };
        let asks = match record.instance(&self.effect.scope).map_or(0, |step| step.resets) {
            0 => "ask".to_owned(),
            resets => format!("ask:{resets}"),
        };
        QuestionId::derived(Digest::of(format!("{}:{asks}:{what}", self.effect).as_bytes()))
    }

    async fn ask(
        &self,
        context: &Context,
        store: &Store,
        question: QuestionId,
        args: &AskArgs,
        wait: Option<Duration>,
    ) -> Result<Reply, CliError> {
        let run = self.run;
        let wish = AskRequested {
            by: Actor { name: self.effect.scope.to_string(), via: "ask".to_owned() },
            effect: self.effect.clone(),
            attempt: self.attempt,
            question,
            prompt: Secrets::of_env(&context.env).redacted(&args.prompt),
            options: args.options.clone(),
            default: args.default.clone(),
            due_at: wait.map(|wait| context.now().plus(wait)),
        };
        let pause =
            HumanWait::begin(&store.attempt_folder(&self.effect, self.attempt), &question.to_string())
                .map_err(CliError::Pause)?;
        let wish = RunInput::from(wish).about(self.effect.scope.step_id().cloned());
        let input = store.say(run, wish).await?;
        output::note(&format!("asked {question}; `backstay inbox` shows it"));
        let mut noting = tokio::time::interval(NOTE_INTERVAL);
        let mut reply = std::pin::pin!(wait_for(store, run, question, input));
        loop {
            tokio::select! {
                reply = &mut reply => return reply,
                _ = noting.tick() => pause.note().map_err(CliError::Pause)?,
            }
        }
    }
}

/// Waits for the owner's word on the question, and then until it is closed.
async fn wait_for(store: &Store, run: RunId, question: QuestionId, input: Seq) -> Result<Reply, CliError> {
    match store.verdict(run, input).await? {
        Verdict::Accepted => {}
        verdict => return Err(CliError::Refused(verdict)),
    }
    let mut record = store.record(run).await?;
    let mut events = store.log().follow(&Topic::run(run), record.head);
    loop {
        if let Some(answer) = known(&record, question) {
            return Ok(Reply::Answered(answer));
        }
        if is_closed(&record, question) {
            return Ok(Reply::Closed);
        }
        let Delivery::Event(recorded) = events.next().await? else { continue };
        record.apply(&recorded).map_err(RunError::from)?;
    }
}

fn find(record: &RunRecord, question: QuestionId) -> Option<&QuestionRecord> {
    record.questions.iter().find(|known| known.question == question)
}

fn known(record: &RunRecord, question: QuestionId) -> Option<String> {
    find(record, question)?.answer.as_ref().map(|(answer, _)| answer.choice.clone())
}

/// Whether it was closed after it was asked last.
fn is_closed(record: &RunRecord, question: QuestionId) -> bool {
    find(record, question).is_some_and(|known| known.closed_at.is_some())
}
