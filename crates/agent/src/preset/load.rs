//! The presets that come with Backstay, and what a user's configuration makes of them.

use std::collections::BTreeMap;
use std::ops::Range;

use backstay_model::{Code, Coded};
use serde::Deserialize;
use toml::de::DeTable;

use super::data::{Patch, Preset, VERSION};
use super::reach::{AgentSetting, settings};
use super::sense::Incomplete;

/// The presets that come with Backstay: name and text.
pub const BUILT_IN: [(&str, &str); 4] = [
    ("codex", include_str!("../../presets/codex.toml")),
    ("claude", include_str!("../../presets/claude.toml")),
    ("gemini", include_str!("../../presets/gemini.toml")),
    ("opencode", include_str!("../../presets/opencode.toml")),
];

/// All presets, by name.
#[derive(Clone, Debug)]
pub struct Presets(BTreeMap<String, Preset>);

/// The tables `[agents.NAME]` of one configuration, read and not yet used: what they would start is known, and nothing
/// can be started by them.
#[derive(Clone, Debug)]
pub struct AgentTables {
    file: String,
    text: String,
    tables: BTreeMap<String, Patch>,
}

impl AgentTables {
    /// Reads the tables of `text`, which is in `file`; the rest of it belongs to others.
    ///
    /// # Errors
    /// Says file, line and column of what cannot be read, and what was probably meant.
    pub fn read(file: &str, text: &str) -> Result<AgentTables, PresetError> {
        let tables = read::<Configuration>(file, text)?.agents;
        Ok(AgentTables { file: file.to_owned(), text: text.to_owned(), tables })
    }

    /// Every setting of every agent, with the agent's name.
    pub fn settings(&self) -> impl Iterator<Item = (&str, AgentSetting)> {
        let of =
            |(name, patch)| settings(patch).into_iter().map(move |setting| (String::as_str(name), setting));
        self.tables.iter().flat_map(of)
    }
}

/// A preset cannot be read. `place` is `file:line:column`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PresetError {
    /// The text is not of the form that presets have.
    #[error("{place}: {message}")]
    Form {
        /// Where.
        place: String,
        /// What is wrong, in one line.
        message: String,
        /// What was probably meant.
        meant: Option<String>,
    },
    /// The form is of another version.
    #[error("{file}: the preset {agent} has version {found}, this program knows {VERSION}")]
    Version {
        /// The file, and the place in it where there is one: `file:line:column`.
        file: String,
        /// The agent.
        agent: String,
        /// Its version.
        found: u32,
    },
    /// Two settings of an agent do not go together.
    #[error("{file}: the agent {agent}: {message}")]
    Contradiction {
        /// The file, and the place in it where there is one: `file:line:column`.
        file: String,
        /// The agent.
        agent: String,
        /// What is wrong.
        message: String,
        /// What helps.
        cure: Box<str>,
    },
    /// A field is missing.
    #[error("{file}: the agent {agent} has no `{field}`")]
    Missing {
        /// The file, and the place in it where there is one: `file:line:column`.
        file: String,
        /// The agent.
        agent: String,
        /// The field.
        field: &'static str,
    },
}

impl Coded for PresetError {
    fn code(&self) -> Code {
        match self {
            PresetError::Form { .. } => Code("BKS-A010"),
            PresetError::Version { .. } => Code("BKS-A011"),
            PresetError::Missing { .. } => Code("BKS-A012"),
            PresetError::Contradiction { .. } => Code("BKS-A013"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            PresetError::Form { meant, .. } => meant.as_ref().map(|meant| format!("did you mean `{meant}`?")),
            PresetError::Version { .. } => {
                Some(format!("write `preset = {VERSION}`, or use the program that the file was written for"))
            }
            PresetError::Contradiction { cure, .. } => Some(cure.to_string()),
            PresetError::Missing { field, agent, .. } => {
                let names = BUILT_IN.map(|(name, _)| name).join(", ");
                Some(format!("add `{field} = …` under `[agents.{agent}]`, or change one of {names}"))
            }
        }
    }
}

#[derive(Deserialize)]
struct Versioned {
    preset: u32,
}

/// The part of a configuration that is about agents; the rest belongs to others.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Configuration {
    agents: BTreeMap<String, Patch>,
}

impl Presets {
    /// The presets that come with Backstay.
    ///
    /// # Errors
    /// One of their files is broken; a test sees to it that none is.
    pub fn built_in() -> Result<Presets, PresetError> {
        Presets::layered(&[])
    }

    /// The same, changed by the tables `[agents.NAME]` of `text`, which was read from `file`. A table with a new name is a
    /// new preset.
    ///
    /// # Errors
    /// Says file, line and column of what cannot be read, and what was probably meant.
    pub fn with_configuration(file: &str, text: &str) -> Result<Presets, PresetError> {
        Presets::layered(&[&AgentTables::read(file, text)?])
    }

    /// The presets that come with Backstay, changed by each of `layers` in turn.
    ///
    /// # Errors
    /// Says which agent lacks what, and in which file its table is.
    pub fn layered(layers: &[&AgentTables]) -> Result<Presets, PresetError> {
        let mut patches = BTreeMap::new();
        for (name, text) in BUILT_IN {
            patches.insert(name.to_owned(), read::<Patch>(&format!("{name}.toml"), text)?);
        }
        for layer in layers {
            for (name, over) in &layer.tables {
                let base = patches.remove(name).unwrap_or_default();
                patches.insert(name.clone(), base.patched(over.clone()));
            }
        }
        let source = |name: &str| match layers.iter().rev().find(|layer| layer.tables.contains_key(name)) {
            Some(layer) => table_place(&layer.file, &layer.text, name),
            None => "(built in)".to_owned(),
        };
        let complete = |(name, patch): (String, Patch)| {
            let found = patch.preset.unwrap_or(VERSION);
            if found != VERSION {
                return Err(PresetError::Version { file: source(&name), agent: name, found });
            }
            // A stored preset is not held to this: a run goes on by what it began with.
            let usable = patch.complete(&name).and_then(|preset| preset.expect_usable().map(|()| preset));
            match usable {
                Ok(preset) => Ok((name, preset)),
                Err(fault) => Err(incomplete(source(&name), name, fault)),
            }
        };
        Ok(Presets(patches.into_iter().map(complete).collect::<Result<_, _>>()?))
    }

    /// The preset of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Preset> {
        self.0.get(name)
    }

    /// All of them, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = &Preset> {
        self.0.values()
    }
}

impl Preset {
    /// The preset as it is stored: what [`Preset::from_stored`] reads.
    ///
    /// # Errors
    /// None that a preset could lead to: it is a struct of texts and numbers.
    pub fn stored(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&Patch::of(self))
    }

    /// The preset `name` as an earlier process stored it.
    ///
    /// # Errors
    /// The text is not of the form that presets have, or of a newer one.
    pub fn from_stored(name: &str, text: &str) -> Result<Preset, PresetError> {
        let file = || format!("the stored preset of {name}");
        let form = |error: serde_json::Error| PresetError::Form {
            place: format!("{}:{}:{}", file(), error.line(), error.column()),
            message: error.to_string(),
            meant: None,
        };
        // A newer one may have nothing else in common with ours.
        let Versioned { preset: found } = serde_json::from_str(text).map_err(form)?;
        if found > VERSION {
            return Err(PresetError::Version { file: file(), agent: name.to_owned(), found });
        }
        let patch: Patch = serde_json::from_str(text).map_err(form)?;
        patch.complete(name).map_err(|fault| incomplete(file(), name.to_owned(), fault))
    }
}

fn incomplete(file: String, agent: String, fault: Incomplete) -> PresetError {
    match fault {
        Incomplete::Missing(field) => PresetError::Missing { file, agent, field },
        fault => {
            PresetError::Contradiction { file, agent, message: fault.to_string(), cure: fault.cure().into() }
        }
    }
}

fn read<'a, T: Deserialize<'a>>(file: &str, text: &'a str) -> Result<T, PresetError> {
    toml::from_str(text).map_err(|error| {
        let (line, column) = place(text, error.span());
        let message = error.message().lines().next().unwrap_or("it cannot be read").to_owned();
        let meant = meant(&message);
        PresetError::Form { place: format!("{file}:{line}:{column}"), message, meant }
    })
}

/// Where the table of an agent begins: `file:line:column`; the file alone where it cannot be told.
fn table_place(file: &str, text: &str, agent: &str) -> String {
    let place = DeTable::parse(text).ok().and_then(|root| {
        let agents = root.get_ref().get("agents")?.get_ref().as_table()?;
        let (name, _) = agents.iter().find(|(name, _)| name.get_ref() == agent)?;
        Some(place(text, Some(name.span())))
    });
    place.map_or_else(|| file.to_owned(), |(line, column)| format!("{file}:{line}:{column}"))
}

/// Line and column, from 1, of the beginning of `span`.
fn place(text: &str, span: Option<Range<usize>>) -> (usize, usize) {
    let start = span.map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Of the names that a message expects, the one that is nearest to the one that it complains about.
pub(super) fn meant(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let wrong = quoted.next()?;
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return None;
    }
    let nearest = quoted.map(|name| (distance(wrong, name), name)).min()?;
    (nearest.0 <= 3 && nearest.0 < wrong.chars().count()).then(|| nearest.1.to_owned())
}

/// How many characters have to be put in, taken out or changed to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j].min(diagonal) + 1);
        }
    }
    row[other.len()]
}
