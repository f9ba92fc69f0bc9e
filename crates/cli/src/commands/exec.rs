//! `backstay exec`: a workflow without a file.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use camino::Utf8Path;

use super::run::{RunWish, read_stdin, start};
use super::workflow::WorkflowFile;
use crate::args::ExecArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::EXEC_NAME;

/// Lines of the command's output that the agent is told.
const LOG_LINES: u32 = 80;

/// Writes the workflow, and runs it like any other.
pub(crate) async fn exec(context: &Context, mut args: ExecArgs) -> Result<Exit, CliError> {
    if args.prompt == "-" {
        args.prompt = read_stdin()?;
    }
    if args.prompt.trim().is_empty() {
        return Err(CliError::EmptyPrompt { agent: args.agent });
    }
    let can_resume =
        context.configuration_here()?.traits()?.get(&args.agent).is_some_and(|agent| agent.can_resume);
    let text = workflow(&args, can_resume);
    let name = args.save.as_deref().unwrap_or(Utf8Path::new(EXEC_NAME));
    let save = args.save.as_ref().map(|path| context.cwd.join(path));
    let file = WorkflowFile::unwritten(context, name, text);
    let wish = RunWish { dry_run: args.dry_run, detach: args.detach, json: args.json, save };
    start(context, file, Vec::new(), BTreeMap::new(), wish).await
}

/// The workflow. What the person said stands in inputs, where nothing in it can mean anything else; so a saved one can
/// be told something else.
fn workflow(args: &ExecArgs, can_resume: bool) -> String {
    let command = args.agent.strip_prefix("cmd:").map(str::trim);
    let agent = if command.is_some() { "agent" } else { args.agent.as_str() };
    let mut text = format!(
        "backstay: 1\nname: {EXEC_NAME}\ninputs:\n  prompt: {{type: string, default: {}}}\n",
        quoted(&args.prompt)
    );
    if let Some(until) = &args.until {
        add(&mut text, format_args!("  until: {{type: script, default: {}}}\n", quoted(until)));
    }
    if command.is_some() || args.via.is_some() {
        let how = command.map_or_else(
            || format!("use: {}", quoted(&args.agent)),
            |command| format!("command: {}", quoted(command)),
        );
        let via = args.via.as_ref().map_or_else(String::new, |via| format!(", via: {}", quoted(via)));
        add(&mut text, format_args!("agents:\n  {agent}: {{{how}{via}}}\n"));
    }
    if args.worktree {
        text.push_str("workspace: worktree\n");
    }
    if let Some(tokens) = &args.tokens {
        add(&mut text, format_args!("budget: {{tokens: {}}}\n", quoted(tokens)));
    }
    text.push_str("steps:\n");
    let Some(_) = &args.until else {
        work(&mut text, args, agent, false, "  ");
        text.push_str("outputs: {answer: \"${{ steps.work.output }}\"}\n");
        return text;
    };
    let max_cycles = args.max_cycles;
    let min_cycle = args.min_cycle.as_deref().map_or_else(String::new, |time| {
        let time = quoted(time);
        format!(", min_cycle: {time}")
    });
    add(
        &mut text,
        format_args!(
            "  - id: loop\n    repeat: {{until: steps.check.exit_code == 0, max_cycles: {max_cycles}{min_cycle}}}\n    steps:\n      - {{id: check, run: \"${{{{ inputs.until }}}}\", accept_exit: 0-125}}\n"
        ),
    );
    work(&mut text, args, agent, can_resume, "      ");
    text
}

fn work(text: &mut String, args: &ExecArgs, agent: &str, keeps: bool, indent: &str) {
    let agent = match &args.model {
        Some(model) => format!("{{use: {}, model: {}}}", quoted(agent), quoted(model)),
        None => quoted(agent),
    };
    add(text, format_args!("{indent}- id: work\n{indent}  agent: {agent}\n"));
    if let Some(access) = &args.access {
        add(text, format_args!("{indent}  access: {}\n", quoted(access)));
    }
    if keeps {
        add(text, format_args!("{indent}  session: keep\n"));
    }
    add(text, format_args!("{indent}  prompt: |\n{indent}    ${{{{ inputs.prompt }}}}\n"));
    if args.until.is_some() {
        let told = format!(
            "\n{indent}    It is done when this command succeeds:\n{indent}    ${{{{ inputs.until | fence }}}}\n{indent}    It ended with exit code ${{{{ steps.check.exit_code }}}} and said at its end:\n{indent}    ${{{{ steps.check.log | tail(lines={LOG_LINES}) | fence }}}}\n"
        );
        text.push_str(&told);
    }
}

fn add(text: &mut String, words: std::fmt::Arguments<'_>) {
    if text.write_fmt(words).is_err() {
        debug_assert!(false, "a string takes everything");
    }
}

/// A text in double quotes, as YAML reads it.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            // What is no plain character is written by its number.
            c if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
            {
                add(&mut quoted, format_args!("\\U{:08X}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use backstay_agent::Presets;
    use backstay_workflow::plan::{Plan, SessionRule, Verb};
    use backstay_workflow::{CheckInput, check};

    use super::*;

    fn args(agent: &str, prompt: &str) -> ExecArgs {
        ExecArgs {
            bell: crate::args::BellFlag { no_bell: false },
            agent: agent.to_owned(),
            prompt: prompt.to_owned(),
            until: None,
            max_cycles: 6,
            min_cycle: None,
            tokens: None,
            worktree: false,
            access: None,
            model: None,
            via: None,
            save: None,
            detach: false,
            dry_run: false,
            json: false,
        }
    }

    fn plan(args: &ExecArgs) -> Plan {
        let presets = Presets::built_in().unwrap();
        let text = workflow(args, true);
        let read_file = |path: &str| panic!("it reads {path}");
        let (agents, presets) = (BTreeMap::new(), backstay_runtime::preset_traits(&presets));
        let schema_fault = |schema: &str| panic!("it has the schema {schema}");
        let input = CheckInput {
            path: "exec",
            text: &text,
            read_file: &read_file,
            schema_fault: &schema_fault,
            reading_fault: &|_| None,
            agents,
            presets,
        };
        let checked = check(&input).unwrap_or_else(|all| {
            panic!("{text}\n{}", all.iter().map(|d| d.render(&text, 92)).collect::<String>())
        });
        assert_eq!(checked.warnings, [], "{text}");
        checked.plan
    }

    #[test]
    fn the_workflow_of_an_agent_that_works_until_a_command_succeeds() {
        let until = Some("cargo test".to_owned());
        insta::assert_snapshot!(workflow(&ExecArgs { until, ..args("codex", "Make it green.") }, true));
    }

    #[test]
    fn every_form_of_it_is_a_good_workflow() {
        let once = plan(&args("claude", "Hello."));
        assert_eq!((once.steps.len(), once.outputs.len()), (1, 1));
        let all = ExecArgs {
            until: Some("make test".to_owned()),
            access: Some("read".to_owned()),
            model: Some("m".to_owned()),
            tokens: Some("4M".to_owned()),
            worktree: true,
            ..args("codex", "x")
        };
        let looped = plan(&all);
        assert_eq!(looped.budget.map(|budget| budget.tokens), Some(4_000_000));
        let [maker, green] = looped.steps.as_slice() else { panic!("not a worktree and a loop") };
        let Verb::Agent { options, .. } = &green.children()[1].verb else { panic!("not an agent") };
        assert_eq!(green.children()[1].workspace.as_ref(), Some(&maker.id));
        assert_eq!((options.session.clone(), options.model.is_some()), (SessionRule::Keep, true));
        assert_eq!(plan(&args("cmd: ./mine 'a b'", "x")).presets().count(), 0);
        for (agent, via) in [("cmd: ./mine", "file"), ("codex", "arg")] {
            let args = ExecArgs { via: Some(via.to_owned()), ..args(agent, "x") };
            let plan = plan(&args);
            let form = serde_json::to_value(&plan.agents[plan.named_agents().next().unwrap()]).unwrap();
            assert_eq!(form["via"], via, "{form}");
        }
    }

    #[test]
    fn what_was_said_means_nothing_but_itself() {
        for said in [
            "plain",
            "two\nlines # no comment: none\n",
            "${{ inputs.none }} ${% if x %}",
            "quotes \" ' and \\ and \\n",
            "@*&!|>%-[]{},: ",
            "\u{0}\u{7}\u{1b}[31m\u{85}\u{2028}\u{feff}ö€😀\t",
            "",
            " ",
            "null",
        ] {
            let plan = plan(&ExecArgs { until: Some(said.to_owned()), ..args("codex", said) });
            let defaults: Vec<_> =
                plan.inputs.iter().map(|input| input.default.clone().unwrap().to_string()).collect();
            assert_eq!(defaults, [said, said]);
        }
    }
}
