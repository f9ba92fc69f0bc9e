//! The keys of the language: the keys of this version, and later keys with the way to do without them.

/// The keys of one kind of mapping.
pub(crate) struct Keys {
    /// The name of the mapping in diagnostics.
    pub(crate) of: &'static str,
    /// The keys of this version.
    pub(crate) known: &'static [&'static str],
    /// The keys of the language that are not supported yet, each with a substitute.
    pub(crate) later: &'static [(&'static str, &'static str)],
    /// Keys of other tools, each with its counterpart here.
    pub(crate) foreign: &'static [(&'static str, &'static str)],
}

impl Keys {
    /// Returns the counterpart of another tool's key, in any spelling of the key.
    pub(crate) fn answer(&self, key: &str) -> Option<&'static str> {
        let key = key.to_lowercase().replace('-', "_");
        self.foreign.iter().find(|(name, _)| *name == key).map(|(_, answer)| *answer)
    }
}

/// The verbs of other tools.
pub(crate) const FOREIGN_VERBS: &[&str] = &[
    "script", "cmd", "cmds", "commands", "bash", "exec", "uses", "task", "call", "executor", "jobs", "tasks",
];

pub(crate) const WORKFLOW: Keys = Keys {
    of: "a workflow",
    known: &[
        "backstay",
        "name",
        "description",
        "inputs",
        "agents",
        "env",
        "steps",
        "finally",
        "outputs",
        "budget",
        "workspace",
    ],
    later: &[
        ("secrets", "variables of the environment reach every step; those named like secrets are redacted"),
        ("concurrency", "start one run after the other"),
        ("triggers", "start the run from cron or a systemd timer"),
        ("defaults", "write it at each step"),
    ],
    foreign: &[
        (
            "jobs",
            "write `steps`: a list, in which each step waits for all above it unless `needs` says otherwise",
        ),
        ("tasks", "write `steps`: a list of steps, each with an `id`"),
        ("stages", "write `steps`, and `needs` for what may run side by side"),
        ("on", "a run is started by `backstay run`; from cron or a systemd timer for a schedule"),
        ("schedule", "start the run from cron or a systemd timer"),
        ("params", "write `inputs`:  inputs: {base: {type: string, default: main}}"),
        ("parameters", "write `inputs`:  inputs: {base: {type: string, default: main}}"),
        ("vars", "write `inputs` for values given at the start, or `env` for variables"),
        ("variables", "write `inputs` for values given at the start, or `env` for variables"),
        ("environment", "write `env`:  env: {NAME: value}"),
        ("version", "write `backstay: 1`"),
        ("on_failure", "write the step under `finally`, with `if: not run.ok`"),
        ("on_success", "write the step under `finally`, with `if: run.ok`"),
        ("on_exit", "write the step under `finally`"),
        ("handler_on", "write the steps under `finally`, with `if: run.ok` or `if: not run.ok`"),
        ("max_parallel", "not there yet: steps with `needs: []` all run side by side"),
        ("max_active_steps", "not there yet: steps with `needs: []` all run side by side"),
        ("timeout", "write `timeout` at each step"),
        ("timeout_sec", "write `timeout` at each step, with a unit: `timeout: 20m`"),
    ],
};

pub(crate) const STEP: Keys = Keys {
    of: "a step",
    known: &[
        "id",
        "description",
        "run",
        "shell",
        "command",
        "agent",
        "prompt",
        "prompt_file",
        "steps",
        "needs",
        "if",
        "timeout",
        "idle_timeout",
        "env",
        "output",
        "accept_exit",
        "after_crash",
        "retry",
        "repeat",
        "access",
        "session",
        "on_limit",
        "max_wait",
        "schema",
        "workspace",
    ],
    later: &[
        ("for_each", "write one step for each item, or loop in a `run`"),
        ("ask", "ask in a script:  run: backstay ask \"Go on?\" --options yes,no"),
        ("workflow", "put its steps here, as a group"),
        ("secrets", "variables of the environment reach every step; those named like secrets are redacted"),
        ("budget", "bound the step with `timeout`"),
        ("artifacts", "write to `$BACKSTAY_ARTIFACTS`: what is put there is kept"),
        ("concurrency", "start one run after the other"),
    ],
    foreign: &[
        ("name", "a step is named by its `id`; words for people go into `description`"),
        ("title", "a step is named by its `id`; words for people go into `description`"),
        ("depends_on", "write `needs`:  needs: [build]"),
        ("depends", "write `needs`:  needs: [build]"),
        ("deps", "write `needs`:  needs: [build]"),
        ("dependencies", "write `needs`:  needs: [build]"),
        ("after", "write `needs`:  needs: [build]"),
        ("retries", "write `retry`:  retry: 2"),
        ("retry_policy", "write `retry`:  retry: {max: 2, backoff: 10s}"),
        ("max_retries", "write `retry`:  retry: 2"),
        ("attempts", "write `retry`, which counts the attempts after the first:  retry: 2"),
        (
            "continue_on_error",
            "write `accept_exit: 0-255`: the step then ends well, and `steps.ID.exit_code` tells",
        ),
        (
            "continue_on",
            "write `accept_exit: 0-255`: the step then ends well, and `steps.ID.exit_code` tells",
        ),
        (
            "allow_failure",
            "write `accept_exit: 0-255`: the step then ends well, and `steps.ID.exit_code` tells",
        ),
        (
            "ignore_error",
            "write `accept_exit: 0-255`: the step then ends well, and `steps.ID.exit_code` tells",
        ),
        (
            "ignore_errors",
            "write `accept_exit: 0-255`: the step then ends well, and `steps.ID.exit_code` tells",
        ),
        ("matrix", "not there yet: write one step for each value, with `needs: []` to run side by side"),
        ("strategy", "not there yet: write one step for each value, with `needs: []` to run side by side"),
        ("parallel", "write `needs: []` at each step that starts at once"),
        ("on_failure", "write a step under `finally`, with `if: not steps.ID.ok`"),
        ("on_success", "write a step after it, with `if: steps.ID.ok`"),
        ("schedule", "start the run from cron or a systemd timer"),
        ("script", "write `run`"),
        ("cmd", "write `run` for a script, or `command` for a list of arguments"),
        ("cmds", "write `run`:  run: |, with a command on each line"),
        ("commands", "write `run`:  run: |, with a command on each line"),
        ("bash", "write `run`"),
        ("exec", "write `command`:  command: [program, argument]"),
        ("executor", "write `run`, `command` or `agent`"),
        ("uses", "actions of other tools do not run here: write their commands in `run`"),
        ("with", "values for a script go into `env`"),
        ("task", "put its steps here, as a group:  steps: [...]"),
        ("call", "put its steps here, as a group:  steps: [...]"),
        ("jobs", "write `steps`: a step with `steps` is a group"),
        ("tasks", "write `steps`: a step with `steps` is a group"),
        ("when", "write `if`"),
        ("condition", "write `if`"),
        ("preconditions", "write `if`"),
        ("unless", "write `if: not …`"),
        ("while", "write `repeat: {until: …, max_cycles: 6}` at a group"),
        ("until", "write `repeat: {until: …, max_cycles: 6}` at a group"),
        ("loop", "write `repeat: {until: …, max_cycles: 6}` at a group"),
        ("repeat_policy", "write `repeat: {until: …, max_cycles: 6}` at a group"),
        ("max_cycles", "it belongs under `repeat`:  repeat: {until: …, max_cycles: 6}"),
        ("max_iterations", "write `repeat: {until: …, max_cycles: 6}` at a group"),
        ("timeout_minutes", "write `timeout` with a unit:  timeout: 20m"),
        ("timeout_sec", "write `timeout` with a unit:  timeout: 90s"),
        ("timeout_seconds", "write `timeout` with a unit:  timeout: 90s"),
        ("environment", "write `env`:  env: {NAME: value}"),
        ("working_directory", "begin the script with it:  run: cd DIR && …"),
        ("workdir", "begin the script with it:  run: cd DIR && …"),
        ("dir", "begin the script with it:  run: cd DIR && …"),
        ("cwd", "begin the script with it:  run: cd DIR && …"),
        ("model", "it belongs to the agent:  agent: {use: claude, model: opus}"),
        ("fallback", "it belongs to the agent:  agent: {use: claude, fallback: [codex]}"),
        ("args", "it belongs to the agent:  agent: {use: claude, args: [...]}"),
        ("outputs", "a step has one `output`; `outputs` belongs to the workflow"),
        ("stdout", "the output is kept: read it as `steps.ID.output`"),
    ],
};

pub(crate) const INPUT: Keys = Keys {
    of: "an input",
    known: &["type", "default", "description", "required"],
    later: &[("enum", "test the value in a first step"), ("pattern", "test the value in a first step")],
    foreign: &[
        ("options", "test the value in a first step"),
        ("choices", "test the value in a first step"),
        ("optional", "give it a `default`"),
        ("value", "write `default`"),
        ("help", "write `description`"),
    ],
};

/// The keys of an agent that describe its output.
pub(crate) const READING_KEYS: &[&str] = &["stream", "lines", "signs"];

pub(crate) const AGENT: Keys = Keys {
    of: "an agent",
    known: &["command", "use", "model", "args", "via", "env", "description", "stream", "lines", "signs"],
    later: &[("tools", "give a `command` that brings its tools")],
    foreign: &[
        ("preset", "write `use`"),
        ("name", "the agent is named by its key:  agents: {NAME: {use: claude}}"),
        ("cmd", "write `command`"),
        ("run", "write `command`"),
        ("prompt", "it belongs to the step:  - {id: fix, agent: NAME, prompt: …}"),
    ],
};

pub(crate) const AGENT_USE: Keys = Keys {
    of: "the agent of a step",
    known: &["use", "fallback", "model", "args"],
    later: &[],
    foreign: &[],
};

pub(crate) const BUDGET: Keys = Keys {
    of: "`budget`",
    known: &["tokens", "on_exceeded"],
    later: &[
        ("usd", "give the tokens: not every agent knows what it costs"),
        ("wall", "bound the steps with `timeout`"),
        ("model_calls", "give the tokens"),
    ],
    foreign: &[],
};

pub(crate) const WORKSPACE: Keys = Keys { of: "`workspace`", known: &["worktree"], later: &[], foreign: &[] };
pub(crate) const WORKTREE: Keys = Keys {
    of: "`worktree`",
    known: &["branch", "from", "setup"],
    later: &[
        ("commit", "let the last step in it commit: `run: git add -A && git commit -m …`"),
        ("keep", "a worktree stays until `prune` or `rm`, which leave what is not merged"),
    ],
    foreign: &[],
};
pub(crate) const SESSION: Keys = Keys { of: "`session`", known: &["from", "fork"], later: &[], foreign: &[] };
pub(crate) const RETRY: Keys = Keys {
    of: "`retry`",
    known: &["max", "errors", "backoff"],
    later: &[],
    foreign: &[
        ("attempts", "write `max`, which counts the attempts after the first"),
        ("limit", "write `max`, which counts the attempts after the first"),
        ("interval", "write `backoff`:  backoff: 10s"),
        ("interval_sec", "write `backoff` with a unit:  backoff: 10s"),
        ("delay", "write `backoff`:  backoff: 10s"),
    ],
};
pub(crate) const REPEAT: Keys = Keys {
    of: "`repeat`",
    known: &["until", "max_cycles", "on_exhausted", "min_cycle"],
    later: &[],
    foreign: &[
        ("limit", "write `max_cycles`"),
        ("max", "write `max_cycles`"),
        ("times", "write `max_cycles`"),
        ("max_iterations", "write `max_cycles`"),
        ("while", "write `until`, with the opposite condition"),
        ("interval", "write `min_cycle`, the least time from one cycle's start to the next:  min_cycle: 1m"),
        ("interval_sec", "write `min_cycle` with a unit:  min_cycle: 60s"),
    ],
};
pub(crate) const BACKOFF: Keys = Keys { of: "`backoff`", known: &["base", "max"], later: &[], foreign: &[] };
pub(crate) const PROBE: Keys = Keys { of: "`after_crash`", known: &["probe"], later: &[], foreign: &[] };
