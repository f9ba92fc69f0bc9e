//! Names in expressions: each must exist and have its value by then, and comparisons must be able to hold.

use std::collections::BTreeMap;
use std::ops::Range;

use backstay_model::StepId;

use super::order::Order;
use super::reader::{Reader, Report};
use crate::codes;
use crate::diagnostic::{listed, nearest};
use crate::expression::{
    Path, Token, TokenKind, ValueKind, foreign_field_hint, foreign_name_hint, is_filter, paths, tokens,
};
use crate::plan::InputType;
use crate::yaml::Node;

/// Where an expression is evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Site {
    /// When this step starts.
    Step(StepId),
    /// At the end of a cycle of this loop.
    Loop(StepId),
    /// In a step whose id is wrong: the order is not checked.
    Unknown,
    /// At the start: no step has ended.
    Start,
    /// At the end: all have.
    End,
}

/// The expressions of one text.
pub(super) struct ExpressionText {
    site: Site,
    node: Node,
    /// The text of the whole scalar or file.
    text: String,
    /// The bytes of each expression in it.
    inners: Vec<Range<usize>>,
    /// Names that blocks of the text define.
    local: Vec<String>,
}

/// One expression.
struct Reference<'e> {
    site: &'e Site,
    node: &'e Node,
    /// The bytes of the expression in the text of its scalar or file.
    inner: &'e Range<usize>,
    /// Names that blocks of the same text define.
    local: &'e [String],
}

const STEP_FIELDS: &[(&str, Type)] = &[
    ("ok", Type::Boolean),
    ("status", Type::Text),
    ("exit_code", Type::Number),
    ("output", Type::Any),
    ("summary", Type::Text),
    ("log", Type::Text),
    ("output_path", Type::Text),
    ("artifacts", Type::Any),
    ("attempts", Type::Number),
    ("cycles", Type::Number),
];
const LATER_STEP_FIELDS: &[&str] = &["usage", "items", "approved"];
const RUN_FIELDS: &[(&str, Type)] =
    &[("id", Type::Text), ("workflow", Type::Text), ("cwd", Type::Text), ("ok", Type::Boolean)];
const STATUSES: &[&str] = &["succeeded", "failed", "skipped", "cancelled"];
const LATER_ROOTS: &[&str] = &["it", "item", "workspace", "secrets", "budget", "cycle"];
/// Filters that are proposed for an unknown filter: our own, and the usual ones of the engine.
const FILTERS: &[&str] = &[
    "json",
    "from_json",
    "flatten",
    "head",
    "tail",
    "fence",
    "slug",
    "truncate",
    "length",
    "map",
    "select",
    "reject",
    "selectattr",
    "rejectattr",
    "first",
    "last",
    "max",
    "min",
    "sum",
    "sort",
    "unique",
    "reverse",
    "join",
    "split",
    "lines",
    "default",
    "lower",
    "upper",
    "trim",
    "replace",
    "int",
    "float",
    "string",
    "list",
    "items",
    "round",
    "abs",
];
const FUNCTIONS: &[&str] = &["range", "dict", "namespace", "loop"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Text,
    Number,
    Boolean,
    Any,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Type::Text => "a text",
            Type::Number => "a number",
            Type::Boolean => "true or false",
            Type::Any => "anything",
        }
    }
}

impl Reader<'_> {
    /// Notes the expressions at the bytes `inners` of `text`.
    pub(super) fn note_expressions(
        &mut self,
        node: &Node,
        site: &Site,
        text: &str,
        inners: Vec<Range<usize>>,
    ) {
        if !inners.is_empty() {
            let (local, text) = (locals(text), text.to_owned());
            self.expressions.push(ExpressionText {
                site: site.clone(),
                node: node.clone(),
                text,
                inners,
                local,
            });
        }
    }

    /// Checks every expression of the file.
    pub(super) fn check_references(&mut self, order: &Order<'_>) {
        for ExpressionText { site, node, text, inners, local } in std::mem::take(&mut self.expressions) {
            for inner in &inners {
                let each = Reference { site: &site, node: &node, inner, local: &local };
                let words = tokens(&text[inner.clone()]);
                self.filters(&each, &words);
                for path in paths(&words) {
                    self.path(&each, &path, order);
                    self.comparison(&each, &words, &path);
                }
            }
        }
    }

    /// Reports unknown filters: the engine reports them only when it evaluates the expression.
    fn filters(&mut self, each: &Reference<'_>, words: &[Token<'_>]) {
        for pair in words.windows(2) {
            let [pipe, name] = pair else { continue };
            if pipe.text != "|" || name.kind != TokenKind::Name || is_filter(name.text) {
                continue;
            }
            let place = self.place(each, &name.range);
            let near = nearest(name.text, FILTERS.iter().copied()).map(ToOwned::to_owned);
            let report =
                Report::error(codes::UNKNOWN_NAME, &place, format!("there is no filter `{}`", name.text));
            self.report(report.maybe_hint(near.map(did_you_mean)));
        }
    }

    fn place(&self, each: &Reference<'_>, range: &Range<usize>) -> Range<usize> {
        let start = each.inner.start;
        each.node.locate(self.source, &(start + range.start..start + range.end))
    }

    fn path(&mut self, each: &Reference<'_>, path: &Path<'_>, order: &Order<'_>) {
        let Some((root, range)) = path.names.first() else { return };
        match (*root, path.names.get(1)) {
            ("inputs", Some((name, range))) if !self.inputs.contains_key(*name) => {
                let near = self.nearest(name, self.inputs.keys().map(String::as_str)).map(ToOwned::to_owned);
                let place = self.place(each, range);
                let hint = near.map_or_else(
                    || format!("declare it under `inputs`:  {name}: {{type: string}}"),
                    did_you_mean,
                );
                self.report(
                    Report::error(codes::UNKNOWN_NAME, &place, format!("no input `{name}` is declared"))
                        .hint(hint),
                );
            }
            ("steps", Some((step, range))) => self.step_path(each, path, (step, range), order),
            ("previous", name) => {
                self.previous_path(each, path, range, name.map(|(name, range)| (*name, range)), order)
            }
            ("run", Some((field, range))) if !RUN_FIELDS.iter().any(|(known, _)| known == field) => {
                let place = self.place(each, range);
                let all = listed(RUN_FIELDS.iter().map(|(known, _)| *known));
                self.report(
                    Report::error(codes::UNKNOWN_NAME, &place, format!("`run` has no `{field}`"))
                        .hint(format!("it has {all}")),
                );
            }
            ("inputs" | "steps" | "run", _) => {}
            (root, _) if FUNCTIONS.contains(&root) || each.local.iter().any(|local| local == root) => {}
            (root, _) if LATER_ROOTS.contains(&root) => {
                let place = self.place(each, range);
                self.report(
                    Report::error(
                        codes::NOT_SUPPORTED,
                        &place,
                        format!("`{root}` is not supported yet in this version"),
                    )
                    .hint("there are `inputs`, `steps` and `run`"),
                );
            }
            (root, _) => {
                let place = self.place(each, range);
                let hint = if self.inputs.contains_key(root) {
                    format!("did you mean `inputs.{root}`?")
                } else if self.ids.contains_key(root) {
                    format!("did you mean `steps.{root}`?")
                } else if let Some(answer) = foreign_name_hint(root) {
                    answer.to_owned()
                } else {
                    nearest(root, ["inputs", "steps", "run"]).map_or_else(
                        || "there are `inputs`, `steps` and `run`; a text needs quotes".to_owned(),
                        |near| did_you_mean(near.to_owned()),
                    )
                };
                self.report(
                    Report::error(codes::UNKNOWN_NAME, &place, format!("no value has the name `{root}`"))
                        .hint(hint),
                );
            }
        }
    }

    fn step_path(
        &mut self,
        each: &Reference<'_>,
        path: &Path<'_>,
        (step, range): (&str, &Range<usize>),
        order: &Order<'_>,
    ) {
        let place = self.place(each, range);
        if !self.ids.contains_key(step) {
            let near = self.nearest(step, self.ids.keys().map(String::as_str)).map(ToOwned::to_owned);
            self.report(
                Report::error(codes::UNKNOWN_NAME, &place, format!("there is no step `{step}`"))
                    .maybe_hint(near.map(did_you_mean)),
            );
            return;
        }
        self.step_field(each, path);
        // What could not be read has no place in the order.
        let is_placed = |site: &StepId| order.contains(site.as_str()) && order.contains(step);
        let may_be_open = match each.site {
            Site::Step(site) => is_placed(site) && !order.has_ended(step, site.as_str()),
            Site::Loop(site) => {
                is_placed(site) && !order.has_ended(step, site.as_str()) && !order.is_inside(step, site)
            }
            Site::Unknown | Site::End => false,
            Site::Start => true,
        };
        if may_be_open {
            let hint = match each.site {
                Site::Step(site) if site.as_str() == step => "a step can not read its own result".to_owned(),
                Site::Step(site) => format!("put `{site}` after `{step}`, or add `{step}` to its `needs`"),
                Site::Loop(site) => format!("`until` can read the steps in `{site}` and the steps before it"),
                Site::Start | Site::Unknown | Site::End => "use it in a step that comes after it".to_owned(),
            };
            self.report(
                Report::error(
                    codes::ORDER,
                    &place,
                    format!("`{step}` may not have ended when this is evaluated"),
                )
                .hint(hint),
            );
        }
    }

    fn step_field(&mut self, each: &Reference<'_>, path: &Path<'_>) {
        if let Some((field, range)) = path.names.get(2)
            && !STEP_FIELDS.iter().any(|(known, _)| known == field)
        {
            let place = self.place(each, range);
            let later = LATER_STEP_FIELDS.contains(field);
            let code = if later { codes::NOT_SUPPORTED } else { codes::UNKNOWN_NAME };
            let message = if later {
                format!("`{field}` of a step is not supported yet in this version")
            } else {
                format!("a step has no `{field}`")
            };
            let near = || {
                nearest(field, STEP_FIELDS.iter().map(|(known, _)| *known)).map_or_else(
                    || format!("it has {}", listed(STEP_FIELDS.iter().map(|(known, _)| *known))),
                    |near| did_you_mean(near.to_owned()),
                )
            };
            let hint = foreign_field_hint(field).map_or_else(near, ToOwned::to_owned);
            self.report(Report::error(code, &place, message).hint(hint));
        }
    }

    /// `previous`, and `previous.x`.
    fn previous_path(
        &mut self,
        each: &Reference<'_>,
        path: &Path<'_>,
        root: &Range<usize>,
        step: Option<(&str, &Range<usize>)>,
        order: &Order<'_>,
    ) {
        let around = match each.site {
            // What could not be read stands in no loop.
            Site::Step(site) | Site::Loop(site) if !order.contains(site.as_str()) => return,
            Site::Step(site) => order.loop_around(site.as_str()),
            Site::Loop(site) => Some(site),
            Site::Unknown => return,
            Site::Start | Site::End => None,
        };
        let Some(around) = around else {
            let place = self.place(each, root);
            let report = Report::error(codes::UNKNOWN_NAME, &place, "`previous` is known only in a loop");
            self.report(
                report.hint(
                    "it holds the results of the loop's previous cycle: use it in a step under `repeat`",
                ),
            );
            return;
        };
        let Some((step, range)) = step else { return };
        if self.ids.contains_key(step) && !order.contains(step) {
            return;
        }
        if !order.is_inside(step, around) {
            let place = self.place(each, range);
            let near = self.nearest(step, order.inside(around).map(StepId::as_str)).map(ToOwned::to_owned);
            let message = format!("the loop has no step `{step}`");
            self.report(
                Report::error(codes::UNKNOWN_NAME, &place, message).maybe_hint(near.map(did_you_mean)),
            );
            return;
        }
        self.step_field(each, path);
    }

    fn type_of(&self, path: &Path<'_>) -> Type {
        let names: Vec<&str> = path.names.iter().map(|(name, _)| *name).collect();
        type_of(&self.inputs, &names)
    }

    /// `path == literal` and `literal == path`.
    fn comparison(&mut self, each: &Reference<'_>, words: &[Token<'_>], path: &Path<'_>) {
        let after = words.get(path.words.end).zip(words.get(path.words.end + 1));
        let before = path.words.start.checked_sub(2).map(|at| (&words[at + 1], &words[at]));
        let Some((_, literal)) =
            [after, before].into_iter().flatten().find(|(operator, _)| matches!(operator.text, "==" | "!="))
        else {
            return;
        };
        let is = self.type_of(path);
        let compared = match (literal.kind, literal.text) {
            (TokenKind::Text, _) => Type::Text,
            (TokenKind::Number, _) => Type::Number,
            (TokenKind::Name, "true" | "false" | "True" | "False") => Type::Boolean,
            _ => return,
        };
        let place = self.place(each, &literal.range);
        let text = literal.text.trim_matches(['\'', '"']);
        if is != Type::Any && is != compared {
            let name = path.names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(".");
            let hint = match is {
                Type::Number => format!("write `{text}` without quotes"),
                Type::Boolean => format!("write `{name}` or `not {name}`"),
                Type::Text | Type::Any => format!("write `'{text}'`"),
            };
            let message =
                format!("`{name}` is {}, this is {}: they are never equal", is.name(), compared.name());
            self.report(Report::error(codes::COMPARED_TYPES, &place, message).hint(hint));
        } else if path.names.len() == 3
            && matches!(path.names[0].0, "steps" | "previous")
            && path.names[2].0 == "status"
            && !STATUSES.contains(&text)
        {
            let report =
                Report::error(codes::UNKNOWN_STATUS, &place, format!("no step has the status `{text}`"));
            self.report(report.hint(format!("a status is one of {}", listed(STATUSES.iter().copied()))));
        }
    }
}

fn type_of(inputs: &BTreeMap<String, Option<InputType>>, names: &[&str]) -> Type {
    let field = |fields: &[(&str, Type)], name: &str| {
        fields.iter().find(|(known, _)| *known == name).map_or(Type::Any, |(_, found)| *found)
    };
    match names {
        ["steps" | "previous", _, name] => field(STEP_FIELDS, name),
        ["run", name] => field(RUN_FIELDS, name),
        ["inputs", name] => match inputs.get(*name) {
            Some(Some(InputType::String | InputType::Script)) => Type::Text,
            Some(Some(InputType::Number)) => Type::Number,
            Some(Some(InputType::Boolean)) => Type::Boolean,
            _ => Type::Any,
        },
        _ => Type::Any,
    }
}

/// The kind of the text of the value that a dotted name stands for.
pub(super) fn value_kind(inputs: &BTreeMap<String, Option<InputType>>, names: &[&str]) -> ValueKind {
    match type_of(inputs, names) {
        Type::Number => ValueKind::Number,
        Type::Boolean => ValueKind::Boolean,
        Type::Text | Type::Any => ValueKind::Text,
    }
}

fn did_you_mean(near: String) -> String {
    format!("did you mean `{near}`?")
}

/// The names that `for` and `set` define in a text.
fn locals(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for block in text.split("${%").skip(1) {
        let words = tokens(block.split_once("%}").map_or(block, |(inner, _)| inner));
        if !matches!(words.first().map(|word| word.text), Some("for" | "set")) {
            continue;
        }
        let until = words.iter().position(|word| matches!(word.text, "in" | "=")).unwrap_or(words.len());
        let names = words[1..until].iter().filter(|word| word.kind == TokenKind::Name);
        found.extend(names.map(|word| word.text.to_owned()));
    }
    found
}
