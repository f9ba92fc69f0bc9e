//! `backstay usage`: what agents used, over all runs of the store.

use std::collections::{BTreeMap, BTreeSet};

use backstay_engine::record::{AttemptRecord, Figure, RunRecord, Usage, counted};
use backstay_log::TopicFilter;
use backstay_model::RunId;
use backstay_model::event::Tokens;
use serde::Serialize;

use crate::args::{UsageArgs, UsageBy};
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, Document};
use crate::ui::{Line, Paint, amount, cut_in_the_middle, dollars, parse_duration, short, table, width};

/// Columns between two columns of the table.
const COLUMN_GAP: usize = 2;
/// Columns of a name that stay however narrow the screen is.
const NAME_COLUMNS_MIN: usize = 8;

/// What one group used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Used {
    #[serde(skip)]
    run_ids: BTreeSet<RunId>,
    runs: usize,
    #[serde(flatten)]
    usage: Usage,
}

impl Used {
    fn add(&mut self, run: RunId, told: Option<&Tokens>) {
        self.run_ids.insert(run);
        self.runs = self.run_ids.len();
        self.usage.add(told);
    }

    fn cells(&self, group: &str) -> Vec<(Paint, String)> {
        let Usage { attempts, input, output, cache_read, cost_micro_usd, .. } = self.usage;
        let tokens = |figure: Figure| (Paint::Plain, figure.words(attempts, amount));
        vec![
            (Paint::Bold, group.to_owned()),
            (Paint::Plain, self.runs.to_string()),
            (Paint::Plain, attempts.to_string()),
            tokens(input),
            tokens(cache_read),
            tokens(output),
            (Paint::Plain, cost_micro_usd.words(attempts, dollars)),
        ]
    }
}

/// Tells what the agents of this store used.
pub(crate) async fn usage(context: &Context, args: UsageArgs) -> Result<Exit, CliError> {
    let store = context.store_to_read().await?;
    let since = args.since.as_deref().map(parse_duration).transpose()?;
    let times = context.times();
    let mut groups: BTreeMap<String, Used> = BTreeMap::new();
    let mut all = Used::default();
    for row in store.runs(TopicFilter::default()).await? {
        let record = store.record(row.run).await?;
        for (step, attempt) in attempts(&record) {
            let is_late = since.is_none_or(|since| context.now().since(attempt.starting_at) <= since);
            let Some(agent) = counted(attempt).filter(|_| is_late) else { continue };
            let group = match args.by {
                UsageBy::Agent => agent.preset.clone(),
                UsageBy::Model => agent.model.clone().unwrap_or_else(|| "unknown".to_owned()),
                UsageBy::Workflow => row.summary.workflow.clone(),
                UsageBy::Step => format!("{}/{step}", row.summary.workflow),
                UsageBy::Run => short(row.run),
                UsageBy::Day => times.day(attempt.starting_at),
            };
            groups.entry(group).or_default().add(row.run, agent.usage.as_ref());
            all.add(row.run, agent.usage.as_ref());
        }
    }
    if args.json {
        return json(args.by, &groups, &all);
    }
    if groups.is_empty() {
        output::note("no agent that could tell what it uses was at work");
        return Ok(Exit::Completed);
    }
    for line in lines(args.by, &groups, &all, context.room()) {
        output::line(&line.render(context.style, context.room()))?;
    }
    Ok(Exit::Completed)
}

/// The table: a row for each group, and one for all of several. On a narrow screen names give way, and no figure.
fn lines(by: UsageBy, groups: &BTreeMap<String, Used>, all: &Used, columns: usize) -> Vec<Line> {
    let header = [by.name(), "runs", "attempts", "tokens in", "cached", "tokens out", "cost"];
    let mut cells: Vec<_> = groups.iter().map(|(group, used)| used.cells(group)).collect();
    if groups.len() > 1 {
        cells.push(all.cells("all"));
    }
    let widest = |column: usize| {
        let shown = cells.iter().filter_map(|row| row.get(column)).map(|(_, text)| width(text));
        shown.chain([width(header[column])]).max().unwrap_or(0)
    };
    let figures: usize = (1..header.len()).map(|column| widest(column) + COLUMN_GAP).sum();
    let room = columns.saturating_sub(figures + 1).max(NAME_COLUMNS_MIN);
    for (_, name) in cells.iter_mut().filter_map(|row| row.first_mut()) {
        *name = cut_in_the_middle(name, room);
    }
    table(&header, &cells)
}

fn attempts(record: &RunRecord) -> impl Iterator<Item = (&str, &AttemptRecord)> {
    record.steps.iter().flat_map(|step| step.attempts.iter().map(|attempt| (step.step.as_str(), attempt)))
}

fn json(by: UsageBy, groups: &BTreeMap<String, Used>, all: &Used) -> Result<Exit, CliError> {
    #[derive(Serialize)]
    struct Group<'a> {
        name: &'a str,
        #[serde(flatten)]
        used: &'a Used,
    }
    #[derive(Serialize)]
    struct UsageDocument<'a> {
        by: &'static str,
        groups: Vec<Group<'a>>,
        all: &'a Used,
    }
    let groups = groups.iter().map(|(name, used)| Group { name, used }).collect();
    output::json(&Document::new(UsageDocument { by: by.name(), groups, all }))?;
    Ok(Exit::Completed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_told_is_not_zero_and_not_hidden() {
        let run = |end: char| format!("run_01JDX7Q2ZK8VQ5T3W9M4N6P7R{end}").parse::<RunId>().unwrap();
        let tokens = Tokens { input: Some(1_500), output: Some(20), ..Tokens::default() };
        let mut used = Used::default();
        let words =
            |used: &Used| -> Vec<String> { used.cells("codex").into_iter().map(|(_, text)| text).collect() };
        used.add(run('1'), None);
        assert_eq!(words(&used), ["codex", "1", "1", "unknown", "unknown", "unknown", "unknown"]);
        used.add(run('1'), Some(&tokens));
        assert_eq!(words(&used), ["codex", "1", "2", "1.5 k + ?", "unknown", "20 + ?", "unknown"]);
        let mut partial = Used::default();
        partial.add(run('1'), Some(&Tokens { is_partial: true, ..tokens }));
        assert_eq!(words(&partial), ["codex", "1", "1", "1.5 k + ?", "unknown", "20 + ?", "unknown"]);
        let mut whole = Used::default();
        whole.add(run('1'), Some(&Tokens { cost_micro_usd: Some(2_340_000), ..Tokens::ZERO }));
        whole.add(run('2'), Some(&Tokens::ZERO));
        assert_eq!(words(&whole), ["codex", "2", "2", "0", "0", "0", "2.34 USD"]);
    }
    #[test]
    fn the_table_of_what_was_used() {
        let run = |end: char| format!("run_01JDX7Q2ZK8VQ5T3W9M4N6P7R{end}").parse::<RunId>().unwrap();
        let told = Tokens {
            input: Some(2_300_000),
            output: Some(114_000),
            cache_read: Some(1_900_000),
            cost_micro_usd: Some(12_345_678),
            ..Tokens::default()
        };
        let (mut groups, mut all) = (BTreeMap::<String, Used>::new(), Used::default());
        let step = "ship-issues/a_rather_long_name_of_a_step";
        for (group, end, tokens) in [
            (step, '1', Some(told)),
            (step, '2', Some(Tokens { cost_micro_usd: None, ..told })),
            ("nightly/report", '3', None),
        ] {
            groups.entry(group.to_owned()).or_default().add(run(end), tokens.as_ref());
            all.add(run(end), tokens.as_ref());
        }
        insta::assert_snapshot!(crate::ui::screens(|columns| lines(UsageBy::Step, &groups, &all, columns)));
    }
}
