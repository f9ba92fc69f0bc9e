//! Which programs are there, and whether their user is logged in with those that are agents. Nothing of the repository is
//! started to find out.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};
use std::time::Duration;

use backstay_agent::{BUILT_IN, Preset, Presets, one_line};
use backstay_exec::{BoundedCommandError, run_within};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use crate::context::Context;
use crate::error::CliError;
use crate::programs::{ProgramPlace, ProgramSearch};
use crate::ui::duration;

/// How long a program has to say its version, or whether its user is logged in.
pub(crate) const BOUND: Duration = Duration::from_secs(10);

/// Where agents without a command for it have their logins, and what stands for one beside such a command. A variable is a
/// login; that there is no file says nothing, as systems keep logins in other places, too.
const TRACES: [Traces; 4] = [
    Traces { preset: "codex", log_in: "codex login", variables: &["CODEX_API_KEY"], files: &[] },
    Traces {
        preset: "claude",
        log_in: "claude auth login",
        variables: &["ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"],
        files: &[],
    },
    Traces {
        preset: "gemini",
        log_in: "gemini",
        variables: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        files: &[".gemini/oauth_creds.json"],
    },
    Traces {
        preset: "opencode",
        log_in: "opencode auth login",
        variables: &["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY"],
        files: &[".local/share/opencode/auth.json"],
    },
];

/// How one logs in with an agent, and what that leaves; files are in the user's home.
struct Traces {
    preset: &'static str,
    log_in: &'static str,
    variables: &'static [&'static str],
    files: &'static [&'static str],
}

/// The command by which a user logs in with an agent that comes with this program.
pub(crate) fn log_in(preset: &str) -> Option<&'static str> {
    TRACES.iter().find(|traces| traces.preset == preset).map(|traces| traces.log_in)
}

/// A program that was looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "program", rename_all = "snake_case")]
pub(crate) enum Program {
    /// It is there.
    Found {
        /// The first line of what it says of its version, if it says something.
        version: Option<String>,
    },
    /// It is not there.
    Missing,
    /// It is there, and something is wrong with it.
    Troubled {
        /// What.
        why: String,
    },
}

/// Whether the user of an agent is logged in. No text of the agent's own is in it: it might be a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "login", rename_all = "snake_case")]
pub(crate) enum Login {
    /// By this.
    Found {
        /// A command that succeeded, a variable or a file that is there.
        #[serde(rename = "login_by")]
        by: String,
    },
    /// As this says.
    Missing {
        /// The command that failed.
        #[serde(rename = "login_by")]
        by: String,
    },
    /// It cannot be told.
    Unknown {
        /// Why.
        #[serde(rename = "login_why")]
        why: String,
    },
}

/// An agent that was looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FoundAgent {
    /// Its name in workflows.
    pub(crate) name: String,
    /// Its CLI.
    #[serde(flatten)]
    pub(crate) program: Program,
    /// Its login; none where there is no CLI to log in with.
    #[serde(flatten)]
    pub(crate) login: Option<Login>,
}

impl FoundAgent {
    /// How well it could work here; less is better.
    pub(crate) const fn rank(&self) -> u8 {
        match (&self.program, &self.login) {
            (Program::Found { .. }, Some(Login::Found { .. })) => 0,
            (Program::Found { .. }, Some(Login::Unknown { .. }) | None) => 1,
            (Program::Found { .. }, Some(Login::Missing { .. })) => 2,
            (Program::Troubled { .. }, _) => 3,
            (Program::Missing, _) => 4,
        }
    }

    /// Whether it is there, and nothing says that its user is not logged in.
    pub(crate) const fn could_work(&self) -> bool {
        self.rank() < 2
    }
}

/// Where is looked, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Finder {
    /// Without what the repository adds to it.
    env: BTreeMap<String, String>,
    search: ProgramSearch,
    bound: Duration,
}

/// A program was not asked, or gave no answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("there is no such program")]
    Missing,
    #[error("{0} belongs to this repository, and is not started here")]
    OfRepository(Utf8PathBuf),
    #[error(transparent)]
    Helper(#[from] BoundedCommandError),
}

impl Finder {
    /// Looks where a command looks that is called here.
    pub(crate) fn new(context: &Context, bound: Duration) -> Finder {
        Finder::of(context.env.clone(), &context.cwd, bound)
    }

    fn of(mut env: BTreeMap<String, String>, cwd: &Utf8Path, bound: Duration) -> Finder {
        let search = ProgramSearch::new(&env, cwd);
        env.insert("PATH".to_owned(), search.outside_path());
        Finder { env, search, bound }
    }

    /// Looks for the agents of all presets at once: those that come with this program first, in their order.
    pub(crate) async fn agents(&self, presets: &Presets) -> Result<Vec<FoundAgent>, CliError> {
        let own = presets.iter().filter(|preset| BUILT_IN.iter().all(|(name, _)| *name != preset.name()));
        let ordered = BUILT_IN.iter().filter_map(|(name, _)| presets.get(name)).chain(own);
        let asked: Vec<_> = ordered
            .map(|preset| {
                let (program, login) = (self.clone(), self.clone());
                let (named, logged) = (preset.clone(), preset.clone());
                let program = tokio::task::spawn_blocking(move || match named.version_command() {
                    Some(command) => program.program(&command),
                    None => program.place(named.program()),
                });
                let login = tokio::task::spawn_blocking(move || login.login(&logged));
                (preset.name().to_owned(), program, login)
            })
            .collect();
        let mut found = Vec::new();
        for (name, program, login) in asked {
            let (program, login) = (program.await?, login.await?);
            let login = (program != Program::Missing).then_some(login);
            found.push(FoundAgent { name, program, login });
        }
        Ok(found)
    }

    /// Looks for programs by asking each for its version, all at once.
    pub(crate) async fn programs(&self, names: &[&str]) -> Result<Vec<Program>, CliError> {
        let ask = |name: &&str| {
            let (finder, command) = (self.clone(), [(*name).to_owned(), "--version".to_owned()]);
            tokio::task::spawn_blocking(move || finder.program(&command))
        };
        let asked: Vec<_> = names.iter().map(ask).collect();
        let mut found = Vec::new();
        for program in asked {
            found.push(program.await?);
        }
        Ok(found)
    }

    fn program(&self, command: &[String]) -> Program {
        match self.run(command) {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stdout);
                let version = said.lines().map(one_line).find(|line| !line.is_empty());
                Program::Found { version }
            }
            Err(AskError::Missing) => Program::Missing,
            Err(AskError::Helper(BoundedCommandError::Start(error)))
                if error.kind() == ErrorKind::NotFound =>
            {
                Program::Missing
            }
            Err(error) => Program::Troubled { why: trouble(command, &error) },
        }
    }

    /// Whether a program is there that is not asked for its version.
    fn place(&self, program: &str) -> Program {
        match self.search.place(program) {
            ProgramPlace::Found(_) => Program::Found { version: None },
            ProgramPlace::Missing => Program::Missing,
            ProgramPlace::OfRepository(path) => {
                Program::Troubled { why: trouble(&[program.to_owned()], &AskError::OfRepository(path)) }
            }
        }
    }

    fn login(&self, preset: &Preset) -> Login {
        let by_trace = self.trace(preset.name());
        let Some(command) = preset.login_command() else {
            return match by_trace {
                Some(by) => Login::Found { by },
                None => Login::Unknown { why: "it has no command that tells".to_owned() },
            };
        };
        let by = format!("`{}`", command.join(" "));
        match (self.run(&command), by_trace) {
            (Ok(output), _) if output.status.success() => Login::Found { by },
            (_, Some(trace)) => Login::Found { by: trace },
            (Ok(output), None) if output.status.code().is_some() => Login::Missing { by },
            (Ok(output), None) => Login::Unknown { why: format!("{by} ended with {}", output.status) },
            (Err(error), None) => Login::Unknown { why: trouble(&command, &error) },
        }
    }

    /// The variable or the file that a login of this agent has left.
    fn trace(&self, preset: &str) -> Option<String> {
        let Traces { variables, files, .. } = TRACES.iter().find(|traces| traces.preset == preset)?;
        let is_set = |name: &&&str| self.env.get(**name).is_some_and(|value| !value.is_empty());
        if let Some(name) = variables.iter().find(is_set) {
            return Some((*name).to_owned());
        }
        let home = Utf8PathBuf::from(self.env.get("HOME").filter(|home| !home.is_empty())?);
        files.iter().find(|file| home.join(file).is_file()).map(|file| format!("~/{file}"))
    }

    fn run(&self, command: &[String]) -> Result<Output, AskError> {
        let (program, words) =
            command.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
        let path = match self.search.place(program) {
            ProgramPlace::Found(path) => path,
            ProgramPlace::OfRepository(path) => return Err(AskError::OfRepository(path)),
            ProgramPlace::Missing => return Err(AskError::Missing),
        };
        let mut asked = Command::new(path);
        // Agents read the settings of the folder that they are called in, and those of a repository can name programs.
        asked.arg0(program).args(words).env_clear().envs(&self.env).current_dir(self.elsewhere());
        Ok(run_within(asked, Vec::new(), self.bound)?)
    }

    /// A folder that is no repository of somebody else.
    fn elsewhere(&self) -> &str {
        self.env.get("HOME").map(String::as_str).filter(|home| Utf8Path::new(home).is_dir()).unwrap_or("/")
    }
}

fn trouble(command: &[String], error: &AskError) -> String {
    let command = command.join(" ");
    let error = match error {
        AskError::Missing | AskError::OfRepository(_) => return format!("`{command}`: {error}"),
        AskError::Helper(error) => error,
    };
    match error {
        BoundedCommandError::TimedOut { bound } => {
            format!("`{command}` had not ended after {}", duration(*bound))
        }
        BoundedCommandError::Start(error) => format!("`{command}` cannot be started: {error}"),
        BoundedCommandError::Read(error) => format!("what `{command}` says cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A folder with programs in it, as scripts.
    struct Bin(tempfile::TempDir);

    impl Bin {
        fn with(scripts: &[(&str, &str)]) -> Bin {
            let folder = tempfile::tempdir().unwrap();
            for (name, script) in scripts {
                let path = folder.path().join(name);
                std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
            Bin(folder)
        }

        fn finder(&self, variables: &[(&str, &str)]) -> Finder {
            let path = self.0.path().to_str().unwrap().to_owned();
            let mut env = BTreeMap::from([("PATH".to_owned(), path.clone()), ("HOME".to_owned(), path)]);
            env.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            Finder::of(env, Utf8Path::new("/"), Duration::from_millis(700))
        }
    }

    async fn agents(finder: &Finder) -> BTreeMap<String, (Program, Option<Login>)> {
        let found = finder.agents(&Presets::built_in().unwrap()).await.unwrap();
        found.into_iter().map(|agent| (agent.name, (agent.program, agent.login))).collect()
    }

    fn version(line: &str) -> Program {
        Program::Found { version: Some(line.to_owned()) }
    }

    #[tokio::test]
    async fn agents_are_found_with_their_versions_and_logins_and_nothing_that_they_say_of_a_login_is_kept() {
        let bin = Bin::with(&[
            ("codex", "case $1 in login) echo key sk-secret; exit 0;; esac; echo codex-cli 0.169.0"),
            (
                "claude",
                "case $1 in auth) echo sk-secret >&2; exit 1;; esac; echo; echo '2.1.329 (Claude Code)'",
            ),
            ("opencode", "echo 1.18.33"),
        ]);
        let found = agents(&bin.finder(&[])).await;
        let by = |text: &str| text.to_owned();
        assert_eq!(
            found["codex"],
            (version("codex-cli 0.169.0"), Some(Login::Found { by: by("`codex login status`") }))
        );
        assert_eq!(
            found["claude"],
            (version("2.1.329 (Claude Code)"), Some(Login::Missing { by: by("`claude auth status`") }))
        );
        assert_eq!(found["gemini"], (Program::Missing, None));
        let why = by("it has no command that tells");
        assert_eq!(found["opencode"], (version("1.18.33"), Some(Login::Unknown { why })));
        assert!(!format!("{found:?}").contains("secret"));
    }

    #[tokio::test]
    async fn variables_and_files_tell_of_logins_too() {
        let bin = Bin::with(&[("claude", "test $1 = --version"), ("gemini", "true"), ("opencode", "true")]);
        std::fs::create_dir_all(bin.0.path().join(".local/share/opencode")).unwrap();
        std::fs::write(bin.0.path().join(".local/share/opencode/auth.json"), "{}").unwrap();
        let found = agents(&bin.finder(&[("ANTHROPIC_API_KEY", "x"), ("GEMINI_API_KEY", "")])).await;
        let login = |name: &str| found[name].1.clone().unwrap();
        assert_eq!(login("claude"), Login::Found { by: "ANTHROPIC_API_KEY".to_owned() });
        assert!(matches!(login("gemini"), Login::Unknown { .. }), "an empty variable is none");
        assert_eq!(login("opencode"), Login::Found { by: "ANTHROPIC_API_KEY".to_owned() });
        let found = agents(&bin.finder(&[])).await;
        assert_eq!(
            found["opencode"].1,
            Some(Login::Found { by: "~/.local/share/opencode/auth.json".to_owned() })
        );
    }

    #[tokio::test]
    async fn agents_that_hang_are_all_given_up_at_once() {
        let hangs = "exec /bin/sleep 600";
        let bin = Bin::with(&[("codex", hangs), ("claude", hangs), ("gemini", hangs), ("opencode", hangs)]);
        let began = tokio::time::Instant::now();
        let found = agents(&bin.finder(&[])).await;
        // Six of them are asked in vain: one after the other would take six times the bound.
        assert!(began.elapsed() < Duration::from_millis(700 * 6), "{:?}", began.elapsed());
        for (name, (program, login)) in found {
            let why = format!("`{name} --version` had not ended after 0.7s");
            assert_eq!(program, Program::Troubled { why });
            assert!(matches!(login, Some(Login::Unknown { .. })), "{login:?}");
        }
    }

    #[tokio::test]
    async fn programs_are_found_by_their_versions() {
        let bin = Bin::with(&[("git", "echo git version 2.47.1"), ("odd", "exit 2")]);
        let found = bin.finder(&[]).programs(&["git", "odd", "bash"]).await.unwrap();
        assert_eq!(
            found,
            [version("git version 2.47.1"), Program::Found { version: None }, Program::Missing]
        );
    }
}
