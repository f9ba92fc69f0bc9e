//! Reads what `cargo test -- --show-output` says.

use super::tally::Tally;

/// Where in the output of the test programs the reader is.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// A test program has begun and not yet said how it ended.
    open: bool,
    part: Part,
}

#[derive(Debug, Default)]
enum Part {
    #[default]
    Names,
    /// The output of tests that passed, and the test that it is of.
    Successes(String),
    Failures,
}

impl Reader {
    /// Takes one line. Returns whether it is worth showing.
    pub(crate) fn line(&mut self, line: &str, tally: &mut Tally) -> bool {
        if line.starts_with("running ") && (line.ends_with(" tests") || line.ends_with(" test")) {
            self.close(tally);
            self.open = true;
            return true;
        }
        if let Some((passed, failed)) = result(line) {
            tally.passed(passed);
            tally.failures(failed);
            *self = Reader::default();
            return true;
        }
        match (&mut self.part, line) {
            (part, "successes:") => *part = Part::Successes(String::new()),
            (part, "failures:") => {
                *part = Part::Failures;
                return true;
            }
            (Part::Names, _) => {
                if let Some((test, reason)) = ignored(line) {
                    tally.ignored(test, reason);
                }
                return !line.is_empty();
            }
            (Part::Successes(test), _) => {
                if let Some(name) =
                    line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"))
                {
                    name.clone_into(test);
                } else if let Some(reason) = line.strip_prefix("skipped: ") {
                    tally.skipped_itself(test, reason);
                }
            }
            (Part::Failures, _) => return true,
        }
        false
    }

    /// The output is over. Returns whether every program that began has said how it ended.
    pub(crate) fn finish(mut self, tally: &mut Tally) -> bool {
        self.close(tally)
    }

    /// A program that never said how it ended has died in a test.
    fn close(&mut self, tally: &mut Tally) -> bool {
        let died = self.open;
        if died {
            tally.fail("a test program died; its name is in the error above");
        }
        *self = Reader::default();
        !died
    }
}

/// Passed and failed, from `test result: ok. 5 passed; 0 failed; …`.
fn result(line: &str) -> Option<(u64, u64)> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let mut numbers = counts.split("; ").map(|part| part.split_once(' '));
    let (passed, "passed") = numbers.next()?? else { return None };
    let (failed, "failed") = numbers.next()?? else { return None };
    Some((passed.parse().ok()?, failed.parse().ok()?))
}

/// Name and reason, from `test a::b ... ignored, because`.
fn ignored(line: &str) -> Option<(&str, &str)> {
    let (test, rest) = line.strip_prefix("test ")?.split_once(" ... ignored")?;
    Some((test, rest.strip_prefix(", ").unwrap_or("ignored")))
}

#[cfg(test)]
mod tests {
    use super::{Reader, Tally};

    const OUTPUT: &str = "
running 4 tests
test a ... ok
test b ... ok
test d ... ignored, why
test c ... FAILED

successes:

---- a stdout ----
skipped: no mount
test result: no. such thing

successes:
    a
    b

failures:

---- c stdout ----
skipped: not a skip, it failed

failures:
    c

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.07s
";

    #[test]
    fn counts_and_reasons_are_read() {
        let (mut reader, mut tally) = (Reader::default(), Tally::default());
        let shown: Vec<&str> = OUTPUT.lines().filter(|line| reader.line(line, &mut tally)).collect();
        assert!(reader.finish(&mut tally));
        assert_eq!(
            tally.report(false),
            "\nskipped: a: no mount\nskipped: d: why\n1 passed, 1 failed, 2 skipped\n"
        );
        assert!(shown.contains(&"---- c stdout ----"));
        assert!(!shown.contains(&"---- a stdout ----"));
    }

    #[test]
    fn a_program_that_died_is_a_failure() {
        let (mut reader, mut tally) = (Reader::default(), Tally::default());
        for line in [
            "running 2 tests",
            "test a ... ok",
            "running 0 tests",
            "test result: ok. 0 passed; 0 failed; 0 ignored",
        ] {
            reader.line(line, &mut tally);
        }
        assert!(reader.finish(&mut tally));
        assert_eq!(tally.failed(), 1);
    }
}
