//! The address of a step in a run: `code`; of one cycle of it, `code~2`; in loops inside of loops `code~1~2`, the outermost
//! first. Of a loop or a group it means all that is in it.

use std::collections::BTreeSet;

use backstay_engine::record::{RunRecord, StepRecord};
use backstay_model::StepId;
use backstay_runtime::RunView;
use backstay_workflow::plan::{Plan, Step};

use crate::error::CliError;

/// What stands between a step and a cycle of it.
const SEPARATOR: char = '~';

/// A step, or some cycles of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The step.
    pub(crate) step: StepId,
    /// The step and all that is in it.
    steps: BTreeSet<StepId>,
    /// The cycles that are meant of the innermost loops, with these loops, outermost first.
    cycles: Vec<(StepId, u32)>,
}

impl Address {
    /// Reads an address in `plan`.
    ///
    /// # Errors
    /// [`CliError`] if the plan has no such step, or the step is not in as many loops.
    pub(crate) fn parse(plan: &Plan, text: &str) -> Result<Address, CliError> {
        let mut parts = text.split(SEPARATOR);
        let name = parts.next().unwrap_or_default();
        let cycle = |part: &str| part.parse().ok().filter(|cycle| *cycle > 0);
        let numbers: Vec<u32> = parts
            .map(|part| cycle(part).ok_or_else(|| CliError::AddressForm { text: text.to_owned() }))
            .collect::<Result<_, _>>()?;
        let Some((step, loops)) = find(plan, name) else {
            let known = plan.walk().map(|step| step.id.to_string()).collect();
            return Err(CliError::UnknownStep { text: name.to_owned(), known });
        };
        if numbers.len() > loops.len() {
            let loops = loops.iter().map(ToString::to_string).collect();
            return Err(CliError::NoSuchLoop { text: text.to_owned(), step: step.id.to_string(), loops });
        }
        let innermost = loops[loops.len() - numbers.len()..].iter().cloned();
        Ok(Address {
            step: step.id.clone(),
            steps: with_inner(step),
            cycles: innermost.zip(numbers).collect(),
        })
    }

    /// Reads an address in a run. A step that only an earlier plan of the run had is found by what is left of it.
    ///
    /// # Errors
    /// As [`parse`](Address::parse).
    pub(crate) fn of_run(view: &RunView, text: &str) -> Result<Address, CliError> {
        Address::parse(&view.plan, text).or_else(|unknown| {
            let worked = view.record.steps.iter().find(|record| record.step.as_str() == text);
            let step = worked.map(|record| record.step.clone()).ok_or(unknown)?;
            Ok(Address { steps: BTreeSet::from([step.clone()]), step, cycles: Vec::new() })
        })
    }

    /// Reads the address of a whole step, for a command that takes no single cycle.
    ///
    /// # Errors
    /// As [`parse`](Address::parse), and if it names a cycle.
    pub(crate) fn whole_step(plan: &Plan, text: &str) -> Result<StepId, CliError> {
        let address = Address::parse(plan, text)?;
        if address.cycles.is_empty() {
            Ok(address.step)
        } else {
            Err(CliError::CycleNotTaken { text: text.to_owned(), step: address.step.to_string() })
        }
    }

    /// Whether it means one step that has no others in it.
    pub(crate) fn is_leaf(&self) -> bool {
        self.steps.len() == 1
    }

    /// Whether it names a cycle.
    pub(crate) fn is_of_cycle(&self) -> bool {
        !self.cycles.is_empty()
    }

    /// Whether `step` is meant, or is in what is meant.
    fn has_step(&self, step: &StepId) -> bool {
        self.steps.contains(step)
    }

    /// Whether `record` is of what is meant.
    pub(crate) fn has(&self, record: &StepRecord) -> bool {
        let is_in = |(of, number): &(StepId, u32)| {
            record.scope.cycles().any(|(step, cycle)| step == of && cycle == *number)
        };
        self.has_step(&record.step) && self.cycles.iter().all(is_in)
    }

    /// Refuses a cycle that `run` has not begun.
    ///
    /// # Errors
    /// [`CliError::UnknownCycle`], with the cycles that there are.
    pub(crate) fn expect_in(&self, run: &RunRecord) -> Result<(), CliError> {
        let Some((innermost, _)) = self.cycles.last() else { return Ok(()) };
        if run.steps.iter().any(|record| self.has(record)) {
            return Ok(());
        }
        let known: BTreeSet<u32> = run
            .steps
            .iter()
            .filter(|record| self.has_step(&record.step))
            .filter_map(|record| {
                let mut cycles = record.scope.cycles();
                cycles.find_map(|(step, cycle)| (step == innermost).then_some(cycle))
            })
            .collect();
        Err(CliError::UnknownCycle {
            text: self.to_string(),
            step: self.step.to_string(),
            known: known.into_iter().collect(),
        })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.step)?;
        self.cycles.iter().try_for_each(|(_, cycle)| write!(f, "{SEPARATOR}{cycle}"))
    }
}

/// The step `name`, with the loops that it stands in, outermost first, and itself if it is one.
fn find<'a>(plan: &'a Plan, name: &str) -> Option<(&'a Step, Vec<StepId>)> {
    fn below<'a>(steps: &'a [Step], name: &str, loops: &mut Vec<StepId>) -> Option<&'a Step> {
        for step in steps {
            if step.repeat.is_some() {
                loops.push(step.id.clone());
            }
            if step.id.as_str() == name {
                return Some(step);
            }
            if let Some(found) = below(step.children(), name, loops) {
                return Some(found);
            }
            if step.repeat.is_some() {
                loops.pop();
            }
        }
        None
    }
    let mut loops = Vec::new();
    let found = below(&plan.steps, name, &mut loops).or_else(|| below(&plan.finally, name, &mut loops))?;
    Some((found, loops))
}

fn with_inner(step: &Step) -> BTreeSet<StepId> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![step];
    while let Some(step) = waiting.pop() {
        found.insert(step.id.clone());
        waiting.extend(step.children());
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use backstay_workflow::CheckInput;

    use super::*;

    const NESTED: &str = r#"
backstay: 1
name: nested
steps:
  - {id: alone, run: "true"}
  - id: outer
    repeat: {until: steps.last.exit_code == 0, max_cycles: 3}
    steps:
      - id: inner
        repeat: {until: steps.code.exit_code == 0, max_cycles: 3}
        steps:
          - {id: code, run: "true", accept_exit: 0-1}
      - {id: last, run: "true", accept_exit: 0-1}
"#;

    fn plan() -> Plan {
        let read_file = |_: &str| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
        let input = CheckInput {
            path: "nested.yaml",
            text: NESTED,
            read_file: &read_file,
            schema_fault: &|_| None,
            reading_fault: &|_| None,
            agents: BTreeMap::new(),
            presets: BTreeMap::new(),
        };
        backstay_workflow::check(&input).unwrap().plan
    }

    #[test]
    fn an_address_means_a_step_or_cycles_of_the_innermost_loops() {
        let cycles = |text: &str| -> Vec<String> {
            let address = Address::parse(&plan(), text).unwrap();
            assert_eq!(address.to_string(), text);
            address.cycles.iter().map(|(step, cycle)| format!("{step} {cycle}")).collect()
        };
        assert_eq!(cycles("code"), Vec::<String>::new());
        assert_eq!(cycles("code~2"), ["inner 2"]);
        assert_eq!(cycles("code~1~2"), ["outer 1", "inner 2"]);
        assert_eq!(cycles("inner~3"), ["inner 3"], "a cycle of a loop is all that is in it");
        assert_eq!(cycles("last~2"), ["outer 2"]);
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_there_is() {
        for (text, expected) in [
            ("nope~1", "the workflow has no step `nope`"),
            ("code~", "`code~` is no address of a step"),
            ("code~0", "`code~0` is no address of a step"),
            ("code~x", "`code~x` is no address of a step"),
            ("alone~1", "`alone~1`: `alone` is in no loop, so it has no cycles"),
            ("code~1~1~1", "`code~1~1~1`: `code` is in fewer loops: outer, inner"),
        ] {
            assert_eq!(Address::parse(&plan(), text).unwrap_err().to_string(), expected);
        }
        let error = Address::whole_step(&plan(), "code~2").unwrap_err();
        assert_eq!(error.to_string(), "`code~2` is one cycle, and this takes a whole step");
        assert_eq!(Address::whole_step(&plan(), "code").unwrap().as_str(), "code");
    }
}
