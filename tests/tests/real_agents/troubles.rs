//! Troubles in the middle of a task, and how it goes on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use backstay_agent::Presets;
use backstay_engine::record::RunRecord;
use backstay_log::ClaimMode;
use backstay_model::Timestamp;
use backstay_model::event::{AttemptEnd, FailureClass, ResumeRequested, Said};
use backstay_runtime::{Clock, StopSwitch, SystemClock};
use backstay_testkit::{Answer, Endpoint, Refusal, Script};
use backstay_tests::block_on;
use backstay_tests::library::{actor, open, owner_with, request_with};

use crate::cli::Cli;
use crate::place::{PATIENCE, Place, agents, attempts, step};

/// What is done before the trouble comes.
const BEFORE: &str = "echo before-the-trouble > one.txt";

/// The first answer is a command, then come these.
fn in_mid_task(answers: impl IntoIterator<Item = Answer>) -> Script {
    let before = [Answer::shell(BEFORE), Answer::shell("sleep 1")];
    Script::of(before.into_iter().chain(answers))
}

fn holds_what_was_done(place: &Place) {
    let asked = place.asked();
    let last = asked.last().expect("it asked");
    assert!(last.body.contains("before-the-trouble"), "the model is told what was done: {}", last.body);
}

/// A wall clock that the test moves.
#[derive(Debug, Default)]
struct Moved(Mutex<Duration>);

impl Clock for Moved {
    fn wall(&self) -> Timestamp {
        SystemClock.wall().plus(*self.0.lock().unwrap())
    }

    fn asleep(&self) -> Duration {
        Duration::ZERO
    }
}

const LIMIT: Duration = Duration::from_secs(2 * 3_600);
/// How long a limit is waited for that tells no end.
const UNTOLD: Duration = Duration::from_secs(5 * 60);

/// The step is parked until the limit ends, by a clock that the test moves, and goes on in its session.
pub(crate) fn waits_for_a_limit_in_mid_task(cli: Cli) {
    let resets_at = SystemClock.wall().plus(LIMIT);
    let limit = Answer::UsageLimit {
        resets_at_s: u64::try_from(resets_at.as_micros() / 1_000_000).unwrap(),
        retry_after_s: LIMIT.as_secs(),
    };
    let script = Script { then: limit, ..in_mid_task([]) };
    let Some(place) = Place::new(cli, |_| script) else { return };
    place.flow("  - {id: fix, agent: real, prompt: Do it.}\n");
    let record = block_on(async {
        let clock = Arc::new(Moved::default());
        let store = open(&place.world).await.with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
        let presets = Presets::built_in().unwrap();
        let run = request_with(&store, &place.world, &place.world.read("flow.yaml"), presets).await;
        let owner = owner_with(&store, place.variables()).await;
        let switch = StopSwitch::default();
        let waits = async {
            let limit = loop {
                let record = store.view(run).await.unwrap().record;
                let limit = record.steps.first().and_then(|step| step.limit.clone());
                match limit {
                    Some(limit) => break limit,
                    None => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            };
            // Gemini CLI and opencode tell no time: what is not told is waited for by the rule.
            let expected = match cli {
                Cli::Codex | Cli::Claude => resets_at,
                Cli::Gemini | Cli::Opencode => SystemClock.wall().plus(UNTOLD),
            };
            let wrong = limit.until.since(expected).max(expected.since(limit.until));
            assert!(wrong < Duration::from_secs(150), "{limit:?} instead of {expected}");
            place.endpoint.play(Script::of([Answer::text("It is done.")]));
            *clock.0.lock().unwrap() = LIMIT + Duration::from_secs(300);
            let said = store.say(run, ResumeRequested { by: actor(), now: false }).await.unwrap();
            store.verdict(run, said).await.unwrap();
        };
        let drive = async { tokio::join!(owner.drive(run, ClaimMode::IfFree, &switch), waits) };
        let (end, ()) = tokio::time::timeout(PATIENCE, drive).await.expect("it ends");
        end.expect("the run ends");
        store.view(run).await.unwrap().record
    });
    assert_eq!(step(&record, "fix").failure, None, "{record:#?}");
    let agents = agents(&record, "fix");
    assert_eq!(agents.len(), 2, "{agents:#?}");
    assert!(agents[0].session.is_some() && agents[0].session == agents[1].session, "{agents:#?}");
    holds_what_was_done(&place);
}

/// A refusal is not tried again: the next agent takes over and is told what was done.
pub(crate) fn hands_over_when_refused_in_mid_task(cli: Cli) {
    let refused = Answer::Refused(Refusal::CreditTooLow);
    let script = Script { then: refused.clone(), ..in_mid_task([]) };
    let Some(place) = Place::new(cli, |_| script) else { return };
    let other = place.world.fake("other");
    place.flow("  - {id: fix, agent: {use: real, fallback: [other]}, prompt: Do it., retry: 3}\n");
    let record = place.completes();
    let attempts = attempts(&record, "fix");
    assert_eq!(attempts.len(), 2, "{attempts:#?}");
    assert_eq!(attempts[0].end, Some(AttemptEnd::Failed { failure: FailureClass::Refused }));
    let told = other.prompt(1);
    assert!(told.contains("real") && told.contains("2 tools") && told.ends_with("Do it."), "{told}");
    let refusals = place.asked().into_iter().filter(|request| request.answer.as_ref() == Some(&refused));
    assert_eq!(refusals.count(), 1);
}

/// A login that expired in the middle ends the step with the words that mend it; after a new one it goes on.
pub(crate) fn goes_on_after_a_new_login(cli: Cli) {
    let script = Script { then: Answer::Expired, ..in_mid_task([]) };
    let Some(place) = Place::new(cli, |_| script) else { return };
    place.flow("  - {id: fix, agent: real, session: keep, prompt: Do it.}\n");
    let (status, out) = place.start().end_within(PATIENCE);
    assert_eq!(status.code(), Some(1), "{out}");
    let record = place.world.record();
    assert_eq!(step(&record, "fix").failure, Some(FailureClass::Login), "{record:#?}");
    assert_eq!(attempts(&record, "fix").len(), 1);
    let shown = String::from_utf8_lossy(&place.world.run(&["show"]).stdout).into_owned();
    let login = match cli {
        Cli::Codex => "codex login",
        Cli::Claude => "claude auth login",
        Cli::Gemini => "gemini",
        Cli::Opencode => "opencode auth login",
    };
    assert!(shown.contains(login), "{shown}");
    place.endpoint.play(Script::of([Answer::text("It is done.")]));
    let (status, out) = place.command(&["retry", "@last"]).end_within(PATIENCE);
    assert!(status.success(), "{out}");
    holds_what_was_done(&place);
}

/// The provider goes away in the middle of an answer, and comes back where it was.
pub(crate) fn goes_on_when_the_network_is_back(cli: Cli) {
    let Some(mut place) = Place::new(cli, |_| in_mid_task([Answer::Hang])) else { return };
    place.flow(
        "  - {id: fix, agent: real, prompt: Do it., retry: {max: 20, errors: [network], backoff: 1s}}\n",
    );
    let run = place.start();
    place.wait_for_answers(3);
    let address = place.endpoint.address();
    // Its old connections end with it.
    let idle = Endpoint::start(Script::of([])).unwrap();
    drop(std::mem::replace(&mut place.endpoint, idle));
    let is_told = |record: &RunRecord| {
        let trouble = |agent: &backstay_engine::record::AgentRecord| agent.trouble.is_some();
        attempts(record, "fix").len() > 1 || agents(record, "fix").iter().any(trouble)
    };
    let _down = place.world.record_when("told that the network is down", is_told);
    place.endpoint = Endpoint::start_at(address, Script::of([Answer::text("It is done.")])).unwrap();
    let (status, out) = run.end_within(PATIENCE);
    assert!(status.success(), "{out}");
    let told = place.told();
    assert!(told.iter().any(|said| matches!(said, Said::NetworkTrouble { .. })), "{told:?}");
    let record = place.world.record();
    let is_network = |end: &Option<AttemptEnd>| {
        matches!(end, Some(AttemptEnd::Succeeded | AttemptEnd::Failed { failure: FailureClass::Network }))
    };
    let ends: Vec<_> = attempts(&record, "fix").iter().map(|attempt| attempt.end).collect();
    assert!(ends.iter().all(is_network), "{ends:?}");
    holds_what_was_done(&place);
}

/// A provider that fails again and again in the middle of a task costs no more than the wait.
pub(crate) fn gets_over_a_provider_that_fails(cli: Cli) {
    let failures = (0..3).map(|_| Answer::ServerError);
    let script = in_mid_task(failures.chain([Answer::text("It is done.")]));
    let Some(place) = Place::new(cli, |_| script) else { return };
    place.flow(
        "  - {id: fix, agent: real, prompt: Do it., retry: {max: 20, errors: [network], backoff: 1s}}\n",
    );
    let record = place.completes();
    let told = place.told();
    assert!(told.iter().any(|said| matches!(said, Said::NetworkTrouble { .. })), "{told:?}");
    assert_eq!(place.asked().len(), 6);
    // Codex was told not to try again by itself.
    assert_eq!(attempts(&record, "fix").len(), if cli == Cli::Codex { 4 } else { 1 });
    holds_what_was_done(&place);
}
