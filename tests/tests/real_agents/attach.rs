//! A person on the CLI's own screen, in the session of a step.

use backstay_engine::record::RunRecord;
use backstay_testkit::{Answer, Script};
use backstay_tests::Terminal;

use crate::cli::Cli;
use crate::place::{PATIENCE, Place, agents};

const SIZE: (u16, u16) = (120, 40);

/// What a CLI asks a user once, before it shows a session, is answered in its own configuration.
fn knows_the_user(place: &Place) {
    let home = place.world.path().join("home");
    let folder = place.world.path().canonicalize_utf8().expect("it is there");
    let (file, text) = match place.cli {
        Cli::Codex => (".codex/config.toml", format!("[projects.\"{folder}\"]\ntrust_level = \"trusted\"\n")),
        Cli::Claude => (
            ".claude.json",
            format!(
                r#"{{"hasCompletedOnboarding":true,"theme":"dark","projects":{{"{folder}":{{"hasTrustDialogAccepted":true}}}}}}"#
            ),
        ),
        Cli::Gemini | Cli::Opencode => return,
    };
    let file = home.join(file);
    std::fs::create_dir_all(file.parent().expect("it has a folder")).expect("a folder can be made");
    std::fs::write(file, text).expect("a file can be written");
}

/// The screen shows what was done in the session, and a person talks with the model there; once it is left, the step goes on in that
/// session.
pub(crate) fn works_on_its_own_screen_and_goes_on(cli: Cli) {
    let script = Script::of([
        Answer::shell("echo before-the-person > one.txt"),
        Answer::shell("sleep 1"),
        Answer::Hang,
    ]);
    let Some(place) = Place::new(cli, |_| script) else { return };
    knows_the_user(&place);
    place.flow("  - {id: fix, agent: real, prompt: Write-a-greeting.}\n");
    let run = place.start();
    place.wait_for_answers(3);
    let is_heard = |record: &RunRecord| {
        !record.steps.is_empty() && agents(record, "fix").first().is_some_and(|agent| agent.tools == 2)
    };
    let _record = place.world.record_when("was told of two commands", is_heard);
    // The screens of the others take what is typed only once they have come to rest, which cannot be seen.
    let talks = cli == Cli::Claude;
    let heard = talks.then(|| Answer::text("I-heard-it."));
    place.endpoint.play(Script::of(heard.into_iter().chain([Answer::text("It is done.")])));
    let variables = place.variables();
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .chain([("TERM", "xterm-256color")])
        .collect();
    let mut attach = Terminal::start_with(&place.world, &["attach", "@last", "fix"], SIZE, &variables);
    attach.wait_for("Write-a-greeting");
    if talks {
        attach.press(b"Words-of-a-person");
        attach.wait_for("Words-of-a-person");
        attach.press(b"\r");
        attach.wait_until("at rest with the answer", |screen| {
            screen.contains("I-heard-it.") && !screen.contains("to interrupt")
        });
    }
    attach.press_until(b"\x03", "you worked in the session of");
    let (status, out) = attach.end();
    assert!(status.success(), "{out}");
    drop(run.end_within(PATIENCE));
    let agents = agents(&place.world.record(), "fix");
    assert_eq!(agents.len(), 2, "{agents:#?}");
    assert!(agents[0].session.is_some() && agents[0].session == agents[1].session, "{agents:#?}");
    let asked = place.asked().pop().expect("it asked").body;
    assert!(asked.contains("before-the-person"), "{asked}");
    assert_eq!(asked.contains("Words-of-a-person"), talks, "{asked}");
}
