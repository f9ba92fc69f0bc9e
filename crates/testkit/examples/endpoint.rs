//! Plays a script until its input ends: `echo '{"answers":[{"text":"hello"}],"then":{"text":"done"}}' > script.json`, then
//! `cargo run -p backstay-testkit --example endpoint -- script.json`. Its first line says where it listens; what it
//! received follows at the end.

use std::io::Read as _;

use anyhow::{Context as _, Result};
use backstay_testkit::{Endpoint, Script};

fn main() -> Result<()> {
    let path = std::env::args().nth(1).context("which script?")?;
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let script: Script = serde_json::from_str(&text).with_context(|| format!("{path} is no script"))?;
    let endpoint = Endpoint::start(script)?;
    println!("{}", endpoint.url());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    for request in endpoint.received() {
        let answer = request.answer.map_or_else(|| "(aside)".to_owned(), |answer| format!("{answer:?}"));
        println!("{} {} -> {answer}\n  {}", request.method, request.path, request.body);
    }
    Ok(())
}
