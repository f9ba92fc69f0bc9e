//! One line for people about a tool call.

/// Characters of one line about a tool call.
pub const WHAT_CHARS_MAX: usize = 160;

/// Where the agent works, so that paths can be shown from there.
#[derive(Clone, Debug, Default)]
pub(super) struct Folder(pub(super) Option<String>);

impl Folder {
    /// `path` as seen from the folder; as it is where it lies elsewhere.
    pub(super) fn shown<'a>(&self, path: &'a str) -> &'a str {
        let Some(folder) = &self.0 else { return path };
        match path.strip_prefix(folder.trim_end_matches('/')).and_then(|rest| rest.strip_prefix('/')) {
            Some(inside) if !inside.is_empty() => inside,
            _ => path,
        }
    }
}

/// A shell command: `$ cargo test`.
pub(super) fn command(text: &str) -> String {
    one_line(&format!("$ {}", without_shell(text)))
}

/// A deed and what it is done to: `edit src/lib.rs`.
pub(super) fn deed(verb: &str, object: &str) -> String {
    one_line(&format!("{verb} {object}"))
}

/// Removes the shell that an agent puts around each command: `/bin/bash -lc 'cargo test'` is `cargo test`.
fn without_shell(text: &str) -> String {
    let inner = ["bash", "zsh", "sh"].iter().find_map(|shell| {
        let (before, rest) = text.split_once(" -lc ").or_else(|| text.split_once(" -c "))?;
        (before == *shell || before.ends_with(&format!("/{shell}"))).then_some(rest)
    });
    let Some(inner) = inner else { return text.to_owned() };
    for quote in ['\'', '"'] {
        if let Some(bare) = inner.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return match quote {
                '\'' => bare.replace(r"'\''", "'"),
                _ => bare.replace("\\\"", "\"").replace("\\$", "$").replace("\\\\", "\\"),
            };
        }
    }
    inner.to_owned()
}

/// `text` in one line: white space is one blank, what steers terminals is left out, and the end is cut at
/// [`WHAT_CHARS_MAX`].
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = String::new();
    let words = text.split_whitespace().flat_map(|word| [" ", word]).skip(1);
    let shown = words.flat_map(str::chars).filter(|&character| !steers(character));
    for (count, character) in shown.enumerate() {
        if count == WHAT_CHARS_MAX - 1 {
            line.push('…');
            return line;
        }
        line.push(character);
    }
    line
}

/// Control characters, and those that turn the direction of text.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::{Folder, WHAT_CHARS_MAX, command, deed};

    #[test]
    fn commands_lose_the_shell_around_them_and_stay_in_one_line() {
        for (text, expected) in [
            ("cargo test", "$ cargo test"),
            ("/bin/bash -lc 'cargo test && echo done'", "$ cargo test && echo done"),
            (r"bash -lc 'echo '\''a'\'''", "$ echo 'a'"),
            (r#"/usr/bin/zsh -lc "echo \"a\" \$HOME""#, r#"$ echo "a" $HOME"#),
            ("/bin/bash -lc ls", "$ ls"),
            ("python -c 'print(1)'", "$ python -c 'print(1)'"),
            ("a \\\n\t b\u{1b}[31m\u{202e}c", "$ a \\ b[31mc"),
            ("", "$"),
        ] {
            assert_eq!(command(text), expected, "{text}");
        }
    }

    #[test]
    fn long_lines_are_cut_with_a_mark() {
        let line = deed("edit", &"ä".repeat(500));
        assert_eq!(line.chars().count(), WHAT_CHARS_MAX);
        assert!(line.starts_with("edit ää") && line.ends_with("ä…"));
    }

    #[test]
    fn paths_are_shown_from_the_folder() {
        let folder = Folder(Some("/work/api/".to_owned()));
        assert_eq!(folder.shown("/work/api/src/a.rs"), "src/a.rs");
        assert_eq!(folder.shown("/work/api2/src/a.rs"), "/work/api2/src/a.rs");
        assert_eq!(folder.shown("/work/api/"), "/work/api/");
        assert_eq!(Folder(None).shown("src/a.rs"), "src/a.rs");
    }
}
