//! `backstay store restore`.

use backstay_runtime::STORE_FOLDER;
use backstay_runtime::maintenance::{self, Place};

use super::check;
use crate::args::RestoreStoreArgs;
use crate::context::{Context, ignore_in_git};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, Document};
use crate::ui::counted;

/// Makes the store from a backup.
pub(crate) async fn restore(context: &Context, args: &RestoreStoreArgs) -> Result<Exit, CliError> {
    let folder = context.store_folder().unwrap_or_else(|| context.cwd.join(STORE_FOLDER));
    let (backup, now) = (context.cwd.join(&args.backup), context.now());
    let place = if args.replace { Place::Replace } else { Place::Empty };
    if !context.adopts {
        // Without a registry it could not be used; nothing is moved for that.
        let registry = context.registry();
        super::blocking(move || registry.prepare()).await?.map_err(CliError::Registry)?;
    }
    let target = folder.clone();
    let restored = super::blocking(move || maintenance::restore(&backup, &target, place, now)).await??;
    ignore_in_git(&folder)?;
    let opening = context.opening(&folder);
    super::blocking(move || opening.register_made()).await??;
    let is_whole = restored.check.log.findings.is_empty();
    if args.json {
        output::json(&Document::new(&restored))?;
    } else {
        let made_at = context.times().minute(restored.made_at);
        output::line(&format!("{}: {}, as of {made_at}", restored.path, counted(restored.events, "event")))?;
        if let Some(replaced) = &restored.replaced {
            output::line(&format!("the store that was there is {replaced}"))?;
        }
        if let Some(configuration) = &restored.replaced_configuration {
            output::note(&format!("its configuration was another one: {configuration}"));
        }
        if !is_whole {
            check::lines(&restored.check).iter().for_each(|line| output::note(line));
        }
    }
    Ok(if is_whole { Exit::Completed } else { Exit::Failed })
}
