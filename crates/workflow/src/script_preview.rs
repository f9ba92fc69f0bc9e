//! A script in one line, for people.

/// The first line of a script that does something: no blank line, no comment, and no `set` of the shell's options. The first
/// line where there is no other.
#[must_use]
pub fn first_command(script: &str) -> &str {
    let lines = || script.lines().map(str::trim).filter(|line| !line.is_empty());
    let does_something = |line: &&str| {
        !line.starts_with('#') && !line.starts_with("set -") && !line.starts_with("set +") && *line != ":"
    };
    lines().find(does_something).or_else(|| lines().next()).unwrap_or_default()
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
            ("set -e; make", "set -e; make"),
            ("  \n", ""),
        ] {
            assert_eq!(first_command(script), command, "{script:?}");
        }
    }
}
