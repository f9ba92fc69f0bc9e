//! A run that goes on by another plan: which steps are still the same work, and which are not.

use std::collections::BTreeMap;
use std::sync::Arc;

use backstay_model::event::{PlanRef, Redefinition, Reopened, StepRedefined};
use backstay_model::{Digest, StepId};
use backstay_workflow::expression::Expression;
use backstay_workflow::plan::{AgentSpec, EnvSpec, ExitCodes, OutputFormat, Step, Verb};
use minijinja::Value;
use serde::Serialize;

use super::RunMachine;
use super::instance::StepInstance;
use super::plan_index::{Node, PlanIndex};
use super::state::{Pass, StepState};
use crate::topic::TopicMachine;

/// What decides what a step's work is. Two steps with the same form would do the same, so a result of the one is a
/// result of the other. Time budgets, retries and what happens after a crash decide how often work is tried, not what
/// it is; how many cycles a loop may take does not change what a cycle is; what it waits for is compared beside this.
#[derive(Serialize)]
struct StepForm<'a> {
    parent: Option<&'a StepId>,
    in_finally: bool,
    /// None for a group: what is in it has forms of its own.
    verb: Option<&'a Verb>,
    agents: BTreeMap<&'a str, (Option<&'a AgentSpec>, Option<Digest>)>,
    condition: Option<&'a Expression>,
    until: Option<&'a Expression>,
    env: Vec<&'a EnvSpec>,
    output: OutputFormat,
    accept_exit: &'a ExitCodes,
    schema: Option<&'a str>,
    workspace: Option<&'a StepId>,
}

/// A plan with the presets that its agents are started by.
pub(super) struct Presets<'a> {
    pub(super) plan: &'a PlanIndex,
    pub(super) presets: &'a BTreeMap<String, Digest>,
}

impl Presets<'_> {
    fn form<'s>(&'s self, node: &'s Node) -> StepForm<'s> {
        let step = &node.step;
        let is_group = matches!(step.verb, Verb::Group { .. });
        let around = self.plan.groups_around(&step.id);
        let groups = around.iter().rev().filter_map(|group| self.plan.node(group));
        let env = self.plan.plan().env.iter().chain(groups.flat_map(|group| &group.step.env));
        // A group's variables are its steps'.
        let env = if is_group { Vec::new() } else { env.chain(&step.env).collect() };
        StepForm {
            parent: node.parent.as_ref(),
            in_finally: node.in_finally,
            verb: (!is_group).then_some(&step.verb),
            agents: self.agents_of(step),
            condition: step.condition.as_ref(),
            until: step.repeat.as_ref().map(|repeat| &repeat.until),
            env,
            output: step.output,
            accept_exit: &step.accept_exit,
            schema: step.schema.as_deref(),
            workspace: step.workspace.as_ref(),
        }
    }

    fn agents_of<'s>(&'s self, step: &'s Step) -> BTreeMap<&'s str, (Option<&'s AgentSpec>, Option<Digest>)> {
        let Verb::Agent { agent, options, .. } = &step.verb else { return BTreeMap::new() };
        let named = std::iter::once(agent).chain(&options.fallback).map(|name| {
            let spec = self.plan.plan().agents.get(name);
            let preset =
                spec.and_then(AgentSpec::preset).and_then(|preset| self.presets.get(preset)).copied();
            (name.as_str(), (spec, preset))
        });
        named.collect()
    }

    /// The form as JSON text, with the values of the inputs that it names.
    fn text(&self, node: &Node) -> String {
        // A struct of texts and numbers has a JSON form; one that had none would differ from every other.
        let form = serde_json::to_string(&self.form(node)).unwrap_or_else(|error| error.to_string());
        let inputs: Vec<(&str, Option<Value>)> = self
            .plan
            .plan()
            .inputs
            .iter()
            .filter(|input| names_input(&form, &input.name) || is_script_of(&node.step, &input.name))
            .map(|input| (input.name.as_str(), self.plan.inputs.get_attr(&input.name).ok()))
            .collect();
        let inputs = serde_json::to_string(&inputs).unwrap_or_else(|error| error.to_string());
        format!("{form}\n{inputs}")
    }
}

/// Whether the JSON of a step's form may read the input: by its name, or all inputs at once.
fn names_input(form: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    form.match_indices("inputs").any(|(at, word)| {
        let rest = form[at + word.len()..].trim_start();
        match rest.strip_prefix('.') {
            Some(rest) => {
                let rest = rest.trim_start();
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                rest[..end] == *name
            }
            // All inputs at once, in whatever way: an input too many does a step again, one too few keeps what it changed.
            None => !rest.starts_with(is_word),
        }
    })
}

/// Whether the input is the whole script of the step.
fn is_script_of(step: &Step, name: &str) -> bool {
    matches!(&step.verb, Verb::Run { script, .. } if script.whole.as_deref() == Some(name))
}

/// Whether the step shall wait for one that it did not wait for. That it waited for more does not change what it did, and
/// what is new is done anew with all that needs it.
fn comes_later(old: &PlanIndex, was: &Node, now: &Node) -> bool {
    now.step.needs.iter().any(|need| old.node(need).is_some() && !old.waits_for(was, need))
}

/// What `new` makes of the steps of `old`: in the order of the new plan, then those that it does not have.
pub(super) fn redefined(old: &Presets<'_>, new: &Presets<'_>) -> Vec<StepRedefined> {
    let of_new = new.plan.order.iter().filter_map(|step| {
        let node = new.plan.node(step)?;
        let redefinition = match old.plan.node(step) {
            None => Redefinition::New,
            Some(was) if was.loops != node.loops => Redefinition::Moved,
            Some(was) if old.text(was) != new.text(node) => Redefinition::Changed,
            Some(was) if comes_later(old.plan, was, node) => Redefinition::Changed,
            Some(_) => return None,
        };
        Some(StepRedefined { step: step.clone(), redefinition })
    });
    let gone = old.plan.order.iter().filter(|step| new.plan.node(step).is_none());
    let gone = gone.map(|step| StepRedefined { step: step.clone(), redefinition: Redefinition::Removed });
    of_new.chain(gone).collect()
}

/// What a wish to try a run again comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryOutlook {
    /// What the new plan makes of steps; empty without one.
    pub redefined: Vec<StepRedefined>,
    /// The steps to do anew, in the order of the plan.
    pub anew: Vec<StepId>,
    /// The steps with a result that stays, in the order of the plan; groups are not named.
    pub kept: Vec<StepId>,
    /// Why the new plan is none of this run's workflow; none without one, and where it is.
    pub foreign: Option<ForeignPlan>,
}

/// Why a plan is none of a run's workflow: by it the run would start from nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForeignPlan {
    /// It is of a workflow with another name.
    OtherWorkflow {
        /// The name that the run's workflow has.
        own: String,
        /// The name that the new plan's workflow has.
        other: String,
    },
    /// It has none of the run's steps.
    NoStepInCommon,
}

impl TopicMachine {
    /// What comes of trying the run again in this way, for people: nothing is decided.
    #[must_use]
    pub fn retry_outlook(&self, reopened: &Reopened) -> RetryOutlook {
        self.run.retry_outlook(reopened)
    }
}

impl RunMachine {
    /// Takes a plan that an input brings.
    pub(crate) fn give_plan(&mut self, plan: PlanRef, index: Arc<PlanIndex>) {
        self.plans.push((plan, index));
    }

    pub(crate) fn given_plan(&self, plan: &PlanRef) -> Option<&Arc<PlanIndex>> {
        self.plans.iter().find(|(given, _)| given == plan).map(|(_, definition)| definition)
    }

    /// The plan that the run would go by where `reopened` is taken.
    pub(super) fn plan_for(&self, reopened: &Reopened) -> Option<&Arc<PlanIndex>> {
        match &reopened.plan {
            Some(plan) => self.given_plan(plan),
            None => self.plan.as_ref(),
        }
    }

    /// What the plan of `reopened` makes of the steps; nothing where it brings none.
    pub(super) fn redefined_by(&self, reopened: &Reopened) -> Vec<StepRedefined> {
        let (Some(plan), Some(old), Some(request)) = (&reopened.plan, &self.plan, &self.request) else {
            return Vec::new();
        };
        let Some(new) = self.given_plan(plan) else { return Vec::new() };
        let old = Presets { plan: old, presets: &request.presets };
        redefined(&old, &Presets { plan: new, presets: &plan.presets })
    }

    /// Why the plan of `reopened` is none of this run's workflow.
    fn foreign_plan(&self, reopened: &Reopened) -> Option<ForeignPlan> {
        let (plan, request, old) = (reopened.plan.as_ref()?, self.request.as_ref()?, self.plan.as_ref()?);
        if plan.workflow != request.workflow {
            let (own, other) = (request.workflow.clone(), plan.workflow.clone());
            return Some(ForeignPlan::OtherWorkflow { own, other });
        }
        let new = self.given_plan(plan)?;
        let is_common = |step: &StepId| new.node(step).is_some();
        (!old.order.iter().any(is_common)).then_some(ForeignPlan::NoStepInCommon)
    }

    fn retry_outlook(&self, reopened: &Reopened) -> RetryOutlook {
        let anew = self.to_do_anew(reopened);
        let redefined = self.redefined_by(reopened);
        let Some(definition) = self.plan_for(reopened) else {
            return RetryOutlook { redefined, anew, kept: Vec::new(), foreign: None };
        };
        let foreign = self.foreign_plan(reopened);
        let is_kept = |step: &&StepId| {
            let is_leaf = definition.node(step).is_some_and(|node| node.children.is_empty());
            let instance = self.current_instance(definition, step);
            is_leaf
                && !anew.contains(*step)
                && instance.is_some_and(|instance| self.result(&instance).is_some())
        };
        let kept = definition.order.iter().filter(is_kept).cloned().collect();
        RetryOutlook { redefined, anew, kept, foreign }
    }
}

/// Folding, called by `apply` alone.
impl RunMachine {
    /// Everything that a file says about the run is the new plan's from here.
    pub(super) fn fold_plan(&mut self, plan: &PlanRef) {
        self.plan = self.given_plan(plan).cloned();
        self.plans.clear();
        self.agenda.add_all();
        let Some(request) = &mut self.request else { return };
        let PlanRef { workflow, file, folder, source, plan, inputs, presets, agents } = plan.clone();
        (request.workflow, request.file, request.folder) = (workflow, file, folder);
        (request.source, request.plan, request.inputs) = (source, plan, inputs);
        (request.presets, request.agents) = (presets, agents);
    }

    /// What was done under the step's name so far is of no more use. A step of that name may come again: its numbers go on.
    pub(super) fn retire(&mut self, step: &StepId) {
        let instances: Vec<StepInstance> =
            self.steps.keys().filter(|instance| instance.step == *step).cloned().collect();
        for instance in instances {
            if self.failed.as_ref() == Some(&instance) {
                self.failed = None;
            }
            let Some(state) = self.steps.remove(&instance) else { continue };
            let pass = Pass { cycle: state.pass.cycle, begins_anew: true, ..Pass::default() };
            self.retired.insert(instance, StepState { pass, ..StepState::default() });
        }
    }

    /// The state of a step whose turn came.
    pub(super) fn state_of(&mut self, instance: &StepInstance) -> &mut StepState {
        let retired = self.retired.remove(instance);
        self.steps.entry(instance.clone()).or_insert_with(|| retired.unwrap_or_default())
    }
}
