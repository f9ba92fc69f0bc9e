//! `backstay inbox`.

use backstay_runtime::OpenQuestion;
use serde::Serialize;

use crate::args::JsonFlag;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, Document};
use crate::ui::{Line, Paint, answers, asked_words, short, wrapped};

/// Columns in front of what belongs to a question.
const INDENT: usize = 3;

/// The question as a person tells it from others.
pub(super) fn name(asked: &OpenQuestion) -> String {
    format!("{} (`{}` of {})", asked.question.question, asked.question.step, asked.workflow)
}

/// Lists the questions.
pub(crate) async fn inbox(context: &Context, args: JsonFlag) -> Result<Exit, CliError> {
    #[derive(Serialize)]
    struct Inbox {
        questions: Vec<OpenQuestion>,
    }
    let store = context.store_to_read().await?;
    let questions = store.inbox().await?;
    if args.json {
        output::json(&Document::new(Inbox { questions }))?;
        return Ok(Exit::Completed);
    }
    if questions.is_empty() {
        output::note("nothing waits for an answer");
    }
    let (times, columns) = (context.times(), context.room());
    let is_only = questions.len() == 1;
    for OpenQuestion { run, workflow, question } in &questions {
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
