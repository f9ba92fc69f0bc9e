//! The course of the demo: work, kill, nobody, another owner, a question, the proof.

use std::io::IsTerminal;
use std::time::Duration;

use backstay_engine::record::{QuestionRecord, RunRecord};
use backstay_exec::spool::Stream;
use backstay_log::TopicFilter;
use backstay_model::Text;
use backstay_runtime::Store;
use camino::Utf8PathBuf;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::{Interval, interval};

use super::proof::Proof;
use super::report::{Finding, Report, Section};
use super::stage::{Stage, stopped};
use super::{ANALYSTS, Repository};
use crate::context::Context;
use crate::error::CliError;
use crate::output;
use crate::ui::{Paint, bytes, width, wrapped};

/// The time between two rows; people read no faster.
const BEAT: Duration = Duration::from_secs(1);
/// Rows before the kill, and rows without an owner.
const ROWS: usize = 3;
/// Beats that anything may take to happen; far above what it takes.
const BEATS_MAX: usize = 50;
/// Columns by which the rest of a line stands further in.
const CONTINUED_COLUMNS: usize = 2;
/// What each analyst looks for.
const TITLES: [&str; 3] = ["Changed often, without a test", "Notes that wait", "Files that change together"];

/// What is shown, and where.
pub(super) struct Scene<'a> {
    context: &'a Context,
    stage: &'a mut Stage,
    beat: Interval,
    seconds: usize,
    asks: bool,
}

impl Scene<'_> {
    /// Plays all of it.
    pub(super) async fn play(context: &Context, stage: &mut Stage) -> Result<Report, CliError> {
        let asks = context.is_live && std::io::stdin().is_terminal();
        Scene { context, stage, beat: interval(BEAT), seconds: 0, asks }.run().await
    }

    async fn run(mut self) -> Result<Report, CliError> {
        let repository = match &self.stage.repository {
            Repository::Own(folder) => folder.to_string(),
            Repository::Made(_) => "a small sample repository (none with commits was found here)".to_owned(),
        };
        self.head(&repository)?;
        let program = format!("program={}", std::env::current_exe().map_err(CliError::Program)?.display());
        let file = self.stage.root.join("workflow.yaml");
        let patience = if self.asks { "patience=15s" } else { "patience=1s" };
        let pid =
            self.stage.own(&["run", file.as_str(), "--input", &program, "--input", patience, "--json"])?;
        let store = self.store().await?;
        self.until(&store, "all three work", |_record, sizes| sizes.iter().all(Written::is_any)).await?;
        self.rows(&store, "").await?;
        let before = self.kill(&store, pid).await?;
        self.rows(&store, "no owner").await?;
        let grown = Written::between(before, self.sizes(&store).await?);
        self.say(
            Paint::Good,
            &format!(" ✓ {} with no owner: each analyst lives under a keeper of its own", grown.words()),
        )?;
        let pid = self.stage.own(&["resume", "@last", "--json"])?;
        self.say(Paint::Bold, &format!(" ▸ backstay resume: another owner, pid {pid}"))?;
        let asked = self.until(&store, "the analysts end", |record, _| question(record).is_some()).await?;
        self.ask(&asked).await?;
        // It stays the stage's until it has ended: an interrupt in the middle of the wait has to find it.
        if let Some(owner) = &mut self.stage.owner {
            owner.wait().await.map_err(stopped)?;
        }
        self.stage.owner = None;
        let record = self.record(&store).await?;
        let proof = Proof::read(&store, &record).await?;
        self.prove(&proof)?;
        self.report(&store, record, proof, repository, grown).await
    }

    fn head(&self, repository: &str) -> Result<(), CliError> {
        self.say(Paint::Bold, " backstay demo")?;
        self.say(Paint::Plain, &format!(" Three analysts read {repository}"))?;
        self.say(Paint::Dim, " They are sh, git and awk: no model is called, no network, no key.")?;
        self.say(Paint::Dim, " They pause between lines, so that the kill falls into their middle.\n")
    }

    fn say(&self, paint: Paint, text: &str) -> Result<(), CliError> {
        tell(self.context, paint, text)
    }

    /// The store, once the owner has made it and the run is in it.
    async fn store(&mut self) -> Result<Store, CliError> {
        for _ in 0..BEATS_MAX {
            self.beat.tick().await;
            if !self.stage.store().join("log.db").exists() {
                continue;
            }
            let store = self.stage.open().await?;
            if !store.runs(TopicFilter::default()).await?.is_empty() {
                return Ok(store);
            }
        }
        Err(CliError::Demo { what: "its run did not begin".to_owned() })
    }

    async fn record(&self, store: &Store) -> Result<RunRecord, CliError> {
        let rows = store.runs(TopicFilter::default()).await?;
        let row = rows.first().ok_or(CliError::NoRuns)?;
        Ok(store.view(row.run).await?.record)
    }

    /// What each analyst has written, as it stands in the files.
    async fn sizes(&self, store: &Store) -> Result<[Written; 3], CliError> {
        let record = self.record(store).await?;
        let mut sizes = [Written::default(); 3];
        for (written, name) in sizes.iter_mut().zip(ANALYSTS) {
            let attempts =
                record.steps.iter().filter(|step| step.step.as_str() == name).flat_map(|step| &step.attempts);
            for folder in attempts.filter_map(|attempt| attempt.folder.as_ref()) {
                let folder = store.folder().join(folder.as_str());
                written.found += file_size(folder.join(Stream::Stdout.file_name()))?;
                written.beside += file_size(folder.join(Stream::Stderr.file_name()))?;
            }
        }
        Ok(sizes)
    }

    async fn row(&mut self, store: &Store, mark: &str) -> Result<[Written; 3], CliError> {
        self.beat.tick().await;
        self.seconds += 1;
        let sizes = self.sizes(store).await?;
        let mut text = format!(" {:>3} s", self.seconds);
        for (name, size) in ANALYSTS.iter().zip(sizes) {
            text.push_str(&format!("   {name} {:>7}", bytes(size.found)));
        }
        if !mark.is_empty() {
            text.push_str(&format!("   {mark}"));
        }
        self.say(if mark.is_empty() { Paint::Plain } else { Paint::Warn }, &text)?;
        Ok(sizes)
    }

    async fn rows(&mut self, store: &Store, mark: &str) -> Result<(), CliError> {
        for _ in 0..ROWS {
            self.row(store, mark).await?;
        }
        Ok(())
    }

    async fn until(
        &mut self,
        store: &Store,
        what: &str,
        is_so: impl Fn(&RunRecord, &[Written; 3]) -> bool,
    ) -> Result<RunRecord, CliError> {
        for _ in 0..BEATS_MAX {
            let sizes = self.row(store, "").await?;
            let record = self.record(store).await?;
            if is_so(&record, &sizes) {
                return Ok(record);
            }
            if record.status.is_ended() {
                let why = record.why.unwrap_or_else(|| record.status.to_string());
                return Err(CliError::Demo { what: format!("its run ended before {what}: {why}") });
            }
        }
        Err(CliError::Demo { what: format!("it took too long until {what}") })
    }

    /// Sends SIGKILL to the owner; gives what the analysts had written by then.
    async fn kill(&mut self, store: &Store, pid: u32) -> Result<[Written; 3], CliError> {
        let owner = self.stage.owner.as_mut().ok_or(CliError::NoRuns)?;
        owner.kill().await.map_err(stopped)?;
        self.stage.owner = None;
        self.say(Paint::Bad, &format!(" ✗ kill -9 {pid}: the process that owns the run is gone"))?;
        self.sizes(store).await
    }

    /// One durable question. Who says nothing gets the default.
    async fn ask(&self, record: &RunRecord) -> Result<(), CliError> {
        let Some(asked) = question(record) else { return Ok(()) };
        self.say(Paint::Bold, &format!("\n ? {}", asked.prompt))?;
        self.say(
            Paint::Dim,
            "   changes, notes or couples; it is in the log, survives kill -9, and takes `changes` by itself",
        )?;
        if !self.asks {
            return Ok(());
        }
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        let Ok(line) = tokio::time::timeout(Duration::from_secs(12), lines.next_line()).await else {
            return Ok(());
        };
        let choice = line.map_err(CliError::Input)?.unwrap_or_default();
        if !ANALYSTS.contains(&choice.trim()) {
            return Ok(());
        }
        let name = asked.question.to_string();
        let status =
            self.stage.program(&["answer", &name, choice.trim()])?.status().await.map_err(stopped)?;
        if status.success() { Ok(()) } else { self.say(Paint::Dim, "   the default was first") }
    }

    fn prove(&self, proof: &Proof) -> Result<(), CliError> {
        self.say(Paint::Bold, "\n the proof, from the log")?;
        proof.lines().iter().try_for_each(|line| self.say(Paint::Plain, &format!("   {line}")))?;
        let faults = proof.faults();
        if faults.is_empty() {
            return self.say(Paint::Good, " ✓ nothing was lost, and nothing ran twice");
        }
        faults.iter().try_for_each(|fault| self.say(Paint::Bad, &format!(" ✗ {fault}")))
    }

    async fn report(
        &self,
        store: &Store,
        record: RunRecord,
        proof: Proof,
        repository: String,
        grown: Written,
    ) -> Result<Report, CliError> {
        let mut sections = Vec::new();
        for (name, title) in ANALYSTS.into_iter().zip(TITLES) {
            let step = record.steps.iter().find(|step| step.step.as_str() == name);
            let text = match step.and_then(|step| step.output.as_ref()) {
                Some(output) => words(store, output).await?,
                None => return Err(CliError::Demo { what: format!("{name} has no output") }),
            };
            sections.push(Section {
                name,
                title,
                findings: text.lines().filter_map(Finding::read).collect(),
            });
        }
        let first = record
            .steps
            .iter()
            .find(|step| step.step.as_str() == "first")
            .and_then(|step| step.output.as_ref());
        if let Some(first) = first {
            let chosen = words(store, first).await?;
            sections.sort_by_key(|section| section.name != chosen.trim());
        }
        let faults = proof.faults();
        Ok(Report { repository, sections, record, proof, faults, grown })
    }
}

/// What an analyst has written, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// Its findings.
    pub(super) found: u64,
    /// What it said beside: that it began, and that it pauses.
    pub(super) beside: u64,
}

impl Written {
    fn is_any(&self) -> bool {
        self.found + self.beside > 0
    }

    /// What all of them wrote from `before` to `after`.
    fn between(before: [Written; 3], after: [Written; 3]) -> Written {
        let grown = |of: fn(&Written) -> u64| {
            after.iter().zip(&before).map(|(after, before)| of(after).saturating_sub(of(before))).sum()
        };
        Written { found: grown(|written| written.found), beside: grown(|written| written.beside) }
    }

    /// It in words. Signs of life count where no finding was left to come.
    pub(super) fn words(&self) -> String {
        match self {
            Written { found: 0, beside } => {
                format!("no finding was left to come, and {beside} B of signs of life came")
            }
            Written { found, .. } => format!("{found} B of findings came"),
        }
    }
}

/// The length of a file that may not be there yet.
fn file_size(path: Utf8PathBuf) -> Result<u64, CliError> {
    match std::fs::metadata(&path) {
        Ok(found) => Ok(found.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(source) => Err(CliError::ReadFile { path, source }),
    }
}

/// Says something; on a screen no word of it is broken, and what does not fit on a line stands below its beginning.
pub(super) fn tell(context: &Context, paint: Paint, text: &str) -> Result<(), CliError> {
    let columns = if context.is_live { context.columns() } else { usize::MAX };
    text.split('\n').flat_map(|line| parts(line, columns)).try_for_each(|line| {
        let shown = if line.is_empty() { line } else { context.style.paint(paint, &line) };
        output::line(&shown)
    })
}

fn parts(line: &str, columns: usize) -> Vec<String> {
    if width(line) <= columns {
        return vec![line.to_owned()];
    }
    let indent = line.len() - line.trim_start().len();
    let parts = wrapped(line, columns.saturating_sub(indent + CONTINUED_COLUMNS));
    let place = |(index, part): (usize, &String)| {
        let further = if index == 0 { 0 } else { CONTINUED_COLUMNS };
        format!("{:1$}{part}", "", indent + further)
    };
    parts.iter().enumerate().map(place).collect()
}

fn question(record: &RunRecord) -> Option<&QuestionRecord> {
    record.questions.first()
}

/// The output of a step that put out text; it is stored as JSON.
async fn words(store: &Store, output: &Text) -> Result<String, CliError> {
    Ok(serde_json::from_str(&store.text(output).await?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_on_a_line_stands_below_its_beginning_and_no_word_is_broken() {
        let line = "   changes, notes or couples; it is in the log, and takes `changes` by itself";
        assert_eq!(parts(line, 140), [line]);
        assert_eq!(
            parts(line, 40),
            ["   changes, notes or couples; it is in", "     the log, and takes `changes` by", "     itself"]
        );
    }

    #[test]
    fn pauses_are_no_findings() {
        let written = |found, beside| Written { found, beside };
        let before = [written(10, 5), written(0, 5), written(7, 0)];
        let grown = Written::between(before, [written(30, 45), written(0, 45), written(7, 40)]);
        assert_eq!(grown, written(20, 120));
        assert_eq!(grown.words(), "20 B of findings came");
        assert_eq!(written(0, 120).words(), "no finding was left to come, and 120 B of signs of life came");
    }
}
