//! Reads what `cargo nextest run --success-output immediate` says.

use std::process::Stdio;

use super::tally::Tally;
use crate::workspace;

/// Whether `cargo nextest` can be used.
pub(crate) fn is_installed() -> bool {
    let mut command = workspace::cargo();
    command.args(["nextest", "--version"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Where in the output the reader is.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The test that passed last, while its output follows.
    passed: Option<String>,
    summed: bool,
}

impl Reader {
    /// Takes one line. Returns whether it is worth showing.
    pub(crate) fn line(&mut self, line: &str, tally: &mut Tally) -> bool {
        if let Some((status, test)) = status(line) {
            self.passed = None;
            match status {
                "PASS" | "LEAK" => self.passed = Some(test.to_owned()),
                "SKIP" => tally.ignored(test, "ignored"),
                _ => {}
            }
            return status != "SKIP";
        }
        if let Some((passed, failed)) = summary(line) {
            tally.passed(passed);
            tally.failures(failed);
            (self.passed, self.summed) = (None, true);
            return true;
        }
        let Some(test) = &self.passed else { return true };
        if let Some(reason) = line.trim_start().strip_prefix("skipped: ") {
            tally.skipped_itself(test, reason);
        }
        false
    }

    /// The output is over. Returns whether it had a sum.
    pub(crate) fn finish(self) -> bool {
        self.summed
    }
}

/// The word and the test, from `        PASS [   0.004s] (1/4) package::binary a::b`.
fn status(line: &str) -> Option<(&str, &str)> {
    let (word, rest) = line.trim_start().split_once(" [")?;
    if !line.starts_with("     ") || !word.starts_with(|first: char| first.is_ascii_uppercase()) {
        return None;
    }
    let (_time, rest) = rest.split_once("] ")?;
    let (_number, test) = rest.strip_prefix('(')?.split_once(") ")?;
    Some((word, test))
}

/// Passed and failed, from `     Summary [   0.083s] 4 tests run: 2 passed, 2 failed, 1 skipped`.
fn summary(line: &str) -> Option<(u64, u64)> {
    let (_time, counts) = line.trim_start().strip_prefix("Summary [")?.split_once("] ")?;
    let (run, results) = counts.split_once(" run: ")?;
    // After an interruption it is `2/4 tests run`; only what began counts here.
    let run: u64 = run.split([' ', '/']).next()?.parse().ok()?;
    let passed: u64 = results.split_once(" passed")?.0.parse().ok()?;
    Some((passed, run.checked_sub(passed)?))
}

#[cfg(test)]
mod tests {
    use super::{Reader, Tally};

    const OUTPUT: &str = "
    Starting 4 tests across 1 binary (1 test skipped)
        PASS [   0.004s] (1/4) nx a
  stdout ───

    running 1 test
    skipped: no mount
    test a ... ok

        SKIP [         ] (───) nx d
        SKIP [         ] (───) nx processes::child_process
        PASS [   0.004s] (2/4) nx b
     SIGABRT [   0.004s] (3/4) nx e
  stdout ───
    skipped: not a skip, it failed
        FAIL [   0.078s] (4/4) nx c
────────────
     Summary [   0.083s] 4 tests run: 2 passed (1 slow), 1 failed, 1 timed out, 1 skipped
     SIGABRT [   0.004s] (3/4) nx e
        FAIL [   0.078s] (4/4) nx c
";

    #[test]
    fn counts_and_reasons_are_read() {
        let (mut reader, mut tally) = (Reader::default(), Tally::default());
        let shown: Vec<&str> = OUTPUT.lines().filter(|line| reader.line(line, &mut tally)).collect();
        assert!(reader.finish());
        assert_eq!(
            tally.report(false),
            "\nskipped: nx a: no mount\nskipped: nx d: ignored\n1 passed, 2 failed, 2 skipped\n"
        );
        assert!(shown.contains(&"    skipped: not a skip, it failed"));
        assert!(!shown.contains(&"    test a ... ok"));
    }

    #[test]
    fn output_without_a_sum_is_incomplete() {
        let (mut reader, mut tally) = (Reader::default(), Tally::default());
        assert!(reader.line("error: could not compile", &mut tally));
        assert!(!reader.finish());
    }
}
