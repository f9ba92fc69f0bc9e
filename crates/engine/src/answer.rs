//! The JSON value in an agent's answer.

use serde_json::Value;

const FENCE: &str = "```";

/// The JSON of an output. Of an agent's answer (`is_answer`) it is the one value in it: the whole text, else the only value
/// that stands apart from the words. That is the content of a fenced block that is named `json`, or an object or array that has
/// its lines, or an unnamed fenced block, for itself. Everything else is `text` as it is, which is no JSON then.
#[must_use]
pub fn json_of(text: &str, is_answer: bool) -> &str {
    if !is_answer || is_json(text) {
        return text;
    }
    match values_apart(text).as_deref() {
        Some([value]) => value,
        // Which of them is meant, nobody can say.
        Some(_) | None => text,
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<Value>(text.trim()).is_ok()
}

fn is_object_or_array(text: &str) -> bool {
    text.starts_with(['{', '[']) && is_json(text)
}

/// A part of an answer, in whole lines.
enum Part<'a> {
    Words(&'a str),
    /// A fenced block; one that is not closed ends with the answer.
    Block {
        name: &'a str,
        content: &'a str,
    },
}

/// The values that stand apart from the words. `None` where a bracket has no counterpart: then nothing is known to be
/// whole.
fn values_apart(text: &str) -> Option<Vec<&str>> {
    let mut values = Vec::new();
    for part in parts(text) {
        match part {
            Part::Words(words) => values.extend(values_on_own_lines(words)?),
            // It was meant as the answer. If it is broken, the parser says where.
            Part::Block { name, content } if name.eq_ignore_ascii_case("json") => values.push(content),
            Part::Block { name: "", content } if is_object_or_array(content) => values.push(content),
            Part::Block { .. } => {}
        }
    }
    Some(values)
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut block, mut start, mut at) = (None, 0, 0);
    for line in text.split_inclusive('\n') {
        let next = at + line.len();
        match (block, line.trim().strip_prefix(FENCE)) {
            (None, Some(name)) => {
                parts.push(Part::Words(&text[start..at]));
                (block, start) = (Some(name.trim()), next);
            }
            (Some(name), Some("")) => {
                parts.push(Part::Block { name, content: text[start..at].trim() });
                (block, start) = (None, next);
            }
            (Some(_), Some(_)) | (_, None) => {}
        }
        at = next;
    }
    parts.push(match block {
        Some(name) => Part::Block { name, content: text[start..].trim() },
        None => Part::Words(&text[start..]),
    });
    parts
}

/// The objects and arrays in `words` that share no line with a word. What stands in brackets is passed over as a whole, also
/// where it is no JSON: a part of something broken is no answer. `None` where a bracket has no counterpart.
fn values_on_own_lines(words: &str) -> Option<Vec<&str>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = words[from..].find(['{', '[', '}', ']']).map(|at| from + at) {
        if words[start..].starts_with(['}', ']']) {
            return None;
        }
        let mut values = serde_json::Deserializer::from_str(&words[start..]).into_iter::<Value>();
        from = match values.next() {
            Some(Ok(_)) => {
                let end = start + values.byte_offset();
                let before = words[..start].rsplit('\n').next();
                let behind = words[end..].split('\n').next();
                if [before, behind].into_iter().flatten().all(|rest| rest.trim().is_empty()) {
                    found.push(&words[start..end]);
                }
                end
            }
            Some(Err(_)) | None => start + bracketed_bytes(&words[start..])?,
        };
    }
    Some(found)
}

/// The length of what stands in the brackets that `text` begins with, both included. `None` where they are not closed.
fn bracketed_bytes(text: &str) -> Option<usize> {
    let (mut depth, mut is_quoted, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            // No string goes over the end of its line.
            b'\n' => is_quoted = false,
            b'{' | b'[' if !is_quoted => depth += 1,
            b'}' | b']' if !is_quoted => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::json_of;

    #[test]
    fn the_one_value_of_an_answer_is_taken_whatever_stands_around_it() {
        for (text, expected) in [
            (r#" {"a":1} "#, r#" {"a":1} "#),
            ("42", "42"),
            ("```json\n{\"a\":1}\n```", r#"{"a":1}"#),
            ("Here it is:\n\n```json\n{\"a\":1}\n```\nAnything else?", r#"{"a":1}"#),
            ("Here:\n  ```JSON  \n[1,\n2]\n  ```\n", "[1,\n2]"),
            ("It was `x`.\n```rust\nfn a() {}\n```\n```\n{\"a\":1}\n```", r#"{"a":1}"#),
            ("```json\n{\"a\":1}", r#"{"a":1}"#),
            ("The number is:\n```json\n42\n```", "42"),
            ("The result:\n\n{\"a\":{\"b\":[1]}}\n\nDone.", r#"{"a":{"b":[1]}}"#),
            ("The result:\r\n  {\r\n\"a\": 1\r\n}  \r\nDone.", "{\r\n\"a\": 1\r\n}"),
            ("- [x] tests, see [1]\n- [ ] `{}`, {maybe}\n{\"a\":\"}{\"}", r#"{"a":"}{"}"#),
            ("{not \"json}\n}\n[1, 2]", "[1, 2]"),
            ("I ran this:\n```\nmake [all]\n```\nand this:\n```\n3\n```\n[1, 2]\n", "[1, 2]"),
        ] {
            assert_eq!(json_of(text, true), expected, "{text}");
        }
    }

    #[test]
    fn an_answer_with_no_value_or_with_several_stays_as_it_is_and_a_commands_output_does_too() {
        for text in [
            "",
            "I could not do it.",
            r#"{"a":1} or {"a":2}"#,
            "{\"a\":1}\nor\n{\"a\":2}",
            "```json\n{\"a\":1}\n```\nor\n```json\n{\"a\":2}\n```",
            "```json\n{\"a\":1}\n```\nand not\n{\"a\":2}",
            "{\"a\":1",
            &"[".repeat(1_000),
            // Parts of what is broken.
            r#"{"files": ["a","b"], "summary": "cut he"#,
            "{\"files\":\n[\"a\",\"b\"]\n, \"summary\": \"cut he",
            "The result is {\n\"n\": oops,\n\"files\":\n[\"a\"]\n}",
            "{\"text\": \"a\n[1]\n\"}",
            "{\"text\": \"a\n}\n[1]\n\"}",
            "\"n\": 1,\n\"files\":\n[\"a\"]\n}",
            "```json\n{\"n\": oops,\n\"files\":\n[\"a\"]\n}\n```\n[1]",
            // Crumbs of prose.
            "The result is {\"a\":{\"b\":[1]}}. Done.",
            "It is fixed, see [1].",
            "- [ ] write tests",
            "Use `{}` for it.",
            "{not json} but [1, 2] is",
            "The answer is\n42\nI think.",
            "The answer is\n\"yes\"\nI think.",
            "It counts:\n```\n42\n```",
        ] {
            let found = json_of(text, true);
            let is_value = serde_json::from_str::<serde_json::Value>(found).is_ok();
            assert_eq!((found, is_value), (text, false), "{text}");
        }
        assert_eq!(json_of("text\n{\"a\":1}", false), "text\n{\"a\":1}");
    }

    #[test]
    fn of_the_only_block_that_is_named_json_and_broken_the_parser_says_where() {
        assert_eq!(json_of("Here:\n```json\n{\"a\":1,}\n```\n", true), r#"{"a":1,}"#);
    }
}
