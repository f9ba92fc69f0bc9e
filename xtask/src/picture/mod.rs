//! The picture of the README: a real run that is killed and resumed, as a terminal showed it.

mod film;
mod svg;

use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::camino::{Utf8Path, Utf8PathBuf};

use self::film::Film;
use crate::workspace;

/// The screen. The picture has as many rows as were written on.
const COLUMNS: u16 = 92;
const ROWS: u16 = 48;
/// Where it is played: a short name, since it is seen.
const STAGE: &str = "/tmp/acme";
const WORKFLOW: &str = "examples/crash.yaml";
/// How the picture begins and ends in the README.
const BEGIN: &str = "<!-- picture: begin";
const END: &str = "<!-- picture: end -->";

/// Plays the run and writes `docs/picture.svg`, and its text into the README.
pub(crate) fn write() -> Result<ExitCode> {
    let program = build()?;
    let stage = Stage::set(&program)?;
    let screen = play(&stage)?;
    let root = workspace::root();
    put(&root.join("docs/picture.svg"), &svg::draw(&screen))?;
    let readme = root.join("README.md");
    let text = std::fs::read_to_string(&readme).with_context(|| format!("cannot read {readme}"))?;
    put(&readme, &with_text(&text, &svg::text(&screen))?)?;
    Ok(ExitCode::SUCCESS)
}

/// Types what a person would, and kills what a person would.
fn play(stage: &Stage) -> Result<vt100::Parser> {
    let mut film = Film::begin(&stage.folder, &stage.path, COLUMNS, ROWS)?;
    film.prompt(1)?;
    film.enter(&format!("backstay run {WORKFLOW} --input seconds=12"))?;
    film.wait("the third number is counted", |screen| screen.contains(" 3 · "))?;
    let owner = owner(&film.contents()).context("the view does not name its process")?;
    film::kill(owner)?;
    film.prompt(2)?;
    film.enter("# that was kill -9, from another terminal")?;
    film.prompt(3)?;
    film.enter("backstay ls")?;
    film.prompt(4)?;
    film.enter("backstay resume")?;
    film.wait("the run completes", |screen| screen.contains("COMPLETED"))?;
    film.prompt(5)?;
    film.end()
}

/// The process that owns the run, as the view names it.
fn owner(screen: &str) -> Option<u32> {
    let (_, behind) = screen.split_once("owner: this process, pid ")?;
    behind.split(' ').next()?.parse().ok()
}

/// The program of this workspace.
fn build() -> Result<Utf8PathBuf> {
    let built = workspace::cargo().args(["build", "--package", "backstay-cli"]).status()?;
    ensure!(built.success(), "the program cannot be built");
    Ok(workspace::metadata()?.target_directory.join("debug/backstay"))
}

/// A folder with the example and the program in it; it goes with this.
struct Stage {
    folder: Utf8PathBuf,
    /// Where programs are found.
    path: String,
}

impl Stage {
    fn set(program: &Utf8Path) -> Result<Stage> {
        let folder = Utf8PathBuf::from(STAGE);
        std::fs::create_dir(&folder).with_context(|| format!("{folder} is needed for the picture"))?;
        let tools = program.parent().context("a program is in a folder")?;
        let path = format!("{tools}:/usr/local/bin:/usr/bin:/bin");
        let stage = Stage { folder, path };
        std::fs::create_dir(stage.folder.join("examples"))?;
        std::fs::copy(workspace::root().join(WORKFLOW), stage.folder.join(WORKFLOW))?;
        Ok(stage)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("{} stays: {error}", self.folder);
        }
    }
}

/// The README with `text` in its picture.
fn with_text(readme: &str, text: &str) -> Result<String> {
    let (Some(begin), Some(end)) = (readme.find(BEGIN), readme.find(END)) else {
        bail!("the README has no place for a picture");
    };
    let head = readme[begin..].lines().next().unwrap_or_default();
    let picture = "![A run is killed with kill -9 and resumed: its agent worked on, and nothing ran twice]\
                   (docs/picture.svg)";
    let details = format!("<details><summary>The same as text</summary>\n\n```\n{text}\n```\n\n</details>");
    Ok(format!("{}{head}\n{picture}\n\n{details}\n{}", &readme[..begin], &readme[end..]))
}

fn put(path: &Utf8Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {path}"))?;
    println!("{path} is written");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_read_from_the_view() {
        assert_eq!(owner(" owner: this process, pid 4711 · in /tmp/acme\n"), Some(4_711));
        assert_eq!(owner(" no owner\n"), None);
    }

    #[test]
    fn the_text_takes_the_place_of_the_last_one() {
        let readme = "# Name\n<!-- picture: begin (x) -->\nold\n<!-- picture: end -->\nrest\n";
        let once = with_text(readme, "new").unwrap();
        assert!(once.starts_with("# Name\n<!-- picture: begin (x) -->\n!["), "{once}");
        assert!(once.contains("```\nnew\n```") && !once.contains("old"), "{once}");
        assert!(once.ends_with("<!-- picture: end -->\nrest\n"), "{once}");
        assert_eq!(with_text(&once, "new").unwrap(), once);
        assert!(with_text("# Name\n", "new").is_err());
    }
}
