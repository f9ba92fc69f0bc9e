//! `backstay store scrub`.

use std::io::Read;

use backstay_log::maintenance::Secret;
use backstay_runtime::care::{self, StoreScrubError};

use crate::args::ScrubArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, Document};
use crate::ui::counted;

/// Takes a secret out of the store. The value is never an argument: those are for everybody to see.
pub(crate) async fn scrub(context: &Context, args: &ScrubArgs) -> Result<Exit, CliError> {
    let folder = super::folder(context)?;
    context.check_adopted(&folder).await?;
    let value = match &args.env {
        Some(name) => {
            context.env.get(name).cloned().ok_or_else(|| CliError::NoVariable { name: name.clone() })?
        }
        None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(CliError::Input)?;
            text
        }
    };
    let now = context.now();
    let secret = Secret::new(&value).map_err(StoreScrubError::from)?;
    let scrubbed = super::blocking(move || care::scrub(&folder, &secret, now)).await??;
    let is_clean = scrubbed.left.is_empty();
    if args.json {
        output::json(&Document::new(&scrubbed))?;
    } else {
        output::line(&format!(
            "it was taken out of {}, {}, {} and {}",
            counted(scrubbed.events, "event"),
            counted(scrubbed.rows, "row"),
            counted(scrubbed.blobs, "blob"),
            counted(scrubbed.files, "file")
        ))?;
        for path in &scrubbed.left {
            output::note(&format!("it is still in {path}, or in that name"));
        }
    }
    Ok(if is_clean { Exit::Completed } else { Exit::Failed })
}
