//! What can be said about the store itself.

use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

use crate::args::JsonFlag;

/// `store`.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
}

/// The verbs of `store`.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Make a store yours that came from elsewhere, is a copy, or is older than the one that you had.
    ///
    /// Says what is in it. What was at work in it is lost in it and goes by `after_crash`; what is only made of its events is
    /// made anew. Stores that you made are yours already.
    Adopt(JsonFlag),
    /// Say where it is, who has it open, and what takes its room.
    Info(JsonFlag),
    /// Look whether all of it is whole, also while runs go on; exits with 1 if not. Changes nothing.
    Check(JsonFlag),
    /// Copy all of it, as it is at one moment, also while runs go on.
    Backup(BackupArgs),
    /// Make a store from a backup; what was at work in it goes by `after_crash`.
    Restore(RestoreStoreArgs),
    /// Take a secret out of all of it; nobody else may have it open.
    ///
    /// The value comes on stdin, or in a variable. Each byte of it becomes `*`; sizes, numbers and what was verified before
    /// still hold. Other stores, backups, and the git objects of `diff` and `restore` are not touched.
    Scrub(ScrubArgs),
}

/// `trust`.
///
/// The store's config.toml can start programs and say what agents may do. It counts once its user has allowed it, by its path
/// and what is in it: each change has to be allowed again. The user's own configuration, ~/.config/backstay/config.toml,
/// counts without being asked.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct TrustArgs {
    /// Only show what it says, and whether it is allowed.
    #[arg(long)]
    pub(crate) show: bool,
    /// Take it back.
    #[arg(long, conflicts_with = "show")]
    pub(crate) revoke: bool,
    /// Allow it without asking, as where there is no terminal.
    #[arg(long, short, conflicts_with_all = ["show", "revoke"])]
    pub(crate) yes: bool,
}

/// `store backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The folder of the backup: one that is not there, or empty.
    #[arg(value_name = "DIR")]
    pub(crate) folder: Utf8PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `store restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreStoreArgs {
    /// The folder of the backup.
    #[arg(value_name = "BACKUP")]
    pub(crate) backup: Utf8PathBuf,
    /// In the place of the store that is there; that one is kept beside it.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `store scrub`.
#[derive(Debug, Args)]
pub(crate) struct ScrubArgs {
    /// The variable with the value [default: stdin].
    #[arg(long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
