//! `backstay demo`: a real kill, and the proof that it cost nothing.

mod proof;
mod report;
mod scene;
mod stage;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::signal::unix::{SignalKind, signal};

use self::report::Report;
use self::scene::{Scene, tell};
use self::stage::Stage;
use crate::args::DemoArgs;
use crate::context::{Context, read_text};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;
use crate::ui::Paint;

/// The steps that read the repository.
const ANALYSTS: [&str; 3] = ["changes", "notes", "couples"];
/// The workflow and its scripts.
const FILES: [(&str, &str); 5] = [
    ("workflow.yaml", include_str!("workflow.yaml")),
    ("changes.sh", include_str!("changes.sh")),
    ("notes.sh", include_str!("notes.sh")),
    ("couples.sh", include_str!("couples.sh")),
    ("paced.sh", include_str!("paced.sh")),
];

/// What the analysts read.
#[derive(Debug)]
enum Repository {
    /// The user's.
    Own(Utf8PathBuf),
    /// One that was made for it.
    Made(Utf8PathBuf),
}

impl Repository {
    fn folder(&self) -> &Utf8Path {
        match self {
            Repository::Own(folder) | Repository::Made(folder) => folder,
        }
    }
}

/// Plays the demo; whatever happens, nothing of it is left but the two reports.
pub(crate) async fn demo(context: &Context, args: &DemoArgs) -> Result<Exit, CliError> {
    if args.print {
        for (name, text) in FILES {
            output::line(&format!("# ---- {name}\n{text}"))?;
        }
        return Ok(Exit::Completed);
    }
    let out = args.out.as_ref().map_or_else(|| context.cwd.clone(), |out| context.cwd.join(out));
    let targets = [out.join("report.md"), out.join("report.html")];
    targets.iter().try_for_each(|path| is_ours(path))?;
    let wanted = args.dir.as_ref().map_or_else(|| context.cwd.clone(), |dir| context.cwd.join(dir));
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt()).map_err(CliError::Signals)?,
        signal(SignalKind::terminate()).map_err(CliError::Signals)?,
    );
    let mut stage = Stage::set(context, &wanted)?;
    let played = tokio::select! {
        played = Scene::play(context, &mut stage) => played.map(Some),
        _signal = interrupt.recv() => Ok(None),
        _signal = terminate.recv() => Ok(None),
    };
    let cleared = stage.clear().await;
    let Some(report) = played? else {
        cleared?;
        output::note("stopped; nothing was left behind");
        return Ok(Exit::Interrupted);
    };
    cleared?;
    write(&report, &targets)?;
    tell(context, Paint::Plain, &format!("\n wrote {}\n   and {}", targets[0], targets[1]))?;
    agents(context)?;
    Ok(if report.faults.is_empty() { Exit::Completed } else { Exit::Failed })
}

/// What the demo did not write is not the demo's to replace.
fn is_ours(path: &Utf8Path) -> Result<(), CliError> {
    if !path.exists() || read_text(path)?.lines().take(8).any(|line| line.contains(report::MARK)) {
        return Ok(());
    }
    Err(CliError::NotOurs { path: path.to_owned() })
}

fn write(report: &Report, targets: &[Utf8PathBuf; 2]) -> Result<(), CliError> {
    for (path, text) in targets.iter().zip([report.markdown(), report.html()]) {
        std::fs::write(path, text).map_err(|source| CliError::WriteFile { path: path.clone(), source })?;
    }
    Ok(())
}

/// Which agents could take the analysts' place. Programs are looked for, and none is started.
fn agents(context: &Context) -> Result<(), CliError> {
    let path = context.env.get("PATH").map_or("", String::as_str);
    let is_there =
        |program: &str| path.split(':').any(|folder| Utf8Path::new(folder).join(program).is_file());
    let trusted = context.configuration_here()?.trusted_part()?;
    let found: Vec<&str> = trusted
        .presets()
        .iter()
        .filter(|preset| is_there(preset.program()))
        .map(backstay_agent::Preset::name)
        .collect();
    if found.is_empty() {
        return tell(
            context,
            Paint::Plain,
            "\n no agent CLI was found (codex, claude, gemini, opencode); any command can be one:\n   backstay exec 'cmd: ./mine' \"what to do\"",
        );
    }
    let all = found.join(", ");
    let exec = format!("backstay exec {} \"make the tests pass\" --until \"cargo test\"", found[0]);
    tell(
        context,
        Paint::Plain,
        &format!("\n agents found: {all}; let one work until a command succeeds:\n   {exec}"),
    )
}
