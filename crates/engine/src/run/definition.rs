//! A run's plan, laid out for looking things up.

use std::collections::{BTreeMap, BTreeSet};

use backstay_model::StepId;
use backstay_workflow::plan::{Plan, Repeat, Step};
use minijinja::Value;

use super::work::{Named, named_by};

/// A step with its place in the plan.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) step: Step,
    pub(super) parent: Option<StepId>,
    pub(super) children: Vec<StepId>,
    /// The loops that it stands in, outermost first.
    pub(super) loops: Vec<StepId>,
    pub(super) in_finally: bool,
}

/// The plan and the inputs of one run.
#[derive(Debug)]
pub struct Definition {
    pub(super) plan: Plan,
    pub(super) inputs: Value,
    pub(super) store: String,
    pub(super) order: Vec<StepId>,
    nodes: BTreeMap<StepId, Node>,
    named: BTreeSet<StepId>,
}

/// The stored inputs are not what the request says.
#[derive(Debug, thiserror::Error)]
#[error("the run's inputs cannot be read")]
pub struct DefinitionError {
    /// What the decoder says.
    #[source]
    pub source: serde_json::Error,
}

impl Definition {
    /// Lays out `plan`, with `inputs` (the text of a JSON object) and the absolute path of the store.
    ///
    /// # Errors
    /// [`DefinitionError`] if `inputs` is not JSON.
    pub fn new(plan: Plan, inputs: &str, store: &str) -> Result<Definition, DefinitionError> {
        let inputs = serde_json::from_str(inputs).map_err(|source| DefinitionError { source })?;
        let mut nodes = BTreeMap::new();
        let mut order = Vec::new();
        for (list, in_finally) in [(&plan.steps, false), (&plan.finally, true)] {
            for step in list {
                lay_out(step, None, &[], in_finally, &mut order, &mut nodes);
            }
        }
        let named = named_steps(&plan);
        Ok(Definition { plan, inputs, store: store.to_owned(), order, nodes, named })
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn node(&self, step: &StepId) -> Option<&Node> {
        self.nodes.get(step)
    }

    /// Whether some expression names the step, or a group that it is in.
    pub(super) fn is_named(&self, step: &StepId) -> bool {
        let mut at = Some(step);
        while let Some(id) = at {
            if self.named.contains(id) {
                return true;
            }
            at = self.node(id).and_then(|node| node.parent.as_ref());
        }
        false
    }

    /// The loops that the step stands in, outermost first.
    pub(super) fn loops(&self, step: &StepId) -> &[StepId] {
        self.node(step).map_or(&[], |node| &node.loops)
    }

    /// The step and all that is in it, in the order of the file.
    pub(super) fn with_descendants(&self, step: &StepId) -> Vec<StepId> {
        let mut found = vec![step.clone()];
        let mut next = 0;
        while let Some(node) = found.get(next).and_then(|id| self.node(id)) {
            found.extend(node.children.iter().cloned());
            next += 1;
        }
        found
    }

    /// What has to be done anew where `from` is: these, all in them, all that waits for them, and the groups around these.
    pub(super) fn downstream<'a>(&self, from: impl Iterator<Item = &'a StepId>) -> BTreeSet<StepId> {
        let mut anew = self.strictly_downstream(from);
        let around: Vec<StepId> = anew.iter().flat_map(|step| self.groups_around(step)).collect();
        anew.extend(around);
        anew
    }

    /// The same without the groups that are only around some of these.
    pub(super) fn strictly_downstream<'a>(&self, from: impl Iterator<Item = &'a StepId>) -> BTreeSet<StepId> {
        let mut anew = BTreeSet::new();
        let mut waiting: Vec<StepId> = from.cloned().collect();
        while let Some(id) = waiting.pop() {
            if !anew.insert(id.clone()) {
                continue;
            }
            waiting.extend(self.dependents(&id));
            waiting.extend(self.with_descendants(&id));
            waiting.extend(self.groups_around(&id).iter().flat_map(|group| self.dependents(group)));
        }
        anew
    }

    /// The groups around a step, the innermost first.
    pub(super) fn groups_around(&self, step: &StepId) -> Vec<StepId> {
        let mut groups = Vec::new();
        let mut inner = step.clone();
        while let Some(group) = self.node(&inner).and_then(|node| node.parent.clone()) {
            groups.push(group.clone());
            inner = group;
        }
        groups
    }

    /// The loops whose cycles are spaced out.
    pub(super) fn spaced(&self) -> impl Iterator<Item = (&StepId, &Repeat)> {
        let repeats =
            self.order.iter().filter_map(|step| Some((step, self.node(step)?.step.repeat.as_ref()?)));
        repeats.filter(|(_, repeat)| repeat.min_cycle_ms.is_some_and(|ms| ms > 0))
    }

    /// Whether the step does not begin before `need`, of the same list, has its result.
    pub(super) fn waits_for(&self, node: &Node, need: &StepId) -> bool {
        let mut waiting: Vec<&StepId> = node.step.needs.iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(step) = waiting.pop() {
            if step == need {
                return true;
            }
            if seen.insert(step) {
                waiting.extend(self.node(step).into_iter().flat_map(|node| &node.step.needs));
            }
        }
        false
    }

    fn dependents(&self, step: &StepId) -> Vec<StepId> {
        self.nodes
            .values()
            .filter(|node| node.step.needs.contains(step))
            .map(|node| node.step.id.clone())
            .collect()
    }
}

fn lay_out(
    step: &Step,
    parent: Option<&StepId>,
    loops: &[StepId],
    in_finally: bool,
    order: &mut Vec<StepId>,
    nodes: &mut BTreeMap<StepId, Node>,
) {
    order.push(step.id.clone());
    let children = step.children().iter().map(|child| child.id.clone()).collect();
    let node =
        Node { step: step.clone(), parent: parent.cloned(), children, loops: loops.to_vec(), in_finally };
    nodes.insert(step.id.clone(), node);
    let mut inside = loops.to_vec();
    inside.extend(step.repeat.is_some().then(|| step.id.clone()));
    for child in step.children() {
        lay_out(child, Some(&step.id), &inside, in_finally, order, nodes);
    }
}

fn named_steps(plan: &Plan) -> BTreeSet<StepId> {
    let mut named = Named::default();
    plan.env.iter().for_each(|env| named.template(&env.value));
    plan.outputs.iter().for_each(|output| named.template(&output.value));
    plan.agents.values().flat_map(|agent| agent.templates()).for_each(|part| named.template(part));
    plan.walk().for_each(|step| named_by(step, &mut named));
    named.steps.into_iter().chain(named.previous).collect()
}
