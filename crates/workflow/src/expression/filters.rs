//! The filters of the language beyond those of the template engine.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::environment::spell;

/// Lines that `head` and `tail` keep by default.
const LINES: usize = 20;
/// Characters that `truncate` keeps by default.
const CHARS: usize = 255;
/// Characters of a slug.
const SLUG_CHARS: usize = 50;

pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("json", |value: &Value| json(value));
    environment.add_filter("from_json", from_json);
    environment.add_filter("flatten", flatten);
    environment.add_filter("head", head);
    environment.add_filter("tail", tail);
    environment.add_filter("fence", fence);
    environment.add_filter("slug", slug);
    environment.add_filter("truncate", truncate);
    // The filters of the engine use its own spelling of values: they would make the text `None` of `none`.
    environment.add_filter("upper", |value: &Value| spell(value).map(|text| text.to_uppercase()));
    environment.add_filter("lower", |value: &Value| spell(value).map(|text| text.to_lowercase()));
    environment.add_filter("trim", trim);
    environment.add_filter("replace", |value: &Value, from: String, to: String| {
        spell(value).map(|text| text.replace(&from, &to))
    });
}

/// `json`: the value as JSON on one line.
pub(super) fn json(value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::UndefinedError, "a value that is not defined has no JSON form"));
    }
    serde_json::to_string(value)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, "no JSON form").with_source(error))
}

/// `from_json`: the value that a JSON text spells.
fn from_json(text: String) -> Result<Value, Error> {
    serde_json::from_str(&text)
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, format!("not JSON: {error}")))
}

/// `trim(chars=None)`: a text without white space, or these characters, at its ends.
fn trim(value: &Value, characters: Option<String>) -> Result<String, Error> {
    let text = spell(value)?;
    Ok(match characters {
        Some(characters) => text.trim_matches(|c| characters.contains(c)).to_owned(),
        None => text.trim().to_owned(),
    })
}

/// `flatten`: a list of lists as one list, one level deep.
fn flatten(value: &Value) -> Result<Value, Error> {
    let mut flat = Vec::new();
    for item in value.try_iter()? {
        if item.kind() == ValueKind::Seq {
            flat.extend(item.try_iter()?);
        } else {
            flat.push(item);
        }
    }
    Ok(Value::from(flat))
}

fn lines_kept(lines: Option<usize>, options: &Kwargs) -> Result<usize, Error> {
    let named: Option<usize> = options.get("lines")?;
    options.assert_all_used()?;
    Ok(lines.or(named).unwrap_or(LINES))
}

/// `head(lines=20)`: the first lines of a text.
fn head(value: &Value, lines: Option<usize>, options: Kwargs) -> Result<String, Error> {
    let lines = lines_kept(lines, &options)?;
    let text = spell(value)?;
    Ok(text.split_inclusive('\n').take(lines).collect())
}

/// `tail(lines=20)`: the last lines of a text.
fn tail(value: &Value, lines: Option<usize>, options: Kwargs) -> Result<String, Error> {
    let lines = lines_kept(lines, &options)?;
    let text = spell(value)?;
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    Ok(all[all.len().saturating_sub(lines)..].concat())
}

/// `fence`: a text between two lines of backticks, more of them than stand anywhere in it.
fn fence(value: &Value) -> Result<String, Error> {
    let text = spell(value)?;
    let mut longest = 0;
    let mut current = 0;
    for character in text.chars() {
        current = if character == '`' { current + 1 } else { 0 };
        longest = longest.max(current);
    }
    let fence = "`".repeat(3.max(longest + 1));
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    Ok(format!("{fence}\n{text}{end}{fence}"))
}

/// `slug`: lower-case ASCII letters, digits and single hyphens, fit for branches and file names.
fn slug(value: &Value) -> Result<String, Error> {
    let text = spell(value)?;
    let mut slug = String::new();
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() == SLUG_CHARS {
            break;
        }
    }
    Ok(slug.trim_end_matches('-').to_owned())
}

/// `truncate(length=255)`: the first characters of a text, with `…` as the last one if something was cut.
fn truncate(value: &Value, length: Option<usize>, options: Kwargs) -> Result<String, Error> {
    let named: Option<usize> = options.get("length")?;
    options.assert_all_used()?;
    let length = length.or(named).unwrap_or(CHARS);
    let text = spell(value)?;
    if text.chars().count() <= length {
        return Ok(text);
    }
    Ok(text.chars().take(length.saturating_sub(1)).chain(['…']).take(length).collect())
}
