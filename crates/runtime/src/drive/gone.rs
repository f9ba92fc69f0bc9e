//! A store that was deleted, moved or replaced under its owner. The owner writes nothing more: not to the place where the store
//! was, which may be another one's now, and not to where it is. What it has at work is waited for, and how that ended is kept.

use backstay_engine::Report;
use backstay_exec::ExitRecord;
use backstay_log::{AppendError, ClaimError, OpenError, ReadError, StoreError};
use backstay_model::{EffectId, RunId};
use camino::Utf8PathBuf;

use super::ShutdownHandle;
use super::in_flight::{News, Supervisor, Trouble, chain};
use super::run_loop::Drive;
use crate::error::{DriveError, RunError};
use crate::store::Store;
use crate::store::home::Whereabouts;

/// What is known of a store that is not where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreGone {
    /// The run that was at work, if it is one run's owner who found out.
    pub run: Option<RunId>,
    /// Where it was.
    pub folder: Utf8PathBuf,
    /// Where it is now, as far as that can be told.
    pub moved_to: Option<Utf8PathBuf>,
    /// How the work ended that was in flight.
    pub exits: Vec<KeptExit>,
}

/// How work ended whose store is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptExit {
    /// Which work.
    pub effect: EffectId,
    /// Its exit code, if it ended by itself.
    pub exit_code: Option<i32>,
    /// The file with the whole record, or why there is none.
    pub kept: Result<Utf8PathBuf, String>,
}

impl std::fmt::Display for KeptExit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} ended", self.effect)?;
        if let Some(code) = self.exit_code {
            write!(formatter, " with exit code {code}")?;
        }
        match &self.kept {
            Ok(path) => write!(formatter, ", and its exit record is {path}"),
            Err(what) => write!(formatter, ", and its exit record could not be kept: {what}"),
        }
    }
}

impl std::fmt::Display for StoreGone {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "the store {} was deleted, moved or replaced while ", self.folder)?;
        match self.run {
            Some(run) => write!(formatter, "{run} was at work")?,
            None => write!(formatter, "it was in use")?,
        }
        self.exits.iter().try_for_each(|exit| write!(formatter, "; {exit}"))
    }
}

impl StoreGone {
    /// The way out.
    pub(crate) fn hint(&self) -> String {
        let run = self.run.map(|run| format!(" {run}")).unwrap_or_default();
        match &self.moved_to {
            Some(path) => {
                let word = backstay_files::shell_word(path.as_str());
                format!("it is {path} now: `backstay --store {word} resume{run}` goes on there")
            }
            None => "if it was moved, `backstay --store DIR resume` goes on there; what was deleted comes back from a backup only".to_owned(),
        }
    }
}

impl Store {
    /// Gives `error`, which the owner of `run` met (or of no single run), or that the store is gone, where that is what
    /// it comes from. The one place that tells it.
    pub(crate) fn or_gone(&self, run: Option<RunId>, error: DriveError) -> DriveError {
        match self.gone(run, &error) {
            Some(gone) => DriveError::StoreGone(Box::new(gone)),
            None => error,
        }
    }

    /// What is known of the store, if `error` comes from its being deleted, moved or replaced.
    fn gone(&self, run: Option<RunId>, error: &DriveError) -> Option<StoreGone> {
        let moved_to = match (error, self.home.whereabouts()) {
            // It is told already.
            (DriveError::StoreGone(_), _) => return None,
            (_, Ok(Whereabouts::Moved(to))) => Some(to),
            (_, Ok(Whereabouts::Gone)) => None,
            // The folder is in place, and another database in it.
            (error, Ok(Whereabouts::InPlace)) if says_gone(error) => None,
            (_, Ok(Whereabouts::InPlace)) => return None,
            (_, Err(unknown)) => {
                tracing::debug!(%unknown, "the store's folder cannot be looked at");
                return None;
            }
        };
        Some(StoreGone { run, folder: self.folder.clone(), moved_to, exits: Vec::new() })
    }
}

impl Supervisor {
    /// Whether the store is gone; if so, the loop is told, with how the work ended.
    pub(super) fn is_displaced(&self, record: Option<&ExitRecord>) -> bool {
        match self.store.home.whereabouts() {
            Ok(Whereabouts::InPlace) => return false,
            Ok(Whereabouts::Moved(_) | Whereabouts::Gone) => {
                let exit = record.map(|record| self.keep(record));
                self.say(News::StoreGone { effect: self.effect.clone(), exit });
            }
            Err(error) => {
                let what = format!("{} cannot be looked at: {error}", self.store.folder);
                self.trouble(Trouble::Other(what));
            }
        }
        true
    }

    fn keep(&self, record: &ExitRecord) -> KeptExit {
        let name = format!("{}.{}.exit.json", self.effect, self.attempt);
        let kept = match serde_json::to_vec(record) {
            Ok(bytes) => self.store.keep_elsewhere(&name, &bytes).map_err(|error| chain(&error)),
            Err(error) => Err(error.to_string()),
        };
        KeptExit { effect: self.effect.clone(), exit_code: record.exit_code, kept }
    }
}

impl Drive<'_> {
    /// What an error of the loop means. If the store is gone, the work in flight is waited for: nobody else would hear how it
    /// ends.
    pub(super) async fn or_store_gone(&mut self, error: DriveError, switch: &ShutdownHandle) -> DriveError {
        let Some(mut gone) = self.owner.store.gone(Some(self.run), &error) else { return error };
        // What did not begin does not: nobody would record it.
        self.in_flight.retain(|_, flight| !flight.call_off());
        // Whose end is known already says nothing more.
        for report in std::mem::take(&mut self.reports) {
            self.hear_without_store(News::Report(report));
        }
        if !self.in_flight.is_empty() {
            let at_work = self.in_flight.len();
            tracing::warn!(run = %self.run, at_work, "the store is gone; what is at work is waited for");
        }
        while !self.in_flight.is_empty() {
            tokio::select! {
                biased;
                () = switch.stopped() => break,
                news = self.incoming.recv() => match news {
                    Some(news) => self.hear_without_store(news),
                    None => break,
                },
            }
        }
        gone.exits = std::mem::take(&mut self.exits);
        DriveError::StoreGone(Box::new(gone))
    }

    /// Whether the store is certainly not where it was.
    pub(super) fn is_store_away(&self) -> bool {
        matches!(self.owner.store.home.whereabouts(), Ok(Whereabouts::Moved(_) | Whereabouts::Gone))
    }

    /// Takes news of work whose store is gone: only ends count.
    fn hear_without_store(&mut self, news: News) {
        let ended = match news {
            News::StoreGone { effect, exit } => {
                self.exits.extend(exit);
                Some(effect)
            }
            News::Trouble { effect, trouble, .. } => {
                tracing::warn!(%effect, ?trouble, "how this work ended is not known");
                Some(effect)
            }
            News::Report(Report::Ended { effect, .. } | Report::Lost { effect, .. }) => Some(effect),
            News::Report(_) | News::Held { .. } | News::Beat { .. } => None,
        };
        if let Some(effect) = ended {
            self.in_flight.remove(&effect);
        }
    }
}

/// Whether an error says that the database is not the one that was opened.
fn says_gone(error: &DriveError) -> bool {
    matches!(
        error,
        DriveError::Register(OpenError::Store(StoreError::Gone { .. }))
            | DriveError::Claim(ClaimError::Store(StoreError::Gone { .. }))
            | DriveError::Run(
                RunError::Append(AppendError::Store(StoreError::Gone { .. }))
                    | RunError::Read(ReadError::Store(StoreError::Gone { .. }))
            )
    )
}
