//! Keeps the values of secrets out of a stream of bytes, however the stream is cut.
//!
//! What could still become a secret is held back: the longest end of the stream that is a true prefix of one, and
//! nothing else. It is held until more bytes decide or the stream ends, not for a fixed time: bytes released on a timer
//! would give the secret away as soon as its rest arrives. So a byte that cannot belong to a secret never waits, and at
//! most one secret's length less one waits. At the end of the stream a held prefix of at least six
//! bytes is redacted as well: a process killed in the middle of a write must not leave most of a secret.

use std::collections::BTreeMap;

use crate::spec::Redaction;

/// Values shorter than this are not redacted: they would be found everywhere.
pub(crate) const SECRET_BYTES_MIN: usize = 6;

struct Secret {
    value: Vec<u8>,
    replacement: Vec<u8>,
}

/// Replaces secrets by `[redacted:NAME]` in bytes that come piece by piece: the leftmost first, the longest of those
/// that begin at one place.
pub struct Redactor {
    /// The longest first.
    secrets: Vec<Secret>,
    begins: [bool; 256],
    held: Vec<u8>,
}

enum Verdict {
    Plain,
    Secret(usize),
    Undecided,
}

impl Redactor {
    /// A redactor for these values. White space around a value does not belong to it.
    #[must_use]
    pub fn new(redactions: &[Redaction]) -> Redactor {
        let mut secrets: Vec<Secret> = redactions
            .iter()
            .map(|redaction| (redaction.name.as_str(), redaction.value.trim().as_bytes()))
            .filter(|(_, value)| value.len() >= SECRET_BYTES_MIN)
            .map(|(name, value)| Secret {
                value: value.to_vec(),
                replacement: format!("[redacted:{name}]").into_bytes(),
            })
            .collect();
        secrets.sort_by(|a, b| b.value.len().cmp(&a.value.len()).then_with(|| a.value.cmp(&b.value)));
        secrets.dedup_by(|later, first| later.value == first.value);
        let mut begins = [false; 256];
        for secret in &secrets {
            begins[usize::from(secret.value[0])] = true;
        }
        Redactor { secrets, begins, held: Vec::new() }
    }

    /// Takes the next bytes and appends to `out` what is decided.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.secrets.is_empty() {
            out.extend_from_slice(bytes);
            return;
        }
        let mut data = std::mem::take(&mut self.held);
        data.extend_from_slice(bytes);
        let mut at = 0;
        let mut plain_from = 0;
        while at < data.len() {
            match self.judge(&data[at..]) {
                Verdict::Plain => at += 1,
                Verdict::Secret(index) => {
                    out.extend_from_slice(&data[plain_from..at]);
                    out.extend_from_slice(&self.secrets[index].replacement);
                    at += self.secrets[index].value.len();
                    plain_from = at;
                }
                Verdict::Undecided => break,
            }
        }
        out.extend_from_slice(&data[plain_from..at]);
        data.drain(..at);
        self.held = data;
    }

    /// The stream is over: appends to `out` what is left.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let data = std::mem::take(&mut self.held);
        let mut at = 0;
        while at < data.len() {
            let rest = &data[at..];
            let whole = self.secrets.iter().find(|secret| rest.starts_with(&secret.value));
            let begun = self.secrets.iter().find(|secret| {
                rest.len() >= SECRET_BYTES_MIN
                    && rest.len() < secret.value.len()
                    && secret.value.starts_with(rest)
            });
            match (begun, whole) {
                (Some(secret), _) => {
                    out.extend_from_slice(&secret.replacement);
                    at = data.len();
                }
                (None, Some(secret)) => {
                    out.extend_from_slice(&secret.replacement);
                    at += secret.value.len();
                }
                (None, None) => {
                    out.push(data[at]);
                    at += 1;
                }
            }
        }
    }

    /// Bytes that wait for what comes next.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    fn judge(&self, rest: &[u8]) -> Verdict {
        if !self.begins[usize::from(rest[0])] {
            return Verdict::Plain;
        }
        for (index, secret) in self.secrets.iter().enumerate() {
            if rest.starts_with(&secret.value) {
                return Verdict::Secret(index);
            }
            if rest.len() < secret.value.len() && secret.value.starts_with(rest) {
                return Verdict::Undecided;
            }
        }
        Verdict::Plain
    }
}

/// The secrets of an environment, by the names of its variables, and those given besides.
pub fn secrets_of(env: &BTreeMap<String, String>, given: &[Redaction]) -> Vec<Redaction> {
    let named = env
        .iter()
        .filter(|(name, _)| is_secret_name(name))
        .map(|(name, value)| Redaction { name: name.clone(), value: value.clone() });
    named.chain(given.iter().cloned()).collect()
}

/// Whether a variable of this name holds a secret: `*_TOKEN`, `*_KEY`, `*_SECRET`, `*PASSWORD*`, in any case.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["_TOKEN", "_KEY", "_SECRET"].iter().any(|end| name.ends_with(end)) || name.contains("PASSWORD")
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
        let mut redactor = Redactor::new(redactions);
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
        let mut redactor = Redactor::new(&redactions(&["hunter2!"]));
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

    #[test]
    fn s11_variables_are_secret_by_their_names() {
        for (name, secret) in [
            ("GITHUB_TOKEN", true),
            ("OPENAI_API_KEY", true),
            ("client_secret", true),
            ("PGPASSWORD", true),
            ("DB_PASSWORD_FILE", true),
            ("KEYBOARD", false),
            ("TOKENS", false),
            ("PATH", false),
        ] {
            assert_eq!(is_secret_name(name), secret, "{name}");
        }
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
