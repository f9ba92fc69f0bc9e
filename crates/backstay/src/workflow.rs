//! Workflows: from a file, from text, or built.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use backstay_files::read_regular;
use backstay_runtime::WorkflowText;
use backstay_workflow::plan::Plan;
use backstay_workflow::{AgentOverride, Checked, Given, Inputs, PresetTraits};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{Error, InputsError, WorkflowError};

/// A workflow file has at most this many bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A workflow and the values that a run of it begins with.
///
/// ```
/// use backstay::{Step, Workflow};
///
/// let built = Workflow::new("hello").step(Step::run("greet", "echo hello"));
/// let written = Workflow::text("hello", "backstay: 1\nsteps: [{id: greet, run: echo hello}]");
/// let in_a_file = Workflow::file("examples/report.yaml").input("to", "report.md");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a workflow does nothing until it is started"]
pub struct Workflow {
    source: Source,
    inputs: BTreeMap<String, Value>,
    agents: BTreeMap<String, AgentOverride>,
    cwd: Option<Utf8PathBuf>,
}

#[derive(Clone, Debug, PartialEq)]
enum Source {
    File(Utf8PathBuf),
    Text { name: String, text: String },
    Built(Built),
}

/// The form of a built workflow: JSON, which is YAML too.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Built {
    backstay: u32,
    name: String,
    #[serde(flatten)]
    keys: Map<String, Value>,
    steps: Vec<Step>,
}

/// A workflow that was read: what it is checked and kept by.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    /// As it was named.
    pub(crate) file: String,
    /// The absolute path of the folder of the files that it names.
    pub(crate) folder: Utf8PathBuf,
    pub(crate) text: String,
}

impl Workflow {
    /// A workflow without steps yet.
    pub fn new(name: impl Into<String>) -> Workflow {
        Workflow::of(Source::Built(Built {
            backstay: 1,
            name: name.into(),
            keys: Map::new(),
            steps: Vec::new(),
        }))
    }

    /// The workflow in this file. A relative path is one from the working folder of the process that starts the run.
    pub fn file(path: impl Into<Utf8PathBuf>) -> Workflow {
        Workflow::of(Source::File(path.into()))
    }

    /// The workflow with this text in YAML. Diagnostics say `name`; the run has this name where the text gives none.
    pub fn text(name: impl Into<String>, text: impl Into<String>) -> Workflow {
        Workflow::of(Source::Text { name: name.into(), text: text.into() })
    }

    fn of(source: Source) -> Workflow {
        Workflow { source, inputs: BTreeMap::new(), agents: BTreeMap::new(), cwd: None }
    }

    /// The same with one more step. Only for a built workflow: one from a file or text keeps its steps.
    pub fn step(mut self, step: Step) -> Workflow {
        if let Source::Built(built) = &mut self.source {
            built.steps.push(step);
        }
        self
    }

    /// The same with this key of the workflow language, such as `env`, `inputs` or `finally`. Only for a built workflow.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<Value>) -> Workflow {
        if let Source::Built(built) = &mut self.source {
            built.keys.insert(key.into(), value.into());
        }
        self
    }

    /// The same with a value for an input that it declares. A text is read by the declared type.
    pub fn input(mut self, name: impl Into<String>, value: impl Into<Value>) -> Workflow {
        self.inputs.insert(name.into(), value.into());
        self
    }

    /// The same where another agent does what `agent` would do.
    pub fn agent(mut self, agent: impl Into<String>, other: impl Into<String>) -> Workflow {
        self.agents.insert(agent.into(), AgentOverride::Agent(other.into()));
        self
    }

    /// The same where a command does what `agent` would do. It is split into words as a shell would.
    pub fn agent_command(mut self, agent: impl Into<String>, command: impl Into<String>) -> Workflow {
        self.agents.insert(agent.into(), AgentOverride::Command(command.into()));
        self
    }

    /// The same where steps work in this folder, and not in the working folder of the process that starts the run.
    pub fn cwd(mut self, folder: impl Into<Utf8PathBuf>) -> Workflow {
        self.cwd = Some(folder.into());
        self
    }

    /// The folder that its steps work in; `working_folder` is that of this process.
    pub(crate) fn folder(&self, working_folder: &Utf8Path) -> Utf8PathBuf {
        self.cwd.as_ref().map_or_else(|| working_folder.to_owned(), |folder| working_folder.join(folder))
    }

    pub(crate) fn read(&self, working_folder: &Utf8Path) -> Result<Read, Error> {
        let unwritten = |name: &str, text: String| Read {
            file: format!("{name}.yaml"),
            folder: self.folder(working_folder),
            text,
        };
        match &self.source {
            Source::Text { name, text } => Ok(unwritten(name, text.clone())),
            Source::Built(built) => Ok(unwritten(&built.name, serde_json::to_string_pretty(built)?)),
            Source::File(file) => {
                let path = working_folder.join(file);
                let failed = |source| Error::ReadFile { path: path.clone(), source };
                let bytes = read_regular(path.as_std_path(), FILE_BYTES_MAX).map_err(failed)?;
                let text = String::from_utf8(bytes)
                    .map_err(|odd| failed(io::Error::new(io::ErrorKind::InvalidData, odd)))?;
                let folder = path.parent().unwrap_or(working_folder).canonicalize_utf8().map_err(failed)?;
                Ok(Read { file: file.to_string(), folder, text })
            }
        }
    }

    /// Checks the text that was read of it.
    pub(crate) fn check(
        &self,
        read: &Read,
        presets: &BTreeMap<String, PresetTraits>,
    ) -> Result<Checked, Error> {
        let text = WorkflowText { file: &read.file, folder: &read.folder, text: &read.text };
        text.check(self.agents.clone(), presets).map_err(|diagnostics| {
            Error::Workflow(WorkflowError { file: read.file.clone(), text: read.text.clone(), diagnostics })
        })
    }

    /// The inputs of a run by `plan`.
    pub(crate) fn bind(&self, plan: &Plan) -> Result<Inputs, Error> {
        let given = self.inputs.iter().map(|(name, value)| {
            let given = match value {
                Value::String(text) => Given::Text(text.clone()),
                value => Given::Json(value.to_string()),
            };
            (name.clone(), given)
        });
        plan.bind_inputs(&given.collect()).map_err(|problems| Error::Inputs(InputsError(problems)))
    }

    /// The agents in place of its own, in the form of the command line.
    pub(crate) fn agents(&self) -> Vec<String> {
        let form = |(name, agent): (&String, &AgentOverride)| match agent {
            AgentOverride::Agent(other) => format!("{name}={other}"),
            AgentOverride::Command(command) => format!("{name}=cmd: {command}"),
        };
        self.agents.iter().map(form).collect()
    }
}

/// A step of a built workflow. It waits for all steps before it unless it says what it needs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[must_use = "a step does nothing until it is in a workflow"]
pub struct Step {
    id: String,
    #[serde(flatten)]
    keys: Map<String, Value>,
}

impl Step {
    /// A step that runs a script by bash. A value inside `${{ }}` reaches it as a variable, and is never run.
    pub fn run(id: impl Into<String>, script: impl Into<String>) -> Step {
        Step::of(id).set("run", script.into())
    }

    /// A step that runs a program with its arguments, without a shell.
    pub fn command<W: Into<String>>(id: impl Into<String>, words: impl IntoIterator<Item = W>) -> Step {
        Step::of(id).set("command", list(words))
    }

    /// A step that an agent does, such as `codex`, by this prompt.
    pub fn agent(id: impl Into<String>, agent: impl Into<String>, prompt: impl Into<String>) -> Step {
        Step::of(id).set("agent", agent.into()).set("prompt", prompt.into())
    }

    /// A group of steps.
    pub fn group(id: impl Into<String>, steps: impl IntoIterator<Item = Step>) -> Step {
        let steps = steps.into_iter().map(|step| {
            let mut keys = step.keys;
            keys.insert("id".to_owned(), step.id.into());
            Value::Object(keys)
        });
        Step::of(id).set("steps", steps.collect::<Vec<_>>())
    }

    fn of(id: impl Into<String>) -> Step {
        Step { id: id.into(), keys: Map::new() }
    }

    /// The same, which waits for these steps of its list and no others.
    pub fn needs<S: Into<String>>(self, steps: impl IntoIterator<Item = S>) -> Step {
        self.set("needs", list(steps))
    }

    /// The same, which waits for no other step.
    pub fn needs_nothing(self) -> Step {
        self.set("needs", Vec::<Value>::new())
    }

    /// The same, which is left out unless this expression is true.
    pub fn when(self, expression: impl Into<String>) -> Step {
        self.set("if", expression.into())
    }

    /// The same, of which an attempt may take this long.
    pub fn timeout(self, limit: Duration) -> Step {
        self.set("timeout", format!("{}ms", limit.as_millis()))
    }

    /// The same, which is tried again this often where it fails.
    pub fn retry(self, times: u32) -> Step {
        self.set("retry", times)
    }

    /// The same, whose output is JSON.
    pub fn json_output(self) -> Step {
        self.set("output", "json")
    }

    /// The same with this key of the workflow language, such as `env` or `repeat`.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<Value>) -> Step {
        self.keys.insert(key.into(), value.into());
        self
    }
}

fn list<W: Into<String>>(words: impl IntoIterator<Item = W>) -> Vec<Value> {
    words.into_iter().map(|word| Value::String(word.into())).collect()
}
