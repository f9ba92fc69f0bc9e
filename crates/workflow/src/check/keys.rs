//! The keys of the language: those of this version, and those that come later with what to do until then.

/// The keys of one kind of mapping.
pub(crate) struct Keys {
    /// What the mapping is called.
    pub(crate) of: &'static str,
    /// The keys that are read.
    pub(crate) known: &'static [&'static str],
    /// The keys of the language that are not supported yet, with what to do instead.
    pub(crate) later: &'static [(&'static str, &'static str)],
}

pub(crate) const WORKFLOW: Keys = Keys {
    of: "a workflow",
    known: &["backstay", "name", "description", "inputs", "agents", "env", "steps", "finally", "outputs"],
    later: &[
        ("secrets", "variables of the environment reach every step; those named like secrets are redacted"),
        ("budget", "bound the steps with `timeout`"),
        ("concurrency", "start one run after the other"),
        ("triggers", "start the run from cron or a systemd timer"),
        ("workspace", "steps work in the folder in which the run was started"),
        ("defaults", "say it at each step"),
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
    ],
    later: &[
        ("for_each", "write one step for each item, or loop in a `run`"),
        ("ask", "split the workflow in two and start the second after the decision"),
        ("workflow", "put its steps here, as a group"),
        ("secrets", "variables of the environment reach every step; those named like secrets are redacted"),
        ("budget", "bound the step with `timeout`"),
        ("workspace", "steps work in the folder in which the run was started"),
        ("schema", "use `output: json` and test the fields that you need in an `if`"),
        ("session", "every attempt of an agent begins a session of its own"),
        ("access", "give the agent's own options in its `command`"),
        ("artifacts", "write to `$BACKSTAY_ARTIFACTS`: what is put there is kept"),
        ("on_limit", "use `retry: {max: 5, errors: [rate_limit], backoff: 1m}`"),
        ("max_wait", "use `retry` with a `backoff`"),
        ("concurrency", "start one run after the other"),
    ],
};

pub(crate) const INPUT: Keys = Keys {
    of: "an input",
    known: &["type", "default", "description", "required"],
    later: &[("enum", "test the value in a first step"), ("pattern", "test the value in a first step")],
};

pub(crate) const AGENT: Keys = Keys {
    of: "an agent",
    known: &["command", "via", "env", "description"],
    later: &[
        ("model", "give a `command` that runs the model"),
        ("tools", "give a `command` that brings its tools"),
        ("use", "give the whole `command`"),
        ("args", "put the arguments into `command`"),
    ],
};

pub(crate) const AGENT_USE: Keys = Keys {
    of: "the agent of a step",
    known: &["use"],
    later: &[
        ("fallback", "add a step with the other agent and `if: not steps.….ok`"),
        ("args", "put the arguments into the `command` of the agent"),
    ],
};

pub(crate) const RETRY: Keys = Keys { of: "`retry`", known: &["max", "errors", "backoff"], later: &[] };
pub(crate) const REPEAT: Keys =
    Keys { of: "`repeat`", known: &["until", "max_cycles", "on_exhausted", "min_cycle"], later: &[] };
pub(crate) const BACKOFF: Keys = Keys { of: "`backoff`", known: &["base", "max"], later: &[] };
pub(crate) const PROBE: Keys = Keys { of: "`after_crash`", known: &["probe"], later: &[] };

/// Agents that a later version brings, with the command that does the same now.
pub(crate) const PRESETS: &[(&str, &str)] =
    &[("codex", "codex exec -"), ("claude", "claude -p"), ("gemini", "gemini"), ("opencode", "opencode run")];
