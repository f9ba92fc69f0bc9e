//! Paths in commands that a person copies.

/// `text` as one word of a shell's command line.
#[must_use]
pub fn shell_word(text: &str) -> String {
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
