//! The project's own commands: `cargo xtask help` lists them.

mod agents;
mod bench;
mod command;
mod picture;
mod schema;
mod soak;
mod test;
mod workspace;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match command::run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
