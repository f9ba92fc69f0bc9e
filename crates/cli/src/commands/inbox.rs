//! `backstay inbox`.

use backstay_engine::record::QuestionRecord;
use backstay_log::TopicFilter;
use backstay_model::RunId;
use backstay_runtime::Store;
use serde::Serialize;

use crate::args::JsonFlag;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, Document};
use crate::ui::{Line, Paint, answers, asked_words, short, wrapped};

/// Columns in front of what belongs to a question.
const INDENT: usize = 3;

/// An open question and its run.
#[derive(Debug, Serialize)]
pub(crate) struct Asked {
    /// The run.
    pub(crate) run: RunId,
    /// Its workflow.
    pub(crate) workflow: String,
    /// The question.
    #[serde(flatten)]
    pub(crate) question: QuestionRecord,
}

impl Asked {
    /// The question as a person tells it from others.
    pub(crate) fn name(&self) -> String {
        format!("{} (`{}` of {})", self.question.question, self.question.step, self.workflow)
    }
}

/// All questions that wait for an answer, in the order of their runs.
pub(crate) async fn open_questions(store: &Store) -> Result<Vec<Asked>, CliError> {
    let rows = store.runs(TopicFilter { open_only: true, ..TopicFilter::default() }).await?;
    let mut asked = Vec::new();
    for row in rows.iter().filter(|row| row.summary.question.is_some()) {
        let record = store.view(row.run).await?.record;
        let open = record.questions.into_iter().filter(|question| question.closed_at.is_none());
        asked.extend(open.map(|question| Asked {
            run: row.run,
            workflow: row.summary.workflow.clone(),
            question,
        }));
    }
    asked.sort_by_key(|asked| asked.question.asked_at);
    Ok(asked)
}

/// Lists the questions.
pub(crate) async fn inbox(context: &Context, args: JsonFlag) -> Result<Exit, CliError> {
    #[derive(Serialize)]
    struct Inbox {
        questions: Vec<Asked>,
    }
    let store = context.store_to_read().await?;
    let questions = open_questions(&store).await?;
    if args.json {
        output::json(&Document::new(Inbox { questions }))?;
        return Ok(Exit::Completed);
    }
    if questions.is_empty() {
        output::note("nothing waits for an answer");
    }
    let (times, columns) = (context.times(), context.room());
    let is_only = questions.len() == 1;
    for Asked { run, workflow, question } in &questions {
        let mut lines = vec![
            Line::of(Paint::Bold, format!(" {workflow} / {}", question.step))
                .with(Paint::Dim, format!("  {}, {}", short(*run), asked_words(question, &times))),
        ];
        // The only one needs no name.
        let name = if is_only { String::new() } else { format!("{} ", question.question) };
        let prompt = wrapped(&question.prompt, columns.saturating_sub(INDENT));
        lines.extend(prompt.iter().map(|part| Line::of(Paint::Plain, format!("{:INDENT$}{part}", ""))));
        lines.extend(answers(&name, question).into_iter().map(|(command, meaning)| {
            Line::of(Paint::Plain, format!("   {command}"))
                .filled_to(60)
                .with(Paint::Dim, format!("  {meaning}"))
        }));
        for line in lines {
            output::line(&line.render(context.style, columns))?;
        }
    }
    Ok(Exit::Completed)
}
