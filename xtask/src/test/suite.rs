//! Builds what the tests need, runs them, says how it went.

use std::io::{BufRead, BufReader, IsTerminal as _, Read, stdin};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::tally::Tally;
use super::watchdog::{Watchdog, own_group};
use super::{libtest, nextest, tools};
use crate::workspace;

/// Tests that can be long or short are long, and none may be skipped, when this is set.
pub(crate) const ALL_VARIABLE: &str = "BACKSTAY_TEST_ALL";

/// A feature of this name compiles in points at which a test may end a process. They do nothing until an
/// environment variable names one, so one build serves all tests.
const CRASH_POINTS: &str = "crash-points";

/// Where nobody watches, tests that take longer are ended and the suite has failed.
const SUITE_MAX: Duration = Duration::from_secs(25 * 60);

/// What `cargo xtask test` was asked for.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Nothing may be skipped.
    pub(crate) all: bool,
    /// Only these packages; none means all.
    pub(crate) packages: Vec<String>,
}

/// Runs the suite.
///
/// # Errors
/// What had to be there to run any test is not.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    tools::require(options.all)?;
    let selection = selection(options)?;
    let mut tally = Tally::default();
    if !build(&selection)? {
        tally.fail("the build of the tests (see the errors above)");
    } else if nextest::is_installed() {
        nextest(options, &selection, &mut tally)?;
        doctests(options, &selection, &mut tally)?;
    } else {
        println!("cargo-nextest is not installed: the tests run by `cargo test`");
        cargo_test(options, &selection, &[], &mut tally)?;
    }
    print!("{}", tally.report(options.all));
    Ok(if tally.is_good(options.all) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The packages and features, as cargo's arguments.
fn selection(options: &Options) -> Result<Vec<String>> {
    let metadata = workspace::metadata()?;
    let known = |name: &String| metadata.packages.iter().any(|package| package.name.as_str() == name);
    if let Some(unknown) = options.packages.iter().find(|name| !known(name)) {
        bail!("the workspace has no package `{unknown}`");
    }
    let chosen = |name: &str| options.packages.is_empty() || options.packages.iter().any(|one| one == name);
    let features: Vec<String> = metadata
        .packages
        .iter()
        .filter(|package| chosen(package.name.as_str()) && package.features.contains_key(CRASH_POINTS))
        .map(|package| format!("{}/{CRASH_POINTS}", package.name))
        .collect();
    let mut arguments: Vec<String> = if options.packages.is_empty() {
        vec!["--workspace".to_owned()]
    } else {
        options.packages.iter().flat_map(|name| ["-p".to_owned(), name.clone()]).collect()
    };
    if !features.is_empty() {
        arguments.extend(["--features".to_owned(), features.join(",")]);
    }
    Ok(arguments)
}

/// Builds the tests and the programs that they start, in one go so that both share their dependencies.
fn build(selection: &[String]) -> Result<bool> {
    let mut command = workspace::cargo();
    command.args(["build", "--all-targets"]).args(selection);
    println!("building the tests and the programs that they start");
    Ok(command.status().context("cannot start cargo")?.success())
}

fn nextest(options: &Options, selection: &[String], tally: &mut Tally) -> Result<()> {
    let mut command = workspace::cargo();
    command
        .args(["nextest", "run", "--no-fail-fast", "--no-tests", "pass", "--color", "never"])
        .args(["--status-level", "skip", "--success-output", "immediate", "--failure-output", "immediate"])
        .args(selection);
    prepare(&mut command, options).stderr(Stdio::piped());
    let mut reader = nextest::Reader::default();
    let (mut child, watchdog) = spawn(&mut command)?;
    let output = child.stderr.take().context("cargo nextest has no output")?;
    each_line(output, |line| {
        if reader.line(line, tally) {
            eprintln!("{line}");
        }
    })?;
    let status = child.wait()?;
    stop(watchdog, tally);
    ended("cargo nextest", status, tally, reader.finish());
    Ok(())
}

fn doctests(options: &Options, selection: &[String], tally: &mut Tally) -> Result<()> {
    let metadata = workspace::metadata()?;
    let chosen = |name: &str| options.packages.is_empty() || options.packages.iter().any(|one| one == name);
    let has_library = metadata.packages.iter().any(|package| {
        chosen(package.name.as_str())
            && package.targets.iter().any(|target| target.is_lib() && target.doctest)
    });
    if has_library { cargo_test(options, selection, &["--doc"], tally) } else { Ok(()) }
}

fn cargo_test(options: &Options, selection: &[String], targets: &[&str], tally: &mut Tally) -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["test", "--no-fail-fast", "--color", "never"]).args(targets).args(selection);
    command.args(["--", "--show-output"]);
    prepare(&mut command, options).stdout(Stdio::piped());
    let before = tally.failed();
    let mut reader = libtest::Reader::default();
    let (mut child, watchdog) = spawn(&mut command)?;
    let output = child.stdout.take().context("cargo test has no output")?;
    each_line(output, |line| {
        if reader.line(line, tally) {
            println!("{line}");
        }
    })?;
    let status = child.wait()?;
    stop(watchdog, tally);
    let complete = reader.finish(tally) && (status.success() || tally.failed() > before);
    ended("cargo test", status, tally, complete);
    Ok(())
}

fn prepare<'a>(command: &'a mut Command, options: &Options) -> &'a mut Command {
    if options.all {
        command.env(ALL_VARIABLE, "1");
    }
    command.stdin(Stdio::null())
}

/// Starts the tests; at a terminal a person ends what hangs, and Ctrl-C has to reach it.
fn spawn(command: &mut Command) -> Result<(Child, Option<Watchdog>)> {
    let is_watched = stdin().is_terminal();
    if !is_watched {
        own_group(command);
    }
    let child = command.spawn().context("cannot start cargo")?;
    let watchdog = if is_watched { None } else { Some(Watchdog::start(child.id(), SUITE_MAX)?) };
    Ok((child, watchdog))
}

fn stop(watchdog: Option<Watchdog>, tally: &mut Tally) {
    if watchdog.is_some_and(Watchdog::stop) {
        tally.fail(&format!("the suite took longer than {} minutes and was ended", SUITE_MAX.as_secs() / 60));
    }
}

/// Whoever ended badly without having said which test failed has failed itself.
fn ended(who: &str, status: ExitStatus, tally: &mut Tally, complete: bool) {
    if !complete || (!status.success() && tally.failed() == 0) {
        tally.fail(&format!("{who} itself ({status}): not all tests have run"));
    }
}

/// Lines as they come; what is not UTF-8 is shown lossily.
fn each_line(output: impl Read, mut each: impl FnMut(&str)) -> Result<()> {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).context("cannot read the tests' output")? > 0 {
        each(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
        line.clear();
    }
    Ok(())
}
