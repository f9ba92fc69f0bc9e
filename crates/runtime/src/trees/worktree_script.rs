//! The script that makes a worktree.

use backstay_engine::run::WorktreeTask;

/// What makes it: safe to do again after any crash.
const SCRIPT: &str = include_str!("worktree.sh");

/// The script that makes the worktree and sets it up, with the variables that it reads.
pub(crate) fn worktree_script(task: &WorktreeTask) -> (String, Vec<(String, String)>) {
    let variable = |name: &str, value: &Option<String>| {
        (format!("BACKSTAY_WORKTREE_{name}"), value.as_deref().unwrap_or_default().to_owned())
    };
    let variables =
        vec![variable("BRANCH", &task.branch), variable("FROM", &task.from), variable("STEP", &task.step)];
    let mut script = SCRIPT.to_owned();
    if let Some(setup) = &task.setup {
        script.push_str(setup);
        script.push('\n');
    }
    (script, variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sets_a_worktree_up_runs_in_it_once_it_is_made() {
        let task = WorktreeTask {
            branch: Some("b-x'y".to_owned()),
            from: None,
            step: Some("a".to_owned()),
            setup: Some("make deps".to_owned()),
        };
        let (script, variables) = worktree_script(&task);
        assert!(script.ends_with("cd -- \"$here\"\nmake deps\n"), "{script}");
        let value = |name: &str| {
            let name = format!("BACKSTAY_WORKTREE_{name}");
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
        };
        assert_eq!((value("BRANCH"), value("FROM"), value("STEP")), (Some("b-x'y"), Some(""), Some("a")));
    }
}
