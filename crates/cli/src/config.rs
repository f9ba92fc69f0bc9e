//! `.backstay/config.toml`, apart from agents: those are read by whoever knows them.

use std::io::ErrorKind;

use backstay_runtime::Retention;
use camino::Utf8Path;
use serde::Deserialize;

use crate::error::CliError;
use crate::ui::{parse_bytes, parse_duration};

/// What the configuration says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    retention: Option<RetentionTable>,
    notify: Option<NotifyTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NotifyTable {
    #[serde(default)]
    command: Vec<String>,
    bell: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetentionTable {
    older: Option<String>,
    max_size: Option<String>,
}

/// What the store keeps of runs that have ended, if its configuration says so.
pub(crate) fn retention(store: &Utf8Path) -> Result<Option<Retention>, CliError> {
    let Some(RetentionTable { older, max_size }) = read(store)?.retention else { return Ok(None) };
    Ok(Some(Retention {
        older: older.as_deref().map(parse_duration).transpose()?,
        size_bytes: max_size.as_deref().map(parse_bytes).transpose()?,
    }))
}

/// The command that tells a person what a run needs, if the configuration has one.
pub(crate) fn notify(store: &Utf8Path) -> Result<Option<Vec<String>>, CliError> {
    Ok(read(store)?.notify.map(|notify| notify.command).filter(|command| !command.is_empty()))
}

/// Whether a terminal that shows a run may ring.
pub(crate) fn bell(store: &Utf8Path) -> Result<bool, CliError> {
    Ok(read(store)?.notify.and_then(|notify| notify.bell).unwrap_or(true))
}

/// Says what is wrong with the configuration, before anything is asked for that needs it.
pub(crate) fn check(store: &Utf8Path) -> Result<(), CliError> {
    retention(store)?;
    notify(store).map(|_| ())
}

fn read(store: &Utf8Path) -> Result<File, CliError> {
    let path = store.join("config.toml");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(File::default());
        }
        Err(source) => return Err(CliError::ReadFile { path, source }),
    };
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        CliError::Configuration { path, line, message: error.message().to_owned() }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn configured(text: &str) -> Result<Option<Retention>, CliError> {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        std::fs::write(folder.join("config.toml"), text).unwrap();
        retention(folder)
    }

    #[test]
    fn a_retention_has_an_age_a_size_or_both() {
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        let both = Retention { older: days(30), size_bytes: Some(5 << 30) };
        assert_eq!(configured("[retention]\nolder = \"30d\"\nmax_size = \"5G\"\n").unwrap(), Some(both));
        let age = Retention { older: days(7), size_bytes: None };
        assert_eq!(
            configured("[agents.codex]\nprogram = \"x\"\n[retention]\nolder = \"7d\"\n").unwrap(),
            Some(age)
        );
        assert_eq!(configured("").unwrap(), None);
        assert_eq!(retention(Utf8Path::new("/nowhere")).unwrap(), None);
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let error = configured("[retention]\nolder = \"7d\"\nsize = \"5G\"\n").unwrap_err();
        assert!(
            matches!(&error, CliError::Configuration { line: 3, message, .. } if message.contains("size")),
            "{error:?}"
        );
        assert!(matches!(
            configured("[retention]\nolder = \"soon\"\n").unwrap_err(),
            CliError::DurationForm { .. }
        ));
    }
}
