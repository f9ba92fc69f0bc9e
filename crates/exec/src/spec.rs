//! What is to be started.

use std::collections::BTreeMap;

use backstay_model::limits::ARGUMENT_BYTES_MAX;
use backstay_model::{Attempt, EffectId, Epoch};
use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::error::SpecError;
use crate::platform;

/// The version of [`ProcessSpec`]'s JSON form.
pub const SPEC_VERSION: u32 = 1;
/// What the kernel wants for itself next to arguments and environment, in bytes.
const ARGUMENTS_RESERVE_BYTES: u64 = 4096;
/// The pointer that stands for each argument and variable, in bytes.
const POINTER_BYTES: u64 = 8;

/// The variable that gives the agent its effect's id: an idempotency key for what it does outside.
pub(crate) const EFFECT_VARIABLE: &str = "BACKSTAY_EFFECT";
/// The variable that marks every process of one keeper.
pub(crate) const MARK_VARIABLE: &str = "BACKSTAY_KEEPER";

/// One process to start: everything its keeper has to know. It holds secrets and is never written to disk.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// Which work it is; given to the process as `BACKSTAY_EFFECT`.
    pub effect: EffectId,
    /// Which try.
    pub attempt: Attempt,
    /// Program and arguments. A program without a slash is looked up in the `PATH` of `env`.
    pub argv: Vec<String>,
    /// The folder that it works in; absolute.
    pub cwd: Utf8PathBuf,
    /// The complete environment; nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// What it can read on stdin; without it, stdin is `/dev/null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Awake time that it may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Awake time that it may be silent, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout_ms: Option<u64>,
    /// Awake time of silence after which a stall is announced, in milliseconds. It is announced at the latest when
    /// four fifths of `idle_timeout_ms` are used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_notice_ms: Option<u64>,
    /// Time between TERM and KILL when a budget is used up, in milliseconds.
    pub grace_ms: u64,
    /// Bytes kept of each stream; what comes after them is counted, not kept.
    pub output_limit_bytes: u64,
    /// Time between two beats to an attached owner, in milliseconds.
    pub beat_ms: u64,
    /// The epoch of the owner that starts it.
    pub epoch: Epoch,
    /// Secrets beyond those of secret-named variables and of the URLs in others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redact: Vec<Redaction>,
}

/// A value that must not reach the spool.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redaction {
    /// What stands in its place: `[redacted:NAME]`.
    pub name: String,
    /// The value.
    pub value: String,
}

/// Without what may be secret: values of variables, and stdin.
impl std::fmt::Debug for ProcessSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessSpec")
            .field("effect", &self.effect)
            .field("attempt", &self.attempt)
            .field("argv", &self.argv)
            .field("cwd", &self.cwd)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Redaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redaction({})", self.name)
    }
}

impl ProcessSpec {
    /// Time between TERM and KILL unless something else is said.
    pub const DEFAULT_GRACE_MS: u64 = 5_000;
    /// Bytes kept of each stream unless something else is said.
    pub const DEFAULT_OUTPUT_LIMIT_BYTES: u64 = 256 * 1024 * 1024;
    /// Time between two beats unless something else is said.
    pub const DEFAULT_BEAT_MS: u64 = 2_000;

    /// A process with an empty environment, no budgets and the default limits.
    #[must_use]
    pub fn new(
        effect: EffectId,
        attempt: Attempt,
        epoch: Epoch,
        argv: Vec<String>,
        cwd: Utf8PathBuf,
    ) -> ProcessSpec {
        ProcessSpec {
            effect,
            attempt,
            argv,
            cwd,
            env: BTreeMap::new(),
            stdin: None,
            timeout_ms: None,
            idle_timeout_ms: None,
            idle_notice_ms: None,
            grace_ms: Self::DEFAULT_GRACE_MS,
            output_limit_bytes: Self::DEFAULT_OUTPUT_LIMIT_BYTES,
            beat_ms: Self::DEFAULT_BEAT_MS,
            epoch,
            redact: Vec::new(),
        }
    }
}

/// Checks what can be known before anything is started.
///
/// # Errors
/// [`SpecError`] if the process could not be started as it is described.
pub fn validate(spec: &ProcessSpec) -> Result<(), SpecError> {
    if spec.argv.first().is_none_or(String::is_empty) {
        return Err(SpecError::NoProgram);
    }
    if !spec.cwd.is_absolute() {
        return Err(SpecError::RelativeFolder { cwd: spec.cwd.clone() });
    }
    let mut total_bytes =
        ARGUMENTS_RESERVE_BYTES + (EFFECT_VARIABLE.len() + MARK_VARIABLE.len() + 256) as u64;
    for (index, argument) in spec.argv.iter().enumerate() {
        check_text(argument, || format!("argument {index}"))?;
        total_bytes += argument.len() as u64 + 1 + POINTER_BYTES;
    }
    for (name, value) in &spec.env {
        if name.is_empty() || name.contains('=') || name.contains('\0') {
            return Err(SpecError::VariableName { name: name.clone() });
        }
        let size_bytes = name.len() + 1 + value.len();
        if size_bytes > ARGUMENT_BYTES_MAX {
            return Err(SpecError::TooLong { what: format!("variable {name}"), size_bytes });
        }
        check_text(value, || format!("variable {name}"))?;
        total_bytes += size_bytes as u64 + 1 + POINTER_BYTES;
    }
    let limit_bytes = platform::arguments_bytes_max();
    if total_bytes > limit_bytes {
        return Err(SpecError::TooMuch { total_bytes, limit_bytes });
    }
    Ok(())
}

fn check_text(text: &str, what: impl Fn() -> String) -> Result<(), SpecError> {
    if text.len() > ARGUMENT_BYTES_MAX {
        return Err(SpecError::TooLong { what: what(), size_bytes: text.len() });
    }
    if text.contains('\0') {
        return Err(SpecError::Nul { what: what() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(argv: &[&str]) -> ProcessSpec {
        ProcessSpec::new(
            "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8:code:main".parse().unwrap(),
            Attempt::FIRST,
            Epoch(1),
            argv.iter().map(|&text| text.to_owned()).collect(),
            "/".into(),
        )
    }

    #[test]
    fn s11_what_is_printed_of_a_spec_has_no_values_of_variables() {
        let mut spec = spec(&["agent"]);
        spec.env.insert("API_TOKEN".to_owned(), "hunter2".to_owned());
        spec.stdin = Some("hunter2".to_owned());
        let printed = format!("{spec:?}");
        assert!(printed.contains("API_TOKEN") && !printed.contains("hunter2"), "{printed}");
    }

    #[test]
    fn an_argument_over_the_limit_is_refused_before_the_start() {
        let longest = "x".repeat(131_071);
        assert_eq!(validate(&spec(&["echo", &longest])), Ok(()));
        let over = "x".repeat(131_072);
        let refused = Err(SpecError::TooLong { what: "argument 1".to_owned(), size_bytes: 131_072 });
        assert_eq!(validate(&spec(&["echo", &over])), refused);
    }

    #[test]
    fn a_variable_over_the_limit_is_refused_with_its_name() {
        let mut spec = spec(&["true"]);
        spec.env.insert("PROMPT".to_owned(), "x".repeat(131_071));
        let refused = SpecError::TooLong { what: "variable PROMPT".to_owned(), size_bytes: 131_078 };
        assert_eq!(validate(&spec), Err(refused));
    }

    #[test]
    fn arguments_that_are_too_much_together_are_refused() {
        let part = "x".repeat(131_000);
        let argv: Vec<&str> = std::iter::once("echo").chain(std::iter::repeat_n(part.as_str(), 60)).collect();
        assert!(matches!(validate(&spec(&argv)), Err(SpecError::TooMuch { total_bytes: 7_860_000.., .. })));
    }

    #[test]
    fn what_no_kernel_would_take_is_refused() {
        assert_eq!(validate(&spec(&[])), Err(SpecError::NoProgram));
        assert_eq!(validate(&spec(&["a\0b"])), Err(SpecError::Nul { what: "argument 0".to_owned() }));
        let mut named = spec(&["true"]);
        named.env.insert("A=B".to_owned(), String::new());
        assert_eq!(validate(&named), Err(SpecError::VariableName { name: "A=B".to_owned() }));
    }
}
