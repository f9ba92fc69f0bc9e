//! The real agent CLIs in a workflow, against the scripted endpoint: no account, no network, no cost. In the full mode only.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

#[expect(dead_code, reason = "the tests of the presets use more of it")]
#[path = "../../crates/agent/tests/real/cli.rs"]
mod cli;
#[path = "../../crates/agent/tests/real/install.rs"]
mod install;

use std::time::Duration;

use backstay_agent::Presets;
use backstay_engine::record::{AgentRecord, RunRecord, RunStatus};
use backstay_model::StepId;
use backstay_model::event::{Event, SessionWish};
use backstay_testkit::{Answer, Endpoint, Script};
use backstay_tests::library::events;
use backstay_tests::{Started, World, block_on};
use camino::Utf8PathBuf;
use cli::Cli;
use rustix::process::{Pid, Signal, kill_process_group};

/// The longest that one of these small runs may take until an answer; opencode's first start takes 10 s on a quick machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A workflow with one of the CLIs, and the endpoint that it talks to.
struct Place {
    cli: Cli,
    world: World,
    endpoint: Endpoint,
    programs: Utf8PathBuf,
}

impl Place {
    /// `None`, having said why, where the CLI is not to be had.
    fn new(cli: Cli, own: &[&str], script: impl FnOnce(&World) -> Script) -> Option<Place> {
        let programs = install::programs()?;
        let world = World::new();
        let endpoint = Endpoint::start(script(&world)).expect("an endpoint can be had");
        let home = world.path().join("home");
        std::fs::create_dir(&home).expect("a folder can be made");
        // Outside of a repository opencode takes its own working folder for a foreign one.
        let git = backstay_tests::git_command(world.path())
            .args(["init", "--quiet"])
            .current_dir(world.path())
            .status();
        assert!(git.expect("git can be started").success());
        cli.furnish(&home);
        let (args, _) = cli.connection(&endpoint.url(), true);
        let args = args.iter().map(String::as_str).chain(own.iter().copied());
        let quoted: Vec<String> = args.map(|arg| format!("'{arg}'")).collect();
        let name = cli.name();
        world.write(
            "flow.yaml",
            &format!(
                "backstay: 1\nname: real\nsteps:\n  - id: fix\n    agent: {{use: {name}, args: [{}]}}\n    prompt: Write a greeting.\n  - {{id: look, run: cat greeting.txt}}\noutputs: {{greeting: \"${{{{ steps.look.output }}}}\", said: \"${{{{ steps.fix.output }}}}\"}}\n",
                quoted.join(", ")
            ),
        );
        Some(Place { cli, world, endpoint, programs })
    }

    fn start(&self, given: &[(&str, &str)]) -> Started {
        let (_, env) = self.cli.connection(&self.endpoint.url(), true);
        let system =
            std::env::var_os("PATH").and_then(|path| path.into_string().ok()).expect("there is a PATH");
        let path = format!("{}:{system}", self.programs);
        let home = self.world.path().join("home");
        let mut variables = vec![("PATH", path.as_str()), ("HOME", home.as_str()), ("TZ", "UTC")];
        variables.extend(env.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        variables.extend(given);
        self.world.start_with(&["run", "flow.yaml"], &variables)
    }

    /// The outputs of the run, which completed.
    fn outputs(&self) -> String {
        let record = self.world.record();
        assert_eq!(record.status, RunStatus::Completed);
        let text = block_on(async {
            let store = self.world.store().await.expect("there is a store");
            store.text(record.outputs.as_ref().expect("it completed")).await.expect("it can be read")
        });
        text.to_string()
    }
}

fn agents(record: &RunRecord) -> Vec<AgentRecord> {
    let step = record.step(&"fix".parse::<StepId>().expect("an id")).expect("its turn came");
    step.attempts.iter().map(|attempt| attempt.agent.clone().expect("it is an agent's")).collect()
}

/// It does a task, is killed in the middle with all that it started, and goes on in its own session.
fn goes_on_in_its_own_session(cli: Cli) {
    let script = |world: &World| {
        let file = world.path().join("greeting.txt");
        Script::of([
            Answer::shell("echo before-the-kill > one.txt"),
            // What was done right before a kill may not be in a session yet.
            Answer::shell("sleep 1"),
            Answer::Hang,
            Answer::write(file.as_str(), "hello\n"),
            Answer::text("The greeting is written."),
        ])
    };
    let Some(place) = Place::new(cli, &[], script) else { return };
    let run = place.start(&[]);
    assert!(place.endpoint.wait_for_answers(3, PATIENCE), "{:?}", place.endpoint.received());
    let is_heard = |record: &RunRecord| agents(record).first().is_some_and(|agent| agent.tools == 2);
    let record = place
        .world
        .record_when("told of two commands", |record| !record.steps.is_empty() && is_heard(record));
    let pid = record.steps[0].attempts[0].pid.expect("it runs");
    let group = Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("a process id");
    kill_process_group(group, Signal::KILL).expect("it runs");
    let (status, out) = run.end();
    assert!(status.success(), "{out}");

    let record = place.world.record();
    assert_eq!(place.outputs(), r#"{"greeting":"hello","said":"The greeting is written."}"#);
    let agents = agents(&record);
    assert_eq!(agents.len(), 2, "{agents:#?}");
    assert!(agents[0].session.is_some() && agents[0].session == agents[1].session, "{agents:#?}");
    let tried = Presets::built_in()
        .expect("they are right")
        .get(cli.name())
        .and_then(|preset| preset.tried().map(str::to_owned));
    let version = agents[0].version.clone().expect("it told its version");
    assert!(version.contains(&tried.expect("it was tried")), "{version}");
    let usage = agents[1].usage.expect("who ended has told what it used");
    assert!(usage.input.is_some_and(|input| input > 0), "{usage:?}");
    let asked: Vec<_> =
        place.endpoint.received().into_iter().filter(|request| request.answer.is_some()).collect();
    assert!(asked[3].body.contains("before-the-kill"), "the model is told what was done before the kill");
    let wishes = block_on(async {
        let store = place.world.store().await.expect("there is a store");
        events(&store, record.run).await
    });
    let continued = wishes.iter().filter(|recorded| {
        matches!(Event::decode(recorded), Ok(Event::EffectStarting(starting))
            if starting.agent.as_ref().is_some_and(|agent| matches!(agent.session, SessionWish::Continue { .. })))
    });
    assert_eq!(continued.count(), 1);
}

const SECRET: &str = "sesame-opens-the-door-7431";

/// The provider sends a secret in two pieces; no piece has all of it, and the message has. What the processes printed has the
/// pieces; `logs` joins them, and redacts by its own environment.
fn tells_no_secret_that_comes_in_pieces(cli: Cli) {
    let own: &[&str] = if cli == Cli::Claude { &["--include-partial-messages"] } else { &[] };
    let script = |world: &World| {
        let (begin, end) = SECRET.split_at(13);
        let pieces = Answer::Pieces(vec![format!("The word is {begin}"), format!("{end}, I was told.")]);
        Script::of([Answer::write(world.path().join("greeting.txt").as_str(), "hello\n"), pieces])
    };
    let Some(place) = Place::new(cli, own, script) else { return };
    let (status, out) = place.start(&[("MY_TOKEN", SECRET)]).end();
    assert!(status.success(), "{out}");
    assert_eq!(
        place.outputs(),
        r#"{"greeting":"hello","said":"The word is [redacted:MY_TOKEN], I was told."}"#
    );
    let raw =
        String::from_utf8_lossy(&place.world.run(&["logs", "--raw", "@last", "fix"]).stdout).into_owned();
    let (begin, end) = SECRET.split_at(13);
    assert!(raw.contains(begin) && raw.contains(end), "it came in pieces: {raw}");
    let shown = |arguments: &[&str]| String::from_utf8_lossy(&place.world.run(arguments).stdout).into_owned();
    for arguments in [&["show"] as &[&str], &["show", "--json"], &["ls"]] {
        let shown = shown(arguments);
        assert!(!shown.contains("sesame"), "{arguments:?}: {shown}");
    }
    let mut logs = place.world.command(&["logs", "@last", "fix"]);
    let logs = logs.env("MY_TOKEN", SECRET).output().expect("the binary starts").stdout;
    let logs = String::from_utf8_lossy(&logs);
    assert!(logs.contains("[redacted:MY_TOKEN]") && !logs.contains("sesame"), "{logs}");
    // The end of an attempt has what its processes printed, as it came.
    let events = shown(&["events"]);
    assert!(!events.contains(SECRET), "{events}");
    let facts: String = events.lines().filter(|line| !line.contains(" effect_finished ")).collect();
    assert!(facts.contains("[redacted:MY_TOKEN]") && !facts.contains("sesame"), "{facts}");
    assert!(!out.contains("sesame"), "{out}");
}

macro_rules! real {
    ($($test:ident: $($name:ident $cli:expr),*;)*) => {
        $($(#[test]
        fn $name() {
            $test($cli);
        })*)*
    };
}

real! {
    goes_on_in_its_own_session:
        codex_goes_on_in_its_own_session Cli::Codex,
        claude_goes_on_in_its_own_session Cli::Claude,
        gemini_goes_on_in_its_own_session Cli::Gemini,
        opencode_goes_on_in_its_own_session Cli::Opencode;
    tells_no_secret_that_comes_in_pieces:
        claude_tells_no_secret_that_comes_in_pieces Cli::Claude,
        gemini_tells_no_secret_that_comes_in_pieces Cli::Gemini;
}
