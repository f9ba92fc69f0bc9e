use std::collections::BTreeMap;

use backstay_engine::record::RunRecord;
use backstay_model::event::{AgentSaid, QuestionKind, QuestionOption, Said, SaidOn};
use backstay_model::{Attempt, EffectCall, EffectId, StepId, Text};
use backstay_workflow::plan::Plan;

use super::*;
use crate::ui::Held;
use crate::ui::page::Sign;
use crate::ui::pages::{by_presets, failed, id, owner, page, plan, running, screens, times, waiting};

struct Seen {
    record: RunRecord,
    plan: Plan,
    held: Held,
    signs: BTreeMap<StepId, Sign>,
}

impl Seen {
    fn of(record: RunRecord) -> Seen {
        Seen { record, plan: plan(), held: owner(), signs: BTreeMap::new() }
    }

    fn page(&self) -> Page<'_> {
        page(&self.record, &self.plan, self.held.clone(), &self.signs)
    }

    fn chosen(&self, console: &Console) -> String {
        console.chosen_scope(&self.page()).unwrap().step_id().unwrap().to_string()
    }

    fn shown(&self, console: &Console, said: &Entries) -> String {
        screens(|columns| console.lines(&self.page(), said, &times(), Size { columns, rows: 24 }))
    }

    fn keys(&self, console: &Console) -> Vec<&'static str> {
        console.keys(&self.page()).into_iter().map(|(key, _)| key).collect()
    }
}

fn watching() -> Console {
    Console::new(Role::Watches, true)
}

fn press(console: &mut Console, seen: &Seen, keys: &[Key]) -> Vec<Deed> {
    keys.iter().filter_map(|key| console.press(*key, &seen.page())).collect()
}

fn text(text: &str) -> Vec<Key> {
    text.chars().map(Key::Text).collect()
}

/// What an agent said, as in a terminal's last lines.
fn said() -> Entries {
    let run = running().run;
    let effect = EffectId { root: run.into(), scope: Scope::step(id("quick")), call: EffectCall::Main };
    let call = "c1".to_owned();
    let message = "The failing assertion compares an expired token against the wall clock, not the clock of the test, \
                   so it fails after midnight.";
    let mut entries = Entries::default();
    for what in [
        Said::Message { text: Text::of(message), line: message.to_owned(), piece: false },
        Said::ToolStarted {
            call: call.clone(),
            name: "sh".to_owned(),
            line: "$ cargo test auth::token".to_owned(),
        },
        Said::ToolFinished { call, ok: Some(false), duration_ms: Some(9_000) },
    ] {
        entries.said(
            &AgentSaid {
                effect: effect.clone(),
                attempt: Attempt(1),
                on: SaidOn::Stdout,
                spool_end: 1,
                what,
            },
            None,
        );
    }
    entries
}

/// Three questions of two kinds.
fn asking() -> RunRecord {
    let mut record = waiting();
    let first = record.questions[0].clone();
    let option = |name: &str| QuestionOption { name: name.to_owned(), meaning: String::new() };
    let asked = QuestionRecord {
        question: "qst_01JDX7Q2ZK8VQ5T3W9M4N6P7R9".parse().unwrap(),
        kind: QuestionKind::Asked,
        prompt: "Which branch?".to_owned(),
        options: vec![option("main"), option("next")],
        default: Some("next".to_owned()),
        ..first
    };
    let free = QuestionRecord {
        question: "qst_01JDX7Q2ZK8VQ5T3W9M4N6P7RA".parse().unwrap(),
        prompt: "What is it called?".to_owned(),
        options: Vec::new(),
        default: None,
        ..asked.clone()
    };
    record.questions.extend([asked, free]);
    record
}

#[test]
fn a_view_has_lines_for_every_size_and_none_is_wider() {
    let views = [running(), waiting(), failed(), asking(), by_presets()].map(Seen::of);
    let pressed: [&[Key]; 4] =
        [&[], &[Key::Text('?')], &[Key::Text('a')], &[Key::Down, Key::Text('a'), Key::Text('x')]];
    let heights = [1, 2, 3, 5, 6, 24];
    let widths = [1, 2, 3, 5, 8, 12, 15, 16, 24, 40];
    for seen in &views {
        for keys in pressed {
            let mut console = watching();
            press(&mut console, seen, keys);
            for (columns, rows) in widths.into_iter().flat_map(|columns| heights.map(|rows| (columns, rows)))
            {
                let lines = console.lines(&seen.page(), &said(), &times(), Size { columns, rows });
                for line in lines {
                    let shown = line.render(crate::ui::Style::default(), columns);
                    assert!(crate::ui::width(&shown) <= columns, "{columns} x {rows}: {shown}");
                }
            }
        }
    }
}

#[test]
fn the_view_follows_what_is_at_work_until_a_step_is_chosen() {
    let seen = Seen::of(running());
    let mut console = watching();
    assert_eq!(seen.chosen(&console), "quick", "the newest at work");
    assert_eq!(press(&mut console, &seen, &[Key::Up, Key::Text('k')]), []);
    assert_eq!(seen.chosen(&console), "review");
    press(&mut console, &seen, &[Key::Text('j'), Key::Down, Key::Down]);
    assert_eq!(seen.chosen(&console), "again");
    press(&mut console, &seen, &[Key::Down; 9]);
    assert_eq!(seen.chosen(&console), "bye", "not past the last");
    press(&mut console, &seen, &[Key::Escape]);
    assert_eq!(seen.chosen(&console), "quick");
    assert_eq!(Seen::of(waiting()).chosen(&watching()), "push", "what is asked about");
    assert_eq!(Seen::of(failed()).chosen(&watching()), "quick", "what failed");
}

#[test]
fn only_the_keys_that_work_are_named_and_do_something() {
    let mut seen = Seen::of(running());
    assert_eq!(seen.keys(&watching()), ["↑↓", "s", "x", "q", "?"], "nothing was written or kept yet");
    seen.record.steps[3].attempts[0].folder = Some("runs/x".parse().unwrap());
    assert_eq!(seen.keys(&watching()), ["↑↓", "enter", "s", "x", "q", "?"]);
    assert_eq!(Seen::of(waiting()).keys(&watching()), ["↑↓", "a", "s", "x", "q", "?"]);
    seen.held = Held::Nobody;
    assert_eq!(seen.keys(&watching()), ["↑↓", "enter", "r", "x", "q", "?"], "nobody could suspend it");
    assert_eq!(seen.keys(&Console::new(Role::Watches, false)), ["Ctrl-C"]);
    let ended = Seen::of(failed());
    assert_eq!(ended.keys(&watching()), ["↑↓", "q", "?"]);
    let all = ["a", "d", "s", "r", "x"].map(text).concat();
    assert_eq!(press(&mut watching(), &ended, &all), [], "a key that is not named does nothing");
}

#[test]
fn every_key_says_what_its_command_says() {
    let mut seen = Seen::of(running());
    seen.record.steps[3].attempts[0].folder = Some("runs/x".parse().unwrap());
    let scope = Scope::step(id("quick"));
    let mut console = watching();
    assert_eq!(press(&mut console, &seen, &text("s")), [Deed::Suspend]);
    assert_eq!(press(&mut console, &seen, &[Key::Enter]), [Deed::Log(scope)]);
    assert_eq!(press(&mut console, &seen, &text("xn")), [], "to cancel takes a second x");
    assert_eq!(press(&mut console, &seen, &text("xx")), [Deed::Cancel]);
    assert_eq!(press(&mut console, &seen, &text("?q")), [], "any key ends the help");
    assert_eq!(press(&mut console, &seen, &text("q")), [Deed::Leave]);
    seen.held = Held::Nobody;
    assert_eq!(press(&mut console, &seen, &text("r")), [Deed::Resume]);
}

#[test]
fn whoever_came_from_a_list_goes_back_to_it_by_escape_too() {
    let seen = Seen::of(running());
    let visiting = || Console::new(Role::Visits, true);
    assert_eq!(seen.keys(&visiting()), ["↑↓", "s", "x", "esc", "?"]);
    for key in [Key::Escape, Key::Text('q')] {
        assert_eq!(press(&mut visiting(), &seen, &[Key::Down, key]), [Deed::Leave], "{key:?}");
    }
    assert_eq!(press(&mut visiting(), &seen, &[Key::Text('x'), Key::Escape]), [], "first out of the pane");
    let mut console = visiting();
    press(&mut console, &seen, &text("?"));
    let help = seen.shown(&console, &Entries::default());
    assert!(help.contains("esc q") && help.contains("back to the list"), "{help}");
}

fn answered(question: &QuestionRecord, choice: &str) -> Vec<Deed> {
    vec![Deed::Answer(question.question, Answer { choice: choice.to_owned(), value: None })]
}

#[test]
fn an_answer_is_chosen_by_number_or_arrow_and_sent_by_return() {
    let seen = Seen::of(waiting());
    let question = &seen.record.questions[0];
    for (keys, choice) in [
        (vec![Key::Text('a'), Key::Down, Key::Enter], "done"),
        (vec![Key::Text('a'), Key::Text('2'), Key::Enter], "rerun"),
        (vec![Key::Text('a'), Key::Down, Key::Down, Key::Down, Key::Down, Key::Enter], "fail"),
        (vec![Key::Text('a'), Key::Up, Key::Text('9'), Key::Enter], "fail"),
    ] {
        assert_eq!(press(&mut watching(), &seen, &keys), answered(question, choice), "{keys:?}");
    }
    assert_eq!(press(&mut watching(), &seen, &[Key::Text('a'), Key::Escape, Key::Enter]), []);
}

#[test]
fn an_answer_is_chosen_by_the_beginning_of_its_name_and_what_names_none_sends_none() {
    let seen = Seen::of(waiting());
    let question = &seen.record.questions[0];
    let keys = |words: &str| [text("a"), text(words), vec![Key::Enter]].concat();
    for (words, choice) in [("rerun", "rerun"), ("re", "rerun"), ("FAIL", "fail"), ("d", "done")] {
        assert_eq!(press(&mut watching(), &seen, &keys(words)), answered(question, choice), "{words}");
    }
    for words in ["", "no", "donex", "0"] {
        assert_eq!(press(&mut watching(), &seen, &keys(words)), [], "`{words}` names no option");
    }
    let mended = [keys("nope"), vec![Key::Clear], text("fail"), vec![Key::Enter]].concat();
    assert_eq!(press(&mut watching(), &seen, &mended), answered(question, "fail"));
    let by_arrow = [text("adonex"), vec![Key::Up, Key::Enter]].concat();
    assert_eq!(press(&mut watching(), &seen, &by_arrow), answered(question, "fail"));
}

#[test]
fn of_several_questions_one_is_chosen_and_a_default_is_marked() {
    let seen = Seen::of(asking());
    let questions = &seen.record.questions;
    let second = [Key::Text('a'), Key::Text('2'), Key::Enter];
    assert_eq!(press(&mut watching(), &seen, &second), answered(&questions[1], "next"));
    let mut third = vec![Key::Text('a'), Key::Down, Key::Down, Key::Enter];
    third.extend(text("xü"));
    third.extend([Key::Backspace, Key::Clear]);
    third.extend(text(" backstäy "));
    assert_eq!(press(&mut watching(), &seen, &third), [], "nothing is sent before the return");
    third.push(Key::Enter);
    assert_eq!(press(&mut watching(), &seen, &third), answered(&questions[2], "backstäy"));
    let empty = [Key::Text('a'), Key::Text('3'), Key::Enter, Key::Enter];
    assert_eq!(press(&mut watching(), &seen, &empty), [], "no text is no answer");
}

#[test]
fn a_question_that_was_closed_meanwhile_takes_no_answer() {
    let mut seen = Seen::of(waiting());
    let mut console = watching();
    press(&mut console, &seen, &text("a2"));
    seen.record.questions[0].closed_at = Some(seen.record.questions[0].asked_at);
    assert_eq!(press(&mut console, &seen, &[Key::Enter]), []);
    assert_eq!(console.pane, Pane::Step);
}

#[test]
fn the_view_of_agents_at_work() {
    let seen = Seen::of(by_presets());
    insta::assert_snapshot!(seen.shown(&watching(), &said()));
}

#[test]
fn the_view_of_a_run_that_asks_and_of_its_answers() {
    let (seen, several) = (Seen::of(waiting()), Seen::of(asking()));
    let mut console = watching();
    let asks = seen.shown(&console, &Entries::default());
    press(&mut console, &seen, &text("a2"));
    let options = seen.shown(&console, &Entries::default());
    let mut console = watching();
    press(&mut console, &several, &text("a"));
    let choice = several.shown(&console, &Entries::default());
    press(&mut console, &several, &text("3a new name"));
    insta::assert_snapshot!([asks, options, choice, several.shown(&console, &Entries::default())].join("\n"));
}

#[test]
fn the_view_of_the_keys_and_of_a_run_that_is_to_be_cancelled() {
    let seen = Seen::of(running());
    let mut console = Console::new(Role::Works, true);
    press(&mut console, &seen, &text("?"));
    let help = seen.shown(&console, &Entries::default());
    press(&mut console, &seen, &text("qx"));
    insta::assert_snapshot!([help, seen.shown(&console, &Entries::default())].join("\n"));
}
