//! What was found.

use serde::Serialize;

use crate::found::FoundAgent;

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Health {
    /// As it should be.
    Good,
    /// Not there, and nothing needs it.
    Absent,
    /// Somebody should look.
    Look,
    /// It stands in the way of runs.
    Bad,
}

/// Of what something is a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    /// The CLIs of agents.
    Agents,
    /// Other programs.
    Programs,
    /// The git checkout that the working folder is in.
    Checkout,
    /// The store, its configuration, owners and runs.
    Store,
}

impl Part {
    pub(super) const ALL: [Part; 4] = [Part::Agents, Part::Programs, Part::Checkout, Part::Store];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Part::Agents => "agents",
            Part::Programs => "programs",
            Part::Checkout => "checkout",
            Part::Store => "store",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) part: Part,
    pub(super) what: String,
    pub(super) health: Health,
    pub(super) found: String,
    /// What mends it: a command, or a few words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

impl Finding {
    pub(super) fn new(part: Part, what: &str, health: Health, found: impl Into<String>) -> Finding {
        Finding { part, what: what.to_owned(), health, found: found.into(), next: None }
    }

    pub(super) fn with_next(mut self, next: impl Into<String>) -> Finding {
        self.next = Some(next.into());
        self
    }
}

/// All that was found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) version: &'static str,
    pub(super) program: String,
    pub(super) agents: Vec<FoundAgent>,
    pub(super) findings: Vec<Finding>,
}

impl Report {
    /// How many things stand in the way.
    pub(super) fn bad(&self) -> usize {
        self.findings.iter().filter(|finding| finding.health == Health::Bad).count()
    }

    /// At how many things somebody should look.
    pub(super) fn to_look_at(&self) -> usize {
        self.findings.iter().filter(|finding| finding.health == Health::Look).count()
    }
}
