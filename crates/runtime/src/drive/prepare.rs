//! What an attempt needs before it begins: its files, its command, its environment, the checkout as it was.

use std::collections::BTreeMap;
use std::io::Write;

use backstay_agent::Preset;
use backstay_engine::run::{EffectSpec, Task};
use backstay_exec::{ProcessSpec, StartError};
use backstay_files::{Dir, if_there};
use backstay_log::is_out_of_space;
use backstay_model::event::TreeOutcome;
use backstay_model::{Digest, EffectCall};
use backstay_workflow::plan::Via;
use camino::Utf8Path;

use super::flight::{Watch, chain};
use crate::agents::{CommandFault, prompt_text};
use crate::ballast;
use crate::retention::remove_below;
use crate::trees::{
    Checkout, RunRefs, TreeError, TreeMoment, TreeName, folder_digest, omitted_digest, outcome,
    worktree_script,
};

/// A command, with what it reads and its own variables.
#[derive(Default)]
struct TaskCommand {
    argv: Vec<String>,
    stdin: Option<String>,
    env: Vec<(String, String)>,
}

/// The shell of what has none of its own: probes, and the making of worktrees.
fn shell() -> Vec<String> {
    ["bash", "--noprofile", "--norc", "-eo", "pipefail"].map(str::to_owned).to_vec()
}

/// Why work cannot be started.
pub(super) enum Unready {
    /// The machine or its specification is in the way.
    Start(StartError),
    /// Its agent has no way to do it.
    Command(CommandFault),
}

impl From<StartError> for Unready {
    fn from(error: StartError) -> Unready {
        Unready::Start(error)
    }
}

impl From<CommandFault> for Unready {
    fn from(error: CommandFault) -> Unready {
        match error {
            CommandFault::Io { path, source } => Unready::Start(StartError::Io { path, source }),
            error @ CommandFault::Command(_) => Unready::Command(error),
        }
    }
}

impl Watch {
    /// Writes what the work needs into its folder.
    pub(super) fn prepare(
        &self,
        folder: &Utf8Path,
        work: EffectSpec,
        mut env: BTreeMap<String, String>,
        preset: Option<&Preset>,
    ) -> Result<ProcessSpec, Unready> {
        let io = |path: &Utf8Path| {
            let path = path.to_owned();
            move |source| Unready::Start(StartError::Io { path, source })
        };
        ballast::take_in(&self.store.folder);
        // A store that is gone is not made anew in its old place.
        let dir = Dir::open(self.store.folder.as_std_path())
            .and_then(|store| store.make_folder(self.folder.as_std_path()))
            .map_err(io(folder))?;
        let artifacts = folder.join("artifacts");
        // The step writes to where these lead.
        dir.make_folder("artifacts")
            .and_then(|folder| remove_below(&folder, None))
            .map_err(io(&artifacts))?;
        let output = folder.join("output");
        if_there(dir.remove("output")).map_err(io(&output))?;
        let refs = RunRefs::new(self.store.log.id(), self.effect.root);
        let command = self.command(work.task, &dir, folder, preset)?;
        // What the workflow says of a variable beats the preset.
        let (of_preset, own) = match preset {
            Some(_) => (command.env, Vec::new()),
            None => (Vec::new(), command.env),
        };
        env.extend(of_preset);
        env.extend(work.env);
        env.extend(own);
        for (name, value) in [
            // The owner's own would be another one; some programs believe it.
            ("PWD", work.cwd.clone()),
            ("BACKSTAY_OUTPUT", output.into_string()),
            ("BACKSTAY_ARTIFACTS", artifacts.into_string()),
            ("BACKSTAY_STORE", self.store.folder.to_string()),
            ("BACKSTAY_REFS", refs.folder()),
        ] {
            env.insert(name.to_owned(), value);
        }
        let mut spec = ProcessSpec::new(work.effect, work.attempt, self.epoch, command.argv, work.cwd.into());
        spec.env = env;
        spec.stdin = command.stdin;
        spec.timeout_ms = work.timeout_ms;
        spec.idle_timeout_ms = work.idle_timeout_ms;
        spec.idle_notice_ms = Some(work.idle_notice_ms);
        if preset.is_some() {
            self.without_bytes(&mut spec, preset);
        }
        Ok(spec)
    }

    /// The command that does `task`; what it reads from files is written into `dir`, which is at `folder`.
    fn command(
        &self,
        task: Task,
        dir: &Dir,
        folder: &Utf8Path,
        preset: Option<&Preset>,
    ) -> Result<TaskCommand, Unready> {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            match dir.create(name).and_then(|mut file| file.write_all(text.as_bytes())) {
                Ok(()) => Ok(path.into_string()),
                Err(source) => Err(Unready::Start(StartError::Io { path, source })),
            }
        };
        let script = |mut argv: Vec<String>, text: &str| -> Result<TaskCommand, Unready> {
            argv.push(write("script", text)?);
            Ok(TaskCommand { argv, ..TaskCommand::default() })
        };
        match task {
            Task::Command { argv } => Ok(TaskCommand { argv, ..TaskCommand::default() }),
            Task::Script { shell, script: text } => script(shell, &text),
            Task::Probe { script: text } => script(shell(), &text),
            Task::Worktree(worktree) => {
                let (text, env) = worktree_script(&worktree);
                Ok(TaskCommand { env, ..script(shell(), &text)? })
            }
            Task::Program { mut argv, via, prompt } => {
                let text = prompt_text(&prompt, None);
                let (mut stdin, mut env) = (None, Vec::new());
                match via {
                    Via::Stdin => stdin = Some(text),
                    Via::Arg => argv.push(text),
                    Via::File => argv.push(write("prompt", &text)?),
                    Via::Env => env.push(("BACKSTAY_PROMPT".to_owned(), text)),
                }
                Ok(TaskCommand { argv, stdin, env })
            }
            Task::Agent(agent) => {
                // The attempt is refused before where its preset cannot be read.
                let Some(preset) = preset else { return Ok(TaskCommand::default()) };
                let (line, stdin) = crate::agents::command(preset, &agent, dir, folder)?;
                Ok(TaskCommand { argv: line.argv, stdin, env: line.env.into_iter().collect() })
            }
        }
    }

    /// Keeps the checkout that the work works in, if it does in one. That it cannot be kept stops no work, unless there is no
    /// room for it: then there will be none for other things either.
    pub(super) fn keep_tree(
        &self,
        folder: &Utf8Path,
        moment: TreeMoment,
    ) -> Result<Option<TreeOutcome>, TreeError> {
        let Some(cwd) = self.cwd.as_ref().filter(|_| self.effect.call != EffectCall::Probe) else {
            return Ok(None);
        };
        let name = TreeName::new(self.store.log.id(), &self.effect, self.attempt, moment);
        let kept = Checkout::around(cwd)
            .and_then(|checkout| checkout.map(|checkout| checkout.keep(&name, folder)).transpose());
        match kept {
            Err(error) if is_out_of_space(&error) => Err(error),
            kept => Ok(outcome(kept, &self.effect)),
        }
    }

    /// What the folder holds that the work worked in, as far as the tree kept `after` it does not say. Only cycles of loops
    /// are compared by it.
    pub(super) fn folder_digest(&self, after: Option<&TreeOutcome>) -> Option<Digest> {
        let is_in_cycle = self.effect.scope.cycles().next().is_some();
        let is_compared = is_in_cycle && self.effect.call == EffectCall::Main;
        let cwd = self.cwd.as_ref().filter(|_| is_compared)?;
        match after.and_then(TreeOutcome::kept) {
            None => folder_digest(cwd, &self.store.folder),
            Some(kept) if kept.omitted.is_empty() => None,
            Some(kept) => {
                let checkout = match Checkout::around(cwd) {
                    Ok(checkout) => checkout?,
                    Err(error) => {
                        tracing::debug!(effect = %self.effect, error = %chain(&error), "what the tree omits is not compared");
                        return None;
                    }
                };
                omitted_digest(checkout.root(), &kept.omitted, &self.store.folder)
            }
        }
    }

    pub(super) fn kept_before(&self) -> Option<TreeOutcome> {
        let name = TreeName::new(self.store.log.id(), &self.effect, self.attempt, TreeMoment::Before);
        let kept = Checkout::around(self.cwd.as_ref()?)
            .and_then(|checkout| checkout.map(|checkout| checkout.kept(&name)).transpose());
        match kept {
            Ok(kept) => kept.flatten().map(TreeOutcome::Kept),
            Err(error) => {
                tracing::debug!(effect = %self.effect, error = %chain(&error), "the kept checkout is not found");
                None
            }
        }
    }
}
