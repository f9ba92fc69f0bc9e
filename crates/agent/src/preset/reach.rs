//! What the settings of a preset reach: which of them end up in what is started.

use std::fmt::Debug;

use super::data::{ModePatch, Patch, PromptPatch, SchemaPatch, SignsPatch};

/// What a setting of an agent reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Neither a command line nor an environment, and no limit of the agent.
    Nothing,
    /// The command line or the environment of a program.
    Execution,
    /// What an agent may do, or the limits that it is held to.
    Access,
}

/// One setting of an agent, as a configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSetting {
    /// Its key below the table of the agent, such as `access.write.args`. What a terminal would obey in it is escaped.
    pub key: String,
    /// Its value, in one line. What a terminal would obey in it is escaped.
    pub value: String,
    /// What it reaches.
    pub reach: Reach,
}

/// Collects settings.
#[derive(Default)]
struct Settings(Vec<AgentSetting>);

impl Settings {
    fn add<T: Debug>(&mut self, key: &str, reach: Reach, value: Option<&T>) {
        if let Some(value) = value {
            // The form for debugging escapes control characters and those that turn the direction of a text.
            self.0.push(AgentSetting { key: key.to_owned(), value: format!("{value:?}"), reach });
        }
    }

    fn add_all<'v>(
        &mut self,
        key: &str,
        reach: Reach,
        values: impl IntoIterator<Item = (&'v String, &'v String)>,
    ) {
        for (name, value) in values {
            self.add(&format!("{key}.{}", name.escape_debug()), reach, Some(value));
        }
    }
}

/// Every setting of a table `[agents.NAME]`. The patterns name every field: a new one does not compile before it is
/// decided what it reaches.
pub(super) fn settings(patch: &Patch) -> Vec<AgentSetting> {
    let Patch {
        preset,
        tried,
        program,
        version,
        login,
        stream,
        lines,
        start,
        resume,
        fork,
        screen,
        session,
        model,
        schema,
        env,
        prompt,
        access,
        signs,
    } = patch;
    let mut all = Settings::default();
    all.add("preset", Reach::Nothing, preset.as_ref());
    all.add("tried", Reach::Nothing, tried.as_ref());
    all.add("program", Reach::Execution, program.as_ref());
    all.add("version", Reach::Execution, version.as_ref());
    all.add("login.args", Reach::Execution, login.as_ref().map(|login| &login.args));
    // Whoever does not understand the stream does not see what the agent uses, and no budget ends it.
    all.add("stream", Reach::Access, stream.as_ref());
    let rules = lines.as_ref().map(crate::stream::LineRules::written);
    all.add("lines", Reach::Access, rules.as_ref());
    for (key, pieces) in
        [("start", start), ("resume", resume), ("fork", fork), ("screen", screen), ("model", model)]
    {
        all.add(key, Reach::Execution, texts(pieces).as_ref());
    }
    // It decides whether a text of the agent's becomes an argument.
    all.add("session", Reach::Execution, session.as_ref());
    if let Some(SchemaPatch { args, form }) = schema {
        all.add("schema.args", Reach::Execution, texts(&Some(args.clone())).as_ref());
        all.add("schema.as", Reach::Execution, Some(form));
    }
    all.add_all("env", Reach::Execution, env);
    let PromptPatch { via, stdin, arg, file, env, command_prefix, file_prefix } = prompt;
    all.add("prompt.via", Reach::Execution, via.as_ref());
    for (key, pieces) in [("prompt.stdin", stdin), ("prompt.arg", arg), ("prompt.file", file)] {
        all.add(key, Reach::Execution, texts(pieces).as_ref());
    }
    all.add("prompt.env", Reach::Execution, env.as_ref());
    // Without it a text becomes a command of the program.
    all.add("prompt.command_prefix", Reach::Execution, command_prefix.as_ref());
    all.add("prompt.file_prefix", Reach::Nothing, file_prefix.as_ref());
    for (mode, ModePatch { args, env }) in access {
        let mode = mode.name();
        all.add(&format!("access.{mode}.args"), Reach::Access, texts(args).as_ref());
        all.add_all(&format!("access.{mode}.env"), Reach::Access, env.iter().flatten());
    }
    let SignsPatch {
        limit,
        reset_after,
        login,
        refused,
        network,
        session_unknown,
        session_in_use,
        sub_agent,
        success,
        failure,
        login_exit_codes,
    } = signs;
    for (key, signs) in [
        ("signs.limit", limit),
        ("signs.reset_after", reset_after),
        ("signs.login", login),
        ("signs.refused", refused),
        ("signs.network", network),
        ("signs.session_unknown", session_unknown),
        ("signs.session_in_use", session_in_use),
        ("signs.sub_agent", sub_agent),
        ("signs.success", success),
        ("signs.failure", failure),
    ] {
        all.add(key, Reach::Nothing, signs.as_ref());
    }
    all.add("signs.login_exit_codes", Reach::Nothing, login_exit_codes.as_ref());
    all.0
}

/// The pieces as a file has them.
fn texts(pieces: &Option<Vec<super::template::Piece>>) -> Option<Vec<String>> {
    pieces.as_ref().map(|pieces| pieces.iter().cloned().map(String::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_of_an_agent_has_a_reach() {
        let text = r#"
            preset = 1
            tried = "1.2"
            program = "p"
            version = ["-v"]
            login.args = ["who"]
            stream = "json_lines"
            lines = [{ when = { type = "t" }, message = "m" }]
            start = ["{session}", "{access}", "{model}", "{schema}", "{prompt}"]
            resume = ["{session}", "{schema}", "{prompt}"]
            fork = ["{session}", "{new_session}", "{schema}", "{prompt}"]
            screen = ["{session}"]
            session = "chosen"
            model = ["-m", "{model}"]
            schema = { args = ["{schema}"], as = "path" }
            env = { LD_PRELOAD = "x.so" }
            prompt = { via = "stdin", stdin = ["-"], arg = ["a"], file = ["b"], env = "P", command_prefix = "/", file_prefix = "@" }
            access.write = { args = ["--yolo"], env = { ALLOW = "all" } }
            signs = { limit = ["l"], reset_after = ["r"], login = ["l"], refused = ["f"], network = ["n"], session_unknown = ["u"], session_in_use = ["i"], sub_agent = ["a"], success = [], failure = [], login_exit_codes = [3] }
        "#;
        let patch: Patch = toml::from_str(text).unwrap();
        let found = settings(&patch);
        let of = |reach| -> Vec<&str> {
            found
                .iter()
                .filter(|setting| setting.reach == reach)
                .map(|setting| setting.key.as_str())
                .collect()
        };
        assert_eq!(
            of(Reach::Execution),
            [
                "program",
                "version",
                "login.args",
                "start",
                "resume",
                "fork",
                "screen",
                "model",
                "session",
                "schema.args",
                "schema.as",
                "env.LD_PRELOAD",
                "prompt.via",
                "prompt.stdin",
                "prompt.arg",
                "prompt.file",
                "prompt.env",
                "prompt.command_prefix",
            ]
        );
        assert_eq!(of(Reach::Access), ["stream", "lines", "access.write.args", "access.write.env.ALLOW"]);
        assert_eq!(
            of(Reach::Nothing),
            [
                "preset",
                "tried",
                "prompt.file_prefix",
                "signs.limit",
                "signs.reset_after",
                "signs.login",
                "signs.refused",
                "signs.network",
                "signs.session_unknown",
                "signs.session_in_use",
                "signs.sub_agent",
                "signs.success",
                "signs.failure",
                "signs.login_exit_codes",
            ]
        );
        // Every field of the stored form is in the text above, so every one is in the lists.
        let stored = serde_json::to_value(&patch).unwrap();
        let complete = Patch::of(&patch.clone().complete("x").unwrap());
        let complete = serde_json::to_value(&complete).unwrap();
        let names = |value: &serde_json::Value| -> Vec<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(names(&stored), names(&complete));
        let nothing = settings(&Patch::default());
        assert_eq!(nothing, []);
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        let patch: Patch =
            toml::from_str("program = \"\\u001b]0;x\\u0007\\u202e\"\nenv = { \"\\u001b[2J\" = \"\\u009b\" }")
                .unwrap();
        let shown: Vec<String> = settings(&patch)
            .into_iter()
            .map(|setting| format!("{} = {}", setting.key, setting.value))
            .collect();
        assert_eq!(shown, ["program = \"\\u{1b}]0;x\\u{7}\\u{202e}\"", "env.\\u{1b}[2J = \"\\u{9b}\""]);
    }
}
