//! Agents that `--agent` puts in the place of agents of the file.

use std::collections::BTreeMap;

use super::workflow::AgentOverride;
use crate::plan::{AgentKind, AgentSpec, Plan, Step, Verb};

impl Plan {
    /// Renames each agent that `--agent` replaced, so that screens, limits and events name the agent that works: another
    /// agent by its own name, a command by `cmd:PROGRAM`.
    pub(super) fn replace_agents(&mut self, given: &BTreeMap<String, AgentOverride>) {
        let mut agents = self.agents.clone();
        agents.retain(|name, _| !given.contains_key(name));
        let mut names = BTreeMap::new();
        for (name, given) in given {
            let Some(spec) = self.agents.get(name) else { continue };
            let mut new = match given {
                AgentOverride::Agent(other) => other.clone(),
                AgentOverride::Command(_) => format!("cmd:{}", program(spec)),
            };
            if agents.get(&new).is_some_and(|other| other != spec) {
                new = format!("{new} ({name})");
            }
            agents.insert(new.clone(), spec.clone());
            names.insert(name.clone(), new);
        }
        self.agents = agents;
        self.steps.iter_mut().chain(&mut self.finally).for_each(|step| rename(step, &names));
    }
}

/// The name of an agent's program, without its folder.
fn program(spec: &AgentSpec) -> &str {
    let program = match &spec.kind {
        AgentKind::Command { command, .. } => command.first().map_or("", |word| word.source.as_str()),
        AgentKind::Preset { preset, .. } => preset,
    };
    program.rsplit('/').next().unwrap_or(program)
}

fn rename(step: &mut Step, names: &BTreeMap<String, String>) {
    let new = |name: &String| names.get(name).unwrap_or(name).clone();
    match &mut step.verb {
        Verb::Agent { agent, options, .. } => {
            *agent = new(agent);
            // Nobody takes its own place: its limit holds under both names.
            let mut fallback: Vec<String> = Vec::new();
            for name in options.fallback.iter().map(new) {
                if name != *agent && !fallback.contains(&name) {
                    fallback.push(name);
                }
            }
            options.fallback = fallback;
        }
        Verb::Group { steps } => steps.iter_mut().for_each(|step| rename(step, names)),
        Verb::Run { .. } | Verb::Command { .. } | Verb::Worktree(_) => {}
    }
}
