//! A script in one line, for people.

/// Returns the first line of a script that is not empty, a comment or a `set` of the shell's options; else the first line that
/// is not empty.
#[must_use]
pub fn first_command(script: &str) -> &str {
    let lines = || script.lines().map(str::trim).filter(|line| !line.is_empty());
    let does_something = |line: &&str| !line.starts_with('#') && !sets_options_only(line) && *line != ":";
    lines().find(does_something).or_else(|| lines().next()).unwrap_or("")
}

/// Whether a line is a `set -euo pipefail` or the like, with nothing behind it and no arguments of the script.
fn sets_options_only(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let is_option =
        |word: &str| word != "--" && word.chars().all(|c| c.is_ascii_alphabetic() || "-+".contains(c));
    words.next() == Some("set") && line.contains([' ', '\t']) && words.all(is_option)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_command_is_no_comment_and_no_option_of_the_shell() {
        for (script, command) in [
            ("make test", "make test"),
            ("\n# Why it is so.\nset -euo pipefail\n\n  cargo build\ncargo test\n", "cargo build"),
            ("#!/bin/sh\nset +e\n", "#!/bin/sh"),
            ("set -e; make\nls", "set -e; make"),
            ("set -o errexit\nls", "ls"),
            ("set -- a b\nls", "set -- a b"),
            ("  \n", ""),
        ] {
            assert_eq!(first_command(script), command, "{script:?}");
        }
    }
}
