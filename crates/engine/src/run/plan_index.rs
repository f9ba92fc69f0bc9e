//! A run's plan, laid out for looking things up.

use std::collections::{BTreeMap, BTreeSet};

use backstay_model::StepId;
use backstay_workflow::plan::{Plan, Repeat, Step};
use minijinja::Value;

use super::effect_spec::{StepReferences, named_by};

/// A step and where it stands in the plan.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) step: Step,
    /// Its index in the order of the plan.
    pub(super) position: usize,
    /// The steps of its list that wait for it.
    pub(super) dependents: Vec<StepId>,
    pub(super) parent: Option<StepId>,
    pub(super) children: Vec<StepId>,
    /// The loops that it stands in, outermost first.
    pub(super) loops: Vec<StepId>,
    pub(super) in_finally: bool,
}

/// The plan and the inputs of one run, laid out for looking things up.
#[derive(Debug)]
pub struct PlanIndex {
    pub(super) plan: Plan,
    pub(super) inputs: Value,
    pub(super) store: String,
    /// The steps as they stand in the file, groups before what is in them.
    pub(super) order: Vec<StepId>,
    /// Where the steps of `finally` begin in that order.
    pub(super) finally_from: usize,
    nodes: BTreeMap<StepId, Node>,
    named: BTreeSet<StepId>,
    /// The loops whose cycles are spaced out.
    spaced: Vec<StepId>,
}

/// The stored inputs are not what the request says.
#[derive(Debug, thiserror::Error)]
#[error("the run's inputs cannot be read")]
pub struct PlanIndexError {
    /// What the decoder says.
    #[source]
    pub source: serde_json::Error,
}

impl PlanIndex {
    /// Lays out `plan`, with `inputs` (the text of a JSON object) and the absolute path of the store.
    ///
    /// # Errors
    /// [`PlanIndexError`] if `inputs` is not JSON.
    pub fn new(plan: Plan, inputs: &str, store: &str) -> Result<PlanIndex, PlanIndexError> {
        let inputs = serde_json::from_str(inputs).map_err(|source| PlanIndexError { source })?;
        let mut nodes = BTreeMap::new();
        let mut order = Vec::new();
        let mut finally_from = 0;
        for (list, in_finally) in [(&plan.steps, false), (&plan.finally, true)] {
            finally_from = order.len();
            for step in list {
                lay_out(step, None, &[], in_finally, &mut order, &mut nodes);
            }
        }
        for step in &order {
            let needs = nodes.get(step).map(|node: &Node| node.step.needs.clone()).unwrap_or_default();
            for need in &needs {
                if let Some(needed) = nodes.get_mut(need) {
                    needed.dependents.push(step.clone());
                }
            }
        }
        let named = named_steps(&plan);
        let is_spaced = |repeat: &Repeat| repeat.min_cycle_ms.is_some_and(|ms| ms > 0);
        let repeat = |step: &StepId| nodes.get(step).and_then(|node| node.step.repeat.as_ref());
        let spaced = order.iter().filter(|step| repeat(step).is_some_and(is_spaced)).cloned().collect();
        Ok(PlanIndex { plan, inputs, store: store.to_owned(), order, finally_from, nodes, named, spaced })
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
            waiting.extend_from_slice(self.dependents(&id));
            waiting.extend(self.with_descendants(&id));
            let around = self.groups_around(&id);
            waiting.extend(around.iter().flat_map(|group| self.dependents(group)).cloned());
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
        self.spaced.iter().filter_map(|step| Some((step, self.node(step)?.step.repeat.as_ref()?)))
    }

    pub(super) fn is_in_finally(&self, step: &StepId) -> bool {
        self.node(step).is_some_and(|node| node.in_finally)
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

    fn dependents(&self, step: &StepId) -> &[StepId] {
        self.node(step).map_or(&[], |node| &node.dependents)
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
    let position = order.len();
    order.push(step.id.clone());
    let children = step.children().iter().map(|child| child.id.clone()).collect();
    let node = Node {
        step: step.clone(),
        position,
        dependents: Vec::new(),
        parent: parent.cloned(),
        children,
        loops: loops.to_vec(),
        in_finally,
    };
    nodes.insert(step.id.clone(), node);
    let mut inside = loops.to_vec();
    inside.extend(step.repeat.is_some().then(|| step.id.clone()));
    for child in step.children() {
        lay_out(child, Some(&step.id), &inside, in_finally, order, nodes);
    }
}

fn named_steps(plan: &Plan) -> BTreeSet<StepId> {
    let mut named = StepReferences::default();
    plan.env.iter().for_each(|env| named.template(&env.value));
    plan.outputs.iter().for_each(|output| named.template(&output.value));
    plan.agents.values().flat_map(|agent| agent.templates()).for_each(|part| named.template(part));
    plan.walk().for_each(|step| named_by(step, &mut named));
    named.steps.into_iter().chain(named.previous).collect()
}
