//! A workflow with one of the CLIs, and the endpoint that it talks to.

use std::collections::BTreeMap;
use std::time::Duration;

use backstay_engine::record::{AgentRecord, AttemptRecord, RunRecord, RunStatus, StepRecord};
use backstay_model::StepId;
use backstay_model::event::{Event, FactEvent, Said};
use backstay_testkit::{Endpoint, Received, Script};
use backstay_tests::library::events;
use backstay_tests::{Started, World, block_on, git};
use camino::Utf8PathBuf;

use crate::cli::{Cli, Login};
use crate::install;

/// The longest that one of these small runs may take; opencode's first start takes 10 s on a quick machine, and some wait for
/// minutes before they try again.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// A file is written by the agent and read by the next step; the outputs have both.
pub(crate) const TASK: &str = "  - {id: fix, agent: real, prompt: Write a greeting.}
  - {id: look, run: cat greeting.txt}
outputs: {greeting: \"${{ steps.look.output }}\", said: \"${{ steps.fix.output }}\"}
";

pub(crate) struct Place {
    pub(crate) cli: Cli,
    pub(crate) world: World,
    pub(crate) endpoint: Endpoint,
    programs: Utf8PathBuf,
}

impl Place {
    /// `None`, having said why, where the CLI is not to be had.
    pub(crate) fn new(cli: Cli, script: impl FnOnce(&World) -> Script) -> Option<Place> {
        let programs = install::programs()?;
        let world = World::new();
        let endpoint = Endpoint::start(script(&world)).expect("an endpoint can be had");
        let home = world.path().join("home");
        std::fs::create_dir(&home).expect("a folder can be made");
        // Outside of a repository opencode takes its own working folder for a foreign one.
        git(world.path(), &["init", "--quiet"]);
        cli.furnish(&home);
        Some(Place { cli, world, endpoint, programs })
    }

    /// Writes the workflow with these steps, whose agent `real` is the CLI with these arguments of the test's own.
    pub(crate) fn flow_with(&self, own: &[&str], steps: &str) {
        let (mut args, _) = self.cli.connection(&self.endpoint.url(), Login::Chosen);
        args.extend(own.iter().map(|arg| (*arg).to_owned()));
        let quoted: Vec<String> = args.iter().map(|arg| format!("'{}'", arg.replace('\'', "''"))).collect();
        let text = format!(
            "backstay: 1\nname: real\nagents:\n  real: {{use: {}, args: [{}]}}\nsteps:\n{steps}",
            self.cli.name(),
            quoted.join(", ")
        );
        self.world.write("flow.yaml", &text);
    }

    pub(crate) fn flow(&self, steps: &str) {
        self.flow_with(&[], steps);
    }

    /// The variables of a user who has the CLI.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let (_, mut env) = self.cli.connection(&self.endpoint.url(), Login::Chosen);
        let system =
            std::env::var_os("PATH").and_then(|path| path.into_string().ok()).expect("there is a PATH");
        env.insert("PATH".to_owned(), format!("{}:{system}", self.programs));
        env.insert("HOME".to_owned(), self.world.path().join("home").into_string());
        env
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Started {
        self.command_with(arguments, &[])
    }

    fn command_with(&self, arguments: &[&str], more: &[(&str, &str)]) -> Started {
        let variables = self.variables();
        let mut variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        variables.extend(more);
        self.world.start_with(arguments, &variables)
    }

    pub(crate) fn start(&self) -> Started {
        self.start_with(&[])
    }

    /// Runs the workflow with more variables.
    pub(crate) fn start_with(&self, more: &[(&str, &str)]) -> Started {
        self.command_with(&["run", "flow.yaml"], more)
    }

    /// The outputs of the run, which completed.
    pub(crate) fn outputs(&self) -> String {
        let record = self.world.record();
        assert_eq!(record.status, RunStatus::Completed);
        let text = block_on(async {
            let store = self.world.store().await.expect("there is a store");
            store.text(record.outputs.as_ref().expect("it completed")).await.expect("it can be read")
        });
        text.to_string()
    }

    /// Runs the workflow to its end, which has to be a good one.
    pub(crate) fn completes(&self) -> RunRecord {
        let (status, out) = self.start().end_within(PATIENCE);
        assert!(status.success(), "{out}\n{:?}", self.told());
        let record = self.world.record();
        assert_eq!(record.status, RunStatus::Completed, "{out}");
        record
    }

    /// The requests of the agent's own turns.
    pub(crate) fn asked(&self) -> Vec<Received> {
        self.endpoint.received().into_iter().filter(|request| request.answer.is_some()).collect()
    }

    pub(crate) fn wait_for_answers(&self, count: usize) {
        assert!(
            self.endpoint.wait_for_answers(count, PATIENCE),
            "{count} answers never came to be: {:?}",
            self.endpoint.received()
        );
    }

    /// What the agents of the run said, as far as there is one.
    pub(crate) fn told(&self) -> Vec<Said> {
        let Some(run) = self.world.only_run() else { return Vec::new() };
        let events = block_on(async {
            let store = self.world.store().await.expect("there is a store");
            events(&store, run).await
        });
        let of = |recorded| match Event::decode(recorded) {
            Ok(Event::Fact(FactEvent::AgentSaid(said))) => Some(said.what),
            _ => None,
        };
        events.iter().filter_map(of).collect()
    }
}

pub(crate) fn step<'r>(record: &'r RunRecord, id: &str) -> &'r StepRecord {
    record.step(&id.parse::<StepId>().expect("an id")).expect("its turn came")
}

pub(crate) fn attempts<'r>(record: &'r RunRecord, id: &str) -> &'r [AttemptRecord] {
    &step(record, id).attempts
}

pub(crate) fn agents(record: &RunRecord, id: &str) -> Vec<AgentRecord> {
    attempts(record, id).iter().map(|attempt| attempt.agent.clone().expect("it is an agent's")).collect()
}
