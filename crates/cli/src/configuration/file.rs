//! One `config.toml`: how it is read, and what is wrong with it. What stands in the tables of agents is read by whoever
//! knows them.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::Range;

use backstay_agent::AgentTables;
use backstay_files::{Dir, read_regular_with_metadata};
use backstay_model::Digest;
use backstay_runtime::{CONFIGURATION_FILE, Retention};
use backstay_workflow::nearest;
use camino::{Utf8Path, Utf8PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::context::text_of;
use crate::error::CliError;
use crate::ui::{parse_bytes, parse_duration};
use crate::user_folders;

/// The tables that a configuration has.
const TABLES: [&str; 3] = ["agents", "notify", "retention"];
/// What is expected of the values.
const COMMAND: &str = "a program and its arguments, such as `[\"notify-send\", \"Backstay\"]`";
const BELL: &str = "`true` or `false`";
const OLDER: &str = "a time with its unit, such as `\"30d\"`";
const MAX_SIZE: &str = "a size, such as `\"5G\"`";
/// A configuration that is larger was written by no person.
const BYTES_MAX: u64 = 1024 * 1024;

/// What one file says.
#[derive(Debug)]
pub(super) struct ConfigurationFile {
    /// Where it is.
    pub(super) path: Utf8PathBuf,
    /// The digest of its bytes.
    pub(super) digest: Digest,
    /// What is kept of runs that have ended.
    pub(super) retention: Retention,
    /// How a person hears of what a run needs.
    pub(super) notify: Notify,
    /// The agents, not yet as anything could be started by them.
    pub(super) agents: AgentTables,
}

/// How a person hears of what a run needs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Notify {
    pub(super) command: Option<Vec<String>>,
    pub(super) bell: Option<bool>,
}

/// The user's own configuration, if there is one. It may be a link to wherever the user keeps it.
pub(super) fn read_of_user(env: &BTreeMap<String, String>) -> Result<Option<ConfigurationFile>, CliError> {
    let Some(folder) = user_folders::configuration(env) else { return Ok(None) };
    let path = folder.join(CONFIGURATION_FILE);
    let read_there = read_regular_with_metadata(path.as_std_path(), BYTES_MAX);
    let Some((bytes, metadata)) = if_there(read_there, &path)? else { return Ok(None) };
    if !user_folders::is_own(&metadata) {
        return Err(CliError::OthersWrite { path });
    }
    read(path.clone(), path.as_str(), &bytes).map(Some)
}

/// The configuration in the folder of a store, if there is one. Nothing in a store is followed: it is a file there, and the
/// folder is no link either.
pub(super) fn read_of_store(cwd: &Utf8Path, store: &Utf8Path) -> Result<Option<ConfigurationFile>, CliError> {
    let path = store.join(CONFIGURATION_FILE);
    let read_below = || Dir::open_found(store.as_std_path())?.read(CONFIGURATION_FILE, BYTES_MAX);
    let Some(bytes) = if_there(read_below(), &path)? else { return Ok(None) };
    let shown = path.strip_prefix(cwd).unwrap_or(&path).to_owned();
    read(path, shown.as_str(), &bytes).map(Some)
}

/// What was read, if the file is there.
fn if_there<T>(read: std::io::Result<T>, path: &Utf8Path) -> Result<Option<T>, CliError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(CliError::ReadFile { path: path.to_owned(), source }),
    }
}

/// Reads what is in a file; `shown` is its name for people.
fn read(path: Utf8PathBuf, shown: &str, bytes: &[u8]) -> Result<ConfigurationFile, CliError> {
    let text = text_of(&path, bytes.to_vec())?;
    File { path: path.clone(), text: &text }.read(shown, Digest::of(bytes))
}

/// What a file with this text says.
#[cfg(test)]
pub(super) fn parsed(text: &str) -> Result<ConfigurationFile, CliError> {
    read(Utf8PathBuf::from("config.toml"), "config.toml", text.as_bytes())
}

/// A configuration that is being read.
struct File<'t> {
    path: Utf8PathBuf,
    text: &'t str,
}

impl File<'_> {
    fn read(self, shown: &str, digest: Digest) -> Result<ConfigurationFile, CliError> {
        let root = DeTable::parse(self.text)
            .map_err(|error| self.wrong(error.span().unwrap_or(0..0), error.message().to_owned(), None))?;
        let (mut retention, mut notify) = (Retention::default(), Notify::default());
        for (name, value) in root.get_ref() {
            match name.get_ref().as_ref() {
                "agents" => self.agents(name.span(), value)?,
                "notify" => notify = self.notify(name.span(), value)?,
                "retention" => retention = self.retention(name.span(), value)?,
                "bell" | "command" | "older" | "max_size" => {
                    let key = name.get_ref();
                    let table = if matches!(&**key, "bell" | "command") { "notify" } else { "retention" };
                    let message = format!("`{key}` belongs under `[{table}]`");
                    return Err(self.wrong(name.span(), message, None));
                }
                other => {
                    let is_table = value.get_ref().is_table();
                    let what = if is_table { format!("table `[{other}]`") } else { format!("key `{other}`") };
                    return Err(self.unknown(
                        name.span(),
                        &format!("a configuration has no {what}"),
                        other,
                        &TABLES,
                    ));
                }
            }
        }
        let agents = AgentTables::read(shown, self.text)?;
        Ok(ConfigurationFile { path: self.path, digest, retention, notify, agents })
    }

    /// Whoever knows agents reads what stands in their tables.
    fn agents(&self, place: Range<usize>, value: &Spanned<DeValue<'_>>) -> Result<(), CliError> {
        let wrong = |place| {
            let message = "each agent has a table of its own: `[agents.NAME]`".to_owned();
            Err(self.wrong(place, message, None))
        };
        let Some(agents) = value.get_ref().as_table() else { return wrong(place) };
        match agents.iter().find(|(_, agent)| !agent.get_ref().is_table()) {
            Some((name, _)) => wrong(name.span()),
            None => Ok(()),
        }
    }

    fn notify(&self, place: Range<usize>, table: &Spanned<DeValue<'_>>) -> Result<Notify, CliError> {
        let [command, bell] = self.keys("notify", place.clone(), table, ["command", "bell"])?;
        if command.is_none() && bell.is_none() {
            return Err(self.wrong(place, format!("`[notify]` has no `command`: {COMMAND}"), None));
        }
        let is_said = |bell: &Spanned<DeValue<'_>>| {
            bell.get_ref().as_bool().ok_or_else(|| self.not_as_expected("notify", "bell", bell, BELL))
        };
        Ok(Notify {
            command: command.map(|command| self.command(command)).transpose()?,
            bell: bell.map(is_said).transpose()?,
        })
    }

    fn command(&self, command: &Spanned<DeValue<'_>>) -> Result<Vec<String>, CliError> {
        let wrong = |place| self.wrong(place, format!("`command` of `[notify]` is to be {COMMAND}"), None);
        let words = command.get_ref().as_array().ok_or_else(|| wrong(command.span()))?;
        let words: Vec<String> = words
            .iter()
            .map(|word| word.get_ref().as_str().map(ToOwned::to_owned).ok_or_else(|| wrong(word.span())))
            .collect::<Result<_, _>>()?;
        if words.first().is_none_or(|program| program.trim().is_empty()) {
            return Err(wrong(command.span()));
        }
        Ok(words)
    }

    fn retention(&self, place: Range<usize>, table: &Spanned<DeValue<'_>>) -> Result<Retention, CliError> {
        let [older, max_size] = self.keys("retention", place.clone(), table, ["older", "max_size"])?;
        let text = |key: &str, value: &Spanned<DeValue<'_>>, expected: &str| match value.get_ref().as_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(self.not_as_expected("retention", key, value, expected)),
        };
        let retention = Retention {
            older: older
                .map(|value| {
                    let text = text("older", value, OLDER)?;
                    parse_duration(&text)
                        .map_err(|_form| self.not_as_expected("retention", "older", value, OLDER))
                })
                .transpose()?,
            size_bytes: max_size
                .map(|value| {
                    let text = text("max_size", value, MAX_SIZE)?;
                    parse_bytes(&text)
                        .map_err(|_form| self.not_as_expected("retention", "max_size", value, MAX_SIZE))
                })
                .transpose()?,
        };
        if retention == (Retention { older: None, size_bytes: None }) {
            let message = format!("`[retention]` has neither `older`, {OLDER}, nor `max_size`, {MAX_SIZE}");
            return Err(self.wrong(place, message, None));
        }
        Ok(retention)
    }

    /// The values of the keys that a table may have.
    fn keys<'v, 'd, const N: usize>(
        &self,
        table: &str,
        place: Range<usize>,
        value: &'v Spanned<DeValue<'d>>,
        known: [&str; N],
    ) -> Result<[Option<&'v Spanned<DeValue<'d>>>; N], CliError> {
        let Some(entries) = value.get_ref().as_table() else {
            return Err(self.wrong(place, format!("`{table}` is to be a table: `[{table}]`"), None));
        };
        let mut values = [None; N];
        for (key, value) in entries {
            match known.iter().position(|known| known == key.get_ref()) {
                Some(index) => values[index] = Some(value),
                None => {
                    let message = format!("`[{table}]` has no key `{}`", key.get_ref());
                    return Err(self.unknown(key.span(), &message, key.get_ref(), &known));
                }
            }
        }
        Ok(values)
    }

    fn not_as_expected(
        &self,
        table: &str,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        expected: &str,
    ) -> CliError {
        let said = self.text.get(value.span()).unwrap_or_default().lines().next().unwrap_or_default();
        self.wrong(value.span(), format!("`{key}` of `[{table}]` is {said}, and is to be {expected}"), None)
    }

    fn unknown(&self, place: Range<usize>, message: &str, name: &str, known: &[&str]) -> CliError {
        let all = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let meant = nearest(name, known.iter().copied()).map(|meant| format!("did you mean `{meant}`?"));
        self.wrong(place, format!("{message}; it has {all}"), meant)
    }

    fn wrong(&self, place: Range<usize>, message: String, meant: Option<String>) -> CliError {
        let before = self.text.get(..place.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        CliError::Configuration { path: self.path.clone(), line, message, meant }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use backstay_model::Coded;

    use super::*;

    #[test]
    fn a_retention_has_an_age_a_size_or_both() {
        let retention = |text| parsed(text).unwrap().retention;
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        let both = Retention { older: days(30), size_bytes: Some(5 << 30) };
        assert_eq!(retention("[retention]\nolder = \"30d\"\nmax_size = \"5G\"\n"), both);
        let age = Retention { older: days(7), size_bytes: None };
        assert_eq!(retention("[agents.codex]\nprogram = \"x\"\n[retention]\nolder = \"7d\"\n"), age);
        assert_eq!(retention("retention.older = \"7d\""), age);
        assert_eq!(retention(""), Retention::default());
    }

    #[test]
    fn nothing_in_a_store_is_followed_or_waited_for() {
        let keep = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(keep.path()).unwrap();
        let path = folder.join("config.toml");
        let told = || match read_of_store(folder, folder) {
            Err(CliError::ReadFile { source, .. }) => source.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(read_of_store(folder, folder).unwrap().is_none());
        assert!(read_of_store(folder, Utf8Path::new("/nowhere")).unwrap().is_none());
        std::fs::write(folder.join("real"), "").unwrap();
        std::os::unix::fs::symlink("real", &path).unwrap();
        assert!(told().contains("is a symbolic link"), "{}", told());
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(told().contains("is a symbolic link"), "{}", told());
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, path.as_std_path(), rustix::fs::Mode::RWXU).unwrap();
        assert!(told().contains("not a regular file"), "{}", told());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, " ".repeat(1024 * 1024 + 1)).unwrap();
        assert!(told().ends_with("has more than 1048576 bytes"), "{}", told());
        std::fs::write(&path, b"[notify]\nbell = \xff").unwrap();
        assert!(matches!(read_of_store(folder, folder), Err(CliError::NotUtf8 { byte: 8, line: 2, .. })));
        std::fs::write(&path, "").unwrap();
        assert!(read_of_store(folder, folder).unwrap().is_some());
        let link = folder.join("link");
        std::os::unix::fs::symlink(folder, &link).unwrap();
        match read_of_store(folder, &link) {
            Err(CliError::ReadFile { source, .. }) if source.to_string().contains("is a symbolic link") => {}
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_users_own_configuration_is_one_that_nobody_else_can_write() {
        use std::os::unix::fs::PermissionsExt as _;
        let keep = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(keep.path()).unwrap();
        let env = BTreeMap::from([("XDG_CONFIG_HOME".to_owned(), folder.to_string())]);
        assert!(read_of_user(&env).unwrap().is_none());
        std::fs::create_dir(folder.join("backstay")).unwrap();
        std::fs::write(folder.join("dotfile"), "[notify]\nbell = false\n").unwrap();
        let path = folder.join("backstay/config.toml");
        std::os::unix::fs::symlink("../dotfile", &path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read_of_user(&env).unwrap().unwrap().notify.bell, Some(false));
        for mode in [0o664, 0o646, 0o666] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read_of_user(&env), Err(CliError::OthersWrite { .. })), "{mode:o}");
        }
    }

    #[test]
    fn a_command_is_a_program_and_its_arguments() {
        let read = parsed("[notify]\ncommand = [\"say\", \"it\"]\n").unwrap();
        let command = Some(vec!["say".to_owned(), "it".to_owned()]);
        assert_eq!(read.notify, Notify { command, bell: None });
        let read = parsed("[notify]\nbell = false\n").unwrap();
        assert_eq!(read.notify, Notify { command: None, bell: Some(false) });
    }

    #[test]
    fn each_mistake_is_told_with_its_line_its_key_what_was_expected_and_what_was_meant() {
        let told = |text: &str| {
            let error = parsed(text).unwrap_err();
            let CliError::Configuration { line, message, .. } = &error else { panic!("{error:?}") };
            (*line, message.clone(), error.hint().filter(|hint| hint.starts_with("did you mean")))
        };
        let cases = [
            (
                "\n[retenton]\nolder = \"7d\"\n",
                2,
                "a configuration has no table `[retenton]`; it has `agents`, `notify`, `retention`",
                Some("retention"),
            ),
            ("older = \"7d\"\n", 1, "`older` belongs under `[retention]`", None),
            (
                "[retention]\nolder = \"7d\"\nmax-size = \"5G\"\n",
                3,
                "`[retention]` has no key `max-size`; it has `older`, `max_size`",
                Some("max_size"),
            ),
            (
                "[retention]\nolder = \"soon\"\n",
                2,
                "`older` of `[retention]` is \"soon\", and is to be a time with its unit, such as `\"30d\"`",
                None,
            ),
            (
                "[retention]\nolder = 30\n",
                2,
                "`older` of `[retention]` is 30, and is to be a time with its unit, such as `\"30d\"`",
                None,
            ),
            (
                "[retention]\nmax_size = \"5X\"\n",
                2,
                "`max_size` of `[retention]` is \"5X\", and is to be a size, such as `\"5G\"`",
                None,
            ),
            (
                "# none\n[retention]\n",
                2,
                "`[retention]` has neither `older`, a time with its unit, such as `\"30d\"`, nor `max_size`, a size, such as `\"5G\"`",
                None,
            ),
            (
                "[notify]\ncomand = []\n",
                2,
                "`[notify]` has no key `comand`; it has `command`, `bell`",
                Some("command"),
            ),
            (
                "[notify]\n",
                1,
                "`[notify]` has no `command`: a program and its arguments, such as `[\"notify-send\", \"Backstay\"]`",
                None,
            ),
            (
                "[notify]\ncommand = []\n",
                2,
                "`command` of `[notify]` is to be a program and its arguments, such as `[\"notify-send\", \"Backstay\"]`",
                None,
            ),
            (
                "[notify]\ncommand = \"say\"\n",
                2,
                "`command` of `[notify]` is to be a program and its arguments, such as `[\"notify-send\", \"Backstay\"]`",
                None,
            ),
            (
                "[notify]\ncommand = [\"say\",\n 7]\n",
                3,
                "`command` of `[notify]` is to be a program and its arguments, such as `[\"notify-send\", \"Backstay\"]`",
                None,
            ),
            ("[notify]\nbell = 1\n", 2, "`bell` of `[notify]` is 1, and is to be `true` or `false`", None),
            ("notify = true\n", 1, "`notify` is to be a table: `[notify]`", None),
            ("agents = 3\n", 1, "each agent has a table of its own: `[agents.NAME]`", None),
            ("[agents]\ncodex = \"x\"\n", 2, "each agent has a table of its own: `[agents.NAME]`", None),
        ];
        for (text, line, message, meant) in cases {
            let meant = meant.map(|meant| format!("did you mean `{meant}`?"));
            assert_eq!(told(text), (line, message.to_owned(), meant), "{text}");
        }
        assert_eq!(told("[notify]\ncommand = \n").0, 2, "what is no TOML has a line, too");
    }
}
