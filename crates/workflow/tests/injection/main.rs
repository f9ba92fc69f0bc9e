//! S12: no value can run as shell code, tried with a real bash.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

mod contexts;
mod mutations;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use backstay_testkit::run_within;
use backstay_workflow::expression::{
    EvalErrorKind, ParsedScript, RunValues, Script, ScriptContext, ScriptVariable, ShellDialect, SourceError,
    ValueKind, Values,
};
use contexts::{CONTEXTS, PAYLOADS, Verdict};
use minijinja::Value;

/// After so long a script is killed.
const SCRIPT_MAX: Duration = Duration::from_secs(20);
/// How a step starts its script.
const BASH: &[&str] = &["bash", "--noprofile", "--norc", "-eo", "pipefail"];
/// The shell of POSIX that scripts are tried with as well, where it is installed.
const DASH: &[&str] = &["dash", "-e"];

/// Ways to write an interpolation; the value goes to stdout between `<` and `>`.
const WAYS: &[(&str, &str)] = &[
    ("bare", "printf '<%s>' ${{ inputs.v }}"),
    ("double quotes", "printf '<%s>' \"${{ inputs.v }}\""),
    ("inside a word", "printf '<%s>' a${{ inputs.v }}b"),
    ("quotes around a part", "printf '<%s>' \"a ${{ inputs.v }} b\""),
    ("between single quotes", "printf '<%s>' 'a'${{ inputs.v }}'b'"),
    ("assignment", "x=${{ inputs.v }}; printf '<%s>' \"$x\""),
    ("quoted assignment", "x=\"${{ inputs.v }}\"; printf '<%s>' \"$x\""),
    ("export", "export X=${{ inputs.v }}; printf '<%s>' \"$X\""),
    ("command substitution", "printf '<%s>' \"$(printf '%s.' ${{ inputs.v }})\""),
    ("quotes in a substitution", "printf '<%s>' \"$(printf '%s.' \"${{ inputs.v }}\")\""),
    ("nested substitution", "printf '<%s>' \"$(echo \"$(printf '%s.' ${{ inputs.v }})\")\""),
    ("backticks", "x=`printf '%s.' ${{ inputs.v }}`; printf '<%s>' \"$x\""),
    ("backticks in quotes", "printf '<%s>' \"`printf '%s.' ${{ inputs.v }}`\""),
    ("here-document", "printf '<'; cat <<EOF\n${{ inputs.v }}\nEOF\nprintf '>'"),
    ("indented here-document", "printf '<'; cat <<-EOF\n\t.${{ inputs.v }}\n\tEOF\nprintf '>'"),
    ("quotes in a here-document", "printf '<'; cat <<EOF\n\"'${{ inputs.v }}'\"\nEOF\nprintf '>'"),
    (
        "substitution in a here-document",
        "printf '<'; cat <<EOF\n$(printf '%s.' ${{ inputs.v }})\nEOF\nprintf '>'",
    ),
    ("here-string", "printf '<'; cat <<< ${{ inputs.v }}; printf '>'"),
    ("array", "x=(${{ inputs.v }}); printf '<%s>' \"${x[0]}\""),
    ("default of a parameter", "printf '<%s>' ${none:-${{ inputs.v }}}"),
    ("quoted default of a parameter", "printf '<%s>' \"${none:-${{ inputs.v }}}\""),
    ("case", "case ${{ inputs.v }} in ${{ inputs.v }}) printf '<%s>' ${{ inputs.v }};; *) exit 9;; esac"),
    (
        "condition",
        "if [[ ${{ inputs.v }} == ${{ inputs.v }} ]]; then printf '<%s>' ${{ inputs.v }}; fi # '${{ inputs.v }}'",
    ),
];

const TEXTS: &[&str] = &[
    "$(touch canary)",
    "`touch canary`",
    "; touch canary;",
    "\"; touch canary; \"",
    "'; touch canary; '",
    "\nEOF\ntouch canary\n#",
    "&& touch canary #",
    "| touch canary",
    "a[$(touch canary)]",
    "${x:-$(touch canary)} $HOME * ?",
    ")\"`'\\; touch canary; (",
];

fn values(value: &str) -> Values {
    Values {
        inputs: Value::from_pairs([("v", Value::from(value))]),
        steps: BTreeMap::new(),
        previous: None,
        run: RunValues { id: String::new(), workflow: String::new(), cwd: String::new(), ok: true },
    }
}

fn run(script: &str, value: &str, folder: &Path) -> (bool, String) {
    let rendered = Script::parse(script).expect("a good script").render(&values(value)).expect("a value");
    let mut command = Command::new("bash");
    command
        .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &rendered.text])
        .envs(rendered.env)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let output = run_within(&mut command, SCRIPT_MAX).expect("bash").expect("the script ends");
    (output.status.success(), String::from_utf8(output.stdout).expect("UTF-8"))
}

#[test]
fn s12_no_value_runs_as_code_and_every_value_arrives_byte_for_byte() {
    assert_eq!((WAYS.len(), TEXTS.len()), (23, 11));
    let folder = tempfile::tempdir().unwrap();
    for (way, script) in WAYS {
        for payload in TEXTS {
            let (succeeded, stdout) = run(script, payload, folder.path());
            assert!(!folder.path().join("canary").exists(), "{way}: {payload:?} ran");
            assert!(succeeded, "{way}: {payload:?} failed: {stdout}");
            assert!(stdout.contains(payload), "{way}: {payload:?} became {stdout:?}");
            assert!(stdout.starts_with('<') && stdout.ends_with('>'), "{way}: {payload:?} gave {stdout:?}");
        }
    }
}

#[test]
fn s12_where_nothing_is_replaced_or_nothing_can_stand_is_an_error() {
    for (script, code) in [
        ("echo '${{ inputs.v }}'", "BKS-W060"),
        ("echo $'${{ inputs.v }}'", "BKS-W060"),
        ("cat <<'EOF'\n${{ inputs.v }}\nEOF\n", "BKS-W060"),
        ("cat <<\\EOF\n${{ inputs.v }}\nEOF\n", "BKS-W060"),
        ("echo \"$(echo '${{ inputs.v }}')\"", "BKS-W060"),
        ("echo \\${{ inputs.v }}", "BKS-W063"),
        ("echo ${${{ inputs.v }}}", "BKS-W063"),
    ] {
        let errors = Script::parse(script).unwrap_err();
        let codes: Vec<String> = errors.iter().map(|error| error.code.to_string()).collect();
        assert_eq!(codes, [code], "{script}");
    }
}

#[test]
fn s12_arithmetic_takes_numbers_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    for script in [
        "echo $(( ${{ inputs.v | int }} + 1 ))",
        "(( x = ${{ inputs.v | int }} + 1 )); echo $x",
        "x[${{ inputs.v | int }}]=8; echo ${x[7]}",
        "[[ ${{ inputs.v | int }} -eq 7 ]] && echo 8",
        "[[ 7 -eq \"${{ inputs.v | int }}\" ]] && echo 8",
        "n=${{ inputs.v | int }}; (( n == 7 )) && echo 8",
        "declare -i n=${{ inputs.v | int }}; echo $(( n + 1 ))",
    ] {
        let parsed = Script::parse_with_warnings(script).unwrap();
        assert_eq!(parsed.warnings, [], "{script}");
        let number = parsed.script.render(&values("7")).unwrap();
        assert_eq!(number.env[0].1, "7", "{script}");
        assert!(parsed.script.render(&values("a[$(touch canary)]")).is_err(), "{script}");
        assert_eq!(run(script, "7", folder.path()), (true, "8\n".to_owned()), "{script}");
    }
}

/// Reads a script for a shell, in which the inputs `v` and `w` are declared to be of a kind.
fn parse_for(script: &str, kind: ValueKind, dialect: ShellDialect) -> Result<ParsedScript, Vec<SourceError>> {
    let kind_of = |names: &[&str]| match names {
        ["inputs", "v" | "w"] => kind,
        _ => ValueKind::Text,
    };
    Script::parse_in(script, &ScriptContext { kind_of: &kind_of, environment: &[], dialect })
}

/// Reads a script of bash, in which the inputs `v` and `w` are declared to be of a kind.
fn parse_as(script: &str, kind: ValueKind) -> Result<Script, Vec<SourceError>> {
    parse_for(script, kind, ShellDialect::Bash).map(|parsed| parsed.script)
}

#[test]
fn s12_what_only_bash_reads_in_one_way_has_a_warning_in_other_shells() {
    let warnings =
        |script: &str, dialect| parse_for(script, ValueKind::Text, dialect).unwrap().warnings.len();
    for (script, posix) in [
        ("echo ${{ inputs.v }}", 0),
        ("[ \"${{ inputs.v }}\" -gt 3 ]", 0),
        ("[[ ${{ inputs.v }} == x ]]", 1),
        ("cat <(echo ${{ inputs.v }})", 1),
        ("cat <<< ${{ inputs.v }}", 1),
        ("x=(${{ inputs.v }})", 1),
        ("echo $'a' ${{ inputs.v }}", 1),
        ("[[ a == x ]]", 0),
    ] {
        assert_eq!(warnings(script, ShellDialect::Bash), 0, "{script}");
        assert_eq!(warnings(script, ShellDialect::Posix), posix, "{script}");
        let other = usize::from(script.contains("inputs"));
        assert_eq!(warnings(script, ShellDialect::Other), other, "{script}");
    }
}

#[test]
fn s12_a_script_that_cannot_be_followed_takes_no_value() {
    let deep = format!("{} ${{{{ inputs.v }}}} {}", "$(echo ".repeat(60), ")".repeat(60));
    for script in [
        "echo \"${{ inputs.v }}",
        "echo ${{ inputs.v }}; if true; then echo a",
        "[[ ${{ inputs.v }} == x",
        "echo ${{ inputs.v }} )",
        "case ${{ inputs.v }} in a) echo",
        "echo `echo \\`echo a\\`` ${{ inputs.v }}",
        "echo ${{ inputs.v }}; x=(a b",
        &deep,
    ] {
        let errors = Script::parse(script).unwrap_err();
        assert!(errors.iter().any(|error| error.code.to_string() == "BKS-W063"), "{script}: {errors:?}");
        let without = script.replace("${{ inputs.v }}", "value");
        assert!(Script::parse(&without).is_ok(), "{without}: without a value it is the shell's affair");
    }
}

#[test]
fn s12_a_value_of_another_kind_than_was_declared_stops_the_script() {
    for (kind, fits) in [(ValueKind::Number, "7"), (ValueKind::Boolean, "true")] {
        let script = parse_as("x=${{ inputs.v }}; echo $x", kind).unwrap();
        let typed =
            Values { inputs: serde_json::from_str(&format!("{{\"v\": {fits}}}")).unwrap(), ..values("") };
        assert_eq!(script.render(&typed).unwrap().env[0].1, fits);
        for text in ["7", "true", "a[$(touch canary)]", ""] {
            let error = script.render(&values(text)).unwrap_err();
            assert_eq!(error.kind, EvalErrorKind::WrongKind, "{text:?} as {kind:?}");
        }
    }
    let boolean = parse_as("echo $(( ${{ inputs.v }} ))", ValueKind::Boolean).unwrap_err();
    assert_eq!(boolean[0].code.to_string(), "BKS-W064", "`true` would be the name of a variable");
}

fn verdict_of(script: &str) -> &'static str {
    match Script::parse_with_warnings(script) {
        Err(errors) => {
            let codes: Vec<_> = errors.iter().map(|error| (error.code.0, &error.message)).collect();
            assert!(codes.iter().all(|(code, _)| *code == "BKS-W064"), "{script}: {codes:?}");
            assert!(errors.iter().all(|error| error.hint.is_some()), "{script}: an error names its cure");
            "refused"
        }
        Ok(parsed) if parsed.warnings.is_empty() => "passes",
        Ok(_) => "warned",
    }
}

/// Runs a script as a step does, with `values` in turn in place of each `${{ }}`; whether a payload ran.
fn payload_runs(
    shell: &[&str],
    text: &str,
    variables: &[ScriptVariable],
    values: &[&str],
    folder: &Path,
) -> bool {
    let file = folder.join("script");
    std::fs::write(&file, text).unwrap();
    // A loop without an end is ended by its use of the processor.
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -t 5; exec \"$@\"", "sh"])
        .args(shell)
        .arg(&file)
        .envs(variables.iter().map(|variable| &variable.name).zip(values.iter().cycle()))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // One that waits for ever is killed: what it did until then is looked at.
    run_within(&mut command, SCRIPT_MAX).expect(shell[0]);
    let canary = folder.join("CANARY");
    let runs = canary.exists();
    if runs {
        std::fs::remove_file(canary).unwrap();
    }
    runs
}

/// Whether the check has no word on a script for this shell.
fn says_nothing(script: &str, dialect: ShellDialect) -> bool {
    parse_for(script, ValueKind::Text, dialect).is_ok_and(|parsed| parsed.warnings.is_empty())
}

fn has_dash() -> bool {
    let mut command = Command::new("dash");
    command.args(["-c", ":"]);
    run_within(&mut command, SCRIPT_MAX).is_ok()
}

/// Says what is wrong with the verdict on one context.
fn fault_of(verdict: Verdict, context: &str) -> Option<String> {
    let script = context.replace('§', "${{ inputs.v }}");
    let said = verdict_of(&script);
    let expected = match verdict {
        Verdict::Passes => "passes",
        Verdict::Warned | Verdict::WarnedUntried => "warned",
        Verdict::Refused | Verdict::RefusedUntried => "refused",
    };
    if said != expected {
        return Some(format!("{context:?}: the check says {said}, the table {expected}"));
    }
    if matches!(verdict, Verdict::WarnedUntried | Verdict::RefusedUntried) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    // What is refused is spelled as it would be if it was not.
    let spelled = parse_as(&script, ValueKind::Number).unwrap();
    let run_by = |shell: &[&str]| {
        PAYLOADS
            .iter()
            .find(|value| payload_runs(shell, &spelled.text, &spelled.variables, &[value], folder.path()))
    };
    if verdict == Verdict::Passes
        && has_dash()
        && says_nothing(&script, ShellDialect::Posix)
        && let Some(payload) = run_by(DASH)
    {
        return Some(format!("{context:?} runs {payload:?} with dash"));
    }
    match (verdict, run_by(BASH)) {
        (Verdict::Passes, Some(payload)) => Some(format!("{context:?} runs {payload:?}")),
        (Verdict::Refused | Verdict::Warned, None) => Some(format!("{context:?} runs no payload")),
        _ => None,
    }
}

#[test]
fn s12_of_each_context_the_check_says_what_bash_does_with_a_value_there() {
    assert!(CONTEXTS.len() >= 300 && PAYLOADS.len() >= 20);
    let halves = CONTEXTS.chunks(CONTEXTS.len().div_ceil(4));
    let faults: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = halves
            .map(|half| {
                scope.spawn(|| {
                    half.iter()
                        .filter_map(|(verdict, context)| fault_of(*verdict, context))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
