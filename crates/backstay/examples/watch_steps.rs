//! Prints what the steps of a run do, a row for each event, while they do it:
//! `cargo run -p backstay --example watch_steps -- FILE`.

use backstay::{Error, FollowFrom, Run, StepEventKind, Workflow};

const COUNT: &str =
    "backstay: 1\nsteps:\n  - {id: count, run: 'for n in 1 2 3; do echo $n; sleep 1; done'}\n";

fn main() -> Result<(), Error> {
    backstay::init();
    watch()
}

#[tokio::main(flavor = "current_thread")]
async fn watch() -> Result<(), Error> {
    let workflow = std::env::args().nth(1).map_or_else(|| Workflow::text("count", COUNT), Workflow::file);
    let backstay = backstay::open(".backstay").await?;
    let run = backstay.start(workflow).await?;
    let (rest, ()) = tokio::try_join!(run.drive(), print_rows(&run))?;
    println!("the run {rest}");
    Ok(())
}

async fn print_rows(run: &Run) -> Result<(), Error> {
    let mut events = run.follow(FollowFrom::Start).await?;
    while let Some(row) = events.next_step_event().await? {
        let step = row.step.as_ref().map_or("the run", |step| step.as_str());
        match row.kind {
            StepEventKind::Heartbeat => {
                println!("{step}: alive, {} bytes of output", row.stdout_bytes.unwrap_or(0));
            }
            StepEventKind::Ended => println!("{step}: ended with exit code {:?}", row.exit_code),
            kind => println!("{step}: {kind:?}"),
        }
    }
    Ok(())
}
