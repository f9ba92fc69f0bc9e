//! The smallest keeper: what an embedder's own binary does behind a hidden command. The tests of this crate use it.
//!
//! Usage: `keeper --folder FOLDER`, started by [`backstay_exec::Keepers::start`].

use std::process::ExitCode;

use camino::Utf8PathBuf;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("--folder"), Some(folder)) => backstay_exec::keeper_main(&Utf8PathBuf::from(folder)),
        _ => ExitCode::from(2),
    }
}
