//! The course of the demo: work, kill, nobody, another owner, a question, the proof.

use std::io::IsTerminal;
use std::time::Duration;

use backstay_engine::record::{QuestionRecord, RunRecord};
use backstay_exec::spool::Stream;
use backstay_log::TopicFilter;
use backstay_model::Text;
use backstay_runtime::Store;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::{Interval, interval};

use super::proof::Proof;
use super::report::{Finding, Report, Section};
use super::stage::{Stage, stopped};
use super::{ANALYSTS, Repository};
use crate::context::Context;
use crate::error::CliError;
use crate::output;
use crate::ui::{Paint, bytes, cut_with_mark};

/// The time between two rows; people read no faster.
const BEAT: Duration = Duration::from_secs(1);
/// Rows before the kill, and rows without an owner.
const ROWS: usize = 3;
/// Beats that anything may take to happen; far above what it takes.
const BEATS_MAX: usize = 50;
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
        self.until(&store, "all three work", |_record, sizes| sizes.iter().all(|size| *size > 0)).await?;
        self.rows(&store, "").await?;
        let killed_at = self.context.now();
        let before = self.kill(&store, pid).await?;
        self.rows(&store, "no owner").await?;
        let after = self.sizes(&store).await?;
        let grown: u64 = after.iter().zip(before).map(|(after, before)| after.saturating_sub(before)).sum();
        self.say(
            Paint::Good,
            &format!(" ✓ {grown} B more, with no owner: each analyst lives under a keeper of its own"),
        )?;
        let pid = self.stage.own(&["resume", "@last", "--json"])?;
        self.say(Paint::Bold, &format!(" ▸ backstay resume: another owner, pid {pid}"))?;
        let asked = self.until(&store, "the analysts end", |record, _| question(record).is_some()).await?;
        self.ask(&asked).await?;
        if let Some(mut owner) = self.stage.owner.take() {
            owner.wait().await.map_err(stopped)?;
        }
        let record = self.record(&store).await?;
        let proof = Proof::read(&store, &record, killed_at).await?;
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
        let (body, end) = text.strip_suffix('\n').map_or((text, ""), |body| (body, "\n"));
        let shown =
            if self.context.is_live { cut_with_mark(body, self.context.columns()) } else { body.to_owned() };
        output::line(&format!("{}{end}", self.context.style.paint(paint, &shown)))
    }

    /// The store, once the owner has made it and the run is in it.
    async fn store(&mut self) -> Result<Store, CliError> {
        for _ in 0..BEATS_MAX {
            self.beat.tick().await;
            if !self.stage.store().join("log.db").exists() {
                continue;
            }
            let store = Store::open(&self.stage.store(), false).await?;
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

    /// Bytes of both streams of each analyst, as they stand in the files.
    async fn sizes(&self, store: &Store) -> Result<[u64; 3], CliError> {
        let record = self.record(store).await?;
        let mut sizes = [0; 3];
        for (size, name) in sizes.iter_mut().zip(ANALYSTS) {
            let attempts =
                record.steps.iter().filter(|step| step.step.as_str() == name).flat_map(|step| &step.attempts);
            for folder in attempts.filter_map(|attempt| attempt.folder.as_ref()) {
                for stream in Stream::BOTH {
                    let path = store.folder().join(folder).join(stream.file_name());
                    *size += match std::fs::metadata(&path) {
                        Ok(found) => found.len(),
                        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
                        Err(source) => return Err(CliError::ReadFile { path, source }),
                    };
                }
            }
        }
        Ok(sizes)
    }

    async fn row(&mut self, store: &Store, mark: &str) -> Result<[u64; 3], CliError> {
        self.beat.tick().await;
        self.seconds += 1;
        let sizes = self.sizes(store).await?;
        let mut text = format!(" {:>3} s", self.seconds);
        for (name, size) in ANALYSTS.iter().zip(sizes) {
            text.push_str(&format!("   {name} {:>7}", bytes(size)));
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
        is_so: impl Fn(&RunRecord, &[u64; 3]) -> bool,
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
    async fn kill(&mut self, store: &Store, pid: u32) -> Result<[u64; 3], CliError> {
        let mut owner = self.stage.owner.take().ok_or(CliError::NoRuns)?;
        owner.kill().await.map_err(stopped)?;
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
        for witness in &proof.witnesses {
            // Both are held against the log; the one with the findings is shown, or what was said beside if there are none.
            let Some(shown) = witness.streams.iter().find(|stream| stream.size_bytes > 0) else { continue };
            self.say(
                Paint::Plain,
                &format!(
                    "   {:<8} started {}×, found again {}×, log {} B {} = spool {} B {}",
                    witness.step,
                    witness.starts,
                    witness.attached,
                    shown.logged.size_bytes,
                    shown.logged.digest.short(),
                    shown.size_bytes,
                    shown.digest.short()
                ),
            )?;
        }
        for one in &proof.interruptions {
            let seconds = one.until.since(one.from).as_secs_f64();
            self.say(
                Paint::Plain,
                &format!("   no owner for {seconds:.1} s; {} steps lost", one.lost.len()),
            )?;
        }
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
        grown: u64,
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

fn question(record: &RunRecord) -> Option<&QuestionRecord> {
    record.questions.first()
}

/// The output of a step that put out text; it is stored as JSON.
async fn words(store: &Store, output: &Text) -> Result<String, CliError> {
    Ok(serde_json::from_str(&store.text(output).await?)?)
}
