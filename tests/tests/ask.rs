//! Questions that steps ask people while they work.

use backstay_engine::record::{QuestionRecord, RunRecord, RunStatus};
use backstay_tests::World;

const ASKS: &str = r#"
backstay: 1
name: asks
steps:
  - id: choose
    after_crash: rerun
    run: |
      echo begun >> begun
      answer=$(backstay ask "Which colour?" --options red,blue)
      echo "$answer" >> answers
"#;

fn told(world: &World, arguments: &[&str]) -> String {
    let output = world.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn question(record: &RunRecord) -> Option<&QuestionRecord> {
    record.questions.iter().find(|question| question.closed_at.is_none())
}

fn asked(world: &World) -> String {
    let record = world.record_when("asks", |record| question(record).is_some());
    question(&record).expect("it asks").question.to_string()
}

#[test]
fn h4_a_step_asks_and_goes_on_with_the_answer() {
    let world = World::new();
    world.write("flow.yaml", ASKS);
    let run = world.start(&["run", "flow.yaml"]);
    let question = asked(&world);
    let inbox = told(&world, &["inbox"]);
    assert!(
        inbox.contains("Which colour?") && inbox.contains(&format!("backstay answer {question} blue")),
        "{inbox}"
    );
    assert!(told(&world, &["ls"]).contains("asks: backstay inbox"));
    let wrong = world.run(&["answer", &question, "green"]);
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    told(&world, &["answer", &question, "blue"]);
    let (status, said) = run.end();
    assert!(status.success(), "{said}");
    assert_eq!(world.read("answers"), "blue\n");
    assert!(told(&world, &["inbox"]).is_empty());
}

#[test]
fn h5_an_answer_that_was_given_while_nobody_owned_the_run_is_heard() {
    let world = World::new();
    world.write("flow.yaml", ASKS);
    let run = world.start(&["run", "flow.yaml"]);
    let question = asked(&world);
    run.kill();
    // The agent still waits, under its keeper. The answer lets the run go on in the background.
    told(&world, &["answer", &question, "red"]);
    told(&world, &["wait", "@last"]);
    assert_eq!((world.read("answers"), world.read("begun")), ("red\n".to_owned(), "begun\n".to_owned()));
}

#[test]
fn the_next_attempt_asks_the_same_question_and_has_its_answer_at_once() {
    let world = World::new();
    world.write(
        "flow.yaml",
        &ASKS.replace("after_crash: rerun", "retry: 1").replace(
            "      echo \"$answer\" >> answers\n",
            "      echo \"$answer\" >> answers\n      test $BACKSTAY_ATTEMPT = 2\n",
        ),
    );
    let run = world.start(&["run", "flow.yaml"]);
    told(&world, &["answer", &asked(&world), "blue"]);
    let (status, said) = run.end();
    assert!(status.success(), "{said}");
    assert_eq!(world.read("answers"), "blue\nblue\n");
    assert_eq!(world.record().questions.len(), 1);
}

#[test]
fn budgets_of_a_step_stand_still_while_it_asks_and_the_default_is_taken_in_time() {
    let world = World::new();
    world.write(
        "flow.yaml",
        "backstay: 1\nname: slow\nsteps:\n  - {id: ask, timeout: 1s, idle_timeout: 1s, run: 'backstay ask Go? --timeout 3s --default \"on my own\"'}\noutputs: {answer: \"${{ steps.ask.output }}\"}\n",
    );
    let output = world.run(&["run", "flow.yaml"]);
    assert!(output.status.success(), "it waited for three seconds, with one to work: {output:?}");
    let record = world.record();
    assert_eq!(record.status, RunStatus::Completed);
    let answer = record.questions[0].answer.as_ref().expect("its default");
    assert_eq!((answer.0.choice.as_str(), answer.1.name.as_str()), ("on my own", "default"));
}

#[test]
fn a_question_outside_of_a_step_or_of_a_step_that_is_over_is_refused() {
    let world = World::new();
    let output = world.run(&["ask", "Anybody?"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("BKS-C030"), "{output:?}");
    world.write(
        "flow.yaml",
        "backstay: 1\nname: over\nsteps:\n  - {id: a, run: 'echo \"$BACKSTAY_EFFECT\" > effect'}\n",
    );
    told(&world, &["run", "flow.yaml"]);
    let effect = world.read("effect");
    let late = world
        .command(&["ask", "Too late?"])
        .env("BACKSTAY_EFFECT", effect.trim())
        .env("BACKSTAY_ATTEMPT", "1")
        .output()
        .expect("the binary starts");
    assert_eq!(late.status.code(), Some(1), "{late:?}");
    assert!(String::from_utf8_lossy(&late.stderr).contains("not at work"), "{late:?}");
}
