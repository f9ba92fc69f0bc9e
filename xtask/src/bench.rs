//! Benchmarks, and the page that shows their figures.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// Between these lines of the page stand the figures of the log.
const BEGIN: &str = "<!-- figures of the log: cargo xtask bench log --write -->";
const END: &str = "<!-- end of the figures of the log -->";

/// Runs the benchmark of the log; with `--write` its table replaces the one in `docs/performance.md`.
pub(crate) fn log(options: &[&str]) -> Result<ExitCode> {
    let is_written = options.contains(&"--write");
    let mut command = Command::new(env!("CARGO"));
    command.args(["bench", "--quiet", "-p", "backstay-log", "--bench", "log", "--"]);
    command.args(options.iter().filter(|option| **option != "--write"));
    if !is_written {
        let status = command.status().context("cargo cannot be started")?;
        return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let output =
        command.arg("--markdown").stderr(Stdio::inherit()).output().context("cargo cannot be started")?;
    if !output.status.success() {
        bail!("the benchmark failed");
    }
    let table = String::from_utf8(output.stdout).context("the benchmark prints text")?;
    print!("{table}");
    if table.contains("NOISY") {
        bail!("the machine was not quiet: nothing is written");
    }
    let path = workspace::root().join("docs/performance.md");
    let page = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    std::fs::write(&path, with_table(&page, table.trim())?)
        .with_context(|| format!("cannot write {path}"))?;
    println!("{path} is written");
    Ok(ExitCode::SUCCESS)
}

fn with_table(page: &str, table: &str) -> Result<String> {
    let (Some((before, _)), Some((_, after))) = (page.split_once(BEGIN), page.split_once(END)) else {
        bail!("docs/performance.md lacks the lines `{BEGIN}` and `{END}`");
    };
    Ok(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_between_its_marks_and_nothing_else_changes() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(with_table(&page, "| new |").unwrap(), format!("a\n{BEGIN}\n| new |\n{END}\nb\n"));
        assert!(with_table("a\nb\n", "x").is_err());
    }
}
