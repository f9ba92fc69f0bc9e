//! How the working folder stands to git. Nothing that a repository names is run.

use backstay_model::Coded as _;
use backstay_runtime::{Checkout, CheckoutHead, CheckoutState, CheckoutSummary, TreeError};
use camino::Utf8Path;

use super::findings::{Finding, Health, Part};
use crate::context::Context;
use crate::error::CliError;
use crate::output::describe_any;

/// What is found of the checkout around the working folder.
pub(super) async fn findings(context: &Context) -> Result<Vec<Finding>, CliError> {
    let (cwd, path) = (context.cwd.clone(), context.env.get("PATH").cloned());
    let looked = tokio::task::spawn_blocking(move || match CheckoutState::of(&cwd) {
        CheckoutState::Outside => vec![outside(&cwd)],
        CheckoutState::Unusable(error) => vec![unusable(&error)],
        CheckoutState::Usable(checkout) => match checkout.summary(path.as_deref()) {
            Ok(summary) => usable(&checkout, &summary),
            Err(error) => vec![unusable(&error)],
        },
    });
    Ok(looked.await?)
}

fn finding(health: Health, found: String) -> Finding {
    Finding::new(Part::Checkout, "git checkout", health, found)
}

fn outside(cwd: &Utf8Path) -> Finding {
    finding(Health::Absent, format!("{cwd} is in none: what steps change is not kept"))
}

fn unusable(error: &TreeError) -> Finding {
    let found = format!("{}: what steps change is not kept", describe_any(error));
    match error.hint() {
        Some(hint) => finding(Health::Look, found).with_next(hint),
        None => finding(Health::Look, found),
    }
}

fn usable(checkout: &Checkout, summary: &CheckoutSummary) -> Vec<Finding> {
    let root = checkout.root();
    let mut findings = vec![match &summary.head {
        CheckoutHead::Branch(branch) => finding(Health::Good, format!("{root}, on {branch}")),
        CheckoutHead::Detached(commit) => finding(Health::Good, format!("{root}, at {commit}, on no branch")),
        CheckoutHead::NoCommit(branch) => {
            finding(Health::Look, format!("{root}, on {branch}, which has no commit: worktrees need one"))
                .with_next("git add . && git commit")
        }
    }];
    if let Some(lock) = &summary.index_lock {
        let found = format!("{lock} is there: git commands that write to the index fail");
        findings.push(
            Finding::new(Part::Checkout, "index", Health::Look, found)
                .with_next("if no git is at work, remove it"),
        );
    }
    for filter in &summary.missing_filters {
        let found = format!(
            "`{}` needs `{}`, which is not found: files that it has to convert are not looked at",
            filter.name, filter.program
        );
        findings.push(
            Finding::new(Part::Checkout, "filter", Health::Look, found)
                .with_next(format!("install {}, or put it on PATH", filter.program)),
        );
    }
    findings
}
