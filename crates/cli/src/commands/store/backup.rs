//! `backstay store backup`.

use backstay_runtime::maintenance;

use super::check;
use super::size::size;
use crate::args::BackupArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, Document};
use crate::ui::counted;

/// Copies the store. What is wrong with it is told, and is wrong with the backup too.
pub(crate) async fn backup(context: &Context, args: &BackupArgs) -> Result<Exit, CliError> {
    let (folder, target, now) = (super::folder(context)?, context.cwd.join(&args.folder), context.now());
    context.check_adopted(&folder).await?;
    let made = super::blocking(move || maintenance::backup(&folder, &target, now)).await??;
    let is_whole = made.check.log.findings.is_empty();
    if args.json {
        output::json(&Document::new(&made))?;
    } else {
        let at_work = match made.at_work {
            0 => String::new(),
            1 => "; 1 attempt was at work and is lost in it".to_owned(),
            count => format!("; {count} attempts were at work and are lost in it"),
        };
        output::line(&format!(
            "{}: {}, {}, {}{at_work}",
            made.path,
            counted(made.events, "event"),
            counted(made.files, "file"),
            size(made.size_bytes)
        ))?;
        if made.left_out > 0 {
            let files = counted(u64::from(made.left_out), "file");
            output::note(&format!("not in it, for want of a UTF-8 name: {files}"));
        }
        if !made.others.is_empty() {
            output::note(&format!("what is not the store's is not in it: {}", made.others.join(", ")));
        }
        if !is_whole {
            check::lines(&made.check).iter().for_each(|line| output::note(line));
        }
    }
    Ok(if is_whole { Exit::Completed } else { Exit::Failed })
}
