//! `backstay check`.

use std::collections::BTreeMap;

use backstay_workflow::{Checked, Diagnostic, PresetTraits, apply_fixes};
use serde::Serialize;

use super::workflow::{WorkflowFile, errors};
use crate::args::CheckArgs;
use crate::context::{Context, replace_text};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, Document};

/// Checks a file, and mends what can be mended surely.
pub(crate) fn check(context: &Context, args: &CheckArgs) -> Result<Exit, CliError> {
    #[derive(Serialize)]
    struct Found<'a> {
        file: &'a str,
        fixed: usize,
        diagnostics: &'a [Diagnostic],
    }
    let mut file = WorkflowFile::read(context, &args.file)?;
    let presets = context.configuration_here()?.traits()?;
    let mut found = diagnostics(&file, &presets);
    let mut fixed = 0;
    // An edit may uncover what the next one is about; each pass mends something, so there are few.
    while args.fix && found.iter().any(|diagnostic| diagnostic.edit().is_some()) {
        let edited = apply_fixes(&file.text, &found);
        if edited.text == file.text {
            break;
        }
        fixed += edited.edits;
        file.text = edited.text;
        found = diagnostics(&file, &presets);
    }
    if fixed > 0 {
        replace_text(&file.path, &file.text)?;
    }
    let mistakes = errors(&found);
    if args.json {
        output::json(&Document::new(Found { file: &file.name, fixed, diagnostics: &found }))?;
        return Ok(if mistakes == 0 { Exit::Completed } else { Exit::Usage });
    }
    if fixed > 0 {
        output::note(&format!("{fixed} mended in {}", file.name));
    }
    if !found.is_empty() {
        output::note(&file.render(&found));
    }
    if mistakes > 0 {
        return Err(CliError::Mistakes { file: file.name, errors: mistakes });
    }
    output::line(&format!("{} is in order", file.name))?;
    Ok(Exit::Completed)
}

fn diagnostics(file: &WorkflowFile, presets: &BTreeMap<String, PresetTraits>) -> Vec<Diagnostic> {
    match file.check(BTreeMap::new(), presets) {
        Ok(Checked { warnings, .. }) => warnings,
        Err(diagnostics) => diagnostics,
    }
}
