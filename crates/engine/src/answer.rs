//! The JSON value in an agent's answer.

use serde_json::Value;

const FENCE: &str = "```";
/// Places at which a value is looked for. Answers have a handful; each place costs a parse of what follows.
const STARTS_MAX: usize = 200;

/// The JSON of an output. Of an agent's answer (`is_answer`) it is the one value in it: the whole text, else the content of
/// its only fenced block (`json` or unnamed), else the only object or array that stands in the text. Everything else is
/// `text` as it is, which is no JSON then.
#[must_use]
pub fn json_of(text: &str, is_answer: bool) -> &str {
    if !is_answer || is_json(text) {
        return text;
    }
    match fenced(text).as_slice() {
        [] => only_value(text).unwrap_or(text),
        [inner] => inner,
        // Which of them is meant, nobody can say.
        _ => text,
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<Value>(text.trim()).is_ok()
}

/// The contents of the fenced blocks that may be JSON by their name.
fn fenced(text: &str) -> Vec<&str> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, usize)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let marked = line.trim().strip_prefix(FENCE);
        match (open, marked) {
            (None, Some(name)) => {
                let may_be_json = matches!(name.trim().to_ascii_lowercase().as_str(), "" | "json");
                open = Some((may_be_json, at + line.len()));
            }
            (Some((may_be_json, start)), Some("")) => {
                if may_be_json {
                    blocks.push(text[start..at].trim());
                }
                open = None;
            }
            _ => {}
        }
        at += line.len();
    }
    blocks
}

/// The object or the array in `text`, if it is the only one that is not part of another.
fn only_value(text: &str) -> Option<&str> {
    let mut found = None;
    let mut from = 0;
    for _ in 0..STARTS_MAX {
        let Some(start) = text[from..].find(['{', '[']).map(|at| from + at) else { return found };
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        from = match values.next() {
            Some(Ok(_)) => {
                let end = start + values.byte_offset();
                if found.replace(&text[start..end]).is_some() {
                    return None;
                }
                end
            }
            Some(Err(_)) | None => start + 1,
        };
    }
    // There may be more of them behind the last place.
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
            ("The result is {\"a\":{\"b\":[1]}}. Done.", r#"{"a":{"b":[1]}}"#),
            ("{not json} but [1, 2] is", "[1, 2]"),
            ("```json\n{\"a\":1}", r#"{"a":1}"#),
            (r#"a "}" and {"a":"}{"}"#, r#"{"a":"}{"}"#),
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
            "```json\n{\"a\":1}\n```\nor\n```json\n{\"a\":2}\n```",
            "{\"a\":1",
            &"[".repeat(1_000),
        ] {
            let found = json_of(text, true);
            let is_value = serde_json::from_str::<serde_json::Value>(found).is_ok();
            assert_eq!((found, is_value), (text, false), "{text}");
        }
        assert_eq!(json_of("text {\"a\":1}", false), "text {\"a\":1}");
    }
}
