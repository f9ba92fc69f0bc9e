//! A run's plan, laid out for looking things up.

use std::collections::{BTreeMap, BTreeSet};

use backstay_model::StepId;
use backstay_workflow::plan::{Plan, Step};
use minijinja::Value;

/// A step with its place in the plan.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) step: Step,
    pub(super) parent: Option<StepId>,
    pub(super) children: Vec<StepId>,
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
                lay_out(step, None, in_finally, &mut order, &mut nodes);
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

    /// What has to be done anew where `from` is: it, all in it, all that waits for it, and the groups around these.
    pub(super) fn downstream(&self, from: &StepId) -> BTreeSet<StepId> {
        let mut anew = BTreeSet::new();
        let mut around = BTreeSet::new();
        let mut waiting = vec![from.clone()];
        while let Some(id) = waiting.pop() {
            if !anew.insert(id.clone()) {
                continue;
            }
            waiting.extend(self.dependents(&id));
            waiting.extend(self.with_descendants(&id));
            let mut inner = id;
            while let Some(group) = self.node(&inner).and_then(|node| node.parent.clone()) {
                waiting.extend(self.dependents(&group));
                around.insert(group.clone());
                inner = group;
            }
        }
        anew.extend(around);
        anew
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
    in_finally: bool,
    order: &mut Vec<StepId>,
    nodes: &mut BTreeMap<StepId, Node>,
) {
    order.push(step.id.clone());
    let children = step.children().iter().map(|child| child.id.clone()).collect();
    nodes.insert(step.id.clone(), Node { step: step.clone(), parent: parent.cloned(), children, in_finally });
    for child in step.children() {
        lay_out(child, Some(&step.id), in_finally, order, nodes);
    }
}

fn named_steps(plan: &Plan) -> BTreeSet<StepId> {
    let mut named = BTreeSet::new();
    for env in &plan.env {
        named.extend(env.value.steps.iter().cloned());
    }
    for output in &plan.outputs {
        named.extend(output.value.steps.iter().cloned());
    }
    for agent in plan.agents.values() {
        named.extend(agent.command.iter().flat_map(|part| part.steps.iter().cloned()));
        named.extend(agent.env.iter().flat_map(|env| env.value.steps.iter().cloned()));
    }
    for step in plan.walk() {
        super::work::named_by(step, &mut named);
    }
    named
}
