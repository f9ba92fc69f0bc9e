//! A night: four agents work in a loop while limits, cuts, refusals and kills come at moments that a seed chooses.

use std::os::unix::process::ExitStatusExt;

use backstay_engine::record::{RunRecord, RunStatus};
use backstay_tests::{Seed, World, soak};
use rustix::process::Signal;

const AGENTS: [&str; 4] = ["north", "east", "south", "west"];
const STEPS: [&str; 4] = ["plan", "code", "test", "tell"];
/// Tokens that a turn which comes to its end says it used.
const TOKENS: u64 = 100;

/// What comes in an agent's way, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// Its allowance is used up for hours: the next agent takes over.
    Limit,
    /// Its provider refuses it: the next agent takes over.
    Refused,
    /// The connection breaks: it is tried again in its session.
    Cut,
    /// It is killed with all that it started: it goes on in its session.
    Killed,
    /// It is killed with its keeper: it goes on in its session.
    Lost,
    /// The owner of the run is killed, and the agent works on meanwhile.
    OwnerKilled,
}

impl Trouble {
    const ALL: [Trouble; 6] = [
        Trouble::Limit,
        Trouble::Refused,
        Trouble::Cut,
        Trouble::Killed,
        Trouble::Lost,
        Trouble::OwnerKilled,
    ];

    /// What a turn of the agent does, in the words of the scripted agent.
    fn script(self) -> &'static str {
        match self {
            Trouble::Limit => "fails 'you hit your usage limit, try again in 3h'",
            Trouble::Refused => "fails 'Your credit balance is too low'",
            Trouble::Cut => "say '{\"type\":\"error\",\"message\":\"no network\"}'; exit 1",
            Trouble::Killed => "kill -KILL 0",
            Trouble::Lost => "kill -KILL $PPID; kill -KILL 0",
            // An owner that begins while this one waits writes its own id.
            Trouble::OwnerKilled => {
                "until kill -KILL \"$(cat owner)\" 2>/dev/null; do sleep 0.01; done; rm owner"
            }
        }
    }

    /// Whether the step needs another attempt.
    fn ends_the_attempt(self) -> bool {
        self != Trouble::OwnerKilled
    }

    /// Whether another agent does the step.
    fn hands_over(self) -> bool {
        matches!(self, Trouble::Limit | Trouble::Refused)
    }
}

/// A turn: the trouble that waits for it, if there is one, else the work.
const TURN: &str = r#"
key="$BACKSTAY_STEP-$BACKSTAY_CYCLE"
tool t1 "begin $key"
if [ -f "troubles/$key" ]; then mv "troubles/$key" "troubles/met-$key"; . "troubles/met-$key"; fi
echo "$key by ${here##*/}" >> work
message "$key is done"
ends 100
"#;

/// The troubles of a night by cycle and step: one of each at least, and more for a third of the other steps.
fn troubles(seed: &mut Seed, cycles: usize) -> Vec<Option<Trouble>> {
    let places = cycles * STEPS.len();
    let mut troubles: Vec<Option<Trouble>> = vec![None; places];
    let mut below = |bound: usize| usize::try_from(seed.below(bound as u64)).expect("it is below a usize");
    for trouble in Trouble::ALL {
        let free: Vec<usize> = (0..places).filter(|place| troubles[*place].is_none()).collect();
        troubles[free[below(free.len())]] = Some(trouble);
    }
    for trouble in troubles.iter_mut().filter(|trouble| trouble.is_none()) {
        *trouble = Trouble::ALL.get(below(Trouble::ALL.len() * 3)).copied();
    }
    troubles
}

fn flow(cycles: usize) -> String {
    let agent = |number: usize| AGENTS[number % AGENTS.len()];
    let steps: String = STEPS
        .iter()
        .enumerate()
        .map(|(number, step)| {
            format!(
                "      - {{id: {step}, agent: {{use: {}, fallback: [{}]}}, prompt: Do your part., retry: {{max: 3, errors: [network], backoff: 1ms}}}}\n",
                agent(number),
                agent(number + 1)
            )
        })
        .collect();
    let parts = cycles * STEPS.len();
    format!(
        "backstay: 1\nname: night\nsteps:\n  - id: night\n    repeat: {{until: steps.enough.exit_code == 0, max_cycles: {cycles}, min_cycle: 0s}}\n    steps:\n{steps}      - {{id: enough, run: 'test $(wc -l < work) -ge {parts}', accept_exit: 0-1}}\n"
    )
}

/// Runs the workflow to its end; another owner takes over from each that is killed. Gives how many were.
fn run_to_its_end(world: &World) -> (usize, String) {
    let mut deaths = 0;
    let mut owner = world.start(&["run", "flow.yaml"]);
    loop {
        world.write("owner", &owner.pid().to_string());
        let (status, out) = owner.end();
        if status.signal() != Some(Signal::KILL.as_raw()) {
            return (deaths, out);
        }
        deaths += 1;
        owner = world.start(&["resume", "@last"]);
    }
}

#[test]
fn a_night_of_troubles_ends_with_the_right_work_the_right_numbers_and_one_screen() {
    let cycles = if soak() { 20 } else { 3 };
    let mut seed = Seed::drawn();
    let troubles = troubles(&mut seed, cycles);
    let world = World::new();
    std::fs::create_dir(world.path().join("troubles")).expect("a folder can be made");
    let mut work = String::new();
    for (place, trouble) in troubles.iter().enumerate() {
        let (cycle, number) = (place / STEPS.len() + 1, place % STEPS.len());
        if let Some(trouble) = trouble {
            world.write(&format!("troubles/{}-{cycle}", STEPS[number]), trouble.script());
        }
        let by = number + usize::from(trouble.is_some_and(Trouble::hands_over));
        work += &format!("{}-{cycle} by {}\n", STEPS[number], AGENTS[by % AGENTS.len()]);
    }
    for agent in AGENTS {
        world.fake(agent).turns(TURN);
    }
    world.write("flow.yaml", &flow(cycles));

    let (deaths, out) = run_to_its_end(&world);

    let count = |is_so: fn(Trouble) -> bool| troubles.iter().flatten().filter(|one| is_so(**one)).count();
    let record = world.record();
    assert_eq!(record.status, RunStatus::Completed, "{troubles:?}: {out}");
    assert_eq!(world.read("work"), work, "each part is done once, in order, by who can: {troubles:?}");
    assert_eq!(deaths, count(|trouble| trouble == Trouble::OwnerKilled));
    let more = count(Trouble::ends_the_attempt);
    has_right_numbers(&record, (troubles.len(), more));

    let shown = world.run(&["show", "@last"]);
    let shown = String::from_utf8(shown.stdout).expect("it is UTF-8");
    println!("{shown}");
    let classes = [Trouble::Limit, Trouble::Refused, Trouble::Cut, Trouble::Killed, Trouble::Lost];
    for (trouble, class) in classes.iter().zip(["rate_limit", "refused", "network", "crash", "lost"]) {
        let count = troubles.iter().flatten().filter(|one| *one == trouble).count();
        assert!(shown.contains(&format!(" {count} {class} (")), "{count} {class}: {shown}");
    }
    assert!(shown.lines().count() <= 24, "one screen tells it: {shown}");
}

/// `parts` were done, and `more` attempts besides, which told nothing of what they used.
fn has_right_numbers(record: &RunRecord, (parts, more): (usize, usize)) {
    let number = |count: usize| u64::try_from(count).expect("it is small");
    let usage = record.usage().expect("agents worked");
    assert_eq!(usage.input.known, number(parts) * TOKENS);
    assert_eq!((usage.attempts, usage.untold), (number(parts + more), number(more)));
}
