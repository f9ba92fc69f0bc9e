//! Agents of one's own that are real programs, by the configurations that docs/agents.md gives, against the scripted
//! endpoint: no account, no network, no cost. In the full mode only.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use std::fs::{File, create_dir_all};
use std::process::{Command, Stdio};

use backstay_engine::record::{AttemptRecord, RunRecord};
use backstay_model::StepId;
use backstay_model::event::{AttemptEnd, FailureClass};
use backstay_testkit::{Answer, Endpoint, Script, Turns};
use backstay_tests::{World, all};
use camino::{Utf8Path, Utf8PathBuf};

/// The folder `name` below that of the build, with what `install` puts there once; `None`, having said why, where that
/// is not to be had.
fn installed(name: &str, version: &str, install: impl Fn(&Utf8Path) -> Vec<Command>) -> Option<Utf8PathBuf> {
    if !all() {
        println!("skipped: real agents run in the full mode only (`cargo xtask test --all`)");
        return None;
    }
    let folder = Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("agent-clis").join(name);
    create_dir_all(&folder).unwrap();
    // Each test may be a process of its own.
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let stamp = folder.join("installed");
    if std::fs::read_to_string(&stamp).ok().as_deref() == Some(version) {
        return Some(folder);
    }
    for mut command in install(&folder) {
        match command.stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                println!("skipped: {name} cannot be installed: {}", String::from_utf8_lossy(&output.stderr));
                return None;
            }
            Err(error) => {
                println!("skipped: {name} cannot be installed: {error}");
                return None;
            }
        }
    }
    std::fs::write(stamp, version).unwrap();
    Some(folder)
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

fn aider() -> Option<Utf8PathBuf> {
    let folder = installed("aider", "0.86.2", |folder| {
        let pip = folder.join("bin/pip");
        vec![
            command("python3", &["-m", "venv", folder.as_str()]),
            command(pip.as_str(), &["install", "--quiet", "aider-chat==0.86.2"]),
        ]
    })?;
    Some(folder.join("bin"))
}

fn qwen() -> Option<Utf8PathBuf> {
    let folder = installed("qwen", "0.15.10", |folder| {
        let flags = ["install", "--no-audit", "--no-fund", "--no-package-lock", "--prefix", folder.as_str()];
        vec![command("npm", &[&flags[..], &["@qwen-code/qwen-code@0.15.10"]].concat())]
    })?;
    Some(folder.join("node_modules/.bin"))
}

/// The configurations on the page about agents, as one.
fn documented() -> String {
    let page = include_str!("../../docs/agents.md");
    page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

struct Place {
    world: World,
    endpoint: Endpoint,
    programs: Utf8PathBuf,
}

impl Place {
    fn new(programs: Utf8PathBuf, script: Script) -> Place {
        let world = World::new();
        world.configure(&documented());
        std::fs::create_dir(world.path().join("home")).unwrap();
        Place { world, endpoint: Endpoint::start(script).unwrap(), programs }
    }

    /// Runs the workflow of these steps to its end; its exit code.
    fn run(&self, steps: &str) -> Option<i32> {
        self.world.write("flow.yaml", &format!("backstay: 1\nname: own\nsteps:\n{steps}"));
        let system = std::env::var_os("PATH").and_then(|path| path.into_string().ok()).unwrap();
        let path = format!("{}:{system}", self.programs);
        let (url, home) = (format!("{}/v1", self.endpoint.url()), self.world.path().join("home"));
        let variables = [
            ("PATH", path.as_str()),
            ("HOME", home.as_str()),
            ("OPENAI_API_KEY", "scripted"),
            ("OPENAI_API_BASE", &url),
            ("OPENAI_BASE_URL", &url),
            ("OPENAI_MODEL", "small"),
        ];
        let (status, out) = self.world.start_with(&["run", "flow.yaml"], &variables).end();
        println!("{out}");
        status.code()
    }
}

fn attempts<'r>(record: &'r RunRecord, step: &str) -> &'r [AttemptRecord] {
    &record.step(&step.parse::<StepId>().unwrap()).expect("its turn came").attempts
}

fn refused() -> Script {
    Script { then: Answer::Unauthorized, ..Script::of([]) }
}

fn is_not_logged_in(record: &RunRecord) {
    let end = &attempts(record, "fix")[0].end;
    assert!(matches!(end, Some(AttemptEnd::Failed { failure: FailureClass::Login })), "{end:?}");
}

#[test]
fn aider_does_a_task_and_says_that_its_key_is_refused() {
    let Some(programs) = aider() else { return };
    let steps = "  - {id: fix, agent: {use: aider, model: openai/small, args: [--no-git]}, prompt: Write a greeting.}\n";
    let answer = Answer::text("greeting.txt\n```\nhello\n```\n");
    let place = Place::new(programs.clone(), Script { turns: Turns::AreAll, ..Script::of([answer]) });
    assert_eq!(place.run(steps), Some(0));
    assert_eq!(place.world.read("greeting.txt"), "hello\n");

    let place = Place::new(programs, Script { turns: Turns::AreAll, ..refused() });
    assert_eq!(place.run(steps), Some(1));
    is_not_logged_in(&place.world.record());
}

#[test]
fn qwen_does_a_task_goes_on_and_says_that_its_key_is_refused() {
    let Some(programs) = qwen() else { return };
    let agent = "agent: {use: qwen, args: [--auth-type, openai]}";
    let steps = format!(
        "  - {{id: fix, {agent}, prompt: Write a greeting.}}\n  - {{id: more, {agent}, session: {{from: fix}}, prompt: Go on.}}\n"
    );
    let script = Script::of([
        Answer::shell("echo hello > greeting.txt"),
        Answer::text("Written."),
        Answer::text("More."),
    ]);
    let place = Place::new(programs.clone(), script);
    assert_eq!(place.run(&steps), Some(0));
    assert_eq!(place.world.read("greeting.txt"), "hello\n");
    let record = place.world.record();
    let agent_of = |step: &str| attempts(&record, step)[0].agent.clone().unwrap();
    let (first, second) = (agent_of("fix"), agent_of("more"));
    assert_eq!((first.tools, first.model.as_deref(), first.turn_ok), (1, Some("small"), Some(true)));
    assert!(first.session.is_some() && first.session == second.session, "{first:?} {second:?}");
    let input = |agent: &backstay_engine::record::AgentRecord| agent.usage.unwrap().input;
    assert_eq!((input(&first), input(&second)), (Some(2_000), Some(1_000)), "what the endpoint counted");
    let asked = place.endpoint.received();
    assert!(
        asked
            .iter()
            .any(|request| request.body.contains("Go on.") && request.body.contains("Write a greeting."))
    );

    let place = Place::new(programs, refused());
    assert_eq!(place.run(&steps), Some(1));
    is_not_logged_in(&place.world.record());
}
