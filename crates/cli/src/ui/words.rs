//! Words that go by what they are about.

/// Such as `1 step` or `3 steps`, of a noun with a regular plural.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// `text` as one word of a shell's command line.
pub(crate) fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_them_is_no_plural() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "step")), ["0 steps", "1 step", "2 steps"]);
    }

    #[test]
    fn what_a_shell_would_act_on_is_quoted_and_nothing_else() {
        for (text, expected) in [
            ("/home/ada/api-run_01", "/home/ada/api-run_01"),
            ("/home/ada/größe", "/home/ada/größe"),
            ("/home/ada/my project", "'/home/ada/my project'"),
            ("it's", r"'it'\''s'"),
            ("~/$(x)", "'~/$(x)'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(text), expected);
        }
    }
}
