//! `cargo xtask soak`: the tests that take long, one after another.

use std::process::{Command, ExitCode, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::test::ALL_VARIABLE;
use crate::workspace;

/// What `cargo xtask soak` was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// How long each test of random inputs goes on.
    pub(crate) minutes: u64,
    /// Where the random inputs begin; none draws one.
    pub(crate) seed: Option<u64>,
}

/// How a suite is told to take long.
#[derive(Clone, Copy)]
enum Length {
    /// It goes on with random inputs for as many minutes as are asked for.
    Minutes,
    /// It tries all cases.
    Whole,
}

/// Tests that are one suite: those of `target` in `package` whose names contain `test`.
struct Suite {
    package: &'static str,
    target: &'static [&'static str],
    test: &'static str,
    length: Length,
}

impl Suite {
    const fn of_minutes(package: &'static str, target: &'static [&'static str], test: &'static str) -> Suite {
        Suite { package, target, test, length: Length::Minutes }
    }

    const fn whole(package: &'static str, target: &'static [&'static str]) -> Suite {
        Suite { package, target, test: "", length: Length::Whole }
    }

    fn name(&self) -> String {
        let target = self.target.iter().filter(|word| !word.starts_with("--")).copied();
        let words: Vec<&str> = std::iter::once(self.package).chain(target).chain([self.test]).collect();
        words.join(" ").trim().to_owned()
    }

    /// The command that runs it, with more words for the tests' own program.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = workspace::cargo();
        command.args(["test", "-p", self.package]).args(self.target).arg("--").args(words).arg(self.test);
        command
    }

    /// A suite whose test has another name by now would always pass.
    fn has_tests(&self) -> Result<bool> {
        let mut command = self.command(&["--list"]);
        let listed = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
        Ok(listed.status.success() && String::from_utf8_lossy(&listed.stdout).contains(": test"))
    }
}

const SUITES: [Suite; 10] = [
    Suite::of_minutes("backstay-agent", &["--test", "mutations"], ""),
    Suite::of_minutes("backstay-agent", &["--test", "limits"], ""),
    Suite::of_minutes("backstay-workflow", &["--test", "injection"], "mutations"),
    Suite::of_minutes(
        "backstay-workflow",
        &["--test", "repair"],
        "values_stay_what_was_meant_in_random_files",
    ),
    Suite::of_minutes("backstay-cli", &["--bins"], "sanitize::mutations"),
    Suite::whole("backstay-tests", &["--test", "full_disk"]),
    Suite::whole("backstay-tests", &["--test", "hostile_links"]),
    Suite::whole("backstay-tests", &["--test", "night"]),
    Suite::whole("backstay-agent", &["--test", "real"]),
    Suite::whole("backstay-tests", &["--test", "real_agents"]),
];

/// What the tests through the real program need.
const BUILD: &[&str] = &[
    "build",
    "-p=backstay-cli",
    "-p=backstay-faults",
    "--features=backstay-exec/crash-points,backstay-log/crash-points,backstay-runtime/crash-points",
];

/// Reads the arguments.
///
/// # Errors
/// An argument that is none of this command.
pub(crate) fn options(words: &[&str]) -> Result<Options> {
    let mut options = Options { minutes: 10, seed: None };
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        if !matches!(word, "--minutes" | "--seed") {
            bail!("`{word}` is no option of `cargo xtask soak`; it has --minutes N and --seed S");
        }
        let text = words.next().with_context(|| format!("{word} needs a whole number"))?;
        let number = text.parse().with_context(|| format!("{word} needs a whole number, not `{text}`"))?;
        if word == "--minutes" { options.minutes = number } else { options.seed = Some(number) }
    }
    Ok(options)
}

/// Runs the suites, and sums up in the last line; a failed one does not keep the others from running.
///
/// # Errors
/// Cargo cannot be started.
#[expect(clippy::disallowed_methods, reason = "a seed that differs from run to run, and how long it took")]
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let seed = match options.seed {
        Some(seed) => seed,
        None => {
            SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?.as_secs()
        }
    };
    println!("seed {seed}; the same again: cargo xtask soak --minutes {} --seed {seed}", options.minutes);
    let begun = Instant::now();
    if !workspace::cargo().args(BUILD).status().context("cannot start cargo")?.success() {
        bail!("the programs that the tests start cannot be built");
    }
    let mut failed = Vec::new();
    for suite in &SUITES {
        let name = suite.name();
        println!("{name}");
        if !suite.has_tests()? {
            failed.push(format!("{name} (no such test)"));
            continue;
        }
        let mut command = suite.command(&["--nocapture"]);
        command.env("BACKSTAY_TEST_SEED", seed.to_string());
        match suite.length {
            Length::Minutes => command.env("BACKSTAY_MUTATE_MINUTES", options.minutes.to_string()),
            Length::Whole => command.env("BACKSTAY_TEST_SOAK", "1").env(ALL_VARIABLE, "1"),
        };
        if !command.status().context("cannot start cargo")?.success() {
            failed.push(name);
        }
    }
    let minutes = begun.elapsed().as_secs() / 60;
    let passed = SUITES.len() - failed.len();
    let names = if failed.is_empty() { String::new() } else { format!(": {}", failed.join(", ")) };
    println!("soak: {passed} suites passed, {} failed{names}, seed {seed}, {minutes} min", failed.len());
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::{Options, options};

    #[test]
    fn options_are_read_or_refused() {
        assert_eq!(options(&[]).unwrap(), Options { minutes: 10, seed: None });
        let read = options(&["--seed", "7", "--minutes", "2"]).unwrap();
        assert_eq!(read, Options { minutes: 2, seed: Some(7) });
        assert_eq!(options(&["--seed"]).unwrap_err().to_string(), "--seed needs a whole number");
        assert!(options(&["--minutes", "x"]).unwrap_err().to_string().contains("not `x`"));
        assert!(options(&["--minute", "1"]).unwrap_err().to_string().contains("--minute"));
    }
}
