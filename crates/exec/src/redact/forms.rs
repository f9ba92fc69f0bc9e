//! The forms in which a secret's value appears in what programs write.
//!
//! A program seldom prints a value as it is: a JSON stream escapes it, a header encodes it, a log shows one line of it. Each
//! form here is one that common programs produce; what a person could devise beyond that has no end and is not sought.

use std::collections::BTreeSet;

use super::SECRET_BYTES_MIN;

/// Lines of a value that are shorter than this are not redacted by themselves: they would be found everywhere.
pub(super) const LINE_BYTES_MIN: usize = 8;
/// Encoded parts that are shorter than this are not redacted by themselves. Every value of [`SECRET_BYTES_MIN`] bytes has a
/// longer part at each alignment.
const BASE64_CHARACTERS_MIN: usize = 7;
/// A line of an encoding that is broken into lines is sought from this length on.
const BASE64_LINE_MIN: usize = 16;
/// Columns at which `base64` and PEM break their lines.
const BASE64_COLUMNS: [usize; 2] = [76, 64];
/// A value with lines that is longer than this is sought line by line only.
const WHOLE_BYTES_MAX: usize = 256;
/// Of a value that is longer than this only the value itself and its lines are sought.
const ENCODED_BYTES_MAX: usize = 4 * 1024;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Every form of `value` that is sought, the value itself among them. White space around it does not belong to it.
pub(super) fn forms(value: &str) -> BTreeSet<Vec<u8>> {
    let value = value.trim();
    let mut found = BTreeSet::new();
    if value.len() < SECRET_BYTES_MIN {
        return found;
    }
    found.insert(value.as_bytes().to_vec());
    for line in lines(value) {
        text_forms(line, &mut found);
    }
    if value.len() <= ENCODED_BYTES_MAX {
        // Of a long value with lines these are what is found, in all forms.
        if value.len() <= WHOLE_BYTES_MAX || lines(value).next().is_none() {
            text_forms(value, &mut found);
        }
        base64_forms(value.as_bytes(), &mut found);
    }
    found
}

/// The lines of a value that has several. Variables often hold line breaks as `\n`, which programs turn into real ones. The
/// frame of a PEM block is no secret.
fn lines(value: &str) -> impl Iterator<Item = &str> {
    let lines = value.split('\n').flat_map(|line| line.split("\\n")).map(str::trim);
    lines.filter(move |line| {
        line.len() >= LINE_BYTES_MIN && line.len() < value.len() && !line.starts_with("-----")
    })
}

fn text_forms(text: &str, found: &mut BTreeSet<Vec<u8>>) {
    found.insert(text.as_bytes().to_vec());
    for dialect in JsonDialect::ALL {
        found.insert(dialect.escaped(text).into_bytes());
    }
    // What a tool printed as JSON stands in an agent's JSON once more.
    let plain = JsonDialect::ALL[0];
    found.insert(plain.escaped(&plain.escaped(text)).into_bytes());
    // As shells quote it within single quotes.
    found.insert(text.replace('\'', r"'\''").into_bytes());
    found.insert(text.replace('\'', r#"'"'"'"#).into_bytes());
    for reserved in PERCENT_KEEPS {
        for digits in [UPPER, LOWER] {
            found.insert(percent(text, reserved, digits, "%20").into_bytes());
            found.insert(percent(text, reserved, digits, "+").into_bytes());
        }
    }
}

/// How an encoder of JSON writes what it may write in several ways.
#[derive(Clone, Copy)]
struct JsonDialect {
    /// Characters that are written as `\u` and four digits beside those that have to be.
    also: &'static str,
    /// Whether a slash has a backslash before it.
    has_escaped_slash: bool,
    /// The digits of what is not ASCII; none where it stands as it is.
    non_ascii: Option<&'static [u8; 16]>,
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

impl JsonDialect {
    const PLAIN: JsonDialect = JsonDialect { also: "", has_escaped_slash: false, non_ascii: None };
    /// JavaScript and Rust; those that write ASCII only (Python, in capitals Java); PHP; Go; Gson.
    const ALL: [JsonDialect; 7] = [
        JsonDialect::PLAIN,
        JsonDialect { non_ascii: Some(LOWER), ..JsonDialect::PLAIN },
        JsonDialect { non_ascii: Some(UPPER), ..JsonDialect::PLAIN },
        JsonDialect { has_escaped_slash: true, ..JsonDialect::PLAIN },
        JsonDialect { has_escaped_slash: true, non_ascii: Some(LOWER), ..JsonDialect::PLAIN },
        JsonDialect { also: "<>&", ..JsonDialect::PLAIN },
        JsonDialect { also: "<>&='", ..JsonDialect::PLAIN },
    ];

    fn escaped(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for character in text.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '/' if self.has_escaped_slash => out.push_str("\\/"),
                character if character < ' ' || self.also.contains(character) => {
                    push_unit(&mut out, u32::from(character), LOWER);
                }
                character if !character.is_ascii() => match self.non_ascii {
                    Some(digits) => {
                        let mut units = [0; 2];
                        for unit in character.encode_utf16(&mut units) {
                            push_unit(&mut out, u32::from(*unit), digits);
                        }
                    }
                    None => out.push(character),
                },
                character => out.push(character),
            }
        }
        out
    }
}

fn push_unit(out: &mut String, unit: u32, digits: &[u8; 16]) {
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        out.push(char::from(digits[(unit >> shift & 0xf) as usize]));
    }
}

/// What encoders of URLs leave as it is beside letters and digits: RFC 3986, forms, JavaScript's `encodeURIComponent` and
/// `encodeURI`, and paths.
const PERCENT_KEEPS: [&str; 5] = ["-._~", "-._*", "-._~!*'()", "-._~!*'();,/?:@&=+$#", "-._~/"];

fn percent(text: &str, keeps: &str, digits: &[u8; 16], space: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push_str(space),
            byte if byte.is_ascii_alphanumeric() || keeps.as_bytes().contains(&byte) => {
                out.push(char::from(byte));
            }
            byte => {
                out.push('%');
                out.push(char::from(digits[usize::from(byte >> 4)]));
                out.push(char::from(digits[usize::from(byte & 0xf)]));
            }
        }
    }
    out
}

/// Base64 in both alphabets. At each of the three alignments there is a part that depends on the value alone; where the
/// value (or the value and a line break) is all that was encoded, the whole is sought, and its lines.
fn base64_forms(value: &[u8], found: &mut BTreeSet<Vec<u8>>) {
    let mut plain: Vec<Vec<u8>> = Vec::new();
    for before in 0..3 {
        let shifted: Vec<u8> = std::iter::repeat_n(0, before).chain(value.iter().copied()).collect();
        let encoded = base64(&shifted);
        let (first, end) = ((before * 8).div_ceil(6), shifted.len() * 8 / 6);
        plain.push(encoded[first..end].to_vec());
    }
    let with_break: Vec<u8> = value.iter().copied().chain([b'\n']).collect();
    for whole in [base64(value), base64(&with_break)] {
        for columns in BASE64_COLUMNS.into_iter().filter(|columns| whole.len() > *columns) {
            let lines = whole.chunks(columns).filter(|line| line.len() >= BASE64_LINE_MIN);
            plain.extend(lines.map(<[u8]>::to_vec));
        }
        let mut padded = whole.clone();
        padded.resize(whole.len().next_multiple_of(4), b'=');
        plain.extend([whole, padded]);
    }
    for form in plain.into_iter().filter(|form| form.len() >= BASE64_CHARACTERS_MIN) {
        let for_urls = form.iter().map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            byte => *byte,
        });
        found.insert(for_urls.collect());
        found.insert(form);
    }
}

/// Base64 without padding.
fn base64(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for index in 0..=group.len() {
            out.push(BASE64[(bits >> (18 - 6 * index) & 0x3f) as usize]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(value: &str, form: &str) -> bool {
        forms(value).contains(form.as_bytes())
    }

    #[test]
    fn s11_a_value_has_the_forms_that_programs_write() {
        let cases: &[(&str, &[&str])] = &[
            ("pa\"ss\\word", &[r#"pa\"ss\\word"#, r#"pa\\\"ss\\\\word"#, "pa%22ss%5Cword", "pa%22ss%5cword"]),
            (
                "a/b&c=d'e",
                &[
                    r"a\/b&c=d'e",
                    r"a/b\u0026c=d'e",
                    r"a/b\u0026c\u003dd\u0027e",
                    "a%2Fb%26c%3Dd%27e",
                    r"a/b&c=d'\''e",
                ],
            ),
            ("pässwörd", &[r"p\u00e4ssw\u00f6rd", r"p\u00E4ssw\u00F6rd", "p%C3%A4ssw%C3%B6rd"]),
            ("two words", &["two%20words", "two+words", "dHdvIHdvcmRz", "dHdvIHdvcmRzCg=="]),
            ("hunter2!", &["aHVudGVyMiE=", "aHVudGVyMiE", "aHVudGVyMi", "h1bnRlcjIh", "odW50ZXIyI"]),
            ("subjects?~>", &["c3ViamVjdHM/fj4=", "c3ViamVjdHM_fj4="]),
            ("first-line\nsecond-line", &["first-line", "second-line", r"first-line\nsecond-line"]),
            (r"first-line\nsecond-line", &["first-line", "second-line"]),
        ];
        for (value, expected) in cases {
            for form in *expected {
                assert!(has(value, form), "{value:?} as {form:?}");
            }
        }
    }

    #[test]
    fn s11_short_parts_and_frames_are_no_forms() {
        assert!(forms("12345").is_empty());
        let key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nshort\n-----END KEY-----";
        assert!(has(key, "MIIEvQIBADANBg"));
        assert!(!has(key, "short") && !has(key, "-----BEGIN KEY-----"));
        assert!(forms("hunter").iter().all(|form| form.len() >= SECRET_BYTES_MIN));
    }

    #[test]
    fn s11_a_long_value_has_its_encoded_lines() {
        let value = "0123456789abcdef".repeat(6);
        let encoded = String::from_utf8(base64(value.as_bytes())).unwrap();
        assert!(has(&value, &encoded[..76]) && has(&value, &encoded[76..]) && has(&value, &encoded[64..128]));
    }

    #[test]
    fn s11_a_plain_token_has_few_forms() {
        assert!(forms("ghp_0123456789abcdef").len() < 12, "{}", forms("ghp_0123456789abcdef").len());
    }
}
