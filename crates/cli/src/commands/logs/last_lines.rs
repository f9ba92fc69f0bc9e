//! The last lines of a stream of bytes.

use std::collections::VecDeque;

/// Bytes of one line that are kept at most: the last of them.
const LINE_BYTES_MAX: usize = 256 * 1024;

/// Keeps the last lines of what is pushed.
#[derive(Debug)]
pub(super) struct LastLines {
    count_max: usize,
    lines: VecDeque<Vec<u8>>,
}

impl LastLines {
    /// At most `count_max` lines.
    pub(super) fn new(count_max: usize) -> LastLines {
        LastLines { count_max, lines: VecDeque::new() }
    }

    /// Takes what came next.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            match self.lines.back_mut().filter(|line| !line.ends_with(b"\n")) {
                Some(begun) => begun.extend_from_slice(piece),
                None => self.lines.push_back(piece.to_vec()),
            }
            if let Some(last) = self.lines.back_mut()
                && last.len() > LINE_BYTES_MAX
            {
                last.drain(..last.len() - LINE_BYTES_MAX);
            }
            while self.lines.len() > self.count_max {
                self.lines.pop_front();
            }
        }
    }

    /// Those lines.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.lines.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(count_max: usize, pieces: &[&str]) -> String {
        let mut lines = LastLines::new(count_max);
        pieces.iter().for_each(|piece| lines.push(piece.as_bytes()));
        String::from_utf8(lines.into_bytes()).unwrap()
    }

    #[test]
    fn the_last_lines_are_kept_however_they_come() {
        assert_eq!(last(2, &["one\ntw", "o\nthree\n"]), "two\nthree\n");
        assert_eq!(last(2, &["one\ntwo\nthr", "ee"]), "two\nthree");
        assert_eq!(last(9, &["one\n"]), "one\n");
        assert_eq!(last(0, &["one\ntwo"]), "");
    }

    #[test]
    fn of_a_line_that_never_ends_the_last_bytes_are_kept() {
        let mut lines = LastLines::new(1);
        for _ in 0..4 {
            lines.push(&[b'x'; LINE_BYTES_MAX / 2 + 1]);
        }
        assert_eq!(lines.into_bytes().len(), LINE_BYTES_MAX);
    }
}
