//! `accept_exit`, `after_crash` and `retry`: the exit codes of a success, and the reaction to a failure or a crash.

use super::keys;
use super::reader::{Reader, Report, first_line};
use super::references::Site;
use crate::codes;
use crate::plan::{AfterCrash, ExitCodes, RetryClass, RetryPolicy};
use crate::yaml::{Kind, Node, Plain};

const CLASSES: &[(&str, RetryClass)] = &[
    ("rate_limit", RetryClass::RateLimit),
    ("network", RetryClass::Network),
    ("timeout", RetryClass::Timeout),
    ("stall", RetryClass::Stall),
    ("crash", RetryClass::Crash),
    ("invalid_output", RetryClass::InvalidOutput),
    ("exit", RetryClass::Exit),
];

impl Reader<'_> {
    pub(super) fn exit_codes(&mut self, node: &Node) -> Option<ExitCodes> {
        let items: &[Node] = match &node.kind {
            Kind::List(items) => items,
            _ => std::slice::from_ref(node),
        };
        let ranges: Vec<Option<(i32, i32)>> = items.iter().map(|item| self.exit_range(item)).collect();
        ranges.into_iter().collect::<Option<Vec<_>>>().map(ExitCodes)
    }

    fn exit_range(&mut self, node: &Node) -> Option<(i32, i32)> {
        let text = node.text().unwrap_or("");
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse::<u8>(), last.trim().parse::<u8>()) {
            (Ok(first), Ok(last)) if first <= last => Some((i32::from(first), i32::from(last))),
            _ => {
                let range = first_line(self.source, &node.range);
                self.report(
                    Report::error(
                        codes::INVALID_EXIT_CODES,
                        &range,
                        format!("`{text}` is not an exit code from 0 to 255"),
                    )
                    .hint("write `0`, `[0, 1]` or `0-125`"),
                );
                None
            }
        }
    }

    pub(super) fn after_crash(&mut self, node: &Node, site: &Site) -> Option<AfterCrash> {
        if let Kind::Map(_) = &node.kind {
            let fields = self.fields(node, &keys::PROBE);
            let Some(probe) = fields.get("probe") else {
                self.report(Report::error(
                    codes::MISSING_KEY,
                    &first_line(self.source, &node.range),
                    "`after_crash` needs `probe`",
                ));
                return None;
            };
            return self.script(probe, "`probe`", site, None).map(|script| AfterCrash::Probe { script });
        }
        #[derive(Clone, Copy)]
        enum Word {
            Resume,
            Rerun,
            Ask,
            Fail,
        }
        let words =
            [("resume", Word::Resume), ("rerun", Word::Rerun), ("ask", Word::Ask), ("fail", Word::Fail)];
        Some(match self.word(node, "`after_crash`", &words)? {
            Word::Resume => AfterCrash::Resume,
            Word::Rerun => AfterCrash::Rerun,
            Word::Ask => AfterCrash::Ask,
            Word::Fail => AfterCrash::Fail,
        })
    }

    pub(super) fn retry(&mut self, node: &Node) -> Option<RetryPolicy> {
        let mut policy = RetryPolicy {
            errors: CLASSES.iter().map(|(_, class)| *class).collect(),
            ..RetryPolicy::default()
        };
        if let Kind::Scalar { .. } = &node.kind {
            if !matches!(node.plain(), Some(Plain::Integer(_))) {
                let place = first_line(self.source, &node.range);
                self.report(
                    Report::error(codes::WRONG_TYPE, &place, "`retry` is not a number")
                        .hint("write the number of attempts after the first:  retry: 2"),
                );
                return None;
            }
            policy.retries_max = self.count(node, "`retry`")?;
            return Some(policy);
        }
        let fields = self.fields(node, &keys::RETRY);
        let Some(max) = fields.get("max") else {
            self.report(
                Report::error(
                    codes::MISSING_KEY,
                    &first_line(self.source, &node.range),
                    "`retry` needs `max`",
                )
                .hint("the attempts after the first: `max: 2`"),
            );
            return None;
        };
        policy.retries_max = self.count(max, "`max`")?;
        if let Some(errors) = fields.get("errors") {
            let items = self.list(errors, "`errors`")?;
            policy.errors =
                items.iter().filter_map(|item| self.word(item, "a class of errors", CLASSES)).collect();
        }
        let backoff = fields.get("backoff");
        let (base, max) = match backoff.map(|node| (&node.kind, node)) {
            None => (None, None),
            Some((Kind::Map(_), node)) => {
                let fields = self.fields(node, &keys::BACKOFF);
                let mut read =
                    |key: &str| fields.get(key).and_then(|node| self.duration(node, &format!("`{key}`")));
                (read("base"), read("max"))
            }
            Some((_, node)) => (self.duration(node, "`backoff`"), None),
        };
        policy.backoff_base_ms = base.unwrap_or(policy.backoff_base_ms);
        policy.backoff_max_ms = max.unwrap_or(policy.backoff_max_ms).max(policy.backoff_base_ms);
        Some(policy)
    }
}
