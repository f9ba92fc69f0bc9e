//! Which command is meant.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::test::Options;
use crate::{agents, bench, picture, schema, soak, test};

const HELP: &str = "\
The project's own commands.

cargo xtask test [--all] [-p PACKAGE]...   builds and runs the tests, doctests included
    --all          skips nothing: long versions of tests, and a skip is a failure
    -p PACKAGE     only this package; may be repeated
    The last line is `N passed, M failed, K skipped`; exit code 0 when nothing failed.
cargo xtask soak [--minutes N] [--seed S]  runs the tests that take long, one after another: random inputs for N minutes
                                           each (10), then all levels of full disks and all hostile links; the last
                                           line sums up; exit code 0 when nothing failed
cargo xtask bench log [--full] [--only J1,J3] [--write]
                                           measures the event log beside plain SQLite and the disk; quick without
                                           --full; --write puts the table into docs/performance.md
cargo xtask record-agents [CLI]...         installs the agent CLIs (with npm, under target/), plays the scenarios of
                                           crates/agent/tests/record to them, writes what they print as the readers'
                                           goldens, and shows what the readers skip; codex, claude, gemini and opencode
                                           take about a quarter of an hour together
cargo xtask picture                        plays examples/crash.yaml in a terminal, with a real kill, and writes
                                           docs/picture.svg and its text into README.md
cargo xtask schema                         writes docs/workflow.schema.json
cargo xtask help                           this text
";

/// Runs the command that `arguments` name.
///
/// # Errors
/// Bad usage, or a command that could not do its work at all; a failed test is no error but an exit code.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        ["test", rest @ ..] => test::run(&options(rest)?),
        ["soak", rest @ ..] => soak::run(&soak::options(rest)?),
        ["bench", "log", rest @ ..] => bench::log(rest),
        ["bench", ..] => bail!("there is `cargo xtask bench log`"),
        ["record-agents", rest @ ..] => agents::record(&agents::clis(rest)?),
        ["picture"] => picture::write(),
        ["schema"] => schema::write(),
        [other, ..] => bail!("`{}` is no command; `cargo xtask help` lists them", other),
    }
}

fn options(words: &[&str]) -> Result<Options> {
    let mut options = Options::default();
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        match word {
            "--all" => options.all = true,
            "-p" | "--package" => match words.next() {
                Some(&name) => options.packages.push(name.to_owned()),
                None => bail!("{word} needs the name of a package"),
            },
            other => bail!("`{other}` is no option of `cargo xtask test`; it has --all and -p PACKAGE"),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::options;

    #[test]
    fn options_are_read_or_refused() {
        let read = options(&["--all", "-p", "a", "--package", "b"]).unwrap();
        assert!(read.all);
        assert_eq!(read.packages, ["a", "b"]);
        assert_eq!(options(&["-p"]).unwrap_err().to_string(), "-p needs the name of a package");
        assert!(options(&["--al"]).unwrap_err().to_string().contains("--al"));
    }
}
