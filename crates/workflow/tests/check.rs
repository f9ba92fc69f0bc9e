//! Whole files: plans of good ones, every diagnostic of bad ones, and the traps of YAML.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use backstay_model::Coded;
use backstay_model::event::Access;
use backstay_workflow::plan::{
    AfterCrash, AgentKind, AgentOptions, Budget, ExitCodes, InputType, OnExceeded, OnLimit, OutputFormat,
    Plan, RetryClass, SessionRule, Verb, Via,
};
use backstay_workflow::{
    AgentOverride, CheckInput, Checked, Diagnostic, Given, PresetTraits, Severity, apply_fixes, check,
};

fn checked_with(text: &str, agents: BTreeMap<String, AgentOverride>) -> Result<Checked, Vec<Diagnostic>> {
    let read_file = |path: &str| match path {
        "prompts/review.md" => Ok("Review ${{ inputs.what }}.\n".to_owned()),
        "schemas/findings.json" => Ok("{\n  \"type\": \"object\"\n}".to_owned()),
        "schemas/wrong.json" => Ok("{\"type\": \"thing\"}".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let schema_fault = |text: &str| text.contains("thing").then(|| "\"thing\" is not a type".to_owned());
    check(&CheckInput {
        path: "fix-tests.yaml",
        text,
        read_file: &read_file,
        schema_fault: &schema_fault,
        reading_fault: &|_| None,
        agents,
        presets: presets(),
    })
}

/// One that can everything, and one that can little.
fn presets() -> BTreeMap<String, PresetTraits> {
    let able = PresetTraits {
        access: BTreeSet::from([Access::Read, Access::Write, Access::Full]),
        vias: BTreeSet::from([Via::Stdin, Via::Arg]),
        takes_model: true,
        takes_args: true,
        can_resume: true,
        can_fork: true,
        file_prefix: None,
    };
    let claude = PresetTraits { file_prefix: Some("@".to_owned()), ..able.clone() };
    let plain = PresetTraits { access: BTreeSet::from([Access::Write]), ..PresetTraits::default() };
    let reader = PresetTraits { access: BTreeSet::from([Access::Read]), ..PresetTraits::default() };
    [("codex", able), ("claude", claude), ("plain", plain), ("reader", reader)]
        .map(|(name, traits)| (name.to_owned(), traits))
        .into()
}

fn command(plan: &Plan, agent: &str) -> Vec<String> {
    match &plan.agents[agent].kind {
        AgentKind::Command { command, .. } => command.iter().map(|word| word.source.clone()).collect(),
        AgentKind::Preset { .. } => panic!("{agent} is a preset"),
    }
}

fn checked(text: &str) -> Result<Checked, Vec<Diagnostic>> {
    checked_with(text, BTreeMap::new())
}

/// `CODE line:column` of each diagnostic.
fn places(text: &str) -> Vec<String> {
    let diagnostics = match checked(text) {
        Ok(checked) => checked.warnings,
        Err(diagnostics) => diagnostics,
    };
    diagnostics.iter().map(|said| format!("{} {}:{}", said.code, said.line, said.column)).collect()
}

const GOOD: &str = r#"# every key of this version
backstay: 1
name: all
description: shows it
inputs:
  what: {type: string, default: the code}
  test: {type: script, default: npm test}
  n: {type: number, default: 3}
agents:
  mine: {command: "./mine --x '${{ inputs.what }} now'", via: stdin, env: {A: "1"}}
  listed: {command: [codex, exec, "-"], via: arg}
env: {GLOBAL: "${{ run.id }}"}
steps:
  - id: list
    run: |
      gh issue list --label ${{ inputs.what }} \
        --json "number,${{ inputs.n }}"
    output: json
    accept_exit: [0, 2-4]
    after_crash: {probe: "test -e ${{ inputs.what }}"}
    retry: {max: 2, errors: [exit, timeout], backoff: {base: 2s, max: 1m}}
  - id: both
    if: steps.list.ok and steps.list.output | length > 0
    steps:
      - {id: a, agent: mine, prompt_file: prompts/review.md, needs: []}
      - {id: b, agent: {use: listed}, prompt: "Do ${{ steps.list.output | json }}", needs: [], timeout: 1h30m}
      - {id: c, command: [echo, "${{ steps.a.summary }}", 5]}
  - {id: test, run: "${{ inputs.test }}", idle_timeout: 90s, env: {X: "${{ steps.both.ok }}"}, shell: sh -e}
finally:
  - {id: bye, run: "echo ${{ run.ok }} ${{ steps.c.status }}"}
outputs: {list: "${{ steps.list.output }}"}
"#;

#[test]
fn a_good_file_becomes_a_plan_with_every_default_resolved() {
    let checked = checked(GOOD)
        .unwrap_or_else(|all| panic!("{}", all.iter().map(|d| d.render(GOOD, 92)).collect::<String>()));
    assert_eq!(checked.warnings, []);
    let plan = checked.plan;
    let needs: Vec<String> = plan
        .walk()
        .map(|step| {
            format!(
                "{}<{}",
                step.id,
                step.needs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            )
        })
        .collect();
    assert_eq!(needs, ["list<", "both<list", "a<", "b<", "c<a,b", "test<list,both", "bye<"]);
    let step = |id: &str| plan.walk().find(|step| step.id.as_str() == id).unwrap();
    assert_eq!(step("list").accept_exit, ExitCodes(vec![(0, 0), (2, 4)]));
    assert!(matches!(step("list").after_crash, AfterCrash::Probe { .. }));
    assert_eq!((step("list").retry.backoff_base_ms, step("list").retry.backoff_max_ms), (2_000, 60_000));
    assert_eq!(step("a").timeout_ms, Some(7_200_000));
    assert_eq!(step("a").after_crash, AfterCrash::Resume);
    assert_eq!(step("b").timeout_ms, Some(5_400_000));
    assert_eq!(step("c").after_crash, AfterCrash::Ask);
    assert_eq!(step("c").timeout_ms, None);
    let Verb::Agent { prompt, .. } = &step("a").verb else { panic!("not an agent") };
    assert_eq!(prompt.source, "Review ${{ inputs.what }}.\n");
    let Verb::Run { script, shell } = &step("test").verb else { panic!("not a run") };
    assert_eq!((script.whole.as_deref(), shell.join(" ")), (Some("test"), "sh -e".to_owned()));
    assert_eq!(command(&plan, "mine"), ["./mine", "--x", "${{ inputs.what }} now"]);
    let stored = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<backstay_workflow::plan::Plan>(&stored).unwrap(), plan);
}

const FIFTEEN: &str = r#"backstay: 1
inputs:
  label: {type: string, defualt: todo}
  flag: {type: boolean, default: 3}
agents:
  mine: {command: [./mine]}
steps:
  - id: fix-tests
    run: "true"
  - {id: build, run: make, command: [make]}
  - id: nothing
    timeout: 5m
  - {id: one, run: make, timeout: 20}
  - {id: one, run: make}
  - {id: two, run: "echo '${{ inputs.label }}'"}
  - {id: three, run: make, needs: [on]}
  - {id: four, agent: mime, prompt: hello}
  - {id: five, run: make, if: steps.six.ok}
  - {id: six, run: "echo ${{ inputs.lable }}"}
  - {id: seven, run: make, if: inputs.flag && true}
  - {id: eight, run: make, if: steps.five.exit_code == '1'}
  - {id: nine, run: make, accept_exit: 0-300}
"#;

#[test]
fn a_file_with_fifteen_different_mistakes_gives_fifteen_diagnostics() {
    let expected = [
        "BKS-W003 3:25",
        "BKS-W005 4:34",
        "BKS-W032 8:9",
        "BKS-W031 10:28",
        "BKS-W030 11:9",
        "BKS-W010 13:35",
        "BKS-W033 14:10",
        "BKS-W060 15:27",
        "BKS-W034 16:36",
        "BKS-W036 17:23",
        "BKS-W037 18:37",
        "BKS-W052 19:37",
        "BKS-W051 20:44",
        "BKS-W053 21:56",
        "BKS-W011 22:40",
    ];
    let found = places(FIFTEEN);
    assert_eq!(found, expected);
    let codes: std::collections::BTreeSet<&str> = found.iter().map(|place| &place[..8]).collect();
    assert_eq!((found.len(), codes.len()), (15, 15), "they are different mistakes");
}

#[test]
fn a_diagnostic_is_drawn_with_its_line_and_a_caret() {
    let text = "backstay: 1\nagents: {mine: {command: [x]}}\nsteps:\n  - id: a\n    agent: mine\n    prompt: Fix issue #123 and run the tests\n";
    let drawn: String = checked(text).unwrap_err().iter().map(|said| said.render(text, 92)).collect();
    assert_eq!(
        drawn,
        "error BKS-W014 prompt is cut at \" #\"                                     fix-tests.yaml:6:23\n\
         6 |     prompt: Fix issue #123 and run the tests\n  \
           |                       ^ YAML reads the rest as a comment: what is left is \"Fix issue\"\n  \
           = quote it:  \"Fix issue #123 and run the tests\"          (backstay check --fix)\n"
    );
}

#[test]
fn what_else_is_wrong_with_a_step_is_said_beside_the_wrong_name_of_its_agent() {
    let text = "backstay: 1\nsteps:\n  - {id: a, agent: codx, prompt: x, access: everything, idle_timeout: 5, max_wait: 3}\n  - {id: b, agent: {fallback: [claude]}, prompt: x, session: new}\n";
    assert_eq!(
        places(text),
        [
            "BKS-W036 3:20",
            "BKS-W007 3:45",
            "BKS-W010 3:71",
            "BKS-W010 3:84",
            "BKS-W006 4:20",
            "BKS-W007 4:62",
        ]
    );
}

#[test]
fn a_list_of_steps_without_one_is_told_at_its_place() {
    let drawn =
        |text: &str| checked(text).unwrap_err().iter().map(|said| said.render(text, 92)).collect::<String>();
    let said = drawn("backstay: 1\nsteps: []\n");
    assert!(said.contains("`steps` is empty") && said.contains("fix-tests.yaml:2:8"), "{said}");
    assert!(drawn("backstay: 1\n").contains("a workflow needs `steps`"));
}

#[test]
fn one_sign_of_equality_is_told_what_compares() {
    let text = in_step("run: make\n    if: inputs.x = 'a'");
    let said: String = checked(&text).unwrap_err().iter().map(|said| said.render(&text, 92)).collect();
    assert!(said.contains("BKS-W051") && said.contains("`==` compares"), "{said}");
}

fn in_step(line: &str) -> String {
    format!(
        "backstay: 1\ninputs: {{x: {{default: a}}}}\nagents: {{mine: {{command: [x]}}}}\nsteps:\n  - id: a\n    {line}\n"
    )
}

#[test]
fn each_trap_of_yaml_is_told_and_its_mended_text_is_good() {
    let traps = [
        (in_step("run: Fix issue #123 and go"), "BKS-W014"),
        (in_step("run: make\n    if: !inputs.x == 'a'"), "BKS-W015"),
        ("backstay: 1\ninputs: {x: {default: no}}\nsteps: [{id: a, run: make}]\n".to_owned(), "BKS-W016"),
        ("backstay: 1\ninputs: {x: {default: 1.10}}\nsteps: [{id: a, run: make}]\n".to_owned(), "BKS-W016"),
        ("backstay: 1\nsteps:\n  - {id: a, run: echo a, b}\n".to_owned(), "BKS-W017"),
        (in_step("run: *.md"), "BKS-W018"),
        (in_step("agent: mine\n    prompt: @codex do it"), "BKS-W018"),
        (in_step("run: echo a: b"), "BKS-W019"),
        ("backstay: 1\nsteps:\n  - id: a\n\trun: make\n".to_owned(), "BKS-W020"),
        (in_step("run: make\n    if: ${{ inputs.x == 'a' }}"), "BKS-W054"),
        ("steps: [{id: a, run: make}]\n".to_owned(), "BKS-W002"),
    ];
    for (text, code) in traps {
        let diagnostics = checked(&text).unwrap_err();
        let codes: Vec<String> = diagnostics.iter().map(|said| said.code.to_string()).collect();
        assert_eq!(codes, [code], "{text}");
        let fixed = apply_fixes(&text, &diagnostics).text;
        let again = checked(&fixed);
        assert!(again.is_ok(), "{fixed}\n{again:?}");
        assert_eq!(apply_fixes(&fixed, &again.unwrap().warnings).text, fixed);
    }
}

#[test]
fn one_trap_does_not_hide_the_mistakes_after_it() {
    let text = "backstay: 1\nsteps:\n  - id: a\n    run: echo a: b\n  - id: b\n    run: @x\n  - id: c\n    rum: make\n";
    assert_eq!(places(text), ["BKS-W019 4:16", "BKS-W018 6:10", "BKS-W030 7:9", "BKS-W003 8:5"]);
}

#[test]
fn what_comes_later_is_not_unknown() {
    for (line, code) in [
        ("for_each: steps.x.output\n    run: make", "BKS-W008"),
        ("ask: approval", "BKS-W008"),
        ("steps: [{id: b, run: make}]\n    timeout: 5m", "BKS-W008"),
    ] {
        let diagnostics = checked(&in_step(line)).unwrap_err();
        let codes: Vec<String> = diagnostics.iter().map(|said| said.code.to_string()).collect();
        assert_eq!(codes, [code], "{line}");
        assert!(diagnostics[0].hint.is_some());
    }
}

#[test]
fn an_agent_can_be_given_at_the_start() {
    let text = in_step("agent: codex\n    prompt: hello");
    let given = |agent: AgentOverride| BTreeMap::from([("codex".to_owned(), agent)]);
    let by_command = given(AgentOverride::Command("codex exec 'a b' -".to_owned()));
    let plan = checked_with(&text, by_command).unwrap().plan;
    assert_eq!(command(&plan, "cmd:codex"), ["codex", "exec", "a b", "-"]);
    let other = given(AgentOverride::Agent("mine".to_owned()));
    assert_eq!(command(&checked_with(&text, other).unwrap().plan, "mine"), ["x"]);
    let preset = given(AgentOverride::Agent("claude".to_owned()));
    let with_preset = checked_with(&text, preset).unwrap();
    assert_eq!(with_preset.plan.agents["claude"].preset(), Some("claude"));
    assert_eq!(with_preset.agents, BTreeSet::from(["codex".to_owned()]), "the file's own names");
    let unknown = given(AgentOverride::Agent("cluade".to_owned()));
    assert_eq!(checked_with(&text, unknown).unwrap_err()[0].hint.as_deref(), Some("did you mean `claude`?"));
}

#[test]
fn what_an_agent_has_no_way_to_be_told_is_an_error() {
    let with_via = |via: &str| {
        let told = format!("agents: {{told: {{use: codex, via: {via}}}, ");
        in_step("agent: told\n    prompt: x").replace("agents: {", &told)
    };
    let reader = checked_presets(&in_step("agent: reader\n    prompt: x"));
    let without_write =
        "`reader` has no access mode `write`, which a step has without `access`: it has `read`";
    assert_eq!(reader, [without_write]);
    let reader = checked_presets(&in_step("agent: reader\n    access: full\n    prompt: x"));
    assert_eq!(reader, ["`reader` has no access mode `full`: it has `read`"]);
    let fallback = checked_presets(&in_step("agent: {use: codex, fallback: [reader]}\n    prompt: x"));
    assert_eq!(fallback, [without_write]);
    assert_eq!(checked_presets(&in_step("agent: reader\n    access: read\n    prompt: x")), [""; 0]);
    let no_way = "`codex` takes no prompt via file: it has `stdin`, `arg`";
    assert_eq!(checked_presets(&with_via("file")), [no_way]);
    assert_eq!(checked_presets(&with_via("arg")), [""; 0]);
    let taken = |key: &str| {
        let place = match key {
            "model" => "`model = [\"--model\", \"{model}\"]`, and `{model}`",
            _ => "`{args}`",
        };
        format!(
            "`plain` has no place for `{key}`: under `[agents.plain]` add {place} in `start`, or remove it here"
        )
    };
    let step = in_step("agent: {use: plain, model: m1, args: [-x]}\n    prompt: x");
    assert_eq!(checked_presets(&step), [taken("model"), taken("args")]);
    let spec = in_step("agent: told\n    prompt: x")
        .replace("agents: {", "agents: {told: {use: plain, args: [-x]}, ");
    assert_eq!(checked_presets(&spec), [taken("args")]);
    let able = in_step("agent: {use: codex, model: m1, args: [-x]}\n    prompt: x");
    assert_eq!(checked_presets(&able), [""; 0]);
    for empty in ["prompt: ''", "prompt: |\n\n", "prompt: '  '"] {
        let text = in_step(&format!("agent: codex\n    {empty}"));
        assert_eq!(checked_presets(&text), ["the prompt is empty: say what the agent is to do"], "{empty}");
    }
}

/// What is wrong with `text`, each with its hint.
fn checked_presets(text: &str) -> Vec<String> {
    let found = checked(text).err().unwrap_or_default();
    found.into_iter().map(|said| format!("{}: {}", said.message, said.hint.unwrap_or_default())).collect()
}

#[test]
fn a_prompt_that_names_files_as_an_agent_reads_them_is_warned_of() {
    let messages = |agent: &str, prompt: &str| -> Vec<String> {
        let text = in_step(&format!("agent: {agent}\n    prompt: \"{prompt}\""));
        checked(&text).unwrap().warnings.into_iter().map(|said| said.message).collect()
    };
    for (prompt, named) in [
        ("@notes.txt says what?", "@notes.txt"),
        ("Read (@src/main.rs), and tell.", "@src/main.rs"),
        ("${{ run.workflow }} @~/.netrc", "@~/.netrc"),
        ("Add @types/node to it.", "@types/node"),
    ] {
        let told = format!("`claude` adds the content of `{named}` to the prompt where that is a file");
        assert_eq!(messages("claude", prompt), std::slice::from_ref(&told), "{prompt}");
        assert_eq!(messages("{use: codex, fallback: [claude]}", prompt), [told], "{prompt}");
        assert_eq!(messages("codex", prompt), [""; 0], "{prompt}");
    }
    for prompt in ["mail ada@example.org", "ask @ada.", "a @ b", "@", "@@", "an `@Override`"] {
        assert_eq!(messages("claude", prompt), [""; 0], "{prompt}");
    }
}

/// Whoever reads the plan, and with it every screen and event, sees who works and not whose place it took.
#[test]
fn an_agent_given_at_the_start_has_its_own_name_in_the_plan() {
    let text = "backstay: 1\nagents:\n  fixer: {command: [x]}\nsteps:\n  - id: g\n    steps:\n      - {id: a, agent: {use: codex, fallback: [claude, fixer]}, prompt: p}\n  - {id: b, agent: claude, prompt: p}\n";
    let named = |given: &[(&str, &str)]| -> Vec<String> {
        let read = |(name, other): &(&str, &str)| {
            let agent = match other.strip_prefix("cmd: ") {
                Some(command) => AgentOverride::Command(command.to_owned()),
                None => AgentOverride::Agent((*other).to_owned()),
            };
            ((*name).to_owned(), agent)
        };
        let plan = checked_with(text, given.iter().map(read).collect()).unwrap().plan;
        let named: Vec<String> = plan.named_agents().map(ToOwned::to_owned).collect();
        assert!(named.iter().all(|name| plan.agents.contains_key(name)), "{named:?}");
        named
    };
    for (given, expected) in [
        (&[][..], ["codex", "claude", "fixer", "claude"].as_slice()),
        // Nobody is its own fallback.
        (&[("codex", "claude")], &["claude", "fixer", "claude"]),
        (&[("codex", "claude"), ("claude", "codex")], &["claude", "codex", "fixer", "codex"]),
        (&[("fixer", "cmd: /opt/bin/mine --x")], &["codex", "claude", "cmd:mine", "claude"]),
        (
            &[("codex", "cmd: mine 1"), ("fixer", "cmd: mine 2")],
            &["cmd:mine", "claude", "cmd:mine (fixer)", "claude"],
        ),
        // Each means the one that the file had by that name.
        (&[("codex", "fixer"), ("fixer", "cmd: y")], &["fixer", "claude", "cmd:y", "claude"]),
    ] {
        assert_eq!(named(given), expected, "{given:?}");
    }
}

/// A model and arguments are words of one program.
#[test]
fn model_and_arguments_of_a_step_are_for_the_preset_that_it_names_and_for_no_other_given_at_the_start() {
    let text = "backstay: 1\nagents:\n  quick: {use: codex, model: gpt-6-mini}\n  other: {use: codex}\nsteps:\n  - {id: a, agent: {use: codex, model: gpt-6, args: [-x]}, prompt: p}\n  - {id: b, agent: {use: quick, model: gpt-6}, prompt: p}\n";
    let given = |name: &str, other: &str| {
        let agents = BTreeMap::from([(name.to_owned(), AgentOverride::Agent(other.to_owned()))]);
        let checked = checked_with(text, agents).unwrap();
        let warnings: Vec<String> = checked.warnings.into_iter().map(|said| said.message).collect();
        let said = checked.plan.steps.iter().map(|step| match &step.verb {
            Verb::Agent { options, .. } => {
                (options.model.as_ref().map(|model| model.source.clone()), options.args.len())
            }
            other => panic!("{other:?}"),
        });
        (said.collect::<Vec<_>>(), warnings)
    };
    let model = || Some("gpt-6".to_owned());
    let ignored = |key: &str, name: &str| {
        format!("`{key}` is ignored: it is meant for `{name}`, and `claude` does the step in its place")
    };
    let codex = given("codex", "claude");
    assert_eq!(codex.0, [(None, 0), (model(), 0)]);
    assert_eq!(codex.1, [ignored("model", "codex"), ignored("args", "codex")]);
    assert_eq!(given("quick", "claude"), (vec![(model(), 1), (None, 0)], vec![ignored("model", "quick")]));
    assert_eq!(given("quick", "other"), (vec![(model(), 1), (model(), 0)], Vec::new()), "the same program");
}

/// A command knows nothing of sessions; a file that was written for a preset runs with one all the same. Whatever a step says
/// is checked the same way, wherever its agent is named.
#[test]
fn what_a_step_says_is_checked_alike_for_an_agent_of_the_file_and_one_given_at_the_start() {
    let step = |agent: &str, fallback: &str, more: &str| {
        in_step(&format!("agent: {{use: {agent}, fallback: [{fallback}]}}\n    prompt: hello\n    {more}"))
    };
    let texts = |checked: Result<Checked, Vec<Diagnostic>>| -> Vec<(Severity, String)> {
        let all = checked.map_or_else(|all| all, |checked| checked.warnings);
        all.into_iter().map(|said| (said.severity, said.message)).collect()
    };
    let commands = [
        ("access: read", None),
        ("access: full", Some("`access` is ignored: it needs a preset, and `X` is a command")),
        ("session: keep", Some("`session` is ignored: it needs a preset, and `X` is a command")),
        ("on_limit: wait", Some("`on_limit` is ignored: it needs a preset, and `X` is a command")),
        ("max_wait: 1h", Some("`max_wait` is ignored: it needs a preset, and `X` is a command")),
    ];
    for (more, warning) in commands {
        let named = checked(&step("mine", "claude", more));
        let given = BTreeMap::from([("codex".to_owned(), AgentOverride::Command("./fake".to_owned()))]);
        let given = checked_with(&step("codex", "claude", more), given);
        let expected = |agent: &str| -> Vec<(Severity, String)> {
            warning.map(|text| (Severity::Warning, text.replace('X', agent))).into_iter().collect()
        };
        assert_eq!(texts(named), expected("mine"), "{more}");
        assert_eq!(texts(given), expected("codex"), "{more}");
    }
    // The one that takes over has to be able to do it, whoever is the first.
    let fork = "session: {from: plan, fork: true}";
    let cannot = (Severity::Error, "`plain` cannot go on with a copy of a session".to_owned());
    for agent in ["mine", "codex"] {
        let said = texts(checked(&step(agent, "plain", fork)));
        assert!(said.contains(&cannot), "{agent}: {said:?}");
    }
    for agent in [AgentOverride::Command("./fake".to_owned()), AgentOverride::Agent("mine".to_owned())] {
        let given = BTreeMap::from([("codex".to_owned(), agent)]);
        let said = texts(checked_with(&step("codex", "plain", fork), given));
        assert!(said.contains(&cannot), "{said:?}");
    }
    let other = BTreeMap::from([("codex".to_owned(), AgentOverride::Agent("plain".to_owned()))]);
    let cannot = (Severity::Error, "`codex` cannot go on with a copy of a session".to_owned());
    assert!(texts(checked_with(&step("codex", "claude", fork), other)).contains(&cannot));
}

const AGENTS: &str = r#"backstay: 1
agents:
  fixer: {use: codex, model: "m-${{ run.workflow }}", args: [-c, "x=1"], via: arg, env: {A: "1"}}
  mine: {command: [./mine]}
steps:
  - {id: plan, agent: claude, access: read, prompt: Plan it.}
  - id: fix
    agent: {use: fixer, fallback: [claude, mine], model: fast, args: [5]}
    session: {from: plan, fork: true}
    max_wait: 2h
    prompt: Fix it.
  - {id: check, agent: codex, session: keep, on_limit: fail, retry: 1, prompt_file: prompts/plain.md, schema: schemas/findings.json}
  - {id: old, agent: mine, prompt: Do it., schema: schemas/findings.json}
"#;

#[test]
fn an_agent_by_preset_needs_no_definition() {
    let text = AGENTS.replace("prompt_file: prompts/plain.md", "prompt: Check it.");
    let checked = checked(&text)
        .unwrap_or_else(|all| panic!("{}", all.iter().map(|d| d.render(&text, 92)).collect::<String>()));
    assert_eq!(checked.warnings, []);
    let plan = checked.plan;
    let presets: Vec<(&str, Option<&str>)> =
        plan.agents.iter().map(|(name, spec)| (name.as_str(), spec.preset())).collect();
    let expected =
        [("claude", Some("claude")), ("codex", Some("codex")), ("fixer", Some("codex")), ("mine", None)];
    assert_eq!(presets, expected);
    let options = |id: &str| {
        let step = plan.walk().find(|step| step.id.as_str() == id).unwrap();
        let Verb::Agent { options, .. } = &step.verb else { panic!("not an agent") };
        (step, options.as_ref().clone())
    };
    let (step, plain) = options("plan");
    assert_eq!(plain, AgentOptions { access: Access::Read, ..AgentOptions::default() });
    assert_eq!((step.retry.retries_max, step.retry.errors.clone()), (3, vec![RetryClass::Network]));
    assert_eq!((step.timeout_ms, step.output), (Some(7_200_000), OutputFormat::Text));
    let (_, fix) = options("fix");
    assert_eq!(
        (fix.fallback, fix.on_limit),
        (vec!["claude".to_owned(), "mine".to_owned()], OnLimit::Fallback)
    );
    assert_eq!((fix.max_wait_ms, fix.model.unwrap().source), (Some(7_200_000), "fast".to_owned()));
    assert_eq!(fix.session, SessionRule::From { step: "plan".parse().unwrap(), fork: true });
    let (step, check) = options("check");
    assert_eq!((check.session, check.on_limit), (SessionRule::Keep, OnLimit::Fail));
    assert_eq!((step.retry.retries_max, step.output), (1, OutputFormat::Json));
    assert_eq!(step.schema.as_deref(), Some("{\n  \"type\": \"object\"\n}"));
    let (step, old) = options("old");
    assert!(old.is_default() && step.schema.is_some());
    assert_eq!(step.retry.retries_max, 0, "of a command nothing is known");
    let stored = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&stored).unwrap(), plan);
}

/// A run of an earlier version goes on: what its plan does not say has its default.
#[test]
fn a_plan_without_presets_is_still_read() {
    let stored = include_str!("stored/plan.v1.json");
    let plan: Plan = serde_json::from_str(stored).unwrap();
    assert_eq!(command(&plan, "mine"), ["./mine", "--x", "${{ inputs.what }} now"]);
    let Verb::Agent { options, .. } = &plan.steps[0].verb else { panic!("not an agent") };
    assert!(options.is_default());
    assert_eq!(serde_json::to_string(&plan).unwrap(), stored.trim_end());
}

/// One report each, and in it what to write: what stands beside it is told when it is right.
#[test]
fn what_other_tools_write_gets_the_exact_answer_once() {
    let finally = "put the step under `finally`";
    for (condition, code, hint) in [
        ("always()", "BKS-W052", finally),
        ("${{ always() }}", "BKS-W052", finally),
        ("failure()", "BKS-W052", "`if: not run.ok`"),
        ("!failure()", "BKS-W052", "`if: not run.ok`"),
        ("cancelled()", "BKS-W052", "steps.ID.status == 'cancelled'"),
        ("success()", "BKS-W052", "leave it out"),
        ("success() && steps.a.ok", "BKS-W052", "leave it out"),
        ("steps.a.ok && success()", "BKS-W052", "leave it out"),
        ("env.FOO == 'x'", "BKS-W052", "a script reads `$NAME`"),
        ("github.ref == 'x'", "BKS-W052", "ask git"),
        ("needs.a.result == 'x'", "BKS-W052", "write `steps.ID`"),
        ("contains(steps.a.output, 'x')", "BKS-W052", "in value"),
        ("steps.a.outcome == 'success'", "BKS-W052", "write `ok`"),
        ("steps.a.outputs.x == 'y'", "BKS-W052", "one `output`"),
        ("steps.a.output | join(',') == 'x' and steps.a.output is startingwith('x')", "", ""),
    ] {
        let text = format!(
            "backstay: 1\nsteps:\n  - {{id: a, run: make}}\n  - id: b\n    run: make\n    if: \"{condition}\"\n"
        );
        let said = checked(&text).err().unwrap_or_default();
        if code.is_empty() {
            assert!(said.is_empty(), "{condition}: {said:?}");
            continue;
        }
        assert_eq!(said.len(), 1, "{condition}: {said:?}");
        assert_eq!(said[0].code.to_string(), code, "{condition}: {said:?}");
        let told = said[0].hint.as_deref().unwrap_or_default();
        assert!(told.contains(hint), "{condition}: {told}");
    }
    let answers = "backstay: 1\nsteps:\n  - {id: a, run: make}\n  - {id: c, run: make, needs: [], if: \"'x' in run.id and run.id is endingwith('y')\"}\nfinally:\n  - {id: b, run: make, if: not run.ok}\n  - {id: d, run: make, if: not steps.a.ok}\n  - {id: e, run: make, if: \"steps.a.status == 'cancelled'\"}\n";
    assert!(checked(answers).is_ok(), "what is answered is right: {:?}", checked(answers).err());
    for (text, place, hint) in [
        (
            "backstay: \"1\"\nsteps:\n  - {id: a, run: make}\n",
            "BKS-W002 1:11",
            "without quotes:  backstay: 1",
        ),
        ("backstay: 1\nsteps:\n  - {id: a, run: make, retry: yes}\n", "BKS-W005 3:31", "retry: 2"),
        ("backstay: 1\nsteps:\n  - {id: a, run: make, retry: true}\n", "BKS-W005 3:31", "retry: 2"),
        (
            "backstay: 1\nsteps:\n  - {id: a, run: make}\n---\nbackstay: 1\nsteps:\n  - {id: a, run: make}\n",
            "BKS-W001 4:1",
            "a file of its own",
        ),
    ] {
        assert_eq!(places(text), [place], "{text}");
        let said = checked(text).unwrap_err();
        assert!(said[0].hint.as_deref().unwrap_or_default().contains(hint), "{said:?}");
    }
}

#[test]
fn what_an_agent_cannot_do_is_told_with_a_way_out() {
    for (line, code, hint) in [
        ("agent: codxe", "BKS-W036", "did you mean `codex`?"),
        ("agent: {use: codex, fallback: [codxe]}", "BKS-W036", "did you mean `codex`?"),
        (
            "agent: mine\n    access: full",
            "BKS-W009",
            "let a preset do it (`--agent mine=codex`, say), or remove it",
        ),
        (
            "agent: {use: mine, args: [x]}",
            "BKS-W009",
            "let a preset do it (`--agent mine=codex`, say), or remove it",
        ),
        (
            "agent: codex\n    on_limit: fallback",
            "BKS-W006",
            "name one:  agent: {use: codex, fallback: [claude]}",
        ),
        ("agent: plain\n    access: read", "BKS-W039", "it has `write`"),
        ("agent: plain\n    session: keep", "BKS-W039", "write `session: fresh`"),
        ("agent: codex\n    access: red", "BKS-W007", "did you mean `read`?"),
        ("agent: codex\n    session: {from: b}", "BKS-W037", "put `a` after it, or add it to `needs`"),
        ("agent: codex\n    session: {from: bb}", "BKS-W052", "did you mean `b`?"),
        (
            "agent: codex\n    session: {fork: true}",
            "BKS-W006",
            "name the step whose session it is: `session: {from: plan}`",
        ),
        ("agent: codex\n    schema: schemas/wrong.json", "BKS-W038", "its path is relative to this file"),
        ("agent: codex\n    schema: schemas/none.json", "BKS-W038", "its path is relative to this file"),
        ("agent: codex\n    schema: schemas/findings.json\n    output: text", "BKS-W009", "remove `output`"),
    ] {
        let text = in_step(&format!("{line}\n    prompt: hello\n  - {{id: b, agent: codex, prompt: x}}"));
        let diagnostics = checked(&text).map_or_else(|all| all, |checked| checked.warnings);
        let found: Vec<(String, Option<&str>)> =
            diagnostics.iter().map(|said| (said.code.to_string(), said.hint.as_deref())).collect();
        assert_eq!(found, [(code.to_owned(), Some(hint))], "{line}");
    }
    let text = "backstay: 1\nagents:\n  a: {use: codxe}\n  b: {command: [x], use: codex}\n  c: {}\n  d: {command: [x], model: y}\nsteps: [{id: a, run: x, access: full}, {id: b, steps: [{id: e, run: x}], access: read}]\n";
    assert_eq!(
        places(text),
        ["BKS-W036 3:12", "BKS-W009 4:21", "BKS-W006 5:6", "BKS-W009 6:21", "BKS-W007 7:33", "BKS-W009 7:74"]
    );
}

#[test]
fn needs_that_make_a_circle_are_told_once() {
    let text = "backstay: 1\nsteps:\n  - {id: a, run: x, needs: [b]}\n  - {id: b, run: x, needs: [a]}\n";
    assert_eq!(places(text), ["BKS-W035 4:29"]);
}

/// The codes of the diagnostics of a workflow with inputs of several types and one step.
fn of_values(step: &str) -> Vec<String> {
    let inputs = "{text: , n: {type: number}, flag: {type: boolean}}";
    let text = format!("backstay: 1\ninputs: {inputs}\nsteps:\n  - {{id: a, {step}}}\n");
    places(&text).iter().map(|said| said.chars().take_while(|c| *c != ' ').collect()).collect()
}

#[test]
fn a_value_that_would_be_code_is_an_error_and_one_that_is_a_number_is_not() {
    for (step, expected) in [
        ("run: 'eval ${{ inputs.text }}'", &["BKS-W064"][..]),
        ("run: 'bash -c \"echo ${{ inputs.text }}\"'", &["BKS-W064"]),
        ("run: 'echo $(( ${{ inputs.text }} + 1 ))'", &["BKS-W064"]),
        ("run: 'n=${{ inputs.text }}; (( n > 3 ))'", &["BKS-W061"]),
        ("run: 'echo $(( ${{ inputs.n }} + ${{ inputs.n + 1 }} ))'", &[]),
        ("run: 'n=${{ inputs.n }}; (( n > 3 ))'", &[]),
        ("run: 'echo $(( ${{ inputs.text | length }} ))'", &[]),
        ("run: 'echo $(( ${{ inputs.text | int }} ))'", &[]),
        ("run: 'bash -c \"x --dry=${{ inputs.flag }} -n ${{ inputs.n }}\"'", &[]),
        ("run: 'echo $(( ${{ inputs.flag }} ))'", &["BKS-W064"]),
        ("run: 'echo $(( ${{ inputs.n ~ inputs.text }} ))'", &["BKS-W064"]),
        ("run: 'echo $(( ${{ inputs.text if inputs.flag else 1 }} ))'", &["BKS-W064"]),
    ] {
        assert_eq!(of_values(step), expected, "{step}");
    }
}

#[test]
fn a_value_in_a_variable_under_env_is_followed_into_the_script() {
    for (step, expected) in [
        ("env: {N: '${{ inputs.text }}'}, run: '(( N > 3 ))'", &["BKS-W061"][..]),
        ("env: {N: '${{ inputs.text }}'}, run: 'eval \"$N\"'", &["BKS-W061"]),
        ("env: {N: '${{ inputs.n }}'}, run: '(( N > 3 ))'", &[]),
        ("env: {N: '${{ inputs.text }}'}, run: '[ \"$N\" -gt 3 ]'", &[]),
        ("env: {N: 3}, run: '(( N > 3 ))'", &["BKS-W016"]),
        ("env: {BASH_ENV: '${{ inputs.text }}'}, run: 'true'", &["BKS-W064"]),
        ("env: {EDITOR: '${{ inputs.text }}'}, run: 'true'", &["BKS-W061"]),
        ("env: {PATH: '${{ inputs.text }}:/bin'}, run: 'true'", &[]),
    ] {
        assert_eq!(of_values(step), expected, "{step}");
    }
    let group = "backstay: 1\ninputs: {text: }\nsteps:\n  - id: g\n    env: {N: '${{ inputs.text }}'}\n    steps: [{id: a, run: '(( N ))'}]\n  - {id: b, run: '(( N ))'}\n";
    assert_eq!(places(group), ["BKS-W061 6:29"], "only the steps of the group have it");
    let whole =
        "backstay: 1\ninputs: {text: }\nenv: {N: '${{ inputs.text }}'}\nsteps: [{id: a, run: '(( N ))'}]\n";
    assert_eq!(places(whole), ["BKS-W061 4:25"]);
}

#[test]
fn a_value_among_the_arguments_of_a_command_is_no_code_either() {
    for (step, expected) in [
        ("command: [echo, '${{ inputs.text }}']", &[][..]),
        ("command: [bash, -c, 'echo \"$1\"', _, '${{ inputs.text }}']", &[]),
        ("command: [bash, -c, 'echo ${{ inputs.text }}']", &["BKS-W064"]),
        ("command: [bash, -c, 'echo ${{ inputs.n }}']", &[]),
        ("command: [env, X=1, sh, -c, '${{ inputs.text }}']", &["BKS-W064"]),
        ("command: [python3, -c, 'print(${{ inputs.text }})']", &["BKS-W064"]),
        ("command: [awk, '-v', 'x=${{ inputs.text }}', '{ print x }']", &[]),
        ("command: ['${{ inputs.text }}', --version]", &["BKS-W061"]),
        ("command: 'bash -c \"echo ${{ inputs.text }}\"'", &["BKS-W064"]),
    ] {
        assert_eq!(of_values(step), expected, "{step}");
    }
}

#[test]
fn inputs_are_bound_by_their_type_and_all_problems_come_at_once() {
    let text = "backstay: 1\ninputs:\n  label:\n  n: {type: number, default: 1}\n  all: {type: list, default: [a]}\nsteps: [{id: a, run: make}]\n";
    let plan = checked(text).unwrap().plan;
    assert_eq!(plan.inputs[0].input_type, InputType::String);
    let given = |pairs: &[(&str, Given)]| {
        pairs.iter().map(|(name, given)| ((*name).to_owned(), given.clone())).collect()
    };
    let texts = given(&[("label", Given::Text("5".to_owned())), ("n", Given::Text("2.5".to_owned()))]);
    assert_eq!(plan.bind_inputs(&texts).unwrap().to_json().unwrap(), r#"{"label":"5","n":2.5,"all":["a"]}"#);
    let wrong = given(&[
        ("lable", Given::Text("x".to_owned())),
        ("n", Given::Text("many".to_owned())),
        ("all", Given::Json("{}".to_owned())),
    ]);
    let problems = plan.bind_inputs(&wrong).unwrap_err();
    let codes: Vec<String> = problems.iter().map(|problem| problem.code().to_string()).collect();
    assert_eq!(codes, ["BKS-W110", "BKS-W111", "BKS-W112", "BKS-W112"]);
    let hints: Vec<String> = problems.iter().filter_map(Coded::hint).collect();
    assert_eq!(
        hints,
        [
            "did you mean `label`?",
            "give it with `--input label=…`",
            "for example `--input n=3`",
            "give it as JSON"
        ]
    );
}

/// [`GOOD`] with `length` of its characters from `cut` on replaced by `put`.
fn mangled(cut: usize, length: usize, put: &str) -> String {
    let characters: Vec<char> = GOOD.chars().collect();
    let cut = cut.min(characters.len());
    let end = (cut + length).min(characters.len());
    characters[..cut].iter().copied().chain(put.chars()).chain(characters[end..].iter().copied()).collect()
}

#[test]
fn a_mistake_beside_a_mended_letter_of_two_bytes_is_placed_on_whole_letters() {
    let text = mangled(74, 6, "\né");
    for said in checked(&text).unwrap_err() {
        assert!(text.get(said.range.clone()).is_some(), "{said:?}");
    }
}

proptest::proptest! {
    /// Whatever the file is, there is an answer, its places are in the text, and fixes can be applied.
    #[test]
    fn any_text_gets_an_answer(cut in 0_usize..1_500, length in 0_usize..20, put in "[-:#!*@{}\\[\\]\t\n $'\"éa]{0,4}") {
        let text = mangled(cut, length, &put);
        if let Err(diagnostics) = checked(&text) {
            for said in &diagnostics {
                proptest::prop_assert!(text.get(said.range.clone()).is_some(), "{said:?}");
                proptest::prop_assert!(!said.render(&text, 92).is_empty());
            }
            proptest::prop_assert!(apply_fixes(&text, &diagnostics).text.len() <= text.len() * 3 + 100);
        }
    }
}

/// The bound on checking the largest file: it takes far less, and a cubic rule would take minutes.
const LARGEST_FILE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

#[test]
fn the_largest_file_in_plain_order_is_checked_at_once() {
    let steps: String = (0..1_000).map(|n| format!("  - {{id: s{n}, run: make}}\n")).collect();
    let (done, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        done.send(checked(&format!("backstay: 1\nname: large\nsteps:\n{steps}")).is_ok())
    });
    assert_eq!(end.recv_timeout(LARGEST_FILE_PATIENCE), Ok(true));
}

#[test]
fn what_is_wrong_in_a_step_hides_no_other_mistake_of_it_and_makes_none_elsewhere() {
    let text = r#"backstay: 1
steps:
  - {id: a, run: "echo '${{ inputs.zz }}'"}
  - {id: b, rum: x, needs: [later, a]}
  - {id: c, run: x, needs: [b], if: "${{ steps.q.ok }}"}
  - {id: d, run: x, needs: [b], if: steps.b.ok}
"#;
    assert_eq!(
        places(text),
        [
            "BKS-W060 3:25",
            "BKS-W052 3:36",
            "BKS-W030 4:10",
            "BKS-W003 4:13",
            "BKS-W034 4:29",
            "BKS-W054 5:37",
            "BKS-W052 5:48"
        ]
    );
}

#[test]
fn a_loop_says_what_it_lacks_and_sees_only_what_it_may() {
    let of = |repeat: &str| {
        format!(
            "backstay: 1\nsteps:\n  - {{id: x, run: make}}\n  - id: a\n    repeat: {repeat}\n    steps:\n      - {{id: b, run: make, accept_exit: 0-1}}\n      - {{id: c, run: make, if: previous.b.ok}}\n  - {{id: d, run: make}}\n"
        )
    };
    for good in [
        "{until: steps.b.ok, max_cycles: 3}",
        "{until: steps.c.exit_code == 0 and steps.x.ok and previous.b.ok, max_cycles: 1, on_exhausted: ask, min_cycle: 5s}",
    ] {
        let said = checked(&of(good));
        assert!(said.is_ok(), "{good}: {said:?}");
    }
    for (bad, expected) in [
        ("{until: steps.b.ok}", vec!["BKS-W006 5:13"]),
        ("{max_cycles: 3}", vec!["BKS-W006 5:13"]),
        ("{until: steps.d.ok, max_cycles: 3}", vec!["BKS-W037 5:27"]),
        ("{until: steps.b.ok, max_cycles: 0}", vec!["BKS-W007 5:45"]),
        ("{until: steps.b.ok, max_cycles: 3, on_exhausted: panic}", vec!["BKS-W007 5:62"]),
        ("{until: steps.b.exit_code == 'x', max_cycles: 3}", vec!["BKS-W053 5:42"]),
        ("{until: previous.nope.ok, max_cycles: 3}", vec!["BKS-W052 5:30"]),
        ("3", vec!["BKS-W005 5:13"]),
    ] {
        assert_eq!(places(&of(bad)), expected, "{bad}");
    }
    let outside = "backstay: 1\nsteps:\n  - {id: a, run: make, if: previous.a.ok}\n  - {id: b, run: make, repeat: {until: steps.b.ok, max_cycles: 2}}\n";
    assert_eq!(places(outside), ["BKS-W052 3:28", "BKS-W008 4:24"]);
}

#[test]
fn no_tag_is_passed_over_in_silence() {
    for (text, expected) in [
        (
            "backstay: 1\nsteps:\n  - {id: a, run: make}\n  - {id: b, run: make, if: ! true}\n",
            vec!["BKS-W015 4:28"],
        ),
        ("backstay: 1\nsteps:\n  - {id: a, run: make, timeout: !x 5s}\n", vec!["BKS-W015 3:33"]),
        ("backstay: 1\nsteps:\n  - {id: a, run: make, retry: !x 2}\n", vec!["BKS-W015 3:31"]),
        ("backstay: 1\nsteps:\n  - !x {id: a, run: make}\n", vec!["BKS-W015 3:5"]),
        ("backstay: 1\nsteps:\n  - {id: a, run: make, after_crash: !x ask}\n", vec!["BKS-W015 3:37"]),
    ] {
        assert_eq!(places(text), expected, "{text}");
    }
}

#[test]
fn a_negation_is_mended_as_it_was_meant() {
    let fixed = |condition: &str| {
        let text = format!(
            "backstay: 1\nsteps:\n  - {{id: a, run: make}}\n  - id: b\n    if: {condition}\n    run: make\n"
        );
        let fixed = apply_fixes(&text, &checked(&text).unwrap_err()).text;
        assert!(checked(&fixed).is_ok(), "{fixed}");
        fixed.lines().nth(4).unwrap().trim().to_owned()
    };
    assert_eq!(fixed("!steps.a.ok"), "if: not steps.a.ok");
    assert_eq!(fixed("!steps.a.ok == false"), "if: (not steps.a.ok) == false");
    assert_eq!(fixed("!steps.a.ok and true"), "if: not steps.a.ok and true");
}

#[test]
fn the_first_line_is_added_where_it_belongs() {
    for (text, expected) in [
        (
            "  name: x\n  steps: [{id: a, run: make}]\n",
            "  backstay: 1\n  name: x\n  steps: [{id: a, run: make}]\n",
        ),
        ("{name: x, steps: [{id: a, run: make}]}\n", "{backstay: 1, name: x, steps: [{id: a, run: make}]}\n"),
    ] {
        assert_eq!(apply_fixes(text, &checked(text).unwrap_err()).text, expected);
    }
}

#[test]
fn of_a_long_line_the_part_around_the_mistake_is_shown() {
    let text = format!(
        "backstay: 1\nsteps:\n  - {{id: a, run: \"{}\", rum: 1, env: {{X: \"{}\"}}}}\n",
        "x".repeat(5_000),
        "y".repeat(5_000)
    );
    let said = checked(&text).unwrap_err();
    for (columns, widest) in [(40, 40), (92, 92), (usize::MAX, 140)] {
        let shown = said[0].render(&text, columns);
        let mut lines = shown.lines().skip_while(|line| !line.starts_with("3 | "));
        let (line, carets) = (lines.next().unwrap(), lines.next().unwrap());
        assert!(line.chars().count() <= widest && carets.chars().count() <= widest, "{shown}");
        let at = carets.chars().position(|c| c == '^').unwrap();
        assert_eq!(line.chars().skip(at).take(3).collect::<String>(), "rum", "{shown}");
        assert!(line.ends_with('…') && line.starts_with("3 | …"), "{shown}");
    }
}

#[test]
fn carets_stand_below_what_takes_two_columns() {
    let text = "backstay: 1\nname: 日本\nsteps: [{id: a, run: make}]\n日本: 1\n";
    let shown: String = checked(text).unwrap_err().iter().map(|said| said.render(text, 92)).collect();
    assert!(shown.contains("4 | 日本: 1\n  | ^^^^\n"), "{shown}");
}

#[test]
fn a_place_that_has_no_room_beside_its_message_has_a_line_of_its_own() {
    let text = in_step("rum: make");
    let said = checked(&text).unwrap_err();
    let head =
        |columns| said[0].render(&text, columns).lines().take(2).map(str::to_owned).collect::<Vec<_>>();
    assert!(
        head(92)[0].ends_with("  fix-tests.yaml:5:9") && head(92)[0].chars().count() == 92,
        "{:?}",
        head(92)
    );
    assert!(head(usize::MAX)[0].ends_with("  fix-tests.yaml:5:9"));
    assert_eq!(head(50)[1], " --> fix-tests.yaml:5:9");
}

#[test]
fn an_unknown_filter_is_told_before_anything_runs() {
    let text = "backstay: 1\nsteps:\n  - {id: a, run: \"echo ${{ run.id | tial(lines=2) }}\"}\n  - {id: b, run: make, if: steps.a.output | nofilter == 'x'}\noutputs: {o: \"${{ steps.a.output | bogus | length }}\"}\n";
    let said = checked(text).unwrap_err();
    let found: Vec<String> = said.iter().map(|said| said.message.clone()).collect();
    assert_eq!(
        found,
        ["there is no filter `tial`", "there is no filter `nofilter`", "there is no filter `bogus`"]
    );
    assert_eq!(said[0].hint.as_deref(), Some("did you mean `tail`?"));
    for name in ["json", "tail", "selectattr", "default", "d"] {
        let text =
            format!("backstay: 1\nsteps:\n  - {{id: a, run: make, if: (run.id | {name}) == run.id}}\n");
        let unknown = checked(&text).err().unwrap_or_default();
        assert!(unknown.iter().all(|said| !said.message.contains("no filter")), "{name}: {unknown:?}");
    }
}

#[test]
fn a_budget_is_an_amount_of_tokens() {
    let budget = |text: &str| {
        checked(&format!("backstay: 1\nsteps: [{{id: a, run: x}}]\nbudget: {text}\n"))
            .map(|checked| checked.plan.budget)
    };
    let tokens = |tokens, on_exceeded| Some(Budget { tokens, on_exceeded });
    assert_eq!(budget("{tokens: 800k}").unwrap(), tokens(800_000, OnExceeded::Ask));
    assert_eq!(budget("{tokens: 4M, on_exceeded: stop}").unwrap(), tokens(4_000_000, OnExceeded::Stop));
    assert_eq!(budget("{tokens: 12}").unwrap(), tokens(12, OnExceeded::Ask));
    for (wrong, code) in [
        ("{tokens: 4 M}", "BKS-W007"),
        ("{tokens: 0}", "BKS-W007"),
        ("{tokens: many}", "BKS-W007"),
        ("{tokens: 99999999999999999999M}", "BKS-W007"),
        ("{}", "BKS-W006"),
        ("{tokens: 1k, on_exceeded: kill}", "BKS-W007"),
        ("{tokens: 1k, usd: 3}", "BKS-W008"),
        ("4M", "BKS-W005"),
    ] {
        let found: Vec<String> =
            budget(wrong).unwrap_err().iter().map(|said| said.code.to_string()).collect();
        assert_eq!(found, [code], "{wrong}");
    }
}

/// `STEP in WORKSPACE < NEEDS` of each step.
fn places_of_work(text: &str) -> Vec<String> {
    let checked = checked(text)
        .unwrap_or_else(|all| panic!("{}", all.iter().map(|d| d.render(text, 92)).collect::<String>()));
    let line = |step: &backstay_workflow::plan::Step| {
        let needs: Vec<&str> = step.needs.iter().map(backstay_model::StepId::as_str).collect();
        let place = step.workspace.as_ref().map_or("here", |step| step.as_str());
        format!("{} in {place} < {}", step.id, needs.join(","))
    };
    checked.plan.walk().map(line).collect()
}

#[test]
fn a_worktree_is_made_by_a_step_before_those_that_work_in_it() {
    let text = "backstay: 1
workspace: worktree
steps:
  - {id: first, run: make}
  - {id: beside, run: make, needs: []}
  - id: group
    steps:
      - {id: inner, run: make}
      - {id: out, run: make, workspace: here}
finally:
  - {id: bye, run: 'echo ${{ steps.worktree.output }}'}
";
    let expected = [
        "worktree in here < ",
        "first in worktree < worktree",
        "beside in worktree < worktree",
        "group in worktree < first,beside",
        "inner in worktree < ",
        "out in here < inner",
        "bye in here < ",
    ];
    assert_eq!(places_of_work(text), expected);

    let text = "backstay: 1
inputs: {n: {type: number, default: 1}}
steps:
  - {id: look, run: make}
  - id: fix
    if: steps.look.ok
    workspace: {worktree: {branch: 'todo/${{ inputs.n }}', from: main, setup: npm ci}}
    repeat: {until: steps.test.ok, max_cycles: 2}
    steps:
      - {id: test, run: 'cd ${{ steps.fix_worktree.output }}'}
";
    let expected = [
        "look in here < ",
        "fix_worktree in here < look",
        "fix in fix_worktree < look,fix_worktree",
        "test in fix_worktree < ",
    ];
    assert_eq!(places_of_work(text), expected);
    let plan = checked(text).unwrap().plan;
    let maker = &plan.steps[1];
    assert_eq!(maker.condition, plan.steps[2].condition, "it is made where it is needed");
    assert_eq!(maker.after_crash, AfterCrash::Rerun);
    let Verb::Worktree(worktree) = &maker.verb else { panic!("not a worktree") };
    assert_eq!(worktree.branch.as_ref().unwrap().source, "todo/${{ inputs.n }}");
    let stored = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&stored).unwrap(), plan);
}

#[test]
fn a_worktree_that_cannot_be_is_told() {
    for (bad, expected) in [
        ("{id: a, run: x, workspace: there}", "BKS-W007 3:32"),
        ("{id: a, run: x, workspace: {}}", "BKS-W006 3:32"),
        ("{id: a, run: x, workspace: {worktree: {brunch: b}}}", "BKS-W003 3:44"),
        ("{id: a, run: x, workspace: {worktree: {keep: changed}}}", "BKS-W008 3:44"),
        ("{id: a, run: x, workspace: {worktree: {branch: '${{ steps.b.output }}'}}}", "BKS-W052 3:63"),
        ("{id: a, steps: [{id: a_worktree, run: x}], workspace: worktree}", "BKS-W033 3:48"),
        (
            "{id: l, repeat: {until: steps.a.output, max_cycles: 2}, steps: [{id: a, run: x, workspace: worktree}]}",
            "BKS-W008 3:85",
        ),
    ] {
        assert_eq!(places(&format!("backstay: 1\nsteps:\n  - {bad}\n")), [expected], "{bad}");
    }
}

#[test]
fn each_of_several_equal_values_is_told_at_its_own_place() {
    let styles = [
        "run: |\n      echo '${{ inputs.x }}'\n      echo $(( ${{ inputs.x }} ))",
        "run: |2\n      echo '${{ inputs.x }}'\n      echo $(( ${{ inputs.x }} ))",
        "run: |-\n\n      echo '${{ inputs.x }}'\n      echo $(( ${{ inputs.x }} ))",
        "run: >\n      echo '${{ inputs.x }}';\n      echo $(( ${{ inputs.x }} ))",
        "run: \"echo '${{ inputs.x }}'; \\\n      echo $(( ${{ inputs.x }} ))\"",
        "run: echo \"${{ inputs.x }}\";\n      echo $(( ${{ inputs.x }} ))",
    ];
    for style in styles {
        let text = format!(
            "backstay: 1\nname: equal\ninputs: {{x: {{type: string}}}}\nsteps:\n  - id: a\n    {style}\n"
        );
        let told: Vec<String> =
            places(&text).into_iter().filter(|place| place.starts_with("BKS-W064")).collect();
        let line = text[..text.find("$((").unwrap()].matches('\n').count() + 1;
        let column = text.lines().nth(line - 1).unwrap().find("${{").unwrap() + 1;
        assert_eq!(told, [format!("BKS-W064 {line}:{column}")], "{text}");
    }
}
