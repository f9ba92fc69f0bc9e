//! The real agent CLIs against the scripted endpoint: no account, no network, no cost.
//!
//! A third of them runs in the full mode, all run with `cargo xtask soak`. What the CLIs say
//! is recorded by `cargo xtask record-agents` (`tests/record`).

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

mod cells;
mod cli;
#[expect(dead_code, reason = "recordings use more of it")]
mod clis;
mod install;
mod troubles;
mod usage;

use backstay_agent::{Access, DeliveryVia, Obstacle, SessionUse, Symptom};
use backstay_testkit::{Answer, Script};
use cli::{Cli, Login};
use clis::Workplace;

/// In the year 2026, far enough from the next change of a clock.
const LIMIT_RESETS_AT_S: u64 = 1_795_300_000;

fn limit() -> Answer {
    Answer::UsageLimit { resets_at_s: LIMIT_RESETS_AT_S, retry_after_s: 7_200 }
}

fn always(answer: Answer) -> Script {
    Script { then: answer, ..Script::of([]) }
}

/// A command and a file, written by the agent's own tools; then the end.
fn does_a_task(cli: Cli) {
    let Some(place) = Workplace::new(cli, Login::Chosen) else { return };
    let file = place.folder().join("greeting.txt");
    let script = Script::of([
        Answer::shell("echo one > one.txt"),
        Answer::write(file.as_str(), "hello\n"),
        Answer::text("The greeting is written."),
    ]);
    let run = place.run(script, SessionUse::Start { id: cli.new_session() }, Access::Write);
    let progress = run.progress();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(std::fs::read_to_string(file).unwrap(), "hello\n");
    assert!(place.folder().join("one.txt").is_file());
    assert_eq!(progress.last_message(), Some("The greeting is written."));
    assert_eq!((progress.ended(), progress.tools()), (Some(true), 2));
    assert!(progress.files().any(|path| path.ends_with("greeting.txt")), "{progress:?}");
    let usage = progress.usage().of_process(None).unwrap();
    assert_eq!((usage.input, usage.cache_read), (Some(3_000), Some(1_200)));
    assert_eq!(usage.output, Some(150));
    assert_eq!(run.counts.malformed, 0, "{:?}", run.counts);
}

/// Killed in the middle, it goes on in its own session and knows what it had done.
fn goes_on_after_a_kill(cli: Cli) {
    let Some(place) = Workplace::new(cli, Login::Chosen) else { return };
    let chosen = cli.new_session();
    // Claude Code writes its session some time after the fact: what it did in the last moment before a kill may not be in
    // it. The second command gives it the time.
    let script =
        Script::of([Answer::shell("echo before-the-kill > one.txt"), Answer::shell("sleep 1"), Answer::Hang]);
    let killed = place.run_and_kill(script, SessionUse::Start { id: chosen.clone() }, 3);
    let progress = killed.progress();
    assert_eq!((progress.ended(), progress.tools()), (None, 2));
    let session = progress.session().unwrap().to_owned();
    if chosen.is_some() {
        assert_eq!(chosen.as_ref(), Some(&session), "the session is the one that was chosen");
        let again = place.run(Script::of([]), SessionUse::Start { id: chosen }, Access::Write);
        let symptom = place.preset().signs().symptom(&again.stderr);
        assert_eq!(
            (again.code == Some(0), symptom),
            (false, Some(Symptom::SessionInUse)),
            "{}",
            again.stderr
        );
    }

    let script = Script::of([Answer::text("I have gone on.")]);
    let resumed = place.run(script, SessionUse::Resume { id: session.clone() }, Access::Write);
    let after = resumed.progress();
    assert_eq!((resumed.code, after.session()), (Some(0), Some(session.as_str())), "{}", resumed.stderr);
    assert_eq!(after.last_message(), Some("I have gone on."));
    let asked = resumed.requests.iter().find(|request| request.answer.is_some()).unwrap();
    assert!(asked.body.contains("before-the-kill"), "the model is told what was done before the kill");
    assert!(after.usage().of_process(None).unwrap().input.is_some());
}

fn says_that_a_session_is_not_there(cli: Cli) {
    let Some(place) = Workplace::new(cli, Login::Chosen) else { return };
    let id = cli.unknown_session();
    let run = place.run(Script::of([]), SessionUse::Resume { id: id.to_owned() }, Access::Write);
    assert_ne!(run.code, Some(0));
    assert_eq!(place.preset().signs().symptom(&run.stderr), Some(Symptom::SessionUnknown), "{}", run.stderr);
    assert!(run.requests.iter().all(|request| request.answer.is_none()), "and starts no other instead");
}

fn tells_a_limit(cli: Cli) {
    let Some(place) = Workplace::new(cli, Login::Chosen) else { return };
    let run = place.run(always(limit()), SessionUse::Start { id: cli.new_session() }, Access::Write);
    let progress = run.progress();
    assert_ne!(run.code, Some(0));
    assert_eq!(progress.ended(), Some(false));
    assert!(matches!(progress.obstacle(), Some(Obstacle::Limit { .. })), "{progress:?}");
    assert_eq!(progress.life(), 0, "a refusal is no sign of life");
}

/// A limit of a key is told without the time at which it ends.
fn tells_a_limit_with_a_key(cli: Cli) {
    let Some(place) = Workplace::new(cli, Login::Key) else { return };
    let (found, requests) = place.first_obstacle(always(limit()));
    assert!(
        matches!(found, Some(Obstacle::Limit { reset: None, .. })),
        "{found:?} after {requests} requests"
    );
}

/// opencode waits for the end of a limit and says so on its stderr alone.
fn tells_a_limit_on_stderr(cli: Cli) {
    let Some(place) = Workplace::new(cli, Login::Chosen) else { return };
    let session = SessionUse::Start { id: cli.new_session() };
    assert_eq!(place.run_until_symptom(always(limit()), session).0, Some(Symptom::Limit));
}

/// Gemini CLI and opencode try again and say so on their stderr alone.
fn tells_on_stderr_that_the_provider_fails(cli: Cli) {
    let Some(place) = Workplace::new(cli, Login::Chosen) else { return };
    let session = SessionUse::Start { id: cli.new_session() };
    assert_eq!(place.run_until_symptom(always(Answer::ServerError), session).0, Some(Symptom::Network));
}

fn tells_a_refused_login(cli: Cli) {
    let Some(place) = Workplace::new(cli, Login::Chosen) else { return };
    let run =
        place.run(always(Answer::Unauthorized), SessionUse::Start { id: cli.new_session() }, Access::Write);
    let progress = run.progress();
    assert_ne!(run.code, Some(0));
    assert!(matches!(progress.obstacle(), Some(Obstacle::Login { .. })), "{progress:?} {}", run.stderr);
}

fn tells_a_missing_login(cli: Cli) {
    let Some(place) = Workplace::new(cli, Login::Never) else { return };
    let run = place.run(Script::of([]), SessionUse::Start { id: cli.new_session() }, Access::Write);
    assert_ne!(run.code, Some(0));
    let is_told = matches!(run.progress().obstacle(), Some(Obstacle::Login { .. }))
        || place.preset().signs().symptom(&run.stderr) == Some(Symptom::Login)
        || run.code.is_some_and(|code| place.preset().is_login_exit(code));
    assert!(is_told, "{:?} {}", run.code, run.stderr);
}

/// Text that a terminal of a CLI would obey: an option, a command that there is and one that there is not, a file.
const ODD_PROMPTS: [&str; 5] =
    ["--greet them, one and all", "/help me", "/init x", "/nosuch thing", "@notes.txt says what?"];
const IN_THE_FILE: &str = "written-in-the-notes";

/// A prompt reaches the model as its text, as an argument and on stdin. What a CLI adds of files that it names is what the
/// preset says, and `check` warns of.
fn takes_odd_prompts_as_text(cli: Cli) {
    for (prompt, via) in
        ODD_PROMPTS.into_iter().flat_map(|prompt| [(prompt, DeliveryVia::Arg), (prompt, DeliveryVia::Stdin)])
    {
        let Some(place) = Workplace::new(cli, Login::Chosen) else { return };
        std::fs::write(place.folder().join("notes.txt"), IN_THE_FILE).unwrap();
        let run = place.run_with_prompt(Script::of([Answer::text("Hello.")]), via, prompt);
        let asked = run.requests.iter().find(|request| request.answer.is_some());
        let asked = asked.unwrap_or_else(|| panic!("{prompt} {via:?}: {} {:?}", run.stderr, run.requests));
        assert!(asked.body.contains(prompt), "{prompt} {via:?}: {}", asked.body);
        assert_eq!((run.code, run.progress().last_message()), (Some(0), Some("Hello.")));
        let names_a_file = prompt.starts_with('@') && place.preset().file_prefix().is_some();
        assert_eq!(asked.body.contains(IN_THE_FILE), names_a_file, "{prompt} {via:?}");
    }
}

/// A copy of a session knows what the session knew, and has a name of its own.
fn goes_on_with_a_copy(cli: Cli) {
    let Some(place) = Workplace::new(cli, Login::Chosen) else { return };
    let script = Script::of([Answer::shell("echo before-the-copy > one.txt"), Answer::text("Done.")]);
    let first = place.run(script, SessionUse::Start { id: cli.new_session() }, Access::Write);
    let from = first.progress().session().unwrap().to_owned();
    let id = cli.new_session().map(|id| id.replace("1b8b6f0e", "2c9c7f1f"));
    let script = Script::of([Answer::text("I am the copy.")]);
    let copy = place.run(script, SessionUse::Fork { from: from.clone(), id: id.clone() }, Access::Write);
    let progress = copy.progress();
    let session = progress.session().unwrap();
    assert_eq!((copy.code, progress.last_message()), (Some(0), Some("I am the copy.")), "{}", copy.stderr);
    assert_ne!(session, from);
    assert!(id.is_none_or(|id| id == session));
    let asked = copy.requests.iter().find(|request| request.answer.is_some()).unwrap();
    assert!(asked.body.contains("before-the-copy"));
}

/// The schema reaches the provider, and the answer is the last message.
fn hands_over_a_schema(cli: Cli) {
    let Some(place) = Workplace::new(cli, Login::Chosen) else { return };
    let answer = r#"{"greeting_of_the_day":"hello"}"#;
    let run = place.run_with_schema(
        Script::of([Answer::Document(answer.to_owned())]),
        r#"{"type":"object","properties":{"greeting_of_the_day":{"type":"string"}},"required":["greeting_of_the_day"],"additionalProperties":false}"#,
    );
    let asked = run.requests.iter().find(|request| request.answer.is_some()).unwrap();
    assert!(asked.body.contains("greeting_of_the_day"), "{} {}", run.stderr, asked.body);
    assert_eq!(run.progress().last_message(), Some(answer));
}

/// Claude Code goes on trying and says so; Codex gives up.
fn tells_that_the_provider_fails(cli: Cli) {
    let Some(place) = Workplace::new(cli, Login::Chosen) else { return };
    let session = SessionUse::Start { id: cli.new_session() };
    let run = if cli == Cli::Claude {
        place.run_and_kill(always(Answer::ServerError), session, 3)
    } else {
        place.run(always(Answer::ServerError), session, Access::Write)
    };
    let progress = run.progress();
    assert!(matches!(progress.obstacle(), Some(Obstacle::Network { .. })), "{progress:?}");
    assert_eq!(progress.life(), 0, "trying again is no sign of life");
}

/// Reading access means that neither its tools for files nor its shell write.
fn writes_nothing_with_reading_access(cli: Cli) {
    let Some(place) = Workplace::new(cli, Login::Chosen) else { return };
    let shell = Script::of([Answer::shell("echo one > one.txt"), Answer::text("I may not.")]);
    place.run(shell, SessionUse::Start { id: cli.new_session() }, Access::Read);
    let file = place.folder().join("two.txt");
    let write = Script::of([Answer::write(file.as_str(), "two\n"), Answer::text("I may not.")]);
    place.run(write, SessionUse::Start { id: cli.new_session() }, Access::Read);
    let written = [place.folder().join("one.txt"), file].into_iter().filter(|file| file.exists());
    assert_eq!(written.collect::<Vec<_>>(), [""; 0]);
}

use troubles::{
    tells_a_cut_stream, tells_a_filter_of_contents, tells_a_missing_right, tells_a_spending_limit,
    tells_a_suspended_account, tells_an_expired_login, tells_an_overloaded_provider, tells_no_credit,
};
use usage::{tells_what_the_provider_counted, tells_what_was_counted_since_a_resume};

// What is missing from a list cannot be had from that CLI here; docs/agents.md says why.
cells::table! {
    does_a_task: [codex, claude, gemini, opencode];
    takes_odd_prompts_as_text: [codex, claude, gemini, opencode];
    goes_on_after_a_kill: [codex, claude, gemini, opencode];
    goes_on_with_a_copy: [codex, claude, opencode];
    says_that_a_session_is_not_there: [codex, claude, gemini, opencode];
    hands_over_a_schema: [codex, claude];
    tells_a_limit: [codex, claude, gemini];
    tells_a_limit_on_stderr: [opencode];
    tells_a_limit_with_a_key: [claude];
    tells_a_refused_login: [codex, claude, gemini, opencode];
    tells_a_missing_login: [codex, claude, gemini];
    tells_that_the_provider_fails: [codex, claude];
    tells_on_stderr_that_the_provider_fails: [gemini, opencode];
    writes_nothing_with_reading_access: [codex, claude, gemini, opencode];
    tells_no_credit: [codex, claude, gemini, opencode];
    tells_a_spending_limit: [codex, claude, gemini, opencode];
    tells_a_missing_right: [codex, claude, gemini, opencode];
    tells_a_suspended_account: [codex, claude, gemini, opencode];
    tells_an_expired_login: [codex, claude, gemini, opencode];
    tells_a_filter_of_contents: [codex, claude, gemini, opencode];
    tells_an_overloaded_provider: [codex, claude, gemini, opencode];
    tells_a_cut_stream: [codex, claude, gemini, opencode];
    tells_what_the_provider_counted: [codex, claude, gemini, opencode];
    tells_what_was_counted_since_a_resume: [codex, claude, gemini, opencode];
}
