//! The check of trust, and what only it gives out.

use backstay_agent::{AgentTables, Presets};
use backstay_runtime::Retention;

use super::file::ConfigurationFile;
use super::layers::{Configuration, Setting, WhileUntrusted};
use crate::error::CliError;

/// What may execute programs, remove records and say what an agent may do: the user's own configuration, and that of the
/// store as far as it is allowed. Only the check of trust makes one. Where data and keys go belongs here, too.
#[derive(Debug)]
pub(crate) struct TrustedConfiguration {
    presets: Presets,
    notify: Option<Vec<String>>,
    retention: Option<Retention>,
    left_out: Option<String>,
}

impl Configuration {
    /// What a run is started and owned by.
    ///
    /// # Errors
    /// [`CliError::UntrustedConfiguration`] if the store's configuration says how agents are started or what they may do,
    /// and the user has not allowed it: without it an agent could do more than with it.
    pub(crate) fn trusted(&self) -> Result<TrustedConfiguration, CliError> {
        if let Some(store) = &self.store {
            let refusing = store.not_allowed(WhileUntrusted::Refuses);
            if !refusing.is_empty() {
                return Err(CliError::UntrustedConfiguration {
                    path: store.file.path.clone(),
                    settings: keys(&refusing),
                });
            }
        }
        self.trusted_part()
    }

    /// What is trusted of it, for what begins no work of an agent: the rest is left out.
    pub(crate) fn trusted_part(&self) -> Result<TrustedConfiguration, CliError> {
        let (user, store) = (self.user.as_ref(), self.store.as_ref());
        let allowed = store.filter(|store| store.is_allowed).map(|store| &store.file);
        // What only counts for nothing else counts as it is.
        let harmless = store.filter(|store| store.not_allowed(WhileUntrusted::Refuses).is_empty());
        let tables: Vec<&AgentTables> =
            user.into_iter().chain(harmless.map(|store| &store.file)).map(|layer| &layer.agents).collect();
        let layers: Vec<&ConfigurationFile> = user.into_iter().chain(allowed).collect();
        let retention = Retention {
            older: last(&layers, |layer| layer.retention.older),
            size_bytes: last(&layers, |layer| layer.retention.size_bytes),
        };
        Ok(TrustedConfiguration {
            presets: Presets::layered(&tables)?,
            notify: last(&layers, |layer| layer.notify.command.clone()),
            retention: (retention != Retention::default()).then_some(retention),
            left_out: store.and_then(|store| {
                let settings = store.not_allowed(WhileUntrusted::LeftOut);
                (!settings.is_empty()).then(|| left_out(&store.file, &settings))
            }),
        })
    }
}

impl TrustedConfiguration {
    /// The agents that there are.
    pub(crate) fn presets(&self) -> &Presets {
        &self.presets
    }

    /// The command that tells a person what a run needs, if there is one.
    pub(crate) fn notify(&self) -> Option<&[String]> {
        self.notify.as_deref()
    }

    /// What the store keeps of runs that have ended, if something says so.
    pub(crate) fn retention(&self) -> Option<Retention> {
        self.retention
    }

    /// What is ignored because nobody has allowed it, in a line for people.
    pub(crate) fn left_out(&self) -> Option<&str> {
        self.left_out.as_deref()
    }
}

/// What the last of `layers` that says something says.
fn last<T>(layers: &[&ConfigurationFile], of: impl Fn(&ConfigurationFile) -> Option<T>) -> Option<T> {
    layers.iter().rev().find_map(|layer| of(layer))
}

fn left_out(file: &ConfigurationFile, settings: &[Setting]) -> String {
    let keys = keys(settings).into_iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    format!(
        "{keys} in {} {} ignored: you have not allowed this file (`backstay trust --show` prints it, `backstay trust` allows it)",
        file.path,
        if settings.len() == 1 { "is" } else { "are" },
    )
}

fn keys(settings: &[Setting]) -> Vec<String> {
    settings.iter().map(|setting| setting.key.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::file::parsed;
    use super::super::layers::StoreConfiguration;
    use super::*;

    fn configuration(user: &str, store: &str, is_allowed: bool) -> Configuration {
        Configuration {
            user: Some(parsed(user).unwrap()),
            store: Some(StoreConfiguration { file: parsed(store).unwrap(), is_allowed }),
        }
    }

    #[test]
    fn what_the_store_says_counts_over_the_users_own_once_it_is_allowed_key_by_key() {
        let user = "[notify]\ncommand = [\"mine\"]\nbell = false\n[retention]\nolder = \"1d\"\nmax_size = \"1K\"\n[agents.codex]\nprogram = \"/user\"\nenv = { A = \"1\" }\n";
        let store = "[notify]\ncommand = [\"theirs\"]\n[retention]\nolder = \"2d\"\n[agents.codex]\nprogram = \"/store\"\n";
        let allowed = configuration(user, store, true);
        let trusted = allowed.trusted().unwrap();
        assert_eq!(trusted.presets().get("codex").unwrap().program(), "/store");
        assert_eq!(trusted.notify(), Some(&["theirs".to_owned()][..]));
        let day = Duration::from_secs(86_400);
        assert_eq!(trusted.retention(), Some(Retention { older: Some(2 * day), size_bytes: Some(1_024) }));
        assert_eq!((trusted.left_out(), allowed.bell()), (None, false));

        let untrusted = configuration(user, store, false);
        let part = untrusted.trusted_part().unwrap();
        assert_eq!(part.presets().get("codex").unwrap().program(), "/user");
        assert_eq!(part.notify(), Some(&["mine".to_owned()][..]));
        assert_eq!(part.retention(), Some(Retention { older: Some(day), size_bytes: Some(1_024) }));
        let left_out = part.left_out().unwrap();
        assert!(left_out.starts_with("`notify.command`, `retention.older` in "), "{left_out}");
        assert!(left_out.contains("backstay trust"), "{left_out}");
        let error = untrusted.trusted().unwrap_err();
        let CliError::UntrustedConfiguration { settings, .. } = &error else { panic!("{error:?}") };
        assert_eq!(settings, &["agents.codex.program"]);
    }

    #[test]
    fn what_neither_executes_nor_widens_counts_without_being_allowed() {
        let store = "[notify]\nbell = false\n[agents.codex]\nsigns.limit = [\"no more\"]\n";
        let untrusted = configuration("", store, false);
        let trusted = untrusted.trusted().unwrap();
        assert_eq!(
            trusted.presets().get("codex").unwrap().signs().limit,
            [backstay_agent::Pattern::from("no more".to_owned())]
        );
        assert_eq!((trusted.left_out(), untrusted.bell()), (None, false));
        let new = configuration(
            "",
            "[agents.mine]\nprogram = \"x\"\nstart = []\nprompt.stdin = []\naccess.read.args = []\n",
            false,
        );
        assert!(new.traits().unwrap().contains_key("mine"), "a check knows of it");
        assert!(new.trusted_part().unwrap().presets().get("mine").is_none(), "and nothing is started by it");
    }
}
