//! What a terminal sends, as keys.

/// A sequence that is longer is none that a key sends.
const SEQUENCE_BYTES_MAX: usize = 16;

/// One key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// A character.
    Text(char),
    /// Return.
    Enter,
    /// Escape.
    Escape,
    /// Backspace.
    Backspace,
    /// Ctrl-U: away with what was typed.
    Clear,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// To the beginning.
    Home,
    /// To the end.
    End,
}

/// Makes keys of bytes, however they come in.
#[derive(Debug, Default)]
pub(crate) struct Typed {
    begun: Vec<u8>,
}

impl Typed {
    /// The keys that end with `bytes`. What has only begun is kept.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Key> {
        let mut keys = Vec::new();
        for &byte in bytes {
            if self.begun.is_empty() {
                match byte {
                    0x1b | 0x80.. => self.begun.push(byte),
                    byte => keys.extend(plain(byte)),
                }
                continue;
            }
            if self.begun == b"\x1b" && byte == 0x1b {
                keys.push(Key::Escape);
                continue;
            }
            self.begun.push(byte);
            if self.begun[0] == 0x1b { self.sequence(&mut keys) } else { self.character(&mut keys) }
        }
        keys
    }

    /// Whether an escape has come and nothing behind it: the key itself, unless more follows at once.
    pub(crate) fn is_undecided(&self) -> bool {
        self.begun.first() == Some(&0x1b)
    }

    /// Nothing followed.
    pub(crate) fn decide(&mut self) -> Option<Key> {
        let begun = std::mem::take(&mut self.begun);
        (begun == b"\x1b").then_some(Key::Escape)
    }

    fn sequence(&mut self, keys: &mut Vec<Key>) {
        let is_over = match self.begun[1] {
            b'[' => self.begun.len() > 2 && matches!(self.begun.last(), Some(0x40..=0x7e)),
            b'O' => self.begun.len() > 2,
            // Alt and a key: nothing here is meant by it.
            _ => true,
        };
        if is_over {
            keys.extend(named(&self.begun));
        }
        if is_over || self.begun.len() > SEQUENCE_BYTES_MAX {
            self.begun.clear();
        }
    }

    fn character(&mut self, keys: &mut Vec<Key>) {
        match std::str::from_utf8(&self.begun) {
            Ok(text) => keys.extend(text.chars().map(Key::Text)),
            Err(error) if error.error_len().is_none() => return,
            Err(_no_text) => {}
        }
        self.begun.clear();
    }
}

fn plain(byte: u8) -> Option<Key> {
    Some(match byte {
        b'\r' | b'\n' => Key::Enter,
        0x08 | 0x7f => Key::Backspace,
        0x15 => Key::Clear,
        0x20..0x7f => Key::Text(char::from(byte)),
        _ => return None,
    })
}

/// As terminals of the xterm kind send them.
fn named(sequence: &[u8]) -> Option<Key> {
    Some(match sequence {
        b"\x1b[A" | b"\x1bOA" => Key::Up,
        b"\x1b[B" | b"\x1bOB" => Key::Down,
        b"\x1b[5~" => Key::PageUp,
        b"\x1b[6~" => Key::PageDown,
        b"\x1b[H" | b"\x1bOH" | b"\x1b[1~" | b"\x1b[7~" => Key::Home,
        b"\x1b[F" | b"\x1bOF" | b"\x1b[4~" | b"\x1b[8~" => Key::End,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_same_however_their_bytes_are_cut() {
        let typed = "jä\u{1b}[A\u{1b}OB日\r\u{1b}[5~\u{1b}[1;5C\u{7f}\u{15}\u{1b}x\u{1}q".as_bytes();
        let expected = [
            Key::Text('j'),
            Key::Text('ä'),
            Key::Up,
            Key::Down,
            Key::Text('日'),
            Key::Enter,
            Key::PageUp,
            Key::Backspace,
            Key::Clear,
            Key::Text('q'),
        ];
        for cut in 0..typed.len() {
            let mut reader = Typed::default();
            let mut keys = reader.take(&typed[..cut]);
            keys.extend(reader.take(&typed[cut..]));
            assert_eq!(keys, expected, "cut at {cut}");
            assert_eq!(reader.decide(), None);
        }
    }

    #[test]
    fn an_escape_alone_is_a_key_once_nothing_follows() {
        let mut reader = Typed::default();
        assert_eq!(reader.take(b"\x1b"), []);
        assert!(reader.is_undecided());
        assert_eq!(reader.decide(), Some(Key::Escape));
        assert!(!reader.is_undecided());
        assert_eq!(reader.take(b"\x1b\x1b[B"), [Key::Escape, Key::Down]);
    }

    #[test]
    fn what_is_no_text_is_no_key_and_does_not_stay() {
        let mut reader = Typed::default();
        assert_eq!(reader.take(b"\xff\xffa"), [Key::Text('a')]);
        assert_eq!(reader.take(b"\x1b[99999999999999999q"), [Key::Text('9'), Key::Text('9'), Key::Text('q')]);
    }
}
