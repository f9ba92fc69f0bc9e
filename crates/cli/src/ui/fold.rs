//! Sentences on a screen that is narrower than they are.

use super::width;

/// Columns by which the lines that follow the first one of a sentence are moved to the right.
const HANG: usize = 2;

/// `text` with each line that is wider than `columns` broken between words. What stands in backticks is meant to be copied
/// and stays on one line where it fits in one; a word that is wider than the screen is left to the terminal.
pub(crate) fn folded(text: &str, columns: usize) -> String {
    text.split('\n').map(|line| folded_line(line, columns)).collect::<Vec<_>>().join("\n")
}

fn folded_line(line: &str, columns: usize) -> String {
    if width(line) <= columns {
        return line.to_owned();
    }
    let words = line.trim_start_matches(' ');
    let indent = line.len() - words.len();
    let hang = if indent + HANG < columns / 2 { indent + HANG } else { 0 };
    let mut out = line[..indent].to_owned();
    let mut used = indent;
    for (gap, word) in pieces(words, columns.saturating_sub(hang)) {
        let needed = gap + width(word);
        if gap > 0 && used + needed > columns {
            out.push('\n');
            out.push_str(&" ".repeat(hang));
            out.push_str(word);
            used = hang + width(word);
        } else {
            out.push_str(&" ".repeat(gap));
            out.push_str(word);
            used += needed;
        }
    }
    out
}

/// What may not be broken, each with the count of spaces before it: a word, or words in backticks that fit into `room`.
fn pieces(text: &str, room: usize) -> Vec<(usize, &str)> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.trim_start_matches(' ');
        let gap = rest.len() - word.len();
        let end = quoted_end(word).filter(|end| width(&word[..*end]) <= room);
        let end = end.or_else(|| word.find(' ')).unwrap_or(word.len());
        pieces.push((gap, &word[..end]));
        rest = &word[end..];
    }
    pieces
}

/// Where the word ends with which `text` begins, if there are spaces within its backticks.
fn quoted_end(text: &str) -> Option<usize> {
    let mut is_quoted = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'`' => is_quoted = !is_quoted,
            b' ' if !is_quoted => return Some(at),
            _ => {}
        }
    }
    // Without the second backtick it is no quotation.
    (!is_quoted).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_hang_below_their_sentence() {
        for (columns, text, expected) in [
            (20, "short", "short"),
            (16, "error BKS-C001 there is no store\n", "error BKS-C001\n  there is no\n  store\n"),
            (22, "  = give it `--store DIR`, or not", "  = give it\n    `--store DIR`, or\n    not"),
            (12, "  = `a b c d e f g h`", "  = `a b c d\n    e f g h`"),
            (14, "write `it` then go", "write `it`\n  then go"),
            (14, "a `lonely backtick here", "a `lonely\n  backtick\n  here"),
            (10, "an /unbreakable/path", "an\n  /unbreakable/path"),
            (12, "so:  {a: b}, too", "so:  {a: b},\n  too"),
            (8, "日本 日本 日", "日本\n  日本\n  日"),
        ] {
            assert_eq!(folded(text, columns), expected, "{columns}");
        }
    }

    #[test]
    fn nothing_but_spaces_and_breaks_changes() {
        let text =
            "error BKS-W003 a `step has` no key `x\n  = did you mean  `model`, or `a b c d e f g h i j`?";
        let bare = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        for columns in 1..120 {
            assert_eq!(bare(&folded(text, columns)), bare(text), "{columns}");
        }
    }
}
