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
        "access",
        "session",
        "on_limit",
        "max_wait",
        "schema",
        "workspace",
    ],
    later: &[
        ("for_each", "write one step for each item, or loop in a `run`"),
        ("ask", "split the workflow in two and start the second after the decision"),
        ("workflow", "put its steps here, as a group"),
        ("secrets", "variables of the environment reach every step; those named like secrets are redacted"),
        ("budget", "bound the step with `timeout`"),
        ("artifacts", "write to `$BACKSTAY_ARTIFACTS`: what is put there is kept"),
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
    known: &["command", "use", "model", "args", "via", "env", "description"],
    later: &[("tools", "give a `command` that brings its tools")],
};

pub(crate) const AGENT_USE: Keys =
    Keys { of: "the agent of a step", known: &["use", "fallback", "model", "args"], later: &[] };

pub(crate) const BUDGET: Keys = Keys {
    of: "`budget`",
    known: &["tokens", "on_exceeded"],
    later: &[
        ("usd", "give the tokens: not every agent knows what it costs"),
        ("wall", "bound the steps with `timeout`"),
        ("model_calls", "give the tokens"),
    ],
};

pub(crate) const WORKSPACE: Keys = Keys { of: "`workspace`", known: &["worktree"], later: &[] };
pub(crate) const WORKTREE: Keys = Keys {
    of: "`worktree`",
    known: &["branch", "from", "setup"],
    later: &[
        ("commit", "let the last step in it commit: `run: git add -A && git commit -m …`"),
        ("keep", "a worktree stays until `prune` or `rm`, which leave what is not merged"),
    ],
};
pub(crate) const SESSION: Keys = Keys { of: "`session`", known: &["from", "fork"], later: &[] };
pub(crate) const RETRY: Keys = Keys { of: "`retry`", known: &["max", "errors", "backoff"], later: &[] };
pub(crate) const REPEAT: Keys =
    Keys { of: "`repeat`", known: &["until", "max_cycles", "on_exhausted", "min_cycle"], later: &[] };
pub(crate) const BACKOFF: Keys = Keys { of: "`backoff`", known: &["base", "max"], later: &[] };
pub(crate) const PROBE: Keys = Keys { of: "`after_crash`", known: &["probe"], later: &[] };
