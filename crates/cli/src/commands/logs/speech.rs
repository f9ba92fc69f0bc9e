//! What an agent wrote for programs, as a person reads it: its messages, its tools with their ends, how its turn ended.

use std::collections::{BTreeMap, BTreeSet};

use backstay_agent::{AgentEvent, Observed, Part, Preset, Reader, StreamFormat, one_line};
use backstay_model::Timestamp;

use crate::ui::duration;

/// Bytes of a line that are kept until it is known whether it is part of the stream.
const LINE_BYTES_MAX: usize = 4 * 1024;
/// Tools that took less have no time beside their end.
const WORTH_TELLING: std::time::Duration = std::time::Duration::from_millis(100);
/// Tools whose end is waited for; agents have a handful.
const TOOLS_MAX: usize = 10_000;

/// Reads the stream of one attempt, in chunks as they come. What it gives are bytes to print.
#[derive(Debug)]
pub(crate) struct Speech {
    reader: Reader,
    /// When tools began and ended, by the offset behind the line that said so.
    tools_at: BTreeMap<u64, Timestamp>,
    /// What lies behind this is read as it is written.
    live_from: u64,
    /// Tools that have begun, by the agent's name for the call.
    open: BTreeMap<String, Tool>,
    /// The tool whose beginning was printed last, with nothing behind it.
    last: Option<String>,
    session: Option<String>,
    /// Where its lines had something else than the rules for them expect.
    wrong_values: BTreeSet<String>,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    malformed: u64,
    overlong: u64,
    is_within_line: bool,
    has_ended: bool,
}

#[derive(Debug)]
struct Tool {
    what: String,
    began_at: Option<Timestamp>,
}

impl Speech {
    /// Of an agent that goes by `preset` and works in `folder`; none if it writes for people. Of lines that end at or before
    /// the offset `live_from` the log may know the time, `tools_at`; the others are read as they are written.
    pub(crate) fn of(
        preset: &Preset,
        folder: Option<&str>,
        tools_at: BTreeMap<u64, Timestamp>,
        live_from: u64,
    ) -> Option<Speech> {
        if preset.stream() == StreamFormat::Text {
            return None;
        }
        let reader = preset.reader(0);
        Some(Speech {
            reader: match folder {
                Some(folder) => reader.in_folder(folder),
                None => reader,
            },
            tools_at,
            live_from,
            open: BTreeMap::new(),
            last: None,
            session: None,
            wrong_values: BTreeSet::new(),
            line: Vec::new(),
            malformed: 0,
            overlong: 0,
            is_within_line: false,
            has_ended: false,
        })
    }

    /// Takes the next bytes of stdout, read at `now`.
    pub(crate) fn hear(&mut self, bytes: &[u8], now: Timestamp) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            let observed = self.reader.feed(piece);
            self.say_all(observed, now, &mut out);
            if piece.ends_with(b"\n") {
                self.say_stray_line(&mut out);
                self.line.clear();
            }
        }
        out
    }

    /// Takes the next bytes of stderr, which are for people.
    pub(crate) fn hear_beside(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.begin_line(&mut out);
        out.extend_from_slice(bytes);
        self.is_within_line = !bytes.ends_with(b"\n");
        out
    }

    /// Nothing more comes.
    pub(crate) fn end(&mut self, now: Timestamp) -> Vec<u8> {
        let mut out = Vec::new();
        let observed = self.reader.end();
        self.say_all(observed, now, &mut out);
        self.say_stray_line(&mut out);
        self.begin_line(&mut out);
        out
    }

    /// How a turn ended of which nothing more comes, if it did not say so.
    pub(crate) fn verdict(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.has_ended {
            let open = self.open.values().map(|tool| tool.what.as_str()).collect::<Vec<_>>().join(", ");
            let at = if open.is_empty() { String::new() } else { format!(" at {open}") };
            self.say_line(&format!("─ cut short{at}"), &mut out);
        }
        out
    }

    fn say_all(&mut self, observed: Vec<Observed>, now: Timestamp, out: &mut Vec<u8>) {
        for Observed { spool_end, event } in observed {
            let at = match self.tools_at.get(&spool_end) {
                Some(at) => Some(*at),
                None => (spool_end > self.live_from).then_some(now),
            };
            self.say(event, at, out);
        }
    }

    fn say(&mut self, event: AgentEvent, at: Option<Timestamp>, out: &mut Vec<u8>) {
        match event {
            AgentEvent::Message { text, part: Part::Whole } => self.say_line(text.trim_end(), out),
            AgentEvent::Message { text, part: Part::Piece } => {
                if self.last.take().is_some() {
                    self.begin_line(out);
                }
                out.extend_from_slice(text.as_bytes());
                self.is_within_line = !text.ends_with('\n') && (self.is_within_line || !text.is_empty());
            }
            AgentEvent::ToolStarted { call, what, .. } => {
                self.say_line(&format!("● {what}"), out);
                self.last = Some(call.clone());
                if self.open.len() < TOOLS_MAX {
                    self.open.insert(call, Tool { what, began_at: at });
                }
            }
            AgentEvent::ToolFinished { call, name, what, ok, exit_code, duration_ms } => {
                let tool = self.open.remove(&call);
                let took = duration_ms.map(std::time::Duration::from_millis).or_else(|| {
                    let (from, until) = (tool.as_ref()?.began_at?, at?);
                    Some(until.since(from))
                });
                let end = end_words(ok, exit_code, took);
                let is_last = self.last.as_ref() == Some(&call);
                let told = tool.map(|tool| tool.what);
                let line = match told {
                    Some(_) if is_last => format!("  {end}"),
                    Some(what) => format!("  {end}: {what}"),
                    None => {
                        let what = what.or(name).unwrap_or_else(|| "tool".to_owned());
                        self.say_line(&format!("● {what}"), out);
                        format!("  {end}")
                    }
                };
                self.say_line(&line, out);
            }
            AgentEvent::SessionStarted { id, model } => {
                // Some say it again and again.
                if self.session.as_ref() != Some(&id) {
                    let model = model.map_or_else(String::new, |model| format!(" with {model}"));
                    self.say_line(&format!("─ session {}", one_line(&format!("{id}{model}"))), out);
                    self.session = Some(id);
                }
            }
            AgentEvent::Limit { message, .. } => {
                self.say_line(&format!("! limit: {}", one_line(&message)), out)
            }
            AgentEvent::LoginNeeded { message } => {
                self.say_line(&format!("! not logged in: {}", one_line(&message)), out);
            }
            AgentEvent::Refused { message } => {
                self.say_line(&format!("! refused: {}", one_line(&message)), out);
            }
            AgentEvent::WrongValue { path, message } => {
                if self.wrong_values.insert(path) {
                    self.say_line(&format!("! {}", one_line(&message)), out);
                }
            }
            AgentEvent::Error { message } => self.say_line(&format!("! {}", one_line(&message)), out),
            AgentEvent::NetworkTrouble { message } => {
                self.say_line(&format!("! network: {}", one_line(&message)), out);
            }
            AgentEvent::TurnEnded { ok, failure, .. } => {
                self.has_ended = true;
                let line = match (ok, failure) {
                    (true, _) => "─ done".to_owned(),
                    (false, Some(failure)) => format!("─ failed: {}", one_line(&failure)),
                    (false, None) => "─ failed".to_owned(),
                };
                self.say_line(&line, out);
            }
            // Thoughts are not meant for others, the tool's line names the file, and `usage` has the sums.
            AgentEvent::Reasoning { .. }
            | AgentEvent::FilesTouched { .. }
            | AgentEvent::Usage(_)
            | AgentEvent::Model { .. }
            | AgentEvent::Background { .. }
            | AgentEvent::UntoldSubAgent
            | AgentEvent::TurnStarted
            | AgentEvent::Working => {}
        }
    }

    /// Says a line of stdout as it is, if it is not part of the stream: a program may die in plain words.
    fn say_stray_line(&mut self, out: &mut Vec<u8>) {
        let counts = self.reader.counts();
        if counts.overlong > std::mem::replace(&mut self.overlong, counts.overlong) {
            self.say_line("! a line that is too long to be read: `--raw` shows it", out);
        }
        if counts.malformed > std::mem::replace(&mut self.malformed, counts.malformed) {
            let line = String::from_utf8_lossy(&self.line).trim_end().to_owned();
            self.say_line(&line, out);
        }
    }

    fn say_line(&mut self, text: &str, out: &mut Vec<u8>) {
        self.begin_line(out);
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
        self.last = None;
    }

    fn begin_line(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.is_within_line) {
            out.push(b'\n');
        }
    }
}

/// How a tool ended, and after how long where that is known.
fn end_words(ok: Option<bool>, exit_code: Option<i32>, took: Option<std::time::Duration>) -> String {
    let end = match (ok, exit_code) {
        (_, Some(code)) => format!("exit {code}"),
        (Some(true), None) => "ok".to_owned(),
        (Some(false), None) => "failed".to_owned(),
        (None, None) => "ended".to_owned(),
    };
    match took {
        Some(took) if took >= WORTH_TELLING => format!("{end} after {}", duration(took)),
        Some(_) | None => end,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use backstay_agent::Presets;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_795_250_000_000_000);

    fn speech(agent: &str, tools_at: &[(u64, u64)]) -> Speech {
        let presets = Presets::built_in().unwrap();
        let at = |after_ms: u64| NOW.plus(std::time::Duration::from_millis(after_ms));
        let tools_at = tools_at.iter().map(|(end, after_ms)| (*end, at(*after_ms))).collect();
        Speech::of(presets.get(agent).unwrap(), Some("/work/project"), tools_at, u64::MAX).unwrap()
    }

    /// What a real CLI said, as the readers' tests keep it.
    fn golden(agent: &str, case: &str) -> Vec<u8> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../agent/tests/golden").join(agent);
        std::fs::read(folder.join(case)).unwrap()
    }

    fn read(mut speech: Speech, bytes: &[u8], size: usize) -> String {
        let mut out: Vec<u8> = bytes.chunks(size).flat_map(|chunk| speech.hear(chunk, NOW)).collect();
        out.extend(speech.end(NOW));
        out.extend(speech.verdict());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_real_clis_said_reads_like_this() {
        let mut shown = String::new();
        for agent in ["codex", "claude", "gemini", "opencode"] {
            for case in ["task.jsonl", "written/by_hand.jsonl", "killed.jsonl", "refused_login.jsonl"] {
                let bytes = golden(agent, case);
                let whole = read(speech(agent, &[]), &bytes, usize::MAX);
                assert_eq!(
                    read(speech(agent, &[]), &bytes, 1),
                    whole,
                    "{agent} {case}: chunks make no difference"
                );
                shown.push_str(&format!("==== {agent} {case}\n{whole}"));
            }
        }
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn tools_have_the_time_that_the_log_knows() {
        let whole = read(speech("codex", &[(285, 0), (466, 9_000)]), &golden("codex", "task.jsonl"), 64);
        assert!(whole.contains("● $ echo one > one.txt\n  exit 0 after 9s\n"), "{whole}");
        assert!(whole.contains("● write greeting.txt\n  ok\n"), "{whole}");
    }

    #[test]
    fn tools_that_are_read_as_they_work_have_the_time_of_the_reader() {
        let mut speech = speech("codex", &[]);
        speech.live_from = 0;
        let bytes = golden("codex", "task.jsonl");
        let begun = speech.hear(&bytes[..285], NOW);
        let ended = speech.hear(&bytes[285..466], NOW.plus(std::time::Duration::from_secs(61)));
        let both = String::from_utf8([begun, ended].concat()).unwrap();
        assert!(both.ends_with("● $ echo one > one.txt\n  exit 0 after 1m01s\n"), "{both}");
    }

    #[test]
    fn tools_side_by_side_are_named_at_their_ends() {
        let item = |kind: &str, id: &str, more: &str| {
            format!(
                "{{\"type\":\"item.{kind}\",\"item\":{{\"id\":\"{id}\",\"type\":\"command_execution\",\"command\":\"do {id}\"{more}}}}}\n"
            )
        };
        let said = [
            item("started", "a", ""),
            item("started", "b", ""),
            item("completed", "a", ",\"exit_code\":3"),
            item("completed", "b", ",\"exit_code\":0"),
            "panicked at main\n".to_owned(),
        ];
        let mut speech = speech("codex", &[]);
        let mut out = speech.hear(said.concat().as_bytes(), NOW);
        out.extend(speech.hear_beside(b"warning: x"));
        out.extend(speech.end(NOW));
        out.extend(speech.verdict());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "● $ do a\n● $ do b\n  exit 3: $ do a\n  exit 0: $ do b\npanicked at main\nwarning: x\n─ cut short\n"
        );
    }
}
