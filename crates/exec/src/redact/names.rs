//! Which variables of an environment hold secrets: by their names, and by what stands in a URL.

use std::collections::BTreeMap;

use crate::spec::Redaction;

/// Ends of the names of secrets.
const ENDS: [&str; 15] = [
    "_TOKEN",
    "_KEY",
    "_KEY_ID",
    "_APIKEY",
    "_SECRET",
    "_SECRETS",
    "_CREDENTIAL",
    "_CREDENTIALS",
    "_PASS",
    "_PWD",
    "_PAT",
    "_AUTH",
    "_DSN",
    "_CONNECTION_STRING",
    "_WEBHOOK_URL",
];
/// Whole names of secrets.
const WHOLE: [&str; 5] = ["TOKEN", "SECRET", "APIKEY", "API_KEY", "CREDENTIALS"];
/// What stands in the names of secrets.
const PARTS: [&str; 3] = ["PASSWORD", "PASSWD", "PASSPHRASE"];
/// Bytes from which on the user of a web address without a password is a token, and no name.
const TOKEN_BYTES_MIN: usize = 20;

/// The secrets of an environment, and those given besides.
pub fn secrets_of(env: &BTreeMap<String, String>, given: &[Redaction]) -> Vec<Redaction> {
    let of = |(name, value): (&String, &String)| {
        let whole = is_secret_name(name).then(|| value.clone());
        let values: Vec<String> = whole.into_iter().chain(secrets_of_urls(value)).collect();
        values.into_iter().map(|value| Redaction { name: name.clone(), value }).collect::<Vec<_>>()
    };
    env.iter().flat_map(of).chain(given.iter().cloned()).collect()
}

/// Whether a variable of this name holds a secret, in any case of its letters.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    WHOLE.contains(&name.as_str())
        || ENDS.iter().any(|end| name.ends_with(end))
        || PARTS.iter().any(|part| name.contains(part))
}

/// The passwords and tokens in the URLs of a value, as they stand there, and decoded where that is something else.
fn secrets_of_urls(value: &str) -> Vec<String> {
    let mut secrets = Vec::new();
    for (at, mark) in value.match_indices("://") {
        let rest = &value[at + mark.len()..];
        // Commas, semicolons and single quotes may stand in a password (RFC 3986, 3.2.1); a list has another URL behind them.
        let end = rest.find(|c: char| c.is_whitespace() || "/?#\"<>".contains(c)).unwrap_or(rest.len());
        let Some((user, _host)) = rest[..end].rsplit_once('@') else { continue };
        let is_web = value[..at].ends_with("http") || value[..at].ends_with("https");
        let (user, password) = user.split_once(':').map_or((user, None), |(user, word)| (user, Some(word)));
        let token = Some(user).filter(|user| is_web && user.len() >= TOKEN_BYTES_MIN);
        for secret in token.into_iter().chain(password.filter(|password| !password.is_empty())) {
            let decoded = percent_decoded(secret).filter(|decoded| decoded != secret);
            secrets.extend(std::iter::once(secret.to_owned()).chain(decoded));
        }
    }
    secrets
}

/// The text with `%40` and the like decoded; none if it is no text then.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|_| *first == b'%').map(|digits| u8::from_str_radix(digits, 16)) {
            Some(Ok(byte)) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            Some(Err(_)) | None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s11_variables_are_secret_by_their_names() {
        for name in [
            "GITHUB_TOKEN",
            "GH_TOKEN",
            "NPM_TOKEN",
            "CLAUDE_CODE_OAUTH_TOKEN",
            "AWS_SESSION_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_ACCESS_KEY_ID",
            "AWS_CREDENTIALS",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "OPENAI_API_KEY",
            "ANTHROPIC_API_KEY",
            "AZURE_STORAGE_CONNECTION_STRING",
            "SLACK_WEBHOOK_URL",
            "SENTRY_DSN",
            "AZURE_DEVOPS_EXT_PAT",
            "NPM_CONFIG__AUTH",
            "DOCKER_PASS",
            "MYSQL_PWD",
            "client_secret",
            "PGPASSWORD",
            "DB_PASSWORD_FILE",
            "SSH_KEY_PASSPHRASE",
            "TOKEN",
            "api_key",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "KEYBOARD",
            "TOKENS",
            "PATH",
            "PWD",
            "OLDPWD",
            "MONKEY",
            "COMPASS",
            "SSH_AUTH_SOCK",
            "AWS_REGION",
            "AWS_PROFILE",
            "XAUTHORITY",
            "BYPASS",
            "DATABASE_URL",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn s11_the_password_of_a_url_is_secret_and_its_host_is_not() {
        for (value, secrets) in [
            ("postgres://app:hunter22@db.example/app", &["hunter22"][..]),
            ("postgres://app:p%40ss%2Fword@db/app", &["p%40ss%2Fword", "p@ss/word"]),
            ("redis://:hunter22@cache:6379/0", &["hunter22"]),
            ("amqp://a:first-one@h1,amqp://b:second-one@h2", &["first-one", "second-one"]),
            ("http://user:proxy-word@proxy:3128", &["proxy-word"]),
            ("https://ghp_0123456789abcdef0123@github.com/x", &["ghp_0123456789abcdef0123"]),
            ("https://ghp_0123456789abcdef0123:x-oauth@h/x", &["ghp_0123456789abcdef0123", "x-oauth"]),
            ("https://sk_live_0123456789abcdef:@api.example", &["sk_live_0123456789abcdef"]),
            ("postgres://app:pa,ss;wo'rd@db/app", &["pa,ss;wo'rd"]),
            ("https://name@example.com/x", &[]),
            ("ssh://deployment-user-of-ours@host/x", &[]),
            ("https://example.com/a:b@c", &[]),
            ("a:b@c", &[]),
            ("http://a:100%25%zz@h", &["100%25%zz", "100%%zz"]),
        ] {
            assert_eq!(secrets_of_urls(value), secrets, "{value}");
        }
    }
}
