//! What a terminal may be shown of the words of others.
//!
//! Everything that this program prints goes through here, in [`crate::output`] or as a [`Line`](super::Line): the words of
//! workflows, agents, files and the system are shown, and nothing in them acts. No escape sequence gets through, whatever
//! its kind and however it is written, and no control character but the line break; nor does what turns text around
//! (bidirectional controls) or hides in it (zero-width and other invisible characters). Colours are either dropped, or
//! written anew: those that a terminal may show, and never beyond the end of their line.
//!
//! What a process wrote for a terminal is shown as the terminal would have left it: a carriage return, a backspace and the
//! sequences that move within the line write over what stood there ([`Moves::Obeyed`]). Elsewhere that would be a way to
//! hide words, so nothing is written over ([`Moves::Shown`]).

#[cfg(test)]
mod mutations;
mod row;
mod sequence;

use self::row::Row;
use self::sequence::{Action, Sequences};

/// Columns between two tabs.
const TAB_COLUMNS: usize = 8;

/// Which colours are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colours {
    /// None.
    None,
    /// Those with which this program paints.
    Own,
    /// Those that a process chose, but for what makes text invisible.
    Any,
}

/// What becomes of that which moves the cursor within its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moves {
    /// What comes next is written over what stood there.
    Obeyed,
    /// Nothing is written over.
    Shown,
}

/// Makes lines that may be shown of bytes that come piece by piece. A line is given when it has ended.
#[derive(Debug)]
pub(crate) struct Sanitizer {
    sequences: Sequences,
    row: Row,
    /// The beginning of a character whose other bytes have not come.
    undecoded: Vec<u8>,
}

impl Sanitizer {
    /// One at the beginning of a line.
    pub(crate) fn new(colours: Colours, moves: Moves) -> Sanitizer {
        Sanitizer::with_tabs(colours, moves, TAB_COLUMNS)
    }

    fn with_tabs(colours: Colours, moves: Moves, tab_columns: usize) -> Sanitizer {
        Sanitizer {
            sequences: Sequences::default(),
            row: Row::new(colours, moves, tab_columns),
            undecoded: Vec::new(),
        }
    }

    /// Takes the next bytes, and appends to `out` the lines that end in them, each with its line break. Of a line of more
    /// columns than any screen has, what is there is given before its end.
    pub(crate) fn take(&mut self, bytes: &[u8], out: &mut String) {
        let mut data = std::mem::take(&mut self.undecoded);
        data.extend_from_slice(bytes);
        let mut rest = data.as_slice();
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.text(text, out);
                    break;
                }
                Err(error) => {
                    let (valid, invalid) = rest.split_at(error.valid_up_to());
                    self.text(&String::from_utf8_lossy(valid), out);
                    let Some(length) = error.error_len() else {
                        self.undecoded = invalid.to_vec();
                        break;
                    };
                    // Among these are C1 controls as single bytes: a terminal that knows UTF-8 shows the same.
                    self.character(char::REPLACEMENT_CHARACTER);
                    rest = &invalid[length..];
                }
            }
        }
        self.row.give_overlong(out);
    }

    /// No more bytes come: appends the line that has not ended, without a line break.
    pub(crate) fn finish(&mut self, out: &mut String) {
        if !std::mem::take(&mut self.undecoded).is_empty() {
            self.character(char::REPLACEMENT_CHARACTER);
        }
        self.end_row(out);
    }

    /// The line that has not ended, as it stands.
    pub(crate) fn unfinished(&self) -> String {
        self.row.shown()
    }

    fn text(&mut self, text: &str, out: &mut String) {
        for part in text.split_inclusive('\n') {
            let (line, has_ended) = part.strip_suffix('\n').map_or((part, false), |line| (line, true));
            // Most lines are plain.
            if has_ended && self.row.is_empty() && self.sequences.is_idle() && row::is_plain(line) {
                out.push_str(part);
                continue;
            }
            line.chars().for_each(|character| self.character(character));
            if has_ended {
                self.end_row(out);
                out.push('\n');
            }
        }
    }

    fn character(&mut self, character: char) {
        match self.sequences.take(character) {
            Action::Nothing => {}
            Action::Print(character) => self.row.print(character),
            Action::Control(control) => self.row.control(control),
            Action::Csi { parameters, last } => self.row.csi(&parameters, last),
        }
    }

    fn end_row(&mut self, out: &mut String) {
        // What was begun as a title or the like and has no end is words.
        let words = self.sequences.end();
        words.chars().for_each(|character| self.row.print(character));
        self.row.end(out);
    }
}

/// `text` as words of one or several lines: nothing in it acts, and nothing of it is hidden.
pub(crate) fn words(text: &str, colours: Colours) -> String {
    sanitized(text.as_bytes(), Sanitizer::new(colours, Moves::Shown))
}

/// `text` as words in one line.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = sanitized(text.as_bytes(), Sanitizer::with_tabs(Colours::None, Moves::Shown, 1));
    if line.contains('\n') {
        line = line.replace('\n', " ");
    }
    line
}

/// What a terminal would show of `bytes` that a process wrote: plain lines.
pub(crate) fn as_shown(bytes: &[u8]) -> String {
    sanitized(bytes, Sanitizer::new(Colours::None, Moves::Obeyed))
}

fn sanitized(bytes: &[u8], mut sanitizer: Sanitizer) -> String {
    // Most words are plain.
    if let Some(line) = std::str::from_utf8(bytes).ok().filter(|line| row::is_plain(line)) {
        return line.to_owned();
    }
    let mut out = String::with_capacity(bytes.len());
    sanitizer.take(bytes, &mut out);
    sanitizer.finish(&mut out);
    out
}

/// A JSON document in which all that is not to be shown as it is stands as an escape: its meaning stays.
pub(crate) fn json(document: String) -> String {
    let is_plain = |character: char| character == '\n' || row::is_shown(character);
    if document.chars().all(is_plain) {
        return document;
    }
    let mut out = String::with_capacity(document.len());
    for character in document.chars() {
        if is_plain(character) {
            out.push(character);
        } else {
            // Only within strings: JSON has none of these elsewhere.
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(bytes: &[u8]) -> String {
        sanitized(bytes, Sanitizer::new(Colours::Any, Moves::Obeyed))
    }

    #[test]
    fn no_sequence_of_any_kind_gets_through() {
        let cases: &[(&[u8], &str)] = &[
            (b"a\x1b[2Jb\x1b[10;10Hc\x1b[?1049hd", "abcd"),
            (b"a\x1b]0;title\x07b\x1b]52;c;eA==\x1b\\c", "abc"),
            (b"a\x1bPq#1\x1b\\b\x1bXsos\x1b\\c\x1b^pm\x1b\\d\x1b_apc\x1b\\e", "abcde"),
            (b"a\x1bcb\x1b7c\x1b#8d\x1b(0e\x1b%Gf\x1b N", "abcdef"),
            ("a\u{9b}2Jb\u{9d}0;t\u{9c}c\u{90}q\u{9c}d\u{85}e\u{98}x\u{9c}".as_bytes(), "abcd e"),
            (b"a\x9b31mb\x9d0;t\x07c\x85", "a\u{fffd}31mb\u{fffd}0;tc\u{fffd}"),
            (b"a\x1b\x1b[2Jb\x1b", "ab"),
            (b"a\x1b[2\x18b\x1b]0;t\x1ac", "abc"),
            (b"a\x00\x01\x05\x07\x0e\x0f\x7fb", "ab"),
            (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ];
        for (bytes, shown) in cases {
            assert_eq!(logged(bytes), *shown, "{:?}", String::from_utf8_lossy(bytes));
            assert_eq!(words(&String::from_utf8_lossy(bytes), Colours::Own), *shown);
        }
    }

    #[test]
    fn what_has_no_end_loses_no_words_and_no_later_line() {
        assert_eq!(logged(b"a\x1b]0;title\nb"), "a0;title\nb");
        assert_eq!(logged(b"a\x1bPq words\n\x1b[31"), "aq words\n");
        assert_eq!(logged("a\x1b[3é".as_bytes()), "aé");
    }

    #[test]
    fn colours_are_kept_to_their_line() {
        assert_eq!(logged(b"\x1b[31mred\nplain\n"), "\x1b[31mred\x1b[0m\nplain\n");
        assert_eq!(
            logged(b"\x1b[1;38;5;200mx\x1b[39my\x1b[mz"),
            "\x1b[1m\x1b[38;5;200mx\x1b[0m\x1b[1my\x1b[0mz"
        );
        assert_eq!(logged(b"\x1b[38:2::1:2:3mx"), "\x1b[38;2;1;2;3mx\x1b[0m");
        // Hidden or blinking, black on black: to be read all the same.
        assert_eq!(logged(b"\x1b[8mx\x1b[5my\x1b[30;40mz"), "xy\x1b[40mz\x1b[0m");
        assert_eq!(words("\x1b[32mok\x1b[0m \x1b[7;44mx", Colours::Own), "\x1b[32mok\x1b[0m x");
        assert_eq!(words("\x1b[32mok\x1b[0m", Colours::None), "ok");
    }

    #[test]
    fn a_line_is_as_a_terminal_leaves_it() {
        let cases: &[(&[u8], &str)] = &[
            (b"10 %\r20 %\r30 %\r\nnext", "30 %\nnext"),
            (b"downloading\rdone", "doneloading"),
            (b"downloading\r\x1b[Kdone", "done"),
            (b"abc\x1b[2K\rx", "x"),
            (b"passworx\x08d", "password"),
            (b"a\x08\x08b", "b"),
            (b"one\ttwo", "one     two"),
            (b"abcdefgh\r\tx", "abcdefghx"),
            (b"ab\x1b[3Cc\x1b[2Gd", "ad   c"),
            ("日本\rab".as_bytes(), "ab本"),
            ("日本\ra".as_bytes(), "a 本"),
            ("e\u{301}x".as_bytes(), "e\u{301}x"),
        ];
        for (bytes, shown) in cases {
            assert_eq!(logged(bytes), *shown, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn words_cannot_be_written_over() {
        assert_eq!(words("rm -rf /\rls\x08\x08", Colours::None), "rm -rf / ls");
        assert_eq!(words("rm -rf /\x1b[2K\x1b[1Gls\r\n", Colours::None), "rm -rf /ls\n");
        assert_eq!(one_line("a\nb\tc\r\nd"), "a b c d");
    }

    #[test]
    fn nothing_turns_text_around_or_hides_in_it_and_scripts_keep_what_they_need() {
        assert_eq!(words("ok \u{202e}lave\u{2066}\u{200f}\u{61c}", Colours::None), "ok lave");
        assert_eq!(words("r\u{200b}m\u{2060} \u{feff}-\u{200d}rf\u{e0041}\u{ad}", Colours::None), "rm -rf");
        for kept in ["👩\u{200d}💻", "❤\u{fe0f}", "क\u{94d}\u{200d}ष", "می\u{200c}خواهم", "e\u{301}"]
        {
            assert_eq!(words(kept, Colours::None), kept);
        }
        assert_eq!(words("a\u{200d}b क\u{200d} x", Colours::None), "ab क x");
        assert_eq!(words("a\u{2028}b", Colours::None), "a b");
    }

    #[test]
    fn pieces_make_no_difference() {
        let bytes =
            [&b"\x9b\xe2\x82"[..], "\x1b[31mrot\x1b[0m\r\u{9b}Kgrün\x1b]0;t\x07 日\né".as_bytes()].concat();
        let whole = logged(&bytes);
        for cut in 0..=bytes.len() {
            let mut sanitizer = Sanitizer::new(Colours::Any, Moves::Obeyed);
            let mut out = String::new();
            sanitizer.take(&bytes[..cut], &mut out);
            sanitizer.take(&bytes[cut..], &mut out);
            sanitizer.finish(&mut out);
            assert_eq!(out, whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_json_document_means_the_same_and_acts_on_nothing() {
        let value = serde_json::json!({"a": "x\u{9b}31m\u{202e}\u{7f}\u{200b}\u{e0041}é日\n"});
        let shown = json(serde_json::to_string_pretty(&value).unwrap());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        assert!(shown.contains(r"x\u009b31m\u202e\u007f\u200b\udb40\udc41é日\n"), "{shown}");
    }

    #[test]
    fn an_overlong_line_is_given_in_parts_and_takes_no_more_room() {
        let mut sanitizer = Sanitizer::new(Colours::None, Moves::Obeyed);
        let mut out = String::new();
        for _ in 0..100 {
            sanitizer.take(&[b'x'; 10_000], &mut out);
        }
        assert!(out.len() > 900_000);
        sanitizer.finish(&mut out);
        assert_eq!(out.len(), 1_000_000);
        let moved = as_shown(&b"\x1b[999999999Cx\r".repeat(1_000));
        assert!(moved.len() < 1_000, "{}", moved.len());
    }
}
