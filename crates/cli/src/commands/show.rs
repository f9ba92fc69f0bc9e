//! `backstay show`.

use std::collections::BTreeMap;

use backstay_engine::record::{RunRecord, Usage};
use backstay_model::{Payload, RunId, Timestamp};
use backstay_runtime::{RunView, Store};
use serde::Serialize;

use crate::args::ShowArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;
use crate::ui::{Line, Page, Style, ending, failure_lines, last_words, next_lines, show_page, step_table};

/// Columns of a table in Markdown.
const MARKDOWN_COLUMNS: usize = 120;

/// Shows one run.
pub(crate) async fn show(context: &Context, args: &ShowArgs) -> Result<Exit, CliError> {
    let store = context.store_to_read().await?;
    let run = context.run(&store, args.run.as_deref()).await?;
    if args.json {
        print_json(&store, run).await?;
    } else if args.markdown {
        print_markdown(context, &store, run).await?;
    } else {
        print(context, &store, run).await?;
    }
    Ok(Exit::Completed)
}

/// The record of a run with what only the store knows.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    record: &'a RunRecord,
    owner_alive: bool,
    without_owner: bool,
    wake_at: Option<Timestamp>,
    /// What its agents used; absent if none that can tell was at work.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

/// Prints the record as JSON; its own schema version is the document's.
pub(crate) async fn print_json(store: &Store, run: RunId) -> Result<(), CliError> {
    let view = store.view(run).await?;
    output::json(&Shown {
        record: &view.record,
        owner_alive: view.owner.as_ref().is_some_and(|owner| owner.is_held()),
        without_owner: view.is_without_owner(),
        wake_at: view.wake_at,
        usage: view.record.usage(),
    })
}

/// Prints the page.
pub(crate) async fn print(context: &Context, store: &Store, run: RunId) -> Result<(), CliError> {
    let view = store.view(run).await?;
    let signs = last_words(store, &view.record).await?;
    let page = Page::of(&view, &signs);
    let (times, room) = (context.times(), context.room());
    let mut left = failure_lines(store, &page, room).await?;
    left.extend(ending(&page, &outputs(context, store, &view).await?, &shown_folder(context, store)));
    for line in show_page(&page, left, &times, room) {
        output::line(&line.render(context.style, room))?;
    }
    Ok(())
}

async fn print_markdown(context: &Context, store: &Store, run: RunId) -> Result<(), CliError> {
    let view = store.view(run).await?;
    let signs = last_words(store, &view.record).await?;
    let page = Page::of(&view, &signs);
    let times = context.times();
    let (_, state) = page.state(&times);
    output::line(&format!("# {}: {state}\n\n`{run}`\n", page.plan.name))?;
    let plain = |line: &Line| line.render(Style::default(), usize::MAX);
    let mut told = next_lines(&page, &times, usize::MAX);
    let failure = failure_lines(store, &page, usize::MAX).await?;
    told.extend(ending(&page, &outputs(context, store, &view).await?, &shown_folder(context, store)));
    for line in &told {
        output::line(&format!("- {}", plain(line).trim()))?;
    }
    if !failure.is_empty() {
        output::line("\n```text")?;
        for line in &failure {
            output::line(&plain(line))?;
        }
        output::line("```")?;
    }
    output::line("\n```text")?;
    for line in step_table(&page, &times, MARKDOWN_COLUMNS) {
        output::line(&plain(&line))?;
    }
    output::line("```")
}

/// The run's outputs by name: texts as they are, the rest as JSON, paths as a person at work here would name them.
async fn outputs(
    context: &Context,
    store: &Store,
    view: &RunView,
) -> Result<Vec<(String, String)>, CliError> {
    let Some(outputs) = &view.record.outputs else { return Ok(Vec::new()) };
    let text = store.text(outputs).await?;
    let values: BTreeMap<String, Payload> = serde_json::from_str(&text)?;
    let shown =
        |value: &Payload| value.decode::<String>().unwrap_or_else(|_no_text| value.as_str().to_owned());
    let here = format!("{}/", context.cwd);
    let nearer = |text: String| text.strip_prefix(&here).map(str::to_owned).unwrap_or(text);
    Ok(values.iter().map(|(name, value)| (name.clone(), nearer(shown(value)))).collect())
}

/// The store's folder as a person at work here would name it.
fn shown_folder(context: &Context, store: &Store) -> String {
    store.folder().strip_prefix(&context.cwd).unwrap_or(store.folder()).to_string()
}
