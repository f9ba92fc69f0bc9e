//! `workspace`: the folder that steps work in.
//!
//! A worktree is made by a step of its own, which stands before the step that asks for it. So it is seen, logged, tried
//! again and recovered like any other.

use std::ops::Range;

use backstay_model::StepId;

use super::keys;
use super::reader::{Reader, Report, first_line};
use super::references::Site;
use super::step::Draft;
use crate::codes;
use crate::expression::{Template, TemplateKind};
use crate::plan::{AfterCrash, Step, Verb, Worktree};
use crate::yaml::{Entry, Kind, Node};

/// The id of the step that makes the worktree of a whole run. The worktree of a step is made by `STEP_worktree`.
const WORKTREE_ID: &str = "worktree";

/// The folder that a step with `workspace` works in, and all steps in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Workspace {
    /// The run's own folder.
    Here,
    /// The worktree that the step `by` makes; `range` is the key in the file.
    Made { by: StepId, range: Range<usize> },
}

/// The value of a `workspace`.
enum WorkspaceRequest {
    Here,
    Worktree(Box<Worktree>),
}

impl Reader<'_> {
    /// Reads `workspace` of a step. Returns the step that makes its worktree, if it has one.
    pub(super) fn workspace_of_step(&mut self, entry: &Entry, draft: &mut Draft) -> Option<Draft> {
        let name = draft.id.as_ref().map(|id| format!("{id}_{WORKTREE_ID}"));
        let by = name.as_ref().and_then(|name| name.parse::<StepId>().ok());
        let request = self.workspace(&entry.value, &by.map_or(Site::Unknown, Site::Step))?;
        let (id, name) = draft.id.clone().zip(name)?;
        let worktree = match request {
            WorkspaceRequest::Here => {
                self.workspaces.insert(id, Workspace::Here);
                return None;
            }
            WorkspaceRequest::Worktree(worktree) => *worktree,
        };
        let by = self.worktree_id(&name, &entry.key.range)?;
        let range = entry.key.range.clone();
        self.workspaces.insert(id, Workspace::Made { by: by.clone(), range: range.clone() });
        let maker = Draft {
            id: Some(by.clone()),
            // A skipped step needs no worktree.
            step: draft.step.as_ref().map(|step| worktree_step(by.clone(), worktree, step.condition.clone())),
            needs: draft.needs.clone(),
        };
        if let Some(needs) = &mut draft.needs {
            needs.push((by, range));
        }
        Some(maker)
    }

    /// Reads `workspace` of the whole file and sets the workspace of every step. `finally` works in the run's own folder: the
    /// worktree may not exist.
    pub(super) fn workspaces(&mut self, entry: Option<&Entry>, steps: &mut Vec<Step>, finally: &mut [Step]) {
        let mut whole = None;
        if let Some(entry) = entry
            && let Some(WorkspaceRequest::Worktree(worktree)) = self.workspace(&entry.value, &Site::Start)
            && let Some(by) = self.worktree_id(WORKTREE_ID, &entry.key.range)
        {
            for step in steps.iter_mut().filter(|step| step.needs.is_empty()) {
                step.needs.push(by.clone());
            }
            steps.insert(0, worktree_step(by.clone(), *worktree, None));
            whole = Some(by);
        }
        self.assign_workspaces(steps, whole.as_ref(), false);
        self.assign_workspaces(finally, None, false);
    }

    fn assign_workspaces(&mut self, steps: &mut [Step], around: Option<&StepId>, in_loop: bool) {
        for step in steps {
            let own = self.workspaces.get(&step.id).cloned();
            let workspace = match own {
                None => around.cloned(),
                Some(Workspace::Here) => None,
                Some(Workspace::Made { by, range }) => {
                    if in_loop {
                        let message =
                            "a worktree for each cycle of a loop is not supported yet in this version";
                        self.report(
                            Report::error(codes::NOT_SUPPORTED, &range, message)
                                .hint("write `workspace` at the loop itself: all cycles work in one"),
                        );
                    }
                    Some(by)
                }
            };
            let in_loop = in_loop || step.repeat.is_some();
            if let Verb::Group { steps } = &mut step.verb {
                self.assign_workspaces(steps, workspace.as_ref(), in_loop);
            }
            // The step that makes a worktree works in the checkout.
            if !matches!(step.verb, Verb::Worktree(_)) {
                step.workspace = workspace;
            }
        }
    }

    fn workspace(&mut self, node: &Node, site: &Site) -> Option<WorkspaceRequest> {
        #[derive(Clone, Copy)]
        enum Word {
            Here,
            Worktree,
        }
        let Kind::Map(_) = &node.kind else {
            let words = [("here", Word::Here), ("worktree", Word::Worktree)];
            return Some(match self.word(node, "`workspace`", &words)? {
                Word::Here => WorkspaceRequest::Here,
                Word::Worktree => WorkspaceRequest::Worktree(Box::default()),
            });
        };
        let fields = self.fields(node, &keys::WORKSPACE);
        let Some(inner) = fields.get("worktree") else {
            let range = first_line(self.source, &node.range);
            let report = Report::error(codes::MISSING_KEY, &range, "`workspace` needs `worktree`");
            self.report(
                report.hint("for example `workspace: {worktree: {branch: fix}}`, or `workspace: here`"),
            );
            return None;
        };
        let fields = self.fields(inner, &keys::WORKTREE);
        let mut text = |key: &str| -> Option<Template> {
            let node = fields.get(key)?;
            let text = self.text(node, &format!("`{key}`"))?.to_owned();
            self.template(node, &text, TemplateKind::Text, site)
        };
        let (branch, from) = (text("branch"), text("from"));
        let setup = fields.get("setup").and_then(|node| self.script(node, "`setup`", site, None));
        Some(WorkspaceRequest::Worktree(Box::new(Worktree { branch, from, setup })))
    }

    /// The id of a step that makes a worktree.
    fn worktree_id(&mut self, name: &str, range: &Range<usize>) -> Option<StepId> {
        let Ok(id) = name.parse::<StepId>() else {
            let message = format!("the step that makes the worktree can not be called `{name}`");
            self.report(Report::error(codes::INVALID_ID, range, message).hint("give the step a shorter id"));
            return None;
        };
        if self.ids.contains_key(name) {
            let message = format!("the worktree needs a step `{name}`, and another step has this id");
            self.report(Report::error(codes::DUPLICATE_ID, range, message).hint("give that step another id"));
            return None;
        }
        self.ids.insert(name.to_owned(), range.clone());
        Some(id)
    }
}

/// The step that makes a worktree. After a crash it runs again, and finds what its first attempt had made.
fn worktree_step(id: StepId, worktree: Worktree, condition: Option<crate::expression::Expression>) -> Step {
    Step { condition, after_crash: AfterCrash::Rerun, ..Step::bare(id, Verb::Worktree(worktree)) }
}
