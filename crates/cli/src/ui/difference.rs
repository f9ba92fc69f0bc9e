//! How a difference is painted.

use super::style::Paint;

/// Tells how the lines of a difference are painted, one after the other.
#[derive(Debug, Default)]
pub(crate) struct DiffPaint {
    /// The lines are those of files, behind the head that names them.
    is_within_hunk: bool,
}

impl DiffPaint {
    /// How git paints the next line.
    pub(crate) fn of(&mut self, line: &str) -> Paint {
        match line.as_bytes() {
            [b'@', b'@', ..] => {
                self.is_within_hunk = true;
                Paint::Busy
            }
            // Within a hunk every line begins with what became of it.
            [b'd', ..] => {
                self.is_within_hunk = false;
                Paint::Bold
            }
            _ if !self.is_within_hunk => Paint::Bold,
            [b'+', ..] => Paint::Good,
            [b'-', ..] => Paint::Bad,
            _ => Paint::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_look_like_heads_are_painted_as_what_became_of_them() {
        let text = "diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -1,4 +1,4 @@ fn x\n index\n--- gone\n+++ come\n-@@\n\\ No newline at end of file\ndiff --git a/y b/y\nBinary files a/y and b/y differ\n";
        let mut paint = DiffPaint::default();
        let painted: Vec<Paint> = text.lines().map(|line| paint.of(line)).collect();
        use Paint::{Bad, Bold, Busy, Good, Plain};
        assert_eq!(painted, [Bold, Bold, Bold, Bold, Busy, Plain, Bad, Good, Bad, Plain, Bold, Bold]);
    }
}
