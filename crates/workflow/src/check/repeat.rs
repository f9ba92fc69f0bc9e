//! `repeat`: loops over the steps of a group.

use std::collections::BTreeSet;

use backstay_model::StepId;

use super::keys;
use super::reader::{Fields, Reader, Report, first_line};
use super::references::Site;
use super::scalars::is_zero;
use crate::codes;
use crate::expression::{Expression, paths, tokens};
use crate::plan::{ExitCodes, OnExhausted, Repeat, Step, Verb};
use crate::yaml::{Kind, Node};

const ON_EXHAUSTED: &[(&str, OnExhausted)] =
    &[("fail", OnExhausted::Fail), ("continue", OnExhausted::Continue), ("ask", OnExhausted::Ask)];

impl Reader<'_> {
    /// Reads `repeat` of the step `id` with this verb.
    pub(super) fn repeat(
        &mut self,
        fields: &Fields<'_>,
        id: Option<&StepId>,
        verb: Option<&Verb>,
    ) -> Option<Repeat> {
        let entry = fields.entry("repeat")?;
        let children = match verb {
            Some(Verb::Group { steps }) => steps.as_slice(),
            Some(_) => {
                let message = "`repeat` goes on a group";
                self.report(
                    Report::error(codes::NOT_SUPPORTED, &entry.key.range, message)
                        .hint("put the step under `steps:` of a step with this `repeat`"),
                );
                return None;
            }
            None => &[],
        };
        self.loops.extend(id.cloned());
        let node = &entry.value;
        if !matches!(node.kind, Kind::Map(_)) {
            self.wrong_type(node, "`repeat`", "a mapping");
            return None;
        }
        let fields = self.fields(node, &keys::REPEAT);
        let site = id.map_or(Site::Unknown, |id| Site::Loop(id.clone()));
        let until = match fields.get("until") {
            Some(node) => {
                let until = self.condition(node, "`until`", &site);
                if let Some(until) = &until {
                    self.warn_of_failing_loop(node, until, children);
                }
                until
            }
            None => self.missing(node, "until", "for example `until: steps.test.exit_code == 0`"),
        };
        let max_cycles = match fields.get("max_cycles") {
            Some(node) => self.count(node, "`max_cycles`").and_then(|count| self.at_least_one(node, count)),
            None => self.missing(node, "max_cycles", "a loop has an end: `max_cycles: 6`"),
        };
        let on_exhausted = fields
            .get("on_exhausted")
            .and_then(|node| self.word(node, "`on_exhausted`", ON_EXHAUSTED))
            .unwrap_or_default();
        let min_cycle_ms = match fields.get("min_cycle") {
            Some(node) if node.text().is_some_and(is_zero) => Some(0),
            Some(node) => self.duration(node, "`min_cycle`"),
            None => None,
        };
        Some(Repeat { until: until?, max_cycles: max_cycles?, on_exhausted, min_cycle_ms })
    }

    /// Warns of a loop that repeats until a step succeeds, but fails as soon as that step fails.
    fn warn_of_failing_loop(&mut self, node: &Node, until: &Expression, children: &[Step]) {
        let words = tokens(&until.source);
        let ends: BTreeSet<&str> = paths(&words)
            .iter()
            .filter_map(|path| match path.names.iter().map(|(name, _)| *name).collect::<Vec<_>>()[..] {
                ["steps", step, "exit_code" | "ok" | "status"] => Some(step),
                _ => None,
            })
            .collect();
        let mut waiting: Vec<&Step> = children.iter().collect();
        while let Some(step) = waiting.pop() {
            waiting.extend(step.children());
            let id = step.id.as_str();
            let fails = matches!(step.verb, Verb::Run { .. } | Verb::Command { .. })
                && step.accept_exit == ExitCodes::default();
            if !fails || !ends.contains(id) {
                continue;
            }
            let range = first_line(self.source, &node.range);
            let message = format!("the loop fails in its first cycle in which `{id}` does not exit with 0");
            self.report(Report::warning(codes::LOOP_FAILS, &range, message).hint(format!(
                "add `accept_exit: 0-125` to `{id}`, and write `until: steps.{id}.exit_code == 0`"
            )));
        }
    }

    fn missing<T>(&mut self, node: &Node, key: &str, hint: &str) -> Option<T> {
        let range = first_line(self.source, &node.range);
        self.report(Report::error(codes::MISSING_KEY, &range, format!("`repeat` needs `{key}`")).hint(hint));
        None
    }

    fn at_least_one(&mut self, node: &Node, count: u32) -> Option<u32> {
        if count == 0 {
            let message = "`max_cycles` is a number from 1 on, this is 0";
            self.report(Report::error(codes::WRONG_VALUE, &node.range, message));
            return None;
        }
        Some(count)
    }
}
