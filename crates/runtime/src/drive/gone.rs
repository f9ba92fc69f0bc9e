//! A store that was deleted, moved or replaced under its owner. The owner writes nothing more: not to the place where the store
//! was, which may be another one's now, and not to where it is. What it has at work is waited for, and how that ended is kept.

use backstay_engine::Report;
use backstay_exec::ExitRecord;
use backstay_log::{AppendError, ClaimError, ReadError, StoreError};
use backstay_model::EffectId;
use camino::Utf8PathBuf;

use super::StopSwitch;
use super::flight::{News, Trouble, Watch, chain};
use super::run_loop::Drive;
use crate::error::{DriveError, RunError};
use crate::store::home::Whereabouts;

/// What is known of a store that is not where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreGone {
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

/// What stands behind the message that a store is gone.
pub(crate) fn exits_text(exits: &[KeptExit]) -> String {
    exits.iter().map(|exit| format!("; {exit}")).collect()
}

impl Watch {
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
    pub(super) async fn or_store_gone(&mut self, error: DriveError, switch: &StopSwitch) -> DriveError {
        let whereabouts = match self.owner.store.home.whereabouts() {
            Ok(Whereabouts::InPlace) if !says_gone(&error) => return error,
            Ok(whereabouts) => whereabouts,
            Err(unknown) => {
                tracing::debug!(%unknown, "the store's folder cannot be looked at");
                return error;
            }
        };
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
        let moved_to = match whereabouts {
            Whereabouts::Moved(to) => Some(to),
            Whereabouts::InPlace | Whereabouts::Gone => None,
        };
        let gone = StoreGone {
            folder: self.owner.store.folder.clone(),
            moved_to,
            exits: std::mem::take(&mut self.exits),
        };
        DriveError::StoreGone { run: self.run, gone: Box::new(gone) }
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

/// Whether an error says that the store is gone, or that its database is not the one that was opened.
pub(crate) fn says_gone(error: &DriveError) -> bool {
    matches!(
        error,
        DriveError::StoreGone { .. }
            | DriveError::Claim(ClaimError::Store(StoreError::Gone { .. }))
            | DriveError::Run(
                RunError::Append(AppendError::Store(StoreError::Gone { .. }))
                    | RunError::Read(ReadError::Store(StoreError::Gone { .. }))
            )
    )
}
