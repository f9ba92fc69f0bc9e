//! The schema that editors use, from the crate that knows the language.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::workspace;

/// Writes `docs/workflow.schema.json`.
pub(crate) fn write() -> Result<ExitCode> {
    let path = workspace::root().join("docs/workflow.schema.json");
    let new = backstay_workflow::json_schema();
    let old = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    if old == new {
        println!("{path} is current");
        return Ok(ExitCode::SUCCESS);
    }
    std::fs::write(&path, new).with_context(|| format!("cannot write {path}"))?;
    println!("{path} is written");
    Ok(ExitCode::SUCCESS)
}
