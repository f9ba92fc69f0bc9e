//! Keeps the values of secrets out of a stream of bytes, however the stream is cut, and out of texts that were decoded from it.
//!
//! A value is sought in the forms that programs give it (`forms`): as it is, escaped, encoded, line by line. One automaton
//! seeks them all at once.
//!
//! What could still become a secret is held back: the longest end of the stream that is a true prefix of a form, and
//! nothing else. It is held until more bytes decide or the stream ends, not for a fixed time: bytes released on a timer
//! would give the secret away as soon as its rest arrives. So a byte that cannot belong to a secret never waits, and at
//! most one form's length less one waits. At the end of the stream a held prefix of at least six
//! bytes is redacted as well: a process killed in the middle of a write must not leave most of a secret.

mod forms;
mod names;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

pub use names::secrets_of;

use crate::spec::Redaction;

/// Values shorter than this are not redacted: they would be found everywhere.
pub(crate) const SECRET_BYTES_MIN: usize = 6;
/// Derived forms of all values together take at most so much; the values themselves are sought in any case.
const FORMS_BYTES_MAX: usize = 1 << 20;

/// What stands behind a text that was cut.
const CUT: &str = "…";

/// A longer form is sought in pieces of this size, the last of which is longer: little is held back, and an automaton of
/// pieces is small.
const PIECE_BYTES: usize = 64;

/// One form of one secret, or a piece of one.
struct Pattern {
    bytes: Vec<u8>,
    replacement: Arc<[u8]>,
    /// Whether it goes on where another pattern ended: then the replacement of that one stands for both.
    goes_on: bool,
}

/// The secrets of one process, ready to be sought in bytes and texts.
#[derive(Clone)]
pub struct Secrets(Option<Arc<Patterns>>);

struct Patterns {
    /// By form, so that those with one beginning stand together.
    sorted: Vec<Pattern>,
    /// Finds them; the number of a match is a place in `sorted`.
    automaton: AhoCorasick,
    /// Which two bytes a pattern begins with.
    begins: Vec<bool>,
    longest: usize,
    /// What they were made of.
    values: Vec<Redaction>,
}

impl Secrets {
    /// Those with these values. White space around a value does not belong to it.
    #[must_use]
    pub fn of(redactions: &[Redaction]) -> Secrets {
        let mut by_bytes: BTreeMap<Vec<u8>, (Arc<[u8]>, bool)> = BTreeMap::new();
        let mut room_bytes = FORMS_BYTES_MAX;
        for redaction in redactions {
            let replacement: Arc<[u8]> = format!("[redacted:{}]", redaction.name).into_bytes().into();
            let value = redaction.value.trim().as_bytes();
            for form in forms::forms(&redaction.value) {
                if form != value {
                    let Some(left) = room_bytes.checked_sub(form.len()) else { continue };
                    room_bytes = left;
                }
                for (index, piece) in pieces(&form).enumerate() {
                    by_bytes.entry(piece.to_vec()).or_insert_with(|| (Arc::clone(&replacement), index > 0));
                }
            }
        }
        if by_bytes.is_empty() {
            return Secrets(None);
        }
        let sorted: Vec<Pattern> = by_bytes
            .into_iter()
            .map(|(bytes, (replacement, goes_on))| Pattern { bytes, replacement, goes_on })
            .collect();
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            // The other kinds take room for each state times each byte.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(sorted.iter().map(|pattern| &pattern.bytes))
            .expect("values fit into an environment, whose size the system bounds far below two thousand million states");
        let mut begins = vec![false; 1 << 16];
        sorted.iter().for_each(|pattern| begins[pair(&pattern.bytes)] = true);
        let longest = sorted.iter().map(|pattern| pattern.bytes.len()).max().unwrap_or(0);
        Secrets(Some(Arc::new(Patterns { sorted, automaton, begins, longest, values: redactions.to_vec() })))
    }

    /// These and those of an environment, without making again what is made.
    #[must_use]
    pub fn with_env(&self, env: impl IntoIterator<Item = (String, String)>) -> Secrets {
        let known = self.0.as_ref().map_or(&[][..], |patterns| &patterns.values);
        let env = env.into_iter().collect();
        let new: Vec<Redaction> =
            secrets_of(&env, &[]).into_iter().filter(|secret| !known.contains(secret)).collect();
        if new.is_empty() { self.clone() } else { Secrets::of(&[known, &new].concat()) }
    }

    /// Those of an environment, by the names of its variables.
    #[must_use]
    pub fn of_env(env: &BTreeMap<String, String>) -> Secrets {
        Secrets::of(&secrets_of(env, &[]))
    }

    /// `text` without them: for what did not pass a keeper, or was decoded after it did. At its end, and before the mark of
    /// one that was cut, the beginning of a secret is redacted as well.
    #[must_use]
    pub fn redacted(&self, text: &str) -> String {
        if self.0.is_none() {
            return text.to_owned();
        }
        let (whole, mark) = text.strip_suffix(CUT).map_or((text, ""), |whole| (whole, CUT));
        let mut redactor = self.redactor();
        let mut clean = Vec::with_capacity(text.len());
        redactor.push(whole.as_bytes(), &mut clean);
        redactor.finish(&mut clean);
        clean.extend_from_slice(mark.as_bytes());
        // A value is text, so that what is left around it is text as well.
        String::from_utf8_lossy(&clean).into_owned()
    }

    /// Takes them out of `text`.
    pub fn redact(&self, text: &mut String) {
        if self.0.is_some() {
            *text = self.redacted(text);
        }
    }

    /// A redactor for one stream.
    #[must_use]
    pub fn redactor(&self) -> Redactor {
        Redactor { secrets: self.clone(), held: Vec::new(), has_replaced: false }
    }
}

/// Shows how many there are and nothing of them.
impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forms = self.0.as_ref().map_or(0, |patterns| patterns.sorted.len());
        formatter.debug_struct("Secrets").field("forms", &forms).finish()
    }
}

/// The pieces in which `form` is sought. No character is cut: what is held of a text is text.
fn pieces(form: &[u8]) -> impl Iterator<Item = &[u8]> {
    let count = (form.len() / PIECE_BYTES).max(1);
    let cut = move |index: usize| {
        let is_within = |at: &usize| form.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
        if index == count {
            form.len()
        } else {
            (index * PIECE_BYTES..).find(|at| !is_within(at)).unwrap_or(0)
        }
    };
    (0..count).map(move |index| &form[cut(index)..cut(index + 1)])
}

/// The first two bytes as a number.
fn pair(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

impl Patterns {
    /// A pattern that begins with `bytes` and goes on, if there is one: the longest.
    fn going_on(&self, bytes: &[u8]) -> Option<&Pattern> {
        let first = self.sorted.partition_point(|pattern| pattern.bytes.as_slice() <= bytes);
        let begun = self.sorted[first..].iter().take_while(|pattern| pattern.bytes.starts_with(bytes));
        begun.max_by_key(|pattern| pattern.bytes.len())
    }

    /// Whether a pattern begins with `bytes` and goes on.
    fn goes_on(&self, bytes: &[u8]) -> bool {
        (bytes.len() < 2 || self.begins[pair(bytes)]) && {
            let next = self.sorted.partition_point(|pattern| pattern.bytes.as_slice() <= bytes);
            self.sorted.get(next).is_some_and(|pattern| pattern.bytes.starts_with(bytes))
        }
    }

    /// The first place from `from` on at which what is left of `data` is a true prefix of a pattern.
    fn pending(&self, data: &[u8], from: usize) -> Option<usize> {
        let from = from.max((data.len() + 1).saturating_sub(self.longest));
        (from..data.len()).find(|at| self.goes_on(&data[*at..]))
    }
}

/// Replaces secrets by `[redacted:NAME]` in bytes that come piece by piece: the leftmost first, the longest of those
/// that begin at one place.
pub struct Redactor {
    secrets: Secrets,
    held: Vec<u8>,
    /// Whether the last thing that was given is a replacement.
    has_replaced: bool,
}

/// Shows how much it holds and nothing of it.
impl fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Redactor").field("held_bytes", &self.held.len()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// Takes the next bytes and appends to `out` what is decided.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Some(patterns) = self.secrets.0.clone() else {
            out.extend_from_slice(bytes);
            return;
        };
        let mut data = std::mem::take(&mut self.held);
        data.extend_from_slice(bytes);
        let mut pending = patterns.pending(&data, 0);
        let mut at = 0;
        // A match before what is pending cannot become a longer one: its beginning would be pending as well.
        for found in patterns.automaton.find_iter(&data) {
            if pending.is_some_and(|pending| pending <= found.start()) {
                break;
            }
            self.give(&data[at..found.start()], out);
            self.replace(&patterns.sorted[found.pattern().as_usize()], out);
            at = found.end();
            if pending.is_some_and(|pending| pending < at) {
                pending = patterns.pending(&data, at);
            }
        }
        let held_from = pending.unwrap_or(data.len());
        self.give(&data[at..held_from], out);
        data.drain(..held_from);
        self.held = data;
    }

    /// The stream is over: appends to `out` what is left.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let data = std::mem::take(&mut self.held);
        let Some(patterns) = self.secrets.0.clone() else { return };
        let mut at = 0;
        while at < data.len() {
            let begun = patterns.pending(&data, at).filter(|begun| data.len() - begun >= SECRET_BYTES_MIN);
            let found = patterns.automaton.find(&data[at..]);
            let (from, end, pattern) = match (begun, found) {
                (Some(begun), found) if found.is_none_or(|found| begun <= at + found.start()) => {
                    (begun, data.len(), patterns.going_on(&data[begun..]))
                }
                (_, Some(found)) => {
                    let pattern = &patterns.sorted[found.pattern().as_usize()];
                    (at + found.start(), at + found.end(), Some(pattern))
                }
                (_, None) => (data.len(), data.len(), None),
            };
            self.give(&data[at..from], out);
            if let Some(pattern) = pattern {
                self.replace(pattern, out);
            }
            at = end;
        }
        self.has_replaced = false;
    }

    fn give(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        self.has_replaced &= plain.is_empty();
        out.extend_from_slice(plain);
    }

    fn replace(&mut self, pattern: &Pattern, out: &mut Vec<u8>) {
        if !(self.has_replaced && pattern.goes_on) {
            out.extend_from_slice(&pattern.replacement);
        }
        self.has_replaced = true;
    }

    /// Bytes that wait for what comes next.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn redactions(values: &[&str]) -> Vec<Redaction> {
        values
            .iter()
            .enumerate()
            .map(|(index, &value)| Redaction { name: format!("S{index}"), value: value.to_owned() })
            .collect()
    }

    fn in_pieces(redactions: &[Redaction], pieces: &[&[u8]]) -> String {
        let mut redactor = Secrets::of(redactions).redactor();
        let mut out = Vec::new();
        for piece in pieces {
            redactor.push(piece, &mut out);
        }
        redactor.finish(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn s11_a_secret_is_found_across_every_split() {
        let secrets = redactions(&["hunter2!"]);
        let text = b"say hunter2! twice: hunter2!hunter2";
        for first in 0..text.len() {
            for second in first..text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                let expected = "say [redacted:S0] twice: [redacted:S0][redacted:S0]";
                assert_eq!(in_pieces(&secrets, &pieces), expected, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn s11_what_cannot_become_a_secret_is_not_held() {
        let mut redactor = Secrets::of(&redactions(&["hunter2!"])).redactor();
        let mut out = Vec::new();
        redactor.push(b"the hunt", &mut out);
        assert_eq!((out.as_slice(), redactor.held_bytes()), (&b"the "[..], 4));
        redactor.push(b"s are over", &mut out);
        assert_eq!((out.as_slice(), redactor.held_bytes()), (&b"the hunts are over"[..], 0));
    }

    #[test]
    fn s11_the_longest_of_two_secrets_at_one_place_wins() {
        let secrets = redactions(&["abcdef", "abcdefgh"]);
        assert_eq!(in_pieces(&secrets, &[b"abcdef", b"gh."]), "[redacted:S1].");
        assert_eq!(in_pieces(&secrets, &[b"abcdef", b"g."]), "[redacted:S0]g.");
    }

    #[test]
    fn s11_a_short_value_stays_and_an_end_cut_off_is_hidden() {
        assert_eq!(in_pieces(&redactions(&["12345"]), &[b"12345"]), "12345");
        assert_eq!(in_pieces(&redactions(&["hunter2!"]), &[b"hunte"]), "hunte");
        assert_eq!(in_pieces(&redactions(&["hunter2!"]), &[b"hunter"]), "[redacted:S0]");
    }

    /// Every form of these values, and whose it is.
    fn sought(values: &[Redaction]) -> Vec<(Vec<u8>, String)> {
        let of = |secret: &Redaction| {
            forms::forms(&secret.value)
                .into_iter()
                .map(|form| (form, secret.name.clone()))
                .collect::<Vec<_>>()
        };
        values.iter().flat_map(of).collect()
    }

    #[test]
    fn s11_every_form_is_found_across_every_split_and_nothing_else_is_held() {
        for value in ["pa\"ss\\wo/rd 'é'", "first-line-of-it\nsecond-line-of-it"] {
            let secrets = redactions(&[value]);
            for (form, _) in sought(&secrets) {
                let text = [b"<", form.as_slice(), b">"].concat();
                for cut in 0..text.len() {
                    let mut redactor = Secrets::of(&secrets).redactor();
                    let mut out = Vec::new();
                    redactor.push(&text[..cut], &mut out);
                    redactor.push(&text[cut..], &mut out);
                    assert_eq!(redactor.held_bytes(), 0, "nothing follows a `>`");
                    let out = String::from_utf8_lossy(&out).into_owned();
                    assert_eq!(out, "<[redacted:S0]>", "{:?} cut at {cut}", String::from_utf8_lossy(&form));
                }
            }
        }
    }

    #[test]
    fn s11_encoded_in_the_middle_of_something_it_is_gone_at_each_alignment() {
        for (encoded, clean) in [
            ("dXNlcjpodW50ZXIyIQ==", "dXNlcjpo[redacted:S0]Q=="),
            ("dTpodW50ZXIyITp4", "dTpo[redacted:S0]Tp4"),
            ("dXI6aHVudGVyMiE6eA==", "dXI6[redacted:S0]E6eA=="),
        ] {
            let out = in_pieces(&redactions(&["hunter2!"]), &[encoded.as_bytes()]);
            assert!(out.contains("[redacted:S0]") && out.len() < clean.len() + 4, "{encoded}: {out}");
        }
    }

    #[test]
    fn s11_a_long_value_is_found_in_pieces_and_told_once() {
        let value: String = (0..40).map(|number| format!("part{number:04}")).collect();
        let text = format!("<{value}> <{}>", &value[..200]);
        for cut in [1, 7, 64, 100, 1_000] {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
            let out = in_pieces(&redactions(&[&value]), &pieces);
            assert!(out.starts_with("<[redacted:S0]> <[redacted:S0]"), "{out}");
            assert!(!out.contains("part0004part"), "{out}");
        }
        let mut redactor = Secrets::of(&redactions(&[&value])).redactor();
        redactor.push(value.as_bytes(), &mut Vec::new());
        assert!(redactor.held_bytes() < 2 * PIECE_BYTES);
        let accented = "é".repeat(101);
        for odd in ["", "x"] {
            let form = format!("{odd}{accented}").into_bytes();
            assert!(pieces(&form).all(|piece| std::str::from_utf8(piece).is_ok()));
            assert_eq!(pieces(&form).flatten().copied().collect::<Vec<u8>>(), form);
        }
    }

    #[test]
    fn s11_ordinary_text_stays() {
        let secrets = redactions(&["correct horse battery", "tok_4711\nyes\nno\nlocalhost:80"]);
        let text = "yes, no; a horse and a battery, at localhost; dG9r %20 \\n Zm9v";
        assert_eq!(in_pieces(&secrets, &[text.as_bytes()]), text);
    }

    /// Says the same in the simplest way, with the whole text at hand.
    fn whole(redactions: &[Redaction], text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let fits = |secret: &&Redaction| {
                let value = secret.value.as_bytes();
                value.len() >= 6 && (rest.starts_with(value) || (rest.len() >= 6 && value.starts_with(rest)))
            };
            match redactions.iter().filter(fits).max_by_key(|secret| secret.value.len()) {
                Some(secret) => {
                    out.extend_from_slice(format!("[redacted:{}]", secret.name).as_bytes());
                    at += secret.value.len().min(rest.len());
                }
                None => {
                    out.push(text[at]);
                    at += 1;
                }
            }
        }
        out
    }

    proptest! {
        #[test]
        fn s11_pieces_give_what_the_whole_gives(
            values in proptest::collection::btree_set("[ab]{5,9}", 0..4),
            pieces in proptest::collection::vec("[abc]{0,12}", 0..20),
        ) {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let secrets = redactions(&values);
            let cut: Vec<&[u8]> = pieces.iter().map(String::as_bytes).collect();
            let expected = String::from_utf8_lossy(&whole(&secrets, pieces.concat().as_bytes())).into_owned();
            prop_assert_eq!(in_pieces(&secrets, &cut), expected);
        }
    }
}
