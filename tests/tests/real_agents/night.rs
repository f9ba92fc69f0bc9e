//! A night of the four CLIs: they work in a loop while limits, refusals, cuts and kills come at moments that a seed chooses.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use backstay_engine::record::{RunRecord, RunStatus, StepRecord, StepStage};
use backstay_testkit::{Answer, Dialect, Endpoint, Refusal, Script, ToolCall};
use backstay_tests::{Seed, Started, World, git, send, soak};
use camino::Utf8PathBuf;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::cli::{Cli, Login};
use crate::install;

/// How many cycles it has; each of them has a turn of each CLI.
const CYCLES: usize = 20;
/// The longest that all of it may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(2 * 3_600);
/// The longest wait for the next answer without a look at the owner.
const LOOK: Duration = Duration::from_millis(200);
/// Stands in the command after which the owner is killed.
const OWNER_DIES: &str = "# the owner dies";

/// What comes in a CLI's way, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// Its allowance is used up: the next one takes over.
    Limit,
    /// Its provider refuses it: the next one takes over.
    Refused,
    /// The connection breaks in its answer.
    Cut,
    /// Its provider fails.
    Failed,
    /// It is killed with all that it started.
    Killed,
    /// The owner of the run is killed.
    OwnerKilled,
}

impl Trouble {
    const ALL: [Trouble; 6] = [
        Trouble::Limit,
        Trouble::Refused,
        Trouble::Cut,
        Trouble::Failed,
        Trouble::Killed,
        Trouble::OwnerKilled,
    ];

    fn hands_over(self) -> bool {
        matches!(self, Trouble::Limit | Trouble::Refused)
    }
}

fn dialect(cli: Cli) -> Dialect {
    match cli {
        Cli::Codex => Dialect::Responses,
        Cli::Claude => Dialect::Messages,
        Cli::Gemini => Dialect::Generate,
        Cli::Opencode => Dialect::Chat,
    }
}

fn after(cli: Cli) -> Cli {
    Cli::ALL[(cli as usize + 1) % Cli::ALL.len()]
}

/// What the model answers in one turn of `cli`.
fn answers(cli: Cli, key: &str, trouble: Option<Trouble>) -> Vec<Answer> {
    let work = format!("echo {key} >> work");
    let throughout = |answer| Answer::Throughout(dialect(cli), Box::new(answer));
    let limit = Answer::UsageLimit { resets_at_s: 1_890_000_000, retry_after_s: 7_200 };
    let first = match trouble {
        None | Some(Trouble::OwnerKilled) => None,
        Some(Trouble::Limit) => Some(throughout(limit)),
        Some(Trouble::Refused) => Some(throughout(Answer::Refused(Refusal::CreditTooLow))),
        Some(Trouble::Cut) => Some(Answer::Cut),
        Some(Trouble::Failed) => Some(Answer::ServerError),
        Some(Trouble::Killed) => Some(Answer::Hang),
    };
    let work = if trouble == Some(Trouble::OwnerKilled) { format!("{work} {OWNER_DIES}") } else { work };
    first.into_iter().chain([Answer::shell(&work), Answer::text(&format!("{key} is done"))]).collect()
}

struct Night {
    world: World,
    endpoint: Endpoint,
    programs: Utf8PathBuf,
}

impl Night {
    fn new(script: Script) -> Option<Night> {
        let programs = install::programs()?;
        let world = World::new();
        let home = world.path().join("home");
        std::fs::create_dir(&home).unwrap();
        git(world.path(), &["init", "--quiet"]);
        Cli::ALL.into_iter().for_each(|cli| cli.furnish(&home));
        Some(Night { world, endpoint: Endpoint::start(script).unwrap(), programs })
    }

    fn start(&self, arguments: &[&str]) -> Started {
        let mut variables: BTreeMap<String, String> = BTreeMap::new();
        for cli in Cli::ALL {
            variables.extend(cli.connection(&self.endpoint.url(), Login::Chosen).1);
        }
        let system = std::env::var_os("PATH").and_then(|path| path.into_string().ok()).unwrap();
        variables.insert("PATH".to_owned(), format!("{}:{system}", self.programs));
        variables.insert("HOME".to_owned(), self.world.path().join("home").into_string());
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.world.start_with(arguments, &variables)
    }

    fn flow(&self, cycles: usize) -> String {
        let (mut agents, mut steps) = (String::new(), String::new());
        for cli in Cli::ALL {
            let (name, next) = (cli.name(), after(cli).name());
            let (args, _) = cli.connection(&self.endpoint.url(), Login::Chosen);
            let args: Vec<String> = args.iter().map(|arg| format!("'{arg}'")).collect();
            agents += &format!("  my-{name}: {{use: {name}, args: [{}]}}\n", args.join(", "));
            steps += &format!(
                "      - {{id: {name}, agent: {{use: my-{name}, fallback: [my-{next}]}}, prompt: Do your part., retry: {{max: 5, errors: [network], backoff: 1s}}}}\n"
            );
        }
        let parts = cycles * Cli::ALL.len();
        format!(
            "backstay: 1\nname: night\nagents:\n{agents}steps:\n  - id: night\n    repeat: {{until: steps.enough.exit_code == 0, max_cycles: {cycles}, min_cycle: 0s}}\n    steps:\n{steps}      - {{id: enough, run: 'test $(wc -l < work) -ge {parts}', accept_exit: 0-1}}\n"
        )
    }

    /// Runs the workflow to its end, and kills agents and owners where the script says so. Gives how many owners were killed.
    fn run(&self) -> (usize, String) {
        let (mut deaths, mut seen) = (0, 0);
        let mut arguments = ["run", "flow.yaml"];
        loop {
            let owner = self.start(&arguments);
            let pid = owner.pid();
            let running = std::thread::spawn(move || owner.end_within(PATIENCE));
            while !running.is_finished() {
                if !self.endpoint.wait_for_answers(seen + 1, LOOK) {
                    continue;
                }
                match self.endpoint.received().into_iter().filter_map(|one| one.answer).nth(seen) {
                    Some(Answer::Hang) => self.kill_agent(),
                    Some(Answer::Tool(ToolCall::Shell(command))) if command.contains(OWNER_DIES) => {
                        send(pid, Signal::KILL);
                    }
                    _ => {}
                }
                seen += 1;
            }
            let (status, out) = running.join().unwrap();
            if status.signal() != Some(Signal::KILL.as_raw()) {
                return (deaths, out);
            }
            deaths += 1;
            arguments = ["resume", "@last"];
        }
    }

    fn kill_agent(&self) {
        let working = |record: &RunRecord| {
            let step = record
                .steps
                .iter()
                .find(|step| step.stage == StepStage::Working && !step.attempts.is_empty());
            step.and_then(|step| step.attempts.last()?.pid)
        };
        let record = self.world.record_when("works", |record| working(record).is_some());
        let pid = working(&record).and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).unwrap();
        kill_process_group(pid, Signal::KILL).unwrap();
    }
}

/// The step of `cli` in a cycle from 1.
fn step_of(record: &RunRecord, cli: Cli, cycle: usize) -> &StepRecord {
    record.steps.iter().filter(|step| step.step.as_str() == cli.name()).nth(cycle - 1).unwrap()
}

#[test]
fn a_night_of_all_four_ends_with_the_right_work_and_the_right_numbers() {
    if !soak() {
        println!("left to `cargo xtask soak`");
        return;
    }
    let mut seed = Seed::drawn();
    let mut turns = Vec::new();
    for cycle in 1..=CYCLES {
        for cli in Cli::ALL {
            let drawn = usize::try_from(seed.below(Trouble::ALL.len() as u64 * 2)).unwrap();
            turns.push((cli, cycle, Trouble::ALL.get(drawn).copied()));
        }
    }
    let key = |cli: Cli, cycle: usize| format!("{}-{cycle}", cli.name());
    let script = turns.iter().flat_map(|(cli, cycle, trouble)| answers(*cli, &key(*cli, *cycle), *trouble));
    let Some(night) = Night::new(Script::of(script.collect::<Vec<_>>())) else { return };
    night.world.write("flow.yaml", &night.flow(CYCLES));
    let (deaths, out) = night.run();

    let record = night.world.record();
    assert_eq!(record.status, RunStatus::Completed, "{turns:?}: {out}");
    let work: String = turns.iter().map(|(cli, cycle, _)| key(*cli, *cycle) + "\n").collect();
    assert_eq!(night.world.read("work"), work, "each part is done once and in order: {turns:?}");
    assert_eq!(deaths, turns.iter().filter(|(.., trouble)| *trouble == Some(Trouble::OwnerKilled)).count());
    for (cli, cycle, trouble) in &turns {
        let by = if trouble.is_some_and(Trouble::hands_over) { after(*cli) } else { *cli };
        let step = step_of(&record, *cli, *cycle);
        assert_eq!(step.agent.as_deref(), Some(&*format!("my-{}", by.name())), "{trouble:?}: {step:#?}");
    }
    // What was told is what the endpoint counted; only who was killed may have told less.
    let answered = |answer: &Answer| matches!(answer, Answer::Tool(_) | Answer::Text(_));
    let answered =
        night.endpoint.received().into_iter().filter_map(|one| one.answer).filter(answered).count();
    let usage = record.usage().unwrap();
    assert_eq!(usage.input.known, 1_000 * u64::try_from(answered).unwrap(), "{usage:?}");

    let shown = String::from_utf8(night.world.run(&["show", "@last"]).stdout).unwrap();
    println!("{shown}");
    assert!(shown.lines().count() <= 24, "one screen tells it: {shown}");
}
