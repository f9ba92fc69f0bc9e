//! Finds the comment behind a text without quotes.

/// The part of a text that may be a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comment {
    /// No part: `#123` is the number of an issue.
    None,
    /// All from this byte on.
    Certain(usize),
    /// Perhaps all from this byte on: `#word` behind one space.
    Doubtful(usize),
}

/// Returns the part of `text`, a line or its end, that may be a comment.
pub(crate) fn comment(text: &str) -> Comment {
    for (at, _) in text.match_indices('#') {
        let before = &text[..at];
        let blank = before.len() - before.trim_end_matches([' ', '\t']).len();
        if blank == 0 {
            continue;
        }
        let is_open = |quote: char| before.matches(quote).count() % 2 == 1;
        if is_open('"') || is_open('\'') {
            // YAML reads a comment; a shell would read on in the quotes.
            return Comment::Doubtful(at - blank);
        }
        let after = text[at + 1..].chars().next();
        match after {
            Some(c) if c.is_ascii_digit() && blank == 1 => {}
            Some(c) if !c.is_whitespace() && !matches!(c, '#' | '!') && blank == 1 => {
                return Comment::Doubtful(at - blank);
            }
            _ => return Comment::Certain(at - blank),
        }
    }
    Comment::None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_told_from_the_number_of_an_issue() {
        for (text, expected) in [
            ("fix it", Comment::None),
            ("fix a#b", Comment::None),
            ("fix #123 and #4", Comment::None),
            ("fix # it", Comment::Certain(3)),
            ("fix #", Comment::Certain(3)),
            ("fix #12 # it", Comment::Certain(7)),
            ("fix  #12", Comment::Certain(3)),
            ("fix \t#12", Comment::Certain(3)),
            ("fix #it", Comment::Doubtful(3)),
            ("echo \"a: b # c\"", Comment::Doubtful(10)),
            ("it's # so", Comment::Doubtful(4)),
            ("echo \"a\" # c", Comment::Certain(8)),
            ("fix #12 #it", Comment::Doubtful(7)),
        ] {
            assert_eq!(comment(text), expected, "{text}");
        }
    }
}
