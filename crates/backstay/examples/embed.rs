//! Builds a workflow, follows it, and answers what it asks: `cargo run -p backstay --example embed`.
//!
//! Its step asks by `backstay ask`, so that program has to be on the `PATH`.

use backstay::{Delivery, Error, Event, FactEvent, FollowFrom, Run, Step, Workflow};

fn main() -> Result<(), Error> {
    backstay::init();
    embed()
}

#[tokio::main(flavor = "current_thread")]
async fn embed() -> Result<(), Error> {
    let backstay = backstay::open(".backstay").await?;
    let workflow = Workflow::new("greeting")
        .step(Step::run("ask", r#"backstay ask "Whom shall I greet?" --options world,moon"#))
        .step(Step::run("greet", "echo hello ${{ steps.ask.output }}"));
    let run = backstay.start(workflow).await?;

    // One task works on the run, the other one sees what happens and answers.
    let (rest, ()) = tokio::try_join!(run.drive(), answer_all(&run))?;
    println!("the run {rest}");

    for step in run.record().await?.steps {
        if let Some(output) = &step.output {
            println!("{}: {}", step.step, run.text(output).await?);
        }
    }
    Ok(())
}

/// Answers every question of the run with its last option, until the run has ended.
async fn answer_all(run: &Run) -> Result<(), Error> {
    let mut events = run.follow(FollowFrom::Start).await?;
    while let Some(delivery) = events.next().await? {
        let Delivery::Event(recorded) = delivery else { continue };
        if let Event::Fact(FactEvent::QuestionAsked(asked)) = Event::decode(&recorded)? {
            let choice = asked.options.last().map_or("anything", |option| option.name.as_str());
            // With a key, the same answer is said once, however often this program is killed and started again.
            let verdict = run.answer(asked.question, choice).key(asked.question.to_string()).await?;
            println!("{} -> {choice}: {verdict:?}", asked.prompt);
        }
    }
    Ok(())
}
