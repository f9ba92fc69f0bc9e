//! `backstay store`: looking after the store itself.

mod adopt;
mod backup;
mod check;
mod info;
mod restore;
mod scrub;
mod size;

use camino::Utf8PathBuf;

use crate::args::{StoreArgs, StoreCommand};
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;

/// Does what was said.
pub(crate) async fn store(context: &Context, args: StoreArgs) -> Result<Exit, CliError> {
    match args.command {
        StoreCommand::Adopt(args) => adopt::adopt(context, args).await,
        StoreCommand::Info(args) => info::info(context, args).await,
        StoreCommand::Check(args) => check::check(context, args).await,
        StoreCommand::Backup(args) => backup::backup(context, &args).await,
        StoreCommand::Restore(args) => restore::restore(context, &args).await,
        StoreCommand::Scrub(args) => scrub::scrub(context, &args).await,
    }
}

/// The store's folder, which has to be there.
fn folder(context: &Context) -> Result<Utf8PathBuf, CliError> {
    context.store_folder().ok_or_else(|| CliError::NoStore { from: context.cwd.clone() })
}

/// Runs what blocks where it holds nothing up.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CliError> {
    Ok(tokio::task::spawn_blocking(work).await?)
}
