//! The configurations that there are, one over the other, and what each setting does while nobody has allowed it.

use std::collections::BTreeMap;

use backstay_agent::{AgentTables, Presets, Reach};
use backstay_model::Digest;
use backstay_runtime::{Retention, preset_traits};
use backstay_workflow::PresetTraits;
use camino::Utf8Path;

use super::allowed::is_allowed;
use super::file::{ConfigurationFile, Notify, read_of_store, read_of_user};
use crate::error::CliError;

/// What a setting of a store's configuration does while its user has not allowed the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WhileUntrusted {
    /// The same as ever: it executes nothing, removes nothing, and widens nothing.
    Counts,
    /// Nothing, with a warning: without it less happens.
    LeftOut,
    /// It refuses runs: without it an agent could do more than with it.
    Refuses,
}

/// One setting, as people read it. What a terminal would obey in it is escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) while_untrusted: WhileUntrusted,
}

/// What was read of both configurations. What executes, removes or widens something is only in a
/// [`TrustedConfiguration`](super::TrustedConfiguration).
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(super) user: Option<ConfigurationFile>,
    pub(super) store: Option<StoreConfiguration>,
}

/// The configuration of a store.
#[derive(Debug)]
pub(crate) struct StoreConfiguration {
    pub(super) file: ConfigurationFile,
    pub(super) is_allowed: bool,
}

impl Configuration {
    /// Reads the user's own configuration and that in the folder `store`. `cwd` is what paths are shown relative to.
    pub(crate) fn read(
        env: &BTreeMap<String, String>,
        cwd: &Utf8Path,
        store: &Utf8Path,
    ) -> Result<Configuration, CliError> {
        let user = read_of_user(env)?;
        let store = read_of_store(cwd, store)?
            .map(|file| {
                let is_allowed = is_allowed(env, &file.path, file.digest)?;
                Ok::<_, CliError>(StoreConfiguration { file, is_allowed })
            })
            .transpose()?;
        Ok(Configuration { user, store })
    }

    /// Whether a terminal that shows a run may ring.
    pub(crate) fn bell(&self) -> bool {
        self.layers().filter_map(|layer| layer.notify.bell).last().unwrap_or(true)
    }

    /// What the check of a workflow has to know of the agents. Nothing can be started by it.
    pub(crate) fn traits(&self) -> Result<BTreeMap<String, PresetTraits>, CliError> {
        let tables: Vec<&AgentTables> = self.layers().map(|layer| &layer.agents).collect();
        Ok(preset_traits(&Presets::layered(&tables)?))
    }

    /// The configuration in the store's folder, if there is one.
    pub(crate) fn of_store(&self) -> Option<&StoreConfiguration> {
        self.store.as_ref()
    }

    fn layers(&self) -> impl Iterator<Item = &ConfigurationFile> {
        self.user.iter().chain(self.store.iter().map(|store| &store.file))
    }
}

impl StoreConfiguration {
    /// Where it is.
    pub(crate) fn path(&self) -> &Utf8Path {
        &self.file.path
    }

    /// The digest of its bytes.
    pub(crate) fn digest(&self) -> Digest {
        self.file.digest
    }

    /// Whether the user has allowed these bytes at this place.
    pub(crate) fn is_allowed(&self) -> bool {
        self.is_allowed
    }

    /// All that it says.
    pub(crate) fn settings(&self) -> Vec<Setting> {
        settings(&self.file)
    }

    /// The settings that do `what` because nobody has allowed them.
    pub(crate) fn not_allowed(&self, what: WhileUntrusted) -> Vec<Setting> {
        let mut settings = if self.is_allowed { Vec::new() } else { self.settings() };
        settings.retain(|setting| setting.while_untrusted == what);
        settings
    }
}

/// Every setting of a file, and what it does while nobody has allowed it. The patterns name every field: a new one does
/// not compile before that is decided.
fn settings(file: &ConfigurationFile) -> Vec<Setting> {
    let ConfigurationFile { path: _, digest: _, retention, notify, agents } = file;
    let Retention { older, size_bytes } = retention;
    let Notify { command, bell } = notify;
    let mut settings = Vec::new();
    let mut add = |key: &str, value: Option<String>, while_untrusted| {
        settings.extend(value.map(|value| Setting { key: key.to_owned(), value, while_untrusted }));
    };
    add("notify.command", command.as_ref().map(|command| format!("{command:?}")), WhileUntrusted::LeftOut);
    add("notify.bell", bell.map(|bell| bell.to_string()), WhileUntrusted::Counts);
    // It removes what nobody can bring back.
    add("retention.older", older.map(|older| format!("{older:?}")), WhileUntrusted::LeftOut);
    add("retention.max_size", size_bytes.map(|size| format!("{size} bytes")), WhileUntrusted::LeftOut);
    settings.extend(agents.settings().map(|(agent, setting)| Setting {
        key: format!("agents.{}.{}", agent.escape_debug(), setting.key),
        value: setting.value,
        while_untrusted: match setting.reach {
            Reach::Nothing => WhileUntrusted::Counts,
            Reach::Execution | Reach::Access => WhileUntrusted::Refuses,
        },
    }));
    settings
}

#[cfg(test)]
mod tests {
    use super::super::file::parsed;
    use super::*;

    #[test]
    fn each_setting_of_a_configuration_does_one_thing_while_nobody_has_allowed_it() {
        let file = parsed(
            "[notify]\ncommand = [\"say\", \"\\u001b[2J\"]\nbell = false\n\
             [retention]\nolder = \"1d\"\nmax_size = \"1K\"\n\
             [agents.codex]\nprogram = \"x\"\ntried = \"1\"\naccess.read.args = [\"--yolo\"]\n",
        )
        .unwrap();
        let told: Vec<(String, WhileUntrusted)> = settings(&file)
            .into_iter()
            .map(|setting| (format!("{} = {}", setting.key, setting.value), setting.while_untrusted))
            .collect();
        let expected = [
            ("notify.command = [\"say\", \"\\u{1b}[2J\"]", WhileUntrusted::LeftOut),
            ("notify.bell = false", WhileUntrusted::Counts),
            ("retention.older = 86400s", WhileUntrusted::LeftOut),
            ("retention.max_size = 1024 bytes", WhileUntrusted::LeftOut),
            ("agents.codex.tried = \"1\"", WhileUntrusted::Counts),
            ("agents.codex.program = \"x\"", WhileUntrusted::Refuses),
            ("agents.codex.access.read.args = [\"--yolo\"]", WhileUntrusted::Refuses),
        ];
        assert_eq!(told, expected.map(|(text, what)| (text.to_owned(), what)));
    }
}
