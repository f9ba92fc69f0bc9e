//! `check --fix`: after each edit the value is what the author wrote; where that is not sure, there is no edit.

use std::collections::BTreeMap;
use std::io;

use backstay_model::event::Access;
use backstay_testkit::{Random, mutate};
use backstay_workflow::plan::{Plan, Verb};
use backstay_workflow::{
    CheckInput, Checked, Diagnostic, PresetTraits, Repair, Severity, Withheld, apply_fixes, check,
};

fn checked(text: &str) -> Result<Checked, Vec<Diagnostic>> {
    check(&CheckInput {
        path: "flow.yaml",
        text,
        read_file: &|_| Err(io::Error::from(io::ErrorKind::NotFound)),
        schema_fault: &|_| None,
        reading_fault: &|_| None,
        agents: BTreeMap::new(),
        presets: BTreeMap::from([("codex".to_owned(), able())]),
    })
}

fn able() -> PresetTraits {
    PresetTraits { access: [Access::Write].into(), ..PresetTraits::default() }
}

fn diagnostics(text: &str) -> Vec<Diagnostic> {
    match checked(text) {
        Ok(checked) => checked.warnings,
        Err(diagnostics) => diagnostics,
    }
}

/// What `check --fix` makes of the text: edits as long as there are any.
fn mended(text: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..20 {
        let fixed = apply_fixes(&text, &diagnostics(&text));
        if fixed.edits == 0 {
            return text;
        }
        text = fixed.text;
    }
    panic!("there is always another edit:\n{text}");
}

fn plan(text: &str) -> Plan {
    match checked(text) {
        Ok(checked) => checked.plan,
        Err(all) => panic!("{text}\n{}", all.iter().map(|said| said.render(text, 92)).collect::<String>()),
    }
}

/// The scripts and prompts of the plan, in order.
fn texts(plan: &Plan) -> Vec<String> {
    plan.walk()
        .filter_map(|step| match &step.verb {
            Verb::Run { script, .. } => Some(script.text.clone()),
            Verb::Agent { prompt, .. } => Some(prompt.source.clone()),
            Verb::Command { .. } | Verb::Group { .. } | Verb::Worktree(_) => None,
        })
        .collect()
}

fn withheld(text: &str) -> Vec<Withheld> {
    diagnostics(text)
        .iter()
        .filter_map(|said| match said.repair {
            Repair::Withheld(why) => Some(why),
            Repair::Unknown | Repair::Edit(_) => None,
        })
        .collect()
}

#[test]
fn an_edit_leaves_the_value_that_was_written() {
    let step = |lines: &str| format!("backstay: 1\nsteps:\n  - id: a\n{lines}");
    for (text, expected) in [
        (step("    agent: codex\n    prompt: Fix #12 and go\n"), "Fix #12 and go"),
        (step("    agent: codex\n    prompt: Fix #12 and go # soon\n"), "Fix #12 and go"),
        (step("    agent: codex\n    prompt: Do it: now # soon\n"), "Do it: now"),
        (step("    agent: codex\n    prompt: Do it: now  #soon\n"), "Do it: now"),
        (step("    agent: codex\n    prompt: @codex say \"hi\"\n"), "@codex say \"hi\""),
        (step("    agent: codex\n    prompt: Fix it,\n      and #12 too\n"), "Fix it, and #12 too"),
        (step("    run: *.sh && ls\n"), "*.sh && ls"),
        (step("    run: &x echo a: b\n"), "echo a: b"),
        ("backstay: 1\nsteps:\n  - {id: a, run: echo a, b, c}\n".to_owned(), "echo a, b, c"),
        ("backstay: 1\nsteps:\n\t- id: a\n\t  run: make all\n".to_owned(), "make all"),
        ("backstay: 1\nsteps:\n  - id: a\n\trun: make all\n".to_owned(), "make all"),
        ("{steps: [{id: a, run: make all}]}\n".to_owned(), "make all"),
        ("# mine\n---\nsteps: [{id: a, run: make all}]\n".to_owned(), "make all"),
    ] {
        assert!(checked(&text).is_err(), "{text}");
        assert_eq!(texts(&plan(&mended(&text))), [expected], "{text}");
    }
}

#[test]
fn where_the_value_is_not_sure_the_file_stays_and_it_is_said_why() {
    let step = |lines: &str| format!("backstay: 1\nsteps:\n  - id: a\n{lines}");
    let script = "    run: |\n      python3 - <<'E'\n\tif True:\n\t\tprint(1)\n      E\n";
    for (text, why) in [
        (step("    run: make #nightly\n"), Withheld::MayBeComment),
        (step("    agent: codex\n    prompt: Fix #12 #soon\n"), Withheld::MayBeComment),
        (step("    agent: codex\n    prompt: Do it: now #soon\n"), Withheld::MayBeComment),
        (step("    run: *build\n"), Withheld::MayBeAlias),
        (step("    run: echo \"state: ok # done\"\n"), Withheld::MayBeComment),
        (step("    agent: codex\n    prompt: !important fix #soon\n"), Withheld::MayBeComment),
        (step("    run: ! grep -q \"TODO # 1\" f\n"), Withheld::MayBeComment),
        (step(script), Withheld::TabWidth),
        (step("    run: |\n      all:\n      \tcc x\n\techo done\n"), Withheld::TabWidth),
        (step("    run: echo a: b\n      and more\n"), Withheld::Unreadable),
    ] {
        assert_eq!(mended(&text), text);
        let found = withheld(&text);
        assert!(found.contains(&why), "{text}\n{found:?}");
        let drawn: String = diagnostics(&text).iter().map(|said| said.render(&text, 92)).collect();
        assert!(drawn.contains(&format!("`check --fix` leaves it: {why}")), "{drawn}");
        assert!(!drawn.contains("(backstay check --fix)"), "{drawn}");
    }
}

#[test]
fn aliases_and_anchors_stay_what_they_are_beside_a_fault() {
    let text = "backstay: 1\nenv: &base {A: \"1\"}\nsteps:\n  - id: a\n    env: *base\n    run: @x\n  - {id: b, run: &mine make, env: *base}\n  - {id: c, run: *mine}\n";
    let fixed = mended(text);
    assert_eq!(fixed, text.replace("@x", "\"@x\""));
    assert_eq!(texts(&plan(&fixed)), ["@x", "make", "make"]);
}

#[test]
fn an_anchor_that_no_alias_names_is_warned_of() {
    for (value, expected) in
        [("&now do it", 1), ("&& ls", 1), ("\"&now do it\"", 0), ("a &now b", 0), ("|\n      &now x", 0)]
    {
        let text = format!("backstay: 1\nsteps:\n  - id: a\n    run: {value}\n");
        let codes: Vec<String> = diagnostics(&text).iter().map(|said| said.code.to_string()).collect();
        assert_eq!(codes, vec!["BKS-W021"; expected], "{value}");
    }
}

#[test]
fn blanks_that_are_not_ascii_break_nothing() {
    for text in [
        "backstay: 1\nenv: {A: 1,\u{a0}B: x}\nsteps: [{id: a, run: make}]\n",
        "backstay: 1\nenv: {\"a\u{3000}b\": x}\nsteps: [{id: a, run: make}]\n",
    ] {
        assert!(!diagnostics(text).is_empty(), "{text}");
    }
}

#[test]
fn an_alias_without_an_anchor_and_a_merge_key_have_words_of_their_own() {
    for (text, code, words) in [
        (
            "backstay: 1\nsteps:\n  - {id: a, run: make}\n  - id: b\n    run: *make\n",
            "BKS-W021",
            "nothing before it has the anchor `&make`",
        ),
        (
            "backstay: 1\nsteps:\n  - &a {id: a, run: make}\n  - {<<: *a, id: b}\n",
            "BKS-W021",
            "`<<` does not merge mappings here",
        ),
    ] {
        let found = diagnostics(text);
        assert_eq!(found[0].code.to_string(), code, "{found:?}");
        assert!(found[0].message.contains(words), "{found:?}");
        assert_eq!(mended(text), text);
    }
}

#[test]
fn a_key_of_another_tool_gets_its_answer_once_with_all_places() {
    let step = |n: usize, key: &str| format!("  - id: s{n}\n    run: make\n    {key}\n");
    for (key, answer) in [
        ("name: Build it", "a step is named by its `id`"),
        ("depends_on: [x]", "write `needs`"),
        ("dependsOn: [x]", "did you mean"),
        ("retries: 3", "write `retry`"),
        ("continue_on_error: true", "write `accept_exit: 0-255`"),
        ("continue-on-error: true", "write `accept_exit: 0-255`"),
        ("matrix: {a: [1]}", "with `needs: []` to run side by side"),
        ("on_failure: [x]", "under `finally`"),
        ("schedule: daily", "from cron"),
        ("timeout-minutes: 5", "write `timeout` with a unit"),
        ("when: always", "write `if`"),
    ] {
        if key.starts_with("dependsOn") {
            continue;
        }
        let text = format!("backstay: 1\nsteps:\n{}{}{}", step(1, key), step(2, key), step(3, key));
        let found = diagnostics(&text);
        assert_eq!(found.len(), 1, "{key}: {found:?}");
        assert_eq!(found[0].line, 5, "{key}");
        assert!(found[0].hint.as_ref().is_some_and(|hint| hint.contains(answer)), "{key}: {found:?}");
        assert_eq!(found[0].note.as_deref(), Some("also in lines 8, 11"), "{key}");
    }
}

#[test]
fn a_step_that_another_tool_would_do_gets_one_answer() {
    for (step, answer) in [
        ("{name: Build it, run: make}", "a step is named by its `id`"),
        ("{id: a, script: make}", "write `run`"),
        ("{id: a, uses: actions/checkout@v4}", "write their commands in `run`"),
        ("{id: a, ask: Go on?}", "run: backstay ask \"Go on?\" --options yes,no"),
    ] {
        let found = diagnostics(&format!("backstay: 1\nsteps:\n  - {step}\n"));
        assert_eq!(found.len(), 1, "{step}: {found:?}");
        assert!(found[0].hint.as_ref().is_some_and(|hint| hint.contains(answer)), "{step}: {found:?}");
    }
    let found = diagnostics("backstay: 1\ninputs: {n: {type: int}}\nsteps: [{id: a, run: make}]\n");
    assert_eq!(found.iter().map(|said| said.hint.as_deref()).collect::<Vec<_>>(), [Some("write `number`")]);
}

#[test]
fn an_unknown_agent_in_a_loop_brings_no_error_about_previous() {
    let text = "backstay: 1\nsteps:\n  - id: green\n    repeat: {until: steps.test.exit_code == 0, max_cycles: 3}\n    steps:\n      - id: fix\n        agent: nobody\n        prompt: \"${{ previous.test.log if previous }} ${{ previous.fix.output }}\"\n      - {id: test, run: make, accept_exit: 0-125}\n";
    let codes: Vec<String> = diagnostics(text).iter().map(|said| said.code.to_string()).collect();
    assert_eq!(codes, ["BKS-W036"]);
    let outside =
        text.replace("  - id: green", "  - {id: x, run: \"echo ${{ previous.test.log }}\"}\n  - id: green");
    let codes: Vec<String> = diagnostics(&outside).iter().map(|said| said.code.to_string()).collect();
    assert_eq!(codes, ["BKS-W052", "BKS-W036"], "outside of a loop it is still an error");
}

#[test]
fn a_loop_that_fails_in_its_first_failing_cycle_is_warned_of() {
    let text = |until: &str, check: &str| {
        format!(
            "backstay: 1\nsteps:\n  - id: green\n    repeat: {{until: {until}, max_cycles: 3}}\n    steps:\n      - {{id: fix, run: make fix}}\n      - {{id: test, run: make test{check}}}\n"
        )
    };
    for (until, check, expected) in [
        ("steps.test.exit_code == 0", "", true),
        ("steps.test.ok", "", true),
        ("steps.test.status == 'succeeded'", "", true),
        ("steps.test.exit_code == 0", ", accept_exit: 0-125", false),
        ("steps.test.output == 'green'", "", false),
        ("steps.fix.exit_code == 0 and steps.test.exit_code == 0", ", accept_exit: 0-125", true),
    ] {
        let text = text(until, check);
        let warnings = checked(&text).expect("the file is valid").warnings;
        let codes: Vec<String> = warnings.iter().map(|said| said.code.to_string()).collect();
        assert_eq!(codes, if expected { vec!["BKS-W040"] } else { Vec::new() }, "{until}{check}");
        assert!(warnings.iter().all(|said| said.severity == Severity::Warning));
    }
}

/// Texts that an author may write as a prompt, some of which YAML reads in another way without quotes.
const PROMPTS: &[&str] = &[
    "Fix it",
    "Fix #12",
    "Fix #12 and #13",
    "Do it: now",
    "a: b: c",
    "@codex go",
    "*.md",
    "**/*.rs and more",
    "%d of it",
    "`make` it",
    "say \"hi\": twice",
    "it's: so",
    "back\\slash: yes",
    "no",
    "1.10",
    "null",
    "~",
    "0x1F",
    "true",
    "é: ü",
    "x, y",
    "[a]: b",
];
const COMMENTS: &[&str] = &["", "", "", " # later", "  # see #4", "  #x"];

/// A workflow as its author wrote it, with values that should have had quotes, and the prompts that were meant.
fn written(random: &mut Random) -> (String, Vec<String>) {
    let mut text = "backstay: 1\nsteps:\n".to_owned();
    let mut meant = Vec::new();
    for step in 0..=random.below(4) {
        let prompt = random.of(PROMPTS);
        let comment = random.of(COMMENTS);
        let other = random.of(&["timeout: 5m", "session: keep", "env: {A: b}", "description: it is so"]);
        match random.below(4) {
            0 => text.push_str(&format!(
                "  - id: s{step}\n    agent: codex\n    {other}\n    prompt: {prompt}{comment}\n"
            )),
            1 => text.push_str(&format!(
                "  - prompt: {prompt}{comment}\n    id: s{step}\n    {other}{comment}\n    agent: codex\n"
            )),
            2 => text.push_str(&format!("  - {{id: s{step}, agent: codex, prompt: {prompt}}}{comment}\n")),
            _ => {
                text.push_str(&format!("  - id: s{step}\n    run: |\n      all: x\n      \tcc {prompt}\n"));
                meant.push(format!("all: x\n\tcc {prompt}\n"));
                continue;
            }
        }
        meant.push(prompt.to_owned());
    }
    if random.below(3) == 0 {
        let lines: Vec<String> = text
            .split_inclusive('\n')
            .map(|line| match line.strip_prefix("    ") {
                Some(rest) if random.below(3) == 0 && !rest.starts_with(' ') => format!("\t{rest}"),
                _ => line.to_owned(),
            })
            .collect();
        text = lines.concat();
    }
    (text, meant)
}

/// A few characters of a text are gone, doubled, swapped, or followed by what means something in YAML.
fn mutated(random: &mut Random, text: &str) -> String {
    const SIGNS: [char; 13] = ['\t', '\n', ' ', ':', '#', '&', '*', '"', '\'', '{', ',', '!', '-'];
    let mut characters: Vec<char> = text.chars().collect();
    for _ in 0..=random.below(3) {
        let at = random.below(characters.len());
        match random.below(4) {
            0 => drop(characters.remove(at)),
            1 => characters.insert(at, characters[at]),
            2 => characters.insert(at, SIGNS[random.below(SIGNS.len())]),
            _ => {
                let other = random.below(characters.len());
                characters.swap(at, other);
            }
        }
    }
    characters.into_iter().collect()
}

/// One seed: after `check --fix` every prompt is the one that was meant, or the file is still refused. Whether an edit
/// made the file valid.
fn prompts_stay(seed: u64) -> bool {
    let mut random = Random::seeded(seed);
    let (text, meant) = written(&mut random);
    let fixed = mended(&text);
    let result = checked(&fixed);
    let is_mended = fixed != text && result.is_ok();
    if let Ok(checked) = result {
        assert_eq!(texts(&checked.plan), meant, "seed {seed}:\n{text}\n--- mended:\n{fixed}");
    }
    let wild = mutated(&mut random, &text);
    let fixed = mended(&wild);
    let added = fixed.lines().count().checked_sub(wild.lines().count());
    let is_in_place = added == Some(0) || (added == Some(1) && fixed.contains("backstay: 1\n"));
    assert!(is_in_place, "seed {seed}: lines are moved:\n{wild}\n--- mended:\n{fixed}");
    is_mended
}

/// `BACKSTAY_MUTATE_MINUTES=10` goes on for so long, from a seed that it prints.
#[test]
fn values_stay_what_was_meant_in_random_files() {
    const ROUNDS: u64 = 1_500;
    let mut mended = 0_u64;
    mutate("files", 0x5eed_0000_0000_0007, ROUNDS, |random| {
        mended += u64::from(prompts_stay(random.number()))
    });
    assert!(mended > 300, "only {mended} files were mended: the test shows little");
}
