//! The workflow that is written.

use super::detect::TestCommand;
use crate::commands::exec::quoted;

/// What the workflow is made of.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// The name of the file, for its comments.
    pub(super) file: String,
    /// The agent that does the work.
    pub(super) agent: String,
    /// Its command, where it is no preset.
    pub(super) command: Option<String>,
    /// Those that take over from it.
    pub(super) fallback: Vec<String>,
    /// Whether it can go on with its own session.
    pub(super) keeps_session: bool,
    /// The command that tests; the first is taken, the others are named.
    pub(super) tests: Vec<TestCommand>,
}

/// Its text: a loop that ends when the tests pass, with comments that teach.
pub(super) fn text(choice: &Choice) -> String {
    let Choice { file, agent, .. } = choice;
    let (test, session, who) = (test_input(choice), session(choice), who(choice));
    let (agents, access) = (agents(choice), access(choice));
    format!(
        r#"# Lets {agent} work until the tests of this repository pass. `backstay init` wrote this; it is yours to change.
#
#   backstay check {file}              finds mistakes, each with its place and a hint
#   backstay run {file} --dry-run      shows what would run
#   backstay run {file}                runs it: Ctrl-C suspends, `backstay resume` goes on, also after kill -9
backstay: 1
name: fix
inputs:
{test}  # What the agent is told first; for one run: --input task='…'
  task: {{type: string, default: "Make the tests of this repository pass. Change a test only where it is wrong itself."}}
{agents}# What the agents of a run may use before a person is asked (`backstay inbox`):
# budget: {{tokens: 4M}}
steps:
  # A loop. It ends when `until` holds, and never on a change that was not tested.
  - id: green
    repeat: {{until: steps.test.exit_code == 0, max_cycles: 6}}
    steps:
      # In the first cycle there is no `previous`: it only tests, and where all is well no agent is asked.
      - id: code
        if: previous is not none
{who}{session}{access}        idle_timeout: 15m           # without a word and without a tool for so long, it is stopped
        prompt: |
          ${{{{ inputs.task }}}}
          Do not commit. The tests ended with exit code ${{{{ previous.test.exit_code }}}} and said at their end:
          ${{{{ previous.test.log | tail(lines=80) | fence }}}}
      # A value inside `run` reaches the shell as a variable, never as code; only an input of `type: script` is one.
      # With `accept_exit` a red test is a result to go on with, and not a failed step.
      - {{id: test, run: "${{{{ inputs.test }}}}", accept_exit: 0-125, timeout: 20m}}
outputs:
  cycles: "${{{{ steps.green.cycles }}}}"
"#
    )
}

fn test_input(choice: &Choice) -> String {
    let Some(first) = choice.tests.first() else {
        return "  # The command that tells whether all is well: it ends with 0 then. None was found here, so each run is told:\n  #   --input test='make test'      or write one behind: {type: script, default: make test}\n  test: {type: script}\n"
            .to_owned();
    };
    let mut text = format!(
        "  # The command that tells whether all is well: it ends with 0 then. From {}; for one run: --input test='…'\n",
        first.by
    );
    for other in &choice.tests[1..] {
        text.push_str(&format!("  # Found in {}, too: {}\n", other.by, other.command));
    }
    text.push_str(&format!("  test: {{type: script, default: {}}}\n", quoted(&first.command)));
    text
}

fn who(choice: &Choice) -> String {
    let Choice { agent, fallback, .. } = choice;
    if fallback.is_empty() {
        return format!(
            "        agent: {agent}{:width$}# another one for one run: --agent {agent}=claude, or ='cmd: ./mine'\n",
            "",
            width = 21_usize.saturating_sub(agent.len()).max(1)
        );
    }
    format!(
        "        # Where the first meets a limit, the next one takes over. For one run: --agent {agent}=…\n        agent: {{use: {agent}, fallback: [{}]}}\n",
        fallback.join(", ")
    )
}

/// The agent's definition, where it is a command. The prompt is on its stdin.
fn agents(choice: &Choice) -> String {
    let Some(command) = &choice.command else { return String::new() };
    format!(
        "# It gets its prompt on stdin; `via: arg` gives it as the last argument.\nagents:\n  {}: {{command: {}}}\n",
        choice.agent,
        quoted(command)
    )
}

fn access(choice: &Choice) -> &'static str {
    match choice.command {
        Some(_) => "",
        None => {
            "        access: write               # or `read`; `full` takes away what the agent's CLI guards\n"
        }
    }
}

fn session(choice: &Choice) -> &'static str {
    if choice.keeps_session {
        "        session: keep               # one session over all cycles: it knows what it has tried\n"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use backstay_agent::Presets;
    use backstay_workflow::{CheckInput, check};

    use super::*;

    fn choice(agent: &str, fallback: &[&str], tests: &[(&str, &str)]) -> Choice {
        let test = |(command, by): &(&str, &str)| TestCommand {
            command: (*command).to_owned(),
            by: (*by).to_owned(),
        };
        Choice {
            file: "fix.yaml".to_owned(),
            agent: agent.to_owned(),
            command: None,
            fallback: fallback.iter().map(|name| (*name).to_owned()).collect(),
            keeps_session: true,
            tests: tests.iter().map(test).collect(),
        }
    }

    fn is_in_order(text: &str) {
        let presets = backstay_runtime::preset_traits(&Presets::built_in().unwrap());
        let read_file = |path: &str| panic!("it reads {path}");
        let schema_fault = |schema: &str| panic!("it has the schema {schema}");
        let input = CheckInput {
            path: "fix.yaml",
            text,
            read_file: &read_file,
            schema_fault: &schema_fault,
            reading_fault: &|_| None,
            agents: BTreeMap::new(),
            presets,
        };
        let checked = check(&input).unwrap_or_else(|all| {
            panic!("{text}\n{}", all.iter().map(|d| d.render(text, 92)).collect::<String>())
        });
        assert_eq!(checked.warnings, [], "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 130), "{text}");
    }

    #[test]
    fn the_workflow_teaches_and_is_in_order() {
        let tests = [("cargo test --workspace", "Cargo.toml"), ("make test", "Makefile")];
        let text = text(&choice("codex", &["claude"], &tests));
        is_in_order(&text);
        insta::assert_snapshot!(text);
    }

    #[test]
    fn every_form_of_it_is_a_good_workflow() {
        for agent in ["codex", "claude", "gemini", "opencode"] {
            for fallback in [&[][..], &["claude"], &["claude", "gemini"]] {
                let fallback: Vec<_> = fallback.iter().copied().filter(|other| *other != agent).collect();
                for tests in
                    [&[][..], &[("npm test", "package.json")], &[("echo \"a: #b\" '$x' ${{ y }}", "--test")]]
                {
                    for keeps_session in [true, false] {
                        is_in_order(&text(&Choice { keeps_session, ..choice(agent, &fallback, tests) }));
                    }
                }
            }
        }
    }

    #[test]
    fn an_agent_that_is_a_command_is_defined_in_the_workflow() {
        let own = Choice {
            command: Some("./mine --x 'a b'".to_owned()),
            keeps_session: false,
            ..choice("mine", &[], &[("make test", "Makefile")])
        };
        let text = text(&own);
        is_in_order(&text);
        assert!(text.contains("\n  mine: {command: \"./mine --x 'a b'\"}\n"), "{text}");
        assert!(!text.contains("access:"), "{text}");
    }

    #[test]
    fn without_a_test_command_each_run_is_told_one() {
        insta::assert_snapshot!(text(&choice("gemini", &[], &[])));
    }
}
