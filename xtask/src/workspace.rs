//! Where the workspace is and what is in it.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result};
use cargo_metadata::camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{Metadata, MetadataCommand};

/// The folder of the workspace.
pub(crate) fn root() -> Utf8PathBuf {
    let package = Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// What cargo knows of the workspace's own packages.
pub(crate) fn metadata() -> Result<Metadata> {
    MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .exec()
        .context("cannot ask cargo what the workspace has")
}

/// The cargo that runs this command, to be run in the workspace's folder.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}
