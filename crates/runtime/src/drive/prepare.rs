//! What an attempt needs before it begins: its files, its command, its environment, the checkout as it was.

use std::collections::BTreeMap;
use std::io::Write;

use backstay_agent::Preset;
use backstay_engine::run::Work;
use backstay_exec::{ProcessSpec, StartError};
use backstay_files::{Dir, if_there};
use backstay_log::is_out_of_space;
use backstay_model::event::TreeOutcome;
use backstay_model::{Digest, EffectCall, Scope};
use camino::Utf8Path;

use super::flight::{Watch, chain};
use crate::agents::CommandFault;
use crate::ballast;
use crate::retention::remove_below;
use crate::trees::{
    Checkout, RunRefs, TreeError, TreeMoment, TreeName, folder_digest, omitted_digest, outcome,
};

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
        work: Work,
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
        let mut argv = work.argv;
        for (name, text) in [("script", &work.script), ("prompt", &work.prompt_file)] {
            if let Some(text) = text {
                let path = folder.join(name);
                dir.create(name).and_then(|mut file| file.write_all(text.as_bytes())).map_err(io(&path))?;
                argv.push(path.into_string());
            }
        }
        let command = match (&work.agent, preset) {
            (Some(agent), Some(preset)) => Some(crate::agents::command(preset, agent, &dir, folder)?),
            _ => None,
        };
        // What the workflow says of a variable beats the preset.
        env.extend(command.iter().flat_map(|(line, _)| line.env.clone()));
        env.extend(work.env);
        let refs = RunRefs::new(self.store.log.id(), self.effect.run);
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
        let mut spec = ProcessSpec::new(work.effect, work.attempt, self.epoch, argv, work.cwd.into());
        spec.env = env;
        spec.stdin = work.stdin;
        spec.timeout_ms = work.timeout_ms;
        spec.idle_timeout_ms = work.idle_timeout_ms;
        spec.idle_notice_ms = Some(work.idle_notice_ms);
        if let Some((line, stdin)) = command {
            (spec.argv, spec.stdin) = (line.argv, stdin);
            self.without_bytes(&mut spec, preset);
        }
        Ok(spec)
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
        let Scope::Step { frames, .. } = &self.effect.scope else { return None };
        let is_compared = !frames.is_empty() && self.effect.call == EffectCall::Main;
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
