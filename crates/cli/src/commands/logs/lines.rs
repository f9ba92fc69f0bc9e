//! Bytes of several steps as lines.

use std::collections::BTreeMap;

use backstay_model::StepId;

/// Bytes of a line that wait for its end at most.
const LINE_BYTES_MAX: usize = 256 * 1024;

/// Bytes of several steps as lines behind their labels: a time, the name of the step, or both.
///
/// A line waits for its end, so that lines of several steps stay whole; of one that grows too long what is there is given
/// away, and nothing is held of it.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The beginnings of lines whose ends have not come.
    begun: BTreeMap<StepId, Begun>,
    /// Whose line was given in part: what comes of it next needs no label, unless another's line comes between.
    open: Option<StepId>,
}

/// The beginning of a line.
#[derive(Debug, Default)]
struct Begun {
    label: String,
    bytes: Vec<u8>,
}

impl Lines {
    /// Takes what came of a step, and gives what is to be printed now. `label` is that of every line that begins in `bytes`.
    pub(super) fn take(&mut self, step: &StepId, label: &str, bytes: &[u8]) -> Vec<u8> {
        let begun = self.begun.entry(step.clone()).or_default();
        if begun.bytes.is_empty() {
            label.clone_into(&mut begun.label);
        }
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let rest = &bytes[end..];
        let is_too_long = if end == 0 { begun.bytes.len() } else { 0 } + rest.len() > LINE_BYTES_MAX;
        if end == 0 && !is_too_long {
            begun.bytes.extend_from_slice(rest);
            return Vec::new();
        }
        let Begun { label: first, bytes: mut given } = std::mem::take(begun);
        given.extend_from_slice(if is_too_long { bytes } else { &bytes[..end] });
        if !is_too_long {
            *begun = Begun { label: label.to_owned(), bytes: rest.to_vec() };
        }
        self.labelled(step, &first, &given)
    }

    /// Gives what still waits of a step, with an end.
    pub(super) fn end(&mut self, step: &StepId) -> Vec<u8> {
        let mut out = match self.begun.remove(step) {
            Some(rest) if !rest.bytes.is_empty() => self.labelled(step, &rest.label, &rest.bytes),
            _ => Vec::new(),
        };
        if self.open.as_ref() == Some(step) {
            self.open = None;
            out.push(b'\n');
        }
        out
    }

    /// Gives what still waits, each line with an end.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        for (step, rest) in std::mem::take(&mut self.begun) {
            if !rest.bytes.is_empty() {
                out.append(&mut self.labelled(&step, &rest.label, &rest.bytes));
            }
        }
        if self.open.take().is_some() {
            out.push(b'\n');
        }
        out
    }

    fn labelled(&mut self, step: &StepId, label: &str, lines: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(lines.len() + lines.len() / 8);
        let mut goes_on = match self.open.take() {
            Some(open) if open == *step => true,
            Some(_) => {
                out.push(b'\n');
                false
            }
            None => false,
        };
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if !goes_on {
                out.extend_from_slice(label.as_bytes());
            }
            out.extend_from_slice(line);
            goes_on = false;
        }
        self.open = (!lines.ends_with(b"\n")).then(|| step.clone());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str) -> StepId {
        name.parse().unwrap()
    }

    fn given(parts: &[(&str, &str)]) -> String {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for (name, text) in parts {
            out.append(&mut lines.take(&step(name), &format!("{name} | "), text.as_bytes()));
        }
        out.append(&mut lines.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_of_several_steps_stand_behind_their_names_and_stay_whole() {
        assert_eq!(given(&[("scan", "one\ntwo\n")]), "scan | one\nscan | two\n");
        let parts = [("scan", "on"), ("fix", "a\nb"), ("scan", "e\nt"), ("fix", "\n"), ("scan", "wo")];
        assert_eq!(given(&parts), "fix | a\nscan | one\nfix | b\nscan | two\n");
    }

    #[test]
    fn a_line_that_is_too_long_to_wait_is_given_in_parts_behind_one_name() {
        let part = "x".repeat(LINE_BYTES_MAX / 2 + 1);
        let long = part.repeat(5);
        let mut parts = vec![("scan", part.as_str()); 5];
        assert_eq!(given(&parts), format!("scan | {long}\n"));
        parts.push(("scan", "y\nnext\n"));
        assert_eq!(given(&parts), format!("scan | {long}y\nscan | next\n"));
        parts.truncate(4);
        parts.extend([("fix", "between\n"), ("scan", "z\n")]);
        let long = part.repeat(4);
        assert_eq!(given(&parts), format!("scan | {long}\nfix | between\nscan | z\n"));
    }

    #[test]
    fn never_is_more_held_of_a_line_than_it_may_have() {
        let mut lines = Lines::default();
        for _ in 0..20 {
            lines.take(&step("scan"), "scan | ", &vec![b'x'; LINE_BYTES_MAX / 3]);
            assert!(lines.begun[&step("scan")].bytes.len() <= LINE_BYTES_MAX);
        }
    }
}
