//! Reading a workflow file, with every diagnostic shown.

use std::collections::BTreeMap;

use backstay_runtime::WorkflowText;
use backstay_workflow::{AgentOverride, Checked, Diagnostic, PresetTraits, Severity};
use camino::Utf8PathBuf;

use crate::context::{Context, read_text};
use crate::error::CliError;
use crate::output;

/// Where the text of a workflow stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WorkflowSource {
    /// In its file.
    File,
    /// In no file yet: it was made of what the person said.
    Arguments,
}

/// A workflow file as it was read.
#[derive(Debug)]
pub(crate) struct WorkflowFile {
    source: WorkflowSource,
    /// As it was named.
    pub(crate) name: String,
    /// The absolute path of its folder.
    pub(crate) folder: Utf8PathBuf,
    /// Its absolute path.
    pub(crate) path: Utf8PathBuf,
    /// Its text.
    pub(crate) text: String,
}

impl WorkflowFile {
    /// Reads the file.
    pub(crate) fn read(context: &Context, name: &camino::Utf8Path) -> Result<WorkflowFile, CliError> {
        let path = context.cwd.join(name);
        let text = read_text(&path)?;
        let folder = path.parent().unwrap_or(&context.cwd);
        let folder = folder.canonicalize_utf8().unwrap_or_else(|_gone_meanwhile| folder.to_owned());
        Ok(WorkflowFile { source: WorkflowSource::File, name: name.to_string(), folder, path, text })
    }

    /// A workflow that is in no file, or not yet read from one; what it names is in the working folder.
    pub(crate) fn unwritten(context: &Context, name: &camino::Utf8Path, text: String) -> WorkflowFile {
        let path = context.cwd.join(name);
        let source = WorkflowSource::Arguments;
        WorkflowFile { source, name: name.to_string(), folder: context.cwd.clone(), path, text }
    }

    /// Checks it.
    pub(crate) fn check(
        &self,
        agents: BTreeMap<String, AgentOverride>,
        presets: &BTreeMap<String, PresetTraits>,
    ) -> Result<Checked, Vec<Diagnostic>> {
        let text = WorkflowText { file: &self.name, folder: &self.folder, text: &self.text };
        text.check(agents, presets)
    }

    /// The diagnostics as a person reads them.
    pub(crate) fn render(&self, diagnostics: &[Diagnostic]) -> String {
        diagnostics
            .iter()
            .map(|diagnostic| diagnostic.render(&self.text, output::note_columns()))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The error that says how many mistakes there are.
    pub(crate) fn error(&self, diagnostics: &[Diagnostic]) -> CliError {
        let errors = errors(diagnostics);
        match self.source {
            WorkflowSource::File => CliError::Workflow { file: self.name.clone(), errors },
            WorkflowSource::Arguments => CliError::Unwritten { errors },
        }
    }
}

/// How many of them are errors.
pub(crate) fn errors(diagnostics: &[Diagnostic]) -> usize {
    diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
}
