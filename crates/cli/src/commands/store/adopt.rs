//! `backstay store adopt`.

use backstay_runtime::Standing;
use backstay_runtime::maintenance::Adopted;
use serde::Serialize;

use super::size::size;
use crate::args::JsonFlag;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, Document};
use crate::ui::counted;

/// A store that was the user's already.
#[derive(Serialize)]
struct Already<'a> {
    path: &'a str,
    #[serde(flatten)]
    standing: Standing,
}

/// Makes the store this user's, and says what is in it.
pub(crate) async fn adopt(context: &Context, args: JsonFlag) -> Result<Exit, CliError> {
    let folder = super::folder(context)?;
    let (store, adopted) = context.opening(&folder).adopting().await?;
    match adopted {
        Some(adopted) if args.json => output::json(&Document::new(&adopted))?,
        Some(adopted) => output::line(&line(&adopted))?,
        None if args.json => {
            let already = Already { path: store.folder().as_str(), standing: Standing::Known };
            output::json(&Document::new(already))?;
        }
        None => output::note(&format!("{} is yours already", store.folder())),
    }
    Ok(Exit::Completed)
}

/// What was adopted, in one line.
fn line(adopted: &Adopted) -> String {
    let Adopted { path, content, at_work, findings } = adopted;
    let lost = match at_work {
        0 => String::new(),
        1 => "; 1 attempt was at work and is lost in it".to_owned(),
        count => format!("; {count} attempts were at work and are lost in it"),
    };
    let damaged = match findings {
        0 => String::new(),
        _ => format!("; {} damaged: `backstay store check`", counted(*findings, "thing")),
    };
    format!(
        "adopted {path}, which {}: {} ({} open), {}{lost}{damaged}",
        content.standing.describe(),
        counted(content.runs, "run"),
        content.open_runs,
        size(content.size_bytes),
    )
}
