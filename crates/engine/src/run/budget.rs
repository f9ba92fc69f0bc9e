//! What happens where the agents of a run have used what they may: nothing new begins.

use backstay_model::event::{
    BudgetRaised, FailureClass, QuestionAsked, QuestionClosed, QuestionKind, QuestionOption, StepStatus,
};
use backstay_model::{Digest, QuestionId, Scope, Seq};
use backstay_workflow::plan::OnExceeded;

use super::instance::StepInstance;
use crate::topic::DecisionPass;

/// The answers to "may it use more?".
const MORE: &str = "more";
const STOP: &str = "stop";

impl DecisionPass<'_> {
    /// Holds an agent back that would begin although the budget is used up. Says whether it did.
    pub(super) fn is_awaiting_budget(&mut self, instance: &StepInstance) -> bool {
        let Some(plan) = self.topic.run.plan.clone() else { return false };
        let budget = plan.plan.budget;
        let most = budget.map(|budget| budget.tokens);
        let Some((most, used)) = self.topic.usage.used_up(most) else { return false };
        let node = plan.node(&instance.step);
        let agent = node.and_then(|node| self.topic.run.agent_of(&plan, instance, &node.step));
        if agent.is_none_or(|(_, agent)| !agent.is_read()) {
            return false;
        }
        let said = match self.topic.usage.is_partial() {
            false => format!("{used} of {most} tokens are used"),
            true => format!("{used} of {most} tokens are used, and more that is not told"),
        };
        match budget.map(|budget| budget.on_exceeded).unwrap_or_default() {
            OnExceeded::Ask => self.ask_for_more(instance, most, &said),
            OnExceeded::Stop => self.stop_for_budget(instance, said),
        }
        true
    }

    fn stop_for_budget(&mut self, instance: &StepInstance, said: String) {
        self.finish(instance, StepStatus::Failed, None, Some(FailureClass::Budget), said, None);
    }

    fn ask_for_more(&mut self, instance: &StepInstance, most: u64, said: &str) {
        let id = format!("{}:{}:{most}:budget", self.topic.run.id(), instance.scope());
        let option =
            |name: &str, meaning: &str| QuestionOption { name: name.to_owned(), meaning: meaning.to_owned() };
        let asked = QuestionAsked {
            question: QuestionId::derived(Digest::of(id.as_bytes())),
            kind: QuestionKind::BudgetUsed,
            prompt: format!("`{instance}` would begin, and {said}. What now?"),
            options: vec![
                option(MORE, "as much again may be used"),
                option(STOP, "the step fails: nothing new begins"),
            ],
            effect: None,
            default: None,
            due_at: None,
        };
        self.emit_at(instance, asked);
    }

    /// Somebody said whether more may be used; the question is closed.
    pub(super) fn answer_budget(&mut self, instance: &StepInstance, seq: Seq, choice: &str) {
        let budget = self.topic.run.plan.as_ref().and_then(|plan| plan.plan.budget);
        let used = self.topic.usage.tokens();
        if choice != MORE {
            return self.stop_for_budget(instance, format!("{used} tokens are used, and no more may be"));
        }
        let more = budget.map_or(0, |budget| budget.tokens);
        let raised = BudgetRaised { by: seq, tokens: used.saturating_add(more) };
        self.emit(Scope::root(), raised);
        // Whoever asked beside it has its answer.
        let others = self.topic.questions.of_kind(QuestionKind::BudgetUsed);
        let others: Vec<(Scope, QuestionId)> =
            others.map(|open| (open.scope.clone(), open.asked.question)).collect();
        for (scope, question) in others {
            self.emit(scope, QuestionClosed { question, answered_by: Some(seq), choice: None });
        }
    }
}
