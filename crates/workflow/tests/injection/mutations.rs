//! Scripts made at random of pieces that matter: the check has a word on each, and what it lets pass runs no payload.
//!
//! The seed is fixed; `BACKSTAY_MUTATE_MINUTES=10` goes on for so long from a seed that it prints.

use backstay_testkit::{Random, mutate};
use backstay_workflow::expression::{Script, ShellDialect};

use super::contexts::{CONTEXTS, PAYLOADS, Verdict};
use super::{BASH, DASH, has_dash, payload_runs, says_nothing};

/// Scripts that are made, of which those that pass are run.
const ROUNDS: u64 = 250;
/// Scripts of bare characters that are only read.
const READINGS: u64 = 500;

/// Commands in which `§` is a value, `$x` one of four variables, and `%` another command.
const COMMANDS: &[&str] = &[
    "echo §",
    "x=§",
    "x=$x",
    "x=y",
    "x=\"$x\"",
    "x=$(%)",
    "x=`echo $x`",
    "x=($x §)",
    "x+=($x)",
    "x[0]=§",
    "x[$x]=1",
    "x[y]=1",
    "x=([y]=1)",
    "declare x=$x",
    "declare \"x=$x\"",
    "declare -a x=($x)",
    "declare -a x",
    "declare -A x",
    "declare -A x; x[$x]=1",
    "declare -i x",
    "declare -i x=y",
    "declare -n x=y",
    "local x=§",
    "export x=$x",
    "readonly x=$x",
    "unset x",
    "unset \"x[y]\"",
    "read x <<< §",
    "read x <<< $x",
    "read -r x y <<< \"$x $x\"",
    "read -a x <<< $x",
    "read x",
    "read \"x[y]\" <<< 1",
    "mapfile -t x <<< $x",
    "printf -v x %s §",
    "printf -v x %s \"$x\"",
    "printf -v \"$x\" a",
    "printf -v 'x[y]' a",
    "printf \"$x\" a",
    "printf '%s' \"$x\"",
    "for x in § $x; do %; done",
    "for x; do %; done",
    "for (( i = 0; i < x; i++ )); do break; done",
    "while read -r x; do %; done <<< §",
    "while [ \"$x\" = y ]; do %; break; done",
    "echo § | while read -r x; do %; done",
    "echo $x | { %; }",
    "{ %; } | { %; }",
    "if %; then %; else %; fi",
    "if [[ $x == y ]]; then %; fi",
    "case $x in §) %;; *) %;; esac",
    "( %; % )",
    "{ %; }",
    "f() { %; }",
    "f() { %; }; f $x",
    "f § $x",
    "f \"$@\"",
    "g() { x=$1; %; }; g §",
    "set -- $x §",
    "shift",
    "x=$1",
    "x=$*",
    "(( x ))",
    "(( x = y + 1 ))",
    "(( $1 > 3 ))",
    "echo $(( x + 1 ))",
    "echo $(( $x + 1 ))",
    "echo $(( ${#x} ))",
    "echo $[ x ]",
    "let x=y",
    "[[ x -gt 3 ]]",
    "[[ $x -eq 3 ]]",
    "[[ -v x ]]",
    "[[ -v $x ]]",
    "[[ $x =~ (.*) ]]; x=${BASH_REMATCH[1]}",
    "[ \"$x\" -gt 3 ]",
    "[ $x ]",
    "[ $x\"\" ]",
    "[ \"$(echo $x)\" ]",
    "bash $x",
    "find . -maxdepth 0 $x",
    "find . -maxdepth 0 -name \"$x\"",
    "declare -A m; m[$x]=1; echo \"${m[$x]}\"",
    "m[$x]=1",
    "echo ${m[$x]}",
    "unset m",
    "local m",
    "[ -n \"$x\" ]",
    "[ -v \"x[y]\" ]",
    "test \"$x\" \"$x\"",
    "echo ${x:y}",
    "echo ${x:0:$x}",
    "echo ${x[y]}",
    "echo \"${x[@]}\"",
    "echo ${!x}",
    "echo \"${!x[@]}\"",
    "echo \"${x@P}\"",
    "echo \"${x@Q}\"",
    "echo ${x:-§}",
    "echo ${x:=§}",
    "echo ${x:-$(%)}",
    "echo \"${x/$x/§}\"",
    "eval \"$x\"",
    "eval '%'",
    "eval 'x=$x'",
    "bash -c '(( $1 ))' _ $x",
    "bash -c 'echo \"$1\"' _ §",
    "bash -c \"$x\"",
    "bash <<< '(( x ))'",
    "export x; bash -c '[[ $x -gt 3 ]]'",
    "trap 'echo $x' EXIT",
    "trap '(( x ))' EXIT",
    "echo \"$x\" | bash",
    "echo $x | xargs -I{} sh -c 'echo {}'",
    "find . -maxdepth 0 -exec sh -c 'echo \"$1\"' _ § \\;",
    "e=eval; $e \"$x\"",
    "e='printf -v'; $e \"$x\" a",
    "$x",
    "command eval \"$x\"",
    "builtin declare \"$x\"",
    "cat <<EOF\n§ $x $(%)\nEOF\n",
    "cat <<'EOF'\n$x\nEOF\n",
    "bash <<EOF\necho $x\nEOF\n",
    "cat <(echo $x §) <(%)",
    "source <(echo 'x=1')",
    "source <(echo \"$x\")",
    "echo $x > >(cat)",
    "echo $x >& /dev/null",
    "echo a >& \"$x\"",
    "exec 3<<< $x; read -r x <&3",
    "echo $x | { eval \"$(cat)\"; }",
    "f() { read -r x; %; }; echo $x | f",
    "f() { bash; }",
    "x=$(sh)",
    "echo $x | { %; % }",
    "x=$(cat)",
    "echo $x | f",
    "f <<< $x",
    "echo $x | bash -c 'read -r x; %'",
    "coproc N { echo $x; }; read -r x <&\"${N[0]}\"",
    "read -r PS4 <<< $x",
    "set -x",
    "coproc echo §; read -r x <&\"${COPROC[0]}\"",
    "x=$(printenv BACKSTAY_V1)",
    "x=$(f)",
    "x=$_",
    "x=$REPLY",
    "x=$(wc -l <<< $x)",
    "x=$(echo § | wc -c)",
    "cd -- \"$x\"; x=$PWD",
    "getopts ab x",
    "PS4='+ '; set -x",
    "x=§ true",
    "x=§ f",
    "env x=§ bash -c 'echo \"$x\"'",
    "awk -v \"x=$x\" 'BEGIN { print x }'",
    "sed 's/a/b/' <<< $x",
    "sed \"s/a/$x/\" <<< a",
    "! % && % || %",
    "% # § $x",
    "% &\nwait",
    "time %",
];

/// What breaks readers of a shell: openings, closings and what means something in between.
const MORSELS: &[&str] = &[
    "$((",
    "))",
    "((",
    "$(",
    ")",
    "(",
    "${",
    "}",
    "{ ",
    "`",
    "'",
    "\"",
    "\\",
    "\n",
    " ",
    ";",
    ";;",
    "&",
    "&&",
    "|",
    "||",
    "<<",
    "<<EOF\n",
    "\nEOF\n",
    "<<-'E'\n",
    "<<<",
    "<(",
    ">(",
    ">&",
    "[[ ",
    " ]]",
    "x[",
    "]=",
    "$[",
    "]",
    "if ",
    " then ",
    " fi ",
    "case ",
    " in ",
    " esac",
    "for ",
    " do ",
    " done ",
    "while ",
    "function ",
    "#",
    "${{ inputs.v }}",
    "${{",
    "}}",
    "$'",
    "$\"",
    "x=",
    "x=(",
    "eval ",
    "declare -i ",
    "é",
    "\u{1f600}",
    "\0",
    "\r",
    "@(",
    "!(",
    "!",
    "${#",
    "${!",
    ":=",
    "coproc ",
    "select ",
    "time ",
    "xargs ",
    "sh -c ",
    "env -S",
    "\\\n",
    "~",
    "*",
    "{a}>",
    "2>",
];

/// A command with everything filled in, `depth` levels of commands in it at most.
fn command(dice: &mut Random, depth: u32) -> String {
    const VARIABLES: &[&str] = &["a", "b", "c", "d"];
    let mut piece = dice.of(COMMANDS);
    while depth == 0 && piece.contains('%') && !piece.contains("%s") {
        piece = dice.of(COMMANDS);
    }
    let (source, target) = (dice.of(VARIABLES), dice.of(VARIABLES));
    let mut text = String::new();
    let mut before = ' ';
    for (at, character) in piece.char_indices() {
        let after = piece[at + character.len_utf8()..].chars().next().unwrap_or(' ');
        let is_alone = !before.is_ascii_alphanumeric() && !after.is_ascii_alphanumeric() && before != '-';
        match character {
            'x' if is_alone && before == '$' => text.push_str(source),
            'x' if is_alone => text.push_str(target),
            'y' if is_alone => text.push_str(dice.of(VARIABLES)),
            '%' if after != 's' => text.push_str(&without_calls(&command(dice, depth - 1))),
            '§' => text.push_str(dice.of(&["${{ inputs.v }}", "\"${{ inputs.v }}\"", "${{ inputs.w }}"])),
            other => text.push(other),
        }
        before = character;
    }
    text
}

/// A command in another one calls no function: one that calls itself through a pipe makes processes without end.
fn without_calls(command: &str) -> String {
    let is_call = |word: &str| matches!(word, "f" | "f;" | "g" | "g;");
    let command = command.replace("$(f)", "$(:)");
    let words = command
        .split(' ')
        .map(|word| if is_call(word) { word.replace(['f', 'g'], ":") } else { word.to_owned() });
    words.collect::<Vec<_>>().join(" ")
}

fn script(dice: &mut Random) -> String {
    let mut lines: Vec<String> = (0..2 + dice.below(5)).map(|_| command(dice, 2)).collect();
    if dice.below(3) == 0 {
        let (_, context) = CONTEXTS[dice.below(CONTEXTS.len())];
        let at = dice.below(lines.len());
        lines.insert(at, context.replace('§', "${{ inputs.v }}"));
    }
    // A failing command ends a script; most of these have many.
    lines
        .iter()
        .map(|line| if line.contains('\n') { format!("{line}\n") } else { format!("{line} || :\n") })
        .collect()
}

/// What keeps a script from being run at random.
const LEFT_OUT: &[&str] =
    &["sleep", "ssh", "scp", "rsync", "sudo", "su -c", "watch", "exec §", "docker", "exit", "nohup"];

/// Reads a script; runs it with payloads if the check says nothing.
fn holds(dice: &mut Random, script: &str, folder: &std::path::Path) -> bool {
    let Ok(parsed) = Script::parse_with_warnings(script) else { return false };
    if !parsed.warnings.is_empty() || LEFT_OUT.iter().any(|word| script.contains(word)) {
        return false;
    }
    let is_posix = has_dash() && says_nothing(script, ShellDialect::Posix);
    for _ in 0..3 {
        let payloads = [PAYLOADS[dice.below(PAYLOADS.len())], PAYLOADS[dice.below(PAYLOADS.len())]];
        let runs = payload_runs(BASH, &parsed.script.text, &parsed.script.variables, &payloads, folder);
        assert!(!runs, "{payloads:?} ran in\n{script}");
        if is_posix {
            let runs = payload_runs(DASH, &parsed.script.text, &parsed.script.variables, &payloads, folder);
            assert!(!runs, "{payloads:?} ran with dash in\n{script}");
        }
    }
    true
}

#[test]
fn s12_what_the_check_lets_pass_runs_no_payload() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = 0;
    mutate("scripts", 0x5eed_0000_0000_0003, ROUNDS, |dice| {
        let script = script(dice);
        run += u64::from(holds(dice, &script, folder.path()));
    });
    assert!(run > 20, "some scripts pass and are run");
}

/// Reads something that is hardly a script.
fn read(dice: &mut Random) {
    let mut text = String::new();
    for _ in 0..dice.below(60) {
        match dice.below(8) {
            0 => text.push_str(&command(dice, 1)),
            1 => text.push_str(&dice.of(MORSELS).repeat(dice.below(90))),
            2 if !text.is_empty() => {
                let mut at = dice.below(text.len());
                while !text.is_char_boundary(at) {
                    at -= 1;
                }
                text.truncate(at);
            }
            _ => text.push_str(dice.of(MORSELS)),
        }
    }
    let found = text.matches("${{ inputs.v }}").count();
    match Script::parse_with_warnings(&text) {
        Ok(parsed) => assert!(parsed.script.variables.len() <= found + 1, "{text:?}"),
        Err(errors) => {
            assert!(errors.iter().all(|error| text.get(error.range.clone()).is_some()), "{text:?}")
        }
    }
}

#[test]
fn s12_every_text_is_read_to_its_end() {
    mutate("characters", 0x5eed_0000_0000_0005, READINGS, read);
}

#[test]
fn s12_long_and_deep_scripts_take_no_longer_than_their_length() {
    for morsel in MORSELS.iter().chain(COMMANDS) {
        let text = format!("{} ${{{{ inputs.v }}}}", morsel.repeat(200));
        // It may be refused; it may not take for ever, nor use up the stack.
        drop(Script::parse_with_warnings(&text));
    }
    let chain: String = (0..2_000).map(|n| format!("v{n}=$v{}\n", n + 1)).collect();
    let parsed =
        Script::parse_with_warnings(&format!("{chain}v2000=${{{{ inputs.v }}}}\n(( v0 ))\n")).unwrap();
    assert_eq!(parsed.warnings.len(), 1, "a value that came by 2,000 variables is seen");
    assert!(CONTEXTS.iter().any(|(verdict, _)| *verdict == Verdict::Passes));
}
