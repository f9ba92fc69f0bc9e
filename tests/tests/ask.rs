//! Questions that steps ask people while they work.

use backstay_engine::record::{QuestionRecord, RunRecord, RunStatus};
use backstay_tests::{World, git, send};
use rustix::process::Signal;

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
        inbox.starts_with(" asks / choose  run_")
            && inbox.contains("Which colour?")
            && inbox.contains("backstay answer blue"),
        "{inbox}"
    );
    assert!(told(&world, &["ls"]).contains("asks: backstay inbox"));
    let wrong = world.run(&["answer", &question, "green"]);
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    let words = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(words.contains("`green` is none of: red, blue") && words.contains("`backstay inbox`"), "{words}");
    let answered = told(&world, &["answer", &question, "blue"]);
    // By the time it is told, the run may be over.
    assert!(answered.contains(" goes on") || answered.contains(" completed"), "{answered}");
    drop(run);
    told(&world, &["wait"]);
    assert_eq!(world.read("answers"), "blue\n");
    assert!(told(&world, &["inbox"]).is_empty());
}

#[test]
fn a_run_of_which_nothing_goes_on_before_an_answer_ends_with_3_and_goes_on_in_the_background() {
    let world = World::new();
    world.write("flow.yaml", ASKS);
    let (status, said) = world.start(&["run", "flow.yaml"]).end();
    assert_eq!(status.code(), Some(3), "{said}");
    assert!(said.contains("Which colour?"), "{said}");
    assert_eq!(said.matches("asks: Which colour?").count(), 1, "it is told once: {said}");
    let waited = world.run(&["wait", "--timeout", "50s"]);
    assert_eq!(waited.status.code(), Some(3), "{waited:?}");
    let words = String::from_utf8_lossy(&waited.stderr).into_owned();
    assert!(words.contains(" asks  Which colour?") && words.contains("backstay answer run_"), "{words}");
    // The agent is still owned: its end would be seen without an answer, too.
    assert!(!told(&world, &["ls"]).contains("interrupted"));
    let question = asked(&world);
    let answered = told(&world, &["answer", &question, "blue"]);
    // By the time it is told, the run may be over.
    assert!(answered.contains(" goes on") || answered.contains(" completed"), "{answered}");
    told(&world, &["wait"]);
    assert_eq!((world.read("answers"), world.read("begun")), ("blue\n".to_owned(), "begun\n".to_owned()));
}

/// Other work of the run goes on, so that no wait is over; or another run has the checkout, and asks.
#[test]
fn who_waits_for_a_run_is_told_what_is_asked_and_how_to_answer() {
    let world = World::new();
    git(world.path(), &["init", "-q", "-b", "main"]);
    let (end, go) = (world.gate("end"), world.gate("go"));
    world.write(
        "asks.yaml",
        &format!(
            "backstay: 1\nname: asks\nsteps:\n  - {{id: works, needs: [], run: 'cat {}'}}\n  - {{id: asks, needs: [], run: 'backstay ask Now? --options yes,no --key k'}}\n",
            end.path()
        ),
    );
    world.write(
        "behind.yaml",
        &format!("backstay: 1\nname: behind\nsteps:\n  - {{id: a, run: 'cat {}'}}\n", go.path()),
    );
    told(&world, &["run", "--detach", "asks.yaml"]);
    asked(&world);
    told(&world, &["run", "--detach", "behind.yaml"]);
    let behind = world.record_when("waits for the checkout", |record| record.checkout_busy.is_some());
    assert_eq!(behind.workflow.expect("it has one").name, "behind");
    for arguments in [
        &["wait", "asks"][..],
        &["wait", "behind"],
        &["watch", "asks"],
        &["watch", "behind"],
        &["logs", "-f", "asks"],
        &["logs", "-f", "behind"],
    ] {
        let follower = world.start(arguments);
        follower.wait_for("backstay answer ");
        let words = follower.said();
        assert!(words.contains(" asks  Now?"), "{arguments:?}: {words}");
        if arguments == ["wait", "behind"] {
            assert!(words.contains(", which has the checkout, waits for a person"), "{words}");
        }
        follower.kill();
    }
    end.open();
    told(&world, &["answer", "yes"]);
    go.open();
    told(&world, &["wait", "behind"]);
}

#[test]
fn a_run_that_asks_and_is_found_again_is_handed_over_again() {
    let world = World::new();
    world.write("flow.yaml", ASKS);
    let (status, said) = world.start(&["run", "flow.yaml"]).end();
    assert_eq!(status.code(), Some(3), "{said}");
    let owner = world.record().owner.expect("it was handed over");
    send(owner.pid, Signal::KILL);
    let (status, said) = world.start(&["resume"]).end();
    assert_eq!(status.code(), Some(3), "{said}");
    let record = world.record_when("is owned again", |record| {
        record.owner.as_ref().is_some_and(|now| now.pid != owner.pid)
    });
    assert!(record.steps[0].attempts[0].reattached >= 1, "{:?}", record.steps[0]);
    told(&world, &["answer", &asked(&world), "blue"]);
    told(&world, &["wait"]);
    assert_eq!((world.read("answers"), world.read("begun")), ("blue\n".to_owned(), "begun\n".to_owned()));
}

#[test]
fn a_step_whose_question_nobody_waits_for_any_more_works() {
    let world = World::new();
    let (kill, killed, end) = (world.gate("kill"), world.gate("killed"), world.gate("end"));
    let (kill_path, killed_path, end_path) = (kill.path(), killed.path(), end.path());
    world.write(
        "flow.yaml",
        &format!(
            "backstay: 1\nname: gone\nsteps:\n  - id: a\n    run: |\n      backstay ask 'Anybody?' & asker=$!\n      cat {kill_path}\n      kill -9 $asker\n      wait $asker || true\n      echo gone > {killed_path}\n      cat {end_path}\n"
        ),
    );
    told(&world, &["run", "--detach", "flow.yaml"]);
    asked(&world);
    assert_eq!(world.run(&["wait"]).status.code(), Some(3));
    kill.open();
    assert_eq!(killed.wait(), "gone\n");
    // The bound shows that it does not end: a wait that sees a question ends within some milliseconds.
    assert_eq!(world.run(&["wait", "--timeout", "2s"]).status.code(), Some(124));
    end.open();
    told(&world, &["wait"]);
    assert!(told(&world, &["inbox"]).is_empty());
}

#[test]
fn a_run_that_asks_for_a_budget_while_a_step_asks_ends_with_3() {
    let world = World::new();
    drop(world.fake("fake"));
    world.write(
        "flow.yaml",
        "backstay: 1\nname: both\nbudget: {tokens: 50}\nsteps:\n  - {id: first, agent: fake, prompt: Go.}\n  - {id: asks, needs: [first], run: 'backstay ask Go? --options yes,no'}\n  - {id: held, needs: [first], agent: fake, prompt: Go.}\n",
    );
    let (status, said) = world.start(&["run", "flow.yaml"]).end();
    assert_eq!(status.code(), Some(3), "{said}");
    let open = |record: &RunRecord| record.questions.iter().filter(|it| it.closed_at.is_none()).count();
    let record = world.record_when("asks twice", |record| open(record) == 2);
    assert_eq!(record.status, RunStatus::Running, "a process waits");
    assert_eq!(world.run(&["wait"]).status.code(), Some(3));
    let of = |step: &str| {
        let question = record.questions.iter().find(|question| question.step.as_str() == step);
        question.expect("it asks").question.to_string()
    };
    let first = world.run(&["answer", &of("asks"), "yes"]);
    assert!(first.status.success(), "{first:?}");
    assert!(
        String::from_utf8_lossy(&first.stderr).contains("backstay inbox"),
        "there is another one: {first:?}"
    );
    // Now no process waits: only the budget's question is left, which needs no owner.
    assert_eq!(world.run(&["wait"]).status.code(), Some(3));
    drop(world.record_when("waits", |record| record.status == RunStatus::Waiting));
    told(&world, &["answer", &of("held"), "more"]);
    told(&world, &["wait"]);
    assert!(world.record().status == RunStatus::Completed);
}

#[test]
fn an_answer_to_a_suspended_run_says_that_it_stands_still() {
    let world = World::new();
    world.write("flow.yaml", ASKS);
    let (status, said) = world.start(&["run", "flow.yaml"]).end();
    assert_eq!(status.code(), Some(3), "{said}");
    told(&world, &["suspend"]);
    let answered = world.run(&["answer", &asked(&world), "blue"]);
    assert!(answered.status.success(), "{answered:?}");
    let said = String::from_utf8_lossy(&answered.stdout).into_owned();
    assert!(said.contains("is suspended, and goes on with the answer once it is resumed"), "{said}");
    let next = String::from_utf8_lossy(&answered.stderr).into_owned();
    assert!(next.contains("next  backstay resume run_"), "{next}");
    assert_eq!(world.run(&["wait"]).status.code(), Some(5));
    told(&world, &["resume", "--detach"]);
    told(&world, &["wait"]);
    assert_eq!(world.read("answers"), "blue\n");
}

#[test]
fn a_step_that_is_reset_asks_anew_and_one_that_is_only_tried_again_does_not() {
    let world = World::new();
    world.write("flow.yaml", ASKS);
    let (status, said) = world.start(&["run", "flow.yaml"]).end();
    assert_eq!(status.code(), Some(3), "{said}");
    let first = asked(&world);
    told(&world, &["answer", &first, "blue"]);
    told(&world, &["wait"]);
    let retried = world.run(&["retry", "--from", "choose"]);
    assert_eq!(retried.status.code(), Some(3), "{retried:?}");
    let second = asked(&world);
    assert_ne!(first, second);
    // Of the one that was reset, a new attempt has the same question.
    told(&world, &["suspend"]);
    assert_eq!(world.run(&["wait"]).status.code(), Some(5));
    told(&world, &["resume", "--detach"]);
    assert_eq!(world.run(&["wait"]).status.code(), Some(3));
    assert_eq!(asked(&world), second);
    told(&world, &["answer", &second, "red"]);
    told(&world, &["wait"]);
    assert_eq!(world.read("answers"), "blue\nred\n");
}

#[test]
fn an_agent_that_asks_by_its_tool_is_not_silent() {
    let world = World::new();
    let fake = world.fake("fake");
    fake.turn(1, "message $(backstay ask Go? --timeout 3s --default yes); ends");
    world.write(
        "flow.yaml",
        "backstay: 1\nname: agent\nsteps:\n  - {id: a, agent: fake, prompt: Go., idle_timeout: 1s}\noutputs: {answer: \"${{ steps.a.output }}\"}\n",
    );
    let output = world.run(&["run", "flow.yaml"]);
    assert!(output.status.success(), "its stream says nothing for three seconds: {output:?}");
    let record = world.record();
    assert_eq!((record.steps[0].attempts.len(), record.steps[0].stalled_at), (1, None));
}

#[test]
fn questions_beside_each_other_give_their_step_the_time_of_one() {
    let world = World::new();
    world.write(
        "flow.yaml",
        "backstay: 1\nname: two\nsteps:\n  - id: ask\n    timeout: 2s\n    run: |\n      for n in 1 2 3 4 5; do backstay ask \"Go $n?\" --timeout 3s --default yes & done; wait\n      sleep 30\n",
    );
    let output = world.run(&["run", "flow.yaml"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let record = world.record();
    let took_ms = record.steps[0].attempts[0].duration_ms.expect("it ended");
    // Two seconds of its own and three of the questions; with the sum of the waits it would be seventeen.
    assert!((4_900..12_000).contains(&took_ms), "{took_ms}");
}

#[test]
fn a_default_that_is_no_option_is_told_with_the_options() {
    let world = World::new();
    let output = world
        .command(&["ask", "Which?", "--options", "red,blue", "--default", "green", "--timeout", "1s"])
        .env("BACKSTAY_EFFECT", "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:a:main")
        .env("BACKSTAY_ATTEMPT", "1")
        .output()
        .expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("the default `green` is none of the options: red, blue"), "{said}");
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
    let (status, said) = world.start(&["run", "flow.yaml"]).end();
    assert_eq!(status.code(), Some(3), "{said}");
    told(&world, &["answer", &asked(&world), "blue"]);
    told(&world, &["wait"]);
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

/// The tool of an agent ends what takes too long for it; the agent works on, and asks again.
#[test]
fn a_question_whose_asker_was_killed_can_be_answered_and_is_answered_when_it_is_asked_again() {
    let world = World::new();
    let (asker, again) = (world.gate("asker"), world.gate("again"));
    let ask = "backstay ask 'Which colour?' --options red,blue";
    world.write(
        "flow.yaml",
        &format!(
            "backstay: 1\nsteps:\n  - id: a\n    run: |\n      {ask} &\n      echo $! > {}\n      read -r _ < {}\n      {ask} > answers\n",
            asker.path(),
            again.path()
        ),
    );
    let run = world.start(&["run", "flow.yaml"]);
    let pid = asker.wait().trim().parse().expect("a process id");
    let question = asked(&world);
    send(pid, Signal::KILL);
    let inbox = told(&world, &["inbox"]);
    assert!(inbox.contains("Which colour?"), "{inbox}");
    told(&world, &["answer", &question, "blue"]);
    again.open();
    // It may have gone on in the background while it asked.
    let (status, said) = run.end();
    assert!(matches!(status.code(), Some(0 | 3)), "{said}");
    told(&world, &["wait"]);
    assert_eq!(world.read("answers"), "blue\n");
    assert_eq!(world.record().questions.len(), 1, "it is the same question");
}

/// What a step leaves in the background ends with the step, so a run in it waits where it is.
#[test]
fn a_run_in_a_step_waits_there_for_its_answer() {
    let (outer, inner) = (World::new(), World::new());
    inner.write(
        "inner.yaml",
        "backstay: 1\nsteps:\n  - {id: which, run: \"backstay ask 'Go?' --options yes,no\"}\n",
    );
    let call = format!(
        "XDG_STATE_HOME={0}/state BACKSTAY_STORE={0}/.backstay {1} run {0}/inner.yaml",
        inner.path(),
        backstay_tests::binary()
    );
    outer.write("outer.yaml", &format!("backstay: 1\nsteps:\n  - {{id: call, run: \"{call}\"}}\n"));
    let run = outer.start(&["run", "outer.yaml"]);
    let asked = inner.record_when("asks", |record| !record.questions.is_empty());
    assert!(inner.run(&["answer", &asked.run.to_string(), "yes"]).status.success());
    let (status, said) = run.end();
    assert!(status.success(), "{said}");
    assert_eq!(inner.record().status, backstay_engine::record::RunStatus::Completed);
}

/// Editors and containers use up the watches on files that a user may have.
#[cfg(target_os = "linux")]
#[test]
fn without_a_watch_on_files_a_run_is_found_again_and_hears_its_answer() {
    let world = World::new();
    world.write("flow.yaml", ASKS);
    let unwatched = |arguments: &str| {
        let command = world.command(&[]);
        let mut shell = std::process::Command::new("unshare");
        let script = format!(
            "echo 0 > /proc/sys/user/max_inotify_instances && exec {} {arguments}",
            backstay_tests::binary()
        );
        shell.args(["-Ur", "sh", "-c", &script]).current_dir(world.path());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        shell
    };
    if !unwatched("--version").output().is_ok_and(|output| output.status.success()) {
        assert!(!backstay_tests::all(), "a namespace of users has to be made here");
        return println!("skipped: no namespace of users can be made here");
    }
    // Who ran it leaves a run that only waits for a person to the background, which finds the keeper again.
    let run = unwatched("run flow.yaml").spawn().unwrap();
    let question = asked(&world);
    let output = run.wait_with_output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("error"), "{said}");
    told(&world, &["answer", &question, "blue"]);
    told(&world, &["wait"]);
    assert_eq!((world.read("begun"), world.read("answers")), ("begun\n".to_owned(), "blue\n".to_owned()));
}
