//! A machine with a log beside it that numbers what is appended.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use backstay_model::event::{
    Access, Actor, Answer, AttemptEnd, Because, ClaimReason, Event, FactEvent, InputEvent, LostEvidence,
    OwnerChanged, OwnerReleased, PlanRef, QuestionAnswered, Reopened, Resolution, RunRequested, Said,
    SessionWish, SuspendReason, Verdict,
};
use backstay_model::limits::{BATCH_BYTES_MAX, CONSEQUENCES_MAX, PAYLOAD_BYTES_MAX};
use backstay_model::{
    Attempt, Digest, EffectCall, EffectId, Epoch, OwnerId, Position, QuestionId, Recorded, RunId, Scope, Seq,
    Text, Timestamp, Topic,
};
use backstay_workflow::plan::Via;
use backstay_workflow::{CheckInput, PresetTraits, check};

use super::super::{EffectSpec, PlanIndex, Task};
use crate::effect::Desired;
use crate::record::{RunRecord, RunStatus};
use crate::topic::{Emitted, Input, Outcome, TopicMachine};
use crate::{DecisionContext, EffectHost, EndedBy, ProcessEnded, Rejection, Report};

/// The moment of the first event.
const BEGINNING: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);
/// More than any plan here needs to come to rest.
const PASSES_MAX: usize = 100;

#[derive(Clone)]
pub(super) struct Bench {
    pub(super) machine: TopicMachine,
    pub(super) definition: Arc<PlanIndex>,
    pub(super) log: Vec<Recorded>,
    pub(super) record: RunRecord,
    pub(super) now: Timestamp,
    pub(super) starts: Vec<EffectSpec>,
    pub(super) blobs: BTreeMap<Digest, Arc<str>>,
    /// The plans that wishes brought.
    plans: Vec<(PlanRef, Arc<PlanIndex>)>,
    pub(super) batches: Vec<usize>,
    pub(super) performs: bool,
    pub(super) holds_checkout: bool,
    /// Whether the law of the fold is tested after every append: a long log is folded once at the end.
    pub(super) is_tested_each_time: bool,
    seed: u64,
}

impl Bench {
    /// A run of the workflow with these steps (and what stands behind them), asked for and not looked at.
    pub(super) fn asked(steps: &str) -> Bench {
        Bench::asked_with(steps, "{}")
    }

    pub(super) fn asked_with(steps: &str, inputs: &str) -> Bench {
        Bench::of(&format!("steps:\n{steps}"), inputs)
    }

    /// A run of the workflow that begins with this text behind its name.
    pub(super) fn of(file: &str, inputs: &str) -> Bench {
        let run: RunId = "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap();
        let definition = definition_of(file, inputs);
        let mut machine = TopicMachine::new(run);
        machine.define(Arc::clone(&definition));
        let mut bench = Bench {
            machine,
            definition,
            log: Vec::new(),
            record: RunRecord::new(run),
            now: BEGINNING,
            starts: Vec::new(),
            blobs: BTreeMap::new(),
            plans: Vec::new(),
            batches: Vec::new(),
            performs: true,
            holds_checkout: true,
            is_tested_each_time: true,
            seed: 7,
        };
        bench.say(RunRequested {
            run,
            workflow: "t".to_owned(),
            file: "t.yaml".to_owned(),
            folder: "/work".to_owned(),
            source: Digest::of(b"source"),
            plan: Digest::of(b"plan"),
            inputs: Text::of(inputs),
            cwd: "/work".to_owned(),
            host: "h".to_owned(),
            by: say::me(),
            trace: "0".repeat(32),
            presets: BTreeMap::new(),
            agents: Vec::new(),
            parent_run: None,
        });
        bench
    }

    /// The same, looked at until there is nothing more to decide.
    pub(super) fn begun(steps: &str) -> Bench {
        let mut bench = Bench::asked(steps);
        bench.settle();
        bench
    }

    /// Appends an input and folds it, as its owner does that follows the topic.
    pub(super) fn say(&mut self, input: impl Into<InputEvent>) -> Seq {
        self.say_of(Scope::root(), input)
    }

    /// The same of an input about a step: of its current instance.
    pub(super) fn say_of_step(&mut self, step: &str, input: impl Into<InputEvent>) -> Seq {
        let step = step.parse().unwrap();
        let scope = self.machine.scope_of(&step).unwrap_or_else(|| Scope::step(step));
        self.say_of(scope, input)
    }

    pub(super) fn say_of(&mut self, scope: Scope, input: impl Into<InputEvent>) -> Seq {
        let seq = self.record(scope, &Event::from(input.into()), false);
        let recorded = self.log[self.log.len() - 1].clone();
        self.machine.apply(&recorded).unwrap();
        seq
    }

    /// What the owner would decide of an input about the run.
    pub(super) fn would_accept(&self, input: impl Into<InputEvent>) -> Result<(), Rejection> {
        self.machine.would_accept(&Scope::root(), &input.into())
    }

    /// Wants a step left out.
    pub(super) fn skip(&mut self, step: &str) -> Seq {
        self.say_of_step(step, say::skip())
    }

    pub(super) fn pass(&mut self, input: Input) -> Vec<String> {
        let before = self.is_tested_each_time.then(|| self.machine.desired());
        let context = self.context();
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let outcome = self.machine.handle(&context, input);
        if let Some(before) = before.filter(|_| outcome.facts.is_empty()) {
            assert_eq!(self.machine.desired(), before, "nothing was decided");
        }
        self.append(outcome)
    }

    pub(super) fn look(&mut self) -> Vec<String> {
        self.pass(Input::Look)
    }

    /// Looks until nothing more follows.
    pub(super) fn settle(&mut self) -> Vec<String> {
        let mut facts = Vec::new();
        for _ in 0..PASSES_MAX {
            let new = self.look();
            if new.is_empty() {
                self.obey_the_law_of_the_agenda();
                return facts;
            }
            facts.extend(new);
        }
        panic!("the machine does not come to rest: {facts:?}");
    }

    pub(super) fn report(&mut self, report: Report) -> Vec<String> {
        self.pass(Input::Report(report))
    }

    /// The only attempt in flight of `step`.
    pub(super) fn in_flight(&self, step: &str) -> (EffectId, Attempt) {
        self.try_in_flight(step).unwrap_or_else(|| panic!("nothing of {step} is in flight"))
    }

    pub(super) fn try_in_flight(&self, step: &str) -> Option<(EffectId, Attempt)> {
        let mut found = self.machine.desired().into_iter().filter_map(|(effect, wish)| {
            let (Desired::Hold(attempt) | Desired::Stop(attempt, _)) = wish else { return None };
            (effect.scope.step_id().unwrap().as_str() == step).then_some((effect, attempt))
        });
        found.next()
    }

    pub(super) fn end(&mut self, step: &str, process: ProcessEnded) -> Vec<String> {
        let (effect, attempt) = self.in_flight(step);
        self.report(Report::Ended { effect, attempt, process: Box::new(process) })
    }

    pub(super) fn exit(&mut self, step: &str, code: i32) -> Vec<String> {
        self.end(step, exited(code))
    }

    pub(super) fn print(&mut self, step: &str, output: &str) -> Vec<String> {
        let output = self.keep(output);
        self.end(step, ProcessEnded { output: Some(output), ..exited(0) })
    }

    pub(super) fn stopped(&mut self, step: &str) -> Vec<String> {
        self.end(step, ended(EndedBy::Stop))
    }

    pub(super) fn lose(&mut self, step: &str, evidence: LostEvidence) -> Vec<String> {
        let (effect, attempt) = self.in_flight(step);
        self.report(Report::Lost { effect, attempt, evidence, ended_processes: 0 })
    }

    pub(super) fn question(&self) -> QuestionId {
        self.machine.open_questions().next().expect("a question is open").1.question
    }

    pub(super) fn answer(&mut self, choice: &str) -> Vec<String> {
        let question = self.question();
        self.say(say::answer(question, choice));
        self.settle()
    }

    pub(super) fn later(&mut self, ms: u64) {
        self.now = self.now.plus(Duration::from_millis(ms));
    }

    /// Keeps a text as the runtime does before a report.
    pub(super) fn keep(&mut self, text: &str) -> Text {
        let kept = Text::of(text);
        if let Some(digest) = kept.blob() {
            self.blobs.insert(digest, Arc::from(text));
            self.machine.give_text(digest, Arc::from(text));
        }
        kept
    }

    /// What is wanted, in words.
    pub(super) fn desired(&self) -> Vec<String> {
        let words = |(effect, wish): (EffectId, Desired)| {
            let step = effect.scope.step_id().unwrap().clone();
            let probe = if effect.call == EffectCall::Probe { " probe" } else { "" };
            match wish {
                Desired::Start(attempt) => format!("{step}{probe} start {attempt}"),
                Desired::Hold(attempt) => format!("{step}{probe} hold {attempt}"),
                Desired::Stop(attempt, reason) => format!("{step}{probe} stop {attempt} {reason:?}"),
            }
        };
        self.machine.desired().into_iter().map(words).collect()
    }

    pub(super) fn status(&self) -> RunStatus {
        self.machine.status()
    }

    /// Another process becomes the owner; the log says so, and the new owner folds it.
    pub(super) fn claimed_by(&mut self, pid: u32) {
        self.claimed_after(pid, None);
    }

    /// The same, with the last sign of the owner before.
    pub(super) fn claimed_after(&mut self, pid: u32, last_sign: Option<Timestamp>) {
        let changed = OwnerChanged {
            owner: OwnerId::derived(Digest::of(&pid.to_le_bytes())),
            epoch: Epoch(u64::from(pid)),
            host: "h".to_owned(),
            pid,
            reason: ClaimReason::OwnerDead,
            previous: None,
            last_sign,
        };
        self.record(Scope::root(), &changed.into(), false);
        self.crash();
    }

    /// The owner gives the run up.
    pub(super) fn release(&mut self, pid: u32) {
        self.record(Scope::root(), &OwnerReleased { epoch: Epoch(u64::from(pid)) }.into(), false);
        self.crash();
    }

    /// `reopened` with the plan of a workflow with these steps.
    pub(super) fn again_by(&mut self, steps: &str, inputs: &str, reopened: Reopened) -> Reopened {
        self.again_by_file(&format!("steps:\n{steps}"), inputs, reopened)
    }

    /// The same with the text behind the workflow's name.
    pub(super) fn again_by_file(&mut self, file: &str, inputs: &str, reopened: Reopened) -> Reopened {
        let request = self.machine.plan_ref().unwrap();
        let digest = Digest::of(file.as_bytes());
        let plan = PlanRef { source: digest, plan: digest, inputs: Text::of(inputs), ..request };
        self.plans.push((plan.clone(), definition_of(file, inputs)));
        Reopened { plan: Some(Box::new(plan)), ..reopened }
    }

    /// Wants the run tried again by the workflow with these steps, whose plan is at hand.
    pub(super) fn retry_by(&mut self, steps: &str, inputs: &str) -> Seq {
        let reopened = self.again_by(steps, inputs, say::again());
        let seq = self.say(reopened);
        self.give_plans();
        seq
    }

    /// Gives the machine the plans that it misses, as the runtime does.
    pub(super) fn give_plans(&mut self) {
        for plan in self.machine.missing_plans() {
            let definition = self.plan_of(&plan);
            self.machine.give_plan(plan, definition);
        }
        for digest in self.machine.missing_texts() {
            self.machine.give_text(digest, Arc::clone(&self.blobs[&digest]));
        }
    }

    pub(super) fn plan_of(&self, plan: &PlanRef) -> Arc<PlanIndex> {
        let found = self.plans.iter().find(|(known, _)| known == plan);
        found.map_or_else(|| Arc::clone(&self.definition), |(_, definition)| Arc::clone(definition))
    }

    /// A machine folded from the log alone.
    pub(super) fn refolded(&self) -> TopicMachine {
        let mut machine = TopicMachine::new(self.machine.run());
        self.log.iter().for_each(|recorded| machine.apply(recorded).unwrap());
        machine.define(self.plan_of(&machine.plan_ref().unwrap()));
        for plan in machine.missing_plans() {
            let definition = self.plan_of(&plan);
            machine.give_plan(plan, definition);
        }
        for digest in machine.missing_texts() {
            machine.give_text(digest, Arc::clone(&self.blobs[&digest]));
        }
        machine
    }

    /// The owner dies; another one folds the log.
    pub(super) fn crash(&mut self) {
        self.machine = self.refolded();
    }

    fn append(&mut self, outcome: Outcome) -> Vec<String> {
        let Outcome { facts, starts, texts, .. } = outcome;
        assert!(facts.len() <= CONSEQUENCES_MAX, "{} facts in one append", facts.len());
        self.blobs.extend(texts.into_iter().map(|text| (Digest::of(text.as_bytes()), text)));
        let mut bytes = 0;
        for (index, Emitted { scope, fact }) in facts.iter().enumerate() {
            self.record(scope.clone(), &Event::from(fact.clone()), index + 1 < facts.len());
            let size = self.log[self.log.len() - 1].payload.as_str().len();
            assert!(size <= PAYLOAD_BYTES_MAX, "{fact:?} takes {size} bytes");
            bytes += size;
        }
        assert!(bytes <= BATCH_BYTES_MAX, "{bytes} bytes in one append");
        if !facts.is_empty() {
            self.batches.push(facts.len());
            self.machine.acknowledge(Seq(self.log.len() as u64));
        }
        self.starts.extend(starts);
        if facts.iter().any(|emitted| matches!(emitted.fact, FactEvent::PlanChanged(_))) {
            self.definition = self.plan_of(&self.machine.plan_ref().unwrap());
        }
        if self.is_tested_each_time {
            self.obey_the_law_of_the_fold();
        }
        facts.iter().map(describe).collect()
    }

    /// What is not on the agenda needs no look: who looks at all of the plan finds nothing more to decide.
    fn obey_the_law_of_the_agenda(&self) {
        let mut machine = self.machine.clone();
        machine.run.agenda.add_all();
        let found = machine.handle(&self.context(), Input::Look);
        assert_eq!(found.facts, [], "not on the agenda");
    }

    fn context(&self) -> DecisionContext {
        DecisionContext {
            now: self.now,
            seed: self.seed,
            holds_checkout: self.holds_checkout,
            host: self.performs.then(|| EffectHost { host: "h".to_owned(), boot: "b".to_owned() }),
        }
    }

    /// The fold of the log is the state: all of recovery stands on it.
    pub(super) fn obey_the_law_of_the_fold(&self) {
        let folded = self.refolded();
        assert_eq!(folded.desired(), self.machine.desired());
        assert_eq!(folded.status(), self.machine.status());
        assert_eq!(folded.summary(), self.machine.summary());
        assert_eq!(folded.inbox, self.machine.inbox);
        assert_eq!(folded.effects, self.machine.effects);
        assert_eq!(folded.questions, self.machine.questions);
        assert_eq!(folded.usage, self.machine.usage);
        let (own, folded_run) = (&self.machine.run, &folded.run);
        assert_eq!(folded_run.phase, own.phase);
        assert_eq!(folded_run.steps, own.steps);
        assert_eq!(folded_run.sessions, own.sessions);
        assert_eq!(folded_run.failed, own.failed);
        assert_eq!(folded_run.retired, own.retired);
        assert_eq!(folded_run.paused_at, own.paused_at);
        assert_eq!(folded.plan_ref(), self.machine.plan_ref());
        let (summary, progress) = (folded.summary(), self.record.progress(self.definition.plan()));
        assert_eq!((summary.steps_done, summary.steps_total), (progress.done, progress.total), "one count");
        assert_eq!(folded.head(), self.machine.head());
        assert_eq!(folded.last_input(), self.machine.last_input());
        if !self.machine.has_unsettled_inputs() {
            assert_eq!(self.record.status, self.machine.status(), "the record and the machine say the same");
        }
    }

    fn record(&mut self, scope: Scope, event: &Event, more: bool) -> Seq {
        let seq = Seq(self.log.len() as u64 + 1);
        let recorded = Recorded {
            topic: Topic::run(self.machine.run()),
            seq,
            g: Position(seq.0),
            at: self.now,
            kind: event.kind(),
            scope,
            payload: event.encode().unwrap(),
            trace: None,
            more,
        };
        self.record.apply(&recorded).unwrap();
        self.log.push(recorded);
        seq
    }
}

pub(super) fn ended(by: EndedBy) -> ProcessEnded {
    ProcessEnded {
        by,
        exit_code: None,
        signal: None,
        message: None,
        duration_ms: 5,
        stdout: None,
        stderr: None,
        output: None,
        output_problem: None,
        shape_problem: None,
        log: None,
        artifacts: Vec::new(),
        artifacts_omitted: 0,
        after: None,
        folder: None,
        left_behind: 0,
        agent: None,
    }
}

/// The workflow that begins with `file` behind its name, with these inputs.
fn definition_of(file: &str, inputs: &str) -> Arc<PlanIndex> {
    let text = format!("backstay: 1\nname: t\n{file}\n");
    let read_file = |path: &str| match path {
        "s.json" => Ok(r#"{"required": ["n"], "type": "object"}"#.to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let checked = check(&CheckInput {
        path: "t.yaml",
        text: &text,
        read_file: &read_file,
        schema_fault: &|_| None,
        reading_fault: &|_| None,
        agents: BTreeMap::new(),
        presets: ["codex", "claude"].map(|name| (name.to_owned(), able())).into(),
    });
    let plan = match checked {
        Ok(checked) => checked.plan,
        Err(said) => panic!("{}", said.iter().map(|said| said.render(&text, 92)).collect::<String>()),
    };
    Arc::new(PlanIndex::new(plan, inputs, "/store").unwrap())
}

/// A preset that can everything.
fn able() -> PresetTraits {
    let access = [Access::Read, Access::Write, Access::Full].into();
    PresetTraits {
        access,
        vias: [Via::Stdin, Via::Arg].into(),
        takes_model: true,
        takes_args: true,
        can_resume: true,
        can_fork: true,
        file_prefix: None,
    }
}

pub(super) fn exited(code: i32) -> ProcessEnded {
    ProcessEnded { exit_code: Some(code), ..ended(EndedBy::Exit) }
}

/// What people say.
pub(super) mod say {
    use backstay_model::event::{
        CancelRequested, Reopened, ResumeRequested, SkipRequested, StepSkip, SuspendRequested,
    };

    use super::*;

    pub(in super::super) fn me() -> Actor {
        Actor { name: "ada".to_owned(), via: "cli".to_owned() }
    }

    pub(in super::super) fn suspend() -> SuspendRequested {
        SuspendRequested { by: me(), reason: SuspendReason::Asked }
    }

    pub(in super::super) fn resume() -> ResumeRequested {
        ResumeRequested { by: me(), now: false }
    }

    pub(in super::super) fn resume_now() -> ResumeRequested {
        ResumeRequested { by: me(), now: true }
    }

    pub(in super::super) fn cancel() -> CancelRequested {
        CancelRequested { by: me(), reason: None }
    }

    pub(in super::super) fn skip() -> SkipRequested {
        SkipRequested { by: me(), output: None }
    }

    pub(in super::super) fn left_out(step: &str) -> StepSkip {
        StepSkip { scope: step.parse().unwrap(), output: None }
    }

    pub(in super::super) fn answer(question: QuestionId, choice: &str) -> QuestionAnswered {
        QuestionAnswered { by: me(), question, answer: Answer { choice: choice.to_owned(), value: None } }
    }

    pub(in super::super) fn again() -> Reopened {
        Reopened { by: me(), from: None, skip: None, plan: None }
    }

    pub(in super::super) fn again_from(step: &str) -> Reopened {
        Reopened { from: Some(step.parse().unwrap()), ..again() }
    }
}

/// The script of a start.
pub(super) fn script(spec: &EffectSpec) -> Option<&str> {
    match &spec.task {
        Task::Script { script, .. } | Task::Probe { script } => Some(script),
        _ => None,
    }
}

/// A fact in words.
fn describe(emitted: &Emitted) -> String {
    let what = match &emitted.fact {
        FactEvent::Settled(settled) => match &settled.verdict {
            Verdict::Accepted => format!("#{} accepted", settled.input),
            Verdict::Refused { code, .. } => format!("#{} refused: {code:?}", settled.input),
            Verdict::Superseded { by } => format!("#{} superseded by #{by}", settled.input),
        },
        FactEvent::RunCompleted(end) => match &end.outputs {
            Text::Inline(outputs) => format!("run completed {outputs}"),
            Text::Blob { .. } => "run completed with a blob".to_owned(),
        },
        FactEvent::RunFailed(end) => format!("run failed: {}", end.reason),
        FactEvent::CheckoutBusy(busy) => format!("checkout busy: {}", busy.pid.unwrap_or(0)),
        FactEvent::CheckoutFree(_) => "checkout free".to_owned(),
        FactEvent::RunCancelling(now) if now.finally_too => "run cancelling finally too".to_owned(),
        FactEvent::StepsReset(reset) => {
            let listed =
                |steps: &[Scope]| steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            let loops = if reset.loops.is_empty() {
                String::new()
            } else {
                format!("; anew {}", listed(&reset.loops))
            };
            format!("reset {}{loops}", listed(&reset.steps))
        }
        FactEvent::CycleStarted(started) => {
            let check = if started.check { " as a check" } else { "" };
            format!("cycle {} ({} of {}){check}", started.cycle, started.nth, started.max_cycles)
        }
        FactEvent::StepsRedefined(redefined) => {
            let word = |step: &backstay_model::event::StepRedefined| {
                format!("{} {}", step.step, step.redefinition.as_str())
            };
            format!("redefined {}", redefined.steps.iter().map(word).collect::<Vec<_>>().join(", "))
        }
        FactEvent::LoopEnded(ended) => format!("{:?} in cycle {}", ended.reason, ended.cycle).to_lowercase(),
        FactEvent::StepStarted(_) => "started".to_owned(),
        FactEvent::StepSkipped(skipped) => format!("skipped: {}", skipped.reason),
        FactEvent::StepFinished(finished) => {
            format!("{}: {}", format!("{:?}", finished.status).to_lowercase(), finished.summary)
        }
        FactEvent::StepRetryScheduled(retry) => {
            format!("retries after {} {:?}", retry.attempt, retry.failure)
        }
        FactEvent::StepTimedOut(timed_out) => {
            format!("timed out {} {:?}", timed_out.attempt, timed_out.budget)
        }
        FactEvent::StepStalled(stalled) => format!("stalled {}", stalled.attempt),
        FactEvent::EffectStarting(starting) => {
            let agent = starting.agent.as_ref().map_or_else(String::new, |agent| {
                let session = match &agent.session {
                    SessionWish::Fresh { .. } => "fresh".to_owned(),
                    SessionWish::Continue { id, .. } => format!("in {id}"),
                    SessionWish::Fork { from, .. } => format!("copy of {from}"),
                };
                format!(" {} {session}", agent.preset)
            });
            format!("starting {}{}{agent}", probe(&starting.effect), starting.attempt)
        }
        FactEvent::AgentSaid(said) => {
            let what = match &said.what {
                Said::SessionStarted { id, .. } => format!("session {id}"),
                Said::Message { line, .. } | Said::ToolStarted { line, .. } => line.clone(),
                what => format!("{what:?}").split([' ', '{', '(']).next().unwrap_or_default().to_owned(),
            };
            format!("said {what} to {}", said.spool_end)
        }
        FactEvent::StepContinues(continues) => {
            let because = match &continues.because {
                Because::Limit { .. } => "limit".to_owned(),
                Because::Unreachable { .. } => "unreachable".to_owned(),
                Because::LoginNeeded { .. } => "login".to_owned(),
                Because::Refused { .. } => "refused".to_owned(),
                Because::NotStarted { .. } => "not started".to_owned(),
                Because::CutShort { .. } => "cut short".to_owned(),
                Because::SessionUnknown => "session unknown".to_owned(),
                Because::SessionInUse => "session in use".to_owned(),
                Because::SessionBusy => "session busy".to_owned(),
                Because::InvalidOutput { problem } => problem.clone(),
            };
            let when = if continues.wait.is_some() { " later" } else { "" };
            format!("continues after {} by {}{when}: {because}", continues.attempt, continues.next)
        }
        FactEvent::EffectRunning(running) => format!("running {}{}", probe(&running.effect), running.attempt),
        FactEvent::EffectStuck(stuck) => {
            format!("stuck {}{}: {}", probe(&stuck.effect), stuck.attempt, stuck.message)
        }
        FactEvent::EffectAttached(attached) => {
            format!("attached {}{}", probe(&attached.effect), attached.attempt)
        }
        FactEvent::EffectFinished(finished) => {
            let end = match finished.end {
                AttemptEnd::Failed { failure } => format!("failed {failure:?}"),
                end => format!("{end:?}").to_lowercase(),
            };
            format!("ended {}{} {end}", probe(&finished.effect), finished.attempt)
        }
        FactEvent::EffectLost(lost) => format!("lost {}{}", probe(&lost.effect), lost.attempt),
        FactEvent::EffectInDoubt(doubt) => format!("in doubt {}", doubt.attempt),
        FactEvent::EffectResolved(resolved) => {
            let what = match resolved.resolution {
                Resolution::Done { .. } => "done",
                Resolution::NotDone => "not done",
                Resolution::Failed => "failed",
            };
            format!("resolved {} {what}", resolved.attempt)
        }
        event => event.kind().as_str().replace('_', " "),
    };
    if emitted.scope.is_root() { what } else { format!("{} {what}", emitted.scope) }
}

fn probe(effect: &EffectId) -> &'static str {
    match effect.call {
        EffectCall::Probe => "probe ",
        _ => "",
    }
}
