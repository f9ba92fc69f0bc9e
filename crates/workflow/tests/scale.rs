//! What the largest workflows cost: the time of a check, and the size of the plan that comes of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use backstay_model::limits::STEPS_MAX;
use backstay_workflow::plan::{GROUP_DEPTH_MAX, Plan};
use backstay_workflow::{CheckInput, Checked, Diagnostic, apply_fixes, check};

/// The bound on one check of the largest file. An unoptimized build on a quiet machine takes one to two seconds; tests share the
/// processors with each other. A check that looks at every step for each step takes minutes.
const CHECK_TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes of the stored plan for one step that only has a short script.
const STORED_BYTES_PER_STEP_MAX: usize = 600;

fn checked(text: &str) -> Result<Checked, Vec<Diagnostic>> {
    check(&CheckInput {
        path: "large.yaml",
        text,
        read_file: &|_| Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        schema_fault: &|_| None,
        reading_fault: &|_| None,
        agents: BTreeMap::new(),
        presets: BTreeMap::new(),
    })
}

/// A workflow with these lines under `steps`.
fn workflow(steps: impl IntoIterator<Item = String>) -> String {
    let mut text = "backstay: 1\nname: large\ninputs: {what: {default: it}}\nsteps:\n".to_owned();
    text.extend(steps);
    text
}

/// `count` steps in plain order.
fn plain_list(count: usize) -> String {
    workflow((0..count).map(|n| format!("  - {{id: s{n}, run: make}}\n")))
}

/// Groups in groups: 10 in each, `count` steps in all.
fn groups_of_groups(count: usize) -> String {
    let mut steps = String::new();
    for n in 0..count {
        let depth = if n % 100 == 0 {
            0
        } else if n % 100 % 33 == 1 {
            1
        } else if n % 100 % 11 == 2 {
            2
        } else {
            3
        };
        let blank = "    ".repeat(depth);
        steps.push_str(&match depth {
            3 => format!("  {blank}- {{id: s{n}, run: make}}\n"),
            _ => format!("  {blank}- id: s{n}\n  {blank}  steps:\n"),
        });
    }
    workflow([steps])
}

fn edges(plan: &Plan) -> usize {
    plan.walk().map(|step| step.needs.len()).sum()
}

/// Workflows of `n` steps without a mistake.
fn good_workflows(n: usize) -> Vec<(&'static str, String)> {
    let each = |line: &dyn Fn(usize) -> String| workflow((0..n).map(line));
    vec![
        ("plain list", plain_list(n)),
        ("side by side", each(&|n| format!("  - {{id: s{n}, run: make, needs: []}}\n"))),
        (
            "side by side, then one for all",
            each(&|n| match n % 100 {
                99 => format!("  - {{id: s{n}, run: make}}\n"),
                _ => format!("  - {{id: s{n}, run: make, needs: []}}\n"),
            }),
        ),
        (
            "each reads the one before",
            each(&|n| {
                let before = n.saturating_sub(1);
                match n {
                    0 => "  - {id: s0, run: make}\n".to_owned(),
                    _ => format!("  - {{id: s{n}, run: make, if: steps.s{before}.ok}}\n"),
                }
            }),
        ),
        (
            "a chain of needs that reads the first",
            each(&|n| match n {
                0 => "  - {id: s0, run: make, needs: []}\n".to_owned(),
                _ => format!("  - {{id: s{n}, run: make, needs: [s{}], if: steps.s0.ok}}\n", n - 1),
            }),
        ),
        ("groups of groups", groups_of_groups(n)),
        (
            "loops",
            workflow((0..n / 2).map(|n| {
                format!(
                    "  - id: loop{n}\n    repeat: {{until: steps.in{n}.exit_code == 0, max_cycles: 2}}\n    steps:\n      - \
                     {{id: in{n}, run: make, accept_exit: 0-9, if: not previous or not previous.in{n}.ok}}\n"
                )
            })),
        ),
        (
            "worktrees",
            workflow((0..n / 2).map(|n| format!("  - {{id: s{n}, run: make, workspace: worktree}}\n"))),
        ),
    ]
}

/// Workflows of `n` steps with a mistake in each.
fn bad_workflows(n: usize) -> Vec<(&'static str, String)> {
    let each = |line: &dyn Fn(usize) -> String| workflow((0..n).map(line));
    vec![
        ("one id for all", each(&|_| "  - {id: same, run: make}\n".to_owned())),
        ("unknown keys", each(&|n| format!("  - {{id: s{n}, run: make, key{n}: 1}}\n"))),
        ("unknown needs", each(&|n| format!("  - {{id: s{n}, run: make, needs: [z{n}]}}\n"))),
        ("unknown steps", each(&|n| format!("  - {{id: s{n}, run: make, if: steps.z{n}.ok}}\n"))),
        (
            "steps read too early",
            each(&|n| format!("  - {{id: s{n}, run: make, if: steps.s{}.ok}}\n", n + 1)),
        ),
        ("circles", each(&|n| format!("  - {{id: s{n}, run: make, needs: [s{}]}}\n", n ^ 1))),
        ("a circle of all", each(&|m| format!("  - {{id: s{m}, run: make, needs: [s{}]}}\n", (m + 1) % n))),
        ("tags", each(&|n| format!("  - {{id: s{n}, run: !x make}}\n"))),
        ("anchors", each(&|n| format!("  - {{id: s{n}, run: &a{n} make}}\n"))),
        ("unknown agents", each(&|n| format!("  - {{id: s{n}, agent: codx, prompt: x}}\n"))),
        ("numbers for texts", each(&|n| format!("  - {{id: s{n}, run: make, description: 5}}\n"))),
        (
            "wrapped expressions",
            each(&|n| format!("  - {{id: s{n}, run: make, if: \"${{{{ run.ok }}}}\"}}\n")),
        ),
    ]
}

/// What `work` gives, and how long it takes.
#[expect(clippy::disallowed_methods, reason = "the time of the check is what is measured")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// Checks one text within [`CHECK_TIME_MAX`].
fn checked_in_time(name: &str, text: &str) -> Result<Checked, Vec<Diagnostic>> {
    let (result, took) = timed(|| checked(text));
    assert!(took < CHECK_TIME_MAX, "{name}: {took:?}");
    result
}

#[test]
fn the_largest_good_workflows_are_checked_in_time_and_their_plans_grow_with_their_steps() {
    for (name, text) in good_workflows(STEPS_MAX) {
        let plan =
            checked_in_time(name, &text).unwrap_or_else(|all| panic!("{name}: {}", all[0].message)).plan;
        let steps = plan.walk().count();
        assert_eq!(steps, STEPS_MAX, "{name}");
        assert!(edges(&plan) < steps, "{name}: {} needs", edges(&plan));
        let stored = serde_json::to_string(&plan).unwrap();
        assert!(stored.len() / steps < STORED_BYTES_PER_STEP_MAX, "{name}: {} bytes", stored.len());
    }
}

#[test]
fn large_workflows_with_a_mistake_in_each_step_are_checked_in_time() {
    let steps = STEPS_MAX / 4;
    for (name, text) in bad_workflows(steps) {
        let said = match checked_in_time(name, &text) {
            Ok(checked) => checked.warnings,
            Err(diagnostics) => diagnostics,
        };
        let is_told_of_circles = name.contains("circle");
        assert!(is_told_of_circles || said.len() + 1 >= steps, "{name}: {} diagnostics", said.len());
        // To draw them takes no longer.
        let draw = || said.iter().map(|diagnostic| diagnostic.render(&text, 92).len()).sum::<usize>();
        let (drawn, took) = timed(draw);
        assert!(drawn > 0 && took < CHECK_TIME_MAX, "{name}: {took:?}");
    }
}

#[test]
fn all_edits_of_a_large_workflow_are_made_at_once() {
    let steps = STEPS_MAX / 4;
    let line = |n| format!("  - {{id: s{n}, run: make, description: {n}}}\n");
    let text = workflow((0..steps).map(line));
    let said = checked_in_time("numbers for texts", &text).unwrap_err();
    let fixed = apply_fixes(&text, &said);
    assert_eq!(fixed.edits, steps);
    assert_eq!(checked(&fixed.text).unwrap().plan.walk().count(), steps);
}

#[test]
fn one_step_more_than_the_limit_is_refused() {
    let said = checked(&plain_list(STEPS_MAX + 1)).unwrap_err();
    let said: Vec<String> = said.iter().map(|said| format!("{} {}", said.code, said.message)).collect();
    assert_eq!(said, ["BKS-W013 the workflow has 10001 steps, and at most 10000 are allowed"]);
}

#[test]
fn a_script_with_a_value_in_each_line_is_checked_in_time() {
    let lines = STEPS_MAX / 4;
    for (name, line) in [
        ("values", &(|n| format!("      echo ${{{{ inputs.what ~ '{n}' }}}}\n")) as &dyn Fn(usize) -> String),
        ("variables", &|n| format!("      v{n}=\"${{{{ inputs.what }}}}$v{}\"\n", n.saturating_sub(1))),
        ("functions", &|n| format!("      f{n}() {{ echo \"${{{{ inputs.what }}}}\"; }}; f{n} \"$v\"\n")),
    ] {
        let script: String = (0..lines).map(line).collect();
        let text = workflow([format!("  - id: long\n    run: |\n{script}")]);
        let plan =
            checked_in_time(name, &text).unwrap_or_else(|all| panic!("{name}: {}", all[0].message)).plan;
        assert_eq!(plan.walk().count(), 1);
    }
}

/// One step inside `groups` groups.
fn deep(groups: usize) -> String {
    let mut text = "backstay: 1\nname: deep\nsteps:\n".to_owned();
    for n in 0..groups {
        let blank = "  ".repeat(2 * n + 1);
        text.push_str(&format!("{blank}- id: g{n}\n{blank}  steps:\n"));
    }
    text.push_str(&format!(
        "{}- {{id: inner, run: 'echo ${{{{ run.id }}}}'}}\n",
        "  ".repeat(2 * groups + 1)
    ));
    text
}

/// A workflow with an input whose default is one list in another, `lists` in all.
fn deep_value(lists: usize) -> String {
    let value = format!("{}1{}", "[".repeat(lists), "]".repeat(lists));
    format!(
        "backstay: 1\nname: deep\ninputs: {{it: {{type: list, default: {value}}}}}\nsteps: [{{id: a, run: make}}]\n"
    )
}

#[test]
fn what_is_nested_as_deep_as_allowed_can_be_stored_and_one_level_more_is_refused() {
    // The file, `inputs` and the input are three of the hundred levels.
    for (allowed, refused, expected) in [
        (deep(GROUP_DEPTH_MAX), deep(GROUP_DEPTH_MAX + 1), "BKS-W043 a group inside 16 others"),
        (deep_value(97), deep_value(98), "BKS-W001 more than 100 lists and mappings inside each other"),
    ] {
        let plan = checked(&allowed).unwrap_or_else(|all| panic!("{}", all[0].message)).plan;
        let stored = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&stored).unwrap(), plan);
        let said = checked(&refused).unwrap_err();
        assert_eq!(format!("{} {}", said[0].code, said[0].message), expected);
    }
}

#[test]
fn no_file_nests_so_deep_that_the_check_ends_the_process() {
    let block: String = (0..5_000).map(|n| format!("{}- \n", " ".repeat(n))).collect();
    let aliases: String = (0..5_000).map(|n| format!("x{}: &a{} [*a{n}]\n", n + 1, n + 1)).collect();
    for text in
        ["[".repeat(100_000), "- ".repeat(100_000), block, format!("x0: &a0 1\n{aliases}"), deep(2_000)]
    {
        let said = checked(&text).unwrap_err();
        assert!(!said.is_empty());
    }
}
