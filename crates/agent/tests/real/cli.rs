//! The CLIs, and how each is pointed at the endpoint. Tests of other crates read this file too.

use std::collections::BTreeMap;

use backstay_agent::{Presets, SessionSource};
use camino::Utf8Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cli {
    Codex,
    Claude,
    Gemini,
    Opencode,
}

/// As whom a CLI works.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    /// A way was chosen, and the credentials are there.
    Chosen,
    /// Nothing was ever done.
    Never,
    /// With a key of the provider, where what most people choose is something else.
    Key,
}

impl Cli {
    pub(crate) const ALL: [Cli; 4] = [Cli::Codex, Cli::Claude, Cli::Gemini, Cli::Opencode];

    pub(crate) fn named(name: &str) -> Option<Cli> {
        Cli::ALL.into_iter().find(|cli| cli.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Cli::Codex => "codex",
            Cli::Claude => "claude",
            Cli::Gemini => "gemini",
            Cli::Opencode => "opencode",
        }
    }

    /// A name for a session, where names are chosen. Each test has a home of its own, so one is enough for all.
    pub(crate) fn new_session(self) -> Option<String> {
        let presets = Presets::built_in().unwrap();
        let is_chosen = presets.get(self.name()).unwrap().session() == Some(SessionSource::Chosen);
        is_chosen.then(|| "1b8b6f0e-5d0c-4a57-9d5e-3c1f0b7a2d11".to_owned())
    }

    /// A session that is not there.
    pub(crate) fn unknown_session(self) -> &'static str {
        match self {
            Cli::Opencode => "ses_e02c9c6e7ffeYRCrsetUJ4mwZZ",
            Cli::Codex | Cli::Claude | Cli::Gemini => "f1150ff8-377b-482c-8881-510f83f21f14",
        }
    }

    /// The user's own arguments that point it at the endpoint, and the variables that do.
    pub(crate) fn connection(self, url: &str, login: Login) -> (Vec<String>, BTreeMap<String, String>) {
        let mut env = BTreeMap::new();
        let mut set = |name: &str, value: &str| drop(env.insert(name.to_owned(), value.to_owned()));
        let mut args = Vec::new();
        match self {
            Cli::Codex => {
                for setting in [
                    "model_provider=scripted",
                    "model_providers.scripted.name=scripted",
                    &format!("model_providers.scripted.base_url={url}/v1"),
                    "model_providers.scripted.wire_api=responses",
                    "model_providers.scripted.env_key=SCRIPTED_KEY",
                    "model_providers.scripted.request_max_retries=0",
                    "model_providers.scripted.stream_max_retries=0",
                ] {
                    args.extend(["-c".to_owned(), setting.to_owned()]);
                }
                if login != Login::Never {
                    set("SCRIPTED_KEY", "scripted");
                }
            }
            Cli::Claude => {
                set("ANTHROPIC_BASE_URL", url);
                set("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1");
                set("DISABLE_AUTOUPDATER", "1");
                match login {
                    Login::Never => {}
                    // As a subscriber: with a key, limits are told without the time at which they end.
                    Login::Chosen => set("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-scripted"),
                    Login::Key => set("ANTHROPIC_API_KEY", "sk-ant-api03-scripted"),
                }
            }
            Cli::Gemini => {
                set("GOOGLE_GEMINI_BASE_URL", url);
                args.extend(["--model".to_owned(), "gemini-2.5-flash".to_owned()]);
                if login != Login::Never {
                    set("GEMINI_API_KEY", "scripted");
                }
            }
            Cli::Opencode => {
                set("OPENCODE_CONFIG_CONTENT", &opencode_configuration(url));
                set("OPENCODE_DISABLE_MODELS_FETCH", "1");
                set("OPENCODE_DISABLE_AUTOUPDATE", "1");
            }
        }
        (args, env)
    }

    /// What has to be in the home of a user who has chosen how to log in.
    pub(crate) fn furnish(self, home: &Utf8Path) {
        if self == Cli::Gemini {
            std::fs::create_dir_all(home.join(".gemini")).unwrap();
            let settings = r#"{"security":{"auth":{"selectedType":"gemini-api-key"}},"privacy":{"usageStatisticsEnabled":false},"general":{"enableAutoUpdate":false}}"#;
            std::fs::write(home.join(".gemini/settings.json"), settings).unwrap();
        }
    }
}

fn opencode_configuration(url: &str) -> String {
    format!(
        r#"{{"provider":{{"scripted":{{"npm":"@ai-sdk/openai-compatible","name":"Scripted",
        "options":{{"baseURL":"{url}/v1","apiKey":"scripted"}},
        "models":{{"small":{{"name":"small","cost":{{"input":1,"output":2}}}}}}}}}},
        "model":"scripted/small","small_model":"scripted/small","autoupdate":false,"share":"disabled"}}"#
    )
}
