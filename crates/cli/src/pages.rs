//! `docs/cli.md`, made from the commands themselves.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::CommandFactory;

use crate::args::Arguments;

const HEAD: &str = "# The command line\n\nMade from the commands: `BACKSTAY_WRITE_PAGES=1 cargo test -p backstay-cli pages`.\n";

fn page() -> String {
    let mut command = Arguments::command().term_width(100);
    command.build();
    let mut text = HEAD.to_owned();
    let is_shown = |command: &&clap::Command| !command.is_hide_set() && command.get_name() != "help";
    let all: Vec<&clap::Command> = command.get_subcommands().filter(is_shown).collect();
    let names: Vec<String> =
        all.iter().map(|command| format!("[`{0}`](#backstay-{0})", command.get_name())).collect();
    text.push_str(&format!("\n{}\n\n```\n{}\n```\n", names.join(" · "), help(&command)));
    for command in all {
        add(&mut text, command, 2);
    }
    text
}

fn add(text: &mut String, command: &clap::Command, depth: usize) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    writeln!(text, "\n{} {name}\n\n```\n{}\n```", "#".repeat(depth), help(command)).unwrap();
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help")
    {
        add(text, inner, depth + 1);
    }
}

fn help(command: &clap::Command) -> String {
    let text = command.clone().render_long_help().to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim().to_owned()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "who writes the page says so by the environment")]
fn the_page_of_the_command_line_is_what_the_commands_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let page = page();
    if std::env::var("BACKSTAY_WRITE_PAGES").is_ok() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/cli.md is not what the commands say; it says how it is made");
}
