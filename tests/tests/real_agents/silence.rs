//! Signs of life, and silence.

use backstay_model::event::FailureClass;
use backstay_testkit::{Answer, Script};

use crate::cli::Cli;
use crate::place::{PATIENCE, Place, attempts, step};

/// Longer than any of them needs to start on a slow machine, shorter than the slow answer.
const IDLE_S: u64 = 45;

/// A thought and a text in pieces take longer than the silence that is allowed, and are none; an answer that never comes is
/// one. Gemini CLI tells the pieces of the text, the others the whole thought and then the whole text.
pub(crate) fn stalls_when_nothing_comes(cli: Cli) {
    let text = Answer::Pieces((1..=15).map(|piece| format!("{piece} ")).collect());
    let answer = Box::new(text.after("I should count."));
    let answers = [Answer::text("I am here."), Answer::Slow { answer, pause_ms: 2_500 }, Answer::Hang];
    let Some(place) = Place::new(cli, |_| Script::of(answers)) else { return };
    let rest = format!("agent: real, prompt: Count., idle_timeout: {IDLE_S}s, after_crash: fail, retry: 0");
    // A first start takes longer than others.
    place.flow(&format!("  - {{id: first, agent: real, prompt: Say something.}}\n  - {{id: slow, {rest}}}\n  - {{id: hangs, {rest}}}\n"));
    let (status, out) = place.start().end_within(PATIENCE);
    assert_eq!(status.code(), Some(1), "{out}");
    let record = place.world.record();
    assert_eq!(step(&record, "slow").failure, None, "{out} {:?}", place.told());
    assert_eq!(attempts(&record, "slow").len(), 1, "{out}");
    assert_eq!(step(&record, "hangs").failure, Some(FailureClass::Stall), "{out}");
}
