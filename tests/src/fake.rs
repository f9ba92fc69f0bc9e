//! An agent that is a script: it speaks Codex's stream, and does in each of its turns what a test wrote down.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::World;

/// What every turn can say. `$SESSION` is the session that it works in, `$PROMPT` what it was told.
const AGENT: &str = r#"#!/bin/bash
# A turn is a file of its own; the calls are counted, so each has its number.
if [ "$1" = --version ]; then echo "fake-cli 1.2.3"; exit 0; fi
here=$(dirname "$0")
if [ "$1" = screen ]; then echo "the screen of $2 in $PWD: ${*:3}, $FAKE_ACCESS, $FAKE_PLACE"; [ -f "$here/screen" ] && . "$here/screen"; read -r line; echo "$line" >> notes; exit 3; fi
number=$(( $(wc -l 2>/dev/null < "$here/calls" || echo 0) + 1 ))
echo "$*" >> "$here/calls"
PROMPT=$(cat)
printf '%s' "$PROMPT" > "$here/prompt-$number"
SESSION="session-$number"
[ -f "$here/turn" ] && SESSION="${here##*/}-$number"
while [ $# -gt 0 ]; do [ "$1" = resume ] && SESSION=$2; shift; done
say() { printf '%s\n' "$1"; }
begins() { say '{"type":"thread.started","thread_id":"'"$SESSION"'"}'; say '{"type":"turn.started"}'; }
message() { say '{"type":"item.completed","item":{"id":"m","type":"agent_message","text":"'"$1"'"}}'; }
tool() {
    say '{"type":"item.started","item":{"id":"'"$1"'","type":"command_execution","command":"'"$2"'","status":"in_progress"}}'
    say '{"type":"item.completed","item":{"id":"'"$1"'","type":"command_execution","command":"'"$2"'","exit_code":0,"status":"completed"}}'
}
ends() { say '{"type":"turn.completed","usage":{"input_tokens":'"${1:-100}"',"cached_input_tokens":40,"output_tokens":10}}'; exit 0; }
fails() { say '{"type":"turn.failed","error":{"message":"'"$1"'"}}'; exit 1; }
begins
if [ -f "$here/turn-$number" ]; then . "$here/turn-$number"
elif [ -f "$here/turn" ]; then . "$here/turn"
else message done; ends; fi
"#;

/// How it is configured: as a user would configure an agent of theirs.
const CONFIGURATION: &str = r#"
[agents.NAME]
program = "PROGRAM"
stream = "codex"
start = ["exec", "{access}", "{model}", "{schema}", "{args}", "{prompt}"]
resume = ["exec", "{access}", "{model}", "{schema}", "{args}", "resume", "{session}", "{prompt}"]
screen = ["screen", "{session}", "{access}", "{model}", "{args}"]
session = "from_stream"
model = ["-m", "{model}"]
schema = { args = ["--output-schema", "{schema}"], as = "path" }
prompt = { via = "stdin", stdin = ["-"] }

[agents.NAME.access]
read = { args = ["--read"] }
write = { args = ["--write"], env = { FAKE_ACCESS = "may write" } }
full = { args = ["--full"] }

[agents.NAME.signs]
limit = ["usage limit"]
reset_after = ["try again in "]
login = ["not logged in"]
refused = ["credit balance is too low"]
network = ["no network"]
session_unknown = ["no such session"]
"#;

/// The agent `name` of one world.
#[derive(Debug)]
pub struct Fake<'w> {
    world: &'w World,
    name: String,
}

impl World {
    /// Makes an agent and adds it to the user's configuration.
    #[must_use]
    pub fn fake(&self, name: &str) -> Fake<'_> {
        fs::create_dir_all(self.path().join(name)).expect("a folder can be made");
        let program = self.path().join(name).join("agent");
        fs::write(&program, AGENT).expect("a file can be written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it can be made executable");
        let added = CONFIGURATION.replace("NAME", name).replace("PROGRAM", program.as_str());
        self.configure(&(self.read("user/backstay/config.toml") + &added));
        Fake { world: self, name: name.to_owned() }
    }
}

impl Fake<'_> {
    /// What it does when it is called for the `number`th time, from 1: a piece of bash.
    pub fn turn(&self, number: u32, script: &str) -> &Self {
        self.world.write(&format!("{}/turn-{number}", self.name), script);
        self
    }

    /// What it does in every call that has no turn of its own; its sessions have its name then.
    pub fn turns(&self, script: &str) -> &Self {
        self.world.write(&format!("{}/turn", self.name), script);
        self
    }

    /// What it does on its own screen before it waits for a line: a piece of bash.
    pub fn on_screen(&self, script: &str) -> &Self {
        self.world.write(&format!("{}/screen", self.name), script);
        self
    }

    /// The arguments of each call so far.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.world.read(&format!("{}/calls", self.name)).lines().map(str::to_owned).collect()
    }

    /// What it was told when it was called for the `number`th time.
    #[must_use]
    pub fn prompt(&self, number: u32) -> String {
        self.world.read(&format!("{}/prompt-{number}", self.name))
    }
}
