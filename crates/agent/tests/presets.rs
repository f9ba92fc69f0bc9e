//! Presets: the command of each start, word for word, and what a configuration makes of them.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use backstay_agent::{
    Access, CommandError, DeliveryVia, Preset, PresetError, Presets, Request, SchemaFile, ScreenRequest,
    SessionUse, Stdin, StreamFormat, command_line,
};
use backstay_model::Coded as _;

const PAGE: &str = include_str!("../../../docs/agents.md");

/// The configurations on the page about agents, as one.
fn examples() -> String {
    PAGE.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

fn request(session: SessionUse, access: Access) -> Request {
    Request {
        prompt: "Do it.".to_owned(),
        via: None,
        prompt_file: None,
        access,
        model: None,
        session,
        schema: None,
        args: Vec::new(),
    }
}

fn start() -> SessionUse {
    SessionUse::Start { id: Some("ID".to_owned()) }
}

fn resume() -> SessionUse {
    SessionUse::Resume { id: "ID".to_owned() }
}

fn fork() -> SessionUse {
    SessionUse::Fork { from: "ID".to_owned(), id: Some("NEW".to_owned()) }
}

fn words(agent: &str, request: &Request) -> String {
    let presets = Presets::built_in().unwrap();
    command_line(presets.get(agent).unwrap(), request).unwrap().argv.join(" ")
}

#[test]
fn each_preset_starts_resumes_and_forks_with_these_words() {
    use Access::{Full, Read, Write};
    let codex = "codex exec --json --skip-git-repo-check";
    let claude = "claude -p --output-format stream-json --verbose";
    let gemini = "gemini --output-format stream-json --skip-trust";
    let opencode = "opencode run --format json --print-logs --log-level ERROR --thinking";
    for (agent, session, access, expected) in [
        ("codex", start(), Read, format!("{codex} -s read-only -")),
        ("codex", start(), Write, format!("{codex} -s workspace-write -")),
        ("codex", start(), Full, format!("{codex} --dangerously-bypass-approvals-and-sandbox -")),
        ("codex", resume(), Write, format!("{codex} -s workspace-write resume ID -")),
        ("codex", fork(), Read, format!("{codex} -s read-only fork ID -")),
        (
            "claude",
            start(),
            Read,
            format!(
                "{claude} --session-id ID --permission-mode dontAsk --disallowed-tools=Edit,Write,NotebookEdit"
            ),
        ),
        (
            "claude",
            start(),
            Write,
            format!("{claude} --session-id ID --permission-mode acceptEdits --allowed-tools=Bash"),
        ),
        ("claude", start(), Full, format!("{claude} --session-id ID --permission-mode bypassPermissions")),
        (
            "claude",
            resume(),
            Write,
            format!("{claude} --resume ID --permission-mode acceptEdits --allowed-tools=Bash"),
        ),
        (
            "claude",
            fork(),
            Full,
            format!(
                "{claude} --resume ID --fork-session --session-id NEW --permission-mode bypassPermissions"
            ),
        ),
        ("gemini", start(), Read, format!("{gemini} --session-id ID --approval-mode plan")),
        (
            "gemini",
            start(),
            Write,
            format!("{gemini} --session-id ID --approval-mode auto_edit --allowed-tools run_shell_command"),
        ),
        ("gemini", start(), Full, format!("{gemini} --session-id ID --approval-mode yolo")),
        ("gemini", resume(), Full, format!("{gemini} --resume ID --approval-mode yolo")),
        ("opencode", start(), Read, format!("{opencode} --title Backstay --agent plan")),
        ("opencode", start(), Write, format!("{opencode} --title Backstay")),
        ("opencode", start(), Full, format!("{opencode} --title Backstay --auto")),
        ("opencode", resume(), Write, format!("{opencode} --session ID")),
        ("opencode", fork(), Full, format!("{opencode} --session ID --fork --auto")),
    ] {
        assert_eq!(words(agent, &request(session, access)), expected);
    }
}

#[test]
fn model_schema_and_own_arguments_stand_where_each_cli_takes_them() {
    let full = |session| Request {
        model: Some("m1".to_owned()),
        schema: Some(SchemaFile { text: "{}".to_owned(), path: "/s.json".to_owned() }),
        args: vec!["--own".to_owned(), "x y".to_owned()],
        ..request(session, Access::Full)
    };
    let presets = Presets::built_in().unwrap();
    let argv = |agent: &str, session| command_line(presets.get(agent).unwrap(), &full(session)).unwrap().argv;
    assert_eq!(
        argv("codex", resume())[3..],
        [
            "--skip-git-repo-check",
            "--dangerously-bypass-approvals-and-sandbox",
            "-m",
            "m1",
            "--output-schema",
            "/s.json",
            "--own",
            "x y",
            "resume",
            "ID",
            "-"
        ]
    );
    assert_eq!(argv("claude", start())[9..], ["--model", "m1", "--json-schema", "{}", "--own", "x y"]);
    assert_eq!(argv("gemini", start())[8..], ["--model", "m1", "--own", "x y"], "it takes no schema");
    assert_eq!(argv("opencode", start())[10..], ["--auto", "--model", "m1", "--own", "x y"]);
}

#[test]
fn the_prompt_goes_in_by_stdin_or_as_it_is_asked_for() {
    let presets = Presets::built_in().unwrap();
    for preset in presets.iter() {
        let line = command_line(preset, &request(start(), Access::Write)).unwrap();
        assert_eq!(line.stdin, Stdin::Text("Do it.".to_owned()), "{}", preset.name());
        assert!(!line.argv.iter().any(|word| word.contains("Do it.")), "{}", preset.name());

        let by_argument = Request { via: Some(DeliveryVia::Arg), ..request(start(), Access::Write) };
        let line = command_line(preset, &by_argument).unwrap();
        assert_eq!(line.stdin, Stdin::Null, "{}: an open pipe would make it wait", preset.name());
        assert!(line.argv.last().unwrap().ends_with("Do it."), "{}", preset.name());

        let by_file = Request { via: Some(DeliveryVia::File), ..request(start(), Access::Write) };
        let error = command_line(preset, &by_file).unwrap_err();
        assert_eq!(error.to_string(), format!("{} takes no prompt via file", preset.name()));
        assert!(error.hint().unwrap().contains(&format!("[agents.{}.prompt]", preset.name())));
    }
}

#[test]
fn the_session_is_known_before_the_start_where_it_can_be_chosen() {
    let presets = Presets::built_in().unwrap();
    let session = |agent: &str, session| {
        command_line(presets.get(agent).unwrap(), &request(session, Access::Write)).map(|line| line.session)
    };
    assert_eq!(session("claude", start()), Ok(Some("ID".to_owned())));
    assert_eq!(session("claude", fork()), Ok(Some("NEW".to_owned())));
    assert_eq!(session("codex", start()), Ok(None), "its stream will say it");
    assert_eq!(session("codex", resume()), Ok(Some("ID".to_owned())));
    let nameless = session("gemini", SessionUse::Start { id: None }).unwrap_err();
    assert_eq!(nameless.to_string(), "to start gemini its session's name is needed");
    let fork = session("gemini", fork()).unwrap_err();
    assert!(matches!(fork, CommandError::NoWay { .. }), "{fork}");
    assert_eq!(fork.code().to_string(), "BKS-A001");
}

#[test]
fn reading_access_of_opencode_is_in_its_environment() {
    let presets = Presets::built_in().unwrap();
    let line = command_line(presets.get("opencode").unwrap(), &request(start(), Access::Read)).unwrap();
    assert_eq!(line.env["OPENCODE_PERMISSION"], r#"{"edit":"deny","bash":"deny","task":"deny"}"#);
    let line = command_line(presets.get("opencode").unwrap(), &request(start(), Access::Write)).unwrap();
    assert!(line.env.is_empty());
}

#[test]
fn each_preset_knows_its_version_login_and_screen() {
    let presets = Presets::built_in().unwrap();
    let codex = presets.get("codex").unwrap();
    assert_eq!(codex.version_command().unwrap(), ["codex", "--version"]);
    let silent = Presets::with_configuration("c", "[agents.codex]\nversion = []").unwrap();
    assert_eq!(silent.get("codex").unwrap().version_command(), None, "it is not started without arguments");
    assert_eq!(codex.login_command().unwrap(), ["codex", "login", "status"]);
    assert!(presets.get("gemini").unwrap().is_login_exit(41));
    assert_eq!(
        presets.iter().map(|preset| preset.name()).collect::<Vec<_>>(),
        ["claude", "codex", "gemini", "opencode"]
    );
    assert!(presets.iter().all(|preset| preset.tried().is_some()));
}

#[test]
fn a_configuration_changes_single_fields_and_adds_agents() {
    let text = r#"
        [store]
        other = "belongs to others"

        [agents.codex]
        program = "/opt/codex"
        env = { CODEX_HOME = "/srv/codex" }
        access.write = { args = ["-s", "danger-full-access"] }
        prompt.via = "arg"
        signs.login = ["who are you"]

        [agents.mine]
        program = "mine"
        start = ["--task={prompt_file}", "{access}", "{prompt}"]
        prompt = { via = "file", file = [] }
        access.write.args = ["--rw"]
    "#;
    let presets = Presets::with_configuration("config.toml", text).unwrap();
    let codex = presets.get("codex").unwrap();
    let line = command_line(codex, &request(start(), Access::Write)).unwrap();
    assert_eq!(
        line.argv.join(" "),
        "/opt/codex exec --json --skip-git-repo-check -s danger-full-access -- Do it."
    );
    assert_eq!(line.env["CODEX_HOME"], "/srv/codex");
    let read = command_line(codex, &request(resume(), Access::Read)).unwrap();
    assert!(read.argv.join(" ").contains("-s read-only resume ID"), "what it does not name stays: {read:?}");
    assert_eq!(codex.signs().login, ["who are you".to_owned().into()]);
    assert!(!codex.signs().limit.is_empty());

    let mine = presets.get("mine").unwrap();
    assert_eq!((mine.stream(), mine.session()), (StreamFormat::Text, None));
    let with_file = Request { prompt_file: Some("/p.md".to_owned()), ..request(start(), Access::Write) };
    assert_eq!(command_line(mine, &with_file).unwrap().argv, ["mine", "--task=/p.md", "--rw"]);
    let without = command_line(mine, &request(start(), Access::Read)).unwrap_err();
    assert_eq!(without.to_string(), "mine has no access mode `read`");
}

#[test]
fn what_is_wrong_in_a_configuration_is_said_with_its_place_and_what_was_meant() {
    for (text, message, hint) in [
        (
            "[agents.codex]\nprogramm = \"x\"\n",
            "config.toml:2:1: unknown field `programm`",
            Some("did you mean `program`?"),
        ),
        (
            "\n[agents.codex.access]\n  reed = { args = [] }",
            "config.toml:3:3: unknown variant `reed`",
            Some("did you mean `read`?"),
        ),
        (
            "[agents.codex.signs]\nlimits = []",
            "config.toml:2:1: unknown field `limits`",
            Some("did you mean `limit`?"),
        ),
        ("[agents.codex]\nstart = [\"{promt}\"]", "config.toml:2:9: `{promt}` is no place", None),
        ("[agents.codex]\nprogram = 5", "config.toml:2:11: invalid type", None),
        ("[agents.codex\n", "config.toml:1:14: ", None),
        (
            "[agents.mine]\nprogram = \"x\"",
            "config.toml:1:9: the agent mine has no `start`",
            Some("add `start = …` under `[agents.mine]`, or change one of codex, claude, gemini, opencode"),
        ),
        (
            "[agents.codex]\npreset = 2",
            "config.toml:1:9: the preset codex has version 2, this program knows 1",
            None,
        ),
    ] {
        let error = Presets::with_configuration("config.toml", text).unwrap_err();
        assert!(error.to_string().starts_with(message), "{text}\n{error}");
        if hint.is_some() {
            assert_eq!(error.hint().as_deref(), hint, "{text}");
        }
    }
    let error = Presets::with_configuration("c", "[agents.x").unwrap_err();
    assert!(matches!(error, PresetError::Form { .. }));
}

/// An agent with which nothing is wrong; each test puts one line in place of another, or adds one.
const MINE: &str = "program = \"mine\"\nstart = [\"{session}\", \"{access}\", \"{prompt}\"]\nsession = \"chosen\"\nprompt = { via = \"arg\", arg = [\"{prompt}\"] }\naccess.write.args = [\"--write\"]\n";

/// [`MINE`] with `lines`, each in place of the one with the same key.
fn mine(lines: &[&str]) -> Result<Preset, PresetError> {
    let key = |line: &str| line.split([' ', '.']).next().unwrap().to_owned();
    let is_kept = |line: &&str| !lines.iter().any(|new| key(new) == key(line));
    let text: Vec<&str> = MINE.lines().filter(is_kept).chain(lines.iter().copied()).collect();
    let text = format!("[agents.mine]\n{}\n", text.join("\n"));
    Ok(Presets::with_configuration("config.toml", &text)?.get("mine").unwrap().clone())
}

#[test]
fn a_preset_by_which_no_agent_can_be_told_its_task_is_refused() {
    let lost_argument = "the agent would be started without its prompt, which goes in via arg";
    let no_session = "the agent would not be told which session it is to use";
    for (lines, message, hint) in [
        (
            &["access = {}"][..],
            "it has no access mode: a step needs `access.read`, `access.write` or `access.full`".to_owned(),
            "add `access.write = { args = [] }`, with the arguments that let it change files",
        ),
        (
            &["prompt = {}"],
            "its prompt goes in via stdin, and it has no `prompt.stdin`".to_owned(),
            "add `prompt.stdin = []`, or name another way in `prompt.via`",
        ),
        (
            &["prompt = { via = \"file\", arg = [\"{prompt}\"] }"],
            "its prompt goes in via file, and it has no `prompt.file`".to_owned(),
            "add `prompt.file = [\"{prompt_file}\"]`, or name another way in `prompt.via`",
        ),
        (
            &["start = [\"{session}\", \"{access}\"]"],
            format!("`start` has no `{{prompt}}`: {lost_argument}"),
            "add `\"{prompt}\"` to `start`",
        ),
        (
            &["resume = [\"{session}\"]"],
            format!("`resume` has no `{{prompt}}`: {lost_argument}"),
            "add `\"{prompt}\"` to `resume`",
        ),
        (
            &["prompt = { via = \"arg\", arg = [\"--\"] }"],
            format!("`prompt.arg` has no `{{prompt}}`: {lost_argument}"),
            "add `\"{prompt}\"` to `prompt.arg`",
        ),
        (
            &["prompt = { via = \"arg\", arg = [] }", "start = [\"{session}\", \"{access}\"]"],
            format!("`start` has no `{{prompt}}`: {lost_argument}"),
            "add `\"{prompt}\"` to `start`",
        ),
        (
            &["prompt = { via = \"file\", file = [\"-f\"] }"],
            "`prompt.file` has no `{prompt_file}`: the agent would be started without its prompt, which goes in via file".to_owned(),
            "add `\"{prompt_file}\"` to `prompt.file`",
        ),
        (
            &["prompt.stdin = [\"-\"]", "start = [\"{session}\", \"{access}\"]"],
            "`start` has no `{prompt}`: the arguments in `prompt.stdin` would never be passed".to_owned(),
            "add `\"{prompt}\"` to `start`",
        ),
        (
            &["prompt.stdin = []", "start = [\"{session}\", \"{access}\", \"--task={prompt}\"]"],
            "`start` has `{prompt}` inside an argument, and its prompt goes in via stdin".to_owned(),
            "make it an argument of its own, or set `prompt.via = \"arg\"`",
        ),
        (
            &["start = [\"{access}\", \"{prompt}\"]"],
            format!("`start` has no `{{session}}`: {no_session}"),
            "add `\"{session}\"` to `start`",
        ),
        (
            &["session = \"from_stream\"", "stream = \"codex\"", "resume = [\"--last\", \"{prompt}\"]"],
            format!("`resume` has no `{{session}}`: {no_session}"),
            "add `\"{session}\"` to `resume`",
        ),
        (
            &["fork = [\"{session}\", \"{prompt}\"]"],
            format!("`fork` has no `{{new_session}}`: {no_session}"),
            "add `\"{new_session}\"` to `fork`",
        ),
        (
            &["screen = [\"--screen\"]"],
            format!("`screen` has no `{{session}}`: {no_session}"),
            "add `\"{session}\"` to `screen`",
        ),
        (
            &["start = [\"{session}\", \"{prompt}\"]"],
            "`start` has no `{access}`: the arguments in its access modes would never be passed".to_owned(),
            "add `\"{access}\"` to `start`",
        ),
        (
            &["model = [\"-m\", \"{model}\"]"],
            "`start` has no `{model}`: the arguments in `model` would never be passed".to_owned(),
            "add `\"{model}\"` to `start`",
        ),
        (
            &[
                "schema = { args = [\"{schema}\"], as = \"text\" }",
                "start = [\"{session}\", \"{access}\", \"{schema}\", \"{prompt}\"]",
                "resume = [\"{session}\", \"{prompt}\"]",
            ],
            "`resume` has no `{schema}`: the agent would not be told the schema of its answer".to_owned(),
            "add `\"{schema}\"` to `resume`",
        ),
    ] {
        let error = mine(lines).unwrap_err();
        assert_eq!(error.to_string(), format!("config.toml:1:9: the agent mine: {message}"), "{lines:?}");
        assert_eq!((error.code().to_string().as_str(), error.hint().as_deref()), ("BKS-A013", Some(hint)));
    }
}

#[test]
fn a_preset_takes_a_model_and_arguments_where_they_have_a_place() {
    let by_setting =
        ["model = [\"-m\", \"{model}\"]", "start = [\"{session}\", \"{access}\", \"{model}\", \"{prompt}\"]"];
    for (lines, model, args) in [
        (&[][..], false, false),
        (&by_setting[..], true, false),
        // Without `model` there is nothing that stands there.
        (&by_setting[1..], false, false),
        (
            &["start = [\"{session}\", \"{access}\", \"--model={model}\", \"{args}\", \"{prompt}\"]"],
            true,
            true,
        ),
    ] {
        let preset = mine(lines).unwrap_or_else(|error| panic!("{lines:?}: {error}"));
        assert_eq!((preset.takes_model(), preset.takes_args()), (model, args), "{lines:?}");
    }
}

#[test]
fn a_preset_is_told_its_task_in_each_of_these_forms() {
    use DeliveryVia::{Arg, Env, File, Stdin};
    for (lines, expected) in [
        (&[][..], &[Arg][..]),
        (
            &[
                "prompt = { via = \"arg\", arg = [] }",
                "start = [\"{session}\", \"{access}\", \"-p={prompt}\"]",
            ],
            &[Arg],
        ),
        (&["prompt = { via = \"env\", env = \"TASK\" }", "start = [\"--{session}\", \"{access}\"]"], &[Env]),
        (
            &["prompt = { stdin = [], arg = [\"{prompt}\"] }", "start = [\"{session}\", \"{access}\"]"],
            &[Stdin],
        ),
        (&["prompt = { stdin = [], arg = [\"--\"], file = [\"@{prompt_file}\"] }"], &[Stdin, File]),
        (&["start = [\"{session}\", \"{prompt}\"]", "access.write.env = { MAY = \"write\" }"], &[Arg]),
        (
            &["session = \"from_stream\"", "stream = \"codex\"", "start = [\"{access}\", \"{prompt}\"]"],
            &[Arg],
        ),
    ] {
        let preset = mine(lines).unwrap_or_else(|error| panic!("{lines:?}: {error}"));
        assert_eq!(preset.vias().collect::<Vec<_>>(), expected, "{lines:?}");
    }
}

#[test]
fn the_page_about_agents_is_true() {
    let page = PAGE;
    let example = &examples();
    let presets = Presets::with_configuration("docs/agents.md", example).unwrap();
    assert_eq!(presets.get("codex").unwrap().program(), "/opt/codex/bin/codex");
    assert_eq!(presets.get("mine").unwrap().signs().limit, ["quota exceeded".to_owned().into()]);
    assert!(presets.get("mine").unwrap().tells_turn_end() && presets.get("qwen").unwrap().tells_turn_end());
    let packages = include_str!("clis/package.json");
    for preset in Presets::built_in().unwrap().iter() {
        let tried = preset.tried().unwrap();
        assert!(page.contains(&format!("`{}` {tried}", preset.program())), "{} in the table", preset.name());
        assert!(packages.contains(&format!("\"{tried}\"")), "{} is what the tests install", preset.name());
    }
}

/// A run goes on by the presets that it began with, whatever a later version makes of them.
#[test]
fn a_stored_preset_is_what_it_was_and_its_form_is_frozen() {
    let example = &examples();
    for preset in Presets::with_configuration("docs/agents.md", example).unwrap().iter() {
        let stored = preset.stored().unwrap();
        assert_eq!(Preset::from_stored(preset.name(), &stored).as_ref(), Ok(preset), "{stored}");
    }
    let lines = include_str!("stored/preset_lines.v1.json").trim_end();
    assert_eq!(Preset::from_stored("mine", lines).unwrap().stored().unwrap(), lines);
    let golden = include_str!("stored/preset.v1.json").trim_end();
    let read = Preset::from_stored("mine", golden).unwrap();
    assert_eq!(read.stored().unwrap(), golden);
    let line =
        command_line(&read, &request(SessionUse::Resume { id: "s1".to_owned() }, Access::Read)).unwrap();
    assert_eq!(line.argv, ["my-agent", "go", "--session=s1", "--look", "-"]);
}

fn screen(session: &str, access: Access) -> ScreenRequest {
    ScreenRequest {
        session: session.to_owned(),
        access,
        model: Some("m1".to_owned()),
        args: vec!["--own".to_owned()],
    }
}

#[test]
fn the_screen_of_each_preset_has_the_access_the_model_the_arguments_and_the_variables_of_an_attempt() {
    let presets = Presets::built_in().unwrap();
    for (agent, expected) in [
        ("codex", "codex resume --disable daemon_auto_start -s read-only -m m1 --own ID"),
        (
            "claude",
            "claude --resume ID --permission-mode dontAsk --disallowed-tools=Edit,Write,NotebookEdit --model m1 --own",
        ),
        ("gemini", "gemini --skip-trust --resume ID --approval-mode plan --model m1 --own"),
        ("opencode", "opencode --session ID --agent plan --model m1 --own"),
    ] {
        let preset = presets.get(agent).unwrap();
        let line = preset.screen(screen("ID", Access::Read)).unwrap();
        assert_eq!(line.argv.join(" "), expected);
        assert_eq!(line.env, command_line(preset, &request(start(), Access::Read)).unwrap().env, "{agent}");
    }
}

#[test]
fn a_stored_preset_that_is_newer_or_damaged_is_an_error_that_names_it() {
    for (text, expected) in [
        (
            "{\"preset\":2,\"fresh\":1}",
            "the stored preset of mine: the preset mine has version 2, this program knows 1",
        ),
        ("{\"preset\":1}", "the stored preset of mine: the agent mine has no `program`"),
        ("{\"preset\":1,\"fresh\":1}", "the stored preset of mine:1:19: unknown field `fresh`"),
        ("{}", "the stored preset of mine:1:2: missing field `preset`"),
    ] {
        let error = Preset::from_stored("mine", text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn a_session_whose_name_is_an_option_is_no_argument() {
    let presets = Presets::built_in().unwrap();
    for name in ["--dangerously-bypass-approvals-and-sandbox", "-", "a\nb"] {
        for agent in ["codex", "claude"] {
            let session = SessionUse::Resume { id: name.to_owned() };
            let error =
                command_line(presets.get(agent).unwrap(), &request(session, Access::Read)).unwrap_err();
            assert_eq!(error.code().to_string(), "BKS-A005", "{agent} {name}");
        }
        assert!(presets.get("codex").unwrap().screen(screen(name, Access::Write)).is_err(), "{name}");
    }
}
