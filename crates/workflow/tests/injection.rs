//! S12: no value can run as shell code, tried with a real bash.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use backstay_workflow::expression::{RunValues, Script, Values};
use minijinja::Value;

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

const PAYLOADS: &[&str] = &[
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
    let output = Command::new("bash")
        .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &rendered.text])
        .envs(rendered.env)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("bash");
    (output.status.success(), String::from_utf8(output.stdout).expect("UTF-8"))
}

#[test]
fn s12_no_value_runs_as_code_and_every_value_arrives_byte_for_byte() {
    assert_eq!((WAYS.len(), PAYLOADS.len()), (23, 11));
    let folder = tempfile::tempdir().unwrap();
    for (way, script) in WAYS {
        for payload in PAYLOADS {
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
fn s12_arithmetic_takes_only_whole_numbers() {
    let folder = tempfile::tempdir().unwrap();
    for script in [
        "echo $(( ${{ inputs.v }} + 1 ))",
        "(( x = ${{ inputs.v }} + 1 )); echo $x",
        "s=abcdef; echo ${s:${{ inputs.v }}}",
        "x[${{ inputs.v }}]=8; echo ${x[7]}",
        "[[ ${{ inputs.v }} -eq 7 ]] && echo 8",
        "[[ 7 -eq ${{ inputs.v }} ]] && echo 8",
    ] {
        let parsed = Script::parse(script).unwrap();
        let number = parsed.render(&values("7")).unwrap();
        assert_eq!(number.env[0].1, "7", "{script}");
        assert!(parsed.render(&values("a[$(touch canary)]")).is_err(), "{script}");
        if !script.contains("abcdef") {
            assert_eq!(run(script, "7", folder.path()), (true, "8\n".to_owned()), "{script}");
        }
    }
}

#[test]
fn s12_what_evaluates_a_value_again_is_a_warning() {
    for script in [
        "eval ${{ inputs.v }}",
        "sh -c ${{ inputs.v }}",
        "bash -ec \"echo ${{ inputs.v }}\"",
        "bash <<EOF\necho ${{ inputs.v }}\nEOF\n",
        "if true; then eval \"${{ inputs.v }}\"; fi",
        "x=$(python3 -c \"print(${{ inputs.v }})\")",
        "${{ inputs.v }} --version",
        "declare ${{ inputs.v }}",
    ] {
        let warnings = Script::parse_with_warnings(script).unwrap().warnings;
        assert_eq!(warnings.len(), 1, "{script}");
    }
    for script in
        ["echo ${{ inputs.v }}", "x=${{ inputs.v }}", "a=(${{ inputs.v }})", "grep -e ${{ inputs.v }} f"]
    {
        assert_eq!(Script::parse_with_warnings(script).unwrap().warnings, [], "{script}");
    }
}
