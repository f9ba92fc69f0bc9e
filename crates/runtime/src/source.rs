//! The text of a workflow, on its way to a plan.

use std::collections::BTreeMap;
use std::io;

use backstay_files::read_regular;
use backstay_workflow::{AgentOverride, CheckInput, Checked, Diagnostic, PresetTraits, check};
use camino::Utf8Path;

use crate::agents::{reading_fault, schema_fault};

/// A prompt or a schema has at most this many bytes.
const TEXT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The text of a workflow, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkflowText<'a> {
    /// The file as it was named; diagnostics say it.
    pub file: &'a str,
    /// The absolute path of the folder in which the files that it names are.
    pub folder: &'a Utf8Path,
    /// The text.
    pub text: &'a str,
}

impl WorkflowText<'_> {
    /// Checks it; `agents` take the place of its own, and `presets` are there.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn check(
        &self,
        agents: BTreeMap<String, AgentOverride>,
        presets: &BTreeMap<String, PresetTraits>,
    ) -> Result<Checked, Vec<Diagnostic>> {
        let read_file = |name: &str| {
            let bytes = read_regular(self.folder.join(name).as_std_path(), TEXT_BYTES_MAX)?;
            String::from_utf8(bytes).map_err(|odd| io::Error::new(io::ErrorKind::InvalidData, odd))
        };
        check(&CheckInput {
            path: self.file,
            text: self.text,
            read_file: &read_file,
            schema_fault: &schema_fault,
            reading_fault: &reading_fault,
            agents,
            presets: presets.clone(),
        })
    }
}
