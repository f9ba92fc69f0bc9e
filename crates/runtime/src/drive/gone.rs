//! A store that was deleted, moved or replaced under its owner. The owner writes nothing more: not to the place where the store
//! was, which may be another one's now, and not to where it is. What an agent ended with is kept.

use backstay_exec::ExitRecord;
use backstay_model::EffectId;
use camino::Utf8PathBuf;

use super::flight::{News, Watch, chain};
use crate::store::home::Whereabouts;

/// What is known of a store that is not where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreGone {
    /// Where it was.
    pub folder: Utf8PathBuf,
    /// Where it is now, as far as that can be told.
    pub moved_to: Option<Utf8PathBuf>,
    /// How the work ended that was at work, if it ended.
    pub exit: Option<KeptExit>,
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
        write!(formatter, "; {} ended", self.effect)?;
        if let Some(code) = self.exit_code {
            write!(formatter, " with exit code {code}")?;
        }
        match &self.kept {
            Ok(path) => write!(formatter, ", and its exit record is {path}"),
            Err(what) => write!(formatter, ", and its exit record could not be kept: {what}"),
        }
    }
}

impl Watch {
    /// Whether the store is gone; if so, the loop is told, with how the work ended.
    pub(super) fn is_displaced(&self, record: Option<&ExitRecord>) -> bool {
        let moved_to = match self.store.home.whereabouts() {
            Ok(Whereabouts::InPlace) => return false,
            Ok(Whereabouts::Moved(to)) => Some(to),
            Ok(Whereabouts::Gone) => None,
            Err(error) => {
                self.trouble(format!("{} cannot be looked at: {error}", self.store.folder));
                return true;
            }
        };
        let exit = record.map(|record| self.keep(record));
        self.say(News::StoreGone(StoreGone { folder: self.store.folder.clone(), moved_to, exit }));
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
