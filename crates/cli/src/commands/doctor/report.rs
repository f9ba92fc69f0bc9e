//! The page of what was found.

use super::findings::{Finding, Health, Part, Report};
use crate::ui::{Line, Paint, width, wrapped};

/// Columns in front of what was found, apart from its name.
const INDENT: usize = 5;

/// The page, in lines of at most `columns`.
pub(super) fn lines(report: &Report, columns: usize) -> Vec<Line> {
    let mut lines = vec![
        Line::of(Paint::Plain, " ").with(Paint::Bold, format!("backstay {}", report.version)),
        Line::of(Paint::Plain, " ").with(Paint::Dim, &report.program),
    ];
    let widest = report.findings.iter().map(|finding| width(&finding.what)).max().unwrap_or(0);
    for part in Part::ALL {
        let findings: Vec<&Finding> = report.findings.iter().filter(|finding| finding.part == part).collect();
        if findings.is_empty() {
            continue;
        }
        lines.push(Line::default());
        lines.push(Line::of(Paint::Dim, format!(" {}", part.title())));
        lines.extend(findings.into_iter().flat_map(|finding| rows(finding, widest, columns)));
    }
    lines.push(Line::default());
    lines.push(verdict(report));
    lines
}

fn rows(finding: &Finding, widest: usize, columns: usize) -> Vec<Line> {
    let (paint, mark) = match finding.health {
        Health::Good => (Paint::Good, "✓"),
        Health::Absent => (Paint::Dim, "─"),
        Health::Look => (Paint::Warn, "!"),
        Health::Bad => (Paint::Bad, "✗"),
    };
    let at = INDENT + widest;
    let text = match finding.health {
        Health::Absent => Paint::Dim,
        Health::Good | Health::Look | Health::Bad => Paint::Plain,
    };
    let found = wrapped(&finding.found, columns.saturating_sub(at).max(20));
    let mut lines: Vec<Line> = found
        .iter()
        .enumerate()
        .map(|(index, part)| {
            let begin = match index {
                0 => Line::of(Paint::Plain, " ")
                    .with(paint, mark)
                    .with(Paint::Plain, " ")
                    .with(Paint::Bold, &finding.what),
                _ => Line::default(),
            };
            begin.filled_to(at).with(text, part)
        })
        .collect();
    if let Some(next) = &finding.next {
        let next = wrapped(next, columns.saturating_sub(at + 2).max(20));
        lines.extend(next.iter().enumerate().map(|(index, part)| {
            let arrow = if index == 0 { "→ " } else { "  " };
            Line::default().filled_to(at).with(Paint::Dim, arrow).with(Paint::Dim, part)
        }));
    }
    lines
}

fn verdict(report: &Report) -> Line {
    let things = |count: usize| if count == 1 { "1 thing".to_owned() } else { format!("{count} things") };
    let (paint, text) = match (report.bad(), report.to_look_at()) {
        (0, 0) => (Paint::Good, "nothing stands in the way".to_owned()),
        (0, look) => (Paint::Warn, format!("nothing stands in the way; {} to look at", things(look))),
        (1, _) => (Paint::Bad, "1 thing stands in the way".to_owned()),
        (bad, _) => (Paint::Bad, format!("{} stand in the way", things(bad))),
    };
    Line::of(Paint::Plain, " ").with(paint, text)
}

#[cfg(test)]
mod tests {
    use backstay_engine::record::{LimitWait, RunStatus, RunSummary};
    use backstay_log::{HostId, OwnerIdentity, OwnerState, OwnerView};
    use backstay_model::{Epoch, Seq};
    use backstay_runtime::{Room, RunRow};

    use super::super::look::{agent, program};
    use super::super::store::{log_and_disk, owners, still};
    use super::*;
    use crate::found::{FoundAgent, Login, Program};
    use crate::ui::{Style, Times};

    fn found(name: &str, version: &str, login: Login) -> FoundAgent {
        let program = Program::Found { version: Some(version.to_owned()) };
        FoundAgent { name: name.to_owned(), program, login: Some(login) }
    }

    fn agents() -> Vec<FoundAgent> {
        let why = "`opencode --version` had not ended after 10s".to_owned();
        vec![
            found("codex", "codex-cli 0.169.0", Login::Found { by: "`codex login status`".to_owned() }),
            found(
                "claude",
                "2.1.329 (Claude Code)",
                Login::Missing { by: "`claude auth status`".to_owned() },
            ),
            found("gemini", "0.61.0", Login::Unknown { why: "it has no command that tells".to_owned() }),
            FoundAgent { name: "opencode".to_owned(), program: Program::Troubled { why }, login: None },
            FoundAgent { name: "mine".to_owned(), program: Program::Missing, login: None },
        ]
    }

    fn run(number: char, workflow: &str, status: RunStatus) -> RunRow {
        let run = format!("run_01M7YH{number}VR5X692H0T19ASX0GMM").parse().unwrap();
        let summary = RunSummary {
            v: 1,
            run,
            workflow: workflow.to_owned(),
            status,
            steps_done: 3,
            steps_total: 12,
            at: Vec::new(),
            why: None,
            question: None,
            next_timer: None,
            limit: None,
            retry: None,
        };
        let wake_at = (status == RunStatus::Running).then(|| "2026-11-21T10:26:40Z".parse().unwrap());
        RunRow { run, summary, owner: None, wake_at, head: Seq(9) }
    }

    fn runs() -> Vec<RunRow> {
        let identity = OwnerIdentity {
            owner: "own_01M7YH0VR5X692H0T19ASX0GMM".parse().unwrap(),
            host: "kite".to_owned(),
            host_id: HostId::new("4f".to_owned()),
            pid: 4_121,
        };
        let owned = OwnerView { identity, epoch: Epoch(1), state: OwnerState::Held };
        let mut parked = run('3', "nightly", RunStatus::Running);
        let until = "2026-11-21T14:05:00Z".parse().unwrap();
        parked.summary.limit = Some(LimitWait { agent: "codex".to_owned(), until, is_end_known: true });
        let mut suspended = run('5', "a-workflow-with-a-rather-long-name", RunStatus::Suspended);
        suspended.summary.why = Some("by ada (command line)".to_owned());
        let at_work =
            |number| RunRow { owner: Some(owned.clone()), ..run(number, "ship", RunStatus::Running) };
        vec![
            at_work('1'),
            at_work('2'),
            parked,
            run('4', "review", RunStatus::Running),
            suspended,
            run('6', "review", RunStatus::Waiting),
            run('7', "review", RunStatus::Completed),
        ]
    }

    fn report(free_bytes: u64) -> Report {
        let times = Times::utc("2026-11-21T10:26:40Z".parse().unwrap());
        let room = Room { database_bytes: 41 << 20, free_bytes, ballast_bytes: 4 << 20 };
        let mut findings: Vec<Finding> = agents().iter().map(agent).collect();
        let version = Program::Found { version: Some("git version 2.47.1".to_owned()) };
        findings.push(program("git", Health::Look, "worktrees need it", version));
        findings.push(program("awk", Health::Absent, "only `demo` uses it", Program::Missing));
        findings.push(Finding::new(Part::Store, "folder", Health::Good, "/home/ada/acme/api/.backstay"));
        findings.extend(log_and_disk(&runs(), room));
        findings.extend(owners(&runs(), &times));
        findings.extend(still(&runs(), &times));
        let program = "/home/ada/.cargo/bin/backstay".to_owned();
        Report { version: "0.1.0", program, agents: agents(), findings }
    }

    fn screen(report: &Report, columns: usize) -> String {
        let lines = lines(report, columns);
        lines.iter().map(|line| line.render(Style::default(), columns) + "\n").collect()
    }

    #[test]
    fn doctor_tells_all_of_it_in_80_columns() {
        insta::assert_snapshot!(screen(&report(100 << 30), 80));
    }

    #[test]
    fn what_stands_in_the_way_is_counted() {
        assert_eq!((report(100 << 30).bad(), report(1 << 29).bad(), report(1 << 20).bad()), (0, 0, 1));
        let screen = screen(&report(1 << 20), 80);
        assert!(screen.ends_with(" 1 thing stands in the way\n"), "{screen}");
    }

    #[test]
    fn doctor_says_the_same_to_programs() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&report(100 << 30).agents).unwrap());
    }
}
