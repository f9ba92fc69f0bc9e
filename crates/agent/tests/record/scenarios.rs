//! What the CLIs are made to do while what they print is recorded.

use backstay_agent::{Access, SessionUse};
use backstay_testkit::{Answer, Refusal, Script, ToolCall};

use crate::cli::{Cli, Login};
use crate::clis::{Run, Workplace};

/// Recordings of one home, each with its name.
type Recordings = Vec<(&'static str, Run)>;

/// Something that a CLI is made to do in a home of its own.
pub(crate) struct Scenario {
    pub(crate) login: Login,
    pub(crate) play: fn(&Workplace, Cli) -> Recordings,
}

/// On another day than that of the recording, and within a year of the clocks of the tests that read it.
const LIMIT_RESETS_AT_S: u64 = 1_826_749_600;

/// The request at which a CLI that tries again without end is killed: by then it has said so.
const ANSWERS_BEFORE_KILL: usize = 3;

const SCHEMA: &str = r#"{"type":"object","properties":{"greeting_of_the_day":{"type":"string"}},"required":["greeting_of_the_day"],"additionalProperties":false}"#;

/// The scenarios for `cli`, in the order in which they are played.
pub(crate) fn of(cli: Cli) -> Vec<Scenario> {
    let mut plays: Vec<fn(&Workplace, Cli) -> Recordings> = vec![
        task,
        thought,
        session,
        sub_agent,
        session_unknown,
        limit,
        refused_login,
        no_credit,
        forbidden,
        content_filter,
        cut,
        provider_fails,
    ];
    match cli {
        Cli::Codex => plays.extend([schema as fn(&Workplace, Cli) -> Recordings, web_search]),
        Cli::Claude => plays.extend([schema as fn(&Workplace, Cli) -> Recordings, background, pieces]),
        Cli::Gemini | Cli::Opencode => {}
    }
    let mut scenarios: Vec<Scenario> =
        plays.into_iter().map(|play| Scenario { login: Login::Chosen, play }).collect();
    // Without any provider opencode waits for a network.
    if cli != Cli::Opencode {
        scenarios.push(Scenario { login: Login::Never, play: no_login });
    }
    scenarios
}

fn started(place: &Workplace, cli: Cli, script: Script) -> Run {
    place.run(script, SessionUse::Start { id: cli.new_session() }, Access::Write)
}

/// A command, a file, and the end.
fn task(place: &Workplace, cli: Cli) -> Recordings {
    let file = place.folder().join("greeting.txt");
    let script = Script::of([
        Answer::shell("echo one > one.txt"),
        Answer::write(file.as_str(), "hello\n"),
        Answer::text("The greeting is written."),
    ]);
    vec![("task", started(place, cli, script))]
}

/// Thoughts before a command that fails and before a message in pieces.
fn thought(place: &Workplace, cli: Cli) -> Recordings {
    let pieces = Answer::Pieces(["It is ", "not there.\n", "Shall I make it?"].map(str::to_owned).into());
    let script = Script::of([
        Answer::shell("cat missing.txt").after("I should look first."),
        pieces.after("It is missing."),
    ]);
    vec![("thought", started(place, cli, script))]
}

/// Killed in the middle, refused a second beginning where names are chosen, and gone on with.
fn session(place: &Workplace, cli: Cli) -> Recordings {
    // The second command gives Claude Code the time to write its session.
    let script =
        Script::of([Answer::shell("echo before-the-kill > one.txt"), Answer::shell("sleep 1"), Answer::Hang]);
    let killed = place.run_and_kill(script, SessionUse::Start { id: cli.new_session() }, 3);
    let id = killed.progress().session().unwrap().to_owned();
    let mut recordings = vec![("killed", killed)];
    if cli.new_session().is_some() {
        recordings.push(("session_in_use", started(place, cli, Script::of([]))));
    }
    let script = Script::of([Answer::text("I have gone on.")]);
    recordings.push(("resumed", place.run(script, SessionUse::Resume { id }, Access::Write)));
    recordings
}

fn session_unknown(place: &Workplace, cli: Cli) -> Recordings {
    let id = cli.unknown_session().to_owned();
    vec![("session_unknown", place.run(Script::of([]), SessionUse::Resume { id }, Access::Write))]
}

/// All further answers are the same, as it is not certain whose turn comes first.
fn sub_agent(place: &Workplace, cli: Cli) -> Recordings {
    let script = Script::of([Answer::Tool(ToolCall::SubAgent("Look for a greeting.".to_owned()))]);
    vec![("sub_agent", started(place, cli, script))]
}

/// A command that the turn does not wait for, and the turn that its end begins.
fn background(place: &Workplace, cli: Cli) -> Recordings {
    let script = Script::of([Answer::Tool(ToolCall::Background("sleep 1".to_owned()))]);
    vec![("background", started(place, cli, script))]
}

/// With the pieces of its messages, which it tells only if it is asked to.
fn pieces(place: &Workplace, cli: Cli) -> Recordings {
    let pieces = Answer::Pieces(["Good ", "morning."].map(str::to_owned).into());
    let script = Script::of([pieces.after("In the morning, then.")]);
    let args = vec!["--include-partial-messages".to_owned()];
    vec![("pieces", place.run_with_args(script, SessionUse::Start { id: cli.new_session() }, args))]
}

fn web_search(place: &Workplace, cli: Cli) -> Recordings {
    let (query, text) = ("greetings of the world".to_owned(), "There are many.".to_owned());
    vec![("web_search", started(place, cli, Script::of([Answer::WebSearch { query, text }])))]
}

fn schema(place: &Workplace, _: Cli) -> Recordings {
    let answer = Answer::Document(r#"{"greeting_of_the_day":"hello"}"#.to_owned());
    vec![("schema", place.run_with_schema(Script::of([answer]), SCHEMA))]
}

/// opencode waits for the end of the limit.
fn limit(place: &Workplace, cli: Cli) -> Recordings {
    let script = always(Answer::UsageLimit { resets_at_s: LIMIT_RESETS_AT_S, retry_after_s: 7_200 });
    let run = match cli {
        Cli::Opencode => place.run_until_symptom(script, SessionUse::Start { id: None }).1,
        Cli::Codex | Cli::Claude | Cli::Gemini => started(place, cli, script),
    };
    vec![("limit", run)]
}

fn refused_login(place: &Workplace, cli: Cli) -> Recordings {
    vec![("refused_login", started(place, cli, always(Answer::Unauthorized)))]
}

fn no_login(place: &Workplace, cli: Cli) -> Recordings {
    vec![("no_login", started(place, cli, Script::of([])))]
}

fn no_credit(place: &Workplace, cli: Cli) -> Recordings {
    vec![("no_credit", started(place, cli, always(Answer::Refused(Refusal::CreditTooLow))))]
}

fn forbidden(place: &Workplace, cli: Cli) -> Recordings {
    vec![("forbidden", started(place, cli, always(Answer::Refused(Refusal::Forbidden))))]
}

fn content_filter(place: &Workplace, cli: Cli) -> Recordings {
    vec![("content_filter", started(place, cli, always(Answer::Refused(Refusal::ContentFilter))))]
}

fn cut(place: &Workplace, cli: Cli) -> Recordings {
    vec![("cut", failing(place, cli, Answer::Cut))]
}

fn provider_fails(place: &Workplace, cli: Cli) -> Recordings {
    vec![("provider_fails", failing(place, cli, Answer::ServerError))]
}

fn always(answer: Answer) -> Script {
    Script { answers: [].into(), then: answer }
}

/// To its end, or until it has tried again often enough: what it asks for then is never answered, so that it says nothing more.
fn failing(place: &Workplace, cli: Cli, answer: Answer) -> Run {
    let session = SessionUse::Start { id: cli.new_session() };
    let answers = std::iter::repeat_n(answer, ANSWERS_BEFORE_KILL - 1).collect();
    let script = Script { answers, then: Answer::Hang };
    place.run_until_answers(script, session, ANSWERS_BEFORE_KILL)
}
