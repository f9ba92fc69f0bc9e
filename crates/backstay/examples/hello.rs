//! Starts a run, works on it, and prints how it ended: `cargo run -p backstay --example hello`.

use backstay::{Error, Workflow};

const HELLO: &str = "backstay: 1\nsteps: [{id: greet, run: echo hello}]";

fn main() -> Result<(), Error> {
    backstay::init();
    hello()
}

#[tokio::main(flavor = "current_thread")]
async fn hello() -> Result<(), Error> {
    let backstay = backstay::open(".backstay").await?;
    let run = backstay.start(Workflow::text("hello", HELLO)).await?;
    println!("{} {}", run.id(), run.drive().await?);
    Ok(())
}
