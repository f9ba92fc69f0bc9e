//! What the end of a process means for its attempt.

use backstay_model::Text;
use backstay_model::event::{AttemptEnd, FailureClass};
use backstay_workflow::plan::{OutputFormat, Step, Verb};

use super::effect_spec::total_budget_ms;
use super::instance::StepInstance;
use super::plan_index::Node;
use super::reports::duration;
use super::values::as_json;
use crate::topic::DecisionPass;
use crate::{AgentEnded, EndedBy, OutputProblem, ProcessEnded, Trouble, TurnEnd, json_of};

/// Characters of a line that tells how an agent's attempt ended.
const SUMMARY_CHARS: usize = 300;

/// What an attempt came to, before the step's own rules.
pub(super) struct AttemptOutcome {
    pub(super) end: AttemptEnd,
    pub(super) message: String,
    pub(super) output: Option<Text>,
}

impl DecisionPass<'_> {
    /// What the process's end means for the attempt.
    pub(super) fn attempt_outcome(
        &mut self,
        instance: &StepInstance,
        node: &Node,
        process: &ProcessEnded,
    ) -> AttemptOutcome {
        let step = &node.step;
        let failed = |failure, message: String| AttemptOutcome {
            end: AttemptEnd::Failed { failure },
            message,
            output: None,
        };
        let is_unwanted = self.topic.run.is_called_off(&step.id)
            || self.topic.run.leaf(instance).is_some_and(|leaf| leaf.skip.is_some());
        match (&process.agent, process.by) {
            // It had done its work, whatever became of its process then.
            (Some(AgentEnded { turn: TurnEnd::Succeeded, .. }), by)
                if by == EndedBy::Exit || !is_unwanted =>
            {
                return self.answer_outcome(step, process, None);
            }
            (Some(agent), EndedBy::Exit) => return self.agent_outcome(step, process, agent),
            _ => {}
        }
        match process.by {
            EndedBy::Stop | EndedBy::Signalled => {
                let (end, message) = match is_unwanted {
                    true => (AttemptEnd::Cancelled, "stopped"),
                    false => (AttemptEnd::Interrupted, "interrupted"),
                };
                AttemptOutcome { end, message: message.to_owned(), output: None }
            }
            EndedBy::Timeout => {
                let budget = duration(total_budget_ms(node).unwrap_or(0));
                failed(FailureClass::Timeout, format!("took longer than {budget}"))
            }

            EndedBy::IdleTimeout => {
                let budget = duration(step.idle_timeout_ms.unwrap_or(0));
                failed(FailureClass::Stall, format!("silent for {budget}"))
            }

            EndedBy::SpawnFailed => failed(
                FailureClass::Spawn,
                process.message.clone().unwrap_or_else(|| "the process could not be started".to_owned()),
            ),
            EndedBy::Exit => self.exit_outcome(step, process),
        }
    }

    fn exit_outcome(&mut self, step: &Step, process: &ProcessEnded) -> AttemptOutcome {
        let accepted = process.exit_code.is_some_and(|code| step.accept_exit.contains(code));
        let ended = how_it_ended(process);
        let is_worktree = matches!(step.verb, Verb::Worktree(_));
        if !accepted {
            let (output, _) = self.read_output(step, process);
            // An agent does not end itself by a signal: somebody outside did.
            let is_cut = matches!(step.verb, Verb::Agent { .. }) && process.signal.is_some();
            let failure = if is_cut { FailureClass::Crash } else { FailureClass::Exit };
            let end = AttemptEnd::Failed { failure };
            // What git says tells more than its exit code.
            let said = process.log.as_ref().filter(|_| is_worktree).and_then(|log| self.topic.run.text(log));
            let message = said.map(|said| last_line(&said)).filter(|said| !said.is_empty()).unwrap_or(ended);
            return AttemptOutcome { end, message, output };
        }
        self.answer_outcome(step, process, (!is_worktree).then_some(ended))
    }

    /// Of work that was done: whether its output is what the step promised. Without `ended`, its first line tells of it.
    fn answer_outcome(
        &mut self,
        step: &Step,
        process: &ProcessEnded,
        ended: Option<String>,
    ) -> AttemptOutcome {
        let (output, problem) = self.read_output(step, process);
        if let Some(message) = problem {
            let end = AttemptEnd::Failed { failure: FailureClass::InvalidOutput };
            return AttemptOutcome { end, message, output };
        }
        let ended = ended.unwrap_or_else(|| {
            let text = process.output.as_ref().and_then(|text| self.topic.run.text(text));
            text.as_deref()
                .map(first_line)
                .filter(|line| !line.is_empty())
                .unwrap_or_else(|| how_it_ended(process))
        });
        let message = match &process.output_problem {
            Some(cut) => format!("{ended}; {cut}"),
            None => ended,
        };
        AttemptOutcome { end: AttemptEnd::Succeeded, message, output }
    }

    /// Of an agent that did not say that its turn ended well: what was in its way.
    fn agent_outcome(&mut self, step: &Step, process: &ProcessEnded, agent: &AgentEnded) -> AttemptOutcome {
        let ended = how_it_ended(process);
        let accepted = process.exit_code.is_some_and(|code| step.accept_exit.contains(code));
        let (failure, message) = match (&agent.turn, &agent.trouble) {
            (TurnEnd::Unknown, _) if accepted => return self.exit_outcome(step, process),
            (_, Some(Trouble::Limit { message, .. })) => (FailureClass::RateLimit, message.clone()),
            (_, Some(Trouble::Login { message })) => (FailureClass::Login, message.clone()),
            (_, Some(Trouble::Refused { message })) => (FailureClass::Refused, message.clone()),
            (_, Some(Trouble::Network { message })) => (FailureClass::Network, message.clone()),
            (_, Some(Trouble::SessionUnknown)) => {
                (FailureClass::Session, "the agent does not know its session".to_owned())
            }
            (_, Some(Trouble::SessionInUse)) => {
                (FailureClass::Session, "the agent's session is in use already".to_owned())
            }
            (TurnEnd::Unknown, _) => return self.exit_outcome(step, process),
            (TurnEnd::Failed { failure: Some(failure) }, _) => (FailureClass::Exit, first_line(failure)),
            (TurnEnd::Failed { failure: None }, said) => {
                (FailureClass::Exit, format!("the agent's turn did not end well ({ended}){}", reason(said)))
            }
            (TurnEnd::Truncated | TurnEnd::Succeeded, Some(Trouble::LongLines { lines, limit_bytes })) => {
                let message = format!(
                    "{ended}, and how the agent's turn ended is unknown: lines of its output that are longer than \
                     {limit_bytes} bytes are not read ({lines} found)"
                );
                (FailureClass::Exit, message)
            }
            (TurnEnd::Truncated, said) if process.signal.is_some() => {
                (FailureClass::Crash, format!("{ended} in the middle of the agent's turn{}", reason(said)))
            }
            (TurnEnd::Truncated | TurnEnd::Succeeded, said) => {
                (FailureClass::Exit, format!("{ended} in the middle of the agent's turn{}", reason(said)))
            }
        };
        AttemptOutcome { end: AttemptEnd::Failed { failure }, message: first_line(&message), output: None }
    }

    /// The output as JSON text, and what is wrong with it.
    fn read_output(&mut self, step: &Step, process: &ProcessEnded) -> (Option<Text>, Option<String>) {
        match (&process.output_problem, step.output) {
            // The beginning of a text is a text.
            (None, _) | (Some(OutputProblem::Cut { .. }), OutputFormat::Text) => {}
            // The work was done. Who needs its output says so.
            (Some(OutputProblem::Lost { .. }), OutputFormat::Text) => return (None, None),
            (Some(problem), _) => return (None, Some(problem.to_string())),
        }
        let Some(stored) = &process.output else {
            let missing = "there is no output, where one JSON value should be";
            return (None, (step.output == OutputFormat::Json).then(|| missing.to_owned()));
        };
        let Some(text) = self.topic.run.text(stored) else {
            return (None, Some("the output is not at hand".to_owned()));
        };
        match step.output {
            OutputFormat::Text => {
                let text = text.strip_suffix('\n').unwrap_or(&text);
                (Some(self.keep_text(serde_json::Value::from(text).to_string())), None)
            }
            OutputFormat::Json => match as_json(json_of(&text, process.agent.is_some())) {
                Ok(json) => {
                    let said = process.shape_problem.clone().filter(|_| step.schema.is_some());
                    let problem = said.map(|said| format!("the output does not match its schema: {said}"));
                    (Some(self.keep_text(json.to_owned())), problem)
                }
                Err(error) => {
                    let kept = self.keep_text(serde_json::Value::from(&*text).to_string());
                    (Some(kept), Some(format!("the output is not one JSON value: {error}")))
                }
            },
        }
    }
}

/// What the agent wrote last, where that is all that is known.
fn reason(trouble: &Option<Trouble>) -> String {
    match trouble {
        Some(Trouble::Unexplained { message }) => format!(": {message}"),
        Some(_) | None => String::new(),
    }
}

fn how_it_ended(process: &ProcessEnded) -> String {
    match (process.exit_code, process.signal) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// The first line of `text` that has something in it, cut where it is long.
fn first_line(text: &str) -> String {
    cut(text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default())
}

/// The last line of `text` that has something in it, cut where it is long.
fn last_line(text: &str) -> String {
    cut(text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default())
}

fn cut(line: &str) -> String {
    let mut shown: String = line.chars().take(SUMMARY_CHARS).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown
}
