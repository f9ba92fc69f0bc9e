//! Bytes to lines, whatever the chunks.

/// Bytes of one line that are kept. Of a longer line nothing is parsed; it is skipped and counted.
pub const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Cuts a stream of bytes into lines and knows where each ends.
#[derive(Debug)]
pub(super) struct Lines {
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// Whether the line that is being read is too long already.
    is_skipping: bool,
    /// The offset of the next byte to come.
    offset: u64,
    /// Lines that were too long.
    overlong: u64,
    /// The offset at which the last of them was found too long; 0 without one.
    overlong_at: u64,
    max: usize,
}

impl Lines {
    pub(super) fn at(offset: u64, max: usize) -> Lines {
        Lines { partial: Vec::new(), is_skipping: false, offset, overlong: 0, overlong_at: 0, max }
    }

    pub(super) fn overlong(&self) -> u64 {
        self.overlong
    }

    pub(super) fn overlong_at(&self) -> u64 {
        self.overlong_at
    }

    /// Takes `bytes` and calls `each` with every line that is complete now, and the offset behind its end.
    pub(super) fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8], u64)) {
        let mut rest = bytes;
        while let Some(length) = rest.iter().position(|&byte| byte == b'\n') {
            let (line, behind) = (&rest[..length], &rest[length + 1..]);
            self.offset += length as u64 + 1;
            self.complete(line, &mut each);
            rest = behind;
        }
        self.offset += rest.len() as u64;
        if self.is_skipping {
            return;
        }
        if self.partial.len() + rest.len() > self.max {
            self.skip();
        } else {
            self.partial.extend_from_slice(rest);
        }
    }

    /// The stream has ended: what has come of the last line is all of it.
    pub(super) fn end(&mut self, mut each: impl FnMut(&[u8], u64)) {
        if !self.partial.is_empty() {
            self.complete(&[], &mut each);
        }
        self.is_skipping = false;
    }

    fn complete(&mut self, tail: &[u8], each: &mut impl FnMut(&[u8], u64)) {
        if self.is_skipping {
            self.is_skipping = false;
        } else if self.partial.len() + tail.len() > self.max {
            self.skip();
            self.is_skipping = false;
        } else if self.partial.is_empty() {
            each(tail, self.offset);
        } else {
            let mut line = std::mem::take(&mut self.partial);
            line.extend_from_slice(tail);
            each(&line, self.offset);
            // The room is used again, unless one long line would keep it large.
            line.clear();
            line.shrink_to(64 * 1024);
            self.partial = line;
        }
    }

    fn skip(&mut self) {
        self.overlong += 1;
        self.overlong_at = self.offset;
        self.is_skipping = true;
        self.partial = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    fn all(chunks: &[&[u8]], max: usize) -> (Vec<(String, u64)>, u64) {
        let mut lines = Lines::at(100, max);
        let mut seen = Vec::new();
        for chunk in chunks {
            lines.feed(chunk, |line, end| seen.push((String::from_utf8_lossy(line).into_owned(), end)));
        }
        lines.end(|line, end| seen.push((String::from_utf8_lossy(line).into_owned(), end)));
        (seen, lines.overlong())
    }

    #[test]
    fn lines_are_the_same_in_any_chunks_and_the_last_needs_no_end() {
        let expected = vec![("ab".to_owned(), 103), (String::new(), 104), ("c".to_owned(), 105)];
        assert_eq!(all(&[b"ab\n\nc"], 10), (expected.clone(), 0));
        assert_eq!(all(&[b"a", b"b", b"\n", b"", b"\n", b"c"], 10), (expected, 0));
    }

    #[test]
    fn a_line_of_the_greatest_length_is_read_and_a_longer_one_is_skipped_and_counted_once() {
        let kept = vec![("abcd".to_owned(), 105), ("x".to_owned(), 113)];
        assert_eq!(all(&[b"abcd\nabcde\nx\n"], 4), (kept.clone(), 1));
        assert_eq!(all(&[b"abc", b"d\nab", b"c", b"de", b"\nx", b"\n"], 4), (kept, 1));
        assert_eq!(all(&[b"abc", b"defgh"], 4), (Vec::new(), 1), "at the end too");
    }
}
