//! Rows of step events: one event of a run's topic, laid out flat for tables and programs.

use backstay_model::event::{
    AttemptEnd, ContinueReason, DecodeError, EffectHandle, EffectResult, Event, FactEvent, Heartbeat,
    LoopEnd, OutputState, Said, StepStatus,
};
use backstay_model::{
    Attempt, EffectCall, EffectId, Frame, LiveEvent, Position, Recorded, Scope, Seq, StepId, StorePath,
    Timestamp,
};
use serde::{Deserialize, Serialize};

/// What a row tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepEventKind {
    /// A step's turn came.
    Started,
    /// An attempt is about to begin.
    Starting,
    /// An attempt's process runs.
    Spawned,
    /// A sign of life.
    Heartbeat,
    /// An attempt was found again by a new owner.
    Attached,
    /// Nobody can say for now what becomes of an attempt.
    Stuck,
    /// An attempt ended.
    Ended,
    /// An attempt cannot be found again.
    Lost,
    /// A step has its result.
    Finished,
    /// A step was left out.
    Skipped,
    /// A failed attempt will be followed by another one.
    RetryScheduled,
    /// An attempt of an agent will be followed by another one that counts against nothing.
    Continues,
    /// An agent said or did something.
    Said,
    /// A step used up one of its time budgets.
    TimedOut,
    /// A step has been silent for long.
    Stalled,
    /// A loop began a pass.
    CycleStarted,
    /// A loop ended by its condition, or because its passes were used up.
    LoopEnded,
    /// The run began.
    RunStarted,
    /// The run stands still.
    RunPaused,
    /// The run goes on.
    RunResumed,
    /// The run ended as it should.
    RunCompleted,
    /// The run ended with a failure.
    RunFailed,
    /// The run ended because somebody wanted it to.
    RunCancelled,
}

/// Whether something belongs to the run's own steps or to one element of a fan-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepScope {
    /// To the run's own steps.
    Run,
    /// To one element of a fan-out.
    Item,
}

/// One event about a step or the run. What the event does not have is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEventRow {
    /// What it tells.
    pub kind: StepEventKind,
    /// When.
    pub at: Timestamp,
    /// Its instance in the whole log.
    pub g: Position,
    /// Its number in the topic; absent for a live event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<Seq>,
    /// Whether it belongs to the run's own steps or to one element of a fan-out.
    pub scope: StepScope,
    /// The step; absent for an event of the run as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepId>,
    /// The innermost element's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// The innermost loop's pass, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycle: Option<u32>,
    /// Which try, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// Which of the step's pieces of work: its own, or the probe after a crash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<bool>,
    /// What does the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The beginning of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
    /// The attempt's folder, relative to the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<StorePath>,
    /// Whether it did what it should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
    /// The exit code of the main process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Awake time so far, in milliseconds; of a stall the silence, of a time-out the budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// Bytes of stdout so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout_bytes: Option<u64>,
    /// Bytes of stderr so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr_bytes: Option<u64>,
    /// How much stdout grew since the last beat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout_delta: Option<u64>,
    /// How much stderr grew since the last beat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr_delta: Option<u64>,
    /// Beats in a row without growth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stagnant_beats: Option<u32>,
    /// The main process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Whether it still runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_alive: Option<bool>,
    /// What the output looks like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_state: Option<OutputState>,
}

impl StepEventRow {
    /// The row of a durable event; none if it is no event of a step or of the run's life.
    ///
    /// # Errors
    /// [`DecodeError`] if the event is unknown, damaged or from a newer version.
    pub fn of(recorded: &Recorded) -> Result<Option<StepEventRow>, DecodeError> {
        let row = |kind| StepEventRow {
            seq: Some(recorded.seq),
            ..StepEventRow::bare(kind, recorded.at, recorded.g, &recorded.scope)
        };
        Ok(match Event::decode(recorded)? {
            Event::Fact(fact) => fill(fact, row),
            Event::Input(_) => None,
        })
    }

    /// The row of a live event; none if it is not a step's.
    ///
    /// # Errors
    /// [`DecodeError`] if it is damaged or from a newer version.
    pub fn of_live(live: &LiveEvent) -> Result<Option<StepEventRow>, DecodeError> {
        if live.kind != Heartbeat::KIND {
            return Ok(None);
        }
        let beat = Heartbeat::decode(live)?;
        Ok(Some(StepEventRow {
            attempt: Some(beat.attempt),
            elapsed_ms: Some(beat.elapsed_ms),
            stdout_bytes: Some(beat.stdout_bytes),
            stderr_bytes: Some(beat.stderr_bytes),
            stdout_delta: Some(beat.stdout_delta),
            stderr_delta: Some(beat.stderr_delta),
            stagnant_beats: Some(beat.stagnant_beats),
            pid: Some(beat.pid),
            pid_alive: Some(beat.pid_alive),
            output_state: Some(beat.output_state),
            ..StepEventRow::bare(StepEventKind::Heartbeat, live.at, live.g, &live.scope)
        }))
    }

    /// A row that tells when and of what, and nothing else.
    fn bare(kind: StepEventKind, at: Timestamp, g: Position, scope: &Scope) -> StepEventRow {
        let item = scope.frames().iter().rev().find_map(|frame| match frame {
            Frame::Item(key) => Some(key.clone()),
            _ => None,
        });
        let cycle = scope.cycles().last().map(|(_, cycle)| cycle);
        StepEventRow {
            kind,
            at,
            g,
            seq: None,
            scope: if item.is_some() { StepScope::Item } else { StepScope::Run },
            step: scope.step_id().cloned(),
            item,
            cycle,
            attempt: None,
            probe: None,
            agent: None,
            preview: None,
            folder: None,
            success: None,
            exit_code: None,
            duration_ms: None,
            reason: None,
            elapsed_ms: None,
            stdout_bytes: None,
            stderr_bytes: None,
            stdout_delta: None,
            stderr_delta: None,
            stagnant_beats: None,
            pid: None,
            pid_alive: None,
            output_state: None,
        }
    }
}

fn fill(fact: FactEvent, row: impl Fn(StepEventKind) -> StepEventRow) -> Option<StepEventRow> {
    let of_attempt = |kind, effect: &EffectId, attempt| StepEventRow {
        attempt: Some(attempt),
        probe: Some(effect.call == EffectCall::Probe),
        ..row(kind)
    };
    Some(match fact {
        FactEvent::StepStarted(started) => {
            StepEventRow { agent: started.agent, ..row(StepEventKind::Started) }
        }
        FactEvent::EffectStarting(starting) => StepEventRow {
            preview: Some(starting.preview),
            ..of_attempt(StepEventKind::Starting, &starting.effect, starting.attempt)
        },
        FactEvent::EffectRunning(running) => {
            let EffectHandle::Process(process) = running.handle;
            StepEventRow {
                pid: Some(process.pid),
                folder: Some(process.folder),
                ..of_attempt(StepEventKind::Spawned, &running.effect, running.attempt)
            }
        }
        FactEvent::EffectAttached(attached) => {
            of_attempt(StepEventKind::Attached, &attached.effect, attached.attempt)
        }
        FactEvent::EffectFinished(finished) => {
            let EffectResult::Process(process) = finished.result;
            StepEventRow {
                success: Some(finished.end == AttemptEnd::Succeeded),
                exit_code: process.exit_code,
                duration_ms: Some(finished.duration_ms),
                reason: finished.message.or_else(|| match finished.end {
                    AttemptEnd::Failed { failure } => Some(failure.as_str().to_owned()),
                    AttemptEnd::Succeeded | AttemptEnd::Cancelled | AttemptEnd::Interrupted => None,
                }),
                stdout_bytes: process.stdout.map(|spool| spool.size_bytes),
                stderr_bytes: process.stderr.map(|spool| spool.size_bytes),
                ..of_attempt(StepEventKind::Ended, &finished.effect, finished.attempt)
            }
        }
        FactEvent::EffectStuck(stuck) => StepEventRow {
            reason: Some(stuck.message),
            ..of_attempt(StepEventKind::Stuck, &stuck.effect, stuck.attempt)
        },
        FactEvent::EffectLost(lost) => StepEventRow {
            reason: Some(lost.evidence.as_str().to_owned()),
            ..of_attempt(StepEventKind::Lost, &lost.effect, lost.attempt)
        },
        FactEvent::StepFinished(finished) => StepEventRow {
            attempt: finished.attempt,
            success: Some(finished.status == StepStatus::Succeeded),
            exit_code: finished.exit_code,
            duration_ms: Some(finished.duration_ms),
            reason: Some(finished.summary),
            ..row(StepEventKind::Finished)
        },
        FactEvent::StepSkipped(skipped) => {
            StepEventRow { reason: Some(skipped.reason.to_string()), ..row(StepEventKind::Skipped) }
        }
        FactEvent::StepRetryScheduled(retry) => {
            let (attempt, reason) = (Some(retry.attempt), Some(retry.message));
            StepEventRow { attempt, reason, ..row(StepEventKind::RetryScheduled) }
        }
        FactEvent::StepContinues(continues) => {
            let (attempt, reason) = (Some(continues.attempt), Some(because(&continues.because)));
            StepEventRow { attempt, reason, agent: Some(continues.next), ..row(StepEventKind::Continues) }
        }
        FactEvent::AgentSaid(said) => StepEventRow {
            attempt: Some(said.attempt),
            reason: Some(line(said.what)?),
            ..row(StepEventKind::Said)
        },
        FactEvent::StepTimedOut(timed_out) => StepEventRow {
            attempt: Some(timed_out.attempt),
            reason: Some(timed_out.budget.as_str().to_owned()),
            elapsed_ms: Some(timed_out.budget_ms),
            ..row(StepEventKind::TimedOut)
        },
        FactEvent::StepStalled(stalled) => StepEventRow {
            attempt: Some(stalled.attempt),
            elapsed_ms: Some(stalled.silent_ms),
            ..row(StepEventKind::Stalled)
        },
        FactEvent::CycleStarted(started) => {
            StepEventRow { cycle: Some(started.cycle), ..row(StepEventKind::CycleStarted) }
        }
        FactEvent::LoopEnded(ended) => StepEventRow {
            cycle: Some(ended.cycle),
            success: Some(ended.reason == LoopEnd::Satisfied),
            reason: Some(match ended.reason {
                LoopEnd::Satisfied => format!("`{}` is true", ended.until),
                LoopEnd::Exhausted => format!("`{}` is false after the last allowed cycle", ended.until),
            }),
            ..row(StepEventKind::LoopEnded)
        },
        FactEvent::RunStarted(_) => row(StepEventKind::RunStarted),
        FactEvent::RunSuspended(paused) => {
            StepEventRow { reason: Some(format!("by {}", paused.by)), ..row(StepEventKind::RunPaused) }
        }
        FactEvent::RunResumed(_) => row(StepEventKind::RunResumed),
        FactEvent::RunCompleted(_) => {
            StepEventRow { success: Some(true), ..row(StepEventKind::RunCompleted) }
        }
        FactEvent::RunFailed(end) => StepEventRow {
            success: Some(false),
            step: end.scope.as_ref().and_then(Scope::step_id).cloned(),
            reason: Some(end.reason),
            ..row(StepEventKind::RunFailed)
        },
        FactEvent::RunCancelled(end) => {
            StepEventRow { reason: end.reason, ..row(StepEventKind::RunCancelled) }
        }
        // Wishes, verdicts, owners, questions and plumbing have their own views.
        _ => return None,
    })
}

/// Why an agent gets another attempt, in a line.
fn because(because: &ContinueReason) -> String {
    let of_session = match because {
        ContinueReason::SessionUnknown => "its session is not there: it begins a new one",
        ContinueReason::SessionInUse => "its session is there already: it goes on with it",
        ContinueReason::SessionBusy => "another process works in its session",
        ContinueReason::Limit { .. }
        | ContinueReason::Unreachable { .. }
        | ContinueReason::LoginNeeded { .. }
        | ContinueReason::Refused { .. }
        | ContinueReason::NotStarted { .. }
        | ContinueReason::CutShort { .. }
        | ContinueReason::InvalidOutput { .. } => because.failure().as_str(),
    };
    because.message().unwrap_or(of_session).to_owned()
}

/// What an agent said, in a line; none for what is only counted.
fn line(said: Said) -> Option<String> {
    match said {
        Said::SessionStarted { id, .. } => Some(format!("session {id}")),
        Said::Message { line, .. } | Said::Thought { line } | Said::ToolStarted { line, .. } => Some(line),
        Said::FilesTouched { paths } => Some(format!("files {}", paths.join(", "))),
        Said::Limit { message, .. }
        | Said::LoginNeeded { message }
        | Said::Refused { message }
        | Said::NetworkTrouble { message }
        | Said::Error { message } => Some(message),
        Said::TurnEnded { ok: true, .. } => Some("its turn ended well".to_owned()),
        Said::TurnEnded { ok: false, failure } => {
            Some(failure.unwrap_or_else(|| "its turn did not end well".to_owned()))
        }
        Said::ToolFinished { .. } | Said::Usage(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use backstay_model::event::{
        EffectFinished, EffectRunning, EffectStarting, FailureClass, ProcessHandle, ProcessResult,
        RunCancelled, RunCompleted, RunFailed, RunResumed, RunStarted, SkipReason, Spool, StepFinished,
        StepRetryScheduled, StepSkipped, StepStalled, StepStarted, StepTimedOut, TimeBudget, TimerFired,
    };
    use backstay_model::{Digest, RunId, Text, Topic};

    use super::*;

    const AT: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

    fn recorded(scope: &str, event: impl Into<Event>) -> Recorded {
        let event = event.into();
        Recorded {
            topic: Topic::run(run()),
            seq: Seq(3),
            g: Position(30),
            at: AT,
            kind: event.kind(),
            scope: scope.parse().unwrap(),
            payload: event.encode().unwrap(),
            trace: None,
            more: false,
        }
    }

    fn run() -> RunId {
        "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap()
    }

    fn effect(call: &str) -> EffectId {
        format!("{}:code:{call}", run()).parse().unwrap()
    }

    /// The row as programs read it, without what every row of these tests has.
    fn json(recorded: &Recorded) -> String {
        let row = StepEventRow::of(recorded).unwrap().unwrap();
        let text = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<StepEventRow>(&text).unwrap(), row);
        text.replace("\"at\":1790000000000000,\"g\":30,\"seq\":3,", "")
    }

    #[test]
    fn s1_every_kind_of_step_event_has_its_name() {
        let attempt = Attempt(2);
        let names = [
            (
                recorded("code", StepStarted { agent: Some("codex".to_owned()) }),
                "started\",\"scope\":\"run\",\"step\":\"code\",\"agent\":\"codex\"}",
            ),
            (
                recorded(
                    "code",
                    EffectRunning {
                        effect: effect("main"),
                        attempt,
                        handle: EffectHandle::Process(ProcessHandle {
                            pid: 7,
                            keeper_pid: 6,
                            folder: "f".parse().unwrap(),
                            before: None,
                            agent: None,
                        }),
                    },
                ),
                "spawned\",\"scope\":\"run\",\"step\":\"code\",\"attempt\":2,\"probe\":false,\"folder\":\"f\",\"pid\":7}",
            ),
            (
                recorded("code", StepSkipped { reason: SkipReason::RunEnding, output: None }),
                "skipped\",\"scope\":\"run\",\"step\":\"code\",\"reason\":\"the run ended before its turn came\"}",
            ),
            (
                recorded("code", StepTimedOut { attempt, budget: TimeBudget::Idle, budget_ms: 9 }),
                "timed_out\",\"scope\":\"run\",\"step\":\"code\",\"attempt\":2,\"reason\":\"idle_timeout\",\"elapsed_ms\":9}",
            ),
            (
                recorded("code", StepStalled { attempt, silent_ms: 5, stop_in_ms: None }),
                "stalled\",\"scope\":\"run\",\"step\":\"code\",\"attempt\":2,\"elapsed_ms\":5}",
            ),
            (
                recorded(
                    "code",
                    StepRetryScheduled {
                        attempt,
                        failure: FailureClass::RateLimit,
                        message: "rate_limit".to_owned(),
                        due_at: AT,
                    },
                ),
                "retry_scheduled\",\"scope\":\"run\",\"step\":\"code\",\"attempt\":2,\"reason\":\"rate_limit\"}",
            ),
            (recorded("", RunStarted {}), "run_started\",\"scope\":\"run\"}"),
            (
                recorded("", RunCompleted { outputs: Text::of("{}") }),
                "run_completed\",\"scope\":\"run\",\"success\":true}",
            ),
            (
                recorded("", RunFailed { scope: None, reason: "no".to_owned() }),
                "run_failed\",\"scope\":\"run\",\"success\":false,\"reason\":\"no\"}",
            ),
            (recorded("", RunCancelled { reason: None }), "run_cancelled\",\"scope\":\"run\"}"),
        ];
        for (event, expected) in names {
            assert_eq!(json(&event), format!("{{\"kind\":\"{expected}"));
        }
        let by = backstay_model::event::Actor { name: "ada".to_owned(), via: "cli".to_owned() };
        let resumed = recorded("", RunResumed { by });
        assert_eq!(StepEventRow::of(&resumed).unwrap().unwrap().kind, StepEventKind::RunResumed);
        let plumbing = recorded("code", TimerFired { due_at: AT, fired_at: AT });
        assert_eq!(StepEventRow::of(&plumbing).unwrap(), None);
    }

    #[test]
    fn s2_the_end_of_an_attempt_and_of_its_step_tell_success_time_and_bytes() {
        let spool = |size_bytes| Some(Spool { size_bytes, digest: Digest::of(b""), lost_bytes: 0 });
        let ended = EffectFinished {
            effect: effect("probe"),
            attempt: Attempt(1),
            end: AttemptEnd::Failed { failure: FailureClass::Exit },
            message: None,
            duration_ms: 12,
            unrequested: false,
            result: EffectResult::Process(Box::new(ProcessResult {
                exit_code: Some(3),
                stdout: spool(0),
                ..ProcessResult::default()
            })),
        };
        assert_eq!(
            json(&recorded("code", ended)),
            "{\"kind\":\"ended\",\"scope\":\"run\",\"step\":\"code\",\"attempt\":1,\"probe\":true,\"success\":false,\"exit_code\":3,\"duration_ms\":12,\"reason\":\"exit\",\"stdout_bytes\":0}",
            "no byte came on stdout; of stderr nothing is known"
        );
        let finished = StepFinished {
            status: StepStatus::Succeeded,
            attempt: None,
            exit_code: None,
            failure: None,
            summary: "2 of 2 steps succeeded".to_owned(),
            output: None,
            duration_ms: 0,
        };
        assert_eq!(
            json(&recorded("g", finished)),
            "{\"kind\":\"finished\",\"scope\":\"run\",\"step\":\"g\",\"success\":true,\"duration_ms\":0,\"reason\":\"2 of 2 steps succeeded\"}"
        );
    }

    #[test]
    fn s2_items_and_cycles_come_from_the_scope() {
        let starting = EffectStarting {
            effect: effect("main"),
            attempt: Attempt(1),
            class: backstay_model::event::EffectClass::Attach,
            spec: Digest::of(b""),
            preview: "cargo test".to_owned(),
            host: "h".to_owned(),
            boot: "b".to_owned(),
            agent: None,
        };
        assert_eq!(
            json(&recorded("issue=412/green~3/code", starting)),
            "{\"kind\":\"starting\",\"scope\":\"item\",\"step\":\"code\",\"item\":\"412\",\"cycle\":3,\"attempt\":1,\"probe\":false,\"preview\":\"cargo test\"}"
        );
    }

    #[test]
    fn s2_a_heartbeat_tells_all_that_it_has_and_nothing_else() {
        let beat = Heartbeat {
            attempt: Attempt(1),
            elapsed_ms: 10,
            stdout_bytes: 20,
            stderr_bytes: 0,
            stdout_delta: 0,
            stderr_delta: 0,
            stagnant_beats: 4,
            pid: 9,
            pid_alive: true,
            cpu_ms: None,
            output_state: OutputState::Quiet,
        };
        let live = LiveEvent {
            topic: Topic::run(run()),
            g: Position(31),
            after_seq: Seq(3),
            at: AT,
            kind: Heartbeat::KIND,
            scope: "code".parse().unwrap(),
            payload: beat.encode().unwrap(),
        };
        let row = StepEventRow::of_live(&live).unwrap().unwrap();
        assert_eq!(
            serde_json::to_string(&row).unwrap(),
            "{\"kind\":\"heartbeat\",\"at\":1790000000000000,\"g\":31,\"scope\":\"run\",\"step\":\"code\",\"attempt\":1,\"elapsed_ms\":10,\"stdout_bytes\":20,\"stderr_bytes\":0,\"stdout_delta\":0,\"stderr_delta\":0,\"stagnant_beats\":4,\"pid\":9,\"pid_alive\":true,\"output_state\":\"quiet\"}"
        );
        let other = LiveEvent { kind: backstay_model::Kind::new("token"), ..live.clone() };
        assert_eq!(StepEventRow::of_live(&other).unwrap(), None);
        let damaged =
            LiveEvent { payload: backstay_model::Payload::from_text("{}".to_owned()).unwrap(), ..live };
        assert!(StepEventRow::of_live(&damaged).is_err());
    }
}
