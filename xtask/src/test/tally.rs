//! How many tests passed, failed and were skipped, and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// An ignored test of this name is a program that other tests start, and not a test.
const CHILD_PROCESS: &str = "child_process";

/// What the tests' output said so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Tests that the harness calls passed, those that said that they skip included.
    ended_well: u64,
    failed: u64,
    /// Failures that are no test.
    other_failures: Vec<String>,
    /// By name of a test, why it did nothing.
    skipped: BTreeMap<String, String>,
    /// How many of `skipped` are among `ended_well`.
    skipped_by_themselves: u64,
}

impl Tally {
    /// `count` more tests passed.
    pub(crate) fn passed(&mut self, count: u64) {
        self.ended_well += count;
    }

    /// `count` more tests failed.
    pub(crate) fn failures(&mut self, count: u64) {
        self.failed += count;
    }

    /// Something that is no test failed.
    pub(crate) fn fail(&mut self, what: &str) {
        self.other_failures.push(what.to_owned());
    }

    /// A test that passed said that it had done nothing.
    pub(crate) fn skipped_itself(&mut self, test: &str, reason: &str) {
        if self.skipped.insert(test.to_owned(), reason.to_owned()).is_none() {
            self.skipped_by_themselves += 1;
        }
    }

    /// The harness did not start a test.
    pub(crate) fn ignored(&mut self, test: &str, reason: &str) {
        if test.rsplit("::").next() != Some(CHILD_PROCESS) {
            self.skipped.insert(test.to_owned(), reason.to_owned());
        }
    }

    /// All failures so far.
    pub(crate) fn failed(&self) -> u64 {
        self.failed + self.other_failures.len() as u64
    }

    /// Whether the suite may be called good; where everything has to run, a skip is a failure.
    pub(crate) fn is_good(&self, all: bool) -> bool {
        self.failed() == 0 && (!all || self.skipped.is_empty())
    }

    /// The end of the output; its last line is the sum.
    pub(crate) fn report(&self, all: bool) -> String {
        let mut text = String::from("\n");
        for (test, reason) in &self.skipped {
            writeln!(text, "skipped: {test}: {reason}").expect("a String takes all text");
        }
        for what in &self.other_failures {
            writeln!(text, "failed: {what}").expect("a String takes all text");
        }
        if all && !self.skipped.is_empty() {
            text.push_str("with --all nothing may be skipped\n");
        }
        let passed = self.ended_well.saturating_sub(self.skipped_by_themselves);
        writeln!(text, "{passed} passed, {} failed, {} skipped", self.failed(), self.skipped.len())
            .expect("a String takes all text");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn a_test_that_skipped_itself_has_not_passed() {
        let mut tally = Tally::default();
        tally.passed(5);
        tally.skipped_itself("a::b", "no mount");
        tally.skipped_itself("a::b", "no mount");
        tally.ignored("c", "slow");
        tally.ignored("processes::child_process", "a program");
        assert_eq!(
            tally.report(false),
            "\nskipped: a::b: no mount\nskipped: c: slow\n4 passed, 0 failed, 2 skipped\n"
        );
        assert!(tally.is_good(false));
        assert!(!tally.is_good(true));
    }

    #[test]
    fn what_is_no_test_can_fail_too() {
        let mut tally = Tally::default();
        tally.passed(2);
        tally.failures(1);
        tally.fail("the build");
        assert_eq!(tally.report(true), "\nfailed: the build\n2 passed, 2 failed, 0 skipped\n");
        assert!(!tally.is_good(false));
    }
}
