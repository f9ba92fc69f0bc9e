//! `backstay trust`.

use crate::args::TrustArgs;
use crate::configuration::{Setting, StoreConfiguration, WhileUntrusted, allow, revoke};
use crate::confirm::Consent;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::foreground::EFFECT;
use crate::output;
use crate::ui::{Line, Paint};
use backstay_files::shell_word;

/// Shows what the configuration of the store would execute, and allows it as it is now.
pub(crate) fn trust(context: &Context, args: TrustArgs) -> Result<Exit, CliError> {
    if !args.show && context.env.contains_key(EFFECT) {
        return Err(CliError::TrustInAStep);
    }
    let folder = context.store_or_its_place();
    let path = folder.join(backstay_runtime::CONFIGURATION_FILE);
    if args.revoke {
        // Whatever is in the file now, and whether or not it can be read.
        let was_allowed = revoke(&context.env, &path)?;
        output::line(&format!(
            "{path} {}",
            if was_allowed { "is not allowed any more" } else { "was not allowed" }
        ))?;
        return Ok(Exit::Completed);
    }
    let configuration = context.configuration(&folder)?;
    let store = configuration.of_store().ok_or(CliError::NoConfiguration { path })?;
    show(context, store)?;
    if args.show || store.is_allowed() {
        return Ok(Exit::Completed);
    }
    if !needs_trust(store) {
        output::note("nothing in it has to be allowed");
        return Ok(Exit::Completed);
    }
    Consent {
        question: "\nAllow this file as it is now?".to_owned(),
        consequence: format!("what {} executes or removes has to be allowed by a person", store.path()),
        command: format!("`backstay --store {} trust --yes`", shell_word(folder.as_str())),
    }
    .obtain(args.yes)?;
    // The bytes that were shown, whatever is in the file by now.
    allow(&context.env, store.path(), store.digest())?;
    output::line(&format!("{} is allowed until it changes", store.path()))?;
    Ok(Exit::Completed)
}

fn needs_trust(store: &StoreConfiguration) -> bool {
    store.settings().iter().any(|setting| setting.while_untrusted != WhileUntrusted::Counts)
}

/// Every setting, and what it does while nobody has allowed the file.
fn show(context: &Context, store: &StoreConfiguration) -> Result<(), CliError> {
    let state = if store.is_allowed() {
        "allowed"
    } else if needs_trust(store) {
        "not allowed"
    } else {
        "nothing in it has to be allowed"
    };
    let put = |line: Line| output::line(&line.render(context.style, usize::MAX));
    put(Line::of(Paint::Bold, format!("{}", store.path())).with(Paint::Plain, format!(" · {state}")))?;
    put(Line::of(Paint::Dim, format!("BLAKE3 {}", store.digest())))?;
    let settings = store.settings();
    for (what, title) in [
        (
            WhileUntrusted::Refuses,
            "starts agents, or says what they may do: until you allow it no run begins",
        ),
        (WhileUntrusted::LeftOut, "executes a program, or removes runs: until you allow it it is ignored"),
        (WhileUntrusted::Counts, "executes and removes nothing: it counts in any case"),
    ] {
        let of: Vec<&Setting> = settings.iter().filter(|setting| setting.while_untrusted == what).collect();
        if of.is_empty() {
            continue;
        }
        put(Line::default())?;
        put(Line::of(Paint::Plain, title))?;
        for setting in of {
            put(Line::of(Paint::Plain, format!("  {} = {}", setting.key, setting.value)))?;
        }
    }
    Ok(())
}
