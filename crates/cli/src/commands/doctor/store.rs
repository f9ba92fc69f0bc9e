//! How the store stands: whether it opens, its room, its configuration, who owns runs, and which stand still.

use std::collections::BTreeMap;

use backstay_engine::record::RunStatus;
use backstay_log::maintenance::quick_check;
use backstay_log::{Direction, ReadError, SqliteLog, TopicFilter};
use backstay_model::limits::PAGE_EVENTS_MAX;
use backstay_model::{Coded, OwnerId, Seq, Timestamp, Topic};
use backstay_runtime::{Room, RunRow, Store, StoreOpenError, check_private, room};
use camino::Utf8Path;

use super::findings::{Finding, Health, Part};
use crate::configuration::{Configuration, WhileUntrusted};
use crate::context::{Context, LOG_FILE};
use crate::error::CliError;
use crate::output::describe_any;
use crate::ui::{Times, bytes, short, unowned_limit_words};

/// Below this a run would soon have to stand still.
const SCARCE_BYTES: u64 = 64 * 1024 * 1024;
/// Below this somebody should look.
const LOW_BYTES: u64 = 1024 * 1024 * 1024;
/// A database that is larger is not read whole: that would take longer than anybody waits for a word.
const GLANCE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Runs that are named, of owners and of those that stand still.
const RUNS_MAX: usize = 8;

/// What is found of the store and its configuration.
pub(super) async fn findings(
    context: &Context,
    configuration: &Result<Configuration, CliError>,
) -> Result<Vec<Finding>, CliError> {
    let Some(folder) = context.store_folder() else {
        let found = "none here yet: `backstay run FILE` and `backstay init` make one";
        return Ok(vec![Finding::new(Part::Store, "folder", Health::Good, found)]);
    };
    if let Err(error) = check_private(&folder).map_err(StoreOpenError::from).map_err(CliError::from) {
        return Ok(vec![refused("folder", &error)]);
    }
    let mut findings = vec![Finding::new(Part::Store, "folder", Health::Good, folder.as_str())];
    findings.push(configured(configuration));
    if folder.join(LOG_FILE).symlink_metadata().is_err() {
        findings.push(Finding::new(Part::Store, "log", Health::Good, "none yet: the first run makes it"));
        return Ok(findings);
    }
    let store = match context.opening(&folder).or_read_only().await {
        Ok(store) => store,
        Err(error) => {
            findings.push(refused("log", &error));
            return Ok(findings);
        }
    };
    let rows = match store.runs(TopicFilter::default()).await {
        Ok(rows) => rows,
        Err(error) => {
            findings.push(broken(describe_any(&error)));
            return Ok(findings);
        }
    };
    if let Err(error) = read_some(&store, &rows).await {
        findings.push(broken(describe_any(&error)));
        return Ok(findings);
    }
    let database = match store.read_only() {
        Some(read_only) => {
            findings.push(Finding::new(Part::Store, "access", Health::Look, read_only.describe()));
            read_only.database().to_owned()
        }
        None => folder.clone(),
    };
    let (measured, wrong) = tokio::task::spawn_blocking(move || measure(&folder, &database)).await?;
    if let Some(wrong) = wrong {
        findings.push(broken(wrong));
        return Ok(findings);
    }
    match measured {
        Ok(measured) => findings.extend(log_and_disk(&rows, measured)),
        Err(error) => findings.push(Finding::new(
            Part::Store,
            "disk",
            Health::Look,
            format!("cannot be asked: {error}"),
        )),
    }
    findings.extend(owners(&rows, &context.times()));
    findings.extend(still(&rows, &context.times()));
    Ok(findings)
}

/// A part of the store that an error keeps from being used.
fn refused(what: &'static str, error: &impl Coded) -> Finding {
    let refused = Finding::new(Part::Store, what, Health::Bad, describe_any(error));
    match error.hint() {
        Some(hint) => refused.with_next(hint),
        None => refused,
    }
}

/// The log as one that is not whole.
fn broken(found: String) -> Finding {
    Finding::new(Part::Store, "log", Health::Bad, found).with_next("backstay store check")
}

/// How much room there is, and what is wrong with a database that is small enough to be looked at whole. Blocks.
fn measure(folder: &Utf8Path, database: &Utf8Path) -> (std::io::Result<Room>, Option<String>) {
    let measured = room(folder);
    let is_small = measured.as_ref().is_ok_and(|room| room.database_bytes <= GLANCE_BYTES_MAX);
    let wrong = if is_small { quick_check(database.as_std_path()) } else { Ok(None) };
    (measured, wrong.unwrap_or_else(|error| Some(describe_any(&error))))
}

/// Reads the first and the last events of the newest runs: opening a database reads little of it. `store check` reads all.
async fn read_some(store: &Store, rows: &[RunRow]) -> Result<(), ReadError> {
    let log = store.log();
    for topic in rows.iter().take(RUNS_MAX).map(|row| Topic::run(row.run)) {
        log.read(&topic, Seq(0), Direction::Forward, PAGE_EVENTS_MAX).await?;
        log.read(&topic, Seq(u64::MAX), Direction::Backward, PAGE_EVENTS_MAX).await?;
    }
    Ok(())
}

/// The state of the configuration file.
fn configured(configuration: &Result<Configuration, CliError>) -> Finding {
    let finding = |health, found: String| Finding::new(Part::Store, "config.toml", health, found);
    let store = match configuration {
        Ok(configuration) => configuration.of_store(),
        Err(error) => return refused("config.toml", error),
    };
    let Some(store) = store else {
        return finding(Health::Good, "none: everything is as it comes".to_owned());
    };
    let refusing = store.not_allowed(WhileUntrusted::Refuses).len();
    let left_out = store.not_allowed(WhileUntrusted::LeftOut).len();
    let settings =
        |count: usize| if count == 1 { "1 setting".to_owned() } else { format!("{count} settings") };
    match (refusing, left_out) {
        (0, 0) => return finding(Health::Good, "in order".to_owned()),
        (0, ignored) => finding(
            Health::Look,
            format!("{} of it ignored: you have not allowed what they execute or remove", settings(ignored)),
        ),
        (refusing, _) => finding(
            Health::Bad,
            format!("no run begins: you have not allowed {} of agents in it", settings(refusing)),
        ),
    }
    .with_next("backstay trust --show")
}

pub(super) fn log_and_disk(rows: &[RunRow], measured: Room) -> Vec<Finding> {
    let Room { database_bytes, free_bytes, ballast_bytes } = measured;
    let open = rows.iter().filter(|row| !row.summary.status.is_ended()).count();
    let runs = if rows.len() == 1 { "run" } else { "runs" };
    let log = format!(
        "can be read, format {}, {}: {} {runs}, {open} of them not ended",
        SqliteLog::FORMAT,
        bytes(database_bytes),
        rows.len(),
    );
    let health = match free_bytes {
        0..SCARCE_BYTES => Health::Bad,
        SCARCE_BYTES..LOW_BYTES => Health::Look,
        LOW_BYTES.. => Health::Good,
    };
    let kept = match ballast_bytes {
        0 => "nothing is kept for a full disk".to_owned(),
        kept => format!("{} kept for a full disk", bytes(kept)),
    };
    let disk = Finding::new(Part::Store, "disk", health, format!("{} free, {kept}", bytes(free_bytes)));
    let disk = if health == Health::Good { disk } else { disk.with_next("backstay prune --dry-run") };
    vec![Finding::new(Part::Store, "log", Health::Good, log), disk]
}

/// The processes that own runs.
pub(super) fn owners(rows: &[RunRow], times: &Times) -> Vec<Finding> {
    struct Owned<'r> {
        pid: u32,
        host: &'r str,
        since: Timestamp,
        runs: Vec<String>,
    }
    let mut owners: BTreeMap<OwnerId, Owned<'_>> = BTreeMap::new();
    for row in rows {
        if let Some(owner) = row.owner.as_ref().filter(|owner| owner.is_held()) {
            let identity = &owner.identity;
            let owned = owners.entry(identity.owner).or_insert_with(|| Owned {
                pid: identity.pid,
                host: &identity.host,
                since: identity.owner.drawn_at(),
                runs: Vec::new(),
            });
            owned.runs.push(short(row.run));
        }
    }
    if owners.is_empty() {
        return vec![Finding::new(Part::Store, "owner", Health::Good, "no process owns a run now")];
    }
    let finding = |owned: Owned<'_>| {
        let Owned { pid, host, since, runs } = owned;
        let found = format!("pid {pid} on {host} since {}: {}", times.minute(since), named(&runs));
        Finding::new(Part::Store, "owner", Health::Good, found)
    };
    owners.into_values().map(finding).collect()
}

fn named(runs: &[String]) -> String {
    let more = runs.len().saturating_sub(RUNS_MAX);
    let named = runs.iter().take(RUNS_MAX).cloned().collect::<Vec<_>>().join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

/// The runs that stand still, and why.
pub(super) fn still(rows: &[RunRow], times: &Times) -> Vec<Finding> {
    let mut all: Vec<Finding> = rows.iter().filter_map(|row| stands_still(row, times)).collect();
    let more = all.len().saturating_sub(RUNS_MAX);
    all.truncate(RUNS_MAX);
    if more > 0 {
        let found = format!("{more} more stand still");
        all.push(Finding::new(Part::Store, "runs", Health::Look, found).with_next("backstay ls"));
    }
    all
}

fn stands_still(row: &RunRow, times: &Times) -> Option<Finding> {
    let (summary, id) = (&row.summary, short(row.run));
    let is_owned = row.owner.as_ref().is_some_and(|owner| owner.is_held());
    let why = summary.why.as_deref().map_or_else(String::new, |why| format!(", {why}"));
    let resume = format!("backstay resume {id}");
    let (found, next) = match summary.status {
        RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled => return None,
        _ if summary.question.is_some() => ("asks a person".to_owned(), "backstay inbox".to_owned()),
        RunStatus::Waiting => ("waits for a person".to_owned(), "backstay inbox".to_owned()),
        RunStatus::Suspended => (format!("suspended{why}"), resume),
        _ if is_owned => return None,
        RunStatus::Queued => ("nobody began it".to_owned(), resume),
        RunStatus::Running | RunStatus::Suspending | RunStatus::Cancelling => match &summary.limit {
            Some(limit) if limit.until > times.now => (unowned_limit_words(limit, times), resume),
            _ => (format!("interrupted: nobody owns it{why}"), resume),
        },
    };
    let found = format!("{}: {found}", summary.workflow);
    Some(Finding::new(Part::Store, &id, Health::Look, found).with_next(next))
}
